"""A user's table: which columns are data, which one has labels, and where each number is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.data.csv_files import MISSING, read_csv
from numpyvae.data.files import check_file, read_array
from numpyvae.data.npy import npz_names, npz_usual, read_npz
from numpyvae.numerics import Array
from numpyvae.validation import EntryError

__all__ = ["Table", "read_table"]

INDEX_NAME = re.compile(r"Unnamed: 0(\.\d+)?")
ROW_NAMES = ("", "id", "index")
PARTS = ("_train", "_test")
"""Endings of the names of arrays that hold a part of the examples, as in Keras' files."""
LABEL_NAMES = ("label", "labels", "class", "classes", "target", "targets", "y")


class Table(NamedTuple):
    """Examples, one per row, and what their file says about them."""

    where: str
    """The file and, in an .npz file, the array."""
    x: Array
    """(N, D)."""
    names: tuple[str, ...]
    """(D,) the names of the columns of x, or () if the file has none."""
    columns: tuple[int, ...]
    """(D,) the numbers of the columns of x in the file, counted from 0."""
    lines: Array | None
    """(N,) the line of each row in a .csv file, counted from 1; None for other files."""
    labels: Array | None
    """(N,) classes, for colours."""
    notes: tuple[str, ...]
    """Remarks on the table, one sentence each."""

    def column(self, j: int) -> str:
        """Column j of x as a user names it: its name, or its number in the file, from 1."""
        return repr(self.names[j]) if self.names else str(self.columns[j] + 1)

    def error(self, row: int, entry: EntryError, part: str = "") -> ValueError:
        """The message of `entry` with its place in the file; `part` is "training" or "test"."""
        aside = f" (a {part} row)" if part else ""
        if self.lines is None:
            place = f"{self.where}[{row}, {self.columns[entry.column]}]"
        else:
            place = f"{self.where}: row {self.lines[row]}, column {self.column(entry.column)}"
        missing = ", a missing value" if entry.problem.startswith("is NaN") else ""
        return ValueError(f"{place}{aside} {entry.problem.replace(':', missing + ':', 1)}")


def read_table(
    path: str | PathLike[str],
    *,
    key: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    label_column: str | None = None,
) -> Table:
    """The examples of a .npy, .npz or .csv file, and their labels if it has them.

    A column is given by its name in the first line of a .csv file, or by its number, from 1.
    By default the data are all columns except those in `drop`, the labels, and in a .csv file the
    row numbers that pandas writes (a first column without a name, "Unnamed: 0", or one that counts
    the rows). The labels are `label_column`, or by default the column of a .csv file (or the array
    of an .npz file) that is called label, class, target or y; y not if there is a column x. In an
    .npz file `label_column` may also name an array; the labels of x_train are y_train, those of
    x_test y_test. Whole numbers and text are labels; a column of other numbers is data.

    Raises FileNotFoundError, and ValueError as `read_array` does, or for a column that is not
    in the file.
    """
    path = Path(path)
    wish = _Wish(fspath(path), columns, tuple(drop), label_column)
    if path.suffix.lower() == ".csv":
        check_file(path, key)
        return _read_csv_table(path, wish)
    x, labels, notes = read_array(path, key), None, []
    where, names, part = str(path), [], ""
    if path.suffix.lower() == ".npz":
        names, array = npz_names(path), key or npz_usual(npz_names(path)) or ""
        where, part = f"{path}: {array}", next(filter(array.endswith, PARTS), "")
        name = _array_of_part(label_column or "", part, names)
        if name in names:
            labels, wish = _labels_of(path, name, len(x)), wish._replace(label=None)
            notes += _on_numbers(repr(name), labels)
    kept, label, _ = wish.select([], x.shape[1])
    if label is not None:
        labels = _as_labels(x[:, label])
        notes += _on_numbers(f"column {label_column}", labels)
    if label_column is None:
        usual = [name + part for name in LABEL_NAMES]
        for name in [name for name in names if name in usual and name != key][:1]:
            labels, note = _noticed_labels(path, name, len(x))
            notes.append(note)
    if kept != list(range(x.shape[1])):
        x = x[:, kept]
    return Table(where, x, (), tuple(kept), None, labels, tuple(notes))


def _noticed_labels(path: Path, name: str, n: int) -> tuple[Array | None, str]:
    """Labels taken by default, if the array can be labels, and a note on them."""
    try:
        labels = _labels_of(path, name, n)
    except ValueError as error:
        if name.endswith(PARTS) and len(read_npz(path, name)) != n:
            raise  # an array that belongs to x_test has as many rows
        return None, f"{str(error).removeprefix(f'{path}: ')}: no labels"
    if numbers := _no_classes(labels):
        return None, f"{name!r} {numbers}: no labels"
    return labels, f"the array {name!r} gives the labels, for colours"


def _array_of_part(name: str, part: str, names: list[str]) -> str:
    """The labels that belong to x_train, say: y_train among y, y_test and y_train."""
    own = next((name.removesuffix(end) for end in PARTS if name.endswith(end)), name) + part
    return own if part and own in names else name


class _Wish(NamedTuple):
    """The columns that a user wants."""

    where: str
    columns: Sequence[str] | None
    drop: Sequence[str]
    label: str | None
    noticing: bool = True
    """Whether a column is taken for labels by its name."""

    def select(self, names: list[str], n: int) -> tuple[list[int], int | None, list[str]]:
        """The columns of the data and the column of the labels, out of n, and notes on them."""
        label = None if self.label is None else self._find(self.label, names, n)
        out = {self._find(name, names, n) for name in self.drop}
        if self.columns is not None:
            kept = [self._find(name, names, n) for name in self.columns]
            return self._some([j for j in kept if j not in out]), label, []
        notes = []
        for j, name in enumerate(names):
            if INDEX_NAME.fullmatch(name) or (j == 0 and name == "" and n > 1):
                out.add(j)
                notes.append(
                    f"{f'column {name!r}' if name else 'the column without a name'} "
                    "numbers the rows and is left out"
                )
        if label is None and self.noticing:
            label = self._noticed_label(names, out)
            if label is not None:
                notes.append(
                    f"column {names[label]!r} gives the labels, for colours, and is left "
                    "out of the data"
                )
        return self._some([j for j in range(n) if j not in out | {label}]), label, notes

    def _noticed_label(self, names: list[str], out: set[int]) -> int | None:
        lower = [name.lower() for name in names]
        usual = [name for name in LABEL_NAMES if name in lower and (name, "x") != ("y", name)]
        if "x" in lower:
            usual = [name for name in usual if name != "y"]  # coordinates
        found = [lower.index(name) for name in usual if lower.index(name) not in out]
        return found[0] if found and len(names) - len(out) > 1 else None

    def _find(self, name: str, names: list[str], n: int) -> int:
        if names.count(name) == 1:
            return names.index(name)
        if name in names:
            raise ValueError(
                f"{self.where}: {names.count(name)} columns are called {name!r}: "
                "give the number of one, counted from 1"
            )
        if name.isdecimal() and 1 <= int(name) <= n:
            return int(name) - 1
        known = ", ".join(filter(None, names[:10])) + (", ..." if len(names) > 10 else "")
        has = f"it has {known}" if names else f"it has {n}, without names: give numbers from 1"
        raise ValueError(f"{self.where}: there is no column {name!r}: {has}")

    def _some(self, kept: list[int]) -> list[int]:
        if not kept:
            raise ValueError(
                f"{self.where}: expected at least one column of data, all are left out"
            )
        return kept


def _read_csv_table(path: Path, wish: _Wish) -> Table:
    notes: list[str] = []
    noticed_label = ""

    def select(names: list[str], n: int) -> tuple[list[int], int | None]:
        nonlocal noticed_label
        kept, label, noticed = wish.select(names, n)
        notes.extend(noticed)
        noticed_label = names[label] if names and label is not None else ""
        return kept, label

    x, names, kept, lines, cells = read_csv(path, select)
    labels = None if cells is None else _as_labels(np.array(cells))
    if wish.label is not None and labels is not None:
        notes += _on_numbers(f"column {wish.label!r}", labels)
    elif labels is not None and (numbers := _no_classes(labels)):
        table = _read_csv_table(path, wish._replace(noticing=False))
        note = f"column {noticed_label!r} {numbers}, so it stays in the data (--drop leaves it out)"
        return table._replace(notes=(*table.notes, note))
    if names and all(name.isdecimal() for name in names[1:]) and names[-1].isdecimal():
        shown = ", ".join(filter(None, names[:4])) + (", ..." if len(names) > 4 else "")
        notes.append(
            f"its first row ({shown}) names the columns: to use it as an example, put a "
            "line of names above it"
        )
    named = names[kept[0]].lower() if names else ""
    if wish.columns is None and x.shape[1] > 1 and named in ROW_NAMES and _counts_rows(x[:, 0]):
        x, kept = x[:, 1:], kept[1:]
        notes.append(f"column {named or 1} numbers the rows and is left out (--columns keeps it)")
    return Table(
        str(path),
        x,
        tuple(names[j] for j in kept) if names else (),
        tuple(kept),
        lines,
        labels,
        tuple(notes),
    )


def _counts_rows(column: Array) -> bool:
    return len(column) >= 5 and bool((column == np.arange(len(column)) + (column[0] == 1)).all())


def _labels_of(path: Path, name: str, n: int) -> Array:
    """The array `name` of an .npz file, if it holds one label for each of n rows."""
    labels = read_npz(path, name)
    if labels.size != n or len(labels) != n:
        raise ValueError(
            f"{path}: expected one label for each of {n} rows in {name!r}, got shape {labels.shape}"
        )
    return _as_labels(labels.reshape(n))


def _as_labels(labels: Array) -> Array:
    """Whole numbers as int64; other numbers and text unchanged."""
    try:
        numbers: Any = labels.astype(np.float64)
    except (TypeError, ValueError):
        return labels
    whole = np.isfinite(numbers).all() and (np.abs(numbers) < 2**53).all()
    if whole and (numbers == np.floor(numbers)).all():
        whole_numbers: Array = numbers.astype(np.int64)
        return whole_numbers
    return numbers if labels.dtype.kind in "US" else labels


def _no_classes(labels: Array) -> str:
    """Why these cannot be labels: numbers that are not whole; "" if they are whole or text."""
    if labels.dtype.kind in "US":
        labels = labels[[value.strip().lower() not in MISSING for value in labels.tolist()]]
    try:
        numbers = labels.astype(np.float64)
    except (TypeError, ValueError):
        return ""
    fractions = np.isfinite(numbers) & (numbers != np.floor(numbers))
    if not fractions.any():
        return ""
    return f"holds {numbers[fractions][0]:g}, where labels are whole numbers or text"


def _on_numbers(what: str, labels: Array) -> list[str]:
    """A note on labels that the user has chosen."""
    numbers = _no_classes(labels)
    return [f"{what} {numbers}; each of its numbers is a class of its own"] if numbers else []
