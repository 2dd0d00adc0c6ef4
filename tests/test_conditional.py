"""The conditional VAE: what it equals, its exact density, and the mistakes that people make."""

import math

import numpy as np
import pytest

from numpyvae import VAE, Adam, Binomial, ConditionalVAE, Gaussian, proofs
from numpyvae.evaluation import evaluate
from numpyvae.gaussian import kl_between, kl_to_standard_normal
from numpyvae.models import class_prior, conditional, load
from numpyvae.numerics import logsumexp

K, D, L = 3, 5, 2


def generic(prior_network=False, **arguments):
    """A small model at a generic point."""
    arguments = {"likelihood": Binomial(4), "beta": 0.7, **arguments}
    model = ConditionalVAE(
        D, L, K, (6,), "tanh", prior_network=prior_network, dtype=np.float64, **arguments
    )
    model.theta[:] = 0.4 * np.random.default_rng(1).standard_normal(model.layout.size)
    return model


def vae_like(model, x, y):
    """The VAE with the same weights but W_y, and both losses and gradients on the same data."""
    vae = VAE(D, L, (6,), "tanh", model.likelihood, model.beta, dtype=np.float64)
    for name, view in vae.params.items():
        view[...] = model.params[name]
    noise = vae.draw_noise(np.random.default_rng(2), len(x))
    return vae, noise


@pytest.fixture
def data(rng):
    return rng.integers(0, 5, (7, D)), rng.integers(0, K, 7)


def test_without_label_weights_it_is_the_vae_to_the_bit(data):
    for prior_network in (False, True):
        model = generic(prior_network)
        for name in model.layout.shapes:
            if "W_y" in name or "prior" in name:
                model.params[name][...] = 0.0
        vae, noise = vae_like(model, *data)
        loss, grad = model.loss_and_grad(model.theta, data, noise)
        expected, vae_grad = vae.loss_and_grad(vae.theta, data[0], noise)
        assert loss == expected
        for name, view in vae.layout.views(vae_grad).items():
            np.testing.assert_array_equal(model.layout.views(grad)[name], view)


def test_one_label_for_all_is_a_vae_with_another_bias(data):
    x, model = data[0], generic()
    vae, noise = vae_like(model, *data)
    for network in ("encoder", "decoder"):
        vae.params[f"{network}.0.b"][...] += model.params[f"{network}.0.W_y"][1]
    loss, grad = model.loss_and_grad(model.theta, (x, np.full(7, 1)), noise)
    expected, vae_grad = vae.loss_and_grad(vae.theta, x, noise)
    assert loss == pytest.approx(expected, rel=1e-13)
    grads = model.layout.views(grad)
    for name, view in vae.layout.views(vae_grad).items():
        np.testing.assert_allclose(grads[name], view, rtol=1e-11, atol=1e-13)
    for network in ("encoder", "decoder"):
        np.testing.assert_allclose(grads[f"{network}.0.W_y"][1], grads[f"{network}.0.b"])
        assert not grads[f"{network}.0.W_y"][[0, 2]].any()


def exact_linear_model(rng, prior_network):
    """One latent dimension, linear, with the exact posterior as its encoder; and log p(x|y).

    The classes' priors have means of their own and one variance: else the posterior's slope in x
    would depend on the class, which a linear encoder of (x, y) cannot say.
    """
    variance, prior_variance = 0.6, 1.7 if prior_network else 1.0
    model = ConditionalVAE(
        D, 1, K, (), likelihood=Gaussian(variance), prior_network=prior_network, dtype=np.float64
    )
    p, mean = model.params, np.zeros((K, 1))
    p["decoder.0.W"][...], p["decoder.0.b"][...] = rng.normal(size=(1, D)), rng.normal(size=D)
    p["decoder.0.W_y"][...] = rng.normal(size=(K, D))
    if prior_network:
        p["prior.mean"][...] = mean = rng.normal(size=(K, 1))
        p["prior.log_var"][...] = math.log(prior_variance)
    w, centre = p["decoder.0.W"][0], p["decoder.0.b"] + p["decoder.0.W_y"]  # (D,), (K, D)
    precision = 1 / prior_variance + w @ w / variance  # of p(z|x, y)
    p["encoder.0.W"][...], p["encoder.0.b"][...] = 0.0, 0.0
    p["encoder.0.W"][:, 0] = w / variance / precision
    p["encoder.0.W_y"][:, 0] = (mean[:, 0] / prior_variance - centre @ w / variance) / precision
    p["encoder.0.W_y"][:, 1] = -math.log(precision)
    covariance = variance * np.eye(D) + prior_variance * np.outer(w, w)

    def log_p(x):  # (N, K)
        r = x[:, None] - centre - mean * w  # (N, K, D)
        squared = (r * (r @ np.linalg.inv(covariance))).sum(axis=2)
        return -0.5 * (np.linalg.slogdet(2 * math.pi * covariance)[1] + squared)

    return model, log_p


@pytest.mark.parametrize("prior_network", [False, True])
def test_the_exact_posterior_gives_the_exact_density(rng, prior_network):
    """Linear and Gaussian: a bound without a gap, whatever the noise; and Bayes' classifier."""
    model, log_p = exact_linear_model(rng, prior_network)
    x = rng.normal(size=(20, D))
    for k in range(K):
        y = np.full(20, k)
        np.testing.assert_allclose(
            model.log_likelihood(x, y, 1, method="importance"), log_p(x)[:, k], rtol=1e-11
        )
    np.testing.assert_allclose(model.log_class_joint(x, 2), log_p(x) - math.log(K), rtol=1e-11)
    np.testing.assert_array_equal(model.classify(x, 1), log_p(x).argmax(axis=1))
    assert len(set(model.classify(x, 1))) > 1


def test_sampling_uses_the_prior_of_the_class(rng):
    model, _ = exact_linear_model(rng, True)
    model.params["prior.log_var"][2] = -1.0
    p, y = model.params, np.repeat([0, 2], 20_000)
    x = model.sample(y, rng, mean=False)
    for k in (0, 2):
        mean = p["decoder.0.b"] + p["decoder.0.W_y"][k] + p["prior.mean"][k] * p["decoder.0.W"][0]
        w = np.exp(0.5 * p["prior.log_var"][k]) * p["decoder.0.W"][0]
        np.testing.assert_allclose(x[y == k].mean(axis=0), mean, atol=0.06)
        covariance = 0.6 * np.eye(D) + np.outer(w, w)
        np.testing.assert_allclose(np.cov(x[y == k].T), covariance, rtol=0.06, atol=0.08)
    np.testing.assert_array_equal(model.sample(y[:3]), model.sample(y[:3]))  # from the seed


def test_the_bound_is_below_log_p_of_every_class(rng, data):
    model, x = generic(True, beta=1.0), data[0]
    joint = model.log_class_joint(x, 300)
    total = logsumexp(joint, axis=1)
    for k in range(K):
        assert (model.elbo(x, np.full(7, k), 300) - math.log(K) < joint[:, k]).all()
    assert (total >= joint.max(axis=1)).all()


def test_kl_between_is_the_standard_one_at_zero_and_the_integral_elsewhere(rng):
    mean, log_var = rng.normal(size=(2, 4, L))
    zero = np.zeros((4, L))
    np.testing.assert_array_equal(
        kl_between(mean, log_var, zero, zero)[0], kl_to_standard_normal(mean, log_var)[0]
    )
    z = np.linspace(-30, 30, 60_001)

    def log_normal(m, v):
        return -0.5 * (math.log(2 * math.pi) + v + (z - m) ** 2 / math.exp(v))

    q, p = log_normal(0.4, -0.3), log_normal(-1.0, 0.8)
    integral = (np.exp(q) * (q - p)).sum() * (z[1] - z[0])
    arguments = (np.full((1, 1), value) for value in (0.4, -0.3, -1.0, 0.8))
    assert kl_between(*arguments)[0][0] == pytest.approx(integral, rel=1e-9)


def test_label_weights_start_as_those_of_a_one_hot_input_that_is_not_scaled():
    """One-hot labels beside counts up to 16, divided by 16 as they are, would hardly be seen."""
    model = ConditionalVAE(64, 2, 10, (2000,), likelihood=Binomial(16))
    he = math.sqrt(2 / 74)
    assert model.params["encoder.0.W_y"].std() == pytest.approx(he, rel=0.03)
    assert model.params["encoder.0.W"].std() == pytest.approx(he / 16, rel=0.03)


# Mistakes of public code, planted.


def test_a_prior_network_cut_from_the_gradient_is_not_proven(monkeypatch, rng):
    (pair,) = proofs.model_pairs(generic(True), 5, rng)
    assert proofs.prove(pair).passed
    monkeypatch.setattr(class_prior.ClassNormal, "backward", lambda *_: None)
    assert not proofs.prove(pair).passed


def test_a_kl_to_the_standard_normal_beside_a_learned_prior_passes_every_gradient_check(
    monkeypatch, rng
):
    """What samples come from is then not what the KL is about: only the exact density sees it."""
    model, log_p = exact_linear_model(rng, True)
    x, y, noise = rng.normal(size=(9, D)), np.zeros(9, np.intp), np.array([[1.0], [-1.0]])

    def bound():  # exact: the average over noise = +1 and -1 of a quadratic
        ends = (model.elbo_terms(model.theta, (x, y), np.tile(e, (9, 1))) for e in noise)
        return sum(0.5 * (log_px - kl) for log_px, kl in ends)

    np.testing.assert_allclose(bound(), log_p(x)[:, 0], rtol=1e-10)
    wrong = lambda mean, log_var, pm, plv: kl_between(mean, log_var, 0 * pm, 0 * plv)  # noqa: E731
    monkeypatch.setattr(conditional, "kl_between", wrong)
    assert np.abs(bound() - log_p(x)[:, 0]).max() > 0.1


def test_labels_in_the_encoder_alone_condition_nothing(rng):
    model, log_p = exact_linear_model(rng, False)
    model.params["decoder.0.W_y"][...] = 0.0
    x = rng.normal(size=(5, D))
    found = np.stack([model.log_likelihood(x, np.full(5, k), 200_000) for k in range(2)])
    np.testing.assert_allclose(found[0], found[1], atol=0.1)
    assert np.abs(log_p(x)[:, 0] - log_p(x)[:, 1]).max() > 0.5


# The interface.


def test_a_saved_model_comes_back_and_trains_on_to_the_same_bits(tmp_path, rng, data):
    whole, part = (
        ConditionalVAE(D, L, K, (4,), likelihood=Binomial(4), prior_network=True) for _ in range(2)
    )
    whole.fit(*data, epochs=4, verbose=False)
    part.fit(*data, epochs=2, verbose=False)
    part.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert type(again) is ConditionalVAE
    assert again.config() == part.config()
    again.fit(*data, epochs=2, verbose=False)
    np.testing.assert_array_equal(again.theta, whole.theta)
    np.testing.assert_array_equal(again.elbo(*data), whole.elbo(*data))


def test_shapes_and_names(data):
    model = ConditionalVAE(D, L, K, (4,), likelihood=Binomial(4), prior_network=True)
    assert model.layout.shapes["encoder.0.W_y"] == model.layout.shapes["decoder.0.W_y"] == (K, 4)
    assert model.layout.shapes["prior.mean"] == model.layout.shapes["prior.log_var"] == (K, L)
    mean, log_var = model.encode(*data)
    assert mean.shape == log_var.shape == (7, L)
    assert model.decode(mean, data[1]).shape == model.reconstruct(*data).shape == (7, D)
    assert model.sample(np.array([0, 2])).shape == (2, D)
    assert model.elbo(*data).shape == model.log_likelihood(*data, 3).shape == (7,)
    assert model.classify(data[0], 2).shape == (7,)
    model.fit(*data, epochs=1, validation_data=data, verbose=False)
    assert set(evaluate(model, data, 2)) >= {"elbo", "log_likelihood", "active_units"}
    assert "validation_elbo" in model.history[-1]


def test_it_learns_what_the_label_says(rng):
    y = rng.integers(0, 2, 300)
    x = rng.binomial(4, np.where(y[:, None] == 0, 0.2, 0.8), (300, D))
    model = ConditionalVAE(D, 1, 2, (8,), likelihood=Binomial(4))
    model.fit(x, y, epochs=40, optimizer=Adam(1e-2), verbose=False)
    assert (model.classify(x, 10) == y).mean() > 0.95
    assert model.sample(np.array([0])).mean() < 1.6 < 2.4 < model.sample(np.array([1])).mean()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, x, y: m.fit(x), TypeError, r"needs labels: fit\(x, y\)"),
        (lambda m, x, y: m.elbo(x), TypeError, "ConditionalVAE needs labels beside the data"),
        (lambda m, x, y: m.elbo(x, y + 5), ValueError, r"y\[0\] = .* is no label: expected 0"),
        (lambda m, x, y: m.fit(x, y - 1, verbose=False), ValueError, "= -1 is no label"),
        (lambda m, x, y: m.fit(x, y[:3]), ValueError, r"y must have shape \(N,\) = \(7,\)"),
        (lambda m, x, y: m.encode(x, y + 0.5), ValueError, "is no label"),
        (lambda m, x, y: m.encode(x, np.array(list("abcabca"))), TypeError, "whole numbers"),
        (lambda m, x, y: m.sample(3), ValueError, r"y must hold one label per row, shape \(N,\)"),
        (lambda m, x, y: m.classify(5), ValueError, r"x must have shape \(N, D\) with 5 columns"),
        (lambda m, x, y: m.sample([3]), ValueError, r"y\[0\] = 3 is no label: expected 0, ..., 2"),
        (lambda m, x, y: m.decode(np.zeros((2, L)), y), ValueError, r"= \(2,\), a label per row"),
        (lambda m, x, y: m.loss(m.theta, x, np.zeros((7, L))), TypeError, r"takes \(x, y\)"),
    ],
)
def test_what_wrong_labels_are_told(call, error, words, data):
    with pytest.raises(error, match=words):
        call(generic(), *data)
