"""What watches over the other tests: a process that is left behind is seen, and can be ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

WAITS = [sys.executable, "-I", "-S", "-c", "input()"]
# Starts a process that waits, prints its number and leaves it behind.
LEAVES = (
    "import subprocess, sys; quiet = dict.fromkeys(('stdout', 'stderr'), subprocess.DEVNULL); "
    "print(subprocess.Popen(sys.argv[1:], **quiet).pid)"
)


def test_a_child_is_seen_until_it_ends():
    command = [*WAITS[:-1], "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # it runs by now
        assert "input()" in children()[process.pid]
    assert process.pid not in children()


def test_a_childs_child_is_ours_once_its_parent_has_gone():
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", LEAVES, *WAITS]
    orphan = int(subprocess.check_output(command, stdin=reading))
    assert orphan in children()
    os.close(writing)  # and its input ends
    os.close(reading)
    assert os.waitpid(orphan, 0) == (orphan, 256)  # of the EOFError
    assert orphan not in children()


def test_what_is_ignored_here_ends_a_child_all_the_same():
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):
        assert signal.getsignal(getattr(signal, name)) != signal.SIG_IGN
        with subprocess.Popen(WAITS, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.send_signal(getattr(signal, name))
            assert process.wait(600) != 0


SLOW = """
import pytest

@pytest.mark.slow
def test_a(): ...

@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("n", range(5))
def test_b(n): ...

def test_c(): ...
"""


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize(
    ("arguments", "n_run"), [((), 3), (("--all",), 7), (("test_some.py",), 7)], ids=str
)
def test_slow_tests_are_run_where_they_are_asked_for(tmp_path, arguments, n_run):
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import *\n"
        "@pytest.fixture(autouse=True)\ndef no_process_is_left_behind(): ...\n"
    )
    (tmp_path / "test_some.py").write_text(SLOW)
    options = ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    environment = {k: v for k, v in os.environ.items() if k != "CI" and "PYTEST" not in k}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others' take longest to import
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert f"{n_run} passed" in done.stdout, done.stdout + done.stderr
    assert ("Slow tests were left out" in done.stdout) == (n_run == 3)
