"""The numerical derivatives, the verdicts and the report: right passes, wrong fails."""

import io
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from differentiable import MAKERS, log_sum_exp, matrix_inverse, network, recurrent
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpyvae.gradient_check import (
    GradientReport,
    assert_grad_allclose,
    central_difference,
    check_grad,
    check_vjp,
    complex_step,
    directional_derivative,
    forward_difference,
    richardson_difference,
    slopes,
    taylor_test,
)

METHODS = ("complex", "central", "directional", "taylor")


def off_by(grad, factor, rng):
    """One parameter of a gradient times a factor."""
    if isinstance(grad, dict):
        name = list(grad)[rng.integers(len(grad))]
        return {**grad, name: factor * grad[name]}, name
    return factor * grad, "theta"


# ---------------------------------------------------------------- the plain tools


@pytest.mark.parametrize(
    ("tool", "digits"),
    [
        (forward_difference, 6),
        (central_difference, 8),
        (richardson_difference, 10),
        (complex_step, 13),
    ],
)
def test_each_tool_reaches_its_accuracy(tool, digits, rng):
    f, theta, grad = log_sum_exp(rng)
    error = np.max(np.abs(tool(f, theta) - grad(theta))) / np.max(np.abs(grad(theta)))
    assert error < 10.0**-digits


@pytest.mark.parametrize(
    ("tool", "order"),
    [(forward_difference, 1), (central_difference, 2), (richardson_difference, 4)],
)
def test_each_difference_has_its_order(tool, order):
    def error(h):
        return abs(tool(np.exp, np.array(0.5), h) - np.exp(0.5))

    assert np.log2(error(0.1) / error(0.05)) == pytest.approx(order, abs=0.1)


def test_tools_keep_the_form_of_theta(rng):
    f, theta, grad = recurrent(rng)
    for tool in (forward_difference, central_difference, richardson_difference, complex_step):
        got = tool(f, theta)
        assert list(got) == list(theta)
        for name, right in grad(theta).items():
            np.testing.assert_allclose(got[name], right, rtol=1e-4, atol=1e-6)
    assert complex_step(lambda t: t**3, 2.0) == pytest.approx(12.0, rel=1e-15)


def test_directional_derivative(rng):
    f, theta, grad = matrix_inverse(rng)
    v = rng.standard_normal(theta.shape)
    right = np.sum(grad(theta) * v)
    assert directional_derivative(f, theta, v) == pytest.approx(right, rel=1e-12)
    assert directional_derivative(f, theta, v, "central") == pytest.approx(right, rel=1e-8)
    with pytest.raises(ValueError, match="'complex' or 'central'"):
        directional_derivative(f, theta, v, "forward")
    with pytest.raises(ValueError, match="direction has 1 entries"):
        directional_derivative(f, theta, np.ones(1))


def test_taylor_order_is_two_for_a_right_gradient_and_one_for_a_wrong_one(rng):
    f, theta, grad = log_sum_exp(rng)
    assert taylor_test(f, theta, grad).order == pytest.approx(2.0, abs=0.1)
    assert taylor_test(f, theta, 1.01 * grad(theta)).order == pytest.approx(1.0, abs=0.1)
    linear = np.arange(3.0)
    assert taylor_test(lambda t: linear @ t, np.ones(3), linear).order == np.inf
    with pytest.raises(ValueError, match="shape"):
        taylor_test(f, theta, np.ones(99))


# ---------------------------------------------------------------- right and wrong gradients


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_right_gradients_raise_no_alarm(method):
    """Nine kinds of functions, 11 of each: nothing right may fail."""
    verdicts = []
    for seed in range(99):
        f, theta, grad = MAKERS[seed % len(MAKERS)](np.random.default_rng(seed))
        verdicts.append(check_grad(f, theta, grad, method=method).verdict)
    assert "fail" not in verdicts
    if method in ("auto", "complex", "directional"):
        assert set(verdicts) == {"pass"}
    else:  # with differences, rounding may hide the slopes of a function with a huge value
        assert verdicts.count("cannot tell") <= 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "complex", "central", "directional"])
def test_one_parameter_off_by_1e_5_is_caught(method):
    missed = []
    for seed in range(90):
        rng = np.random.default_rng(seed)
        f, theta, grad = MAKERS[seed % len(MAKERS)](rng)
        right = grad(theta)
        wrong, name = off_by(right, 1.0 + 1e-5, rng)
        if name == "c":  # a gradient of zero times anything is right
            continue
        report = check_grad(f, theta, wrong, method=method)
        if report.verdict != "fail":
            missed.append((seed, name))
        rows = {row["parameter"]: row["verdict"] for row in report.table}
        if isinstance(right, dict):
            assert [k for k, v in rows.items() if v == "fail" and k in right] == [name]
    assert missed == []


def test_taylor_catches_a_relative_error_of_1e_3():
    for seed in range(90):
        f, theta, grad = MAKERS[seed % 3](np.random.default_rng(seed))
        assert check_grad(f, theta, 1.001 * grad(theta), method="taylor").verdict == "fail"


@given(
    a=hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(-50, 50, allow_subnormal=False)),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e6]),
)
def test_any_smooth_function_anywhere(a, scale):
    def f(t):
        return scale * (np.sum(np.sin(t)) + 0.5 * np.sum(t * t) + np.prod(np.cos(t)))

    def grad(t):
        others = np.array([np.prod(np.cos(np.delete(t, i))) for i in range(t.size)])
        return scale * (np.cos(t) + t - np.sin(t) * others)

    assert check_grad(f, a, grad).verdict == "pass"
    assert check_grad(f, a, grad, method="central").verdict != "fail"
    assert check_grad(f, a, lambda t: (1.0 + 1e-5) * grad(t)).verdict == "fail"


@given(shape=hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), seed=st.integers(0, 99))
def test_theta_of_any_shape(shape, seed):
    theta = np.random.default_rng(seed).standard_normal(shape)
    report = check_grad(lambda t: np.sum(t**3), theta, lambda t: 3.0 * t**2)
    assert report.verdict == "pass"
    assert report.errors.shape == report.error_bound.shape == shape


@pytest.mark.parametrize("method", ["auto", "central", "directional"])
@pytest.mark.parametrize("smallest", 10.0 ** -np.arange(1.0, 12.0))
def test_an_ill_conditioned_function_is_not_an_alarm(method, smallest):
    """A nearly singular inverse: no gradient is good to 1e-6 any more, and none is blamed."""
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    theta = q @ np.diag([1.0, 1.0, 1.0, 1.0, smallest]) @ q.T

    def grad(t):
        return -np.linalg.solve(t.T, np.linalg.solve(t, np.ones((5, 5))).T)

    report = check_grad(lambda t: np.sum(np.linalg.inv(t)), theta, grad, method=method)
    assert report.verdict in (("pass",) if smallest > 0.05 else ("pass", "cannot tell"))
    assert smallest > 1e-8 or report.verdict == "cannot tell"


def test_a_point_where_the_gradient_vanishes_tells_nothing(rng):
    a, minimum = rng.standard_normal((4, 4)), rng.standard_normal(4)
    f, grad = (lambda t: np.sum((a @ (t - minimum)) ** 2)), (lambda t: 2 * a.T @ a @ (t - minimum))
    report = check_grad(f, minimum, grad)
    assert report.verdict == "cannot tell"
    assert "Choose a generic one" in str(report)


# ---------------------------------------------------------------- methods


def test_auto_takes_the_complex_step_and_says_so(rng):
    f, theta, grad = log_sum_exp(rng)
    report = check_grad(f, theta, grad)
    assert report.method == "complex step"
    assert "most accurate" in report.method_reason
    assert report.worst < 1e-12


def test_auto_falls_back_to_differences_and_says_why(rng):
    a = rng.standard_normal((4, 3))
    report = check_grad(
        lambda t: np.linalg.norm(a @ t),
        rng.standard_normal(3),
        lambda t: a.T @ (a @ t) / np.linalg.norm(a @ t),
    )
    assert report.verdict == "pass"
    assert "central" in report.method
    assert "real number for complex theta" in report.method_reason


def test_auto_turns_to_directions_where_every_entry_would_take_too_long(rng, monkeypatch):
    from numpyvae.gradient_check import checks

    monkeypatch.setattr(checks, "BUDGET", 0.0)
    f, theta, grad = log_sum_exp(rng)
    report = check_grad(f, theta, grad)
    assert report.method == "directional, complex"
    assert report.errors.shape == (20,)
    assert "entry by entry would take" in report.method_reason


def test_the_cost_of_directions_does_not_grow_with_theta():
    def evaluations(size):
        f, grad = (lambda t: np.sum(np.sin(t))), np.cos
        return check_grad(f, np.linspace(0, 1, size), grad, directions=5).evaluations

    assert evaluations(60_000) == evaluations(120_000) < 100


def test_directions_name_the_parameter_and_the_entry():
    f, theta, grad = network(np.random.default_rng(4))
    wrong = grad(theta)
    wrong["V"][1, 2] *= 1.1
    report = check_grad(f, theta, wrong, directions=6)
    assert report.verdict == "fail"
    assert report.worst.entry == "V[1, 2]"
    assert report.worst.yours == pytest.approx(1.1 * report.worst.numeric)
    rows = {row["parameter"]: row["verdict"] for row in report.table}
    assert [rows[k] for k in ("W", "b", "V", "c")] == ["pass", "pass", "fail", "pass"]


@pytest.mark.parametrize("method", ["central", "directional"])
def test_directions_and_entries_work_without_the_complex_step(method, rng):
    a = rng.standard_normal((5, 3))
    f, grad = (lambda t: np.sum(np.abs(a @ t) ** 3)), (lambda t: a.T @ (3 * (a @ t) * abs(a @ t)))
    theta = rng.standard_normal(3)
    assert check_grad(f, theta, grad, method=method).verdict == "pass"
    assert check_grad(f, theta, lambda t: 1.001 * grad(t), method=method).verdict == "fail"


def test_explicit_complex_does_not_silently_become_something_else(rng):
    report = check_grad(lambda t: np.sum(np.abs(t)), np.ones(3), np.ones(3), method="complex")
    assert report.verdict == "cannot tell"
    assert "complex step cannot be used" in str(report)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"rtol": np.nan}, "rtol must be a finite number, at least 0, not nan"),
        ({"rtol": np.inf}, "rtol must be"),
        ({"rtol": -1.0}, "rtol must be"),
        ({"rtol": "1e-6"}, "rtol must be"),
        ({"atol": np.nan}, "atol must be"),
        ({"atol": np.inf}, "atol must be"),
        ({"atol": -1e-9}, "atol must be"),
        ({"directions": 2.5}, "directions must be at least 1, and an integer, not 2.5"),
        ({"directions": True}, "directions must be"),
        ({"directions": -3}, "directions must be"),
        ({"method": "magic"}, "method must be one of"),
    ],
)
def test_options_with_which_no_verdict_could_be_trusted(option, words):
    pair = (lambda x: (2 * x, None)), (lambda dy, _: 2 * dy)
    for check in (
        lambda: check_grad(lambda t: np.sum(t), np.ones(3), np.ones(3), **option),
        lambda: check_vjp(*pair, (np.ones(3),), **option),
    ):
        with pytest.raises(ValueError, match=words):
            check()


def test_options_of_numpy_types():
    f, theta = (lambda t: np.sum(t)), np.ones(3)
    options = {"rtol": np.float32(1e-5), "atol": 0, "directions": np.int64(2)}
    assert check_grad(f, theta, theta, **options).verdict == "pass"


def test_bad_calls():
    f, theta = (lambda t: np.sum(t)), np.ones(3)
    with pytest.raises(ValueError, match="method must be one of"):
        check_grad(f, theta, theta, method="magic")
    with pytest.raises(ValueError, match="directions must be at least 1"):
        check_grad(f, theta, theta, directions=0)
    with pytest.raises(TypeError, match="theta is complex"):
        check_grad(f, theta + 1j, theta)
    with pytest.raises(TypeError, match="array of numbers"):
        check_grad(f, ["a"], theta)
    with pytest.raises(TypeError, match="shape \\(3,\\)"):
        check_grad(lambda t: t, theta, theta)
    with pytest.raises(TypeError, match="tuple"):
        check_grad(lambda t: (np.sum(t), t), theta, theta)
    with pytest.raises(TypeError, match="None"):
        check_grad(lambda t: None, theta, theta)
    with pytest.raises(ValueError, match="names need a flat theta"):
        check_grad(f, np.ones((2, 2)), theta, names={"a": (4,)})
    with pytest.raises(ValueError, match="need 2 entries, but theta has 3"):
        check_grad(f, theta, theta, names={"a": (2,)})


# ---------------------------------------------------------------- names


class BackwardsLayout:
    """A layout whose parameters lie in the vector in another order than they are listed."""

    def views(self, theta):
        return {"last.b": theta[4:], "first.W": theta[:4].reshape(2, 2)}


@pytest.mark.parametrize(
    "names", [BackwardsLayout(), {"first.W": (2, 2), "last.b": (3,)}], ids=["layout", "shapes"]
)
def test_names_speak_of_parameters(names):
    theta = np.arange(1.0, 8.0)
    wrong = 2.0 * theta
    wrong[[2, 6]] += 1.0
    report = check_grad(lambda t: np.sum(t * t), theta, wrong, names=names)
    assert {row["parameter"]: row["wrong"] for row in report.table} == {"first.W": 1, "last.b": 1}
    assert report.worst.entry in ("first.W[1, 0]", "last.b[2]")
    assert "first.W" in str(report)
    assert report.errors.shape == (7,)


def test_names_that_leave_entries_out():
    class Partial:
        def views(self, theta):
            return {"a": theta[:2]}

    report = check_grad(lambda t: np.sum(t * t), np.ones(3), 2 * np.ones(3), names=Partial())
    assert [row["parameter"] for row in report.table] == ["a", "(unnamed)"]


# ---------------------------------------------------------------- theta is never touched


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_theta_stays_as_it_is(method):
    f, theta, grad = network(np.random.default_rng(0))
    before = {k: v.copy() for k, v in theta.items()}
    check_grad(f, theta, grad, method=method)
    for name, value in theta.items():
        np.testing.assert_array_equal(value, before[name])


def test_theta_stays_as_it_is_when_f_raises():
    theta = np.array([1.0, 2.0])

    def f(t):
        t[:] = 99.0
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        check_grad(f, theta, theta)
    with pytest.raises(OSError, match="gone"):
        central_difference(f, theta)
    np.testing.assert_array_equal(theta, [1.0, 2.0])


def test_theta_stays_as_it_is_when_f_raises_later():
    theta, calls = np.array([1.0, 2.0]), []

    def f(t):
        calls.append(1)
        if len(calls) > 4:
            raise ValueError("no more")
        return np.sum(t * t)

    assert check_grad(f, theta, 2 * theta).verdict == "cannot tell"
    np.testing.assert_array_equal(theta, [1.0, 2.0])


# ---------------------------------------------------------------- the report


def test_report_as_text_fits_and_is_aligned():
    f, theta, grad = network(np.random.default_rng(0))
    text = str(check_grad(f, theta, {**grad(theta), "W": np.zeros((4, 6))}))
    assert max(map(len, text.splitlines())) <= 100
    table = [line for line in text.splitlines() if line.startswith("  ") and "x" in line]
    assert len({line.find(" x ") for line in table if " x " in line}) == 1
    for word in ("gradient check: FAIL", "W", "yours is all zero", "to reproduce"):
        assert word in text


def test_report_in_a_notebook_is_escaped_and_accessible():
    report = check_grad(lambda p: np.sum(p["<b>"] ** 2), {"<b>": np.ones(2)}, {"<b>": np.ones(2)})
    html = report._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "<caption>" in html
    assert '<th scope="col">' in html
    assert '<th scope="row">' in html


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("factor", [1.0, 2.0, np.nan])
def test_report_as_a_dict_is_json(method, factor):
    f, theta, grad = network(np.random.default_rng(0))
    wrong = {**grad(theta), "c": factor * grad(theta)["c"]}
    report = check_grad(f, theta, wrong, method=method)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["verdict"] == report.verdict == ("pass" if factor == 1.0 else "fail")
    assert str(report)
    assert report._repr_html_()


def test_report_truth_value_and_worst_number(rng):
    f, theta, grad = log_sum_exp(rng)
    good, bad = check_grad(f, theta, grad), check_grad(f, theta, 2 * grad(theta))
    assert isinstance(good, GradientReport)
    assert good
    assert not bad
    assert good.worst < 1e-12
    assert bad.worst == pytest.approx(0.5)
    assert bad.worst.entry.startswith("theta[")
    assert repr(bad) == str(bad)


def test_the_line_to_reproduce_runs(capsys):
    f, theta, grad = network(np.random.default_rng(0))
    wrong = lambda p: {**grad(p), "V": -grad(p)["V"]}  # noqa: E731
    report = check_grad(f, theta, wrong)
    exec(report.reproduce, {"f": f, "theta": theta, "grad": wrong, "complex_step": complex_step})
    yours, numeric = map(float, capsys.readouterr().out.split())
    assert yours == pytest.approx(-numeric)
    assert yours == report.worst.yours


def test_a_long_table_is_cut_but_shows_what_is_wrong():
    theta = {f"p{i}": np.full(2, 1.0 + i) for i in range(60)}
    wrong = {k: 2 * v for k, v in theta.items()}
    wrong["p57"] = wrong["p57"] + 1.0
    text = str(check_grad(lambda p: sum(np.sum(v * v) for v in p.values()), theta, wrong))
    assert "p57" in text
    assert "36 more rows" in text


def test_assert_grad_allclose(rng):
    f, theta, grad = log_sum_exp(rng)
    assert assert_grad_allclose(f, theta, grad) is None
    with pytest.raises(AssertionError, match="gradient check: FAIL"):
        assert_grad_allclose(f, theta, lambda t: 2 * grad(t))
    with pytest.raises(AssertionError, match="gradient check: CANNOT TELL"):
        assert_grad_allclose(lambda t: 1.0, np.ones(2), np.zeros(2))
    assert_grad_allclose(f, theta, 1.01 * grad(theta), rtol=0.1)


def test_results_are_the_same_for_the_same_seed(rng):
    f, theta, grad = log_sum_exp(rng)
    one, two = (check_grad(f, theta, grad, directions=3, rng=5).to_dict() for _ in range(2))
    assert one == two
    assert one != check_grad(f, theta, grad, directions=3, rng=6).to_dict()


def test_it_imports_only_numpy_and_the_standard_library():
    code = (
        "import importlib.abc, sys, types\n"
        "package = types.ModuleType('numpyvae')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['numpyvae'] = package\n"
        "import numpyvae.gradient_check\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('matplotlib', 'scipy')\n"
        "       or m.startswith('numpyvae.') and not m.startswith('numpyvae.gradient_check')]\n"
        "assert not bad, bad\n"
    )
    import numpyvae

    subprocess.run([sys.executable, "-c", code, numpyvae.__path__[0]], check=True)


# ---------------------------------------------------------------- what is easily mistaken


F_OF_3, GRAD_OF_3, ONES = (lambda x: np.sum(x**2)), (lambda x: 2 * x), np.ones(3)


@pytest.mark.parametrize("tool", [check_grad, assert_grad_allclose])
def test_the_gradient_in_thetas_place(tool):
    """The order of scipy's check_grad, and of assert_grad_allclose until it was changed."""
    right = rf"write {tool.__name__}\(f, theta, grad\)"
    for grad in (GRAD_OF_3, ONES, None):
        with pytest.raises(TypeError, match="theta comes second, but got a function.*" + right):
            tool(F_OF_3, GRAD_OF_3, grad)
    with pytest.raises(TypeError, match="f comes first, a function, but got a ndarray: " + right):
        tool(ONES, F_OF_3, GRAD_OF_3)
    tool(F_OF_3, ONES, GRAD_OF_3)


def test_other_tools_with_arguments_in_another_order():
    with pytest.raises(TypeError, match=r"write check_vjp\(f, f_backward, inputs\)"):
        check_vjp(lambda x: (x, None), np.ones(2), lambda d, c: d)
    for tool in (central_difference, complex_step):
        with pytest.raises(TypeError, match=rf"f comes first.*write {tool.__name__}\(f, theta"):
            tool(ONES, F_OF_3)
    with pytest.raises(TypeError, match=r"theta comes second.*write taylor_test\(f, theta"):
        taylor_test(F_OF_3, GRAD_OF_3, ONES)


def test_a_list_or_a_tuple_of_arrays():
    w, b = np.ones((3, 2)), np.ones(2)
    value = lambda p: np.sum(p[0]) + np.sum(p[1])  # noqa: E731
    for theta in ((w, b), [w, b]):
        with pytest.raises(TypeError, match=r"one array or a dict of arrays, not a .* pass a dict"):
            check_grad(value, theta, theta)
    theta = {"W": w, "b": b}
    value = lambda p: np.sum(p["W"]) + np.sum(p["b"])  # noqa: E731
    for grad in ((w, b), [w, b], lambda p: (w, b), lambda p: (b, b)):
        report = check_grad(value, theta, grad)
        assert report.verdict == "fail"
        assert "pass a dict with the same names" in report.reasons[0]
    same = (np.arange(3.0), np.ones(3))  # of one shape: rows of an array
    double = lambda p: (2 * p[0], 2 * p[1])  # noqa: E731
    assert check_grad(lambda p: np.sum(p[0] ** 2) + np.sum(p[1] ** 2), same, double)
    numbers = check_grad(
        lambda t: t[0] ** 2 + t[1] ** 2, [1.0, 2.0], lambda t: (2 * t[0], 2 * t[1])
    )
    assert (numbers.verdict, numbers.warnings) == ("pass", [])


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("form", [lambda w: w, lambda w: {"W": w, "b": np.zeros(2)}])
def test_an_f_that_looks_at_a_global_copy_of_theta(method, form):
    """`f = lambda W: net.loss(X, y)` with a right gradient: nothing can be told."""
    net = {"W": np.random.default_rng(0).standard_normal((4, 3))}
    loss = lambda _: np.sum(np.tanh(net["W"]) ** 2)  # noqa: E731
    right = 2 * np.tanh(net["W"]) * (1 - np.tanh(net["W"]) ** 2)
    for grad in (form(right), lambda _: form(right)):
        report = check_grad(loss, form(net["W"]), grad, method=method)
        assert report.verdict == "cannot tell"
        assert "f uses its argument and not a global copy" in str(report).replace("\n    ", " ")


def test_an_f_that_is_constant_nearby_only_is_judged():
    """A dead unit has slope zero, and a gradient that is not is wrong."""
    f = lambda t: np.sum(np.where(t.real > 10.0, t, 0.0)) + 1.0  # noqa: E731
    theta = np.array([1.0, 2.0])
    assert check_grad(f, theta, np.ones(2), method="central").verdict == "fail"
    report = check_grad(f, theta, np.ones(2))
    assert report.reasons[0].startswith("f is flat around theta: this point tells nothing.")


def test_a_complex_call_is_timed_before_anything_relies_on_it(monkeypatch):
    """With complex arithmetic forty times slower, every entry takes 80 s, and not 2."""
    clock, theta = [0.0], np.linspace(0.1, 1.0, 200)
    monkeypatch.setattr(slopes.time, "perf_counter", lambda: clock[0])

    def f(t):
        clock[0] += 0.4 if np.iscomplexobj(t) else 0.01
        return np.sum(np.tanh(t))

    report = check_grad(f, theta, lambda t: 1 - np.tanh(t) ** 2)
    assert (report.verdict, report.method) == ("pass", "directional, complex")
    assert "entry by entry would take about 80 s" in report.method_reason
    assert clock[0] < 40.0


def test_a_long_check_says_how_far_it_is(monkeypatch, capsys):
    clock = itertools.count(step=4)
    monkeypatch.setattr(slopes.time, "monotonic", lambda: next(clock))
    check_grad(lambda t: np.sum(t**2), np.ones(9), 2 * np.ones(9))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "gradient check: 3 of 9 entries by complex step, 24 s to go"
    assert len(lines) == 3
    monkeypatch.setattr(slopes.time, "monotonic", lambda: 0.0)
    check_grad(lambda t: np.sum(t**2), np.ones(9), 2 * np.ones(9), method="central")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("how", ["closed", "missing", "a pipe that nobody reads", "a terminal"])
def test_a_long_check_goes_on_whatever_stderr_is(how, monkeypatch):
    class Stream(io.StringIO):
        def isatty(self):
            return how == "a terminal"

        def write(self, text):
            if how.startswith("a pipe"):
                raise BrokenPipeError
            return super().write(text)

    out, clock = Stream(), itertools.count(step=4)
    if how == "closed":
        out.close()
    monkeypatch.setattr(sys, "stderr", None if how == "missing" else out)
    monkeypatch.setattr(slopes.time, "monotonic", lambda: next(clock))
    assert check_grad(lambda t: np.sum(t**2), np.ones(9), 2 * np.ones(9)).verdict == "pass"
    if how == "a terminal":
        assert "\rgradient check: 1 of 9 entries by complex step, 32 s to go" in out.getvalue()
        assert out.getvalue().endswith(" \r")
