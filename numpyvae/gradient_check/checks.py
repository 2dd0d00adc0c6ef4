"""check_grad and assert_grad_allclose: is this the gradient of that function?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from . import estimates
from .blas import one_blas_thread
from .comparison import FAIL, ORDER, Comparison, Settings, explain, row
from .diagnosis import diagnose, finding, shapes_exchanged
from .differences import TaylorTest, random_direction, taylor_test
from .points import Point, Vector, check_order
from .report import GradientReport
from .sampling import Candidate, Sample, collect, look_again, sample_f
from .slopes import Estimate, Evaluator, Notes

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

    A long check shows its progress on stderr. Raises TypeError or ValueError if the call makes no
    sense; exceptions of f or grad at theta pass through.
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
    kinked: estimates.Groups = []  # noqa: RUF012, nobody writes to it


def run(
    f: Callable[[Any], Any],
    point: Point,
    grad: Any,
    settings: Settings,
    notes: Notes,
    rng: np.random.Generator,
    reproduce: str = "",
    name: str = "grad",
) -> GradientReport:
    """All of a check: point -> sample of f -> your gradient -> method -> numbers -> report."""
    sample = sample_f(Evaluator(f, point), rng, notes)
    yours = collect(sample, grad, notes, name)
    plan, fields = Plan(), Fields()
    if not notes.unknown:
        plan = _choose(sample, settings, notes)
    if not notes.unknown and (yours.misfits or np.any(np.isfinite(yours.vector))):
        if plan.method in NAMES:
            plan, estimate = _estimate(sample, yours, plan, settings, notes)
            if not notes.unknown:
                fields = _by_entries(sample, yours, estimate, settings, notes)
        elif np.all(np.isfinite(yours.vector)):
            if plan.method == "taylor":
                fields = _by_taylor(sample, yours, settings)
            else:
                fields = _by_directions(sample, yours, plan, settings, notes)
        given = not (callable(grad) or reproduce or yours.problems)
        if (
            given
            and fields.get("verdict") == "fail"
            and estimates.arguments_exchanged(sample, yours.vector)
        ):
            text = "theta comes second and grad third: they seem to be exchanged."
            fields["reasons"] = [text, *fields["reasons"]]
        look_again(sample, notes)
    if reproduce:
        fields["reproduce"] = reproduce
    return _report(sample, yours, plan, settings, notes, fields)


def _choose(sample: Sample, settings: Settings, notes: Notes) -> Plan:
    """The method that will be used. A complex call is timed before anything relies on it."""
    method, why_not, reason, kinked = settings.method, "", "", estimates.Groups()
    if method == "taylor":
        return Plan("taylor")
    if method != "central":
        why_not, kinked = estimates.why_not_complex(sample, notes)
    if why_not and method == "complex":
        notes.cannot_tell(f"The complex step cannot be used: {why_not}. Try method='central'.")
        return Plan("complex")
    kind = "central" if why_not or method == "central" else "complex"
    if why_not:
        reason = f"the complex step cannot be used: {why_not}"
    elif method == "auto":
        reason = "f supports it, as a comparison with differences shows: it is the most accurate"
    directional = settings.directions is not None or method == "directional"
    calls = sample.f.seconds["c"] if kind == "complex" else 4.0 * sample.f.seconds["f"]
    seconds = sample.units.size * calls
    if method == "auto" and not directional and seconds > BUDGET:
        directional = True
        reason = (
            f"entry by entry would take about {seconds:.0f} s (method={kind!r} does it all the "
            f"same); {reason}"
        )
    return Plan(f"directional, {kind}" if directional else kind, reason, kinked)


def _estimate(
    sample: Sample, yours: Candidate, plan: Plan, settings: Settings, notes: Notes
) -> tuple[Plan, Estimate]:
    """The numerical gradient, entry by entry, and the method that it took in the end."""
    if plan.method == "central":
        return plan, estimates.central_entries(sample, yours.vector, settings)
    estimate = estimates.complex_entries(sample)
    estimates.find_kinks(sample, plan.kinked, estimate, notes)
    broken = estimates.broken_complex_step(sample, estimate, yours.vector, settings)
    if broken and settings.method == "auto":
        reason = f"the complex step cannot be used: {broken}"
        return Plan("central", reason), estimates.central_entries(sample, yours.vector, settings)
    if broken:
        notes.cannot_tell(f"The complex step cannot be used: {broken}.")
    return plan, estimate


def _report(
    sample: Sample, yours: Candidate, plan: Plan, settings: Settings, notes: Notes, fields: Fields
) -> GradientReport:
    """The report: what the form, the notes and the numbers say, in this order."""
    point, problems = sample.f.point, dict.fromkeys(yours.problems.values())
    form = [f"{text[0].upper()}{text[1:].rstrip('.')}." for text in problems]
    if names := shapes_exchanged(point, yours.misfits):
        form.append(
            f"{' and '.join(names)}: the shapes fit when exchanged: returned in the wrong order?"
        )
    bad = np.flatnonzero(~np.isfinite(yours.vector))
    if bad.size and not form and np.all(np.isfinite(point.vector)):
        form.append(
            f"{bad.size} of {point.size} entries of your gradient are not finite, the first "
            f"is {point.entry(int(bad[0]))}."
        )
    known = "fail" if form or notes.failures else "cannot tell" if notes.unknown else "pass"
    verdict = max(known, fields.get("verdict", "pass"), key=ORDER.index)
    failures = [finding(pattern, [], text) for text, pattern in notes.failures.items()]
    told: Fields = {
        "method": NAMES.get(plan.method, plan.method),
        "method_reason": plan.reason,
        "rtol": float(settings.rtol),
        "atol": float(settings.atol),
        "evaluations": sample.f.calls,
        "source": (sample.f.f, point, yours.vector),
        "warnings": notes.warnings,
        **fields,
        "verdict": verdict,
        "reasons": [*form, *notes.failures, *notes.unknown, *fields.get("reasons", [])],
        "findings": failures + fields.get("findings", []),
        "reproduce": fields.get("reproduce", "") if verdict == "fail" else "",
    }
    return GradientReport(**told)


def _by_entries(
    sample: Sample, yours: Candidate, estimate: Estimate, settings: Settings, notes: Notes
) -> Fields:
    """Every entry of your gradient against the numerical one."""
    point = sample.f.point
    comparison = Comparison(yours.vector, estimate, settings, yours.eps)
    rows = [(b.name, b.shown_shape, b.indices) for b in point.blocks]
    fields = comparison.fields(rows, point.entry, point.structure)
    worst = comparison.worst(np.arange(point.size))
    if worst is not None and comparison.status[worst] == FAIL:
        if yours.problems and not np.isfinite(yours.vector[worst]):
            del fields["worst"]  # that it is missing has been said
        else:
            tool = "complex_step" if estimate.by_complex else "central_difference"
            index = point.code(worst)
            fields["reproduce"] = f"print({yours.call}{index}, {tool}(f, theta){index})"
    fields["reasons"] = explain(sample, yours, comparison, notes)
    fields["findings"] = diagnose(point, comparison, yours.misfits, settings.sizes or {})
    return fields


def _by_directions(
    sample: Sample, yours: Candidate, plan: Plan, settings: Settings, notes: Notes
) -> Fields:
    """sum(g v) against d/dt f(theta + t v) for random v.

    Each parameter's part of v is divided by the size of its gradient, so that a small error in a
    parameter with small slopes shows as well as in one with large slopes. An error in a single
    entry among many may still go unseen.
    """
    for indices in plan.kinked:
        notes.warn(f"f has a kink at theta, along {sample.f.point.name_of(indices)}.")

    def along(directions: list[Vector]) -> Comparison:
        by_complex = plan.method.endswith("complex")
        estimate = estimates.directional_slopes(sample, directions, by_complex, settings)
        return Comparison(np.array([v @ yours.vector for v in directions]), estimate, settings)

    n, weights = settings.directions or 20, _weights(sample, yours.vector)
    comparison = along([weights * sample.signs(weights.size) for _ in range(n)])
    if not np.any(np.abs(comparison.numeric) > comparison.bound):
        notes.cannot_tell("f does not change with theta here: this point tells nothing.")
    rows = [(f"direction {i + 1}", "", np.array([i])) for i in range(n)]
    fields = comparison.fields(rows, lambda i: rows[i][0])
    wrong = int(np.sum(comparison.status == FAIL))
    if wrong:
        text = f"{wrong} of {n} directional slopes differ by more than the tolerance."
        table, reasons, worst = _where(sample, along)
        return fields | worst | {"table": fields["table"] + table, "reasons": [text, *reasons]}
    if fields["verdict"] == "cannot tell":
        fields["reasons"] = [
            f"The numerical slopes are known to {float(np.max(comparison.bound)):.1e} only, which "
            "is more than the tolerance (kinks or noise along the directions)."
        ]
    return fields


def _weights(sample: Sample, gradient: Vector) -> Vector:
    """A natural step in each entry over the size of its parameter's gradient, (P,)."""
    along, blocks = gradient * sample.units, sample.f.point.blocks
    along = along / (np.max(np.abs(along), initial=0.0) or 1.0)  # no square overflows
    norms = [float(np.linalg.norm(along[b.indices])) for b in blocks]
    largest = max(norms) or 1.0
    weights = np.empty(sample.units.size)
    for block, norm in zip(blocks, norms, strict=True):
        weights[block.indices] = 1.0 / max(norm, 1e-3 * largest)
    return np.asarray(sample.units * weights / np.linalg.norm(weights))


def _where(
    sample: Sample, along: Callable[[list[Vector]], Comparison]
) -> tuple[list[Fields], list[str], Fields]:
    """After a failure: one slope for every parameter, and halving down to an entry of the worst."""
    blocks = [b for b in sample.f.point.blocks if b.indices.size]
    comparison = along([sample.direction(b.indices) for b in blocks])
    # One slope stands for all entries of the parameter.
    table = [comparison.row(b.name, b.shown_shape, np.array([i])) for i, b in enumerate(blocks)]
    wrong = np.flatnonzero(comparison.status == FAIL)
    if not wrong.size:
        return table, [], {}
    names = ", ".join(blocks[int(i)].name for i in wrong)
    indices = blocks[int(comparison.worst(wrong) or 0)].indices
    while indices.size > 1:  # keep the half with the larger disagreement
        halves = np.array_split(indices, 2)
        vs = [sample.direction(half) * np.sqrt(half.size) / sample.units for half in halves]
        indices = halves[int(np.argmax(along(vs).error))]
    i = int(indices[0])
    worst = along([np.eye(1, sample.units.size, i)[0]]).describe(0, sample.f.point.entry(i))
    reason = f"Along each parameter alone, these are wrong: {names}."
    return table, [reason], {"worst": worst}


def _by_taylor(sample: Sample, yours: Candidate, settings: Settings) -> Fields:
    """The order of |f(theta + h v) - f(theta) - h g.v| along random v: 2 is right, 1 wrong."""
    theta, n = sample.f.point.vector, settings.directions or 3
    vs = [random_direction(theta.size, sample.rng) * sample.units for _ in range(n)]
    f, g, noise = sample.f, yours.vector, sample.noise
    tests = [taylor_test(f, theta, g, direction=v, noise=noise) for v in vs]
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
