"""`numpyvae exercises export`: a kit for students who have only NumPy, with no solution in it.

The kit holds the stubs, check.py, the gradient checker, and for each exercise the places where it
is tried with the *forward* values that are right there. A gradient is compared with numerical
differentiation of the student's own forward, once that is right: so no right gradient is needed.

The same seed gives the same bytes on every machine: nothing depends on the time, on zlib, on the
operating system, or on the last bits of its exp and its matrix products.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import numpyvae
from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge import meant, reference
from numpyvae.exercises.judge.catalogue import ALL, COURSES, Arrays, Course, Exercise, draw_points
from numpyvae.exercises.sandbox import cells
from numpyvae.exercises.student import stubs
from numpyvae.exercises.student.courses import add_course, course_of
from numpyvae.numerics import Array

__all__ = ["FOLDER", "add_to", "build", "check_target", "npz"]

FOLDER = "numpyvae-exercises"
FOLDERS = {0: FOLDER, 1: FOLDER, 2: f"{FOLDER}-part-two"}
READMES = {0: "kit_readme_own.md", 1: "kit_readme.md", 2: "kit_readme_part_two.md"}
TEXTS = Path(__file__).parent / "texts"
CHECKER = Path(numpyvae.__file__).parent / "gradient_check"

ESTIMATORS = tuple(f.name for e in ALL for f in e.functions if f.is_gradient)
"""Functions whose values are gradients: the kit has no values of them, check.py differentiates."""

DIGITS = 10
"""Of an expected value, significant in the largest entry. check.py compares to 1e-8."""


def add_to(commands: Any) -> None:
    """Add `export` to the commands of `numpyvae exercises`."""
    add = commands.add_parser(
        "export",
        help="a kit for students who have only NumPy: stubs and a checker, no solution",
        description="Write a .zip with the files to fill in, check.py and the gradient checker. "
        "It holds no solution. The same seed gives the same bytes.",
    )
    add.add_argument("kit", type=Path, metavar="KIT.zip")
    add.add_argument(
        "--seed", default="0", metavar="ID",
        help="seed of its numbers, any text: for example a student's id (default: %(default)s)",
    )  # fmt: skip
    add_course(add)
    add.add_argument("--overwrite", action="store_true", help="replace a file of that name")
    add.set_defaults(command=export)


def export(arguments: argparse.Namespace) -> int:
    """Write a kit."""
    path: Path = arguments.kit
    check_target(path, arguments.overwrite)
    content = build(arguments.seed, course_of(arguments))
    with atomic_write(path) as file:
        file.write(content)
    seed = ascii(arguments.seed)
    seed = seed if len(seed) <= 60 else f"{seed[:57]}..."
    print(f"{path}: {len(content):,} bytes, seed {seed}")
    return 0


def check_target(path: Path, overwrite: bool) -> None:
    """ValueError or FileExistsError unless a .zip may be written there."""
    if path.suffix.lower() != ".zip":
        raise ValueError(f"{path}: expected a name that ends in .zip")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: --overwrite replaces it")


def build(seed: int | str = "0", course: Course = COURSES[1]) -> bytes:
    """The kit of a course as the bytes of a .zip, whose files are all in one folder."""
    files = _files(str(seed), course)
    return _zip((f"{FOLDERS[course.part]}/{name}", content) for name, content in files)


def npz(arrays: Mapping[str, Array]) -> bytes:
    """An .npz file: the same arrays give the same bytes, which np.savez does not promise."""
    return _zip((f"{name}.npy", _npy(array)) for name, array in arrays.items())


def _npy(array: Array) -> bytes:
    content = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"), order="C")
    np.lib.format.write_array(content, little_endian, version=(1, 0), allow_pickle=False)
    return content.getvalue()


def _zip(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A .zip of (name, content), sorted, uncompressed, and with nothing in it of here and now."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in sorted(files):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, wherever this runs: the permissions are meant so
            info.external_attr = 0o100644 << 16
            file.writestr(info, content)
    return archive.getvalue()


def _files(seed: str, course: Course) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file of the kit."""
    yield "README.md", stubs.filled(_text(TEXTS / READMES[course.part]), course, marks=False)
    yield "LICENSE", _text(TEXTS / "kit_license.txt")
    yield "check.py", _text(TEXTS / "kit_check.py")
    yield "yours.py", _text(TEXTS / "kit_yours.py")
    yield "estimators.py", _text(TEXTS / "kit_estimators.py")
    yield "cells.py", _text(Path(cells.__file__))
    yield "meant.py", _text(Path(meant.__file__))
    for path in CHECKER.glob("*.py"):
        yield f"gradient_check/{path.name}", _text(path)
    for name, content in stubs.student_files(course):
        yield name, _packed_again(content) if name.endswith(".npz") else _unix(content)
    yield "expected/exercises.json", _plan(course)
    for exercise in course.exercises:
        yield f"expected/ex{exercise.number}.npz", npz(_expected(exercise, seed))


def _text(path: Path) -> bytes:
    return _unix(path.read_bytes())


def _unix(text: bytes) -> bytes:
    """With the line ends of Unix: a checkout on Windows may have its own."""
    return text.replace(b"\r\n", b"\n")


def _packed_again(content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return npz(dict(arrays))


def _plan(course: Course) -> bytes:
    """What check.py needs to know: the exercises' functions and what these take and give."""
    plan = [
        {
            "file": e.file,
            "title": e.title,
            "own": bool(e.folder),
            "functions": [
                {"name": f.name, "exercise": e.number, "arguments": f.arguments,
                 "outputs": f.outputs, "gradients": f.gradients,
                 "places": len(f.draw(np.random.default_rng(0)))}
                for f in e.functions
            ],
        }
        for e in course.exercises
    ]  # fmt: skip
    return (json.dumps(plan, indent=1) + "\n").encode()


def _expected(exercise: Exercise, seed: str) -> Arrays:
    """What goes in ("given/f/place/argument") and what must come out ("expected/f/place/output").

    The cotangents of `draw_points` are left out: the gradient checker draws its own.
    """
    points, right = draw_points(exercise, seed), reference.right(exercise, seed).arrays
    chosen: Arrays = {}
    for f in exercise.functions:
        outputs = () if not exercise.folder and f.name in ESTIMATORS else f.outputs
        for kind, arrays, names in (("given", points, f.arguments), ("expected", right, outputs)):
            for name, array in arrays.items():
                function, _, result = name.split("/", 2)
                if function == f.name and result.split("/")[0] in names:
                    chosen[f"{kind}/{name}"] = array if kind == "given" else _rounded(array)
    return chosen


def _rounded(array: Array) -> Array:
    """With `DIGITS` digits of the largest entry.

    The last bits are another machine's own affair (its exp, the order of its sums), and the kit's
    bytes must not depend on them.
    """
    largest = float(np.abs(array).max(initial=0.0))
    if largest == 0.0:
        return np.zeros_like(array)
    decimals = DIGITS - 1 - math.floor(math.log10(largest))
    return np.asarray(np.round(array, decimals) + 0.0)  # + 0.0: and no -0.0
