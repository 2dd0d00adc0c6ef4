"""The folder of a run: it holds a whole run or none, however and whenever the process ends.

`model.npz` is the run. It holds the parameters, all that resuming needs, and a copy of config.json.
It is only ever replaced as a whole, by renaming, so at every moment the folder holds the old run or
the new one. All other files (config.json, history.csv, pictures) follow from it: they are removed
before model.npz is replaced, and written again afterwards.

A new folder is made under a temporary name and renamed when there is a run in it. Only one process
writes: it holds a lock beside the folder and one in it, which the system frees if the process is
killed; the next process that writes here removes what was left.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from numpyvae.data.files import atomic_write
from numpyvae.explore import PAGE
from numpyvae.locking import Lock
from numpyvae.models import Model
from numpyvae.numerics import Array
from numpyvae.run_files import CONFIG, HISTORY, MODEL, shown
from numpyvae.storage import write_npz

__all__ = ["PICTURES", "RunFolder", "next_folder"]

PICTURES = (
    *(f"{name}.png" for name in ("learning_curves", "reconstructions", "samples", "latent_space")),
    *("manifold.png", "film.png", "film.gif", PAGE),
)
FILES = (MODEL, CONFIG, HISTORY, *PICTURES)
SAMPLES = re.compile(r"samples_seed\d+\.png")
"""The files that `numpyvae sample` writes into a run's folder."""
PART = re.compile(r"\.[0-9a-f]{16}\.part")
"""What `atomic_write` leaves behind if it is killed."""
LOCK, NEW = ".numpyvae-lock", ".numpyvae-new"
LONGEST_NAME = 200
"""The longest name, in bytes, that leaves room for these endings; file systems allow 255."""


class RunFolder:
    """The right to write a run to `path`, until the `with` block ends.

    A folder that holds a run is only written to with `overwrite` or `resume`; files in it that do
    not belong to a run are left alone. If the block saves nothing, nothing is left behind.

    Raises BlockingIOError if another process writes there, FileExistsError if something is in the
    way, and any other OSError of a place that cannot be written to.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, resume: bool = False) -> None:
        self.given, self.name = path, shown(path)
        self.path = Path(os.path.realpath(path))  # through a link, or else it would be replaced
        self.saved = False
        """Whether the run in the folder is this one."""
        self._made: list[Path] = []
        if not self.path.name:
            raise ValueError(f"{self.name}: expected the name of a folder")
        try:
            self._make_parents()
            self._locks = _locks(self.path)
        except OSError as error:
            self._remove_parents()
            raise self._refusal(error) from None
        try:
            self._check_contents(overwrite or resume)
            _sweep(self.path)
            _sweep_after_the_dead(self.path.parent)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was not saved, and release the locks."""
        try:
            shutil.rmtree(_beside(self.path, NEW), ignore_errors=True)
        finally:
            self._locks.close()
        self._remove_parents()

    def rehearse(self, vae: Model, config: dict[str, Any]) -> None:
        """Try to write what `save` will write, and remove it again; OSError if that fails."""
        try:
            if self.path.is_dir():
                part = self._part()
                self._write_model(part, vae, config, None)
                part.unlink()
            else:
                self._write_new(vae, config, None)
        except OSError as error:
            raise self._refusal(error) from None

    def save(self, vae: Model, config: dict[str, Any], best: Array | None = None) -> None:
        """Make `vae` the run in the folder, with `best` as its theta if given.

        If this is cut short, the folder holds either the old run or the new one.
        """
        if not self.path.is_dir():
            self._write_new(vae, config, best)
            _beside(self.path, NEW).rename(self.path)
            _sync(self.path.parent)
        else:
            part = self._part()
            try:
                self._write_model(part, vae, config, best)
                if not self.saved:  # of another run, or of an earlier epoch
                    for name in sorted(self._files(), key=CONFIG.__eq__):  # config.json last
                        if name != MODEL:
                            (self.path / name).unlink()
                part.replace(self.path / MODEL)
            finally:
                part.unlink(missing_ok=True)
            self.saved = True
            if not (self.path / CONFIG).exists():
                with contextlib.suppress(OSError):  # model.npz has a copy
                    _write_json(self.path / CONFIG, config)
            _sync(self.path)
        self.saved = True

    def _write_new(self, vae: Model, config: dict[str, Any], best: Array | None) -> None:
        """Write the whole run into a temporary folder beside its place."""
        new = _beside(self.path, NEW)
        new.mkdir(exist_ok=True)
        self._write_model(new / MODEL, vae, config, best)
        _write_json(new / CONFIG, config)
        _sync(new)

    def _write_model(
        self, path: Path, vae: Model, config: dict[str, Any], best: Array | None
    ) -> None:
        """As `vae.save`, with the configuration, and without times: one seed gives one file."""
        arrays, description = vae.contents()
        if "history" in description:
            timeless = [name != "seconds" for name in description["history"]]
            arrays["history"] = arrays["history"][:, timeless]
            description["history"] = [n for n in description["history"] if n != "seconds"]
        if best is not None:
            arrays = {**arrays, "theta": best, "last_theta": arrays["theta"]}
        write_npz(path, arrays, {**description, "run": config})

    def _part(self) -> Path:
        return self.path / f".{os.urandom(8).hex()}.part"

    def _files(self) -> list[str]:
        """The names in the folder that belong to a run."""
        found = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        return [name for name in found if name in FILES or SAMPLES.fullmatch(name)]

    def _check_contents(self, may_replace: bool) -> None:
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise FileExistsError(f"{self.name} is a file: expected the name of a folder")
        files = self._files()
        for name in files:
            if (self.path / name).is_dir():
                raise IsADirectoryError(f"{self.name}/{name} is a folder, where a file will be")
        if files and not may_replace:
            if MODEL in files or CONFIG in files:
                raise FileExistsError(
                    f"{self.name} holds a run already: add --overwrite to replace it"
                )
            raise FileExistsError(
                f"{self.name} holds {files[0]}, which no run wrote and this one would replace: "
                "choose another folder, or add --overwrite"
            )

    def _refusal(self, error: OSError) -> OSError:
        """What is in the way, and what to do."""
        if isinstance(error, BlockingIOError):
            text = f"{self.name} is being written by {error}: wait for it, or choose another folder"
        else:
            reason = error.strerror or str(error)
            text = f"{self.name} cannot be written: {reason}: choose another folder"
        return type(error)(text)

    def _make_parents(self) -> None:
        missing = itertools.takewhile(lambda parent: not parent.exists(), self.path.parents)
        for parent in reversed(list(missing)):
            parent.mkdir(exist_ok=True)
            self._made.insert(0, parent)

    def _remove_parents(self) -> None:
        for parent in self._made:
            with contextlib.suppress(OSError):  # there is something in it
                parent.rmdir()


def next_folder(source: str) -> RunFolder:
    """The first free one of runs/NAME-1, runs/NAME-2, ..., NAME being that of the data."""
    name = Path(source).stem
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = os.fsencode(name)[:LONGEST_NAME].decode(errors="ignore")
    for number in itertools.count(1):
        path = Path("runs") / f"{name}-{number}"
        if not os.path.lexists(path):
            with contextlib.suppress(BlockingIOError, FileExistsError):  # another was faster
                return RunFolder(path)
    raise AssertionError


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def _sync(folder: Path) -> None:
    """Make names in a folder survive a loss of power, where the system allows it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}{ending}")


def _locks(path: Path) -> contextlib.ExitStack:
    """The right to write to `path`: a lock beside it and, if it is a folder, one in it.

    The lock beside the folder protects its creation. If the parent is not writable (a mounted
    volume), there is only the lock in the folder.
    """
    with contextlib.ExitStack() as locks:
        try:
            locks.callback(Lock(_beside(path, LOCK)).release)
        except OSError as error:
            if isinstance(error, BlockingIOError) or not path.is_dir():
                raise
        if path.is_dir():
            locks.callback(Lock(path / LOCK).release)
        return locks.pop_all()


def _sweep(path: Path) -> None:
    """Remove what a killed process has left; the lock shows that no other process writes."""
    shutil.rmtree(_beside(path, NEW), ignore_errors=True)
    for file in path.iterdir() if path.is_dir() else ():
        if PART.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _sweep_after_the_dead(parent: Path) -> None:
    """The same for runs of other names whose locks are free."""
    with contextlib.suppress(OSError):  # a parent that cannot be listed
        for file in list(parent.iterdir()):
            if file.name.startswith(".") and file.name.endswith(LOCK) and file.name != LOCK:
                path = file.with_name(file.name[1 : -len(LOCK)])
                with contextlib.suppress(OSError), _locks(path):  # unless somebody holds them
                    _sweep(path)
