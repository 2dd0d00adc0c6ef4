"""What a run of the command line trains and tests on: a named set, or a user's own file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpyvae.data import binarize_pixels, load_digits, load_mnist, read_array
from numpyvae.data.npy import npz_names, read_npz
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.numerics import Array
from numpyvae.validation import check_finite

__all__ = ["NAMED_DATA", "RunData", "load_data", "parse_likelihood"]

NAMED_DATA = ("digits", "mnist")

LARGE = 1 << 30
"""Bytes above which a user's file is split in order, not at random, so that it is never copied."""


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
