"""The few terms that a gradient can contain, and their coefficients in a student's gradient.

A wrong gradient is nearly always made of the right ingredients. At a generic place they are
linearly independent and fewer than the gradient's entries, so that a least-squares fit reads off
how often each was used; if it leaves no residual, that is what the student's code does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpyvae.exercises.judge.catalogue import Arrays, L
from numpyvae.exercises.judge.compare import EXACT, close
from numpyvae.numerics import Array

__all__ = ["coefficients", "heads_of"]

Terms = dict[str, tuple[Array, float]]  # in words -> the term, and the coefficient that is right
Fit = list[tuple[str, float, float]]  # (term, coefficient found, coefficient right), wrong ones


def _reparameterize(p: Arrays) -> dict[str, Terms]:
    dz, noise, log_var, mean = p["dz"], p["noise"], p["log_var"], p["mean"]
    sigma = np.exp(0.5 * log_var)
    return {
        "dmean": {"dz": (dz, 1), "dz noise": (dz * noise, 0), "dz sigma": (dz * sigma, 0)},
        "dlog_var": {
            "dz noise sigma/2": (0.5 * dz * noise * sigma, 1),
            "dz noise sigma^2/2": (0.5 * dz * noise * sigma**2, 0),
            "dz noise/2": (0.5 * dz * noise, 0),
            "dz sigma/2": (0.5 * dz * sigma, 0),
            "dz mean/2": (0.5 * dz * mean, 0),
            "dz": (dz, 0),
        },
    }


def _kl(p: Arrays) -> dict[str, Terms]:
    dkl, mean, log_var = p["dkl"][:, None], p["mean"], p["log_var"]
    one = np.ones_like(mean)
    return {
        "dmean": {"dkl mean": (dkl * mean, 1), "dkl": (dkl * one, 0)},
        "dlog_var": {
            "dkl sigma^2/2": (0.5 * dkl * np.exp(log_var), 1),
            "dkl/2": (0.5 * dkl * one, -1),
            "dkl sigma/2": (0.5 * dkl * np.exp(0.5 * log_var), 0),
            "dkl log_var/2": (0.5 * dkl * log_var, 0),
            "dkl mean": (dkl * mean, 0),
        },
    }


def _bernoulli(p: Arrays) -> dict[str, Terms]:
    dlog_prob, x, logits = p["dlog_prob"][:, None], p["x"], p["logits"]
    q = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return {
        "dlogits": {
            "dlog_prob x": (dlog_prob * x, 1),
            "dlog_prob p": (dlog_prob * q, -1),
            "dlog_prob logits": (dlog_prob * logits, 0),
            "dlog_prob": (dlog_prob * np.ones_like(x), 0),
        }
    }


def _gaussian(p: Arrays) -> dict[str, Terms]:
    dlog_prob, residual = p["dlog_prob"][:, None], p["x"] - p["mean"]
    precision = np.exp(-p["log_var"])
    squares = (0.5 * dlog_prob * residual**2 * precision).sum(axis=0)
    return {
        "dmean": {
            "dlog_prob (x - mean)/sigma^2": (dlog_prob * residual * precision, 1),
            "dlog_prob (x - mean)": (dlog_prob * residual, 0),
            "dlog_prob (x - mean)/sigma": (dlog_prob * residual * np.sqrt(precision), 0),
        },
        "dlog_var": {
            "sum dlog_prob (x - mean)^2/(2 sigma^2)": (squares, 1),
            "sum dlog_prob/2": (0.5 * dlog_prob.sum() * np.ones_like(precision), -1),
        },
    }


def _heads(p: Arrays, yours: Arrays) -> dict[str, tuple[Array, Terms]]:
    """mean and log_var in the whole model, each with the student's own dz.

    h^T dheads and h'^T dlogits stand in the gradients of two weights. N is not larger than H, so
    the student's dheads and dlogits can be read out of them.
    """
    params = {n.removeprefix("params/"): a for n, a in p.items() if n.startswith("params/")}
    heads, dheads = heads_of(p, yours)
    mean, log_var = heads[:, :L], heads[:, L:]
    noise, sigma = p["noise"], np.exp(0.5 * log_var)
    h_z = np.tanh((mean + sigma * noise) @ params["decoder.0.W"] + params["decoder.0.b"])
    dlogits = _solve(h_z.T, yours["dparams/decoder.1.W"])
    dz = ((dlogits @ params["decoder.1.W"].T) * (1.0 - h_z**2)) @ params["decoder.0.W"].T
    weight = p["beta"] * p["dloss"] / len(mean)  # of the KL of one example
    one = np.ones_like(mean)
    return {
        "dmean": (
            dheads[:, :L],
            {"dz": (dz, 1), "beta mean/N": (weight * mean, 1), "dz noise": (dz * noise, 0)},
        ),
        "dlog_var": (
            dheads[:, L:],
            {
                "dz noise sigma/2": (0.5 * dz * noise * sigma, 1),
                "beta sigma^2/(2N)": (0.5 * weight * sigma**2, 1),
                "beta/(2N)": (0.5 * weight * one, -1),
                "dz noise/2": (0.5 * dz * noise, 0),
                "dz sigma/2": (0.5 * dz * sigma, 0),
            },
        ),
    }


def heads_of(p: Arrays, yours: Arrays) -> tuple[Array, Array]:
    """mean and log_var side by side, (N, 2L), and the student's gradient of them."""
    h = np.tanh(p["x"] @ p["params/encoder.0.W"] + p["params/encoder.0.b"])
    heads = h @ p["params/encoder.1.W"] + p["params/encoder.1.b"]
    return heads, _solve(h.T, yours["dparams/encoder.1.W"])


def _solve(a: Array, b: Array) -> Array:
    """X of a X = b, if it exists."""
    x: Array = np.linalg.lstsq(a, b, rcond=None)[0]
    return x


TERMS: dict[str, Callable[[Arrays], dict[str, Terms]]] = {
    "reparameterize": _reparameterize,
    "kl_to_standard_normal": _kl,
    "bernoulli_log_prob": _bernoulli,
    "gaussian_log_prob": _gaussian,
}


def coefficients(
    function: str, points: Arrays, yours: Arrays, right: Arrays
) -> dict[str, Fit | None]:
    """The wrong coefficients of each gradient, the same at all places; None: no exact explanation.

    Empty where the function's gradient is not a sum of few terms.
    """
    fits: dict[str, Fit | None] = {}
    for place in ("0", "1"):
        start = f"{function}/{place}/"
        p = {n[len(start) :]: a for n, a in points.items() if n.startswith(start)}
        first = {n[2:]: a for n, a in yours.items() if n.startswith(place)}
        truth = {n[2:]: a for n, a in right.items() if n.startswith(place)}
        outputs = [n for n in truth if n.split("/")[0] in ("loss", "z", "kl", "log_prob")]
        if not all(close(first[n], truth[n], EXACT) for n in outputs):
            return {outputs[0]: None}  # then no coefficient of a gradient explains it
        if function == "negative_elbo":
            sums = _heads(p, first)
        elif function in TERMS:
            sums = {g: (first[g], terms) for g, terms in TERMS[function](p).items()}
        else:
            return {}
        for gradient, (y, terms) in sums.items():
            if place == "0":
                fits[gradient] = _fit(y, terms)
            elif not _explains(fits[gradient], y, terms):
                fits[gradient] = None
    return fits


def _fit(y: Array, terms: Terms) -> Fit | None:
    """The coefficients that differ from the right ones, if the terms explain y to 1e-6."""
    some = next(iter(terms.values()))[0]
    if y.shape != some.shape or not np.isfinite(y).all() or not y.any():
        return None
    columns = np.stack([term.ravel() for term, _ in terms.values()], axis=1)
    if columns.shape[0] <= columns.shape[1]:
        return None
    found = [round(float(c), 4) + 0.0 for c in _solve(columns, y.ravel())]
    fit = [(t, c, e) for (t, (_, e)), c in zip(terms.items(), found, strict=True) if c != e]
    return fit if _explains(fit, y, terms) else None


def _explains(fit: Fit | None, y: Array, terms: Terms) -> bool:
    """Whether y is the sum of the terms, with these coefficients and else the right ones."""
    if fit is None:
        return False
    wrong = {term: c for term, c, _ in fit}
    total = sum(wrong.get(name, e) * term for name, (term, e) in terms.items())
    return close(np.asarray(total), y, EXACT)
