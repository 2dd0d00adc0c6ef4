"""NumPy's own file formats, .npy and .npz, without pickle and without trust in their headers.

`numpy.load` sets aside the memory that a header asks for before it looks whether the data are
there. Here the header is first held against the size of the file, or of the member of the archive.
"""

from __future__ import annotations

import math
import os
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy

from numpyvae.data.untrusted import read_promised, refusing_damage
from numpyvae.numerics import Array

if TYPE_CHECKING:
    import zipfile  # at run time it is imported where an archive is read: that takes a while

__all__ = ["npz_names", "npz_usual", "read_member", "read_npy", "read_npz"]

MEMORY_MAP_BYTES = 2**26
"""Arrays of .npy files from this size on are mapped into memory, not read."""

USUAL_NAMES = ("x", "x_train", "data")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[np.generic]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def order(self) -> Literal["C", "F"]:
        return "F" if self.fortran_order else "C"


def read_npy(path: str | PathLike[str]) -> Array:
    """The array of a .npy file; from 64 MiB on a read-only `numpy.memmap` of it.

    Raises ValueError if the file is damaged, truncated, too long, or holds Python objects.
    """
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        header = _read_header(file, os.fstat(file.fileno()).st_size, name)
        if header.n_bytes < MEMORY_MAP_BYTES:
            return _read_elements(file, header, name)
        x: Array = np.memmap(path, header.dtype, "r", file.tell(), header.shape, header.order)
        return x


def npz_names(path: str | PathLike[str]) -> list[str]:
    """The names of the arrays in an .npz file. Raises ValueError if the file is damaged."""
    import zipfile

    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def npz_usual(names: list[str]) -> str | None:
    """The array that is meant if none is named: the only one, or x, x_train or data."""
    usual = [name for name in USUAL_NAMES if name in names]
    return next(iter(names if len(names) == 1 else usual), None)


def read_npz(path: str | PathLike[str], key: str | None = None) -> Array:
    """One array of an .npz file: `key`, or the only one, or the one named x, x_train or data.

    Raises ValueError if there is no such array (the names are listed) or the file is damaged.
    """
    import zipfile

    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
        if key is None:
            key = npz_usual(list(members))
        if key not in members:
            names = ", ".join(repr(name) for name in list(members)[:10])
            expected = "one array, or one named x, x_train or data" if key is None else repr(key)
            raise ValueError(
                f"{os.fspath(path)}: expected {expected}, "
                f"got {len(members)} arrays{': ' if members else ''}{names}"
                + (f" (key={names.split(', ')[0]} picks one)" if key is None and members else "")
            )
        return read_member(archive, members[key])


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array of an open .npz file, of any type but Python objects.

    Raises ValueError if it is damaged, or if its header does not fit the size of the member; what
    else a damaged archive makes zipfile raise, `refusing_damage` gathers.
    """
    where = f"{archive.filename}: array {member.filename.removesuffix('.npy')!r}"
    with archive.open(member) as stream:
        return _read_elements(stream, _read_header(stream, member.file_size, where), where)


def _read_header(stream: IO[bytes], file_bytes: int, where: str) -> _Header:
    """The header at the beginning of `stream`, if exactly its data can follow in `file_bytes`."""
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            header = _Header(*npy.read_array_header_1_0(stream))
        else:  # (3, 0) differs in the names of columns alone, which arrays of numbers do not have
            header = _Header(*npy.read_array_header_2_0(stream))
    except Exception as error:  # NumPy lets SyntaxError, TypeError, TokenError and others through
        raise ValueError(f"{where}: its .npy header cannot be read: {error!s:.120}") from error
    if header.dtype.hasobject:
        raise ValueError(f"{where}: expected numbers, got pickled Python objects: never opened")
    if min(header.shape, default=0) < 0:
        raise ValueError(f"{where}: the header gives the impossible shape {header.shape!s:.80}")
    available = file_bytes - stream.tell()
    if header.n_bytes != available:
        raise ValueError(
            f"{where}: the header promises {header.n_bytes:,} bytes of data "
            f"(shape {header.shape!s:.80}, {header.dtype!s:.40}), the file holds {available:,}"
        )
    return header


def _read_elements(stream: IO[bytes], header: _Header, where: str) -> Array:
    """The array that follows `header` in `stream`, in this machine's byte order."""
    content = read_promised(stream, header.n_bytes, where)
    try:
        x: Array = np.ndarray(header.shape, header.dtype, content, order=header.order)
    except ValueError as error:  # more axes than NumPy can have, or an axis beyond 64 bits
        raise ValueError(f"{where}: {error!s:.120}") from error
    return x if header.dtype.isnative else x.astype(header.dtype.newbyteorder("="))
