"""The command as a user meets it: pictures, one-line errors, exit codes, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from numpyvae import VAE, proofs
from numpyvae.cli import main
from numpyvae.models.model import Sizes
from numpyvae.run_data import load_data

ROOT = Path(__file__).resolve().parent.parent
PICTURES = {"learning_curves", "reconstructions", "samples", "latent_space", "manifold"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_evaluate_sample(here, capsys, monkeypatch):
    draw = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **how: draw(figure, file, dpi=40))
    assert main(["train", "--epochs", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("Learned in 2 epochs")
    assert "nats" in out[-2]
    assert out[-1].startswith("Pictures: runs/digits-1/")
    first = here / "runs" / "digits-1"
    assert {p.name for p in first.iterdir()} == {
        "model.npz",
        "config.json",
        "history.csv",
        "explore.html",
        *(f"{name}.png" for name in PICTURES),
    }
    for name in PICTURES:
        assert (first / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((first / "config.json").read_text())
    assert config["data"] == "digits"
    assert config["model"]["likelihood"] == {"name": "Binomial", "total_count": 16}
    assert len((first / "history.csv").read_text().splitlines()) == 3

    assert main(["evaluate", "runs/digits-1", "--samples", "20"]) == 0
    text = capsys.readouterr().out
    for words in (
        "ELBO",
        "log p(x|z)",
        "KL(q(z|x) || p(z))",
        "log p(x), 20 samples",
        "of 2",
        "log p(x), quadrature",
        "standard error",
        "amortisation",
    ):
        assert words in text
    assert main(["sample", "runs/digits-1", "--n", "9"]) == 0
    assert (first / "samples_seed0.png").exists()
    assert main(["sample", "runs/digits-1", "--n", "9", "--out", "nine.csv"]) == 0
    assert main(["sample", "runs/digits-1", "--n", "9", "--out", "nine.npy"]) == 0
    nine = np.load("nine.npy")
    assert nine.shape == (9, 64)
    np.testing.assert_allclose(np.loadtxt("nine.csv", delimiter=","), nine, rtol=1e-6)


def test_another_run_has_a_folder_of_its_own(here, sketches, capsys):
    assert main(["train", "--epochs", "2"]) == 0
    assert main(["train", "--epochs", "2", "--hidden-dims", "16", "8", "--latent-dim", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Pictures: runs/digits-2/")
    assert VAE.load(here / "runs" / "digits-2" / "model.npz").hidden_dims == (16, 8)


def test_the_same_command_gives_the_same_model(here, sketches):
    for out in ("a", "b"):
        assert main(["train", "--epochs", "2", "--out", out]) == 0
    assert (here / "a" / "model.npz").read_bytes() == (here / "b" / "model.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "likelihood"),
    [
        ("data.csv", {"name": "Gaussian", "variance": "shared"}),
        ("coins.npy", {"name": "Bernoulli"}),
        ("images.npz", {"name": "Gaussian", "variance": "shared"}),
    ],
)
def test_a_file_of_the_users_own(here, sketches, name, likelihood, rng):
    if name == "data.csv":
        np.savetxt(name, rng.standard_normal((40, 3)), delimiter=",", header="a,b,c", comments="")
    elif name == "coins.npy":
        np.save(name, rng.integers(0, 2, (40, 7)))
    else:
        np.savez(name, x=rng.random((40, 4, 4), dtype=np.float32))
    assert main(["train", "--data", name, "--epochs", "2", "--out", "run"]) == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["model"]["likelihood"] == likelihood
    assert (here / "run" / "manifold.png").exists()
    assert main(["evaluate", "run", "--samples", "5"]) == 0


@pytest.mark.slow
def test_check_proves_everything(capsys):
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    assert "complex step" in out
    for name in ("Dense", "reparameterize", "kl_to_standard_normal", "Bernoulli", "VAE(7-8-6-3"):
        assert name in out


@pytest.mark.slow
def test_check_says_what_fails(capsys, monkeypatch):
    import numpyvae.models.vae as vae

    monkeypatch.setattr(proofs, "Sizes", lambda: Sizes(3, 5, 4, 2))  # quick to prove
    monkeypatch.setattr(vae, "reparameterize_backward", lambda dz, cache: (dz, dz * cache))
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAIL") == 15  # the VAEs; the pair itself and what has no sample are right
    proven, of = map(int, re.search(r"(\d+) of (\d+) gradients proven", out).groups())
    assert of - proven == 15


BAD = [
    (["train", "--epochs", "0"], "--epochs must be at least 1, got 0"),
    (["train", "--epochs", "many"], "invalid int value: 'many'"),
    (["train", "--batch-size", "0"], "--batch-size must be at least 1"),
    (["train", "--learning-rate", "0"], "--learning-rate must be a finite number above 0"),
    (["train", "--learning-rate", "nan"], "--learning-rate must be a finite number above 0"),
    (["train", "--weight-decay", "-1"], "--weight-decay must be a finite number of at least 0"),
    (["train", "--weight-decay", "400"], "--weight-decay must be below 1 / learning_rate"),
    (["train", "--latent-dim", "0"], "--latent-dim must be at least 1"),
    (["train", "--hidden-dims", "8", "-1"], "--hidden-dims must be at least 1"),
    (["train", "--beta", "-1"], "--beta must be a finite number of at least 0"),
    (["train", "--seed", "-1"], "--seed must be at least 0"),
    (["train", "--activation", "swish"], "invalid choice: 'swish'"),
    (["train", "--likelihood", "poisson"], "unknown likelihood 'poisson': expected bernoulli"),
    (["train", "--likelihood", "gaussian:-1"], "unknown likelihood 'gaussian:-1'"),
    (["train", "--likelihood", "bernoulli"], "is outside the support of Bernoulli()"),
    (["train", "--data", "nowhere.npy"], "nowhere.npy: no such file"),
    (["train", "--data", "cifar"], "cifar: expected digits, mnist or a file"),
    (
        ["train", "--data", "nan.csv"],
        "nan.csv: row 2, column 1 (a training row) is NaN, a missing value",
    ),
    (["train", "--data", "pickled.npy"], "pickled Python objects"),
    (["train", "--data", "truncated.npy"], "truncated.npy"),
    (["train", "--data", "liar.npz"], "expected a .npz file"),
    (["train", "--data", "short.csv"], "expected at least 5 rows"),
    (["train", "--out", "full", "--epochs", "1"], "full holds a run already: add --overwrite"),
    (["train", "--out", "nan.csv", "--epochs", "1"], "nan.csv"),
    (["evaluate", "nowhere"], "nowhere holds no run"),
    (["evaluate", "full"], "full/config.json is not a run's configuration"),
    (["sample", "nowhere"], "nowhere holds no run"),
    (["check", "--at", "whole.npy"], "expected a function, its gradient and a point"),
    (["check", "--directions", "3"], "expected a function, its gradient and a point"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
    (["evaluate", "full", "more"], "unrecognized arguments: more (see numpyvae evaluate --help)"),
    (["exercises", "check", "full", "0", "1"], "1 (see numpyvae exercises check --help)"),
    (["train", "--model", "Autoencoder", "--beta", "1"], "--model Autoencoder --help)"),
    ([], "the following arguments are required: COMMAND"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    BAD,
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(here, capsys, arguments, message):
    np.savetxt("nan.csv", [[0, 1], [np.nan, 1]] + [[0, 1]] * 10, delimiter=",")
    np.save("pickled.npy", np.array([{}], dtype=object))
    np.save("whole.npy", np.zeros((50, 8)))
    (here / "truncated.npy").write_bytes((here / "whole.npy").read_bytes()[:1000])
    (here / "liar.npz").write_bytes((here / "whole.npy").read_bytes())
    np.savetxt("short.csv", np.zeros((3, 2)), delimiter=",")
    (here / "full").mkdir()
    (here / "full" / "config.json").write_text("[]")
    before = sorted(here.rglob("*"))
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("numpyvae")
    assert sorted(here.rglob("*")) == before, "nothing is written"


def test_overwrite_replaces_a_run(here, sketches):
    assert main(["train", "--epochs", "1", "--out", "run"]) == 0
    assert main(["train", "--epochs", "2", "--out", "run", "--overwrite"]) == 0
    assert VAE.load("run/model.npz").epochs_trained == 2


def test_divergence_keeps_the_last_good_parameters(here, capsys):
    arguments = ["--data", "x.csv", "--learning-rate", "1e30", "--epochs", "5", "--out", "run"]
    np.savetxt("x.csv", np.random.default_rng(0).standard_normal((50, 3)), delimiter=",")
    assert main(["train", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    for words in ("training diverged at epoch 1", "smaller learning rate", "initial parameters"):
        assert words in captured.err
    assert not (here / "run" / "model.npz").exists(), "nothing was learned"


def test_a_run_that_ends_early_is_written_all_the_same(here, sketches, capsys, monkeypatch):
    """Whatever ends it (here a full disk under a memory-mapped file), three epochs were learned."""
    fit = VAE.fit

    def fit_until_the_disk_fails(self, *args, **kwargs):
        def fail(_, record):
            if record["epoch"] == 3:
                raise OSError("Input/output error")

        callbacks = [*kwargs.pop("callbacks"), fail]
        return fit(self, *args, callbacks=callbacks, **kwargs)

    monkeypatch.setattr(VAE, "fit", fit_until_the_disk_fails)
    assert main(["train", "--out", "run"]) == 2
    assert "Input/output error. What was learned in 3 epochs is in run." in capsys.readouterr().err
    assert VAE.load("run/model.npz").epochs_trained == 3
    assert (here / "run" / "latent_space.png").exists()


# `numpyvae`, with the fixture `sketches`: what a child says is tested, and not its pictures.
SKETCHING = """
import runpy
from matplotlib.figure import Figure
Figure.savefig = lambda figure, file, **how: file.write(b"a sketch")
runpy.run_module("numpyvae", run_name="__main__")
"""


def start(arguments, program=("-c", SKETCHING), **how):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *program, *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **how)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_writes_what_was_learned(here):
    process = start(
        ["train", "--epochs", "1000000", "--out", str(here / "run")],
        program=("-m", "numpyvae"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    for line in process.stdout:
        if line.startswith("epoch") and " 3/1000000" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err == ""
    assert out.splitlines()[-2].startswith("Interrupted after")
    vae = VAE.load(here / "run" / "model.npz")
    assert vae.epochs_trained >= 3
    history = (here / "run" / "history.csv").read_text().splitlines()
    assert len(history) == vae.epochs_trained + 1
    assert (here / "run" / "latent_space.png").exists()


def test_a_terminal_gets_one_live_line(here, sketches):
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal, redirect_stdout(terminal):
        assert main(["train", "--epochs", "5"]) == 0
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(master)
    live = [line for line in shown.decode().split("\n") if "epoch 5/5" in line]
    assert len(live) == 1
    assert "left" in live[0]
    assert live[0].count("\r") >= 5


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(f"    {command} " in out for command in ("train", "evaluate", "sample", "check"))


def test_an_npz_with_its_own_split_keeps_it(here, rng, sketches):
    x = rng.integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez("split.npz", x_train=x[:40], x_test=x[40:], y_test=np.arange(20) % 3)
    assert main(["train", "--data", "split.npz", "--epochs", "2", "--out", "run"]) == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["model"]["likelihood"] == {"name": "Binomial", "total_count": 255}
    data = load_data("split.npz")
    np.testing.assert_array_equal(data.x_train, x[:40].reshape(40, 16))
    np.testing.assert_array_equal(data.labels, np.arange(20) % 3)
    np.savez("wrong.npz", x_train=x[:40], x_test=x[40:], y_test=np.arange(3))
    assert main(["train", "--data", "wrong.npz"]) == 2


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_the_training(here):
    process = start(
        ["train", "--epochs", "60", "--out", str(here / "run")], cwd=ROOT, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert VAE.load(here / "run" / "model.npz").epochs_trained == 60
    assert (here / "run" / "manifold.png").exists()
