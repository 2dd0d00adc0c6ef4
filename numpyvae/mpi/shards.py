"""What one rank reads and draws: its piece of the rows, its part of each minibatch, its noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpyvae.data import minibatches
from numpyvae.numerics import Array
from numpyvae.rows import n_rows, take_rows
from numpyvae.training import Data, Noise, Trainable, check_transformed

__all__ = ["Part", "Pass", "piece", "some"]


def piece(n: int, rank: int, size: int) -> slice:
    """The rows of `rank` among n, in `size` contiguous pieces that differ by one row at most."""
    small, larger = divmod(n, size)
    start = rank * small + min(rank, larger)
    return slice(start, start + small + (rank < larger))


def some(rows: slice) -> slice:
    """The rows; if there are none, the first of all, to be counted with weight 0.

    So a rank without rows of its own joins in each sum and does not change it.
    """
    return rows if rows.stop > rows.start else slice(0, 1)


class Part(NamedTuple):
    """One rank's part of a minibatch."""

    data: Data
    noise: Noise
    weight: float
    """n_r / n: how much of the minibatch it is."""


class Pass:
    """One pass of a rank over its piece of the data, keyed by the generator that `fit` made for it.

    All rows stand in one line, in which those of `size` ranks take turns; a minibatch is the next n
    of the line. So all ranks have the same share of it, up to one row, and each row is used once.
    A rank's own rows come in a random order.

    Rank 0 draws order and noise from the seed of `key`, as one process would; the others from
    streams of their own, with the rank as the spawn key of NumPy's `SeedSequence`.
    """

    def __init__(
        self, key: np.random.Generator, data: Data, rank: int, size: int, shuffle: bool
    ) -> None:
        self.key, self.data, self.rank, self.size, self.done = key, data, rank, size, 0
        seed: Any = key.bit_generator.seed_seq
        own = np.random.SeedSequence(seed.entropy, spawn_key=(rank,) if rank else ())
        self.rng = np.random.default_rng(own)
        rows = piece(n_rows(data), rank, size)
        n = rows.stop - rows.start
        self.order = rows.start + (self.rng.permutation(n) if shuffle else np.arange(n))

    def next(self, n: int, model: Trainable, transform: Callable[..., Array] | None = None) -> Part:
        """The part of the next n rows of the line, with noise for it."""
        rows = slice(self._own_of_first(self.done), self._own_of_first(self.done + n))
        self.done += n
        is_own = rows.stop > rows.start
        batch = take_rows(self.data, self.order[rows] if is_own else some(rows))
        if transform is not None:
            (batch,) = minibatches(batch, n_rows(batch), self.rng, transform, shuffle=False)
            check_transformed(model, batch)
        return Part(batch, model.draw_noise(self.rng, n_rows(batch)), (rows.stop - rows.start) / n)

    def _own_of_first(self, n: int) -> int:
        """How many of the first n rows of the line are this rank's."""
        return (n - self.rank + self.size - 1) // self.size
