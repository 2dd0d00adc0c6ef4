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

from numpyvae.corruptions import Corruption, GaussianNoise, Masking, SaltAndPepper
from numpyvae.layers import ACTIVATIONS, Grads, Params, tied_decoder
from numpyvae.likelihoods import EXAMPLES, Gaussian, Likelihood
from numpyvae.models.model import Model, Sizes
from numpyvae.models.networks import check_likelihood, decoder_of, encoder_of, hidden_widths
from numpyvae.numerics import Array
from numpyvae.objectives import reconstruction_loss, reconstruction_loss_backward
from numpyvae.validation import as_matrix, check_finite, one_of, positive_int, positive_number

__all__ = ["Autoencoder", "DenoisingAutoencoder", "NoisyAutoencoder"]


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
            raise ValueError(f"tied weights need one output a dimension, {p!r} needs more")
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
            yield cls(*sizes[1::2], **_small(sizes), likelihood=likelihood)
        yield cls(*sizes[1::2], **_small(sizes), tied=True)


def _small(sizes: Sizes) -> dict[str, Any]:
    H = sizes.hidden_dim
    return {"hidden_dims": (H + 2, H), "activation": "tanh", "dtype": np.float64}


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
        self.noise_shape = (self.data_dim,)  # one random number for each entry of the data

    def draw_noise(self, rng: np.random.Generator, n: int) -> Array:
        """All noise that one step on n examples needs, (n, D), as the corruption wants it."""
        return self.corruption.draw(rng, (n, self.data_dim), self.dtype)

    def corrupt(self, x: Array, noise: Array) -> Array:
        """x, corrupted."""
        return self.corruption.apply(x, noise)

    def vector_field(self, x: Array) -> Array:
        """r(x) - x, (N, D): which way, and how far, the autoencoder moves each point."""
        return self.reconstruct(x) - x

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[DenoisingAutoencoder]:
        """Every corruption."""
        for corruption in (GaussianNoise(0.3), Masking(0.4), SaltAndPepper(0.4)):
            yield cls(*sizes[1::2], **_small(sizes), corruption=corruption)


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
        self.noise_shape = (self.latent_dim,)

    def perturb(self, code: Array, noise: Array) -> Array:
        """The code with noise on it."""
        return code + self.code_noise * noise

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[NoisyAutoencoder]:
        """One: the noise is all that is new."""
        yield cls(*sizes[1::2], **_small(sizes), code_noise=0.3)
