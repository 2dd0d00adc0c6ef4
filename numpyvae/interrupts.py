"""SIGINT, SIGTERM and SIGHUP as one exception, which never comes while something is being saved."""

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
"""The exit code of a process that Ctrl-C has ended."""


class Interrupted(KeyboardInterrupt):
    """A signal that asks the process to end. `code` is the exit code a shell expects of it."""

    def __init__(self, number: int) -> None:
        self.number, self.code = number, 128 + number
        super().__init__(signal.Signals(number).name)


class Interrupts:
    """In its `with` block SIGINT, SIGTERM and SIGHUP are noted; in `listening` they raise.

    `Interrupted` is raised once for each block of `listening`, so what the first signal leads to
    (winding back, saving, removing) is not cut short by a second. One that was noted in between is
    raised by the next such block. A signal that is ignored when it all begins (`nohup`) stays
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
        """A block that a signal ends."""
        before, self._listening = self._listening, on
        try:
            self._raise_pending()
            yield
        finally:
            self._listening = before
        self._raise_pending()

    def held(self) -> AbstractContextManager[None]:
        """A block within `listening` that no signal ends; one that came is raised behind it."""
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
