"""What `fit` measured, epoch by epoch: as columns, in a notebook, as a .csv file."""

from __future__ import annotations

import math
from os import PathLike

import numpy as np

from numpyvae.data.files import atomic_write
from numpyvae.numerics import Array
from numpyvae.validation import counted

__all__ = ["History"]


class History(list[dict[str, float]]):
    """One record for each epoch: what was measured, by name, as numbers.

    "loss" and its terms ("log_px", "kl") are means over the epoch's minibatches, measured while
    training; "elbo" is the model's bound on log p(x), if it has one (for a VAE log_px - kl), all in
    nats per example. Names with "validation_" before them are the same for validation data at the
    epoch's end. "seconds" is the epoch's time.
    """

    def column(self, name: str) -> Array:
        """One quantity over the epochs, NaN where an epoch does not have it."""
        return np.array([record.get(name, math.nan) for record in self])

    def names(self) -> list[str]:
        """The names in any of the records, in order of first appearance."""
        return list(dict.fromkeys(name for record in self for name in record))

    def __repr__(self) -> str:
        if not self:
            return "History of 0 epochs"
        last = ", ".join(f"{name} {_number(value)}" for name, value in self[-1].items())
        return f"History of {counted(len(self), 'epoch')}, the last: {last}"

    def _repr_html_(self) -> str:
        """For a notebook: up to about a dozen epochs, mostly early ones, when most is learned."""
        from html import escape

        n = len(self)
        shown = np.unique(np.geomspace(1, max(n, 1), min(n, 12)).round().astype(int)) - 1
        cells = [[_number(self[i].get(name, "")) for name in self.names()] for i in shown]
        head = "".join(f"<th>{escape(name)}</th>" for name in self.names())
        body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells)
        rows = "".join(f"<tr>{row}</tr>" for row in (head, *body))
        return f"<table>{rows}</table><p>{len(shown)} of {n} epochs, in nats per example</p>"

    def write_csv(self, path: str | PathLike[str]) -> None:
        """Write a table with one line for each epoch."""
        names = self.names()
        with atomic_write(path) as file:
            rows = ([str(record.get(name, "")) for name in names] for record in self)
            for row in (names, *rows):
                file.write((",".join(row) + "\n").encode())


def _number(value: object) -> str:
    """Six digits of a number; anything else that a callback put into a record, unchanged."""
    return f"{value:.6g}" if isinstance(value, int | float | np.number) else str(value)
