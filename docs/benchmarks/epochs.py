"""Whole epochs: `fit` beside the sum of its steps, and beside PyTorch with a DataLoader."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from children import Child
from contenders import EAGER, OURS, Case, binary_data, our_model, torch_model, use_threads
from timing import PAUSE, paired_ratio, take_turns

from numpyvae import Adam

CASES = [Case(784, 200, 50), Case(784, 400, 20)]
EXAMPLES, BATCH = 60_000, 128
AIM_STEPS, AIM_TORCH = 1.1, 0.4
STEPS = "the sum of its steps"

_epochs: dict[str, Callable[[], object]] = {}  # in a child: what it measures


class EpochTimes(NamedTuple):
    """One network: seconds of each epoch, by contender."""

    case: Case
    examples: int
    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, peer: str) -> float:
        return paired_ratio(self.seconds[OURS], self.seconds[peer])


def our_epoch(case: Case, x: np.ndarray) -> Callable[[], object]:
    """The whole call of `fit`, with its checks of the data."""
    vae, optimizer = our_model(case), Adam()
    return lambda: vae.fit(x, 1, BATCH, optimizer, verbose=False)


def our_steps(case: Case, x: np.ndarray) -> Callable[[], object]:
    """The steps of an epoch without `fit`, on minibatches that are cut beforehand."""
    vae, optimizer, rng = our_model(case), Adam(), np.random.default_rng(0)
    batches = [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
    _, grad = vae.loss_and_grad(vae.theta, batches[0], vae.draw_noise(rng, len(batches[0])))

    def steps() -> None:
        for batch in batches:
            noise = vae.draw_noise(rng, len(batch))
            vae.loss_and_grad(vae.theta, batch, noise, out=grad)
            optimizer.step(vae.theta, grad)

    return steps


def torch_epoch(
    case: Case, x: np.ndarray, batch_size: int = BATCH, **adam: bool
) -> Callable[[], object]:
    """An epoch as PyTorch's users write it."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    use_threads()
    loader = DataLoader(TensorDataset(torch.from_numpy(x)), batch_size=batch_size, shuffle=True)
    model = torch_model(case)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)

    def epoch() -> float:
        total = 0.0
        for (batch,) in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = model.loss(batch, torch.randn(len(batch), case.latent))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        return total / len(x)

    return epoch


MAKERS = {OURS: our_epoch, STEPS: our_steps, EAGER: torch_epoch}


def prepare(names: list[str], case: Case, examples: int) -> None:
    """In a child: make data and models, and warm each up with a few steps."""
    x = binary_data(examples, case.data)
    _epochs.clear()
    for name in names:
        MAKERS[name](case, x[: 3 * BATCH])()
        _epochs[name] = MAKERS[name](case, x)


def measure(name: str) -> float:
    """In a child: seconds of one epoch."""
    start = time.perf_counter()
    _epochs[name]()
    return time.perf_counter() - start


def measure_all(has_torch: bool, examples: int, rounds: int) -> list[EpochTimes]:
    """Both networks; `fit` and its steps share a process, PyTorch has its own."""
    groups = [[OURS, STEPS], [EAGER]] if has_torch else [[OURS, STEPS]]
    with ExitStack() as stack:
        children = [(stack.enter_context(Child()), names) for names in groups]
        rows = []
        for case in CASES:
            for child, names in children:
                child.ask(prepare, names, case, examples)
            measures = {
                n: partial(child.ask, measure, n) for child, names in children for n in names
            }
            rows.append(EpochTimes(case, examples, take_turns(measures, rounds, PAUSE)))
        return rows
