"""One BLAS thread while we compute, given back afterwards; shared work gives the same bits."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from numpyvae import SGD, VAE, Autoencoder
from numpyvae import threads as sharing
from numpyvae.evaluation import evaluate
from numpyvae.gradient_check import (
    assert_grad_allclose,
    blas,
    central_difference,
    check_grad,
    check_vjp,
    complex_step,
    directional_derivative,
    forward_difference,
    richardson_difference,
    taylor_test,
)
from numpyvae.gradient_check.blas import USERS_LIMITS, blas_threads, one_blas_thread
from numpyvae.threads import product, share


@contextmanager
def limited():
    """As in a function that is decorated with `one_blas_thread`."""
    nested = threading.get_ident() in one_blas_thread.holders
    try:
        one_blas_thread.take()
        yield
    finally:
        if not nested:
            one_blas_thread.give_back()


class FakeBlas:
    """An OpenBLAS of two threads by default, that remembers what it was told."""

    def __init__(self, threads):
        self.threads, self.told, self.default, self.limited = threads, [], 2, False

    def get_threads(self):
        return self.threads

    def set_threads(self, n):
        self.threads = n
        self.told.append(n)


@pytest.fixture
def fake(monkeypatch):
    """`fake(n)` is what our code finds: an OpenBLAS with n threads now, and no user's limit."""

    def replace(n=2):
        library = FakeBlas(n)
        monkeypatch.setattr(blas, "_open_blas", lambda: library)
        return library

    return replace


def test_numpys_own_openblas_is_found_and_obeys():
    if "openblas" not in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        pytest.skip("this NumPy multiplies with another library")
    library = blas._open_blas()
    before = blas_threads()
    try:
        for n in (2, 1):
            library.set_threads(n)
            assert blas_threads() == n
    finally:
        library.set_threads(before)
    assert 1 <= library.default <= blas.CORES


def test_one_thread_inside_and_what_there_was_afterwards(fake):
    library = fake()
    with limited():
        assert library.threads == 1
        with limited():
            assert library.threads == 1
        assert library.threads == 1
    assert library.threads == 2

    @one_blas_thread
    def fail():
        assert library.threads == 1
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
        assert library.threads == 2


def test_the_last_of_two_python_threads_gives_back(fake):
    library, entered, leave = fake(), threading.Event(), threading.Event()

    def other():
        with limited():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with limited():
        thread.start()
        assert entered.wait(60)
    assert library.threads == 1  # the other is still inside
    leave.set()
    thread.join()
    assert library.threads == 2
    assert library.told == [1, 2]


def test_an_environment_variable_is_the_users_word(fake):
    library = fake()
    library.limited = True
    with limited():
        assert library.threads == 2
        assert one_blas_thread.threads == 1  # and no helper is added to them
    assert library.told == []


def test_the_environment_is_read_as_openblas_reads_it(monkeypatch):
    for name in USERS_LIMITS:
        monkeypatch.delenv(name, raising=False)
    find = blas._open_blas.__wrapped__  # anew, each time
    if find() is None:
        pytest.skip("this NumPy multiplies with another library")
    assert not find().limited
    for name in USERS_LIMITS:
        with monkeypatch.context() as patch:
            patch.setenv(name, "2")
            assert find().limited


@pytest.mark.parametrize("n", [1, 3])
def test_a_number_other_than_the_default_is_the_users(fake, n):
    """As threadpoolctl.threadpool_limits sets it."""
    library = fake(n)
    with limited():
        assert library.threads == n
        assert one_blas_thread.threads == 1
    assert library.told == []


def test_an_interrupt_at_any_call_gives_back(fake, monkeypatch):
    """Ctrl-C raises when a call returns, whatever has been taken by then."""
    library, calls = fake(), []

    def interrupted(call, at):
        def interrupt(*arguments):
            result = call(*arguments)
            calls.append(call)
            if len(calls) == at:
                raise KeyboardInterrupt
            return result

        return interrupt

    @one_blas_thread
    def nothing():
        assert library.threads == 1

    for at in range(1, 100):
        calls.clear()
        with monkeypatch.context() as patch:
            for name in ("get_threads", "set_threads"):
                patch.setattr(library, name, interrupted(getattr(library, name), at))
            patch.setattr(blas, "_open_blas", interrupted(blas._open_blas, at))
            if at > 7:
                nothing()
                break
            with pytest.raises(KeyboardInterrupt):
                nothing()
        assert library.threads == 2
        assert not one_blas_thread.holders
        assert one_blas_thread.threads == 1
    assert len(calls) == 7


def test_what_is_set_in_between_stays(fake):
    library = fake()
    with limited():
        library.threads = 5
    assert library.threads == 5
    library.threads = 2
    with limited():
        assert library.threads == 1
    assert library.threads == 2


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas, "_open_blas", lambda: None)
    with limited():
        assert blas_threads() is None
        assert one_blas_thread.threads == 1
    a = np.ones((300, 300))
    np.testing.assert_array_equal(product(a, a), a @ a)


def f(theta):
    return (theta * theta).sum()


WATCHED = {
    "fit": lambda vae, x: vae.fit(x, 1, 4, verbose=False),
    "loss": lambda vae, x: vae.loss(vae.theta, x, x[:, :2]),
    "loss_and_grad": lambda vae, x: vae.loss_and_grad(vae.theta, x, x[:, :2]),
    "encode": lambda vae, x: vae.encode(x),
    "decode": lambda vae, x: vae.decode(x[:, :2]),
    "elbo": lambda vae, x: vae.elbo(x),
    "log_likelihood": lambda vae, x: vae.log_likelihood(x, 3, None, "importance"),
    "evaluate": lambda vae, x: evaluate(vae, x, 3),
}
THETA = np.array([1.0, 2.0])
CHECKS = {
    "check_grad": lambda f: check_grad(f, THETA, 2 * THETA),
    "assert_grad_allclose": lambda f: assert_grad_allclose(f, THETA, 2 * THETA),
    "check_vjp": lambda f: check_vjp(lambda x: (f(x), x), lambda d, x: d * 2 * x, (THETA,)),
    "complex_step": lambda f: complex_step(f, THETA),
    "central_difference": lambda f: central_difference(f, THETA),
    "forward_difference": lambda f: forward_difference(f, THETA),
    "richardson_difference": lambda f: richardson_difference(f, THETA),
    "directional_derivative": lambda f: directional_derivative(f, THETA, THETA),
    "taylor_test": lambda f: taylor_test(f, THETA, 2 * THETA),
}


@pytest.mark.parametrize("name", WATCHED)
def test_models_multiply_with_one_thread(fake, monkeypatch, name):
    library, seen = fake(), set()

    def watched(a, b, out=None):
        seen.add(library.threads)
        return np.matmul(a, b, out=out)

    monkeypatch.setattr("numpyvae.layers.product", watched)
    monkeypatch.setattr("numpyvae.parameters.product", watched)
    WATCHED[name](VAE(5, 2, (4,)), np.eye(5, dtype=np.float32))
    assert seen == {1}
    assert library.threads == 2


def test_callbacks_run_inside_and_a_divergence_gives_back(fake):
    library, seen = fake(), []
    model = Autoencoder(5, 2, (4,))
    x = np.eye(5, dtype=np.float32)
    model.fit(x, 2, verbose=False, callbacks=[lambda *_: seen.append(library.threads)])
    assert seen == [1, 1]
    with pytest.raises(FloatingPointError):
        model.fit(x, 5, optimizer=SGD(1e30), verbose=False)
    assert library.threads == 2


@pytest.mark.parametrize("name", CHECKS)
def test_checks_call_with_one_thread(fake, name):
    library, seen = fake(), set()

    def watched(theta):
        seen.add(library.threads)
        return f(theta)

    CHECKS[name](watched)
    assert seen == {1}
    assert library.threads == 2


# Sharing.


@pytest.fixture
def helped(fake, monkeypatch):
    """Whatever its size, a product is cut, as within `one_blas_thread` on two cores."""
    fake(1)
    monkeypatch.setattr(sharing, "LARGE", 1)
    monkeypatch.setattr(one_blas_thread, "threads", 2)


SHAPES = [(1, 1, 1), (5, 3, 2), (64, 30, 65), (200, 7, 100), (33, 128, 300)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_cut_product_is_the_product(helped, shape, dtype, rng):
    m, k, n = shape
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((n, k)).astype(dtype).T
    expected = np.einsum("mk,kn->mn", a, b)
    got, out = product(a, b), np.full((m, n), np.nan, dtype)
    assert got.dtype == dtype
    tolerance = k * np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * k)
    assert product(a, b, out=out) is out
    np.testing.assert_array_equal(out, got)
    np.testing.assert_allclose(product(a[0], b), expected[0], rtol=tolerance, atol=tolerance * k)


def test_the_bits_do_not_depend_on_who_helps(helped, monkeypatch, rng):
    x = (rng.random((70, 30)) < 0.5).astype(np.float32)
    thetas = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(one_blas_thread, "threads", threads)
        vae = VAE(30, 3, (40,))
        vae.fit(x, 2, 35, verbose=False)
        thetas.append(vae.theta)
    np.testing.assert_array_equal(thetas[0], thetas[1])
    np.testing.assert_array_equal(thetas[0], thetas[2])


def test_where_openblas_has_threads_of_its_own_nothing_is_cut(fake, monkeypatch):
    fake(2)
    monkeypatch.setattr(sharing, "LARGE", 1)
    monkeypatch.setattr(sharing, "share", None)  # not called
    assert product(np.eye(3), np.eye(3)).sum() == 3


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_nobody_works_on_when_an_error_ends_it(helped, error):
    """`fit` puts theta back after Ctrl-C; a helper that went on would move its half once more."""
    begun, done = threading.Event(), []

    def work(piece):
        if piece == "caller's":
            assert begun.wait(60)
            raise error
        begun.set()
        time.sleep(0.05)
        done.append(piece)

    with pytest.raises(error):
        share(work, ["caller's", "helper's"])
    assert done == ["helper's"]


def test_an_interrupt_between_the_pieces_takes_them_from_the_helpers(helped, monkeypatch):
    offered, done = [], []
    monkeypatch.setattr(sharing._helpers, "offer", lambda pieces, n: offered.extend(pieces))
    monkeypatch.setattr(sharing._Piece, "wait", lambda piece: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        share(done.append, [0, 1])
    monkeypatch.setattr(sharing._Piece, "do", lambda piece: 1 / 0)
    offered.clear()
    with pytest.raises(ZeroDivisionError):
        share(done.append, [2, 3])
    monkeypatch.undo()
    offered[0].do()  # too late
    assert sorted(done) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_every_piece_is_done_once(helped, monkeypatch, threads, n):
    monkeypatch.setattr(one_blas_thread, "threads", threads)
    done = []
    for _ in range(20):
        share(done.append, range(n))
    assert sorted(done) == sorted(20 * list(range(n)))


def test_a_helper_helps(helped):
    """The caller's piece waits for the other one, which only a helper can do meanwhile."""
    other = threading.Event()
    waited = []
    share(lambda i: other.set() if i else waited.append(other.wait(60)), range(2))
    assert waited == [True]


def test_the_caller_does_what_no_helper_begins(helped, monkeypatch):
    monkeypatch.setattr(sharing._helpers, "offer", lambda pieces, n: None)  # they sleep on
    done = []
    share(lambda i: done.append((i, threading.current_thread())), range(3))
    assert sorted(i for i, _ in done) == [0, 1, 2]
    assert {thread for _, thread in done} == {threading.current_thread()}


def test_where_no_thread_can_be_started_the_caller_does_it_all(helped, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    helpers = sharing._Helpers()
    monkeypatch.setattr(sharing, "_helpers", helpers)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    for _ in range(2):
        share(done.append, range(3))
    assert sorted(done) == [0, 0, 1, 1, 2, 2]
    assert helpers.pieces.empty()  # or they would gather


def test_a_forked_child_starts_helpers_of_its_own(helped, monkeypatch):
    helpers = sharing._Helpers()
    monkeypatch.setattr(sharing, "_helpers", helpers)
    share(lambda _: None, range(2))
    assert helpers.n == 1
    helpers.forget()
    assert helpers.n == 0
    test_a_helper_helps(None)
    assert helpers.n == 1


@pytest.mark.parametrize("bad", [0, 1])
def test_errors_and_how_numpy_treats_them_cross_over(helped, bad):
    """Piece 1 is a helper's: the caller waits in piece 0 until it is over."""

    def divide(i):
        try:
            assert i or other.wait(60)
            np.array([1.0]) / (0.0 if i == bad else 1.0)
        finally:
            other.set()

    for treatment in ("raise", "ignore"):
        other = threading.Event()
        with np.errstate(divide=treatment):
            if treatment == "raise":
                with pytest.raises(FloatingPointError):
                    share(divide, range(2))
            else:
                share(divide, range(2))
