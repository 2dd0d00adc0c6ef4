"""What a student's functions return where they are checked: to look at, print and debug."""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path

from numpyvae.exercises.judge import own
from numpyvae.exercises.judge.catalogue import ALL, Arrays, draw_points, exercise_numbered
from numpyvae.exercises.judge.reference import perform_here
from numpyvae.exercises.sandbox.submitted import read_submitted

__all__ = ["rerun"]


def rerun(
    folder: str | PathLike[str],
    number: int,
    seed: int | str = 0,
    exercises: str | PathLike[str] | None = None,
) -> Arrays:
    """Run exercise `number` of a folder in this process; its results by name.

    `rerun("hw", 3)["reparameterize/0/dlog_var"]` is dlog_var at the first of the two places where
    the function is tried. Breakpoints and print work. Only for code that you trust: your own.
    `exercises` is the folder of a teacher's own exercises, if it is one of these.

    Raises whatever the functions raise; TypeError if one returns something of the wrong form.
    """
    there = ALL if exercises is None else own.load(Path(exercises)).exercises
    exercise = exercise_numbered(number, there)
    source = read_submitted(Path(folder) / exercise.file)

    def raise_it(function: str, kind: str, text: str) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            raise error
        raise TypeError(f"{function}: {'expected ' if kind == 'form' else ''}{text}")

    return perform_here(exercise, source, draw_points(exercise, seed), raise_it)
