"""Likelihoods, the diagonal Gaussian and the KL against independent references and at extremes."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpyvae import VAE, Bernoulli, Binomial, Gaussian
from numpyvae.gaussian import (
    gaussian_log_prob,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.likelihoods import likelihood_from_config
from numpyvae.priors import StandardNormal

ALL = [Bernoulli(), Binomial(16), Gaussian(0.5), Gaussian("shared"), Gaussian("per_dimension")]


def log_prob(likelihood, x, output, log_var=0.0):
    params = {"likelihood.log_var": np.array([log_var])}
    return likelihood.log_prob(params, np.asarray(x, float), np.asarray(output, float))[0]


@given(st.integers(1, 20), st.floats(-5, 5))
def test_binomial_is_the_textbook_formula(n, logit):
    p = 1 / (1 + math.exp(-logit))
    for k in range(n + 1):
        expected = math.log(math.comb(n, k)) + k * math.log(p) + (n - k) * math.log1p(-p)
        assert log_prob(Binomial(n), [[k]], [[logit]])[0] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Binomial(3)])
def test_discrete_probabilities_sum_to_one_over_all_data(likelihood, rng):
    logits = rng.standard_normal((1, 3))
    counts = range(likelihood.total_count + 1)
    total = sum(
        math.exp(log_prob(likelihood, [x], logits)[0]) for x in itertools.product(counts, repeat=3)
    )
    assert total == pytest.approx(1, rel=1e-13)


def test_bernoulli_is_a_binomial_of_one_trial(rng):
    x, logits = rng.integers(0, 2, (5, 7)), rng.standard_normal((5, 7))
    np.testing.assert_array_equal(
        log_prob(Bernoulli(), x, logits), log_prob(Binomial(1), x, logits)
    )


@pytest.mark.parametrize(
    "likelihood", [Gaussian(0.3), Gaussian("shared"), Gaussian("per_dimension")]
)
def test_gaussian_is_the_normal_density(likelihood, rng):
    variance = 0.3
    x, mean = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    heads = np.concatenate([mean, np.full((4, 3), math.log(variance))], axis=1)
    output = heads if likelihood.variance == "per_dimension" else mean
    expected = [
        sum(
            math.log(statistics.NormalDist(m, math.sqrt(variance)).pdf(v))
            for v, m in zip(xs, ms, strict=True)
        )
        for xs, ms in zip(x, mean, strict=True)
    ]
    np.testing.assert_allclose(
        log_prob(likelihood, x, output, math.log(variance)), expected, rtol=1e-12
    )


def test_variance_one_half_is_the_squared_error_up_to_a_constant(rng):
    x, mean = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    squared_error = ((x - mean) ** 2).sum(axis=1)
    constant = log_prob(Gaussian(0.5), x, mean) + squared_error
    np.testing.assert_allclose(constant, -1.5 * math.log(math.pi), rtol=1e-12)


@given(st.floats(-5, 5), st.floats(-8, 4))
def test_kl_is_the_integral_that_defines_it(mean, log_var):
    """KL = integral of q (log q - log p), by the trapezoidal rule over +-12 sigma."""
    sigma = math.exp(log_var / 2)
    z = mean + sigma * np.linspace(-12, 12, 2001)
    log_q = -0.5 * (((z - mean) / sigma) ** 2 + log_var + math.log(2 * math.pi))
    integrand = np.exp(log_q) * (log_q - StandardNormal().log_prob({}, z[:, None])[0])
    kl, _ = kl_to_standard_normal(np.array([[mean]]), np.array([[log_var]]))
    assert kl[0] == pytest.approx(integrand.sum() * (z[1] - z[0]), rel=1e-9, abs=1e-12)
    assert kl[0] >= 0


def test_kl_keeps_its_digits_near_zero():
    """sigma^2 - 1 - log_var cancels: with exp - 1 instead of expm1 nothing right would be left."""
    log_var = np.full((1, 1), 1e-9)
    kl, cache = kl_to_standard_normal(np.zeros((1, 1)), log_var)
    assert kl[0] == pytest.approx(0.25e-18, abs=1e-25)
    assert kl_to_standard_normal_backward(np.ones(1), cache)[1][0, 0] == pytest.approx(
        5e-10, rel=1e-8
    )


def test_monte_carlo_kl_equals_the_analytic_one(rng):
    n = 200_000
    mean, log_var = np.array([[0.7, -1.2, 0.1]]), np.array([[-1.0, 0.5, 1.0]])
    noise = rng.standard_normal((n, 3))
    z, _ = reparameterize(mean, log_var, noise)
    log_q, _ = gaussian_log_prob(
        z, np.broadcast_to(mean, z.shape), np.broadcast_to(log_var, z.shape)
    )
    draws = log_q - StandardNormal().log_prob({}, z)[0]
    kl, _ = kl_to_standard_normal(mean, log_var)
    assert abs(draws.mean() - kl[0]) < 4 * draws.std() / math.sqrt(n)
    assert draws.std() / math.sqrt(n) < 0.01 * kl[0]


def test_the_sample_has_the_mean_and_variance_it_is_asked_for(rng):
    """Not the standard deviation for the variance, nor half of it."""
    n, mean, log_var = 400_000, 0.5, math.log(0.25)
    z, _ = reparameterize(
        np.full((n, 1), mean), np.full((n, 1), log_var), rng.standard_normal((n, 1))
    )
    assert z.mean() == pytest.approx(mean, abs=4 * 0.5 / math.sqrt(n))
    assert z.var() == pytest.approx(0.25, abs=4 * 0.25 * math.sqrt(2 / n))
    assert ((z - mean) ** 4).mean() / z.var() ** 2 == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x", "logit", "expected", "slope"),
    [
        (1, 1e4, 0.0, 0.0),
        (0, -1e4, 0.0, 0.0),
        (1, -1e4, -1e4, 1.0),
        (0, 1e4, -1e4, -1.0),
        (1, 37.0, -8.533047625744066e-17, 8.53e-17),
        (0, 37.0, -37.0, -1.0),
    ],
)
def test_extreme_logits_are_exact(dtype, x, logit, expected, slope):
    """A cross-entropy on clipped probabilities is dead at logit 37: gradient 0, the truth is -1."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, cache = Bernoulli().log_prob({}, np.array([[x]], dtype), np.array([[logit]], dtype))
        gradient = Bernoulli().log_prob_backward({}, {}, np.ones(1, dtype), cache)
    assert value[0] == pytest.approx(expected, rel=1e-6, abs=1e-15)
    assert gradient[0, 0] == pytest.approx(slope, rel=1e-6, abs=1e-15)
    assert value.dtype == gradient.dtype == dtype


@pytest.mark.parametrize("count", [0, 5, 16])
def test_extreme_binomial_logits(count):
    for logit in (-1e4, 1e4):
        value, cache = Binomial(16).log_prob({}, np.array([[count]], float), np.array([[logit]]))
        wrong = count if logit < 0 else 16 - count  # trials that logit calls impossible
        assert value[0] == pytest.approx(math.log(math.comb(16, count)) - 1e4 * wrong, rel=1e-14)
        gradient = Binomial(16).log_prob_backward({}, {}, np.ones(1), cache)
        assert gradient[0, 0] == count - (16 if logit > 0 else 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_var", [-50.0, 50.0])
def test_extreme_log_variances_are_finite_and_right(dtype, log_var):
    mean, log_variance = np.full((1, 1), 0.5, dtype), np.full((1, 1), log_var, dtype)
    noise = np.full((1, 1), 2.0, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        z, sample_cache = reparameterize(mean, log_variance, noise)
        kl, kl_cache = kl_to_standard_normal(mean, log_variance)
        _, dlog_var_z = reparameterize_backward(np.ones((1, 1), dtype), sample_cache)
        _, dlog_var_kl = kl_to_standard_normal_backward(np.ones(1, dtype), kl_cache)
    assert z[0, 0] == pytest.approx(0.5 + 2 * math.exp(log_var / 2), rel=1e-5)
    assert dlog_var_z[0, 0] == pytest.approx(math.exp(log_var / 2), rel=1e-5)
    assert kl[0] == pytest.approx(0.5 * (0.25 + math.expm1(log_var) - log_var), rel=1e-5)
    assert dlog_var_kl[0, 0] == pytest.approx(0.5 * math.expm1(log_var), rel=1e-5)


@pytest.mark.parametrize("likelihood", ALL, ids=repr)
def test_the_mean_is_the_expectation_of_x(likelihood, rng):
    output = rng.standard_normal((2, likelihood.output_dim(3)))
    mean = likelihood.mean(output)
    assert mean.shape == (2, 3)
    if isinstance(likelihood, Binomial):
        expected = sum(
            k * np.exp([[log_prob(likelihood, [[k]], [[a]])[0] for a in row] for row in output])
            for k in range(likelihood.total_count + 1)
        )
    else:
        expected = output[:, :3]
    np.testing.assert_allclose(mean, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        (
            Bernoulli(),
            0.5,
            r"x\[2, 1\] = 0.5 is outside the support of Bernoulli\(\): expected 0 or 1",
        ),
        (Bernoulli(), -1, r"x\[2, 1\] = -1 is outside"),
        (Binomial(16), 17, r"x\[2, 1\] = 17 .* Binomial\(16\): expected a count 0, 1, ..., 16"),
        (Binomial(16), 3.5, r"x\[2, 1\] = 3.5 is outside"),
        (Binomial(16), math.nan, r"x\[2, 1\] is NaN: expected finite"),
        (Gaussian(1.0), math.nan, r"x\[2, 1\] is NaN"),
        (Gaussian("shared"), -math.inf, r"x\[2, 1\] is infinity"),
    ],
)
def test_values_outside_the_support_are_named(likelihood, value, message):
    x = np.zeros((4, 3))
    likelihood.check(x)
    x[2, 1] = value
    with pytest.raises(ValueError, match=message):
        likelihood.check(x)
    vae = VAE(3, 2, (4,), likelihood=likelihood)
    for method in (vae.fit, vae.encode, vae.reconstruct, vae.elbo, vae.log_likelihood):
        with pytest.raises(ValueError, match=message):
            method(x)


def test_binomial_refuses_what_it_cannot_look_up_even_in_the_loss():
    for bad in (17.0, -1.0, 2.5, math.nan):
        with pytest.raises(ValueError, match=r"x\[0, 0\]"):
            log_prob(Binomial(16), [[bad]], [[0.0]])


def test_constructors_refuse_nonsense():
    for make, bad, error in [
        (Binomial, 0, ValueError),
        (Binomial, 2.0, TypeError),
        (Binomial, True, TypeError),
        (Gaussian, 0.0, ValueError),
        (Gaussian, math.nan, ValueError),
        (Gaussian, -1, ValueError),
        (Gaussian, "tied", ValueError),
        (Gaussian, None, TypeError),
    ]:
        with pytest.raises(error):
            make(bad)


@pytest.mark.parametrize("likelihood", ALL, ids=repr)
def test_configurations_round_trip(likelihood):
    assert repr(likelihood_from_config(likelihood.config())) == repr(likelihood)


@pytest.mark.parametrize(
    "bad", [{}, {"name": "Poisson"}, {"name": "Binomial"}, {"name": "Gaussian", "x": 1}]
)
def test_configurations_that_name_no_likelihood(bad):
    with pytest.raises(ValueError, match="likelihood"):
        likelihood_from_config(bad)
