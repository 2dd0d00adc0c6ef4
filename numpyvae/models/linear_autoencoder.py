"""A linear autoencoder whose axes are the principal components, by penalties on its weights.

    loss = mean_n -log p(x_n | code_n) + tr(W1 Lambda W1^T) + tr(W2^T Lambda W2)

New in its gradient path: two terms that reach the weights without passing through an example.
Source: Bao et al. 2020, "Regularized linear autoencoders recover the principal components,
eventually", eq. 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from numpyvae.layers import Grads, Params
from numpyvae.models.autoencoder import Autoencoder
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import ridge, ridge_backward
from numpyvae.validation import positive_number

__all__ = ["LinearAutoencoder"]


class LinearAutoencoder(Autoencoder):
    """D-L-D' without hidden layers: W1 = `encoder.0.W` (D, L), W2 = `decoder.0.W` (L, D')."""

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """x (N, D) -> the autoencoder's loss, and the penalties Lambda (L,) on each code's axis."""
        loss, terms, autoencoder_cache = super().forward(params, x, noise)
        penalties = np.array(self.penalties, x.dtype)
        encoder_term, encoder_cache = ridge(params["encoder.0.W"].T, penalties)  # rows (L, D)
        decoder_term, decoder_cache = ridge(params["decoder.0.W"], penalties)  # rows (L, D')
        cache = autoencoder_cache, encoder_cache, decoder_cache
        return loss + encoder_term + decoder_term, terms, cache

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """The same lines from the bottom up."""
        autoencoder_cache, encoder_cache, decoder_cache = cache
        grads["decoder.0.W"] += ridge_backward(1.0, decoder_cache)[0]
        grads["encoder.0.W"] += ridge_backward(1.0, encoder_cache)[0].T
        super().backward(params, grads, autoencoder_cache)

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        *,
        penalties: Sequence[float],
        hidden_dims: Sequence[int] = (),
        **arguments: Any,
    ) -> None:
        """With parameters drawn from `seed`.

        Args:
            penalties: Lambda (L,), one for each latent dimension, at least 0. If all are
                different, the axes of the code turn towards the principal components.
            hidden_dims: must be empty: the penalties are for a linear autoencoder.
            tied: must be false: the penalties are for weights that are not tied.
            data_dim, latent_dim, likelihood, seed, dtype: as for `Autoencoder`.
        """
        super().__init__(data_dim, latent_dim, hidden_dims, **arguments)
        self.penalties = tuple(positive_number("penalties", v, zero=True) for v in penalties)
        if self.hidden_dims or len(self.penalties) != self.latent_dim:
            raise ValueError("penalties are for hidden_dims=(), one for each latent dimension")
        if self.tied:
            raise ValueError("penalties are for weights that are not tied")

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[LinearAutoencoder]:
        """One model, whose penalties are all different."""
        _, D, _, L = sizes
        yield cls(D, L, penalties=[0.3 + 0.2 * i for i in range(L)], dtype=np.float64)
