"""Losses for known and unknown classes: cross-entropy, the sum over classes, and both in one.

N examples, K classes. `logits` (N, K) give q(k|x) = softmax(logits). Nothing here takes the
logarithm of a softmax; log q comes directly from the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.numerics import Array, logsumexp

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "log_softmax",
    "marginal_bound",
    "marginal_bound_backward",
    "of_class",
    "one_hot",
    "semi_supervised_loss",
    "semi_supervised_loss_backward",
]


def one_hot(y: Array, n_classes: int, dtype: Any) -> Array:
    """Row n is 1 at y_n, else 0, (N, K); a row of zeros where y_n is -1."""
    return (y[:, None] == np.arange(n_classes)).astype(dtype)


def log_softmax(logits: Array) -> Array:
    """log q(k|x) = logits_k - log sum_j exp(logits_j), (N, K)."""
    return logits - logsumexp(logits, axis=-1)[:, None]


def of_class(log_joint: Array, y: Array) -> Array:
    """Column y of log p(x, k) (N, K), or log p(x), summed over k, where y is -1: (N,) nats."""
    return np.where(y < 0, logsumexp(log_joint, axis=-1), log_joint[np.arange(len(y)), y])


def cross_entropy(logits: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
    """-log q(y_n|x_n) = log sum_k exp(logits_nk) - logits_n[y_n], (N,) nats; 0 where y_n is -1."""
    log_q = log_softmax(logits)
    chosen = one_hot(y, logits.shape[-1], logits.real.dtype)  # (N, K)
    return -(chosen * log_q).sum(axis=-1), (log_q, chosen)


def cross_entropy_backward(dvalue: Array, cache: tuple[Array, Array]) -> tuple[Array]:
    """dlogits = dvalue (q - one_hot(y)), (N, K); 0 where y is -1."""
    log_q, chosen = cache
    known = chosen.sum(axis=-1, keepdims=True)
    return (dvalue[:, None] * (known * np.exp(log_q) - chosen),)


def marginal_bound(costs: Array, logits: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """U_n = sum_k q_nk (costs_nk + log q_nk), q = softmax(logits): (N, K) twice -> (N,) nats.

    The loss of an example whose class is not known: the expected cost under q, minus the entropy of
    q. If costs_nk bounds -log p(x_n, k), then U_n bounds -log p(x_n). Its minimum is
    -log sum_k exp(-costs_nk), at logits = -costs. Source: Kingma et al. 2014, eq. 7.
    """
    log_q = log_softmax(logits)
    q, total = np.exp(log_q), costs + log_q
    bound = (q * total).sum(axis=-1)
    return bound, (q, total, bound)


def marginal_bound_backward(
    dbound: Array, cache: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """dcosts_nk = dU_n q_nk,  dlogits_nk = dU_n q_nk (costs_nk + log q_nk - U_n).

    The derivative of q log q is log q + 1; the ones drop out, because sum_k dq_nk = 0.
    """
    q, total, bound = cache
    dcosts = dbound[:, None] * q
    return dcosts, dcosts * (total - bound[:, None])


def semi_supervised_loss(costs: Array, logits: Array, y: Array, alpha: float) -> tuple[Any, Any]:
    """mean_n(costs_n[y_n], or U_n where y_n is -1) + alpha mean(-log q(y_n|x_n) where it is not).

    costs, logits (N, K), y (N,); U is the `marginal_bound`. The second mean is over the examples
    with a label, so that alpha has the same weight however few they are; without any label there is
    no such term. The cache begins with the terms (N,): loss = mean(-elbo + alpha cross_entropy).
    """
    bound, bound_cache = marginal_bound(costs, logits)  # (N,)
    nats, entropy_cache = cross_entropy(logits, y)  # (N,)
    chosen = entropy_cache[1]  # one_hot(y), (N, K)
    each = (chosen * costs).sum(axis=-1) + (y < 0) * bound
    weight = alpha / max(1, int((y >= 0).sum()))
    loss = each.mean() + weight * nats.sum()
    terms = {"elbo": -each}
    if n_known := int((y >= 0).sum()):
        terms["cross_entropy"] = nats * (len(y) / n_known)
    return loss, (terms, chosen, weight, bound_cache, entropy_cache)


def semi_supervised_loss_backward(dloss: float, cache: Any) -> tuple[Array, Array]:
    """dcosts = dloss / N one_hot(y), or dloss / N q where y is -1; and dlogits, (N, K) each.

    dlogits is that of U where y is -1, and dloss alpha / N_y (q - one_hot(y)) elsewhere, with N_y
    the number of known labels.
    """
    _, chosen, weight, bound_cache, entropy_cache = cache
    known, part = chosen.sum(axis=-1), dloss / len(chosen)
    dcosts, dlogits = marginal_bound_backward(part * (1.0 - known), bound_cache)
    (dlogits_known,) = cross_entropy_backward(dloss * weight * known, entropy_cache)
    return part * chosen + dcosts, dlogits_known + dlogits
