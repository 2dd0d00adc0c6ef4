"""Every hand-written gradient against complex step and central difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpyvae import VAE, Bernoulli, proofs
from numpyvae.gradient_check import complex_step

N_PRIMITIVES = len(proofs.primitives(np.random.default_rng(0)))
N_MODELS = len(proofs.models(np.random.default_rng(0)))

SIZES = st.builds(proofs.Sizes, *[st.integers(1, 6)] * 4)
SEEDS = st.integers(0, 2**32 - 1)


def assert_proven(pair):
    proof = proofs.prove(pair)
    assert proof.complex_step_error <= 1e-12, proof
    assert proof.central_difference_error <= 1e-7, proof


@given(sizes=SIZES, seed=SEEDS, which=st.integers(0, N_PRIMITIVES - 1))
def test_every_primitive_at_drawn_shapes_and_values(sizes, seed, which):
    assert_proven(proofs.primitives(np.random.default_rng(seed), sizes)[which])


@given(sizes=SIZES, seed=SEEDS, which=st.integers(0, N_MODELS - 1))
def test_whole_models_at_drawn_shapes_and_values(sizes, seed, which):
    assert_proven(proofs.models(np.random.default_rng(seed), sizes)[which])


@pytest.fixture(scope="module")
def pairs():
    """Those of `numpyvae check`, at sizes that are quicker to prove; test_cli.py proves its own."""
    rng, sizes = np.random.default_rng(0), proofs.Sizes(6, 5, 4, 3)
    return [*proofs.primitives(rng, sizes), *proofs.models(rng, sizes)]


@pytest.mark.parametrize("which", range(N_PRIMITIVES + N_MODELS))
def test_each_pair_at_a_generic_point(pairs, which):
    assert_proven(pairs[which])


def test_the_table_covers_every_public_backward():
    """A new f_backward cannot be forgotten: its name must stand in the table."""
    import numpyvae.cholesky
    import numpyvae.classes
    import numpyvae.convolution
    import numpyvae.gaussian
    import numpyvae.layers
    import numpyvae.likelihoods
    import numpyvae.objectives
    import numpyvae.priors
    import numpyvae.quantization

    names = {
        pair.name.partition("(")[0].partition(",")[0]
        for pair in proofs.primitives(np.random.default_rng(0))
    }
    for module in (
        numpyvae.cholesky,
        numpyvae.classes,
        numpyvae.gaussian,
        numpyvae.objectives,
        numpyvae.priors,
        numpyvae.quantization,
    ):
        backwards = [name for name in module.__all__ if name.endswith("_backward")]
        assert backwards
        assert {name.removesuffix("_backward") for name in backwards} <= names
    layers = {
        name
        for module in (numpyvae.layers, numpyvae.convolution)
        for name in module.__all__
        if hasattr(getattr(module, name), "backward")
    }
    assert layers - {"Activation", "Layer"} <= names
    assert {"Bernoulli", "Binomial", "Gaussian", "StructuredGaussian"} <= names


def test_a_wrong_gradient_is_not_proven():
    pair = proofs.models(np.random.default_rng(0))[0]
    for i in (0, len(pair.theta) - 1):  # one entry, one part in 1e9 of the largest

        def wrong(theta, i=i, right=pair.grad):
            grad = right(theta)
            grad[i] += 1e-9 * np.abs(grad).max()
            return grad

        assert not proofs.prove(pair._replace(grad=wrong)).passed
    assert not proofs.prove(pair._replace(grad=lambda theta: np.full_like(theta, np.nan))).passed


def test_a_network_used_twice_gets_the_sum_of_both_gradients(rng):
    """Layers hold no state: two forward passes, then two backward passes, in either order."""
    from numpyvae.layers import mlp
    from numpyvae.parameters import Gradients, ParameterLayout

    network = mlp("net", (4, 5, 3), "tanh")
    layout = ParameterLayout(network.shapes)
    theta = rng.standard_normal(layout.size)
    x1, x2 = rng.standard_normal((6, 4)), rng.standard_normal((2, 4))
    w1, w2 = rng.standard_normal((6, 3)), rng.standard_normal((2, 3))

    def f(theta):
        params = layout.views(theta)
        return (w1 * network.forward(params, x1)[0]).sum() + (
            w2 * network.forward(params, x2)[0]
        ).sum()

    params = layout.views(theta)
    _, cache1 = network.forward(params, x1)
    _, cache2 = network.forward(params, x2)
    grad = np.full(layout.size, np.nan)  # a dirty buffer
    grads = Gradients(layout, grad)
    network.backward(params, grads, w1, cache1)
    network.backward_params(params, grads, w2, cache2)
    np.testing.assert_allclose(grad, complex_step(f, theta), rtol=1e-12, atol=1e-13)


def test_the_gradient_buffer_is_overwritten_not_added_to(rng):
    vae = VAE(5, 2, (4,), likelihood=Bernoulli(), dtype=np.float64)
    x, noise = rng.integers(0, 2, (3, 5)), vae.draw_noise(rng, 3)
    fresh = vae.loss_and_grad(vae.theta, x, noise)[1]
    out = np.full_like(vae.theta, np.nan)
    _, grad = vae.loss_and_grad(vae.theta, x, noise, out=out)
    assert grad is out
    np.testing.assert_array_equal(grad, fresh)
    vae.loss_and_grad(vae.theta, x, noise, out=out)
    np.testing.assert_array_equal(out, fresh)


def test_nothing_that_comes_in_is_changed(rng):
    vae = VAE(5, 2, (4,), likelihood=Bernoulli(), dtype=np.float64)
    theta, x = vae.theta, rng.integers(0, 2, (3, 5)).astype(float)
    noise = vae.draw_noise(rng, 3)
    for array in (theta, x, noise):
        array.flags.writeable = False
    first = vae.loss_and_grad(theta, x, noise)
    second = vae.loss_and_grad(theta, x, noise)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_theta_decides_the_dtype(dtype, rng):
    for pair_vae in (VAE(5, 2, (4,), likelihood=p, dtype=dtype) for p in proofs.LIKELIHOODS):
        x = proofs.draw_data(pair_vae.likelihood, (3, 5), rng)  # float64 data
        loss, grad = pair_vae.loss_and_grad(pair_vae.theta, x, rng.standard_normal((3, 2)))
        assert loss.dtype == grad.dtype == dtype
        assert all(
            term.dtype == dtype
            for term in pair_vae.elbo_terms(pair_vae.theta, x, rng.standard_normal((3, 2)))
        )
        complex_loss = pair_vae.loss(pair_vae.theta.astype(complex), x, np.zeros((3, 2)))
        assert complex_loss.dtype == np.complex128
