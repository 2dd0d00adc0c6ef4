"""The VampPrior: a mixture of the posteriors of learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from numpyvae.gaussian import mean_and_log_var, mean_and_log_var_backward
from numpyvae.layers import Grads, Params, Sequential
from numpyvae.likelihoods import Likelihood
from numpyvae.numerics import Array, sigmoid
from numpyvae.priors.mixture import GaussianMixture

__all__ = ["VampPrior"]


class VampPrior(GaussianMixture):
    """p(z) = 1/K sum_k q(z|u_k): the encoder's own Gaussians at K = `n_components` pseudo-inputs u.

    The learned parameter is "prior.pseudo_inputs" v (K, D). For counts 0, ..., n, u = n sigmoid(v)
    is within the range of the data, and its slope is never exactly zero. For real data u = v, in
    the units of the data. Source: Tomczak & Welling 2018.
    """

    data_dim = 0
    likelihood: Likelihood
    encoder: Sequential

    def attach(
        self, data_dim: int, latent_dim: int, likelihood: Likelihood, encoder: Sequential
    ) -> VampPrior:
        """A copy with the encoder, and with the likelihood for the range of its data."""
        attached = copy(self)
        attached.data_dim, attached.latent_dim = data_dim, latent_dim
        attached.likelihood, attached.encoder = likelihood, encoder
        return attached

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"prior.pseudo_inputs": (self.n_components, self.data_dim)}

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """v ~ N(0, I)."""
        v = params["prior.pseudo_inputs"]
        v[...] = rng.standard_normal(v.shape)

    def pseudo_inputs(self, params: Params) -> tuple[Array, Any]:
        """u (K, D) in the units of the data, and its slope du / dv."""
        v = params["prior.pseudo_inputs"]
        n = getattr(self.likelihood, "total_count", None)
        if n is not None:
            p = sigmoid(v)
            slope = p * (1.0 - p)
            return (p, slope) if n == 1 else (n * p, n * slope)
        units = self.likelihood.standardization
        return (v, 1.0) if units is None else (units.undo(v), units.scale.astype(v.real.dtype))

    def components(self, params: Params) -> tuple[tuple[Array, Array, Array], Any]:
        """Logits 0 (K,), so that all weights are 1/K; mean and log_var (K, L) from the encoder."""
        u, slope = self.pseudo_inputs(params)
        heads, encoder_cache = self.encoder.forward(params, u)  # (K, 2L)
        return (np.zeros(len(u), u.dtype), *mean_and_log_var(heads)), (encoder_cache, slope)

    def components_backward(
        self,
        params: Params,
        grads: Grads,
        dcomponents: Sequence[Array],
        cache: Any,
    ) -> None:
        """Backward through the encoder, whose input is learned here, so du is needed, too."""
        encoder_cache, slope = cache
        _, dmean, dlog_var = dcomponents  # the logits are not parameters
        dheads = mean_and_log_var_backward(dmean, dlog_var)
        du = self.encoder.backward(params, grads, dheads, encoder_cache)  # (K, D)
        grads["prior.pseudo_inputs"] += du * slope
