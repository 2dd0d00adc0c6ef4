"""Calling somebody else's ``f`` safely: on working copies, with every call counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .points import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Evaluator", "as_scalar"]


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
