"""Does a function use the noise it was given, or does it draw its own?

The noise can be read out of what a function returns. It is another's if it is not the one handed
over, has the size of noise, and explains the backward exactly.
"""

from __future__ import annotations

import numpy as np

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import Arrays, Exercise, Function, L
from numpyvae.exercises.judge.compare import EXACT, close
from numpyvae.exercises.judge.terms import heads_of
from numpyvae.exercises.sandbox.runner import Outcome
from numpyvae.numerics import Array

__all__ = ["is_noise", "noise_of_gradient", "own_noise"]


def own_noise(
    exercise: Exercise, f: Function, points: Arrays, yours: Arrays, right: Arrays, outcome: Outcome
) -> bool:
    """Whether the results are those of the right function, given other noise at each call."""
    if exercise.folder:
        return False
    if f.name == "reparameterize":
        return _of_a_sample(points, yours, right, outcome)
    if f.name != "negative_elbo" or yours.keys() != right.keys():
        return False
    start = "negative_elbo/0/"
    noise = _noise_of_model(
        {n[len(start) :]: a for n, a in points.items() if n.startswith(start)},
        {n[2:]: a for n, a in yours.items() if n.startswith("0/")},
    )
    given = points[f"{start}noise"]
    if not is_noise(noise) or noise is None or _made_of(noise, given):
        return False
    other = reference.at_first_place(exercise, f, {**points, f"{start}noise": noise})
    return all(close(yours[n], a, EXACT) for n, a in other.items())


def is_noise(e: Array | None) -> bool:
    """Whether all are numbers as N(0, 1) or a uniform distribution gives them."""
    return e is not None and bool(np.abs(e).max() < 6.0 and 0.2 < e.std() < 2.0)


def noise_of_gradient(dlog_var: Array | None, points: Arrays, place: str) -> Array | None:
    """The noise of dlog_var = dz noise sigma/2, if it has the shape of one."""
    dz, log_var = (points[f"reparameterize/{place}/{name}"] for name in ("dz", "log_var"))
    if dlog_var is None or dlog_var.shape != dz.shape:
        return None
    noise: Array = 2.0 * dlog_var / dz * np.exp(-0.5 * log_var)
    return noise


def _noise_of_sample(z: Array | None, points: Arrays, place: str) -> Array | None:
    """The noise of z = mean + sigma noise. At the second place, sigma is e^-70: only what is a
    multiple of it looks like noise there.
    """
    mean, log_var = (points[f"reparameterize/{place}/{name}"] for name in ("mean", "log_var"))
    if z is None or z.shape != mean.shape:
        return None
    noise: Array = (z - mean) * np.exp(-0.5 * log_var)
    return noise


def _of_a_sample(points: Arrays, yours: Arrays, right: Arrays, outcome: Outcome) -> bool:
    """Whether z is mean + sigma times other noise, and the backward is right, or right for that."""
    given = points["reparameterize/0/noise"]
    noise = {
        n: _noise_of_sample(outcome.arrays.get(f"reparameterize/{n}"), points, n[0])
        for n in ("0/z", "1/z", "0/again/z", "1/again/z")
    }
    if not all(e is not None and is_noise(e) and not _made_of(e, given) for e in noise.values()):
        return False
    for n, truth in right.items():
        own = noise[f"{n[0]}/again/z"]  # of the forward pass that backward gets the cache of
        ways = [truth] if n.endswith("dmean") or own is None else [truth, truth * own / given]
        if not n.endswith("/z") and not any(n in yours and close(yours[n], w, EXACT) for w in ways):
            return False
    return True


def _noise_of_model(p: Arrays, yours: Arrays) -> Array | None:
    """The noise in d log_var = dz noise sigma/2 + KL's part, where d mean = dz + KL's part."""
    heads, dheads = heads_of(p, yours)
    mean, log_var = heads[:, :L], heads[:, L:]
    weight = p["beta"] * p["dloss"] / len(mean)
    dz = dheads[:, :L] - weight * mean
    from_z = dheads[:, L:] - 0.5 * weight * np.expm1(log_var)
    noise: Array = 2.0 * from_z / dz * np.exp(-0.5 * log_var)
    return noise


def _made_of(e: Array, noise: Array) -> bool:
    """Whether e is made of the noise: its numbers in any order, or what rises and falls with it."""
    used, given = np.abs(e).ravel(), np.abs(noise).ravel()
    among = np.abs(used[:, None] - given).min(axis=1) <= EXACT * given.max()
    return bool(among.all()) or any(
        abs(float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])) > 0.75
        for a, b in ((e, noise), (used, given))
    )


def _ranks(a: Array) -> Array:
    ranks: Array = np.argsort(np.argsort(a, axis=None))
    return ranks
