"""The `numpyvae` command: train, evaluate, compare, sample, explore, check, exercises.

A mistake of the user gives one line on standard error and exit code 2; a run without a result gives
exit code 1, and Ctrl-C gives 130. Under mpiexec all commands but train are rank 0's alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import numpyvae
from numpyvae import evaluation, proofs, run_data, runs, train_command, train_plan
from numpyvae.compare_command import compare
from numpyvae.data.csv_files import CellError
from numpyvae.data.files import atomic_write
from numpyvae.exercises import command as exercises
from numpyvae.explore_command import explore
from numpyvae.interrupts import INTERRUPTED
from numpyvae.model_options import ours
from numpyvae.models import MODELS, Model
from numpyvae.models.labelled import Labelled
from numpyvae.numerics import Array
from numpyvae.options import (
    BAD_INPUT,
    OPTIONS,
    Parser,
    add_check,
    add_compare,
    add_evaluate,
    add_explore,
    add_sample,
    add_train,
)
from numpyvae.ranks import own_rank
from numpyvae.run_files import MODEL, file_to_write, open_run, resume_command, shown
from numpyvae.run_labels import AtLabels, class_of, coded, data_of
from numpyvae.streams import Steady, steady_streams
from numpyvae.user_functions import check_files
from numpyvae.validation import counted, memory_for, positive_int

__all__ = ["main"]

ARGUMENT = re.compile(r"(a width in |expected at most \d+ )?(?P<name>\w+)(?= must |, got )")
"""The start of a message about an argument of the library."""

NO_RESULT = 1
VERDICTS = {"pass": 0, "fail": 1, "cannot tell": 3}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit code.

    Standard output and error may be closed, missing, or in any encoding.
    """
    with steady_streams() as out:
        try:
            return _shown(_run(argv), out)
        except SystemExit as stop:  # --help, or arguments that cannot be
            raise SystemExit(_shown(stop.code, out)) from None


def _run(argv: Sequence[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parsed(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if own_rank() and command is not train:
        return 0
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, TypeError, ValueError, MemoryError) as error:
        return _fail(error)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; of --help and of mistakes in them, rank 0 speaks for all."""
    parse = partial(_parser(_model_of(argv)).parse_args, argv)
    if not own_rank():
        return parse()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return parse()


def _shown(code: Any, out: Steady) -> Any:
    """The exit code; lost output (a full disk, say) gives a sentence, and 1 instead of 0."""
    out.flush()
    if out.lost is None:
        return code
    reason = out.lost.strerror or out.lost
    return code or _fail(OSError(f"standard output cannot be written: {reason}"))


def train(arguments: argparse.Namespace) -> int:
    """Train a VAE and write a run folder, also if the training ends early."""
    given = {name: value for name, value in vars(arguments).items() if name in arguments.defaults}
    console = train_command.Console(partial(print, flush=True), _fail)
    return train_command.train(given, arguments.defaults, console)


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the measures of a trained model on its test data."""
    vae: Any
    vae, config = open_run(arguments.run)
    x, labels, what = _evaluation_data(arguments, vae, config)
    data = data_of(vae, x, labels, config.get("classes", ()))
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    name, n = shown(arguments.run), arguments.samples
    widest = max(width for shape in vae.layout.shapes.values() for width in shape)
    needed = n * widest * vae.dtype.itemsize
    with np.errstate(all="ignore"), memory_for(f"--samples {n}", needed):
        measured = evaluation.evaluate(vae, data, n, rng)
    found = [measured.get(name, 0.0) for name in ("elbo", "log_likelihood")]
    if not np.isfinite(found).all() and _is_ordinary(vae, x):
        return _no_finite(name, "ELBO or log p(x) for these data")
    missed = None
    if labels is not None and hasattr(vae, "classify"):
        y = coded(labels, config["classes"])
        missed = np.mean(vae.classify(x[y >= 0]) != y[y >= 0]) if (y >= 0).any() else None
    print(f"{name}: {vae!r}")
    if train_plan.is_unfinished(vae, config):
        print(
            f"{vae.epochs_trained} of {config['epochs']} epochs are trained: "
            f"{resume_command(arguments.run, config)} goes on"
        )
    print(f"means over {what}")
    for line in evaluation.lines(measured, len(x), n):
        print(f"  {line}")
    if "active_units" in measured:
        print(f"  {'active units':<32}{measured['active_units']:>8} of {vae.latent_dim}")
    if missed is not None:
        print(f"  {'error rate of classify':<32}{100 * missed:>12.2f} %")
    if "elbo" not in measured:
        print(f"  {type(vae).__name__} has no bound on log p(x): it is not a model of p(x)")
    return 0


def _is_ordinary(vae: Model, x: Array) -> bool:
    """Whether x (N, D), in the model's own units, can be squared without overflow."""
    units = vae.likelihood.standardization
    y = x if units is None else units.forward({}, x)[0]
    return bool(np.abs(y).max() < 1e15)


def _no_finite(name: str, what: str) -> int:
    _fail(
        f"{name}/{MODEL}: its parameters give no finite {what}: train it anew, with a smaller "
        "--learning-rate or --standardize"
    )
    return NO_RESULT


def _evaluation_data(
    arguments: argparse.Namespace, vae: Model, config: dict[str, Any]
) -> tuple[Array, Array | None, str]:
    """The run's own test examples or all rows of another file, their labels, and a description."""
    source = arguments.data or config["data"]
    wish = runs.chosen(vars(arguments))
    choice, names = {**runs.chosen(config), **wish}, tuple(config.get("column_names", ()))
    if wish.keys() - {"key", "label_column"}:  # another file may have other columns
        choice, names = wish, ()
    part = None
    if arguments.data is None or source in run_data.NAMED_DATA:
        data = run_data.load_data(source, **choice)
        if arguments.data is None and not wish and "data_digest" in config:  # since version 0.2
            remedy = "--data FILE measures it on all rows of a file"
            runs.check_same_data(shown(arguments.run), config, shown(source), data, remedy)
        x, labels = data.test_examples(), data.labels
    else:
        part, x = run_data.load_all(source, names, isinstance(vae, Labelled), **choice)
        labels = part.table.labels
    if x.shape[1] != vae.data_dim:
        raise ValueError(
            f"{shown(source)}: expected {vae.data_dim} columns of data, as the run was trained on, "
            f"got {x.shape[1]}"
        )
    if part is None:
        return x, labels, counted(len(x), "test example")
    part.check(x, vae.check_x)
    if part.name:
        return x, labels, f"the {counted(len(x), 'row')} of x_test in {shown(source)}"
    own = Path(source).resolve() == Path(config["data"])
    return (
        x,
        labels,
        f"all {counted(len(x), 'row')} of {shown(source)}"
        + (", most of which it was trained on" if own else ""),
    )


def sample(arguments: argparse.Namespace) -> int:
    """Write E[x|z] at draws z from the prior: a picture (.png), or the numbers (.npy, .csv)."""
    path = file_to_write(arguments, f"samples_seed{arguments.seed}.png", (".png", ".npy", ".csv"))
    suffix = path.suffix.lower()
    model, config = open_run(arguments.run)
    if not hasattr(model, "sample"):
        what = f"{type(model).__name__} has no p(z) to draw from"
        raise ValueError(f"{shown(arguments.run)}: {what}")
    vae, classes = _to_sample(model, config, arguments.label)
    names, n = tuple(config.get("column_names", ())), arguments.n
    seed = positive_int("seed", arguments.seed, least=0)
    needed = 8 * n * vae.data_dim
    with np.errstate(all="ignore"), memory_for(f"--n {n}", needed):
        x = vae.sample(n, np.random.default_rng(seed))
    largest = math.sqrt(
        np.finfo(model.dtype).max
    )  # beyond it the product of two layers is infinite
    if not np.isfinite(x).all() or np.abs(model.theta).max() > largest:
        return _no_finite(shown(arguments.run), "samples")
    if suffix == ".png":
        with runs.plain_matplotlib():
            runs.save_figure(runs.samples_figure(vae, n, seed, names, classes), path)
    else:
        with atomic_write(path) as file:
            np.save(file, x) if suffix == ".npy" else _write_csv(file, x, names)
    if isinstance(vae, AtLabels):
        of = ", ".join(str(classes[k]) for k in dict.fromkeys(vae.sampled(n)))
        print(f"{counted(n, 'mean')} E[x|z, y], z drawn from the prior, y = {of}: {shown(path)}")
    else:
        print(f"{counted(n, 'mean')} E[x|z], z drawn from the prior: {shown(path)}")
    return 0


def _to_sample(
    model: Model, config: dict[str, Any], labels: Sequence[str]
) -> tuple[Any, Sequence[Any]]:
    """The classes of `labels`, from which samples are drawn, and the names of all classes."""
    if isinstance(model, Labelled):
        classes = config.get("classes") or range(model.n_classes)
        drawn = dict.fromkeys(class_of(text, classes) for text in labels)
        return AtLabels(model, np.array([]), list(drawn) or None), classes
    if labels:
        able = " or ".join(name for name in ours() if issubclass(MODELS[name], Labelled))
        raise ValueError(
            f"--label {labels[0]}: {type(model).__name__} has no classes: expected a run of {able}"
        )
    return model, ()


def _write_csv(file: BinaryIO, x: Array, names: Sequence[str]) -> None:
    """A line of names, if there are any, and x (N, D) in all digits of its dtype."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([names] if names else [])
    writer.writerows(map(str, row) for row in x)
    text.detach()


def check(arguments: argparse.Namespace) -> int:
    """Prove every derivative of the package, or check the gradient that a user has written."""
    users = (arguments.f, arguments.grad, arguments.at, arguments.directions)
    if any(argument is not None for argument in users) or arguments.method != "auto":
        return _check_users(arguments)
    rows = proofs.prove_all(np.random.default_rng(positive_int("seed", arguments.seed, least=0)))
    print(proofs.table(rows))
    return 0 if all(row.passed for row in rows) else 1


def _check_users(arguments: argparse.Namespace) -> int:
    """Check the user's f and gradient at the user's point: the report, and the exit code."""
    if None in (arguments.f, arguments.grad, arguments.at):
        raise ValueError("expected a function, its gradient and a point: check F GRAD --at POINT")
    if arguments.directions is not None:
        positive_int("directions", arguments.directions)
    report = check_files(
        arguments.f,
        arguments.grad,
        arguments.at,
        method=arguments.method,
        directions=arguments.directions,
        rng=positive_int("seed", arguments.seed, least=0),
    )
    print(report)
    return VERDICTS[report.verdict]


def _fail(error: BaseException | str, addition: str = "") -> int:
    """One line on standard error, and the exit code of bad input."""
    text = " ".join(str(error).split()) or type(error).__name__
    match = ARGUMENT.match(text)  # text after the name of a file is about the file
    if match and match["name"] in OPTIONS:
        text = text[: match.start("name")] + OPTIONS[match["name"]] + text[match.end("name") :]
    text = re.sub(r"(?<![^ (])key=(?=['\"])", "--key ", text)
    if isinstance(error, CellError) and error.column:
        column = ("=" if error.column.startswith("-") else " ") + shlex.quote(error.column)
        labels = f", --label-column{column} takes it for labels" if error.is_text else ""
        addition = f" --drop{column} leaves the column out{labels}."
    if addition:
        text = text.rstrip(".") + "."
    print(f"numpyvae: {text}{addition}", file=sys.stderr, flush=True)
    return BAD_INPUT


def _model_of(argv: Sequence[str]) -> str:
    """The model named in the arguments, which decides which other options exist."""
    words = " ".join(argv).replace("--model=", "--model ").split()
    name = words[words.index("--model") + 1] if "--model" in words[:-1] else "VAE"
    return name if name in ours() else "VAE"


def _parser(model: str = "VAE") -> Parser:
    parser = Parser(
        prog="numpyvae",
        description=numpyvae.__doc__,
        epilog="numpyvae COMMAND --help lists a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"numpyvae {numpyvae.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_train(commands, train, model)
    add_evaluate(commands, evaluate)
    add_compare(commands, compare)
    add_sample(commands, sample)
    add_explore(commands, explore)
    add_check(commands, check)
    exercises.add_to(commands)
    return parser
