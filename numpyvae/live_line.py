"""One line that is overwritten, on a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from numpyvae.streams import Steady

__all__ = ["REFRESH_SECONDS", "LiveLine"]

REFRESH_SECONDS = 0.1


class LiveLine:
    """A line on `stream` (default: standard output) that `show` replaces, if it is `live`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = sys.stdout if stream is None else stream
        self.stream = Steady(stream)
        self.display = _display_of(stream)
        self.live = self.display is not None or self.stream.isatty()
        self._handle: Any = None
        self._waiting, self._next_message = "", 0.0

    def show(self, text: str) -> None:
        """Show `text` in place of the line before."""
        if self.display is None:
            import shutil  # imported here to keep `import numpyvae` fast

            columns = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:columns]:<{columns}}", end="", file=self.stream, flush=True)
            return
        self._waiting = text
        if time.monotonic() >= self._next_message:  # too many messages are dropped
            self._next_message = time.monotonic() + REFRESH_SECONDS
            self._send()

    def close(self) -> None:
        """End the line; what was shown last stays."""
        if self.display is not None:
            self._send()
        elif self.live:
            print(file=self.stream, flush=True)

    def _send(self) -> None:
        """Update one output of the notebook, so that the saved notebook has one line, too."""
        if not self._waiting:
            return
        data, self._waiting = {"text/plain": self._waiting}, ""
        if self._handle is None:
            self._handle = self.display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _display_of(stream: Any) -> Any:
    """IPython's `display` if `stream` is the output of a notebook's cell, else None.

    This imports nothing, because in a notebook IPython is already loaded. An output that was
    redirected, to a file or by %%capture, is not the notebook's.
    """
    in_notebook = type(stream).__module__.startswith("ipykernel.")
    return getattr(sys.modules.get("IPython.display"), "display", None) if in_notebook else None
