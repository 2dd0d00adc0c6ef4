"""p(z): the prior over the latent code, a part of a model as its networks are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from numpyvae.gaussian import LOG_2PI
from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array
from numpyvae.validation import from_config

__all__ = ["Prior", "StandardNormal", "prior_from_config"]


class Prior(Protocol):
    """What a model asks of p(z). N examples, L latent dimensions."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Parameters of the prior's own, name -> shape; none for a fixed one."""

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Write the initial values of the prior's own parameters."""

    def log_prob(self, params: Params, z: Array) -> tuple[Array, Any]:
        """Log p(z), z (N, L) -> (N,) nats, and the cache."""

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> dz (N, L); own parameters' gradients are added to `grads`."""

    def sample(self, params: Params, rng: np.random.Generator, n: int, latent_dim: int) -> Array:
        """n independent codes z ~ p(z), (n, L)."""

    def config(self) -> dict[str, Any]:
        """{"name": ..., and the constructor's arguments}, as JSON can hold it."""


class StandardNormal:
    """p(z) = N(0, I), the prior of Kingma & Welling 2014."""

    shapes: Mapping[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return "StandardNormal()"

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Nothing: it has no parameters."""

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


PRIORS = {"StandardNormal": StandardNormal}


def prior_from_config(config: Mapping[str, Any]) -> Prior:
    """The prior that `config()` described. ValueError when it names none."""
    prior: Prior = from_config("prior", config, PRIORS)
    return prior
