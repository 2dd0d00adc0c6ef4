"""The quadrature once more: one example, one cell, one child at a time, from its docstring.

The fast code keeps many examples and cells in one work list; what it does to each is written here
as a loop in plain Python, and both give the same integral, the same error and use the same cells.
"""

import itertools
import math

import numpy as np
import pytest

from numpyvae import VAE, Bernoulli, Binomial, Gaussian
from numpyvae.exact import marginal_log_likelihood, quadrature
from numpyvae.exact.quadrature import _Decoder, _gauss_lobatto, _log_sum, _log_sum_exp
from numpyvae.proofs import LIKELIHOODS, draw_data


def make_vae(likelihood, latent_dim, activation="tanh", scale=1.0, seed=0):
    vae = VAE(3, latent_dim, (4,), activation, likelihood, dtype=np.float64)
    vae.theta[:] = scale * np.random.default_rng(seed).standard_normal(len(vae.theta))
    return vae


def log_normal(z):
    return -0.5 * (np.square(z) + math.log(2 * math.pi)).sum(axis=-1)


def log_px(vae, outputs, x):
    """log p(x | output) of one example at several outputs (G, D'), without the coefficients."""
    params, x = vae.layout.views(vae.theta), np.asarray(x)
    values, _ = vae.likelihood.log_prob(params, np.tile(x, (len(outputs), 1)), outputs)
    if isinstance(vae.likelihood, Binomial):
        n = vae.likelihood.total_count
        values = values - sum(math.log(math.comb(n, int(k))) for k in x)
    return values


def best_output(vae, low, high, x):
    """The output between low and high that fits best: entry by entry, where it is one-humped."""
    if isinstance(vae.likelihood, Binomial):
        n = vae.likelihood.total_count
        with np.errstate(divide="ignore"):
            return np.clip(np.log(x / n) - np.log(1 - x / n), low, high)
    mean = np.clip(x, low[:3], high[:3])
    if vae.likelihood.variance != "per_dimension":
        return mean
    with np.errstate(divide="ignore"):
        return np.concatenate([mean, np.clip(np.log((x - mean) ** 2), low[3:], high[3:])])


def child_again(vae, centre, half_width, x):
    """Log integral over one cell, an upper bound on it, and the integrand's highest and lowest."""
    dim = vae.latent_dim
    points, weights = _gauss_lobatto(10 if dim == 1 else 6)
    z = centre + half_width * np.array(list(itertools.product(points, repeat=dim)))  # (G, L)
    volumes = np.prod(list(itertools.product(half_width * weights, repeat=dim)), axis=1)  # (G,)
    outputs, _ = vae.decoder.forward(vae.layout.views(vae.theta), z)
    joint = log_px(vae, outputs, x) + log_normal(z)
    low, high = np.min(outputs, axis=0), np.max(outputs, axis=0)
    wider = 0.5 * (high - low)
    best = best_output(vae, low - wider, high + wider, x)
    nearest = [max(abs(c) - half_width, 0.0) for c in centre]
    bound = log_px(vae, best[None], x)[0] + log_normal(nearest)
    bound = np.fmin(bound, joint.max() + (joint.max() - joint.min()))
    bound += dim * math.log(2 * half_width)
    return np.logaddexp.reduce(joint + np.log(volumes)), bound, joint.max(), joint.min()


@np.errstate(all="ignore")
def integrate_again(vae, x, tolerance, max_cells):
    """log p(x) of one example without its coefficient, the error estimate, the number of cells."""
    dim, half_width, spent = vae.latent_dim, 1024.0, 0
    corners = [np.array(c) for c in itertools.product((-1.0, 1.0), repeat=dim)]
    work = [(np.zeros(dim), -math.inf, math.inf)]
    total, log_error = -math.inf, -math.inf
    while work:
        half_width /= 2
        level = []
        for centre, coarse, last_change in work:
            children = [centre + half_width * corner for corner in corners]
            masses, bounds, tops, bottoms = zip(
                *(child_again(vae, child, half_width, x) for child in children), strict=True
            )
            fine = np.logaddexp.reduce(masses)
            change = math.inf
            if max(tops) - min(bottoms) <= 20:
                difference = -math.expm1(-abs(fine - coarse))
                change = max(fine, coarse) + (math.log(difference) if difference else -math.inf)
                change -= math.log(len(children))
            doubt = max(change, last_change - (math.log(8) if dim == 2 else 0.0))
            for child, mass, bound in zip(children, masses, bounds, strict=True):
                distance = math.hypot(*(max(abs(c) - half_width, 0.0) for c in child))
                small = 2 * half_width <= 0.5 * max(1.0, distance)
                level.append((child, mass, min(doubt, bound) if small else math.inf, change))
        spent += len(level)
        now = np.logaddexp(total, np.logaddexp.reduce([mass for _, mass, _, _ in level]))
        work = []
        for child, mass, doubt, change in level:
            if doubt <= math.log(tolerance / len(level)) + now or spent > max_cells:
                total, log_error = np.logaddexp(total, mass), np.logaddexp(log_error, doubt)
            else:
                work.append((child, mass, change))
    relative = math.exp(log_error - total)
    floor = tolerance + 1e-13 * abs(total)
    error = floor - math.log1p(-relative) if relative < 1 else math.inf
    return total, error, spent


CASES = [
    *((p, 1, "tanh", 1e-3, 10_000) for p in LIKELIHOODS),
    (Gaussian(0.05), 1, "relu", 1e-6, 10_000),  # kinks
    (Bernoulli(), 1, "leaky_relu", 1e-5, 10_000),
    (Bernoulli(), 2, "tanh", 0.5, 10_000),
    (Gaussian(0.5), 2, "relu", 0.9, 10_000),
    (Gaussian(0.05), 1, "sigmoid", 1e-7, 60),  # too few cells
]


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize(("likelihood", "latent_dim", "activation", "tolerance", "cells"), CASES)
def test_it_is_what_its_docstring_says(
    likelihood, latent_dim, activation, tolerance, cells, monkeypatch
):
    vae = make_vae(likelihood, latent_dim, activation)
    x = draw_data(likelihood, (1, 3), np.random.default_rng(1))
    used = []
    evaluate = quadrature._evaluate

    def counted(decoder, centres, half_width, x, owner, cell):
        used.append(2**latent_dim * len(owner))
        return evaluate(decoder, centres, half_width, x, owner, cell)

    monkeypatch.setattr(quadrature, "_evaluate", counted)
    log_p, error = marginal_log_likelihood(vae, x, tolerance=tolerance, max_cells=cells)
    expected, expected_error, spent = integrate_again(vae, x[0], tolerance, cells)
    if isinstance(likelihood, Binomial):
        expected += sum(math.log(math.comb(likelihood.total_count, int(k))) for k in x[0])
    assert log_p[0] == pytest.approx(expected, rel=1e-11)
    assert error[0] == pytest.approx(expected_error, rel=1e-7)
    assert sum(used) == spent


@pytest.mark.parametrize("n", [2, 6, 10])
def test_gauss_lobatto_is_exact_up_to_its_degree_and_no_further(n):
    points, weights = _gauss_lobatto(n)
    assert (points[0], points[-1]) == (-1.0, 1.0)
    assert len(points) == len(weights) == n
    assert (np.diff(points) > 0).all()
    for degree in range(2 * n - 2):
        exact = 0.0 if degree % 2 else 2 / (degree + 1)
        assert weights @ points**degree == pytest.approx(exact, abs=1e-13)
    assert weights @ points ** (2 * n - 2) != pytest.approx(2 / (2 * n - 1), rel=1e-9)


def test_sums_of_exponentials(rng):
    values, owners = rng.uniform(-5, 5, 20), rng.integers(0, 3, 20)
    expected = [np.logaddexp.reduce(values[owners == k]) for k in range(3)]
    with np.errstate(divide="ignore"):
        sums = _log_sum(values, owners, 4)
        np.testing.assert_allclose(sums[:3], expected, rtol=1e-12)
        assert sums[3] == -np.inf  # an owner of nothing
        nothing = np.full((2, 3), -np.inf)
        nothing[1, 2] = 0.5
        assert _log_sum_exp(nothing).tolist() == [-np.inf, 0.5]
    table = 800.0 + rng.uniform(-5, 5, (2, 3, 4))
    np.testing.assert_allclose(_log_sum_exp(table), np.logaddexp.reduce(table, axis=-1))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_no_output_between_the_bounds_is_better_than_the_best(likelihood, rng):
    """And the best one lies between them: at an inner optimum, at an edge, and for a single one."""
    vae = make_vae(likelihood, 1)
    decoder, x = _Decoder(vae), draw_data(likelihood, (5, 3), rng)
    width = likelihood.output_dim(3)
    low = rng.normal(0, 2, (5, 1, width))
    high = low + rng.uniform(0, 3, low.shape) * (np.arange(5) > 0)[:, None, None]
    with np.errstate(divide="ignore"):
        best = decoder.best_output(low, high, x)
    assert (low <= best).all()
    assert (best <= high).all()
    highest = decoder.log_prob(best, np.arange(5), x)[:, 0]
    for _ in range(200):
        other = rng.uniform(low, high)
        assert (decoder.log_prob(other, np.arange(5), x)[:, 0] <= highest + 1e-12).all()


@pytest.mark.parametrize("activation", quadrature.ACTIVATIONS)
def test_the_decoder_is_the_models(activation, rng):
    """Written twice, equal: outputs and log-probabilities, for deep networks and none."""
    name = "tanh" if activation == "identity" else activation
    hidden = () if activation == "identity" else (5, 4)
    for likelihood in LIKELIHOODS:
        vae = VAE(3, 2, hidden, name, likelihood, dtype=np.float64)
        vae.theta[:] = rng.standard_normal(len(vae.theta))
        z, x = rng.standard_normal((4, 6, 2)), draw_data(likelihood, (4, 3), rng)
        params, decoder = vae.layout.views(vae.theta), _Decoder(vae)
        output, _ = vae.decoder.forward(params, z.reshape(-1, 2))
        np.testing.assert_allclose(
            decoder.output(z), output.reshape(4, 6, -1), rtol=1e-11, atol=1e-13
        )
        cells = np.array([3, 0, 2, 2])
        ours = decoder.log_prob(decoder.output(z), cells, x) + decoder.log_coefficient(x)[:, None]
        for p, cell in enumerate(cells):
            again = decoder.output(z)[cell]
            expected, _ = likelihood.log_prob(params, np.tile(x[p], (6, 1)), again)
            np.testing.assert_allclose(ours[p], expected, rtol=1e-11)
