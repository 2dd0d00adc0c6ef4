"""Proof that the exercises are consistent, for anyone who changes one.

Every stub is "not done" and gives its own message; every solution passes, also in a process of its
own, and its gradients are those of its values; every mistake fits into its solution, is caught, and
is called by its name; every function and every mistake has its hints; what derives it is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from numpyvae.exercises.judge.catalogue import Exercise, Function, draw_points
from numpyvae.exercises.judge.judging import Verdict, judge, judge_source
from numpyvae.exercises.judge.mistakes import listed_for, mistakes_of, plant
from numpyvae.exercises.judge.reference import loaded, perform_trusted
from numpyvae.exercises.sandbox.perform import group
from numpyvae.exercises.student.courses import add_course, courses_of
from numpyvae.exercises.student.derive import derivation
from numpyvae.exercises.student.hints import ladder, steps_of
from numpyvae.exercises.student.stubs import blank_message, stub
from numpyvae.gradient_check import check_vjp
from numpyvae.validation import counted

__all__ = ["add_to", "problems_of"]


def add_to(commands: Any) -> None:
    """Add `lint` to the commands of `numpyvae exercises`."""
    add = commands.add_parser(
        "lint", help="prove that stubs fail, solutions pass and every mistake is caught by name"
    )
    add.add_argument("--seed", default="0", help="seed of the numbers used for the check")
    add_course(add, part=False)
    add.set_defaults(command=lint)


def lint(arguments: argparse.Namespace) -> int:
    """Print a line for each exercise and each problem; exit code 1 if there is a problem."""
    found = 0
    for exercise in (e for course in courses_of(arguments).values() for e in course.exercises):
        problems = list(problems_of(exercise, arguments.seed))
        found += len(problems)
        functions = counted(len(exercise.marks), "function")
        mistakes = counted(len(mistakes_of(exercise)), "mistake")
        verdict = "PROBLEMS" if problems else "ok"
        print(f"{exercise.file:<24} {functions:>11}, {mistakes:>11}: {verdict}")
        for problem in problems:
            print(f"  {problem}")
    return 1 if found else 0


def problems_of(exercise: Exercise, seed: int | str = 0) -> Iterator[str]:
    """What is wrong with an exercise, one sentence each."""
    yield from _stub_problems(exercise, seed)
    right = exercise.solution
    for where, verdict in (
        ("in this process", _judge(exercise, right, seed)),
        ("in a process of its own", judge_source(exercise, right, seed)),
    ):
        if verdict.status != "pass":
            yield f"the solution does not pass {where}: {verdict.faults[0].text}"
    for f in exercise.functions:
        yield from _gradient_problems(exercise, f, seed) if f.gradients else ()
    try:
        derivation(exercise) if exercise.derivation else ""
    except (OSError, ValueError) as error:
        yield str(error)
    for function in exercise.marks:
        steps = steps_of(exercise, function)
        if len(steps) != 3 or not all(steps):
            yield f"{function} does not have three hints"
    for mistake in listed_for(exercise):
        if mistake.function in exercise.marks:
            if plant(right, mistake) is None:
                yield f"{mistake.name!r} cannot be planted: its line is not in the solution"
            if not mistake.says or not mistake.asks:
                yield f"{mistake.name!r} has no sentence or no question"
    for mistake, wrong in mistakes_of(exercise):
        verdict = _judge(exercise, wrong, seed)
        names = [named.name for named in verdict.named]
        if verdict.status != "fail":
            yield f"{mistake.name!r} is not caught"
        elif names != [mistake.name]:
            yield f"{mistake.name!r} is called {names}"
        elif len(ladder(verdict)) < 3:
            yield f"{mistake.name!r} has fewer than three hints"


def _stub_problems(exercise: Exercise, seed: int | str) -> Iterator[str]:
    text = stub(exercise)
    for function in exercise.marks:
        if f'    raise NotImplementedError("{blank_message(exercise, function)}")\n' not in text:
            yield f"the stub does not leave {function} blank"
    verdict = _judge(exercise, text, seed)
    if verdict.status != "not done" or verdict.total:
        yield f"the stub is judged {verdict.status!r} with {verdict.total} marks"


def _gradient_problems(exercise: Exercise, f: Function, seed: int | str) -> Iterator[str]:
    """What a numerical check at the first place says about the solution's gradients."""
    start, backward = f"{f.name}/0/", f.names[1]
    points = draw_points(exercise, seed).items()
    place = group({n[len(start) :]: np.array(a) for n, a in points if n.startswith(start)})
    possible = [f"d{n}" for n in f.arguments]
    if unknown := [d for d in f.gradients if d not in possible]:
        yield f"{f.name} has a gradient {unknown[0]}: expected {' or '.join(possible)}"
        return
    inputs = {n: place[n] for n in f.arguments}
    for n, value in inputs.items():
        if f"d{n}" in f.gradients and not isinstance(value, dict):
            inputs[n] = 1.0 * value  # whole numbers are not differentiated
    with loaded(exercise, exercise.solution) as names:

        def by_argument(dvalue: Any, cache: Any) -> dict[str, Any]:
            returned = names[backward](dvalue, cache)
            returned = returned if isinstance(returned, tuple | list) else (returned,)
            gradients = dict(zip(f.gradients, returned, strict=True))
            return {n: gradients.get(f"d{n}") for n in f.arguments}

        try:
            report = check_vjp(names[f.name], by_argument, inputs)
        except Exception as error:
            yield f"the solution's {backward} cannot be checked: {type(error).__name__}: {error}"
            return
    if report.verdict == "fail":
        worst, says = report.worst, " ".join(report.reasons)
        if worst.entry:
            says += f" Worst: d{worst.entry} is {worst.yours:.6g}, numerically {worst.numeric:.6g}."
        yield f"the solution's {backward} is not the gradient of {f.name}: {says}"


def _judge(exercise: Exercise, source: str, seed: int | str) -> Verdict:
    return judge(exercise, perform_trusted(exercise, source, draw_points(exercise, seed)), seed)
