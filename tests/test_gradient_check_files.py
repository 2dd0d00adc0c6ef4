"""Functions in a user's files at a stored point, and the pictures."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from differentiable import log_sum_exp, network

from numpyvae import gradient_check
from numpyvae.cli import main
from numpyvae.gradient_check import (
    check_grad,
    plot_agreement,
    plot_heatmap,
    plot_step_sizes,
    plot_taylor,
    taylor_test,
)
from numpyvae.user_functions import InputError, check_files

MODULE = """
import numpy as np
from neighbour import POWER

def f(theta):
    return np.sum(theta**POWER)

def grad_f(theta):
    return POWER * theta ** (POWER - 1)

def wrong(theta):
    return theta

def noisy(theta):
    return np.random.normal()

def network(p):
    return np.sum(np.tanh(p["W"] @ p["b"]))

def network_grad(p):
    d = 1 - np.tanh(p["W"] @ p["b"]) ** 2
    return {"W": np.outer(d, p["b"]), "b": p["W"].T @ d}

def regression(theta, x, y):
    return 0.5 * np.sum((x @ theta - y) ** 2)

def regression_grad(theta, x, **more):
    return x.T @ (x @ theta - more["y"])

class holder:
    f = staticmethod(f)

number = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "neighbour.py").write_text("POWER = 3\n")
    (tmp_path / "mine.py").write_text(MODULE)
    np.savez(tmp_path / "point.npz", theta=np.array([1.0, 2.0, -0.5]))
    return tmp_path


def run(folder, f, grad, point="point.npz", **options):
    return check_files(
        f"{folder}/mine.py:{f}", f"{folder}/mine.py:{grad}", folder / point, **options
    )


def test_right_wrong_and_undecided(folder):
    assert run(folder, "f", "grad_f").verdict == "pass"
    assert run(folder, "f", "wrong").verdict == "fail"
    assert run(folder, "noisy", "wrong").verdict == "cannot tell"
    assert run(folder, "holder.f", "grad_f", method="central").verdict == "pass"


def test_a_point_of_named_parameters(folder, rng):
    np.savez(folder / "named.npz", W=rng.standard_normal((3, 2)), b=rng.standard_normal(2))
    report = run(folder, "network", "network_grad", "named.npz")
    assert report.verdict == "pass"
    assert [row["parameter"] for row in report.table] == ["W", "b"]


def test_a_point_with_further_arguments(folder, rng):
    data = {"x": rng.standard_normal((5, 2)), "y": rng.standard_normal(5)}
    np.savez(folder / "data.npz", theta=rng.standard_normal(2), **data)
    assert run(folder, "regression", "regression_grad", "data.npz").verdict == "pass"


def test_a_point_says_what_is_constant(folder):
    """Beside theta, arrays are constants: named if a function takes them, and if none does."""
    data = {"x": np.ones((5, 2)), "y": np.ones(5)}
    np.savez(folder / "data.npz", theta=np.ones(2), rate=np.ones(1), **data)
    said = run(folder, "regression", "regression_grad", "data.npz").warnings
    assert said == ["only theta is checked; constant: rate, x, y"]  # **more takes them all
    np.savez(folder / "more.npz", theta=np.ones(3), x=np.ones(2))
    assert run(folder, "f", "grad_f", "more.npz").warnings == [
        "neither function takes, so not used: x"
    ]
    assert run(folder, "f", "grad_f").warnings == []


def test_several_arrays_come_as_one_dict(folder):
    (folder / "mine.py").write_text("def f(W, b):\n    return (W @ b).sum()\n")
    np.savez(folder / "named.npz", W=np.ones((3, 2)), b=np.ones(2))
    with pytest.raises(InputError, match=r"with theta = one dict of the arrays W, b from .*'b'"):
        run(folder, "f", "f", "named.npz")


@pytest.mark.parametrize("name", ["p.csv", "p.npz", "p.npy"])
def test_a_point_that_is_no_point_is_named_once(name, folder):
    (folder / name).write_text("1,2\n")
    with pytest.raises(InputError) as caught:
        run(folder, "f", "grad_f", name)
    said = str(caught.value)
    assert said.count(name) == 1
    assert said.startswith("expected an .npz or .npy file, got ") == (name == "p.csv")


@pytest.mark.parametrize("option", ["--directions", "--seed"])
def test_numbers_that_cannot_be_are_the_options_fault(option, folder, capsys):
    spec = [f"{folder}/mine.py:f", f"{folder}/mine.py:grad_f", "--at", f"{folder}/point.npz"]
    assert main(["check", *spec, option, "-1"]) == 2
    least = 1 if option == "--directions" else 0
    assert capsys.readouterr().err == f"numpyvae: {option} must be at least {least}, got -1\n"


def test_other_forms_of_a_point(folder):
    np.save(folder / "bare.npy", np.ones(3))
    np.savez(folder / "unnamed.npz", np.ones(3))
    assert run(folder, "f", "grad_f", "bare.npy").verdict == "pass"
    assert run(folder, "f", "grad_f", "unnamed.npz").verdict == "pass"


def test_everything_that_can_be_wrong_with_the_arguments(folder):
    np.savez(folder / "objects.npz", theta=np.array([{}], dtype=object))
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "quits.py").write_text("raise SystemExit(0)\n")
    (folder / "text.npz").write_text("hello")
    mine, point = f"{folder}/mine.py", folder / "point.npz"
    bad = {
        "expected FILE.py:FUNCTION": ("nothing", f"{mine}:f", point),
        "there is no file": (f"{folder}/none.py:f", f"{mine}:f", point),
        "has no 'g'; it has f, grad_f": (f"{mine}:g", f"{mine}:f", point),
        "is not a function, but a int": (f"{mine}:number", f"{mine}:f", point),
        "cannot be loaded: ZeroDivisionError": (f"{folder}/broken.py:f", f"{mine}:f", point),
        "cannot be loaded: SystemExit": (f"{folder}/quits.py:f", f"{mine}:f", point),
        "cannot be imported": ("no_such_module_at_all:f", f"{mine}:f", point),
        "there is no file .*none.npz": (f"{mine}:f", f"{mine}:f", folder / "none.npz"),
        "not an .npz file of plain arrays": (f"{mine}:f", f"{mine}:f", folder / "objects.npz"),
        "text.npz is not an .npz": (f"{mine}:f", f"{mine}:f", folder / "text.npz"),
        "could not run with theta = an array": (f"{mine}:network", f"{mine}:f", point),
    }
    for words, arguments in bad.items():
        with pytest.raises(InputError, match=words):
            check_files(*arguments)


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch, capsys):
    example = Path(__file__).parent.parent / "examples" / "02_check_your_own_gradient.py"
    picture = tmp_path / "figure.png"
    monkeypatch.setattr(sys, "argv", [str(example), str(picture)])
    runpy.run_path(str(example), run_name="__main__")
    told = capsys.readouterr().out
    assert "gradient check: PASS" in told
    assert "W: yours is the transpose of the right one" in told
    assert "b: yours is the right one times 1/5 (1/N)" in told
    assert picture.stat().st_size > 10_000


def test_a_file_that_changes_the_search_path(folder):
    text = (folder / "mine.py").read_text()
    (folder / "rebinds.py").write_text(f"import sys\n{text}\nsys.path = ['nowhere']\n")
    (folder / "removes.py").write_text(f"import sys\n{text}\nsys.path.pop(0)\n")
    (folder / "clears.py").write_text("import sys\nsys.path.clear()\nraise OSError('no')\n")
    path, entries = sys.path, list(sys.path)
    for name in ("rebinds", "removes"):
        spec = f"{folder}/{name}.py"
        assert check_files(f"{spec}:f", f"{spec}:grad_f", folder / "point.npz").verdict == "pass"
        assert sys.path is path
        assert path == entries
    with pytest.raises(InputError, match="cannot be loaded: OSError"):
        check_files(f"{folder}/clears.py:f", f"{folder}/clears.py:f", folder / "point.npz")
    assert path == entries


def test_files_are_told_apart_by_their_path(folder):
    run(folder, "f", "grad_f")
    loaded = [m for n, m in sys.modules.items() if str(folder.name) in n and "mine" in n]
    assert len(loaded) == 1  # f and grad_f are from one module
    assert loaded[0].__file__ == str(folder / "mine.py")


# ---------------------------------------------------------------- pictures


@pytest.mark.slow
def test_pyplot_is_never_imported(tmp_path):
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from numpyvae.gradient_check import *\n"
        "f, theta = (lambda t: np.sum(t**3)), np.ones((2, 3))\n"
        "plot_step_sizes(f, theta)\n"
        "plot_taylor(taylor_test(f, theta, 3 * theta**2))\n"
        "for method in ('complex', 'directional', 'taylor'):\n"
        "    picture = check_grad(f, theta, 4 * theta**2, method=method).plot()\n"
        "picture.savefig(sys.argv[1])\n"
        "plot_heatmap(check_grad(f, theta, theta))\n"
        "plot_agreement(check_grad(f, theta, theta))\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "figure.png")], check=True)


def test_step_sizes_show_the_v_and_the_flat_line(rng):
    f, theta, _ = log_sum_exp(rng)
    lines = {line.get_label().split(",")[0]: line for line in plot_step_sizes(f, theta).lines}
    central, complex_line = lines["central difference"], lines["complex step"]
    lowest = np.argmin(central.get_ydata())
    assert 1e-7 < central.get_xdata()[lowest] < 1e-2  # the bottom of the V
    assert np.max(complex_line.get_ydata()[:12]) < 1e-13  # no left branch
    labels = [plot_step_sizes(np.linalg.norm, theta).lines[i].get_label() for i in range(3)]
    assert not any("complex" in label for label in labels)


def test_taylor_picture(rng):
    f, theta, grad = log_sum_exp(rng)
    ax = plot_taylor(taylor_test(f, theta, grad))
    assert "measured order 2.0" in ax.get_title()
    assert ax.get_xlabel() == "step h"
    linear = plot_taylor(taylor_test(np.sum, theta, np.ones_like(theta)))
    assert "zero to rounding" in linear.get_title()


def test_heatmap_and_agreement():
    f, theta, grad = network(np.random.default_rng(0))
    wrong = grad(theta)
    wrong["V"] = 2 * wrong["V"]
    report = check_grad(f, theta, wrong)
    ax = plot_heatmap(report)
    assert "V" in ax.get_title()
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown, grad(theta)["V"], atol=1e-9)
    assert "b" in plot_heatmap(report, "b").get_title()
    with pytest.raises(ValueError, match="no parameter 'Z'"):
        plot_heatmap(report, "Z")
    with pytest.raises(ValueError, match="no entry-by-entry comparison"):
        plot_heatmap(check_grad(f, theta, wrong, directions=3))
    labels = [line.get_label() for line in plot_agreement(report).lines]
    assert "2 times the right one" in labels
    assert "identity" in labels


@pytest.mark.parametrize("method", ["complex", "central", "directional", "taylor"])
@pytest.mark.parametrize("factor", [1.0, 2.0, np.nan])
def test_every_report_can_be_drawn(method, factor):
    f, theta, grad = network(np.random.default_rng(0))
    wrong = {**grad(theta), "c": factor * grad(theta)["c"]}
    figure = check_grad(f, theta, wrong, method=method).plot()
    figure.canvas.draw()
    assert len(figure.axes) >= 1


def test_reports_without_a_table_can_be_drawn():
    check_grad(lambda t: np.nan, np.ones(2), np.ones(2)).plot()
    check_grad(lambda t: np.sum(t**2), 1.5, 3.0).plot()


@pytest.mark.parametrize("factor", [2.0, 2.1])
def test_as_many_directions_as_entries_are_not_drawn_as_entries(factor):
    theta = np.ones(3)
    report = check_grad(lambda t: np.sum(t**2), theta, factor * theta, directions=3)
    assert [ax.get_xlabel() for ax in report.plot().axes] == ["step h", "step h"]


def test_where_the_users_function_failed(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import sys\n\n\ndef f(theta):\n    return {}['nokey']\n\n\n"
        "def leaves(theta):\n    sys.exit(5)\n"
    )
    np.save(tmp_path / "point.npy", np.ones(3))
    for name, words in (("f", r"KeyError: 'nokey' \(broken\.py, line 5\)"), ("leaves", "line 9")):
        spec = f"{tmp_path / 'broken.py'}:{name}"
        with pytest.raises(InputError, match=words):
            check_files(spec, spec, tmp_path / "point.npy")
    (tmp_path / "notes.txt").write_text("f = 1")
    with pytest.raises(InputError, match=r"expected a Python file named \.py"):
        check_files(f"{tmp_path / 'notes.txt'}:f", "f:g", tmp_path / "point.npy")


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module_beside_me.py").write_text(
        "import numpy as np\n\n\ndef f(t):\n    return np.sum(t**3)\n\n\n"
        "def g(t):\n    return 3 * t**2\n"
    )
    np.save("point.npy", np.array([0.5, -1.0, 2.0]))
    before = list(sys.path)
    assert check_files("module_beside_me:f", "module_beside_me:g", "point.npy").verdict == "pass"
    assert sys.path == before


def test_a_point_that_is_not_finite_is_not_the_gradients_fault():
    theta = np.array([1.0, np.nan])
    report = check_grad(lambda t: np.sum(t**2), theta, 2 * theta)
    assert report.verdict == "cannot tell"
    assert "theta is not finite: theta[1] is nan" in str(report)


def test_their_former_home_still_has_them():
    assert gradient_check.check_files is check_files
    assert gradient_check.InputError is InputError
    assert not hasattr(gradient_check, "load_point")
