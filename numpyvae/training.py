"""The fit loop: minibatches, steps, history, progress, and what happens when training diverges.

It uses only the methods in `Trainable`, so it imports no model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from numpyvae.data import minibatches
from numpyvae.history import History
from numpyvae.numerics import Array, aligned_empty
from numpyvae.optimizers import Adam, Optimizer
from numpyvae.progress import Progress
from numpyvae.rows import Data, as_tuple, n_rows
from numpyvae.threads import one_blas_thread
from numpyvae.validation import positive_int

__all__ = [
    "Callback",
    "Data",
    "DivergenceError",
    "History",
    "Noise",
    "Trainable",
    "check_objects",
    "check_transformed",
    "fit",
    "is_end",
]

Noise = Array | tuple[Array, ...]
"""What a model's `draw_noise` returns."""

Callback = Callable[[Any, dict[str, float]], Any]
"""Called as callback(model, record) after each epoch.

Returning True (of Python or NumPy) ends the training; any other value has no effect. If the
callback has a method `before_step`, before_step(model, epochs) is called before each step, with the
number of epochs trained so far (2.5 in the middle of the third). If it has a method `finish`,
finish(model) is called once when `fit` ends, for whatever reason.
"""


class DivergenceError(FloatingPointError):
    """The loss is no longer a number. The model has the parameters of its last good epoch.

    `event` says what happened, `remedy` what to try, and `rate` is its part about the learning
    rate ("" before any update). `column` is the column in the largest units, if they are too large
    for a network, else None; `size` is its mean and standard deviation.
    """

    def __init__(
        self, event: str, remedy: str, rate: str = "", column: int | None = None, size: str = ""
    ) -> None:
        cause = "" if column is None else f" Column {column} of x has {size}."
        super().__init__(f"{event}{cause} {remedy}")
        self.event, self.remedy, self.rate = event, remedy, rate
        self.column, self.size = column, size


class Trainable(Protocol):
    """What `fit` needs of a model."""

    seed: int
    epochs_trained: int
    history: History
    optimizer: Optimizer | None

    @property
    def theta(self) -> Array:
        """The parameters (P,), which training changes in place."""

    def check_data(self, data: Data) -> Any:
        """The data as arrays; an error names what the model cannot take."""

    def draw_noise(self, rng: np.random.Generator, n: int) -> Any:
        """All noise of one step on n examples."""

    def loss_and_terms(
        self, theta: Array, data: Data, noise: Noise, grad: Array | None = None
    ) -> tuple[Any, dict[str, Array]]:
        """The loss and its terms (N,); the gradient is written to `grad`."""

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """The bound on log p(x) that the terms, or their means, give; None if they give none."""

    def state(self) -> Mapping[str, Array]:
        """The arrays, by name, that training changes besides theta."""

    def after_step(self, data: Data, noise: Noise) -> None:
        """Update the state after a step on these data."""

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The column with units too large for a network, its size, and a remedy."""


@one_blas_thread
def fit(
    model: Trainable,
    data: Data,
    epochs: int = 50,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    validation_data: Data | None = None,
    callbacks: Sequence[Callback] = (),
    transform: Callable[..., Array] | None = None,
    verbose: bool = True,
) -> History:
    """Minimise a model's loss over the rows of the data by minibatch steps on its theta, in place.

    Epoch e of a model (counted over all calls) draws its order and noise from a generator seeded by
    (model.seed, e), so the same seed gives the same bits, and stopping and resuming changes
    nothing, also with `save` and `load` in between. If an epoch ends early (Ctrl-C, divergence, any
    exception), model and optimizer are put back to the end of the epoch before.
    Meanwhile NumPy's OpenBLAS has one thread, and free cores help with large products; the bits do
    not depend on which cores are free. They may if you have set more than one thread, or if NumPy
    uses another library.

    Args:
        data: x (N, D), or (x, y) with labels y (N,). x may be a `numpy.memmap` larger than memory,
            because only minibatches are copied.
        epochs, batch_size: at least 1.
        optimizer: default `model.optimizer`, that of the last fit, with its state; `Adam()` if
            there was none.
        validation_data: as `data`; evaluated after each epoch with one fixed draw of the noise.
        callbacks: see `Callback`.
        transform: `transform(batch)` or `transform(batch, rng)`, applied to x of each minibatch.
        verbose: show progress: a live line on a terminal or in a notebook, else one for each epoch.

    Returns:
        `model.history`, which grew by one record for each epoch.

    Raises:
        ValueError: an argument or an entry of the data is unusable; the message names it.
        DivergenceError: the loss became NaN or infinite; the message names epoch and step.
    """
    epochs = positive_int("epochs", epochs)
    batch_size = positive_int("batch_size", batch_size)
    if optimizer is None:
        optimizer = Adam() if model.optimizer is None else model.optimizer
    check_objects(optimizer, callbacks)
    if transform is None:
        data = model.check_data(data)
        if validation_data is not None:
            validation_data = model.check_data(validation_data)
    before_step = [c.before_step for c in callbacks if hasattr(c, "before_step")]
    done = model.epochs_trained
    progress = Progress(done + epochs, done=done) if verbose else None
    try:
        for i in range(epochs):
            with _all_or_nothing(model, optimizer), np.errstate(over="ignore", invalid="ignore"):
                record = _train_epoch(
                    model, data, batch_size, optimizer, transform, progress, i == 0, before_step
                )
                if validation_data is not None:
                    terms = evaluate_terms(model, validation_data, batch_size, transform)
                    record.update({f"validation_{name}": value for name, value in terms.items()})
                model.epochs_trained += 1
                model.history.append(record)
                model.optimizer = optimizer
            if progress:
                progress.end_epoch(record)
            wishes = [callback(model, record) for callback in callbacks]
            if is_end(wishes):
                break
    finally:
        if progress:
            progress.close()
        for callback in callbacks:
            if hasattr(callback, "finish"):
                callback.finish(model)
    return model.history


def is_end(wishes: Sequence[Any]) -> bool:
    """Whether one of what callbacks have returned ends the training; see `Callback`."""
    return any(isinstance(wish, bool | np.bool_) and bool(wish) for wish in wishes)


@contextmanager
def _all_or_nothing(model: Trainable, optimizer: Optimizer) -> Iterator[None]:
    """A block for one epoch: if anything ends it early, model and optimizer are put back."""
    epochs, n_records = model.epochs_trained, len(model.history)
    before = [(array, array.copy()) for array in (model.theta, *model.state().values())]
    state = optimizer.state() if hasattr(optimizer, "state") else None
    try:
        yield
    except BaseException:
        for array, copy in before:
            np.copyto(array, copy)
        model.epochs_trained = epochs
        del model.history[n_records:]
        if state is not None:
            optimizer.load_state(state)
        raise


def check_objects(optimizer: Optimizer, callbacks: Sequence[Callback]) -> None:
    """TypeError for arguments that would otherwise fail in the middle of an epoch."""
    if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
        raise TypeError(f"optimizer must be an object such as Adam(), got {optimizer!r}")
    if callable(callbacks) or not all(map(callable, callbacks)):
        raise TypeError(f"callbacks must be a sequence of functions, got {callbacks!r}")
    for callback in callbacks:
        if isinstance(callback, type):
            name = callback.__name__
            raise TypeError(f"callbacks must be objects such as {name}(), got the class {name}")


def _train_epoch(
    model: Trainable,
    data: Data,
    batch_size: int,
    optimizer: Optimizer,
    transform: Callable[..., Array] | None,
    progress: Progress | None,
    is_first: bool,
    before_step: Sequence[Callable[[Any, float], None]] = (),
) -> dict[str, float]:
    """One pass over the data in random order, a step for each minibatch: the epoch's record."""
    started = time.perf_counter()
    epoch = model.epochs_trained + 1
    rng = np.random.default_rng([model.seed, epoch])
    grad = aligned_empty(len(model.theta), model.theta.dtype)
    means, n_examples = _RunningMeans(model), n_rows(data)
    for step, batch in enumerate(minibatches(data, batch_size, rng, transform), start=1):
        if transform is not None:
            check_transformed(model, batch)
        for prepare in before_step:
            prepare(model, epoch - 1 + means.count / n_examples)
        n = n_rows(batch)
        noise = model.draw_noise(rng, n)
        loss, terms = model.loss_and_terms(model.theta, batch, noise, grad)
        if not math.isfinite(loss):
            raise _diverged(model, batch, step, loss, None if is_first and step == 1 else optimizer)
        optimizer.step(model.theta, grad)
        model.after_step(batch, noise)
        means.add(loss, terms, n)
        if progress:
            progress.during_epoch(means.count / n_examples, means.values)
    loss, _ = model.loss_and_terms(model.theta, batch, noise)  # no loss has seen the last step yet
    if not math.isfinite(loss):
        raise _diverged(model, batch, step, loss, optimizer)
    return {"epoch": epoch, **means.values(), "seconds": time.perf_counter() - started}


def evaluate_terms(
    model: Trainable, data: Data, batch_size: int, transform: Callable[..., Array] | None = None
) -> dict[str, float]:
    """The loss and its terms, averaged over the rows, with one fixed draw of the noise."""
    rng = np.random.default_rng([model.seed, 0])
    means = _RunningMeans(model)
    for batch in minibatches(data, batch_size, rng, transform, shuffle=False):
        if transform is not None:
            check_transformed(model, batch)
        n = n_rows(batch)
        means.add(*model.loss_and_terms(model.theta, batch, model.draw_noise(rng, n)), n)
    return means.values()


class _RunningMeans:
    """Means over examples of the loss and its terms, gathered a minibatch at a time."""

    def __init__(self, model: Trainable) -> None:
        self.bound = model.bound
        self.count = 0
        self.sums: dict[str, float] = {}

    def add(self, loss: Any, terms: dict[str, Array], n: int) -> None:
        self.count += n
        self.sums["loss"] = self.sums.get("loss", 0.0) + n * float(loss)
        for name, values in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())

    def values(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self.sums.items()}
        bound = self.bound(means)
        return means if bound is None else {**means, "elbo": bound}


def check_transformed(model: Trainable, batch: Data) -> None:
    """Check a minibatch after `transform`, as `fit` checks x beforehand."""
    try:
        model.check_data(batch)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"a minibatch after transform: {error}") from None


def _diverged(
    model: Trainable, batch: Data, step: int, loss: float, optimizer: Optimizer | None
) -> DivergenceError:
    """The error for a loss that is not finite; `optimizer` is None if it has not stepped yet."""
    epoch = model.epochs_trained + 1
    kept = f"parameters of the end of epoch {epoch - 1}" if epoch > 1 else "initial parameters"
    when = f"epoch {epoch}, step {step}" + ("" if optimizer else ", before any update")
    best = " (with KeepBest those of the best epoch)" if epoch > 1 else ""
    event = f"training diverged at {when}: the loss is {loss}. The {kept} are kept{best}."
    rate = f"a smaller learning rate (now {optimizer.learning_rate:g})" if optimizer else ""
    large = model.largest_column(as_tuple(batch)[0])
    if large is not None:
        column, size, remedy = large
        remedy += f", or try {rate}." if rate else "."
        return DivergenceError(event, remedy, rate, column, size)
    others = "data scaled to about [-1, 1], or another"
    remedy = f"Try {rate}, {others} seed." if rate else f"Try {others} model."
    return DivergenceError(event, remedy, rate)
