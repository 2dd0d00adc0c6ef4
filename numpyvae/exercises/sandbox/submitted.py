"""The text of a student's file, read within bounds and not run."""

from __future__ import annotations

import codecs
import contextlib
import io
import re
import stat
from pathlib import Path

__all__ = ["SOURCE_BYTES", "read_submitted"]

SOURCE_BYTES = 200_000
ASCII = bytes(range(128))
DECLARED = re.compile(  # in a comment, in the first line or in the second
    rb"(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n?|\n))??[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)"
)


def read_submitted(path: Path) -> str:
    """The text of a student's file. ValueError unless it is an ordinary, short text file."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not an ordinary file")
        if status.st_size > SOURCE_BYTES:
            raise ValueError(
                f"{path.name} has {status.st_size:,} bytes, expected at most {SOURCE_BYTES:,}"
            )
    with path.open("rb") as file:
        return _decoded(path.name, file.read(SOURCE_BYTES))


def _decoded(name: str, content: bytes) -> str:
    """The text of a Python file: in the encoding that it declares (PEP 263), or else in UTF-8."""
    content = content.removeprefix(codecs.BOM_UTF8)
    declared = DECLARED.match(content)
    encoding = declared[1].decode() if declared else "UTF-8"
    try:
        if ASCII.decode(encoding) != ASCII.decode():  # also slow ones, like punycode
            raise LookupError(encoding)
        return io.StringIO(content.decode(encoding), newline=None).read()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        text = f"{name} is not text in {encoding} (line {line}): save it as UTF-8"
    except (LookupError, ValueError):
        text = f"{name} declares the encoding {encoding!r}, which is unknown: save it as UTF-8"
    raise ValueError(text)
