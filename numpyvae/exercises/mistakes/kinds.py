"""What a mistake is, and a table of them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mistake", "Patch", "in_function"]


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
    zoo: str = ""  # its number in the bug zoo
    overflows: bool = False  # whether infinities and nan are the point of it

    @property
    def function(self) -> str:
        """Where it is made."""
        return self.patches[0].function


def in_function(
    function: str, *rows: tuple[str, str, str, str, str] | tuple[str, str, str, str, str, str]
) -> list[Mistake]:
    """Mistakes of one function, a row each: name, old, new, says, asks and perhaps zoo."""
    return [
        Mistake(name, says, asks, (Patch(function, old, new),), zoo[0] if zoo else "")
        for name, old, new, says, asks, *zoo in rows
    ]
