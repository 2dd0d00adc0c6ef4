"""Verdicts in words, for a terminal."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from numpyvae.exercises.judge.catalogue import Exercise
from numpyvae.exercises.judge.compare import Fault
from numpyvae.exercises.judge.judging import Verdict

__all__ = ["bar", "built_text", "paint", "summary", "verdict_text"]

COLOURS = {"pass": "32", "fail": "33", "not done": "2", "name": "1"}  # green, yellow, faint, bold
CELLS = {"pass": "#", "fail": "x", "not done": "."}
WIDTH = 96


def paint(text: str, colour: str, coloured: bool) -> str:
    """`text` in one of the `COLOURS`, on a terminal that wants colours."""
    wanted = coloured and "NO_COLOR" not in os.environ
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if wanted else text


def verdict_text(
    verdict: Verdict,
    folder: Path | str,
    coloured: bool = False,
    seed: int | str = "0",
    width: int = WIDTH,
) -> str:
    """One line, and for a failure also what is wrong, which mistake it is, and how to see it."""
    e = verdict.exercise
    status = paint(f"{verdict.status:<9}", verdict.status, coloured)
    lines = [f"{status} {verdict.total:>3}/{verdict.out_of:<3} {e.file:<24} {e.title}"]
    if verdict.status == "pass":
        return lines[0]
    lines += [line for text in _what_is_wrong(verdict) for line in _wrapped(text, width)]
    for named in verdict.named:
        lines += [paint(line, "name", coloured) for line in _wrapped(f"-> {named.says}", width)]
    if verdict.status == "fail":
        lines += _reproduction(verdict, folder, seed)
        if verdict.printed.strip():
            lines += ["  it printed:", *_printed(verdict.printed)]
    return "\n".join(lines)


def _what_is_wrong(verdict: Verdict) -> list[str]:
    """The first fault of each function; functions with the same fault share a line."""
    first: dict[str, Fault] = {}
    for fault in verdict.faults:
        first.setdefault(fault.function, fault)
    undone = [name for name, fault in first.items() if fault.kind == "not done"]
    texts: dict[str, list[str]] = {}
    for name, fault in first.items():
        if name not in undone:
            text = fault.text if fault.kind == "missing" else f": {fault.text}"
            texts.setdefault(text, []).append(name)
    lines = []
    for text, names in texts.items():
        if len(names) > 1 and text.startswith("is not"):
            text = text.replace("is", "are", 1)
        lines.append(f"{', '.join(names)}{'' if text.startswith(':') else ' '}{text}")
    if undone and first[undone[0]].text.startswith("there is no"):
        return [first[undone[0]].text]
    return lines + ([f"not done yet: {', '.join(undone)}"] if undone else [])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="     ", break_long_words=False
    )


def _reproduction(verdict: Verdict, folder: Path | str, seed: int | str) -> list[str]:
    """How to reproduce the number in Python."""
    numbers = "" if str(seed) == "0" else f", seed={json.dumps(str(seed), ensure_ascii=False)}"
    own = verdict.exercise.folder
    numbers += f', exercises="{own}"' if own else ""
    call = f'rerun("{folder}", {verdict.exercise.number}{numbers})'
    worst = next((f for f in verdict.faults if f.entry), None)
    if worst is not None:
        name, bracket, index = worst.entry.partition("[")
        function = worst.function.removesuffix("_backward")
        call += f'["{function}/{name}"]{bracket}{index}'
    return [f"  reproduce in Python: from numpyvae.exercises import rerun; {call}"]


def _printed(text: str) -> list[str]:
    lines = text.rstrip().splitlines()
    shown = [f"    {line[:WIDTH]}" for line in lines[:8]]
    return [*shown, f"    ... ({len(lines) - 8} more lines)"] if len(lines) > 8 else shown


def built_text(exercise: Exercise, width: int = WIDTH) -> str:
    """What was built, once an exercise passes, and where it is derived; "" if nobody says."""
    files = [*dict.fromkeys(place.partition(", ")[0] for place in exercise.derivation)]
    files[1:] = [Path(file).name for file in files[1:]]
    own = f" --exercises {exercise.folder}" if exercise.folder else ""
    command = f"numpyvae exercises derive {exercise.number}{own}"
    said = [exercise.built, f"Its derivation: {command} ({', '.join(files)})." if files else ""]
    return "\n".join(line for text in said for line in _wrapped(text, width))


def bar(verdicts: Sequence[Verdict], current: int | None = None) -> str:
    """A cell for each exercise, the one that is shown in brackets."""
    cells = [(v.exercise.number, CELLS[v.status]) for v in verdicts]
    return "".join(f"[{c}]" if number == current else f" {c} " for number, c in cells)


def summary(verdicts: Sequence[Verdict]) -> str:
    """The progress: exercises passed and marks."""
    passed = sum(v.status == "pass" for v in verdicts)
    marks, out_of = sum(v.total for v in verdicts), sum(v.out_of for v in verdicts)
    return f"{passed} of {len(verdicts)} exercises pass, {marks} of {out_of} marks"
