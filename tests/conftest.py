"""Every test is deterministic (everything is seeded, Hypothesis, too) and ends what it starts."""

import collections
import contextlib
import ctypes
import gc
import os
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "docs"))
import make_gallery

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # small products; see numpyvae/gradient_check/blas.py

# Children inherit what is ignored here (under `nohup`, or as a job in the background), and then no
# test could interrupt them. A handler that does nothing is as deaf, and no child inherits it.
for name in ("SIGINT", "SIGHUP", "SIGTERM"):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        default=bool(os.environ.get("CI")),
        help="run the slow tests, too (the default where the variable CI is set)",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads its options
def pytest_cmdline_main(config):
    """Run whole folders file by file on all processors: half of the time is spent on children."""
    option = config.option
    undecided = getattr(option, "numprocesses", 0) is None and option.dist == "no"  # 0: no xdist
    below = "PYTEST_XDIST_WORKER" in os.environ  # a worker itself, which must start no workers
    folders = all(Path(argument).is_dir() for argument in config.args)
    if not below:
        option.all = option.all or not folders
    if undecided and folders and not below and not option.usepdb:
        processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        option.numprocesses = min(processors or 1, 4)
        option.dist, option.loadscopereorder = "loadfile", False


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """Let Python's garbage collector pass over thousands of tests, which live to the end anyway."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out where whole folders are run, but for the first `keep` of each."""
    if config.option.all:
        return
    seen, left_out = collections.Counter(), []
    for item in items:
        mark = item.get_closest_marker("slow")
        function = item.nodeid.partition("[")[0]
        seen[function] += 1
        if mark and seen[function] > mark.kwargs.get("keep", 0):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_terminal_summary(terminalreporter, config):
    if not config.option.all and not config.option.collectonly:
        terminalreporter.write_line("Slow tests were left out: python -m pytest --all runs them.")


def pytest_configure(config):
    """Where no bytecode is to be written, keep it in pytest's cache, for workers and children.

    To compile the package anew takes half a second a child, and to rewrite the tests, 5 a worker.
    """
    runs_tests = "PYTEST_XDIST_WORKER" in os.environ or getattr(config.option, "dist", "no") == "no"
    if sys.dont_write_bytecode and runs_tests and hasattr(config, "cache"):
        with contextlib.suppress(OSError):  # a folder that may not be written to
            sys.pycache_prefix = str(config.cache.mkdir("bytecode"))
            sys.dont_write_bytecode = False
            os.environ.setdefault("PYTHONPYCACHEPREFIX", sys.pycache_prefix)
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if runs_tests:
        configure_hypothesis()


def configure_hypothesis():
    """Imported no earlier: pytest rewrites all of it, for seconds where no bytecode is written."""
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "numpyvae",
        derandomize=True,
        deadline=None,
        max_examples=30,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("numpyvae")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(20131220)


def children():
    """Process id -> command line of what this process has started and is still running (Linux)."""
    running = {}
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            found = path.read_text().split()
        except OSError:  # of a thread that has ended meanwhile
            continue
        for child in found:
            try:
                command = Path(f"/proc/{child}/cmdline").read_text(errors="replace")
                stat = Path(f"/proc/{child}/stat").read_text(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if stat.rpartition(")")[2].split()[0] not in "ZX":  # ended, and not waited for
                running[int(child)] = command.replace("\0", " ")  # none yet, if it begins now
    return running


@pytest.fixture
def undrawn(monkeypatch):
    """Runs without pictures, and without waiting for the disk."""
    from numpyvae import runs

    monkeypatch.setattr(runs, "_pictures", lambda vae, data: {})
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def quick_runs(tmp_path, monkeypatch, rng, undrawn):
    """A folder with x.npy to train on, and nothing that takes long."""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rng.integers(0, 2, (50, 3)))


@pytest.fixture
def sketches(monkeypatch):
    """Figures are made but not drawn, where pictures are not what is tested: that takes longest."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **how: file.write(b"a sketch"))


FORKER = "child.py --serve"


@pytest.fixture(scope="module")
def kept_forks():
    """Students' files run in forks of one process, as in grading, as long as a module's tests do.

    A new interpreter for each takes ten times as long. Ask for it in modules in which that is not
    what is tested.
    """
    from numpyvae.exercises.sandbox.process import FORKERS

    with FORKERS.kept():
        yield
    assert not any(FORKER in command for command in children().values())


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OF_BROWSERS = ("playwright", "chrom")  # in the command lines of its processes


@pytest.fixture(scope="module")
def browser():
    """Chromium, as long as a module's tests run; without one they are skipped, but not on CI."""

    def missing(what):
        if os.environ.get("CI"):
            pytest.fail(f"no browser: {what}", pytrace=False)
        pytest.skip(f"no browser: {what}")

    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        missing("pip install '.[browser]'")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            missing(f"install Chromium ({str(error).splitlines()[0]})")
        yield launched
        launched.close()


@pytest.fixture(scope="session", autouse=True)
def adopt_orphans():
    """Let the children of a child that has ended be ours: `children` finds them, too."""
    if sys.platform == "linux":
        set_child_subreaper = 36  # linux/prctl.h
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def no_process_is_left_behind(request, adopt_orphans):
    """Fail a test that ends before the processes that it has started, and end them."""
    names = request.fixturenames
    kept = ((FORKER,) if "kept_forks" in names else ()) + (
        OF_BROWSERS if "browser" in names else ()
    )

    def left():
        return {
            process: command
            for process, command in children().items()
            if not any(words in command for words in kept)
        }

    yield
    patience = time.monotonic() + 60  # for those that are about to end, on however busy a machine
    while (running := left()) and time.monotonic() < patience:
        time.sleep(0.01)
    for process in running:
        os.kill(process, signal.SIGKILL)
    assert not running, f"processes that the test has left behind: {running}"


@pytest.fixture
def run_example(tmp_path, monkeypatch, capsys):
    """The output of `name --quick`, and the pictures that it wrote, each of them not empty."""
    from matplotlib.figure import Figure

    draw = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, dpi: draw(figure, file, dpi=75))

    def run(name):
        (example,) = (Path(__file__).parent.parent / "examples").glob(f"{name}_*.py")
        monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path), "--quick"])
        runpy.run_path(str(example), run_name="__main__")
        out, err = capsys.readouterr()
        assert err == ""
        make_gallery.hold(example.stem, out)
        pictures = sorted(tmp_path.glob("*.png"))
        assert out.count("wrote ") == len(pictures)
        for picture in pictures:
            assert f"wrote {picture}" in out
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert picture.stat().st_size > 10_000
        return out, [picture.stem for picture in pictures]

    return run
