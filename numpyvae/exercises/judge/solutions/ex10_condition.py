"""Exercise 10: a model that is given the class, and samples of one class.

The conditional VAE gives the label y to encoder and decoder. A label is not a quantity: it selects
a row of weights, W_y[y], which is added to the first layer's output,

    pre_n = x_n W + b + W_y[y_n]

x (N, n_in), y (N,) whole numbers from 0 to K - 1, W (n_in, H), b (H,), W_y (K, H). That is
the same as appending a one-hot label to x. If the class is unknown, every class is tried: pre has
shape (N, K, H), and x W + b is the same for all K.

To sample class y, draw z from the prior, decode it with W_y[y], and draw each pixel: it is 1 where
a number drawn between 0 and 1, `uniform` (N, D), is below its probability.
"""

import numpy as np


def condition(x, y, W, b, W_y):
    """pre_n = x_n W + b + W_y[y_n], (N, H), and the cache."""
    pre = x @ W + b + W_y[y]
    return pre, (x, y, W, len(W_y))


def condition_backward(dpre, cache):
    """dpre = d loss / d pre (N, H) -> dx (N, n_in), dW (n_in, H), db (H,), dW_y (K, H)."""
    x, y, W, K = cache
    dx = dpre @ W.T
    dW = x.T @ dpre
    db = dpre.sum(axis=0)
    one_hot = np.eye(K)[y]  # (N, K)
    dW_y = one_hot.T @ dpre
    return dx, dW, db, dW_y


def every_class(x, W, b, W_y):
    """pre_nk = x_n W + b + W_y[k] for every class k, (N, K, H), and the cache."""
    pre = (x @ W + b)[:, None] + W_y
    return pre, (x, W)


def every_class_backward(dpre, cache):
    """dpre = d loss / d pre (N, K, H) -> dx (N, n_in), dW (n_in, H), db (H,), dW_y (K, H)."""
    x, W = cache
    da = dpre.sum(axis=1)  # of a = x W + b, (N, H)
    dx = da @ W.T
    dW = x.T @ da
    db = da.sum(axis=0)
    dW_y = dpre.sum(axis=0)
    return dx, dW, db, dW_y


def sample_given_class(params, y, z, uniform):
    """x of class y, zeros and ones (N, D), and the probabilities of its pixels (N, D).

    Decode z (N, L): the layer with the label, tanh, a dense layer, the sigmoid. params is a dict:
    decoder.0.W (L, H), .b (H,) and .W_y (K, H), decoder.1.W (H, D) and .b (D,).
    """
    pre = z @ params["decoder.0.W"] + params["decoder.0.b"] + params["decoder.0.W_y"][y]
    logits = np.tanh(pre) @ params["decoder.1.W"] + params["decoder.1.b"]
    probabilities = 1.0 / (1.0 + np.exp(-logits))
    x = np.where(uniform < probabilities, 1.0, 0.0)
    return x, probabilities


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    x, W, b, W_y = (rng.standard_normal(shape) for shape in ((5, 4), (4, 3), 3, (2, 3)))
    y = np.array([0, 1, 1, 0, 1])
    told, _ = condition(x, y, W, b, W_y)
    tried, _ = every_class(x, W, b, W_y)
    print("of all classes, the one that was told:", np.allclose(told, tried[np.arange(5), y]))
