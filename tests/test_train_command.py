"""Work is kept: signals at any moment, failing disks and pictures, going on to the same bits."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE, KeepBest, run_data, run_folder, runs
from numpyvae.cli import main
from numpyvae.interrupts import Interrupted, Interrupts
from numpyvae.run_files import open_run, open_stopped_run

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--data", "x.npy", "--hidden-dims", "4", "--batch-size", "16"]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
if hasattr(signal, "SIGHUP"):
    SIGNALS[signal.SIGHUP] = 129


@pytest.fixture(autouse=True)
def here(quick_runs, tmp_path):
    """Where to train; signals as in a terminal."""
    before = {s: signal.signal(s, signal.default_int_handler) for s in SIGNALS}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def train(*arguments, epochs=None, out="run"):
    where = [] if "--resume" in arguments else [*SMALL, "--out", out]
    return main(["train", *where, *(["--epochs", str(epochs)] if epochs else []), *arguments])


def at_call(monkeypatch, owner, name, number, act):
    """Do something just before the `number`-th call of owner.name."""
    original, calls = getattr(owner, name), []

    def patched(*args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            act()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, patched)


def same_run(a, b):
    return Path(a, "model.npz").read_bytes() == Path(b, "model.npz").read_bytes()


STEPS = 3  # of an epoch: 40 examples in batches of 16


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("signals", [[s] for s in SIGNALS] + [[s, s] for s in SIGNALS], ids=str)
@pytest.mark.parametrize("where", ["in an epoch", "while saving", "while drawing"])
def test_a_signal_leaves_a_run_that_goes_on_to_the_same_bits(where, signals, capsys, monkeypatch):
    assert train(epochs=6, out="straight") == 0

    def send():
        for number in signals:
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        if where == "in an epoch":
            at_call(patch, VAE, "backward", 4 * STEPS + 2, send)
        elif where == "while saving":
            at_call(patch, run_folder, "write_npz", 2, send)  # the first is the rehearsal
        else:
            patch.setattr(runs, "_pictures", lambda *_: {"samples.png": lambda _: send()})
        capsys.readouterr()
        assert train(epochs=6) == SIGNALS[signals[0]]
    out, err = capsys.readouterr()
    assert err == ""
    epochs = {"in an epoch": 4, "while saving": 1, "while drawing": 6}[where]
    said = out.splitlines()[-2:]
    counted = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    assert re.search(rf"Interrupted after {counted}\b", said[0] + said[1])
    vae, _ = open_run("run")
    assert vae.epochs_trained == len(vae.history) == epochs
    assert main(["evaluate", "run", "--samples", "2"]) == 0
    assert not list(Path().glob(".*")), "no lock, no part"
    assert train("--resume", "run") == 0
    assert same_run("run", "straight")
    assert len(Path("run/history.csv").read_text().splitlines()) == 7


def test_a_signal_while_the_best_epoch_is_noted(monkeypatch):
    """Between the comparison and the copy of the parameters."""
    arguments = ["--keep-best", "--learning-rate", "0.3"]
    assert train(*arguments, epochs=8, out="straight") == 0
    is_best = KeepBest.is_best

    def interrupted(self, record):
        better = is_best(self, record)
        if better and record["epoch"] > 1:
            signal.raise_signal(signal.SIGINT)
        return better

    with monkeypatch.context() as patch:
        patch.setattr(KeepBest, "is_best", interrupted)
        assert train(*arguments, epochs=8) == 130
    assert 1 < open_run("run")[0].epochs_trained < 8
    assert train("--resume", "run") == 0
    assert same_run("run", "straight")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_anything_is_learned_leaves_what_was_there(number, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        at_call(patch, VAE, "backward", 2, lambda: signal.raise_signal(number))
        assert train(epochs=6) == SIGNALS[number]
    assert "nothing was learned, and nothing was written." in capsys.readouterr().out
    assert not Path("run").exists()
    assert train(epochs=2) == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    for how in (["--overwrite"], ["--resume", "run"]):
        with monkeypatch.context() as patch:
            at_call(patch, VAE, "backward", 2, lambda: signal.raise_signal(number))
            assert train(*how, epochs=6) == SIGNALS[number]
        assert {path: path.read_bytes() for path in Path("run").iterdir()} == before
    assert "run is as it was, after 2 epochs." in capsys.readouterr().out
    with monkeypatch.context() as patch:
        at_call(patch, run_data, "load_data", 1, lambda: signal.raise_signal(number))
        assert train(epochs=6, out="new") == SIGNALS[number]
    assert "Interrupted before training: nothing was written." in capsys.readouterr().out
    assert not Path("new").exists()


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    at_call(monkeypatch, VAE, "backward", 2, lambda: list(map(signal.raise_signal, SIGNALS)))
    assert train(epochs=2) == 0
    assert all(signal.getsignal(number) == signal.SIG_IGN for number in SIGNALS)


def test_interrupts_raise_once_and_never_in_what_is_held():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)  # noted
        with pytest.raises(Interrupted) as caught, interrupts.listening():
            pytest.fail("raised on entering")
        assert caught.value.code == 143
        steps = []

        def hold():
            with interrupts.held():
                signal.raise_signal(signal.SIGINT)
                steps.append("held")
            steps.append("not reached")

        def clean_up():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)
                steps.append("cleaned up")

        for block in (hold, clean_up):
            with pytest.raises(Interrupted), interrupts.listening():
                block()
            interrupts._pending.clear()
        assert steps == ["held", "cleaned up"]
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


@pytest.mark.parametrize("extra", [[], ["--keep-best"]], ids=str)
def test_resuming_gives_the_same_file(extra):
    rate = ["--learning-rate", "0.3"]  # so large that the best epoch is not the last
    assert train(*extra, *rate, epochs=8, out="straight") == 0
    assert train(*extra, *rate, epochs=5) == 0
    assert train("--resume", "run", epochs=8) == 0
    assert same_run("run", "straight")
    vae, config = open_run("run")
    assert config["epochs"] == vae.epochs_trained == 8
    last = open_stopped_run("run")[2]
    assert np.array_equal(last, vae.theta) == (not extra)
    if extra:
        best = int(np.argmax(vae.history.column("validation_elbo"))) + 1
        assert best < 8
        assert train(*rate, epochs=best, out="short") == 0
        np.testing.assert_array_equal(vae.theta, open_run("short")[0].theta)


def test_early_stopping_ends_the_run_also_a_resumed_one(capsys):
    arguments = ["--learning-rate", "0.3", "--early-stopping", "3"]
    assert train(*arguments, epochs=40, out="straight") == 0
    elbos = open_run("straight")[0].history.column("validation_elbo")
    assert len(elbos) == np.argmax(elbos) + 4 < 40
    assert train(*arguments, epochs=len(elbos) - 2) == 0
    assert train("--resume", "run", epochs=40) == 0
    assert same_run("run", "straight")
    assert train("--resume", "run") == 0, "nothing is left to do"
    assert same_run("run", "straight")


def test_early_stopping_asks_where_the_run_is_not_where_it_has_been(capsys, monkeypatch):
    """Two epochs without a better ELBO long ago do not end a run that has a better one since."""
    elbos = iter([1.0, 0.5, 0.4, 2.0, 1.5, 1.4, 9.0])

    def measure(*_):
        return {"elbo": next(elbos)}

    monkeypatch.setattr("numpyvae.training.evaluate_terms", measure)
    assert train(epochs=4) == 0
    assert "Early stopping" not in capsys.readouterr().out
    assert train("--resume", "run", "--early-stopping", "2", epochs=9) == 0
    stopped = "\nEarly stopping: no better test ELBO for 2 epochs.\n"
    assert f"{stopped}Learned in 2 more epochs, 6 in all (" in capsys.readouterr().out
    assert train("--resume", "run") == 0
    assert f"{stopped}Nothing left to train after 6 epochs: test" in capsys.readouterr().out


def test_train_and_compare_give_one_number_of_seconds(capsys, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("numpyvae.training.time.perf_counter", lambda: float(next(clock)))
    assert train(epochs=2) == 0
    assert train("--resume", "run", epochs=3) == 0
    assert train("--seed", "1", epochs=1, out="other") == 0
    said = capsys.readouterr().out
    (two,) = re.findall(r"Learned in 2 epochs \((.*) s\): ", said)
    (more,) = re.findall(r"Learned in 1 more epoch, 3 in all \((.*) s\): ", said)
    (one,) = re.findall(r"Learned in 1 epoch \((.*) s\): ", said)
    assert float(one) > 0
    assert main(["compare", "run", "other", "--samples", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(rf" 3 +{float(two) + float(more):.1f} ", lines[2])
    assert re.search(rf" 1 +{float(one):.1f} ", lines[3])


def test_a_resumed_run_keeps_the_times_of_its_epochs():
    def seconds():
        with Path("run/history.csv").open() as file:
            return [float(row.get("seconds") or "nan") for row in csv.DictReader(file)]

    assert train(epochs=3) == 0
    before = seconds()
    assert train("--resume", "run", epochs=5) == 0
    assert seconds()[:3] == before
    assert np.isfinite(seconds()).all()
    assert train(epochs=5, out="straight") == 0
    assert same_run("run", "straight")
    for text in ("", "epoch,seconds\n1,inf\n2,x\n", "\0", "epoch\n" + "9" * 10**6):
        Path("run/history.csv").write_text(text)
        assert train("--resume", "run") == 0
        assert np.isnan(seconds()).all()


def test_evaluate_sees_that_the_data_are_others(capsys):
    assert train(epochs=1) == 0
    assert main(["evaluate", "run", "--samples", "2"]) == 0
    np.save("x.npy", 1 - np.load("x.npy"))
    capsys.readouterr()
    assert main(["evaluate", "run", "--samples", "2"]) == 2
    err = capsys.readouterr().err
    assert "numpyvae: run was trained on other data than" in err
    assert err.endswith("(--data FILE measures it on all rows of a file)\n")
    assert main(["evaluate", "run", "--samples", "2", "--data", "x.npy"]) == 0


def test_what_cannot_be_resumed_is_said(capsys):
    assert train(epochs=3) == 0
    np.save("other.npy", np.ones((50, 3)))
    for arguments, message in [
        (["--latent-dim", "2"], "--latent-dim cannot be given with --resume"),
        (["--overwrite"], "--overwrite cannot be given with --resume"),
        (["--epochs", "2"], "--epochs 2: run has 3 epochs already"),
        (["--data", "other.npy"], "run was trained on other data than other.npy holds now"),
        (["--early-stopping", "0"], "--early-stopping must be at least 1, got 0"),
    ]:
        capsys.readouterr()
        assert train("--resume", "run", *arguments) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert train("--resume", "nowhere") == 2
    assert "nowhere holds no run" in capsys.readouterr().err
    assert not Path("nowhere").exists()
    Path("x.npy").rename("moved.npy")
    assert train("--resume", "run", "--data", "moved.npy", epochs=4) == 0


def test_it_is_saved_at_intervals_and_a_full_disk_does_not_end_it(capsys, monkeypatch):
    import numpyvae.train_command as command

    saved = []
    original = run_folder.RunFolder.save

    def save(self, vae, *rest):
        if vae.epochs_trained in (2, 3):
            raise OSError(28, "No space left on device")
        original(self, vae, *rest)
        saved.append(vae.epochs_trained)

    monkeypatch.setattr(run_folder.RunFolder, "save", save)
    monkeypatch.setattr(command, "SECONDS_BETWEEN_SAVES", -1.0)
    monkeypatch.setattr(command, "LARGEST_SHARE", float("inf"))
    assert train(epochs=5) == 0
    assert saved == [1, 4, 5, 5]
    assert capsys.readouterr().err.count("Epoch 2 could not be saved; the training goes on.") == 1
    assert train(epochs=3, out="other") == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.endswith("No space left on device. Of 3 epochs, 1 are in other.")
    assert open_run("other")[0].epochs_trained == 1
    monkeypatch.undo()


@pytest.mark.parametrize("error", [OSError("disk full"), MemoryError(), RuntimeError("no\nLaTeX")])
def test_a_failed_picture_does_not_hide_the_model(error, capsys, monkeypatch):
    def fail(path):
        raise error

    pictures = {"samples.png": fail, "manifold.png": fail, "x.png": lambda path: path.touch()}
    monkeypatch.setattr(runs, "_pictures", lambda *_: pictures)
    assert train(epochs=1) == 1
    err = capsys.readouterr().err
    reason = " ".join(str(error).split()) or "MemoryError"
    expected = f"the model is in run/; not drawn: samples.png, manifold.png ({reason})"
    assert err == f"numpyvae: {expected}\n"
    assert Path("run/x.png").exists()
    assert open_run("run")[0].epochs_trained == 1


def test_pictures_need_no_backend_and_no_latex(tmp_path):
    """In a process whose Matplotlib has been told of both, before it was imported and after."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\n")
    code = (
        "import numpy as np; from numpyvae import VAE, plots, runs\n"
        "with runs.plain_matplotlib():\n"
        "    import matplotlib; print(matplotlib.rcParams['text.usetex'])\n"
        "    runs.save_figure(plots.samples(VAE(4, 2), 4), runs.Path('x.png'))\n"
        "import os; print(os.environ['MPLBACKEND'], matplotlib.rcParams['font.size'])"
    )
    environment = {**os.environ, "MPLBACKEND": "nonsense", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "nonsense", "40.0"]
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_overwriting_leaves_nothing_of_the_old_run(monkeypatch):
    pictures = {"samples.png": lambda path: path.write_bytes(b"old")}
    monkeypatch.setattr(runs, "_pictures", lambda *_: pictures)
    assert train(epochs=1) == 0
    for name in ("samples_seed3.png", "notes.txt"):
        Path("run", name).touch()
    pictures.clear()
    assert train("--overwrite", epochs=2) == 0
    expected = {"model.npz", "config.json", "history.csv", "notes.txt"}
    assert {path.name for path in Path("run").iterdir()} == expected


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_it_leaves_a_run_that_goes_on(tmp_path, capsys):
    command = [sys.executable, "-u", "-m", "numpyvae", "train", *SMALL, "--out", "run"]
    process = subprocess.Popen(
        [*command, "--epochs", "1000000"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert any(line.startswith("epoch") and " 2/" in line for line in process.stdout)
        assert train(epochs=1) == 2
        assert f"run is being written by process {process.pid} on" in capsys.readouterr().err
    finally:
        process.kill()
        process.communicate()
    epochs = open_run("run")[0].epochs_trained + 1
    assert train("--resume", "run", epochs=epochs) == 0
    assert train(epochs=epochs, out="straight") == 0
    assert same_run("run", "straight")
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "run", "straight"}
