"""Read arrays from a user's .npy, .npz and .csv files, and write files whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from numpyvae.data.csv_files import read_csv
from numpyvae.data.npy import read_npy, read_npz
from numpyvae.numerics import Array

__all__ = ["atomic_write", "check_file", "read_array"]

FIRST_BYTES = {".npy": b"\x93NUMPY", ".npz": b"PK", ".gz": b"\x1f\x8b", ".pickle": b"\x80"}

COMMAS = "separate its cells by commas and name it .csv"
FOREIGN = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "a spreadsheet: save it as .csv"),
    **dict.fromkeys((".tsv", ".tab"), f"tabs? {COMMAS}"),
    **dict.fromkeys((".txt", ".dat", ".data"), COMMAS),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz"), "unpack it"),
    **dict.fromkeys((".pkl", ".pickle"), "pickles are never opened"),
}
"""What to do with other kinds of files."""


def read_array(path: str | PathLike[str], key: str | None = None) -> Array:
    """The numbers of a .npy, .npz or .csv file as an array (N, D), one example per row.

    Images and the like, (N, H, W, ...), are flattened to (N, H * W * ...). A .csv file may begin
    with a line of names (text, or 0, 1, 2, ..., D - 1, D > 2) and gives float64; other files keep
    their dtype. A .npy array of 64 MiB or more is returned as a read-only `numpy.memmap`, so it may
    be larger than memory. Nothing is ever unpickled. The caller must check that the numbers are
    finite.

    Args:
        path: a file named .npy, .npz or .csv.
        key: the array to take from an .npz file; by default the only one, or the one named "x",
            "x_train" or "data".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown suffix; a file that is truncated, damaged or not what its suffix
            says; pickled objects, text, complex numbers; no numbers at all; an array with less than
            two axes; a cell that is not a number (named by row and column); an unknown key.
    """
    path = Path(path)
    suffix = check_file(path, key)
    if suffix == ".csv":
        return read_csv(path).x
    x = read_npy(path) if suffix == ".npy" else read_npz(path, key)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected real numbers, got an array of {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(
            f"{path}: expected an array (N, D) of N examples with D values, got shape {x.shape}"
        )
    return x if x.ndim == 2 else x.reshape(len(x), -1)


def check_file(path: Path, key: str | None = None) -> str:
    """The suffix of a file that `read_array` can read, judged by its name and first bytes."""
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz", ".csv"):
        what = f" ({FOREIGN[suffix]})" if suffix in FOREIGN else ""
        raise ValueError(f"{path}: expected a file named .npy, .npz or .csv, got {suffix!r}{what}")
    if key is not None and suffix != ".npz":
        raise ValueError(f"{path}: key={key!r} picks an array of an .npz file, this is a {suffix}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file, got a folder")
    _check_first_bytes(path, suffix)
    return suffix


def _check_first_bytes(path: Path, suffix: str) -> None:
    """ValueError if the file is empty, or begins like another kind of file than its suffix says."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise ValueError(f"{path}: expected numbers, got an empty file")
    found = next((kind for kind, first in FIRST_BYTES.items() if start.startswith(first)), None)
    if found != (suffix if suffix in FIRST_BYTES else None):
        got = f"with {start!r}" if found is None else f"like a {found} file"
        if suffix == ".csv" and found == ".npz":
            got = "like a spreadsheet (.xlsx) or an .npz file: save it as CSV"
        raise ValueError(f"{path}: expected a {suffix} file, got one that begins {got}")
    if suffix == ".csv" and b"\0" in start:
        raise ValueError(f"{path}: expected text in UTF-8, got UTF-16 or none: save it as UTF-8")


@contextmanager
def atomic_write(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file, open for writing, that becomes `path` once the block ends without an error.

    with atomic_write("model.npz") as file:
        np.savez(file, theta=theta)

    Until then it is a temporary file in the same folder, which is removed after an error or Ctrl-C:
    readers see the whole old content or the whole new one.

    Raises FileNotFoundError if the folder does not exist, IsADirectoryError if `path` is a folder.
    """
    target = Path(os.path.realpath(path))  # follow a link, which would otherwise be replaced
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)}: expected the name of a file, got a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} into")
    temporary = target.with_name(f".{os.urandom(8).hex()}.part")
    try:
        with temporary.open("x+b") as file:  # x: never another file
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
