"""The methods shared by all models whose code is a list of M entries of a codebook (K, d)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpyvae import evaluation
from numpyvae.layers import Params, Sequential
from numpyvae.models.code_prior import CodePrior
from numpyvae.models.model import Model
from numpyvae.numerics import Array
from numpyvae.quantization import nearest
from numpyvae.validation import as_labels, positive_int

__all__ = ["DiscreteCodeModel"]


class DiscreteCodeModel(Model):
    """Encoder D-H-...-(M d), decoder (M d)-H-...-D', and a prior p(code); x determines the code."""

    encoder: Sequential
    decoder: Sequential
    prior: CodePrior
    n_positions: int
    code_dim: int
    n_codes: int

    activation: str
    hidden_dims: tuple[int, ...]

    def __repr__(self) -> str:
        widths = "-".join(map(str, (self.data_dim, *self.hidden_dims, self.code_dim)))
        codes = f"{self.n_positions} x {self.n_codes} codes"
        return f"{type(self).__name__}({widths}, {self.activation}, {codes}, {self.likelihood})"

    def vectors(self, params: Params, x: Array) -> tuple[Array, Any]:
        """z_e (N, M, d) of x (N, D), which is then quantised, and the cache of the encoder."""
        heads, cache = self.encoder.forward(params, x)
        return heads.reshape(len(x), self.n_positions, self.code_dim), cache

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """log p(x|z_q) + log p(code) <= log p(x): x determines the code, so q has no entropy."""
        return terms["log_px"] + terms["log_code"]

    # The fitted model, at its current theta.

    def elbo(self, x: Array) -> Array:
        """log p(x|z_q) + log p(code), a bound on log p(x) that counts its code, (N,) nats."""
        return evaluation.elbo(self, x)

    def log_px(self, x: Array) -> Array:
        """log p(x|z_q) of each example, without the code's log-probability, (N,) nats."""
        return evaluation.mean_terms(self, x, 1)["log_px"]

    def encode(self, x: Array) -> Array:
        """The code of each row of x (N, D): indices (N, M) into the codebook."""
        x, params = self.check_data(x), self.params
        return self.by_chunks(lambda x: nearest(self.vectors(params, x)[0], params["codebook"]), x)

    def _decoded(self, indices: Array, finish: Callable[[Array], Array]) -> Array:
        indices, params = np.asarray(indices), self.params
        if indices.ndim != 2 or indices.shape[1] != self.n_positions or not len(indices):
            expected = f"(N, M), N at least 1, M = {self.n_positions}"
            raise ValueError(f"indices must have shape {expected}, got {indices.shape}")
        flat = as_labels("indices", indices.ravel(), indices.size, self.n_codes)
        z_q = params["codebook"][flat].reshape(len(indices), -1)  # (N, M d)
        return self.by_chunks(lambda z: finish(self.decoder.forward(params, z)[0]), z_q)

    def decode(self, indices: Array) -> Array:
        """E[x|code], the means of p(x|z_q): indices (N, M) of 0, ..., K - 1 -> (N, D)."""
        return self._decoded(indices, self.likelihood.mean)

    def reconstruct(self, x: Array) -> Array:
        """E[x|code] at the code of x: (N, D) -> (N, D)."""
        return self.decode(self.encode(x))

    def sample(self, n: int, rng: np.random.Generator | None = None, mean: bool = True) -> Array:
        """n codes from the prior, decoded: the means (n, D), or with `mean=False` draws of x.

        `rng=None` draws from the model's seed, the same each time.
        """
        rng, params = self.generator(rng), self.params
        indices = self.prior.sample(params, rng, positive_int("n", n))
        if mean:
            return self.decode(indices)
        return self._decoded(indices, lambda out: self.likelihood.sample(params, out, rng))

    def perplexity(self, x: Array) -> float:
        """The perplexity of the codes of x, exp(entropy of their frequencies): 1 to K."""
        share = np.bincount(self.encode(x).ravel(), minlength=self.n_codes).astype(np.float64)
        share = share[share > 0] / share.sum()
        return float(np.exp(-(share * np.log(share)).sum()))
