"""Right code keeps its marks, however it is written; the text of solutions is out of reach."""

import subprocess

import pytest

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.judging import judge, judge_source
from numpyvae.exercises.judge.tasks import given_to, run
from numpyvae.exercises.sandbox import process
from numpyvae.exercises.sandbox import runner as sandbox
from numpyvae.exercises.sandbox.perform import describe
from numpyvae.exercises.sandbox.process import run_child
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.sandbox.submitted import read_submitted
from numpyvae.exercises.teacher.class_results import Grade, table
from numpyvae.exercises.teacher.gradescope import results

THREE = EXERCISES[3]
SOLUTION = solution(THREE.file)

HEAD = r"""
import argparse, csv, datetime, logging, subprocess, textwrap, unittest, uuid
import numpy as np, numpy.typing as npt, numpy.lib.recfunctions
from collections import *
from numpy import typing
logging.basicConfig(level=logging.INFO)
logging.info("read %s", argparse.ArgumentParser().parse_args([]))
datetime.datetime.strptime("2026", "%Y")
c8 = c16 = σ = "\N{GREEK SMALL LETTER SIGMA}".encode("latin-1", "replace")
print("complex", np.typing.NDArray, np.testing.assert_allclose, isinstance(c8, complex))
def later(x: npt.NDArray):
    if x is not None:
        import secrets, tempfile
        return __import__("difflib"), __import__("importlib").import_module("sqlite3.dbapi2")
later(np.ones(1))
"""


def test_what_comes_with_python_and_numpy_can_be_imported_at_any_depth():
    verdict = judge_source(THREE, HEAD + SOLUTION)
    assert verdict.status == "pass", verdict.faults


def read(tmp_path, content):
    (tmp_path / "ex3.py").write_bytes(content)
    return read_submitted(tmp_path / "ex3.py")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"# -*- coding: latin-1 -*-\r\ns = '\xe9'", "é'"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\ns = '\x80'", "€'"),
        (b"# \xc9t\xe9, coding: latin-1\n", "# Été, coding: latin-1\n"),
        (b"# coding: latin-1\n# coding: utf-8\n\xe9", "\né"),  # the first counts
        (b"# coding: shift_jis\n\x82\xa0", "あ"),
        (b"\xef\xbb\xbfs = '\xc3\xa9'", "s = 'é'"),
        (b"a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path, content, text):
    assert read(tmp_path, content).endswith(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\nb\r\n\xe9", r"ex3.py is not text in UTF-8 \(line 3\): save it as UTF-8"),
        (b"x = 1\n# coding: latin-1\n\xe9", r"UTF-8 \(line 3\)"),  # no comment before it
        (b"# coding: utf8\n\xe9", r"not text in utf8 \(line 2\)"),
        (b"\xff\xfea\0", r"UTF-8 \(line 1\)"),
        (b"# coding: nonsense\n", "declares the encoding 'nonsense', which is unknown"),
        (b"# coding: punycode\n", "unknown: save it as UTF-8"),
        (b"# coding: hex\n", "unknown: save it as UTF-8"),
    ],
)
def test_other_bytes_are_told_where_and_what_to_do(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, content)


LOOKS = """
import gc, sys
frame, found = sys._getframe(), []
while frame:
    found.append(repr(frame.f_locals) + repr(frame.f_globals))
    frame = frame.f_back
found += [repr(o) for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
backwards = "esicrexE", "rav_gol * 5.0", "esion * zd", "T.W @ yd", " = naemd", "1 esicrexe :"
import given, linecache
texts = [text[::-1] for text in backwards]
print([text for text in texts if any(text in one for one in found)], given.dense.__doc__)
print(linecache.getlines(given.dense.__code__.co_filename), given.negative_elbo.__name__)
print(sorted(n for n in dir(given) if not n.startswith("_")))
import ex5_elbo
print(sorted(n for n in dir(ex5_elbo) if not n.startswith("_")))
import ex7_gaussian
"""


def test_no_text_of_a_solution_is_in_the_process_and_given_gives_only_its_list():
    outcome = run(EXERCISES[8], LOOKS, draw_points(EXERCISES[8], 0))
    lines = outcome.printed.splitlines()
    assert lines[0] == "[] None"
    assert lines[1] == "[] negative_elbo"
    listed = sorted(name for _, _, names in given_to(EXERCISES[8]) for name in names)
    assert lines[2] == str(listed)
    assert len(listed) == 17
    assert lines[3] == "['negative_elbo', 'negative_elbo_backward']"
    assert outcome.notes[0].text.startswith("ModuleNotFoundError: No module named 'ex7_gaussian'")


def test_an_exercise_is_given_only_what_comes_before():
    assert given_to(EXERCISES[0]) == ()
    assert [file for file, _, _ in given_to(EXERCISES[2])] == ["ex0_dense", "ex1_activations"]
    assert not any("ex5" in file for file, _, _ in given_to(EXERCISES[5]))


def test_an_error_is_one_short_line():
    said = describe(ValueError("a\n" * 5000))
    assert "\n" not in said
    assert len(said) < 250
    assert describe(MemoryError()) == "MemoryError"
    assert describe(OSError(27, "File too large")) == "it printed more than 4 MiB"


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("text", ["f" + "()" * 97_000, "not " * 2_500 + "1", "-" * 190_000 + "1"])
def test_deep_text_costs_the_child_alone(text):
    outcome = run(THREE, f"{text}\n", draw_points(THREE, 0), Limits(seconds=2))
    verdict = judge(THREE, outcome, 0)
    assert verdict.total == 0
    assert verdict.faults


def judged(number, source, seed=0):
    points = draw_points(EXERCISES[number], seed)
    outcome = reference.perform_trusted(EXERCISES[number], source, points)
    return judge(EXERCISES[number], outcome, seed)


def dense(backward):
    forward = "import numpy as np\ndef dense(x, W, b):\n    return x @ W + b, (x, W, b)\n"
    return judged(0, forward + "def dense_backward(dy, cache):\n    x, W, b = cache\n" + backward)


SUMS = "return dx, x.T @ dy, dy.sum(0)\n"
ROW_BY_ROW = f"""\
    dx = np.zeros_like(x)
    for n in range(len(x)):
        y, _ = dense(x[n : n + 1], W, b)
        dx[n] = dy[n] @ W.T + 0 * y.sum()
    {SUMS}"""
COMPLEX_STEP = f"""\
    dx = np.zeros_like(x)
    for i in range(x.shape[1]):
        e = 1e-30j * (np.arange(x.shape[1]) == i)
        dx[:, i] = np.sum(dy * dense(x + e, W, b)[0].imag, 1) / 1e-30
    {SUMS}"""
DIFFERENCES = f"""\
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += 1e-6
        up = dense(x, W, b)[0]
        x[i] -= 2e-6
        dx[i] = np.sum(dy * (up - dense(x, W, b)[0])) / 2e-6
        x[i] += 1e-6
    {SUMS}"""


def test_a_backward_may_call_its_forward_row_by_row():
    verdict = dense(ROW_BY_ROW)
    assert (verdict.total, verdict.look) == (7, ())


def test_what_looks_numerical_is_for_the_teacher_to_look_at_and_costs_nothing_by_itself():
    verdict = dense(COMPLEX_STEP)
    assert (verdict.total, verdict.named) == (7, ())
    said = "dense_backward looks numerical, have a look: it calls forward with complex numbers"
    assert verdict.look == (said,)
    grade = Grade("ann", "ann", "0", (verdict,))
    assert f"ex0 {said}" in table([grade])
    assert grade.record()["exercises"][0]["have_a_look"] == [said]
    assert "numerical" not in grade.text() + str(results(grade))
    verdict = dense(DIFFERENCES)
    assert verdict.marks["dense"] == 2
    assert "71 of them very close" in verdict.look[0]
    assert "numerical" not in Grade("ann", "ann", "0", (verdict,)).text()


def test_an_inexact_gradient_without_a_name_looks_numerical():
    source = SOLUTION.replace("0.5 * dz * noise * sigma", "0.5 * dz * noise * sigma * (1 + 1e-11)")
    assert judged(3, source).look == (
        "reparameterize_backward looks numerical, have a look: it is close, but not exact",
    )
    source = SOLUTION.replace("0.5 * dz * noise * sigma", "np.float32(0.5 * dz * noise * sigma)")
    assert judged(3, source).look == ()


def test_no_solution_looks_numerical():
    for exercise in EXERCISES:
        assert judged(exercise.number, solution(exercise.file)).look == ()


def full(*given, **options):
    raise OSError(28, "No space left on device")


def test_what_the_machine_lacks_is_the_graders_trouble(monkeypatch):
    for name in ("_write_job", "run_child"):
        with monkeypatch.context() as patch:
            patch.setattr(sandbox, name, full)
            verdict = judge_source(THREE, SOLUTION)
        assert {f.kind for f in verdict.faults} == {"grader"}
        assert verdict.faults[0].text == "the grader could not run it: No space left on device"


def test_it_is_tried_once_more(monkeypatch):
    tried = []

    def first_full(*given):
        tried.append(given)
        return full() if len(tried) == 1 else run_child(*given)

    monkeypatch.setattr(sandbox, "run_child", first_full)
    assert judge_source(THREE, SOLUTION).status == "pass"
    assert len(tried) == 2


def test_a_child_that_does_not_come_to_the_students_code_is_the_graders_trouble(
    tmp_path, monkeypatch
):
    child = tmp_path / "child.py"
    child.write_text("raise OSError(24, 'Too many open files')")
    monkeypatch.setattr(process, "CHILD", child)
    verdict = judge_source(THREE, SOLUTION)
    assert verdict.faults[0].kind == "grader"
    assert "could not start a process: OSError: [Errno 24] Too many" in verdict.faults[0].text


class Starved:
    pid = 0

    def wait(self, seconds):
        raise subprocess.TimeoutExpired("child", seconds)


def test_who_gets_no_processor_is_not_blamed_and_who_waits_is(monkeypatch):
    queued = iter([5.0, 5.0])
    monkeypatch.setattr(process, "_queued", lambda pid: next(queued))
    assert process._wait(Starved(), 1) is None  # it was queued for 5 s, and then did nothing
    monkeypatch.setattr(process, "_queued", lambda pid: 1e3)
    with pytest.raises(process.Trouble, match="the machine is too busy"):
        process._wait(Starved(), 1)
