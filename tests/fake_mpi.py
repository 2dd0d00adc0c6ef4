"""Ranks as threads of this process, and what `numpyvae.mpi` uses of their communicator."""

import threading

import numpy as np


class Rank:
    """One rank's communicator."""

    def __init__(self, rank, job):
        self.rank, self.size, self.job = rank, job.size, job

    def allgather(self, value):
        """Each brings its own, and takes those of all once everyone has brought it."""
        self.job.brought[self.rank] = value
        self.job.barrier.wait()
        values = list(self.job.brought)
        self.job.barrier.wait()
        return values

    def Allreduce(self, mine, total):
        """The sum over the ranks of `mine`, or where that is None of what is in `total`."""
        self.job.reduced[self.rank] += 1
        parts = self.allgather((total if mine is None else mine).copy())
        alike = [(np.shape(part), getattr(part, "dtype", None)) for part in parts]
        assert alike == [(total.shape, total.dtype)] * self.size, "the ranks do not do the same"
        np.copyto(total, sum(parts[1:], parts[0]))

    def Bcast(self, array):
        np.copyto(array, self.allgather(array.copy())[0])

    def bcast(self, value):
        return self.allgather(value)[0]

    def Abort(self, code):
        self.job.aborted = code
        self.job.barrier.abort()


class Ranks:
    """`size` ranks. Who waits for the others longer than `patience` seconds has an error instead.

    `reduced` counts each rank's Allreduces; `aborted` is the code given to `Abort`.
    """

    def __init__(self, size, patience=30.0):
        self.size, self.barrier = size, threading.Barrier(size, timeout=patience)
        self.brought, self.reduced, self.aborted = [None] * size, [0] * size, None

    def outcomes(self, work):
        """What work(communicator) returned or raised on each rank."""
        results = [None] * self.size

        def on(rank):
            try:
                results[rank] = work(Rank(rank, self))
            except BaseException as error:
                results[rank] = error

        threads = [threading.Thread(target=on, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def run(self, work):
        """What work(communicator) returned on each rank; the first exception, if there was one."""
        results = self.outcomes(work)
        for result in sorted(results, key=lambda r: isinstance(r, threading.BrokenBarrierError)):
            if isinstance(result, BaseException):
                raise result
        return results
