"""What the project says of itself: its layers, its README's commands, its dependencies."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "numpyvae"
STUDENTS_FILES = ("solutions", "texts")  # in exercises/: not modules, they are handed out as text
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent.name not in STUDENTS_FILES)


def name_of(path):
    """numpyvae/models/vae.py -> numpyvae.models.vae"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


KNOWN = {name_of(path) for path in MODULES}


@cache
def imports_of(path):
    """Every module that a file imports, wherever in it, as absolute names."""
    package = (
        name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    )
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
            found += [name if name in KNOWN else module for name in names]
    return found


def rank_table():
    """The module table of docs/architecture.md: name -> its row."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {
        name: row for row, name in enumerate(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    }


def rank(module, table):
    name = module.removeprefix("numpyvae").removeprefix(".")  # a row may be a package's package
    while name and name not in table:
        name = name.rpartition(".")[0]
    return table[name] if name else -1  # the package itself: its name and version


def test_the_architecture_page_lists_every_module():
    listed = set(rank_table())
    files = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    rooms = {f"exercises.{path.parent.name}" for path in PACKAGE.glob("exercises/*/__init__.py")}
    assert listed == files - {"__init__"} | packages | rooms


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_imports_only_from_those_above_it(path):
    if path == PACKAGE / "__init__.py":
        return
    table = rank_table()
    own = rank(name_of(path), table)
    for imported in imports_of(path):
        if imported.split(".")[0] == "numpyvae":
            assert rank(imported, table) <= own, f"{name_of(path)} imports {imported}"
            if rank(imported, table) == own:
                assert imported.split(".")[1] == name_of(path).split(".")[1]


def test_nothing_dense_imports_the_convolutions():
    """The proofs list them, when asked; a VAE of Dense layers is made without."""
    importing = [name_of(p) for p in MODULES if "numpyvae.convolution" in imports_of(p)]
    assert importing == ["numpyvae.proofs"]
    tree = ast.parse((PACKAGE / "proofs.py").read_text(encoding="utf-8"))
    assert "numpyvae.convolution" not in {getattr(node, "module", None) for node in tree.body}


def test_nothing_imports_mpi_where_there_are_no_ranks():
    """Only the command's way of several ranks does, within its functions."""
    texts = {path: path.read_text(encoding="utf-8") for path in MODULES}
    naming = [path for path, text in texts.items() if re.search(r"\bmpi(4py)?\b", text)]
    imported = {name_of(path): set(imports_of(path)) for path in naming}
    outside = [name for name in imported if not name.startswith("numpyvae.mpi")]
    assert [n for n in outside if any(m.startswith("numpyvae.mpi") for m in imported[n])] == [
        "numpyvae.train_ranks"
    ]
    tree = ast.parse((PACKAGE / "train_ranks.py").read_text(encoding="utf-8"))
    assert "numpyvae.mpi" not in {getattr(node, "module", None) for node in tree.body}
    assert [name for name, modules in imported.items() if "mpi4py" in modules] == [
        "numpyvae.mpi.together"
    ]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_run_time_dependencies_are_numpy_and_matplotlib(path):
    allowed = {"numpy", "matplotlib", "numpyvae", "__future__", *sys.stdlib_module_names}
    typing_only = {"typing_extensions"}
    extras = {PACKAGE / "sklearn.py": {"sklearn"}, PACKAGE / "mpi" / "together.py": {"mpi4py"}}
    extra = extras.get(path, set())
    assert {module.split(".")[0] for module in imports_of(path)} <= allowed | typing_only | extra


def test_the_gradient_checker_stands_alone():
    for path in (PACKAGE / "gradient_check").rglob("*.py"):
        for module in imports_of(path):
            assert not module.startswith("numpyvae") or module.startswith("numpyvae.gradient_check")


@pytest.mark.parametrize("statement", ["import numpyvae", "from numpyvae import VAE, Adam"])
def test_import_loads_nothing_heavy(statement):
    """No matplotlib, no network, no argument parser: only NumPy and our own modules."""
    code = (
        f"{statement}; import sys; print([m for m in "
        "('matplotlib', 'argparse', 'urllib.request', 'http', 'ssl', 'unittest') "
        "if m in sys.modules])"
    )
    before = subprocess.run(
        [sys.executable, "-c", code.replace(statement, "import numpy")],
        capture_output=True,
        text=True,
        check=True,
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == before.stdout


def test_the_public_names_are_all_there():
    import numpyvae

    for name in numpyvae.__all__:
        assert getattr(numpyvae, name).__name__ == name
        assert name in dir(numpyvae)
    with pytest.raises(AttributeError, match="no attribute 'VAEE'"):
        _ = numpyvae.VAEE


def test_the_forward_and_backward_of_the_vae_fit_one_screen():
    """From `def forward` to the end of `backward`: 40 lines of at most 100 characters."""
    source = (PACKAGE / "models" / "vae.py").read_text(encoding="utf-8")
    vae = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
    forward, backward = (n for n in vae.body if getattr(n, "name", "") in ("forward", "backward"))
    assert 0 < backward.end_lineno - forward.lineno < 40
    assert backward.lineno - forward.end_lineno == 2, "backward stands directly below forward"
    assert max(map(len, source.splitlines())) <= 100


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_public_name_is_documented(path):
    """A public module, class or function has a docstring (layers' forward has its class's)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def readme_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readme_opens_with_two_commands_of_one_line():
    first, second = readme_commands()[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert "numpyvae train" in first
    assert "[test]" in second
    assert "pytest" in second


DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors_in(document):
    """What a forge calls the headings: `## Two routes into log_var` is #two-routes-into-log_var."""
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", re.sub(r"\]\([^)]*\)", "]", text), re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles]
    assert len(anchors) == len(set(anchors)), f"{document.name} has a heading twice"
    return anchors


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_what_the_documents_link_to_exists(document):
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
        target = document.parent / file if file else document
        assert target.exists(), file
        assert not anchor or anchor in anchors_in(target), f"{file}#{anchor}"


def test_every_figure_of_an_example_is_shown():
    shown = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    for figure in (ROOT / "docs" / "figures").glob("example_*"):
        assert f"(figures/{figure.name})" in shown, figure.name


def test_every_document_that_a_file_names_exists():
    for path in [
        *MODULES,
        *(ROOT / "examples").rglob("*.py"),
        *(PACKAGE / "exercises").glob("*/texts/*"),
    ]:
        for name in re.findall(r"docs/[\w/]*(?:\.\w+)?", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("0*.py")), ids=lambda p: p.stem)
def test_examples_compile_and_say_what_they_show(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def run(code, **how):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *code], env=environment, capture_output=True, text=True, check=True, **how
    ).stdout


def test_the_training_loop_by_hand_learns():
    lines = run([ROOT / "examples" / "01_train_step_by_hand.py"]).splitlines()
    elbos = [float(line.split("test ELBO ")[1].split()[0]) for line in lines]
    assert len(elbos) == 5
    assert elbos[-1] > elbos[0]
    assert elbos[-1] > -175


def test_the_readmes_python_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    using = [block for block in blocks if not block.startswith("    def")]
    assert len(using) >= 3
    code = "\n".join(using).replace("epochs=300", "epochs=3")
    out = run(["-c", code], cwd=tmp_path)
    assert "PASS" in out
    assert "yours is the right one times 2" in out
