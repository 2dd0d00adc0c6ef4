"""One pass over the data in minibatches, and transforms of 8-bit pixels for a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from numpyvae.numerics import Array
from numpyvae.validation import positive_int

__all__ = ["binarize_pixels", "minibatches", "scale_pixels"]


def minibatches(
    data: Array | tuple[Array, ...],
    batch_size: int,
    rng: np.random.Generator | None,
    transform: Callable[..., Array] | None = None,
    *,
    shuffle: bool = True,
) -> Iterator[Any]:
    """Each row of x (N, D) once, `batch_size` rows at a time; the last minibatch may be smaller.

    For a tuple (x, y) each minibatch is a tuple, too: rows of x, and their entries of y.

    Every minibatch is a new array that the caller may keep or change. Only the rows of one
    minibatch are copied at a time, so x may be a `numpy.memmap` larger than memory.

    Args:
        data: x (N, D) of any dtype, N at least 1, or a tuple of x and other arrays of N rows.
        batch_size: B, at least 1.
        rng: shuffles the rows, and is passed to a transform that draws. None keeps their order.
        transform: `transform(x)` or `transform(x, rng)`, applied to x of each minibatch. It gets
            the generator if its second argument is called `rng` or has no default.
        shuffle: False keeps the order of the rows; `rng` is then for the transform only.

    Raises:
        TypeError, ValueError: at the call, not at the first minibatch, for a batch size that is not
            a positive integer, an x that is not an array of two axes with at least one row, an
            `rng` that is not a generator, or a transform that needs one and gets None.
    """
    batch_size = positive_int("batch_size", batch_size)
    x, *others = data if isinstance(data, tuple) else (data,)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be a NumPy array (N, D), got {type(x).__name__}")
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x must have shape (N, D) with at least one row, got {x.shape}")
    for other in others:
        if np.shape(other)[:1] != (len(x),):
            raise ValueError(f"expected {len(x)} labels, as many as rows, got {np.shape(other)}")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator or None, got {rng!r}")
    draws = transform is not None and _takes_rng(transform)
    if draws and rng is None:
        raise ValueError("transform takes (batch, rng): expected a Generator as rng, got None")
    order = rng.permutation(len(x)) if shuffle and rng is not None else None
    apply = partial(_applied, transform, rng if draws else None) if transform else None
    if not isinstance(data, tuple):
        batches = _gather(np.asarray(x), batch_size, order)
        return map(apply, batches) if apply else batches
    together = zip(*(_gather(np.asarray(a), batch_size, order) for a in data), strict=True)
    return ((apply(x), *rest) for x, *rest in together) if apply else together


def _applied(transform: Callable[..., Array], rng: np.random.Generator | None, x: Array) -> Array:
    return transform(x) if rng is None else transform(x, rng)


def _gather(x: Array, batch_size: int, order: Array | None) -> Iterator[Array]:
    """Copies of `batch_size` rows of x (N, ...) in the given order (N,)."""
    for start in range(0, len(x), batch_size):
        stop = start + batch_size
        # x.take(rows, axis=0) saves a microsecond, but first copies all of an x that is not in C
        # order, such as a few columns of a larger array.
        yield x[start:stop].copy() if order is None else x[order[start:stop]]


def _takes_rng(transform: Callable[..., Array]) -> bool:
    """Whether the second positional argument of `transform` is a generator."""
    try:
        parameters = list(inspect.signature(transform).parameters.values())
    except (TypeError, ValueError):  # written in C and without a signature, such as a ufunc
        return False
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(by_position) < 2:
        return False
    return by_position[1].name == "rng" or by_position[1].default is inspect.Parameter.empty


def scale_pixels(x: Array) -> Array:
    """x / 255: 8-bit pixels as float32 in [0, 1], of any shape.

    Raises TypeError if x is not uint8: floats would be scaled a second time.
    """
    if x.dtype != np.uint8:
        raise TypeError(f"scale_pixels expects uint8 pixels, got {x.dtype}")
    pixels: Array = np.divide(x, np.float32(255), dtype=np.float32)
    return pixels


def binarize_pixels(x: Array, rng: np.random.Generator) -> Array:
    """Draw each pixel anew from a Bernoulli distribution whose mean is its brightness.

    P(1) = v / 255 exactly for an 8-bit pixel v, because v of the 255 equally likely integers 0..254
    are below v. A float p in [0, 1] gives P(1) = p up to the resolution of the random numbers,
    2^-24 for float32. ("Dynamic binarisation": Burda et al. 2015, section 5.)

    Args:
        x: uint8, or floats in [0, 1], of any shape.
        rng: draws one number for each pixel.

    Returns:
        float32 zeros and ones in the shape of x.

    Raises:
        TypeError: x is of another dtype.
        ValueError: a float lies outside [0, 1] or is NaN.
    """
    if x.dtype == np.uint8:
        return (rng.integers(0, 255, size=x.shape, dtype=np.uint8) < x).astype(np.float32)
    if x.dtype.kind != "f":
        raise TypeError(f"binarize_pixels expects uint8 or floats in [0, 1], got {x.dtype}")
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"binarize_pixels expects floats in [0, 1], got {x.min()} to {x.max()}")
    return (rng.random(size=x.shape, dtype=np.float32) < x).astype(np.float32)
