"""Convolutions: against explicit loops, a Dense layer, each other, and their own gradients."""

import itertools
import math

import numpy as np
import pytest

from numpyvae import proofs
from numpyvae.convolution import Conv2d, ConvTranspose2d, Windows
from numpyvae.layers import Dense, ReLU, Sequential
from numpyvae.parameters import ParameterLayout

GEOMETRIES = {
    "one pixel": ((2, 1, 1), 1, 1, 0),
    "kernel 1": ((2, 3, 4), 1, 1, 0),
    "halved": ((1, 4, 4), 4, 2, 1),
    "rest is never seen": ((2, 5, 6), 2, 3, 0),
    "windows apart": ((1, 6, 5), 1, 2, 0),
    "padding wider than the kernel": ((1, 2, 3), 2, 1, 3),
    "padding alone in a window": ((1, 2, 2), 1, 1, 1),
    "whole image": ((3, 4, 5), (4, 5), 1, 0),
    "all different": ((2, 6, 5), (3, 2), (2, 3), (1, 2)),
}
EACH_GEOMETRY = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())


def drawn(layer, rng, dtype=np.float64):
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in layer.shapes.items()}


def pixels(shape):
    return itertools.product(*map(range, shape))


def toeplitz(layer, W):
    """The matrix (C H W, C' H' W') of a convolution, entry by entry from its definition."""
    window, (C, H, W_) = layer.window, layer.window.shape
    (kh, kw), (down, right) = window.kernel, window.stride
    top, left = (window.inside[i].start for i in (1, 2))
    kernels = W.reshape(C, kh, kw, -1)
    matrix = np.zeros((C, H, W_, *layer.small))
    for (c, i, j), (o, k, m) in itertools.product(pixels((C, H, W_)), pixels(layer.small)):
        di, dj = i + top - down * k, j + left - right * m
        if 0 <= di < kh and 0 <= dj < kw:
            matrix[c, i, j, o, k, m] = kernels[c, di, dj, o]
    return matrix.reshape(C * H * W_, -1)


@EACH_GEOMETRY
def test_a_convolution_is_a_dense_layer_with_a_toeplitz_matrix(geometry, rng):
    """Value and all cotangents; its transpose is one with the transposed matrix."""
    shape, kernel, stride, padding = geometry
    for kind in (Conv2d, ConvTranspose2d):
        layer = kind("conv", shape, 3, kernel, stride, padding)
        params = drawn(layer, rng)
        W, b = params["conv.W"], params["conv.b"]
        forwards = kind is Conv2d
        T = toeplitz(layer, W) if forwards else toeplitz(layer, W.T).T
        spread = np.repeat(b, math.prod(layer.small[1:] if forwards else shape[1:]))
        dense, dense_params = Dense("dense", *T.shape), {"dense.W": T, "dense.b": spread}
        x, dy = rng.standard_normal((4, T.shape[0])), rng.standard_normal((4, T.shape[1]))
        y, cache = layer.forward(params, x)
        expected, dense_cache = dense.forward(dense_params, x)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
        grads = {name: np.zeros_like(value) for name, value in params.items()}
        dense_grads = {name: np.zeros_like(value) for name, value in dense_params.items()}
        dx = layer.backward(params, grads, dy, cache)
        dense_dx = dense.backward(dense_params, dense_grads, dy, dense_cache)
        np.testing.assert_allclose(dx, dense_dx, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            grads["conv.b"], dense_grads["dense.b"].reshape(len(b), -1).sum(axis=1), rtol=1e-12
        )
        # W is shared: its gradient adds up the entries of the matrix's where it stands.
        for index in np.ndindex(*W.shape):
            one = np.zeros_like(W)
            one[index] = 1.0
            where = toeplitz(layer, one) if forwards else toeplitz(layer, one.T).T
            total = (where * dense_grads["dense.W"]).sum()
            assert grads["conv.W"][index] == pytest.approx(total, rel=1e-11, abs=1e-12)


@EACH_GEOMETRY
def test_each_is_the_exact_adjoint_of_the_other(geometry, rng):
    shape, kernel, stride, padding = geometry
    conv = Conv2d("c", shape, 3, kernel, stride, padding)
    transpose = ConvTranspose2d("t", shape, 3, kernel, stride, padding)
    assert conv.small == transpose.small
    W = rng.standard_normal(conv.shapes["c.W"])
    x = rng.standard_normal((4, math.prod(shape)))
    y = rng.standard_normal((4, math.prod(conv.small)))
    conv_x, _ = conv.forward({"c.W": W, "c.b": np.zeros(3)}, x)
    back_y, _ = transpose.forward({"t.W": W.T, "t.b": np.zeros(shape[0])}, y)
    assert (y * conv_x).sum() == pytest.approx((back_y * x).sum(), rel=1e-12)
    np.testing.assert_array_equal(back_y, conv.backward_input({"c.W": W}, y, None))


@EACH_GEOMETRY
def test_overlap_is_the_transpose_of_windows(geometry, rng):
    window = Windows(*geometry)
    x = rng.standard_normal((3, math.prod(window.shape)))
    columns = window.windows(x)
    assert columns.shape == (window.length, math.prod(window.n) * 3)
    other = rng.standard_normal(columns.shape)
    assert (columns * other).sum() == pytest.approx((x * window.overlap(other)).sum(), rel=1e-12)


@EACH_GEOMETRY
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_both_are_proven_at_every_geometry(kind, geometry, rng):
    shape, kernel, stride, padding = geometry
    layer = kind("conv", shape, 3, kernel, stride, padding)
    n_in = math.prod(shape if kind is Conv2d else layer.small)
    pair = proofs._layer_pair(kind.__name__, layer, rng.standard_normal((2, n_in)), rng)
    assert proofs.prove(pair).passed


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_the_halves_of_backward_are_backward_and_gradients_add_up(kind, rng):
    layer = kind("conv", (2, 6, 5), 3, (3, 2), (2, 3), (1, 2))
    params = drawn(layer, rng)
    n_in = math.prod(layer.window.shape if kind is Conv2d else layer.small)
    y, cache = layer.forward(params, rng.standard_normal((4, n_in)))
    dy = rng.standard_normal(y.shape)
    once, twice = ({n: np.zeros_like(v) for n, v in params.items()} for _ in range(2))
    dx = layer.backward(params, once, dy, cache)
    np.testing.assert_array_equal(layer.backward_input(params, dy, cache), dx)
    for _ in range(2):
        layer.backward_params(params, twice, dy, cache)
    for name in params:
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_dtype_is_kept(dtype, rng):
    network = Sequential(
        [Conv2d("a", (1, 6, 6), 2, 4, 2, 1), ReLU(), ConvTranspose2d("b", (1, 6, 6), 2, 4, 2, 1)]
    )
    params = drawn(network, rng, dtype)
    x = rng.standard_normal((4, 36)).astype(dtype)
    y, cache = network.forward(params, x)
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    assert y.dtype == network.backward(params, grads, y, cache).dtype == dtype


@pytest.mark.parametrize("order", ["C", "F"])
def test_neither_writes_into_what_it_is_given(order, rng):
    """Also where the order in memory is the one it works in, and nothing has to be copied."""
    for kind, n_in in ((Conv2d, 18), (ConvTranspose2d, 8)):
        layer = kind("conv", (2, 3, 3), 2, 2)
        params = drawn(layer, rng)
        x = np.asarray(rng.standard_normal((4, n_in)), order=order)
        y, cache = layer.forward(params, x)
        dy = np.asarray(rng.standard_normal(y.shape), order=order)
        before = x.copy(), dy.copy()
        layer.backward(params, {n: np.zeros_like(v) for n, v in params.items()}, dy, cache)
        np.testing.assert_array_equal(x, before[0])
        np.testing.assert_array_equal(dy, before[1])


def test_the_first_activations_have_the_size_of_the_input(rng):
    """He's initialisation keeps mean squares through ReLU: also where windows overlap."""
    layers = [Conv2d("a", (8, 16, 16), 32, 4, 2, 1, input_scale=5.0), ReLU()]
    layers += [ConvTranspose2d("b", (8, 16, 16), 32, 4, 2, 1), ReLU()]
    network = Sequential(layers)
    layout = ParameterLayout(network.shapes)
    params = layout.views(np.empty(layout.size))
    network.initialize(params, rng)
    x = 5.0 * rng.standard_normal((50, 8 * 16 * 16))
    h, _ = layers[0].forward(params, x)
    y, _ = layers[2].forward(params, layers[1].forward(params, h)[0])
    interior = np.s_[:, :, 2:-2, 2:-2]
    assert (h.reshape(50, 32, 8, 8)[interior] ** 2).mean() == pytest.approx(2, rel=0.15)
    assert (y.reshape(50, 8, 16, 16)[interior] ** 2).mean() == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((1, 3, 3), 2, 4), ValueError, r"kernel \(4, 4\) is larger .* padding, \(3, 3\)"),
        (((1, 3, 9), 2, (1, 4), 1, (4, 0)), None, None),
        (((3, 3), 2, 1), TypeError, r"shape must be \(C, H, W\), got \(3, 3\)"),
        ((9, 2, 1), TypeError, r"shape must be \(C, H, W\), got 9"),
        (((0, 3, 3), 2, 1), ValueError, "an entry of shape must be at least 1, got 0"),
        (((1, 3, 3), 0, 1), ValueError, "must be at least 1, got 0"),
        (((1, 3, 3), 2, 0), ValueError, "kernel must be at least 1, got 0"),
        (((1, 3, 3), 2, 1.5), TypeError, "kernel must be an integer, got 1.5"),
        (((1, 3, 3), 2, (1, 2, 3)), TypeError, r"kernel must be \(rows, columns\), got"),
        (((1, 3, 3), 2, 1, (1, 0)), ValueError, "an entry of stride must be at least 1, got 0"),
        (((1, 3, 3), 2, 1, 1, -1), ValueError, "padding must be at least 0, got -1"),
    ],
)
def test_a_geometry_that_cannot_be(arguments, error, message):
    for kind in (Conv2d, ConvTranspose2d):
        if error is None:
            kind("conv", *arguments)
            continue
        with pytest.raises(error, match=message):
            kind("conv", *arguments)


def test_images_of_another_size_are_refused(rng):
    for kind, n in ((Conv2d, 18), (ConvTranspose2d, 12)):
        layer = kind("conv", (2, 3, 3), 3, 2)
        for shape in ((4, n + 1), (n,), (4, 2, n // 2)):
            with pytest.raises(ValueError, match=rf"x must have shape \(N, {n}\) for images \("):
                layer.forward(drawn(layer, rng), np.zeros(shape))
