"""Every trap of gradient checking is detected, and named."""

import sys

import numpy as np
import pytest

from numpyvae.gradient_check import (
    central_difference,
    check_grad,
    complex_step,
    forward_difference,
)

RNG = np.random.default_rng(3)
A = RNG.standard_normal((6, 4))
THETA = RNG.standard_normal(4) + 0.5


def f(t):
    return 0.5 * np.sum((A @ t) ** 2)


def grad(t):
    return A.T @ (A @ t)


def told(report):
    return " ".join(str(report).split())


# ---------------------------------------------------------------- f


def test_f_that_draws_noise():
    noise = np.random.default_rng(0)
    report = check_grad(lambda t: f(t + 1e-3 * noise.standard_normal(4)), THETA, grad)
    assert report.verdict == "cannot tell"
    assert "f is not deterministic" in told(report)
    assert "pass it in" in told(report)


def test_f_that_keeps_a_state():
    calls = []

    def counting(t):
        calls.append(1)
        return f(t) + (0.01 if len(calls) > 50 else 0.0)

    report = check_grad(counting, THETA, grad)
    assert report.verdict != "pass"
    assert "f keeps a state" in told(report)


def test_f_that_is_not_finite():
    for bad, value in ((lambda t: np.log(-1.0 - np.sum(t * t)), "nan"), (lambda t: np.inf, "inf")):
        report = check_grad(bad, THETA, grad)
        assert report.verdict == "cannot tell"
        assert f"f(theta) is {value}" in told(report)


def test_f_that_overflows_on_the_way():
    report = check_grad(lambda t: f(t) + 1.0 / (1.0 + np.exp(800.0 + 0 * t[0])), THETA, grad)
    assert "overflow encountered in exp" in told(report)


def test_f_that_is_not_finite_beside_theta():
    def edge(t):
        return np.sum(np.sqrt(np.real(t)))

    report = check_grad(edge, np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    assert report.verdict == "cannot tell"
    assert "not finite near theta" in told(report)


def test_f_that_raises_beside_theta():
    def edge(t):
        if np.min(np.real(t)) < 0:
            raise ValueError("negative")
        return float(np.sum(np.real(t) ** 1.5))

    report = check_grad(edge, np.array([0.0, 1.0]), np.array([0.0, 1.5]))
    assert report.verdict == "cannot tell"
    assert "f raised ValueError: negative near theta" in told(report)


def test_f_that_changes_theta():
    def sloppy(t):
        t -= 1.0
        return f(t)

    report = check_grad(sloppy, THETA, lambda t: grad(t - 1.0))
    assert report.verdict == "fail"
    assert "f changes theta in place" in told(report)
    assert report.table[0]["verdict"] == "pass"  # the gradient itself is right, and still judged


def test_f_that_jumps():
    report = check_grad(lambda t: f(t) + np.sum(np.real(t) >= THETA), THETA, grad)
    assert report.verdict == "cannot tell"
    assert "f jumps at theta" in told(report)


def test_f_that_ignores_its_argument():
    report = check_grad(lambda t: f(THETA), THETA, np.zeros(4))
    assert report.verdict == "cannot tell"
    assert "not a global copy" in told(report)


def test_a_parameter_on_which_f_does_not_depend():
    theta = {"used": THETA, "unused": np.ones(3)}
    right = {"used": grad(THETA), "unused": np.zeros(3)}
    report = check_grad(lambda p: f(p["used"]), theta, right)
    assert report.verdict == "pass"
    assert "The slope along unused is below" in told(report)
    wrong = {**right, "unused": np.array([0.0, 1.0, 0.0])}
    assert check_grad(lambda p: f(p["used"]), theta, wrong).verdict == "fail"


def test_an_entry_on_which_f_does_not_depend():
    report = check_grad(lambda t: f(t[:4]), np.append(THETA, 1.0), np.append(grad(THETA), 0.0))
    assert report.verdict == "pass"
    assert "The slope along theta[4] is below" in told(report)


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, bool])
def test_theta_of_another_dtype_is_converted_and_said(dtype):
    report = check_grad(f, np.array([1, 0, 1, 1]).astype(dtype), grad)
    assert report.verdict == "pass"
    assert f"theta is {np.dtype(dtype)}: it was converted to float64" in told(report)


def test_a_float32_gradient_of_a_float32_theta_cannot_be_judged_to_1e_6():
    narrow = THETA.astype(np.float32)
    report = check_grad(f, narrow, grad(narrow.astype(float)).astype(np.float32))
    assert report.verdict == "cannot tell"
    assert "pass it in float64" in told(report)
    assert check_grad(f, narrow, grad(narrow).astype(np.float32) * 1.01).verdict == "fail"


@pytest.mark.parametrize("method", ["auto", "central"])
def test_f_that_computes_in_float32(method):
    narrow = A.astype(np.float32)

    def shown(t):
        return np.float32(0.5) * np.sum((narrow @ t.real.astype(np.float32)) ** 2)

    report = check_grad(shown, THETA, grad, method=method)
    assert report.verdict == "cannot tell"
    assert "f computes in float32 although theta is float64" in told(report)
    report = check_grad(lambda t: float(shown(t)), THETA, grad, method=method)
    assert report.verdict == "cannot tell"
    assert "seems to compute in float32" in told(report)
    assert check_grad(shown, THETA, 1.01 * grad(THETA), method=method).verdict == "fail"


def test_f_that_computes_in_complex64():
    narrow = A.astype(np.float32)

    def single(t):
        return 0.5 * np.sum((narrow @ t.astype("F" if np.iscomplexobj(t) else "f")) ** 2)

    assert check_grad(single, THETA, grad).verdict == "cannot tell"


# ---------------------------------------------------------------- kinks


@pytest.mark.parametrize("method", ["auto", "central"])
def test_kinks_are_reported_counted_and_left_out(method):
    def bent(t):
        return np.sum(np.maximum(t, 0.0)) + np.sum(t**3)

    theta = np.array([0.0, 1.0, -1.0, 0.0])
    report = check_grad(bent, theta, (theta > 0) + 3 * theta**2, method=method)
    assert report.verdict == "pass"
    assert report.kinks == ["theta[0]", "theta[3]"]
    assert "2 left out" in told(report)
    assert report.table[0]["kinks"] == 2


@pytest.mark.parametrize("method", ["auto", "central"])
def test_what_lies_outside_the_one_sided_slopes_is_wrong_at_a_kink_too(method):
    theta = np.array([0.0, 1.0])
    report = check_grad(lambda t: np.sum(np.maximum(t, 0.0)), theta, [2.0, 1.0], method=method)
    assert report.verdict == "fail"
    assert "does not lie between its one-sided slopes" in told(report)


def relu(x):
    """An analytic ReLU: the complex step goes through it and sees one branch only."""
    return x * (x.real > 0)


@pytest.mark.parametrize("method", ["auto", "complex", "central"])
def test_a_kink_of_a_function_that_supports_the_complex_step(method):
    theta = np.array([1.0, -1.0, 0.0, 2.0])
    report = check_grad(lambda t: np.sum(relu(t)), theta, theta > 0.0, method=method)
    assert report.verdict == "pass"
    assert report.kinks == ["theta[2]"]
    assert report.table[0]["kinks"] == 1
    assert "1 left out" in told(report)
    assert "The slope along theta[1] is below" in told(report)
    assert ("complex" in report.method) == (method != "central")
    assert report.numeric[2] == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [-0.5, 1.5])
def test_outside_the_slopes_of_a_kink_that_supports_the_complex_step(wrong):
    theta = np.array([1.0, -1.0, 0.0])
    report = check_grad(lambda t: np.sum(relu(t)), theta, np.array([1.0, 0.0, wrong]))
    assert report.verdict == "fail"
    assert "does not lie between its one-sided slopes 0 and 1" in told(report)


def test_kinks_that_cancel_in_one_direction_and_kinks_among_many_entries():
    signs = np.where(np.arange(900) % 2, 1.0, -1.0)
    theta = np.sin(np.arange(900.0)) + 2.0
    where = [0, 1, 517, 898, 899]
    theta[where] = 0.0
    report = check_grad(
        lambda t: np.sum(signs * relu(t)) + np.sum(t**2), theta, signs * (theta > 0) + 2 * theta
    )
    assert report.verdict == "pass"
    assert report.kinks == [f"theta[{i}]" for i in where]
    assert "does not depend" not in told(report)
    assert report.evaluations < 3000


@pytest.mark.slow
def test_kinks_that_nearly_cancel_are_not_taken_for_a_broken_complex_step():
    theta = np.array([0.0, 0.0, 1.0] * 20)
    signs = np.array([-1.0, 1.0, 1.0] * 20)
    for seed in range(20):
        report = check_grad(
            lambda t: np.sum(signs * relu(t)) + np.sum(t**2),
            theta,
            signs * (theta > 0) + 2 * theta,
            rng=seed,
        )
        assert (report.verdict, report.method, len(report.kinks)) == ("pass", "complex step", 40)


def test_the_kinks_of_a_relu_network_with_zero_preactivations():
    x, weights = np.array([[0.0, 0.0], [1.0, 2.0]]), RNG.standard_normal((2, 3))

    def network(p):
        return np.sum(relu(x @ p["W"] + p["b"]) @ np.array([1.0, -2.0, 3.0]))

    def network_grad(p):
        d = (x @ p["W"] + p["b"] > 0) * np.array([1.0, -2.0, 3.0])
        return {"W": x.T @ d, "b": d.sum(0)}

    report = check_grad(network, {"W": weights, "b": np.zeros(3)}, network_grad)
    assert report.kinks == ["b[0]", "b[1]", "b[2]"]
    assert report.verdict == "pass"
    assert {row["parameter"]: row["kinks"] for row in report.table} == {"W": 0, "b": 3}


def test_a_kink_beside_theta_does_not_disturb_the_complex_step():
    theta = np.array([1e-6, 1.0])
    report = check_grad(lambda t: np.sum(relu(t)) + t[1] ** 2, theta, np.array([1.0, 3.0]))
    assert (report.verdict, report.kinks) == ("pass", [])
    assert check_grad(lambda t: np.sum(relu(t)), theta, np.array([0.5, 1.0])).verdict == "fail"


def test_nothing_but_a_kink_and_silence_tells_nothing():
    report = check_grad(lambda t: np.sum(relu(t)), np.array([0.0, -1.0]), np.zeros(2))
    assert report.verdict == "cannot tell"
    assert report.kinks == ["theta[0]"]
    assert "does not change with theta here" in told(report)


def test_directions_warn_of_a_kink_at_theta():
    theta = np.array([1.0, -1.0, 0.0])
    report = check_grad(lambda t: np.sum(relu(t)), theta, theta > 0.0, directions=3)
    assert "f has a kink at theta" in told(report)


@pytest.mark.parametrize("distance", [3e-5, 1e-6, 1e-7])
def test_a_kink_within_the_step_but_not_at_theta(distance):
    def bent(t):
        return np.sum(np.where(t.real > distance, t - distance, 0.0)) + t[1] ** 2

    report = check_grad(bent, np.array([0.0, 1.0]), np.array([0.0, 3.0]), method="central")
    assert report.verdict == "pass"  # a smaller step gets away from it, or it is left out
    wrong = check_grad(bent, np.array([0.0, 1.0]), np.array([-0.5, 3.0]), method="central")
    assert wrong.verdict == "fail"


def test_kinks_everywhere_leave_nothing_to_judge():
    report = check_grad(lambda t: np.sum(np.abs(t)), np.zeros(3), np.zeros(3))
    assert report.verdict == "cannot tell"
    assert "kink at every entry" in told(report)


def test_a_function_with_no_slope_at_all():
    """sqrt|t| at 0: its slopes grow without bound, which is no kink."""
    report = check_grad(
        lambda t: np.sum(np.sqrt(np.abs(t))) + f(t), np.array([0.0, 1.0, 1.0, 1.0]), np.zeros(4)
    )
    assert report.verdict in ("cannot tell", "fail")
    assert report.kinks == []


# ---------------------------------------------------------------- the complex step


def with_abs(t):
    return f(t) + np.sum(np.abs(t))


def with_real(t):
    return f(t) + np.sum(np.sin(t).real)


def with_norm(t):
    return f(t) + np.linalg.norm(t)


def with_vdot(t):
    return f(t) + np.vdot(t, t)


def with_one_real_entry(t):
    return f(t) + t[2].real ** 2


@pytest.mark.parametrize("broken", [with_abs, with_real, with_norm, with_vdot, with_one_real_entry])
def test_a_complex_step_that_f_breaks_silently(broken):
    right = central_difference(broken, THETA)
    report = check_grad(broken, THETA, right)
    assert report.verdict == "pass"
    assert "central" in report.method
    assert "breaks it silently" in report.method_reason
    assert check_grad(broken, THETA, complex_step(broken, THETA)).verdict == "fail"
    assert check_grad(broken, THETA, right, method="complex").verdict == "cannot tell"


def test_a_complex_step_that_f_breaks_in_one_of_many_entries():
    theta = np.linspace(0.5, 1.5, 500)
    broken = lambda t: np.sum(t**2) + t[321].real  # noqa: E731
    right = 2 * theta + (np.arange(500) == 321)
    report = check_grad(broken, theta, right)
    assert (report.verdict, "central" in report.method) == ("pass", True)


def test_a_real_output_buffer():
    def buffered(t):
        out = np.zeros(6)
        out[:] = A @ t
        return 0.5 * np.sum(out**2)

    report = check_grad(buffered, THETA, grad)
    assert report.verdict == "pass"
    assert "ComplexWarning" in report.method_reason


def test_f_that_rejects_complex_numbers():
    report = check_grad(lambda t: f(t) + np.sum(np.heaviside(t, 0.5)), THETA, grad)
    assert report.verdict == "pass"
    assert "does not accept complex theta (TypeError" in report.method_reason


def test_f_with_another_value_for_complex_theta():
    report = check_grad(lambda t: f(t) * (2.0 if np.iscomplexobj(t) else 1.0), THETA, grad)
    assert report.verdict == "pass"
    assert "another value for complex theta" in report.method_reason


# ---------------------------------------------------------------- the gradient


def test_a_gradient_of_zero():
    report = check_grad(f, THETA, np.zeros(4))
    assert report.verdict == "fail"
    assert "yours is all zero" in told(report)


def test_a_gradient_that_is_not_finite():
    report = check_grad(f, THETA, grad(THETA) * np.array([1, np.nan, 1, np.inf]))
    assert report.verdict == "fail"
    assert "2 of 4 entries of your gradient are not finite" in told(report)
    for method in ("directional", "taylor"):
        assert check_grad(f, THETA, np.full(4, np.nan), method=method).verdict == "fail"


def test_a_numerical_gradient_is_named_but_not_failed():
    theta = np.linspace(0.2, 2.0, 12)
    value, slope = (lambda t: np.sum(np.sin(t))), np.cos
    for tool in (central_difference, forward_difference):
        report = check_grad(value, theta, lambda t, tool=tool: tool(value, t))
        assert report.verdict == "pass", tool
        assert "numerical one" in told(report), tool
        assert len(report.warnings) == 1, report.warnings
    exact = check_grad(value, theta, lambda t: complex_step(value, t))  # as right as any other
    assert (exact.verdict, exact.warnings) == ("pass", [])
    report = check_grad(value, theta, central_difference(value, theta))  # an array: by its errors
    assert "looks like a numerical derivative" in told(report)
    assert told(report).count("warning:") == 1
    assert report.verdict == "pass"
    assert "numerical" not in told(check_grad(value, theta, slope))


def test_no_hook_is_set_while_f_and_grad_run(monkeypatch):
    """A profiler or a debugger of the caller is left alone."""
    monkeypatch.setattr(sys, "setprofile", None)
    monkeypatch.setattr(sys, "settrace", None)
    assert check_grad(f, THETA, grad).verdict == "pass"


def test_a_hook_of_the_caller_stays():
    def hook(*_):
        return None

    def hooking(t):
        sys.setprofile(hook)
        return f(t)

    try:
        check_grad(hooking, THETA, grad)
        assert sys.getprofile() is hook
    finally:
        sys.setprofile(None)


def test_a_hidden_float32_buffer_is_named():
    report = check_grad(f, THETA, lambda t: grad(t).astype(np.float32).astype(np.float64))
    assert "went through a float32 buffer" in told(report)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda g: g[:, None], "shape (4, 1), but the parameter has shape (4,)"),
        (lambda g: g[:3], "shape (3,), but the parameter has shape (4,)"),
        (lambda g: g.sum(), "shape (), but the parameter has shape (4,)"),
        (lambda g: g.astype(np.float32), "float32: it is good to 1e-07 only"),
        (lambda g: g.astype(np.int64), "int64: an integer buffer"),
        (lambda g: g + 1j, "complex"),
        (lambda g: np.array(["a"] * 4), "not numeric"),
        (lambda g: None, "No gradient came for"),
        (lambda g: {"theta": g, "phi": g}, "theta has no such parameter"),
    ],
)
def test_a_gradient_of_the_wrong_form(bad, words):
    for given in (lambda t: bad(grad(t)), bad(grad(THETA))):
        if given is None:
            continue
        report = check_grad(f, THETA, given)
        assert report.verdict == "fail"
        assert words in told(report)


def test_a_dict_gradient_of_the_wrong_form():
    theta = {"a": THETA, "b": np.ones(2)}
    value = lambda p: f(p["a"]) + np.sum(p["b"] ** 2)  # noqa: E731
    assert "No gradient came for 'b'" in told(check_grad(value, theta, {"a": grad(THETA)}))
    assert "the gradient is None" in told(check_grad(value, theta, lambda p: None))
    report = check_grad(value, theta, np.zeros(6))
    assert report.verdict == "fail"
    assert "theta is a dict of 2 arrays" in told(report).lower()


def test_a_gradient_returned_with_the_value():
    assert check_grad(f, THETA, lambda t: (f(t), grad(t))).verdict == "pass"
    report = check_grad(f, THETA, lambda t: (2 * f(t), grad(t)))
    assert "value returned beside the gradient" in told(report)


def test_a_gradient_in_a_reused_buffer_is_fine():
    buffer = np.empty(4)

    def into(t):
        buffer[:] = grad(t)
        return buffer

    assert check_grad(f, THETA, into).verdict == "pass"


def test_gradients_that_add_up():
    total = np.zeros(4)

    def accumulating(t):
        nonlocal total
        total += grad(t)
        return total

    report = check_grad(f, THETA, accumulating)
    assert report.verdict == "fail"
    assert "second call of grad doubles the first" in told(report)
    assert report.findings[0]["pattern"] == "accumulates"


@pytest.mark.parametrize("kept", [np.copy, np.asarray], ids=["a copy", "what f was given"])
def test_a_stale_cache(kept):
    cache = {}

    def caching(t):
        cache["t"] = kept(np.real(t))
        return f(t)

    report = check_grad(caching, THETA, lambda t: grad(cache["t"]))
    assert report.verdict == "fail"
    assert "stale cache" in told(report)


def test_a_gradient_that_draws_noise():
    noise = np.random.default_rng(0)
    report = check_grad(f, THETA, lambda t: grad(t) + noise.standard_normal(4))
    assert report.verdict == "fail"
    assert "grad is not deterministic" in told(report)


def test_a_gradient_that_changes_theta():
    def sloppy(t):
        t *= 2.0
        return grad(t / 2.0)

    report = check_grad(f, THETA, sloppy)
    assert report.verdict == "fail"
    assert "grad changes theta in place" in told(report)


# ---------------------------------------------------------------- the point


def test_a_point_that_is_not_finite_or_empty():
    assert "theta[1] is nan" in told(check_grad(f, np.array([1.0, np.nan, 1.0, 1.0]), grad))
    report = check_grad(lambda t: 0.0, np.zeros(0), np.zeros(0))
    assert report.verdict == "cannot tell"
    assert "theta has no entries" in told(report)


def test_a_value_so_large_that_its_rounding_hides_the_slope():
    report = check_grad(lambda t: 1e12 + f(t), THETA, grad, method="central")
    assert report.verdict == "cannot tell"
    assert "its rounding hides the slope" in told(report)
