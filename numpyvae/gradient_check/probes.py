"""What can be wrong with ``f`` before any gradient is compared, each trap with its name."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .calling import count_calls
from .comparison import Check, Estimate
from .differences import TINY
from .estimates import Slope, record, refined_slope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["find_kinks", "look_at_f", "look_at_f_again", "why_not_complex"]

MANY = 50_000  # entries: with more, f is probed along random directions only


def look_at_f(check: Check) -> dict[Any, int]:
    """Call f twice at theta: is it finite, deterministic, and does it leave theta alone?

    Sets ``check.value``; returns how often each Python function ran in one call.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with np.errstate(all="warn"):
            start = time.perf_counter()
            value, counts = count_calls(check.real)
            check.seconds = time.perf_counter() - start
    for message in caught:
        if issubclass(message.category, RuntimeWarning):
            check.warn(f"f at theta gives a RuntimeWarning: {message.message}.")
    _object_to_writing(check)
    if isinstance(value, complex):
        raise TypeError("f returned a complex number for real theta: it must return a real one")
    check.value = float(value)
    if not np.isfinite(check.value):
        check.cannot_tell(
            f"f(theta) is {check.value}: there is no gradient to compare with at this point."
        )
        return counts
    if getattr(check.real.raw, "dtype", None) in (np.float32, np.float16):
        check.eps = float(np.finfo(check.real.raw.dtype).eps)
        check.warn(
            f"f computes in {check.real.raw.dtype} although theta is float64: its values are good "
            f"to {check.eps:.0e} only. Keep theta's dtype inside f."
        )
    _same_again(check, "f is not deterministic: two calls at the same theta gave")
    return counts


def look_at_f_again(check: Check) -> None:
    """At the end of a check: f(theta) must be what it was, and theta too."""
    _object_to_writing(check)
    if check.complex.changed():
        check.complex.reset()
        check.fail("changes theta", "f changes theta in place (when theta is complex).")
    if not check.unknown:
        _same_again(
            check, "f keeps a state: f(theta) at the start and at the end of the check gave"
        )


def _object_to_writing(check: Check) -> None:
    if check.real.changed():
        names = sorted({b.name for b in check.point.blocks if _differs(check, b.indices)})
        check.fail(
            "changes theta",
            f"f changes theta in place ({', '.join(names)}): it must work on a copy.",
        )
        check.real.reset()
        check.real.copies = check.complex.copies = True


def _differs(check: Check, indices: NDArray[np.intp]) -> bool:
    return not np.array_equal(
        check.real.vector[indices], check.point.vector[indices], equal_nan=True
    )


def _same_again(check: Check, text: str) -> None:
    start = time.perf_counter()
    again = float(check.real.neighbour())
    check.seconds = min(check.seconds, time.perf_counter() - start)
    if abs(again - check.value) > 64.0 * check.eps * abs(check.value) or np.isnan(again):
        raised = f" f raised {check.real.raised}." if np.isnan(again) and check.real.raised else ""
        check.cannot_tell(
            f"{text} {check.value!r} and {again!r}.{raised} If f draws new noise at each call: "
            "draw it once, and pass it in."
        )


def why_not_complex(check: Check) -> str:
    """Why the complex step cannot be used with this f; empty if it can.

    An f that drops the imaginary part somewhere raises nothing: it is found by comparing with
    differences along a random direction for every parameter.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check.complex.vector.imag[...] = TINY * check.direction()
        try:
            value = check.complex()
        except Exception as error:
            return f"f does not accept complex theta ({type(error).__name__}: {_first_line(error)})"
        finally:
            check.complex.reset()
    if any("omplex" in str(w.message) or "omplex" in w.category.__name__ for w in caught):
        return (
            "f discards the imaginary part (ComplexWarning): something on the way is real "
            "(float(...), astype, a real array)"
        )
    if not isinstance(value, complex):
        return "f returns a real number for complex theta (abs, .real, float, np.linalg.norm?)"
    if not np.isfinite(value):
        return f"f gives {value} for complex theta, although f(theta) is finite"
    if abs(value.real - check.value) > 1e4 * check.eps * abs(check.value) + 100.0 * check.noise:
        return f"f has another value for complex theta: {value.real:.17g} for {check.value:.17g}"
    return _differs_from_differences(check)


def _first_line(error: Exception) -> str:
    text = (str(error) or "no message").splitlines()[0]
    return text if len(text) <= 70 else text[:67] + "..."


def _differs_from_differences(check: Check) -> str:
    """Compare the complex step with differences, parameter by parameter."""
    everything = np.arange(check.point.size)
    groups = [everything, everything] if check.point.size > MANY else check.groups()
    unclear: list[str] = []
    for indices in groups:
        kind, text = _compare_along(check, indices)
        if kind == "broken":
            return text
        if kind == "near kink":
            check.warn(f"f has a kink close to theta, along {check.name_of(indices)}.")
        elif kind == "unclear":
            unclear.append(check.name_of(indices))
    if len(unclear) == len(groups):
        check.cannot_tell(
            "f is too rough around theta for any difference: its value jumps there, or is nearly "
            "singular, or noisy. The complex step cannot be compared with anything."
        )
    elif unclear:
        names = ", ".join(dict.fromkeys(unclear))
        check.warn(f"The complex step could not be compared with a difference along {names}.")
    return ""


def _compare_along(check: Check, indices: NDArray[np.intp]) -> tuple[str, str]:
    """What a random direction in some entries shows: a kind, and for "broken" a sentence.

    Two kinks may nearly cancel and look like a broken complex step: each half is looked at then.
    """
    v = check.uneven(indices)
    by_complex = check.complex.complex_slope(v, check.point.vector, TINY)
    slope = _slope_along(check, check.real.along(v))
    sharp = slope.bound <= 1e-3 * max(abs(slope.value), abs(by_complex)) + 1e-6 * check.slope
    # A broken complex step misses terms; one that is far too large shows a blind difference.
    sharp = sharp and abs(by_complex) <= 1e4 * abs(slope.value) + 1e-6 * check.slope
    if sharp and abs(by_complex - slope.value) > 2.0 * slope.bound + 1e-7 * abs(slope.value):
        if 1 < indices.size <= MANY:
            kinds = []
            for half in np.array_split(indices, 2):
                kind, text = _compare_along(check, half)
                if kind == "broken":
                    return kind, text
                kinds.append(kind)
            if "kink" in kinds:
                return "kink", ""
        return "broken", (
            f"the complex step disagrees with a difference along {check.name_of(indices)} "
            f"({by_complex:.8g} against {slope.value:.8g}): f breaks it silently (abs, .real, "
            "np.linalg.norm, a real array, ...)"
        )
    if slope.kind == "kink" and not any(indices is known for known in check.kinked):
        check.kinked.append(indices)
    if slope.kind in ("kink", "near kink") or sharp:
        return slope.kind, ""
    return "unclear", ""


def find_kinks(check: Check, estimate: Estimate) -> None:
    """The entries at which f has a kink at theta: by dividing what was found to have one.

    A complex step sees one branch of f only, so that its slope at a kink looks like any other.
    """
    for group in check.kinked:
        found, parts = False, [group]
        while parts:
            indices = parts.pop()
            if indices.size > 1:
                if _slope_along(check, check.real.along(check.uneven(indices))).kind == "kink":
                    parts += [part for part in np.array_split(indices, 4) if part.size]
                continue
            i = int(indices[0])
            slope = _slope_along(check, check.real.along_entry(i), float(check.units[i]))
            if slope.kind == "kink":
                record(estimate, i, slope)
                found = True
        if not found:
            check.warn(f"f has a kink at theta, along {check.name_of(group)}.")


def _slope_along(check: Check, phi: Callable[[float], float], scale: float = 1.0) -> Slope:
    """The slope along phi, precise enough to see a kink that matters."""
    return refined_slope(phi, check.value, scale, check.noise, 1e-9 * check.slope / scale, 1e-8)
