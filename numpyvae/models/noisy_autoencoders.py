"""Autoencoders with noise, on the encoder's input or on the code.

New in the gradient path: nothing, and that is the point. Added noise is a constant, so the gradient
passes through unchanged; only the minimum of the loss changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from numpyvae.corruptions import Corruption, GaussianNoise, Masking, SaltAndPepper
from numpyvae.models.autoencoder import Autoencoder
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.validation import positive_number

__all__ = ["DenoisingAutoencoder", "NoisyAutoencoder"]


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that gets corrupted data and must reconstruct the clean data.

    With Gaussian corruption of variance sigma^2 and squared error, the best possible r(x) satisfies
    r(x) - x = sigma^2 grad log p_sigma(x), p_sigma being the data's density with the noise added.
    Source: Vincent et al. 2008; Alain & Bengio 2014.

    Args:
        corruption: of the input, from `numpyvae.corruptions`.
        The others: as for `Autoencoder`.
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
        """All noise of one step on n examples, (n, D), as the corruption needs it."""
        return self.corruption.draw(rng, (n, self.data_dim), self.dtype)

    def corrupt(self, x: Array, noise: Array) -> Array:
        """x, corrupted."""
        return self.corruption.apply(x, noise)

    def vector_field(self, x: Array) -> Array:
        """r(x) - x, (N, D): the direction and distance in which each point is moved."""
        return self.reconstruct(x) - x

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[DenoisingAutoencoder]:
        """Every corruption."""
        for corruption in (GaussianNoise(0.3), Masking(0.4), SaltAndPepper(0.4)):
            yield cls(**sizes.network, corruption=corruption)


class NoisyAutoencoder(Autoencoder):
    """An autoencoder with noise of fixed width on its code: code + code_noise * N(0, I).

    The first of three steps from the autoencoder to the VAE. The second is `VAE(beta=0)`: it learns
    the width of the noise, and nothing in its loss keeps the width from shrinking to zero. The
    third is `VAE(beta=1)`, whose KL does that.

    Args:
        code_noise: standard deviation of the noise, above 0.
        The others: as for `Autoencoder`.
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
        """One model: only the noise is new."""
        yield cls(**sizes.network, code_noise=0.3)
