"""The fit loop: it learns, it repeats itself bit for bit, it stops in order, it copies little."""

import io
import tracemalloc

import numpy as np
import pytest

from numpyvae import SGD, VAE, Adam, Bernoulli, Binomial, Gaussian, Momentum
from numpyvae.data import binarize_pixels, load_digits, minibatches
from numpyvae.progress import Progress
from numpyvae.training import DivergenceError, History


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def small(x, **arguments):
    return VAE(x.shape[1], 2, (16,), likelihood=Binomial(16), **arguments)


def test_it_learns_the_digits(digits):
    """From an ELBO of about -500 nats to one that no model without latent code reaches."""
    vae = VAE(64, 2, (64,), likelihood=Binomial(16))
    before = vae.elbo(digits.x_test).mean()
    vae.fit(digits.x_train, epochs=30, optimizer=Adam(3e-3), verbose=False)
    rate = digits.x_train.mean(axis=0).clip(0.01, 15.99) / 16
    logits = np.log(rate / (1 - rate))[None]
    independent, _ = Binomial(16).log_prob(
        {}, digits.x_test, np.broadcast_to(logits, digits.x_test.shape)
    )
    after = vae.elbo(digits.x_test).mean()
    assert before < independent.mean() + 30 < after


def test_the_same_seed_gives_the_same_bits(digits):
    runs = []
    for seed in (0, 0, 1):
        vae = small(digits.x_train, seed=seed)
        vae.fit(digits.x_train, epochs=2, verbose=False)
        runs.append(vae)
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)
    assert runs[0].history.column("elbo").tolist() == runs[1].history.column("elbo").tolist()
    assert (runs[0].theta != runs[2].theta).any()


def test_looking_on_changes_nothing(digits):
    """Validation, callbacks and progress draw no random numbers of the training's own."""
    plain, watched = small(digits.x_train), small(digits.x_train)
    plain.fit(digits.x_train, epochs=2, verbose=False)
    watched.fit(
        digits.x_train, epochs=2, validation_data=digits.x_test, callbacks=[lambda *_: None]
    )
    np.testing.assert_array_equal(plain.theta, watched.theta)


@pytest.mark.parametrize("make", [Adam, Momentum])
def test_stopping_and_going_on_changes_nothing(digits, make, tmp_path):
    straight, broken = small(digits.x_train), small(digits.x_train)
    straight.fit(digits.x_train, epochs=4, optimizer=make(1e-4), verbose=False)
    first = make(1e-4)
    broken.fit(digits.x_train, epochs=2, optimizer=first, verbose=False)
    broken.save(tmp_path / "model.npz")
    again, second = VAE.load(tmp_path / "model.npz"), make(1e-4)
    second.load_state(first.state())
    again.fit(digits.x_train, epochs=2, optimizer=second, verbose=False)
    np.testing.assert_array_equal(straight.theta, again.theta)
    assert again.epochs_trained == 4


def test_float32_and_float64_training_agree(digits):
    elbos = []
    for dtype in (np.float32, np.float64):
        vae = small(digits.x_train, dtype=dtype)
        vae.draw_noise = lambda rng, n: rng.standard_normal((n, 2)).astype(np.float32)
        vae.fit(digits.x_train, epochs=5, verbose=False)
        elbos.append(vae.history.column("elbo"))
    np.testing.assert_allclose(elbos[0], elbos[1], rtol=2e-4)


def test_history_is_what_was_trained_on(rng):
    """One minibatch an epoch: the record is that of the loss before the step."""
    x = rng.integers(0, 2, (6, 4)).astype(np.float32)
    vae = VAE(4, 2, (5,), likelihood=Bernoulli(), beta=0.5)
    theta = vae.theta.copy()
    records = []
    history = vae.fit(
        x,
        epochs=3,
        batch_size=6,
        validation_data=x[:2],
        verbose=False,
        callbacks=[lambda model, record: records.append((model, dict(record)))],
    )
    assert history is vae.history
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert [record for _, record in records] == list(history)
    assert all(model is vae for model, _ in records)
    generator = np.random.default_rng([0, 1])
    order = generator.permutation(6)
    log_px, kl = vae.elbo_terms(theta, x[order], vae.draw_noise(generator, 6))
    assert history[0]["log_px"] == pytest.approx(log_px.mean(), rel=1e-6)
    assert history[0]["kl"] == pytest.approx(kl.mean(), rel=1e-6)
    assert history[0]["elbo"] == pytest.approx((log_px - kl).mean(), rel=1e-6)
    assert history[0]["loss"] == pytest.approx((0.5 * kl - log_px).mean(), rel=1e-6)
    assert np.isfinite(history.column("validation_elbo")).all()
    assert np.isnan(history.column("nothing of the kind")).all()


def test_a_callback_ends_the_training(digits):
    vae = small(digits.x_train)
    vae.fit(digits.x_train, 10, verbose=False, callbacks=[lambda _, record: record["epoch"] == 3])
    assert len(vae.history) == 3


def test_csv(tmp_path):
    History([{"epoch": 1, "elbo": -1.5}, {"epoch": 2, "elbo": -1.25, "extra": 0.1}]).write_csv(
        tmp_path / "history.csv"
    )
    assert (tmp_path / "history.csv").read_text() == "epoch,elbo,extra\n1,-1.5,\n2,-1.25,0.1\n"


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_divergence_is_named_and_the_last_good_parameters_are_kept(rate, rng):
    x = rng.standard_normal((64, 3)).astype(np.float32)
    vae = VAE(3, 2, (8,), likelihood=Gaussian("shared"))
    vae.fit(x, epochs=2, batch_size=16, verbose=False)
    good = vae.theta.copy()
    with pytest.raises(
        DivergenceError, match=r"diverged at epoch 3, step \d.*end of epoch 2 are kept.*smaller"
    ):
        vae.fit(x, epochs=50, batch_size=16, optimizer=Adam(rate), verbose=False)
    np.testing.assert_array_equal(vae.theta, good)
    assert len(vae.history) == vae.epochs_trained == 2
    assert np.isfinite(vae.elbo(x)).all()


def test_ctrl_c_keeps_what_was_learned(digits):
    def interrupt(model, record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    vae = small(digits.x_train)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(digits.x_train, epochs=5, verbose=False, callbacks=[interrupt])
    assert len(vae.history) == vae.epochs_trained == 2


@pytest.mark.parametrize(
    "transform", [lambda x: x / 16 > 0.5, lambda x, rng: binarize_pixels(x / 16, rng)]
)
def test_transforms(transform, digits):
    vae = VAE(64, 2, (8,), likelihood=Bernoulli())
    vae.fit(digits.x_train, 2, transform=transform, validation_data=digits.x_test, verbose=False)
    assert np.isfinite(vae.history.column("validation_elbo")).all()


def test_a_bad_transform_is_named(digits):
    vae = VAE(64, 2, (8,), likelihood=Bernoulli())
    vae.fit(digits.x_train, 1, transform=lambda x: x > 8, verbose=False)
    with pytest.raises(ValueError, match="a minibatch after transform"):  # also of validation data
        vae.fit(
            digits.x_train,
            1,
            transform=lambda x: x > 8 if len(x) > 50 else x,
            batch_size=100,
            validation_data=digits.x_test[:20],
            verbose=False,
        )
    with pytest.raises(
        ValueError, match=r"a minibatch after transform: x\[\d+, \d+\] = .* Bernoulli"
    ):
        vae.fit(digits.x_train, 1, transform=lambda x: x / 16, verbose=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
        ({"validation_data": np.zeros((3, 63))}, ValueError, "64 columns"),
        ({"validation_data": np.full((3, 64), 17)}, ValueError, "= 17 is outside"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_learned(arguments, error, message, digits):
    vae = small(digits.x_train)
    theta = vae.theta.copy()
    with pytest.raises(error, match=message):
        vae.fit(digits.x_train, verbose=False, **arguments)
    np.testing.assert_array_equal(vae.theta, theta)


def test_integer_data_are_cast_a_minibatch_at_a_time(digits):
    by_float, by_int = small(digits.x_train), small(digits.x_train)
    by_float.fit(digits.x_train, 2, verbose=False)
    by_int.fit(digits.x_train.astype(np.uint8), 2, verbose=False)
    np.testing.assert_array_equal(by_float.theta, by_int.theta)


def test_fit_copies_only_minibatches(rng, tmp_path):
    """Peak memory beside the data: a few minibatches and the model; for an array and a memmap."""
    path = tmp_path / "x.npy"
    np.save(path, rng.integers(0, 2, (20_000, 200)).astype(np.float32))  # 16 MB
    for x in (np.load(path), np.load(path, mmap_mode="r")):
        vae = VAE(200, 2, (16,), likelihood=Bernoulli())
        tracemalloc.start()
        vae.fit(x, epochs=1, batch_size=100, validation_data=x[:5000], verbose=False)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 6e6


def test_steps_allocate_nothing_that_grows(digits):
    vae, grad, rng = small(digits.x_train), None, np.random.default_rng(0)
    optimizer = Adam()
    grad = np.empty_like(vae.theta)

    def train(n_epochs):
        for _ in range(n_epochs):
            for batch in minibatches(digits.x_train, 128, rng):
                vae.loss_and_grad(vae.theta, batch, vae.draw_noise(rng, len(batch)), out=grad)
                optimizer.step(vae.theta, grad)

    train(1)
    tracemalloc.start()
    train(1)
    after_few = tracemalloc.get_traced_memory()[0]
    train(5)
    after_many = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after_many - after_few < 2000


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_an_epoch_in_a_file_and_one_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    record = {"elbo": -12.345, "log_px": -10.0, "kl": 2.345, "validation_elbo": -13.0}
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        progress = Progress(12, stream)
        for _ in range(2):
            progress.during_epoch(0.5, lambda: record)
            progress.end_epoch(record)
        progress.close()
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(
        "epoch  2/12  ELBO -12.35 (test -13.00)  log p(x|z) -10.00  KL 2.35 nats"
    )
    assert lines[1].endswith("left")
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\r") >= 3
    assert all(len(line.rstrip("\n")) < 80 for line in terminal.getvalue().split("\r"))


@pytest.mark.parametrize("make", [Adam, Momentum, SGD])
@pytest.mark.parametrize("ending", ["in order", "in the middle of an epoch"])
def test_a_saved_model_goes_on_to_the_same_bits(ending, make, digits, tmp_path, monkeypatch):
    """With the optimiser and the history of its file, also if an epoch was cut off."""
    x = digits.x_train[:300]
    straight, broken = small(x), small(x)
    straight.fit(x, 4, optimizer=make(1e-4), verbose=False)
    broken.fit(x, 2, optimizer=make(1e-4), verbose=False)
    if ending == "in the middle of an epoch":
        steps = []

        def interrupt(*args, **kwargs):
            steps.append(1)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return VAE.loss_and_terms(broken, *args, **kwargs)

        monkeypatch.setattr(broken, "loss_and_terms", interrupt)
        with pytest.raises(KeyboardInterrupt):
            broken.fit(x, 2, verbose=False)
        assert len(broken.history) == broken.epochs_trained == broken.optimizer.n_steps // 3 == 2
    broken.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    assert again.history == broken.history
    assert again.optimizer.config() == broken.optimizer.config()
    assert again.optimizer is not broken.optimizer
    again.fit(x, 2, verbose=False)
    np.testing.assert_array_equal(again.theta, straight.theta)
    for name in ("epoch", "loss", "elbo"):
        np.testing.assert_array_equal(again.history.column(name), straight.history.column(name))


def test_fit_goes_on_with_the_optimizer_of_the_last_fit(digits):
    x = digits.x_train[:200]
    straight, twice = small(x), small(x)
    straight.fit(x, 2, verbose=False)
    twice.fit(x, 1, verbose=False)
    first = twice.optimizer
    twice.fit(x, 1, verbose=False)
    assert twice.optimizer is first
    np.testing.assert_array_equal(straight.theta, twice.theta)
    twice.fit(x, 1, optimizer=SGD(1e-4), verbose=False)
    assert isinstance(twice.optimizer, SGD)


@pytest.mark.parametrize(("wish", "epochs"), [
    (True, 1), (np.True_, 1), (False, 3), (np.False_, 3), (None, 3), (1, 3), ("stop", 3), (0.5, 3),
])  # fmt: skip
def test_only_true_ends_the_training(wish, epochs, digits):
    vae = small(digits.x_train[:50])
    assert (
        len(vae.fit(digits.x_train[:50], 3, callbacks=[lambda *_: wish], verbose=False)) == epochs
    )


def test_an_optimizer_that_is_not_ours_is_not_saved(digits, tmp_path):
    class Mine:
        learning_rate = 1e-4

        def step(self, theta, grad):
            theta -= self.learning_rate * grad

    vae = small(digits.x_train[:50])
    vae.fit(digits.x_train[:50], 1, optimizer=Mine(), verbose=False)
    vae.history[0]["note"] = "of the user's own"
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    assert again.optimizer is None
    assert again.history == [{k: v for k, v in vae.history[0].items() if k != "note"}]
