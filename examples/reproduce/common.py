"""What the reproductions share: data, a training loop that can be resumed, the table.

Not a script: the others in this folder import it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import runpy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae import Adam
from numpyvae.data import load_mnist, minibatches
from numpyvae.rows import Data, n_rows
from numpyvae.storage import open_npz, write_npz


class Row(NamedTuple):
    """One line of the table. `tolerance` is a number about `published`, or an upper limit."""

    quantity: str
    published: float | None
    measured: float | None
    tolerance: float
    kind: str = "within"  # |measured - published| <= tolerance, or "below": measured <= tolerance


def verdict(row: Row) -> str:
    """'reproduced', 'missed', or 'not run' (nothing measured). A NaN is a miss."""
    if row.measured is None:
        return "not run"
    if row.kind == "below":
        held = row.measured <= row.tolerance
    elif row.kind == "within" and row.published is not None:
        held = abs(row.measured - row.published) <= row.tolerance
    else:
        raise ValueError(f"a row is 'within' of a published number or 'below' a limit: {row}")
    return "reproduced" if held else "missed"


def table(rows: Sequence[Row]) -> str:
    """The rows under the heading published | measured | tolerance | verdict."""
    cells = [("quantity", "published", "measured", "tolerance", "verdict")]
    for row in rows:
        sign = "<=" if row.kind == "below" else "+-"
        limit = f"{sign} {_number(row.tolerance)}"
        cells.append(
            (row.quantity, _number(row.published), _number(row.measured), limit, verdict(row))
        )
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def arguments(
    description: str | None,
    *,
    checkpoints: bool = True,
    least: Mapping[str, int] | None = None,
    **counts: int,
) -> argparse.ArgumentParser:
    """A parser with --NAME for each of the counts, and their defaults.

    Args:
        checkpoints: whether there is a --work, where they go.
        least: the smallest value of a count, if that is not 1.
    """
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if checkpoints:
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        parser.add_argument(
            "--work",
            type=Path,
            default=cache / "numpyvae" / "reproduce",
            help="folder for checkpoints (default: %(default)s)",
        )
    for name, default in counts.items():
        at_least = _at_least((least or {}).get(name, 1))
        parser.add_argument(f"--{name.replace('_', '-')}", type=at_least, default=default)
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    """What makes a count of an argument's text."""

    def count(text: str) -> int:
        with contextlib.suppress(ValueError):
            if int(text) >= least:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number, at least {least}, got {text}")

    return count


def run(main: Callable[[], None], checkpoints: bool = True) -> None:
    """`main`, as a script; Ctrl-C ends it with one line and the usual exit code."""
    try:
        main()
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from the last checkpoint, if there is one"
        print(f"interrupted{goes_on if checkpoints else ''}", file=sys.stderr)
        raise SystemExit(130) from None


def example(number: str) -> dict[str, Any]:
    """The functions of examples/NUMBER_*.py, by name; its `main` is not run."""
    (path,) = Path(__file__).resolve().parents[1].glob(f"{number}_*.py")
    return runpy.run_path(str(path))


def mnist_or_none():
    """MNIST, downloaded if need be; None, after saying why, when it cannot be had."""
    try:
        return load_mnist()
    except (OSError, ValueError) as error:
        folder = os.environ.get("NUMPYVAE_DATA")
        nor = f", not in {folder} (NUMPYVAE_DATA) either" if folder else ""
        print(f"Skipped, MNIST is not at hand{nor}: {error}")
        return None


def cosine(first: float, last: float) -> Callable[[float], float]:
    """The learning rate at a fraction of the training, falling from `first` to `last`."""
    return lambda done: last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * done))


def train(
    model,
    x: np.ndarray,
    epochs: int,
    batch_size: int,
    schedule: Callable[[float], float],
    checkpoint: Path | None = None,
    transform: Callable[..., np.ndarray] | None = None,
    measure: Callable[[], dict[str, float]] | None = None,
    every: int = 1,
    stop_after: int | None = None,
    weight_decay: float = 0.0,
    with_more: Callable[[np.ndarray, np.random.Generator], Data] | None = None,
) -> list[dict[str, float]]:
    """Adam on `model.loss` for `epochs` passes over x; one record for each `every` of them.

    Written out, instead of calling `model.fit`, for three reasons: a learning rate that changes
    with every step, pixels between 0 and 1 under the cross-entropy (which is not a likelihood of
    them, so `fit` refuses), and a checkpoint of parameters and optimiser, from which a second call
    continues to the same bits as if the first had never stopped.

    Args:
        schedule: fraction of all steps done, in [0, 1) -> learning rate.
        checkpoint: file written every `every` epochs; if it exists, training resumes from it.
        transform: applied to each minibatch, as in `fit`.
        measure: returns what to record about the model, every `every` epochs.
        stop_after: leave after this epoch, as if interrupted.
        weight_decay: decoupled from the gradient, see `Adam`.
        with_more: `with_more(minibatch, rng)` makes the data of a step, if that is more than x.
    """
    optimizer = Adam(weight_decay=weight_decay)
    steps = math.ceil(len(x) / batch_size)
    plan = {"model": model.config(), "epochs": epochs, "batch_size": batch_size}
    plan |= {"weight_decay": weight_decay} if weight_decay else {}
    plan["rates"] = [schedule(0.0), schedule(0.5)]
    records = _resume(model, optimizer, checkpoint, plan)
    grad = np.empty_like(model.theta)
    started = time.perf_counter()
    for epoch in range(records[-1]["epoch"] + 1 if records else 1, epochs + 1):
        total, rng = 0.0, np.random.default_rng([model.seed, epoch])
        for batch in minibatches(x, batch_size, rng, transform):
            optimizer.learning_rate = schedule(optimizer.n_steps / (epochs * steps))
            data = batch if with_more is None else with_more(batch, rng)
            noise = model.draw_noise(rng, n_rows(data))
            loss, _ = model.loss_and_grad(model.theta, data, noise, out=grad)
            optimizer.step(model.theta, grad)
            total += float(loss) * len(batch)
        if not math.isfinite(total):
            raise FloatingPointError(f"the loss diverged in epoch {epoch}")
        if epoch % every == 0 or epoch in (epochs, stop_after):
            took, started = time.perf_counter() - started, time.perf_counter()
            record = {"epoch": epoch, "loss": total / len(x), "seconds": took}
            record.update(measure() if measure else {})
            records.append(record)
            ahead = seconds(records) / epoch * (epochs - epoch)
            said = ", ".join(f"{k} {v:.5g}" for k, v in record.items())
            print(f"  {said}, {ahead / 60:.0f} min left", flush=True)
            _save(model, optimizer, checkpoint, {"plan": plan, "records": records})
        if epoch == stop_after:
            break
    return records


def _save(model, optimizer, checkpoint: Path | None, description: dict) -> None:
    if checkpoint is not None:
        state = {f"optimizer.{name}": value for name, value in optimizer.state().items()}
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        write_npz(checkpoint, {"theta": model.theta, **state}, description)


def _resume(model, optimizer, checkpoint: Path | None, plan: dict) -> list[dict[str, float]]:
    """Load the checkpoint, if there is one, into model and optimiser; its records."""
    if checkpoint is None or not checkpoint.exists():
        return []
    with open_npz(checkpoint) as saved:
        arrays, description = {name: saved.read(name) for name in saved}, saved.description
    if description.get("plan") != plan:
        raise ValueError(f"{checkpoint} is from another training: move it away, or use --work")
    model.theta[...] = arrays.pop("theta")
    optimizer.load_state({k.removeprefix("optimizer."): v for k, v in arrays.items()})
    records: list[dict[str, float]] = description["records"]
    print(f"  resumed {checkpoint.name} after epoch {records[-1]['epoch']}")
    return records


def seconds(records: Sequence[dict[str, float]]) -> float:
    """How long the epochs took, including those before a restart."""
    return sum(record["seconds"] for record in records)


def rows_with_moments(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """D + 1 rows (D + 1, D) with exactly this mean (D,) and covariance (D, D).

    The expected loss of a linear model under squared error depends on the data only through these
    two, so training on the D + 1 rows equals training on all the data.
    """
    n = len(mean) + 1
    ones_first = np.column_stack([np.ones(n), np.eye(n, n - 1)])
    q = np.linalg.qr(ones_first)[0][:, 1:]  # (n, D): orthonormal columns, each of sum zero
    variances, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(np.maximum(variances, 0.0))) @ axes.T
    return mean + math.sqrt(n) * (q @ root)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D), float64, of uint8 images scaled to [0, 1]."""
    mean, second = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), 5000):
        part = x[start : start + 5000] / 255.0
        mean += part.sum(axis=0) / len(x)
        second += part.T @ part / len(x)
    return mean, second - np.outer(mean, mean)


FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"
