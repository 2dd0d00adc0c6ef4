"""The caller's functions, called safely: on copies, counted, watched for changes in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .differences import TINY
from .points import Array, Point, Vector, as_scalar

__all__ = ["Evaluator", "Notes", "changed", "rebuilt", "repeats", "snapshot", "with_progress"]


class Notes:
    """What a check has to say beside its numbers. Sentences are added, each once, and stay."""

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = list(warnings)
        self.unknown: list[str] = []  # why nothing can be told
        self.failures: dict[str, str] = {}  # what is wrong whatever the numbers say -> short name

    def warn(self, text: str) -> None:
        """Say something that is worth knowing."""
        if text not in self.warnings:
            self.warnings.append(text)

    def cannot_tell(self, text: str) -> None:
        """Say why no verdict is possible."""
        if text not in self.unknown:
            self.unknown.append(text)

    def fail(self, pattern: str, text: str) -> None:
        """Say what is wrong whatever the numbers say, under a short name."""
        self.failures.setdefault(text, pattern)


class Evaluator:
    """``f`` at theta and beside it, by real and by complex numbers.

    ``f`` sees two working vectors, perturbed in place, through views in the caller's own form: no
    copying for each call, until f is seen to write into what it is given. A point at which f raises
    is one at which it is NaN.
    """

    def __init__(self, f: Callable[[Any], Any], point: Point) -> None:
        self.f, self.point = f, point
        self.real: Vector = point.vector.copy()
        self.complex: Array = point.vector.astype(np.complex128)
        self.copies = False
        self.calls = 0
        self.raised = ""  # what f raised last at a neighbouring point
        self.value_dtype: Any = None  # of f's last value, if it had one
        self.seconds = {"f": np.inf, "c": np.inf}  # of the fastest call, real and complex

    def __call__(self, vector: Array) -> Any:
        """f(vector) as a number; what f raises passes through."""
        self.calls += 1
        start = time.perf_counter()
        value = self.f(self.point.structure(vector.copy() if self.copies else vector))
        kind = vector.dtype.kind
        self.seconds[kind] = min(self.seconds[kind], time.perf_counter() - start)
        self.value_dtype = getattr(value, "dtype", None)
        return as_scalar(value)

    def or_nan(self, vector: Array) -> Any:
        """f(vector), NaN where f raises: one bad point is not the end."""
        try:
            return self(vector)
        except Exception as error:
            self.raised = f"{type(error).__name__}: {error}"
            return complex(np.nan, np.nan) if vector.dtype.kind == "c" else np.nan

    def along(self, direction: Vector) -> Callable[[float], float]:
        """phi(t) = f(theta + t direction), direction (P,)."""

        def phi(t: float) -> float:
            np.multiply(direction, t, out=self.real)
            self.real += self.point.vector
            value = self.or_nan(self.real)
            self.real[...] = self.point.vector
            return value

        return phi

    def along_entry(self, i: int) -> Callable[[float], float]:
        """phi(t) = f(theta + t e_i)."""
        origin = float(self.point.vector[i])

        def phi(t: float) -> float:
            self.real[i] = origin + t
            value = self.or_nan(self.real)
            self.real[i] = origin
            return value

        return phi

    def complex_value(self, direction: Vector) -> Any:
        """f(theta + i TINY direction); what f raises passes through."""
        np.multiply(direction, TINY, out=self.complex.imag)
        try:
            return self(self.complex)
        finally:
            self.complex[...] = self.point.vector

    def complex_slope(
        self, direction: Vector, base: Vector | None = None, h: float = TINY
    ) -> float:
        """d/dt f(base + t direction) at t = 0 by one complex step; base is theta unless given."""
        self.complex.real[...] = self.point.vector if base is None else base
        np.multiply(direction, h, out=self.complex.imag)
        slope = float(np.imag(self.or_nan(self.complex))) / h
        self.complex[...] = self.point.vector
        return slope

    def complex_entry(self, i: int) -> float:
        """df / dtheta_i by one complex step."""
        self.complex[i] = complex(self.point.vector[i], TINY)
        slope = float(self.or_nan(self.complex).imag) / TINY
        self.complex[i] = self.point.vector[i]
        return slope

    def forget_raised(self) -> None:
        """Forget what f raised far from theta."""
        self.raised = ""

    def look_for_writing(self, notes: Notes) -> None:
        """Say where f has written into its argument. Then theta is put back, and f gets copies."""
        kinds, blocks = {"": self.real, " when complex": self.complex}, self.point.blocks
        names = sorted(
            block.name + kind
            for kind, vector in kinds.items()
            for block in blocks
            if not np.array_equal(block.take(vector), block.take(self.point.vector), equal_nan=True)
        )
        if names:
            text = f"f changes theta in place ({', '.join(names)}): it must work on a copy."
            notes.fail("changes theta", text)
            self.real[...] = self.complex[...] = self.point.vector
            self.copies = True


def with_progress(n: int, what: str) -> Iterator[int]:
    """0, 1, ..., n - 1. On stderr it says how far it is, if that takes long.

    Once a second on a terminal, in one line; elsewhere every ten seconds.
    """
    out = sys.stderr
    live = out is not None and out.isatty()
    start = said = time.monotonic()
    for i in range(n):
        yield i
        now = time.monotonic()
        if out is not None and now - said > (1.0 if live else 10.0):
            said, left = now, (now - start) / (i + 1) * (n - i - 1)
            text = f"gradient check: {i + 1:,} of {n:,} {what}, {left:.0f} s to go"
            print(f"\r{text:<78}" if live else text, end="" if live else "\n", file=out, flush=True)
    if live and said > start:
        print("\r" + " " * 78, end="\r", file=out, flush=True)


def snapshot(value: Any) -> Any:
    """A copy in which no array is shared; what is neither array nor container stays as it is."""
    if hasattr(value, "__array__") and not isinstance(value, (np.generic, type)):
        return np.array(value)
    if isinstance(value, Mapping):
        return {k: snapshot(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [snapshot(v) for v in value])
    return {k: snapshot(v) for k, v in vars(value).items()} if _has_fields(value) else value


def rebuilt(like: Any, parts: list[Any]) -> Any:
    """The parts in a tuple, NamedTuple or list of the same kind."""
    if hasattr(like, "_fields"):
        return type(like)(*parts)
    return tuple(parts) if isinstance(like, tuple) else parts


def changed(before: Any, now: Any) -> bool:
    """Whether ``now`` differs from the :func:`snapshot` taken ``before``."""
    if isinstance(before, np.ndarray):
        after = np.asarray(now) if hasattr(now, "__array__") else None
        nan = before.dtype.kind in "fc"
        return after is None or not np.array_equal(before, after, equal_nan=nan)
    if isinstance(before, Mapping):
        now = vars(now) if _has_fields(now) else now
        same = isinstance(now, Mapping) and list(before) == list(now)
        return not same or any(changed(before[k], now[k]) for k in now)
    if isinstance(before, (tuple, list)):
        same = isinstance(now, (tuple, list)) and len(now) == len(before)
        return not same or any(changed(a, b) for a, b in zip(before, now, strict=True))
    return isinstance(before, (int, float, complex, str)) and before != now and before == before


def _has_fields(value: Any) -> bool:
    return (
        hasattr(value, "__dict__") and not callable(value) and type(value).__module__ != "builtins"
    )


def repeats(second: Any, first: Any, factor: float = 1.0) -> bool:
    """Whether a second call gave ``factor`` times the first, entry by entry."""
    if isinstance(first, Mapping):
        there = isinstance(second, Mapping)
        return there and all(k in second and repeats(second[k], first[k], factor) for k in first)
    if second is None or first is None:
        return second is first
    x, y = np.asarray(second), factor * np.asarray(first)
    size = float(np.max(np.abs(y), initial=0.0))
    return x.shape == y.shape and bool(np.all(np.abs(x - y) <= 1e-6 * np.abs(y) + 1e-9 * size))
