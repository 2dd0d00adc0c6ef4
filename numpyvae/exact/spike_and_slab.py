"""Spike-and-slab sparse coding, with the posterior by enumeration of all active sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from numpyvae.exact.arrays import LOG_2PI, Array, chunks, matrix, positive_integer
from numpyvae.exact.pca import mean_and_covariance, principal_axes, require_noise

__all__ = ["SpikeAndSlab"]

MOST_COMPONENTS = 10
ENTRIES = 1 << 21
"""The size of the largest array of a chunk of rows."""


class SpikeAndSlab:
    """Probabilistic PCA with switches: each example uses some of the K components.

    s_k ~ Bernoulli(inclusion_k),  z ~ N(0, I_K),  x | s, z ~ N(weights (s z) + mean, noise_variance
    I_D), so that p(x) is a mixture of 2^K Gaussians N(mean, weights_s weights_s^T + noise_variance
    I). The E-step of `fit_em` computes all of them, for K = n_components up to 10.

    Attributes after `fit_em`: `weights` (D, K), `mean` (D,), `noise_variance`, `inclusion` (K,).
    With inclusion = 1 it is probabilistic PCA. The order and signs of the components are arbitrary.
    Source: Sheikh, Shelton & Luecke 2014, sections 2 and 3, without the truncation.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = positive_integer("n_components", n_components)
        if self.n_components > MOST_COMPONENTS:
            raise ValueError(
                f"n_components={n_components} would mean 2^{n_components} Gaussians: "
                f"expected at most {MOST_COMPONENTS}"
            )
        K = self.n_components
        every = (np.arange(2**K)[:, None] >> np.arange(K)) & 1
        self.codes: Array = every.astype(np.float64)  # every s, (2^K, K)

    def fit_em(
        self, x: ArrayLike, iterations: int, rng: np.random.Generator | None = None
    ) -> Array:
        """Expectation maximisation; returns the mean log-likelihood (iterations + 1,), in nats.

        The trace begins at the starting point, weights drawn from rng (default_rng(0) if None) and
        inclusion 1/2, and never falls. The result depends on the start: take the best of several.
        """
        data, K = matrix(x), self.n_components
        iterations = positive_integer("iterations", iterations)
        self.mean, covariance = mean_and_covariance(data)
        require_noise(principal_axes(covariance)[0], "n_components", K)
        total = float(np.trace(covariance))
        rng = np.random.default_rng(0) if rng is None else rng
        self.noise_variance = total / len(self.mean)
        self.weights: Array = rng.standard_normal((len(self.mean), K))
        self.weights *= math.sqrt(self.noise_variance)
        self.inclusion: Array = np.full(K, 0.5)
        trace = [self._step(data) for _ in range(iterations)]
        return np.array([*trace, self.log_likelihood(data).mean()])

    def log_likelihood(self, x: ArrayLike) -> Array:
        """Log p(x), summed over all s, of each example: (N,), in nats."""
        return np.concatenate([e_step.log_px for _, e_step in self._e_steps(x)])

    def posterior(self, x: ArrayLike) -> Array:
        """p(s|x) of every s in `codes`, (N, 2^K)."""
        return np.concatenate([e_step.p for _, e_step in self._e_steps(x)])

    def _step(self, data: Array) -> float:
        """One iteration of EM; returns the mean log-likelihood before it.

        With y = (s z, 1): [weights, mean] = (sum x E[y]^T) (sum E[y y^T])^-1, the regression of x
        on y, of which only moments are known.
        """
        K, D, n = self.n_components, len(self.mean), len(data)
        log_likelihood, active, squares = 0.0, np.zeros(K), 0.0
        moment, cross = np.zeros((K + 1, K + 1)), np.zeros((D, K + 1))
        for part, (log_px, p, codes) in self._e_steps(data):
            log_likelihood += float(log_px.sum())
            active += p.sum(axis=0) @ self.codes
            y = np.column_stack([np.einsum("nc,nck->nk", p, codes), np.ones(len(part))])
            moment[:K, :K] += np.einsum("nc,nci,ncj->ij", p, codes, codes, optimize=True)
            moment[:K, :K] += np.einsum("c,cij->ij", p.sum(axis=0), self._moments()[1])
            moment[K] += y.sum(axis=0)
            shifted = part - self.mean  # or the squares below would cancel
            cross += shifted.T @ y
            squares += float((shifted**2).sum())
        moment[:, K] = moment[K]
        solution = np.linalg.solve(moment, cross.T).T  # (D, K + 1)
        self.weights, self.mean = solution[:, :K], self.mean + solution[:, K]
        self.noise_variance = (squares - float((solution * cross).sum())) / (n * D)
        self.inclusion = active / n
        return log_likelihood / n

    def _e_steps(self, x: ArrayLike) -> Iterator[tuple[Array, _EStep]]:
        """Chunks of rows, in float64, with log p(x), p(s|x) and E[s z | s, x].

        Within the span of the weights, W = Q R, all is K-dimensional: |x - mean - W m|^2 is the
        squared part of x - mean outside it, plus |Q^T (x - mean) - R m|^2. Nothing cancels.
        """
        if not hasattr(self, "weights"):
            raise ValueError("this SpikeAndSlab is not fitted: call fit_em(x, iterations) first")
        (D, K), noise = self.weights.shape, self.noise_variance
        Q, R = np.linalg.qr(self.weights)
        moments, covariances = self._moments()
        with np.errstate(divide="ignore"):  # a component that is never or always active
            log_on, log_off = np.log(self.inclusion), np.log1p(-self.inclusion)
        log_ps = np.where(self.codes == 1, log_on, log_off).sum(axis=1)  # (2^K,)
        log_det = (D - K) * math.log(noise) + np.linalg.slogdet(moments)[1]
        for rows in chunks(matrix(x, D), max(1, ENTRIES // (K * len(self.codes)))):
            part = rows.astype(np.float64)
            inside = (part - self.mean) @ Q
            outside = ((part - self.mean - inside @ Q.T) ** 2).sum(axis=1)
            codes = np.einsum("nk,ckj->ncj", inside @ R / noise, covariances, optimize=True)
            residual = inside[:, None] - codes @ R.T
            quadratic = (outside[:, None] + (residual**2).sum(axis=2)) / noise
            log_px_s = log_ps - 0.5 * (D * LOG_2PI + log_det + quadratic + (codes**2).sum(axis=2))
            largest = log_px_s.max(axis=1, keepdims=True)
            p = np.exp(log_px_s - largest)
            total = p.sum(axis=1, keepdims=True)
            yield part, _EStep((largest + np.log(total))[:, 0], p / total, codes)

    def _moments(self) -> tuple[Array, Array]:
        """weights_s^T weights_s + noise_variance I, and Cov[s z | s, x], (2^K, K, K) each.

        The second is noise_variance times the inverse of the first, and 0 where s is 0.
        """
        both = self.codes[:, :, None] * self.codes[:, None, :]
        moments = both * (self.weights.T @ self.weights)
        moments += self.noise_variance * np.eye(self.n_components)
        return moments, both * self.noise_variance * np.linalg.inv(moments)


class _EStep(NamedTuple):
    log_px: Array
    """(n,)"""
    p: Array
    """p(s|x), (n, 2^K)"""
    codes: Array
    """E[s z | s, x], (n, 2^K, K)"""
