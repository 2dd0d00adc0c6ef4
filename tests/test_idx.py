"""IDX files: every type, any rank, and whatever else a file of that name may hold."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpyvae.data import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One file for all examples of a Hypothesis test, which overwrite it."""
    return tmp_path_factory.mktemp("idx") / "file"


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def idx_bytes(x):
    """An IDX file by a second, independent route: elements one at a time."""
    letter = {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}[x.dtype.str[1:]]
    elements = b"".join(struct.pack(f">{letter}", value) for value in x.ravel().tolist())
    return header(CODES[x.dtype.str[1:]], *x.shape) + elements


def read_or_explain(path):
    """The array, or None if the file was refused with a ValueError that names it in one line."""
    try:
        return read_idx(path)
    except ValueError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200
    return None


def peak_bytes_of_refusal(path, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


arrays = hnp.arrays(
    dtype=st.sampled_from(sorted(CODES)),
    shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    elements={"allow_nan": False},
)


@given(x=arrays, compressed=st.booleans())
@settings(max_examples=100)
def test_round_trip(path, x, compressed):
    content = idx_bytes(x)
    path.write_bytes(gzip.compress(content) if compressed else content)
    read = read_idx(str(path))
    assert read.dtype == x.dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, x)


@pytest.mark.parametrize("dtype", sorted(CODES))
def test_each_type_keeps_its_extreme_values(dtype, path):
    limits = np.finfo(dtype) if dtype[0] == "f" else np.iinfo(dtype)
    x = np.array([limits.min, 1, limits.max], dtype=dtype)
    path.write_bytes(idx_bytes(x))
    np.testing.assert_array_equal(read_idx(path), x)


def test_a_worked_example(path):
    path.write_bytes(bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFE]))
    assert read_idx(path).tolist() == [[258, -2]]


@given(content=st.binary(max_size=60))
@settings(max_examples=300)
@example(content=header(0x08, *[1] * 255) + b"\7")
@example(content=header(0x08, 0, *[2**32 - 1] * 4))
@example(content=b"\x1f\x8b")
@example(content=gzip.compress(b""))
@example(content=gzip.compress(gzip.compress(idx_bytes(np.arange(3, dtype="i4")))))
def test_arbitrary_bytes_never_do_harm(path, content):
    path.write_bytes(content)
    read_or_explain(path)


@pytest.mark.slow
@given(
    code=st.sampled_from([*CODES.values(), 0x0A, 0xFF]),
    shape=st.lists(st.integers(0, 5) | st.integers(0, 2**32 - 1), max_size=6),
    body=st.binary(max_size=200),
    compressed=st.booleans(),
)
@settings(max_examples=300)
def test_a_header_is_held_against_the_elements(path, code, shape, body, compressed):
    content = header(code, *shape) + body
    path.write_bytes(gzip.compress(content) if compressed else content)
    x = read_or_explain(path)
    if x is not None:
        assert x.shape == tuple(shape)
        assert x.nbytes == len(body)


@pytest.mark.slow
@given(x=arrays, compressed=st.booleans(), data=st.data())
@settings(max_examples=200)
def test_mutated_files_give_an_array_or_a_clear_error(path, x, compressed, data):
    content = bytearray(gzip.compress(idx_bytes(x)) if compressed else idx_bytes(x))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    read_or_explain(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_off_anywhere_is_refused(compressed, path):
    content = idx_bytes(np.arange(12, dtype="i4").reshape(3, 4))
    content = gzip.compress(content) if compressed else content
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"truncated|damaged|expected an IDX file"):
            read_idx(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_trailing_bytes_are_refused(compressed, path):
    content = idx_bytes(np.arange(12, dtype="u1")) + b"\0"
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match="expected 12 bytes of data, got more"):
        read_idx(path)


def test_rubbish_after_the_compressed_data_is_refused(path):
    path.write_bytes(gzip.compress(idx_bytes(np.arange(12, dtype="u1"))) + b"rubbish")
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_idx(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "shape", [(2**31,), (2**32 - 1, 2**32 - 1), (60_000, 28, 28), (2**32 - 1,) * 8]
)
def test_lying_headers_cost_no_memory(shape, compressed, path):
    content = header(0x08, *shape) + b"\0" * 1000
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert peak_bytes_of_refusal(path, "truncated, expected .* got 1,000") < 200_000


def test_a_compressed_flood_is_read_no_further_than_promised(path):
    content = gzip.compress(header(0x08, 10) + bytes(50_000_000))  # 50 kB in the file
    path.write_bytes(content)
    assert peak_bytes_of_refusal(path, "expected 10 bytes of data, got more") < 1_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file, got one that begins with b''"),
        (b"\0\0\x08", "expected an IDX file"),
        (b"\0\0\x0a\1\0\0\0\1\0", r"expected an IDX file, got one that begins with b'\\x00"),
        (b"\0\1\x08\1\0\0\0\1\0", "expected an IDX file"),
        (b"P5 28 28 255\n", "expected an IDX file, got one that begins with b'P5 2'"),
        (header(0x08, 3, 4)[:-1], "truncated within the lengths of its 2 axes"),
        (header(0x08, *[1] * 100) + b"\0", "dimension"),
    ],
)
def test_what_is_no_idx_file_is_told_so(content, message, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_idx(tmp_path / "nothing")
