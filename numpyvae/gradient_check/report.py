"""What a check found, for a terminal, a notebook and a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import ORDER, Worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientReport"]

WIDTH = 96
ROWS = 24  # rows of the table that are shown
DIRECTIONS = 4  # and of those, random directions
HEADER = ("parameter", "shape", "worst rel. error", "wrong", "kinks", "verdict")


@dataclass(repr=False, eq=False)
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

    verdict: str = "cannot tell"
    worst: Worst = field(default_factory=lambda: Worst("nan"))
    errors: Any = field(default_factory=lambda: np.zeros(0))
    error_bound: Any = field(default_factory=lambda: np.zeros(0))
    kinks: list[str] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    method: str = ""
    method_reason: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    evaluations: int = 0
    reproduce: str = ""
    yours: Any = None  # the two gradients, in theta's form where every entry was compared
    numeric: Any = None
    source: Any = None  # (f, point, flat gradient) for the pictures

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __str__(self) -> str:
        return _as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain Python values; None for what is not finite."""
        arrays = ("errors", "error_bound", "yours", "numeric", "source")
        plain = {key: _plain(value) for key, value in vars(self).items() if key not in arrays}
        return {**plain, "worst": _plain(self.worst.to_dict())}

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


def _as_text(report: GradientReport) -> str:
    """The whole report in lines of at most 96 columns."""
    lines = [_headline(report), *_wrap("  method:", _how(report))]
    if report.method_reason:
        lines += _wrap("  because", report.method_reason)
    if report.table:
        lines += ["", *_table(report), ""]
    for label, text in _notes(report):
        lines += _wrap(f"{label}: ", text)
    if report.reproduce:
        lines += ["to reproduce:", f"  {report.reproduce}"]
    return "\n".join(lines)


def _headline(report: GradientReport) -> str:
    """``gradient check: PASS (rtol 1e-06, atol 0)``."""
    return f"gradient check: {report.verdict.upper()} (rtol {report.rtol:g}, atol {report.atol:g})"


def _how(report: GradientReport) -> str:
    """The method and its cost."""
    plural = "" if report.evaluations == 1 else "s"
    return f"{report.method or 'no comparison'}, {report.evaluations} evaluation{plural} of f"


def _notes(report: GradientReport) -> list[tuple[str, str]]:
    """Everything to be said in sentences, with a label each."""
    found = [("reason", text) for text in report.reasons]
    if report.worst.entry:
        found.append(("worst", _worst_entry(report)))
    found += [("pattern", f["text"]) for f in report.findings if f["text"] not in report.reasons]
    if report.kinks:
        some = ", ".join(report.kinks[:6]) + (", ..." if len(report.kinks) > 6 else "")
        found.append(("kinks", f"{len(report.kinks)} left out, where f has no derivative: {some}"))
    return found + [("warning", text) for text in report.warnings]


def _worst_entry(report: GradientReport) -> str:
    """The worst entry with both values and the bound: what is printed, divided, gives the error."""
    w = report.worst
    yours, numeric = _apart(w)
    largest = max(abs(w.yours), abs(w.numeric))
    scale = w.error / float(w) if np.isfinite(w) and w > 0.0 else largest
    of = f" of {scale:.2g}, since smaller slopes are rounding" if scale > 1.05 * largest else ""
    return (
        f"{w.entry}: yours {yours}, numeric {numeric} (error bound {w.bound:.1e}), "
        f"relative error {float(w):.1e}{of}"
    )


def _apart(w: Worst) -> tuple[str, str]:
    """Both values in ten digits, or in as many as show how far apart they are."""
    for digits in range(10, 18):
        yours, numeric = f"{w.yours:.{digits}g}", f"{w.numeric:.{digits}g}"
        if not np.isfinite(w.error) or (
            abs(abs(float(yours) - float(numeric)) - w.error) <= 0.02 * w.error
        ):
            break
    return yours, numeric


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table as words."""
    number = row["worst_relative_error"]
    order = row.get("order")
    shown = f"{order:.2f}" if order is not None else f"{number:.1e}" if np.isfinite(number) else "-"
    wrong = f"{row['wrong']} of {row['entries']}" if row["wrong"] else ""
    kinks = f"{row['kinks']}" if row["kinks"] else ""
    return row["parameter"], row["shape"], shown, wrong, kinks, row["verdict"]


def _header(report: GradientReport) -> tuple[str, ...]:
    """The titles of the columns."""
    number = "order" if any("order" in row for row in report.table) else HEADER[2]
    return (*HEADER[:2], number, *HEADER[3:])


def _columns(report: GradientReport) -> list[int]:
    """The columns worth showing: empty ones are left out."""
    body = [_cells(row) for row in report.table]
    return [k for k in range(len(HEADER)) if any(row[k] for row in body)]


def _chosen_rows(report: GradientReport) -> tuple[list[dict[str, Any]], int]:
    """The rows to show, wrong ones first choice, in their order; and how many are left out."""
    badness = [ORDER.index(row["verdict"]) for row in report.table]
    order = sorted(range(len(badness)), key=lambda i: -badness[i])
    random = [i for i in order if report.table[i]["parameter"].startswith("direction ")]
    order = [i for i in order if i not in random[DIRECTIONS:]]
    shown = sorted(order[:ROWS])
    return [report.table[i] for i in shown], len(report.table) - len(shown)


def _table(report: GradientReport) -> list[str]:
    rows, left_out = _chosen_rows(report)
    keep = _columns(report)
    body = [[_cells(row)[k] for k in keep] for row in rows]
    titles = [_header(report)[k] for k in keep]
    widths = [max(len(line[k]) for line in [titles, *body]) for k in range(len(keep))]
    right = [k in (2, 3, 4) for k in keep]

    def line(words: list[str]) -> str:
        padded = [
            w.rjust(n) if r else w.ljust(n) for w, n, r in zip(words, widths, right, strict=True)
        ]
        return ("  " + "  ".join(padded)).rstrip()

    lines = [line(titles), line(["-" * n for n in widths]), *(line(words) for words in body)]
    return lines + ([f"  ... {_more_rows(left_out)}"] if left_out else [])


def _more_rows(n: int) -> str:
    return f"{n} more row{'s' if n > 1 else ''}"


def _wrap(label: str, text: str) -> list[str]:
    """Lines of at most 96 columns, the later ones indented."""
    lines, current = [], label.rstrip()
    for word in text.split():
        if len(current) + 1 + len(word) > WIDTH and current.strip():
            lines.append(current)
            current = "   "
        current += f" {word}"
    return [*lines, current]


def _as_html(report: GradientReport) -> str:
    """A self-contained, accessible table with the same words."""
    from html import escape

    rows, left_out = _chosen_rows(report)
    keep = _columns(report)
    head = "".join(f'<th scope="col">{escape(_header(report)[k])}</th>' for k in keep)
    parts = ["<div>", "<table>", f"<caption>{escape(_headline(report))}</caption>"]
    if rows:
        parts.append(f"<thead><tr>{head}</tr></thead><tbody>")
        for row in rows:
            words = [escape(_cells(row)[k]) for k in keep]
            rest = "".join(f"<td>{word}</td>" for word in words[1:])
            parts.append(f'<tr><th scope="row">{words[0]}</th>{rest}</tr>')
        parts.append("</tbody>")
    parts.append("</table>")
    if left_out:
        parts.append(f"<p>{_more_rows(left_out)}</p>")
    because = [("because", report.method_reason)] if report.method_reason else []
    told = [("method", _how(report)), *because, *_notes(report)]
    if told:
        items = "".join(
            f"<li><strong>{escape(label)}:</strong> {escape(text)}</li>" for label, text in told
        )
        parts.append(f"<ul>{items}</ul>")
    if report.reproduce:
        parts.append(f"<p>To reproduce:</p><pre><code>{escape(report.reproduce)}</code></pre>")
    return "".join([*parts, "</div>"])
