"""A run's folder: the old run or the new one at every moment, one writer, nothing left behind."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE, Adam, Gaussian, run_folder
from numpyvae.locking import Lock
from numpyvae.run_files import open_run, shown
from numpyvae.run_folder import RunFolder, next_folder

FILES = {"model.npz", "config.json"}


class Killed(BaseException):
    """No code of ours catches it, as none runs in a process that has been killed."""


class Power:
    """Cut at the n-th change of the file system: that one and all after it do not happen."""

    left = None
    changes = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")

    def __call__(self, event, arguments):
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if self.left is not None and (event in self.changes or writes):
            self.left -= 1
            if self.left < 0:
                raise Killed


power = Power()
sys.addaudithook(power)  # it cannot be removed, but does nothing unless `left` is set


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    yield
    power.left = None


def model(seed=0, latent_dim=2):
    vae = VAE(3, latent_dim, (4,), seed=seed)
    vae.fit(np.eye(3), 1, verbose=False)
    return vae, {"data": f"{seed}.npy", "model": vae.config(), "batch_size": 128}


def write(path, vae, config, **how):
    with RunFolder(path, **how) as folder:
        folder.rehearse(vae, config)
        folder.save(vae, config)
        folder.save(vae, config)


def names(path):
    return {file.name for file in path.iterdir()}


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("existed", ["nothing", "an empty folder", "a run"])
def test_killed_at_any_moment_a_run_is_there_whole_or_not_at_all(existed, tmp_path):
    old, new = model(1), model(2, latent_dim=1)
    seen = set()
    for n in range(1000):
        path = tmp_path / str(n) / "runs" / "a"
        path.parent.parent.mkdir()
        if existed == "a run":
            write(path, *old)
            (path / "samples.png").write_bytes(b"of the old run")
            (path / "notes.txt").write_text("the user's own")
        elif existed == "an empty folder":
            path.mkdir(parents=True)
        power.left = n
        try:
            write(path, *new, overwrite=True)
        except Killed:
            finished = False
        else:
            finished = True
        power.left = None

        try:
            found, config = open_run(path)
        except FileNotFoundError:
            assert existed != "a run"
            assert not path.exists() or not names(path) & FILES
            seen.add("none")
        else:
            expected = next(run for run in (old, new) if run[0].seed == found.seed)
            seen.add("old" if expected is old else "new")
            np.testing.assert_array_equal(found.theta, expected[0].theta)
            assert config["data"] == expected[1]["data"]
            if (path / "samples.png").exists():
                assert expected is old, "a picture of another model"

        if not finished:
            write(path, *old, overwrite=True)
        assert names(path.parent) == {"a"}, "swept up"
        assert names(path) - {"notes.txt"} == FILES
        assert (path / "notes.txt").exists() == (existed == "a run")
        if finished:
            break
    assert n > 8
    assert seen == {"new", "old" if existed == "a run" else "none"}


def test_what_is_not_saved_leaves_no_trace(tmp_path):
    with RunFolder(tmp_path / "x" / "y" / "run") as folder:
        folder.rehearse(*model())
    assert not names(tmp_path)


def test_leftovers_of_another_run_are_swept_up(tmp_path):
    write(tmp_path / "dead", *model())
    (tmp_path / ".dead.numpyvae-lock").write_text("process 1 on elsewhere")
    (tmp_path / ".dead.numpyvae-new").mkdir()
    (tmp_path / "dead" / ".0123456789abcdef.part").touch()
    (tmp_path / "dead" / "my.part").touch()
    with RunFolder(tmp_path / "living"), RunFolder(tmp_path / "other"):
        assert names(tmp_path) == {"dead", ".living.numpyvae-lock", ".other.numpyvae-lock"}
    assert names(tmp_path / "dead") == {*FILES, "my.part"}


def test_one_writer(tmp_path):
    with RunFolder(tmp_path / "run") as first:
        for how in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(BlockingIOError, match=rf"run is being .* process {os.getpid()} on"):
                RunFolder(tmp_path / "run", **how)
        first.save(*model())
        with pytest.raises(BlockingIOError, match="wait for it, or choose another folder"):
            RunFolder(tmp_path / "run", overwrite=True)
    assert open_run(tmp_path / "run")
    RunFolder(tmp_path / "run", overwrite=True).close()
    with pytest.raises(FileExistsError, match="holds a run already: add --overwrite"):
        RunFolder(tmp_path / "run")


def test_a_lock_file_that_its_owner_removes_is_no_lock(tmp_path, monkeypatch):
    """Opened just before the owner removed it and let go: who locks it then has nothing."""
    import numpyvae.locking as locking

    lock_as_always, removed = locking._lock, []

    def remove_first(file):
        if not removed:
            removed.append(True)
            (tmp_path / "lock").unlink()
        lock_as_always(file)

    monkeypatch.setattr(locking, "_lock", remove_first)
    lock = Lock(tmp_path / "lock")
    assert removed
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "lock")
    lock.release()
    assert not names(tmp_path)


def test_config_and_model_must_be_of_one_run(tmp_path):
    for name, run in (("a", model(1)), ("b", model(2))):
        write(tmp_path / name, *run)
    (tmp_path / "a" / "config.json").rename(tmp_path / "b" / "config.json")
    with pytest.raises(ValueError, match=r"not of one run: seed is 1 in config\.json and 2 in"):
        open_run(tmp_path / "b")
    assert open_run(tmp_path / "a")[1]["data"] == "1.npy", "from the copy in the model"
    write(tmp_path / "c", *model(1))
    text = (tmp_path / "c" / "config.json").read_text()
    (tmp_path / "c" / "config.json").write_text(text.replace("128", "64"))
    with pytest.raises(ValueError, match=r"batch_size is 64 in config\.json and 128"):
        open_run(tmp_path / "c")
    (tmp_path / "c" / "config.json").write_text(text.replace("1.npy", "moved.npy"))
    assert open_run(tmp_path / "c")[1]["data"] == "moved.npy"


def test_a_run_of_version_0_1_0_opens(tmp_path):
    """Parameters and description were all that it saved."""
    from numpyvae.storage import write_npz

    vae, config = model()
    vae.save(tmp_path / "model.npz")
    description = {"model": "VAE", "arguments": vae.config(), "epochs_trained": 1}
    write_npz(tmp_path / "model.npz", {"theta": vae.theta}, description)
    (tmp_path / "config.json").write_text(json.dumps(config))
    again, _ = open_run(tmp_path)
    np.testing.assert_array_equal(again.theta, vae.theta)
    assert again.optimizer is None
    assert not again.history


NAMES = ["a[1]*?", "a b", "-a", "line\nbreak", "\u5b57" * 50, "\udcff", "a'b", ".hidden", "50%s{}"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_is_a_pattern_or_an_option(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        with next_folder(f"{name}.npy") as folder:
            assert folder.path == tmp_path / "runs" / f"{name}-{number}"
            folder.save(*model())
            with next_folder(f"{name}.npy") as beside:
                assert beside.path.name == f"{name}-{number + 1}"
    assert "\n" not in shown(f"runs/{name}")
    shown(f"runs/{name}").encode()
    with next_folder("x" * 250 + ".npy") as folder:
        assert folder.path.name == "x" * 200 + "-1"


def test_what_is_in_the_way_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "samples.png").touch()
    (tmp_path / "odd" / "model.npz").mkdir(parents=True)
    for name, error, message in [
        ("file", FileExistsError, "file is a file: expected the name of a folder"),
        ("file/run", OSError, "cannot be written: Not a directory: choose another folder"),
        ("own", FileExistsError, "own holds samples.png, which no run wrote"),
        ("odd", IsADirectoryError, "odd/model.npz is a folder, where a file will be"),
        ("n" * 300, OSError, "cannot be written: File name too long: choose another"),
        ("n" * 250, OSError, "cannot be written: File name too long: choose another"),
    ]:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(error, match=message):
            RunFolder(tmp_path / name)
        assert sorted(tmp_path.rglob("*")) == before

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    for path in (tmp_path / "new", tmp_path / "own"):
        with RunFolder(path, overwrite=True) as folder, pytest.raises(OSError, match="No space"):
            folder.rehearse(*model())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions of Unix")
def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)  # a superuser may write anywhere
    with pytest.raises(PermissionError, match="run cannot be written: Permission denied: choose"):
        RunFolder(tmp_path / "new" / "run")
    monkeypatch.undo()
    assert not names(tmp_path)


def deny_beside(monkeypatch, parent):
    """No file can be made in `parent` itself, as in one that belongs to another user."""
    open_as_always = os.open

    def denied(path, flags, *rest, **how):
        if Path(path).parent == parent and flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return open_as_always(path, flags, *rest, **how)

    monkeypatch.setattr(os, "open", denied)  # a superuser may write anywhere


def test_a_folder_can_be_written_to_where_its_parent_cannot(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    deny_beside(monkeypatch, tmp_path)
    write(tmp_path / "out", *model())
    with RunFolder(tmp_path / "out", resume=True), pytest.raises(BlockingIOError, match="process"):
        RunFolder(tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == FILES
    with pytest.raises(PermissionError, match="new cannot be written: Permission denied: choose"):
        RunFolder(tmp_path / "new")
    assert names(tmp_path) == {"out"}


def test_who_may_write_beside_a_folder_heeds_who_may_not(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    with monkeypatch.context() as patch:
        deny_beside(patch, tmp_path)
        folder = RunFolder(tmp_path / "out")
    with pytest.raises(BlockingIOError, match="out is being written by process"):
        RunFolder(tmp_path / "out")
    (tmp_path / "out" / ".0123456789abcdef.part").touch()
    (tmp_path / ".out.numpyvae-lock").touch()
    with RunFolder(tmp_path / "other"):
        assert ".0123456789abcdef.part" in names(tmp_path / "out"), "of a living process"
    folder.close()
    (tmp_path / ".out.numpyvae-lock").touch()
    with RunFolder(tmp_path / "other"):
        assert not names(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "run")
    write(tmp_path / "link", *model())
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "elsewhere" / "run") == FILES


def test_the_current_folder_can_be_a_run(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write(Path(), *model())
    assert names(tmp_path / "here") == FILES
    assert names(tmp_path) == {"here"}


def test_the_best_parameters_are_in_front_and_the_last_are_kept(tmp_path):
    from numpyvae.run_files import open_stopped_run

    vae, config = model()
    vae.optimizer = vae.optimizer or Adam()
    best = vae.theta + 1
    with RunFolder(tmp_path / "run") as folder:
        folder.save(vae, config, best)
    again, _, last = open_stopped_run(tmp_path / "run")
    np.testing.assert_array_equal(again.theta, best)
    np.testing.assert_array_equal(last, vae.theta)


def test_the_configuration_of_many_columns_opens(tmp_path):
    """Shift and scale of each column are in it, a line each."""
    d = 20_000
    likelihood = Gaussian("shared", np.linspace(0, 1, d) / 3, np.linspace(1, 2, d) / 3)
    vae = VAE(d, 1, (1,), likelihood=likelihood)
    config = {"data": "x.npy", "model": json.loads(json.dumps(vae.config()))}
    write(tmp_path / "run", vae, config)
    assert (tmp_path / "run" / "config.json").stat().st_size > 2**20
    assert open_run(tmp_path / "run")[1] == config


def test_a_configuration_that_cannot_be_written_is_no_lost_run(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    new = model(2)
    with RunFolder(tmp_path / "run") as folder:
        with monkeypatch.context() as patch:

            def full(*_):
                raise OSError(28, "No space left on device")

            patch.setattr(run_folder, "_write_json", full)
            folder.save(*new)
        assert folder.saved
        assert names(tmp_path / "run") >= {"model.npz"}
        assert open_run(tmp_path / "run")[0].seed == 2
        folder.save(*new)
    assert names(tmp_path / "run") == FILES


def test_what_a_hostile_configuration_says_is_quoted_briefly(tmp_path):
    write(tmp_path / "run", *model())
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "batch_size": "x" * 500_000}))
    with pytest.raises(ValueError, match="batch_size is 'xxx") as caught:
        open_run(tmp_path / "run")
    assert len(str(caught.value)) < 1000
