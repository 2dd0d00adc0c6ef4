"""`numpyvae exercises watch`, through a pseudo-terminal, with a student's keys and saves."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import numpyvae
from numpyvae.exercises.judge.catalogue import EXERCISES, solution
from numpyvae.exercises.judge.mistakes import mistakes_of
from numpyvae.exercises.student import stubs
from numpyvae.exercises.student.terminal import Page, lay_out
from numpyvae.exercises.student.watch import COARSE, SETTLES, Files

try:
    import pty
    import termios
except ImportError:
    pty = termios = None

needs_terminal = pytest.mark.skipif(pty is None, reason="Windows has no pseudo-terminals")
DEADLINE = 600.0  # of a test that fails: no machine is so busy
CLEAR = "\033[H\033[J"
COMMAND = [sys.executable, "-m", "numpyvae", "exercises", "watch"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(numpyvae.__path__[0]).parent)}
# Makes the terminal on standard input the process's own, so that Ctrl-C reaches it.
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, sys.argv[1:])"
)


class Session:
    """A running `watch`: what it has printed, and the end of it."""

    def __init__(self, arguments, terminal, **environment):
        self.printed = ""
        env = {k: v for k, v in ENVIRONMENT.items() if k not in ("NO_COLOR", "LINES", "COLUMNS")}
        env |= {"TERM": "xterm", **environment}
        command = [*COMMAND, *map(str, arguments)]
        if terminal:
            self.output, self.slave = pty.openpty()
            self.before = termios.tcgetattr(self.slave)
            self.input = self.output
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
            command = [sys.executable, "-c", OWN_TERMINAL, *command]
        else:
            read, self.input = os.pipe()
            self.output, write = os.pipe()
            streams = {"stdin": read, "stdout": write, "stderr": write}
        self.process = subprocess.Popen(command, env=env, start_new_session=True, **streams)
        if not terminal:
            os.close(read)
            os.close(write)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        for end in {self.input, self.output, getattr(self, "slave", self.output)}:
            if end is not None:
                os.close(end)

    @property
    def page(self):
        """What is on the screen; of plain lines, all."""
        return re.sub(r"\033\[[0-9;]*[mK]", "", self.printed.rsplit(CLEAR, 1)[-1])

    def see(self, *texts):
        """Wait until all texts are on the screen at once, and return it."""
        end = time.monotonic() + DEADLINE
        while not all(text in " ".join(self.page.split()) for text in texts):
            left = end - time.monotonic()
            piece = b""
            if left > 0 and select.select([self.output], [], [], left)[0]:
                try:
                    piece = os.read(self.output, 65536)
                except OSError:  # the other end has gone
                    piece = b""
            assert piece, f"expected {texts} on the screen, got:\n{self.page}"
            self.printed += piece.decode().replace("\r\n", "\n")
        return " ".join(self.page.split())

    def type(self, keys):
        os.write(self.input, keys.encode())

    def end(self):
        """The exit code, once it has come to its end."""
        return self.process.wait(DEADLINE)


def folder_of(path, *numbers):
    """A student's folder with these exercises only: a file that is missing is checked at once."""
    stubs.start(path / "hw")
    for exercise in EXERCISES:
        if exercise.number not in numbers:
            (path / "hw" / exercise.file).unlink()
    return path / "hw"


def solve(folder, number):
    exercise = EXERCISES[number]
    (folder / exercise.file).write_text(solution(exercise.file), encoding="utf-8")


def err(folder, number, name):
    """Write the solution with a mistake; returns the sentence that says so."""
    exercise = EXERCISES[number]
    mistake, source = next(pair for pair in mistakes_of(exercise) if pair[0].name == name)
    (folder / exercise.file).write_text(source, encoding="utf-8")
    return f"-> {mistake.says}"


@needs_terminal
def test_a_student_solves_errs_asks_and_quits(tmp_path):
    folder = folder_of(tmp_path, 0, 3)
    with Session([folder], terminal=True) as session:
        session.see("not done 0/7 ex0_dense.py", "[.] . .", "h hint n next q quit")
        assert termios.tcgetattr(session.slave) != session.before  # keys come without Enter
        solve(folder, 0)
        session.see("ex0_dense.py passes: 7 of 7 marks. Next: ex1", "# [.]", "7 of 100 marks")
        session.type("nn")
        session.see("0/10 ex3_reparameterize.py", "# . . [.]")
        says = err(folder, 3, "variance for sigma")
        session.see("fail 3/10 ex3_reparameterize.py", says, "# . . [x]", "10 of 100 marks")
        assert "Next:" not in session.page
        session.type("h")
        session.see("hint 1 of 3: ")
        session.type("z\033[H\033Oq?h")  # Home and a key of the number pad are neither h nor q
        session.see("hint 1 of 3: ", "hint 2 of 3: ", says)
        session.type("hhh")
        session.see("hint 3 of 3 (the last): ")
        with (folder / EXERCISES[3].file).open("a", encoding="utf-8") as file:
            file.write("print('the same again')\n")
        session.see("it printed: the same again", "hint 1 of 3: ", "hint 3 of 3 (the last): ")
        assert session.page.count("hint 3 of 3") == 1
        says = err(folder, 3, "z for sigma noise")
        session.see("fail 3/10 ex3_reparameterize.py", says)
        assert "hint 1" not in session.page
        solve(folder, 3)
        session.see("ex3_reparameterize.py passes: 10 of 10 marks. Next: ex4", "[.]")
        session.type("n" * 9)
        session.see("pass 10/10 ex3_reparameterize.py")
        session.type("q")
        assert session.end() == 0
        assert termios.tcgetattr(session.slave) == session.before


@pytest.mark.slow
@needs_terminal
def test_editors_that_rename_truncate_and_write_in_pieces(tmp_path):
    folder = folder_of(tmp_path, 1)
    file, right = folder / EXERCISES[1].file, solution(EXERCISES[1].file)
    with Session([folder, 1], terminal=True) as session:
        session.see("not done 0/8 ex1_activations.py")
        aside = folder / ".ex1.swp"
        aside.write_text(right, encoding="utf-8")
        aside.replace(file)
        session.see("ex1_activations.py passes: 8 of 8")
        file.write_text("")
        session.see("not done 0/8 ex1_activations.py", "relu, relu_backward, tanh, tanh_backward")
        file.unlink()
        session.see("not done 0/8 ex1_activations.py", "there is no ex1_activations.py")
        half = right.index("def tanh_backward") + 20
        file.write_text(right[:half], encoding="utf-8")
        session.see("fail 0/8 ex1_activations.py", "is not Python")
        with file.open("a", encoding="utf-8") as rest:
            rest.write(right[half:])
        session.see("ex1_activations.py passes: 8 of 8")
        session.type("q")
        assert session.end() == 0


@pytest.mark.slow
@needs_terminal
def test_several_files_at_once_and_the_end(tmp_path):
    folder = folder_of(tmp_path)
    for number in range(1, 10):
        solve(folder, number)
    with Session([folder], terminal=True, NO_COLOR="1") as session:
        session.see("Checking ex9_vae.py (10 of 10)")
        session.see("not done 0/7 ex0_dense.py", "9 of 10 exercises pass, 93 of 100 marks")
        solve(folder, 0)
        session.see("All ten exercises pass.", "10 of 10 exercises pass, 100 of 100 marks")
        session.type("h")
        session.see("ex0_dense.py passes: it needs no hint.")
        says = err(folder, 4, "dkl forgotten")
        session.see("fail", "ex4_gaussian_kl.py", says)
        assert "All ten" not in session.page
        assert not re.search(r"\033\[\d*m", session.printed)
        session.type("\x03")
        assert session.end() == 130
        assert termios.tcgetattr(session.slave) == session.before


@needs_terminal
def test_the_terminal_is_restored_after_sigterm_and_redrawn_for_another_size(tmp_path):
    folder = folder_of(tmp_path, 0)
    err(folder, 0, "dW transposed")
    with Session([folder], terminal=True) as session:
        session.see("fail 2/7 ex0_dense.py", "import rerun")
        if sys.version_info >= (3, 11):
            termios.tcsetwinsize(session.slave, (6, 40))
            session.see("... (more in a taller window)")
            assert len(session.page.splitlines()) <= 6
        session.process.send_signal(signal.SIGTERM)
        assert session.end() == 128 + signal.SIGTERM
        assert termios.tcgetattr(session.slave) == session.before


@needs_terminal
def test_a_dumb_terminal_gets_plain_lines(tmp_path):
    folder = folder_of(tmp_path, 0)
    with Session([folder], terminal=True, TERM="dumb") as session:
        session.see("not done 0/7 ex0_dense.py", "h, n or q and Enter")
        assert termios.tcgetattr(session.slave) == session.before
        solve(folder, 0)
        session.see("ex0_dense.py passes")
        assert "\033" not in session.printed
        session.type("q\n")
        assert session.end() == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the test waits for pipes with select")
def test_plain_lines_through_pipes(tmp_path):
    folder = folder_of(tmp_path, 3)
    with Session([folder, 3, "--seed", "7"], terminal=False) as session:
        session.see("not done 0/10 ex3_reparameterize.py", "h, n or q and Enter")
        says = err(folder, 3, "variance for sigma")
        session.see("fail 3/10 ex3_reparameterize.py", says, "[x]", "3 of 100 marks")
        session.type("hello\nq u i t\n h \n")
        session.see("hint 1 of 3: ")
        session.type("n\n")
        session.see("Exercise 4, checked")
        os.close(session.input)  # the end of input is not the end
        session.input = None
        solve(folder, 3)
        session.see("ex3_reparameterize.py passes: 10 of 10 marks.")
        assert "\033" not in session.printed
        session.process.send_signal(signal.SIGINT)
        assert session.end() == 130


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no such folder; numpyvae exercises start nothing writes one"),
        ([".", "10"], "there is no exercise 10: expected 0 to 9"),
    ],
)
def test_what_cannot_be_watched(tmp_path, arguments, message):
    run = subprocess.run(
        [*COMMAND, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"numpyvae: {message}\n")


class Watched:
    """`Files` on one file "a", with a clock that is set by hand."""

    def __init__(self, folder, text):
        self.time = 0.0
        self.path = folder / "a"
        if text is not None:
            self.path.write_text(text)
        self.files = Files(folder, ["a"], lambda: self.time)

    def saved(self, seconds=0.15):
        self.time += seconds
        return self.files.saved()


def test_a_save_is_seen_once(tmp_path):
    watched = Watched(tmp_path, "one")
    assert watched.saved() == []
    watched.path.write_text("two!")
    assert [watched.saved(), watched.saved(), watched.saved(COARSE)] == [["a"], [], []]


def test_a_save_that_changes_neither_time_nor_size_is_seen_soon_after_another(tmp_path):
    watched = Watched(tmp_path, "x + y")
    os.utime(watched.path, (10, 10))
    assert watched.saved() == ["a"]
    watched.path.write_text("x - y")
    os.utime(watched.path, (10, 10))
    assert watched.saved() == ["a"]


def test_another_inode_alone_is_no_save(tmp_path):
    watched = Watched(tmp_path, "x")
    os.utime(watched.path, (10, 10))
    assert watched.saved() == ["a"]
    aside = tmp_path / "aside"
    aside.write_text("x")
    os.utime(aside, (10, 10))
    aside.replace(watched.path)
    assert watched.saved(2 * COARSE) == []


@pytest.mark.parametrize("empty", [True, False])
def test_a_file_may_be_gone_or_empty_for_a_moment(tmp_path, empty):
    watched = Watched(tmp_path, "one")
    watched.path.write_text("") if empty else watched.path.unlink()
    assert watched.saved() == []
    watched.path.write_text("two!")
    assert watched.saved() == ["a"]
    watched.path.write_text("") if empty else watched.path.unlink()
    assert watched.saved() == []
    assert [watched.saved(SETTLES), watched.saved()] == [["a"], []]  # it stays so: say it
    watched.path.write_text("three")
    assert watched.saved() == ["a"]


def test_no_file_at_first_and_what_is_no_file(tmp_path):
    watched = Watched(tmp_path, None)
    assert watched.saved() == []
    watched.path.mkdir()
    assert [watched.saved(), watched.saved(SETTLES), watched.saved()] == [[], ["a"], []]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10), (30, 7), (20, 3), (5, 1)])
def test_a_page_fits_its_screen(columns, rows):
    call = 'in Python: from numpyvae.exercises import rerun; rerun("hw", 3)["dense/0/dW"][2, 1]'
    verdict = [f"{i} 漢字 {'word ' * 17}" for i in range(12)]
    page = Page("\033[32mnews\033[0m", "\n".join([*verdict, call]), "a hint", "bar\n" + "keys " * 9)
    lines = lay_out(page, columns, rows)
    assert sum(max(1, -(-len(line) // columns)) for line in lines) <= rows
    assert lines[-1] == ("keys " * 9)[: min(columns - 1, 45)]
    if rows >= 7:
        assert "a hint" in lines
        assert "  ... (more in a taller window)"[: columns - 1] in lines


def test_code_is_not_broken_so_that_it_can_be_copied():
    call = (
        '  reproduce in Python: from numpyvae.exercises import rerun; rerun("hw", 3)["dense/0/dW"]'
    )
    lines = lay_out(Page("", f"{'word ' * 10}\n{call}", "", "foot"), 40, 10)
    assert lines == [("word " * 8).strip(), "     word word", call, "", "foot"]
