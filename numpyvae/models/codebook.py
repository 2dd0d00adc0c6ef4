"""The codebook: K codes, how they start, and how a moving average updates them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from numpyvae.classes import one_hot
from numpyvae.layers import Params
from numpyvae.numerics import Array
from numpyvae.quantization import nearest

__all__ = ["Codebook"]


class Codebook:
    """The parameter "codebook" (K, d), and the state that training keeps for it.

    It starts as random normal numbers. The first training step replaces them with outputs of the
    encoder: a code far from all outputs would never be chosen, and so would never move.

    Args:
        n_codes, code_dim: K and d.
        decay: g in [0, 1); each code is then a moving average of the encoder outputs that chose it,
            and each step multiplies the weight of the past by g. Codes that were not chosen stay
            where they are. With g = 0 a step on all data is a step of Lloyd's k-means. With None
            the codes follow a gradient.
    """

    def __init__(self, n_codes: int, code_dim: int, decay: float | None) -> None:
        self.shapes: Mapping[str, tuple[int, ...]] = {"codebook": (n_codes, code_dim)}
        self.decay = decay
        self.started = np.zeros(1)  # 1 once the codes are outputs of the encoder

    @cached_property
    def counts(self) -> Array:
        """How often each code is chosen in a step, on average, (K,); 1 at the beginning."""
        return np.ones(self.shapes["codebook"][0])

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        params["codebook"][...] = rng.standard_normal(params["codebook"].shape)

    def state(self) -> dict[str, Array]:
        return {"codebook.started": self.started, "codebook.counts": self.counts}

    def after_step(self, params: Params, z_e: Array) -> None:
        """Set the codes to the first of z_e (N, M, d) at the first call; average them later."""
        codebook, vectors = params["codebook"], z_e.reshape(-1, z_e.shape[-1])
        if not self.started[0]:
            first = vectors[: len(codebook)]
            codebook[: len(first)] = first
            self.started[0] = 1.0
        elif self.decay is not None:
            self.average(codebook, z_e)

    def average(self, codebook: Array, z_e: Array) -> None:
        """n_k <- g n_k + (1 - g) count_k;  code_k <- (g n_k code_k + (1 - g) sum of z_e) / new n_k.

        If counts and sums started at 0, a code that is not chosen early would be 0/0. So counts
        start at 1, and sums at the code. Source: van den Oord et al. 2017, appendix A.1.
        """
        g, vectors = float(self.decay or 0.0), z_e.reshape(-1, z_e.shape[-1])
        chosen = one_hot(nearest(z_e, codebook).ravel(), len(codebook), np.float64).T  # (K, N M)
        sums = g * self.counts[:, None] * codebook + (1.0 - g) * (chosen @ vectors)
        self.counts[...] = g * self.counts + (1.0 - g) * chosen.sum(axis=1)
        used = chosen.any(axis=1)
        codebook[used] = sums[used] / self.counts[used, None]
