"""Reading a run: its model and its configuration, which must agree."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpyvae.data.untrusted import brief
from numpyvae.history import History
from numpyvae.models import Model
from numpyvae.numerics import Array
from numpyvae.storage import open_npz, parse_description
from numpyvae.validation import memory_for

__all__ = [
    "CONFIG",
    "HISTORY",
    "MODEL",
    "add_seconds",
    "checked_name",
    "file_to_write",
    "in_shell",
    "open_run",
    "open_stopped_run",
    "ranks_of",
    "resume_command",
    "shown",
]

MODEL, CONFIG, HISTORY = "model.npz", "config.json", "history.csv"
MAY_DIFFER = {"data", "versions"}
"""The entries in which config.json may differ from model.npz, because data files get moved."""
CONFIG_BYTES = 2**20
"""The most bytes read of a config.json; or the size of model.npz, which has a copy, if larger."""
HISTORY_BYTES = 1000
"""The most bytes read of history.csv for each epoch."""


def shown(path: str | Path) -> str:
    """A path for a message of one line: line breaks and such are escaped."""
    text = str(Path(path))
    return text if text.isprintable() else ascii(text)


def in_shell(path: str | Path) -> str:
    """A path for a command that is pasted into a shell."""
    text = str(Path(path))
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    escaped = (
        c if c.isprintable() and c not in "\\'" else "".join(f"\\x{b:02x}" for b in os.fsencode(c))
        for c in text
    )
    return f"$'{''.join(escaped)}'"


def resume_command(folder: str | Path, config: Mapping[str, Any]) -> str:
    """The command that goes on with a run, on as many ranks as it has had."""
    n = ranks_of(config)
    return f"{f'mpiexec -n {n} ' * (n > 1)}numpyvae train --resume {in_shell(folder)}"


def ranks_of(config: Mapping[str, Any]) -> int:
    """How many ranks train a run; runs of one process do not say so."""
    ranks: int = config.get("ranks", 1)
    return ranks


def file_to_write(arguments: argparse.Namespace, name: str, suffixes: Sequence[str]) -> Path:
    """--out, which only --overwrite may replace, or `name` in the run's folder, always replaced."""
    path = arguments.out or Path(arguments.run) / name
    return checked_name(path, suffixes, arguments.overwrite or not arguments.out)


def checked_name(name: str | Path, suffixes: Sequence[str], overwrite: bool) -> Path:
    """The path of a file to write; ValueError for another suffix, FileExistsError if it exists."""
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        expected = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{shown(path)}: expected a name that ends in {expected}")
    if path.is_file() and not overwrite:
        raise FileExistsError(f"{shown(path)} exists: add --overwrite to replace it")
    return path


def open_run(folder: str | Path) -> tuple[Model, dict[str, Any]]:
    """The model and the configuration of a run.

    Raises FileNotFoundError if the folder holds no run, and ValueError if model.npz and config.json
    are damaged or come from different runs.
    """
    path, name = Path(folder), shown(folder)
    readable = (path / CONFIG).is_file()
    if not readable and not (path / MODEL).is_file():
        raise FileNotFoundError(f"{name} holds no run: there is no {CONFIG} in it")
    config = _read_config(path) if readable else None
    size = (path / MODEL).stat().st_size if (path / MODEL).is_file() else 0
    with memory_for(f"{name}/{MODEL}", size):
        vae = Model.load(path / MODEL)
    with open_npz(path / MODEL) as saved:
        copy = saved.description.get("run")  # None before version 0.2
    if config is None:  # one moment of `RunFolder.save`
        return vae, _checked(copy, f"{name} is damaged: there is no {CONFIG} in it")
    _compare(name, config["model"], json.loads(json.dumps(vae.config())))
    _compare(name, config, copy or {})
    return vae, config


def open_stopped_run(folder: str | Path) -> tuple[Model, dict[str, Any], Array]:
    """As `open_run`, with the theta of the last epoch if the model has that of its best epoch.

    Raises ValueError for a run that was saved without history and optimiser.
    """
    vae, config = open_run(folder)
    if vae.optimizer is None or len(vae.history) != vae.epochs_trained:
        raise ValueError(
            f"{shown(folder)} cannot be resumed: it was saved without its optimiser "
            "and history, by an older version; train it again"
        )
    add_seconds(vae.history, Path(folder) / HISTORY)
    last = vae.theta
    with open_npz(Path(folder) / MODEL) as saved:
        if "last_theta" in saved:
            last = saved.read("last_theta", last.shape, last.dtype)
    return vae, config, last


def add_seconds(history: History, path: Path) -> None:
    """Give the epochs their times, which only history.csv has, as far as it is readable."""
    with contextlib.suppress(OSError, ValueError, csv.Error), path.open("rb") as file:
        text = file.read(HISTORY_BYTES * (1 + len(history))).decode()
        for record, row in zip(history, csv.DictReader(text.splitlines()), strict=False):
            seconds = float(row.get("seconds") or "nan")
            if row.get("epoch") == str(record["epoch"]) and math.isfinite(seconds):
                record["seconds"] = seconds


def _compare(name: str, config: Mapping[str, Any], of_model: Mapping[str, Any]) -> None:
    """ValueError for the first entry in which the two differ."""
    for key in config:
        if key in of_model and key not in MAY_DIFFER and config[key] != of_model[key]:
            one, other = brief(repr(config[key])), brief(repr(of_model[key]))
            raise ValueError(
                f"{name}: {CONFIG} and {MODEL} are from different runs: {brief(key)} is {one} in "
                f"{CONFIG} and {other} in {MODEL}"
            )


def _read_config(folder: Path) -> dict[str, Any]:
    path, model = folder / CONFIG, folder / MODEL
    problem = f"{shown(path)} is not a run's configuration, or is damaged"
    most = max(CONFIG_BYTES, model.stat().st_size if model.is_file() else 0)
    try:
        with path.open("rb") as file:
            return _checked(parse_description(file.read(most).decode()), problem)
    except ValueError:
        raise ValueError(problem) from None


def _checked(config: Any, problem: str) -> dict[str, Any]:
    expected = {"data": str, "model": dict}
    if not isinstance(config, dict) or any(
        not isinstance(config.get(key), kind) for key, kind in expected.items()
    ):
        raise ValueError(problem)
    if not isinstance(ranks := config.get("ranks", 1), int) or ranks < 1:
        raise ValueError(problem)
    return config
