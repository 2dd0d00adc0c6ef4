"""p(x|z): how the decoder's output becomes a distribution over data.

A new likelihood is a class with the members of `Likelihood`; nothing else needs to change.
All log-probabilities are complete (normalising constants included), in nats, one per example.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from numpyvae.gaussian import (
    LOG_2PI,
    gaussian_log_prob,
    gaussian_log_prob_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
)
from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array, row_blocks, sigmoid, sigmoid_and_softplus
from numpyvae.standardization import Standardization, column_moments
from numpyvae.threads import share
from numpyvae.validation import (
    EntryError,
    check_finite,
    exact_text,
    first_entry,
    from_config,
    one_of,
    positive_int,
    positive_number,
)

__all__ = ["Bernoulli", "Binomial", "Gaussian", "Likelihood", "likelihood_from_config"]


TABLE = 2**16
"""Coefficients C(n, k) are kept in a table for n below this; beyond it, worked out as needed."""

LARGE = 5.0
"""Root mean square of a column that is too large for networks, which are made for inputs of 1."""


class Likelihood(Protocol):
    """What a VAE asks of p(x|z). D data dimensions, D' = `output_dim(D)` decoder outputs."""

    shapes: Mapping[str, tuple[int, ...]]
    """Parameters of the likelihood's own, name -> shape; mostly none."""

    data_scale: float
    """The size of the data; the encoder's first weights start that much smaller."""

    standardization: Standardization | None
    """What the encoder's input passes through first; None leaves it as it is."""

    def output_dim(self, data_dim: int) -> int:
        """D', how many numbers the decoder must give for D data dimensions."""

    def log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        """Log p(x|z) summed over dimensions: x (N, D), decoder output (N, D') -> (N,), cache."""

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> doutput (N, D'); own parameters' gradients are added to `grads`."""

    def initialize(self, params: Params) -> None:
        """Write the initial values of the likelihood's own parameters."""

    def mean(self, output: Array) -> Array:
        """E[x|z] from the decoder's output, (N, D') -> (N, D)."""

    def check(self, x: Array, first_row: int = 0) -> None:
        """EntryError naming the first entry of x (N, D) that this likelihood cannot produce."""

    def config(self) -> dict[str, Any]:
        """{"name": ..., and the constructor's arguments}, as JSON can hold it."""


class Binomial:
    """x_d ~ Binomial(n, p_d), n = total_count, p_d = sigmoid(logits_d), for counts 0, 1, ..., n.

    log p(x|z) = sum_d (log C(n, x_d) + x_d logits_d - n log(1 + exp(logits_d))).

    The probability is never formed on the way to the logarithm, so logits of +-1e4 are exact.
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
        """doutput = dlog_prob (x - n sigmoid(logits)): what was there, minus its mean."""
        x, mean = cache
        doutput = x - mean
        doutput *= dlog_prob[:, None]
        return doutput

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

    def initialize(self, params: Params) -> None:
        pass

    def mean(self, output: Array) -> Array:
        return self.total_count * sigmoid(output)

    def check(self, x: Array, first_row: int = 0) -> None:
        check_finite("x", x, first_row=first_row)
        outside = (x < 0) | (x > self.total_count) | (x != np.floor(x))
        if outside.any():
            row, column = first_entry(outside)
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


class Gaussian:
    """x_d ~ N(mean_d, variance), the mean from the decoder, for real data.

    log p(x|z) = -1/2 sum_d (log 2 pi + log_var_d + (x_d - mean_d)^2 / exp(log_var_d)).

    `Gaussian(variance=0.5)` is the squared-error VAE of the textbooks: log p(x|z) is then
    -||x - mean||^2 - (D/2) log pi, the squared error with weight one, up to a constant.

    Data in units of their own (years, prices, pascals) are standardised: with a `shift` and a
    `scale` for each dimension, y = (x - shift) / scale is what the encoder and the formula above
    see, and log p(x|z) = log p(y|z) - sum_d log scale_d is the density of x in its own units.
    `Gaussian("shared").scaled_to(x_train)` takes both from the data.

    Args:
        variance: a number above zero (fixed), "shared" (one learned log-variance, the parameter
            "likelihood.log_var" (1,), which starts at 0), or "per_dimension" (the decoder gives D
            means, then D log-variances). It is the variance of y: in units of scale^2.
        shift, scale: a number, or one for each dimension (D,); scale above zero.
    """

    data_scale = 1.0

    def __init__(self, variance: float | str = 1.0, shift: Any = None, scale: Any = None) -> None:
        if isinstance(variance, str):
            one_of("variance", variance, ("shared", "per_dimension"))
        else:
            variance = positive_number("variance", variance)
        self.variance = variance
        self.standardization: Standardization | None = None
        if shift is not None or scale is not None:
            self.standardization = Standardization(
                0.0 if shift is None else shift, 1.0 if scale is None else scale
            )
        self.shapes: Mapping[str, tuple[int, ...]] = (
            {"likelihood.log_var": (1,)} if variance == "shared" else {}
        )

    def __repr__(self) -> str:
        standardized = "" if self.standardization is None else ", standardized"
        return f"Gaussian(variance={self.variance!r}{standardized})"

    def scaled_to(self, x: Array) -> Gaussian:
        """The same with the means and standard deviations of the columns of x (N, D).

        A constant column keeps scale 1. Raises ValueError that names the first NaN or infinity.
        """
        return Gaussian(self.variance, **Standardization.of(x).config())

    def output_dim(self, data_dim: int) -> int:
        if self.standardization is not None:
            self.standardization.check_dim(data_dim)
        return 2 * data_dim if self.variance == "per_dimension" else data_dim

    def log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        if self.standardization is None:
            return self._log_prob(params, x, output)
        y, _ = self.standardization.forward(params, x)
        log_prob, cache = self._log_prob(params, y, output)
        return log_prob - self.standardization.log_scale(x.shape[-1]), cache

    def _log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        """As `log_prob`, of standardised x."""
        if self.variance == "per_dimension":
            return gaussian_log_prob(x, *mean_and_log_var(output))
        # One variance for all: only the squared distance has to be summed, one exp serves all.
        log_var, precision = self._log_var_and_precision(params)
        residual = x - output  # (N, D)
        squared = (residual * residual).sum(axis=-1)  # ||x - mean||^2, (N,)
        log_prob = -0.5 * (x.shape[-1] * (LOG_2PI + log_var) + precision * squared)
        return log_prob, (residual, squared, precision)

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dmean = dlog_prob (x - mean) / var,  dlog_var = dlog_prob ((x - mean)^2 / var - 1) / 2.

        The shared log_var gets the sum over examples and dimensions.
        """
        if self.variance == "per_dimension":
            _, dmean, dlog_var = gaussian_log_prob_backward(dlog_prob, cache)
            return mean_and_log_var_backward(dmean, dlog_var)
        residual, squared, precision = cache
        if self.variance == "shared":
            dlog_var = 0.5 * dlog_prob * (precision * squared - residual.shape[-1])  # (N,)
            grads["likelihood.log_var"] += dlog_var.sum()
        return (precision * dlog_prob)[:, None] * residual

    def _log_var_and_precision(self, params: Params) -> tuple[Any, Any]:
        """Log variance and 1 / variance: arrays (1,) if learned, else Python floats.

        A float leaves the dtype of float32 arrays alone; a NumPy float64 would not.
        """
        if self.variance == "shared":
            log_var = params["likelihood.log_var"]
            return log_var, np.exp(-log_var)
        return math.log(float(self.variance)), 1.0 / float(self.variance)

    def initialize(self, params: Params) -> None:
        if self.variance == "shared":
            params["likelihood.log_var"][...] = 0.0

    def mean(self, output: Array) -> Array:
        mean = mean_and_log_var(output)[0] if self.variance == "per_dimension" else output
        return mean if self.standardization is None else self.standardization.undo(mean)

    def check(self, x: Array, first_row: int = 0) -> None:
        check_finite("x", x, first_row=first_row)

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """Of x (N, D) the column in the largest units, its size, a remedy; None: none is large."""
        if self.standardization is not None:
            return None
        mean, std = column_moments(x)
        sizes = np.hypot(mean, std)
        column = int(np.argmax(sizes))
        size = f"mean {mean[column]:.3g} and standard deviation {std[column]:.3g}"
        remedy = "Scale the data: take the likelihood Gaussian(...).scaled_to(x)"
        return (column, size, remedy) if sizes[column] > LARGE else None

    def config(self) -> dict[str, Any]:
        standardization = self.standardization.config() if self.standardization else {}
        return {"name": "Gaussian", "variance": self.variance, **standardization}


def likelihood_from_config(config: Mapping[str, Any]) -> Likelihood:
    """The likelihood that `config()` described. ValueError when it names none."""
    known = {"Bernoulli": Bernoulli, "Binomial": Binomial, "Gaussian": Gaussian}
    likelihood: Likelihood = from_config("likelihood", config, known)
    return likelihood
