"""check_grad and assert_grad_allclose: is this the gradient of that function?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .gradients import Yours, collect
from .judge import FAIL, Comparison
from .large import by_directions, by_taylor
from .methods import central_entries, complex_entries, second_look
from .noise import measure_noise
from .points import Point
from .report import GradientReport
from .state import Check, Estimate
from .traps import look_at_f, look_at_f_again, why_not_complex
from .verdict import conclude, conclude_entries

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["assert_grad_allclose", "check_grad"]

METHODS = ("auto", "complex", "central", "directional", "taylor")
BUDGET = 60.0  # seconds: where every entry would take longer, "auto" takes random directions


def check_grad(
    f: Callable[[Any], Any],
    theta: Any,
    grad: Any,
    *,
    method: str = "auto",
    rtol: float = 1e-6,
    atol: float = 1e-9,
    directions: int | None = None,
    names: Any = None,
    rng: Any = 0,
    sizes: Mapping[str, int] | None = None,
) -> GradientReport:
    """Compare ``grad`` with the numerical gradient of ``f`` at ``theta``.

    f           f(theta) -> one number. theta is never changed, also when f raises.
    theta       an array of any shape, or a dict of named arrays
    grad        an array, a dict, or a function of theta that returns one (or ``(value, gradient)``)
    method      "complex" (exact to rounding, f must be analytic as written), "central" (h and h/2
                with Richardson), "directional" (a few random directions), "taylor" (the order of
                the remainder), or "auto": the most accurate one that f supports; the report says
                which and why
    rtol, atol  an entry fails if |yours - numeric| > rtol |numeric| + floor + bound, with bound the
                error of the numerical slope and floor = atol min(1, m) + 2e-13 m, m the largest
                entry of the gradient
    directions  check this many random directions instead of every entry: cost O(directions),
                whatever P is
    names       for a flat theta: a layout with ``views(theta) -> {name: view}``, or a dict name ->
                shape
    rng         seed or Generator for directions and probes
    sizes       e.g. ``{"N": 5}``: sizes that are no parameter's shape, so that a factor of 1/5 can
                be called 1/N

    Raises TypeError or ValueError where the call makes no sense; whatever f or grad raise at theta
    passes through.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if directions is not None and directions < 1:
        raise ValueError(f"directions must be at least 1, not {directions}")
    check = Check(f, Point(theta, names), rtol, atol, rng, sizes)
    with np.errstate(all="ignore"):
        return _run(check, grad, method, directions)


def assert_grad_allclose(f: Callable[[Any], Any], grad: Any, theta: Any, **options: Any) -> None:
    """Raise AssertionError, with the report, unless ``grad`` is the gradient of ``f`` at ``theta``.

    In the style of ``numpy.testing``; options as in :func:`check_grad`. "cannot tell" raises too.
    """
    report = check_grad(f, theta, grad, **options)
    if report.verdict != "pass":
        raise AssertionError(f"\n{report}")


def _run(check: Check, grad: Any, method: str, directions: int | None) -> GradientReport:
    counts = look_at_f(check)
    _look_at_theta(check)
    yours = collect(check, grad, counts)
    if not check.unknown:
        measure_noise(check)
    if not check.unknown:
        check.method = _choose(check, method, directions)
    if check.unknown or not (np.any(np.isfinite(yours.vector)) or yours.misfits):
        return conclude(check, yours)
    if check.method.startswith("directional"):
        return by_directions(check, yours, directions or 20)
    if check.method == "taylor":
        return by_taylor(check, yours, directions or 3)
    estimate = _entry_by_entry(check, yours, method)
    look_at_f_again(check)
    return conclude_entries(check, yours, estimate, callable(grad))


def _look_at_theta(check: Check) -> None:
    if not check.point.size:
        check.cannot_tell("theta has no entries: there is nothing to check.")
    elif not np.all(np.isfinite(check.point.vector)):
        bad = int(np.flatnonzero(~np.isfinite(check.point.vector))[0])
        check.cannot_tell(
            f"theta is not finite: {check.point.entry(bad)} is {check.point.vector[bad]}."
        )


def _choose(check: Check, method: str, directions: int | None) -> str:
    """The method that will be used; sets ``check.reason``."""
    if method == "taylor":
        return "taylor"
    why_not = "" if method == "central" else why_not_complex(check)
    if why_not and method == "complex":
        check.cannot_tell(f"The complex step cannot be used: {why_not}. Try method='central'.")
        return "complex"
    kind = "central" if why_not or method == "central" else "complex"
    check.reason = f"the complex step cannot be used: {why_not}" if why_not else ""
    if method == "auto" and kind == "complex":
        check.reason = (
            "f supports it, as a comparison with differences shows: it is the most accurate"
        )
    if directions is not None or method == "directional":
        return f"directional, {kind}"
    seconds = check.point.size * check.seconds * (1.0 if kind == "complex" else 4.0)
    if method == "auto" and seconds > BUDGET:
        check.reason = (
            f"entry by entry would take about {seconds:.0f} s (method={kind!r} does it all the "
            f"same); {check.reason}"
        )
        return f"directional, {kind}"
    return kind


def _entry_by_entry(check: Check, yours: Yours, method: str) -> Estimate:
    if check.method == "central":
        return central_entries(check)
    estimate = complex_entries(check)
    broken = _second_looks(check, yours, estimate)
    if not broken:
        return estimate
    if method == "auto":
        check.method, check.reason = "central", f"the complex step cannot be used: {broken}"
        return central_entries(check)
    check.cannot_tell(f"The complex step cannot be used: {broken}.")
    return estimate


def _second_looks(check: Check, yours: Yours, estimate: Estimate) -> str:
    """Look at entries that disagree by differences: a kink of f, or a broken complex step?

    Sixty-four at a time, the worst first, going on while kinks turn up. Returns why the complex
    step is broken.
    """
    before = estimate.value.copy()
    comparison = Comparison(check, yours.vector, estimate)
    order = np.argsort(-comparison.relative)
    suspects: NDArray[np.intp] = order[comparison.status[order] == FAIL]
    suspects = np.concatenate(
        [np.flatnonzero(np.isnan(before)), suspects[~np.isnan(before[suspects])]]
    )
    found = 1
    for start in range(0, suspects.size, 64):
        if not found:
            break
        found = 0
        for i in suspects[start : start + 64]:
            slope = second_look(check, estimate, int(i))
            found += slope.kind != "smooth" or bool(np.isnan(before[i]))
            margin = (
                2.0 * slope.bound
                + estimate.bound[i]
                + 1e-7 * abs(slope.value)
                + comparison.tolerance[i]
            )
            sharp = slope.kind == "smooth" and slope.bound <= 1e-3 * abs(slope.value) + 1e-9
            if sharp and abs(slope.value - before[i]) > margin:
                return (
                    f"it disagrees with a difference at {check.point.entry(int(i))} "
                    f"({before[i]:.8g} against {slope.value:.8g}): f breaks it silently there "
                    "(abs, .real, np.linalg.norm, a real array, ...)"
                )
    return ""
