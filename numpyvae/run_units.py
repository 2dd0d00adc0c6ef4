"""The units of a user's columns: numbers out of range, standardisation, and the dtype they need."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.data.tables import Table
from numpyvae.likelihoods import Gaussian, Likelihood
from numpyvae.numerics import Array
from numpyvae.standardization import column_moments, row_chunks
from numpyvae.validation import EntryError, check_finite, first_entry

__all__ = ["check_columns", "check_sizes", "dtype_for", "standardized"]

FAR = 1e4
"""The largest mean, in standard deviations, for float32, which has seven digits."""

WITHIN_FLOAT32 = 1e-30, 1e30
"""The range of standard deviations for float32, whose limits of 1e-38 and 1e38 outliers need."""

SMALLEST, LARGEST = 1e-100, 1e100
"""A column's largest number must lie between these, or be 0, so that float64 holds its square."""

REMEDY = "take another unit, or leave the column out (--drop)"


def check_sizes(x: Array) -> None:
    """EntryError for the first entry of x (N, D) that is not finite, or beyond LARGEST."""
    for start, rows in row_chunks(x):
        check_finite("x", rows, first_row=start)
        if float(np.abs(rows).max()) > LARGEST:
            row, column = first_entry(np.abs(rows) > LARGEST)
            problem = f"= {rows[row, column]:g} is beyond {LARGEST:g}: {REMEDY}"
            raise EntryError("x", start + row, column, problem)


def check_columns(table: Table, x: Array) -> None:
    """ValueError that names the first column of x (N, D) whose numbers are below SMALLEST."""
    largest = np.zeros(x.shape[1])
    for _, rows in row_chunks(x):
        np.maximum(largest, np.abs(rows).max(axis=0), out=largest)
    tiny = (largest > 0) & (largest < SMALLEST)
    if tiny.any():
        j = int(np.argmax(tiny))
        size = f"has no number above {largest[j]:.3g}, expected {SMALLEST:g} or more"
        raise ValueError(f"{table.where}: column {table.column(j)} {size}: {REMEDY}")


def standardized(likelihood: Likelihood, x: Array, wish: bool | None) -> Likelihood:
    """A Gaussian likelihood in the units of x (N, D), if it needs them or `wish` says so.

    Without a wish, a learned variance gets them, unless x has grey values in [0, 1] or every column
    already has size one: a mean from -3 to 3, a standard deviation of 0 or from 1/3 to 3.
    """
    if not isinstance(likelihood, Gaussian):
        if wish:
            raise ValueError(
                "--standardize is for --likelihood gaussian:shared, gaussian:per_dimension or "
                f"gaussian:VARIANCE, got {likelihood!r}"
            )
        return likelihood
    if wish is None:
        mean, std = column_moments(x)
        low = min(float(chunk.min()) for _, chunk in row_chunks(x))
        high = max(float(chunk.max()) for _, chunk in row_chunks(x))
        grey = low >= 0 and 0.5 < high <= 1
        of_size_one = (abs(mean) <= 3) & ((std == 0) | (abs(np.log(std + (std == 0))) <= np.log(3)))
        wish = isinstance(likelihood.variance, str) and not grey and not of_size_one.all()
    return likelihood.scaled_to(x) if wish else likelihood


def dtype_for(likelihood: Likelihood) -> np.dtype[Any]:
    """float32, or float64 if a column varies little about a large mean (seconds since 1970, say).

    It is float64, too, if a standard deviation is outside the range of float32.
    """
    units, (low, high) = likelihood.standardization, WITHIN_FLOAT32
    if units is None:
        return np.dtype(np.float32)
    far = (abs(units.shift) > FAR * units.scale) | (units.scale < low) | (units.scale > high)
    return np.dtype(np.float64 if far.any() else np.float32)
