"""Processes that have NumPy already, and make a fork of themselves for each job (Linux).

To start Python and NumPy takes ten times as long as most students' code. A fork runs one job, in a
session of its own, and ends: nothing of it is left for the next.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Fork", "Forker", "Forkers"]

NO_FILTER = 3  # as in child.py


class Forker:
    """child.py --serve, by its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout

    def fork(self, job: Path) -> Fork:
        """A new process for the job. OSError if there is none to be had."""
        self.write(os.fsencode(job))
        return Fork(self)

    def write(self, content: bytes) -> None:
        """To the process. OSError if it has ended."""
        self._in.write(content)

    def read(self, timeout: float | None = None) -> int:
        """A number from the process. TimeoutExpired; OSError if it has ended."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if not poll.poll(None if timeout is None else 1000.0 * timeout):
            raise subprocess.TimeoutExpired("child.py", timeout or 0.0)
        line = self._out.readline()
        if not line.strip():
            raise OSError("the process that starts others has ended")
        return int(line)

    def end(self) -> int:
        """Close its pipes, and wait for its end; its exit code."""
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()
        return self._process.wait()


class Fork:
    """A process that does a job, with what is used of a Popen."""

    def __init__(self, forker: Forker) -> None:
        self._forker = forker
        self._code: int | None = None
        self.pid = forker.read()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it. TimeoutExpired."""
        if self._code is None:
            self._code = self._forker.read(timeout)
        return self._code

    def let_go(self) -> None:
        """From now on its id may be another's."""
        self.wait()
        self._forker.write(b"\n")


class Forkers:
    """The forkers of all threads, as long as `kept` is in force: one that is free, or a new one."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._free: list[Forker] = []
        self._keepers, self._lock = 0, threading.Lock()
        self._is_safe = sys.platform == "linux"  # and there is a filter of system calls

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Use forks from here on; at the end, what is still in use ends after its job."""
        with self._lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._keepers -= 1
                free = [] if self._keepers else [self._free.pop() for _ in [*self._free]]
            for forker in free:
                forker.end()

    @contextlib.contextmanager
    def fork(self, job: Path) -> Iterator[Fork | None]:
        """A fork for the job; None where there is none to be had. Whoever takes it ends it."""
        if not (self._keepers and self._is_safe):
            yield None
            return
        with self._lock:
            forker = self._free.pop() if self._free else None
        fork = None
        try:
            with contextlib.suppress(OSError):
                forker = forker or Forker(self._start())
                fork = forker.fork(job)
            yield fork
            if fork:
                fork.let_go()
        except BaseException:
            fork = None
            raise
        finally:
            self._give_back(forker, fork is not None)

    def _give_back(self, forker: Forker | None, is_good: bool) -> None:
        with self._lock:
            is_kept = is_good and self._keepers > 0
            if forker and is_kept:
                self._free.append(forker)
        if forker and not is_kept and forker.end() == NO_FILTER:
            self._is_safe = False
