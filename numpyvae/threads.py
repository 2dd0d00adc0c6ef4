"""Large products and long loops, shared between as many threads as are free.

OpenBLAS's own threads wait for each other by spinning, which is slow when another program keeps a
core busy (see `gradient_check/blas.py`). Here OpenBLAS has one thread, and large products are cut
into pieces. A helper thread takes a piece if a core is free; the caller does the pieces that no
helper has started. Helpers sleep while they wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpyvae.gradient_check.blas import blas_threads, one_blas_thread

__all__ = ["keep_to_one_thread", "one_blas_thread", "product", "share"]

LARGE = 2**24
"""Products with more multiply-adds are cut in two: 0.4 ms on a core; handing over takes 0.1 ms."""


class _Piece:
    """A piece of work, done by the first thread to take it; its owner can wait for it."""

    def __init__(self, work: Callable[[Any], None], argument: Any, errors: Any) -> None:
        self.work: Any = work
        self.argument, self.errors = argument, errors
        self.error: BaseException | None = None
        self.begun, self.undone = threading.Lock(), threading.Lock()
        self.undone.acquire()

    def do(self) -> None:
        if not self.begun.acquire(blocking=False):
            return
        work, argument = self.work, self.argument
        self.work = self.argument = None  # it may stay in the queue long after it is done
        try:
            with np.errstate(**self.errors):
                work(argument)
        except BaseException as error:
            self.error = error
        self.undone.release()

    def wait(self) -> None:
        with self.undone:
            pass

    def withdraw(self) -> None:
        """See that nobody works on it any more; not for ever: an interrupt may have hit `do`."""
        if not self.begun.acquire(blocking=False):
            self.undone.acquire(timeout=10.0)


class _Helpers:
    """Threads that sleep until there is a piece to do, and end with the process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again, as a forked child must: it has none of its parent's threads."""
        self.pieces: SimpleQueue[_Piece] = SimpleQueue()
        self.n = 0

    def offer(self, pieces: Sequence[_Piece], n: int) -> None:
        """Queue the pieces for n helpers; if no thread can be started, nothing happens."""
        while self.n < n:
            try:
                threading.Thread(target=self._help, name="numpyvae helper", daemon=True).start()
            except RuntimeError:
                return
            self.n += 1
        for piece in pieces:
            self.pieces.put(piece)

    def _help(self) -> None:
        while True:
            self.pieces.get().do()


_helpers = _Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.forget)


def keep_to_one_thread() -> None:
    """From here on compute with one thread: other processes of this kind have the other cores."""
    one_blas_thread.take()
    one_blas_thread.threads = 1  # so that no helper is asked, and `give_back` leaves it so
    one_blas_thread.give_back()


def share(work: Callable[[Any], None], pieces: Sequence[Any]) -> None:
    """work(piece) for every piece, in any order: by the caller, and by helpers that are free.

    Helpers work only within `one_blas_thread`; in total there are at most as many threads as
    OpenBLAS had. Raises what `work` raises. However it ends, no thread still works on a piece,
    so values that are put back after an interrupt stay as they are.
    """
    n = min(len(pieces), one_blas_thread.threads)
    if n < 2:
        for piece in pieces:
            work(piece)
        return
    errors = np.geterr()  # which NumPy keeps for each thread
    shared = [_Piece(work, piece, errors) for piece in pieces]
    _helpers.offer(shared[1:], n - 1)
    try:
        for piece in (shared[0], *reversed(shared)):  # helpers begin at the other end
            piece.do()
        for piece in shared:
            piece.wait()
    except BaseException:  # Ctrl-C
        for piece in shared:
            piece.withdraw()
        raise
    for piece in shared:
        if piece.error:
            raise piece.error


def product(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """a @ b, into `out` if given: a (M, K) or (K,), b (K, N).

    A large product is cut in two along its longer side, unless OpenBLAS has threads of its own.
    The cut depends only on the size, so the bits do not depend on which threads are free.
    """
    if a.size * b.shape[1] < LARGE or a.ndim != 2 or blas_threads() != 1:
        return np.matmul(a, b, out=out)
    m, n = len(a), b.shape[1]
    result = np.empty((m, n), np.result_type(a, b)) if out is None else out

    def multiply(part: slice) -> None:
        if m >= n:
            np.matmul(a[part], b, out=result[part])
        else:
            np.matmul(a, b[:, part], out=result[:, part])

    half = (max(m, n) // 2 + 31) // 32 * 32  # whole blocks of OpenBLAS's kernels, and of the cache
    share(multiply, [slice(half), slice(half, None)])
    return result
