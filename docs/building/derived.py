"""Which function is derived where: the formula that stands above its quotation in a chapter."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
CHAPTERS = ROOT / "docs" / "derivations"
PIECE = re.compile(
    r"^(?P<heading>#+ [^\n]*)$|^(?:<!-- quoted from (?P<path>\S+) -->\n)?"
    r"```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.M | re.S,
)


class Derivation(NamedTuple):
    """A chapter, by its document and title, and a formula of it in TeX."""

    document: str
    title: str
    formula: str


@cache
def derivations() -> dict[str, list[Derivation]]:
    """Full name of a function, or of the class of an undocumented method -> where it is derived."""
    found: dict[str, list[Derivation]] = {}
    for chapter in sorted(CHAPTERS.glob("*.md")):
        text = chapter.read_text(encoding="utf-8")
        title = text.partition("\n")[0].removeprefix("# ")
        formula = ""
        for piece in PIECE.finditer(text):
            if piece["heading"]:
                formula = ""
            elif piece["kind"] == "math":
                formula = piece["body"].strip()
            elif piece["path"]:
                for name in _quoted_functions(piece["path"], piece["body"]):
                    found.setdefault(name, []).append(
                        Derivation(f"/derivations/{chapter.stem}", title, formula)
                    )
    return found


def _quoted_functions(path: str, quotation: str) -> list[str]:
    """Full names of the functions in the file of which some lines are quoted."""
    source = (ROOT / path).read_text(encoding="utf-8")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    quoted = {line.strip() for line in quotation.splitlines() if len(line.strip()) > 8}
    names = []
    for prefix, function in _functions(ast.parse(source)):
        segment = ast.get_source_segment(source, function) or ""
        if {line.strip() for line in segment.splitlines()} >= quoted:
            own = f".{function.name}" if ast.get_docstring(function) or not prefix else ""
            names.append(f"{module}{prefix}{own}")
    return names


def _functions(tree: ast.Module) -> list[tuple[str, ast.FunctionDef]]:
    """Functions with "", methods with "." and the name of their class."""
    found = [("", node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            methods = [node for node in owner.body if isinstance(node, ast.FunctionDef)]
            found += [(f".{owner.name}", node) for node in methods]
    return found


def as_rst(name: str) -> list[str]:
    """What is said of a function's derivation below its docstring."""
    places = derivations().get(name, [])
    formulas = [place for place in places if place.formula]
    lines: list[str] = []
    if len(formulas) <= 2:
        for place in formulas:
            lines += ["", ".. math::", "", *(f"   {row}" for row in place.formula.split("\n"))]
    links = dict.fromkeys(f":doc:`{place.title} <{place.document}>`" for place in places)
    return [*lines, "", f"Derived in {', '.join(links)}.", ""] if places else []
