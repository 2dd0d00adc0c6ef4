"""Paired, interleaved medians: the contenders take turns, so that noise hits all alike.

A library's threads go on spinning for some milliseconds after their last call, and would take a
core from whoever comes next: with single steps in turn PyTorch took three times as long as alone.
So each contender has its own process and runs a block of steps in a row. Before it come a pause, in
which the others' threads fall asleep, and a few uncounted steps, which wake its own.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PAUSE, BLOCK, WARM_UP = 0.06, 0.1, 0.02
"""Seconds between blocks (OpenBLAS's threads spin for some 30 ms), of a block, of warming up."""
FEWEST_ROUNDS = 5


def median_in_block(
    function: Callable[[], object],
    seconds: float,
    warm_up: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The median time of a call, over those that fit into `seconds`, after `warm_up` seconds."""
    end = time.perf_counter() + warm_up
    while time.perf_counter() < end:
        function()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = clock()
        function()
        times.append(clock() - start)
    return statistics.median(times)


def take_turns(
    measures: Mapping[str, Callable[[], Any]], rounds: int, pause: float = PAUSE
) -> dict[str, list[Any]]:
    """What each measure returns, once a round; every round begins with another of them."""
    results: dict[str, list[Any]] = {name: [] for name in measures}
    names = list(measures)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(pause)
            results[name].append(measures[name]())
    return results


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """The median of the ratios a_i / b_i of measurements made in the same round."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))
