"""Time of one training step: ours, PyTorch's, JAX's, and of its matrix products alone."""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from children import Child
from contenders import EAGER, FLOOR, FUSED, JAX, MAKERS, OURS, Case, Step
from timing import BLOCK, FEWEST_ROUNDS, PAUSE, WARM_UP, median_in_block, paired_ratio, take_turns

CASES = [Case(64, 128, 8), Case(784, 200, 50), Case(784, 400, 20)]
BATCH_SIZES = [20, 128, 512]
AIMS = {EAGER: (0.45, 1.0), FUSED: (0.65, 1.1), JAX: (1.0, 1.5), FLOOR: (2.2, 4.5)}
"""Peer: the largest allowed geometric mean of the ratios, and the largest allowed ratio."""

_steps: dict[str, Step] = {}  # in a child: the step that it is measuring


class StepTimes(NamedTuple):
    """One case: for each contender its median of every block, in seconds."""

    case: Case
    batch: int
    blocks: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.blocks[name])

    def ratio(self, peer: str) -> float:
        """Ours to the peer's: the median of the ratios within each round."""
        return paired_ratio(self.blocks[OURS], self.blocks[peer])


class Summary(NamedTuple):
    """Against one peer: geometric mean and largest of the ratios, and whether both are met."""

    mean: float
    worst: float
    aims: tuple[float, float]

    @property
    def is_met(self) -> bool:
        return self.mean <= self.aims[0] and self.worst <= self.aims[1]


def prepare(name: str, case: Case, batch: int) -> None:
    """In a child: build a contender's step and call it until everything is compiled and warm."""
    _steps.clear()
    _steps["step"] = MAKERS[name](case, batch)
    for _ in range(3):
        _steps["step"]()


def measure_block(seconds: float, warm_up: float) -> float:
    """In a child: the median time of a step in one block."""
    return median_in_block(_steps["step"], seconds, warm_up)


class Contest:
    """Children that hold a contender each; used in a `with` statement."""

    def __init__(self, names: Sequence[str], seconds: float) -> None:
        self.names, self.seconds = names, seconds

    def __enter__(self) -> "Contest":
        self.stack = ExitStack()
        self.children = {name: self.stack.enter_context(Child()) for name in self.names}
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stack.__exit__(*exception)

    def measure(self, case: Case, batch: int, names: Sequence[str] = ()) -> StepTimes:
        """Each contender (or those of `names`) for about `seconds`, in blocks, in turns."""
        children = {name: self.children[name] for name in names or self.names}
        for name, child in children.items():
            child.ask(prepare, name, case, batch)
        if not self.seconds:
            turns = (0.0, 0.0, 1, 0.0)
        else:
            turns = (BLOCK, WARM_UP, max(FEWEST_ROUNDS, round(self.seconds / BLOCK)), PAUSE)
        block, warm_up, rounds, pause = turns
        measures = {
            name: partial(child.ask, measure_block, block, warm_up)
            for name, child in children.items()
        }
        return StepTimes(case, batch, take_turns(measures, rounds, pause))


def measure_all(contest: Contest) -> list[StepTimes]:
    """The nine cases."""
    return [contest.measure(case, n) for case in CASES for n in BATCH_SIZES]


def summarise(rows: Sequence[StepTimes]) -> dict[str, Summary]:
    """For each peer that was measured."""
    peers = [name for name in AIMS if name in rows[0].blocks]
    ratios = {peer: [row.ratio(peer) for row in rows] for peer in peers}
    return {
        peer: Summary(statistics.geometric_mean(values), max(values), AIMS[peer])
        for peer, values in ratios.items()
    }
