"""An exercise as the sandbox is told it, and the run of a student's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from numpyvae.exercises.judge.catalogue import ALL, Arrays, Exercise, solution
from numpyvae.exercises.sandbox import runner
from numpyvae.exercises.sandbox.perform import Call, Given
from numpyvae.exercises.sandbox.runner import LIMITS, Limits, Outcome, Task

__all__ = ["calls_of", "given_to", "run"]


def run(
    exercise: Exercise, source: str, points: Arrays, limits: Limits = LIMITS, shapes: bool = False
) -> Outcome:
    """Perform an exercise with a student's source, in a process of its own: see `runner.run`."""
    given, calls = given_to(exercise), calls_of(exercise, points)
    task = Task(exercise.file, tuple(exercise.marks), calls, given)
    return runner.run(task, source, points, limits, shapes)


@cache
def given_to(exercise: Exercise) -> tuple[Given, ...]:
    """What a file may take from `given`: functions of the exercises before, as code without text.

    No source goes into the process: what is not there cannot be printed.
    """
    return tuple(
        (name, compile(source, "given.py", "exec", dont_inherit=True, optimize=2), tuple(functions))
        for name, source, functions in exercise.given or _earlier(exercise)
    )


def _earlier(exercise: Exercise) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Of the exercises of this package: file, text and functions, as `given.py` lists them."""
    listed: dict[str, Any] = {}
    exec(solution("given.py"), listed)
    names = {file: functions.split() for functions, file in listed["FILES"].items()}
    for e in () if exercise.folder else ALL[: exercise.number]:
        if (name := e.file.removesuffix(".py")) in names:
            yield name, solution(e.file), names[name]


def calls_of(exercise: Exercise, points: Mapping[str, Any]) -> tuple[Call, ...]:
    """The exercise's functions, as `perform` takes them."""
    return tuple(
        {
            "function": f.name,
            "arguments": f.arguments,
            "outputs": f.outputs,
            "gradients": f.gradients,
            "derives": bool(f.gradients) or f.is_gradient,
            "places": len({n.split("/")[1] for n in points if n.startswith(f"{f.name}/")}),
        }
        for f in exercise.functions
    )
