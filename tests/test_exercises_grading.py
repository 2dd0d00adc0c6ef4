"""A class of 40 with known mistakes against a golden table, and all that a grader must survive."""

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from numpyvae import cli
from numpyvae.exercises.judge.catalogue import EXERCISES, solution
from numpyvae.exercises.judge.mistakes import MISTAKES, plant
from numpyvae.exercises.sandbox.runner import Limits
from numpyvae.exercises.student.stubs import stub
from numpyvae.exercises.teacher import class_results, grading, submissions
from numpyvae.exercises.teacher.class_figure import mistakes_figure

pytestmark = pytest.mark.usefixtures("kept_forks", "sketches")
ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).parent / "golden_class.csv"
FILES = [exercise.file for exercise in EXERCISES]


def right(*numbers):
    return {FILES[n]: solution(FILES[n]) for n in numbers}


def mistake(name):
    return next(m for m in MISTAKES if m.name == name)


def wrong(*names):
    """Solutions with mistakes made in them, those of one exercise in one file."""
    files = {}
    for name in names:
        exercise = next(e for e in EXERCISES if mistake(name).function in e.marks)
        source = plant(files.get(exercise.file, solution(exercise.file)), mistake(name))
        assert source is not None, name
        files[exercise.file] = source
    return files


def begins(number, code):
    return edited(number, "import numpy as np", f"import numpy as np\n{code}")


def edited(number, old, new):
    source = solution(FILES[number])
    assert old in source
    return {FILES[number]: source.replace(old, new)}


def the_class():
    """Student -> files. What was planted can be read beside the rows of the golden table."""
    undone = {FILES[n]: stub(EXERCISES[n]) for n in range(10)}
    hanging = edited(4, "    mean, log_var = cache", "    while True:\n        pass")
    return {
        "student01": right(*range(10)),
        "student02": right(0, 1, 2),
        "student03": undone,
        "student04": {},
        "student05": {**right(0, 3), **hanging},
        "student06": {**right(0), **begins(1, "import sys\nsys.exit()")},
        "student07": {**right(1), **begins(0, "x = (")},
        "student08": {
            **right(0),
            **edited(3, "mean + sigma * noise", "(mean + sigma * noise).astype('f4')"),
        },
        "student09": {**right(0), **begins(3, "print('x' * 10**8)")},
        "student10": {**right(0), **edited(3, "return z, (sigma, noise)", "return z")},
        "student11": wrong("dW transposed", "relu mask of dy", "half missing"),
        "student12": wrong("db averaged", "half missing"),
        "student13": {**right(0, 1), **wrong("half missing")},
        "student14": {**right(2), **wrong("half missing", "KL counted twice")},
        "student15": wrong("variance for sigma", "sign in log_var"),
        "student16": wrong("log_var taken for log sigma, both ways"),
        "student17": wrong("sampling path missing", "KL missing from the mean"),
        "student18": wrong("z for sigma noise", "mean doubled"),
        "student19": wrong("half missing", "mean times noise"),
        "student20": wrong("sign in the mean", "half missing in log_var"),
        "student21": {**right(0), **wrong("bias forgotten", "dW averaged")},
        "student22": wrong("db keeps the batch axis", "tanh of the input"),
        "student23": wrong("changes an argument"),
        "student24": wrong("tanh overflows", "relu slope omitted"),
        "student25": wrong("log of the sigmoid"),
        "student26": wrong("probabilities clipped, both ways", "sigmoid slope omitted"),
        "student27": wrong("wrong sign of dlogits", "W not transposed"),
        "student28": wrong("stray factor 2", "log p negated"),
        "student29": {**right(3, 4), **wrong("beta missing")},
        "student30": {**right(3, 4), **wrong("heads swapped")},
        "student31": wrong("1/N missing", "no bias correction"),
        "student32": wrong("KL pushed into dz", "epsilon inside the root"),
        "student33": wrong("no bias correction", "half missing"),
        "student34": wrong("t counted from 2", "2 pi forgotten"),
        "student35": wrong("precision forgotten", "biased variance"),
        "student36": wrong("d log_var not summed", "score without -1", "pathwise half missing"),
        "student37": wrong("value forgotten", "same noise each step"),
        "student38": wrong("t stands still", "logits for probabilities"),
        "student39": {**right(7), **edited(3, "0.5 * dz * noise * sigma", "np.sin(dz) * noise")},
        "student40": {**right(6), **begins(5, "import os\nos.abort()")},
    }


def hand_in(folder, files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def zipped(path, files, inside="hw/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(inside + name, text)


def grade(*arguments):
    return cli.main(["exercises", "grade", *map(str, arguments)])


def rows(out):
    return {r["student"]: r for r in csv.DictReader(io.StringIO((out / "class.csv").read_text()))}


def plain(table):
    """Its cells without what may differ: which limit of time is reached, which signal, which line.

    Cells, not text: one that has a comma is quoted.
    """
    return [[plain_cell(cell) for cell in row] for row in csv.reader(io.StringIO(table))]


def plain_cell(text):
    too_long = "it used more than 2 seconds of the processor, or was killed"
    text = text.replace("it was still running after 6 seconds", too_long)
    text = re.sub(r"the process crashed \(\w+\)", "the process crashed", text)
    return re.sub(r"\bline \d+", "line N", text)


@pytest.mark.slow
def test_a_class_of_forty_against_the_golden_table(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # no sketch: here, the figure is drawn
    for name, files in the_class().items():
        if int(name[-2:]) % 8 == 3:
            (tmp_path / "class").mkdir(exist_ok=True)
            zipped(tmp_path / "class" / f"{name}.zip", files)
        else:
            hand_in(tmp_path / "class" / name, files)
    out = tmp_path / "results"
    assert (
        grade(tmp_path / "class", "--out", out, "--seed", "golden", "--seconds", 2, "--jobs", 2)
        == 0
    )
    assert plain((out / "class.csv").read_text()) == plain(GOLDEN.read_text())

    records = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    assert sorted(records) == sorted(the_class())
    assert {n: r["total"] for n, r in records.items()} == {
        n: int(row["total"]) for n, row in rows(out).items()
    }
    assert records["student01"]["total"] == records["student01"]["out_of"] == 100
    hung = records["student05"]["exercises"]
    assert [e["status"] for e in hung][:5] == ["pass", "not done", "not done", "pass", "fail"]
    assert re.search("(6|than 2) seconds", (out / "student05.txt").read_text())
    assert len(records["student09"]["exercises"][3]["printed"]) <= 2000
    assert (out / "class.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("/100") == 40


def test_a_single_submission_needs_no_class(tmp_path, capsys):
    hand_in(tmp_path / "ann", {**right(0), **wrong("half missing")})
    assert grade(tmp_path / "ann", "--out", tmp_path / "out", "--seed", 3) == 0
    assert rows(tmp_path / "out")["ann"]["total"] == "10"
    text = (tmp_path / "out" / "ann.txt").read_text()
    assert f"-> {' '.join(mistake('half missing').says.split()[:5])}" in text
    assert 'rerun(".", 3, seed="3")["reparameterize/' in text
    assert "seed 3" in capsys.readouterr().out


def test_the_seed_is_drawn_anew_printed_and_recorded(tmp_path, capsys):
    hand_in(tmp_path / "class" / "ann", right(3))
    seeds = []
    for run in ("1", "2"):
        assert grade(tmp_path / "class", "--out", tmp_path / run) == 0
        seeds.append(json.loads((tmp_path / run / "ann.json").read_text())["seed"])
        assert f"seed {seeds[-1]} " in capsys.readouterr().out
    assert seeds[0] != seeds[1]
    assert (tmp_path / "1" / "class.csv").read_text() == (tmp_path / "2" / "class.csv").read_text()


def read(path):
    found, ignored = submissions.find(path)
    return {s.name: s for s in found}, ignored


def test_submissions_are_found_where_students_put_them(tmp_path):
    hand_in(tmp_path / "flat", right(0))
    hand_in(tmp_path / "nested" / "homework", right(0, 1))
    hand_in(tmp_path / "nested" / "__MACOSX", right(0, 1, 2))
    hand_in(tmp_path / "both", right(0))
    hand_in(tmp_path / "both" / "old", right(0, 1, 2))
    zipped(tmp_path / "packed.zip", right(2), "deep/er/")
    (tmp_path / "moodle").mkdir()
    zipped(tmp_path / "moodle" / "hw.ZIP", right(3))
    (tmp_path / "late.rar").write_bytes(b"Rar!")
    (tmp_path / ".DS_Store").write_bytes(b"")
    found, ignored = read(tmp_path)
    assert {name: list(s.sources) for name, s in found.items()} == {
        "both": FILES[:1], "flat": FILES[:1], "moodle": FILES[3:4],
        "nested": FILES[:2], "packed": FILES[2:3],
    }  # fmt: skip
    assert ignored == ["late.rar"]
    assert found["packed"].sources[FILES[2]] == solution(FILES[2])


def test_what_cannot_be_read_is_that_students_problem_alone(tmp_path):
    (tmp_path / "damaged.zip").write_bytes(b"PK\x03\x04 and then nothing")
    zipped(tmp_path / "cut.zip", right(5))
    cut = tmp_path / "cut.zip"
    cut.write_bytes(cut.read_bytes().replace(b"Exercise 5", b"Exercise 6"))  # the CRC is wrong
    hand_in(tmp_path / "binary", {})
    (tmp_path / "binary" / FILES[0]).write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary" / FILES[1]).mkdir()
    (tmp_path / "binary" / FILES[2]).write_text("#" * 300_000)
    (tmp_path / "secret.py").write_text("SECRET = 1")
    hand_in(tmp_path / "link", {})
    (tmp_path / "link" / FILES[0]).symlink_to(tmp_path / "secret.py")
    (tmp_path / "linked").symlink_to(tmp_path / "binary")
    os.mkfifo(tmp_path / "pipe.zip")
    found, _ = read(tmp_path)
    for name in ("damaged", "cut", "linked", "pipe"):
        assert found[name].problem, name
        assert not found[name].sources
    assert "link" in found["linked"].problem
    assert "UTF-8" in found["binary"].problems[FILES[0]]
    assert "ordinary file" in found["binary"].problems[FILES[1]]
    assert "300,000 bytes" in found["binary"].problems[FILES[2]]
    assert "SECRET" not in str(found["link"])
    graded = grading.grade_one(found["damaged"], "damaged", grading.Run("0"))
    assert graded.total == 0
    assert "no .zip archive that can be read" in class_results.table([graded])


def test_no_path_of_an_archive_is_ever_used(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../" + FILES[0], "OUTSIDE = 1")
        archive.writestr("/etc/" + FILES[1], "ROOT = 1")
        link = zipfile.ZipInfo("hw/" + FILES[2])
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("hw\\" + FILES[3], "WINDOWS = 1")
        archive.writestr("hw/" + FILES[4], "KL = 1")
        archive.writestr("hw/numpy.py", "raise SystemExit")
    before = sorted(tmp_path.parent.rglob("*.py"))
    found, _ = read(tmp_path)
    assert found["evil"].sources == {FILES[3]: "WINDOWS = 1", FILES[4]: "KL = 1"}
    assert sorted(tmp_path.parent.rglob("*.py")) == before


def test_an_archive_that_grows_without_end_is_cut(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(FILES[0], "#" * 50_000_000)
        archive.writestr(FILES[1], solution(FILES[1]))
    found, _ = read(tmp_path)
    assert "expected at most" in found["bomb"].problems[FILES[0]]
    assert list(found["bomb"].sources) == [FILES[1]]


def test_names_of_students_are_harmless_and_stay_distinct(tmp_path, capsys):
    names = [
        "../../etc/x",
        "a b",
        "a_b",
        "A b",
        "class",
        "x.json",
        "con",
        "\u202eevil",
        "..",
        "=1+1",
    ]
    safe = submissions.file_names(names)
    assert len({name.lower() for name in safe}) == len(names)
    assert not any(set(name) & set("/\\\u202e=") or name.startswith(".") for name in safe)
    assert safe[4:7] == ["class_", "x.json_", "con_"]

    for name in ("=cmd|' C calc'!A0", "@home", "-ann", "\x1b[31mred", "b\u00f6b"):
        hand_in(tmp_path / "class" / name, right(0))
    assert grade(tmp_path / "class", "--out", tmp_path / "out") == 0
    cells = [row[0] for row in csv.reader(io.StringIO((tmp_path / "out/class.csv").read_text()))]
    assert sorted(cells[1:]) == sorted(
        ["'=cmd|' C calc'!A0", "'@home", "'-ann", "?[31mred", "b\u00f6b"]
    )
    assert "\x1b" not in capsys.readouterr().out


def test_a_fault_of_the_grader_costs_no_other_student_anything(tmp_path, capsys, monkeypatch):
    judge = grading.judge

    def broken(exercise, outcome, seed):
        if exercise.number == 1 and not outcome.arrays["relu/0/y"].any():
            raise ZeroDivisionError("ours")
        return judge(exercise, outcome, seed)

    monkeypatch.setattr(grading, "judge", broken)
    breaking = {FILES[1]: solution(FILES[1]).replace("np.where(x > 0, x, 0.0)", "0.0 * x")}
    assert "0.0 * x" in breaking[FILES[1]]
    hand_in(tmp_path / "class" / "ann", {**right(0), **breaking})
    hand_in(tmp_path / "class" / "bob", right(0, 1))
    assert grade(tmp_path / "class", "--out", tmp_path / "out") == 1
    assert {n: r["total"] for n, r in rows(tmp_path / "out").items()} == {"ann": "7", "bob": "15"}
    assert (
        "the grader itself failed, with ZeroDivisionError"
        in rows(tmp_path / "out")["ann"]["other failures"]
    )
    assert "failed for ann" in capsys.readouterr().err


def test_results_that_were_tampered_with_meanwhile_are_written_again(tmp_path, monkeypatch):
    for name in ("ann", "bob"):
        hand_in(tmp_path / "class" / name, right(0))
    grade_one = grading.grade_one

    def tampering(submission, name, *rest):
        if name == "bob":
            (tmp_path / "out" / "ann.json").write_text('{"total": 100}')
        return grade_one(submission, name, *rest)

    monkeypatch.setattr(grading, "grade_one", tampering)
    assert grade(tmp_path / "class", "--out", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "ann.json").read_text())["total"] == 7


def test_without_a_filter_the_teacher_is_told_once(tmp_path, capsys, monkeypatch):
    judge = grading.judge
    monkeypatch.setattr(grading, "judge", lambda *given: judge(*given)._replace(confined=False))
    for name in ("ann", "bob"):
        hand_in(tmp_path / "class" / name, right(0, 1))
    assert grade(tmp_path / "class", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err.count("container") == 1
    assert (
        json.loads((tmp_path / "out" / "ann.json").read_text())["exercises"][0]["confined"] is False
    )


def test_ctrl_c_leaves_the_results_so_far(tmp_path, monkeypatch, capsys):
    for name in ("ann", "bob", "cleo"):
        hand_in(tmp_path / "class" / name, right(0))
    say = grading._say

    def interrupted(text):
        say(text)
        if text.startswith("2/3"):
            raise KeyboardInterrupt

    monkeypatch.setattr(grading, "_say", interrupted)
    assert grade(tmp_path / "class", "--out", tmp_path / "out", "--jobs", "1") == 130
    assert list(rows(tmp_path / "out")) == ["ann", "bob"]
    assert (tmp_path / "out" / "bob.json").exists()
    assert "1 of 3 not graded" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_ctrl_c_stops_a_run_that_hangs(tmp_path):
    hand_in(tmp_path / "class" / "ann", right(0))
    hand_in(tmp_path / "class" / "bob", edited(0, "def dense(", "while True: pass\ndef dense("))
    command = [sys.executable, "-m", "numpyvae", "exercises", "grade", tmp_path / "class",
               "--out", tmp_path / "out", "--seconds", "1"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while not process.stdout.readline().startswith("1/2"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=600)
    assert process.returncode == 130
    assert list(rows(tmp_path / "out")) == ["ann"]


@pytest.mark.slow
def test_a_reader_that_goes_away_costs_no_results(tmp_path):
    for name in ("ann", "bob"):
        hand_in(tmp_path / "class" / name, right(0))
    command = [sys.executable, "-m", "numpyvae", "exercises", "grade", tmp_path / "class",
               "--out", tmp_path / "out"]  # fmt: skip
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=writing)
    os.close(writing)
    assert result.returncode == 0
    assert len(rows(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("make", "arguments", "says"),
    [
        (lambda p: None, [], "no such folder"),
        (lambda p: p.mkdir(), [], "expected a folder or a .zip for each student"),
        (lambda p: hand_in(p, right(0)), ["--jobs", "0"], "--jobs"),
        (lambda p: hand_in(p, right(0)), ["--seconds", "-1"], "--seconds"),
    ],
)
def test_what_the_teacher_got_wrong_is_one_line(tmp_path, capsys, make, arguments, says):
    make(tmp_path / "class")
    assert grade(tmp_path / "class", "--out", tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_results_folder_is_no_student(tmp_path):
    hand_in(tmp_path / "ann", right(0))
    for _ in range(2):
        assert grade(tmp_path, "--out", tmp_path / "results") == 0
        assert list(rows(tmp_path / "results")) == ["ann"]


def test_numpy_warnings_never_cost_marks():
    source = solution(FILES[3]) + "\nimport warnings\nnp.log(np.zeros(1))\nwarnings.warn('x')\n"
    source = source.replace("    sigma = np.exp", "    np.exp(np.array([1e9]))\n    sigma = np.exp")
    submission = submissions.Submission("ann", {FILES[3]: source}, {})
    graded = grading.grade_one(submission, "ann", grading.Run("0", Limits(5)))
    assert graded.verdicts[3].status == "pass"


@pytest.mark.parametrize("n", [0, 1, 15, 60])
def test_the_figure_shows_the_most_common_and_counts_the_rest(n):
    counts = [(f"ex5 mistake number {i}, both ways", 60 - i) for i in range(n)]
    figure = mistakes_figure(counts, 70)
    ax = figure.axes[0]
    figure.draw_without_rendering()
    assert len(ax.patches) == min(n, 15)
    if n:
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels == [name for name, _ in counts[:15]]
        left = min(label.get_window_extent().x0 for label in ax.get_yticklabels())
        assert left >= 0
    caption = figure.get_supxlabel()
    assert caption == (
        "45 other mistakes are not shown, each made by at most 45 students" if n == 60 else ""
    )


def test_common_mistakes_counts_students_not_mistakes():
    files = wrong("half missing", "mean times noise")
    submission = submissions.Submission("ann", files, {})
    ann = grading.grade_one(submission, "a", grading.Run("0"))
    assert class_results.common_mistakes([ann, ann._replace(name="bob", file_name="b")]) == [
        ("ex3 half missing", 2),
        ("ex3 mean times noise", 2),
    ]
