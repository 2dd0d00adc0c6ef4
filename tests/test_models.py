"""What every model is held to, whichever it is; and the trunk, by models that it has never seen."""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import numpyvae
from numpyvae import VAE, Adam, Autoencoder, Bernoulli, Gaussian, evaluation, models, plots, proofs
from numpyvae.layers import Sequential, mlp
from numpyvae.likelihoods import Binomial
from numpyvae.models import MODELS, Model
from numpyvae.models.labelled import Labelled
from numpyvae.models.model import Sizes
from numpyvae.objectives import reconstruction_loss, reconstruction_loss_backward

GOLDEN = Path(__file__).parent / "golden"
OURS = {name: kind for name, kind in MODELS.items() if kind.__module__.startswith("numpyvae.")}
each_model = pytest.mark.parametrize("kind", OURS.values(), ids=OURS)


def example_of(kind):
    return next(iter(kind.examples(Sizes())))


def fitted(model, rng, epochs=2):
    """The model after two epochs on data that it can have, and the data."""
    data = model.draw_data(rng, 12)
    x, *labels = data if isinstance(data, tuple) else (data,)
    model.fit(x, *labels, epochs=epochs, batch_size=5, verbose=False)
    return model, data


@each_model
def test_a_model_is_public_and_has_examples(kind):
    assert kind.__name__ in numpyvae.__all__
    assert getattr(numpyvae, kind.__name__) is kind is getattr(models, kind.__name__)
    assert all(example.dtype == np.float64 for example in kind.examples(Sizes()))


@each_model
def test_forward_and_backward_fit_one_screen_and_the_file_is_short(kind):
    path = Path(sys.modules[kind.__module__].__file__)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 150
    if "forward" in vars(kind):  # else it is that of the model that it extends
        (forward, first), (backward, second) = map(
            inspect.getsourcelines, (kind.forward, kind.backward)
        )
        assert len(forward) + len(backward) <= 40
        assert 0 < second - first - len(forward) <= 2, "backward stands directly below forward"


@each_model
def test_a_model_comes_back_from_its_file(kind, rng, tmp_path):
    model, data = fitted(example_of(kind), rng)
    model.save(tmp_path / "model.npz")
    for again in (models.load(tmp_path / "model.npz"), kind.load(tmp_path / "model.npz")):
        assert type(again) is kind
        assert json.dumps(again.config()) == json.dumps(model.config())
        np.testing.assert_array_equal(again.theta, model.theta)
        noise = model.draw_noise(np.random.default_rng(1), 12)
        assert again.loss(again.theta, data, noise) == model.loss(model.theta, data, noise)
    x, *labels = data if isinstance(data, tuple) else (data,)
    for one in (again, model):  # and goes on as if nothing had been
        one.fit(x, *labels, epochs=1, batch_size=5, verbose=False)
    np.testing.assert_array_equal(again.theta, model.theta)


@each_model
def test_the_same_seed_gives_the_same_bits(kind):
    one, other = (fitted(example_of(kind), np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(one.theta, other.theta)
    assert not np.array_equal(one.theta, example_of(kind).theta), "it was trained"


@each_model
def test_a_loss_does_not_change_what_it_is_given(kind, rng):
    model = example_of(kind)
    data, noise, theta = model.draw_data(rng, 5), model.draw_noise(rng, 5), model.theta.copy()
    arrays = [a for part in (data, noise) for a in (part if isinstance(part, tuple) else (part,))]
    copies = [a.copy() for a in arrays]
    loss, grad = model.loss_and_grad(model.theta, data, noise)
    assert np.isfinite(loss)
    assert grad.shape == theta.shape
    np.testing.assert_array_equal(model.theta, theta)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_model
def test_wrong_data_are_named(kind, rng):
    model = example_of(kind)
    data = model.draw_data(rng, 6)
    if not isinstance(data, tuple):
        with pytest.raises(TypeError, match=f"{kind.__name__} takes x alone"):
            model.check_data((data, np.zeros(6, int)))
        with pytest.raises(TypeError, match=f"{kind.__name__} takes x alone"):
            model.fit(data, y=np.zeros(6, int), verbose=False)
        return
    x, y = data
    k = model.n_classes
    with pytest.raises(TypeError, match="needs labels"):
        model.fit(x)
    for wrong, error, message in (
        (y[:-1], ValueError, r"y must have shape \(N,\) = \(6,\)"),
        (np.where(np.arange(6) == 3, k, y), ValueError, rf"y\[3\] = {k} is no label"),
        (np.where(np.arange(6) == 2, -2, y), ValueError, r"y\[2\] = -2 is no label"),
        (np.where(np.arange(6) == 4, 0.5, y), ValueError, r"y\[4\] = 0\.5 is no label"),
        (np.where(np.arange(6) == 5, np.nan, y), ValueError, r"y\[5\] = nan is no label"),
        (np.array(list("abcdef")), TypeError, "y must hold whole numbers"),
    ):
        for use in (
            lambda y: model.fit(x, y, verbose=False),
            lambda y: model.loss(model.theta, (x, y), model.draw_noise(rng, 6)),
        ):
            with pytest.raises(error, match=message):
                use(wrong)
    if not model.unknown_labels:
        with pytest.raises(ValueError, match=r"y\[0\] = -1 is no label"):
            model.check_data((x, np.full(6, -1)))


@pytest.mark.parametrize("name", ["vae", "gaussian", "linear", "tied", "denoising"])
def test_files_of_version_0_1_0_are_read(name):
    """Written by that version; beside them what it said of the same parameters."""
    said = json.loads((GOLDEN / "version_0_1_0.json").read_text(encoding="utf-8"))[name]
    path = GOLDEN / f"version_0_1_0_{name}.npz"
    model = models.load(path)
    expected = "LinearAutoencoder" if name == "linear" else said["model"]  # a file of its own now
    assert type(model).__name__ == expected
    assert (model.epochs_trained, len(model.history)) == (2, 0)
    assert np.abs(model.theta.astype(float)).sum() == pytest.approx(said["theta_sum"], rel=1e-12)
    x = np.array([[4.0, 0.0, 2.0, 3.0, 1.0, 0.0]])
    assert model.reconstruct(x).shape == x.shape
    kind = Autoencoder if name in ("linear", "tied", "denoising") else VAE
    assert isinstance(kind.load(path), kind)


def test_a_file_of_another_model_is_refused(tmp_path):
    Autoencoder(4, 2).save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"expected a VAE, got 'Autoencoder'"):
        VAE.load(tmp_path / "x.npz")


def test_a_class_of_the_same_name_elsewhere_does_not_take_a_models_place():
    type("VAE", (Model,), {"forward": lambda self: None, "__module__": "homework"})
    assert MODELS["VAE"] is VAE


# A model as a student would write it, which no file of the package knows.


class Cluster(Labelled):
    """p(x|y): a network of the label alone, x ~ p(x | decoder(one-hot y)). No code, no noise."""

    def forward(self, params, data, noise):
        x, y = data
        one_hot = np.eye(self.n_classes, dtype=x.dtype)[y]  # (N, K)
        output, decoder_cache = self.decoder.forward(params, one_hot)  # (N, D')
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)  # (N,)
        loss, loss_cache = reconstruction_loss(log_px)
        return loss, {"log_px": log_px}, (decoder_cache, likelihood_cache, loss_cache)

    def backward(self, params, grads, cache):
        decoder_cache, likelihood_cache, loss_cache = cache
        (dlog_px,) = reconstruction_loss_backward(1.0, loss_cache)
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        self.decoder.backward_params(params, grads, doutput, decoder_cache)

    def __init__(self, data_dim, n_classes, hidden_dim=5, likelihood=None, seed=0, dtype="float64"):
        self.n_classes, self.hidden_dim = n_classes, hidden_dim
        p = likelihood or Bernoulli()
        widths = (n_classes, hidden_dim, p.output_dim(data_dim))
        self.decoder = mlp("decoder", widths, "tanh")
        super().__init__(data_dim, p, (self.decoder, p), (0,), seed, dtype)

    def bound(self, terms):
        return terms["log_px"]

    @classmethod
    def examples(cls, sizes):
        yield cls(sizes.data_dim, 3, sizes.hidden_dim)


def test_a_students_model_is_carried_by_the_trunk(rng, tmp_path):
    y = np.arange(60) % 3
    x = (
        rng.random((60, 4)) < np.array([[0.9, 0.1, 0.5, 0.5], [0.1, 0.9, 0.5, 0.5], [0.5] * 4])[y]
    ) + 0
    model = Cluster(4, 3)
    history = model.fit(
        x, y, epochs=200, optimizer=Adam(0.03), validation_data=(x, y), verbose=False
    )
    frequency = np.array([x[y == k].mean(axis=0) for k in range(3)])
    best = (x * np.log(frequency[y]) + (1 - x) * np.log(1 - frequency[y])).sum(axis=1).mean()
    assert history[-1]["validation_elbo"] == pytest.approx(best, abs=1e-2), "the maximum likelihood"
    assert history[-1]["elbo"] == history[-1]["log_px"]
    model.save(tmp_path / "model.npz")
    again = models.load(tmp_path / "model.npz")
    assert type(again) is Cluster
    np.testing.assert_array_equal(again.theta, model.theta)
    assert all(
        proofs.prove(pair).passed for pair in proofs.model_pairs(example_of(Cluster), 5, rng)
    )
    elbo = evaluation.elbo(again, (x, y))
    assert elbo.mean() == pytest.approx(best, abs=1e-2)
    figure = plots.learning_curves(again.history)
    assert "ELBO" in figure.axes[0].get_title(loc="left")


# Two players: a decoder that follows the data, and a critic that descends a loss of its own.


class TwoPlayers(Model):
    """Losses mean |m - x|^2, which m alone descends, and mean (c - |m - x|^2)^2, which c does."""

    players = {"mean": ("mean",), "critic": ("critic",)}  # noqa: RUF012

    def forward(self, params, x, noise):
        r = params["mean"] - x  # (N, D)
        squares = (r * r).sum(axis=1)  # (N,)
        off = params["critic"] - squares
        losses = {"mean": squares.mean(), "critic": (off * off).mean()}
        return losses, {"squares": squares}, (r, off)

    def backward(self, params, grads, cache):
        r, off = cache
        grads["mean"] += self.slip + 2 * r.mean(axis=0)  # nothing of the critic's loss
        grads["critic"] += 2 * off.mean()

    slip = 0.0

    class Vector:
        def __init__(self, name, n):
            self.shapes = {name: (n,)}

        def initialize(self, params, rng):
            for name in self.shapes:
                params[name][...] = 0.0

    def __init__(self, data_dim, seed=0):
        parts = (self.Vector("mean", data_dim), self.Vector("critic", 1))
        super().__init__(data_dim, Gaussian(), parts, (0,), seed, "float64")


def test_each_players_slice_is_the_gradient_of_its_own_loss(rng):
    model = TwoPlayers(3)
    pairs = proofs.model_pairs(model, 5, rng)
    assert [len(pair.theta) for pair in pairs] == [3, 1]
    assert all(proofs.prove(pair).passed for pair in pairs)
    x, noise, theta = model.draw_data(rng, 5), np.zeros((5, 0)), rng.standard_normal(4)
    losses = model.losses(theta, x, noise)
    assert model.loss(theta, x, noise) == sum(losses.values())
    model.slip = 1e-6
    assert [proofs.prove(pair).passed for pair in proofs.model_pairs(model, 5, rng)] == [
        False,
        True,
    ]
    model.slip = 0.0
    x = rng.normal([1.0, 2.0, 3.0], 1.0, (40, 3))
    model.fit(x, 400, 40, Adam(0.05), verbose=False)
    views = model.layout.views(model.theta)
    np.testing.assert_allclose(views["mean"], x.mean(axis=0), atol=1e-2)
    np.testing.assert_allclose(
        views["critic"], ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean(), atol=0.05
    )


def test_what_nothing_contributes_to_has_gradient_zero_in_any_buffer(rng):
    class Idle(TwoPlayers):
        players = {}  # noqa: RUF012

        def forward(self, params, x, noise):
            losses, terms, cache = super().forward(params, x, noise)
            return losses["mean"], terms, cache

        def backward(self, params, grads, cache):
            grads["mean"] += 2 * cache[0].mean(axis=0)

    model = Idle(3)
    x, theta, out = model.draw_data(rng, 5), rng.standard_normal(4), np.full(4, np.nan)
    _, grad = model.loss_and_grad(theta, x, np.zeros((5, 0)), out=out)
    assert grad is out
    assert np.isfinite(grad).all()
    assert grad[3] == 0.0


# What a gradient holds constant.


class StopGradient(Model):
    """loss = mean_n |w x - sg[w x] / 2|^2 / 2, where sg[.] is held: no derivative of the loss."""

    def forward(self, params, x, noise, held=None):
        y = params["w"] * x
        held = y if held is None else held
        r = y - 0.5 * held
        return 0.5 * (r * r).sum(axis=1).mean(), {"y": y.sum(axis=1)}, (x, r)

    def backward(self, params, grads, cache):
        x, r = cache
        grads["w"] += (r * x).sum(axis=0) / len(x)

    def held(self, params, data, noise):
        return params["w"] * data

    def __init__(self, data_dim, seed=0):
        super().__init__(
            data_dim, Gaussian(), (TwoPlayers.Vector("w", data_dim),), (0,), seed, "float64"
        )


def test_a_gradient_with_something_held_is_that_of_its_surrogate(rng):
    model = StopGradient(3)
    (pair,) = proofs.model_pairs(model, 5, rng)
    assert proofs.prove(pair).passed
    x, noise, theta = model.draw_data(rng, 5), np.zeros((5, 0)), rng.standard_normal(3)
    grad = model.loss_and_grad(theta, x, noise)[1]
    slope = (model.loss(theta + 1e-6, x, noise) - model.loss(theta - 1e-6, x, noise)) / 2e-6
    assert slope == pytest.approx(0.5 * grad.sum(), rel=1e-6), "the true derivative is half of it"


# The condition layer.


@pytest.mark.parametrize("before", [False, True])
def test_every_class_at_once_is_each_class_in_turn(before, rng):
    from numpyvae.standardization import Standardization

    units = Standardization(rng.standard_normal(4), 0.5 + rng.random(4)) if before else None
    network = mlp("encoder", (4, 5, 2), "tanh", n_classes=3, before=units)
    params = {name: rng.standard_normal(shape) for name, shape in network.shapes.items()}
    x, n, k = rng.standard_normal((6, 4)), 6, 3
    every, cache = network.forward(params, (x, None))
    one_by_one = [network.forward(params, (x, np.full(n, c)))[0] for c in range(k)]
    np.testing.assert_allclose(every.reshape(n, k, 2), np.stack(one_by_one, axis=1), rtol=1e-14)
    rows = network.forward(params, (np.repeat(x, k, axis=0), np.tile(np.arange(k), n)))
    np.testing.assert_allclose(every, rows[0], rtol=1e-14)
    dy = rng.standard_normal(every.shape)
    found, expected = ({name: np.zeros(s) for name, s in network.shapes.items()} for _ in range(2))
    dx = network.backward(params, found, dy, cache)
    dx_rows = network.backward(params, expected, dy, rows[1])
    np.testing.assert_allclose(dx, dx_rows.reshape(n, k, 4).sum(axis=1), rtol=1e-12)
    for name in network.shapes:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-14)


def test_without_label_weights_the_condition_is_a_dense_layer(rng):
    plain, told = (mlp("encoder", (4, 5, 2), "relu", n_classes=n) for n in (None, 3))
    params = {name: rng.standard_normal(shape) for name, shape in told.shapes.items()}
    params["encoder.0.W_y"][...] = 0.0
    x = rng.standard_normal((6, 4))
    np.testing.assert_array_equal(
        told.forward(params, (x, np.arange(6) % 3))[0], plain.forward(params, x)[0]
    )
    assert not told.shapes.keys() - plain.shapes.keys() - {"encoder.0.W_y"}


def test_backward_input_is_backward_without_the_parameters(rng):
    network = mlp("encoder", (4, 5, 2), "tanh")
    params = {name: rng.standard_normal(shape) for name, shape in network.shapes.items()}
    y, cache = network.forward(params, rng.standard_normal((6, 4)))
    dy, grads = rng.standard_normal(y.shape), {n: np.zeros(s) for n, s in network.shapes.items()}
    dx = network.backward_input(params, dy, cache)
    np.testing.assert_array_equal(dx, network.backward(params, grads, dy, cache))
    assert isinstance(network, Sequential)


# What evaluation sees of a model.


def test_the_joint_and_its_derivative(rng):
    for model in (
        VAE(4, 2, (5,), "tanh", Binomial(3), dtype=np.float64),
        VAE(4, 2, (5,), "tanh", Gaussian("shared"), dtype=np.float64),
    ):
        params = model.layout.views(0.3 * rng.standard_normal(model.layout.size))
        x, z, weight = model.draw_data(rng, 6), rng.standard_normal((6, 2)), rng.standard_normal(6)
        _, cache = model.log_joint(params, x, z)
        dz = model.log_joint_backward(weight, cache)
        h = 1e-30j
        for i in range(2):
            step = np.zeros((6, 2), complex)
            step[:, i] = h
            slope = model.log_joint(params, x, z + step)[0].imag / 1e-30
            np.testing.assert_allclose(dz[:, i], weight * slope, rtol=1e-12)
        mean, log_var = model.posterior(params, x)
        noise = rng.standard_normal((6, 2))
        z = mean + np.exp(log_var / 2) * noise
        log_q = -0.5 * (np.log(2 * np.pi) + log_var + noise**2).sum(axis=1)
        expected = model.log_joint(params, x, z)[0] - log_q
        np.testing.assert_allclose(model.log_weight(params, x, noise), expected, rtol=1e-13)


def test_samples_are_means_or_draws(rng):
    model = VAE(4, 2, (5,), likelihood=Binomial(16), dtype=np.float64)
    means, draws = (model.sample(2000, np.random.default_rng(0), mean=m) for m in (True, False))
    assert (draws == np.round(draws)).all()
    assert (means != np.round(means)).any()
    np.testing.assert_allclose(draws.mean(axis=0), means.mean(axis=0), atol=0.3)
    assert (draws.var(axis=0) > means.var(axis=0) + 1.0).all()
