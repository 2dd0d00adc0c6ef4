"""MNIST: found, verified, downloaded; against a local server that misbehaves in every way."""

import gzip
import hashlib
import io
import os
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from numpyvae.data import load_mnist, mnist, read_idx

SHARED = Path(__file__).parent.parent.parent / "shared" / "mnist"
REAL = next(
    (
        folder
        for folder in (Path(os.environ.get("NUMPYVAE_DATA") or SHARED), SHARED)
        if any(folder.glob("t10k-images-idx3-ubyte*"))
    ),
    None,
)


def small_files():
    """Four files like those of MNIST, with 40 and 10 random images: name -> content."""
    rng = np.random.default_rng(0)
    contents = {}
    for file, n in zip(mnist.FILES, (40, 40, 10, 10), strict=True):
        if "images" in file.name:
            pixels = rng.integers(0, 256, size=(n, 28, 28), dtype=np.uint8)
            contents[file.name] = struct.pack(">4I", 0x803, n, 28, 28) + pixels.tobytes()
        else:
            labels = rng.integers(0, 10, size=n, dtype=np.uint8)
            contents[file.name] = struct.pack(">2I", 0x801, n) + labels.tobytes()
    return contents


CONTENTS = small_files()


class Mirror(BaseHTTPRequestHandler):
    """http://127.0.0.1:port/BEHAVIOUR/FILE.gz serves a file, well or badly."""

    def do_GET(self):
        _, behaviour, name = self.path.split("/")
        self.server.requests.append(self.path)
        content = gzip.compress(CONTENTS[name.removesuffix(".gz")])
        try:
            getattr(self, behaviour)(content)
        except OSError:  # the client has had enough
            self.close_connection = True

    def start(self, length=None):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def good(self, content):
        self.start(len(content))
        self.wfile.write(content)

    def without_length(self, content):
        self.start()
        self.wfile.write(content)

    def uncompressed(self, content):
        self.good(gzip.decompress(content))

    def redirected(self, content):
        self.send_response(302)
        self.send_header("Location", self.path.replace("redirected", "good"))
        self.end_headers()

    def missing(self, content):
        self.send_error(404)

    def broken(self, content):
        self.send_error(500)

    def silent(self, content):
        self.server.stop.wait(10)

    def trickling(self, content):
        self.start(len(content))
        for i in range(len(content)):
            self.wfile.write(content[i : i + 1])
            if self.server.stop.wait(0.02):
                return

    def cut_off(self, content):
        self.start(len(content))
        self.wfile.write(content[: len(content) // 2])

    def cut_off_without_length(self, content):
        self.without_length(content[: len(content) // 2])

    def promising_too_little(self, content):
        self.start(len(content) // 2)
        self.wfile.write(content)

    def promising_too_much(self, content):
        self.start(len(content) + 1000)
        self.wfile.write(content)

    def promising_nonsense(self, content):
        self.start("-5, 7")
        self.wfile.write(content[:20])

    def endless(self, content):
        self.start()
        while not self.server.stop.is_set():
            self.wfile.write(content)

    def unpacking_endlessly(self, content):
        self.good(gzip.compress(gzip.decompress(content) + bytes(20_000_000)))

    def wrong_by_a_bit(self, content):
        plain = bytearray(gzip.decompress(content))
        plain[-1] ^= 1
        self.good(gzip.compress(plain))

    def another_page(self, content):
        self.good(b"<html>Please log in</html>")

    def empty(self, content):
        self.good(b"")

    def log_message(self, *arguments):
        pass


GOOD = ["good", "without_length", "uncompressed", "redirected"]
BAD = {
    "missing": "404",
    "broken": "500",
    "silent": "timed out",
    "trickling": "gave up",
    "cut_off": r"cut off after|IncompleteRead",
    "cut_off_without_length": "truncated or damaged",
    "promising_too_little": "truncated or damaged",
    "promising_too_much": r"cut off after|IncompleteRead",
    "promising_nonsense": "truncated or damaged",
    "endless": r"at most [\d,]+ bytes, got more",
    "unpacking_endlessly": "bytes of data, got more",
    "wrong_by_a_bit": "not the original train-images-idx3-ubyte: expected SHA-256",
    "another_page": "truncated, expected",
    "empty": "truncated, expected",
}


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.daemon_threads = True
        server.stop = threading.Event()
        server.requests = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield server
        server.stop.set()
        server.shutdown()


@pytest.fixture
def mirror(server):
    server.requests.clear()
    return f"http://127.0.0.1:{server.server_address[1]}".__add__


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    """Small files, an empty cache folder, no proxy."""
    files = [
        mnist._File(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    ]
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("NUMPYVAE_DATA", raising=False)


@pytest.fixture
def impatient(monkeypatch, behaviour):
    """Half a second of the patience that the mirror tries, and with no other: they may be busy."""
    patience = {"silent": "TIMEOUT_SECONDS", "trickling": "DEADLINE_SECONDS"}.get(behaviour)
    fetch = mnist._fetch

    def hasty(url, part, limit):
        with monkeypatch.context() as patch:
            if patience and f"/{behaviour}/" in url:
                patch.setattr(mnist, patience, 0.5)
            return fetch(url, part, limit)

    monkeypatch.setattr(mnist, "_fetch", hasty)


def put_files(folder, suffix="", names=CONTENTS):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        content = CONTENTS[name]
        content = gzip.compress(content) if suffix == ".gz" else content
        (folder / f"{name}{suffix}").write_bytes(content)
    return folder


def check(dataset):
    """The data set is the one of CONTENTS, in the form that was promised."""
    names = list(CONTENTS)
    for part, name, offset in zip(dataset, names, (16, 8, 16, 8), strict=True):
        assert part.dtype == (np.uint8 if offset == 16 else np.int64)
        assert part.astype(np.uint8).tobytes() == CONTENTS[name][offset:]
    assert dataset.x_train.shape == (40, 784)
    assert dataset.x_test.shape == (10, 784)
    dataset.x_train[0, 0] = 7  # the caller's own, to be changed


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Found on this machine


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_in_the_given_folder(suffix, tmp_path):
    check(load_mnist(put_files(tmp_path / "here", suffix), download=False))
    check(load_mnist(str(tmp_path / "here")))


def test_files_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPYVAE_DATA", str(put_files(tmp_path / "there")))
    check(load_mnist(download=False))
    check(load_mnist(tmp_path / "empty", download=False))


def test_files_in_the_cache_folder(tmp_path):
    put_files(tmp_path / "cache" / "numpyvae", ".gz")
    check(load_mnist(download=False))


def test_files_scattered_over_the_places(tmp_path, monkeypatch):
    names = list(CONTENTS)
    put_files(tmp_path / "here", "", names[:1])
    put_files(tmp_path / "cache" / "numpyvae", ".gz", names[2:])
    monkeypatch.setenv("NUMPYVAE_DATA", str(put_files(tmp_path / "there", ".gz", names[1:2])))
    check(load_mnist(tmp_path / "here", download=False))


def test_a_missing_file_is_told_with_the_places_where_it_was_sought(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPYVAE_DATA", str(tmp_path / "there"))
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(tmp_path / "here", download=False)
    places = [tmp_path / "here", tmp_path / "there", tmp_path / "cache" / "numpyvae"]
    expected = f"no train-images-idx3-ubyte, with or without .gz, in {', '.join(map(str, places))}"
    assert str(caught.value) == expected
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1] + b"\xff", "not the original t10k-labels-idx1-ubyte"),
        (lambda content: content[:-1], "truncated, expected 18 bytes of data, got 17"),
        (lambda content: content + b"\0", "expected 18 bytes of data, got more"),
        (lambda content: gzip.compress(content)[:-3], "truncated or damaged"),
    ],
)
def test_a_file_that_is_not_the_original_is_refused_and_left(damage, message, tmp_path):
    path = put_files(tmp_path / "here") / "t10k-labels-idx1-ubyte"
    path.write_bytes(damage(CONTENTS[path.name]))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{message}.*; remove it") as caught:
        load_mnist(tmp_path / "here")
    assert str(caught.value).startswith(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "/caches", "/caches/numpyvae"),
        ("linux", "HOME", "/home/ada", "/home/ada/.cache/numpyvae"),
        ("darwin", "HOME", "/Users/ada", "/Users/ada/Library/Caches/numpyvae"),
        ("win32", "LOCALAPPDATA", "/ada/Local", "/ada/Local/numpyvae"),
    ],
)
def test_the_cache_folder_is_the_usual_one(platform, variable, value, expected, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, value)
    assert mnist._folders(None) == [Path(expected)]


# Downloaded


@pytest.mark.parametrize("behaviour", GOOD)
def test_missing_files_are_downloaded_once(behaviour, mirror, server, tmp_path):
    check(load_mnist(mirrors=[mirror(f"/{behaviour}/")]))
    assert files_in(tmp_path) == sorted(f"{name}.gz" for name in CONTENTS)
    n_requests = len(server.requests)
    check(load_mnist(mirrors=[mirror(f"/{behaviour}/")]))
    check(load_mnist(download=False))
    assert len(server.requests) == n_requests


def test_a_given_folder_receives_what_it_lacks(mirror, server, tmp_path):
    names = list(CONTENTS)
    folder = put_files(tmp_path / "new" / "folder", "", names[:3])
    check(load_mnist(folder, mirrors=[mirror("/good")]))
    assert files_in(tmp_path) == sorted([*names[:3], f"{names[3]}.gz"])
    assert server.requests == [f"/good/{names[3]}.gz"]


@pytest.mark.slow(keep=4)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behaviour", BAD)
def test_the_next_mirror_helps_out(behaviour, mirror, tmp_path):
    missing, *present = CONTENTS
    put_files(tmp_path, "", present)
    check(load_mnist(tmp_path, mirrors=[mirror(f"/{behaviour}/"), mirror("/good/")]))
    assert files_in(tmp_path) == sorted([f"{missing}.gz", *present])
    assert gzip.decompress((tmp_path / f"{missing}.gz").read_bytes()) == CONTENTS[missing]


@pytest.mark.slow(keep=4)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("behaviour", "message"), BAD.items())
def test_a_failed_download_says_why_and_leaves_nothing(
    behaviour, message, mirror, server, tmp_path
):
    url = mirror(f"/{behaviour}/")
    with pytest.raises(OSError, match=message) as caught:
        load_mnist(tmp_path / "here", mirrors=[url])
    assert server.requests == [f"/{behaviour}/train-images-idx3-ubyte.gz"], "asked once"
    assert f"could not download train-images-idx3-ubyte: {url}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files_in(tmp_path) == []


def test_every_mirror_is_accounted_for(mirror, tmp_path):
    urls = [mirror("/missing/"), mirror("/wrong_by_a_bit/"), "http://127.0.0.1:1/", "no address"]
    with pytest.raises(OSError, match="can also be put into") as caught:
        load_mnist(tmp_path / "here", mirrors=urls)
    for reason in ("404: Not Found", "SHA-256", "refused", "unknown url type"):
        assert reason in str(caught.value)
    with pytest.raises(OSError, match="no mirrors given"):
        load_mnist(tmp_path / "here", mirrors=[])


def test_an_interrupted_download_leaves_nothing(mirror, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "_verified", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_mnist(tmp_path / "here", mirrors=[mirror("/good/")])
    assert files_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        load_mnist(tmp_path / "file", mirrors=[mirror("/good/")])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_how_far_the_download_has_come(mirror, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    load_mnist(mirrors=[mirror("/good/")])
    lines = sys.stderr.getvalue().splitlines()
    shown = [line for line in lines if line.endswith("train-images-idx3-ubyte.gz: 0.0 of 0.0 MB")]
    assert shown
    assert sys.stderr.getvalue().endswith("MB\n")


def test_elsewhere_each_download_is_one_line(mirror, capsys):
    load_mnist(mirrors=[mirror("/good/")])
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        f"downloading {mirror('/good/')}{name}.gz" for name in CONTENTS
    ]
    assert shown.out == ""


# The real files


@pytest.mark.skipif(REAL is None, reason="MNIST is neither in ../shared/mnist nor $NUMPYVAE_DATA")
def test_the_real_files(monkeypatch):
    monkeypatch.undo()
    dataset = load_mnist(REAL, download=False)
    assert [part.shape for part in dataset] == [(60_000, 784), (60_000,), (10_000, 784), (10_000,)]
    assert [part.dtype for part in dataset] == [np.uint8, np.int64, np.uint8, np.int64]
    assert dataset.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(dataset.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert dataset.x_train.mean() / 255 == pytest.approx(0.1306605, abs=1e-6)
    path = next(REAL.glob("t10k-images-idx3-ubyte*"))
    np.testing.assert_array_equal(read_idx(path).reshape(-1, 784), dataset.x_test)
