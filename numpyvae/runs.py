"""A run of the command line: its data, what config.json says of it, and its pictures."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
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
from numpyvae.validation import check_finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RunData",
    "describe",
    "digest",
    "load_data",
    "parse_likelihood",
    "plain_matplotlib",
    "save_figure",
    "write_pictures",
]

NAMED_DATA = ("digits", "mnist")

LARGE = 1 << 30
"""Bytes above which a user's file is split in order, not at random, so that it is never copied."""

NOT_IN_CONFIG = {"out", "overwrite", "resume"} | {
    "latent_dim", "hidden_dims", "activation", "likelihood", "beta", "seed"  # in "model"
}  # fmt: skip

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


def describe(options: Mapping[str, Any], vae: VAE, data: RunData) -> dict[str, Any]:
    """What config.json says of a run: enough to repeat it, to find its data again, to go on."""
    source = options["data"]
    return {
        **{name: value for name, value in options.items() if name not in NOT_IN_CONFIG},
        "data": source if source in NAMED_DATA else str(Path(source).resolve()),
        "data_digest": digest(data),
        "model": json.loads(json.dumps(vae.config())),
        "versions": {"numpyvae": numpyvae.__version__, "numpy": np.__version__},
    }


def digest(data: RunData) -> str:
    """A number that other data than these do not have; of 64 MB evenly spread, if there is more."""
    found = hashlib.blake2b(digest_size=16)
    for x in (data.x_train, data.x_test):
        found.update(f"{x.shape} {x.dtype.str}".encode())
        for row in x[:: 1 + x.nbytes // (1 << 26)]:
            found.update(row.tobytes())
    return found.hexdigest()


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


def write_pictures(folder: Path, vae: VAE, data: RunData) -> dict[str, list[str]]:
    """Write history.csv and draw the pictures; returns what could not be, by the reason."""
    missing: dict[str, list[str]] = {}
    for name, write in {"history.csv": vae.history.write_csv, **_pictures(vae, data)}.items():
        try:
            write(folder / name)
        except Exception as error:  # of any kind: the model is what counts, and it is saved
            reason = " ".join(str(error).split()) or type(error).__name__
            missing.setdefault(reason, []).append(name)
    return missing


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def _pictures(vae: VAE, data: RunData) -> dict[str, Callable[[Path], None]]:
    """The pictures of a run, by name, each to be drawn into a file."""
    x = data.test_examples()[:MANY]
    labels = None if data.labels is None else data.labels[:MANY]
    figures: dict[str, Callable[[], Figure]] = {
        "learning_curves": lambda: plots.learning_curves(vae.history),
        "reconstructions": lambda: plots.reconstructions(vae, x),
        "samples": lambda: plots.samples(vae, rng=np.random.default_rng(vae.seed)),
        "latent_space": lambda: plots.latent_space(vae, x, labels),
        "manifold": lambda: plots.manifold(vae, dims=tuple(sorted(plots.informative_dims(vae, x)))),
    }

    def draw(figure: Callable[[], Figure], path: Path) -> None:
        with plain_matplotlib():
            save_figure(figure(), path)

    return {f"{name}.png": partial(draw, figure) for name, figure in figures.items()}


@contextmanager
def plain_matplotlib() -> Iterator[None]:
    """Matplotlib as it comes, whatever a matplotlibrc or MPLBACKEND says of windows or LaTeX.

    They are made for the user's own figures; in a shell that a notebook has opened they may name a
    backend that is not installed. Files need none.
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
