"""Part two of the course: exercises 10 to 13, there only where they are asked for."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from numpyvae import cli
from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import (
    ALL,
    COURSES,
    EXERCISES,
    PART_TWO,
    draw_points,
    solution,
)
from numpyvae.exercises.judge.judging import judge
from numpyvae.exercises.judge.mistakes import mistakes_of, planted
from numpyvae.exercises.student import hints_part_two, stubs
from numpyvae.exercises.teacher import gradescope, grading, kit, lint
from numpyvae.exercises.teacher.submissions import Submission
from numpyvae.layers import Condition
from numpyvae.objectives import iw_bound, iw_bound_backward
from numpyvae.priors.mixture import gaussian_mixture_log_prob, gaussian_mixture_log_prob_backward
from numpyvae.quantization import nearest, quantize, quantize_backward

ids = {"ids": lambda e: e.slug}
DOCS = Path(__file__).parent.parent / "docs"
ONE_OF_EACH = {
    10: "classes counted once",
    11: "log_var divided by the variance",
    12: "weights not squared",
    13: "straight-through missing",
}


def with_mistake(number):
    exercise = ALL[number]
    return planted(
        exercise, next(m for m, _ in mistakes_of(exercise) if m.name == ONE_OF_EACH[number])
    )


def judged(number, source, seed=3):
    points = draw_points(ALL[number], seed)
    return judge(ALL[number], reference.perform_trusted(ALL[number], source, points), seed)


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("exercise", PART_TWO, **ids)
def test_each_exercise_is_proven(exercise):
    assert list(lint.problems_of(exercise, "another seed")) == []
    assert len(mistakes_of(exercise)) >= 20
    assert max(map(len, stubs.stub(exercise).splitlines())) <= 100


def test_the_numbers_and_marks():
    assert [e.number for e in ALL] == list(range(14))
    assert ALL == EXERCISES + PART_TWO
    assert sum(sum(e.marks.values()) for e in PART_TWO) == 100
    text = (stubs.TEXTS / "student_readme_part_two.md").read_bytes()
    readme = stubs.filled(text, COURSES[2]).decode()
    assert "\nFour files on models that extend" in readme
    for e in PART_TWO:
        assert f"| `{e.file}` | {e.title} | {sum(e.marks.values())} |" in readme


@pytest.mark.parametrize("number", ONE_OF_EACH)
def test_two_mistakes_in_different_functions_are_both_named_or_neither_is(number):
    made = mistakes_of(ALL[number])
    for (first, _), (second, _) in zip(made[::4], made[6::4], strict=False):
        source = planted(ALL[number], first, second)
        if source and first.function != second.function:
            names = {n.name for n in judged(number, source).named}
            assert len(names) != 1, (first.name, second.name, names)


def results(number, function, place="0"):
    """What the solution gives at a place, and what it was given."""
    start = f"{function}/{place}/"
    points = draw_points(ALL[number], 1)
    given = {n[len(start) :]: a for n, a in points.items() if n.startswith(start)}
    right = reference.right(ALL[number], 1).arrays
    return {n[len(start) :]: a for n, a in right.items() if n.startswith(start)}, given


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize("function", ["condition", "every_class"])
def test_the_condition_is_that_of_the_package(function):
    right, p = results(10, function)
    layer = Condition("a", *p["W"].shape, len(p["W_y"]))
    params = {"a.W": p["W"], "a.b": p["b"], "a.W_y": p["W_y"]}
    grads = {name: np.zeros_like(a) for name, a in params.items()}
    pre, cache = layer.forward(params, (p["x"], p.get("y")))
    close(right["pre"], pre.reshape(right["pre"].shape))
    close(right["dx"], layer.backward(params, grads, p["dpre"].reshape(pre.shape), cache))
    for name in ("W", "b", "W_y"):
        close(right[f"d{name}"], grads[f"a.{name}"])


@pytest.mark.parametrize("place", ["0", "1"])
def test_the_mixture_is_that_of_the_package(place):
    right, p = results(11, "gaussian_mixture_log_prob", place)
    names = ("z", "logits", "mean", "log_var")
    log_prob, cache = gaussian_mixture_log_prob(*(p[n] for n in names))
    close(right["log_prob"], log_prob)
    for name, a in zip(
        names, gaussian_mixture_log_prob_backward(p["dlog_prob"], cache), strict=True
    ):
        close(right[f"d{name}"], a)


def test_the_bound_and_the_codes_are_those_of_the_package():
    right, p = results(12, "importance_bound", "1")
    bound, cache = iw_bound(p["log_weight"])
    close(right["bound"], bound)
    close(right["dlog_weight"], iw_bound_backward(p["dbound"], cache)[0])
    right, p = results(13, "quantize_gradient")
    n = len(p["z_e"])
    assert np.array_equal(p["index"], nearest(p["z_e"], p["codebook"]))
    assert len(np.unique(p["index"])) < len(p["codebook"])  # one code is nearest to none
    _, cache = quantize(p["z_e"], p["codebook"])
    dvalue = p["dz_q"], np.full(n, 1 / n), np.full(n, p["beta"] / n)
    dz_e, dcodebook = quantize_backward(dvalue, cache)
    close(right["dz_e"], dz_e)
    close(right["dcodebook"], dcodebook)


def test_at_the_exact_posterior_the_doubly_reparameterized_gradient_is_zero():
    names = {}
    exec(solution("ex12_importance.py"), names)
    _, p = results(12, "doubly_reparameterized")
    log_joint = -p["noise"] * np.exp(-0.5 * p["log_var"])[:, None]  # d log q / d z
    dmean, dlog_var = names["doubly_reparameterized"](
        p["log_weight"], log_joint, p["log_var"], p["noise"]
    )
    assert max(np.abs(dmean).max(), np.abs(dlog_var).max()) < 1e-15


def test_an_index_may_be_of_any_integer_type_and_is_told_when_it_is_wrong():
    right = solution("ex13_quantize.py")
    narrow = right.replace("squares.argmin(axis=2)", "squares.argmin(axis=2).astype(np.int32)")
    assert judged(13, narrow).status == "pass"
    off = judged(13, right.replace("squares.argmin(axis=2)", "squares.argmin(axis=2) + 1"))
    assert re.match(r"index\[\d, \d\] is \d, expected \d \(10 of 10 entries", off.faults[0].text)


def test_hints_end_in_a_section_that_exists():
    for steps in hints_part_two.HINTS.values():
        found = re.search(r"\(docs/(derivations/\w+\.md), ([^()]*)\)$", steps[2])
        assert found, steps[2]
        text = (DOCS / found[1]).read_text(encoding="utf-8")
        assert f"\n## {found[2]}\n" in text, found[0]


def test_the_command_line(tmp_path, capsys):
    folder = tmp_path / "hw"

    def said(*words):
        code = cli.main(["exercises", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    assert said("start", folder)[0] == 0
    assert not any((folder / e.file).exists() for e in PART_TWO)
    assert "there is no exercise 10: expected 0 to 9" in said("check", folder, 10)[1]
    assert "5 files written\nBegin with ex10_condition.py" in said("start", folder, "--part", 2)[1]
    (folder / PART_TWO[1].file).write_text(solution(PART_TWO[1].file))
    code, text = said("check", folder, 11)
    assert (code, text.split()[:3]) == (0, ["pass", "28/28", "ex11_mixture.py"])
    alone = tmp_path / "alone"
    said("start", alone, "--part", 2)
    assert {path.name for path in alone.iterdir()} == {
        "README_PART_TWO.md",
        *(e.file for e in PART_TWO),
    }
    assert "0 of 4 exercises pass, 0 of 100 marks" in said("check", alone)[1]
    assert "there is no exercise 3: expected 10 to 13" in said("check", alone, 3)[1]
    assert "ex10_condition.py" in said("hint", alone)[1]


@pytest.mark.slow
def test_a_class_is_graded_in_the_part_that_is_asked_for():
    files = {e.file: solution(e.file) for e in PART_TWO}
    files |= {ALL[n].file: with_mistake(n) for n in (10, 12)}
    graded = grading.grade_one(
        Submission("ann", files, {}), "ann", grading.Run("0", course=COURSES[2])
    )
    assert graded.mistakes == ["ex10 classes counted once", "ex12 weights not squared"]
    assert graded.line().split()[:2] == ["ann", "86/100"]
    assert (graded.out_of, graded.record()["out_of"]) == (100, 100)
    header, row = grading.class_results.table([graded]).splitlines()
    assert header.startswith("student,total,ex10,ex11,ex12,ex13,named")
    assert row.startswith("ann,86,14,28,21,23,")
    members = gradescope._members(2, None, None)
    script = next(data for name, data, _ in members if name == "run_autograder")
    assert b"--gradescope --part 2 " in script


@pytest.mark.slow
def test_the_kit_of_part_two(tmp_path):
    assert kit.build("1") == kit.build("1", COURSES[1])
    archive = zipfile.ZipFile(io.BytesIO(kit.build("1", COURSES[2])))
    archive.extractall(tmp_path)
    folder = tmp_path / kit.FOLDERS[2]
    assert {path.name for path in folder.glob("ex*.py")} == {e.file for e in PART_TWO}

    def check(sources):
        for exercise, source in zip(PART_TWO, sources, strict=True):
            (folder / exercise.file).write_text(source, encoding="utf-8")
        command = [sys.executable, "check.py"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout

    assert check(solution(e.file) for e in PART_TWO).endswith("4 of 4 exercises pass\n")
    said = check(with_mistake(n) for n in ONE_OF_EACH)
    assert [line.split()[0] for line in said.splitlines() if line[0] != " "] == ["fail"] * 4 + ["0"]
    for function in (
        "condition_backward",
        "gaussian_mixture_log_prob",
        "doubly_reparameterized",
        "quantize_gradient",
    ):
        assert f"\n  {function}: " in said
