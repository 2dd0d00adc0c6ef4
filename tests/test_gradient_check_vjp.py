"""check_vjp: one forward/backward pair, every input."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from numpyvae.gradient_check import check_vjp

RNG = np.random.default_rng(7)
W, B, X = RNG.standard_normal((4, 3)), RNG.standard_normal(3), RNG.standard_normal((6, 4))


def dense(W, b, x):
    return x @ W + b, (W, x)


def dense_backward(dy, cache):
    weights, x = cache
    return x.T @ dy, dy.sum(0), dy @ weights.T


def told(report):
    return " ".join(str(report).split())


def test_a_right_pair_passes():
    report = check_vjp(dense, dense_backward, (W, B, X))
    assert report.verdict == "pass"
    assert [row["parameter"] for row in report.table] == ["W", "b", "x"]


@pytest.mark.parametrize("method", ["complex", "central", "directional", "taylor"])
def test_every_method(method):
    assert check_vjp(dense, dense_backward, (W, B, X), method=method).verdict == "pass"
    twice = lambda dy, cache: tuple(2 * d for d in dense_backward(dy, cache))  # noqa: E731
    assert check_vjp(dense, twice, (W, B, X), method=method).verdict == "fail"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_each_wrong_cotangent_is_named(which):
    def wrong(dy, cache):
        out = list(dense_backward(dy, cache))
        out[which] = 2 * out[which]
        return tuple(out)

    report = check_vjp(dense, wrong, (W, B, X))
    assert [r["parameter"] for r in report.table if r["verdict"] == "fail"] == ["Wbx"[which]]
    assert f"{'Wbx'[which]}: yours is the right one times 2" in told(report)
    assert "check_vjp(dense" in report.reproduce


def test_inputs_by_name_and_cotangents_by_name():
    inputs = {"x": X, "W": W, "b": B}
    named = lambda dy, cache: dict(zip("Wbx", dense_backward(dy, cache), strict=True))  # noqa: E731
    assert check_vjp(dense, named, inputs).verdict == "pass"
    with pytest.raises(ValueError, match="cotangents for w: f has"):
        check_vjp(dense, lambda dy, cache: {"w": dy}, inputs)


def test_a_single_input():
    pair = (lambda x: (np.tanh(x), np.tanh(x))), (lambda dy, h: dy * (1 - h * h))
    assert check_vjp(*pair, (X,)).verdict == "pass"
    assert check_vjp(*pair, X).verdict == "pass"
    assert check_vjp(pair[0], lambda dy, h: dy * (1 - h), (X,)).verdict == "fail"


def test_a_layer_with_a_dict_of_parameters():
    def forward(params, x):
        return dense(params["W"], params["b"], x)

    def backward(dy, cache):
        dw, db, dx = dense_backward(dy, cache)
        return {"W": dw, "b": db}, dx

    report = check_vjp(forward, backward, ({"W": W, "b": B}, X))
    assert report.verdict == "pass"
    assert [row["parameter"] for row in report.table] == ["params.W", "params.b", "x"]


def test_constants_and_inputs_that_are_not_differentiated():
    def pick(x, labels, scale, mode):
        assert mode == "sum"
        return scale * x[np.arange(6), labels], (x.shape, labels, scale)

    def pick_backward(dy, cache):
        shape, labels, scale = cache
        dx = np.zeros(shape)
        dx[np.arange(6), labels] = scale * dy
        return dx, None, None, None

    inputs = (X, np.array([0, 1, 2, 3, 0, 1]), 3.0, "sum")
    report = check_vjp(pick, pick_backward, inputs)
    assert report.verdict == "pass"
    assert [row["parameter"] for row in report.table] == ["x"]
    report = check_vjp(dense, lambda dy, c: (*dense_backward(dy, c)[:2], None), (W, B, X))
    assert report.verdict == "pass"
    assert "No cotangent came for x" in told(report)


def test_what_is_said_of_a_cotangent_that_was_not_looked_at():
    def scaled(x, k, s):
        return x * k * s, (k, s)

    def warnings(dk, ds):
        report = check_vjp(scaled, lambda dy, c: (dy * c[0] * c[1], dk, ds), (X, 2, 0.5))
        assert report.verdict == "pass"
        return report.warnings

    assert warnings(None, None) == []
    assert warnings(1.0, None) == ["k is no array of floats: its cotangent was not checked."]
    both = check_vjp(scaled, lambda dy, c: (dy, 1.0, 1.0), (X, 2, 0.5))
    assert [row["parameter"] for row in both.table] == ["x", "s"]


def test_a_float_argument_with_a_cotangent():
    pair = (lambda x, s: (x * s, (x, s))), (lambda dy, c: (dy * c[1], np.sum(dy * c[0])))
    report = check_vjp(*pair, (X, 0.7))
    assert (report.verdict, len(report.table)) == ("pass", 2)


def test_several_values():
    def split(x):
        return (x[:, :2], np.exp(x[:, 2:])), x

    def split_backward(dvalue, x):
        return np.concatenate([dvalue[0], dvalue[1] * np.exp(x[:, 2:])], axis=1)

    assert check_vjp(split, split_backward, (X,)).verdict == "pass"
    as_dict = lambda x: (dict(zip("ab", split(x)[0], strict=True)), x)  # noqa: E731
    backward = lambda d, x: split_backward((d["a"], d["b"]), x)  # noqa: E731
    assert check_vjp(as_dict, backward, (X,)).verdict == "pass"


class MeanAndWidth(NamedTuple):
    mean: Any
    width: Any


def test_a_named_tuple_as_value_and_in_the_cache():
    def forward(x):
        value = MeanAndWidth(2 * x, np.exp(x))
        return value, value

    def backward(dvalue, cache):
        return 2 * dvalue.mean + dvalue.width * cache.width

    assert check_vjp(forward, backward, (X,)).verdict == "pass"
    assert check_vjp(forward, lambda d, c: backward(d, c) + d.mean, (X,)).verdict == "fail"

    def overwriting(dvalue, cache):
        out = backward(dvalue, cache)
        cache.width[:] = 1.0
        return out

    assert "changes its cache in place" in told(check_vjp(forward, overwriting, (X,)))


def test_a_mask_taken_from_the_sign_of_the_gradient():
    forward = lambda x: (np.where(x.real > 0, x, 0), x > 0)  # noqa: E731
    assert check_vjp(forward, lambda dy, mask: dy * mask, (X,)).verdict == "pass"
    assert (
        check_vjp(forward, lambda dy, mask: np.where(dy > 0, dy, 0) * mask, (X,)).verdict == "fail"
    )


def test_bias_not_summed_over_the_batch():
    wrong = lambda dy, c: (dense_backward(dy, c)[0], dy, dense_backward(dy, c)[2])  # noqa: E731
    report = check_vjp(dense, wrong, (W, B, X))
    assert report.verdict == "fail"
    assert "b: yours must still be summed over axis 0" in told(report)


# ---------------------------------------------------------------- state and mutation


def test_f_that_changes_its_input():
    def sloppy(x):
        x *= 2.0
        return x + 0.0, None

    report = check_vjp(sloppy, lambda dy, _: 2 * dy, (X,))
    assert report.verdict == "fail"
    assert "f changes its input in place (x)" in told(report)


def test_a_backward_that_changes_what_it_is_given():
    def of_dy(dy, cache):
        dy *= 1.0 - cache**2
        return dy

    def of_cache(dy, cache):
        cache *= -cache
        cache += 1.0
        return dy * cache

    tanh = lambda x: (np.tanh(x), np.tanh(x))  # noqa: E731
    report = check_vjp(tanh, of_dy, (X,))
    assert "changes the cotangent it is given in place" in told(report)
    assert report.verdict == "fail"
    report = check_vjp(tanh, of_cache, (X,))
    assert "changes its cache in place" in told(report)
    assert report.verdict == "fail"


def test_a_backward_that_adds_to_an_old_buffer():
    total = np.zeros_like(W)

    def adding(dy, cache):
        nonlocal total
        dw, db, dx = dense_backward(dy, cache)
        total += dw
        return total, db, dx

    report = check_vjp(lambda W: dense(W, B, X), lambda dy, c: adding(dy, c)[0], (W,))
    assert report.verdict == "fail"
    assert "doubles the first" in told(report)


def test_a_backward_that_ignores_its_cache():
    last = {}

    def forward(x):
        last["h"] = np.real(np.tanh(x))
        return np.tanh(x), None

    report = check_vjp(forward, lambda dy, _: dy * (1 - last["h"] ** 2), (X,))
    assert report.verdict == "fail"
    assert "last forward call of f, and not the cache" in told(report)


def test_a_stale_cache_of_a_forward_that_refuses_points_far_away():
    last = {}

    def forward(x):
        if np.max(np.abs(x - X)) > 0.1:
            raise ValueError("too far")
        last["x"] = np.real(x)
        return x**2, None

    report = check_vjp(forward, lambda dy, _: 2 * dy * last["x"], (X,))
    assert "uses the last forward call of f" in told(report)


def test_a_backward_that_draws_noise():
    noise = np.random.default_rng(0)
    pair = (lambda x: (2 * x, None)), (lambda dy, _: 2 * dy + noise.standard_normal(dy.shape))
    report = check_vjp(*pair, (X,))
    assert "f_backward is not deterministic" in told(report)


def test_a_cache_that_is_an_object():
    class Cache:
        def __init__(self, h):
            self.h = h

    def overwriting(dy, cache):
        cache.h = cache.h * 2
        return dy

    report = check_vjp(lambda x: (x + 0.0, Cache(x)), overwriting, (X,))
    assert "changes its cache in place" in told(report)


def test_a_cache_that_turns_into_an_array():
    class Cache:
        def __init__(self, h):
            self.h = h

        def __array__(self, dtype=None, copy=None):
            return np.array(self.h, dtype)

    def overwriting(dy, cache):
        cache.h = cache.h * 2
        return dy

    def forward(x):
        return x + 0.0, (Cache(x), np.float64)

    assert check_vjp(forward, lambda dy, _: dy, (X,)).verdict == "pass"
    report = check_vjp(forward, lambda dy, c: overwriting(dy, c[0]), (X,))
    assert "changes its cache in place" in told(report)


def test_inputs_are_never_changed():
    given = X.copy()

    def sloppy(x):
        x[:] = 0.0
        return x + 1.0, None

    check_vjp(sloppy, lambda dy, _: 0 * dy, (given,))
    np.testing.assert_array_equal(given, X)


def test_float32_inputs_are_converted_and_said():
    report = check_vjp(dense, dense_backward, (W.astype(np.float32), B, X))
    assert report.verdict == "pass"
    assert "W is float32" in told(report)


def test_bad_calls():
    with pytest.raises(TypeError, match=r"must return \(value, cache\)"):
        check_vjp(lambda x: x, dense_backward, (X,))
    with pytest.raises(ValueError, match="f has 3 inputs"):
        check_vjp(dense, lambda dy, c: dy, (W, B, X))
    with pytest.raises(
        ValueError, match="f has 2 inputs \\(W, x\\), but f_backward returned one obj"
    ):
        check_vjp(lambda W, x: (x @ W, None), lambda dy, c: dy, (W, X))
    with pytest.raises(ValueError, match="returned 2 cotangents"):
        check_vjp(dense, lambda dy, c: dense_backward(dy, c)[:2], (W, B, X))
    with pytest.raises(ValueError, match="no cotangent"):
        check_vjp(dense, lambda dy, c: (None, None, None), (W, B, X))
    with pytest.raises(ValueError, match="3 different names"):
        check_vjp(dense, dense_backward, (W, B, X), names=["a", "b"])
    with pytest.raises(ValueError, match="method must be"):
        check_vjp(dense, dense_backward, (W, B, X), method="magic")


@pytest.mark.parametrize(
    ("shape", "extra", "axes"),
    [
        ((4,), (5, 4), "axis 0"),
        ((1, 4), (5, 4), "axis 0"),
        ((4, 1), (4, 5), "axis 1"),
        ((4,), (2, 5, 4), "axes 0, 1"),
        ((1, 4), (2, 5, 4), "axes 0, 1"),
        ((4,), (2, 4, 3, 3), "axes 0, 2, 3"),
        ((1, 4, 1, 1), (2, 4, 3, 3), "axes 0, 2, 3"),
        ((), (2, 3), "axes 0, 1"),
    ],
)
def test_a_bias_that_was_not_summed(shape, extra, axes):
    """Biases as rows, as columns, of sequences and of images."""
    b = RNG.standard_normal(shape)
    column = (4, 1, 1) if len(extra) == 4 and shape == (4,) else shape
    f = lambda b: (b.reshape(column) * np.ones(extra), None)  # noqa: E731
    report = check_vjp(f, lambda d, _: d, (b,))
    assert report.verdict == "fail"
    assert f"b: yours must still be summed over {axes}." in told(report)
    assert report.reproduce == "print(check_vjp(f, f_backward, inputs, rng=0))"


def test_cotangents_in_exchanged_order():
    two = lambda x, W: (x @ W, (x, W))  # noqa: E731
    swapped = lambda dy, cache: (cache[0].T @ dy, dy @ cache[1].T)  # noqa: E731
    report = check_vjp(two, swapped, (X, W))
    assert "x and W: the shapes fit when exchanged: returned in the wrong order?" in told(report)
    transposed = lambda dy, cache: ((dy @ cache[1].T).T, cache[0].T @ dy)  # noqa: E731
    assert "wrong order" not in told(check_vjp(two, transposed, (X, W)))
