"""How exact one value of f is: the noise that every difference divides by its step."""

from __future__ import annotations

import numpy as np

from .slopes import STEP
from .state import EPS, Check

__all__ = ["measure_noise"]


def measure_noise(check: Check) -> None:
    """Set ``check.noise``, the error of one value of f, and ``check.eps``, its relative precision.

    Noise has two parts: what f's own rounding leaves, measured beside theta, and what the rounding
    of theta does to f, which is much where f is nearly singular.
    """
    error, slope = _from_differences(check)
    natural = max(abs(check.value), slope)
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
    for side in (2.0**-9, -(2.0**-10)) if check.point.size < 50_000 else (2.0**-10,):
        phi = check.real.along(check.direction())
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
    for _ in range(2 if check.point.size < 50_000 else 1):
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
