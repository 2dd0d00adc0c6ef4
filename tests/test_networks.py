"""Networks of any make-up: what they begin and end with, how they are drawn, what they share."""

import math

import numpy as np
import pytest

from numpyvae import (
    SGD,
    VAE,
    Adam,
    Autoencoder,
    Binomial,
    Gaussian,
    LinearAutoencoder,
    Momentum,
    optimizers,
)
from numpyvae.gradient_check import complex_step
from numpyvae.layers import (
    ACTIVATIONS,
    Dense,
    LeakyReLU,
    ReLU,
    Sequential,
    Tanh,
    TiedDense,
    mlp,
    tied_decoder,
)
from numpyvae.numerics import logsumexp, row_blocks, sigmoid, softplus
from numpyvae.parameters import Gradients, ParameterLayout

SHARED = Dense("a", 4, 3)
NETWORKS = {
    "a layer": [Dense("a", 4, 3)],
    "an activation": [Tanh()],
    "an activation first": [Tanh(), Dense("a", 4, 3)],
    "a leaky activation first": [LeakyReLU(0.2), Dense("a", 4, 3)],
    "two activations": [Tanh(), ReLU(), Dense("a", 4, 3), Tanh(), LeakyReLU(0.3)],
    "two layers": [Dense("a", 4, 3), Dense("b", 3, 5)],
    "tied": [SHARED, Tanh(), TiedDense("b", SHARED)],
    "a network within": [Sequential([Tanh(), Dense("a", 4, 3)]), Tanh(), Dense("b", 3, 2)],
    "a network within, first a layer": [mlp("a", (4, 5, 3), "tanh"), Dense("b", 3, 2)],
}


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS.keys())
def test_gradients_whatever_a_network_begins_with(layers, rng):
    """d sum(weight y) / d parameters and / d x, by complex step; with and without dx."""
    network = Sequential(layers)
    layout = ParameterLayout({"x": (5, 4), **network.shapes})
    theta = rng.standard_normal(layout.size)

    def forward(theta):
        views = layout.views(theta)
        return network.forward(views, views["x"])

    y, cache = forward(theta)
    weight = rng.standard_normal(y.shape)
    expected = complex_step(lambda theta: (weight * forward(theta)[0]).sum(), theta)
    views, exact = layout.views(theta), layout.views(expected)
    for backward in (network.backward, network.backward_params):
        grads = Gradients(layout, np.full(layout.size, np.nan))
        dx = backward(views, grads, weight, cache)
        if backward == network.backward:
            np.testing.assert_allclose(dx, exact["x"], atol=1e-12)
        for name in network.shapes:
            np.testing.assert_allclose(grads[name], exact[name], atol=1e-12)


def plain(name, x):
    return {
        "relu": lambda: np.where(x > 0, x, 0),
        "leaky_relu": lambda: np.where(x > 0, x, x / 100),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "softplus": lambda: np.log(1 + np.exp(x)),
    }[name]()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_is_its_formula(name, rng):
    """x W + b, the activation between the layers, none after the last one."""
    network = mlp("net", (3, 4, 5, 2), name)
    params = {n: rng.standard_normal(s) for n, s in network.shapes.items()}
    x = rng.standard_normal((6, 3))
    expected = x
    for i in range(3):
        expected = expected @ params[f"net.{i}.W"] + params[f"net.{i}.b"]
        expected = plain(name, expected) if i < 2 else expected
    np.testing.assert_allclose(network.forward(params, x)[0], expected, rtol=1e-12, atol=1e-12)
    assert list(network.shapes) == [f"net.{i}.{p}" for i in range(3) for p in "Wb"]


def test_a_tied_decoder_is_the_encoder_backwards(rng):
    encoder = mlp("encoder", (6, 5, 4, 2), "tanh")
    decoder = tied_decoder(encoder, "tanh")
    assert list(decoder.shapes.values()) == [(4,), (5,), (6,)]
    params = {n: rng.standard_normal(s) for n, s in {**encoder.shapes, **decoder.shapes}.items()}
    z = rng.standard_normal((3, 2))
    h = np.tanh(z @ params["encoder.2.W"].T + params["decoder.0.b"])
    h = np.tanh(h @ params["encoder.1.W"].T + params["decoder.1.b"])
    expected = h @ params["encoder.0.W"].T + params["decoder.2.b"]
    np.testing.assert_allclose(decoder.forward(params, z)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_layer_is_drawn_by_the_activation_that_follows_it(name):
    """He before a (leaky) ReLU, Glorot before all else and at the end; biases are zero."""
    network = mlp("net", (300, 200, 100), name)
    params = {n: np.full(s, np.nan) for n, s in network.shapes.items()}
    network.initialize(params, np.random.default_rng(0))
    first, last = params["net.0.W"], params["net.1.W"]
    glorot = math.sqrt(2 / 500)  # a / sqrt(3) with a = sqrt(6 / (n_in + n_out))
    he = math.sqrt(2 / 300)
    assert first.std() == pytest.approx(he if "relu" in name else glorot, rel=0.02)
    assert last.std() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    assert np.abs(last).max() <= math.sqrt(6 / 300)
    assert not params["net.0.b"].any()
    assert not params["net.1.b"].any()


def test_only_the_first_weights_know_the_scale_of_the_data():
    counts, grey = (VAE(9, 2, (8,), likelihood=p) for p in (Binomial(16), Gaussian()))
    first, other = (m.layout.views(m.theta) for m in (counts, grey))
    for name in first:
        scale = 16 if name == "encoder.0.W" else 1
        np.testing.assert_allclose(scale * first[name], other[name], rtol=1e-6)


def test_tied_biases_begin_at_zero_and_the_weights_are_the_encoders():
    model = Autoencoder(6, 2, (4,), tied=True)
    views = model.layout.views(model.theta)
    assert all(not view.any() for name, view in views.items() if name.endswith(".b"))
    assert all(view.any() for name, view in views.items() if name.endswith(".W"))


def test_penalties_of_zero_are_none(rng):
    without = Autoencoder(4, 2, (), dtype=np.float64)
    zero = LinearAutoencoder(4, 2, penalties=(0.0, 0.0), dtype=np.float64)
    x, noise = rng.standard_normal((3, 4)), np.zeros((3, 0))
    for model in (without, zero):
        model.theta[:] = without.theta
    first, second = (m.loss_and_grad(m.theta, x, noise) for m in (without, zero))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


# The vector.


def test_views_find_every_entry_and_refuse_another_length():
    layout = ParameterLayout({"a": (2, 3), "b": (), "c": (1, 2, 2)})
    theta = np.arange(11.0)
    views = layout.views(theta)
    assert layout.size == 11
    assert views["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert views["b"] == 6
    assert views["c"].tolist() == [[[7, 8], [9, 10]]]
    assert [layout.name_of(i) for i in (0, 5, 7, 10)] == [
        "a[0, 0]",
        "a[1, 2]",
        "c[0, 0, 0]",
        "c[0, 1, 1]",
    ]
    for bad in (np.zeros(10), np.zeros(12), np.zeros((11, 1))):
        with pytest.raises(ValueError, match=r"shape \(11,\), got"):
            layout.views(bad)
    for index in (-1, 11):
        with pytest.raises(IndexError, match=f"theta has 11 entries, there is no entry {index}"):
            layout.name_of(index)


def test_views_are_those_of_the_vector_that_is_asked_for():
    """Also when several vectors take turns, and when one dict of views has been changed."""
    layout = ParameterLayout({"a": (2,)})
    vectors = [np.full(2, float(i)) for i in range(4)]
    for _ in range(3):
        for i, vector in enumerate(vectors):
            views = layout.views(vector)
            assert views["a"].tolist() == [i, i]
            views["a"] = None
            assert np.shares_memory(layout.views(vector)["a"], vector)


@pytest.mark.parametrize("make", [SGD, Momentum])
def test_steps_in_float32_are_rounded_in_float32(make, rng):
    """As plain NumPy on arrays of that dtype rounds; SGD has no memory, so float64 came before."""
    optimizer = make(0.1)
    theta, grad = (rng.standard_normal(999).astype(np.float32) for _ in range(2))
    expected = theta - np.float32(0.1) * grad
    if make is SGD:
        optimizer.step(np.zeros(999), np.ones(999))
    optimizer.step(theta, grad)
    np.testing.assert_array_equal(theta, expected)


@pytest.mark.parametrize("make", [SGD, Momentum, Adam])
def test_a_step_works_in_the_dtype_of_theta_throughout(make, monkeypatch):
    """Also in its scratch memory: one float64 array would make a float32 step twice as slow."""
    monkeypatch.setattr(optimizers, "BLOCK", 1_000)
    optimizer, blocks = make(), []
    for dtype in (np.float32, np.float64):
        vector, blocks[:] = np.zeros(2_345, dtype), []
        optimizer.load_state(make().state())
        optimizer._move(lambda *arrays: blocks.append(arrays), vector, vector)
        assert [len(block[0]) for block in blocks] == [1_000, 168, 1_000, 177]
        assert {array.dtype for block in blocks for array in block} == {np.dtype(dtype)}


@pytest.mark.parametrize("width", [0, 1, 65_536, 65_537, 200_000])
def test_blocks_have_at_least_one_row_however_wide_it_is(width):
    x = np.broadcast_to(np.zeros(1), (3, width))
    rows = [np.arange(3)[block] for block in row_blocks(x)]
    assert [len(r) for r in rows] == ([3] if width < 2 else [1, 1, 1])
    assert np.concatenate(rows).tolist() == [0, 1, 2]


# The scalar functions, against formulas that do overflow, where they do not.


def test_scalar_functions_are_their_formulas(rng):
    x = rng.uniform(-30, 30, (40, 5))
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(softplus(x), np.log1p(np.exp(x)), rtol=1e-12)
    for axis in (0, 1, -1):
        expected = np.log(np.exp(x).sum(axis=axis))
        np.testing.assert_allclose(logsumexp(x, axis), expected, rtol=1e-12)
        assert logsumexp(x, axis).shape == expected.shape
    shifted = logsumexp(x + 5000.0, 1) - 5000.0
    np.testing.assert_allclose(shifted, logsumexp(x, 1), rtol=1e-10)
    some = np.array([[-np.inf, 0.0], [-np.inf, -np.inf], [1.0, -np.inf]])
    np.testing.assert_array_equal(logsumexp(some, 1), [0.0, -np.inf, 1.0])
    np.testing.assert_array_equal(softplus(np.zeros(1)), [math.log(2)])
    np.testing.assert_array_equal(sigmoid(np.zeros(1)), [0.5])
