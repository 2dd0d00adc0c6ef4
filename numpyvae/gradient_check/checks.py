"""check_grad and assert_grad_allclose: is this the gradient of that function?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .blas import one_blas_thread
from .comparison import (
    FAIL,
    KINK,
    ORDER,
    Comparison,
    Settings,
    Worst,
    reasons_of,
    row,
    warn_of_numerical,
    warn_of_silent_parameters,
)
from .diagnosis import diagnose, finding
from .differences import TaylorTest, random_direction, taylor_test
from .estimates import (
    Groups,
    broken_complex_step,
    central_entries,
    complex_entries,
    directional_slopes,
    find_kinks,
    why_not_complex,
)
from .points import Point, Vector, check_order
from .report import GradientReport
from .sampling import Candidate, Sample, collect, look_again, sample_f
from .slopes import Estimate, Evaluator, Notes

__all__ = ["assert_grad_allclose", "check_grad", "run"]

Fields = dict[str, Any]  # of a report: what the numbers say
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
                fields = _by_entries(sample, yours, estimate, settings, notes)
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
        fields = _by_taylor(sample, yours, settings)
    else:
        fields = _by_directions(sample, yours, plan.method.endswith("complex"), settings, notes)
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


def _by_entries(
    sample: Sample, yours: Candidate, estimate: Estimate, settings: Settings, notes: Notes
) -> Fields:
    """Every entry of your gradient against the numerical one."""
    point, everything = sample.f.point, np.arange(sample.f.point.size)
    comparison = Comparison(yours.vector, estimate, settings, yours.eps)
    warn_of_silent_parameters(sample, comparison, notes)
    if estimate.by_complex and not yours.is_narrow:
        warn_of_numerical(sample, comparison, notes)
    worst = comparison.worst(everything)
    if worst is not None and yours.problems and not np.isfinite(yours.vector[worst]):
        worst = None  # that it is missing has been said
    wrong = worst is not None and comparison.status[worst] == FAIL
    kinks = np.flatnonzero(comparison.status == KINK)
    return {
        "verdict": comparison.verdict(everything),
        "table": [comparison.row(b.name, b.shown_shape, b.indices) for b in point.blocks],
        "worst": Worst("nan") if worst is None else comparison.describe(worst, point.entry(worst)),
        "reproduce": point.code(int(worst or 0)) if wrong else "",
        "reasons": reasons_of(sample, yours, comparison, estimate),
        "kinks": [point.entry(int(i)) for i in kinks],
        "errors": point.structure(comparison.error),
        "error_bound": point.structure(comparison.bound),
        "yours": point.structure(comparison.yours),
        "numeric": point.structure(comparison.numeric),
        "findings": diagnose(point, comparison, yours.misfits, settings.sizes or {}),
    }


def _by_directions(
    sample: Sample, yours: Candidate, by_complex: bool, settings: Settings, notes: Notes
) -> Fields:
    """sum(g v) against d/dt f(theta + t v) for random v.

    Each parameter's part of v is divided by the size of its gradient, so that a small error in a
    parameter with small slopes shows as well as in one with large slopes. An error in a single
    entry among many may still go unseen.
    """
    n = settings.directions or 20
    weights = _weights(sample, yours.vector)
    directions = [weights * sample.signs(weights.size) for _ in range(n)]
    comparison = _along(sample, yours.vector, directions, by_complex, settings)
    if not np.any(np.abs(comparison.numeric) > comparison.bound):
        notes.cannot_tell("f does not change with theta here: this point tells nothing.")
    everything, labels = np.arange(n), [f"direction {i + 1}" for i in range(n)]
    worst, wrong = comparison.worst(everything), int(np.sum(comparison.status == FAIL))
    fields = {
        "verdict": comparison.verdict(everything),
        "table": [comparison.row(label, "", everything[[i]]) for i, label in enumerate(labels)],
        "worst": Worst("nan") if worst is None else comparison.describe(worst, labels[worst]),
        "kinks": [labels[int(i)] for i in np.flatnonzero(comparison.status == KINK)],
        "errors": comparison.error,
        "error_bound": comparison.bound,
        "yours": comparison.yours,
        "numeric": comparison.numeric,
    }
    if wrong:
        text = f"{wrong} of {n} directional slopes differ by more than the tolerance."
        place = _where(sample, yours.vector, by_complex, settings)
        place["table"] = fields["table"] + place["table"]
        return {**fields, **place, "reasons": [text, *place["reasons"]]}
    if fields["verdict"] == "cannot tell":
        fields["reasons"] = [
            f"The numerical slopes are known to {float(np.max(comparison.bound)):.1e} only, which "
            "is more than the tolerance (kinks or noise along the directions)."
        ]
    return fields


def _along(
    sample: Sample, gradient: Vector, directions: list[Vector], by_complex: bool, settings: Settings
) -> Comparison:
    """Both slopes along some directions."""
    estimate = directional_slopes(sample, directions, by_complex, settings)
    return Comparison(np.array([v @ gradient for v in directions]), estimate, settings)


def _weights(sample: Sample, gradient: Vector) -> Vector:
    """A natural step in each entry over the size of its parameter's gradient, (P,)."""
    along, blocks = gradient * sample.units, sample.f.point.blocks
    norms = [float(np.linalg.norm(along[b.indices])) for b in blocks]
    largest = max(norms) or 1.0
    weights = np.empty(sample.units.size)
    for block, norm in zip(blocks, norms, strict=True):
        weights[block.indices] = 1.0 / max(norm, 1e-3 * largest)
    return np.asarray(sample.units * weights / np.linalg.norm(weights))


def _where(sample: Sample, gradient: Vector, by_complex: bool, settings: Settings) -> Fields:
    """After a failure: one slope for every parameter, and halving down to an entry of the worst."""
    blocks = [b for b in sample.f.point.blocks if b.indices.size]
    directions = [sample.direction(b.indices) for b in blocks]
    comparison = _along(sample, gradient, directions, by_complex, settings)
    # One slope stands for all entries of the parameter.
    table = [comparison.row(b.name, b.shown_shape, np.array([i])) for i, b in enumerate(blocks)]
    wrong = np.flatnonzero(comparison.status == FAIL)
    if not wrong.size:
        return {"table": table, "reasons": []}
    names = ", ".join(blocks[int(i)].name for i in wrong)
    indices = blocks[int(comparison.worst(wrong) or 0)].indices
    while indices.size > 1:  # keep the half with the larger disagreement
        halves = np.array_split(indices, 2)
        vs = [sample.direction(half) * np.sqrt(half.size) / sample.units for half in halves]
        indices = halves[int(np.argmax(_along(sample, gradient, vs, by_complex, settings).error))]
    i = int(indices[0])
    unit = np.eye(1, sample.units.size, i)[0]
    single = _along(sample, gradient, [unit], by_complex, settings)
    worst = single.describe(0, sample.f.point.entry(i))
    reason = f"Along each parameter alone, these are wrong: {names}."
    return {"table": table, "reasons": [reason], "worst": worst}


def _by_taylor(sample: Sample, yours: Candidate, settings: Settings) -> Fields:
    """The order of |f(theta + h v) - f(theta) - h g.v| along random v: 2 is right, 1 wrong."""
    theta, n = sample.f.point.vector, settings.directions or 3
    tests = []
    for _ in range(n):
        v = random_direction(theta.size, sample.rng) * sample.units
        test = taylor_test(sample.f, theta, yours.vector, direction=v, noise=sample.noise)
        tests.append(test)
    resolution, low = max(t.resolution for t in tests), min(t.order for t in tests)
    table = [_taylor_row(f"direction {i + 1}", test) for i, test in enumerate(tests)]
    verdict = max((row["verdict"] for row in table), key=ORDER.index)
    text = f"falls with order {low:.2f}" if np.isfinite(low) else "is mostly below rounding"
    reason = f"The Taylor remainder {text}: order 2 is right, 1 is wrong."
    why = f"it was asked for; a relative error below {resolution:.0e} would not show"
    return {
        "verdict": verdict,
        "table": table,
        "method_reason": why,
        "reasons": [] if verdict == "pass" else [reason],
        "errors": np.array([t.resolution for t in tests]),
        "error_bound": np.full(n, np.nan),
    }


def _taylor_row(label: str, test: TaylorTest) -> dict[str, Any]:
    order = test.order
    unclear = np.isnan(order) or 1.3 < order < 1.7 or (test.resolution > 0.01 and order > 1.3)
    verdict = "cannot tell" if unclear else "pass" if order > 1.5 else "fail"
    return {**row(label, "", verdict, wrong=int(verdict == "fail")), "order": order}
