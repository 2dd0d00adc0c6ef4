"""What a check found, for a terminal, a notebook and a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .judge import Worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientReport"]

_SHOWN = 24  # rows of the table that a text shows


class GradientReport:
    """The result of a gradient check.

    verdict      "pass", "fail" or "cannot tell"; ``bool(report)`` is True for "pass" alone
    worst        the largest relative error, a float that also has .entry, .yours, .numeric, .error,
                 .bound
    errors       |yours - numeric|, in theta's form (one a direction for method "directional" and
                 "taylor")
    error_bound  the bound on the error of the numerical slopes, in the same form
    kinks        names of entries left out because f has a kink there
    table        one dict a parameter: parameter, shape, entries, wrong, kinks,
                 worst_relative_error, verdict
    warnings     what else is worth knowing
    reasons      why the verdict is not "pass"
    findings     patterns recognised in a wrong gradient, each a dict with "pattern" and "text"
    method       the method used, and ``method_reason`` why
    """

    def __init__(self) -> None:
        self.verdict = "cannot tell"
        self.worst: Worst = Worst("nan")
        self.errors: Any = np.zeros(0)
        self.error_bound: Any = np.zeros(0)
        self.kinks: list[str] = []
        self.table: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.reasons: list[str] = []
        self.findings: list[dict[str, Any]] = []
        self.method = ""
        self.method_reason = ""
        self.rtol = self.atol = 0.0
        self.evaluations = 0
        self.reproduce = ""
        self.yours: Any = None  # the two gradients, in theta's form where every entry was compared
        self.numeric: Any = None
        self.source: Any = None  # (f, point, flat gradient) for the pictures

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __str__(self) -> str:
        from .text import as_text

        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from .text import as_html

        return as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain Python values; None for what is not finite."""
        keys = (
            "verdict",
            "kinks",
            "table",
            "warnings",
            "reasons",
            "findings",
            "method",
            "method_reason",
        )
        more = ("rtol", "atol", "evaluations", "reproduce")
        plain = {key: _plain(getattr(self, key)) for key in (*keys, *more)}
        plain["worst"] = _plain(self.worst.to_dict())
        return plain

    def plot(self) -> Figure:
        """The pictures that fit, side by side (see ``figures.py``)."""
        from .figures import plot_report

        return plot_report(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    number = float(value)
    return number if np.isfinite(number) else None
