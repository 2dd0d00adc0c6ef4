"""Exercise 1: the activations ReLU and tanh.

    relu(x) = x where x > 0, else 0          tanh(x) = (e^x - e^-x) / (e^x + e^-x)

Both act on each entry separately: x, y, dy and dx have the same shape. At x = 0, take the
derivative of ReLU to be 0. Results must be finite for x up to +-800.
"""

import numpy as np


def relu(x):
    """y = x where x > 0, else 0, in the shape of x, and the cache."""
    y = np.where(x > 0, x, 0.0)
    return y, x


def relu_backward(dy, cache):
    """dy = d loss / d y -> dx = d loss / d x, in the shape of x. At x = 0 the slope counts as 0."""
    x = cache
    dx = dy * (x > 0)
    return dx


def tanh(x):
    """y = tanh(x), in the shape of x, and the cache."""
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, cache):
    """dy = d loss / d y -> dx = d loss / d x, in the shape of x."""
    y = cache
    dx = dy * (1.0 - y * y)
    return dx


if __name__ == "__main__":
    x, text = np.linspace(-2.0, 2.0, 5), ""
    for f, f_backward in ((relu, relu_backward), (tanh, tanh_backward)):
        y, cache = f(x)
        text += f"{f.__name__} x = {x} y = {y} dy/dx = {f_backward(np.ones(5), cache)}\n"
    print(text, end="")
