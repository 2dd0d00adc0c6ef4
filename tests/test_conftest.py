"""What watches over the other tests: a process that is left behind is seen, and can be ended."""

import os
import signal
import subprocess
import sys

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
