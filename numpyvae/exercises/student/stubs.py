"""A student's folder: each exercise's file without the bodies of the functions to write."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

import numpyvae
from numpyvae.data.digits import load_digits
from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.catalogue import COURSES, Course, Exercise, solution
from numpyvae.exercises.judge.own import given_names
from numpyvae.exercises.student import pictures
from numpyvae.exercises.student.courses import Courses, exercises_of, in_words

__all__ = [
    "blank_message",
    "digits_npz",
    "exercises_in",
    "existing",
    "filled",
    "start",
    "stub",
    "student_files",
    "write",
]

TEXTS = Path(__file__).parent / "texts"
READMES = {
    0: ("README.md", "student_readme_own.md"),
    1: ("README.md", "student_readme.md"),
    2: ("README_PART_TWO.md", "student_readme_part_two.md"),
}
DIGITS_LICENCE = Path(numpyvae.__file__).parent / "data" / "DIGITS_LICENSE.md"


def blank_message(exercise: Exercise, function: str) -> str:
    """What a function that is still to be written says."""
    return f"exercise {exercise.number}: {function}"


def stub(exercise: Exercise) -> str:
    """The student's file: the solution's, the bodies of the exercise's functions left blank."""
    lines = exercise.solution.splitlines(keepends=True)
    functions = [n for n in ast.parse("".join(lines)).body if isinstance(n, ast.FunctionDef)]
    for node in reversed(functions):
        if node.name in exercise.marks:
            after_docstring = node.body[0].end_lineno
            message = blank_message(exercise, node.name)
            lines[after_docstring : node.end_lineno] = [
                f'    raise NotImplementedError("{message}")\n'
            ]
    return "".join(lines)


def filled(text: bytes, course: Course, marks: bool = True) -> bytes:
    """A README with what the course says: {Count}, {first}, {table}."""
    head = "| file | about | marks |\n|---|---|---|" if marks else "| file | about |\n|---|---|"
    rows = [
        f"| `{e.file}` | {e.title} |" + (f" {sum(e.marks.values())} |" if marks else "")
        for e in course.exercises
    ]
    count, first = len(course.exercises), course.exercises[0].number
    counted = f"{in_words(count).capitalize()} file{'s' if count > 1 else ''}"
    said = {"{files}": counted, "{first}": str(first), "{table}": "\n".join([head, *rows])}
    for name, words in said.items():
        text = text.replace(name.encode(), words.encode())
    return text


def student_files(course: Course = COURSES[1]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file that a student begins a course with, but for the README."""
    for exercise in course.exercises:
        yield exercise.file, stub(exercise).encode()
    if course.part == 0 and any(given_names(e.source) for e in course.exercises):
        yield "given.py", _given(course.exercises).encode()
    if course.part != 1:
        return
    yield "given.py", solution("given.py").encode()
    yield "pictures.py", Path(pictures.__file__).read_bytes()
    yield "digits.npz", digits_npz()
    yield "DIGITS_LICENSE.md", DIGITS_LICENCE.read_bytes()


def _given(exercises: Sequence[Exercise]) -> str:
    """given.py for a teacher's own exercises: the package's, with their functions and files."""
    text, first = solution("given.py"), exercises[0]
    head, _, rest = text.partition("FILES = {\n")
    head = head.replace("import dense`", f"import {first.functions[0].name}`")
    head = head.replace("ex0_dense.py", first.file)
    listed = [f'    "{" ".join(e.marks)}": "{e.file[:-3]}",\n' for e in exercises[:-1]]
    return f"{head}FILES = {{\n{''.join(listed)}{rest[rest.index('}') :]}"


def digits_npz() -> bytes:
    """The training digits as zeros and ones, x (M, 64) uint8: a pixel is 1 if half of it is ink.

    Stored uncompressed, so that the bytes do not depend on the machine's zlib.
    """
    content = io.BytesIO()
    np.savez(content, x=(load_digits()[0] >= 8).astype(np.uint8))
    return content.getvalue()


def existing(folder: Path) -> Path:
    """A student's folder. ValueError if it does not exist."""
    if folder.is_file():
        raise ValueError(f"{folder} is a file: expected the folder that the exercises are in")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; numpyvae exercises start {folder} writes one")
    return folder


def exercises_in(folder: Path, courses: Courses = COURSES) -> tuple[Exercise, ...]:
    """The exercises that a student's folder is for; part one if it is empty."""
    return exercises_of({path.name for path in folder.iterdir()}, courses)


def start(folder: Path, course: Course = COURSES[1]) -> tuple[list[str], list[str]]:
    """Write a course into a student's folder: see `write`."""
    name, text = READMES[course.part]
    readme = (name, filled((TEXTS / text).read_bytes(), course))
    return write(folder, (readme, *student_files(course)))


def write(folder: Path, files: Iterable[tuple[str, bytes]]) -> tuple[list[str], list[str]]:
    """Write files into a student's folder; files that exist are kept.

    Returns the names of the files written, and of those kept.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file: expected the name of a folder to write")
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for name, content in files:
        if (folder / name).exists():
            kept.append(name)
            continue
        with atomic_write(folder / name) as file:
            file.write(content)
        written.append(name)
    return written, kept
