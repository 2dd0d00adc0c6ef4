"""The figure: time of a step against batch size, and cost against parameters and data."""

from collections.abc import Callable, Sequence
from typing import Any

from contenders import EAGER, FLOOR, FUSED, JAX, OURS
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from report import Results
from steps import CASES, StepTimes

from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, describe, new_figure

# Colours of Okabe & Ito 2008; each contender has its own marker and dashes.
STYLES: dict[str, dict[str, Any]] = {
    OURS: {"color": BLUE, "marker": "o", "lw": 2.5, "zorder": 3},
    EAGER: {"color": ORANGE, "marker": "s", "ls": "--"},
    FUSED: {"color": "#CC79A7", "marker": "^", "ls": "-."},
    JAX: {"color": "#009E73", "marker": "D", "ls": (0, (5, 1, 1, 1, 1, 1))},
    FLOOR: {"color": "0.35", "marker": "x", "ls": ":"},
}


def plain(value: float, _: Any = None) -> str:
    """0.2, 3, 60,000: powers of ten are harder to read."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def draw_steps(ax: Any, rows: Sequence[StepTimes], along: Callable[[StepTimes], int]) -> None:
    """Milliseconds of every contender against a size of each row."""
    sizes = [along(row) for row in rows]
    for name in rows[0].blocks:
        ax.plot(sizes, [1e3 * row.median(name) for row in rows], label=name, **STYLES[name])
    set_axes(ax, sizes)


def draw_epochs(ax: Any, rows: Sequence[tuple[int, float, float]]) -> None:
    """Seconds of `fit` and of its steps' products against the number of examples."""
    examples, ours, floor = zip(*rows, strict=True)
    ax.plot(examples, ours, label=OURS, **STYLES[OURS])
    ax.plot(examples, floor, label=FLOOR, **STYLES[FLOOR])
    set_axes(ax, examples)


def set_axes(ax: Any, sizes: Sequence[int]) -> None:
    """Both logarithmic, a tick at each size that was measured, plain numbers."""
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(sizes, [plain(size) for size in sizes])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.minorticks_off()
    ax.yaxis.set_major_formatter(FuncFormatter(plain))
    low, high = ax.get_ylim()
    few = high / low < 100  # then the 2 and 5 between the powers of ten are labelled
    ax.yaxis.set_minor_formatter(FuncFormatter(between_powers) if few else NullFormatter())
    ax.tick_params(axis="y", which="minor", labelsize=ax.yaxis.get_ticklabels()[0].get_fontsize())
    ax.grid(which="major", color="0.9", lw=0.8)


def between_powers(value: float, _: Any = None) -> str:
    """The 2 and the 5 of each power of ten."""
    return plain(value) if f"{value:e}"[0] in "25" else ""


def draw(results: Results) -> Figure:
    """Above: the three cases against batch size. Below: wider, more dimensions, more examples."""
    figure, axes = new_figure(14.0, 8.5, 2, 3)
    for ax, case in zip(axes[0], CASES, strict=True):
        draw_steps(ax, [row for row in results.steps if row.case == case], lambda row: row.batch)
        describe(ax, f"data {case.data}, hidden {case.hidden}, latent {case.latent}", "batch size")
    scaling = results.scaling
    draw_steps(axes[1, 0], scaling.widths, lambda row: row.case.n_parameters)
    describe(axes[1, 0], "wider hidden layers, batch 128", "parameters")
    axes[1, 0].set_xticks(
        [row.case.n_parameters for row in scaling.widths],
        [f"{row.case.n_parameters / 1e6:.2g} M" for row in scaling.widths],
    )
    draw_steps(axes[1, 1], scaling.data_dims, lambda row: row.case.data)
    describe(axes[1, 1], "more data dimensions, batch 128", "data dimensions")
    draw_epochs(axes[1, 2], scaling.epochs)
    describe(axes[1, 2], "more examples: an epoch of fit, batch 128", "examples")
    for ax, unit in ((axes[0, 0], "ms"), (axes[1, 0], "ms")):
        ax.set_ylabel(f"one training step, {unit}", fontsize=LABEL_SIZE)
    axes[1, 2].set_ylabel("one epoch, s", fontsize=LABEL_SIZE)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=len(STYLES),
        fontsize=LABEL_SIZE,
        frameon=False,
    )
    return figure
