"""Run a student's file in a process of its own, and bring back arrays.

The process gets arrays and hands out arrays, in the .npy format, read without pickle and without
trust in their headers. What is right, the comparison and the marks never leave this process.
Limits: seconds of the processor, bytes of memory, bytes of each file written: of all results, of
all that is printed, of all notes.

A process is a boundary, no fortress: docs/coursework.md says against what it does not protect.
"""

from __future__ import annotations

import contextlib
import errno
import json
import marshal
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from numpyvae.data.npy import npy_array
from numpyvae.exercises.sandbox.cells import place
from numpyvae.exercises.sandbox.perform import LARGEST_RESULT, PRINTED, Call, Given, array_names
from numpyvae.exercises.sandbox.process import NUMPY, Trouble, run_child
from numpyvae.exercises.sandbox.turns import Turns
from numpyvae.numerics import Array

__all__ = ["LIMITS", "NO_SHAPES", "Arrays", "Limits", "Note", "Outcome", "Shapes", "Task", "run"]

HERE = Path(__file__).parent
TURNS = Turns()
NO_SPACE = f"[Errno {errno.ENOSPC}]"
PRINTED_CHARACTERS = 2_000
NOTE_CHARACTERS = 500
NOTES = ("confined", "not done", "missing", "error", "form", "stopped", "finished")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


Arrays = dict[str, Array]
Shapes = Mapping[str, frozenset[str]]  # function -> numbers that stand for what is in it
NO_SHAPES: Shapes = MappingProxyType({})


class Limits(NamedTuple):
    """What one exercise may use."""

    seconds: int = 10  # of the processor
    memory: int = 2**31
    file: int = PRINTED  # all arrays that come back, and all that is printed


LIMITS = Limits()


class Task(NamedTuple):
    """What a student's file has to do, as the process is told."""

    file: str  # "ex3_reparameterize.py"
    functions: tuple[str, ...]  # all that are to be written
    calls: tuple[Call, ...]
    given: tuple[Given, ...]  # what the file may import besides NumPy, as code without text


class Note(NamedTuple):
    """What went wrong in the process: which function, what kind of thing, in words."""

    function: str
    kind: str
    text: str


class Outcome(NamedTuple):
    """All that is known of a run."""

    arrays: Arrays
    notes: tuple[Note, ...] = ()
    end: str = ""  # why it did not come to its end, in words; "" if it did
    printed: str = ""
    confined: bool = True
    shapes: Shapes = NO_SHAPES  # what `alike` compares, if it was asked for


def run(
    task: Task, source: str, points: Arrays, limits: Limits = LIMITS, shapes: bool = False
) -> Outcome:
    """Perform a task with a student's source, in a child process, within limits.

    What the machine lacks (descriptors, space, time) may be there later: it is tried once more, and
    meanwhile nothing else runs. Then Trouble is raised, which says that the grader could not. A
    file that says itself that there is no space is run twice: what it says then is its own.
    """
    job = task, source, points, limits, shapes
    with contextlib.suppress(OSError, Trouble), TURNS.one_of_many():
        outcome = _run(*job)
        said = (outcome.end, *(note.text for note in outcome.notes))
        return _run(*job) if any(NO_SPACE in text for text in said) else outcome
    with TURNS.alone():
        try:
            return _run(*job)
        except OSError as error:
            raise Trouble(f"the grader could not run it: {error.strerror or error}") from error


def _run(task: Task, source: str, points: Arrays, limits: Limits, shapes: bool) -> Outcome:
    outputs = [name for call in task.calls for name in array_names(call, points)]
    with tempfile.TemporaryDirectory(prefix="numpyvae-", ignore_cleanup_errors=True) as folder:
        job = Path(folder)
        _write_job(job, task, source, points, outputs, limits, shapes)
        end = run_child(job, limits.seconds)
        arrays = _read_results(job / "out" / "results", outputs, limits.file)
        notes = _read_notes(job / "notes.jsonl", source, task.file)
        seen = _read_shapes(job / "shapes.json") if shapes else NO_SHAPES
        printed = _read_text(job / "printed.txt")[:PRINTED_CHARACTERS]
    kinds = {note.kind for note in notes}
    stopped = next((note.text for note in notes if note.kind == "stopped"), "")
    if not end and "finished" not in kinds and not kinds & {"error", "not done"}:
        end = f"the file ended the process itself{f' ({stopped})' if stopped else ''}"
    confined = not notes or notes[0] != ("", "confined", "False")  # the first is the child's own
    told = tuple(n for n in notes if n.kind not in ("confined", "finished", "stopped"))
    return Outcome(arrays, told, end, printed, confined, seen)


def _read_results(path: Path, outputs: Sequence[str], most: int) -> dict[str, Array]:
    """The arrays that came back, as far as the child wrote them: number, size, .npy."""
    try:
        with path.open("rb") as file:
            content = file.read(most)
    except OSError:
        return {}
    last: dict[str, bytes] = {}
    at = 0
    while at + 8 <= len(content):
        i, size = struct.unpack_from("<II", content, at)
        if i >= len(outputs) or not size:
            break
        at += 8 + size
        last[outputs[i]] = content[at - size : at]
    arrays = {}
    for name, one in last.items():
        with contextlib.suppress(ValueError):  # cut, or no honest numbers
            arrays[name] = _numbers(one)
    return arrays


def _numbers(content: bytes) -> Array:
    """Real numbers that came back, at most in float64. ValueError for anything else."""
    try:
        array = npy_array(content, "a result")
    except TypeError as error:  # a header of the wrong types
        raise ValueError(str(error)) from error
    if array.dtype.kind not in "biuf" or array.nbytes > LARGEST_RESULT:
        raise ValueError(f"expected real numbers, got {array.dtype}")
    return array.astype(np.float64) if array.dtype.itemsize > 8 else array


def _write_job(
    job: Path,
    task: Task,
    source: str,
    points: Arrays,
    outputs: Sequence[str],
    limits: Limits,
    shapes: bool,
) -> None:
    for name in ("in", "out"):
        (job / name).mkdir()
    for i, array in enumerate(points.values()):
        np.save(job / "in" / f"{i}.npy", array)
    description = {
        "here": str(HERE),
        "numpy": NUMPY,
        "shapes": shapes,
        "functions": task.functions,
        "source": source,
        "file": task.file,
        "calls": task.calls,
        "inputs": list(points),
        "outputs": list(outputs),
        "limits": {
            "RLIMIT_CPU": limits.seconds,
            "RLIMIT_AS": limits.memory,
            "RLIMIT_FSIZE": limits.file,
            "RLIMIT_CORE": 0,
        },
    }
    (job / "given").write_bytes(marshal.dumps(list(task.given)))
    (job / "job.json").write_text(json.dumps(description), encoding="utf-8")


def _read_notes(path: Path, source: str, file: str) -> list[Note]:
    """What the process noted. It may be anything: keep what has the form of a note.

    Lines of a text that was gathered from a notebook are those of its cells.
    """

    def place_in_cell(match: re.Match[str]) -> str:
        where = place(source, int(match[1]))
        return where + match[2].removeprefix(f" of {file}") if "cell" in where else match[0]

    line_of = re.compile(rf"\bline (\d{{1,6}})( of {re.escape(file)}| is not Python)")
    notes = []
    for line in _read_text(path).splitlines()[:200]:
        try:
            function, kind, text = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(function, str) and kind in NOTES and isinstance(text, str):
            line = line_of.sub(place_in_cell, " ".join(_printable(text).split()))
            notes.append(Note(function, kind, line[:NOTE_CHARACTERS]))
    return notes


def _read_shapes(path: Path) -> Shapes:
    """What the child said of the text before it was run; nothing if that is no such thing."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(PRINTED))
        return {str(name): frozenset(map(str, forms)) for name, forms in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return NO_SHAPES


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _printable(file.read(100_000).decode("utf-8", "replace"))
    except OSError:
        return ""


def _printable(text: str) -> str:
    """Without control characters and sequences, which could move about on a reader's terminal."""
    return "".join(c for c in ESCAPE.sub("", text) if c in "\n\t" or c.isprintable())
