"""Exercise 1: softmax and the cross-entropy.

Shapes: N examples, K classes. For each example, with a = logits and the class y,

    loss = -log softmax(a)_y = log sum_k exp(a_k) - a_y

The logits may be in the thousands.
"""

import numpy as np


def cross_entropy(logits, y):
    """losses (N,) of logits (N, K) and classes y (N,), whole numbers. Returns (losses, cache)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(y)), y], (log_p, y)


def cross_entropy_backward(dlosses, cache):
    """dlogits (N, K), of dlosses (N,)."""
    log_p, y = cache
    dlogits = np.exp(log_p)
    dlogits[np.arange(len(y)), y] -= 1.0
    return dlosses[:, None] * dlogits
