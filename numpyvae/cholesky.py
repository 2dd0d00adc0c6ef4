"""The Gaussian with a full covariance C C^T: three heads, sample and KL, each with its backward.

C (L, L) is lower triangular. Its diagonal is sigma = exp(log_var / 2), as in `gaussian`; `off`
holds the entries below the diagonal, row by row: C_21, C_31, C_32, ... With off = 0 all results
equal those of `gaussian`. The log-density in terms of the noise is that of `gaussian` for any
`off`, because log |det C| = 1/2 sum_l log_var does not depend on it.
"""

from __future__ import annotations

import math

import numpy as np

from numpyvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.numerics import Array

__all__ = [
    "cholesky_factor",
    "cholesky_heads",
    "cholesky_heads_backward",
    "cholesky_kl",
    "cholesky_kl_backward",
    "cholesky_sample",
    "cholesky_sample_backward",
    "log_variances",
    "n_cholesky_heads",
]


def n_cholesky_heads(latent_dim: int) -> int:
    """L means, L log-variances and L (L - 1) / 2 numbers below the diagonal."""
    return latent_dim * (latent_dim + 3) // 2


def cholesky_heads(output: Array) -> tuple[Array, Array, Array]:
    """A network's output is mean (N, L), log_var (N, L) and off (N, L(L-1)/2), side by side."""
    L = (math.isqrt(9 + 8 * output.shape[-1]) - 3) // 2
    return output[:, :L], output[:, L : 2 * L], output[:, 2 * L :]


def cholesky_heads_backward(dmean: Array, dlog_var: Array, doff: Array) -> Array:
    """doutput: dmean, dlog_var and doff, side by side."""
    return np.concatenate((dmean, dlog_var, doff), axis=-1)


def cholesky_sample(
    mean: Array, log_var: Array, off: Array, noise: Array
) -> tuple[Array, tuple[Array, Array]]:
    """z = mean + C noise: z_i = mean_i + sigma_i noise_i + sum_{j < i} C_ij noise_j.

    mean, log_var, noise (N, L), off (N, L(L-1)/2); any axes before the last.
    """
    rows, columns = _below_the_diagonal(noise.shape[-1])
    diagonal, sample_cache = reparameterize(mean, log_var, noise)
    in_row = (rows[:, None] == np.arange(noise.shape[-1])).astype(noise.dtype)  # (L(L-1)/2, L)
    return diagonal + (off * noise[..., columns]) @ in_row, (sample_cache, noise)


def cholesky_sample_backward(dz: Array, cache: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """As for the diagonal Gaussian; doff_ij = dz_i noise_j, as z_i depends on all earlier noise."""
    sample_cache, noise = cache
    rows, columns = _below_the_diagonal(noise.shape[-1])
    return *reparameterize_backward(dz, sample_cache), dz[..., rows] * noise[..., columns]


def cholesky_kl(
    mean: Array, log_var: Array, off: Array
) -> tuple[Array, tuple[tuple[Array, Array], Array]]:
    """KL(N(mean, C C^T) || N(0, I)) = the diagonal one's + 1/2 sum_{i > j} C_ij^2, (N,) nats.

    It is 1/2 (tr C C^T + |mean|^2 - L - log det C C^T), where C enters through the squares of its
    entries and through its diagonal.
    """
    kl, kl_cache = kl_to_standard_normal(mean, log_var)
    return kl + 0.5 * (off * off).sum(axis=-1), (kl_cache, off)


def cholesky_kl_backward(
    dkl: Array, cache: tuple[tuple[Array, Array], Array]
) -> tuple[Array, Array, Array]:
    """As for the diagonal Gaussian, and doff = dkl off."""
    kl_cache, off = cache
    return *kl_to_standard_normal_backward(dkl, kl_cache), dkl[:, None] * off


def cholesky_factor(log_var: Array, off: Array) -> Array:
    """C (N, L, L), lower triangular, from log_var (N, L) and off (N, L(L-1)/2)."""
    n, L = log_var.shape
    rows, columns = _below_the_diagonal(L)
    C = np.zeros((n, L, L), log_var.dtype)
    C[:, np.arange(L), np.arange(L)] = np.exp(0.5 * log_var)
    C[:, rows, columns] = off
    return C


def log_variances(C: Array) -> Array:
    """log (C C^T)_ll, the log-variance of each z_l: C (N, L, L) -> (N, L)."""
    return np.log((C * C).sum(axis=-1))


def _below_the_diagonal(latent_dim: int) -> tuple[Array, Array]:
    """Rows and columns of C_21, C_31, C_32, ..., counted from 0."""
    return np.tril_indices(latent_dim, -1)
