"""Standard output and error as users have them: closed, missing, full, or short of letters."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE
from numpyvae.cli import main
from numpyvae.data import mnist
from numpyvae.exercises.judge.catalogue import exercise_numbered
from numpyvae.exercises.student import stubs
from numpyvae.exercises.teacher.notebooks import notebook_marks
from numpyvae.streams import Steady, steady_streams

POSIX = pytest.mark.skipif(os.name != "posix", reason="closes descriptors as a shell does")


class Failing(io.StringIO):
    """Fails with an error of this number, on writing or, like a buffered file, on flushing."""

    def __init__(self, number, at="write"):
        super().__init__()
        self.number, self.at = number, at

    def _fail(self, at):
        if self.at == at:
            raise OSError(self.number, os.strerror(self.number))

    def write(self, text):
        self._fail("write")
        return super().write(text)

    def flush(self):
        self._fail("flush")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def encoded(encoding, errors="strict"):
    return io.TextIOWrapper(io.BytesIO(), encoding, errors)


def text_of(stream):
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


NOBODY = [lambda: None, closed, lambda: Failing(errno.EPIPE), lambda: Failing(errno.EIO, "flush")]
NOBODY_IDS = ["missing", "closed", "broken pipe", "terminal closed"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`main` with these streams, where there are a small data set and a run; its exit code."""
    monkeypatch.chdir(tmp_path)
    np.save("δ.npy", np.random.default_rng(0).integers(0, 2, (20, 2)))
    monkeypatch.setattr("numpyvae.runs._pictures", lambda *_: {})

    def call(*words, out, err):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                return main(words)
            except SystemExit as stop:
                return stop.code
            finally:
                assert (sys.stdout, sys.stderr) == (out, err)

    return call


TRAIN = ("train", "--data", "δ.npy", "--epochs", "3", "--hidden-dims", "2", "--out", "π")


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize(("out", "err"), [*zip(NOBODY, NOBODY[::-1], strict=True)], ids=NOBODY_IDS)
def test_nobody_listens_and_nothing_is_lost(run, out, err):
    assert run(*TRAIN, out=out(), err=err()) == 0
    assert VAE.load("π/model.npz").epochs_trained == 3
    assert run("evaluate", "π", "--samples", "2", out=out(), err=err()) == 0
    assert run("sample", "π", "--out", "π.csv", out=out(), err=err()) == 0
    assert np.loadtxt("π.csv", delimiter=",").shape == (64, 2)
    assert run("exercises", "start", "ω", out=out(), err=err()) == 0
    assert run("evaluate", "nowhere", out=out(), err=err()) == 2
    assert run("--help", out=out(), err=err()) == 0
    assert run("frobnicate", out=out(), err=err()) == 2


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_full_disk_is_one_sentence_and_the_work_is_saved(run, at):
    for words in (TRAIN, ("evaluate", "π", "--samples", "2"), ("--help",)):
        out, err = Failing(errno.ENOSPC, at), io.StringIO()
        assert run(*words, out=out, err=err) == 2
        assert err.getvalue() == (
            f"numpyvae: standard output cannot be written: {os.strerror(errno.ENOSPC)}\n"
        )
    assert VAE.load("π/model.npz").epochs_trained == 3
    assert run("evaluate", "nowhere", out=Failing(errno.ENOSPC), err=(err := io.StringIO())) == 2
    assert err.getvalue().startswith("numpyvae: nowhere holds no run"), "the first problem is said"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
def test_letters_that_cannot_be_shown_are_replaced(run, encoding):
    out, err = encoded(encoding), encoded(encoding, "backslashreplace")
    assert run(*TRAIN, out=out, err=err) == 0
    delta, pi = (c.encode(encoding, "replace").decode(encoding) for c in "δπ")
    shown = text_of(out)
    assert shown.startswith(f"{delta}.npy: 16 examples of dimension 2")
    assert f"Pictures: {pi}/" in shown
    assert shown.count("\n") == 2 + 3 + 2
    assert text_of(err) == ""
    assert run("evaluate", "ω", out=encoded(encoding), err=(err := encoded(encoding))) == 2
    assert text_of(err).endswith(" holds no run: there is no config.json in it\n")


def test_the_exercises_speak_on_a_windows_code_page(run, tmp_path):
    stubs.start(tmp_path / "ω")
    (tmp_path / "ω" / "ex3_reparameterize.py").write_text(
        "print('σ = \\u2192')\ndef reparameterize(mean, log_var, noise):\n    return 1\n",
        encoding="utf-8",
    )
    out = encoded("cp1252")
    assert run("exercises", "check", "ω", "3", out=out, err=None) == 1
    assert "ex3_reparameterize.py" in text_of(out)
    assert "? = ?" in text_of(out)
    assert run("exercises", "hint", "ω", "3", out=(out := encoded("ascii")), err=None) == 0
    assert "hint 1" in text_of(out)


@pytest.mark.parametrize("out", NOBODY, ids=NOBODY_IDS)
def test_fit_trains_where_nobody_listens(out, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out())
    vae = VAE(2, 1, (2,))
    vae.fit(np.ones((4, 2)), epochs=2)
    assert vae.epochs_trained == 2


@pytest.mark.parametrize("out", NOBODY, ids=NOBODY_IDS)
def test_a_notebook_has_its_marks_and_a_download_its_bytes(out, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out())
    monkeypatch.setattr(sys, "stderr", out())
    assert notebook_marks(4, "") == dict.fromkeys(exercise_numbered(4).marks, 0)
    with mnist._progress_line("http://σ") as show:
        show(10, "20")


def test_a_steady_stream():
    stream = Failing(errno.EPIPE)
    steady = Steady(stream)
    assert not steady.gone
    assert steady.write("abc") == 3
    stream.number = 0
    stream.at = ""
    steady.write("the rest is dropped, too: half a page is worse than none")
    assert (steady.gone, steady.lost, stream.getvalue()) == (True, None, "")
    assert Steady(None).gone
    assert not Steady(closed()).isatty()
    with pytest.raises(AttributeError):
        _ = Steady(None).buffer
    out = encoded("ascii")
    assert (Steady(out).encoding, Steady(out).buffer) == ("ascii", out.buffer)
    assert Steady(io.StringIO()).encoding == "utf-8"


def test_what_is_printed_comes_out_in_order(monkeypatch):
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    with steady_streams() as steady:
        print("1 σ", end=" ")
        steady.write("2\n")
        print("3", file=sys.stdout, flush=True)
    assert out.getvalue() == "1 σ 2\n3\n"
    assert sys.stdout is out


@pytest.mark.slow
@POSIX
def test_a_shell_that_closes_them_or_has_no_room(tmp_path):
    """What only a process shows: Python's own last flush, and a file that gets number 1."""
    script = """
    "$0" -m numpyvae exercises start a >&- 2>&- || exit 10
    "$0" -m numpyvae exercises start b >&- || exit 11
    if "$0" -m numpyvae exercises start c >/dev/full; then exit 12; fi
    "$0" -m numpyvae exercises start d | true
    """
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": root}, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    if Path("/dev/full").exists():
        assert done.stderr == (
            f"numpyvae: standard output cannot be written: {os.strerror(errno.ENOSPC)}\n"
        )
    assert all((tmp_path / name / "ex9_vae.py").exists() for name in "abcd")
