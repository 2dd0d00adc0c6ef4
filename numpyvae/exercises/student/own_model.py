"""A student's own model: trained and decoded by the functions that they wrote, and then drawn.

These run in the sandbox, as they do when they are checked, and bring back arrays. Nothing else of
theirs reaches this process, which draws.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpyvae.data.digits import load_digits
from numpyvae.exercises.judge.catalogue import ALL, EXERCISES, Exercise, solution
from numpyvae.exercises.judge.judging import judge_file, source_of
from numpyvae.exercises.judge.reference import loaded
from numpyvae.exercises.judge.tasks import given_to
from numpyvae.exercises.sandbox import runner
from numpyvae.exercises.sandbox.perform import Given
from numpyvae.exercises.sandbox.process import Trouble
from numpyvae.exercises.sandbox.runner import Arrays, Limits, Outcome, Task
from numpyvae.exercises.student import pictures
from numpyvae.exercises.student.own_page import write_page

__all__ = ["WHOLE", "drawn", "initial_parameters"]

WHOLE = EXERCISES[9]
"""The exercise whose functions train and decode."""
STEPS, BATCH, RATE = 1500, 64, 5e-3
LIMITS = Limits(seconds=60)


def drawn(folder: Path, passes: Mapping[str, bool], seed: int | str) -> str:
    """Train, decode and draw; what to print. `passes` says it of files that were judged.

    Where an earlier exercise does not pass, a right version takes its place.
    """
    theirs = {
        e.file: passes[e.file] if e.file in passes else judge_file(e, folder, seed).status == "pass"
        for e in _needed()
    }
    try:
        losses, images, params = _trained(folder, theirs)
    except (OSError, ValueError, Trouble) as error:
        return f"No pictures of your own model: {error}"
    lent = [e.file for e in _needed() if not theirs[e.file]]
    said = f"Your own model, after {STEPS:,} steps on the digits: the loss fell from "
    said += f"{losses[0]:.1f} to {losses[-200:].mean():.1f} nats."
    said += f" A right version stands in for {', '.join(lent)}." if lent else ""
    said = f"{said}\n{pictures.draw(losses, images, folder, sys.stdout.encoding)}"
    return f"{said}\n{write_page(params, folder / pictures.PAGE)}"


def _needed() -> tuple[Exercise, ...]:
    """The exercises before the last that it is made of."""
    files = {f"{name}.py" for name, *_ in given_to(WHOLE)}
    return tuple(e for e in ALL if e.file in files)


def _trained(folder: Path, theirs: Mapping[str, bool]) -> tuple[Any, Any, Arrays]:
    """The losses, the images at `latent_points`, and the parameters. ValueError if one is odd."""
    rng = np.random.default_rng(0)
    params = initial_parameters(rng)
    x = (load_digits()[0] >= 8).astype(float)
    given, source = tuple(_given(folder, theirs)), source_of(WHOLE, folder)
    points = {
        "x": x,
        "batches": rng.integers(0, len(x), (STEPS, BATCH)),
        "noise": rng.standard_normal((STEPS, BATCH, 2)),
        "learning_rate": np.array(RATE),
    }
    after = _called("train", points, params, source, given)
    losses = _result(after, "train/0/losses", (STEPS,))
    trained = {
        name: _result(after, f"train/0/trained/{name}", p.shape) for name, p in params.items()
    }
    z = pictures.latent_points(rng)
    decoded = _called("decode", {"z": z}, trained, source, given)
    return losses, _result(decoded, "decode/0/probabilities", (len(z), x.shape[1])), trained


def initial_parameters(rng: Any) -> Arrays:
    """Those that the exercise itself begins with."""
    with loaded(WHOLE, solution(WHOLE.file)) as names:
        return names["initial_parameters"](rng)


def _given(folder: Path, theirs: Mapping[str, bool]) -> Iterator[Given]:
    """What `given` gives: the student's own functions where they pass."""
    by_name = {e.file.removesuffix(".py"): e for e in _needed()}
    for name, code, listed in given_to(WHOLE):
        if theirs[by_name[name].file]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = source_of(by_name[name], folder)
                code = compile(source, f"{name}.py", "exec", dont_inherit=True)
        yield name, code, listed


def _called(
    name: str, arguments: Arrays, params: Arrays, source: str, given: tuple[Given, ...]
) -> Outcome:
    """One call of a function of the last exercise, in the sandbox."""
    f = next(f for f in WHOLE.functions if f.name == name)
    call = {
        "function": name,
        "arguments": f.arguments,
        "outputs": f.outputs,
        "gradients": (),
        "derives": False,
        "places": 1,
        "once": True,
    }
    named = {**arguments, **{f"params/{key}": p for key, p in params.items()}}
    points = {f"{name}/0/{key}": array for key, array in named.items()}
    task = Task(WHOLE.file, tuple(WHOLE.marks), (call,), given)
    return runner.run(task, source, points, LIMITS)


def _result(outcome: Outcome, name: str, shape: tuple[int, ...]) -> Any:
    """An array that came back. ValueError, with the reason, if it is not there or not finite."""
    array = outcome.arrays.get(name)
    if array is None:
        reasons = [note.text for note in outcome.notes if note.kind != "missing"]
        raise ValueError(outcome.end or next(iter(reasons), f"{name} did not come back"))
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape} in {name}, got {array.shape}")
    return array.astype(float)
