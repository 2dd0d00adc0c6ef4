"""Real numbers: the Gaussian likelihood, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from numpyvae.gaussian import (
    LOG_2PI,
    gaussian_log_prob,
    gaussian_log_prob_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
)
from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array
from numpyvae.standardization import Standardization, column_moments
from numpyvae.validation import check_finite, one_of, positive_number

__all__ = ["Gaussian"]

LEARNED = ("shared", "per_dimension")

LARGE = 5.0
"""A column with a larger root mean square is too large for a network, made for inputs of 1."""


class Gaussian:
    """x_d ~ N(mean_d, variance), the mean from the decoder, for real data.

    log p(x|z) = -1/2 sum_d (log 2 pi + log_var_d + (x_d - mean_d)^2 / exp(log_var_d)).

    `Gaussian(variance=0.5)` is the squared-error VAE of the textbooks: log p(x|z) is then
    -||x - mean||^2 - (D/2) log pi, the squared error with weight one, up to a constant.

    Data in their own units (years, prices, pascals) are standardised: with a `shift` and a `scale`
    for each dimension, the encoder and the formula above use y = (x - shift) / scale, and
    log p(x|z) = log p(y|z) - sum_d log scale_d is the density of x in its own units.
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
            one_of("variance", variance, LEARNED)
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
        # One variance for all: only the squared distance is summed, and one exp is enough.
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

    def log_prob_table(self, params: Params, x: Array, output: Array) -> Array:
        """Log p(x_n | output_g) of every x (N, D) with every output (G, D'): (N, G) nats.

        In float64, because (x - mean)^2 is multiplied out.
        """
        x, output = x.astype(np.float64), output.astype(np.float64)
        log_scale = 0.0
        if self.standardization is not None:
            x, _ = self.standardization.forward(params, x)
            log_scale = self.standardization.log_scale(x.shape[-1])
        if self.variance == "per_dimension":
            mean, log_var = mean_and_log_var(output)  # (G, D) each
        else:
            mean, log_var = (
                output,
                np.broadcast_to(self._log_var_and_precision(params)[0], output.shape),
            )
        weighted = mean * (precision := np.exp(-log_var))
        squares = (x * x) @ precision.T - 2.0 * x @ weighted.T + (mean * weighted).sum(axis=-1)
        return -0.5 * (squares + (LOG_2PI + log_var).sum(axis=-1)) - log_scale  # (N, G)

    def _log_var_and_precision(self, params: Params) -> tuple[Any, Any]:
        """Log variance and 1 / variance: arrays (1,) if learned, else Python floats.

        A Python float keeps float32 arrays float32; a NumPy float64 would not.
        """
        if self.variance == "shared":
            log_var = params["likelihood.log_var"]
            return log_var, np.exp(-log_var)
        return math.log(float(self.variance)), 1.0 / float(self.variance)

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        if self.variance == "shared":
            params["likelihood.log_var"][...] = 0.0

    def mean(self, output: Array) -> Array:
        mean = mean_and_log_var(output)[0] if self.variance == "per_dimension" else output
        return mean if self.standardization is None else self.standardization.undo(mean)

    def sample(self, params: Params, output: Array, rng: np.random.Generator) -> Array:
        if self.variance == "per_dimension":
            mean, log_var = mean_and_log_var(output)
        else:
            mean, log_var = output, self._log_var_and_precision(params)[0]
        x = mean + np.exp(0.5 * log_var) * rng.standard_normal(mean.shape, mean.dtype)
        return x if self.standardization is None else self.standardization.undo(x)

    def check(self, x: Array, first_row: int = 0) -> None:
        check_finite("x", x, first_row=first_row)

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The column of x (N, D) in the largest units, its size, a remedy; or None."""
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

    text: ClassVar[str] = "gaussian:VARIANCE, gaussian:shared or gaussian:per_dimension"

    @classmethod
    def from_text(cls, argument: str) -> Gaussian:
        try:
            return cls(argument if argument in LEARNED else float(argument))
        except ValueError:
            raise ValueError("VARIANCE a number above 0") from None

    @classmethod
    def examples(cls) -> tuple[Gaussian, ...]:
        return cls(0.5), cls("shared"), cls("per_dimension")
