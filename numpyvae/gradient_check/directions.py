"""Checks whose cost does not grow with the number of parameters: directions, and Taylor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .candidate import Candidate
from .comparison import FAIL, KINK, Check, Comparison, Worst, row, worse
from .differences import TaylorTest, random_direction, taylor_test
from .estimates import directional_slopes
from .points import describe_shape
from .probes import look_at_f_again
from .report import GradientReport
from .verdict import conclude

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["by_directions", "by_taylor"]


def by_directions(check: Check, candidate: Candidate, k: int) -> GradientReport:
    """sum(g v) against d/dt f(theta + t v) for k random v.

    Each parameter's part of v is divided by the size of its gradient, so that a small error in a
    parameter with small slopes shows as well as in one with large slopes. An error in a single
    entry among many may still go unseen.
    """
    if not np.all(np.isfinite(candidate.vector)):
        return conclude(check, candidate)
    by_complex = check.method.endswith("complex")
    weights = _weights(check, candidate.vector)
    directions = [weights * check.signs(check.point.size) for _ in range(k)]
    estimate = directional_slopes(check, directions, by_complex)
    comparison = Comparison(check, np.array([v @ candidate.vector for v in directions]), estimate)
    look_at_f_again(check)
    if not np.any(np.abs(estimate.value) > estimate.bound):
        check.cannot_tell("f does not change with theta here: this point tells nothing.")
    report = _report(check, candidate, comparison, [f"direction {i + 1}" for i in range(k)])
    if report.verdict == "fail":
        _say_where(check, candidate, report, by_complex)
    return report


def _weights(check: Check, gradient: Vector) -> Vector:
    """A natural step in each entry over the size of its parameter's gradient, (P,)."""
    along = gradient * check.units
    norms = [float(np.linalg.norm(along[b.indices])) for b in check.point.blocks]
    largest = max(norms) or 1.0
    weights = np.empty(check.point.size)
    for block, norm in zip(check.point.blocks, norms, strict=True):
        weights[block.indices] = 1.0 / max(norm, 1e-3 * largest)
    return np.asarray(check.units * weights / np.linalg.norm(weights))


def _report(
    check: Check, candidate: Candidate, comparison: Comparison, labels: list[str]
) -> GradientReport:
    report = conclude(check, candidate)
    everything = np.arange(len(labels))
    report.verdict = worse(report.verdict, comparison.verdict(everything))
    worst = comparison.worst(everything)
    if worst is not None:
        report.worst = comparison.describe(worst, labels[worst])
    report.errors, report.error_bound = comparison.error, comparison.bound
    report.yours, report.numeric = comparison.yours, comparison.numeric
    report.kinks = [labels[int(i)] for i in np.flatnonzero(comparison.status == KINK)]
    report.table = [comparison.row(label, "", everything[[i]]) for i, label in enumerate(labels)]
    wrong = int(np.sum(comparison.status == FAIL))
    if wrong:
        report.reasons.append(
            f"{wrong} of {len(labels)} directional slopes differ by more than the tolerance."
        )
    elif report.verdict == "cannot tell":
        report.reasons.append(
            f"The numerical slopes are known to {float(np.max(comparison.bound)):.1e} only, which "
            "is more than the tolerance (kinks or noise along the directions)."
        )
    return report


def _say_where(
    check: Check, candidate: Candidate, report: GradientReport, by_complex: bool
) -> None:
    """After a failure: one slope for every parameter, and halving down to an entry of the worst."""
    blocks = [b for b in check.point.blocks if b.indices.size]
    directions = [check.direction(b.indices) for b in blocks]
    estimate = directional_slopes(check, directions, by_complex)
    slopes = np.array([v @ candidate.vector for v in directions])
    comparison = Comparison(check, slopes, estimate)
    for i, block in enumerate(blocks):  # one slope stands for all entries of the parameter
        shape = describe_shape(block.shape)
        report.table.append(comparison.row(block.name, shape, np.array([i])))
    wrong = np.flatnonzero(comparison.status == FAIL)
    if wrong.size:
        names = ", ".join(blocks[int(i)].name for i in wrong)
        report.reasons.append(f"Along each parameter alone, these are wrong: {names}.")
        worst = comparison.worst(wrong)
        entry = _halve(check, candidate.vector, blocks[int(worst or 0)].indices, by_complex)
        report.worst = _single(check, candidate.vector, entry, by_complex)
    report.evaluations = check.real.calls + check.complex.calls


def _halve(check: Check, gradient: Vector, indices: NDArray[np.intp], by_complex: bool) -> int:
    """An entry whose error is (nearly) the largest: keep the half with the larger disagreement."""
    while indices.size > 1:
        halves = np.array_split(indices, 2)
        directions = [check.direction(half) * np.sqrt(half.size) / check.units for half in halves]
        numeric = directional_slopes(check, directions, by_complex).value
        error = np.abs(numeric - np.array([v @ gradient for v in directions]))
        indices = halves[int(np.argmax(error))]
    return int(indices[0])


def _single(check: Check, gradient: Vector, entry: int, by_complex: bool) -> Worst:
    unit = np.zeros(check.point.size)
    unit[entry] = 1.0
    estimate = directional_slopes(check, [unit], by_complex)
    return Comparison(check, gradient[[entry]], estimate).describe(0, check.point.entry(entry))


def by_taylor(check: Check, candidate: Candidate, k: int) -> GradientReport:
    """The order of |f(theta + h v) - f(theta) - h g.v| along k random v: 2 is right, 1 wrong."""
    if not np.all(np.isfinite(candidate.vector)):
        return conclude(check, candidate)
    structure = check.point.structure
    theta, gradient = structure(check.point.vector.copy()), structure(candidate.vector)
    tests = []
    for _ in range(k):
        v = structure(random_direction(check.point.size, check.rng) * check.units)
        tests.append(taylor_test(check.f, theta, gradient, direction=v, noise=check.noise))
    look_at_f_again(check)
    resolution = max(t.resolution for t in tests)
    check.reason = f"it was asked for; a relative error below {resolution:.0e} would not show"
    report = conclude(check, candidate)
    report.table = [_taylor_row(f"direction {i + 1}", test) for i, test in enumerate(tests)]
    report.errors = np.array([t.resolution for t in tests])
    report.error_bound = np.full(k, np.nan)
    report.evaluations += k * (tests[0].steps.size + 1)
    report.verdict = worse(report.verdict, *(r["verdict"] for r in report.table))
    low = min(t.order for t in tests)
    if any(row["verdict"] != "pass" for row in report.table):
        text = f"falls with order {low:.2f}" if np.isfinite(low) else "is mostly below rounding"
        report.reasons.append(f"The Taylor remainder {text}: order 2 is right, 1 is wrong.")
    return report


def _taylor_row(label: str, test: TaylorTest) -> dict[str, Any]:
    if (
        np.isnan(test.order)
        or 1.3 < test.order < 1.7
        or (test.resolution > 0.01 and test.order > 1.3)
    ):
        verdict = "cannot tell"
    else:
        verdict = "pass" if test.order > 1.5 else "fail"
    return {**row(label, "", verdict, wrong=int(verdict == "fail")), "order": test.order}
