"""The semi-supervised VAE: what it equals, what its sum over classes is, and planted mistakes."""

import math

import numpy as np
import pytest

from numpyvae import VAE, Adam, Binomial, ConditionalVAE, Gaussian, SemiSupervisedVAE, proofs
from numpyvae.classes import (
    cross_entropy,
    marginal_bound,
    marginal_bound_backward,
    one_hot,
    semi_supervised_loss,
)
from numpyvae.models import load, semi_supervised
from numpyvae.numerics import logsumexp

K, D, L, N = 3, 5, 2, 7


def generic(n_classes=K, alpha=0.7, **arguments):
    """A small model at a generic point."""
    arguments = {"likelihood": Binomial(4), **arguments}
    model = SemiSupervisedVAE(
        D, L, n_classes, (6,), "tanh", alpha=alpha, dtype=np.float64, **arguments
    )
    model.theta[:] = 0.4 * np.random.default_rng(1).standard_normal(model.layout.size)
    return model


def with_weights_of(model, other):
    for name, view in other.params.items():
        view[...] = model.params[name]
    return other


@pytest.fixture
def data(rng):
    return rng.integers(0, 5, (N, D)), np.array([0, -1, 2, 1, -1, -1, 2])


def test_one_class_is_the_vae(data, rng):
    model, x = generic(1), data[0]
    for network in ("encoder", "decoder"):
        model.params[f"{network}.0.W_y"][...] = 0.0
    vae = with_weights_of(model, VAE(D, L, (6,), "tanh", Binomial(4), dtype=np.float64))
    noise = model.draw_noise(rng, N)
    assert noise.shape == (N, 1, L)
    expected, vae_grad = vae.loss_and_grad(vae.theta, x, noise[:, 0])
    for y in (np.full(N, -1), np.zeros(N, int)):
        loss, grad = model.loss_and_grad(model.theta, (x, y), noise)
        assert loss == pytest.approx(expected, rel=1e-14)
        for name, view in vae.layout.views(vae_grad).items():
            np.testing.assert_allclose(model.layout.views(grad)[name], view, rtol=1e-11, atol=1e-14)


def test_all_labelled_and_no_classifier_is_the_conditional_vae_and_log_k(data, rng):
    model, x, y = generic(alpha=0.0), data[0], data[1] % K
    cvae = ConditionalVAE(D, L, K, (6,), "tanh", Binomial(4), dtype=np.float64)
    with_weights_of(model, cvae)
    noise = model.draw_noise(rng, N)
    loss, grad = model.loss_and_grad(model.theta, (x, y), noise)
    expected, cvae_grad = cvae.loss_and_grad(cvae.theta, (x, y), noise[np.arange(N), y])
    assert loss == pytest.approx(expected + math.log(K), rel=1e-14)
    grads = model.layout.views(grad)
    for name, view in cvae.layout.views(cvae_grad).items():
        np.testing.assert_allclose(grads[name], view, rtol=1e-10, atol=1e-14)
    assert not any(grads[name].any() for name in grads if name.startswith("classifier"))


def test_without_label_weights_the_sum_is_the_vae_and_a_kl_to_the_uniform_class(data, rng):
    """Every class costs the same then, so U = loss of the VAE + KL(q(y|x) || 1/K)."""
    model, x = generic(), data[0]
    for network in ("encoder", "decoder"):
        model.params[f"{network}.0.W_y"][...] = 0.0
    vae = with_weights_of(model, VAE(D, L, (6,), "tanh", Binomial(4), dtype=np.float64))
    noise = rng.standard_normal((N, 1, L))
    log_px, kl = vae.elbo_terms(vae.theta, x, noise[:, 0])
    q = model.class_probabilities(x)
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    expected = kl - log_px + (q * np.log(q * K)).sum(axis=1)
    found = model.loss_and_terms(model.theta, (x, np.full(N, -1)), np.repeat(noise, K, axis=1))[1]
    np.testing.assert_allclose(-found["elbo"], expected, rtol=1e-13)


def test_each_row_is_its_example_as_its_class(rng):
    """K = 2, N = 3, where a repeat in the wrong order shows: the costs one by one, by a CVAE."""
    model = generic(2)
    cvae = ConditionalVAE(D, L, 2, (6,), "tanh", Binomial(4), dtype=np.float64)
    with_weights_of(model, cvae)
    x, noise = rng.integers(0, 5, (3, D)), model.draw_noise(rng, 3)
    costs = np.empty((3, 2))
    for n in range(3):
        for k in range(2):
            one = x[n : n + 1], np.array([k])
            costs[n, k] = cvae.loss(cvae.theta, one, noise[n : n + 1, k]) + math.log(2)
    logits = model.classifier.forward(model.params, x.astype(float))[0]
    log_q = logits - logsumexp(logits, 1)[:, None]
    bound = (np.exp(log_q) * (costs + log_q)).sum(axis=1)
    y = np.array([1, -1, 0])
    loss = model.loss(model.theta, (x, y), noise)
    first = (costs[0, 1] + bound[1] + costs[2, 0]) / 3
    assert loss == pytest.approx(first - 0.7 * (log_q[0, 1] + log_q[2, 0]) / 2, rel=1e-13)


def exact_linear_model(rng):
    """Linear, L = 1, the exact posterior in the encoder; and log p(x|y) (N, K)."""
    variance = 0.6
    model = SemiSupervisedVAE(D, 1, K, (), likelihood=Gaussian(variance), dtype=np.float64)
    p = model.params
    p["decoder.0.W"][...], p["decoder.0.b"][...] = rng.normal(size=(1, D)), rng.normal(size=D)
    p["decoder.0.W_y"][...] = rng.normal(size=(K, D))
    w, centre = p["decoder.0.W"][0], p["decoder.0.b"] + p["decoder.0.W_y"]
    precision = 1 + w @ w / variance
    p["encoder.0.W"][...], p["encoder.0.b"][...] = 0.0, 0.0
    p["encoder.0.W"][:, 0] = w / variance / precision
    p["encoder.0.W_y"][:, 0] = -centre @ w / variance / precision
    p["encoder.0.W_y"][:, 1] = -math.log(precision)
    covariance = variance * np.eye(D) + np.outer(w, w)

    def log_p(x):
        r = x[:, None] - centre
        squared = (r * (r @ np.linalg.inv(covariance))).sum(axis=2)
        return -0.5 * (np.linalg.slogdet(2 * math.pi * covariance)[1] + squared)

    return model, log_p


def exact_bound(model, data):
    """The bound averaged over noise = +1 and -1, which is exact where all is linear and L = 1."""
    ends = (
        model.loss_and_terms(model.theta, data, np.full((len(data[0]), K, 1), end))[1]["elbo"]
        for end in (1.0, -1.0)
    )
    return sum(0.5 * elbo for elbo in ends)


def assert_bounds_the_exact_density(model, log_p, x):
    """-U <= log p(x), by exactly KL(q(y|x) || p(y|x)), and -S = log p(x, y)."""
    joint = log_p(x) - math.log(K)
    log_px = logsumexp(joint, 1)
    q = model.class_probabilities(x)
    gap = (q * (np.log(q) - joint + log_px[:, None])).sum(axis=1)
    assert (gap > 1e-3).all()
    unknown = exact_bound(model, (x, np.full(len(x), -1)))
    np.testing.assert_allclose(log_px - unknown, gap, rtol=1e-9)
    for k in range(K):
        np.testing.assert_allclose(exact_bound(model, (x, np.full(len(x), k))), joint[:, k])


def test_the_bound_against_the_sum_over_classes_in_closed_form(rng):
    model, log_p = exact_linear_model(rng)
    x = rng.normal(size=(10, D))
    assert_bounds_the_exact_density(model, log_p, x)
    joint = log_p(x) - math.log(K)
    np.testing.assert_allclose(model.log_likelihood(x, n_samples=1), logsumexp(joint, 1))
    y = np.array([0, 1, 2, -1, -1, 0, 1, 2, -1, 0])
    expected = np.where(y < 0, logsumexp(joint, 1), joint[np.arange(10), y])
    np.testing.assert_allclose(model.log_likelihood(x, y, 1), expected)
    noise = model.draw_noise(rng, 10)
    np.testing.assert_allclose(model.log_weight(model.params, (x, y), noise), expected)


def without_log_k(costs, logits, y, alpha):
    return semi_supervised_loss(costs - math.log(K), logits, y, alpha)


def entropy_of_the_wrong_sign(costs, logits, y, alpha):
    log_q = logits - logsumexp(logits, 1)[:, None]
    return semi_supervised_loss(costs - 2 * log_q, logits, y, alpha)


def without_entropy(costs, logits, y, alpha):
    log_q = logits - logsumexp(logits, 1)[:, None]
    return semi_supervised_loss(costs - (y < 0)[:, None] * log_q, logits, y, alpha)


@pytest.mark.parametrize(
    "mistake", [without_log_k, entropy_of_the_wrong_sign, without_entropy], ids=lambda f: f.__name__
)
def test_what_a_wrong_bound_is_caught_by(mistake, monkeypatch, rng):
    """An autograd would differentiate each of these rightly; the closed form knows better."""
    model, log_p = exact_linear_model(rng)
    monkeypatch.setattr(semi_supervised, "semi_supervised_loss", mistake)
    with pytest.raises(AssertionError):
        assert_bounds_the_exact_density(model, log_p, rng.normal(size=(10, D)))


def test_a_class_that_is_averaged_before_the_decoder_is_no_sum_over_classes(rng):
    """The decoder fed with q(y|x) in place of each class: its loss can fall below -log p(x)."""
    model, log_p = exact_linear_model(rng)
    model.params["classifier.0.W"][...], model.params["classifier.0.b"][...] = 0.0, 0.0
    p, x = model.params, rng.normal(size=(400, D))
    w, soft = p["decoder.0.W"][0], p["decoder.0.b"] + p["decoder.0.W_y"].mean(axis=0)
    covariance = 0.6 * np.eye(D) + np.outer(w, w)
    r = x - soft
    squared = (r * (r @ np.linalg.inv(covariance))).sum(axis=1)
    wrong = -0.5 * (np.linalg.slogdet(2 * math.pi * covariance)[1] + squared)  # the best it can be
    assert (wrong > logsumexp(log_p(x) - math.log(K), 1)).any(), "no bound"


# The pairs.


def test_the_sum_is_least_at_minus_the_costs(rng):
    costs = 5 * rng.normal(size=(N, K))
    least = -logsumexp(-costs, 1)
    bound, cache = marginal_bound(costs, -costs)
    np.testing.assert_allclose(bound, least, rtol=1e-13)
    assert np.abs(marginal_bound_backward(np.ones(N), cache)[1]).max() < 1e-13
    bound, cache = marginal_bound(costs, rng.normal(size=(N, K)))
    assert (bound > least).all()
    dcosts, dlogits = marginal_bound_backward(np.ones(N), cache)
    np.testing.assert_allclose(dcosts.sum(axis=1), 1.0)
    np.testing.assert_allclose(dlogits.sum(axis=1), 0.0, atol=1e-13)


def test_cross_entropy_keeps_its_digits_and_ignores_what_is_not_known():
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])
    nats, _ = cross_entropy(logits, np.array([1, 2, -1]))
    np.testing.assert_allclose(nats, [2e4, math.log(3), 0.0])
    assert one_hot(np.array([-1, 2]), 3, np.float32).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_alpha_weighs_the_mean_over_known_labels(rng):
    """However few they are in the batch; a batch without labels has no such term."""
    costs, logits = rng.normal(size=(2, N, K))
    y = np.array([1, -1, -1, -1, 0, -1, -1])
    without, with_it = (semi_supervised_loss(costs, logits, y, a)[0] for a in (0.0, 3.0))
    nats, _ = cross_entropy(logits, y)
    assert with_it - without == pytest.approx(3.0 * (nats[0] + nats[4]) / 2)
    unknown = np.full(N, -1)
    values = [semi_supervised_loss(costs, logits, unknown, a)[0] for a in (0.0, 3.0)]
    assert values[0] == values[1]


def test_a_wrong_weight_of_a_class_is_not_proven(monkeypatch, rng):
    right = semi_supervised.semi_supervised_loss_backward
    (pair,) = proofs.model_pairs(generic(), N, rng)
    assert proofs.prove(pair).passed
    monkeypatch.setattr(
        semi_supervised,
        "semi_supervised_loss_backward",
        lambda d, cache: (np.full_like(right(d, cache)[0], 1 / N / K), right(d, cache)[1]),
    )
    assert not proofs.prove(pair).passed


# The interface.


def test_it_learns_from_few_labels_what_the_classes_are(rng):
    truth = rng.integers(0, 2, 400)
    x = rng.binomial(4, np.where((np.arange(D) < 2) == truth[:, None], 0.85, 0.15))
    y = np.full(400, -1)
    y[:6] = truth[:6]
    model = SemiSupervisedVAE(D, 1, 2, (8,), likelihood=Binomial(4), alpha=10.0)
    model.fit(x, y, epochs=30, optimizer=Adam(1e-2), verbose=False)
    assert (model.classify(x) == truth).mean() > 0.95
    assert (model.log_class_joint(x, 5).argmax(axis=1) == truth).mean() > 0.95
    low, high = model.sample(np.array([0, 1]))
    assert low[0] < high[0]
    assert low[4] > high[4]


def test_a_saved_model_comes_back_and_trains_on_to_the_same_bits(tmp_path, data):
    whole, part = (
        SemiSupervisedVAE(D, L, K, (4,), likelihood=Binomial(4), alpha=2.0) for _ in range(2)
    )
    whole.fit(*data, epochs=4, verbose=False)
    part.fit(*data, epochs=2, verbose=False)
    part.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert again.config() == part.config()
    again.fit(*data, epochs=2, verbose=False)
    np.testing.assert_array_equal(again.theta, whole.theta)


def test_shapes_and_names(data):
    model, x = generic(), data[0]
    assert model.layout.shapes["classifier.1.W"] == (6, K)
    assert model.layout.shapes["encoder.0.W_y"] == (K, 6)
    assert model.class_probabilities(x).shape == model.log_class_joint(x, 2).shape == (N, K)
    assert model.classify(x).shape == model.elbo(x).shape == model.log_likelihood(x, None, 2).shape
    known = data[1] % K
    mean, _ = model.encode(x, known)
    assert model.reconstruct(x, known).shape == model.decode(mean, known).shape == (N, D)
    model.fit(*data, epochs=1, validation_data=data, verbose=False)
    assert "validation_elbo" in model.history[-1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, x, y: m.fit(x), TypeError, r"needs labels: fit\(x, y\)"),
        (lambda m, x, y: m.fit(x, y - 1), ValueError, "= -2 is no label: expected 0, ..., 2 or -1"),
        (lambda m, x, y: m.fit(x, y + 1), ValueError, "= 3 is no label: expected 0, ..., 2 or -1"),
        (
            lambda m, x, y: m.encode(x, y),
            ValueError,
            r"y\[1\] = -1 is no label: expected 0, ..., 2",
        ),
        (lambda m, x, y: m.posterior(m.params, (x, y)), ValueError, "= -1 is no label"),
        (lambda m, x, y: m.sample([-1]), ValueError, "= -1 is no label"),
        (lambda m, x, y: SemiSupervisedVAE(D, L, K, alpha=-1), ValueError, "alpha must be a fin"),
    ],
)
def test_what_wrong_labels_are_told(call, error, words, data):
    with pytest.raises(error, match=words):
        call(generic(), *data)


def test_the_terms_are_what_the_loss_is_made_of(data, rng):
    """loss = mean(-elbo + alpha cross_entropy), the latter's mean that of the known labels."""
    model, (x, y) = generic(), data
    assert 0 < (y >= 0).sum() < len(y)
    noise = model.draw_noise(rng, len(x))
    loss, terms = model.loss_and_terms(model.theta, data, noise)
    np.testing.assert_allclose(
        (model.alpha * terms["cross_entropy"] - terms["elbo"]).mean(), loss, rtol=1e-13
    )
    known = y >= 0
    nats = -np.log(model.class_probabilities(x[known])[np.arange(known.sum()), y[known]])
    assert terms["cross_entropy"].mean() == pytest.approx(nats.mean(), rel=1e-12)
    unknown = x, np.full(len(x), -1)
    assert set(model.loss_and_terms(model.theta, unknown, noise)[1]) == {"elbo"}
