"""How training shows that it moves: a live line on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from numpyvae.streams import Steady

__all__ = ["Progress", "Steps"]

REFRESH_SECONDS = 0.1


class Progress:
    """Prints epoch, ELBO and time left to `stream` (default: standard output).

    `epochs` are all of the model, of which `done` were trained before.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None, done: int = 0) -> None:
        self.epochs, self.done_before = epochs, done
        self.stream = Steady(sys.stdout if stream is None else stream)
        self.live = self.stream.isatty()
        self.started = time.monotonic()
        self.next_refresh = self.started
        self.epochs_done = done
        self.last_record: Mapping[str, float] = {}

    def during_epoch(self, part: float, means: Callable[[], Mapping[str, float]]) -> None:
        """After each step, `part` of the epoch done: refreshes the live line now and then."""
        if self.live and time.monotonic() >= self.next_refresh:
            self.next_refresh = time.monotonic() + REFRESH_SECONDS
            self._show({**self.last_record, **means()}, part)

    def end_epoch(self, record: Mapping[str, float]) -> None:
        """After each epoch."""
        self.epochs_done += 1
        self.last_record = record
        self._show(record, 0.0)

    def close(self) -> None:
        """After the last epoch, however it ended."""
        if self.live:
            print(file=self.stream, flush=True)

    def _show(self, record: Mapping[str, float], part: float) -> None:
        done = self.epochs_done + part
        here = done - self.done_before
        left = (time.monotonic() - self.started) * (self.epochs - done) / here if here else 0.0
        epoch = min(self.epochs_done + (part > 0), self.epochs)
        line = f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"
        if "elbo" in record:
            line += f"  ELBO {record['elbo']:.2f}"
            if "validation_elbo" in record:
                line += f" (test {record['validation_elbo']:.2f})"
            if "kl" in record:
                line += f"  log p(x|z) {record['log_px']:.2f}  KL {record['kl']:.2f}"
            line += " nats"
        else:
            line += f"  loss {record['loss']:.4f} nats"
        line += f"  {_clock(left)} left"
        if self.live:
            import shutil  # here, not above: `import numpyvae` stays quick

            columns = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:columns]:<{columns}}", end="", file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)


class Steps:
    """A live line for work of `total` steps: its name, how much is done, time left.

    Where the output is no terminal, or without `shown`, nothing is printed.
    """

    def __init__(self, name: str, total: int, shown: bool = True) -> None:
        self.name, self.total, self.done = name, total, 0
        self.stream = Steady(sys.stdout)
        self.live = shown and self.stream.isatty()
        self.started = self.next_refresh = time.monotonic()

    def advance(self) -> None:
        """After each step."""
        self.done += 1
        now = time.monotonic()
        if self.live and now >= self.next_refresh:
            self.next_refresh = now + REFRESH_SECONDS
            left = _clock((now - self.started) * (self.total - self.done) / self.done)
            line = f"{self.name}: {self.done / self.total:.0%}  {left} left"
            print(f"\r{line:<40}", end="", file=self.stream, flush=True)

    def close(self) -> None:
        """After the last step."""
        if self.live:
            print(file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    """Minutes and seconds, 75 -> "1:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
