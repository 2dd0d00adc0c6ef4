"""What is fast gives what is plain, and a training step leaves nothing behind."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.random import default_rng

from numpyvae import VAE, Adam, Bernoulli, Binomial, SemiSupervisedVAE, optimizers
from numpyvae.classes import cross_entropy, cross_entropy_backward, semi_supervised_loss
from numpyvae.gaussian import kl_to_standard_normal, reparameterize
from numpyvae.models.code_prior import CodePrior
from numpyvae.numerics import BLOCK, aligned_empty, keep_freed_memory
from numpyvae.parameters import Gradients, ParameterLayout, add_product
from numpyvae.threads import one_blas_thread, share


def plain_step(vae, x, noise):
    """Loss and gradient by whole arrays and textbook formulas, nothing in place, in float64."""
    p = {name: w.astype(np.float64) for name, w in vae.layout.views(vae.theta).items()}
    N, L, n = len(x), vae.latent_dim, vae.likelihood.total_count
    a0 = x @ p["encoder.0.W"] + p["encoder.0.b"]
    h0 = np.maximum(a0, 0)
    heads = h0 @ p["encoder.1.W"] + p["encoder.1.b"]
    mean, log_var = heads[:, :L], heads[:, L:]
    sigma = np.exp(log_var / 2)
    z = mean + sigma * noise
    a1 = z @ p["decoder.0.W"] + p["decoder.0.b"]
    h1 = np.maximum(a1, 0)
    logits = h1 @ p["decoder.1.W"] + p["decoder.1.b"]
    log_px = (x * logits - n * np.logaddexp(0, logits)).sum(axis=1)
    kl = 0.5 * (mean**2 + sigma**2 - 1 - log_var).sum(axis=1)
    g = {}
    dlogits = (n / (1 + np.exp(-logits)) - x) / N
    g["decoder.1.W"], g["decoder.1.b"] = h1.T @ dlogits, dlogits.sum(axis=0)
    da1 = (dlogits @ p["decoder.1.W"].T) * (a1 > 0)
    g["decoder.0.W"], g["decoder.0.b"] = z.T @ da1, da1.sum(axis=0)
    dz = da1 @ p["decoder.0.W"].T
    dmean = dz + vae.beta * mean / N
    dlog_var = dz * noise * sigma / 2 + vae.beta * (sigma**2 - 1) / (2 * N)
    dheads = np.concatenate([dmean, dlog_var], axis=1)
    g["encoder.1.W"], g["encoder.1.b"] = h0.T @ dheads, dheads.sum(axis=0)
    da0 = (dheads @ p["encoder.1.W"].T) * (a0 > 0)
    g["encoder.0.W"], g["encoder.0.b"] = x.T @ da0, da0.sum(axis=0)
    grad = np.concatenate([g[name].ravel() for name in vae.layout.shapes])
    return (vae.beta * kl - log_px).mean(), grad


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("n", [1, 20, 400])
@pytest.mark.parametrize("likelihood", [Bernoulli(), Binomial(16)], ids=repr)
def test_a_step_is_the_plain_one_to_rounding(dtype, tolerance, n, likelihood):
    """400 x 784 logits are five blocks. The plain step is in float64, where rounding is nothing."""
    vae = VAE(784, 20, (40,), likelihood=likelihood, beta=0.7, dtype=dtype, seed=3)
    rng = np.random.default_rng(n)
    x = rng.integers(0, likelihood.total_count, (n, 784), endpoint=True).astype(dtype)
    noise = vae.draw_noise(rng, n)
    assert n < 400 or x.size > 4 * BLOCK
    constant = 0.0
    if likelihood.total_count > 1:  # log C(16, x), which the plain step leaves out
        constant = likelihood.log_prob({}, x.astype(float), np.zeros((n, 784)))[0].mean()
        constant += 784 * likelihood.total_count * np.log(2)
    loss, grad = vae.loss_and_grad(vae.theta, x, noise)
    plain_loss, plain_grad = plain_step(vae, x.astype(np.float64), noise.astype(np.float64))
    assert float(loss) + constant == pytest.approx(plain_loss, rel=tolerance)
    np.testing.assert_allclose(grad, plain_grad, rtol=0, atol=tolerance * np.abs(plain_grad).max())


def test_blocks_change_nothing_but_rounding():
    """Rows of one block, and of many, come out the same whatever stands beside them."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (300, 784)).astype(np.float64)
    logits = 3 * rng.standard_normal((300, 784))
    together, (_, mean) = Bernoulli().log_prob({}, x, logits)
    for i in (0, 82, 83, 84, 299):
        alone, (_, own_mean) = Bernoulli().log_prob({}, x[i : i + 1], logits[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-14)
        np.testing.assert_array_equal(mean[i], own_mean[0])


def test_a_first_contribution_written_in_place_is_a_sum():
    """`Gradients` skips the zeros of what is written first; a plain dict of zeros does not."""
    rng = np.random.default_rng(0)
    layout = ParameterLayout({"a": (3, 4), "b": (4,)})
    a, b = rng.standard_normal((3, 5)), rng.standard_normal((5, 4))
    vector = np.full(layout.size, np.nan)
    fast, plain = Gradients(layout, vector), {"a": np.zeros((3, 4)), "b": np.zeros(4)}
    for grads in (fast, plain):
        add_product(grads, "a", a, b)
        add_product(grads, "a", 2 * a, b)
    fast.zero_untouched()
    np.testing.assert_allclose(fast["a"], plain["a"], rtol=1e-15)
    np.testing.assert_array_equal(fast["b"], 0.0)


def test_m2_decodes_what_matters_and_loses_nothing(monkeypatch):
    """Every class of every example, one class at a time, gives the same loss."""
    model, rng = SemiSupervisedVAE(9, 2, 3, (6,), alpha=0.7, dtype=np.float64), default_rng(0)
    x, y = rng.integers(0, 2, (5, 9)).astype(float), np.array([2, -1, 0, -1, 1])
    noise, params, decoded = model.draw_noise(rng, 5), model.params, []
    costs = np.empty((5, 3))
    for k in range(3):
        each = np.full(5, k)
        mean, log_var = model.posterior(params, (x, each))
        z, _ = reparameterize(mean, log_var, noise[:, k])
        output, _ = model.decoder.forward(params, (z, each))
        costs[:, k] = kl_to_standard_normal(mean, log_var)[0] + np.log(3)
        costs[:, k] -= model.likelihood.log_prob(params, x, output)[0]
    logits, _ = model.classifier.forward(params, x)
    plain, _ = semi_supervised_loss(costs, logits, y, 0.7)
    forward = model.decoder.forward
    monkeypatch.setattr(
        model.decoder, "forward", lambda p, code: decoded.append(len(code[0])) or forward(p, code)
    )
    assert model.loss(model.theta, (x, y), noise) == pytest.approx(plain, rel=1e-13)
    assert decoded == [3 + 2 * 3]


@pytest.mark.parametrize("n_positions", [1, 4])
def test_the_code_prior_is_a_cross_entropy_of_each_code(n_positions):
    """Row by row, as a table of logits is written down; the prior works on the table instead."""
    M, K, rng = n_positions, 5, np.random.default_rng(0)
    prior, index, dlog_prob = CodePrior(M, K), rng.integers(0, K, (7, M)), rng.standard_normal(7)
    params = {name: rng.standard_normal(shape) for name, shape in prior.shapes.items()}
    grads, plain = ({name: np.zeros(s) for name, s in prior.shapes.items()} for _ in range(2))
    log_prob = np.zeros(7)
    for n in range(7):
        for m in range(M):
            at = ("prior.next", (m - 1, index[n, m - 1])) if m else ("prior.first", ())
            nats, cache = cross_entropy(params[at[0]][at[1]][None], index[n, m : m + 1])
            log_prob[n] -= nats[0]
            plain[at[0]][at[1]] += cross_entropy_backward(-dlog_prob[n : n + 1], cache)[0][0]
    value, cache = prior.log_prob(params, index)
    prior.log_prob_backward(grads, dlog_prob, cache)
    np.testing.assert_allclose(value, log_prob, rtol=1e-13)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, plain[name], atol=1e-13)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_a_copied_model_has_views_of_its_own_theta(copied):
    """Views are made once for an array; those of a copy must not be copies of these."""
    vae = VAE(5, 2, (4,))
    vae.fit(np.eye(5, dtype=np.float32), 1, verbose=False)
    before = vae.theta.copy()
    other = copied(vae)
    other.theta[...] = 0.5
    assert all((view == 0.5).all() for view in other.params.values())
    other.fit(np.eye(5, dtype=np.float32), 1, verbose=False)
    assert (other.theta != 0.5).any()
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in vae.params.values()]), before)


@pytest.mark.parametrize("threads", [1, 2])
def test_adam_in_blocks_is_adam(monkeypatch, threads):
    """Over several blocks and 50 steps, against the formulas as they are published."""
    monkeypatch.setattr(optimizers, "BLOCK", 1_000)
    monkeypatch.setattr(optimizers, "_share_parts", share)
    monkeypatch.setattr(one_blas_thread, "threads", threads)
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(3_217)
    plain, m, v = theta.copy(), 0.0, 0.0
    adam = Adam(0.01)
    for t in range(1, 51):
        grad = rng.standard_normal(theta.size) * 10.0 ** rng.integers(-6, 3)
        adam.step(theta, grad)
        m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        plain -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
    np.testing.assert_allclose(theta, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 300])
def test_a_step_leaves_nothing_behind(n):
    """Memory in use does not grow with the number of steps, and every step's peak is the same."""
    vae, adam, rng = VAE(200, 5, (50,)), Adam(), np.random.default_rng(0)
    x = rng.integers(0, 2, (n, 200)).astype(np.float32)
    grad = np.empty_like(vae.theta)

    def steps(k):
        for _ in range(k):
            vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, n), out=grad)
            adam.step(vae.theta, grad)

    steps(3)  # the moments are made at the first
    tracemalloc.start()
    try:
        steps(500)  # until Python's own small reserves are full
        before, _ = tracemalloc.get_traced_memory()
        peaks = []
        for k in (1, 10, 500):
            tracemalloc.reset_peak()
            steps(k)
            peaks.append(tracemalloc.get_traced_memory()[1])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 8_000  # one float kept from each step would be 12,000
    assert max(peaks) - min(peaks) < 8_000
    assert max(peaks) < 12 * x.nbytes + vae.theta.nbytes + 500_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("n", [0, 1, 7, 100_003])
def test_aligned_vectors_begin_at_a_line_of_the_cache(n, dtype):
    for _ in range(5):
        vector = aligned_empty(n, dtype)
        assert vector.shape == (n,)
        assert vector.dtype == dtype
        assert n == 0 or vector.ctypes.data % 64 == 0
        vector[...] = 1
    vae = VAE(7, 2, (5,))
    assert vae.theta.ctypes.data % 64 == 0
    _, grad = vae.loss_and_grad(vae.theta, np.zeros((3, 7)), np.zeros((3, 2)))
    assert grad.ctypes.data % 64 == 0


def test_the_memory_that_is_kept_is_never_touched():
    keep_freed_memory.__wrapped__()
    tracemalloc.start()
    try:
        keep_freed_memory.__wrapped__()
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 10_000
