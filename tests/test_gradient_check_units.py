"""No verdict depends on the units of f, nor on the units of any parameter."""

import numpy as np
import pytest
from differentiable import log_sum_exp, network

from numpyvae.gradient_check import assert_grad_allclose, check_grad, check_vjp

METHODS = ("auto", "complex", "central", "directional", "taylor")
UNITS = 10.0 ** np.arange(-12.0, 13.0, 3.0)


def in_units(problem, c, units):
    """c f(units phi) at phi = theta / units, and its gradient; one unit for each parameter."""
    f, theta, grad = problem

    def up(p):
        return {k: units[k] * v for k, v in p.items()}

    def value(p):
        return c * f(up(p))

    def gradient(p):
        g = grad(up(p))
        return {k: c * units[k] * g[k] for k in g}

    return value, {k: v / units[k] for k, v in theta.items()}, gradient


def one_wrong(grad, name, factor=1.01):
    return lambda p: {k: v * (factor if k == name else 1.0) for k, v in grad(p).items()}


def tanh_network(rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    theta = {"W": rng.standard_normal((3, 4)), "b": rng.standard_normal(4)}
    theta |= {"V": rng.standard_normal((4, 2)), "c": rng.standard_normal(2)}

    def f(p):
        return np.mean((np.tanh(x @ p["W"] + p["b"]) @ p["V"] + p["c"] - y) ** 2)

    def grad(p):
        h = np.tanh(x @ p["W"] + p["b"])
        d = (h @ p["V"] + p["c"] - y) / 5
        da = d @ p["V"].T * (1 - h * h)
        return {"W": x.T @ da, "b": da.sum(0), "V": h.T @ d, "c": d.sum(0)}

    return f, theta, grad


# ---------------------------------------------------------------- one function in other units


@pytest.mark.parametrize("method", METHODS)
def test_a_function_in_units_of_1e_9(method):
    f, theta, grad = log_sum_exp(np.random.default_rng(0))
    small = lambda t: 1e-9 * f(t)  # noqa: E731
    right = 1e-9 * grad(theta)
    assert check_grad(small, theta, right, method=method).verdict == "pass"
    assert check_grad(small, theta, 1.01 * right, method=method).verdict == "fail"
    with pytest.raises(AssertionError, match="FAIL"):
        assert_grad_allclose(small, theta, 1.01 * right, method=method, atol=1e-9)


@pytest.mark.parametrize("method", ["complex", "central"])
@pytest.mark.parametrize("c", UNITS)
def test_slopes_of_1e6_and_1_and_1e_minus_3(method, c):
    a, theta = c * np.array([1e6, 1.0, 1e-3]), np.array([0.5, 0.6, 0.7])
    right = a * np.cos(theta)

    def verdict(grad):
        return check_grad(lambda t: np.sum(a * np.sin(t)), theta, grad, method=method).verdict

    assert verdict(right) == "pass"
    for i in range(3):
        assert verdict(right * (1.0 + 0.01 * (np.arange(3) == i))) == "fail"


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("maker", [tanh_network, network])
@pytest.mark.parametrize("zero", [(), ("b", "c")], ids=["generic", "biases at zero"])
def test_every_parameter_in_units_of_its_own(maker, zero, method):
    rng = np.random.default_rng(len(method))
    f, theta, grad = maker(rng)
    theta = {k: 0.0 * v if k in zero else v for k, v in theta.items()}
    for c in (1e-12, 1.0, 1e12):
        units = {k: 10.0 ** rng.uniform(-12, 12) for k in theta}
        value, point, right = in_units((f, theta, grad), c, units)
        assert check_grad(value, point, right, method=method).verdict == "pass"
        name = list(theta)[rng.integers(len(theta))]
        report = check_grad(value, point, one_wrong(right, name), method=method)
        assert report.verdict == "fail"
        if method in ("complex", "central"):
            rows = {row["parameter"]: row["verdict"] for row in report.table}
            assert rows == {k: "fail" if k == name else "pass" for k in rows}


def plain(report):
    """What must be the same in all units."""
    keys = ("parameter", "entries", "wrong", "kinks", "verdict")
    rows = [(*(row[k] for k in keys), round(row.get("order", 0.0), 9)) for row in report.table]
    patterns = [(f["pattern"], f["parameters"]) for f in report.findings]
    return report.verdict, rows, patterns, report.kinks, report.evaluations, report.worst.entry


def kinked(rng):
    """ReLUs of which some are at zero, and an entry that f does not use."""
    theta = {"a": np.array([0.0, 1.0, -1.0, 0.0, 2.0]), "b": rng.standard_normal(3)}

    def f(p):
        return np.sum(p["a"] * (p["a"].real > 0)) + np.sum(np.abs(p["b"][:2]) ** 3)

    def grad(p):
        b = p["b"] * (np.arange(3) < 2)
        return {"a": 1.0 * (p["a"] > 0), "b": 3.0 * b * np.abs(b)}

    return f, theta, grad


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("maker", [tanh_network, kinked])
@pytest.mark.parametrize("factor", [1.0, 1.001, 0.0])
def test_units_that_are_powers_of_two_change_no_bit_of_a_report(maker, method, factor):
    """Nothing is rounded when the exponent alone changes: every number is what it was, scaled."""
    problem = maker(np.random.default_rng(1))
    name = list(problem[1])[-1]

    def report(c, units):
        f, theta, grad = in_units(problem, c, units)
        return check_grad(f, theta, one_wrong(grad, name, factor), method=method)

    base = report(1.0, dict.fromkeys(problem[1], 1.0))
    for c, exponents in ((2.0**-40, (0, 0, 0, 0)), (2.0**40, (40, -40, 13, -27))):
        units = {k: 2.0**n for k, n in zip(problem[1], exponents, strict=False)}
        other = report(c, units)
        assert plain(other) == plain(base)
        assert float(other.worst) == float(base.worst) or np.isnan(base.worst)
        for key in ("errors", "error_bound", "numeric"):
            one, two = getattr(base, key), getattr(other, key)
            if isinstance(one, dict):
                for k in one:
                    np.testing.assert_array_equal(two[k], one[k] * c * units[k])


def dense(W, x):
    return np.tanh(x @ W), (W, x)


def dense_backward(dy, cache):
    W, x = cache
    da = dy * (1.0 - np.tanh(x @ W) ** 2)
    return x.T @ da, da @ W.T


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_inputs_of_a_pair_in_units_of_their_own(method):
    rng = np.random.default_rng(2)
    inputs = {"W": rng.standard_normal((3, 2)), "x": rng.standard_normal((4, 3))}
    for c, u, v in ((1e-12, 1.0, 1.0), (1e12, 1e-12, 1e12), (1e-3, 1e9, 1e-10)):

        def forward(W, x, c=c, u=u, v=v):
            y, cache = dense(u * W, v * x)
            return c * y, cache

        def backward(dy, cache, wrong=(1.0, 1.0), c=c, u=u, v=v):
            dW, dx = dense_backward(c * dy, cache)
            return wrong[0] * u * dW, wrong[1] * v * dx

        point = {"W": inputs["W"] / u, "x": inputs["x"] / v}
        assert check_vjp(forward, backward, point, method=method).verdict == "pass"
        for wrong in ((1.01, 1.0), (1.0, 1.01)):
            off = lambda dy, cache, w=wrong: backward(dy, cache, w)  # noqa: E731
            assert check_vjp(forward, off, point, method=method).verdict == "fail"


# ---------------------------------------------------------------- small slopes beside a steep one


def two_scales(c, float_only):
    """c W^2 + b^3 with slopes of 8 c and 3: f, theta, the right gradient."""

    def f(p):
        value = c * (p["W"] ** 2).sum() + (p["b"] ** 3).sum()
        return float(value.real) if float_only else value

    theta = {"W": np.array([1.0, 2.0]), "b": np.array([1.0])}
    return f, theta, {"W": 2.0 * c * theta["W"], "b": 3.0 * theta["b"] ** 2}


@pytest.mark.parametrize("float_only", [False, True])
@pytest.mark.parametrize("exponent", range(8, 15))
def test_an_error_in_a_small_slope_beside_a_steep_one(exponent, float_only):
    """A wrong one fails, or it is said that it cannot be told; 1e-13 of the steepest is the end."""
    f, theta, right = two_scales(10.0**exponent, float_only)
    assert check_grad(f, theta, right).verdict == "pass"
    report = check_grad(f, theta, {**right, "b": right["b"] / 3.0})
    if exponent <= 11:
        assert report.verdict == "fail"
    elif not float_only:
        assert report.verdict in ("fail", "cannot tell")
        assert report.verdict == "fail" or "yours is 1 and numeric 3, which may be" in str(report)
    elif report.verdict == "pass":  # no difference shows it, and the report says so
        assert exponent >= 12
        assert ": not resolved)" in str(report)
        assert "The slope along b is below" in str(report)


def test_a_difference_is_taken_with_more_steps_where_yours_differs_visibly():
    f = lambda t: 1e11 * t[0].real ** 2 + t[1].real ** 2  # noqa: E731
    report = check_grad(f, np.ones(2), np.array([2e11, 4.0]))
    assert report.verdict == "fail"
    assert report.error_bound[1] < 0.1
    assert check_grad(f, np.ones(2), np.array([2e11, 2.0])).verdict == "pass"


def test_a_bound_wider_than_the_slope_decides_nothing():
    """Yours is far above its own rounding, and f too coarse to see it."""
    f = lambda t: 1e6 * t[0].real + 3e-5 * t[1].real + 1e9  # noqa: E731
    report = check_grad(f, np.ones(2), np.array([1e6, 6e-5]))
    assert report.verdict == "cannot tell"
    assert abs(report.numeric[1]) <= report.error_bound[1] <= 1e-3
    assert "1 of 2 entries cannot be judged: at theta[1] yours is 6e-05 and numeric" in str(report)
    assert check_grad(f, np.ones(2), np.array([1e6, 1e-2])).verdict == "fail"
    assert check_grad(f, np.ones(2), np.array([1e6, 0.0])).verdict == "pass"


@pytest.mark.parametrize("method", ["complex", "central"])
@pytest.mark.parametrize("noise", [0.0, 1e-17, -3e-16])
def test_slopes_that_are_rounding_alone_still_pass(method, noise):
    """f cancels exactly along s, and yours is what rounding leaves of it."""
    f = lambda p: np.sum(p["t"] ** 3) + np.sum(np.exp(p["s"]) / np.exp(p["s"]))  # noqa: E731
    theta = {"t": np.array([0.3, 1.1, 0.7]), "s": np.array([0.1, 2.3])}
    mine = {"t": 3.0 * theta["t"] ** 2, "s": np.array([noise, 2.0 * noise])}
    report = check_grad(f, theta, mine, method=method)
    assert report.verdict == "pass", report
