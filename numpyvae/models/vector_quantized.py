"""The vector-quantised VAE: the code is a list of entries of a codebook.

What is new in the gradient path: choosing the nearest code is a step function, so the decoder's
cotangent is copied "straight through" to the encoder, and the codebook has a loss term of its own.
This is not the derivative of the loss: while the nearest code stays the same, z_q does not change
with the encoder, so the encoder's true derivative of the reconstruction is 0. van den Oord et al.
2017.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.layers import ACTIVATIONS, Grads, Params
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.code_prior import CodePrior
from numpyvae.models.codebook import Codebook
from numpyvae.models.discrete import DiscreteCodeModel
from numpyvae.models.model import Sizes
from numpyvae.models.networks import check_likelihood, decoder_of, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.quantization import Held, hold, quantize, quantize_backward
from numpyvae.validation import fraction, one_of, positive_int, positive_number

__all__ = ["VectorQuantizedVAE"]


class VectorQuantizedVAE(DiscreteCodeModel):
    """code_m = argmin_k ||z_e,m - codebook_k||, m = 1, ..., M; decoder p(x|z_q), prior p(code)."""

    def forward(
        self, params: Params, x: Array, noise: Array, held: Held | None = None
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D) -> loss = mean_n(-log p(x|z_q) - log p(code) + move + commitment * commit).

        move = ||sg[z_e] - z_q||^2 and commit = ||z_e - sg[z_q]||^2, sg[a] being a constant at its
        value a; codes that are moving averages have no move term. `held`: see `quantize`.
        """
        z_e, encoder_cache = self.vectors(params, x)  # (N, M, d)
        (z, move, commit), code_cache = quantize(z_e, params["codebook"], held)  # (N, M, d), (N,)
        output, decoder_cache = self.decoder.forward(params, z.reshape(len(x), -1))  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        log_code, prior_cache = self.prior.log_prob(params, code_cache[0])  # log p(code), (N,)
        commitment = self.commitment * commit
        loss = (self.move * move + commitment - log_px - log_code).mean()
        terms = {"log_px": log_px, "log_code": log_code, "commitment": commitment}
        caches = encoder_cache, code_cache, decoder_cache, likelihood_cache, prior_cache
        return loss, terms, caches

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up; `dz` passes the step function unchanged."""
        encoder_cache, code_cache, decoder_cache, likelihood_cache, prior_cache = cache
        index, difference, _ = code_cache
        each = np.full(len(index), 1.0 / len(index), difference.dtype)  # the mean's
        self.prior.log_prob_backward(grads, -each, prior_cache)
        doutput = self.likelihood.log_prob_backward(params, grads, -each, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache).reshape(difference.shape)
        dvalue = dz, self.move * each, self.commitment * each
        dz_e, dcodebook = quantize_backward(dvalue, code_cache)  # dz_e = dz + the commitment's
        grads["codebook"] += dcodebook
        self.encoder.backward_params(params, grads, dz_e.reshape(len(dz_e), -1), encoder_cache)

    def held(self, params: Params, data: Array, noise: Array) -> Held:  # type: ignore[override]
        """The chosen codes, z_e and z_q: with these constant, the gradient is the derivative."""
        return hold(self.vectors(params, data)[0], params["codebook"])

    def __init__(
        self,
        data_dim: int,
        n_positions: int,
        code_dim: int,
        n_codes: int,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        commitment: float = 1.0,
        ema: float | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-(M d) and (M d)-H-...-D', with parameters drawn from `seed`.

        Args:
            data_dim, hidden_dims, activation, likelihood, seed, dtype: as for `VAE`.
            n_positions: M, the entries of the codebook (K, d) that are the code of an example.
            code_dim: d, the length of an entry.
            n_codes: K, the number of entries.
            commitment: weight of ||z_e - sg[z_q]||^2, in nats, at least 0. The 0.25 of the
                literature belongs to errors averaged over pixels and is too small here.
            ema: decay in [0, 1) of codes that are moving averages; without it they descend a
                gradient.
        """
        D, p = positive_int("data_dim", data_dim), likelihood or Bernoulli()
        M = self.n_positions = positive_int("n_positions", n_positions)
        d = self.code_dim = positive_int("code_dim", code_dim)
        K = self.n_codes = positive_int("n_codes", n_codes)
        H = self.hidden_dims = hidden_widths(hidden_dims)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        self.commitment = positive_number("commitment", commitment, zero=True)
        self.ema = None if ema is None else fraction("ema", ema)
        self.move = 1.0 if ema is None else 0.0
        check_likelihood(p)
        self.encoder = encoder_of(D, H, M * d, activation, p)
        self.decoder = decoder_of(D, H, M * d, activation, p)
        self.codebook, self.prior = Codebook(K, d, self.ema), CodePrior(M, K)
        parts = (self.encoder, self.codebook, self.decoder, p, self.prior)
        super().__init__(D, p, parts, (0,), seed, dtype)  # a step needs no noise

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[VectorQuantizedVAE]:
        """Both codebooks, one position, one code."""
        _, D, H, L = sizes
        small: dict[str, Any] = {"activation": "tanh", "dtype": np.float64}
        yield cls(D, 4, L, 5, (H + 2, H), likelihood=Binomial(16), commitment=0.7, **small)
        yield cls(D, 2, L, 4, (H,), likelihood=Gaussian("shared"), ema=0.9, **small)
        yield cls(D, 1, L, 4, (), commitment=0.0, **small)
        yield cls(D, 2, L, 1, (H,), **small)

    def state(self) -> dict[str, Array]:
        """Whether the codes have been set, and how often each is chosen."""
        return self.codebook.state()

    def after_step(self, data: Array, noise: Array) -> None:
        """Set or average the codebook, after the step, so that the loss used the old codes."""
        if not self.codebook.started[0] or self.ema is not None:
            self.codebook.after_step(
                self.params, self.vectors(self.params, data.astype(self.dtype))[0]
            )
