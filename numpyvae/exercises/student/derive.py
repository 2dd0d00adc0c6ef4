"""`numpyvae exercises derive 3`: the derivation of an exercise, as plain text."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpyvae
from numpyvae.exercises.judge.catalogue import Exercise, exercise_numbered
from numpyvae.exercises.student.courses import add_course, courses_of
from numpyvae.exercises.student.plain_math import plain_text

__all__ = ["add_to", "derivation", "section"]

PACKAGE = Path(numpyvae.__file__).parent
CHAPTERS = PACKAGE / "derivations", PACKAGE.parent / "docs" / "derivations"
"""Where the chapters are: the first in an installed package, the second in a checkout."""


def add_to(commands: Any) -> None:
    """Add `derive` to the commands of `numpyvae exercises`."""
    add = commands.add_parser(
        "derive",
        help="the derivation of an exercise, to read in the terminal",
        description="Print the sections that derive an exercise. `| less` shows them by pages.",
    )
    add.add_argument("folder", nargs="?", metavar="FOLDER", help="not needed: not looked at")
    add.add_argument("number", metavar="EXERCISE", help="its number")
    add_course(add, part=False)
    add.set_defaults(command=derive)


def derive(arguments: argparse.Namespace) -> int:
    """Print the derivation of an exercise."""
    courses = courses_of(arguments).values()
    there = [e for course in courses for e in course.exercises]
    print(derivation(exercise_numbered(arguments.number, there)), end="")
    return 0


def derivation(exercise: Exercise) -> str:
    """All sections that derive an exercise, or where they are. ValueError if nobody says."""
    if not exercise.derivation:
        raise ValueError(f"{exercise.file}: its catalogue names no derivation")
    return "\n\n".join(_shown(exercise, place) for place in exercise.derivation)


def _shown(exercise: Exercise, place: str) -> str:
    """The section that a place names, below the place; an address alone.

    ValueError if a teacher's own file or its heading is not there.
    """
    file, _, heading = place.partition(", ")
    name = Path(file).name
    own = [Path(exercise.folder) / file] if exercise.folder else [c / name for c in CHAPTERS]
    path = next((path for path in own if path.is_file()), None)
    if path is None and exercise.folder and "://" not in place:
        raise ValueError(
            f"{own[0]}: no such file, but the catalogue names it for {exercise.file}; "
            "an address begins with https://"
        )
    if path is None:
        return f"{place}\n"
    text = section(path.read_text(encoding="utf-8"), heading)
    if not text:
        raise ValueError(f"{path}: expected a heading {heading!r}, but there is none")
    return f"{place}\n\n{plain_text(text.partition(chr(10))[2])}"


def section(markdown: str, heading: str = "") -> str:
    """From a heading to the next that is not below it; all of a page for its title or none.

    What looks like a heading within code is none. "" if there is no such heading.
    """
    fence, level, kept = False, 0 if heading else 1, []
    for line in markdown.split("\n"):
        found = None if fence else re.match(r"(#+) (.*)$", line)
        fence ^= line.startswith("```")
        if found and level and heading and len(found[1]) <= level:
            break
        if found and not level and found[2] == heading:
            level = len(found[1])
        if level:
            kept.append(line)
    return re.split(r"^Previous: |^Next: |^\[All chapters\]", "\n".join(kept), flags=re.M)[0]
