"""The recipes of docs/many_runs.md do what the page says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "many_runs.md").read_text(
    encoding="utf-8"
)
SWEEP = [f"latent{latent_dim}-seed{seed}" for latent_dim in (2, 8) for seed in range(3)]


def snippet(kind):
    return re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.M | re.S)[1]


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """Runs the page's script, changed; its exit code and what it printed.

    In this process, as a test may leave no others: `n_jobs` decides where, and nothing else.
    """
    pytest.importorskip("joblib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # as the page does, and undone
    monkeypatch.setattr("numpyvae.runs._pictures", lambda vae, data: {})
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def run(**changes):
        text = snippet("python")
        for old, new in {"n_jobs=2": "n_jobs=1", **changes}.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        with pytest.raises(SystemExit) as stop:
            exec(compile(text, "the page's sweep.py", "exec"), {"__name__": "__main__"})
        return stop.value.code, capsys.readouterr()

    return run


def test_joblib_trains_each_run_in_its_folder_and_goes_on(sweep, sketches):
    """The second time they are done already, the third time they have one more epoch."""
    for epochs in "112":
        code, said = sweep(**{'"100"': f'"{epochs}"'})
        codes = ", ".join(f"({latent}, {seed}): 0" for latent in (2, 8) for seed in range(3))
        assert (code, said.out) == (0, f"exit codes, 0 for done: {{{codes}}}\n")
    assert sorted(p.name for p in Path("runs").iterdir() if p.is_dir()) == SWEEP
    vae = VAE.load("runs/latent8-seed2/model.npz")
    assert (vae.latent_dim, vae.seed, vae.epochs_trained) == (8, 2, 2)
    log = Path("runs/latent8-seed2.log").read_text()
    for said in ("Learned in 1 epoch (", "Nothing left to train", "Learned in 1 more epoch, 2 in"):
        assert log.count(said) == 1
    assert not np.array_equal(vae.theta, VAE.load("runs/latent8-seed1/model.npz").theta)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("--epochs", "--no-such-option", "unrecognized arguments: --no-such-option"),
        ('"100"', '"0"', "--epochs must be at least 1, got 0"),
    ],
)
def test_a_run_that_fails_says_why_in_its_log_and_stops_no_other(sweep, old, new, reason):
    code, said = sweep(**{old: new})
    assert (code, said.err) == (2, "")
    assert said.out.count("): 2") == len(SWEEP)
    for name in SWEEP:
        assert reason in Path(f"runs/{name}.log").read_text()


@pytest.mark.skipif(not shutil.which("sh"), reason="there is no shell")
def test_the_job_array_covers_the_sweep_and_goes_on(tmp_path):
    """With a `numpyvae` that says how it was called, and Slurm's number of the job."""
    script, stub = tmp_path / "sweep.sh", tmp_path / "bin" / "numpyvae"
    script.write_text(snippet("sh"))
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\necho "$OPENBLAS_NUM_THREADS $@"\n')
    stub.chmod(0o755)

    def job(number):
        path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "SLURM_ARRAY_TASK_ID": str(number)}
        done = subprocess.run(
            ["sh", "-eu", str(script)], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()

    first, last = map(int, re.search(r"#SBATCH --array=(\d+)-(\d+)", script.read_text()).groups())
    said = [job(number) for number in range(first, last + 1)]
    assert said == [
        f"1 train --latent-dim {name[6]} --seed {name[-1]} --out runs/{name} --epochs 100"
        for name in SWEEP
    ]
    for name in SWEEP[4:5]:
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "model.npz").touch()
    assert job(4) == f"1 train --resume runs/{SWEEP[4]} --epochs 100"
