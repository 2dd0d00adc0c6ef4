"""Every pair of forward and backward in the package, proven numerically.

`primitives` lists the pairs; `numpyvae check` prints the table, and the tests use other shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpyvae.cholesky import (
    cholesky_heads,
    cholesky_heads_backward,
    cholesky_kl,
    cholesky_kl_backward,
    cholesky_sample,
    cholesky_sample_backward,
)
from numpyvae.classes import (
    cross_entropy,
    cross_entropy_backward,
    marginal_bound,
    marginal_bound_backward,
    semi_supervised_loss,
    semi_supervised_loss_backward,
)
from numpyvae.gaussian import (
    gaussian_log_prob,
    gaussian_log_prob_backward,
    kl_between,
    kl_between_backward,
    kl_per_dimension,
    kl_per_dimension_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    log_prob_by_noise,
    log_prob_by_noise_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.gradient_check import central_difference, complex_step
from numpyvae.layers import (
    ACTIVATIONS,
    Condition,
    Dense,
    Layer,
    Sequential,
    Tanh,
    TiedDense,
    mlp,
)
from numpyvae.likelihoods import EXAMPLES, Likelihood, StructuredGaussian
from numpyvae.models import MODELS, Model
from numpyvae.models.model import Sizes
from numpyvae.numerics import Array
from numpyvae.objectives import (
    free_bits,
    free_bits_backward,
    iw_bound,
    iw_bound_backward,
    negative_elbo,
    negative_elbo_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
    ridge,
    ridge_backward,
)
from numpyvae.parameters import ParameterLayout
from numpyvae.priors import (
    GaussianMixture,
    Prior,
    StandardNormal,
    VampPrior,
    gaussian_mixture_log_prob,
    gaussian_mixture_log_prob_backward,
)
from numpyvae.quantization import hold, quantize, quantize_backward
from numpyvae.standardization import Standardization
from numpyvae.threads import one_blas_thread

__all__ = ["Proof", "Sizes", "models", "primitives", "prove", "prove_all", "table"]

COMPLEX_STEP_TOLERANCE = 1e-12
CENTRAL_DIFFERENCE_TOLERANCE = 1e-7


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
    from numpyvae.convolution import Conv2d, ConvTranspose2d  # not needed by dense networks

    N, D, H, L = sizes or Sizes()
    normal = rng.standard_normal
    n_off = L * (L - 1) // 2
    noise, penalties, labels = normal((N, L)), rng.random(L), rng.integers(3, size=N)
    dense, units = Dense("encoder.0", D, L), Standardization(normal(D), 0.5 + rng.random(D))
    layers: list[tuple[str, Layer, int]] = [
        ("Dense", dense, D),
        *((activation.__name__, activation(), H) for activation in ACTIVATIONS.values()),
        ("Sequential", Sequential([units, *mlp("mlp", (D, H, H + 1, L), "tanh").layers]), D),
        ("Condition", Labelled(Condition("encoder.0", D, L, 3, before=units), labels), D),
        ("Condition, every class", Labelled(Condition("encoder.0", D, L, 3), None), D),
        ("Conv2d", Conv2d("encoder.0", (2, 5, 4), L, (3, 2), (2, 1), 1), 40),
        ("ConvTranspose2d", ConvTranspose2d("decoder.0", (2, 5, 4), L, (3, 2), (2, 1), 1), 15 * L),
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
        ("kl_per_dimension", kl_per_dimension, kl_per_dimension_backward, [(N, L)] * 2),
        ("free_bits", lambda kl: free_bits(kl, 0.1), free_bits_backward, [(N, L)]),
        ("kl_between", kl_between, kl_between_backward, [(N, L)] * 4),
        (
            "cross_entropy",
            lambda logits: cross_entropy(logits, labels),
            cross_entropy_backward,
            [(N, 3)],
        ),
        ("marginal_bound", marginal_bound, marginal_bound_backward, [(N, 3)] * 2),
        (
            "semi_supervised_loss",
            lambda costs, logits: semi_supervised_loss(costs, logits, labels - 1, 0.7),
            semi_supervised_loss_backward,
            [(N, 3)] * 2,
        ),
        ("gaussian_log_prob", gaussian_log_prob, gaussian_log_prob_backward, [(N, D)] * 3),
        (
            "negative_elbo",
            lambda log_px, kl: negative_elbo(log_px, kl, 0.7),
            negative_elbo_backward,
            [(N,)] * 2,
        ),
        ("reconstruction_loss", reconstruction_loss, reconstruction_loss_backward, [(N,)]),
        ("iw_bound", iw_bound, iw_bound_backward, [(N, L + 1)]),
        (
            "log_prob_by_noise",
            lambda log_var: log_prob_by_noise(log_var, noise),
            log_prob_by_noise_backward,
            [(N, L)],
        ),
        (
            "cholesky_heads",
            lambda output: (np.concatenate(cholesky_heads(output), axis=1), None),
            lambda dvalue, _: (cholesky_heads_backward(*cholesky_heads(dvalue)),),
            [(N, 2 * L + n_off)],
        ),
        (
            "cholesky_sample",
            lambda mean, log_var, off: cholesky_sample(mean, log_var, off, noise),
            cholesky_sample_backward,
            [(N, L), (N, L), (N, n_off)],
        ),
        ("cholesky_kl", cholesky_kl, cholesky_kl_backward, [(N, L), (N, L), (N, n_off)]),
        *(
            (
                f"gaussian_mixture_log_prob({K})",
                gaussian_mixture_log_prob,
                gaussian_mixture_log_prob_backward,
                [(N, L), (K,), (K, L), (K, L)],
            )
            for K in (4, 17)
        ),
        ("ridge", lambda weights: ridge(weights, penalties), ridge_backward, [(L, D)]),
    ]
    return [
        *(_layer_pair(name, layer, normal((N, n_in)), rng) for name, layer, n_in in layers),
        *(_pair(name, f, g, [normal(s) for s in shapes], rng) for name, f, g, shapes in functions),
        _quantize_pair(normal((N, 2, L)), normal((H, L)), rng),
        *(_likelihood_pair(p, N, D, rng) for p in EXAMPLES),
        *(_prior_pair(p, (N, D, H, L), rng) for p in PRIORS),
    ]


PRIORS: tuple[Prior, ...] = (StandardNormal(), GaussianMixture(4), VampPrior(4))
LIKELIHOODS = tuple(p for p in EXAMPLES if not isinstance(p, StructuredGaussian))
"""The likelihoods with independent dimensions, which `exact` also has."""


def models(rng: np.random.Generator, sizes: Sizes | None = None) -> list[Pair]:
    """The examples of every model of the package, at random parameters (biases too) and data.

    A model with several losses has a row for each, by the parameters that descend it.
    """
    sizes = sizes or Sizes()
    ours = [kind for kind in MODELS.values() if kind.__module__.startswith("numpyvae.")]
    examples = [model for kind in ours for model in kind.examples(sizes)]
    return [pair for model in examples for pair in model_pairs(model, sizes.n, rng)]


def model_pairs(model: Model, n: int, rng: np.random.Generator) -> list[Pair]:
    """A model's loss and gradient on n examples; `held` values are those at the point."""
    theta = 0.3 * rng.standard_normal(model.layout.size)  # with more, exp(log_var) hides the rest
    data, noise = model.draw_data(rng, n), model.draw_noise(rng, n)
    held = model.held(model.layout.views(theta), data, noise)
    players = model.players or {"loss": ("",)}
    return [
        _player_pair(model, player, tuple(prefixes), theta, data, noise, held)
        for player, prefixes in players.items()
    ]


def _player_pair(
    model: Model,
    player: str,
    prefixes: tuple[str, ...],
    theta: Array,
    data: Any,
    noise: Any,
    held: Any,
) -> Pair:
    """One loss as a function of the parameters that descend it, with all others fixed."""
    mine = [where for name, where in model.layout.slices.items() if name.startswith(prefixes)]
    index = np.concatenate([np.arange(where.start, where.stop) for where in mine])

    def whole(part: Array) -> Array:
        full = theta.astype(part.dtype)
        full[index] = part
        return full

    def f(part: Array) -> Any:
        return model.losses(whole(part), data, noise, held)[player]

    def grad(part: Array) -> Array:
        return model.loss_and_grad(whole(part), data, noise)[1][index]

    name = repr(model) if not model.players else f"{model!r}, {player}"
    return Pair(name, f, grad, theta[index])


def draw_data(likelihood: Likelihood, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Random data in a likelihood's support, (N, D)."""
    n, data_dim = shape
    params = {name: np.zeros(shape) for name, shape in likelihood.shapes.items()}
    output = rng.standard_normal((n, likelihood.output_dim(data_dim)))
    return likelihood.sample(params, output, rng)


def _pair(
    name: str,
    f: Callable[..., tuple[Any, Any]],
    f_backward: Callable[[Any, Any], Sequence[Array]],
    inputs: Sequence[Array],
    rng: np.random.Generator,
) -> Pair:
    """sum(weight * f(inputs)), with a random weight, as a function of all inputs in one vector.

    Its gradient is f_backward(weight, cache), so it checks the whole vector-Jacobian product.
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


class Labelled:
    """A layer of (x, labels) as a layer of x, with these labels."""

    def __init__(self, layer: Condition, labels: Array | None) -> None:
        self.layer, self.labels, self.shapes = layer, labels, layer.shapes

    def forward(self, params: Any, x: Array) -> tuple[Array, Any]:
        return self.layer.forward(params, (x, self.labels))

    def backward(self, params: Any, grads: Any, dy: Array, cache: Any) -> Array:
        return self.layer.backward(params, grads, dy, cache)

    def backward_input(self, params: Any, dy: Array, cache: Any) -> Array:
        return self.layer.backward_input(params, dy, cache)


def _quantize_pair(z_e: Array, codebook: Array, rng: np.random.Generator) -> Pair:
    """The surrogate of `quantize`, with its constants held at this point."""
    held, shape = hold(z_e, codebook), z_e.shape

    def f(z_e: Array, codebook: Array) -> tuple[Array, Any]:
        (z, *costs), cache = quantize(z_e, codebook, held)
        return np.column_stack((z.reshape(len(z), -1), *costs)), cache

    def f_backward(dvalue: Array, cache: Any) -> Sequence[Array]:
        dz, dcosts = dvalue[:, :-2].reshape(shape), dvalue[:, -2:]
        return quantize_backward((dz, dcosts[:, 0], dcosts[:, 1]), cache)

    return _pair("quantize, its surrogate", f, f_backward, [z_e, codebook], rng)


def _prior_pair(prior: Prior, sizes: tuple[int, ...], rng: np.random.Generator) -> Pair:
    """Log p(z) as a function of z, the prior's parameters, and those of its encoder, if any."""
    N, D, H, L = sizes
    encoder = mlp("encoder", (D, H, 2 * L), "tanh")
    prior = prior.attach(D, L, EXAMPLES[1], encoder)
    shapes = {**prior.shapes, **(encoder.shapes if isinstance(prior, VampPrior) else {})}

    def f(z: Array, *values: Array) -> tuple[Array, Any]:
        params = dict(zip(shapes, values, strict=True))
        log_prob, cache = prior.log_prob(params, z)
        return log_prob, (params, cache)

    def f_backward(dlog_prob: Array, cache: Any) -> Sequence[Array]:
        params, prior_cache = cache
        grads = {name: np.zeros(shape) for name, shape in shapes.items()}
        dz = prior.log_prob_backward(params, grads, dlog_prob, prior_cache)
        return dz, *grads.values()

    values = [rng.standard_normal(shape) for shape in shapes.values()]
    return _pair(repr(prior), f, f_backward, [rng.standard_normal((N, L)), *values], rng)


def _likelihood_pair(p: Likelihood, n: int, data_dim: int, rng: np.random.Generator) -> Pair:
    """Log p(x|z) as a function of the decoder's output and the likelihood's parameters."""
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
