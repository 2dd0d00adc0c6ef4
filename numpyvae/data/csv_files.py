"""Tables from .csv files: the line of names, the numbers, and what is wrong with other cells."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from numpyvae.numerics import Array

__all__ = ["CellError", "CsvTable", "csv_names", "read_csv"]

MISSING = {"", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "?", "-", "."}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
TEXT = "commas separate the cells"
COMMENTS = ("#", "%", "//")


class CellError(ValueError):
    """A cell that is not a number, with the name of its column or its number, counted from 1."""

    def __init__(self, message: str, column: str = "", is_text: bool = False) -> None:
        super().__init__(message)
        self.column, self.is_text = column, is_text


class CsvTable(NamedTuple):
    """The contents of a .csv file."""

    x: Array
    """(N, D) float64, the columns in `kept`."""
    names: list[str]
    """The names of all columns of the file; empty if it has no line of names."""
    kept: list[int]
    lines: Array
    """(N,) the line of the file, counted from 1 as an editor does, that each row ends on."""
    labels: list[str] | None
    """(N,) the cells of the column of labels, if one was chosen."""


Select = Callable[[list[str], int], tuple[list[int], int | None]]
"""(names, number of columns) -> the columns to read as numbers, and that of the labels."""


def read_csv(path: Path, select: Select | None = None) -> CsvTable:
    """The numbers of a .csv file.

    The first line has names if none of its cells is a number, or if the cells are 0, 1, 2, ...,
    which pandas writes for columns without names. Raises ValueError that names the line and what is
    wrong with it, CellError for a single cell.
    """
    rows = _rows(path)
    first, second = next(rows, None), next(rows, None)
    if first is None:
        raise ValueError(f"{path}: expected numbers, got none")
    names = _names(first[1], second[1] if second else None)
    expected = len(names or first[1])
    kept, label = select(names, expected) if select else (list(range(expected)), None)
    plain = kept == list(range(expected))
    numbers, lines, labels = array("d"), array("q"), []  # 8 bytes each, where a list takes 32
    head = ([] if names else [first]) + ([second] if second else [])
    for line, cells in _chain(head, rows):
        if len(cells) != expected:
            raise ValueError(f"{path}: {_ragged(first, line, cells, expected)}")
        try:
            numbers.extend(map(float, cells if plain else [cells[j] for j in kept]))
        except ValueError:
            raise _cell_error(path, names, first, line, cells, kept) from None
        lines.append(line)
        if label is not None:
            labels.append(cells[label].strip())
    if not lines:
        raise ValueError(f"{path}: expected numbers, got none")
    x = np.frombuffer(numbers).reshape(len(lines), len(kept))
    return CsvTable(x, names, kept, np.array(lines), labels if label is not None else None)


def csv_names(path: Path) -> list[str]:
    """The names of the columns of a .csv file, [] if it has no line of names."""
    rows = _rows(path)
    first, second = next(rows, None), next(rows, None)
    return _names(first[1], second[1] if second else None) if first else []


def _chain(
    head: list[tuple[int, list[str]]], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield from head
    yield from rows


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with the number of the line, counted from 1."""
    # -sig: spreadsheets write a mark. surrogateescape: `_decoded` names the line of a bad byte.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = csv.reader(_decoded(file))
        try:
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    yield lines.line_num, cells
        except csv.Error as error:
            problem = f"{path}: row {lines.line_num}: expected comma-separated text: {error}"
            remedy = ": is a quotation mark not closed?" if "field limit" in str(error) else ""
            raise ValueError(problem + remedy) from error
        except UnicodeError as error:  # in a line that the reader has not counted yet
            where = f"{path}: row {lines.line_num + 1}"
            raise ValueError(f"{where}: expected comma-separated text: {error}") from error


def _decoded(file: TextIO) -> Iterator[str]:
    for line in file:
        if not line.isascii() and (bad := re.search("[\udc80-\udcff]", line)):
            raise UnicodeError(f"the byte 0x{ord(bad[0]) - 0xDC00:x} is not UTF-8")
        yield line


def _names(first: Sequence[str], second: Sequence[str] | None) -> list[str]:
    """The names in the first line, if it is a line of names; else []."""
    names = [cell.strip() for cell in first]
    if first[0].startswith("#"):
        names[0] = names[0].lstrip("# ")  # as numpy.savetxt writes them
    if not any(map(_is_number, first)):
        if second is not None and len(second) == len(first) + 1 and second[-1].strip():
            return ["", *names]  # R leaves out the name of the column of row names
        return names if any(names) else []
    if second is None or _counts(second):
        return []
    unnamed = names[0] == ""
    named = names[1:] if not _is_number(names[0]) else names
    if not (unnamed or len(named) > 1) or not _counts(named):
        return []
    if named[0] == "0":
        pair = len(names) == 2 and any(cell.strip() not in ("0", "1") for cell in second)
        return names if unnamed or pair or len(named) > 2 else []
    # Years, say: names if the next line is not written in whole numbers.
    whole = any(cell.strip().isdigit() for cell in second[-len(named) :])
    return names if len(named) > 2 and not whole else []


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are consecutive whole numbers."""
    start = int(cells[0]) if cells and re.fullmatch(r"[0-9]{1,9}", cells[0].strip()) else None
    return start is not None and [c.strip() for c in cells] == [
        str(start + j) for j in range(len(cells))
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# What is wrong with a line.


def _foreign(first: tuple[int, list[str]], line: int, cells: Sequence[str]) -> str:
    """The sign that the file is in another format, or "" if there is none."""
    for number, row in (first, (line, cells)):
        text = ",".join(row).strip()
        if text.lower().startswith("sep="):
            return f"row {number} is {text[:20]!r}, which only spreadsheets read: remove it"
        if text.startswith(COMMENTS):
            return f"row {number} is a comment, {text[:30]!r}: remove it"
    text, header = ",".join(cells).strip(), ",".join(first[1]).strip()
    for separator, name in SEPARATORS.items():
        parts = text.split(separator if separator != " " else None)
        agree = header.count(separator) == text.count(separator) and separator != " "
        if len(parts) > 1 and (agree or all(_is_number(p.replace(",", ".")) for p in parts)):
            comma = next((p for p in parts if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", p)), None)
            decimal = f" and decimal points ({comma!r} has a decimal comma)" if comma else ""
            return f"row {line}: {name} separate the cells: expected commas{decimal}"
    return ""


def _ragged(first: tuple[int, list[str]], line: int, cells: Sequence[str], expected: int) -> str:
    """Why a line has more or fewer cells than the first."""
    if foreign := _foreign(first, line, cells):
        return foreign
    reason = ""
    if len(cells) == 2 * expected and all(cell.strip(" +-").isdigit() for cell in cells):
        reason = f" (a decimal comma in '{cells[0]},{cells[1]}'? expected decimal points)"
    elif len(cells) > expected and not any(cell.strip() for cell in cells[expected:]):
        reason = " (a comma ends the line)"
    return f"row {line} has {len(cells)} cells, expected {expected} as in row {first[0]}{reason}"


def _cell_error(
    path: Path,
    names: list[str],
    first: tuple[int, list[str]],
    line: int,
    cells: Sequence[str],
    kept: Sequence[int],
) -> CellError:
    """What is wrong with the first cell of the line that is not a number."""
    column = next(j for j in kept if not _is_number(cells[j]))
    cell, name = cells[column], names[column] if names else ""
    foreign = _foreign(first, line, cells)
    if foreign and not foreign.startswith(f"row {line}: "):
        return CellError(f"{path}: {foreign}")
    reason = _reason(cell)
    if foreign:
        reason = "commas separate the cells; here " + foreign.removeprefix(f"row {line}: ")
    where = f" in {name[:40]!r}" if name and not foreign else ""
    return CellError(
        f"{path}: row {line}, column {column + 1}: expected a number, "
        f"got {cell[:40]!r}{where} ({reason})",
        "" if foreign else name or str(column + 1),
        reason == TEXT,
    )


def _reason(cell: str) -> str:
    """Why a cell is not a number."""
    text = cell.strip()
    if text.lower() in MISSING:
        return "a missing value: fill it in, or leave out its row or column"
    if re.fullmatch(r"[+-]?\d{1,3}([,' ]\d{3})+(\.\d*)?", text):
        return "a thousands separator: write the digits alone"
    if re.fullmatch(r"[+-]?[\d.]*\d,\d+([eE][+-]?\d+)?", text):
        return "a decimal comma: expected a decimal point"
    if text.lower() in ("true", "false"):
        return "write 1 for true and 0 for false"
    return TEXT
