"""A mixture of diagonal Gaussians: its log-density with the backward, and a prior from it.

N examples, K components, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from numpyvae.gaussian import LOG_2PI
from numpyvae.layers import Grads, Params, Sequential
from numpyvae.likelihoods import Likelihood
from numpyvae.numerics import Array, logsumexp
from numpyvae.threads import product
from numpyvae.validation import positive_int

__all__ = ["GaussianMixture", "gaussian_mixture_log_prob", "gaussian_mixture_log_prob_backward"]

PRODUCTS_FROM = 16
"""From this many components on, squared distances are expanded into two matrix products.

At N = 128, L = 8 in float32 the density takes 0.13 ms instead of 0.21 ms for K = 16, and 0.45 ms
instead of 15 ms for K = 500.
"""


def gaussian_mixture_log_prob(
    z: Array, logits: Array, mean: Array, log_var: Array
) -> tuple[Array, tuple[Array, ...]]:
    """Log sum_k pi_k N(z; mean_k, sigma_k^2), pi = softmax(logits): (N,) nats.

    z (N, L), logits (K,), mean and log_var (K, L). The first array of the cache is
    responsibilities (N, K): p(k|z), the share of component k in the density at z.
    """
    precision = np.exp(-log_var)  # (K, L)
    log_weight = logits - logsumexp(logits, axis=0)  # log pi_k, (K,)
    log_norm = log_weight - 0.5 * (LOG_2PI + log_var).sum(axis=-1)
    log_joint = log_norm - 0.5 * _squared_distances(z, mean, precision)  # log p(k, z), (N, K)
    log_prob = logsumexp(log_joint, axis=1)
    responsibilities = np.exp(log_joint - log_prob[:, None])
    return log_prob, (responsibilities, np.exp(log_weight), z, mean, precision)


def gaussian_mixture_log_prob_backward(
    dlog_prob: Array, cache: tuple[Array, ...]
) -> tuple[Array, Array, Array, Array]:
    """Each component's Gaussian gets its share W_nk = dlog_prob_n responsibilities_nk.

    With s_nkl = (z_nl - mean_kl) / sigma_kl^2:

        dz = -sum_k W s,  dlogits = sum_n W - pi sum_n dlog_prob,
        dmean = sum_n W s,  dlog_var = 1/2 sum_n W (s (z - mean) - 1).
    """
    responsibilities, weight, z, mean, precision = cache
    W = dlog_prob[:, None] * responsibilities  # (N, K)
    total = W.sum(axis=0)[:, None]  # (K, 1)
    Wz, Wzz = product(W.T, z), product(W.T, z * z)  # sum_n W z and sum_n W z^2, (K, L)
    dz = product(W, precision * mean) - z * product(W, precision)
    dlogits = total[:, 0] - weight * dlog_prob.sum()
    dmean = precision * (Wz - total * mean)
    dlog_var = 0.5 * (precision * (Wzz - 2.0 * mean * Wz + total * mean * mean) - total)
    return dz, dlogits, dmean, dlog_var


def _squared_distances(z: Array, mean: Array, precision: Array) -> Array:
    """sum_l (z_nl - mean_kl)^2 precision_kl, (N, K).

    For many components the square is expanded: two products instead of an (N, K, L) array. They
    lose digits if z and means are many sigma from zero: 3e-12 nats at 100 sigma in float64.
    """
    if len(mean) < PRODUCTS_FROM:
        residual = z[:, None] - mean  # (N, K, L)
        return (residual * residual * precision).sum(axis=-1)
    scaled = precision * mean
    squares = product(z * z, precision.T) - 2.0 * product(z, scaled.T)
    return squares + (scaled * mean).sum(axis=-1)


class GaussianMixture:
    """p(z) = sum_k pi_k N(z; mean_k, sigma_k^2), K = `n_components`, all parameters learned.

    Its parameters are "prior.logits" (K,) with pi = softmax(logits), "prior.mean" and
    "prior.log_var" (K, L). It starts with equal weights, unit variances, and means drawn from
    N(0, I).
    """

    latent_dim = 0
    """L; not known before the prior is attached to a model."""

    def __init__(self, n_components: int) -> None:
        self.n_components = positive_int("n_components", n_components)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_components})"

    def attach(
        self, data_dim: int, latent_dim: int, likelihood: Likelihood, encoder: Sequential
    ) -> GaussianMixture:
        """A copy that knows its latent dimension."""
        attached = copy(self)
        attached.latent_dim = latent_dim
        return attached

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shape = (self.n_components, self.latent_dim)
        return {"prior.logits": shape[:1], "prior.mean": shape, "prior.log_var": shape}

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Equal weights, means ~ N(0, I), unit variances."""
        params["prior.logits"][...] = params["prior.log_var"][...] = 0.0
        params["prior.mean"][...] = rng.standard_normal(params["prior.mean"].shape)

    def components(self, params: Params) -> tuple[tuple[Array, Array, Array], Any]:
        """Logits (K,), mean and log_var (K, L), and the cache of `components_backward`."""
        return (params["prior.logits"], params["prior.mean"], params["prior.log_var"]), None

    def components_backward(
        self,
        params: Params,
        grads: Grads,
        dcomponents: Sequence[Array],
        cache: Any,
    ) -> None:
        """Add dlogits, dmean and dlog_var to `grads`."""
        for name, dvalue in zip(self.shapes, dcomponents, strict=True):
            grads[name] += dvalue

    def log_prob(self, params: Params, z: Array) -> tuple[Array, Any]:
        """Log p(z), z (N, L) -> (N,) nats."""
        components, components_cache = self.components(params)
        log_prob, mixture_cache = gaussian_mixture_log_prob(z, *components)
        return log_prob, (mixture_cache, components_cache)

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> dz (N, L)."""
        mixture_cache, components_cache = cache
        dz, *dcomponents = gaussian_mixture_log_prob_backward(dlog_prob, mixture_cache)
        self.components_backward(params, grads, dcomponents, components_cache)
        return dz

    def responsibilities(self, params: Params, z: Array) -> Array:
        """p(k|z), the share of each component in the density at z: (N, L) -> (N, K)."""
        (responsibilities, *_), _ = self.log_prob(params, z)[1]
        return responsibilities

    def sample(self, params: Params, rng: np.random.Generator, n: int, latent_dim: int) -> Array:
        """n independent codes: a component k ~ pi, then z ~ N(mean_k, sigma_k^2), (n, L)."""
        (logits, mean, log_var), _ = self.components(params)
        weight = np.exp(logits - logsumexp(logits, axis=0)).astype(np.float64)
        k = rng.choice(len(weight), n, p=weight / weight.sum())  # float32 misses 1 by 1e-7
        return mean[k] + np.exp(0.5 * log_var[k]) * rng.standard_normal((n, latent_dim))

    def config(self) -> dict[str, Any]:
        return {"name": type(self).__name__, "n_components": self.n_components}
