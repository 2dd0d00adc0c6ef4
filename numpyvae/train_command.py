"""`numpyvae train`: a run from its arguments to its pictures, whatever happens in between.

The run is saved first and drawn afterwards, so that no signal, full disk or failed picture loses
what was learned, and the last message is true when it is printed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGINT
from typing import Any, NamedTuple

from numpyvae import evaluation, run_data, runs
from numpyvae.explore import PAGE, why_no_page
from numpyvae.interrupts import INTERRUPTED, Interrupted, Interrupts
from numpyvae.models import Model
from numpyvae.ranks import RankGoneError, RanksDifferError, own_rank
from numpyvae.run_files import resume_command, shown
from numpyvae.run_folder import PICTURES, RunFolder, next_folder
from numpyvae.run_labels import data_of
from numpyvae.train_plan import Plan, is_stopped, new_plan, resumed_plan
from numpyvae.train_ranks import Trainer, communicator, follow, rank_0_first
from numpyvae.training import DivergenceError
from numpyvae.validation import counted, memory_for

__all__ = ["Console", "train"]

DONE, NO_PICTURE = 0, 1

SECONDS_BETWEEN_SAVES = 5.0
LARGEST_SHARE = 0.02
"""The share of the time for saving in between: a model that is slow to save is saved less often."""


class Console(NamedTuple):
    """The command's output: a line to the user, a line on standard error."""

    say: Callable[[str], None]
    fail: Callable[..., int]
    """fail(error, addition="") returns the exit code of bad input."""


def train(given: Mapping[str, Any], defaults: Mapping[str, Any], console: Console) -> int:
    """Train a model and keep what was learned, also if it ends early; returns the exit code.

    `given` are the options of the command line, by name. Raises OSError, TypeError or ValueError
    for mistakes that can be found before training.
    """
    with Interrupts() as interrupts, contextlib.ExitStack() as stack:

        def prepare() -> tuple[RunFolder, Plan]:
            with interrupts.listening():
                return _prepare(given, defaults, interrupts, stack)

        try:
            comm = communicator()
            if comm:
                defaults = {**defaults, "ranks": comm.size}  # recorded among the options
            if comm and comm.rank:
                follow(given, defaults, interrupts, comm)
                return DONE
            folder, plan = rank_0_first(comm, prepare) if comm else prepare()
        except Interrupted as end:
            console.say("Interrupted before training: nothing was written.")
            return end.code
        except (ModuleNotFoundError, RanksDifferError) as error:  # said once, by one rank
            return DONE if own_rank() else console.fail(error)
        run = _Training(folder, plan, interrupts, console, comm)
        for note in plan.notes:
            console.say(f"{shown(Path(plan.source).name)}: {note}")
        console.say(
            f"{shown(plan.source)}: {counted(len(plan.data.x_train), 'example')} of dimension "
            f"{plan.vae.data_dim} to train on, {len(plan.data.x_test)} to test on\n"
            f"{plan.vae!r}, {plan.vae.layout.size:,} parameters"
        )
        return run.finish(run.fit())


def _prepare(
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    interrupts: Interrupts,
    stack: contextlib.ExitStack,
) -> tuple[RunFolder, Plan]:
    """The folder, locked and checked to be writable, and the plan."""
    options = {**defaults, **given}
    if "resume" in given:
        with interrupts.held():
            folder = stack.enter_context(RunFolder(given["resume"], resume=True))
        plan = resumed_plan(given, defaults)
    else:
        plan = new_plan(options)
        with interrupts.held():
            folder = stack.enter_context(_new_folder(options))
    folder.rehearse(plan.vae, plan.config)
    return folder, plan


def _in_options(error: DivergenceError, data: run_data.RunData) -> DivergenceError:
    """The message with the column's name, and with the option that helps."""
    if error.column is None or not data.parts:
        return error
    column = data.parts[0].table.column(error.column)
    remedy = f"Column {column} has {error.size}: add --standardize"
    remedy += f", or try {error.rate}" if error.rate else ""
    return DivergenceError(error.event, remedy)


def _new_folder(options: Mapping[str, Any]) -> RunFolder:
    out = options["out"]
    if out is None:
        return next_folder(options["data"])
    if not out:
        raise ValueError("--out '': expected the name of a folder")
    return RunFolder(out, overwrite=options["overwrite"])


class _Training:
    """The training of a plan: saved after its first epoch, every few seconds, and at its end."""

    def __init__(
        self, folder: RunFolder, plan: Plan, interrupts: Interrupts, console: Console, comm: Any
    ) -> None:
        self.folder, self.plan, self.interrupts = folder, plan, interrupts
        self.train = Trainer(plan, interrupts, comm)
        self.say, self.fail = console
        self.vae, self.best = plan.vae, plan.best
        self.epochs_before = self.epochs_followed = self.epochs_saved = plan.vae.epochs_trained
        self.next_save = 0.0
        self.error: Exception | None = None

    def fit(self) -> BaseException | None:
        """Train; return the exception that ended it early, or None."""
        plan = self.plan
        if not plan.epochs:
            return None
        step = f"a step on {counted(plan.config['batch_size'], 'example')} (--batch-size)"
        try:
            with memory_for(step):
                self.train([self._after_epoch, *(f for f in (plan.stopping, plan.film) if f)])
        except DivergenceError as error:
            return _in_options(error, plan.data)
        except (KeyboardInterrupt, MemoryError, OSError, RanksDifferError, ValueError) as error:
            return error
        return None

    def _after_epoch(self, _: Model, record: dict[str, float]) -> None:
        """Save if it is time. A save that fails does not end the training: the next may succeed."""
        with self.interrupts.held():
            self._follow()
            failed_before = self.error
            if time.monotonic() >= self.next_save and not self._save() and not failed_before:
                text = f" Epoch {record['epoch']} could not be saved; the training goes on."
                self.fail(self.error, text)
        if self.interrupts.received and not self.train.comm:  # Python has swallowed the exception
            raise Interrupted(self.interrupts.received[0])

    def _follow(self) -> None:
        """Let `best` see the last epoch, once."""
        if self.best and self.epochs_followed < self.vae.epochs_trained:
            self.best(self.vae, self.vae.history[-1])
        self.epochs_followed = self.vae.epochs_trained

    def _save(self) -> bool:
        """Save the model's present state as the run; `error` says why if that fails."""
        started = time.monotonic()
        self._follow()
        try:
            with memory_for(f"saving {self.folder.name}"):
                self.folder.save(self.vae, self.plan.config, self.best.theta if self.best else None)
            self.epochs_saved, self.error = self.vae.epochs_trained, None
        except (OSError, MemoryError) as error:
            self.error = error
        now = time.monotonic()
        self.next_save = now + max(SECONDS_BETWEEN_SAVES, (now - started) / LARGEST_SHARE)
        return self.error is None

    def finish(self, end: BaseException | None) -> int:
        """Save, draw and report the result; return the exit code."""
        name, epochs = self.folder.name, self.vae.epochs_trained
        if end is not None and epochs == self.epochs_before:
            return self._nothing_new(end)
        if not self._save():
            return self.fail(
                self.error, f" Of {counted(epochs, 'epoch')}, {self.epochs_saved} are in {name}."
            )
        if self.best:
            self.best.finish(self.vae)
        try:
            with self.interrupts.listening():
                return self._draw_and_say(end)
        except RankGoneError as gone:
            return self.fail(f"{gone} after {counted(epochs, 'epoch')}: {self._left()}")
        except KeyboardInterrupt as second:  # in a hurry
            self.say(f"Interrupted after {counted(epochs, 'epoch')}: {self._left()}")
            return _code(end if isinstance(end, KeyboardInterrupt) else second)
        except Exception as error:  # of any kind: the model is not lost
            return self.fail(error, f" The model is in {name}/.")

    def _draw_and_say(self, end: BaseException | None) -> int:
        """Write pictures and the last lines, if the signal that ended the training leaves time."""
        if isinstance(end, RankGoneError) or (
            isinstance(end, Interrupted) and end.number != SIGINT
        ):
            raise end
        complete = self._draw()
        if isinstance(end, Exception):
            learned = counted(self.vae.epochs_trained, "epoch")
            kept = f" What was learned in {learned} is in {self.folder.name}"
            best = (
                f", with the parameters of the best, epoch {self.best.epoch}" if self.best else ""
            )
            return self.fail(end, f"{kept}{best}.")
        if end is None and (stopping := self.plan.stopping) and is_stopped(stopping):
            self.say(
                f"Early stopping: no better test ELBO for {counted(stopping.waited, 'epoch')}."
            )
        self.say(self._summary("Learned in" if end is None else "Interrupted after"))
        return _code(end) if end else DONE if complete else NO_PICTURE

    def _left(self) -> str:
        """What a training leaves that had no time to draw all pictures."""
        drawn = "not all" if self._pictures() else "no"
        return (
            f"the model is in {self.folder.name}/, {drawn} pictures were drawn. "
            f"{resume_command(self.folder.given, self.plan.config)} goes on."
        )

    def _nothing_new(self, end: BaseException) -> int:
        """The end of a training before the end of its first epoch."""
        if not isinstance(end, KeyboardInterrupt):
            return self.fail(end)
        if self.epochs_before:
            kept = f"{self.folder.name} is as it was, after {counted(self.epochs_before, 'epoch')}."
        else:
            kept = "nothing was learned, and nothing was written."
        self.say(f"Interrupted before the end of an epoch: {kept}")
        return _code(end)

    def _draw(self) -> bool:
        """Write history and pictures; if some fail, one line names them and the result is False."""
        missing = runs.write_pictures(self.folder.path, self.vae, self.plan.data, self.plan.film)
        if missing:
            reasons = "; ".join(f"{', '.join(files)} ({why})" for why, files in missing.items())
            self.fail(f"the model is in {self.folder.name}/; not drawn: {reasons}")
        return not missing

    def _pictures(self) -> list[str]:
        return [name for name in PICTURES if (self.folder.path / name).exists()]

    def _epochs(self, what: str) -> str:
        """How many epochs this command has trained, and how long it took, as history.csv has it."""
        of_this = self.vae.history[self.epochs_before :]
        total = counted(self.vae.epochs_trained, "epoch")
        if not of_this:
            return f"Nothing left to train after {total}"
        if self.epochs_before:
            total = f"{counted(len(of_this), 'more epoch')}, {self.vae.epochs_trained} in all"
        return f"{what} {total} ({sum(record['seconds'] for record in of_this):.1f} s)"

    def _summary(self, what: str) -> str:
        plan, vae, name = self.plan, self.vae, self.folder.name
        x, labels = plan.data.test_examples(), plan.data.labels
        data = data_of(vae, x, labels, plan.data.classes)
        terms = evaluation.mean_terms(vae, data, 10)
        bound, means = vae.bound(terms), {name: float(a.mean()) for name, a in terms.items()}
        if {*means} >= {"log_px", "kl"}:
            active = evaluation.active_units(vae, data)
            result = (
                f"test ELBO {bound.mean():.2f} nats = log p(x|z) {means['log_px']:.2f} - "
                f"KL {means['kl']:.2f}, {active.sum()} of {len(active)} units active"
            )
        else:
            found = means if bound is None else {"elbo": float(bound.mean()), **means}
            parts = [f"{evaluation.name_of(name)} {mean:.2f}" for name, mean in found.items()]
            result = f"test {', '.join(parts)} nats"
        best = f" (epoch {self.best.epoch} is kept)" if self.best else ""
        no_page = f"; no {PAGE}: {reason}" if (reason := why_no_page(vae)) else ""
        return (
            f"{self._epochs(what)}{best}: {result}.\n"
            f"Pictures: {name}/ ({', '.join(self._pictures()) or 'none'}{no_page})"
        )


def _code(end: BaseException) -> int:
    return getattr(end, "code", INTERRUPTED)
