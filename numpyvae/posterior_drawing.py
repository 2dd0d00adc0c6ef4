"""Posteriors drawn in the latent space: each an ellipse or an interval, coloured by its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numpyvae.drawing import LABEL_SIZE, TICK_SIZE, plain_text
from numpyvae.numerics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CLASS_COLOURS", "CLASS_MARKERS", "class_name", "ellipses", "intervals"]

# For colour-blind readers: Petroff 2021, arXiv 2107.02270.
CLASS_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
CLASS_MARKERS = ("o", "^", "s")
"""Each ten classes have a marker; the next ten have the same colours again."""


def class_name(value: Any) -> str:
    """A class as text: 1 for 1.0; a long name is cut to fit beside the figure."""
    whole = isinstance(value, float | np.floating) and value == np.floor(value)
    return plain_text(int(value) if whole else value)


def ellipses(ax: Axes, mean: Array, sd: Array, index: Array, names: list[str]) -> None:
    """Posteriors in the plane: mean (N, 2), sd (N, 2)."""
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import to_rgba_array
    from matplotlib.patheffects import withStroke

    reach = np.minimum(sd, 1)  # a posterior much wider than the prior must not set the scale
    low = np.minimum((mean - reach).min(axis=0), -2.1)
    high = np.maximum((mean + reach).max(axis=0), 2.1)
    middle, half = (low + high) / 2, 0.52 * (high - low).max()
    crowding = np.pi * reach.prod(axis=1).sum() / (2 * half) ** 2
    opacity = min(0.3, 0.3 / max(crowding, 1.0))
    colours = np.take(CLASS_COLOURS, index, mode="wrap")
    ellipses = EllipseCollection(
        widths=2 * sd[:, 0],
        heights=2 * sd[:, 1],
        angles=np.zeros(len(sd)),
        units="xy",
        offsets=mean,
        offset_transform=ax.transData,
        facecolors=to_rgba_array(colours, opacity),
        edgecolors=to_rgba_array(colours, 2.5 * opacity),
        linewidths=0.6,
    )
    ax.add_collection(ellipses)
    for i in range(index.max() // len(CLASS_COLOURS) + 1):
        rows = index // len(CLASS_COLOURS) == i
        marker = CLASS_MARKERS[i % len(CLASS_MARKERS)]
        x, y, size = mean[rows, 0], mean[rows, 1], 14 if i == 0 else 22
        style: dict[str, Any] = {"lw": 0.4, "edgecolors": "white", "zorder": 2}
        ax.scatter(x, y, s=size, c=colours[rows], marker=marker, **style)
    angle = np.linspace(0, 2 * np.pi, 200)
    for radius in (1, 2):
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.4", lw=1, zorder=3)
    for k, name in enumerate(names):
        colour, marker = (
            CLASS_COLOURS[k % len(CLASS_COLOURS)],
            CLASS_MARKERS[k // len(CLASS_COLOURS)],
        )
        ax.scatter([], [], s=60, color=colour, marker=marker, label=name)
        if len(names) > 10 and len(name) > 3:
            continue  # long names would cover the points
        halo = [withStroke(linewidth=3, foreground="white")]
        x, y = np.median(mean[index == k], axis=0)
        size = TICK_SIZE if len(names) > 10 else 18 if len(name) < 3 else LABEL_SIZE
        ax.text(x, y, name, size=size, weight="bold", ha="center", va="center", path_effects=halo)
    if names:
        many = len(names) > 15
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(1, 1),
            fontsize=TICK_SIZE if many else LABEL_SIZE,
            ncols=2 if many else 1,
            columnspacing=0.8,
            frameon=False,
        )
    ax.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half], aspect="equal")


def intervals(ax: Axes, mean: Array, sd: Array, index: Array, names: list[str]) -> None:
    """Posteriors on the line, mean (N, 1), sd (N, 1): a band for each class."""
    colours = np.take(CLASS_COLOURS, index, mode="wrap")
    height = np.empty(len(mean))
    for k in range(index.max() + 1):
        rows = np.flatnonzero(index == k)
        height[rows[np.argsort(mean[rows, 0])]] = k + np.linspace(-0.4, 0.4, len(rows))
    low, high = (mean - sd)[:, 0], (mean + sd)[:, 0]
    ax.hlines(height, low, high, colors=list(colours), lw=1.5, alpha=0.5)
    ax.scatter(mean[:, 0], height, s=6, c=colours, lw=0, zorder=2)
    for z in (-2, -1, 1, 2):
        ax.axvline(z, ls="--", color="0.5", lw=1, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize=LABEL_SIZE)
