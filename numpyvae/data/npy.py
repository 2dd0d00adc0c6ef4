"""NumPy's own file formats, .npy and .npz, without pickle and without trust in their headers.

`numpy.load` allocates the memory that a header declares before it looks whether the data are there.
Here the header is first compared with the size of the file, or of the member of the archive. bzip2
and LZMA, whose decompressors return everything at once, are not used; NumPy writes neither.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy

from numpyvae.data.untrusted import brief, read_promised, refusing_damage
from numpyvae.numerics import Array

if TYPE_CHECKING:
    import zipfile  # slow to import, so at run time it is imported where an archive is read

__all__ = [
    "Header",
    "members",
    "npy_array",
    "npz_names",
    "npz_usual",
    "read_header",
    "read_member",
    "read_npy",
    "read_npz",
]

MEMORY_MAP_BYTES = 2**26
"""Arrays in .npy files from this size on are mapped into memory, not read."""

HEADER_BYTES = 2**14
"""The most bytes read of a header; NumPy accepts 10,000."""

USUAL_NAMES = ("x", "x_train", "data")


class Header(NamedTuple):
    """The array that the header of a .npy file declares."""

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


def npy_array(content: bytes, name: str) -> Array:
    """The array in the bytes of a .npy file. Raises ValueError as `read_npy` does."""
    stream = io.BytesIO(content)
    return _read_elements(stream, _read_header(stream, len(content), name), name)


def npz_names(path: str | PathLike[str]) -> list[str]:
    """The names of the arrays in an .npz file. Raises ValueError if the file is damaged."""
    import zipfile

    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        return list(members(archive))


def npz_usual(names: list[str]) -> str | None:
    """The default array: the only one, or x, x_train or data."""
    usual = [name for name in USUAL_NAMES if name in names]
    return next(iter(names if len(names) == 1 else usual), None)


def read_npz(path: str | PathLike[str], key: str | None = None) -> Array:
    """One array of an .npz file: `key`, or the only one, or the one named x, x_train or data.

    Raises ValueError if there is no such array (the names are listed) or the file is damaged.
    """
    import zipfile

    with refusing_damage(path), zipfile.ZipFile(path) as archive:
        found = members(archive)
        if key is None:
            key = npz_usual(list(found))
        if key not in found:
            names = ", ".join(f"{name!r:.40}" for name in list(found)[:10])
            expected = "one array, or one named x, x_train or data" if key is None else repr(key)
            raise ValueError(
                f"{os.fspath(path)}: expected {expected}, "
                f"got {len(found)} arrays{': ' if found else ''}{names}"
                + (f" (key={names.split(', ')[0]} picks one)" if key is None and found else "")
            )
        return read_member(archive, found[key])


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an open .npz file by name; ValueError if a name occurs twice."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in found:
            raise ValueError(f"{archive.filename}: expected one array {name!r:.40}, got two")
        found[name] = member
    return found


def read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    """The header of one array of an open .npz file; ValueError as for `read_member`."""
    with _opened(archive, member) as (stream, where):
        return _read_header(stream, member.file_size, where)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array of an open .npz file, of any type but Python objects.

    Raises ValueError if it is damaged, or if its header does not fit the size of the member.
    `refusing_damage` handles other errors that zipfile raises for a damaged archive.
    """
    with _opened(archive, member) as (stream, where):
        return _read_elements(stream, _read_header(stream, member.file_size, where), where)


@contextmanager
def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[tuple[IO[bytes], str]]:
    """The bytes of an array, and its name in messages."""
    import zipfile

    where = f"{archive.filename}: array {member.filename.removesuffix('.npy')!r:.40}"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{where}: expected it stored or deflated, got another compression")
    with archive.open(member) as stream:
        yield stream, where


def _read_header(stream: IO[bytes], file_bytes: int, where: str) -> Header:
    """The header at the beginning of `stream`, if exactly its data can follow in `file_bytes`."""
    try:
        prefix = stream.read(10)
        if prefix[6:7] > b"\1":  # from version 2 on, the header's length has four bytes, not two
            prefix += stream.read(2)
        length = int.from_bytes(prefix[8:], "little")
        start = io.BytesIO(prefix + stream.read(min(length, HEADER_BYTES)))
        version = npy.read_magic(start)
        if version == (1, 0):
            header = Header(*npy.read_array_header_1_0(start))
        else:  # (3, 0) differs only in the names of columns, which arrays of numbers do not have
            header = Header(*npy.read_array_header_2_0(start))
    except Exception as error:  # NumPy lets SyntaxError, TypeError, TokenError and others through
        raise ValueError(f"{where}: its .npy header cannot be read: {brief(error)}") from error
    if header.dtype.hasobject:
        raise ValueError(f"{where}: expected numbers, got pickled Python objects: never opened")
    if not all(type(n) is int and n >= 0 for n in header.shape):  # type: True is an int
        raise ValueError(f"{where}: the header gives the impossible shape {header.shape!s:.80}")
    available = file_bytes - start.tell()
    if header.n_bytes != available:
        raise ValueError(
            f"{where}: the header promises {min(header.n_bytes, 10**40):,} bytes of data "
            f"(shape {header.shape!s:.80}, {header.dtype!s:.40}), the file holds {available:,}"
        )
    return header


def _read_elements(stream: IO[bytes], header: Header, where: str) -> Array:
    """The array that follows `header` in `stream`, in this machine's byte order."""
    content = read_promised(stream, header.n_bytes, where)
    try:
        x: Array = np.ndarray(header.shape, header.dtype, content, order=header.order)
    except ValueError as error:  # more axes than NumPy can have, or an axis beyond 64 bits
        raise ValueError(f"{where}: {error!s:.120}") from error
    return x if header.dtype.isnative else x.astype(header.dtype.newbyteorder("="))
