"""What the figures of `plots.py` share: their style, and data as images, points or lines.

matplotlib is imported when something is drawn; pyplot is never imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from numpyvae.likelihoods import Binomial
from numpyvae.numerics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "BLUE",
    "LABEL_SIZE",
    "ORANGE",
    "TICK_SIZE",
    "TILE_FRAME",
    "Pictured",
    "add_caption",
    "as_lines",
    "decoded_lines",
    "describe",
    "in_which_units",
    "line_pairs",
    "line_tiles",
    "name_columns",
    "new_figure",
    "number_text",
    "one_unit",
    "plain_text",
    "plane_labels",
    "point_pairs",
    "show_tiles",
    "tile_shape",
    "value_range",
]


class Pictured(Protocol):
    """What every figure needs of a model."""

    @property
    def data_dim(self) -> int: ...

    @property
    def likelihood(self) -> Any: ...


DPI, LABEL_SIZE, TICK_SIZE = 150, 13, 11
MOST_NAMED = 30
"""With more columns than this, an axis does not show their names."""
# For colour-blind readers: Okabe & Ito 2008.
BLUE, ORANGE = "#0072B2", "#D55E00"
TILE_FRAME = "#c5d5ea"


# Data as images, as points of the plane, as lines.


def tile_shape(data_dim: int, image_shape: tuple[int, int] | None) -> tuple[int, int] | None:
    """The (height, width) to show data as, or None if they are not images."""
    if image_shape is not None:
        if len(image_shape) != 2 or math.prod(image_shape) != data_dim:
            raise ValueError(f"image_shape must have {data_dim} pixels, got {image_shape}")
        return image_shape
    side = math.isqrt(data_dim)
    return (side, side) if side * side == data_dim and side not in (2, 3) else None


def value_range(vae: Pictured, x: Array) -> tuple[float, float]:
    """The values shown white and black: the limits of the data, else percentiles 1 and 99 of x."""
    if isinstance(vae.likelihood, Binomial):
        return 0.0, vae.likelihood.data_scale
    white, black = np.quantile(x, [0.01, 0.99])
    return float(white), float(black)


def as_lines(vae: Pictured, x: Array) -> Array:
    """x (N, D) to draw as lines; standardised if the model does so, so that no column dominates."""
    units = vae.likelihood.standardization
    return x if units is None or vae.data_dim == 2 else units.forward({}, x)[0]


def in_which_units(vae: Pictured) -> str:
    """What a title says about `as_lines`."""
    as_they_are = vae.likelihood.standardization is None or vae.data_dim == 2
    return "" if as_they_are else ", each column standardised"


def show_tiles(
    figure: Figure,
    ax: Axes,
    x: Array,
    shape: tuple[int, int],
    columns: int,
    white_black: tuple[float, float],
) -> None:
    """Images x (n, D) in one picture, each framed in a cell of side 1; NaN leaves a cell empty."""
    from matplotlib import colormaps

    enlarged = math.ceil(32 / math.sqrt(x.shape[1]))  # a frame of one pixel is thin
    images = np.kron(x.reshape(-1, *shape), np.ones((1, enlarged, enlarged)))
    images = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    n, height, width = images.shape
    rows = math.ceil(n / columns)
    images = np.pad(images, ((0, rows * columns - n), (0, 0), (0, 0)), constant_values=np.nan)
    picture = images.reshape(rows, columns, height, width).swapaxes(1, 2)
    ax.imshow(
        picture.reshape(rows * height, columns * width),
        cmap=colormaps["gray_r"].with_extremes(bad=TILE_FRAME),
        vmin=white_black[0],
        vmax=white_black[1],
        extent=(0, columns, rows, 0),
        aspect=height / width,
        interpolation="antialiased",
    )
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set(xticks=[], yticks=[])
    beyond = np.nanmin(x) < white_black[0] or np.nanmax(x) > white_black[1]
    cut = ", values beyond are cut" if beyond else ""
    add_caption(
        figure, f"white: {number_text(white_black[0])}, black: {number_text(white_black[1])}{cut}"
    )


def one_unit(ax: Axes, x: Array) -> None:
    """One scale for both axes of points x (N, 2), unless their units differ."""
    spans = np.ptp(x, axis=0)
    if spans.min() > 0.05 * spans.max():
        ax.set_aspect("equal", adjustable="datalim")


def point_pairs(x: Array, mean: Array, title: str, columns: Sequence[str] | None = None) -> Figure:
    """Points of the plane, each joined to its reconstruction."""
    from matplotlib.collections import LineCollection

    figure, axes = new_figure(8.0, 7.0)
    ax = axes[0, 0]
    ax.add_collection(LineCollection(list(np.stack([x, mean], axis=1)), colors="0.8", lw=0.7))
    ax.scatter(*x.T, s=16, color=BLUE, alpha=0.6, lw=0, label="original", zorder=2)
    ax.scatter(*mean.T, s=16, color=ORANGE, marker="D", lw=0, label="reconstruction", zorder=3)
    one_unit(ax, x)
    ax.legend(fontsize=LABEL_SIZE, markerscale=2)
    describe(ax, title, *plane_labels(columns))
    return figure


def decoded_lines(figure: Figure, ax: Axes, x: Array, z: Array, dims: tuple[int, ...]) -> None:
    """The grid's lines of equal z, x (rows, n_side, D), coloured by z if there is only one row."""
    from matplotlib.collections import LineCollection

    coloured: Any
    if len(x) > 1:
        for lines, i, colour in ((x.swapaxes(0, 1), 0, ORANGE), (x, 1, BLUE)):
            label = f"z[{dims[i]}] constant"
            ax.add_collection(LineCollection(list(lines), colors=colour, lw=1.2, label=label))
        ax.legend(fontsize=TICK_SIZE)
    else:
        if x.shape[2] == 2:
            ax.plot(*x[0].T, color="0.7", lw=1.5)
            coloured = ax.scatter(x[0, :, 0], x[0, :, 1], c=z, cmap="viridis", s=50, zorder=2)
        else:
            curves = [np.column_stack([np.arange(x.shape[2]), values]) for values in x[0]]
            coloured = LineCollection(curves, array=z, cmap="viridis", lw=2)
            ax.add_collection(coloured)
        figure.colorbar(coloured, ax=ax).set_label(f"z[{dims[0]}]", fontsize=LABEL_SIZE)
    if x.shape[2] == 2:
        one_unit(ax, x[0])
    ax.autoscale_view()


def line_pairs(x: Array, mean: Array, title: str, columns: Sequence[str] | None = None) -> Figure:
    """A panel for each example: its values and its reconstruction over the data dimensions."""
    from matplotlib.ticker import MaxNLocator

    n = min(len(x), 5)
    rows = math.ceil(len(x) / n)
    figure, axes = new_figure(max(2.4 * n, 6.0), 2.0 * rows + 1.2, rows, n, share=True)
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    marker = "o" if x.shape[1] <= 30 else ""
    for i, ax in enumerate(axes.flat):
        ax.set_visible(i < len(x))
        if i < len(x):
            ax.plot(x[i], color=BLUE, marker=marker, ms=4, label="original")
            ax.plot(mean[i], "--", color=ORANGE, marker=marker, ms=4, label="reconstruction")
            describe(ax, f"x[{i}]", "data dimension", "value")
            name_columns(ax, columns)
            ax.label_outer()
    figure.suptitle(title, fontsize=LABEL_SIZE, x=0.02, ha="left")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=LABEL_SIZE, frameon=False)
    return figure


def line_tiles(
    figure: Figure, ax: Axes, x: Array, n_side: int, columns: Sequence[str] | None = None
) -> None:
    """The values over data dimensions, x (n_side^2, D), as a small curve in each cell."""
    from matplotlib.collections import LineCollection

    row, column = np.divmod(np.arange(len(x)), n_side)
    low, high = float(x.min()), float(x.max())
    along = np.linspace(0.1, 0.9, x.shape[1]) + column[:, None]
    down = row[:, None] + 0.95 - 0.9 * (x - low) / ((high - low) or 1.0)
    ax.add_collection(LineCollection(list(np.stack([along, down], axis=2)), colors=BLUE, lw=1))
    ax.set(xlim=(0, n_side), ylim=(n_side, 0), aspect="equal")
    values = f"{number_text(low)} to {number_text(high)}"
    over = f"the {x.shape[1]} data dimensions"
    if columns and len(columns) <= 6:
        over = ", ".join(map(plain_text, columns))
    add_caption(figure, f"in each cell: values from {values} over {over}")


# What the figures share.


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, share: bool = False
) -> tuple[Figure, Any]:
    """An empty figure of the given size in inches, and its axes (rows, columns)."""
    from numpyvae.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=TICK_SIZE)
    return figure, axes


def describe(ax: Axes, title: str, x_label: str = "", y_label: str = "") -> None:
    """Title and axis labels, in the sizes of all figures."""
    ax.set_title(title, fontsize=LABEL_SIZE, loc="left")
    ax.set_xlabel(x_label, fontsize=LABEL_SIZE)
    ax.set_ylabel(y_label, fontsize=LABEL_SIZE)


def name_columns(ax: Axes, columns: Sequence[str] | None) -> None:
    """Name the data dimensions along the x axis, if they have names and not too many."""
    if columns and len(columns) <= MOST_NAMED:
        names = [plain_text(name) for name in columns]
        upright = len(names) > 4 or max(map(len, names)) > 4
        ax.set_xticks(range(len(names)), names, rotation=90 if upright else 0)
        ax.set_xlabel("")


def plane_labels(columns: Sequence[str] | None) -> tuple[str, str]:
    """The axis labels of the plane: the names of the columns, or x[0] and x[1]."""
    first, second = columns or ("x[0]", "x[1]")
    return plain_text(first), plain_text(second)


def plain_text(value: Any) -> str:
    """A name from a user's file for a figure: one line, cut if long, never read as a formula."""
    text = " ".join(str(value).split())
    text = text if len(text) <= 18 else text[:17] + "\N{HORIZONTAL ELLIPSIS}"
    return text.replace("$", r"\$")


def add_caption(figure: Figure, text: str) -> None:
    """Grey lines below the whole figure, broken to its width, that say how to read it."""
    figure.supxlabel(text, fontsize=TICK_SIZE, color="0.35", wrap=True)


def number_text(value: float, form: str = ".3g") -> str:
    """A number as text, with a true minus sign."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")
