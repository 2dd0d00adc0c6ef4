"""PCA and probabilistic PCA, from the eigenvectors of the covariance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpyvae.exact.arrays import LOG_2PI, Array, chunks, matrix, positive_integer

__all__ = ["PCA", "ProbabilisticPCA", "mean_and_covariance", "principal_axes", "require_noise"]


class PCA:
    """Principal component analysis: the linear code of k = n_components numbers with minimal error.

    `fit` finds the eigenvectors of S = (1/N) sum_n (x_n - mean)(x_n - mean)^T with the largest
    eigenvalues. On the fitted data, with errors summed over dimensions and averaged over n,
    reconstruction error + sum(explained_variance) = total_variance = trace(S).

    After `fit`: `mean` (D,), `components` (k, D) with orthonormal rows, `explained_variance` (k,),
    descending, `explained_variance_ratio` (k,), `total_variance`. The largest entry of each
    component is positive. Source: Bishop 2006, section 12.1.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = positive_integer("n_components", n_components)

    def fit(self, x: ArrayLike) -> PCA:
        """Fit to x (N, D) of any real dtype. ValueError if n_components > D."""
        data = matrix(x)
        if self.n_components > data.shape[1]:
            raise ValueError(f"n_components={self.n_components} is more than D={data.shape[1]}")
        self.mean, covariance = mean_and_covariance(data)
        variances, axes = principal_axes(covariance)
        self.components: Array = axes[:, : self.n_components].T.copy()  # (k, D)
        self.explained_variance: Array = variances[: self.n_components]  # (k,)
        self.total_variance = float(np.trace(covariance))
        self.explained_variance_ratio = self.explained_variance / (self.total_variance or 1.0)
        return self

    def transform(self, x: ArrayLike) -> Array:
        """Codes (x - mean) components^T, (N, k)."""
        return np.concatenate([(part - self.mean) @ self.components.T for part in _parts(self, x)])

    def inverse_transform(self, code: ArrayLike) -> Array:
        """Reconstructions code components + mean, (N, D), of codes (N, k)."""
        _require_fit(self)
        return np.asarray(matrix(code, self.n_components) @ self.components + self.mean)

    def reconstruction_error(self, x: ArrayLike) -> Array:
        """|x - inverse_transform(transform(x))|^2 of each example, summed over dimensions, (N,)."""
        parts = _parts(self, x)
        residuals = (part - self.inverse_transform(self.transform(part)) for part in parts)
        return np.concatenate([(residual**2).sum(axis=1) for residual in residuals])


class ProbabilisticPCA:
    """The linear-Gaussian latent variable model, in which everything has a closed form.

    z ~ N(0, I_L),  x | z ~ N(weights z + mean, noise_variance I_D),  so that
    p(x) = N(x; mean, C) with C = weights weights^T + noise_variance I_D.

    `fit` maximises the likelihood in closed form: noise_variance is the mean of the D - L smallest
    eigenvalues of the covariance, weights = U (Lambda - noise_variance I)^(1/2) from the L largest.
    `fit_em` reaches it by iteration. Both set `weights` (D, L), `mean` (D,), `noise_variance`. Only
    M = weights^T weights + noise_variance I, (L, L), is ever inverted.

    Constant pixels are allowed. With latent_dim at or above the rank of the centred data nothing is
    left as noise, the likelihood has no maximum, and both fits raise ValueError.
    Source: Tipping & Bishop 1999, sections 3.2, 3.3 and appendix B.
    """

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = positive_integer("latent_dim", latent_dim)

    def fit(self, x: ArrayLike) -> ProbabilisticPCA:
        """Maximum likelihood in closed form, on x (N, D)."""
        mean, covariance = mean_and_covariance(matrix(x))
        variances, axes = principal_axes(covariance)
        require_noise(variances, "latent_dim", self.latent_dim)
        kept, discarded = np.split(variances, [self.latent_dim])
        self.mean, self.noise_variance = mean, float(discarded.mean())
        self.weights: Array = axes[:, : self.latent_dim] * np.sqrt(kept - self.noise_variance)
        return self

    def fit_em(
        self, x: ArrayLike, iterations: int, rng: np.random.Generator | None = None
    ) -> Array:
        """Expectation maximisation; returns the mean log-likelihood (iterations + 1,), in nats.

        The trace begins at the starting point, weights drawn from rng (default_rng(0) if None), and
        never falls. EM leaves the rotation of z open, so at the end z is rotated as in `fit`.
        """
        iterations = positive_integer("iterations", iterations)
        mean, covariance = mean_and_covariance(matrix(x))  # (D,), S (D, D)
        require_noise(principal_axes(covariance)[0], "latent_dim", self.latent_dim)
        data_dim, total, eye = len(mean), float(np.trace(covariance)), np.eye(self.latent_dim)
        rng = np.random.default_rng(0) if rng is None else rng
        self.mean, self.noise_variance = mean, total / data_dim
        self.weights = rng.standard_normal((data_dim, self.latent_dim))  # (D, L)
        self.weights *= math.sqrt(self.noise_variance)
        trace = []
        for step in range(iterations + 1):
            moment, projected = self._moment(), covariance @ self.weights  # M (L, L), S W (D, L)
            inner = np.linalg.solve(moment, self.weights.T @ projected)  # M^-1 W^T S W, (L, L)
            quadratic = (total - np.trace(inner)) / self.noise_variance  # trace(C^-1 S)
            trace.append(-0.5 * (self._log_normaliser() + quadratic))
            if step < iterations:  # W = S W (noise I + inner)^-1, then the noise that is left
                inner += self.noise_variance * eye
                self.weights = np.linalg.solve(inner.T, projected.T).T
                explained = np.trace(np.linalg.solve(moment, projected.T @ self.weights))
                self.noise_variance = float(total - explained) / data_dim
        rotation = np.linalg.eigh(self.weights.T @ self.weights)[1]
        self.weights = _fix_signs(self.weights @ rotation[:, ::-1])
        return np.array(trace)

    def posterior(self, x: ArrayLike) -> tuple[Array, Array]:
        """p(z|x) = N(M^-1 weights^T (x - mean), noise_variance M^-1): (N, L), and one (L, L)."""
        parts = _parts(self, x)
        inverse = np.asarray(np.linalg.inv(self._moment()), np.float64)
        means = [(part - self.mean) @ (self.weights @ inverse) for part in parts]
        return np.concatenate(means), self.noise_variance * inverse

    def log_likelihood(self, x: ArrayLike) -> Array:
        """The density log N(x; mean, C) of each example, (N,), in nats.

        With r = x - mean and m the posterior mean, r^T C^-1 r = |r - weights m|^2 / noise_variance
        + |m|^2: Woodbury's identity, in a form without cancellation.
        """
        values = []
        for part in _parts(self, x):
            code = self.posterior(part)[0]  # m
            residual = part - self.mean - code @ self.weights.T
            quadratic = (residual**2).sum(axis=1) / self.noise_variance + (code**2).sum(axis=1)
            values.append(-0.5 * (self._log_normaliser() + quadratic))
        return np.concatenate(values)

    def _moment(self) -> Array:
        noise = self.noise_variance * np.eye(self.latent_dim)
        return np.asarray(self.weights.T @ self.weights + noise)

    def _log_normaliser(self) -> float:
        """D log 2 pi + log det C, with det C = noise_variance^(D - L) det M."""
        data_dim, log_det = len(self.weights), np.linalg.slogdet(self._moment())[1]
        noise = (data_dim - self.latent_dim) * math.log(self.noise_variance)
        return float(data_dim * LOG_2PI + noise + log_det)


def _require_fit(fitted: PCA | ProbabilisticPCA) -> None:
    if not hasattr(fitted, "mean"):
        raise ValueError(f"this {type(fitted).__name__} is not fitted: call fit(x) first")


def _parts(fitted: PCA | ProbabilisticPCA, x: ArrayLike) -> Iterator[Array]:
    """Give the rows of x in float64, some thousands at a time, with a check of their width."""
    _require_fit(fitted)
    return (part.astype(np.float64) for part in chunks(matrix(x, len(fitted.mean))))


def mean_and_covariance(x: NDArray[Any]) -> tuple[Array, Array]:
    """Mean (D,) and covariance (D, D) in float64, without a float64 copy of all x."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for part in chunks(x):
        centred = part - mean
        covariance += centred.T @ centred
    return mean, covariance / len(x)


def require_noise(variances: Array, name: str, latent_dim: int) -> None:
    """ValueError unless more than `latent_dim` of the variances (descending) exceed rounding."""
    rank = int(np.sum(variances > 1e-14 * len(variances) * variances[0]))
    if latent_dim >= rank:
        raise ValueError(
            f"{name}={latent_dim} must be below {rank}, the rank of the centred data: "
            "otherwise nothing is left as noise and the likelihood has no maximum"
        )


def principal_axes(covariance: Array) -> tuple[Array, Array]:
    """Eigenvalues (D,), descending and at least 0, and eigenvectors as columns (D, D)."""
    variances, axes = np.linalg.eigh(covariance)
    return np.maximum(variances[::-1], 0.0), _fix_signs(axes[:, ::-1])


def _fix_signs(columns: Array) -> Array:
    """Make the largest entry of each column positive (the first, if several are nearly equal)."""
    size = np.abs(columns)
    first = np.argmax(size >= (1.0 - 1e-6) * size.max(axis=0), axis=0)
    return columns * np.where(columns[first, np.arange(columns.shape[1])] < 0.0, -1.0, 1.0)
