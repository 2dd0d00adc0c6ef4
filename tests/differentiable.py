"""Functions with right gradients that have nothing to do with autoencoders, drawn at random.

Each maker takes a Generator and returns f, a point, and the gradient function.
"""

import numpy as np


def quadratic(rng):
    n = int(rng.integers(1, 12))
    a, b = rng.standard_normal((n, n)), rng.standard_normal(n)
    return (
        lambda t: 0.5 * t @ a @ t + b @ t,
        rng.standard_normal(n),
        lambda t: 0.5 * (a + a.T) @ t + b,
    )


def log_sum_exp(rng):
    m, n = rng.integers(2, 12, 2)
    a = rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-1, 1)

    def f(t):
        s = a @ t
        top = np.max(s.real)
        return top + np.log(np.sum(np.exp(s - top)))

    def grad(t):
        e = np.exp(a @ t - np.max(a @ t))
        return a.T @ (e / e.sum())

    return f, rng.standard_normal(n), grad


def matrix_inverse(rng):
    n = int(rng.integers(2, 6))
    b = rng.standard_normal((n, n))
    theta = rng.standard_normal((n, n)) + 2.0 * np.eye(n)

    def grad(t):
        inverse = np.linalg.inv(t)
        return -inverse.T @ b @ inverse.T

    return lambda t: np.sum(b * np.linalg.inv(t)), theta, grad


def recurrent(rng):
    """A tanh network that reads T steps; theta is a dict."""
    steps, n, d, h = rng.integers(2, 6, 4)
    x, y = rng.standard_normal((steps, n, d)), rng.standard_normal((n, h))
    theta = {
        "U": 0.6 * rng.standard_normal((d, h)),
        "W": 0.6 * rng.standard_normal((h, h)),
        "b": rng.standard_normal(h),
    }

    def states(p):
        out = [np.zeros((n, h))]
        for t in range(steps):
            out.append(np.tanh(x[t] @ p["U"] + out[-1] @ p["W"] + p["b"]))
        return out

    def grad(p):
        s = states(p)
        g = {k: np.zeros_like(v) for k, v in p.items()}
        dh = (s[-1] - y) / n
        for t in reversed(range(steps)):
            da = dh * (1.0 - s[t + 1] ** 2)
            g["U"] += x[t].T @ da
            g["W"] += s[t].T @ da
            g["b"] += da.sum(0)
            dh = da @ p["W"].T
        return g

    return lambda p: 0.5 * np.sum((states(p)[-1] - y) ** 2) / n, theta, grad


def logistic_regression(rng):
    n, d, k = rng.integers(2, 8, 3)
    x, y = rng.standard_normal((n, d)), np.eye(k)[rng.integers(0, k, n)]
    theta = {"W": rng.standard_normal((d, k)), "b": rng.standard_normal(k)}

    def log_prob(p):
        s = x @ p["W"] + p["b"]
        s = s - np.max(s.real, axis=1, keepdims=True)
        return s - np.log(np.sum(np.exp(s), axis=1, keepdims=True))

    def grad(p):
        d = (np.exp(log_prob(p)) - y) / n
        return {"W": x.T @ d, "b": d.sum(0)}

    return lambda p: -np.sum(y * log_prob(p)) / n, theta, grad


def relu_network(rng):
    n, d, h = rng.integers(2, 9, 3)
    x = rng.standard_normal((n, d))
    theta = {
        "W": rng.standard_normal((d, h)),
        "b": rng.standard_normal(h),
        "v": rng.standard_normal(h),
    }

    def f(p):
        a = x @ p["W"] + p["b"]
        return np.sum((np.where(a.real > 0, a, 0) @ p["v"] - 1.0) ** 2)

    def grad(p):
        a = x @ p["W"] + p["b"]
        r = 2.0 * (np.maximum(a, 0) @ p["v"] - 1.0)
        da = r[:, None] * p["v"] * (a > 0)
        return {"W": x.T @ da, "b": da.sum(0), "v": np.maximum(a, 0).T @ r}

    return f, theta, grad


def shift_invariant(rng):
    """The gradient of c is exactly zero, and rounding is all that is left of it."""
    d = int(rng.integers(2, 8))
    x = rng.standard_normal(d)
    theta = {"a": rng.standard_normal(d), "c": rng.standard_normal(1)}

    def f(p):
        s = p["a"] + p["c"]
        return np.sum(np.tanh((s - np.sum(s) / d) * x))

    def grad(p):
        s = p["a"] + p["c"]
        g = x * (1.0 - np.tanh((s - np.mean(s)) * x) ** 2)
        g = g - g.mean()
        return {"a": g, "c": np.array([g.sum()])}

    return f, theta, grad


def in_other_units(rng):
    """Any scale between 1e-12 and 1e12."""
    f, theta, grad = (quadratic, log_sum_exp, matrix_inverse)[rng.integers(3)](rng)
    c = 10.0 ** rng.uniform(-12, 12)
    return (lambda t: c * f(t)), theta, (lambda t: c * grad(t))


def with_an_offset(rng):
    """A value much larger than the slopes, as a log-likelihood has."""
    f, theta, grad = (quadratic, log_sum_exp, matrix_inverse)[rng.integers(3)](rng)
    c = 10.0 ** rng.uniform(-3, 5)
    return (lambda t: c + f(t)), theta, grad


MAKERS = (
    quadratic,
    log_sum_exp,
    matrix_inverse,
    recurrent,
    logistic_regression,
    relu_network,
    shift_invariant,
    in_other_units,
    with_an_offset,
)


def network(rng, n=5):
    """A two-layer ReLU network with an active, an inactive and mixed units; theta is a dict."""
    x, target = rng.standard_normal((n, 4)), rng.standard_normal((n, 3))
    theta = {
        "W": rng.standard_normal((4, 6)),
        "b": np.array([0.3, 20.0, -20.0, -0.2, 0.5, 0.1]),
        "V": rng.standard_normal((6, 3)),
        "c": rng.standard_normal(3),
    }

    def f(p):
        a = x @ p["W"] + p["b"]
        y = np.where(a.real > 0, a, 0) @ p["V"] + p["c"]
        return 0.5 * np.sum((y - target) ** 2) / n

    def grad(p, relu=True):
        a = x @ p["W"] + p["b"]
        h = np.maximum(a, 0)
        d = (h @ p["V"] + p["c"] - target) / n
        da = d @ p["V"].T * ((a > 0) if relu else 1.0)
        return {"W": x.T @ da, "b": da.sum(0), "V": h.T @ d, "c": d.sum(0)}

    return f, theta, grad
