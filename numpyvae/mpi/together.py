"""What keeps ranks together: they start alike, raise alike, and none waits for a dead one."""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numpyvae.interrupts import Interrupted
from numpyvae.numerics import Array
from numpyvae.ranks import RankGoneError, RanksDifferError
from numpyvae.rows import Data, as_tuple, map_arrays
from numpyvae.training import DivergenceError

__all__ = [
    "check_equal",
    "check_equal_facts",
    "ending_the_job",
    "noticing_the_dead",
    "on_all",
    "row_digest",
    "settings",
    "world",
]

SECONDS_TO_FORWARD = 0.5
"""Time for mpiexec to show what was printed: what is left when a job aborts, it drops."""


def world(expected: int = 0) -> Any:
    """MPI's communicator of all ranks.

    Raises ModuleNotFoundError where mpi4py is missing or finds no MPI, and RanksDifferError if
    there are not as many ranks as `expected` (0: any number), as with the mpiexec of another MPI.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: it finds no MPI
        reason = " ".join(str(error).split())
        raise ModuleNotFoundError(
            f"training on several ranks needs mpi4py and an MPI ({reason}): "
            'python -m pip install "numpyvae[mpi]" mpich'
        ) from None
    comm = MPI.COMM_WORLD
    if expected and expected != comm.size:
        library = MPI.Get_library_version().split("\n")[0].strip(" \0")
        raise RanksDifferError(
            f"mpiexec has started {expected} processes, but each is alone in the MPI of mpi4py "
            f"({library}): use the mpiexec of that MPI"
        )
    return comm


@contextmanager
def noticing_the_dead() -> Iterator[None]:
    """A block in which an error of MPI becomes RankGoneError: it means that another rank is gone.

    The process then ends without MPI_Finalize, which would wait for the dead, with exit code 1.
    """
    try:
        yield
    except RuntimeError as error:
        of_mpi = getattr(sys.modules.get("mpi4py.MPI"), "Exception", ())
        if not isinstance(error, of_mpi):
            raise
        atexit.register(os._exit, 1)
        raise RankGoneError("another rank has ended") from None


@noticing_the_dead()
def on_all(comm: Any, function: Callable[[], Any]) -> list[Any]:
    """What function() returns on each rank; if it raises on one, all raise.

    The others raise RanksDifferError, with its message.
    """
    result, error = None, None
    try:
        result = function()
    except Exception as own:
        error = own
    everyone = comm.allgather((result, error and f"{type(error).__name__}: {error}"))
    if error is not None:
        raise error
    for rank, (_, problem) in enumerate(everyone):
        if problem:
            raise RanksDifferError(f"on rank {rank} of {comm.size}: {problem}")
    return [result for result, _ in everyone]


def check_equal_facts(comm: Any, look: Callable[[], dict[str, Any]]) -> None:
    """RanksDifferError, on all ranks, unless look() finds the same on all; and what it raises."""
    facts = on_all(comm, look)
    for rank, theirs in enumerate(facts):
        for name, value in theirs.items():
            if value != facts[0][name]:
                raise RanksDifferError(
                    f"{name}: {facts[0][name]} on rank 0, {value} on rank {rank}; expected the "
                    "same on all ranks"
                )


def row_digest(data: Data | None) -> str:
    """A digest of the first, middle and last row of x (N, D), or of x and the labels y (N,).

    A piece of the data has others than the whole.
    """
    found = hashlib.blake2b(digest_size=8)
    arrays = as_tuple(map_arrays(data, np.asanyarray)) if data is not None else ()
    for array in (a for a in arrays if len(a)):
        for row in (array[0], array[len(array) // 2], array[-1]):
            found.update(np.asarray(row).tobytes())
    return found.hexdigest()


def settings(name: str, thing: Any) -> dict[str, Any]:
    """The arguments that a model or an optimiser was made with, if it says them."""
    config = thing.config() if hasattr(thing, "config") else {}
    return {f"{name}.{setting}": value for setting, value in config.items()}


def check_equal(comm: Any, theta: Array, epoch: int) -> None:
    """RanksDifferError, on all ranks, unless theta (P,) is the same on all, bit for bit."""
    digests = comm.allgather(hashlib.blake2b(theta.data, digest_size=16).digest())
    others = [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]
    if others:
        raise RanksDifferError(
            f"in epoch {epoch} the parameters of rank {', '.join(others)} became different from "
            "those of rank 0, and the epoch is not kept: expected the same optimiser on all ranks, "
            "and nothing else that changes theta"
        )


@contextmanager
def ending_the_job(comm: Any) -> Iterator[None]:
    """A block in which an exception on one rank ends the job: the others would wait for ever.

    It leaves alone what is raised on all ranks alike (`RanksDifferError`, `DivergenceError`,
    `Interrupted`), and any exception where there is one rank.
    """
    try:
        with noticing_the_dead():
            yield
    except (DivergenceError, Interrupted, RanksDifferError):
        raise
    except BaseException as error:
        if comm.size > 1:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            line = f"rank {comm.rank} of {comm.size} has failed, which ends the job: {what}"
            print(f"{traceback.format_exc()}{line}", file=sys.stderr, flush=True)
            time.sleep(SECONDS_TO_FORWARD)
            comm.Abort(1)
        raise
