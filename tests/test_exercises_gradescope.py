"""Gradescope's results.json and archive, and the adapters of otter and nbgrader."""

import ast
import json
import linecache
import os
import re
import subprocess
import sys
import types
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import numpyvae
from numpyvae import cli
from numpyvae.exercises.judge.catalogue import EXERCISES, solution
from numpyvae.exercises.judge.judging import judge_source
from numpyvae.exercises.judge.mistakes import MISTAKES, plant
from numpyvae.exercises.teacher import gradescope, grading, submissions
from numpyvae.exercises.teacher.notebooks import notebook_marks, notebook_source

pytestmark = pytest.mark.usefixtures("kept_forks", "sketches")
ROOT = Path(__file__).resolve().parent.parent
FILES = [exercise.file for exercise in EXERCISES]
HALF_MISSING = plant(solution(FILES[3]), next(m for m in MISTAKES if m.name == "half missing"))
VISIBILITIES = ("visible", "hidden", "after_due_date", "after_published")
FORMATS = ("text", "html", "simple_format", "md", "ansi")


def assert_follows_the_schema(results):
    """gradescope-autograders.readthedocs.io/en/latest/specs, "Output format", field by field."""
    number, text = (int, float), str
    fields = {
        "score": number, "execution_time": number, "output": text, "output_format": text,
        "test_output_format": text, "test_name_format": text, "visibility": text,
        "stdout_visibility": text, "extra_data": dict, "tests": list, "leaderboard": list,
    }  # fmt: skip
    test_fields = {
        "score": number, "max_score": number, "status": text, "name": text, "name_format": text,
        "number": text, "output": text, "output_format": text, "tags": list, "visibility": text,
        "extra_data": dict,
    }  # fmt: skip
    assert "score" in results or results["tests"]
    for object_, allowed in [(results, fields), *((t, test_fields) for t in results["tests"])]:
        for name, value in object_.items():
            assert isinstance(value, allowed[name]), name
            assert not isinstance(value, bool), name
            if name.endswith("visibility"):
                assert value in VISIBILITIES
            if name.endswith("format"):
                assert value in FORMATS
        assert object_.get("status", "passed") in ("passed", "failed")


def grade_one(files):
    return grading.grade_one(submissions.Submission("ann", files, {}), "ann", grading.Run("0"))


def test_results_follow_the_schema_and_add_up():
    files = {FILES[3]: HALF_MISSING, FILES[0]: solution(FILES[0])}
    grade = grade_one({**files, FILES[1]: "print('hello')\nx = ("})
    results = json.loads(json.dumps(gradescope.results(grade)))
    assert_follows_the_schema(results)
    tests = {test["name"]: test for test in results["tests"]}
    assert len(tests) == sum(len(e.marks) for e in EXERCISES)
    assert sum(test["max_score"] for test in tests.values()) == 100
    assert sum(test["score"] for test in tests.values()) == results["score"] == grade.total == 10
    wrong = tests["ex3 reparameterize_backward"]
    assert (wrong["score"], wrong["max_score"], wrong["status"]) == (0, 7, "failed")
    assert "expected" in wrong["output"]
    assert f"-> {grade.verdicts[3].named[0].says}" in wrong["output"]
    assert tests["ex3 reparameterize"]["status"] == "passed"
    assert tests["ex3 reparameterize"]["output"] == ""
    assert "not Python" in tests["ex1 relu"]["output"]
    assert "not done" in tests["ex9 train"]["output"]


def test_a_mistake_of_a_pair_is_told_where_a_mark_is_lost():
    name = "log_var taken for log sigma, both ways"
    mistake = next(m for m in MISTAKES if m.name == name)
    results = gradescope.results(grade_one({FILES[3]: plant(solution(FILES[3]), mistake)}))
    outputs = [test["output"] for test in results["tests"] if test["name"].startswith("ex3")]
    assert sum(f"-> {mistake.says}" in output for output in outputs) == 1


def test_what_could_not_be_read_is_the_whole_output():
    submission = submissions.Submission("ann", {}, {}, "hw.zip: is damaged")
    results = gradescope.results(grading.grade_one(submission, "ann", grading.Run("0")))
    assert_follows_the_schema(results)
    assert results["score"] == 0
    assert results["output"] == "hw.zip: is damaged"


def test_grade_writes_results_for_each_student(tmp_path):
    for name in ("ann", "bob"):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / FILES[3]).write_text(HALF_MISSING)
    arguments = ["--out", str(tmp_path / "out"), "--gradescope"]
    assert cli.main(["exercises", "grade", str(tmp_path / "class"), *arguments]) == 0
    for name in ("ann", "bob"):
        results = json.loads((tmp_path / "out" / name / "results.json").read_text())
        assert_follows_the_schema(results)
        assert results["score"] == 3
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.fixture(scope="module")
def autograder(tmp_path_factory):
    """The archive, unpacked as Gradescope does, and a Python that has no Matplotlib."""
    root = tmp_path_factory.mktemp("autograder")
    code = cli.main(["exercises", "autograder", "--gradescope", str(root / "out.zip")])
    assert code == 0
    with zipfile.ZipFile(root / "out.zip") as archive:
        archive.extractall(root / "source")
        for info in archive.infolist():
            if info.external_attr >> 16 & 0o111:
                (root / "source" / info.filename).chmod(0o755)
    python = root / "python"
    python.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{root}/without"\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    (root / "without" / "matplotlib").mkdir(parents=True)
    (root / "without" / "matplotlib" / "__init__.py").write_text("raise ImportError('none here')")
    return root


def run(autograder, root, files, **environment):
    (root / "submission").mkdir()
    for name, text in files.items():
        (root / "submission" / name).write_text(text)
    (root / "source").symlink_to(autograder / "source")
    set_ = {"AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": str(autograder / "python")}
    environment = {**os.environ, **set_, "PYTHONPATH": "/nowhere", **environment}
    done = subprocess.run(
        [root / "source" / "run_autograder"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    results = json.loads((root / "results" / "results.json").read_text())
    assert_follows_the_schema(results)
    assert [path.name for path in (root / "results").iterdir()] == ["results.json"]
    return results, done


@pytest.mark.slow
def test_the_archive_grades_a_right_and_a_hanging_submission(autograder, tmp_path):
    hanging = solution(FILES[3]).replace("sigma, noise = cache", "while True: pass")
    files = {FILES[0]: solution(FILES[0]), FILES[3]: hanging, FILES[4]: solution(FILES[4])}
    shorter = (autograder / "source" / "run_autograder").read_text()
    assert "--single --gradescope" in shorter
    script = autograder / "source" / "run_autograder"
    script.write_text(shorter.replace("--single", "--seconds 2 --single"))
    results, done = run(autograder, tmp_path, files)
    assert done.returncode == 0, done.stderr
    scores = {test["name"]: test["score"] for test in results["tests"] if test["score"]}
    assert scores == {
        "ex0 dense": 2, "ex0 dense_backward": 5, "ex3 reparameterize": 3,
        "ex4 kl_to_standard_normal": 3, "ex4 kl_to_standard_normal_backward": 7,
    }  # fmt: skip
    assert results["score"] == 20
    hung = next(t for t in results["tests"] if t["name"] == "ex3 reparameterize_backward")
    assert re.search("more than 2 seconds of the processor|still running after 6", hung["output"])
    assert results["extra_data"]["numpyvae"] == numpyvae.__version__


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("files", [{}, {"essay.txt": "I did not do it"}, {"numpyvae.py": "1/0"}])
def test_a_submission_with_nothing_in_it_gets_results(autograder, tmp_path, files):
    results, _ = run(autograder, tmp_path, files)
    assert results["score"] == 0
    assert "none of the exercises' files" in results["output"]
    assert len(results["tests"]) == 25


def test_if_the_grader_cannot_run_there_are_results_with_the_reason(autograder, tmp_path):
    results, _ = run(autograder, tmp_path, {}, AUTOGRADER_PYTHON="/bin/false")
    assert results["score"] == 0
    assert "exit code 1" in results["output"]
    assert "tell your teacher" in results["output"]


def test_the_archive_is_always_the_same_and_complete(autograder):
    first = gradescope.archive()
    assert first == gradescope.archive() == (autograder / "out.zip").read_bytes()
    with zipfile.ZipFile(autograder / "out.zip") as archive:
        attributes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        dates = {info.date_time for info in archive.infolist()}
    assert attributes["run_autograder"] == attributes["setup.sh"] == 0o100755
    assert attributes["numpyvae/models/vae.py"] == 0o100644
    assert {f"numpyvae/exercises/judge/solutions/{file}" for file in FILES} <= set(attributes)
    assert dates == {(1980, 1, 1, 0, 0, 0)}
    assert not any(".pyc" in name or "__pycache__" in name for name in attributes)


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder"])
def test_the_scripts_are_bash(autograder, name):
    script = autograder / "source" / name
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True)


def test_the_autograder_needs_a_place_to_write(tmp_path, capsys):
    arguments = ["exercises", "autograder", "--gradescope", str(tmp_path / "no" / "out.zip")]
    assert cli.main(arguments) == 2
    assert "no such folder" in capsys.readouterr().err


# Notebooks


def cells(source, name="cell"):
    """A notebook's names after running a cell, with its text where IPython keeps it."""
    file = f"<ipython-input-{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {"__name__": "__notebook__"}
    exec(compile(source, file, "exec"), namespace)
    return namespace


SOURCES = {
    "right": solution(FILES[3]),
    "half missing": HALF_MISSING,
    "empty": "import numpy as np\n",
    "raises": solution(FILES[3]).replace("dmean = dz", "raise ValueError"),
}


@cache
def our_verdict(name):
    return judge_source(EXERCISES[3], SOURCES[name], "7")


@pytest.mark.parametrize("name", SOURCES)
def test_a_notebooks_marks_are_ours(name, capsys):
    ours = our_verdict(name)
    assert notebook_marks(3, cells(SOURCES[name], name), seed="7") == ours.marks
    shown = capsys.readouterr()
    assert ours.exercise.title in shown.out
    assert all(named.says.split()[0] in shown.out for named in ours.named)
    assert "reproduce" not in shown.out
    assert shown.err == ""
    assert notebook_marks(3, SOURCES[name], seed=7, show=False) == ours.marks
    assert capsys.readouterr().out == ""


def test_a_notebooks_functions_take_along_what_they_use():
    source = """
import functools
import math as m
import numpy as np
from numpy import exp
from numpy.linalg import norm
HALF, BIG = 0.5, float("inf")

def doubled(f):
    @functools.wraps(f)
    def g(*arguments):
        return 2 * f(*arguments) / 2
    return g

@doubled
def scaled(x, by=HALF):
    return exp(by * x)

def other(mean, log_var, noise):
    assert norm(noise) < BIG and m.pi > 3 and np.pi > 3
    sigma = scaled(log_var)
    return mean + sigma * noise, (sigma, noise)

reparameterize = other
reparameterize_backward = lambda dz, cache: (dz, HALF * dz * cache[0] * cache[1])
"""
    namespace = cells(source, "helpers")
    text = notebook_source(EXERCISES[3].marks, namespace)
    assert "import math as m\n" in text
    assert "from numpy.linalg import norm as norm\n" in text
    assert notebook_marks(3, namespace) == EXERCISES[3].marks


def test_a_notebook_may_use_the_exercises_before():
    given = types.FunctionType((lambda x: x).__code__, {}, "dense")
    given.__module__ = "ex0_dense"
    text = notebook_source(
        ["f"], {**cells("def f(x):\n    return dense(x)\n", "f"), "dense": given}
    )
    assert text.startswith("from ex0_dense import dense as dense\n")


def test_warnings_in_a_notebook_reach_no_standard_error(capfd):
    source = solution(FILES[3]).replace("z = mean", "np.log(np.zeros(1))\n    z = np.inf * mean")
    assert sum(notebook_marks(3, cells(source, "warns")).values()) < 10
    assert capfd.readouterr().err == ""


def blocks(heading, language):
    """The code blocks of a section of docs/coursework.md."""
    text = (ROOT / "docs" / "coursework.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)


@pytest.mark.parametrize("name", SOURCES)
def test_the_otter_adapter_of_the_documentation_agrees(name, monkeypatch):
    """Run as otter runs it: a case earns its points unless it raises."""
    cases = []

    def test_case(points, name=None):
        return lambda function: cases.append((points, function))

    module = types.SimpleNamespace(test_case=test_case)
    monkeypatch.setitem(sys.modules, "otter", types.SimpleNamespace(test_files=module))
    monkeypatch.setitem(sys.modules, "otter.test_files", module)
    names = {"__name__": "ex3"}
    exec(blocks("otter", "python")[0], names)
    assert names["OK_FORMAT"] is False
    earned = 0
    for points, function in cases:
        try:
            function(cells(SOURCES[name], name))
        except AssertionError:
            continue
        earned += points
    assert earned == our_verdict(name).total
    assert sum(points for points, _ in cases) == 10


@pytest.mark.parametrize("name", SOURCES)
def test_the_nbgrader_adapter_of_the_documentation_agrees(name):
    """Run as nbgrader runs it: the score is the value of the cell's last expression."""
    namespace = cells(SOURCES[name], name)
    *statements, last = ast.parse(blocks("nbgrader", "python")[0]).body
    exec(compile(ast.Module(statements, []), "cell", "exec"), namespace)
    score = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
    assert score == our_verdict(name).total
    assert np.isfinite(float(repr(score)))
