"""`numpyvae train --model NAME`, and what evaluate, sample and the figures ask of each model."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from numpyvae import models, plots
from numpyvae.cli import main
from numpyvae.data import load_digits
from numpyvae.model_options import from_text, model_options, ours
from numpyvae.models import MODELS
from numpyvae.priors import PRIORS
from numpyvae.run_labels import class_of, classes_of, coded, hide_labels

EXTRA = {
    "DenoisingAutoencoder": ["--corruption", "masking:0.3"],
    "LinearAutoencoder": ["--penalties", "0.1", "0.2"],
    "LearnedPriorVAE": ["--prior", "vamp_prior:3"],
    "SemiSupervisedVAE": ["--alpha", "100", "--known", "20"],
    "VectorQuantizedVAE": ["--n-positions", "2", "--n-codes", "5"],
}
BOUNDLESS = {"Autoencoder", "DenoisingAutoencoder", "LinearAutoencoder", "NoisyAutoencoder"}


@pytest.fixture(autouse=True)
def small(request, tmp_path, monkeypatch):
    """Counts of six pixels in three classes, in the working folder; figures only as sketches."""
    if "sketches" not in request.fixturenames:
        request.getfixturevalue("undrawn")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.binomial(4, np.array([[0.1], [0.5], [0.9]])[y] * np.ones(6))
    np.savez("small.npz", x=x, y=np.array(["low", "mid", "top"])[y])


def train(name, *options):
    command = ["train", "--data", "small.npz", "--model", name, "--epochs", "2", "--out", "run"]
    return main([*command, *EXTRA.get(name, []), *options])


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("name", ours())
def test_each_model_is_trained_measured_and_sampled(name, capsys, sketches):
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
    assert ("error rate of classify" in said) == (name in ("ConditionalVAE", "SemiSupervisedVAE"))
    code, out = main(["sample", "run", "--n", "4", "--out", "x.csv"]), capsys.readouterr()
    assert code == (2 if name in BOUNDLESS else 0)
    if name in BOUNDLESS:
        assert out.err == f"numpyvae: run: {name} has no p(z) to draw from\n"
    else:
        assert np.loadtxt("x.csv", delimiter=",").shape == (4, 6)


@pytest.mark.slow(keep=1)
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


@pytest.mark.parametrize("name", ours())
def test_help_is_true_in_a_shell(name, capsys):
    """No word of the constructor's that a shell cannot write, no option under another's name."""
    with pytest.raises(SystemExit):
        main(["train", "--model", name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for python in (
        "()",
        "None",
        "numpyvae.",
        "`model.",
        "inf ",
        "128,)",
        " D and L",
        "as for `",
        ". (",
    ):
        assert python not in said.partition(" --model NAME ")[2], python
    assert "(default: 0)" in said.partition("--seed SEED ")[2]
    texts = [option.how["help"] for option in model_options(name)]
    assert len(set(texts)) == len(texts)
    named = {"LinearAutoencoder": "must be empty", "VectorQuantizedVAE": "(default: 128)"}
    assert named.get(name, "with none it is linear (default: 128)") in said


@pytest.mark.parametrize("dims", [[], ["0"]])
def test_hidden_dims_of_a_linear_model(dims, capsys):
    assert train("VAE", "--hidden-dims", *dims, "--epochs", "1") == (2 if dims else 0)
    assert ("a width in --hidden-dims must" in capsys.readouterr().err) == bool(dims)


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
    assert "--known 1000: expected from 3, one of each class, to 48" in capsys.readouterr().err
    assert train("SemiSupervisedVAE", "--known", "2") == 2
    assert "--known 2: expected from 3" in capsys.readouterr().err


def test_text_is_read_as_the_object_it_names():
    assert repr(from_text("prior", "gaussian_mixture:7", PRIORS)) == "GaussianMixture(7)"
    one = "expected gaussian_mixture:N_COMPONENTS"
    for wrong, said in (
        ("gaussian_mixture", f"unknown prior 'gaussian_mixture': {one}$"),
        ("gaussian_mixture:3:4", f"{one}$"),
        ("gaussian_mixture:x", f"{one}$"),
        ("standard_normal:3", "expected standard_normal$"),
        ("vamp:2", "expected standard_normal, gaussian_mixture:N_COMPONENTS, vamp_prior:"),
        ("", "unknown prior ''"),
        ("gaussian_mixture:0", "^prior 'gaussian_mixture:0': n_components must be at least 1"),
    ):
        with pytest.raises(ValueError, match=said):
            from_text("prior", wrong, PRIORS)


def test_labels_are_numbered_and_hidden():
    from numpyvae.run_data import load_data

    data = load_data("small.npz")
    classes = classes_of("small.npz", data, MODELS["ConditionalVAE"])
    assert classes == ["low", "mid", "top"]
    y = coded(data.train_labels, classes)
    assert [classes[k] for k in y] == data.train_labels.tolist()
    with pytest.raises(ValueError, match="label 'new' is not among the training's classes"):
        coded(np.array(["low", "new"]), classes)
    hidden = hide_labels(y, 6, seed=0)
    known = hidden[hidden >= 0]
    assert np.bincount(known).tolist() == [2, 2, 2]
    assert (hidden[hidden >= 0] == y[hidden >= 0]).all()
    assert not np.array_equal(hidden, hide_labels(y, 6, seed=1))
    np.testing.assert_array_equal(hide_labels(y, None, 0), y)


def people(path, labels):
    """A .csv file with two columns of data and one of cities."""
    rng = np.random.default_rng(1)
    rows = [
        f"{a:.3f},{city},{b:.3f}"
        for city, a, b in zip(labels, *rng.normal(size=(2, len(labels))), strict=True)
    ]
    Path(path).write_text("\n".join(["age,city,income", *rows]), encoding="utf-8")


def train_people(name, *options):
    return main(["train", "--data", "people.csv", "--label-column", "city", "--epochs", "1",
                 "--model", name, "--out", "people", *options])  # fmt: skip


@pytest.mark.slow
def test_a_run_remembers_the_column_of_its_labels(capsys):
    people("people.csv", ["Bonn", "Ulm"] * 20)
    assert train_people("ConditionalVAE") == 0
    people("more.csv", ["Ulm", "Bonn"] * 4)
    assert main(["evaluate", "people", "--data", "more.csv"]) == 0
    assert "error rate of classify" in capsys.readouterr().out
    assert main(["evaluate", "people", "--data", "more.csv", "--label-column", "city"]) == 0
    people("new.csv", ["Ulm", "Trier"] * 4)
    capsys.readouterr()
    for name in ("ConditionalVAE", "SemiSupervisedVAE"):
        assert train_people(name, "--overwrite") == 0
        capsys.readouterr()
        assert main(["evaluate", "people", "--data", "new.csv"]) == 2
        said = capsys.readouterr()
        assert said.out == "", "nothing is said of what cannot be measured"
        assert "label 'Trier' is not among the training's classes: 'Bonn', 'Ulm'" in said.err
    assert train_people("VAE", "--overwrite") == 0
    people("bare.csv", [""] * 8)
    assert main(["evaluate", "people", "--data", "bare.csv"]) == 0, "it needs no labels"


def test_an_empty_label_is_not_known(capsys):
    people("people.csv", ["Bonn", "Ulm", "Ulm", ""] * 10)
    assert train_people("ConditionalVAE") == 2
    said = capsys.readouterr().err
    assert "labels of the training rows are empty: expected a class in each row" in said
    assert train_people("SemiSupervisedVAE") == 0
    config = json.loads(Path("people/config.json").read_text(encoding="utf-8"))
    assert config["classes"] == ["Bonn", "Ulm"]
    assert models.load("people/model.npz").n_classes == 2
    y = np.array([-1, 0, 1, 1, -1, 0])
    hidden = hide_labels(y, 2, seed=0)
    assert sorted(hidden[hidden >= 0]) == [0, 1]
    with pytest.raises(ValueError, match="--known 5: expected from 2, one of each class, to 4"):
        hide_labels(y, 5, seed=0)


def test_numbers_are_no_classes(capsys):
    people("people.csv", ["Bonn", "Ulm"] * 20)
    options = ["--data", "people.csv", "--label-column", "age", "--drop", "city"]
    assert main(["train", "--model", "ConditionalVAE", *options]) == 2
    assert "the labels are 32 different numbers, not classes" in capsys.readouterr().err


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("name", ["SemiSupervisedVAE", "VectorQuantizedVAE", "Autoencoder"])
def test_a_resumed_run_is_the_same_file(name):
    assert train(name, "--epochs", "3") == 0
    straight = Path("run/model.npz").read_bytes()
    assert train(name, "--epochs", "1", "--overwrite") == 0
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    assert Path("run/model.npz").read_bytes() == straight


def test_the_ground_of_a_figure_is_called_the_prior_only_where_it_is():
    assert train("LearnedPriorVAE") == 0
    learned = models.load("run/model.npz")
    assert train("VAE", "--overwrite") == 0
    plain, x = models.load("run/model.npz"), np.load("small.npz")["x"]
    for model, of in ((plain, "the prior"), (learned, "N(0, I), not of this model's prior")):
        figure = plots.latent_space(model, x)
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert any(text.endswith(f"dashed: 1 and 2 of {of}") for text in texts)
        assert ("to N(0, 1)" in figure.axes[0].get_xlabel()) == (model is learned)
        title = plots.manifold(model, 3).axes[0].get_title(loc="left")
        assert ("equal prior" in title) == (model is plain)


def test_digits_have_their_labels():
    from numpyvae.run_data import load_data

    data, digits = load_data("digits"), load_digits()
    np.testing.assert_array_equal(data.train_labels, digits.y_train)
    assert classes_of("digits", data, MODELS["ConditionalVAE"]) == list(range(10))
    assert set(ours()) <= set(MODELS)


@pytest.mark.slow
def test_samples_of_chosen_classes(monkeypatch, capsys):
    assert train("ConditionalVAE") == 0
    capsys.readouterr()
    drawn = []
    monkeypatch.setattr(plots, "samples", lambda *_, classes, **__: drawn.append(classes))
    monkeypatch.setattr("numpyvae.runs.save_figure", lambda *_: None)
    for options, classes in (
        (["--n", "6"], ["low", "low", "mid", "mid", "top", "top"]),
        (["--n", "3", "--label", "top"], ["top"] * 3),
        (["--n", "4", "--label", "2", "--label", "low"], ["top", "top", "low", "low"]),
    ):
        assert main(["sample", "run", *options]) == 0
        assert drawn.pop() == classes
        of = ", ".join(dict.fromkeys(classes))
        assert f"means E[x|z, y], z drawn from the prior, y = {of}: " in capsys.readouterr().out
    assert main(["sample", "run", "--n", "5", "--label", "top", "--out", "x.npy"]) == 0
    expected = models.load("run/model.npz").sample([2] * 5, np.random.default_rng(0))
    np.testing.assert_array_equal(np.load("x.npy"), expected)
    capsys.readouterr()
    assert main(["sample", "run", "--label", "3"]) == 2
    assert "--label 3: expected a class of the training: low, mid, top" in capsys.readouterr().err
    assert train("VAE", "--overwrite") == 0
    capsys.readouterr()
    assert main(["sample", "run", "--label", "low"]) == 2
    assert capsys.readouterr().err == (
        "numpyvae: --label low: VAE has no classes: expected a run of ConditionalVAE or "
        "SemiSupervisedVAE\n"
    )


def test_a_class_is_called_by_its_label_or_its_number():
    assert class_of("7", range(10)) == 7
    assert class_of("3", [1, 2, 3]) == 2, "labels that are numbers are no places"
    assert class_of("1", [-1.0, 1.0]) == class_of("1.0", [-1.0, 1.0]) == 1
    assert class_of("0", ["Bonn", "Ulm"]) == class_of("Bonn", ["Bonn", "Ulm"]) == 0
    assert class_of("0", ["1", "0"]) == 1, "the label before the number"
    for text, classes in (("0", [1, 2, 3]), ("bonn", ["Bonn"]), ("", ["Bonn"]), ("-1", range(3))):
        with pytest.raises(ValueError, match=f"^--label {text}: expected a class of the training"):
            class_of(text, classes)


def test_nothing_is_printed_or_recorded_twice_or_where_it_is_not(capsys):
    """Of test data no class is given away: M2 has no cross-entropy there, and -ELBO is no term."""
    assert train("SemiSupervisedVAE") == 0
    assert main(["evaluate", "run", "--samples", "10"]) == 0
    said = capsys.readouterr().out
    assert "cross" not in said
    assert "cost" not in said
    names = models.load("run/model.npz").history.names()
    assert [name for name in names if "validation" in name] == [
        "validation_loss",
        "validation_elbo",
    ]
    assert "cross_entropy" in names
