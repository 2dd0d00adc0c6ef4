"""`numpyvae compare`: runs side by side, a table and a figure of training curves."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpyvae import run_data, runs
from numpyvae.comparison import Run, difference, differing, measure, training_curves, unlike
from numpyvae.data.files import atomic_write
from numpyvae.data.untrusted import brief
from numpyvae.evaluation import standard_error_of_mean
from numpyvae.live_line import LiveLine
from numpyvae.models import Model
from numpyvae.numerics import Array
from numpyvae.rows import n_rows
from numpyvae.run_files import (
    HISTORY,
    add_seconds,
    checked_name,
    open_run,
    ranks_of,
    resume_command,
    shown,
)
from numpyvae.run_labels import data_of
from numpyvae.train_plan import is_unfinished
from numpyvae.validation import counted, memory_for, positive_int

__all__ = ["compare"]

NO_CHOICE = {"classes", "column_names", "data_digest", "data_dim", "dtype", "model", "versions"}
"""What a run's configuration has that nobody chose."""
LONGEST = 40
"""Letters of a setting in the table; the CSV file has all."""
MISSING = "-"


def compare(arguments: argparse.Namespace) -> int:
    """Print what tells runs apart, in their settings and on their test data; draw their curves."""
    figure, table = (
        checked_name(name, (suffix,), arguments.overwrite) if name else None
        for name, suffix in ((arguments.out, ".png"), (arguments.csv, ".csv"))
    )
    _check_folders(arguments.runs)
    opened, notes = _open(arguments)
    if figure:  # before what takes long
        with runs.plain_matplotlib():
            runs.save_figure(training_curves(opened), figure)
    measured = _measured(opened, arguments)
    names = [name for name in differing(measured) if name != "epochs"]  # which have a column
    rows = [_row(run, measured[0], names) for run in measured]
    for line in (*_table(rows, names), *_footnotes(rows), *_unlike(measured), *notes):
        print(line)
    if table:
        with atomic_write(table) as file:
            _write_csv(file, rows)
    for what, path in (("training curves", figure), ("all digits", table)):
        if path:
            print(f"{what}: {shown(path)}")
    return 0


# Opening and measuring.


def _check_folders(folders: Sequence[str]) -> None:
    """ValueError for fewer than two, or for one that is given twice."""
    if len(folders) < 2:
        raise ValueError(f"compare: expected two runs or more, got {len(folders)}")
    seen: dict[Path, str] = {}
    for folder in folders:
        if (path := Path(folder).resolve()) in seen:
            first = seen[path]
            also = f", as {shown(first)}, too" if shown(first) != shown(folder) else ""
            raise ValueError(f"{shown(folder)} is given twice{also}: expected different runs")
        seen[path] = folder


def _open(arguments: argparse.Namespace) -> tuple[list[Run], list[str]]:
    """The runs, not measured yet, and notes on some of them."""
    found: list[Run] = []
    notes = []
    loaded: dict[str, tuple[run_data.RunData, Array, Array | None]] = {}
    for folder in arguments.runs:
        model, config = open_run(folder)
        name, choice = shown(folder), runs.chosen(config)
        key = json.dumps([config["data"], choice])
        if key not in loaded:
            loaded[key] = _test_rows(run_data.load_data(config["data"], **choice), arguments)
        data, x, labels = loaded[key]
        if "data_digest" in config:  # since version 0.2
            remedy = "train anew, or put the data back"
            runs.check_same_data(name, config, shown(config["data"]), data, remedy)
        add_seconds(model.history, Path(folder) / HISTORY)
        tested = data_of(model, x, labels, config.get("classes", ()))
        found.append(Run(name, model, tested, _settings(model, config)))
        if is_unfinished(model, config):
            notes.append(
                f"{name}: {model.epochs_trained} of {config['epochs']} epochs are trained: "
                f"{resume_command(folder, config)} goes on"
            )
    return found, notes


def _test_rows(
    data: run_data.RunData, arguments: argparse.Namespace
) -> tuple[run_data.RunData, Array, Array | None]:
    """The data, and test examples and their labels: all, or --examples of them at random."""
    x, labels = data.test_examples(), data.labels
    if arguments.examples is None or positive_int("--examples", arguments.examples) >= len(x):
        return data, x, labels
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    rows = np.sort(rng.choice(len(x), arguments.examples, replace=False))
    return data, x[rows], None if labels is None else labels[rows]


def _settings(model: Model, config: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen for a run, as text: options of the command, arguments of the model."""
    chosen: dict[str, Any] = {"model": type(model).__name__, "ranks": ranks_of(config)}
    chosen |= {name: getattr(model, name) for name in model.config()}
    chosen |= {name: config[name] for name in config if name not in chosen}
    chosen.pop("model_name", None)
    return {
        name: "none" if value is None else str(value)
        for name, value in chosen.items()
        if name not in NO_CHOICE or name == "model"
    }


def _measured(opened: Sequence[Run], arguments: argparse.Namespace) -> list[Run]:
    """The runs with their numbers; a line shows the progress meanwhile."""
    seed = positive_int("seed", arguments.seed, least=0)
    n_samples = positive_int("n_samples", arguments.samples)
    line, measured = LiveLine(sys.stderr), []
    for k, run in enumerate(opened, 1):
        if line.live:
            line.show(f"measuring {k} of {len(opened)}: {run.name}")
        with np.errstate(all="ignore"), memory_for(f"--samples {n_samples}"):
            measured.append(measure(run, n_samples, seed))
    if line.live:
        line.show(f"{counted(len(opened), 'run')} measured")
        line.close()
    return measured


# What was found, in numbers and in words.


def _row(run: Run, first: Run, names: Sequence[str]) -> dict[str, Any]:
    """One row of the table, numbers with all digits; None for what the run does not have."""
    model, found, history = run.model, run.log_px, run.model.history
    apart = (None, None) if run is first else difference(run, first) or (None, None)
    seconds = history.column("seconds")
    few = None if found is None else int((found.effective_sample_size < 5.0).sum())
    return {
        "run": run.name,
        "test_examples": n_rows(run.data),
        "log_likelihood": None if found is None else float(found.log_likelihood.mean()),
        "standard_error": None if found is None else standard_error_of_mean(found),
        "method": found and found.method,
        "few_effective": few,
        "difference": apart[0],
        "difference_standard_error": apart[1],
        "elbo": run.elbo,
        "active_units": run.active_units,
        "latent_dim": getattr(model, "latent_dim", None),
        "epochs": model.epochs_trained,
        "seconds": float(seconds.sum()) if len(seconds) and np.isfinite(seconds).all() else None,
        **{name: run.settings.get(name) for name in names if name != "latent_dim"},
    }


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """The lines of the table: numbers to the right, words to the left."""
    numbers = "log p(x)", "by", "to the first", "ELBO", "active", "epochs", "seconds"
    cells = [["run", *numbers, *names], *(_cells(row, names) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    last_number = len(numbers)
    yield (
        f"means over {counted(rows[0]['test_examples'], 'test example')}, in nats"
        if len({row["test_examples"] for row in rows}) == 1
        else "means over each run's own test examples, in nats"
    )
    for line in cells:
        padded = (
            f"{cell:>{width}}" if 0 < i <= last_number else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """A row as text."""
    log_px, apart = row["log_likelihood"], row["difference"]
    known = row["active_units"] is not None
    return [
        row["run"],
        MISSING if log_px is None else f"{log_px:.2f} ± {_error(row['standard_error'])}",
        row["method"] or MISSING,
        MISSING if apart is None else f"{apart:+.2f} ± {_error(row['difference_standard_error'])}",
        MISSING if row["elbo"] is None else f"{row['elbo']:.2f}",
        f"{row['active_units']} of {row['latent_dim']}" if known else MISSING,
        str(row["epochs"]),
        MISSING if row["seconds"] is None else f"{row['seconds']:.1f}",
        *(_short(row[name]) for name in names),
    ]


def _error(error: float) -> str:
    """An error with two decimals, never as 0.00."""
    return "<0.01" if error < 0.005 else f"{error:.2f}"


def _short(setting: str | None) -> str:
    """A setting in one cell."""
    text = MISSING if setting is None else brief(setting)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _footnotes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the numbers mean, and which of them are not to be trusted."""
    if any(row["log_likelihood"] is not None for row in rows):
        yield (
            "log p(x) ± the error of its estimate on these examples; "
            "to the first: the difference in log p(x) ± the standard error of its mean, paired "
            "by example"
        )
    if {"quadrature", "refined"} <= {row["method"] for row in rows}:
        yield "refined: a lower bound on log p(x) in expectation, where quadrature gives log p(x)"
    for row in rows:
        name, log_px, few = row["run"], row["log_likelihood"], row["few_effective"]
        if few:
            yield (
                f"{name}: {few} of {row['test_examples']} examples "
                f"ha{'s' if few == 1 else 've'} an effective sample size "
                "below 5, so its log p(x) may be too low by more than its error"
            )
        if not all(math.isfinite(value) for value in (log_px, row["elbo"]) if value is not None):
            yield f"{name}: its parameters give no finite ELBO or log p(x): train it anew"


def _unlike(measured: Sequence[Run]) -> Iterator[str]:
    """Which runs cannot be compared with the first, and which have nothing to compare."""
    first = measured[0]
    for run in measured:
        kind = type(run.model).__name__
        if run.elbo is None:
            yield f"{run.name}: {kind} has no bound on log p(x): it is not a model of x"
        elif run.log_px is None:
            yield f"{run.name}: {kind} has an ELBO, but no estimate of log p(x)"
        if reason := unlike(run, first):
            yield f"{run.name}: its nats cannot be compared with those of {first.name}: {reason}"


def _write_csv(file: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows with all their digits, an empty cell where there is none."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    text.detach()
