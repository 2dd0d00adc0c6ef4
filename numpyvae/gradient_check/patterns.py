"""What a wrong gradient of one parameter is equal to, and what to call the numbers in it.

Every pattern is computed from the right gradient ``a`` (and theta ``t``), and it is reported only
where the gradient under test ``y`` equals it to 1e-6. All arrays have the parameter's shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .points import Array, Block

__all__ = ["EXACT", "Match", "equal", "factor_of", "known_factor", "name_factor", "recognise"]

EXACT = 1e-6
USUAL = {-1.0: "-1 (the sign is wrong)", 2.0: "2", 0.5: "1/2", -2.0: "-2", -0.5: "-1/2"}
AXES = {1: ("length",), 2: ("rows", "columns")}


class Match(NamedTuple):
    """A recognised pattern: a short name, a sentence after "yours ...", and its number."""

    pattern: str
    text: str
    value: float | None = None


def equal(y: Array, p: Any, slack: float = 0.0) -> bool:
    """Whether y is p to 1e-6 of its largest entry; the error bound ``slack`` adds at most that."""
    size = EXACT * float(np.max(np.abs(y), initial=0.0))
    with np.errstate(all="ignore"):
        return size > 0.0 and bool(np.all(np.abs(y - p) <= size + min(slack, size)))


def factor_of(y: Array, a: Array, slack: float) -> float | None:
    """The c with y = c a, if at least two entries show it."""
    square = float(np.sum(a * a))
    if np.count_nonzero(np.abs(a) > 1e-3 * np.max(np.abs(a), initial=0.0)) < 2 or square == 0.0:
        return None
    c = float(np.sum(a * y)) / square
    return c if abs(c - 1.0) > 2.0 * EXACT and equal(y, c * a, slack * max(1.0, abs(c))) else None


def recognise(y: Array, a: Array, t: Array, others: dict[str, Array], slack: float) -> Match | None:
    """The first pattern that fits exactly, simple ones first; None if none does."""
    if not np.any(y):
        return Match("missing", "is all zero")
    factor = factor_of(y, a, slack)
    if factor is not None:
        return Match("factor", "is the right one times", factor)
    for some in (_orders(a), _of_others(a, others), _elementwise(y, a, t), _averages(a)):
        for match, p in some:
            if equal(y, p, slack) and not equal(a, p, slack):
                return match
    return _added(y, a, t, slack)


def _orders(a: Array) -> Iterator[tuple[Match, Array]]:
    """The right numbers in the wrong places."""
    if a.ndim == 2:
        text = "is the transpose of the right one"
        if a.shape[0] == a.shape[1]:
            yield Match("transpose", text), a.T
        text += ", reshaped: flattened in the wrong order"
        yield Match("flattened transpose", text), a.T.reshape(a.shape)
    for axis in range(a.ndim):
        yield Match("reversed", f"is the right one reversed along axis {axis}"), np.flip(a, axis)
        for shift in (1, -1):
            text = f"is the right one shifted by {shift} along axis {axis}"
            yield Match("shifted", text), np.roll(a, shift, axis)


def _of_others(a: Array, others: dict[str, Array]) -> Iterator[tuple[Match, Array]]:
    """Another parameter's gradient in this one's place, or added to it."""
    for name, b in others.items():
        if b.shape == a.shape:
            yield Match("other parameter", f"is the gradient of {name}"), b
            yield Match("sum with other", f"is the right one plus the gradient of {name}"), a + b
        elif b.ndim == 2 and b.shape[::-1] == a.shape:
            yield Match("other parameter", f"is the transposed gradient of {name}"), b.T


def _elementwise(y: Array, a: Array, t: Array) -> Iterator[tuple[Match, Array]]:
    """A function of each entry."""
    yield Match("absolute value", "is the absolute value of the right one"), np.abs(a)
    yield Match("integer", "is the right one cut to integers: an integer buffer"), np.trunc(a)
    yield Match("integer", "is the right one rounded to integers"), np.rint(a)
    limit = float(np.max(np.abs(y), initial=0.0))
    if np.count_nonzero(np.abs(a) < limit) >= 2:
        yield Match("clipped", "is the right one clipped at", limit), np.clip(a, -limit, limit)
    if a.size >= 2:
        with np.errstate(all="ignore"):
            factors = {"theta": t, "1/theta": 1 / t, "exp(theta)": np.exp(t)}
            factors |= {"exp(-theta)": np.exp(-t), "exp(theta/2)": np.exp(t / 2)}
            factors |= {"exp(-theta/2)": np.exp(-t / 2)}
            for name, c in factors.items():
                yield Match("chain factor", f"is the right one times {name}, entry by entry"), a * c


def _averages(a: Array) -> Iterator[tuple[Match, Array]]:
    """Summed or averaged over an axis, and spread out again."""
    for axis in range(a.ndim):
        if a.shape[axis] > 1:
            mean = np.broadcast_to(a.mean(axis=axis, keepdims=True), a.shape)
            yield Match("averaged", f"is the mean of the right one over axis {axis}"), mean
            total = mean * a.shape[axis]
            yield Match("summed", f"is the sum of the right one over axis {axis}"), total


def _added(y: Array, a: Array, t: Array, slack: float) -> Match | None:
    """The right one plus a number times theta, sign(theta) or 1."""
    terms = (
        ("theta term", t, "by theta times"),
        ("sign term", np.sign(t), "by sign(theta) times"),
        ("constant term", np.ones_like(t), "by the constant"),
    )
    for pattern, term, text in terms if a.size >= 3 else ():
        c = factor_of(y - a, term, slack)
        if c is not None:
            return Match(pattern, f"differs from the right one {text}", c)
    return None


def name_factor(factor: float, sizes: Mapping[str, float], blocks: Sequence[Block] = ()) -> str:
    """``"2"``, ``"1/5 (1/N)"``, ``"128 (the columns of encoder.0.W)"``, or just the number.

    A size is named only if it is the caller's own (``sizes``) or a parameter's, and all that fit
    are named: which of them is meant cannot be known.
    """
    return known_factor(factor, sizes, blocks) or _fraction(factor)


def known_factor(factor: float, sizes: Mapping[str, float], blocks: Sequence[Block] = ()) -> str:
    """The name of a factor that is a usual one or a known size, else nothing."""
    pairs = itertools.combinations(sizes.items(), 2)
    own = {**sizes, **{f"({a} {b})": m * n for (a, m), (b, n) in pairs}}
    names = [name for label, n in own.items() for name in _ways(factor, label, n, True)]
    for number, shown in USUAL.items():
        if _is(factor, number):
            return f"{shown}, which is also {' or '.join(names)}" if names else shown
    axes = _axes(blocks, set(sizes.values()))
    names += [name for n, label in axes.items() for name in _ways(factor, label, n, False)]
    return f"{_fraction(factor)} ({' or '.join(names[:3])})" if names else ""


def _is(x: float, target: float) -> bool:
    return abs(x - target) <= EXACT * abs(target)


def _ways(factor: float, label: str, n: float, composed: bool) -> list[str]:
    """The ways to write the factor as n or 1/n; composed: also with 2, 1/2 or a square."""
    ways = {label: n, f"1/{label}": 1.0 / n}
    if composed:
        ways |= {f"2 {label}": 2.0 * n, f"2/{label}": 2.0 / n, f"{label}/2": 0.5 * n}
        ways |= {f"1/(2 {label})": 0.5 / n, f"{label}^2": n**2.0, f"1/{label}^2": n**-2.0}
    fits = {text: value for text, value in ways.items() if _is(abs(factor), value) and n != 1}
    return [text if factor > 0 else f"-{text}" for text, value in fits.items() if value != 1.0]


def _axes(blocks: Sequence[Block], taken: set[float]) -> dict[int, str]:
    """The axes of the parameters: length -> the first one that has it."""
    found: dict[int, str] = {}
    for block in blocks:
        for k, n in enumerate(block.shape):
            axis = AXES[len(block.shape)][k] if len(block.shape) in AXES else f"axis {k}"
            if n not in taken and n > 1:
                found.setdefault(n, f"the {axis} of {block.name}")
    return found


def _fraction(x: float) -> str:
    """``0.2`` as ``"1/5"``, ``128.0`` as ``"128"``, other numbers in decimals."""
    if _is(x, float(round(x))) and abs(x) >= 1.0:
        return str(round(x))
    if 0.0 < abs(x) < 1.0 and _is(1.0 / x, float(round(1.0 / x))):
        return f"{'-' if x < 0 else ''}1/{abs(round(1.0 / x))}"
    return f"{x:.8g}"
