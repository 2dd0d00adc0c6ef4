"""Every pair of forward and backward in the package, proven numerically.

`primitives` lists them once; `numpyvae check` prints the table and the tests draw other shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numpyvae.corruptions import GaussianNoise, Masking, SaltAndPepper
from numpyvae.gaussian import (
    gaussian_log_prob,
    gaussian_log_prob_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.gradient_check import central_difference, complex_step
from numpyvae.layers import ACTIVATIONS, Dense, Layer, Sequential, Tanh, TiedDense, mlp
from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, Likelihood
from numpyvae.models.autoencoder import Autoencoder, DenoisingAutoencoder, NoisyAutoencoder
from numpyvae.models.encoder_decoder import EncoderDecoder
from numpyvae.models.vae import VAE
from numpyvae.numerics import Array
from numpyvae.objectives import (
    negative_elbo,
    negative_elbo_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
    ridge,
    ridge_backward,
)
from numpyvae.parameters import ParameterLayout
from numpyvae.standardization import Standardization
from numpyvae.threads import one_blas_thread

__all__ = ["Proof", "Sizes", "models", "primitives", "prove", "prove_all", "table"]

COMPLEX_STEP_TOLERANCE = 1e-12
CENTRAL_DIFFERENCE_TOLERANCE = 1e-7


class Sizes(NamedTuple):
    """Sizes at which mistakes do not coincide: all different."""

    n: int = 5
    data_dim: int = 7
    hidden_dim: int = 6
    latent_dim: int = 3


class Pair(NamedTuple):
    """A scalar function of a flat vector, its hand-written gradient, and a generic point."""

    name: str
    f: Callable[[Array], Any]
    grad: Callable[[Array], Array]
    theta: Array


class Proof(NamedTuple):
    """How far a hand-written gradient is from two numerical ones, relative to its largest entry."""

    name: str
    n_entries: int
    complex_step_error: float
    central_difference_error: float

    @property
    def passed(self) -> bool:
        """Whether both are within their tolerances (a NaN is not)."""
        return (
            self.complex_step_error <= COMPLEX_STEP_TOLERANCE
            and self.central_difference_error <= CENTRAL_DIFFERENCE_TOLERANCE
        )


def prove(pair: Pair) -> Proof:
    """Compare a pair's gradient with complex step and central difference at its point."""
    yours = pair.grad(pair.theta)
    errors = []
    for numeric in (complex_step(pair.f, pair.theta), central_difference(pair.f, pair.theta)):
        scale = max(float(np.abs(numeric).max()), 1e-300)
        errors.append(float(np.abs(yours - numeric).max()) / scale)
    return Proof(pair.name, len(pair.theta), errors[0], errors[1])


@one_blas_thread
def prove_all(rng: np.random.Generator) -> list[Proof]:
    """A proof for every primitive and for whole models, at generic points drawn from `rng`."""
    return [prove(pair) for pair in (*primitives(rng), *models(rng))]


def table(proofs: list[Proof]) -> str:
    """The proofs as text: one row each, and a sentence that sums them up."""
    width = max(len(proof.name) for proof in proofs)
    lines = [f"{'':<{width}}  {'entries':>7}  {'complex step':>12}  {'difference':>10}  verdict"]
    for proof in proofs:
        lines.append(
            f"{proof.name:<{width}}  {proof.n_entries:>7}  {proof.complex_step_error:>12.1e}  "
            f"{proof.central_difference_error:>10.1e}  {'pass' if proof.passed else 'FAIL'}"
        )
    n_failed = sum(not proof.passed for proof in proofs)
    lines.append(
        f"\n{len(proofs) - n_failed} of {len(proofs)} gradients proven: worst error relative to "
        f"the largest entry,\nat most {COMPLEX_STEP_TOLERANCE:.0e} by complex step and "
        f"{CENTRAL_DIFFERENCE_TOLERANCE:.0e} by central difference, in float64."
    )
    return "\n".join(lines)


def primitives(rng: np.random.Generator, sizes: Sizes | None = None) -> list[Pair]:
    """Every f and f_backward of the package, at values drawn from `rng`."""
    N, D, H, L = sizes or Sizes()
    normal = rng.standard_normal
    noise, penalties = normal((N, L)), rng.random(L)
    dense, units = Dense("encoder.0", D, L), Standardization(normal(D), 0.5 + rng.random(D))
    layers: list[tuple[str, Layer, int]] = [
        ("Dense", dense, D),
        *((activation.__name__, activation(), H) for activation in ACTIVATIONS.values()),
        ("Sequential", Sequential([units, *mlp("mlp", (D, H, H + 1, L), "tanh").layers]), D),
        ("TiedDense", Sequential([dense, Tanh(), TiedDense("decoder.0", dense)]), D),
    ]
    functions: list[tuple[str, Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = [
        (
            "mean_and_log_var",
            lambda output: (np.stack(mean_and_log_var(output)), None),
            lambda dvalue, _: (mean_and_log_var_backward(*dvalue),),
            [(N, 2 * L)],
        ),
        (
            "reparameterize",
            lambda mean, log_var: reparameterize(mean, log_var, noise),
            reparameterize_backward,
            [(N, L)] * 2,
        ),
        (
            "kl_to_standard_normal",
            kl_to_standard_normal,
            kl_to_standard_normal_backward,
            [(N, L)] * 2,
        ),
        ("gaussian_log_prob", gaussian_log_prob, gaussian_log_prob_backward, [(N, D)] * 3),
        (
            "negative_elbo",
            lambda log_px, kl: negative_elbo(log_px, kl, 0.7),
            negative_elbo_backward,
            [(N,)] * 2,
        ),
        ("reconstruction_loss", reconstruction_loss, reconstruction_loss_backward, [(N,)]),
        ("ridge", lambda weights: ridge(weights, penalties), ridge_backward, [(L, D)]),
    ]
    return [
        *(_layer_pair(name, layer, normal((N, n_in)), rng) for name, layer, n_in in layers),
        *(_pair(name, f, g, [normal(s) for s in shapes], rng) for name, f, g, shapes in functions),
        *(_likelihood_pair(p, N, D, rng) for p in LIKELIHOODS),
    ]


LIKELIHOODS: tuple[Likelihood, ...] = (
    Bernoulli(),
    Binomial(16),
    Gaussian(0.5),
    Gaussian("shared"),
    Gaussian("per_dimension"),
)


def models(rng: np.random.Generator, sizes: Sizes | None = None) -> list[Pair]:
    """Whole models. The VAE with every likelihood, every activation, several depths, beta not 1."""
    N, D, H, L = sizes or Sizes()
    bernoulli, binomial, squared = LIKELIHOODS[:3]
    cases: list[tuple[str, tuple[int, ...], Likelihood]] = [
        *(("tanh", (H,), p) for p in LIKELIHOODS),
        *((activation, (H + 2, H), binomial) for activation in ACTIVATIONS),
        *(("relu", depth, bernoulli) for depth in ((), (H,), (H + 2, H, H + 1))),
    ]
    vaes = [VAE(D, L, h, a, p, beta=0.7, dtype=np.float64) for a, h, p in cases]
    common: dict[str, Any] = {"hidden_dims": (H + 2, H), "activation": "tanh", "dtype": np.float64}
    corruptions = GaussianNoise(0.3), Masking(0.4), SaltAndPepper(0.4)
    family: list[EncoderDecoder] = [
        VAE(D, L, (H,), "tanh", binomial, beta=np.inf, dtype=np.float64),
        *(Autoencoder(D, L, likelihood=p, **common) for p in LIKELIHOODS),
        Autoencoder(D, L, tied=True, **common),
        Autoencoder(D, L, (), penalties=rng.random(L).tolist(), dtype=np.float64),
        *(DenoisingAutoencoder(D, L, corruption=c, **common) for c in corruptions),
        NoisyAutoencoder(D, L, code_noise=0.3, likelihood=squared, **common),
    ]
    return [_model_pair(model, N, rng) for model in (*vaes, *family)]


def _model_pair(model: EncoderDecoder, n: int, rng: np.random.Generator) -> Pair:
    """A model's loss and gradient, at random parameters (biases too) and random data."""
    theta = 0.3 * rng.standard_normal(model.layout.size)  # more, and exp(log_var) drowns the rest
    x = draw_data(model.likelihood, (n, model.data_dim), rng)
    noise = model.draw_noise(rng, n)
    f = partial(model.loss, x=x, noise=noise)
    return Pair(repr(model), f, partial(_gradient_of, model, x, noise), theta)


def draw_data(likelihood: Likelihood, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Data in a likelihood's support: coins, counts or normal numbers."""
    if isinstance(likelihood, Binomial):
        return rng.integers(0, likelihood.total_count, shape, endpoint=True).astype(np.float64)
    return rng.standard_normal(shape)


def _gradient_of(model: EncoderDecoder, x: Array, noise: Array, theta: Array) -> Array:
    return model.loss_and_grad(theta, x, noise)[1]


def _pair(
    name: str,
    f: Callable[..., tuple[Any, Any]],
    f_backward: Callable[[Any, Any], Sequence[Array]],
    inputs: Sequence[Array],
    rng: np.random.Generator,
) -> Pair:
    """sum(weight * f(inputs)), with a random weight, as a function of all inputs in one vector.

    Its gradient is f_backward(weight, cache): one number carries the whole vector-Jacobian product.
    """
    layout = ParameterLayout({str(i): array.shape for i, array in enumerate(inputs)})
    weight = rng.standard_normal(np.shape(f(*inputs)[0]))

    def scalar(theta: Array) -> Any:
        return (weight * f(*layout.views(theta).values())[0]).sum()

    def grad(theta: Array) -> Array:
        _, cache = f(*layout.views(theta).values())
        return np.concatenate([d.ravel() for d in f_backward(weight, cache)])

    return Pair(name, scalar, grad, np.concatenate([array.ravel() for array in inputs]))


def _layer_pair(name: str, layer: Layer, x: Array, rng: np.random.Generator) -> Pair:
    """A layer as a function of its input and its parameters, biases included."""

    def f(x: Array, *values: Array) -> tuple[Array, Any]:
        params = dict(zip(layer.shapes, values, strict=True))
        y, cache = layer.forward(params, x)
        return y, (params, cache)

    def f_backward(dy: Array, cache: Any) -> Sequence[Array]:
        params, layer_cache = cache
        grads = {name: np.zeros_like(value) for name, value in params.items()}
        dx = layer.backward(params, grads, dy, layer_cache)
        return dx, *grads.values()

    values = [rng.standard_normal(shape) for shape in layer.shapes.values()]
    return _pair(name, f, f_backward, [x, *values], rng)


def _likelihood_pair(p: Likelihood, n: int, data_dim: int, rng: np.random.Generator) -> Pair:
    """Log p(x|z) as a function of the decoder's output and the likelihood's own parameters."""
    x = draw_data(p, (n, data_dim), rng)

    def f(output: Array, *values: Array) -> tuple[Array, Any]:
        return p.log_prob(dict(zip(p.shapes, values, strict=True)), x, output)

    def f_backward(dlog_prob: Array, cache: Any) -> Sequence[Array]:
        grads = {name: np.zeros(shape) for name, shape in p.shapes.items()}
        doutput = p.log_prob_backward({}, grads, dlog_prob, cache)
        return doutput, *grads.values()

    output = rng.standard_normal((n, p.output_dim(data_dim)))
    values = [rng.standard_normal(shape) for shape in p.shapes.values()]
    return _pair(repr(p), f, f_backward, [output, *values], rng)
