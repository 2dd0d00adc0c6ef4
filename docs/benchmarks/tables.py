"""A table of Markdown, and numbers as it shows them."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, its columns aligned: the first to the left, the others to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"


def megabytes(n: float | None) -> str:
    return "" if n is None else f"{n / 1e6:.1f}"
