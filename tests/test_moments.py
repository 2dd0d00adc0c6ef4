"""Whatever is random, by its moments and against a second way to compute it.

A draw is compared with the first four moments that its docstring promises and with the absence of
any dependence between its columns: uniform numbers in place of normal ones, a standard deviation
in place of a variance, or one number used twice do not pass. An estimate is computed again, in
plain NumPy, from the same random numbers.
"""

import math
import re
from itertools import pairwise

import numpy as np
import pytest

from numpyvae import (
    VAE,
    Adam,
    Bernoulli,
    Binomial,
    DenoisingAutoencoder,
    Gaussian,
    NoisyAutoencoder,
)
from numpyvae.corruptions import GaussianNoise, Masking, SaltAndPepper
from numpyvae.data import (
    PLANE_IN_FIVE_DIMENSIONS,
    THREE_GAUSSIANS,
    GaussianMixture,
    LinearGaussian,
    gaussian_mixture,
    linear_gaussian,
    pinwheel,
    spiral,
)
from numpyvae.evaluation import active_units, chunks, elbo_terms, evaluate
from numpyvae.exact import ProbabilisticPCA
from numpyvae.layers import ACTIVATIONS
from numpyvae.parameters import glorot_uniform, he_normal
from numpyvae.priors import StandardNormal
from numpyvae.progress import Progress
from numpyvae.proofs import (
    LIKELIHOODS,
    Pair,
    Proof,
    Sizes,
    draw_data,
    models,
    primitives,
    prove,
    table,
)

N = 40_000


def assert_moments(x, mean, variance, kurtosis=3.0):
    """Mean, variance, skewness 0 and kurtosis of each column of x (N, D), within five errors."""
    n, error = len(x), 5 / math.sqrt(len(x))
    deviation = (x - mean) / np.sqrt(variance)
    fourth = max(kurtosis, 3.0) * 4  # the fourth moment's own spread is wide
    assert np.abs(deviation.mean(axis=0)).max() < error
    assert np.abs((deviation**2).mean(axis=0) - 1).max() <= error * math.sqrt(kurtosis - 1)
    assert np.abs((deviation**3).mean(axis=0)).max() < error * math.sqrt(15)
    assert np.abs((deviation**4).mean(axis=0) - kurtosis).max() < error * math.sqrt(8 * fourth)
    correlation = deviation.T @ deviation / n - np.eye(x.shape[1])
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < error
    assert np.abs((deviation[1:] * deviation[:-1]).mean(axis=0)).max() < error  # nor between rows


NORMAL = {"mean": 0.0, "variance": 1.0}
UNIFORM = {"mean": 0.5, "variance": 1 / 12, "kurtosis": 1.8}


# Everything that draws.


@pytest.mark.parametrize(
    ("make", "moments"),
    [
        (lambda rng: StandardNormal().sample({}, rng, N, 3), NORMAL),
        (lambda rng: VAE(4, 3, (5,)).draw_noise(rng, N), NORMAL),
        (lambda rng: NoisyAutoencoder(4, 3, code_noise=0.3).draw_noise(rng, N), NORMAL),
        (lambda rng: GaussianNoise(0.3).draw(rng, (N, 3), np.float32), NORMAL),
        (lambda rng: Masking(0.3).draw(rng, (N, 3), np.float32), UNIFORM),
        (lambda rng: SaltAndPepper(0.3).draw(rng, (N, 3), np.float64), UNIFORM),
        (lambda rng: he_normal(rng, (N, 3)), {"mean": 0.0, "variance": 2 / N}),
        (lambda rng: he_normal(rng, (3, N)).T, {"mean": 0.0, "variance": 2 / 3}),
        (
            lambda rng: glorot_uniform(rng, (N, 3)),
            {"mean": 0.0, "variance": 6 / (N + 3) / 3, "kurtosis": 1.8},
        ),
        (lambda rng: draw_data(Gaussian(), (N, 3), rng), {"mean": 0.0, "variance": 2.0}),
        (
            lambda rng: Gaussian("per_dimension").sample(
                {}, np.tile([1.0, 2, 3, 0, 1, 2], (N, 1)), rng
            ),
            {"mean": np.array([1.0, 2, 3]), "variance": np.exp([0.0, 1, 2])},
        ),
        (
            lambda rng: Gaussian("shared", 5.0, 2.0).sample(
                {"likelihood.log_var": np.array([1.0])}, np.full((N, 3), 0.5), rng
            ),
            {"mean": 6.0, "variance": 4 * np.e},
        ),
        (
            lambda rng: Binomial(4).sample({}, np.zeros((N, 3)), rng),
            {"mean": 2.0, "variance": 1.0, "kurtosis": 2.5},
        ),
        (
            lambda rng: Bernoulli().sample({}, np.zeros((N, 3)), rng),
            {"mean": 0.5, "variance": 0.25, "kurtosis": 1.0},
        ),
    ],
)
def test_every_draw_has_the_moments_of_its_distribution(make, moments, rng):
    x = make(rng)
    assert x.shape == (N, 3)
    assert_moments(x.astype(np.float64), **moments)
    assert not np.array_equal(x, make(rng)), "the next draw is another one"


def test_noise_has_the_shape_and_dtype_that_a_step_takes(rng):
    corrupted = DenoisingAutoencoder(4, 3, corruption=GaussianNoise(0.3))
    for model, width in (
        (VAE(4, 3, (5,)), 3),
        (VAE(4, 3, (5,), dtype=np.float64), 3),
        (NoisyAutoencoder(4, 3, code_noise=0.3), 3),
        (corrupted, 4),
    ):
        noise = model.draw_noise(rng, 7)
        assert noise.shape == (7, width)
        assert noise.dtype == model.dtype
    for corruption in (GaussianNoise(0.3), Masking(0.3), SaltAndPepper(0.3)):
        for dtype in (np.float32, np.float64):
            noise = corruption.draw(rng, (6, 2), dtype)
            assert noise.dtype == dtype
            assert corruption.apply(np.ones((6, 2), dtype), noise).dtype == dtype


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.7])
def test_a_corruption_spoils_its_share_and_keeps_the_rest(probability, rng):
    """The data survive where they are not spoilt: entry for entry, not only on average."""
    x = rng.uniform(3, 4, (N, 2))  # no value is one that a corruption writes
    error = 5 * math.sqrt(0.25 / N / 2)
    mask, salt = Masking(probability), SaltAndPepper(probability, low=-1.0, high=2.0)
    masked = mask.apply(x, mask.draw(rng, x.shape, x.dtype))
    salted = salt.apply(x, salt.draw(rng, x.shape, x.dtype))
    assert ((masked == x) | (masked == 0)).all()
    assert ((salted == x) | (salted == -1) | (salted == 2)).all()
    assert abs((masked == 0).mean() - probability) <= error * (probability > 0)
    for value in (-1, 2):
        assert abs((salted == value).mean() - probability / 2) <= error * (probability > 0)
    noisy = GaussianNoise(0.3)
    assert_moments(noisy.apply(x, noisy.draw(rng, x.shape, x.dtype)) - x, 0.0, 0.09)


def test_noise_on_the_edge_of_a_probability_is_on_the_documented_side():
    """P(noise < p) = p exactly for noise in [0, 1): p itself is already kept."""
    noise, x = np.array([[0.0, 0.125, 0.25, 0.5]]), np.full((1, 4), 7.0)
    assert Masking(0.25).apply(x, noise).tolist() == [[0, 0, 7, 7]]
    assert SaltAndPepper(0.25, -1, 2).apply(x, noise).tolist() == [[-1, 2, 7, 7]]


def test_a_mixture_has_the_moments_of_each_component(rng):
    truth = GaussianMixture([0.5, 0.2, 0.3], [[0, 1], [5, -3], [-4, 2]], [0.25, 4.0, 1.0])
    x, component = truth.sample(N, rng)
    counts = np.bincount(component)
    np.testing.assert_allclose(counts / N, truth.weights, atol=0.012)
    for k in range(3):
        assert_moments(x[component == k], truth.means[k], truth.variances[k])


def test_a_linear_gaussian_is_latent_times_weights_plus_mean_plus_noise(rng):
    weights, mean = np.array([[2.0, 0.0], [1.0, -1.0], [0.0, 3.0]]), np.array([1.0, -2.0, 0.5])
    truth = LinearGaussian(weights, mean, 0.25)
    x, z = truth.sample(N, rng)
    assert_moments(z, 0.0, 1.0)
    noise = x - z @ weights.T - mean
    assert_moments(noise, 0.0, 0.25)
    assert np.abs(noise.T @ z / N).max() < 5 * 0.5 / math.sqrt(N)
    covariance = weights @ weights.T + 0.25 * np.eye(3)
    np.testing.assert_allclose(truth.covariance(), covariance, rtol=1e-14)
    np.testing.assert_allclose(truth.covariance(0.5), covariance + 0.5 * np.eye(3), rtol=1e-14)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.35)


@pytest.mark.parametrize("kind", [int, np.uint8, np.float32, list])
def test_truths_compute_in_float64_whatever_comes(kind):
    """At points that every type holds exactly: the same bits."""
    for truth in (THREE_GAUSSIANS, PLANE_IN_FIVE_DIMENSIONS):
        points = np.arange(6.0 if truth is THREE_GAUSSIANS else 15.0).reshape(3, -1)
        given = points.tolist() if kind is list else points.astype(kind)
        for method in (truth.log_prob, truth.score):
            assert method(given).dtype == np.float64
            np.testing.assert_array_equal(method(given), method(points))


def angle_and_radius(points):
    """Along a curve, as a walker on it counts: the angle goes on beyond pi."""
    z = points @ [1, 1j]
    return np.unwrap(np.angle(z)), np.abs(z)


@pytest.mark.parametrize(("arms", "turns"), [(2, 1.25), (3, 0.5), (1, 2.0)])
def test_a_spiral_winds_as_often_as_it_says(arms, turns, rng):
    """Arm k is r exp(2 pi i (turns r / 2 + k / arms)), r up to 2, its beads evenly along r^2."""
    truth = spiral(10, rng, arms, turns, noise=0.2).truth
    beads = truth.means.reshape(arms, -1, 2)
    assert len(beads[0]) == 100
    for k, arm in enumerate(beads):
        angle, radius = angle_and_radius(arm)
        np.testing.assert_allclose(radius**2 / 4, (np.arange(100) + 0.5) / 100, rtol=1e-12)
        expected = 2 * np.pi * (turns * radius / 2 + k / arms)
        np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * expected), atol=1e-12)
        assert angle[-1] - angle[0] == pytest.approx(np.pi * turns * (radius[-1] - radius[0]))
    np.testing.assert_allclose(truth.weights, 1 / (100 * arms), rtol=1e-12)
    np.testing.assert_allclose(truth.variances, 0.04, rtol=1e-12)


@pytest.mark.parametrize(("arms", "twist"), [(5, 1.5), (3, -0.7)])
def test_a_pinwheel_bends_as_far_as_it_says(arms, twist, rng):
    """Blade k is r exp(i (twist r + 2 pi k / arms)), r normal about 1 with deviation 0.3."""
    truth = pinwheel(10, rng, arms, twist, noise=0.2).truth
    position = np.linspace(-3, 3, 100)
    weights = np.exp(-(position**2) / 2)
    for k, blade in enumerate(truth.means.reshape(arms, -1, 2)):
        angle, radius = angle_and_radius(blade)
        np.testing.assert_allclose(radius, 1 + 0.3 * position, rtol=1e-12)
        expected = twist * radius + 2 * np.pi * k / arms
        np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * expected), atol=1e-12)
    np.testing.assert_allclose(
        truth.weights.reshape(arms, -1), np.tile(weights / weights.sum() / arms, (arms, 1))
    )
    np.testing.assert_allclose(truth.variances, 0.04, rtol=1e-12)


@pytest.mark.parametrize("make", [gaussian_mixture, spiral, pinwheel, linear_gaussian])
def test_toys_are_drawn_from_their_own_truth_by_the_same_generator(make):
    """The points are exactly those that `truth.sample` draws, and have its moments."""
    x, hidden, truth = make(2000, np.random.default_rng(3))
    again, component = truth.sample(2000, np.random.default_rng(3))
    np.testing.assert_array_equal(x, again)
    if make in (spiral, pinwheel):
        component = component // 100
    np.testing.assert_array_equal(hidden, component)
    mean = truth.weights @ truth.means if hidden.ndim == 1 else truth.mean
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.15)


# Everything that is estimated.


def linear_vae(rng, weights=((1.0, 0.5), (-0.5, 2.0), (0.0, 1.0)), bias=(1.0, -1.0, 3.0)):
    """A VAE with a linear decoder, whose samples and ELBO can be written down."""
    vae = VAE(3, 2, (), likelihood=Gaussian(0.25), dtype=np.float64, seed=7)
    vae.theta[:] = 0.5 * rng.standard_normal(len(vae.theta))
    views = vae.layout.views(vae.theta)
    views["decoder.0.W"][...] = np.transpose(weights)
    views["decoder.0.b"][...] = bias
    return vae


def test_samples_are_decoded_draws_of_the_prior(rng):
    vae = linear_vae(rng)
    views = vae.layout.views(vae.theta)
    x = vae.sample(N, rng)
    z = np.linalg.lstsq(views["decoder.0.W"].T, (x - views["decoder.0.b"]).T, rcond=None)[0].T
    assert_moments(z, 0.0, 1.0)
    from_seed = vae.decode(np.random.default_rng([7, 0]).standard_normal((5, 2)))
    np.testing.assert_allclose(vae.sample(5), from_seed, rtol=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("n_samples", [1, 3])
def test_estimates_are_the_means_that_their_docstrings_show(likelihood, n_samples, rng):
    """ELBO and importance weights again, from the same noise, in plain NumPy."""
    vae = VAE(4, 2, (5,), "tanh", likelihood, dtype=np.float64)
    vae.theta[:] = 0.5 * rng.standard_normal(len(vae.theta))
    x, n = draw_data(likelihood, (6, 4), rng), n_samples
    mean, log_var = vae.encode(x)
    params = vae.layout.views(vae.theta)

    def log_px(noise):
        z = mean + np.exp(log_var / 2) * noise
        output, _ = vae.decoder.forward(params, z)
        return likelihood.log_prob(params, x, output)[0], z

    noise = np.random.default_rng(1).standard_normal((n, 6, 2))
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
    reconstruction = np.mean([log_px(noise[s])[0] for s in range(n)], axis=0)
    terms = elbo_terms(vae, x, n, np.random.default_rng(1))
    np.testing.assert_allclose(terms, (reconstruction, kl), rtol=1e-10)
    elbo = vae.elbo(x, n, np.random.default_rng(1))
    np.testing.assert_allclose(elbo, reconstruction - kl, rtol=1e-10)

    noise = np.random.default_rng(1).standard_normal((6, n, 2))  # an example's draws together
    log_weights = []
    for s in range(n):
        log_p, z = log_px(noise[:, s])
        prior = -0.5 * (z**2 + math.log(2 * math.pi)).sum(axis=1)
        q = -0.5 * (noise[:, s] ** 2 + log_var + math.log(2 * math.pi)).sum(axis=1)
        log_weights.append(log_p + prior - q)
    expected = np.log(np.mean(np.exp(log_weights), axis=0))
    np.testing.assert_allclose(
        vae.log_likelihood(x, n, np.random.default_rng(1), "importance"), expected, rtol=1e-10
    )


def test_chunks_of_rows_leave_an_estimate_as_it_is(rng, monkeypatch):
    """The noise is drawn row by row, so where a chunk ends is seen in no row's estimate."""
    vae, x = linear_vae(rng), rng.standard_normal((11, 3))
    whole = vae.elbo(x), vae.log_likelihood(x, 3, None, "importance")
    monkeypatch.setattr("numpyvae.evaluation.CHUNK_ENTRIES", 30)  # 7 rows, or 2 with 3 samples
    parts = vae.elbo(x), vae.log_likelihood(x, 3, None, "importance")
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


@pytest.mark.parametrize("n_samples", [1, 7, 5000])
@pytest.mark.parametrize("n_rows", [1, 30, 31])
def test_chunks_are_as_large_as_memory_allows_and_leave_no_row_out(n_rows, n_samples, monkeypatch):
    """Rows x samples x the widest layer, here of 50, fit into CHUNK_ENTRIES; at least one row."""
    monkeypatch.setattr("numpyvae.evaluation.CHUNK_ENTRIES", 5250)
    size = max(1, 5250 // (50 * n_samples))  # 105 rows, 15, 1
    parts = [np.arange(n_rows)[rows] for rows in chunks(VAE(3, 2, (50,)), n_rows, n_samples)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n_rows))
    assert all(len(part) == size for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= size


def test_evaluate_gives_the_means_of_what_it_names(rng):
    vae = linear_vae(rng)
    x = rng.standard_normal((8, 3))
    result = evaluate(vae, x, 4, np.random.default_rng(2))
    generator = np.random.default_rng(2)
    log_px, kl = elbo_terms(vae, x, 10, generator)
    best = vae.log_likelihood(x, 4, generator, full=True)
    sampled = vae.log_likelihood(x, 4, generator, "refined", full=True)
    assert result == {
        "elbo": pytest.approx((log_px - kl).mean()),
        "log_px": pytest.approx(log_px.mean()),
        "kl": pytest.approx(kl.mean()),
        "log_likelihood": pytest.approx(best.log_likelihood.mean()),
        "method": "quadrature",
        "standard_error": pytest.approx(best.standard_error.mean()),
        "sampled_log_likelihood": pytest.approx(sampled.log_likelihood.mean()),
        "few_effective": (sampled.effective_sample_size < 5).sum(),
        "amortization_gap": pytest.approx(sampled.elbo.mean() - (log_px - kl).mean()),
        "approximation_gap": pytest.approx((best.log_likelihood - sampled.elbo).mean()),
        "active_units": active_units(vae, x).sum(),
    }
    assert evaluate(vae, x, 4) == evaluate(vae, x, 4, np.random.default_rng([7, 0]))


def test_active_units_compare_the_variance_with_the_threshold():
    """The variance, not the standard deviation; over the examples, not over the dimensions."""
    vae = VAE(2, 2, (), likelihood=Gaussian(), dtype=np.float64)
    views = vae.layout.views(vae.theta)
    views["encoder.0.W"][...] = [[1, 0, 0, 0], [0, 0.05, 0, 0]]
    x = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])  # variances 1 and 0.0025
    assert active_units(vae, x).tolist() == [True, False]
    assert active_units(vae, x, threshold=0.002).tolist() == [True, True]
    assert active_units(vae, x, threshold=1.0).tolist() == [False, False]


# Training, done again by hand.


def test_an_epoch_is_what_it_says_step_by_step(rng):
    """Order, noise, steps and means, weighted by size: 7 rows in minibatches of 3."""
    x, held_out = rng.standard_normal((7, 3)), rng.standard_normal((5, 3))
    arguments = {"likelihood": Gaussian(0.5), "beta": 0.7, "seed": 4, "dtype": np.float64}
    vae, twin = VAE(3, 2, (4,), **arguments), VAE(3, 2, (4,), **arguments)
    vae.fit(x, 2, 3, Adam(0.05), held_out, verbose=False)
    adam = Adam(0.05)
    for epoch, record in enumerate(vae.history, start=1):
        generator = np.random.default_rng([4, epoch])
        order = generator.permutation(7)
        sums = np.zeros(3)
        for rows in (order[:3], order[3:6], order[6:]):
            noise = twin.draw_noise(generator, len(rows))
            loss, grad = twin.loss_and_grad(twin.theta, x[rows], noise)
            log_px, kl = twin.elbo_terms(twin.theta, x[rows], noise)
            adam.step(twin.theta, grad)
            sums += len(rows) * loss, log_px.sum(), kl.sum()
        check_record(record, "", sums / 7)
        generator, sums = np.random.default_rng([4, 0]), np.zeros(3)
        for batch in (held_out[:3], held_out[3:]):
            noise = twin.draw_noise(generator, len(batch))
            log_px, kl = twin.elbo_terms(twin.theta, batch, noise)
            loss = twin.loss(twin.theta, batch, noise)
            sums += len(batch) * loss, log_px.sum(), kl.sum()
        check_record(record, "validation_", sums / 5)
    np.testing.assert_array_equal(vae.theta, twin.theta)


def check_record(record, prefix, means):
    loss, log_px, kl = means
    expected = {"loss": loss, "log_px": log_px, "kl": kl, "elbo": log_px - kl}
    for name, value in expected.items():
        assert record[prefix + name] == pytest.approx(value, rel=1e-10)


def test_seconds_are_those_of_the_epoch(monkeypatch, rng):
    """By a clock that a minibatch moves on by 2.5 seconds: three minibatches an epoch."""
    now = [1000.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def transform(batch):
        now[0] += 2.5
        return batch

    vae = VAE(3, 2, (4,), likelihood=Gaussian())
    vae.fit(rng.standard_normal((7, 3)), 2, 3, transform=transform, verbose=False)
    np.testing.assert_allclose(vae.history.column("seconds"), 7.5)


def test_progress_is_told_how_much_of_the_epoch_is_done(monkeypatch, rng):
    told = []
    monkeypatch.setattr(Progress, "during_epoch", lambda _, part, means: told.append(part))
    VAE(3, 2, (4,), likelihood=Gaussian()).fit(rng.standard_normal((7, 3)), 2, 3)
    assert told == pytest.approx([3 / 7, 6 / 7, 1.0] * 2)


def test_em_starts_where_it_says(rng):
    """Weights of N(0, trace(S) / D), drawn from the generator; default_rng(0) without one."""
    x = rng.standard_normal((50, 400)) * np.linspace(1, 3, 400)
    starts = []
    for generator in (None, np.random.default_rng(0), np.random.default_rng(1)):
        model = ProbabilisticPCA(2)
        starts.append(model.fit_em(x, 1, generator)[0])
    assert starts[0] == starts[1] != starts[2]
    variance = x.var(axis=0).mean()
    weights = np.random.default_rng(0).standard_normal((400, 2)) * math.sqrt(variance)
    start = ProbabilisticPCA(2)
    start.mean, start.weights, start.noise_variance = x.mean(axis=0), weights, variance
    assert starts[0] == pytest.approx(start.log_likelihood(x).mean(), rel=1e-9)


# The proofs, which are read by eye.


def test_a_proof_is_the_worst_error_relative_to_the_largest_entry():
    """Of a gradient that is wrong by 0.5 in one entry, where the largest is 4."""
    theta = np.array([1.0, 2.0, -1.0])
    for wrong in range(3):
        off = 0.5 * (np.arange(3) == wrong)
        proof = prove(Pair("p", lambda t: (t * t).sum(), lambda t, off=off: 2 * t + off, theta))
        assert proof.n_entries == 3
        assert proof.complex_step_error == pytest.approx(0.125, rel=1e-12)
        assert proof.central_difference_error == pytest.approx(0.125, rel=1e-7)
        assert not proof.passed


@pytest.mark.parametrize(
    ("errors", "passed"),
    [
        ((1e-12, 1e-7), True),
        ((0.0, 0.0), True),
        ((1.1e-12, 0.0), False),
        ((0.0, 1.1e-7), False),
        ((math.nan, 0.0), False),
        ((0.0, math.nan), False),
    ],
)
def test_both_errors_decide(errors, passed):
    proof = Proof("a gradient", 7, *errors)
    assert proof.passed == passed
    text = table([proof, Proof("another one", 12, 0.0, 0.0)])
    header, first, second, empty, summary = text.split("\n")[:5]
    assert header.split() == ["entries", "complex", "step", "difference", "verdict"]
    assert first.split() == [
        "a",
        "gradient",
        "7",
        *(f"{error:.1e}" for error in errors),
        "pass" if passed else "FAIL",
    ]
    assert second.startswith("another one       12")
    assert (empty, len(header) - len("verdict")) == ("", len(first) - len("pass"))
    assert summary.startswith(f"{1 + passed} of 2 gradients proven")
    assert "at most 1e-12 by complex step and 1e-07 by central difference" in text


def test_data_for_a_proof_take_every_value_of_the_support(rng):
    assert set(np.unique(draw_data(Bernoulli(), (50, 3), rng))) == {0, 1}
    assert set(np.unique(draw_data(Binomial(3), (50, 3), rng))) == {0, 1, 2, 3}


def test_proofs_are_at_generic_points(rng):
    """Normal numbers of both signs, and no two neighbouring widths of a model the same."""
    theta = np.concatenate([pair.theta for _ in range(20) for pair in primitives(rng)])
    assert_moments(theta[:, None], 0.0, 1.0)
    for pair in models(rng):
        widths = re.search(r"\((\d+(-\d+)*)", pair.name).group(1).split("-")
        assert all(a != b for a, b in pairwise(widths)), pair.name


def test_the_table_proves_models_of_every_kind(rng):
    """At the given sizes, and each of them at another point."""
    pairs = models(rng, Sizes(4, 6, 5, 2))
    names = [pair.name for pair in pairs]
    for kind in ("VAE(", "Autoencoder(", "DenoisingAutoencoder(", "NoisyAutoencoder("):
        assert any(name.startswith(kind) for name in names)
    for likelihood in LIKELIHOODS:
        assert sum(repr(likelihood) in name for name in names) >= 2
    for activation in ACTIVATIONS:
        assert any(f", {activation}, " in name for name in names)
    for name in names:  # a code of indices has no dimension
        assert re.search(r"\(6[-,]", name)
        assert "-2," in name or "VectorQuantized" in name
    assert all(abs(pair.theta.std() - 0.3) < 0.1 for pair in pairs)


def test_the_rank_is_told_from_rounding():
    """A variance below D 1e-14 of the largest counts as none: here D = 2, axes exactly at hand."""
    for share, fits in ((1e-14, False), (1.9e-14, False), (2.1e-14, True), (1e-10, True)):
        x = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]]) * [1.0, math.sqrt(share)]
        if fits:
            assert ProbabilisticPCA(1).fit(x).noise_variance == pytest.approx(share)
        else:
            with pytest.raises(ValueError, match="must be below 1, the rank"):
                ProbabilisticPCA(1).fit(x)
