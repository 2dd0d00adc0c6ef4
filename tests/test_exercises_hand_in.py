"""What students hand in, under which names and in what wrapping: taken, or named in a sentence."""

import bz2
import csv
import io
import json
import os
import subprocess
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from numpyvae import cli
from numpyvae.exercises.judge.catalogue import COURSES, EXERCISES, solution
from numpyvae.exercises.judge.judging import judge_source
from numpyvae.exercises.sandbox import cells
from numpyvae.exercises.sandbox.cells import as_python, definitions, place
from numpyvae.exercises.student.notebook import NAMES
from numpyvae.exercises.student.notebook import notebook as notebook_of
from numpyvae.exercises.student.stubs import stub
from numpyvae.exercises.teacher import submissions
from numpyvae.exercises.teacher.file_names import meant, student_of
from numpyvae.exercises.teacher.notebooks import notebook_source

pytestmark = pytest.mark.usefixtures("kept_forks")
FILES = [exercise.file for exercise in EXERCISES]
THREE = solution(FILES[3])


def hand_in(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def tarred(files, mode="w:gz"):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


def notebook(*sources):
    made = [{"cell_type": "code", "source": s.splitlines(keepends=True)} for s in sources]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": ["# def"]}, *made]})


def in_every_wrapping(tmp_path, files):
    """The same files as a folder, a .zip and a .tar.gz, each read."""
    (tmp_path / "b.zip").write_bytes(zipped(files))
    (tmp_path / "c.tar.gz").write_bytes(tarred(files))
    (tmp_path / "d.tgz").write_bytes(tarred(files))
    (tmp_path / "e.zip").write_bytes(zipped({"in/hw.zip": zipped(files)}))
    (tmp_path / "f.tar.bz2").write_bytes(tarred(files, "w:bz2"))
    (tmp_path / "g.tar.xz").write_bytes(tarred(files, "w:xz"))
    paths = [hand_in(tmp_path / "a", files), *tmp_path.glob("*.*z*")]
    return [submissions.read_one(path) for path in paths]


@pytest.mark.parametrize(
    "name",
    [
        "ex3_reparameterize (1).py",
        "ann_123_ex3_reparameterize.py",
        "EX3_Reparameterize.PY",
        "doe_12_345_ex3_reparameterize-1.py",
        "ex3_reparameterize.py.txt",
        "ex3-reparameterize.py",
        "ex3_reparameterize - Copy.py",
        "a/b/c/ex3_reparameterize.py",
        "ex3_reparameterize.py.py",
        "ex3_reparameterize.txt",
        "ex3_reparameterize_final.py",
    ],
)
def test_one_file_for_an_exercise_is_taken_whatever_was_done_to_its_name(tmp_path, name):
    for read in in_every_wrapping(tmp_path, {name: THREE}):
        assert (read.sources, read.problems, read.problem) == ({FILES[3]: THREE}, {}, "")
        base = name.split("/")[-1]
        said = [] if base == FILES[3] else [f"{base} is read as {FILES[3]}"]
        assert list(read.notes) == said


@pytest.mark.parametrize("name", ["ex3.py", "dense.py", "xex3_reparameterize.py", "ex3_dense.py"])
def test_a_name_that_says_too_little_is_named(tmp_path, name):
    for read in in_every_wrapping(tmp_path, {name: THREE}):
        assert read.sources == {}
        assert f"not recognised: {name}; expected names such as ex0_dense.py" in read.problem


def test_of_copies_the_one_without_a_number_is_taken_then_the_last(tmp_path):
    copies = {
        "ex3_reparameterize (1).py": "1",
        "ex3_reparameterize (10).py": "10",
        "ex3_reparameterize (2).py": "2",
    }
    for read in in_every_wrapping(tmp_path, copies):
        assert read.sources == {FILES[3]: "10"}
        assert (
            "(10).py is read as ex3_reparameterize.py, ex3_reparameterize (1).py" in (read.notes[0])
        )
    read = submissions.read_one(hand_in(tmp_path / "a", {FILES[3]: "0"}))
    assert read.sources == {FILES[3]: "0"}


def test_of_an_exact_name_and_a_copy_both_are_said(tmp_path):
    copy = FILES[3].replace(".py", " (1).py")
    read = submissions.read_one(hand_in(tmp_path / "a", {FILES[3]: "mine", copy: "old"}))
    assert read.sources == {FILES[3]: "mine"}
    assert read.notes == (f"{FILES[3]} is read, {copy} is ignored",)


def test_two_files_that_may_both_be_meant_are_named(tmp_path):
    both = {f"ann_{FILES[3]}": "1", f"bob_{FILES[3]}": "2", FILES[0]: "0"}
    for read in in_every_wrapping(tmp_path, both):
        assert read.sources == {FILES[0]: "0"}
        assert read.problems[FILES[3]].startswith(
            f"cannot choose between ann_{FILES[3]} and bob_{FILES[3]}: keep one file"
        )
    same = {f"ann_{FILES[3]}": "1", f"bob_{FILES[3]}": "1"}
    assert submissions.read_one(hand_in(tmp_path / "same", same)).sources == {FILES[3]: "1"}


def test_a_folder_for_each_exercise_and_a_folder_of_old_files(tmp_path):
    each = {f"ex{n}/{FILES[n]}": str(n) for n in range(10)}
    old = {f"old/{FILES[0]}": "old", "site-packages/x/ex1_activations.py": "a library's"}
    for read in in_every_wrapping(tmp_path, {**each, **old}):
        assert read.sources == {FILES[n]: str(n) for n in range(10)}
        assert read.notes == ("ignored: old/, which hold the same exercises",)


def test_a_flat_folder_holds_a_submission_for_each_student(tmp_path):
    hand_in(
        tmp_path,
        {
            "annlee_12_345_ex3_reparameterize-1.py": "a3",
            "annlee_12_346_ex0_dense.py": "a0",
            "bob_LATE_77_1_ex3_reparameterize.py": "b3",
            "cy_78_2_three.py": "c",
            "notes.txt": "",
        },
    )
    (tmp_path / "dan_79_3_hw.zip").write_bytes(zipped({FILES[1]: "d1"}))
    found, ignored = submissions.find(tmp_path)
    assert {s.name: s.sources for s in found} == {
        "annlee_12": {FILES[3]: "a3", FILES[0]: "a0"},
        "bob_77": {FILES[3]: "b3"},
        "cy_78": {},
        "dan_79_3_hw": {FILES[1]: "d1"},
    }
    assert "not recognised: cy_78_2_three.py" in found[2].problem
    assert ignored == ["notes.txt"]


def test_names_are_read_in_bounded_time():
    for name in ("a_" * 100_000 + "ex0_dense.py", "1_" * 100 + "x", "ex0_dense" + "-" * 200):
        assert meant(name) is None
        student_of(name)


# Notebooks in place of files

CELLS = (
    "%matplotlib inline\nimport numpy as np\nfrom collections import namedtuple",
    "!pip install numpy\nCache = namedtuple('Cache', 's noise')\nσ = 0.5",
    "%%time\ndef reparameterize(mean, log_var, noise):\n    s = np.exp(σ * log_var)\n"
    "    return mean + s * noise, Cache(s, noise)",
    "plot = show(load('no such file'))\n1 / 0",
    "def reparameterize_backward(dz, cache):\n    return dz, σ * dz * cache.noise * cache.s",
)


@pytest.mark.parametrize(
    "name", ["ex3_reparameterize.ipynb", FILES[3], "a_ex3_reparameterize.ipynb"]
)
def test_a_notebook_is_taken_with_what_its_functions_use(tmp_path, name):
    for read in in_every_wrapping(tmp_path, {name: notebook(*CELLS)}):
        text = read.sources[FILES[3]]
        assert "show" not in text
        names = {}
        exec(text, names)
        assert names["reparameterize"](0.0, 0.0, 1.0)[0] == 1.0
        assert names["reparameterize_backward"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (notebook(), "is a notebook, and no cell of it defines reparameterize or"),
        (notebook("def other(): pass", "def broken("), "expected a .py file with these functions"),
        ('{"cells": [', "is a damaged notebook: expected a .py file"),
        ('{"cells": ' + "[" * 100_000, "is a damaged notebook"),
        (notebook("x = " + "not " * 30_000 + "x", "(" * 40_000), "no cell of it defines"),
        (notebook("f" + "()" * 24_000), "no cell of it defines"),
    ],
)
def test_a_notebook_without_the_functions_says_so(tmp_path, text, says):
    read = submissions.read_one(hand_in(tmp_path / "a", {"ex3_reparameterize.ipynb": text}))
    assert says in read.problems[FILES[3]]
    assert read.problems[FILES[3]].startswith("ex3_reparameterize.ipynb")
    assert read.notes == ()


def course_notebook(course):
    """The notebook as it is handed out, and with the solutions in its cells."""
    blank = notebook_of(course).decode()
    solved = json.loads(blank)
    for exercise, cell in zip(
        course.exercises, [c for c in solved["cells"] if c["id"].endswith("-code")], strict=True
    ):
        cell["source"] = [exercise.solution]
    return blank, json.dumps(solved)


@pytest.mark.parametrize("part", COURSES)
@pytest.mark.parametrize("name", ["{}.ipynb", "dan_{} (2).ipynb", "in/{}-Copy1.ipynb"])
def test_the_notebook_that_was_handed_out_holds_every_exercise(part, name, tmp_path):
    course = COURSES[part]
    stem = NAMES[part].removesuffix(".ipynb")
    blank, solved = course_notebook(course)
    for read in in_every_wrapping(tmp_path, {name.format(stem): solved}):
        assert (list(read.sources), read.problems) == ([e.file for e in course.exercises], {})
        for exercise in course.exercises:  # the last cells import what the first define
            text = read.sources[exercise.file]
            assert all(f"def {f}(" in text for f in exercise.marks)
            assert not any(f"from given import {f}\n" in text for f in exercise.marks)
    read = submissions.read_one(hand_in(tmp_path / "blank", {NAMES[part]: blank}))
    assert all("raise NotImplementedError" in text for text in read.sources.values())


def test_a_notebook_of_a_course_stands_for_what_has_no_file_of_its_own(tmp_path):
    _, solved = course_notebook(COURSES[1])
    own = {FILES[0]: stub(EXERCISES[0]), FILES[3]: "mine = 1\n", "exercises.ipynb": solved}
    read = submissions.read_one(hand_in(tmp_path / "a", own))
    assert len(read.sources) == 10
    assert "y = x @ W + b" in read.sources[FILES[0]]  # the stub is as it was handed out
    assert read.sources[FILES[3]] == "mine = 1\n"
    flat = {"class/dan_12_34_exercises.ipynb": solved, "class/eve_56_78_exercises-1.ipynb": solved}
    found, ignored = submissions.find(hand_in(tmp_path, flat) / "class")
    assert [(s.name, len(s.sources)) for s in found] == [("dan_12", 10), ("eve_56", 10)]
    assert not ignored
    assert (meant("exercises.txt"), meant("my_exercises.py")) == (None, None)


def test_an_import_takes_no_function_of_the_exercise_away():
    later = "from given import (\n    reparameterize, other,\n)\nif 1:\n    from given import more"
    made = [FORWARD.format("", "other(more)"), BACKWARD.format("1"), later]
    text = as_python(notebook(*made), EXERCISES[3].marks, "a.ipynb")
    assert text.startswith("from given import other\n\nif 1:")
    assert text.count("import reparameterize") == 0
    assert "def reparameterize(" in text
    with pytest.raises(ValueError, match="no cell of it defines"):
        as_python(notebook(later), EXERCISES[3].marks, "a.ipynb")


# Names that a notebook's functions use

FORWARD = "def reparameterize(mean, log_var, noise){}:\n    return mean, {}"
BACKWARD = "def reparameterize_backward(dz, cache):\n    return {}"


def run_cells(*sources):
    """A notebook's names after running its cells, with its history where IPython keeps it."""
    history = SimpleNamespace(input_hist_raw=["", *sources])
    names = {"get_ipython": lambda: SimpleNamespace(history_manager=history)}
    names["__name__"] = "__main__"
    for source in sources:
        exec(cells.PYTHON_MAGIC.sub("", source).replace("%matplotlib inline\n", ""), names)
    return names


@pytest.mark.parametrize(
    "sources",
    [
        ["from typing import Tuple", FORWARD.format(" -> Tuple[int, int]", 1), BACKWARD.format(1)],
        ["class C:\n    def __init__(self, s):\n        self.s = s", FORWARD.format("", "C(1)"),
         BACKWARD.format("cache.s")],
        ["from collections import namedtuple as nt\nC = nt('C', 's')", FORWARD.format("", "C(1)"),
         BACKWARD.format("cache.s")],
        ["from dataclasses import dataclass\n@dataclass\nclass C:\n    s: float",
         FORWARD.format("", "C(1)"), BACKWARD.format("cache.s")],
        ["%%time\n" + FORWARD.format("", "1"), "%matplotlib inline\n" + BACKWARD.format("cache")],
        ["σ, half = 1, lambda x: σ * x", FORWARD.format("", "half(1)"), BACKWARD.format("cache")],
        ["import numpy.linalg as la, math as m", FORWARD.format("", "m.exp(0 * la.norm([1]))"),
         BACKWARD.format("cache")],
        ["class B: pass\nclass C(B): pass", "T = {}\nT['s'] = C", FORWARD.format("", "T['s']()"),
         BACKWARD.format("1 / isinstance(cache, B)")],
        ["try:\n    import nothing\nexcept ImportError:\n    one = [1]\none += [2]",
         FORWARD.format("", "one[1]"), BACKWARD.format("cache / 2")],
        ["from math import *", FORWARD.format("", "exp(0)"), BACKWARD.format("cache")],
        ["def helper(x):\n    return 1 / 0", "helper = lambda x: x",
         FORWARD.format("", "helper(1)"),
         BACKWARD.format("helper(cache)")],
    ],
)  # fmt: skip
def test_a_notebooks_functions_find_all_they_use(sources):
    text = notebook_source(EXERCISES[3].marks, run_cells(*sources))
    names = {}
    exec(text, names)
    value, cache = names["reparameterize"](5, 0, 0)
    assert value == 5
    assert names["reparameterize_backward"](1, cache) in (1, cache)


def test_a_line_of_what_was_gathered_is_named_by_its_cell():
    sources = [
        "import math\n\nC = 1\nD = 2",
        "%%time\n\n" + FORWARD.format("", "1 / 0"),
        "\n\n" + BACKWARD.format("D"),
        "C = {}\n\n\nC['s'] = 1",
        "def other():\n    pass",
    ]
    file = as_python(notebook(*sources), EXERCISES[3].marks, "a.ipynb")
    history = notebook_source(EXERCISES[3].marks, run_cells(*sources))
    for text in (file, history):
        lines = text.splitlines()
        assert place(text, lines.index("    return mean, 1 / 0") + 1) == "cell 2, line 4"
        assert place(text, lines.index("    return D") + 1) == "cell 3, line 4"
    assert place(file, file.splitlines().index("D = 2") + 1) == "cell 1, line 4"
    assert place("x = 1\n# line 1: cell 5, line 7\ny = 2", 3) == "line 3"
    two = definitions(["", "C = {}", "\nC['s'] = 1"])["C"]
    assert two.origins == ((1, 1, 1), (2, 2, 2))


def test_an_error_in_a_notebook_names_cell_and_line():
    cell = FORWARD.format("", "no_name")
    text = as_python(notebook("import numpy", "\n" + cell), EXERCISES[3].marks, "a.ipynb")
    said = judge_source(EXERCISES[3], text).faults[0].text
    assert said.startswith("NameError: name 'no_name' is not defined (cell 2, line 3)")
    cell = FORWARD.format("", "1") + "\n\n    global mean"
    text = as_python(notebook("import numpy", cell), EXERCISES[3].marks, "a.ipynb")
    assert "cell 2, line 4 is not Python: name 'mean' is" in (
        judge_source(EXERCISES[3], text).faults[0].text
    )


def test_lines_are_those_of_the_students_own_file():
    source = THREE.replace("sigma = np", "exec(compile('\\n1 / 0', 'exec.py', 'exec')); sigma = np")
    line = 1 + next(i for i, text in enumerate(source.splitlines()) if "exec" in text)
    said = judge_source(EXERCISES[3], source).faults[0].text
    assert said == f"ZeroDivisionError: division by zero (line {line} of {FILES[3]})"
    said = judge_source(EXERCISES[3], "\n\nexec('x = (')").faults[0].text
    assert said.startswith("SyntaxError: ")
    assert said.endswith(f"(line 3 of {FILES[3]})")


def test_arrays_of_a_notebook_and_what_nothing_uses_are_left():
    names = run_cells("import numpy as np\nW = np.ones(3)", "x = 3", FORWARD.format("", "W"))
    text = notebook_source(EXERCISES[3].marks, names)
    assert text.startswith("def reparameterize")


def test_ipython_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shells = pytest.importorskip("IPython.core.interactiveshell")
    shell = shells.InteractiveShell()
    shell.history_manager.enabled = False
    for source in ("from typing import Tuple", "%%time\n" + FORWARD.format(" -> Tuple", "1")):
        shell.run_cell(source, store_history=True)
    text = notebook_source(["reparameterize"], shell.user_ns)
    assert text.startswith("from typing import Tuple\n\ndef reparameterize")


# Bounds


def test_folders_in_folders_and_archives_in_archives_end(tmp_path):
    here = hand_in(tmp_path / "deep", {FILES[0]: "0"})
    fd = os.open(here, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    assert submissions.read_one(here).sources == {FILES[0]: "0"}
    subprocess.run(["rm", "-rf", here], check=True)  # shutil would give up

    packed = zipped({FILES[0]: "0"})
    for _ in range(20):
        packed = zipped({"a.zip": packed})
    (tmp_path / "e.zip").write_bytes(packed)
    assert "none of the exercises' files" in submissions.read_one(tmp_path / "e.zip").problem
    (tmp_path / "f.zip").write_bytes(zipped({"d/" * 1500 + FILES[0]: "0", FILES[1]: "1"}))
    assert submissions.read_one(tmp_path / "f.zip").sources == {FILES[1]: "1"}


def test_an_archive_that_leads_out_or_grows_costs_itself_alone(tmp_path, monkeypatch):
    out = {"../ex0_dense.py": "a", "/etc/ex1_activations.py": "b", FILES[3]: "3"}
    (tmp_path / "a.tar.gz").write_bytes(tarred(out))
    assert submissions.read_one(tmp_path / "a.tar.gz").sources == {FILES[3]: "3"}
    monkeypatch.setattr("numpyvae.exercises.teacher.hand_in.UNPACKED_BYTES", 10**6)
    (tmp_path / "b.tgz").write_bytes(tarred({"big": "0" * 10**7, FILES[3]: "3"}))
    (tmp_path / "c.tgz").write_bytes(b"\x1f\x8b" + b"and then nothing")
    found, _ = submissions.find(tmp_path)
    assert [bool(s.problem) for s in found] == [False, True, True]
    assert "it unpacks to more than 1,000,000 bytes" in found[1].problem
    assert "is no .tar archive that can be read" in found[2].problem
    for mode in ("bz2", "xz"):
        packed = tarred({"big": "0" * 10**7, FILES[3]: "3"}, f"w:{mode}")
        for content in (packed, packed[:100], packed[:30] + b"x" * 90):
            (tmp_path / f"d.tar.{mode}").write_bytes(content)
            assert "is no .tar archive" in submissions.read_one(tmp_path / f"d.tar.{mode}").problem
    two = (
        bz2.compress(tarred({FILES[3]: "3"}, "w")[:700]),
        bz2.compress(tarred({FILES[3]: "3"}, "w")[700:]),
    )
    (tmp_path / "e.tbz").write_bytes(b"".join(two))
    assert submissions.read_one(tmp_path / "e.tbz").sources == {FILES[3]: "3"}


def test_an_xz_that_asks_for_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("numpyvae.exercises.teacher.hand_in.XZ_BYTES", 2**16)
    (tmp_path / "a.txz").write_bytes(tarred({FILES[3]: "3"}, "w:xz"))
    assert "is no .tar archive that can be read: Memory" in (
        submissions.read_one(tmp_path / "a.txz").problem
    )


def test_a_rar_is_named_and_its_row_is_there(tmp_path, capsys):
    for name in ("ann/hw.rar", "bob.7Z", "cy_78_2_hw.rar", f"dan/{FILES[3]}", "dan/old.rar"):
        hand_in(tmp_path / "class", {name: "Rar!"})
    arguments = ["exercises", "grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "class.csv").read_text().splitlines()))
    said = {row["student"]: row["other failures"] for row in rows}
    assert list(said) == ["ann", "bob", "cy_78", "dan"]
    assert said["ann"].endswith("hw.rar cannot be read: expected a .zip")
    assert said["bob"] == "bob.7Z cannot be read: expected a .zip"
    assert said["cy_78"].endswith("cy_78_2_hw.rar cannot be read: expected a .zip")
    assert "old.rar cannot be read" in (tmp_path / "out" / "dan.txt").read_text()
    assert capsys.readouterr().err == ""


def test_many_files_are_not_all_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("numpyvae.exercises.teacher.hand_in.ENTRIES", 50)
    hand_in(tmp_path / "a", {f"d{n:03}/x.py": "" for n in range(100)})
    hand_in(tmp_path / "a", {FILES[0]: "0", f"d099/{FILES[1]}": "1"})
    assert submissions.read_one(tmp_path / "a").sources == {FILES[0]: "0"}
