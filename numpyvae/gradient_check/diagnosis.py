"""From a failed comparison to sentences: what is wrong where the fit is exact, else only where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .candidate import Candidate
from .comparison import FAIL, KINK, Check, Comparison, finding
from .patterns import Match, equal, factor_of, known_factor, name_factor, recognise
from .points import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["diagnose"]

SILENT = ", where f does not depend on them and yours is not zero"
STOPPED = ", where yours is zero and should not be"
UNITS = {  # what either means for the lines that several parameters share
    SILENT: ": inactive units, whose gradient must be stopped (the derivative of the activation?)",
    STOPPED: ": active units that count as inactive",
}


def diagnose(check: Check, candidate: Candidate, comparison: Comparison) -> list[dict[str, Any]]:
    """All findings about a failed check, the exact patterns first."""
    blocks = [b for b in check.point.blocks if np.any(comparison.status[b.indices] == FAIL)]
    found = [
        f
        for name, array in candidate.misfits.items()
        for f in _misfit(check, comparison, name, array)
    ]
    exact: list[tuple[Block, Match]] = []
    places: list[dict[str, Any]] = []
    for block in blocks:
        y, a = block.take(comparison.yours), block.take(comparison.numeric)
        if block.name in candidate.problems or not np.all(np.isfinite(a)):
            continue
        match = _match(check, comparison, block) if np.all(np.isfinite(y)) else None
        if match:
            exact.append((block, match))
        else:
            places += _where(check, comparison, block)
    return found + _grouped(check, comparison, exact) + _same_places(places)


def _match(check: Check, comparison: Comparison, block: Block) -> Match | None:
    y, a = block.take(comparison.yours), block.take(comparison.numeric)
    kinks = block.take(comparison.status) == KINK
    y = np.where(kinks, a, y)  # where f has a kink, neither value counts
    others = {
        b.name: b.take(comparison.numeric) for b in check.point.blocks if b.name != block.name
    }
    match = recognise(
        y, a, block.take(check.point.vector), others, _slack(comparison, block.indices)
    )
    if match is None and y.size == 1 and np.all(a):
        ratio = float(y.reshape(-1)[0] / a.reshape(-1)[0])
        if known_factor(check, ratio):  # one number alone fits any other: only a known ratio counts
            match = Match("factor", "is the right one times", ratio)
    return match


def _slack(comparison: Comparison, indices: NDArray[np.intp]) -> float:
    bound = comparison.bound[indices]
    return 2.0 * float(np.max(bound[np.isfinite(bound)], initial=0.0))


def _grouped(
    check: Check, comparison: Comparison, exact: list[tuple[Block, Match]]
) -> list[dict[str, Any]]:
    """One sentence for all parameters with the same pattern and number."""
    groups: list[tuple[Match, list[str]]] = []
    for block, match in exact:
        for known, names in groups:
            if _alike(known, match):
                names.append(block.name)
                break
        else:
            groups.append((match, [block.name]))
    live = [b.name for b in check.point.blocks if np.any(np.abs(comparison.numeric[b.indices]) > 0)]
    return [
        _sentence(check, match, names, len(names) > 1 and set(names) >= set(live))
        for match, names in groups
    ]


def _alike(one: Match, other: Match) -> bool:
    a, b = one.value or 0.0, other.value or 0.0
    same = (one.pattern, one.text) == (other.pattern, other.text)
    return same and abs(a - b) <= 2e-6 * abs(a)


def _sentence(check: Check, match: Match, names: list[str], whole: bool) -> dict[str, Any]:
    who = "the whole gradient" if whole else ", ".join(names)
    number = ""
    if match.value is not None:
        named = match.pattern == "factor"
        number = f" {name_factor(check, match.value) if named else f'{match.value:.8g}'}"
    return finding(match.pattern, names, f"{who}: yours {match.text}{number}.", match.value)


def _misfit(check: Check, comparison: Comparison, name: str, array: Array) -> list[dict[str, Any]]:
    """A gradient of the wrong shape: do its numbers fit all the same?"""
    block = next((b for b in check.point.blocks if b.name == name), None)
    if block is None:
        return []
    a, slack = block.take(comparison.numeric), _slack(comparison, block.indices)
    if array.size == a.size:
        for text, p in (
            ("has the right numbers, and needs the shape", a),
            ("is the transpose of the right one", a.T),
        ):
            if equal(array.reshape(-1), p.reshape(-1), slack):
                tail = f" {a.shape}" if p is a else ""
                return [finding("shape", [name], f"{name}: yours {text}{tail}.")]
    for axis in range(array.ndim):
        total = array.sum(axis=axis)
        if total.shape == a.shape and equal(total, a, slack):
            return [
                finding(
                    "not summed", [name], f"{name}: yours must still be summed over axis {axis}."
                )
            ]
    return []


def _where(check: Check, comparison: Comparison, block: Block) -> list[dict[str, Any]]:
    """Wrong rows, columns or entries of a parameter, if they are a part of it."""
    wrong = block.take(comparison.status) == FAIL
    if wrong.ndim == 0 or wrong.all():
        return []
    best: tuple[int, int, NDArray[np.intp]] | None = None
    for axis in range(wrong.ndim):
        lines = np.flatnonzero(wrong.any(axis=tuple(k for k in range(wrong.ndim) if k != axis)))
        if lines.size < wrong.shape[axis] and (
            best is None or lines.size / wrong.shape[axis] < best[0] / best[1]
        ):
            best = (lines.size, wrong.shape[axis], lines)
            best_axis = axis
    if best is None:
        return []
    lines = best[2]
    kind = (
        "entr"
        if wrong.ndim == 1
        else ("row", "column")[best_axis]
        if wrong.ndim == 2
        else f"axis {best_axis}, slice"
    )
    kind += ("y" if kind == "entr" else "") if lines.size == 1 else "ies" if kind == "entr" else "s"
    tail = _what_there(check, comparison, block, lines, best_axis)
    text = f"{block.name}: wrong only in {kind} {_list(lines)} (of {best[1]}){tail}."
    result = finding("only some", [block.name], text)
    result["axis"], result["lines"] = int(best_axis), [int(i) for i in lines]
    result["of"] = int(best[1])
    return [result]


def _what_there(
    check: Check, comparison: Comparison, block: Block, lines: NDArray[np.intp], axis: int
) -> str:
    """What holds for the wrong rows or columns as a whole."""
    y = np.take(block.take(comparison.yours), lines, axis)
    a = np.take(block.take(comparison.numeric), lines, axis)
    slack = _slack(comparison, block.indices)
    if not np.all(np.isfinite(y)):
        return ", where yours is not finite"
    if np.all(np.abs(a) <= min(slack, 1e-6 * float(np.max(np.abs(y))))):
        return SILENT
    if not np.any(y):
        return STOPPED
    factor = factor_of(y, a, slack)
    return (
        f", where it is the right one times {name_factor(check, factor)}"
        if factor is not None
        else ""
    )


def _same_places(places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """When several parameters are wrong in the same lines, say it: these belong to units."""
    same = [
        [
            other["parameters"][0]
            for other in places
            if other is not one and (other["lines"], other["of"]) == (one["lines"], one["of"])
        ]
        for one in places
    ]
    for one, names in zip(places, same, strict=True):
        if names:
            text = one["text"][:-1]
            units = next((u for tail, u in UNITS.items() if text.endswith(tail)), "")
            one["text"] = f"{text}{units}; the same ones as in {', '.join(names)}."
    return places


def _list(numbers: NDArray[np.intp]) -> str:
    shown = ", ".join(str(int(n)) for n in numbers[:8])
    return shown + (", ..." if numbers.size > 8 else "")
