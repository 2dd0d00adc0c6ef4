"""Labels for models that have them: classes as numbers, and a model at fixed labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpyvae.models.labelled import Labelled
from numpyvae.models.model import Model
from numpyvae.numerics import Array
from numpyvae.run_data import RunData
from numpyvae.validation import positive_int

__all__ = ["AtLabels", "class_of", "classes_of", "coded", "data_of", "hide_labels"]

EMPTY = ""
"""The label of a row without one, in a text file."""


def classes_of(source: str, data: RunData, kind: type[Labelled]) -> list[Any]:
    """The classes of the training labels, sorted: class k of the model is the k-th of them.

    An empty label means "not known"; ValueError if this kind of model needs all labels.
    """
    labels = data.train_labels
    if labels is None:
        raise ValueError(
            f"{source}: this model needs labels: y beside x, or --label-column with classes"
        )
    classes = [item.item() for item in np.unique(labels)]
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        raise ValueError(
            f"{source}: the labels are {len(classes)} different numbers, not classes: expected "
            "whole numbers or text (--label-column)"
        )
    if EMPTY in classes and not kind.unknown_labels:
        raise ValueError(
            f"{source}: {(labels == EMPTY).sum()} labels of the training rows are empty: expected "
            "a class in each row; SemiSupervisedVAE takes rows without one"
        )
    return [value for value in classes if value != EMPTY]


def coded(labels: Array, classes: Sequence[Any]) -> Array:
    """Labels (N,) as numbers 0, ..., K - 1, or -1 for an empty one.

    ValueError for a label that is not among the training's classes.
    """
    number = {EMPTY: -1, **{value: k for k, value in enumerate(classes)}}
    try:
        return np.array([number[item.item()] for item in labels], np.intp)
    except KeyError as error:
        known = _some([repr(value) for value in classes])
        raise ValueError(f"label {error} is not among the training's classes: {known}") from None


def class_of(text: str, classes: Sequence[Any]) -> int:
    """The number of the class that a user calls `text`: its label, or its number from 0.

    ValueError if there is no such class. If labels are numbers themselves, `text` is a label.
    """
    names = [str(value) for value in classes]
    whole = [name.removesuffix(".0") for name in names]
    for known in (names, whole):
        if text in known:
            return known.index(text)
    in_order = [str(k) for k in range(len(classes))]
    if text in in_order and any(isinstance(value, str) for value in classes):
        return in_order.index(text)
    raise ValueError(f"--label {text}: expected a class of the training: {_some(whole)}")


def _some(classes: Sequence[Any]) -> str:
    """The first ten, for a message of one line."""
    return ", ".join(map(str, classes[:10])) + (", ..." if len(classes) > 10 else "")


def hide_labels(y: Array, n_known: int | None, seed: int) -> Array:
    """y (N,) with -1 for all but `n_known` labels, as equally spread over the classes as possible.

    ValueError if `n_known` is above the number of labels, or below that of the classes.
    """
    if n_known is None:
        return y
    n_labels, n_classes = int((y >= 0).sum()), int(y.max()) + 1
    if not n_classes <= positive_int("--known", n_known) <= n_labels:
        raise ValueError(
            f"--known {n_known}: expected from {n_classes}, one of each class, to {n_labels}, "
            "all labels of the training data"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    rank = np.empty(len(y), np.intp)  # its rank within its class, in that order
    for k in np.unique(y):
        rows = order[y[order] == k]
        rank[rows] = np.arange(len(rows))
    by_rank = np.lexsort((y, rank))
    keep = by_rank[y[by_rank] >= 0][:n_known]
    hidden = np.full_like(y, -1)
    hidden[keep] = y[keep]
    return hidden


def data_of(model: Model, x: Array, labels: Array | None, classes: Sequence[Any]) -> Any:
    """The data for evaluation: x, or (x, y), with y = -1 if the model sums over the class."""
    if not isinstance(model, Labelled):
        return x
    if model.unknown_labels:
        return x, np.full(len(x), -1)
    if labels is None:
        raise ValueError("this model needs labels beside the data (--label-column)")
    return x, coded(labels, classes)


class AtLabels:
    """A model with labels, with the methods of a model without, for the figures of one x.

    `y` (N,) are the labels of x; `drawn` are the classes to draw samples from, by default all.
    """

    def __init__(self, model: Any, y: Array, drawn: Sequence[int] | None = None) -> None:
        self.model, self.y = model, y
        self.drawn = np.arange(model.n_classes) if drawn is None else np.asarray(drawn)
        self.data_dim, self.likelihood = model.data_dim, model.likelihood
        self.latent_dim, self.prior = model.latent_dim, model.prior

    def axis_posterior(self, x: Array) -> tuple[Array, Array]:
        mean, log_var = self.model.encode(x, self.y[: len(x)])
        return mean, log_var

    def reconstruct(self, x: Array) -> Array:
        means: Array = self.model.reconstruct(x, self.y[: len(x)])
        return means

    def sample(self, n: int, rng: np.random.Generator | None = None) -> Array:
        """Draw the classes of `drawn` in equal numbers, class by class."""
        means: Array = self.model.sample(self.sampled(n), rng)
        return means

    def sampled(self, n: int) -> Array:
        """The classes (n,) of `sample`."""
        found: Array = self.drawn[np.arange(n) * len(self.drawn) // n]
        return found
