"""The semi-supervised VAE (M2): a class known for some examples, and summed over for the rest.

What is new in the gradient path: the loss of an example without a label is an expectation over its
class. So the path of each class is computed and weighted by q(y|x), and the classifier's gradient
comes from the cost of each class. The class is summed over, not sampled. Kingma et al. 2014.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.classes import (
    log_softmax,
    of_class,
    semi_supervised_loss,
    semi_supervised_loss_backward,
)
from numpyvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
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
from numpyvae.models.networks import check_likelihood, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.validation import positive_int, positive_number

__all__ = ["SemiSupervisedVAE"]


class SemiSupervisedVAE(LabelledLatentModel):
    """q(y|x) q(z|x, y), prior p(y) p(z) = 1/K N(0, I), decoder p(x|z, y); y = -1 is unknown."""

    unknown_labels = True

    def forward(
        self, params: Params, data: tuple[Array, Array], noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), y (N,), noise (N, K, L) -> mean_n(S_n,y or U_n) + alpha mean of -log q(y|x).

        S_nk = -log p(x|z_k, k) + KL(q(z|x, k) || p(z)) + log K bounds -log p(x, k), and
        U_n = sum_k q(k|x) (S_nk + log q(k|x)) bounds -log p(x) where y is not known. The last mean
        is over the examples of the batch whose class is known.
        """
        x, y = data
        K, every = self.n_classes, np.tile(np.arange(self.n_classes), len(x))  # (N K,)
        logits, classifier_cache = self.classifier.forward(params, x)  # of q(y|x), (N, K)
        heads, encoder_cache = self.encoder.forward(params, (x, None))  # every class, (N K, 2L)
        mean, log_var = mean_and_log_var(heads)  # row n K + k is example n as class k
        z, sample_cache = reparameterize(mean, log_var, noise.reshape(mean.shape))
        known = np.repeat(y, K)  # (N K,), -1 where it is not
        rows = np.flatnonzero((known < 0) | (known == every))  # R that matter
        output, decoder_cache = self.decoder.forward(params, (z[rows], every[rows]))  # (R, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x[rows // K], output)  # (R,)
        kl, kl_cache = kl_to_standard_normal(mean, log_var)  # (N K,)
        costs = kl + math.log(K)  # S, but for the classes that an example is known not to have
        costs[rows] -= log_px
        loss, loss_cache = semi_supervised_loss(costs.reshape(-1, K), logits, y, self.alpha)
        caches = classifier_cache, encoder_cache, sample_cache, decoder_cache, likelihood_cache
        return loss, loss_cache[0], (*caches, rows, kl_cache, loss_cache)

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up; dcosts weighs the path of each class by q(k|x)."""
        classifier_cache, encoder_cache, sample_cache, decoder_cache, *rest = cache
        likelihood_cache, rows, kl_cache, loss_cache = rest
        dcosts, dlogits = semi_supervised_loss_backward(1.0, loss_cache)  # (N, K) each
        dmean_kl, dlog_var_kl = kl_to_standard_normal_backward(dcosts.ravel(), kl_cache)
        dlog_px, dz = -dcosts.ravel()[rows], np.zeros_like(dmean_kl)  # (R,), (N K, L)
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz[rows] = self.decoder.backward(params, grads, doutput, decoder_cache)
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)
        dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)  # sums over the classes
        self.classifier.backward_params(params, grads, dlogits, classifier_cache)

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        n_classes: int,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        alpha: float = 1.0,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """Encoder and decoder as in `ConditionalVAE`, and a classifier D-H-...-K.

        Args:
            data_dim, latent_dim, hidden_dims, activation, likelihood, seed, dtype: as for `VAE`.
            n_classes: K, at least 1; labels are 0, ..., K - 1, or -1 where not known.
            alpha: weight of the classifier's cross-entropy, at least 0. If it is far below the
                loss of an example (100 nats on the digits), y becomes the clustering that explains
                x best, not the class.
        """
        self.n_classes = K = positive_int("n_classes", n_classes)
        self.alpha = positive_number("alpha", alpha, zero=True)
        D, L = positive_int("data_dim", data_dim), positive_int("latent_dim", latent_dim)
        H, p = hidden_widths(hidden_dims), likelihood or Bernoulli()
        prior: Any = ClassNormal(K, L)
        check_likelihood(p)
        self.classifier = encoder_of(D, H, K, activation, p, name="classifier")
        super().__init__(
            D, L, H, activation, p, prior, seed, dtype, n_classes=K, others=(self.classifier,)
        )
        self.noise_shape = (K, L)

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[SemiSupervisedVAE]:
        """Several classes and one; standardised data; linear networks."""
        _, D, H, L = sizes
        small: dict[str, Any] = {"activation": "tanh", "dtype": np.float64}
        yield cls(D, L, 4, (H + 2, H), likelihood=Binomial(16), alpha=0.7, **small)
        yield cls(D, L, 3, (H,), likelihood=Gaussian("shared", 0.5, 2.0), alpha=3.0, **small)
        yield cls(D, L, 1, (), **small)

    def log_weight(self, params: Params, data: Any, noise: Array) -> Array:
        """log sum_k p(x, z_k, k) / q(z_k|x, k), noise (N, K, L); if y is known, only k = y.

        (N,) nats: the mean of its exponential is p(x), or p(x, y) where y is known.
        """
        joint = self.log_class_weight(params, data[0], noise) - math.log(self.n_classes)
        return of_class(joint, data[1])

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """-U <= log p(x) where y is not known, and -S <= log p(x, y) where it is."""
        return terms["elbo"]

    def class_probabilities(self, x: Array) -> Array:
        """q(y|x) of the classifier, (N, K)."""
        (x, _), params = self.check_data(self.with_labels(x, None)), self.params
        logits = self.by_chunks(lambda x: self.classifier.forward(params, x)[0], x)
        return np.exp(log_softmax(logits))

    def classify(self, x: Array) -> Array:  # type: ignore[override]
        """argmax_y q(y|x), (N,). `log_class_joint(x).argmax(axis=1)` asks the decoder instead."""
        return self.class_probabilities(x).argmax(axis=1)
