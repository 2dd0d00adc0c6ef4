"""Ranks, the processes that mpiexec starts for one job: what is known about them without MPI."""

from __future__ import annotations

import os

__all__ = ["RankGoneError", "RanksDifferError", "n_ranks", "own_rank"]

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables with the number of ranks: MPICH and Intel MPI, Open MPI, MVAPICH; Slurm."""

RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Variables with the own rank. If none is set, Slurm started a process outside MPI."""


class RanksDifferError(RuntimeError):
    """The ranks do not do the same; raised on all of them, and the message says what differs."""


class RankGoneError(RanksDifferError):
    """Another rank has ended, killed perhaps, so MPI cannot be used any more."""


def n_ranks() -> int:
    """How many ranks the launcher has started: 1 without one, 0 if it does not say how many."""
    if not any(name in os.environ for name in RANKS):
        return 1
    sizes = [os.environ[name] for name in SIZES if os.environ.get(name, "").isdecimal()]
    return int(sizes[0]) if sizes else 0


def own_rank() -> int:
    """Which of them this process is, from 0."""
    found = (os.environ.get(name, "") for name in RANKS)
    return next((int(rank) for rank in found if rank.isdecimal()), 0)
