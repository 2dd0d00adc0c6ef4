"""A film of training: the latent space after epochs 1, 2, 4, 8, ..., as a strip and as a GIF.

film = Film(x_test, labels)
vae.fit(x, 300, callbacks=[film])
film.strip().savefig("film.png")
film.save("film.gif")
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpyvae.data.files import atomic_write
from numpyvae.drawing import (
    BLUE,
    DPI,
    LABEL_SIZE,
    TICK_SIZE,
    TILE_FRAME,
    add_caption,
    as_lines,
    describe,
    new_figure,
    number_text,
    show_tiles,
    tile_shape,
    value_range,
)
from numpyvae.numerics import Array
from numpyvae.plots import (
    MAX_POINTS,
    has_standard_normal_prior,
    informative_dims,
    prior_grid,
)
from numpyvae.posterior_drawing import CLASS_COLOURS, class_name
from numpyvae.validation import positive_int

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Film"]

MOST_CLASSES = 10
"""As many as there are colours; more classes are all drawn in one colour."""


class _Frame(NamedTuple):
    """What a frame shows of one epoch; all frames share their axes."""

    title: str
    codes: Array
    """(N, 2)"""
    grid: Array
    """(n_side^2, D), or for one latent dimension (n_side, D)"""
    samples: Array
    """(n_samples, D)"""


class Film:
    """Callback that keeps the parameters after epochs 1, 2, 4, 8, ... and after the last.

    Most is learned early, so equal steps would show one change and then none. A frame draws the
    means of q(z|x) for the rows of x, E[x|z] over `prior_grid`, and E[x|z] at draws from the prior.
    x, z, axes and grey scale are the same in each frame, so that every movement is learned. Of more
    than two latent dimensions, the two with the largest KL at the end are shown. The orientation of
    the codes means nothing: a rotated or mirrored latent space is as good.

    Args:
        x: (N, D), of which up to 2,000 rows are shown.
        labels: (N,) classes, for colours.
        n_side: cells along a side of the grid.
        n_samples: draws from the prior, from the generator default_rng(seed) in each frame.
    """

    def __init__(
        self,
        x: Array,
        labels: Array | None = None,
        n_side: int = 10,
        n_samples: int = 16,
        seed: int = 0,
    ) -> None:
        self.x, self.seed = np.asarray(x)[:MAX_POINTS], positive_int("seed", seed, least=0)
        self.n_side = positive_int("n_side", n_side)
        self.n_samples = positive_int("n_samples", n_samples)
        if labels is not None and np.shape(labels) != (len(x),):
            raise ValueError(f"labels must have shape (N,) = ({len(x)},), got {np.shape(labels)}")
        classes = np.zeros(len(self.x)) if labels is None else np.asarray(labels)[: len(self.x)]
        names, self.classes = np.unique(classes, return_inverse=True)
        coloured = labels is not None and len(names) <= MOST_CLASSES
        self.names = [class_name(value) for value in names] if coloured else []
        self.kept: list[tuple[dict[str, float], Array]] = []
        self.model: Any = None

    def __call__(self, model: Any, record: Mapping[str, float]) -> None:
        """Keep this epoch, and drop the one before unless its number is a power of two."""
        self.model = model
        if self.kept and bin(int(self.kept[-1][0]["epoch"])).count("1") > 1:
            self.kept.pop()
        self.kept.append((dict(record), model.theta.copy()))

    @property
    def epochs(self) -> list[int]:
        """The epochs of the frames."""
        return [int(record["epoch"]) for record, _ in self.kept]

    def strip(self) -> Figure:
        """All frames side by side, for print."""
        frames = self._frames()
        width = 1.75 * len(frames) + (1.5 if self.names else 0.9)
        figure, axes = new_figure(max(width, 4.5), 6.3, 3, len(frames))
        reach = self._reach(frames)
        for i, (column, frame) in enumerate(zip(axes.T, frames, strict=True)):
            self._draw(figure, column, frame, reach, dot=5)
            describe(column[0], frame.title)
            if i:
                column[0].tick_params(labelleft=False)
        for ax, name in zip(axes[:, 0], ("codes", "grid of z", "prior draws"), strict=True):
            ax.set_ylabel(name, fontsize=LABEL_SIZE)
        self._legend(figure, axes[0, 0])
        return figure

    def save(self, path: str | PathLike[str], fps: int = 2) -> None:
        """The frames in sequence as an animated GIF; the last is shown four times as long."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        frames = self._frames()
        figure, axes = new_figure(12.4 if self.names else 11.6, 4.4, 1, 3)
        FigureCanvasAgg(figure)
        reach, writer = self._reach(frames), _gif_writer(fps)
        self._legend(figure, axes[0, 0])
        with tempfile.TemporaryDirectory() as folder:
            gif = Path(folder, "film.gif")
            with writer.saving(figure, str(gif), DPI // 2):
                for frame in [*frames, *3 * frames[-1:]]:
                    for ax in axes.flat:
                        ax.clear()
                    self._draw(figure, axes.flat, frame, reach, dot=12)
                    title = frame.title.replace("\n", ", ")
                    describe(axes[0, 0], title, "mean of $q(z|x)$, z[0]", "z[1]")
                    describe(axes[0, 1], "$E[x|z]$ on a grid of $z$")
                    describe(axes[0, 2], "$E[x|z]$ at draws from the prior")
                    writer.grab_frame()
            with atomic_write(path) as file:
                file.write(gif.read_bytes())

    def _frames(self) -> list[_Frame]:
        """The frames, one for each kept epoch."""
        if not self.kept:
            raise ValueError("the film is empty: give it to fit, as in callbacks=[film]")
        model = self.model
        with self._at(self.kept[-1][1]):
            dims = tuple(sorted(informative_dims(model, self.x)))
        frames = []
        for record, theta in self.kept:
            with self._at(theta):
                codes = np.asarray(model.encode(self.x)[0])[:, dims]
                grid = model.decode(prior_grid(self.n_side, model.latent_dim, dims))
                samples = model.sample(self.n_samples, np.random.default_rng(self.seed))
            if len(dims) == 1:  # a line for each class
                codes = np.column_stack([codes, self.classes - self.classes.mean()])
            elbo = record.get("validation_elbo", record.get("elbo"))
            text = "" if elbo is None else f"\nELBO {number_text(elbo, '.1f')}"
            frames.append(_Frame(f"epoch {int(record['epoch'])}{text}", codes, grid, samples))
        return frames

    @contextmanager
    def _at(self, theta: Array) -> Iterator[None]:
        """The model with other parameters."""
        own = self.model.theta.copy()
        np.copyto(self.model.theta, theta)
        try:
            yield
        finally:
            np.copyto(self.model.theta, own)

    @staticmethod
    def _reach(frames: list[_Frame]) -> float:
        """Half the side of the square in which all frames show their codes."""
        sizes = [np.quantile(np.abs(frame.codes), 0.995) for frame in frames]
        return 1.08 * max(2.0, *map(float, sizes))

    def _draw(self, figure: Figure, axes: Any, frame: _Frame, reach: float, dot: int) -> None:
        """Codes, grid and samples of a frame on three axes."""
        ax = axes[0]
        colours = np.take(CLASS_COLOURS, self.classes) if self.names else BLUE
        ax.scatter(*frame.codes.T, s=dot, c=colours, lw=0)
        angle = np.linspace(0, 2 * np.pi, 100)
        for radius in (1, 2):
            ax.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.4", lw=0.8)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        self._show(figure, axes[1], frame.grid, self.n_side)
        self._show(figure, axes[2], frame.samples, int(np.ceil(np.sqrt(self.n_samples))))
        of = "the prior" if has_standard_normal_prior(self.model) else "N(0, I)"
        caption = f"dashed: 1 and 2 standard deviations of {of}; ELBO in nats"
        if tile_shape(self.model.data_dim, None):
            white, black = map(number_text, value_range(self.model, self.x))
            caption += f"; white: {white}, black: {black}"
        add_caption(figure, caption)

    def _show(self, figure: Figure, ax: Axes, x: Array, columns: int) -> None:
        """Decoded x as images, as points over those of the data, or as lines."""
        model = self.model
        if shape := tile_shape(model.data_dim, None):
            return show_tiles(figure, ax, x, shape, columns, value_range(model, self.x))
        data, x = as_lines(model, self.x), as_lines(model, x)
        low, high = data.min(axis=0), data.max(axis=0)
        if model.data_dim == 2:
            ax.scatter(data[:, 0], data[:, 1], s=4, color="0.8", lw=0)
            ax.scatter(x[:, 0], x[:, 1], s=10, color=BLUE, lw=0)
            margin = 0.05 * (high - low)
            ax.set(xlim=(low - margin)[[0]] + [0, (high - low + 2 * margin)[0]])
            ax.set(ylim=(low - margin)[[1]] + [0, (high - low + 2 * margin)[1]])
        else:
            ax.plot(x.T, color=BLUE, alpha=0.3, lw=1)
            ax.set_ylim(low.min(), high.max())
        return None

    def _legend(self, figure: Figure, ax: Axes) -> None:
        from matplotlib.lines import Line2D

        dots = [
            Line2D([], [], ls="", marker="o", color=colour, label=name)
            for colour, name in zip(CLASS_COLOURS, self.names, strict=False)
        ]
        if dots:
            figure.legend(
                handles=dots, loc="outside right center", fontsize=TICK_SIZE, frameon=False
            )


def _gif_writer(fps: int) -> Any:
    """Matplotlib's writer with a palette of our own; the default would be nearly all greys.

    Of the 256 colours, the classes' and their mixtures with white come first; greys are the rest.
    """
    from matplotlib.animation import PillowWriter
    from matplotlib.colors import to_rgb

    own = np.array([to_rgb(colour) for colour in (*CLASS_COLOURS, BLUE, TILE_FRAME)])
    mixed = np.concatenate([share * own + (1 - share) for share in (1.0, 0.75, 0.5, 0.25)])
    greys = np.repeat(np.linspace(0, 1, 256 - len(mixed)), 3).reshape(-1, 3)
    palette = np.rint(255 * np.concatenate([mixed, greys])).astype(np.uint8).tobytes()

    class Writer(PillowWriter):
        _frames: Any

        def finish(self) -> None:
            colours = self._frames[0].convert("P")
            colours.putpalette(palette)
            frames = (frame.convert("RGB") for frame in self._frames)
            self._frames = [frame.quantize(palette=colours, dither=0) for frame in frames]
            super().finish()

    return Writer(fps=fps)
