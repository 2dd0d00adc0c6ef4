"""From numbers to a verdict with its reasons: entry by entry, along directions, by Taylor.

Each function gives what the numbers say as fields of a report.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calling import Notes
from .candidate import Candidate
from .diagnosis import diagnose
from .differences import TaylorTest, random_direction, taylor_test
from .estimates import directional_slopes
from .points import Vector
from .sampling import Sample
from .slopes import CANNOT_TELL, FAIL, KINK, ORDER, Comparison, Estimate, Settings, Worst, row

__all__ = ["by_directions", "by_entries", "by_taylor"]

Fields = dict[str, Any]


def by_entries(
    sample: Sample, yours: Candidate, estimate: Estimate, settings: Settings, notes: Notes
) -> Fields:
    """Every entry of your gradient against the numerical one."""
    point, everything = sample.f.point, np.arange(sample.f.point.size)
    comparison = Comparison(yours.vector, estimate, settings, yours.eps)
    _warn_of_silent_parameters(sample, comparison, notes)
    if estimate.by_complex and not yours.is_narrow:
        _warn_of_numerical(sample, comparison, notes)
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
        "reasons": _reasons(sample, yours, comparison, estimate),
        "kinks": [point.entry(int(i)) for i in kinks],
        "errors": point.structure(comparison.error),
        "error_bound": point.structure(comparison.bound),
        "yours": point.structure(comparison.yours),
        "numeric": point.structure(comparison.numeric),
        "findings": diagnose(point, comparison, yours.misfits, settings.sizes or {}),
    }


def _reasons(
    sample: Sample, yours: Candidate, comparison: Comparison, estimate: Estimate
) -> list[str]:
    """Why the verdict is not "pass", as far as the entries tell."""
    reasons, point, status = [], sample.f.point, comparison.status
    wrong = np.flatnonzero((status == FAIL) & np.isfinite(comparison.yours))
    if wrong.size:
        reasons.append(
            f"{wrong.size} of {point.size} entries differ by more than tolerance and error bound."
        )
    for i in [int(i) for i in wrong if int(i) in estimate.kinks][:3]:
        low, high = estimate.kinks[i]
        reasons.append(
            f"f has a kink at {point.entry(i)}, and yours, {comparison.yours[i]:.6g}, does "
            f"not lie between its one-sided slopes {low:.6g} and {high:.6g}."
        )
    unclear = np.flatnonzero(status == CANNOT_TELL)
    if unclear.size:
        i = int(unclear[np.argmax(comparison.bound[unclear] / comparison.enough[unclear])])
        reasons.append(
            f"{unclear.size} of {point.size} entries cannot be judged: at {point.entry(i)} the "
            f"error bound is {comparison.bound[i]:.1e}, and the tolerance "
            f"{comparison.enough[i]:.1e}; {_why_wide(sample, yours, i, estimate)}."
        )
    if point.size and np.all(status == KINK):
        reasons.append("f has a kink at every entry: there is no gradient at this point.")
    return reasons


def _why_wide(sample: Sample, yours: Candidate, i: int, estimate: Estimate) -> str:
    if yours.eps:
        return f"your gradient is good to {yours.eps:.0e} relative only: pass it in float64"
    if sample.eps > 1e-12:
        return f"f computes to {sample.eps:.0e} relative only"
    if i in estimate.jumps:
        return "f jumps there"
    if sample.f.raised:
        return f"f raised {sample.f.raised} near theta"
    if not np.isfinite(estimate.bound[i]):
        return "f is not finite near theta"
    if estimate.by_complex:
        return "the gradient is that sensitive to the rounding of theta, or zero but for rounding"
    if 3.0 * sample.noise > 1e-5 * estimate.bound[i] * estimate.unit[i]:
        return f"f(theta) = {sample.value:.3g} is so large that its rounding hides the slope"
    return "f bends too sharply for any step, or its values are too coarse"


def _warn_of_silent_parameters(sample: Sample, comparison: Comparison, notes: Notes) -> None:
    numeric, blocks = np.abs(comparison.numeric), sample.f.point.blocks
    judged = comparison.status != KINK
    if not judged.any():
        return  # a kink at every entry is a reason of its own
    widest = float(np.max(comparison.bound[judged]))
    if np.isfinite(widest) and not np.any(numeric[judged] > comparison.bound[judged]):
        but = "" if judged.all() else ", but for the kinks"
        notes.cannot_tell(
            f"f does not change with theta here (every slope is zero to rounding{but}): this point "
            "tells nothing. Choose a generic one, and see that f uses its argument and not a "
            "global copy."
        )
        return
    limit = comparison.floor + comparison.bound
    flat = judged & (numeric <= limit)
    silent = [b.name for b in blocks if b.indices.size and np.all(flat[b.indices])]
    if len(blocks) == 1:
        silent = [sample.f.point.entry(int(i)) for i in np.flatnonzero(flat)]
    if silent:
        names = ", ".join(silent[:6]) + (f" and {len(silent) - 6} more" if silent[6:] else "")
        notes.warn(
            f"f does not depend on {names} at this point (the slopes are below "
            f"{float(np.max(limit[flat])):.0e}): little was checked there."
        )


def _warn_of_numerical(sample: Sample, comparison: Comparison, notes: Notes) -> None:
    """Errors in nearly every entry, far above rounding and far below a bug."""
    size = np.abs(comparison.numeric) * comparison.unit
    live = (size > 1e-3 * np.max(size, initial=0.0)) & (comparison.status <= CANNOT_TELL)
    blocks = [(b.name, b.indices[live[b.indices]]) for b in sample.f.point.blocks]
    narrow = [name for name, where in blocks if _looks_float32(comparison, where)]
    if narrow:
        notes.warn(
            f"Every entry of your gradient of {', '.join(narrow)} is exactly a float32 number: it "
            "went through a float32 buffer, and is good to 6e-08 only."
        )
        return
    relative = comparison.error[live] / np.abs(comparison.numeric[live])
    beyond = (comparison.error[live] > 30.0 * comparison.bound[live]) & (relative > 1e-12)
    if relative.size >= 2 and np.mean(beyond) >= 0.8:
        notes.warn(
            "Your gradient looks like a numerical one. It is off by "
            f"{float(np.median(relative)):.0e} in nearly every entry, where rounding alone gives "
            "about 1e-15: that looks like a numerical derivative, or like float32 on the way."
        )


def _looks_float32(comparison: Comparison, live: NDArray[np.intp]) -> bool:
    yours, numeric = comparison.yours[live], comparison.numeric[live]
    narrow = np.mean(numeric == numeric.astype(np.float32)) if live.size else 1.0
    return live.size >= 4 and bool(np.all(yours == yours.astype(np.float32)) and narrow < 0.5)


def by_directions(
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


def by_taylor(sample: Sample, yours: Candidate, settings: Settings) -> Fields:
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
