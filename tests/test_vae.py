"""The VAE's interface, its bound against exact log p(x), and what it says to bad input."""

import numpy as np
import pytest

from numpyvae import VAE, Bernoulli, Binomial, Gaussian
from numpyvae.evaluation import active_units, evaluate
from numpyvae.exact import marginal_log_likelihood
from numpyvae.proofs import LIKELIHOODS, draw_data


def make_vae(likelihood=None, latent_dim=2, dtype=np.float64, seed=0, scale=0.6, **arguments):
    """A small VAE at a generic point: random weights, biases that are not zero."""
    vae = VAE(5, latent_dim, (6,), "tanh", likelihood or Bernoulli(), dtype=dtype, **arguments)
    vae.theta[:] = scale * np.random.default_rng(seed).standard_normal(vae.layout.size)
    return vae


def exact_elbo(vae, x, n_nodes=40):
    """The ELBO without sampling error: Gauss-Hermite over the noise instead of random draws."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    weights = weights / weights.sum()
    grids = np.meshgrid(*[np.arange(n_nodes)] * vae.latent_dim, indexing="ij")
    index = np.stack([g.ravel() for g in grids], axis=1)  # (K, L)
    noise = np.repeat(nodes[index], len(x), axis=0)
    log_px, kl = vae.elbo_terms(vae.theta, np.tile(x, (len(index), 1)), noise)
    return weights[index].prod(axis=1) @ (log_px - kl).reshape(len(index), len(x))


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_the_bound(likelihood, latent_dim, rng):
    """ELBO <= importance-weighted estimate <= exact log p(x), at random and trained parameters."""
    x = draw_data(likelihood, (4, 5), rng)
    random_vae = make_vae(likelihood, latent_dim)
    trained_vae = make_vae(likelihood, latent_dim, scale=0.3)
    trained_vae.fit(x, epochs=200, verbose=False)
    for vae in (random_vae, trained_vae):
        log_px, error = marginal_log_likelihood(vae, x)
        assert (error < 1e-3).all()
        assert (exact_elbo(vae, x) <= log_px + error).all()
    gap = log_px - exact_elbo(trained_vae, x)
    assert (gap < 1.5).all(), "a trained posterior makes a tight bound"
    estimates = trained_vae.log_likelihood(np.repeat(x, 400, axis=0), 5, rng, "importance")
    estimates = estimates.reshape(4, 400).mean(axis=1)
    assert (exact_elbo(trained_vae, x) - 0.1 <= estimates).all()
    assert (estimates <= log_px + error + 0.1).all()
    many = trained_vae.log_likelihood(x, 20_000, rng, "importance")
    np.testing.assert_allclose(many, log_px, atol=0.06)


def test_the_importance_weighted_estimate_rises_towards_log_px(rng):
    """In expectation it grows with S: averages over many repetitions, of S = 1, 10, 100."""
    x = rng.integers(0, 2, (3, 5))
    vae = make_vae(scale=0.8)
    log_px, _ = marginal_log_likelihood(vae, x)
    estimates = [
        vae.log_likelihood(np.repeat(x, 20_000 // s, axis=0), s, rng, "importance")
        for s in (1, 10, 100)
    ]
    means = [estimate.reshape(3, -1).mean(axis=1) for estimate in estimates]
    assert (means[0] < means[1]).all()
    assert (means[1] < means[2] + 1e-3).all()
    assert (means[2] < log_px + 0.02).all()
    np.testing.assert_allclose(means[0], exact_elbo(vae, x), atol=0.1)  # S = 1 is the ELBO


def test_loss_elbo_and_terms_agree(rng):
    """One reduction: the loss is the mean over the batch of -log p(x|z) + beta KL."""
    for likelihood in LIKELIHOODS:
        vae = make_vae(likelihood, beta=0.7)
        x, noise = draw_data(likelihood, (7, 5), rng), vae.draw_noise(rng, 7)
        log_px, kl = vae.elbo_terms(vae.theta, x, noise)
        assert log_px.shape == kl.shape == (7,)
        loss = vae.loss(vae.theta, x, noise)
        assert loss == pytest.approx(np.mean(0.7 * kl - log_px), rel=1e-12)
        assert loss == vae.loss_and_grad(vae.theta, x, noise)[0]
        np.testing.assert_allclose(vae.elbo_terms(vae.theta, x[2:3], noise[2:3])[0], log_px[2:3])
        drawn = vae.draw_noise(np.random.default_rng(5), 7)
        expected = np.subtract(*vae.elbo_terms(vae.theta, x, drawn))
        np.testing.assert_allclose(vae.elbo(x, rng=np.random.default_rng(5)), expected, rtol=1e-12)


def test_the_names_that_hold(rng):
    vae = VAE(
        data_dim=64, latent_dim=2, hidden_dims=(128,), activation="relu",
        likelihood=Bernoulli(), beta=1.0, seed=0, dtype=np.float32,
    )  # fmt: skip
    shapes = {name: view.shape for name, view in vae.layout.views(vae.theta).items()}
    assert shapes == {
        "encoder.0.W": (64, 128), "encoder.0.b": (128,),
        "encoder.1.W": (128, 4), "encoder.1.b": (4,),
        "decoder.0.W": (2, 128), "decoder.0.b": (128,),
        "decoder.1.W": (128, 64), "decoder.1.b": (64,),
    }  # fmt: skip
    assert vae.theta.dtype == np.float32
    assert vae.theta.flags.c_contiguous
    x = rng.integers(0, 2, (10, 64))
    mean, log_var = vae.encode(x)
    assert mean.shape == log_var.shape == (10, 2)
    assert vae.reconstruct(x).shape == (10, 64)
    assert vae.decode(mean).shape == (10, 64)
    assert vae.sample(3, rng).shape == (3, 64)
    assert vae.elbo(x).shape == vae.log_likelihood(x, 10).shape == (10,)


def test_encoder_and_decoder_mirror_each_other():
    vae = VAE(10, 3, (8, 6), likelihood=Gaussian("per_dimension"))
    widths = {name: shape for name, shape in vae.layout.shapes.items() if name.endswith("W")}
    assert list(widths.values()) == [(10, 8), (8, 6), (6, 6), (3, 6), (6, 8), (8, 20)]
    shared = VAE(10, 3, (), likelihood=Gaussian("shared"))
    assert shared.layout.shapes == {
        "encoder.0.W": (10, 6), "encoder.0.b": (6,), "decoder.0.W": (3, 10), "decoder.0.b": (10,),
        "likelihood.log_var": (1,),
    }  # fmt: skip


def test_views_write_through_and_names_find_their_entry():
    vae = make_vae()
    views = vae.layout.views(vae.theta)
    for index in (0, 17, vae.layout.size - 1):
        name, _, entry = vae.layout.name_of(index).partition("[")
        position = tuple(int(i) for i in entry.rstrip("]").split(","))
        views[name][position] = 123.0
        assert vae.theta[index] == 123.0
    with pytest.raises(IndexError, match="there is no entry"):
        vae.layout.name_of(vae.layout.size)


def test_initial_weights_follow_the_activation():
    """He for ReLU, Glorot for tanh and for the layers without activation; biases zero."""
    relu = VAE(400, 2, (300,), "relu", dtype=np.float64)
    tanh = VAE(400, 2, (300,), "tanh", dtype=np.float64)
    w_relu, w_tanh = (v.layout.views(v.theta)["encoder.0.W"] for v in (relu, tanh))
    assert w_relu.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert np.abs(w_tanh).max() == pytest.approx(np.sqrt(6 / 700), rel=0.01)
    assert np.abs(w_tanh).max() <= np.sqrt(6 / 700)
    out = relu.layout.views(relu.theta)["decoder.1.W"]
    assert np.abs(out).max() <= np.sqrt(6 / 700)
    counts = VAE(400, 2, (300,), "relu", Binomial(16), dtype=np.float64)
    np.testing.assert_allclose(counts.layout.views(counts.theta)["encoder.0.W"], w_relu / 16)
    assert not relu.layout.views(relu.theta)["encoder.0.b"].any()


def test_seeds_decide_everything():
    a, b, c = (VAE(5, 2, (4,), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.theta, b.theta)
    assert (a.theta != c.theta).any()
    wide = VAE(5, 2, (4,), seed=1, dtype=np.float64)
    np.testing.assert_array_equal(a.theta, wide.theta.astype(np.float32))
    np.testing.assert_array_equal(a.sample(4), b.sample(4))


def test_chunks_change_nothing(rng):
    x = rng.integers(0, 2, (2500, 5)).astype(float)
    vae = make_vae()
    whole, parts = vae.reconstruct(x), [vae.reconstruct(x[i : i + 7]) for i in range(0, 2500, 7)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12)


def test_active_units(rng):
    """A latent dimension that the encoder ignores is not active."""
    vae = make_vae(latent_dim=2, scale=1.0)
    views = vae.layout.views(vae.theta)
    views["encoder.1.W"][:, 1] = 0.0
    x = rng.integers(0, 2, (50, 5))
    np.testing.assert_array_equal(active_units(vae, x), [True, False])
    measured = evaluate(vae, x, n_samples=20)
    assert measured["active_units"] == 1
    assert measured["elbo"] == pytest.approx(measured["log_px"] - measured["kl"])
    assert measured["elbo"] < measured["log_likelihood"] + 0.05


def test_extreme_parameters_stay_finite(rng):
    """Logits of 1e4 and log-variances of +-50 inside the whole model, in float32."""
    for likelihood in LIKELIHOODS:
        vae = make_vae(likelihood, dtype=np.float32)
        views = vae.layout.views(vae.theta)
        views["encoder.1.b"][2:] = [50.0, -50.0]
        views["decoder.0.W"][...] = 0.0  # sigma = 7e10 would drown the logits
        views["decoder.1.b"][:5] = [1e4, -1e4, 1e4, -1e4, 0.0]
        x = draw_data(likelihood, (3, 5), rng)
        loss, grad = vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, 3))
        assert np.isfinite(loss)
        assert np.isfinite(grad).all()


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"data_dim": 0}, ValueError, "data_dim must be at least 1, got 0"),
    ({"data_dim": 2.5}, TypeError, "data_dim must be an integer, got 2.5"),
    ({"latent_dim": -1}, ValueError, "latent_dim must be at least 1"),
    ({"hidden_dims": (4, 0)}, ValueError, "hidden_dims must be at least 1"),
    ({"hidden_dims": 128}, TypeError, "hidden_dims must be a sequence of widths, got 128"),
    ({"activation": "swish"}, ValueError, "unknown activation 'swish': expected one of 'relu'"),
    ({"likelihood": "bernoulli"}, TypeError, "likelihood must be .* such as Bernoulli"),
    ({"likelihood": Bernoulli}, TypeError, "likelihood must be .* such as Bernoulli"),
    ({"beta": -1.0}, ValueError, "beta must be a finite number of at least 0"),
    ({"beta": float("nan")}, ValueError, "beta must be"),
    ({"seed": -1}, ValueError, "seed must be at least 0"),
    ({"dtype": np.int64}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": "bogus"}, ValueError, "dtype must be float32 or float64, got 'bogus'"),
])  # fmt: skip
def test_constructor_errors(change, error, message):
    arguments = {"data_dim": 5, "latent_dim": 2, "hidden_dims": (4,), "likelihood": Bernoulli()}
    with pytest.raises(error, match=message):
        VAE(**{**arguments, **change})


def test_shape_errors_say_what_was_expected_and_what_came(rng):
    vae = make_vae()
    x, noise = np.zeros((3, 5)), np.zeros((3, 2))
    for method in (vae.loss, vae.loss_and_grad, vae.elbo_terms):
        with pytest.raises(
            ValueError, match=r"x must have shape \(N, D\) with 5 columns, got \(3, 4\)"
        ):
            method(vae.theta, x[:, :4], noise)
        with pytest.raises(ValueError, match=r"noise must have shape \(3, 2\), got \(2, 2\)"):
            method(vae.theta, x, noise[:2])
        with pytest.raises(ValueError, match=r"theta must have shape \(\d+,\), got \(3,\)"):
            method(np.zeros(3), x, noise)
        with pytest.raises(TypeError, match="theta must be an array of floats, got int64"):
            method(np.zeros(vae.layout.size, np.int64), x, noise)
    with pytest.raises(ValueError, match=r"out must have theta's shape \(\d+,\), got \(3,\)"):
        vae.loss_and_grad(vae.theta, x, noise, out=np.zeros(3))
    for rng_of_old in (3, np.random.RandomState(0)):
        with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator or None"):
            vae.sample(3, rng_of_old)
    with pytest.raises(TypeError, match=r"optimizer must be .* such as Adam\(\), got 'adam'"):
        vae.fit(x, optimizer="adam")
    assert vae.encode(x.tolist())[0].shape == (3, 2)
    assert vae.loss(vae.theta.tolist(), x.tolist(), noise.tolist()) == vae.loss(vae.theta, x, noise)
    with pytest.raises(TypeError, match="out must have theta's dtype float64, got float32"):
        vae.loss_and_grad(vae.theta, x, noise, out=np.zeros(vae.layout.size, np.float32))
    with pytest.raises(ValueError, match=r"x is empty"):
        vae.fit(np.zeros((0, 5)))
    with pytest.raises(TypeError, match="x must hold real numbers, got an array of complex128"):
        vae.encode(x + 1j)
    with pytest.raises(TypeError, match="x must hold real numbers, got an array of object"):
        vae.encode(np.array([[None] * 5]))
    with pytest.raises(ValueError, match=r"z must have shape \(N, L\) with 2 columns"):
        vae.decode(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"z\[1, 0\] is NaN"):
        vae.decode(np.array([[0, 0], [np.nan, 0]]))
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        vae.log_likelihood(x, 0)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        vae.sample(0, rng)
