"""A class that is known, and one that is not: the cross-entropy, and the exact sum over classes.

N examples, K classes. `logits` (N, K) give q(k|x) = softmax(logits), and are never put into a
softmax whose logarithm is then taken.
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
    "one_hot",
]


def one_hot(y: Array, n_classes: int, dtype: Any) -> Array:
    """Row n is 1 at y_n, else 0, (N, K); a row of zeros where y_n is -1."""
    return (y[:, None] == np.arange(n_classes)).astype(dtype)


def log_softmax(logits: Array) -> Array:
    """log q(k|x) = logits_k - log sum_j exp(logits_j), (N, K)."""
    return logits - logsumexp(logits, axis=-1)[:, None]


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

    The loss of an example whose class is not known: what it costs on average if the class is drawn
    from q, minus the entropy of q. If costs_nk bounds -log p(x_n, k) then U_n bounds -log p(x_n);
    it is least, -log sum_k exp(-costs_nk), at logits = -costs. Source: Kingma et al. 2014, eq. 7.
    """
    log_q = log_softmax(logits)
    q, total = np.exp(log_q), costs + log_q
    bound = (q * total).sum(axis=-1)
    return bound, (q, total, bound)


def marginal_bound_backward(
    dbound: Array, cache: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    """dcosts_nk = dU_n q_nk,  dlogits_nk = dU_n q_nk (costs_nk + log q_nk - U_n).

    The derivative of q log q is log q + 1; the ones weigh sum_k dq_nk = 0 and drop out.
    """
    q, total, bound = cache
    dcosts = dbound[:, None] * q
    return dcosts, dcosts * (total - bound[:, None])
