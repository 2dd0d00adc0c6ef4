"""Your files, as check.py finds and loads them."""

import importlib
import json
import sys
from codecs import BOM_UTF8
from difflib import get_close_matches
from functools import cache
from importlib.abc import SourceLoader
from importlib.util import spec_from_loader
from pathlib import Path
from traceback import extract_tb

from cells import as_python, place
from meant import meant

HERE = Path(__file__).resolve().parent
PLAN = json.loads((HERE / "expected" / "exercises.json").read_text(encoding="utf-8"))
EXERCISES = {e["functions"][0]["exercise"]: e for e in PLAN}  # by their numbers
FILES = tuple(e["file"] for e in PLAN)
YOURS = {e["file"].removesuffix(".py"): number for number, e in EXERCISES.items()}
OWN = any(e["own"] for e in PLAN)  # your teacher's own exercises, whatever their names
FUNCTIONS = {f["name"]: f for e in PLAN for f in e["functions"]}


class Wrong(Exception):
    """What is wrong with a function: a sentence, and lines with more about it."""

    def __init__(self, status, text="", *more):
        super().__init__(text)
        self.status, self.text, self.more = status, text, more


def path_of(number):
    """Your file of an exercise, even if a download changed its name. Raises Wrong if missing."""
    named = {path: meant(path.name, FILES) for path in HERE.iterdir() if path.is_file()}
    file = EXERCISES[number]["file"]
    ranks = {path: name.rank for path, name in named.items() if name and name.file == file}
    if not ranks:
        raise Wrong("not done", f"there is no {file}")
    best = sorted(path for path, rank in ranks.items() if rank == min(ranks.values()))
    if len({path.read_bytes() for path in best}) > 1:
        names = " and ".join(path.name for path in best[:3])
        raise Wrong("fail", f"cannot choose between {names}: keep one file, {file}")
    return best[0]


class Loader(SourceLoader):
    """Loads your file of an exercise, also if it is a notebook."""

    def __init__(self, number):
        self.number = number

    def get_filename(self, fullname):
        return str(path_of(self.number))

    def get_data(self, path):
        content, f = Path(path).read_bytes(), EXERCISES[self.number]["functions"]
        if not content.removeprefix(BOM_UTF8).lstrip().startswith(b"{"):
            return content
        wanted = [f["name"] for f in f] + [f"{f['name']}_backward" for f in f if f["gradients"]]
        try:
            return as_python(content.decode("utf-8-sig"), wanted, Path(path).name).encode()
        except ValueError as error:
            raise Wrong("fail", str(error)) from None


class Finder:
    """Finds your files under the names by which they import each other."""

    @staticmethod
    def find_spec(name, *_):
        return spec_from_loader(name, Loader(YOURS[name])) if name in YOURS else None


sys.meta_path.insert(0, Finder)


@cache
def module_of(number):
    """Your file of an exercise, as a module."""
    return importlib.import_module(EXERCISES[number]["file"].removesuffix(".py"))


def where(error):
    """The last line of your files that an error came through, in brackets; "" if there is none."""
    for call in reversed(extract_tb(error.__traceback__)):
        path = Path(call.filename)
        name = meant(path.name, FILES) if path.parent == HERE else None
        if name:
            module = name.file.removesuffix(".py")
            text = Loader(YOURS[module]).get_source(module)
            return f" ({path.name}, {place(text, call.lineno)})"
    return ""


def your(name):
    """Your function of that name."""
    module = module_of(FUNCTIONS[name.removesuffix("_backward")]["exercise"])
    if not callable(getattr(module, name, None)):
        own = [n for n, f in vars(module).items() if getattr(f, "__module__", 0) == module.__name__]
        near = get_close_matches(name, {*own} - {*FUNCTIONS}, 1)
        there = f"; there is {near[0]}" if near else ""
        raise Wrong("not done", f"it is not defined in {module.__name__}.py{there}")
    return getattr(module, name)
