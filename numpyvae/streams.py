"""Standard output and error that may be closed, missing, full, or in a small encoding.

What is printed is shown or dropped; it never ends the computation.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

__all__ = ["Steady", "steady_streams"]

NOBODY_LISTENS = (errno.EPIPE, errno.EBADF, errno.EINVAL, errno.EIO)
"""The reader is gone (EINVAL on Windows), or the stream or the terminal was closed."""


class Steady(io.TextIOBase):
    """A text stream that writes to `stream`, which may be None or fail; printing never raises.

    A character that the encoding of `stream` lacks becomes "?". After a failed write all further
    text is dropped, and `failure` is the error.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)  # buffer, name, ...

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    @property
    def gone(self) -> bool:
        """Whether what is printed is dropped."""
        return self.stream is None or self.failure is not None

    @property
    def lost(self) -> OSError | None:
        """Why output was lost that somebody expects, such as a full disk; None otherwise."""
        failure = self.failure
        of_note = isinstance(failure, OSError) and failure.errno not in NOBODY_LISTENS
        return cast(OSError, failure) if of_note else None

    def write(self, text: str) -> int:
        if self.stream is not None and not self.gone:
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                self.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except Exception as error:
                self.failure = error
        return len(text)

    def flush(self) -> None:
        if self.stream is not None and not self.gone:
            try:
                self.stream.flush()
            except Exception as error:
                self.failure = error

    def isatty(self) -> bool:
        with contextlib.suppress(Exception):  # a closed stream raises
            return self.stream is not None and self.stream.isatty()
        return False

    def fileno(self) -> int:
        return super().fileno() if self.stream is None else self.stream.fileno()

    def drop_pending(self) -> None:
        """After a failure, drop what is still in a buffer; Python would try to write it at exit."""
        if self.failure is not None:
            with contextlib.suppress(Exception), Path(os.devnull).open("wb") as null:
                os.dup2(null.fileno(), self.fileno())


@contextlib.contextmanager
def steady_streams() -> Iterator[Steady]:
    """sys.stdout and sys.stderr are `Steady` within the block, which gets the first of them."""
    before = sys.stdout, sys.stderr
    if None in before:
        _occupy_standard_descriptors()
    out, err = Steady(before[0]), Steady(before[1])
    sys.stdout, sys.stderr = cast(Any, out), cast(Any, err)
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
            stream.drop_pending()
        sys.stdout, sys.stderr = before


def _occupy_standard_descriptors() -> None:
    """Keep file numbers 1 and 2 from files of ours: libraries written in C may print to them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
