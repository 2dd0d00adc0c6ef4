"""Ranks as threads of one process: what of an MPI communicator `numpyvae.mpi` uses."""

import threading

import numpy as np


class Rank:
    """One rank's communicator. `Abort` ends all ranks, as MPI's does."""

    def __init__(self, rank, job):
        self.rank, self.size, self.job = rank, job.size, job

    def allgather(self, value):
        """As MPI's, in one meeting of all ranks to bring and one to take."""
        self.job.slots[self.rank] = value
        self.job.meet()
        values = list(self.job.slots)
        self.job.meet()
        return values

    def Allreduce(self, mine, total):
        self.job.n_reductions += self.rank == 0
        parts = self.allgather(mine.copy())
        assert {(part.shape, part.dtype) for part in parts} == {(total.shape, total.dtype)}
        np.copyto(total, sum(parts[1:], parts[0]))

    def Bcast(self, array):
        np.copyto(array, self.allgather(array.copy())[0])

    def bcast(self, value):
        return self.allgather(value)[0]

    def Abort(self, code):
        self.job.aborted = code
        self.job.barrier.abort()


class Ranks:
    """`size` threads that run work(communicator); a rank that waits in vain is an error."""

    def __init__(self, size, patience=20.0):
        self.size, self.barrier = size, threading.Barrier(size, timeout=patience)
        self.slots, self.aborted, self.n_reductions = [None] * size, None, 0

    def meet(self):
        self.barrier.wait()

    def run(self, work):
        """What work(communicator) gave on each rank: its result, or the exception that ended it."""
        results = [None] * self.size

        def on(rank):
            try:
                results[rank] = work(Rank(rank, self))
            except BaseException as error:
                results[rank] = error
                if not isinstance(error, threading.BrokenBarrierError) and not self.aborted:
                    return  # raised on all, or else those who wait for it run out of patience

        threads = [threading.Thread(target=on, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
