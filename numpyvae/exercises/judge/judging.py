"""The verdict on one exercise of one student: marks, what is wrong, and its name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import Exercise, draw_points
from numpyvae.exercises.judge.compare import UNDONE, Fault, faults_of, looks_numerical
from numpyvae.exercises.judge.diagnosis import Diagnosis, name_mistakes
from numpyvae.exercises.judge.meant import meant
from numpyvae.exercises.judge.tasks import run
from numpyvae.exercises.sandbox.cells import as_python
from numpyvae.exercises.sandbox.process import Trouble
from numpyvae.exercises.sandbox.runner import LIMITS, NO_SHAPES, Limits, Outcome, Shapes
from numpyvae.exercises.sandbox.submitted import read_submitted

__all__ = ["Verdict", "judge", "judge_file", "judge_source", "source_of"]


class Verdict(NamedTuple):
    """The result of judging one exercise."""

    exercise: Exercise
    status: str  # "pass", "fail" or "not done"
    marks: dict[str, int]  # function -> marks earned
    faults: tuple[Fault, ...] = ()
    named: tuple[Diagnosis, ...] = ()
    printed: str = ""
    confined: bool = True
    look: tuple[str, ...] = ()  # what a teacher may want to look at; no mark depends on it
    shapes: Shapes = NO_SHAPES  # what `alike` compares, if it was asked for

    @property
    def total(self) -> int:
        """Marks earned."""
        return sum(self.marks.values())

    @property
    def out_of(self) -> int:
        """Marks available."""
        return sum(self.exercise.marks.values())


def judge(exercise: Exercise, outcome: Outcome, seed: int | str) -> Verdict:
    """Judge a student's results. A function earns all its marks or none.

    What was written is not read: what counts is what ran.
    """
    with np.errstate(all="ignore"):
        return _judge(exercise, outcome, seed)


def _judge(exercise: Exercise, outcome: Outcome, seed: int | str) -> Verdict:
    faults = faults_of(exercise, outcome, reference.right(exercise, seed))
    if outcome.end and not faults:  # all is there and right, and then it would not end
        faults = [Fault(exercise.functions[-1].names[-1], "stopped", outcome.end)]
    faulty = {fault.function for fault in faults}
    earned = {name: 0 if name in faulty else m for name, m in exercise.marks.items()}
    undone = {fault.function for fault in faults if fault.kind in UNDONE}
    status = "pass" if not faults else "not done" if faulty == undone else "fail"
    named: list[Diagnosis] = []
    if status == "fail":
        with contextlib.suppress(Exception):  # whatever the numbers are, it costs a name, no marks
            named = name_mistakes(exercise, outcome, seed, faults)
    explained = {
        name for n in named for f in exercise.functions if n.function in f.names for name in f.names
    }
    unexplained = [fault for fault in faults if fault.function not in explained]
    return Verdict(
        exercise,
        status,
        earned,
        tuple(faults),
        tuple(named),
        outcome.printed,
        outcome.confined,
        tuple(looks_numerical(exercise, outcome, unexplained)),
        outcome.shapes,
    )


def judge_source(
    exercise: Exercise, source: str, seed: int | str = 0, limits: Limits = LIMITS
) -> Verdict:
    """Run a student's source in a separate process and judge its results."""
    try:
        outcome = run(exercise, source, draw_points(exercise, seed), limits)
    except Trouble as error:
        return _unread(exercise, "grader", str(error))
    return judge(exercise, outcome, seed)


def source_of(exercise: Exercise, folder: Path) -> str:
    """The text of the exercise's file in a student's folder. OSError, ValueError if unreadable."""
    return as_python(read_submitted(folder / exercise.file), exercise.marks, exercise.file)


def judge_file(
    exercise: Exercise, folder: Path, seed: int | str = 0, limits: Limits = LIMITS
) -> Verdict:
    """The verdict on the exercise's file in a student's folder, even if the file is missing."""
    try:
        source = source_of(exercise, folder)
    except FileNotFoundError:
        near = sorted(p.name for p in folder.iterdir() if meant(p.name, (exercise.file,)))
        there = f"; there is {near[0]}: rename it" if near else ""
        return _unread(exercise, "not done", f"there is no {exercise.file}{there}")
    except (OSError, ValueError) as error:
        return _unread(exercise, "error", str(error))
    return judge_source(exercise, source, seed, limits)


def _unread(exercise: Exercise, kind: str, text: str) -> Verdict:
    status = "not done" if kind == "not done" else "fail"
    faults = tuple(Fault(name, kind, text) for name in exercise.marks)
    return Verdict(exercise, status, dict.fromkeys(exercise.marks, 0), faults)
