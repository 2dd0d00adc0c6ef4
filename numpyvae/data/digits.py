"""The UCI optical digits, embedded: real data that need neither a download nor a second package."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpyvae.numerics import Array

__all__ = ["Dataset", "load_digits"]


class Dataset(NamedTuple):
    """Images and their classes in a fixed split: `x_train, y_train, x_test, y_test = ...`."""

    x_train: Array
    """(N, D), one image per row."""
    y_train: Array
    """(N,) int64 class labels."""
    x_test: Array
    """(N', D)"""
    y_test: Array
    """(N',) int64"""


def load_digits(binary: bool = False) -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels: 1,437 to train on and 360 to test on.

    A scan of 32 x 32 black and white dots was cut into 8 x 8 blocks, and each pixel counts the
    inked dots among the 16 in its block. A count out of 16 has a binomial likelihood:
    `Binomial(16)` fits these data, and `Bernoulli()` those of `binary=True`.

    Args:
        binary: 1 where more than half of the dots are inked (count > 8), else 0, as a scanner of
            8 x 8 dots would report it: the majority of each block.

    Returns:
        x float32 (N, 64): whole numbers 0..16, or 0 and 1; y int64 (N,): 0..9. The split is stored
        with the data, and both parts have the classes in the same proportions. The arrays may be
        changed.

    Source: Alpaydin & Kaynak 1998, UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0;
    see DIGITS_LICENSE.md beside this file.
    """
    from importlib import resources  # takes a tenth of the time of importing NumPy

    with (
        resources.files("numpyvae.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        counts, labels, test_rows = stored["counts"], stored["labels"], stored["test_rows"]
    x = (counts > 8 if binary else counts).astype(np.float32)
    y = labels.astype(np.int64)
    in_test = np.zeros(len(x), dtype=bool)
    in_test[test_rows] = True
    return Dataset(x[~in_test], y[~in_test], x[in_test], y[in_test])
