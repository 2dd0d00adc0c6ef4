"""The mistakes that can be named: each a change to a solution, a sentence, and a question.

A mistake is recognised by making it: the changed solution is run at the same places, and the name is
given if its results are the student's, to 1e-6. The same changes prove the exercises (`lint`): every
one must be caught. Where hand-written VAEs go wrong in earnest is where most of these come from;
`zoo` is the number in that list (docs/gradient_checking.md).
"""

from __future__ import annotations

import ast
import itertools
from functools import cache

from numpyvae.exercises.catalogue import Exercise, solution
from numpyvae.exercises.mistakes.kinds import Mistake, Patch
from numpyvae.exercises.mistakes.likelihoods import LIKELIHOODS
from numpyvae.exercises.mistakes.pieces import PIECES
from numpyvae.exercises.mistakes.programs import PROGRAMS

__all__ = ["MISTAKES", "Mistake", "Patch", "mistakes_of", "pairs_of", "plant"]

MISTAKES: tuple[Mistake, ...] = (*PIECES, *LIKELIHOODS, *PROGRAMS)


def plant(source: str, mistake: Mistake) -> str | None:
    """`source` with the mistake made in it; None where a patch does not fit."""
    for function, old, new in mistake.patches:
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == function:
                lines = source.splitlines(keepends=True)
                docstring_end = node.body[0].end_lineno or node.lineno
                body = "".join(lines[docstring_end : node.end_lineno])
                if body.count(old) != 1:
                    return None
                body = body.replace(old, new)
                source = "".join(lines[:docstring_end]) + body + "".join(lines[node.end_lineno :])
                break
    return source


@cache
def mistakes_of(exercise: Exercise) -> tuple[tuple[Mistake, str], ...]:
    """The mistakes of an exercise, each with the wrong solution."""
    functions = {name for f in exercise.functions for name in f.names}
    text = solution(exercise.file)
    made = [(m, plant(text, m)) for m in MISTAKES if m.function in functions]
    return tuple((m, source) for m, source in made if source is not None)


@cache
def pairs_of(exercise: Exercise) -> tuple[tuple[Mistake, Mistake, str], ...]:
    """Every two mistakes of an exercise that can be made at once, with the wrong solution."""
    pairs = itertools.combinations(mistakes_of(exercise), 2)
    made = [(first, second, plant(source, second)) for (first, source), (second, _) in pairs]
    return tuple((first, second, both) for first, second, both in made if both is not None)
