"""check_grad and assert_grad_allclose: is this the gradient of that function?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .blas import one_blas_thread
from .candidate import Candidate, collect
from .comparison import FAIL, Check, Comparison, Estimate
from .directions import by_directions, by_taylor
from .estimates import central_entries, complex_entries, second_look
from .points import Point
from .probes import find_kinks, look_at_f, look_at_f_again, why_not_complex
from .report import GradientReport
from .scales import measure
from .verdict import conclude, conclude_entries

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["assert_grad_allclose", "check_grad", "check_options", "run"]

METHODS = ("auto", "complex", "central", "directional", "taylor")
BUDGET = 60.0  # seconds: where every entry would take longer, "auto" takes random directions


@one_blas_thread
def check_grad(
    f: Callable[[Any], Any],
    theta: Any,
    grad: Any,
    *,
    method: str = "auto",
    rtol: float = 1e-6,
    atol: float = 0.0,
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
                error of the numerical slope and floor = 2e-13 m + atol min(1, m). m is the steepest
                slope, taken along a natural step and in the entry's own units: no verdict depends
                on the units of f, or of any parameter
    directions  check this many random directions instead of every entry: cost O(directions),
                whatever P is
    names       for a flat theta: a layout with ``views(theta) -> {name: view}``, or a dict name ->
                shape
    rng         seed or Generator for directions and probes
    sizes       e.g. ``{"N": 5}``: sizes that are no parameter's shape, so that a factor of 1/5 can
                be called 1/N

    The first call of f and that of grad run under a ``sys.setprofile`` hook that counts calls of
    Python functions, by which a numerical gradient is recognised. It is removed at once, also when
    they raise. Where a profiler has its own hook, that one stays, and nothing is counted.

    Raises TypeError or ValueError where the call makes no sense; whatever f or grad raise at theta
    passes through.
    """
    check_options(method, rtol, atol, directions)
    check = Check(f, Point(theta, names), rtol, atol, rng, sizes)
    with np.errstate(all="ignore"):
        return run(check, grad, method, directions)


def assert_grad_allclose(f: Callable[[Any], Any], grad: Any, theta: Any, **options: Any) -> None:
    """Raise AssertionError, with the report, unless ``grad`` is the gradient of ``f`` at ``theta``.

    In the style of ``numpy.testing``; options as in :func:`check_grad`. "cannot tell" raises too.
    """
    report = check_grad(f, theta, grad, **options)
    if report.verdict != "pass":
        raise AssertionError(f"\n{report}")


def check_options(method: str, rtol: Any, atol: Any, directions: Any) -> None:
    """Raise ValueError for options with which no verdict could be trusted."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        number = isinstance(value, (int, float, np.integer, np.floating))
        if not (number and 0.0 <= value < np.inf):
            raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
    whole = isinstance(directions, (int, np.integer)) and not isinstance(directions, bool)
    if directions is not None and not (whole and directions >= 1):
        raise ValueError(f"directions must be at least 1, and an integer, not {directions!r}")


def run(check: Check, grad: Any, method: str, directions: int | None) -> GradientReport:
    """All of a check: from f, theta and grad to the report."""
    counts = look_at_f(check)
    _look_at_theta(check)
    if not check.unknown:
        measure(check)
    candidate = collect(check, grad, counts)
    if not check.unknown:
        check.method = _choose(check, method, directions)
    if check.unknown or not (np.any(np.isfinite(candidate.vector)) or candidate.misfits):
        return conclude(check, candidate)
    if check.method.startswith("directional"):
        for indices in check.kinked:
            check.warn(f"f has a kink at theta, along {check.name_of(indices)}.")
        return by_directions(check, candidate, directions or 20)
    if check.method == "taylor":
        return by_taylor(check, candidate, directions or 3)
    estimate = _entry_by_entry(check, candidate, method)
    if check.unknown:
        return conclude(check, candidate)
    look_at_f_again(check)
    return conclude_entries(check, candidate, estimate, callable(grad))


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


def _entry_by_entry(check: Check, candidate: Candidate, method: str) -> Estimate:
    if check.method == "central":
        return central_entries(check)
    estimate = complex_entries(check)
    find_kinks(check, estimate)
    broken = _second_looks(check, candidate, estimate)
    if not broken:
        return estimate
    if method == "auto":
        check.method, check.reason = "central", f"the complex step cannot be used: {broken}"
        return central_entries(check)
    check.cannot_tell(f"The complex step cannot be used: {broken}.")
    return estimate


def _second_looks(check: Check, candidate: Candidate, estimate: Estimate) -> str:
    """Look at entries that disagree by differences: a kink of f, or a broken complex step?

    Sixty-four at a time, the worst first, going on while kinks turn up. Returns why the complex
    step is broken.
    """
    before = estimate.value.copy()
    comparison = Comparison(check, candidate.vector, estimate)
    resolution = check.resolution(estimate)
    order = np.argsort(-comparison.relative)
    suspects: NDArray[np.intp] = order[comparison.status[order] == FAIL]
    silent = np.isnan(before)
    suspects = np.concatenate([np.flatnonzero(silent), suspects[~silent[suspects]]])
    for start in range(0, suspects.size, 64):
        found = False
        for i in map(int, suspects[start : start + 64]):
            slope = second_look(check, estimate, i)
            found = found or slope.kind != "smooth" or bool(silent[i])
            size = 1e-7 * abs(slope.value) + float(comparison.tolerance[i])
            margin = 2.0 * slope.bound + estimate.bound[i] + size
            sharp = slope.bound <= 1e-3 * abs(slope.value) + resolution[i]
            if slope.kind == "smooth" and sharp and abs(slope.value - before[i]) > margin:
                return (
                    f"it disagrees with a difference at {check.point.entry(i)} "
                    f"({before[i]:.8g} against {slope.value:.8g}): f breaks it silently there "
                    "(abs, .real, np.linalg.norm, a real array, ...)"
                )
        if not found:
            break
    return ""
