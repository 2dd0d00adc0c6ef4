"""Numerical slopes, each with a bound on its error that sees rounding, noise and kinks.

For phi(t) with values at 0, +-h and +-h/2:

    D(h)   = (phi(h) - phi(-h)) / 2h                   central difference, error c h^2
    value  = D(h/2) + (D(h/2) - D(h)) / 3              Richardson: error of order h^4
    gap(h) = (phi(h) - 2 phi(0) + phi(-h)) / h         right slope minus left slope; h phi'' if phi
                                                       is smooth

The bound adds what each kind of trouble leaves behind: |D(h/2) - D(h)| / 3 (truncation, far above
the h^4 that is left), |gap(h/2) - gap(h)/2| (a kink anywhere within the step; zero for a smooth
phi), and rounding / h. What it cannot see is a pole closer to 0 than every step:
``scales.py`` looks for that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .comparison import Check, Estimate
from .differences import EPS, TINY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = [
    "STEP",
    "Slope",
    "bounded_slope",
    "central_entries",
    "complex_entries",
    "directional_slopes",
    "record",
    "refined_slope",
    "second_look",
]

# About 1.2e-4: truncation and rounding are both near 1e-11 where phi and its slopes are near 1.
STEP = 2.0**-13
_FINER = (2.0**-4, 2.0**4, 2.0**-8, 2.0**-12, 2.0**6)


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
    wide = (up - down) / (2.0 * h)
    narrow = (up_half - down_half) / h
    gap_wide = (up - at_zero + (down - at_zero)) / h
    gap_narrow = 2.0 * (up_half - at_zero + (down_half - at_zero)) / h
    value = narrow + (narrow - wide) / 3.0
    bend = abs(gap_narrow - gap_wide / 2.0) - 10.0 * noise / h
    bound = (
        abs(narrow - wide) / 3.0 + max(0.0, bend) + 3.0 * noise / h + 8.0 * EPS / STEP * abs(value)
    )
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
    for factor in _FINER:
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


def complex_entries(check: Check) -> Estimate:
    """Every Im f(theta + i h e_i) / h: P evaluations, no subtraction."""
    evaluate = check.complex
    vector, origin = evaluate.vector, check.point.vector
    value = np.empty(check.point.size)
    for i in range(value.size):
        vector[i] = complex(origin[i], TINY)
        value[i] = evaluate.neighbour().imag
        vector[i] = origin[i]
    value /= TINY
    bound = 8.0 * check.eps * np.abs(value)
    for indices in check.groups():
        rounding = complex_rounding(check, check.direction(indices)) * np.sqrt(indices.size)
        units = check.units[indices]
        norm = float(np.sqrt(np.mean(np.square(value[indices] * units))))
        bound[indices] += (rounding + 8.0 * check.eps * norm) / units
    bound[~np.isfinite(value)] = np.inf
    return Estimate(value, np.where(np.isfinite(bound), bound, np.inf), check.units)


def complex_rounding(check: Check, direction: Vector) -> float:
    """How far a complex-step slope moves when theta moves by its own rounding.

    A complex step subtracts nothing, so that its error is the conditioning of the gradient itself:
    moving theta by a few units in the last place shows it, cancellations and nearly singular
    matrices included.
    """
    theta = check.point.vector
    base = check.complex.complex_slope(direction, theta, TINY)
    moved = 0.0
    for _ in range(3):
        signs = check.signs(theta.size)
        slope = check.complex.complex_slope(
            direction, theta * (1.0 + 4.0 * check.eps * signs), TINY
        )
        moved = max(moved, abs(slope - base))
    return 4.0 * moved if np.isfinite(moved) else float("inf")


def central_entries(check: Check) -> Estimate:
    """Central differences at h and h/2 with Richardson: 4 P evaluations, more where needed."""
    evaluate = check.real
    slopes = [
        bounded_slope(evaluate.along_entry(i), check.value, STEP * s, check.noise)
        for i, s in enumerate(check.units)
    ]
    values, bounds = np.array([(s.value, s.bound) for s in slopes]).T.copy()
    estimate = Estimate(values, bounds, check.units)
    # The tolerance needs the size of the whole gradient, hence the second round.
    enough = check.rtol * np.abs(estimate.value) + _wanted(check, estimate)
    for i in np.flatnonzero(~(estimate.bound <= enough)):
        second_look(check, estimate, int(i))
    return estimate


def _wanted(check: Check, estimate: Estimate) -> Vector:
    """The error bound to try for, beside rtol |value|: a slope that may be zero needs less."""
    seen = np.abs(estimate.value) > estimate.bound
    return np.where(seen, check.floor(estimate), check.resolution(estimate))


def second_look(check: Check, estimate: Estimate, i: int) -> Slope:
    """Entry ``i`` again by differences with several steps; the estimate takes the result."""
    phi, scale = check.real.along_entry(i), float(check.units[i])
    target = float(_wanted(check, estimate)[i])
    slope = refined_slope(phi, check.value, scale, check.noise, target, check.rtol)
    if slope.bound < estimate.bound[i] or slope.kind != "smooth":
        record(estimate, i, slope)
    return slope


def record(estimate: Estimate, i: int, slope: Slope, size: float = 1.0) -> None:
    """Let slope ``i`` of an estimate be ``size`` times this one."""
    estimate.value[i], estimate.bound[i] = slope.value * size, slope.bound * size
    if slope.kind in ("kink", "near kink"):
        estimate.kinks[i] = (slope.low * size, slope.high * size)
    if slope.kind == "jump":
        estimate.jumps.append(i)


def directional_slopes(check: Check, directions: list[Vector], by_complex_step: bool) -> Estimate:
    """d/dt f(theta + t v) at t = 0 for each v: one complex evaluation or a few real ones."""
    if by_complex_step:
        theta = check.point.vector
        value = np.array([check.complex.complex_slope(v, theta, TINY) for v in directions])
        rounding = max(complex_rounding(check, v) for v in directions[:2])
        bound = (
            rounding
            + 64.0 * check.eps * np.abs(value)
            + 8.0 * EPS * np.max(np.abs(value), initial=0.0)
        )
        return Estimate(value, np.where(np.isfinite(value), bound, np.inf))
    estimate = Estimate(np.empty(len(directions)), np.empty(len(directions)))
    for k, v in enumerate(directions):
        size = float(np.linalg.norm(v / check.units)) or 1.0  # of v in natural steps
        slope = refined_slope(
            check.real.along(v / size), check.value, 1.0, check.noise, 0.0, 0.1 * check.rtol
        )
        record(estimate, k, slope, size)
    return estimate
