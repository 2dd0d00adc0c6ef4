"""`numpyvae exercises ...`: the coursework kit on the command line."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from numpyvae.exercises.judge.catalogue import Exercise, exercise_numbered
from numpyvae.exercises.judge.judging import judge_file
from numpyvae.exercises.judge.meant import meant
from numpyvae.exercises.sandbox.process import FORKERS
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.student import hints, notebook, own_model, report, stubs
from numpyvae.exercises.student.courses import add_course, course_of, courses_of
from numpyvae.validation import counted

__all__ = ["add_to"]

COMMANDS = (
    "student.watch",
    "student.derive",
    *(f"teacher.{m}" for m in ("grading", "gradescope", "kit", "lint", "template")),
)


def add_to(commands: Any) -> None:
    """Add `exercises` and its own commands to the command line."""
    parser = commands.add_parser(
        "exercises",
        help="coursework: exercises on backprop through sampling, checked and graded",
        description="Exercises on backprop through sampling. A student: "
        "start, check, watch, hint, derive. A teacher: grade, autograder, export, lint; template, "
        "for exercises of your own.",
    )
    own = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = own.add_parser("start", help="write a folder of files to fill in")
    add.add_argument("folder", type=Path, metavar="FOLDER")
    add.add_argument(
        "--notebook", action="store_true", help="one notebook instead, with a check under each"
    )
    add_course(add)
    add.set_defaults(command=start)

    for name, function, text in (
        ("check", check, "what passes, what fails, and which mistake it is"),
        ("hint", hint, "the next hint for an exercise"),
    ):
        add = own.add_parser(name, help=text)
        add.add_argument("folder", type=Path, metavar="FOLDER")
        add.add_argument(
            "number",
            nargs="?",
            metavar="EXERCISE",
            help="its number; default: "
            + ("all" if name == "check" else "the first that does not pass"),
        )
        add.add_argument("--seed", default="0", help="of the numbers used for the check")
        add_course(add, part=False)
        add.set_defaults(command=function)
    for module in COMMANDS:
        importlib.import_module(f"numpyvae.exercises.{module}").add_to(own)


def start(arguments: argparse.Namespace) -> int:
    """Write a student's folder."""
    course = course_of(arguments)
    first, own = course.exercises[0], arguments.exercises
    if arguments.notebook:
        written, kept = stubs.write(arguments.folder, notebook.files(course))
    else:
        written, kept = stubs.start(arguments.folder, course)
    print(
        f"{arguments.folder}/: {counted(len(written), 'file')} written"
        + (f", {len(kept)} kept unchanged" if kept else "")
    )
    if arguments.notebook:
        beside = f", with a copy of {own} beside it" if own else ""
        print(f"Open {arguments.folder / notebook.NAMES[course.part]} in Jupyter{beside}.")
        return 0
    print(
        f"Begin with {first.file}, and check it: "
        f"numpyvae exercises check {arguments.folder} {first.number}"
        + (f" --exercises {own}" if own else "")
    )
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Print the verdict on each exercise; exit code 0 if all of them pass."""
    folder, seed, verdicts = arguments.folder, arguments.seed, []
    with FORKERS.kept():
        for exercise in _chosen(arguments):
            verdicts.append(judge_file(exercise, folder, seed, Limits()))
            text = report.verdict_text(verdicts[-1], folder, sys.stdout.isatty(), seed)
            built = report.built_text(exercise) if verdicts[-1].status == "pass" else ""
            print("\n".join(filter(None, [text, built])), flush=True)
        if len(verdicts) > 1:
            print(f"{report.bar(verdicts)}  {report.summary(verdicts)}", flush=True)
        passes = {v.exercise.file: v.status == "pass" for v in verdicts if not v.exercise.folder}
        if passes.get(own_model.WHOLE.file):
            print(f"\n{own_model.drawn(folder, passes, seed)}")
    return 0 if all(v.status == "pass" for v in verdicts) else 1


def hint(arguments: argparse.Namespace) -> int:
    """Print the next hint, for what the check says is wrong now."""
    for exercise in _chosen(arguments):
        verdict = judge_file(exercise, arguments.folder, arguments.seed, Limits())
        if verdict.status != "pass" or arguments.number is not None:
            print(f"{exercise.file}, {exercise.title}")
            print(hints.next_hint(arguments.folder, verdict))
            return 0
    print("All exercises pass: no hint is needed.")
    return 0


def _chosen(arguments: argparse.Namespace) -> list[Exercise]:
    """The exercise asked for, or all in the folder. ValueError if there is none."""
    folder, number = stubs.existing(arguments.folder), arguments.number
    there = stubs.exercises_in(folder, courses_of(arguments))
    files = tuple(exercise.file for exercise in there)
    if not any(meant(path.name, files) for path in folder.iterdir()):
        started = f"started with{'out' if arguments.exercises else ''} --exercises"
        raise ValueError(
            f"{folder}: expected {' to '.join(dict.fromkeys((files[0], files[-1])))}, but none is "
            f"there: was it {started}, or with --notebook, which has its own checks?"
        )
    return list(there) if number is None else [exercise_numbered(number, there)]
