"""Two gradients compared: a status for every entry, a verdict, and the reasons for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .points import Vector
from .sampling import Candidate, Sample
from .slopes import RESOLUTION, Estimate, Notes

METHODS = ("auto", "complex", "central", "directional", "taylor")
PASS, CANNOT_TELL, FAIL, KINK = 0, 1, 2, 3
ORDER = ("pass", "cannot tell", "fail")  # the words for the first three


@dataclass(frozen=True)
class Settings:
    """The options of a check. ValueError for those with which no verdict could be trusted."""

    method: str = "auto"
    rtol: float = 1e-6
    atol: float = 0.0
    directions: int | None = None
    sizes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        for name, value in (("rtol", self.rtol), ("atol", self.atol)):
            number = isinstance(value, (int, float, np.integer, np.floating))
            if not (number and 0.0 <= value < np.inf):
                raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
        n = self.directions
        whole = isinstance(n, (int, np.integer)) and not isinstance(n, bool)
        if n is not None and not (whole and n >= 1):
            raise ValueError(f"directions must be at least 1, and an integer, not {n!r}")


class LargestError(float):
    """The largest relative error, which also knows its entry, both values and the bound."""

    entry = ""
    yours = numeric = error = bound = tolerance = float("nan")
    numbers = ("yours", "numeric", "error", "bound", "tolerance")

    def to_dict(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in self.numbers}
        return {"relative_error": float(self), "entry": self.entry, **numbers}


def row(name: str, shape: str, verdict: str, **more: Any) -> dict[str, Any]:
    """One row of a report's table: entries, wrong, kinks, worst_relative_error may be given."""
    counts = {"entries": 1, "wrong": 0, "kinks": 0, "worst_relative_error": float("nan")}
    return {"parameter": name, "shape": shape, **counts, "verdict": verdict, **more}


class Comparison:
    """Your slopes beside the numerical ones, all (M,).

    status per entry:
        FAIL          |yours - numeric| > tolerance + bound, or yours is not finite, with tolerance
                      = rtol |numeric| + floor
        CANNOT_TELL   otherwise, where bound > rtol |numeric| + resolution: agreement would say too
                      little. So it is where the two differ visibly, and would pass all the same:
                      if the numeric one is not zero to its bound, by more than rtol |numeric| +
                      bound + 4 roundings of the steepest slope; if it is, and yours is more than
                      the floor, by more than the tolerance
        KINK          the one-sided slopes of f stay apart, and yours lies between them: left out
        PASS          all else

    ``eps`` is the precision of your numbers, where that is less than float64's.
    """

    def __init__(
        self, yours: Vector, estimate: Estimate, settings: Settings, eps: float = 0.0
    ) -> None:
        rtol, atol = float(settings.rtol), float(settings.atol)
        self.yours, self.numeric, self.estimate = yours, estimate.value, estimate
        self.bound = estimate.bound + 8.0 * eps * estimate.largest()
        share = rtol * np.where(np.isfinite(self.numeric), np.abs(self.numeric), 0.0)
        self.floor, resolution = estimate.limits(atol)
        self.tolerance, self.enough = share + self.floor, share + resolution
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error = np.abs(yours - self.numeric)
            wrong = (self.error > self.tolerance + self.bound) | ~np.isfinite(yours)
            # Relative to the larger of the two; to floor / rtol near zero, where that is rounding.
            unit = self.tolerance / rtol if rtol > 0 else np.abs(self.numeric)
            relative = self.error / np.fmax(unit, np.abs(yours))
        relative = np.where(self.error == 0.0, 0.0, relative)
        self.relative = np.where(np.isfinite(yours) & ~np.isnan(relative), relative, np.inf)
        self.seen = estimate.allowed(atol, 4.0)
        self.known = np.abs(self.numeric) > self.bound
        self.visible = (self.error > self.tolerance) & (np.abs(yours) > self.floor)
        by_floor = self.error > share + self.seen + self.bound
        unclear = np.where(self.known, by_floor, self.visible) | (self.bound > self.enough)
        self.status = np.where(wrong, FAIL, np.where(unclear, CANNOT_TELL, PASS))
        differs = self.error > share + self.seen  # by more than can be overlooked
        self.unsure = (self.status == CANNOT_TELL) | (differs & (self.status == PASS))
        for i, (low, high) in estimate.kinks.items():
            slack = 0.01 * (high - low) + self.tolerance[i]
            self.status[i] = KINK if low - slack <= yours[i] <= high + slack else FAIL

    def worst(self, entries: NDArray[np.intp]) -> int | None:
        """The entry of the worst status with the largest relative error; kinks left out."""
        entries = entries[self.status[entries] != KINK]
        if not entries.size:
            return None
        worst = entries[self.status[entries] == self.status[entries].max()]
        finite = worst[np.isfinite(self.yours[worst])]
        worst = finite if finite.size else worst
        return int(worst[np.argmax(self.relative[worst])])

    def verdict(self, entries: NDArray[np.intp]) -> str:
        """One word for some entries together."""
        judged = self.status[entries][self.status[entries] != KINK]
        return ORDER[int(judged.max())] if judged.size else "cannot tell"

    def row(self, name: str, shape: str, entries: NDArray[np.intp]) -> dict[str, Any]:
        """What the table says of some entries together."""
        status, worst = self.status[entries], self.worst(entries)
        return row(
            name,
            shape,
            self.verdict(entries) if entries.size else "pass",
            entries=int(entries.size),
            wrong=int(np.sum(status == FAIL)),
            kinks=int(np.sum(status == KINK)),
            worst_relative_error=float("nan") if worst is None else float(self.relative[worst]),
        )

    def describe(self, i: int, name: str) -> LargestError:
        """Entry ``i`` as a number that knows the rest."""
        worst = LargestError(self.relative[i])
        worst.entry = name
        for number in worst.numbers:
            setattr(worst, number, float(getattr(self, number)[i]))
        return worst

    def fields(
        self, rows: list[Any], name_of: Callable[[int], str], form: Callable[..., Any] = np.asarray
    ) -> dict[str, Any]:
        """What a report says of all entries, with rows (name, shape, entries), arrays in a form."""
        everything = np.arange(self.status.size)
        worst = self.worst(everything)
        return {
            "verdict": self.verdict(everything),
            "table": [self.row(*one) for one in rows],
            "worst": LargestError("nan") if worst is None else self.describe(worst, name_of(worst)),
            "kinks": [name_of(int(i)) for i in np.flatnonzero(self.status == KINK)],
            "errors": form(self.error),
            "error_bound": form(self.bound),
            "yours": form(self.yours),
            "numeric": form(self.numeric),
        }


def explain(sample: Sample, yours: Candidate, comparison: Comparison, notes: Notes) -> list[str]:
    """Why the verdict is not "pass", as far as the entries tell; the notes get the warnings."""
    _warn_of_silent_parameters(sample, comparison, notes)
    if comparison.estimate.by_complex and not yours.is_narrow:
        _warn_of_numerical(sample, comparison, notes)
    reasons, point, status = list[str](), sample.f.point, comparison.status
    wrong = np.flatnonzero((status == FAIL) & np.isfinite(comparison.yours))
    if wrong.size:
        reasons.append(
            f"{wrong.size} of {point.size} entries differ by more than tolerance and error bound."
        )
    kinks = comparison.estimate.kinks
    for i in [int(i) for i in wrong if int(i) in kinks][:3]:
        low, high = kinks[i]
        reasons.append(
            f"f has a kink at {point.entry(i)}, and yours, {comparison.yours[i]:.6g}, does "
            f"not lie between its one-sided slopes {low:.6g} and {high:.6g}."
        )
    unclear = np.flatnonzero(status == CANNOT_TELL)
    if unclear.size:
        i = int(unclear[np.argmax(comparison.bound[unclear] / comparison.enough[unclear])])
        reasons.append(
            f"{unclear.size} of {point.size} entries cannot be judged: at {point.entry(i)} "
            f"{_why_unclear(sample, yours, i, comparison)}."
        )
    if point.size and np.all(status == KINK):
        reasons.append("f has a kink at every entry: there is no gradient at this point.")
    return reasons


def _why_unclear(sample: Sample, yours: Candidate, i: int, comparison: Comparison) -> str:
    bound, why = comparison.bound[i], _why_wide(sample, yours, i, comparison.estimate)
    if bound > comparison.enough[i]:
        return (
            f"the error bound is {bound:.1e}, and a verdict needs {comparison.enough[i]:.1e} (rtol "
            f"times the slope, and {RESOLUTION:.0e} of the steepest); {why}"
        )
    both = f"yours is {comparison.yours[i]:.6g} and numeric {comparison.numeric[i]:.6g}"
    if comparison.known[i]:
        return f"{both}, which may be a mistake, or rounding beside the steepest slope"
    return f"{both}, and the error bound {bound:.1e} is larger than that; {why}"


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
    """Parameters, or entries of the only one, whose slopes are zero but for rounding."""
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
    limit = comparison.seen + comparison.bound
    flat = judged & (numeric <= limit) & np.isfinite(limit)
    silent = [b.name for b in blocks if b.indices.size and np.all(flat[b.indices])]
    if len(blocks) == 1:
        silent = [sample.f.point.entry(int(i)) for i in np.flatnonzero(flat)]
    if silent:
        below = float(np.max(limit[flat]))
        names = ", ".join(silent[:6]) + (f" and {len(silent) - 6} more" if silent[6:] else "")
        notes.warn(
            f"The slope along {names} is below {below:.0e} at this point: little was checked there."
        )


def _warn_of_numerical(sample: Sample, comparison: Comparison, notes: Notes) -> None:
    """Errors in nearly every entry, far above rounding and far below a bug."""
    size = np.abs(comparison.numeric) * comparison.estimate.unit
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
