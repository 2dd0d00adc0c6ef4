"""docs/benchmarks: the suite runs, and its contenders do the same work. No test is of a time."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from numpyvae import Adam, model_options

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "benchmarks"
DTYPES = [np.float32, np.float64]


@pytest.fixture
def contenders(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return pytest.importorskip("contenders")


@pytest.fixture
def point(contenders, request):
    """A case, and theta, data and noise in the dtype that the test is parametrised by."""
    case, dtype, rng = contenders.Case(12, 9, 3), request.param, np.random.default_rng(0)
    vae = contenders.our_model(case, dtype)
    vae.theta += (0.1 * rng.standard_normal(vae.theta.size)).astype(dtype)  # biases are no zeros
    x = contenders.binary_data(7, case.data).astype(dtype)
    return case, vae, x, vae.draw_noise(rng, 7)


def assert_agree(vae, x, noise, loss, grad):
    """To the rounding of the dtype."""
    tolerance = 50 * np.finfo(vae.dtype).eps
    ours, our_grad = vae.loss_and_grad(vae.theta, x, noise)
    assert abs(loss - ours) <= tolerance * abs(ours)
    assert grad.dtype == our_grad.dtype
    assert np.abs(grad - our_grad).max() <= tolerance * np.abs(our_grad).max()


@pytest.mark.parametrize("point", DTYPES, indirect=True)
def test_pytorch_has_our_loss_and_gradient(contenders, point):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    case, vae, x, noise = point
    model = contenders.torch_model(case, vae.theta)
    loss = model.loss(torch.from_numpy(x), torch.from_numpy(noise))
    loss.backward()
    grad = np.concatenate([p.grad.numpy().T.ravel() for p in model.parameters()])
    assert_agree(vae, x, noise, loss.item(), grad)


@pytest.mark.parametrize("point", DTYPES, indirect=True)
def test_jax_has_our_loss_and_gradient(contenders, point):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    case, vae, x, noise = point
    with jax.enable_x64(vae.dtype == np.float64):
        params = contenders.jax_parameters(case, vae.theta)
        loss, grads = jax.value_and_grad(contenders.jax_loss)(params, x, noise)
        grad = np.concatenate([np.asarray(grads[name]).ravel() for name in vae.layout.shapes])
        assert_agree(vae, x, noise, float(loss), grad)


def test_the_adam_written_for_jax_is_ours(contenders):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    rng = np.random.default_rng(0)
    theta, optimizer = rng.standard_normal(8), Adam()
    with jax.enable_x64(True):
        params, m, v = {"w": theta.copy()}, {"w": np.zeros(8)}, {"w": np.zeros(8)}
        for t in (1, 2, 3):
            grad = rng.standard_normal(8)
            optimizer.step(theta, grad)
            params, m, v = contenders.jax_adam(params, {"w": grad}, m, v, t)
        np.testing.assert_allclose(params["w"], theta, rtol=1e-12)


@pytest.fixture
def models(contenders):
    return pytest.importorskip("models")


def test_every_model_of_the_command_is_measured(models):
    assert {entry.kind for entry in models.ENTRIES.values()} == set(model_options.ours())


@pytest.fixture
def agree_on(models, contenders):
    """agree_on(name): ours and PyTorch's loss and gradient of a row of the table, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def agree(name):
        model, rng = models.our_model(name, contenders.Case(12, 9, 3), np.float64), default_rng(0)
        model.theta += 0.1 * rng.standard_normal(model.theta.size)  # biases are no zeros
        data = models.data_of(model, 7, 5)
        n = len(data[0]) if isinstance(data, tuple) else len(data)
        data = (data[0].astype(float), data[1]) if isinstance(data, tuple) else data.astype(float)
        noise = model.draw_noise(rng, n)
        loss, grad = model.loss_and_grad(model.theta, data, noise)
        p = models.torch_parameters(model)
        theirs = models.torch_loss(name)(p, models.torch_data(data), torch.from_numpy(noise), model)
        theirs.backward()
        their_grad = np.concatenate([p[key].grad.numpy().ravel() for key in model.layout.shapes])
        assert theirs.item() == pytest.approx(loss, rel=1e-12), name
        np.testing.assert_allclose(their_grad, grad, rtol=0, atol=1e-12 * np.abs(grad).max())

    return agree


def test_pytorch_has_the_loss_and_gradient_of_every_model(models, agree_on):
    for name in models.ENTRIES:
        agree_on(name)


def test_a_case_knows_its_number_of_parameters(contenders):
    case = contenders.Case(12, 9, 3)
    assert case.n_parameters == contenders.our_model(case).theta.size


def test_the_floor_is_the_steps_eleven_products(contenders):
    """Six multiply-adds for each weight, three in the first layer and N for each."""
    case, n, flops = contenders.Case(12, 9, 3), 7, 0
    matmul = np.matmul

    def counting(a, b, out):
        nonlocal flops
        flops += a.shape[0] * a.shape[1] * b.shape[1]
        return matmul(a, b, out=out)

    multiply = contenders.matrix_products(case, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "matmul", counting)
        multiply()
    d, h, latent = case
    assert flops == n * (2 * d * h + 3 * h * 2 * latent + 3 * latent * h + 3 * h * d)


def test_rows_of_a_busy_machine_are_named(contenders):
    report, steps = pytest.importorskip("report"), pytest.importorskip("steps")
    blocks = {contenders.OURS: [1.0, 1.1, 1.2], contenders.FLOOR: [0.5, 60.0, 61.0]}
    row = steps.StepTimes(contenders.Case(64, 128, 8), 20, blocks)
    assert report.disturbed([row]) == ["matrix products at (64, 128, 8) with batch 20"]
    assert row.ratio(contenders.FLOOR) == 1.2 / 61.0  # the median of the paired ratios


@pytest.fixture(scope="module")
def run_in_quickest_form(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs")
    command = [FOLDER / "run.py", "--quick", "--seconds", "0", "--cores", "1", "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    printed = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=True
    ).stdout
    return printed, out


@pytest.mark.slow
def test_the_suite_runs_and_names_missing_peers(run_in_quickest_form, contenders):
    printed, out = run_in_quickest_form
    page = (out / "benchmarks.md").read_text(encoding="utf-8")
    for text in (printed, page):
        table = text.split("One training step" if text is printed else "## One training step")[1]
        rows = re.findall(r"^\| (?:64, 128, 8|784, 200, 50|784, 400, 20) +\| +\d+ \|", table, re.M)
        assert len(rows) == 2 * 9  # the step beside its peers, and its parts
        for name, library in contenders.LIBRARY.items():
            is_missing = f"{name} ({library} is not installed)" in text
            assert is_missing != contenders.is_there(library), name
    assert (out / "figures" / "benchmarks.png").stat().st_size > 10_000


@pytest.mark.slow
def test_one_part_of_the_page_is_replaced(models, contenders):
    page = pytest.importorskip("page")
    rows = [models.ModelTimes("M2, 10 classes", {"VAE": [1.0], contenders.OURS: [9.5]})]
    text = page.with_models("# A\n\n## Every model's step\n\nold\n\n## B\n\nkept\n", rows)
    assert text.startswith("# A\n\n## Every model's step\n\nA training step of")
    assert text.endswith("\n\n## B\n\nkept\n")
    assert "old" not in text
    assert "|              9.50 | <= 9.0 | **missed** |" in text


@pytest.mark.slow
def test_the_page_tells_nothing_of_the_machine_but_its_kind(run_in_quickest_form):
    page = (run_in_quickest_form[1] / "benchmarks.md").read_text(encoding="utf-8")
    assert os.uname().nodename not in page if hasattr(os, "uname") else True
    assert str(ROOT) not in page
    assert "{" not in page


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_the_files_are_small_and_say_what_they_measure(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    assert len(source.splitlines()) < 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, node.name


# Examples per second of the estimates of log p(x).


@pytest.fixture
def yardstick(contenders):
    return pytest.importorskip("yardstick")


def test_growth_exponents_are_those_of_powers(yardstick):
    sizes = np.array([2.0, 8.0, 50.0])
    assert yardstick.exponent(sizes, 3.0 * sizes**0.7) == pytest.approx(0.7)
    kind = yardstick.Kind(None, 1, (4, 16))
    times = {("k", L, S): 1e-3 * L**0.5 * S for L in (1, 4) for S in (4, 16)}
    head, _, first, second, last = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in yardstick.speeds("k", kind, (1, 4), times).splitlines()
    ]
    assert head == ["", "S = 4", "S = 16", "growth in S"]
    assert first == ["L = 1", "250", "62.5", "1.00"]
    assert second == ["L = 4", "125", "31.2", "1.00"]
    assert last == ["growth in L", "0.50", "0.50", ""]


def test_speeds_have_three_digits_each(yardstick):
    kind = yardstick.Kind(None, 1, (4, 16))
    times = {("k", 1, 4): 1 / 7.9, ("k", 1, 16): 1 / 4.0, ("k", 2, 4): 1 / 192, ("k", 2, 16): 1.0}
    _, _, one, two, _ = yardstick.speeds("k", kind, (1, 2), times).splitlines()
    assert [cell.strip() for cell in one.split("|")[2:4]] == ["7.90", "4.00"]
    assert [cell.strip() for cell in two.split("|")[2:4]] == ["192", "1.00"]


def test_every_size_is_measured_and_written_into_the_page(yardstick):
    calls = []
    kinds = {
        name: yardstick.Kind(lambda *arguments: calls.append(arguments), 3, (1, 2))
        for name in ("refined", "annealed")
    }
    times = yardstick.measure(kinds, (2,), 2)
    assert times.keys() == {(name, 2, S) for name in kinds for S in (1, 2)}
    assert len(calls) == 8
    assert {(vae.latent_dim, len(x)) for vae, x, _ in calls} == {(2, 3)}
    times = {(name, L, S): 0.5 * S for name in kinds for L in (2, 8) for S in (1, 2)}
    text = yardstick.section(kinds, (2, 8), times, 2, 0.5)
    assert text.count("| L = 8       |  2.00 |  1.00 |        1.00 |") == 2
    assert "200 steps of refinement on 8 samples" in text
    page = f"# A\n\nText.\n\n{yardstick.HEADING}\n\nOld.\n"
    assert yardstick.replaced(page, text) == yardstick.replaced("# A\n\nText.\n", text)
    assert yardstick.HEADING in yardstick.PAGE.read_text(encoding="utf-8")
