"""What students have handed in: folders and archives, read once, before any of it is run.

Only the exercises' files are taken, also where their names were changed on the way (`file_names`).
What cannot be read is a problem of that student, in words, and no error.
"""

from __future__ import annotations

import io
import re
import stat
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from numpyvae.exercises.judge.catalogue import ALL, Exercise
from numpyvae.exercises.sandbox.cells import as_python
from numpyvae.exercises.sandbox.submitted import SOURCE_BYTES, read_submitted
from numpyvae.exercises.student import notebook
from numpyvae.exercises.student.courses import exercises_of
from numpyvae.exercises.student.stubs import stub
from numpyvae.exercises.teacher.file_names import choose, is_wanted, meant, others, student_of
from numpyvae.exercises.teacher.hand_in import (
    ARCHIVE_BYTES,
    ARCHIVES,
    UNREAD,
    Entry,
    InWords,
    in_archive,
    in_folder,
    is_hidden,
)

__all__ = ["Submission", "file_names", "find", "is_one", "read_one", "unread"]

NOTEBOOK_BYTES = 2**23  # with its pictures
PACKED = 3  # archives in one another
RESULT_SUFFIXES = (".json", ".txt", ".csv", ".png")
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}

Exercises = Sequence[Exercise]
Read = tuple[dict[str, str], dict[str, str], tuple[str, ...]]  # sources, problems, notes


class Submission(NamedTuple):
    """What one student has handed in."""

    name: str
    sources: dict[str, str]  # file -> its text
    problems: dict[str, str]  # file -> why it could not be read
    problem: str = ""  # why nothing could be read
    notes: tuple[str, ...] = ()  # which files were read as others


def find(
    path: Path,
    apart_from: Iterable[Path] = (),
    single: bool = False,
    exercises: Exercises = ALL,
) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, sorted by name, and the names of what was passed over.

    A folder that holds exercises itself, or an archive, is one submission; with `single`, whatever
    is there. Files named after their students, as Canvas does, are one submission for each student.
    ValueError if there is no submission, FileNotFoundError if there is no such path.
    """
    if not single and not path.exists():
        raise FileNotFoundError(f"{path}: no such folder")
    if not single and path.is_file() and not _is_archive(path):
        raise ValueError(f"{path}: expected a folder of submissions, or one as a .zip")
    if single or is_one(path, exercises):
        return [read_one(path.resolve(), exercises)], []
    excluded = {other.resolve() for other in apart_from}
    found: list[Submission] = []
    ignored: list[str] = []
    flat: dict[str, list[Path]] = {}
    files = _files(exercises)
    for entry in sorted(path.iterdir()):
        if is_hidden(entry.name) or (not entry.is_symlink() and entry.resolve() in excluded):
            continue
        student = student_of(entry.name, files)
        if entry.is_dir() or (_is_archive(entry) and not student):
            found.append(read_one(entry, exercises))
        elif student and is_wanted(entry.name, files):
            flat.setdefault(student, []).append(entry)
        elif entry.is_symlink():
            found.append(read_one(entry, exercises))
        else:
            ignored.append(_text(entry.name))
    found += [_read_flat(student, own, exercises) for student, own in flat.items()]
    if not found:
        raise ValueError(f"{path}: expected a folder or a .zip for each student, found none")
    return sorted(found, key=lambda submission: submission.name), ignored


def is_one(path: Path, exercises: Exercises = ALL) -> bool:
    """Whether a path is a submission itself, not a folder of submissions."""
    if path.is_file():
        return True
    files = _files(exercises)
    named = (meant(entry.name, files) for entry in path.iterdir()) if path.is_dir() else ()
    return any(name is not None and not name.before for name in named)


def read_one(path: Path, exercises: Exercises = ALL) -> Submission:
    """A folder or an archive as one submission, whatever is in it."""
    suffix = next((s for s in ARCHIVES if path.name.lower().endswith(s)), "")
    name = _text(path.name)[: -len(suffix) or None]
    try:
        if path.is_symlink():
            raise ValueError("is a link, which is not followed")
        if path.is_dir():
            wanted = partial(is_wanted, files=_files(exercises))
            read = _read(list(in_folder(path, wanted)), exercises)
        else:
            read = _read_archive(Entry(PurePosixPath(path.name), path), exercises)
        return _submission(name, *read)
    except OSError as error:
        return Submission(name, {}, {}, f"the submission cannot be read: {error.strerror}")
    except ValueError as error:
        return Submission(name, {}, {}, f"the submission {error}")


def _read_flat(student: str, files: Sequence[Path], exercises: Exercises) -> Submission:
    """The files of one student, from a folder that holds the files of all."""
    if len(files) == 1 and _is_archive(files[0]):
        return read_one(files[0], exercises)
    try:
        entries = [Entry(PurePosixPath(f.name), f) for f in files]
        return _submission(_text(student), *_read(entries, exercises))
    except ValueError as error:
        return Submission(_text(student), {}, {}, f"the submission {error}")


def _submission(
    name: str, sources: dict[str, str], problems: dict[str, str], notes: tuple[str, ...]
) -> Submission:
    if sources or problems:
        return Submission(name, sources, problems, notes=notes)
    none = "the submission holds none of the exercises' files"
    return Submission(name, {}, {}, "; ".join((none, *notes)))


def _read(entries: Sequence[Entry], exercises: Exercises, depth: int = 0) -> Read:
    """The exercises' files, or those in the single archive found instead."""
    chosen, said = choose(entries, _files(exercises))
    archives = [entry for entry in entries if _is_archive(entry.path)]
    if not chosen and archives and depth < PACKED:
        if len(archives) > 1:
            raise InWords(f"holds {len(archives)} archives, expected one")
        return _read_archive(archives[0], exercises, depth + 1)
    sources: dict[str, str] = {}
    problems: dict[str, str] = {}
    for exercise in exercises:
        file = exercise.file
        for name in (file, notebook.name_for(exercise)):
            if name in chosen and _is_untouched(sources.get(file), exercise):
                try:
                    sources[file] = _code(chosen[name], name, exercise)
                except (OSError, ValueError) as error:
                    problems[file] = _text(str(error))
                    break
    read = tuple(f"{file} is read" for file in problems)
    said = [
        s for s in said if not (s.startswith(read) or any(f"read as {f}" in s for f in problems))
    ]
    said += [_not_read(e.name) for e in entries if e.name.lower().endswith(UNREAD)][:5]
    there = {*sources, *problems}
    all_of_them = exercises_of(there) if exercises == ALL else exercises
    missing = [e.file for e in all_of_them if e.file not in there]
    if missing and (unknown := others(entries, _files(exercises))):
        said.append(f"not recognised: {unknown}; expected names such as {missing[0]}")
    return sources, problems, tuple(map(_text, said))


def unread(names: Iterable[str]) -> list[Submission]:
    """The .rar and .7z files among `names`, as submissions that cannot be read."""
    return [
        Submission(name.rpartition(".")[0], {}, {}, _not_read(name))
        for name in names
        if name.lower().endswith(UNREAD)
    ]


def _not_read(name: str) -> str:
    return f"{name} cannot be read: expected a .zip"


def _read_archive(entry: Entry, exercises: Exercises, depth: int = 0) -> Read:
    """What an archive holds. ValueError if it is damaged, encrypted, too large or none."""
    content = _content(entry, ARCHIVE_BYTES)
    wanted = partial(is_wanted, files=_files(exercises))
    with in_archive(entry.name, io.BytesIO(content), wanted) as entries:
        return _read(entries, exercises, depth)


def _content(entry: Entry, most: int) -> bytes:
    """A file's bytes. ValueError if it is not an ordinary file, is damaged, or is too large."""
    if isinstance(entry.source, Path):
        status = entry.source.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise InWords("is not an ordinary file")
        if status.st_size > most:
            raise InWords(f"has {status.st_size:,} bytes, expected at most {most:,}")
        return entry.source.read_bytes()
    content = entry.source(most + 1)
    if len(content) > most:
        raise InWords(f"holds {entry.name}, which has more than {most:,} bytes")
    return content


def _is_untouched(source: str | None, exercise: Exercise) -> bool:
    """Whether there is no file, or the one handed out: then a notebook counts."""
    return source is None or source.split() == stub(exercise).split()


def _code(found: Sequence[Entry], file: str, exercise: Exercise) -> str:
    """The text of the exercise in a student's files. ValueError unless it is one."""
    texts = {_code_in(entry, exercise.file, exercise.marks) for entry in found}
    if len(texts) > 1:
        names = " and ".join(sorted(entry.name for entry in found)[:3])
        raise ValueError(f"cannot choose between {names}: keep one file, {file}")
    return texts.pop()


def _code_in(entry: Entry, file: str, functions: Iterable[str]) -> str:
    """The Python text of a student's file. ValueError if it holds none."""
    if ".ipynb" in entry.name.lower():
        text = _content(entry, NOTEBOOK_BYTES).decode("utf-8-sig", "replace")
        return as_python(text, functions, entry.name)
    if isinstance(entry.source, Path):
        return as_python(read_submitted(entry.source), functions, entry.name)
    with tempfile.TemporaryDirectory(prefix="numpyvae-") as folder:
        path = Path(folder) / file
        path.write_bytes(entry.source(SOURCE_BYTES + 1))
        return as_python(read_submitted(path), functions, entry.name)


def _files(exercises: Exercises) -> tuple[str, ...]:
    return tuple(e.file for e in exercises)


def _is_archive(path: Path | PurePosixPath) -> bool:
    return path.name.lower().endswith(ARCHIVES)


def _text(name: str) -> str:
    """A file's name as text that every encoding and terminal can show."""
    name = name.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in name)


def file_names(names: Iterable[str]) -> list[str]:
    """A safe and unique name for each student's results."""
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
