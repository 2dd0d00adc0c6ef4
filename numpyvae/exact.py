"""Exact references: PCA, probabilistic PCA, and log p(x) of a small VAE by quadrature.

Nothing here imports the rest of the package: what a trained model is held against is written a
second time, from the formulas, so that agreement is evidence. Everything is computed in float64,
log-probabilities are in nats, and covariances divide by N (maximum likelihood).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PCA", "ProbabilisticPCA", "marginal_log_likelihood"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
LOG_2PI = math.log(2.0 * math.pi)


class PCA:
    """Principal component analysis: the linear code of k = n_components numbers with least error.

    `fit` finds the eigenvectors of S = (1/N) sum_n (x_n - mean)(x_n - mean)^T with the largest
    eigenvalues. On the data of the fit, with errors summed over dimensions and averaged over n,
    reconstruction error + sum(explained_variance) = total_variance = trace(S).

    After `fit`: `mean` (D,), `components` (k, D) with orthonormal rows, `explained_variance` (k,),
    descending, `explained_variance_ratio` (k,), `total_variance`. The largest entry of each
    component is positive. Source: Bishop 2006, section 12.1.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = _positive_integer("n_components", n_components)

    def fit(self, x: ArrayLike) -> PCA:
        """Fit to x (N, D) of any real dtype. ValueError if n_components > D."""
        data = _matrix(x)
        if self.n_components > data.shape[1]:
            raise ValueError(f"n_components={self.n_components} is more than D={data.shape[1]}")
        self.mean, covariance = _mean_and_covariance(data)
        variances, axes = _principal_axes(covariance)
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
        return np.asarray(_matrix(code, self.n_components) @ self.components + self.mean)

    def reconstruction_error(self, x: ArrayLike) -> Array:
        """|x - inverse_transform(transform(x))|^2 of each example, summed over dimensions, (N,)."""
        parts = _parts(self, x)
        residuals = (part - self.inverse_transform(self.transform(part)) for part in parts)
        return np.concatenate([(residual**2).sum(axis=1) for residual in residuals])


class ProbabilisticPCA:
    """The linear-Gaussian latent variable model, in which everything has a closed form.

    z ~ N(0, I_L),  x | z ~ N(weights z + mean, noise_variance I_D),  so that
    p(x) = N(x; mean, C) with C = weights weights^T + noise_variance I_D.

    `fit` maximises the likelihood at one stroke: noise_variance is the mean of the D - L smallest
    eigenvalues of the covariance, weights = U (Lambda - noise_variance I)^(1/2) from the L largest.
    `fit_em` climbs there. Both set `weights` (D, L), `mean` (D,), `noise_variance`. Only
    M = weights^T weights + noise_variance I, (L, L), is ever inverted.

    Constant pixels do no harm while something is left to be noise. With latent_dim at or above the
    rank of the centred data the likelihood has no maximum, and both fits raise ValueError.
    Source: Tipping & Bishop 1999, sections 3.2, 3.3 and appendix B.
    """

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = _positive_integer("latent_dim", latent_dim)

    def fit(self, x: ArrayLike) -> ProbabilisticPCA:
        """Maximum likelihood in closed form, on x (N, D)."""
        mean, covariance = _mean_and_covariance(_matrix(x))
        variances, axes = self._axes_and_noise(covariance)
        kept, discarded = np.split(variances, [self.latent_dim])
        self.mean, self.noise_variance = mean, float(discarded.mean())
        self.weights: Array = axes[:, : self.latent_dim] * np.sqrt(kept - self.noise_variance)
        return self

    def fit_em(
        self, x: ArrayLike, iterations: int, rng: np.random.Generator | None = None
    ) -> Array:
        """Expectation maximisation; gives the mean log-likelihood (iterations + 1,), in nats.

        The trace begins at the starting point, weights drawn from rng (default_rng(0) if None), and
        never falls. EM leaves the rotation of z open: at the end it is turned to that of `fit`.
        """
        iterations = _positive_integer("iterations", iterations)
        mean, covariance = _mean_and_covariance(_matrix(x))  # (D,), S (D, D)
        self._axes_and_noise(covariance)
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
        inverse = np.linalg.inv(self._moment())
        means = [(part - self.mean) @ (self.weights @ inverse) for part in parts]
        return np.concatenate(means), self.noise_variance * inverse

    def log_likelihood(self, x: ArrayLike) -> Array:
        """The density log N(x; mean, C) of each example, (N,), in nats.

        With r = x - mean and m the posterior mean, r^T C^-1 r = |r - weights m|^2 / noise_variance
        + |m|^2: Woodbury's identity, written so that nothing cancels.
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

    def _axes_and_noise(self, covariance: Array) -> tuple[Array, Array]:
        """The principal axes, if more of them than latent_dim have any variance."""
        variances, axes = _principal_axes(covariance)
        rank = int(np.sum(variances > 1e-14 * len(variances) * variances[0]))
        if self.latent_dim >= rank:
            raise ValueError(
                f"latent_dim={self.latent_dim} must be below {rank}, the rank of the centred data: "
                "otherwise nothing is left to be noise and the likelihood has no maximum"
            )
        return variances, axes


def marginal_log_likelihood(
    vae: Any, x: ArrayLike, *, tolerance: float | None = None, max_cells: int = 30_000
) -> tuple[Array, Array]:
    """The exact log p(x) = log integral N(z; 0, I) p(x|z) dz of a VAE with latent_dim 1 or 2.

    Quadrature on cells that are halved where an example needs it, by the Gauss-Lobatto rule: its
    nodes include the edges, so that no kink or step hides between two cells. One Gauss-Hermite rule
    would not do: a posterior of width 0.01 falls between nodes laid out for the prior, nodes laid
    out for one mode miss the second, and the kinks of ReLU decoders keep any global rule from
    converging fast. From [-1024, 1024]^L downwards, a cell is

    - always halved while it is wider than half of max(1, its distance from 0);
    - left alone when it cannot hold mass, by the lower of two bounds: the highest log integrand at
      its nodes plus the whole spread there; the prior at the point nearest to 0 with each decoder
      output at its best for x within its range over the nodes, widened by half on either side;
    - accepted when its integrand spans at most 20 nats and two halvings in succession changed its
      integral too little to matter. (One may agree by accident where there is a kink.)

    The error estimate is the tolerance plus all these changes and bounds. It is no proof: a feature
    of the decoder narrower than the nodes, 0.02 to 0.1 apart where the integrand is flat, is not
    seen. For smooth decoders it is far too high: four more digits are right.

    Args:
        vae: theta, layout, latent_dim, data_dim, activation, likelihood and prior are read, no
            method is called. The prior must be standard normal.
        x: (N, D), in the support of the likelihood.
        tolerance: aimed at, in nats; None means 1e-7 for L = 1 and 1e-4 for L = 2.
        max_cells: about so many cells an example, then it ends; if they did not suffice the error
            estimate is large, and infinite where the mass may not even have been found.

    Returns:
        log p(x) (N,) and its error estimate (N,), both in nats.

    Raises:
        ValueError: for another latent_dim, likelihood or prior, and x outside the support.

    """
    decoder = _Decoder(vae)
    tolerance = (1e-7 if decoder.latent_dim == 1 else 1e-4) if tolerance is None else tolerance
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must be between 0 and 1 nats, got {tolerance!r}")
    max_cells = _positive_integer("max_cells", max_cells)
    data = decoder.check(x)
    results = [_integrate(decoder, part, tolerance, max_cells) for part in _chunks(data, 16)]
    log_px, error = np.concatenate(results, axis=1)
    return log_px + decoder.log_coefficient(data), error


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def _integrate(decoder: _Decoder, x: Array, tolerance: float, max_cells: int) -> Array:
    """Halve, level by level, the cells that still matter to an example: log p(x) and error (2, N).

    The work list holds P pairs of an example (`owner`) and a cell, as its index into `centres`.
    """
    n, dim = len(x), decoder.latent_dim
    K = 2**dim  # halving a cell gives K children
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=dim)))  # (K, L)
    centres, half_width = np.zeros((1, dim)), 1024.0  # (C, L)
    owner, cell = np.arange(n), np.zeros(n, dtype=np.intp)  # (P,)
    coarse, last_change = np.full(n, -np.inf), np.full(n, np.inf)  # log integral, log change, (P,)
    log_px, log_error, spent = np.full(n, -np.inf), np.full(n, -np.inf), np.zeros(n)
    while len(owner):
        order = np.argsort(cell, kind="stable")
        owner, coarse, last_change = owner[order], coarse[order], last_change[order]
        used, cell = np.unique(cell[order], return_inverse=True)
        half_width /= 2.0
        centres = (centres[used][:, None] + half_width * corners).reshape(-1, dim)  # (C K, L)
        mass, bound, spread = _evaluate(decoder, centres, half_width, x, owner, cell)

        fine = _log_sum_exp(mass)  # (P,)
        change = np.maximum(fine, coarse) + np.log(-np.expm1(-np.abs(fine - coarse)))
        change = np.where(spread <= 20.0, change - math.log(K), np.inf)  # a child's part of it
        # In two dimensions a kink runs through many cells, whose accidents average out, and halving
        # a cell divides a kink's error by 8: so there the halving before counts that much less.
        doubt = np.maximum(change, last_change - (dim - 1) * math.log(8.0))
        distance = np.linalg.norm(np.maximum(np.abs(centres) - half_width, 0.0), axis=1)
        small = (2.0 * half_width <= 0.5 * np.maximum(1.0, distance)).reshape(-1, K)
        doubts = np.where(small[cell], np.minimum(doubt[:, None], bound), np.inf).ravel()  # (P K,)

        owners, mass = np.repeat(owner, K), mass.ravel()
        count = np.bincount(owners, minlength=n)
        spent += count
        total = np.logaddexp(log_px, _log_sum(mass, owners, n))
        share = np.log(tolerance / np.maximum(count, 1)) + total  # what each cell may err by
        done = (doubts <= share[owners]) | (spent > max_cells)[owners]
        log_px = np.logaddexp(log_px, _log_sum(mass[done], owners[done], n))
        log_error = np.logaddexp(log_error, _log_sum(doubts[done], owners[done], n))
        cell = (cell[:, None] * K + np.arange(K)).ravel()[~done]
        owner, coarse, last_change = owners[~done], mass[~done], np.repeat(change, K)[~done]
    relative = np.exp(log_error - log_px)
    floor = tolerance + 1e-13 * np.abs(log_px)
    error = np.where(relative < 1.0, floor - np.log1p(-relative), np.inf)
    return np.stack([log_px, error])


def _evaluate(
    decoder: _Decoder, centres: Array, half_width: float, x: Array, owner: Indices, cell: Indices
) -> tuple[Array, Array, Array]:
    """For each pair: log integrals over the K children of its cell (P, K), upper bounds on them
    (P, K), and the difference of the highest and the lowest log integrand (P,).
    """
    dim, K = decoder.latent_dim, 2**decoder.latent_dim
    points, weights = _gauss_lobatto(10 if dim == 1 else 6)
    nodes = half_width * np.array(list(itertools.product(points, repeat=dim)))  # (G, L)
    log_weights = np.log(list(itertools.product(half_width * weights, repeat=dim))).sum(axis=1)
    parts = []
    for block in _chunks(np.arange(len(cell)), 1 + 2**20 // (K * len(nodes) * decoder.width)):
        used, local = np.unique(cell[block], return_inverse=True)
        examples, middles = x[owner[block]], centres.reshape(-1, K, dim)[used]  # (P, D), (C, K, L)
        z = middles[:, :, None] + nodes  # (C, K, G, L)
        output = decoder.output(z)  # (C, K, G, D')
        log_px = decoder.log_prob(output.reshape(len(used), K * len(nodes), -1), local, examples)
        joint = log_px.reshape(-1, K, len(nodes)) + _log_prior(z)[local]  # (P, K, G)
        low, high = output.min(axis=2), output.max(axis=2)  # (C, K, D')
        margin = 0.5 * (high - low)
        best = decoder.best_output((low - margin)[local], (high + margin)[local], examples)
        bound = decoder.log_prob(best, np.arange(len(best)), examples)  # (P, K)
        bound += _log_prior(np.maximum(np.abs(middles) - half_width, 0.0))[local]
        top, bottom = joint.max(axis=2), joint.min(axis=2)  # (P, K)
        bound = np.fmin(bound, top + (top - bottom)) + dim * math.log(2.0 * half_width)
        spread = top.max(axis=1) - bottom.min(axis=1)
        parts.append((_log_sum_exp(joint + log_weights), bound, spread))
    masses, bounds, spreads = zip(*parts, strict=True)
    return np.concatenate(masses), np.concatenate(bounds), np.concatenate(spreads)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda a: a,
    "relu": lambda a: np.maximum(a, 0.0),
    "leaky_relu": lambda a: np.where(a > 0.0, a, 0.01 * a),
    "tanh": np.tanh,
    "sigmoid": lambda a: np.exp(-np.logaddexp(0.0, -a)),
    "softplus": lambda a: np.logaddexp(0.0, a),
}


class _Decoder:
    """The decoder and the likelihood of a VAE, read from its parameters and written again."""

    def __init__(self, vae: Any) -> None:
        likelihood, kind = vae.likelihood, type(vae.likelihood).__name__
        prior = type(getattr(vae, "prior", None)).__name__
        for what, value, known in (
            ("latent_dim", vae.latent_dim, (1, 2)),
            ("likelihood", kind, ("Bernoulli", "Binomial", "Gaussian")),
            ("prior", prior, ("StandardNormal", "NoneType")),
            ("activation", vae.activation, tuple(ACTIVATIONS)),
        ):
            if value not in known:
                raise ValueError(f"quadrature knows the {what} {known}, got {value!r}")
        views = {k: np.array(v, dtype=np.float64) for k, v in vae.layout.views(vae.theta).items()}
        if not all(np.isfinite(value).all() for value in views.values()):
            raise ValueError("vae.theta holds NaN or infinite values")
        self.latent_dim, self.data_dim = int(vae.latent_dim), int(vae.data_dim)
        self.activation = ACTIVATIONS[vae.activation]
        depth = sum(name.startswith("decoder.") and name.endswith(".W") for name in views)
        self.layers = [(views[f"decoder.{i}.W"], views[f"decoder.{i}.b"]) for i in range(depth)]
        self.width = max(bias.size for _, bias in self.layers)
        self.trials = 0 if kind == "Gaussian" else int(getattr(likelihood, "total_count", 1))
        self.log_var: float | None = None  # None where the decoder gives it
        if not self.trials and likelihood.variance == "shared":
            self.log_var = views["likelihood.log_var"].item()
        elif not self.trials and likelihood.variance != "per_dimension":
            self.log_var = math.log(likelihood.variance)

    def check(self, x: ArrayLike) -> Array:
        """Give x as float64 (N, D), or ValueError if it is outside the likelihood's support."""
        data = _matrix(x, self.data_dim).astype(np.float64)
        if self.trials and not np.isin(data, np.arange(self.trials + 1)).all():
            raise ValueError(f"x must hold integers from 0 to {self.trials} for this likelihood")
        return data

    def output(self, z: Array) -> Array:
        """Apply the decoder to z (..., L): (..., D')."""
        hidden = z.reshape(-1, self.latent_dim)
        for i, (weights, bias) in enumerate(self.layers):
            hidden = (self.activation(hidden) if i else hidden) @ weights + bias
        return hidden.reshape(*z.shape[:-1], -1)

    def log_prob(self, output: Array, cell: Indices, x: Array) -> Array:
        """Give log p(x_p | output[cell_p, g]) - log_coefficient(x_p), (P, G); output (C, G, D')."""
        D = self.data_dim
        if self.trials:  # sum_d x_d logit_d - trials log(1 + exp(logit_d))
            normaliser = self.trials * np.logaddexp(0.0, output).sum(axis=-1)  # (C, G)
            return np.asarray((output[cell] @ x[:, :, None])[:, :, 0] - normaliser[cell])
        residual = output[cell, :, :D] - x[:, None]  # (P, G, D)
        if self.log_var is not None:
            squares = np.einsum("pgd,pgd->pg", residual, residual) * math.exp(-self.log_var)
            return np.asarray(-0.5 * (squares + D * (LOG_2PI + self.log_var)))
        log_var = output[..., D:]  # (C, G, D)
        residual *= np.exp(np.minimum(-0.5 * log_var, 700.0))[cell]
        squares = np.einsum("pgd,pgd->pg", residual, residual)
        return np.asarray(-0.5 * (squares + (LOG_2PI + log_var).sum(axis=-1)[cell]))

    def best_output(self, low: Array, high: Array, x: Array) -> Array:
        """Of all outputs between low and high (P, K, D'), the one that fits x (P, D) best."""
        D, x = self.data_dim, x[:, None]
        if self.trials:
            return np.asarray(np.clip(np.log(x) - np.log(self.trials - x), low, high))
        mean: Array = np.clip(x, low[..., :D], high[..., :D])
        if self.log_var is not None:
            return mean
        log_var = np.clip(2.0 * np.log(np.abs(x - mean)), low[..., D:], high[..., D:])
        return np.concatenate([mean, log_var], axis=-1)

    def log_coefficient(self, x: Array) -> Array:
        """Sum over d of the log binomial coefficients of x_d, the only part without z, (N,)."""
        counts = x.astype(np.intp) if self.trials else np.zeros(x.shape, dtype=np.intp)
        log_factorial = np.array([math.lgamma(k + 1.0) for k in range(self.trials + 1)])
        pairs = log_factorial[counts] + log_factorial[self.trials - counts]
        return np.asarray((log_factorial[-1] - pairs).sum(axis=1))


def _gauss_lobatto(n: int) -> tuple[Array, Array]:
    """Nodes and weights (n,) on [-1, 1], both ends among them, exact for degree 2 n - 3.

    The inner nodes are the zeros of P', P = P_(n-1) of Legendre; the weights 2 / (n (n-1) P^2).
    """
    legendre = np.polynomial.legendre.Legendre.basis(n - 1)
    points = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    return points, 2.0 / (n * (n - 1) * legendre(points) ** 2)


def _log_prior(z: Array) -> Array:
    """Give log N(z; 0, I), (...), of z (..., L)."""
    return np.asarray(-0.5 * (z * z + LOG_2PI).sum(axis=-1))


def _log_sum_exp(values: Array) -> Array:
    """Give the log of the sum of exp(values) over the last axis."""
    top = np.maximum(values.max(axis=-1, keepdims=True), -1e300)  # all -inf: a sum of 0
    return np.asarray(top[..., 0] + np.log(np.exp(values - top).sum(axis=-1)))


def _log_sum(values: Array, owners: Indices, n: int) -> Array:
    """Give the log of the sum of exp(values) over the values of each owner 0, ..., n - 1: (n,)."""
    top = np.full(n, -1e300)
    np.maximum.at(top, owners, values)
    return np.asarray(top + np.log(np.bincount(owners, np.exp(values - top[owners]), minlength=n)))


def _positive_integer(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def _matrix(x: ArrayLike, width: int | None = None) -> NDArray[Any]:
    """Give x as a finite real array (N, D) of its own dtype, not empty, D = width if given."""
    array = np.asarray(x)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise ValueError(f"expected numbers (N, D), got {array.dtype} of shape {array.shape}")
    if width is not None and array.shape[1] != width:
        raise ValueError(f"expected {width} columns, got shape {array.shape}")
    if not all(np.isfinite(part).all() for part in _chunks(array)):
        raise ValueError("x holds NaN or infinite values")
    return array


def _chunks(x: NDArray[Any], size: int = 4096) -> Iterator[NDArray[Any]]:
    return (x[start : start + size] for start in range(0, len(x), size))


def _require_fit(fitted: PCA | ProbabilisticPCA) -> None:
    if not hasattr(fitted, "mean"):
        raise ValueError(f"this {type(fitted).__name__} is not fitted: call fit(x) first")


def _parts(fitted: PCA | ProbabilisticPCA, x: ArrayLike) -> Iterator[Array]:
    """Give the rows of x in float64, some thousands at a time, as wide as the data of the fit."""
    _require_fit(fitted)
    return (part.astype(np.float64) for part in _chunks(_matrix(x, len(fitted.mean))))


def _mean_and_covariance(x: NDArray[Any]) -> tuple[Array, Array]:
    """Mean (D,) and covariance (D, D) in float64, without a float64 copy of all x."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for part in _chunks(x):
        centred = part - mean
        covariance += centred.T @ centred
    return mean, covariance / len(x)


def _principal_axes(covariance: Array) -> tuple[Array, Array]:
    """Eigenvalues (D,), descending and at least 0, and eigenvectors as columns (D, D)."""
    variances, axes = np.linalg.eigh(covariance)
    return np.maximum(variances[::-1], 0.0), _fix_signs(axes[:, ::-1])


def _fix_signs(columns: Array) -> Array:
    """Make the largest entry of each column positive; of nearly equal ones, the first."""
    size = np.abs(columns)
    first = np.argmax(size >= (1.0 - 1e-6) * size.max(axis=0), axis=0)
    return columns * np.where(columns[first, np.arange(columns.shape[1])] < 0.0, -1.0, 1.0)
