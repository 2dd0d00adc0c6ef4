"""Numerical derivatives, one textbook formula each. They know nothing of the checks built on them.

All take ``f(theta) -> number`` and theta as an array of any shape or a dict of arrays, return a
gradient in the same form, and never change theta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .blas import one_blas_thread
from .calling import Evaluator
from .points import Point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = [
    "EPS",
    "TINY",
    "TaylorTest",
    "central_difference",
    "complex_step",
    "directional_derivative",
    "forward_difference",
    "random_direction",
    "richardson_difference",
    "taylor_test",
]

EPS = float(np.finfo(np.float64).eps)
TINY = 1e-30  # the complex step: its square is far below rounding, so that its size does not matter
Function = Callable[[Any], Any]


@one_blas_thread
def forward_difference(f: Function, theta: Any, h: float | None = None) -> Any:
    """g_i = (f(theta + h e_i) - f(theta)) / h,  error O(h) + O(eps |f| / h).

    P + 1 evaluations. The default h = sqrt(eps) max(1, |theta_i|) balances the two errors: about 8
    digits.
    """
    point = Point(theta)
    evaluate = Evaluator(f, point, strict=True)
    at_theta = evaluate()
    steps = _steps(point, EPS ** (1 / 2) if h is None else h, relative=h is None)
    slopes = [(evaluate.along_entry(i)(t) - at_theta) / t for i, t in enumerate(steps)]
    return point.structure(np.array(slopes))


@one_blas_thread
def central_difference(f: Function, theta: Any, h: float | None = None) -> Any:
    """g_i = (f(theta + h e_i) - f(theta - h e_i)) / 2h,  error h^2 f'''/6 + O(eps |f| / h).

    2 P evaluations. The default h = eps^(1/3) max(1, |theta_i|) balances the two errors: about 10
    digits.
    """
    point = Point(theta)
    evaluate = Evaluator(f, point, strict=True)
    steps = _steps(point, EPS ** (1 / 3) if h is None else h, relative=h is None)
    return point.structure(
        np.array([_central(evaluate.along_entry(i), t) for i, t in enumerate(steps)])
    )


@one_blas_thread
def richardson_difference(f: Function, theta: Any, h: float | None = None) -> Any:
    """g_i = (4 D(h/2) - D(h)) / 3 with D the central difference,  error O(h^4) + O(eps |f| / h).

    4 P evaluations. D(h) = f' + c h^2 + O(h^4), so that this combination cancels c (Richardson
    1911). The default h = eps^(1/5) max(1, |theta_i|): about 12 digits.
    """
    point = Point(theta)
    evaluate = Evaluator(f, point, strict=True)
    steps = _steps(point, EPS ** (1 / 5) if h is None else h, relative=h is None)

    def slope(i: int, t: float) -> float:
        phi = evaluate.along_entry(i)
        return (4.0 * _central(phi, t / 2.0) - _central(phi, t)) / 3.0

    return point.structure(np.array([slope(i, t) for i, t in enumerate(steps)]))


@one_blas_thread
def complex_step(f: Function, theta: Any, h: float = TINY) -> Any:
    """g_i = Im f(theta + i h e_i) / h,  error O(h^2), without any subtraction: exact to rounding.

    P evaluations with complex theta. f(x + ih) = f(x) + i h f'(x) - h^2 f''(x)/2 - ..., so that the
    imaginary part holds the derivative by itself (Squire & Trapp 1998). f must be analytic as
    written: no abs, no .real, no norm.
    """
    point = Point(theta)
    evaluate = Evaluator(f, point, np.complex128, strict=True)
    slopes = np.empty(point.size)
    for i in range(point.size):
        evaluate.vector[i] += 1j * h
        slopes[i] = np.imag(evaluate()) / h
        evaluate.vector[i] = point.vector[i]
    return point.structure(slopes)


@one_blas_thread
def directional_derivative(
    f: Function, theta: Any, direction: Any, method: str = "complex", h: float | None = None
) -> float:
    """d/dt f(theta + t direction) at t = 0: what a gradient g must give as sum(g * direction).

    One evaluation for ``method="complex"``, two for ``"central"``, whatever the number of
    parameters.
    """
    point = Point(theta)
    v = Point(direction).vector
    if v.size != point.size:
        raise ValueError(f"direction has {v.size} entries, but theta has {point.size}")
    if method == "complex":
        evaluate = Evaluator(f, point, np.complex128, strict=True)
        h = TINY if h is None else h
        evaluate.vector += 1j * h * v
        return float(np.imag(evaluate())) / h
    if method != "central":
        raise ValueError(f"method must be 'complex' or 'central', not {method!r}")
    size = np.max(np.abs(v), initial=0.0) or 1.0
    return _central(
        Evaluator(f, point, strict=True).along(v), EPS ** (1 / 3) / size if h is None else h
    )


class TaylorTest(NamedTuple):
    """How the Taylor remainders of f shrink with the step h, along one direction v.

    without_gradient  |f(theta + h v) - f(theta)|, of order 1
    with_gradient     |f(theta + h v) - f(theta) - h g.v|, of order 2 if g is the gradient
    order             the slope of log with_gradient against log h on the smallest usable steps; NaN
                      if there are too few, inf if the remainder is zero to rounding (a linear f)
    usable            the steps at which the remainder stands above rounding
    resolution        a relative error of g.v up to this size would not show
    """

    steps: Vector
    without_gradient: Vector
    with_gradient: Vector
    order: float
    usable: NDArray[np.bool_]
    resolution: float


@one_blas_thread
def taylor_test(
    f: Function,
    theta: Any,
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
    point = Point(theta)
    value = grad(point.structure(point.vector.copy())) if callable(grad) else grad
    g, problems, _ = point.flatten(value)
    if problems:
        raise ValueError("; ".join(problems.values()))
    v = Point(direction).vector if direction is not None else random_direction(point.size, rng)
    h = np.asarray(10.0 ** np.arange(-1.0, -8.5, -0.5) if steps is None else steps, np.float64)
    evaluate = Evaluator(f, point)
    at_theta, phi = evaluate(), evaluate.along(v)
    change = np.array([phi(t) - at_theta for t in h])
    slope = float(g @ v)
    remainder = np.abs(change - h * slope)
    moved = EPS * float(np.sqrt(np.sum(np.square(g * point.vector))))  # theta + h v is rounded too
    error = 2.0 * (EPS * abs(at_theta) if noise is None else noise) + 4.0 * EPS * h * abs(slope)
    rounding = 8.0 * (error + moved)
    usable = np.isfinite(remainder) & (remainder > 8.0 * rounding)
    hidden = np.fmax(remainder, rounding) / (h * max(abs(slope), float(np.finfo(np.float64).tiny)))
    order = _order(h, remainder, usable)
    return TaylorTest(
        h,
        np.abs(change),
        remainder,
        order,
        usable,
        float(np.min(np.where(np.isnan(hidden), np.inf, hidden))),
    )


def random_direction(size: int, rng: Any) -> Vector:
    """A direction drawn evenly from the unit sphere."""
    v = np.random.default_rng(rng).standard_normal(size)
    return np.asarray(v / (np.sqrt(np.sum(v * v)) or 1.0))


def _order(h: Vector, remainder: Vector, usable: NDArray[np.bool_]) -> float:
    if not np.any(np.isfinite(remainder)):
        return float("nan")
    if not usable.any():
        return float("inf")
    last = np.flatnonzero(usable)[-4:]
    if last.size < 3:
        return float("nan")
    return float(np.polyfit(np.log(h[last]), np.log(remainder[last]), 1)[0])


def _central(phi: Callable[[float], float], t: float) -> float:
    return (phi(t) - phi(-t)) / (2.0 * t)


def _steps(point: Point, h: float, relative: bool) -> list[float]:
    scale = np.maximum(1.0, np.abs(point.vector)) if relative else np.ones(point.size)
    return [float(t) for t in h * scale]
