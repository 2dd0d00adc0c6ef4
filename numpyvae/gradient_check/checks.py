"""check_grad and assert_grad_allclose: is this the gradient of that function?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .blas import one_blas_thread
from .calling import Evaluator, Notes
from .candidate import Candidate, collect
from .diagnosis import finding
from .estimates import (
    Groups,
    broken_complex_step,
    central_entries,
    complex_entries,
    find_kinks,
    why_not_complex,
)
from .points import Point, check_order
from .report import GradientReport
from .sampling import Sample, look_again, sample_f
from .slopes import ORDER, Estimate, Settings
from .verdict import Fields, by_directions, by_entries, by_taylor

__all__ = ["assert_grad_allclose", "check_grad", "run"]

BUDGET = 60.0  # seconds: where every entry would take longer, "auto" takes random directions
NAMES = {"complex": "complex step", "central": "central differences with Richardson extrapolation"}


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
                the remainder), or "auto": the most accurate one that f supports and that takes no
                more than about a minute; the report says which and why
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

    A long check says on stderr how far it is. Raises TypeError or ValueError where the call makes
    no sense; whatever f or grad raise at theta passes through.
    """
    check_order("check_grad(f, theta, grad)", f, theta)
    settings = Settings(method, rtol, atol, directions, sizes)
    point = Point(theta, names)
    with np.errstate(all="ignore"):
        return run(f, point, grad, settings, Notes(point.notes), np.random.default_rng(rng))


def assert_grad_allclose(f: Callable[[Any], Any], theta: Any, grad: Any, **options: Any) -> None:
    """Raise AssertionError, with the report, unless ``grad`` is the gradient of ``f`` at ``theta``.

    In the style of ``numpy.testing``; options as in :func:`check_grad`. "cannot tell" raises too.
    """
    check_order("assert_grad_allclose(f, theta, grad)", f, theta)
    report = check_grad(f, theta, grad, **options)
    if report.verdict != "pass":
        raise AssertionError(f"\n{report}")


class Plan(NamedTuple):
    """The method that is used, why, and groups of entries among which f has a kink."""

    method: str = ""
    reason: str = ""
    kinked: Groups = []  # noqa: RUF012, nobody writes to it


def run(
    f: Callable[[Any], Any],
    point: Point,
    grad: Any,
    settings: Settings,
    notes: Notes,
    rng: np.random.Generator,
    reproduce: str = "",
) -> GradientReport:
    """All of a check: point -> sample of f -> your gradient -> method -> numbers -> report."""
    sample = sample_f(Evaluator(f, point), rng, notes)
    yours = collect(sample, grad, notes)
    plan = Plan() if notes.unknown else _choose(sample, settings, notes)
    fields: Fields = {}
    if not notes.unknown and yours.has_numbers:
        if plan.method in NAMES:
            plan, estimate = _estimate(sample, yours, plan, settings, notes)
            if not notes.unknown:
                look_again(sample, notes)
                fields = by_entries(sample, yours, estimate, settings, notes)
        elif np.all(np.isfinite(yours.vector)):
            fields = _along_directions(sample, yours, plan, settings, notes)
    if fields.get("reproduce") and not reproduce:
        tool = "complex_step" if plan.method == "complex" else "central_difference"
        index, mine = fields["reproduce"], "grad(theta)" if callable(grad) else "grad"
        fields["reproduce"] = f"print({mine}{index}, {tool}(f, theta){index})"
    return _report(sample, yours, plan, settings, notes, fields, reproduce)


def _choose(sample: Sample, settings: Settings, notes: Notes) -> Plan:
    """The method that will be used. A complex call is timed before anything relies on it."""
    method = settings.method
    if method == "taylor":
        return Plan("taylor")
    why_not, kinked = "", Groups()
    if method != "central":
        why_not, kinked = why_not_complex(sample, notes)
    if why_not and method == "complex":
        notes.cannot_tell(f"The complex step cannot be used: {why_not}. Try method='central'.")
        return Plan("complex")
    kind = "central" if why_not or method == "central" else "complex"
    reason = f"the complex step cannot be used: {why_not}" if why_not else ""
    if method == "auto" and kind == "complex":
        reason = "f supports it, as a comparison with differences shows: it is the most accurate"
    if settings.directions is not None or method == "directional":
        return Plan(f"directional, {kind}", reason, kinked)
    calls = sample.f.seconds["c"] if kind == "complex" else 4.0 * sample.f.seconds["f"]
    seconds = sample.units.size * calls
    if method == "auto" and seconds > BUDGET:
        reason = (
            f"entry by entry would take about {seconds:.0f} s (method={kind!r} does it all the "
            f"same); {reason}"
        )
        return Plan(f"directional, {kind}", reason, kinked)
    return Plan(kind, reason, kinked)


def _estimate(
    sample: Sample, yours: Candidate, plan: Plan, settings: Settings, notes: Notes
) -> tuple[Plan, Estimate]:
    """The numerical gradient, entry by entry, and the method that it took in the end."""
    if plan.method == "central":
        return plan, central_entries(sample, settings)
    estimate = complex_entries(sample)
    find_kinks(sample, plan.kinked, estimate, notes)
    broken = broken_complex_step(sample, estimate, yours.vector, settings)
    reason = f"the complex step cannot be used: {broken}"
    if broken and settings.method == "auto":
        return Plan("central", reason), central_entries(sample, settings)
    if broken:
        notes.cannot_tell(f"{reason[0].upper()}{reason[1:]}.")
    return plan, estimate


def _along_directions(
    sample: Sample, yours: Candidate, plan: Plan, settings: Settings, notes: Notes
) -> Fields:
    """By random directions or by Taylor remainders along some."""
    for indices in plan.kinked:
        notes.warn(f"f has a kink at theta, along {sample.f.point.name_of(indices)}.")
    if plan.method == "taylor":
        fields = by_taylor(sample, yours, settings)
    else:
        fields = by_directions(sample, yours, plan.method.endswith("complex"), settings, notes)
    look_again(sample, notes)
    return fields


def _report(
    sample: Sample,
    yours: Candidate,
    plan: Plan,
    settings: Settings,
    notes: Notes,
    fields: Fields,
    reproduce: str,
) -> GradientReport:
    """The report: what the form, the notes and the numbers say, in this order."""
    point, problems = sample.f.point, dict.fromkeys(yours.problems.values())
    form = [f"{text[0].upper()}{text[1:].rstrip('.')}." for text in problems]
    bad = np.flatnonzero(~np.isfinite(yours.vector))
    if bad.size and not form and np.all(np.isfinite(point.vector)):
        form.append(
            f"{bad.size} of {point.size} entries of your gradient are not finite, the first "
            f"is {point.entry(int(bad[0]))}."
        )
    known = "cannot tell" if notes.unknown else "pass"
    known = "fail" if form or notes.failures else known
    verdict = max(known, fields.pop("verdict", "pass"), key=ORDER.index)
    reasons = [*form, *notes.failures, *notes.unknown, *fields.pop("reasons", [])]
    told = [finding(pattern, [], text) for text, pattern in notes.failures.items()]
    plain: Fields = {
        "method": NAMES.get(plan.method, plan.method),
        "method_reason": plan.reason,
        "rtol": float(settings.rtol),
        "atol": float(settings.atol),
        "evaluations": sample.f.calls,
        "source": (sample.f.f, point, yours.vector),
    }
    fields["findings"] = told + fields.get("findings", [])
    if reproduce:
        fields["reproduce"] = reproduce if verdict == "fail" else ""
    plain |= {"verdict": verdict, "reasons": reasons, "warnings": notes.warnings}
    return GradientReport(**plain | fields)
