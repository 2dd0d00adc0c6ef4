"""From a failed comparison to sentences: what is wrong where the fit is exact, else only where.

Every pattern is computed from the right gradient ``a`` (and theta ``t``), and it is reported only
where the gradient under test ``y`` equals it to 1e-6. All arrays have the parameter's shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .comparison import FAIL, KINK, Comparison
from .points import Array, Block, Point

EXACT = 1e-6  # relative: below this, an explanation is taken to be the explanation
USUAL = {-1.0: "-1 (the sign is wrong)", 2.0: "2", 0.5: "1/2", -2.0: "-2", -0.5: "-1/2"}
AXES = {1: ("length",), 2: ("rows", "columns")}
LINES = {1: (("entry", "entries"),), 2: (("row", "rows"), ("column", "columns"))}
SILENT = ", where the slope is zero and yours is not"
STOPPED = ", where yours is zero and should not be"
UNITS = {  # what either means for the lines that several parameters share
    SILENT: ": inactive units, whose gradient must be stopped (the derivative of the activation?)",
    STOPPED: ": active units that count as inactive",
}


def finding(
    pattern: str, names: list[str], text: str, value: float | None = None
) -> dict[str, Any]:
    """One finding, as it is in a report."""
    return {"pattern": pattern, "parameters": names, "text": text, "value": value}


class Pattern(NamedTuple):
    """What was recognised: a short name, a sentence after "yours ...", and its number."""

    pattern: str
    text: str
    value: float | None = None


def close(a: Array, b: Array, tolerance: float = EXACT) -> bool:
    """Equal up to ``tolerance``, relative to b's largest entry, where both are finite."""
    if a.shape != b.shape:
        return False
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        return not (np.isfinite(a).any() or np.isfinite(b).any())
    off = np.abs(a[finite] - b[finite]).max()
    return bool(off <= tolerance * np.abs(b[finite]).max())


def equal(y: Array, p: Array, slack: float = 0.0) -> bool:
    """Whether y, which is not zero, is p; the error bound ``slack`` at most doubles that."""
    largest = float(np.max(np.abs(y), initial=0.0))
    if largest == 0.0 or not np.all(np.isfinite(p)):
        return False
    return close(np.asarray(p), y, EXACT + min(slack / largest, EXACT))


def factor_of(y: Array, a: Array, slack: float) -> float | None:
    """The c with y = c a, if at least two entries show it."""
    largest = np.max(np.abs(a), initial=0.0)
    if np.count_nonzero(np.abs(a) > 1e-3 * largest) < 2:
        return None
    unit = a / largest  # its square does not underflow
    c = float(np.sum(unit * (y / largest)) / np.sum(unit * unit))
    return c if abs(c - 1.0) > 2.0 * EXACT and equal(y, c * a, slack * max(1.0, abs(c))) else None


def _recognise(
    y: Array, a: Array, t: Array, others: dict[str, Array], slack: float
) -> Pattern | None:
    """The first pattern that fits exactly, simple ones first; None if none does."""
    if not np.any(y):
        return Pattern("missing", "is all zero")
    factor = factor_of(y, a, slack)
    if factor is not None:
        return Pattern("factor", "is the right one times", factor)
    for match, p in itertools.chain(_out_of_place(a, others), _altered(y, a, t)):
        if equal(y, p, slack) and not equal(a, p, slack):
            return match
    terms = (
        ("theta term", t, "by theta times"),
        ("sign term", np.sign(t), "by sign(theta) times"),
        ("constant term", np.ones_like(t), "by the constant"),
    )
    for pattern, term, text in terms if a.size >= 3 else ():
        c = factor_of(y - a, term, slack)
        if c is not None:
            return Pattern(pattern, f"differs from the right one {text}", c)
    return None


def _out_of_place(a: Array, others: dict[str, Array]) -> Iterator[tuple[Pattern, Array]]:
    """The right numbers in the wrong places, or those of another parameter."""
    if a.ndim == 2:
        text = "is the transpose of the right one"
        if a.shape[0] == a.shape[1]:
            yield Pattern("transpose", text), a.T
        text += ", reshaped: flattened in the wrong order"
        yield Pattern("flattened transpose", text), a.T.reshape(a.shape)
    for axis in range(a.ndim):
        yield Pattern("reversed", f"is the right one reversed along axis {axis}"), np.flip(a, axis)
        for shift in (1, -1):
            text = f"is the right one shifted by {shift} along axis {axis}"
            yield Pattern("shifted", text), np.roll(a, shift, axis)
    for name, b in others.items():
        if b.shape == a.shape:
            yield Pattern("other parameter", f"is the gradient of {name}"), b
            yield Pattern("sum with other", f"is the right one plus the gradient of {name}"), a + b
        elif b.ndim == 2 and b.shape[::-1] == a.shape:
            yield Pattern("other parameter", f"is the transposed gradient of {name}"), b.T


def _altered(y: Array, a: Array, t: Array) -> Iterator[tuple[Pattern, Array]]:
    """A function of each entry, or all entries summed or averaged over an axis."""
    yield Pattern("absolute value", "is the absolute value of the right one"), np.abs(a)
    yield Pattern("integer", "is the right one cut to integers: an integer buffer"), np.trunc(a)
    yield Pattern("integer", "is the right one rounded to integers"), np.rint(a)
    limit = float(np.max(np.abs(y), initial=0.0))
    if np.count_nonzero(np.abs(a) < limit) >= 2:
        yield Pattern("clipped", "is the right one clipped at", limit), np.clip(a, -limit, limit)
    if a.size >= 2:
        factors = {"theta": t, "1/theta": 1 / t, "exp(theta)": np.exp(t), "exp(-theta)": np.exp(-t)}
        factors |= {"exp(theta/2)": np.exp(t / 2), "exp(-theta/2)": np.exp(-t / 2)}
        for name, c in factors.items():
            text = f"is the right one times {name}, entry by entry"
            yield Pattern("chain factor", text), a * c
    various = np.unique(a[a != 0.0]).size >= 2
    for axis in range(a.ndim):
        if not various or np.max(np.count_nonzero(a, axis=axis)) < 2:
            continue  # a mask that was forgotten would fit as well
        mean = np.broadcast_to(a.mean(axis=axis, keepdims=True), a.shape)
        yield Pattern("averaged", f"is the mean of the right one over axis {axis}"), mean
        total = mean * a.shape[axis]
        yield Pattern("summed", f"is the sum of the right one over axis {axis}"), total


class Names(NamedTuple):
    """What factors are called: by the caller's own sizes, and by the axes of parameters."""

    sizes: Mapping[str, float]
    blocks: Sequence[Block] = ()

    def of(self, factor: float) -> str:
        """``"2"``, ``"1/5 (1/N)"``, ``"128 (the columns of encoder.0.W)"``, or just the number."""
        return self.known(factor) or _fraction(factor)

    def short(self, factor: float) -> str:
        """The first name alone: ``"1/N"``, ``"-1"``, ``"3.7"``; "" for a number of many digits."""
        usual = [shown.partition(" ")[0] for n, shown in USUAL.items() if _is(factor, n)]
        own = [w for label, n in self.sizes.items() for w in _ways(factor, label, n, True)]
        number, plain = f"{factor:.3g}", _fraction(factor)
        if "." in plain or "e" in plain:
            plain = number if _is(factor, float(number)) else ""
        return [*usual, *own, plain][0]

    def known(self, factor: float) -> str:
        """The name of a factor that is a usual one or a known size, else nothing.

        All names that fit are given: which of them is meant cannot be known.
        """
        pairs = itertools.combinations(self.sizes.items(), 2)
        own = {**self.sizes, **{f"({a} {b})": m * n for (a, m), (b, n) in pairs}}
        names = [name for label, n in own.items() for name in _ways(factor, label, n, True)]
        for number, shown in USUAL.items():
            if _is(factor, number):
                return f"{shown}, which is also {' or '.join(names)}" if names else shown
        axes: dict[int, str] = {}  # length -> the first axis that has it
        for block in self.blocks:
            few = [f"axis {k}" for k in range(len(block.shape))]
            for n, axis in zip(block.shape, AXES.get(len(block.shape), few), strict=True):
                axes.setdefault(n, f"the {axis} of {block.name}")
        for n, label in axes.items():
            names += _ways(factor, label, n, False) if n not in self.sizes.values() else []
        return f"{_fraction(factor)} ({' or '.join(names[:3])})" if names else ""


def _is(x: float, target: float) -> bool:
    return abs(x - target) <= EXACT * abs(target)


def _ways(factor: float, label: str, n: float, composed: bool) -> list[str]:
    """The ways to write the factor as n or 1/n; composed: also with 2, 1/2 or a square."""
    if n <= 0 or n == 1:
        return []
    ways = {label: n, f"1/{label}": 1.0 / n}
    if composed:
        ways |= {f"2 {label}": 2.0 * n, f"2/{label}": 2.0 / n, f"{label}/2": 0.5 * n}
        ways |= {f"1/(2 {label})": 0.5 / n, f"{label}^2": n**2.0, f"1/{label}^2": n**-2.0}
    fits = [text for text, value in ways.items() if value != 1.0 and _is(abs(factor), value)]
    return fits if factor > 0 else [f"-{text}" for text in fits]


def _fraction(x: float) -> str:
    """``0.2`` as ``"1/5"``, ``128.0`` as ``"128"``, other numbers in decimals."""
    if _is(x, float(round(x))) and abs(x) >= 1.0:
        return str(round(x))
    if 0.0 < abs(x) < 1.0 and _is(1.0 / x, float(round(1.0 / x))):
        return f"{'-' if x < 0 else ''}1/{abs(round(1.0 / x))}"
    return f"{x:.8g}"


class _Part(NamedTuple):
    """A parameter: the error of the right gradient, yours, the right one, theta, status.

    unsure  where an entry that does not fail need not be right
    """

    name: str
    slack: float
    y: Array
    a: Array
    t: Array
    status: Array
    unsure: Array


def diagnose(
    point: Point, comparison: Comparison, misfits: Mapping[str, Array], sizes: Mapping[str, float]
) -> list[dict[str, Any]]:
    """All findings about a failed check, the exact patterns first."""
    parts, whole = list[_Part](), (comparison.yours, comparison.numeric, point.vector)
    marks = (comparison.status, comparison.unsure)
    for block in point.blocks:
        bound = comparison.bound[block.indices]
        slack = 2.0 * float(np.max(bound[np.isfinite(bound)], initial=0.0))
        parts.append(_Part(block.name, slack, *map(block.take, whole + marks)))
    found = [f for part in parts if part.name in misfits for f in _misfit(part, misfits[part.name])]
    names, places = Names(sizes, point.blocks), list[dict[str, Any]]()
    groups: list[tuple[Pattern, list[str]]] = []  # the parameters with the same pattern and number
    for part in parts:
        if part.name in misfits or not (np.any(part.status == FAIL) and np.isfinite(part.a).all()):
            continue
        match = _match(part, {p.name: p.a for p in parts if p is not part}, names)
        if match is None:
            places += _where(part, names)
            continue
        same = [some for known, some in groups if _alike(known, match)]
        if same:
            same[0].append(part.name)
        else:
            groups.append((match, [part.name]))
    live = {part.name for part in parts if np.any(np.abs(part.a) > 0)}
    for match, some in groups:
        who = "the whole gradient" if len(some) > 1 and live <= set(some) else ", ".join(some)
        text = f"{who}: yours {match.text}"
        if match.value is not None:
            is_factor = match.pattern == "factor"
            text += f" {names.of(match.value) if is_factor else format(match.value, '.8g')}"
        found.append(finding(match.pattern, some, f"{text}.", match.value))
    return found + _same_places(places)


def _match(part: _Part, others: dict[str, Array], names: Names) -> Pattern | None:
    if not np.all(np.isfinite(part.y)):
        return None
    y = np.where(part.status == KINK, part.a, part.y)  # where f has a kink, neither value counts
    match = _recognise(y, part.a, part.t, others, part.slack)
    if match is None and y.size == 1 and np.all(part.a):
        ratio = float(y.item() / part.a.item())
        if names.known(ratio):  # one number alone fits any other: only a known ratio counts
            match = Pattern("factor", "is the right one times", ratio)
    return match


def _alike(one: Pattern, other: Pattern) -> bool:
    a, b = one.value or 0.0, other.value or 0.0
    return one[:2] == other[:2] and abs(a - b) <= 2e-6 * abs(a)


def _misfit(part: _Part, array: Array) -> list[dict[str, Any]]:
    """A gradient of the wrong shape: do its numbers fit all the same?"""
    name, a = part.name, part.a
    forms = {f"has the right numbers, and needs the shape {a.shape}": a}
    forms["is the transpose of the right one"] = a.T
    for text, p in forms.items():
        if equal(array.reshape(-1), p.reshape(-1), part.slack):
            return [finding("shape", [name], f"{name}: yours {text}.")]
    subsets = (itertools.combinations(range(array.ndim), k) for k in range(1, array.ndim + 1))
    for axes in itertools.chain.from_iterable(subsets):
        total = array.sum(axis=axes)
        fits = np.squeeze(total).shape == np.squeeze(a).shape
        if fits and equal(total.reshape(a.shape), a, part.slack):
            over = f"ax{'i' if len(axes) == 1 else 'e'}s {', '.join(map(str, axes))}"
            text = f"{name}: yours must still be summed over {over}."
            return [finding("not summed", [name], text)]
    return []


def shapes_exchanged(point: Point, misfits: Mapping[str, Array]) -> list[str]:
    """The parameters whose gradients have no shape that fits, but that of another one of them."""
    own = {b.name: b.shape for b in point.blocks if b.name in misfits}
    came = sorted(array.shape for array in misfits.values())
    return list(own) if len(own) > 1 and came == sorted(own.values()) else []


def _where(part: _Part, names: Names) -> list[dict[str, Any]]:
    """Wrong rows, columns or entries of a parameter, if they are a part of it."""
    wrong, n = part.status == FAIL, part.status.ndim
    if n == 0 or wrong.all():
        return []
    bad = [wrong.any(axis=tuple(k for k in range(n) if k != axis)) for axis in range(n)]
    axis = min(range(n), key=lambda k: float(np.mean(bad[k])))
    lines, of = np.flatnonzero(bad[axis]), bad[axis].size
    if lines.size == of:
        return []
    y, a, tail = np.take(part.y, lines, axis), np.take(part.a, lines, axis), ""
    if not np.all(np.isfinite(y)):
        tail = ", where yours is not finite"
    elif np.all(np.abs(a) <= min(part.slack, 1e-6 * float(np.max(np.abs(y))))):
        tail = SILENT
    elif not np.any(y):
        tail = STOPPED
    elif (factor := factor_of(y, a, part.slack)) is not None:
        tail = f", where it is the right one times {names.of(factor)}"
    words = LINES[n][axis] if n in LINES else (f"axis {axis}, slice", f"axis {axis}, slices")
    some = ", ".join(str(int(k)) for k in lines[:8]) + (", ..." if lines.size > 8 else "")
    only = "at least" if np.any(part.unsure) else "only"
    text = f"{part.name}: wrong {only} in {words[lines.size > 1]} {some} (of {of}){tail}."
    place = {"axis": axis, "lines": [int(k) for k in lines], "of": of}
    return [finding("only some", [part.name], text) | place]


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
