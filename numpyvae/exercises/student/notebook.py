"""A course as one notebook: the task with its formulas rendered, cells to write in, a check."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpyvae.exercises.judge.catalogue import COURSES, Course, Exercise
from numpyvae.exercises.student import stubs
from numpyvae.exercises.student.courses import in_words

__all__ = ["files", "formulas", "notebook"]

NAMES = {0: "exercises.ipynb", 1: "exercises.ipynb", 2: "exercises_part_two.ipynb"}
TEXTS = Path(__file__).parent / "texts"
BLOCK = re.compile(r"(?:^    .*\n)+", re.M)  # indented lines
INTRO = """{title}

{files}: of each the task, a cell to write in and a cell that checks. Replace the lines `raise
NotImplementedError`, using only NumPy, and run the check until it says *pass*. It runs your
functions in a process of their own and, where they are wrong, says which mistake it is.{more}
"""
MORE = """

Each exercise is checked with correct versions of the earlier ones, so a mistake counts only once.
Everything is in nats. In a terminal, `numpyvae exercises derive {first}` shows how exercise {first}
is derived."""
BESIDE = " The checks need the folder `{folder}`\nof your teacher's exercises beside this notebook."


def files(course: Course = COURSES[1]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the notebook and of what its cells import."""
    yield NAMES[course.part], notebook(course)
    for name, content in stubs.student_files(course):
        if not name.startswith("ex"):
            own = TEXTS / f"notebook_{name}"
            yield name, own.read_bytes() if own.is_file() else content


def notebook(course: Course = COURSES[1]) -> bytes:
    """The .ipynb, without outputs."""
    cells = [_cell("intro", _intro(course))]
    cells += [_cell("setup", "from numpyvae.exercises import notebook_marks", "code")]
    cells += [cell for exercise in course.exercises for cell in _cells(exercise)]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()


def _intro(course: Course) -> str:
    """The title of the course's README, and what to do."""
    count, first = len(course.exercises), course.exercises[0]
    readme = (TEXTS / stubs.READMES[course.part][1]).read_text(encoding="utf-8")
    more = MORE if course.part else BESIDE
    return INTRO.format(
        title=readme.partition("\n")[0],
        files=f"{in_words(count).capitalize()} exercise{'s' if count > 1 else ''}",
        more=more.format(first=first.number, folder=Path(first.folder).resolve().name),
    )


def formulas(slug: str) -> list[str]:
    """The displayed formulas of an exercise of this package."""
    text = (TEXTS / "notebook_formulas.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"\n# {slug}\n")
    return re.findall(r"^\$\$\n.*?^\$\$\n", section.partition("\n# ")[0], re.M | re.S)


def _cells(exercise: Exercise) -> Iterator[dict[str, Any]]:
    """The task, the functions to write, the check, and the demonstration if there is one."""
    text, code, demonstration = _parts(exercise)
    folder = Path(exercise.folder).resolve().name
    n, own = exercise.number, f", exercises={folder!r}" if exercise.folder else ""
    yield _cell(f"ex{n}-task", text)
    yield _cell(f"ex{n}-code", code, "code")
    yield _cell(f"ex{n}-check", f"marks = notebook_marks({n}, globals(){own})", "code")
    if demonstration:
        once = "if all(marks.values()):  # once all of it passes\n"
        yield _cell(f"ex{n}-demonstration", once + demonstration, "code")


def _parts(exercise: Exercise) -> tuple[str, str, str]:
    """Of a stub: its text as Markdown, its code, and what it does when it is run, indented."""
    source = stubs.stub(exercise)
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    first, last = tree.body[0], tree.body[-1]
    docstring = ast.get_docstring(tree, clean=False)  # or text that is all indented loses it
    title, _, text = (docstring or "").strip().partition("\n")
    rendered = iter(formulas(exercise.slug))
    text = BLOCK.sub(lambda m: f"\n{m[0]}\n" if exercise.folder else next(rendered), f"{text}\n")
    start = first.end_lineno or 0 if docstring is not None else 0
    end = last.lineno - 1 if isinstance(last, ast.If) else len(lines)
    title = title.rstrip(".") or f"Exercise {exercise.number}: {exercise.title}"
    return f"## {title}\n{text}", "".join(lines[start:end]), "".join(lines[end + 1 :])


def _cell(name: str, source: str, kind: str = "markdown") -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": source.strip().splitlines(keepends=True)}
