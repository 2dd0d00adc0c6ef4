"""The mixture, the VampPrior and the VAE that learns them, against what needs none of their code.

Each oracle is called twice: as the package is, and with a mistake planted that people have made,
where it has to fail. Those of the density pass every gradient check: its backward would agree.
"""

import math

import numpy as np
import pytest
from planting import plant

from numpyvae import VAE, Bernoulli, Binomial, Gaussian, LearnedPriorVAE, proofs
from numpyvae.evaluation import active_units, evaluate
from numpyvae.models import learned_prior, load
from numpyvae.parameters import ParameterLayout
from numpyvae.priors import GaussianMixture, StandardNormal, VampPrior, mixture

L = 3


def make(prior, likelihood=None, latent_dim=L, seed=0, **arguments):
    """A small model at a generic point."""
    model = LearnedPriorVAE(
        5, latent_dim, prior, (6,), "tanh", likelihood or Bernoulli(), dtype=np.float64, **arguments
    )
    model.theta[:] = 0.6 * np.random.default_rng(seed).standard_normal(model.layout.size)
    return model


def signs(n, latent_dim=L):
    """Every combination of +-1, each for n examples: mean 0 and covariance I exactly."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * latent_dim, indexing="ij"), -1)
    return np.repeat(grid.reshape(-1, latent_dim), n, axis=0)


def kl_of_gaussians(mean, log_var, prior_mean, prior_log_var):
    """KL between two diagonal Gaussians, (N,): from the textbook, with variances."""
    var, prior_var = np.exp(log_var), np.exp(prior_log_var)
    terms = prior_log_var - log_var + (var + (mean - prior_mean) ** 2) / prior_var - 1.0
    return 0.5 * terms.sum(axis=1)


def dense_log_prob(z, logits, mean, log_var):
    """The mixture's density with no trick at all, in nats."""
    weight, var = np.exp(logits) / np.exp(logits).sum(), np.exp(log_var)
    squared = ((z[:, None] - mean) ** 2 / var).sum(axis=2)
    return np.log((weight * np.exp(-0.5 * squared) / np.sqrt(2 * np.pi * var).prod(axis=1)).sum(1))


def drawn(rng, n_components, n=6):
    shape = (n_components, L)
    return (
        rng.standard_normal((n, L)),
        rng.standard_normal(n_components),
        rng.standard_normal(shape),
        0.5 * rng.standard_normal(shape),
    )


# The density.


def check_density(rng):
    for n_components in (1, 4, mixture.PRODUCTS_FROM, 40):
        arguments = drawn(rng, n_components)
        log_prob, _ = mixture.gaussian_mixture_log_prob(*arguments)
        np.testing.assert_allclose(log_prob, dense_log_prob(*arguments), rtol=1e-12)


def check_identical_components(rng):
    """K times the same component, whatever their weights, is that component alone."""
    z, logits, mean, log_var = drawn(rng, 20)
    alone, _ = mixture.gaussian_mixture_log_prob(z, logits[:1], mean[:1], log_var[:1])
    for K in (3, 20):
        same = [np.repeat(a[:1], K, axis=0) for a in (mean, log_var)]
        together, _ = mixture.gaussian_mixture_log_prob(z, logits[:K], *same)
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def check_sampled_kl(rng):
    """Averaged over all noise of +-1 the sampled KL to one Gaussian is the closed form, exactly."""
    x = rng.integers(0, 2, (4, 5))
    for prior in (StandardNormal(), GaussianMixture(1), VampPrior(1)):
        model = make(prior)
        noise = signs(len(x))
        _, kl = model.elbo_terms(model.theta, np.tile(x, (2**L, 1)), noise)
        if isinstance(prior, StandardNormal):
            component = np.zeros((1, L)), np.zeros((1, L))
        else:
            component = model.prior.components(model.params)[0][1:]
        expected = kl_of_gaussians(*model.encode(x), *component)
        np.testing.assert_allclose(kl.reshape(-1, len(x)).mean(axis=0), expected, rtol=1e-12)


def check_gradients(rng):
    for model in (make(GaussianMixture(4), Binomial(16)), make(VampPrior(4), Binomial(16))):
        (pair,) = proofs.model_pairs(model, 5, rng)
        assert proofs.prove(pair).passed


def check_samples(rng):
    """Mean and variance of 40,000 codes are the mixture's; its components come as they weigh."""
    for model in (make(GaussianMixture(3)), make(VampPrior(3))):
        (logits, mean, log_var), _ = model.prior.components(model.params)
        mean *= 3.0  # views: it is the model that moves
        weight = np.exp(logits) / np.exp(logits).sum()
        z = model.prior.sample(model.params, rng, 40_000, L)
        (_, mean, log_var), _ = model.prior.components(model.params)
        expected = weight @ mean
        variance = weight @ (mean**2 + np.exp(log_var)) - expected**2
        np.testing.assert_allclose(z.mean(axis=0), expected, atol=5 * (variance.max() / 4e4) ** 0.5)
        np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.05)
        half = model.prior.sample(model.params, rng, 20_000, L).mean(axis=0)
        np.testing.assert_allclose(half, expected, atol=5 * (variance.max() / 2e4) ** 0.5)


def check_vamp_over_the_data(rng):
    """With a pseudo-input for each example log q(z_n|x_n) - log p(z_n) is at most log N, always."""
    x, n = rng.standard_normal((9, 5)), 9
    model = make(VampPrior(n), Gaussian(0.5))
    model.params["prior.pseudo_inputs"][:] = x
    for _ in range(20):
        _, kl = model.elbo_terms(model.theta, x, model.draw_noise(rng, n))
        assert (kl <= math.log(n) + 1e-12).all()
    model.params["encoder.1.W"][:] *= 30.0  # so far apart that each code tells its example
    model.params["encoder.1.W"][:, L:] = 0.0
    _, kl = model.elbo_terms(model.theta, x, model.draw_noise(rng, n))
    assert kl.max() > math.log(n) - 0.1


def check_vamp_of_a_blind_encoder(rng):
    """An encoder that says N(0, I) of everything makes the VampPrior the standard normal."""
    x, noise = rng.integers(0, 2, (4, 5)), rng.standard_normal((4, L))
    blind, standard = make(VampPrior(6)), make(StandardNormal())
    standard.params["encoder.1.W"][:] = standard.params["encoder.1.b"][:] = 0.0
    blind.theta[: standard.layout.size] = standard.theta
    losses = [model.loss(model.theta, x, noise) for model in (blind, standard)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_oracles(check, rng):
    check(rng)


DENSITY = mixture, "gaussian_mixture_log_prob"
NOISE = learned_prior, "log_prob_by_noise_backward"
MISTAKES = {
    "log K is forgotten": (
        *DENSITY, "logits - logsumexp(logits, axis=0)", "logits", check_vamp_of_a_blind_encoder),
    "weights that do not sum to one": (
        *DENSITY, "logits - logsumexp(logits, axis=0)", "logits", check_identical_components),
    "a bound too good by log K": (
        *DENSITY, "logits - logsumexp(logits, axis=0)", "logits", check_vamp_over_the_data),
    "the log-variance divided by the variance": (
        *DENSITY, "0.5 * (LOG_2PI + log_var).sum(axis=-1)",
        "0.5 * (LOG_2PI + log_var * precision).sum(axis=-1)", check_sampled_kl),
    "log 2 pi is forgotten": (*DENSITY, "LOG_2PI + log_var", "log_var", check_density),
    "something small is added to the variance": (
        *DENSITY, "np.exp(-log_var)", "1 / (np.exp(log_var) + 1e-8)", check_density),
    "the factor 2 of the cross term": (
        mixture, "_squared_distances", "2.0 * product", "product", check_density),
    "responsibilities as if all weighed the same": (
        mixture, "gaussian_mixture_log_prob_backward", "W = dlog_prob[:, None] * responsibilities",
        "W = dlog_prob[:, None] * (responsibilities > 0) / len(mean)", check_gradients),
    "logits without their normalisation": (
        mixture, "gaussian_mixture_log_prob_backward", "total[:, 0] - weight * dlog_prob.sum()",
        "total[:, 0]", check_gradients),
    "samples from N(0, I)": (
        GaussianMixture, "sample", "mean[k] + np.exp(0.5 * log_var[k]) * rng", "rng",
        check_samples),
    "samples of the first components in order": (
        GaussianMixture, "sample", "rng.choice(len(weight), n, p=weight / weight.sum())",
        "np.minimum(np.arange(n), len(weight) - 1)", check_samples),
    "the encoder's gradient stopped in the prior": (
        VampPrior, "components_backward", "self.encoder.backward(params, grads, dheads",
        "self.encoder.backward_input(params, dheads", check_gradients),
    "du left out": (VampPrior, "components_backward", "+= du * slope", "+= 0.0", check_gradients),
    "the slope of the sigmoid left out": (
        VampPrior, "components_backward", "du * slope", "du", check_gradients),
    "log q without its gradient": (*NOISE, "-0.5 * dlog_prob", "0.0 * dlog_prob", check_gradients),
    "log q with the sign of log p": (*NOISE, "-0.5 * dlog", "0.5 * dlog", check_gradients),
    "log q at the wrong width": (
        learned_prior, "log_prob_by_noise", "LOG_2PI + log_var", "LOG_2PI + 2 * log_var",
        check_sampled_kl),
    "the prior's share of dz left out": (
        LearnedPriorVAE, "backward", "decoder_cache) + dz_prior", "decoder_cache)",
        check_gradients),
    "the KL's weight left out of the prior": (
        LearnedPriorVAE, "backward", "grads, -dkl, prior", "grads, dlog_px, prior",
        lambda rng: proofs.prove(
            proofs.model_pairs(make(GaussianMixture(2), beta=0.5), 4, rng)[0]).passed
        or pytest.fail("not the gradient")),
}  # fmt: skip


@pytest.mark.slow(keep=6)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(mistake, rng, monkeypatch):
    *where, check = MISTAKES[mistake]
    plant(monkeypatch, *where)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(rng)


def test_both_forms_of_the_density_agree(rng, monkeypatch):
    """Broadcast over (N, K, L), or as two products: values and gradients, in float64."""
    arguments = drawn(rng, 30)
    results = []
    for least in (0, 1000):
        monkeypatch.setattr(mixture, "PRODUCTS_FROM", least)
        results.append(mixture.gaussian_mixture_log_prob(*arguments))
    (products, cache), (broadcast, _) = results
    np.testing.assert_allclose(products, broadcast, rtol=1e-13)
    dlog_prob = rng.standard_normal(6)
    R, _, z, mean, precision = cache
    W, residual = dlog_prob[:, None] * R, z[:, None] - mean
    s = residual * precision
    dz, _, dmean, dlog_var = mixture.gaussian_mixture_log_prob_backward(dlog_prob, cache)
    np.testing.assert_allclose(dz, -(W[..., None] * s).sum(axis=1), rtol=1e-11)
    np.testing.assert_allclose(dmean, (W[..., None] * s).sum(axis=0), rtol=1e-11, atol=1e-14)
    expected = 0.5 * (W[..., None] * (s * residual - 1.0)).sum(axis=0)
    np.testing.assert_allclose(dlog_var, expected, rtol=1e-11, atol=1e-14)


def test_the_density_integrates_to_one():
    z = np.linspace(-30, 30, 6001)[:, None]
    logits, mean, log_var = np.array([0.3, -1.0]), np.array([[1.0], [-4.0]]), np.array([[0.5], [1]])
    log_prob, _ = mixture.gaussian_mixture_log_prob(z, logits, mean, log_var)
    assert np.exp(log_prob).sum() * 0.01 == pytest.approx(1.0, rel=1e-12)


def test_components_have_no_order_and_weights_no_offset(rng):
    z, logits, mean, log_var = drawn(rng, 20)
    order, dlog_prob = rng.permutation(20), rng.standard_normal(6)
    value, cache = mixture.gaussian_mixture_log_prob(z, logits, mean, log_var)
    other, _ = mixture.gaussian_mixture_log_prob(
        z, logits[order] + 7.0, mean[order], log_var[order]
    )
    np.testing.assert_allclose(value, other, rtol=1e-12)
    _, dlogits, *_ = mixture.gaussian_mixture_log_prob_backward(dlog_prob, cache)
    assert dlogits.sum() == pytest.approx(0.0, abs=1e-13)


@pytest.mark.parametrize("n_components", [3, 30])
def test_far_components_stay_finite(n_components):
    """Codes and components thousands of sigma apart, log-variances of +-50, in float32."""
    shape = (n_components, 2)
    mean = np.linspace(-500, 500, 2 * n_components, dtype=np.float32).reshape(shape)
    log_var = np.where(np.arange(n_components)[:, None] % 2, 50.0, -50.0) * np.ones(shape)
    arguments = mean[:3] + 1, np.zeros(n_components, np.float32), mean, log_var.astype(np.float32)
    value, cache = mixture.gaussian_mixture_log_prob(*arguments)
    assert value.dtype == np.float32
    assert np.isfinite(value).all()
    for d in mixture.gaussian_mixture_log_prob_backward(np.ones(3, np.float32), cache):
        assert d.dtype == np.float32
        assert np.isfinite(d).all()


# The model.


def test_with_a_standard_normal_it_is_the_vae_with_a_sampled_kl(rng):
    """The same log p(x|z); the KL's average over +-1 is the VAE's, and so is the gradient's."""
    x, noise = rng.integers(0, 2, (4, 5)), signs(4)
    model, vae = make(StandardNormal()), VAE(5, L, (6,), "tanh", dtype=np.float64)
    rows = np.tile(x, (2**L, 1))
    log_px, kl = model.elbo_terms(model.theta, rows, noise)
    expected, analytic = vae.elbo_terms(model.theta, rows, noise)
    np.testing.assert_array_equal(log_px, expected)
    assert kl.mean() == pytest.approx(analytic.mean(), rel=1e-13)
    ours, theirs = (m.loss_and_grad(model.theta, rows, noise)[1] for m in (model, vae))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_one_component_at_the_origin_is_the_standard_normal(rng):
    x, noise = rng.integers(0, 2, (4, 5)), rng.standard_normal((4, L))
    one, standard = make(GaussianMixture(1)), make(StandardNormal())
    n = standard.layout.size
    one.theta[:n], one.theta[n:] = standard.theta, 0.0
    first, second = (m.loss_and_grad(m.theta, x, noise) for m in (one, standard))
    assert first[0] == pytest.approx(second[0], rel=1e-14)
    np.testing.assert_allclose(first[1][:n], second[1], rtol=1e-12, atol=1e-15)


def test_identical_pseudo_inputs_are_one(rng):
    x, noise = rng.integers(0, 2, (4, 5)), rng.standard_normal((4, L))
    many, one = make(VampPrior(20)), make(VampPrior(1))
    n = one.layout.size - 5
    many.theta[:n] = one.theta[:n]
    many.params["prior.pseudo_inputs"][:] = one.params["prior.pseudo_inputs"]
    first, second = (m.loss_and_grad(m.theta, x, noise) for m in (many, one))
    assert first[0] == pytest.approx(second[0], rel=1e-13)
    np.testing.assert_allclose(first[1][:n], second[1][:n], rtol=1e-10, atol=1e-13)


def test_the_bound_and_log_px_under_a_learned_prior(rng):
    """ELBO below log p(x) by a grid of our own; importance sampling reaches it."""
    x = rng.integers(0, 2, (3, 5)).astype(float)
    z = np.linspace(-12, 12, 1201)[:, None]
    for prior in (GaussianMixture(3), VampPrior(20)):
        model = make(prior, latent_dim=1)
        log_joint = [model.log_joint(model.params, np.tile(row, (1201, 1)), z)[0] for row in x]
        log_px = np.log(np.exp(log_joint).sum(axis=1) * 0.02)
        assert (model.elbo(x, 200) < log_px).all()
        np.testing.assert_allclose(model.log_likelihood(x, 5000), log_px, atol=0.05)


def test_the_questions_of_evaluation(rng):
    x = rng.integers(0, 17, (7, 5))
    for prior in (GaussianMixture(3), VampPrior(3)):
        model = make(prior, Binomial(16))
        measured = evaluate(model, x, 20)
        assert measured["elbo"] == pytest.approx(measured["log_px"] - measured["kl"])
        assert active_units(model, x).shape == (L,)
        z = rng.standard_normal((7, L))
        layout = ParameterLayout({"z": z.shape})

        def log_joint(theta, model=model, layout=layout):
            return model.log_joint(model.params, x.astype(float), layout.views(theta)["z"])[0].sum()

        def dz(theta, model=model, layout=layout):
            _, cache = model.log_joint(model.params, x.astype(float), layout.views(theta)["z"])
            return model.log_joint_backward(np.ones(7), cache).ravel()

        assert proofs.prove(proofs.Pair("log_joint", log_joint, dz, z.ravel())).passed


def test_responsibilities(rng):
    """Bayes' rule at the posterior mean; a component far from all others gets what is near it."""
    x = rng.integers(0, 2, (6, 5))
    for prior in (GaussianMixture(4), VampPrior(4)):
        model = make(prior)
        (logits, mean, log_var), _ = model.prior.components(model.params)
        weight, z = np.exp(logits) / np.exp(logits).sum(), model.encode(x)[0]
        joint = np.stack(
            [w * np.exp(dense_log_prob(z, np.zeros(1), m[None], v[None]))
             for w, m, v in zip(weight, mean, log_var, strict=True)], axis=1)  # fmt: skip
        shares = model.responsibilities(x)
        assert shares.shape == (6, 4)
        np.testing.assert_allclose(shares, joint / joint.sum(axis=1, keepdims=True), rtol=1e-11)
    with pytest.raises(TypeError, match=r"StandardNormal\(\) has no components"):
        make(StandardNormal()).responsibilities(x)


def test_a_prior_can_be_given_to_several_models():
    """The user's object stays as it is; each model has a copy of its own sizes."""
    for prior, names in (
        (GaussianMixture(4), {"prior.logits": (4,), "prior.mean": (4, 2), "prior.log_var": (4, 2)}),
        (VampPrior(4), {"prior.pseudo_inputs": (4, 6)}),
    ):
        before = dict(vars(prior))
        first, second = LearnedPriorVAE(6, 2, prior), LearnedPriorVAE(7, 3, prior)
        assert vars(prior) == before
        shapes = first.layout.shapes
        assert {n: s for n, s in shapes.items() if n.startswith("prior.")} == names
        assert list(first.layout.shapes)[-len(names) :] == list(names)
        assert second.layout.size > first.layout.size
        assert first.sample(3).shape == (3, 6)
        assert second.sample(3, mean=False).shape == (3, 7)


def test_how_the_priors_start():
    model = LearnedPriorVAE(6, 2, GaussianMixture(500))
    assert not model.params["prior.logits"].any()
    assert not model.params["prior.log_var"].any()
    assert model.params["prior.mean"].std() == pytest.approx(1.0, abs=0.05)
    vamp_model = LearnedPriorVAE(6, 2, VampPrior(300))
    assert vamp_model.params["prior.pseudo_inputs"].std() == pytest.approx(1.0, abs=0.05)
    assert repr(LearnedPriorVAE(6, 2).prior) == "GaussianMixture(10)"
    assert repr(vamp_model) == "LearnedPriorVAE(6-128-2, relu, Bernoulli(), VampPrior(300))"


def test_pseudo_inputs_are_in_the_units_of_the_data(rng):
    """Counts within 0..n however large v is; of standardised data in the data's own units."""
    model = make(VampPrior(3), Binomial(16))
    v = model.params["prior.pseudo_inputs"]
    v[0], v[1], v[2] = 0.0, 50.0, -50.0
    u, _ = model.prior.pseudo_inputs(model.params)
    np.testing.assert_allclose(u, np.repeat([[8.0], [16.0], [0.0]], 5, axis=1), atol=1e-12)
    x = 1e6 + 1e3 * rng.standard_normal((30, 5))
    scaled = make(VampPrior(3), Gaussian(0.5).scaled_to(x))
    u, _ = scaled.prior.pseudo_inputs(scaled.params)
    assert (np.abs(u - 1e6) < 1e4).all()
    theta = scaled.theta.copy()
    noise = rng.standard_normal((30, L))
    pair = proofs.Pair(
        "scaled",
        lambda theta: scaled.loss(theta, x, noise),
        lambda theta: scaled.loss_and_grad(theta, x, noise)[1],
        theta,
    )
    assert proofs.prove(pair).complex_step_error < 1e-12


@pytest.mark.parametrize("prior", [GaussianMixture(4), VampPrior(4)], ids=repr)
def test_it_trains_on_after_save_and_load_as_if_never_stopped(prior, tmp_path, rng):
    x = rng.integers(0, 2, (40, 5))
    model, whole = (LearnedPriorVAE(5, 2, prior, (4,), seed=3) for _ in range(2))
    model.fit(x, 2, verbose=False)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert repr(again) == repr(model)
    again.fit(x, 2, verbose=False)
    whole.fit(x, 4, verbose=False)
    np.testing.assert_array_equal(again.theta, whole.theta)
    start = whole.initial_theta()
    moved = [n for n, v in whole.params.items() if (v != whole.layout.views(start)[n]).any()]
    assert {n for n in whole.layout.shapes if n.startswith("prior.")} <= set(moved)


def test_what_is_no_prior():
    for wrong in (GaussianMixture, "mixture", 10):
        with pytest.raises(
            TypeError, match=r"prior must be an object such as VampPrior\(50\), got"
        ):
            LearnedPriorVAE(5, 2, wrong)
    with pytest.raises(ValueError, match="n_components must be at least 1, got 0"):
        VampPrior(0)
    with pytest.raises(ValueError, match="beta must be a finite number of at least 0"):
        LearnedPriorVAE(5, 2, beta=-1.0)


def test_beta_weighs_the_kl_alone(rng):
    x, noise = rng.integers(0, 2, (4, 5)), rng.standard_normal((4, L))
    for beta in (0.0, 0.5, math.inf):
        model = make(GaussianMixture(3), beta=beta)
        loss, terms = model.loss_and_terms(model.theta, x, noise)
        expected = (
            terms["kl"].mean()
            if beta == math.inf
            else (beta * terms["kl"] - terms["log_px"]).mean()
        )
        assert loss == pytest.approx(expected, rel=1e-14)
