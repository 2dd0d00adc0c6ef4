"""The four ways to a numerical gradient, each with a bound on its error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .slopes import STEP, Slope, bounded_slope, refined_slope
from .state import EPS, Check, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = [
    "central_entries",
    "complex_entries",
    "complex_rounding",
    "directional_slopes",
    "second_look",
]

TINY = 1e-30  # the complex step: its square is far below rounding, so that its size does not matter


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
        rounding = complex_rounding(check, check.direction(indices) / check.scale())
        norm = float(np.sqrt(np.sum(np.square(value[indices])) / indices.size))
        bound[indices] += rounding * np.sqrt(indices.size) + 8.0 * check.eps * norm
    bound[~np.isfinite(value)] = np.inf
    return Estimate(value, np.where(np.isfinite(bound), bound, np.inf))


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
        for i, s in enumerate(check.scale())
    ]
    estimate = Estimate(np.array([s.value for s in slopes]), np.array([s.bound for s in slopes]))
    # The tolerance needs the size of the whole gradient, hence the second round.
    for i in np.flatnonzero(estimate.bound > check.tolerance(estimate.value)):
        second_look(check, estimate, int(i))
    return estimate


def second_look(check: Check, estimate: Estimate, i: int) -> Slope:
    """Entry ``i`` again by differences with several steps; the estimate takes the result."""
    phi, scale = check.real.along_entry(i), float(check.scale()[i])
    floor = check.floor(estimate.value)
    slope = refined_slope(phi, check.value, scale, check.noise, floor, check.rtol)
    if slope.kind == "kink":
        estimate.kinks[i] = (slope.low, slope.high)
    if slope.kind == "jump":
        estimate.jumps.append(i)
    if slope.bound < estimate.bound[i] or slope.kind != "smooth":
        estimate.value[i], estimate.bound[i] = slope.value, slope.bound
    return slope


def directional_slopes(check: Check, directions: list[Vector], by_complex_step: bool) -> Estimate:
    """d/dt f(theta + t v) at t = 0 for each v: one complex evaluation or a few real ones."""
    if by_complex_step:
        theta = check.point.vector
        value = np.array([check.complex.complex_slope(v, theta, TINY) for v in directions])
        rounding = max(
            complex_rounding(check, v) for v in directions[: 2 if theta.size < 50_000 else 1]
        )
        bound = (
            rounding
            + 64.0 * check.eps * np.abs(value)
            + 8.0 * EPS * np.max(np.abs(value), initial=0.0)
        )
        return Estimate(value, np.where(np.isfinite(value), bound, np.inf))
    value, bound = np.empty(len(directions)), np.empty(len(directions))
    estimate = Estimate(value, bound)
    for k, v in enumerate(directions):
        size = float(np.sqrt(np.sum(v * v))) or 1.0
        slope = refined_slope(
            check.real.along(v / size), check.value, 1.0, check.noise, 0.0, 0.1 * check.rtol
        )
        value[k], bound[k] = slope.value * size, slope.bound * size
        if slope.kind == "kink":
            estimate.kinks[k] = (slope.low * size, slope.high * size)
        if slope.kind == "jump":
            estimate.jumps.append(k)
    return estimate
