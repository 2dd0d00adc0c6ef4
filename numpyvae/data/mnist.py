"""MNIST, found on this machine or downloaded once, and verified byte for byte every time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from numpyvae.data.digits import Dataset
from numpyvae.data.files import atomic_write
from numpyvae.data.untrusted import decompressed, read_promised, refusing_damage
from numpyvae.numerics import Array
from numpyvae.streams import Steady

__all__ = ["load_mnist"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

TIMEOUT_SECONDS = 20.0
"""The longest time in which a mirror may send nothing."""

DEADLINE_SECONDS = 600.0
"""The longest time that a mirror may take for one file."""


class _File(NamedTuple):
    name: str
    n_bytes: int
    sha256: str


FILES = (
    _File(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _File(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _File(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _File(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
"""The original files, uncompressed."""


def load_mnist(
    directory: str | PathLike[str] | None = None,
    download: bool = True,
    *,
    mirrors: Sequence[str] = MIRRORS,
) -> Dataset:
    """70,000 handwritten digits of 28 x 28 pixels: 60,000 to train on and 10,000 to test on.

    Looks for the four files, compressed (.gz) or not, in `directory`, in the folder that the
    environment variable NUMPYVAE_DATA names, and in the user's cache folder. Missing files are
    downloaded (11 MB in all) to `directory`, or without it to the cache folder, and moved into
    place once they are complete and verified. The SHA-256 of every file is checked at every call.

    Args:
        directory: where to look first, and where to put downloaded files.
        download: whether to download missing files.
        mirrors: addresses of folders that hold the .gz files, tried in turn.

    Returns:
        x uint8 (N, 784), 0 background to 255 ink; y int64 (N,): 0..9. `scale_pixels` and
        `binarize_pixels` turn x into what a model takes, one minibatch at a time.

    Raises:
        FileNotFoundError: a file is missing and `download` is False; it names the places searched.
        ValueError: a file on this machine is not the original; it is not changed.
        OSError: no mirror sent the file; it says what each of them did.

    Source: LeCun, Cortes & Burges, The MNIST database of handwritten digits.
    """
    folders = _folders(directory)
    contents = []
    for file in FILES:
        path = _find(file, folders)
        if path is not None:
            contents.append(_read(path, file))
        elif download:
            target = folders[0] if directory is not None else folders[-1]
            contents.append(_download(file, target, mirrors))
        else:
            sought = ", ".join(str(folder) for folder in folders)
            raise FileNotFoundError(f"no {file.name}, with or without .gz, in {sought}")
    x_train, y_train, x_test, y_test = contents
    return Dataset(_images(x_train), _labels(y_train), _images(x_test), _labels(y_test))


def _folders(directory: str | PathLike[str] | None) -> list[Path]:
    """The folders to search, in this order."""
    candidates = (directory, os.environ.get("NUMPYVAE_DATA") or None, _cache_folder())
    return [Path(folder).expanduser() for folder in candidates if folder is not None]


def _cache_folder() -> Path:
    if sys.platform == "win32":
        usual = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        usual = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or usual, "numpyvae")


def _find(file: _File, folders: Sequence[Path]) -> Path | None:
    paths = (folder / f"{file.name}{suffix}" for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path, file: _File) -> bytearray:
    """The content of a file on this machine, decompressed and verified."""
    try:
        with path.open("rb") as stream:
            return _verified(stream, file, str(path))
    except ValueError as error:
        raise ValueError(f"{error}; remove it to have it downloaded again") from error


def _verified(stream: BinaryIO, file: _File, where: str) -> bytearray:
    """The content of `stream`, decompressed; ValueError if it is not the content of `file`."""
    import hashlib  # imported here to keep `import numpyvae` fast

    with refusing_damage(where):
        content = read_promised(decompressed(stream), file.n_bytes, where)
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(
            f"{where}: not the original {file.name}: "
            f"expected SHA-256 {file.sha256[:16]}..., got {digest[:16]}..."
        )
    return content


def _download(file: _File, folder: Path, mirrors: Sequence[str]) -> bytearray:
    """Download a file into `folder`; return its content, decompressed and verified."""
    from http.client import HTTPException  # urllib: half as slow to import as NumPy

    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    with atomic_write(folder / f"{file.name}.gz") as part:
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{file.name}.gz"
            try:
                _fetch(url, part, limit=file.n_bytes + 2**16)
                return _verified(part, file, url)
            except (OSError, HTTPException, ValueError) as error:
                failures.append(str(error) if url in str(error) else f"{url}: {error}")
        raise OSError(
            f"could not download {file.name}: {'; '.join(failures) or 'no mirrors given'}. "
            f"The four files, .gz or not, can also be put into {folder} by hand, or into a folder "
            "that the environment variable NUMPYVAE_DATA names"
        )


def _fetch(url: str, part: BinaryIO, limit: int) -> None:
    """Replace the content of `part` by what `url` sends, at most `limit` bytes."""
    from urllib.request import urlopen

    part.seek(0)
    part.truncate()
    received, deadline = 0, time.monotonic() + DEADLINE_SECONDS
    with _progress_line(url) as show, urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        promised = response.headers.get("Content-Length", "")
        # read1, unlike read, returns what has arrived, so a slow mirror cannot exceed the deadline.
        while chunk := response.read1(2**16):
            received += len(chunk)
            if received > limit:
                raise ValueError(f"{url}: expected at most {limit:,} bytes, got more")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url}: {received:,} bytes in {DEADLINE_SECONDS:g} s, gave up")
            part.write(chunk)
            show(received, promised)
    if promised.isdecimal() and received != int(promised):
        raise ValueError(f"{url}: cut off after {received:,} of {int(promised):,} bytes")


@contextmanager
def _progress_line(url: str) -> Iterator[Callable[[int, str], None]]:
    """Says on standard error what is downloaded and, on a terminal, how much has arrived."""
    stream = Steady(sys.stderr)
    live = stream.isatty()

    def show(received: int, promised: str) -> None:
        if live:
            total = f" of {int(promised) / 1e6:.1f}" if promised.isdecimal() else ""
            print(f"\r{url}: {received / 1e6:.1f}{total} MB", end="", file=stream, flush=True)

    print(f"downloading {url}", end="" if live else "\n", file=stream, flush=True)
    try:
        yield show
    finally:
        if live:
            print(file=stream)


def _images(content: bytearray) -> Array:
    """(N, 784) uint8, from an IDX file with a header of 16 bytes, already verified."""
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(-1, 784)


def _labels(content: bytearray) -> Array:
    """(N,) int64, from an IDX file with a header of 8 bytes, already verified."""
    return np.frombuffer(content, dtype=np.uint8, offset=8).astype(np.int64)
