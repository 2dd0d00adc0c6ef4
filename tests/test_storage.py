"""Saving and loading: exact, without pickle, and clear about what a file is not."""

import contextlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_files import read_all

from numpyvae import VAE, Gaussian
from numpyvae.proofs import LIKELIHOODS
from numpyvae.storage import write_npz


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_models_round_trip_exactly(likelihood, dtype, tmp_path, rng):
    vae = VAE(5, 2, (4, 3), "tanh", likelihood, beta=0.7, seed=3, dtype=dtype)
    vae.theta[:] = rng.standard_normal(vae.layout.size)
    vae.epochs_trained = 7
    vae.save(tmp_path / "model.npz")
    again = VAE.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.theta, vae.theta)
    assert again.theta.dtype == dtype
    assert again.config() == vae.config()
    assert repr(again) == repr(vae)
    assert again.epochs_trained == 7
    again.theta += 1  # a loaded model can be trained on
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["theta"], vae.theta)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    VAE(5, 2, (4,), likelihood=Gaussian("shared")).save(path)
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        VAE.load(tmp_path / "nowhere.npz")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        VAE(5, 2).save(tmp_path / "no" / "folder" / "model.npz")


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        VAE(5, 2).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.npz"]


def test_truncated_files_and_other_files(saved, tmp_path):
    content = saved.read_bytes()
    for n in (0, 10, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:n])
        with pytest.raises(ValueError, match=r"model\.npz"):
            VAE.load(saved)
    for other in (b"hello", pickle.dumps({"theta": 1})):
        saved.write_bytes(other)
        with pytest.raises(ValueError, match=r"model\.npz"):
            VAE.load(saved)
    np.savez(saved, theta=np.zeros(3))
    with pytest.raises(ValueError, match="expected a file that numpyvae saved"):
        VAE.load(saved)


def test_a_pickled_array_is_never_opened(saved):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    np.savez(saved, theta=np.array([Bomb()], dtype=object), description=np.array("{}"))
    with pytest.raises(ValueError, match="pickled Python objects"):
        VAE.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "Autoencoder"},
        {"arguments": {}},
        {"arguments": None},
        {"epochs_trained": -1},
        {"arguments": {"data_dim": 5, "latent_dim": 3, "likelihood": {"name": "Bernoulli"}}},
        {"arguments": {"data_dim": 5, "latent_dim": 2, "likelihood": {"name": "Poisson"}}},
    ],
)
def test_a_description_that_does_not_fit(saved, change):
    arrays, description = read_all(saved)
    write_npz(saved, arrays, {**description, **change})
    with pytest.raises(ValueError, match=r"model\.npz"):
        VAE.load(saved)


@given(st.data())
def test_damaged_files_never_do_worse_than_value_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "model.npz"
    VAE(2, 1, (2,)).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        VAE.load(path)  # a damaged byte that no checksum covers may go unseen


def test_objects_are_not_written(tmp_path):
    with pytest.raises(TypeError, match="theta must hold numbers, got an array of object"):
        write_npz(tmp_path / "model.npz", {"theta": np.array([{}], dtype=object)}, {})
    assert not list(tmp_path.iterdir())


def test_the_description_is_plain_json(saved):
    with np.load(saved, allow_pickle=False) as file:
        assert json.loads(str(file["description"]))["arguments"]["likelihood"] == {
            "name": "Gaussian",
            "variance": "shared",
        }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer.n_steps", np.array(-1)),
        ("optimizer.n_steps", np.array(1.5)),
        ("optimizer.first_moment", np.zeros(3)),
        ("optimizer.first_moment", None),
        ("optimizer.second_moment", np.nan),
        ("history", np.zeros((2, 3))),
        ("history", None),
        ("history", np.array([["a"]])),
    ],
)
def test_a_training_state_that_does_not_fit(key, value, tmp_path):
    vae = VAE(3, 2, (2,))
    vae.fit(np.eye(3), 1, verbose=False)
    arrays, description = vae.contents()
    if value is None:
        del arrays[key]
    else:
        arrays[key] = np.full_like(arrays[key], value) if value is np.nan else value
    write_npz(tmp_path / "model.npz", arrays, description)
    with pytest.raises(
        ValueError,
        match=r"model\.npz: (not the state of a training|expected a file that numpyvae saved)",
    ):
        VAE.load(tmp_path / "model.npz")


@pytest.mark.parametrize("optimizer", [
    "Adam", {"name": "Rprop"}, {"name": "Adam", "rate": 1}, {"name": ["Adam"]}, None, {},
    {"name": "Adam", "learning_rate": -1}, {"name": "Adam", "learning_rate": 10**400},
])  # fmt: skip
def test_an_optimizer_that_nobody_knows(optimizer, tmp_path):
    vae = VAE(3, 2, (2,))
    vae.fit(np.eye(3), 1, verbose=False)
    arrays, description = vae.contents()
    write_npz(tmp_path / "model.npz", arrays, {**description, "optimizer": optimizer})
    with pytest.raises(
        ValueError,
        match=r"model\.npz: (not the state of a training|expected a file that numpyvae saved)",
    ):
        VAE.load(tmp_path / "model.npz")
