"""What a function calculates, without how it is written: what `alike` compares.

Each expression and statement becomes a number that does not depend on names of variables, comments,
docstrings, annotations, the writing of constants, the order of sums and products, or `x += y` for
`x = x + y`. The child works it out before the student's code runs. This file imports nothing of
ours.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from hashlib import blake2b

__all__ = ["OTHERS", "shapes"]

OTHERS = "other functions"
MOST = 2_000  # of a function
LEAST = 3  # nodes: smaller ones are in every function
MODULES = ("np", "numpy", "math", "cmath")
COMMUTATIVE = (ast.Add, ast.Mult)
SWAPPED = {ast.Gt: "Lt", ast.GtE: "LtE"}
Read = tuple[str, int]  # number, nodes


def shapes(tree: ast.Module, functions: Iterable[str]) -> dict[str, list[str]]:
    """Function -> the numbers of what is in it; all that are not in `functions` are one."""
    functions = set(functions)
    own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    found: dict[str, set[str]] = {}
    for node in tree.body:
        reader = _Reader(own - functions)
        for part in _inside(node) or [node]:
            reader.read(part)
        name = _name_of(node)
        found.setdefault(name if name in functions else OTHERS, set()).update(reader.found)
    return {name: sorted(numbers)[:MOST] for name, numbers in found.items()}


def _name_of(node: ast.stmt) -> str:
    """What a statement defines: `def f(x)`, or `f = lambda x: ...`."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return getattr(node, "name", "")


class _Reader:
    """Reads nodes, and keeps the numbers of those that are large enough."""

    def __init__(self, own: set[str]) -> None:
        self.own, self.found = own, set[str]()

    def read(self, node: ast.AST) -> Read:
        """The number of a node, and how many nodes are in it."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return "", 0  # a docstring
        label, children, is_ordered = self._parts(node)
        parts = [self.read(child) for child in children]
        numbers = [number for number, _ in parts]
        text = " ".join([label, *(numbers if is_ordered else sorted(numbers))])
        number, size = (
            blake2b(text.encode(), digest_size=8).hexdigest(),
            1 + sum(n for _, n in parts),
        )
        if size >= LEAST:
            self.found.add(number)
        for statement in _inside(node):
            self.read(statement)
        return number, size

    def _parts(self, node: ast.AST) -> tuple[str, list[ast.AST], bool]:
        """What a node is, its parts, and whether their order counts."""
        name = type(node).__name__
        if isinstance(node, ast.Name | ast.arg):
            return "name", [], True
        if isinstance(node, ast.Constant):
            value = node.value
            label = repr(complex(value)) if isinstance(value, int | float | complex) else "text"
            return label, [], True
        if isinstance(node, ast.Attribute):
            return f".{node.attr}", _without_modules([node.value]), True
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.keyword):
            return f"{node.arg}=", [node.value], True
        if isinstance(node, ast.BinOp) and isinstance(node.op, COMMUTATIVE):
            return type(node.op).__name__, list(_chain(node, type(node.op))), False
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED and len(node.ops) == 1:
            return f"Compare {SWAPPED[type(node.ops[0])]}", [*node.comparators, node.left], True
        if isinstance(node, ast.AugAssign):
            sum_of = ast.BinOp(node.target, node.op, node.value)
            return "Assign", [node.target, sum_of], True
        if isinstance(node, ast.AnnAssign):
            return "Assign", [n for n in (node.target, node.value) if n], True
        parts = [n for n in ast.iter_child_nodes(node) if not isinstance(n, LEFT_OUT)]
        return " ".join([name, *_operators(node)]), parts, True

    def _call(self, node: ast.Call) -> tuple[str, list[ast.AST], bool]:
        f = node.func
        called = f.attr if isinstance(f, ast.Attribute) else f.id if isinstance(f, ast.Name) else ""
        receiver = [f.value] if isinstance(f, ast.Attribute) else [] if called else [f]
        keywords = sorted(node.keywords, key=lambda k: k.arg or "")
        called = "own" if called in self.own else called
        return f"call {called}", [*_without_modules(receiver), *node.args, *keywords], True


LEFT_OUT = (ast.stmt, ast.ExceptHandler, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop,
            ast.boolop, ast.arguments)  # fmt: skip


def _inside(node: ast.AST) -> list[ast.AST]:
    """The statements of a function, a loop, a condition and the like."""
    return [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt | ast.ExceptHandler)]


def _without_modules(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    return [n for n in nodes if not (isinstance(n, ast.Name) and n.id in MODULES)]


def _chain(node: ast.AST, operator: type[ast.operator]) -> Iterator[ast.AST]:
    """The terms of a sum, or the factors of a product."""
    waiting = [node]
    while waiting:
        n = waiting.pop()
        if isinstance(n, ast.BinOp) and isinstance(n.op, operator):
            waiting += [n.left, n.right]
        else:
            yield n


def _operators(node: ast.AST) -> list[str]:
    operators = [getattr(node, "op", None), *getattr(node, "ops", ())]
    return [type(operator).__name__ for operator in operators if operator]
