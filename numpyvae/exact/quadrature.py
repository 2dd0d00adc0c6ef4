"""log p(x) of a VAE with one or two latent dimensions, by adaptive quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numpyvae.exact.arrays import LOG_2PI, Array, chunks, matrix, positive_integer

__all__ = ["marginal_log_likelihood"]

Indices = NDArray[np.intp]


def marginal_log_likelihood(
    vae: Any, x: ArrayLike, *, tolerance: float | None = None, max_cells: int = 30_000
) -> tuple[Array, Array]:
    """The exact log p(x) = log integral N(z; 0, I) p(x|z) dz of a VAE with latent_dim 1 or 2.

    Quadrature on cells that are halved where an example needs it, by the Gauss-Lobatto rule: its
    nodes include the edges, so that no kink or step hides between two cells. A single Gauss-Hermite
    rule would not do: nodes placed for the prior miss a posterior of width 0.01, nodes placed for
    one mode miss the second, and the kinks of ReLU decoders keep any global rule from converging
    fast. Starting from [-1024, 1024]^L, a cell is

    - always halved while it is wider than half of max(1, its distance from 0);
    - dropped if it cannot hold mass, by the lower of two bounds: the highest log integrand at its
      nodes plus the whole spread there; the prior at the point nearest to 0 with each decoder
      output at its best for x within its range over the nodes, widened by half on either side;
    - accepted if its integrand spans at most 20 nats and two successive halvings changed its
      integral too little to matter. (One alone may agree by chance near a kink.)

    The error estimate is the tolerance plus all these changes and bounds. For smooth decoders it is
    hundreds of times too high. It is not a proof: of 36,000 random ReLU examples one was off by
    twice the estimate, and a feature of the decoder that is narrower than the distance of the nodes
    (at most 0.15 near 0) can be missed.

    Args:
        vae: only theta, layout, latent_dim, data_dim, activation, likelihood and prior are read; no
            method is called. The prior must be standard normal.
        x: (N, D), in the support of the likelihood.
        tolerance: in nats; None means 1e-7 for L = 1 and 1e-4 for L = 2. The final error estimate
            is one to about two times the tolerance, if max_cells suffices.
        max_cells: about the most cells for an example. What is unresolved then makes the error
            estimate large, and infinite if the mass may not have been found at all.

    Returns:
        log p(x) (N,) and its error estimate (N,), both in nats.

    Raises:
        ValueError: another latent_dim, likelihood or prior, or x outside the support.
    """
    decoder = _Decoder(vae)
    tolerance = (1e-7 if decoder.latent_dim == 1 else 1e-4) if tolerance is None else tolerance
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must be between 0 and 1 nats, got {tolerance!r}")
    max_cells = positive_integer("max_cells", max_cells)
    data = decoder.check(x)
    results = [_integrate(decoder, part, tolerance, max_cells) for part in chunks(data, 16)]
    log_px, error = np.concatenate(results, axis=1)
    return log_px + decoder.log_coefficient(data), error


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def _integrate(decoder: _Decoder, x: Array, tolerance: float, max_cells: int) -> Array:
    """Halve, level by level, the cells that still matter to an example: log p(x) and error (2, N).

    The work list holds P pairs of an example (`owner`) and a cell (an index into `centres`).
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
        # In two dimensions a kink crosses many cells, whose errors average out, and halving
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
    for block in chunks(np.arange(len(cell)), 1 + 2**20 // (K * len(nodes) * decoder.width)):
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
    """The decoder and the likelihood of a VAE, computed a second time from its parameters."""

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
        self.log_var: float | None = None  # None if the decoder gives it
        if not self.trials and likelihood.variance == "shared":
            self.log_var = views["likelihood.log_var"].item()
        elif not self.trials and likelihood.variance != "per_dimension":
            self.log_var = math.log(likelihood.variance)

    def check(self, x: ArrayLike) -> Array:
        """Give x as float64 (N, D), or ValueError if it is outside the likelihood's support."""
        data = matrix(x, self.data_dim).astype(np.float64)
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
        """The output between low and high (P, K, D') that fits x (P, D) best."""
        D, x = self.data_dim, x[:, None]
        if self.trials:
            return np.asarray(np.clip(np.log(x) - np.log(self.trials - x), low, high))
        mean: Array = np.clip(x, low[..., :D], high[..., :D])
        if self.log_var is not None:
            return mean
        log_var = np.clip(2.0 * np.log(np.abs(x - mean)), low[..., D:], high[..., D:])
        return np.concatenate([mean, log_var], axis=-1)

    def log_coefficient(self, x: Array) -> Array:
        """Sum over d of the log binomial coefficients of x_d, the only term without z, (N,)."""
        counts = x.astype(np.intp) if self.trials else np.zeros(x.shape, dtype=np.intp)
        log_factorial = np.array([math.lgamma(k + 1.0) for k in range(self.trials + 1)])
        pairs = log_factorial[counts] + log_factorial[self.trials - counts]
        return np.asarray((log_factorial[-1] - pairs).sum(axis=1))


def _gauss_lobatto(n: int) -> tuple[Array, Array]:
    """Nodes and weights (n,) on [-1, 1], including both ends, exact for degree 2 n - 3.

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
