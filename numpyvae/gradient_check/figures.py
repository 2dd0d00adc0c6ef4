"""The pictures of a gradient check. matplotlib is imported only when one is drawn, pyplot never.

Colours are those of Okabe & Ito (2008), which stay apart under every kind of colour blindness;
lines also differ by their markers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .calling import Evaluator
from .comparison import ORDER
from .differences import EPS, TaylorTest, random_direction, taylor_test
from .points import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from .report import GradientReport

    Array = NDArray[np.float64]

__all__ = ["plot_agreement", "plot_heatmap", "plot_report", "plot_step_sizes", "plot_taylor"]

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
AMBER, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
MARKERS = "osD^vP"


def plot_step_sizes(
    f: Any, theta: Any, *, direction: Any = None, rng: Any = 0, ax: Axes | None = None
) -> Axes:
    """The error of each numerical derivative against its step h, along one direction.

    Differences show a V: truncation on the right (a power of h), rounding on the left (1/h). The
    complex step has no left branch. The reference is the complex step at h = 1e-30 where f supports
    it, else Richardson's best.
    """
    point = Point(theta)
    v = (
        random_direction(point.size, rng)
        if direction is None
        else point.flat(direction, "direction")
    )
    evaluate = Evaluator(f, point)
    h = 10.0 ** np.arange(-18.0, 0.01, 0.5)
    with np.errstate(all="ignore"):
        curves = _difference_curves(evaluate, v, h)
        by_complex, exact = _complex_curve(evaluate, v, h)
    if by_complex is None:
        richardson = curves["Richardson, error ~ h$^4$"]
        reference = int(np.argmin(np.abs(np.log10(h) + 3.0)))
        exact = float(richardson[reference])
        richardson[reference] = np.nan  # it has no error against itself
    else:
        curves["complex step, error ~ h$^2$"] = by_complex
    return _draw_steps(_axes(ax), h, curves, exact)


def _difference_curves(evaluate: Evaluator, v: Array, h: Array) -> dict[str, Array]:
    phi = evaluate.along(v)
    middle = phi(0.0)
    up, down = np.array([phi(t) for t in h]), np.array([phi(-t) for t in h])
    half = np.array([(phi(t / 2) - phi(-t / 2)) / t for t in h])
    central = (up - down) / (2 * h)
    return {
        "forward difference, error ~ h": (up - middle) / h,
        "central difference, error ~ h$^2$": central,
        "Richardson, error ~ h$^4$": (4 * half - central) / 3,
    }


def _complex_curve(evaluate: Evaluator, v: Array, h: Array) -> tuple[Array | None, float]:
    exact, phi = evaluate.complex_slope(v), evaluate.along(v)
    slopes = np.array([evaluate.complex_slope(v, h=float(t)) for t in h])
    slope = (phi(1e-5) - phi(-1e-5)) / 2e-5
    works = np.isfinite(exact) and abs(exact - slope) <= 1e-4 * abs(slope) + 1e-9 * abs(phi(0.0))
    return (slopes if works else None), exact


def _draw_steps(ax: Axes, h: Array, curves: dict[str, Array], exact: float) -> Axes:
    floor = EPS / 4  # an error of zero is drawn here
    for (label, slopes), colour, marker in zip(
        curves.items(), (AMBER, BLUE, GREEN, ORANGE), MARKERS, strict=False
    ):
        error = np.abs(slopes - exact) / (abs(exact) or 1.0)
        ax.loglog(
            h, np.maximum(error, floor), color=colour, marker=marker, ms=4, lw=1.5, label=label
        )
    ax.axhline(EPS, color="0.3", lw=1.0, ls=":", label="rounding of float64")
    ax.set(xlabel="step h", ylabel="relative error of the slope", title="Error against step size")
    ax.set_xticks(10.0 ** np.arange(-18, 1, 3))
    ax.set_ylim(floor / 4, 10.0)
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return ax


def plot_taylor(test: TaylorTest, *, ax: Axes | None = None) -> Axes:
    """The Taylor remainders of a :class:`TaylorTest` against h, with lines of slope 1 and 2."""
    ax = _axes(ax)
    h, zeroth, first = test.steps, test.without_gradient, test.with_gradient
    ax.loglog(h, zeroth, "o-", color=BLUE, ms=4, lw=1.5, label="$|f(\\theta+hv)-f(\\theta)|$")
    label = "$|f(\\theta+hv)-f(\\theta)-h\\,g\\cdot v|$"
    ax.loglog(h[test.usable], first[test.usable], "s-", color=ORANGE, ms=4, lw=1.5, label=label)
    lost = ~test.usable & (first > 0)
    if lost.any():
        ax.loglog(
            h[lost], first[lost], "s", mfc="none", color=ORANGE, ms=4, label="lost in rounding"
        )
    for order, values in ((1, zeroth), (2, first)):
        anchor = values[test.usable][0] if test.usable.any() else values[0]
        line = 0.25 * anchor * (h / h[np.argmax(test.usable)]) ** order
        ax.loglog(
            h, line, color="0.5", lw=1.0, ls="--" if order == 1 else ":", label=f"slope {order}"
        )
    ax.set(xlabel="step h", ylabel="remainder (units of f)", title=_taylor_title(test.order))
    positive = np.concatenate([zeroth[zeroth > 0], first[first > 0]])
    if positive.size:
        ax.set_ylim(positive.min() / 10, positive.max() * 10)
    ax.legend(fontsize=8, loc="lower right", framealpha=0.9)
    return ax


def _taylor_title(order: float) -> str:
    if np.isinf(order):
        return "Taylor remainder: zero to rounding"
    return f"Taylor remainder: measured order {order:.2f} (2 is right)"


def plot_heatmap(
    report: GradientReport, parameter: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Yours minus numeric for one parameter (the worst by default): where the error sits."""
    ax = _axes(ax)
    block = _worst_block(report, parameter)
    difference = block.take(_flat(report.yours) - _flat(report.numeric))
    grid = (
        difference.reshape(-1, difference.shape[-1])
        if difference.ndim
        else difference.reshape(1, 1)
    )
    limit = float(np.max(np.abs(grid[np.isfinite(grid)]), initial=0.0)) or 1.0
    image = ax.imshow(
        grid, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    ax.set_title(f"Yours minus numeric: {block.name}")
    ax.set_xlabel("column" if difference.ndim > 1 else "entry")
    ax.set_ylabel("row" if difference.ndim > 1 else "")
    _whole_ticks(ax, grid.shape)
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label("difference (units of f per unit of theta)")
    return ax


def _whole_ticks(ax: Axes, shape: tuple[int, ...]) -> None:
    for axis, n in ((ax.yaxis, shape[0]), (ax.xaxis, shape[1])):
        step = max(1, int(np.ceil(n / 8)))
        axis.set_ticks(range(0, n, step) if n > 1 else [])


def plot_agreement(report: GradientReport, *, ax: Axes | None = None) -> Axes:
    """Yours against numeric, entry by entry, with the identity and any factor recognised."""
    ax = _axes(ax)
    yours, numeric = _flat(report.yours), _flat(report.numeric)
    wrong = [row["parameter"] for row in report.table if row["verdict"] == "fail"]
    right = np.ones(yours.size, dtype=bool)
    limit = 1.05 * float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0.0)) or 1.0
    for name, colour, marker in zip(
        wrong[:5], (ORANGE, BLUE, PURPLE, GREEN, SKY), MARKERS[1:], strict=False
    ):
        where = _worst_block(report, name).indices
        right[where] = False
        ax.plot(
            numeric[where],
            yours[where],
            marker,
            color=colour,
            ms=5,
            alpha=0.8,
            label=name,
            zorder=3,
        )
    if right.any():
        rest = "the rest" if wrong else "all entries"
        ax.plot(
            numeric[right], yours[right], "o", color="0.35", ms=4, alpha=0.6, label=rest, zorder=2
        )
    ends = np.array([-limit, limit])
    ax.plot(ends, ends, color="black", lw=1.0, label="identity", zorder=1)
    for found in [f for f in report.findings if f["pattern"] == "factor"][:2]:
        label = f"{found['value']:.4g} times the right one"
        ax.plot(ends, found["value"] * ends, color=AMBER, lw=1.5, ls="--", label=label, zorder=1)
    ax.set(xlabel="numeric slope", ylabel="your gradient", title="Yours against numeric")
    ax.legend(fontsize=8, loc="best", framealpha=0.9)
    return ax


def plot_report(report: GradientReport) -> Figure:
    """What fits the report, side by side: agreement, worst parameter, steps, Taylor slopes."""
    from matplotlib.figure import Figure

    f, point, gradient = report.source
    theta = point.structure(point.vector.copy())
    everywhere = report.numeric is not None and _flat(report.numeric).size == point.size
    panels = (
        ["agreement", "heatmap"]
        if everywhere and report.table and "order" not in report.table[0]
        else ["taylor"]
    )
    if (np.isfinite(gradient).all() and panels == ["taylor"]) or "heatmap" in panels:
        panels.append("steps")
    fig = Figure(figsize=(5.0 * len(panels), 4.2), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False)
    for panel, ax in zip(panels, axes[0], strict=True):
        if panel == "agreement":
            plot_agreement(report, ax=ax)
        elif panel == "heatmap":
            plot_heatmap(report, ax=ax)
        elif panel == "taylor":
            usable = np.where(np.isfinite(gradient), gradient, 0.0)
            plot_taylor(taylor_test(f, theta, point.structure(usable)), ax=ax)
        else:
            plot_step_sizes(f, theta, ax=ax)
    fig.suptitle(f"Gradient check: {report.verdict}")
    return fig


def _worst_block(report: GradientReport, parameter: str | None) -> Any:
    point = report.source[1]
    if report.numeric is None or _flat(report.numeric).size != point.size:
        raise ValueError(
            "this report has no entry-by-entry comparison: use method 'complex' or 'central'"
        )
    names = [b.name for b in point.blocks]
    if parameter is not None:
        if parameter not in names:
            raise ValueError(f"there is no parameter {parameter!r}: there are {', '.join(names)}")
        return point.blocks[names.index(parameter)]

    def badness(row: dict[str, Any]) -> tuple[int, int, int]:
        return ORDER.index(row["verdict"]), len(row["shape"].split(" x ")), row["wrong"]

    worst = max((row for row in report.table if row["entries"]), key=badness)
    return point.blocks[names.index(worst["parameter"])]


def _flat(value: Any) -> Array:
    parts = value.values() if isinstance(value, dict) else [value]
    return np.concatenate([np.reshape(part, -1) for part in parts])


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(5.5, 4.2), layout="constrained").subplots()
