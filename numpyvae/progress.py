"""The progress of training: a live line on a terminal or in a notebook, else separate lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from numpyvae.live_line import REFRESH_SECONDS, LiveLine

__all__ = ["Progress", "Steps"]


class Progress:
    """Prints epoch, ELBO and time left to `stream` (default: standard output).

    One live line where the stream allows it, otherwise a line for each epoch.
    `epochs` counts all epochs of the model, including the `done` ones of earlier trainings.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None, done: int = 0) -> None:
        self.epochs, self.done_before = epochs, done
        self.line = LiveLine(stream)
        self.started = time.monotonic()
        self.next_refresh = self.started
        self.epochs_done = done
        self.last_record: Mapping[str, float] = {}

    def during_epoch(self, part: float, means: Callable[[], Mapping[str, float]]) -> None:
        """Call it after each step, when the fraction `part` of the epoch is done."""
        if self.line.live and time.monotonic() >= self.next_refresh:
            self.next_refresh = time.monotonic() + REFRESH_SECONDS
            self._show({**self.last_record, **means()}, part)

    def end_epoch(self, record: Mapping[str, float]) -> None:
        """Call it after each epoch."""
        self.epochs_done += 1
        self.last_record = record
        self._show(record, 0.0)

    def close(self) -> None:
        """Call it after the last epoch, however training ended."""
        self.line.close()

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
        if self.line.live:
            self.line.show(line)
        else:
            print(line, file=self.line.stream, flush=True)


class Steps:
    """A live line for work of `total` steps: its name, the share done, the time left.

    It prints nothing if `shown` is False or the stream allows no live line.
    """

    def __init__(self, name: str, total: int, shown: bool = True) -> None:
        self.name, self.total, self.done = name, total, 0
        line = LiveLine()
        self.line = line if shown and line.live else None
        self.started = self.next_refresh = time.monotonic()

    def advance(self) -> None:
        """Call it after each step."""
        self.done += 1
        now = time.monotonic()
        if self.line and now >= self.next_refresh:
            self.next_refresh = now + REFRESH_SECONDS
            left = _clock((now - self.started) * (self.total - self.done) / self.done)
            self.line.show(f"{self.name}: {self.done / self.total:.0%}  {left} left")

    def close(self) -> None:
        """Call it after the last step."""
        if self.line:
            self.line.close()


def _clock(seconds: float) -> str:
    """Minutes and seconds, 75 -> "1:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
