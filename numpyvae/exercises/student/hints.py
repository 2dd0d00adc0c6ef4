"""Hints in steps: a question, what to look at, and finally the line of the derivation.

The diagnosis chooses: a mistake with a name begins with its own question, and goes on with the
steps of the function it is in. Which step a student has reached is kept in the folder
(.hints.json).
"""

from __future__ import annotations

import json
from pathlib import Path

from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.catalogue import Exercise
from numpyvae.exercises.judge.judging import Verdict
from numpyvae.exercises.student import hints_part_one, hints_part_two

__all__ = ["HINTS", "ladder", "next_hint", "steps_of"]

HINTS = {**hints_part_one.HINTS, **hints_part_two.HINTS}


def steps_of(exercise: Exercise, function: str) -> tuple[str, ...]:
    """The hints for a function; empty if it has none."""
    if exercise.folder:
        return tuple(exercise.hints.get(function, ()))
    return HINTS.get(function, ())


def ladder(verdict: Verdict) -> list[str]:
    """The hints for what is wrong or undone, the gentlest first. Empty if all passes."""
    if not verdict.faults:
        return []
    first = verdict.faults[0]
    if first.kind in ("error", "form", "stopped", "absent") and not verdict.named:
        return [
            f"Before the formula, fix this: {first.text}",
            *steps_of(verdict.exercise, first.function)[1:],
        ]
    asked = [named.asks for named in verdict.named]
    functions = [named.function for named in verdict.named]
    function = (functions or [verdict.faults[0].function])[0]
    steps = list(steps_of(verdict.exercise, function))
    return [*asked, *steps[1:]] if asked else steps


def next_hint(folder: Path, verdict: Verdict) -> str:
    """The next hint for this exercise, and its number: "hint 2 of 3: ...".

    Another mistake, or another function, begins again. The last hint stays.
    """
    steps = ladder(verdict)
    if not steps:
        passes = "passes: it needs no hint" if not verdict.faults else "has no hints"
        return f"{verdict.exercise.file} {passes}."
    path, number = folder / ".hints.json", str(verdict.exercise.number)
    reached = _reached(path)
    key, step = steps[0], 0
    if number in reached and reached[number][0] == key:
        step = min(reached[number][1] + 1, len(steps) - 1)
    reached[number] = (key, step)
    with atomic_write(path) as file:
        file.write(json.dumps(reached).encode())
    last = " (the last)" if step + 1 == len(steps) else ""
    return f"hint {step + 1} of {len(steps)}{last}: {steps[step]}"


def _reached(path: Path) -> dict[str, tuple[str, int]]:
    """Exercise -> the hint's key and its step; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(n): (str(key), max(0, int(step))) for n, (key, step) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
