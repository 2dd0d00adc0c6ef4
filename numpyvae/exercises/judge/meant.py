"""Which exercise a file is meant for, by its name. This is in the students' kit, too."""

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["NAME_CHARACTERS", "Name", "meant"]

NAME_CHARACTERS = 255


class Name(NamedTuple):
    """A file's name, read: `ann_12_34_ex0_dense (1).py` is ann_12's ex0_dense.py, copy 1."""

    file: str  # the exercise's
    before: str
    rank: tuple[bool, bool, bool, int]  # the least is the best


def meant(name: str, files: tuple[str, ...]) -> Name | None:
    """What a file's name says; None if it names none of `files`, "ex0_dense.py" and so on."""
    match = _pattern(files).fullmatch(name) if len(name) <= NAME_CHARACTERS else None
    if match is None:
        return None
    stem = re.sub("[ _-]", "", match["stem"]).lower()
    file = next(file for file in files if _stem(file).replace("_", "") == stem)
    copy = match["copy"] or ""
    number = max((int(n[:9]) for n in re.findall(r"\d+", copy)), default=0)
    is_notebook = ".ipynb" in match["end"].lower()
    return Name(file, match["before"], (name != file, is_notebook, bool(copy), -number))


def _stem(file: str) -> str:
    return file.rpartition(".")[0]


@lru_cache
def _pattern(files: tuple[str, ...]) -> re.Pattern[str]:
    stems = "|".join(_stem(file).replace("_", "[ _-]?") for file in files)
    return re.compile(
        rf"(?P<before>(?:.*[^a-z0-9])?)(?P<stem>{stems})(?P<copy>[^a-z0-9.].*?)?"
        r"(?P<end>(?:\.py|\.ipynb)+(?:\.txt|\.json)?|\.txt)",
        re.IGNORECASE,
    )
