"""From the cells of a notebook to the text of a file: functions, with all that they use.

Cells are parsed and never run. This file is in the students' kit, too, and imports nothing of ours.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

__all__ = ["Definition", "as_python", "definitions", "gather"]

CELL_CHARACTERS, CELLS = 50_000, 2_000  # more is not looked at
MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|.*[\w)]\?{1,2}[ \t]*)$", re.M)
PYTHON_MAGIC = re.compile(r"\s*%%(?:time|timeit|capture|prun|python3?|writefile)\b.*\n?")
PLAIN = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


class Definition(NamedTuple):
    """The statements that give a name its value, and the names that they use."""

    text: str
    uses: tuple[str, ...]


def as_python(text: str, names: Iterable[str], file: str) -> str:
    """The text of a .py file, also if it is the JSON of a notebook; `names` are its functions.

    ValueError if it is a notebook, and none of its cells defines one of the functions.
    """
    if not (text.lstrip().startswith("{") and '"cells"' in text):
        return text
    try:
        cells = [
            "".join(cell["source"]) for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code"
        ]  # fmt: skip
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"{file} is a damaged notebook: expected a .py file") from None
    names, table = list(names), definitions(cells)
    if not table.keys() & set(names):
        raise ValueError(
            f"{file} is a notebook, and no cell of it defines {' or '.join(names)}: "
            "expected a .py file with these functions"
        )
    return gather(names, table.get)


def definitions(cells: Iterable[str]) -> dict[str, Definition]:
    """Name -> its last definition, and what changes it later. What is not Python is left out."""
    found: dict[str, Definition] = {}
    for _, cell in zip(range(CELLS), cells, strict=False):
        for node, text in _statements(cell):
            uses = tuple(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
            given, changed = _names(node)
            for name in given | (changed & found.keys()):
                anew = name in given and name != "*" and isinstance(node, PLAIN)
                before = Definition("", ()) if anew else found.get(name, Definition("", ()))
                found[name] = Definition(before.text + text, before.uses + uses)
    return found


def gather(names: Iterable[str], find: Callable[[str], Definition | None]) -> str:
    """The definitions of `names` and of all that they use, each after what it uses."""
    parts: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [(name, False) for name in reversed(["*", *names])]
    while waiting:
        name, ready = waiting.pop()
        found = find(name) if ready or name not in seen else None
        if found is None:
            continue
        if ready:
            parts[found.text] = None
        else:
            seen.add(name)
            waiting += [(name, True), *((used, False) for used in reversed(found.uses))]
    return "\n".join(parts)


def _statements(cell: str) -> Iterator[tuple[ast.stmt, str]]:
    """The statements of a cell without its magics, each with its lines."""
    if len(cell) > CELL_CHARACTERS:
        return
    cell = PYTHON_MAGIC.sub("", cell, count=1) if PYTHON_MAGIC.match(cell) else cell
    for text in (cell, MAGIC.sub(r"\1pass", cell)):  # the first, if it is Python as it is
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of backslashes, which are not ours to mend
                nodes = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        lines = text.splitlines()
        for node in nodes:
            first = min(n.lineno for n in (node, *getattr(node, "decorator_list", ())))
            yield node, "\n".join(lines[first - 1 : node.end_lineno]) + "\n"
        return


def _names(node: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement of a cell gives a value to, and those of what it changes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}, set()
    given, changed = set(), set()
    for n in ast.walk(node):
        if isinstance(n, ast.FunctionDef | ast.ClassDef):
            given.add(n.name)
        elif isinstance(n, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).split(".")[0] for alias in n.names}
        elif isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            given.add(n.id)
        elif isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store):
            changed |= {n.value.id} if isinstance(n.value, ast.Name) else set()
    return given, changed
