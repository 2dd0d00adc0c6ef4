"""SIGINT, SIGTERM and SIGHUP as one exception, which is never raised in the middle of a save."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

__all__ = ["ENDING", "INTERRUPTED", "Interrupted", "Interrupts"]

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals that ask a process to end; Windows has no SIGHUP."""

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a process that Ctrl-C ended."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `code` is the exit code that a shell expects then."""

    def __init__(self, number: int) -> None:
        self.number, self.code = number, 128 + number
        super().__init__(signal.Signals(number).name)


class Interrupts:
    """In its `with` block SIGINT, SIGTERM and SIGHUP are only noted; within `listening` they raise.

    Each block of `listening` raises `Interrupted` at most once, so a second signal does not cut
    short the cleanup after the first (winding back, saving, removing). A signal that comes between
    two such blocks is raised by the next one. A signal that is ignored at the start (`nohup`) stays
    ignored. Outside the main thread, where Python allows no handlers, nothing is changed.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._pending: list[int] = []
        self._listening = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def listening(self, on: bool = True) -> Iterator[None]:
        """A block in which a signal raises `Interrupted`."""
        before, self._listening = self._listening, on
        try:
            self._raise_pending()
            yield
        finally:
            self._listening = before
        self._raise_pending()

    def held(self) -> AbstractContextManager[None]:
        """A block within `listening` that no signal interrupts; it is raised after the block."""
        return self.listening(False)

    def take(self) -> int:
        """The number of a signal that was noted, which no block will raise any more; 0: none."""
        return self._pending.pop() if self._pending else 0

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
        self._pending.append(number)
        self._raise_pending()

    def _raise_pending(self) -> None:
        if self._listening and self._pending:
            self._listening = False
            raise Interrupted(self._pending.pop())
