"""The pictures of a gradient check. matplotlib is imported when one is drawn, pyplot is not.

Colours are those of Okabe & Ito (2008), which stay apart under every kind of colour blindness;
lines also differ by their markers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import ORDER
from .differences import EPS, TaylorTest, random_direction, taylor_test
from .points import Array, Block, Point
from .slopes import Evaluator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
AMBER, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
MARKERS = "osD^vP"
Report = Any  # a GradientReport, which imports this file when it is asked to draw


def plot_step_sizes(
    f: Any, theta: Any, *, direction: Any = None, rng: Any = 0, ax: Axes | None = None
) -> Axes:
    """The error of each numerical derivative against its step h, along one direction.

    Differences show a V: truncation on the right (a power of h), rounding on the left (1/h). The
    complex step has no left branch. The reference is the complex step at h = 1e-30 where f supports
    it, else Richardson's best.
    """
    point, h = Point(theta), 10.0 ** np.arange(-18.0, 0.01, 0.5)
    random = direction is None
    v = random_direction(point.size, rng) if random else point.flat(direction, "direction")
    evaluate = Evaluator(f, point)
    phi = evaluate.along(v)
    with np.errstate(all="ignore"):
        middle, slope = phi(0.0), (phi(1e-5) - phi(-1e-5)) / 2e-5
        up, down = np.array([phi(t) for t in h]), np.array([phi(-t) for t in h])
        narrow = np.array([(phi(t / 2) - phi(-t / 2)) / t for t in h])
        wide = (up - down) / (2 * h)
        curves = {"forward difference, error ~ h": (up - middle) / h}
        curves["central difference, error ~ h$^2$"] = wide
        curves["Richardson, error ~ h$^4$"] = richardson = (4 * narrow - wide) / 3
        exact = evaluate.complex_slope(v)
        if abs(exact - slope) <= 1e-4 * abs(slope) + 1e-9 * abs(middle):
            by_complex = [evaluate.complex_slope(v, h=float(t)) for t in h]
            curves["complex step, error ~ h$^2$"] = np.array(by_complex)
        else:
            best = int(np.argmin(np.abs(np.log10(h) + 3.0)))
            exact, richardson[best] = float(richardson[best]), np.nan  # no error against itself
    return _draw_steps(_axes(ax), h, curves, exact)


def _draw_steps(ax: Axes, h: Array, curves: dict[str, Array], exact: float) -> Axes:
    floor = EPS / 4  # an error of zero is drawn here
    styles = zip((AMBER, BLUE, GREEN, ORANGE), MARKERS, strict=False)
    for (label, slopes), (colour, marker) in zip(curves.items(), styles, strict=False):
        error = np.maximum(np.abs(slopes - exact) / (abs(exact) or 1.0), floor)
        behind = {"ms": 8, "zorder": 1.9} if colour == ORANGE else {"ms": 4}  # so both are seen
        ax.loglog(h, error, color=colour, marker=marker, lw=1.5, label=label, **behind)
    ax.axhline(EPS, color="0.3", lw=1.0, ls=":", label="rounding of float64")
    ax.set(xlabel="step h", ylabel="relative error of the slope", title="Error against step size")
    ax.set_xticks(10.0 ** np.arange(-18, 1, 3))
    ax.set_ylim(floor / 4, 10.0)
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return ax


def plot_taylor(test: TaylorTest, *, ax: Axes | None = None) -> Axes:
    """The Taylor remainders of a :class:`TaylorTest` against h, with lines of slope 1 and 2."""
    ax, usable, order = _axes(ax), test.usable, test.order
    h, zeroth, first = test.steps, test.without_gradient, test.with_gradient
    ax.loglog(h, zeroth, "o-", color=BLUE, ms=4, lw=1.5, label="$|f(\\theta+hv)-f(\\theta)|$")
    label = "$|f(\\theta+hv)-f(\\theta)-h\\,g\\cdot v|$"
    ax.loglog(h[usable], first[usable], "s-", color=ORANGE, ms=4, lw=1.5, label=label)
    lost, label = ~usable & (first > 0), "lost in rounding"
    if lost.any():
        ax.loglog(h[lost], first[lost], "s", mfc="none", color=ORANGE, ms=4, label=label)
    for power, values, dashes in ((1, zeroth, "--"), (2, first, ":")):
        anchor = values[usable][0] if usable.any() else values[0]
        line = 0.25 * anchor * (h / h[np.argmax(usable)]) ** power
        ax.loglog(h, line, color="0.5", lw=1.0, ls=dashes, label=f"slope {power}")
    shown = "zero to rounding" if np.isinf(order) else f"measured order {order:.2f} (2 is right)"
    ax.set(xlabel="step h", ylabel="remainder (units of f)", title=f"Taylor remainder: {shown}")
    positive = np.concatenate([zeroth[zeroth > 0], first[first > 0]])
    if positive.size:
        ax.set_ylim(positive.min() / 10, positive.max() * 10)
    ax.legend(fontsize=8, loc="lower right", framealpha=0.9)
    return ax


def plot_heatmap(report: Report, parameter: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Yours minus numeric for one parameter (the worst by default): where the error is."""
    ax, block = _axes(ax), _block(report, parameter)
    difference = block.take(_flat(report.yours) - _flat(report.numeric))
    rows = difference.ndim > 1
    grid = np.atleast_1d(difference).reshape(-1, np.atleast_1d(difference).shape[-1])
    limit = float(np.max(np.abs(grid[np.isfinite(grid)]), initial=0.0)) or 1.0
    image = ax.imshow(
        grid, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    ax.set_title(f"Yours minus numeric: {block.name}")
    ax.set(xlabel="column" if rows else "entry", ylabel="row" if rows else "")
    for axis, n in ((ax.yaxis, grid.shape[0]), (ax.xaxis, grid.shape[1])):
        axis.set_ticks(range(0, n, max(1, int(np.ceil(n / 8)))) if n > 1 else [])
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label("difference (units of f per unit of theta)")
    return ax


def plot_agreement(report: Report, *, ax: Axes | None = None) -> Axes:
    """Yours against numeric, entry by entry, with the identity and any factor recognised."""
    ax, yours, numeric = _axes(ax), _flat(report.yours), _flat(report.numeric)
    wrong = [row["parameter"] for row in report.table if row["verdict"] == "fail"]
    right = np.ones(yours.size, dtype=bool)
    limit = 1.05 * float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0.0)) or 1.0
    colours = (ORANGE, BLUE, PURPLE, GREEN, SKY)
    for name, colour, mark in zip(wrong, colours, MARKERS[1:], strict=False):
        i = _block(report, name).indices
        right[i] = False
        ax.plot(numeric[i], yours[i], mark, color=colour, ms=5, alpha=0.8, label=name, zorder=3)
    if right.any():
        x, y, label = numeric[right], yours[right], "the rest" if wrong else "all entries"
        ax.plot(x, y, "o", color="0.35", ms=4, alpha=0.6, label=label, zorder=2)
    ends = np.array([-limit, limit])
    ax.plot(ends, ends, color="black", lw=1.0, label="identity", zorder=1)
    for found in [f for f in report.findings if f["pattern"] == "factor"][:2]:
        label = f"{found['value']:.4g} times the right one"
        ax.plot(ends, found["value"] * ends, color=AMBER, lw=1.5, ls="--", label=label, zorder=1)
    ax.set(xlabel="numeric slope", ylabel="your gradient", title="Yours against numeric")
    ax.legend(fontsize=8, loc="best", framealpha=0.9)
    return ax


def plot_report(report: Report) -> Figure:
    """What fits the report, side by side: agreement, worst parameter, steps, Taylor slopes."""
    f, point, gradient = report.source
    theta = point.structure(point.vector.copy())
    entries = _has_entries(report)
    steps = entries or bool(np.isfinite(gradient).all())
    n = 1 + entries + steps
    fig = _new_figure((5.0 * n, 4.2))
    engine: Any = fig.get_layout_engine()
    engine.set(w_pad=0.15)  # a colour bar's label beside the next panel's
    axes = fig.subplots(1, n, squeeze=False)[0]
    if entries:
        plot_agreement(report, ax=axes[0])
        plot_heatmap(report, ax=axes[1])
    else:
        usable = point.structure(np.where(np.isfinite(gradient), gradient, 0.0))
        plot_taylor(taylor_test(f, theta, usable), ax=axes[0])
    if steps:
        plot_step_sizes(f, theta, ax=axes[-1])
    fig.suptitle(f"Gradient check: {report.verdict}")
    return fig


def _has_entries(report: Report) -> bool:
    return report.numeric is not None and not report.method.startswith("directional")


def _block(report: Report, parameter: str | None) -> Block:
    """A parameter's place in the flat vectors; the worst parameter's unless one is named."""
    if not _has_entries(report):
        raise ValueError(
            "this report has no entry-by-entry comparison: use method 'complex' or 'central'"
        )
    blocks: dict[str, Block] = {block.name: block for block in report.source[1].blocks}
    if parameter is None:
        rows = [row for row in report.table if row["entries"]]
        badness = [(ORDER.index(r["verdict"]), r["shape"].count(" x "), r["wrong"]) for r in rows]
        parameter = rows[badness.index(max(badness))]["parameter"]
    if parameter not in blocks:
        raise ValueError(f"there is no parameter {parameter!r}: there are {', '.join(blocks)}")
    return blocks[parameter]


def _flat(value: Any) -> Array:
    parts = value.values() if isinstance(value, dict) else [value]
    return np.concatenate([np.reshape(part, -1) for part in parts])


def _axes(ax: Axes | None) -> Axes:
    return _new_figure((5.5, 4.2)).subplots() if ax is None else ax


def _new_figure(size: tuple[float, float]) -> Figure:
    """A figure that a notebook shows where it ends a cell, without pyplot."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=100)
            return file.getvalue()

    return Shown(figsize=size, layout="constrained")
