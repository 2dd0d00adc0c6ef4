"""f along a line: called safely, and its slope with a bound on the error.

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
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .differences import EPS, TINY
from .points import Array, Point, Vector, as_scalar

# About 1.2e-4: truncation and rounding are both near 1e-11 where phi and its slopes are near 1.
STEP = 2.0**-13
FINER = (2.0**-4, 2.0**4, 2.0**-8, 2.0**-12, 2.0**6)
RESOLUTION = 1e-9  # of the steepest slope: differences need to know a slope near zero to this only
EVERYWHERE = slice(None)
Phi = Callable[[float], float]


class Notes:
    """The remarks of a check. Sentences are added, each once, and never removed."""

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = list(warnings)  # what is worth knowing
        self.unknown: list[str] = []  # why nothing can be told
        self.failures: dict[str, str] = {}  # what is wrong regardless of the numbers -> short name

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def cannot_tell(self, text: str) -> None:
        if text not in self.unknown:
            self.unknown.append(text)

    def fail(self, pattern: str, text: str) -> None:
        self.failures.setdefault(text, pattern)


class Evaluator:
    """``f`` at theta and beside it, by real and by complex numbers.

    ``f`` gets views of two working vectors, perturbed in place, in the caller's own form. So no
    call copies anything, until f is seen to write into its argument. Where f raises, its value
    counts as NaN.
    """

    def __init__(self, f: Callable[[Any], Any], point: Point) -> None:
        self.f, self.point = f, point
        self.real: Vector = point.vector.copy()
        self.complex: Array = point.vector.astype(np.complex128)
        self.views = {"f": point.structure(self.real), "c": point.structure(self.complex)}
        self.copies = False
        self.calls = 0
        self.raised = ""  # what f raised last at a neighbouring point
        self.value_dtype: Any = None  # of f's last value, if it had one
        self.seconds = {"f": np.inf, "c": np.inf}  # of the fastest call, real and complex

    def __call__(self, vector: Array) -> Any:
        """f(vector) as a number; what f raises passes through."""
        self.calls += 1
        kind, own = vector.dtype.kind, vector is self.real or vector is self.complex
        argument = self.views[kind]
        if self.copies or not own:
            argument = self.point.structure(vector.copy())
        start = time.perf_counter()
        value = self.f(dict(argument) if self.point.is_dict else argument)
        self.seconds[kind] = min(self.seconds[kind], time.perf_counter() - start)
        self.value_dtype = getattr(value, "dtype", None)
        return value if isinstance(value, (float, complex)) else as_scalar(value)

    def _or_nan(self, call: Callable[..., Any], *arguments: Any) -> float:
        try:
            return float(call(*arguments))
        except Exception as error:
            self.raised = f"{type(error).__name__}: {error}"
            return float("nan")

    def at(self, vector: Vector) -> float:
        """f(vector), on a copy that f may keep."""
        return self._or_nan(self, vector)

    def along(self, direction: Vector | float, where: Any = EVERYWHERE) -> Phi:
        """phi(t) = f(theta + t direction), for the entries ``where`` alone."""
        origin = self.point.vector[where]

        def phi(t: float) -> float:
            self.real[where] = origin + t * direction
            value = self._or_nan(self, self.real)
            self.real[where] = origin
            return value

        return phi

    def complex_value(
        self, direction: Any, where: Any = EVERYWHERE, h: float = TINY, base: Any = None
    ) -> Any:
        """f(base + i h direction), with theta for base; what f raises passes through."""
        self.complex[where] = (self.point.vector[where] if base is None else base) + 0.0j
        self.complex.imag[where] = h * direction
        try:
            return self(self.complex)
        finally:
            self.complex[where] = self.point.vector[where]

    def complex_slope(
        self, direction: Any, where: Any = EVERYWHERE, h: float = TINY, base: Any = None
    ) -> float:
        """d/dt f(base + t direction) at t = 0 by one :meth:`complex_value`."""
        return self._or_nan(lambda: np.imag(self.complex_value(direction, where, h, base)) / h)

    def forget_raised(self) -> None:
        """Forget what f raised far from theta."""
        self.raised = ""

    def look_for_writing(self, notes: Notes) -> None:
        """Say where f has written into its argument. Then theta is put back, and f gets copies."""
        kinds, theta = {"": self.real, " when complex": self.complex}, self.point.vector
        names = sorted(
            block.name + kind
            for kind, vector in kinds.items()
            for block in self.point.blocks
            if not np.array_equal(vector[block.indices], theta[block.indices], equal_nan=True)
        )
        if names:
            text = f"f changes theta in place ({', '.join(names)}): it must work on a copy."
            notes.fail("changes theta", text)
            self.real[...] = self.complex[...] = theta
            self.copies = True


class Slope(NamedTuple):
    """A derivative, the bound of its error, and the one-sided slopes if they differ.

    kind  "smooth", "kink" (one-sided slopes stay apart as h shrinks), "near kink" (they do until a
          small step gets past it), or "jump" (the values of phi stay apart)
    gap   right slope minus left slope at the step h
    """

    value: float
    bound: float
    kind: str = "smooth"
    low: float = float("nan")
    high: float = float("nan")
    gap: float = 0.0
    h: float = STEP


def bounded_slope(phi: Phi, at_zero: float, h: float, noise: float) -> Slope:
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
    phi: Phi, at_zero: float, scale: float, noise: float, target: float, rtol: float = 0.0
) -> Slope:
    """The slope with the smallest bound over a few steps; ``target + rtol |value|`` is enough.

    Where no step gets there, the one-sided slopes are compared as h shrinks: apart by the same
    amount at every h is a kink, apart by an amount that grows is a jump.
    """
    tried: list[Slope] = []
    for factor in (1.0, *FINER):
        tried.append(bounded_slope(phi, at_zero, factor * STEP * scale, noise))
        if tried[-1].bound <= target + rtol * abs(tried[-1].value):
            return tried[-1]
    best = min(tried, key=lambda s: s.bound)
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

    def allowed(self, atol: float, roundings: float = 1e3) -> Vector:
        """What is allowed near zero: roundings of the steepest slope m, and atol.

        Of atol never more than atol m: a function in tiny units must not pass unseen.
        """
        largest = self.largest()
        return np.asarray(roundings * EPS * largest + atol * np.minimum(1.0, largest))

    def limits(self, atol: float) -> tuple[Vector, Vector]:
        """What is allowed near zero, and how well a slope near zero must be known."""
        floor = self.allowed(atol)
        return floor, np.maximum(floor, RESOLUTION * self.largest())

    def wanted(self, atol: float) -> Vector:
        """The error bound to try for, beside rtol |value|: a slope that may be zero needs less."""
        return np.where(np.abs(self.value) > self.bound, *self.limits(atol))
