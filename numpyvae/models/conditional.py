"""The conditional VAE: encoder and decoder are given a class y, and the code holds the rest.

What is new in the gradient path: one more row of weights, W_y[y], is added to the first
pre-activation of each network, and gets the sum of the cotangents of its class. If each class has a
prior of its own, the KL also has a gradient for that prior. Sohn, Lee & Yan 2015.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.gaussian import (
    kl_between,
    kl_between_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.class_prior import ClassNormal
from numpyvae.models.labelled_latent import LabelledLatentModel
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import negative_elbo, negative_elbo_backward
from numpyvae.validation import one_of, positive_int, positive_number

__all__ = ["ConditionalVAE"]


class ConditionalVAE(LabelledLatentModel):
    """q(z|x, y) = N(mean, exp(log_var)), prior p(z|y), decoder p(x|z, y), for classes y."""

    def forward(
        self, params: Params, data: tuple[Array, Array], noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), y (N,), noise (N, L) -> mean_n(-log p(x|z,y) + beta KL(q(z|x,y) || p(z|y)))."""
        x, y = data
        heads, encoder_cache = self.encoder.forward(params, (x, y))  # (N, 2L)
        mean, log_var = mean_and_log_var(heads)  # q(z|x, y), (N, L) each
        z, sample_cache = reparameterize(mean, log_var, noise)  # (N, L)
        output, decoder_cache = self.decoder.forward(params, (z, y))  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        prior = self.prior.mean_and_log_var(params, y, mean.dtype)  # p(z|y), (N, L) each
        kl, kl_cache = kl_between(mean, log_var, *prior)  # (N,)
        loss, loss_cache = negative_elbo(log_px, kl, self.beta)  # scalar
        caches = encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache
        return loss, {"log_px": log_px, "kl": kl}, (y, *caches)

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up; the labels have no gradient."""
        y, encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = (
            cache
        )
        dlog_px, dkl = negative_elbo_backward(1.0, loss_cache)
        dmean_kl, dlog_var_kl, *dprior = kl_between_backward(dkl, kl_cache)
        self.prior.backward(grads, *dprior, y)  # the prior moves towards q
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache)  # and decoder.0.W_y
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)
        dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)  # and encoder.0.W_y

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        n_classes: int,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        beta: float = 1.0,
        prior_network: bool = False,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-2L and L-...-H-D', the first layer of each with a row of W_y (K, H) for y.

        Args:
            data_dim, latent_dim, hidden_dims, activation, likelihood, seed, dtype: as for `VAE`.
            n_classes: K, at least 1; labels are 0, ..., K - 1.
            beta: weight of the KL in the loss, at least 0.
            prior_network: p(z|y) = N(prior.mean[y], exp(prior.log_var[y])) is learned, in place of
                N(0, I). A network of a one-hot label is a table, (K, L) each.
        """
        self.n_classes = positive_int("n_classes", n_classes)
        self.beta = positive_number("beta", beta, zero=True)
        self.prior_network = bool(one_of("prior_network", prior_network, (False, True)))
        L, p = positive_int("latent_dim", latent_dim), likelihood or Bernoulli()
        prior: Any = ClassNormal(self.n_classes, L, self.prior_network)
        super().__init__(
            data_dim, L, hidden_dims, activation, p, prior, seed, dtype, n_classes=self.n_classes
        )

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[ConditionalVAE]:
        """With and without a learned prior; one class; standardised data; linear networks."""
        _, D, H, L = sizes
        small: dict[str, Any] = {"activation": "tanh", "dtype": np.float64}
        units = Gaussian("shared", shift=0.5, scale=2.0)
        yield cls(D, L, 4, (H,), likelihood=Binomial(16), beta=0.7, **small)
        yield cls(D, L, 4, (H + 2, H), prior_network=True, **small)
        yield cls(D, L, 1, (H,), likelihood=units, prior_network=True, **small)
        yield cls(D, L, 4, (), likelihood=Gaussian("per_dimension"), **small)
