"""A teacher's own exercises, from a folder, and a teacher's own marks, from a file."""

import csv
import importlib
import sys
import zipfile

import pytest

from numpyvae import cli
from numpyvae.exercises import rerun
from numpyvae.exercises.judge import own
from numpyvae.exercises.judge.catalogue import ALL, COURSES
from numpyvae.exercises.teacher import lint

pytestmark = pytest.mark.usefixtures("kept_forks")

FORGOTTEN = ("    dlogits[np.arange(len(y)), y] -= 1.0\n", "")
AVERAGED = ("return dlosses[:, None] * dlogits", "return dlosses[:, None] * dlogits / len(y)")


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run a command of `numpyvae exercises` beside the template: its exit code, what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(["exercises", *words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    run("template", "own")
    return run


def edited(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_a_student_does_it_step_by_step(said, tmp_path):
    code, text = said("start", "hw", "--exercises", "own")
    assert (code, sorted(p.name for p in (tmp_path / "hw").iterdir())) == (
        0,
        ["README.md", "ex1_softmax.py"],
    )
    assert (
        "| `ex1_softmax.py` | softmax and the cross-entropy | 10 |"
        in (tmp_path / "hw" / "README.md").read_text()
    )
    assert "numpyvae exercises check hw 1 --exercises own" in text
    check = "check", "hw", "--exercises", "own"
    code, text = said(*check)
    assert code == 1
    assert text.startswith("not done    0/10  ex1_softmax.py")
    solution = (tmp_path / "own" / "ex1_softmax.py").read_text()
    file = tmp_path / "hw" / "ex1_softmax.py"
    file.write_text(solution)
    assert said(*check) == (
        0,
        "pass       10/10  ex1_softmax.py           softmax and the cross-entropy\n",
    )
    file.write_text(solution.replace(*FORGOTTEN))
    code, text = said(*check)
    assert "fail        4/10" in text
    assert "-> dlogits is the softmax: the 1 of the right class is not subtracted" in text
    assert 'rerun("hw", 1, exercises="own")["cross_entropy/0/dlogits"][' in text
    assert rerun("hw", 1, exercises="own")["cross_entropy/0/dlogits"].shape == (5, 4)
    hints = [said("hint", "hw", "--exercises", "own")[1] for _ in range(3)]
    assert "Which two terms of the loss" in hints[0]
    assert "hint 3 of 3 (the last): dlogits = dlosses (p - one_hot(y))" in hints[2]


AFTER = '''"""Exercise 2: ReLU, weighted by a softmax's loss, and noise that is added."""

import numpy as np

from given import cross_entropy, cross_entropy_backward


def relu(logits, y):
    """losses (N,) of max(logits, 0) (N, K)."""
    positive = np.maximum(logits, 0.0)
    losses, cache = cross_entropy(positive, y)
    return losses, (logits, cache)


def relu_backward(dlosses, cache):
    """dlogits (N, K)."""
    logits, cache = cache
    return cross_entropy_backward(dlosses, cache) * (logits > 0)


def reparameterize(mean, noise):
    """z = mean + noise / 2, (N, K)."""
    return mean + 0.5 * noise, None


def reparameterize_backward(dz, cache):
    """dmean, dnoise (N, K)."""
    return dz, 0.5 * dz
'''
AFTER_ENTRY = """    Exercise(
        number=2,
        slug="after",
        title="what builds on it",
        functions=[
            Function("relu", ("logits", "y"), ("losses",), ("dlogits",),
                     lambda rng: places(rng)[:1], (1, 1)),
            Function("reparameterize", ("mean", "noise"), ("z",), ("dmean", "dnoise"),
                     lambda rng: [{n: rng.standard_normal((N, K)) for n in ("mean", "noise", "dz")}
                                  for _ in range(2)], (1, 1)),
        ],
        hints={n: ("one?", "two", "three") for n in ("relu", "relu_backward", "reparameterize",
                                                     "reparameterize_backward")},
        sizes={"N": N, "K": K},
    ),
]
"""


@pytest.fixture
def after(tmp_path, said):
    """A second exercise that imports from the first, with names of the package's functions."""
    (tmp_path / "own" / "ex2_after.py").write_text(AFTER)
    edited(tmp_path / "own" / "catalogue.py", "    ),\n]\n", "    ),\n" + AFTER_ENTRY)
    return tmp_path / "own"


def test_an_exercise_may_build_on_those_before_it(said, after, tmp_path):
    assert said("lint", "--exercises", "own") == (
        0, "ex1_softmax.py           2 functions,  2 mistakes: ok\n"
        "ex2_after.py             4 functions,  0 mistakes: ok\n",
    )  # fmt: skip
    said("start", "hw", "--exercises", "own")
    hw = tmp_path / "hw"
    given = (hw / "given.py").read_text()
    assert "`from given import cross_entropy` imports what you wrote in ex1_softmax.py." in given
    assert '"cross_entropy cross_entropy_backward": "ex1_softmax",\n}' in given
    (hw / "ex2_after.py").write_text(AFTER)
    (hw / "ex1_softmax.py").write_text((after / "ex1_softmax.py").read_text().replace(*FORGOTTEN))
    _, text = said("check", "hw", "--exercises", "own")
    assert "fail        4/10  ex1_softmax.py" in text  # and it counts once:
    assert "pass        4/4   ex2_after.py" in text
    names = {}
    exec(compile(given.replace("__getattr__", "get"), "given.py", "exec"), names)
    with pytest.raises(AttributeError, match="no exercise gives 'relu'"):
        names["get"]("relu")


IMPORT = "from given import cross_entropy, cross_entropy_backward\n"


@pytest.mark.parametrize("first", [True, False])
def test_given_is_there_wherever_a_solution_imports_from_it(first, said, after, tmp_path):
    solution = AFTER.replace(IMPORT, "")
    if first:  # without a docstring of the file
        solution = IMPORT + solution[solution.index("import numpy") :]
    else:
        body = "    logits, cache = cache\n"
        solution = solution.replace(body, f"    {IMPORT}{body}")
    (after / "ex2_after.py").write_text(solution)
    said("start", "hw", "--exercises", "own")
    assert (tmp_path / "hw" / "given.py").exists()


def test_what_no_exercise_before_gives_is_said(said, after):
    edited(after / "catalogue.py", "number=2", "number=0")
    (after / "ex2_after.py").rename(after / "ex0_after.py")
    _, text = said("check", ".", "--exercises", "own")
    text = " ".join(text.split())
    assert "own/ex0_after.py, line 5: given has no cross_entropy; it has nothing, of the" in text


def test_own_functions_are_not_judged_as_those_of_their_name_in_the_package(said, after, tmp_path):
    (tmp_path / "hw").mkdir()
    drawn = AFTER.replace("dz, 0.5 * dz", "dz, np.random.standard_normal(dz.shape) * dz")
    (tmp_path / "hw" / "ex2_after.py").write_text(drawn)
    _, text = said("check", "hw", "2", "--exercises", "own")
    assert "-> two equal calls give different results" in text


def test_its_kit_knows_no_function_by_its_name(said, after, tmp_path, monkeypatch, capsys):
    said("export", "kit.zip", "--exercises", "own")
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        archive.extractall(tmp_path)
    kit = tmp_path / "numpyvae-exercises"
    for file in ("ex1_softmax.py", "ex2_after.py"):
        (kit / file).write_text((after / file).read_text())
    monkeypatch.syspath_prepend(str(kit))
    before = set(sys.modules)
    try:
        code = importlib.import_module("check").main([])
    finally:
        for name in set(sys.modules) - before:
            if str(kit) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    assert (code, capsys.readouterr().out.count("pass ")) == (0, 2)


def test_a_class_is_graded_with_a_teachers_marks(said, tmp_path):
    solution = (tmp_path / "own" / "ex1_softmax.py").read_text()
    for name, file, text in (
        ("ann", "ex1_softmax.py", solution),
        ("bob", "ex1_softmax (1).py", solution.replace(*FORGOTTEN)),
        ("cy", "EX1_SOFTMAX.PY", solution.replace(*AVERAGED)),
    ):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / file).write_text(text)
    (tmp_path / "marks.csv").write_text("function,marks\ncross_entropy, 1\n")
    words = "grade", "class", "--out", "out", "--exercises", "own", "--compare", "--gradescope"
    code, text = said(*words, "--marks", "marks.csv")
    assert code == 0
    assert "1/7  ex1 label forgotten" in text
    with (tmp_path / "out" / "class.csv").open() as file:
        rows = [(r["student"], r["ex1"], r["named mistakes"]) for r in csv.DictReader(file)]
    assert rows == [
        ("ann", "7", ""),
        ("bob", "1", "ex1 label forgotten"),
        ("cy", "1", "ex1 dlogits times 1/N"),
    ]
    assert (tmp_path / "out" / "ann" / "results.json").is_file()


def test_its_kit_runs_and_holds_no_solution(said, tmp_path, monkeypatch, capsys):
    assert said("export", "kit.zip", "--exercises", "own")[0] == 0
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        assert not any(b"- logits.max(axis=1" in archive.read(name) for name in archive.namelist())
        archive.extractall(tmp_path)
    kit = tmp_path / "numpyvae-exercises"
    assert not (kit / "given.py").exists()
    monkeypatch.syspath_prepend(str(kit))
    before = set(sys.modules)
    solution = (tmp_path / "own" / "ex1_softmax.py").read_text()
    told = []
    for text in (None, solution, solution.replace(*FORGOTTEN)):
        if text:
            (kit / "ex1_softmax.py").write_text(text)
        check = importlib.import_module("check")
        code = check.main([])
        told.append((code, capsys.readouterr().out))
        for name in set(sys.modules) - before:
            if str(kit) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    assert [code for code, _ in told] == [1, 0, 1]
    assert told[0][1].startswith("not done")
    assert "5 of 20 entries of logits (5, 4) differ" in told[2][1]


def test_lint_proves_the_template_and_finds_what_is_broken(said, tmp_path):
    words = "lint", "--exercises", "own"
    assert said(*words) == (0, "ex1_softmax.py           2 functions,  2 mistakes: ok\n")
    catalogue = tmp_path / "own" / "catalogue.py"
    edited(catalogue, '"return dlogits"', '"return 1.0 * dlosses[:, None] * dlogits"')
    edited(catalogue, '"What is the derivative of log sum_k exp(a_k)? And of a_y?",', "")
    code, text = said(*words)
    assert code == 1
    assert "'rows not weighted' is not caught" in text
    assert "cross_entropy_backward does not have three hints" in text
    edited(tmp_path / "own" / "ex1_softmax.py", "-log_p[np", "-log_p[0 * np")
    assert said(*words)[0] == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("ex1_softmax.py", "(shifted).sum(axis=1, keepdims=True)", "(shifted).sum(axis=0)[0]",
         "the solution's cross_entropy_backward is not the gradient of cross_entropy: 20 of 20 en"),
        ("ex1_softmax.py", "    return dlosses[:, None] * dlogits",
         "    log_p *= 2.0\n    return dlosses[:, None] * dlogits", "changes its cache in place"),
        ("catalogue.py", '("dlogits",)', '("grad",)',
         "cross_entropy has a gradient grad: expected dlogits or dy"),
    ],
)  # fmt: skip
def test_lint_differentiates_the_solution(file, old, new, expected, said, tmp_path):
    edited(tmp_path / "own" / file, old, new)
    (exercise,) = own.load(tmp_path / "own").exercises
    (problem,) = lint._gradient_problems(exercise, exercise.functions[0], 0)
    assert expected in problem


@pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.slug)
def test_the_gradients_of_the_package_pass(exercise):
    functions = [f for f in exercise.functions if f.gradients]
    assert [p for f in functions for p in lint._gradient_problems(exercise, f, 0)] == []


BROKEN = {
    "no entry": (None, "no entry for ex2_more.py; there is ex1_softmax.py"),
    "no file": (('slug="softmax"', 'slug="soft"'), "ex1_soft.py: no such file"),
    "twice": (("EXERCISES = [", "EXERCISES = 2 * ["), "exercise 1 is there twice"),
    "no list": (("EXERCISES = [", "OTHERS = ["), "expected EXERCISES, a list of Exercise"),
    "mistake": (('"return dlosses[:, None] * dlogits"', '"return dlosses * x"'),
                "'rows not weighted' does not fit: expected 'return dlosses * x' once"),
    "python": (("N, K = 5, 4", "N, K = 5, ("), "catalogue.py, line 8: SyntaxError"),
    "raises": (("N, K = 5, 4", "N, K = 5, 4 / 0"), "line 8: ZeroDivisionError: division by zero"),
    "marks": (("(4, 6)", "(4,)"), "expected marks of 2 numbers, for cross_entropy and cross_ent"),
    "exits": (("N, K = 5, 4", "raise SystemExit"), "catalogue.py, line 8: SystemExit"),
    "one mark": (("(4, 6)", "1"), "for cross_entropy and cross_entropy_backward, whole and in a "
                 "tuple, like (4, 6), got 1"),
    "no mark": (("(4, 6)", "(2.5, 5)"), "whole and in a tuple, like (4, 6), got (2.5, 5)"),
    "one text": (('("dlogits",)', '("dlogits")'), "exercise 1: expected a tuple of names, like "
                 "('x',), for the gradients of cross_entropy, got 'dlogits'"),
    "places are": (("places, (4, 6)", "3, (4, 6)"), "expected a function for the places of cross"),
    "short": (('"How does the gradient change if one loss counts twice?",', ""),
              "a mistake of cross_entropy_backward: expected (name, old, new, says, asks), got "
              "('rows not weighted'"),
    "derivation": (("        sizes=", '        derivation="a.md",\n        sizes='),
                   "expected a tuple of texts, like ('softmax.md, The gradient',)"),
    "function": (('"cross_entropy", ("logits", "y")', '"cross", ("logits", "y")'),
                 "no function cross, which catalogue.py lists"),
    "arguments": (('("logits", "y")', '("a", "y")'),
                  "expected cross_entropy(a, y), got (logits, y)"),
    "hints": (('"cross_entropy": (', '"entropy": ('), "hints for entropy, which no exercise has"),
    "places": (('"y": rng.integers(K, size=N),', ""),
               "the places of cross_entropy: expected logits, y, dlosses, got logits, dlosses"),
    "draws": (("rng.integers(K, size=N)", "rng.choice(['a'], N)"), "expected real numbers in y"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_folder_that_does_not_fit_says_where(what, said, tmp_path):
    change, expected = BROKEN[what]
    if change:
        edited(tmp_path / "own" / "catalogue.py", *change)
    else:
        (tmp_path / "own" / "ex2_more.py").write_text("")
    code, text = said("start", "hw", "--exercises", "own")
    assert code == 2
    assert expected in " ".join(text.split())
    assert text.startswith("numpyvae: own/")
    assert not (tmp_path / "hw").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_a_solution_that_does_not_run_is_one_line(line, says, said, tmp_path):
    edited(
        tmp_path / "own" / "ex1_softmax.py", "import numpy as np\n", f"import numpy as np\n{line}\n"
    )
    for words in (["lint"], ["check", "own"]):
        code, text = said(*words, "--exercises", "own")
        assert (code, text) == (2, f"numpyvae: own/ex1_softmax.py, line 11: {says}\n")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("no.md, The gradient", "own/no.md: no such file, but the catalogue names it for ex1_soft"),
        ("notes.md, Gradient", "own/notes.md: expected a heading 'Gradient', but there is none"),
        ("notes.md, The gradient", ""),
        ("https://a.b/c.md, Gradient", ""),
    ],
)
def test_a_derivation_that_is_not_there_is_said(place, says, said, tmp_path):
    (tmp_path / "own" / "notes.md").write_text("# Notes\n\n## The gradient\n\nIt is p.\n")
    catalogue = tmp_path / "own" / "catalogue.py"
    edited(catalogue, "        sizes=", f"        derivation=({place!r},),\n        sizes=")
    linted, derived = (said(*w, "--exercises", "own") for w in (["lint"], ["derive", "1"]))
    assert (linted[0], derived[0]) == ((1, 2) if says else (0, 0))
    assert says in linted[1]
    assert derived[1].startswith(f"numpyvae: {says}" if says else place)


def test_a_solution_that_is_not_python_or_has_no_docstring(said, tmp_path):
    solution = tmp_path / "own" / "ex1_softmax.py"
    text = solution.read_text()
    solution.write_text(text + "x = (\n")
    assert (
        "ex1_softmax.py, line 26: not Python: '(' was never closed"
        in said("check", ".", "--exercises", "own")[1]
    )
    solution.write_text(text.replace('    """dlogits (N, K), of dlosses (N,)."""\n', ""))
    assert "cross_entropy_backward has no docstring" in said("check", ".", "--exercises", "own")[1]


def test_other_marks_for_the_exercises_of_the_package(said, tmp_path):
    (tmp_path / "marks.csv").write_text("function,marks\ndense,30\ndense_backward,0\n\n")
    assert said("start", "hw", "--marks", "marks.csv")[0] == 0
    assert "| the dense layer | 30 |" in (tmp_path / "hw" / "README.md").read_text()
    assert "not done    0/30" in said("check", "hw", "0", "--marks", "marks.csv")[1]
    _, text = said("autograder", "--gradescope", "g.zip", "--marks", "marks.csv")
    assert "of 123 points." in text
    with zipfile.ZipFile("g.zip") as archive:
        assert b"--part 1 --marks marks.csv" in archive.read("run_autograder")
        assert archive.read("marks.csv").startswith(b"function,marks")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dense", "line 2: expected function,marks, got dense"),
        ("dense,-1", "line 2: expected function,marks, got dense,-1"),
        ("dense,2.5", "got dense,2.5: marks are a whole number from 0 on"),
        ("dents,3", "line 2: no exercise has a function dents"),
        ("tanh,1\ntanh,2", "line 3: tanh is there twice"),
    ],
)
def test_marks_that_are_none(line, expected, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text(f"function,marks\n{line}\n")
    with pytest.raises(ValueError, match=expected):
        own.with_marks(COURSES, path)


def test_marks_that_are_not_there(said, tmp_path):
    code, text = said("start", "hw", "--marks", "missing.csv")
    assert code == 2
    assert text == "numpyvae: missing.csv: no such file: expected lines of function,marks\n"
    (tmp_path / "marks.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    code, text = said("start", "hw", "--marks", "marks.xlsx")
    assert text == "numpyvae: marks.xlsx: expected lines of function,marks, got no text\n"


def test_lint_counts_one_as_one(said, tmp_path):
    catalogue = tmp_path / "own" / "catalogue.py"
    text = catalogue.read_text()
    catalogue.write_text(
        text + "EXERCISES[0] = replace(EXERCISES[0], mistakes=EXERCISES[0].mistakes[:1])\n"
    )
    edited(catalogue, "from numpyvae", "from dataclasses import replace\n\nfrom numpyvae")
    line = "ex1_softmax.py           2 functions,   1 mistake: ok\n"
    assert said("lint", "--exercises", "own") == (0, line)


@pytest.mark.parametrize(("started", "checked"), [(True, False), (False, True)])
def test_a_folder_of_other_exercises_is_one_line(started, checked, said):
    own = ["--exercises", "own"]
    said("start", "hw", *own * started)
    code, text = said("check", "hw", *own * checked)
    assert (code, text.count("\n")) == (2, 1)
    assert f"was it started {'with' if started else 'without'} --exercises, or" in text


def test_a_course_counts_itself(said, tmp_path):
    assert (COURSES[1].numbers, COURSES[2].numbers) == ("0 to 9", "10 to 13")
    catalogue = tmp_path / "own" / "catalogue.py"
    edited(catalogue, "number=1,", "number=7,")
    (tmp_path / "own" / "ex1_softmax.py").rename(tmp_path / "own" / "ex7_softmax.py")
    said("start", "hw", "--exercises", "own")
    assert "One file to fill in." in (tmp_path / "hw" / "README.md").read_text()
    assert "there is no exercise 1: expected 7" in said("check", "hw", "1", "--exercises", "own")[1]
    with pytest.raises(SystemExit):
        said("start", "hw", "--exercises", "own", "--part", "2")
