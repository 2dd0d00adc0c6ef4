"""Digits, toy sets, minibatches, and a user's own files."""

import functools
import hashlib
import importlib.util
import io
import os
import pickle
import re
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpyvae.data import (
    THREE_GAUSSIANS,
    GaussianMixture,
    LinearGaussian,
    atomic_write,
    binarize_pixels,
    gaussian_mixture,
    linear_gaussian,
    load_digits,
    minibatches,
    npy,
    pinwheel,
    read_array,
    scale_pixels,
    spiral,
)

TOYS = [gaussian_mixture, spiral, pinwheel, linear_gaussian]
PLANE_TOYS = [gaussian_mixture, spiral, pinwheel]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a Hypothesis test, which overwrite the same file."""
    return tmp_path_factory.mktemp("files")


def peak_bytes(action):
    """The most memory that Python and NumPy held at once during `action()`, and its result."""
    tracemalloc.start()
    try:
        result = action()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


# Digits


def test_digits_are_the_published_ones_in_the_published_split():
    digits = load_digits()
    content = b"".join(part.astype(np.uint8).tobytes() for part in digits)
    assert [part.shape for part in digits] == [(1437, 64), (1437,), (360, 64), (360,)]
    assert hashlib.sha256(content).hexdigest() == (
        "22f6e66341fd438356748e0ac0d9dfaa1407a4bfbf5189a67e52f2177a922362"
    )


def test_digits_have_the_types_that_training_takes():
    digits = load_digits()
    assert [part.dtype for part in digits] == [np.float32, np.int64, np.float32, np.int64]
    for x in (digits.x_train, digits.x_test):
        assert x.flags.c_contiguous
        assert set(np.unique(x)) == set(range(17))


def test_each_class_has_its_share_of_the_test_set():
    digits = load_digits()
    in_test = np.bincount(digits.y_test, minlength=10)
    in_all = np.bincount(digits.y_train, minlength=10) + in_test
    assert np.abs(in_test - in_all / 5).max() < 1


def test_binary_digits_are_the_majority_of_sixteen_dots():
    counts, binary = load_digits(), load_digits(binary=True)
    assert binary.x_train.dtype == np.float32
    np.testing.assert_array_equal(binary.x_train, np.where(counts.x_train >= 9, 1, 0))
    np.testing.assert_array_equal(binary.x_test, np.where(counts.x_test >= 9, 1, 0))


def test_digits_belong_to_the_caller():
    load_digits().x_train[:] = 99.0
    assert load_digits().x_train.max() == 16


def test_digits_are_those_of_scikit_learn():
    sklearn_digits = pytest.importorskip("sklearn.datasets").load_digits()
    digits = load_digits()
    ours = np.column_stack([np.vstack([digits.x_train, digits.x_test]), np.hstack(digits[1::2])])
    theirs = np.column_stack([sklearn_digits.data, sklearn_digits.target])
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


def test_the_script_that_made_the_digits_makes_them_again(tmp_path):
    pytest.importorskip("sklearn.datasets")
    path = Path(__file__).parent.parent / "docs" / "make_digits.py"
    spec = importlib.util.spec_from_file_location("make_digits", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    embedded = script.TARGET
    script.TARGET = tmp_path / "digits.npz"
    script.main()
    with np.load(embedded) as old, np.load(script.TARGET) as new:
        assert sorted(old) == sorted(new) == ["counts", "labels", "test_rows"]
        for name in old:
            np.testing.assert_array_equal(old[name], new[name])
    first = script.TARGET.read_bytes()
    os.utime(tmp_path)
    script.main()
    assert script.TARGET.read_bytes() == first


# Toy sets


def plane_grid(half_width, n):
    axis, step = np.linspace(-half_width, half_width, n, retstep=True)
    x, y = np.meshgrid(axis, axis)
    return np.column_stack([x.ravel(), y.ravel()]), step**2


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("extra_variance", [0.0, 0.3])
@pytest.mark.parametrize("toy", PLANE_TOYS)
def test_densities_integrate_to_one(toy, extra_variance, rng):
    points, area = plane_grid(6.0, 201)  # steps of 0.06, below every standard deviation
    log_prob = toy(1, rng).truth.log_prob(points, extra_variance)
    assert np.exp(log_prob).sum() * area == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("toy", PLANE_TOYS)
def test_extra_variance_is_the_convolution_with_gaussian_noise(toy, rng):
    x, _, truth = toy(5, rng)
    noise_variance = 0.04
    points, area = plane_grid(4.0, 201)
    squares = ((x[:, None] - points) ** 2).sum(axis=-1)
    kernel = np.exp(-0.5 * squares / noise_variance) / (2 * np.pi * noise_variance)
    convolved = kernel @ np.exp(truth.log_prob(points)) * area
    np.testing.assert_allclose(np.exp(truth.log_prob(x, noise_variance)), convolved, rtol=1e-5)


def test_mixture_density_is_the_sum_that_its_docstring_shows():
    mixture = GaussianMixture([0.25, 0.75], [[0.0, 0.0, 1.0], [2.0, -1.0, 0.0]], [4.0, 0.5])
    at_first_mean = 0.25 / (8 * np.pi) ** 1.5 + 0.75 * np.exp(-6 / (2 * 0.5)) / np.pi**1.5
    assert mixture.log_prob(np.array([[0.0, 0.0, 1.0]]))[0] == pytest.approx(np.log(at_first_mean))


def test_linear_gaussian_density_is_the_integral_over_z(rng):
    x, _, truth = linear_gaussian(7, rng)
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(120)
    z = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)  # (14400, 2)
    z_weights = np.outer(node_weights, node_weights).ravel() / (2 * np.pi)
    variance = truth.noise_variance + 0.5
    squares = ((x[:, None] - z @ truth.weights.T - truth.mean) ** 2).sum(axis=-1)
    p = np.exp(-0.5 * squares / variance) @ z_weights / (2 * np.pi * variance) ** 2.5
    np.testing.assert_allclose(truth.log_prob(x, extra_variance=0.5), np.log(p), rtol=1e-9)


@pytest.mark.parametrize("extra_variance", [0.0, 0.3])
@pytest.mark.parametrize("toy", TOYS)
def test_scores_are_the_gradients_of_the_log_densities(toy, extra_variance, rng):
    x, _, truth = toy(20, rng)
    x = x + 0.3 * rng.standard_normal(x.shape)  # off the arms too
    step = 1e-5
    for d in range(x.shape[1]):
        shift = step * np.eye(x.shape[1])[d]
        rise = truth.log_prob(x + shift, extra_variance) - truth.log_prob(x - shift, extra_variance)
        score = truth.score(x, extra_variance)[:, d]
        np.testing.assert_allclose(score, rise / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("toy", TOYS)
def test_samples_come_from_the_density_that_comes_with_them(toy, rng):
    """E[score] = 0 and E[x score^T] = -I for points of the density itself, and for no others."""
    x, _, truth = toy(20_000, rng)
    score = truth.score(x)
    products = (x[:, :, None] * score[:, None, :]).reshape(len(x), -1)  # (N, D * D)
    measured = np.hstack([score, products])
    expected = np.hstack([np.zeros(x.shape[1]), -np.eye(x.shape[1]).ravel()])
    error = measured.std(axis=0) / np.sqrt(len(x))
    assert (np.abs(measured.mean(axis=0) - expected) < 4.5 * error).all()


def test_scores_stay_right_far_away():
    far = np.array([[1e4, -1e4]])
    score = THREE_GAUSSIANS.score(far)
    np.testing.assert_allclose(score, (THREE_GAUSSIANS.means[:1] - far) / 0.25)
    assert np.isfinite(THREE_GAUSSIANS.log_prob(far)).all()


def test_labels_are_components_and_arms(rng):
    x, labels, truth = gaussian_mixture(4000, rng)
    np.testing.assert_allclose(np.bincount(labels) / 4000, truth.weights, atol=0.03)
    for k in range(3):
        np.testing.assert_allclose(x[labels == k].mean(axis=0), truth.means[k], atol=0.06)
        np.testing.assert_allclose(x[labels == k].var(axis=0), truth.variances[k], rtol=0.2)
    for toy in (spiral, pinwheel):
        x, labels, truth = toy(300, rng, arms=3)
        distance = ((x[:, None] - truth.means) ** 2).sum(axis=-1)  # (N, K)
        nearest_arm = distance.argmin(axis=1) // 100
        assert set(labels) == {0, 1, 2}
        assert (labels == nearest_arm).mean() > 0.95


def test_linear_gaussian_gives_the_latent_of_each_point(rng):
    x, z, truth = linear_gaussian(4000, rng)
    residual = x - z @ truth.weights.T - truth.mean
    np.testing.assert_allclose(np.cov(residual.T), truth.noise_variance * np.eye(5), atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.1)


@pytest.mark.parametrize("toy", TOYS)
def test_toys_depend_on_the_generator_alone(toy):
    first, again, other = (toy(9, np.random.default_rng(seed)).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_a_toy_of_ones_own(rng):
    mixture = GaussianMixture([1.0], [[5.0, 5.0, 5.0]], [1e-6])
    assert gaussian_mixture(10, rng, mixture).x == pytest.approx(5.0, abs=0.01)
    line = LinearGaussian([[3.0], [4.0]], [1.0, 1.0], 1e-9)
    x, z, truth = linear_gaussian(10, rng, line)
    assert truth is line
    np.testing.assert_allclose(x, 1 + z * [3.0, 4.0], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: gaussian_mixture(0, rng), "n must be at least 1, got 0"),
        (lambda rng: spiral(5, 7), "rng must be a numpy.random.Generator, got 7"),
        (lambda rng: spiral(5, rng, arms=0), "arms must be at least 1"),
        (lambda rng: pinwheel(5, rng, noise=0.0), "noise must be a finite number above 0"),
        (lambda rng: GaussianMixture([0.5, 0.6], np.eye(2), [1, 1]), "sum to 1"),
        (lambda rng: GaussianMixture([0.5, 0.5], np.eye(2), [1, 0]), "variances must be positive"),
        (lambda rng: GaussianMixture([1.0], np.eye(2), [1, 1]), r"\(K,\), \(K, D\), \(K,\), got"),
        (lambda rng: LinearGaussian(np.eye(2), [0, 0, 0], 1.0), r"\(D, L\), \(D,\), got"),
        (lambda rng: LinearGaussian(np.eye(2), [0, 0], 0.0), "noise_variance must be"),
        (lambda rng: THREE_GAUSSIANS.score(np.zeros((4, 3))), r"\(N, 2\), got \(4, 3\)"),
        (lambda rng: THREE_GAUSSIANS.log_prob(np.zeros((1, 2)), -1.0), "extra_variance must be"),
    ],
)
def test_toys_name_a_mistake(make, message, rng):
    with pytest.raises((ValueError, TypeError), match=message):
        make(rng)


def test_a_truth_does_not_change():
    with pytest.raises(ValueError, match="read-only"):
        THREE_GAUSSIANS.means[0] = 0.0


# Minibatches


@given(
    n=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.none() | st.integers(0, 2**32 - 1)
)
def test_every_row_comes_exactly_once(n, batch_size, seed):
    x = np.arange(3 * n).reshape(n, 3)
    rng = None if seed is None else np.random.default_rng(seed)
    batches = list(minibatches(x, batch_size, rng))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size
    rows = np.vstack(batches)
    np.testing.assert_array_equal(rows if rng is None else rows[rows[:, 0].argsort()], x)
    assert all(not np.shares_memory(batch, x) for batch in batches)


def test_the_order_is_random_and_new_in_each_pass(rng):
    x = np.arange(1000).reshape(-1, 1)
    first, second = (np.vstack(list(minibatches(x, 64, rng))).ravel() for _ in range(2))
    for order in (first, second):
        assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15
    assert (first == second).mean() < 0.02


def test_a_batch_can_be_kept_and_changed(rng):
    x = np.arange(12.0).reshape(6, 2)
    for generator in (rng, None):
        kept = []
        for batch in minibatches(x, 2, generator):
            kept.append((batch, batch.copy()))
        for batch, copy in kept:
            np.testing.assert_array_equal(batch, copy)
            batch[:] = -1.0
    np.testing.assert_array_equal(x, np.arange(12.0).reshape(6, 2))


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("kind", ["plain", "columns", "fortran", "memmap"])
def test_only_minibatches_are_copied(kind, shuffled, tmp_path, rng):
    x = rng.integers(0, 256, size=(4000, 1000), dtype=np.uint8)  # 4 MB
    if kind == "columns":
        x = np.hstack([x, x])[:, ::2]
    elif kind == "fortran":
        x = np.asfortranarray(x)
    elif kind == "memmap":
        np.save(tmp_path / "x.npy", x)
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
    total = 0

    def one_pass():
        nonlocal total
        for batch in minibatches(x, 50, rng if shuffled else None):
            assert type(batch) is np.ndarray
            total += batch.sum(dtype=np.int64)

    peak, _ = peak_bytes(one_pass)
    assert total == x.sum(dtype=np.int64)
    assert peak < 400_000  # two batches of 50 kB, the permutation of 32 kB, and small things


class Doubler:
    def __call__(self, batch):
        return 2 * batch

    def draw(self, batch, rng):
        return batch + rng.integers(10, 20)


def with_default(batch, factor=3):
    return factor * batch


def with_optional_rng(batch, rng=None):
    return batch + rng.integers(10, 20)


def with_positional(batch, generator, /):
    return batch + generator.integers(10, 20)


@pytest.mark.parametrize(
    ("transform", "low", "high"),
    [
        (lambda batch: batch + 1, 2, 2),
        (lambda batch, rng: batch + rng.integers(10, 20), 11, 20),
        (Doubler(), 2, 2),
        (Doubler().draw, 11, 20),
        (with_default, 3, 3),
        (with_optional_rng, 11, 20),
        (with_positional, 11, 20),
        (functools.partial(with_default, factor=7), 7, 7),
        (np.negative, -1, -1),
    ],
)
def test_a_transform_gets_the_generator_if_it_asks_for_one(transform, low, high, rng):
    x = np.ones((10, 2), dtype=np.int64)
    rows = np.vstack(list(minibatches(x, 3, rng, transform)))
    assert rows.shape == (10, 2)
    assert rows.min() >= low
    assert rows.max() <= high


def test_rows_in_order_with_a_transform_that_draws(rng):
    x = np.arange(10).reshape(10, 1)
    batches = minibatches(x, 3, rng, lambda batch, rng: batch + 0 * rng.integers(5), shuffle=False)
    np.testing.assert_array_equal(np.vstack(list(batches)), x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((3, 2)), 0, None), ValueError, "batch_size must be at least 1, got 0"),
        ((np.ones((3, 2)), 2.0, None), TypeError, "batch_size must be an integer, got 2.0"),
        (([[1, 2]], 2, None), TypeError, r"x must be a NumPy array .*got list"),
        ((np.ones(3), 2, None), ValueError, r"shape \(N, D\).*got \(3,\)"),
        ((np.ones((0, 2)), 2, None), ValueError, r"at least one row, got \(0, 2\)"),
        ((np.ones((3, 2)), 2, 0), TypeError, "rng must be a numpy.random.Generator or None, got 0"),
        ((np.ones((3, 2)), 2, None, binarize_pixels), ValueError, "expected a Generator as rng"),
    ],
)
def test_minibatches_name_a_mistake_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        minibatches(*arguments)


def test_pixels_are_scaled_exactly():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    scaled = scale_pixels(pixels)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, (np.arange(256).reshape(16, 16) / 255).astype(np.float32))
    with pytest.raises(TypeError, match="uint8 pixels, got float32"):
        scale_pixels(scaled)


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_a_pixel_becomes_one_with_its_brightness_as_probability(value, rng):
    n = 4_000_000  # enough to tell 128/255 from 128/256
    binary = binarize_pixels(np.full(n, value, dtype=np.uint8), rng)
    p = value / 255
    assert binary.dtype == np.float32
    assert set(np.unique(binary)) <= {0.0, 1.0}
    assert abs(binary.mean(dtype=np.float64) - p) <= 4.5 * np.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_brightness_may_be_given_as_a_fraction(dtype, rng):
    p = np.array([0.0, 0.3, 1.0], dtype=dtype)
    binary = binarize_pixels(np.tile(p, (100_000, 1)), rng)
    assert binary.dtype == np.float32
    np.testing.assert_allclose(binary.mean(axis=0), p, atol=0.007)
    assert set(binary[:, 0]) == {0.0}
    assert set(binary[:, 2]) == {1.0}


def test_pixels_are_drawn_independently_and_anew(rng):
    x = np.full((200, 50), 128, dtype=np.uint8)
    first, second = binarize_pixels(x, rng), binarize_pixels(x, rng)
    assert abs((first == second).mean() - 0.5) < 0.03
    assert 0.3 < first.mean(axis=0).min() < first.mean(axis=0).max() < 0.7


@pytest.mark.parametrize("bad", [[1.5], [-0.1], [float("nan")]])
def test_brightness_outside_its_range_is_refused(bad, rng):
    with pytest.raises(ValueError, match=r"floats in \[0, 1\], got"):
        binarize_pixels(np.array([0.5, *bad]), rng)


def test_integers_that_are_no_pixels_are_refused(rng):
    with pytest.raises(TypeError, match=r"uint8 or floats .* got int64"):
        binarize_pixels(np.array([1], dtype=np.int64), rng)


# Files


numeric_arrays = hnp.arrays(
    dtype=st.sampled_from(["u1", "<i2", ">i4", "<i8", "<f4", ">f4", "<f8", ">f8", "?"]),
    shape=hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5),
)


def expected_rows(x):
    return x.reshape(len(x), -1)


@given(x=numeric_arrays, fortran=st.booleans(), packed=st.sampled_from(["npy", "npz", "deflate"]))
def test_numpy_files_round_trip(folder, x, fortran, packed):
    stored = np.asfortranarray(x) if fortran else x
    path = folder / ("x.npy" if packed == "npy" else "x.npz")
    {"npy": np.save, "npz": np.savez, "deflate": np.savez_compressed}[packed](path, stored)
    read = read_array(path)
    assert read.dtype == x.dtype.newbyteorder("=")
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, expected_rows(x))
    read[0, 0] = 1  # the caller's own, to be changed


@given(x=hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)))
def test_csv_files_round_trip(folder, x):
    text = "\n".join(",".join(repr(float(value)) for value in row) for row in x)
    (folder / "x.csv").write_text(text)
    read = read_array(folder / "x.csv")
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, x)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4.5",
        "1,2\n3,4.5\n",
        "a,b\n1,2\n3,4.5\n",
        "\ufeff1,2\n3,4.5",
        "\ufeffa,b\r\n1,2\r\n3,4.5\r\n",
        '"height","weight, kg"\n"1","2"\n3, 4.5 \n',
        "\n\n1,2\n\n3,4.5\n ,\n",
        ",b\n1,2\n3,4.5",
    ],
)
def test_csv_dialects(text, tmp_path):
    path = tmp_path / "X.CSV"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_array(str(path)), [[1.0, 2.0], [3.0, 4.5]])


def test_not_a_number_and_infinity_are_left_to_the_caller(tmp_path):
    (tmp_path / "x.csv").write_text("1,nan\ninf,2\n")
    np.testing.assert_array_equal(read_array(tmp_path / "x.csv"), [[1, np.nan], [np.inf, 2]])


def test_large_arrays_are_mapped_not_read(tmp_path, monkeypatch):
    x = np.arange(24.0).reshape(4, 3, 2)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x[:, :, 0]))
    monkeypatch.setattr(npy, "MEMORY_MAP_BYTES", 50)
    for name, expected in (("x.npy", x.reshape(4, 6)), ("f.npy", x[:, :, 0])):
        read = read_array(tmp_path / name)
        assert isinstance(read, np.memmap)
        assert not read.flags.writeable
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    ("arrays", "key", "expected"),
    [
        ({"anything": 1}, None, 1),
        ({"y": 1, "x": 2, "data": 3}, None, 2),
        ({"y": 1, "data": 3, "x_train": 2}, None, 2),
        ({"y": 1, "data": 3}, None, 3),
        ({"y": 1, "x": 2}, "y", 1),
    ],
)
def test_which_array_of_an_archive_is_read(arrays, key, expected, tmp_path):
    arrays = {name: np.full((2, 2), value) for name, value in arrays.items()}
    np.savez(tmp_path / "x.npz", **arrays)
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz", key), np.full((2, 2), expected))


class Trap:
    """Leaves a trace when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def npy_bytes(x, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, x, allow_pickle=allow_pickle)
    return file.getvalue()


def npz_bytes(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


TABLE = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"1,2", "named .npy, .npz or .csv, got '.txt'"),
        ("x", b"1,2", "named .npy, .npz or .csv, got ''"),
        ("x.npy", b"", "an empty file"),
        ("x.csv", b"", "an empty file"),
        ("x.npy", b"1,2\n", "expected a .npy file, got one that begins with b'1,2"),
        ("x.npz", b"1,2\n", "expected a .npz file, got one that begins with b'1,2"),
        ("x.npy", npz_bytes(x=TABLE), "expected a .npy file, got one that begins like a .npz"),
        ("x.npz", npy_bytes(TABLE), "expected a .npz file, got one that begins like a .npy"),
        ("x.csv", npy_bytes(TABLE), "expected a .csv file, got one that begins like a .npy"),
        ("x.csv", b"\x1f\x8b\x08\0\0\0", "expected a .csv file, got one that begins like a .gz"),
        ("x.npy", pickle.dumps(Trap()), "got one that begins like a .pickle"),
        ("x.npy", npy_bytes(np.array([[Trap()]]), allow_pickle=True), "pickled Python objects"),
        ("x.npz", npz_bytes(x=np.array([[Trap()]])), "array 'x': .* pickled Python objects"),
        ("x.npy", npy_bytes(TABLE)[:-1], r"promises 48 bytes .*\(2, 3\).* the file holds 47"),
        ("x.npy", npy_bytes(TABLE) + b"!", "promises 48 bytes .* the file holds 49"),
        ("x.npy", npy_bytes(TABLE)[:50], "its .npy header cannot be read"),
        ("x.npy", b"\x93NUMPY\x09\x00" + b" " * 99, "its .npy header cannot be read"),
        ("x.npz", npz_bytes(x=TABLE)[:-9], "truncated or damaged"),
        (
            "x.npz",
            npz_bytes(x=TABLE).replace(b"\x08@", b"\x09@"),
            "array 'x': .*Bad CRC",
        ),
        ("x.npy", npy_bytes(1j * TABLE), "real numbers, got an array of complex128"),
        ("x.npy", npy_bytes(np.array([["a"]])), "real numbers, got an array of <U1"),
        ("x.npy", npy_bytes(np.array([["2020"]], "M8[Y]")), "real numbers, got an array of dat"),
        ("x.npy", npy_bytes(np.zeros(3, "f4,f4")), "real numbers, got an array of "),
        ("x.npy", npy_bytes(np.arange(3)), r"\(N, D\) .* got shape \(3,\)"),
        ("x.npy", npy_bytes(np.array(3)), r"\(N, D\) .* got shape \(\)"),
        ("x.npy", npy_bytes(np.ones((0, 3))), r"\(N, D\) .* got shape \(0, 3\)"),
        ("x.npy", npy_bytes(np.ones((3, 0))), r"\(N, D\) .* got shape \(3, 0\)"),
        ("x.npz", npz_bytes(), "expected one array, .* got 0 arrays"),
        ("x.npz", npz_bytes(a=TABLE, b=TABLE), "x, x_train or data, got 2 arrays: 'a', 'b'"),
        ("x.csv", b"a,b\n", "expected numbers, got none"),
        ("x.csv", b"\n \n", "expected numbers, got none"),
        ("x.csv", b"a,b\n1,2\n3,four\n", "row 3, column 2: expected a number, got 'four'"),
        ("x.csv", b"label,0,1\n1,2,3\n", "row 1, column 1: expected a number, got 'label'"),
        ("x.csv", b"1,2\n3,\n", "row 2, column 2: expected a number, got ''"),
        ("x.csv", b"1;2\n3;4\n", "row 2, column 1: .* got '3;4' .commas separate"),
        ("x.csv", b"1,2\n\n3,4,5\n", "row 3 has 3 cells, expected 2"),
        ("x.csv", b"1,2\n3,\xff\xfe\n", "row 2: expected comma-separated text"),
        (
            "x.csv",
            b"1," + b"2" * 200_000,
            "row 1: expected comma.*: is a quotation mark not closed",
        ),
        ("x.csv", b'1,2\n3,"4\n' + b"5,6\n" * 40_000, "row .*: is a quotation mark not closed"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_what_is_wrong(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_array(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 250
    assert not Trap.sprung


def test_keys_that_do_not_fit(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n")
    np.savez(tmp_path / "x.npz", a=TABLE)
    with pytest.raises(ValueError, match="key='a' picks an array of an"):
        read_array(tmp_path / "x.csv", key="a")
    with pytest.raises(ValueError, match=r"expected 'b', got 1 arrays: 'a'"):
        read_array(tmp_path / "x.npz", key="b")


def test_a_missing_file_is_named(tmp_path):
    for name in ("x.npy", "x.npz", "x.csv"):
        with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
            read_array(tmp_path / name)


def lying_npy(shape):
    header = repr({"descr": "<f8", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (118 - len(header))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 1000


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2**20, 2**17), "promises 1,099,511,627,776 bytes .* the file holds 1,000"),
        ((2**62, 2**62), "promises .* the file holds 1,000"),
        ((1,) * 70, "promises 8 bytes .* the file holds 1,000"),
        ((-1, -125), r"the impossible shape \(-1, -125\)"),
        ((0, 2**70), "promises 0 bytes"),
    ],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_lying_npy_headers_cost_no_memory(name, shape, message, tmp_path):
    path = tmp_path / name
    content = lying_npy(shape)
    path.write_bytes(content)
    if name == "x.npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
    peak, error = peak_bytes(lambda: catch(ValueError, read_array, path))
    assert re.search(message, str(error))
    assert peak < 500_000


def test_an_archive_whose_own_directory_lies_too_costs_no_memory(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", lying_npy((2**14, 2**14)))
    with zipfile.ZipFile(path) as archive:
        real_size = archive.infolist()[0].file_size
    content = path.read_bytes()
    claimed = struct.pack("<I", 2**31 + real_size - 1000)
    start = content.index(b"PK\x01\x02")  # the directory at the end, which zipfile believes
    path.write_bytes(content[: start + 24] + claimed + content[start + 28 :])
    peak, error = peak_bytes(lambda: catch(ValueError, read_array, path))
    assert "truncated" in str(error)
    assert peak < 500_000


def catch(kind, function, *arguments):
    with pytest.raises(kind) as caught:
        function(*arguments)
    return caught.value


CONTENTS = {
    "x.npy": npy_bytes(TABLE),
    "y.npy": npy_bytes(TABLE.astype(">i2")),
    "x.npz": npz_bytes(x=TABLE, y=TABLE[0]),
    "x.csv": b"a,b\n1,2\n3,4\n",
}


@given(name=st.sampled_from(sorted(CONTENTS)), data=st.data())
def test_damaged_files_give_numbers_or_a_clear_error(folder, name, data):
    content = bytearray(CONTENTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), at]))]
    content += data.draw(st.binary(max_size=3))
    path = folder / name
    path.write_bytes(content)
    try:
        x = read_array(path)
    except ValueError as error:
        message = str(error)
    else:
        assert x.ndim == 2
        assert x.size
        return
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 300


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_numpy_file_cut_off_anywhere_is_refused(name, tmp_path):
    content = CONTENTS[name]
    path = tmp_path / name
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=name):
            read_array(path)


# Writing


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        np.savez(file, x=TABLE)
        file.flush()
        assert path.read_bytes() == b"old"
    np.testing.assert_array_equal(read_array(path), TABLE)
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_disk_before_it_gets_the_name(tmp_path, monkeypatch):
    seen = []

    def fsync(descriptor):
        seen.append((os.fstat(descriptor).st_size, (tmp_path / "x").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "x") as file:
        file.write(b"12345")
    assert seen == [(5, False)]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failed_write_leaves_what_was_there(error, existed, tmp_path):
    path = tmp_path / "x.bin"
    if existed:
        path.write_bytes(b"old")

    def fail_half_way():
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert list(tmp_path.iterdir()) == [path] * existed
    assert not existed or path.read_bytes() == b"old"


def test_a_written_file_has_the_usual_permissions(tmp_path):
    with atomic_write(tmp_path / "ours") as file:
        file.write(b"x")
    (tmp_path / "usual").write_bytes(b"x")
    ours, usual = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual"))
    assert ours == usual


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"x"


def test_where_a_file_cannot_be_written_is_said_before_any_work(tmp_path):
    def write(path):
        with atomic_write(path):
            pytest.fail("the block must not be entered")

    with pytest.raises(FileNotFoundError, match="nowhere: no such folder to write x"):
        write(tmp_path / "nowhere" / "x.npz")
    with pytest.raises(IsADirectoryError, match="expected the name of a file, got a folder"):
        write(tmp_path)
