"""A VAE as an estimator of scikit-learn, for Pipeline, GridSearchCV and the like.

It needs scikit-learn: pip install "numpyvae[sklearn]". Nothing else in the package imports it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from numpyvae.likelihoods import Gaussian, Likelihood
from numpyvae.models import VAE
from numpyvae.numerics import Array, logsumexp
from numpyvae.optimizers import Adam
from numpyvae.validation import positive_int

__all__ = ["VAETransformer"]

DTYPES = [np.float64, np.float32]


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder of X (N, D): posterior means (N, L), log p(x), samples.

    The arguments are those of `VAE` and of its `fit`, under the same names. All computations are in
    the dtype of the X given to `fit`, float64 or float32.

    Args:
        latent_dim: L, the number of columns that `transform` gives.
        hidden_dims, activation, beta: of `VAE`.
        likelihood: p(x|z) from `numpyvae.likelihoods`, for example `Bernoulli()` for 0 and 1 or
            `Binomial(16)` for counts up to 16; None: `Gaussian("shared")` in the units of X.
        epochs, batch_size: of `VAE.fit`.
        learning_rate: of Adam.
        n_samples: S, the draws of z for each example in `score_samples`.
        random_state: of the parameters, of training, and of the draws of `score_samples`.
        verbose: whether `fit` shows its progress.

    Attributes:
        model_: the fitted `VAE`, with its `history`.
        n_features_in_, feature_names_in_: D, and the names of X's columns if it has names.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        beta: float = 1.0,
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        n_samples: int = 100,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.likelihood = likelihood
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> VAETransformer:
        """Train on the rows of X (N, D); y is not used.

        Raises ValueError for data outside the likelihood's support, DivergenceError (an
        ArithmeticError) if the loss becomes NaN or infinite.
        """
        X = validate_data(self, X, dtype=DTYPES)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model = VAE(
            X.shape[1],
            self.latent_dim,
            self.hidden_dims,
            self.activation,
            copy.deepcopy(self.likelihood) or Gaussian("shared").scaled_to(X),
            self.beta,
            self._seed,
            X.dtype,
        )
        model.fit(X, self.epochs, self.batch_size, Adam(self.learning_rate), verbose=self.verbose)
        self.model_ = model
        return self

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent_dim)

    def transform(self, X: Any) -> Array:
        """The means of q(z|x), (N, L)."""
        return self.model_.encode(self._checked(X))[0]

    def inverse_transform(self, X: Any) -> Array:
        """E[x|z], the means of p(x|z), of codes z = X (N, L): (N, D)."""
        check_is_fitted(self)
        return self.model_.decode(np.asarray(X))

    def score_samples(self, X: Any) -> Array:
        """Log p(x) of each row of X by importance weighting, (N,) nats.

        log 1/S sum_s p(x, z_s) / q(z_s|x), z_s = mean(x) + sigma(x) noise_s: in expectation a lower
        bound on log p(x), above the ELBO. The S = `n_samples` rows of noise (S, L) are drawn once
        and used for every x, so the score of a row depends neither on the other rows nor on their
        order. Source: Burda et al. 2015, eq. 8.
        """
        X, S = self._checked(X), positive_int("n_samples", self.n_samples)
        model, params = self.model_, self.model_.params
        noise = np.random.default_rng(self._seed).standard_normal((S, model.latent_dim))

        def log_weights(x: Array) -> Array:  # (N, D) -> (N, S), a draw for all rows at a time
            draws = (np.broadcast_to(e, (len(x), len(e))).astype(x.dtype) for e in noise)
            return np.stack([model.log_weight(params, x, e) for e in draws], axis=1)

        return logsumexp(model.by_chunks(log_weights, X), axis=1) - math.log(S)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, in nats per example: higher is better."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draws x ~ p(x|z), z ~ p(z), (n_samples, D)."""
        check_is_fitted(self)
        seed = check_random_state(random_state).randint(2**31 - 1)
        return self.model_.sample(n_samples, np.random.default_rng(seed), mean=False)

    def _checked(self, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=DTYPES, reset=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
