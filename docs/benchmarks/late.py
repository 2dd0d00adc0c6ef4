"""Real data, late in training: the first epoch on MNIST beside later ones.

A pixel that is almost never on has a gradient of exactly zero in most minibatches, so its moments
in Adam shrink from step to step. Random data have no such pixels, and a benchmark of a few steps
has no such moments.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from children import Child
from contenders import EAGER, FUSED, JAX, OURS, Case, binary_data, jax_trainer, our_model
from epochs import torch_epoch
from timing import PAUSE, paired_ratio, take_turns

from numpyvae import Adam
from numpyvae.data import binarize_pixels, load_mnist

CASE, BATCH, EXAMPLES = Case(784, 400, 20), 20, 20_000
EPOCHS, LATE = 8, 5
"""How many epochs there are, and after how many the late ones begin."""
AIMS = {EAGER: 0.5, FUSED: 0.7, JAX: None}

_epochs: dict[str, Callable[[], object]] = {}  # in a child: what it measures


class LateTimes(NamedTuple):
    """Seconds of each epoch, by contender."""

    seconds: dict[str, list[float]]

    def late(self, name: str) -> list[float]:
        return self.seconds[name][LATE:] or self.seconds[name]

    def median(self, name: str) -> float:
        return statistics.median(self.late(name))

    def ratio(self, peer: str) -> float:
        return paired_ratio(self.late(OURS), self.late(peer))


def our_epoch(x: np.ndarray) -> Callable[[], object]:
    vae, optimizer = our_model(CASE), Adam()
    return lambda: vae.fit(x, 1, BATCH, optimizer, verbose=False)


def jax_epoch(x: np.ndarray) -> Callable[[], object]:
    """The jitted step on minibatches cut by NumPy; the losses are read at the end."""
    step, rng = jax_trainer(CASE, BATCH), np.random.default_rng(0)

    def epoch() -> float:
        order = rng.permutation(len(x)).reshape(-1, BATCH)
        losses = [step(x[rows]) for rows in order]
        return sum(map(float, losses)) / len(losses)

    return epoch


MAKERS = {
    OURS: our_epoch,
    EAGER: lambda x: torch_epoch(CASE, x, BATCH),
    FUSED: lambda x: torch_epoch(CASE, x, BATCH, fused=True),
    JAX: jax_epoch,
}


def images() -> np.ndarray:
    """Binarised images of MNIST (20000, 784)."""
    return binarize_pixels(load_mnist()[0][:EXAMPLES], np.random.default_rng(0))


def prepare(name: str, quick: bool) -> None:
    """In a child: make data and a model, after a few steps of another one as a warm-up."""
    x = binary_data(3 * BATCH, CASE.data) if quick else images()
    MAKERS[name](x[: 3 * BATCH])()
    _epochs["epoch"] = MAKERS[name](x)


def measure() -> float:
    """In a child: seconds of the next epoch."""
    start = time.perf_counter()
    _epochs["epoch"]()
    return time.perf_counter() - start


def measure_all(names: list[str], quick: bool) -> LateTimes:
    """Each contender in a process of its own, an epoch in turns."""
    with ExitStack() as stack:
        measures = {}
        for name in (name for name in MAKERS if name in names):
            child = stack.enter_context(Child())
            child.ask(prepare, name, quick)
            measures[name] = partial(child.ask, measure)
        return LateTimes(take_turns(measures, 1 if quick else EPOCHS, PAUSE))
