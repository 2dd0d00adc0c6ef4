"""The standard normal prior, without parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyvae.gaussian import LOG_2PI
from numpyvae.layers import Grads, Params, Sequential
from numpyvae.likelihoods import Likelihood
from numpyvae.numerics import Array

__all__ = ["StandardNormal"]


class StandardNormal:
    """p(z) = N(0, I), the prior of Kingma & Welling 2014."""

    shapes: Mapping[str, tuple[int, ...]] = {}
    is_standard_normal = True

    def __repr__(self) -> str:
        return "StandardNormal()"

    def attach(
        self, data_dim: int, latent_dim: int, likelihood: Likelihood, encoder: Sequential
    ) -> StandardNormal:
        """The prior itself: it is the same in every model."""
        return self

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Do nothing: it has no parameters."""

    def log_prob(self, params: Params, z: Array) -> tuple[Array, Array]:
        """Log p(z) = -1/2 sum_l (log 2 pi + z_l^2), z (N, L) -> (N,) nats."""
        return -0.5 * (LOG_2PI + z * z).sum(axis=-1), z

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Array
    ) -> Array:
        """dz = -dlog_prob z, (N, L)."""
        z = cache
        return -dlog_prob[:, None] * z

    def sample(self, params: Params, rng: np.random.Generator, n: int, latent_dim: int) -> Array:
        """n independent codes z ~ p(z), (n, L)."""
        return rng.standard_normal((n, latent_dim))

    def config(self) -> dict[str, Any]:
        return {"name": "StandardNormal"}
