"""Which submissions are alike, for the teacher: forms that few have, whatever they are called."""

import ast
import csv
import re

import pytest

from numpyvae import cli
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.judging import Verdict
from numpyvae.exercises.judge.tasks import run
from numpyvae.exercises.sandbox.runner import NO_SHAPES, Limits
from numpyvae.exercises.sandbox.shapes import OTHERS, shapes
from numpyvae.exercises.student.stubs import stub
from numpyvae.exercises.teacher import alike
from numpyvae.exercises.teacher.class_results import Grade

WRITTEN = (
    """
def f(x, W, b):
    """
    + '"""What it does."""'
    + """
    y = 2 * x @ W + b  # a comment
    if x.max() > 3:
        y += np.exp(x)
    return y, (x, W)
"""
)


def of(text):
    return shapes(ast.parse(text), ["f"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\by\b", "result"),
        ("  # a comment", ""),
        ('    """What it does."""\n', "    'Something else.'\n\n"),
        (r"def f\(x, W, b\)", "def f(x: int, W, b=None) -> tuple"),
        ("2 \\* x", "2.0 * x"),
        ("2 \\* x @ W \\+ b", "b + 2 * x @ W"),
        ("x.max\\(\\) > 3", "3 < x.max()"),
        ("y \\+= np.exp\\(x\\)", "y = y + np.exp(x)"),
        ("y \\+= np.exp\\(x\\)", "y += numpy.exp(x)"),
        ("    y = 2", "    y: float = 2"),
    ],
)
def test_how_it_is_written_does_not_count(old, new):
    changed = re.sub(old, new, WRITTEN)
    assert changed != WRITTEN
    assert of(changed) == of(WRITTEN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 *", "3 *"),
        ("x @ W", "W @ x.T"),
        ("> 3", ">= 3"),
        ("exp", "log"),
        ("y += ", "y -= "),
        ("return y, (x, W)", "return y"),
    ],
)
def test_what_it_calculates_does(old, new):
    assert of(WRITTEN.replace(old, new)) != of(WRITTEN)


def test_helpers_are_one_and_their_names_do_not_count():
    text = "def f(x):\n    return helper(x, 1)\ndef helper(x, y):\n    return x * y + 1"
    assert of(text) == of(text.replace("helper", "h"))
    assert of(text).keys() == {"f", OTHERS}
    assert of("f = lambda x: x * 2 + 1").keys() == {"f"}


def graded(name, number, forms):
    exercise = EXERCISES[number]
    verdict = Verdict(exercise, "pass", {}, shapes={n: frozenset(f) for n, f in forms.items()})
    return Grade(name, name, "0", (verdict,))


def test_a_form_that_many_have_is_no_evidence_and_a_rare_one_is():
    usual = {f"usual {i}" for i in range(30)}
    rare = {f"rare {i}" for i in range(12)}
    students = [graded(f"s{i:02}", 4, {"f": usual | {f"{i}"}}) for i in range(30)]
    students += [graded(name, 4, {"f": usual | rare}) for name in ("ann", "bob")]
    assert alike.pairs_of(students) == [("ann", "bob", (("ex4 f", 1.0),), 12)]
    half = graded("cy", 4, {"f": usual | {*sorted(rare)[:6], *"abcdef"}})
    assert len(alike.pairs_of([*students, half])) == 1
    few = [graded(n, 4, {"f": usual | set(sorted(rare)[:11])}) for n in "de"]
    assert alike.pairs_of(students[:30] + few) == []


def test_two_who_took_the_published_solution_are_found():
    forms = {name: frozenset(f) for name, f in alike._published(EXERCISES).items()}
    published = {name: f for (number, name), f in forms.items() if number == 5}
    students = [graded(f"s{i:02}", 5, {"negative_elbo": {f"{i}"}}) for i in range(20)]
    pairs = alike.pairs_of([*students, graded("ann", 5, published)])
    assert [(p.student, p.other) for p in pairs] == [("ann", alike.PUBLISHED)]
    assert dict(pairs[0].functions)["ex5 negative_elbo_backward"] == 1.0


@pytest.mark.parametrize("number", range(10))
def test_who_wrote_nothing_is_like_nobody(number):
    blank = alike._of_texts(EXERCISES[number : number + 1], stub)
    forms = {name: own for (_, name), own in blank.items()}
    assert alike.pairs_of([graded("ann", number, forms), graded("bob", number, forms)]) == []
    own = {**forms, OTHERS: forms[OTHERS] | {f"{i}" for i in range(12)}}
    (pair,) = alike.pairs_of([graded("ann", number, own), graded("bob", number, own)])
    assert pair == ("ann", "bob", ((f"ex{number} {OTHERS}", 1.0),), 12)


@pytest.mark.slow
def test_a_class_of_three_hundred_is_compared_by_its_rare_forms_alone():
    """300 equal functions and 300 different ones: neither makes pairs to compare."""
    same = [graded(f"s{i:03}", 5, {"f": {str(n) for n in range(500)}}) for i in range(300)]
    assert alike.pairs_of(same) == []
    others = [graded(f"s{i:03}", 5, {"f": {f"{i} {n}" for n in range(500)}}) for i in range(300)]
    assert alike.pairs_of(others) == []


@pytest.mark.slow
def test_the_child_reads_the_text_before_it_runs():
    three = EXERCISES[3]
    lies = "import json\nopen('shapes.json', 'w').write('{}')\n"
    honest = solution(three.file)
    for text in (honest, honest.replace("import numpy", f"{lies}import numpy")):
        outcome = run(three, text, draw_points(three, 0), shapes=True)
        if outcome.confined:
            assert (
                outcome.shapes["reparameterize"] == alike._published(EXERCISES)[3, "reparameterize"]
            )
    assert run(three, text, draw_points(three, 0)).shapes == NO_SHAPES
    deep = run(three, "x = f" + "()" * 20_000, draw_points(three, 0), Limits(5), shapes=True)
    assert deep.shapes == NO_SHAPES


@pytest.mark.slow
def test_the_command_tells_the_teacher_alone(tmp_path, capsys):
    copied = solution(EXERCISES[4].file).replace("0.5 * dkl", "dkl * 0.5").replace("log_var", "lv")
    own = "def kl_to_standard_normal(mean, log_var):\n    return None\n"
    for name, text in {"ann": copied, "bob": copied, "cy": own}.items():
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / EXERCISES[4].file).write_text(text)
    words = ["exercises", "grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--seed", "1"]) == 0
    before = {p.name: p.read_text() for p in (tmp_path / "out").glob("*.[ctj][sx]*")}
    assert "alike.csv" not in before
    assert cli.main([*words, "--seed", "1", "--compare"]) == 0
    assert "alike.csv: 3 pairs to look at" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "alike.csv").read_text().splitlines()))
    assert {(r["student"], r["is like"]) for r in rows} == {
        ("ann", "bob"),
        ("ann", alike.PUBLISHED),
        ("bob", alike.PUBLISHED),
    }
    assert "ex4 kl_to_standard_normal_backward 100%" in rows[0]["functions"]
    for name, text in before.items():
        assert (tmp_path / "out" / name).read_text() == text, name
