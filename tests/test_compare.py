"""`numpyvae compare`: what tells runs apart, and which of them cannot be compared."""

import argparse
import csv
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from saved_files import rewritten

from numpyvae import VAE, Autoencoder, Bernoulli, ConditionalVAE, Gaussian
from numpyvae.cli import main
from numpyvae.compare_command import _error, _footnotes, _test_rows
from numpyvae.comparison import (
    MOST_CURVES,
    Run,
    difference,
    differing,
    groups,
    measure,
    training_curves,
    unlike,
)
from numpyvae.evaluation import Estimate
from numpyvae.run_data import RunData, load_data
from numpyvae.run_files import open_run
from numpyvae.storage import open_npz, write_npz
from numpyvae.training import History

QUICK = ("--samples", "20")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of small runs, each of one epoch: never changed, and copied where a test does."""
    folder, before = tmp_path_factory.mktemp("runs"), Path.cwd()
    rng = np.random.default_rng(0)
    x = (rng.random((40, 3)) < [0.2, 0.5, 0.8]).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numpyvae.runs._pictures", lambda vae, data: {})
        patch.setattr(os, "fsync", lambda _: None)
        os.chdir(folder)
        np.savez("x.npz", x=x, y=rng.integers(0, 2, 40))
        np.save("other.npy", 1.0 - x)
        for out, *options in (
            ("a",),
            ("b", "--seed", "1", "--learning-rate", "0.01"),
            ("wide", "--latent-dim", "3"),
            ("density", "--likelihood", "gaussian:1"),
            ("others", "--data", "other.npy"),
            ("told", "--model", "ConditionalVAE"),
            ("codes", "--model", "VectorQuantizedVAE"),
            ("ae", "--model", "Autoencoder"),
        ):
            common = ["--data", "x.npz", "--epochs", "2", "--hidden-dims", "4", "--out", out]
            assert main(["train", *common, *options]) == 0
        os.chdir(before)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A copy of these runs to work in."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "runs"))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Path.cwd()


@pytest.fixture
def compare(here, capsys):
    """Call the command: the lines on standard output of one that succeeds, else its error."""
    capsys.readouterr()

    def call(*arguments):
        code = main(["compare", *arguments, *QUICK])
        out, error = capsys.readouterr()
        assert (code, error.count("\n")) in ((0, 0), (2, 1)), error
        return error if code else out.splitlines()

    return call


# Numbers.


def test_the_numbers_are_those_of_the_models(compare):
    assert compare("a", "b", "wide", "--csv", "t.csv")[-1] == "all digits: t.csv"
    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    x, found = load_data("x.npz").x_test, []
    for row in rows:
        vae, config = open_run(row["run"])
        rng = np.random.default_rng(0)
        assert float(row["elbo"]) == pytest.approx(vae.elbo(x, 10, rng).mean())
        found.append(vae.log_likelihood(x, 20, rng, full=True))
        assert (row["test_examples"], row["epochs"]) == ("8", "2")
        assert row["method"] == ("quadrature" if row["run"] != "wide" else "refined")
        assert 0 < float(row["seconds"]) < 60
        assert row["learning_rate"] == str(config["learning_rate"])
        assert int(row["active_units"]) <= int(row["latent_dim"])
        mean = found[-1].log_likelihood.mean()
        assert float(row["log_likelihood"]) == pytest.approx(mean)
        if row["run"] != "a":
            d = found[-1].log_likelihood - found[0].log_likelihood
            assert float(row["difference"]) == pytest.approx(d.mean())
            error = d.std(ddof=1) / math.sqrt(8)
            assert float(row["difference_standard_error"]) == pytest.approx(error)
    assert rows[0]["difference"] == ""


def test_the_table_has_the_settings_that_differ_and_no_others(compare):
    first, head, a, b, *notes = compare("a", "b")
    assert first == "means over 8 test examples, in nats"
    numbers = "run log p(x) by to the first ELBO active epochs seconds"
    assert head.split() == [*numbers.split(), "seed", "learning_rate"]
    assert a.split()[-2:] == ["0", "0.003"]
    assert b.split()[-2:] == ["1", "0.01"]
    assert a.split()[5] == "-"
    assert head.rindex("seed") == a.rindex("0  ") == b.rindex("1  ")  # one column
    assert len(notes) == 1
    assert "paired by example" in notes[0]


def run_of(log_px, name="r", x=None, model=None):
    estimate = Estimate(np.asarray(log_px), *np.zeros((3, len(log_px))), "refined")
    x = np.zeros((len(log_px), 2)) if x is None else x
    return Run(name, model or VAE(2, 1, (), likelihood=Bernoulli()), x, {}, 0.0, estimate)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    hard, noise = 100.0 * rng.standard_normal(500), rng.standard_normal(500)
    mean, error = difference(run_of(hard + 1.0 + noise), run_of(hard))
    assert mean == pytest.approx(1.0 + noise.mean())
    assert error == pytest.approx(noise.std(ddof=1) / math.sqrt(500))  # and not of size 6
    assert math.isnan(difference(run_of([1.0]), run_of([0.0]))[1])
    assert difference(run_of([1.0]), run_of([0.0], x=np.ones((1, 2)))) is None


def test_a_setting_of_one_model_alone_goes_without_saying():
    runs = [
        Run("a", None, None, {"model": "VAE", "beta": "1", "seed": "0"}),
        Run("b", None, None, {"model": "Other", "codes": "4", "seed": "0"}),
        Run("c", None, None, {"model": "Other", "codes": "4", "seed": "1"}),
    ]
    assert differing(runs) == ["model", "seed"]
    assert differing([*runs, runs[1]._replace(settings={"codes": "8"})]) == [
        "model", "seed", "codes",
    ]  # fmt: skip


def test_some_of_the_examples_are_the_same_for_all(compare):
    assert compare("a", "b", "--examples", "5")[0] == "means over 5 test examples, in nats"
    assert compare("a", "b", "--examples", "99")[0] == "means over 8 test examples, in nats"
    (_, _, a, b, _), (_, _, again, _, _) = (
        compare(*pair, "--examples", "5") for pair in ("ab", "ba")
    )
    assert again.split()[:4] == b.split()[:4] != a.split()[:4]
    assert "--examples must be at least 1, got 0" in compare("a", "b", "--examples", "0")


def test_drawn_examples_keep_their_labels_and_their_order():
    x = np.arange(30.0).reshape(30, 1)
    data = RunData(x, x, np.arange(30), Bernoulli())
    _, some, labels = _test_rows(data, argparse.Namespace(examples=9, seed=0))
    assert some.ravel().tolist() == sorted(set(labels.tolist()))
    assert len(some) == 9
    _, others, _ = _test_rows(data, argparse.Namespace(examples=9, seed=1))
    assert others.tolist() != some.tolist()


def test_the_number_of_ranks_tells_runs_apart(compare):
    rewritten("b", ranks=2)
    _, head, a, b, *_ = compare("a", "b")
    assert head.split()[-3:] == ["ranks", "seed", "learning_rate"]
    assert (a.split()[-3], b.split()[-3]) == ("1", "2")


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "<0.01"), (1e-9, "<0.01"), (0.0049, "<0.01"), (0.005, "0.01"), (0.126, "0.13"),
     (math.inf, "inf"), (math.nan, "nan")],
)  # fmt: skip
def test_no_error_is_shown_as_nought(error, text):
    assert _error(error) == text


def test_one_example_has():
    rows = [{"run": "r", "method": "refined", "log_likelihood": -1.0, "elbo": -1.0,
             "test_examples": 9, "few_effective": n} for n in (1, 2)]  # fmt: skip
    _, one, two = _footnotes(rows)
    assert one.startswith("r: 1 of 9 examples has an effective sample size below 5, so its log")
    assert two.startswith("r: 2 of 9 examples have an effective")


# What cannot be compared.


@pytest.mark.parametrize(("run", "reason"), [
    ("others", "they are tested on different examples"),
    ("density", "one is a probability, the other a density"),
    ("told", "one is of p(x), the other of p(x|y)"),
])  # fmt: skip
def test_runs_that_cannot_be_compared_are_not(run, reason, compare):
    _, _, _, row, *notes = compare("a", run)
    assert row.split()[5] == "-"
    assert row.split()[1] != "-"  # its own log p(x) is known all the same
    assert notes[-1] == f"{run}: its nats cannot be compared with those of a: {reason}"


def test_models_that_are_told_other_labels_are_not_compared():
    model = ConditionalVAE(2, 1, 2, (), likelihood=Bernoulli())
    x = np.zeros((3, 2))
    labels = [0, 1, 0], [0, 1, 0], [1, 1, 0]
    one, same, other = (run_of([0.0] * 3, x=(x, y), model=model) for y in labels)
    assert unlike(same, one) == ""
    assert unlike(other, one) == "they are given different labels"


def test_a_model_without_log_px_has_none(compare):
    _, _, _, codes, ae, *notes = compare("a", "codes", "ae")
    assert codes.split()[1:4] == ["-", "-", "-"]
    assert codes.split()[4] != "-"
    assert ae.split()[1:6] == ["-", "-", "-", "-", "-"]
    assert notes[1:] == [
        "codes: VectorQuantizedVAE has an ELBO, but no estimate of log p(x)",
        "ae: Autoencoder has no bound on log p(x): it is not a model of x",
    ]


def test_two_methods_are_told_apart(compare):
    note = "refined: a lower bound on log p(x) in expectation, where quadrature gives log p(x)"
    assert note in compare("a", "wide")
    assert note not in compare("a", "b")


# Runs as they are found.


def test_an_unfinished_run_is_measured_as_it_is(compare):
    rewritten("b", epochs=9)
    for leftover in ("history.csv", "config.json"):  # one moment of saving: a checkpoint alone
        Path("b", leftover).unlink()
    _, head, _, b, *notes = compare("a", "b")
    assert "2        -" in b  # epochs, and no seconds
    assert "epochs" not in head.split()[10:]
    assert notes[-1] == ("b: 2 of 9 epochs are trained: numpyvae train --resume b goes on")


def test_names_that_are_no_text(compare):
    name = os.fsdecode(b"b\xff\n")
    Path("b").rename(name)
    lines = compare("a", name)
    assert lines[3].startswith(r"'b\udcff\n'  ")
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(("arguments", "said"), [
    (["a"], "compare: expected two runs or more, got 1"),
    (["a", "b", "a"], "a is given twice: expected different runs"),
    (["a", "../runs/a"], "../runs/a is given twice, as a, too: expected different runs"),
    (["a", "nothing"], "nothing holds no run: there is no config.json in it"),
    (["a", "b", "--out", "x.npz"], "x.npz: expected a name that ends in .png"),
    (["a", "b", "--csv", "x.npz"], "x.npz: expected a name that ends in .csv"),
    (["a", "b", "--out", "kept.png"], "kept.png exists: add --overwrite to replace it"),
    (["a", "b", "--csv", "kept.csv"], "kept.csv exists: add --overwrite to replace it"),
    (["a", "b", "--samples", "0"], "--samples must be at least 1, got 0"),
    (["a", "b", "--seed", "-1"], "--seed must be at least 0, got -1"),
])  # fmt: skip
def test_what_is_refused(arguments, said, here, capsys):
    for name in ("kept.png", "kept.csv"):
        Path(name).write_bytes(b"kept")
    assert main(["compare", *arguments]) == 2
    assert capsys.readouterr().err == f"numpyvae: {said}\n"
    assert Path("kept.png").read_bytes() == Path("kept.csv").read_bytes() == b"kept"


def test_data_that_have_changed_are_refused(compare):
    for run in ("a", "b"):
        rewritten(run, data="x.npz")
    np.savez("x.npz", x=np.eye(40)[:, :3])
    assert "a was trained on other data than x.npz holds now" in compare("a", "b")
    Path("x.npz").unlink()
    assert compare("a", "b").endswith("x.npz: no such file\n")


def test_the_table_is_shown_where_its_file_cannot_be_written(here, capsys):
    capsys.readouterr()
    assert main(["compare", "a", "b", "--csv", "no/t.csv", *QUICK]) == 2
    out, error = capsys.readouterr()
    assert out.startswith("means over 8 test examples")
    assert error.endswith("no: no such folder to write t.csv into\n")


def test_parameters_without_a_number_are_named(compare):
    with open_npz("b/model.npz") as saved:
        arrays, description = {name: saved.read(name) for name in saved}, saved.description
    arrays["theta"][:] = 1e30
    write_npz("b/model.npz", arrays, description)
    assert "b: its parameters give no finite ELBO or log p(x): train it anew" in compare("a", "b")


# Curves.


def test_the_curves_are_drawn_and_replaced_when_asked(compare, sketches):
    Path("c.png").write_bytes(b"kept")
    lines = compare("a", "b", "ae", "density", "--out", "c.png", "--overwrite")
    assert lines[-1] == "training curves: c.png"
    assert Path("c.png").read_bytes() == b"a sketch"


def drawn(name, values, kind=VAE, likelihood=None):
    model = kind(2, 1, (), likelihood=likelihood or Bernoulli())
    quantity = "loss" if kind is Autoencoder else "elbo"
    model.history = History({quantity: 0.0, f"validation_{quantity}": v} for v in values)
    return Run(name, model, np.zeros((3, 2)), {})


def test_a_line_for_each_run_and_a_panel_for_what_cannot_be_compared():
    runs = [
        drawn("a", [-5.0, -3.0]),
        drawn("g", [-1.0], likelihood=Gaussian(1.0)),
        drawn("b$", [-4.0, -2.0]),
        drawn("ae", [7.0], kind=Autoencoder),
    ]
    assert [[run.name for run in group] for group in groups(runs)] == [["a", "b$", "ae"], ["g"]]
    figure = training_curves(runs)
    panels = [[line.get_label() for line in ax.lines] for ax in figure.axes]
    assert panels == [["a", r"b\$"], ["ae"], ["g"]], "no number that is not the table's"
    assert figure.axes[0].lines[1].get_ydata().tolist() == [-4.0, -2.0]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "Test ELBO of the probability (higher is better)",
        "Test loss (lower is better)",
        "Test ELBO of the density (higher is better)",
    ]
    assert {ax.get_ylabel() for ax in figure.axes} == {"nats per example"}
    assert figure.get_supxlabel() == (
        "after each epoch, on the test examples; panels cannot be compared with each other"
    )


def test_panels_say_what_their_elbo_is_of():
    told = ConditionalVAE(2, 1, 2, (), likelihood=Bernoulli())
    told.history = drawn("a", [-5.0]).model.history
    told = Run("told", told, (np.zeros((3, 2)), np.zeros(3, int)), {})
    alone = drawn("b", [-4.0])

    def titles(*runs):
        axes = training_curves(runs).axes
        return [ax.get_title(loc="left").removesuffix(" (higher is better)") for ax in axes]

    assert titles(alone, told) == ["Test ELBO of p(x)", "Test ELBO of p(x|y)"]
    assert titles(told) == titles(alone) == ["Test ELBO"]
    assert titles(alone, told, drawn("g", [-1.0], likelihood=Gaussian(1.0))) == [
        "Test ELBO of the probability p(x)",
        "Test ELBO of the probability p(x|y)",
        "Test ELBO of the density p(x)",
    ]


def test_panels_with_one_title_name_their_runs():
    """Such as those of different data: here of other examples."""
    runs = [drawn(name, [-5.0]) for name in ("a", "b", "c", "d", "e$")]
    runs[1:] = [run._replace(data=run.data + 1) for run in runs[1:]]
    runs[4] = runs[4]._replace(data=runs[4].data + 1)
    titles = [ax.get_title(loc="left") for ax in training_curves(runs).axes]
    names = "a", "b, c and 1 more", r"e\$"
    assert titles == [f"Test ELBO (higher is better)\n{name}" for name in names]
    titles = [ax.get_title(loc="left") for ax in training_curves(runs[1:4]).axes]
    assert titles == ["Test ELBO (higher is better)"]


def test_no_two_lines_look_alike():
    runs = [
        drawn(f"the long name of a run, number {i}", [-5.0, -3.0]) for i in range(MOST_CURVES + 2)
    ]
    figure = training_curves(runs)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == len(figure.axes[0].lines) == MOST_CURVES == 28
    assert f"not drawn: 2 of {MOST_CURVES + 2} runs" in figure.get_supxlabel()
    assert figure.axes[0].lines[3].get_label().startswith("\N{HORIZONTAL ELLIPSIS}")
    with pytest.raises(ValueError, match="expected a run with a history"):
        training_curves([drawn("a", [])])


def test_the_first_epochs_do_not_squash_the_others():
    values = [-1e4, *np.linspace(-110, -100, 99)]
    low, high = training_curves([drawn("a", values)]).axes[0].get_ylim()
    assert -112 < low < -100 < high < -99


def test_what_is_measured_does_not_depend_on_other_runs():
    vae = VAE(2, 1, (), likelihood=Bernoulli())
    run = Run("a", vae, np.array([[0.0, 1.0], [1.0, 1.0]]), {})
    assert measure(run, 5, 0).elbo == measure(run, 5, 0).elbo != measure(run, 5, 1).elbo
