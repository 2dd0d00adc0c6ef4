"""The options of the `numpyvae` command: what each is called, what it takes, what it is for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from numpyvae.likelihoods import LIKELIHOODS, Likelihood, likelihood_from_text
from numpyvae.model_options import model_options, ours
from numpyvae.models import MODELS

__all__ = [
    "BAD_INPUT", "OPTIONS", "Parser",
    "add_check", "add_compare", "add_evaluate", "add_explore", "add_sample", "add_train",
]  # fmt: skip

Command = Callable[[argparse.Namespace], int]

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


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

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
    add.add_argument("--samples", type=int, default=500, metavar="S",
                     help="importance samples for log p(x) (default: %(default)s)")  # fmt: skip
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
    option("--examples", type=int, metavar="N",
           help="be quick: measure on N test examples, drawn at random (default: all)")  # fmt: skip
    option("--samples", type=int, default=500, metavar="S",
           help="importance samples for log p(x) (default: %(default)s)")  # fmt: skip
    option(
        "--seed", type=int, default=0, help="of samples and of --examples (default: %(default)s)"
    )
    add.set_defaults(command=run)


def add_sample(commands: Any, run: Command) -> None:
    """`numpyvae sample`, done by `run`."""
    add = commands.add_parser(
        "sample",
        help="draw z from the prior: a picture of the means E[x|z], or their numbers",
        description="Draw z from the prior and write E[x|z], the mean of p(x|z), for each: a "
        "picture (.png), or one row a draw (.npy, .csv).",
    )
    add.add_argument("run", metavar="RUN", help="a run folder")
    add.add_argument("--n", type=int, default=64, help="how many (default: %(default)s)")
    add.add_argument("--label", action="append", default=[], metavar="CLASS",
                     help="of a model with labels: draw this class alone, called by its label or "
                          "by its number from 0; may be repeated")  # fmt: skip
    add.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    add.add_argument(
        "--out", metavar="FILE", help=".png, .npy or .csv (default: RUN/samples_seedSEED.png)"
    )
    add.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
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
    add.add_argument("--out", metavar="FILE", help=".html (default: RUN/explore.html)")
    add.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add.set_defaults(command=run)


def add_check(commands: Any, run: Command) -> None:
    """`numpyvae check`, done by `run`."""
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
    add.set_defaults(command=run)


def _add_choices(option: Callable[..., Any]) -> None:
    """What of a user's own file is data, and what are labels."""
    option("--key", metavar="NAME", help="array of an .npz file to take")
    option(
        "--columns", nargs="+", metavar="COLUMN", help="columns to take, by name or number from 1"
    )
    option("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    option("--label-column", metavar="COLUMN", help="column with classes, for colours")


def add_train(commands: Any, run: Command, model: str) -> None:
    """`numpyvae train --model MODEL`, done by `run`, with the options of that model."""
    add = commands.add_parser(
        "train",
        prog="numpyvae train" + (f" --model {model}" if model != "VAE" else ""),
        help="train a model and draw its pictures",
        description=f"Train a model (here {model}) and draw its pictures. The run is saved after "
        "its first epoch and every few seconds from then on; what ends it early (Ctrl-C, SIGTERM, "
        "SIGHUP, a kill, a loss of power) leaves a run that evaluate opens and --resume "
        "continues. Exit code 0 done, 1 done but a picture is missing, 2 an error, 130, 143 and "
        "129 ended by those signals.",
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
    option("--model", choices=tuple(ours()), default="VAE", metavar="NAME",
           help=f"{', '.join(ours())}; `train --model NAME --help` has its options")  # fmt: skip
    for own in model_options(model):
        option(own.name, default=own.default, **own.how)
    if MODELS[model].unknown_labels:
        option("--known", type=int, metavar="N", help="how many labels of the training data are "
               "known, as many of each class as can be; all, if it is not given")  # fmt: skip
    option("--likelihood", type=_likelihood, metavar="P",
           help=", ".join(kind.text for kind in LIKELIHOODS.values())
                + "; the default fits the data")  # fmt: skip
    option("--epochs", type=int, default=300, metavar="E",
           help="passes over the training data, with --resume those before included")  # fmt: skip
    option("--batch-size", type=int, default=128, metavar="N", help="examples a step")
    option("--learning-rate", type=float, default=3e-3, metavar="RATE", help="of Adam")
    option("--early-stopping", type=int, metavar="PATIENCE",
           help="end after PATIENCE epochs in a row without a better test ELBO")  # fmt: skip
    option("--keep-best", action="store_true",
           help="keep the epoch of the best test ELBO, not the last")  # fmt: skip
    option("--film", action="store_true",
           help="draw film.gif and film.png, the latent space after epochs 1, 2, 4, 8, ... and the "
                "last, of those that this command trains")  # fmt: skip
    option("--seed", type=int, default=0, help="of parameters, order and noise")
    option("--out", metavar="FOLDER", help="output folder; the default is the next runs/NAME-1, -2")
    option("--overwrite", action="store_true",
           help="replace the run in that folder, once the first epoch is trained")  # fmt: skip
    option("--resume", metavar="RUN",
           help="go on with a run that was interrupted, or with more --epochs, to the same bits "
                "as if it had never stopped")  # fmt: skip
    add.set_defaults(command=run, defaults=defaults)


def _likelihood(text: str) -> Likelihood:
    """`likelihood_from_text` for argparse, which shows only this exception's message."""
    try:
        return likelihood_from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
