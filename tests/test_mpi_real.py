"""Ranks as processes: what only mpiexec can show. Skipped where it or mpi4py is missing."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE
from numpyvae.run_files import open_run

BESIDE = shutil.which("mpiexec", path=Path(sys.executable).parent)
MPIEXEC = BESIDE or shutil.which("mpiexec")
MISSING = [
    name
    for name, found in (("mpi4py", importlib.util.find_spec("mpi4py")), ("mpiexec", MPIEXEC))
    if not found
]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {' and no '.join(MISSING)}: pip install '.[mpi]' mpich"
)

SHARED = {  # for Open MPI: more ranks than processors, and root in a container
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}
RANK = b"PMI_RANK=1", b"OMPI_COMM_WORLD_RANK=1"


def start(size, *arguments):
    command = [MPIEXEC, "-n", str(size), sys.executable, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **SHARED}, **pipes)


def run(size, *arguments):
    """Exit code, output and errors; what hangs is killed, and fails."""
    process = start(size, *arguments)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


SAME = """
import numpy as np
from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits
from numpyvae.mpi import DataParallel, world

comm, x = world(), load_digits().x_train[:131]
alone, shared = (VAE(64, 3, (20,), likelihood=Binomial(16), dtype=np.float64) for _ in range(2))
parallel, rng = DataParallel(shared, comm), np.random.default_rng(0)
optimizers = Adam(1e-3), Adam(1e-3)
worst = 0.0
for _ in range(20):
    rows, noise = rng.permutation(131)[:50], rng.standard_normal((50, 3))
    expected = alone.loss_and_grad(shared.theta, x[rows], noise)[1]
    grad = parallel.loss_and_grad(shared.theta, x[rows], noise)[1]
    worst = max(worst, np.abs(grad - expected).max() / np.abs(expected).max())
    optimizers[0].step(alone.theta, alone.loss_and_grad(alone.theta, x[rows], noise)[1])
    optimizers[1].step(shared.theta, grad)
assert worst < 1e-12, worst
assert np.abs(shared.theta - alone.theta).max() < 1e-9
parallel.fit(x, 3, 50, validation_data=x[:9], verbose=False)
thetas = comm.gather(shared.theta.tobytes())
histories = comm.gather([record["elbo"] for record in shared.history])
if comm.rank == 0:
    assert set(thetas) == {thetas[0]} and histories == histories[:1] * comm.size
    print("equal on", comm.size)
"""


@pytest.mark.parametrize("size", [1, 2, 4])
def test_gradient_and_training_are_those_of_one_process(size, tmp_path):
    (tmp_path / "same.py").write_text(SAME)
    assert run(size, str(tmp_path / "same.py")) == (0, f"equal on {size}\n", "")


@pytest.fixture
def small(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rng.integers(0, 2, (50, 3)))
    return ["-m", "numpyvae", "train", "--data", "x.npy", "--hidden-dims", "4", "--out", "run"]


def test_the_command_on_two_ranks_writes_one_run(small):
    code, out, err = run(2, *small, "--epochs", "2")
    assert (code, err) == (0, "")
    assert out.count("40 examples of dimension 3") == out.count("Learned in 2 epochs") == 1
    model, _ = open_run("run")
    assert model.epochs_trained == 2
    assert Path("run", "samples.png").is_file()


FAIL = """
from pathlib import Path
import numpy as np
from numpyvae import VAE
from numpyvae.mpi import DataParallel, world

def save_or_fail(model, record):
    if comm.rank == 0:
        model.save("model.npz")
    elif record["epoch"] == 3:
        raise OSError("the disk is gone")

comm, vae = world(), VAE(3, 1, (4,))
DataParallel(vae, comm).fit(np.load("x.npy"), 10**6, 10, callbacks=[save_or_fail], verbose=False)
"""


ON_CTRL_C = """
import numpy as np
from numpyvae import VAE
from numpyvae.mpi import DataParallel, world

def begun(model, record):
    if comm.rank == 0:
        print("begun", flush=True)

comm, vae = world(), VAE(3, 1, (4,))
try:
    DataParallel(vae, comm).fit(np.load("x.npy"), 10**6, 10, callbacks=[begun], verbose=False)
except KeyboardInterrupt:
    if comm.rank == 0:
        vae.save("model.npz")
"""


@pytest.mark.usefixtures("small")
def test_a_script_that_is_interrupted_goes_on_after_fit():
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout
    if "HYDRA" not in version:
        pytest.skip("only MPICH's mpiexec lets the ranks end by themselves after Ctrl-C")
    Path("script.py").write_text(ON_CTRL_C)
    process = start(2, "script.py")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)  # to mpiexec, which passes it on
    process.communicate(timeout=60)
    assert VAE.load("model.npz").epochs_trained >= 1


@pytest.mark.usefixtures("small")
def test_an_exception_on_one_rank_ends_the_job():
    Path("fail.py").write_text(FAIL)
    code, _, err = run(2, "fail.py")
    assert code != 0
    assert "rank 1 of 2 has failed, which ends the job: OSError: the disk is gone" in err
    assert VAE.load("model.npz").epochs_trained in (2, 3)


def process_of_rank_1(marked):
    """The id of the process whose environment says that it is rank 1 of this test."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
            command = (path / "cmdline").read_bytes()
        except OSError:  # another's, or it has ended
            continue
        if marked in environment and set(RANK) & set(environment) and b"numpyvae" in command:
            return int(path.name)
    raise AssertionError("no rank 1")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the rank in /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, None), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_to_one_rank_ends_the_job_with_the_last_good_epoch_on_disk(
    number, code, small, tmp_path, monkeypatch
):
    monkeypatch.setenv("NUMPYVAE_TEST", str(tmp_path))
    process = start(2, *small, "--epochs", "1000000")
    while not Path("run", "model.npz").exists():  # which it is after the first epoch
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process_of_rank_1(f"NUMPYVAE_TEST={tmp_path}".encode()), number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code if code else process.returncode != 0
    model, _ = open_run("run")
    assert model.epochs_trained >= 1
    assert np.isfinite(model.theta).all()
    if code:
        assert "Interrupted after" in out
