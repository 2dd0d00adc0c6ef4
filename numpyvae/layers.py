"""Dense layers and activations: each forward pass with its backward pass directly below.

A layer holds no state: it knows the names and shapes of its parameters, nothing else.
`forward(params, x) -> (y, cache)` returns what backward needs in an explicit cache, so one network
can be applied twice before either backward. `backward(params, grads, dy, cache) -> dx` takes
dy = d loss / d y, adds the parameters' gradients to `grads`, and returns dx = d loss / d x.
`backward_params` only adds the gradients, and `backward_input` only returns dx.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from numpyvae.numerics import Array, sigmoid, softplus
from numpyvae.parameters import Initializer, add_column_sums, add_product, glorot_uniform, he_normal
from numpyvae.threads import product
from numpyvae.validation import one_of, positive_int, positive_number

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Condition",
    "Dense",
    "Grads",
    "Layer",
    "LeakyReLU",
    "Params",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "TiedDense",
    "mlp",
    "tied_decoder",
]


Params = Mapping[str, Array]
Grads = MutableMapping[str, Array]


class Layer(Protocol):
    """What a network is made of."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Parameter name -> shape; empty for an activation."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]: ...

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Any) -> Array: ...

    def backward_input(self, params: Params, dy: Array, cache: Any) -> Array: ...


class Dense:
    """y = x W + b, with x (N, n_in), W (n_in, n_out), b (n_out,), y (N, n_out).

    dW = x^T dy,  db = sum_n dy_n,  dx = dy W^T.

    Args:
        name: prefix of the parameter names, "encoder.0" gives "encoder.0.W" and "encoder.0.b".
        n_in, n_out: widths, at least 1.
        input_scale: the size of x, by which the initial weights are divided.
    """

    def __init__(self, name: str, n_in: int, n_out: int, input_scale: float = 1.0) -> None:
        self.W, self.b = f"{name}.W", f"{name}.b"
        shape = (positive_int("n_in", n_in), positive_int("n_out", n_out))
        self.shapes: dict[str, tuple[int, ...]] = {self.W: shape, self.b: (n_out,)}
        self.input_scale = input_scale

    def initialize(self, params: Params, rng: np.random.Generator, draw: Initializer) -> None:
        """Write initial weights by `draw`, and zero biases, into `params`."""
        n_in, n_out = self.shapes[self.W]
        params[self.W][...] = draw(rng, (n_in, n_out))
        params[self.W][...] /= self.input_scale
        params[self.b][...] = 0.0

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        y = product(x, params[self.W])
        y += params[self.b]
        return y, x

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        self.backward_params(params, grads, dy, cache)
        return self.backward_input(params, dy, cache)

    def backward_params(self, params: Params, grads: Grads, dy: Array, cache: Array) -> None:
        """Only dW and db: enough for a network's first layer if dx is not needed."""
        x = cache
        add_product(grads, self.W, x.T, dy)
        add_column_sums(grads, self.b, dy)

    def backward_input(self, params: Params, dy: Array, cache: Array) -> Array:
        """Only dx: for fixed parameters."""
        return product(dy, params[self.W].T)


class Condition:
    """y = x W + b + W_y[label]: a Dense layer that is given a class. x (N, n_in), labels (N,).

    It equals a Dense layer of x concatenated with a one-hot label, so

        dW = x^T dy,  db = sum_n dy_n,  dW_y[k] = sum of dy_n over the n of class k,  dx = dy W^T.

    Its input is the pair (x, labels), and dx is that of x: a label has no gradient. With
    labels = None the output has a row for every class of every example, (N K, n_out), with row
    n K + k for example n as class k. It costs one product and K additions.

    Args:
        name, n_in, n_out, input_scale: as for `Dense`; the labels' weights are "encoder.0.W_y".
        n_classes: K, at least 1; W_y (K, n_out).
        before: a layer without parameters that x passes through first.
    """

    def __init__(
        self,
        name: str,
        n_in: int,
        n_out: int,
        n_classes: int,
        input_scale: float = 1.0,
        before: Layer | None = None,
    ) -> None:
        self.dense, self.W_y = Dense(name, n_in, n_out, input_scale), f"{name}.W_y"
        self.before = before
        self.n_classes = positive_int("n_classes", n_classes)
        self.shapes = {**self.dense.shapes, self.W_y: (self.n_classes, n_out)}

    def initialize(self, params: Params, rng: np.random.Generator, draw: Initializer) -> None:
        """As `Dense` of x and a one-hot label; `input_scale` divides only the weights of x."""
        n_in, n_out = self.shapes[self.dense.W]
        both = draw(rng, (n_in + self.n_classes, n_out))
        params[self.dense.W][...] = both[:n_in] / self.dense.input_scale
        params[self.W_y][...], params[self.dense.b][...] = both[n_in:], 0.0

    def forward(self, params: Params, x: Any) -> tuple[Array, Any]:
        x_in, labels = x
        before_cache = None
        if self.before is not None:
            x_in, before_cache = self.before.forward(params, x_in)
        y, dense_cache = self.dense.forward(params, x_in)  # (N, n_out)
        if labels is None:
            y = (y[:, None] + params[self.W_y]).reshape(-1, y.shape[-1])  # (N K, n_out)
        else:
            y += params[self.W_y][labels]
        return y, (labels, dense_cache, before_cache)

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Any) -> Array:
        self.backward_params(params, grads, dy, cache)
        return self.backward_input(params, dy, cache)

    def backward_params(self, params: Params, grads: Grads, dy: Array, cache: Any) -> None:
        labels, dense_cache, _ = cache
        if labels is None:
            by_class = dy.reshape(-1, self.n_classes, dy.shape[-1])  # (N, K, n_out)
            grads[self.W_y] += by_class.sum(axis=0)
        else:
            one_hot = (labels == np.arange(self.n_classes)[:, None]).astype(dy.dtype)  # (K, N)
            add_product(grads, self.W_y, one_hot, dy)
        self.dense.backward_params(params, grads, self._per_example(dy, labels), dense_cache)

    def backward_input(self, params: Params, dy: Array, cache: Any) -> Array:
        labels, dense_cache, before_cache = cache
        dx = self.dense.backward_input(params, self._per_example(dy, labels), dense_cache)
        return dx if self.before is None else self.before.backward_input(params, dx, before_cache)

    def _per_example(self, dy: Array, labels: Array | None) -> Array:
        """dy (N, n_out), summed over the classes if there is a row for each."""
        if labels is not None:
            return dy
        return dy.reshape(-1, self.n_classes, dy.shape[-1]).sum(axis=1)


class TiedDense:
    """y = x W^T + b with the weights W (n_out, n_in) of another layer, for tied decoders.

    dW += dy^T x, added to the other layer's own gradient;  db = sum_n dy_n,  dx = dy W.

    Args:
        name: prefix of the bias's name; the layer has no weights of its own.
        tied_to: the Dense layer from n_out to n_in whose weights are used, transposed.
    """

    def __init__(self, name: str, tied_to: Dense) -> None:
        self.W, self.b = tied_to.W, f"{name}.b"
        n_out, _ = tied_to.shapes[tied_to.W]
        self.shapes: dict[str, tuple[int, ...]] = {self.b: (n_out,)}

    def initialize(self, params: Params, rng: np.random.Generator, draw: Initializer) -> None:
        """Zero biases; the weights are the other layer's."""
        params[self.b][...] = 0.0

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        y = product(x, params[self.W].T)
        y += params[self.b]
        return y, x

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        x = cache
        add_product(grads, self.W, dy.T, x)
        add_column_sums(grads, self.b, dy)
        return self.backward_input(params, dy, cache)

    def backward_input(self, params: Params, dy: Array, cache: Array) -> Array:
        return product(dy, params[self.W])


class Activation:
    """An elementwise function without parameters: y = f(x), dx = f'(x) dy, all (N, H).

    `initializer` draws the weights of the Dense layer before it.
    """

    shapes: Mapping[str, tuple[int, ...]] = {}
    initializer: Initializer = staticmethod(glorot_uniform)

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        raise NotImplementedError

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Any) -> Array:
        raise NotImplementedError

    def backward_input(self, params: Params, dy: Array, cache: Any) -> Array:
        return self.backward(params, {}, dy, cache)  # there are no parameters


class ReLU(Activation):
    """y = max(x, 0),  dx = dy where x > 0, else 0 (also at x = 0)."""

    initializer = staticmethod(he_normal)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        positive = (x.real > 0).astype(x.real.dtype)  # of its own dtype: faster than of bools
        return x * positive, positive

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        return dy * cache


class LeakyReLU(Activation):
    """y = x where x > 0, else slope x;  dx = dy where x > 0, else slope dy.

    Args:
        slope: for x < 0, at least 0. Source: Maas et al. 2013.
    """

    initializer = staticmethod(he_normal)

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = positive_number("slope", slope, zero=True)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        positive = x.real > 0
        return np.where(positive, x, self.slope * x), positive

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        return np.where(cache, dy, self.slope * dy)


class Tanh(Activation):
    """y = tanh(x),  dx = (1 - y^2) dy."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        y = np.tanh(x)
        return y, y

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        y = cache
        return dy * (1.0 - y * y)


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)),  dx = y (1 - y) dy."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        y = sigmoid(x)
        return y, y

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        y = cache
        return dy * (y * (1.0 - y))


class Softplus(Activation):
    """y = log(1 + exp(x)),  dx = sigmoid(x) dy."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        return softplus(x), x

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Array) -> Array:
        x = cache
        return dy * sigmoid(x)


ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "softplus": Softplus,
}


class Sequential:
    """Layers applied one after the other; backward goes through them in reverse."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.shapes = {name: s for layer in self.layers for name, s in layer.shapes.items()}
        self.first = next((i for i, layer in enumerate(self.layers) if layer.shapes), 0)

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Draw each Dense layer by the activation that follows it (He for ReLU, else Glorot)."""
        for layer, following in zip(self.layers, (*self.layers[1:], None), strict=True):
            if isinstance(layer, Dense | Condition | TiedDense):
                draw = (
                    following.initializer if isinstance(following, Activation) else glorot_uniform
                )
                layer.initialize(params, rng, draw)

    def forward(self, params: Params, x: Any) -> tuple[Array, list[Any]]:
        cache = []
        for layer in self.layers:
            x, layer_cache = layer.forward(params, x)
            cache.append(layer_cache)
        return x, cache

    def backward(self, params: Params, grads: Grads, dy: Array, cache: Sequence[Any]) -> Array:
        for layer, layer_cache in zip(self.layers[::-1], cache[::-1], strict=True):
            dy = layer.backward(params, grads, dy, layer_cache)
        return dy

    def backward_params(
        self, params: Params, grads: Grads, dy: Array, cache: Sequence[Any]
    ) -> None:
        """The same without dx, which saves the widest matrix product if x is data."""
        at = self.first  # the first with parameters: no layer before it needs a gradient
        for layer, layer_cache in zip(self.layers[:at:-1], cache[:at:-1], strict=True):
            dy = layer.backward(params, grads, dy, layer_cache)
        first = self.layers[at]
        if isinstance(first, Dense | Condition):
            first.backward_params(params, grads, dy, cache[at])
        else:
            first.backward(params, grads, dy, cache[at])

    def backward_input(self, params: Params, dy: Array, cache: Sequence[Any]) -> Array:
        """The same without the parameters' gradients, for fixed parameters."""
        for layer, layer_cache in zip(self.layers[::-1], cache[::-1], strict=True):
            dy = layer.backward_input(params, dy, layer_cache)
        return dy


def tied_decoder(encoder: Sequential, activation: str) -> Sequential:
    """The encoder's Dense layers, transposed and in reverse order, with biases of their own."""
    make_activation = ACTIVATIONS[one_of("activation", activation, ACTIVATIONS)]
    dense = [layer for layer in encoder.layers if isinstance(layer, Dense)]
    layers: list[Layer] = []
    for i, layer in enumerate(reversed(dense)):
        layers += [make_activation()] if i else []
        layers += [TiedDense(f"decoder.{i}", layer)]
    return Sequential(layers)


def mlp(
    name: str,
    widths: Sequence[int],
    activation: str,
    *,
    n_classes: int | None = None,
    input_scale: float = 1.0,
    before: Layer | None = None,
) -> Sequential:
    """Dense layers of the given widths with `activation` between them, none after the last.

    `mlp("encoder", (64, 128, 4), "relu")` is Dense 64-128, ReLU, Dense 128-4, with parameters
    "encoder.0.W", "encoder.0.b", "encoder.1.W", "encoder.1.b". With `n_classes` the first layer is
    a `Condition`, whose input is (x, labels). `input_scale` is that of the first layer; `before` is
    a layer without parameters that x passes through first.
    """
    make_activation = ACTIVATIONS[one_of("activation", activation, ACTIVATIONS)]
    layers: list[Layer] = [] if before is None or n_classes else [before]
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        if i:
            layers += [make_activation(), Dense(f"{name}.{i}", n_in, n_out)]
        elif n_classes:
            layers += [Condition(f"{name}.0", n_in, n_out, n_classes, input_scale, before)]
        else:
            layers += [Dense(f"{name}.0", n_in, n_out, input_scale)]
    return Sequential(layers)
