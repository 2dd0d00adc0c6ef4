"""Kit and grader come to the same verdict on every file: on own cases, and on those of `shared`."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_exercises_hand_in import BACKWARD, CELLS, FORWARD, notebook

from numpyvae.exercises.judge.catalogue import EXERCISES, solution
from numpyvae.exercises.judge.mistakes import mistakes_of
from numpyvae.exercises.sandbox.process import FORKERS
from numpyvae.exercises.teacher import grading, kit, submissions

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "cases"
FILE, RELU = EXERCISES[3].file, EXERCISES[1].file
THREE = solution(FILE)
NO_LIMITS = {"print_flood"}  # the kit has none: what prints without end is stopped in grading alone

HEAD = """
import argparse, csv, logging, numpy.typing as npt
from typing import Tuple
c8 = c16 = "complex"
print("complex", isinstance(c8, complex))
"""
CALLS = """
    rows = [reparameterize(*(a[n : n + 1] for a in kept))[0] for n in range(len(dz))]
    sigma = sigma + 0 * np.concatenate(rows)"""
ROWS = (
    ("return z, (sigma, noise)", "return z, (sigma, noise, (mean, log_var, noise))"),
    ("    sigma, noise = cache", f"    sigma, noise, kept = cache{CALLS}"),
)


def edited(text, *changes):
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


CASES = {  # name -> exercise, files
    "as it should be": (3, {FILE: THREE}),
    **{
        name: (3, {name: THREE})
        for name in (
            "ex3_reparameterize (1).py", "ann_12_345_ex3_reparameterize-1.py",
            "EX3_REPARAMETERIZE.PY", "ex3_reparameterize.py.txt", "ex3 reparameterize.py",
            "Copy of ex3_reparameterize.py", "three.py", "ex3.py", "ex3_reparameterize.txt",
        )
    },
    "copies": (3, {"ex3_reparameterize (2).py": "", "ex3_reparameterize (10).py": THREE}),
    "a copy beside it": (3, {FILE: THREE, "ex3_reparameterize (1).py": ""}),
    "two": (3, {f"ann_{FILE}": THREE, f"bob_{FILE}": ""}),
    "two that are equal": (3, {f"ann_{FILE}": THREE, f"bob_{FILE}": THREE}),
    "notebook": (3, {"ex3_reparameterize.ipynb": notebook(*CELLS)}),
    "notebook, .py": (3, {FILE: notebook(*CELLS)}),
    "notebook, typing": (3, {"ex3_reparameterize (1).ipynb": notebook(
        "from typing import Tuple\nimport numpy as np",
        FORWARD.format(" -> Tuple", "(mean, 1)"), BACKWARD.format("dz, dz"))}),
    "damaged notebook": (3, {"ex3_reparameterize.ipynb": '{"cells": ['}),
    "empty notebook": (3, {"ex3_reparameterize.ipynb": '{"cells": []}'}),
    "empty": (3, {FILE: ""}),
    "not Python": (3, {FILE: THREE + ")"}),
    "misspelt": (3, {FILE: THREE.replace("reparameterize", "reparametrize")}),
    "Greek": (3, {FILE: THREE.replace("sigma", "σ")}),
    "marks of order": (3, {FILE: "\ufeff" + THREE}),
    "Windows": (3, {FILE: THREE.replace("\n", "\r\n")}),
    "latin-1": (3, {FILE: b"# coding: latin-1\nE = '\xe9'\n" + THREE.encode()}),
    "undeclared": (3, {FILE: b"E = '\xe9'\n" + THREE.encode()}),
    "unknown encoding": (3, {FILE: "# coding: nonsense\n" + THREE}),
    "imports": (3, {FILE: HEAD + THREE}),
    "row by row": (3, {FILE: edited(THREE, *ROWS)}),
    "float32": (3, {FILE: THREE.replace("return z,", "return z.astype('f4'),")}),
    "no such module": (3, {FILE: "import numpyvae.nothing\n" + THREE}),
    "raises": (3, {FILE: "1 / 0\n" + THREE}),
    "exits": (3, {FILE: "raise SystemExit\n" + THREE}),
    "warns": (3, {FILE: THREE + "np.log(np.zeros(1))\n"}),
    "another file": (3, {FILE: solution(RELU)}),
    "maximum": (1, {RELU: edited(solution(RELU), ("np.where(x > 0, x, 0.0)", "np.maximum(x, 0)"))}),
    **{
        f"ReLU: {slope}": (1, {RELU: edited(solution(RELU), ("dy * (x > 0)", f"dy * {slope}"))})
        for slope in ("(x >= 0)", "0.5 * (1 + np.sign(x))", "np.heaviside(x, 0)",
                      "np.heaviside(x, 1)", "np.sign(np.maximum(x, 0))")
    },
    **{
        m.name: (e.number, {e.file: source})
        for e in EXERCISES[:5] for m, source in mistakes_of(e)[:1]  # all fail in both
    },
}  # fmt: skip

# Runs check.py on the files of each case, all others being right; prints the lines it says.
CHECK = """
import io, json, sys
from contextlib import redirect_stdout
sys.path[:0] = [".", NUMPY]
import check
said = []
for number, files in json.load(sys.stdin):
    own = check.HERE / check.EXERCISES[number]["file"]
    before = own.read_bytes()
    own.unlink()
    for name, text in files.items():
        own.with_name(name).write_bytes(text.encode("latin-1"))
    for name in [*check.YOURS, "given"]:
        sys.modules.pop(name, None)
    check.check.cache_clear()
    check.module_of.cache_clear()
    with redirect_stdout(io.StringIO()) as printed:
        check.show(number)
    said.append(printed.getvalue())
    for name in files:
        own.with_name(name).unlink(missing_ok=True)
    own.write_bytes(before)
print(json.dumps(said))
"""


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def kit_says(tmp_path, cases):
    """What check.py prints on each case."""
    zipfile.ZipFile(io.BytesIO(kit.build("0"))).extractall(tmp_path)
    folder = tmp_path / kit.FOLDER
    for exercise in EXERCISES:
        (folder / exercise.file).write_text(solution(exercise.file), encoding="utf-8")
    given = [
        [n, {name: as_bytes(text).decode("latin-1") for name, text in files.items()}]
        for n, files in cases
    ]
    code = CHECK.replace("NUMPY", repr(str(Path(np.__file__).parent.parent)))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=folder, text=True,
                          input=json.dumps(given), capture_output=True, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def grader_says(tmp_path, cases):
    """The grader's verdict on each."""
    with FORKERS.kept():
        for i, (number, files) in enumerate(cases):
            folder = tmp_path / str(i)
            folder.mkdir()
            for name, text in files.items():
                (folder / name).write_bytes(as_bytes(text))
            submission = submissions.read_one(folder)
            yield grading._verdict(EXERCISES[number], submission, grading.Run("0"))


def differences(tmp_path, cases):
    """The cases on which they differ, and what each says."""
    (tmp_path / "kit").mkdir()
    said = kit_says(tmp_path / "kit", cases.values())
    verdicts = grader_says(tmp_path, cases.values())
    for name, text, verdict in zip(cases, said, verdicts, strict=True):
        status = re.search(rf"^(pass|fail|not done) +{verdict.exercise.file}", text, re.M)
        if status is None or status[1] != verdict.status:
            yield name, text, verdict.status, verdict.faults[:1]


@pytest.mark.slow
def test_kit_and_grader_say_the_same_of_every_case(tmp_path):
    assert list(differences(tmp_path, CASES)) == []


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not beside this checkout")
def test_kit_and_grader_say_the_same_of_the_shared_cases(tmp_path):
    cases = {}
    for folder in sorted(SHARED.glob("*/class*/*")):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        numbers = {e.number for e in EXERCISES for name in files if name.startswith(e.file[:4])}
        if folder.parts[-3] not in NO_LIMITS:
            cases |= {f"{folder} {n}": (n, files) for n in numbers}
    assert len(cases) > 10
    assert list(differences(tmp_path, cases)) == []
