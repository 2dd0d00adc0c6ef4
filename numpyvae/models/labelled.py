"""What models with labels add: data (x, y), checked and fitted together."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.models.model import Model
from numpyvae.numerics import Array
from numpyvae.training import Data, History
from numpyvae.validation import as_labels, as_matrix

__all__ = ["Labelled"]


class Labelled(Model):
    """A model of (x, y), with y (N,) of the classes 0, ..., K - 1."""

    n_classes: int
    """K."""

    def fit(self, x: Array, y: Array | None = None, *arguments: Any, **options: Any) -> History:  # type: ignore[override]
        """Minimise the loss over the rows of x (N, D) and their labels y (N,).

        The arguments after y are those of every model: epochs, batch_size, ...;
        `validation_data` is (x', y'). See `numpyvae.training.fit`.
        """
        if y is None:
            raise TypeError(f"{type(self).__name__} needs labels: fit(x, y) with y (N,)")
        return super().fit(x, *arguments, **options, y=y)

    def as_data(self, data: Data) -> tuple[Array, Array]:
        """x (N, D) and y (N,), checked for shape and type, not copied.

        Raises TypeError if y is missing or does not hold whole numbers, ValueError for a wrong
        length or a label that is out of range.
        """
        if not isinstance(data, tuple) or len(data) != 2:
            raise TypeError(f"{type(self).__name__} takes (x, y): labels beside the data")
        x = as_matrix("x", data[0], self.data_dim, "(N, D)")
        return x, as_labels("y", data[1], len(x), self.n_classes, self.unknown_labels)

    def draw_data(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """n random examples with labels that are valid for this model: for proofs."""
        least = -1 if self.unknown_labels else 0
        return super().draw_data(rng, n), rng.integers(least, self.n_classes, n)
