"""Start the process that runs a student's code, wait for its end, and say whose fault it was."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from numpyvae.exercises.sandbox.forks import Fork, Forkers

__all__ = ["FORKERS", "NUMPY", "Trouble", "run_child"]

CHILD = Path(__file__).with_name("child.py")
PATIENCE = 3  # seconds of the clock for each second of the processor, for who waits without need
LONGEST = 60  # the same, for who gets no processor
LEAST_SPACE = 2**20  # bytes
NUMPY = str(Path(np.__file__).parent.parent)


class Trouble(RuntimeError):
    """The grader could not do its work, whatever the student wrote."""


def run_child(job: Path, seconds: int) -> str:
    """Run the child to its end or to its limits; why it ended early, or "".

    Raises Trouble, or OSError, if the cause is not in the student's file.
    """
    with (job / "printed.txt").open("wb") as printed, FORKERS.fork(job) as fork:
        process = fork or _start(str(job), cwd=job, stdout=printed, stderr=printed)
        try:
            code = _wait(process, seconds)
        finally:
            _kill(process)
    is_ready = (job / "ready").exists()  # from then on, the exit code is the student's
    if (code == errno.ENOSPC and not is_ready) or shutil.disk_usage(job).free < LEAST_SPACE:
        raise Trouble(f"the grader could not store results: {job.parent} is full")
    if not is_ready:
        said = (job / "printed.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        reason = next((line for line in reversed(said) if line.strip()), f"it ended with {code}")
        raise Trouble(f"the grader could not start a process: {reason:.200}")
    if code is None:
        return f"it was still running after {PATIENCE * seconds} seconds"
    if code == 0:
        return ""
    if code == errno.ENOSPC:  # it may be so, or be said so
        return f"the process ended with [Errno {code}] {os.strerror(code)}"
    if -code == getattr(signal, "SIGXCPU", None) or -code == getattr(signal, "SIGKILL", None):
        return f"it used more than {seconds} seconds of the processor, or was killed"
    return f"the process crashed ({_signal_name(-code)})" if code < 0 else "the process crashed"


def _start(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    """child.py in a session of its own, with next to nothing of this process's environment."""
    environment = {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:replace",
        **{name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ},
    }
    command = [sys.executable, "-I", "-S", "-B", str(CHILD), *words]
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
FORKERS = Forkers(lambda: _start("--serve", NUMPY, **PIPES))


def _wait(process: subprocess.Popen[bytes] | Fork, seconds: int) -> int | None:
    """The exit code; None for a process that only waited. Time in the queue does not count.

    Trouble if it had no processor for so long that the grader gives up.
    """
    started = time.monotonic()
    end = started + PATIENCE * seconds
    while True:
        try:
            return process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            later = started + PATIENCE * seconds + _queued(process.pid)
            if later < end + 0.1:
                return None
            if later > started + LONGEST * seconds:
                text = f"the grader could not give it {seconds} seconds of the processor"
                raise Trouble(f"{text}: the machine is too busy") from None
            end = later


def _queued(pid: int) -> float:
    """Seconds that a process was ready to run and got no processor; 0.0 where nobody counts."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _kill(process: subprocess.Popen[bytes] | Fork) -> None:
    """The process and all that it has started."""
    with contextlib.suppress(OSError):
        if isinstance(process, Fork) or hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
