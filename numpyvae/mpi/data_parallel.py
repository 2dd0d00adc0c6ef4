"""A model that several ranks train together; `fit` takes it in the model's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from numpyvae import training
from numpyvae.interrupts import Interrupted, Interrupts
from numpyvae.mpi.shards import Part, Pass, piece, some
from numpyvae.mpi.together import (
    check_equal,
    check_equal_facts,
    ending_the_job,
    on_all,
    row_digest,
    settings,
    world,
)
from numpyvae.numerics import Array, aligned_empty
from numpyvae.optimizers import Adam, Optimizer
from numpyvae.rows import as_tuple, map_arrays, n_rows, take_rows
from numpyvae.threads import keep_to_one_thread, one_blas_thread
from numpyvae.training import Callback, Data, History, Noise, Trainable
from numpyvae.validation import EntryError, positive_int

__all__ = ["DataParallel"]

CHECKED = 64
"""Rows of each rank on which `fit` checks that the loss is a mean over rows."""

TRAINING = 0
"""The ticket of each row of the training data; rows of the validation data have 1."""


def _of_model(name: str) -> Any:
    """An attribute that is read from the model and set on it."""
    return property(
        lambda self: getattr(self.model, name),
        lambda self, value: setattr(self.model, name, value),
    )


def _why_not(model: Trainable) -> str | None:
    """Why the ranks' weighted mean is not what one process computes; None if it is."""
    if state := model.state():
        return f"besides theta it changes {', '.join(state)}, each rank from its own rows only"
    if getattr(model, "unknown_labels", False):
        return "part of its loss is a mean over the examples with a known label, not over all"
    return None


class DataParallel:
    """A model that all ranks of `comm` train together; by default those of MPI's world.

    Every rank runs the same script with the same data, of which it reads its own `piece`. Each rank
    has its own order of these rows and its own noise: with the same noise on all, the variance of
    the gradient would not fall. Theta must be the same on all. On one rank `fit` gives the bits of
    the model's own `fit`.

    A signal that asks to end (SIGINT, SIGTERM, SIGHUP), on any rank, stops all ranks after the same
    step, with `Interrupted`, which is a KeyboardInterrupt and may be caught. In a script that
    handles signals itself, `signal` returns the number of one that has come, or 0.

    Raises TypeError for a model that changes more than theta, such as the counts of a codebook, and
    for one with unknown labels, whose loss is not a mean over examples. `fit` checks on the first
    rows of each rank that your own loss is such a mean; with `free_bits` it may pass by chance,
    and its gradient then differs from that of one process later.
    """

    def __init__(
        self, model: Trainable, comm: Any = None, signal: Callable[[], int] | None = None
    ) -> None:
        if reason := _why_not(model):
            raise TypeError(f"{type(model).__name__} cannot be trained on several ranks: {reason}")
        self.model, self.comm = model, world() if comm is None else comm
        self._interrupts = Interrupts()
        self._handles_signals = signal is None and self.comm.size > 1
        self.signal = self._interrupts.take if signal is None else signal
        self._memory = np.empty(0)
        self._begin(None)

    def _begin(self, transform: Callable[..., Array] | None) -> None:
        self._transform = transform
        self._sets: list[Data] = []
        self._pass: Pass | None = None
        self._part: Part | None = None

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
        """As `numpyvae.training.fit`, of all data x or (x, y); `batch_size` is that of all ranks.

        Theta starts as rank 0's. No row is lost if the ranks cannot divide the rows or a batch
        equally. The history is that of all rows, and the same on all ranks. Callbacks may differ
        between ranks, unless they change the model; they are called with the model itself, and if
        one on any rank asks for it, the training ends on all. Rank 0 shows the progress.

        Raises what `training.fit` raises of its arguments, DivergenceError, Interrupted, and
        RanksDifferError if ranks were given different things, or if at the end of an epoch theta is
        not the same on all bit for bit. Any other exception, on whichever ranks, ends the whole job
        with a message.
        """
        self._begin(transform)
        check_equal_facts(
            self.comm,
            lambda: self._facts(data, validation_data, epochs, batch_size, optimizer, callbacks),
        )
        if self.comm.size > 1:
            keep_to_one_thread()
        on_all(self.comm, lambda: self._begin_alike(data))
        handling = self._interrupts if self._handles_signals else nullcontext()
        with handling, ending_the_job(self.comm):
            history = training.fit(
                self, data, epochs, batch_size, optimizer, validation_data,
                [_Callbacks(self, callbacks)], None, verbose and self.comm.rank == 0,
            )  # fmt: skip
        if number := self._interrupts.take():  # it came after the last step
            raise Interrupted(number)
        return history

    @one_blas_thread
    def loss_and_grad(
        self, theta: Array, data: Data, noise: Noise, out: Array | None = None
    ) -> tuple[Any, Array]:
        """The loss and d loss / d theta (P,) of one batch; each rank computes its piece of it.

        Data and noise are those of the whole batch, on all ranks.
        """
        grad = aligned_empty(theta.size, theta.dtype) if out is None else out
        rows = piece(n_rows(data), self.comm.rank, self.comm.size)
        of_piece = take_rows(data, some(rows)), map_arrays(noise, lambda a: a[some(rows)])
        part = Part(*of_piece, (rows.stop - rows.start) / n_rows(data))
        return self._mean(theta, part, grad)[0], grad

    def _mean(self, theta: Array, part: Part, grad: Array | None) -> tuple[Any, dict[str, Array]]:
        """The loss of all ranks' parts, sums of its terms, and the gradient in `grad`.

        One Allreduce of the vector (gradient, loss, terms, whether to stop).
        """
        loss, terms = self.model.loss_and_terms(theta, part.data, part.noise, grad)
        n_grad, signal = 0 if grad is None else grad.size, self.signal()
        vector = self._vector(n_grad + 1 + len(terms) + 1, theta.dtype)
        if part.weight:
            if grad is not None:
                np.multiply(grad, part.weight, out=vector[:n_grad])
            vector[n_grad:-1] = [part.weight * loss, *(values.sum() for values in terms.values())]
        else:
            vector.fill(0.0)  # not 0 * grad, which might be infinite
        vector[-1] = signal > 0
        self.comm.Allreduce(None, vector)  # in place
        if vector[-1]:
            raise Interrupted(max(self.comm.allgather(signal)))
        if grad is not None:
            np.copyto(grad, vector[:n_grad])
        loss, *sums = vector[n_grad:-1].copy()
        return loss, dict(zip(terms, sums, strict=True))

    def _vector(self, n: int, dtype: np.dtype[Any]) -> Array:
        """The vector (n,) that is exchanged; its memory is kept for the next step."""
        if self._memory.size < n or self._memory.dtype != dtype:
            self._memory = aligned_empty(n, dtype)
        return self._memory[:n]

    # What `fit` asks of a model. It holds a ticket for each row of all ranks, and no rows.

    seed: int = _of_model("seed")
    theta: Array = _of_model("theta")
    history: History = _of_model("history")
    epochs_trained: int = _of_model("epochs_trained")
    optimizer: Optimizer | None = _of_model("optimizer")

    def check_data(self, data: Data) -> Array:
        """A ticket (N, 1) for each row: the number of the data set that it is from."""
        self._sets.append(map_arrays(data, np.asanyarray))  # lists have no rows by number
        return np.broadcast_to(np.int8(len(self._sets) - 1), (n_rows(data), 1))

    def draw_noise(self, rng: np.random.Generator, n: int) -> Any:
        """None yet: `loss_and_terms` draws it, when it knows the data, and keeps it in the step."""
        return _Step(rng)

    def loss_and_terms(
        self, theta: Array, data: Data, noise: Any, grad: Array | None = None
    ) -> tuple[Any, dict[str, Array]]:
        """Loss and terms of the minibatch that these tickets are for, on all ranks together."""
        if noise.part is None:
            noise.part = self._part = self._next_part(noise.rng, as_tuple(data)[0])
        elif grad is None:  # the last call of an epoch; if it raises, the epoch is not kept
            check_equal(self.comm, self.theta, self.epochs_trained + 1)
        return self._mean(theta, noise.part, grad)

    def _next_part(self, rng: np.random.Generator, tickets: Array) -> Part:
        if self._pass is None or self._pass.key is not rng:
            kind, comm = int(tickets[0, 0]), self.comm
            self._pass = Pass(rng, self._sets[kind], comm.rank, comm.size, kind == TRAINING)
        return self._pass.next(len(tickets), self.model, self._transform)

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """The model's."""
        return self.model.bound(terms)

    def state(self) -> Mapping[str, Array]:
        """Nothing; see `__init__`."""
        return {}

    def after_step(self, data: Data, noise: Any) -> None:
        """The model's, on the rank's own rows."""
        self.model.after_step(noise.part.data, noise.part.noise)

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The model's, for the rank's part of the last minibatch."""
        return (
            None if self._part is None else self.model.largest_column(as_tuple(self._part.data)[0])
        )

    def _facts(
        self,
        data: Data,
        validation_data: Data | None,
        epochs: int,
        batch_size: int,
        optimizer: Optimizer | None,
        callbacks: Sequence[Callback],
    ) -> dict[str, Any]:
        """What must be the same on all ranks; raises what `fit` raises for the rank's own rows."""
        training.check_objects(Adam() if optimizer is None else optimizer, callbacks)
        if self._transform is None:
            self._check_piece(data)
            if validation_data is not None:
                self._check_piece(validation_data)
        return {
            "epochs": positive_int("epochs", epochs),
            "batch_size": positive_int("batch_size", batch_size),
            "rows of data": n_rows(data),
            "rows of validation_data": None if validation_data is None else n_rows(validation_data),
            "the first, middle and last row of data": row_digest(data),
            "those of validation_data": row_digest(validation_data),
            "parameters": self.theta.size,
            "model.seed": self.seed,
            "model.epochs_trained": self.epochs_trained,
            **settings("model", self.model),
            **settings("optimizer", optimizer or self.optimizer),
        }

    def _begin_alike(self, data: Data) -> None:
        self.comm.Bcast(self.model.theta)
        if self.comm.size > 1:
            self._check_mean(data)

    def _check_mean(self, data: Data) -> None:
        """TypeError if the loss on the rank's first rows is not the mean of those on their halves.

        It takes the same theta on all ranks: at any other, a loss may overflow.
        """
        rows, rng = map_arrays(data, np.asanyarray), np.random.default_rng(0)
        look = Pass(rng, rows, self.comm.rank, self.comm.size, shuffle=False)
        part = look.next(CHECKED * self.comm.size, self.model, self._transform)
        n, half = n_rows(part.data), n_rows(part.data) // 2

        def loss(rows: slice) -> float:
            of_rows = take_rows(part.data, rows), map_arrays(part.noise, lambda a: a[rows])
            return float(self.model.loss_and_terms(self.theta, *of_rows)[0])

        if half:
            whole, first, second = map(loss, (slice(n), slice(half), slice(half, n)))
            mean = (half * first + (n - half) * second) / n
            if abs(whole - mean) > 1e-3 * (abs(first) + abs(second)):
                raise TypeError(
                    f"{type(self.model).__name__} cannot be trained on several ranks: its loss on "
                    f"{n} rows is {whole:.6g}, and its mean over their two halves {mean:.6g}; "
                    "expected a mean over rows"
                )

    def _check_piece(self, data: Data) -> None:
        rows = some(piece(n_rows(data), self.comm.rank, self.comm.size))
        try:
            self.model.check_data(map_arrays(data, lambda a: a[rows]))
        except EntryError as error:
            row = rows.start + error.row
            raise EntryError("x", row, error.column, error.problem) from None


class _Step:
    """What `fit` holds as the noise of a step: the rank's part of the step, once it is drawn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.part: Part | None = None


class _Callbacks:
    """The callbacks of a fit, called with the model itself; one on any rank can end the fit."""

    def __init__(self, parallel: DataParallel, callbacks: Sequence[Callback]) -> None:
        self.model, self.comm, self.callbacks = parallel.model, parallel.comm, callbacks

    def _call_each(self, method: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, method, lambda *_: None)(self.model, *arguments)

    def before_step(self, _: Any, epochs: float) -> None:
        self._call_each("before_step", epochs)

    def __call__(self, _: Any, record: dict[str, float]) -> bool:
        wishes = [callback(self.model, record) for callback in self.callbacks]
        return any(self.comm.allgather(training.is_end(wishes)))

    def finish(self, _: Any) -> None:
        self._call_each("finish")
