"""Mistakes in the way of calculating, whatever is calculated: state, types.

`compare` has seen what differs from call to call. Here it gets its name, and here is decided
whether the name accounts for the results, too: one of two mistakes is never named alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.catalogue import Arrays, Function
from numpyvae.exercises.compare import EXACT, Fault, close
from numpyvae.exercises.sandbox import Outcome
from numpyvae.numerics import Array

__all__ = ["HABITS", "Habit", "find", "results_of"]

FIRST = "0/"  # the results of the first place, which no call before can have spoilt


class Habit(NamedTuple):
    """A way of calculating that is wrong."""

    kind: str
    says: str
    asks: str
    explained: bool  # whether the results are right, or wrong by nothing but this
    place: str | None  # else, where another mistake would show: "0/", "" for everywhere


HABITS = {  # kind -> says, asks
    "accumulates": (
        "gradients are added to those of the call before: start from zero in every call",
        "What is left in your arrays from the last call?",
    ),
    "stale cache": (
        "an earlier or later forward pass is used in place of the cache that backward is given",
        "If forward runs twice before backward does, which of the two does your backward use?",
    ),
    "changes its cache": (
        "backward changes its cache in place: a second call with it must give the same",
        "Which of your lines write into an array that came out of the cache?",
    ),
    "changes an argument": (
        "an argument is changed in place: it belongs to whoever handed it over",
        "Which of your lines (+=, -=, *=, [...] =) write into an array that you were given?",
    ),
    "not deterministic": (
        "new random numbers are drawn in backward: it must use the noise of its forward pass",
        "Of which sample is this the gradient: the one that forward drew?",
    ),
    "float32": (
        "results pass through float32, which keeps 7 digits: calculate in float64 throughout",
        "Which of your arrays is not float64? Print its dtype.",
    ),
    "integer": (
        "results are written into an array of integers, which cuts off the digits after the point",
        "Which of your arrays has an integer dtype? np.zeros(n, int) and np.zeros_like(labels) do.",
    ),
    "weight updated before use": (
        "W is updated before dx is calculated: dx needs the W of the forward pass",
        "Which W did y depend on, the old or the new one?",
    ),
}  # fmt: skip


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
    f: Function, yours: Arrays, right: Arrays, faults: Sequence[Fault], outcome: Outcome
) -> Habit | None:
    """The habit behind a function's faults, if there is one."""
    kinds = {fault.kind for fault in faults}
    first_right = _right(yours, right, FIRST)
    if "accumulates" in kinds:
        return _habit("accumulates", first_right, FIRST)
    if "changes an argument" in kinds:
        if _updated_before_use(f, yours, right, outcome):
            others_right = _right(yours, right, FIRST, apart_from=("0/dx",))
            return _habit("weight updated before use", others_right, None)
        return _habit("changes an argument", kinds <= HABITS.keys(), "")
    if "not deterministic" in kinds:
        random = [n for n in yours if not _repeats(f, n, outcome)]
        return _habit("not deterministic", _right(yours, right, FIRST, random), None)
    for kind in ("changes its cache", "stale cache"):
        if kind in kinds:
            return _habit(kind, first_right, FIRST)
    return _type(yours, right, kinds)


def _habit(kind: str, explained: bool, place: str | None) -> Habit:
    return Habit(kind, *HABITS[kind], explained, place)


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


def _updated_before_use(f: Function, yours: Arrays, right: Arrays, outcome: Outcome) -> bool:
    """Whether W has changed, and dx is dy W^T with the W that stands in its place afterwards."""
    start, dx = "dense/0/after", yours.get("0/dx")
    W, dy = (outcome.arrays.get(f"{start} backward/{name}") for name in ("W", "dy"))
    old = outcome.arrays.get(f"{start}/W")
    if f.name != "dense" or dx is None or W is None or dy is None or old is None:
        return False
    if W.ndim != 2 or dy.ndim != 2 or W.shape[1] != dy.shape[1] or close(W, old, 1e-12):
        return False
    return close(dx, dy @ W.T, EXACT) and not close(dx, right["0/dx"], EXACT)


def _type(yours: Arrays, right: Arrays, kinds: set[str]) -> Habit | None:
    """Results in float32, or in integers, and otherwise right."""
    if yours.keys() != right.keys():
        return None
    whole = [n for n, a in yours.items() if a.dtype.kind in "iu"]
    if whole and kinds <= {"type", "value", "inexact"}:
        cut = all(np.array_equal(yours[n], right[n].astype(yours[n].dtype)) for n in whole)
        return _habit("integer", True, None) if cut and _right(yours, right, "", whole) else None
    if kinds <= {"type", "inexact"} and _right(yours, right, ""):
        coarse = [a for n, a in yours.items() if not close(a, right[n], 1e-9)]
        if coarse and all(_is_float32(a) for a in coarse):
            return _habit("float32", True, None)
    return None


def _is_float32(a: Array) -> bool:
    """Whether float32 holds all of it: seven digits, whatever the dtype says."""
    return bool(np.array_equal(a, a.astype(np.float32).astype(a.dtype)))
