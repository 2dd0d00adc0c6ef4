"""The flat parameter vector, its named views, the gradient that adds up, and initial weights.

All parameters of a model live in one contiguous vector theta (P,). Layers see named, shaped views
of it; optimisers, gradient checks and checkpoints see the vector and never a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import numpy as np

from numpyvae.numerics import Array
from numpyvae.threads import product

__all__ = [
    "Gradients",
    "Initializer",
    "ParameterLayout",
    "add_column_sums",
    "add_product",
    "glorot_uniform",
    "he_normal",
]

Initializer = Callable[["np.random.Generator", tuple[int, int]], Array]
"""Draws a weight matrix (n_in, n_out). (A string, because numpy.random is slow to import.)"""


class ParameterLayout:
    """The slice of theta (P,) that each parameter takes.

    Args:
        shapes: name -> shape, in the order of the parameters in theta.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self.slices: dict[str, slice] = {}
        start = 0
        for name, shape in self.shapes.items():
            self.slices[name] = slice(start, start := start + math.prod(shape))
        self.size = start
        self._known: list[tuple[Array, dict[str, Array]]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without the known views: an array and its view are copied, or pickled, as two arrays."""
        return {**self.__dict__, "_known": []}

    def views(self, theta: Array) -> dict[str, Array]:
        """Named views of theta (P,): writing to one writes to theta.

        Raises ValueError if theta is not a vector of P entries.
        """
        # Every step needs the views of the same theta and gradient; making them again would take
        # 5 % of a small step (64-128-8, batch 20).
        for known, views in self._known:
            if known is theta:
                return dict(views)
        if theta.shape != (self.size,):
            raise ValueError(f"theta must have shape ({self.size},), got {theta.shape}")
        views = {
            name: theta[self.slices[name]].reshape(shape) for name, shape in self.shapes.items()
        }
        self._known = [*self._known[-1:], (theta, views)]
        return dict(views)

    def name_of(self, index: int) -> str:
        """The name of theta[index]: `layout.name_of(3) == "encoder.0.W[0, 3]"`."""
        for name, where in self.slices.items():
            if where.start <= index < where.stop:
                entry = np.unravel_index(index - where.start, self.shapes[name])
                return f"{name}[{', '.join(str(i) for i in entry)}]"
        raise IndexError(f"theta has {self.size} entries, there is no entry {index}")


class Gradients(dict[str, Array]):
    """Named views of a flat gradient (P,) in which contributions add up.

    Use it like a dict of zeros: `grads["decoder.0.b"] += db`. A view is set to zero at its first
    access only, so a reused buffer needs no pass of zeros where `add_product` writes the first
    contribution directly into it.
    """

    def __init__(self, layout: ParameterLayout, vector: Array) -> None:
        super().__init__(layout.views(vector))
        self.untouched = set(self)

    def __getitem__(self, name: str) -> Array:
        view = super().__getitem__(name)
        if name in self.untouched:
            self.untouched.discard(name)
            view[...] = 0.0
        return view

    def take_untouched(self, name: str) -> Array | None:
        """The view, for the first contribution to overwrite; None if there already was one."""
        if name not in self.untouched:
            return None
        self.untouched.discard(name)
        return super().__getitem__(name)

    def zero_untouched(self) -> None:
        """Set to zero the gradient of every parameter without a contribution."""
        for name in tuple(self.untouched):
            self[name]


def add_product(grads: MutableMapping[str, Array], name: str, a: Array, b: Array) -> None:
    """grads[name] += a @ b, without a temporary if it is the first contribution.

    `grads` may be any dict of arrays. With `Gradients` a 784 x 400 weight gradient is written once;
    otherwise it would take zeros, a temporary of 1.25 MB and a sum.
    """
    first = grads.take_untouched(name) if isinstance(grads, Gradients) else None
    if first is None:
        grads[name] += product(a, b)
    else:
        product(a, b, out=first)


def add_column_sums(grads: MutableMapping[str, Array], name: str, a: Array) -> None:
    """grads[name] += sum_n a_n, for a (N, H), by a product with ones: faster than a.sum(axis=0)."""
    add_product(grads, name, _ones(len(a), a.dtype), a)


@lru_cache(maxsize=16)
def _ones(n: int, dtype: np.dtype[Any]) -> Array:
    """A vector of ones, made once: a new one for each bias would take 4 % of a small step."""
    ones = np.ones(n, dtype)
    ones.flags.writeable = False
    return ones


def he_normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """W ~ N(0, 2 / n_in): keeps the variance of activations through ReLU layers.

    Source: He et al. 2015, "Delving Deep into Rectifiers", eq. 10.
    """
    return rng.standard_normal(shape) * math.sqrt(2.0 / shape[0])


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """W ~ U(-a, a), a = sqrt(6 / (n_in + n_out)): for tanh, sigmoid and linear layers.

    Source: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", eq. 16.
    """
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    return rng.uniform(-bound, bound, shape)
