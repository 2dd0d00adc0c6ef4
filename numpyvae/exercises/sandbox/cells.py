"""From the cells of a notebook to the text of a file: functions, with all that they use.

Cells are parsed and never run. This file is in the students' kit, too, and imports nothing of ours.
"""

import ast
import json
import re
import symtable
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Definition", "as_python", "definitions", "gather", "place"]

CELL_CHARACTERS, CELLS, CHARACTERS = 50_000, 2_000, 500_000  # more is not looked at
MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|.*[\w)]\?{1,2}[ \t]*)$", re.M)
PYTHON_MAGIC = re.compile(r"\s*%%(?:time|timeit|capture|prun|python3?|writefile)\b.*\n?")
ORIGIN = re.compile(r"# line (\d+): cell (\d+), line (\d+)")
PLAIN = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


class Definition(NamedTuple):
    """The statements that give a name its value, what they use, and where they come from."""

    text: str
    uses: tuple[str, ...]
    origins: tuple[tuple[int, int, int], ...] = ()  # line of the text, cell, line in the cell


def as_python(text: str, names: Iterable[str], file: str) -> str:
    """The text of a .py file, also if it is the JSON of a notebook; `names` are its functions.

    ValueError if it is a notebook, and none of its cells defines one of the functions.
    """
    if not (text.lstrip().startswith("{") and '"cells"' in text):
        return text
    try:
        own, table = _tables(text)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"{file} is a damaged notebook: expected a .py file") from None
    names = list(names)
    if not own.keys() & set(names):
        raise ValueError(
            f"{file} is a notebook, and no cell of it defines {' or '.join(names)}: "
            "expected a .py file with these functions"
        )
    return gather(names, lambda name: (own if name in names else table).get(name))


@lru_cache(maxsize=2)  # one notebook is read for one exercise after another
def _tables(text: str) -> tuple[dict[str, Definition], dict[str, Definition]]:
    """The definitions in a notebook, without its imports and with them."""
    cells = [""]
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            cells.append("".join(cell["source"]))
    return definitions(cells, imports=False), definitions(cells)


def place(text: str, line: int) -> str:
    """Where a line of a gathered text comes from, "cell 3, line 2"; "line 5" of any other text."""
    origins = []
    for row in reversed(text.splitlines()):
        match = ORIGIN.fullmatch(row)
        if match is None:
            break
        origins.append(tuple(map(int, match.groups())))
    before = [origin for origin in origins if origin[0] <= line]
    if not before:
        return f"line {line}"
    first, cell, start = max(before)
    return f"cell {cell}, line {start + line - first}"


def definitions(cells: Iterable[str], imports: bool = True) -> dict[str, Definition]:
    """Name -> its last definition, and what changes it later. What is not Python is left out.

    Without `imports`, what a cell imports defines nothing: `from given import f` is no own f.
    """
    found: dict[str, Definition] = {}
    left = CHARACTERS
    for number, cell in zip(range(CELLS), cells, strict=False):
        left -= len(cell)
        for node, text, line in _statements(cell) if left >= 0 else ():
            uses = _uses(node, text)
            given, changed = _names(node, imports)
            for name in given | (changed & found.keys()):
                anew = name in given and name != "*" and isinstance(node, PLAIN)
                before = Definition("", ()) if anew else found.get(name, Definition("", ()))
                origin = before.text.count("\n") + 1, number, line
                found[name] = Definition(
                    before.text + text, before.uses + uses, (*before.origins, origin)
                )
    return found


def gather(names: Iterable[str], find: Callable[[str], Definition | None]) -> str:
    """The definitions of `names` and of all that they use, each after what it uses.

    Comments at the end say for `place` from which cells they are.
    """
    parts: dict[str, tuple[tuple[int, int, int], ...]] = {}
    seen: set[str] = set()
    waiting = [(name, False) for name in reversed(["*", *names])]
    while waiting:
        name, ready = waiting.pop()
        found = find(name) if ready or name not in seen else None
        if found is None:
            continue
        if ready:
            parts[found.text] = found.origins
        else:
            seen.add(name)
            waiting += [(name, True), *((used, False) for used in reversed(found.uses))]
    comments, lines = "", 0
    for text, origins in parts.items():
        for line, number, start in origins:
            comments += f"# line {lines + line}: cell {number}, line {start}\n"
        lines += text.count("\n") + 1
    return "\n".join(parts) + comments


def _statements(cell: str) -> Iterator[tuple[ast.stmt, str, int]]:
    """The statements of a cell without its magics, each with its text and its first line."""
    if len(cell) > CELL_CHARACTERS:
        return
    magic = PYTHON_MAGIC.match(cell)
    cell, above = (cell[magic.end() :], magic[0].count("\n")) if magic else (cell, 0)
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
            if isinstance(node, ast.ImportFrom):  # not every exercise's `given` has all the names
                for alias in node.names:
                    one = ast.ImportFrom(node.module, [alias], node.level)
                    yield one, f"{ast.unparse(one)}\n", first + above
                continue
            yield node, "\n".join(lines[first - 1 : node.end_lineno]) + "\n", first + above
        return


def _uses(node: ast.stmt, text: str) -> tuple[str, ...]:
    """The names that a statement may need: of a function or a class, not those of its own."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        try:
            tables = [symtable.symtable(text, "cell", "exec")]
        except (SyntaxError, RecursionError):  # it cannot be compiled, or not within this stack
            tables = []
        needed: dict[str, None] = {}
        for table in tables:  # it grows
            tables += table.get_children()
            for s in table.get_symbols():
                if s.is_referenced() if table is tables[0] else s.is_global():
                    needed[s.get_name()] = None
        return tuple(needed)
    return tuple(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _names(node: ast.stmt, imports: bool) -> tuple[set[str], set[str]]:
    """The names that a statement of a cell gives a value to, and those of what it changes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}, set()
    given, changed = set(), set()
    for n in ast.walk(node):
        if isinstance(n, ast.FunctionDef | ast.ClassDef):
            given.add(n.name)
        elif isinstance(n, ast.Import | ast.ImportFrom):
            named = {(alias.asname or alias.name).split(".")[0] for alias in n.names}
            given |= named if imports else set()
        elif isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            given.add(n.id)
        elif isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store):
            changed |= {n.value.id} if isinstance(n.value, ast.Name) else set()
    return given, changed
