"""The networks of most models: an encoder of the data, and a decoder that mirrors it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpyvae.layers import Sequential, mlp
from numpyvae.likelihoods import Likelihood
from numpyvae.validation import positive_int

__all__ = ["check_likelihood", "decoder_of", "encoder_of", "hidden_widths"]

MOST_LAYERS = 1000
"""Far more than can be trained, yet few enough that a file with so many loads quickly."""


def encoder_of(
    data_dim: int,
    hidden_dims: Sequence[int],
    n_outputs: int,
    activation: str,
    likelihood: Likelihood,
    n_classes: int | None = None,
    name: str = "encoder",
) -> Sequential:
    """D-H-...-C: the likelihood's data in, C = `n_outputs` numbers out.

    The usual initialisations are made for inputs of size one, so for data of a larger scale (counts
    up to 16, say) the first weights are divided by that scale. Data in their own units are
    standardised first. With `n_classes` the input is (x, y).
    """
    return mlp(
        name,
        (data_dim, *hidden_dims, n_outputs),
        activation,
        n_classes=n_classes,
        input_scale=likelihood.data_scale,
        before=getattr(likelihood, "standardization", None),
    )


def decoder_of(
    data_dim: int,
    hidden_dims: Sequence[int],
    latent_dim: int,
    activation: str,
    likelihood: Likelihood,
    n_classes: int | None = None,
) -> Sequential:
    """L-...-H-D', the mirrored decoder; D' is the likelihood's number of outputs for D dimensions.

    With `n_classes` the input is (z, y).
    """
    widths = (latent_dim, *hidden_dims[::-1], likelihood.output_dim(data_dim))
    return mlp("decoder", widths, activation, n_classes=n_classes)


def hidden_widths(hidden_dims: Any) -> tuple[int, ...]:
    """`hidden_dims` as a tuple of widths; TypeError or ValueError for anything else."""
    if not isinstance(hidden_dims, Iterable):
        raise TypeError(f"hidden_dims must be a sequence of widths, got {hidden_dims!r}")
    widths = tuple(hidden_dims)
    if len(widths) > MOST_LAYERS:
        raise ValueError(f"expected at most {MOST_LAYERS} hidden_dims, got {len(widths)}")
    return tuple(positive_int("a width in hidden_dims", n) for n in widths)


def check_likelihood(likelihood: Any) -> None:
    """TypeError for anything but a likelihood, such as a class that was not called."""
    if isinstance(likelihood, type) or not hasattr(likelihood, "log_prob"):
        raise TypeError(f"likelihood must be an object such as Bernoulli(), got {likelihood!r}")
