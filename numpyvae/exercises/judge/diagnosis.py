"""Which mistake is it? A mistake is named only if it explains the results, to 1e-6.

Four questions, in this order; the first that explains all of a function's results answers.

1. Is it the way of calculating: something kept or changed from call to call? (`habits`)
2. Are the results those of the solution with one mistake made in it, or with two?
3. Are two results exchanged, or is every wrong one the right one times a constant?
4. Is every wrong gradient a sum of the terms it can contain, with other coefficients?
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.judge import habits, reference
from numpyvae.exercises.judge.catalogue import (
    Arrays,
    Exercise,
    Function,
    draw_points,
)
from numpyvae.exercises.judge.compare import EXACT, Fault, close
from numpyvae.exercises.judge.habits import HABITS, results_of
from numpyvae.exercises.judge.reference import (
    DIGITS,
    Results,
    distance,
    fitted_mistakes,
    pairs_of_mistakes,
    single_mistakes,
)
from numpyvae.exercises.judge.terms import coefficients
from numpyvae.exercises.sandbox.runner import Outcome
from numpyvae.gradient_check.diagnosis import Names

__all__ = ["Diagnosis", "name_mistakes"]

LINE = re.compile(r" \(line \d+ of [^()]*\)")


class Diagnosis(NamedTuple):
    """A mistake with its name."""

    name: str
    says: str
    asks: str
    function: str


def name_mistakes(
    exercise: Exercise, outcome: Outcome, seed: int | str, faults: Sequence[Fault]
) -> list[Diagnosis]:
    """The names of what is wrong, function by function; none for what is not explained exactly."""
    right = reference.right(exercise, seed)
    named: list[Diagnosis] = []
    for f in exercise.functions:
        own = [fault for fault in faults if fault.function in f.names]
        if own and not any(fault.kind == "not done" for fault in own):
            named += _name(exercise, f, outcome, right, seed, own)
    return named


def _name(
    exercise: Exercise,
    f: Function,
    outcome: Outcome,
    right: Outcome,
    seed: int | str,
    faults: Sequence[Fault],
) -> list[Diagnosis]:
    results, true = results_of(f, outcome), results_of(f, right)
    points = draw_points(exercise, seed)
    habit = habits.find(exercise, f, results, true, points, faults, outcome)
    given = Results(results, _errors(f, outcome))
    if habit is None:
        return _by_results(exercise, f, given, true, seed, "")
    if habit.kind == "noise not used":  # some mistakes give what other noise would give, too
        mistakes = _by_mistakes(exercise, f, given, true, seed, "", False)
        if mistakes:
            return mistakes
    kind, says, asks, explained, place, kinds = habit
    function = next((t.function for t in faults if t.kind in kinds), f.names[-1])
    named = Diagnosis(kind, says, asks, function)
    if explained:
        return [named]
    # The habit does not account for wrong results at this place: both have a name, or neither.
    others = [] if place is None else _by_results(exercise, f, given, true, seed, place, True)
    return [named, *(other for other in others if other.name != kind)] if others else []


def _errors(f: Function, outcome: Outcome) -> frozenset[str]:
    """What a function raised, without the student's lines."""
    notes = (note for note in outcome.notes if note.function in f.names)
    return frozenset(LINE.sub("", note.text) for note in notes if note.kind == "error")


def _by_results(
    exercise: Exercise,
    f: Function,
    results: Results,
    true: Arrays,
    seed: int | str,
    place: str,
    seen: bool = False,
) -> list[Diagnosis]:
    """Questions 2 to 4: what the results say, at one place ("0/") or at all ("").

    `seen`: a habit has been seen, and may be part of the explanation.
    """
    yours, right = (
        {n: a for n, a in arrays.items() if n.startswith(place)}
        for arrays in (results.arrays, true)
    )
    given = results._replace(arrays=yours)
    made = _by_mistakes(exercise, f, given, right, seed, place, seen)
    found = made or _by_exchange(f, yours, right) or _by_constants(exercise, f, yours, right)
    return found or _by_terms(exercise, f, results.arrays, true, seed)


def _by_mistakes(
    exercise: Exercise,
    f: Function,
    yours: Results,
    right: Arrays,
    seed: int | str,
    place: str,
    seen: bool,
) -> list[Diagnosis]:
    """Question 2: the one mistake, or the two, with which the solution gives these results.

    If one leaves digits over that the grader sees, too, two may leave none.
    """
    rough: list[Diagnosis] = []
    for made in (single_mistakes, partial(fitted_mistakes, yours=yours.arrays), pairs_of_mistakes):
        for mistakes, wrong in made(exercise, f, seed):
            overflows = any(mistake.overflows for mistake in mistakes)
            allowed = seen or not any(mistake.name in HABITS for mistake in mistakes)
            there = {name: a for name, a in wrong.arrays.items() if name.startswith(place)}
            if allowed and _same(yours, wrong._replace(arrays=there), right, overflows):
                named = [Diagnosis(*mistake[:3], mistake.function) for mistake in mistakes]
                if distance(yours.arrays, there) < DIGITS:
                    return named
                rough = rough or named
    return rough


def _same(yours: Results, wrong: Results, right: Arrays, overflows: bool) -> bool:
    """Whether a mistake explains all results, to 1e-6, and at least one of the wrong ones.

    What did not come back is explained only by the same error. Infinities and nan say little: they
    are evidence only for a mistake whose point they are, and then they must be the same entries.
    Whether one is inf or nan depends on how a sum is written.
    """
    if yours.arrays.keys() != wrong.arrays.keys():
        return False
    lost = yours.arrays.keys() != right.keys()
    explains = lost and bool(yours.errors) and yours.errors == wrong.errors
    for name, a in yours.arrays.items():
        b, r = wrong.arrays[name], right[name]
        if not close(a, b, EXACT) or (~np.isfinite(a) & np.isfinite(b)).any():
            return False
        if r.shape != b.shape:
            explains = True
            continue
        if overflows and (np.isfinite(a) != np.isfinite(b)).any():
            return False
        differs = ~(np.abs(b - r) <= EXACT * np.abs(r).max(initial=0.0))
        counts = np.isfinite(a) == np.isfinite(b) if overflows else np.isfinite(a) & np.isfinite(b)
        explains = explains or bool((differs & counts).any())
    return explains or (not lost and _explains_digits(yours.arrays, wrong.arrays, right))


def _explains_digits(yours: Arrays, wrong: Arrays, right: Arrays) -> bool:
    """Whether a mistake explains all differences below 1e-6, to a thousandth of their size."""
    seen = False
    for name, r in right.items():
        a, b = yours[name], wrong[name]
        if a.shape != r.shape or b.shape != r.shape:
            return False
        off, left, scale = (float(np.abs(d).max(initial=0.0)) for d in (a - r, a - b, r))
        if not left <= max(1e-3 * off, 1e-13 * scale):
            return False
        seen = seen or off > 1e-13 * scale
    return seen


def _by_exchange(f: Function, yours: Arrays, right: Arrays) -> list[Diagnosis]:
    """Two results are right, but in the wrong order."""
    if yours.keys() != right.keys():
        return []
    wrong = [n for n in right if not close(yours[n], right[n], EXACT)]
    names = sorted({n.split("/", 1)[1] for n in wrong})
    if len(names) != 2:
        return []
    a, b = names
    other = {
        n: n.replace(f"/{a}", f"/{b}") if n.endswith(f"/{a}") else n.replace(f"/{b}", f"/{a}")
        for n in wrong
    }
    if not all(other[n] in right and close(yours[n], right[other[n]], EXACT) for n in wrong):
        return []
    order = ", ".join(f.gradients or f.outputs)
    says = f"{a} and {b} are returned in the wrong order: the order is {order}"
    return [
        Diagnosis(
            "results exchanged", says, f"In which order must {order} be returned?", f.names[-1]
        )
    ]


def _by_constants(exercise: Exercise, f: Function, yours: Arrays, right: Arrays) -> list[Diagnosis]:
    """Every wrong result is the right one times one constant, the same at all places."""
    if yours.keys() != right.keys():
        return []
    ratios: dict[str, float] = {}
    for name, truth in right.items():
        a = yours[name]
        if a.shape != truth.shape or not np.isfinite(a).all():
            return []
        ratio = float((a * truth).sum()) / float((truth * truth).sum()) if truth.any() else 1.0
        if not close(a, ratio * truth, EXACT) or (ratio == 0.0 and truth.any()):
            return []
        result = name.split("/", 1)[1]
        if abs(ratios.setdefault(result, ratio) / ratio - 1.0) > EXACT:
            return []
    names = Names(exercise.sizes)
    off = {r: names.short(c) for r, c in ratios.items() if abs(c - 1.0) > EXACT}
    if not all(off.values()):
        return []
    return [
        Diagnosis(
            f"{result} times {factor}",
            f"{result} is the right one times {factor}",
            f"Which factor {factor} could be added or missing on the way to {result}?",
            f.names[-1] if result.split("/")[0] in f.gradients else f.name,
        )
        for result, factor in off.items()
    ]


def _by_terms(
    exercise: Exercise, f: Function, yours: Arrays, right: Arrays, seed: int | str
) -> list[Diagnosis]:
    """Every wrong gradient is a sum of the terms it may contain, with other coefficients."""
    fits = all(a.shape == yours[n].shape for n, a in right.items() if n in yours)
    finite = all(np.isfinite(a).all() for a in yours.values())
    if exercise.folder or not f.gradients or yours.keys() != right.keys() or not fits or not finite:
        return []
    points = draw_points(exercise, seed)
    named = []
    for gradient, fit in coefficients(f.name, points, yours, right).items():
        if fit is None:
            return []
        named += [
            Diagnosis(
                f"{gradient}: {c:g} {term}",
                f"{gradient} contains {c:g} times {term}, where {expected:g} is right",
                f"How often does the term {term} belong in {gradient}, and with which sign?",
                f.names[-1],
            )
            for term, c, expected in fit
        ]
    return named
