"""The rows of data that are x (N, D), or (x, y) with labels y (N,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyvae.numerics import Array

__all__ = ["Data", "as_tuple", "map_arrays", "n_rows", "take_rows"]

Data = Array | tuple[Array, ...]
"""x (N, D), or (x, y) with labels y (N,)."""


def as_tuple(data: Data) -> tuple[Array, ...]:
    """(x,) or (x, y)."""
    return data if isinstance(data, tuple) else (data,)


def n_rows(data: Data) -> int:
    """N."""
    return len(data[0]) if isinstance(data, tuple) else len(data)


def map_arrays(data: Data, function: Callable[[Array], Array]) -> Any:
    """`function` of x, or of x and of y."""
    return tuple(map(function, data)) if isinstance(data, tuple) else function(data)


def take_rows(data: Data, rows: slice | Array, dtype: Any = None) -> Any:
    """Some rows of the data; matrices as `dtype`, labels as they are."""
    return map_arrays(data, lambda a: a[rows].astype(dtype) if dtype and a.ndim > 1 else a[rows])
