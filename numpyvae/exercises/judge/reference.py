"""The results of the right solution and of each wrong one: trusted code, run in this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from numpyvae.exercises.judge.catalogue import (
    ALL,
    Arrays,
    Exercise,
    Function,
    draw_points,
)
from numpyvae.exercises.judge.compare import EXACT, close
from numpyvae.exercises.judge.mistakes import Mistake, mistakes_of, pairs_of, planted
from numpyvae.exercises.judge.mistakes.kinds import CONSTANT, as_written
from numpyvae.exercises.judge.tasks import calls_of, given_to
from numpyvae.exercises.sandbox.perform import Note as NoteTaker
from numpyvae.exercises.sandbox.perform import describe, group, load, perform
from numpyvae.exercises.sandbox.runner import Note, Outcome

__all__ = [
    "DIGITS",
    "Made",
    "Results",
    "at_first_place",
    "distance",
    "fitted_mistakes",
    "loaded",
    "pairs_of_mistakes",
    "perform_here",
    "perform_trusted",
    "right",
    "single_mistakes",
]


DIGITS, ROUNDING = 1e-10, 1e-13  # relative: below these, nothing is left to explain


class Results(NamedTuple):
    """What the first calls of a function gave."""

    arrays: Arrays  # "0/dmean" -> array
    errors: frozenset[str]  # what was raised, in words


class Fitted(NamedTuple):
    """What comes of mistakes one of which has a constant, read off from a student's results."""

    constant: float
    mistakes: tuple[Mistake, ...]
    results: Results


Made = tuple[tuple[tuple[Mistake, ...], Results], ...]  # mistakes, the results with all of them


def perform_here(exercise: Exercise, source: str, points: Arrays, note: NoteTaker) -> Arrays:
    """What `tasks.run` brings back, but from this process: for sources that are trusted."""
    arrays: Arrays = {}
    with loaded(exercise, source) as names:
        perform(
            names,
            calls_of(exercise, points),
            points,
            lambda name, array: arrays.update({name: np.array(array)}),
            note,
        )
    return arrays


@contextlib.contextmanager
def loaded(exercise: Exercise, source: str) -> Iterator[dict[str, Any]]:
    """The names of a source, with `given` and the files before it as long as they are needed."""
    files = {e.file.removesuffix(".py") for e in (*ALL, exercise)}
    modules = ["given", *files.union(name for name, *_ in exercise.given)]
    before = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    try:
        with np.errstate(all="ignore"):
            yield load(source, exercise.file, given_to(exercise), sys.modules)
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@lru_cache(maxsize=32)
def _imported(exercise: Exercise, head: str) -> dict[str, Any]:
    """The names that a solution begins with: what it imports. They are made once."""
    with loaded(exercise, head) as names:
        return dict(names)


@lru_cache(maxsize=4096)
def _compiled(block: str) -> CodeType:
    return compile(block, "solution", "exec", dont_inherit=True)


def results_with(
    exercise: Exercise,
    f: Function,
    source: str,
    points: Arrays,
    constant: float = 0.0,
    weights: Arrays | None = None,
) -> Results:
    """What the first calls of f in a changed solution give. A fraction of what `perform` does.

    `weights` ("W" -> array) take the place of those handed over, between forward and backward.
    """
    arrays: Arrays = {}
    errors = set()
    head, *blocks = source.split("\n\n\n")
    with np.errstate(all="ignore"):
        names = {**_imported(exercise, head), CONSTANT: constant}
        for block in blocks:  # one by one, for most are those of the solution
            exec(_compiled(block), names)
        for place in sorted({n.split("/")[1] for n in points if n.startswith(f"{f.name}/")}):
            start = f"{f.name}/{place}/"
            given = {n[len(start) :]: np.array(points[n]) for n in points if n.startswith(start)}
            arguments = group(given)
            try:
                value = names[f.name](*(arguments[name] for name in f.arguments))
                value, cache = value if f.gradients else (value, None)
                _hand_out(arrays, place, f.outputs, value)
                for n, array in (weights or {}).items():
                    given[n][...] = array  # the cache holds the weights themselves
                if f.gradients:
                    gradients = names[f.names[1]](arguments[f"d{f.outputs[0]}"], cache)
                    _hand_out(arrays, place, f.gradients, gradients)
            except Exception as error:
                errors.add(describe(error))
    return Results(arrays, frozenset(errors))


def _hand_out(arrays: Arrays, place: str, results: tuple[str, ...], returned: Any) -> None:
    """Name what a function returned, as `perform` does."""
    values = returned if isinstance(returned, tuple) else (returned,)
    for result, value in zip(results, values, strict=True):
        parts = value if isinstance(value, dict) else {"": value}
        for key, array in parts.items():
            arrays[f"{place}/{result}/{key}".rstrip("/")] = np.array(array)


def at_first_place(
    exercise: Exercise, f: Function, points: Arrays, weights: Arrays | None = None
) -> Arrays:
    """The right gradients at the first place, "0/dx" -> array; `weights` as in `results_with`."""
    here = {n: a for n, a in points.items() if n.startswith(f"{f.name}/0/")}
    made = results_with(exercise, f, exercise.solution, here, weights=weights)
    return {n: a for n, a in made.arrays.items() if n.split("/")[1] in f.gradients}


def perform_trusted(exercise: Exercise, source: str, points: Arrays) -> Outcome:
    """The same with what went wrong. Only for sources of this package."""
    notes: list[Note] = []
    arrays = perform_here(exercise, source, points, lambda *note: notes.append(Note(*note)))
    return Outcome(arrays, tuple(notes))


@lru_cache(maxsize=64)
def right(exercise: Exercise, seed: int | str) -> Outcome:
    """The reference's results."""
    return perform_trusted(exercise, exercise.solution, draw_points(exercise, seed))


@lru_cache(maxsize=128)
def single_mistakes(exercise: Exercise, f: Function, seed: int | str) -> Made:
    """The results with each mistake that can be made in f in one way."""
    points = draw_points(exercise, seed)
    return tuple(
        ((mistake,), results_with(exercise, f, source, points))
        for mistake, source in mistakes_of(exercise)
        if mistake.function in f.names and mistake.fit is None
    )


@lru_cache(maxsize=32)
def pairs_of_mistakes(exercise: Exercise, f: Function, seed: int | str) -> Made:
    """The results with every two mistakes in f at once, where both can be made."""
    points = draw_points(exercise, seed)
    return tuple(
        ((first, second), results_with(exercise, f, source, points))
        for first, second, source in pairs_of(exercise, f)
    )


def fitted_mistakes(
    exercise: Exercise, f: Function, seed: int | str, yours: Arrays
) -> Iterator[tuple[tuple[Mistake, ...], Results]]:
    """The results with each mistake that has a constant, with that of a student's results, the
    nearest first; then with another mistake, if one of the two explains the forward pass.

    A small constant does much the same wherever it is added. Digits beyond 1e-6 tell where that
    was. If they do not, a number that somebody may have written is the likelier one.
    """
    points = draw_points(exercise, seed)
    truth = {n[len(f.name) + 1 :]: a for n, a in right(exercise, seed).arrays.items()
             if n.startswith(f"{f.name}/")}  # fmt: skip

    def nearest_first(made: Iterable[Fitted]) -> list[Fitted]:
        return sorted(made, key=lambda one: _unlikely(one.constant, yours, one.results.arrays))

    def make(constant: float, *mistakes: Mistake) -> Iterator[Fitted]:
        source = planted(exercise, *mistakes)
        if source is not None:
            made = results_with(exercise, f, source, points, constant)
            yield Fitted(constant, mistakes, made)

    own = [mistake for mistake, _ in mistakes_of(exercise) if mistake.function in f.names]
    fits = [mistake.fitted(points, yours, truth) for mistake in own]
    alone = [one for fit in fits if fit for one in make(*fit)]
    yield from (one[1:] for one in nearest_first(alone))
    others = [
        (m, _outputs_fit(f, yours, made.arrays))
        for (m,), made in single_mistakes(exercise, f, seed)
    ]
    both: list[Fitted] = []
    for constant, (mistake,), made in alone:
        explains = _outputs_fit(f, yours, made.arrays)
        in_backward = mistake.function == f.names[-1]
        for other, other_fits in others:
            if other_fits if in_backward else explains and other.function == f.names[-1]:
                both += make(constant, mistake, other)
    yield from (one[1:] for one in nearest_first(both))


def _unlikely(constant: float, yours: Arrays, made: Arrays) -> tuple[float, ...]:
    """The smaller, the likelier it is that these results are a student's."""
    off, written = distance(yours, made), as_written(constant)
    return off > DIGITS, not written, off > ROUNDING, len(f"{written:.3g}"), off


def _outputs_fit(f: Function, yours: Arrays, wrong: Arrays) -> bool:
    """Whether a mistake explains the forward pass."""
    names = [n for n in yours if n.split("/")[1] in f.outputs]
    return all(n in wrong and close(yours[n], wrong[n], EXACT) for n in names)


def distance(yours: Arrays, wrong: Arrays) -> float:
    """The largest difference of two sets of results, relative to the largest entry of each.

    Infinite where they have other shapes, or numbers and none in the same entry.
    """
    found = [0.0 if wrong else np.inf]
    for name, b in wrong.items():
        a = yours.get(name)
        if a is None or a.shape != b.shape or (np.isfinite(a) != np.isfinite(b)).any():
            return np.inf
        numbers = np.isfinite(b)
        off, scale = np.abs(a[numbers] - b[numbers]), np.abs(b[numbers])
        found.append(off.max(initial=0.0) / scale.max(initial=1e-300))
    return float(max(found))
