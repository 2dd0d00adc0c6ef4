"""Which exercise a file is meant for, from its name, which downloads and platforms change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from numpyvae.exercises.judge.catalogue import ALL
from numpyvae.exercises.judge.meant import NAME_CHARACTERS, Name
from numpyvae.exercises.judge.meant import meant as meant_of
from numpyvae.exercises.student import notebook
from numpyvae.exercises.teacher.hand_in import ARCHIVES, UNREAD, Entry, is_hidden

__all__ = ["FILES", "Name", "choose", "is_code", "is_wanted", "meant", "others", "student_of"]

FILES = tuple(exercise.file for exercise in ALL)
"""What is looked for unless a teacher's own exercises are."""
NOTEBOOKS = tuple(sorted({*notebook.NAMES.values()}, key=len, reverse=True))
"""The longest first, for a name is read as the first that is in it."""

Files = tuple[str, ...]
CANVAS = re.compile(r"(?P<student>.+?_)(?:late_)?(?P<user>\d+)_\d+_.*", re.IGNORECASE)
KIT = (
    "given.py",
    "check.py",
    "yours.py",
    "estimators.py",
    "cells.py",
    "meant.py",
    "gradient_check",
)


def meant(name: str, files: Files = FILES) -> Name | None:
    """What a file's name says; None if it names no exercise, and no notebook of a course."""
    if named := meant_of(name, files):
        return named
    course = meant_of(name, NOTEBOOKS)
    return course if course and ".ipynb" in name.lower() else None


def student_of(name: str, files: Files = FILES) -> str:
    """Whose file it is, in a folder with files of many students; "" if the name does not say."""
    canvas = CANVAS.fullmatch(name) if len(name) <= NAME_CHARACTERS else None
    if canvas:
        return canvas["student"] + canvas["user"]
    named = meant(name, files)
    return named.before.strip(" _-.") if named else ""


def is_code(name: str, files: Files = FILES) -> bool:
    """Whether a file may be what a student wrote."""
    return meant(name, files) is not None or name.lower().endswith((".py", ".ipynb", ".py.txt"))


def is_wanted(name: str, files: Files = FILES) -> bool:
    """Whether a file is looked at: code, or an archive that may hold it."""
    is_packed = name.lower().endswith((*ARCHIVES, *UNREAD))
    return not is_hidden(name) and (is_code(name, files) or is_packed)


def choose(
    entries: Sequence[Entry], files: Files = FILES
) -> tuple[dict[str, list[Entry]], list[str]]:
    """For each exercise, and each notebook of a course, the files that are as good as each other,
    mostly one; and what to say.

    Of two folders with the same exercise one is taken: that with files of the very names expected,
    the outermost, the one with more exercises. Of the files in it the one of the expected name is
    taken, then that without a number, then that of the highest number.
    """
    folders: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        if name := meant(entry.name, files):
            folders.setdefault(str(entry.path.parent), {}).setdefault(name.file, []).append(entry)
    chosen: dict[str, list[Entry]] = {}
    passed_over = []
    for folder in sorted(folders, key=lambda f: _order(f, folders[f])):
        if chosen.keys() & folders[folder].keys():
            passed_over.append(f"{folder}/" if folder != "." else "the outermost folder")
        else:
            chosen |= folders[folder]
    said = [f"ignored: {_some(passed_over)}, which hold the same exercises"] if passed_over else []
    for file in sorted(chosen):
        found = chosen[file]
        ranks = [_rank(entry, file) for entry in found]
        chosen[file] = [e for e, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
        left = [e.name for e, rank in zip(found, ranks, strict=True) if rank != min(ranks)]
        if chosen[file][0].name != file or left:
            ignored = f", {_some(left)} {'are' if left[1:] else 'is'} ignored" if left else ""
            taken = chosen[file][0].name
            said.append(f"{taken} is read{f' as {file}' if taken != file else ''}{ignored}")
    return chosen, said


def _order(folder: str, files: dict[str, list[Entry]]) -> tuple[bool, bool, int, int, str]:
    exact = any(entry.name == file for file, found in files.items() for entry in found)
    return not exact, folder != ".", -len(files), folder.count("/"), folder


def _rank(entry: Entry, file: str) -> tuple[bool, bool, bool, int]:
    name = meant(entry.name, (file,))
    assert name is not None
    return name.rank


def others(entries: Iterable[Entry], files: Files = FILES) -> str:
    """The other files of a submission, so that a misnamed file is easy to see."""
    unknown = (e for e in entries if is_code(e.name) and not meant(e.name, files))
    return _some(sorted({e.name for e in unknown if not {*KIT} & {*e.path.parts}}))


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
