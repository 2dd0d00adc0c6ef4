"""Pictures of your model, drawn by the functions that you wrote. Nothing to write here.

`show` prints them as characters. With matplotlib it saves them as `your_vae.png`; with numpyvae
installed it also writes `your_vae.html`, a page that explores your parameters.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = ["PAGE", "PICTURE", "digits", "draw", "latent_points", "show"]

SIDE = 8  # pixels of a digit's side, and digits of the manifold's
SAMPLES = 25
PICTURE, PAGE = "your_vae.png", "your_vae.html"


def digits() -> Any:
    """The training digits beside this file, zeros and ones (M, 64)."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return file["x"].astype(float)


def show(losses: Any, params: Any, decode: Any, rng: Any) -> None:
    """Draw how the loss fell, what lies where in the latent plane, and new digits."""
    images = decode(params, latent_points(rng))
    here = Path(__file__).parent
    _say(draw(losses, images, here, getattr(sys.stdout, "encoding", None)))
    if "IPython" in sys.modules and (here / PICTURE).exists():
        display = sys.modules["IPython"].display
        display.display(display.Image(str(here / PICTURE)))
    try:
        from numpyvae.exercises.student.own_page import write_page
    except ImportError:  # numpyvae is not installed, or has no such page
        return
    _say(write_page(params, here / PAGE))


def _say(text: str) -> None:
    """Print, and go on where nobody reads on, as in `python ex9_vae.py | head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # what is left to print must not raise at Python's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def latent_points(rng: Any) -> Any:
    """z (SIDE^2 + SAMPLES, 2): a grid of equal prior probability, then draws from the prior."""
    line = [NormalDist().inv_cdf((i + 0.5) / SIDE) for i in range(SIDE)]
    grid = [(right, up) for up in reversed(line) for right in line]
    return np.vstack([grid, rng.standard_normal((SAMPLES, 2))])


def draw(losses: Any, images: Any, folder: Path, encoding: str | None = "utf-8") -> str:
    """Save the picture, if there is matplotlib; what to print. `images` are at `latent_points`."""
    images = np.clip(np.nan_to_num(images), 0.0, 1.0).reshape(-1, SIDE, SIDE)
    manifold, samples = images[: SIDE**2], images[SIDE**2 :]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        said = ["The manifold: the digits over the latent plane.", _tiles(manifold, SIDE, encoding)]
        said += ["The loss of each step, in nats.", _curve(losses, encoding)]
    else:
        said = [_saved(Figure(figsize=(15, 5), layout="constrained"), losses, manifold, samples,
                       Path(folder) / PICTURE)]  # fmt: skip
    return "\n".join(["New digits, from the prior:", _tiles(samples[:8], 8, encoding), *said])


def _saved(figure: Any, losses: Any, manifold: Any, samples: Any, path: Path) -> str:
    """The three pictures in one file; a line that names it."""
    curve, plane, new = figure.subplots(1, 3)
    means = np.convolve(losses, np.ones(50) / 50, "valid") if len(losses) > 50 else losses
    curve.plot(np.arange(len(losses)), losses, color="#0072B2", alpha=0.25, label="each step")
    curve.plot(np.arange(len(means)) + len(losses) - len(means), means, color="#0072B2",
               label="mean of the last 50")  # fmt: skip
    curve.set(title="How your model learned", xlabel="step", ylabel="loss in nats")
    curve.set(ylim=(0.95 * np.min(means), np.max(losses)))
    curve.legend(frameon=False)
    for ax, tiles, title in (
        (plane, manifold, "Your manifold: decode(z) over the latent plane"),
        (new, samples, "New digits: decode(z), z from the prior"),
    ):
        columns = SIDE if len(tiles) == SIDE**2 else 5
        ax.imshow(_side_by_side(tiles, columns), cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=title, xticks=[], yticks=[])
    plane.set(xlabel="z[0]", ylabel="z[1]")
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        return f"no picture: {path} cannot be written ({error.strerror})"
    return f"{path}: how your model learned, its manifold, its samples"


def _side_by_side(tiles: Any, columns: int) -> Any:
    """Images (n, SIDE, SIDE) in rows, with a blank pixel around each."""
    framed = np.pad(tiles, ((0, 0), (1, 1), (1, 1)))
    rows = framed.reshape(-1, columns, SIDE + 2, SIDE + 2)
    return rows.transpose(0, 2, 1, 3).reshape(-1, columns * (SIDE + 2))


def _tiles(tiles: Any, columns: int, encoding: str | None) -> str:
    return _characters(_side_by_side(tiles, columns) > 0.5, encoding)


def _characters(ink: Any, encoding: str | None) -> str:
    """Two rows of pixels a line."""
    marks = " ▄▀█"
    try:
        marks.encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        marks = " .':"
    pairs = 2 * ink[0::2].astype(int) + ink[1::2]
    return "\n".join("".join(marks[i] for i in line).rstrip() for line in pairs)


def _curve(losses: Any, encoding: str | None, columns: int = 64, rows: int = 20) -> str:
    """The means of pieces of the curve, and the largest and the smallest of them in numbers."""
    pieces = np.array_split(losses, min(columns, len(losses)))
    means = np.nan_to_num([piece.mean() for piece in pieces])
    low, high = means.min(), max(means.max(), means.min() + 1e-9)
    ink = np.zeros((rows, len(means)), bool)
    ink[np.rint((high - means) / (high - low) * (rows - 1)).astype(int), np.arange(len(means))] = 1
    lines = [f"{'':8}{line}".rstrip() for line in _characters(ink, encoding).split("\n")]
    lines[0] = f"{high:7.1f}{lines[0][7:]}"
    lines[-1] = f"{low:7.1f}{lines[-1][7:]}"
    return "\n".join(lines)
