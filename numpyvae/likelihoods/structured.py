"""Real numbers with correlated residuals: a Gaussian with a banded precision matrix."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from numpyvae.gaussian import LOG_2PI
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods.gaussian import Gaussian
from numpyvae.numerics import Array
from numpyvae.standardization import Standardization
from numpyvae.validation import positive_int

__all__ = ["StructuredGaussian"]

MOST_NEIGHBOURS = 10_000
"""Far more than can be trained, yet few enough that a file with so many loads quickly."""


class StructuredGaussian(Gaussian):
    """x ~ N(mean, (B B^T)^-1) with B lower triangular and banded, for series and images.

    With r = x - mean and u = B^T r,

        log p(x|z) = -1/2 sum_d (log 2 pi + log_var_d + u_d^2),  B_dd = exp(-log_var_d / 2).

    The decoder gives D means, D log-variances, and D numbers for each offset o of the band: number
    d is B_{d+o,d}, which couples x_{d+o} to x_d. exp(log_var_d) is the variance of x_d given all
    dimensions after it. A band of zeros is `Gaussian("per_dimension")`.

    In a series the offsets are 1, ..., band. In an image with rows of `width` pixels they are those
    of the neighbours within `band` rows and columns; pixels across an edge are not neighbours.
    Source: Dorta et al. 2018.

    Args:
        band: the largest distance of a neighbour, at least 0.
        width: pixels in a row of an image; None: a series.
        shift, scale: as for `Gaussian`.
    """

    log_prob_table: Any = None  # not that of independent dimensions, which would be wrong here

    def __init__(
        self, band: int = 1, width: int | None = None, shift: Any = None, scale: Any = None
    ) -> None:
        super().__init__("per_dimension", shift, scale)
        self.band = positive_int("band", band, least=0)
        self.width = None if width is None else positive_int("width", width)
        rows, reach = (0, self.band) if self.width is None else (self.band, self.width - 1)
        reach = min(self.band, reach)
        if (rows + 1) * (2 * reach + 1) > MOST_NEIGHBOURS:
            raise ValueError(f"band {self.band} is too wide: at most {MOST_NEIGHBOURS} neighbours")
        self.neighbours = [
            (down, step)
            for down in range(rows + 1)
            for step in range(-reach, reach + 1)
            if (down, step) > (0, 0)
        ]

    def __repr__(self) -> str:
        width = "" if self.width is None else f", width={self.width}"
        standardized = "" if self.standardization is None else ", standardized"
        return f"StructuredGaussian(band={self.band}{width}{standardized})"

    def scaled_to(self, x: Array) -> StructuredGaussian:
        """The same with the means and standard deviations of the columns of x (N, D)."""
        return StructuredGaussian(self.band, self.width, **Standardization.of(x).config())

    def output_dim(self, data_dim: int) -> int:
        return super().output_dim(data_dim) + len(self.neighbours) * data_dim

    def _parts(self, output: Array) -> tuple[Array, Array, list[Array]]:
        """The decoder's output (N, D') as mean, log_var and the numbers of each offset, (N, D)."""
        mean, log_var, *band = np.split(output, 2 + len(self.neighbours), axis=-1)
        return mean, log_var, band

    def _edges(self, data_dim: int) -> list[tuple[int, Array]]:
        """Each neighbour's offset o, and for d < D - o whether d + o is not across an edge."""
        columns = np.arange(data_dim) % (self.width or data_dim + self.band)
        last = (self.width or data_dim + self.band) - 1
        edges = []
        for down, step in self.neighbours:
            o = min(down * (self.width or 0) + step, data_dim)
            column = columns[: data_dim - o] + step
            edges.append((o, (column >= 0) & (column <= last)))
        return edges

    def _log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        mean, log_var, band = self._parts(output)
        D, diagonal, residual = x.shape[-1], np.exp(-0.5 * log_var), x - mean  # (N, D)
        u = diagonal * residual  # B^T r, (N, D)
        for (o, inside), off in zip(self._edges(D), band, strict=True):
            u[:, : D - o] += off[:, : D - o] * inside * residual[:, o:]
        log_prob = -0.5 * (LOG_2PI + log_var + u * u).sum(axis=-1)
        return log_prob, (residual, u, diagonal, band)

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dmean = dlog_prob B u,  dB_ij = -dlog_prob r_i u_j,  dlog_var_d = dlog_prob (a - 1)/2.

        Here a = r_d u_d B_dd.
        """
        residual, u, diagonal, band = cache
        D, dlog_prob = residual.shape[-1], dlog_prob[:, None]
        dmean = diagonal * u  # B u, before the weight
        dband = [np.zeros_like(u) for _ in band]
        for (o, inside), off, doff in zip(self._edges(D), band, dband, strict=True):
            dmean[:, o:] += off[:, : D - o] * inside * u[:, : D - o]
            doff[:, : D - o] = -dlog_prob * inside * residual[:, o:] * u[:, : D - o]
        dlog_var = -0.5 * dlog_prob * (1.0 - residual * u * diagonal)
        return np.concatenate((dlog_prob * dmean, dlog_var, *dband), axis=-1)

    def mean(self, output: Array) -> Array:
        mean = self._parts(output)[0]
        return mean if self.standardization is None else self.standardization.undo(mean)

    def sample(self, params: Params, output: Array, rng: np.random.Generator) -> Array:
        """mean + r with B^T r = noise, solved from the last dimension to the first."""
        mean, log_var, band = self._parts(output)
        D = mean.shape[-1]
        residual = rng.standard_normal(mean.shape, mean.dtype)
        edges = self._edges(D)
        for d in reversed(range(D)):
            for (o, inside), off in zip(edges, band, strict=True):
                if d + o < D and inside[d]:
                    residual[:, d] -= off[:, d] * residual[:, d + o]
            residual[:, d] *= np.exp(0.5 * log_var[:, d])
        x = mean + residual
        return x if self.standardization is None else self.standardization.undo(x)

    def config(self) -> dict[str, Any]:
        standardization = self.standardization.config() if self.standardization else {}
        return {
            "name": "StructuredGaussian",
            "band": self.band,
            "width": self.width,
            **standardization,
        }

    text: ClassVar[str] = "structuredgaussian:BAND or structuredgaussian:BANDxWIDTH"

    @classmethod
    def from_text(cls, argument: str) -> StructuredGaussian:
        """`1` is a series with correlated neighbours, `1x8` an image with rows of 8 pixels."""
        band, _, width = argument.partition("x")
        try:
            return cls(int(band), int(width) if width else None)
        except ValueError:
            raise ValueError("BAND a whole number from 0 on, WIDTH from 1 on") from None

    @classmethod
    def examples(cls) -> tuple[StructuredGaussian, ...]:
        return cls(2), cls(1, width=3)
