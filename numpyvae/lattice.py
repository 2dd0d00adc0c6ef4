"""log p(x) of a model with one or two latent dimensions: a sum over a lattice of codes.

The trapezoidal rule converges faster than any power of the spacing once it resolves the width of
a smooth posterior. One lattice is decoded for all examples together. If its spacing is too wide for
an example, lattices of half the spacing follow around that example's mass.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Protocol

import numpy as np

from numpyvae.evaluation import Estimate, Evaluable
from numpyvae.layers import Params
from numpyvae.numerics import Array
from numpyvae.rows import Data, n_rows, take_rows
from numpyvae.threads import one_blas_thread

__all__ = ["lattice_log_likelihood"]

SPACING = 1.0 / 16.0
RADIUS = 8.0
"""The radius of the first lattice; a standard normal prior has 1e-14 of its mass outside."""

LARGEST_RADIUS = 32.0
CUT = 25.0
"""Codes whose log p(x, z) is this many nats below the highest hold no relevant mass."""

ROWS = 192
"""Examples per chunk: with 52,000 codes in float32, 40 MB."""

MOST_CODES = 100_000
"""The most codes for one example on a finer lattice; refinement stops there."""


class Tabulated(Evaluable, Protocol):
    """A model that can evaluate every example at every code."""

    def log_joint_table(self, params: Params, data: Data, z: Array) -> Array:
        """Log p(x_n, z_g) of N examples and G codes (G, L): (N, G) nats."""


@one_blas_thread
def lattice_log_likelihood(model: Tabulated, data: Data, tolerance: float = 0.02) -> Estimate:
    """Log p(x) = log integral p(x, z) dz by the trapezoidal rule, for L <= 2: (N,) nats.

    The lattice of spacing 1/16 covers the codes within 8 of 0, then 16 and 32 for an example with
    mass at its edge. It is the union of 2^L lattices of twice the spacing. If log p(x) by one of
    them is off by more than `tolerance` nats, a finer lattice follows around the mass.

    The standard error is the difference to the worst of these lattices, so it is the error at twice
    the spacing: a few times too large if the decoder has kinks, far more if it is smooth. Inf means
    that the mass reaches beyond the last edge. The rule misses a posterior that lies between two
    codes of the first lattice: one of standard deviation below about 0.005.
    `numpyvae.exact.marginal_log_likelihood` is slower, shares no code with this, and bounds more.
    """
    data = model.check_data(data)
    if model.latent_dim > 2:
        raise ValueError(f"quadrature is for latent_dim 1 or 2, got {model.latent_dim}")
    params, n = model.layout.views(model.theta), n_rows(data)
    log_px, error, radius, left = np.zeros(n), np.full(n, np.inf), RADIUS, np.arange(n)
    while len(left) and radius <= LARGEST_RADIUS:
        codes, lattice = _lattice(radius, model)
        edge = np.linalg.norm(codes, axis=1) > radius - SPACING
        beyond = np.zeros(len(left), dtype=bool)
        for start in range(0, len(left), ROWS):
            part = slice(start, start + ROWS)
            rows = left[part]
            batch = take_rows(data, rows, model.dtype)
            table = _table(model, params, batch, codes)  # (N, G)
            peak = table.max(axis=1)
            beyond[part] = table[:, edge].max(axis=1) > peak - CUT
            log_px[rows], error[rows] = _integral(table, lattice, SPACING, model.latent_dim)
            for i in np.flatnonzero((error[rows] > tolerance) & ~beyond[part]):
                mass, one = codes[table[i] > peak[i] - CUT], take_rows(batch, slice(i, i + 1))
                log_px[rows[i]], error[rows[i]] = _refine(
                    model, params, one, mass, error[rows[i]], tolerance
                )
        left, radius = left[beyond], 2.0 * radius
    error += np.finfo(model.dtype).eps * np.abs(log_px)
    error[left] = np.inf
    return Estimate(log_px, error, np.full(n, np.inf), None, "quadrature")


def _lattice(radius: float, model: Tabulated) -> tuple[Array, Array]:
    """The codes (G, L) of spacing SPACING in a ball, and for each its sub-lattice, (G,).

    The 2^L sub-lattices have twice the spacing, and no code in common.
    """
    reach, dim = round(radius / SPACING), model.latent_dim
    whole = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * dim), axis=-1).reshape(-1, dim)
    whole = whole[(whole * whole).sum(axis=1) <= reach * reach]
    return (SPACING * whole).astype(model.dtype), whole % 2 @ (1, 2)[:dim]


def _table(model: Tabulated, params: Params, batch: Any, codes: Array) -> Array:
    """Log p(x_n, z_g), (N, G), for a few codes at a time, to keep memory small."""
    pieces = [codes[start : start + 4096] for start in range(0, len(codes), 4096)]
    return np.concatenate([model.log_joint_table(params, batch, z) for z in pieces], axis=1)


def _integral(table: Array, lattice: Array, spacing: float, dim: int) -> tuple[Array, Array]:
    """Log p(x) by all codes, and its difference to the worst of the sub-lattices: (N,) each."""
    peak = table.max(axis=1, keepdims=True)
    weight = np.exp(table - peak)  # (N, G)
    sums = (weight @ np.eye(2**dim, dtype=weight.dtype)[lattice]).astype(np.float64)  # (N, 2^L)
    total = sums.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):  # a sub-lattice may miss all the mass
        error = np.abs(np.log(2**dim * sums / total)).max(axis=1)
    return (peak + np.log(total))[:, 0] + dim * math.log(spacing), error


def _refine(
    model: Tabulated, params: Params, one: Any, codes: Array, error: float, tolerance: float
) -> tuple[float, float]:
    """`_integral` of one example, by halving the spacing about `codes` until it is exact enough."""
    spacing, dim = SPACING, codes.shape[1]
    corners = 0.25 * np.array(list(itertools.product((-1, 1), repeat=dim)), codes.dtype)
    while error > tolerance and len(codes) * len(corners) <= MOST_CODES:
        lattice = np.tile(np.arange(len(corners)), len(codes))  # a code -> its 2^L corners
        codes = (codes[:, None] + spacing * corners).reshape(-1, dim)
        spacing /= 2.0
        table = _table(model, params, one, codes)
        log_px, doubt = (float(a[0]) for a in _integral(table, lattice, spacing, dim))
        error = max(doubt, error / 8.0)  # the sub-lattices may agree by chance
        codes = codes[table[0] > table.max() - CUT]
    return log_px, error
