"""Which exercises a command is about: a part of the course, or a teacher's own."""

from __future__ import annotations

import argparse
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from numpyvae.exercises.judge import own
from numpyvae.exercises.judge.catalogue import COURSES, Course, Exercise

__all__ = ["Courses", "add_course", "course_of", "courses_of", "exercises_of", "in_words"]

Courses = Mapping[int, Course]
WORDS = "no one two three four five six seven eight nine ten eleven twelve"


def in_words(n: int) -> str:
    """A count as a text writes it: ten, 13."""
    words = WORDS.split()
    return words[n] if n < len(words) else str(n)


def add_course(parser: Any, part: bool = True) -> None:
    """Add `--exercises`, `--marks` and, where one part has to be chosen, `--part` to a command."""
    which = parser.add_mutually_exclusive_group()
    if part:
        has = ", ".join(f"{number} has exercises {c.numbers}" for number, c in COURSES.items())
        which.add_argument(
            "--part",
            type=int,
            choices=list(COURSES),
            default=1,
            help=f"of the course: {has} (default: %(default)s)",
        )
    which.add_argument(
        "--exercises",
        type=Path,
        metavar="FOLDER",
        help="your own exercises instead, as `numpyvae exercises template FOLDER` writes them",
    )
    parser.add_argument(
        "--marks", type=Path, metavar="FILE.csv", help="other marks: lines of function,marks"
    )


def courses_of(arguments: argparse.Namespace) -> Courses:
    """The courses that a command may be about: all parts, or a teacher's own. ValueError if bad."""
    folder, marks = arguments.exercises, arguments.marks
    courses = COURSES if folder is None else {0: own.load(folder)}
    return courses if marks is None else own.with_marks(courses, marks)


def course_of(arguments: argparse.Namespace) -> Course:
    """The one course that a command with `--part` is about."""
    courses = courses_of(arguments)
    return courses[arguments.part if arguments.exercises is None else 0]


def exercises_of(files: Container[str], courses: Courses = COURSES) -> tuple[Exercise, ...]:
    """The exercises of the courses that have a file among `files`; of the first if none has."""
    there = [c.exercises for c in courses.values() if any(e.file in files for e in c.exercises)]
    return tuple(e for own in there for e in own) or next(iter(courses.values())).exercises
