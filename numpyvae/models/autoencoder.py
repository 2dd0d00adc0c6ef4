"""The road to the VAE: the autoencoder, and noise on its data or on its code.

    x -> corrupt -> encoder -> code -> perturb -> decoder -> log p(x | code)

The code is one number for each latent dimension, where the VAE has a mean and a log-variance, and
there is no KL. One forward and backward serve the whole family: noise that is added to the data or
to the code is a constant, and passes the gradient through unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.corruptions import Corruption, corruption_from_config
from numpyvae.layers import Grads, Params, Sequential, tied_decoder
from numpyvae.likelihoods import Gaussian, Likelihood
from numpyvae.models.encoder_decoder import EncoderDecoder
from numpyvae.numerics import Array
from numpyvae.objectives import (
    reconstruction_loss,
    reconstruction_loss_backward,
    ridge,
    ridge_backward,
)
from numpyvae.validation import one_of, positive_number

__all__ = ["Autoencoder", "DenoisingAutoencoder", "NoisyAutoencoder"]


class Autoencoder(EncoderDecoder):
    """loss = mean_n -log p(x_n | code_n), with code = encoder(x): a deterministic autoencoder.

    `Gaussian(0.5)` (the default) makes it the squared error, up to a constant; `Bernoulli()` the
    cross-entropy. `hidden_dims=()` makes it linear.
    """

    n_heads = 1  # the encoder gives the code itself

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, noise_dim) -> loss, the mean over the batch."""
        code, encoder_cache = self.encoder.forward(params, self.corrupt(x, noise))  # (N, L)
        output, decoder_cache = self.decoder.forward(params, self.perturb(code, noise))  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        loss, loss_cache = reconstruction_loss(log_px)  # scalar
        penalty, penalty_cache = self._penalty(params)
        cache = encoder_cache, decoder_cache, likelihood_cache, loss_cache, penalty_cache
        return loss + penalty, {"log_px": log_px}, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        encoder_cache, decoder_cache, likelihood_cache, loss_cache, penalty_cache = cache
        self._penalty_backward(grads, penalty_cache)
        (dlog_px,) = reconstruction_loss_backward(1.0, loss_cache)
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dcode = self.decoder.backward(params, grads, doutput, decoder_cache)
        self.encoder.backward_params(params, grads, dcode, encoder_cache)

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        hidden_dims: Sequence[int] = (128,),
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        tied: bool = False,
        penalties: Sequence[float] | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-L and L-...-H-D', with parameters drawn from `seed`.

        Args:
            data_dim, latent_dim, hidden_dims, activation, seed, dtype: as for `VAE`.
            likelihood: p(x | code); default `Gaussian(0.5)`, the squared error.
            tied: the decoder uses the encoder's weights, transposed, and biases of its own.
            penalties: Lambda (L,), for a linear autoencoder: adds tr(W1^T Lambda W1) +
                tr(W2 Lambda W2^T) to the loss, which turns the axes of the code towards the
                principal components if all are different. Source: Bao et al. 2020, eq. 4.
        """
        likelihood = Gaussian(0.5) if likelihood is None else likelihood
        self.tied = bool(one_of("tied", tied, (False, True)))
        if self.tied and likelihood.output_dim(data_dim) != data_dim:
            raise ValueError(f"tied weights need one output a dimension, {likelihood!r} needs more")
        super().__init__(data_dim, latent_dim, hidden_dims, activation, likelihood, seed, dtype)
        self.penalties = (
            None
            if penalties is None
            else tuple(positive_number("penalties", value, zero=True) for value in penalties)
        )
        if self.penalties is not None and (self.hidden_dims or len(self.penalties) != latent_dim):
            raise ValueError("penalties are for hidden_dims=(), one for each latent dimension")
        if self.penalties is not None and self.tied:
            raise ValueError("penalties are for weights that are not tied")

    @property
    def noise_dim(self) -> int:
        """A step needs no random numbers."""
        return 0

    def corrupt(self, x: Array, noise: Array) -> Array:
        """What the encoder is shown in place of x (N, D): here x itself."""
        return x

    def perturb(self, code: Array, noise: Array) -> Array:
        """What the decoder is given in place of the code (N, L): here the code itself."""
        return code

    def _penalty(self, params: Params) -> tuple[Any, Any]:
        """tr(W1^T Lambda W1) + tr(W2 Lambda W2^T), of the linear autoencoder of Bao et al."""
        if self.penalties is None:
            return 0.0, None
        penalties = np.array(self.penalties, params["encoder.0.W"].real.dtype)
        encoder_term, encoder_cache = ridge(params["encoder.0.W"].T, penalties)  # W1 is (L, D)
        decoder_term, decoder_cache = ridge(params["decoder.0.W"], penalties)
        return encoder_term + decoder_term, (encoder_cache, decoder_cache)

    def _penalty_backward(self, grads: Grads, cache: Any) -> None:
        if cache is not None:
            encoder_cache, decoder_cache = cache
            grads["encoder.0.W"] += ridge_backward(1.0, encoder_cache)[0].T
            grads["decoder.0.W"] += ridge_backward(1.0, decoder_cache)[0]

    def make_decoder(self, widths: Sequence[int]) -> Sequential:
        """The mirrored decoder; its weights are the encoder's if they are tied."""
        if self.tied:
            return tied_decoder(self.encoder, self.activation)
        return super().make_decoder(widths)

    def encode(self, x: Array) -> Array:
        """The code of each row of x: (N, D) -> (N, L)."""
        x, params = self.check_data(x), self.layout.views(self.theta)
        return self._by_chunks(x, lambda x: self.encoder.forward(params, x)[0])

    def reconstruct(self, x: Array) -> Array:
        """E[x | code] at code = encoder(x), without noise: (N, D) -> (N, D)."""
        return self.decode(self.encode(x))

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        penalties = None if self.penalties is None else list(self.penalties)
        return {**super().config(), "tied": self.tied, "penalties": penalties}


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that is shown corrupted data and must give back the clean ones.

    With Gaussian corruption of variance sigma^2 and squared error, the best possible r(x) satisfies
    r(x) - x = sigma^2 grad log p_sigma(x), p_sigma being the data's density with the noise added.
    Source: Vincent et al. 2008; Alain & Bengio 2014.

    Args:
        corruption: from `numpyvae.corruptions`; the others as for `Autoencoder`.
    """

    def __init__(
        self, data_dim: int, latent_dim: int, *, corruption: Corruption, **arguments: Any
    ) -> None:
        if isinstance(corruption, type) or not hasattr(corruption, "apply"):
            raise TypeError(f"corruption must be an object such as Masking(), got {corruption!r}")
        self.corruption = corruption
        super().__init__(data_dim, latent_dim, **arguments)

    @property
    def noise_dim(self) -> int:
        """One random number for each entry of the data."""
        return self.data_dim

    def draw_noise(self, rng: np.random.Generator, n: int) -> Array:
        """All noise that one step on n examples needs, (n, D), as the corruption wants it."""
        return self.corruption.draw(rng, (n, self.data_dim), self.dtype)

    def corrupt(self, x: Array, noise: Array) -> Array:
        """x, corrupted."""
        return self.corruption.apply(x, noise)

    def vector_field(self, x: Array) -> Array:
        """r(x) - x, (N, D): which way, and how far, the autoencoder moves each point."""
        return self.reconstruct(x) - x

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {**super().config(), "corruption": self.corruption.config()}

    @classmethod
    def arguments_from_config(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments that `config` described."""
        corruption = corruption_from_config(config["corruption"])
        return {**super().arguments_from_config(config), "corruption": corruption}


class NoisyAutoencoder(Autoencoder):
    """An autoencoder with noise of fixed width on its code: code + code_noise * N(0, I).

    The first of three steps from the autoencoder to the VAE. The second, noise whose width is
    learned without a reason to keep it, is `VAE(beta=0)`: the width collapses. The third gives the
    reason, the KL: `VAE(beta=1)`.

    Args:
        code_noise: standard deviation of the noise, above 0; the others as for `Autoencoder`.
    """

    def __init__(
        self, data_dim: int, latent_dim: int, *, code_noise: float, **arguments: Any
    ) -> None:
        self.code_noise = positive_number("code_noise", code_noise)
        super().__init__(data_dim, latent_dim, **arguments)

    @property
    def noise_dim(self) -> int:
        """One random number for each entry of the code."""
        return self.latent_dim

    def perturb(self, code: Array, noise: Array) -> Array:
        """The code with noise on it."""
        return code + self.code_noise * noise

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {**super().config(), "code_noise": self.code_noise}
