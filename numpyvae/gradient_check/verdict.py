"""The last step of a check: warnings from the whole picture, the verdict, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .candidate import Candidate
from .comparison import CANNOT_TELL, FAIL, KINK, Check, Comparison, Estimate, worse
from .diagnosis import diagnose
from .points import describe_shape
from .report import GradientReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["conclude", "conclude_entries"]

NAMES = {"complex": "complex step", "central": "central differences with Richardson extrapolation"}


def conclude(check: Check, candidate: Candidate) -> GradientReport:
    """A report without numbers, or the frame of one: the verdict of failures and unknowns."""
    report = GradientReport()
    report.method = NAMES.get(check.method, check.method)
    report.method_reason = check.reason
    report.rtol, report.atol = check.rtol, check.atol
    report.evaluations = check.real.calls + check.complex.calls
    report.warnings = check.warnings
    report.reasons = list(
        dict.fromkeys(f"{t[0].upper()}{t[1:].rstrip('.')}." for t in candidate.problems.values())
    )
    bad = np.flatnonzero(~np.isfinite(candidate.vector))
    if bad.size and not candidate.problems and np.all(np.isfinite(check.point.vector)):
        report.reasons.append(
            f"{bad.size} of {check.point.size} entries of your gradient are not finite, the first "
            f"is {check.point.entry(int(bad[0]))}."
        )
    report.reasons += check.failures
    report.findings = list(check.findings)
    report.verdict = "fail" if report.reasons else "cannot tell" if check.unknown else "pass"
    report.reasons += check.unknown
    report.source = (check.f, check.point, candidate.vector)
    return report


def conclude_entries(
    check: Check, candidate: Candidate, estimate: Estimate, called: bool
) -> GradientReport:
    """The report of an entry-by-entry check."""
    if candidate.eps:
        estimate.bound = estimate.bound + 8.0 * candidate.eps * estimate.largest()
    comparison = Comparison(check, candidate.vector, estimate)
    _warn_of_silent_parameters(check, comparison)
    _warn_of_numerical(check, candidate, comparison)
    report = conclude(check, candidate)
    everything = np.arange(check.point.size)
    report.verdict = worse(report.verdict, comparison.verdict(everything))
    report.table = [
        comparison.row(b.name, describe_shape(b.shape), b.indices) for b in check.point.blocks
    ]
    worst = comparison.worst(everything)
    if worst is not None and (np.isfinite(candidate.vector[worst]) or not candidate.problems):
        report.worst = comparison.describe(worst, check.point.entry(worst))
    report.reasons += _reasons(check, candidate, comparison, estimate)
    report.kinks = [check.point.entry(int(i)) for i in np.flatnonzero(comparison.status == KINK)]
    _attach_arrays(check, report, comparison)
    report.findings += diagnose(check, candidate, comparison)
    if report.worst.entry and worst is not None and comparison.status[worst] == FAIL:
        report.reproduce = _one_line(check, worst, called)
    return report


def _attach_arrays(check: Check, report: GradientReport, comparison: Comparison) -> None:
    for name in ("errors", "error_bound", "yours", "numeric"):
        source = {"errors": "error", "error_bound": "bound"}.get(name, name)
        setattr(report, name, check.point.structure(getattr(comparison, source)))


def _reasons(
    check: Check, candidate: Candidate, comparison: Comparison, estimate: Estimate
) -> list[str]:
    """Why the verdict is not "pass", as far as the entries tell."""
    reasons, size = [], check.point.size
    finite = np.isfinite(comparison.yours)
    wrong = np.flatnonzero((comparison.status == FAIL) & finite)
    if wrong.size:
        reasons.append(
            f"{wrong.size} of {size} entries differ by more than tolerance and error bound."
        )
    for i in [int(i) for i in wrong if int(i) in estimate.kinks][:3]:
        low, high = estimate.kinks[i]
        reasons.append(
            f"f has a kink at {check.point.entry(i)}, and yours, {comparison.yours[i]:.6g}, does "
            f"not lie between its one-sided slopes {low:.6g} and {high:.6g}."
        )
    open_ = np.flatnonzero(comparison.status == CANNOT_TELL)
    if open_.size:
        i = int(open_[np.argmax(comparison.bound[open_] / comparison.enough[open_])])
        reasons.append(
            f"{open_.size} of {size} entries cannot be judged: at {check.point.entry(i)} the error "
            f"bound is {comparison.bound[i]:.1e}, and the tolerance {comparison.enough[i]:.1e}; "
            f"{_why_wide(check, candidate, i, estimate)}."
        )
    if size and np.all(comparison.status == KINK):
        reasons.append("f has a kink at every entry: there is no gradient at this point.")
    return reasons


def _why_wide(check: Check, candidate: Candidate, i: int, estimate: Estimate) -> str:
    if candidate.eps:
        return f"your gradient is good to {candidate.eps:.0e} relative only: pass it in float64"
    if check.eps > 1e-12:
        return f"f computes to {check.eps:.0e} relative only"
    if i in estimate.jumps:
        return "f jumps there"
    if check.real.raised:
        return f"f raised {check.real.raised} near theta"
    if not np.isfinite(estimate.bound[i]):
        return "f is not finite near theta"
    if check.method == "complex":
        return "the gradient is that sensitive to the rounding of theta, or zero but for rounding"
    if 3.0 * check.noise > 1e-5 * estimate.bound[i] * estimate.unit[i]:
        return f"f(theta) = {check.value:.3g} is so large that its rounding hides the slope"
    return "f bends too sharply for any step, or its values are too coarse"


def _warn_of_silent_parameters(check: Check, comparison: Comparison) -> None:
    numeric = np.abs(comparison.numeric)
    judged = comparison.status != KINK
    widest = float(np.max(comparison.bound[judged], initial=0.0))
    if not judged.any() and judged.size:
        return  # a kink at every entry is a reason of its own
    if np.isfinite(widest) and not np.any(numeric[judged] > comparison.bound[judged]):
        but = "" if judged.all() else ", but for the kinks"
        check.cannot_tell(
            f"f does not change with theta here (every slope is zero to rounding{but}): this point "
            "tells nothing. Choose a generic one, and see that f uses its argument and not a "
            "global copy."
        )
        return
    floor = comparison.tolerance - check.rtol * numeric + comparison.bound
    flat = judged & (numeric <= floor)
    silent = [b.name for b in check.point.blocks if b.indices.size and np.all(flat[b.indices])]
    if len(check.point.blocks) == 1 and flat.any():
        silent = [check.point.entry(int(i)) for i in np.flatnonzero(flat)]
    if silent:
        names = ", ".join(silent[:6]) + (f" and {len(silent) - 6} more" if silent[6:] else "")
        check.warn(
            f"f does not depend on {names} at this point (the slopes are below "
            f"{float(np.max(floor[flat])):.0e}): little was checked there."
        )


def _warn_of_numerical(check: Check, candidate: Candidate, comparison: Comparison) -> None:
    """Errors in nearly every entry, far above rounding and far below a bug."""
    if candidate.many_calls:
        check.warn(
            "Your gradient looks like a numerical one: f (or a part of it) ran "
            f"{candidate.many_calls} times while it was computed, for {check.point.size} "
            "parameters."
        )
        return
    size = np.abs(comparison.numeric) * comparison.unit
    live = (size > 1e-3 * np.max(size, initial=0.0)) & (comparison.status <= CANNOT_TELL)
    if check.method != "complex" or candidate.is_narrow:
        return
    blocks = [(b, b.indices[live[b.indices]]) for b in check.point.blocks]
    narrow = [b.name for b, where in blocks if _looks_float32(comparison, where)]
    if narrow:
        check.warn(
            f"Every entry of your gradient of {', '.join(narrow)} is exactly a float32 number: it "
            "went through a float32 buffer, and is good to 6e-08 only."
        )
        return
    relative = comparison.error[live] / np.abs(comparison.numeric[live])
    beyond = (comparison.error[live] > 30.0 * comparison.bound[live]) & (relative > 1e-12)
    if relative.size >= 2 and np.mean(beyond) >= 0.8:
        check.warn(
            f"Your gradient is off by {float(np.median(relative)):.0e} in nearly every entry, "
            "where rounding alone gives about 1e-15: it looks like a numerical derivative, or "
            "like float32 on the way."
        )


def _looks_float32(comparison: Comparison, live: NDArray[np.intp]) -> bool:
    yours, numeric = comparison.yours[live], comparison.numeric[live]
    return live.size >= 4 and bool(
        np.all(yours == yours.astype(np.float32))
        and np.mean(numeric == numeric.astype(np.float32)) < 0.5
    )


def _one_line(check: Check, i: int, called: bool) -> str:
    """Python that shows the worst entry's two values."""
    key, shape = "", check.point.shapes[0]
    if check.point.is_dict:
        ends = np.cumsum([int(np.prod(s)) for s in check.point.shapes])
        k = int(np.searchsorted(ends, i, side="right"))
        shape = check.point.shapes[k]
        i -= int(ends[k]) - int(np.prod(shape))
        key = f"[{check.point.keys[k]!r}]"
    index = key + (
        f"[{', '.join(str(int(n)) for n in np.unravel_index(i, shape))}]" if shape else ""
    )
    numeric = "complex_step" if check.method == "complex" else "central_difference"
    return f"print({'grad(theta)' if called else 'grad'}{index}, {numeric}(f, theta){index})"
