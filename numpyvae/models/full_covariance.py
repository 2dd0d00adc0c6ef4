"""A VAE whose posterior has a full covariance: z = mean + C noise, C(x) lower triangular.

New in the gradient path: z_i depends on the noise of every earlier dimension, too, so dz_i reaches
the whole row i of C. In the KL, an entry below the diagonal appears only as its square.
Derived in docs/derivations/full_covariance.md. Shapes: as in vae.py; heads of L(L+3)/2 numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.cholesky import (
    cholesky_factor,
    cholesky_heads,
    cholesky_heads_backward,
    cholesky_kl,
    cholesky_kl_backward,
    cholesky_sample,
    cholesky_sample_backward,
    log_variances,
    n_cholesky_heads,
)
from numpyvae.gaussian import log_prob_by_noise
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.latent import LatentModel
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import negative_elbo, negative_elbo_backward
from numpyvae.priors import StandardNormal
from numpyvae.training import Data
from numpyvae.validation import positive_int, positive_number

__all__ = ["FullCovarianceVAE"]


class FullCovarianceVAE(LatentModel):
    """Encoder q(z|x) = N(mean, C C^T), prior p(z) = N(0, I), decoder p(x|z)."""

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, L) -> loss = mean_n(-log p(x_n|z_n) + beta KL(q(z|x_n) || p(z)))."""
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, L(L+3)/2)
        mean, log_var, off = cholesky_heads(heads)  # (N, L), (N, L), (N, L(L-1)/2)
        z, sample_cache = cholesky_sample(mean, log_var, off, noise)  # z = mean + C noise, (N, L)
        output, decoder_cache = self.decoder.forward(params, z)  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        kl, kl_cache = cholesky_kl(mean, log_var, off)  # KL(q(z|x) || p(z)), (N,)
        loss, loss_cache = negative_elbo(log_px, kl, self.beta)  # scalar
        cache = encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache
        return loss, {"log_px": log_px, "kl": kl}, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = cache
        dlog_px, dkl = negative_elbo_backward(1.0, loss_cache)
        around_z = cholesky_kl_backward(dkl, kl_cache)  # dmean, dlog_var, doff: route 1
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache)
        through_z = cholesky_sample_backward(dz, sample_cache)  # route 2
        dheads = cholesky_heads_backward(*(a + b for a, b in zip(through_z, around_z, strict=True)))
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
        """As `VAE`, but for the encoder's L(L+3)/2 outputs; it starts with a diagonal C."""
        self.beta = positive_number("beta", beta, zero=True, infinity=True)
        super().__init__(
            data_dim,
            latent_dim,
            hidden_dims,
            activation,
            likelihood or Bernoulli(),
            StandardNormal(),
            seed,
            dtype,
            n_outputs=n_cholesky_heads(positive_int("latent_dim", latent_dim)),
        )

    def initial_theta(self) -> Array:
        """As for every model, but the weights of the entries below C's diagonal are zero."""
        theta = super().initial_theta()
        views, last = self.layout.views(theta), len(self.hidden_dims)
        views[f"encoder.{last}.W"][:, 2 * self.latent_dim :] = 0.0
        return theta

    def posterior(self, params: Params, data: Data) -> tuple[Array, Array]:
        """The mean of q(z|x) (N, L), and the log-variance of each z_l by itself (N, L)."""
        mean, *of_covariance = cholesky_heads(self.encoder.forward(params, data)[0])
        return mean, log_variances(cholesky_factor(*of_covariance))

    def draw_code(self, params: Params, data: Data, noise: Array) -> tuple[Array, Array]:
        """S codes z = mean + C noise of each example, (N, S, L), and their log q(z|x), (N, S)."""
        heads = cholesky_heads(self.encoder.forward(params, data)[0])
        mean, log_var, off = (a[:, None] for a in heads)
        z, _ = cholesky_sample(mean, log_var, off, noise)
        return z, log_prob_by_noise(log_var, noise)[0]

    def encode(self, x: Array) -> tuple[Array, Array]:
        """q(z|x): mean (N, L) and the lower-triangular C (N, L, L); its covariance is C C^T."""
        x, params = self.check_data(x), self.params
        heads = self.by_chunks(lambda x: self.encoder.forward(params, x)[0], x)
        mean, log_var, off = cholesky_heads(heads)
        return mean, cholesky_factor(log_var, off)

    def axis_posterior(self, x: Array) -> tuple[Array, Array]:
        mean, factor = self.encode(x)
        return mean, log_variances(factor)

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[FullCovarianceVAE]:
        """Three kinds of likelihood, with and without a hidden layer, beta not 1."""
        _, D, H, L = sizes
        for depth, likelihood in (
            ((H,), Bernoulli()),
            ((H + 2, H), Binomial(16)),
            ((), Gaussian("shared")),
        ):
            yield cls(D, L, depth, "tanh", likelihood, beta=0.7, dtype=np.float64)
