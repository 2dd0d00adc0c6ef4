"""The constants of mistakes, read off a student's results: where p is clipped, what is added.

Each takes the points, a student's results and the right ones, and is nan where it cannot be. What
is read off explains nothing yet: the mistake is made with it, and must give all the results.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpyvae.exercises.judge.catalogue import Arrays
from numpyvae.numerics import Array

__all__ = [
    "of_argument",
    "of_argument_of_tanh",
    "of_bound",
    "of_bound_in_backward",
    "of_clip",
    "of_clip_in_backward",
    "of_gradient",
    "of_learning_rate",
    "of_log_var",
    "of_log_var_in_kl",
    "of_log_var_in_log_n",
    "of_log_var_in_sigma",
    "of_noise_floor",
    "of_precision",
    "of_precision_of_q",
    "of_precision_of_score",
    "of_quotient",
    "of_quotient_of_slope",
    "of_sigma",
    "of_sum",
    "of_variance",
]


def _log_floor(points: Arrays, yours: Arrays, sign: float) -> float:
    """u of n1 u + n0 log(1 + sign e^u) = log p, where all logits are -10,000 (row 3)."""
    x, log_prob = points["bernoulli_log_prob/1/x"][3], float(yours["1/log_prob"][3])
    ones = x.sum()
    u = log_prob / ones
    for _ in range(100):
        u = (log_prob - (len(x) - ones) * np.log1p(sign * np.exp(u))) / ones
    return float(u)


def of_clip(points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """eps of clip(p, eps, 1 - eps)."""
    return float(np.exp(_log_floor(points, yours, -1.0)))


def of_sum(points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """eps of log(p + eps)."""
    return float(np.exp(_log_floor(points, yours, 1.0)))


def of_bound(points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """B of clip(logits, -B, B)."""
    u = _log_floor(points, yours, -1.0)
    return float(np.log1p(-np.exp(u)) - u)


def of_argument(_points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """B of sigmoid(clip(x, -B, B))."""
    p = yours["1/p"].min()
    return float(np.log1p(-p) - np.log(p))


def of_argument_of_tanh(_points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """B of tanh(clip(x, -B, B))."""
    return float(np.arctanh(yours["1/y"].max()))


def of_clip_in_backward(points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """eps of dlogits = dlog_prob (x - clip(p, eps, 1 - eps)), where a logit is -10,000 and x = 0."""
    x, dlog_prob = (points[f"bernoulli_log_prob/1/{name}"][3] for name in ("x", "dlog_prob"))
    return float(np.median(-yours["1/dlogits"][3][x == 0.0]) / dlog_prob)


def of_bound_in_backward(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """B of dlogits = dlog_prob (x - sigmoid(clip(logits, -B, B)))."""
    p = of_clip_in_backward(points, yours, right)
    return float(np.log1p(-p) - np.log(p))


def of_quotient(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of p/(p + eps), by which a gradient is smaller than it should be, where x = 1."""
    p, excess = _smallest_p(points, yours, right)
    return p * excess


def of_quotient_of_slope(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of p (1 - p)/(p (1 - p) + eps), at the same entry."""
    p, excess = _smallest_p(points, yours, right)
    return p * (1.0 - p) * excess


def _smallest_p(points: Arrays, yours: Arrays, right: Arrays) -> tuple[float, float]:
    """The smallest p where x = 1, and by how much the right gradient is larger, relatively."""
    x, logits = (points[f"bernoulli_log_prob/0/{name}"] for name in ("x", "logits"))
    lowest = np.unravel_index(np.argmin(np.where(x == 1.0, logits, np.inf)), x.shape)
    excess = float(right["0/dlogits"][lowest] / yours["0/dlogits"][lowest]) - 1.0
    return float(1.0 / (1.0 + np.exp(-logits[lowest]))), excess if excess > 1e-13 else np.nan


def of_sigma(points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """eps of z = mean + (sigma + eps) noise, where sigma is e^-70 and the mean 0."""
    return float(np.median(yours["1/z"] / points["reparameterize/1/noise"]))


def of_log_var_in_sigma(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """B of sigma = exp(max(log_var, -B) / 2), at the same place."""
    return -2.0 * float(np.log(of_sigma(points, yours, right)))


def of_variance(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of z = mean + sqrt(sigma^2 + eps) noise, at the same place."""
    return of_sigma(points, yours, right) ** 2


def of_log_var(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of log(sigma^2 + eps) in the KL, where a log_var is -50 (row 0)."""
    log_var = points["kl_to_standard_normal/1/log_var"][0]
    excess = 2.0 * float(right["1/kl"][0] - yours["1/kl"][0])
    return _root(lambda eps: np.log(np.exp(log_var) + eps) - log_var, excess)


def of_log_var_in_kl(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """B of max(log_var, -B) in the KL, where a log_var is -50 (row 0)."""
    log_var = points["kl_to_standard_normal/1/log_var"][0]
    excess = 2.0 * float(right["1/kl"][0] - yours["1/kl"][0])

    def lost(low: float) -> Array:
        clipped = np.maximum(log_var, np.log(low))
        return np.asarray(np.exp(log_var) - log_var - np.exp(clipped) + clipped)

    return -float(np.log(_root(lost, excess, 1.0)))


def of_log_var_in_log_n(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """B of max(log_var, -B) in log N, where all log_var are about -10."""
    x, mean, log_var = (points[f"gaussian_log_prob/1/{n}"] for n in ("x", "mean", "log_var"))
    squares = ((x - mean) ** 2).sum(axis=0)
    excess = 2.0 * float((yours["1/log_prob"] - right["1/log_prob"]).sum())

    def lost(low: float) -> Array:
        clipped = np.maximum(log_var, np.log(low))
        fits = squares * (np.exp(-log_var) - np.exp(-clipped))
        return np.asarray(fits + len(x) * (log_var - clipped))

    return -float(np.log(_root(lost, excess, 1e-2)))


def of_gradient(_points: Arrays, yours: Arrays, _right: Arrays) -> float:
    """B of clip(grad, -B, B), where m = v = 0 and a gradient is about 100."""
    return float(np.abs(yours["0/new_m"]).max()) / 0.1


def of_precision(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of (x - mean)^2 / (sigma^2 + eps)."""
    x, mean, log_var = (points[f"gaussian_log_prob/1/{n}"] for n in ("x", "mean", "log_var"))
    squares = (x[0] - mean[0]) ** 2
    excess = 2.0 * float(yours["1/log_prob"][0] - right["1/log_prob"][0])
    return _root(lambda eps: squares * (np.exp(-log_var) - 1.0 / (np.exp(log_var) + eps)), excess)


def of_noise_floor(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of log(sigma^2 + eps) + (x - mean)^2 / (sigma^2 + eps)."""
    x, mean, log_var = (points[f"gaussian_log_prob/1/{n}"] for n in ("x", "mean", "log_var"))
    squares = (x[0] - mean[0]) ** 2
    excess = 2.0 * float(yours["1/log_prob"][0] - right["1/log_prob"][0])

    def lost(eps: float) -> Array:
        var = np.exp(log_var) + eps
        return np.asarray(squares * (np.exp(-log_var) - 1.0 / var) + log_var - np.log(var))

    return _root(lost, excess, 1e-2)


def of_precision_of_q(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of (z - mean)^2 / (sigma^2 + eps) in log q."""
    z, mean, log_var = (points[f"log_q/0/{n}"] for n in ("z", "mean", "log_var"))
    squares = ((z - mean) ** 2).sum(axis=0)
    excess = 2.0 * float((yours["0/log_q"] - right["0/log_q"]).sum())
    return _root(lambda eps: squares * (np.exp(-log_var) - 1.0 / (np.exp(log_var) + eps)), excess)


def of_precision_of_score(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """eps of value (z - mean) / (sigma^2 + eps), in the column of the smallest sigma."""
    log_var = points["score_function_gradient/0/log_var"]
    narrow = int(np.argmin(log_var))
    excess = right["0/dmean"][:, narrow] / yours["0/dmean"][:, narrow] - 1.0
    return float(np.exp(log_var[narrow]) * np.median(excess))


def of_learning_rate(points: Arrays, yours: Arrays, right: Arrays) -> float:
    """The learning rate of theta - rate * step, where it should be 0.1."""
    theta = points["adam_step/0/theta"]
    steps = (theta - yours["0/new_theta"]) / (theta - right["0/new_theta"])
    return 0.1 * float(np.median(steps))


def _root(f: Callable[[float], Array], total: float, highest: float = 1e3) -> float:
    """eps of f(eps).sum() = total, for an f that grows with eps; nan if there is none."""
    low, high = np.log(1e-30), np.log(highest)
    if not f(np.exp(low)).sum() < total < f(np.exp(high)).sum():
        return float("nan")
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if f(np.exp(middle)).sum() > total else (middle, high)
    return float(np.exp(0.5 * (low + high)))
