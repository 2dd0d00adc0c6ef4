"""One thread for NumPy's matrix products, because several would wait for each other.

OpenBLAS, which multiplies matrices in NumPy's wheels, cuts each product into a part for every core
and spins until the last part is done. If another program keeps a core busy, every product waits for
the scheduler: a training step of 7 ms took 200 ms beside three busy loops on two cores.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

# The environment variables that OpenBLAS reads when it is loaded.
USERS_LIMITS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _OpenBlas(NamedTuple):
    """The OpenBLAS that NumPy uses."""

    get_threads: Callable[[], int]
    set_threads: Callable[[int], None]
    default: int  # its number of threads by default
    limited: bool  # whether the environment set that number when it was loaded


@cache
def _open_blas() -> _OpenBlas | None:
    """None if NumPy multiplies with another library: MKL, Accelerate.

    A name looked up in NumPy's extension module is searched for in all that the module was linked
    with; not so on Windows, where wheels have their libraries in a folder beside NumPy.
    """
    module = sys.modules.get("numpy._core._multiarray_umath")  # NumPy 2
    module = module or sys.modules.get("numpy.core._multiarray_umath")
    beside = Path(np.__file__).parent.parent / "numpy.libs"
    for file in (getattr(module, "__file__", None), *beside.glob("*openblas*.dll")):
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for name in ("scipy_openblas_{}64_", "openblas_{}64_", "scipy_openblas_{}", "openblas_{}"):
            if hasattr(library, name.format("set_num_threads")):
                config = getattr(library, name.format("get_config"))
                config.restype = ctypes.c_char_p
                most = re.search(rb"MAX_THREADS=(\d+)", config() or b"")
                get_threads = getattr(library, name.format("get_num_threads"))
                set_threads = getattr(library, name.format("set_num_threads"))
                default = min(CORES, int(most[1])) if most else CORES
                limited = any(map(os.environ.get, USERS_LIMITS))
                return _OpenBlas(get_threads, set_threads, default, limited)
    return None


def _ours() -> _OpenBlas | None:
    """The OpenBLAS, unless the environment limits its number of threads."""
    blas = _open_blas()
    return None if blas is None or blas.limited else blas


def blas_threads() -> int | None:
    """How many threads NumPy's OpenBLAS may use now; None for another library."""
    blas = _open_blas()
    return blas.get_threads() if blas else None


class _OneBlasThread:
    """`one_blas_thread`. It knows which Python threads are inside, so that nesting costs nothing.

    An exception may come at any line (Ctrl-C): the number of threads is restored all the same.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: set[int] = set()
        self.threads = 1  # how many may work together inside: as many as OpenBLAS had

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def limited(*args: P.args, **kwargs: P.kwargs) -> T:
            if threading.get_ident() in self.holders or not _ours():
                return function(*args, **kwargs)
            try:
                self.take()
                return function(*args, **kwargs)
            finally:
                try:
                    self.give_back()
                except BaseException:
                    self.give_back()
                    raise

        return limited

    def take(self) -> None:
        """Begin: one thread, unless the number is the user's."""
        with self.lock:
            self.holders.add(threading.get_ident())
            blas = _ours()
            if blas and blas.get_threads() == blas.default > 1:  # else the limit is the user's
                self.threads = blas.default
                blas.set_threads(1)

    def give_back(self) -> None:
        """End: what there was before, unless another Python thread is inside."""
        with self.lock:
            self.holders.discard(threading.get_ident())
            blas = _open_blas()
            if self.holders or blas is None or self.threads == 1:
                return
            if blas.get_threads() == 1:  # else somebody has set another limit in between
                blas.set_threads(self.threads)
            self.threads = 1


one_blas_thread = _OneBlasThread()
"""A decorator: within the function NumPy's OpenBLAS has one thread, afterwards as many as before. A
limit that the user has set, by an environment variable or with threadpoolctl, is kept, and
libraries other than OpenBLAS are not changed."""
