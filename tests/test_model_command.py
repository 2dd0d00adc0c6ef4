"""`numpyvae train --model NAME`, and what evaluate, sample and the figures ask of each model."""

import json
from pathlib import Path

import numpy as np
import pytest

from numpyvae import models
from numpyvae.cli import main
from numpyvae.data import load_digits
from numpyvae.model_options import from_text, model_options, ours
from numpyvae.models import MODELS
from numpyvae.priors import PRIORS
from numpyvae.run_labels import classes_of, coded, hide_labels

pytestmark = pytest.mark.usefixtures("sketches")  # the figures are looked at elsewhere

EXTRA = {
    "DenoisingAutoencoder": ["--corruption", "masking:0.3"],
    "LinearAutoencoder": ["--penalties", "0.1", "0.2"],
    "LearnedPriorVAE": ["--prior", "vamp_prior:3"],
    "SemiSupervisedVAE": ["--alpha", "100", "--known", "20"],
    "VectorQuantizedVAE": ["--n-positions", "2", "--n-codes", "5"],
}
BOUNDLESS = {"Autoencoder", "DenoisingAutoencoder", "LinearAutoencoder", "NoisyAutoencoder"}


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Counts of six pixels in three classes, in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.binomial(4, np.array([[0.1], [0.5], [0.9]])[y] * np.ones(6))
    np.savez("small.npz", x=x, y=np.array(["low", "mid", "top"])[y])


def train(name, *options):
    command = ["train", "--data", "small.npz", "--model", name, "--epochs", "2", "--out", "run"]
    return main([*command, *EXTRA.get(name, []), *options])


@pytest.mark.parametrize("name", ours())
def test_each_model_is_trained_measured_and_sampled(name, capsys):
    assert train(name) == 0
    assert "Learned in 2 epochs" in capsys.readouterr().out
    model = models.load("run/model.npz")
    assert type(model).__name__ == name
    config = json.loads(Path("run/config.json").read_text(encoding="utf-8"))
    assert config["model_name"] == name
    assert main(["evaluate", "run", "--samples", "10"]) == 0
    said = capsys.readouterr().out
    assert f"run: {name}(" in said
    assert ("ELBO" in said) == (name not in BOUNDLESS)
    assert (f"{name} has no bound on log p(x)" in said) == (name in BOUNDLESS)
    assert ("classify misses" in said) == (name in ("ConditionalVAE", "SemiSupervisedVAE"))
    code, out = main(["sample", "run", "--n", "4", "--out", "x.csv"]), capsys.readouterr()
    assert code == (2 if name in BOUNDLESS else 0)
    if name in BOUNDLESS:
        assert out.err == f"numpyvae: run: {name} has no p(z) to draw from\n"
    else:
        assert np.loadtxt("x.csv", delimiter=",").shape == (4, 6)


@pytest.mark.parametrize("name", ["ConditionalVAE", "VectorQuantizedVAE", "DenoisingAutoencoder"])
def test_a_run_of_any_model_goes_on_to_the_same_bits(name):
    assert train(name, "--seed", "3") == 0
    straight = models.load("run/model.npz").theta
    assert train(name, "--seed", "3", "--epochs", "1", "--overwrite") == 0
    assert main(["train", "--resume", "run", "--epochs", "2"]) == 0
    np.testing.assert_array_equal(models.load("run/model.npz").theta, straight)


@pytest.mark.parametrize("name", ours())
def test_help_has_the_options_of_the_model(name, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--model", name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for option in model_options(name):
        assert f"{option.name} " in said
        assert option.how["help"], option.name
    assert f"here {name}" in said


def test_what_a_model_is_not(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--model", "GAN"])
    assert "invalid choice: 'GAN'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "--prior", "vamp_prior:3"])  # of another model
    with pytest.raises(SystemExit):
        main(["train", "--model", "LearnedPriorVAE", "--prior", "flow:3"])
    said = capsys.readouterr().err
    assert "unknown prior 'flow:3': expected standard_normal, gaussian_mixture:N_COMPONENTS" in said
    np.save("bare.npy", np.ones((10, 3)))
    assert main(["train", "--model", "ConditionalVAE", "--data", "bare.npy"]) == 2
    assert "bare.npy: this model needs labels" in capsys.readouterr().err
    assert train("SemiSupervisedVAE", "--known", "1000") == 2
    assert "--known 1000: there are 48 labels" in capsys.readouterr().err


def test_text_is_read_as_the_object_it_names():
    assert repr(from_text("prior", "gaussian_mixture:7", PRIORS)) == "GaussianMixture(7)"
    for wrong in ("gaussian_mixture", "gaussian_mixture:0", "gaussian_mixture:x", "vamp:2", ""):
        with pytest.raises(ValueError, match="unknown prior"):
            from_text("prior", wrong, PRIORS)


def test_labels_are_numbered_and_hidden():
    from numpyvae.run_data import load_data

    data = load_data("small.npz")
    classes = classes_of("small.npz", data)
    assert classes == ["low", "mid", "top"]
    y = coded(data.train_labels, classes)
    assert [classes[k] for k in y] == data.train_labels.tolist()
    with pytest.raises(ValueError, match="label 'new' is none of the training's classes"):
        coded(np.array(["low", "new"]), classes)
    hidden = hide_labels(y, 6, seed=0)
    known = hidden[hidden >= 0]
    assert np.bincount(known).tolist() == [2, 2, 2]
    assert (hidden[hidden >= 0] == y[hidden >= 0]).all()
    assert not np.array_equal(hidden, hide_labels(y, 6, seed=1))
    np.testing.assert_array_equal(hide_labels(y, None, 0), y)


def test_digits_have_their_labels():
    from numpyvae.run_data import load_data

    data, digits = load_data("digits"), load_digits()
    np.testing.assert_array_equal(data.train_labels, digits.y_train)
    assert classes_of("digits", data) == list(range(10))
    assert set(ours()) <= set(MODELS)
