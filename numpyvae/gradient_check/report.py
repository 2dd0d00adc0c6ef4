"""What a check found, for a terminal, a notebook and a program."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import ORDER, LargestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 96
ROWS = 24  # rows of the table that are shown
DIRECTIONS = 4  # and of those, random directions
HEADER = ("parameter", "shape", "worst rel. error", "wrong", "kinks", "verdict")
ARRAYS = ("errors", "error_bound", "yours", "numeric", "source")


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
    worst: LargestError = field(default_factory=lambda: LargestError("nan"))
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
        """The whole report in lines of at most 96 columns."""
        (_, how), *notes = _notes(self)
        lines = [_headline(self), *_wrap("  method:", how)]
        if self.method_reason:
            lines += _wrap("  because", notes.pop(0)[1])
        if self.table:
            lines += ["", *_table(self), ""]
        for label, text in notes:
            lines += _wrap(f"{label}:", text)
        if self.reproduce:
            lines += ["to reproduce:", f"  {self.reproduce}"]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """A self-contained, accessible table with the same words."""
        titles, rows, more = _cells(self)
        parts = ["<div><table>", f"<caption>{escape(_headline(self))}</caption>"]
        if rows:
            head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
            parts.append(f"<thead><tr>{head}</tr></thead><tbody>")
            for first, *words in rows:
                rest = "".join(f"<td>{escape(word)}</td>" for word in words)
                parts.append(f'<tr><th scope="row">{escape(first)}</th>{rest}</tr>')
            parts.append("</tbody>")
        parts += ["</table>", f"<p>{more}</p>" if more else "", "<ul>"]
        for label, text in _notes(self):
            parts.append(f"<li><strong>{escape(label)}:</strong> {escape(text)}</li>")
        parts.append("</ul>")
        if self.reproduce:
            parts.append(f"<p>To reproduce:</p><pre><code>{escape(self.reproduce)}</code></pre>")
        return "".join([*parts, "</div>"])

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain Python values; None for what is not finite."""
        plain = {key: _plain(value) for key, value in vars(self).items() if key not in ARRAYS}
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


def _headline(report: GradientReport) -> str:
    return f"gradient check: {report.verdict.upper()} (rtol {report.rtol:g}, atol {report.atol:g})"


def _notes(report: GradientReport) -> list[tuple[str, str]]:
    """Everything to be said in sentences, with a label each: the method first."""
    evaluations = f"{report.evaluations} evaluation{'s' * (report.evaluations != 1)} of f"
    found = [("method", f"{report.method or 'no comparison'}, {evaluations}")]
    if report.method_reason:
        found.append(("because", report.method_reason))
    found += [("reason", text) for text in report.reasons]
    if report.worst.entry:
        found.append(("worst", _worst_entry(report.worst)))
    found += [("pattern", f["text"]) for f in report.findings if f["text"] not in report.reasons]
    if report.kinks:
        some = ", ".join(report.kinks[:6]) + (", ..." if len(report.kinks) > 6 else "")
        found.append(("kinks", f"{len(report.kinks)} left out, where f has no derivative: {some}"))
    return found + [("warning", text) for text in report.warnings]


def _worst_entry(w: LargestError) -> str:
    """Both values, in as many digits as show how far apart they are, with bound and error."""
    for digits in range(10, 18):
        yours, numeric = f"{w.yours:.{digits}g}", f"{w.numeric:.{digits}g}"
        apart = abs(float(yours) - float(numeric))
        if not np.isfinite(w.error) or abs(apart - w.error) <= 0.02 * w.error:
            break
    largest = max(abs(w.yours), abs(w.numeric))
    scale = w.error / float(w) if np.isfinite(w) and w > 0.0 else largest
    of = f" of {scale:.2g}, since smaller slopes are rounding" if scale > 1.05 * largest else ""
    known = ": not resolved" if 0.0 < w.error <= w.bound >= abs(w.numeric) else ""
    return (
        f"{w.entry}: yours {yours}, numeric {numeric} (error bound {w.bound:.1e}{known}), "
        f"relative error {float(w):.1e}{of}"
    )


def _cells(report: GradientReport) -> tuple[list[str], list[list[str]], str]:
    """The table in words: titles, rows, how many rows are left out. Empty columns are left out.

    The rows that are wrong are the first choice, and stay in their order.
    """
    table, words = report.table, []
    for row in table:
        order, error = row.get("order"), row["worst_relative_error"]
        number = f"{error:.1e}" if np.isfinite(error) else "-"
        wrong = f"{row['wrong']} of {row['entries']}" if row["wrong"] else ""
        number, kinks = number if order is None else f"{order:.2f}", str(row["kinks"] or "")
        words.append([row["parameter"], row["shape"], number, wrong, kinks, row["verdict"]])
    by_badness = sorted(range(len(table)), key=lambda i: -ORDER.index(table[i]["verdict"]))
    random = [i for i in by_badness if words[i][0].startswith("direction ")]
    shown = sorted([i for i in by_badness if i not in random[DIRECTIONS:]][:ROWS])
    third = "order" if any("order" in row for row in table) else HEADER[2]
    titles = [*HEADER[:2], third, *HEADER[3:]]
    keep = [k for k in range(len(HEADER)) if any(row[k] for row in words)]
    rows = [[words[i][k] for k in keep] for i in shown]
    n = len(table) - len(shown)
    more = f"{n} more row{'s' if n > 1 else ''}" if n else ""
    return [titles[k] for k in keep], rows, more


def _table(report: GradientReport) -> list[str]:
    titles, rows, more = _cells(report)
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    numbers = (HEADER[2], "order", "wrong", "kinks")
    lines = []
    for words in (titles, ["-" * n for n in widths], *rows):
        cells = zip(words, widths, titles, strict=True)
        padded = [w.rjust(n) if title in numbers else w.ljust(n) for w, n, title in cells]
        lines.append(("  " + "  ".join(padded)).rstrip())
    return lines + ([f"  ... {more}"] if more else [])


def _wrap(label: str, text: str) -> list[str]:
    """Lines of at most 96 columns, the later ones indented."""
    options = {"break_long_words": False, "break_on_hyphens": False}
    whole = f"{label} {' '.join(text.split())}"
    return textwrap.wrap(whole, WIDTH, subsequent_indent="    ", **options)  # type: ignore[arg-type]
