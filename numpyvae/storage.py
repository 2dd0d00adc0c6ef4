"""Named arrays and a description in one .npz file, moved into place whole, read without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.data.files import atomic_write
from numpyvae.data.npy import members, read_header, read_member
from numpyvae.data.untrusted import brief, refusing_damage
from numpyvae.numerics import Array

if TYPE_CHECKING:
    import zipfile

__all__ = ["Saved", "open_npz", "parse_description", "write_npz"]

FREE_BYTES, MOST_COMPRESSION = 2**20, 16
"""The largest size of a file's arrays: this many bytes, and this many times the file's size.

`write_npz` does not compress. Trained parameters hardly compress at all; zeros do, a thousandfold.
"""

MOST_ARRAYS, MOST_DIGITS = 100, 100


def write_npz(
    path: str | PathLike[str], arrays: Mapping[str, Array], description: Mapping[str, Any]
) -> None:
    """Write `arrays` and the `description`, which JSON must be able to hold, to `path`.

    Raises TypeError for an array of Python objects, which only a pickle could hold.
    """
    named: dict[str, Any] = {"description": np.array(json.dumps(description)), **arrays}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} must hold numbers, got an array of {array.dtype}")
    with atomic_write(path) as file:
        np.savez(file, **named)


class Saved:
    """An open file of `write_npz`: its `description`, and its arrays, each read on request.

    The total size that the members declare is bounded by that of the file, so that no small file
    takes much memory.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, file_bytes: int) -> None:
        self._archive, self.name = archive, name
        self._members = members(archive)
        if len(self._members) > MOST_ARRAYS:
            raise ValueError(
                f"{name}: expected at most {MOST_ARRAYS} arrays, got {len(self._members):,}"
            )
        promised = sum(member.file_size for member in self._members.values())
        if promised > (most := FREE_BYTES + MOST_COMPRESSION * file_bytes):
            raise ValueError(
                f"{name}: expected at most {most:,} bytes of arrays in a file of {file_bytes:,}, "
                f"got {promised:,}"
            )
        self._headers = {name: read_header(archive, m) for name, m in self._members.items()}
        self.description = self._description()

    def __iter__(self) -> Iterator[str]:
        """The names of the arrays."""
        return (name for name in self._members if name != "description")

    def read(
        self, name: str, shape: tuple[int, ...] | None = None, dtype: DTypeLike | None = None
    ) -> Array:
        """The array `name`; ValueError, before it is read, if it has another shape or dtype."""
        if name not in self._members:
            raise ValueError(f"{self.name}: expected an array {name!r}, got none")
        if shape is not None:
            header = self._headers[name]
            got = header.shape, header.dtype.newbyteorder("=")
            if got != (shape, np.dtype(dtype)):
                raise ValueError(
                    f"{self.name}: expected {name} {shape} {np.dtype(dtype)}, "
                    f"got {header.shape!s:.80} {header.dtype!s:.40}"
                )
        return read_member(self._archive, self._members[name])

    def _description(self) -> dict[str, Any]:
        header, reason = self._headers.get("description"), ""
        if header is not None and header.shape == () and header.dtype.kind == "U":
            try:
                return parse_description(str(self.read("description")))
            except ValueError as error:
                reason = f": {brief(error)}"
        raise ValueError(f"{self.name}: expected a file that numpyvae saved, got another{reason}")


@contextmanager
def open_npz(path: str | PathLike[str]) -> Iterator[Saved]:
    """What `write_npz` wrote, for as long as the block lasts.

    Raises FileNotFoundError, or ValueError if the file is anything else: not an archive, truncated,
    pickled, without a description, or with arrays that declare more than the file can hold.
    """
    import zipfile  # imported here: only loading needs it

    name = os.fspath(path)
    if not Path(path).exists():
        raise FileNotFoundError(f"{name}: no such file")
    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        yield Saved(archive, name, Path(path).stat().st_size)


def parse_description(text: str) -> dict[str, Any]:
    """The JSON object in `text`; ValueError if it is anything else."""
    try:
        description = json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(description, dict):
        raise ValueError(f"expected names and values, got a {type(description).__name__}")
    return description


def _whole_number(digits: str) -> int:
    """ValueError for very long numbers, which Python reads slowly and cannot print."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"expected at most {MOST_DIGITS} digits, got {len(digits):,}")
    return int(digits)
