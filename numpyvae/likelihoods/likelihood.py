"""The members that a model needs of p(x|z)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from numpyvae.layers import Grads, Params
from numpyvae.numerics import Array
from numpyvae.standardization import Standardization

__all__ = ["Likelihood", "log_prob_table"]


class Likelihood(Protocol):
    """What a VAE needs of p(x|z). D data dimensions, D' = `output_dim(D)` decoder outputs."""

    shapes: Mapping[str, tuple[int, ...]]
    """The likelihood's own parameters, name -> shape; mostly none."""

    data_scale: float
    """The size of the data, by which the encoder's first weights are divided at the start."""

    standardization: Standardization | None
    """The standardisation before the encoder's first layer, or None."""

    def output_dim(self, data_dim: int) -> int:
        """D', the number of decoder outputs for D data dimensions."""

    def log_prob(self, params: Params, x: Array, output: Array) -> tuple[Array, Any]:
        """Log p(x|z) summed over dimensions: x (N, D), decoder output (N, D') -> (N,), cache."""

    def log_prob_backward(
        self, params: Params, grads: Grads, dlog_prob: Array, cache: Any
    ) -> Array:
        """dlog_prob (N,) -> doutput (N, D'); own parameters' gradients are added to `grads`."""

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Write the initial values of the likelihood's own parameters."""

    def mean(self, output: Array) -> Array:
        """E[x|z] from the decoder's output, (N, D') -> (N, D)."""

    def sample(self, params: Params, output: Array, rng: np.random.Generator) -> Array:
        """One draw x ~ p(x|z) for each row of the decoder's output, (N, D') -> (N, D)."""

    def check(self, x: Array, first_row: int = 0) -> None:
        """EntryError naming the first entry of x (N, D) that this likelihood cannot produce."""

    def config(self) -> dict[str, Any]:
        """{"name": ..., and the constructor's arguments}, as JSON can hold it."""

    text: ClassVar[str]
    """Its form on the command line: "binomial:COUNT"."""

    @classmethod
    def from_text(cls, argument: str) -> Likelihood:
        """The likelihood for the text after the colon on the command line, or ValueError."""

    @classmethod
    def examples(cls) -> Sequence[Likelihood]:
        """One of each kind, for the proofs of `numpyvae check`."""


def log_prob_table(likelihood: Likelihood, params: Params, x: Array, output: Array) -> Array:
    """Log p(x_n | output_g) of every x (N, D) with every output (G, D'): (N, G) nats.

    It uses the likelihood's own `log_prob_table` if there is one: a matrix product is much faster.
    """
    own = getattr(likelihood, "log_prob_table", None)
    if own is not None:
        table: Array = own(params, x, output)
        return table
    shape = len(output), x.shape[1]
    return np.stack([likelihood.log_prob(params, np.broadcast_to(a, shape), output)[0] for a in x])
