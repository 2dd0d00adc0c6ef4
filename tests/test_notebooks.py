"""The notebooks run from top to bottom, show their pictures, and are stored without outputs."""

import json
import os
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PICTURES = {
    "1_first_steps": 5,
    "2_the_gradient_path": 2,
    "3_check_your_own_gradient": 1,
    "4_the_coursework": 1,
}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_each_notebook_is_looked_at():
    assert [path.stem for path in NOTEBOOKS] == list(PICTURES)


@each
def test_it_is_stored_without_outputs(path):
    """`python docs/notebooks/strip.py` sees to it."""
    text = path.read_text(encoding="utf-8")
    assert text == runpy.run_path(str(FOLDER / "strip.py"))["stripped"](text)


@each
def test_it_begins_with_a_title_and_has_short_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    assert max(len(cell["source"]) for cell in cells) <= 25
    for cell in cells:
        text = "".join(cell["source"])
        assert cell["cell_type"] == "code" or text.count("$$") % 2 == 0
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            assert (FOLDER / target).exists(), target


def test_stripping_takes_away_what_a_run_leaves():
    text = NOTEBOOKS[0].read_text(encoding="utf-8")
    run = json.loads(text)
    for i, cell in enumerate(run["cells"]):
        cell["id"], cell["metadata"] = f"random-{i}", {"collapsed": False}
        if cell["cell_type"] == "code":
            cell.update(execution_count=i, outputs=[{"output_type": "stream", "text": "x"}])
    run["metadata"]["language_info"]["version"] = "3.14"
    assert runpy.run_path(str(FOLDER / "strip.py"))["stripped"](json.dumps(run)) == text


@each
def test_it_runs_and_shows_its_pictures(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient (the extra `notebooks`)")
    pytest.importorskip("ipykernel", reason="needs ipykernel (the extra `notebooks`)")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat (the extra `notebooks`)")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), before))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # no settings of the user's own
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == PICTURES[path.stem]
    texts = ["".join(o.get("data", {}).get("text/plain", "")) for o in outputs]
    live = [text for text in texts if text.startswith("epoch")]
    assert len(live) == sum(".fit(" in cell.source for cell in notebook.cells)  # one line each
    assert all(text.endswith("0:00 left") for text in live)
