"""The places where each function is tried: its arguments, and the cotangent of its value.

Sizes are small, different from each other and mostly prime, so that no mistake looks like another:
N = 5 examples, D = 7, H = 6, L = 3. Each function is tried at two places, the second for what a
generic place hides: a square layer, values far from zero, extreme logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.data.digits import load_digits
from numpyvae.numerics import Array

__all__ = [
    "BETA",
    "Arrays",
    "D",
    "L",
    "N",
    "Rng",
    "adam",
    "bernoulli",
    "condition",
    "decode",
    "dense",
    "doubly_reparameterized",
    "draws",
    "elementwise",
    "every_class",
    "gaussian",
    "kl",
    "log_importance_weight",
    "log_weights",
    "mixture",
    "nearest_code",
    "negative_elbo",
    "parameters",
    "quantize",
    "reparameterize",
    "responsibilities",
    "sample_given_class",
    "sample_mixture",
    "train",
]

Arrays = dict[str, Array]
BETA = 0.37
N, D, H, L, S = 5, 7, 6, 3, 11
K, M = 4, 2  # classes, components or codes; vectors for each example
Rng = np.random.Generator


def _far(generic: Arrays, **changes: Any) -> list[Arrays]:
    """A generic place, and the same with some arguments changed."""
    return [generic, {**generic, **changes}]


def dense(rng: Rng) -> list[Arrays]:
    """A layer of the model, then a square one, where a transposed weight has the same shape."""

    def place(n: int, n_in: int, n_out: int) -> Arrays:
        shapes = {"x": (n, n_in), "W": (n_in, n_out), "b": (n_out,), "dy": (n, n_out)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    return [place(N, 4, H), place(H, H, H)]


def elementwise(cotangent: str, extreme: float, rng: Rng) -> list[Arrays]:
    """Numbers, then some at 0 and some at `extreme` and its negative."""
    x = 1.5 * rng.standard_normal((N, D))
    generic = {"x": x, cotangent: rng.standard_normal((N, D))}
    signs = np.where(rng.random((N, D)) < 0.5, -1.0, 1.0)
    far = np.where(rng.random((N, D)) < 0.5, extreme * signs, x)
    far[0, :3] = 0.0, extreme, -extreme  # at 0 the derivative of ReLU is 0
    return _far(generic, x=far)


def bernoulli(rng: Rng) -> list[Arrays]:
    """Logits, then rows with all 0 or 1 for certain."""
    logits = 1.5 * rng.standard_normal((N, D))
    x = rng.permuted(np.tile([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], (N, 1)), axis=1)
    generic = {"x": x, "logits": logits, "dlog_prob": rng.standard_normal(N)}
    far = logits.copy()
    far[:4] = np.array([[-40.0], [40.0], [1e4], [-1e4]])  # each way to lose log p by itself
    return _far(generic, logits=far)


def reparameterize(rng: Rng) -> list[Arrays]:
    """Codes, then some of a tiny variance."""
    generic = {name: rng.standard_normal((N, L)) for name in ("mean", "log_var", "noise", "dz")}
    far = {"mean": np.zeros((N, L)), "log_var": generic["log_var"] - 140.0}
    far["noise"] = rng.standard_normal((N, L))
    return _far(generic, **far)  # where differences of exp(log_var / 2) lose their digits


def kl(rng: Rng) -> list[Arrays]:
    """Codes, then some of a tiny variance."""
    mean, log_var = rng.standard_normal((2, N, L))
    generic = {"mean": mean, "log_var": log_var, "dkl": rng.standard_normal(N)}
    far = np.where(rng.random((N, L)) < 0.5, -50.0, log_var)
    far[0, 0] = -50.0
    return _far(generic, log_var=far)


def parameters(rng: Rng, data_dim: int, hidden: int, latent: int, scale: float) -> Arrays:
    """Random weights and biases of the VAE of exercises 5 and 9, as "params/encoder.0.W", ..."""
    networks = {"encoder": (data_dim, hidden, 2 * latent), "decoder": (latent, hidden, data_dim)}
    params: Arrays = {}
    for name, widths in networks.items():
        for i in (0, 1):
            n_in, n_out = widths[i : i + 2]
            params[f"params/{name}.{i}.W"] = scale * rng.standard_normal((n_in, n_out))
            params[f"params/{name}.{i}.b"] = scale * rng.standard_normal(n_out)
    return params


def _different_bits(rng: Rng) -> Array:
    """Zeros and ones (N, D), no row twice: then the heads can be read out of their gradients."""
    rows = rng.choice(2**D, N, replace=False)
    bits: Array = (rows[:, None] >> np.arange(D)) & 1
    return bits.astype(float)


def negative_elbo(rng: Rng) -> list[Arrays]:
    """The whole model at two betas."""

    def place(beta: float, dloss: float) -> Arrays:
        return {
            **parameters(rng, D, H, L, 0.6),
            "x": _different_bits(rng),
            "noise": rng.standard_normal((N, L)),
            "beta": np.array(beta),
            "dloss": np.array(dloss),
        }

    return [place(BETA, 1.0), place(0.61, -1.7)]


def adam(rng: Rng) -> list[Arrays]:
    """The first step, then one further on with other settings."""
    numbers = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    common = {name: np.array(value) for name, value in numbers.items()}
    zeros = np.zeros(D)
    vectors = {name: rng.standard_normal(D) for name in ("theta", "grad", "m")}
    small = rng.standard_normal(D) * np.array([1e-8, 1e-6, 1e-4, 1e-2, 1.0, 2.0, 1e2])
    first = {"theta": vectors["theta"], "grad": small, "m": zeros, "v": zeros, "t": np.array(1)}
    later = {**vectors, "v": rng.random(D), "t": np.array(7)}
    others = {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3}
    return [
        {**common, **first},
        {**common, **later, **{name: np.array(value) for name, value in others.items()}},
    ]


def gaussian(rng: Rng) -> list[Arrays]:
    """Data, then some far from zero with a small variance."""
    x, mean = rng.standard_normal((2, N, D))
    log_var = rng.standard_normal(D)
    generic = {"x": x, "mean": mean, "log_var": log_var, "dlog_prob": rng.standard_normal(N)}
    return _far(generic, x=100.0 + x, mean=100.0 + mean, log_var=log_var - 10.0)


def draws(rng: Rng, *names: str) -> list[Arrays]:
    """Drawn arrays of these names, twice."""
    shapes = {"value": (S,), "mean": (L,), "log_var": (L,)}
    return [
        {name: rng.standard_normal(shapes.get(name, (S, L))) for name in names} for _ in range(2)
    ]


def train(rng: Rng) -> list[Arrays]:
    """Minibatches of the digits. One place: it takes long."""
    steps, batch, latent = 30, 16, 2
    rows = rng.permutation(len(load_digits()[0]))[:100]
    return [
        {
            **parameters(rng, 64, 20, latent, 0.3),
            "x": (load_digits()[0][rows] >= 8).astype(float),
            "batches": rng.integers(0, 100, (steps, batch)),
            "noise": rng.standard_normal((steps, batch, latent)),
            "learning_rate": np.array(0.01),
        }
    ]


def decode(rng: Rng) -> list[Arrays]:
    """The decoder, twice."""
    return [{**parameters(rng, D, H, L, 0.6), "z": rng.standard_normal((N, L))} for _ in range(2)]


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
    return _far(generic, z=60.0 * z, logits=800.0 + logits)  # densities are 0 there, exp infinite


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
    return _far(generic, log_weight=shift + 2.0 * generic["log_weight"])


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
    return _far(generic, **{name: 100.0 + a for name, a in generic.items()})


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
