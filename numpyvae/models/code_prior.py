"""p(c_1, ..., c_M): an autoregressive table over discrete codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyvae.classes import log_softmax
from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array

__all__ = ["CodePrior"]

FIRST, NEXT = "prior.first", "prior.next"


class CodePrior:
    """p(c) = p(c_1) prod_m p(c_m|c_{m-1}), each a softmax of a row of logits.

    "prior.first" (K,) holds the logits of c_1. "prior.next" (M - 1, K, K) holds, for each later
    position, one row of logits for each value of the code before it. All are 0 at the beginning:
    p(c) = K^-M.

    Args:
        n_positions, n_codes: M and K.
    """

    def __init__(self, n_positions: int, n_codes: int) -> None:
        M, K = self.n_positions, self.n_codes = n_positions, n_codes
        self.shapes: Mapping[str, tuple[int, ...]] = {FIRST: (K,), NEXT: (M - 1, K, K)}

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        for name in self.shapes:
            params[name][...] = 0.0

    def log_prob(self, params: Params, index: Array) -> tuple[Array, Any]:
        """Log p(c) of codes (N, M), (N,) nats, and the cache."""
        M, K = self.n_positions, self.n_codes
        logits = np.concatenate((params[FIRST][None], params[NEXT].reshape(-1, K)))
        log_p = log_softmax(logits)  # (1 + (M - 1) K, K), a row for each code before
        row = np.zeros_like(index)  # (N, M), that of c_1, then those of c_m given c_{m-1}
        row[:, 1:] = 1 + K * np.arange(M - 1) + index[:, :-1]
        return log_p[row, index].sum(axis=1), (log_p, row * K + index)

    def log_prob_backward(self, grads: Grads, dlog_prob: Array, cache: Any) -> None:
        """dlogits = C - p sum_k C_k in each row; C_k sums the cotangents where code k was chosen.

        The codes themselves have no gradient.
        """
        log_p, entry = cache
        weights = np.repeat(dlog_prob, self.n_positions)
        C = np.bincount(entry.ravel(), weights, log_p.size).reshape(log_p.shape)
        dlogits = C - C.sum(axis=1, keepdims=True) * np.exp(log_p)
        grads[FIRST] += dlogits[0]
        grads[NEXT] += dlogits[1:].reshape(grads[NEXT].shape)

    def sample(self, params: Params, rng: np.random.Generator, n: int) -> Array:
        """n sequences of codes, (n, M), each position drawn given the one before."""
        codes = np.empty((n, self.n_positions), np.intp)
        logits = np.broadcast_to(params[FIRST], (n, self.n_codes))
        for m in range(self.n_positions):
            # the largest of logits + Gumbel noise is a draw of softmax(logits)
            gumbel = rng.gumbel(size=logits.shape)
            codes[:, m] = (log_softmax(logits) + gumbel).argmax(axis=1)
            logits = params[NEXT][m, codes[:, m]] if m + 1 < self.n_positions else logits
        return codes
