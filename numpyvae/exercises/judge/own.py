"""A teacher's own exercises, read from a folder: catalogue.py and a solution for each entry.

`numpyvae exercises template FOLDER` writes a folder that works, to begin with.
"""

from __future__ import annotations

import ast
import csv
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from numpyvae.exercises.judge.catalogue import Arrays, Course, Exercise, Function
from numpyvae.exercises.judge.mistakes import Mistake, plant
from numpyvae.exercises.judge.mistakes.kinds import in_function as mistakes_in
from numpyvae.exercises.judge.places import Rng
from numpyvae.exercises.judge.reference import loaded
from numpyvae.validation import counted

__all__ = ["CATALOGUE", "given_names", "load", "mistakes_in", "with_marks"]

CATALOGUE = "catalogue.py"


def load(folder: Path) -> Course:
    """The exercises of a folder. ValueError, with the place, if something does not fit."""
    path = folder / CATALOGUE
    if not path.is_file():
        raise ValueError(
            f"{folder}: expected a folder with {CATALOGUE} in it; "
            f"numpyvae exercises template {folder} writes one"
        )
    listed = _run(path).get("EXERCISES")
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(f"{path}: expected EXERCISES, a list of Exercise, got {listed!r:.80}")
    for entry in listed:
        if not isinstance(entry, Exercise):
            raise ValueError(f"{path}: expected an Exercise in EXERCISES, got {entry!r:.80}")
    files = [e.file for e in listed]
    for what in ([e.number for e in listed], [n for e in listed for n in _names(path, e)]):
        twice = [one for one in what if what.count(one) > 1]
        if twice:
            kind = "exercise" if isinstance(twice[0], int) else "function"
            raise ValueError(f"{path}: {kind} {twice[0]} is there twice: give one another name")
    read = sorted((_read(folder, e) for e in listed), key=lambda e: e.number)
    for solution in sorted(folder.glob("ex[0-9]*.py")):
        if solution.name not in files:
            raise ValueError(f"{path}: no entry for {solution.name}; there is {', '.join(files)}")
    whole = tuple(_with_given(e, read[:i]) for i, e in enumerate(read))
    for exercise in whole:
        try:
            with loaded(exercise, exercise.source):
                pass
        except (Exception, SystemExit) as error:
            raise _failed(folder / exercise.file, exercise.file, error) from error
    return Course(0, whole)


def with_marks(courses: Mapping[int, Course], path: Path) -> dict[int, Course]:
    """The courses with other marks: a CSV of lines "function,marks". What it leaves out stays.

    ValueError for a line that is none, or a function that there is not.
    """
    known = {n for course in courses.values() for e in course.exercises for n in e.marks}
    marks: dict[str, int] = {}
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: expected lines of function,marks")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path}: expected lines of function,marks, got no text") from None
    for i, row in enumerate(rows, start=1):
        line = [cell.strip() for cell in row]
        if not any(line) or (i == 1 and line == ["function", "marks"]):
            continue
        if len(line) != 2 or not line[1].isascii() or not line[1].isdigit():
            whole = ": marks are a whole number from 0 on" if len(line) == 2 else ""
            raise ValueError(
                f"{path}, line {i}: expected function,marks, got {','.join(row)}{whole}"
            )
        if line[0] not in known:
            raise ValueError(f"{path}, line {i}: no exercise has a function {line[0]}")
        if line[0] in marks:
            raise ValueError(f"{path}, line {i}: {line[0]} is there twice")
        marks[line[0]] = int(line[1])
    return {
        part: course._replace(exercises=tuple(_marked(e, marks) for e in course.exercises))
        for part, course in courses.items()
    }


def _marked(exercise: Exercise, marks: Mapping[str, int]) -> Exercise:
    functions = [
        f._replace(marks=tuple(marks.get(n, m) for n, m in zip(f.names, f.marks, strict=True)))
        for f in exercise.functions
    ]
    return replace(exercise, functions=tuple(functions))


def _run(path: Path) -> dict[str, Any]:
    """The names of a catalogue, which is trusted. ValueError, with its line, if it fails."""
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), names)
    except (Exception, SystemExit) as error:
        raise _failed(path, str(path), error) from error
    return names


def _failed(path: Path, compiled_as: str, error: BaseException) -> ValueError:
    """What went wrong in a teacher's file, with its line."""
    own = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == compiled_as]
    line = error.lineno if isinstance(error, SyntaxError) else own[-1] if own else None
    at = f", line {line}" if line else ""
    text = error.msg if isinstance(error, SyntaxError) else error
    return ValueError(f"{path}{at}: {type(error).__name__}: {text}".rstrip(": "))


def _names(path: Path, exercise: Exercise) -> list[str]:
    """The functions of an entry. ValueError if the entry itself is not well formed."""
    at = f"{path}: exercise {exercise.number}"
    if not isinstance(exercise.number, int) or exercise.number < 0:
        raise ValueError(f"{at}: expected a number from 0 on")
    if not str(exercise.slug).isidentifier() or exercise.slug != exercise.slug.lower():
        raise ValueError(f"{at}: expected a name for its file like softmax, got {exercise.slug!r}")
    if not exercise.functions or not all(isinstance(f, Function) for f in exercise.functions):
        raise ValueError(f"{at}: expected a list of Function, got {exercise.functions!r:.80}")
    for f in exercise.functions:
        for what, names in zip(("arguments", "outputs", "gradients"), f[1:4], strict=True):
            if not _is_tuple_of(str, names):
                expected = f"a tuple of names, like ('x',), for the {what} of {f.name}"
                raise ValueError(f"{at}: expected {expected}, got {names!r:.80}")
        if not _is_tuple_of(int, f.marks) or len(f.marks) != len(f.names) or min(f.marks) < 0:
            expected = f"{counted(len(f.names), 'number')}, for {' and '.join(f.names)}"
            like = "(4, 6)" if f.gradients else "(4,)"
            raise ValueError(
                f"{at}: expected marks of {expected}, whole and in a tuple, like {like}, "
                f"got {f.marks!r:.80}"
            )
        if not callable(f.draw):
            raise ValueError(f"{at}: expected a function for the places of {f.name}, got {f.draw}")
        if f.gradients and len(f.outputs) != 1:
            raise ValueError(f"{at}: {f.name} has a backward: expected one output, got {f.outputs}")
    if not _is_tuple_of(str, exercise.derivation):
        expected = "a tuple of texts, like ('softmax.md, The gradient',), for the derivation"
        raise ValueError(f"{at}: expected {expected}, got {exercise.derivation!r:.80}")
    return [name for f in exercise.functions for name in f.names]


def _is_tuple_of(kind: type, values: Any) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(v, kind) for v in values)


def _read(folder: Path, exercise: Exercise) -> Exercise:
    """The entry with its solution, all of it held against the other."""
    path = folder / exercise.file
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file, but {CATALOGUE} has an entry for it") from None
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: not Python: {error.msg}") from error
    written = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for f in exercise.functions:
        both = list(f.arguments), [f"d{f.outputs[0]}", "cache"]
        for name, arguments in zip(f.names, both, strict=False):
            _check_function(path, name, arguments, written.get(name), source)
    for name in exercise.hints:
        if name not in exercise.marks:
            raise ValueError(f"{folder / CATALOGUE}: hints for {name}, which no exercise has")
    for mistake in exercise.mistakes:
        _check_mistake(folder / CATALOGUE, exercise, mistake, source)
    functions = tuple(
        Function(
            f.name,
            tuple(f.arguments),
            tuple(f.outputs),
            tuple(f.gradients),
            partial(_drawn, folder, f),
            tuple(f.marks),
            f.is_gradient,
        )
        for f in exercise.functions
    )
    for f in functions:
        f.draw(np.random.default_rng(0))
    return replace(
        exercise,
        functions=functions,
        mistakes=tuple(exercise.mistakes),
        derivation=tuple(exercise.derivation),
        folder=str(folder),
        source=source,
    )


def _with_given(exercise: Exercise, before: Sequence[Exercise]) -> Exercise:
    """With what its solution may import from `given`: the functions of the exercises before it."""
    there = [name for e in before for name in e.marks]
    for line, name in given_names(exercise.source):
        if name not in there:
            raise ValueError(
                f"{Path(exercise.folder) / exercise.file}, line {line}: given has no {name}; "
                f"it has {', '.join(there) or 'nothing'}, of the exercises before"
            )
    given = ((e.file.removesuffix(".py"), e.source, tuple(e.marks)) for e in before)
    return replace(exercise, given=tuple(given))


def given_names(source: str) -> list[tuple[int, str]]:
    """The line and the name of each import from `given`, also within a function."""
    return [
        (node.lineno, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "given"
        for alias in node.names
    ]


def _check_function(
    path: Path, name: str, arguments: list[str], node: ast.FunctionDef | None, source: str
) -> None:
    if node is None:
        raise ValueError(f"{path}: no function {name}, which {CATALOGUE} lists")
    at, got = f"{path}, line {node.lineno}", [a.arg for a in node.args.args]
    if got != arguments:
        raise ValueError(f"{at}: expected {name}({', '.join(arguments)}), got ({', '.join(got)})")
    if not ast.get_docstring(node):
        raise ValueError(f"{at}: {name} has no docstring: it is what a student reads")
    if f"\n\n\ndef {name}(" not in source:
        raise ValueError(f"{at}: expected two blank lines before def {name}")


def _check_mistake(path: Path, exercise: Exercise, mistake: Any, source: str) -> None:
    if not isinstance(mistake, Mistake):
        raise ValueError(f"{path}: expected mistakes made by mistakes_in, got {mistake!r:.80}")
    for patch in mistake.patches:
        if patch.function not in exercise.marks:
            raise ValueError(f"{path}: {mistake.name!r} is in {patch.function}, not in the entry")
    if plant(source, mistake) is None:
        old = mistake.patches[0].old
        raise ValueError(
            f"{path}: {mistake.name!r} does not fit: expected {old!r} once in the body of "
            f"{mistake.function} in {exercise.file}"
        )


def _drawn(folder: Path, f: Function, rng: Rng) -> list[Arrays]:
    """The places of a function. ValueError unless each has the arguments, as real arrays."""
    at = f"{folder / CATALOGUE}: the places of {f.name}"
    try:
        places = [{n: np.asarray(a) for n, a in place.items()} for place in f.draw(rng)]
    except Exception as error:
        raise ValueError(f"{at}: {type(error).__name__}: {error}") from error
    expected = [*f.arguments, *([f"d{f.outputs[0]}"] if f.gradients else [])]
    for place in places:
        got = list(dict.fromkeys(name.split("/")[0] for name in place))
        if sorted(got) != sorted(expected):
            raise ValueError(f"{at}: expected {', '.join(expected)}, got {', '.join(got)}")
        for name, array in place.items():
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{at}: expected real numbers in {name}, got {array.dtype}")
    if not places:
        raise ValueError(f"{at}: expected at least one")
    return places
