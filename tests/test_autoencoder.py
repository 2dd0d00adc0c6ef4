"""The autoencoder family: what its members share, and what each is by itself."""

import math

import numpy as np
import pytest

from numpyvae import (
    VAE,
    Adam,
    Autoencoder,
    Bernoulli,
    DenoisingAutoencoder,
    Gaussian,
    LinearAutoencoder,
    NoisyAutoencoder,
)
from numpyvae.corruptions import (
    GaussianNoise,
    Masking,
    SaltAndPepper,
    corruption_from_config,
)
from numpyvae.data import load_digits
from numpyvae.exact import PCA, ProbabilisticPCA

CORRUPTIONS = [GaussianNoise(0.3), Masking(0.4), SaltAndPepper(0.4, -1.0, 2.0)]


@pytest.fixture(scope="module")
def correlated():
    """Data (200, 6) in float64 whose first three variances stand well above the rest."""
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    return rng.normal(size=(200, 6)) * [3.0, 2.0, 1.5, 0.3, 0.2, 0.1] @ axes + rng.normal(size=6)


def test_the_loss_is_the_squared_error_up_to_its_constant(rng):
    x = rng.standard_normal((7, 5))
    model = Autoencoder(5, 2, (4,), "tanh", dtype=np.float64)
    noise = model.draw_noise(rng, 7)
    assert noise.shape == (7, 0)
    squared = ((x - model.reconstruct(x)) ** 2).sum(axis=1).mean()
    assert model.loss(model.theta, x, noise) == pytest.approx(squared + 2.5 * math.log(math.pi))


def test_tied_weights_are_one_parameter_used_twice(rng):
    model = Autoencoder(5, 2, (4,), "tanh", tied=True, dtype=np.float64)
    assert model.layout.shapes == {
        "encoder.0.W": (5, 4), "encoder.0.b": (4,), "encoder.1.W": (4, 2), "encoder.1.b": (2,),
        "decoder.0.b": (4,), "decoder.1.b": (5,),
    }  # fmt: skip
    model.theta[:] = rng.standard_normal(model.layout.size)
    views, x = model.layout.views(model.theta), rng.standard_normal((3, 5))
    code = np.tanh(x @ views["encoder.0.W"] + views["encoder.0.b"]) @ views["encoder.1.W"]
    code += views["encoder.1.b"]
    hidden = np.tanh(code @ views["encoder.1.W"].T + views["decoder.0.b"])
    np.testing.assert_allclose(model.encode(x), code)
    expected = hidden @ views["encoder.0.W"].T + views["decoder.1.b"]
    np.testing.assert_allclose(model.reconstruct(x), expected)


def full_batch(model, x, steps, rate):
    """`steps` of Adam on all of x, the rate falling to a thousandth."""
    rng, optimizer, grad = np.random.default_rng(0), Adam(rate), np.empty_like(model.theta)
    for i in range(steps):
        optimizer.learning_rate = rate * 1e-3 ** (i / steps)
        model.loss_and_grad(model.theta, x, model.draw_noise(rng, len(x)), out=grad)
        optimizer.step(model.theta, grad)
    return model


def test_a_linear_autoencoder_reaches_pca(correlated):
    pca = PCA(3).fit(correlated)
    model = full_batch(Autoencoder(6, 3, (), dtype=np.float64), correlated, 6_000, 0.05)
    error = ((correlated - model.reconstruct(correlated)) ** 2).sum(axis=1).mean()
    assert error == pytest.approx(pca.reconstruction_error(correlated).mean(), rel=1e-3)
    decoder = model.layout.views(model.theta)["decoder.0.W"]  # (L, D)
    basis = np.linalg.qr(decoder.T)[0]
    assert 1 - np.linalg.norm(pca.components @ basis) ** 2 / 3 < 1e-4, "the same subspace"
    cosines = np.abs(pca.components @ decoder.T) / np.linalg.norm(decoder, axis=1)
    assert cosines.max(axis=1).min() < 0.999, "but not the same axes"


@pytest.mark.slow
def test_penalties_turn_the_axes_to_the_principal_components(correlated):
    """Bao et al. 2020: the axes, their lengths 1 - lambda_i / s_i, and the minimum of the loss."""
    x = correlated - correlated.mean(axis=0)
    penalties = np.array([0.1, 0.3, 0.6])
    variances = PCA(6).fit(x).explained_variance
    model = LinearAutoencoder(6, 3, penalties=penalties.tolist(), dtype=np.float64)
    full_batch(model, x, 10_000, 0.05)
    decoder = model.layout.views(model.theta)["decoder.0.W"]
    lengths = (decoder**2).sum(axis=1)
    cosines = np.abs(PCA(3).fit(x).components @ decoder.T) / np.sqrt(lengths)
    assert (1 - cosines.max(axis=1) ** 2).mean() < 1e-3
    order = cosines.argmax(axis=1)
    np.testing.assert_allclose(lengths[order], 1 - penalties[order] / variances[:3], rtol=0.02)
    minimum = variances[3:].sum() + (2 * penalties - penalties**2 / variances[:3]).sum()
    loss = model.loss(model.theta, x, np.zeros((200, 0))) - 3 * math.log(math.pi)
    assert minimum - 1e-9 <= loss < minimum + 1e-3


def closed_form(vae, ppca):
    """Write probabilistic PCA's solution into a linear VAE with one shared variance."""
    covariance = ppca.posterior(ppca.mean[None])[1]  # (L, L), diagonal
    encoder = covariance @ ppca.weights.T / ppca.noise_variance  # (L, D)
    views, latent_dim = vae.layout.views(vae.theta), vae.latent_dim
    vae.theta[:] = 0.0
    views["encoder.0.W"][:, :latent_dim] = encoder.T
    views["encoder.0.b"][:latent_dim] = -encoder @ ppca.mean
    views["encoder.0.b"][latent_dim:] = np.log(np.diag(covariance))
    views["decoder.0.W"][...] = ppca.weights.T
    views["decoder.0.b"][...] = ppca.mean
    views["likelihood.log_var"][...] = math.log(ppca.noise_variance)


def expected_elbo(vae, x):
    """The ELBO of a linear Gaussian VAE without sampling error: sigma points are exact for it.

    The expectation of a quadratic over N(0, I) is its mean over the 2 L points +-sqrt(L) e_l.
    """
    L, total = vae.latent_dim, 0.0
    for point in np.concatenate([np.eye(L), -np.eye(L)]) * math.sqrt(L):
        log_px, kl = vae.elbo_terms(vae.theta, x, np.tile(point, (len(x), 1)))
        total += (log_px - kl) / (2 * L)
    return total


def test_a_linear_vae_at_the_closed_form_has_no_gap(correlated, rng):
    """Tipping & Bishop 1999, Lucas et al. 2019: its ELBO *is* log p(x), on any data."""
    ppca = ProbabilisticPCA(3).fit(correlated)
    vae = VAE(6, 3, (), likelihood=Gaussian("shared"), dtype=np.float64)
    closed_form(vae, ppca)
    for x in (correlated, correlated[:20] + 3 * rng.standard_normal((20, 6))):
        np.testing.assert_allclose(expected_elbo(vae, x), ppca.log_likelihood(x), atol=1e-8)


@pytest.mark.slow
def test_training_reaches_probabilistic_pca(correlated):
    ppca = ProbabilisticPCA(3).fit(correlated)
    vae = VAE(6, 3, (), likelihood=Gaussian("shared"), dtype=np.float64)
    full_batch(vae, correlated, 15_000, 0.05)
    gap = (ppca.log_likelihood(correlated) - expected_elbo(vae, correlated)).mean()
    assert 0 < gap < 0.1
    variance = math.exp(vae.layout.views(vae.theta)["likelihood.log_var"][0])
    assert variance == pytest.approx(ppca.noise_variance, rel=0.01)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: type(c).__name__)
def test_corruptions(corruption, rng):
    x = np.full((400, 50), 0.5, np.float32)
    noise = corruption.draw(rng, x.shape, np.float32)
    seen = corruption.apply(x, noise)
    np.testing.assert_array_equal(seen, corruption.apply(x, noise))
    assert seen.dtype == np.float32
    assert corruption_from_config(corruption.config()).config() == corruption.config()
    if isinstance(corruption, GaussianNoise):
        assert (seen - x).std() == pytest.approx(0.3, rel=0.02)
        return
    spoiled = {0.0} if isinstance(corruption, Masking) else {-1.0, 2.0}
    assert set(np.unique(seen)) == spoiled | {0.5}
    for value in spoiled:
        assert (seen == value).mean() == pytest.approx(0.4 / len(spoiled), abs=0.01)


def test_a_denoising_autoencoder_is_trained_towards_clean_data(rng):
    model = DenoisingAutoencoder(5, 2, corruption=Masking(0.5), hidden_dims=(4,), dtype=np.float64)
    x, noise = rng.standard_normal((6, 5)), model.draw_noise(rng, 6)
    assert noise.shape == (6, 5)
    shown = x * (noise >= 0.5)
    expected = ((x - model.reconstruct(shown)) ** 2).sum(axis=1).mean() + 2.5 * math.log(math.pi)
    assert model.loss(model.theta, x, noise) == pytest.approx(expected)
    np.testing.assert_allclose(model.vector_field(x), model.reconstruct(x) - x)


def test_noise_on_the_code(rng):
    model = NoisyAutoencoder(5, 2, code_noise=0.7, hidden_dims=(4,), dtype=np.float64)
    x, noise = rng.standard_normal((6, 5)), model.draw_noise(rng, 6)
    decoded = model.decode(model.encode(x) + 0.7 * noise)
    expected = ((x - decoded) ** 2).sum(axis=1).mean() + 2.5 * math.log(math.pi)
    assert model.loss(model.theta, x, noise) == pytest.approx(expected)


@pytest.mark.slow
def test_learned_noise_collapses_without_a_kl_and_stays_with_it():
    """The three steps to the VAE, on the digits: sigma at the end of training."""
    x = load_digits(binary=True).x_train
    sigma = {}
    for beta in (0.0, 1.0, math.inf):
        vae = VAE(64, 2, (32,), likelihood=Bernoulli(), beta=beta)
        vae.fit(x, epochs=40, optimizer=Adam(5e-3), verbose=False)
        mean, log_var = vae.encode(x)
        sigma[beta] = float(np.exp(0.5 * log_var).mean() / (mean.std() + 1e-3))
    assert sigma[0.0] < 0.3 * sigma[1.0], "noise relative to the spread of the codes"
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
    assert kl.mean() < 0.01, "the KL alone: q(z|x) is the prior"


@pytest.mark.parametrize("model", [
    Autoencoder(5, 2, (4,), tied=True), LinearAutoencoder(5, 2, penalties=[0.1, 0.2]),
    Autoencoder(5, 2, likelihood=Bernoulli()), NoisyAutoencoder(5, 2, code_noise=0.5),
    *(DenoisingAutoencoder(5, 2, corruption=c) for c in CORRUPTIONS), VAE(5, 2, beta=math.inf),
], ids=repr)  # fmt: skip
def test_save_load_and_fit(model, tmp_path, rng):
    x = rng.integers(0, 2, (40, 5)).astype(np.float32)
    model.fit(x, epochs=2, batch_size=20, validation_data=x[:7], verbose=False)
    assert set(model.history[0]) >= {"loss", "log_px", "validation_loss", "seconds"}
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    assert again.config() == model.config()
    np.testing.assert_array_equal(again.theta, model.theta)
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))


def test_bad_arguments():
    for make, error, message in [
        (
            lambda: LinearAutoencoder(5, 2, hidden_dims=(4,), penalties=[1, 2]),
            ValueError,
            r"hidden_dims=\(\)",
        ),
        (lambda: LinearAutoencoder(5, 2, penalties=[1]), ValueError, "one for each latent"),
        (lambda: LinearAutoencoder(5, 2, penalties=[1, -1]), ValueError, "penalties must be"),
        (lambda: LinearAutoencoder(5, 2, tied=True, penalties=[1, 2]), ValueError, "not tied"),
        (
            lambda: Autoencoder(5, 2, likelihood=Gaussian("per_dimension"), tied=True),
            ValueError,
            "tied weights need one output a dimension",
        ),
        (lambda: NoisyAutoencoder(5, 2, code_noise=0), ValueError, "code_noise must be"),
        (lambda: DenoisingAutoencoder(5, 2, corruption="salt"), TypeError, "corruption must be"),
        (lambda: Masking(1.0), ValueError, r"probability must lie in \[0, 1\)"),
        (lambda: GaussianNoise(0), ValueError, "sigma must be"),
        (lambda: corruption_from_config({"name": "Blur"}), ValueError, "unknown corruption"),
    ]:
        with pytest.raises(error, match=message):
            make()


@pytest.mark.parametrize("beta", [0.25, 1.0, 20.0])
def test_the_linear_beta_vae_is_reverse_water_filling(correlated, beta):
    """At W = U (S - beta sigma^2)^(1/2) the gradient is zero, and the KL is what theory says.

    A dimension is active if its variance s_i > beta sigma^2. Then its KL is 1/2 log(s_i / beta
    sigma^2) and its distortion beta sigma^2; else they are 0 and s_i. Source: Lucas et al. 2019.
    """
    variance, level = 0.2, 0.2 * beta
    pca = PCA(4).fit(correlated)
    s = pca.explained_variance
    active = s > level
    scale = np.sqrt(np.where(active, s - level, 0.0))
    vae = VAE(6, 4, (), likelihood=Gaussian(variance), beta=beta, dtype=np.float64)
    views = vae.layout.views(vae.theta)
    weights = pca.components.T * scale  # (D, L)
    posterior_variance = level / (scale**2 + level)  # M^-1 beta sigma^2, diagonal
    encoder = weights / (scale**2 + level)  # (D, L)
    vae.theta[:] = 0.0
    views["encoder.0.W"][:, :4] = encoder
    views["encoder.0.b"][:4] = -pca.mean @ encoder
    views["encoder.0.b"][4:] = np.log(posterior_variance)
    views["decoder.0.W"][...] = weights.T
    views["decoder.0.b"][...] = pca.mean
    grad = np.zeros_like(vae.theta)
    for point in np.concatenate([np.eye(4), -np.eye(4)]) * 2.0:  # sqrt(L) = 2
        grad += vae.loss_and_grad(vae.theta, correlated, np.tile(point, (200, 1)))[1] / 8
    np.testing.assert_allclose(grad, 0.0, atol=1e-9)
    _, kl = vae.elbo_terms(vae.theta, correlated, np.zeros((200, 4)))
    assert kl.mean() == pytest.approx(0.5 * np.log(s[active] / level).sum(), rel=1e-9)
    assert active.sum() == {0.25: 4, 1.0: 3, 20.0: 1}[beta]
