"""The members that a model needs of p(z)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from numpyvae.layers import Grads, Params, Sequential
from numpyvae.likelihoods import Likelihood
from numpyvae.numerics import Array

__all__ = ["Prior"]


class Prior(Protocol):
    """What a model needs of p(z). N examples, L latent dimensions."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The prior's own parameters, name -> shape; none for a fixed one."""

    def attach(
        self, data_dim: int, latent_dim: int, likelihood: Likelihood, encoder: Sequential
    ) -> Prior:
        """A copy of this prior for one model; this one does not change."""

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Write the initial values of the prior's own parameters."""

    def log_prob(self, params: Params, z: Array) -> tuple[Array, Any]:
        """Log p(z), z (N, L) -> (N,) nats, and the cache."""

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> dz (N, L); gradients of parameters are added to `grads`."""

    def sample(self, params: Params, rng: np.random.Generator, n: int, latent_dim: int) -> Array:
        """n independent codes z ~ p(z), (n, L)."""

    def config(self) -> dict[str, Any]:
        """{"name": ..., and the constructor's arguments}, as JSON can hold it."""
