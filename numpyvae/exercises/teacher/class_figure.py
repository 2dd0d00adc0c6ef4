"""Which mistakes were common in a class, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from numpyvae.drawing import BLUE, TICK_SIZE, add_caption, describe, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["mistakes_figure"]

BARS = 15


def mistakes_figure(counts: Sequence[tuple[str, int]], students: int) -> Figure:
    """Horizontal bars, the most common mistake on top: (its name, how many students made it)."""
    shown = counts[:BARS]
    figure, axes = new_figure(8.0, 1.9 + 0.32 * max(len(shown), 2))
    ax = axes[0, 0]
    describe(ax, f"Named mistakes in {students} submissions", "students")
    if not shown:
        ax.text(
            0.5,
            0.5,
            "no mistake has a name",
            ha="center",
            va="center",
            fontsize=TICK_SIZE,
            transform=ax.transAxes,
        )
        ax.set(xticks=[], yticks=[])
        return figure
    names, heights = [name for name, _ in shown], [count for _, count in shown]
    bars = ax.barh(range(len(shown)), heights, color=BLUE, height=0.7)
    ax.bar_label(bars, fontsize=TICK_SIZE, padding=4)
    ax.set_yticks(range(len(shown)), names)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlim(0, max(1.0, 1.08 * max(heights)))
    ax.xaxis.get_major_locator().set_params(integer=True)
    rest = counts[BARS:]
    if rest:
        most = max(count for _, count in rest)
        each = "one student" if most == 1 else f"at most {most} students"
        add_caption(figure, f"{len(rest)} other mistakes are not shown, each made by {each}")
    return figure
