"""What a run of the command line trains and tests on: a named set, or a user's own file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.data import binarize_pixels, load_digits, load_mnist
from numpyvae.data.csv_files import csv_names
from numpyvae.data.files import check_file
from numpyvae.data.npy import npz_names
from numpyvae.data.tables import LABEL_NAMES, Table, read_table
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.model import Model
from numpyvae.numerics import Array
from numpyvae.run_units import check_columns, check_sizes, dtype_for, standardized
from numpyvae.standardization import row_chunks
from numpyvae.validation import EntryError, memory_for

__all__ = [
    "NAMED_DATA",
    "RunData",
    "dtype_for",
    "load_all",
    "load_data",
    "standardized",
]

NAMED_DATA = ("digits", "mnist")

LARGE = 1 << 30
"""Larger files (bytes) are split in order, not at random, so that they are never copied."""

PIXELS = 127
"""Larger counts are taken for 8-bit pixels: the total count is 255, even if no pixel has it."""


class Part(NamedTuple):
    """Rows of a table, for training or for testing."""

    name: str
    """training or test; empty for all rows of a file that has no test rows of its own."""
    table: Table
    rows: Array | range
    """The table's labels, one for each row of this part."""

    def check(self, x: Array, check: Callable[[Array], Any]) -> None:
        """Call `check` with x, the rows of this part; its errors name the place in the file."""
        try:
            check(x)
        except EntryError as error:
            row = int(self.rows[error.row])
            raise self.table.error(row, error, self.name) from None


class RunData(NamedTuple):
    """What a run trains and tests on."""

    x_train: Array
    x_test: Array
    labels: Array | None
    """The labels of the test examples, for colours."""
    likelihood: Likelihood
    """The likelihood that fits the data, unless the user chooses another."""
    transform: Callable[[Array, np.random.Generator], Array] | None = None
    train_labels: Array | None = None
    """The labels of the training examples, for models with labels."""
    classes: tuple[Any, ...] = ()
    """The names of the classes 0, 1, ... of a model with labels; () for a model without."""
    parts: tuple[Part, ...] = ()
    """Where x_train and x_test are in the user's file."""
    notes: tuple[str, ...] = ()
    """Remarks on the data, one sentence each."""
    guess: str = ""
    """Why this likelihood was chosen, if another is plausible."""

    def test_examples(self, seed: int = 0) -> Array:
        """x_test as the model sees it: transformed, with one fixed draw."""
        if self.transform is None:
            return self.x_test
        return self.transform(self.x_test, np.random.default_rng(seed))

    def check(self, model: Model) -> None:
        """ValueError for the first entry that the model cannot take, with its place in the file."""
        for part, x in zip(self.parts, (self.x_train, self.x_test), strict=False):
            part.check(x, model.check_x)
        if not self.parts:
            model.check_x(self.test_examples())

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, () if they have none."""
        return self.parts[0].table.names if self.parts else ()


def load_data(source: str, **choice: Any) -> RunData:
    """`digits`, `mnist`, or a .npy, .npz or .csv file of one example a row.

    `choice` has the arguments of `numpyvae.data.tables.read_table`: key, columns, drop,
    label_column. An .npz file may contain its own split as x_train and x_test, with classes y_test.
    Otherwise the rows are split 4:1 into training and test at random (in order if over 1 GB).

    The likelihood follows from the numbers, for any dtype: Bernoulli for 0 and 1, Binomial for
    whole numbers from 0 to 255 (the total count is the largest of them; above 127 it is 255, as for
    8-bit pixels), else Gaussian with one learned variance. Raises ValueError or FileNotFoundError
    with what is wrong.
    """
    with memory_for(source, _file_size(source)):
        return _load(source, choice)


def _load(source: str, choice: dict[str, Any]) -> RunData:
    if source in NAMED_DATA:
        if any(choice.values()):
            raise ValueError(f"{source}: columns, labels and arrays can only be chosen from a file")
        if source == "digits":
            digits = load_digits()
            return RunData(
                digits.x_train, digits.x_test, digits.y_test, Binomial(16), None, digits.y_train
            )
        mnist = load_mnist()
        return RunData(
            mnist.x_train, mnist.x_test, mnist.y_test, Bernoulli(), binarize_pixels, mnist.y_train
        )
    train, test, (train_labels, labels) = _split(source, choice)
    parts = [(part, _rows(part)) for part in (train, test)]
    for part, x in parts:
        part.check(x, check_sizes)
    x_train, x_test = parts[0][1], parts[1][1]
    check_columns(train.table, x_train)
    likelihood, note = _likelihood_of(x_train, x_test)
    notes = (*test.table.notes, *_constant_columns(train.table, x_train))
    return RunData(
        x_train, x_test, labels, likelihood, None, train_labels, (), (train, test), notes, note
    )


def load_all(
    source: str, names: tuple[str, ...] = (), labelled: bool = False, **choice: Any
) -> tuple[Part, Array]:
    """All rows of a file, or x_test if it is an .npz file with a split of its own.

    `names` are the columns that the run was trained on, if they had names. From a file with names
    these columns are taken, from another file all columns; if the model is `labelled`, its label
    column is taken, too. Without names, `choice` is as for `load_data`.
    """
    with memory_for(source, _file_size(source)):
        return _load_all(source, names, labelled, choice)


def _load_all(
    source: str, names: tuple[str, ...], labelled: bool, choice: dict[str, Any]
) -> tuple[Part, Array]:
    suffix = check_file(Path(source))
    choice["key"] = choice.get("key") if suffix == ".npz" else None
    if _has_split(source, choice):
        choice["key"] = "x_test"
    if names:
        named = csv_names(Path(source)) if suffix == ".csv" else []
        usual = [n for n in LABEL_NAMES if n in named and n not in names]
        label = choice.get("label_column") or next(iter(usual), None)
        choice = {
            "key": choice["key"],
            "columns": names if named else None,
            "label_column": label if labelled and label in named else None,
        }
    table = read_table(source, **choice)
    part = Part("test" if choice["key"] == "x_test" else "", table, range(len(table.x)))
    part.check(table.x, check_sizes)
    return part, table.x


def _file_size(source: str) -> int:
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0


def _has_split(source: str, choice: dict[str, Any]) -> bool:
    if choice.get("key") or check_file(Path(source)) != ".npz":
        return False
    names = npz_names(source)
    return "x_train" in names and "x_test" in names and "x" not in names


def _split(source: str, choice: dict[str, Any]) -> tuple[Part, Part, list[Array | None]]:
    """Training rows, test rows, and the classes of both if the file has them."""
    if not Path(source).suffix:
        raise ValueError(f"{source}: expected digits, mnist or a file named .npy, .npz or .csv")
    if _has_split(source, choice):
        tables = [read_table(source, **{**choice, "key": key}) for key in ("x_train", "x_test")]
        if tables[0].x.shape[1] != tables[1].x.shape[1]:
            raise ValueError(
                f"{source}: expected x_train and x_test of one width, got "
                f"{tables[0].x.shape[1]} and {tables[1].x.shape[1]} columns"
            )
        train, test = (
            Part(name, table, range(len(table.x)))
            for name, table in zip(("training", "test"), tables, strict=True)
        )
        return train, test, [table.labels for table in tables]
    table = read_table(source, **choice)
    n = len(table.x)
    if n < 5:
        raise ValueError(f"{source}: expected at least 5 rows to train and test on, got {n}")
    n_test, order = n // 5, np.random.default_rng(0).permutation(n)
    rows: tuple[Array | range, Array | range] = order[n_test:], order[:n_test]
    if table.x.nbytes > LARGE:
        rows = range(n - n_test), range(n - n_test, n)
    train, test = Part("training", table, rows[0]), Part("test", table, rows[1])
    labels = table.labels
    return train, test, [None if labels is None else _take(labels, part) for part in rows]


def _rows(part: Part) -> Array:
    return _take(part.table.x, part.rows)


def _take(x: Array, rows: Array | range) -> Array:
    """Rows of x: a view if they are a range."""
    return x[rows.start : rows.stop] if isinstance(rows, range) else x[rows]


def _likelihood_of(*parts: Array) -> tuple[Likelihood, str]:
    """The likelihood whose support contains the data, and the reason if it is a guess."""
    high = 0
    for _, chunk in chain(*map(row_chunks, parts)):
        if chunk.min() < 0 or chunk.max() > 255 or (chunk != np.floor(chunk)).any():
            return Gaussian("shared"), ""
        high = max(high, int(chunk.max()))
    if high <= 1:
        return Bernoulli(), ""
    count = 255 if high > PIXELS else high
    guess = f"whole numbers 0 to {high} are taken for counts of at most {count}"
    remedy = "--likelihood binomial:COUNT or gaussian:shared changes it"
    return Binomial(count), f"{guess} ({remedy})"


def _constant_columns(table: Table, x: Array) -> list[str]:
    """A note on the constant columns of a user's table; pixels may be constant."""
    if not table.names:
        return []
    constant = [table.names[j] for j in np.flatnonzero((x == x[0]).all(axis=0))]
    if not 0 < len(constant) <= 3:
        return []
    return [f"the same in all rows: {', '.join(map(repr, constant))} (--drop leaves it out)"]
