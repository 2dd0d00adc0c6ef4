"""The base of every model: one flat vector theta, made of parts, and functions of it.

A part is anything that knows its parameters' shapes and initial values: a network, a likelihood, a
prior, a codebook. Each model's mathematics, `forward` and directly below it `backward`, is in its
own file; here is what all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from numpyvae import training
from numpyvae.layers import Grads, Params
from numpyvae.likelihoods import Likelihood
from numpyvae.models import files
from numpyvae.numerics import Array, aligned_empty, keep_freed_memory
from numpyvae.optimizers import Optimizer
from numpyvae.parameters import Gradients, ParameterLayout
from numpyvae.storage import write_npz
from numpyvae.threads import one_blas_thread
from numpyvae.training import Data, Noise
from numpyvae.validation import (
    EntryError,
    as_matrix,
    first_entry,
    float_dtype,
    positive_int,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

__all__ = ["MODELS", "Model", "Part", "Sizes"]

CHUNK = 1024
"""Rows that encode, elbo, ... process at a time, so that memory does not grow with the data."""

MODELS: dict[str, type[Model]] = {}
"""Every model class by name: a class that defines `forward` is added when it is defined."""


class Part(Protocol):
    """What a model is made of."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Parameter name -> shape."""

    def initialize(self, params: Params, rng: np.random.Generator) -> None:
        """Write the initial values of these parameters."""


class Sizes(NamedTuple):
    """Sizes that are all different, so that a mixed-up axis shows."""

    n: int = 5
    data_dim: int = 7
    hidden_dim: int = 6
    latent_dim: int = 3

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of a model with two hidden layers, smooth and in float64."""
        return {
            "data_dim": self.data_dim,
            "latent_dim": self.latent_dim,
            "hidden_dims": (self.hidden_dim + 2, self.hidden_dim),
            "activation": "tanh",
            "dtype": np.float64,
        }


class Model:
    """Functions of theta (P,), and a fitted model at its current `theta`.

    A subclass defines `forward` and `backward`, gives its parts to `__init__`, and keeps each
    argument of its constructor as an attribute of that name, by which `save` finds it.

    Data are x (N, D), or a tuple (x, y) for a model with labels (`labelled.py`).
    Noise is what `draw_noise` gives: standard normal (N, *noise_shape) unless a subclass differs.
    """

    unknown_labels: ClassVar[bool] = False
    """Whether labels may be -1, for "not known"."""

    players: ClassVar[Mapping[str, Sequence[str]]] = {}
    """For a model whose parts descend different losses: name of a loss -> prefix of the names of
    the parameters that descend it. `forward` then returns these losses in a dict."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Add the class to MODELS; it may replace only a class that its own module defined."""
        super().__init_subclass__(**arguments)
        known = MODELS.get(cls.__name__)
        if cls.forward is not Model.forward and (not known or known.__module__ == cls.__module__):
            MODELS[cls.__name__] = cls

    def __init__(
        self,
        data_dim: int,
        likelihood: Likelihood,
        parts: Sequence[Part],
        noise_shape: tuple[int, ...],
        seed: int,
        dtype: DTypeLike,
    ) -> None:
        """Set up a model of data with D = `data_dim` columns; `seed` draws its parameters."""
        self.data_dim, self.likelihood = data_dim, likelihood
        self.parts, self.noise_shape = tuple(parts), noise_shape
        self.seed = positive_int("seed", seed, least=0)
        self.dtype = np.dtype(float_dtype(dtype))
        self.layout = ParameterLayout(
            {name: shape for part in self.parts for name, shape in part.shapes.items()}
        )
        keep_freed_memory()  # otherwise every step allocates its pages again
        self.history = training.History()
        self.epochs_trained = 0
        self.optimizer: Optimizer | None = None

    @cached_property
    def theta(self) -> Array:
        """The parameters (P,), drawn at the first access, or set by `load`."""
        return self.initial_theta()

    @property
    def params(self) -> dict[str, Array]:
        """Named views of `theta`."""
        return self.layout.views(self.theta)

    def initial_theta(self) -> Array:
        """Fresh parameters (P,), drawn from `seed`, part by part."""
        theta = aligned_empty(self.layout.size, self.dtype)
        params, rng = self.layout.views(theta), np.random.default_rng(self.seed)
        for part in self.parts:
            part.initialize(params, rng)
        return theta

    def __repr__(self) -> str:
        hidden_dims, code = getattr(self, "hidden_dims", ()), getattr(self, "latent_dim", None)
        widths = (self.data_dim, *hidden_dims, *([code] if code else []))
        named = ["-".join(map(str, widths)), getattr(self, "activation", None), self.likelihood]
        return f"{type(self).__name__}({', '.join(str(a) for a in named if a is not None)})"

    # The mathematics, as functions of theta.

    def forward(
        self, params: Params, data: Any, noise: Any
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """The loss, the per-example terms (N,) it is made of, and what `backward` needs."""
        raise NotImplementedError

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """Add d loss / d parameter to every entry of `grads`."""
        raise NotImplementedError

    def held(self, params: Params, data: Data, noise: Noise) -> Any:
        """What the gradient treats as constant; None if it is the derivative of the whole loss.

        A model with such values has `forward(params, data, noise, held=None)`. Its gradient is the
        derivative of the loss with `held` fixed at its values at the same point.
        """
        return None

    def bound(self, terms: Mapping[str, Any]) -> Any:
        """The lower bound on log p(x) that the terms give, in nats; None if they give none.

        It is a linear function of the terms, because it is applied to their means, too.
        """
        return None

    def state(self) -> dict[str, Array]:
        """The arrays, by name, that training changes besides theta; none by default."""
        return {}

    def after_step(self, data: Any, noise: Any) -> None:
        """Update the state after a training step on these data."""

    def draw_noise(self, rng: np.random.Generator, n: int) -> Any:
        """All noise of one step on n examples: (n, *noise_shape) standard normal."""
        return rng.standard_normal((n, *self.noise_shape), self.dtype)

    @one_blas_thread
    def loss(self, theta: Array, data: Data, noise: Noise, held: Any = None) -> Any:
        """The loss in nats, a scalar in the dtype of theta (P,), which may be complex.

        Data are x (N, D) or (x, y), and noise is as from `draw_noise`. Raises ValueError for wrong
        shapes and TypeError for integer theta. The values of x are not checked here, except that a
        Binomial needs counts; `fit` checks them by `check_data`. `held`: see the method `held`.
        """
        return self.loss_and_terms(theta, data, noise, held=held)[0]

    @one_blas_thread
    def loss_and_grad(
        self, theta: Array, data: Data, noise: Noise, out: Array | None = None
    ) -> tuple[Any, Array]:
        """The loss and d loss / d theta (P,); the gradient is written to `out` if given."""
        theta = np.asarray(theta)
        grad = aligned_empty(theta.size, theta.dtype) if out is None else out
        return self.loss_and_terms(theta, data, noise, grad)[0], grad

    def loss_and_terms(
        self,
        theta: Array,
        data: Data,
        noise: Noise,
        grad: Array | None = None,
        held: Any = None,
    ) -> tuple[Any, dict[str, Array]]:
        """The loss and its terms (N,); the gradient is written to `grad` if given.

        For `fit` and evaluation, which set the number of threads themselves.
        """
        theta = np.asarray(theta)
        params, data, noise = self._arguments(theta, data, noise)
        extra = () if held is None else (held,)
        if grad is None:
            loss, terms, _ = self.forward(params, data, noise, *extra)
            return self._total(loss), terms
        if grad.shape != theta.shape:
            raise ValueError(f"out must have theta's shape {theta.shape}, got {grad.shape}")
        if grad.dtype != theta.dtype:
            raise TypeError(f"out must have theta's dtype {theta.dtype}, got {grad.dtype}")
        grads = Gradients(self.layout, grad)
        loss, terms, cache = self.forward(params, data, noise, *extra)
        self.backward(params, grads, cache)
        grads.zero_untouched()
        return self._total(loss), terms

    def losses(self, theta: Array, data: Data, noise: Noise, held: Any = None) -> dict[str, Any]:
        """Each loss by its name; {"loss": loss} for a model with a single one."""
        arguments = self._arguments(np.asarray(theta), data, noise)
        loss, *_ = self.forward(*arguments, *(() if held is None else (held,)))
        return loss if self.players else {"loss": loss}

    def _total(self, loss: Any) -> Any:
        return sum(loss.values()) if self.players else loss

    def _arguments(self, theta: Array, data: Data, noise: Noise) -> tuple[Params, Any, Any]:
        """Views of theta, and data and noise in theta's (real) dtype, with checked shapes."""
        if theta.dtype.kind not in "fc":
            raise TypeError(f"theta must be an array of floats, got {theta.dtype}")
        params, real = self.layout.views(theta), theta.real.dtype
        data = self.as_data(data)
        x, *labels = data if isinstance(data, tuple) else (data,)
        x = x.astype(real, copy=False)
        if isinstance(noise, tuple):
            noise = tuple(np.asarray(a).astype(real, copy=False) for a in noise)
        else:
            noise, expected = np.asarray(noise), (len(x), *self.noise_shape)
            if noise.shape != expected:
                raise ValueError(f"noise must have shape {expected}, got {noise.shape}")
            noise = noise.astype(real, copy=False)
        return params, (x, *labels) if labels else x, noise

    def as_data(self, data: Data) -> Any:
        """The data as arrays, checked for shape and type, not copied."""
        if isinstance(data, tuple):
            raise TypeError(f"{type(self).__name__} takes x alone, not (x, y): it has no labels")
        return as_matrix("x", data, self.data_dim, "(N, D)")

    # The fitted model, at its current theta.

    def fit(
        self,
        x: Array,
        epochs: int = 50,
        batch_size: int = 128,
        optimizer: Optimizer | None = None,
        validation_data: Data | None = None,
        callbacks: Sequence[training.Callback] = (),
        transform: Callable[..., Array] | None = None,
        verbose: bool = True,
        *,
        y: Array | None = None,
    ) -> training.History:
        """Minimise the loss over the rows of x (N, D); see `numpyvae.training.fit`."""
        data = x if y is None else (x, y)
        return training.fit(
            self,
            data,
            epochs,
            batch_size,
            optimizer,
            validation_data,
            callbacks,
            transform,
            verbose,
        )

    def generator(self, rng: np.random.Generator | None) -> np.random.Generator:
        """`rng`; for None a new generator from the model's seed, the same at every call."""
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator or None, got {rng!r}")
        return np.random.default_rng([self.seed, 0]) if rng is None else rng

    def check_data(self, data: Data) -> Any:
        """The data as arrays, checked for shape, type and values.

        Raises ValueError that names the first entry of x which is NaN, infinite, too large for the
        model's dtype, or outside the likelihood's support; TypeError if x does not hold numbers.
        """
        data = self.as_data(data)
        self.check_x(data[0] if isinstance(data, tuple) else data)
        return data

    def check_x(self, x: Array) -> Array:
        """x (N, D) as an array, checked as by `check_data`."""
        x = as_matrix("x", x, self.data_dim, "(N, D)")
        standardization = getattr(self.likelihood, "standardization", None)
        for start in range(0, len(x), CHUNK):
            chunk = x[start : start + CHUNK]
            self.likelihood.check(chunk, first_row=start)
            with np.errstate(over="ignore"):
                fits = np.isfinite(chunk.astype(self.dtype, copy=False))
            if not fits.all():
                row, column = first_entry(~fits)
                problem = f"= {chunk[row, column]:g} is too large for {self.dtype}: scale the data"
                raise EntryError("x", start + row, column, problem)
            if standardization is not None:
                standardization.check_rounding(chunk, self.dtype, start)
        return x

    def draw_data(self, rng: np.random.Generator, n: int) -> Any:
        """n random examples that are valid for this model, in float64: for proofs."""
        views = self.layout.views(np.zeros(self.layout.size))
        output = rng.standard_normal((n, self.likelihood.output_dim(self.data_dim)))
        return self.likelihood.sample(views, output, rng)

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The column of x (N, D) with units too large for a network, its size, and a remedy."""
        find = getattr(self.likelihood, "largest_column", None)
        return None if find is None else find(x)

    @one_blas_thread
    def by_chunks(self, function: Callable[..., Any], *arrays: Array) -> Any:
        """function(rows of each array), for a few rows at a time, to keep memory small.

        Matrices are cast to the model's dtype, labels are not.
        """
        starts = range(0, len(arrays[0]), CHUNK)
        chunks = ([array[start : start + CHUNK] for array in arrays] for start in starts)
        return np.concatenate(
            [
                function(*(a.astype(self.dtype, copy=False) if a.ndim > 1 else a for a in chunk))
                for chunk in chunks
            ]
        )

    @classmethod
    def examples(cls, sizes: Sizes) -> Iterable[Model]:
        """Small float64 models with which `numpyvae check` and the tests prove the gradient."""
        raise NotImplementedError

    # On disk.

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return files.config(self)

    @classmethod
    def arguments_from_config(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments that `config` described."""
        return files.arguments_from_config(config)

    def contents(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `save` writes: arrays by name, and a description that JSON can hold."""
        return files.contents(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one .npz file (no pickles), aside first and then moved into place.

        The file includes history and optimiser, so that `load` and `fit` give the same bits as a
        training that was never stopped. The moments of Adam make the file three times as large;
        set `model.optimizer = None` before saving to leave them out.
        """
        write_npz(path, *self.contents())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The model that `save` wrote, ready to use or to `fit` further.

        Raises ValueError if the file does not hold a model of this class or of a subclass. Sizes
        are compared before anything is built, so a small file cannot ask for a lot of memory.
        """
        kinds = {name: kind for name, kind in MODELS.items() if issubclass(kind, cls)}
        if cls.forward is not Model.forward:
            kinds[cls.__name__] = cls  # also if a class of another module has that name
        return files.load(path, cls.__name__, kinds)
