"""Which mistake is it? A name is given only to what is explained exactly, to 1e-6.

Four questions, in this order; the first that explains all of a function's results answers.

1. Is something kept or changed from call to call? (`compare` has seen it.)
2. Are the results those of the solution with one mistake made in it, or with two?
3. Is every wrong result the right one times a constant?
4. Is every wrong gradient a sum of the terms it can contain, with other coefficients?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from numpyvae.exercises import reference
from numpyvae.exercises.catalogue import BETA, Arrays, D, Exercise, Function, L, N, draw_points
from numpyvae.exercises.compare import EXACT, Fault, close
from numpyvae.exercises.sandbox import Outcome
from numpyvae.exercises.terms import coefficients

__all__ = ["Named", "name_mistakes"]


class Named(NamedTuple):
    """A mistake with its name."""

    name: str
    says: str
    asks: str
    function: str


# What is wrong with the way of calculating, whatever is calculated: kind -> says, asks.
HABITS = {
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
    "numerical": (
        "this is a numerical derivative: the exercise asks for the formula",
        "Which derivative does each term of the forward formula have, on paper?",
    ),
    "float32": (
        "results pass through float32, which keeps 7 digits: calculate in float64 throughout",
        "Which of your arrays is not float64? Print its dtype.",
    ),
    "integer": (
        "results are written into an array of integers, which cuts off the digits after the point",
        "Which of your arrays has an integer dtype? np.zeros(n, int) and np.zeros_like(labels) do.",
    ),
}  # fmt: skip


def name_mistakes(
    exercise: Exercise, outcome: Outcome, seed: int | str, faults: Sequence[Fault]
) -> list[Named]:
    """The names of what is wrong, function by function; none for what is not explained exactly."""
    right = reference.right(exercise.number, seed)
    named: list[Named] = []
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
) -> list[Named]:
    results = _results(f, outcome)
    true = _results(f, right)
    habit = _habit(f, results, true, faults, outcome)
    if habit and (habit.name != "changes an argument" or not _wrong_values(f, faults)):
        return [habit]
    named = _by_results(exercise, f, results, true, seed)
    return [habit, *named] if habit and named else named


def _wrong_values(f: Function, faults: Sequence[Fault]) -> bool:
    """Whether results are wrong, too, beside what is changed from call to call."""
    return any(fault.kind not in HABITS for fault in faults if fault.function in f.names)


def _by_results(
    exercise: Exercise, f: Function, results: Arrays, true: Arrays, seed: int | str
) -> list[Named]:
    """Questions 2 to 4: what the results alone say."""
    for mistake, wrong in reference.wrong(exercise.number, seed):
        if mistake.function in f.names and _same(results, _results(f, wrong), true):
            return [Named(*mistake[:3], mistake.function)]
    for pair, wrong in reference.pairs_of_mistakes(exercise.number, seed):
        if all(m.function in f.names for m in pair) and _same(results, _results(f, wrong), true):
            return [Named(*mistake[:3], mistake.function) for mistake in pair]
    return _by_constants(f, results, true) or _by_terms(exercise, f, results, true, seed)


def _results(f: Function, outcome: Outcome) -> Arrays:
    """What the first calls of a function gave: "0/dmean" -> array."""
    names = {*f.outputs, *f.gradients}
    return {
        f"{place}/{'/'.join(rest)}": array
        for name, array in outcome.arrays.items()
        for function, place, *rest in [name.split("/")]
        if function == f.name and rest[0] in names
    }


def _same(yours: Arrays, wrong: Arrays, right: Arrays) -> bool:
    """Whether a mistake explains all results, to 1e-6, and at least one of the wrong ones.

    Where the mistake overflows, another way to make it may not: there is nothing to compare.
    """
    if yours.keys() != wrong.keys():
        return False
    explains = yours.keys() != right.keys()
    for name, a in yours.items():
        b, r = wrong[name], right.get(name)
        if not close(a, b, EXACT) or (~np.isfinite(a) & np.isfinite(b)).any():
            return False
        if r is None or r.shape != b.shape:
            explains = True
        else:
            comparable = np.isfinite(a) == np.isfinite(b)
            differs = ~(np.abs(b - r) <= EXACT * np.abs(r).max(initial=0.0))
            explains = explains or bool((differs & comparable).any())
    return explains


def _habit(
    f: Function, yours: Arrays, right: Arrays, faults: Sequence[Fault], outcome: Outcome
) -> Named | None:
    """What `compare` saw of the way of calculating, in the order in which it explains the rest."""
    kinds = [fault.kind for fault in faults]
    function = next((t.function for t in faults if t.kind in HABITS), faults[0].function)
    if "changes an argument" in kinds and _updated_before_use(f, yours, outcome):
        return Named(
            "weight updated before use",
            "W is updated before dx is calculated: dx needs the W of the forward pass",
            "Which W did y depend on, the old or the new one?",
            function,
        )
    for kind in (
        "accumulates",
        "changes an argument",
        "not deterministic",
        "changes its cache",
        "stale cache",
    ):
        if kind in kinds:
            return Named(kind, *HABITS[kind], function)
    if "numerical" in kinds:
        return Named("numerical", *HABITS["numerical"], function)
    kept = {name: a for name, a in yours.items() if a.dtype.kind in "biu"}
    if kept and all(
        np.array_equal(a, right[name].astype(a.dtype)) for name, a in kept.items()
        if name in right and a.shape == right[name].shape
    ) and set(kinds) <= {"type", "value"}:  # fmt: skip
        return Named("integer", *HABITS["integer"], function)
    if set(kinds) <= {"type", "inexact"} and yours.keys() == right.keys():
        halves = any(a.dtype.itemsize < 8 for a in yours.values())
        errors = max(_error(a, right[name]) for name, a in yours.items())
        kind = "float32" if halves or errors > 1e-8 else "numerical"
        return Named(kind, *HABITS[kind], function)
    return None


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1e-300)


def _updated_before_use(f: Function, yours: Arrays, outcome: Outcome) -> bool:
    """Whether dx is dy W^T with the W that stands in the caller's array afterwards."""
    W, dy = (outcome.arrays.get(f"dense/0/after backward/{name}") for name in ("W", "dy"))
    if f.name != "dense" or "0/dx" not in yours or W is None or dy is None:
        return False
    return (
        W.ndim == dy.ndim == 2
        and W.shape[1] == dy.shape[1]
        and close(yours["0/dx"], dy @ W.T, EXACT)
    )


def _constants() -> Iterator[tuple[float, str]]:
    """Numbers that a gradient may be off by, and what they are."""
    sizes = [
        ("2", 2.0),
        ("N", 1.0 * N),
        ("D", 1.0 * D),
        ("L", 1.0 * L),
        ("beta", BETA),
        ("N^2", 1.0 * N * N),
        ("4", 4.0),
    ]
    yield -1.0, "-1"
    for sign, minus in ((1.0, ""), (-1.0, "-")):
        for text, value in sizes:
            yield sign * value, f"{minus}{text}"
            yield sign / value, f"{minus}1/{text}"


def _by_constants(f: Function, yours: Arrays, right: Arrays) -> list[Named]:
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
    off = {result: c for result, c in ratios.items() if abs(c - 1.0) > EXACT}
    return [
        Named(
            f"{result} times {_constant(c)}",
            f"{result} is the right one times {_constant(c)}",
            f"Which factor {_constant(c)} could come in, or be left out, on the way to {result}?",
            f.names[-1] if result.split("/")[0] in f.gradients else f.name,
        )
        for result, c in off.items()
    ]


def _constant(c: float) -> str:
    return next((t for v, t in _constants() if abs(c / v - 1.0) < EXACT), f"{c:.6g}")


def _by_terms(
    exercise: Exercise, f: Function, yours: Arrays, right: Arrays, seed: int | str
) -> list[Named]:
    """Every wrong gradient is a sum of the terms it may contain, with other coefficients."""
    if not f.gradients or yours.keys() != right.keys():
        return []
    points = draw_points(exercise, seed)
    named = []
    for gradient, fit in coefficients(f.name, points, yours, right).items():
        if fit is None:
            return []
        named += [
            Named(
                f"{gradient}: {c:.4g} {term}",
                f"{gradient} contains {c:.6g} times {term}, where {expected:g} is right",
                f"How often does the term {term} belong into {gradient}, and with which sign?",
                f.names[-1],
            )
            for term, c, expected in fit
        ]
    return named
