"""A run of the command line: its folder, and the pictures in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import numpyvae
from numpyvae import plots
from numpyvae.data.files import atomic_write
from numpyvae.models.vae import VAE
from numpyvae.run_data import NAMED_DATA, RunData, load_data

if TYPE_CHECKING:
    import argparse

    from matplotlib.figure import Figure

__all__ = [
    "chosen",
    "describe",
    "load_data",
    "new_folder",
    "open_run",
    "save_figure",
    "write_run",
]

MANY = 2000
"""Test examples beyond which a scatter of posteriors is only crowded."""


CHOICES = ("key", "columns", "drop", "label_column")
"""What of a user's file is data, and what labels; `read_table` takes them by these names."""


def chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """The choices among `values`, options of the command or entries of config.json."""
    return {name: values[name] for name in CHOICES if values.get(name)}


def describe(
    arguments: argparse.Namespace, vae: VAE, column_names: Sequence[str] = ()
) -> dict[str, Any]:
    """What config.json says of a run: enough to repeat it, and to find its data again."""
    source = arguments.data
    return {
        "data": source if source in NAMED_DATA else str(Path(source).resolve()),
        **chosen(vars(arguments)),
        **({"column_names": list(column_names)} if column_names else {}),
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "model": vae.config(),
        "versions": {"numpyvae": numpyvae.__version__, "numpy": np.__version__},
    }


def new_folder(out: str | None, source: str, overwrite: bool) -> Path:
    """The folder for a run, made if need be; without `out` the first free `runs/NAME-1`, -2, ...

    Raises FileExistsError when it holds a run and `overwrite` is not set.
    """
    if out is None:
        parent, name = Path("runs"), Path(source).stem
        taken = {path.name for path in parent.glob(f"{name}-*")}
        number = next(i for i in range(1, len(taken) + 2) if f"{name}-{i}" not in taken)
        folder = parent / f"{name}-{number}"
    else:
        folder = Path(out)
        if not out or folder.is_file():
            raise ValueError(f"--out {out!r}: expected the name of a folder")
        if not overwrite and any((folder / name).exists() for name in ("model.npz", "config.json")):
            raise FileExistsError(f"{folder} holds a run already: add --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_run(folder: Path, vae: VAE, config: dict[str, Any], data: RunData) -> list[Path]:
    """Write model, configuration, history and figures; returns the figures' paths."""
    vae.save(folder / "model.npz")
    with atomic_write(folder / "config.json") as file:
        file.write((json.dumps(config, indent=2) + "\n").encode())
    vae.history.write_csv(folder / "history.csv")
    paths = []
    for name, figure in _figures(vae, data):
        paths.append(folder / f"{name}.png")
        save_figure(figure, paths[-1])
    return paths


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _figures(vae: VAE, data: RunData) -> Iterator[tuple[str, Figure]]:
    """The pictures that a run leaves behind, by name."""
    x = data.test_examples()[:MANY]
    labels = None if data.labels is None else data.labels[:MANY]
    if vae.history:
        yield "learning_curves", plots.learning_curves(vae.history)
    yield "reconstructions", plots.reconstructions(vae, x)
    yield "samples", plots.samples(vae, rng=np.random.default_rng(vae.seed))
    yield "latent_space", plots.latent_space(vae, x, labels)
    yield "manifold", plots.manifold(vae, dims=tuple(sorted(plots.informative_dims(vae, x))))


def open_run(folder: str) -> tuple[VAE, dict[str, Any]]:
    """The model and configuration of a run folder; FileNotFoundError if it is none."""
    config_path = Path(folder) / "config.json"
    if not config_path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no config.json in it")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
        source = config["data"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{config_path} is not a run's configuration, or is damaged") from None
    if not isinstance(source, str):
        raise ValueError(f"{config_path}: expected the name of the data, got {source!r}")
    return VAE.load(Path(folder) / "model.npz"), config
