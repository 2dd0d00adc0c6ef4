"""`numpyvae train` under mpiexec: rank 0 runs the command, and the others train with it silently.

`numpyvae.mpi` is imported only there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from numpyvae.interrupts import Interrupts
from numpyvae.models.labelled import Labelled
from numpyvae.ranks import RanksDifferError, n_ranks
from numpyvae.train_plan import Plan, new_plan, resumed_plan
from numpyvae.training import Callback, DivergenceError

__all__ = ["Trainer", "communicator", "follow", "rank_0_first"]

T = TypeVar("T")


def communicator() -> Any:
    """The communicator of all ranks; None if this process is alone.

    Raises ModuleNotFoundError or RuntimeError if mpiexec has started it but it finds no MPI.
    """
    if (n := n_ranks()) == 1:
        return None
    from numpyvae.mpi import world

    comm = world(n)
    return comm if comm.size > 1 else None


def rank_0_first(comm: Any, prepare: Callable[[], T]) -> T:
    """prepare() on rank 0, and then on all others; raises on all if it raises on one.

    So rank 0 alone says what is wrong with the options, makes the folder and downloads data.
    """
    from numpyvae.mpi import noticing_the_dead, on_all

    result, done = None, False
    try:
        if not comm.rank:
            result = prepare()
        done = True
    finally:  # or the others would wait for ever
        with noticing_the_dead():
            done = comm.bcast(done)
    if not done:
        raise RanksDifferError("rank 0 has failed")

    def prepare_others() -> None:
        nonlocal result
        result = prepare() if comm.rank else result

    on_all(comm, prepare_others)
    assert result is not None
    return result


class Trainer:
    """`fit` of a plan's model, on all ranks of `comm` if that is not None.

    Raises TypeError for a model that several ranks cannot train.
    """

    def __init__(self, plan: Plan, interrupts: Interrupts, comm: Any) -> None:
        self.plan, self.interrupts, self.comm = plan, interrupts, comm
        self.fit: Any = plan.vae.fit
        self.data: tuple[Any, ...] = plan.x_and_y
        if comm:
            from numpyvae.mpi import DataParallel

            self.fit = DataParallel(plan.vae, comm, signal=interrupts.take).fit
            self.data = (plan.x_and_y if isinstance(plan.vae, Labelled) else plan.x_and_y[0],)

    def __call__(self, callbacks: list[Callback]) -> None:
        """Train. On several ranks a signal ends the training on all after the same step."""
        with self.interrupts.listening(on=not self.comm):
            self.fit(
                *self.data,
                epochs=self.plan.epochs,
                batch_size=self.plan.config["batch_size"],
                validation_data=self.plan.x_and_y_test,
                callbacks=callbacks,
                transform=self.plan.data.transform,
            )


def follow(
    given: Mapping[str, Any], defaults: Mapping[str, Any], interrupts: Interrupts, comm: Any
) -> None:
    """Train on a rank other than 0, which prints and writes nothing: rank 0 does."""
    with contextlib.suppress(
        *(DivergenceError, RanksDifferError, KeyboardInterrupt),
        *(MemoryError, OSError, TypeError, ValueError),
    ):
        plan = rank_0_first(comm, lambda: _plan(given, defaults))
        if plan.epochs:
            Trainer(plan, interrupts, comm)([])


def _plan(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Plan:
    return resumed_plan(given, defaults) if "resume" in given else new_plan({**defaults, **given})
