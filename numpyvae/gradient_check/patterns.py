"""The pattern library: what a wrong gradient of one parameter is equal to.

Every pattern is a candidate computed from the right gradient ``a`` (and theta ``t``), and it is
reported only where the gradient under test ``y`` equals it to 1e-6. All arrays have the parameter's
shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Match", "equal", "factor_of", "recognise"]

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
