"""Exercises written in notebook cells, for otter and nbgrader: the same sandbox, the same judge.

docs/coursework.md shows the adapters, about ten lines each.
"""

from __future__ import annotations

import ast
import inspect
import secrets
import sys
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from numpyvae.exercises.catalogue import EXERCISES, exercise_numbered
from numpyvae.exercises.judging import judge_source
from numpyvae.exercises.report import verdict_text
from numpyvae.exercises.sandbox import LIMITS, Limits
from numpyvae.streams import Steady

__all__ = ["notebook_marks", "notebook_source"]

IMPORTABLE = ("numpy", "math", "given", *(e.file.removesuffix(".py") for e in EXERCISES))


def notebook_marks(
    number: int,
    written: str | Mapping[str, Any],
    seed: int | str | None = None,
    limits: Limits = LIMITS,
    show: bool = True,
) -> dict[str, int]:
    """The marks of exercise `number`, function by function, for functions of a notebook.

        notebook_marks(3, globals())  # {"reparameterize": 3, "reparameterize_backward": 0}

    Args:
        number: which exercise.
        written: the notebook's names, `globals()`, or the source text of the functions.
        seed: of the numbers that the functions are checked with; by default they are drawn.
        limits: seconds and memory.
        show: whether to print the report.

    Raises ValueError if there is no such exercise. Nothing is ever written to standard error, not
    even a warning, for which nbgrader would take all marks.
    """
    exercise = exercise_numbered(number)
    source = written if isinstance(written, str) else notebook_source(exercise.marks, written)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        seed = secrets.token_hex(8) if seed is None else seed
        verdict = judge_source(exercise, source, seed, limits)
    if show:
        lines = verdict_text(verdict, ".").splitlines()
        kept = "\n".join(line for line in lines if not line.startswith("  reproduce "))
        print(kept, file=Steady(sys.stdout))
    return dict(verdict.marks)


def notebook_source(names: Iterable[str], namespace: Mapping[str, Any]) -> str:
    """The functions `names` as the text of a file, with what they use of the notebook.

    Functions and classes of the notebook, modules, names imported from NumPy, math and earlier
    exercises, numbers and short texts are taken along; arrays and other objects are not. A name
    that is missing, or whose source is not known, is left out.
    """
    parts: dict[str, str] = {}

    def take(name: str) -> None:
        if name in namespace and name not in parts:
            parts[name] = ""  # it is being taken: functions may use each other
            text = _as_text(name, namespace[name])
            for used in _names_in(text):
                take(used)
            del parts[name]
            parts[name] = text  # after all it uses, as decorators and defaults need

    for name in names:
        take(name)
    return "\n".join(part for part in parts.values() if part) + "\n"


def _as_text(name: str, value: Any) -> str:
    """The statement that gives a name its value; "" if there is none."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return (
            f"{name} = {text}" if text[-3:] not in ("nan", "inf") else f"{name} = float('{text}')"
        )
    own = str(getattr(value, "__name__", name))
    home = "numpy" if isinstance(value, np.ufunc) else str(getattr(value, "__module__", ""))
    if callable(value) and home.split(".")[0] in IMPORTABLE:
        return f"from {home} import {own} as {name}"
    if not isinstance(value, FunctionType | type):
        return ""
    try:
        text = textwrap.dedent(inspect.getsource(value)).rstrip() + "\n"
    except (OSError, TypeError):
        return ""
    return text if own in (name, "<lambda>") else f"{text}{name} = {own}\n"


def _names_in(text: str) -> list[str]:
    try:
        nodes = ast.walk(ast.parse(text))
        return [node.id for node in nodes if isinstance(node, ast.Name)]
    except SyntaxError:
        return []
