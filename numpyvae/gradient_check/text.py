"""A report as text of at most 96 columns, and as a table for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report import GradientReport

__all__ = ["as_html", "as_text"]

WIDTH = 96
ROWS = 24  # rows of the table that are shown
DIRECTIONS = 4  # and of those, random directions


def as_text(report: GradientReport) -> str:
    """The whole report in lines of at most 96 columns."""
    lines = [headline(report), *wrap("  method:", how(report))]
    if report.method_reason:
        lines += wrap("  because", report.method_reason)
    if report.table:
        lines += ["", *_table(report), ""]
    for label, text in notes(report):
        lines += wrap(f"{label}: ", text)
    if report.reproduce:
        lines += ["to reproduce:", f"  {report.reproduce}"]
    return "\n".join(lines)


def headline(report: GradientReport) -> str:
    """``gradient check: PASS (rtol 1e-06, atol 1e-09)``."""
    return (
        f"gradient check: {report.verdict.upper()} (rtol {report.rtol:.0e}, atol {report.atol:.0e})"
    )


def how(report: GradientReport) -> str:
    """The method and its cost."""
    plural = "" if report.evaluations == 1 else "s"
    return f"{report.method or 'no comparison'}, {report.evaluations} evaluation{plural} of f"


def notes(report: GradientReport) -> list[tuple[str, str]]:
    """Everything to be said in sentences, with a label each."""
    found = [("reason", text) for text in report.reasons]
    if report.worst.entry:
        found.append(("worst", worst_entry(report)))
    found += [("pattern", f["text"]) for f in report.findings if f["text"] not in report.reasons]
    if report.kinks:
        some = ", ".join(report.kinks[:6]) + (", ..." if len(report.kinks) > 6 else "")
        found.append(("kinks", f"{len(report.kinks)} left out, where f has no derivative: {some}"))
    return found + [("warning", text) for text in report.warnings]


def worst_entry(report: GradientReport) -> str:
    """The worst entry with both values and the bound."""
    w = report.worst
    return (
        f"{w.entry}: yours {w.yours:.10g}, numeric {w.numeric:.10g} (error bound {w.bound:.1e}), "
        f"relative error {float(w):.1e}"
    )


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table as words."""
    number = row["worst_relative_error"]
    order = row.get("order")
    shown = f"{order:.2f}" if order is not None else f"{number:.1e}" if np.isfinite(number) else "-"
    wrong = f"{row['wrong']} of {row['entries']}" if row["wrong"] else ""
    kinks = f"{row['kinks']}" if row["kinks"] else ""
    return row["parameter"], row["shape"], shown, wrong, kinks, row["verdict"]


def header(report: GradientReport) -> tuple[str, ...]:
    """The titles of the columns."""
    number = "order" if any("order" in row for row in report.table) else HEADER[2]
    return (*HEADER[:2], number, *HEADER[3:])


HEADER = ("parameter", "shape", "worst rel. error", "wrong", "kinks", "verdict")


def columns(report: GradientReport) -> list[int]:
    """The columns worth showing: empty ones are left out."""
    body = [cells(row) for row in report.table]
    return [k for k in range(len(HEADER)) if any(row[k] for row in body)]


def chosen_rows(report: GradientReport) -> tuple[list[dict[str, Any]], int]:
    """The rows to show, wrong ones first choice, in their order; and how many are left out."""
    rank = {"fail": 0, "cannot tell": 1, "pass": 2}
    order = sorted(range(len(report.table)), key=lambda i: rank[report.table[i]["verdict"]])
    random = [i for i in order if report.table[i]["parameter"].startswith("direction ")]
    order = [i for i in order if i not in random[DIRECTIONS:]]
    shown = sorted(order[:ROWS])
    return [report.table[i] for i in shown], len(report.table) - len(shown)


def _table(report: GradientReport) -> list[str]:
    rows, left_out = chosen_rows(report)
    keep = columns(report)
    body = [[cells(row)[k] for k in keep] for row in rows]
    titles = [header(report)[k] for k in keep]
    widths = [max(len(line[k]) for line in [titles, *body]) for k in range(len(keep))]
    right = [k in (2, 3, 4) for k in keep]

    def line(words: list[str]) -> str:
        padded = [
            w.rjust(n) if r else w.ljust(n) for w, n, r in zip(words, widths, right, strict=True)
        ]
        return ("  " + "  ".join(padded)).rstrip()

    lines = [line(titles), line(["-" * n for n in widths]), *(line(words) for words in body)]
    return lines + ([f"  ... {left_out} more rows"] if left_out else [])


def wrap(label: str, text: str) -> list[str]:
    """Lines of at most 96 columns, the later ones indented."""
    lines, current = [], label.rstrip()
    for word in text.split():
        if len(current) + 1 + len(word) > WIDTH and current.strip():
            lines.append(current)
            current = "   "
        current += f" {word}"
    return [*lines, current]


def as_html(report: GradientReport) -> str:
    """A self-contained, accessible table with the same words."""
    from html import escape

    rows, left_out = chosen_rows(report)
    keep = columns(report)
    head = "".join(f'<th scope="col">{escape(header(report)[k])}</th>' for k in keep)
    parts = ["<div>", "<table>", f"<caption>{escape(headline(report))}</caption>"]
    if rows:
        parts.append(f"<thead><tr>{head}</tr></thead><tbody>")
        for row in rows:
            words = [escape(cells(row)[k]) for k in keep]
            rest = "".join(f"<td>{word}</td>" for word in words[1:])
            parts.append(f'<tr><th scope="row">{words[0]}</th>{rest}</tr>')
        parts.append("</tbody>")
    parts.append("</table>")
    if left_out:
        parts.append(f"<p>{left_out} more rows</p>")
    because = [("because", report.method_reason)] if report.method_reason else []
    told = [("method", how(report)), *because, *notes(report)]
    if told:
        items = "".join(
            f"<li><strong>{escape(label)}:</strong> {escape(text)}</li>" for label, text in told
        )
        parts.append(f"<ul>{items}</ul>")
    if report.reproduce:
        parts.append(f"<p>To reproduce:</p><pre><code>{escape(report.reproduce)}</code></pre>")
    return "".join([*parts, "</div>"])
