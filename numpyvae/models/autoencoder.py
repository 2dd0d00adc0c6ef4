"""The road to the VAE: the autoencoder, and noise on its data or on its code.

    x -> corrupt -> encoder -> code -> perturb -> decoder -> log p(x | code)

The code is one number for each latent dimension, where the VAE has a mean and a log-variance, and
there is no KL. One forward and backward serve the whole family: noise that is added to the data or
to the code is a constant, and passes the gradient through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpyvae.layers import ACTIVATIONS, Grads, Params, tied_decoder
from numpyvae.likelihoods import EXAMPLES, Gaussian, Likelihood
from numpyvae.models.model import Model, Sizes
from numpyvae.models.networks import check_likelihood, decoder_of, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.objectives import reconstruction_loss, reconstruction_loss_backward
from numpyvae.validation import as_matrix, check_finite, one_of, positive_int

__all__ = ["Autoencoder"]


class Autoencoder(Model):
    """loss = mean_n -log p(x_n | code_n), with code = encoder(x): a deterministic autoencoder.

    `Gaussian(0.5)` (the default) makes it the squared error, up to a constant; `Bernoulli()` the
    cross-entropy. `hidden_dims=()` makes it linear.
    """

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D), noise (N, noise_dim) -> loss, the mean over the batch."""
        code, encoder_cache = self.encoder.forward(params, self.corrupt(x, noise))  # (N, L)
        output, decoder_cache = self.decoder.forward(params, self.perturb(code, noise))  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        loss, loss_cache = reconstruction_loss(log_px)  # scalar
        cache = encoder_cache, decoder_cache, likelihood_cache, loss_cache
        return loss, {"log_px": log_px}, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        encoder_cache, decoder_cache, likelihood_cache, loss_cache = cache
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
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        """D-H-...-L and L-...-H-D', with parameters drawn from `seed`.

        Args:
            data_dim, latent_dim, hidden_dims, activation, seed, dtype: as for `VAE`.
            likelihood: p(x | code); default `Gaussian(0.5)`, the squared error.
            tied: the decoder uses the encoder's weights, transposed, and biases of its own.
        """
        p = Gaussian(0.5) if likelihood is None else likelihood
        D, L = positive_int("data_dim", data_dim), positive_int("latent_dim", latent_dim)
        H = hidden_widths(hidden_dims)
        self.latent_dim, self.hidden_dims = L, H
        self.activation = one_of("activation", activation, ACTIVATIONS)
        check_likelihood(p)
        self.tied = bool(one_of("tied", tied, (False, True)))
        if self.tied and p.output_dim(D) != D:
            raise ValueError(f"tied weights need one output for each dimension, {p!r} needs more")
        self.encoder = encoder_of(D, H, L, activation, p)
        self.decoder = (
            tied_decoder(self.encoder, activation)
            if self.tied
            else decoder_of(D, H, L, activation, p)
        )
        parts = (self.encoder, self.decoder, p)
        super().__init__(D, p, parts, (0,), seed, dtype)  # a step needs no noise

    def corrupt(self, x: Array, noise: Array) -> Array:
        """What the encoder is shown in place of x (N, D): here x itself."""
        return x

    def perturb(self, code: Array, noise: Array) -> Array:
        """What the decoder is given in place of the code (N, L): here the code itself."""
        return code

    def encode(self, x: Array) -> Array:
        """The code of each row of x: (N, D) -> (N, L)."""
        x, params = self.check_data(x), self.params
        return self.by_chunks(lambda x: self.encoder.forward(params, x)[0], x)

    def decode(self, z: Array) -> Array:
        """E[x|z], the means of p(x|z): z (N, L) -> (N, D)."""
        z, params = as_matrix("z", z, self.latent_dim, "(N, L)"), self.params
        check_finite("z", z)
        return self.by_chunks(lambda z: self.likelihood.mean(self.decoder.forward(params, z)[0]), z)

    def reconstruct(self, x: Array) -> Array:
        """E[x | code] at code = encoder(x), without noise: (N, D) -> (N, D)."""
        return self.decode(self.encode(x))

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[Autoencoder]:
        """Every likelihood, and tied weights."""
        for likelihood in EXAMPLES:
            yield cls(**sizes.network, likelihood=likelihood)
        yield cls(**sizes.network, tied=True)
