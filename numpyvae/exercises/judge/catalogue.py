"""The exercises of both parts: functions, marks, and the numbers they are called with.

An exercise's text and its solution are one file of `solutions/`; the stub that a student
gets is that file without the bodies of the functions listed here.

Part one, `EXERCISES`, is the course. Part two is optional: nothing in part one needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.exercises.judge import places
from numpyvae.exercises.judge import places_part_two as more
from numpyvae.exercises.judge.built import BUILT
from numpyvae.exercises.judge.places import BETA, Arrays, D, L, N, Rng, elementwise
from numpyvae.numerics import Array

__all__ = [
    "ALL",
    "BETA",
    "COURSES",
    "EXERCISES",
    "Arrays",
    "Course",
    "D",
    "Exercise",
    "Function",
    "L",
    "N",
    "draw_points",
    "exercise_numbered",
    "solution",
]

SOLUTIONS = Path(__file__).parent / "solutions"


class Function(NamedTuple):
    """A function to write, with its backward, if it has one.

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


SIZES = {"N": N, "D": D, "L": L, "beta": BETA}


@dataclass(frozen=True)
class Exercise:
    """One file to fill in.

    What has a default is asked of the exercises in a teacher's folder alone (`own`); of those in
    this package, hints, mistakes and the solution are found by their names.
    """

    number: int
    slug: str
    title: str
    functions: Sequence[Function]
    hints: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False)
    mistakes: Sequence[Any] = ()
    sizes: Mapping[str, float] = field(default_factory=lambda: SIZES, compare=False)
    built: str = ""  # what a student has built who passes, a sentence
    derivation: Sequence[str] = ()  # where that is derived: files with a heading, or addresses
    folder: str = ""  # where it was read, "" for those in this package
    source: str = ""  # the solution's text, if it was read from there
    given: Sequence[tuple[str, str, Sequence[str]]] = ()  # there: files before, text, functions

    @property
    def file(self) -> str:
        """The student's file, "ex3_reparameterize.py"."""
        return f"ex{self.number}_{self.slug}.py"

    @property
    def solution(self) -> str:
        """The text of the solution."""
        return self.source or solution(self.file)

    @property
    def marks(self) -> dict[str, int]:
        """Function name -> marks."""
        return {
            name: marks
            for f in self.functions
            for name, marks in zip(f.names, f.marks, strict=True)
        }


def _exercise(number: int, slug: str, title: str, *functions: Function) -> Exercise:
    built, derivation = BUILT[slug]
    return Exercise(number, slug, title, functions, built=built, derivation=derivation)


def _quantized(
    name: str, arguments: tuple[str, ...], outputs: tuple[str, ...], marks: int, *rest: bool
) -> Function:
    def draw(rng: Rng) -> list[Arrays]:
        return more.quantize(rng, *arguments)

    return Function(name, arguments, outputs, (), draw, (marks,), *rest)


EXERCISES = (
    _exercise(0, "dense", "the dense layer", Function(
        "dense", ("x", "W", "b"), ("y",), ("dx", "dW", "db"), places.dense, (2, 5))),
    _exercise(1, "activations", "ReLU and tanh",
        Function("relu", ("x",), ("y",), ("dx",), partial(elementwise, "dy", 800.0), (1, 3)),
        Function("tanh", ("x",), ("y",), ("dx",), partial(elementwise, "dy", 800.0), (1, 3))),
    _exercise(2, "bernoulli", "sigmoid, and the Bernoulli log-likelihood from logits",
        Function("sigmoid", ("x",), ("p",), ("dx",), partial(elementwise, "dp", 1e4), (1, 3)),
        Function("bernoulli_log_prob", ("x", "logits"), ("log_prob",), ("dlogits",),
                 places.bernoulli, (3, 5))),
    _exercise(3, "reparameterize", "the reparameterised sample", Function(
        "reparameterize", ("mean", "log_var", "noise"), ("z",), ("dmean", "dlog_var"),
        places.reparameterize, (3, 7))),
    _exercise(4, "gaussian_kl", "the Gaussian KL divergence", Function(
        "kl_to_standard_normal", ("mean", "log_var"), ("kl",), ("dmean", "dlog_var"), places.kl,
        (3, 7))),
    _exercise(5, "elbo", "the ELBO and its whole gradient", Function(
        "negative_elbo", ("params", "x", "noise", "beta"), ("loss",), ("dparams",),
        places.negative_elbo, (6, 14))),
    _exercise(6, "adam", "Adam", Function(
        "adam_step",
        ("theta", "grad", "m", "v", "t", "learning_rate", "beta1", "beta2", "epsilon"),
        ("new_theta", "new_m", "new_v"), (), places.adam, (8,))),
    _exercise(7, "gaussian", "the Gaussian likelihood with learned variance", Function(
        "gaussian_log_prob", ("x", "mean", "log_var"), ("log_prob",), ("dmean", "dlog_var"),
        places.gaussian, (3, 6))),
    _exercise(8, "score_function", "the score-function estimator beside the pathwise one",
        Function("log_q", ("z", "mean", "log_var"), ("log_q",), (),
                 lambda rng: places.draws(rng, "z", "mean", "log_var"), (1,)),
        Function("score_function_gradient", ("value", "z", "mean", "log_var"),
                 ("dmean", "dlog_var"), (),
                 lambda rng: places.draws(rng, "value", "z", "mean", "log_var"), (4,), True),
        Function("pathwise_gradient", ("df", "noise", "log_var"), ("dmean", "dlog_var"), (),
                 lambda rng: places.draws(rng, "df", "noise", "log_var"), (2,), True),
        Function("variance_of_mean", ("estimates",), ("variance",), (),
                 lambda rng: places.draws(rng, "estimates"), (2,))),
    _exercise(9, "vae", "the whole VAE, trained on the digits",
        Function("train", ("params", "x", "batches", "noise", "learning_rate"),
                 ("losses", "trained"), (), places.train, (5,)),
        Function("decode", ("params", "z"), ("probabilities",), (), places.decode, (2,))),
)  # fmt: skip


_MIXTURE = ("z", "logits", "mean", "log_var")
PART_TWO = (
    _exercise(10, "condition", "a model that is given the class",
        Function("condition", ("x", "y", "W", "b", "W_y"), ("pre",), ("dx", "dW", "db", "dW_y"),
                 more.condition, (2, 6)),
        Function("every_class", ("x", "W", "b", "W_y"), ("pre",), ("dx", "dW", "db", "dW_y"),
                 more.every_class, (2, 6)),
        Function("sample_given_class", ("params", "y", "z", "uniform"), ("x", "probabilities"), (),
                 more.sample_given_class, (4,))),
    _exercise(11, "mixture", "a mixture of Gaussians as prior",
        Function("gaussian_mixture_log_prob", _MIXTURE, ("log_prob",),
                 ("dz", "dlogits", "dmean", "dlog_var"), more.mixture, (6, 14)),
        Function("responsibilities", _MIXTURE, ("responsibilities",), (), more.responsibilities,
                 (4,)),
        Function("sample_mixture", ("component", "noise", "mean", "log_var"), ("z",), (),
                 more.sample_mixture, (4,))),
    _exercise(12, "importance", "the importance-weighted bound",
        Function("importance_weights", ("log_weight",), ("weights",), (), more.log_weights, (3,)),
        Function("importance_bound", ("log_weight",), ("bound",), ("dlog_weight",),
                 lambda rng: more.log_weights(rng, "dbound"), (4, 4)),
        Function("log_importance_weight", ("log_px", "z", "log_var", "noise"), ("log_weight",),
                 ("dlog_px", "dz", "dlog_var"), more.log_importance_weight, (4, 6)),
        Function("doubly_reparameterized", ("log_weight", "dlog_joint", "log_var", "noise"),
                 ("dmean", "dlog_var"), (), more.doubly_reparameterized, (8,), True)),
    _exercise(13, "quantize", "vector quantisation, straight through",
        Function("nearest_code", ("z_e", "codebook"), ("index",), (), more.nearest_code, (4,)),
        _quantized("quantize", ("z_e", "index", "codebook", "beta"), ("z_q", "cost"), 4),
        _quantized("quantize_gradient", ("dz_q", "z_e", "index", "codebook", "beta"),
                   ("dz_e", "dcodebook"), 10, True),
        _quantized("moving_codebook", ("counts", "sums", "z_e", "index", "decay"),
                   ("new_counts", "new_sums", "new_codebook"), 5)),
)  # fmt: skip

ALL = EXERCISES + PART_TWO


class Course(NamedTuple):
    """Exercises that are handed out and graded together."""

    part: int  # of the course in this package; 0 for a teacher's own
    exercises: tuple[Exercise, ...]

    @property
    def marks(self) -> int:
        """All marks that there are."""
        return sum(sum(e.marks.values()) for e in self.exercises)

    @property
    def numbers(self) -> str:
        """The first and the last number, "0 to 9"."""
        return f"{self.exercises[0].number} to {self.exercises[-1].number}"


COURSES = {1: Course(1, EXERCISES), 2: Course(2, PART_TWO)}


def exercise_numbered(number: int | str, exercises: Sequence[Exercise] = EXERCISES) -> Exercise:
    """The exercise of that number, or named 3, ex3 or by its file. ValueError if there is none."""
    text = Path(str(number)).name
    for exercise in exercises:
        if text in (
            str(exercise.number),
            f"ex{exercise.number}",
            exercise.file[:-3],
            exercise.file,
        ):
            return exercise
    first, last = exercises[0].number, exercises[-1].number
    expected = (
        f"{first} to {last}"
        if last - first + 1 == len(exercises) > 1
        else ", ".join(str(exercise.number) for exercise in exercises)
    )
    raise ValueError(f"there is no exercise {number}: expected {expected}")


@cache
def solution(file: str) -> str:
    """The text of a file of `solutions/`, by the name that it has in a student's folder."""
    return (SOLUTIONS / file).read_text(encoding="utf-8")


@cache
def _seed(exercise: int, seed: str) -> int:
    digest = hashlib.sha256(f"numpyvae exercise {exercise} seed {seed}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def draw_points(exercise: Exercise, seed: int | str) -> Arrays:
    """All arrays an exercise is called with, named "function/place/argument" and, for an argument
    that is a dict, "function/place/argument/key". The same seed (of any text) gives the same bytes.
    """
    rng = np.random.default_rng(_seed(exercise.number, str(seed)))
    return dict(_named(exercise, rng))


def _named(exercise: Exercise, rng: Rng) -> Iterator[tuple[str, Array]]:
    for f in exercise.functions:
        for i, place in enumerate(f.draw(rng)):
            for name, array in place.items():
                yield f"{f.name}/{i}/{name}", array
