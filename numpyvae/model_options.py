"""The options of `numpyvae train` for a model, made from the model's constructor.

An option has the argument's name, takes the type of its annotation, and shows the docstring's text
under "Args:" as its help. So a new model has its options without further work, but for what a shell
writes or allows otherwise than Python does: `IN_A_SHELL`.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from numpyvae.corruptions import CORRUPTIONS
from numpyvae.layers import ACTIVATIONS
from numpyvae.models import MODELS
from numpyvae.models.files import arguments_of
from numpyvae.models.vae import VAE
from numpyvae.priors import PRIORS

__all__ = ["ModelOption", "from_text", "model_arguments", "model_options", "ours"]

OF_THE_RUN = {"data_dim", "n_classes", "likelihood", "seed", "dtype"}
"""Arguments that follow from the data, or are options of every model."""

DEFAULTS = {"latent_dim": 2, "n_positions": 4, "code_dim": 4, "n_codes": 32, "code_noise": 0.5}
"""The command's defaults for arguments that the constructor requires."""

IN_A_SHELL = {
    "beta": "weight of the KL in the loss, at least 0: 1 makes the loss minus the ELBO, 0 leaves "
    "reconstruction alone",
    "corruption": "of the input",
    "prior": "p(z) (default: gaussian_mixture:10)",
}
"""The help for arguments whose docstring speaks of Python objects, or of refused values."""


class ModelOption(NamedTuple):
    """An option of one model: its name, and how `argparse` adds it."""

    name: str
    how: dict[str, Any]
    default: Any


def model_options(model: str) -> Iterator[ModelOption]:
    """The options of the constructor of MODELS[model], in its order."""
    helps = {**_helps(VAE), **_helps(MODELS[model]), **IN_A_SHELL}
    for name, parameter in arguments_of(MODELS[model]).items():
        if name in OF_THE_RUN:
            continue
        needed = parameter.default is parameter.empty and name not in DEFAULTS
        default = DEFAULTS.get(name, None if needed else parameter.default)
        how = {**_takes(name, str(parameter.annotation)), "help": helps.get(name, "").rstrip(".")}
        if needed:
            how["required"] = True
        yield ModelOption("--" + name.replace("_", "-"), how, default)


def ours() -> list[str]:
    """The models of the package, by name."""
    return [name for name, kind in MODELS.items() if kind.__module__.startswith("numpyvae.")]


def model_arguments(model: str) -> list[str]:
    """The names of these options' arguments."""
    return [name for name in arguments_of(MODELS[model]) if name not in OF_THE_RUN]


def _helps(kind: type) -> dict[str, str]:
    """The texts under "Args:" in the docstrings of a class and its constructor, by name."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for text in (base.__doc__, getattr(vars(base).get("__init__"), "__doc__", None)):
            _, _, arguments = inspect.cleandoc(text or "").partition("Args:\n")
            arguments = arguments.partition("\n\n")[0]
            for names, said in re.findall(r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", arguments, re.M):
                if not said.startswith("as for"):
                    found.update(dict.fromkeys(names.split(", "), " ".join(said.split())))
    return found


def _takes(name: str, annotation: str) -> dict[str, Any]:
    """How `argparse` reads an argument of this annotation."""
    kind = annotation.removesuffix(" | None")
    if name == "activation":
        return {"choices": tuple(ACTIVATIONS)}
    if kind == "bool":
        return {"action": argparse.BooleanOptionalAction}
    if kind.startswith("Sequence["):
        return {"nargs": "*", **_takes(name, kind[9:-1])}
    known: dict[str, Any] | None = {"Prior": PRIORS, "Corruption": CORRUPTIONS}.get(kind)  # type: ignore[assignment]
    if known:
        return {"type": _reader(name, known), "metavar": texts(known)}
    return {"type": {"int": int, "float": float}.get(kind, str), "metavar": name[0].upper()}


def _reader(kind: str, known: dict[str, Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return from_text(kind, text, known)
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def from_text(kind: str, text: str, known: Mapping[str, Callable[..., Any]]) -> Any:
    """One of `known` as the command line writes it: `vamp_prior:50` is VampPrior(50)."""
    name, *words = text.split(":")
    made = {_snake(n): make for n, make in known.items() if _snake(n) == name} or known
    try:
        (make,) = made.values()
        arguments = [int(word) if word.isdigit() else float(word) for word in words]
        inspect.signature(make).bind(*arguments)
    except (TypeError, ValueError):  # wrong name, number or count
        raise ValueError(f"unknown {kind} {text!r}: expected {texts(made)}") from None
    try:
        return make(*arguments)
    except ValueError as error:
        raise ValueError(f"{kind} {text!r}: {error}") from None


def texts(known: Mapping[str, Callable[..., Any]]) -> str:
    """How each of `known` is written for `from_text`: its name and its required arguments."""
    found = []
    for name, make in known.items():
        parameters = inspect.signature(make).parameters.values()
        needed = [p.name.upper() for p in parameters if p.default is p.empty]
        found.append(":".join([_snake(name), *needed]))
    return ", ".join(found)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
