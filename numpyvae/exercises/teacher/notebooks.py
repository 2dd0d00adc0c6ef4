"""Exercises written in notebook cells, for otter and nbgrader: the same sandbox, the same judge.

docs/coursework.md shows the adapters, about ten lines each.
"""

from __future__ import annotations

import linecache
import secrets
import sys
import warnings
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from numpyvae.exercises.judge import own
from numpyvae.exercises.judge.catalogue import ALL, exercise_numbered
from numpyvae.exercises.judge.judging import judge_source
from numpyvae.exercises.sandbox import cells
from numpyvae.exercises.sandbox.runner import LIMITS, Limits
from numpyvae.exercises.student import report
from numpyvae.streams import Steady

__all__ = ["notebook_marks", "notebook_source"]

IMPORTABLE = ("numpy", "math", "given", *(e.file.removesuffix(".py") for e in ALL))


def notebook_marks(
    number: int,
    written: str | Mapping[str, Any],
    seed: int | str | None = None,
    limits: Limits = LIMITS,
    show: bool = True,
    exercises: str | PathLike[str] | None = None,
) -> dict[str, int]:
    """The marks of exercise `number`, function by function, for functions of a notebook.

        notebook_marks(3, globals())  # {"reparameterize": 3, "reparameterize_backward": 0}

    Args:
        number: which exercise.
        written: the notebook's names, `globals()`, or the source text of the functions.
        seed: of the numbers that the functions are checked with; by default they are drawn.
        limits: seconds and memory.
        show: whether to print the report.
        exercises: the folder of a teacher's own exercises, if it is one of these.

    Raises ValueError if there is no such exercise. Nothing is ever written to standard error, not
    even a warning, for which nbgrader would take all marks.
    """
    there = ALL if exercises is None else own.load(Path(exercises)).exercises
    exercise = exercise_numbered(number, there)
    source = written if isinstance(written, str) else notebook_source(exercise.marks, written)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        seed = secrets.token_hex(8) if seed is None else seed
        verdict = judge_source(exercise, source, seed, limits)
    if show:
        lines = report.verdict_text(verdict, ".").splitlines()
        lines += [report.built_text(exercise)] if verdict.status == "pass" else []
        kept = "\n".join(line for line in lines if line and not line.startswith("  reproduce "))
        print(kept, file=Steady(sys.stdout))
    return dict(verdict.marks)


def notebook_source(names: Iterable[str], namespace: Mapping[str, Any]) -> str:
    """The functions `names` as the text of a file, with what they use of the notebook.

    Functions, classes, imports, numbers, texts and other names are taken along as the cells define
    them, in the order in which they were run; arrays are not. A name that is missing, or whose
    definition is in no cell, is left out.
    """
    table = cells.definitions(_history(namespace))

    def find(name: str) -> cells.Definition | None:
        if name == "*":  # from ... import *
            return table.get(name)
        value = namespace.get(name)
        if name not in namespace or name.startswith("__") or isinstance(value, np.ndarray):
            return None
        text = _as_text(name, value)
        return cells.Definition(text, ()) if text else table.get(name)

    return cells.gather(names, find)


def _history(namespace: Mapping[str, Any]) -> list[str]:
    """The cells in the order they were run; without IPython, the files of the functions."""
    try:
        raw = list(namespace["get_ipython"]().history_manager.input_hist_raw)
    except Exception:  # no IPython, or a shell that keeps no history
        raw = list(namespace.get("In", []))
    if not any(raw):
        files = {
            value.__code__.co_filename: None
            for value in namespace.values()
            if isinstance(value, FunctionType)
            and value.__globals__.get("__name__") == namespace.get("__name__")
        }
        raw = ["", *("".join(linecache.getlines(file)) for file in files)]
    return [cell for cell in raw if isinstance(cell, str)]


def _as_text(name: str, value: Any) -> str:
    """The statement that gives a name its value, if the value alone tells; else ""."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}\n"
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return f"{name} = {text if text[-3:] not in ('nan', 'inf') else f'float({text!r})'}\n"
    own = str(getattr(value, "__name__", name))
    home = "numpy" if isinstance(value, np.ufunc) else str(getattr(value, "__module__", ""))
    if callable(value) and home.split(".")[0] in IMPORTABLE:
        return f"from {home} import {own} as {name}\n"
    return ""
