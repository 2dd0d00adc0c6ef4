"""What reviewers tried: false names, false passes, refused right answers, results that hurt."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_exercises_diagnosis import judge_text

from numpyvae.exercises.judge import reference, tasks
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.judging import judge, judge_source
from numpyvae.exercises.sandbox import runner as sandbox
from numpyvae.exercises.sandbox.runner import Limits, Outcome

pytestmark = pytest.mark.usefixtures("kept_forks")


def changed(number, *changes, seed=7):
    """The verdict on a solution with some lines changed."""
    source = solution(EXERCISES[number].file)
    for old, new in changes:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    return judge_text(EXERCISES[number], source, seed)


def names(verdict):
    return [named.name for named in verdict.named]


RELU, TANH = ("dx = dy * (x > 0)", "dx = dy * (1.0 - y * y)")


@pytest.mark.parametrize(
    ("number", "change", "name", "kept"),
    [
        (1, (RELU, "dx = x > 0"), ["relu chain rule forgotten"], 5),
        (1, (RELU, "dx = (x > 0).astype(int)"), ["relu chain rule forgotten"], 5),
        (1, (RELU, "dx = np.zeros_like(x, dtype=bool)"), [], 5),
        (4, ("dmean = dkl * mean", "dmean = mean > 0"), [], 3),
        (5, ("return grads", 'grads["decoder.1.W"] = grads["decoder.1.W"].T; return grads'), [], 6),
        (5, ("return grads", 'grads["encoder.1.W"] = 0.0; return grads'), [], 6),
        (5, ("return grads", "return {n: g * np.nan for n, g in grads.items()}"), [], 6),
        (
            3,
            ("0.5 * dz * noise * sigma", "(dz * noise * 0.3 + dz**2).astype(np.longdouble)"),
            [],
            3,
        ),
        (3, ("dmean = dz", "dmean = dz.astype(np.float16)"), [], 3),
    ],
)
def test_odd_results_fail_and_cost_no_more_than_themselves(number, change, name, kept):
    verdict = changed(number, change)
    assert verdict.status == "fail"
    assert names(verdict) == name
    assert verdict.total == kept


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (
            2,
            (
                "dlogits = dlog_prob[:, None] * (x - p)",
                "dlogits = dlog_prob[:, None] * (x - np.clip(p, 1e-10, 1.0 - 1e-10))",
            ),
        ),
        (3, ("0.5 * dz * noise * sigma", "0.5 * dz * noise * sigma * (1 + 1e-9)")),
        (1, (TANH, "dx = dy * (1.0 - y * y + 1e-12)")),
        (7, ("log_var + squares)", "log_var + squares + 1e-8)")),
    ],
)
def test_close_but_not_exact_is_no_accusation(number, change):
    """Not called float32: nobody can know."""
    verdict = changed(number, change)
    assert verdict.status == "fail"
    assert "float32" not in names(verdict)
    assert any("close, but not exact" in fault.text for fault in verdict.faults)


def test_changes_in_place_are_called_what_they_are():
    for line in ("dy /= len(x)", "x *= 0.5"):
        verdict = changed(0, ("    dx = dy @ W.T", f"    {line}\n    dx = dy @ W.T"))
        assert "weight updated before use" not in names(verdict)
    verdict = changed(0, ("    return dx, dW, db", "    x *= 0.5\n    return dx, dW, db"))
    assert names(verdict) == ["changes an argument"]
    verdict = changed(0, ("    dx = dy @ W.T", "    W -= 0.1 * (x.T @ dy)\n    dx = dy @ W.T"))
    assert names(verdict) == ["weight updated before use"]


@pytest.mark.slow
def test_nan_explains_nothing_by_itself():
    verdict = changed(9, ("m, v, i + 1, learning_rate", "m, v, i + 1, np.sqrt(-1.0)"))
    assert names(verdict) == []
    for seed in range(8):
        naive = (
            "np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))",
            "np.log(1 + np.exp(logits))",
        )
        assert names(changed(2, naive, seed=seed)) == ["softplus overflows"]


FIRST_LINE = "    sigma, noise = cache\n"


@pytest.mark.parametrize(
    ("habit", "change"),
    [
        ("accumulates", (FIRST_LINE, FIRST_LINE + "    KEPT.append(dz)\n    dz = sum(KEPT)\n")),
        ("changes its cache", (FIRST_LINE, FIRST_LINE + "    noise = noise.copy()\n")),
        (
            "not deterministic",
            (FIRST_LINE, FIRST_LINE + "    noise = RNG.standard_normal(noise.shape)\n"),
        ),
    ],
)
def test_a_habit_and_an_unnamed_mistake_are_not_named_alone(habit, change):
    state = (
        "import numpy as np\n",
        "import numpy as np\nKEPT = []\nRNG = np.random.default_rng(1)\n",
    )
    wrong = ("dmean = dz\n", "dmean = dz + 0.1 * dz**2\n")
    verdict = changed(3, state, change, wrong)
    assert verdict.status == "fail"
    assert names(verdict) == []


def test_a_habit_and_a_named_mistake_are_both_named():
    state = ("import numpy as np\n", "import numpy as np\nKEPT = []\n")
    adds = (
        "    return dmean, dlog_var",
        "    KEPT.append((dmean, dlog_var))\n"
        "    return sum(k[0] for k in KEPT), sum(k[1] for k in KEPT)",
    )
    assert names(changed(3, state, adds)) == ["accumulates"]
    both = changed(3, state, adds, ("0.5 * dz * noise", "dz * noise"))
    assert names(both) == ["accumulates", "half missing"]


def test_a_habit_that_spoils_results_is_named_once():
    """relu clears the negative entries of x, and so its inverted mask lets nothing through."""
    in_place = ("y = np.where(x > 0, x, 0.0)", "x[x < 0] = 0.0\n    y = x")
    verdict = changed(1, in_place, (RELU, "dx = dy * (x < 0)"))
    assert names(verdict) == ["changes an argument", "relu mask inverted"]


def test_results_in_each_others_place():
    verdict = changed(3, ("return dmean, dlog_var", "return dlog_var, dmean"))
    assert names(verdict) == ["results exchanged"]
    assert "the order is dmean, dlog_var" in verdict.named[0].says


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (
            5,
            [
                ("np.full(N, -dloss / N)", "np.full(N, -1.0 / N)"),
                ("np.full(N, beta * dloss / N)", "np.full(N, beta / N)"),
            ],
        ),
        (5, [("caches, beta, N = cache", "caches, _, N = cache; beta = 0.37")]),
        (6, [("    m = beta1", "    beta1, beta2, epsilon = 0.9, 0.999, 1e-8\n    m = beta1")]),
        (6, [("    m = beta1", "    learning_rate = 0.1\n    m = beta1")]),
        (1, [(RELU, "dx = dy * (x >= 0)")]),
        (1, [(RELU, "dx = dy * np.heaviside(x, 0.5)")]),
    ],
)
def test_numbers_that_only_happen_to_be_right_do_not_pass(number, changes):
    assert changed(number, *changes).status == "fail"


STENCIL = """
    def of(mean, log_var):
        return value * log_q(z, mean, log_var)[:, None]
    dmean, dlog_var = np.zeros_like(z), np.zeros_like(z)
    for l in range(z.shape[1]):
        e = STEP * (np.arange(z.shape[1]) == l)
        dmean[:, l] = DERIVATIVE(mean, e, True)
        dlog_var[:, l] = DERIVATIVE(log_var, e, False)
    return dmean, dlog_var
"""


def test_an_estimator_by_numerical_differentiation_is_shown_to_the_teacher():
    """A complex step is exact and keeps its marks; differences are not exact."""
    source = solution("ex8_score_function.py")
    start = source.index("    precision = np.exp(-log_var)\n    dmean = value")
    end = source.index("def pathwise_gradient")
    at = "(of(x + {} * e, log_var) if m else of(mean, x + {} * e))[:, 0]"
    weights = ((-2, 1), (-1, -8), (1, 8), (2, -1))
    five = " + ".join(f"{w} * {at.format(k, k)}" for k, w in weights)
    for step, derivative, marks, sign in (
        ("1e-30j", f"(lambda x, e, m: {at.format(1, 1)}.imag / 1e-30)", 4, "complex numbers"),
        ("1e-3", f"(lambda x, e, m: ({five}) / 12e-3)", 0, "very close to the previous call"),
    ):
        body = STENCIL.replace("STEP", step).replace("DERIVATIVE", derivative)
        verdict = judge_text(EXERCISES[8], source[:start] + body + "\n\n" + source[end:], 7)
        assert verdict.marks["log_q"] == 1
        assert verdict.marks["score_function_gradient"] == marks
        (look,) = verdict.look
        assert look.startswith("score_function_gradient looks numerical, have a look")
        assert sign in look


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (3, [("return z, (sigma, noise)", "return [z, (sigma, noise)]")]),
        (3, [("return z, (sigma, noise)", "return z, (z, mean)"),
             ("sigma, noise = cache", "z, mean = cache"),
             ("0.5 * dz * noise * sigma", "0.5 * dz * (z - mean)")]),
        (3, [("if __name__", "def test():\n    assert sigma.dtype != complex\n\n\nif __name__"),
             ("    print(f", "    print(np.imag(1j))\n    print(f")]),
        (1, [(TANH, "dx = dy * (1.0 - tanh(np.arctanh(0.0 * y))[0] - y * y)")]),
    ],
)  # fmt: skip
def test_right_in_an_unusual_way_passes(number, changes):
    verdict = changed(number, *changes)
    assert verdict.status == "pass", verdict.faults


@pytest.mark.parametrize(
    "imports",
    [
        "from numpy import *\nimport numpy as np",
        "import fractions, decimal, statistics, math",
        "import numpy as np, numpy.ma\nnp.median(np.unique([1, 2]))",
        "import os, random",
        "import numpy as np\nnp.testing.assert_allclose(1.0, 1.0)",
    ],
)
def test_what_students_import(imports):
    source = f"{imports}\n{solution(EXERCISES[3].file)}"
    assert judge_source(EXERCISES[3], source).status == "pass"


def test_an_import_that_is_not_there_says_what_is():
    verdict = judge_source(EXERCISES[3], "import scipy")
    assert "A file may import numpy, math and given" in verdict.faults[0].text
    verdict = changed(3, ("dz * noise * sigma", "dzz * noise * sigma"))
    assert "Did you mean 'dz'?" in verdict.faults[0].text


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize(
    "stop", ["while True: pass", "raise SystemExit", "__import__('os')._exit(0)"]
)
def test_a_backward_that_does_not_return_leaves_forward_its_marks(stop):
    source = solution(EXERCISES[0].file).replace("    dx = dy @ W.T", f"    {stop}")
    verdict = judge_source(EXERCISES[0], source, 0, Limits(seconds=2))
    assert verdict.marks == {"dense": 2, "dense_backward": 0}
    assert {fault.function for fault in verdict.faults} == {"dense_backward"}


HEADERS = [
    {"descr": "|O", "fortran_order": False, "shape": (3,)},
    {"descr": "<U1000", "fortran_order": False, "shape": (3,)},
    {"descr": "<M8[s]", "fortran_order": False, "shape": (15,)},
    {"descr": [("a", "<f8")], "fortran_order": False, "shape": (15,)},
    {"descr": "<c16", "fortran_order": True, "shape": (5, 3)},
    {"descr": "<f8", "fortran_order": False, "shape": (True, 15)},
    {"descr": "<f8", "fortran_order": False, "shape": (-1, 3)},
    {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)},
    {"descr": "<f8", "fortran_order": 7, "shape": [5, 3]},
    {"descr": "<f2", "fortran_order": False, "shape": ()},
    {"descr": "|b1", "fortran_order": False, "shape": (5, 3)},
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: f"{h['descr']} {h['shape']}")
def test_hostile_headers_reach_the_judge_as_nothing_worse_than_wrong(header, monkeypatch):
    text = repr(header).encode().ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(120)
    deep = "[" * 50_000

    def child(job, limits):
        records = [struct.pack("<II", i, len(content)) + content for i in range(40)]
        (job / "out" / "results").write_bytes(b"".join(records))
        lines = [
            deep,
            json.dumps(["reparameterize", "grader", "x"]),
            json.dumps(["", "confined", "False"]),
        ]
        (job / "notes.jsonl").write_text("\n".join(lines))
        return ""

    monkeypatch.setattr(sandbox, "run_child", child)
    outcome = tasks.run(EXERCISES[3], "", draw_points(EXERCISES[3], 0))
    assert all(array.dtype.kind in "biuf" for array in outcome.arrays.values())
    assert not any(note.kind == "grader" for note in outcome.notes)
    verdict = judge(EXERCISES[3], outcome, 0)
    assert verdict.status == "fail"
    assert verdict.total == 0


ANY_NUMBERS = hnp.arrays(
    st.sampled_from([np.bool_, np.int64, np.uint8, np.float16, np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@pytest.mark.slow
@settings(max_examples=80)
@given(st.sampled_from(EXERCISES), st.data())
def test_no_numbers_make_the_judge_raise(exercise, data):
    """Right results with some of them replaced, made extreme, or taken away."""
    arrays = dict(reference.right(exercise, 0).arrays)
    for name in data.draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=6)):
        kind = data.draw(st.sampled_from(["any", "gone", "nan", "huge", "column"]))
        if kind == "any":
            arrays[name] = data.draw(ANY_NUMBERS)
        elif kind == "gone":
            arrays.pop(name, None)
        elif name in arrays:
            a = arrays[name]
            with np.errstate(all="ignore"):
                column = a.reshape(-1, 1)
                arrays[name] = {"nan": a * np.nan, "huge": a * 1e308, "column": column}[kind]
    verdict = judge(exercise, Outcome(arrays), 0)
    assert 0 <= verdict.total <= verdict.out_of
    assert (verdict.status == "pass") == (verdict.total == verdict.out_of)
