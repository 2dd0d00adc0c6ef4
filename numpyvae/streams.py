"""Standard output and error as they are found: closed, missing, full, or short of letters.

What is printed is shown or dropped. It never ends what computes.
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
"""A reader that has gone (EINVAL on Windows), a closed stream, a terminal that was closed."""


class Steady(io.TextIOBase):
    """Text for `stream`, which may be None, may fail, and may lack letters; no print ever raises.

    A letter that the stream's encoding lacks becomes "?". After a write that failed, everything
    is dropped, and `failure` is the error.
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
        """Why something was lost that somebody waits for, such as a full disk; None otherwise."""
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
        """After a failure: let go what is still in a buffer, or Python would try it at its end."""
        if self.failure is not None:
            with contextlib.suppress(Exception), Path(os.devnull).open("wb") as null:
                os.dup2(null.fileno(), self.fileno())


@contextlib.contextmanager
def steady_streams() -> Iterator[Steady]:
    """sys.stdout and sys.stderr are `Steady` within the block, which is given the first."""
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
    """So that no file of ours gets number 1 or 2, to which libraries written in C may print."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
