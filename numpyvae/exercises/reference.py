"""What the right solution gives, and each wrong one. Our own code, so it runs in this process."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np

from numpyvae.exercises.catalogue import EXERCISES, Arrays, Exercise, draw_points, solution
from numpyvae.exercises.mistakes import Mistake, mistakes_of, pairs_of
from numpyvae.exercises.perform import Note as NoteTaker
from numpyvae.exercises.perform import load, perform
from numpyvae.exercises.sandbox import Note, Outcome, calls_of, given_to

__all__ = ["pairs_of_mistakes", "perform_here", "perform_trusted", "right", "wrong"]


def perform_here(exercise: Exercise, source: str, points: Arrays, note: NoteTaker) -> Arrays:
    """What `sandbox.run` brings back, but from this process: for sources that are trusted."""
    arrays: Arrays = {}
    names = ["given", *(e.file.removesuffix(".py") for e in EXERCISES)]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        with np.errstate(all="ignore"):
            perform(
                load(source, exercise.file, given_to(exercise), sys.modules),
                calls_of(exercise, points),
                points,
                lambda name, array: arrays.update({name: np.array(array)}),
                note,
            )
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    return arrays


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
