"""Every branch of what a check says and decides, by a case on each side of it."""

import itertools
import re

import numpy as np
import pytest

from numpyvae.gradient_check import check_grad, slopes
from numpyvae.gradient_check.checks import _choose, _taylor_row, _weights
from numpyvae.gradient_check.comparison import Settings
from numpyvae.gradient_check.differences import EPS, TaylorTest
from numpyvae.gradient_check.estimates import broken_complex_step, complex_entries
from numpyvae.gradient_check.points import Point
from numpyvae.gradient_check.sampling import Sample
from numpyvae.gradient_check.slopes import Evaluator, Notes

RNG = np.random.default_rng(5)
W, B = RNG.standard_normal((3, 2)), RNG.standard_normal(2)
THETA = {"W": W, "b": B, "s": np.array(0.7)}


def f(p):
    return np.sum(np.sin(p["W"])) + np.sum(np.exp(p["b"])) + p["s"] ** 3


def grad(p):
    return {"W": np.cos(p["W"]), "b": np.exp(p["b"]), "s": 3 * p["s"] ** 2}


def a_sample(f, theta, value, slope=0.0, units=None):
    """What f is like at theta, as it were: nothing is measured."""
    units = np.maximum(1.0, np.abs(Point(theta).vector)) if units is None else units
    evaluate = Evaluator(f, Point(theta))
    return Sample(evaluate, value, EPS, 0.0, slope, units, np.random.default_rng(0))


def settings(method="auto", directions=None):
    return Settings(method, 1e-6, 0.0, directions, {})


def told(report):
    return " ".join(str(report).split())


def off(name, index, size):
    """The right gradient with one entry multiplied."""
    g = {k: np.array(v) for k, v in grad(THETA).items()}
    g[name][index] *= size
    return g


# ---------------------------------------------------------------- verdict.py


@pytest.mark.parametrize(
    ("name", "index", "shown"),
    [
        ("W", (0, 0), "['W'][0, 0]"),
        ("W", (2, 1), "['W'][2, 1]"),
        ("b", (0,), "['b'][0]"),
        ("b", (1,), "['b'][1]"),
        ("s", (), "['s']"),
    ],
)
def test_the_worst_entry_and_the_line_that_reproduces_it(name, index, shown):
    wrong = off(name, index, 2.0)
    report = check_grad(f, THETA, wrong)
    entry = f"{name}[{', '.join(map(str, index))}]" if index else name
    value = grad(THETA)[name][index]
    assert report.worst.entry == entry
    assert report.reasons == ["1 of 9 entries differ by more than tolerance and error bound."]
    assert f"worst: {entry}: yours {2 * value:.10g}, numeric {value:.10g}" in told(report)
    assert "relative error 5.0e-01" in told(report)
    assert report.reproduce == f"print(grad{shown}, complex_step(f, theta){shown})"
    report = check_grad(f, THETA, lambda p: wrong, method="central")
    assert report.reproduce == f"print(grad(theta){shown}, central_difference(f, theta){shown})"


def test_a_right_gradient_has_nothing_to_reproduce_and_gives_no_reason():
    report = check_grad(f, THETA, grad)
    assert (report.reproduce, report.reasons, report.findings, report.warnings) == ("", [], [], [])
    assert [(r["parameter"], r["shape"], r["entries"]) for r in report.table] == [
        ("W", "3 x 2", 6),
        ("b", "2", 2),
        ("s", "scalar", 1),
    ]
    np.testing.assert_allclose(report.numeric["W"], np.cos(W), rtol=1e-14)
    np.testing.assert_array_equal(report.yours["b"], np.exp(B))
    np.testing.assert_array_equal(report.errors["W"], np.abs(np.cos(W) - report.numeric["W"]))
    assert np.all(report.error_bound["W"] < 1e-13)


def test_entries_that_are_not_finite_are_counted_and_the_first_is_named():
    wrong = off("W", (1, 0), np.nan)
    wrong["b"][1] = np.inf
    assert check_grad(f, THETA, wrong).reasons[0] == (
        "2 of 9 entries of your gradient are not finite, the first is W[1, 0]."
    )


@pytest.mark.parametrize("method", ["auto", "complex", "central", "directional", "taylor"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_entry_that_is_not_finite_is_enough(method, bad):
    for name, index in (("W", (0, 0)), ("s", ())):
        report = check_grad(f, THETA, off(name, index, bad), method=method)
        assert report.verdict == "fail"
        assert "1 of 9 entries of your gradient are not finite, the first is " + name in told(
            report
        )
        assert "directional slopes" not in told(report)
        assert "Taylor" not in told(report)
        assert "order" not in str(report.table)


def test_silent_parameters_and_silent_entries():
    silent = lambda p: f(p) + 0.0 * np.sum(p["u"])  # noqa: E731
    theta, right = {**THETA, "u": np.ones(3)}, {**grad(THETA), "u": np.zeros(3)}
    report = check_grad(silent, theta, right)
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("The slope along u is below ")
    one = lambda p: np.sum(p["W"][1:] ** 2) + np.sum(p["b"])  # noqa: E731  # part of W alone
    part = {"W": np.vstack([0 * W[:1], 2 * W[1:]]), "b": np.ones(2)}
    assert check_grad(one, {"W": W, "b": B}, part).warnings == []
    many = {f"p{i}": np.ones(1) for i in range(9)}
    report = check_grad(
        lambda p: np.sum(p["p0"] ** 2), many, {k: 2.0 * (k == "p0") * v for k, v in many.items()}
    )
    assert "The slope along p1, p2, p3, p4, p5, p6 and 2 more is below" in report.warnings[0]
    seven = {k: many[k] for k in list(many)[:7]}
    report = check_grad(
        lambda p: np.sum(p["p0"] ** 2), seven, {k: 2.0 * (k == "p0") * v for k, v in seven.items()}
    )
    assert "p5, p6 is below" in report.warnings[0]


def test_why_an_entry_cannot_be_judged():
    t = np.array([1.0, 2.0])
    step = lambda t: np.sum(t**2) + (t[0].real > 1.0)  # noqa: E731
    assert check_grad(step, t, 2 * t, method="central").verdict != "pass"
    coarse = lambda t: np.round(np.sum(t**2), 7)  # noqa: E731
    report = check_grad(coarse, t, 2 * t, method="central")
    assert report.verdict == "cannot tell"
    assert "of 2 entries cannot be judged: at theta[" in told(report)
    far = lambda t: 1e12 + np.sum(t**2)  # noqa: E731
    for unit in (1e-9, 1.0, 1e9):
        moved = lambda t, u=unit: far(t * u)  # noqa: E731
        report = check_grad(moved, t / unit, 2 * t * unit, method="central")
        assert "f(theta) = 1e+12 is so large that its rounding hides the slope" in told(report)


def test_what_looks_like_a_numerical_derivative():
    theta = np.linspace(0.2, 2.0, 10)
    value, right = (lambda t: np.sum(np.sin(t))), np.cos(theta)
    signs = np.where(np.arange(10) % 3, 1.0, -1.0)

    def warned(g):
        report = check_grad(value, theta, g)
        assert report.verdict == "pass"
        return [w for w in report.warnings if "numerical derivative" in w]

    assert "off by 1e-08 in nearly every entry" in warned(right * (1 + 1e-8 * signs))[0]
    assert warned(right * (1 + 1e-8 * signs * (np.arange(10) < 8)))
    assert not warned(right * (1 + 1e-8 * signs * (np.arange(10) < 7)))
    assert not warned(right * (1 + 3e-13 * signs))
    assert warned(right * (1 + 3e-12 * signs))
    assert not check_grad(lambda t: np.sin(t), np.array(0.3), np.cos(0.3) * (1 + 1e-8)).warnings
    central = check_grad(value, theta, right * (1 + 1e-8 * signs), method="central")
    assert not [w for w in central.warnings if "numerical derivative" in w]


def test_errors_within_their_bounds_look_like_nothing():
    theta = np.array([0.5, 1.5, 2.5])
    sharp = lambda t: np.sum(np.sin(1e3 * t))  # noqa: E731  # good to 1e-12, whoever computes it
    right = 1e3 * np.cos(1e3 * theta)
    report = check_grad(sharp, theta, right * (1 + 5e-12))
    assert (report.verdict, report.warnings) == ("pass", [])


def test_what_went_through_float32_buffers():
    theta = {"a": np.linspace(0.2, 2.0, 4), "b": np.linspace(0.3, 1.0, 3)}
    value = lambda p: np.sum(np.sin(p["a"])) + np.sum(np.sin(p["b"]))  # noqa: E731
    narrow = {k: np.cos(v).astype(np.float32).astype(float) for k, v in theta.items()}
    report = check_grad(value, theta, narrow)
    assert report.warnings[0].startswith("Every entry of your gradient of a is exactly a float32")
    whole = check_grad(lambda t: np.sum(t * np.arange(5.0)), np.ones(5), np.arange(5.0))
    assert "float32" not in told(whole)  # whole numbers are what they are
    one = np.cos(theta["a"]).astype(np.float32).astype(float) + np.array([0, 0, 0, 1e-9])
    assert "float32 buffer" not in told(
        check_grad(value, theta, {"a": one, "b": np.cos(theta["b"])})
    )


# ---------------------------------------------------------------- candidate.py


def test_the_value_beside_the_gradient_is_compared_in_its_own_units():
    t = np.array([1.0, 2.0])
    for c in (1e-12, 1.0, 1e12):
        value = lambda t, c=c: c * np.sum(t**2)  # noqa: E731
        for off_by, words in ((1e-10, 0), (2e-9, 1)):
            pair = lambda t, c=c, e=off_by: (value(t) * (1 + e), 2 * c * t)  # noqa: B023, E731
            report = check_grad(value, t, pair)
            assert report.verdict == "pass"
            assert sum("value returned beside" in w for w in report.warnings) == words
    assert check_grad(lambda t: np.sum(t), t, lambda t: [1.0, 1.0]).verdict == "pass"


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    ("again", "pattern"),
    [
        (lambda g, calls: g * (calls + 1), "accumulates"),
        (lambda g, calls: g * (1.0 + 0.01 * calls), "not deterministic"),
    ],
)
def test_a_small_parameter_that_changes_from_call_to_call(unit, again, pattern):
    """It does not hide behind one with larger slopes."""
    theta = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0]) * unit}
    value = lambda p: np.sum(p["a"] ** 2) + np.sum((p["b"] / unit) ** 2)  # noqa: E731
    calls = []

    def changing(p):
        g = {"a": 2 * p["a"], "b": again(2 * p["b"] / unit**2, len(calls))}
        calls.append(1)
        return {
            k: again(v, len(calls) - 1) if pattern == "accumulates" and k == "a" else v
            for k, v in g.items()
        }

    report = check_grad(value, theta, changing)
    assert report.verdict == "fail"
    assert report.findings[0]["pattern"] == pattern


def test_narrow_gradients_and_which_of_them():
    g = {**grad(THETA), "b": np.exp(B).astype(np.float32)}
    report = check_grad(f, THETA, g)
    assert report.verdict == "fail"
    assert "The gradient of b is float32: it is good to 1e-07 only. theta is float64" in told(
        report
    )
    pair = check_grad(f, THETA, lambda p: (f(p), g))
    assert "The gradient of b is float32" in told(pair)
    narrow = {k: v.astype(np.float32) for k, v in THETA.items()}
    report = check_grad(f, narrow, {k: v.astype(np.float32) for k, v in grad(narrow).items()})
    assert report.verdict == "cannot tell"
    assert "your gradient is good to 1e-07 relative only" in told(report)
    assert "numerical" not in told(report)
    loose = {k: v.astype(np.float32) for k, v in grad(narrow).items()}
    assert check_grad(f, narrow, loose, rtol=1e-5).verdict == "pass"
    whole = check_grad(lambda t: 3.0 * np.sum(t), np.ones(2), np.array([3, 3]))
    assert whole.verdict == "pass"
    assert "The gradient is int64: an integer buffer cuts off" in told(whole)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float16])
def test_a_narrow_gradient_of_a_narrow_theta_is_warned_of_not_failed(dtype):
    theta = np.array([1, 2, 3], dtype)
    report = check_grad(lambda t: np.sum(t**2), theta, (2 * theta).astype(np.float32))
    assert report.verdict == "cannot tell"
    assert "The gradient is float32: it is good to 1e-07 only." in report.warnings
    wide = check_grad(lambda t: np.sum(t**2), theta.astype(float), (2 * theta).astype(np.float32))
    assert wide.verdict == "fail"


# ---------------------------------------------------------------- checks.py


@pytest.mark.parametrize(
    ("size", "breaks", "method"),
    [(60, False, "complex"), (61, False, "directional, complex"), (15, True, "central"),
     (16, True, "directional, central")],
)  # fmt: skip
def test_what_takes_a_minute_is_done_along_directions(size, breaks, method, monkeypatch):
    """P calls of one second by complex step, 4 P by differences."""
    clock = itertools.count()
    monkeypatch.setattr(slopes.time, "perf_counter", lambda: float(next(clock)))
    theta = np.linspace(1.0, 2.0, size)
    value = (lambda t: np.sum(np.abs(t))) if breaks else (lambda t: np.sum(t**2))
    sample, notes = a_sample(value, theta, float(value(theta)), 1.0), Notes([])
    sample.f(theta)

    def plan(*options):
        return _choose(sample, settings(*options), notes)

    assert plan("auto").method == method
    assert ("entry by entry would take about 6" in plan("auto").reason) == ("direct" in method)
    assert plan("auto", 3).method == f"directional, {'central' if breaks else 'complex'}"
    assert plan("directional").method.startswith("directional")
    assert plan("central")[:2] == ("central", "")
    assert plan("taylor").method == "taylor"
    assert not notes.unknown
    assert plan("complex").method == "complex"
    assert bool(notes.unknown) == breaks


def test_how_many_directions():
    for method, given, expected in (
        ("directional", None, 20),
        ("directional", 2, 2),
        ("taylor", None, 3),
        ("taylor", 5, 5),
        ("auto", 4, 4),
    ):
        report = check_grad(f, THETA, grad, method=method, directions=given)
        assert [r["parameter"] for r in report.table] == [
            f"direction {i + 1}" for i in range(expected)
        ]
        assert len(report.errors) == len(report.error_bound) == expected


@pytest.mark.parametrize("broken", [0, 70, 129])
def test_a_complex_step_that_is_broken_behind_many_wrong_entries(broken):
    """All entries of yours are wrong, and one entry of f breaks the complex step."""
    theta = np.linspace(0.5, 1.5, 130)
    value = lambda t: np.sum(t**2) + 1e-9 * np.abs(t[broken])  # noqa: E731
    report = check_grad(value, theta, 4 * theta)
    assert report.verdict == "fail"
    assert len(report.findings) == 1


# ---------------------------------------------------------------- directions.py


@pytest.mark.parametrize(
    ("order", "resolution", "verdict"),
    [
        (2.0, 1e-6, "pass"),
        (1.71, 1e-6, "pass"),
        (1.69, 1e-6, "cannot tell"),
        (1.31, 1e-6, "cannot tell"),
        (1.29, 1e-6, "fail"),
        (1.0, 1.0, "fail"),
        (2.0, 0.009, "pass"),
        (2.0, 0.011, "cannot tell"),
        (np.inf, 1e-6, "pass"),
        (np.nan, 1e-6, "cannot tell"),
    ],
)
def test_what_the_order_of_a_taylor_remainder_says(order, resolution, verdict):
    nothing = np.zeros(0)
    row = _taylor_row("d", TaylorTest(nothing, nothing, nothing, order, nothing, resolution))
    assert (row["parameter"], row["verdict"], row["wrong"]) == (
        "d",
        verdict,
        int(verdict == "fail"),
    )
    assert row["order"] == order or np.isnan(order)


def test_weights_give_every_parameter_the_same_share():
    theta = {"a": np.ones(4), "b": np.ones(1), "c": np.ones(2), "zero": np.ones(2)}
    units = np.array([2.0] * 4 + [1.0] + [0.5] * 2 + [1.0] * 2)
    sample = a_sample(f, theta, 0.0, units=units)
    gradient = np.array([1.0] * 4 + [8.0] + [1e-9] * 2 + [0.0] * 2)
    weights = _weights(sample, gradient)
    assert np.linalg.norm(weights / units) == pytest.approx(1.0)
    shares = weights * gradient
    assert np.linalg.norm(shares[:4]) == pytest.approx(shares[4])
    np.testing.assert_allclose(weights[5:] / units[5:] / weights[4], 1e3)  # at most 1000 times
    assert np.all(np.isfinite(_weights(sample, 0.0 * gradient)))


@pytest.mark.parametrize("method", ["directional", "auto"])
def test_directions_find_the_entry_and_name_it(method):
    for name, index in (("W", (2, 1)), ("b", (0,)), ("s", ())):
        report = check_grad(f, THETA, off(name, index, 1.5), method=method, directions=4)
        entry = f"{name}[{', '.join(map(str, index))}]" if index else name
        assert report.worst.entry == entry
        assert float(report.worst) == pytest.approx(1 / 3)
        assert f"Along each parameter alone, these are wrong: {name}." in report.reasons
        assert "4 of 4 directional slopes differ by more than the tolerance." in report.reasons
        assert {r["parameter"]: r["verdict"] for r in report.table[4:]} == {
            k: "fail" if k == name else "pass" for k in THETA
        }


def test_evaluations_are_all_counted():
    for method in ("complex", "central", "directional", "taylor"):
        for size in (1.0, 1.5):
            calls = []

            def counted(p, calls=calls):
                calls.append(1)
                return f(p)

            report = check_grad(counted, THETA, off("W", (0, 1), size), method=method)
            assert report.evaluations == pytest.approx(
                len(calls), abs=1 if method == "taylor" else 0
            )


# ---------------------------------------------------------------- diagnosis.py


def test_rows_columns_entries_and_slices():
    theta = {
        "A": RNG.standard_normal((5, 12)),
        "T": RNG.standard_normal((2, 3, 4)),
        "v": RNG.standard_normal(12),
    }
    value = lambda p: sum(np.sum(np.sin(x)) for x in p.values())  # noqa: E731

    def text(name, where):
        g = {k: np.cos(v) for k, v in theta.items()}
        noise = np.random.default_rng(0).uniform(1, 2, g[name].shape)
        mask = np.zeros(g[name].shape)
        mask[where] = 1.0
        g[name] = g[name] + noise * mask
        return [x["text"] for x in check_grad(value, theta, g).findings]

    every = slice(None)
    assert text("A", (2, every)) == ["A: wrong only in row 2 (of 5)."]
    assert text("A", ([1, 3], every)) == ["A: wrong only in rows 1, 3 (of 5)."]
    assert text("A", (every, 7)) == ["A: wrong only in column 7 (of 12)."]
    assert text("A", (every, slice(9))) == [
        "A: wrong only in columns 0, 1, 2, 3, 4, 5, 6, 7, ... (of 12)."
    ]
    assert text("A", (every, slice(8))) == [
        "A: wrong only in columns 0, 1, 2, 3, 4, 5, 6, 7 (of 12)."
    ]
    assert text("A", (slice(4), slice(3))) == ["A: wrong only in columns 0, 1, 2 (of 12)."]
    assert text("A", (slice(1), slice(11))) == ["A: wrong only in row 0 (of 5)."]
    assert text("v", 4) == ["v: wrong only in entry 4 (of 12)."]
    assert text("v", [0, 11]) == ["v: wrong only in entries 0, 11 (of 12)."]
    assert text("T", (every, 1)) == ["T: wrong only in axis 1, slice 1 (of 3)."]
    assert text("T", (every, every, [0, 2])) == ["T: wrong only in axis 2, slices 0, 2 (of 4)."]
    assert text("T", (every, every, every)) == []
    assert text("v", every) == []


def test_a_part_that_is_not_finite():
    wrong = off("W", (slice(None), 1), np.nan)
    report = check_grad(f, THETA, wrong)
    assert "W: wrong only in column 1 (of 2), where yours is not finite." in told(report)


def test_what_is_near_a_pattern_is_none():
    """1e-6 of the largest entry, beside bounds far below it."""
    right = grad(THETA)
    for size, found in ((0.9e-6, 1), (1.6e-6, 0)):
        wrong = 3.0 * right["W"]
        wrong[1, 1] += size * np.abs(wrong).max()
        assert len(check_grad(f, THETA, {**right, "W": wrong}).findings) == found
    assert check_grad(f, THETA, {**right, "b": right["b"] + 0.1}).findings == []  # two entries only


def test_parameters_with_the_same_factor_are_named_together():
    right = grad(THETA)
    report = check_grad(f, THETA, {k: 3.0 * v for k, v in right.items()})
    assert [x["text"] for x in report.findings] == [
        "the whole gradient: yours is the right one times 3 (the rows of W)."
    ]
    two = {"W": 3.0 * np.cos(W), "b": 3.0 * np.exp(B)}
    report = check_grad(lambda p: f({**p, "s": 0.0}), {"W": W, "b": B}, two)
    assert report.findings[0]["text"].startswith("the whole gradient: yours")
    report = check_grad(lambda t: np.sum(np.sin(t)), W, 3.0 * np.cos(W))
    assert report.findings[0]["text"].startswith("theta: yours")
    some = {"W": 3.0 * right["W"], "b": 3.0 * right["b"], "s": right["s"]}
    assert "W, b: yours is the right one times 3" in told(check_grad(f, THETA, some))
    near = {"W": 3.0 * right["W"], "b": 3.0001 * right["b"], "s": right["s"]}
    report = check_grad(f, THETA, near)
    assert [x["parameters"] for x in report.findings] == [["W"], ["b"]]
    zero = {"W": 0 * right["W"], "b": 0 * right["b"], "s": 0 * right["s"]}
    assert [x["pattern"] for x in check_grad(f, THETA, zero).findings] == ["missing"]
    dead = {k: np.array([1.0, 2.0, 3.0]) for k in ("a", "b")}  # an entry that f does not use
    report = check_grad(
        lambda p: np.sum(p["a"][1:] ** 2 + p["b"][1:] ** 2),
        dead,
        {k: 3.0 * np.array([0.0, 4.0, 6.0]) for k in dead},
    )
    assert report.findings[0]["text"].startswith("the whole gradient: yours")
    bad = {**right, "W": np.ones((2, 3)), "s": 2.0 * right["s"]}  # what follows is looked at, too
    assert "s: yours is the right one times 2." in [
        x["text"] for x in check_grad(f, THETA, bad).findings
    ]
    alone = check_grad(f, THETA, {**right, "W": 3.0 * right["W"]})
    assert alone.findings[0]["text"].startswith("W: yours is the right one times 3")


# ---------------------------------------------------------------- entries that need a second look


@pytest.mark.parametrize("broken", [0, 70, 129])
def test_a_complex_step_that_is_broken_in_an_entry_with_a_small_slope(broken):
    """Too small for the look along directions: yours, which is right, gives it away."""
    theta = np.linspace(0.5, 1.5, 130)
    scale = np.where(np.arange(130) == broken, 1e-4, 1.0)
    value = lambda t: np.sum(scale * t**2) + 1e-8 * np.abs(t[broken])  # noqa: E731
    right = 2 * scale * theta + 1e-8 * (np.arange(130) == broken)
    report = check_grad(value, theta, right)
    assert report.verdict == "pass"
    assert report.method.startswith("central")
    assert f"disagrees with a difference at theta[{broken}]" in report.method_reason
    report = check_grad(value, theta, right, method="complex")
    assert report.verdict == "cannot tell"
    assert f"it disagrees with a difference at theta[{broken}]" in report.reasons[-1]
    whole = np.where(np.arange(130) == broken, right, 4 * right)  # behind many that are wrong
    assert check_grad(value, theta, whole).verdict == "fail"


def test_second_looks_go_on_while_kinks_turn_up():
    """Sixty-four at a time, the worst first; here the last of the first lot is no kink."""
    order = np.random.default_rng(0).permutation(140)
    lift = np.zeros(140)  # a t + b ReLU(t) at 0: the complex step says a, and yours a + b/2
    lift[order[63]], lift[order[64:]] = 1.0, 1.0
    step = np.where(lift > 0, 4 / 3, 1.0)
    step[order[63]] = 0.0
    value = lambda t: lift @ t + step @ (t * (t.real > 0))  # noqa: E731
    sample = a_sample(value, np.zeros(140), 0.0)
    yours = lift + step / 2
    yours[order[63]] = 2.0
    estimate = complex_entries(sample)
    assert broken_complex_step(sample, estimate, yours, settings()) == ""
    assert sorted(estimate.kinks) == sorted(np.delete(order, 63))
    alone = complex_entries(sample)
    yours = np.where(np.arange(140) == order[-1], yours, lift + 1e6)  # all wrong, and worse
    assert broken_complex_step(sample, alone, yours, settings()) == ""
    assert len(alone.kinks) > 64


def test_second_looks_stop_where_no_kink_turns_up():
    sample = a_sample(lambda t: t @ t, np.ones(140), 140.0)
    estimate, before = complex_entries(sample), sample.f.calls
    assert broken_complex_step(sample, estimate, 4.0 * np.ones(140), settings()) == ""
    assert sample.f.calls - before == 64 * 4


def test_a_jump_beside_theta():
    jumping = lambda t: np.sum(t**2) + 1.0 * (t[0].real > 1.0 + 1e-11)  # noqa: E731
    theta = np.array([1.0, 2.0])
    report = check_grad(jumping, theta, 2 * theta, method="central")
    assert report.verdict == "cannot tell"
    assert "at theta[0] the error bound is inf" in told(report)
    assert "f jumps there" in told(report)


def test_the_head_of_the_table():
    wrong = off("W", (0, 0), 2.0)
    for method, number in (("complex", "worst rel. error"), ("taylor", "order")):
        lines = str(check_grad(f, THETA, wrong, method=method)).splitlines()
        head = next(line for line in lines if line.split()[:1] == ["parameter"])
        assert number in head
        assert ("shape" in head) == (method == "complex")
        assert "kinks" not in head
        assert head.rstrip().endswith("verdict")
        rows = [line for line in lines if line.rstrip().endswith(("pass", "fail"))]
        assert len(rows) == 3
        assert "1 of " in str(rows)
    assert "wrong" not in str(check_grad(f, THETA, grad)).split("worst rel. error")[1][:30]


def test_a_parameter_along_which_no_difference_can_be_trusted():
    """sin(1e12 r) changes within the rounding of every step."""
    theta = {"a": np.array([1.0, 2.0]), "r": np.array([0.5])}
    rough = lambda p: np.sum(p["a"] ** 2) + 1e-12 * np.sum(np.sin(1e12 * p["r"]))  # noqa: E731
    right = {"a": 2 * theta["a"], "r": np.cos(1e12 * theta["r"])}
    report = check_grad(rough, theta, right)
    assert "The complex step could not be compared with a difference along r[0]." in report.warnings
    assert report.verdict != "fail"


# ---------------------------------------------------------------- patterns.py and diagnosis.py


def texts(change, shape=(3, 4)):
    """What is said of sum(sin(A)) when its gradient is changed like this."""
    a = np.random.default_rng(1).uniform(0.2, 1.2, shape)
    report = check_grad(lambda t: np.sum(np.sin(t)), a, change(np.cos(a)))
    assert report.verdict == "fail"
    return [x["text"].removeprefix("theta: yours ") for x in report.findings]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda g: np.flip(g, 0), "is the right one reversed along axis 0."),
        (lambda g: np.flip(g, 1), "is the right one reversed along axis 1."),
        (lambda g: np.roll(g, 1, 0), "is the right one shifted by 1 along axis 0."),
        (lambda g: np.roll(g, -1, 0), "is the right one shifted by -1 along axis 0."),
        (lambda g: np.roll(g, 1, 1), "is the right one shifted by 1 along axis 1."),
        (lambda g: np.roll(g, -1, 1), "is the right one shifted by -1 along axis 1."),
        (lambda g: 0 * g + g.mean(0), "is the mean of the right one over axis 0."),
        (lambda g: 0 * g + g.mean(1)[:, None], "is the mean of the right one over axis 1."),
        (lambda g: 0 * g + g.sum(0), "is the sum of the right one over axis 0."),
        (lambda g: 0 * g + g.sum(1)[:, None], "is the sum of the right one over axis 1."),
        (lambda g: g.T.reshape(g.shape), "is the transpose of the right one, reshaped: flattened"
         " in the wrong order."),
        (lambda g: np.clip(g, -0.5, 0.5), "is the right one clipped at 0.5."),
        (lambda g: 0.0 * g, "is all zero."),
        (lambda g: -g, "is the right one times -1 (the sign is wrong)."),
        (lambda g: g[None], "has the right numbers, and needs the shape (3, 4)."),
        (lambda g: g.ravel(), "has the right numbers, and needs the shape (3, 4)."),
        (lambda g: g.T, "is the transpose of the right one."),
        (lambda g: np.stack([g, 0 * g]), "must still be summed over axis 0."),
        (lambda g: np.stack([g / 4, 3 * g / 4], 1), "must still be summed over axis 1."),
        (lambda g: np.stack([g / 4, 3 * g / 4], 2), "must still be summed over axis 2."),
    ],
)  # fmt: skip
def test_each_pattern_by_its_sentence(change, text):
    assert texts(change) == [text]


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.ravel()[:-1],
        lambda g: 2.0 * g.T,
        lambda g: np.stack([g, g]),
        lambda g: np.flip(g, 0) + 0.1,
        lambda g: np.clip(g, -0.5, 0.5) + 1e-3 * g,
        lambda g: g * (1.0 + np.arange(12.0).reshape(3, 4)),
        lambda g: np.where(np.arange(12).reshape(3, 4) < 11, 0.01, g),
    ],
)
def test_what_is_no_pattern(change):
    assert texts(change) == []


def test_functions_of_theta_and_of_the_sign():
    t = np.array([0.5, -1.0, 2.0, -0.25, 1.5])
    value, right = (lambda t: np.sum(t**3)), 3 * t**2
    for change, text in (
        (right * t, "is the right one times theta, entry by entry"),
        (right / t, "is the right one times 1/theta, entry by entry"),
        (right * np.exp(t), "is the right one times exp(theta), entry by entry"),
        (right * np.exp(-t), "is the right one times exp(-theta), entry by entry"),
        (right * np.exp(t / 2), "is the right one times exp(theta/2), entry by entry"),
        (right * np.exp(-t / 2), "is the right one times exp(-theta/2), entry by entry"),
        (right + 0.1 * t, "differs from the right one by theta times 0.1"),
        (right - 0.1 * t, "differs from the right one by theta times -0.1"),
        (right + 0.5 * np.sign(t), "differs from the right one by sign(theta) times 0.5"),
        (right + 2.0, "differs from the right one by the constant 2"),
        (np.trunc(right), "is the right one cut to integers: an integer buffer"),
        (np.rint(right), "is the right one rounded to integers"),
    ):
        findings = check_grad(value, t, change).findings
        assert [x["text"] for x in findings] == [f"theta: yours {text}."]
    signed = check_grad(lambda t: np.sum(t**2), t, np.abs(2 * t)).findings
    assert signed[0]["text"] == "theta: yours is the absolute value of the right one."


def test_a_gradient_of_signs_is_not_a_clipped_one():
    t = np.array([0.5, -1.0, 2.0, -0.25, 1.5])
    report = check_grad(lambda t: np.sum(t**2), t, 0.1 * np.sign(t))
    assert (report.verdict, report.findings) == ("fail", [])


def test_the_gradient_of_another_parameter():
    theta = {
        "A": RNG.uniform(0, 1, (2, 3)),
        "B": RNG.uniform(0, 1, (2, 3)),
        "C": RNG.uniform(0, 1, (3, 2)),
    }
    value = lambda p: sum(np.sum(np.sin(v)) for v in p.values())  # noqa: E731
    g = {k: np.cos(v) for k, v in theta.items()}
    for change, text in (
        ({"A": g["B"]}, "A: yours is the gradient of B."),
        ({"A": g["C"].T}, "A: yours is the transposed gradient of C."),
        ({"A": g["A"] + g["B"]}, "A: yours is the right one plus the gradient of B."),
    ):
        assert [x["text"] for x in check_grad(value, theta, {**g, **change}).findings] == [text]


def test_one_number_is_named_only_where_its_factor_is_known():
    for ratio, text in (
        (2.0, "s: yours is the right one times 2."),
        (1.7, None),
        (0.0, "s: yours is all zero."),
    ):
        wrong = {**grad(THETA), "s": ratio * grad(THETA)["s"]}
        findings = [x["text"] for x in check_grad(f, THETA, wrong).findings]
        assert findings == ([text] if text else [])
    report = check_grad(
        lambda p: f(p) + 0.0 * p["z"], {**THETA, "z": 1.0}, {**grad(THETA), "z": 2.0}
    )
    assert report.verdict == "fail"
    assert report.findings == []


def test_lines_that_are_wrong_in_a_way_of_their_own():
    right = grad(THETA)
    for change, tail in (
        (np.array([1.0, 0.0]), ", where yours is zero and should not be."),
        (np.array([1.0, 2.0]), ", where it is the right one times 2."),
        (np.array([1.0, -1.0]), ", where it is the right one times -1 (the sign is wrong)."),
    ):
        report = check_grad(f, THETA, {**right, "W": right["W"] * change})
        assert report.findings[0]["text"] == f"W: wrong only in column 1 (of 2){tail}"
        assert (
            report.findings[0]["axis"],
            report.findings[0]["lines"],
            report.findings[0]["of"],
        ) == (1, [1], 2)
    value = lambda p: np.sum(p["W"][:, 0] ** 2) + 0.0 * np.sum(p["W"])  # noqa: E731
    silent = {"W": np.stack([2 * W[:, 0], np.ones(3)], 1)}
    text = check_grad(value, {"W": W}, silent).findings[0]["text"]
    assert text.endswith("(of 2), where the slope is zero and yours is not.")


def test_the_same_lines_in_several_parameters():
    theta = {
        "W": RNG.uniform(0, 1, (4, 5)),
        "b": RNG.uniform(0, 1, 5),
        "V": RNG.uniform(0, 1, (5, 3)),
    }
    value = lambda p: sum(np.sum(np.sin(v)) for v in p.values())  # noqa: E731
    wrong = {k: np.cos(v) for k, v in theta.items()}
    wrong["W"][:, [1, 3]] += RNG.uniform(1, 2, (4, 2))
    wrong["b"][[1, 3]] += RNG.uniform(1, 2, 2)
    wrong["V"][2] += RNG.uniform(1, 2, 3)
    said = [x["text"] for x in check_grad(value, theta, wrong).findings]
    assert said == [
        "W: wrong only in columns 1, 3 (of 5); the same ones as in b.",
        "b: wrong only in entries 1, 3 (of 5); the same ones as in W.",
        "V: wrong only in row 2 (of 5).",
    ]
    wrong["V"] = np.cos(theta["V"])
    wrong["V"][[1, 3]] = 0.0
    said = [x["text"] for x in check_grad(value, theta, wrong).findings]
    assert said[0].endswith("; the same ones as in b, V.")
    assert said[2] == (
        "V: wrong only in rows 1, 3 (of 5), where yours is zero and should not be: active units "
        "that count as inactive; the same ones as in W, b."
    )


def test_a_kink_is_no_part_of_a_pattern():
    theta = np.array([0.0, 1.0, 2.0, -1.5])
    value = lambda t: np.sum(np.abs(t)) + np.sum(t**2)  # noqa: E731
    wrong = 2.0 * (np.sign(theta) + 2 * theta)
    wrong[0] = 0.3
    report = check_grad(value, theta, wrong)
    assert report.findings[0]["text"] == "theta: yours is the right one times 2."
    assert report.kinks == ["theta[0]"]


# ---------------------------------------------------------------- probes.py


def test_an_f_too_rough_for_any_difference():
    """Nothing is left with which the complex step could be compared."""
    rough = lambda t: 1e-12 * np.sum(np.sin(1e12 * t))  # noqa: E731
    theta = np.array([0.5, 0.7, 0.9])
    report = check_grad(rough, theta, np.cos(1e12 * theta))
    assert report.verdict == "cannot tell"
    assert report.table == []


@pytest.mark.parametrize(
    ("rough", "words"),
    [(0.0, None), (1e-7, "It seems to compute in float32 somewhere."), (1e-3, ""), (3e-11, "")],
)
def test_how_noisy_f_is(rough, words):
    """Errors that depend on theta alone, so that two calls give the same."""

    def noisy(t):
        return np.sum(t**2) * (1.0 + rough * np.sin(1e9 * np.sum(t.real)))

    theta = np.array([1.0, 2.0])
    report = check_grad(noisy, theta, 2 * theta, method="central")
    found = [w for w in report.warnings if w.startswith("f is noisy: its values carry an error of")]
    assert len(found) == (words is not None)
    assert all(w.endswith(words or "relative.") for w in found)
    assert report.verdict == ("cannot tell" if rough > 1e-9 else "pass")


def test_another_value_for_complex_theta():
    theta = np.array([1.0, 2.0])
    for change, named in ((1e-13, False), (1e-11, True)):
        value = lambda t, c=change: np.sum(t**2) * (1 + c * np.iscomplexobj(t))  # noqa: E731
        report = check_grad(value, theta, 2 * theta)
        assert report.verdict == "pass"
        assert ("another value for complex theta" in told(report)) == named


def test_a_call_takes_as_long_as_the_fastest(monkeypatch):
    for clock in ((0, 9, 10, 12, 20, 25), (0, 2, 10, 19, 20, 30)):
        times = iter(clock)
        monkeypatch.setattr(slopes.time, "perf_counter", lambda times=times: next(times))
        evaluate = Evaluator(lambda t: np.sum(t), Point(np.ones(2)))
        for vector in (evaluate.real, evaluate.real, evaluate.complex):
            evaluate(vector)
        assert evaluate.seconds == {"f": 2, "c": clock[5] - clock[4]}


def test_f_at_the_start_and_at_the_end():
    for change, verdict in ((1e-15, "pass"), (1e-13, "cannot tell")):
        calls = []

        def drifting(t, calls=calls, change=change):
            calls.append(1)
            return np.sum(t**2) * (1 + change * (len(calls) > 1))

        assert check_grad(drifting, np.ones(2), 2 * np.ones(2)).verdict == verdict


def test_a_long_error_message_is_cut():
    def refusing(t):
        if np.iscomplexobj(t):
            raise TypeError("x" * 71 + "\nsecond line")
        return np.sum(t**2)

    reason = check_grad(refusing, np.ones(2), 2 * np.ones(2)).method_reason
    assert reason.endswith("(TypeError: " + "x" * 67 + "...)")

    def curt(t):
        if np.iscomplexobj(t):
            raise TypeError
        return np.sum(t**2)

    assert "(TypeError: no message)" in check_grad(curt, np.ones(2), 2 * np.ones(2)).method_reason


def test_f_with_a_value_that_is_not_finite_for_complex_theta():
    value = lambda t: np.sum(t**2) + (complex(np.nan, 1) if np.iscomplexobj(t) else 0)  # noqa: E731
    report = check_grad(value, np.ones(2), 2 * np.ones(2))
    assert report.verdict == "pass"
    assert "for complex theta, although f(theta) is finite" in report.method_reason


def said_of_the_worst(f, grad, theta, pattern):
    """The numbers that the report prints of the worst entry."""
    text = " ".join(str(check_grad(f, np.array(theta), grad, rtol=1e-6)).split())
    return map(float, re.search(r"yours (\S+), numeric (\S+) \(.*?\), " + pattern, text).groups())


@pytest.mark.parametrize("off", [0.5, 1e-5, 3e-9, 2e-11, 4e-14, 0.0])
@pytest.mark.parametrize("slope", [1.0, -12345.678, 2.5e-7])
def test_the_printed_values_give_the_printed_error(off, slope):
    yours, numeric, error = said_of_the_worst(
        lambda t: slope * t.sum(), lambda t: np.array([slope * (1 + off)]), [0.3],
        r"relative error (\S+?)(?: |$)",
    )  # fmt: skip
    larger = max(abs(yours), abs(numeric))
    assert error == pytest.approx(abs(yours - numeric) / larger, rel=0.08, abs=1e-15)


def test_an_error_near_zero_says_what_it_is_relative_to():
    yours, numeric, error, scale = said_of_the_worst(
        lambda t: t[0] + 1e-11 * t[1], lambda t: np.array([1.0, 1.1e-11]), [0.3, 0.4],
        r"relative error (\S+) of (\S+), since",
    )  # fmt: skip
    assert error == pytest.approx(abs(yours - numeric) / scale, rel=0.1)


# ---------------------------------------------------------------- what is said is true


def test_a_slope_of_zero_is_said_to_be_small_not_absent():
    t = np.array([0.0, 1.0])
    report = check_grad(lambda t: (t**2).sum(), t, 2 * t)  # a minimum along theta[0]
    assert report.warnings[0].startswith("The slope along theta[0] is below")
    far = lambda t: 1e300 * (t**2).sum()  # noqa: E731
    for method in ("complex", "central", "directional"):
        report = check_grad(far, np.array([1.0, 2.0]), np.array([2e300, 4e300]), method=method)
        assert report.verdict == "pass", report
        assert report.warnings == []


def test_nothing_is_below_infinity():
    for far in (1.0, np.inf):
        f = lambda t, far=far: (t**2).sum() + (far if t[0] > 1.0 else 0.0)  # noqa: E731
        report = check_grad(f, np.array([1.0, 2.0]), np.array([2.0, 4.0]), method="central")
        assert report.verdict == "cannot tell"
        assert "below inf" not in str(report)


def test_a_complex_step_that_underflows_is_not_called_broken():
    theta = np.array([0.4, 0.9])
    report = check_grad(lambda t: 1e-300 * (t**2).sum(), theta, 2e-300 * theta)
    assert report.verdict == "pass"
    assert "breaks it silently" not in told(report)
    assert "1e-30 times the slope is below the smallest number" in told(report)


@pytest.mark.parametrize("method", ["complex", "central"])
def test_theta_and_gradient_in_the_old_order(method):
    theta, words = np.array([0.4, 0.9, 1.3]), "theta comes second and grad third"
    cube = lambda t: (t**3).sum()  # noqa: E731
    assert words in told(check_grad(cube, 3 * theta**2, theta, method=method))
    assert words not in told(check_grad(cube, theta, theta, method=method))
    assert words not in told(check_grad(cube, theta, 2.9 * theta**2, method=method))
    assert words not in told(check_grad(np.sum, np.ones(3), 2.0 * np.ones(3), method=method))
    raises = lambda t: (t**3).sum() if abs(t[0] - 0.4) < 0.3 else 1 / 0  # noqa: E731
    report = check_grad(raises, theta, theta + 7.0, method=method)
    assert report.verdict == "fail"
    assert words not in told(report)
