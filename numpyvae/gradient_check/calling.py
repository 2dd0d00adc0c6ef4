"""Calling somebody else's functions safely: on copies, counted, watched for changes in place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from .points import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Evaluator",
    "as_scalar",
    "busiest_ratio",
    "changed",
    "close",
    "count_calls",
    "rebuilt",
    "snapshot",
]


def as_scalar(value: Any) -> Any:
    """What ``f`` returned, as one Python number; a clear TypeError if it is anything else."""
    if isinstance(value, (float, complex)):  # np.float64 and np.complex128 too
        return value
    if isinstance(value, (tuple, list, dict)) or value is None:
        what = "None" if value is None else f"a {type(value).__name__}"
        raise TypeError(
            f"f must return one number, but it returned {what}. If it returns (value, something), "
            "pass `lambda theta: f(theta)[0]`."
        )
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fciub":
        raise TypeError(
            f"f must return one number, but it returned an array of shape {array.shape}, dtype "
            f"{array.dtype}. For a function with array values use check_vjp."
        )
    return array.item()


class Evaluator:
    """``f`` at a working copy of theta, perturbed in place: no copying for each call.

    ``vector`` (P,) is the working copy; ``f`` sees it through views in the caller's own form.
    ``copies=True`` hands out a fresh copy at each call, for an ``f`` that writes into its argument.
    """

    def __init__(
        self,
        f: Callable[[Any], Any],
        point: Point,
        dtype: Any = np.float64,
        strict: bool = False,
    ) -> None:
        self.f, self.point = f, point
        self.strict = self.copies = strict  # strict: what f raises passes through
        self.vector: NDArray[Any] = point.vector.astype(dtype)
        self.argument = point.structure(self.vector)
        self.nowhere = dtype(np.nan) if dtype is np.float64 else complex(np.nan, np.nan)
        self.calls = 0
        self.raised = ""  # what f raised at a neighbouring point, if it did
        self.raw: Any = None  # f's last value as it came

    def __call__(self) -> Any:
        """Call f at the working vector, as a number."""
        self.calls += 1
        if self.copies:
            self.raw = self.f(self.point.structure(self.vector.copy()))
        else:
            self.raw = self.f(dict(self.argument) if self.point.is_dict else self.argument)
        return as_scalar(self.raw)

    def neighbour(self) -> Any:
        """Call f at a perturbed vector; NaN where it raises: one bad point is not the end."""
        try:
            return self()
        except Exception as error:
            if self.strict:
                raise
            self.raised = f"{type(error).__name__}: {error}"
            return self.nowhere

    def along_entry(self, i: int) -> Callable[[float], float]:
        """phi(t) = f(theta + t e_i)."""
        vector, origin = self.vector, float(self.point.vector[i])

        def phi(t: float) -> float:
            vector[i] = origin + t
            try:
                return self.neighbour()
            finally:
                vector[i] = origin

        return phi

    def along(self, direction: NDArray[np.float64]) -> Callable[[float], float]:
        """phi(t) = f(theta + t direction), direction (P,)."""

        def phi(t: float) -> float:
            np.multiply(direction, t, out=self.vector)
            self.vector += self.point.vector
            try:
                return self.neighbour()
            finally:
                self.reset()

        return phi

    def complex_slope(
        self, direction: NDArray[np.float64], base: NDArray[np.float64], h: float
    ) -> float:
        """d/dt f(base + t direction) at t = 0 by one complex step (of a complex evaluator)."""
        self.vector.real[...] = base
        np.multiply(direction, h, out=self.vector.imag)
        try:
            return float(np.imag(self.neighbour())) / h
        finally:
            self.reset()

    def reset(self) -> None:
        """Put theta back."""
        self.vector[...] = self.point.vector

    def changed(self) -> bool:
        """Whether f has written into the vector it was given."""
        return not np.array_equal(self.vector, self.point.vector, equal_nan=True)


def count_calls(function: Callable[[], Any]) -> tuple[Any, dict[Any, int]]:
    """``function()`` and how often each Python function (by its code) was entered meanwhile.

    Counts nothing where a profiler is at work already.
    """
    counts: dict[Any, int] = {}
    if sys.getprofile() is not None:
        return function(), counts

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            counts[frame.f_code] = counts.get(frame.f_code, 0) + 1

    sys.setprofile(count)
    try:
        return function(), counts
    finally:
        if sys.getprofile() is count:  # a hook that the function installed is its own affair
            sys.setprofile(None)


def busiest_ratio(inner: dict[Any, int], outer: dict[Any, int]) -> int:
    """How often a function that ran once in ``inner`` ran in ``outer``; not NumPy's, not ours."""
    from pathlib import Path

    skip = (str(Path(np.__file__).parent), str(Path(__file__).parent))
    return max(
        (
            outer.get(code, 0)
            for code, n in inner.items()
            if n == 1 and not code.co_filename.startswith(skip)
        ),
        default=0,
    )


def snapshot(value: Any) -> Any:
    """A copy in which no array is shared; what is neither array nor container stays as it is."""
    if hasattr(value, "__array__") and not isinstance(value, (np.generic, type)):
        return np.array(value)
    if isinstance(value, Mapping):
        return {k: snapshot(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [snapshot(v) for v in value])
    return value if not _has_fields(value) else {k: snapshot(v) for k, v in vars(value).items()}


def rebuilt(like: Any, parts: list[Any]) -> Any:
    """The parts in a tuple, NamedTuple or list of the same kind."""
    if hasattr(like, "_fields"):
        return type(like)(*parts)
    return tuple(parts) if isinstance(like, tuple) else parts


def changed(before: Any, now: Any) -> bool:
    """Whether ``now`` differs from the :func:`snapshot` taken ``before``."""
    if _has_fields(now) and isinstance(before, Mapping):
        now = vars(now)
    if isinstance(before, np.ndarray):
        after = np.asarray(now) if hasattr(now, "__array__") else None
        return after is None or not np.array_equal(
            before, after, equal_nan=before.dtype.kind in "fc"
        )
    if isinstance(before, Mapping):
        return (
            not isinstance(now, Mapping)
            or list(before) != list(now)
            or any(changed(before[k], now[k]) for k in now)
        )
    if isinstance(before, (tuple, list)):
        same = isinstance(now, (tuple, list)) and len(now) == len(before)
        return not same or any(changed(a, b) for a, b in zip(before, now, strict=True))
    return isinstance(before, (int, float, complex, str)) and before != now and before == before


def _has_fields(value: Any) -> bool:
    return (
        hasattr(value, "__dict__") and not callable(value) and type(value).__module__ != "builtins"
    )


def close(a: Any, b: Any, factor: float = 1.0) -> bool:
    """Whether a is ``factor`` b to 1e-6, entry by entry; arrays, None, or dicts of them."""
    if isinstance(b, Mapping):
        return isinstance(a, Mapping) and all(k in a and close(a[k], b[k], factor) for k in b)
    if a is None or b is None:
        return a is b
    x, y = np.asarray(a), factor * np.asarray(b)
    size = float(np.max(np.abs(y), initial=0.0))
    return x.shape == y.shape and bool(np.all(np.abs(x - y) <= 1e-6 * np.abs(y) + 1e-9 * size))
