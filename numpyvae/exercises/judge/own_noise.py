"""Does a function use the noise it was given, or does it draw its own?

The noise can be read out of what a function returns. It is another's if it is not the one handed
over, has the size of noise, and explains the backward exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import Arrays, Exercise, Function, L
from numpyvae.exercises.judge.compare import EXACT, close
from numpyvae.exercises.judge.terms import heads_of
from numpyvae.exercises.sandbox.runner import Outcome
from numpyvae.numerics import Array

__all__ = ["drawn_in_backward", "own_noise"]


def own_noise(
    exercise: Exercise, f: Function, points: Arrays, yours: Arrays, right: Arrays, outcome: Outcome
) -> bool:
    """Whether the results are those of the right function, given other noise at each call."""
    if exercise.folder:
        return False
    if f.name == "reparameterize":
        return _of_a_sample(f, points, yours, right, outcome)
    if f.name != "negative_elbo" or yours.keys() != right.keys():
        return False
    noise = {
        place: _noise_of_model(
            {n.split("/", 2)[2]: a for n, a in points.items() if n.startswith(f"{f.name}/{place}")},
            {n[2:]: a for n, a in yours.items() if n.startswith(f"{place}/")},
        )
        for place in ("0", "1")
    }
    losses = [outcome.arrays.get(f"{f.name}/0/{n}") for n in ("loss", "again/loss")]
    if not _is_own(f, noise, points, *losses):
        return False
    other = reference.at_first_place(exercise, f, {**points, f"{f.name}/0/noise": noise["0"]})
    return all(close(yours[n], a, EXACT) for n, a in other.items())


def drawn_in_backward(exercise: Exercise, f: Function, points: Arrays, outcome: Outcome) -> bool:
    """Whether dlog_var, which differs from call to call, is dz noise sigma/2 for other noise."""
    if exercise.folder or f.name != "reparameterize":
        return False
    found = (
        _noise_of_gradient(outcome.arrays.get(f"reparameterize/{n}/dlog_var"), points, n[0])
        for n in ("0", "0/again", "1", "1/again")
    )
    return all(map(_is_noise, found))


def _is_noise(e: Array | None) -> bool:
    """Whether all are numbers as N(0, 1) or a uniform distribution gives them."""
    return e is not None and bool(np.abs(e).max() < 6.0 and 0.2 < e.std() < 2.0)


def _noise_of_gradient(dlog_var: Array | None, points: Arrays, place: str) -> Array | None:
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


def _of_a_sample(
    f: Function, points: Arrays, yours: Arrays, right: Arrays, outcome: Outcome
) -> bool:
    """Whether z is mean + sigma times other noise, and the backward is right, or right for that."""
    noise = {
        n: _noise_of_sample(outcome.arrays.get(f"reparameterize/{n}/z"), points, n[0])
        for n in ("0", "1", "0/again", "1/again")
    }
    z = [outcome.arrays.get(f"reparameterize/0/{n}") for n in ("z", "again/z")]
    if not _is_own(f, noise, points, *z):
        return False
    for n, truth in right.items():
        own = noise[f"{n[0]}/again"]  # of the forward pass that backward gets the cache of
        given = points[f"reparameterize/{n[0]}/noise"]
        ways = [truth] if n.endswith("dmean") or own is None else [truth, truth * own / given]
        if not n.endswith("/z") and not any(n in yours and close(yours[n], w, EXACT) for w in ways):
            return False
    return True


def _noise_of_model(p: Arrays, yours: Arrays) -> Array:
    """The noise in d log_var = dz noise sigma/2 + KL's part, where d mean = dz + KL's part."""
    heads, dheads = heads_of(p, yours)
    mean, log_var = heads[:, :L], heads[:, L:]
    weight = p["beta"] * p["dloss"] / len(mean)
    dz = dheads[:, :L] - weight * mean
    from_z = dheads[:, L:] - 0.5 * weight * np.expm1(log_var)
    noise: Array = 2.0 * from_z / dz * np.exp(-0.5 * log_var)
    return noise


def _is_own(
    f: Function, noise: Mapping[str, Array | None], points: Arrays, value: Any, again: Any
) -> bool:
    """Whether noise, by place, is not made of the noise that was given there.

    Two equal calls with different values have drawn it: then it is held against the given noise.
    Otherwise what is made of the given noise differs from place to place; a seed gives the same.
    """
    if not all(map(_is_noise, noise.values())):
        return False
    used = [e for e in noise.values() if e is not None]
    if np.array_equal(value, again):
        return all(close(e, used[0], EXACT) for e in used)
    given = [points[f"{f.name}/{place[0]}/noise"] for place in noise]
    return not _made_of(np.array(used), np.array(given))


def _made_of(used: Array, given: Array) -> bool:
    """Whether noise is made of the given one: its numbers in any order, or it rises and falls with
    it, by three standard deviations of what chance gives.
    """
    sizes, known = np.abs(used), np.abs(given)
    pairs = zip(sizes, known, strict=True)
    if all((np.abs(a[..., None] - b.ravel()).min(-1) <= EXACT * b.max()).all() for a, b in pairs):
        return True
    chance = 3.0 / np.sqrt(used.size)
    return any(
        abs(float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])) > chance
        for a, b in ((used, given), (sizes, known))
    )


def _ranks(a: Array) -> Array:
    ranks: Array = np.argsort(np.argsort(a, axis=None))
    return ranks
