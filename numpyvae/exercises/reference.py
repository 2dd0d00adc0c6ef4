"""What the right solution gives, and each wrong one. Our own code, so it runs in this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from numpyvae.exercises.catalogue import (
    EXERCISES,
    Arrays,
    Exercise,
    Function,
    draw_points,
    solution,
)
from numpyvae.exercises.compare import EXACT, close
from numpyvae.exercises.mistakes import Mistake, mistakes_of, pairs_of, plant
from numpyvae.exercises.perform import Note as NoteTaker
from numpyvae.exercises.perform import group, load, perform
from numpyvae.exercises.sandbox import Note, Outcome, calls_of, given_to

__all__ = [
    "at_first_place",
    "fitted",
    "pairs_of_mistakes",
    "perform_here",
    "perform_trusted",
    "right",
    "wrong",
]


def perform_here(exercise: Exercise, source: str, points: Arrays, note: NoteTaker) -> Arrays:
    """What `sandbox.run` brings back, but from this process: for sources that are trusted."""
    arrays: Arrays = {}
    with _loaded(exercise, source) as names:
        perform(
            names,
            calls_of(exercise, points),
            points,
            lambda name, array: arrays.update({name: np.array(array)}),
            note,
        )
    return arrays


@contextlib.contextmanager
def _loaded(exercise: Exercise, source: str) -> Iterator[dict[str, Any]]:
    """The names of a source, with `given` and the files before it as long as they are needed."""
    modules = ["given", *(e.file.removesuffix(".py") for e in EXERCISES)]
    before = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    try:
        with np.errstate(all="ignore"):
            yield load(source, exercise.file, given_to(exercise), sys.modules)
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def at_first_place(
    exercise: Exercise, f: Function, points: Arrays, weights: Arrays | None = None
) -> Arrays:
    """The right gradients at the first place, "0/dx" -> array.

    `weights` ("W" -> array) take the place of those handed over, between forward and backward.
    """
    start = f"{f.name}/0/"
    given = {n[len(start) :]: np.array(a) for n, a in points.items() if n.startswith(start)}
    with _loaded(exercise, solution(exercise.file)) as names:
        arguments = group(given)
        _, cache = names[f.name](*(arguments[name] for name in f.arguments))
        for n, array in (weights or {}).items():
            given[n][...] = array  # the cache holds the weights themselves
        gradients = names[f.names[1]](arguments[f"d{f.outputs[0]}"], cache)
    if isinstance(gradients, dict):
        return {f"0/{f.gradients[0]}/{key}": array for key, array in gradients.items()}
    return {f"0/{name}": array for name, array in zip(f.gradients, gradients, strict=True)}


def perform_trusted(exercise: Exercise, source: str, points: Arrays) -> Outcome:
    """The same with what went wrong. Only for sources of this package."""
    notes: list[Note] = []
    arrays = perform_here(exercise, source, points, lambda *note: notes.append(Note(*note)))
    return Outcome(arrays, tuple(notes))


@lru_cache(maxsize=64)
def right(number: int, seed: int | str) -> Outcome:
    """The reference's results."""
    exercise = EXERCISES[number]
    return perform_trusted(exercise, solution(exercise.file), draw_points(exercise, seed))


@lru_cache(maxsize=64)
def wrong(number: int, seed: int | str) -> tuple[tuple[Mistake, Outcome], ...]:
    """The results with each mistake that has a name."""
    exercise = EXERCISES[number]
    points = draw_points(exercise, seed)
    return tuple(
        (mistake, perform_trusted(exercise, source, points))
        for mistake, source in mistakes_of(exercise)
    )


def fitted(
    exercise: Exercise, f: Function, seed: int | str, yours: Arrays
) -> Iterator[tuple[tuple[Mistake, ...], Outcome]]:
    """The results with each mistake whose constant is read off a student's; also with another
    mistake in the backward, if the forward pass may be explained.
    """
    points = draw_points(exercise, seed)
    truth = {n.split("/", 1)[1]: a for n, a in right(exercise.number, seed).arrays.items()
             if n.startswith(f"{f.name}/")}  # fmt: skip
    text = solution(exercise.file)
    for mistake, _ in mistakes_of(exercise):
        with contextlib.suppress(KeyError, IndexError, ValueError):
            own = mistake.fitted(points, yours, truth) if mistake.function in f.names else None
            source = plant(text, own) if own else None
            if own and source:
                made = perform_trusted(exercise, source, points)
                yield (own,), made
                outputs = [n for n in yours if n.split("/")[1] in f.outputs]
                if not all(close(yours[n], made.arrays[f"{f.name}/{n}"], EXACT) for n in outputs):
                    continue
                for other, _ in mistakes_of(exercise):
                    both = plant(source, other) if other.function == f.names[-1] else None
                    if both:
                        yield (own, other), perform_trusted(exercise, both, points)


@lru_cache(maxsize=16)
def pairs_of_mistakes(
    number: int, seed: int | str
) -> tuple[tuple[tuple[Mistake, Mistake], Outcome], ...]:
    """The results with every two mistakes at once, where both can be made."""
    exercise = EXERCISES[number]
    points = draw_points(exercise, seed)
    return tuple(
        ((first, second), perform_trusted(exercise, source, points))
        for first, second, source in pairs_of(exercise)
    )
