"""The `numpyvae` command: train, evaluate, sample, check, exercises.

What the user got wrong is one line on standard error and exit code 2; Ctrl-C is exit code 130.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import numpyvae
from numpyvae import evaluation, plots, proofs, run_data, runs, train_command
from numpyvae.data.csv_files import CellError
from numpyvae.data.files import atomic_write
from numpyvae.exercises import command as exercises
from numpyvae.gradient_check import check_files
from numpyvae.interrupts import INTERRUPTED
from numpyvae.layers import ACTIVATIONS
from numpyvae.likelihoods import LIKELIHOODS, likelihood_from_text
from numpyvae.models.vae import VAE
from numpyvae.numerics import Array
from numpyvae.run_folder import open_run, shown
from numpyvae.streams import Steady, steady_streams
from numpyvae.validation import positive_int

__all__ = ["main"]

OPTIONS = {
    "latent_dim": "--latent-dim",
    "hidden_dims": "--hidden-dims",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
    "patience": "--early-stopping",
    "beta": "--beta",
    "seed": "--seed",
    "n": "--n",
    "n_samples": "--samples",
    "directions": "--directions",
}
"""What the command calls an argument of the library, before "must be ..." and ", got ..."."""

BAD_INPUT = 2
VERDICTS = {"pass": 0, "fail": 1, "cannot tell": 3}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit code.

    Standard output and error may be closed, missing, or in any encoding: nothing depends on them.
    """
    with steady_streams() as out:
        try:
            return _shown(_run(argv), out)
        except SystemExit as stop:  # --help, or arguments that cannot be
            raise SystemExit(_shown(stop.code, out)) from None


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, TypeError, ValueError, MemoryError) as error:
        return _fail(error)


def _shown(code: Any, out: Steady) -> Any:
    """The exit code; if what was printed is lost (a full disk), a sentence and no success."""
    out.flush()
    if out.lost is None:
        return code
    reason = out.lost.strerror or out.lost
    return code or _fail(OSError(f"standard output cannot be written: {reason}"))


def train(arguments: argparse.Namespace) -> int:
    """Train a VAE and write a run folder, also of what was learned before it ended early."""
    given = {name: value for name, value in vars(arguments).items() if name in arguments.defaults}
    console = train_command.Console(partial(print, flush=True), _fail)
    return train_command.train(given, arguments.defaults, console)


def evaluate(arguments: argparse.Namespace) -> int:
    """Print what a trained model is worth on its test data."""
    vae, config = open_run(arguments.run)
    x, what = _evaluation_data(arguments, vae, config)
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    with np.errstate(all="ignore"):  # what overflows is seen in the results
        measured = evaluation.evaluate(vae, x, arguments.samples, rng)
    print(f"{arguments.run}: {vae!r}\nmeans over {what}")
    for line in evaluation.lines(measured, len(x), arguments.samples):
        print(f"  {line}")
    print(f"  {'active units':<32}{measured['active_units']:>8} of {vae.latent_dim}")
    return 0


def _evaluation_data(
    arguments: argparse.Namespace, vae: VAE, config: dict[str, Any]
) -> tuple[Array, str]:
    """The run's own test examples, or all rows of another file, and what they are."""
    source = arguments.data or config["data"]
    wish = runs.chosen(vars(arguments))
    choice, names = {**runs.chosen(config), **wish}, tuple(config.get("column_names", ()))
    if wish.keys() - {"key"}:  # of another file other columns
        choice, names = wish, ()
    part = None
    if arguments.data is None or source in run_data.NAMED_DATA:
        data = run_data.load_data(source, **choice)
        if arguments.data is None and not wish and "data_digest" in config:  # since version 0.2
            remedy = "--data FILE measures it on all rows of a file"
            runs.check_same_data(shown(arguments.run), config, shown(source), data, remedy)
        x = data.test_examples()
    else:
        part, x = run_data.load_all(source, names, **choice)
    if x.shape[1] != vae.data_dim:
        raise ValueError(
            f"{source}: expected {vae.data_dim} columns of data, as the run was trained on, "
            f"got {x.shape[1]}"
        )
    if part is None:
        return x, f"{len(x)} test examples"
    part.check(x, vae.check_data)
    if part.name:
        return x, f"the {len(x)} rows of x_test in {source}"
    own = Path(source).resolve() == Path(config["data"])
    return x, f"all {len(x)} rows of {source}" + (
        ", most of which it was trained on" if own else ""
    )


def sample(arguments: argparse.Namespace) -> int:
    """Draw from the model: a picture (.png), or the numbers (.npy, .csv)."""
    vae, _ = open_run(arguments.run)
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    path = Path(arguments.out or Path(arguments.run) / f"samples_seed{arguments.seed}.png")
    suffix = path.suffix.lower()
    if suffix == ".png":
        with runs.plain_matplotlib():
            runs.save_figure(plots.samples(vae, arguments.n, rng=rng), path)
    elif suffix in (".npy", ".csv"):
        x = vae.sample(arguments.n, rng)
        with atomic_write(path) as file:
            if suffix == ".npy":
                np.save(file, x)
            else:
                np.savetxt(file, x, fmt="%.9g", delimiter=",")
    else:
        raise ValueError(f"{path}: expected a name that ends in .png, .npy or .csv")
    print(f"{arguments.n} samples: {path}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Prove every derivative of the package, or check the gradient that a user has written."""
    users = (arguments.f, arguments.grad, arguments.at, arguments.directions)
    if any(argument is not None for argument in users) or arguments.method != "auto":
        return _check_users(arguments)
    rows = proofs.prove_all(np.random.default_rng(positive_int("seed", arguments.seed, least=0)))
    print(proofs.table(rows))
    return 0 if all(row.passed for row in rows) else 1


def _check_users(arguments: argparse.Namespace) -> int:
    """The user's own f and gradient, at the user's point: the report, and its verdict as code."""
    if None in (arguments.f, arguments.grad, arguments.at):
        raise ValueError("expected a function, its gradient and a point: check F GRAD --at POINT")
    report = check_files(
        arguments.f,
        arguments.grad,
        arguments.at,
        method=arguments.method,
        directions=arguments.directions,
        rng=arguments.seed,
    )
    print(report)
    return VERDICTS[report.verdict]


def _fail(error: BaseException | str, addition: str = "") -> int:
    """One line on standard error, and the exit code of bad input."""
    text = " ".join(str(error).split()) or type(error).__name__
    argument = r"(?<!\S)\w+(?= must |, got )"
    text = re.sub(argument, lambda match: OPTIONS.get(match[0], match[0]), text)
    text = re.sub(r"(?<![^ (])key=(?=['\"])", "--key ", text)
    if isinstance(error, CellError) and error.column:
        column = shlex.quote(error.column)
        labels = f", --label-column {column} takes it for labels" if error.is_text else ""
        addition = f" --drop {column} leaves the column out{labels}."
    if addition:
        text = text.rstrip(".") + "."
    print(f"numpyvae: {text}{addition}", file=sys.stderr, flush=True)
    return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="numpyvae", description=numpyvae.__doc__, epilog=(
        "numpyvae COMMAND --help lists a command's options."))  # fmt: skip
    parser.add_argument("--version", action="version", version=f"numpyvae {numpyvae.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)

    add = commands.add_parser("evaluate", help="measure a trained model on its test data")
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument(
        "--data", metavar="SOURCE", help="all of a file, not the test part of the run's own data"
    )
    _add_choices(add.add_argument)
    add.add_argument("--samples", type=int, default=500, metavar="S",
                     help="importance samples for log p(x) (default: %(default)s)")  # fmt: skip
    add.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    add.set_defaults(command=evaluate)

    add = commands.add_parser("sample", help="draw from a trained model")
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument("--n", type=int, default=64, help="how many (default: %(default)s)")
    add.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    add.add_argument("--out", metavar="FILE",
                     help=".png, .npy or .csv (default: RUN/samples_seedSEED.png)")  # fmt: skip
    add.set_defaults(command=sample)

    _add_check(commands)
    exercises.add_to(commands)
    return parser


def _add_check(commands: Any) -> None:
    add = commands.add_parser(
        "check",
        help="prove every derivative of the package, or check one of your own",
        description="Without arguments: a table of every derivative of the package. With a "
        "function, its gradient and a point: is this the gradient? Exit code 0 yes, 1 no, "
        "3 cannot tell.",
    )
    option = add.add_argument
    option("f", nargs="?", metavar="F", help="your function, as my_module.py:f")
    option("grad", nargs="?", metavar="GRAD", help="its gradient, as my_module.py:grad_f")
    option("--at", metavar="POINT", help="an .npz file: theta, or one array for each parameter")
    option(
        "--method",
        choices=("auto", "complex", "central", "directional", "taylor"),
        default="auto",
        help="how to differentiate numerically (default: the most accurate that F supports)",
    )
    option("--directions", type=int, metavar="K", help="check K random directions, not every entry")
    option("--seed", type=int, default=0, help="of points and directions (default: %(default)s)")
    add.set_defaults(command=check)


def _add_choices(option: Callable[..., Any]) -> None:
    """What of a user's own file is data, and what are labels."""
    option("--key", metavar="NAME", help="array of an .npz file to take")
    option(
        "--columns", nargs="+", metavar="COLUMN", help="columns to take, by name or number from 1"
    )
    option("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    option("--label-column", metavar="COLUMN", help="column with classes, for colours")


def _add_train(commands: Any) -> None:
    add = commands.add_parser(
        "train",
        help="train a VAE and draw its pictures",
        description="Train a VAE and draw its pictures. The run is saved after its first epoch and "
        "every few seconds from then on; what ends it early (Ctrl-C, SIGTERM, SIGHUP, a kill, a "
        "loss of power) leaves a run that evaluate opens and --resume continues. Exit code 0 done, "
        "1 done but a picture is missing, 2 an error, 130, 143 and 129 ended by those signals.",
    )
    defaults: dict[str, Any] = {}

    def option(name: str, *, help: str, default: Any = None, **how: Any) -> None:  # noqa: A002
        """An option whose default is kept apart, so that what was given is known."""
        text = f"{help} (default: {default})" if default else help
        action = add.add_argument(name, default=argparse.SUPPRESS, help=text, **how)
        defaults[action.dest] = default

    option("--data", default="digits", metavar="SOURCE",
           help="digits, mnist, or a .npy, .npz or .csv file with one example a row")  # fmt: skip
    _add_choices(option)
    option("--standardize", action=argparse.BooleanOptionalAction,
           help="columns of mean 0 and standard deviation 1 inside the model; the default does so "
                "for real-valued data in other units")  # fmt: skip
    option("--latent-dim", type=int, default=2, metavar="L", help="latent dimensions")
    option("--hidden-dims", type=int, nargs="*", default=[128], metavar="H",
           help="hidden widths of the encoder, mirrored in the decoder")  # fmt: skip
    option("--activation", choices=tuple(ACTIVATIONS), default="relu", help="of the hidden layers")
    option("--likelihood", type=_likelihood, metavar="P",
           help=", ".join(kind.text for kind in LIKELIHOODS.values())
                + "; the default fits the data")  # fmt: skip
    option("--beta", type=float, default=1.0, help="weight of the KL")
    option("--epochs", type=int, default=300, metavar="E",
           help="passes over the training data, with --resume those before included")  # fmt: skip
    option("--batch-size", type=int, default=128, metavar="N", help="examples a step")
    option("--learning-rate", type=float, default=3e-3, metavar="RATE", help="of Adam")
    option("--early-stopping", type=int, metavar="PATIENCE",
           help="end after PATIENCE epochs in a row without a better test ELBO")  # fmt: skip
    option("--keep-best", action="store_true",
           help="keep the epoch of the best test ELBO, not the last")  # fmt: skip
    option("--seed", type=int, default=0, help="of parameters, order and noise")
    option("--out", metavar="FOLDER", help="output folder; the default is the next runs/NAME-1, -2")
    option("--overwrite", action="store_true",
           help="replace the run in that folder, once the first epoch is trained")  # fmt: skip
    option("--resume", metavar="RUN",
           help="go on with a run that was interrupted, or with more --epochs, to the same bits "
                "as if it had never stopped")  # fmt: skip
    add.set_defaults(command=train, defaults=defaults)


def _likelihood(text: str) -> Any:
    """`likelihood_from_text` for argparse, which shows only this exception's message."""
    try:
        return likelihood_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
