"""What every model here is: an encoder, a decoder, a likelihood, and one flat vector theta.

A model's mathematics (what stands between encoder and decoder, and its way back) is in the file of
that model; this one holds what would be the same in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from numpyvae import training
from numpyvae.checkpoint import load_training, training_state
from numpyvae.data.untrusted import brief
from numpyvae.layers import ACTIVATIONS, Grads, Params, Sequential, mlp
from numpyvae.likelihoods import Likelihood, likelihood_from_config
from numpyvae.numerics import Array, aligned_empty, keep_freed_memory
from numpyvae.optimizers import Optimizer
from numpyvae.parameters import Gradients, ParameterLayout
from numpyvae.storage import Saved, open_npz, write_npz
from numpyvae.threads import one_blas_thread
from numpyvae.validation import (
    EntryError,
    as_matrix,
    check_finite,
    first_entry,
    float_dtype,
    one_of,
    positive_int,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EncoderDecoder"]

CHUNK = 1024
"""Rows that encode, elbo, ... work on at a time, so that memory does not grow with the data."""

MOST_LAYERS = 1000
"""Far more than can be trained, and few enough that a file which names them costs nothing."""


class EncoderDecoder:
    """Mirrored encoder D-H-...-C and decoder L-...-H-D' on one parameter vector.

    A subclass says how many numbers the encoder gives for each latent dimension (`n_heads`, so
    that C = n_heads * L) and defines `forward` and `backward`, the mathematics itself.
    """

    n_heads: ClassVar[int]

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        hidden_dims: Sequence[int],
        activation: str,
        likelihood: Likelihood,
        seed: int,
        dtype: DTypeLike,
    ) -> None:
        self.data_dim = positive_int("data_dim", data_dim)
        self.latent_dim = positive_int("latent_dim", latent_dim)
        if not isinstance(hidden_dims, Iterable):
            raise TypeError(f"hidden_dims must be a sequence of widths, got {hidden_dims!r}")
        if len(hidden_dims := tuple(hidden_dims)) > MOST_LAYERS:
            raise ValueError(f"expected at most {MOST_LAYERS} hidden_dims, got {len(hidden_dims)}")
        self.hidden_dims = tuple(positive_int("a width in hidden_dims", n) for n in hidden_dims)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        if isinstance(likelihood, type) or not hasattr(likelihood, "log_prob"):
            raise TypeError(f"likelihood must be an object such as Bernoulli(), got {likelihood!r}")
        self.likelihood = likelihood
        self.seed = positive_int("seed", seed, least=0)
        self.dtype = np.dtype(float_dtype(dtype))

        D, L = self.data_dim, self.latent_dim
        encoder_widths = (D, *self.hidden_dims, self.n_heads * L)
        decoder_widths = (L, *self.hidden_dims[::-1], likelihood.output_dim(D))
        self.encoder = mlp("encoder", encoder_widths, activation)
        self.standardization = getattr(likelihood, "standardization", None)
        if self.standardization is not None:
            self.encoder = Sequential((self.standardization, *self.encoder.layers))
        self.decoder = self.make_decoder(decoder_widths)
        self.layout = ParameterLayout(
            {**self.encoder.shapes, **self.decoder.shapes, **likelihood.shapes}
        )
        keep_freed_memory()  # or every step pays for its pages again
        self.history = training.History()
        self.epochs_trained = 0
        self.optimizer: Optimizer | None = None

    @cached_property
    def theta(self) -> Array:
        """The parameters (P,), drawn when first asked for; `load` puts its own in their place."""
        return self.initial_theta()

    def __repr__(self) -> str:
        widths = "-".join(
            str(width) for width in (self.data_dim, *self.hidden_dims, self.latent_dim)
        )
        return f"{type(self).__name__}({widths}, {self.activation}, {self.likelihood!r})"

    def make_decoder(self, widths: Sequence[int]) -> Sequential:
        """The decoder, for a subclass to build in another way."""
        return mlp("decoder", widths, self.activation)

    def initial_theta(self) -> Array:
        """Fresh parameters (P,), drawn from `seed`: He or Glorot weights, zero biases.

        The initialisations are made for inputs of size one, so data of a larger scale (counts up to
        16, say) get first weights that are smaller by it.
        """
        theta = aligned_empty(self.layout.size, self.dtype)
        params, rng = self.layout.views(theta), np.random.default_rng(self.seed)
        self.encoder.initialize(params, rng)
        params["encoder.0.W"][...] /= self.likelihood.data_scale
        self.decoder.initialize(params, rng)
        self.likelihood.initialize(params)
        return theta

    @property
    def noise_dim(self) -> int:
        """How many random numbers a step needs for each example: L, unless a subclass differs."""
        return self.latent_dim

    def draw_noise(self, rng: np.random.Generator, n: int) -> Array:
        """All noise that one step on n examples needs: (n, L) standard normal."""
        return rng.standard_normal((n, self.noise_dim), self.dtype)

    def generator(self, rng: np.random.Generator | None) -> np.random.Generator:
        """`rng`, or for None a generator from the model's seed, the same each time."""
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator or None, got {rng!r}")
        return np.random.default_rng([self.seed, 0]) if rng is None else rng

    # The mathematics, as functions of theta.

    def forward(
        self, params: Params, x: Array, noise: Array
    ) -> tuple[Any, dict[str, Array], tuple[Any, ...]]:
        """The loss, the per-example terms (N,) it is made of, and what `backward` needs."""
        raise NotImplementedError

    def backward(self, params: Params, grads: Grads, cache: tuple[Any, ...]) -> None:
        """Add d loss / d parameter to every entry of `grads`."""
        raise NotImplementedError

    def loss(self, theta: Array, x: Array, noise: Array) -> Any:
        """The loss in nats, a scalar in the dtype of theta (P,), which may be complex.

        x (N, D), and noise as `draw_noise` gives it. Raises ValueError for shapes that do not fit
        and TypeError for integer theta. Whether the values of x are data of the likelihood is for
        `check_data` to say, which `fit` calls; only a Binomial cannot go on without counts.
        """
        return self.loss_and_terms(theta, x, noise)[0]

    @one_blas_thread
    def loss_and_terms(self, theta: Array, x: Array, noise: Array) -> tuple[Any, dict[str, Array]]:
        """As `loss`, with the per-example terms (N,) that the loss is made of."""
        loss, terms, _ = self.forward(*self._arguments(theta, x, noise))
        return loss, terms

    def loss_and_grad(
        self, theta: Array, x: Array, noise: Array, out: Array | None = None
    ) -> tuple[Any, Array]:
        """The loss and d loss / d theta (P,), which is written into `out` if given."""
        loss, grad, _ = self.loss_grad_and_terms(theta, x, noise, out)
        return loss, grad

    @one_blas_thread
    def loss_grad_and_terms(
        self, theta: Array, x: Array, noise: Array, out: Array | None = None
    ) -> tuple[Any, Array, dict[str, Array]]:
        """As `loss_and_grad`, with the terms of `loss_and_terms`."""
        theta = np.asarray(theta)
        params, x, noise = self._arguments(theta, x, noise)
        grad = aligned_empty(theta.size, theta.dtype) if out is None else out
        if grad.shape != theta.shape:
            raise ValueError(f"out must have theta's shape {theta.shape}, got {grad.shape}")
        if grad.dtype != theta.dtype:
            raise TypeError(f"out must have theta's dtype {theta.dtype}, got {grad.dtype}")
        grads = Gradients(self.layout, grad)
        loss, terms, cache = self.forward(params, x, noise)
        self.backward(params, grads, cache)
        grads.zero_untouched()
        return loss, grad, terms

    def _arguments(self, theta: Array, x: Array, noise: Array) -> tuple[Params, Array, Array]:
        """Views of theta, and x and noise in theta's (real) dtype, all of shapes that fit."""
        theta, noise = np.asarray(theta), np.asarray(noise)
        if theta.dtype.kind not in "fc":
            raise TypeError(f"theta must be an array of floats, got {theta.dtype}")
        params, real = self.layout.views(theta), theta.real.dtype
        x = as_matrix("x", x, self.data_dim, "(N, D)")
        expected = (len(x), self.noise_dim)
        if noise.shape != expected:
            raise ValueError(f"noise must have shape (N, L) = {expected}, got {noise.shape}")
        return params, x.astype(real, copy=False), noise.astype(real, copy=False)

    # The fitted model, at its current theta.

    def fit(
        self,
        x: Array,
        epochs: int = 50,
        batch_size: int = 128,
        optimizer: Optimizer | None = None,
        validation_data: Array | None = None,
        callbacks: Sequence[training.Callback] = (),
        transform: Callable[..., Array] | None = None,
        verbose: bool = True,
    ) -> training.History:
        """Minimise the loss over the rows of x (N, D); see `numpyvae.training.fit`."""
        return training.fit(
            self, x, epochs, batch_size, optimizer, validation_data, callbacks, transform, verbose
        )

    def decode(self, z: Array) -> Array:
        """E[x|z], the means of p(x|z): z (N, L) -> (N, D)."""
        z = as_matrix("z", z, self.latent_dim, "(N, L)")
        check_finite("z", z)
        params = self.layout.views(self.theta)
        return self._by_chunks(
            z, lambda z: self.likelihood.mean(self.decoder.forward(params, z)[0])
        )

    def check_data(self, x: Array) -> Array:
        """x (N, D) as an array, once it is known to be data that this model can have.

        Raises ValueError (TypeError for what holds no numbers) that names the first entry which is
        NaN, infinite, too large for the model's dtype, or outside the likelihood's support.
        """
        x = as_matrix("x", x, self.data_dim, "(N, D)")
        for start in range(0, len(x), CHUNK):
            chunk = x[start : start + CHUNK]
            self.likelihood.check(chunk, first_row=start)
            with np.errstate(over="ignore"):
                fits = np.isfinite(chunk.astype(self.dtype, copy=False))
            if not fits.all():
                row, column = first_entry(~fits)
                problem = f"= {chunk[row, column]:g} is too large for {self.dtype}: scale the data"
                raise EntryError("x", start + row, column, problem)
            if self.standardization is not None:
                self.standardization.check_rounding(chunk, self.dtype, start)
        return x

    def largest_column(self, x: Array) -> tuple[int, str, str] | None:
        """The column of x (N, D) whose units are too large for networks, its size, and a remedy."""
        find = getattr(self.likelihood, "largest_column", None)
        return None if find is None else find(x)

    @one_blas_thread
    def _by_chunks(self, x: Array, function: Callable[[Array], Array]) -> Array:
        """`function` of the rows of x, so many at a time that memory stays small."""
        chunks = (x[start : start + CHUNK] for start in range(0, len(x), CHUNK))
        return np.concatenate([function(chunk.astype(self.dtype, copy=False)) for chunk in chunks])

    # On disk.

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {
            "data_dim": self.data_dim,
            "latent_dim": self.latent_dim,
            "hidden_dims": list(self.hidden_dims),
            "activation": self.activation,
            "likelihood": self.likelihood.config(),
            "seed": self.seed,
            "dtype": self.dtype.name,
        }

    @classmethod
    def arguments_from_config(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments that `config` described."""
        return {**config, "likelihood": likelihood_from_config(config["likelihood"])}

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one .npz file (no pickles), aside first and then moved into place.

        With it go history and optimiser, so that `fit` after `load` gives the same bits as a
        training that was never stopped. The moments of Adam make the file three times as large:
        `model.optimizer = None` before saving leaves them out.
        """
        write_npz(path, *self.contents())

    def contents(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `save` writes: arrays by name, and a description that JSON can hold."""
        arrays, state = training_state(self.history, self.optimizer)
        description = {
            "model": type(self).__name__,
            "arguments": self.config(),
            "epochs_trained": self.epochs_trained,
        }
        return {"theta": self.theta, **arrays}, {**description, **state}

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The model that `save` wrote, ready to use or to `fit` on.

        ValueError says what it found if the file holds no such model. Sizes are compared before
        anything is built, so a small file costs little, whatever it says.
        """
        with open_npz(path) as saved:
            model = cls._from_description(saved)  # it has no theta yet, so its size costs nothing
            theta = saved.read("theta", (model.layout.size,), model.dtype)
            finite = np.isfinite(theta)
            if not finite.all():
                entry = model.layout.name_of(*first_entry(~finite))
                raise ValueError(f"{saved.name}: expected finite parameters, {entry} is not")
            model.history, model.optimizer = load_training(saved, theta)
        model.theta = theta
        return model

    @classmethod
    def _from_description(cls, saved: Saved) -> Self:
        try:
            name = saved.description.get("model")
            if name != cls.__name__:
                raise ValueError(f"expected a {cls.__name__}, got {name!r}")
            model = cls(**cls.arguments_from_config(saved.description["arguments"]))
            epochs = saved.description["epochs_trained"]
            model.epochs_trained = positive_int("epochs_trained", epochs, least=0)
        except KeyError as error:
            raise ValueError(f"{saved.name}: expected {error} in its description") from error
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{saved.name}: {brief(error)}") from error
        return model
