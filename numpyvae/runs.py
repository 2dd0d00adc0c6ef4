"""A run of the command line: its data, its folder, and the pictures in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import numpyvae
from numpyvae import plots
from numpyvae.data import binarize_pixels, load_digits, load_mnist, read_array
from numpyvae.data.files import atomic_write
from numpyvae.data.npy import npz_names, read_npz
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.vae import VAE
from numpyvae.numerics import Array
from numpyvae.storage import parse_description
from numpyvae.validation import check_finite

if TYPE_CHECKING:
    import argparse

    from matplotlib.figure import Figure

__all__ = [
    "RunData",
    "describe",
    "load_data",
    "new_folder",
    "open_run",
    "parse_likelihood",
    "save_figure",
    "write_run",
]

NAMED_DATA = ("digits", "mnist")

CONFIG_BYTES = 2**20
"""What is read of a config.json; ours have about 500 bytes."""

LARGE = 1 << 30
"""Bytes above which a user's file is split in order, not at random, so that it is never copied."""

MANY = 2000
"""Test examples beyond which a scatter of posteriors is only crowded."""


class RunData(NamedTuple):
    """What a run trains and tests on."""

    x_train: Array
    x_test: Array
    labels: Array | None
    """Of the test examples, for colours."""
    likelihood: Likelihood
    """The one that fits the data, unless the user says otherwise."""
    transform: Callable[[Array, np.random.Generator], Array] | None

    def test_examples(self, seed: int = 0) -> Array:
        """x_test as the model sees it: transformed, with one fixed draw."""
        if self.transform is None:
            return self.x_test
        return self.transform(self.x_test, np.random.default_rng(seed))


def load_data(source: str) -> RunData:
    """`digits`, `mnist`, or a .npy, .npz or .csv file of one example a row.

    An .npz file may bring its own split as x_train and x_test, with classes y_test. Otherwise the
    rows are split 4:1 into training and test at random (in order if they are over 1 GB). The
    likelihood is Bernoulli for data of 0 and 1, Binomial(255) for other 8-bit pixels, else Gaussian
    with one learned variance. Raises ValueError or FileNotFoundError that says what is wrong.
    """
    if source == "digits":
        digits = load_digits()
        return RunData(digits.x_train, digits.x_test, digits.y_test, Binomial(16), None)
    if source == "mnist":
        mnist = load_mnist()
        return RunData(mnist.x_train, mnist.x_test, mnist.y_test, Bernoulli(), binarize_pixels)
    if not Path(source).suffix:
        raise ValueError(f"{source}: expected digits, mnist or a file named .npy, .npz or .csv")
    x_train, x_test, labels = _read_split(source)
    head = x_train[:10_000]
    likelihood: Likelihood = Gaussian("shared")
    if ((head == 0) | (head == 1)).all():
        likelihood = Bernoulli()
    elif x_train.dtype == np.uint8:
        likelihood = Binomial(255)
    return RunData(x_train, x_test, labels, likelihood, None)


def _read_split(source: str) -> tuple[Array, Array, Array | None]:
    """Training rows, test rows, and the classes of the test rows if the file has them."""
    x = read_array(source)
    names = npz_names(source) if source.lower().endswith(".npz") else []
    if "x_train" in names and "x_test" in names and "x" not in names:
        x_test = read_array(source, "x_test")
        labels = read_npz(source, "y_test") if "y_test" in names else None
        if labels is not None and labels.shape != (len(x_test),):
            raise ValueError(f"{source}: expected one y_test for each x_test, got {labels.shape}")
        return x, x_test, labels
    if len(x) < 5:
        raise ValueError(f"{source}: expected at least 5 rows to train and test on, got {len(x)}")
    n_test = len(x) // 5
    if x.nbytes > LARGE:
        return x[:-n_test], x[-n_test:], None
    if np.issubdtype(x.dtype, np.floating):
        check_finite(Path(source).name, x)  # while rows still have the file's own numbers
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[n_test:]], x[order[:n_test]], None


def describe(arguments: argparse.Namespace, vae: VAE) -> dict[str, Any]:
    """What config.json says of a run: enough to repeat it, and to find its data again."""
    source = arguments.data
    return {
        "data": source if source in NAMED_DATA else str(Path(source).resolve()),
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "model": vae.config(),
        "versions": {"numpyvae": numpyvae.__version__, "numpy": np.__version__},
    }


def parse_likelihood(text: str) -> Likelihood:
    """`bernoulli`, `binomial:16`, `gaussian:0.5`, `gaussian:shared`, `gaussian:per_dimension`."""
    name, _, argument = text.partition(":")
    problem = ""
    try:
        if name == "bernoulli" and not argument:
            return Bernoulli()
        if name == "binomial":
            return Binomial(int(argument))
        if name == "gaussian":
            learned = argument in ("shared", "per_dimension")
            return Gaussian(argument if learned else float(argument))
    except ValueError as error:
        problem = f" ({error})"
    raise ValueError(
        f"unknown likelihood {text!r}{problem}: expected bernoulli, binomial:COUNT, "
        "gaussian:VARIANCE, gaussian:shared or gaussian:per_dimension"
    )


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
        with config_path.open("rb") as file:
            config = parse_description(file.read(CONFIG_BYTES).decode())
        source = config["data"]
    except (ValueError, KeyError):
        raise ValueError(f"{config_path} is not a run's configuration, or is damaged") from None
    if not isinstance(source, str):
        raise ValueError(f"{config_path}: expected the name of the data, got {source!r:.80}")
    return VAE.load(Path(folder) / "model.npz"), config
