"""Files that are not what is expected: sentences in the student's words, from kit and grader."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from numpyvae.exercises.judge import compare, judging
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.reference import perform_trusted
from numpyvae.exercises.student.report import verdict_text
from numpyvae.exercises.teacher import kit
from numpyvae.exercises.teacher.class_results import Grade
from numpyvae.exercises.teacher.gradescope import results

NUMPY = Path(np.__file__).parent.parent


def judged(number, source):
    """The verdict, from this process: the sources are ours."""
    exercise = EXERCISES[number]
    outcome = perform_trusted(exercise, source, draw_points(exercise, 0))
    return judging.judge(exercise, outcome, 0)


def said(number, source):
    return " ".join(verdict_text(judged(number, source), ".").split())


def changed(number, *changes):
    text = solution(EXERCISES[number].file)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


MISSPELT = changed(3, ("reparameterize", "reparametrize"))
FILES = {  # name -> exercise, text, status, what is said
    "misspelt": (3, MISSPELT, "not done", "reparametrize"),
    "one misspelt": (3, changed(3, ("reparameterize_backward", "backward")), "not done", "not def"),
    "wrong file": (2, solution(EXERCISES[3].file), "not done", "is not defined in"),
    "empty": (3, "", "not done", "is not defined in"),
    "other keys": (5, changed(5, ('grads["encoder.0.b"]', 'grads["encoder.0.bias"]')), "fail",
                   "encoder.0.bias"),
    "more keys": (5, changed(5, ("    return grads", "    grads['x'] = 0.0\n    return grads")),
                  "fail", "x"),
    "notebook": (3, json.dumps({"cells": [
        {"cell_type": "code", "source": [solution(EXERCISES[3].file)]}]}), "pass", ""),
    "other notebook": (3, '{"cells": [], "nbformat": 4}', "fail", "expected a .py file"),
    "damaged notebook": (3, '{"cells": [', "fail", "expected a .py file"),
}  # fmt: skip

# Runs check.py of the kit on each [exercise, source] of standard input; prints what it says.
CHECK = """
import io, json, sys
from contextlib import redirect_stdout
sys.path[:0] = [".", NUMPY]
import check
said = []
for number, source in json.load(sys.stdin):
    path = check.HERE / check.EXERCISES[number]["file"]
    before = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    for name in [*check.YOURS, "given"]:
        sys.modules.pop(name, None)
    check.check.cache_clear()
    check.module_of.cache_clear()
    with redirect_stdout(io.StringIO()) as printed:
        check.show(number)
    said.append(printed.getvalue())
    path.write_text(before, encoding="utf-8")
print(json.dumps(said))
"""


@pytest.mark.slow
def test_kit_and_grader_come_to_the_same_verdict(tmp_path):
    zipfile.ZipFile(io.BytesIO(kit.build("0"))).extractall(tmp_path)
    folder = tmp_path / kit.FOLDER
    for exercise in EXERCISES:
        (folder / exercise.file).write_text(solution(exercise.file), encoding="utf-8")
    planted = [(number, text) for number, text, _, _ in FILES.values()]
    done = subprocess.run(
        [sys.executable, "-S", "-c", CHECK.replace("NUMPY", repr(str(NUMPY)))],
        cwd=folder,
        input=json.dumps(planted),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for (name, (number, _, status, says)), text in zip(
        FILES.items(), json.loads(done.stdout), strict=True
    ):
        assert text.startswith(f"{status:<9}"), (name, text)
        assert says in " ".join(text.split()), (name, text)
        assert grader_says(tmp_path, number, FILES[name][1]) == status, name


def grader_says(tmp_path, number, source, monkeypatch=pytest.MonkeyPatch):
    """The status of a file in a folder, whose functions run in this process."""
    exercise = EXERCISES[number]
    (tmp_path / exercise.file).write_text(source, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(judging, "judge_source", lambda e, text, *_: judged(e.number, text))
        return judging.judge_file(exercise, tmp_path).status


def test_a_misspelt_function_is_named_by_the_name_it_has():
    text = said(3, MISSPELT)
    assert "reparameterize is not defined in the file; there is reparametrize " in text
    assert "reparameterize_backward is not defined in the file; there is reparametrize_back" in text
    assert "not done yet" not in text
    grade = Grade("ann", "ann", "0", (judged(3, MISSPELT),))
    assert "there is reparametrize" in grade.line()
    assert "there is reparametrize" in results(grade)["tests"][0]["output"]
    one = FILES["one misspelt"]
    assert judged(3, one[1]).marks == {"reparameterize": 3, "reparameterize_backward": 0}
    assert "reparameterize_backward is not defined in the file; there is backward" in said(
        3, one[1]
    )


def test_another_exercises_file_says_what_is_in_it():
    text = said(2, solution(EXERCISES[3].file))
    assert "are not defined in the file; there is reparameterize, reparameterize_backward" in text


def test_keys_that_are_missing_and_unknown_are_named():
    text = said(5, FILES["other keys"][1])
    assert "encoder.0.b is missing, encoder.0.bias is unknown" in text
    assert "[" not in text.partition("encoder.0.b")[2].partition("reproduce")[0]
    assert "dparams: x is unknown" in said(5, FILES["more keys"][1])


def test_no_number_is_minus_zero():
    assert compare._apart(np.float64(-0.0), -1.5) == ("0", "-1.5")


@pytest.mark.parametrize("relative", [1e-7, 1e-8, 3e-16])
def test_numbers_that_differ_are_shown_to_differ(relative):
    right = -6.847241234567891
    came, expected = compare._apart(right * (1 + relative), right)
    assert came != expected
    assert expected == f"{right:.{len(expected) - 2}g}"
    close = changed(7, ("    return log_prob,", "    return log_prob * (1 + 1e-8),"))
    came, expected = re.search(
        r"log_prob\[\d] is (\S+), expected (\S+) \(", said(7, close)
    ).groups()
    assert came != expected
    assert float(came) == pytest.approx(float(expected), rel=2e-8)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("    return z", "could not be tried: it needs the cache of reparameterize (above)"),
        ("    1 / 0", "could not be tried: it needs the cache of reparameterize (above)"),
        ("    raise NotImplementedError", "not done yet: reparameterize, reparameterize_backward"),
    ],
)
def test_a_backward_without_a_cache_says_what_it_needs(new, says):
    text = said(3, changed(3, ("    return z, (sigma, noise)", new)))
    assert says in text
    assert "first" not in text


def test_a_file_of_another_name_is_named(tmp_path):
    (tmp_path / "ex3_reparameterize (1).py").write_text("")
    verdict = judging.judge_file(EXERCISES[3], tmp_path)
    text = "there is no ex3_reparameterize.py; there is ex3_reparameterize (1).py: rename it"
    assert text in verdict_text(verdict, ".")
