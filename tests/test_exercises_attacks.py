"""Submissions that attack the grader score zero on what they attack, and do no harm.

Each is a file for exercise 3 whose forward pass is right and whose backward is an attack.
"""

import os
import struct
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.judging import judge, judge_file, judge_source
from numpyvae.exercises.judge.tasks import run
from numpyvae.exercises.sandbox.process import FORKERS
from numpyvae.exercises.sandbox.runner import Limits

pytestmark = pytest.mark.usefixtures("kept_forks")
EXERCISE = EXERCISES[3]
LIMITS = Limits(seconds=1, memory=2**30)  # enough for whoever does what was asked, mostly
SOLUTION = solution(EXERCISE.file)

FORWARD = """
import os, sys
import numpy as np

def reparameterize(mean, log_var, noise):
    return mean + np.exp(0.5 * log_var) * noise, (mean, log_var, noise)

def wrong(dz):
    return np.zeros_like(dz), np.zeros_like(dz)
"""

ATTACKS = {
    "patches the comparisons of NumPy": """
        def yes(*arguments, **options):
            return True
        for module in (np, np.testing):
            for name in ("allclose", "array_equal", "isclose", "abs", "all", "any", "max",
                         "assert_allclose", "assert_array_equal", "save", "asarray"):
                setattr(module, name, yes)
        """,
    "patches the code that calls it": """
        import perform
        def nothing(*arguments, **options):
            return []
        for name in ("perform", "_compare", "array_names", "_keys"):
            setattr(perform, name, nothing)
        perform._Work._try = lambda self, name, f, *a: (np.zeros((5, 3)), np.zeros((5, 3)))
        """,
    "patches the builtins": """
        import builtins
        builtins.abs = builtins.max = builtins.sum = builtins.float = lambda *a, **k: 0
        builtins.any = lambda *a: False
        """,
    "ends the process as if all were well": """
        def reparameterize_backward(dz, cache):
            os._exit(0)
        """,
    "exits": """
        def reparameterize_backward(dz, cache):
            sys.exit(0)
        """,
    "raises what is no exception": """
        def reparameterize_backward(dz, cache):
            raise KeyboardInterrupt
        """,
    "leaves work for the end": """
        import atexit
        atexit.register(lambda: print('["", "finished", ""]'))
        atexit.register(os._exit, 0)
        """,
    "returns an array whose comparisons lie": """
        class Liar(np.ndarray):
            def __eq__(self, other): return np.True_
            __le__ = __ge__ = __eq__
            def __sub__(self, other): return np.zeros(1)
            __rsub__ = __abs__ = __sub__
            def __array_ufunc__(self, *a, **k): return np.zeros(1)
        def reparameterize_backward(dz, cache):
            return np.zeros((5, 3)).view(Liar), np.zeros((5, 3)).view(Liar)
        """,
    "returns an object that lies about being an array": """
        class Liar:
            dtype, shape, ndim = np.dtype(float), (5, 3), 2
            def __array__(self, dtype=None, copy=None): os._exit(0)
            def __eq__(self, other): return True
        def reparameterize_backward(dz, cache):
            return Liar(), Liar()
        """,
    "writes the file of results": """
        def reparameterize_backward(dz, cache):
            for name in ("results.json", "class.csv", "../results.json", RESULTS):
                open(name, "w").write('{"score": 100}')
        """,
    "reads the memory of its parent": """
        def reparameterize_backward(dz, cache):
            parent = f"/proc/{os.getppid()}"
            maps = open(f"{parent}/maps").read()
            memory = open(f"{parent}/mem", "rb", 0)
            print("STOLEN", len(maps), memory)
            return wrong(dz)
        """,
    "reads the solution": """
        def reparameterize_backward(dz, cache):
            text = open(SOLUTION_FILE).read()
            names = {}
            exec(text, names)
            mean, log_var, noise = cache
            return names["reparameterize_backward"](dz, (np.exp(0.5 * log_var), noise))
        """,
    "imports the solution": """
        def reparameterize_backward(dz, cache):
            sys.path.append(PACKAGE)
            from numpyvae.gaussian import reparameterize_backward
            mean, log_var, noise = cache
            return reparameterize_backward(dz, np.exp(0.5 * log_var) * noise)
        """,
    "returns an object with a hostile pickle": """
        class Bomb:
            def __reduce__(self): return os.system, (f"touch {RESULTS}",)
        def reparameterize_backward(dz, cache):
            return np.array([[Bomb()] * 3] * 5), np.array([[Bomb()] * 3] * 5)
        """,
    "writes a hostile pickle where an array should be": """
        import gc, io, pickle
        class Bomb:
            def __reduce__(self): return os.system, (f"touch {RESULTS}",)
        def reparameterize_backward(dz, cache):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.array([[Bomb()] * 3] * 5), allow_pickle=True)
            for file in gc.get_objects():
                if isinstance(file, io.BufferedWriter):
                    file.write(content.getvalue())
                    file.flush()
            os._exit(0)
        """,
    "promises an array that is not there": """
        import gc, io
        def reparameterize_backward(dz, cache):
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)})
            for file in gc.get_objects():
                if isinstance(file, io.BufferedWriter):
                    file.write(header.getvalue())
                    file.flush()
            os._exit(0)
        """,
    "sends signals to its parent": """
        import signal
        def reparameterize_backward(dz, cache):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
                for process in (os.getppid(), -1, 0, -os.getpgid(os.getppid())):
                    try:
                        os.kill(process, number)
                    except OSError:
                        pass
            return wrong(dz)
        """,
    "differentiates numerically": """
        def reparameterize_backward(dz, cache):
            mean, log_var, noise = cache
            def slope(move):
                up, down = reparameterize(*move(1e-6))[0], reparameterize(*move(-1e-6))[0]
                return dz * (up - down) / 2e-6
            return (slope(lambda h: (mean + h, log_var, noise)),
                    slope(lambda h: (mean, log_var + h, noise)))
        """,
    "differentiates numerically with a forward of its own, five points": """
        def f(log_var, noise):
            return np.exp(log_var / 2) * noise
        def reparameterize_backward(dz, cache):
            mean, log_var, noise = cache
            h = 1e-3
            s = [f(log_var + k * h, noise) for k in (-2, -1, 1, 2)]
            return dz, dz * (s[0] - 8 * s[1] + 8 * s[2] - s[3]) / (12 * h)
        """,
    "prints without end": """
        def reparameterize_backward(dz, cache):
            while True:
                print("x" * 10_000)
        """,
    "floods the terminal's control characters": r"""
        def reparameterize_backward(dz, cache):
            print("\033[2J\033[1;1Hpass 10/10\a")
            raise ValueError("\033[2Jpass")
        """,
    "hangs": """
        def reparameterize_backward(dz, cache):
            while True:
                pass
        """,
    "hangs while it is loaded": """
        while True:
            pass
        """,
    "sleeps": """
        import time
        def reparameterize_backward(dz, cache):
            time.sleep(1000)
        """,
    "exhausts memory": """
        def reparameterize_backward(dz, cache):
            hoard = []
            while True:
                hoard.append(np.ones(10**7))
        """,
    "forks": """
        def reparameterize_backward(dz, cache):
            while True:
                os.fork()
        """,
    "starts threads that go on": """
        import threading, time
        def reparameterize_backward(dz, cache):
            for _ in range(100):
                threading.Thread(target=time.sleep, args=(1000,)).start()
            return wrong(dz)
        """,
    "starts a program": """
        def reparameterize_backward(dz, cache):
            if os.system(f"touch {RESULTS}"):
                os.posix_spawn("/bin/touch", ["touch", RESULTS], {})
            return wrong(dz)
        """,
    "opens a connection": """
        import socket
        def reparameterize_backward(dz, cache):
            socket.create_server(("127.0.0.1", 0))
            return wrong(dz)
        """,
    "crashes the interpreter": """
        def reparameterize_backward(dz, cache):
            import ctypes
            ctypes.string_at(0)
        """,
    "recurses without end": """
        sys.setrecursionlimit(10**9)
        def reparameterize_backward(dz, cache):
            return reparameterize_backward(dz, cache)
        """,
    "returns something enormous": """
        def reparameterize_backward(dz, cache):
            return np.zeros((3000, 1000)), np.zeros((3000, 1000))
        """,
    "returns itself": """
        def reparameterize_backward(dz, cache):
            both = []
            both += [both, both]
            return both
        """,
    "says that it is finished": """
        import gc, io
        def reparameterize_backward(dz, cache):
            for file in gc.get_objects():
                if isinstance(file, io.TextIOWrapper) and "notes" in str(file.name):
                    file.write('["", "finished", ""]\\n["", "pass", ""]\\n{"marks": 100}\\n[1]\\n')
                    file.flush()
            os._exit(0)
        """,
    "knows the answers to another seed by heart": """
        ANSWERS = np.zeros((5, 3))
        def reparameterize_backward(dz, cache):
            return dz, ANSWERS
        """,
}


def submission(attack, tmp_path):
    """The attack's file: its names are filled in as a student who knows the machine would."""
    names = {
        "RESULTS": str(tmp_path / "results.json"),
        "SOLUTION_FILE": str(Path(sys.modules["numpyvae.exercises"].__file__).parent)
        + f"/judge/solutions/{EXERCISE.file}",
        "PACKAGE": str(Path(sys.modules["numpyvae"].__file__).parent.parent),
    }
    text = FORWARD + "".join(f"{name} = {value!r}\n" for name, value in names.items())
    body = textwrap.dedent(ATTACKS[attack])
    if "def reparameterize_backward" not in body:  # it patches, and returns zeros
        body += "\ndef reparameterize_backward(dz, cache):\n    return wrong(dz)\n"
    return text + body


@pytest.fixture(scope="module")
def confined():
    """Whether this system has the system-call filter; elsewhere some attacks need a container."""
    outcome = run(EXERCISE, SOLUTION, draw_points(EXERCISE, 0))
    assert not outcome.end
    return outcome.confined


NEED_THE_FILTER = {
    "writes the file of results",
    "reads the memory of its parent",
    "reads the solution",
    "imports the solution",
    "sends signals to its parent",
    "starts a program",
    "opens a connection",
    "forks",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the attacks would like to leave something."""
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="module")
def outcomes(request, folder, confined):
    """What came of each attack of a test that runs, in forks as in grading.

    Two at a time: who hangs only waits.
    """
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = {"sleeps", *(call.params.get("attack") for call in calls if call)}
    points = draw_points(EXERCISE, 12345)
    with ThreadPoolExecutor(2) as pool:
        waiting = {
            attack: pool.submit(run, EXERCISE, submission(attack, folder), points, LIMITS)
            for attack in ATTACKS
            if attack in wanted and (confined or attack not in NEED_THE_FILTER)
        }
        return {attack: future.result() for attack, future in waiting.items()}


@pytest.mark.slow(keep=12)
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_scores_nothing_on_what_it_attacks(attack, outcomes, folder):
    if attack not in outcomes:
        pytest.skip("no system-call filter here: grade in a container (docs/coursework.md)")
    verdict = judge(EXERCISE, outcomes[attack], 12345)
    assert verdict.marks["reparameterize_backward"] == 0
    assert verdict.status == "fail"
    assert verdict.faults
    assert not list(folder.iterdir())
    assert "STOLEN" not in verdict.printed
    assert not any("\033" in text for text in (verdict.printed, *(f.text for f in verdict.faults)))


def test_who_waits_is_stopped_by_the_clock(outcomes):
    assert outcomes["sleeps"].end == "it was still running after 3 seconds"


def test_what_an_attack_leaves_alone_keeps_its_marks(tmp_path):
    for attack in (
        "differentiates numerically",
        "returns something enormous",
        "starts a program",
    ):
        verdict = judge_source(EXERCISE, submission(attack, tmp_path), 12345)
        assert verdict.marks["reparameterize"] == 3, attack


def test_the_same_file_without_the_attack_earns_all(tmp_path):
    """So the zeros above are the attacks' own."""
    honest = FORWARD + textwrap.dedent("""
        def reparameterize_backward(dz, cache):
            mean, log_var, noise = cache
            return dz, dz * noise * np.exp(0.5 * log_var) / 2
        """)
    assert judge_source(EXERCISE, honest, 12345).total == 10


@pytest.mark.parametrize("is_fork", [True, False])
def test_the_process_knows_nothing_of_the_grader(is_fork, monkeypatch):
    monkeypatch.setattr(FORKERS, "_is_safe", is_fork and FORKERS._is_safe)
    source = FORWARD + textwrap.dedent("""
        names = [name for name in sys.modules if "numpyvae" in name or name in
                 ("catalogue", "mistakes", "compare", "diagnosis", "judging", "reference")]
        print("KNOWN", names, sys.path, sorted(os.environ))
        """)
    verdict = judge_source(EXERCISE, source, 0)
    assert "KNOWN [] []" in verdict.printed
    for name in os.environ.keys() - {"PATH", "LC_CTYPE", "SYSTEMROOT"}:
        if not name.endswith("_NUM_THREADS") and not name.startswith("PYTHON"):
            assert f"'{name}'" not in verdict.printed


@pytest.mark.parametrize(
    "warns",
    [
        "np.log(np.zeros(3))",
        "np.float64(1.0) / np.zeros(2)",
        "np.exp(np.array([1e4]))",
        "import warnings; warnings.warn('mind the gap')",
        "warnings = __import__('warnings'); warnings.simplefilter('default'); np.log(-np.ones(2))",
    ],
)
def test_warnings_cost_nothing(warns):
    source = SOLUTION.replace("    sigma = np", f"    {warns}\n    sigma = np").replace(
        "    dmean = dz", f"    {warns}\n    dmean = dz"
    )
    assert source.count(warns) == 2
    assert judge_source(EXERCISE, source).status == "pass"


def test_files_that_are_no_files(tmp_path):
    path = tmp_path / EXERCISE.file
    secret = tmp_path / "secret.py"
    secret.write_text(SOLUTION)
    path.symlink_to(secret)
    assert "not an ordinary file" in judge_file(EXERCISE, tmp_path).faults[0].text
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    assert "not an ordinary file" in judge_file(EXERCISE, tmp_path).faults[0].text
    path.unlink()
    path.write_bytes(b"\xff\xfe\x00")
    assert "not text" in judge_file(EXERCISE, tmp_path).faults[0].text
    path.write_bytes(b"#" * 300_000)
    assert "300,000 bytes" in judge_file(EXERCISE, tmp_path).faults[0].text
    path.unlink()
    assert judge_file(EXERCISE, tmp_path).status == "not done"


@pytest.mark.parametrize(
    "source",
    ["", "\x00", "def reparameterize(:", "import numpyvae", "raise ValueError", "1 / 0", "exit()",
     "def reparameterize(): pass", "reparameterize = 3", "# -*- coding: nonsense -*-",
     "(" * 5000, "reparameterize = reparameterize_backward = None", "raise NotImplementedError"],
)  # fmt: skip
def test_files_that_are_no_solutions(source):
    verdict = judge_source(EXERCISE, source, 0, LIMITS)
    assert verdict.total == 0
    assert verdict.status in ("fail", "not done")
    assert verdict.named == ()


def test_hostile_bytes_come_back_as_nothing(tmp_path, monkeypatch):
    """Whatever stands in the files that come back, `run` returns arrays or leaves them out."""
    from numpyvae.exercises.sandbox import runner as sandbox

    rng = np.random.default_rng(0)

    def child(job, limits):
        records = b""
        for i in range(24):
            start = b"\x93NUMPY\x01\x00" if i % 2 else b""
            content = start + rng.bytes(int(rng.integers(200)))
            records += struct.pack("<II", i, len(content)) + content
        (job / "out" / "results").write_bytes(records + rng.bytes(300))
        (job / "notes.jsonl").write_bytes(
            rng.bytes(5000) + b'\n[1, 2]\n["a", "error", "b"]\n[[]]\n'
        )
        return ""

    monkeypatch.setattr(sandbox, "run_child", child)
    outcome = run(EXERCISE, SOLUTION, draw_points(EXERCISE, 0))
    assert outcome.arrays == {}
    assert outcome.notes == (("a", "error", "b"),)
