"""The methods shared by all models that encode x as a Gaussian over z and decode a sample of it.

The gradient path is in each model's own file. Here are the methods of a fitted model, and the two
that `numpyvae.evaluation` calls: the encoder's Gaussian, and log p(x, z) with its derivative by z.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from numpyvae import evaluation, marginal
from numpyvae.evaluation import Estimate
from numpyvae.gaussian import log_prob_by_noise, mean_and_log_var, reparameterize
from numpyvae.layers import ACTIVATIONS, Params
from numpyvae.likelihoods import Likelihood, log_prob_table
from numpyvae.models.model import Model, Part
from numpyvae.models.networks import check_likelihood, decoder_of, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.priors import Prior
from numpyvae.threads import one_blas_thread
from numpyvae.training import Data, Noise
from numpyvae.validation import as_matrix, check_finite, one_of, positive_int

__all__ = ["LatentModel"]


class LatentModel(Model):
    """Encoder D-H-...-C, a Gaussian code z (N, L), and the mirrored decoder L-...-H-D'.

    In a model with labels, both networks are given y. A subclass overrides what is new in it.
    """

    encoder_of, decoder_of = staticmethod(encoder_of), staticmethod(decoder_of)
    """The functions that make the two networks; a subclass with other networks replaces them."""

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        hidden_dims: Sequence[int],
        activation: str,
        likelihood: Likelihood,
        prior: Prior,
        seed: int,
        dtype: DTypeLike,
        *,
        n_outputs: int | None = None,
        n_classes: int | None = None,
        others: Sequence[Part] | None = None,
    ) -> None:
        """Build the parts; the encoder has C = `n_outputs` outputs, 2L by default.

        `others` are parts beyond the usual four.
        """
        D = positive_int("data_dim", data_dim)
        L = self.latent_dim = positive_int("latent_dim", latent_dim)
        H = self.hidden_dims = hidden_widths(hidden_dims)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        check_likelihood(likelihood)
        self.encoder = self.encoder_of(D, H, n_outputs or 2 * L, activation, likelihood, n_classes)
        self.decoder = self.decoder_of(D, H, L, activation, likelihood, n_classes)
        self.prior = prior.attach(D, L, likelihood, self.encoder)
        parts: list[Part] = [self.encoder, self.decoder, likelihood, self.prior, *(others or ())]
        super().__init__(D, likelihood, parts, (L,), seed, dtype)

    # What evaluation calls, as functions of the parameters.

    def posterior(self, params: Params, data: Data) -> tuple[Array, Array]:
        """The encoder's q(z|x): mean (N, L) and log_var (N, L)."""
        return mean_and_log_var(self.encoder.forward(params, data)[0])

    def draw_code(self, params: Params, data: Data, noise: Array) -> tuple[Array, Array]:
        """S codes z ~ q(z|x) of each example, (N, S, L), and their log q(z|x), (N, S) nats.

        noise (N, S, L) is standard normal: z = mean + sigma noise.
        """
        mean, log_var = (a[:, None] for a in self.posterior(params, data))  # (N, 1, L)
        return reparameterize(mean, log_var, noise)[0], log_prob_by_noise(log_var, noise)[0]

    def log_joint(self, params: Params, data: Data, z: Array) -> tuple[Array, Any]:
        """Log p(x, z) = log p(x|z) + log p(z), z (N, L) -> (N,) nats, and the cache.

        For data (x, y) the decoder gets (z, y) in place of z, and so does a prior p(z|y).
        """
        code: Any  # z, or (z, y)
        x, code = (data[0], (z, data[1])) if isinstance(data, tuple) else (data, z)
        output, decoder_cache = self.decoder.forward(params, code)
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)
        log_pz, prior_cache = self.prior.log_prob(params, self._of_prior(z, code))
        return log_px + log_pz, (params, decoder_cache, likelihood_cache, prior_cache)

    def _of_prior(self, z: Array, code: Any) -> Any:
        return code if getattr(self.prior, "is_told_the_class", False) else z

    def log_joint_backward(self, dlog_joint: Array, cache: Any) -> Array:
        """dlog_joint (N,) -> dz (N, L), the parameters held fixed."""
        params, decoder_cache, likelihood_cache, prior_cache = cache
        unused: Any = defaultdict(float)  # gradients of the parameters, not needed
        dz_prior = self.prior.log_prob_backward(params, unused, dlog_joint, prior_cache)
        doutput = self.likelihood.log_prob_backward(params, unused, dlog_joint, likelihood_cache)
        return self.decoder.backward_input(params, doutput, decoder_cache) + dz_prior

    def log_joint_table(self, params: Params, data: Data, z: Array) -> Array:
        """Log p(x_n, z_g) of every example with every code z (G, L): (N, G) nats.

        Each code is decoded once; with labels, once for each class that occurs.
        """
        if not isinstance(data, tuple):
            output, _ = self.decoder.forward(params, z)
            log_pz, _ = self.prior.log_prob(params, z)  # (G,)
            return log_prob_table(self.likelihood, params, data, output) + log_pz
        x, y = data
        table = np.empty((len(x), len(z)), z.dtype)
        for label in np.unique(y):
            code: Any = (z, np.full(len(z), label))
            output, _ = self.decoder.forward(params, code)
            log_pz, _ = self.prior.log_prob(params, self._of_prior(z, code))
            rows = y == label
            table[rows] = log_prob_table(self.likelihood, params, x[rows], output) + log_pz
        return table

    def log_weight(self, params: Params, data: Data, noise: Array) -> Array:
        """Log p(x, z) - log q(z|x) at the z of `noise` (N, L), (N,) nats: its mean is the ELBO."""
        z, log_qz = self.draw_code(params, data, noise[:, None])
        return self.log_joint(params, data, z[:, 0])[0] - log_qz[:, 0]

    # The fitted model, at its current theta.

    @one_blas_thread
    def elbo_terms(self, theta: Array, x: Data, noise: Noise) -> tuple[Array, Array]:
        """Log p(x|z) and KL(q(z|x) || p(z)) of each example, (N,) and (N,), in nats.

        Their difference is a one-sample estimate of the evidence lower bound, for any beta.
        """
        _, terms = self.loss_and_terms(theta, x, noise)
        return terms["log_px"], terms["kl"]

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """The evidence lower bound, log p(x|z) - KL, also where the loss has another beta."""
        return terms["log_px"] - terms["kl"]

    def encode(self, x: Array) -> tuple[Array, Array]:
        """q(z|x): mean (N, L) and log_var (N, L), the logarithm of the variance."""
        x, params = self.check_data(x), self.params
        heads = self.by_chunks(lambda x: self.encoder.forward(params, x)[0], x)
        return mean_and_log_var(heads)

    def axis_posterior(self, x: Array) -> tuple[Array, Array]:
        """Mean and log_var (N, L) of each z_l under q(z|x): its diagonal, without covariances."""
        return self.encode(x)

    def decode(self, z: Array) -> Array:
        """E[x|z], the means of p(x|z): z (N, L) -> (N, D)."""
        z, params = as_matrix("z", z, self.latent_dim, "(N, L)"), self.params
        check_finite("z", z)
        return self.by_chunks(lambda z: self.likelihood.mean(self.decoder.forward(params, z)[0]), z)

    def reconstruct(self, x: Array) -> Array:
        """E[x|z] at the posterior mean z = mean(x): (N, D) -> (N, D)."""
        return self.decode(self.encode(x)[0])

    def sample(self, n: int, rng: np.random.Generator | None = None, mean: bool = True) -> Array:
        """Decode n codes z ~ p(z): the means E[x|z] (n, D), or with `mean=False` draws x ~ p(x|z).

        `rng=None` draws from the model's seed, the same each time.
        """
        rng, params = self.generator(rng), self.params
        z = self.prior.sample(params, rng, positive_int("n", n), self.latent_dim)
        if mean:
            return self.decode(z)
        return self.by_chunks(
            lambda z: self.likelihood.sample(params, self.decoder.forward(params, z)[0], rng), z
        )

    def elbo(self, x: Array, n_samples: int = 1, rng: np.random.Generator | None = None) -> Array:
        """The evidence lower bound on log p(x) of each example, (N,) nats (higher is better).

        The expectation is averaged over `n_samples` draws of z; beta is not used. `rng=None`
        starts a generator from the model's seed, so that every call gives the same.
        """
        return evaluation.elbo(self, x, n_samples, rng)

    @overload
    def log_likelihood(
        self,
        x: Data,
        n_samples: int = ...,
        rng: np.random.Generator | None = ...,
        method: str = ...,
        *,
        full: Literal[False] = ...,
    ) -> Array: ...

    @overload
    def log_likelihood(
        self,
        x: Data,
        n_samples: int = ...,
        rng: np.random.Generator | None = ...,
        method: str = ...,
        *,
        full: Literal[True],
    ) -> Estimate: ...

    def log_likelihood(
        self,
        x: Data,
        n_samples: int = 500,
        rng: np.random.Generator | None = None,
        method: str = "auto",
        *,
        full: bool = False,
    ) -> Array | Estimate:
        """log p(x) of each example, (N,) nats, by the best method for this model.

        "auto" is "quadrature" over the codes for one or two latent dimensions and a standard normal
        prior; it uses neither `n_samples` nor `rng`. Otherwise "auto" is "refined": importance
        sampling from a Gaussian that starts as the encoder's and is then fitted to each example by
        raising its bound. "importance" samples from the encoder's Gaussian itself: a lower bound in
        expectation, which can be many nats too low on examples that the encoder was not trained on.
        `full=True` returns an `evaluation.Estimate`, which also has the standard error and the
        effective sample size of each example, and the method. `rng=None` as in `elbo`.
        """
        estimate = marginal.log_likelihood(self, x, n_samples, rng, method)
        return estimate if full else estimate.log_likelihood
