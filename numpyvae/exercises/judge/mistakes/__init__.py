"""The mistakes that can be named: each a change to a solution, a sentence, and a question.

A mistake is recognised by making it: the changed solution is run at the same places, and the name
is given if its results are the student's, to 1e-6. The same changes prove the exercises (`lint`):
every one must be caught. Most were taken from real code; `zoo` is the number of the bug in
docs/gradient_checking_measured.md.
"""

from __future__ import annotations

import itertools
from functools import cache

from numpyvae.exercises.judge.catalogue import Exercise, Function
from numpyvae.exercises.judge.mistakes.estimators import ESTIMATORS
from numpyvae.exercises.judge.mistakes.kinds import Mistake, Patch
from numpyvae.exercises.judge.mistakes.likelihoods import LIKELIHOODS
from numpyvae.exercises.judge.mistakes.pieces import PIECES
from numpyvae.exercises.judge.mistakes.priors import PRIORS
from numpyvae.exercises.judge.mistakes.programs import PROGRAMS
from numpyvae.exercises.judge.mistakes.training import TRAINING

__all__ = [
    "MISTAKES",
    "PART_TWO",
    "Mistake",
    "Patch",
    "listed_for",
    "mistakes_of",
    "pairs_of",
    "plant",
    "planted",
]

MISTAKES: tuple[Mistake, ...] = (*PIECES, *LIKELIHOODS, *PROGRAMS, *TRAINING)
PART_TWO: tuple[Mistake, ...] = (*PRIORS, *ESTIMATORS)


def plant(source: str, mistake: Mistake) -> str | None:
    """A solution with the mistake made in it; None where a patch does not fit.

    The functions of a solution stand between two blank lines, each with a docstring.
    """
    blocks = source.split("\n\n\n")
    for function, old, new in mistake.patches:
        for i, block in enumerate(blocks):
            if block.startswith(f"def {function}("):
                head, docstring, body = block.split('"""', 2)
                if body.count(old) != 1:
                    return None
                blocks[i] = '"""'.join([head, docstring, body.replace(old, new)])
    return "\n\n\n".join(blocks)


@cache
def planted(exercise: Exercise, *mistakes: Mistake) -> str | None:
    """The solution with these mistakes; None where a patch does not fit."""
    source: str | None = exercise.solution
    for mistake in mistakes:
        source = plant(source, mistake) if source else None
    return source


def listed_for(exercise: Exercise) -> tuple[Mistake, ...]:
    """The tables that an exercise's mistakes are in."""
    return tuple(exercise.mistakes) if exercise.folder else (*MISTAKES, *PART_TWO)


@cache
def mistakes_of(exercise: Exercise) -> tuple[tuple[Mistake, str], ...]:
    """The mistakes of an exercise, each with the wrong solution."""
    functions = {name for f in exercise.functions for name in f.names}
    listed = [m for m in listed_for(exercise) if m.function in functions]
    made = [(m, planted(exercise, m)) for m in listed]
    return tuple((m, source) for m, source in made if source is not None)


@cache
def pairs_of(exercise: Exercise, f: Function) -> tuple[tuple[Mistake, Mistake, str], ...]:
    """Every two mistakes in one function (and its backward) that can be made at once."""
    own = [m for m, _ in mistakes_of(exercise) if m.function in f.names]
    pairs = itertools.combinations(own, 2)
    made = [(first, second, planted(exercise, first, second)) for first, second in pairs]
    return tuple((first, second, both) for first, second, both in made if both is not None)
