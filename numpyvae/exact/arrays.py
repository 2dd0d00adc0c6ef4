"""Checks of the arguments, shared by the references."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LOG_2PI", "Array", "chunks", "matrix", "positive_integer"]

Array = NDArray[np.float64]
LOG_2PI = math.log(2.0 * math.pi)


def positive_integer(name: str, value: int) -> int:
    """`value` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def matrix(x: ArrayLike, width: int | None = None) -> NDArray[Any]:
    """x as a finite real array (N, D) of its own dtype, not empty, D = width if given."""
    array = np.asarray(x)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise ValueError(f"expected numbers (N, D), got {array.dtype} of shape {array.shape}")
    if width is not None and array.shape[1] != width:
        raise ValueError(f"expected {width} columns, got shape {array.shape}")
    if not all(np.isfinite(part).all() for part in chunks(array)):
        raise ValueError("x holds NaN or infinite values")
    return array


def chunks(x: NDArray[Any], size: int = 4096) -> Iterator[NDArray[Any]]:
    """The rows of x, `size` at a time (views)."""
    return (x[start : start + size] for start in range(0, len(x), size))
