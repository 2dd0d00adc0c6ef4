"""The examples from 11 on, which build models of the package's pieces: the pieces, and the runs."""

import itertools
import runpy

import numpy as np
import pytest
from test_examples import EXAMPLES, line_with, numbers

from numpyvae import VAE, Adam, Binomial, FullCovarianceVAE, Gaussian, LearnedPriorVAE, proofs
from numpyvae.data import load_digits
from numpyvae.exact import ProbabilisticPCA
from numpyvae.layers import Dense, LeakyReLU, Sequential
from numpyvae.parameters import ParameterLayout
from numpyvae.priors import GaussianMixture


def pieces(number):
    """What an example defines, by name."""
    (example,) = EXAMPLES.glob(f"{number}_*.py")
    return runpy.run_path(str(example))


# 11: convolutions.


@pytest.mark.slow
def test_convolutions_beside_dense_layers(run_example):
    out, pictures = run_example("11")
    assert pictures == [f"example_11_{name}" for name in ("same_time", "samples", "toeplitz")]
    assert line_with(out, "convolution against its Toeplitz matrix: largest difference")[0] < 1e-13
    assert line_with(out, "its transpose against the transposed matrix:")[0] < 1e-13
    n_parameters, n_steps, *_ = line_with(out, "convolutional             :")
    n_dense, n_more, *_ = line_with(out, "dense, as many parameters :")
    assert n_steps == 60
    assert n_more > 0
    assert n_dense == pytest.approx(n_parameters, rel=0.01)


def test_the_convolutional_vae_is_proven_and_trains_and_is_saved(tmp_path, rng):
    kind = pieces("11")["ConvolutionalVAE"]
    vae = kind(64, 3, (2, 3), "tanh", Binomial(4), beta=0.7, dtype=np.float64)
    assert vae.layout.shapes["encoder.1.W"] == (2 * 16, 3)
    assert vae.layout.shapes["decoder.1.W"] == (3, 2 * 16)
    (pair,) = proofs.model_pairs(vae, 3, rng)
    assert proofs.prove(pair).passed
    vae = kind(64, 3, (4, 8), likelihood=Binomial(16))
    x = load_digits()[0][:200]
    before = vae.elbo(x).mean()
    vae.fit(x, 10, 20, Adam(3e-3), verbose=False)
    assert vae.elbo(x).mean() > before + 50
    vae.save(tmp_path / "vae.npz")
    loaded = kind.load(tmp_path / "vae.npz")
    np.testing.assert_array_equal(loaded.elbo(x), vae.elbo(x))


def test_the_dense_vae_of_a_size_is_the_nearest():
    dense_with, kind = pieces("11")["dense_with"], pieces("11")["ConvolutionalVAE"]
    n = kind(64, 3, (2, 3)).layout.size
    found = dense_with(n, 64, 3)
    (width,) = found.hidden_dims
    off = [abs(VAE(64, 3, (w,)).layout.size - n) for w in range(max(1, width - 1), width + 2)]
    assert abs(found.layout.size - n) == min(off)


# 12: rate, distortion, collapse, factors.


@pytest.mark.slow
def test_the_price_of_information(run_example):
    out, pictures = run_example("12")
    assert pictures == [f"example_12_{n}" for n in ("dimensions", "factors", "rate_distortion")]
    rates = [line_with(out, f"beta {beta:5g}:")[0] for beta in (1, 64)]
    assert rates[1] < 0.2 < 5 < rates[0]
    assert "beta is 64: a dimension stays only if" in out
    assert line_with(out, "MIG of the factors themselves:") == [1.0]
    assert line_with(out, "MIG of x and y, turned by 45 degrees:") == [0.0]


def test_free_bits_of_zero_are_the_vae_and_the_model_is_proven(rng):
    kind = pieces("12")["FreeBitsVAE"]
    sizes = {"hidden_dims": (5,), "activation": "tanh", "beta": 0.7, "dtype": np.float64}
    vae = kind(6, 4, least=0.35, **sizes)
    for _ in range(3):
        (pair,) = proofs.model_pairs(vae, 5, rng)
        assert proofs.prove(pair).passed
    free, plain = kind(6, 4, least=0.0, **sizes), VAE(6, 4, **sizes)
    x, noise = plain.draw_data(rng, 5), rng.standard_normal((5, 4))
    for ours, theirs in zip(
        free.loss_and_grad(plain.theta, x, noise),
        plain.loss_and_grad(plain.theta, x, noise),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_water_filling_is_probabilistic_pca_where_every_dimension_is_used(rng):
    """With beta = 1 and the noise of the maximum, minus the bound is minus the log-likelihood."""
    water_filling = pieces("12")["water_filling"]
    x = rng.standard_normal((300, 5)) * [3.0, 2.0, 1.0, 0.5, 0.5]
    ppca = ProbabilisticPCA(2).fit(x)
    s = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    rate, distortion = water_filling(s, 5, 1.0, ppca.noise_variance, 2)
    assert rate + distortion == pytest.approx(-ppca.log_likelihood(x).mean(), rel=1e-12)
    rate, distortion = water_filling(s, 5, 1e6, 0.3, 2)
    assert rate == 0
    assert distortion == pytest.approx(0.5 * (5 * np.log(0.6 * np.pi) + s.sum() / 0.3))


def test_the_gap_does_not_ask_which_dimension_or_sign(rng):
    information, gap = pieces("12")["information"], pieces("12")["gap"]
    factors = np.stack(np.meshgrid(np.arange(4), np.arange(3), indexing="ij"), -1).reshape(-1, 2)
    codes = np.column_stack([np.zeros(12), -factors[:, 1], 2.0 * factors[:, 0]])
    shares = information(codes, factors)
    np.testing.assert_allclose(shares, [[0, 0], [0, 1], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(gap(shares), 1)
    doubled = np.column_stack([codes, codes])  # two dimensions say the same: no gap
    np.testing.assert_allclose(gap(information(doubled, factors)), 0, atol=1e-12)


# 13: two stages.


@pytest.mark.slow
def test_two_stages(run_example):
    out, pictures = run_example("13")
    assert pictures == ["example_13_planes", "example_13_samples"]
    assert out.count("error of a classifier") == 6
    assert out.count("log p(x) on test data") == 2


def test_a_second_stage_that_is_the_prior_changes_no_bound(rng):
    """Where codes are N(0, I) already, stage two must find KL = 0; then log p(x) is the same."""
    first = VAE(6, 3, (5,), likelihood=Gaussian("shared"), dtype=np.float64)
    second = VAE(3, 3, (4,), likelihood=Gaussian("shared"), dtype=np.float64)
    second.theta[...] = 0.0  # q(u|z) = N(0, I) = p(u), and p(z|u) = N(0, I) for every u
    found = pieces("13")["log_likelihoods"](first, second, rng.standard_normal((7, 6)), 20, rng)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


def test_the_second_stage_is_weighed_as_the_closed_form(rng):
    """Two linear stages, z ~ N(0, W W^T + I): log p(x) is that of one Gaussian."""
    first = VAE(2, 1, (), likelihood=Gaussian(0.5), dtype=np.float64)
    second = VAE(1, 1, (), likelihood=Gaussian(1.0), dtype=np.float64)
    for vae, weight in ((first, [[0.8, -0.4]]), (second, [[1.5]])):
        vae.theta[...] = 0.0
        vae.params["decoder.0.W"][...] = weight
    x, variance = np.array([[0.4, -0.9]]), 1 + 1.5**2
    found = pieces("13")["log_likelihoods"](first, second, np.tile(x, (2000, 1)), 20, rng)
    for of_z, value in zip((1.0, variance), np.log(np.exp(found).mean(axis=1)), strict=True):
        covariance = of_z * np.outer([0.8, -0.4], [0.8, -0.4]) + 0.5 * np.eye(2)
        quadratic = x[0] @ np.linalg.solve(covariance, x[0])
        exact = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
        assert value == pytest.approx(exact, abs=0.03)


def test_the_classifier_knows_when_it_cannot_know(rng):
    error = pieces("13")["classifier_error"]
    a, b = rng.standard_normal((2, 600, 2))
    assert error(a, b, 3) > 0.4
    assert error(a, b + 3.0, 3) < 0.1


# 14: three players.


@pytest.mark.slow
def test_vae_gan(run_example):
    out, pictures = run_example("14")
    assert pictures == ["example_14_players", "example_14_samples"]
    assert 0 < line_with(out, "the critic is right in")[0] <= 100
    assert line_with(out, "sharpness of digits  :")[0] > 0.2


@pytest.fixture
def vae_gan(rng):
    """A small VAE-GAN at random parameters, biases too."""
    model = pieces("14")["VAEGAN"](6, 2, 5, 4, gamma=0.7, dtype=np.float64)
    model.theta[...] = 0.5 * rng.standard_normal(model.layout.size)
    return model


def gradient(model, x, noise):
    views = model.layout.views(model.loss_and_grad(model.theta, x, noise)[1])
    return {
        who: np.concatenate([v.ravel() for n, v in views.items() if n.startswith(who)])
        for who in ("encoder", "decoder", "critic")
    }


def test_each_loss_is_proven_by_the_parameters_that_own_it(vae_gan, rng):
    pairs = proofs.model_pairs(vae_gan, 5, rng)
    assert len(pairs) == 3
    assert sum(len(pair.theta) for pair in pairs) == vae_gan.layout.size
    assert all(proofs.prove(pair).passed for pair in pairs)


def test_no_loss_leaves_a_gradient_in_what_another_owns(vae_gan, rng):
    x, noise = rng.random((5, 6)), rng.standard_normal((5, 2, 2))
    logit = vae_gan.params["critic.logit.W"]
    before = gradient(vae_gan, x, noise)
    logit *= 3.0  # the critic's opinion: nothing to the encoder
    np.testing.assert_array_equal(gradient(vae_gan, x, noise)["encoder"], before["encoder"])
    logit[...] = 0.0  # no opinion: what is left to the decoder is gamma R, to the features nothing
    features = slice(-5)  # all but the logit's weights and bias, which come last
    only_distance = gradient(vae_gan, x, noise)
    assert np.abs(only_distance["decoder"]).max() > 1e-3
    np.testing.assert_array_equal(only_distance["critic"][features], 0)
    vae_gan.gamma = 0.0
    without = gradient(vae_gan, x, noise)
    np.testing.assert_array_equal(without["decoder"], 0)
    np.testing.assert_array_equal(without["encoder"], before["encoder"])


def test_with_the_pixels_as_features_it_is_the_vae(vae_gan, rng):
    """Gaussian(1) up to its constant: the loss, and the gradients of encoder and decoder."""
    vae_gan.features, vae_gan.gamma = Sequential([LeakyReLU(1.0)]), 1.0  # f(x) = x
    vae_gan.head = Sequential([Dense("critic.pixels", 6, 1)])
    vae_gan.decoder = Sequential(vae_gan.decoder.layers[:-1])
    shapes = {n: s for n, s in vae_gan.layout.shapes.items() if not n.startswith("critic")}
    vae_gan.layout = ParameterLayout({**shapes, **vae_gan.head.shapes})
    vae_gan.theta = np.concatenate([vae_gan.theta[: ParameterLayout(shapes).size], np.zeros(7)])
    vae = VAE(6, 2, (5,), likelihood=Gaussian(1.0), dtype=np.float64)
    vae.theta[...] = vae_gan.theta[:-7]
    x, noise = rng.random((5, 6)), rng.standard_normal((5, 2, 2))
    loss, grad = vae.loss_and_grad(vae.theta, x, noise[:, 0])
    constant = 3 * np.log(2 * np.pi)
    found = vae_gan.losses(vae_gan.theta, x, noise)["encoder"]
    assert found == pytest.approx(loss - constant, rel=1e-12)
    ours = gradient(vae_gan, x, noise)
    ours = np.concatenate([ours["encoder"], ours["decoder"]])
    np.testing.assert_allclose(ours, grad, rtol=1e-11, atol=1e-13)


# 15: clusters.


@pytest.mark.slow
def test_clusters(run_example):
    out, pictures = run_example("15")
    assert pictures == ["example_15_clusters", "example_15_spread"]
    own, started = numbers(out.split("start: prior's own")[1])[:3], numbers(out.split("a VAE")[1])
    assert started[1] > own[1]  # the ELBO, in nats
    assert line_with(out, "chosen by the training ELBO: right") == [started[2]]


def test_the_best_matching_is_found(rng):
    """Against every permutation: a greedy choice would often miss it."""
    one_to_one = pieces("15")["one_to_one"]
    for _ in range(20):
        table = rng.integers(0, 9, (5, 5))
        classes = one_to_one(table)
        assert sorted(classes) == list(range(5))
        best = max(table[range(5), p].sum() for p in itertools.permutations(range(5)))
        assert table[range(5), classes].sum() == best


def test_k_means_finds_clusters_that_are_apart(rng):
    centres = 20.0 * np.array([[0, 0], [1, 0], [0, 1], [3, 3]])
    labels = np.repeat(np.arange(4), 25)
    means, found = pieces("15")["k_means"](centres[labels] + rng.standard_normal((100, 2)), 4, rng)
    assert len({(a, b) for a, b in zip(labels, found, strict=True)}) == 4
    distances = np.linalg.norm(means[found] - centres[labels], axis=1)
    assert distances.max() < 1


def test_a_model_that_starts_from_a_vae_has_its_networks_and_its_clusters():
    example, x = pieces("15"), load_digits()[0][:300]
    model = LearnedPriorVAE(64, 8, GaussianMixture(10), likelihood=Binomial(16), seed=1)
    example["from_a_vae"](model, x, 3)
    vae = VAE(64, 8, likelihood=Binomial(16), seed=1)
    vae.fit(x, 3, 128, Adam(3e-3), verbose=False)
    np.testing.assert_array_equal(model.encode(x)[0], vae.encode(x)[0])
    assert np.exp(model.params["prior.logits"]).sum() == pytest.approx(1, rel=1e-6)
    pi = np.exp(model.params["prior.logits"])
    np.testing.assert_allclose(
        pi @ model.params["prior.mean"], vae.encode(x)[0].mean(axis=0), atol=1e-4
    )


# 17: the price of a diagonal posterior. 18: residuals with structure.


def test_the_price_of_a_diagonal_posterior(run_example):
    out, pictures = run_example("17")
    assert pictures == ["example_17_price"]
    for angle in (0, 15, 45, 90):
        closed_form, diagonal, full = line_with(out, f"{angle} degrees:")
        assert diagonal == closed_form
        assert full == 0
    assert line_with(out, "45 degrees:")[0] == pytest.approx(0.4881)
    before, after, *_ = line_with(out, "W learned from 45 degrees: price")
    assert after < before - 0.2


def test_the_price_is_what_the_best_diagonal_gaussian_lacks(rng):
    """For any W, and no other diagonal Gaussian lacks less; a full covariance lacks nothing."""
    example = pieces("17")
    W, x = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    diagonal = example["best"](VAE, W)
    lost = example["price"](W)
    assert lost > 0.01
    np.testing.assert_allclose(example["gap"](diagonal, x, W), lost, rtol=1e-10)
    full = example["best"](FullCovarianceVAE, W)
    np.testing.assert_allclose(example["gap"](full, x, W), 0, atol=1e-12)
    for other in (np.log(np.diag(np.linalg.inv(example["precision"](W)))), np.full(2, -0.5)):
        diagonal.params["encoder.0.b"][2:] = other  # among them: of each z_l alone
        assert (example["gap"](diagonal, x, W) > lost + 1e-3).all()


def test_the_contours_are_the_exact_posterior(rng):
    """On the grid, from log p(x, z) alone: its moments are those of the closed form."""
    example = pieces("17")
    W = example["turned"](30)
    model, x = example["best"](FullCovarianceVAE, W), rng.standard_normal(2)
    mean, C = (a[0] for a in model.encode(x[None]))
    axes, density = example["true_posterior"](model, x, mean, 4.0)
    weight = density * (axes[0, 1] - axes[0, 0]) ** 2
    z = np.stack(np.meshgrid(*axes), axis=-1) - mean
    np.testing.assert_allclose(np.einsum("ij,ijk->k", weight, z), 0, atol=1e-6)
    np.testing.assert_allclose(np.einsum("ij,ijk,ijl->kl", weight, z, z), C @ C.T, atol=1e-5)


def test_structured_residuals(run_example):
    out, pictures = run_example("18")
    assert pictures == ["example_18_residuals"]
    elbo, in_draws, _ = line_with(out, "structured residuals: test ELBO")
    white_elbo, in_white_draws, _ = line_with(out, "white residuals: test ELBO")
    assert elbo > white_elbo
    assert in_draws > 0.5
    assert abs(in_white_draws) < 0.05


def test_autocorrelation_and_waves(rng):
    """Of white noise 0, of an autoregression phi^k; the waves leave a residual of that kind."""
    example = pieces("18")
    correlation = example["autocorrelation"]
    np.testing.assert_allclose(correlation(rng.standard_normal((4000, 32)))[1:], 0, atol=0.02)
    x = example["waves"](rng, 4000)
    t = 2 * np.pi * np.arange(32) / 32
    wave = np.stack([np.sin(t), np.cos(t)]) / 4
    left = x - x @ wave.T @ wave  # without the wave, and what of the residual looks like one
    step = left[:, 1:] - 0.9 * left[:, :-1]
    assert np.sqrt((step**2).mean()) == pytest.approx(0.3 * np.sqrt(1 - 0.9**2), rel=0.05)
