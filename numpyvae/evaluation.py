"""What is measured on a fitted model: its bound, log p(x) by importance sampling, active units.

It knows a model only by the methods of `Evaluable`, so it imports no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from numpyvae.layers import Params
from numpyvae.numerics import Array, logsumexp
from numpyvae.parameters import ParameterLayout
from numpyvae.threads import one_blas_thread
from numpyvae.training import Data, Noise
from numpyvae.validation import positive_int

__all__ = [
    "Evaluable",
    "active_units",
    "elbo",
    "elbo_terms",
    "evaluate",
    "importance_weighted_log_likelihood",
]

CHUNK_ENTRIES = 1_000_000
"""How many numbers the widest layer's array of a chunk may hold (4 MB in float32)."""


class Evaluable(Protocol):
    """What is asked of a model of p(x, z) with a Gaussian posterior q(z|x)."""

    layout: ParameterLayout
    dtype: np.dtype[Any]
    latent_dim: int
    noise_shape: tuple[int, ...]

    @property
    def theta(self) -> Array: ...

    def check_data(self, data: Data) -> Any: ...

    def generator(self, rng: np.random.Generator | None) -> np.random.Generator: ...

    def draw_noise(self, rng: np.random.Generator, n: int) -> Any: ...

    def loss_and_terms(
        self, theta: Array, data: Data, noise: Noise
    ) -> tuple[Any, dict[str, Array]]: ...

    def bound(self, terms: Mapping[str, Any]) -> Any: ...

    def draw_code(self, params: Params, data: Data, noise: Array) -> tuple[Array, Array]:
        """z ~ q(z|x) (N, S, L) by standard normal noise (N, S, L), and log q(z|x) (N, S) nats."""

    def log_joint(self, params: Params, data: Data, z: Array) -> tuple[Array, Any]:
        """Log p(x, z), (N,) nats, and the cache of its backward."""


@one_blas_thread
def mean_terms(
    model: Evaluable, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> dict[str, Array]:
    """The terms (N,) of the loss, averaged over `n_samples` draws of the noise, in nats."""
    data, rng = model.check_data(data), model.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    means: dict[str, Array] = {}
    for rows in _chunks(model, _n_rows(data), math.prod(model.noise_shape[:-1])):
        batch = _take(data, rows)
        for _ in range(n_samples):
            noise = model.draw_noise(rng, _n_rows(batch))
            for name, values in model.loss_and_terms(model.theta, batch, noise)[1].items():
                means.setdefault(name, np.zeros(_n_rows(data)))[rows] += values / n_samples
    return means


def elbo(
    model: Evaluable, data: Data, n_samples: int = 1, rng: np.random.Generator | None = None
) -> Array:
    """The model's bound on log p(x), averaged over `n_samples` draws of z, (N,) nats.

    Raises TypeError where nothing that the model's loss is made of bounds log p(x).
    """
    bound = model.bound(mean_terms(model, data, n_samples, rng))
    if bound is None:
        raise TypeError(f"{type(model).__name__} has no bound on log p(x)")
    values: Array = bound
    return values


def elbo_terms(
    model: Evaluable, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Log p(x|z), averaged over `n_samples` draws of z ~ q(z|x), and KL(q(z|x) || p(z)).

    (N,) and (N,) nats; their difference is the evidence lower bound on log p(x).
    """
    terms = mean_terms(model, data, n_samples, rng)
    return terms["log_px"], terms["kl"]


@one_blas_thread
def importance_weighted_log_likelihood(
    model: Evaluable, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> Array:
    """Log p(x) ~ log 1/S sum_s p(x, z_s) / q(z_s|x),  z_s ~ q(z|x): (N,) nats.

    In expectation a lower bound on log p(x), never below the ELBO, that approaches it as
    S = `n_samples` grows. Source: Burda et al. 2015, eq. 8.
    """
    data, rng = model.check_data(data), model.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    log_likelihood = np.zeros(_n_rows(data))
    params = model.layout.views(model.theta)
    for rows in _chunks(model, len(log_likelihood), n_samples):
        batch = _take(data, rows, model.dtype)
        shape = (_n_rows(batch), n_samples, model.latent_dim)
        z, log_qz = model.draw_code(params, batch, rng.standard_normal(shape, model.dtype))
        batch = _map(batch, lambda a: np.repeat(a, n_samples, axis=0))  # (N S, D)
        log_joint, _ = model.log_joint(params, batch, z.reshape(-1, model.latent_dim))  # (N S,)
        log_weight = (log_joint.reshape(log_qz.shape) - log_qz).astype(np.float64)  # (N, S)
        log_likelihood[rows] = logsumexp(log_weight, axis=1) - math.log(n_samples)
    return log_likelihood


def active_units(vae: Any, x: Data, threshold: float = 0.01) -> Array:
    """Which latent dimensions carry information: Var_x(E_q[z_l]) > threshold, (L,) booleans.

    Source: Burda et al. 2015, section 5.2.
    """
    mean, _ = vae.encode(x)
    return mean.var(axis=0) > threshold


@one_blas_thread
def evaluate(
    vae: Any, x: Array, n_samples: int = 500, rng: np.random.Generator | None = None
) -> dict[str, float]:
    """Means over the rows of x, in nats per example, and the number of active units."""
    rng = vae.generator(rng)
    log_px, kl = elbo_terms(vae, x, 10, rng)
    log_likelihood = importance_weighted_log_likelihood(vae, x, n_samples, rng)
    return {
        "elbo": float((log_px - kl).mean()),
        "log_px": float(log_px.mean()),
        "kl": float(kl.mean()),
        "log_likelihood": float(log_likelihood.mean()),
        "active_units": int(active_units(vae, x).sum()),
    }


def _map(data: Data, function: Callable[[Array], Array]) -> Any:
    """`function` of each array of the data."""
    return tuple(map(function, data)) if isinstance(data, tuple) else function(data)


def _take(data: Data, rows: slice, dtype: Any = None) -> Any:
    """Some rows of the data; matrices as `dtype`, labels as they are."""
    return _map(data, lambda a: a[rows].astype(dtype) if dtype and a.ndim > 1 else a[rows])


def _n_rows(data: Data) -> int:
    return len(data[0]) if isinstance(data, tuple) else len(data)


def _chunks(vae: Any, n_rows: int, n_samples: int) -> list[slice]:
    """Slices of the rows: `n_samples` of each fit into CHUNK_ENTRIES at the widest layer."""
    width = max(width for shape in vae.layout.shapes.values() for width in shape)
    size = max(1, CHUNK_ENTRIES // (width * n_samples))
    return [slice(start, start + size) for start in range(0, n_rows, size)]
