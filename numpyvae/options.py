"""The options of the `numpyvae` command: their names, values and help texts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from numpyvae.likelihoods import LIKELIHOODS, Likelihood, likelihood_from_text
from numpyvae.model_options import model_options, ours
from numpyvae.models import MODELS

__all__ = [
    "BAD_INPUT",
    "OPTIONS",
    "Parser",
    "add_check",
    "add_compare",
    "add_evaluate",
    "add_explore",
    "add_sample",
    "add_train",
]

Command = Callable[[argparse.Namespace], int]

OPTIONS = {
    "latent_dim": "--latent-dim",
    "hidden_dims": "--hidden-dims",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
    "weight_decay": "--weight-decay",
    "patience": "--early-stopping",
    "beta": "--beta",
    "seed": "--seed",
    "n": "--n",
    "n_samples": "--samples",
    "directions": "--directions",
}
"""The option for an argument of the library, in messages like "--epochs must be ..., got ..."."""

BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with the arguments, and whose help to read."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but arguments left over are an error here: this help is named."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def add_evaluate(commands: Any, run: Command) -> None:
    """`numpyvae evaluate`, done by `run`."""
    add = commands.add_parser("evaluate", help="measure a trained model on its test data")
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument(
        "--data", metavar="SOURCE", help="all of a file, not the test part of the run's own data"
    )
    _add_choices(add.add_argument)
    _add_samples(add)
    add.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    add.set_defaults(command=run)


def add_compare(commands: Any, run: Command) -> None:
    """`numpyvae compare`, done by `run`."""
    add = commands.add_parser(
        "compare",
        help="runs side by side: settings that differ, ELBO, log p(x), training curves",
        description="One table of two runs or more, each measured on the test examples of its own "
        "data: the settings that differ, log p(x) with its error and its difference to the first "
        "run's, ELBO, active units, epochs, seconds of training. --out draws their training "
        "curves.",
    )
    option = add.add_argument
    option("runs", nargs="+", metavar="RUN", help="a run folder")
    option("--out", metavar="FILE", help="draw the test ELBO over the epochs, .png")
    option("--csv", metavar="FILE", help="write the table with all digits, .csv")
    option("--overwrite", action="store_true", help="replace these files if they exist")
    option(
        "--examples",
        type=int,
        metavar="N",
        help="be quick: measure on N test examples, drawn at random (default: all)",
    )
    _add_samples(add)
    option(
        "--seed", type=int, default=0, help="of samples and of --examples (default: %(default)s)"
    )
    add.set_defaults(command=run)


def add_sample(commands: Any, run: Command) -> None:
    """`numpyvae sample`, done by `run`."""
    add = commands.add_parser(
        "sample",
        help="draw z from the prior and show the means E[x|z]: a picture, or the numbers",
        description="Draw z from the prior and write E[x|z], the mean of p(x|z), for each: a "
        "picture (.png), or one row for each draw (.npy, .csv).",
    )
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument("--n", type=int, default=64, help="how many (default: %(default)s)")
    add.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="CLASS",
        help="for a model with labels: draw only this class, given by its label or "
        "by its number from 0; may be repeated",
    )
    add.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    _add_out(add, ".png, .npy or .csv (default: RUN/samples_seedSEED.png)")
    add.set_defaults(command=run)


def add_explore(commands: Any, run: Command) -> None:
    """`numpyvae explore`, done by `run`."""
    add = commands.add_parser(
        "explore",
        help="write a page to open in a browser: latent plane, gradient path, training",
        description="Write one HTML file that shows a trained VAE in a browser, without a network: "
        "drag z over its latent plane, follow one example through the lines of vae.py and back, "
        "train it further. `train` writes it, too.",
    )
    add.add_argument("run", metavar="RUN", help="a run folder, of the model VAE")
    add.add_argument(
        "--data", metavar="SOURCE", help="where the run's data are, if they have moved"
    )
    _add_out(add, ".html (default: RUN/explore.html)")
    add.set_defaults(command=run)


def add_check(commands: Any, run: Command) -> None:
    """`numpyvae check`, done by `run`."""
    add = commands.add_parser(
        "check",
        help="prove every derivative of the package, or check a gradient of your own",
        description="Without arguments: a table of every derivative of the package. With a "
        "function, its gradient and a point: is this the gradient? Exit code 0 yes, 1 no, "
        "3 cannot tell.",
    )
    option = add.add_argument
    option("f", nargs="?", metavar="F", help="your function, as my_module.py:f")
    option("grad", nargs="?", metavar="GRAD", help="its gradient, as my_module.py:grad_f")
    option(
        "--at",
        metavar="POINT",
        help="an .npz file with theta, whose other arrays are constants, passed by name to the "
        "functions that take them; or without it: one array, or several, of which F and GRAD get "
        "one dict. Or an .npy file, with theta alone",
    )
    option(
        "--method",
        choices=("auto", "complex", "central", "directional", "taylor"),
        default="auto",
        help="how to differentiate numerically (default: the most accurate that F supports)",
    )
    option("--directions", type=int, metavar="K", help="check K random directions, not every entry")
    option("--seed", type=int, default=0, help="of points and directions (default: %(default)s)")
    add.set_defaults(command=run)


def _add_samples(add: Any) -> None:
    """`--samples` of what estimates log p(x)."""
    add.add_argument(
        "--samples",
        type=int,
        default=500,
        metavar="S",
        help="importance samples for log p(x) (default: %(default)s)",
    )


def _add_out(add: Any, what: str) -> None:
    """Where the command writes, and whether over a file that exists."""
    add.add_argument("--out", metavar="FILE", help=what)
    add.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def _add_choices(option: Callable[..., Any]) -> None:
    """Which parts of a user's file are data, and which are labels."""
    option("--key", metavar="NAME", help="the array to take from an .npz file")
    option(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help="columns to take, by name or by number from 1",
    )
    option("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    option("--label-column", metavar="COLUMN", help="column with the classes, for colours")


def add_train(commands: Any, run: Command, model: str) -> None:
    """`numpyvae train --model MODEL`, done by `run`, with the options of that model."""
    add = commands.add_parser(
        "train",
        prog="numpyvae train" + (f" --model {model}" if model != "VAE" else ""),
        help="train a model and draw its pictures",
        description=f"Train a model (here {model}) and draw its pictures. The run is saved after "
        "its first epoch and then every few seconds; if it ends early (Ctrl-C, SIGTERM, "
        "SIGHUP, a kill, a loss of power), the run remains: evaluate opens it, and --resume "
        "continues. Exit code 0 done, 1 done but a picture is missing, 2 an error, 130, 143 and "
        "129 ended by those signals.",
    )
    defaults: dict[str, Any] = {}

    def option(name: str, *, help: str, default: Any = None, **how: Any) -> None:  # noqa: A002
        """An option without a default in argparse, so that only what the user gave is set."""
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        said = default is None or isinstance(default, bool) or not shown
        text = help if said else f"{help} (default: {shown})"
        action = add.add_argument(name, default=argparse.SUPPRESS, help=text, **how)
        defaults[action.dest] = default

    option(
        "--data",
        default="digits",
        metavar="SOURCE",
        help="digits, mnist, or a .npy, .npz or .csv file with one example per row",
    )
    _add_choices(option)
    option(
        "--standardize",
        action=argparse.BooleanOptionalAction,
        help="standardise the columns inside the model (mean 0, standard deviation 1); by default "
        "for real-valued data in other units",
    )
    option(
        "--model",
        choices=tuple(ours()),
        default="VAE",
        metavar="NAME",
        help=f"{', '.join(ours())}; `train --model NAME --help` has its options",
    )
    for own in model_options(model):
        option(own.name, default=own.default, **own.how)
    if MODELS[model].unknown_labels:
        option(
            "--known",
            type=int,
            metavar="N",
            help="how many training labels are known, spread evenly over the classes "
            "(default: all)",
        )
    option(
        "--likelihood",
        type=_likelihood,
        metavar="P",
        help=", ".join(kind.text for kind in LIKELIHOODS.values()) + "; the default fits the data",
    )
    option(
        "--epochs",
        type=int,
        default=300,
        metavar="E",
        help="passes over the training data; with --resume, including those already done",
    )
    option("--batch-size", type=int, default=128, metavar="N", help="examples per step")
    option("--learning-rate", type=float, default=3e-3, metavar="RATE", help="of Adam")
    option(
        "--weight-decay",
        type=float,
        default=0.0,
        metavar="DECAY",
        help="of Adam: each step also takes RATE times DECAY off every parameter (AdamW)",
    )
    option(
        "--early-stopping",
        type=int,
        metavar="PATIENCE",
        help="stop after PATIENCE epochs in a row without a better test ELBO",
    )
    option(
        "--keep-best",
        action="store_true",
        help="keep the epoch with the best test ELBO, not the last one",
    )
    option(
        "--film",
        action="store_true",
        help="draw film.gif and film.png: the latent space after epochs 1, 2, 4, 8, ... and the "
        "last epoch that this command trains",
    )
    option("--seed", type=int, default=0, help="of parameters, order and noise")
    option(
        "--out",
        metavar="FOLDER",
        help="output folder (default: the next free runs/NAME-1, runs/NAME-2, ...)",
    )
    option(
        "--overwrite",
        action="store_true",
        help="replace the run in that folder, after the first epoch is trained",
    )
    option(
        "--resume",
        metavar="RUN",
        help="continue an interrupted run, or train it for more --epochs, on as many ranks as "
        "before (mpiexec -n); the result is the same, bit for bit, as if it had never stopped",
    )
    add.set_defaults(command=run, defaults=defaults)


def _likelihood(text: str) -> Likelihood:
    """`likelihood_from_text` for argparse, which shows only this exception's message."""
    try:
        return likelihood_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
