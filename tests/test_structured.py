"""The Gaussian with a banded precision: dense matrices say what it is, written again by loops."""

import math

import numpy as np
import pytest

from numpyvae import VAE, Adam, Gaussian, StructuredGaussian
from numpyvae.likelihoods import likelihood_from_config, likelihood_from_text

CASES = [
    (StructuredGaussian(0), 5),
    (StructuredGaussian(2), 6),
    (StructuredGaussian(9), 4),  # wider than the data: any covariance
    (StructuredGaussian(1, width=3), 9),
    (StructuredGaussian(2, width=4), 10),  # the last row is not full
    (StructuredGaussian(1, width=1), 4),
]


def factor(p, output, D):
    """B (D, D) of one row of the decoder's output, entry by entry."""
    B, blocks = np.zeros((D, D)), np.split(output, len(output) // D)
    for d in range(D):
        B[d, d] = math.exp(-0.5 * blocks[1][d])
        at = 2
        if p.width is None:
            for step in range(1, p.band + 1):
                if d + step < D:
                    B[d + step, d] = blocks[at][d]
                at += 1
            continue
        row, column = divmod(d, p.width)
        for down in range(p.band + 1):
            for step in range(-min(p.band, p.width - 1), min(p.band, p.width - 1) + 1):
                if (down, step) <= (0, 0):
                    continue
                i = (row + down) * p.width + column + step
                if 0 <= column + step < p.width and i < D:
                    B[i, d] = blocks[at][d]
                at += 1
    return B


def dense_log_prob(x, mean, covariance):
    r = x - mean
    log_det = np.linalg.slogdet(2 * math.pi * covariance)[1]
    return -0.5 * (log_det + r @ np.linalg.solve(covariance, r))


@pytest.mark.parametrize(("p", "D"), CASES, ids=str)
def test_it_is_the_normal_density_of_its_precision(p, D, rng):
    output = 0.5 * rng.normal(size=(4, p.output_dim(D)))
    x = rng.normal(size=(4, D))
    found, _ = p.log_prob({}, x, output)
    for n in range(4):
        B = factor(p, output[n], D)
        expected = dense_log_prob(x[n], output[n, :D], np.linalg.inv(B @ B.T))
        assert found[n] == pytest.approx(expected, rel=1e-10)


def test_a_band_of_zeros_is_a_variance_for_each_dimension(rng):
    x, output = rng.normal(size=(4, 6)), rng.normal(size=(4, 12))
    gaussian = Gaussian("per_dimension")
    expected, cache = gaussian.log_prob({}, x, output)
    weight = rng.normal(size=4)
    doutput = gaussian.log_prob_backward({}, {}, weight, cache)
    for p in (StructuredGaussian(0), StructuredGaussian(2), StructuredGaussian(1, width=3)):
        wide = np.zeros((4, p.output_dim(6)))
        wide[:, :12] = output
        found, cache = p.log_prob({}, x, wide)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        mine = p.log_prob_backward({}, {}, weight, cache)
        np.testing.assert_allclose(mine[:, :12], doutput, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(p.mean(wide), gaussian.mean(output))


def autoregression(D, phi=0.8, variance=0.3):
    """x_t = phi x_{t-1} + noise, stationary: its covariance, and the decoder's output for it.

    Written backwards in time, x_d given x_{d+1}, as B is lower triangular.
    """
    t = np.arange(D)
    covariance = variance / (1 - phi**2) * phi ** np.abs(t[:, None] - t)
    log_var = np.full(D, math.log(variance))
    log_var[-1] -= math.log(1 - phi**2)
    return covariance, np.concatenate([np.zeros(D), log_var, np.full(D, -phi / variance**0.5)])


def test_an_autoregression_is_a_band_of_one(rng):
    covariance, output = autoregression(7)
    x = rng.normal(size=(5, 7))
    found, _ = StructuredGaussian(1).log_prob({}, x, np.tile(output, (5, 1)))
    expected = [dense_log_prob(row, 0.0, covariance) for row in x]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_mistakes_that_the_autoregression_sees():
    """The band's sign, its side, a factor 2 in log|det B|, and neighbours across an edge."""
    covariance, output = autoregression(6)
    x = np.array([0.5, -1.0, 1.5, 2.0, -0.5, 1.0])
    truth = dense_log_prob(x, 0.0, covariance)
    p = StructuredGaussian(1)
    sign = output.copy()
    sign[12:] *= -1
    side = np.concatenate([output[:12], [0.0], output[12:17]])
    for wrong in (sign, side):
        assert abs(p.log_prob({}, x[None], wrong[None])[0][0] - truth) > 0.05
    B = factor(p, output, 6)
    u = B.T @ x
    for weight in (0.5, 2.0):
        wrong = -0.5 * (6 * math.log(2 * math.pi) + u @ u) + weight * np.log(np.diag(B)).sum()
        assert abs(wrong - truth) > 0.05
    image = StructuredGaussian(1, width=3)
    rows = np.zeros((1, image.output_dim(6)))
    rows[0, :12], rows[0, 12:18] = output[:12], output[12:]  # its first offset is (0, 1)
    assert image.neighbours[0] == (0, 1)
    assert abs(image.log_prob({}, x[None], rows)[0][0] - truth) > 0.05, "pixel 2 and 3 are no pair"


def test_draws_have_the_covariance(rng):
    for p, D in CASES[1:5]:
        output = 0.4 * rng.normal(size=p.output_dim(D))
        B = factor(p, output, D)
        x = p.sample({}, np.tile(output, (40_000, 1)), rng)
        covariance = np.linalg.inv(B @ B.T)
        spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        assert np.abs(np.cov(x.T) - covariance).max() < 0.03 * spread.max()
        np.testing.assert_allclose(x.mean(axis=0), output[:D], atol=0.03 * spread.max() ** 0.5)


def test_units_of_their_own(rng):
    """log p(x) is the density of x in its own units, and draws come out in them."""
    x = rng.normal([40.0, 3e4, 7.0], [15.0, 1e4, 0.1], size=(50, 3))
    p = StructuredGaussian(1).scaled_to(x)
    scale = x.std(axis=0)
    output = 0.3 * rng.normal(size=(50, p.output_dim(3)))
    expected, _ = StructuredGaussian(1).log_prob({}, (x - x.mean(axis=0)) / scale, output)
    np.testing.assert_allclose(p.log_prob({}, x, output)[0], expected - np.log(scale).sum())
    np.testing.assert_allclose(p.mean(output), output[:, :3] * scale + x.mean(axis=0))
    assert (p.sample({}, output, rng)[:, 1] > 1000).mean() > 0.5
    assert likelihood_from_config(p.config()).config() == p.config()


def test_a_vae_learns_what_a_diagonal_cannot(rng):
    """An autoregression whose code is useless: the band finds it, and log p(x) rises."""
    covariance, _ = autoregression(8, 0.9, 0.2)
    x = rng.multivariate_normal(np.zeros(8), covariance, 500)
    bounds = []
    for p in (StructuredGaussian(0), StructuredGaussian(1)):
        vae = VAE(8, 1, (8,), "tanh", likelihood=p)
        vae.fit(x, epochs=40, optimizer=Adam(1e-2), verbose=False)
        bounds.append(vae.elbo(x, 10).mean())
    truth = np.mean([dense_log_prob(row, 0.0, covariance) for row in x])
    assert bounds[0] < bounds[1] - 1.0
    assert truth - 0.5 < bounds[1] < truth + 0.5


def test_how_the_command_line_writes_it():
    assert repr(likelihood_from_text("structuredgaussian:2")) == "StructuredGaussian(band=2)"
    assert (
        repr(likelihood_from_text("structuredgaussian:1x8"))
        == "StructuredGaussian(band=1, width=8)"
    )
    for text in ("structuredgaussian", "structuredgaussian:x8", "structuredgaussian:-1"):
        with pytest.raises(ValueError, match="structuredgaussian:BANDxWIDTH"):
            likelihood_from_text(text)
    with pytest.raises(TypeError, match="band must be an integer"):
        StructuredGaussian(1.5)
    with pytest.raises(ValueError, match="band 1000000000000 is too wide: at most 10000"):
        StructuredGaussian(10**12)
    with pytest.raises(ValueError, match="width must be at least 1"):
        StructuredGaussian(1, width=0)
