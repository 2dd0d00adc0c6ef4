"""Two gradients compared: a bound, a status and a verdict for every entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .points import Vector
from .slopes import Estimate

__all__ = ["CANNOT_TELL", "FAIL", "KINK", "ORDER", "PASS", "Comparison", "Settings", "Worst", "row"]

METHODS = ("auto", "complex", "central", "directional", "taylor")
PASS, CANNOT_TELL, FAIL, KINK = 0, 1, 2, 3
ORDER = ("pass", "cannot tell", "fail")  # the words for the first three


@dataclass(frozen=True)
class Settings:
    """The options of a check. ValueError for those with which no verdict could be trusted."""

    method: str
    rtol: float
    atol: float
    directions: int | None
    sizes: Mapping[str, float]

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
                      little
        KINK          the one-sided slopes of f stay apart, and yours lies between them: left out
        PASS          all else

    ``eps`` is the precision of your numbers, where that is less than float64's.
    """

    def __init__(
        self, yours: Vector, estimate: Estimate, settings: Settings, eps: float = 0.0
    ) -> None:
        rtol, atol = float(settings.rtol), float(settings.atol)
        self.yours, self.numeric, self.unit = yours, estimate.value, estimate.unit
        self.bound = estimate.bound + 8.0 * eps * estimate.largest()
        share = rtol * np.where(np.isfinite(self.numeric), np.abs(self.numeric), 0.0)
        self.floor = estimate.floor(atol)
        self.tolerance = share + self.floor
        self.enough = share + estimate.resolution(atol)
        with np.errstate(invalid="ignore"):
            self.error = np.abs(yours - self.numeric)
            wrong = (self.error > self.tolerance + self.bound) | ~np.isfinite(yours)
        self.status = np.where(wrong, FAIL, np.where(self.bound > self.enough, CANNOT_TELL, PASS))
        for i, (low, high) in estimate.kinks.items():
            slack = 0.01 * (high - low) + self.tolerance[i]
            self.status[i] = KINK if low - slack <= yours[i] <= high + slack else FAIL
        # Relative to the larger of the two; to floor / rtol near zero, where it would be rounding.
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = self.tolerance / rtol if rtol > 0 else np.abs(self.numeric)
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

    def describe(self, i: int, name: str) -> Worst:
        """Entry ``i`` as a number that knows the rest."""
        worst = Worst(self.relative[i])
        worst.entry = name
        for key in ("yours", "numeric", "error", "bound", "tolerance"):
            setattr(worst, key, float(getattr(self, key)[i]))
        return worst
