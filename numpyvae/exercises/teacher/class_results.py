"""What is written of a graded class: NAME.json, NAME.txt, class.csv, class.png."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.catalogue import COURSES, Course
from numpyvae.exercises.judge.judging import Verdict
from numpyvae.exercises.student.report import summary, verdict_text

__all__ = ["Grade", "Writer", "cell", "common_mistakes", "table"]

CELL_CHARACTERS = 120


class Grade(NamedTuple):
    """What one student has earned."""

    name: str
    file_name: str
    seed: str
    verdicts: tuple[Verdict, ...]
    problem: str = ""  # why nothing of the submission could be read
    seconds: float = 0.0
    notes: tuple[str, ...] = ()  # which files were taken for others
    course: Course = COURSES[1]

    @property
    def total(self) -> int:
        """Marks earned."""
        return sum(verdict.total for verdict in self.verdicts)

    @property
    def out_of(self) -> int:
        """The marks available in the course."""
        return self.course.marks

    @property
    def confined(self) -> bool:
        """Whether every process had the system-call filter."""
        return all(verdict.confined for verdict in self.verdicts)

    @property
    def grader_failed(self) -> bool:
        """Whether an exercise could not be judged for a reason that is not the student's."""
        return any(fault.kind == "grader" for v in self.verdicts for fault in v.faults)

    @property
    def mistakes(self) -> list[str]:
        """The named mistakes, "ex3 half missing"."""
        return [f"ex{v.exercise.number} {n.name}" for v in self.verdicts for n in v.named]

    @property
    def unnamed(self) -> list[str]:
        """Other failures, one text for each function or pair that no named mistake explains."""
        found = []
        for verdict in self.verdicts:
            named = {named.function for named in verdict.named}
            told: dict[str, None] = {}
            for f in verdict.exercise.functions:
                all_own = [t for t in verdict.faults if t.function in f.names]
                misspelt = [t for t in all_own if t.kind == "missing" and ";" in t.text]
                told |= {f"{t.function} {t.text}": None for t in misspelt}
                own = [t for t in all_own if t.kind not in ("not done", "missing", "blocked")]
                if verdict.status == "fail" and own and not named & set(f.names):
                    wrong = own[0].kind in ("value", "inexact")
                    told["wrong results" if wrong else " ".join(own[0].text.split())] = None
            found += [f"ex{verdict.exercise.number} {text:.{CELL_CHARACTERS}}" for text in told]
        return found

    @property
    def look(self) -> list[str]:
        """What a teacher should look at: "ex3 ... looks numerical, have a look"."""
        return [f"ex{v.exercise.number} {text}" for v in self.verdicts for text in v.look]

    def line(self) -> str:
        """One line for the terminal."""
        text = "; ".join([*self.mistakes, *self.unnamed]) if not self.problem else self.problem
        return f"{self.name:<20} {self.total:>3}/{self.out_of}  {text:.100}".rstrip()

    def record(self) -> dict[str, Any]:
        """The result, for JSON."""
        return {
            "student": self.name,
            "total": self.total,
            "out_of": self.out_of,
            "seed": self.seed,
            "problem": self.problem,
            "notes": list(self.notes),
            "exercises": [_record(verdict) for verdict in self.verdicts],
        }

    def text(self) -> str:
        """The result, as text for the student."""
        lines = [f"{self.name}: {summary(self.verdicts)}", f"checked with seed {self.seed}", ""]
        if self.problem:
            return "\n".join([*lines, self.problem, ""])
        if self.notes:
            lines += [*self.notes, ""]
        for verdict in self.verdicts:
            lines.append(verdict_text(verdict, ".", seed=self.seed))
        return "\n".join([*lines, ""])


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "exercise": verdict.exercise.number,
        "file": verdict.exercise.file,
        "status": verdict.status,
        "marks": verdict.marks,
        "out_of": verdict.exercise.marks,
        "faults": [
            dict(zip(("function", "kind", "text"), f[:3], strict=True)) for f in verdict.faults
        ],
        "mistakes": [
            dict(zip(("name", "says", "function"), (n.name, n.says, n.function), strict=True))
            for n in verdict.named
        ],
        "printed": verdict.printed,
        "confined": verdict.confined,
        "have_a_look": list(verdict.look),
    }


def table(grades: Sequence[Grade]) -> str:
    """The class as CSV: a row for each student, sorted as given. It does not depend on the seed."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    course = grades[0].course if grades else COURSES[1]
    columns = [f"ex{exercise.number}" for exercise in course.exercises]
    writer.writerow(
        ["student", "total", *columns, "named mistakes", "other failures", "have a look"]
    )
    for grade in grades:
        others = [grade.problem] if grade.problem else grade.unnamed
        writer.writerow(
            [
                cell(grade.name),
                grade.total,
                *(verdict.total for verdict in grade.verdicts),
                cell("; ".join(grade.mistakes)),
                cell("; ".join(others)),
                cell("; ".join(grade.look)),
            ]
        )
    return content.getvalue()


def cell(text: str) -> str:
    """One line of text that no spreadsheet interprets as a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def common_mistakes(grades: Sequence[Grade]) -> list[tuple[str, int]]:
    """Each named mistake with the number of students who made it, the most common first."""
    counts = Counter(mistake for grade in grades for mistake in set(grade.mistakes))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


class Writer:
    """Writes results into a folder, each whole or not at all.

    Args:
        out: the folder, which exists.
        gradescope: whether to write results.json as well, in a folder for each student.
        alone: there is one submission: its results.json goes into `out` itself.
    """

    def __init__(self, out: Path, gradescope: bool = False, alone: bool = False) -> None:
        self.out, self.gradescope, self.alone = out, gradescope, alone

    def one(self, grade: Grade) -> None:
        """The results of one student. OSError if they cannot be written."""
        self.write(f"{grade.file_name}.json", _json(grade.record()))
        self.write(f"{grade.file_name}.txt", grade.text())
        if self.gradescope:
            from numpyvae.exercises.teacher.gradescope import results

            folder = "." if self.alone else grade.file_name
            (self.out / folder).mkdir(exist_ok=True)
            self.write(f"{folder}/results.json", _json(results(grade)))

    def all_of(self, grades: Sequence[Grade]) -> None:
        """The class table, and the results of every student.

        What fails for one student does not keep the others' from being written; it is raised then.
        """
        self.write("class.csv", table(grades))
        failed: Exception | None = None
        for grade in grades:
            try:
                self.one(grade)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def figure(self, grades: Sequence[Grade]) -> str:
        """Draw class.png and return ", class.png" if that worked. No result depends on it."""
        try:
            from numpyvae.exercises.teacher.class_figure import mistakes_figure

            drawn = mistakes_figure(common_mistakes(grades), len(grades))
            with atomic_write(self.out / "class.png") as file:
                drawn.savefig(file, format="png")
        except ImportError:
            return " (no class.png: it needs Matplotlib)"
        except Exception as error:
            print(f"numpyvae: class.png could not be drawn: {error}", file=sys.stderr)
            return " (no class.png)"
        return ", class.png"

    def write(self, name: str, text: str) -> None:
        """A file of the results."""
        with atomic_write(self.out / name) as file:
            file.write(text.encode("utf-8", "replace"))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
