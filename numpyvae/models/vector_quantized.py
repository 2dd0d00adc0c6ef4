"""The vector-quantised VAE: the code is a list of entries of a codebook.

What is new in the gradient path: the nearest code is a step, so the decoder's cotangent is copied
over it, straight through, to the encoder, and the codebook is moved by a term of its own. This is
not the derivative of the loss: within a cell of the codebook z_q does not move with the encoder at
all, so the true derivative has nothing of the reconstruction. van den Oord et al. 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae import evaluation
from numpyvae.layers import ACTIVATIONS, Grads, Params
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.code_prior import CodePrior
from numpyvae.models.codebook import Codebook
from numpyvae.models.model import Model, Sizes
from numpyvae.models.networks import check_likelihood, decoder_of, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.quantization import Held, hold, nearest, quantize, quantize_backward
from numpyvae.validation import as_labels, fraction, one_of, positive_int, positive_number

__all__ = ["VectorQuantizedVAE"]


class VectorQuantizedVAE(Model):
    """code_m = argmin_k ||z_e,m - codebook_k||^2 for M positions, decoder p(x|z_q), prior p(code)."""

    def forward(
        self, params: Params, x: Array, noise: Array, held: Held | None = None
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D) -> mean_n(-log p(x|z_q) - log p(code) + ||sg[z_e] - z_q||^2 + c ||z_e - sg[z_q]||^2).

        sg[a] is a constant at its value a, c is `commitment`; the codebook's term is left out where
        its codes are moving averages. With `held`: see `quantize`.
        """
        heads, encoder_cache = self.encoder.forward(params, x)  # (N, M d)
        z_e = heads.reshape(len(x), self.n_positions, self.code_dim)
        (z, move, commit), code_cache = quantize(z_e, params["codebook"], held)  # (N, M, d), (N,)
        output, decoder_cache = self.decoder.forward(params, z.reshape(heads.shape))  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        log_code, prior_cache = self.prior.log_prob(params, code_cache[0])  # log p(code), (N,)
        loss = (self.move * move + self.commitment * commit - log_px - log_code).mean()
        terms = {"log_px": log_px, "log_code": log_code, "commitment": commit}
        return loss, terms, (encoder_cache, code_cache, decoder_cache, likelihood_cache, prior_cache)

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up; what jumps the step is `dz`, as it comes."""
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
        """The codes chosen, z_e and z_q: with them constant, the gradient is a derivative."""
        return hold(self._z_e(params, data), params["codebook"])

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
            n_positions, code_dim, n_codes: M, d and K: a code is M entries of a codebook (K, d).
            commitment: weight of ||z_e - sg[z_q]||^2, in nats, at least 0. The 0.25 of the
                literature belongs to errors averaged over pixels and is too small here.
            ema: decay in [0, 1) of codes that are moving averages; None: they descend a gradient.
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
        small = {"activation": "tanh", "dtype": np.float64}
        yield cls(D, L, 2, 4, (H + 2, H), likelihood=Binomial(16), commitment=0.7, **small)
        yield cls(D, L, 2, 4, (H,), likelihood=Gaussian("shared"), ema=0.9, **small)
        yield cls(D, 1, L, 3, (), commitment=0.0, **small)
        yield cls(D, L, 1, 1, (H,), **small)

    def state(self) -> dict[str, Array]:
        """Whether the codes have begun, and how often each is chosen."""
        return self.codebook.state()

    def after_step(self, data: Array, noise: Array) -> None:
        """Begin the codebook, or average it: after the step, not before the choice."""
        if not self.codebook.started[0] or self.ema is not None:
            self.codebook.after_step(self.params, self._z_e(self.params, data.astype(self.dtype)))

    def _z_e(self, params: Params, x: Array) -> Array:
        heads, _ = self.encoder.forward(params, x)
        return heads.reshape(len(x), self.n_positions, self.code_dim)

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """log p(x|z_q) + log p(code) <= log p(x): the code is certain, so q has no entropy."""
        return terms["log_px"] + terms["log_code"]

    # The fitted model, at its current theta.

    def elbo(self, x: Array) -> Array:
        """log p(x|z_q) + log p(code), a bound on log p(x) that pays for its code, (N,) nats."""
        return evaluation.elbo(self, x)  # type: ignore[arg-type]

    def log_px(self, x: Array) -> Array:
        """log p(x|z_q) of each example, the code not counted, (N,) nats."""
        return evaluation.mean_terms(self, x, 1)["log_px"]  # type: ignore[arg-type]

    def encode(self, x: Array) -> Array:
        """The code of each row of x (N, D): indices (N, M) into the codebook."""
        x, params = self.check_data(x), self.params
        return self.by_chunks(lambda x: nearest(self._z_e(params, x), params["codebook"]), x)

    def _decoded(self, indices: Array, finish: Callable[[Array], Array]) -> Array:
        indices, params = np.asarray(indices), self.params
        if indices.ndim != 2 or indices.shape[1] != self.n_positions or not len(indices):
            expected = f"(N, M) with {self.n_positions} columns"
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
        """exp(entropy) of how often each code is used in x, at all positions: 1 to K."""
        share = np.bincount(self.encode(x).ravel(), minlength=self.n_codes).astype(np.float64)
        share = share[share > 0] / share.sum()
        return float(np.exp(-(share * np.log(share)).sum()))
