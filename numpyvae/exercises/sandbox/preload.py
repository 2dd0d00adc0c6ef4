"""Import what a student's file imports, before its process gives up the right to open files.

Only Python's own modules and NumPy's are loaded. What else a file asks for is left to fail in the
file, as it would without this. The student's text is parsed here, in the child: it costs the child.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
from collections.abc import Iterator

__all__ = ["preload"]

# Loaded for everybody: what is imported by a name that no text shows, and what other modules
# import only when they are used.
USUAL = (
    "math cmath random time string re json copy typing abc operator functools itertools contextlib "
    "collections collections.abc dataclasses enum warnings traceback pathlib importlib "
    "fractions decimal statistics numbers bisect heapq pprint types io timeit inspect unicodedata "
    "encodings.latin_1 encodings.cp1252 encodings.ascii encodings.utf_8_sig encodings.utf_16 "
    "numpy.linalg numpy.random numpy.fft numpy.ma numpy.char "
    "numpy.polynomial numpy.lib.scimath numpy.lib.stride_tricks"
)
LATER = {
    "argparse": ["shutil", "gettext"],
    "datetime": ["_strptime"],
    "doctest": ["unittest"],
    "logging": ["logging.config", "logging.handlers"],
    "time": ["_strptime"],
}
UNWANTED = {  # they open windows or a browser, install things, or are no modules to import
    "antigravity", "ensurepip", "idlelib", "lib2to3", "site", "test", "tkinter", "turtle",
    "turtledemo", "venv", "webbrowser",
}  # fmt: skip
NAMES = 2_000  # at most so many imports and attributes are looked at


def preload(source: str) -> ast.Module | None:
    """Import the usual modules, and those that `source` names; its tree. Nothing is raised."""
    for name in USUAL.split():
        _import(name)
    with contextlib.suppress(Exception):  # no Python, or too deep: running it will say so
        tree = ast.parse(source)
        for name in list(dict.fromkeys(_named(tree)))[:NAMES]:
            if name == "numpy.*":
                _import_all_of_numpy()
            else:
                _import(name)
        return tree
    return None


def _named(tree: ast.AST) -> Iterator[str]:
    """The modules that a file may load, at any depth, as far as its text tells."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"numpy.{node.attr}"  # np.testing and np.typing are loaded when they are used
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("__import__", "import_module"):
                yield str(node.args[0].value)


def _import(name: str) -> None:
    top = name.partition(".")[0]
    if top != "numpy" and (top not in sys.stdlib_module_names or top in UNWANTED):
        return
    for one in (name, *LATER.get(name, ())):
        with contextlib.suppress(Exception):
            importlib.import_module(one)


def _import_all_of_numpy() -> None:
    """What `from numpy import *` asks for: NumPy loads it late."""
    np = importlib.import_module("numpy")
    importlib.import_module("numpy.testing")
    np.f2py = sys.modules["numpy.f2py"] = type(sys)("numpy.f2py")  # type: ignore[attr-defined]
    exec("from numpy import *", {})  # f2py is slow, and of no use here
