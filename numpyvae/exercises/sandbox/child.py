"""The process that runs a student's code: one exercise, then it ends. Started by `sandbox`.

    python -I -S -B child.py JOB_FOLDER
    python -I -S -B child.py --serve FOLDER_OF_NUMPY

The folder holds job.json, the earlier exercises' functions as code without text (given), the arrays
that go in (in/0.npy, ...) and, opened before the student's code is, results (all arrays that come
out, in one file, whose size is limited) and notes.jsonl. Nothing in this process knows a right
answer to the exercise or the text of a solution, and nothing it says is believed: it can only hand
out arrays. With --serve, each job runs in a new fork of a process that has imported NumPy already.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import json
import marshal
import os
import random
import struct
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

NO_FILTER = 3  # exit code: a fork could change this process, and so the forks after it


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
    number = {name: i for i, name in enumerate(job["outputs"])}
    results = (folder / "out" / "results").open("wb")
    notes = (folder / "notes.jsonl").open("w", encoding="utf-8")

    def emit(name: str, array: Any) -> None:
        content = io.BytesIO()
        write_array(content, array, allow_pickle=False)
        size = content.tell()
        most = job["limits"]["RLIMIT_FSIZE"]
        if results.tell() + size > most:
            raise OverflowError(f"all results together have more than {most:,} bytes")
        results.write(struct.pack("<II", number[name], size) + content.getvalue())
        results.flush()

    def note(function: str, kind: str, text: str) -> None:
        print(json.dumps([function, kind, text[:2000]]), file=notes, flush=True)

    (folder / "ready").touch()  # what goes wrong from here on is not the grader's
    warnings.simplefilter("ignore")
    tree = preload.preload(job["source"])
    if job["shapes"] and tree is not None:
        _write_shapes(folder / "shapes.json", tree, job["functions"])
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
        own = error.filename == job["file"]
        line = f"line {error.lineno} is not Python: {error.msg}"
        return note("", "error", line if own else perform.describe(error, job["file"]))
    except BaseException as error:
        return note("", "error", perform.describe(error, job["file"]))
    try:
        perform.perform(names, job["calls"], arrays, emit, note)
    except BaseException as error:
        return note("", "stopped", perform.describe(error, job["file"]))
    return note("", "finished", "")


def _write_shapes(path: Path, tree: Any, functions: list[str]) -> None:
    """What the file's functions calculate, for `alike`."""
    with contextlib.suppress(Exception):  # too deep
        shapes = importlib.import_module("shapes").shapes(tree, functions)
        path.write_text(json.dumps(shapes), encoding="utf-8")


def _limit(limits: dict[str, int]) -> None:
    """Hard limits of the operating system, where it has them. They cannot be raised again."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows
        return
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, OSError, ValueError):  # a limit that this system does not have
            continue


def serve(numpy: str) -> Path | None:
    """For each folder on standard input fork; the fork returns it, to do the job in it (Linux).

    The answer is the fork's process id, then its exit code. It is not reaped before a byte more has
    come: as long as it may be sent signals, its id is nobody else's.
    """
    sys.path += [numpy, str(Path(__file__).parent)]
    names = "numpy", "preload", "confine", "perform", "shapes"
    np, preload, confine, *_ = map(importlib.import_module, names)
    probe = os.fork()
    if not probe:
        os._exit(0 if confine.confine() else NO_FILTER)
    if os.waitpid(probe, 0)[1]:
        os._exit(NO_FILTER)
    preload.preload("")
    gc.freeze()
    while folder := os.read(0, 4096).decode():
        process = os.fork()
        if not process:
            os.setsid()
            os.chdir(folder)
            printed, nothing = os.open("printed.txt", os.O_WRONLY), os.open(os.devnull, os.O_RDONLY)
            for file, standard in ((nothing, 0), (printed, 1), (printed, 2)):
                os.dup2(file, standard)
            random.seed()
            np.random.seed()
            return Path(folder)
        os.write(1, f"{process}\n".encode())
        end = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        assert end is not None
        code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
        os.write(1, f"{code}\n".encode())
        os.read(0, 1)
        os.waitpid(process, 0)
    return None


if __name__ == "__main__":
    code = 1
    try:
        job_folder = serve(sys.argv[2]) if sys.argv[1] == "--serve" else Path(sys.argv[1])
        if job_folder is not None:
            main(job_folder)
        code = 0
    except Exception as error:
        code = errno.ENOSPC if getattr(error, "errno", None) == errno.ENOSPC else 1
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # a full file: what was printed is cut
            sys.stdout.flush()
        os._exit(code)  # whatever waits for the end of the process waits in vain
