"""`numpyvae exercises grade`: a class of submissions, a result for each, one table, one figure.

Each exercise runs in a process of its own, so one that hangs or crashes costs itself alone. Results
are kept in memory, written as each student is done, and all of them once more at the end: nothing
that a submission may have done to the files meanwhile counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpyvae.exercises.judge import tasks
from numpyvae.exercises.judge.catalogue import ALL, COURSES, Course, Exercise, draw_points
from numpyvae.exercises.judge.compare import Fault
from numpyvae.exercises.judge.judging import Verdict, judge
from numpyvae.exercises.sandbox.process import FORKERS, Trouble
from numpyvae.exercises.sandbox.runner import LIMITS, Limits
from numpyvae.exercises.student.courses import add_course, course_of
from numpyvae.exercises.teacher import alike, class_results, submissions
from numpyvae.exercises.teacher.class_results import Grade
from numpyvae.exercises.teacher.hand_in import UNREAD
from numpyvae.exercises.teacher.submissions import Submission
from numpyvae.validation import counted, positive_int

__all__ = ["add_to", "grade_class", "grade_one"]

INTERRUPTED = 130
LEAST_MEMORY = 512  # MiB: with less, NumPy itself may not start
JUDGING = threading.Lock()  # the reference's results are made with modules of this process
UNCONFINED = (
    "numpyvae: this system has no system-call filter for student code: run the grader in a "
    "container (docs/coursework.md, Is student code safe to run?)"
)


class Run(NamedTuple):
    """The settings that all students of a run share."""

    seed: str
    limits: Limits = LIMITS
    jobs: int = 1
    compare: bool = False
    course: Course = COURSES[1]


def add_to(commands: Any) -> None:
    """Add `grade` to the commands of `numpyvae exercises`."""
    add = commands.add_parser(
        "grade",
        help="grade a class: marks, named mistakes, a table and a figure",
        description="Grade a folder that holds a folder or a .zip for each student, or a single "
        "submission. Each student gets OUT/NAME.txt to read and OUT/NAME.json; the class gets "
        "OUT/class.csv and OUT/class.png.",
    )
    option = add.add_argument
    option("submissions", type=Path, metavar="SUBMISSIONS", help="a folder")
    option(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the results go (default: %(default)s)",
    )
    add_course(add)
    option(
        "--seed", help="seed of the numbers used for the check (default: drawn anew, and printed)"
    )
    option(
        "--jobs",
        type=int,
        default=_processors(),
        metavar="N",
        help="students graded at a time (default: %(default)s, the processors)",
    )
    option(
        "--seconds",
        type=int,
        default=LIMITS.seconds,
        metavar="S",
        help="seconds of processor time for each exercise (default: %(default)s)",
    )
    option(
        "--memory",
        type=int,
        default=LIMITS.memory // 2**20,
        metavar="MIB",
        help="for each exercise (default: %(default)s)",
    )
    option(
        "--compare",
        action="store_true",
        help="also write OUT/alike.csv: submissions that look alike",
    )
    option("--gradescope", action="store_true", help="also write results.json for Gradescope")
    option(
        "--single",
        action="store_true",
        help="treat SUBMISSIONS as one submission, whatever it holds",
    )
    add.set_defaults(command=grade)


def grade(arguments: argparse.Namespace) -> int:
    """Grade, print a line for each student, write all results; exit code 130 after Ctrl-C."""
    run = Run(
        arguments.seed or secrets.token_hex(8),
        Limits(
            positive_int("--seconds", arguments.seconds),
            positive_int("--memory", arguments.memory, least=LEAST_MEMORY) * 2**20,
        ),
        positive_int("--jobs", arguments.jobs),
        arguments.compare,
        course_of(arguments),
    )
    path, out = arguments.submissions, arguments.out
    expected = run.course.exercises if arguments.exercises else ALL
    found, ignored = submissions.find(path, [out], arguments.single, expected)
    unread = submissions.unread(ignored)
    for name in ignored:
        if not name.lower().endswith(UNREAD):
            _warn(f"numpyvae: skipping {name}: expected a folder, a .zip or a .tar.gz")
    found = sorted([*found, *unread], key=lambda submission: submission.name)
    out.mkdir(parents=True, exist_ok=True)
    alone = arguments.single or submissions.is_one(path, expected)
    writer = class_results.Writer(out, arguments.gradescope, alone)
    _say(f"to grade: {len(found)}; seed {run.seed} (--seed {run.seed} repeats this run)")
    grades, interrupted = _grade_and_show(found, run, writer)
    writer.all_of(grades)
    _say(f"{out}/: results of {len(grades)}, class.csv{writer.figure(grades)}")
    if run.compare:
        pairs = alike.pairs_of(grades)
        writer.write("alike.csv", alike.table(pairs))
        _say(f"{out}/alike.csv: {counted(len(pairs), 'pair')} to look at")
    if interrupted:
        _warn(f"numpyvae: interrupted, {len(found) - len(grades)} of {len(found)} not graded")
        return INTERRUPTED
    failed = [g.name for g in grades if g.grader_failed]
    if failed:
        _warn(f"numpyvae: the grader itself failed for {', '.join(failed)}: see their results")
    return 1 if failed else 0


def _grade_and_show(
    found: Sequence[Submission], run: Run, writer: class_results.Writer
) -> tuple[list[Grade], bool]:
    """The grades so far, sorted by name, and whether Ctrl-C ended the run."""
    grades: list[Grade] = []
    warned = interrupted = False
    try:
        with contextlib.closing(grade_class(found, run)) as results:
            for result in results:
                grades.append(result)
                with contextlib.suppress(Exception):  # the end, which writes all, will tell
                    writer.one(result)
                if not (warned or result.confined):
                    warned = True
                    _warn(UNCONFINED)
                _say(f"{len(grades):>{len(str(len(found)))}}/{len(found)} {result.line()}")
                for text in result.notes:
                    _say(f"{'':>{2 * len(str(len(found))) + 1}} {text}")
    except KeyboardInterrupt:
        interrupted = True
    return sorted(grades, key=lambda g: (g.name, g.file_name)), interrupted


def grade_class(found: Sequence[Submission], run: Run) -> Generator[Grade, None, None]:
    """The grade of each submission, as soon as it is there, in any order."""
    names = submissions.file_names(submission.name for submission in found)
    stop = threading.Event()
    pool = ThreadPoolExecutor(run.jobs)
    with FORKERS.kept(), contextlib.ExitStack() as stack:
        # at the end, also at Ctrl-C, the exercises that run now come to theirs, and no other begins
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        stack.callback(stop.set)
        waiting = [
            pool.submit(grade_one, submission, name, run, stop)
            for submission, name in zip(found, names, strict=True)
        ]
        for done in as_completed(waiting):
            yield done.result()


def grade_one(
    submission: Submission, file_name: str, run: Run, stop: threading.Event | None = None
) -> Grade:
    """Judge all exercises of one submission. A failure in one does not affect the others."""
    started = time.perf_counter()
    verdicts = []
    for exercise in run.course.exercises:
        if stop is not None and stop.is_set():
            break
        try:
            verdicts.append(_verdict(exercise, submission, run))
        except Exception as error:  # of ours: it must not take the other students' results along
            text = f"the grader itself failed, with {type(error).__name__}: {error!s:.200}"
            text = str(error) if isinstance(error, Trouble) else text
            verdicts.append(_not_run(exercise, "fail", "grader", text))
    seconds = time.perf_counter() - started
    problem, notes = submission.problem, submission.notes
    return Grade(
        submission.name, file_name, run.seed, tuple(verdicts), problem, seconds, notes, run.course
    )


def _verdict(exercise: Exercise, submission: Submission, run: Run) -> Verdict:
    if exercise.file in submission.problems:
        return _not_run(exercise, "fail", "error", submission.problems[exercise.file])
    source = submission.sources.get(exercise.file)
    if source is None:
        return _not_run(exercise, "not done", "not done", f"there is no {exercise.file}")
    points = draw_points(exercise, run.seed)
    outcome = tasks.run(exercise, source, points, run.limits, run.compare)
    with JUDGING, np.errstate(all="ignore"):
        return judge(exercise, outcome, run.seed)


def _not_run(exercise: Exercise, status: str, kind: str, text: str) -> Verdict:
    faults = tuple(Fault(name, kind, text) for name in exercise.marks)
    return Verdict(exercise, status, dict.fromkeys(exercise.marks, 0), faults)


def _processors() -> int:
    """The number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
