"""The arrays of an .npz or .npy file of unknown origin, without pickle.

``numpy.load`` believes a header before it looks whether the data are there, and expands whatever
is compressed. Here sizes are compared first.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["stored_arrays"]

FREE_BYTES, MOST_COMPRESSION = 2**24, 16
"""What the arrays may come to: so many bytes, and so many times the size of the file."""

MOST_ARRAYS = 1000


def stored_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays by name; that of a .npy file is called ``"theta"``.

    Raises ValueError for Python objects, a header that does not fit the data, a name that is there
    twice, and a small file that promises far more than it can hold; for damage, zipfile's errors.
    """
    import zipfile

    with Path(path).open("rb") as file:
        if file.read(6) == npy.MAGIC_PREFIX:
            return {"theta": _array(npy.MAGIC_PREFIX + file.read(), "the array")}
        most = FREE_BYTES + MOST_COMPRESSION * os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            promised = sum(member.file_size for member in members)
            if promised > most or len(members) > MOST_ARRAYS:
                raise ValueError(
                    f"expected at most {MOST_ARRAYS:,} arrays of {most:,} bytes in all, got "
                    f"{len(members):,} of {promised:,}"
                )
            arrays: dict[str, NDArray[Any]] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"expected one array {name!r:.40}, got two")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{name!r:.40} is compressed in a way that NumPy never writes")
                arrays[name] = _array(archive.read(member), f"{name!r:.40}")
    return arrays


def _array(content: bytes, name: str) -> NDArray[Any]:
    """The array whose .npy file has this content."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled Python objects: they are never opened")
    if not all(type(n) is int and n >= 0 for n in shape):  # type: True is an int, too
        raise ValueError(f"{name} has the impossible shape {shape!s:.80}")
    held = len(content) - stream.tell()
    if math.prod(shape) * dtype.itemsize != held:
        raise ValueError(
            f"{name} promises an array of {dtype!s:.40}, shape {shape!s:.80}, "
            f"but holds {held:,} bytes"
        )
    order: Any = "F" if fortran_order else "C"
    return np.ndarray(shape, dtype, content, stream.tell(), order=order).copy(order)
