"""One student's results beside the right ones: what differs, and where it is worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.judge.catalogue import Exercise, Function
from numpyvae.exercises.sandbox.runner import Note, Outcome
from numpyvae.gradient_check.diagnosis import EXACT, close
from numpyvae.numerics import Array

__all__ = ["EXACT", "UNDONE", "Fault", "close", "faults_of", "looks_numerical"]

VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-9, 1e-13
"""Relative to the largest entry. A derived gradient is right to 1e-15, differences to 1e-10."""

UNDONE = ("not done", "missing")

BLOCKING = (*UNDONE, "error", "form", "absent")  # without a forward, no backward

FORWARD_CALLS = 16  # more than there are rows: a backward may call its forward row by row


class Fault(NamedTuple):
    """One thing that is wrong with one function."""

    function: str  # which of the functions to write
    kind: str  # "not done", "error", "form", "shape", "type", "value", ...
    text: str
    entry: str = ""  # "0/dlog_var[4, 1]": the place, the result and its worst entry


def faults_of(exercise: Exercise, outcome: Outcome, right: Outcome) -> list[Fault]:
    """All that is wrong, function by function."""
    faults: list[Fault] = []
    for f in exercise.functions:
        faults += _faults(f, f.name, outcome, right)
        if f.gradients:
            blocked = next(
                (t.kind for t in faults if t.function == f.name and t.kind in BLOCKING), ""
            )
            own = _faults(f, f.names[1], outcome, right)
            if blocked and all(fault.kind == "absent" for fault in own):
                own = [_untried(f, blocked in UNDONE)]
            faults += own
    return faults


def _untried(f: Function, undone: bool) -> Fault:
    """The backward of a forward that gave no cache."""
    if undone:
        text = f"needs the cache of {f.name}: write {f.name} first"
        return Fault(f.names[1], "not done", text)
    text = f"could not be tried: it needs the cache of {f.name} (above)"
    return Fault(f.names[1], "blocked", text)


def _faults(f: Function, name: str, outcome: Outcome, right: Outcome) -> list[Fault]:
    """What is wrong with f, or with its backward, whichever `name` is."""
    is_backward = name != f.name
    noted = [_fault_of_note(name, n) for n in outcome.notes if n.function in (name, "")]
    if noted and noted[0].kind in UNDONE:
        return noted[-1:] if noted[0].kind == "missing" else noted[:1]
    is_gradient = is_backward or f.is_gradient
    tolerance = GRADIENT_TOLERANCE if is_gradient else VALUE_TOLERANCE
    found = list(_compare(f, f.gradients if is_backward else f.outputs, tolerance, outcome, right))
    found += _state_faults(f, is_backward, outcome, right)
    return noted[:1] + [Fault(name, *rest) for rest in found if rest[0] != "absent" or not noted]


def _fault_of_note(function: str, note: Note) -> Fault:
    text = f"expected {note.text}" if note.kind == "form" else note.text
    return Fault(function, note.kind, text)


def _compare(
    f: Function, results: tuple[str, ...], tolerance: float, outcome: Outcome, right: Outcome
) -> Iterator[tuple[str, str, str]]:
    """The results of f, or of its backward, at every place: kind, text and entry of each fault."""
    for name, truth in right.arrays.items():
        function, place, result, *key = name.split("/", 3)
        if function != f.name or result not in results:
            continue
        yours = outcome.arrays.get(name)
        shown = "/".join([result, *key])
        if yours is None:
            yield "absent", f"{shown} did not come back: {outcome.end or 'no result'}", ""
        elif yours.shape != truth.shape:
            yield (
                "shape",
                f"{shown} has the shape {yours.shape}, expected {truth.shape}",
                f"{place}/{shown}",
            )
        elif truth.dtype.kind == "f" and (yours.dtype.kind in "biu" or yours.dtype.itemsize < 8):
            yield "type", f"{shown} has dtype {yours.dtype}, expected float64", ""
        else:
            yield from _compare_values(shown, place, yours, truth, tolerance)


def _compare_values(
    name: str, place: str, yours: Array, truth: Array, tolerance: float
) -> Iterator[tuple[str, str, str]]:
    scale = np.abs(truth).max(initial=0.0)
    with np.errstate(all="ignore"):
        error = np.atleast_1d(np.abs(np.subtract(yours, truth, dtype=np.float64)))
    wrong = ~(error <= tolerance * scale)
    if not wrong.any():
        return
    error[~np.isfinite(error)] = np.inf
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))[: truth.ndim]
    index = f"[{', '.join(map(str, worst))}]" if worst else ""
    small = error.max() <= EXACT * scale
    came, expected = _apart(yours[worst], truth[worst])
    text = f"{name}{index} is {came}, expected {expected}"
    if truth.ndim:
        text += f" ({int(wrong.sum())} of {truth.size} entries of {name} {truth.shape} differ)"
    if small:
        text += f": close, but not exact; the relative error is {error.max() / scale:.0e}"
    if place == "1":
        text += ", for the second, harder set of numbers"
    yield "inexact" if small else "value", text, f"{place}/{name}{index}"


def _apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers with six digits, or as many as tell them apart."""
    for digits in range(6, 18):
        texts = f"{a + 0.0:.{digits}g}", f"{b + 0.0:.{digits}g}"  # of -0.0, 0
        if texts[0] != texts[1]:
            break
    return texts


def _state_faults(
    f: Function, is_backward: bool, outcome: Outcome, right: Outcome
) -> Iterator[tuple[str, str, str]]:
    """What no function may do: keep state between calls, or change its arguments or cache."""
    arrays = outcome.arrays
    results = f.gradients if is_backward else f.outputs
    for name in right.arrays:
        function, place, kind, *rest = name.split("/", 3)
        if function != f.name or name not in arrays or not rest:
            continue
        start, result = f"{function}/{place}/", "/".join(rest)
        if kind == ("after backward" if is_backward else "after"):
            before = arrays.get(f"{start}after/{result}", right.arrays[name])
            before = before if is_backward else right.arrays[name]
            if not np.array_equal(arrays[name], before, equal_nan=True):
                yield "changes an argument", f"the argument {result} is changed in place", ""
        if rest[0].split("/")[0] in results and f"{start}{result}" in arrays:
            first, truth = arrays[f"{start}{result}"], right.arrays[f"{start}{result}"]
            if kind == "again":
                call = "with the same cache " if is_backward else ""
                yield from _compare_again(result, call, arrays[name], first, truth)
            if kind == "later":
                again = arrays.get(f"{start}again/{result}", first)
                elsewhere = right.arrays[f"{function}/0/{result}"] if place != "0" else None
                yield from _compare_later(result, arrays[name], again, first, truth, elsewhere)


def _compare_again(
    result: str, call: str, again: Array, first: Array, truth: Array
) -> Iterator[tuple[str, str, str]]:
    """The same call once more."""
    if close(again, first, 1e-12):
        return
    if close(again, 2.0 * first, 1e-9):
        yield "accumulates", f"a second call gives {result} twice as large", ""
    elif close(first, truth, EXACT):
        yield "changes its cache", f"a second call {call}does not give the same {result}", ""
    else:
        yield "not deterministic", f"two equal calls give a different {result}", ""


def _compare_later(
    result: str, later: Array, again: Array, first: Array, truth: Array, elsewhere: Array | None
) -> Iterator[tuple[str, str, str]]:
    """The same call after a forward pass at another place."""
    if close(again, first, 1e-12) and not close(later, first, 1e-12):
        text = f"after another forward pass the same cache gives a different {result}"
        yield "stale cache", text, ""
    elif (
        elsewhere is not None
        and not close(first, truth, EXACT)
        and _proportional(first, elsewhere)
        and not _proportional(truth, elsewhere)
    ):
        yield "stale cache", f"{result} comes from an earlier forward pass", ""


def _proportional(a: Array, b: Array) -> bool:
    """Whether a is b times a number: the gradient of the same pass, for another cotangent."""
    if a.shape != b.shape or not np.isfinite(a).all() or not a.any() or not b.any():
        return False
    return close(a, b * (float((a * b).sum()) / float((b * b).sum())), 1e-9)


def looks_numerical(exercise: Exercise, outcome: Outcome, faults: Sequence[Fault]) -> list[str]:
    """Signs that a gradient was not derived by hand: for the teacher to look at, no fault."""
    signs = []
    for f in exercise.functions:
        name = f.names[-1]
        seen = [
            a
            for n, a in outcome.arrays.items()
            if _belongs(n, f.name, "forward calls")
            if a.shape == (3,) and np.isfinite(a).all()
        ]
        calls, close_by, complex_ones = (int(n) for n in np.max([np.zeros(3), *seen], axis=0))
        if complex_ones:
            signs.append(
                f"{name} looks numerical, have a look: it calls forward with complex numbers"
            )
        elif close_by or calls > FORWARD_CALLS:
            moved = f", {close_by} of them very close to the previous call" if close_by else ""
            signs.append(f"{name} looks numerical, have a look: {calls} forward calls{moved}")
        elif (f.gradients or f.is_gradient) and any(
            fault.kind == "inexact" and fault.function == name for fault in faults
        ):
            signs.append(f"{name} looks numerical, have a look: it is close, but not exact")
    return signs


def _belongs(name: str, function: str, what: str) -> bool:
    return name.startswith(f"{function}/") and name.endswith(f"/{what}")
