"""The places of part two: classes, components and codes K = 4, vectors for each example M = 2."""

from __future__ import annotations

import numpy as np

from numpyvae.exercises.judge.places import Arrays, D, H, L, N, Rng, S, parameters, two_places
from numpyvae.numerics import Array

__all__ = [
    "condition",
    "doubly_reparameterized",
    "every_class",
    "log_importance_weight",
    "log_weights",
    "mixture",
    "nearest_code",
    "quantize",
    "responsibilities",
    "sample_given_class",
    "sample_mixture",
]

K, M = 4, 2


def _labels(rng: Rng) -> Array:
    """N whole numbers below K: one of them twice, one three times, the others not at all."""
    first, second = rng.permutation(K)[:2]
    return rng.permutation(np.repeat([first, second], (2, 3)))


def _layer(rng: Rng, n_in: int, *dpre: int) -> Arrays:
    shapes = {"x": (N, n_in), "W": (n_in, H), "b": (H,), "W_y": (K, H), "dpre": dpre}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def condition(rng: Rng) -> list[Arrays]:
    """A layer of the model and a square one, with labels of which some repeat."""
    return [{**_layer(rng, n_in, N, H), "y": _labels(rng)} for n_in in (D, H)]


def every_class(rng: Rng) -> list[Arrays]:
    """A layer of the model and a square one."""
    return [_layer(rng, n_in, N, K, H) for n_in in (D, H)]


def sample_given_class(rng: Rng) -> list[Arrays]:
    """A decoder that knows labels, twice."""

    def place() -> Arrays:
        weights = parameters(rng, D, H, L, 0.9)
        params = {name: a for name, a in weights.items() if "decoder" in name}
        return {
            **params,
            "params/decoder.0.W_y": rng.standard_normal((K, H)),
            "y": _labels(rng),
            "z": rng.standard_normal((N, L)),
            "uniform": rng.random((N, D)),
        }

    return [place(), place()]


def mixture(rng: Rng) -> list[Arrays]:
    """Codes of the mixture, then some where densities are 0, with logits whose exp is infinite."""
    mean, log_var = rng.standard_normal((2, K, L))
    z, logits = rng.standard_normal((N, L)), rng.standard_normal(K)
    generic = {"z": z, "logits": logits, "mean": mean, "log_var": log_var}
    generic["dlog_prob"] = rng.standard_normal(N)
    return two_places(
        generic, z=60.0 * z, logits=800.0 + logits
    )  # densities are 0 there, exp infinite


def responsibilities(rng: Rng) -> list[Arrays]:
    """The places of `mixture`, without the cotangent."""
    return [{n: a for n, a in place.items() if n != "dlog_prob"} for place in mixture(rng)]


def sample_mixture(rng: Rng) -> list[Arrays]:
    """Drawn components and noise, twice."""

    def place() -> Arrays:
        mean, log_var = rng.standard_normal((2, K, L))
        noise, component = rng.standard_normal((N, L)), _labels(rng)
        return {"component": component, "noise": noise, "mean": mean, "log_var": log_var}

    return [place(), place()]


def log_weights(rng: Rng, *cotangent: str) -> list[Arrays]:
    """Log-weights, then some whose exp is 0 or infinite."""
    generic = {"log_weight": rng.standard_normal((N, S))}
    generic |= {name: rng.standard_normal(N) for name in cotangent}
    shift = np.array([-1e4, 1e3, -1e3, 0.0, 1e4])[:, None]
    return two_places(generic, log_weight=shift + 2.0 * generic["log_weight"])


def log_importance_weight(rng: Rng) -> list[Arrays]:
    """Samples of each example, twice."""
    shapes = {"log_px": (N, S), "z": (N, S, L), "log_var": (N, L), "noise": (N, S, L)}
    shapes["dlog_weight"] = (N, S)
    return [{n: rng.standard_normal(shape) for n, shape in shapes.items()} for _ in range(2)]


def doubly_reparameterized(rng: Rng) -> list[Arrays]:
    """The places of `log_weights`, with what the encoder's gradient needs."""
    shapes = {"dlog_joint": (N, S, L), "log_var": (N, L), "noise": (N, S, L)}
    return [
        {**place, **{n: rng.standard_normal(shape) for n, shape in shapes.items()}}
        for place in log_weights(rng)
    ]


def _codes(rng: Rng) -> Arrays:
    return {"z_e": rng.standard_normal((N, M, L)), "codebook": rng.standard_normal((K, L))}


def nearest_code(rng: Rng) -> list[Arrays]:
    """Vectors and a codebook, then the same far from zero."""
    generic = _codes(rng)
    return two_places(generic, **{name: 100.0 + a for name, a in generic.items()})


def quantize(rng: Rng, *others: str) -> list[Arrays]:
    """Vectors with their codes, two betas and decays; of these the arrays of the names given."""
    shapes = {"dz_q": (N, M, L), "sums": (K, L)}
    numbers = {"beta": (0.25, 1.7), "decay": (0.9, 0.6)}

    def place(i: int) -> Arrays:
        codes = _codes(rng)
        codes["codebook"][rng.integers(K)] += 20.0  # a code that is nearest to none
        squares = ((codes["z_e"][:, :, None] - codes["codebook"]) ** 2).sum(axis=3)
        drawn = {**codes, "index": squares.argmin(axis=2), "counts": 1.0 + rng.random(K)}
        drawn |= {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        drawn |= {name: np.array(both[i]) for name, both in numbers.items()}
        return {name: drawn[name] for name in others}

    return [place(0), place(1)]
