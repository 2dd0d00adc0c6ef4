"""Exactly one entry is wrong, anywhere: every check sees it, and the message says where it is.

A check that asks whether all entries are wrong, or whether the first one is, passes every test with
an array that is wrong throughout.
"""

import re

import numpy as np
import pytest
from saved_files import read_all

from numpyvae import (
    SGD,
    VAE,
    Adam,
    Bernoulli,
    Binomial,
    Gaussian,
    LinearAutoencoder,
    Momentum,
    NoisyAutoencoder,
)
from numpyvae.corruptions import GaussianNoise, Masking, SaltAndPepper, corruption_from_config
from numpyvae.data import (
    THREE_GAUSSIANS,
    GaussianMixture,
    LinearGaussian,
    binarize_pixels,
    minibatches,
    pinwheel,
    spiral,
)
from numpyvae.exact import PCA, ProbabilisticPCA, marginal_log_likelihood
from numpyvae.layers import LeakyReLU
from numpyvae.likelihoods import likelihood_from_config
from numpyvae.models import model
from numpyvae.storage import write_npz
from numpyvae.training import DivergenceError
from numpyvae.validation import (
    as_matrix,
    check_finite,
    first_entry,
    float_dtype,
    fraction,
    one_of,
    positive_int,
    positive_number,
)

PLACES = [(0, 0), (0, 3), (3, 0), (3, 2), (6, 0), (6, 3)]  # of 7 rows and 4 columns
SHAPE = (7, 4)
RNG = np.random.default_rng(0)


def spoilt(place, value, fill=1.0):
    x = np.full(SHAPE, fill)
    x[place] = value
    return x


def at(place, value="", first_row=0):
    """What a message says of the place: row and column, and what was there."""
    return re.escape(f"x[{first_row + place[0]}, {place[1]}] {value}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
@pytest.mark.parametrize("likelihood", [Bernoulli(), Binomial(16), Gaussian()], ids=repr)
def test_what_is_not_finite(likelihood, value, name, place):
    x = spoilt(place, value)
    expected = f"is {name}: expected finite"
    with pytest.raises(ValueError, match=at(place, expected)):
        check_finite("x", x)
    with pytest.raises(ValueError, match=at(place, expected, first_row=100)):
        check_finite("x", x, first_row=100)
    with pytest.raises(ValueError, match=at(place, expected, first_row=100)):
        likelihood.check(x, first_row=100)
    vae = VAE(4, 2, (3,), likelihood=likelihood)
    for use in (vae.check_data, vae.encode, vae.reconstruct, vae.elbo, vae.log_likelihood):
        with pytest.raises(ValueError, match=at(place, expected)):
            use(x)
    with pytest.raises(ValueError, match=at(place, expected)):
        vae.fit(np.ones(SHAPE), validation_data=x, verbose=False)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("likelihood", "values"),
    [
        (Bernoulli(), (-1, 0.5, 2)),
        (Binomial(16), (-1, 3.5, 17)),
    ],
    ids=repr,
)
def test_what_is_outside_the_support(likelihood, values, place):
    vae = VAE(4, 2, (3,), likelihood=likelihood)
    for value in values:
        x = spoilt(place, value)
        expected = f"= {value:g} is outside the support of {likelihood!r}"
        with pytest.raises(ValueError, match=at(place, expected, first_row=100)):
            likelihood.check(x, first_row=100)
        with pytest.raises(ValueError, match=at(place, expected)):
            vae.check_data(x)
        with pytest.raises(ValueError, match="integers from 0 to"):
            marginal_log_likelihood(vae, x)
    if isinstance(likelihood, Binomial) and likelihood.total_count > 1:
        with pytest.raises(ValueError, match="outside the support"):
            vae.loss(vae.theta, x, np.zeros((7, 2)))
    for value in (0, likelihood.total_count):  # both ends belong to it
        likelihood.check(spoilt(place, value))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_too_large_for_the_dtype(place):
    x = spoilt(place, 1e39)
    with pytest.raises(ValueError, match=at(place, "= 1e+39 is too large for float32")):
        VAE(4, 2, (3,), likelihood=Gaussian()).check_data(x)
    VAE(4, 2, (3,), likelihood=Gaussian(), dtype=np.float64).check_data(x)


@pytest.mark.parametrize("row", [0, 9, 10, 19, 20, 24])
def test_rows_are_counted_through_all_chunks(row, monkeypatch):
    monkeypatch.setattr(model, "CHUNK", 10)
    vae = VAE(4, 2, (3,), likelihood=Gaussian())
    for value, message in ((np.nan, "is NaN"), (1e39, "= 1e+39 is too large")):
        x = np.zeros((25, 4))
        x[row, 1] = value
        with pytest.raises(ValueError, match=at((row, 1), message)):
            vae.check_data(x)
    counts = np.zeros((25, 4))
    counts[row, 1] = 0.5
    with pytest.raises(ValueError, match=at((row, 1), "= 0.5 is outside")):
        VAE(4, 2, (3,)).check_data(counts)


@pytest.mark.parametrize("place", PLACES)
def test_codes_pixels_and_the_data_of_the_references(place, rng):
    x = spoilt(place, np.nan)
    vae = VAE(4, 4, (3,), likelihood=Gaussian())
    with pytest.raises(ValueError, match=re.escape(f"z[{place[0]}, {place[1]}] is NaN")):
        vae.decode(x)
    for fit in (PCA(2).fit, ProbabilisticPCA(2).fit, lambda x: ProbabilisticPCA(2).fit_em(x, 1)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            fit(x)
    small = VAE(4, 2, (3,), likelihood=Gaussian())
    with pytest.raises(ValueError, match="NaN or infinite"):
        marginal_log_likelihood(small, x)
    for value in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
            binarize_pixels(spoilt(place, value, fill=0.5), rng)


def test_one_bad_row_far_behind_the_others():
    """Behind the chunks of 4096 rows in which the references look through their data."""
    x = np.random.default_rng(0).standard_normal((9000, 2))
    for row in (0, 4095, 4096, 8999):
        bad = x.copy()
        bad[row, 1] = np.inf
        with pytest.raises(ValueError, match="NaN or infinite"):
            PCA(1).fit(bad)


def test_one_bad_parameter_of_a_decoder():
    for index in (0, 30, -1):
        vae = VAE(4, 2, (3,), likelihood=Gaussian())
        vae.theta[index] = np.nan
        with pytest.raises(ValueError, match=r"vae\.theta holds NaN"):
            marginal_log_likelihood(vae, np.ones((1, 4)))


@pytest.mark.parametrize("k", [0, 1, 2])
def test_one_bad_component_of_a_mixture(k):
    weights, means, variances = np.full(3, 1 / 3), np.zeros((3, 2)), np.ones(3)
    for bad in (0.0, -0.5):
        changed = variances.copy()
        changed[k] = bad
        with pytest.raises(ValueError, match="variances must be positive"):
            GaussianMixture(weights, means, changed)
        changed = np.full(3, (1 - bad) / 2)
        changed[k] = bad
        with pytest.raises(ValueError, match="weights must be positive and sum to 1"):
            GaussianMixture(changed, means, variances)
    changed = weights.copy()
    changed[k] += 0.01
    with pytest.raises(ValueError, match="sum to 1"):
        GaussianMixture(changed, means, variances)


@pytest.mark.parametrize(
    ("weights", "means", "variances"),
    [
        ([1.0], [0.0, 0.0], [1.0]),
        ([], np.zeros((0, 2)), []),
        (1.0, [[0.0, 0.0]], 1.0),
        ([0.5, 0.5], [[0.0, 0.0]], [1.0, 1.0]),
        ([1.0], [[0.0, 0.0]], [1.0, 1.0]),
        ([1.0], [[[0.0, 0.0]]], [1.0]),
        ([[1.0]], [[0.0, 0.0]], [1.0]),
    ],
)
def test_one_shape_of_a_mixture_that_does_not_fit(weights, means, variances):
    with pytest.raises(ValueError, match=r"must have shapes \(K,\), \(K, D\), \(K,\), got"):
        GaussianMixture(weights, means, variances)


@pytest.mark.parametrize("make", [Adam, Momentum])
def test_one_bad_moment_of_an_optimizer(make):
    optimizer = make()
    optimizer.step(np.zeros(3), np.ones(3))
    state = optimizer.state()
    for name in set(state) - {"n_steps"}:
        for bad in (np.zeros((3, 1)), np.zeros(3, int), np.array(0.0)):
            with pytest.raises(ValueError, match="moments that are vectors"):
                make().load_state({**state, name: bad})
        without = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match="expected the state"):
            make().load_state(without)
    with pytest.raises(ValueError, match="expected the state"):
        make().load_state({**state, "more": np.zeros(3)})
    with pytest.raises(ValueError, match="n_steps of at least 0"):
        make().load_state({**state, "n_steps": np.array(-1)})


def test_a_bad_minibatch_of_validation_data_alone(rng):
    """The transform spoils what has 3 rows, and the minibatches of the training have 4."""
    vae = VAE(4, 2, (3,))
    with pytest.raises(ValueError, match=r"a minibatch after transform: x\[0, 0\] = 0.5 is"):
        vae.fit(
            np.zeros((8, 4)),
            1,
            4,
            validation_data=np.zeros((3, 4)),
            verbose=False,
            transform=lambda x: x + 0.5 * (len(x) == 3),
        )


@pytest.mark.parametrize("make", [SGD, Momentum, Adam])
def test_vectors_of_one_length_are_stepped_and_nothing_else(make):
    for theta, grad in (
        (np.ones((2, 3)), np.ones((2, 3))),
        (np.ones(()), np.ones(())),
        (np.ones(3), np.ones(2)),
        (np.ones(3), np.ones((3, 1))),
    ):
        before = theta.copy()
        with pytest.raises(ValueError, match="vectors of one length, got"):
            make().step(theta, grad)
        np.testing.assert_array_equal(theta, before)
    for theta in (np.ones(3, int), np.ones(3, complex)):
        with pytest.raises(TypeError, match=f"array of floats, got {theta.dtype}"):
            make().step(theta, np.ones(3))


def test_a_model_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npz: no such file$"):
        read_all(tmp_path / "gone.npz")


def test_a_model_that_was_never_trained_comes_back(tmp_path):
    vae = VAE(4, 2, (3,), seed=5)
    vae.save(tmp_path / "x.npz")
    again = VAE.load(tmp_path / "x.npz")
    assert again.epochs_trained == 0
    np.testing.assert_array_equal(again.theta, vae.theta)


@pytest.mark.parametrize("missing", ["theta", "epochs_trained", "arguments", "model"])
def test_a_model_file_that_lacks_one_thing(missing, tmp_path):
    vae = VAE(4, 2, (3,))
    vae.save(tmp_path / "x.npz")
    arrays, description = read_all(tmp_path / "x.npz")
    for part in (arrays, description):
        part.pop(missing, None)
    write_npz(tmp_path / "x.npz", arrays, description)
    with pytest.raises(
        ValueError, match=r"x\.npz: expected (a VAE, got|an array 'theta'|'epochs_|'arg)"
    ):
        VAE.load(tmp_path / "x.npz")


@pytest.mark.parametrize("description", ["[1]", "3", '"text"', "null", "not JSON"])
def test_a_file_with_another_description(description, tmp_path):
    np.savez(tmp_path / "x.npz", description=np.array(description), theta=np.zeros(3))
    with pytest.raises(ValueError, match=r"x\.npz: expected a"):
        read_all(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "arguments",
    [
        {"optimizer": Adam},
        {"optimizer": "adam"},
        {"callbacks": print},
        {"callbacks": [print, 3]},
        {"callbacks": [3, print]},
    ],
)
def test_objects_that_would_only_fail_in_the_middle_of_an_epoch(arguments):
    vae = VAE(4, 2, (3,))
    theta = vae.theta.copy()
    (name,) = arguments
    with pytest.raises(TypeError, match=f"{name} must be a"):
        vae.fit(np.ones(SHAPE), verbose=False, **arguments)
    np.testing.assert_array_equal(vae.theta, theta)


def test_the_last_step_of_an_epoch_is_looked_at_too():
    """Its own loss was finite; what it made of the parameters no later loss of the epoch shows."""
    vae = VAE(4, 2, (3,), likelihood=Gaussian())
    theta = vae.theta.copy()
    message = r"epoch 1, step 1: the loss is (inf|nan)\. The initial parameters .*\(now 1e\+30\)"
    with pytest.raises(DivergenceError, match=message):
        vae.fit(np.ones(SHAPE), 1, 7, SGD(1e30), verbose=False)
    np.testing.assert_array_equal(vae.theta, theta)
    assert (vae.epochs_trained, len(vae.history)) == (0, 0)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"name": "Masking"},
        {"name": "Blur"},
        {"name": "Masking", "probability": 0.1, "more": 1},
    ],
)
def test_configurations_that_name_no_corruption(config):
    with pytest.raises(ValueError, match="corruption"):
        corruption_from_config(config)


def test_generators_and_numbers_of_samples():
    vae, x = VAE(4, 2, (3,)), np.ones(SHAPE)
    for use in (
        vae.sample,
        lambda n, rng: vae.elbo(x, n, rng),
        lambda n, rng: vae.log_likelihood(x, n, rng),
    ):
        with pytest.raises(
            TypeError, match=r"rng must be a numpy\.random\.Generator or None, got 0"
        ):
            use(3, 0)
        with pytest.raises(ValueError, match=r"n(_samples)? must be at least 1, got 0"):
            use(0, None)


def test_a_transform_without_a_signature_gets_the_batch_alone(rng):
    class Opaque:
        __signature__ = "none"

        def __call__(self, batch):
            return batch + 1

    (batch,) = minibatches(np.zeros((3, 2)), 3, rng, Opaque())
    assert batch.tolist() == [[1, 1]] * 3


# The single values.


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: positive_int("n", 0), ValueError, "n must be at least 1, got 0"),
    (lambda: positive_int("n", 1, least=2), ValueError, "n must be at least 2, got 1"),
    (lambda: positive_int("n", True), TypeError, "n must be an integer, got True"),
    (lambda: positive_int("n", 1.0), TypeError, "n must be an integer, got 1.0"),
    (lambda: positive_number("p", 0), ValueError, "p must be a finite number above 0, got 0"),
    (lambda: positive_number("p", -1.5), ValueError, "p must be a finite number above 0, got -1.5"),
    (
        lambda: positive_number("p", -1, zero=True),
        ValueError, "p must be a finite number of at least 0, got -1",
    ),
    (lambda: positive_number("p", np.inf), ValueError, "p must be a finite number above 0"),
    (lambda: positive_number("p", np.nan, zero=True), ValueError, "p must be a finite number of"),
    (lambda: positive_number("p", True), TypeError, "p must be a number, got True"),
    (lambda: positive_number("p", "1"), TypeError, "p must be a number, got '1'"),
    (lambda: positive_number("p", 1j), TypeError, "p must be a number, got 1j"),
    (lambda: fraction("f", 1), ValueError, r"f must lie in \[0, 1\), got 1"),
    (lambda: fraction("f", -0.1), ValueError, "f must be a finite number of at least 0"),
    (lambda: one_of("c", "z", ("x", "y")), ValueError, "unknown c 'z': expected one of 'x', 'y'"),
    (lambda: float_dtype(int), ValueError, "dtype must be float32 or float64, got <class 'int'>"),
    (lambda: float_dtype("float16"), ValueError, "dtype must be float32 or float64, got 'float16'"),
    (lambda: as_matrix("x", [[1, 2]], 3, "(N, D)"), ValueError, r"with 3 columns, got \(1, 2\)"),
    (lambda: as_matrix("x", [1, 2], 2, "(N, D)"), ValueError, r"2 columns, got \(2,\)"),
    (lambda: as_matrix("x", np.ones((0, 2)), 2, "(N, D)"), ValueError, "x is empty: expected at"),
    (lambda: as_matrix("x", [[1j, 2]], 2, "(N, D)"), TypeError, "real numbers, got .* complex128"),
    (lambda: as_matrix("x", [["a", "b"]], 2, "(N, D)"), TypeError, "x must hold real numbers"),
    (
        lambda: as_matrix("x", np.ma.masked_equal([[1, 2]], 2), 2, "(N, D)"),
        TypeError, "x must be a plain array, got a masked one",
    ),
    (lambda: likelihood_from_config({}), ValueError, "unknown likelihood None"),
])  # fmt: skip
def test_values_that_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


EDGES = {  # what makes it -> (what is still taken, what is not), by the docstrings
    "LeakyReLU slope": (LeakyReLU, (0, 0.01, 2), (-0.01, np.inf)),
    "GaussianNoise": (GaussianNoise, (1e-9, 3), (0, -1)),
    "Masking": (Masking, (0, 0.999), (1, -0.1)),
    "SaltAndPepper": (SaltAndPepper, (0, 0.999), (1, -0.1)),
    "Gaussian variance": (Gaussian, (1e-9, 9), (0, -1, np.inf, "other")),
    "Binomial": (Binomial, (1, 16), (0, -1)),
    "learning rate": (SGD, (1e-9, 9), (0, -1)),
    "momentum": (lambda v: Momentum(momentum=v), (0, 0.999), (1, -0.1)),
    "beta1": (lambda v: Adam(beta1=v), (0, 0.999), (1, -0.1)),
    "beta2": (lambda v: Adam(beta2=v), (0, 0.9999), (1, -0.1)),
    "epsilon": (lambda v: Adam(epsilon=v), (1e-300, 1), (0, -1)),
    "weight_decay": (lambda v: Adam(weight_decay=v), (0, 1), (-1, -0.1)),
    "beta": (lambda v: VAE(4, 2, beta=v), (0, 0.5, np.inf), (-0.1, np.nan, -np.inf)),
    "seed": (lambda v: VAE(4, 2, seed=v), (0, 7), (-1,)),
    "data_dim": (lambda v: VAE(v, 2), (1, 7), (0,)),
    "latent_dim": (lambda v: VAE(4, v), (1, 7), (0,)),
    "hidden_dims": (lambda v: VAE(4, 2, (3, v)), (1, 7), (0,)),
    "code_noise": (lambda v: NoisyAutoencoder(4, 2, code_noise=v), (1e-9, 3), (0, -1)),
    "penalties": (lambda v: LinearAutoencoder(4, 2, penalties=(1, v)), (0, 2), (-0.1, np.nan)),
    "n_components": (PCA, (1, 3), (0, -1, True, 1.0)),
    "latent_dim of PPCA": (ProbabilisticPCA, (1, 3), (0, -1, True, 1.0)),
    "noise_variance": (lambda v: LinearGaussian([[1.0]], [0.0], v), (1e-9, 3), (0, -1)),
    "extra_variance": (lambda v: THREE_GAUSSIANS.log_prob(np.zeros((1, 2)), v), (0, 3), (-0.1,)),
    "spiral turns": (lambda v: spiral(3, RNG, turns=v), (0.1, 9), (0, -1)),
    "spiral noise": (lambda v: spiral(3, RNG, noise=v), (1e-9, 9), (0, -1)),
    "pinwheel twist": (lambda v: pinwheel(3, RNG, twist=v), (0, -1, 1), ()),
    "pinwheel arms": (lambda v: pinwheel(3, RNG, arms=v), (1, 3), (0, -1)),
    "points": (lambda v: spiral(v, RNG), (1, 3), (0, -1)),
}


@pytest.mark.parametrize(("make", "taken", "refused"), EDGES.values(), ids=EDGES.keys())
def test_every_argument_up_to_the_edge_and_not_beyond(make, taken, refused):
    for value in taken:
        make(value)
    for value in refused:
        with pytest.raises(ValueError, match=r"must|unknown variance"):
            make(value)


def test_values_at_the_edge_are_taken():
    """And come back as the type that is promised."""
    for given, value in (
        (positive_int("n", np.int64(1)), 1),
        (positive_int("n", 0, least=0), 0),
        (positive_number("p", np.float32(0.5)), 0.5),
        (positive_number("p", 3), 3.0),
        (positive_number("p", 0, zero=True), 0.0),
        (fraction("f", 0), 0.0),
        (fraction("f", 0.999), 0.999),
        (one_of("c", "y", ("x", "y")), "y"),
    ):
        assert given == value
        assert type(given) is type(value)
    for name in ("float32", "f4", np.float32):
        assert float_dtype(name) == np.float32
    for name in ("float64", "f8", float, np.float64):
        assert float_dtype(name) == np.float64
    for kind in (np.uint8, np.int64, bool, np.float32):
        x = np.ones((1, 2), kind)
        assert as_matrix("x", x, 2, "(N, D)") is x
    assert first_entry(np.array([[False, False], [True, True]])) == (1, 0)
    assert all(type(i) is int for i in first_entry(np.array([[True]])))
    check_finite("x", np.array([[1, 2]]))  # integers are finite
