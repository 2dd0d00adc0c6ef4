"""Warm-up, free bits, and what is said of latent dimensions that carry nothing."""

import numpy as np
import pytest

from numpyvae import VAE, Adam, Autoencoder, Bernoulli, Gaussian, Warmup
from numpyvae.collapse import Dimension, dimensions, explain
from numpyvae.gaussian import kl_per_dimension, kl_to_standard_normal
from numpyvae.objectives import free_bits, free_bits_backward


def test_the_kl_of_each_dimension_adds_up(rng):
    mean, log_var = rng.standard_normal((2, 6, 3))
    kl, _ = kl_per_dimension(mean, log_var)
    assert kl.shape == (6, 3)
    np.testing.assert_allclose(kl.sum(axis=1), kl_to_standard_normal(mean, log_var)[0], rtol=1e-14)


def test_free_bits_of_zero_are_the_kl_and_a_dimension_below_costs_nothing_more(rng):
    kl = rng.random((5, 3)) * [0.1, 1.0, 4.0]
    value, cache = free_bits(kl, 0.0)
    assert value == pytest.approx(kl.sum(axis=1).mean(), rel=1e-14)
    np.testing.assert_allclose(free_bits_backward(1.0, cache)[0], 1 / 5)
    value, cache = free_bits(kl, 0.3)
    assert value == pytest.approx(0.3 + kl[:, 1:].sum(axis=1).mean(), rel=1e-14)
    (dkl,) = free_bits_backward(2.0, cache)
    np.testing.assert_allclose(dkl, np.tile([0.0, 0.4, 0.4], (5, 1)))
    each = np.maximum(kl, 0.3).sum(axis=1).mean()
    assert value < each, "the mean is taken before the maximum"


class Beta:
    """A callback that notes beta at the end of each epoch."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, record):
        self.seen.append(model.beta)


def test_warmup_rises_with_every_step_and_leaves_beta_as_it_was(rng):
    x = rng.integers(0, 2, (40, 5)).astype(float)
    betas = []

    class Noted(VAE):
        def forward(self, params, x, noise):
            betas.append(self.beta)
            return super().forward(params, x, noise)

    vae, at_end = Noted(5, 2, (4,), beta=2.0), Beta()
    vae.fit(x, 3, 10, callbacks=[Warmup(2), at_end], verbose=False)
    # Four steps an epoch, and one more look at the loss at the end of each.
    expected = [0, 0.25, 0.5, 0.75, 0.75, 1, 1.25, 1.5, 1.75, 1.75, 2, 2, 2, 2, 2]
    assert betas == pytest.approx(expected)
    assert at_end.seen == pytest.approx([0.75, 1.75, 2.0])
    assert vae.beta == 2.0


def test_a_warmup_that_is_stopped_goes_on_to_the_same_bits(rng, tmp_path):
    x = rng.integers(0, 2, (30, 5)).astype(float)
    whole, parts = (VAE(5, 2, (4,), seed=3) for _ in range(2))
    whole.fit(x, 5, 7, callbacks=[Warmup(4)], verbose=False)
    warmup = Warmup(4)
    parts.fit(x, 2, 7, callbacks=[warmup], verbose=False)
    parts.save(tmp_path / "vae.npz")
    loaded = VAE.load(tmp_path / "vae.npz")
    assert loaded.beta == 1.0
    for model, callback in ((loaded, Warmup(4)), (parts, warmup)):
        model.fit(x, 3, 7, callbacks=[callback], verbose=False)
        np.testing.assert_array_equal(model.theta, whole.theta)


def test_a_warmup_that_cannot_be(rng):
    with pytest.raises(ValueError, match="epochs must be a finite number above 0, got 0"):
        Warmup(0)
    x = rng.integers(0, 2, (8, 5)).astype(float)
    vae = VAE(5, 2, (4,), beta=np.inf)
    with pytest.raises(ValueError, match="beta of a model that warms up must be a finite number"):
        vae.fit(x, 1, callbacks=[Warmup(2)], verbose=False)
    assert vae.beta == np.inf
    with pytest.raises(TypeError, match="Warmup changes beta, which Autoencoder does not have"):
        Autoencoder(5, 2, (4,)).fit(x, 1, callbacks=[Warmup(2)], verbose=False)


def test_each_dimension_is_called_what_it_is(rng):
    """A linear VAE, written down: used, collapsed, constant, and ignored by the decoder."""
    vae = VAE(4, 4, (), likelihood=Gaussian(0.1), dtype=np.float64)
    params = vae.params
    for array in params.values():
        array[...] = 0.0
    params["encoder.0.W"][:, :4] = np.diag([0.9, 0.0, 0.0, 0.9])
    params["encoder.0.b"][2] = 1.0
    params["decoder.0.W"][...] = np.diag([1.0, 0.0, 1.0, 0.0])
    x = rng.standard_normal((500, 4))
    found = dimensions(vae, x)
    verdicts = [d.verdict.split(":")[0] for d in found]
    assert verdicts == ["used", "collapsed", "constant", "ignored"]
    assert found[0].kl == pytest.approx(0.5 * 0.81 * (x[:, 0] ** 2).mean(), rel=1e-12)
    assert found[1].kl == found[1].worth == found[3].worth == 0
    # Worth: E|x - z'|^2 - E|x - z|^2 over 2 sigma^2, with z = 0.9 x + noise and z' = noise.
    expected = ((x[:, 0] ** 2) * (1 - 0.01)).mean() / 0.2
    assert found[0].worth == pytest.approx(expected, abs=3 * found[0].error)
    text = explain(vae, found)
    assert text.startswith("z[")
    assert "1 dimensions collapsed" not in text
    assert "1 dimension collapsed (KL" in text
    assert "try Warmup, or free bits" in text
    np.testing.assert_allclose([d.kl for d in dimensions(vae, x)], [d.kl for d in found])


def test_a_collapse_by_beta_is_blamed_on_beta(rng):
    x = (rng.random((100, 6)) < 0.5).astype(float)
    vae = VAE(6, 2, (8,), likelihood=Bernoulli(), beta=50.0, dtype=np.float64)
    vae.fit(x, 60, 20, Adam(1e-2), verbose=False)
    text = explain(vae, dimensions(vae, x))
    assert "All dimensions collapsed" in text
    assert "beta is 50: " in text
    assert Dimension(0, 0.0, 0.0, 0.0, 0.1).verdict.startswith("collapsed")
