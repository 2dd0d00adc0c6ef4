"""What the pattern of a wrong gradient says: named where the fit is exact, else only located."""

import numpy as np
import pytest
from differentiable import network
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.gradient_check import check_grad

N = 5
F, THETA, GRAD = network(np.random.default_rng(1), N)


def report_of(**changes):
    """The report on a gradient with some parameters changed: name -> function of the right one."""
    right = GRAD(THETA)
    wrong = {k: changes[k](v) if k in changes else v for k, v in right.items()}
    return check_grad(F, THETA, wrong, sizes={"N": N})


def patterns(report):
    return {(f["pattern"], *f["parameters"]) for f in report.findings}


def told(report):
    return " ".join(str(report).split())


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (2.0, "times 2."),
        (0.5, "times 1/2."),
        (-1.0, "times -1 (the sign is wrong)"),
        (N, "times 5 (N)"),
        (1 / N, "times 1/5 (1/N)"),
        (-N, "times -5 (-N)"),
        (2 / N, "times 0.4 (2/N)"),
        (1 / N**2, "times 1/25"),
        (6.0, "times 6 (the columns of W)"),
        (1 / 3, "times 1/3 (1/the columns of V)"),
        (1.2345, "times 1.2345"),
        (7.0, "times 7."),
    ],
)
@pytest.mark.parametrize("where", ["all", "W", "c"])
def test_a_constant_factor(factor, name, where):
    names = list(THETA) if where == "all" else [where]
    report = report_of(**{k: lambda g: factor * g for k in names})
    assert patterns(report) == {("factor", *names)}
    assert report.findings[0]["value"] == pytest.approx(factor)
    who = "the whole gradient" if where == "all" else where
    assert f"{who}: yours is the right one {name}" in told(report)


def test_several_factors_are_told_apart():
    report = report_of(
        W=lambda g: 2 * g, b=lambda g: g / N, c=lambda g: g / N, V=lambda g: np.zeros_like(g)
    )
    assert patterns(report) == {("factor", "W"), ("factor", "b", "c"), ("missing", "V")}


def test_a_factor_of_a_single_number_is_named_only_if_it_is_known():
    def check(ratio):
        theta = {"w": np.arange(1.0, 5.0), "s": np.array(0.7)}
        wrong = {"w": 2 * theta["w"], "s": ratio * np.exp(theta["s"])}
        return check_grad(lambda p: np.sum(p["w"] ** 2) + np.exp(p["s"]), theta, wrong)

    assert patterns(check(2.0)) == {("factor", "s")}
    assert patterns(check(0.25)) == {("factor", "s")}
    assert patterns(check(1.2345)) == set()


def square(rng):
    theta = {"A": rng.standard_normal((4, 4)), "B": rng.standard_normal((4, 4))}
    x = rng.standard_normal((3, 4))

    def f(p):
        return np.sum(np.tanh(x @ p["A"]) @ p["B"] * x)

    def grad(p):
        h = np.tanh(x @ p["A"])
        return {"A": x.T @ (x @ p["B"].T * (1 - h**2)), "B": h.T @ x}

    return f, theta, grad(theta)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda g: {**g, "A": g["A"].T}, {("transpose", "A")}),
        (
            lambda g: {"A": g["B"], "B": g["A"]},
            {("other parameter", "A"), ("other parameter", "B")},
        ),
        (lambda g: {**g, "B": g["A"] + g["B"]}, {("sum with other", "B")}),
        (lambda g: {**g, "A": g["A"][::-1]}, {("reversed", "A")}),
        (lambda g: {**g, "A": np.roll(g["A"], 1, 1)}, {("shifted", "A")}),
        (lambda g: {**g, "A": np.abs(g["A"])}, {("absolute value", "A")}),
        (lambda g: {**g, "A": np.clip(g["A"], -0.3, 0.3)}, {("clipped", "A")}),
        (lambda g: {**g, "A": np.trunc(g["A"])}, {("integer", "A")}),
        (lambda g: {**g, "A": np.rint(g["A"])}, {("integer", "A")}),
        (lambda g: {**g, "A": 0 * g["A"] + g["A"].mean(0)}, {("averaged", "A")}),
        (lambda g: {**g, "A": 0 * g["A"] + g["A"].sum(1, keepdims=True)}, {("summed", "A")}),
        (lambda g: {**g, "A": g["A"] + 0.25}, {("constant term", "A")}),
    ],
)
def test_patterns_of_a_matrix(change, pattern):
    f, theta, right = square(np.random.default_rng(2))
    assert check_grad(f, theta, right).verdict == "pass"
    report = check_grad(f, theta, change(right))
    assert report.verdict == "fail"
    assert patterns(report) == pattern


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda g, t: g + 0.01 * t, "theta term"),
        (lambda g, t: g - 0.1 * np.sign(t), "sign term"),
        (lambda g, t: g * t, "chain factor"),
        (lambda g, t: g * np.exp(t / 2), "chain factor"),
    ],
)
def test_patterns_with_theta(change, pattern):
    report = report_of(V=lambda g: change(g, THETA["V"]))
    assert patterns(report) == {(pattern, "V")}


def test_a_weight_decay_that_is_only_in_the_loss():
    def decayed(p):
        return F(p) + 0.05 * np.sum(p["V"] ** 2)

    report = check_grad(decayed, THETA, GRAD)
    assert "V: yours differs from the right one by theta times -0.1" in told(report)


def test_a_matrix_flattened_in_the_wrong_order():
    report = report_of(V=lambda g: g.T.reshape(g.shape))
    assert patterns(report) == {("flattened transpose", "V")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.T, "V: yours is the transpose of the right one"),
        (lambda g: g.reshape(9, 2), "V: yours has the right numbers, and needs the shape (6, 3)"),
        (lambda g: np.stack([g / 2, g / 2]), "V: yours must still be summed over axis 0"),
    ],
)
def test_patterns_of_a_wrong_shape(change, words):
    assert words in told(report_of(V=change))


def test_only_where_a_unit_is_inactive():
    """ReLU' left out: with one example, whole units are inactive, and only theirs is wrong."""
    f, theta, grad = network(np.random.default_rng(1), 1)
    report = check_grad(f, theta, grad(theta, relu=False))
    where = [x for x in report.findings if x["pattern"] == "only some"]
    assert {x["parameters"][0] for x in where} == {"W", "b"}
    inactive = np.flatnonzero(grad(theta)["b"] == 0)
    assert where[0]["lines"] == where[1]["lines"] == inactive.tolist()
    assert "where the slope is zero and yours is not: inactive units" in told(report)
    assert "the same ones as in b" in told(report)


def test_an_entry_that_f_ignores_is_no_unit():
    a = np.array([1.0, 2.0, 3.0, 0.0])
    theta = np.arange(1.0, 5.0)
    report = check_grad(lambda t: np.sum(a * t**2), theta, 2 * a * theta + (a == 0))
    assert "theta: wrong only in entry 3 (of 4), where the slope is zero and yours is not" in told(
        report
    )
    report_of_zero = check_grad(lambda t: np.sum(t**2), theta, 2 * theta * (a > 0))
    assert "theta: wrong only in entry 3 (of 4), where yours is zero" in told(report_of_zero)
    for text in (told(report), told(report_of_zero)):
        assert "unit" not in text
        assert "activ" not in text


def test_the_same_numbers_of_lines_of_other_lengths_are_no_unit():
    theta = {"a": np.arange(1.0, 4.0), "b": np.arange(1.0, 6.0)}
    wrong = {k: 2 * v + (np.arange(v.size) == 1) for k, v in theta.items()}
    report = check_grad(lambda p: np.sum(p["a"] ** 2) + np.sum(p["b"] ** 2), theta, wrong)
    assert "a: wrong only in entry 1 (of 3)" in told(report)
    assert "the same ones" not in told(report)


def test_where_yours_is_zero_and_should_not_be():
    report = report_of(W=lambda g: g * (np.arange(6) != 1), b=lambda g: g * (np.arange(6) != 1))
    assert "W: wrong only in column 1 (of 6), where yours is zero" in told(report)
    assert "b: wrong only in entry 1 (of 6), where yours is zero" in told(report)
    assert "active units that count as inactive; the same ones as in W" in told(report)


def test_where_a_part_has_a_factor():
    report = report_of(V=lambda g: g * np.array([1.0, 1.0, 2.0]))
    assert "V: wrong only in column 2 (of 3), where it is the right one times 2" in told(report)


def test_where_not_what():
    """Noise fits no pattern: nothing is claimed."""
    noise = np.random.default_rng(0)
    report = report_of(V=lambda g: g + noise.standard_normal(g.shape))
    assert report.verdict == "fail"
    assert report.findings == []
    rows = {row["parameter"]: row["verdict"] for row in report.table}
    assert rows == {"W": "pass", "b": "pass", "V": "fail", "c": "pass"}


@given(st.integers(0, 1000), st.floats(1e-5, 1e-2))
def test_a_near_fit_is_not_a_fit(seed, size):
    """A factor 2 with an error beyond 1e-6 is no factor 2."""
    noise = np.random.default_rng(seed).standard_normal((6, 3))
    report = report_of(V=lambda g: 2 * g * (1 + size * np.sign(noise) * (1 + np.abs(noise))))
    assert report.verdict == "fail"
    assert "factor" not in {f["pattern"] for f in report.findings}


def test_patterns_without_the_complex_step():
    """Differences are accurate enough to name a factor."""
    right = GRAD(THETA)
    wrong = {**right, "W": 2 * right["W"], "V": right["V"].T.reshape(6, 3)}
    report = check_grad(F, THETA, wrong, method="central")
    assert patterns(report) == {("factor", "W"), ("flattened transpose", "V")}


def test_findings_name_a_flat_theta_by_its_layout():
    flat = np.concatenate([v.ravel() for v in THETA.values()])
    names = {k: v.shape for k, v in THETA.items()}

    def unflatten(t):
        parts = np.split(t, np.cumsum([v.size for v in THETA.values()])[:-1])
        return {k: p.reshape(names[k]) for k, p in zip(names, parts, strict=True)}

    wrong = np.concatenate([(-v if k == "b" else v).ravel() for k, v in GRAD(THETA).items()])
    report = check_grad(lambda t: F(unflatten(t)), flat, wrong, names=names)
    assert patterns(report) == {("factor", "b")}


# ---------------------------------------------------------------- tiny units, masks, what is unsure


@pytest.mark.parametrize(("unit", "power"), [(1e-300, 2), (1e-170, 3), (1e300, 2)])
def test_a_factor_in_units_whose_squares_are_not_numbers(unit, power):
    theta = np.array([0.4, 0.9])
    wrong = 2.0 * (unit * power * theta ** (power - 1))
    report = check_grad(lambda t: unit * (t**power).sum(), theta, wrong)
    assert report.findings[0]["text"] == "theta: yours is the right one times 2."


def test_a_forgotten_mask_is_no_sum():
    relu = lambda t: (t * (t.real > 0)).sum()  # noqa: E731
    report = check_grad(relu, np.array([0.5, -2.0, -3.0]), np.ones(3))
    assert [f["pattern"] for f in report.findings] == ["only some"]
    a = np.array([[0.0, 3.0, 0.0], [0.5, 0.0, 0.0]])  # the largest of each row, as in max-pooling
    pooled = check_grad(
        lambda t: (a * t**2).sum(), np.ones((2, 3)), 2 * np.array([[3.0], [0.5]]) + 0 * a
    )
    assert "sum" not in str(pooled)
    twice = np.array([2.0, 2.0, 0.0])
    assert "sum" not in str(check_grad(lambda t: (twice * t).sum(), np.ones(3), np.full(3, 4.0)))
    summed = np.array([1.0, 2.0, 0.0])
    report = check_grad(lambda t: (summed * t).sum(), np.ones(3), np.full(3, 3.0))
    assert report.findings[0]["pattern"] == "summed"


def test_entries_that_are_not_known_to_be_right_are_not_called_so():
    """b is wrong by a half in both entries; the steep W hides the first."""
    slopes = np.array([1e14, 8.0, 1e6])
    f = lambda t: (slopes * t).sum()  # noqa: E731
    report = check_grad(f, np.ones(3), slopes * np.array([1.0, 1.5, 1.5]))
    assert "wrong at least in entry 2 (of 3)" in told(report)
    report = check_grad(f, np.ones(3), slopes * np.array([1.0, 1.0, 1.5]))
    assert "wrong only in entry 2 (of 3)" in told(report)
    theta = {"W": np.array([0.4, 0.9, 1.2]), "b": np.array([0.7, 1.3])}
    g = lambda p: 1e11 * float((p["W"] ** 2).sum().real) + float((p["b"] ** 3).sum().real)  # noqa: E731
    report = check_grad(g, theta, {"W": 2e11 * theta["W"], "b": theta["b"]})
    assert [row["wrong"] for row in report.table] == [0, 2]
    assert "only" not in told(report)
