"""The screen and the keys of `watch`: a page redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

if sys.platform == "win32":
    import msvcrt
else:
    import select
    import termios
    import tty

__all__ = ["Live", "Page", "Plain", "lay_out", "open_screen"]

WIDTH = 96  # of text, where there is room
CLEAR = "\033[H\033[J"
COLOUR = re.compile(r"\033\[[0-9;]*m")
ESCAPE = re.compile(r"\033(\[[0-?]*[ -/]*[@-~]|O.|.)?")  # what arrows and the like send


class Page(NamedTuple):
    """What is to be seen, from top to bottom."""

    news: str
    verdict: str
    hints: str
    foot: str


@contextlib.contextmanager
def open_screen() -> Iterator[Plain | Live]:
    """A `Live` screen if people look at it and type, else `Plain` lines; put in order at the end.

    SIGTERM and SIGHUP end the program with exit code 128 plus their number, through this end.
    """
    with contextlib.ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # or else: nohup
                stack.callback(signal.signal, number, signal.signal(number, _end))
        if not _is_terminal():
            yield Plain()
            return
        screen = Live()
        stack.callback(screen.close)
        screen.open()
        yield screen


def _end(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def _is_terminal() -> bool:
    """Whether both ends are a terminal, of a kind that can move its cursor."""
    both = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    return both and os.environ.get("TERM", "dumb" if os.name == "posix" else "") != "dumb"


def _in_foreground() -> bool:
    """Whether the terminal on standard input is ours: another job's must be left alone."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # without job control nobody else can have it
        return True


class Plain:
    """Lines one after the other. A key is a line of input that holds it, and nothing else."""

    live = False
    stale = False
    width = WIDTH

    def __init__(self) -> None:
        self._typed: queue.SimpleQueue[str] = queue.SimpleQueue()
        if sys.stdin is not None:  # a thread, because Windows cannot wait for a pipe
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Not sys.stdin: its lock, held by this thread, would disturb the end of the process.
        rest = b""
        while True:
            if os.isatty(0) and not _in_foreground():
                time.sleep(0.5)  # to read now would stop the process
                continue
            try:
                piece = os.read(0, 4096)
            except OSError:
                return
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._typed.put(line.decode("utf-8", "replace").strip().lower())

    def keys(self, seconds: float) -> str:
        """The key that was typed, after at most so many seconds; "" for none."""
        with contextlib.suppress(queue.Empty):
            line = self._typed.get(timeout=seconds)
            return line if len(line) == 1 else ""
        return ""

    def busy(self, text: str) -> None:
        """Say what takes a moment."""
        print(text, flush=True)

    def show(self, page: Page, new: str = "") -> None:
        """Print a page, or of a page that was there already what is new."""
        parts = (new,) if new else page
        print("\n" + "\n\n".join(part for part in parts if part), flush=True)


class Live:
    """A page that stays in its place, on a terminal that gives each key at once."""

    live = True

    def __init__(self) -> None:
        self._settings: list[Any] | None = None
        self._size = shutil.get_terminal_size()
        self._resumed = False

    def open(self) -> None:
        """Take over the terminal, and move what was there up and out of sight."""
        if sys.platform == "win32":
            os.system("")  # makes older consoles obey escape codes
        else:
            self._settings = termios.tcgetattr(0)
            tty.setcbreak(0)
            signal.signal(signal.SIGTSTP, self._suspend)
        _write("\n" * (self._size.lines - 1) + CLEAR)

    def close(self) -> None:
        """Give the terminal back as it was. What is on the screen stays."""
        if sys.platform != "win32" and self._settings is not None:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            with contextlib.suppress(termios.error):  # the terminal has gone
                termios.tcsetattr(0, termios.TCSAFLUSH, self._settings)
        with contextlib.suppress(OSError):
            _write("\n")

    def _suspend(self, number: int, _: Any) -> None:
        """Ctrl-Z: stop with the terminal as it was, and go on when the shell says so."""
        if sys.platform != "win32" and self._settings is not None:
            termios.tcsetattr(0, termios.TCSAFLUSH, self._settings)
            _write("\n")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)  # returns when the process is continued
            signal.signal(number, self._suspend)
            if _in_foreground():
                tty.setcbreak(0)
            self._resumed = True

    @property
    def stale(self) -> bool:
        """Whether the page must be shown again: the window has another size, or was another's."""
        return self._resumed or shutil.get_terminal_size() != self._size

    @property
    def width(self) -> int:
        """Columns for text."""
        return max(20, min(WIDTH, shutil.get_terminal_size().columns - 1))

    def keys(self, seconds: float) -> str:
        """The keys that were typed, after at most so many seconds; "" for none."""
        if sys.platform == "win32":
            return _windows_keys(seconds)
        if not select.select([0], [], [], seconds)[0]:
            return ""
        if not _in_foreground():
            time.sleep(seconds)
            return ""
        typed = os.read(0, 1024)
        return ESCAPE.sub("", typed.decode("utf-8", "replace")).lower() if typed else "q"

    def busy(self, text: str) -> None:
        """Say what takes a moment, in place of the last line."""
        _write(f"\r\033[K{text[: self.width]}")

    def show(self, page: Page, new: str = "") -> None:
        """Draw a page in place of the last."""
        self._resumed, self._size = False, shutil.get_terminal_size()
        _write(CLEAR + "\n".join(lay_out(page, self._size.columns, self._size.lines)))


def _windows_keys(seconds: float) -> str:
    typed = ""
    if sys.platform == "win32":
        end = time.monotonic() + seconds
        while not typed and time.monotonic() < end:
            time.sleep(0.02)
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key == "\x03":
                    raise KeyboardInterrupt
                if key in "\x00\xe0":
                    msvcrt.getwch()  # an arrow and the like: two characters
                else:
                    typed += key
    return typed.lower()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def lay_out(page: Page, columns: int, rows: int) -> list[str]:
    """The lines of a page for a screen of this size. The verdict is cut if there is no room."""
    news, verdict, hints = (_folded(part, columns) for part in page[:3])
    foot = [_cut(line, columns) for line in page.foot.splitlines()]
    around = sum(_rows(line, columns) for line in (*news, *hints, *foot))
    blanks = sum(bool(part) for part in (news, verdict, hints))
    room = rows - around - blanks
    if sum(_rows(line, columns) for line in verdict) > room:
        while verdict and sum(_rows(line, columns) for line in verdict) > room - 1:
            verdict.pop()
        verdict.append(_cut("  ... (more in a taller window)", columns))
    lines = []
    for part in (news, verdict, hints):
        lines += [*part, ""] if part else []
    while lines and sum(_rows(line, columns) for line in (*lines, *foot)) > rows:
        lines.pop(0)
    return [*lines, *foot][-rows:]


def _folded(text: str, columns: int) -> list[str]:
    """Lines that fit, but for code: the terminal breaks that, so that it can be copied whole."""
    lines: list[str] = []
    for line in text.expandtabs().splitlines():
        if _columns(line) < columns or "import rerun" in line:
            lines.append(line)
        else:
            lines += textwrap.wrap(line, max(columns - 1, 12), subsequent_indent="     ")
    return lines


def _cut(line: str, columns: int) -> str:
    return line if _columns(line) < columns else COLOUR.sub("", line)[: columns - 1]


def _rows(line: str, columns: int) -> int:
    return max(1, -(-_columns(line) // columns))


def _columns(line: str) -> int:
    """How many columns a line takes: none for its colours, two for a Chinese character."""
    bare = COLOUR.sub("", line)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in bare)
