"""The process that runs a student's code: one exercise, then it ends. Started by `sandbox`.

    python -I -S -B child.py JOB_FOLDER

The folder holds job.json, the earlier exercises' functions as code without text (given), the arrays
that go in (in/0.npy, ...) and, opened before the student's code is, those that come out
(out/0.npy, ...) and notes.jsonl. Nothing in this process knows a right answer to the exercise or
the text of a solution, and nothing it says is believed: it can only hand out arrays.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import marshal
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    """Do the job in `folder`: load the files, give up rights, perform, write what comes out."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    _limit(job["limits"])
    sys.path += [job["numpy"], job["here"]]
    np = importlib.import_module("numpy")
    perform, confine, preload = map(importlib.import_module, ("perform", "confine", "preload"))
    write_array = np.lib.format.write_array
    arrays = {
        name: np.load(folder / "in" / f"{i}.npy", allow_pickle=False)
        for i, name in enumerate(job["inputs"])
    }
    given = marshal.loads((folder / "given").read_bytes())
    out = {name: (folder / "out" / f"{i}.npy").open("wb") for i, name in enumerate(job["outputs"])}
    notes = (folder / "notes.jsonl").open("w", encoding="utf-8")

    def emit(name: str, array: Any) -> None:
        content = io.BytesIO()
        write_array(content, array, allow_pickle=False)
        out[name].seek(0)
        out[name].truncate()
        out[name].write(content.getvalue())
        out[name].flush()

    def note(function: str, kind: str, text: str) -> None:
        print(json.dumps([function, kind, text[:2000]]), file=notes, flush=True)

    (folder / "ready").touch()  # what goes wrong from here on is not the grader's
    warnings.simplefilter("ignore")
    preload.preload(job["source"])
    sys.path.clear()  # the grader's package is not for import
    sys.path_importer_cache.clear()
    note("", "confined", str(confine.confine()))
    _work(perform, job, given, arrays, emit, note)


def _work(perform: Any, job: Any, given: Any, arrays: Any, emit: Any, note: Any) -> None:
    """Load the student's file and perform its functions; note how it ended."""
    try:
        names = perform.load(job.pop("source"), job["file"], given, sys.modules)
    except NotImplementedError as error:
        return note("", "not done", str(error))
    except SyntaxError as error:
        return note("", "error", f"line {error.lineno} is not Python: {error.msg}")
    except BaseException as error:
        return note("", "error", perform.describe(error))
    try:
        perform.perform(names, job["calls"], arrays, emit, note)
    except BaseException as error:
        return note("", "stopped", perform.describe(error))
    return note("", "finished", "")


def _limit(limits: dict[str, int]) -> None:
    """Hard limits of the operating system, where it has them. They cannot be raised again."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):  # each result has a file
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, OSError, ValueError):  # a limit that this system does not have
            continue


if __name__ == "__main__":
    code = 1
    try:
        main(Path(sys.argv[1]))
        code = 0
    except Exception as error:
        code = errno.ENOSPC if getattr(error, "errno", None) == errno.ENOSPC else 1
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # a full file: what was printed is cut
            sys.stdout.flush()
        os._exit(code)  # whatever waits for the end of the process waits in vain
