"""Numerical derivatives, one textbook formula each, on flat vectors.

`of_any_form` makes each a tool for any ``f(theta) -> number``: theta may be an array of any shape
or a dict of arrays, the result has the same form, and theta is never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .points import Vector, of_any_form

EPS = float(np.finfo(np.float64).eps)
TINY = 1e-30  # the complex step: its square is far below rounding, so that its size does not matter
Function = Callable[[Any], Any]


@of_any_form
def forward_difference(f: Function, theta: Vector, h: float | None = None) -> Any:
    """g_i = (f(theta + h e_i) - f(theta)) / h,  error O(h) + O(eps |f| / h).

    P + 1 evaluations. The default h = sqrt(eps) max(1, |theta_i|) balances the two errors: about 8
    digits.
    """
    g, f_0 = np.empty_like(theta), f(theta)
    for i, t in enumerate(_steps(theta, h, EPS ** (1 / 2))):
        g[i] = (f(_moved(theta, i, t)) - f_0) / t
    return g


@of_any_form
def central_difference(f: Function, theta: Vector, h: float | None = None) -> Any:
    """g_i = (f(theta + h e_i) - f(theta - h e_i)) / 2h,  error h^2 f'''/6 + O(eps |f| / h).

    2 P evaluations. The default h = eps^(1/3) max(1, |theta_i|) balances the two errors: about 10
    digits.
    """
    g = np.empty_like(theta)
    for i, t in enumerate(_steps(theta, h, EPS ** (1 / 3))):
        g[i] = (f(_moved(theta, i, t)) - f(_moved(theta, i, -t))) / (2.0 * t)
    return g


@of_any_form
def richardson_difference(f: Function, theta: Vector, h: float | None = None) -> Any:
    """g_i = (4 D(h/2) - D(h)) / 3 with D the central difference,  error O(h^4) + O(eps |f| / h).

    4 P evaluations. D(h) = f' + c h^2 + O(h^4), so that this combination cancels c (Richardson
    1911). The default h = eps^(1/5) max(1, |theta_i|): about 12 digits.
    """
    g = np.empty_like(theta)
    for i, t in enumerate(_steps(theta, h, EPS ** (1 / 5))):
        wide = (f(_moved(theta, i, t)) - f(_moved(theta, i, -t))) / (2.0 * t)
        narrow = (f(_moved(theta, i, t / 2)) - f(_moved(theta, i, -t / 2))) / t
        g[i] = (4.0 * narrow - wide) / 3.0
    return g


@of_any_form
def complex_step(f: Function, theta: Vector, h: float = TINY) -> Any:
    """g_i = Im f(theta + i h e_i) / h,  error O(h^2), without any subtraction: exact to rounding.

    P evaluations with complex theta. f(x + ih) = f(x) + i h f'(x) - h^2 f''(x)/2 - ..., so that the
    imaginary part holds the derivative by itself (Squire & Trapp 1998). f must be analytic as
    written: no abs, no .real, no norm.
    """
    g = np.empty_like(theta)
    for i in range(theta.size):
        g[i] = np.imag(f(_moved(theta, i, 1j * h))) / h
    return g


@of_any_form
def directional_derivative(
    f: Function, theta: Vector, direction: Any, method: str = "complex", h: float | None = None
) -> float:
    """d/dt f(theta + t direction) at t = 0: what a gradient g must give as sum(g * direction).

    One evaluation for ``method="complex"``, two for ``"central"``, whatever the number of
    parameters.
    """
    if method == "complex":
        h = TINY if h is None else h
        return float(np.imag(f(theta + 1j * h * direction))) / h
    if method != "central":
        raise ValueError(f"method must be 'complex' or 'central', not {method!r}")
    t = EPS ** (1 / 3) / (np.max(np.abs(direction), initial=0.0) or 1.0) if h is None else h
    return float((f(theta + t * direction) - f(theta - t * direction)) / (2.0 * t))


def _steps(theta: Vector, h: float | None, default: float) -> Vector:
    """h for each entry, or the default in proportion to the entry."""
    return default * np.maximum(1.0, np.abs(theta)) if h is None else np.full(theta.shape, h)


def _moved(theta: Vector, i: int, t: complex) -> NDArray[Any]:
    """theta + t e_i."""
    moved = theta.astype(np.result_type(theta, t))
    moved[i] += t
    return moved


class TaylorTest(NamedTuple):
    """How the Taylor remainders of f shrink with the step h, along one direction v.

    without_gradient  |f(theta + h v) - f(theta)|, of order 1
    with_gradient     |f(theta + h v) - f(theta) - h g.v|, of order 2 if g is the gradient
    order             the slope of log with_gradient against log h on the smallest usable steps; NaN
                      if there are too few, inf if the remainder is zero to rounding (a linear f)
    usable            the steps at which the remainder is above rounding
    resolution        a relative error of g.v up to this size would not show
    """

    steps: Vector
    without_gradient: Vector
    with_gradient: Vector
    order: float
    usable: NDArray[np.bool_]
    resolution: float


@of_any_form
def taylor_test(
    f: Function,
    theta: Vector,
    grad: Any,
    *,
    direction: Any = None,
    steps: Any = None,
    rng: Any = 0,
    noise: float | None = None,
) -> TaylorTest:
    """The remainder |f(theta + h v) - f(theta) - h g.v|: order h^2 for a right g, h otherwise.

    ``direction`` v defaults to a random one of unit length; ``grad`` is an array, a dict, or a
    callable; ``noise`` is the error of one value of f, eps |f| unless given.
    """
    v = random_direction(theta.size, rng) if direction is None else direction
    h = np.asarray(10.0 ** np.arange(-1.0, -8.5, -0.5) if steps is None else steps, np.float64)
    f_0, slope = f(theta), float(grad @ v)
    change = np.array([_or_nan(f, theta + t * v) - f_0 for t in h])
    remainder = np.abs(change - h * slope)
    moved = EPS * float(np.sqrt(np.sum(np.square(grad * theta))))  # theta + h v is rounded too
    error = 2.0 * (EPS * abs(f_0) if noise is None else noise) + 4.0 * EPS * h * abs(slope)
    rounding = 8.0 * (error + moved)
    usable = np.isfinite(remainder) & (remainder > 8.0 * rounding)
    hidden = np.fmax(remainder, rounding) / (h * max(abs(slope), float(np.finfo(np.float64).tiny)))
    resolution = float(np.min(np.where(np.isnan(hidden), np.inf, hidden)))
    last = np.flatnonzero(usable)[-4:]
    order = float("inf" if np.isfinite(remainder).any() and not last.size else "nan")
    if last.size >= 3:
        order = float(np.polyfit(np.log(h[last]), np.log(remainder[last]), 1)[0])
    return TaylorTest(h, np.abs(change), remainder, order, usable, resolution)


def _or_nan(f: Function, vector: Vector) -> Any:
    """f, or NaN where it raises: far from theta it may."""
    try:
        return f(vector)
    except Exception:
        return float("nan")


def random_direction(size: int, rng: Any) -> Vector:
    """A direction drawn evenly from the unit sphere."""
    v = np.random.default_rng(rng).standard_normal(size)
    return np.asarray(v / (np.sqrt(np.sum(v * v)) or 1.0))
