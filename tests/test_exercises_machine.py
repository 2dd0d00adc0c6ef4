"""What the grader asks of the machine: forks, turns, space; and whose fault it is if that fails."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from numpyvae import cli
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.judging import judge, judge_source
from numpyvae.exercises.judge.tasks import run
from numpyvae.exercises.sandbox import process
from numpyvae.exercises.sandbox import runner as sandbox
from numpyvae.exercises.sandbox.forks import NO_FILTER, Forkers
from numpyvae.exercises.sandbox.process import FORKERS, Trouble
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.sandbox.turns import Turns
from numpyvae.exercises.teacher import grading

THREE = EXERCISES[3]
SOLUTION = solution(THREE.file)
POINTS = draw_points(THREE, 0)
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux")


def outcome_of(code, **limits):
    return run(THREE, code + SOLUTION, POINTS, Limits(**limits))


@pytest.fixture
def forks():
    with FORKERS.kept():
        yield


@linux
def test_each_run_is_a_fork_that_knows_nothing_of_the_one_before(forks, monkeypatch):
    started = []
    start = FORKERS._start
    monkeypatch.setattr(FORKERS, "_start", lambda: started.append(1) or start())
    leaves = "import os, sys, numpy as np\nprint(hasattr(np, 'left'), os.getpid())\n"
    leaves += "np.left = sys.left = 1\nprint(np.random.random(), sys.stdin.read() == '')\n"
    first, second = (outcome_of(leaves) for _ in range(2))
    assert len(started) == 1
    assert judge(THREE, first, 0).status == judge(THREE, second, 0).status == "pass"
    (left, pid, number, nothing), other = first.printed.split(), second.printed.split()
    assert (left, nothing) == (other[0], other[3]) == ("False", "True")
    assert pid != other[1]
    assert number != other[2]  # each draws numbers of its own
    assert first.confined == second.confined


@pytest.mark.slow
@linux
def test_a_fork_has_the_limits_and_the_filter(forks):
    alone = outcome_of("pass\n").confined
    hangs = outcome_of("while True: pass\n", seconds=1)
    assert hangs.end == "it used more than 1 seconds of the processor, or was killed"
    assert "MemoryError" in outcome_of("x = bytearray(2**30)\n", memory=2**29).notes[0].text
    assert outcome_of("import os\nos.abort()\n").end.startswith("the process crashed (SIG")
    sleeps = outcome_of("import time\ntime.sleep(100)\n", seconds=1)
    assert sleeps.end == "it was still running after 3 seconds"
    writes = "import os\nfor i in range(3, 30):\n    try: os.write(i, b'77\\n')\n"
    writes += "    except OSError: pass\n"
    lies = outcome_of(writes)  # no pipe to the grader is open in it
    assert lies.end == ""
    fork = "import os\ntry: os.fork()\nexcept PermissionError: print('no')\n"
    assert not alone or outcome_of(fork).printed == "no\n"
    assert outcome_of("pass\n").end == ""


@linux
def test_a_forker_that_has_ended_is_replaced(forks):
    outcome_of("pass\n")
    forker = FORKERS._free[0]
    os.kill(forker._process.pid, 9)
    forker._process.wait()
    assert judge(THREE, outcome_of("pass\n"), 0).status == "pass"
    assert forker not in FORKERS._free


@linux
def test_without_a_filter_there_are_no_forks():
    started = []

    def start():
        started.append(1)
        code = f"import os; os._exit({NO_FILTER})"
        return subprocess.Popen([sys.executable, "-c", code], **process.PIPES)

    forkers = Forkers(start)
    with forkers.kept():
        for _ in range(2):
            with forkers.fork(Path()) as fork:
                assert fork is None
    assert len(started) == 1


def test_forks_are_used_in_grading_alone():
    outcome_of("pass\n")
    assert FORKERS._free == []


@pytest.mark.parametrize(
    ("first", "second", "may"),
    [
        ("one_of_many", "one_of_many", True),
        ("one_of_many", "alone", False),
        ("alone", "one_of_many", False),
        ("alone", "alone", False),
    ],
)
def test_who_is_alone_is_alone(first, second, may):
    turns, entered = Turns(), threading.Event()

    def enter():
        with getattr(turns, second)():
            entered.set()

    thread = threading.Thread(target=enter)
    with getattr(turns, first)():
        thread.start()
        assert entered.wait(60 if may else 0.05) == may
    thread.join(60)
    assert entered.is_set()


def test_who_waits_to_be_alone_comes_before_others():
    turns, order = Turns(), []

    def enter(how):
        with getattr(turns, how)():
            order.append(how)

    with turns.one_of_many():
        alone = threading.Thread(target=enter, args=["alone"])
        alone.start()
        while not turns._waiting:
            pass
        other = threading.Thread(target=enter, args=["one_of_many"])
        other.start()
        other.join(0.05)
    for thread in (alone, other):
        thread.join(60)
    assert order == ["alone", "one_of_many"]


def test_the_second_try_is_alone(monkeypatch):
    seen = []

    def child(job, seconds):
        seen.append((sandbox.TURNS._running, sandbox.TURNS._is_taken))
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(sandbox, "run_child", child)
    with pytest.raises(Trouble, match="could not run it: Too many open files"):
        run(THREE, SOLUTION, POINTS)
    assert seen == [(1, False), (0, True)]


NO_SPACE = "raise OSError(28, 'No space left on device')\n"


@pytest.mark.slow
def test_no_space_that_a_file_raises_itself_is_its_own_error():
    verdict = judge_source(THREE, NO_SPACE)
    assert {f.kind for f in verdict.faults} == {"error"}
    said = "OSError: [Errno 28] No space left on device (line 1 of ex3_reparameterize.py)"
    assert verdict.faults[0].text == said
    ends = judge_source(THREE, "import os\nos._exit(28)\n")
    assert ends.faults[0].text.endswith("ended with [Errno 28] No space left on device")


def test_no_space_that_was_there_a_moment_later_costs_nothing(monkeypatch):
    ends = iter(["it ended with [Errno 28] No space left on device", ""])
    run_child = sandbox.run_child
    monkeypatch.setattr(sandbox, "run_child", lambda *job: next(ends) or run_child(*job))
    assert judge_source(THREE, SOLUTION).status == "pass"


def test_a_full_folder_is_the_graders_trouble(monkeypatch):
    monkeypatch.setattr(process, "LEAST_SPACE", 2**70)
    verdict = judge_source(THREE, NO_SPACE)
    assert {f.kind for f in verdict.faults} == {"grader"}
    assert "the grader could not store results" in verdict.faults[0].text


FLOOD = """
import gc, io
for file in gc.get_objects():
    if isinstance(file, io.BufferedWriter):
        try:
            while True:
                file.write(bytes(2**16))
                file.flush()
        except OSError:
            pass
"""


def test_all_that_a_run_writes_is_bounded(monkeypatch):
    written = []
    run_child = sandbox.run_child

    def child(job, seconds):
        end = run_child(job, seconds)
        written.append({p.name: p.stat().st_size for p in Path(job).rglob("*") if p.is_file()})
        return end

    monkeypatch.setattr(sandbox, "run_child", child)
    outcome_of(FLOOD)
    assert written[0]["results"] == 2**22
    assert sum(written[0].values()) <= 3 * 2**22 + 2**16


def test_too_much_in_all_is_said():
    big = SOLUTION.replace("return dmean, dlog_var", "return np.ones(16000), np.ones(16000)")
    outcome = run(THREE, big, POINTS, Limits(file=2**19))
    assert "all results together have more than 524,288 bytes" in outcome.end
    assert judge(THREE, outcome, 0).marks["reparameterize"] == 3
    huge = SOLUTION.replace("return dmean, dlog_var", "return np.ones((300, 1000)), dlog_var")
    text = judge_source(THREE, huge).faults[0].text
    assert text == "expected an array dmean of a few numbers, got one with shape (300, 1000)"


def test_the_last_record_of_a_result_counts_and_what_is_cut_does_not(tmp_path):
    def record(i, array, cut=0):
        from numpyvae.exercises.teacher.kit import _npy

        content = _npy(np.asarray(array))
        return bytes([i, 0, 0, 0]) + len(content).to_bytes(4, "little") + content[: -cut or None]

    path = tmp_path / "results"
    right = record(0, 1.0) + record(0, 2.0)
    for end in (record(1, 5.0, cut=3), record(9, 3.0) + record(1, 4.0), bytes(50), b"x" * 50):
        path.write_bytes(right + end)
        assert sandbox._read_results(path, ["a", "b"], 10**6) == {"a": 2.0}
    assert sandbox._read_results(tmp_path / "none", ["a"], 10**6) == {}


def test_jobs_default_to_the_processors(monkeypatch, tmp_path):
    jobs = []

    def grade_class(found, run):
        jobs.append(run.jobs)
        yield from ()

    monkeypatch.setattr(grading, "grade_class", grade_class)
    (tmp_path / THREE.file).write_text(SOLUTION)
    cli.main(["exercises", "grade", str(tmp_path), "--out", str(tmp_path / "out")])
    assert jobs == [grading._processors()]
