"""The variational autoencoder: its whole gradient path, down and back up, on one screen.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes". Each line is derived in
docs/derivations.md. Shapes: N examples, D data dimensions, L latent dimensions, D' numbers that the
likelihood needs from the decoder (for Bernoulli D logits). Every f(...) -> (value, cache) has its
f_backward(dvalue, cache).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.layers import ACTIVATIONS, Grads, Params
from numpyvae.likelihoods import EXAMPLES, Bernoulli, Binomial, Likelihood
from numpyvae.models.latent import LatentModel
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import negative_elbo, negative_elbo_backward
from numpyvae.priors import StandardNormal
from numpyvae.validation import positive_number

__all__ = ["VAE"]


class VAE(LatentModel):
    """Encoder q(z|x) = N(mean, exp(log_var)), prior p(z) = N(0, I), decoder p(x|z)."""

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, L) -> loss = mean_n(-log p(x_n|z_n) + beta KL(q(z|x_n) || p(z)))."""
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, 2L)
        mean, log_var = mean_and_log_var(heads)  # q(z|x), (N, L) each
        z, sample_cache = reparameterize(mean, log_var, noise)  # z = mean + sigma noise, (N, L)
        output, decoder_cache = self.decoder.forward(params, z)  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        kl, kl_cache = kl_to_standard_normal(mean, log_var)  # KL(q(z|x) || p(z)), (N,)
        loss, loss_cache = negative_elbo(log_px, kl, self.beta)  # scalar
        cache = encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache
        return loss, {"log_px": log_px, "kl": kl}, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up. dz means d loss / d z; its shape is that of z."""
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = cache
        dlog_px, dkl = negative_elbo_backward(1.0, loss_cache)
        dmean_kl, dlog_var_kl = kl_to_standard_normal_backward(dkl, kl_cache)  # route 1: around z
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache)
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)  # route 2: through z
        dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)  # dx is not needed

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        beta: float = 1.0,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-2L and L-...-H-D', with parameters drawn from `seed`.

        Args:
            data_dim: D, the dimensions of the data, at least 1.
            latent_dim: L, the dimensions of the code, at least 1.
            hidden_dims: the encoder's hidden widths, from the data inwards; with none it is linear.
            activation: "relu", "leaky_relu", "tanh", "sigmoid" or "softplus".
            likelihood: p(x|z) from `numpyvae.likelihoods`; default `Bernoulli()`.
            beta: weight of the KL in the loss, at least 0. 1 makes the loss minus the ELBO, 0
                leaves reconstruction alone, inf the KL alone.
            seed: of the parameters, and of the order and noise of training.
            dtype: float32 to train, float64 to check gradients.
        """
        self.beta = positive_number("beta", beta, zero=True, infinity=True)
        p, prior = likelihood or Bernoulli(), StandardNormal()
        super().__init__(data_dim, latent_dim, hidden_dims, activation, p, prior, seed, dtype)

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[VAE]:
        """Every likelihood, every activation, several depths, beta not 1."""
        _, D, H, L = sizes
        cases: list[tuple[str, tuple[int, ...], Likelihood]] = [
            *(("tanh", (H,), p) for p in EXAMPLES),
            *((activation, (H + 2, H), Binomial(16)) for activation in ACTIVATIONS),
            *(("relu", depth, Bernoulli()) for depth in ((), (H,), (H + 2, H, H + 1))),
        ]
        for activation, depth, likelihood in cases:
            yield cls(D, L, depth, activation, likelihood, beta=0.7, dtype=np.float64)
        yield cls(D, L, (H,), "tanh", Binomial(16), beta=math.inf, dtype=np.float64)
