"""Naming a number: is this factor 2, 1/N, minus the number of columns of W?"""

from __future__ import annotations

from .state import Check

__all__ = ["known_factor", "name_factor"]

EXACT = 1e-6


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
