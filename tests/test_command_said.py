"""What the command says and refuses: files that exist, units, sizes, labels, names for a shell."""

import csv
import json
import os
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE, Adam, Autoencoder, EarlyStopping, Gaussian, KeepBest, plots, runs
from numpyvae.cli import main
from numpyvae.data.tables import read_table
from numpyvae.run_data import dtype_for, load_data, standardized
from numpyvae.run_files import in_shell, open_run, shown
from numpyvae.run_folder import RunFolder
from numpyvae.standardization import column_moments
from numpyvae.storage import open_npz, write_npz
from numpyvae.training import DivergenceError

NAMES = ("age", "a, b", "it's $5")


@pytest.fixture
def x(rng):
    """(40, 3)"""
    return rng.standard_normal((40, 3)) @ rng.standard_normal((3, 3))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run the command in, which draws no pictures there and does not wait for disks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("numpyvae.runs._pictures", lambda vae, data: {})
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return tmp_path


def write(name, x, names=NAMES):
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([*([names] if names else []), *x.tolist()])


def train(*options):
    return main(["train", "--epochs", "1", "--hidden-dims", "4", *options])


@pytest.fixture
def run(here, x, capsys):
    """A run of one epoch on columns with names."""
    write("x.csv", x)
    assert train("--data", "x.csv", "--out", "run") == 0
    capsys.readouterr()
    return "run"


def change(run, **arguments):
    """Write a run's model anew, with other parameters or another description."""
    with open_npz(f"{run}/model.npz") as saved:
        arrays, description = {name: saved.read(name) for name in saved}, saved.description
    if "theta" in arguments:
        arrays["theta"][:] = arguments.pop("theta")
    description["arguments"].update(arguments)
    description["run"]["model"].update(arguments)
    Path(run, "config.json").write_text(json.dumps(description["run"]))
    write_npz(f"{run}/model.npz", arrays, description)


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


# Files that are written.


@pytest.mark.parametrize("suffix", ["csv", "npy", "png"])
def test_no_file_is_replaced_unasked(suffix, run, capsys, monkeypatch):
    monkeypatch.setattr("numpyvae.runs.save_figure", lambda figure, path: path.write_bytes(b"png"))
    path = Path(f"mine.{suffix}")
    path.write_bytes(b"mine")
    arguments = ["sample", run, "--n", "2", "--out", str(path)]
    assert main(arguments) == 2
    assert one_line(capsys) == (f"numpyvae: mine.{suffix} exists: add --overwrite to replace it\n")
    assert path.read_bytes() == b"mine"
    assert main([*arguments, "--overwrite"]) == 0
    assert path.read_bytes() != b"mine"


def test_the_data_of_the_run_are_not_replaced(run, capsys):
    before = Path("x.csv").read_bytes()
    assert main(["sample", run, "--out", "x.csv"]) == 2
    assert Path("x.csv").read_bytes() == before
    assert main(["sample", run, "--out", "mine.txt"]) == 2
    assert "mine.txt: expected a name that ends in .png, .npy or .csv" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_numbers_keep_their_digits_and_their_names(dtype, run, capsys, monkeypatch):
    means = (np.random.default_rng(0).standard_normal((4, 3)) * [1, 1e9, 1e-9]).astype(dtype)
    monkeypatch.setattr(VAE, "sample", lambda vae, n, rng: means)
    assert main(["sample", run, "--n", "4", "--out", "s.csv"]) == 0
    assert capsys.readouterr().out == "4 means E[x|z], z drawn from the prior: s.csv\n"
    read = read_table("s.csv")
    assert read.names == NAMES
    np.testing.assert_array_equal(read.x.astype(dtype), means)


def test_columns_without_names_have_no_line_of_names(here, x, capsys):
    write("x.csv", x, names=())
    assert train("--data", "x.csv", "--out", "run") == 0
    assert main(["sample", "run", "--n", "2", "--out", "s.csv"]) == 0
    assert np.loadtxt("s.csv", delimiter=",").shape == (2, 3)


# Data.


@pytest.mark.parametrize("names", [("y_train", "y_test"), ("label_train", "label_test")])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_the_labels_of_keras_files_are_found(names, shape, here, x):
    y = [np.arange(30) % 3, np.arange(10) % 2]
    labels = {name: part.reshape(shape) for name, part in zip(names, y, strict=True)}
    np.savez("x.npz", x_train=x[:30], x_test=x[30:], **labels)
    for choice in ({}, {"label_column": names[0][:-6]}, {"label_column": names[1]}):
        data = load_data("x.npz", **choice)
        assert data.labels.tolist() == y[1].tolist()
    assert read_table("x.npz").labels.tolist() == y[0].tolist()
    assert data.x_train.shape == (30, 3)
    assert load_data("x.npz").notes == (f"the array {names[1]!r} gives the labels, for colours",)


def test_labels_that_are_not_one_a_row_are_an_error_or_a_note(here, x):
    np.savez("x.npz", x_train=x[:30], x_test=x[30:], y_test=np.eye(10), y_train=np.eye(30))
    data = load_data("x.npz")
    assert data.labels is None
    assert data.notes == (
        "expected one label for each of 10 rows in 'y_test', got shape (10, 10): no labels",
    )
    np.savez("x.npz", x_train=x[:30], x_test=x[30:], y_test=np.arange(3))
    with pytest.raises(ValueError, match=r"one label for each of 10 rows in 'y_test', got.*\(3,\)"):
        load_data("x.npz")


def test_measured_numbers_are_no_labels(here, x):
    write("x.csv", x, ("a", "b", "y"))
    data = load_data("x.csv")
    assert data.labels is None
    assert data.columns == ("a", "b", "y")
    assert "column 'y' holds " in data.notes[-1]
    assert "where labels are whole numbers or text, so it stays in the data" in data.notes[-1]
    assert not any("gives the labels" in note for note in data.notes)
    asked = load_data("x.csv", label_column="y")
    assert asked.columns == ("a", "b")
    assert "each of its numbers is a class of its own" in asked.notes[0]
    np.savez("x.npz", x=x, y=x[:, 0])
    assert load_data("x.npz").labels is None
    assert load_data("x.npz").notes[0].endswith("whole numbers or text: no labels")


def test_a_gap_does_not_make_labels_of_measured_numbers(here):
    def rows(*cells):
        return "\n".join(["a,b,y", *[f"{i}.5,{i}.25,{cell}" for i, cell in enumerate(cells)]])

    Path("x.csv").write_text(rows("0.5", "", "NaN", "2", "1.5"))
    with pytest.raises(ValueError, match=r"expected a number, got '' in 'y' \(a missing value"):
        load_data("x.csv")
    Path("x.csv").write_text(rows("1", "", "NaN", "2", "3"))
    assert load_data("x.csv").labels is not None


def test_the_parts_of_a_split_have_one_width(here, x, capsys):
    np.savez("x.npz", x_train=x, x_test=x[:, :2])
    assert train("--data", "x.npz") == 2
    assert one_line(capsys) == (
        "numpyvae: x.npz: expected x_train and x_test of one width, got 3 and 2 columns\n"
    )


@pytest.mark.parametrize("scale", [1e101, 1e160, -1e160, 1e307])
@pytest.mark.parametrize("options", [(), ("--no-standardize",), ("--standardize",)])
def test_numbers_too_large_are_named(scale, options, here, x, capsys):
    x[:, 1] = np.sign(x[:, 1]) * (abs(x[:, 1]) + 1) * scale
    write("x.csv", x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train("--data", "x.csv", *options) == 2
    error = one_line(capsys)
    assert error.startswith("numpyvae: x.csv: row ")
    assert "column 'a, b'" in error
    assert "is beyond 1e+100: take another unit, or leave the column out (--drop)" in error


@pytest.mark.parametrize("scale", [1e-102, 1e-200, 1e-310])
def test_numbers_too_small_are_named(scale, here, x, capsys):
    x[:, 1] *= scale
    write("x.csv", x)
    assert train("--data", "x.csv") == 2
    error = one_line(capsys)
    assert error.startswith("numpyvae: x.csv: column 'a, b' has no number above ")
    assert "expected 1e-100 or more: take another unit" in error
    x[:, 1] = 0.0
    write("x.csv", x)
    assert load_data("x.csv").x_train.shape == (32, 3)


@pytest.mark.parametrize("scale", [1e-90, 1e-36, 1e-20, 1e20, 1e36, 1e90])
def test_what_is_called_standardised_is(scale, here, x):
    x = x * [1.0, scale, -scale] + [0.0, scale, 0.0]
    write("x.csv", x)
    data = load_data("x.csv")
    likelihood = standardized(data.likelihood, data.x_train, None)
    vae = VAE(3, 1, (2,), likelihood=likelihood, dtype=dtype_for(likelihood))
    vae.check_data(data.x_train)
    y, _ = likelihood.standardization.forward({}, data.x_train.astype(vae.dtype))
    np.testing.assert_allclose(y.std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-4)
    vae.fit(data.x_train, 1, verbose=False)
    assert np.isfinite(vae.elbo(data.x_test)).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 5e307])
def test_moments_do_not_overflow(scale, x):
    x /= np.abs(x).max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, std = column_moments(x * scale)
    np.testing.assert_allclose(mean / scale, x.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(std / scale, x.std(axis=0), rtol=1e-10)
    assert column_moments(np.full((7, 1), 0.1 * scale))[1] == 0.0


# Models and memory.


@pytest.mark.parametrize("command", ["evaluate", "sample"])
@pytest.mark.parametrize("theta", [1e30, -1e30])
def test_parameters_that_give_nothing_finite_are_said(command, theta, run, capsys):
    change(run, theta=theta)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([command, run]) == 1
    said = one_line(capsys)
    assert said.startswith("numpyvae: run/model.npz: its parameters give no finite ")
    assert not list(Path(run).glob("samples*"))


def test_logits_that_overflow_are_no_samples(here, capsys, rng):
    np.save("x.npy", rng.integers(0, 2, (20, 3)))
    assert train("--data", "x.npy", "--out", "run") == 0
    capsys.readouterr()
    change("run", theta=1e30)  # the means are finite: sigmoid(infinity) = 1
    for command in ("sample", "evaluate"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert main([command, "run"]) == 1
        assert "its parameters give no finite " in one_line(capsys)


def test_what_is_wrong_in_a_model_file_is_no_option(run, capsys):
    for argument, value in (("latent_dim", -1), ("seed", -1), ("beta", -1.0), ("hidden_dims", [0])):
        change(run, **{argument: value})
        assert main(["evaluate", run]) == 2
        said = one_line(capsys)
        assert said.startswith("numpyvae: run/model.npz: ")
        assert f"{argument} must be" in said
        assert "--" not in said
        change(run, latent_dim=2, seed=0, beta=1.0, hidden_dims=[4])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1"])
def test_beta_is_one_message(value, here, capsys):
    assert train(f"--beta={value}") == 2
    assert one_line(capsys).startswith("numpyvae: --beta must be a finite number of at least 0, ")


@pytest.mark.parametrize("text", ["binomial:2.5", "binomial:", "binomial:0", "gaussian:x",
                                  "gaussian:nan", "gaussian:", "binomial:" + "9" * 30])  # fmt: skip
def test_a_likelihood_that_cannot_be_is_explained(text, here, capsys):
    with pytest.raises(SystemExit):
        train("--likelihood", text)
    said = one_line(capsys)
    name = text.partition(":")[0]
    assert f"unknown likelihood {text!r}: expected {name}:" in said
    assert "literal" not in said
    assert "convert" not in said


TOO_MANY = "1" + "0" * 24


@pytest.mark.parametrize(("arguments", "words"), [
    (["train", "--hidden-dims", "100000000000"], "parameters (--hidden-dims, --latent-dim): not "
     "enough memory (5.44e+04 GB)"),
    (["train", "--latent-dim", TOO_MANY], "(--hidden-dims, --latent-dim): not enough memory ("),
    (["sample", "run", "--n", TOO_MANY, "--out", "a.npy"], f"--n {TOO_MANY}: not enough memory ("),
    (["evaluate", "run", "--samples", TOO_MANY], f"--samples {TOO_MANY}: not enough memory ("),
])  # fmt: skip
def test_what_asks_for_too_much_memory_is_named(arguments, words, run, capsys):
    assert main(arguments) == 2
    said = one_line(capsys)
    assert words in said
    assert "GB)" in said


@pytest.mark.parametrize(("owner", "name", "arguments", "words"), [
    ("numpyvae.run_data.read_table", "", ["train", "--data", "x.csv"], "x.csv: not enough memory"),
    ("numpyvae.run_data.read_table", "", ["evaluate", "run", "--data", "x.csv"], "x.csv: not eno"),
    ("numpyvae.models.Model.load", "", ["evaluate", "run"], "run/model.npz: not enough memory ("),
    ("numpyvae.models.vae.VAE.fit", "", ["train", "--data", "x.csv", "--batch-size", "77"],
     "a step on 77 examples (--batch-size): not enough memory"),
    ("numpyvae.models.vae.VAE.sample", "", ["sample", "run", "--n", "3"], "--n 3: not enough"),
    ("numpyvae.evaluation.evaluate", "", ["evaluate", "run"], "--samples 500: not enough memory"),
])  # fmt: skip
def test_a_lack_of_memory_has_a_name(owner, name, arguments, words, run, capsys, monkeypatch):
    def lacking(*_, **__):
        raise MemoryError

    monkeypatch.setattr(owner, lacking)
    assert main(arguments) == 2
    assert words in one_line(capsys)


# Names of folders.


@pytest.mark.parametrize("name", ["a b", "it's", "x;rm", "$HOME", "-odd", "ünï", "new\nline", "~",
                                  "tab\there", "back\\slash\n", "'\n'"])  # fmt: skip
def test_hints_can_be_pasted_into_a_shell(name):
    quoted = in_shell(name)
    assert "\n" not in quoted
    assert not quoted.startswith("-")
    if quoted.startswith("$'"):  # what bash makes of it
        inner = quoted[2:-1].encode("utf-8").decode("unicode_escape")
        assert inner.encode("latin-1").decode("utf-8") == name
    else:
        (word,) = shlex.split(quoted)
        assert Path(word) == Path(name)


@pytest.mark.parametrize("name", ["two words", "new\nline"])
def test_an_unfinished_run_says_how_far_it_is(name, here, x, capsys, monkeypatch):
    write("x.csv", x)
    fit = VAE.fit

    def interrupted(vae, data, epochs, *rest, **how):
        fit(vae, data, 2, *rest, **how)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "fit", interrupted)
        arguments = ["train", "--epochs", "5", "--hidden-dims", "4", "--data", "x.csv"]
        assert main([*arguments, "--out", name]) == 130
    capsys.readouterr()
    assert main(["evaluate", name]) == 0
    first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{shown(name)}: VAE(")
    assert second == (
        f"2 of 5 epochs are trained: numpyvae train --resume {in_shell(name)} goes on"
    )
    assert third.startswith("means over")
    assert main(["train", "--resume", name]) == 0
    capsys.readouterr()
    assert main(["evaluate", name]) == 0
    assert "epochs are trained" not in capsys.readouterr().out


def test_a_run_that_early_stopping_has_ended_is_finished(here, x, capsys):
    write("x.csv", x)
    arguments = ["--data", "x.csv", "--early-stopping", "1", "--learning-rate", "0.5"]
    assert train(*arguments, "--epochs", "200", "--out", "run") == 0
    assert open_run("run")[0].epochs_trained < 200
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 0
    assert "epochs are trained" not in capsys.readouterr().out


@pytest.mark.parametrize(("pictures", "drawn"), [([], "no"), (["samples.png"], "not all")])
def test_the_hint_after_an_interruption_is_quoted(pictures, drawn, here, x, capsys, monkeypatch):
    write("x.csv", x)

    def again(folder, *_):
        Path(folder, *pictures).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("numpyvae.runs.write_pictures", again)
    assert train("--data", "x.csv", "--out", "it's mine/") == 130
    said = capsys.readouterr().out
    assert f"the model is in it's mine/, {drawn} pictures were drawn. " in said
    assert """numpyvae train --resume 'it'"'"'s mine' goes on.""" in said


def test_a_slash_at_the_end_is_no_part_of_the_name(here):
    with RunFolder("trail//") as folder:
        assert folder.name == "trail"


def test_what_was_kept_of_a_training_that_diverged_is_the_best(here, x, capsys, monkeypatch):
    write("x.csv", x)
    fit = VAE.fit

    def diverging(vae, data, epochs, *rest, **how):
        fit(vae, data, 3, *rest, **how)
        raise DivergenceError("diverged.", "Try less.")

    monkeypatch.setattr(VAE, "fit", diverging)
    assert train("--data", "x.csv", "--out", "run", "--keep-best", "--epochs", "9") == 2
    assert "in 3 epochs is in run, with the parameters of the best, epoch " in one_line(capsys)


# Figures.


def texts(figure):
    names = [t.get_text() for ax in figure.axes for t in ax.get_xticklabels()]
    return [*names, *[t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]]


def test_columns_are_drawn_by_their_names(x):
    vae = VAE(3, 2, (2,), likelihood=Gaussian())
    shown_names = ["age", "a, b", r"it's \$5"]
    lines = VAE(3, 1, (2,), likelihood=Gaussian())
    for figure in (
        plots.reconstructions(vae, x, columns=NAMES),
        plots.samples(vae, columns=NAMES),
        plots.manifold(lines, columns=NAMES),
    ):
        assert set(shown_names) <= set(texts(figure))
        assert not any(ax.get_xlabel() == "data dimension" for ax in figure.axes)
    assert any(", ".join(shown_names) in t for t in texts(plots.manifold(vae, columns=NAMES)))
    assert "data dimension" in texts(plots.samples(vae))
    many = VAE(40, 1, (2,), likelihood=Gaussian())
    assert "data dimension" in texts(plots.samples(many, columns=[f"c{i}" for i in range(40)]))


def test_the_axes_of_the_plane_are_called_by_the_columns(x):
    for latent_dim in (1, 2):
        vae = VAE(2, latent_dim, (2,), likelihood=Gaussian())
        names = ("left", "x" * 40)
        pairs = plots.reconstructions(vae, x[:, :2], columns=names)
        for figure in (
            pairs,
            plots.samples(vae, columns=names),
            plots.manifold(vae, columns=names),
        ):
            ax = figure.axes[0]
            assert ax.get_xlabel() == "left"
            assert ax.get_ylabel() == "x" * 17 + "\N{HORIZONTAL ELLIPSIS}"
        assert plots.samples(vae).axes[0].get_ylabel() == "x[1]"


def test_the_pictures_of_a_run_have_the_names_of_its_columns(tmp_path, x, monkeypatch):
    write(tmp_path / "x.csv", x)
    drawn = []
    monkeypatch.setattr(runs, "save_figure", lambda figure, path: drawn.append(figure))
    pictures = runs._pictures(
        VAE(3, 2, (2,), likelihood=Gaussian()), load_data(str(tmp_path / "x.csv"))
    )
    for name in ("reconstructions.png", "samples.png", "manifold.png"):
        pictures[name](tmp_path / name)
        assert any("age" in text for text in texts(drawn[-1])), name


# The library.


@pytest.mark.parametrize("kind", [KeepBest, EarlyStopping])
def test_a_class_of_callbacks_is_no_callback(kind, x):
    vae = VAE(3, 1, (2,), likelihood=Gaussian())
    with pytest.raises(TypeError, match=rf"such as {kind.__name__}\(\), got the class"):
        vae.fit(x, 1, validation_data=x, callbacks=[kind], verbose=False)
    assert vae.epochs_trained == 0


def test_what_diverges_says_which_parameters_are_kept(x):
    vae = VAE(3, 1, (2,), likelihood=Gaussian())
    vae.fit(x, 2, verbose=False)
    best = KeepBest("loss")
    with pytest.raises(
        DivergenceError, match=r"are kept \(with KeepBest those of the best epoch\)"
    ):
        vae.fit(x, 3, optimizer=Adam(1e30), callbacks=[best], verbose=False)


def test_a_model_of_another_class_has_its_article(tmp_path):
    VAE(3, 1, (2,)).save(tmp_path / "vae.npz")
    with pytest.raises(ValueError, match="expected an Autoencoder, got 'VAE'"):
        Autoencoder.load(tmp_path / "vae.npz")
