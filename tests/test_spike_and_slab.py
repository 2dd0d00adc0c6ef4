"""Spike and slab against a mixture of 2^K dense Gaussians, probabilistic PCA, and its own climb."""

import numpy as np
import pytest

from numpyvae.exact import ProbabilisticPCA, SpikeAndSlab


def a_model(rng, data_dim=6, n_components=3):
    model = SpikeAndSlab(n_components)
    model.weights = rng.standard_normal((data_dim, n_components))
    model.mean = rng.standard_normal(data_dim)
    model.noise_variance, model.inclusion = 0.3, rng.uniform(0.1, 0.9, n_components)
    return model


def draw(model, rng, n):
    s = rng.random((n, model.n_components)) < model.inclusion
    y = s * rng.standard_normal(s.shape)
    noise = np.sqrt(model.noise_variance) * rng.standard_normal((n, len(model.mean)))
    return y @ model.weights.T + model.mean + noise, s


def best_of(starts, n_components, x, iterations):
    """EM ends where its start lets it: the best model of some starts, and the traces of all."""
    models = [SpikeAndSlab(n_components) for _ in range(starts)]
    traces = [m.fit_em(x, iterations, np.random.default_rng(i)) for i, m in enumerate(models)]
    return models[np.argmax([trace[-1] for trace in traces])], traces


def log_joint(model, x):
    """log p(s) + log N(x; mean, C_s) with the D x D matrices, one s after the other: (N, 2^K)."""
    columns = []
    for s in model.codes.astype(bool):
        p = np.prod(np.where(s, model.inclusion, 1 - model.inclusion))
        C = model.weights[:, s] @ model.weights[:, s].T + model.noise_variance * np.eye(x.shape[1])
        r = x - model.mean
        quadratic = np.einsum("nd,nd->n", r, np.linalg.solve(C, r.T).T)
        columns.append(np.log(p) - 0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * C)[1]))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("sizes", [(6, 3), (2, 4), (5, 1)])
def test_likelihood_and_posterior_are_those_of_the_mixture(sizes):
    rng = np.random.default_rng(0)
    model = a_model(rng, *sizes)
    x, _ = draw(model, rng, 20)
    joint = log_joint(model, x)
    log_px = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(model.log_likelihood(x), log_px, rtol=1e-12)
    np.testing.assert_allclose(model.posterior(x), np.exp(joint - log_px[:, None]), atol=1e-12)


def test_with_all_components_active_it_is_probabilistic_pca():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5))
    ppca = ProbabilisticPCA(2).fit(x)
    model = SpikeAndSlab(2)
    model.weights, model.mean = ppca.weights, ppca.mean
    model.noise_variance, model.inclusion = ppca.noise_variance, np.ones(2)
    expected = ppca.log_likelihood(x)
    np.testing.assert_allclose(model.log_likelihood(x), expected, rtol=1e-12)
    assert model._step(x) == pytest.approx(expected.mean(), rel=1e-12)
    # The closed form is a fixed point of the same M-step.
    np.testing.assert_allclose(model.weights, ppca.weights, atol=1e-10)
    assert model.noise_variance == pytest.approx(ppca.noise_variance, rel=1e-10)
    np.testing.assert_array_equal(model.inclusion, 1)


def test_em_never_falls_and_ends_where_the_likelihood_is_flat():
    rng = np.random.default_rng(2)
    truth = a_model(rng, 4, 2)
    truth.weights *= 3
    x, _ = draw(truth, rng, 150)
    model, traces = best_of(2, 2, x + 100.0, 250)
    assert np.diff(traces, axis=1).min() > -1e-10
    best = model.log_likelihood(x + 100.0).mean()
    assert best == max(trace[-1] for trace in traces)
    assert best > traces[0][0] + 1
    assert best > truth.log_likelihood(x).mean()  # it is fitted to these very data
    for name in ("weights", "mean", "noise_variance", "inclusion"):
        value = getattr(model, name)
        direction = rng.standard_normal(np.shape(value))
        slope = []
        for h in (1e-4, -1e-4):
            setattr(model, name, value + h * direction)
            slope.append(model.log_likelihood(x + 100.0).mean())
        setattr(model, name, value)
        assert abs(slope[0] - slope[1]) / 2e-4 < 2e-3, name


def test_it_finds_which_components_are_active():
    rng = np.random.default_rng(3)
    truth = a_model(rng, 8, 3)
    truth.weights, truth.noise_variance = np.eye(8)[:, :3] * 5.0, 0.2
    x, s = draw(truth, rng, 400)
    model, _ = best_of(3, 3, x, 60)
    found = np.abs(model.weights).argmax(axis=0)
    assert sorted(found) == [0, 1, 2]
    right = np.mean((model.posterior(x) @ model.codes > 0.5) == s[:, found])
    assert right > np.mean((truth.posterior(x) @ truth.codes > 0.5) == s) - 0.05
    np.testing.assert_allclose(model.inclusion, truth.inclusion[found], atol=0.1)


def test_what_it_cannot_do_is_said():
    with pytest.raises(ValueError, match=r"n_components=11 .* at most 10"):
        SpikeAndSlab(11)
    with pytest.raises(ValueError, match="not fitted"):
        SpikeAndSlab(2).log_likelihood(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="n_components=3 must be below 3, the rank"):
        SpikeAndSlab(3).fit_em(np.random.default_rng(0).standard_normal((50, 3)), 5)
