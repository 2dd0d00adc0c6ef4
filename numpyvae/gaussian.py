"""The diagonal Gaussian: two heads, sample, log-densities and KL, each with its backward.

Throughout, `log_var` is the logarithm of the variance, so the standard deviation is
sigma = exp(log_var / 2). Densities are complete (normalising constants included), in nats, and
summed over the last axis; the batch is the first.
"""

from __future__ import annotations

import math

import numpy as np

from numpyvae.numerics import Array

__all__ = [
    "LOG_2PI",
    "gaussian_log_prob",
    "gaussian_log_prob_backward",
    "kl_between",
    "kl_between_backward",
    "kl_per_dimension",
    "kl_per_dimension_backward",
    "kl_to_standard_normal",
    "kl_to_standard_normal_backward",
    "log_prob_by_noise",
    "log_prob_by_noise_backward",
    "mean_and_log_var",
    "mean_and_log_var_backward",
    "reparameterize",
    "reparameterize_backward",
]

LOG_2PI = math.log(2.0 * math.pi)


def mean_and_log_var(output: Array) -> tuple[Array, Array]:
    """A network's output (N, 2L) is mean (N, L), then log_var (N, L), side by side (views)."""
    half = output.shape[-1] // 2
    return output[:, :half], output[:, half:]


def mean_and_log_var_backward(dmean: Array, dlog_var: Array) -> Array:
    """doutput (N, 2L): dmean, then dlog_var, side by side."""
    return np.concatenate((dmean, dlog_var), axis=-1)


def reparameterize(mean: Array, log_var: Array, noise: Array) -> tuple[Array, Array]:
    """z = mean + sigma * noise, sigma = exp(log_var / 2): a sample of N(mean, sigma^2).

    With noise ~ N(0, I) drawn beforehand, z is a deterministic and differentiable function of mean
    and log_var. All arrays (N, L). Source: Kingma & Welling 2014, section 2.4.
    """
    scaled_noise = np.exp(0.5 * log_var) * noise  # sigma * noise, (N, L)
    return mean + scaled_noise, scaled_noise


def reparameterize_backward(dz: Array, cache: Array) -> tuple[Array, Array]:
    """dmean = dz,  dlog_var = dz * noise * sigma / 2.

    The 1/2 is d sigma / d log_var = sigma / 2. The noise must be that of the forward pass (sigma *
    noise is in the cache): with new noise this would be the gradient of another sample.
    """
    scaled_noise = cache
    return dz, 0.5 * dz * scaled_noise


def kl_per_dimension(mean: Array, log_var: Array) -> tuple[Array, tuple[Array, Array]]:
    """KL of each latent dimension, not summed: 1/2 (mean^2 + sigma^2 - 1 - log sigma^2).

    mean, log_var (N, L) -> (N, L) nats; their sum over l is `kl_to_standard_normal`.
    """
    variance_minus_1 = np.expm1(log_var)  # (N, L)
    return 0.5 * (mean * mean + (variance_minus_1 - log_var)), (mean, variance_minus_1)


def kl_per_dimension_backward(dkl: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    """dmean = dkl * mean,  dlog_var = dkl * (sigma^2 - 1) / 2, with dkl (N, L)."""
    mean, variance_minus_1 = cache
    return dkl * mean, 0.5 * dkl * variance_minus_1


def kl_to_standard_normal(mean: Array, log_var: Array) -> tuple[Array, tuple[Array, Array]]:
    """KL(N(mean, sigma^2) || N(0, I)) = 1/2 sum_l (mean^2 + sigma^2 - 1 - log sigma^2).

    mean, log_var (N, L) -> (N,) nats. Written with expm1, because sigma^2 - 1 - log_var cancels
    near log_var = 0. Source: Kingma & Welling 2014, appendix B.
    """
    variance_minus_1 = np.expm1(log_var)  # (N, L)
    kl = 0.5 * (mean * mean + (variance_minus_1 - log_var)).sum(axis=-1)
    return kl, (mean, variance_minus_1)


def kl_to_standard_normal_backward(dkl: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    """dmean = dkl * mean,  dlog_var = dkl * (sigma^2 - 1) / 2."""
    mean, variance_minus_1 = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * variance_minus_1


def kl_between(
    mean: Array, log_var: Array, prior_mean: Array, prior_log_var: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    """KL(N(mean, sigma^2) || N(prior_mean, prior_sigma^2)), all (N, L) -> (N,) nats.

    1/2 sum_l (exp(t) - 1 - t + (mean - prior_mean)^2 w) with t = log_var - prior_log_var and
    w = exp(-prior_log_var). At prior_mean = prior_log_var = 0 it is `kl_to_standard_normal`, to the
    bit.
    """
    difference, log_ratio = mean - prior_mean, log_var - prior_log_var  # (N, L) each
    precision, ratio_minus_1 = np.exp(-prior_log_var), np.expm1(log_ratio)
    squared = difference * difference * precision
    kl = 0.5 * (squared + (ratio_minus_1 - log_ratio)).sum(axis=-1)
    return kl, (ratio_minus_1, difference, precision)


def kl_between_backward(
    dkl: Array, cache: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """dmean = dkl r w,  dlog_var = dkl expm1(t) / 2, and for the prior

    dprior_mean = -dmean,  dprior_log_var = -dkl (expm1(t) + r^2 w) / 2; r = mean - prior_mean.
    """
    ratio_minus_1, difference, precision = cache
    dkl = dkl[:, None]
    standardized = difference * precision
    dmean, dlog_var = dkl * standardized, 0.5 * dkl * ratio_minus_1
    return dmean, dlog_var, -dmean, -dlog_var - 0.5 * dmean * difference


def gaussian_log_prob(x: Array, mean: Array, log_var: Array) -> tuple[Array, tuple[Array, Array]]:
    """Log N(x; mean, sigma^2) = -1/2 sum_d (log 2 pi + log_var + (x - mean)^2 / sigma^2).

    x, mean, log_var (N, D) -> (N,) nats.
    """
    precision = np.exp(-log_var)  # (N, D)
    residual = x - mean
    log_prob = -0.5 * (LOG_2PI + log_var + residual * residual * precision).sum(axis=-1)
    return log_prob, (residual, precision)


def gaussian_log_prob_backward(
    dlog_prob: Array, cache: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """dx = -dlog_prob r,  dmean = dlog_prob r,  dlog_var = dlog_prob (r (x - mean) - 1) / 2.

    Here r = (x - mean) / sigma^2. Each (N, D).
    """
    residual, precision = cache
    dlog_prob = dlog_prob[:, None]
    standardized = residual * precision  # (x - mean) / sigma^2
    dmean = dlog_prob * standardized
    return -dmean, dmean, 0.5 * dlog_prob * (standardized * residual - 1.0)


def log_prob_by_noise(log_var: Array, noise: Array) -> tuple[Array, Array]:
    """Log q(z) at z = mean + sigma noise: -1/2 sum_l (log 2 pi + log_var + noise^2).

    log_var, noise (N, L) -> (N,) nats; any axes before the last. (z - mean) / sigma equals the
    noise, but computing that quotient would lose digits.
    """
    return -0.5 * (LOG_2PI + log_var + noise * noise).sum(axis=-1), noise


def log_prob_by_noise_backward(dlog_prob: Array, cache: Array) -> tuple[Array]:
    """dlog_var = -dlog_prob / 2, of the shape of the noise; z and mean get no gradient.

    At fixed noise z moves along with the mean, so (z - mean) / sigma does not change. The -1/2 is
    the total derivative, through z and directly, so no part of dlog_prob goes to z.
    """
    noise = cache
    return (np.broadcast_to(-0.5 * dlog_prob[..., None], noise.shape),)
