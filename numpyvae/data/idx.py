"""IDX, the file format of MNIST and its relatives.

A header and the elements, all of it big-endian: two zero bytes, one byte for the type of the
elements, one for the number of axes, the length of each axis as an unsigned 32-bit integer, and
then the elements in C order. (Described on the MNIST page of LeCun, Cortes and Burges.)
"""

from __future__ import annotations

import math
import os
import struct
from os import PathLike
from pathlib import Path

import numpy as np

from numpyvae.data.untrusted import decompressed, read_promised, refusing_damage
from numpyvae.numerics import Array

__all__ = ["read_idx"]

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | PathLike[str]) -> Array:
    """The array of an IDX file, compressed by gzip or not, in this machine's byte order.

    The first bytes, not the name, tell whether it is compressed. A header that declares more than
    the file holds does not take memory.

    Raises:
        OSError: the file cannot be opened; FileNotFoundError if there is none.
        ValueError: it is not an IDX file, or damaged, or shorter or longer than its header says.
    """
    name = os.fspath(path)
    with refusing_damage(path), Path(path).open("rb") as file:
        stream = decompressed(file)
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
            raise ValueError(f"{name}: expected an IDX file, got one that begins with {start!r}")
        dtype, n_axes = np.dtype(TYPES[start[2]]), start[3]
        lengths = stream.read(4 * n_axes)
        if len(lengths) < 4 * n_axes:
            raise ValueError(f"{name}: truncated within the lengths of its {n_axes} axes")
        shape = struct.unpack(f">{n_axes}I", lengths)
        content = read_promised(stream, math.prod(shape) * dtype.itemsize, name)
    try:
        x: Array = np.ndarray(shape, dtype, content)
    except ValueError as error:  # more axes than NumPy allows, or a length of zero
        raise ValueError(f"{name}: {error}") from error
    return x.astype(dtype.newbyteorder("="), copy=False)
