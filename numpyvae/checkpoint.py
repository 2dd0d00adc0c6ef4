"""What a model's file keeps beside theta, so that training goes on as if it had never stopped.

The order and the noise of an epoch come from its number (see `training.fit`), so no generator's
state is among it: only the history, and the optimiser with its moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from numpyvae.numerics import Array
from numpyvae.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    Momentum,
    Optimizer,
    optimizer_from_config,
)
from numpyvae.training import History

__all__ = ["load_training", "training_state"]

PREFIX = "optimizer."


def training_state(
    history: History, optimizer: Optimizer | None
) -> tuple[dict[str, Array], dict[str, Any]]:
    """History and optimiser as arrays by name, and what JSON has to say of them.

    Numbers of the history are kept, other things that a callback put there are not. An optimiser
    that is not one of this package is not kept.
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


def load_training(
    arrays: Mapping[str, Array], description: Mapping[str, Any], theta: Array
) -> tuple[History, Optimizer | None]:
    """What `training_state` described; an empty history and None where a file has nothing of it.

    Raises ValueError (KeyError, TypeError) if arrays and description do not fit each other, or the
    moments do not fit `theta` (P,).
    """
    history = History()
    if "history" in description:
        history = _history(description["history"], arrays["history"])
    if "optimizer" not in description:
        return history, None
    optimizer = optimizer_from_config(description["optimizer"])
    state = {n.removeprefix(PREFIX): a for n, a in arrays.items() if n.startswith(PREFIX)}
    for name, array in state.items():
        like = np.array(0) if name == "n_steps" else theta
        if array.shape != like.shape or array.dtype != like.dtype or not np.isfinite(array).all():
            raise ValueError(
                f"expected finite {like.dtype} {like.shape} as {PREFIX}{name}, "
                f"got {array.dtype} {array.shape}"
            )
    optimizer.load_state(state)
    return history, optimizer


def _history(names: Any, table: Array) -> History:
    """Records from a table (epochs, names), in which NaN stands for what an epoch does not have."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected the names of the history, got {names!r:.40}")
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
