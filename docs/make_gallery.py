"""Draw the figures of the examples anew, and record what they were drawn by.

    python docs/make_gallery.py          # all, some minutes
    python docs/make_gallery.py 03 12    # these

docs/figures/gallery.json holds a digest of each script and the numbers its `--quick` run prints. A
script that has changed since, or a package that computes other numbers, fails the tests:
the figures are no longer those of the code.
"""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
RECORD = FIGURES / "gallery.json"
TIMED = "11_convolutions"  # is given seconds, not steps: its numbers are those of the machine
DOCUMENTED = (ast.Module, ast.FunctionDef, ast.ClassDef)
KEPT = (str, int, float, complex, bytes)  # of a node: names and constants
SHARE, RTOL = 0.9, 0.01  # of the numbers, and how near: training enlarges what rounding differs by


def scripts() -> list[Path]:
    """The examples that draw."""
    found = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
    return [path for path in found if "--quick" in path.read_text(encoding="utf-8")]


def digest(source: str) -> str:
    """Of a script's code; its docstrings, its comments and its layout draw nothing."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    words = (
        [type(node).__name__, *(str(v) for _, v in ast.iter_fields(node) if isinstance(v, KEPT))]
        for node in ast.walk(tree)
    )
    return hashlib.sha256(repr(list(words)).encode()).hexdigest()[:16]


def numbers(out: str) -> list[float]:
    """Every number that a run prints, but those in the names of its pictures."""
    said = "\n".join(line for line in out.splitlines() if not line.startswith("wrote "))
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", said)]


def agree(a: list[float], b: list[float]) -> bool:
    """Whether these are two runs of the same computation, on whatever machine."""
    return len(a) == len(b) and (not a or np.isclose(a, b, rtol=RTOL, atol=1e-6).mean() >= SHARE)


def hold(stem: str, out: str) -> None:
    """Fail if a `--quick` run prints other numbers than when the figures were drawn."""
    drawn = record()[stem]["quick"]
    assert stem == TIMED or agree(drawn, numbers(out)), (
        f"{stem} computes other numbers than when its figures were drawn: "
        f"python docs/make_gallery.py {stem[:2]}"
    )


def record() -> dict[str, dict[str, object]]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def run(path: Path, folder: str | Path, *options: str) -> str:
    command = [sys.executable, str(path), str(folder), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def main(chosen: list[str]) -> None:
    for path in scripts():
        if chosen and path.name[:2] not in chosen:
            continue
        print(run(path, FIGURES))
        with tempfile.TemporaryDirectory() as folder:
            quick = numbers(run(path, folder, "--quick")) if path.stem != TIMED else []
        made = record()
        made[path.stem] = {"script": digest(path.read_text(encoding="utf-8")), "quick": quick}
        rows = (f"  {json.dumps(name)}: {json.dumps(made[name])}" for name in sorted(made))
        RECORD.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
