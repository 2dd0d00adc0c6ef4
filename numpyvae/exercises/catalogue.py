"""The ten exercises: their functions, their points on the scale of marks, and where they are tried.

The text of an exercise and its solution stand in one file of `solutions/`; the stub that a student
gets is that file without the bodies of the functions listed here.

Sizes are small, different from each other and mostly prime, so that no mistake looks like another:
N = 5 examples, D = 7, H = 6, L = 3. Each function is tried at two places, the second for what a
generic place hides: a square layer, values far from zero, extreme logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.data.digits import load_digits
from numpyvae.numerics import Array

__all__ = [
    "BETA",
    "EXERCISES",
    "Arrays",
    "D",
    "Exercise",
    "Function",
    "L",
    "N",
    "draw_points",
    "exercise_numbered",
    "solution",
]

Arrays = dict[str, Array]
SOLUTIONS = Path(__file__).parent / "solutions"
BETA = 0.37
N, D, H, L, S = 5, 7, 6, 3, 11
Rng = np.random.Generator


class Function(NamedTuple):
    """A function to write, with the backward that belongs to it, if one does.

    With a backward, `f(*arguments) -> (value, cache)` and
    `f_backward(dvalue, cache) -> gradients`. Without, `f(*arguments) -> outputs`.
    """

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    gradients: tuple[str, ...]
    draw: Callable[[Rng], list[Arrays]]  # the places: argument (and cotangent) -> value
    marks: tuple[int, ...]  # of the function and, if it has one, of its backward
    is_gradient: bool = False  # whether the outputs themselves are to be derived

    @property
    def names(self) -> tuple[str, ...]:
        """The functions to write: f, or f and f_backward."""
        return (self.name, f"{self.name}_backward") if self.gradients else (self.name,)


class Exercise(NamedTuple):
    """One file to fill in."""

    number: int
    slug: str
    title: str
    functions: tuple[Function, ...]

    @property
    def file(self) -> str:
        """The student's file, "ex3_reparameterize.py"."""
        return f"ex{self.number}_{self.slug}.py"

    @property
    def marks(self) -> dict[str, int]:
        """Function name -> marks."""
        return {
            name: marks
            for f in self.functions
            for name, marks in zip(f.names, f.marks, strict=True)
        }


def _far(generic: Arrays, **changes: Any) -> list[Arrays]:
    """A generic place, and the same with some arguments changed."""
    return [generic, {**generic, **changes}]


def _dense(rng: Rng) -> list[Arrays]:
    def place(n: int, n_in: int, n_out: int) -> Arrays:
        shapes = {"x": (n, n_in), "W": (n_in, n_out), "b": (n_out,), "dy": (n, n_out)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    return [place(N, 4, H), place(H, H, H)]


def _elementwise(cotangent: str, extreme: float, rng: Rng) -> list[Arrays]:
    x = 1.5 * rng.standard_normal((N, D))
    generic = {"x": x, cotangent: rng.standard_normal((N, D))}
    signs = np.where(rng.random((N, D)) < 0.5, -1.0, 1.0)
    far = np.where(rng.random((N, D)) < 0.5, extreme * signs, x)
    far[0, :3] = 0.0, extreme, -extreme  # at 0 the derivative of ReLU is 0
    return _far(generic, x=far)


def _bernoulli(rng: Rng) -> list[Arrays]:
    logits = 1.5 * rng.standard_normal((N, D))
    x = rng.permuted(np.tile([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], (N, 1)), axis=1)
    generic = {"x": x, "logits": logits, "dlog_prob": rng.standard_normal(N)}
    far = logits.copy()
    far[:4] = np.array([[-40.0], [40.0], [1e4], [-1e4]])  # each way to lose log p by itself
    return _far(generic, logits=far)


def _reparameterize(rng: Rng) -> list[Arrays]:
    generic = {name: rng.standard_normal((N, L)) for name in ("mean", "log_var", "noise", "dz")}
    far = {"mean": np.zeros((N, L)), "log_var": generic["log_var"] - 140.0}
    return _far(generic, **far)  # where differences of exp(log_var / 2) lose their digits


def _kl(rng: Rng) -> list[Arrays]:
    mean, log_var = rng.standard_normal((2, N, L))
    generic = {"mean": mean, "log_var": log_var, "dkl": rng.standard_normal(N)}
    far = np.where(rng.random((N, L)) < 0.5, -50.0, log_var)
    far[0, 0] = -50.0
    return _far(generic, log_var=far)


def parameters(rng: Rng, data_dim: int, hidden: int, latent: int, scale: float) -> Arrays:
    """Random weights and biases of the VAE of exercises 5 and 9, as "params/encoder.0.W", ..."""
    networks = {"encoder": (data_dim, hidden, 2 * latent), "decoder": (latent, hidden, data_dim)}
    params: Arrays = {}
    for name, widths in networks.items():
        for i in (0, 1):
            n_in, n_out = widths[i : i + 2]
            params[f"params/{name}.{i}.W"] = scale * rng.standard_normal((n_in, n_out))
            params[f"params/{name}.{i}.b"] = scale * rng.standard_normal(n_out)
    return params


def _different_bits(rng: Rng) -> Array:
    """Zeros and ones (N, D), no row twice: then the heads can be read out of their gradients."""
    rows = rng.choice(2**D, N, replace=False)
    bits: Array = (rows[:, None] >> np.arange(D)) & 1
    return bits.astype(float)


def _negative_elbo(rng: Rng) -> list[Arrays]:
    def place(beta: float, dloss: float) -> Arrays:
        return {
            **parameters(rng, D, H, L, 0.6),
            "x": _different_bits(rng),
            "noise": rng.standard_normal((N, L)),
            "beta": np.array(beta),
            "dloss": np.array(dloss),
        }

    return [place(BETA, 1.0), place(0.61, -1.7)]


def _adam(rng: Rng) -> list[Arrays]:
    numbers = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    common = {name: np.array(value) for name, value in numbers.items()}
    zeros = np.zeros(D)
    vectors = {name: rng.standard_normal(D) for name in ("theta", "grad", "m")}
    small = rng.standard_normal(D) * np.array([1e-8, 1e-6, 1e-4, 1e-2, 1.0, 2.0, 1e2])
    first = {"theta": vectors["theta"], "grad": small, "m": zeros, "v": zeros, "t": np.array(1)}
    later = {**vectors, "v": rng.random(D), "t": np.array(7)}
    others = {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3}
    return [
        {**common, **first},
        {**common, **later, **{name: np.array(value) for name, value in others.items()}},
    ]


def _gaussian(rng: Rng) -> list[Arrays]:
    x, mean = rng.standard_normal((2, N, D))
    log_var = rng.standard_normal(D)
    generic = {"x": x, "mean": mean, "log_var": log_var, "dlog_prob": rng.standard_normal(N)}
    return _far(generic, x=100.0 + x, mean=100.0 + mean, log_var=log_var - 10.0)


def _draws(rng: Rng, *names: str) -> list[Arrays]:
    shapes = {"value": (S,), "mean": (L,), "log_var": (L,)}
    return [
        {name: rng.standard_normal(shapes.get(name, (S, L))) for name in names} for _ in range(2)
    ]


def _train(rng: Rng) -> list[Arrays]:
    steps, batch, latent = 30, 16, 2
    rows = rng.permutation(len(load_digits()[0]))[:100]
    return [
        {
            **parameters(rng, 64, 20, latent, 0.3),
            "x": (load_digits()[0][rows] >= 8).astype(float),
            "batches": rng.integers(0, 100, (steps, batch)),
            "noise": rng.standard_normal((steps, batch, latent)),
            "learning_rate": np.array(0.01),
        }
    ]


def _decode(rng: Rng) -> list[Arrays]:
    return [{**parameters(rng, D, H, L, 0.6), "z": rng.standard_normal((N, L))} for _ in range(2)]


def _exercise(number: int, slug: str, title: str, *functions: Function) -> Exercise:
    return Exercise(number, slug, title, functions)


EXERCISES = (
    _exercise(0, "dense", "the dense layer", Function(
        "dense", ("x", "W", "b"), ("y",), ("dx", "dW", "db"), _dense, (2, 5))),
    _exercise(1, "activations", "ReLU and tanh",
        Function("relu", ("x",), ("y",), ("dx",), partial(_elementwise, "dy", 800.0), (1, 3)),
        Function("tanh", ("x",), ("y",), ("dx",), partial(_elementwise, "dy", 800.0), (1, 3))),
    _exercise(2, "bernoulli", "sigmoid, and the Bernoulli log-likelihood from logits",
        Function("sigmoid", ("x",), ("p",), ("dx",), partial(_elementwise, "dp", 1e4), (1, 3)),
        Function("bernoulli_log_prob", ("x", "logits"), ("log_prob",), ("dlogits",), _bernoulli,
                 (3, 5))),
    _exercise(3, "reparameterize", "the reparameterised sample", Function(
        "reparameterize", ("mean", "log_var", "noise"), ("z",), ("dmean", "dlog_var"),
        _reparameterize, (3, 7))),
    _exercise(4, "gaussian_kl", "the Gaussian KL divergence", Function(
        "kl_to_standard_normal", ("mean", "log_var"), ("kl",), ("dmean", "dlog_var"), _kl, (3, 7))),
    _exercise(5, "elbo", "the ELBO and its whole gradient", Function(
        "negative_elbo", ("params", "x", "noise", "beta"), ("loss",), ("dparams",), _negative_elbo,
        (6, 14))),
    _exercise(6, "adam", "Adam", Function(
        "adam_step",
        ("theta", "grad", "m", "v", "t", "learning_rate", "beta1", "beta2", "epsilon"),
        ("new_theta", "new_m", "new_v"), (), _adam, (8,))),
    _exercise(7, "gaussian", "the Gaussian likelihood with learned variance", Function(
        "gaussian_log_prob", ("x", "mean", "log_var"), ("log_prob",), ("dmean", "dlog_var"),
        _gaussian, (3, 6))),
    _exercise(8, "score_function", "the score-function estimator beside the pathwise one",
        Function("log_q", ("z", "mean", "log_var"), ("log_q",), (),
                 lambda rng: _draws(rng, "z", "mean", "log_var"), (1,)),
        Function("score_function_gradient", ("value", "z", "mean", "log_var"),
                 ("dmean", "dlog_var"), (),
                 lambda rng: _draws(rng, "value", "z", "mean", "log_var"), (4,), True),
        Function("pathwise_gradient", ("df", "noise", "log_var"), ("dmean", "dlog_var"), (),
                 lambda rng: _draws(rng, "df", "noise", "log_var"), (2,), True),
        Function("variance_of_mean", ("estimates",), ("variance",), (),
                 lambda rng: _draws(rng, "estimates"), (2,))),
    _exercise(9, "vae", "the whole VAE, trained on the digits",
        Function("train", ("params", "x", "batches", "noise", "learning_rate"),
                 ("losses", "trained"), (), _train, (5,)),
        Function("decode", ("params", "z"), ("probabilities",), (), _decode, (2,))),
)  # fmt: skip


def exercise_numbered(number: int) -> Exercise:
    """One of the exercises. ValueError if there is none of that number."""
    if not 0 <= number < len(EXERCISES):
        raise ValueError(f"there is no exercise {number}: expected 0 to {len(EXERCISES) - 1}")
    return EXERCISES[number]


@cache
def solution(file: str) -> str:
    """The text of a file of `solutions/`, by the name that it has in a student's folder."""
    return (SOLUTIONS / file).read_text(encoding="utf-8")


@cache
def _seed(exercise: int, seed: str) -> int:
    digest = hashlib.sha256(f"numpyvae exercise {exercise} seed {seed}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def draw_points(exercise: Exercise, seed: int | str) -> Arrays:
    """All arrays an exercise is tried with, named "function/place/argument" and, for an argument
    that is a dict, "function/place/argument/key". The same seed (of any text) gives the same bytes.
    """
    rng = np.random.default_rng(_seed(exercise.number, str(seed)))
    return dict(_named(exercise, rng))


def _named(exercise: Exercise, rng: Rng) -> Iterator[tuple[str, Array]]:
    for f in exercise.functions:
        for i, place in enumerate(f.draw(rng)):
            for name, array in place.items():
                yield f"{f.name}/{i}/{name}", array
