"""Callbacks for `fit`: stop when the test ELBO no longer rises, keep the best epoch, warm up.

vae.fit(x, 300, validation_data=x_test, callbacks=[EarlyStopping(patience=20), KeepBest()])
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpyvae.numerics import Array
from numpyvae.validation import positive_int, positive_number

__all__ = ["EarlyStopping", "KeepBest", "Warmup"]


class _Best:
    """Follows one quantity of the history: its best value so far, and the epoch that had it.

    A loss or a KL is better if it is smaller, anything else if it is larger. NaN is never best.
    """

    def __init__(self, monitor: str = "validation_elbo") -> None:
        self.monitor = monitor
        self.sign = -1.0 if monitor.endswith(("loss", "kl")) else 1.0
        self.epoch = 0
        self.value = -self.sign * math.inf

    def is_best(self, record: Mapping[str, float]) -> bool:
        """Whether this epoch is better than every one before; ValueError if it was not measured."""
        if self.monitor not in record:
            measured = ", ".join(record)
            hint = " (validation_data was not given)" if "validation" in self.monitor else ""
            raise ValueError(
                f"{type(self).__name__} follows {self.monitor!r}, which this fit does not "
                f"measure{hint}: expected one of {measured}"
            )
        value = record[self.monitor]
        better = self.sign * value > self.sign * self.value
        if better:
            self.epoch, self.value = int(record["epoch"]), value
        return bool(better)


class EarlyStopping(_Best):
    """Ends the training after `patience` epochs in a row without a new best.

    `monitor` names the quantity: "validation_elbo", or "validation_loss" for a model without ELBO.
    The parameters stay those of the last epoch; `KeepBest` restores those of the best. A new object
    starts counting at 0; the same object continues its count in another `fit`. `epoch` and `value`
    are the best. Source: Prechelt 1998, "Early stopping, but when?", criterion UP on single epochs.
    """

    def __init__(self, patience: int, monitor: str = "validation_elbo") -> None:
        super().__init__(monitor)
        self.patience = positive_int("patience", patience)
        self.waited = 0

    def __call__(self, model: Any, record: Mapping[str, float]) -> bool:
        """True once `patience` has run out."""
        self.waited = 0 if self.is_best(record) else self.waited + 1
        return self.waited >= self.patience


class KeepBest(_Best):
    """When `fit` ends, gives the model the parameters of its best epoch.

    `monitor` as in `EarlyStopping`. `epoch`, `value` and `theta` (P,) are the best so far. History
    and `epochs_trained` still count every epoch, and the optimiser stays that of the last epoch.
    """

    def __init__(self, monitor: str = "validation_elbo") -> None:
        super().__init__(monitor)
        self.theta: Array | None = None

    def __call__(self, model: Any, record: Mapping[str, float]) -> None:
        """Copy the parameters of an epoch that is the best so far."""
        if self.is_best(record):
            self.theta = model.theta.copy()

    def finish(self, model: Any) -> None:
        """Put the best parameters back."""
        if self.theta is not None:
            np.copyto(model.theta, self.theta)


class Warmup:
    """Lets the weight of the KL rise from 0 to the model's own beta over the first `epochs`.

    beta grows at every step, in proportion to the epochs trained so far, fractions included, so
    stopping and resuming changes nothing. When `fit` ends, `model.beta` gets its own value back. In
    the history, "elbo" is the bound for any beta, and "loss" is weighted by it.
    Source: Bowman et al. 2016; Sonderby et al. 2016.
    """

    def __init__(self, epochs: float) -> None:
        self.epochs = positive_number("epochs", epochs)
        self.beta: float | None = None  # the model's own beta, once a fit has begun

    def before_step(self, model: Any, epochs: float) -> None:
        """Set beta for the step that begins after `epochs` epochs of training."""
        if not hasattr(model, "beta"):
            raise TypeError(f"Warmup changes beta, which {type(model).__name__} does not have")
        if self.beta is None:
            self.beta = positive_number("beta of a model that warms up", model.beta, zero=True)
        model.beta = self.beta * min(1.0, epochs / self.epochs)

    def __call__(self, model: Any, record: Mapping[str, float]) -> None:
        """Do nothing after an epoch: beta changes before each step."""

    def finish(self, model: Any) -> None:
        """Give the model its own beta again."""
        if self.beta is not None:
            model.beta, self.beta = self.beta, None
