"""Corruptions of the data that a denoising autoencoder takes as its input.

`draw` draws all noise of a step beforehand; `apply` is a deterministic function of data and noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from numpyvae.numerics import Array
from numpyvae.validation import fraction, from_config, positive_number

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "GaussianNoise",
    "Masking",
    "SaltAndPepper",
    "corruption_from_config",
]


class Corruption(Protocol):
    """A way to corrupt data: x (N, D) and noise (N, D) -> (N, D)."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
        """The noise of one step, of the shape of the data."""

    def apply(self, x: Array, noise: Array) -> Array:
        """The corrupted data."""

    def config(self) -> dict[str, Any]:
        """{"name": ..., and the constructor's arguments}, as JSON can hold it."""


class GaussianNoise:
    """x + sigma noise, noise ~ N(0, I). Source: Vincent et al. 2008; Alain & Bengio 2014."""

    def __init__(self, sigma: float) -> None:
        self.sigma = positive_number("sigma", sigma)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
        return rng.standard_normal(shape, dtype)

    def apply(self, x: Array, noise: Array) -> Array:
        return x + self.sigma * noise

    def config(self) -> dict[str, Any]:
        return {"name": "GaussianNoise", "sigma": self.sigma}


class Masking:
    """Each entry becomes 0 with the given probability. Source: Vincent et al. 2008."""

    def __init__(self, probability: float) -> None:
        self.probability = fraction("probability", probability)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
        return rng.random(shape, dtype)

    def apply(self, x: Array, noise: Array) -> Array:
        return x * (noise >= self.probability)

    def config(self) -> dict[str, Any]:
        return {"name": "Masking", "probability": self.probability}


class SaltAndPepper:
    """Each entry becomes `low` or `high`, with half the given probability each.

    Source: Vincent et al. 2010.
    """

    def __init__(self, probability: float, low: float = 0.0, high: float = 1.0) -> None:
        self.probability = fraction("probability", probability)
        self.low, self.high = float(low), float(high)
        if not math.isfinite(self.low + self.high):
            raise ValueError(f"low and high must be finite, got {low} and {high}")

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Array:
        return rng.random(shape, dtype)

    def apply(self, x: Array, noise: Array) -> Array:
        spoiled = np.where(noise < 0.5 * self.probability, self.low, self.high)
        return np.where(noise < self.probability, spoiled.astype(x.dtype), x)

    def config(self) -> dict[str, Any]:
        return {
            "name": "SaltAndPepper",
            "probability": self.probability,
            "low": self.low,
            "high": self.high,
        }


CORRUPTIONS: dict[str, type[Corruption]] = {
    kind.__name__: kind for kind in (GaussianNoise, Masking, SaltAndPepper)
}


def corruption_from_config(config: Mapping[str, Any]) -> Corruption:
    """The corruption that `config()` described; ValueError if it names none."""
    corruption: Corruption = from_config("corruption", config, CORRUPTIONS)
    return corruption
