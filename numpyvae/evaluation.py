"""Measures of a fitted model: its bound, log p(x) by importance sampling, active units.

`numpyvae.marginal` has better estimates of log p(x), which build on this one.

This file uses only the methods in `Evaluable`, so it imports no model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from numpyvae.gaussian import log_prob_by_noise, reparameterize
from numpyvae.layers import Params
from numpyvae.numerics import Array, logsumexp
from numpyvae.parameters import ParameterLayout
from numpyvae.rows import Data, as_tuple, map_arrays, n_rows, take_rows
from numpyvae.threads import one_blas_thread
from numpyvae.training import Noise
from numpyvae.validation import counted, positive_int

__all__ = [
    "Estimate",
    "Evaluable",
    "active_units",
    "chunks",
    "elbo",
    "elbo_terms",
    "evaluate",
    "importance_weighted_estimate",
    "importance_weighted_log_likelihood",
    "mean_terms",
    "standard_error_of_mean",
]

CHUNK_ENTRIES = 1_000_000
"""How many numbers the widest layer's array of a chunk may hold (4 MB in float32)."""


class Bounded(Protocol):
    """What every model must offer: the terms of its loss, and the bound on log p(x) they give."""

    layout: ParameterLayout
    dtype: np.dtype[Any]
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


class Evaluable(Bounded, Protocol):
    """What a model of p(x, z) with a Gaussian posterior q(z|x) must offer."""

    latent_dim: int

    def posterior(self, params: Params, data: Data) -> tuple[Array, Array]:
        """Mean and log_var (N, L) of each z_l under the encoder's q(z|x)."""

    def draw_code(self, params: Params, data: Data, noise: Array) -> tuple[Array, Array]:
        """z ~ q(z|x) (N, S, L) by standard normal noise (N, S, L), and log q(z|x) (N, S) nats."""

    def log_joint(self, params: Params, data: Data, z: Array) -> tuple[Array, Any]:
        """Log p(x, z), (N,) nats, and the cache of its backward."""

    def log_joint_backward(self, dlog_joint: Array, cache: Any) -> Array:
        """dlog_joint (N,) -> dz (N, L)."""


class Estimate(NamedTuple):
    """log p(x) of each example, how far to trust it, and how it was found. All (N,), in nats."""

    log_likelihood: Array
    standard_error: Array
    """Standard error of log p(x) by the delta method, sqrt((S / ESS - 1) / (S - 1)); inf for one
    sample. It is estimated from the same samples, and so too small if they missed mass: certainly
    if the ESS is below 5, but also if q is much narrower than the posterior or misses a mode. For
    quadrature it is the estimated error."""
    effective_sample_size: Array
    """ESS = (sum_s w_s)^2 / sum_s w_s^2, between 1 and S, not in nats; inf for quadrature."""
    elbo: Array | None
    """The mean of log w_s, the ELBO of the proposal q; None for quadrature."""
    method: str


@one_blas_thread
def mean_terms(
    model: Bounded, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> dict[str, Array]:
    """The terms (N,) of the loss, averaged over `n_samples` draws of the noise, in nats."""
    data, rng = model.check_data(data), model.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    means: dict[str, Array] = {}
    for rows in chunks(model, n_rows(data), math.prod(model.noise_shape[:-1])):
        batch = take_rows(data, rows)
        for _ in range(n_samples):
            noise = model.draw_noise(rng, n_rows(batch))
            for name, values in model.loss_and_terms(model.theta, batch, noise)[1].items():
                means.setdefault(name, np.zeros(n_rows(data)))[rows] += values / n_samples
    return means


def elbo(
    model: Bounded, data: Data, n_samples: int = 1, rng: np.random.Generator | None = None
) -> Array:
    """The model's bound on log p(x), averaged over `n_samples` draws of z, (N,) nats.

    Raises TypeError if the terms of the model's loss give no bound on log p(x).
    """
    bound = model.bound(mean_terms(model, data, n_samples, rng))
    if bound is None:
        raise TypeError(f"{type(model).__name__} has no bound on log p(x)")
    values: Array = bound
    return values


def elbo_terms(
    model: Bounded, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Log p(x|z), averaged over `n_samples` draws of z ~ q(z|x), and KL(q(z|x) || p(z)).

    (N,) and (N,) nats; their difference is the evidence lower bound on log p(x).
    """
    terms = mean_terms(model, data, n_samples, rng)
    return terms["log_px"], terms["kl"]


@one_blas_thread
def importance_weighted_estimate(
    model: Evaluable,
    data: Data,
    n_samples: int,
    rng: np.random.Generator | None = None,
    posterior: tuple[Array, Array] | None = None,
) -> Estimate:
    """Log p(x) ~ log 1/S sum_s w_s,  w_s = p(x, z_s) / q(z_s|x),  z_s ~ q(z|x): (N,) nats.

    q is the encoder's, or the Gaussian of `posterior`, mean and log_var (N, L) each. In expectation
    it is at least the ELBO and at most log p(x), which it approaches as S = `n_samples` grows.
    Source: Burda et al. 2015, eq. 8.
    """
    data, rng = model.check_data(data), model.generator(rng)
    n_samples = positive_int("n_samples", n_samples)
    log_likelihood, error, size, mean_log_weight = np.zeros((4, n_rows(data)))
    params = model.layout.views(model.theta)
    for rows in chunks(model, len(log_likelihood), n_samples):
        batch = take_rows(data, rows, model.dtype)
        noise = rng.standard_normal((n_rows(batch), n_samples, model.latent_dim), model.dtype)
        if posterior is None:
            z, log_qz = model.draw_code(params, batch, noise)  # (N, S, L), (N, S)
        else:
            mean, log_var = (a[rows][:, None] for a in posterior)  # (N, 1, L)
            z, _ = reparameterize(mean, log_var, noise)
            log_qz, _ = log_prob_by_noise(log_var, noise)
        batch = map_arrays(batch, lambda a: np.repeat(a, n_samples, axis=0))  # (N S, D)
        log_joint, _ = model.log_joint(params, batch, z.reshape(-1, model.latent_dim))  # (N S,)
        log_weight = (log_joint.reshape(log_qz.shape) - log_qz).astype(np.float64)  # (N, S)
        log_likelihood[rows] = logsumexp(log_weight, axis=1) - math.log(n_samples)
        error[rows], size[rows] = weights_quality(log_weight)
        mean_log_weight[rows] = log_weight.mean(axis=1)
    return Estimate(log_likelihood, error, size, mean_log_weight, "importance")


def weights_quality(log_weight: Array) -> tuple[Array, Array]:
    """Standard error of log 1/S sum_s w_s in nats, and effective sample size: (N, S) -> (N,) each.

    They are those of `Estimate`.
    """
    n_samples = log_weight.shape[1]
    share = np.exp(log_weight - logsumexp(log_weight, axis=1)[:, None])  # (N, S), sums of 1
    size = 1.0 / (share * share).sum(axis=1)
    if n_samples == 1:
        return np.full(len(size), np.inf), size
    deviation = ((share - 1.0 / n_samples) ** 2).sum(axis=1)  # 1 / ESS - 1 / S, without its digits
    return np.sqrt(deviation * n_samples / (n_samples - 1)), size


def importance_weighted_log_likelihood(
    model: Evaluable, data: Data, n_samples: int, rng: np.random.Generator | None = None
) -> Array:
    """The log p(x) of `importance_weighted_estimate`, (N,) nats."""
    return importance_weighted_estimate(model, data, n_samples, rng).log_likelihood


def active_units(model: Any, data: Data, threshold: float = 0.01) -> Array:
    """Which latent dimensions carry information: Var_x(E_q[z_l]) > threshold, (L,) booleans.

    Source: Burda et al. 2015, section 5.2.
    """
    mean, _ = model.encode(*as_tuple(data))
    return mean.var(axis=0) > threshold


@one_blas_thread
def evaluate(
    model: Any, data: Data, n_samples: int = 500, rng: np.random.Generator | None = None
) -> dict[str, Any]:
    """Means over the rows of x, in nats per example, and how they were found.

    For every model: the terms of its loss, and "elbo" if they bound log p(x). For a model with a
    Gaussian code also "active_units", and "log_likelihood", found by "method", with the
    "standard_error" of its mean. Importance sampling from a Gaussian refined for each example gives
    "sampled_log_likelihood"; "few_effective" counts the examples whose effective sample size is
    below 5. log p(x) - ELBO is the sum of two gaps: "amortization_gap", the ELBO of the refined
    Gaussian minus that of the encoder's, and "approximation_gap", log p(x) minus the ELBO of the
    refined Gaussian.
    """
    rng = model.generator(rng)
    terms = mean_terms(model, data, 10, rng)
    bound = model.bound(terms)
    measured = {name: float(values.mean()) for name, values in terms.items()}
    if bound is not None:
        measured = {"elbo": float(bound.mean()), **measured}
    if not hasattr(model, "log_joint") or getattr(model, "unknown_labels", False):
        return measured
    find = partial(model.log_likelihood, *as_tuple(data), n_samples=n_samples, rng=rng, full=True)
    best = refined = find()
    if best.method != "refined":
        refined = find(method="refined")
    refined_elbo, log_likelihood = float(refined.elbo.mean()), float(best.log_likelihood.mean())
    return {
        **measured,
        **({"given_y": True} if isinstance(data, tuple) else {}),
        "log_likelihood": log_likelihood,
        "method": best.method,
        "standard_error": standard_error_of_mean(best),
        "sampled_log_likelihood": float(refined.log_likelihood.mean()),
        "few_effective": int((refined.effective_sample_size < 5.0).sum()),
        "amortization_gap": refined_elbo - measured["elbo"],
        "approximation_gap": log_likelihood - refined_elbo,
        "active_units": int(active_units(model, data).sum()),
    }


WHOLE = {
    "elbo",
    "log_likelihood",
    "sampled_log_likelihood",
    "amortization_gap",
    "iw_bound",
    "cross_entropy",
    "commitment",
}
"""Names that start a new part of the table of `lines`, not a term of the line before."""


def name_of(term: str) -> str:
    """The name of a term, or of another measured quantity, in a line."""
    return {
        "elbo": "ELBO",
        "log_px": "log p(x|z)",
        "kl": "KL(q(z|x) || p(z))",
        "log_code": "log p(code)",
        "iw_bound": "importance-weighted bound",
        "cross_entropy": "cross-entropy of q(y|x)",
        "log_likelihood": "log p(x)",
        "sampled_log_likelihood": "log p(x)",
        "amortization_gap": "log p(x) - ELBO, amortisation",
        "approximation_gap": "the rest",
    }.get(term, term.replace("_", " "))


def lines(measured: Mapping[str, Any], n: int, n_samples: int) -> Iterator[str]:
    """What `evaluate` measured on n examples, as a table to print."""
    how = dict.fromkeys(
        ("log_likelihood", "sampled_log_likelihood"), f", {counted(n_samples, 'sample')}"
    )
    twice = measured.get("method") == "quadrature"
    if twice:
        how["log_likelihood"] = ", quadrature"
    for key, value in measured.items():
        if isinstance(value, float) and (twice or key != "sampled_log_likelihood"):
            indent = "" if key in WHOLE else "  "
            text = indent + name_of(key) + how.get(key, "")
            if measured.get("given_y"):
                text = re.sub(r"\|([xz])\)", r"|\1, y)", text).replace("p(x)", "p(x|y)")
            yield f"{text:<32}{value:>12.3f} nats"
    if "few_effective" in measured:
        yield (
            "samples of a q(z|x) refined for each example, effective sample size below 5: "
            f"{measured['few_effective']} of {n}"
        )


def standard_error_of_mean(estimate: Estimate) -> float:
    """Standard error of the mean of log p(x) over these examples, which have independent noise.

    It says nothing about other examples. Errors of quadrature may all have one sign, so there it is
    the mean of the errors.
    """
    error = estimate.standard_error
    if estimate.method == "quadrature":
        return float(error.mean())
    return float(np.sqrt((error * error).sum()) / len(error))


def chunks(model: Bounded, n: int, n_samples: int) -> list[slice]:
    """Slices of rows whose `n_samples` samples fit into CHUNK_ENTRIES at the widest layer."""
    width = max(width for shape in model.layout.shapes.values() for width in shape)
    size = max(1, CHUNK_ENTRIES // (width * n_samples))
    return [slice(start, start + size) for start in range(0, n, size)]
