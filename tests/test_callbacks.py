"""Early stopping and keeping the best: against the history, read in plain code."""

import numpy as np
import pytest

from numpyvae import VAE, Adam, Autoencoder, EarlyStopping, KeepBest


class Model:
    """Its theta says which epoch it is of."""

    def __init__(self):
        self.theta = np.zeros(1)


def epochs_of(values, callback, monitor="validation_elbo"):
    """Shows the callback one epoch after the other; the epoch at which it ends them, if it does."""
    model = Model()
    for epoch, value in enumerate(values, start=1):
        model.theta[:] = epoch
        if callback(model, {"epoch": epoch, monitor: value}) is True:
            return epoch, model
    return None, model


@pytest.mark.parametrize(("values", "patience", "ended"), [
    ([1, 2, 3, 4], 1, None), ([1, 0, 2], 1, 2), ([1, 0, 2], 2, None), ([1, 0, 2, 1, 0, 5], 2, 5),
    ([1, 1, 1], 2, 3), ([np.nan, np.nan, 1], 2, 2), ([-3, np.nan, -4, -2], 3, None),
])  # fmt: skip
def test_early_stopping(values, patience, ended):
    stopping = EarlyStopping(patience)
    assert epochs_of(values, stopping)[0] == ended
    seen = values[:ended]
    if not np.isnan(seen).all():
        assert (stopping.epoch, stopping.value) == (np.nanargmax(seen) + 1, np.nanmax(seen))


@pytest.mark.parametrize(
    ("monitor", "best"),
    [
        ("validation_elbo", 2),
        ("log_px", 2),
        ("validation_loss", 4),
        ("loss", 4),
        ("kl", 4),
    ],
)
def test_keep_best_puts_the_best_epoch_back(monitor, best):
    keep = KeepBest(monitor)
    _, model = epochs_of([1.0, 3.0, 3.0, -2.0, np.nan], keep, monitor)
    theta = model.theta
    keep.finish(model)
    assert model.theta is theta
    assert theta[0] == keep.epoch == best


def test_in_a_fit(rng):
    x = rng.integers(0, 2, (40, 3))
    kept, plain = VAE(3, 2, (4,)), VAE(3, 2, (4,))
    stopping, keep = EarlyStopping(3), KeepBest()
    history = kept.fit(x, 40, 16, Adam(0.3), x[:9], callbacks=[stopping, keep], verbose=False)
    elbos = history.column("validation_elbo")
    best = int(np.argmax(elbos)) + 1
    assert len(history) == kept.epochs_trained == best + 3 < 40, "the history tells of all epochs"
    assert (keep.epoch, keep.value) == (best, elbos[best - 1])
    plain.fit(x, best, 16, Adam(0.3), x[:9], verbose=False)
    np.testing.assert_array_equal(kept.theta, plain.theta)


def test_the_best_is_put_back_however_the_training_ends(rng):
    x = rng.integers(0, 2, (40, 3))
    vae, keep = VAE(3, 2, (4,)), KeepBest()

    def interrupt(_, record):
        if record["epoch"] == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vae.fit(x, 40, 16, Adam(0.3), x[:9], callbacks=[keep, interrupt], verbose=False)
    assert keep.epoch < 8
    np.testing.assert_array_equal(vae.theta, keep.theta)


def test_without_an_elbo_it_says_what_there_is(rng):
    x = rng.standard_normal((20, 3))
    for callback in (EarlyStopping(2), KeepBest()):
        with pytest.raises(
            ValueError, match=r"follows 'validation_elbo'.*expected one of epoch, l"
        ):
            Autoencoder(3, 2, (4,)).fit(x, 2, callbacks=[callback], verbose=False)
    keep = KeepBest("validation_loss")
    Autoencoder(3, 2, (4,)).fit(x, 2, validation_data=x, callbacks=[keep], verbose=False)
    assert keep.epoch
    with pytest.raises(ValueError, match="patience must be at least 1"):
        EarlyStopping(0)
