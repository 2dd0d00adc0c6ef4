"""Coursework: exercises on backprop through sampling that name the student's mistake.

Four rooms, and each imports only from those before it:

- `sandbox`: a student's file, read and run in a process of its own, without trust
- `judge`: the exercises, the right results, what differs, and which mistake it is
- `student`: stubs, the verdict in words, hints, the live page of `watch`
- `teacher`: submissions, grading, Gradescope, notebooks, the kit, lint

`command` puts their commands together: `numpyvae exercises ...`. One submission takes this way:

1. `judge.judging.judge_file` reads the student's file and draws its arguments from the seed
   (`judge.catalogue.draw_points`).
2. `sandbox.runner` runs the file in a confined process (`sandbox.child`), which calls each
   function with these arguments and returns arrays and errors, nothing else.
3. `judge.compare` compares the arrays with the solution's (`judge.reference`), which gives faults.
4. `judge.diagnosis` makes each known mistake (`judge.mistakes`) in the solution and names the one
   that gives the student's arrays.
5. The `Verdict` goes to `student.report` (text, hints, `watch`) or `teacher.grading` (marks).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpyvae.exercises.judge.catalogue import EXERCISES, Exercise, Function
    from numpyvae.exercises.judge.own import mistakes_in
    from numpyvae.exercises.student.rerun import rerun
    from numpyvae.exercises.teacher.notebooks import notebook_marks

__all__ = ["EXERCISES", "Exercise", "Function", "mistakes_in", "notebook_marks", "rerun"]

_HOME = {
    "EXERCISES": "judge.catalogue",
    "Exercise": "judge.catalogue",
    "Function": "judge.catalogue",
    "mistakes_in": "judge.own",
    "notebook_marks": "teacher.notebooks",
    "rerun": "student.rerun",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: no room imports the others by it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
