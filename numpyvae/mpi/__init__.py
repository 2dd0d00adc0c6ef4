"""Data-parallel training on MPI: each rank has a piece of the rows, all have the same parameters.

The gradient of a mean over N rows is the mean of the gradients of its pieces, weighted by n_r / N
where rank r has n_r of the rows:

    d/dtheta 1/N sum_n loss_n = sum_r n_r/N  d/dtheta 1/n_r sum_(n of r) loss_n

So all that ranks exchange in a step is one sum, an Allreduce of one flat vector, and neither `fit`
nor an optimiser knows of it.

    DataParallel(vae).fit(x, epochs=50)         # mpiexec -n 4 python script.py

mpi4py is imported when a communicator is asked for. `numpyvae train` imports this package only
where mpiexec has started it.
"""

from numpyvae.mpi.data_parallel import DataParallel
from numpyvae.mpi.shards import piece
from numpyvae.mpi.together import noticing_the_dead, on_all, world
from numpyvae.ranks import RankGoneError, RanksDifferError

__all__ = [
    "DataParallel",
    "RankGoneError",
    "RanksDifferError",
    "noticing_the_dead",
    "on_all",
    "piece",
    "world",
]
