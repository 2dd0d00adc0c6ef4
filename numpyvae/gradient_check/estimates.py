"""The numerical gradient, entry by entry or along directions, and whether f has a complex step.

An f that drops the imaginary part somewhere raises nothing. It is found by comparing the complex
step with differences, first along a random direction for every parameter, and in the end at every
entry that disagrees with the gradient under test.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from .comparison import CANNOT_TELL, FAIL, Comparison, Settings
from .differences import EPS, TINY
from .points import Vector
from .sampling import Sample
from .slopes import STEP, Estimate, Notes, Phi, Slope, bounded_slope, refined_slope

MANY = 50_000  # entries: with more, f is probed along random directions only
PROBING = 15.0  # seconds that probing by complex step may take, parameter by parameter
Groups = list[NDArray[np.intp]]


def why_not_complex(sample: Sample, notes: Notes) -> tuple[str, Groups]:
    """Why the complex step cannot be used with this f, "" if it can; and where f has kinks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = sample.f.complex_value(sample.direction())
        except Exception as error:
            text = (str(error) or "no message").splitlines()[0]
            text = text if len(text) <= 70 else text[:67] + "..."
            return f"f does not accept complex theta ({type(error).__name__}: {text})", []
    near, text = 1e4 * sample.eps * abs(sample.value) + 100.0 * sample.noise, ""
    if any("omplex" in str(w.message) or "omplex" in w.category.__name__ for w in caught):
        text = "discards the imaginary part (ComplexWarning): something on the way is real "
        text += "(float(...), astype, a real array)"
    elif not isinstance(value, complex):
        text = "returns a real number for complex theta (abs, .real, float, np.linalg.norm?)"
    elif not np.isfinite(value):
        text = f"gives {value} for complex theta, although f(theta) is finite"
    elif abs(value.real - sample.value) > near:
        both = f"{value.real:.17g} for {sample.value:.17g}"
        text = f"has another value for complex theta: {both}"
    return (f"f {text}", []) if text else _differs_from_differences(sample, notes)


def _differs_from_differences(sample: Sample, notes: Notes) -> tuple[str, Groups]:
    """Compare the complex step with differences, parameter by parameter."""
    point, kinked, unclear = sample.f.point, Groups(), list[str]()
    groups = point.groups()
    if point.size > MANY or len(groups) * sample.f.seconds["c"] > PROBING:
        groups = [np.arange(point.size)] * 2
    for indices in groups:
        kind, text = _compare_along(sample, indices, kinked)
        if kind == "broken":
            return text, kinked
        if kind == "near kink":
            notes.warn(f"f has a kink close to theta, along {point.name_of(indices)}.")
        elif kind == "unclear":
            unclear.append(point.name_of(indices))
    if len(unclear) == len(groups):
        rough = "too rough around theta for any difference: its value jumps there, or is nearly "
        rough += "singular, or noisy. The complex step cannot be compared with anything."
        flat = "flat around theta: this point tells nothing. Choose a generic one."
        notes.cannot_tell(f"f is {rough if sample.slope else flat}")
    elif unclear:
        names = ", ".join(dict.fromkeys(unclear))
        notes.warn(f"The complex step could not be compared with a difference along {names}.")
    return "", kinked


def _compare_along(sample: Sample, indices: NDArray[np.intp], kinked: Groups) -> tuple[str, str]:
    """What a random direction in some entries shows: a kind, and for "broken" a sentence.

    Two kinks may nearly cancel and look like a broken complex step: each half is looked at then.
    """
    v = sample.uneven(indices)
    by_complex, slope = sample.f.complex_slope(v), _slope_along(sample, sample.f.along(v))
    small = 1e-6 * sample.slope
    sharp = slope.bound <= 1e-3 * max(abs(slope.value), abs(by_complex)) + small
    # A broken complex step misses terms; one that is far too large shows a blind difference.
    sharp = sharp and abs(by_complex) <= 1e4 * abs(slope.value) + small
    if sharp and abs(by_complex - slope.value) > 2.0 * slope.bound + 1e-7 * abs(slope.value):
        kinds = []
        for half in np.array_split(indices, 2) if 1 < indices.size <= MANY else []:
            kind, text = _compare_along(sample, half, kinked)
            if kind == "broken":
                return kind, text
            kinds.append(kind)
        where = f"along {sample.f.point.name_of(indices)}"
        text = f"the complex step {_disagrees(where, by_complex, slope)}"
        return ("kink", "") if "kink" in kinds else ("broken", text)
    if slope.kind == "kink" and not any(indices is known for known in kinked):
        kinked.append(indices)
    return slope.kind if slope.kind in ("kink", "near kink") or sharp else "unclear", ""


def _disagrees(where: str, by_complex: float, slope: Slope) -> str:
    why = "f breaks it silently (abs, .real, np.linalg.norm, a real array, ...)"
    if abs(slope.value) * TINY < np.finfo(np.float64).tiny / EPS:
        why = f"{TINY:g} times the slope is below the smallest number. Multiply f by a constant"
    numbers = f"({by_complex:.8g} against {slope.value:.8g})"
    return f"disagrees with a difference {where} {numbers}: {why}"


def _slope_along(sample: Sample, phi: Phi, scale: float = 1.0) -> Slope:
    """The slope along phi, precise enough to show a relevant kink."""
    target = 1e-9 * sample.slope / scale
    return refined_slope(phi, sample.value, scale, sample.noise, target, 1e-8)


def complex_entries(sample: Sample) -> Estimate:
    """Every Im f(theta + i h e_i) / h: P evaluations, no subtraction."""
    entries = with_progress(sample.f.point.size, "entries by complex step")
    value = np.array([sample.f.complex_slope(1.0, i) for i in entries])
    bound = 8.0 * sample.eps * np.abs(value)
    for indices in sample.f.point.groups():
        v, units = sample.direction(indices), sample.units[indices]
        rounding = _complex_rounding(sample, v) * np.sqrt(indices.size)
        norm = float(np.hypot.reduce(value[indices] * units)) / np.sqrt(indices.size)
        bound[indices] += (rounding + 8.0 * sample.eps * norm) / units
    bound[~np.isfinite(value + bound)] = np.inf
    return Estimate(value, bound, sample.units, by_complex=True)


def _complex_rounding(sample: Sample, direction: Vector) -> float:
    """How far a complex-step slope moves when theta moves by its own rounding.

    A complex step subtracts nothing: its error is the conditioning of the gradient itself.
    """
    base, theta = sample.f.complex_slope(direction), sample.f.point.vector
    moved = 0.0
    for _ in range(3):
        beside = theta * (1.0 + 4.0 * sample.eps * sample.signs(theta.size))
        moved = max(moved, abs(sample.f.complex_slope(direction, base=beside) - base))
    return 4.0 * moved if np.isfinite(moved) else float("inf")


def find_kinks(sample: Sample, kinked: Groups, estimate: Estimate, notes: Notes) -> None:
    """Record the entries at which f has a kink, by dividing the groups found to have one.

    A complex step sees only one branch of f, so its slope at a kink looks like any other.
    """
    for group in kinked:
        found, parts = False, [group]
        while parts:
            indices = parts.pop()
            if indices.size > 1:
                if _slope_along(sample, sample.f.along(sample.uneven(indices))).kind == "kink":
                    parts += [part for part in np.array_split(indices, 4) if part.size]
                continue
            i = int(indices[0])
            slope = _slope_along(sample, sample.f.along(1.0, i), float(sample.units[i]))
            if slope.kind == "kink":
                estimate.record(i, slope)
                found = True
        if not found:
            notes.warn(f"f has a kink at theta, along {sample.f.point.name_of(group)}.")


def broken_complex_step(
    sample: Sample, estimate: Estimate, yours: Vector, settings: Settings
) -> str:
    """Why the complex step is broken, "" if it is not: entries that disagree are looked at again.

    Sixty-four at a time, the worst first, going on while kinks of f turn up, which are recorded.
    """
    before = estimate.value.copy()
    comparison = Comparison(yours, estimate, settings)
    resolution, silent = estimate.limits(settings.atol)[1], np.isnan(before)
    order = np.argsort(-comparison.relative)
    suspects = order[(comparison.status[order] == FAIL) & ~silent[order]]
    suspects = np.concatenate([np.flatnonzero(silent), suspects])
    for start in range(0, suspects.size, 64):
        found = False
        for i in map(int, suspects[start : start + 64]):
            slope = _second_look(sample, estimate, i, settings)
            found = found or slope.kind != "smooth" or bool(silent[i])
            size = 1e-7 * abs(slope.value) + float(comparison.tolerance[i])
            margin = 2.0 * slope.bound + estimate.bound[i] + size
            sharp = slope.bound <= 1e-3 * abs(slope.value) + resolution[i]
            if slope.kind == "smooth" and sharp and abs(slope.value - before[i]) > margin:
                return f"it {_disagrees(f'at {sample.f.point.entry(i)}', before[i], slope)}"
        if not found:
            break
    return ""


def central_entries(sample: Sample, yours: Vector, settings: Settings) -> Estimate:
    """Central differences at h and h/2 with Richardson: 4 P evaluations, more where needed.

    An entry of yours that differs visibly, but not by more than the bound, is measured as well as
    can be.
    """
    value, bound = np.empty((2, sample.f.point.size))
    for i in with_progress(value.size, "entries by central differences"):
        phi, h = sample.f.along(1.0, i), STEP * float(sample.units[i])
        value[i], bound[i] = bounded_slope(phi, sample.value, h, sample.noise)[:2]
    estimate = Estimate(value, bound, sample.units)
    # The tolerance needs the size of the whole gradient, hence the second round.
    enough = settings.rtol * np.abs(value) + estimate.wanted(settings.atol)
    for k in np.flatnonzero(~(bound <= enough)):
        _second_look(sample, estimate, int(k), settings)
    comparison = Comparison(yours, estimate, settings)
    for k in np.flatnonzero(comparison.visible & (comparison.status <= CANNOT_TELL)):
        _second_look(sample, estimate, int(k), settings, target=0.0)
    return estimate


def _second_look(
    sample: Sample, estimate: Estimate, i: int, settings: Settings, target: float | None = None
) -> Slope:
    """Entry ``i`` again by differences with several steps; the estimate takes the result."""
    phi, scale = sample.f.along(1.0, i), float(sample.units[i])
    if target is None:
        target = float(estimate.wanted(settings.atol)[i])
    slope = refined_slope(phi, sample.value, scale, sample.noise, target, settings.rtol)
    if slope.bound < estimate.bound[i] or slope.kind != "smooth":
        estimate.record(i, slope)
    return slope


def directional_slopes(
    sample: Sample, directions: list[Vector], by_complex: bool, settings: Settings
) -> Estimate:
    """d/dt f(theta + t v) at t = 0 for each v: one complex evaluation or a few real ones."""
    n = len(directions)
    if by_complex:
        value = np.array([sample.f.complex_slope(v) for v in directions])
        rounding = max(_complex_rounding(sample, v) for v in directions[:2])
        relative = 64.0 * sample.eps * np.abs(value)
        bound = rounding + relative + 8.0 * EPS * np.max(np.abs(value), initial=0.0)
        return Estimate(value, np.where(np.isfinite(value), bound, np.inf))
    estimate = Estimate(np.empty(n), np.empty(n))
    for k, v in enumerate(directions):
        size = float(np.linalg.norm(v / sample.units)) or 1.0  # of v in natural steps
        phi = sample.f.along(v / size)
        slope = refined_slope(phi, sample.value, 1.0, sample.noise, 0.0, 0.1 * settings.rtol)
        estimate.record(k, slope, size)
    return estimate


def arguments_exchanged(sample: Sample, yours: Vector) -> bool:
    """Whether theta is the gradient of f at yours, and not at theta, along a random direction."""
    theta = sample.f.point.vector

    def is_gradient(at: Vector) -> bool:
        v = np.abs(at) * sample.rng.uniform(0.5, 1.0, at.size) * sample.signs(at.size)

        def phi(t: float) -> float:
            return sample.f.at(at + t * v)

        value, size = phi(0.0), float(np.abs(theta) @ np.abs(v))
        slope = bounded_slope(phi, value, STEP, sample.eps * abs(value))
        near = abs(slope.value - theta @ v) <= slope.bound + 1e-9 * size
        return bool(near and slope.bound <= 1e-6 * size and size > 0.0)

    found = is_gradient(yours) and not is_gradient(theta)
    sample.f.forget_raised()
    return found


def with_progress(n: int, what: str) -> Iterator[int]:
    """0, 1, ..., n - 1. On stderr it says how far it is, if that takes long.

    Once a second on a terminal, in one line; elsewhere every ten seconds.
    """
    out = None if sys.stderr is None or sys.stderr.closed else sys.stderr
    live = out is not None and out.isatty()
    start = said = time.monotonic()
    for i in range(n):
        yield i
        now = time.monotonic()
        if out is not None and now - said > (1.0 if live else 10.0):
            said, left = now, (now - start) / (i + 1) * (n - i - 1)
            text = f"gradient check: {i + 1:,} of {n:,} {what}, {left:.0f} s to go"
            with suppress(OSError, ValueError):  # nobody reads on
                out.write(f"\r{text:<78}" if live else f"{text}\n")
                out.flush()
    if out is not None and live and said > start:
        with suppress(OSError, ValueError):
            out.write("\r" + " " * 78 + "\r")
