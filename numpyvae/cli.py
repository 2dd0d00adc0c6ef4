"""The `numpyvae` command: train, evaluate, sample, check, exercises.

What the user got wrong is one line on standard error and exit code 2; Ctrl-C is exit code 130.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import numpyvae
from numpyvae import evaluation, plots, proofs, runs
from numpyvae.data.files import atomic_write
from numpyvae.exercises import command as exercises
from numpyvae.gradient_check import check_files
from numpyvae.layers import ACTIVATIONS
from numpyvae.models.vae import VAE
from numpyvae.optimizers import Adam
from numpyvae.streams import Steady, steady_streams
from numpyvae.training import DivergenceError
from numpyvae.validation import positive_int

__all__ = ["main"]

BAD_INPUT, INTERRUPTED = 2, 130
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
    data = runs.load_data(arguments.data)
    vae = _new_vae(arguments, data)
    optimizer = Adam(arguments.learning_rate)
    folder = runs.new_folder(arguments.out, arguments.data, arguments.overwrite)
    print(
        f"{arguments.data}: {len(data.x_train)} examples of dimension {vae.data_dim} to train on, "
        f"{len(data.x_test)} to test on\n{vae!r}, {vae.layout.size:,} parameters",
        flush=True,
    )
    end, started = None, time.perf_counter()
    try:
        vae.fit(
            data.x_train,
            arguments.epochs,
            arguments.batch_size,
            optimizer,
            validation_data=data.x_test,
            transform=data.transform,
        )
    except (KeyboardInterrupt, DivergenceError, MemoryError, OSError) as error:
        end = error
    seconds = time.perf_counter() - started
    if end is not None and vae.epochs_trained == 0:
        with contextlib.suppress(OSError):
            folder.rmdir()  # unless something is in it
        return INTERRUPTED if isinstance(end, KeyboardInterrupt) else _fail(end)
    try:
        pictures = runs.write_run(folder, vae, runs.describe(arguments, vae), data)
    except KeyboardInterrupt:
        print(f"Interrupted: the model is in {folder}/, its pictures are not complete.")
        return INTERRUPTED
    if isinstance(end, Exception):
        return _fail(end, f" What was learned in {vae.epochs_trained} epochs is in {folder}.")
    log_px, kl = evaluation.elbo_terms(vae, data.test_examples(), 10)
    active = int(evaluation.active_units(vae, data.test_examples()).sum())
    print(
        f"{'Learned in' if end is None else 'Interrupted after'} {vae.epochs_trained} epochs "
        f"({seconds:.1f} s): test ELBO {(log_px - kl).mean():.2f} nats = log p(x|z) "
        f"{log_px.mean():.2f} - KL {kl.mean():.2f}, {active} of {vae.latent_dim} units "
        f"active.\nPictures: {folder}/ ({', '.join(path.name for path in pictures)})"
    )
    return 0 if end is None else INTERRUPTED


def _new_vae(arguments: argparse.Namespace, data: runs.RunData) -> VAE:
    """The model that was asked for, once all arguments and the data are known to be usable."""
    vae = VAE(
        data_dim=data.x_train.shape[1],
        latent_dim=arguments.latent_dim,
        hidden_dims=arguments.hidden_dims,
        activation=arguments.activation,
        likelihood=arguments.likelihood or data.likelihood,
        beta=arguments.beta,
        seed=arguments.seed,
    )
    positive_int("epochs", arguments.epochs)
    positive_int("batch_size", arguments.batch_size)
    if data.transform is None:
        vae.check_data(data.x_train)
    vae.check_data(data.test_examples())
    return vae


def evaluate(arguments: argparse.Namespace) -> int:
    """Print what a trained model is worth on its test data."""
    vae, config = runs.open_run(arguments.run)
    x = runs.load_data(arguments.data or config["data"]).test_examples()
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    measured = evaluation.evaluate(vae, x, arguments.samples, rng)
    rows = [
        ("ELBO", measured["elbo"], "nats"),
        ("  log p(x|z)", measured["log_px"], "nats"),
        ("  KL(q(z|x) || p(z))", measured["kl"], "nats"),
        (f"log p(x), {arguments.samples} samples", measured["log_likelihood"], "nats"),
    ]
    print(f"{arguments.run}: {vae!r}\nmeans over {len(x)} test examples")
    for name, value, unit in rows:
        print(f"  {name:<28}{value:>12.3f} {unit}")
    print(f"  {'active units':<28}{measured['active_units']:>8} of {vae.latent_dim}")
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Draw from the model: a picture (.png), or the numbers (.npy, .csv)."""
    vae, _ = runs.open_run(arguments.run)
    rng = np.random.default_rng(positive_int("seed", arguments.seed, least=0))
    path = Path(arguments.out or Path(arguments.run) / f"samples_seed{arguments.seed}.png")
    suffix = path.suffix.lower()
    if suffix == ".png":
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


def _fail(error: BaseException, addition: str = "") -> int:
    """One line on standard error, and the exit code of bad input."""
    text = " ".join(str(error).split()) or type(error).__name__
    if addition:
        text = text.rstrip(".") + "."
    print(f"numpyvae: {text}{addition}", file=sys.stderr)
    return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="numpyvae", description=numpyvae.__doc__, epilog=(
        "numpyvae COMMAND --help lists a command's options."))  # fmt: skip
    parser.add_argument("--version", action="version", version=f"numpyvae {numpyvae.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)

    add = commands.add_parser("evaluate", help="measure a trained model on its test data")
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument("--data", metavar="SOURCE", help="other data than it was trained with")
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


def _add_train(commands: Any) -> None:
    add = commands.add_parser(
        "train",
        help="train a VAE and draw its pictures",
        formatter_class=_DefaultsFormatter,
    )
    option = add.add_argument
    option("--data", default="digits", metavar="SOURCE",
           help="digits, mnist, or a .npy, .npz or .csv file with one example a row")  # fmt: skip
    option("--latent-dim", type=int, default=2, metavar="L", help="latent dimensions")
    option("--hidden-dims", type=int, nargs="*", default=[128], metavar="H",
           help="hidden widths of the encoder, mirrored in the decoder")  # fmt: skip
    option("--activation", choices=tuple(ACTIVATIONS), default="relu", help="of the hidden layers")
    option("--likelihood", type=_likelihood, metavar="P",
           help="bernoulli, binomial:COUNT, gaussian:VARIANCE, gaussian:shared or "
                "gaussian:per_dimension; the default fits the data")  # fmt: skip
    option("--beta", type=float, default=1.0, help="weight of the KL")
    option("--epochs", type=int, default=300, help="passes over the training data")
    option("--batch-size", type=int, default=128, metavar="N", help="examples a step")
    option("--learning-rate", type=float, default=3e-3, metavar="RATE", help="of Adam")
    option("--seed", type=int, default=0, help="of parameters, order and noise")
    option("--out", metavar="FOLDER", help="output folder; the default is the next runs/NAME-1, -2")
    option("--overwrite", action="store_true", help="replace a run in that folder")
    add.set_defaults(command=train)


def _likelihood(text: str) -> Any:
    """`runs.parse_likelihood` for argparse, which shows only this exception's message."""
    try:
        return runs.parse_likelihood(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
