"""What a model's file keeps beside theta, so that training resumes as if it had never stopped.

This is the history, and the optimiser with its moments. It needs no state of a generator, because
the order and noise of an epoch come from its number (see `training.fit`).
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from numpyvae.data.untrusted import brief
from numpyvae.history import History
from numpyvae.numerics import Array
from numpyvae.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    Momentum,
    Optimizer,
    optimizer_from_config,
)
from numpyvae.storage import Saved

__all__ = ["load_training", "training_state"]

PREFIX = "optimizer."


def training_state(
    history: History, optimizer: Optimizer | None
) -> tuple[dict[str, Array], dict[str, Any]]:
    """History and optimiser: arrays by name, and a description for JSON.

    The history keeps its numbers, but nothing else that a callback has put there. An optimiser is
    kept if it is one of this package.
    """
    arrays: dict[str, Array] = {}
    description: dict[str, Any] = {}
    if history:
        names = [
            n for n in history.names() if all(isinstance(r.get(n, 0.0), Real) for r in history)
        ]
        arrays["history"] = np.array([history.column(n) for n in names], float).T  # (epochs, names)
        description["history"] = names
    if isinstance(optimizer, SGD | Momentum | Adam) and type(optimizer) in OPTIMIZERS.values():
        description["optimizer"] = optimizer.config()
        arrays.update({PREFIX + name: array for name, array in optimizer.state().items()})
    return arrays, description


def load_training(saved: Saved, theta: Array) -> tuple[History, Optimizer | None]:
    """What `training_state` described; an empty history and None if the file has neither.

    Raises ValueError if arrays, description and theta (P,) do not fit together.
    """
    try:
        return _history(saved), _optimizer(saved, theta)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{saved.name}: not the state of a training: {brief(error)}") from error


def _optimizer(saved: Saved, theta: Array) -> Optimizer | None:
    if "optimizer" not in saved.description:
        return None
    optimizer = optimizer_from_config(saved.description["optimizer"])
    state = {}
    for name in saved:
        if name.startswith(PREFIX):
            like = np.array(0, np.int64) if name == f"{PREFIX}n_steps" else theta
            state[name.removeprefix(PREFIX)] = saved.read(name, like.shape, like.dtype)
            if not np.isfinite(state[name.removeprefix(PREFIX)]).all():
                raise ValueError(f"expected finite numbers in {name}")
    optimizer.load_state(state)
    return optimizer


def _history(saved: Saved) -> History:
    """Records from a table (epochs, names), where NaN marks what an epoch does not have."""
    names = saved.description.get("history", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected the names of the history, got {names!r:.40}")
    if not names:
        return History()
    table = saved.read("history")
    if table.ndim != 2 or table.shape[1] != len(names) or table.dtype.kind != "f":
        raise ValueError(f"expected a history of {len(names)} columns, got {table.shape}")
    records = [
        {name: value for name, value in zip(names, row, strict=True) if value == value}
        for row in table.tolist()
    ]
    for record in records:
        if "epoch" in record:
            record["epoch"] = int(record["epoch"])
    return History(records)
