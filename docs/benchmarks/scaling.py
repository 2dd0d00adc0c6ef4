"""Cost against parameters, data dimensions and examples, up to ten times the largest case.

Steps of wider networks and on more data dimensions are timed beside the floor and the peers; epochs
of `fit` on more examples beside the matrix products of their steps.
"""

from typing import NamedTuple

from children import Child
from contenders import FLOOR, OURS, Case
from epochs import BATCH, measure, prepare
from steps import Contest, StepTimes

LARGEST = Case(784, 400, 20)
WIDTHS = [400, 800, 1600, 4000]  # 4000 has ten times the parameters
DATA_DIMS = [784, 1568, 3136, 7840]
EXAMPLES = [6_000, 60_000, 600_000]


class Scaling(NamedTuple):
    """Steps of wider networks, steps on wider data, and seconds of epochs of more examples."""

    widths: list[StepTimes]
    data_dims: list[StepTimes]
    epochs: list[tuple[int, float, float]]
    """(examples, seconds of `fit`, seconds of its steps' matrix products)."""


def epoch_seconds(examples: int, floor: float) -> tuple[int, float, float]:
    """One epoch of `fit`, in a process of its own; `floor` is the products' time in a step."""
    with Child() as child:
        child.ask(prepare, [OURS], LARGEST, examples)
        seconds = child.ask(measure, OURS)
    return examples, seconds, floor * examples / BATCH


def measure_all(contest: Contest, quick: bool) -> Scaling:
    few = 1 if quick else None
    widths = [contest.measure(LARGEST._replace(hidden=h), BATCH) for h in WIDTHS[:few]]
    dims = [contest.measure(LARGEST._replace(data=d), BATCH) for d in DATA_DIMS[:few]]
    floor = widths[0].median(FLOOR)
    epochs = [epoch_seconds(n, floor) for n in ([2 * BATCH] if quick else EXAMPLES)]
    return Scaling(widths, dims, epochs)
