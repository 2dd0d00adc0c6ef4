"""From a failed comparison to sentences: what is wrong where the fit is exact, else only where."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .comparison import FAIL, KINK, Comparison
from .patterns import Match, equal, factor_of, known_factor, name_factor, recognise
from .points import Array, Block, Point

__all__ = ["diagnose", "finding"]

SILENT = ", where f does not depend on them and yours is not zero"
STOPPED = ", where yours is zero and should not be"
UNITS = {  # what either means for the lines that several parameters share
    SILENT: ": inactive units, whose gradient must be stopped (the derivative of the activation?)",
    STOPPED: ": active units that count as inactive",
}
LINES = {1: (("entry", "entries"),), 2: (("row", "rows"), ("column", "columns"))}


def finding(
    pattern: str, names: list[str], text: str, value: float | None = None
) -> dict[str, Any]:
    """One finding, as it is in a report."""
    return {"pattern": pattern, "parameters": names, "text": text, "value": value}


class _Part(NamedTuple):
    """A parameter's gradient, yours and the right one, theta, and the error of the right one."""

    block: Block
    y: Array
    a: Array
    t: Array
    status: Array
    slack: float


def _part(point: Point, comparison: Comparison, block: Block) -> _Part:
    bound = comparison.bound[block.indices]
    slack = 2.0 * float(np.max(bound[np.isfinite(bound)], initial=0.0))
    whole = (comparison.yours, comparison.numeric, point.vector, comparison.status)
    y, a, t, status = (block.take(vector) for vector in whole)
    return _Part(block, y, a, t, status, slack)


def diagnose(
    point: Point,
    comparison: Comparison,
    misfits: Mapping[str, Array],
    sizes: Mapping[str, float],
) -> list[dict[str, Any]]:
    """All findings about a failed check, the exact patterns first."""
    parts = {b.name: _part(point, comparison, b) for b in point.blocks}
    found = [f for name, m in misfits.items() if name in parts for f in _misfit(parts[name], m)]
    exact: list[tuple[_Part, Match]] = []
    places: list[dict[str, Any]] = []
    for name, part in parts.items():
        if name in misfits or not (np.any(part.status == FAIL) and np.all(np.isfinite(part.a))):
            continue
        others = {other: p.a for other, p in parts.items() if other != name}
        match = _match(part, others, sizes, point.blocks)
        if match:
            exact.append((part, match))
        else:
            places += _where(part, sizes, point.blocks)
    live = [name for name, part in parts.items() if np.any(np.abs(part.a) > 0)]
    return found + _grouped(exact, live, sizes, point.blocks) + _same_places(places)


def _match(
    part: _Part, others: dict[str, Array], sizes: Mapping[str, float], blocks: Sequence[Block]
) -> Match | None:
    if not np.all(np.isfinite(part.y)):
        return None
    y = np.where(part.status == KINK, part.a, part.y)  # where f has a kink, neither value counts
    match = recognise(y, part.a, part.t, others, part.slack)
    if match is None and y.size == 1 and np.all(part.a):
        ratio = float(y.reshape(-1)[0] / part.a.reshape(-1)[0])
        if known_factor(ratio, sizes, blocks):  # one number alone fits any other: a known ratio
            match = Match("factor", "is the right one times", ratio)
    return match


def _grouped(
    exact: list[tuple[_Part, Match]],
    live: list[str],
    sizes: Mapping[str, float],
    blocks: Sequence[Block],
) -> list[dict[str, Any]]:
    """One sentence for all parameters with the same pattern and number."""
    groups: list[tuple[Match, list[str]]] = []
    for part, match in exact:
        names = next((names for known, names in groups if _alike(known, match)), None)
        if names is None:
            groups.append((match, [part.block.name]))
        else:
            names.append(part.block.name)
    found = []
    for match, names in groups:
        whole = len(names) > 1 and set(names) >= set(live)
        who, number = "the whole gradient" if whole else ", ".join(names), ""
        if match.pattern == "factor" and match.value is not None:
            number = f" {name_factor(match.value, sizes, blocks)}"
        elif match.value is not None:
            number = f" {match.value:.8g}"
        text = f"{who}: yours {match.text}{number}."
        found.append(finding(match.pattern, names, text, match.value))
    return found


def _alike(one: Match, other: Match) -> bool:
    a, b = one.value or 0.0, other.value or 0.0
    return one[:2] == other[:2] and abs(a - b) <= 2e-6 * abs(a)


def _misfit(part: _Part, array: Array) -> list[dict[str, Any]]:
    """A gradient of the wrong shape: do its numbers fit all the same?"""
    name, a = part.block.name, part.a
    if array.size == a.size:
        for text, p in (
            (f"has the right numbers, and needs the shape {a.shape}", a),
            ("is the transpose of the right one", a.T),
        ):
            if equal(array.reshape(-1), p.reshape(-1), part.slack):
                return [finding("shape", [name], f"{name}: yours {text}.")]
    subsets = (itertools.combinations(range(array.ndim), k) for k in range(1, array.ndim + 1))
    for axes in itertools.chain.from_iterable(subsets):
        total = array.sum(axis=axes)
        if _without_ones(total) == _without_ones(a) and equal(
            total.reshape(a.shape), a, part.slack
        ):
            over = f"ax{'i' if len(axes) == 1 else 'e'}s {', '.join(map(str, axes))}"
            text = f"{name}: yours must still be summed over {over}."
            return [finding("not summed", [name], text)]
    return []


def _without_ones(array: Array) -> list[int]:
    return [n for n in array.shape if n != 1]


def _where(
    part: _Part, sizes: Mapping[str, float], blocks: Sequence[Block]
) -> list[dict[str, Any]]:
    """Wrong rows, columns or entries of a parameter, if they are a part of it."""
    wrong, name = part.status == FAIL, part.block.name
    if wrong.ndim == 0 or wrong.all():
        return []
    lines_of = [
        np.flatnonzero(wrong.any(axis=tuple(k for k in range(wrong.ndim) if k != axis)))
        for axis in range(wrong.ndim)
    ]
    axis = min(range(wrong.ndim), key=lambda k: lines_of[k].size / wrong.shape[k])
    lines, of = lines_of[axis], wrong.shape[axis]
    if lines.size == of:
        return []
    names = LINES[wrong.ndim][axis] if wrong.ndim in LINES else ("slice", "slices")
    kind = ("" if wrong.ndim in LINES else f"axis {axis}, ") + names[lines.size > 1]
    some = ", ".join(str(int(n)) for n in lines[:8]) + (", ..." if lines.size > 8 else "")
    tail = _what_there(part, lines, axis, sizes, blocks)
    result = finding("only some", [name], f"{name}: wrong only in {kind} {some} (of {of}){tail}.")
    return [{**result, "axis": axis, "lines": [int(i) for i in lines], "of": of}]


def _what_there(
    part: _Part,
    lines: NDArray[np.intp],
    axis: int,
    sizes: Mapping[str, float],
    blocks: Sequence[Block],
) -> str:
    """What holds for the wrong rows or columns as a whole."""
    y, a = np.take(part.y, lines, axis), np.take(part.a, lines, axis)
    if not np.all(np.isfinite(y)):
        return ", where yours is not finite"
    if np.all(np.abs(a) <= min(part.slack, 1e-6 * float(np.max(np.abs(y))))):
        return SILENT
    if not np.any(y):
        return STOPPED
    c = factor_of(y, a, part.slack)
    return "" if c is None else f", where it is the right one times {name_factor(c, sizes, blocks)}"


def _same_places(places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """When several parameters are wrong in the same lines, say it: these belong to units."""
    told = []
    for one in places:
        text, key = one["text"], (one["lines"], one["of"])
        same = [p for p in places if p is not one and (p["lines"], p["of"]) == key]
        if same:
            names, text = ", ".join(p["parameters"][0] for p in same), text[:-1]
            units = next((u for tail, u in UNITS.items() if text.endswith(tail)), "")
            text = f"{text}{units}; the same ones as in {names}."
        told.append({**one, "text": text})
    return told
