"""Numerical slopes with bounds on their errors, and your slopes compared with them.

The bound sees rounding, noise and kinks.
For phi(t) with values at 0, +-h and +-h/2:

    D(h)   = (phi(h) - phi(-h)) / 2h                   central difference, error c h^2
    value  = D(h/2) + (D(h/2) - D(h)) / 3              Richardson: error of order h^4
    gap(h) = (phi(h) - 2 phi(0) + phi(-h)) / h         right slope minus left slope; h phi'' if phi
                                                       is smooth

The bound adds what each kind of trouble leaves behind: |D(h/2) - D(h)| / 3 (truncation, far above
the h^4 that is left), |gap(h/2) - gap(h)/2| (a kink anywhere within the step; zero for a smooth
phi), and rounding / h. It cannot see a pole closer to 0 than every step: `sampling.py` looks for
that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .differences import EPS
from .points import Vector

__all__ = [
    "CANNOT_TELL",
    "FAIL",
    "KINK",
    "ORDER",
    "PASS",
    "STEP",
    "Comparison",
    "Estimate",
    "Settings",
    "Slope",
    "Worst",
    "bounded_slope",
    "refined_slope",
    "row",
]

# About 1.2e-4: truncation and rounding are both near 1e-11 where phi and its slopes are near 1.
STEP = 2.0**-13
FINER = (2.0**-4, 2.0**4, 2.0**-8, 2.0**-12, 2.0**6)
RESOLUTION = 1e-9  # of the steepest slope: differences need to know a slope near zero to this only

METHODS = ("auto", "complex", "central", "directional", "taylor")
PASS, CANNOT_TELL, FAIL, KINK = 0, 1, 2, 3
ORDER = ("pass", "cannot tell", "fail")  # the words for the first three


class Slope(NamedTuple):
    """A derivative, the bound of its error, and the one-sided slopes where they stay apart.

    kind    "smooth", "kink" (one-sided slopes stay apart as h shrinks), "near kink" (they do until
            a small step gets past it), or "jump" (the values of phi stay apart)
    """

    value: float
    bound: float
    kind: str = "smooth"
    low: float = float("nan")
    high: float = float("nan")
    gap: float = 0.0  # right slope minus left slope at this step
    h: float = STEP


def bounded_slope(phi: Callable[[float], float], at_zero: float, h: float, noise: float) -> Slope:
    """The slope of phi at 0 from values at +-h and +-h/2; ``noise`` is the error of one value."""
    up, down, up_half, down_half = phi(h), phi(-h), phi(h / 2.0), phi(-h / 2.0)
    noise = max(noise, EPS * abs(up), EPS * abs(down))  # far from theta f may be far larger
    wide, narrow = (up - down) / (2.0 * h), (up_half - down_half) / h
    gap_wide = (up - at_zero + (down - at_zero)) / h
    gap_narrow = 2.0 * (up_half - at_zero + (down_half - at_zero)) / h
    value = narrow + (narrow - wide) / 3.0
    bend = max(0.0, abs(gap_narrow - gap_wide / 2.0) - 10.0 * noise / h)
    bound = abs(narrow - wide) / 3.0 + bend + 3.0 * noise / h + 8.0 * EPS / STEP * abs(value)
    if not np.isfinite(value + bound):
        return Slope(float("nan"), float("inf"), h=h)
    return Slope(value, bound, gap=gap_narrow, h=h)


def refined_slope(
    phi: Callable[[float], float],
    at_zero: float,
    scale: float,
    noise: float,
    target: float,
    rtol: float = 0.0,
) -> Slope:
    """The slope with the smallest bound over a few steps; ``target + rtol |value|`` is enough.

    Where no step gets there, the one-sided slopes are compared as h shrinks: apart by the same
    amount at every h is a kink, apart by an amount that grows is a jump.
    """
    tried = [bounded_slope(phi, at_zero, STEP * scale, noise)]
    for factor in FINER:
        if any(s.bound <= target + rtol * abs(s.value) for s in tried):
            break
        tried.append(bounded_slope(phi, at_zero, factor * STEP * scale, noise))
    best = min(tried, key=lambda s: s.bound)
    if best.bound <= target + rtol * abs(best.value):
        return best
    bent = _kink_or_jump(tried, STEP * scale, noise)
    if bent is not None and bent.kind == "kink" and best.bound < 0.01 * abs(bent.gap):
        low, high = best.value - best.bound, best.value + best.bound  # a small step gets past it
        return best._replace(kind="near kink", low=low, high=high)
    return bent or best


def _kink_or_jump(tried: list[Slope], coarsest: float, noise: float) -> Slope | None:
    """Compare the gaps of two steps: a smooth phi has them in proportion to h."""
    clear = [s for s in tried if s.h <= coarsest and abs(s.gap) > 40.0 * noise / s.h]
    clear.sort(key=lambda s: s.h)
    for fine, coarse in itertools.pairwise(clear):
        growth, ratio = abs(fine.gap / coarse.gap), coarse.h / fine.h
        if growth > 0.5 * ratio:
            return fine._replace(kind="jump", bound=float("inf"))
        steady = abs(fine.value - coarse.value) <= abs(fine.gap)
        if steady and 0.5 < growth < 2.0:
            low, high = sorted((fine.value - fine.gap / 2.0, fine.value + fine.gap / 2.0))
            return Slope(fine.value, high - low, "kink", low, high, fine.gap, fine.h)
    return None


class Estimate:
    """Numerical slopes (M,), a bound on the error of each, and where f has kinks.

    unit  a natural step along each slope: slope times unit is in the units of f, whatever the units
          of theta, so that slopes of different parameters can be compared
    """

    def __init__(
        self, value: Vector, bound: Vector, unit: Vector | None = None, by_complex: bool = False
    ) -> None:
        self.value, self.bound, self.by_complex = value, bound, by_complex
        self.unit = np.ones_like(value) if unit is None else unit
        self.kinks: dict[int, tuple[float, float]] = {}  # entry -> (low, high) one-sided slope
        self.jumps: list[int] = []

    def record(self, i: int, slope: Slope, size: float = 1.0) -> None:
        """Let slope ``i`` be ``size`` times this one."""
        self.value[i], self.bound[i] = slope.value * size, slope.bound * size
        if slope.kind in ("kink", "near kink"):
            self.kinks[i] = (slope.low * size, slope.high * size)
        if slope.kind == "jump":
            self.jumps.append(i)

    def largest(self) -> Vector:
        """The steepest slope that is known, in the units of each entry, (M,)."""
        known = (np.abs(self.value) - self.bound) * self.unit
        return np.asarray(np.max(known[np.isfinite(known)], initial=0.0) / self.unit)

    def floor(self, atol: float) -> Vector:
        """What is allowed near zero: the rounding of small entries beside a steepest slope m.

        And atol, but never more than atol m: a function in tiny units must not pass unseen.
        """
        largest = self.largest()
        return 1e3 * EPS * largest + atol * np.minimum(1.0, largest)

    def resolution(self, atol: float) -> Vector:
        """How well a slope near zero must be known."""
        return np.maximum(self.floor(atol), RESOLUTION * self.largest())

    def wanted(self, atol: float) -> Vector:
        """The error bound to try for, beside rtol |value|: a slope that may be zero needs less."""
        return np.where(np.abs(self.value) > self.bound, self.floor(atol), self.resolution(atol))


@dataclass(frozen=True)
class Settings:
    """The options of a check. ValueError for those with which no verdict could be trusted."""

    method: str = "auto"
    rtol: float = 1e-6
    atol: float = 0.0
    directions: int | None = None
    sizes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            number = isinstance(value, (int, float, np.integer, np.floating))
            if not (number and 0.0 <= value < np.inf):
                raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
        n = self.directions
        whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool)
        if n is not None and not (whole and n >= 1):
            raise ValueError(f"directions must be at least 1, and an integer, not {n!r}")


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


def row(name: str, shape: str, verdict: str, **more: Any) -> dict[str, Any]:
    """One row of a report's table: entries, wrong, kinks, worst_relative_error may be given."""
    counts = {"entries": 1, "wrong": 0, "kinks": 0, "worst_relative_error": float("nan")}
    return {"parameter": name, "shape": shape, **counts, "verdict": verdict, **more}


class Comparison:
    """Your slopes beside the numerical ones, all (M,).

    status per entry:
        FAIL          |yours - numeric| > tolerance + bound, or yours is not finite, with tolerance
                      = rtol |numeric| + floor
        CANNOT_TELL   otherwise, where bound > rtol |numeric| + resolution: agreement would say too
                      little
        KINK          the one-sided slopes of f stay apart, and yours lies between them: left out
        PASS          all else

    ``eps`` is the precision of your numbers, where that is less than float64's.
    """

    def __init__(
        self, yours: Vector, estimate: Estimate, settings: Settings, eps: float = 0.0
    ) -> None:
        rtol, atol = float(settings.rtol), float(settings.atol)
        self.yours, self.numeric, self.unit = yours, estimate.value, estimate.unit
        self.bound = estimate.bound + 8.0 * eps * estimate.largest()
        share = rtol * np.where(np.isfinite(self.numeric), np.abs(self.numeric), 0.0)
        self.floor = estimate.floor(atol)
        self.tolerance = share + self.floor
        self.enough = share + estimate.resolution(atol)
        with np.errstate(invalid="ignore"):
            self.error = np.abs(yours - self.numeric)
            wrong = (self.error > self.tolerance + self.bound) | ~np.isfinite(yours)
        self.status = np.where(wrong, FAIL, np.where(self.bound > self.enough, CANNOT_TELL, PASS))
        for i, (low, high) in estimate.kinks.items():
            slack = 0.01 * (high - low) + self.tolerance[i]
            self.status[i] = KINK if low - slack <= yours[i] <= high + slack else FAIL
        # Relative to the larger of the two; to floor / rtol near zero, where it would be rounding.
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = self.tolerance / rtol if rtol > 0 else np.abs(self.numeric)
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
        return ORDER[int(judged.max())] if judged.size else "cannot tell"

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
            worst_relative_error=float("nan") if worst is None else float(self.relative[worst]),
        )

    def describe(self, i: int, name: str) -> Worst:
        """Entry ``i`` as a number that knows the rest."""
        worst = Worst(self.relative[i])
        worst.entry = name
        for key in ("yours", "numeric", "error", "bound", "tolerance"):
            setattr(worst, key, float(getattr(self, key)[i]))
        return worst
