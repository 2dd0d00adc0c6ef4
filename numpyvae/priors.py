"""p(z): the prior over the latent code."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.gaussian import LOG_2PI, kl_to_standard_normal, kl_to_standard_normal_backward
from numpyvae.numerics import Array

__all__ = ["StandardNormal"]


class StandardNormal:
    """p(z) = N(0, I), the prior of Kingma & Welling 2014."""

    def log_prob(self, z: Array) -> Array:
        """Log p(z) = -1/2 sum_l (log 2 pi + z_l^2), z (..., L) -> (...) nats."""
        return -0.5 * (LOG_2PI + z * z).sum(axis=-1)

    def sample(self, rng: np.random.Generator, n: int, latent_dim: int) -> Array:
        """n independent codes z ~ p(z), (n, L)."""
        return rng.standard_normal((n, latent_dim))

    def kl(self, mean: Array, log_var: Array) -> tuple[Array, Any]:
        """KL(q(z|x) || p(z)) of the diagonal Gaussian q, (N, L), (N, L) -> (N,) nats."""
        return kl_to_standard_normal(mean, log_var)

    def kl_backward(self, dkl: Array, cache: Any) -> tuple[Array, Array]:
        """dkl (N,) -> dmean (N, L), dlog_var (N, L)."""
        return kl_to_standard_normal_backward(dkl, cache)
