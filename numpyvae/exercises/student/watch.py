"""`numpyvae exercises watch`: check an exercise whenever its file is saved."""

from __future__ import annotations

import argparse
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import COURSES, Exercise, exercise_numbered
from numpyvae.exercises.judge.judging import Verdict, judge_file
from numpyvae.exercises.sandbox.process import FORKERS
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.sandbox.submitted import SOURCE_BYTES
from numpyvae.exercises.student import hints, report, stubs
from numpyvae.exercises.student.courses import add_course, courses_of, in_words
from numpyvae.exercises.student.terminal import Live, Page, Plain, open_screen

__all__ = ["Files", "add_to"]

PAUSE = 0.15  # seconds between two looks at the files
SETTLES = 0.5  # seconds for which a file may be gone or empty: some editors save like that
COARSE = 3.0  # seconds: how far apart two times must be for every file system to tell them apart
FINISHED = "You have written a variational autoencoder by hand, gradients and all."
KEYS = "h hint  n next  q quit      # passes  x fails  . not done"


def add_to(commands: Any) -> None:
    """Add `watch` to the commands of `numpyvae exercises`."""
    add = commands.add_parser("watch", help="check an exercise whenever its file is saved")
    add.add_argument("folder", type=Path, metavar="FOLDER")
    add.add_argument(
        "number",
        nargs="?",
        metavar="EXERCISE",
        help="where to start; default: the first that does not pass",
    )
    add.add_argument("--seed", default="0", help="of the numbers used for the check")
    add_course(add, part=False)
    add.set_defaults(command=watch)


def watch(arguments: argparse.Namespace) -> int:
    """Check all exercises, then each that is saved, until q is typed or the output is closed.

    ValueError if the folder or the exercise does not exist.
    """
    folder = stubs.existing(arguments.folder)
    there, number = stubs.exercises_in(folder, courses_of(arguments)), arguments.number
    first = None if number is None else exercise_numbered(number, there)
    with FORKERS.kept(), open_screen() as screen:
        watched = _Watched(folder, there, arguments.seed, screen)
        watched.begin(first)
        while not getattr(sys.stdout, "gone", False) and watched.go_on():
            pass
    return 0


class _Look(NamedTuple):
    """What a file looked like."""

    modified: int = 0
    size: int = -1  # -1: there is none
    inode: int = 0
    content: bytes = b""


class Files:
    """The files of a folder, and which of them have been saved.

    By looking, because a network drive does not tell. What counts is the time of the last change,
    the size and the content; the content is read only if the file's status or a recent change gives
    reason to, because times may be coarse and inodes may change by themselves.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._seen = {folder / name: _look(folder / name) for name in names}
        self._recent = dict.fromkeys(self._seen, clock() + COARSE)
        self._bare: dict[Path, float] = {}  # since when a file has been gone or empty

    def saved(self) -> list[str]:
        """The names of the files that have changed since the last call."""
        now = self._clock()
        return [path.name for path in self._seen if self._has_changed(path, now)]

    def _has_changed(self, path: Path, now: float) -> bool:
        seen = self._seen[path]
        if _status(path)[:3] == seen[:3] and now > self._recent[path]:
            return False
        look = _look(path)
        if look._replace(inode=seen.inode) == seen:
            self._seen[path] = look
            self._bare.pop(path, None)
            return False
        if not look.content and now - self._bare.setdefault(path, now) < SETTLES:
            return False
        self._bare.pop(path, None)
        self._seen[path], self._recent[path] = look, now + COARSE
        return True


def _status(path: Path) -> _Look:
    try:
        status = path.lstat()
    except OSError:  # not there, or the network drive is not
        return _Look()
    return _Look(status.st_mtime_ns, status.st_size, status.st_ino)


def _look(path: Path) -> _Look:
    """The status first: what is written after it gives the next look another status."""
    look = _status(path)
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                return look._replace(content=file.read(SOURCE_BYTES))
    except OSError:
        pass
    return look


class _Watched:
    """A student's state: the verdicts, the exercise shown, the hints given for it."""

    def __init__(
        self, folder: Path, exercises: tuple[Exercise, ...], seed: str, screen: Plain | Live
    ) -> None:
        self.folder, self.seed, self.screen = folder, seed, screen
        self.exercises = exercises
        self.files = Files(folder, [e.file for e in self.exercises])
        self.verdicts: dict[int, Verdict] = {}
        self.times: dict[int, str] = {}
        self.current = self.exercises[0]
        self.news: list[str] = []
        self.hints: list[str] = []
        self.prepared: set[int] = set()

    def begin(self, first: Exercise | None) -> None:
        """Check everything, then show `first`, or else the first exercise that does not pass."""
        for i, exercise in enumerate(self.exercises, start=1):
            self.screen.busy(f"Checking {exercise.file} ({i} of {len(self.exercises)})")
            self.verdicts[exercise.number] = self._verdict(exercise)
        self.current = first or self._next_open(self.exercises[-1]) or self.exercises[0]
        self._show()
        if not self.screen.live:
            self.screen.busy(
                "\nSave a file and it is checked. h, n or q and Enter: "
                "a hint, the next exercise, quit."
            )

    def go_on(self) -> bool:
        """Look at keys and files once. False if the student quits."""
        typed = self.screen.keys(PAUSE)
        for key in typed:
            if key == "q":
                return False
            if key == "n":
                self._move_to(self._after(self.current)[0])
                self.news = []
                self._show()
            elif key == "h":
                self._hint()
        saved = self.files.saved()
        if saved:
            self._recheck([e for e in self.exercises if e.file in saved])
        elif self.screen.stale:
            self._show()
        elif not typed:
            self._prepare()
        return True

    def _verdict(self, exercise: Exercise) -> Verdict:
        verdict = judge_file(exercise, self.folder, self.seed, Limits())
        self.times[exercise.number] = time.strftime("%H:%M:%S")
        return verdict

    def _recheck(self, saved: list[Exercise]) -> None:
        """Check what was saved and show it; if it passes, show the next that does not."""
        shown = self.current if self.current in saved else saved[0]
        before = self.current, hints.ladder(self.verdicts[self.current.number])
        for exercise in sorted(saved, key=lambda e: e != shown):
            self.screen.busy(f"Checking {exercise.file}")
            self.verdicts[exercise.number] = self._verdict(exercise)
        self.news = [
            f"{v.exercise.file}: {v.status}, {v.total} of {v.out_of} marks"
            for v in self.verdicts.values()
            if v.exercise in saved and v.exercise != shown
        ]
        if before != (shown, hints.ladder(self.verdicts[shown.number])):
            self.hints = []
        self.current = shown
        verdict = self.verdicts[shown.number]
        following = self._next_open(shown)
        if verdict.status == "pass" and following:
            self.news.append(
                self._paint(
                    f"{shown.file} passes: {verdict.total} of {verdict.out_of} marks. "
                    f"Next: {following.file}",
                    "pass",
                )
            )
            self._move_to(following)
        self._show()

    def _after(self, exercise: Exercise) -> tuple[Exercise, ...]:
        """All exercises, the next one first, and this one last."""
        i = self.exercises.index(exercise) + 1
        return self.exercises[i:] + self.exercises[:i]

    def _next_open(self, exercise: Exercise) -> Exercise | None:
        """The next exercise after this one, round and round, that does not pass."""
        after = self._after(exercise)
        return next((e for e in after if self.verdicts[e.number].status != "pass"), None)

    def _move_to(self, exercise: Exercise) -> None:
        self.current, self.hints = exercise, []

    def _hint(self) -> None:
        try:
            hint = hints.next_hint(self.folder, self.verdicts[self.current.number])
        except OSError as error:  # which hint was given is kept in the folder
            hint = f"no hint: {self.folder} cannot be written to ({error.strerror})"
        if hint not in self.hints:
            self.hints.append(hint)
        self._show(hint)

    def _prepare(self) -> None:
        """While idle, compute what the diagnosis will need, which takes up to a second."""
        number = self.current.number
        if number not in self.prepared:
            self.prepared.add(number)
            for f in self.current.functions:
                reference.single_mistakes(self.current, f, self.seed)
                reference.pairs_of_mistakes(self.current, f, self.seed)

    def _show(self, new: str = "") -> None:
        number = self.current.number
        news = list(self.news)
        if all(v.status == "pass" for v in self.verdicts.values()):
            lines = [f"All {in_words(len(self.exercises))} exercises pass."]
            files = {e.file for e in self.exercises}
            lines += [FINISHED] if {e.file for e in COURSES[1].exercises} <= files else []
            news += [self._paint(line, "pass") for line in lines]
        head = f"Exercise {number}, checked at {self.times[number]}"
        verdict = report.verdict_text(
            self.verdicts[number],
            self.folder,
            self.screen.live,
            self.seed,
            self.screen.width,
        )
        verdicts = [*self.verdicts.values()]
        foot = f"{report.bar(verdicts, number)}  {report.summary(verdicts)}"
        if self.screen.live:
            foot += "\n" + self._paint(KEYS, "not done")
        self.screen.show(
            Page("\n".join(news), f"{head}\n\n{verdict}", "\n".join(self.hints), foot), new
        )

    def _paint(self, text: str, colour: str) -> str:
        return report.paint(text, colour, self.screen.live)
