"""log p(x) by the best method available: quadrature, or importance sampling from a refined q(z|x).

For an example that the encoder was not trained on, its Gaussian can miss a narrow posterior, and
importance sampling finds no mass where it draws no samples. So q(z|x_n) is refined for each
example: its parameters are optimised on that example's bound, with the decoder fixed, as in
variational inference without an encoder. The gain is the amortisation gap (Cremer et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyvae.evaluation import Estimate, Evaluable, chunks, importance_weighted_estimate
from numpyvae.lattice import lattice_log_likelihood
from numpyvae.layers import Params
from numpyvae.numerics import Array
from numpyvae.optimizers import Adam
from numpyvae.rows import Data, map_arrays, n_rows, take_rows
from numpyvae.threads import one_blas_thread
from numpyvae.validation import one_of, positive_int

__all__ = ["METHODS", "log_likelihood", "refined_posterior"]

ROUNDING = 1e-5
"""Smaller gains, in nats, are rounding; Adam takes full steps even along rounding errors."""

METHODS = ("auto", "quadrature", "refined", "importance")


def log_likelihood(
    model: Any,
    data: Data,
    n_samples: int = 500,
    rng: np.random.Generator | None = None,
    method: str = "auto",
) -> Estimate:
    """Log p(x) of each example, with its standard error and effective sample size.

    Args:
        model: a `LatentModel`.
        data: x (N, D), or (x, y).
        n_samples: S of the two sampling methods.
        rng: of their noise; None starts a generator from the model's seed.
        method: "quadrature" sums over a lattice of codes, for a standard normal prior and L <= 2;
            "refined" samples from a posterior refined for each example; "importance" samples from
            the encoder's; "auto" is "quadrature" if possible, else "refined".
    """
    one_of("method", method, METHODS)
    rng, n_samples = model.generator(rng), positive_int("n_samples", n_samples)
    if method == "importance":
        return importance_weighted_estimate(model, data, n_samples, rng)
    if method == "quadrature" or (method == "auto" and fits_lattice(model)):
        if not fits_lattice(model):
            raise ValueError(
                "quadrature needs latent_dim 1 or 2 and a standard normal prior, got latent_dim "
                f"{model.latent_dim} and {model.prior!r}: use method='refined'"
            )
        return lattice_log_likelihood(model, data)
    q = refined_posterior(model, data, rng)
    estimate = importance_weighted_estimate(model, data, n_samples, rng, q)
    return estimate._replace(method="refined")


def fits_lattice(model: Any) -> bool:
    """Whether the prior is N(0, I) in one or two dimensions, as the lattice requires."""
    return model.latent_dim <= 2 and getattr(model.prior, "is_standard_normal", False)


@one_blas_thread
def refined_posterior(
    model: Evaluable,
    data: Data,
    rng: np.random.Generator | None = None,
    n_steps: int = 200,
    n_samples: int = 8,
    learning_rate: float = 0.1,
) -> tuple[Array, Array]:
    """Mean and log_var (N, L) that raise each example's own ELBO, the decoder fixed.

    They start at the encoder's and take `n_steps` of Adam, whose rate falls linearly to 0, with
    `n_samples` new draws of noise in each step. If that does not raise the ELBO (measured with
    8 `n_samples` other draws), the encoder's are returned. It uses no label that is not given, and
    changes no parameter of the model: it is inference, not training.

    The gradient goes through z alone: mean and log_var in -log q(z) are held constant. The term
    left out has expectation 0, and if q is the exact posterior, the gradient of every single sample
    is 0. Source: Roeder, Wu & Duvenaud 2017.
    """
    data, rng = model.check_data(data), model.generator(rng)
    params = model.layout.views(model.theta)
    parts = []
    for rows in chunks(model, n_rows(data), n_samples):
        batch = take_rows(data, rows, model.dtype)
        start = np.stack(model.posterior(params, batch))  # (2, N, L): mean, log_var
        q, adam = start.copy(), Adam(learning_rate)
        many = map_arrays(batch, lambda a: np.repeat(a, n_samples, axis=0))  # (N S, D)
        for step in range(n_steps):
            adam.learning_rate = learning_rate * (1.0 - step / n_steps)
            noise = rng.standard_normal((q.shape[1], n_samples, q.shape[2]), model.dtype)
            adam.step(q.ravel(), -_gradient(model, params, many, q, noise).ravel())
        gain = np.zeros(q.shape[1])
        for _ in range(8):
            noise = rng.standard_normal((q.shape[1], n_samples, q.shape[2]), model.dtype)
            after, before = (_elbo(model, params, many, each, noise) for each in (q, start))
            gain += (after - before) / 8.0
        parts.append(np.where((gain > ROUNDING)[:, None], q, start))
    mean, log_var = np.concatenate(parts, axis=1)
    return mean, log_var


def _gradient(model: Evaluable, params: Params, many: Data, q: Array, noise: Array) -> Array:
    """d ELBO / d (mean, log_var) of each example, (2, N, L), over noise (N, S, L)."""
    (mean, log_var), (_, n_samples, dim) = q[:, :, None], noise.shape  # (N, 1, L)
    sigma = np.exp(0.5 * log_var)
    z = mean + sigma * noise
    log_joint, cache = model.log_joint(params, many, z.reshape(-1, dim))
    dz = model.log_joint_backward(np.ones_like(log_joint), cache).reshape(noise.shape)
    dz = (dz + noise / sigma) / n_samples  # -log q(z) = ... + (z - mean)^2 / (2 sigma^2)
    return np.stack([dz.sum(axis=1), 0.5 * (dz * sigma * noise).sum(axis=1)])


def _elbo(model: Evaluable, params: Params, many: Data, q: Array, noise: Array) -> Array:
    """The ELBO of each example over noise (N, S, L), without its constant: (N,) nats."""
    mean, log_var = q[:, :, None]
    z = mean + np.exp(0.5 * log_var) * noise
    log_joint, _ = model.log_joint(params, many, z.reshape(-1, z.shape[-1]))
    return log_joint.reshape(noise.shape[:2]).mean(axis=1) + 0.5 * q[1].sum(axis=-1)
