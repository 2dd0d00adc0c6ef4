"""All that `numpyvae train` needs before it starts, for a new run or for a resumed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpyvae import run_data, runs
from numpyvae.callbacks import EarlyStopping, KeepBest
from numpyvae.film import Film
from numpyvae.model_options import model_arguments
from numpyvae.models import MODELS, Model
from numpyvae.models.labelled import Labelled
from numpyvae.numerics import Array
from numpyvae.optimizers import Adam
from numpyvae.run_files import open_stopped_run, ranks_of, resume_command, shown
from numpyvae.run_labels import classes_of, coded, data_of, hide_labels
from numpyvae.validation import counted, memory_for, positive_int, positive_number

__all__ = ["Plan", "is_stopped", "is_unfinished", "new_plan", "resumed_plan"]

RESUMABLE = {"resume", "epochs", "early_stopping", "keep_best", "data", "film"}
"""The options that may be given with --resume; all others stay those of the run."""


class Plan(NamedTuple):
    """All that a training needs, checked before it starts."""

    vae: Model
    source: str
    data: run_data.RunData
    x_and_y: tuple[Array, ...]
    """The arguments of `fit`: x, and y if the model has labels."""
    x_and_y_test: Any
    """The data for the test after each epoch: x, or (x, y)."""
    config: dict[str, Any]
    epochs: int
    """The epochs still to train."""
    stopping: EarlyStopping | None
    best: KeepBest | None
    film: Film | None
    notes: Sequence[str] = ()
    """What was decided about the data, a sentence each."""


def new_plan(options: Mapping[str, Any]) -> Plan:
    """The plan of a new run; ValueError or TypeError for unusable options."""
    if options.get("beta") is not None:
        positive_number("beta", options["beta"], zero=True)  # if infinite, it learns no data
    data = run_data.load_data(options["data"], **runs.chosen(options))
    likelihood = run_data.standardized(
        options["likelihood"] or data.likelihood, data.x_train, options["standardize"]
    )
    kind: Any = MODELS[options["model"]]
    own = {name: options[name] for name in model_arguments(options["model"])}
    classes = classes_of(options["data"], data, kind) if issubclass(kind, Labelled) else []
    vae: Model = kind(
        data_dim=data.x_train.shape[1],
        likelihood=likelihood,
        seed=options["seed"],
        dtype=run_data.dtype_for(likelihood),
        **own,
        **({"n_classes": len(classes)} if classes else {}),
    )
    with memory_for(
        f"{vae.layout.size:,} parameters (--hidden-dims, --latent-dim)",
        vae.layout.size * vae.dtype.itemsize,
    ):
        _ = vae.theta  # drawn here
    vae.optimizer = Adam(options["learning_rate"], weight_decay=options["weight_decay"])
    epochs = positive_int("epochs", options["epochs"])
    positive_int("batch_size", options["batch_size"])
    data.check(vae)
    data = data._replace(classes=tuple(classes))
    config = runs.describe(options, vae, data)
    notes = _notes(data, vae, options["likelihood"] is None)
    parts = _fitted_to(vae, data, options.get("known"))
    stopping, best = _followers(options)
    film = _film(options, vae, data)
    return Plan(vae, options["data"], data, *parts, config, epochs, stopping, best, film, notes)


def _fitted_to(
    model: Model, data: run_data.RunData, known: int | None
) -> tuple[tuple[Array, ...], Any]:
    """x, or x and y, to train on; x, or (x, y), to test on."""
    if not data.classes:
        return (data.x_train,), data.x_test
    y = coded(np.asarray(data.train_labels), data.classes)
    test = data_of(model, data.x_test, data.labels, data.classes)
    return (data.x_train, hide_labels(y, known, model.seed)), test


def resumed_plan(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Plan:
    """The plan of a resumed run; ValueError if it cannot continue as if it had never stopped."""
    if fixed := sorted(given.keys() - RESUMABLE):
        option = "--" + fixed[0].replace("_", "-")
        raise ValueError(f"{option} cannot be given with --resume: the run keeps its first options")
    vae, config, last_theta = open_stopped_run(given["resume"])
    _check_ranks(given["resume"], config, defaults)
    options = {**defaults, **{k: v for k, v in config.items() if k in defaults}, **given}
    data = run_data.load_data(options["data"], **runs.chosen(options))
    run, source = shown(given["resume"]), shown(options["data"])
    runs.check_same_data(run, config, source, data, "--data FILE, if they have moved")
    epochs = positive_int("epochs", options["epochs"]) - vae.epochs_trained
    if epochs < 0:
        raise ValueError(
            f"--epochs {options['epochs']}: {shown(given['resume'])} has {vae.epochs_trained} "
            "epochs already; expected at least as many in total"
        )
    stopping, best = _followers(options)
    for record in vae.history:  # theta is still that of the best epoch, if one was kept
        if best and last_theta is not vae.theta:
            best(vae, record)
        if stopping:
            stopping(vae, record)
    if is_stopped(stopping):
        epochs = 0
    vae.theta = last_theta
    data = data._replace(classes=tuple(config.get("classes", ())))
    parts = _fitted_to(vae, data, config.get("known"))
    known = {"known": config["known"]} if "known" in config else {}
    config = runs.describe({**options, **known}, vae, data)
    film = _film(options, vae, data)
    return Plan(vae, options["data"], data, *parts, config, epochs, stopping, best, film)


def _check_ranks(folder: str, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """ValueError unless a run goes on on as many ranks as before: each draws noise of its own."""
    before, now = ranks_of(config), ranks_of(defaults)
    if before != now:
        alone = " without mpiexec" if before == 1 else ""
        raise ValueError(
            f"{shown(folder)} was trained on {counted(before, 'rank')}, and on {now} it "
            f"would become another model: {resume_command(folder, config)}{alone} goes on"
        )


def _notes(data: run_data.RunData, vae: Model, is_guess: bool) -> list[str]:
    """What was decided about the data, a sentence each."""
    notes = list(data.notes)
    if data.guess and is_guess:
        notes.append(data.guess)
    if vae.likelihood.standardization is not None:
        notes.append(
            "the columns are standardised in the model; nats and samples are in the "
            "data's own units (--no-standardize leaves them as they are)"
        )
    return notes


def is_unfinished(vae: Model, config: Mapping[str, Any]) -> bool:
    """Whether a run has epochs left, and early stopping has not ended it."""
    stopping, _ = _followers({"early_stopping": None, "keep_best": False, **config})
    if stopping:
        for record in vae.history:
            stopping(vae, record)
    planned = config.get("epochs")
    left = isinstance(planned, int) and vae.epochs_trained < planned
    return left and not is_stopped(stopping)


def is_stopped(stopping: EarlyStopping | None) -> bool:
    """Whether the last epoch so far ends the training."""
    return stopping is not None and stopping.waited >= stopping.patience


def _followers(options: Mapping[str, Any]) -> tuple[EarlyStopping | None, KeepBest | None]:
    patience = options["early_stopping"]
    stopping = None if patience is None else EarlyStopping(patience)
    return stopping, KeepBest() if options["keep_best"] else None


def _film(options: Mapping[str, Any], model: Model, data: run_data.RunData) -> Film | None:
    if not options["film"]:
        return None
    if isinstance(model, Labelled) or not hasattr(model, "axis_posterior"):
        raise ValueError(f"--film is for models with one latent space, not {type(model).__name__}")
    return Film(data.test_examples(), data.labels)
