"""What a mistake is, and a table of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numpyvae.exercises.judge.catalogue import Arrays

__all__ = [
    "CONSTANT",
    "LOG_SIGMA",
    "Fit",
    "Mistake",
    "Patch",
    "as_written",
    "in_function",
    "once",
    "overflowing",
    "unused",
    "unweighted",
    "with_any",
]

CONSTANT = "CONSTANT"
ROW = ("name", "old", "new", "says", "asks")
LOG_SIGMA = (
    "log_var is taken for log sigma: it is log sigma^2, so sigma^2 = exp(log_var)",
    "log_var = log sigma^2. What is exp(log_var)?",
)

Fit = Callable[[Arrays, Arrays, Arrays], float]  # points, a student's results, the right ones


class Patch(NamedTuple):
    """In the body of `function`, `old` becomes `new`."""

    function: str
    old: str
    new: str


class Mistake(NamedTuple):
    """One way to go wrong."""

    name: str
    says: str  # what is wrong, in one sentence
    asks: str  # the first hint, a question
    patches: tuple[Patch, ...]
    zoo: str = ""  # its number among the planted bugs
    overflows: bool = False  # whether infinities and nan are the point of it
    constant: str = ""  # a number in it that may be another,
    fit: Fit | None = None  # and how that is read off a student's results

    @property
    def function(self) -> str:
        """Where it is made."""
        return self.patches[0].function

    def fitted(self, points: Arrays, yours: Arrays, right: Arrays) -> tuple[float, Mistake] | None:
        """The constant of these results, as it may have been written, and the mistake with it.

        The patches have the name CONSTANT in its place, so that one text serves for all constants.
        """
        try:
            with np.errstate(all="ignore"):
                c = self.fit(points, yours, right) if self.fit else math.nan
        except (LookupError, TypeError, ValueError, ArithmeticError):  # results of another shape
            return None
        if not 0.0 < c < math.inf:
            return None
        c = as_written(c) or c
        patches = tuple(
            p._replace(new=p.new.replace(self.constant, CONSTANT)) for p in self.patches
        )
        return c, self._replace(says=self.says.replace(self.constant, f"{c:.3g}"), patches=patches)


def as_written(c: float) -> float:
    """What somebody may have written who got c: at most three digits, or an epsilon of NumPy. Or 0."""
    likely = (float(f"{c:.3g}"), float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps))
    return next((number for number in likely if abs(number / c - 1.0) < 1e-4), 0.0)


def in_function(
    function: str, *rows: tuple[str, str, str, str, str] | tuple[str, str, str, str, str, str]
) -> list[Mistake]:
    """Mistakes of one function, a row each: name, old, new, says, asks and perhaps zoo.

    ValueError for a row that is none.
    """
    for row in rows:
        if not isinstance(row, tuple) or len(row) not in (len(ROW), len(ROW) + 1):
            missing = ROW[len(row) :] if isinstance(row, tuple) else ()
            without = f", without {', '.join(missing)}" if missing else ""
            raise ValueError(
                f"a mistake of {function}: expected ({', '.join(ROW)}), got {row!r:.60}{without}"
            )
    return [
        Mistake(name, says, asks, (Patch(function, old, new),), zoo[0] if zoo else "")
        for name, old, new, says, asks, *zoo in rows
    ]


def with_any(constant: str, fit: Fit, *mistakes: Mistake) -> list[Mistake]:
    """Mistakes that are the same with another constant."""
    return [m._replace(overflows=True, constant=constant, fit=fit) for m in mistakes]


def overflowing(mistakes: list[Mistake]) -> list[Mistake]:
    """Mistakes whose point are infinities and nan."""
    return [m._replace(overflows=True) for m in mistakes]


def once(what: str) -> tuple[str, str]:
    """What is wrong with `a[index] += rows` where an index repeats, and a question."""
    return (
        f"fancy indexing writes each row once: of those that share {what}, only the last counts",
        f"Two rows of the batch share {what}. After a[[0, 0]] += 1, what is a[0]?",
    )


def unused(dy: str, rule: str, gradient: str, where: str = "") -> tuple[str, str]:
    """What is wrong where the chain rule is forgotten, and a question."""
    return (
        f"{dy} is not used{where}: {rule}, by the chain rule",
        f"If the loss does not depend on {dy[1:]} ({dy} = 0), what is {gradient}?",
    )


def unweighted(dy: str, does: str, value: str, gradient: str) -> tuple[str, str]:
    """What is wrong where an example's row does not have the weight of the example."""
    return (
        f"{dy} is {does}: each example's row is weighted by its own {dy}",
        f"If the loss does not depend on {value} of example 2, what is row 2 of {gradient}?",
    )
