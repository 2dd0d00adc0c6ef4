"""The importance-weighted bound and both gradients of it, against closed forms and quadrature.

Each oracle is called twice: as the package is, and with a mistake planted that people have made,
where it has to fail.
"""

import math

import numpy as np
import pytest
from planting import plant

from numpyvae import (
    VAE,
    Bernoulli,
    Binomial,
    Gaussian,
    ImportanceWeightedVAE,
    LearnedPriorVAE,
    objectives,
    proofs,
)
from numpyvae.evaluation import active_units, evaluate
from numpyvae.models import importance_weighted, load
from numpyvae.priors import StandardNormal


def make(n_samples=4, estimator="dreg", likelihood=None, latent_dim=2, seed=0):
    """A small model at a generic point."""
    model = ImportanceWeightedVAE(
        5, latent_dim, n_samples, estimator, (6,), "tanh", likelihood or Bernoulli(),
        dtype=np.float64,
    )  # fmt: skip
    model.theta[:] = 0.6 * np.random.default_rng(seed).standard_normal(model.layout.size)
    return model


def at_the_exact_posterior(n_samples, estimator="dreg"):
    """A linear-Gaussian model whose encoder is right, and its log p(x) as a function."""
    rng, variance = np.random.default_rng(7), 0.4
    model = ImportanceWeightedVAE(
        5, 2, n_samples, estimator, (), likelihood=Gaussian(variance), dtype=np.float64
    )
    W = np.linalg.qr(rng.standard_normal((5, 2)))[0].T * [[1.5], [0.7]]  # rows at right angles
    b = rng.standard_normal(5)
    precision = 1.0 + (W * W).sum(axis=1) / variance  # of the posterior, (L,)
    p = model.params
    p["decoder.0.W"][:], p["decoder.0.b"][:] = W, b
    p["encoder.0.W"][:], p["encoder.0.b"][:] = 0.0, 0.0
    p["encoder.0.W"][:, :2] = W.T / variance / precision
    p["encoder.0.b"][:2] = -b @ p["encoder.0.W"][:, :2]
    p["encoder.0.b"][2:] = -np.log(precision)
    covariance = W.T @ W + variance * np.eye(5)

    def log_px(x):
        squared = ((x - b) * np.linalg.solve(covariance, (x - b).T).T).sum(axis=1)
        return -0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1])

    return model, log_px


def encoder_of(model, grad):
    return np.concatenate(
        [grad[where] for name, where in model.layout.slices.items() if name.startswith("encoder")]
    )


def check_the_bound_at_the_exact_posterior(rng):
    """It is log p(x), whatever S and the noise: every weight is the same."""
    x = rng.standard_normal((6, 5))
    for n_samples in (1, 4):
        model, log_px = at_the_exact_posterior(n_samples)
        for _ in range(3):
            _, terms = model.loss_and_terms(model.theta, x, model.draw_noise(rng, 6))
            np.testing.assert_allclose(terms["iw_bound"], log_px(x), rtol=1e-12)


def check_dreg_vanishes_at_the_exact_posterior(rng):
    """Every sample says that the encoder is right; the standard estimator only on average."""
    x = rng.standard_normal((6, 5))
    for n_samples in (1, 4):
        model, _ = at_the_exact_posterior(n_samples)
        noise = model.draw_noise(rng, 6)
        grad = model.loss_and_grad(model.theta, x, noise)[1]
        assert np.abs(encoder_of(model, grad)).max() < 1e-12
        standard, _ = at_the_exact_posterior(n_samples, "standard")
        other = standard.loss_and_grad(model.theta, x, noise)[1]
        assert np.abs(encoder_of(model, other)).max() > 0.01
        decoder = slice(len(encoder_of(model, grad)), None)
        np.testing.assert_allclose(grad[decoder], other[decoder], rtol=1e-12)


def check_gradients(rng):
    for estimator in ("dreg", "standard"):
        (pair,) = proofs.model_pairs(make(3, estimator, Binomial(16)), 4, rng)
        assert proofs.prove(pair).passed


def check_both_estimators_have_the_same_mean(rng):
    """Over the noise of S = 2 samples, L = 1: 20 x 20 Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    x = rng.integers(0, 2, (1, 5))
    means = []
    for estimator in ("dreg", "standard"):
        model = make(2, estimator, latent_dim=1)
        model.theta *= 0.5  # smoother, so that the quadrature is exact to 1e-8
        means.append(
            sum(
                wi * wj * model.loss_and_grad(model.theta, x, np.array([[[a], [b]]]))[1]
                for a, wi in zip(nodes, weights, strict=True)
                for b, wj in zip(nodes, weights, strict=True)
            )
        )
    np.testing.assert_allclose(*means, atol=1e-7 * np.abs(means[1]).max())


def check_one_sample_is_the_vae_with_a_sampled_kl(rng):
    """S = 1: the same loss and, by the standard estimator, the same gradient."""
    x, noise = rng.integers(0, 2, (6, 5)), rng.standard_normal((6, 1, 2))
    vae = LearnedPriorVAE(5, 2, StandardNormal(), (6,), "tanh", dtype=np.float64)
    for estimator in ("dreg", "standard"):
        model = make(1, estimator)
        loss, grad = model.loss_and_grad(model.theta, x, noise)
        expected, theirs = vae.loss_and_grad(model.theta, x, noise[:, 0])
        assert loss == pytest.approx(expected, rel=1e-13)
        if estimator == "standard":
            np.testing.assert_allclose(grad, theirs, rtol=1e-12, atol=1e-15)


def check_each_example_has_its_own_samples(rng):
    """The loss of a batch is the mean of the losses of its rows, each with its noise."""
    model = make(3)
    x, noise = rng.integers(0, 2, (4, 5)), model.draw_noise(rng, 4)
    rows = [model.loss(model.theta, x[n : n + 1], noise[n : n + 1]) for n in range(4)]
    assert model.loss(model.theta, x, noise) == pytest.approx(np.mean(rows), rel=1e-13)


def check_the_bound_of_one_gaussian(rng):
    """x = 1.3 ~ N(z, 1), z ~ N(0, 1), q = N(0.2, 1): the bound's mean for S = 1, 2 by quadrature.

    The values were computed from the formula alone; log p(x) is log N(1.3; 0, 2) = -1.688.
    """
    model = ImportanceWeightedVAE(1, 1, 2, hidden_dims=(), likelihood=Gaussian(1.0), dtype=float)
    p = model.params
    p["encoder.0.W"][:], p["encoder.0.b"][:] = 0.0, [0.2, 0.0]
    p["decoder.0.W"][:], p["decoder.0.b"][:] = 1.0, 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    noise = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2, 1)
    _, terms = model.loss_and_terms(model.theta, np.full((3600, 1), 1.3), noise)
    mean = {name: np.outer(weights, weights).ravel() @ values for name, values in terms.items()}
    assert mean["log_px"] - mean["kl"] == pytest.approx(-2.04394, abs=1e-5)
    assert mean["iw_bound"] == pytest.approx(-1.80799, abs=1e-5)


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_oracles(check, rng):
    check(rng)


BOUND = objectives, "iw_bound"
FORWARD, BACKWARD = (ImportanceWeightedVAE, "forward"), (ImportanceWeightedVAE, "backward")
WEIGHTS = "iw_bound(log_px + log_pz - log_qz)"
MISTAKES = {
    "log S is forgotten": (
        importance_weighted, "iw_bound", "log_sum - math.log(log_weight.shape[1])", "log_sum",
        check_the_bound_at_the_exact_posterior),
    "the mean of the logarithms": (
        importance_weighted, "iw_bound", "log_sum - math.log(log_weight.shape[1])",
        "log_weight.mean(axis=1)", check_the_bound_of_one_gaussian),
    "the analytic KL in every weight": (
        *FORWARD, WEIGHTS,
        "iw_bound(log_px - 0.5 * (mean**2 + np.exp(log_var) - 1.0 - log_var).sum(axis=-1))",
        check_the_bound_at_the_exact_posterior),
    "weights of the wrong sign, which favour the worst sample": (
        *FORWARD, WEIGHTS, "iw_bound(log_qz - log_px - log_pz)",
        check_one_sample_is_the_vae_with_a_sampled_kl),
    "weights that are not the samples' shares": (
        importance_weighted, "iw_bound_backward", "dbound[:, None] * weight",
        "dbound[:, None] / weight.shape[1] + 0.0 * weight", check_gradients),
    "the data in another order than the noise": (
        *FORWARD, "np.repeat(x, z.shape[1], axis=0)", "np.tile(x, (z.shape[1], 1))",
        check_each_example_has_its_own_samples),
    "w in place of w^2: biased": (
        *BACKWARD, "weight[..., None] * (dz +", "1.0 * (dz +",
        check_both_estimators_have_the_same_mean),
    "log q's path through z is forgotten": (
        *BACKWARD, "(dz + dlog_weight[..., None] * noise_by_sigma)", "dz",
        check_dreg_vanishes_at_the_exact_posterior),
    "log q's direct path is left in": (
        *BACKWARD, 'self.estimator == "standard"', "True",
        check_dreg_vanishes_at_the_exact_posterior),
    "DReG's w^2 reaches the decoder": (
        *BACKWARD, "(dlog_weight,) = iw_bound_backward(dbound, weight)",
        "dlog_weight = iw_bound_backward(dbound, weight)[0] * weight", check_gradients),
    "one sample's gradient in place of the sum of all": (
        *BACKWARD, "dmean.sum(axis=1)", "dmean[:, 0]", check_gradients),
    "their mean": (*BACKWARD, "dlog_var.sum(axis=1)", "dlog_var.mean(axis=1)", check_gradients),
}  # fmt: skip


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(mistake, rng, monkeypatch):
    *where, check = MISTAKES[mistake]
    plant(monkeypatch, *where)
    with pytest.raises(AssertionError):
        check(rng)


def test_w_in_place_of_w_squared_is_no_derivative_either(rng, monkeypatch):
    """The surrogate sees it too, which holds w constant and multiplies once more by it."""
    plant(monkeypatch, *BACKWARD, "weight[..., None] * (dz +", "1.0 * (dz +")
    with pytest.raises(AssertionError):
        check_gradients(rng)


def test_what_is_held_changes_no_value(rng):
    """The surrogate's value is the loss; it is its derivative by the encoder that differs."""
    model = make(4)
    x, noise = rng.integers(0, 2, (6, 5)).astype(float), model.draw_noise(rng, 6)
    held = model.held(model.params, x, noise)
    loss = model.loss(model.theta, x, noise)
    assert model.loss(model.theta, x, noise, held) == pytest.approx(loss, rel=1e-13)
    assert make(4, "standard").held(model.params, x, noise) is None
    grad = model.loss_and_grad(model.theta, x, noise)[1]
    derivative = make(4, "standard").loss_and_grad(model.theta, x, noise)[1]
    differs = np.abs(grad - derivative) > 1e-12
    names = {model.layout.name_of(i).split(".")[0] for i in np.flatnonzero(differs)}
    assert names == {"encoder"}


def test_its_elbo_is_the_elbo(rng):
    """Of S samples the mean, comparable with other models'; the tighter bound has its own name."""
    model, vae = make(4), LearnedPriorVAE(5, 2, StandardNormal(), (6,), "tanh", dtype=np.float64)
    x, noise = rng.integers(0, 2, (6, 5)), model.draw_noise(rng, 6)
    loss, terms = model.loss_and_terms(model.theta, x, noise)
    each = [np.subtract(*vae.elbo_terms(model.theta, x, noise[:, s])) for s in range(4)]
    np.testing.assert_allclose(model.bound(terms), np.mean(each, axis=0), rtol=1e-12)
    expected = np.log(np.mean(np.exp(each), axis=0))
    np.testing.assert_allclose(terms["iw_bound"], expected, rtol=1e-12)
    assert loss == pytest.approx(-expected.mean(), rel=1e-13)
    assert (terms["iw_bound"] >= model.bound(terms)).all()
    vae.theta[:] = model.theta
    generators = [np.random.default_rng(5) for _ in range(2)]
    np.testing.assert_allclose(
        model.elbo(x, 500, generators[0]), vae.elbo(x, 2000, generators[1]), atol=0.15
    )


def test_the_questions_of_evaluation(rng):
    """Importance sampling has a number of samples of its own, whatever S was in training."""
    x = rng.standard_normal((6, 5))
    for n_samples in (1, 3):
        model, log_px = at_the_exact_posterior(n_samples)
        np.testing.assert_allclose(model.log_likelihood(x, 7), log_px(x), rtol=1e-12)
        weights = model.log_weight(model.params, x, rng.standard_normal((6, 2)))
        np.testing.assert_allclose(weights, log_px(x), rtol=1e-12)
        assert model.sample(3).shape == model.reconstruct(x[:3]).shape == (3, 5)
        assert active_units(model, x).shape == (2,)
        measured = evaluate(model, x, 10)
        assert measured["elbo"] == pytest.approx(measured["log_likelihood"], abs=1e-12)
    twin = VAE(5, 2, (6,), "tanh", dtype=np.float64)
    model = make()
    twin.theta[:] = model.theta
    counts = rng.integers(0, 2, (6, 5))
    np.testing.assert_array_equal(model.log_likelihood(counts, 50), twin.log_likelihood(counts, 50))


def test_float32_trains_and_saves(tmp_path, rng):
    x = rng.integers(0, 2, (40, 5))
    for estimator in ("dreg", "standard"):
        model, whole = (ImportanceWeightedVAE(5, 2, 3, estimator, (4,), seed=3) for _ in range(2))
        model.fit(x, 2, verbose=False)
        model.save(tmp_path / "model.npz")
        again = load(tmp_path / "model.npz")
        assert repr(again) == f"ImportanceWeightedVAE(5-4-2, relu, Bernoulli(), S=3, {estimator})"
        again.fit(x, 2, verbose=False)
        whole.fit(x, 4, verbose=False)
        np.testing.assert_array_equal(again.theta, whole.theta)
        record = whole.history[-1]
        assert record["loss"] == pytest.approx(-record["iw_bound"], rel=1e-5)
        assert record["elbo"] < record["iw_bound"]
        loss, grad = whole.loss_and_grad(whole.theta, x, whole.draw_noise(rng, 40))
        assert loss.dtype == grad.dtype == np.float32


def test_far_weights_stay_finite():
    """One sample a thousand nats better than the others has all the weight."""
    log_weight = np.array([[-5000.0, -4000.0, -1e5]], np.float32)
    bound, cache = objectives.iw_bound(log_weight)
    assert bound[0] == pytest.approx(-4000.0 - math.log(3), rel=1e-6)
    assert objectives.iw_bound_backward(np.ones(1, np.float32), cache)[0].tolist() == [[0, 1, 0]]


def test_what_is_refused():
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        ImportanceWeightedVAE(5, 2, 0)
    with pytest.raises(ValueError, match="unknown estimator 'stl': expected one of 'dreg', 'stand"):
        ImportanceWeightedVAE(5, 2, estimator="stl")
    model = make(4)
    with pytest.raises(ValueError, match=r"noise must have shape \(3, 4, 2\), got \(3, 2\)"):
        model.loss(model.theta, np.zeros((3, 5)), np.zeros((3, 2)))
