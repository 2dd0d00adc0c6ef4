"""`numpyvae train` on several ranks: rank 0 is the command, the others are silent."""

import contextlib
import os
import signal
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from fake_mpi import Ranks
from saved_files import rewritten

from numpyvae import cli, train_command, train_ranks
from numpyvae.interrupts import Interrupts
from numpyvae.ranks import RANKS, SIZES, n_ranks, own_rank
from numpyvae.run_files import open_run

SMALL = ["--data", "x.npy", "--hidden-dims", "4", "--batch-size", "16"]


@pytest.fixture(autouse=True)
def here(quick_runs, monkeypatch):
    """Where to train; no launcher."""
    for name in (*RANKS, *SIZES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def train(monkeypatch):
    """train(size, *arguments): by rank the exit code, what was said, and what failed."""
    local = threading.local()
    monkeypatch.setattr(
        train_command, "communicator", lambda: local.comm if local.comm.size > 1 else None
    )

    def on_rank(comm, arguments):
        local.comm = comm
        parsed = cli._parser(cli._model_of(arguments)).parse_args(arguments)
        given = {k: v for k, v in vars(parsed).items() if k in parsed.defaults}
        said, failed = [], []

        def fail(error, addition=""):
            failed.append(f"{error}{addition}")
            return 2

        console = train_command.Console(said.append, fail)
        try:
            code = train_command.train(given, parsed.defaults, console)
        except (OSError, TypeError, ValueError) as error:
            code = fail(error)
        return code, "\n".join(said), "\n".join(failed)

    def train(size, *arguments, out="run"):
        where = [] if "--resume" in arguments else [*SMALL, "--out", out]
        return Ranks(size, patience=60.0).run(
            lambda comm: on_rank(comm, ["train", *where, *arguments])
        )

    return train


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def without_times(files):
    return {name: content for name, content in files.items() if name != "history.csv"}


def test_two_ranks_write_one_run_and_rank_0_speaks(train, capsys):
    first, second = train(2, "--epochs", "3")
    assert first[0] == 0
    assert "40 examples of dimension 3 to train on" in first[1]
    assert "Learned in 3 epochs" in first[1]
    assert second == (0, "", "")
    assert len(capsys.readouterr().out.splitlines()) == 3, "one line of progress an epoch"
    assert {*files("run")} == {"model.npz", "config.json", "history.csv"}
    assert open_run("run")[0].epochs_trained == 3
    train(2, "--epochs", "3", out="again")
    assert without_times(files("again")) == without_times(files("run"))


def test_going_on_gives_the_bits_of_never_having_stopped(train):
    train(2, "--epochs", "5", out="whole")
    train(2, "--epochs", "2")
    assert train(2, "--resume", "run", "--epochs", "5")[0][0] == 0
    assert without_times(files("run")) == without_times(files("whole"))


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (2, 1, "2 ranks, and on 1 it would become another model: mpiexec -n 2 numpyvae train "
               "--resume run goes on"),
        (1, 2, "1 rank, and on 2 it would become another model: numpyvae train --resume run "
               "without mpiexec goes on"),
        (3, 2, "3 ranks, and on 2 it would become another model: mpiexec -n 3 numpyvae train "
               "--resume run goes on"),
    ],
)  # fmt: skip
def test_a_run_goes_on_on_as_many_ranks_as_before(before, now, message, train):
    train(before, "--epochs", "1")
    kept = files("run")
    first, *others = train(now, "--resume", "run", "--epochs", "2")
    assert first == (2, "", f"run was trained on {message}")
    assert others == [(0, "", "")] * (now - 1)
    assert files("run") == kept


def test_the_number_of_ranks_is_recorded_where_there_are_several(train):
    for n in (1, 2):
        train(n, "--epochs", "1", out=f"on{n}")
    assert "ranks" not in open_run("on1")[1], "its files are what they were before there were ranks"
    assert open_run("on2")[1]["ranks"] == 2
    train(2, "--resume", "on2", "--epochs", "2")
    assert open_run("on2")[1]["ranks"] == 2


def test_the_command_that_goes_on_names_the_ranks(train, capsys):
    train(2, "--epochs", "2")
    rewritten("run", epochs=9)
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--samples", "5"]) == 0
    assert "\n2 of 9 epochs are trained: mpiexec -n 2 numpyvae train --resume run goes on\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("ranks", ["2", 0, -1, None, [2]])
def test_a_number_of_ranks_that_cannot_be_is_damage(ranks, train, capsys):
    train(1, "--epochs", "1")
    rewritten("run", ranks=ranks)
    assert cli.main(["evaluate", "run"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("run/config.json is not a run's configuration, or is damaged\n")


def test_labels_and_early_stopping(train, rng):
    np.savez("xy.npz", x_train=rng.integers(0, 2, (40, 3)), y_train=np.arange(40) % 2,
             x_test=rng.integers(0, 2, (9, 3)), y_test=np.arange(9) % 2)  # fmt: skip
    (code, said, failed), second = train(
        2, "--data", "xy.npz", "--model", "ConditionalVAE",
        "--epochs", "200", "--early-stopping", "1", "--keep-best",
    )  # fmt: skip
    assert (code, failed, second) == (0, "", (0, "", ""))
    assert "Early stopping" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--data", "none.npy"], "none.npy: no such file"),
        (["--model", "VectorQuantizedVAE"], "cannot be trained on several ranks: besides theta"),
        (["--learning-rate", "1e30"], "training diverged at epoch 1"),
    ],
)
def test_what_is_wrong_is_said_once_and_nothing_is_written(arguments, message, train):
    first, second = train(2, *arguments)
    assert first[0] == 2
    assert message in first[2]
    assert second == (0, "", "")
    assert {path.name for path in Path().iterdir()} == {"x.npy"}


def test_a_folder_that_is_taken_stops_all_ranks(train):
    train(1, "--epochs", "1")
    before = files("run")
    first, second = train(2, "--epochs", "1")
    assert first[2] == "run holds a run already: add --overwrite to replace it"
    assert second == (0, "", "")
    assert files("run") == before


def test_rank_0_says_what_another_could_not_do(train, monkeypatch):
    """A file that is not there on another machine."""

    def no_file(options):
        raise FileNotFoundError("x.npy: no such file")

    monkeypatch.setattr(train_ranks, "new_plan", no_file)
    first, second = train(2)
    assert first == (2, "", "on rank 1 of 2: FileNotFoundError: x.npy: no such file")
    assert second == (0, "", "")
    assert not Path("run").exists()


def test_parameters_that_part_leave_the_last_good_epoch_on_disk(train, monkeypatch):
    """Rank 1 is struck in its third epoch."""
    step = train_command.Trainer.__call__

    def strike(trainer, callbacks):
        def part(model, record):
            if record["epoch"] == 2:
                model.theta[0] += 1e-3

        step(trainer, [*callbacks, *[part] * trainer.comm.rank])

    monkeypatch.setattr(train_command.Trainer, "__call__", strike)
    first, second = train(2, "--epochs", "9")
    assert first[0] == 2
    assert "in epoch 3 the parameters of rank 1 became different" in first[2]
    assert first[2].endswith("What was learned in 2 epochs is in run.")
    assert second == (0, "", "")
    assert open_run("run")[0].epochs_trained == 2


def test_a_rank_that_is_gone_is_said_in_one_line(train, monkeypatch, capsys):
    """MPI's exception is here that of a barrier which the second rank breaks after two epochs."""
    step, at_exit = train_command.Trainer.__call__, []
    module = types.SimpleNamespace(Exception=threading.BrokenBarrierError)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", module)
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))

    def die(trainer, callbacks):
        def end(model, record):
            if record["epoch"] == 2:
                trainer.comm.job.barrier.abort()

        step(trainer, [*callbacks, *[end] * trainer.comm.rank])

    monkeypatch.setattr(train_command.Trainer, "__call__", die)
    first, second = train(2, "--epochs", "9")
    epochs = open_run("run")[0].epochs_trained
    assert epochs in (1, 2)
    assert first[2] == (
        f"another rank has ended after {epochs} epoch{'s' * (epochs - 1)}: the model is in run/, "
        "no pictures were drawn. mpiexec -n 2 numpyvae train --resume run goes on."
    )
    assert first[0] != 0
    assert second == (0, "", "")
    assert "Traceback" not in capsys.readouterr().err
    assert at_exit == [(os._exit, 1)] * 2, "MPI_Finalize would wait for the dead"


def test_a_rank_that_is_gone_before_the_training(train, monkeypatch):
    module = types.SimpleNamespace(Exception=threading.BrokenBarrierError)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", module)
    monkeypatch.setattr("atexit.register", lambda *call: None)

    def die(self, value):
        self.job.barrier.abort()
        raise threading.BrokenBarrierError

    monkeypatch.setattr("fake_mpi.Rank.bcast", die)
    assert train(2) == [(2, "", "another rank has ended"), (0, "", "")]
    assert not Path("run").exists()


def test_a_signal_while_another_rank_prepares_ends_all(train, monkeypatch):
    """Rank 0 waits for it and must not leave alone: the others would wait for ever."""
    of_all_ranks, new_plan = [], train_ranks.new_plan

    class Known(Interrupts):
        def __init__(self):
            super().__init__()
            of_all_ranks.append(self)

    def interrupted(options):
        for interrupts in of_all_ranks:  # as Ctrl-C does
            interrupts._handle(signal.SIGTERM, None)
        return new_plan(options)

    monkeypatch.setattr(train_command, "Interrupts", Known)
    monkeypatch.setattr(train_ranks, "new_plan", interrupted)
    first, second = train(2, "--epochs", "3")
    assert first[0] == 143
    assert first[1].endswith("nothing was learned, and nothing was written.")
    assert second == (0, "", "")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "arguments", [["evaluate", "none"], ["evaluate", "--nonsense"], ["--help"]]
)
def test_one_rank_speaks_for_all(arguments, monkeypatch, capsys):
    def said(rank):
        monkeypatch.setenv("PMI_RANK", str(rank))
        with contextlib.suppress(SystemExit):
            cli.main(arguments)
        return "".join(capsys.readouterr())

    assert said(0)
    assert said(1) == ""


def test_a_rank_that_is_no_number_is_none(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "one")
    assert own_rank() == 0


# Who has started this process.


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 0)),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, (4, 3)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMIX_RANK": "1"}, (2, 1)),
        ({"PMIX_RANK": "5", "SLURM_STEP_NUM_TASKS": "8"}, (8, 5)),
        ({"PMIX_RANK": "2"}, (0, 2)),  # it does not say how many
        ({"SLURM_STEP_NUM_TASKS": "8"}, (1, 0)),  # copies of a command, which know no MPI
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, (1, 0)),
    ],
)
def test_the_launcher_says_how_many_ranks_there_are(environment, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (n_ranks(), own_rank()) == expected


@pytest.fixture
def launched(monkeypatch, capsys):
    """launched(rank): the exit code and error of the command as that rank of two."""

    def launched(rank):
        monkeypatch.setenv("PMI_SIZE", "2")
        monkeypatch.setenv("PMI_RANK", str(rank))
        code = cli.main(["train", *SMALL, "--out", "run"])
        out, err = capsys.readouterr()
        assert out == ""
        assert {path.name for path in Path().iterdir()} == {"x.npy"}
        return code, err

    return launched


def test_ranks_without_mpi4py_do_not_train_two_runs_into_one_folder(launched, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    code, err = launched(0)
    assert code == 2
    assert err.startswith("numpyvae: training on several ranks needs mpi4py and an MPI (")
    assert err.endswith('): python -m pip install "numpyvae[mpi]" mpich\n')
    assert launched(1) == (0, "")


def test_an_mpiexec_of_another_mpi_is_noticed(launched, monkeypatch):
    mpi4py = types.ModuleType("mpi4py")
    mpi4py.MPI = types.SimpleNamespace(
        COMM_WORLD=types.SimpleNamespace(size=1, rank=0),
        Get_library_version=lambda: "Some MPI v5\nand more",
    )
    monkeypatch.setitem(sys.modules, "mpi4py", mpi4py)
    code, err = launched(0)
    assert code == 2
    assert err == (
        "numpyvae: mpiexec has started 2 processes, but each is alone in the MPI of mpi4py "
        "(Some MPI v5): use the mpiexec of that MPI\n"
    )
    assert launched(1) == (0, "")


def test_a_single_rank_needs_no_mpi(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "1")
    monkeypatch.setenv("PMI_RANK", "0")
    assert cli.main(["train", *SMALL, "--epochs", "1", "--out", "run"]) == 0
