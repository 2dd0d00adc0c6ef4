"""What one check knows, and two gradients compared: a bound, a status and a verdict per entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .calling import Evaluator
from .differences import EPS
from .points import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = [
    "CANNOT_TELL",
    "FAIL",
    "KINK",
    "ORDER",
    "PASS",
    "Check",
    "Comparison",
    "Estimate",
    "Worst",
    "finding",
    "row",
    "worse",
]


GOLDEN = 0.5 * (5.0**0.5 - 1.0)
RESOLUTION = 1e-9  # of the steepest slope: differences need to know a slope near zero to this only


def finding(
    pattern: str, names: list[str], text: str, value: float | None = None
) -> dict[str, Any]:
    """One finding, as it stands in a report."""
    return {"pattern": pattern, "parameters": names, "text": text, "value": value}


class Estimate:
    """Numerical slopes (M,), a bound on the error of each, and where f has kinks.

    unit  a natural step along each slope: slope times unit is in the units of f, whatever the units
          of theta, so that slopes of different parameters can be compared
    """

    def __init__(self, value: Vector, bound: Vector, unit: Vector | None = None) -> None:
        self.value, self.bound = value, bound
        self.unit = np.ones_like(value) if unit is None else unit
        self.kinks: dict[int, tuple[float, float]] = {}  # entry -> (low, high) one-sided slope
        self.jumps: list[int] = []

    def largest(self) -> Vector:
        """The steepest slope that is known, in the units of each entry, (M,)."""
        known = (np.abs(self.value) - self.bound) * self.unit
        return np.asarray(np.max(known[np.isfinite(known)], initial=0.0) / self.unit)


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
        self.units = np.maximum(1.0, np.abs(point.vector))  # the natural size of a step, (P,)
        self.slope = 0.0  # of f along a random direction of natural steps, in the units of f
        self.eps = EPS  # the relative precision f computes in
        self.warnings: list[str] = list(point.notes)
        self.unknown: list[str] = []  # why nothing can be told
        self.failures: list[str] = []  # what is wrong whatever the numbers say
        self.findings: list[Any] = []
        self.kinked: list[NDArray[np.intp]] = []  # entries among which f has a kink at theta
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
            self.findings.append(finding(pattern, [], text))

    def floor(self, estimate: Estimate) -> Vector:
        """What is allowed near zero: the rounding of small entries beside a steepest slope m.

        And atol, but never more than atol m: a function in tiny units must not pass unseen.
        """
        largest = estimate.largest()
        return 1e3 * EPS * largest + self.atol * np.minimum(1.0, largest)

    def resolution(self, estimate: Estimate) -> Vector:
        """How well a slope near zero must be known."""
        return np.maximum(self.floor(estimate), RESOLUTION * estimate.largest())

    def groups(self) -> list[NDArray[np.intp]]:
        """Entries to be moved together when f is probed: a parameter each; a lone one in eight."""
        parts = [b.indices for b in self.point.blocks if b.indices.size]
        if len(parts) == 1:
            return [g for g in np.array_split(parts[0], 8) if g.size]
        return parts if len(parts) <= 64 else np.array_split(np.concatenate(parts), 64)

    def name_of(self, indices: NDArray[np.intp]) -> str:
        """What to call some entries that were moved together."""
        if indices.size == 1:
            return self.point.entry(int(indices[0]))
        if indices.size == self.point.size > 1:
            return "a random direction"
        for block in self.point.blocks:
            if np.isin(indices[0], block.indices):
                part = "" if indices.size == block.indices.size else "part of "
                return f"{part}{block.name}"
        return "theta"

    def signs(self, n: int) -> Vector:
        """Random signs, (n,)."""
        return (2 * self.rng.integers(0, 2, n, dtype=np.int8) - 1).astype(np.float64)

    def direction(self, indices: NDArray[np.intp] | None = None) -> Vector:
        """Random signs times each entry's natural step, of about unit length; zero elsewhere."""
        v = np.zeros(self.point.size)
        where = np.arange(self.point.size) if indices is None else indices
        v[where] = self.signs(where.size) * self.units[where] / np.sqrt(where.size)
        return v

    def uneven(self, indices: NDArray[np.intp]) -> Vector:
        """A direction of unequal steps: slopes or kinks of two entries do not cancel along it."""
        size = 1.0 - 0.5 * np.modf(GOLDEN * np.arange(self.point.size))[0]
        return np.asarray(size * self.direction(indices))


PASS, CANNOT_TELL, FAIL, KINK = 0, 1, 2, 3
ORDER = ("pass", "cannot tell", "fail")  # the words for the first three


def worse(*verdicts: str) -> str:
    """The worst of some verdicts."""
    return max(verdicts, key=ORDER.index)


def row(
    name: str,
    shape: str,
    verdict: str,
    *,
    entries: int = 1,
    wrong: int = 0,
    kinks: int = 0,
    error: float = float("nan"),
) -> dict[str, Any]:
    """One row of a report's table."""
    return {
        "parameter": name,
        "shape": shape,
        "entries": entries,
        "wrong": wrong,
        "kinks": kinks,
        "worst_relative_error": error,
        "verdict": verdict,
    }


class Worst(float):
    """The largest relative error, which also knows its entry, both values and the bound."""

    entry: str = ""
    yours: float = float("nan")
    numeric: float = float("nan")
    error: float = float("nan")
    bound: float = float("nan")
    tolerance: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """As a plain dict."""
        keys = ("entry", "yours", "numeric", "error", "bound", "tolerance")
        return {"relative_error": float(self), **{k: getattr(self, k) for k in keys}}


class Comparison:
    """Your slopes beside the numerical ones, all (M,).

    status per entry:
        FAIL          |yours - numeric| > tolerance + bound, or yours is not finite, with tolerance
                      = rtol |numeric| + floor
        CANNOT_TELL   otherwise, where bound > rtol |numeric| + resolution: agreement would say too
                      little
        KINK          the one-sided slopes of f stay apart, and yours lies between them: left out
        PASS          all else
    """

    def __init__(self, check: Check, yours: Vector, estimate: Estimate) -> None:
        self.yours, self.numeric, self.bound = yours, estimate.value, estimate.bound
        self.unit = estimate.unit
        share = check.rtol * np.where(np.isfinite(self.numeric), np.abs(self.numeric), 0.0)
        self.tolerance = share + check.floor(estimate)
        self.enough = share + check.resolution(estimate)
        with np.errstate(invalid="ignore"):
            self.error = np.abs(yours - estimate.value)
            wrong = (self.error > self.tolerance + self.bound) | ~np.isfinite(yours)
        self.status = np.where(wrong, FAIL, np.where(self.bound > self.enough, CANNOT_TELL, PASS))
        for i, (low, high) in estimate.kinks.items():
            slack = 0.01 * (high - low) + self.tolerance[i]
            self.status[i] = KINK if low - slack <= yours[i] <= high + slack else FAIL
        # Relative to the larger of the two; to floor / rtol near zero, where it would be rounding.
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = self.tolerance / check.rtol if check.rtol > 0 else np.abs(estimate.value)
            unit = np.fmax(unit, np.abs(yours))
            relative = np.where(self.error == 0.0, 0.0, self.error / unit)
        self.relative = np.where(np.isfinite(yours) & ~np.isnan(relative), relative, np.inf)

    def worst(self, entries: NDArray[np.intp]) -> int | None:
        """The entry of the worst status with the largest relative error; kinks left out."""
        entries = entries[self.status[entries] != KINK]
        if not entries.size:
            return None
        worst = entries[self.status[entries] == self.status[entries].max()]
        finite = worst[np.isfinite(self.yours[worst])]
        worst = finite if finite.size else worst
        return int(worst[np.argmax(self.relative[worst])])

    def verdict(self, entries: NDArray[np.intp]) -> str:
        """One word for some entries together."""
        judged = self.status[entries][self.status[entries] != KINK]
        if not judged.size:
            return "cannot tell"
        return ORDER[int(judged.max())]

    def row(self, name: str, shape: str, entries: NDArray[np.intp]) -> dict[str, Any]:
        """What the table says of some entries together."""
        status, worst = self.status[entries], self.worst(entries)
        return row(
            name,
            shape,
            self.verdict(entries) if entries.size else "pass",
            entries=int(entries.size),
            wrong=int(np.sum(status == FAIL)),
            kinks=int(np.sum(status == KINK)),
            error=float("nan") if worst is None else float(self.relative[worst]),
        )

    def describe(self, i: int, name: str) -> Worst:
        """Entry ``i`` as a number that knows the rest."""
        worst = Worst(self.relative[i])
        worst.entry = name
        for key in ("yours", "numeric", "error", "bound", "tolerance"):
            setattr(worst, key, float(getattr(self, key)[i]))
        return worst
