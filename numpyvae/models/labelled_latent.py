"""The methods shared by all models whose encoder and decoder are given a class y.

Both networks begin with a `Condition` layer; the code is Gaussian given x and y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpyvae import evaluation, marginal
from numpyvae.classes import of_class
from numpyvae.gaussian import mean_and_log_var
from numpyvae.layers import Params
from numpyvae.models.labelled import Labelled
from numpyvae.models.latent import LatentModel
from numpyvae.numerics import Array, logsumexp
from numpyvae.validation import as_labels, as_matrix, check_finite, positive_int

__all__ = ["LabelledLatentModel"]


class LabelledLatentModel(Labelled, LatentModel):
    """The methods of a fitted model of (x, y), with y (N,) of the classes 0, ..., K - 1."""

    prior: Any
    """A `ClassNormal`; its methods take (z, y) in place of z."""

    def labels(self, y: Any, n: int | None = None) -> Array:
        """`y` as known labels (n,); ValueError or TypeError if they are anything else."""
        y = np.asarray(y)
        if y.ndim != 1 or not y.size:
            raise ValueError(f"y must hold one label per row, shape (N,), got shape {y.shape}")
        return as_labels("y", y, len(y) if n is None else n, self.n_classes)

    def encode(self, x: Array, y: Array) -> tuple[Array, Array]:  # type: ignore[override]
        """q(z|x, y): mean (N, L) and log_var (N, L), the logarithm of the variance."""
        (x, _), params = self.check_data((x, y)), self.params
        y = self.labels(y, len(x))
        heads = self.by_chunks(lambda *data: self.encoder.forward(params, data)[0], x, y)
        return mean_and_log_var(heads)

    def _decoded(self, z: Array, y: Array, finish: Callable[[Array], Array]) -> Array:
        """`finish` of the decoder's output (N, D') for codes z (N, L) of the classes y (N,)."""
        z, params = as_matrix("z", z, self.latent_dim, "(N, L)"), self.params
        check_finite("z", z)
        y = self.labels(y, len(z))
        return self.by_chunks(lambda *code: finish(self.decoder.forward(params, code)[0]), z, y)

    def decode(self, z: Array, y: Array) -> Array:  # type: ignore[override]
        """E[x|z, y], the means of p(x|z, y): z (N, L), y (N,) -> (N, D)."""
        return self._decoded(z, y, self.likelihood.mean)

    def reconstruct(self, x: Array, y: Array) -> Array:  # type: ignore[override]
        """E[x|z, y] at the posterior mean z: (N, D), (N,) -> (N, D)."""
        return self.decode(self.encode(x, y)[0], y)

    def sample(  # type: ignore[override]
        self, y: Array, rng: np.random.Generator | None = None, mean: bool = True
    ) -> Array:
        """E[x|z, y] with one z ~ p(z|y) for each label in y (N,): (N, D).

        `mean=False` draws x ~ p(x|z, y) instead. `rng=None` starts a generator from the model's
        seed, so that every call gives the same.
        """
        rng, params, y = self.generator(rng), self.params, self.labels(y)
        z = self.prior.sample(params, rng, y)
        if mean:
            return self.decode(z, y)
        return self._decoded(z, y, lambda output: self.likelihood.sample(params, output, rng))

    def with_labels(self, x: Array, y: Any) -> tuple[Array, Any]:
        """(x, y); y = None means that no label is known, in models that allow it."""
        if y is None and not self.unknown_labels:
            raise TypeError(f"{type(self).__name__} needs labels beside the data: y (N,)")
        return x, np.full(np.shape(x)[:1], -1) if y is None else y

    def elbo(  # type: ignore[override]
        self, x: Array, y: Any = None, n_samples: int = 1, rng: np.random.Generator | None = None
    ) -> Array:
        """The model's lower bound for each example, (N,) nats (higher is better): see `bound`.

        The expectation is averaged over `n_samples` draws of z. `rng=None` as in `sample`.
        """
        return evaluation.elbo(self, self.with_labels(x, y), n_samples, rng)

    def log_likelihood(  # type: ignore[override]
        self,
        x: Array,
        y: Any = None,
        n_samples: int = 500,
        rng: Any = None,
        method: str = "auto",
        *,
        full: bool = False,
    ) -> Any:
        """log p(x|y) of each example, (N,) nats; arguments after y as for `LatentModel`.

        A model that sums over the class gives log p(x) where y is -1 (y = None: everywhere) and
        log p(x, y) where y is known, by importance sampling from q(z|x, y) of every class. The
        estimates are lower bounds in expectation, and tighter the larger `n_samples` is.
        """
        data = x, y = self.check_data(self.with_labels(x, y))
        if not self.unknown_labels:
            estimate = marginal.log_likelihood(self, data, n_samples, rng, method)
            return estimate if full else estimate.log_likelihood
        if full or method not in ("auto", "importance"):
            raise ValueError(f"{type(self).__name__} has only the method 'importance'")
        return of_class(self.log_class_joint(x, n_samples, rng), y)

    def posterior(self, params: Params, data: Any) -> tuple[Array, Array]:
        """q(z|x, y): mean and log_var (N, L); ValueError for an unknown y (q is a mixture)."""
        return super().posterior(params, (data[0], self.labels(data[1])))

    def log_class_weight(self, params: Params, x: Array, noise: Array) -> Array:
        """log p(x, z_k|k) - log q(z_k|x, k) with z_k drawn for each class, by noise (N, K, L).

        (N, K) nats: column k is a one-sample estimate of log p(x|k).
        """
        K = self.n_classes
        every = np.repeat(x, K, axis=0), np.tile(np.arange(K), len(x))  # (N K, D), (N K,)
        noise = noise.reshape(-1, self.latent_dim)
        return LatentModel.log_weight(self, params, every, noise).reshape(-1, K)

    def log_class_joint(
        self, x: Array, n_samples: int = 100, rng: np.random.Generator | None = None
    ) -> Array:
        """log p(x|y) + log p(y) for every class, (N, K) nats; p(y) = 1/K.

        log p(x|y) by importance sampling from q(z|x, y). The logsumexp over the classes is
        log p(x), the softmax p(y|x). `rng=None` as in `sample`.
        """
        (x, _), rng = self.check_data((x, np.zeros(np.shape(x)[:1], np.intp))), self.generator(rng)
        n_samples, params = positive_int("n_samples", n_samples), self.params

        def of_rows(x: Array) -> Array:
            shape = (n_samples, len(x), self.n_classes)
            draws = np.empty(shape)  # (S, N, K)
            for draw in draws:
                noise = rng.standard_normal((*shape[1:], self.latent_dim), self.dtype)
                draw[...] = self.log_class_weight(params, x, noise)
            return logsumexp(draws, axis=0) - math.log(n_samples * self.n_classes)

        return self.by_chunks(of_rows, x)

    def classify(
        self, x: Array, n_samples: int = 100, rng: np.random.Generator | None = None
    ) -> Array:
        """argmax_y of log p(x|y) + log p(y), the most probable class of each row, (N,)."""
        return self.log_class_joint(x, n_samples, rng).argmax(axis=1)
