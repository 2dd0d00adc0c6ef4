"""What students have handed in: folders and .zip archives, read once, before any of it is run.

Of an archive only the ten known files are taken, under their own names: no path in it is ever used.
Links are not followed. What cannot be read is a problem of that student, in words, and no error.
"""

from __future__ import annotations

import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from numpyvae.exercises.catalogue import EXERCISES
from numpyvae.exercises.sandbox import SOURCE_BYTES, read_submitted

__all__ = ["Submission", "file_names", "find", "is_one", "read_one"]

FILES = tuple(exercise.file for exercise in EXERCISES)
ARCHIVE_BYTES = 2**24
RESULT_SUFFIXES = (".json", ".txt", ".csv", ".png")
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


class Submission(NamedTuple):
    """What one student has handed in."""

    name: str
    sources: dict[str, str]  # file -> its text
    problems: dict[str, str]  # file -> why it could not be read
    problem: str = ""  # why nothing could be read


def find(
    path: Path, apart_from: Iterable[Path] = (), single: bool = False
) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, sorted by name, and the names of what was passed over.

    A folder that holds exercises itself, or an archive, is one submission; with `single`, whatever
    is there. ValueError if there is no submission, FileNotFoundError if there is no such path.
    """
    if not single and not path.exists():
        raise FileNotFoundError(f"{path}: no such folder")
    if not single and path.is_file() and path.suffix.lower() != ".zip":
        raise ValueError(f"{path}: expected a folder of submissions, or one as a .zip")
    if single or is_one(path):
        return [read_one(path.resolve())], []
    excluded = {other.resolve() for other in apart_from}
    found: list[Submission] = []
    ignored: list[str] = []
    for entry in sorted(path.iterdir()):
        if _is_hidden(entry.name) or (not entry.is_symlink() and entry.resolve() in excluded):
            continue
        if entry.is_symlink() or entry.is_dir() or entry.suffix.lower() == ".zip":
            found.append(read_one(entry))
        else:
            ignored.append(_text(entry.name))
    if not found:
        raise ValueError(f"{path}: expected a folder or a .zip for each student, found none")
    return sorted(found, key=lambda submission: submission.name), ignored


def is_one(path: Path) -> bool:
    """Whether a path is a submission itself, and no folder of submissions."""
    return path.is_file() or any((path / file).exists() for file in FILES)


def read_one(path: Path) -> Submission:
    """A folder or an archive as one submission, whatever is in it."""
    name = _text(path.name)
    name = name[:-4] if name.lower().endswith(".zip") else name
    try:
        if path.is_symlink():
            raise ValueError("is a link, which is not followed")
        sources, problems = _read_folder(path) if path.is_dir() else _read_archive(path)
    except OSError as error:
        return Submission(name, {}, {}, f"the submission cannot be read: {error.strerror}")
    except ValueError as error:
        return Submission(name, {}, {}, f"the submission {error}")
    none = f"the submission holds none of the exercises' files{_others(path)}"
    return Submission(name, sources, problems, "" if sources or problems else none)


def _others(path: Path) -> str:
    """What else a folder holds: a misnamed file is easily seen there."""
    if not path.is_dir():
        return ""
    names = sorted(_text(entry.name) for entry in path.rglob("*.py"))[:5]
    return f", but {', '.join(names)}" if names else ""


def _text(name: str) -> str:
    """A file's name as text that every encoding and terminal can take."""
    name = name.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in name)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _read_folder(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The files in a folder, or in the folder or the one archive inside it."""
    inside = sorted(entry for entry in folder.iterdir() if not _is_hidden(entry.name))
    folders = [folder, *(e for e in inside if e.is_dir() and not e.is_symlink())]
    counts = [sum((f / file).is_file() for file in FILES) for f in folders]
    if counts[0]:
        return _read_files(folder)
    if any(counts):
        return _read_files(folders[counts.index(max(counts))])
    archives = [e for e in inside if e.suffix.lower() == ".zip"]
    if len(archives) > 1:
        raise ValueError(f"holds {len(archives)} archives, expected one")
    return _read_archive(archives[0]) if archives else _read_files(folder)


def _read_files(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    sources, problems = {}, {}
    for file in FILES:
        try:
            sources[file] = read_submitted(folder / file)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            problems[file] = str(error)
    return sources, problems


def _read_archive(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The known files of a .zip. ValueError if it is damaged, encrypted or none."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not an ordinary file")
    if status.st_size > ARCHIVE_BYTES:
        raise ValueError(f"has {status.st_size:,} bytes, expected at most {ARCHIVE_BYTES:,}")
    with tempfile.TemporaryDirectory(prefix="numpyvae-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                for file, info in _members(archive):
                    with archive.open(info) as member:
                        (Path(folder) / file).write_bytes(member.read(SOURCE_BYTES + 1))
        except Exception as error:  # zipfile raises nearly everything, when bytes are bad enough
            raise ValueError(f"is no .zip archive that can be read: {error!s:.120}") from error
        return _read_files(Path(folder))


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Of all folders in an archive that which holds the most of the known files."""
    folders: dict[PurePosixPath, dict[str, zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        usual = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if path.name in FILES and usual and not is_link and "__MACOSX" not in path.parts:
            folders.setdefault(path.parent, {})[path.name] = info
    if folders:
        best = min(folders, key=lambda f: (-len(folders[f]), len(f.parts), str(f)))
        yield from folders[best].items()


def file_names(names: Iterable[str]) -> list[str]:
    """A name to store each student's results under: without tricks, and all of them different."""
    taken: set[str] = set()
    out = []
    for name in names:
        base = re.sub(r"[^\w.-]+", "_", name).strip("._")
        base = base.encode()[:80].decode("utf-8", "ignore") or "student"
        if base.lower().endswith(RESULT_SUFFIXES) or base.lower().split(".")[0] in DEVICES:
            base = f"{base}_"
        if base.lower() == "class":
            base = f"{base}_"
        unique, n = base, 1
        while unique.lower() in taken:
            n += 1
            unique = f"{base}-{n}"
        taken.add(unique.lower())
        out.append(unique)
    return out
