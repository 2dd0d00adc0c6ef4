"""The variational autoencoder: its whole gradient path, down and back up, on one screen.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes". Each line is derived in
docs/derivations.md. Shapes: N examples, D data dimensions, L latent dimensions, D' numbers that the
likelihood needs from the decoder (for Bernoulli D logits). Every f(...) -> (value, cache) has its
f_backward(dvalue, cache).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae import evaluation
from numpyvae.gaussian import (
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods import Bernoulli, Likelihood
from numpyvae.models.encoder_decoder import EncoderDecoder
from numpyvae.numerics import Array
from numpyvae.objectives import negative_elbo, negative_elbo_backward
from numpyvae.priors import StandardNormal
from numpyvae.validation import positive_int, positive_number

__all__ = ["VAE"]


class VAE(EncoderDecoder):
    """Encoder q(z|x) = N(mean, exp(log_var)), prior p(z) = N(0, I), decoder p(x|z)."""

    n_heads = 2  # the encoder gives mean and log_var of each latent dimension

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, L) -> loss = mean_n(-log p(x_n|z_n) + beta KL(q(z|x_n) || p(z)))."""
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, 2L)
        mean, log_var = mean_and_log_var(heads)  # q(z|x), (N, L) each
        z, sample_cache = reparameterize(mean, log_var, noise)  # z = mean + sigma noise, (N, L)
        output, decoder_cache = self.decoder.forward(params, z)  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        kl, kl_cache = self.prior.kl(mean, log_var)  # (N,)
        loss, loss_cache = negative_elbo(log_px, kl, self.beta)  # scalar
        cache = encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache
        return loss, {"log_px": log_px, "kl": kl}, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up. dz means d loss / d z; its shape is that of z."""
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = cache
        dlog_px, dkl = negative_elbo_backward(1.0, loss_cache)
        dmean_kl, dlog_var_kl = self.prior.kl_backward(dkl, kl_cache)  # route 1: around the sample
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache)
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)  # route 2: through it
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
            data_dim, latent_dim: D and L, at least 1.
            hidden_dims: the encoder's hidden widths, from the data inwards; () makes it linear.
            activation: "relu", "leaky_relu", "tanh", "sigmoid" or "softplus".
            likelihood: p(x|z) from `numpyvae.likelihoods`; default `Bernoulli()`.
            beta: weight of the KL in the loss, at least 0. 1 makes the loss minus the ELBO, 0
                leaves reconstruction alone, inf the KL alone.
            seed: of the parameters, and of the order and noise of training.
            dtype: float32 to train, float64 to check gradients.
        """
        self.prior = StandardNormal()
        self.beta = math.inf if beta == math.inf else positive_number("beta", beta, zero=True)
        super().__init__(
            data_dim, latent_dim, hidden_dims, activation, likelihood or Bernoulli(), seed, dtype
        )

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {**super().config(), "beta": self.beta}

    def elbo_terms(self, theta: Array, x: Array, noise: Array) -> tuple[Array, Array]:
        """Log p(x|z) and KL(q(z|x) || p(z)) of each example, (N,) and (N,), in nats.

        Their difference is a one-sample estimate of the evidence lower bound, whatever beta is.
        """
        _, terms = self.loss_and_terms(theta, x, noise)
        return terms["log_px"], terms["kl"]

    # The fitted model, at its current theta.

    def encode(self, x: Array) -> tuple[Array, Array]:
        """q(z|x): mean (N, L) and log_var (N, L), the logarithm of the variance."""
        x = self.check_data(x)
        params = self.layout.views(self.theta)
        heads = self._by_chunks(x, lambda x: self.encoder.forward(params, x)[0])
        return mean_and_log_var(heads)

    def reconstruct(self, x: Array) -> Array:
        """E[x|z] at the posterior mean z = mean(x): (N, D) -> (N, D)."""
        return self.decode(self.encode(x)[0])

    def sample(self, n: int, rng: np.random.Generator | None = None) -> Array:
        """E[x|z] at n draws z ~ p(z): (n, D). `rng=None` draws from the model's seed."""
        z = self.prior.sample(self.generator(rng), positive_int("n", n), self.latent_dim)
        return self.decode(z)

    def elbo(self, x: Array, n_samples: int = 1, rng: np.random.Generator | None = None) -> Array:
        """The evidence lower bound on log p(x) of each example, (N,) nats (higher is better).

        The expectation of log p(x|z) is averaged over `n_samples` draws of z; beta plays no part.
        `rng=None` draws from the model's seed, the same each time.
        """
        log_px, kl = evaluation.elbo_terms(self, x, n_samples, rng)
        return log_px - kl

    def log_likelihood(
        self, x: Array, n_samples: int = 500, rng: np.random.Generator | None = None
    ) -> Array:
        """log p(x) of each example by importance sampling from q(z|x), (N,) nats.

        In expectation it approaches log p(x) from below as `n_samples` grows. `rng=None` as in
        `elbo`.
        """
        return evaluation.importance_weighted_log_likelihood(self, x, n_samples, rng)
