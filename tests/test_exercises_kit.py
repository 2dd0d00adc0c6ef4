"""The exported kit: it works with NumPy alone, holds no solution, and depends on the seed only."""

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, exercise_numbered, solution
from numpyvae.exercises.judge.judging import judge_file
from numpyvae.exercises.judge.mistakes import mistakes_of
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.teacher import kit

ROOT = Path(__file__).parent.parent
NUMPY = Path(np.__file__).parent.parent
SEED = "student 7"

# Runs check.py where only the standard library, the kit and NumPy can be imported. The planted
# files are JSON on standard input: [[exercise, source], ...]; printed is what `show` says of each.
# All else is right, so the exercises before the planted one need to be checked only once.
ISOLATED = """
import importlib.util, io, json, sys, warnings
from contextlib import redirect_stdout
sys.path.append(NUMPY)  # -S: no other installed package is found, or its .pth files
import numpy as np
assert not any("numpyvae" in path for path in sys.path), sys.path
class Alone:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in ("numpyvae", "matplotlib", "scipy"), name
sys.meta_path.insert(0, Alone())
sys.path.insert(0, ".")
import check
warnings.simplefilter("ignore")
np.seterr(all="ignore")
verdicts = []
anew = check.check
right = {number: anew(number) for number in range(len(check.EXERCISES))}
assert not any(wrong for found in right.values() for wrong in found.values()), right
for planted, source in json.load(sys.stdin):
    path = check.HERE / check.EXERCISES[planted]["file"]
    before = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    for name in [*check.YOURS, "given"]:
        sys.modules.pop(name, None)
    anew.cache_clear()
    check.check = lambda number: right[number] if number < planted else anew(number)
    check.module_of.cache_clear()
    with redirect_stdout(io.StringIO()) as printed:
        check.show(planted)
    verdicts.append(printed.getvalue())
    path.write_text(before, encoding="utf-8")
print(json.dumps(verdicts))
"""


@pytest.fixture(scope="module")
def archive():
    return zipfile.ZipFile(io.BytesIO(kit.build(SEED)))


@pytest.fixture
def folder(archive, tmp_path):
    archive.extractall(tmp_path)
    return tmp_path / kit.FOLDER


@pytest.fixture
def solved(folder):
    for exercise in EXERCISES:
        (folder / exercise.file).write_text(solution(exercise.file), encoding="utf-8")
    return folder


def run(folder, *words):
    """check.py with the standard library and NumPy alone."""
    start = "import runpy, sys; sys.path.append(sys.argv.pop(1)); sys.argv.pop(0); "
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", start, str(NUMPY), "check.py", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def verdicts(folder, planted):
    """What check.py prints on each (exercise, source), every one with all else right."""
    code = ISOLATED.replace("NUMPY", repr(str(NUMPY)))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=folder,
        text=True,
        input=json.dumps(planted),
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def changed(number, *changes):
    """A solution with some text changed, at its last place."""
    text = solution(EXERCISES[number].file)
    for old, new in changes:
        before, found, after = text.rpartition(old)
        assert found, old
        text = before + new + after
    return [number, text]


def test_stubs_are_not_done_and_solutions_pass(folder):
    done = run(folder)
    assert done.returncode == 1
    assert done.stderr == ""
    assert done.stdout.count("not done  ex") == 10
    assert "exercise 0 comes first: dense is not written yet" in done.stdout  # of 5, and of 9
    for exercise in EXERCISES:
        (folder / exercise.file).write_text(solution(exercise.file), encoding="utf-8")
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("pass      ex") == 10
    assert "10 of 10 exercises pass" in done.stdout
    one = run(folder, 3)
    assert one.returncode == 0
    assert one.stdout.splitlines() == [
        "pass      ex3_reparameterize.py    the reparameterised sample"
    ]
    assert run(folder, 10).returncode == 1


@pytest.mark.slow
def test_every_mistake_fails(solved):
    planted = [(e.number, m.name, source) for e in EXERCISES for m, source in mistakes_of(e)]
    said = verdicts(solved, [(number, source) for number, _, source in planted])
    passed = [p[:2] for p, text in zip(planted, said, strict=True) if not text.startswith("fail ")]
    assert passed == []
    assert {number for number, *_ in planted} == set(range(10))


SMALL = " * (1 + 1e-6)"


@pytest.mark.slow
def test_a_gradient_wrong_by_a_millionth_fails(solved):
    right = [
        (0, "dW = x.T @ dy"),
        (1, "dx = dy * (x > 0)"),
        (1, "dx = dy * (1.0 - y * y)"),
        (2, "dx = dp * p * (1.0 - p)"),
        (2, "dlogits = dlog_prob[:, None] * (x - p)"),
        (3, "dlog_var = 0.5 * dz * noise * sigma"),
        (4, "dlog_var = 0.5 * dkl * (np.exp(log_var) - 1.0)"),
        (5, "dlog_var = dlog_var_z + dlog_var_kl"),
        (7, "dmean = dlog_prob * residual * precision"),
        (8, "dmean = value * (z - mean) * precision"),
        (8, "dlog_var = 0.5 * df * noise * np.exp(0.5 * log_var)"),
    ]
    wrong = [(n, (line, line.replace(" = ", " = (") + ")" + SMALL)) for n, line in right]
    for (_, line), said in zip(right, verdicts(solved, [changed(*w) for w in wrong]), strict=True):
        assert said.startswith("fail "), line
        assert "numerical differentiation gives" in " ".join(said.split()), line


@pytest.mark.slow
def test_other_right_ways_pass(solved):
    softplus = "np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))"
    log_q = "(np.log(2.0 * np.pi) + log_var + squares).sum(axis=1)"
    right = [
        changed(
            0,
            ("return y, (x, W)", "return y, {'x': x, 'W': W}"),
            ("x, W = cache", "x, W = cache['x'], cache['W']"),
        ),
        changed(1, ("np.where(x > 0, x, 0.0)", "np.maximum(x, 0)")),
        changed(1, ("np.where(x > 0, x, 0.0)", "(x + np.abs(x)) / 2")),
        changed(1, ("np.tanh(x)", "np.vectorize(__import__('math').tanh)(x)")),
        changed(2, ("0.5 * (1.0 + np.tanh(0.5 * x))", "1 / (1 + np.exp(-x))")),
        changed(2, (softplus, "np.logaddexp(0.0, logits)")),
        changed(3, ("return dmean, dlog_var", "return [dmean, dlog_var]")),
        changed(5, ("np.mean(beta * kl - log_px)", "float(np.mean(beta * kl - log_px))")),
        changed(8, (log_q, "(3 * np.log(2 * np.pi) + log_var.sum() + squares.sum(axis=1))")),
    ]
    for said in verdicts(solved, right):
        assert said.startswith("pass "), said


def test_what_a_failure_says(solved):
    body = "sigma, noise = cache"
    texts = verdicts(
        solved,
        [
            changed(3, ("dlog_var = 0.5 * dz", "dlog_var = dz")),
            changed(3, ("np.exp(0.5 * log_var)", "np.exp(log_var)")),
            changed(3, (body, f"{body}\n    return dz.T @ sigma @ sigma")),
            changed(3, (body, f"{body}\n    raise NotImplementedError('exercise 3: ...')")),
            changed(3, ("return dmean, dlog_var", "return dmean, None")),
            changed(3, ("return z, (sigma, noise)", "return z")),
            changed(3, ("import numpy as np", "import numpy as np)")),
            changed(6, ("m = beta1 * m +", "m *= beta1\n    m = m +")),
            changed(3, ("import numpy as np", "import numpy as np\nraise SystemExit")),
            changed(0, ("return dx, dW, db", "return dx, dW")),
            changed(4, ("return kl, (mean, log_var)", "pass")),
            changed(3, ("return z, (sigma", "return z * (1 + 5e-8), (sigma")),
        ],
    )
    expected = [
        ("reparameterize_backward: the gradient of log_var[", "numerical differentiation gives",
         "-> log_var: yours is the right one times 2.", "-> wrong: log_var; right: mean",
         'reproduce: from check import report; print(report("reparameterize_backward", 0))'),
        ("reparameterize: z[", "of 15 entries of z (5, 3) differ", "checked once reparameterize is",
         'reproduce: from check import outputs; outputs("reparameterize", 0)["z"]['),
        ("ValueError", "(ex3_reparameterize.py, line 23)"),
        ("not done yet: reparameterize_backward",),
        ("expected real numbers in dlog_var, got None",),
        ("expected (value, cache), got ndarray (5, 3)",),
        ("SyntaxError", "ex3_reparameterize.py, line 10"),
        ("the argument m is changed in place",),
        ("SystemExit",),
        ("dense_backward: expected dx, dW, db, got 2 results",),
        ("expected (value, cache), got None: is a return missing at the end?",),
        ("reparameterize: z[",),
    ]  # fmt: skip
    for said, parts in zip(texts, expected, strict=True):
        flat = " ".join(said.split())
        for part in parts:
            assert part in flat
        assert max(map(len, said.splitlines())) <= 99
    came, expected = re.search(r"is (\S+), expected (\S+)", " ".join(texts[-1].split())).groups()
    assert came != expected  # they differ beyond the sixth digit


def test_reproduction_lines_work(solved):
    wrong = solution("ex4_gaussian_kl.py").replace("0.5 * (mean", "(mean")
    (solved / "ex4_gaussian_kl.py").write_text(wrong, encoding="utf-8")
    said = run(solved, 4).stdout
    line = next(x for x in said.splitlines() if "reproduce: " in x).split("reproduce: ")[1]
    code = f"import sys; sys.path[:0] = ['.', {str(NUMPY)!r}]; "
    code += line.replace('; outputs("', '; print(outputs("') + ".item())"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=solved, capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert f" is {float(done.stdout):.6g}, expected" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_sentence(folder):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "check.py", "0"]
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("stopped ")
    assert done.stderr.count("\n") == 1


def test_an_earlier_mistake_comes_first(solved):
    wrong = solution("ex0_dense.py").replace("dy.sum(axis=0)", "dy.mean(axis=0)")
    (solved / "ex0_dense.py").write_text(wrong, encoding="utf-8")
    said = run(solved, 5)
    assert said.returncode == 1
    text = " ".join(said.stdout.split())
    assert "exercise 0 comes first: dense_backward is not right yet" in text
    (solved / "ex0_dense.py").unlink()
    assert "there is no ex0_dense.py" in run(solved, 0).stdout
    assert "Traceback" not in run(solved, 5).stderr


def test_texts_say_whose_functions_come_first(folder):
    """Alone, an exercise passes the grader and not the kit, and no file of the kit denies it."""
    (folder / "ex5_elbo.py").write_text(solution("ex5_elbo.py"), encoding="utf-8")
    assert judge_file(exercise_numbered(5), folder, SEED, Limits()).status == "pass"
    said = run(folder, 5)
    assert said.returncode == 1
    assert "exercise 0 comes first: dense is not written yet" in " ".join(said.stdout.split())
    for path in [*folder.glob("*.py"), *folder.glob("*.md")]:
        text = " ".join(path.read_text(encoding="utf-8").split())
        for sentence in text.split("."):
            assert "correct version" not in sentence or "grad" in sentence, (path.name, sentence)
    page = (ROOT / "docs" / "coursework.md").read_text(encoding="utf-8")
    assert "exercises 5 and 9 pass\nonly after the earlier ones" in page


def test_same_seed_same_bytes():
    first = kit.build("Zoë, 学生 " + "x" * 5000)
    assert kit.build("Zoë, 学生 " + "x" * 5000) == first
    assert kit.build("Zoe") != first
    assert kit.build() == kit.build("0")
    entries = zipfile.ZipFile(io.BytesIO(first)).infolist()
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    for entry in entries:
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.compress_type == zipfile.ZIP_STORED
        assert (entry.create_system, entry.external_attr) == (3, 0o100644 << 16)
        assert entry.filename.startswith(f"{kit.FOLDER}/")
        assert ".." not in entry.filename


def test_the_last_bits_do_not_matter(monkeypatch):
    """Another machine's exp may differ in the last bit, and sums in the last few."""
    bytes_here = kit.build(SEED)
    right = reference.right

    def elsewhere(number, seed):
        outcome = right(number, seed)
        nudged = {name: a * (1 + 2e-16) for name, a in outcome.arrays.items()}
        return outcome._replace(arrays=nudged)

    monkeypatch.setattr(reference, "right", elsewhere)
    assert kit.build(SEED) == bytes_here


def test_different_ids_have_different_numbers():
    one, other = (arrays_of(zipfile.ZipFile(io.BytesIO(kit.build(s)))) for s in ("1", "2"))
    assert one.keys() == other.keys()
    constants = {"beta", "t", "learning_rate", "beta1", "beta2", "epsilon"}
    for name, array in one.items():
        if name.split("/")[-1] not in constants and np.any(array) and "digits" not in name:
            assert not np.array_equal(array, other[name]), name


def arrays_of(archive):
    """Every array of every .npz in the kit."""
    found = {}
    for name in archive.namelist():
        if name.endswith(".npz"):
            with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as arrays:
                found |= {f"{name}:{key}": arrays[key] for key in arrays.files}
    return found


def test_no_solution_inside(archive):
    """No line of a solved function's body stands in any file."""
    lines = set()
    for exercise in EXERCISES:
        source = solution(exercise.file).splitlines()
        for node in ast.parse("\n".join(source)).body:
            if isinstance(node, ast.FunctionDef) and node.name in exercise.marks:
                body = source[node.body[0].end_lineno : node.end_lineno]
                lines |= {line.strip() for line in body if line.strip(" )")}
    assert len(lines) > 80
    for name in archive.namelist():
        assert "solution" not in name
        if not name.endswith(".npz"):
            text = archive.read(name).decode()
            assert lines & {line.strip() for line in text.splitlines()} == set(), name


def test_no_gradient_inside(archive):
    """No array of the kit is a gradient, whatever it is called, but for df, which is given."""
    arrays = arrays_of(archive)
    by_shape = {}
    for name, array in arrays.items():
        by_shape.setdefault(array.shape, []).append((name, array))
    looked_at = 0
    for exercise in EXERCISES:
        points = draw_points(exercise, SEED)
        for name, gradient in reference.right(exercise, SEED).arrays.items():
            function, place, result, *_ = name.split("/")
            f = next(f for f in exercise.functions if f.name == function)
            gradients = f.gradients or (f.outputs if function in kit.ESTIMATORS else ())
            if result not in gradients or gradient.size < 2:
                continue
            looked_at += 1
            df = points.get(f"{function}/{place}/df")
            for other, array in by_shape.get(gradient.shape, []):
                if np.allclose(array, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max()):
                    assert df is not None, (name, other)
                    assert np.array_equal(array, df), (name, other)
    assert looked_at > 40


def test_expected_values_are_good(archive):
    """They are the reference's to 1e-9, finite, and there for every forward output."""
    arrays = arrays_of(archive)
    for exercise in EXERCISES:
        right = reference.right(exercise, SEED).arrays
        prefix = f"{kit.FOLDER}/expected/ex{exercise.number}.npz:expected/"
        stored = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        for f in exercise.functions:
            own = [n for n in stored if n.startswith(f"{f.name}/")]
            assert {n.split("/")[2] for n in own} == (
                set() if f.name in kit.ESTIMATORS else set(f.outputs)
            )
        for name, array in stored.items():
            assert np.isfinite(array).all()
            scale = np.abs(right[name]).max()
            assert np.abs(array - right[name]).max() <= 1e-9 * scale, name


def test_npz_is_read_by_numpy():
    arrays = {"b/x": np.arange(6.0).reshape(2, 3).T, "a": np.array(3), "c": np.array([1.5], ">f8")}
    with np.load(io.BytesIO(kit.npz(arrays)), allow_pickle=False) as stored:
        assert set(stored.files) == set(arrays)
        for name, array in arrays.items():
            assert np.array_equal(stored[name], array)
            assert stored[name].shape == array.shape
            assert stored[name].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert kit.npz(arrays) == kit.npz(dict(reversed(arrays.items())))


def test_kit_is_complete(archive):
    names = {name.removeprefix(f"{kit.FOLDER}/") for name in archive.namelist()}
    assert {
        "README.md",
        "LICENSE",
        "check.py",
        "given.py",
        "digits.npz",
        "DIGITS_LICENSE.md",
    } < names
    assert {e.file for e in EXERCISES} < names
    assert {f"expected/ex{e.number}.npz" for e in EXERCISES} < names
    checker = ROOT / "numpyvae" / "gradient_check"
    assert {n for n in names if n.startswith("gradient_check/")} == {
        f"gradient_check/{path.name}" for path in checker.glob("*.py")
    }
    readme = archive.read(f"{kit.FOLDER}/README.md").decode()
    assert "{" + "table}" not in readme
    assert all(f"`{e.file}`" in readme for e in EXERCISES)
    assert archive.read(f"{kit.FOLDER}/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_command(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    kit.add_to(parser.add_subparsers())
    path = tmp_path / "kit.zip"

    def export(*words):
        arguments = parser.parse_args(["export", *map(str, words)])
        return arguments.command(arguments)

    assert export(path, "--seed", "Zoë") == 0
    content = path.read_bytes()
    assert content == kit.build("Zoë")
    assert capsys.readouterr().out == f"{path}: {len(content):,} bytes, seed 'Zo\\xeb'\n"
    with pytest.raises(FileExistsError, match="--overwrite"):
        export(path)
    assert path.read_bytes() == content
    assert export(path, "--overwrite") == 0
    assert path.read_bytes() == kit.build("0")
    with pytest.raises(ValueError, match=r"\.zip"):
        export(tmp_path / "kit.tar")
    with pytest.raises(FileNotFoundError):
        export(tmp_path / "nowhere" / "kit.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["kit.zip"]


def test_ctrl_c_is_one_line(solved):
    body = "sigma = np.exp(0.5 * log_var)"
    source = solution("ex3_reparameterize.py").replace(
        body, f"raise KeyboardInterrupt\n    {body}", 1
    )
    (solved / "ex3_reparameterize.py").write_text(source, encoding="utf-8")
    done = run(solved, 3)
    assert (done.returncode, done.stderr) == (1, "stopped\n")


def test_checkers_files_are_small(archive):
    text = archive.read(f"{kit.FOLDER}/check.py").decode()
    assert len(text.splitlines()) <= 300
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert max(n.end_lineno - n.lineno for n in functions) < 40
