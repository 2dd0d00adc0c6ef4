"""A VAE with a learned prior: the KL has no closed form, so it is estimated at the sampled z.

New in the gradient path: log q(z|x), written in terms of the noise, gives log_var only
-1/2 dlog_prob; log p(z) adds to dz, as the decoder does. With a VampPrior the encoder is applied
twice: to x for the posterior and, inside the prior, to the pseudo-inputs, which get a gradient too.
Derived in docs/derivations/learned_prior.md. Shapes: as in vae.py, with K components of the prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.gaussian import (
    log_prob_by_noise,
    log_prob_by_noise_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.latent import LatentModel
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import negative_elbo, negative_elbo_backward
from numpyvae.priors import GaussianMixture, Prior, StandardNormal, VampPrior
from numpyvae.validation import positive_number

__all__ = ["LearnedPriorVAE"]


class LearnedPriorVAE(LatentModel):
    """Encoder q(z|x) = N(mean, exp(log_var)), a prior p(z) with parameters, decoder p(x|z)."""

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, L) -> loss = mean_n(-log p(x_n|z_n) + beta KL_n), the KL sampled."""
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, 2L)
        mean, log_var = mean_and_log_var(heads)  # q(z|x), (N, L) each
        z, sample_cache = reparameterize(mean, log_var, noise)  # z = mean + sigma noise, (N, L)
        output, decoder_cache = self.decoder.forward(params, z)  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        log_qz, noise_cache = log_prob_by_noise(log_var, noise)  # log q(z|x), (N,)
        log_pz, prior_cache = self.prior.log_prob(params, z)  # log p(z), (N,)
        kl = log_qz - log_pz  # one sample of KL(q(z|x) || p(z)), (N,)
        loss, loss_cache = negative_elbo(log_px, kl, self.beta)  # scalar
        caches = encoder_cache, sample_cache, decoder_cache, likelihood_cache
        return loss, {"log_px": log_px, "kl": kl}, (*caches, noise_cache, prior_cache, loss_cache)

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, *kl_caches, loss_cache = cache
        noise_cache, prior_cache = kl_caches
        dlog_px, dkl = negative_elbo_backward(1.0, loss_cache)
        dz_prior = self.prior.log_prob_backward(params, grads, -dkl, prior_cache)
        (dlog_var_q,) = log_prob_by_noise_backward(dkl, noise_cache)  # the whole gradient of log q
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache) + dz_prior
        dmean, dlog_var_z = reparameterize_backward(dz, sample_cache)
        dheads = mean_and_log_var_backward(dmean, dlog_var_z + dlog_var_q)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)  # dx is not needed

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        prior: Prior | None = None,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        beta: float = 1.0,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-2L and L-...-H-D', with parameters drawn from `seed`.

        Args:
            prior: p(z) from `numpyvae.priors`; default `GaussianMixture(10)`. The model takes a
                copy with parameters of its own, `model.prior`.
            data_dim, latent_dim, hidden_dims, activation, likelihood, beta, seed, dtype: as for
                `VAE`.
        """
        self.beta = positive_number("beta", beta, zero=True, infinity=True)
        prior = GaussianMixture(10) if prior is None else prior
        if isinstance(prior, type) or not hasattr(prior, "attach"):
            raise TypeError(f"prior must be an object such as VampPrior(50), got {prior!r}")
        p = likelihood or Bernoulli()
        super().__init__(data_dim, latent_dim, hidden_dims, activation, p, prior, seed, dtype)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {self.prior!r})"

    def responsibilities(self, x: Array) -> Array:
        """p(k|z) at the posterior mean z = mean(x), for each component k: (N, K).

        The argmax over k assigns each row to a component. Raises TypeError for a prior without
        components.
        """
        if not hasattr(self.prior, "responsibilities"):
            raise TypeError(f"{self.prior!r} has no components")
        prior, params = self.prior, self.params
        return self.by_chunks(lambda z: prior.responsibilities(params, z), self.encode(x)[0])

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[LearnedPriorVAE]:
        """Every prior, with few and with many components, beta not 1."""
        _, D, H, L = sizes
        for prior, likelihood in (
            (StandardNormal(), Bernoulli()),
            (GaussianMixture(4), Binomial(16)),
            (GaussianMixture(17), Gaussian("shared")),
            (VampPrior(4), Binomial(16)),
            (VampPrior(17), Gaussian("per_dimension")),
        ):
            yield cls(D, L, prior, (H,), "tanh", likelihood, beta=0.7, dtype=np.float64)
