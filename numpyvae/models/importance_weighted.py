"""The importance-weighted autoencoder: a bound from the mean weight of S samples per example.

New in the gradient path: each sample's gradient is weighted by its share w of the S importance
weights. In the doubly reparameterised estimator ("dreg") the encoder's gradient is weighted by w^2.
Burda et al. 2016; Tucker et al. 2019. Derived in docs/derivations/importance_weighted.md.

DReG's gradient for the encoder is not the derivative of the loss, but has the same mean over the
noise. It is the derivative of the loss with two things held constant: the second factor w on the
derivative of z, and the parameters of q inside log q(z|x), whose path has mean zero. The true
derivative is estimator="standard". Shapes: as in vae.py, with S samples of each example.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.gaussian import (
    gaussian_log_prob,
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
from numpyvae.objectives import (
    iw_bound,
    iw_bound_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
)
from numpyvae.priors import StandardNormal
from numpyvae.validation import one_of, positive_int

__all__ = ["ImportanceWeightedVAE"]


class ImportanceWeightedVAE(LatentModel):
    """The VAE's q(z|x), p(z) and p(x|z), trained on log 1/S sum_s p(x, z_s) / q(z_s|x).

    `elbo` is the ELBO, as for every model; the history has the training objective as "iw_bound".
    """

    def forward(
        self, params: Params, x: Array, noise: Array, held: Any = None
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, S, L) -> loss = -mean_n log 1/S sum_s p(x_n, z_ns) / q(z_ns|x_n)."""
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, 2L)
        mean, log_var = (a[:, None] for a in mean_and_log_var(heads))  # q(z|x), (N, 1, L) each
        z, sample_cache = reparameterize(mean, log_var, noise)  # (N, S, L)
        log_qz, noise_cache = log_prob_by_noise(log_var, noise)  # log q(z|x), (N, S)
        z, log_qz = (z, log_qz) if held is None else hold(z, *held)  # for the proof of DReG
        x, rows = np.repeat(x, z.shape[1], axis=0), z.reshape(-1, z.shape[2])  # (N S, ...)
        output, decoder_cache = self.decoder.forward(params, rows)  # (N S, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)
        log_pz, prior_cache = self.prior.log_prob(params, rows)
        log_px, log_pz = log_px.reshape(log_qz.shape), log_pz.reshape(log_qz.shape)  # (N, S)
        bound, weight = iw_bound(log_px + log_pz - log_qz)  # (N,)
        loss, loss_cache = reconstruction_loss(bound)  # scalar
        terms = {"log_px": log_px.mean(1), "kl": (log_qz - log_pz).mean(1), "iw_bound": bound}
        noise_by_sigma = np.exp(-0.5 * log_var) * noise  # (z - mean) / sigma^2, (N, S, L)
        parts = encoder_cache, sample_cache, decoder_cache, likelihood_cache, prior_cache
        return loss, terms, (parts, noise_cache, noise_by_sigma, weight, loss_cache)

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        parts, noise_cache, noise_by_sigma, weight, loss_cache = cache
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, prior_cache = parts
        (dbound,) = reconstruction_loss_backward(1.0, loss_cache)
        (dlog_weight,) = iw_bound_backward(dbound, weight)  # -w / N, (N, S)
        dlog_p = dlog_weight.ravel()  # of log p(x|z) and of log p(z), (N S,)
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_p, likelihood_cache)
        dz_prior = self.prior.log_prob_backward(params, grads, dlog_p, prior_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache) + dz_prior
        dz = dz.reshape(noise_by_sigma.shape)  # (N, S, L)
        if self.estimator == "dreg":  # of log q(z|x) what goes through z, and w once more
            dz = weight[..., None] * (dz + dlog_weight[..., None] * noise_by_sigma)
        dmean, dlog_var = reparameterize_backward(dz, sample_cache)  # (N, S, L) each
        if self.estimator == "standard":
            dlog_var = dlog_var + log_prob_by_noise_backward(-dlog_weight, noise_cache)[0]
        dheads = mean_and_log_var_backward(dmean.sum(axis=1), dlog_var.sum(axis=1))
        self.encoder.backward_params(params, grads, dheads, encoder_cache)  # dx is not needed

    def held(self, params: Params, data: Any, noise: Any) -> Any:
        """For DReG: the weights w (N, S), z (N, S, L), and q's mean and log_var (N, 1, L)."""
        if self.estimator == "standard":
            return None
        *_, weight, _ = self.forward(params, data, noise)[2]
        mean, log_var = (a[:, None] for a in self.posterior(params, data))
        return weight, reparameterize(mean, log_var, noise)[0], mean, log_var

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        n_samples: int = 5,
        estimator: str = "dreg",
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-2L and L-...-H-D', with parameters drawn from `seed`.

        Args:
            n_samples: S, the samples of each example in a step; 1 is the VAE with a sampled KL.
            estimator: of the encoder's gradient. "standard" is the derivative of the loss; its
                signal-to-noise ratio falls as S grows. "dreg" has the same mean, and its ratio
                does not fall.
            data_dim, latent_dim, hidden_dims, activation, likelihood, seed, dtype: as for `VAE`.
        """
        self.n_samples = positive_int("n_samples", n_samples)
        self.estimator = one_of("estimator", estimator, ("dreg", "standard"))
        p, prior = likelihood or Bernoulli(), StandardNormal()
        super().__init__(data_dim, latent_dim, hidden_dims, activation, p, prior, seed, dtype)
        self.noise_shape = (self.n_samples, self.latent_dim)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, S={self.n_samples}, {self.estimator})"

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[ImportanceWeightedVAE]:
        """Both estimators, three kinds of likelihood, one sample and several."""
        _, D, H, L = sizes
        for likelihood, n_samples in ((Bernoulli(), 1), (Binomial(16), 4), (Gaussian("shared"), 3)):
            for estimator in ("dreg", "standard"):
                network = (H,), "tanh", likelihood
                yield cls(D, L, n_samples, estimator, *network, dtype=np.float64)


def hold(
    z: Array, weight: Array, z_held: Array, mean: Array, log_var: Array
) -> tuple[Array, Array]:
    """z (N, S, L) and log q(z|x) (N, S), with the same values and with DReG's derivatives.

    The derivative of z is multiplied by the weight, and q has the constant `mean` and `log_var` in
    place of the encoder's, so that the bound's derivative by the encoder has weight^2.
    """
    z = z_held + weight[..., None] * (z - z_held)
    return z, gaussian_log_prob(z, mean, log_var)[0]
