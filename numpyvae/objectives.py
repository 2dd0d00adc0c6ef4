"""From per-example log terms to one scalar, and back to their cotangents."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.numerics import Array

__all__ = ["negative_elbo", "negative_elbo_backward"]


def negative_elbo(log_px: Array, kl: Array, beta: float) -> tuple[Any, tuple[Array, float]]:
    """loss = mean_n (beta * KL_n - log p(x_n | z_n)), a scalar in nats.

    log_px, kl (N,). With beta = 1 it is minus the evidence lower bound on log p(x), averaged over
    the batch; other values weigh the KL as in the beta-VAE. Source: Higgins et al. 2017.
    """
    return (beta * kl - log_px).mean(), (log_px, beta)


def negative_elbo_backward(dloss: float, cache: tuple[Array, float]) -> tuple[Array, Array]:
    """dlog_px = -dloss / N,  dkl = dloss beta / N, both (N,)."""
    log_px, beta = cache
    weight = np.full(len(log_px), dloss / len(log_px), log_px.dtype)
    return -weight, beta * weight
