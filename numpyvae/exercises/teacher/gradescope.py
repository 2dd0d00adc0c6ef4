"""Gradescope: results.json in its published form, and the archive that makes it grade.

https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import argparse
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpyvae
from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.judging import Verdict
from numpyvae.exercises.student.courses import add_course, course_of
from numpyvae.exercises.student.report import summary
from numpyvae.exercises.teacher import kit
from numpyvae.exercises.teacher.class_results import Grade

__all__ = ["add_to", "archive", "results"]

PACKAGE = Path(numpyvae.__file__).parent
TEXTS = Path(__file__).parent / "texts"
OUTPUT_CHARACTERS = 4_000


def add_to(commands: Any) -> None:
    """Add `autograder` to the commands of `numpyvae exercises`."""
    add = commands.add_parser(
        "autograder", help="write the archive that makes Gradescope grade the exercises"
    )
    add.add_argument(
        "--gradescope", type=Path, required=True, metavar="FILE.zip", help="the archive to write"
    )
    add_course(add)
    add.add_argument("--overwrite", action="store_true", help="replace a file of that name")
    add.set_defaults(command=autograder)


def autograder(arguments: argparse.Namespace) -> int:
    """Write the archive."""
    kit.check_target(arguments.gradescope, arguments.overwrite)
    course = course_of(arguments)
    content = archive(arguments.part, arguments.exercises, arguments.marks)
    with atomic_write(arguments.gradescope) as file:
        file.write(content)
    print(
        f"{arguments.gradescope}: numpyvae {numpyvae.__version__}, {len(content) / 2**20:.1f} MiB. "
        f"Upload it as the autograder of a programming assignment of {course.marks} points."
    )
    return 0


def archive(part: int = 1, own: Path | None = None, marks: Path | None = None) -> bytes:
    """A .zip of setup.sh, run_autograder and this very package; always the same bytes.

    With a teacher's own exercises and marks, if there are some.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as out:
        for name, data, executable in sorted(_members(part, own, marks)):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, on every system: the attributes hold the permissions
            info.external_attr = (0o100755 if executable else 0o100644) << 16
            out.writestr(info, data)
    return content.getvalue()


def _members(part: int, own: Path | None, marks: Path | None) -> Iterator[tuple[str, bytes, bool]]:
    """Name, content, whether it is to be executed."""
    yield "setup.sh", _script("gradescope_setup.sh"), True
    options = f"--gradescope --part {part}" if own is None else "--gradescope --exercises exercises"
    if marks is not None:
        options += " --marks marks.csv"
        yield "marks.csv", marks.read_bytes(), False
    for path in [] if own is None else own.glob("*.py"):
        yield f"exercises/{path.name}", path.read_bytes(), False
    run = _script("gradescope_run.sh")
    yield "run_autograder", run.replace(b"--gradescope", options.encode()), True
    for path in PACKAGE.rglob("*"):
        inside = path.relative_to(PACKAGE.parent)
        if path.is_file() and "__pycache__" not in inside.parts and path.suffix != ".pyc":
            yield inside.as_posix(), path.read_bytes(), False


def _script(name: str) -> bytes:
    return (TEXTS / name).read_bytes().replace(b"\r\n", b"\n")


def results(grade: Grade) -> dict[str, Any]:
    """What Gradescope reads: a test for each function, whose scores add up to our marks."""
    tests = [
        _test(verdict, name, f"{verdict.exercise.number}.{i}")
        for verdict in grade.verdicts
        for i, name in enumerate(verdict.exercise.marks, start=1)
    ]
    return {
        "score": grade.total,
        "output": grade.problem or "\n".join([summary(grade.verdicts), *grade.notes]),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "execution_time": math.ceil(grade.seconds),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"numpyvae": numpyvae.__version__, "seed": grade.seed},
    }


def _test(verdict: Verdict, function: str, number: str) -> dict[str, Any]:
    faults = [fault for fault in verdict.faults if fault.function == function]
    lines = [fault.text for fault in faults if fault.kind != "not done"]
    lines += ["not done yet"] if len(lines) < len(faults) else []
    lines += [f"-> {n.says}" for n in verdict.named if _shown_with(verdict, n.function) == function]
    return {
        "name": f"ex{verdict.exercise.number} {function}",
        "number": number,
        "score": verdict.marks[function],
        "max_score": verdict.exercise.marks[function],
        "status": "failed" if faults else "passed",
        "output": "\n".join(lines)[:OUTPUT_CHARACTERS],
        "output_format": "text",
        "visibility": "visible",
    }


def _shown_with(verdict: Verdict, function: str) -> str:
    """The function whose test says what a mistake is: its own, or else the other of the pair."""
    faulty = [fault.function for fault in verdict.faults]
    pair = next(f.names for f in verdict.exercise.functions if function in f.names)
    return function if function in faulty else next((n for n in pair if n in faulty), function)
