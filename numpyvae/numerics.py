"""Scalar functions that neither overflow nor leave the complex plane.

Each works unchanged on float32, float64 and complex128. On complex input it is the analytic
continuation near the real axis, which is what the complex-step derivative needs: branches look at
the real part only, and nothing takes an absolute value of a differentiated quantity.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "BLOCK",
    "Array",
    "aligned_empty",
    "keep_freed_memory",
    "logsumexp",
    "magnitude",
    "row_blocks",
    "sigmoid",
    "sigmoid_and_softplus",
    "softplus",
]

Array = NDArray[Any]
"""An array of whatever dtype theta has: float32, float64 or complex128."""

BLOCK = 65_536
"""Entries processed at a time: with a few temporaries they stay in the cache in all passes."""


def sigmoid(x: Array) -> Array:
    """sigmoid(x) = 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2, elementwise.

    The second form cannot overflow. Derivative: sigmoid(x) (1 - sigmoid(x)).
    """
    y = np.tanh(0.5 * x)
    y += 1.0
    y *= 0.5
    return y


def softplus(x: Array) -> Array:
    """softplus(x) = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), elementwise.

    For finite x. The exponent is never positive, so it cannot overflow. Derivative: sigmoid(x).
    """
    positive = x.real > 0
    return x * positive + np.log1p(np.exp(np.where(positive, -x, x)))


def sigmoid_and_softplus(x: Array) -> tuple[Array, Array]:
    """Both with only one tanh and one logarithm of a number in [1/2, 1], elementwise.

    With t = tanh(x/2): sigmoid(x) = (1 + t) / 2, and log(1 + exp(-|x|)) = -log sigmoid(|x|) =
    -log((1 + |t|) / 2). Its error is one rounding of 1, so smaller values (from |x| = 17 on in
    float32) become 0.
    """
    p = 0.5 * x
    np.tanh(p, out=p)
    log_sigmoid = magnitude(p)  # |t| -> log sigmoid(|x|)
    p *= 0.5
    p += 0.5
    log_sigmoid *= 0.5
    log_sigmoid += 0.5
    np.log(log_sigmoid, out=log_sigmoid)
    positive = magnitude(x)  # max(x, 0) = (|x| + x) / 2; np.maximum takes as long as these three
    positive += x
    positive *= 0.5
    positive -= log_sigmoid
    return p, positive


def magnitude(x: Array) -> Array:
    """|x|, a new array; for complex x its analytic continuation near the real axis."""
    return np.abs(x) if x.dtype.kind == "f" else np.where(x.real > 0, x, -x)


def row_blocks(x: Array) -> Iterator[slice]:
    """Slices of the rows of x (N, D) that hold about `BLOCK` entries each, at least one row.

    A block stays in the cache through many passes. For log p(x|z) of 512 x 784 logits in float32
    that takes 0.6 ms, against 2.5 ms for whole arrays.
    """
    rows = max(1, BLOCK // max(1, x.shape[1]))
    return (slice(start, start + rows) for start in range(0, len(x), rows))


def aligned_empty(n: int, dtype: DTypeLike) -> Array:
    """A vector (n,) that begins at a multiple of 64 bytes, the size of a cache line.

    Adam on 652,000 float32 parameters takes 7 % less time than on vectors as malloc places them,
    where every second load of 32 bytes or more crosses a cache line.
    """
    dtype = np.dtype(dtype)
    buffer = np.empty(n * dtype.itemsize + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    vector: Array = buffer[start : start + n * dtype.itemsize].view(dtype)
    return vector


@cache
def keep_freed_memory() -> None:
    """Let glibc keep memory that a training step frees, up to 64 MB, for the next step.

    Every step frees a few megabytes and asks for them again. glibc returns such blocks to the
    system, and each page of 4 kB then costs a page fault: 64-128-8 at batch 512 had 256 of them per
    step, and took 1.84 ms of processor time instead of 1.16. glibc keeps blocks up to the size of
    the largest that was ever freed (mallopt(3), M_MMAP_THRESHOLD), so one is allocated and freed
    here; it is never touched, so it costs no memory. Without glibc this does nothing.
    """
    np.empty(2**25 - 2**16, np.uint8)


def logsumexp(x: Array, axis: int) -> Array:
    """log(sum(exp(x))) along one axis, with the largest real part taken out first.

    A slice of nothing but -inf gives -inf.
    """
    peak = x.real.max(axis=axis, keepdims=True)
    peak[~np.isfinite(peak)] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(x - peak).sum(axis=axis, keepdims=True))
    return np.squeeze(total + peak, axis=axis)
