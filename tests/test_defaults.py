"""Whatever is constant, by its documented value: default arguments, what None means, constants.

A default is part of the interface: results that somebody has published rest on it. Here each is
written a second time, so that it changes on purpose or not at all.
"""

import importlib
import inspect
import json
import math

import numpy as np
import pytest

from numpyvae import (
    VAE,
    Adam,
    Autoencoder,
    Bernoulli,
    Binomial,
    DenoisingAutoencoder,
    Gaussian,
    LinearAutoencoder,
    NoisyAutoencoder,
)
from numpyvae import data as toys
from numpyvae.corruptions import SaltAndPepper
from numpyvae.data import mnist, npy, toy
from numpyvae.evaluation import evaluate
from numpyvae.exact import marginal_log_likelihood
from numpyvae.numerics import keep_freed_memory

FIT = {"epochs": 50, "batch_size": 128, "callbacks": (), "verbose": True}
NETWORK = {"hidden_dims": (128,), "activation": "relu", "seed": 0, "dtype": np.float32}
ANNEALING = {"n_chains": 16, "n_steps": 500, "start": "prior", "verbose": True}

DEFAULTS = {
    "callbacks.EarlyStopping": {"monitor": "validation_elbo"},
    "callbacks.KeepBest": {"monitor": "validation_elbo"},
    "corruptions.SaltAndPepper": {"low": 0.0, "high": 1.0},
    "data.digits.load_digits": {"binary": False},
    "data.minibatches.minibatches": {"shuffle": True},
    "data.mnist.load_mnist": {"download": True, "mirrors": mnist.MIRRORS},
    "data.toy.GaussianMixture.log_prob": {"extra_variance": 0.0},
    "data.toy.GaussianMixture.score": {"extra_variance": 0.0},
    "data.toy.LinearGaussian.covariance": {"extra_variance": 0.0},
    "data.toy.LinearGaussian.log_prob": {"extra_variance": 0.0},
    "data.toy.LinearGaussian.score": {"extra_variance": 0.0},
    "data.toy.pinwheel": {"arms": 5, "twist": 1.5, "noise": 0.08},
    "data.toy.spiral": {"arms": 2, "turns": 1.25, "noise": 0.1},
    "evaluation.active_units": {"threshold": 0.01},
    "evaluation.elbo": {"n_samples": 1},
    "evaluation.evaluate": {"n_samples": 500},
    "annealing.annealed_log_likelihood": ANNEALING,
    "annealing.bidirectional_log_likelihood": ANNEALING,
    "lattice.lattice_log_likelihood": {"tolerance": 0.02},
    "marginal.log_likelihood": {"n_samples": 500, "method": "auto"},
    "marginal.refined_posterior": {"n_steps": 200, "n_samples": 8, "learning_rate": 0.1},
    "exact.quadrature.marginal_log_likelihood": {"max_cells": 30_000},
    "layers.LeakyReLU": {"slope": 0.01},
    "layers.Condition": {"input_scale": 1.0},
    "layers.Dense": {"input_scale": 1.0},
    "layers.mlp": {"input_scale": 1.0},
    "likelihoods.gaussian.Gaussian": {"variance": 1.0},
    "likelihoods.binomial.Binomial.check": {"first_row": 0},
    "likelihoods.gaussian.Gaussian.check": {"first_row": 0},
    "models.autoencoder.Autoencoder": {**NETWORK, "tied": False},
    "models.linear_autoencoder.LinearAutoencoder": {"hidden_dims": ()},
    "models.vae.VAE": {**NETWORK, "beta": 1.0},
    "models.conditional.ConditionalVAE": {**NETWORK, "beta": 1.0, "prior_network": False},
    "models.semi_supervised.SemiSupervisedVAE": {**NETWORK, "alpha": 1.0},
    "models.vector_quantized.VectorQuantizedVAE": {**NETWORK, "commitment": 1.0},
    "models.labelled_latent.LabelledLatentModel.classify": {"n_samples": 100},
    "models.labelled_latent.LabelledLatentModel.elbo": {"n_samples": 1},
    "models.labelled_latent.LabelledLatentModel.log_class_joint": {"n_samples": 100},
    "models.labelled_latent.LabelledLatentModel.log_likelihood": {
        "n_samples": 500,
        "method": "auto",
        "full": False,
    },
    "models.labelled_latent.LabelledLatentModel.sample": {"mean": True},
    "models.discrete.DiscreteCodeModel.sample": {"mean": True},
    "likelihoods.structured.StructuredGaussian": {"band": 1},
    "models.full_covariance.FullCovarianceVAE": {**NETWORK, "beta": 1.0},
    "models.importance_weighted.ImportanceWeightedVAE": {
        **NETWORK,
        "n_samples": 5,
        "estimator": "dreg",
    },
    "models.learned_prior.LearnedPriorVAE": {**NETWORK, "beta": 1.0},
    "models.latent.LatentModel.elbo": {"n_samples": 1},
    "models.latent.LatentModel.log_likelihood": {
        "n_samples": 500,
        "method": "auto",
        "full": False,
    },
    "models.latent.LatentModel.sample": {"mean": True},
    "models.model.Model.fit": FIT,
    "optimizers.SGD": {"learning_rate": 0.01},
    "optimizers.Momentum": {"learning_rate": 0.01, "momentum": 0.9},
    "optimizers.Adam": {
        "learning_rate": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.0,
    },
    "plots.manifold": {"n_side": 20, "dims": (0, 1)},
    "plots.reconstructions": {"n": 10},
    "plots.samples": {"n": 64},
    "training.DivergenceError": {"rate": "", "size": ""},
    "training.fit": FIT,
}

MODULES = (
    "annealing", "callbacks", "corruptions", "data.digits", "data.files", "data.idx",
    "data.minibatches", "data.mnist", "data.toy", "evaluation", "exact.pca", "exact.quadrature",
    "lattice", "layers", "likelihoods.binomial", "likelihoods.gaussian", "likelihoods.structured",
    "marginal", "models.autoencoder", "models.conditional", "models.discrete",
    "models.full_covariance", "models.importance_weighted", "models.labelled_latent",
    "models.latent", "models.learned_prior", "models.linear_autoencoder", "models.model",
    "models.semi_supervised", "models.vae", "models.vector_quantized", "objectives", "optimizers",
    "parameters", "plots", "priors.mixture", "priors.vamp", "training",
)  # fmt: skip


def public_callables():
    """The functions and classes that a module's `__all__` names, and the classes' methods."""
    for name in MODULES:
        module = importlib.import_module(f"numpyvae.{name}")
        for public in module.__all__:
            thing = getattr(module, public)
            if not callable(thing) or getattr(thing, "__module__", "") != module.__name__:
                continue
            if getattr(thing, "_is_protocol", False):
                continue
            yield f"{name}.{public}", thing
            if inspect.isclass(thing):
                yield from (
                    (f"{name}.{public}.{method}", function)
                    for method, function in vars(thing).items()
                    if not method.startswith("_") and inspect.isfunction(function)
                )


def defaults(thing):
    """The default arguments; None stands for what is chosen later (see below)."""
    function = thing.__init__ if inspect.isclass(thing) else thing
    if not inspect.isfunction(function):
        return {}
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default not in (p.empty, None)}


def test_every_default_argument_has_its_documented_value():
    found = {name: values for name, thing in public_callables() if (values := defaults(thing))}
    assert found == DEFAULTS


def test_what_none_stands_for(rng):
    vae, autoencoder = VAE(4, 2), Autoencoder(4, 2)
    assert repr(vae.likelihood) == "Bernoulli()"
    assert repr(autoencoder.likelihood) == "Gaussian(variance=0.5)"
    assert toys.gaussian_mixture(3, rng).truth is toys.THREE_GAUSSIANS
    assert toys.linear_gaussian(3, rng).truth is toys.PLANE_IN_FIVE_DIMENSIONS
    x = rng.integers(0, 2, (20, 4))
    default, adam = VAE(4, 2, seed=3), VAE(4, 2, seed=3)
    default.fit(x, 2, verbose=False)
    adam.fit(x, 2, optimizer=Adam(1e-3, 0.9, 0.999, 1e-8), verbose=False)
    np.testing.assert_array_equal(default.theta, adam.theta)
    for method in (
        lambda rng: default.sample(3, rng),
        lambda rng: default.elbo(x, 2, rng),
        lambda rng: default.log_likelihood(x, 2, rng),
        lambda rng: evaluate(default, x, 2, rng),
    ):
        np.testing.assert_equal(method(None), method(np.random.default_rng([3, 0])))
    for latent_dim, tolerance in ((1, 1e-7), (2, 1e-4)):
        model = VAE(4, latent_dim, (3,))
        first, given = (
            marginal_log_likelihood(model, x[:2], **arguments)
            for arguments in ({}, {"tolerance": tolerance})
        )
        np.testing.assert_array_equal(first, given)


def test_initial_values():
    """Zero biases, log-variance 0, no epochs yet; moments of the optimisers are zero."""
    vae = VAE(4, 2, (3,), likelihood=Gaussian("shared"))
    views = vae.layout.views(vae.theta)
    for name in ("encoder.0.b", "encoder.1.b", "decoder.0.b", "decoder.1.b", "likelihood.log_var"):
        assert not views[name].any()
    assert (vae.epochs_trained, list(vae.history)) == (0, [])
    assert [p.data_scale for p in (Bernoulli(), Binomial(16), Gaussian(9.0))] == [1.0, 16.0, 1.0]


def test_configurations_come_back_from_json_as_they_were():
    """And make the same model again: no tuple, no NumPy number, no default left out."""
    corruption = SaltAndPepper(0.3, -1.0, 2.0)
    for model in (
        VAE(4, 2, (3, 5), "tanh", Binomial(3), 0.5, 7, "float64"),
        VAE(4, 2, beta=math.inf, likelihood=Gaussian("shared")),
        LinearAutoencoder(4, 2, penalties=np.array([0.5, 1.0]), likelihood=Gaussian(0.3)),
        Autoencoder(4, 2, (3,), tied=True),
        NoisyAutoencoder(4, 2, code_noise=0.3, activation="tanh"),
        DenoisingAutoencoder(4, 2, corruption=corruption, seed=3),
    ):
        config = model.config()
        assert json.loads(json.dumps(config)) == config
        again = type(model)(**type(model).arguments_from_config(config))
        assert again.config() == config
        np.testing.assert_array_equal(again.theta, model.theta)


@pytest.mark.parametrize(("module", "constants"), [
    ("numerics", {"BLOCK": 65_536}),
    ("gaussian", {"LOG_2PI": pytest.approx(1.8378770664093453, rel=1e-15)}),
    ("exact.arrays", {"LOG_2PI": pytest.approx(1.8378770664093453, rel=1e-15)}),
    ("models.model", {"CHUNK": 1024}),
    ("evaluation", {"CHUNK_ENTRIES": 1_000_000}),
    ("proofs", {
        "COMPLEX_STEP_TOLERANCE": 1e-12, "CENTRAL_DIFFERENCE_TOLERANCE": 1e-7,
    }),
    ("data.mnist", {"TIMEOUT_SECONDS": 20.0, "DEADLINE_SECONDS": 600.0}),
    ("data.npy", {"MEMORY_MAP_BYTES": 64 * 1024**2, "USUAL_NAMES": ("x", "x_train", "data")}),
    ("plots", {
        "MAX_CLASSES": 30, "MAX_POINTS": 2000, "MANY_EPOCHS": 20,
        "TICKS": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0),
    }),
    ("drawing", {"DPI": 150, "LABEL_SIZE": 13, "TICK_SIZE": 11}),
])  # fmt: skip
def test_constants_have_their_documented_values(module, constants):
    module = importlib.import_module(f"numpyvae.{module}")
    assert {name: getattr(module, name) for name in constants} == constants


def test_proofs_are_at_sizes_that_are_all_different():
    from numpyvae.likelihoods import EXAMPLES
    from numpyvae.proofs import LIKELIHOODS, Sizes

    assert Sizes() == (5, 7, 6, 3)
    assert EXAMPLES[: len(LIKELIHOODS)] == LIKELIHOODS
    assert [repr(p) for p in EXAMPLES] == [
        "Bernoulli()",
        "Binomial(16)",
        "Gaussian(variance=0.5)",
        "Gaussian(variance='shared')",
        "Gaussian(variance='per_dimension')",
        "StructuredGaussian(band=2)",
        "StructuredGaussian(band=1, width=3)",
    ]


def test_the_sizes_of_the_mnist_files_follow_from_their_format():
    """IDX: a header of 4 bytes and 4 for each axis, then one byte for each pixel or label."""
    sizes = [file.n_bytes for file in mnist.FILES]
    assert sizes == [16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000]


def test_the_block_that_makes_glibc_keep_memory_is_almost_32_mb():
    """From twice the largest freed block on glibc gives memory back: from 64 MB on."""
    sizes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numpyvae.numerics.np.empty", lambda size, dtype: sizes.append(size))
        keep_freed_memory.__wrapped__()
    assert sizes == [32 * 2**20 - 64 * 2**10]
    keep_freed_memory.cache_clear()
    VAE(4, 2)
    assert keep_freed_memory.cache_info().currsize == 1, "every model asks for it"


@pytest.mark.parametrize(("limit", "mapped"), [(48, True), (49, False)])
def test_an_array_of_exactly_the_limit_is_mapped(limit, mapped, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))  # 48 bytes
    monkeypatch.setattr(npy, "MEMORY_MAP_BYTES", limit)
    assert isinstance(npy.read_npy(tmp_path / "x.npy"), np.memmap) == mapped


def test_the_truths_of_the_toys():
    three, plane = toy.THREE_GAUSSIANS, toy.PLANE_IN_FIVE_DIMENSIONS
    assert three.weights.tolist() == [0.5, 0.3, 0.2]
    assert three.means.tolist() == [[-1.5, -1.0], [1.5, -0.5], [0.0, 1.5]]
    assert three.variances.tolist() == [0.25, 0.1, 0.05]
    assert plane.weights.T.tolist() == [[2, 0, 1, 0, -1], [0, 1, 0, -1, 0.5]]
    assert plane.mean.tolist() == [1, -1, 0, 2, 0.5]
    assert plane.noise_variance == 0.25
    assert toy.KNOTS_PER_ARM == 100


def test_the_slope_of_a_leaky_relu_and_its_gradient():
    """One hundredth to the left; the quadrature, which writes it again, has the same."""
    from numpyvae.exact.quadrature import ACTIVATIONS
    from numpyvae.layers import LeakyReLU

    x = np.array([[-100.0, -1.0, 0.0, 2.0]])
    y, cache = LeakyReLU().forward({}, x)
    assert y.tolist() == [[-1.0, -0.01, 0.0, 2.0]] == ACTIVATIONS["leaky_relu"](x).tolist()
    assert LeakyReLU().backward({}, {}, np.ones((1, 4)), cache).tolist() == [[0.01, 0.01, 0.01, 1]]


def test_default_densities_are_standard():
    """Gaussian() is N(mean, 1): at the mean -log(2 pi)/2 for each dimension."""
    log_prob, _ = Gaussian().log_prob({}, np.zeros((1, 2)), np.array([[0.0, 1.0]]))
    assert log_prob[0] == pytest.approx(-math.log(2 * math.pi) - 0.5, rel=1e-14)
