"""What can be wrong with ``f`` before any gradient is compared, each trap with its name."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .calls import count_calls
from .methods import TINY
from .slopes import refined_slope
from .state import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["look_at_f", "look_at_f_again", "why_not_complex"]


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
        return "f discards the imaginary part (ComplexWarning): it writes into a real array"
    if not isinstance(value, complex):
        return "f returns a real number for complex theta (abs, .real, float, np.linalg.norm?)"
    if not np.isfinite(value):
        return f"f gives {value} for complex theta, although f(theta) is finite"
    if abs(value.real - check.value) > 1e4 * check.eps * abs(check.value) + 100.0 * check.noise:
        return f"f has another value for complex theta: {value.real:.17g} for {check.value:.17g}"
    return _broken_complex_step(check)


def _first_line(error: Exception) -> str:
    text = (str(error) or "no message").splitlines()[0]
    return text if len(text) <= 70 else text[:67] + "..."


def _broken_complex_step(check: Check) -> str:
    groups = [None, None] if check.point.size > 50_000 else check.groups()
    unclear: list[str] = []
    for indices in groups:
        v = check.direction(indices)
        by_complex = check.complex.complex_slope(v, check.point.vector, TINY)
        slope = refined_slope(check.real.along(v), check.value, 1.0, check.noise, 1e-9, 1e-8)
        name = "a random direction" if indices is None else _name_of(check, indices)
        sharp = slope.bound <= 1e-3 * max(abs(slope.value), abs(by_complex)) + 1e-6
        # A broken complex step misses terms; one that is far too large shows a blind difference.
        sharp = sharp and abs(by_complex) <= 1e4 * abs(slope.value) + 1e-6
        if sharp and abs(by_complex - slope.value) > 2.0 * slope.bound + 1e-7 * abs(slope.value):
            return (
                f"the complex step disagrees with a difference along {name} ({by_complex:.8g} "
                f"against {slope.value:.8g}): f breaks it silently (abs, .real, np.linalg.norm, a "
                "real array, ...)"
            )
        if slope.kind == "kink":
            check.warn(f"f has a kink at theta, along {name}.")
        elif not sharp:
            unclear.append(name)
    if len(unclear) == len(groups):
        check.cannot_tell(
            "f is too rough around theta for any difference: its value jumps there, or is nearly "
            "singular, or noisy. The complex step cannot be compared with anything."
        )
    elif unclear:
        names = ", ".join(dict.fromkeys(unclear))
        check.warn(f"The complex step could not be compared with a difference along {names}.")
    return ""


def _name_of(check: Check, indices: NDArray[np.intp]) -> str:
    for block in check.point.blocks:
        if np.isin(indices[0], block.indices):
            part = "" if indices.size == block.indices.size else "part of "
            return f"{part}{block.name}"
    return "theta"
