"""Real data in their own units: the networks see (x - shift) / scale, column by column.

The encoder's first layer standardises x; a Gaussian likelihood undoes it, so p(x|z) is a density of
x itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array
from numpyvae.validation import EntryError, as_matrix, check_finite, first_entry

__all__ = ["Standardization", "column_moments", "row_chunks"]

CHUNK = 8192
"""Rows processed at a time, because x may be a `numpy.memmap` larger than memory."""

ROUNDING = 0.01
"""The largest rounding error in the model's dtype, relative to a column's scale."""


class Standardization:
    """y = (x - shift) / scale, dx = dy / scale: a layer without parameters. x, y (N, D).

    Args:
        shift, scale: (D,), or a number for all columns; scale above zero.

    Raises ValueError for entries that are not finite, a scale that is not positive, or different
    shapes.
    """

    shapes: Mapping[str, tuple[int, ...]] = {}

    def __init__(self, shift: Any, scale: Any) -> None:
        self.shift, self.scale = _constant("shift", shift), _constant("scale", scale)
        if self.shift.ndim and self.scale.ndim and self.shift.shape != self.scale.shape:
            raise ValueError(
                f"shift and scale must have one shape, got {self.shift.shape}, {self.scale.shape}"
            )
        if not (self.scale > 0).all():
            raise ValueError(f"scale must be above 0, got {self.scale.min():g}")

    @classmethod
    def of(cls, x: Array) -> Standardization:
        """With the moments of x (N, D): mean 0 and standard deviation 1, or 0 if constant."""
        mean, std = column_moments(x)
        return cls(mean, np.where(std > 0, std, 1.0))

    def forward(self, params: Params, x: Array) -> tuple[Array, None]:
        y = x - self.shift.astype(x.dtype)
        y /= self.scale.astype(x.dtype)
        return y, None

    def backward(self, params: Params, grads: Grads, dy: Array, cache: None) -> Array:
        return self.backward_input(params, dy, cache)

    def backward_input(self, params: Params, dy: Array, cache: None) -> Array:
        return dy / self.scale.astype(dy.dtype)

    def undo(self, y: Array) -> Array:
        """X = shift + scale y, in the dtype of y."""
        x: Array = y * self.scale.astype(y.dtype) + self.shift.astype(y.dtype)
        return x

    def log_scale(self, data_dim: int) -> float:
        """sum_d log scale_d, in nats: log p(x) is log p(y) minus this (change of variables)."""
        return float(np.broadcast_to(np.log(self.scale), (data_dim,)).sum())

    def check_dim(self, data_dim: int) -> None:
        """ValueError unless it is made for D columns."""
        for name, values in (("shift", self.shift), ("scale", self.scale)):
            if values.ndim and len(values) != data_dim:
                raise ValueError(
                    f"{name} must have one value for each of {data_dim} columns, got {len(values)}"
                )

    def check_rounding(self, x: Array, dtype: DTypeLike, first_row: int = 0) -> None:
        """EntryError if rounding x (N, D) to `dtype` loses the variation that `scale` measures."""
        lost = np.abs(x.astype(dtype) - x.astype(np.float64)) > ROUNDING * self.scale
        if lost.any():
            row, column = first_entry(lost)
            problem = f"= {x[row, column]} cannot be told from its neighbours in {np.dtype(dtype)}"
            remedy = "take dtype=float64, or subtract an offset"
            raise EntryError("x", first_row + row, column, f"{problem}: {remedy}")

    def config(self) -> dict[str, Any]:
        """{"shift": ..., "scale": ...}, as JSON can hold it."""
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}


def column_moments(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each column of x (N, D), (D,) float64 each.

    A constant column has standard deviation 0 exactly. Raises ValueError for NaN and infinity.
    """
    x = as_matrix("x", x, np.shape(x)[-1] if np.ndim(x) else 1, "(N, D)")
    largest = np.zeros(x.shape[1])
    for start, rows in row_chunks(x):
        check_finite("x", rows, first_row=start)
        np.maximum(largest, np.abs(rows.astype(np.float64)).max(axis=0), out=largest)
    # Scaling by a power of two is exact, and keeps squares from over- and underflow.
    unit = np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1021, 1023))
    first = x[0] / unit
    # Relative to the first row, an offset costs no digits, and a constant is exactly 0.
    mean = first + sum((rows / unit - first).sum(axis=0) for _, rows in row_chunks(x)) / len(x)
    squares = sum(((rows / unit - mean) ** 2).sum(axis=0) for _, rows in row_chunks(x))
    return unit * mean, unit * np.sqrt(squares / len(x))


def row_chunks(x: Array) -> Iterator[tuple[int, Array]]:
    """The rows of x, `CHUNK` at a time, each chunk with the number of its first row."""
    for start in range(0, len(x), CHUNK):
        yield start, x[start : start + CHUNK]


def _constant(name: str, values: Any) -> NDArray[np.float64]:
    """A read-only float64 copy, a number or one for each column."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number or one for each column: {error}") from error
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a finite number, or one for each column (D,)")
    array.setflags(write=False)
    return array
