"""What a folder or an archive holds, file by file: looked at within bounds, and not yet read.

No path of an archive is used, no link is followed, and no function here calls itself.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

__all__ = [
    "ARCHIVES",
    "ARCHIVE_BYTES",
    "UNREAD",
    "Entry",
    "InWords",
    "in_archive",
    "in_folder",
    "is_hidden",
]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
UNREAD = (".rar", ".7z")
ARCHIVE_BYTES, UNPACKED_BYTES = 2**24, 2**27
XZ_BYTES = 2**27  # of memory; `xz -9` asks for 65 MiB
ENTRIES, DEPTH = 20_000, 12  # more files, and folders deeper inside, are not looked at
LIBRARIES = ("site-packages", "node_modules")

CHUNK = 2**16
Unpacker = bz2.BZ2Decompressor | lzma.LZMADecompressor
Wanted = Callable[[str], bool]  # whether a file of that name is of interest


class InWords(ValueError):
    """Why a submission cannot be read."""


class Entry(NamedTuple):
    """A file of a submission: where it is inside, and where it is, or how its bytes are read."""

    path: PurePosixPath
    source: Path | Callable[[int], bytes]  # (at most so many bytes); it may raise anything

    @property
    def name(self) -> str:
        """Without folders."""
        return self.path.name


def is_hidden(name: str) -> bool:
    """Whether a name is none that a student gave: `.git`, `__MACOSX`, libraries."""
    return name.startswith((".", "__")) or name in LIBRARIES


def in_folder(folder: Path, wanted: Wanted) -> Iterator[Entry]:
    """The wanted files in a folder and in the folders inside it, the outer ones first."""
    waiting, seen = deque([(folder, PurePosixPath())]), 0
    while waiting and seen < ENTRIES:
        here, inside = waiting.popleft()
        with os.scandir(here) as listed:
            entries = sorted((e for e in listed if not is_hidden(e.name)), key=lambda e: e.name)
        for entry in entries:
            seen += 1
            is_folder = entry.is_dir(follow_symlinks=False)
            if wanted(entry.name) and (not is_folder or entry.name.endswith(".py")):
                yield Entry(inside / entry.name, Path(entry.path))
            elif is_folder and len(inside.parts) < DEPTH:
                waiting.append((Path(entry.path), inside / entry.name))


@contextlib.contextmanager
def in_archive(name: str, file: IO[bytes], wanted: Wanted) -> Iterator[list[Entry]]:
    """The wanted files of an archive, to be read while it is open. ValueError if it is damaged."""
    is_zip = name.lower().endswith(".zip")
    with contextlib.ExitStack() as stack:
        try:
            if is_zip:
                entries = _of_zip(stack.enter_context(zipfile.ZipFile(file)), wanted)
            else:
                entries = _of_tar(file, wanted)
            yield entries
        except InWords:
            raise
        except Exception as error:  # nearly everything is raised, when bytes are bad enough
            kind = ".zip archive" if is_zip else ".tar archive"
            raise InWords(f"is no {kind} that can be read: {error!s:.120}") from error


def _of_zip(archive: zipfile.ZipFile, wanted: Wanted) -> list[Entry]:
    entries = []
    for info in archive.infolist():
        path = _inside(info.filename)
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        usual = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if path and wanted(path.name) and usual and not is_link and not info.is_dir():

            def read(most: int, info: zipfile.ZipInfo = info) -> bytes:
                with archive.open(info) as member:
                    return member.read(most)

            entries.append(Entry(path, read))
    return entries


def _of_tar(file: IO[bytes], wanted: Wanted) -> list[Entry]:
    """Read at once: a compressed stream is read from its beginning to its end."""
    entries = []
    start = file.read(6)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        stream = _Bounded(gzip.GzipFile(fileobj=file))
    elif start[:3] == b"BZh":
        stream = _Bounded(_Unpacked(file, bz2.BZ2Decompressor))
    elif start == b"\xfd7zXZ\0":
        stream = _Bounded(_Unpacked(file, lambda: lzma.LZMADecompressor(memlimit=XZ_BYTES)))
    else:
        stream = _Bounded(file)
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            path = _inside(member.name)
            if path and wanted(path.name) and member.isfile():
                opened = archive.extractfile(member)
                content = opened.read(ARCHIVE_BYTES + 1) if opened else b""

                def read(most: int, content: bytes = content) -> bytes:
                    return content[:most]

                entries.append(Entry(path, read))
    return entries


def _inside(name: str) -> PurePosixPath | None:
    """A member's path; None if it leads out of the archive, or is hidden, or deep."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    odd = path.is_absolute() or ".." in parts or len(parts) > DEPTH + 1 or not parts
    return None if odd or any(map(is_hidden, parts)) else path


class _Unpacked:
    """What bzip2 or xz has packed, a little at a time: their own files set no limit to memory."""

    def __init__(self, file: IO[bytes], start: Callable[[], Unpacker]) -> None:
        self.file, self.start, self.unpacker = file, start, start()

    def read(self, n: int) -> bytes:
        while True:
            if self.unpacker.eof:  # another stream may follow
                packed = self.unpacker.unused_data or self.file.read(CHUNK)
                self.unpacker = self.start() if packed.strip(b"\0") else self.unpacker
                if self.unpacker.eof:
                    return b""
            else:
                packed = self.file.read(CHUNK) if self.unpacker.needs_input else b""
                if self.unpacker.needs_input and not packed:
                    raise EOFError("it ends too early")
            content = self.unpacker.decompress(packed, n)
            if content:
                return content


class _Bounded:
    """A stream that ends with a ValueError: what is packed may unpack to any length."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile | _Unpacked) -> None:
        self.file, self.left = file, UNPACKED_BYTES

    def read(self, n: int) -> bytes:
        content = self.file.read(min(n, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {UNPACKED_BYTES:,} bytes")
        return content
