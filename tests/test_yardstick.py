"""The estimates of log p(x) against closed forms, an independent quadrature, and each other.

In a linear-Gaussian model x = z W + b + s noise, log p(x) is log N(x; b, W^T W + s^2 I), and p(z|x)
has the precision I + W W^T / s^2: diagonal where the rows of W are orthogonal.
"""

import math

import numpy as np
import pytest

from numpyvae import VAE, Adam, Bernoulli, Binomial, Gaussian
from numpyvae.annealing import (
    _Path,
    annealed_log_likelihood,
    bidirectional_log_likelihood,
    simulate,
)
from numpyvae.data import load_digits
from numpyvae.evaluation import evaluate, lines, standard_error_of_mean, weights_quality
from numpyvae.exact import marginal_log_likelihood
from numpyvae.lattice import _integral, lattice_log_likelihood
from numpyvae.likelihoods import EXAMPLES, log_prob_table
from numpyvae.marginal import _gradient, refined_posterior
from numpyvae.models.labelled import Labelled
from numpyvae.models.latent import LatentModel
from numpyvae.models.model import MODELS
from numpyvae.priors import StandardNormal

S2 = 0.5


def linear_gaussian(rng, D, L, *, orthogonal=False, encoder="exact", variance=S2):
    """A VAE of one linear layer; its encoder is the best diagonal one, unless "poor".

    The rows of W are not far from orthogonal: a diagonal Gaussian that is fitted to a strongly
    correlated posterior leaves the mass at its ends to chance.
    """
    vae = VAE(D, L, (), likelihood=Gaussian(variance), dtype=np.float64)
    params = vae.params
    W, b = np.linalg.qr(rng.standard_normal((D, L)))[0].T, rng.standard_normal(D)
    W *= rng.uniform(0.5, 2.0, (L, 1))
    if not orthogonal:
        W += 0.2 / math.sqrt(L) * rng.standard_normal((L, D))
    params["decoder.0.W"][...], params["decoder.0.b"][...] = W, b
    precision = np.eye(L) + W @ W.T / variance
    to_mean = np.linalg.solve(precision, W / variance).T  # (D, L): mean = (x - b) to_mean
    log_var = -np.log(np.diag(precision))
    if encoder == "poor":
        to_mean, log_var = 0.6 * to_mean, log_var + 0.7
    params["encoder.0.W"][...] = np.hstack([to_mean, np.zeros((D, L))])
    params["encoder.0.b"][...] = np.concatenate([-b @ to_mean, log_var])
    return vae


def closed_form(vae, x):
    W, b = vae.params["decoder.0.W"], vae.params["decoder.0.b"]
    C = W.T @ W + float(vae.likelihood.variance) * np.eye(vae.data_dim)
    r = x - b
    squares = (r * np.linalg.solve(C, r.T).T).sum(axis=1)
    return -0.5 * (squares + np.linalg.slogdet(2 * math.pi * C)[1])


@pytest.fixture(autouse=True)
def short_pilot(monkeypatch):
    """The chains of a quick pilot are as right as others, only less efficient."""
    monkeypatch.setattr("numpyvae.annealing.PILOT_STEPS", 30)


@pytest.fixture(scope="module")
def small():
    """A small model of the digits with two latent dimensions, and digits it has not seen."""
    x_train, _, x_test, _ = load_digits()
    vae = VAE(64, 2, (32,), likelihood=Binomial(16), seed=0)
    vae.fit(x_train, epochs=15, optimizer=Adam(1e-2), verbose=False)
    return vae, x_test[:12]


# The linear-Gaussian model: everything has a closed form.


@pytest.mark.parametrize("latent_dim", [2, 8, 20])
def test_refined_sampling_agrees_with_the_closed_form(latent_dim, rng):
    vae = linear_gaussian(rng, 24, latent_dim, encoder="poor")
    x, _ = simulate(vae, 12, rng)
    truth = closed_form(vae, x)
    estimate = vae.log_likelihood(x, 2000, rng, "refined", full=True)
    assert (estimate.effective_sample_size > 5).all()
    error = (estimate.log_likelihood - truth) / estimate.standard_error
    assert np.abs(error).max() < 4.5, "within the stated errors"
    assert standard_error_of_mean(estimate) < 0.05


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize(("latent_dim", "n_steps"), [(2, 40), (8, 80), (20, 250)])
@pytest.mark.parametrize("start", ["prior", "refined"])
def test_annealing_brackets_the_closed_form(latent_dim, n_steps, start, rng):
    vae = linear_gaussian(rng, 24, latent_dim, encoder="poor")
    x, z = simulate(vae, 16, rng)
    truth = closed_form(vae, x)
    bounds = bidirectional_log_likelihood(vae, x, z, 8, n_steps, rng, start)
    for below in (truth - bounds.lower, bounds.upper - truth):
        noise = 4 * below.std() / math.sqrt(len(x))
        assert -noise < below.mean() < 0.3 + noise
        assert noise < 0.5


def test_at_the_exact_posterior_importance_sampling_has_no_variance(rng):
    """And refinement, whose every gradient is 0 there, leaves the encoder's answer alone."""
    vae = linear_gaussian(rng, 10, 4, orthogonal=True)
    x, _ = simulate(vae, 7, rng)
    mean, log_var = vae.encode(x)
    params, noise = vae.params, rng.standard_normal((7, 3, 4))
    q = np.stack([mean, log_var])
    assert np.abs(_gradient(vae, params, np.repeat(x, 3, axis=0), q, noise)).max() < 1e-12
    refined = refined_posterior(vae, x, rng)
    np.testing.assert_allclose(refined, (mean, log_var), atol=1e-6)
    for method in ("importance", "refined"):
        estimate = vae.log_likelihood(x, 50, rng, method, full=True)
        assert estimate.method == method
        np.testing.assert_allclose(estimate.log_likelihood, closed_form(vae, x), atol=1e-9)
        np.testing.assert_allclose(estimate.elbo, closed_form(vae, x), atol=1e-9)
        assert (estimate.standard_error < 1e-7).all()
        np.testing.assert_allclose(estimate.effective_sample_size, 50.0, rtol=1e-9)


def test_refinement_finds_the_exact_posterior(rng):
    vae = linear_gaussian(rng, 10, 4, orthogonal=True, encoder="poor")
    exact = linear_gaussian(np.random.default_rng(20131220), 10, 4, orthogonal=True)
    np.testing.assert_array_equal(vae.params["decoder.0.W"], exact.params["decoder.0.W"])
    x, _ = simulate(vae, 7, rng)
    for found, right in zip(refined_posterior(vae, x, rng), exact.encode(x), strict=True):
        np.testing.assert_allclose(found, right, atol=2e-3)
    before, after = vae.elbo(x, 200), vae.log_likelihood(x, 200, None, "refined", full=True).elbo
    assert (after > before).all()


def test_the_gradient_of_refinement_is_that_of_the_bound(rng):
    """In expectation over the noise: antithetic moments of a quadratic are exact."""
    vae = linear_gaussian(rng, 6, 2)
    x = rng.standard_normal((1, 6))
    q = np.stack([rng.standard_normal((1, 2)), rng.standard_normal((1, 2))])
    nodes = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)]) * math.sqrt(2.0)
    noise = np.concatenate([nodes * [1, 0], nodes * [0, 1]])[None]  # mean 0, covariance I

    def bound(q):
        z = q[0] + np.exp(0.5 * q[1]) * noise[0]
        log_joint, _ = vae.log_joint(vae.params, np.repeat(x, len(z), axis=0), z)
        return log_joint.mean() + 0.5 * q[1].sum()

    grad = _gradient(vae, vae.params, np.repeat(x, noise.shape[1], axis=0), q, noise)
    for index in np.ndindex(q.shape):
        step = np.zeros_like(q)
        step[index] = 1e-5
        slope = (bound(q + step) - bound(q - step)) / 2e-5
        assert grad[index] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_refinement_keeps_what_it_cannot_improve(rng):
    """A rate so large that it ruins every posterior: the encoder's stay."""
    vae = linear_gaussian(rng, 10, 4, orthogonal=True)
    x, _ = simulate(vae, 5, rng)
    vae.params["encoder.0.b"][:4] += 1e-3
    np.testing.assert_array_equal(
        refined_posterior(vae, x, rng, n_steps=1, learning_rate=5.0), vae.encode(x)
    )


# Quadrature.


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("variance", [0.0005, 0.5, 50.0])
def test_quadrature_is_exact_for_narrow_and_wide_posteriors(latent_dim, variance, rng):
    vae = linear_gaussian(rng, 6, latent_dim, variance=variance)
    x, _ = simulate(vae, 6, rng)
    estimate = lattice_log_likelihood(vae, x)
    truth = closed_form(vae, x)
    np.testing.assert_allclose(estimate.log_likelihood, truth, rtol=1e-7, atol=1e-4)
    assert (np.abs(estimate.log_likelihood - truth) <= estimate.standard_error + 1e-9).all()
    assert np.isinf(estimate.effective_sample_size).all()


def test_quadrature_follows_the_mass_beyond_its_first_edge(rng):
    vae = linear_gaussian(rng, 6, 2, orthogonal=True)
    W = vae.params["decoder.0.W"]
    z = np.array([[0.5, 0.1], [14.0, 0.0], [12.0, -20.0], [200.0, 0.0]])
    estimate = lattice_log_likelihood(vae, z @ W + vae.params["decoder.0.b"])
    truth = closed_form(vae, z @ W + vae.params["decoder.0.b"])
    np.testing.assert_allclose(estimate.log_likelihood[:3], truth[:3], atol=1e-4)
    assert np.isfinite(estimate.standard_error[:3]).all()
    assert np.isinf(estimate.standard_error[3]), "what lies beyond the last edge is said"


def test_quadrature_agrees_with_the_independent_one(small):
    """`numpyvae.exact` shares no code with it: kinks of ReLU, digits that were not trained on."""
    vae, x = small
    estimate = vae.log_likelihood(x, full=True)
    exact, error = marginal_log_likelihood(vae, x[:4], tolerance=0.01)
    assert estimate.method == "quadrature"
    assert (estimate.standard_error < 0.021).all()
    allowed = error + estimate.standard_error[:4]
    assert (np.abs(estimate.log_likelihood[:4] - exact) < allowed).all()
    finer = lattice_log_likelihood(vae, x, 1e-3)
    np.testing.assert_allclose(finer.log_likelihood[:4], exact, atol=error.max())
    assert (finer.standard_error < 1.1e-3).all()
    assert (np.abs(finer.log_likelihood - estimate.log_likelihood) < estimate.standard_error).all()


@pytest.mark.parametrize("likelihood", [*EXAMPLES, Gaussian("shared").scaled_to(
    np.random.default_rng(0).normal(30.0, [[9.0, 2.0, 5.0]], (50, 3)))], ids=repr)  # fmt: skip
def test_a_table_of_log_probabilities_is_made_of_those_of_pairs(likelihood, rng):
    vae = VAE(3, 2, (4,), likelihood=likelihood, dtype=np.float64)
    vae.theta[:] = 0.5 * rng.standard_normal(vae.theta.size)
    output = 2.0 * rng.standard_normal((5, likelihood.output_dim(3)))
    x = vae.draw_data(rng, 4)

    class Bare:
        log_prob = staticmethod(likelihood.log_prob)

    pairs = likelihood.log_prob(vae.params, np.repeat(x, 5, axis=0), np.tile(output, (4, 1)))[0]
    for kind in (likelihood, Bare):
        table = log_prob_table(kind, vae.params, x, output)
        np.testing.assert_allclose(table, pairs.reshape(4, 5), rtol=1e-10, atol=1e-10)


# All together, where no closed form is.


@pytest.mark.slow
def test_grid_refined_and_annealed_agree_within_their_errors(small, rng):
    """Where the posterior has one mode: of others the refined Gaussian covers one alone."""
    vae, x = small
    grid = vae.log_likelihood(x, method="quadrature", full=True)
    refined = vae.log_likelihood(x, 500, rng, "refined", full=True)
    annealed = annealed_log_likelihood(vae, x, 8, 120, rng)
    assert annealed.method == "annealed"
    assert (refined.log_likelihood < grid.log_likelihood + 5 * refined.standard_error + 0.02).all()
    close = np.abs(refined.log_likelihood - grid.log_likelihood) < 0.2
    assert close.mean() > 0.6
    gap = annealed.log_likelihood - grid.log_likelihood
    assert np.abs(gap.mean()) < 4 * standard_error_of_mean(annealed) + 0.02
    plain = vae.log_likelihood(x, 500, rng, "importance")
    assert plain.mean() < refined.log_likelihood.mean() < grid.log_likelihood.mean() + 0.05


def test_weights_have_the_right_expectation_both_ways(rng):
    """E[w] = p(x) and, backwards from an exact sample, E[1/w] = 1/p(x), for a bad short chain."""
    vae = linear_gaussian(rng, 3, 1, variance=2.0)
    x, z = simulate(vae, 1, rng)
    many, C = np.repeat(x, 400, axis=0), 50
    mean, log_var = linear_posterior(vae, x)
    z = mean + np.exp(0.5 * log_var) * rng.standard_normal((400, 1))
    bounds = bidirectional_log_likelihood(vae, many, z, C, 3, rng, verbose=False)
    truth = closed_form(vae, x)[0]
    up, down = np.exp(bounds.lower - truth), np.exp(truth - bounds.upper)
    for ratio in (up, down):
        error = ratio.std() / math.sqrt(len(ratio))
        assert ratio.std() * math.sqrt(C) > 0.02, "so short a chain has variance"
        assert abs(ratio.mean() - 1.0) < 4 * error
    assert bounds.lower.mean() < truth < bounds.upper.mean()


def linear_posterior(vae, x):
    """Mean and log_var of p(z|x), L = 1."""
    W, b = vae.params["decoder.0.W"], vae.params["decoder.0.b"]
    precision = 1.0 + (W @ W.T).item() / float(vae.likelihood.variance)
    return (x - b) @ W.T / float(vae.likelihood.variance) / precision, -math.log(precision)


def test_a_transition_leaves_its_distribution_as_it_is(rng):
    """From exact samples of f_b, moments stay; a step far too large is not accepted."""
    vae = linear_gaussian(rng, 3, 1)
    n, beta = 40_000, 0.6
    x = np.repeat(rng.standard_normal((1, 3)), n, axis=0)
    zero = np.zeros((n, 1))
    path = _Path(vae, x, (zero, zero), 1)
    mean, log_var = linear_posterior(vae, x[:1])  # f_b: prior times likelihood^b
    likelihood_precision = math.exp(-log_var) - 1.0
    precision = 1.0 + beta * likelihood_precision
    centre = beta * math.exp(-log_var) * mean.item() / precision
    u = centre + rng.standard_normal((n, 1)) / math.sqrt(precision)
    for step, low, high in ((0.6, 0.5, 1.0), (50.0, 0.0, 0.02)):
        state, accepted = path.transition((u, *path.joint(u)), beta, np.full(n, step), rng)
        assert low <= accepted.mean() <= high
        assert state[0].mean() == pytest.approx(centre, abs=4 / math.sqrt(n * precision))
        assert state[0].var() * precision == pytest.approx(1.0, abs=4 * math.sqrt(2 / n))
        np.testing.assert_array_equal(path.joint(state[0])[0], state[1])


def test_the_derivative_by_the_standardized_code(rng):
    vae = linear_gaussian(rng, 5, 2)
    u, q = rng.standard_normal((4, 2)), rng.standard_normal((2, 4, 2))
    path = _Path(vae, rng.standard_normal((4, 5)), (q[0], q[1]), 1)
    for column in range(2):
        step = 1e-5 * np.eye(2)[column]
        slope = (path.joint(u + step)[0] - path.joint(u - step)[0]) / 2e-5
        np.testing.assert_allclose(path.joint(u)[1][:, column], slope, rtol=1e-5, atol=1e-6)


def test_the_error_of_quadrature_is_that_of_the_worst_wider_lattice(rng):
    table, lattice = rng.standard_normal((3, 20)), np.arange(20) % 4
    log_px, error = _integral(table, lattice, 0.5, 2)
    weight = np.exp(table)
    np.testing.assert_allclose(log_px, np.log(weight.sum(axis=1) * 0.25))
    wider = np.log([weight[:, lattice == k].sum(axis=1) for k in range(4)])
    np.testing.assert_allclose(error, np.abs(wider - log_px).max(axis=0))


def test_standard_errors_are_those_of_repetitions(rng):
    log_weight = rng.standard_normal((3000, 40)) * 0.8 + 7.0
    estimates = np.log(np.exp(log_weight).mean(axis=1))
    error, size = weights_quality(log_weight)
    assert np.sqrt((error**2).mean()) == pytest.approx(estimates.std(), rel=0.1)
    w = np.exp(log_weight)
    np.testing.assert_allclose(size, w.sum(axis=1) ** 2 / (w * w).sum(axis=1), rtol=1e-10)
    relative = w.std(axis=1, ddof=1) / w.mean(axis=1) / math.sqrt(40)
    np.testing.assert_allclose(error, relative, rtol=1e-10)
    assert np.isinf(weights_quality(log_weight[:, :1])[0]).all()


# What kinds of models, and how it is asked.


class Narrow:
    """N(0, I / 4): of the members of a prior those that evaluation asks for."""

    def log_prob(self, params, z):
        return -0.5 * (4.0 * z * z + math.log(math.pi / 2)).sum(axis=-1), z

    def log_prob_backward(self, params, grads, dlog_prob, z):
        return -4.0 * dlog_prob[:, None] * z


class Told(Labelled, LatentModel):
    """A decoder and an encoder that are told the class: only what evaluation asks of a model."""

    def __init__(self, seed=0):
        self.n_classes = 3
        super().__init__(
            5, 2, (4,), "tanh", Bernoulli(), StandardNormal(), seed, np.float64, n_classes=3
        )


def test_models_with_labels_and_other_priors(rng):
    model = Told()
    model.theta[:] = rng.standard_normal(model.theta.size)
    data = model.draw_data(rng, 7)
    grid = model.log_likelihood(data, full=True)
    assert grid.method == "quadrature"
    refined = model.log_likelihood(data, 3000, rng, "refined")
    np.testing.assert_allclose(refined, grid.log_likelihood, atol=0.15)
    other = model.log_likelihood((data[0], (data[1] + 1) % 3))
    assert np.abs(other - grid.log_likelihood).max() > 0.1, "the labels are heard"
    (x, y), z = simulate(model, 30, rng, np.arange(30) % 3)
    bounds = bidirectional_log_likelihood(model, (x, y), z, 8, 40, rng)
    truth = model.log_likelihood((x, y))
    for below in (truth - bounds.lower, bounds.upper - truth):
        assert abs(below.mean()) < 0.02 + 4 * below.std() / math.sqrt(30) < 0.2

    model.prior = Narrow()
    assert model.log_likelihood(data, 5, full=True).method == "refined"
    with pytest.raises(ValueError, match=r"standard normal prior.*method='refined'"):
        model.log_likelihood(data, method="quadrature")
    annealed = annealed_log_likelihood(model, data, 8, 40, rng).log_likelihood
    refined = model.log_likelihood(data, 3000, rng)
    assert annealed.mean() == pytest.approx(refined.mean(), abs=0.1)


def test_the_models_of_these_tests_are_not_listed():
    assert "Told" not in MODELS


def test_how_it_is_asked(small):
    vae, x = small
    automatic = vae.log_likelihood(x)
    np.testing.assert_array_equal(automatic, vae.log_likelihood(x, method="quadrature"))
    np.testing.assert_array_equal(automatic, vae.log_likelihood(x, 3, np.random.default_rng(9)))
    for method in ("refined", "importance"):
        first, again, other = (
            vae.log_likelihood(x[:2], 3, np.random.default_rng(seed), method) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).all()
    with pytest.raises(ValueError, match=r"unknown method 'exact': expected one of .*'refined'"):
        vae.log_likelihood(x, method="exact")
    wide = VAE(64, 3, (4,), likelihood=Binomial(16))
    assert wide.log_likelihood(x[:2], 4, full=True).method == "refined"
    with pytest.raises(ValueError, match="quadrature needs latent_dim 1 or 2"):
        wide.log_likelihood(x, method="quadrature")
    for start, steps, chains in (("prior", 0, 2), ("prior", 2, 0), ("encoder", 2, 2)):
        with pytest.raises(ValueError, match=r"must be at least 1|unknown start"):
            annealed_log_likelihood(vae, x, chains, steps, start=start)


def test_the_gaps_add_up(small):
    vae, x = small
    measured = evaluate(vae, x, 300)
    gap = measured["log_likelihood"] - measured["elbo"]
    assert measured["amortization_gap"] + measured["approximation_gap"] == pytest.approx(gap)
    assert measured["amortization_gap"] > 0.5
    assert measured["approximation_gap"] > 0.0
    assert measured["log_likelihood"] == vae.log_likelihood(x).mean()
    assert measured["sampled_log_likelihood"] < measured["log_likelihood"] + 0.05


def test_the_table_says_how_and_how_well(small):
    vae, x = small
    wide = VAE(64, 3, (4,), likelihood=Binomial(16))
    for model, rows in (
        (vae, ["log p(x), quadrature", "  standard error", "log p(x), 7 samples"]),
        (wide, ["log p(x), 7 samples", "  standard error"]),
    ):
        measured = evaluate(model, x, 7)
        *table, last = lines(measured, len(x), 7)
        names, values = [line[:32].rstrip() for line in table], [line[32:] for line in table]
        assert names == ["ELBO", "  log p(x|z)", "  KL(q(z|x) || p(z))", *rows,
                         "log p(x) - ELBO, amortisation", "  the rest"]  # fmt: skip
        assert all(value.endswith(" nats") for value in values)
        assert float(values[3].split()[0]) == pytest.approx(measured["log_likelihood"], abs=6e-4)
        few = measured["few_effective"]
        assert last.endswith(f"effective sample size below 5: {few} of 12")
    assert few > 0


def test_progress_is_shown_on_a_terminal_alone(rng, monkeypatch, capsys):
    monkeypatch.setattr("numpyvae.annealing.PILOT_STEPS", 4)
    vae = linear_gaussian(rng, 4, 2)
    x, _ = simulate(vae, 2, rng)
    annealed_log_likelihood(vae, x, 2, 3, rng)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("numpyvae.streams.Steady.isatty", lambda self: True)
    annealed_log_likelihood(vae, x, 2, 3, rng)
    assert "annealing: " in (out := capsys.readouterr().out)
    assert "left" in out
    annealed_log_likelihood(vae, x, 2, 3, rng, verbose=False)
    assert capsys.readouterr().out == ""
