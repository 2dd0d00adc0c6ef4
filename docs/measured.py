"""The table of measured models, docs/models_measured.csv: a row for each model, size and seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "models_measured.csv"
COLUMNS = ("model", "latent_dim", "seed", "test_elbo", "log_px", "seconds", "lines")


def record(model: Any, name: str, latent_dim: int, elbo: float, seconds: float) -> None:
    """Write the row of a run, in place of an earlier one."""
    file = Path(__file__).parents[1] / (type(model).__module__.replace(".", "/") + ".py")
    lines = len(file.read_text(encoding="utf-8").splitlines())
    row = [name, latent_dim, model.seed, f"{elbo:.2f}", "", f"{seconds:.1f}", lines]
    rows = list(csv.reader(TABLE.open())) if TABLE.exists() else [list(COLUMNS)]
    new = [str(value) for value in row]
    rows = [old for old in rows if old[:3] != new[:3]] + [new]
    with TABLE.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
