"""What f's own numbers are: the natural unit of every entry of theta, and the noise of f.

No verdict may depend on the units in which f and theta are measured. Steps, bounds and tolerances
are therefore multiples of these, and never of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .comparison import Check
from .differences import EPS
from .estimates import STEP, bounded_slope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["measure"]

ZERO = 1e-20  # a parameter this close to zero says nothing of its unit
# Where to look for a parameter's unit: small weights may need larger steps, zeros tell nothing.
LARGER = (1.0, 2.0**8, 2.0**16)
ANY = (1.0, *(2.0 ** (sign * k) for k in (8, 16, 24, 32, 40, 48) for sign in (-1, 1)))


def measure(check: Check) -> None:
    """Set ``check.units``, ``check.noise``, ``check.eps`` and ``check.slope``."""
    check.noise = check.eps * abs(check.value)
    typical = _typical_sizes(check)
    check.units = typical
    _measure_noise(check)
    check.units = np.where(typical > 0.0, typical, 1.0)
    if check.unknown:
        return
    for block in check.point.blocks:
        check.units[block.indices] *= _factor(check, block.indices)
    check.real.raised = ""  # far from theta f may raise
    if not np.any(typical):
        _measure_noise(check)  # now that a step is known


def _typical_sizes(check: Check) -> Vector:
    """|theta|, but at least the median of its parameter's entries that are not zero, (P,)."""
    size = np.abs(check.point.vector)
    size[size <= ZERO] = 0.0
    for block in check.point.blocks:
        here = size[block.indices]
        if here.any():
            size[block.indices] = np.maximum(here, np.median(here[here > 0.0]))
    return size


def _factor(check: Check, indices: NDArray[np.intp]) -> float:
    """By how much the steps of some entries are better larger or smaller than they are.

    Small parameters do not say what a small step is, but f does: over too large a step the slope
    changes by more than 3 %, with too small a one more than 1e-7 of it is rounding. 1 where no
    step does better.
    """
    at_zero = not np.any(np.abs(check.point.vector[indices]) > ZERO)
    factors, enough = (ANY, 0.01) if at_zero else (LARGER, 1.0)
    phi = check.real.along(check.uneven(indices))
    badness: list[float] = []
    for factor in factors:
        slope = bounded_slope(phi, check.value, factor * STEP, check.noise)
        changes, rounding = max(abs(slope.gap), slope.bound), 3.0 * check.noise / slope.h
        bad = max(changes / 0.03, rounding / 1e-7) / (abs(slope.value) or np.nan)
        badness.append(bad if bad <= 1.0 else np.inf)
        if bad <= enough:
            break
    return factors[int(np.argmin(badness))]


def _measure_noise(check: Check) -> None:
    """The error of one value of f, its relative precision, and its slope along random directions.

    Noise has two parts: what f's own rounding leaves, measured beside theta, and what the rounding
    of theta does to f, which is much where f is nearly singular.
    """
    error, check.slope = _from_differences(check)
    natural = max(abs(check.value), check.slope)
    if natural > 0.0 and error > 1e4 * EPS * natural and check.eps == EPS:
        check.eps = error / natural
        in_single = " It seems to compute in float32 somewhere." if 1e-9 < check.eps < 1e-5 else ""
        check.warn(
            f"f is noisy: its values carry an error of about {error:.0e}, {check.eps:.0e} relative."
            f"{in_single}"
        )
    check.noise = max(3.0 * error, check.eps * abs(check.value))
    check.noise = max(check.noise, _from_rounding(check))


def _from_differences(check: Check) -> tuple[float, float]:
    """The noise from a table of differences (More & Wild 2011), and the size of f's slope.

    Differences of high order wipe out whatever is smooth, over seven points 1e-6 apart; what they
    leave is the noise, with k-th differences of independent errors s having the mean square s^2
    (2k)! / (k!)^2. The points lie beside theta, where f may well have a kink.
    """
    smallest, slope = np.inf, 0.0
    phi = check.real.along(check.direction())
    for side in (2.0**-9, -(2.0**-10)):
        table = np.array([phi(side + j * 2.0**-20) for j in range(7)])
        slope = np.fmax(slope, abs(table[6] - table[0]) / (6.0 * 2.0**-20))
        fourth, fifth, sixth = (np.diff(table, k) for k in (4, 5, 6))
        squares = [np.mean(fourth**2) / 70.0, np.mean(fifth**2) / 252.0, np.mean(sixth**2) / 924.0]
        smallest = np.fmin(smallest, np.sqrt(max(squares)))
    return float(smallest) if np.isfinite(smallest) else 0.0, float(slope)


def _from_rounding(check: Check) -> float:
    """How far f moves when theta moves by its own rounding.

    That is about eps times the slope. Where it is far more, f jumps at theta, or is singular closer
    to theta than any step of a difference: no difference can be trusted there.
    """
    largest = 0.0
    for _ in range(2):
        v = check.point.vector * check.signs(check.point.size)
        phi = check.real.along(v)
        moved = abs(phi(2.0 * EPS) - check.value)
        slopes = [abs(phi(h) - phi(-h)) / (2.0 * h) for h in (STEP, 2.0**-12 * STEP)]
        if moved > 100.0 * (check.noise + 4.0 * EPS * max(slopes)):
            check.cannot_tell(
                f"Rounding theta alone changes f by {moved:.0e}: f jumps at theta, or is nearly "
                "singular there, and no difference can be trusted."
            )
        largest = max(largest, moved) if np.isfinite(moved) else largest
    return float(largest)
