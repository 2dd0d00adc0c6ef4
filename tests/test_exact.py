"""The references, held against formulas that are written here once more and against brute force."""

import itertools
import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.exact import PCA, ProbabilisticPCA, marginal_log_likelihood

SEEDS = st.integers(0, 10_000)


def data_of_rank(rng, n, data_dim, rank):
    """Correlated data (n, D) with mean away from 0 and well separated variances."""
    axes = np.linalg.qr(rng.normal(size=(data_dim, data_dim)))[0][:rank]
    return rng.normal(size=(n, rank)) * np.linspace(3.0, 0.5, rank) @ axes + rng.normal(
        size=data_dim
    )


def dense_log_normal(x, mean, covariance):
    """log N(x; mean, covariance) with the D x D matrix, nothing clever."""
    residual = x - mean
    quadratic = np.einsum("nd,nd->n", residual, np.linalg.solve(covariance, residual.T).T)
    return -0.5 * (quadratic + np.linalg.slogdet(2.0 * np.pi * covariance)[1])


# --- PCA ------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(3, 30), st.integers(1, 8))
def test_pca_is_the_singular_value_decomposition(seed, n, data_dim):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, data_dim)) * rng.uniform(0.1, 3.0, data_dim) + 5.0
    k = int(rng.integers(1, data_dim + 1))
    pca = PCA(k).fit(x)
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = np.zeros(data_dim)
    expected[: len(s)] = s**2 / n
    np.testing.assert_allclose(pca.explained_variance, expected[:k], atol=1e-12)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(
        pca.explained_variance_ratio, expected[:k] / expected.sum(), atol=1e-12
    )
    gap = k == data_dim or expected[k - 1] - expected[k] > 1e-3
    if k <= len(s) and gap:  # the subspace is unique
        np.testing.assert_allclose(pca.components.T @ pca.components, vt[:k].T @ vt[:k], atol=1e-9)


@given(SEEDS, st.integers(1, 6))
def test_pca_error_and_projected_variance_make_up_the_total(seed, k):
    rng = np.random.default_rng(seed)
    x = data_of_rank(rng, 20, 6, 5)
    pca = PCA(k).fit(x)
    reconstruction = pca.inverse_transform(pca.transform(x))
    errors = ((x - reconstruction) ** 2).sum(axis=1)
    np.testing.assert_allclose(pca.reconstruction_error(x), errors, atol=1e-12)
    total = x.var(axis=0).sum()
    assert pca.total_variance == pytest.approx(total, rel=1e-12)
    assert errors.mean() + pca.explained_variance.sum() == pytest.approx(total, rel=1e-12)
    assert pca.transform(x).var(axis=0) == pytest.approx(pca.explained_variance, abs=1e-12)


def test_pca_by_hand():
    x = np.array([[-2.0, -2.0], [1.0, 2.0], [4.0, 6.0]])
    pca = PCA(1).fit(x)
    np.testing.assert_allclose(pca.mean, [1.0, 2.0])
    np.testing.assert_allclose(
        pca.components, [[0.6, 0.8]], atol=1e-12
    )  # the larger entry positive
    np.testing.assert_allclose(pca.explained_variance, [50.0 / 3.0])
    np.testing.assert_allclose(pca.transform([[4.0, 6.0]]), [[5.0]])
    np.testing.assert_allclose(pca.inverse_transform([[5.0]]), [[4.0, 6.0]])


def test_pca_signs_do_not_depend_on_the_data_being_mirrored():
    x = data_of_rank(np.random.default_rng(3), 50, 7, 7)
    components = PCA(7).fit(x).components
    np.testing.assert_allclose(PCA(7).fit(-x).components, components, atol=1e-9)
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(7), largest] > 0).all()


def test_pca_of_many_bytes_is_exact_without_a_float64_copy():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(30_000, 100), dtype=np.uint8)  # several chunks, 24 MB in float64
    tracemalloc.start()
    pca = PCA(3).fit(x)
    error = pca.reconstruction_error(x).mean()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    wide = x.astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(wide.T, bias=True))[::-1]
    np.testing.assert_allclose(pca.explained_variance, variances[:3], rtol=1e-11)
    assert error == pytest.approx(variances[3:].sum(), rel=1e-11)
    np.testing.assert_allclose(
        PCA(3).fit((wide / 256).astype(np.float32)).explained_variance * 256**2,
        variances[:3],
        rtol=1e-11,
    )


def test_pca_of_constant_data_has_no_variance():
    pca = PCA(2).fit(np.full((4, 3), 7.0))
    assert (pca.explained_variance == 0).all()
    assert (pca.explained_variance_ratio == 0).all()


# --- Probabilistic PCA ----------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 4), st.integers(0, 3))
def test_ppca_likelihood_and_posterior_are_those_of_the_dense_gaussian(seed, latent_dim, constant):
    rng = np.random.default_rng(seed)
    x = np.concatenate([data_of_rank(rng, 40, 6, 6), np.full((40, constant), 0.25)], axis=1)
    model = ProbabilisticPCA(latent_dim).fit(x)
    data_dim, W = x.shape[1], model.weights
    assert W.shape == (data_dim, latent_dim)
    C = W @ W.T + model.noise_variance * np.eye(data_dim)
    new = x + rng.normal(size=x.shape)  # also away from the data of the fit
    np.testing.assert_allclose(
        model.log_likelihood(new), dense_log_normal(new, model.mean, C), rtol=1e-9
    )
    mean, covariance = model.posterior(new)
    np.testing.assert_allclose(mean, (new - x.mean(axis=0)) @ np.linalg.solve(C, W), atol=1e-9)
    np.testing.assert_allclose(
        covariance, np.eye(latent_dim) - W.T @ np.linalg.solve(C, W), atol=1e-9
    )


@given(SEEDS, st.integers(1, 4))
def test_ppca_closed_form_is_the_maximum(seed, latent_dim):
    rng = np.random.default_rng(seed)
    x = data_of_rank(rng, 40, 6, 6)
    model = ProbabilisticPCA(latent_dim).fit(x)
    variances = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = variances[latent_dim:].mean()
    assert model.noise_variance == pytest.approx(noise, rel=1e-10)
    log_det = np.log(variances[:latent_dim]).sum() + (6 - latent_dim) * math.log(noise)
    best = -0.5 * (6 * math.log(2 * math.pi) + log_det + 6)  # Tipping & Bishop 1999, at the maximum
    assert model.log_likelihood(x).mean() == pytest.approx(best, abs=1e-9)
    weights = model.weights
    for _ in range(5):
        model.weights = weights + 0.1 * rng.normal(size=weights.shape)
        assert model.log_likelihood(x).mean() < best
    model.weights = weights
    for factor in (0.9, 1.1):
        model.noise_variance = factor * noise
        assert model.log_likelihood(x).mean() < best


@pytest.mark.parametrize("constant", [0, 3])
def test_em_climbs_to_the_closed_form(constant):
    rng = np.random.default_rng(5)
    x = np.concatenate([data_of_rank(rng, 200, 6, 6), np.zeros((200, constant))], axis=1)
    closed, climbed, other = ProbabilisticPCA(2).fit(x), ProbabilisticPCA(2), ProbabilisticPCA(2)
    trace = climbed.fit_em(x, 400)
    assert trace.shape == (401,)
    assert np.diff(trace).min() > -1e-12
    assert trace[10] - trace[0] > 0.1
    assert trace[-1] == pytest.approx(climbed.log_likelihood(x).mean(), abs=1e-10)
    assert trace[-1] == pytest.approx(closed.log_likelihood(x).mean(), abs=1e-9)
    assert climbed.noise_variance == pytest.approx(closed.noise_variance, rel=1e-9)
    np.testing.assert_allclose(climbed.weights, closed.weights, atol=1e-6)

    few = other.fit_em(x, 3)  # the trace is of the model that is left behind, at every step
    np.testing.assert_allclose(few, trace[:4], rtol=1e-12)
    assert other.log_likelihood(x).mean() == pytest.approx(trace[3], abs=1e-10)
    assert abs(other.fit_em(x, 3, np.random.default_rng(1))[0] - trace[0]) > 1e-3


def test_em_takes_the_steps_of_the_textbook():
    x = data_of_rank(np.random.default_rng(2), 50, 5, 5)
    trace = ProbabilisticPCA(2).fit_em(x, 4, np.random.default_rng(9))
    r, n, D = x - x.mean(axis=0), 50, 5
    noise = (r**2).sum() / (n * D)
    W = np.random.default_rng(9).normal(size=(D, 2)) * math.sqrt(noise)
    for value in trace:
        C = W @ W.T + noise * np.eye(D)
        assert value == pytest.approx(dense_log_normal(r, np.zeros(D), C).mean(), abs=1e-10)
        z = r @ np.linalg.solve(
            C, W
        )  # E[z_n], and E[z_n z_n^T] summed over n: Bishop 12.54 to 12.57
        zz = n * (np.eye(2) - W.T @ np.linalg.solve(C, W)) + z.T @ z
        W = r.T @ z @ np.linalg.inv(zz)
        noise = ((r**2).sum() - 2 * (z * (r @ W)).sum() + np.trace(zz @ W.T @ W)) / (n * D)


@pytest.mark.parametrize("fit", [ProbabilisticPCA.fit, lambda model, x: model.fit_em(x, 5)])
def test_ppca_refuses_what_leaves_no_noise(fit):
    rng = np.random.default_rng(1)
    for latent_dim in (3, 4, 7, 9):
        x = np.concatenate([data_of_rank(rng, 30, 5, 3), np.ones((30, 2))], axis=1)
        fit(ProbabilisticPCA(2), x)
        with pytest.raises(ValueError, match=f"latent_dim={latent_dim} must be below 3, the rank"):
            fit(ProbabilisticPCA(latent_dim), x)
    with pytest.raises(ValueError, match="must be below 0, the rank"):
        fit(ProbabilisticPCA(1), np.ones((5, 4)))


@pytest.mark.parametrize("model", [PCA(2), ProbabilisticPCA(2)])
def test_linear_models_refuse_bad_input(model):
    x = np.random.default_rng(0).normal(size=(10, 4))
    bad = x.copy()
    bad[3, 1] = np.nan
    for wrong in (x[0], x[:0], bad, x.astype(complex), x.astype(str)):
        with pytest.raises(ValueError):
            model.fit(wrong)
    use = "transform" if isinstance(model, PCA) else "log_likelihood"
    with pytest.raises(ValueError, match="not fitted"):
        getattr(type(model)(2), use)(x)
    with pytest.raises(ValueError, match="expected 4 columns"):
        getattr(type(model)(2).fit(x), use)(x[:, :3])
    for size in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="positive integer"):
            type(model)(size)
    with pytest.raises(ValueError, match=r"n_components=5 is more than D=4"):
        PCA(5).fit(x)


# --- log p(x) by quadrature -----------------------------------------------------------------------


class Bernoulli:
    pass


class Binomial:
    def __init__(self, total_count):
        self.total_count = total_count


class Gaussian:
    def __init__(self, variance):
        self.variance = variance


def stub(layers, likelihood, activation="identity", log_var=None, **more):
    """What the quadrature reads of a VAE: one vector, its views, and a few plain attributes."""
    arrays = {
        f"decoder.{i}.{k}": np.asarray(a)
        for i, layer in enumerate(layers)
        for k, a in zip("Wb", layer, strict=True)
    }
    arrays["encoder.0.W"] = np.zeros((3, 3))
    if log_var is not None:
        arrays["likelihood.log_var"] = np.array([log_var])
    theta = np.concatenate([a.ravel() for a in arrays.values()])

    def views(vector):
        ends = np.cumsum([a.size for a in arrays.values()])
        pieces = np.split(vector, ends[:-1])
        return {k: p.reshape(a.shape) for (k, a), p in zip(arrays.items(), pieces, strict=True)}

    outputs = len(layers[-1][1])
    data_dim = outputs // 2 if getattr(likelihood, "variance", None) == "per_dimension" else outputs
    return SimpleNamespace(
        theta=theta, layout=SimpleNamespace(views=views), latent_dim=len(layers[0][0]),
        data_dim=data_dim, activation=activation, likelihood=likelihood, **more,
    )  # fmt: skip


def random_layers(rng, *widths):
    return [
        (rng.normal(size=(a, b)) * 1.5 / math.sqrt(a), rng.normal(size=b))
        for a, b in itertools.pairwise(widths)
    ]


def agrees(vae, x, expected, slack=1e-12, within=1e-6, **options):
    """Closer than the error estimate (plus slack, for errors of `expected`) and than within."""
    log_px, error = marginal_log_likelihood(vae, x, **options)
    assert log_px.shape == error.shape == (len(x),)
    difference = np.abs(log_px - expected)
    assert (difference <= error + slack).all()
    assert difference.max() < within
    assert error.max() < (1e-6 if vae.latent_dim == 1 else 2e-4)


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("sigma", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("variance", ["fixed", "shared", "per_dimension"])
def test_a_linear_gaussian_decoder_is_probabilistic_pca(latent_dim, sigma, variance):
    rng = np.random.default_rng(latent_dim)
    W, b = rng.normal(size=(latent_dim, 5)), rng.normal(size=5)
    x = rng.normal(size=(6, latent_dim)) @ W + b + sigma * rng.normal(size=(6, 5))
    x[4] += 10.0 * sigma  # off the plane
    x[5] = b + 8.0 * W[0]  # far out on it
    log_vars = 2.0 * math.log(sigma) + np.zeros(5)
    if variance == "fixed":
        vae = stub([(W, b)], Gaussian(sigma**2))
    elif variance == "shared":
        vae = stub([(W, b)], Gaussian("shared"), log_var=log_vars[0])
    else:
        log_vars += np.linspace(-1.0, 1.0, 5)
        layer = np.concatenate([W, np.zeros_like(W)], axis=1), np.concatenate([b, log_vars])
        vae = stub([layer], Gaussian("per_dimension"))
    agrees(vae, x, dense_log_normal(x, b, W.T @ W + np.diag(np.exp(log_vars))))


def upper_tail(t):
    return 0.5 * math.erfc(t / math.sqrt(2.0))


def log_normal(x, variance):
    return -0.5 * (x * x / variance + math.log(2.0 * math.pi * variance))


def beyond_the_kink(x, slope, kink, sigma):
    """The integral of N(z; 0, 1) N(x; slope (z - kink), sigma^2) over z > kink, in closed form."""
    variance = slope**2 + sigma**2
    mean, deviation = slope * (x + slope * kink) / variance, sigma / math.sqrt(variance)
    return math.exp(log_normal(x + slope * kink, variance)) * upper_tail((kink - mean) / deviation)


@given(st.floats(0.3, 3.0), st.floats(-2.0, 2.0), st.floats(0.01, 1.0), st.floats(-1.0, 1.0))
def test_a_kink_anywhere(slope, kink, sigma, offset):
    vae = stub([([[1.0]], [-kink]), ([[slope]], [0.0])], Gaussian(sigma**2), "relu")
    x = np.array([2.0 * sigma * offset, slope * (1.0 + offset) + sigma])
    flat = [math.exp(log_normal(v, sigma**2)) * upper_tail(-kink) for v in x]
    beyond = [beyond_the_kink(v, slope, kink, sigma) for v in x]
    agrees(vae, x[:, None], np.log(np.add(flat, beyond)))


@pytest.mark.parametrize("sigma", [0.5, 0.01, 0.001])
@pytest.mark.parametrize("slope", [1.0, 0.7])
def test_two_narrow_modes_are_both_found(sigma, slope):
    # relu(z) + slope relu(-z): for x = 0.5 one mode is on a node, and the other need not be.
    layers = [([[1.0, -1.0]], [0.0, 0.0]), ([[1.0], [slope]], [0.0])]
    x = np.array([0.4, 0.5, 1.75, 3.1])
    sides = [[beyond_the_kink(v, side, 0.0, sigma) for v in x] for side in (1.0, slope)]
    agrees(stub(layers, Gaussian(sigma**2), "relu"), x[:, None], np.log(np.add(*sides)))


def test_a_bump_is_found_in_a_decoder_that_is_flat_elsewhere():
    # 1 for z < -1, 2 for .61 < z < .71, else 0: from afar, z < -1 explains x = 2 best.
    layers = [([[99.0, 99.0, 99.0]], [99.0, -60.0, -70.0]), ([[-0.5], [1.0], [-1.0]], [0.5])]
    vae = stub(layers, Gaussian(0.01), "tanh")
    x = np.array([[2.0], [1.5], [1.0], [0.0]])
    agrees(vae, x, brute_force(vae, x, 1e-3))


@given(st.floats(-3.0, 3.0) | st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.75, 6.0]))
def test_a_step_anywhere(threshold):
    # logit = 1e5 (z - threshold) is a step: x = 1 where z > threshold, to relative errors ~ 1e-8.
    vae = stub([([[1e5]], [-1e5 * threshold])], Bernoulli())
    expected = [math.log(upper_tail(threshold)), math.log(upper_tail(-threshold))]
    agrees(vae, np.array([[1.0], [0.0]]), expected, slack=1e-8)


def test_bernoulli_by_hand():
    blind = stub([(np.zeros((2, 3)), np.log([1.0, 3.0, 1.0 / 3.0]))], Bernoulli())
    agrees(blind, np.array([[1, 1, 0]], dtype=np.uint8), 2 * math.log(0.75) + math.log(0.5))
    fair = stub([(np.array([[2.0]]), np.zeros(1))], Bernoulli())  # p(x = 1) = 1/2 by symmetry
    agrees(fair, np.array([[1.0], [0.0]]), -math.log(2.0))


@pytest.mark.parametrize(
    "activation", ["identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus"]
)
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_probabilities_of_all_x_add_up_to_one(activation, latent_dim):
    rng = np.random.default_rng(8)
    for likelihood, count, data_dim in ((Bernoulli(), 1, 4), (Binomial(3), 3, 2)):
        vae = stub(random_layers(rng, latent_dim, 3, data_dim), likelihood, activation)
        x = np.array(list(itertools.product(range(count + 1), repeat=data_dim)))
        log_px, error = marginal_log_likelihood(vae, x)
        assert abs(np.exp(log_px).sum() - 1.0) < min(1e-5, np.exp(log_px) @ error)
        assert np.ptp(log_px) > 1.0


FUNCTIONS = {
    "identity": lambda a: a,
    "relu": lambda a: a * (a > 0),
    "leaky_relu": lambda a: a * np.where(a > 0, 1.0, 0.01),
    "tanh": lambda a: np.sign(a) * (2.0 / (1.0 + np.exp(-2.0 * np.abs(a))) - 1.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
}


def brute_force(vae, x, step, reach=8.0):
    """The sum over a dense regular grid, with every formula in its plainest form."""
    axis = np.arange(-reach, reach, step)
    z = np.stack(np.meshgrid(*[axis] * vae.latent_dim, indexing="ij"), -1).reshape(
        -1, vae.latent_dim
    )
    views = vae.layout.views(vae.theta)
    hidden = z @ views["decoder.0.W"] + views["decoder.0.b"]
    for i in range(1, sum(k.endswith("W") and k.startswith("decoder") for k in views)):
        hidden = (
            FUNCTIONS[vae.activation](hidden) @ views[f"decoder.{i}.W"] + views[f"decoder.{i}.b"]
        )
    prior = np.exp(-0.5 * (z * z).sum(axis=1)) / (2.0 * np.pi) ** (0.5 * vae.latent_dim)
    values = []
    for row in np.asarray(x, dtype=float):
        if isinstance(vae.likelihood, Gaussian):
            mean, variance = hidden[:, : vae.data_dim], vae.likelihood.variance
            if variance == "per_dimension":
                variance = np.exp(hidden[:, vae.data_dim :])
            density = np.exp(-0.5 * (row - mean) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
        else:
            n = getattr(vae.likelihood, "total_count", 1)
            p = 1.0 / (1.0 + np.exp(-hidden))
            density = p**row * (1.0 - p) ** (n - row) * [math.comb(n, int(k)) for k in row]
        values.append(math.log((prior * density.prod(axis=1)).sum() * step**vae.latent_dim))
    return np.array(values)


@pytest.mark.slow(keep=6)
@pytest.mark.parametrize("activation", list(FUNCTIONS))
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Binomial(5), Gaussian(0.02), Gaussian("per_dimension")]
)
def test_brute_force_in_one_dimension(activation, likelihood):
    rng = np.random.default_rng(list(FUNCTIONS).index(activation))
    outputs = 8 if getattr(likelihood, "variance", None) == "per_dimension" else 4
    vae = stub(random_layers(rng, 1, 6, 5, outputs), likelihood, activation)
    count = getattr(likelihood, "total_count", 1)
    x = rng.integers(0, count + 1, size=(4, 4))
    if isinstance(likelihood, Gaussian):
        x = rng.normal(size=(4, 4))
    kinked = activation.endswith("relu")  # where the grid's own error is of the order of step^2
    agrees(vae, x, brute_force(vae, x, 5e-5 if kinked else 1e-3), slack=5e-8 if kinked else 1e-12)


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize(
    ("activation", "likelihood"),
    [
        ("tanh", Bernoulli()),
        ("tanh", Gaussian(0.02)),
        ("relu", Binomial(5)),
        ("tanh", Gaussian("per_dimension")),
    ],
)
def test_brute_force_in_two_dimensions(activation, likelihood):
    rng = np.random.default_rng(3)
    outputs = 6 if getattr(likelihood, "variance", None) == "per_dimension" else 3
    vae = stub(random_layers(rng, 2, 6, outputs), likelihood, activation)
    x = rng.integers(0, 2, size=(3, 3))
    smooth = activation == "tanh"
    expected = brute_force(vae, x, 0.02 if smooth else 0.01, 7.0)
    agrees(vae, x, expected, slack=0.0 if smooth else 1e-6, within=1e-6 if smooth else 1e-5)


def test_gauss_hermite_agrees_where_it_can_and_not_where_it_cannot():
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / math.sqrt(2.0 * math.pi)
    W, b, x = np.array([[1.0, -0.5]]), np.array([0.3, 0.1]), np.array([[0.7, 0.2]])
    for sigma, works in ((0.7, True), (0.01, False)):
        density = np.exp(-0.5 * ((x - points[:, None] * W - b) / sigma) ** 2).prod(axis=1)
        by_hermite = math.log(weights @ density + 1e-300) - math.log(2.0 * math.pi * sigma**2)
        log_px = marginal_log_likelihood(stub([(W, b)], Gaussian(sigma**2)), x)[0][0]
        assert (abs(log_px - by_hermite) < 1e-9) == works


def test_too_few_cells_show_in_the_error_estimate():
    rng = np.random.default_rng(2)
    W, b = rng.normal(size=(2, 5)), rng.normal(size=5)
    x = rng.normal(size=(3, 2)) @ W + b
    vae = stub([(W, b)], Gaussian(1e-4))
    expected = dense_log_normal(x, b, W.T @ W + 1e-4 * np.eye(5))
    estimates = []
    for max_cells in (1, 100, 600, 900, 1200, 5000):
        log_px, error = marginal_log_likelihood(vae, x, max_cells=max_cells)
        assert (np.abs(log_px - expected) <= error).all()
        estimates.append(error.max())
    assert estimates[0] == estimates[1] == np.inf
    assert estimates[-1] < 2e-4
    coarse, fine = (marginal_log_likelihood(vae, x, tolerance=t)[1] for t in (0.1, 1e-7))
    assert coarse.min() > 1e-4
    assert coarse.max() < 0.2
    assert fine.max() < 1e-6
    assert fine.min() > 1e-7


def test_an_example_does_not_depend_on_its_company():
    rng = np.random.default_rng(4)
    vae = stub(random_layers(rng, 2, 4, 6), Bernoulli(), "tanh")
    x = rng.integers(0, 2, size=(40, 6))
    together = np.stack(marginal_log_likelihood(vae, x))
    for i in (0, 17, 39):
        alone = np.stack(marginal_log_likelihood(vae, x[i : i + 1]))
        np.testing.assert_allclose(together[:, i : i + 1], alone, rtol=1e-9)


def test_float32_parameters_are_used_as_they_are():
    rng = np.random.default_rng(6)
    vae = stub(random_layers(rng, 1, 4, 6), Gaussian("shared"), "softplus", log_var=-3.0)
    vae.theta = vae.theta.astype(np.float32)
    single = marginal_log_likelihood(vae, np.ones((1, 6), dtype=np.float32))[0]
    vae.theta = vae.theta.astype(np.float64)
    assert single.dtype == np.float64
    assert single == marginal_log_likelihood(vae, np.ones((1, 6)))[0]


def test_extreme_parameters_leave_finite_answers_or_infinite_errors():
    for scale in (1e-8, 1e4):
        for likelihood, outputs in (
            (Bernoulli(), 2),
            (Gaussian(1.0), 2),
            (Gaussian("per_dimension"), 4),
        ):
            layers = [
                (np.full((1, 2), scale), np.zeros(2)),
                (np.full((2, outputs), scale), np.zeros(outputs)),
            ]
            log_px, error = marginal_log_likelihood(
                stub(layers, likelihood, "relu"), [[1.0, 0.0]], max_cells=2000
            )
            assert not np.isnan(log_px).any()
            assert not np.isnan(error).any()
    constant = stub(
        [(np.zeros((1, 2)), np.array([0.0, 0.0, 50.0, -50.0])[:2])], Gaussian(math.exp(-50.0))
    )
    agrees(constant, np.zeros((1, 2)), -math.log(2.0 * math.pi) + 50.0)


def test_memory_stays_bounded():
    rng = np.random.default_rng(0)
    vae = stub(random_layers(rng, 2, 30, 784), Bernoulli(), "tanh")
    x = rng.integers(0, 2, size=(17, 784))
    tracemalloc.start()
    marginal_log_likelihood(vae, x, max_cells=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_quadrature_refuses_what_it_cannot_do():
    rng = np.random.default_rng(0)
    x = np.ones((2, 3))

    def vae(latent_dim=1, likelihood=None, **more):
        return stub(random_layers(rng, latent_dim, 3), likelihood or Bernoulli(), **more)

    class StudentT:
        pass

    class MixtureOfGaussians:
        pass

    class StandardNormal:
        pass

    marginal_log_likelihood(vae(prior=StandardNormal()), x)
    broken = vae()
    broken.theta[-1] = np.inf
    for bad, data, message in (
        (vae(latent_dim=3), x, "latent_dim .1, 2., got 3"),
        (vae(likelihood=StudentT()), x, "likelihood .* got 'StudentT'"),
        (vae(prior=MixtureOfGaussians()), x, "prior .* got 'MixtureOfGaussians'"),
        (vae(activation="swish"), x, "activation .* got 'swish'"),
        (broken, x, "theta holds NaN or infinite"),
        (vae(), x * 0.5, "integers from 0 to 1"),
        (vae(), -x, "integers from 0 to 1"),
        (vae(likelihood=Binomial(4)), 5 * x, "integers from 0 to 4"),
        (vae(likelihood=Gaussian(1.0)), x * np.nan, "NaN or infinite"),
        (vae(), x[:, :2], "expected 3 columns"),
        (vae(), x[0], "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            marginal_log_likelihood(bad, data)
    for options in (
        {"tolerance": 0.0},
        {"tolerance": math.nan},
        {"tolerance": 2.0},
        {"max_cells": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            marginal_log_likelihood(vae(), x, **options)
