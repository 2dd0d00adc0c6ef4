"""Peak memory of a training step and of `fit`, ours beside PyTorch's.

Each is measured in a new process, with the library warm and data and model loaded: how much its
resident memory grows from there, by gradient, Adam's moments, activations and temporaries. For
NumPy `tracemalloc` counts the same bytes exactly, without the pages of libraries and the reserves
of allocators. (`ru_maxrss` is used only where nothing better exists: it can include the peak of the
process that started this one.)
"""

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from children import in_child
from contenders import EAGER, MAKERS, OURS, Case, binary_data
from epochs import MAKERS as EPOCHS

STEP_CASE, STEP_BATCH = Case(784, 400, 20), 512
WARM_UP_CASE, WARM_UP_BATCH = Case(64, 128, 8), 512
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak(NamedTuple):
    """Bytes beyond the state before; `traced` is None where tracemalloc cannot see."""

    what: str
    contender: str
    resident: int
    traced: int | None


def resident(line: str) -> int:
    """Bytes of a line of this process's status: VmRSS is now, VmHWM the peak."""
    if not STATUS.exists():
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fields = dict(row.split(":", 1) for row in STATUS.read_text().splitlines())
    return 1024 * int(fields[line].split()[0])


def growth(work: Callable[[], object]) -> int:
    """How far the resident memory rises above what it is now."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")  # the peak starts anew from here
    before = resident("VmRSS")
    work()
    return max(0, resident("VmHWM") - before)


def traced(work: Callable[[], object]) -> int:
    """Peak bytes that NumPy and Python allocate in `work`, beyond what they have before."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def step_work(name: str) -> Callable[[], object]:
    """Five steps of a model that has made none yet."""
    warm_up = MAKERS[name](WARM_UP_CASE, WARM_UP_BATCH)
    for _ in range(3):
        warm_up()
    step = MAKERS[name](STEP_CASE, STEP_BATCH)
    return lambda: [step() for _ in range(5)]


def epoch_work(name: str, examples: int) -> Callable[[], object]:
    """One epoch of a model that has made none yet."""
    EPOCHS[name](WARM_UP_CASE, binary_data(WARM_UP_BATCH, WARM_UP_CASE.data))()
    return EPOCHS[name](STEP_CASE, binary_data(examples, STEP_CASE.data))


def measure_growth(maker: Callable[..., Callable[[], object]], *arguments: object) -> int:
    return growth(maker(*arguments))


def measure_traced(maker: Callable[..., Callable[[], object]], *arguments: object) -> int:
    return traced(maker(*arguments))


def measure_all(has_torch: bool, examples: int) -> list[Peak]:
    rows = []
    for name in (OURS, EAGER) if has_torch else (OURS,):
        for what, maker, arguments in (
            (f"training step, batch {STEP_BATCH}", step_work, (name,)),
            (f"`fit`, {examples:,} examples", epoch_work, (name, examples)),
        ):
            bytes_traced = in_child(measure_traced, maker, *arguments) if name == OURS else None
            rows.append(Peak(what, name, in_child(measure_growth, maker, *arguments), bytes_traced))
    return sorted(rows, key=lambda row: row.what, reverse=True)
