"""Convolutions of images, each the exact adjoint of the other, with their backward passes.

An image is a row of C H W numbers, channel by channel, so these layers combine with Dense layers
without any reshaping: x (N, C H W) -> y (N, C' H' W'). A convolution is a Dense layer that is
applied to every window of the image, in one matrix product for all windows:

    Conv2d            y = W^T windows(x) + b
    ConvTranspose2d   x = overlap(W^T y) + b

`windows` copies each window into a column; `overlap` adds each column back where its window was.
One is the transpose of the other, so each is the other's backward: there is nothing else to derive.
Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning".

In memory the examples are the last axis, (C, H, W, N), so each pixel of a window is copied for all
examples in one run; the layer's output is the transpose of a contiguous array. With the examples as
the first axis, `overlap` of 128 images took 13 times as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from numpyvae.layers import Dense, Grads, Params
from numpyvae.numerics import Array
from numpyvae.parameters import add_column_sums, add_product
from numpyvae.threads import product
from numpyvae.validation import positive_int

__all__ = ["Conv2d", "ConvTranspose2d", "Windows"]

Size = int | Sequence[int]
"""Of rows and of columns, or one number for both."""


class Windows:
    """Every window of an image as a column, and back: a linear map and its transpose.

    Args:
        shape: (C, H, W) of the image.
        kernel: rows and columns of a window.
        stride: from one window to the next.
        padding: rows and columns of zeros on each side of the image.

    There are H' = (H + 2 padding - kernel) // stride + 1 rows of windows; W' is computed likewise.
    Raises ValueError for a window that is larger than the image with its padding.
    """

    def __init__(
        self, shape: Sequence[int], kernel: Size, stride: Size = 1, padding: Size = 0
    ) -> None:
        C, H, W = self.shape = _sizes("shape", shape, "(C, H, W)")
        self.kernel, self.stride = _pair("kernel", kernel), _pair("stride", stride)
        top, left = _pair("padding", padding, least=0)
        self.padded = (C, H + 2 * top, W + 2 * left)
        self.inside = np.s_[:, top : top + H, left : left + W]
        sizes = list(zip(self.padded[1:], self.kernel, self.stride, strict=True))
        if any(kernel > size for size, kernel, _ in sizes):
            raise ValueError(
                f"kernel {self.kernel} is larger than the image with its padding, {self.padded[1:]}"
            )
        self.n = tuple((size - kernel) // stride + 1 for size, kernel, stride in sizes)
        self.length = C * math.prod(self.kernel)

    def windows(self, x: Array) -> Array:
        """x (N, C H W) -> (C kh kw, H' W' N), one window a column."""
        images = np.zeros((*self.padded, len(x)), x.dtype)
        images[self.inside] = x.T.reshape(*self.shape, -1)
        down, right = self.stride
        view = sliding_window_view(images, self.kernel, axis=(1, 2))[:, ::down, ::right]
        return view.transpose(0, 4, 5, 1, 2, 3).reshape(self.length, -1)  # C kh kw, H' W' N

    def overlap(self, columns: Array) -> Array:
        """Columns (C kh kw, H' W' N) -> (N, C H W): where windows overlap, they add up."""
        (h, w), (kh, kw), (down, right) = self.n, self.kernel, self.stride
        windows = columns.reshape(self.shape[0], kh, kw, h, w, -1)
        images = np.zeros((*self.padded, windows.shape[-1]), columns.dtype)
        for i in range(kh):
            for j in range(kw):
                images[:, i : i + down * h : down, j : j + right * w : right] += windows[:, i, j]
        return images[self.inside].reshape(-1, windows.shape[-1]).T


class Conv2d(Dense):
    """y = W^T windows(x) + b: a Dense layer of every window, with the same weights.

    x (N, C H W) -> y (N, C' H' W'),  W (C kh kw, C'), b (C',). With dy (C', H' W' N),

        dW = windows(x) dy^T,  db = sum of dy over windows and examples,  dx = overlap(W dy).

    It equals a Dense layer with a Toeplitz matrix (C H W, C' H' W'), most of it zeros. As usual
    in this field, it is a correlation: the kernel is not turned round.

    Args:
        name, input_scale: as for `Dense`.
        shape: (C, H, W) of the input image.
        n_channels: C' of the output image, whose shape is `small`.
        kernel, stride, padding: as for `Windows`; one number, or one for rows and one for columns.
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        n_channels: int,
        kernel: Size,
        stride: Size = 1,
        padding: Size = 0,
        input_scale: float = 1.0,
    ) -> None:
        self.window = Windows(shape, kernel, stride, padding)
        super().__init__(name, self.window.length, n_channels, input_scale)
        self.small = (n_channels, *self.window.n)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        _check(x, self.window.shape)
        columns = self.window.windows(x)  # (C kh kw, H' W' N)
        y = product(params[self.W].T, columns)  # (C', H' W' N)
        y += params[self.b][:, None]
        return _rows(y, len(x)), columns

    def backward_params(self, params: Params, grads: Grads, dy: Array, cache: Array) -> None:
        columns, dy = cache, _channels(dy, self.small)
        add_product(grads, self.W, columns, dy.T)
        add_column_sums(grads, self.b, dy.T)

    def backward_input(self, params: Params, dy: Array, cache: Array) -> Array:
        return self.window.overlap(product(params[self.W], _channels(dy, self.small)))


class ConvTranspose2d(Dense):
    """x = overlap(W^T y) + b: every pixel of y fills a window of x, and overlapping windows add up.

    The mirror image of `Conv2d`, with the same arguments: the input is y (N, C' H' W'), the output
    x (N, C H W). W (C', C kh kw) is the convolution's, transposed; b (C,). With dx (C, H W N),

        dW = y windows(dx)^T,  db = sum of dx over pixels and examples,  dy = W windows(dx).

    Without biases, <y, conv(x)> = <conv_transpose(y), x>. `shape` is that of the output, because
    the input's does not determine it where the stride does not divide evenly.

    Args:
        name, input_scale: as for `Dense`.
        shape: (C, H, W) of the output image.
        n_channels: C' of the input image, whose shape is `small`.
        kernel, stride, padding: as for `Windows`; one number, or one for rows and one for columns.
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        n_channels: int,
        kernel: Size,
        stride: Size = 1,
        padding: Size = 0,
        input_scale: float = 1.0,
    ) -> None:
        self.window = window = Windows(shape, kernel, stride, padding)
        # A pixel of x is a sum over the windows that cover it, and over the channels of each.
        n_windows = max(1.0, math.prod(window.kernel) / math.prod(window.stride))
        super().__init__(name, n_channels, window.length, input_scale * math.sqrt(n_windows))
        self.shapes[self.b] = window.shape[:1]
        self.small = (n_channels, *window.n)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        _check(x, self.small)
        channels = _channels(x, self.small)  # (C', H' W' N)
        y = _channels(self.window.overlap(product(params[self.W].T, channels)), self.window.shape)
        y += params[self.b][:, None]  # (C, H W N)
        return _rows(y, len(x)), channels

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        columns = self._backward_params(grads, dy, cache)
        return _rows(product(params[self.W], columns), len(dy))

    def backward_params(self, params: Params, grads: Grads, dy: Array, cache: Array) -> None:
        self._backward_params(grads, dy, cache)

    def backward_input(self, params: Params, dy: Array, cache: Array) -> Array:
        return _rows(product(params[self.W], self.window.windows(dy)), len(dy))

    def _backward_params(self, grads: Grads, dy: Array, cache: Array) -> Array:
        """Add the parameters' gradients; return windows(dy), which both halves of backward need."""
        channels, columns = cache, self.window.windows(dy)
        add_product(grads, self.W, channels, columns.T)
        add_column_sums(grads, self.b, _channels(dy, self.window.shape).T)
        return columns


def _channels(x: Array, shape: tuple[int, ...]) -> Array:
    """Images as rows, (N, C H W), as channels: (C, H W N)."""
    return x.T.reshape(shape[0], -1)


def _rows(y: Array, n: int) -> Array:
    """Channels (C, H W N) as the rows of N images, (N, C H W)."""
    return y.reshape(-1, n).T


def _check(x: Array, shape: tuple[int, ...]) -> None:
    """ValueError unless x holds images of this shape, one a row."""
    if x.ndim != 2 or x.shape[1] != math.prod(shape):
        raise ValueError(
            f"x must have shape (N, {math.prod(shape)}) for images {shape}, got {x.shape}"
        )


def _sizes(name: str, value: Any, axes: str, least: int = 1) -> tuple[int, ...]:
    """`value` as a tuple with an int for each of the axes."""
    if not isinstance(value, Sequence) or len(value) != axes.count(",") + 1:
        raise TypeError(f"{name} must be {axes}, got {value!r}")
    return tuple(positive_int(f"an entry of {name}", n, least=least) for n in value)


def _pair(name: str, value: Any, least: int = 1) -> tuple[int, ...]:
    """One number for rows and columns, or (rows, columns)."""
    if isinstance(value, Sequence):
        return _sizes(name, value, "(rows, columns)", least)
    return (positive_int(name, value, least=least),) * 2
