"""Exercise 0: the dense layer.

    y = x W + b

x (N, n_in), W (n_in, n_out), b (n_out,), y (N, n_out): N examples, one a row.

Every exercise has the same form. `f(...)` returns its value and a cache: a tuple of whatever your
`f_backward` will need; nothing else reads it. `f_backward(dvalue, cache)` gets the gradient
of some loss with respect to f's value, and returns the gradients with respect to f's arguments, in
their order. `dx` always means d loss / d x, and has the shape of x.
"""

import numpy as np


def dense(x, W, b):
    """y = x W + b, (N, n_out), and the cache."""
    y = x @ W + b
    return y, (x, W)


def dense_backward(dy, cache):
    """dy = d loss / d y (N, n_out) -> dx (N, n_in), dW (n_in, n_out), db (n_out,).

    The loss depends on every y[n, k]. Which of them does one W[i, k] affect? And one b[k]?
    """
    x, W = cache
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dW, db


if __name__ == "__main__":
    y, cache = dense(np.ones((2, 3)), np.ones((3, 4)), np.zeros(4))
    gradients = zip(("dx", "dW", "db"), dense_backward(np.ones((2, 4)), cache))
    lines = [f"{name} = {np.asarray(a).tolist()}\n" for name, a in (("y", y), *gradients)]
    print("".join(lines), end="")
