"""What is measured on a fitted VAE: its bound, log p(x) by importance sampling, active units.

It knows a model only by its methods, so it stands above every model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from numpyvae.gaussian import reparameterize
from numpyvae.numerics import Array, logsumexp
from numpyvae.priors import StandardNormal
from numpyvae.threads import one_blas_thread
from numpyvae.validation import positive_int

__all__ = ["active_units", "elbo_terms", "evaluate", "importance_weighted_log_likelihood"]

CHUNK_ENTRIES = 1_000_000
"""How many numbers the widest layer's array of a chunk may hold (4 MB in float32)."""


@one_blas_thread
def elbo_terms(
    vae: Any, x: Array, n_samples: int, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Log p(x|z), averaged over `n_samples` draws of z ~ q(z|x), and KL(q(z|x) || p(z)).

    (N,) and (N,) nats; their difference is the evidence lower bound on log p(x).
    """
    x, rng = vae.check_data(x), vae.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    log_px, kl = np.zeros(len(x)), np.zeros(len(x))
    for rows in _chunks(vae, len(x), 1):
        batch = x[rows]
        for _ in range(n_samples):
            terms = vae.elbo_terms(vae.theta, batch, vae.draw_noise(rng, len(batch)))
            log_px[rows] += terms[0] / n_samples
            kl[rows] = terms[1]
    return log_px, kl


@one_blas_thread
def importance_weighted_log_likelihood(
    vae: Any, x: Array, n_samples: int, rng: np.random.Generator | None = None
) -> Array:
    """Log p(x) ~ log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x),  z_s ~ q(z|x): (N,) nats.

    In expectation a lower bound on log p(x), never below the ELBO, that approaches it as
    S = `n_samples` grows. Source: Burda et al. 2015, eq. 8.
    """
    x, rng = vae.check_data(x), vae.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    log_likelihood = np.zeros(len(x))
    params = vae.layout.views(vae.theta)
    for rows in _chunks(vae, len(x), n_samples):
        batch = np.repeat(x[rows], n_samples, axis=0).astype(vae.dtype, copy=False)  # (N S, D)
        mean, log_var = (np.repeat(a, n_samples, axis=0) for a in vae.encode(x[rows]))
        noise = vae.draw_noise(rng, len(batch))
        z, _ = reparameterize(mean, log_var, noise)  # (N S, L)
        output, _ = vae.decoder.forward(params, z)
        log_px, _ = vae.likelihood.log_prob(params, batch, output)  # (N S,)
        # log q(z|x) by its noise: (z - mean) / sigma would lose digits that noise still has
        log_qz = StandardNormal().log_prob(noise) - 0.5 * log_var.sum(axis=-1)
        log_weight = (log_px + vae.prior.log_prob(z) - log_qz).astype(np.float64)
        log_weight = log_weight.reshape(-1, n_samples)  # (N, S)
        log_likelihood[rows] = logsumexp(log_weight, axis=1) - math.log(n_samples)
    return log_likelihood


def active_units(vae: Any, x: Array, threshold: float = 0.01) -> Array:
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


def _chunks(vae: Any, n_rows: int, n_samples: int) -> list[slice]:
    """Slices of the rows: `n_samples` of each fit into CHUNK_ENTRIES at the widest layer."""
    width = max(width for shape in vae.layout.shapes.values() for width in shape)
    size = max(1, CHUNK_ENTRIES // (width * n_samples))
    return [slice(start, start + size) for start in range(0, n_rows, size)]
