"""The pattern library: what a wrong gradient of one parameter is equal to.

Every pattern is a candidate computed from the right gradient ``a`` (and theta ``t``), and it is
reported only where the gradient under test ``y`` equals it to 1e-6. All arrays have the parameter's
shape. A number found on the way is named: is this factor 2, 1/N, minus the columns of W?
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .comparison import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Match", "equal", "factor_of", "known_factor", "name_factor", "recognise"]

EXACT = 1e-6


class Match(NamedTuple):
    """A recognised pattern: a short name, a sentence after "yours ...", and its number."""

    pattern: str
    text: str
    value: float | None = None


def equal(y: Array, p: Any, slack: float) -> bool:
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
    for candidates in (_orders(a), _of_others(a, others), _elementwise(y, a, t), _averages(a)):
        for match, p in candidates:
            if equal(y, p, slack) and not equal(a, p, slack):
                return match
    return _added(y, a, t, slack)


def _orders(a: Array) -> Iterator[tuple[Match, Array]]:
    """The right numbers in the wrong places."""
    if a.ndim == 2:
        if a.shape[0] == a.shape[1]:
            yield Match("transpose", "is the transpose of the right one"), a.T
        text = "is the transpose of the right one, reshaped: flattened in the wrong order"
        yield Match("flattened transpose", text), a.T.reshape(a.shape)
    for axis in range(a.ndim):
        yield Match("reversed", f"is the right one reversed along axis {axis}"), np.flip(a, axis)
        for shift in (1, -1):
            yield (
                Match("shifted", f"is the right one shifted by {shift} along axis {axis}"),
                np.roll(a, shift, axis),
            )


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
            chain = (
                (t, "theta"),
                (1 / t, "1/theta"),
                (np.exp(t), "exp(theta)"),
                (np.exp(-t), "exp(-theta)"),
            )
            more = ((np.exp(t / 2), "exp(theta/2)"), (np.exp(-t / 2), "exp(-theta/2)"))
            for c, name in (*chain, *more):
                yield Match("chain factor", f"is the right one times {name}, entry by entry"), a * c


def _averages(a: Array) -> Iterator[tuple[Match, Array]]:
    """Summed or averaged over an axis, and spread out again."""
    for axis in range(a.ndim):
        if a.shape[axis] > 1:
            mean = np.broadcast_to(a.mean(axis=axis, keepdims=True), a.shape)
            yield Match("averaged", f"is the mean of the right one over axis {axis}"), mean
            yield (
                Match("summed", f"is the sum of the right one over axis {axis}"),
                mean * a.shape[axis],
            )


def _added(y: Array, a: Array, t: Array, slack: float) -> Match | None:
    """The right one plus a number times theta, sign(theta) or 1."""
    extra = y - a
    if a.size < 3:
        return None
    terms = (
        ("theta term", t, "differs from the right one by theta times"),
        ("sign term", np.sign(t), "differs from the right one by sign(theta) times"),
        ("constant term", np.ones_like(t), "differs from the right one by the constant"),
    )
    for pattern, term, text in terms:
        c = factor_of(extra, term, slack)
        if c is not None:
            return Match(pattern, text, c)
    return None


def name_factor(check: Check, factor: float) -> str:
    """``"2"``, ``"1/5 (1/N)"``, ``"128 (the columns of encoder.0.W)"``, or just the number.

    A size is named only if it is the caller's own (``sizes``) or a parameter's, and all that fit
    are named: which of them is meant cannot be known.
    """
    return known_factor(check, factor) or _fraction(factor)


def known_factor(check: Check, factor: float) -> str:
    """The name of a factor that is a usual one or a known size, else nothing."""
    usual = (
        (-1.0, "-1 (the sign is wrong)"),
        (2.0, "2"),
        (0.5, "1/2"),
        (-2.0, "-2"),
        (-0.5, "-1/2"),
    )
    own = _names(factor, _own_sizes(check), composed=True)
    for number, shown in usual:
        if _is(factor, number):
            return f"{shown}, which is also {' or '.join(own)}" if own else shown
    names = (own + _names(factor, _shape_sizes(check), composed=False))[:3]
    return f"{_fraction(factor)} ({' or '.join(names)})" if names else ""


def _is(x: float, target: float) -> bool:
    return abs(x - target) <= EXACT * abs(target)


def _names(factor: float, sizes: list[tuple[str, int]], composed: bool) -> list[str]:
    """The ways to write the factor as n or 1/n; composed: also with 2, 1/2 or a square."""
    found: list[str] = []
    for label, n in sizes:
        ways = [(n, f"{label}"), (1.0 / n, f"1/{label}")]
        if composed:
            ways += [(2.0 * n, f"2 {label}"), (2.0 / n, f"2/{label}"), (0.5 * n, f"{label}/2")]
            ways += [(0.5 / n, f"1/(2 {label})"), (float(n) ** 2, f"{label}^2")]
            ways += [(1.0 / n**2, f"1/{label}^2")]
        for value, text in ways:
            for sign in (1.0, -1.0):
                if n > 1 and value != 1.0 and _is(factor, sign * value):
                    found.append(text if sign > 0 else f"-{text}")
    return found


def _own_sizes(check: Check) -> list[tuple[str, int]]:
    """The caller's sizes and the products of two of them."""
    own = [(str(k), int(n)) for k, n in check.sizes.items()]
    return own + [(f"({a} {b})", m * n) for i, (a, m) in enumerate(own) for b, n in own[i + 1 :]]


def _shape_sizes(check: Check) -> list[tuple[str, int]]:
    """The axes of the parameters, one label for each length."""
    shapes: dict[int, list[str]] = {}
    for block in check.point.blocks:
        axes = (
            ("length",)
            if len(block.shape) == 1
            else ("rows", "columns")
            if len(block.shape) == 2
            else ()
        )
        for k, n in enumerate(block.shape):
            axis = axes[k] if axes else f"axis {k}"
            shapes.setdefault(int(n), []).append(f"the {axis} of {block.name}")
    taken = set(check.sizes.values())
    return [(labels[0], n) for n, labels in shapes.items() if n not in taken]


def _fraction(x: float) -> str:
    """``0.2`` as ``"1/5"``, ``128.0`` as ``"128"``, other numbers in decimals."""
    if _is(x, float(round(x))) and abs(x) >= 1.0:
        return str(round(x))
    if 0.0 < abs(x) < 1.0 and _is(1.0 / x, float(round(1.0 / x))):
        return f"{'-' if x < 0 else ''}1/{abs(round(1.0 / x))}"
    return f"{x:.8g}"
