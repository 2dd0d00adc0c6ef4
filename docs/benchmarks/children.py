"""Child processes that measure, each with one library alone and told how many threads to use."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def set_threads(n: int | None) -> None:
    """Tell the children that are started from now on how many threads their libraries may use.

    None leaves it to each library, as for a user who sets nothing: usually one thread a core.
    """
    for variable in THREAD_VARIABLES:
        os.environ.pop(variable, None)
        if n:
            os.environ[variable] = str(n)


def choose_own_kernels() -> None:
    """Let every library choose its kernels for this processor, whatever the environment says.

    OPENBLAS_CORETYPE=Haswell, say, halves the speed of NumPy's products on a processor with
    AVX-512; it is set where results must be the same on different machines.
    """
    for variable in KERNEL_VARIABLES:
        os.environ.pop(variable, None)


def use_cores(n: int) -> int:
    """Keep this process and its children on n cores, where the system can. Returns how many."""
    if not hasattr(os, "sched_setaffinity"):
        return min(n, os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0))[:n]
    os.sched_setaffinity(0, cores)
    return len(cores)


class Child:
    """A new Python process that calls functions for us, one after the other.

    with Child() as child:
        child.ask(function, *arguments)   # what function(*arguments) returns there
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """RuntimeError with the child's traceback if the function raises."""
        self.pipe.send((function, arguments))
        answer, error = self.pipe.recv()
        if error:
            raise RuntimeError(f"in a child process:\n{error}")
        return answer

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.send(None)
        self.process.join()


def _serve(pipe: Connection) -> None:
    while (message := pipe.recv()) is not None:
        function, arguments = message
        try:
            pipe.send((function(*arguments), ""))
        except Exception:
            pipe.send((None, traceback.format_exc()))


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What function(*arguments) returns in a new process."""
    with Child() as child:
        return child.ask(function, *arguments)
