"""Toy data with an exactly known density: four sets of points, each with its density.

`gaussian_mixture`, `spiral` and `pinwheel` draw points of the plane from a `GaussianMixture`,
`linear_gaussian` draws points near a plane in five dimensions from a `LinearGaussian`. The density
is returned as `truth`:

    x, labels, truth = spiral(500, np.random.default_rng(0))
    truth.log_prob(x)     # (N,) log p(x) in nats
    truth.score(x)        # (N, D) its gradient, the direction in which p grows

Both methods take `extra_variance`: with s^2 they describe x + s eps, data with added noise. Its
density is p convolved with N(0, s^2 I), which is of the same kind.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numpyvae.numerics import Array, logsumexp
from numpyvae.validation import positive_int, positive_number

__all__ = [
    "PLANE_IN_FIVE_DIMENSIONS",
    "THREE_GAUSSIANS",
    "GaussianMixture",
    "LinearGaussian",
    "LinearGaussianSample",
    "MixtureSample",
    "gaussian_mixture",
    "linear_gaussian",
    "pinwheel",
    "spiral",
]

Floats = NDArray[np.float64]

KNOTS_PER_ARM = 100


class GaussianMixture:
    """p(x) = sum_k weights_k N(x; means_k, variances_k I), every component round.

    Args:
        weights: (K,) positive, summing to 1.
        means: (K, D).
        variances: (K,) positive: variances, not standard deviations.

    Raises ValueError if shapes do not match or the numbers do not give a density.
    """

    def __init__(self, weights: Any, means: Any, variances: Any) -> None:
        self.weights = _constant(weights)  # (K,)
        self.means = _constant(means)  # (K, D)
        self.variances = _constant(variances)  # (K,)
        shapes = self.weights.shape, self.means.shape, self.variances.shape
        k = len(self.means) if self.means.ndim == 2 else 0
        if k == 0 or shapes != ((k,), self.means.shape, (k,)):
            raise ValueError(
                f"weights, means, variances must have shapes (K,), (K, D), (K,), got {shapes}"
            )
        if not (self.weights > 0).all() or not math.isclose(self.weights.sum(), 1.0):
            raise ValueError(f"weights must be positive and sum to 1, got {self.weights}")
        if not (self.variances > 0).all():
            raise ValueError(f"variances must be positive, got {self.variances}")

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n points x (N, D) and the component (N,) that each came from."""
        n = _checked_size(n, rng)
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))  # (N, D)
        std = np.sqrt(self.variances[component])  # (N,)
        return self.means[component] + std[:, None] * noise, component

    def log_prob(self, x: Array, extra_variance: float = 0.0) -> Array:
        """log p(x), (N,) nats, of x (N, D); of x + noise of that variance, if any."""
        x = _points(x, self.means.shape[1])
        return logsumexp(self._log_joint(x, self._variances(extra_variance)), axis=1)

    def score(self, x: Array, extra_variance: float = 0.0) -> Array:
        """The gradient of `log_prob` with respect to x (N, D), also (N, D).

        d/dx log p(x) = sum_k p(k|x) (means_k - x) / variances_k
        """
        x = _points(x, self.means.shape[1])
        variances = self._variances(extra_variance)  # (K,)
        log_joint = self._log_joint(x, variances)
        responsibility = np.exp(log_joint - logsumexp(log_joint, axis=1)[:, None])  # (N, K) p(k|x)
        pull = responsibility / variances
        return pull @ self.means - pull.sum(axis=1, keepdims=True) * x

    def _variances(self, extra_variance: float) -> Floats:
        return self.variances + positive_number("extra_variance", extra_variance, zero=True)

    def _log_joint(self, x: Floats, variances: Floats) -> Floats:
        """log p(x, k) of every point with every component, (N, K)."""
        squared_distance = np.zeros((len(x), len(self.means)))  # (N, K)
        for d in range(x.shape[1]):  # one axis at a time: (N, K, D) would be large
            squared_distance += np.subtract.outer(x[:, d], self.means[:, d]) ** 2
        log_normaliser = 0.5 * x.shape[1] * np.log(2 * math.pi * variances)  # (K,)
        log_joint: Floats = (
            np.log(self.weights) - log_normaliser - 0.5 * squared_distance / variances
        )
        return log_joint


class LinearGaussian:
    """x = W z + mean + sigma eps, z and eps standard normal: p(x) = N(x; mean, W W^T + sigma^2 I).

    The model of probabilistic PCA (Tipping & Bishop 1999): a VAE whose decoder has no hidden layer,
    so that its likelihood has a closed form.

    Args:
        weights: W (D, L).
        mean: (D,).
        noise_variance: sigma^2, positive: a variance, not a standard deviation.

    Raises ValueError if shapes do not match or the variance is not positive.
    """

    def __init__(self, weights: Any, mean: Any, noise_variance: float) -> None:
        self.weights = _constant(weights)  # (D, L)
        self.mean = _constant(mean)  # (D,)
        self.noise_variance = positive_number("noise_variance", noise_variance)
        shapes = self.weights.shape, self.mean.shape
        if self.weights.ndim != 2 or self.mean.shape != self.weights.shape[:1]:
            raise ValueError(f"weights, mean must have shapes (D, L), (D,), got {shapes}")

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """n points x (N, D) and the latent z (N, L) that each came from."""
        n = _checked_size(n, rng)
        data_dim, latent_dim = self.weights.shape
        z = rng.standard_normal((n, latent_dim))
        noise = rng.standard_normal((n, data_dim))
        return z @ self.weights.T + self.mean + math.sqrt(self.noise_variance) * noise, z

    def covariance(self, extra_variance: float = 0.0) -> Floats:
        """W W^T + (noise_variance + extra_variance) I, (D, D)."""
        noise = self.noise_variance + positive_number("extra_variance", extra_variance, zero=True)
        covariance: Floats = self.weights @ self.weights.T + noise * np.eye(len(self.mean))
        return covariance

    def log_prob(self, x: Array, extra_variance: float = 0.0) -> Array:
        """log p(x), (N,) nats, of x (N, D); of x + noise of that variance, if any."""
        deviation = _points(x, len(self.mean)) - self.mean  # (N, D)
        root = np.linalg.cholesky(self.covariance(extra_variance))  # (D, D), C = root root^T
        white = np.linalg.solve(root, deviation.T)  # (D, N), covariance I if x is from here
        log_normaliser = 0.5 * len(self.mean) * math.log(2 * math.pi) + np.log(np.diag(root)).sum()
        log_prob: Floats = -log_normaliser - 0.5 * (white**2).sum(axis=0)
        return log_prob

    def score(self, x: Array, extra_variance: float = 0.0) -> Array:
        """The gradient of `log_prob` with respect to x: -C^-1 (x - mean), (N, D)."""
        deviation = _points(x, len(self.mean)) - self.mean  # (N, D)
        score: Floats = np.linalg.solve(self.covariance(extra_variance), -deviation.T).T
        return score


class MixtureSample(NamedTuple):
    """Points of the plane: `x, labels, truth = ...`."""

    x: Array
    """(N, 2) float64."""
    labels: Array
    """(N,) int64: the component, or the arm, that each point came from."""
    truth: GaussianMixture
    """The density from which x was drawn."""


class LinearGaussianSample(NamedTuple):
    """Points near a plane: `x, z, truth = ...`."""

    x: Array
    """(N, D) float64."""
    z: Array
    """(N, L) float64: the latent coordinates that each point came from."""
    truth: LinearGaussian
    """The density from which x was drawn."""


def gaussian_mixture(
    n: int, rng: np.random.Generator, truth: GaussianMixture | None = None
) -> MixtureSample:
    """n points of a Gaussian mixture, `THREE_GAUSSIANS` in the plane unless another is given."""
    truth = THREE_GAUSSIANS if truth is None else truth
    return MixtureSample(*truth.sample(n, rng), truth)


def spiral(
    n: int, rng: np.random.Generator, arms: int = 2, turns: float = 1.25, noise: float = 0.1
) -> MixtureSample:
    """n points along the arms of a spiral of radius 2, labelled by arm.

    The density is a mixture of 100 round Gaussians along each arm, like beads on a string. With the
    default noise they overlap so much that the arm looks continuous; the density is exact for any
    noise.

    Args:
        n: number of points.
        rng: draws them.
        arms: number of arms.
        turns: number of turns of an arm around the centre, positive.
        noise: standard deviation about the arm, positive.
    """
    turns = positive_number("turns", turns)
    # The length of an arm up to radius r grows with r^2 (nearly), so equal steps of r^2 spread the
    # beads evenly along it.
    radius = np.sqrt((np.arange(KNOTS_PER_ARM) + 0.5) / KNOTS_PER_ARM)  # (K,)
    curve = 2.0 * radius * np.exp(2j * math.pi * turns * radius)  # (K,) points x + iy
    weights = np.full(KNOTS_PER_ARM, 1 / KNOTS_PER_ARM)
    return _sample_arms(n, rng, curve, weights, arms, noise)


def pinwheel(
    n: int, rng: np.random.Generator, arms: int = 5, twist: float = 1.5, noise: float = 0.08
) -> MixtureSample:
    """n points on the bent blades of a pinwheel, labelled by blade; dense in the middle of a blade.

    Along each blade the distance from the centre is normal, 1 +- 0.3. The density is a mixture of
    100 round Gaussians along each blade, exact as for `spiral`.

    Args:
        n: number of points.
        rng: draws them.
        arms: number of blades.
        twist: angle, in radians, by which a blade bends between the centre and radius 1.
        noise: standard deviation about the blade, positive.

    After Johnson et al. 2016, "Composing graphical models with neural networks", Figure 1.
    """
    position = np.linspace(-3.0, 3.0, KNOTS_PER_ARM)  # (K,) along the blade, standard deviations
    radius = 1.0 + 0.3 * position
    curve = radius * np.exp(1j * twist * radius)  # (K,) points x + iy
    weights = np.exp(-0.5 * position**2)
    return _sample_arms(n, rng, curve, weights / weights.sum(), arms, noise)


def linear_gaussian(
    n: int, rng: np.random.Generator, truth: LinearGaussian | None = None
) -> LinearGaussianSample:
    """n points x = W z + mean + sigma eps, `PLANE_IN_FIVE_DIMENSIONS` unless another is given."""
    truth = PLANE_IN_FIVE_DIMENSIONS if truth is None else truth
    return LinearGaussianSample(*truth.sample(n, rng), truth)


def _sample_arms(
    n: int, rng: np.random.Generator, curve: Array, weights: Array, arms: int, noise: float
) -> MixtureSample:
    """n points about copies of a curve (K,) of complex numbers, turned about the origin."""
    arms = positive_int("arms", arms)
    turned = np.exp(2j * math.pi * np.arange(arms) / arms)[:, None] * curve  # (arms, K)
    means = np.stack([turned.real.ravel(), turned.imag.ravel()], axis=1)  # (arms * K, 2)
    variances = np.full(len(means), positive_number("noise", noise) ** 2)
    truth = GaussianMixture(np.tile(weights, arms) / arms, means, variances)
    x, component = truth.sample(n, rng)
    return MixtureSample(x, component // len(curve), truth)


def _checked_size(n: int, rng: np.random.Generator) -> int:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r}")
    return positive_int("n", n)


def _constant(values: Any) -> Floats:
    """A read-only float64 copy, so that the density cannot change later."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _points(x: Array, data_dim: int) -> Floats:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != data_dim:
        raise ValueError(f"x must have shape (N, {data_dim}), got {x.shape}")
    return x


THREE_GAUSSIANS = GaussianMixture(
    weights=[0.5, 0.3, 0.2],
    means=[[-1.5, -1.0], [1.5, -0.5], [0.0, 1.5]],
    variances=[0.25, 0.1, 0.05],
)
"""Three round blobs in the plane, of different weight and width."""

PLANE_IN_FIVE_DIMENSIONS = LinearGaussian(
    weights=[[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.5]],
    mean=[1.0, -1.0, 0.0, 2.0, 0.5],
    noise_variance=0.25,
)
"""A tilted plane (L = 2) in D = 5 dimensions, with noise of standard deviation 1/2 about it."""
