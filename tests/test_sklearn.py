"""The estimator for scikit-learn: its own checks, all of them, and what the numbers are."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn (the extra `sklearn`)")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from numpyvae import Binomial
from numpyvae.data import load_digits
from numpyvae.sklearn import VAETransformer

SMALL = {"hidden_dims": (8,), "epochs": 2, "n_samples": 5, "random_state": 0}


@parametrize_with_checks([VAETransformer(**SMALL)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def x():
    return load_digits().x_train[:300].astype(float)


@pytest.fixture(scope="module")
def fitted(x):
    return VAETransformer(likelihood=Binomial(16), **SMALL).fit(x)


def test_codes_and_back(fitted, x):
    z = fitted.transform(x)
    np.testing.assert_array_equal(z, fitted.model_.encode(x)[0])
    np.testing.assert_array_equal(fitted.inverse_transform(z), fitted.model_.reconstruct(x))
    assert list(fitted.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]


def test_a_score_depends_on_its_row_alone(fitted, x):
    scores, order = fitted.score_samples(x), np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(fitted.score_samples(x[order]), scores[order], rtol=1e-12)
    np.testing.assert_allclose(fitted.score_samples(x[7:8]), scores[7:8], rtol=1e-12)
    np.testing.assert_array_equal(fitted.score_samples(x), scores)
    assert fitted.score(x) == scores.mean()


def test_the_score_is_log_p_of_x(x):
    """Held against quadrature, which shares no sample with it; of one sample it is the ELBO."""
    x = np.random.default_rng(0).normal([40.0, 3e4], [15.0, 1e4], size=(200, 2))
    estimator = VAETransformer(1, **{**SMALL, "epochs": 200, "n_samples": 500})
    estimator.set_params(learning_rate=1e-2).fit(x)
    exact = estimator.model_.log_likelihood(x)
    np.testing.assert_allclose(estimator.score_samples(x), exact, atol=0.5)
    assert estimator.score(x) == pytest.approx(exact.mean(), abs=0.02)
    elbo = estimator.model_.elbo(x, n_samples=100).mean()
    assert estimator.set_params(n_samples=1).score(x) == pytest.approx(elbo, abs=0.1)


def test_samples_are_draws_of_the_data_and_repeat_with_their_seed(fitted):
    draws = fitted.sample(20, random_state=1)
    assert draws.shape == (20, 64)
    np.testing.assert_array_equal(draws, draws.round())
    np.testing.assert_array_equal(draws, fitted.sample(20, random_state=1))
    assert (draws != fitted.sample(20, random_state=2)).any()


def test_the_dtype_of_x_is_that_of_all(fitted, x):
    single = clone(fitted).fit(x.astype("f4"))
    assert single.model_.theta.dtype == single.transform(x.astype("f4")).dtype == np.float32
    assert fitted.model_.theta.dtype == fitted.transform(x).dtype == np.float64


def test_data_of_any_unit_need_no_scaling():
    x = np.random.default_rng(0).normal([40.0, 3e4], [15.0, 1e4], size=(200, 2))
    estimator = VAETransformer(1, learning_rate=1e-2, **{**SMALL, "epochs": 100}).fit(x)
    nats = -np.log(2 * np.pi * np.e) - np.log(15 * 1e4)  # of the normal distribution they are of
    assert estimator.score(x) == pytest.approx(nats, abs=0.5)


def test_it_is_cloned_pickled_searched_and_put_in_a_line(fitted, x):
    other = clone(fitted)
    assert other.get_params()["likelihood"].total_count == 16
    np.testing.assert_array_equal(other.fit(x).transform(x), fitted.transform(x))
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    line = make_pipeline(StandardScaler(), VAETransformer(**SMALL))
    search = GridSearchCV(line, {"vaetransformer__latent_dim": [1, 3]}, cv=2, error_score="raise")
    search.fit(x)
    assert search.transform(x).shape[1] == search.best_params_["vaetransformer__latent_dim"]


def test_mistakes_are_named(fitted, x):
    with pytest.raises(ValueError, match=r"z must have shape \(N, L\)"):
        fitted.inverse_transform(x)
    with pytest.raises(ValueError, match="latent_dim"):
        VAETransformer(latent_dim=0).fit(x)
    with pytest.raises(ValueError, match="n_samples"):
        clone(fitted).set_params(n_samples=0).fit(x).score(x)
