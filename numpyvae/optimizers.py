"""SGD, Momentum and Adam on the flat vector, in place, with savable state.

`step(theta, grad)` changes theta (P,) and leaves grad as it is. An optimiser makes its state at its
first step.

A moment whose gradient stays zero shrinks by a constant factor per step until it is subnormal
(below 1e-38 in float32), where the processor takes about a hundred cycles for each entry. It stays
there, because 0.9 times one of the smallest such numbers rounds to itself. So moments that no
longer move a parameter are set to zero before they become subnormal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from numpyvae.numerics import Array, aligned_empty
from numpyvae.threads import one_blas_thread, share
from numpyvae.validation import fraction, from_config, positive_number

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Momentum", "Optimizer", "optimizer_from_config"]

BLOCK = 2**18
"""Parameters worked on at a time; more than that are shared between two threads, half each.

Adam on 653,000 float32 parameters takes 0.9 of the time that it takes with 2^15 at a time, and on
two threads 0.5. With 2^15 two threads gain nothing: they wait for Python's lock at every call."""

SPAN = 1e8
"""A moment below SPAN times the smallest normal number is set to zero: below 1e-30 in float32,
2e-300 in float64."""


class Optimizer(Protocol):
    """Anything that updates theta by a gradient."""

    learning_rate: float

    def step(self, theta: Array, grad: Array) -> None: ...

    def state(self) -> dict[str, Array]: ...

    def load_state(self, state: Mapping[str, Array]) -> None: ...


@cache
def _steps_to_cross(factor: float) -> int:
    """The steps in which a moment that shrinks by `factor` crosses SPAN, at most 100."""
    return min(100, max(1, int(-math.log(SPAN) / math.log(factor)))) if factor < 1.0 else 100


_share_parts = one_blas_thread(share)
"""In `fit` helpers may work anyway; here also where a user calls `step`."""


class _VectorOptimizer:
    """What the three share: checks, moments, blocks, and the state for saving."""

    setting_names: tuple[str, ...] = ("learning_rate",)
    moment_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = positive_number("learning_rate", learning_rate)
        self.n_steps = 0
        self._moments: dict[str, Array] = {}
        self._parts: list[tuple[int, int, Array]] = []

    def _move(
        self,
        move: Callable[..., None],
        theta: Array,
        grad: Array,
        factor: float = 1.0,
        floors: Sequence[float] = (),
    ) -> None:
        """move(theta, grad, *moments, scratch) on views of them, block by block.

        A moment shrinks at most by `factor` per step. Every 100 steps, or earlier if a moment could
        cross SPAN sooner, moments below SPAN times the smallest normal number and below their entry
        in `floors` are set to zero.

        Raises TypeError if theta does not hold floats, ValueError if lengths differ.
        """
        vectors = (theta, grad, *self._checked_moments(theta, grad))
        self.n_steps += 1
        zeroing = self.n_steps % _steps_to_cross(factor) == 0

        def move_part(part: tuple[int, int, Array]) -> None:
            first, last, scratch = part
            for start in range(first, last, BLOCK):
                stop = min(start + BLOCK, last)
                views = [vector[start:stop] for vector in vectors]
                spare = scratch[: stop - start]
                move(*views, spare)
                if zeroing:
                    largest = SPAN * float(np.finfo(theta.dtype).tiny)
                    for moment, floor in zip(views[2:], floors, strict=True):
                        moment[np.abs(moment, out=spare) < min(floor, largest)] = 0.0

        if len(self._parts) == 1:
            move_part(self._parts[0])
        else:
            _share_parts(move_part, self._parts)

    def _checked_moments(self, theta: Array, grad: Array) -> Collection[Array]:
        """The moments, made if there are none yet, and scratch memory for each part of theta."""
        if theta.dtype.kind != "f":
            raise TypeError(f"theta must be an array of floats, got {theta.dtype}")
        if theta.ndim != 1 or grad.shape != theta.shape:
            raise ValueError(
                f"theta and grad must be vectors of one length, got {theta.shape} and {grad.shape}"
            )
        n = len(theta)
        if not self._moments:
            for name in self.moment_names:
                self._moments[name] = aligned_empty(n, theta.dtype)
                self._moments[name][...] = 0.0
        for moment in self._moments.values():
            if moment.shape != theta.shape:
                raise ValueError(
                    f"this optimizer has worked on {len(moment)} parameters and cannot go on with "
                    f"{n}: make a new one"
                )
        if not self._parts or self._parts[-1][1] != n or self._parts[0][2].dtype != theta.dtype:
            middle = n if n <= BLOCK else n // 32 * 16  # a line of the cache is 64 bytes
            ends = (0, n) if middle == n else (0, middle, n)
            self._parts = [
                (a, b, aligned_empty(min(BLOCK, b - a), theta.dtype)) for a, b in pairwise(ends)
            ]
        return self._moments.values()

    def __getstate__(self) -> dict[str, Any]:
        """Without scratch memory, which the next step makes again."""
        return {**self.__dict__, "_parts": []}

    def config(self) -> dict[str, Any]:
        """The name of the class and its arguments with their present values, for JSON.

        Raises ValueError for values that `optimizer_from_config` would not take.
        """
        settings = {name: float(getattr(self, name)) for name in self.setting_names}
        config = {"name": type(self).__name__, **settings}
        if config["name"] in OPTIMIZERS:
            optimizer_from_config(config)
        return config

    def state(self) -> dict[str, Array]:
        """All that the next step depends on besides theta and grad, as arrays to be saved."""
        moments = {name: moment.copy() for name, moment in self._moments.items()}
        return {"n_steps": np.array(self.n_steps, np.int64), **moments}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from what `state()` returned; ValueError if it is another optimiser's."""
        names = self.moment_names if "n_steps" in state and int(state["n_steps"]) else ()
        if set(state) != {"n_steps", *names}:
            raise ValueError(f"expected the state {['n_steps', *names]}, got {sorted(state)}")
        moments = {name: np.asarray(state[name]) for name in names}
        vectors = all(m.ndim == 1 and m.dtype.kind == "f" for m in moments.values())
        if int(state["n_steps"]) < 0 or not vectors:
            raise ValueError("expected n_steps of at least 0 and moments that are vectors")
        self.n_steps = int(state["n_steps"])
        self._moments = {name: aligned_empty(len(m), m.dtype) for name, m in moments.items()}
        for name, moment in moments.items():
            self._moments[name][...] = moment


class SGD(_VectorOptimizer):
    """Stochastic gradient descent: theta <- theta - learning_rate * grad."""

    def __init__(self, learning_rate: float = 1e-2) -> None:
        super().__init__(learning_rate)

    def step(self, theta: Array, grad: Array) -> None:
        def move(th: Array, g: Array, scratch: Array) -> None:
            np.multiply(g, self.learning_rate, out=scratch)
            th -= scratch

        self._move(move, theta, grad)


class Momentum(_VectorOptimizer):
    """v <- momentum * v + grad,  theta <- theta - learning_rate * v.

    Source: Polyak 1964 (the heavy ball), in the form of Sutskever et al. 2013 without its rescaling
    by the learning rate.
    """

    setting_names = ("learning_rate", "momentum")
    moment_names = ("velocity",)

    def __init__(self, learning_rate: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("momentum", momentum)

    def step(self, theta: Array, grad: Array) -> None:
        def move(th: Array, g: Array, v: Array, scratch: Array) -> None:
            v *= self.momentum
            v += g
            np.multiply(v, self.learning_rate, out=scratch)
            th -= scratch

        self._move(move, theta, grad, self.momentum or 1.0, (math.inf,))


class Adam(_VectorOptimizer):
    """Adam, bias-corrected, as published (Kingma & Ba 2015, algorithm 1):

        m <- beta1 m + (1 - beta1) g        m_hat = m / (1 - beta1^t)
        v <- beta2 v + (1 - beta2) g^2      v_hat = v / (1 - beta2^t)
        theta <- theta - learning_rate m_hat / (sqrt(v_hat) + epsilon)

    The moments are kept without their factors, M = m / (1 - beta1) and V = v / (1 - beta2), which
    saves two passes over the parameters:

        M <- beta1 M + g,  V <- beta2 V + g^2,  theta <- theta - rate M / (sqrt(V) + eps)

    with c = (1 - beta2) / (1 - beta2^t), eps = epsilon / sqrt(c) and
    rate = learning_rate (1 - beta1) / (1 - beta1^t) / sqrt(c).

    With an epsilon of 1e-12 or less in float32, second moments can stay subnormal, and steps slow,
    for thousands of steps (of 1e-14 or less for ever). Such moments cannot be set to zero, because
    with so small an epsilon they still change the step.

    A `weight_decay` above 0 makes it AdamW (Loshchilov & Hutter 2019, algorithm 2): each step first
    multiplies all of theta, biases too, by 1 - learning_rate * weight_decay. This is decoupled from
    the gradient: a penalty in the loss would be divided by sqrt(v_hat), as the gradient is, and so
    have the least effect where gradients are large. learning_rate * weight_decay must be below 1.
    """

    setting_names = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
    moment_names = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = fraction("beta1", beta1)
        self.beta2 = fraction("beta2", beta2)
        self.epsilon = positive_number("epsilon", epsilon)
        self.weight_decay = positive_number("weight_decay", weight_decay, zero=True)
        self._check_decay()

    def _check_decay(self) -> None:
        """ValueError if a step would turn the signs of theta: a schedule may change the rate."""
        if self.weight_decay and not self.learning_rate * self.weight_decay < 1.0:
            raise ValueError(
                f"weight_decay must be below 1 / learning_rate = {1.0 / self.learning_rate:g}, "
                f"got {self.weight_decay:g}"
            )

    def step(self, theta: Array, grad: Array) -> None:
        self._check_decay()
        t = self.n_steps + 1
        root = math.sqrt((1.0 - self.beta2) / (1.0 - self.beta2**t))
        rate = self.learning_rate * (1.0 - self.beta1) / (1.0 - self.beta1**t) / root
        eps = self.epsilon / root
        kept = 1.0 - self.learning_rate * self.weight_decay
        # Ten passes over a block take less time with arrays () than with Python numbers.
        b1, b2, r, e = (np.array(c, theta.dtype) for c in (self.beta1, self.beta2, rate, eps))

        def move(th: Array, g: Array, m: Array, v: Array, scratch: Array) -> None:
            if kept != 1.0:
                th *= kept
            m *= b1
            m += g
            v *= b2
            np.multiply(g, g, out=scratch)
            v += scratch
            np.sqrt(v, out=scratch)
            scratch += e
            np.divide(m, scratch, out=scratch)
            scratch *= r
            th -= scratch

        # What is lost: a step of 1e-20 learning rates, and what sqrt(V) + eps rounds away.
        rounded_away = 0.25 * float(np.finfo(grad.dtype).eps) * self.epsilon
        factor = min(self.beta1 or 1.0, self.beta2 or 1.0)  # a beta of 0 leaves nothing to shrink
        self._move(move, theta, grad, factor, (1e-20 * self.epsilon, rounded_away**2))


OPTIMIZERS: dict[str, type[SGD | Momentum | Adam]] = {
    cls.__name__: cls for cls in (SGD, Momentum, Adam)
}


def optimizer_from_config(config: Mapping[str, Any]) -> SGD | Momentum | Adam:
    """The optimiser that `config()` described, without its state; ValueError for any other."""
    ended = isinstance(config, Mapping) and config.get("learning_rate") == 0.0  # by a schedule
    made = {**config, "learning_rate": sys.float_info.min} if ended else config
    optimizer: SGD | Momentum | Adam = from_config("optimizer", made, OPTIMIZERS)
    if ended:
        optimizer.learning_rate = 0.0
    return optimizer
