"""Data-parallel training: each rank has a piece of the rows, and all have the same parameters.

The gradient of a mean over N rows is the mean of the gradients of its pieces, weighted by n_r / N
where rank r has n_r of the rows:

    d/dtheta 1/N sum_n loss_n = sum_r n_r/N  d/dtheta 1/n_r sum_(n of r) loss_n

So one sum over the ranks a step, an Allreduce of one flat vector, is all that they exchange, and
neither `fit` nor an optimiser knows of it. Only this module imports mpi4py, when it is asked for a
communicator, and `numpyvae train` imports this module under mpiexec alone.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from numpyvae import training
from numpyvae.data import minibatches
from numpyvae.interrupts import Interrupted
from numpyvae.numerics import Array, aligned_empty
from numpyvae.optimizers import Optimizer
from numpyvae.ranks import RanksDifferError, piece
from numpyvae.rows import as_tuple, map_arrays, n_rows, take_rows
from numpyvae.threads import keep_to_one_thread, one_blas_thread
from numpyvae.training import Callback, Data, DivergenceError, History, Noise, Trainable
from numpyvae.validation import EntryError, positive_int

__all__ = ["DataParallel", "RanksDifferError", "on_all", "piece", "world"]

TRAINING, VALIDATION = 0, 1


def world(expected: int = 0) -> Any:
    """MPI's communicator of all ranks.

    Raises ModuleNotFoundError where mpi4py is missing or finds no MPI, and RuntimeError if there
    are not as many ranks as `expected` (0: any number), because mpiexec is of another MPI.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: it has no libmpi to load
        raise ModuleNotFoundError(
            f"training on several ranks needs mpi4py and an MPI ({error}): "
            'python -m pip install "numpyvae[mpi]" mpich'
        ) from None
    if expected and expected != MPI.COMM_WORLD.size:
        raise RuntimeError(
            f"mpiexec has started {expected} ranks and mpi4py sees {MPI.COMM_WORLD.size}: they are "
            "of two MPIs; take the mpiexec of the MPI that mpi4py loads "
            f"({MPI.Get_library_version().split(chr(10))[0].strip()})"
        )
    return MPI.COMM_WORLD


def on_all(comm: Any, function: Callable[[], Any]) -> list[Any]:
    """What function() gives on each rank. If it raises on one, all raise: RanksDifferError there."""
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


def _of_model(name: str) -> Any:
    """An attribute that is the model's, also when it is set."""
    return property(
        lambda self: getattr(self.model, name),
        lambda self, value: setattr(self.model, name, value),
    )


class DataParallel:
    """A model that all ranks of `comm` train together, by default of MPI's world.

    Every rank runs the same script on the same data, and reads of them its own piece:

        DataParallel(vae).fit(x, epochs=50)         # mpiexec -n 4 python script.py

    Rank 0 draws as one process would, the others from streams of their own (NumPy's
    `SeedSequence` with the rank as key): the same noise on all ranks would leave the variance of
    the gradient as it is on one. On one rank all is as without, to the bit.

    `signal` is asked before each step for the number of a signal that is to end the training
    (0: none); it then ends on all ranks, by `Interrupted`.

    Raises TypeError for a model that changes more than theta (a codebook's counts): each rank
    would do so by its own rows.
    """

    def __init__(
        self, model: Trainable, comm: Any = None, signal: Callable[[], int] = lambda: 0
    ) -> None:
        if model.state():
            raise TypeError(
                f"{type(model).__name__} cannot be trained on several ranks: besides theta it "
                f"changes {', '.join(model.state())}, which each rank would do by its own rows"
            )
        self.model, self.comm = model, world() if comm is None else comm
        self.signal = signal
        self._sets: list[Data] = []
        self._transform: Callable[..., Array] | None = None
        self._pass: _Pass | None = None
        self._room = np.empty((2, 0))

    def fit(
        self,
        data: Data,
        epochs: int = 50,
        batch_size: int = 128,
        optimizer: Optimizer | None = None,
        validation_data: Data | None = None,
        callbacks: Sequence[Callback] = (),
        transform: Callable[..., Array] | None = None,
        verbose: bool = True,
    ) -> History:
        """As `numpyvae.training.fit`, of the whole data x or (x, y); `batch_size` is all ranks'.

        Each rank trains on `piece` of the rows, in an order of its own; no row is lost, whatever
        N. The parameters begin as rank 0's. The history is the same on all ranks, of all rows.
        Callbacks may differ between ranks: each is called with the model, and training ends on all
        ranks if one on any rank asks for it.

        An exception on one rank ends the job with a message, as the others would wait for ever.

        Raises RanksDifferError if ranks were given different things, or if their parameters are not
        equal bit for bit at the end of an epoch; DivergenceError; and what `training.fit` raises of
        its arguments.
        """
        self._sets, self._transform, self._pass = [], transform, None
        facts = on_all(
            self.comm, lambda: self._facts(data, validation_data, epochs, batch_size)
        )
        for rank, theirs in enumerate(facts):
            for name, value in theirs.items():
                if value != facts[0][name]:
                    raise RanksDifferError(
                        f"{name}: {facts[0][name]} on rank 0, {value} on rank {rank}; expected the "
                        "same on all ranks"
                    )
        if self.comm.size > 1:
            keep_to_one_thread()
        with self._ending_the_job():
            self.comm.Bcast(self.model.theta)
            return training.fit(
                self, data, epochs, batch_size, optimizer, validation_data,
                [_Callbacks(self, callbacks)], None, verbose and self.comm.rank == 0,
            )  # fmt: skip

    @one_blas_thread
    def loss_and_grad(
        self, theta: Array, data: Data, noise: Noise, out: Array | None = None
    ) -> tuple[Any, Array]:
        """The loss and d loss / d theta (P,) of all rows, of which each rank computes its piece.

        Data and noise are those of the whole batch, equal on all ranks.
        """
        grad = aligned_empty(theta.size, theta.dtype) if out is None else out
        rows = piece(n_rows(data), self.comm.rank, self.comm.size)
        weight = (rows.stop - rows.start) / n_rows(data)
        rows = rows if weight else slice(1)
        mine = take_rows(data, rows), map_arrays(noise, lambda a: a[rows])
        return self._mean(theta, *mine, weight, grad)[0], grad

    def _mean(
        self, theta: Array, data: Data, noise: Noise, weight: float, grad: Array | None
    ) -> tuple[Any, dict[str, Array]]:
        """The loss of all ranks' rows, the sums of its terms, and its gradient into `grad`.

        These rows are `weight` of them; with weight 0 they only say which terms there are.
        """
        loss, terms = self.model.loss_and_terms(theta, data, noise, grad)
        n_grad, signal = 0 if grad is None else grad.size, self.signal()
        mine, total = self._buffers(n_grad + 1 + len(terms) + 1, theta.dtype)
        if not weight:
            mine.fill(0.0)  # and not 0 times something infinite
        else:
            if grad is not None:
                np.multiply(grad, weight, out=mine[:n_grad])
            mine[n_grad:-1] = [weight * loss, *(values.sum() for values in terms.values())]
        mine[-1] = signal > 0
        self.comm.Allreduce(mine, total)
        if total[-1]:
            raise Interrupted(max(self.comm.allgather(signal)))
        if grad is not None:
            np.copyto(grad, total[:n_grad])
        return total[n_grad], dict(zip(terms, total[n_grad + 1 : -1], strict=True))

    def _buffers(self, n: int, dtype: np.dtype[Any]) -> Array:
        """Two vectors (2, n), kept for the next step."""
        if self._room.shape[1] < n or self._room.dtype != dtype:
            self._room = np.empty((2, n), dtype)
        return self._room[:, :n]

    # What `fit` asks of a model. It is given a ticket for each row, and knows no rows.

    seed: int = _of_model("seed")
    theta: Array = _of_model("theta")
    history: History = _of_model("history")
    epochs_trained: int = _of_model("epochs_trained")
    optimizer: Optimizer | None = _of_model("optimizer")

    def check_data(self, data: Data) -> Array:
        """A ticket for each row (N, 1), on which is which set it is of."""
        self._sets.append(data)
        return np.broadcast_to(np.int8(len(self._sets) - 1), (n_rows(data), 1))

    def draw_noise(self, rng: np.random.Generator, n: int) -> Any:
        """A step, which draws when it is known of which data."""
        return _Step(rng)

    def loss_and_terms(
        self, theta: Array, data: Data, noise: Any, grad: Array | None = None
    ) -> tuple[Any, dict[str, Array]]:
        """Of the minibatch that these tickets are for, on all ranks together."""
        step: _Step = noise
        if step.part is None:
            step.part = self._draw(step.rng, as_tuple(data)[0])
        elif grad is None:  # the last look at an epoch, which else has never been
            self._check_equal()
        return self._mean(theta, *step.part, grad)

    def _draw(self, rng: np.random.Generator, tickets: Array) -> tuple[Data, Any, float]:
        """This rank's rows of the next minibatch, noise for them, and how much of it they are."""
        if self._pass is None or self._pass.key is not rng:
            kind = int(tickets[0, 0])
            self._pass = _Pass(rng, self._sets[kind], self.comm, shuffle=kind == TRAINING)
        batch, weight = self._pass.next(len(tickets))
        n, rng = n_rows(batch), self._pass.rng
        if self._transform is not None:
            (batch,) = minibatches(batch, n, rng, self._transform, shuffle=False)
            training.check_transformed(self.model, batch)
        self._batch = batch
        return batch, self.model.draw_noise(rng, n), weight

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """The model's."""
        return self.model.bound(terms)

    def state(self) -> Mapping[str, Array]:
        """Nothing: see `__init__`."""
        return {}

    def after_step(self, data: Data, noise: Any) -> None:
        """The model's, on this rank's rows."""
        self.model.after_step(*noise.part[:2])

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The model's, of this rank's part of the last minibatch."""
        return self.model.largest_column(as_tuple(self._batch)[0])

    # What keeps the ranks together.

    def _facts(
        self, data: Data, validation_data: Data | None, epochs: int, batch_size: int
    ) -> dict[str, Any]:
        """What must be equal on all ranks, once this rank's piece of the data is known to be usable."""
        if self._transform is None:
            for each in (data, validation_data):
                if each is not None:
                    self._check_piece(each)
        return {
            "epochs": positive_int("epochs", epochs),
            "batch_size": positive_int("batch_size", batch_size),
            "rows of data": n_rows(data),
            "rows of validation_data": None if validation_data is None else n_rows(validation_data),
            "parameters": self.model.theta.size,
            "model.seed": self.model.seed,
            "model.epochs_trained": self.model.epochs_trained,
        }

    def _check_piece(self, data: Data) -> None:
        rows = piece(n_rows(data), self.comm.rank, self.comm.size)
        rows = rows if rows.stop > rows.start else slice(1)
        try:
            self.model.check_data(map_arrays(data, lambda a: a[rows]))
        except EntryError as error:
            row = error.row + (rows.start or 0)
            raise EntryError("x", row, error.column, error.problem) from None

    def _check_equal(self) -> None:
        """RanksDifferError, on all ranks, unless theta is the same on all, bit for bit."""
        digests = self.comm.allgather(hashlib.blake2b(self.theta, digest_size=16).digest())
        others = [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]
        if others:
            raise RanksDifferError(
                f"in epoch {self.epochs_trained + 1} the parameters of rank {', '.join(others)} have "
                "become others than those of rank 0, and the epoch is not kept: expected optimisers "
                "that do the same on all ranks, and nothing else that changes theta"
            )

    @contextmanager
    def _ending_the_job(self) -> Iterator[None]:
        """A block in which an exception of one rank alone ends all, which else would wait for it."""
        try:
            yield
        except (DivergenceError, Interrupted, RanksDifferError):  # raised on all ranks
            raise
        except BaseException as error:
            rank, size = self.comm.rank, self.comm.size
            if size == 1:
                raise
            traceback.print_exc()
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            print(
                f"rank {rank} of {size} has failed, which ends the job: {what}",
                file=sys.stderr,
                flush=True,
            )
            self.comm.Abort(1)
            raise


class _Step:
    """The randomness of one step, and what was drawn with it: rows, noise, weight."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.part: tuple[Data, Any, float] | None = None


class _Pass:
    """One pass of a rank over its piece of the rows, keyed by the generator that `fit` made for it.

    Of the rows in the line of all ranks every `size`-th is this rank's, so of each minibatch it has
    the same share, to a row, and of all of them all of its piece.
    """

    def __init__(self, key: np.random.Generator, data: Data, comm: Any, shuffle: bool) -> None:
        self.key, self.data, self.comm, self.done = key, data, comm, 0
        rows = piece(n_rows(data), comm.rank, comm.size)
        seed: Any = key.bit_generator.seed_seq
        of_rank = (comm.rank,) if comm.rank else ()  # rank 0 draws as `fit` would
        self.rng = np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=of_rank))
        n = rows.stop - rows.start
        self.order = rows.start + (self.rng.permutation(n) if shuffle else np.arange(n))

    def next(self, n: int) -> tuple[Data, float]:
        """This rank's rows among the next n, and what part of them they are.

        Where they are none, a row that counts for nothing.
        """
        start, stop = self._before(self.done), self._before(self.done + n)
        self.done += n
        return take_rows(self.data, self.order[start:stop] if stop > start else slice(1)), (
            stop - start
        ) / n

    def _before(self, n: int) -> int:
        """How many of the first n rows of the line are this rank's."""
        return (n - self.comm.rank + self.comm.size - 1) // self.comm.size


class _Callbacks:
    """The callbacks of a fit, each called with the model itself, and what they wish on any rank."""

    def __init__(self, parallel: DataParallel, callbacks: Sequence[Callback]) -> None:
        self.parallel, self.callbacks = parallel, callbacks

    def _having(self, name: str) -> list[Any]:
        return [getattr(c, name) for c in self.callbacks if hasattr(c, name)]

    def before_step(self, _: Any, epochs: float) -> None:
        for prepare in self._having("before_step"):
            prepare(self.parallel.model, epochs)

    def __call__(self, _: Any, record: dict[str, float]) -> bool:
        wishes = [callback(self.parallel.model, record) for callback in self.callbacks]
        return any(self.parallel.comm.allgather(training.is_end(wishes)))

    def finish(self, _: Any) -> None:
        for finish in self._having("finish"):
            finish(self.parallel.model)
