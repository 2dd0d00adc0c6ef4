"""Mistakes of method, in any function: state, types, shapes.

`compare` has found what differs between calls. Here it is named, if the name explains all results:
one of two mistakes is never named alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import Arrays, Exercise, Function
from numpyvae.exercises.judge.compare import EXACT, Fault, close
from numpyvae.exercises.judge.own_noise import drawn_in_backward, own_noise
from numpyvae.exercises.sandbox.runner import Outcome
from numpyvae.numerics import Array

__all__ = ["HABITS", "Habit", "find", "results_of"]

BROADCAST = "ValueError: operands could not be broadcast together with shapes "
SHAPE = re.compile(r"\((?:1,)?(\d[\d,]*)\)")  # a row of numbers, (1, N), lines up as (N,) does
FIRST = "0/"  # the results of the first place, which no call before can have spoilt


class Habit(NamedTuple):
    """A mistake of method."""

    kind: str
    says: str
    asks: str
    explained: bool  # whether the results are right, or wrong by nothing but this
    place: str | None  # else, where another mistake would show: "0/", "" for everywhere
    seen_as: tuple[str, ...]  # the kinds of fault it is seen by, the first of which is its place


HABITS = {  # kind -> says, asks
    "accumulates": (
        "gradients are added to those of the previous call: start from zero in every call",
        "What is left in your arrays from the last call?",
    ),
    "stale cache": (
        "backward uses an earlier or later forward pass instead of the cache it is given",
        "If forward runs twice before backward, which of the two runs does your backward use?",
    ),
    "changes its cache": (
        "backward changes its cache in place: a second call with it must give the same result",
        "Which of your lines write into an array from the cache?",
    ),
    "changes an argument": (
        "an argument is changed in place: the caller still needs it as it was",
        "Which of your lines (+=, -=, *=, [...] =) write into an array that you were given?",
    ),
    "not deterministic": (
        "new random numbers are drawn in backward: it must use the noise of its forward pass",
        "Which sample is this the gradient of: the one that forward used?",
    ),
    "noise not used": (
        "the noise passed in is not used: use the argument",
        "Who draws the noise: your function, or its caller?",
    ),
    "kept from call to call": (
        "something is kept from one call to the next, for example in a global variable: a call may "
        "use only its arguments",
        "What would your function return if it were called twice for the same step?",
    ),
    "differs from call to call": (
        "two equal calls give different results: they must depend only on the arguments, not "
        "on random numbers or on earlier calls",
        "What does your function use besides its arguments: random numbers, a global variable?",
    ),
    "float32": (
        "results pass through float32, which keeps 7 digits: compute in float64 throughout",
        "Which of your arrays is not float64? Print its dtype.",
    ),
    "integer": (
        "results are written into an array of integers, which cuts off the digits after the point",
        "Which of your arrays has an integer dtype? np.zeros(n, int) and np.zeros_like(labels) do.",
    ),
    "not broadcast": (
        "{what} has the shape {one} and meets an array {many}: to multiply row by row, "
        "make it a column, {what}[:, None], of shape {column}",
        "NumPy aligns the last axes. Which shape must {what} have to multiply each row of {many}?",
    ),
    "weight updated before use": (
        "W is updated before the gradient goes back through it: dx needs the W of the forward pass",
        "Which W does y depend on, the old one or the new one?",
    ),
}


def results_of(f: Function, outcome: Outcome) -> Arrays:
    """What the first calls of a function gave: "0/dmean" -> array."""
    names = {*f.outputs, *f.gradients}
    return {
        f"{place}/{'/'.join(rest)}": array
        for name, array in outcome.arrays.items()
        for function, place, *rest in [name.split("/")]
        if function == f.name and rest[0] in names
    }


def find(
    exercise: Exercise,
    f: Function,
    yours: Arrays,
    right: Arrays,
    points: Arrays,
    faults: Sequence[Fault],
    outcome: Outcome,
) -> Habit | None:
    """The habit behind a function's faults, if there is one."""
    kinds = {fault.kind for fault in faults}
    first_right = _right(yours, right, FIRST)
    if (column := _not_broadcast(f, yours, right, points, faults)) is not None:
        return column
    if "error" in kinds and _right(yours, right, "") and not _later(f, outcome):
        return _habit("stale cache", True, None, "error")
    if "accumulates" in kinds:
        return _habit("accumulates", first_right, FIRST)
    if "changes an argument" in kinds:
        weights = _weights_left(f, points, outcome) if f.gradients else {}
        if weights and not first_right:
            updated = reference.at_first_place(exercise, f, points, weights)
            if _right(yours, updated, FIRST):
                return _habit("weight updated before use", True, None, "changes an argument")
        return _habit("changes an argument", kinds <= HABITS.keys(), "")
    if own_noise(exercise, f, points, yours, right, outcome):
        return _habit("noise not used", True, None, "value", "not deterministic")
    differs = {"not deterministic", "changes its cache"}
    if "not deterministic" in kinds or any(
        t.kind in differs and t.function == f.name for t in faults
    ):
        return _from_call_to_call(exercise, f, yours, right, points, outcome)
    if "changes its cache" in kinds and first_right and not _right(yours, right, ""):
        return _habit("kept from call to call", True, None, "changes its cache")
    for kind in ("changes its cache", "stale cache"):
        if kind in kinds:
            return _habit(kind, first_right, FIRST)
    return _type(yours, right, kinds)


def _habit(kind: str, explained: bool, place: str | None, *seen_as: str) -> Habit:
    return Habit(kind, *HABITS[kind], explained, place, seen_as or (kind,))


def _later(f: Function, outcome: Outcome) -> bool:
    """Whether backward gave anything after another forward pass, or never had to."""
    return not f.gradients or any(n.startswith(f"{f.name}/0/later/") for n in outcome.arrays)


def _not_broadcast(
    f: Function, yours: Arrays, right: Arrays, points: Arrays, faults: Sequence[Fault]
) -> Habit | None:
    """One number for each example met a row for each, and all that came before is right."""
    text = next((t.text for t in faults if t.text.startswith(BROADCAST)), "")
    shapes = {tuple(map(int, re.findall(r"\d+", shape))) for shape in SHAPE.findall(text)}
    vectors, rows = ([shape for shape in shapes if len(shape) == k] for k in (1, 2))
    outputs = {n: a for n, a in right.items() if n.split("/")[1] in f.outputs and f.gradients}
    if len(shapes) != 2 or not rows or not vectors or vectors[0][0] != rows[0][0]:
        return None
    start = f"{f.name}/0/"
    given = {n[len(start) :]: a.shape for n, a in points.items() if n.startswith(start)}
    whose = [n for n, shape in given.items() if shape == vectors[0]]
    if len(whose) != 1 or not _right(yours, outputs, ""):
        return None
    one, many = vectors[0], rows[0]
    words = {"one": one, "many": many, "column": (*one, 1), "what": whose[0]}
    says, asks = (text.format(**words) for text in HABITS["not broadcast"])
    return Habit("not broadcast", says, asks, True, None, ("error",))


def _right(yours: Arrays, right: Arrays, place: str, apart_from: Sequence[str] = ()) -> bool:
    """Whether all results at a place are there and right to 1e-6."""
    names = [n for n in right if n.startswith(place) and n not in apart_from]
    return all(n in yours and close(yours[n], right[n], EXACT) for n in names)


def _repeats(f: Function, name: str, outcome: Outcome) -> bool:
    """Whether a second call gave the same result."""
    place, result = name.split("/", 1)
    again = outcome.arrays.get(f"{f.name}/{place}/again/{result}")
    first = outcome.arrays[f"{f.name}/{name}"]
    return again is None or close(again, first, 1e-12)


def _weights_left(f: Function, points: Arrays, outcome: Outcome) -> Arrays:
    """The weights that backward has changed; none if it has changed anything else."""
    start = f"{f.name}/0/"
    given = {n[len(start) :]: a for n, a in points.items() if n.startswith(start)}
    left = {n: outcome.arrays.get(f"{start}after backward/{n}", a) for n, a in given.items()}
    changed = {n: a for n, a in left.items() if not np.array_equal(a, given[n])}
    fits = all(n.endswith(("W", "b")) and a.shape == given[n].shape for n, a in changed.items())
    return changed if fits else {}


def _from_call_to_call(
    exercise: Exercise,
    f: Function,
    yours: Arrays,
    right: Arrays,
    points: Arrays,
    outcome: Outcome,
) -> Habit:
    """Two equal calls differ. A forward pass that does is all there is to say of its backward.

    Where the very first call is right, something is kept. Otherwise it may be kept or drawn, and
    only noise is recognised, by its size.
    """
    seen_as = ("not deterministic", "changes its cache")
    changing = [n for n in yours if not _repeats(f, n, outcome)]
    if _right(yours, right, FIRST):
        return _habit("kept from call to call", True, None, *seen_as)
    if any(n.split("/")[1] in f.outputs for n in changing):
        return _habit("differs from call to call", True, None, *seen_as)
    others_right = _right(yours, right, FIRST, changing)
    if drawn_in_backward(exercise, f, points, outcome):
        return _habit("not deterministic", others_right, None)
    return _habit("differs from call to call", others_right, None, *seen_as)


def _type(yours: Arrays, right: Arrays, kinds: set[str]) -> Habit | None:
    """Results in float32, or in integers, and otherwise right."""
    if yours.keys() != right.keys():
        return None
    whole = [n for n, a in yours.items() if a.dtype.kind in "iu"]
    if any(yours[n].any() for n in whole) and kinds <= {"type", "value", "inexact"}:
        cut = all(np.array_equal(yours[n], right[n].astype(yours[n].dtype)) for n in whole)
        return _habit("integer", True, None) if cut and _right(yours, right, "", whole) else None
    if kinds <= {"type", "inexact"} and _right(yours, right, ""):
        coarse = [a for n, a in yours.items() if not close(a, right[n], 1e-9)]
        single = any(a.dtype == np.float32 for a in coarse)
        if coarse and (single or all(_is_float32(a) for a in coarse)):
            return _habit("float32", True, None)
    return None


def _is_float32(a: Array) -> bool:
    """Whether float32 holds all of it: seven digits, whatever the dtype says."""
    return bool(np.array_equal(a, a.astype(np.float32).astype(a.dtype)))
