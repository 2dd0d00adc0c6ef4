"""p(z|y): a Gaussian for each class, the prior of models that are given y."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyvae.classes import one_hot
from numpyvae.gaussian import gaussian_log_prob, gaussian_log_prob_backward
from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array
from numpyvae.parameters import add_product

__all__ = ["ClassNormal"]

MEAN, LOG_VAR = "prior.mean", "prior.log_var"


class ClassNormal:
    """p(z|y) = N(mean_y, exp(log_var_y)), learned; or N(0, I) for every y.

    A network whose only input is a one-hot label is a table with one row for each class:
    "prior.mean" and "prior.log_var" (K, L), both 0 at the beginning.

    Args:
        n_classes, latent_dim: K and L.
        learned: if False, there are no parameters, and every class has N(0, I).
    """

    def __init__(self, n_classes: int, latent_dim: int, learned: bool = False) -> None:
        self.table, self.learned = (n_classes, latent_dim), learned
        self.shapes: Mapping[str, tuple[int, ...]] = (
            {MEAN: self.table, LOG_VAR: self.table} if learned else {}
        )

    is_told_the_class = True

    @property
    def is_standard_normal(self) -> bool:
        return not self.learned

    def attach(self, *_: Any) -> ClassNormal:
        """The prior itself, as a part of a model: its sizes are already known."""
        return self

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        for name in self.shapes:
            params[name][...] = 0.0

    def mean_and_log_var(self, params: Params, y: Array, dtype: Any) -> tuple[Array, Array]:
        """Mean and log_var of p(z|y), (N, L) each, for labels y (N,)."""
        if self.learned:
            return params[MEAN][y], params[LOG_VAR][y]
        zero = np.zeros((len(y), self.table[1]), dtype)
        return zero, zero

    def backward(self, grads: Grads, dmean: Array, dlog_var: Array, y: Array) -> None:
        """Row k of a table gets the sum over the examples of class k."""
        if self.learned:
            chosen = one_hot(y, self.table[0], dmean.dtype).T
            add_product(grads, MEAN, chosen, dmean)
            add_product(grads, LOG_VAR, chosen, dlog_var)

    def log_prob(self, params: Params, z: tuple[Array, Array]) -> tuple[Array, Any]:
        """Log p(z|y) of the pair (z, y), (N,) nats, and the cache."""
        code, y = z
        mean, log_var = self.mean_and_log_var(params, y, code.dtype)
        log_prob, cache = gaussian_log_prob(code, mean, log_var)
        return log_prob, (cache, y)

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> dz (N, L)."""
        gaussian_cache, y = cache
        dz, dmean, dlog_var = gaussian_log_prob_backward(dlog_prob, gaussian_cache)
        self.backward(grads, dmean, dlog_var, y)
        return dz

    def sample(self, params: Params, rng: np.random.Generator, y: Array) -> Array:
        """A code z ~ p(z|y) for each label, (N, L)."""
        mean, log_var = self.mean_and_log_var(params, y, np.float64)
        return mean + np.exp(0.5 * log_var) * rng.standard_normal(mean.shape)
