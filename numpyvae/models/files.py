"""A model's file: how a model is described, and how a description becomes a model again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from numpyvae.checkpoint import load_training, training_state
from numpyvae.corruptions import corruption_from_config
from numpyvae.data.untrusted import brief
from numpyvae.likelihoods import likelihood_from_config
from numpyvae.numerics import Array
from numpyvae.priors import prior_from_config
from numpyvae.storage import Saved, open_npz
from numpyvae.validation import first_entry, positive_int

__all__ = ["arguments_from_config", "arguments_of", "config", "contents", "load"]

READERS: dict[str, Callable[[Any], Any]] = {
    "likelihood": likelihood_from_config,
    "prior": prior_from_config,
    "corruption": corruption_from_config,
}
"""How an argument that is an object is made again from what its `config()` gave."""


def arguments_of(kind: type) -> dict[str, inspect.Parameter]:
    """The arguments of a constructor by name; ** stands for the arguments of its base class."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base).parameters.values()
            own = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
            found = {**own, **found}  # the base's first, as they are called
            if len(own) == len(parameters):
                break
    return found


def config(model: Any) -> dict[str, Any]:
    """The constructor's arguments, which the model keeps by their names, as JSON can hold them."""
    return {name: _as_json(getattr(model, name)) for name in arguments_of(type(model))}


def _as_json(value: Any) -> Any:
    if hasattr(value, "config"):
        return value.config()
    if isinstance(value, np.dtype):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def arguments_from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments that `config` described."""
    return {
        name: READERS[name](value) if name in READERS and value is not None else value
        for name, value in config.items()
    }


def contents(model: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a model's file by name, and its description, which JSON can hold."""
    arrays, state = training_state(model.history, model.optimizer)
    own = {f"state.{name}": array for name, array in model.state().items()}
    description = {
        "model": type(model).__name__,
        "arguments": model.config(),
        "epochs_trained": model.epochs_trained,
    }
    return {"theta": model.theta, **own, **arrays}, {**description, **state}


def load(path: str | PathLike[str], asked: str, kinds: Mapping[str, type]) -> Any:
    """The model in a file; ValueError if its class is not among `kinds`, which `asked` names.

    Sizes are compared before anything is built.
    """
    with open_npz(path) as saved:
        model = _without_theta(saved, asked, kinds)
        theta = saved.read("theta", (model.layout.size,), model.dtype)
        finite = np.isfinite(theta)
        if not finite.all():
            entry = model.layout.name_of(*first_entry(~finite))
            raise ValueError(f"{saved.name}: expected finite parameters, {entry} is not")
        for name, array in model.state().items():
            np.copyto(array, saved.read(f"state.{name}", array.shape, array.dtype))
        model.history, model.optimizer = load_training(saved, theta)
    model.theta = theta
    return model


def _without_theta(saved: Saved, asked: str, kinds: Mapping[str, type]) -> Any:
    """The model that a file describes; it takes no memory to speak of before theta is drawn."""
    try:
        name, arguments = _since_version_0_1(saved.description)
        kind: Any = kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            article = "an" if asked.startswith("A") else "a"
            expected = f"{article} {asked}" if asked in kinds else "one of " + ", ".join(kinds)
            raise ValueError(f"expected {expected}, got {name!r:.80}")
        model = kind(**kind.arguments_from_config(arguments))
        epochs = saved.description["epochs_trained"]
        model.epochs_trained = positive_int("epochs_trained", epochs, least=0)
    except KeyError as error:
        raise ValueError(f"{saved.name}: expected {error} in its description") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{saved.name}: {brief(error)}") from error
    return model


def _since_version_0_1(description: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Class and arguments in a description; in 0.1 every autoencoder had the penalties."""
    name, arguments = description.get("model"), dict(description["arguments"])
    if arguments.get("penalties") is None:
        arguments.pop("penalties", None)
    elif name == "Autoencoder":
        name = "LinearAutoencoder"
    return name, arguments
