"""Adam against the published update; SGD and Momentum; state that can be saved and gone on from."""

import math
import pickle

import numpy as np
import pytest

from numpyvae import SGD, Adam, Momentum, optimizers
from numpyvae.optimizers import BLOCK, optimizer_from_config
from numpyvae.threads import one_blas_thread, share


def published_adam(
    theta, grads, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0
):
    """Algorithm 1 of Kingma & Ba 2015, line by line, for one number.

    With a decay, algorithm 2 of Loshchilov & Hutter 2019: alpha = 1, their eta_t the learning rate.
    """
    m = v = 0.0
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        update = m_hat / (math.sqrt(v_hat) + epsilon)
        theta = theta - learning_rate * (update + weight_decay * theta)
        yield theta


def test_adam_worked_by_hand():
    """learning rate 0.1, beta1 0.5, beta2 0.75, epsilon tiny; gradients 2, then 0, then -4.

    t=1: m = 1,     m_hat = 1/0.5 = 2;     v = 1,     v_hat = 1/0.25 = 4;          step 2/2 = 1
    t=2: m = 0.5,   m_hat = 0.5/0.75;      v = 0.75,  v_hat = 0.75/0.4375;         step 0.50917...
    t=3: m = -1.75, m_hat = -1.75/0.875;   v = 4.5625, v_hat = 4.5625/0.578125;    step -0.71193...
    """
    steps = [1.0, (0.5 / 0.75) / math.sqrt(0.75 / 0.4375), -2.0 / math.sqrt(4.5625 / 0.578125)]
    assert steps[1:] == pytest.approx([0.509175077217, -0.711933504668], rel=1e-8)
    theta, optimizer = np.array([1.0]), Adam(0.1, beta1=0.5, beta2=0.75, epsilon=1e-300)
    expected = 1.0
    for g, step in zip([2.0, 0.0, -4.0], steps, strict=True):
        optimizer.step(theta, np.array([g]))
        expected -= 0.1 * step
        assert theta[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "options",
    [{}, {"epsilon": 1e-4}, {"epsilon": 1.0}, {"weight_decay": 0.1}, {"weight_decay": 50.0}],
    ids=str,
)
def test_adam_is_the_published_update(options, rng):
    scales = 10.0 ** rng.uniform(-6, 3, 50)
    grads = rng.standard_normal((200, 50)) * scales
    theta, optimizer = rng.standard_normal(50), Adam(1e-2, **options)
    expected = [
        list(published_adam(th, g, 1e-2, **options)) for th, g in zip(theta, grads.T, strict=True)
    ]
    for t, g in enumerate(grads):
        optimizer.step(theta, g)
        np.testing.assert_allclose(theta, [e[t] for e in expected], rtol=1e-12, atol=1e-14)


def test_weight_decay_is_decoupled_from_the_gradient_and_shrinks_every_entry(rng):
    """Without a gradient theta shrinks by 1 - rate * decay a step; the moments do not see it."""
    start = rng.standard_normal(optimizers.BLOCK + 3)
    theta, optimizer = start.copy(), Adam(0.01, weight_decay=0.5)
    for _ in range(10):
        optimizer.learning_rate *= 0.9  # a schedule
        optimizer.step(theta, np.zeros_like(theta))
    kept = math.prod(1 - 0.01 * 0.9**t * 0.5 for t in range(1, 11))
    np.testing.assert_allclose(theta, kept * start, rtol=1e-13)
    state = optimizer.state()
    assert not state["first_moment"].any()
    assert not state["second_moment"].any()


def test_a_weight_decay_that_would_turn_the_signs_is_refused():
    with pytest.raises(ValueError, match="weight_decay must be below 1 / learning_rate"):
        Adam(0.1, weight_decay=10.0)
    optimizer, theta = Adam(0.1, weight_decay=5.0), np.ones(3)
    optimizer.learning_rate = 0.2  # a schedule
    with pytest.raises(ValueError, match="weight_decay must be below 1 / learning_rate"):
        optimizer.step(theta, np.zeros(3))
    assert (theta == 1.0).all()


def test_a_copy_goes_on_alike_and_has_no_scratch_memory(rng):
    theta, optimizer = rng.standard_normal(5), Adam()
    optimizer.step(theta, theta)
    twin, copy = theta.copy(), pickle.loads(pickle.dumps(optimizer))
    assert optimizer._parts
    assert not copy._parts
    for each, moved in ((optimizer, theta), (copy, twin)):
        each.step(moved, np.ones(5))
    assert np.array_equal(theta, twin)


def plain_adam(theta, grads, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Algorithm 1 as it is printed, on arrays, in their dtype; no moment is ever set to zero."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


def gradients_that_die(rng, dtype, steps=700):
    """(steps, 7): always there; dies; comes back; now and then; 1e-20; ever smaller; 1e-32.

    The last one's square is zero in float32.
    """
    grads = rng.standard_normal((steps, 7))
    grads[50:, 1] = 0
    grads[50:500, 2] = 0
    grads[:, 3] *= rng.random(steps) < 0.005
    grads[:, 4] *= 1e-20
    grads[:, 5] *= 10.0 ** -np.linspace(0, 40, steps)
    grads[:, 6] = 1e-32
    return grads.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{}, {"beta1": 0.5}, {"beta2": 0.9}, {"epsilon": 1e-4}], ids=str
)
def test_setting_moments_to_zero_leaves_adam_the_published_one(dtype, options, rng):
    grads, start = gradients_that_die(rng, dtype), rng.uniform(0.5, 1, 7).astype(dtype)
    theta, optimizer = start.copy(), Adam(**options)
    for grad in grads:
        optimizer.step(theta, grad)
    rounding = 8 * math.sqrt(len(grads)) * np.finfo(dtype).eps
    np.testing.assert_allclose(theta, plain_adam(start, grads, **options), rtol=rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "make",
    [
        Adam,
        Momentum,
        lambda: Adam(epsilon=1e-30),
        lambda: Adam(beta1=0.0),
        lambda: Momentum(1, 0.99),
    ],
)
def test_setting_moments_to_zero_changes_no_bit(make, dtype, rng, monkeypatch):
    """Also where epsilon is so small that gradients of 1e-20 move a parameter as any other."""
    grads, start = gradients_that_die(rng, dtype), rng.uniform(0.5, 1, 7).astype(dtype)
    thetas = []
    for span in (optimizers.SPAN, 0.0):  # 0: never
        monkeypatch.setattr(optimizers, "SPAN", span or 1e-300)
        theta, optimizer = start.copy(), make()
        for grad in grads:
            optimizer.step(theta, grad)
        thetas.append(theta)
    np.testing.assert_array_equal(*thetas)


def n_subnormal(optimizer):
    moments = [m for m in optimizer.state().values() if m.ndim]
    return sum(int(((m != 0) & (abs(m) < np.finfo(m.dtype).tiny)).sum()) for m in moments)


@pytest.mark.parametrize(("epsilon", "kept"), [(1e-8, False), (1e-11, False), (1e-12, True)])
def test_a_tiny_epsilon_keeps_subnormal_second_moments_as_documented(epsilon, kept):
    adam, moments = Adam(epsilon=epsilon), np.full(1, 5e-39, np.float32)
    adam.load_state({"n_steps": np.array(1), "first_moment": 0 * moments, "second_moment": moments})
    for _ in range(200):
        adam.step(np.ones(1, np.float32), np.zeros(1, np.float32))
    assert n_subnormal(adam) == kept


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["Adam", "Momentum"])
def test_no_moment_becomes_subnormal_at_any_step(kind, factor, dtype, rng):
    """Gradients as small as moments that have shrunk for long, then zeros; and one that stays."""
    optimizer = Momentum(1e-3, factor) if kind == "Momentum" else Adam(beta1=factor, beta2=0.99)
    tiny = float(np.finfo(dtype).tiny)
    grad = (1e12 * tiny * 10.0 ** rng.uniform(0, 2, 50)).astype(dtype)
    if kind == "Adam":
        grad[:10] = 1e-14  # its square outlives the first moment
    theta = np.ones(50, dtype)
    optimizer.step(theta, grad)
    n_before = n_subnormal(optimizer)  # of squares
    for step in range(4000):
        optimizer.step(theta, np.zeros(50, dtype))
        assert n_subnormal(optimizer) == 0 or (step < 99 and n_subnormal(optimizer) <= n_before)
    assert not any(m[10:].any() for m in optimizer.state().values() if m.ndim)


@pytest.mark.parametrize("make", [Momentum, Adam])
@pytest.mark.parametrize("stop", [99, 100, 101, 250])
def test_going_on_from_saved_state_sets_the_same_moments_to_zero(make, stop, rng):
    grads = gradients_that_die(rng, np.float32, 300) * np.float32(1e-25)
    straight, broken = np.zeros((2, 7), np.float32)
    optimizer, first, second = make(), make(), make()
    for grad in grads:
        optimizer.step(straight, grad)
    for grad in grads[:stop]:
        first.step(broken, grad)
    second.load_state(first.state())
    for grad in grads[stop:]:
        second.step(broken, grad)
    for name, value in optimizer.state().items():
        np.testing.assert_array_equal(second.state()[name], value)
    np.testing.assert_array_equal(straight, broken)


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient():
    theta = np.zeros(3)
    Adam(1e-3).step(theta, np.array([2.0, -1e-3, 1e5]))
    np.testing.assert_allclose(theta, [-1e-3, 1e-3, -1e-3], rtol=2e-5)


def test_sgd_and_momentum_by_hand():
    theta = np.array([1.0])
    sgd = SGD(0.5)
    sgd.step(theta, np.array([1.0]))
    assert theta[0] == 0.5
    theta, momentum = np.array([1.0]), Momentum(0.5, momentum=0.5)
    for expected in (0.5, -0.25, -1.125):  # velocity 1, 1.5, 1.75
        momentum.step(theta, np.array([1.0]))
        assert theta[0] == expected


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [SGD, Momentum, Adam])
def test_blocks_change_nothing(make, threads, rng, monkeypatch):
    """A vector of several blocks, the last one short, moves as its parts would by themselves."""
    monkeypatch.setattr(optimizers, "_share_parts", share)
    monkeypatch.setattr(one_blas_thread, "threads", threads)
    n = 2 * BLOCK + 17
    theta, grads = rng.standard_normal(n), rng.standard_normal((3, n))
    whole, parts = theta.copy(), np.split(theta.copy(), [100, BLOCK, BLOCK + 1])
    optimizer, part_optimizers = make(), [make() for _ in parts]
    for grad in grads:
        optimizer.step(whole, grad)
        for o, th, g in zip(
            part_optimizers, parts, np.split(grad, [100, BLOCK, BLOCK + 1]), strict=True
        ):
            o.step(th, np.ascontiguousarray(g))
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [SGD, Momentum, Adam])
def test_saved_state_goes_on_as_if_nothing_had_happened(make, dtype, rng):
    grads = rng.standard_normal((6, 10)).astype(dtype)
    straight, broken = np.ones(10, dtype), np.ones(10, dtype)
    optimizer, first, second = make(), make(), make()
    for grad in grads:
        optimizer.step(straight, grad)
    for grad in grads[:3]:
        first.step(broken, grad)
    second.load_state(first.state())
    for grad in grads[3:]:
        second.step(broken, grad)
    np.testing.assert_array_equal(straight, broken)
    assert broken.dtype == dtype


@pytest.mark.parametrize("make", [SGD, Momentum, Adam])
def test_the_gradient_is_left_alone_and_theta_is_changed_in_place(make):
    theta, grad = np.ones(4), np.ones(4)
    grad.flags.writeable = False
    make().step(theta, grad)
    assert (theta < 1).all()


@pytest.mark.parametrize("bad", [0, -1e-3, math.nan, math.inf])
def test_a_learning_rate_must_be_positive_and_finite(bad):
    for make in (SGD, Momentum, Adam):
        with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
            make(bad)


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="learning_rate must be a number, got 'fast'"):
        Adam("fast")
    with pytest.raises(ValueError, match=r"beta1 must lie in \[0, 1\)"):
        Adam(beta1=1.0)
    with pytest.raises(TypeError, match="theta must be an array of floats, got int64"):
        SGD().step(np.zeros(3, np.int64), np.zeros(3))
    with pytest.raises(ValueError, match=r"vectors of one length, got \(3,\) and \(4,\)"):
        SGD().step(np.zeros(3), np.zeros(4))
    optimizer = Adam()
    optimizer.step(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="has worked on 3 parameters and cannot go on with 4"):
        optimizer.step(np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match="expected the state"):
        Adam().load_state(optimizer.state() | {"velocity": np.zeros(3)})
    for bad in ({"n_steps": np.array(-3)}, {"first_moment": np.zeros((2, 2))}):
        with pytest.raises(ValueError, match="expected n_steps of at least 0 and moments that are"):
            Adam().load_state(optimizer.state() | bad)


@pytest.mark.parametrize("make", [SGD, Momentum, lambda: Adam(weight_decay=0.5)])
def test_a_rate_that_a_schedule_brought_to_zero_is_kept_in_a_file(make):
    optimizer = make()
    optimizer.learning_rate = 0.0
    assert optimizer_from_config(optimizer.config()).config() == optimizer.config()


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_settings_that_no_file_may_have_are_not_written(rate):
    optimizer = Adam()
    optimizer.learning_rate = rate
    with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
        optimizer.config()
