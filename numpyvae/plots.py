"""Figures of a fitted VAE: its training, its reconstructions and samples, and its latent space.

Every function returns a `matplotlib.figure.Figure` for the caller to save. matplotlib is imported
when a figure is drawn; pyplot is never imported: no window, no backend, no global state.

Data of D = side^2 dimensions (1, 16, 25, ..., 784; not 4 and 9) are shown as images, dark where a
value is high, like ink on paper; with `image_shape=(height, width)` so are data of any other D.
Data of two dimensions are shown as points, all other data as lines; `columns` are the names of
their D dimensions. Latent dimensions are called z[0], z[1], ... as in the arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from numpyvae.drawing import (
    BLUE,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    Pictured,
    add_caption,
    as_lines,
    decoded_lines,
    describe,
    in_which_units,
    line_pairs,
    line_tiles,
    name_columns,
    new_figure,
    number_text,
    one_unit,
    plane_labels,
    point_pairs,
    show_tiles,
    tile_shape,
    value_range,
)
from numpyvae.gaussian import kl_to_standard_normal
from numpyvae.numerics import Array
from numpyvae.posterior_drawing import CLASS_COLOURS, class_name, ellipses, intervals
from numpyvae.validation import as_matrix, positive_int

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from numpyvae.history import History

__all__ = [
    "has_standard_normal_prior",
    "informative_dims",
    "latent_space",
    "learning_curves",
    "manifold",
    "prior_grid",
    "reconstructions",
    "samples",
]

MAX_CLASSES = 30
"""With more classes than this, a figure does not name them."""
MAX_POINTS = 2000
"""The most points drawn of two-dimensional data."""
MANY_EPOCHS = 20
"""From this many epochs on, their axis is logarithmic and leaves out the first steep drop."""
TICKS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


class Drawable(Pictured, Protocol):
    """What the figures need of a model; each function needs a part of it."""

    @property
    def latent_dim(self) -> int: ...

    def reconstruct(self, x: Array) -> Array:
        """For `reconstructions`: E[x|z] at the posterior mean, (N, D) -> (N, D)."""

    def sample(self, n: int, rng: np.random.Generator | None = None) -> Array:
        """For `samples`: E[x|z] at n draws z ~ p(z), (n, D)."""

    def axis_posterior(self, x: Array) -> tuple[Array, Array]:
        """For `latent_space`: mean and log_var (N, L) of each z_l given x."""

    def decode(self, z: Array) -> Array:
        """For `manifold`: E[x|z], (N, L) -> (N, D)."""


def learning_curves(history: History) -> Figure:
    """ELBO, log p(x|z) and KL over the epochs, in nats per example, of training and test data.

    The first epochs drop so steeply that they would squash all others. So with E >= 20 epochs,
    those before E^(1/4) are left out, the axis is logarithmic, and thick lines show means over
    windows of equal width on this axis.
    """
    if not history:
        raise ValueError("history is empty: expected at least one epoch to draw")
    titles = {
        "elbo": "ELBO (higher is better)",
        "log_px": r"Reconstruction, $\log\,p(x|z)$",
        "kl": r"$\mathrm{KL}(q(z|x)\,\|\,p(z))$",
    }
    titles = {name: title for name, title in titles.items() if name in history.names()}
    if "elbo" not in titles:
        titles = {"loss": "Loss (lower is better)"}
    figure, axes = new_figure(max(9.0, 4.5 * len(titles)), 4.5, 1, len(titles))
    for ax, (name, title) in zip(axes.flat, titles.items(), strict=True):
        _curve(ax, history.column(name), "train", BLUE, "-")
        _curve(ax, history.column(f"validation_{name}"), "test", ORANGE, "--")
        _epoch_axis(ax, len(history))
        ax.legend(fontsize=TICK_SIZE, frameon=False)
        describe(ax, title, "epoch", "nats per example")
    caption = "train: mean over the epoch, while learning; test: at its end"
    if len(history) >= MANY_EPOCHS:
        first = _first_epoch(len(history))
        caption += f"   |   thin: each epoch, from {first} on; thick: local mean"
    add_caption(figure, caption)
    return figure


def reconstructions(
    vae: Drawable,
    x: Array,
    n: int = 10,
    image_shape: tuple[int, int] | None = None,
    columns: Sequence[str] | None = None,
) -> Figure:
    """The first n rows of x (N, D) beside their reconstructions, E[x|z] at z = mean(x).

    Images are shown above their reconstructions, and lines on top of each other. Two-dimensional
    points (up to 2,000, for any n) are joined to their reconstructions.
    """
    x, n = as_matrix("x", x, vae.data_dim, "(N, D)"), positive_int("n", n)
    shape = tile_shape(vae.data_dim, image_shape)
    x = x[: MAX_POINTS if vae.data_dim == 2 and not shape else n]
    mean, title = vae.reconstruct(x), "Originals, and $E[x|z]$ at their posterior means"
    if not shape:
        x, mean, title = as_lines(vae, x), as_lines(vae, mean), title + in_which_units(vae)
        return (point_pairs if vae.data_dim == 2 else line_pairs)(x, mean, title, columns)
    width = min(max(len(x), 5), 12)
    figure, axes = new_figure(width + 1.4, 2 * width / len(x) * shape[0] / shape[1] + 0.7)
    show_tiles(figure, axes[0, 0], np.concatenate([x, mean]), shape, len(x), value_range(vae, x))
    axes[0, 0].set_yticks([0.5, 1.5], ["original", "reconstruction"], fontsize=LABEL_SIZE)
    describe(axes[0, 0], title)
    return figure


def samples(
    vae: Drawable,
    n: int = 64,
    rng: np.random.Generator | None = None,
    image_shape: tuple[int, int] | None = None,
    columns: Sequence[str] | None = None,
    classes: Sequence[Any] | None = None,
) -> Figure:
    """E[x|z] at n draws z ~ p(z); `rng=None` draws from the model's seed.

    `classes` (n,) are the classes of the draws, in groups: each class starts a row of images, or
    has a colour of its own.
    """
    x, shape = vae.sample(n, rng), tile_shape(vae.data_dim, image_shape)
    groups = _groups([""] * n if classes is None else [class_name(value) for value in classes])
    what = "$E[x|z]$" if classes is None else "$E[x|z, y]$"
    n_columns = min(math.ceil(math.sqrt(n)), max(last - first for _, first, last in groups))
    title = f"{what} at {n} draws of $z$ from the prior"
    title += f", $y$ = {groups[0][0]}" if classes is not None and len(groups) == 1 else ""
    rows = [math.ceil((last - first) / n_columns) for _, first, last in groups]
    height = 5.0 if vae.data_dim > 2 else 7.0
    if shape:
        height = 7.0 * sum(rows) / n_columns * shape[0] / shape[1] + 0.6
    figure, axes = new_figure(7.0 if shape or vae.data_dim == 2 else 9.0, height)
    ax = axes[0, 0]
    if shape:
        tiles, starts = _rows_of_classes(x, groups, n_columns)
        show_tiles(figure, ax, tiles, shape, n_columns, value_range(vae, x))
        if len(groups) > 1:
            names = [name for name, _, _ in groups]
            ax.set_yticks([start + 0.5 for start in starts], names, fontsize=LABEL_SIZE)
        describe(ax, title, "", "class $y$" if len(groups) > 1 else "")
        return figure
    _points_or_lines(ax, vae, x, groups)
    if vae.data_dim == 2:
        describe(ax, title, *plane_labels(columns))
    else:
        describe(ax, title + in_which_units(vae), "data dimension", "value")
        name_columns(ax, columns)
    return figure


def _points_or_lines(ax: Axes, vae: Drawable, x: Array, groups: list[tuple[str, int, int]]) -> None:
    """Rows of x (n, D) as points (D = 2) or as lines, each group in a colour of its own."""
    coloured = 1 < len(groups) <= len(CLASS_COLOURS)
    lines, alpha = as_lines(vae, x), max(0.05, min(0.9, 20 / len(x)))
    for i, (name, first, last) in enumerate(groups):
        colour, label = (CLASS_COLOURS[i], name) if coloured else (BLUE, "")
        if vae.data_dim == 2:
            ax.scatter(
                x[first:last, 0], x[first:last, 1], s=24, color=colour, alpha=0.7, lw=0, label=label
            )
        else:
            ax.plot(lines[first:last].T, color=colour, alpha=alpha, lw=1.2)
            ax.plot([], [], color=colour, lw=2, label=label) if coloured else None
    if coloured:
        ax.legend(
            title="class $y$",
            title_fontsize=TICK_SIZE,
            fontsize=TICK_SIZE,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1, 1),
        )
    if vae.data_dim == 2:
        one_unit(ax, x)


def _rows_of_classes(
    x: Array, groups: list[tuple[str, int, int]], n_columns: int
) -> tuple[Array, list[int]]:
    """x (n, D), padded with NaN so that each group starts a new row of images; and these rows."""
    rows = [
        np.pad(x[first:last], ((0, (first - last) % n_columns), (0, 0)), constant_values=np.nan)
        for _, first, last in groups
    ]
    starts = np.cumsum([0, *(len(row) // n_columns for row in rows[:-1])])
    return np.concatenate(rows), starts.tolist()


def _groups(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Each run of equal names: the name, its first index and the one after its last."""
    sizes = [(name, len(list(group))) for name, group in itertools.groupby(names)]
    ends = np.cumsum([size for _, size in sizes]).tolist()
    return [(name, end - size, end) for (name, size), end in zip(sizes, ends, strict=True)]


def latent_space(vae: Drawable, x: Array, labels: Array | None = None) -> Figure:
    """q(z|x) of each row of x: its mean, and one standard deviation exp(log_var/2) to each side.

    With more than two latent dimensions, the two with the largest KL are shown. One latent
    dimension gives an interval for each example, ordered by the mean. `labels` (N,) are classes,
    for colours.
    """
    mean, log_var = vae.axis_posterior(x)
    if labels is not None and np.shape(labels) != (len(mean),):
        raise ValueError(f"labels must have shape (N,) = ({len(mean)},), got {np.shape(labels)}")
    one_class = np.zeros(len(mean))
    classes, index = np.unique(one_class if labels is None else labels, return_inverse=True)
    named = labels is not None and len(classes) <= MAX_CLASSES
    names = [class_name(value) for value in classes] if named else []
    dims = informative_dims(vae, x) if vae.latent_dim > 2 else tuple(range(vae.latent_dim))
    figure, axes = new_figure(8.8, 7.8 if len(dims) == 2 else max(6.0, 0.27 * len(names)))
    draw = ellipses if len(dims) == 2 else intervals
    sd = np.exp(np.minimum(0.5 * log_var, 3.0))  # 20 fills any picture, and 1e20 cannot be drawn
    draw(axes[0, 0], mean[:, dims], sd[:, dims], index, names)
    title = f"Latent space: $q(z|x)$ of {len(mean)} examples"
    if vae.latent_dim > 2:
        title += f", the two of {vae.latent_dim} dimensions with the most KL"
    kl, standard = _kl_by_dim(mean, log_var), has_standard_normal_prior(vae)
    to = "" if standard else " to N(0, 1)"
    axis_labels = [f"z[{i}]   (mean KL{to} {kl[i]:.2f} nats)" for i in dims]
    if len(dims) == 1:
        axis_labels.append("examples, ordered by mean" + (" in each class" if names else ""))
    describe(axes[0, 0], title, *axis_labels)
    mark = "ellipses" if len(dims) == 2 else "bars"
    of = "the prior" if standard else "N(0, I), not of this model's prior"
    add_caption(figure, f"dots: means; {mark}: 1 standard deviation; dashed: 1 and 2 of {of}")
    return figure


def has_standard_normal_prior(model: Any) -> bool:
    """Whether p(z) = N(0, I), as `latent_space` and `manifold` assume."""
    return getattr(getattr(model, "prior", None), "is_standard_normal", False)


def informative_dims(vae: Drawable, x: Array) -> tuple[int, ...]:
    """The two latent dimensions with the largest mean KL (if L = 1, the one), largest first."""
    order = np.argsort(-_kl_by_dim(*vae.axis_posterior(x)), kind="stable")
    return tuple(int(i) for i in order[:2])


def manifold(
    vae: Drawable,
    n_side: int = 20,
    dims: tuple[int, ...] = (0, 1),
    image_shape: tuple[int, int] | None = None,
    columns: Sequence[str] | None = None,
) -> Figure:
    """E[x|z] over `prior_grid`: the two latent dimensions `dims` (`informative_dims` finds them).

    A model with one latent dimension, or `dims` with one entry, gives a line instead of a square.
    """
    shape, dims = tile_shape(vae.data_dim, image_shape), dims[: vae.latent_dim]
    z = prior_grid(n_side, vae.latent_dim, dims)
    x, flat = vae.decode(z), len(dims) == 1
    of = "prior" if has_standard_normal_prior(vae) else r"$N(0, I)$"
    title = f"$E[x|z]$ on a grid of equal {of} probability"
    if not shape:
        x, title = as_lines(vae, x), title + in_which_units(vae)
    if vae.latent_dim > len(dims):
        title += " (other dimensions of $z$: 0)"
    strip = (12.0, 12 / n_side + 1.5) if shape else (9.0, 5.0 if vae.data_dim > 2 else 7.0)
    figure, axes = new_figure(*(strip if flat else (7.4, 7.8)))
    ax = axes[0, 0]
    if not shape and (flat or vae.data_dim == 2):
        decoded_lines(figure, ax, x.reshape(-1, n_side, vae.data_dim), z[:, dims[0]], dims)
        if vae.data_dim == 2:
            describe(ax, title, *plane_labels(columns))
        else:
            describe(ax, title, "data dimension", "value")
            name_columns(ax, columns)
        return figure
    if shape:
        show_tiles(figure, ax, x, shape, n_side, value_range(vae, x))
    else:
        line_tiles(figure, ax, x, n_side, columns)
    ticks = [n_side * NormalDist().cdf(z) for z in TICKS]
    names = [number_text(z) for z in TICKS]
    ax.set_xticks(ticks, names)
    if not flat:
        ax.set_yticks([n_side - tick for tick in ticks], names)
    ax.tick_params(length=4)
    describe(ax, title, *[f"z[{i}]" for i in dims])
    return figure


def prior_grid(n_side: int, latent_dim: int, dims: tuple[int, ...]) -> Array:
    """The z whose normal CDF is the centres of n_side x n_side cells of the unit square.

    (n_side^len(dims), L), row by row as a picture is drawn: z[dims[0]] grows to the right,
    z[dims[1]] upwards, all other dimensions are 0. Every cell has the same prior probability.
    """
    n_side = positive_int("n_side", n_side)
    if not 1 <= len(dims) == len(set(dims)) <= 2 or not set(dims) <= set(range(latent_dim)):
        raise ValueError(f"dims must be one or two of 0, ..., {latent_dim - 1} (L - 1), got {dims}")
    line = np.array([NormalDist().inv_cdf((i + 0.5) / n_side) for i in range(n_side)])
    z = np.zeros((n_side,) * len(dims) + (latent_dim,))
    z[..., dims[0]] = line
    if len(dims) == 2:
        z[..., dims[1]] = line[::-1, None]
    return z.reshape(-1, latent_dim)


# The panels of learning_curves.


def _first_epoch(n_epochs: int) -> int:
    return math.ceil(n_epochs**0.25) if n_epochs >= MANY_EPOCHS else 1


def _curve(ax: Axes, values: Array, label: str, colour: str, line: str) -> None:
    """One quantity over the epochs, (E,), unless all of it is NaN."""
    if np.isnan(values).all():
        return
    label += f", {number_text(values[~np.isnan(values)][-1], '.1f')} at the end"
    first = _first_epoch(len(values))
    epochs, values = np.arange(first, len(values) + 1), values[first - 1 :]
    if first == 1:
        ax.plot(epochs, values, line, marker="o", color=colour, lw=2, label=label)
        return
    starts = np.unique(np.geomspace(first, epochs[-1] + 1, 81)[:-1].astype(int)) - first
    count = np.diff(starts, append=len(values))
    means = [np.add.reduceat(a, starts) / count for a in (epochs, values)]
    ax.plot(epochs, values, color=colour, lw=0.8, alpha=0.35)
    ax.plot(*means, line, color=colour, lw=2, label=label)


def _epoch_axis(ax: Axes, n_epochs: int) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    ax.grid(color="0.9")
    if n_epochs < MANY_EPOCHS:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())


def _kl_by_dim(mean: Array, log_var: Array) -> Array:
    """KL(q(z_l|x) || p(z_l)), averaged over the examples: (N, L), (N, L) -> (L,) nats."""
    each, _ = kl_to_standard_normal(mean.reshape(-1, 1), log_var.reshape(-1, 1))  # (N L,)
    return each.reshape(mean.shape).mean(axis=0)
