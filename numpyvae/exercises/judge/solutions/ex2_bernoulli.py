"""Exercise 2: the sigmoid, and the Bernoulli log-likelihood from logits.

    sigmoid(x) = 1 / (1 + e^-x)

    log p(x | logits) = sum_d (x_d log p_d + (1 - x_d) log(1 - p_d)),   p = sigmoid(logits)
                      = sum_d (x_d logits_d - log(1 + e^logits_d))                  in nats

x (N, D) holds zeros and ones, logits (N, D) come out of a network, log p is one number for each
example, (N,). The two lines are equal on paper. In floating point the first takes the logarithm of
0 once a logit is large, and clipping p would hide that and lose the gradient. Values and gradients
must be right for logits up to +-10,000: log(1 + e^a) = max(a, 0) + log(1 + e^-|a|).
"""

import numpy as np


def sigmoid(x):
    """p = 1 / (1 + e^-x), in the shape of x, and the cache. No x may overflow."""
    p = 0.5 * (1.0 + np.tanh(0.5 * x))
    return p, p


def sigmoid_backward(dp, cache):
    """dp = d loss / d p -> dx, in the shape of x."""
    p = cache
    dx = dp * p * (1.0 - p)
    return dx


def bernoulli_log_prob(x, logits):
    """log p(x | logits) of each example, (N,) nats, and the cache. x, logits (N, D)."""
    softplus = np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))
    log_prob = (x * logits - softplus).sum(axis=1)
    return log_prob, (x, logits)


def bernoulli_log_prob_backward(dlog_prob, cache):
    """dlog_prob = d loss / d log_prob (N,) -> dlogits (N, D). The data x need no gradient."""
    x, logits = cache
    p = 0.5 * (1.0 + np.tanh(0.5 * logits))
    dlogits = dlog_prob[:, None] * (x - p)
    return dlogits


if __name__ == "__main__":
    logits = np.array([[-10000.0, -1.0, 0.0, 1.0, 10000.0]])
    text = f"sigmoid: {sigmoid(logits)[0]}\n"
    log_prob, cache = bernoulli_log_prob(np.array([[0.0, 0.0, 1.0, 1.0, 1.0]]), logits)
    text += f"log p: {log_prob} dlogits: {bernoulli_log_prob_backward(np.ones(1), cache)}\n"
    print(text, end="")
