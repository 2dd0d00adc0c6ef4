"""`numpyvae exercises grade --compare`: which submissions are alike, for the teacher to look at.

Short functions are alike by nature, so what many have in common is no evidence: a form counts the
more, the fewer have it, and not at all if more than a fifth of the class has it or the stub does.
Similarity is what two functions have in common of all forms in them, by weight (Jaccard).
"""

from __future__ import annotations

import ast
import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from numpyvae.exercises.judge.catalogue import Exercise
from numpyvae.exercises.sandbox.shapes import shapes
from numpyvae.exercises.student.stubs import stub
from numpyvae.exercises.teacher.class_results import Grade, cell

__all__ = ["PUBLISHED", "Pair", "pairs_of", "table"]

PUBLISHED = "the published solution"
COMMON = 5  # what more than one in five has is common
FEW = 3  # but not in a class so small that nobody can tell
SIMILAR = 0.8
LEAST_IN_ONE, LEAST = 6, 12  # rare forms in common in a function, and in all: fewer are chance
Function = tuple[int, str]  # exercise, name
Forms = Mapping[Function, frozenset[str]]


class Pair(NamedTuple):
    """Two submissions that are alike."""

    student: str
    other: str
    functions: tuple[tuple[str, float], ...]  # "ex3 reparameterize", similarity
    forms: int  # rare ones in common, in all these functions


def pairs_of(grades: Sequence[Grade]) -> list[Pair]:
    """The pairs of submissions that have similar functions, those with most in common first.

    The submissions must have been graded with `shapes`.
    """
    graded = list(dict.fromkeys(v.exercise for g in grades for v in g.verdicts))
    students = [(g.name, _forms(g)) for g in grades] + [(PUBLISHED, _published(graded))]
    handed_out = _of_texts(graded, stub)
    students = [
        (who, {f: own - handed_out.get(f, frozenset()) for f, own in forms.items()})
        for who, forms in students
    ]
    common: dict[tuple[int, int], list[tuple[str, float, int]]] = defaultdict(list)
    for function in dict.fromkeys(f for _, forms in students for f in forms):
        found = [(i, forms[function]) for i, (_, forms) in enumerate(students) if function in forms]
        for i, j, similarity, shared in _similar(found):
            common[i, j].append((f"ex{function[0]} {function[1]}", similarity, shared))
    pairs = [
        Pair(
            students[i][0],
            students[j][0],
            tuple(f[:2] for f in sorted(functions)),
            sum(shared for *_, shared in functions),
        )
        for (i, j), functions in common.items()
    ]
    return sorted((p for p in pairs if p.forms >= LEAST), key=lambda p: (-p.forms, p))


def _similar(found: Sequence[tuple[int, frozenset[str]]]) -> Iterator[tuple[int, int, float, int]]:
    """(student, other, similarity, rare forms in common) of one function.

    Pairs are met in the lists of who has a form, which are short: no two functions are compared.
    """
    having: dict[str, list[int]] = defaultdict(list)
    for i, forms in found:
        for form in forms:
            having[form].append(i)
    most = max(FEW, len(found) // COMMON)
    weight = {f: math.log((len(found) + 1) / len(w)) for f, w in having.items() if len(w) <= most}
    total = {i: sum(weight.get(form, 0.0) for form in forms) for i, forms in found}
    shared: Counter[tuple[int, int]] = Counter()
    number: Counter[tuple[int, int]] = Counter()
    for form, w in weight.items():
        for pair in combinations(having[form], 2):
            shared[pair] += w  # type: ignore[assignment]  # a Counter of floats
            number[pair] += 1
    for (i, j), w in shared.items():
        similarity = w / (total[i] + total[j] - w)
        if similarity >= SIMILAR and number[i, j] >= LEAST_IN_ONE:
            yield i, j, similarity, number[i, j]


def _forms(grade: Grade) -> Forms:
    return {
        (verdict.exercise.number, name): forms
        for verdict in grade.verdicts
        for name, forms in verdict.shapes.items()
    }


def _published(exercises: Sequence[Exercise]) -> Forms:
    return _of_texts(exercises, lambda e: e.solution)


def _of_texts(exercises: Sequence[Exercise], text_of: Callable[[Exercise], str]) -> Forms:
    return {
        (e.number, name): frozenset(forms)
        for e in exercises
        for name, forms in shapes(ast.parse(text_of(e)), e.marks).items()
    }


def table(pairs: Sequence[Pair]) -> str:
    """The pairs as CSV, one row each."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["student", "is like", "uncommon forms in both", "functions"])
    for pair in pairs:
        functions = "; ".join(f"{name} {similarity:.0%}" for name, similarity in pair.functions)
        writer.writerow([cell(pair.student), cell(pair.other), pair.forms, functions])
    return content.getvalue()
