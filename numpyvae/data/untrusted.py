"""Reading files of unknown origin, whose headers may be wrong and whose data may be cut off.

gzip and zipfile are imported where they are used, to keep `import numpyvae` fast.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import IO, BinaryIO, cast

__all__ = ["brief", "decompressed", "read_promised", "refusing_damage"]

CHUNK_BYTES = 2**16


def brief(text: object) -> str:
    """One short line of a text that may come from a file of unknown origin, for a message."""
    line = " ".join(str(text)[:1000].split())
    return "".join(c if c.isprintable() else "?" for c in line)[:200]


def decompressed(file: BinaryIO) -> IO[bytes]:
    """The content of `file` from its beginning, through gzip if its first two bytes say so."""
    import gzip

    file.seek(0)
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not compressed:
        return file
    return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb"))


def read_promised(stream: IO[bytes], n_bytes: int, where: str) -> bytearray:
    """The `n_bytes` that a header declares, which must be all that is left in the stream.

    Memory grows with the data that arrive, so a false header takes none. Reading stops one byte
    after the declared end, so neither does an endless compressed stream.

    Raises ValueError, which begins with `where`, if the stream ends sooner or later.
    """
    content = bytearray()
    while chunk := stream.read(min(CHUNK_BYTES, n_bytes + 1 - len(content))):
        content += chunk
    if len(content) < n_bytes:
        raise ValueError(
            f"{where}: truncated, expected {n_bytes:,} bytes of data, got {len(content):,}"
        )
    if len(content) > n_bytes:
        raise ValueError(f"{where}: expected {n_bytes:,} bytes of data, got more")
    return content


@contextmanager
def refusing_damage(path: str | PathLike[str]) -> Iterator[None]:
    """Turn any error that comes from a damaged .npz or .gz file into a ValueError."""
    import zipfile

    try:
        yield
    except (
        zipfile.BadZipFile,
        OSError,  # BadGzipFile, or an offset before the beginning
        zlib.error,
        struct.error,
        EOFError,
        UnicodeError,
        NotImplementedError,  # a zip compression that does not exist
        RuntimeError,  # a flag that says "encrypted"
        OverflowError,  # an offset beyond 64 bits
    ) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # not the file's fault: it is missing, say, or the disk has failed
        raise ValueError(f"{os.fspath(path)}: truncated or damaged: {error!s:.120}") from error
