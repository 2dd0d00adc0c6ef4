"""From two gradients and a bound to a verdict, entry by entry and parameter by parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .points import describe_shape
from .state import Check, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["CANNOT_TELL", "FAIL", "KINK", "PASS", "Comparison", "Worst", "rows_of"]

PASS, CANNOT_TELL, FAIL, KINK = 0, 1, 2, 3
WORDS = {PASS: "pass", CANNOT_TELL: "cannot tell", FAIL: "fail"}


class Worst(float):
    """The largest relative error, which also knows its entry, both values and the bound."""

    entry: str = ""
    yours: float = float("nan")
    numeric: float = float("nan")
    error: float = float("nan")
    bound: float = float("nan")
    tolerance: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """As a plain dict."""
        keys = ("entry", "yours", "numeric", "error", "bound", "tolerance")
        return {"relative_error": float(self), **{k: getattr(self, k) for k in keys}}


class Comparison:
    """Your slopes beside the numerical ones, all (M,).

    status per entry:
        FAIL          |yours - numeric| > tolerance + bound, or yours is not finite
        CANNOT_TELL   otherwise, where bound > tolerance: agreement would say too little
        KINK          the one-sided slopes of f stay apart, and yours lies between them: left out
        PASS          all else
    """

    def __init__(self, check: Check, yours: Vector, estimate: Estimate) -> None:
        self.yours, self.numeric, self.bound = yours, estimate.value, estimate.bound
        self.tolerance = check.tolerance(estimate.value)
        with np.errstate(invalid="ignore"):
            self.error = np.abs(yours - estimate.value)
            wrong = (self.error > self.tolerance + self.bound) | ~np.isfinite(yours)
        self.status = np.where(
            wrong, FAIL, np.where(self.bound > self.tolerance, CANNOT_TELL, PASS)
        )
        for i, (low, high) in estimate.kinks.items():
            slack = 0.01 * (high - low) + self.tolerance[i]
            self.status[i] = KINK if low - slack <= yours[i] <= high + slack else FAIL
        # Relative to the larger of the two; to floor / rtol near zero, where it would be rounding.
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = self.tolerance / check.rtol if check.rtol > 0 else np.abs(estimate.value)
            unit = np.fmax(unit, np.abs(yours))
            relative = np.where(self.error == 0.0, 0.0, self.error / unit)
        self.relative = np.where(np.isfinite(yours) & ~np.isnan(relative), relative, np.inf)

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
        if not judged.size:
            return "cannot tell"
        return WORDS[int(judged.max())]

    def describe(self, i: int, name: str) -> Worst:
        """Entry ``i`` as a number that knows the rest."""
        worst = Worst(self.relative[i])
        worst.entry = name
        for key in ("yours", "numeric", "error", "bound", "tolerance"):
            setattr(worst, key, float(getattr(self, key)[i]))
        return worst


def rows_of(check: Check, comparison: Comparison) -> list[dict[str, Any]]:
    """One row a parameter: name, shape, how many entries are wrong, the worst, a verdict."""
    rows = []
    for block in check.point.blocks:
        status = comparison.status[block.indices]
        worst = comparison.worst(block.indices)
        rows.append(
            {
                "parameter": block.name,
                "shape": describe_shape(block.shape),
                "entries": int(block.indices.size),
                "wrong": int(np.sum(status == FAIL)),
                "kinks": int(np.sum(status == KINK)),
                "worst_relative_error": float(comparison.relative[worst])
                if worst is not None
                else float("nan"),
                "verdict": comparison.verdict(block.indices) if block.indices.size else "pass",
            }
        )
    return rows
