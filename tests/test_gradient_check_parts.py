"""The parts of the gradient checker by themselves: formulas, bounds, and what is said."""

import math

import numpy as np
import pytest

from numpyvae.gradient_check import (
    central_difference,
    check_grad,
    check_vjp,
    complex_step,
    directional_derivative,
    forward_difference,
    richardson_difference,
    taylor_test,
)
from numpyvae.gradient_check.comparison import CANNOT_TELL, FAIL, KINK, PASS, Comparison, Settings
from numpyvae.gradient_check.diagnosis import Names, equal, factor_of
from numpyvae.gradient_check.differences import EPS, random_direction
from numpyvae.gradient_check.estimates import central_entries, complex_entries, directional_slopes
from numpyvae.gradient_check.points import Point, as_scalar, changed, snapshot
from numpyvae.gradient_check.report import GradientReport
from numpyvae.gradient_check.sampling import Sample, _from_differences, _measured, repeats, sample_f
from numpyvae.gradient_check.slopes import (
    STEP,
    Estimate,
    Evaluator,
    Notes,
    bounded_slope,
    refined_slope,
)

SETTINGS = Settings("auto", 1e-6, 0.0, None, {})


def a_point(theta):
    return Point(theta if isinstance(theta, dict) else np.array(theta))


def a_sample(theta=(1.0, 2.0, 3.0), f=lambda t: np.sum(t**2), value=np.nan, noise=0.0):
    """What f is like at theta, as it were: nothing is measured."""
    point = a_point(theta)
    units = np.maximum(1.0, np.abs(point.vector))
    return Sample(Evaluator(f, point), value, EPS, noise, 0.0, units, np.random.default_rng(0))


def measured(theta, f, seed=0):
    """What is found of f at theta, and what is said of it."""
    notes = Notes([])
    evaluate = Evaluator(f, a_point(theta))
    return sample_f(evaluate, np.random.default_rng(seed), notes), notes


def grouped(monkeypatch, groups):
    monkeypatch.setattr(Point, "groups", lambda self: [np.array(g) for g in groups])


# ---------------------------------------------------------------- differences


@pytest.mark.parametrize(
    ("tool", "power", "offsets"),
    [
        (forward_difference, 1 / 2, (0.0, 1.0)),
        (central_difference, 1 / 3, (-1.0, 1.0)),
        (richardson_difference, 1 / 5, (-1.0, -0.5, 0.5, 1.0)),
    ],
)
@pytest.mark.parametrize("h", [None, 0.125])
def test_the_points_a_difference_looks_at(tool, power, offsets, h):
    """Each entry by itself, at multiples of h = eps^power max(1, |theta_i|), or of the h given."""
    theta, seen = np.array([0.25, -8.0]), []

    def f(t):
        seen.append(t - theta)
        return t @ t

    slopes = 2 * theta + (h or 0.0) * (tool is forward_difference)
    np.testing.assert_allclose(tool(f, theta, h), slopes, rtol=1e-6)
    steps = [EPS**power, 8.0 * EPS**power] if h is None else [h, h]
    expected = {(s * k, 0.0) for s in steps[:1] for k in offsets}
    expected |= {(0.0, s * k) for s in steps[1:] for k in offsets}
    expected = sorted(expected)
    assert len(set(map(tuple, seen))) == len(expected)
    np.testing.assert_allclose(sorted(map(tuple, seen)), expected, rtol=1e-9, atol=1e-15)


def test_the_steps_of_a_complex_step_and_of_a_direction():
    theta, v, seen = np.array([1.0, -2.0]), np.array([3.0, -4.0]), []

    def f(t):
        seen.append(t.copy())
        return np.sum(t**3)

    assert complex_step(f, theta, 1e-3)[1] == pytest.approx(12.0 - 1e-6, rel=1e-12)
    np.testing.assert_array_equal(np.imag(seen), [[1e-3, 0.0], [0.0, 1e-3]])
    seen.clear()
    complex_step(f, theta)  # by default 1e-30
    np.testing.assert_array_equal(np.imag(seen), [[1e-30, 0.0], [0.0, 1e-30]])
    seen.clear()
    assert directional_derivative(f, theta, v, h=1e-2) == pytest.approx(-39.0 + 0.0037, rel=1e-12)
    np.testing.assert_allclose(np.imag(seen), [0.01 * v])
    seen.clear()
    slope = directional_derivative(f, theta, v, "central", h=0.5)
    assert slope == pytest.approx(-39.0 - 0.25 * 37.0)
    np.testing.assert_allclose(seen, [theta + 0.5 * v, theta - 0.5 * v])
    seen.clear()
    directional_derivative(f, theta, v, "central")  # the largest entry moves by eps^(1/3)
    np.testing.assert_allclose(seen - theta, np.outer([1, -1], v / 4) * EPS ** (1 / 3), rtol=1e-9)
    assert directional_derivative(f, theta, 0.0 * v, "central") == 0.0


def test_every_number_of_a_taylor_test():
    """f = t^2 + 3 t at 1 along 2, with a slope that is off by 1 %."""
    h = 10.0 ** np.arange(-1.0, -8.5, -0.5)
    test = taylor_test(lambda t: t**2 + 3.0 * t, np.array(1.0), np.array(5.05), direction=2.0)
    np.testing.assert_allclose(test.steps, h)
    np.testing.assert_allclose(test.without_gradient, 10 * h + 4 * h**2, rtol=1e-7)
    np.testing.assert_allclose(test.with_gradient, np.abs(4 * h**2 - 0.1 * h), rtol=1e-6)
    assert test.usable.all()
    assert test.order == pytest.approx(1.0, abs=1e-3)
    down = taylor_test(lambda t: -(t**2) - 3.0 * t, np.array(1.0), np.array(-5.05), direction=2.0)
    np.testing.assert_array_equal(down.without_gradient, test.without_gradient)
    np.testing.assert_array_equal(down.with_gradient, test.with_gradient)
    right = taylor_test(lambda t: t**2 + 3.0 * t, np.array(1.0), np.array(5.0), direction=2.0)
    rounding = 8.0 * (2.0 * EPS * 4.0 + 4.0 * EPS * 10.0 * h + EPS * 5.0)
    np.testing.assert_array_equal(right.usable, right.with_gradient > 8.0 * rounding)
    assert 5 < right.usable.sum() < 15
    hidden = np.maximum(right.with_gradient, rounding) / (10.0 * h)
    assert right.resolution == pytest.approx(hidden.min())
    last = np.flatnonzero(right.usable)[-4:]
    order = np.polyfit(np.log(h[last]), np.log(right.with_gradient[last]), 1)[0]
    assert right.order == pytest.approx(order, rel=1e-12)
    assert right.order == pytest.approx(2.0, abs=1e-3)


def test_a_taylor_test_with_too_few_steps_or_none():
    f, theta, grad = (lambda t: np.sum(np.exp(t))), np.zeros(2), np.ones(2)
    assert np.isnan(taylor_test(f, theta, grad, steps=[1e-1, 1e-2]).order)
    assert taylor_test(f, theta, grad, steps=[1e-1, 1e-2, 1e-3]).order == pytest.approx(2, abs=0.1)
    assert np.isnan(taylor_test(lambda t: np.inf, theta, grad).order)
    noisy = taylor_test(f, theta, grad, noise=1e-5)
    assert noisy.usable.sum() < taylor_test(f, theta, grad).usable.sum()
    assert noisy.resolution > 1e-4
    assert taylor_test(f, theta, lambda t: np.exp(t)).order == pytest.approx(2, abs=0.1)


def test_a_random_direction_has_unit_length_and_no_preference():
    v = np.array([random_direction(4, seed) for seed in range(400)])
    np.testing.assert_allclose(np.sum(v**2, axis=1), 1.0)
    assert np.abs(v.mean(0)).max() < 0.1
    np.testing.assert_allclose((v**2).mean(0), 0.25, atol=0.04)
    assert random_direction(0, 0).size == 0


# ---------------------------------------------------------------- slopes and their bounds


def test_a_slope_by_richardson_and_every_term_of_its_bound():
    """phi = 2 + 3 t + 5 t^3 + 7 t^4: D(h) = 3 + 5 h^2, gap(h) = 14 h^3."""
    h = 2.0**-6
    slope = bounded_slope(lambda t: 2 + 3 * t + 5 * t**3 + 7 * t**4, 2.0, h, 0.0)
    assert slope.value == pytest.approx(3.0, rel=1e-14)
    assert slope.gap == pytest.approx(14 * (h / 2) ** 3)
    bend = 14 * abs((h / 2) ** 3 - h**3 / 2)
    assert slope.bound == pytest.approx(0.75 * 5 * h**2 / 3 + bend, rel=1e-6)
    assert (slope.kind, slope.h) == ("smooth", h)
    line = bounded_slope(lambda t: 2.0 + 3.0 * t, 2.0, h, 1e-6)
    assert line.bound == pytest.approx(3e-6 / h, rel=1e-6)
    assert bounded_slope(lambda t: 3.0 * t, 0.0, h, 0.0).bound == pytest.approx(
        24 * EPS / STEP, rel=0.1
    )


def test_a_slope_where_values_are_huge_knows_of_their_rounding():
    slope = bounded_slope(lambda t: 1e16 * t * t + t, 0.0, 1.0, 0.0)
    assert slope.bound > 1.0
    only_up = bounded_slope(lambda t: 1e16 * t * t * (t > 0) + t, 0.0, 1.0, 0.0)
    assert only_up.bound > 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [-1.0, -0.5, 0.5, 1.0])
def test_a_slope_of_what_is_not_finite(bad, where):
    slope = bounded_slope(lambda t: bad if t == where else t, 0.0, 1.0, 0.0)
    assert np.isnan(slope.value)
    assert slope.bound == np.inf


@pytest.mark.parametrize("scale", [1.0, 2.0**30])
def test_a_slope_with_a_kink_a_near_kink_and_a_jump(scale):
    def refined(phi):
        return refined_slope(lambda t: phi(t / scale), phi(0.0), scale, EPS, 0.0, 1e-9)

    kink = refined(lambda t: 3.0 * t if t > 0 else -t)
    assert kink.kind == "kink"
    assert np.array([kink.low, kink.high]) * scale == pytest.approx([-1.0, 3.0])
    assert kink.bound * scale == pytest.approx(4.0)
    assert kink.value * scale == pytest.approx(1.0)
    down = refined(lambda t: t - 2.0 * max(t - 1e-7, 0.0))
    assert down.kind == "near kink"
    near = refined(lambda t: 2.0 * max(t - 1e-7, 0.0) + t)
    assert near.kind == "near kink"
    assert near.value * scale == pytest.approx(1.0, abs=1e-6)
    assert near.low <= near.value <= near.high
    assert near.high - near.low == pytest.approx(2.0 * near.bound)
    jump = refined(lambda t: 1.0 + t if t > 0 else t)
    assert (jump.kind, jump.bound) == ("jump", np.inf)
    smooth = refined(lambda t: np.exp(100.0 * t))
    assert smooth.kind == "smooth"
    assert abs(smooth.value * scale - 100.0) <= smooth.bound * scale < 1e-4


def test_bounds_hold_and_are_not_wide():
    """Over functions, points and steps, the error lies below its bound; where it can, not far."""
    rng = np.random.default_rng(0)
    functions = ((np.sin, np.cos), (np.exp, np.exp), (np.tanh, lambda t: 1 - np.tanh(t) ** 2))
    ratios, widths = [], []
    for phi, slope in functions:
        for x in rng.uniform(-2, 2, 40):
            noise = 2.0 * EPS * max(abs(phi(x)), abs(x * slope(x)))
            got = bounded_slope(lambda t, phi=phi, x=x: phi(x + t), phi(x), STEP, noise)
            assert abs(got.value - slope(x)) <= got.bound
            widths.append(got.bound)
            ratios.append(abs(got.value - slope(x)) / got.bound)
    assert max(ratios) > 0.02
    assert np.mean(widths) < 1e-9


def test_one_step_that_is_good_enough_is_all():
    def steps(target, rtol, phi=np.exp):
        calls = []
        refined_slope(lambda t: calls.append(t) or phi(t), 1.0, 1.0, EPS, target, rtol)
        return sorted({abs(t) for t in calls}, reverse=True)

    first = [STEP, STEP / 2]
    assert steps(1e-6, 0.0) == first
    assert steps(0.0, 1e-6) == first
    assert steps(0.0, 1e-6, lambda t: 1.0 - t) == first
    assert steps(0.6e-9, 0.6e-9) == first  # the bound is 1.0e-9
    assert len(steps(0.9e-10, 0.0)) > 2
    assert len(steps(0.0, 0.9e-10)) > 2
    all_of_them = [STEP * 2.0**k for k in (6, 5, 4, 3, 0, -1, -4, -5, -8, -9, -12, -13)]
    assert steps(0.0, 0.0) == all_of_them
    halfway = steps(0.0, 1e-9, lambda t: np.exp(300.0 * t))
    assert first == [h for h in halfway if h in first]
    assert STEP * 2.0**-4 in halfway
    assert STEP * 2.0**-12 not in halfway


def test_the_bound_of_a_complex_step(monkeypatch):
    """A linear f has no rounding that theta could show: 8 eps for the entry, 8 eps for the rest."""
    a = np.array([1.0, -2.0, 2.0, 0.0])
    sample = a_sample([1.0, 2.0, 4.0, 1.0], lambda t: t @ a)
    grouped(monkeypatch, [range(4)])
    estimate = complex_entries(sample)
    np.testing.assert_array_equal(estimate.value, a)
    norm = np.sqrt(np.mean((a * sample.units) ** 2))
    np.testing.assert_allclose(estimate.bound, 8.0 * EPS * (np.abs(a) + norm / sample.units))
    np.testing.assert_array_equal(estimate.unit, [1.0, 2.0, 4.0, 1.0])
    bent = a_sample([3.0, 1.0], lambda t: np.sin(1e6 * t[0]) + t[1])
    grouped(monkeypatch, [[0], [1]])
    estimate = complex_entries(bent)
    moves = 4.0 * EPS * 3.0 * 1e12 * abs(np.sin(3e6))  # of the slope, as theta_0 is rounded
    assert estimate.bound[0] == pytest.approx(4.0 * moves, rel=0.1)
    assert estimate.bound[1] < 1e-14
    broken = a_sample(np.ones(2), lambda t: t[1] + (complex(np.nan, np.nan) if t[0].imag else 0.0))
    estimate = complex_entries(broken)
    assert estimate.bound[0] == np.inf
    assert estimate.value[1] == 1.0
    assert estimate.bound[1] < 1e-14


def test_the_bound_of_slopes_along_directions():
    a = np.array([1.0, -2.0, 3.0])
    sample = a_sample(np.ones(3), lambda t: t @ a)
    directions = [np.array(v, float) for v in ((1, 0, 0), (0, 2, 0), (1, 1, 1), (0, 0, 0))]
    by_complex = directional_slopes(sample, directions, True, SETTINGS)
    np.testing.assert_array_equal(by_complex.value, [1.0, -4.0, 2.0, 0.0])
    expected = 64.0 * EPS * np.abs(by_complex.value) + 8.0 * EPS * 4.0
    np.testing.assert_allclose(by_complex.bound, expected)
    by_differences = directional_slopes(sample, directions, False, SETTINGS)
    np.testing.assert_allclose(by_differences.value, [1.0, -4.0, 2.0, 0.0], atol=1e-10)
    assert np.all(np.abs(by_differences.value - by_complex.value) <= by_differences.bound)
    assert np.all(by_differences.bound < 1e-9)
    seen = []
    far = a_sample([2.0, 4.0], lambda t: seen.append(t.copy()) or np.sum(t), 6.0)
    directional_slopes(
        far, [np.array([3.0, 0.0])], False, SETTINGS
    )  # a first step of 2^-13 of the unit
    np.testing.assert_allclose(seen[0] - [2.0, 4.0], [2.0 * STEP, 0.0], rtol=1e-9)
    sharp = a_sample(np.ones(2), lambda t: np.sin(1e6 * t[0]) + t[1])
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for order in ([one, other], [other, one]):  # the first two show the rounding for all
        assert directional_slopes(sharp, order, True, SETTINGS).bound.min() > 1e-4
    nowhere = directional_slopes(
        a_sample(f=lambda t: complex(np.nan, np.nan)), directions, True, SETTINGS
    )
    assert np.all(nowhere.bound == np.inf)


def test_central_entries_look_twice_where_they_must():
    """A slope that is small but seen is refined, one that may be zero is left as it is."""
    calls = []

    def f(t):
        calls.append(1)
        return np.exp(t[0]) + 1e-6 * np.sin(t[1]) + 0.0 * t[2]

    sample = a_sample(np.ones(3), f, float(f(np.ones(3))), 1e-15)
    calls.clear()
    right = np.array([np.e, 1e-6 * np.cos(1.0), 0.0])
    estimate = central_entries(sample, right, SETTINGS)
    assert len(calls) > 12
    assert np.all(np.abs(estimate.value - right) <= estimate.bound)
    assert estimate.bound[1] < 2e-12
    assert estimate.bound[2] == pytest.approx(3e-15 / STEP)
    calls.clear()
    one = lambda t: calls.append(1) or np.exp(t[0]) + 0.0 * t[1]  # noqa: E731
    central_entries(a_sample(np.ones(3), one, np.e, 1e-15), np.zeros(3), SETTINGS)
    assert len(calls) == 12


# ---------------------------------------------------------------- noise and units


def test_noise_is_measured_on_both_sides_of_theta():
    """Where f is rough on one side only, the other one says how good its values are."""

    def rough_where(sign):
        return lambda t: t * t + 0.01 * (np.sin(1e9 * t) if sign * (t.real - 1.0) > 5e-4 else 0.0)

    for sign in (-1.0, 1.0):
        for seed in range(4):
            sample, _ = measured(1.0, rough_where(sign), seed)
            assert sample.noise < 1e-14
            assert sample.eps == EPS


@pytest.mark.parametrize("seed", range(20))
def test_noise_by_a_table_of_differences(seed):
    """The largest of three estimates by k-th differences, whose variance is (2k)!/(k!)^2 s^2."""
    rng = np.random.default_rng(seed)
    tables = rng.standard_normal((2, 7)) * 10.0 ** rng.uniform(-1, 1, (2, 7))
    tables[seed % 2] *= 10.0 ** (seed - 8)
    values = iter(tables.ravel())
    noise, slope = _from_differences(a_sample(f=lambda t: next(values)))
    estimates = [
        max(np.mean(np.diff(table, k) ** 2) / math.comb(2 * k, k) for k in (4, 5, 6))
        for table in tables
    ]
    assert noise == pytest.approx(min(estimates) ** 0.5, rel=1e-12)
    rises = np.abs(tables[:, 6] - tables[:, 0]) / (6.0 * 2.0**-20)
    assert slope == pytest.approx(rises.max(), rel=1e-12)


def test_where_the_table_lies():
    seen = []
    _from_differences(a_sample([2.0], lambda t: seen.append(t[0] / 2.0 - 1.0) or 0.0))
    near, far = np.sort(np.abs(seen[:7])), np.sort(np.abs(seen[7:]))
    assert np.sign(seen[0]) == -np.sign(seen[7])
    np.testing.assert_allclose(near, 2.0**-9 + np.arange(7) * 2.0**-20, rtol=1e-9)
    np.testing.assert_allclose(far, 2.0**-10 - np.arange(6, -1, -1) * 2.0**-20, rtol=1e-9)


def test_no_noise_can_be_measured_where_f_is_nowhere_finite_but_at_theta():
    sample, _ = measured([1.0, 2.0], lambda t: 5.0 if t[0] == 1.0 and t[1] == 2.0 else np.nan)
    assert sample.noise == 5.0 * EPS
    one_side = lambda t: t[0] ** 2 if t[0] > 0.999999 else np.nan  # noqa: E731  # is enough
    half, _ = measured([1.0], one_side)
    assert sample.noise < 1e-14
    assert half.slope == pytest.approx(2.0, rel=0.01)


def test_what_the_rounding_of_theta_does_to_f_is_noise():
    """1e6 (t - 1) at 1 is exact at every point of the table, but moves by 1e6 times 2 eps."""
    sample, _ = measured([1.0], lambda t: 1e6 * (t[0] - 1.0))
    assert sample.noise == pytest.approx(2e6 * EPS)
    assert sample.slope == pytest.approx(1e6)


def test_noise_at_a_theta_of_zeros():
    rough = lambda t: np.sum(t + 1.0) + 1e-7 * np.sin(1e9 * np.sum(t))  # noqa: E731
    sample, notes = measured([0.0, 0.0], rough)
    assert sample.noise > 1e-8
    assert "f is noisy" in notes.warnings[0]


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_noise_that_f_has_is_found(size):
    rng = np.random.default_rng(1)
    f = lambda t: size * (np.sum(t**2) + 1e-7 * rng.standard_normal())  # noqa: E731
    notes = Notes([])
    sample = _measured(a_sample(f=f, value=14.0 * size, noise=14.0 * size * EPS), notes)
    assert sample.noise / size == pytest.approx(3e-7, rel=0.9)
    assert sample.eps == pytest.approx(sample.noise / (3 * sample.value), rel=1.0)
    assert "f is noisy" in notes.warnings[0]


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_the_unit_of_a_parameter_is_that_of_its_entries_or_found(unit):
    def f(p):
        return np.sum(np.exp(p["a"] / unit)) + np.sum(np.sin(p["zero"] / unit + 1.0))

    theta = {"a": unit * np.array([1.0, -3.0, 0.0, 1e-5]), "zero": np.zeros(2)}
    sample, _ = measured(theta, f)
    np.testing.assert_allclose(sample.units[:4] / unit, [1.0, 3.0, 1.0, 1.0])
    assert np.all(sample.units[4:] == sample.units[4])
    assert 1e-3 < sample.units[4] / unit < 1e3
    assert sample.noise < 1e-14


@pytest.mark.parametrize(("size", "factor"), [(1e-2, 1), (1e-5, 2**8), (3e-8, 2**16), (1e-14, 1)])
def test_small_weights_take_larger_steps(size, factor):
    """As far as 2^16 times larger; where that is not far enough, none of them helps."""
    theta, f = np.array([size, -size, 1.5 * size]), lambda t: 1.0 + np.sum(np.sin(t))
    sample, _ = measured(theta, f)
    np.testing.assert_allclose(sample.units, np.array([1.0, 1.0, 1.5]) * size * factor)


# ---------------------------------------------------------------- the comparison


def compared(yours, numeric, bound, kinks=(), rtol=1e-6, atol=0.0, unit=None):
    unit = None if unit is None else np.array(unit)
    estimate = Estimate(np.array(numeric), np.array(bound, float), unit)
    estimate.kinks.update(dict(kinks))
    settings = Settings("auto", rtol, atol, None, {})
    return Comparison(np.array(yours, float), estimate, settings)


def test_the_status_of_every_kind_of_entry():
    rows = [  # yours, numeric, bound, status; the largest is 1, so that the floor is 2.2e-13
        (1.0, 1.0, 0.0, PASS),
        (1.0 + 9e-7, 1.0, 0.0, PASS),
        (1.0 + 1.1e-6, 1.0, 0.0, FAIL),
        (-1.0 - 1.1e-6, -1.0, 0.0, FAIL),
        (1.0 + 2e-6, 1.0, 0.9e-6, FAIL),
        (1.0 + 1.8e-6, 1.0, 0.9e-6, PASS),
        (1.0 + 1.8e-6, 1.0, 1.1e-6, CANNOT_TELL),
        (1.5, 1.0, np.inf, CANNOT_TELL),
        (np.nan, 1.0, np.inf, FAIL),
        (np.inf, 1.0, 0.0, FAIL),
        (1.0, np.nan, np.inf, CANNOT_TELL),
        (0.0, 0.0, 0.0, PASS),
        (2.1e-13, 0.0, 0.0, PASS),
        (2.3e-13, 0.0, 0.0, FAIL),
        (0.0, 1e-10, 0.9e-9, PASS),
        (0.0, 1e-10, 1.1e-9, CANNOT_TELL),
    ]
    yours, numeric, bound, status = map(list, zip(*rows, strict=True))
    assert compared(yours, numeric, bound).status.tolist() == status


def test_atol_counts_but_never_more_than_its_share():
    assert compared([1.0, 9e-4], [1.0, 0.0], [0, 0], atol=1e-3).status[1] == PASS
    assert compared([1.0, 1.1e-3], [1.0, 0.0], [0, 0], atol=1e-3).status[1] == FAIL
    assert compared([1e6, 1.1e-3], [1e6, 0.0], [0, 0], atol=1e-3).status[1] == FAIL
    assert compared([1e-6, 0.9e-9], [1e-6, 0.0], [0, 0], atol=1e-3).status[1] == PASS
    assert compared([1e-6, 1.1e-9], [1e-6, 0.0], [0, 0], atol=1e-3).status[1] == FAIL


def test_the_largest_slope_is_a_known_one_and_taken_along_natural_steps():
    estimate = Estimate(
        np.array([2.0, -6.0, 100.0, np.nan, 1e9]),
        np.array([0.5, 0.0, 99.0, np.inf, np.inf]),
        np.array([1.0, 0.5, 1.0, 1.0, 1.0]),
    )
    np.testing.assert_allclose(estimate.largest(), [3.0, 6.0, 3.0, 3.0, 3.0])
    assert Estimate(np.zeros(2), np.ones(2)).largest().tolist() == [0.0, 0.0]


def test_relative_errors():
    """Relative to the larger of the two; near zero to the floor; zero against zero is no error."""
    comparison = compared(
        [2.0, 1.0, 0.0, 0.0, np.nan, 1e-13], [1.0, 2.0, 0.0, 1.0, 1.0, 0.0], [0.0] * 6
    )
    expected = [0.5, 0.5, 0.0, 1.0, np.inf, 1e-13 / (2e3 * EPS / 1e-6)]
    np.testing.assert_allclose(comparison.relative, expected, rtol=1e-5)
    nothing = compared([0.0, 3.0], [0.0, 0.0], [0.0, 0.0])
    np.testing.assert_array_equal(nothing.relative, [0.0, 1.0])
    exact = compared([0.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0] * 3, rtol=0.0)
    np.testing.assert_allclose(exact.relative, [0.0, 0.5, 1.0])


def test_kinks_leave_a_hundredth_of_their_width():
    def status(yours):
        return compared([yours, 1.0], [0.5, 1.0], [1.0, 0.0], [(0, (0.0, 1.0))]).status[0]

    inside, outside = (0.0, 0.5, 1.0, -0.009, 1.009), (-0.011, 1.011)
    assert [status(y) for y in inside] == [KINK] * 5
    assert [status(y) for y in outside] == [FAIL] * 2


def test_the_worst_entry_is_of_the_worst_status_and_finite_if_any_is():
    comparison = compared(
        [1.5, 2.0, np.nan, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0, 0.5], [0, 0, 0, np.inf, 1], [(4, (0, 1))]
    )
    everything = np.arange(5)
    assert comparison.worst(everything) == 1
    assert comparison.worst(np.array([0, 2])) == 0
    assert comparison.worst(np.array([2, 3])) == 2
    assert comparison.worst(np.array([3])) == 3
    assert comparison.worst(np.array([4])) is None
    assert comparison.verdict(everything) == "fail"
    assert comparison.verdict(np.array([3, 4])) == "cannot tell"
    assert comparison.verdict(np.array([4])) == "cannot tell"
    row = comparison.row("W", "5", everything)
    assert (row["entries"], row["wrong"], row["kinks"]) == (5, 3, 1)
    assert row["worst_relative_error"] == 0.5
    assert np.isnan(comparison.row("W", "1", np.array([4]))["worst_relative_error"])
    assert comparison.row("empty", "0", np.arange(0))["verdict"] == "pass"
    worst = comparison.describe(0, "W[0]").to_dict()
    assert worst["relative_error"] == pytest.approx(1 / 3)
    assert (worst["entry"], worst["yours"], worst["numeric"], worst["error"]) == (
        "W[0]",
        1.5,
        1,
        0.5,
    )
    assert worst["bound"] == 0.0
    assert worst["tolerance"] == pytest.approx(1e-6, rel=1e-5)


def test_groups_and_directions():
    def groups(theta):
        return a_point(theta).groups()

    assert [g.size for g in groups(np.ones(20))] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert [g.size for g in groups(np.ones(3))] == [1, 1, 1]
    three = a_point({"a": np.ones(2), "empty": np.ones(0), "b": np.ones((2, 2))})
    assert [g.tolist() for g in three.groups()] == [[0, 1], [2, 3, 4, 5]]
    assert len(groups({f"p{i}": np.ones(1) for i in range(64)})) == 64
    many = groups({f"p{i}": np.ones(2) for i in range(65)})
    assert len(many) == 64
    assert np.concatenate(many).tolist() == list(range(130))
    names = [three.name_of(np.array(i)) for i in ([3], [0, 1, 2, 3, 4, 5], [0, 1], [2, 3])]
    assert names == ["b[0, 1]", "a random direction", "a", "part of b"]
    assert a_point([1.0]).name_of(np.array([0])) == "theta[0]"
    sample = a_sample([1.0, -4.0, 9.0, 0.5])
    v = sample.direction()
    np.testing.assert_allclose(np.abs(v), np.array([1.0, 4.0, 9.0, 1.0]) / 2.0)
    part = sample.direction(np.array([1, 3]))
    np.testing.assert_allclose(np.abs(part), np.array([0.0, 4.0, 0.0, 1.0]) / np.sqrt(2.0))
    signs = np.array([sample.signs(50) for _ in range(40)])
    assert set(signs.ravel()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.1


# ---------------------------------------------------------------- calling


def test_a_repetition_is_relative_to_the_entry_and_to_the_largest():
    a = np.array([1.0, 1e-4, 0.0])
    assert repeats(a * (1 + 9e-7), a)
    assert not repeats(a * (1 + 1.1e-6), a)
    assert not repeats(a * [1, 1 + 2e-5, 1], a)
    assert repeats(a + 0.9e-9, a)
    assert not repeats(a + np.array([0, 0, 1.2e-9]), a)
    assert repeats(2 * a, a, 2.0)
    assert not repeats(a, a, 2.0)
    assert repeats(np.zeros(0), np.zeros(0))


class Box:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (np.ones(2), lambda v: v.__setitem__(0, 2.0)),
        ({"a": np.ones(2)}, lambda v: v["a"].__setitem__(1, 0.0)),
        ({"a": 1.0}, lambda v: v.update(b=2.0)),
        ({"a": 1.0, "b": 2.0}, lambda v: v.pop("b")),
        ({"a": 1.0, "b": 2.0}, lambda v: v.update(a=v.pop("a"))),
        ([1.0, [2.0, np.ones(1)]], lambda v: v[1][1].fill(3.0)),
        ([1.0, 2.0], lambda v: v.pop()),
        ([1.0, 2.0], lambda v: v.__setitem__(1, 3.0)),
        (["a"], lambda v: v.__setitem__(0, "b")),
        ([1 + 1j], lambda v: v.__setitem__(0, 1 - 1j)),
        (Box(np.ones(2)), lambda v: v.value.fill(0.0)),
        ((Box(1), 2), lambda v: setattr(v[0], "value", 2)),
        ([np.ones(2)], lambda v: v.__setitem__(0, None)),
        ([{"a": 1}], lambda v: v.__setitem__(0, 1)),
        ([(1, 2)], lambda v: v.__setitem__(0, 1)),
        (np.array(["a", "b"]), lambda v: v.__setitem__(0, "c")),
    ],
)
def test_a_change_in_place_is_seen(value, change):
    before = snapshot(value)
    assert not changed(before, value)
    change(value)
    assert changed(before, value)


def test_what_is_not_a_number_has_not_changed():
    for value in (np.nan, [np.nan], np.array([np.nan, 1.0]), np.array([complex(np.nan, 1)]), print):
        assert not changed(snapshot(value), value)


def test_a_module_or_a_function_is_kept_as_it_is():
    for value in (np, print, len, np.sum, Box, 3, "a", None):
        assert snapshot(value) is value
    pair = snapshot((np.ones(2), [Box(np.ones(1))]))
    assert isinstance(pair, tuple)
    assert isinstance(pair[1], list)
    assert pair[1][0]["value"].tolist() == [1.0]


def test_one_number_and_what_is_none():
    assert as_scalar(np.ones((1, 1))) == 1.0
    assert as_scalar(np.float32(0.5)) == 0.5
    assert as_scalar(np.array(True)) is True
    assert as_scalar(np.complex64(1j)) == 1j
    for bad, words in (
        ((1.0,), "a tuple"),
        ([1.0], "a list"),
        ({}, "a dict"),
        (None, "returned None"),
        (np.ones(2), r"shape \(2,\)"),
        ("a", "dtype <U1"),
    ):
        with pytest.raises(TypeError, match=words):
            as_scalar(bad)


# ---------------------------------------------------------------- names of factors


def test_equal_to_a_millionth_of_the_largest():
    y = np.array([1.0, -2.0, 1e-9])
    assert equal(y, y + 1.9e-6, 0.0)
    assert not equal(y, y + 2.1e-6, 0.0)
    assert equal(y, y - 3.9e-6, 1.0)
    assert not equal(y, y - 4.1e-6, 1.0)
    assert equal(y, y + 2.4e-6, 5e-7)
    assert not equal(y, y + 2.6e-6, 5e-7)
    assert not equal(np.zeros(3), np.zeros(3), 1.0)
    assert not equal(y, y * np.nan, 0.0)


def test_a_factor_needs_two_entries_and_to_differ_from_one():
    a = np.array([1.0, -2.0, 0.0])
    assert factor_of(3.0 * a, a, 0.0) == pytest.approx(3.0)
    assert factor_of(a, a, 0.0) is None
    assert factor_of((1 + 1e-6) * a, a, 0.0) is None
    assert factor_of((1 - 3e-6) * a, a, 0.0) == pytest.approx(1 - 3e-6)
    assert factor_of(3.0 * a, np.array([0.0, -2.0, 0.0]), 0.0) is None
    assert factor_of(a, np.array([1.0, 1e-4, 1e-4]), 0.0) is None
    assert factor_of(a, 0.0 * a, 0.0) is None
    off = np.array([10.0, 20.0 + 9e-5])  # 3.6e-5 beside 10 a, and 2e-5 are allowed anyway
    assert factor_of(off, np.array([1.0, 2.0]), 1e-6) is None
    assert factor_of(off, np.array([1.0, 2.0]), 2e-6) is not None


@pytest.mark.parametrize(
    ("factor", "shown"),
    [
        (7.0, "7 (N)"),
        (-7.0, "-7 (-N)"),
        (1 / 7, "1/7 (1/N)"),
        (-1 / 7, "-1/7 (-1/N)"),
        (14.0, "14 (2 N)"),
        (2 / 7, "0.28571429 (2/N)"),
        (3.5, "3.5 (N/2)"),
        (1 / 14, "1/14 (1/(2 N))"),
        (49.0, "49 (N^2)"),
        (1 / 49, "1/49 (1/N^2)"),
        (77.0, "77 ((N D))"),
        (3.0, "3 (the rows of W)"),
        (1 / 4, "1/4 (1/the columns of W)"),
        (13.0, "13 (the length of b)"),
        (17.0, "17 (the axis 2 of T)"),
        (2.0, "2"),
        (0.5, "1/2"),
        (-1.0, "-1 (the sign is wrong)"),
        (-2.0, "-2"),
        (-0.5, "-1/2"),
        (6.0, "6"),
        (1 / 6, "1/6"),
        (-1 / 6, "-1/6"),
        (0.3, "0.3"),
        (-5.3, "-5.3"),
        (7.0 * (1 + 0.9e-6), "7 (N)"),
        (7.0 * (1 + 1.1e-6), "7.0000077"),
    ],
)
def test_the_name_of_a_factor(factor, shown):
    theta = {"W": np.ones((3, 4)), "b": np.ones(13), "T": np.ones((3, 4, 17))}
    names = Names({"N": 7, "D": 11}, Point(theta).blocks)
    assert names.of(factor) == shown
    named = "(" in shown or shown.strip("-") in ("2", "1/2")
    assert bool(names.known(factor)) == named


def test_a_size_of_one_names_nothing():
    names = Names({"N": 1}, Point({"W": np.ones((1, 4))}).blocks)
    assert [names.of(x) for x in (2.0, 0.5, 1.0, -1.0)] == [
        "2",
        "1/2",
        "1",
        "-1 (the sign is wrong)",
    ]


def test_a_usual_factor_that_is_also_a_size():
    names = Names({"N": 2, "M": 4}, Point({"W": np.ones((2, 4))}).blocks)
    assert names.of(2.0) == "2, which is also N or M/2"
    assert names.of(4.0) == "4 (2 N or N^2 or M)"
    assert names.of(1.0) == "1"
    assert names.of(8.0) == "8 (2 M or (N M))"


# ---------------------------------------------------------------- the report


def test_the_lines_of_a_report():
    report = GradientReport()
    report.evaluations, report.reasons = 1, ["word " * 40]
    text = str(report)
    assert "no comparison, 1 evaluation of f" in text
    assert max(map(len, text.splitlines())) <= 96
    assert max(map(len, text.splitlines())) > 90
    assert "\n    word" in text
    report.evaluations = 2
    assert "2 evaluations of f" in str(report)
    report.kinks = [f"k{i}" for i in range(6)]
    assert "6 left out, where f has no derivative: k0, k1, k2, k3, k4, k5" in str(report)
    assert "..." not in str(report)
    report.kinks.append("k6")
    assert "7 left out, where f has no derivative: k0, k1, k2, k3, k4, k5, ..." in " ".join(
        str(report).split()
    )


def test_rows_of_a_report_that_are_shown():
    theta = {f"p{i}": np.full(1, 1.0 + i) for i in range(25)}
    f = lambda p: sum(np.sum(v * v) for v in p.values())  # noqa: E731
    right = {k: 2 * v for k, v in theta.items()}
    report = check_grad(f, theta, right)
    assert "1 more row" in str(report)
    assert "1 more rows" not in str(report)
    assert "p24" not in str(report)
    report = check_grad(f, theta, {**right, "p24": right["p24"] * 2})
    lines = [
        line.split()[0]
        for line in str(report).splitlines()
        if line.startswith("  p") and line[3].isdigit()
    ]
    assert lines == [f"p{i}" for i in [*range(23), 24]]
    directions = check_grad(f, theta, right, directions=6)
    shown = [line for line in str(directions).splitlines() if line.startswith("  direction ")]
    assert len(shown) == 4
    assert "2 more rows" in str(directions)


def test_a_report_without_numbers():
    report = check_grad(lambda t: np.nan, np.ones(2), np.ones(2))
    assert report.errors.size == report.error_bound.size == 0
    assert (report.worst.entry, report.kinks, report.table) == ("", [], [])
    for text in (str(report), report._repr_html_()):
        assert "worst" not in text
        assert "left out" not in text
        assert "reproduce" not in text
        assert "because" not in text
        assert "pattern" not in text
    assert "<table><caption>gradient check: CANNOT TELL (rtol 1e-06, atol 0)</caption></table>" in (
        report._repr_html_()
    )


def test_a_report_in_a_notebook_says_the_same():
    theta = {f"p{i}": np.full(1, 1.0 + i) for i in range(25)}
    wrong = {k: 4 * v for k, v in theta.items()}
    report = check_grad(lambda p: sum(np.sum(v * v) for v in p.values()), theta, wrong)
    html = report._repr_html_()
    assert "<p>1 more row</p>" in html
    assert html.count("<tr>") == 25
    assert html.count('<th scope="row">') == 24
    for label, text in (
        ("method", "complex step"),
        ("because", "f supports it"),
        ("worst", "p0[0]"),
    ):
        assert f"<strong>{label}:</strong> {text}" in html
    assert "<p>To reproduce:</p><pre><code>print(grad[&#x27;p0&#x27;][0]" in html
    assert html.startswith("<div><table>")
    assert html.endswith("</div>")
    few = check_grad(lambda t: np.sum(t * t), np.ones(2), 2 * np.ones(2))._repr_html_()
    assert "more row" not in few
    assert "reproduce" not in few


def test_none_stands_for_what_is_not_finite():
    plain = check_grad(lambda t: np.sum(t * t), np.ones(2), np.array([2.0, np.nan])).to_dict()
    assert plain["verdict"] == "fail"
    assert plain["worst"]["relative_error"] is None
    assert plain["table"][0]["worst_relative_error"] is None
    assert plain["table"][0]["wrong"] == 1
    assert plain["rtol"] == 1e-6


# ---------------------------------------------------------------- pairs and their arguments


def test_a_pair_is_named_in_its_report_as_it_was_called():
    report = check_vjp(lambda x: (3 * x, None), lambda dy, _: dy, np.ones(3), rng=7)
    assert report.reproduce == "print(check_vjp(f, f_backward, inputs, rng=7))"
    report = check_vjp(
        lambda x: (3 * x, None), lambda dy, _: dy, np.ones(3), rng=np.random.default_rng(1)
    )
    assert report.reproduce == "print(check_vjp(f, f_backward, inputs))"


def test_the_cotangent_is_random_in_every_entry():
    seen = []

    def backward(dy, _):
        seen.append(dy.copy())
        return 2.0 * dy

    for seed in range(30):
        check_vjp(lambda x: (2.0 * x, None), backward, np.ones(20), rng=seed, directions=1)
    drawn = np.unique(seen, axis=0)
    assert drawn.shape == (30, 20)
    assert abs(drawn.mean()) < 0.15
    assert drawn.std() == pytest.approx(1.0, abs=0.1)


# ---------------------------------------------------------------- points


def test_a_point_gives_back_the_form_it_came_in():
    theta = {"a": np.arange(6).reshape(2, 3), 5: 2.5, "none": np.ones((0, 2))}
    point = Point(theta)
    assert point.vector.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 2.5]
    again = point.structure(point.vector)
    assert list(again) == ["a", 5, "none"]
    assert [np.shape(v) for v in again.values()] == [(2, 3), (), (0, 2)]
    again["a"][1, 2] = 9.0
    assert point.vector[5] == 9.0
    assert [point.entry(i) for i in (0, 5, 6)] == ["a[0, 0]", "a[1, 2]", "5"]
    assert point.entry(7) == "theta[7]"
    assert point.notes == ["a is int64: it was converted to float64 for the check."]
    assert [b.name for b in point.blocks] == ["a", "5", "none"]
    assert Point({}).size == 0
    whole = Point(np.ones((2, 2), np.float32))
    assert whole.was_narrow
    assert whole.structure(whole.vector).shape == (2, 2)
    assert not Point(np.ones(2)).was_narrow
    assert Point(np.ones(2, int)).was_narrow
    given = np.ones(2)
    Point(given).vector[0] = 5.0
    assert given[0] == 1.0


def test_names_by_shapes_may_be_numbers_tuples_or_nothing():
    point = Point(np.arange(8.0), {"W": (2, 3), "n": 1, "s": ()})
    assert [(b.name, b.shape) for b in point.blocks] == [("W", (2, 3)), ("n", (1,)), ("s", ())]
    assert [point.entry(i) for i in (5, 6, 7)] == ["W[1, 2]", "n[0]", "s"]
    assert point.blocks[0].take(10 * point.vector).tolist() == [[0, 10, 20], [30, 40, 50]]
    assert point.blocks[1].indices.tolist() == [6]


def test_a_gradient_as_a_vector_and_what_is_wrong_with_it():
    point = Point({"a": np.ones((2, 2)), "b": np.ones(3)})
    full = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": [5, 6, 7]}
    vector, problems, misfits = point.flatten(full)
    assert vector.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert (problems, misfits) == ({}, {})
    vector, problems, misfits = point.flatten({"a": np.ones((2, 2)) + 0j, "b": np.ones((3, 1))})
    assert vector[:4].tolist() == [1, 1, 1, 1]
    assert np.isnan(vector[4:]).all()
    assert list(problems) == list(misfits) == ["b"]
    assert misfits["b"].shape == (3, 1)
    vector, problems, misfits = point.flatten({"a": np.ones((2, 2)), "c": 1.0, "b": None})
    assert problems == {
        "c": "there is a gradient for 'c', but theta has no such parameter",
        "b": "no gradient came for 'b'",
    }
    _, problems, _ = point.flatten({"a": [[1.0], [1.0, 2.0]], "b": np.ones(3) * 1j})
    assert problems["a"] == "the gradient of 'a' is not a regular array"
    assert problems["b"] == "the gradient of 'b' is complex (complex128)"
    for bad, shown in ((None, "None"), ("x", "'x'"), (np.ones(2), "an array of shape (2,)")):
        text = f"theta is a dict of 2 arrays, but the gradient is {shown}"
        assert point.flatten(bad)[1] == {"a": text, "b": text}
    assert Point(np.ones(2)).flatten(None)[1] == {"theta": "no gradient came for 'theta'"}
    named = Point(np.ones(2), {"a": 1, "b": 1})
    assert named.flatten({"a": [1.0]})[1] == {"b": "no gradient came for 'b'"}
