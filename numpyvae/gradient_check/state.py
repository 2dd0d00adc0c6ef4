"""What one check knows so far: the functions, the point, the settings, the remarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .evaluation import Evaluator
from .points import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Check", "Estimate"]

EPS = float(np.finfo(np.float64).eps)


class Estimate:
    """Numerical slopes (M,), a bound on the error of each, and where f has kinks."""

    def __init__(self, value: Vector, bound: Vector) -> None:
        self.value, self.bound = value, bound
        self.kinks: dict[int, tuple[float, float]] = {}  # entry -> (low, high) one-sided slope
        self.jumps: list[int] = []


class Check:
    """The state of one call of check_grad."""

    def __init__(
        self,
        f: Callable[[Any], Any],
        point: Point,
        rtol: float,
        atol: float,
        rng: Any,
        sizes: Mapping[str, int] | None,
    ) -> None:
        self.f, self.point, self.rtol, self.atol = f, point, float(rtol), float(atol)
        self.rng = np.random.default_rng(rng)
        self.sizes = dict(sizes or {})
        self.real = Evaluator(f, point)
        self.complex = Evaluator(f, point, np.complex128)
        self.value = float("nan")  # f(theta)
        self.seconds = 0.0  # of one call of f
        self.noise = 0.0  # the error of one value of f
        self.eps = EPS  # the relative precision f computes in
        self.warnings: list[str] = list(point.notes)
        self.unknown: list[str] = []  # why nothing can be told
        self.failures: list[str] = []  # what is wrong whatever the numbers say
        self.findings: list[Any] = []
        self.method = ""
        self.reason = ""  # why this method

    def warn(self, text: str) -> None:
        """Say something once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def cannot_tell(self, text: str) -> None:
        """Note why no verdict is possible, once."""
        if text not in self.unknown:
            self.unknown.append(text)

    def fail(self, pattern: str, text: str) -> None:
        """Note what is wrong whatever the numbers say, once, under a short name."""
        if text not in self.failures:
            self.failures.append(text)
            self.findings.append(
                {"pattern": pattern, "parameters": [], "text": text, "value": None}
            )

    def scale(self) -> Vector:
        """The natural size of a step in each entry, (P,)."""
        return np.maximum(1.0, np.abs(self.point.vector))

    def tolerance(self, numeric: Vector) -> Vector:
        """The allowed disagreement, rtol |numeric| + floor, entry by entry."""
        size = np.where(np.isfinite(numeric), np.abs(numeric), 0.0)
        return self.rtol * size + self.floor(numeric)

    def floor(self, numeric: Vector) -> float:
        """What is allowed near zero, from the largest entry m of the gradient.

        It is atol, but never more than atol m: a function measured in tiny units must not pass
        unseen. And it is never below the rounding that small entries of a large gradient carry.
        """
        largest = float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0.0))
        return self.atol * min(1.0, largest) + 1e3 * EPS * largest

    def groups(self) -> list[NDArray[np.intp]]:
        """Entries to be moved together when f is probed: a parameter each; a lone one in eight."""
        parts = [b.indices for b in self.point.blocks if b.indices.size]
        if len(parts) == 1:
            return [g for g in np.array_split(parts[0], 8) if g.size]
        return parts if len(parts) <= 64 else np.array_split(np.concatenate(parts), 64)

    def signs(self, n: int) -> Vector:
        """Random signs, (n,)."""
        return (2 * self.rng.integers(0, 2, n, dtype=np.int8) - 1).astype(np.float64)

    def direction(self, indices: NDArray[np.intp] | None = None) -> Vector:
        """Random signs times each entry's natural step, of about unit length; zero elsewhere."""
        v = np.zeros(self.point.size)
        where = np.arange(self.point.size) if indices is None else indices
        signs = self.signs(where.size)
        v[where] = signs * np.maximum(1.0, np.abs(self.point.vector[where])) / np.sqrt(where.size)
        return v
