"""The exercises themselves: stubs, solutions, checking, hints, the command line."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE, Adam, Bernoulli, Gaussian, cli
from numpyvae.exercises import rerun
from numpyvae.exercises.judge import mistakes
from numpyvae.exercises.judge.catalogue import (
    COURSES,
    EXERCISES,
    draw_points,
    exercise_numbered,
    solution,
)
from numpyvae.exercises.judge.judging import judge_file, judge_source
from numpyvae.exercises.judge.reference import right
from numpyvae.exercises.judge.tasks import given_to
from numpyvae.exercises.sandbox.perform import load
from numpyvae.exercises.student import hints, stubs
from numpyvae.exercises.student.report import verdict_text
from numpyvae.exercises.teacher import lint
from numpyvae.gaussian import (
    gaussian_log_prob,
    gaussian_log_prob_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)

pytestmark = pytest.mark.usefixtures("kept_forks")
ids = {"ids": lambda e: e.slug}
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def functions(monkeypatch):
    """number -> the functions of a solution."""

    def get(number):
        exercise = EXERCISES[number]
        with pytest.MonkeyPatch.context() as patch:
            for name in ["given", *(e.file.removesuffix(".py") for e in EXERCISES)]:
                patch.setitem(sys.modules, name, None)
            return load(solution(exercise.file), exercise.file, given_to(exercise), sys.modules)

    return get


def place(number, function, i=0):
    """The arguments at one place, by name."""
    points = draw_points(EXERCISES[number], 1)
    start = f"{function}/{i}/"
    return {n[len(start) :]: a for n, a in points.items() if n.startswith(start)}


def test_the_solutions_are_the_librarys_mathematics(functions):
    """What students are told is right agrees with the package, whose gradients are proven."""
    p = place(3, "reparameterize")
    three = functions(3)
    z, cache = three["reparameterize"](p["mean"], p["log_var"], p["noise"])
    own, own_cache = reparameterize(p["mean"], p["log_var"], p["noise"])
    assert np.allclose(z, own, rtol=1e-14)
    for a, b in zip(
        three["reparameterize_backward"](p["dz"], cache),
        reparameterize_backward(p["dz"], own_cache),
        strict=True,
    ):
        assert np.allclose(a, b, rtol=1e-14)
    p, four = place(4, "kl_to_standard_normal"), functions(4)
    kl, cache = four["kl_to_standard_normal"](p["mean"], p["log_var"])
    own, own_cache = kl_to_standard_normal(p["mean"], p["log_var"])
    assert np.allclose(kl, own, rtol=1e-13)
    for a, b in zip(
        four["kl_to_standard_normal_backward"](p["dkl"], cache),
        kl_to_standard_normal_backward(p["dkl"], own_cache),
        strict=True,
    ):
        assert np.allclose(a, b, rtol=1e-13, atol=1e-15)
    for i in (0, 1):
        p, two = place(2, "bernoulli_log_prob", i), functions(2)
        log_prob, cache = two["bernoulli_log_prob"](p["x"], p["logits"])
        own, own_cache = Bernoulli().log_prob({}, p["x"], p["logits"])
        assert np.allclose(log_prob, own, rtol=1e-12)
        assert np.allclose(
            two["bernoulli_log_prob_backward"](p["dlog_prob"], cache),
            Bernoulli().log_prob_backward({}, {}, p["dlog_prob"], own_cache),
            rtol=1e-12,
        )


def test_the_gaussian_solution_is_the_librarys(functions):
    p, seven = place(7, "gaussian_log_prob"), functions(7)
    log_prob, cache = seven["gaussian_log_prob"](p["x"], p["mean"], p["log_var"])
    every = np.broadcast_to(p["log_var"], p["x"].shape)
    own, own_cache = gaussian_log_prob(p["x"], p["mean"], every)
    dmean, dlog_var = seven["gaussian_log_prob_backward"](p["dlog_prob"], cache)
    _, own_dmean, own_dlog_var = gaussian_log_prob_backward(p["dlog_prob"], own_cache)
    assert np.allclose(log_prob, own, rtol=1e-13)
    assert np.allclose(dmean, own_dmean, rtol=1e-13)
    assert np.allclose(dlog_var, own_dlog_var.sum(axis=0), rtol=1e-12)
    assert Gaussian().output_dim(7) == 7


def test_the_elbo_solution_is_the_librarys_vae(functions):
    p, five = place(5, "negative_elbo"), functions(5)
    params = {n.removeprefix("params/"): a for n, a in p.items() if n.startswith("params/")}
    vae = VAE(7, 3, (6,), "tanh", beta=float(p["beta"]), dtype=np.float64)
    theta = np.concatenate([params[name].ravel() for name in vae.layout.shapes])
    loss, cache = five["negative_elbo"](params, p["x"], p["noise"], float(p["beta"]))
    own, own_grad = vae.loss_and_grad(theta, p["x"], p["noise"])
    assert loss == pytest.approx(float(own), rel=1e-13)
    grads = five["negative_elbo_backward"](1.0, cache)
    for name, grad in vae.layout.views(own_grad).items():
        assert np.allclose(grads[name], grad, rtol=1e-11, atol=1e-14), name


def test_the_adam_solution_is_the_librarys(functions):
    step = functions(6)["adam_step"]
    rng = np.random.default_rng(0)
    theta, own = np.zeros(4), np.zeros(4)
    m = v = np.zeros(4)
    adam = Adam(0.1)
    for t in range(1, 20):
        grad = rng.standard_normal(4)
        theta, m, v = step(theta, grad, m, v, t, 0.1, 0.9, 0.999, 1e-8)
        adam.step(own, grad)
        assert np.allclose(theta, own, rtol=1e-10)


def test_the_two_estimators_agree_on_average(functions):
    """Both are unbiased: 400,000 draws of each, against the exact gradient of E[sum z^2]."""
    eight = functions(8)
    mean, log_var = np.array([0.7, -0.4]), np.array([0.2, -0.5])
    noise = np.random.default_rng(0).standard_normal((400_000, 2))
    z = mean + np.exp(0.5 * log_var) * noise
    exact = 2 * mean, np.exp(log_var)
    by_score = eight["score_function_gradient"]((z**2).sum(1), z, mean, log_var)
    by_path = eight["pathwise_gradient"](2 * z, noise, log_var)
    for estimates in (by_score, by_path):
        for estimate, truth in zip(estimates, exact, strict=True):
            error = np.sqrt(eight["variance_of_mean"](estimate))
            assert (np.abs(estimate.mean(axis=0) - truth) < 5 * error).all()
    noisier = eight["variance_of_mean"](by_score[0]) / eight["variance_of_mean"](by_path[0])
    assert (noisier > 2).all()


def test_the_whole_vae_learns(functions):
    out = right(EXERCISES[9], 0).arrays
    losses = out["train/0/losses"]
    assert losses[-5:].mean() < losses[:5].mean() - 5  # nats
    p = out["decode/0/probabilities"]
    assert ((p > 0) & (p < 1)).all()


@pytest.mark.slow(keep=5)
@pytest.mark.parametrize("exercise", EXERCISES, **ids)
def test_each_exercise_is_proven(exercise):
    """Stubs, solution, every planted mistake, every hint: what `lint` says, at another seed."""
    assert list(lint.problems_of(exercise, "another seed")) == []


def test_lint_finds_what_is_broken(monkeypatch):
    exercise = EXERCISES[3]
    good = mistakes.MISTAKES[0]
    broken = [
        mistakes.Mistake("no fit", "s", "a", (mistakes.Patch("reparameterize", "nothing", "x"),)),
        mistakes.Mistake(
            "harmless",
            "s",
            "a",
            (mistakes.Patch("reparameterize", "0.5 * log_var", "log_var / 2"),),
        ),
        mistakes.Mistake("mute", "", "", (mistakes.Patch("reparameterize", "mean + ", ""),)),
    ]
    monkeypatch.setattr(mistakes, "MISTAKES", (good, *broken))
    monkeypatch.setitem(hints.HINTS, "reparameterize", ("one", "", "three"))
    mistakes.mistakes_of.cache_clear()
    try:
        problems = "\n".join(lint.problems_of(exercise, "broken"))
    finally:
        mistakes.mistakes_of.cache_clear()
    assert "'no fit' cannot be planted" in problems
    assert "'harmless' is not caught" in problems
    assert "'mute' has no sentence" in problems
    assert "reparameterize does not have three hints" in problems


@pytest.mark.parametrize("exercise", EXERCISES, **ids)
def test_a_stub_states_the_task_and_hides_the_solution(exercise):
    text = stubs.stub(exercise)
    for name in exercise.marks:
        assert f'raise NotImplementedError("exercise {exercise.number}: {name}")' in text
    shown = set(text.splitlines())
    for node in ast.parse(solution(exercise.file)).body:
        if isinstance(node, ast.FunctionDef) and node.name in exercise.marks:
            for statement in node.body[1:]:
                body = ast.get_source_segment(solution(exercise.file), statement)
                assert f"    {body}" not in shown, body
    assert max(map(len, text.splitlines())) <= 100


def test_exercise_three_is_the_sample():
    assert 'NotImplementedError("exercise 3: reparameterize_backward")' in stubs.stub(EXERCISES[3])
    assert sum(sum(e.marks.values()) for e in EXERCISES) == 100
    text = (stubs.TEXTS / "student_readme.md").read_bytes()
    readme = stubs.filled(text, COURSES[1]).decode()
    assert "\nTen files, from the dense layer" in readme
    for e in EXERCISES:
        assert f"| `{e.file}` | {e.title} | {sum(e.marks.values())} |" in readme
    with pytest.raises(ValueError, match="no exercise 10: expected 0 to 9"):
        exercise_numbered(10)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others():
    for e in EXERCISES:
        a, b, c = (draw_points(e, seed) for seed in ("ümlaut 1", "ümlaut 1", "ümlaut 2"))
        assert list(a) == list(b) == list(c)
        assert all(a[n].tobytes() == b[n].tobytes() for n in a)
        assert any(a[n].tobytes() != c[n].tobytes() for n in a)


def test_start_writes_a_folder_and_keeps_what_is_there(tmp_path):
    folder = tmp_path / "new" / "hw"
    written, kept = stubs.start(folder)
    assert {*written} == {p.name for p in folder.iterdir()}
    assert kept == []
    mine = folder / EXERCISES[3].file
    mine.write_text("# mine")
    (folder / EXERCISES[4].file).unlink()
    assert stubs.start(folder)[0] == [EXERCISES[4].file]
    assert mine.read_text() == "# mine"
    with np.load(folder / "digits.npz") as digits:
        assert digits["x"].shape[1] == 64
        assert set(np.unique(digits["x"])) == {0, 1}


def test_a_fresh_folder_is_not_done_and_runs_on_its_own_files(tmp_path):
    stubs.start(tmp_path)
    verdict = judge_file(EXERCISES[5], tmp_path)
    assert verdict.status == "not done"
    assert "not done yet: negative_elbo, negative_elbo_backward" in verdict_text(verdict, "hw")
    # A later exercise runs on right versions of what came before, whatever stands there.
    (tmp_path / EXERCISES[5].file).write_text(solution(EXERCISES[5].file))
    (tmp_path / EXERCISES[0].file).write_text("raise SystemExit")
    assert judge_file(EXERCISES[5], tmp_path).status == "pass"


def test_a_mistake_costs_its_own_marks_once(tmp_path):
    wrong = solution("ex3_reparameterize.py").replace("0.5 * dz * noise", "dz * noise")
    verdict = judge_source(EXERCISES[3], wrong)
    assert verdict.marks == {"reparameterize": 3, "reparameterize_backward": 0}
    text = verdict_text(verdict, "hw")
    assert "-> the 1/2 is missing in the sampling path: d sigma / d log_var is sigma/2" in text
    entry = re.search(r"dlog_var\[(\d), (\d)\] is (\S+), expected (\S+) \(15 of 15", text)
    assert float(entry[3]) == pytest.approx(2 * float(entry[4]), rel=1e-5)
    line = re.search(r"reproduce in Python: (.*)", text)[1]
    (tmp_path / "hw").mkdir()
    (tmp_path / "hw" / "ex3_reparameterize.py").write_text(wrong)
    code = line.replace('"hw"', repr(str(tmp_path / "hw"))).split("; ")
    names = {}
    exec(code[0], names)
    assert eval(code[1], names) == pytest.approx(float(entry[3]), rel=1e-5)


def test_what_a_student_sees_of_an_exception(tmp_path):
    wrong = solution("ex0_dense.py").replace("dx = dy @ W.T", "dx = dy @ W")
    text = verdict_text(judge_source(EXERCISES[0], wrong), "hw")
    assert "dense_backward: ValueError: matmul" in text
    line = wrong.splitlines().index("    dx = dy @ W") + 1
    assert f"(line {line} of ex0_dense.py)" in " ".join(text.split())
    assert "-> dx uses W where W^T is needed" in text
    (tmp_path / "ex0_dense.py").write_text(wrong)
    with pytest.raises(ValueError, match="matmul"):
        rerun(tmp_path, 0)
    (tmp_path / "ex0_dense.py").write_text("def dense(x, W, b): return 1")
    with pytest.raises(TypeError, match=r"dense: expected \(value, cache\), got a int"):
        rerun(tmp_path, 0)
    text = verdict_text(judge_source(EXERCISES[0], "print('hello')\nx = (\n"), "hw")
    assert "dense, dense_backward: line 2 is not Python: '(' was never closed" in text
    printing = solution("ex0_dense.py").replace(
        "    dx =", "    print('dy', dy.shape)\n    dx = 0 *"
    )
    assert "it printed:\n    dy (5, 6)" in verdict_text(judge_source(EXERCISES[0], printing), "hw")


def test_hints_begin_with_the_mistake_and_end_with_the_formula(tmp_path):
    stubs.start(tmp_path)
    path = tmp_path / EXERCISES[3].file

    def hint():
        return hints.next_hint(tmp_path, judge_file(EXERCISES[3], tmp_path))

    assert hint().startswith("hint 1 of 3: log_var = log sigma^2. What is sigma?")
    path.write_text(solution(path.name).replace("0.5 * dz", "dz"))
    assert hint().startswith("hint 1 of 3: sigma = exp(log_var / 2). What is its derivative")
    assert hint().startswith("hint 2 of 3: Two steps lead to log_var")
    last = hint()
    assert "hint 3 of 3 (the last): d mean = dz, d log_var = dz noise sigma / 2" in last
    assert hint() == last
    (tmp_path / ".hints.json").write_bytes(b"\xff{]")
    assert hint().startswith("hint 1 of 3")
    path.write_text(solution(path.name))
    assert "passes: it needs no hint" in hint()


def test_every_hint_that_names_a_derivation_names_one_that_exists():
    place = re.compile(r"\(docs/(derivations/\w+\.md), ([^()]*(?:\([^()]*\))?[^()]*)\)$")
    for steps in hints.HINTS.values():
        found = place.search(steps[2])
        assert found, steps[2]
        text = (DOCS / found[1]).read_text(encoding="utf-8")
        assert found[2] in re.findall(r"^#+ (.*)$", text, re.MULTILINE), found[0]


def test_the_command_line(tmp_path, capsys):
    folder = str(tmp_path / "hw")
    assert cli.main(["exercises", "start", folder]) == 0
    assert "15 files written" in capsys.readouterr().out
    assert cli.main(["exercises", "check", folder]) == 1
    assert "0 of 10 exercises pass, 0 of 100 marks" in capsys.readouterr().out
    (tmp_path / "hw" / "ex6_adam.py").write_text(solution("ex6_adam.py"))
    assert cli.main(["exercises", "check", folder, "6"]) == 0
    assert capsys.readouterr().out.startswith("pass        8/8   ex6_adam.py")
    assert cli.main(["exercises", "hint", folder]) == 0
    assert "ex0_dense.py, the dense layer\nhint 1 of 3: " in capsys.readouterr().out
    for arguments, message in (
        (["check", str(tmp_path / "nowhere")], "no such folder; numpyvae exercises start"),
        (["check", folder, "11"], "there is no exercise 11: expected 0 to 9"),
        (["hint", folder, "-1"], "there is no exercise -1"),
        (["hint", folder, "loss"], "there is no exercise loss: expected 0 to 9"),
        (["derive", folder], f"there is no exercise {folder}: expected 0 to 13"),
        (
            ["check", str(tmp_path)],
            "expected ex0_dense.py to ex9_vae.py, but none is there: was it",
        ),
    ):
        assert cli.main(["exercises", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["3", "ex3", "ex3_reparameterize", "hw/ex3_reparameterize.py"])
def test_an_exercise_is_named_by_number_or_file(name):
    assert exercise_numbered(name) is EXERCISES[3]
    with pytest.raises(ValueError, match="expected 0 to 9"):
        exercise_numbered(name.replace("3", "33"))


def test_derive_takes_a_folder_first_as_all_do(capsys):
    assert cli.main(["exercises", "derive", "hw", "ex0"]) == 0
    with_folder = capsys.readouterr().out
    assert cli.main(["exercises", "derive", "0"]) == 0
    assert capsys.readouterr().out == with_folder != ""


@pytest.mark.parametrize("course", COURSES.values(), ids=lambda course: f"part {course.part}")
def test_the_teachers_page_has_the_marks_of_the_catalogue(course):
    page = (DOCS / "coursework.md").read_text(encoding="utf-8")
    rows = [f"| `{e.file}` | {e.title} | {sum(e.marks.values())} |" for e in course.exercises]
    assert "| file | about | marks |\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in page


def test_the_teachers_page_counts_as_the_catalogue_does():
    page = (DOCS / "coursework.md").read_text(encoding="utf-8")
    course = COURSES[1]
    said = re.search(r"(\d+) of (\d+) exercises pass, (\d+) of (\d+) marks", page).groups()
    assert said[1::2] == (str(len(course.exercises)), str(course.marks))
    in_prose = re.findall(r"\b(?:ten|four) (?:more )?(?:exercises|files)|\b100 marks", page, re.I)
    assert in_prose == ["100 marks"], "only in that example"
