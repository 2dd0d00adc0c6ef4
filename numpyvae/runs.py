"""A run of the command line: its config.json and its pictures."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import numpyvae
from numpyvae import plots
from numpyvae.data.files import atomic_write
from numpyvae.drawing import tile_shape
from numpyvae.explore import PAGE, explore_page, why_no_page
from numpyvae.film import Film
from numpyvae.model_options import model_arguments, ours
from numpyvae.models import Model
from numpyvae.models.labelled import Labelled
from numpyvae.numerics import Array
from numpyvae.run_data import NAMED_DATA, RunData
from numpyvae.run_labels import AtLabels, coded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "check_same_data",
    "chosen",
    "describe",
    "digest",
    "plain_matplotlib",
    "samples_figure",
    "save_figure",
    "write_page",
    "write_pictures",
]

NOT_IN_CONFIG = {"out", "overwrite", "resume", "film", "model"}
"""Options left out of config.json. The arguments of models are left out, too: "model" has them."""

CHOICES = ("key", "columns", "drop", "label_column")
"""Options that choose data and labels from a user's file: arguments of `read_table`."""


def chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those options among `values`, which are options of the command or entries of config.json."""
    return {name: values[name] for name in CHOICES if values.get(name)}


def describe(options: Mapping[str, Any], model: Model, data: RunData) -> dict[str, Any]:
    """The entries of config.json: enough to repeat a run, to find its data, and to resume it."""
    source, arguments = options["data"], json.loads(json.dumps(model.config()))
    outside = NOT_IN_CONFIG.union(arguments, *map(model_arguments, ours()))
    return {
        **{name: options[name] for name in sorted(options) if name not in outside},
        "model_name": type(model).__name__,
        "data": source if source in NAMED_DATA else str(Path(source).resolve()),
        **({"column_names": list(data.columns)} if data.columns else {}),
        "data_digest": digest(data),
        **({"classes": list(data.classes)} if data.classes else {}),
        "model": arguments,
        "versions": {"numpyvae": numpyvae.__version__, "numpy": np.__version__},
    }


def check_same_data(
    folder: str, config: Mapping[str, Any], source: str, data: RunData, remedy: str
) -> None:
    """ValueError, with the `remedy`, if `source` no longer has the data of the training."""
    if digest(data) != config.get("data_digest"):
        raise ValueError(
            f"{folder} was trained on other data than {source} holds now: "
            f"expected the same ({remedy})"
        )


def digest(data: RunData) -> str:
    """A hash of the data; of more than 64 MB, it takes 64 MB, evenly spread."""
    found = hashlib.blake2b(digest_size=16)
    for x in (data.x_train, data.x_test):
        found.update(f"{x.shape} {x.dtype.str}".encode())
        for row in x[:: 1 + x.nbytes // (1 << 26)]:
            found.update(row.tobytes())
    return found.hexdigest()


def write_pictures(
    folder: Path, vae: Model, data: RunData, film: Film | None = None
) -> dict[str, list[str]]:
    """Write history.csv and draw the pictures; return the files that failed, by the reason."""
    missing: dict[str, list[str]] = {}
    pictures = {**_pictures(vae, data), **(_film(film) if film and film.kept else {})}
    for name, write in {"history.csv": vae.history.write_csv, **pictures}.items():
        try:
            write(folder / name)
        except Exception as error:  # of any kind: the model matters most, and it is saved
            reason = " ".join(str(error).split()) or type(error).__name__
            missing.setdefault(reason, []).append(name)
    return missing


def write_page(path: Path, model: Model, data: RunData) -> None:
    """Write the page of `numpyvae explore`, whole or not at all."""
    text = explore_page(model, data, path.absolute().parent.name)
    with atomic_write(path) as file:
        file.write(text.encode())


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _pictures(model: Model, data: RunData) -> dict[str, Callable[[Path], None]]:
    """The pictures that this model can have, by name, each as a function that draws a file."""
    x = data.test_examples()[: plots.MAX_POINTS]
    labels = None if data.labels is None else data.labels[: plots.MAX_POINTS]
    columns, seed, vae = data.columns, model.seed, pictured(model, x, labels, data.classes)
    k, images = len(data.classes), tile_shape(model.data_dim, None)
    n = k * k if images and 1 < k < 13 else 64  # with labels, a row for each class
    figures: dict[str, Callable[[], Figure]] = {
        "learning_curves": lambda: plots.learning_curves(model.history),
        "reconstructions": lambda: plots.reconstructions(vae, x, columns=columns),
        "samples": lambda: samples_figure(vae, n, seed, columns, data.classes),
        "latent_space": lambda: plots.latent_space(vae, x, labels),
        "manifold": lambda: plots.manifold(
            vae, dims=tuple(sorted(plots.informative_dims(vae, x))), columns=columns
        ),
    }

    needs = {
        "reconstructions": "reconstruct",
        "samples": "sample",
        "latent_space": "axis_posterior",
        "manifold": "axis_posterior",
    }
    figures = {
        name: figure
        for name, figure in figures.items()
        if name not in needs or hasattr(vae, needs[name])
    }
    if not hasattr(vae, "decode"):
        figures.pop("manifold", None)
    page = {} if why_no_page(model) else {PAGE: partial(write_page, model=model, data=data)}
    return {**{f"{name}.png": partial(_draw, figure) for name, figure in figures.items()}, **page}


def _film(film: Film) -> dict[str, Callable[[Path], None]]:
    """The same of a film."""

    def animate(path: Path) -> None:
        with plain_matplotlib():
            film.save(path)

    return {"film.png": partial(_draw, film.strip), "film.gif": animate}


def _draw(figure: Callable[[], Figure], path: Path) -> None:
    with plain_matplotlib():
        save_figure(figure(), path)


def pictured(model: Any, x: Array, labels: Array | None, classes: Sequence[Any]) -> Any:
    """The model for the figures; with labels, it is given the labels of the examples shown.

    An unknown label is replaced by the model's own classification.
    """
    if not isinstance(model, Labelled):
        return model
    y = coded(np.asarray(labels), classes)
    if (unknown := y < 0).any():
        classifier: Any = model
        y = np.where(unknown, classifier.classify(x), y)
    return AtLabels(model, y)


def samples_figure(
    vae: Any, n: int, seed: int, columns: Sequence[str], classes: Sequence[Any]
) -> Figure:
    """`plots.samples`; for a model with labels, the figure names the class of each row."""
    names = [classes[k] for k in vae.sampled(n)] if isinstance(vae, AtLabels) else None
    return plots.samples(vae, n, np.random.default_rng(seed), columns=columns, classes=names)


@contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Matplotlib's defaults, whatever a matplotlibrc or MPLBACKEND sets for windows or LaTeX.

    Those are settings for the user's own figures; in a shell opened from a notebook they may name a
    backend that is not installed. Files need no backend.
    """
    if "matplotlib" not in sys.modules:
        backend = os.environ.pop("MPLBACKEND", None)
        try:
            import_module("matplotlib")
        finally:
            if backend is not None:
                os.environ["MPLBACKEND"] = backend
    style = import_module("matplotlib.style")
    with style.context("default"):
        yield
