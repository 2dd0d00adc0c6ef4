"""Checks of input: each error says what was expected and what came."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from numpyvae.numerics import Array

__all__ = [
    "EntryError",
    "as_labels",
    "as_matrix",
    "check_finite",
    "counted",
    "exact_text",
    "first_entry",
    "float_dtype",
    "fraction",
    "from_config",
    "memory_for",
    "one_of",
    "positive_int",
    "positive_number",
]


class EntryError(ValueError):
    """An entry of (N, D) data that cannot be used: x[row, column], and what is wrong with it."""

    def __init__(self, name: str, row: int, column: int, problem: str) -> None:
        super().__init__(f"{name}[{row}, {column}] {problem}")
        self.row, self.column, self.problem = row, column, problem


@contextmanager
def memory_for(what: str, n_bytes: int = 0) -> Iterator[None]:
    """Let a MemoryError in the block say what did not fit: a file or an option, and its `n_bytes`.

    More bytes than can be addressed are refused before the block starts.
    """
    size = f" ({n_bytes / 1e9:.3g} GB)" if n_bytes else ""
    if n_bytes > sys.maxsize:
        raise MemoryError(f"{what}: not enough memory{size}")
    try:
        yield
    except MemoryError as error:
        reason = f": {error}" if str(error) and not size else ""
        raise MemoryError(f"{what}: not enough memory{size}{reason}") from None


def counted(n: int, noun: str) -> str:
    """A count with its noun: 1 row, 2 rows."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def exact_text(value: Any) -> str:
    """A number in as many digits as it needs: 3, 0.5, 1.0000001."""
    short = f"{value:g}"
    return short if float(short) == value else str(value)


def positive_int(name: str, value: Any, *, least: int = 1) -> int:
    """`value` as an int of at least `least`; ValueError or TypeError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def positive_number(name: str, value: Any, *, zero: bool = False, infinity: bool = False) -> float:
    """`value` as a finite float above zero; `zero` and `infinity` say whether these are allowed."""
    if infinity and isinstance(value, float) and value == math.inf:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an int
        number = math.inf
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        bound = "a finite number of at least 0" if zero else "a finite number above 0"
        raise ValueError(f"{name} must be {bound}, got {value}")
    return number


def fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1)."""
    number = positive_number(name, value, zero=True)
    if number >= 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
    return number


def one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """`value` if it is among `choices`."""
    if value not in tuple(choices):  # compared, not hashed: a list has no hash
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"unknown {name} {value!r:.200}: expected one of {expected}")
    return value


def from_config(kind: str, config: Any, known: Mapping[str, Callable[..., Any]]) -> Any:
    """The object, one of `known`, that `config` describes by a name and constructor arguments."""
    if not isinstance(config, Mapping):
        raise ValueError(f"not a description of a {kind}: {config!r:.200}")
    arguments = dict(config)
    make = known[one_of(kind, arguments.pop("name", None), known)]
    try:
        return make(**arguments)
    except TypeError as error:
        raise ValueError(f"not a description of a {kind}: {arguments!r:.200}") from error


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as float32 or float64."""
    if dtype in (np.float32, "float32", "f4", np.float64, "float64", "f8", float):
        return np.dtype(dtype)
    raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")


def as_matrix(name: str, x: Any, columns: int, axes: str) -> Array:
    """`x` as a real numeric array of shape (at least 1, `columns`), not copied."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked one: fill or drop the gaps")
    x = np.asarray(x)  # a memmap stays on disk, an np.matrix becomes an array
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got an array of {x.dtype}")
    if x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"{name} must have shape {axes} with {columns} columns, got {x.shape}")
    if len(x) == 0:
        raise ValueError(f"{name} is empty: expected at least one row, got shape {x.shape}")
    return x


def as_labels(name: str, y: Any, n: int, n_classes: int, unknown: bool = False) -> Array:
    """`y` as integers (n,), each of 0, ..., `n_classes` - 1; with `unknown` also -1."""
    y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(f"{name} must have shape (N,) = ({n},), a label per row, got {y.shape}")
    if y.dtype.kind not in "iufb":
        raise TypeError(f"{name} must hold whole numbers, got an array of {y.dtype}")
    with np.errstate(invalid="ignore"):  # also false for NaN
        labels = y if y.dtype.kind == "i" else y.astype(np.intp)
    least = -1 if unknown else 0
    outside = (labels < least) | (labels >= n_classes) | (labels != y)
    if outside.any():
        row = int(np.argmax(outside))
        expected = f"0, ..., {n_classes - 1}" + (" or -1" if unknown else "")
        raise ValueError(f"{name}[{row}] = {y[row]} is no label: expected {expected}")
    return labels


def first_entry(where: Array) -> tuple[int, ...]:
    """The index of the first true entry of a boolean array."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))


def check_finite(name: str, x: Array, *, first_row: int = 0) -> None:
    """EntryError that says where the first NaN or infinity of (N, D) `x` is.

    `first_row` is the row number of x[0] in the user's array.
    """
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row, column = first_entry(~np.isfinite(x))
        value = "NaN" if np.isnan(x[row, column]) else "infinity"
        raise EntryError(name, first_row + row, column, f"is {value}: expected finite numbers")
