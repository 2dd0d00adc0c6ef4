"""Counts and coins: the Binomial likelihood, and the Bernoulli of one trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array, magnitude, row_blocks, sigmoid, sigmoid_and_softplus
from numpyvae.standardization import Standardization
from numpyvae.threads import share
from numpyvae.validation import EntryError, check_finite, exact_text, first_entry, positive_int

__all__ = ["Bernoulli", "Binomial"]

TABLE = 2**16
"""For n below this, the coefficients C(n, k) are in a table; beyond it they are computed."""


class Binomial:
    """x_d ~ Binomial(n, p_d), n = total_count, p_d = sigmoid(logits_d), for counts 0, 1, ..., n.

    log p(x|z) = sum_d (log C(n, x_d) + x_d logits_d - n log(1 + exp(logits_d))).

    The logarithm is computed without the probability itself, so logits of +-1e4 are exact.
    """

    shapes: Mapping[str, tuple[int, ...]] = {}
    standardization: Standardization | None = None

    def __init__(self, total_count: int) -> None:
        self.total_count = positive_int("total_count", total_count)
        if self.total_count > 2**53:
            raise ValueError("total_count must be at most 2^53: no float64 tells larger ones apart")
        self.data_scale = float(self.total_count)

    def __repr__(self) -> str:
        return f"Binomial({self.total_count})"

    def output_dim(self, data_dim: int) -> int:
        return data_dim

    def log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        logits, n = output, self.total_count
        mean, log_prob = np.empty_like(logits), np.empty(len(logits), logits.dtype)  # (N, D), (N,)
        ones = np.ones(logits.shape[-1], logits.dtype)

        def block(rows: slice) -> None:
            p, softplus = sigmoid_and_softplus(logits[rows])
            softplus *= n
            terms = x[rows] * logits[rows]
            terms -= softplus
            log_prob[rows] = terms @ ones  # the sum over d, faster than terms.sum(axis=-1)
            np.multiply(p, n, out=mean[rows])

        share(block, list(row_blocks(logits)))
        return log_prob + self._log_coefficient(x), (x, mean)

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """doutput = dlog_prob (x - n sigmoid(logits)): the count minus its mean."""
        x, mean = cache
        doutput = x - mean
        doutput *= dlog_prob[:, None]
        return doutput

    def log_prob_table(self, params: Params, x: Array, output: Array) -> Array:
        """Log p(x_n | logits_g) of every x (N, D) with every logits (G, D): (N, G) nats."""
        softplus = np.log(1.0 + np.exp(-magnitude(output)))  # half the time of log1p
        softplus += np.maximum(output, 0.0)
        table: Array = x @ output.T - self.total_count * softplus.sum(axis=-1)  # (N, G)
        return table + np.reshape(self._log_coefficient(x), (-1, 1))

    def _log_coefficient(self, x: Array) -> Array | float:
        """sum_d log C(n, x_d), (N,), in the dtype of x."""
        with np.errstate(invalid="ignore"):
            counts: Array = x.astype(np.intp)
        if (counts != x).any() or counts.min() < 0 or counts.max() > self.total_count:
            self.check(x)
        if self.total_count < TABLE:
            log_choose = self._table[counts]
        else:
            k, where = np.unique(counts, return_inverse=True)
            log_choose = self._log_choose(k)[where.reshape(counts.shape)]
        return log_choose.sum(axis=-1).astype(x.dtype)

    @cached_property
    def _table(self) -> Array:
        """log C(n, k) for k = 0, ..., n."""
        return self._log_choose(range(self.total_count + 1))

    def _log_choose(self, counts: Iterable[int]) -> Array:
        lgamma, n = math.lgamma, self.total_count
        return np.array([lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in counts])

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Do nothing: it has no parameters."""

    def mean(self, output: Array) -> Array:
        return self.total_count * sigmoid(output)

    def sample(self, params: Params, output: Array, rng: np.random.Generator) -> Array:
        p = np.clip(sigmoid(output.astype(np.float64)), 0.0, 1.0)  # of a draw, not of a logarithm
        return rng.binomial(self.total_count, p).astype(output.dtype)

    def check(self, x: Array, first_row: int = 0) -> None:
        inside = (x >= 0) & (x <= self.total_count) & (x == np.floor(x))  # NaN and infinity are not
        if not inside.all():
            check_finite("x", x, first_row=first_row)
            row, column = first_entry(~inside)
            values = (
                "0 or 1 (for grey values take a Binomial or Gaussian likelihood, or binarise them)"
                if self.total_count == 1
                else f"a count 0, 1, ..., {self.total_count}"
            )
            problem = f"is outside the support of {self!r}: expected {values}"
            value = exact_text(x[row, column])
            raise EntryError("x", first_row + row, column, f"= {value} {problem}")

    def config(self) -> dict[str, Any]:
        return {"name": "Binomial", "total_count": self.total_count}

    text: ClassVar[str] = "binomial:COUNT"

    @classmethod
    def from_text(cls, argument: str) -> Binomial:
        try:
            return cls(int(argument))
        except ValueError:
            raise ValueError("COUNT a whole number from 1 to 2^53") from None

    @classmethod
    def examples(cls) -> tuple[Binomial, ...]:
        return (cls(16),)


class Bernoulli(Binomial):
    """x_d ~ Bernoulli(p_d), p_d = sigmoid(logits_d), for x in {0, 1}: a Binomial of one trial.

    log p(x|z) = sum_d (x_d logits_d - log(1 + exp(logits_d))), and d / d logits = x - p.
    """

    def __init__(self) -> None:
        super().__init__(total_count=1)

    def __repr__(self) -> str:
        return "Bernoulli()"

    def _log_coefficient(self, x: Array) -> Array | float:
        return 0.0  # C(1, 0) = C(1, 1) = 1

    def config(self) -> dict[str, Any]:
        return {"name": "Bernoulli"}

    text: ClassVar[str] = "bernoulli"

    @classmethod
    def from_text(cls, argument: str) -> Bernoulli:
        if argument:
            raise ValueError("which takes no number")
        return cls()

    @classmethod
    def examples(cls) -> tuple[Bernoulli, ...]:
        return (cls(),)
