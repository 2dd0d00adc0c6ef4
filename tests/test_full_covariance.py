"""The posterior with a full covariance, against dense linear algebra and the diagonal VAE.

Each oracle is called twice: as the package is, and with a mistake planted that people have made,
where it has to fail.
"""

import numpy as np
import pytest
from planting import plant

from numpyvae import VAE, Bernoulli, Binomial, FullCovarianceVAE, Gaussian, cholesky, plots, proofs
from numpyvae.evaluation import active_units, evaluate
from numpyvae.exact import marginal_log_likelihood
from numpyvae.likelihoods import EXAMPLES
from numpyvae.models import full_covariance, load
from numpyvae.proofs import draw_data

L = 4  # of three, rows and columns of the triangle come in the same order
N_OFF = L * (L - 1) // 2


def make(likelihood=None, latent_dim=L, seed=0, **arguments):
    """A small model at a generic point."""
    model = FullCovarianceVAE(
        5, latent_dim, (6,), "tanh", likelihood or Bernoulli(), dtype=np.float64, **arguments
    )
    model.theta[:] = 0.5 * np.random.default_rng(seed).standard_normal(model.layout.size)
    return model


def drawn(rng, n=6):
    return [rng.standard_normal((n, size)) for size in (L, L, N_OFF)]


def dense_factor(log_var, off):
    """C of one example, entry by entry as the documentation has it: row by row."""
    C, entries = np.diag(np.exp(log_var / 2)), iter(off)
    for i in range(len(C)):
        for j in range(i):
            C[i, j] = next(entries)
    return C


def linear_gaussian(kind, variance=0.4):
    """A linear decoder with correlated rows, an encoder with the right mean, and M^-1 and log p(x).

    The posterior is N(M^-1 W (x - b) / variance, M^-1) with M = I + W W^T / variance for all x.
    """
    rng = np.random.default_rng(3)
    W, b = rng.standard_normal((L, 5)), rng.standard_normal(5)
    M = np.eye(L) + W @ W.T / variance
    model = kind(5, L, (), likelihood=Gaussian(variance), dtype=np.float64)
    p = model.params
    p["decoder.0.W"][:], p["decoder.0.b"][:] = W, b
    p["encoder.0.W"][:] = 0.0
    p["encoder.0.W"][:, :L] = (np.linalg.inv(M) @ W).T / variance
    p["encoder.0.b"][:L] = -b @ p["encoder.0.W"][:, :L]
    covariance = W.T @ W + variance * np.eye(5)

    def log_px(x):
        squared = ((x - b) * np.linalg.solve(covariance, (x - b).T).T).sum(axis=1)
        return -0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1])

    return model, M, log_px


def exact_model():
    """The same with the exact posterior, whose C is a triangular root of M^-1."""
    model, M, log_px = linear_gaussian(FullCovarianceVAE)
    C = np.linalg.cholesky(np.linalg.inv(M))
    below = np.concatenate([C[i, :i] for i in range(L)])
    model.params["encoder.0.b"][L:] = np.concatenate([2 * np.log(np.diag(C)), below])
    return model, log_px


def exact_elbo(model, x):
    """The noise's mean 0 and covariance I are those of all +-1 together: no sampling error here."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * L, indexing="ij"), -1).reshape(-1, L)
    log_px, kl = model.elbo_terms(
        model.theta, np.tile(x, (len(grid), 1)), np.repeat(grid, len(x), axis=0)
    )
    return (log_px - kl).reshape(-1, len(x)).mean(axis=0)


def check_zeros_below_the_diagonal_are_the_vae(rng):
    """Loss and terms to the bit; the gradients but for the order in which a product is summed."""
    for likelihood in EXAMPLES:
        for beta in (1.0, 0.7, np.inf):
            arguments = {"likelihood": likelihood, "beta": beta, "dtype": np.float64}
            model = FullCovarianceVAE(5, L, (6,), "tanh", **arguments)
            vae = VAE(5, L, (6,), "tanh", **arguments)
            assert not model.params["encoder.1.W"][:, 2 * L :].any(), "it starts diagonal"
            for name, ours in model.params.items():
                theirs = vae.params[name]
                theirs[...] = ours[..., : 2 * L] if name.startswith("encoder.1") else ours
            x, noise = draw_data(likelihood, (8, 5), rng), rng.standard_normal((8, L))
            loss, grad = model.loss_and_grad(model.theta, x, noise)
            expected, vae_grad = vae.loss_and_grad(vae.theta, x, noise)
            assert loss == expected
            for ours, theirs in zip(
                model.elbo_terms(model.theta, x, noise),
                vae.elbo_terms(vae.theta, x, noise),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)
            ours, theirs = model.layout.views(grad), vae.layout.views(vae_grad)
            for name, view in ours.items():
                mine = view[..., : 2 * L] if name.startswith("encoder.1") else view
                np.testing.assert_allclose(mine, theirs[name], rtol=1e-12, atol=1e-15)


def check_the_kl_is_the_textbooks(rng):
    mean, log_var, off = drawn(rng)
    kl, _ = cholesky.cholesky_kl(mean, log_var, off)
    for n in range(6):
        C = dense_factor(log_var[n], off[n])
        covariance = C @ C.T
        expected = np.trace(covariance) + mean[n] @ mean[n] - L - np.linalg.slogdet(covariance)[1]
        assert kl[n] == pytest.approx(0.5 * expected, rel=1e-12)


def check_samples_have_the_covariance(rng):
    """z = mean + C noise, C from `encode`: lower triangular, in the documented order."""
    mean, log_var, off = drawn(rng)
    for j, noise in enumerate(np.eye(L)):
        z, _ = cholesky.cholesky_sample(mean, log_var, off, np.tile(noise, (6, 1)))
        for n in range(6):
            column = dense_factor(log_var[n], off[n])[:, j]
            np.testing.assert_allclose(z[n] - mean[n], column, rtol=1e-12, atol=1e-12)
    factor = cholesky.cholesky_factor(log_var, off)
    for n in range(6):
        np.testing.assert_array_equal(factor[n], dense_factor(log_var[n], off[n]))


def check_log_q_is_the_dense_normal(rng):
    """What evaluation is told: z of the model's q, and its density there."""
    x, model = rng.integers(0, 2, (4, 5)).astype(float), make()
    z, log_qz = model.draw_code(model.params, x, rng.standard_normal((4, 7, L)))
    mean, factor = model.encode(x)
    for n in range(4):
        residual, covariance = z[n] - mean[n], factor[n] @ factor[n].T
        squared = (residual * np.linalg.solve(covariance, residual.T).T).sum(axis=1)
        expected = -0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1])
        np.testing.assert_allclose(log_qz[n], expected, rtol=1e-10)


def check_the_exact_posterior_has_no_gap(rng):
    """Of correlated codes: the ELBO is log p(x), and so is every importance weight."""
    x = rng.standard_normal((6, 5))
    model, log_px = exact_model()
    np.testing.assert_allclose(exact_elbo(model, x), log_px(x), rtol=1e-12)
    weights = model.log_weight(model.params, x, rng.standard_normal((6, L)))
    np.testing.assert_allclose(weights, log_px(x), rtol=1e-12)
    estimate = model.log_likelihood(x, 5, rng, "importance")
    np.testing.assert_allclose(estimate, log_px(x), rtol=1e-12)


def check_gradients(rng):
    (pair,) = proofs.model_pairs(make(Binomial(16), beta=0.7), 4, rng)
    assert proofs.prove(pair).passed


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_oracles(check, rng):
    check(rng)


KL, SAMPLE = (full_covariance, "cholesky_kl"), (full_covariance, "cholesky_sample")
DZ, BACKWARD = (full_covariance, "cholesky_sample_backward"), (FullCovarianceVAE, "backward")
MISTAKES = {
    "the upper triangle in the sample": (
        cholesky, "_below_the_diagonal", "np.tril_indices(latent_dim, -1)",
        "np.tril_indices(latent_dim, -1)[::-1]", check_samples_have_the_covariance),
    "columns in place of rows": (
        cholesky, "_below_the_diagonal", "np.tril_indices(latent_dim, -1)",
        "np.triu_indices(latent_dim, 1)[::-1]", check_samples_have_the_covariance),
    "the log-determinant by a factor of two": (
        full_covariance, "log_prob_by_noise", "LOG_2PI + log_var", "LOG_2PI + 2.0 * log_var",
        check_log_q_is_the_dense_normal),
    "the determinant of C^T C forgotten": (
        full_covariance, "log_prob_by_noise", "LOG_2PI + log_var", "LOG_2PI",
        check_the_exact_posterior_has_no_gap),
    "the 1/2 of the KL": (*KL, "0.5 * (off * off)", "(off * off)", None),
    "the KL knows the diagonal alone": (
        *KL, "kl + 0.5 * (off * off).sum(axis=-1)", "kl", None),
    "one column of noise for all": (
        *SAMPLE, "off * noise[..., columns]", "off * noise[..., rows]",
        check_the_exact_posterior_has_no_gap),
    "dz reaches its own noise alone": (
        *DZ, "dz[..., rows] * noise[..., columns]", "dz[..., columns] * noise[..., columns]",
        check_gradients),
    "softplus on the log-variance": (
        FullCovarianceVAE, "forward", "off = cholesky_heads(heads)",
        "off = cholesky_heads(heads); log_var = np.log1p(np.exp(log_var))",
        check_zeros_below_the_diagonal_are_the_vae),
    "what is below the diagonal has no KL to pay": (
        full_covariance, "cholesky_kl_backward", "dkl[:, None] * off", "0.0 * off",
        check_gradients),
    "route 2 alone": (
        *BACKWARD, "a + b for", "a for", check_zeros_below_the_diagonal_are_the_vae),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(mistake, rng, monkeypatch):
    *where, check = MISTAKES[mistake]
    plant(monkeypatch, *where)
    with pytest.raises(AssertionError):
        (check or check_the_exact_posterior_has_no_gap)(rng)


def test_the_price_of_a_diagonal_posterior(rng):
    """1/2 (sum_l log M_ll - log det M) nats, M the posterior's precision; its own variances 1/M_ll.

    The variances that each z_l has alone, the diagonal of M^-1, are another diagonal and cost more.
    """
    x = rng.standard_normal((6, 5))
    vae, M, log_px = linear_gaussian(VAE)
    price = 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])
    vae.params["encoder.0.b"][L:] = -np.log(np.diag(M))
    gap = log_px(x) - exact_elbo(vae, x)
    np.testing.assert_allclose(gap, price, rtol=1e-11)
    assert price > 0.1
    for other in (np.log(np.diag(np.linalg.inv(M))), 0.1 - np.log(np.diag(M))):
        vae.params["encoder.0.b"][L:] = other
        assert (log_px(x) - exact_elbo(vae, x) > price + 1e-3).all()


def test_the_exact_posterior_is_where_training_ends(rng):
    """The encoder's gradient, averaged exactly over the noise, is zero there; of a diagonal not."""
    grid = np.stack(np.meshgrid(*[[-1.0, 1.0]] * L, indexing="ij"), -1).reshape(-1, L)
    rows = np.tile(rng.standard_normal((1, 5)), (len(grid), 1))
    model, _ = exact_model()
    for below, expected in ((1.0, True), (0.0, False)):
        model.params["encoder.0.b"][2 * L :] *= below
        grad = model.layout.views(model.loss_and_grad(model.theta, rows, grid)[1])
        assert (np.abs(grad["encoder.0.b"]).max() < 1e-12) == expected


def test_encode_and_the_names_that_hold(rng):
    model = FullCovarianceVAE(64, 4, (12,))
    assert model.layout.shapes["encoder.1.W"] == (12, 14)
    x = rng.integers(0, 2, (7, 64))
    mean, factor = model.encode(x)
    assert mean.shape == (7, 4)
    assert factor.shape == (7, 4, 4)
    assert mean.dtype == factor.dtype == np.float32
    np.testing.assert_array_equal(factor, np.tril(factor))
    assert model.sample(3).shape == model.reconstruct(x[:3]).shape == (3, 64)
    generic = make()
    x = rng.integers(0, 2, (7, 5)).astype(float)
    mean, factor = generic.encode(x)
    heads = generic.encoder.forward(generic.params, x)[0]
    np.testing.assert_array_equal(mean, heads[:, :L])
    diagonal = factor[:, range(L), range(L)]
    np.testing.assert_allclose(diagonal, np.exp(heads[:, L : 2 * L] / 2), rtol=1e-14)
    below = np.concatenate([factor[:, i, :i] for i in range(L)], axis=1)  # row by row
    np.testing.assert_array_equal(below, heads[:, 2 * L :])
    _, log_var = generic.posterior(generic.params, x)
    variances = np.array([np.diag(C @ C.T) for C in factor])
    np.testing.assert_allclose(np.exp(log_var), variances, rtol=1e-12)
    np.testing.assert_array_equal(generic.axis_posterior(x)[1], log_var)
    kl = 0.5 * (mean**2 + variances - 1.0 - np.log(variances)).mean(axis=0)
    assert plots.informative_dims(generic, x) == tuple(np.argsort(-kl)[:2])
    assert plots.latent_space(generic, x).axes


def test_one_latent_dimension_has_nothing_below_its_diagonal(rng):
    model, vae = make(latent_dim=1), VAE(5, 1, (6,), "tanh", dtype=np.float64)
    x, noise = rng.integers(0, 2, (4, 5)), rng.standard_normal((4, 1))
    first, second = (m.loss_and_grad(model.theta, x, noise) for m in (model, vae))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert model.encode(x)[1].shape == (4, 1, 1)


def test_the_questions_of_evaluation(rng):
    x = rng.integers(0, 2, (6, 5))
    model = make()
    measured = evaluate(model, x, 20)
    assert measured["elbo"] == pytest.approx(measured["log_px"] - measured["kl"])
    assert active_units(model, x).shape == (L,)


def test_the_bound_below_exact_log_px(rng):
    """By quadrature, which shares no code with the model: ELBO, importance sampling, log p(x)."""
    x, model = rng.integers(0, 2, (3, 5)), make(latent_dim=2)
    model.theta *= 0.5
    model.fit(x, 100, verbose=False)
    assert np.abs(model.encode(x)[1][:, 1, 0]).max() > 0.05
    log_px, error = marginal_log_likelihood(model, x)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # the ELBO without sampling error
    noise = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 1, 2)
    terms = model.elbo_terms(
        model.theta, np.tile(x, (400, 1)), np.repeat(noise, 3, 1).reshape(-1, 2)
    )
    weight = np.outer(weights, weights).ravel() / weights.sum() ** 2
    elbo = weight @ np.subtract(*terms).reshape(400, 3)
    assert (elbo < log_px + error).all()
    assert (elbo > log_px - 1.0).all()
    np.testing.assert_allclose(model.log_likelihood(x, 10_000), log_px, atol=0.05)


def test_float32_trains_and_saves(tmp_path, rng):
    x = rng.integers(0, 2, (40, 5))
    model, whole = (FullCovarianceVAE(5, 3, (4,), seed=3) for _ in range(2))
    model.fit(x, 2, verbose=False)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert repr(again) == "FullCovarianceVAE(5-4-3, relu, Bernoulli())"
    again.fit(x, 2, verbose=False)
    whole.fit(x, 4, verbose=False)
    np.testing.assert_array_equal(again.theta, whole.theta)
    assert whole.encode(x)[1][:, 2, 0].any(), "what is below the diagonal learns, from zero"
    loss, grad = whole.loss_and_grad(whole.theta, x, whole.draw_noise(rng, 40))
    assert loss.dtype == grad.dtype == np.float32
    extreme = whole.params["encoder.1.b"]
    extreme[3:6] = [50.0, -50.0, 0.0]
    whole.params["decoder.0.W"][:] = 0.0
    loss, grad = whole.loss_and_grad(whole.theta, x, whole.draw_noise(rng, 40))
    assert np.isfinite(loss)
    assert np.isfinite(grad).all()
