"""The check of the whole model's gradient: ours by complex step, PyTorch's by central differences.

Both look at every parameter, in float64, with one thread: on five examples the matrix products are
too small to be shared.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from children import Child, set_threads
from contenders import EAGER, OURS, Case, binary_data, our_model, torch_model, use_threads
from timing import take_turns

CASE, QUICK_CASE, EXAMPLES = Case(64, 128, 2), Case(8, 6, 2), 5

_checks: dict[str, Callable[[], float]] = {}  # in a child: its check


class Check(NamedTuple):
    """Seconds, and the largest error found (against the largest entry of the gradient)."""

    contender: str
    method: str
    case: Case
    seconds: float
    error: float | None


def our_check(case: Case) -> Callable[[], float]:
    """The largest difference between backward and complex step, relative to the gradient."""
    from numpyvae.gradient_check import complex_step

    vae = our_model(case, np.float64)
    x = binary_data(EXAMPLES, case.data).astype(np.float64)
    noise = vae.draw_noise(np.random.default_rng(0), EXAMPLES)

    def check() -> float:
        grad = vae.loss_and_grad(vae.theta, x, noise)[1]
        numerical = complex_step(lambda theta: vae.loss(theta, x, noise), vae.theta)
        return float(np.abs(grad - numerical).max() / np.abs(numerical).max())

    return check


def torch_check(case: Case) -> Callable[[], float]:
    """`torch.autograd.gradcheck` with its defaults; it says yes or raises, and gives no error."""
    import torch

    use_threads()
    vae = our_model(case, np.float64)
    model = torch_model(case, vae.theta)
    x = torch.from_numpy(binary_data(EXAMPLES, case.data)).double()
    noise = torch.from_numpy(vae.draw_noise(np.random.default_rng(0), EXAMPLES))

    def loss(*_: Any) -> Any:
        return model.loss(x, noise)  # gradcheck changes the parameters in place

    def check() -> float:
        torch.autograd.gradcheck(loss, tuple(model.parameters()))
        return float("nan")

    return check


def prepare(name: str, case: Case) -> None:
    _checks["check"] = {OURS: our_check, EAGER: torch_check}[name](case)


def measure() -> tuple[float, float]:
    """In a child: seconds of one check, and its error."""
    import time

    start = time.perf_counter()
    error = _checks["check"]()
    return time.perf_counter() - start, error


def measure_all(has_torch: bool, case: Case, rounds: int) -> list[Check]:
    methods = {OURS: "complex step"}
    if has_torch:
        methods[EAGER] = "`torch.autograd.gradcheck`"
    set_threads(1)
    children = {name: Child() for name in methods}
    set_threads(None)
    for name, child in children.items():
        child.ask(prepare, name, case)
    turns = take_turns({n: partial(c.ask, measure) for n, c in children.items()}, rounds)
    for child in children.values():
        child.__exit__()
    return [
        Check(
            name,
            methods[name],
            case,
            statistics.median(seconds for seconds, _ in turn),
            max(error for _, error in turn) if name == OURS else None,
        )
        for name, turn in turns.items()
    ]
