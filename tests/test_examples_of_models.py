"""The examples from 11 on, which build models of the package's pieces: the pieces, and the runs."""

import runpy

import numpy as np
import pytest
from test_examples import EXAMPLES, line_with, run

from numpyvae import VAE, Adam, Binomial, proofs
from numpyvae.data import load_digits


def pieces(number):
    """What an example defines, by name."""
    (example,) = EXAMPLES.glob(f"{number}_*.py")
    return runpy.run_path(str(example))


# 11: convolutions.


def test_convolutions_beside_dense_layers(tmp_path):
    out, pictures = run("11", tmp_path)
    assert pictures == [f"example_11_{name}" for name in ("same_time", "samples", "toeplitz")]
    assert line_with(out, "convolution against its Toeplitz matrix: largest difference")[0] < 1e-13
    assert line_with(out, "its transpose against the transposed matrix:")[0] < 1e-13
    n_parameters, n_steps, *_ = line_with(out, "convolutional             :")
    n_dense, n_more, *_ = line_with(out, "dense, as many parameters :")
    assert n_steps == 60
    assert n_more > 0
    assert n_dense == pytest.approx(n_parameters, rel=0.01)


def test_the_convolutional_vae_is_proven_and_trains_and_is_saved(tmp_path, rng):
    kind = pieces("11")["ConvolutionalVAE"]
    vae = kind(64, 3, (2, 3), "tanh", Binomial(4), beta=0.7, dtype=np.float64)
    assert vae.layout.shapes["encoder.1.W"] == (2 * 16, 3)
    assert vae.layout.shapes["decoder.1.W"] == (3, 2 * 16)
    (pair,) = proofs.model_pairs(vae, 3, rng)
    assert proofs.prove(pair).passed
    vae = kind(64, 3, (4, 8), likelihood=Binomial(16))
    x = load_digits()[0][:200]
    before = vae.elbo(x).mean()
    vae.fit(x, 10, 20, Adam(3e-3), verbose=False)
    assert vae.elbo(x).mean() > before + 50
    vae.save(tmp_path / "vae.npz")
    loaded = kind.load(tmp_path / "vae.npz")
    np.testing.assert_array_equal(loaded.elbo(x), vae.elbo(x))


def test_the_dense_vae_of_a_size_is_the_nearest():
    dense_with, kind = pieces("11")["dense_with"], pieces("11")["ConvolutionalVAE"]
    n = kind(64, 3, (2, 3)).layout.size
    found = dense_with(n, 64, 3)
    (width,) = found.hidden_dims
    off = [abs(VAE(64, 3, (w,)).layout.size - n) for w in range(max(1, width - 1), width + 2)]
    assert abs(found.layout.size - n) == min(off)
