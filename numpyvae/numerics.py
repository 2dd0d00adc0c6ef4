"""Scalar functions that neither overflow nor leave the complex plane.

Each works unchanged on float32, float64 and complex128. On complex input it is the analytic
continuation near the real axis, which is what the complex-step derivative needs: branches look at
the real part only, and nothing takes an absolute value of a differentiated quantity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "log1pexp_of_minus_abs", "logsumexp", "sigmoid", "softplus"]

Array = NDArray[Any]
"""An array of whatever dtype theta has: float32, float64 or complex128."""


def sigmoid(x: Array) -> Array:
    """sigmoid(x) = 1 / (1 + exp(-x)) = (1 + tanh(x/2)) / 2, elementwise.

    The second form cannot overflow. Derivative: sigmoid(x) (1 - sigmoid(x)).
    """
    y = np.tanh(0.5 * x)
    y += 1.0
    y *= 0.5
    return y


def softplus(x: Array) -> Array:
    """softplus(x) = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), elementwise.

    For finite x. The exponent is never positive, so it cannot overflow. Derivative: sigmoid(x).
    """
    positive = x.real > 0
    return x * positive + np.log1p(np.exp(np.where(positive, -x, x)))


def log1pexp_of_minus_abs(tanh_half: Array) -> Array:
    """log(1 + exp(-|x|)) from t = tanh(x/2), elementwise: -log((1 + |t|) / 2).

    Because sigmoid(|x|) = (1 + |t|) / 2 and log(1 + exp(-|x|)) = -log sigmoid(|x|). Whoever already
    has t (for the sigmoid) gets the softplus for one logarithm of a number in [1/2, 1]. The error
    is one rounding of 1, so that what is smaller (from |x| = 17 on in float32) comes out as 0.
    """
    y = np.where(tanh_half.real > 0, tanh_half, -tanh_half)
    y += 1.0
    y *= 0.5
    np.log(y, out=y)
    return np.negative(y, out=y)


def logsumexp(x: Array, axis: int) -> Array:
    """log(sum(exp(x))) along one axis, with the largest real part taken out first.

    A slice that is -inf throughout gives -inf.
    """
    peak = x.real.max(axis=axis, keepdims=True)
    peak[~np.isfinite(peak)] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(x - peak).sum(axis=axis, keepdims=True))
    return np.squeeze(total + peak, axis=axis)
