import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpyvae.gradient_check import complex_step
from numpyvae.numerics import (
    BLOCK,
    logsumexp,
    magnitude,
    row_blocks,
    sigmoid,
    sigmoid_and_softplus,
    softplus,
)

REALS = st.floats(-700, 700)


@given(REALS)
def test_sigmoid_and_softplus_are_what_they_are_called(x):
    expected = 1.0 / (1.0 + math.exp(-x))
    assert sigmoid(np.array([x]))[0] == pytest.approx(expected, rel=1e-12, abs=2e-16)
    log1pexp = max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    assert softplus(np.array([x]))[0] == pytest.approx(log1pexp, rel=1e-14)
    p, by_tanh = sigmoid_and_softplus(np.array([x]))
    assert p == sigmoid(np.array([x]))
    assert by_tanh[0] == pytest.approx(log1pexp, rel=1e-15, abs=3e-16)


@given(REALS)
def test_the_complex_step_goes_through_them(x):
    theta = np.array([x])
    for f in (softplus, lambda t: sigmoid_and_softplus(t)[1]):
        slope = complex_step(lambda t, f=f: f(t).sum(), theta)
        np.testing.assert_allclose(slope, 0.5 * (1 + math.tanh(x / 2)), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_nothing_overflows(dtype):
    x = np.array([-1e4, -50, 0, 50, 1e4], dtype)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(sigmoid(x)).all()
        assert np.isfinite(softplus(x)).all()
    np.testing.assert_allclose(softplus(x)[[0, -1]].real, [0, 1e4])
    assert sigmoid(x).dtype == softplus(x).dtype == dtype
    with np.errstate(all="raise", under="ignore"):
        p, s = sigmoid_and_softplus(x)
    np.testing.assert_allclose(s, softplus(x), atol=1e-7 if dtype == np.float32 else 1e-15)
    assert p.dtype == s.dtype == magnitude(x).dtype == dtype


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (5, BLOCK), (3, 2 * BLOCK), (1000, 784), (0, 4)])
def test_row_blocks_are_all_rows_once(shape):
    x = np.zeros(shape, np.uint8)
    for rows in row_blocks(x):
        assert x[rows].shape[0] == 1 or x[rows].size <= BLOCK
        x[rows] += 1
    assert (x == 1).all()


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3), min_size=1, max_size=4))
def test_logsumexp(rows):
    x = np.array(rows)
    expected = [max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row)) for row in rows]
    np.testing.assert_allclose(logsumexp(x, axis=1), expected, rtol=1e-13, atol=1e-15)


def test_logsumexp_of_nothing_possible_is_minus_infinity():
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(logsumexp(x, axis=1), [-np.inf, 0.0])
