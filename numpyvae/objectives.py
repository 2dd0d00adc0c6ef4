"""From per-example log terms to one scalar loss, and back to their cotangents."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpyvae.numerics import Array, logsumexp

__all__ = [
    "free_bits",
    "free_bits_backward",
    "iw_bound",
    "iw_bound_backward",
    "negative_elbo",
    "negative_elbo_backward",
    "reconstruction_loss",
    "reconstruction_loss_backward",
    "ridge",
    "ridge_backward",
]


def negative_elbo(log_px: Array, kl: Array, beta: float) -> tuple[Any, tuple[Array, float]]:
    """loss = mean_n (beta * KL_n - log p(x_n | z_n)), a scalar in nats.

    log_px, kl (N,). With beta = 1 it is minus the evidence lower bound on log p(x), averaged over
    the batch; other values weight the KL as in the beta-VAE. Source: Higgins et al. 2017. beta = 0
    leaves only reconstruction, and beta = inf only the KL: loss = mean_n KL_n.
    """
    if beta == math.inf:
        return kl.mean(), (log_px, beta)
    return (beta * kl - log_px).mean(), (log_px, beta)


def negative_elbo_backward(dloss: float, cache: tuple[Array, float]) -> tuple[Array, Array]:
    """dlog_px = -dloss / N,  dkl = dloss beta / N, both (N,); for beta = inf 0 and dloss / N."""
    log_px, beta = cache
    weight = np.full(len(log_px), dloss / len(log_px), log_px.dtype)
    return (0.0 * weight, weight) if beta == math.inf else (-weight, beta * weight)


def free_bits(kl: Array, least: float) -> tuple[Any, tuple[Array, int]]:
    """sum_l max(mean_n kl_nl, least): the first `least` nats of each dimension are free.

    kl (N, L) nats, of each dimension. It is a term of a loss, not a bound: report the KL itself
    beside it. The mean over the batch is taken before the maximum; the other order is another
    objective. least = 0 is the KL. Source: Kingma et al. 2016, "Improved variational inference with
    inverse autoregressive flow", eq. 15.
    """
    means = kl.mean(axis=0)  # (L,)
    paid = means.real > least
    return np.where(paid, means, least).sum(), (paid, len(kl))


def free_bits_backward(dvalue: float, cache: tuple[Array, int]) -> tuple[Array]:
    """dkl_nl = dvalue / N where the mean of dimension l is above `least`, else 0; (N, L)."""
    paid, n = cache
    return (np.tile(dvalue / n * paid, (n, 1)),)


def reconstruction_loss(log_px: Array) -> tuple[Any, Array]:
    """loss = -mean_n log p(x_n | code_n), a scalar in nats; log_px (N,)."""
    return -log_px.mean(), log_px


def reconstruction_loss_backward(dloss: float, cache: Array) -> tuple[Array]:
    """dlog_px = -dloss / N, (N,)."""
    log_px = cache
    return (np.full(len(log_px), -dloss / len(log_px), log_px.dtype),)


def iw_bound(log_weight: Array) -> tuple[Array, Array]:
    """log 1/S sum_s exp(log_weight_s), (N, S) -> (N,) nats: the importance-weighted bound.

    With log_weight = log p(x, z) - log q(z|x) at S draws z ~ q it bounds log p(x), more tightly as
    S grows; the mean of log_weight would be the ELBO. The cache is the normalised weight of each
    sample, w = softmax_s(log_weight) (N, S). Source: Burda et al. 2016, eq. 8.
    """
    log_sum = logsumexp(log_weight, axis=1)  # (N,)
    return log_sum - math.log(log_weight.shape[1]), np.exp(log_weight - log_sum[:, None])


def iw_bound_backward(dbound: Array, cache: Array) -> tuple[Array]:
    """dlog_weight = dbound w, (N, S)."""
    weight = cache
    return (dbound[:, None] * weight,)


def ridge(weights: Array, penalties: Array) -> tuple[Any, tuple[Array, Array]]:
    """sum_i penalties_i ||weights_i||^2 over the rows i of weights (L, D); penalties (L,)."""
    return (penalties @ (weights * weights)).sum(), (weights, penalties)


def ridge_backward(dvalue: float, cache: tuple[Array, Array]) -> tuple[Array]:
    """dweights_i = 2 dvalue penalties_i weights_i, (L, D)."""
    weights, penalties = cache
    return (2.0 * dvalue * penalties[:, None] * weights,)
