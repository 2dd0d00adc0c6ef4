"""The derivations cannot drift: their Python runs, quotations stand in the code, pages render.

A Python block below a comment `<!-- quoted from PATH -->` is a quotation, and its lines stand in
that file as they are. Every other Python block is a program of its own, whose assertions hold.
"""

import ast
import inspect
import re
import textwrap
import traceback
from pathlib import Path

import pytest

from numpyvae import VAE

ROOT = Path(__file__).parent.parent
CONTENTS = ROOT / "docs" / "derivations.md"
FENCE = re.compile(
    r"^(?:<!-- quoted from (?P<path>\S+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
DERIVATIONS = ROOT / "docs" / "derivations"
MISTAKES = ROOT / "docs" / "gradient_checks_did_not_catch.md"
QUESTIONS = ROOT / "docs" / "faq.md"
CHAPTERS = {path.name: path.read_text(encoding="utf-8") for path in DERIVATIONS.iterdir()}
PAGES = {  # by their paths: the contents, the chapters, the mistakes and the questions
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in (CONTENTS, *sorted(DERIVATIONS.iterdir()), MISTAKES, QUESTIONS)
}
BLOCKS = [
    (m["kind"], m["path"], m["body"], f"{page}:{text.count(chr(10), 0, m.start()) + 1}")
    for page, text in PAGES.items()
    for m in FENCE.finditer(text)
]
SNIPPETS = [(body, line) for kind, path, body, line in BLOCKS if kind == "python" and not path]
QUOTATIONS = [(path, body, line) for kind, path, body, line in BLOCKS if path]
PROSES = {page: re.sub(r"`[^`\n]+`", "`code`", FENCE.sub("", text)) for page, text in PAGES.items()}
each_page = pytest.mark.parametrize("page", PAGES)
CHANGED_BY_MARKDOWN = re.compile(r"[\n<>*|`&~]|\]\(|\\[^A-Za-z]|[^A-Za-z0-9]_|operatorname")
INLINE_MATH = [
    found
    for prose in PROSES.values()
    for found in re.findall(r"(^|(?s:.))\$([^$]*)\$(?=((?s:.)|$))", prose)
]


def test_every_fence_is_understood():
    assert {kind for kind, *_ in BLOCKS} == {"python", "math", "text"}
    assert all("```" not in prose for prose in PROSES.values())
    assert sum(text.count("<!--") for text in PAGES.values()) == len(QUOTATIONS)
    assert len(SNIPPETS) >= 10
    assert len(QUOTATIONS) >= 15


@pytest.mark.parametrize(("body", "line"), SNIPPETS, ids=[line for _, line in SNIPPETS])
def test_snippet_runs(body, line):
    tree = ast.parse(body)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {
        name.split(".")[0]
        for node in imports
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert modules <= {"numpy", "numpyvae"}
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    try:
        exec(compile(body, f"the block at {line}", "exec"), {"__name__": "snippet"})
    except Exception as error:
        row = traceback.extract_tb(error.__traceback__)[1].lineno
        failed = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        page, _, start = line.rpartition(":")
        where = f"{page}:{int(start) + row}: {body.splitlines()[row - 1].strip()}"
        pytest.fail(f"{where}\n{failed}", pytrace=False)


@pytest.mark.parametrize(("path", "body", "line"), QUOTATIONS, ids=[q[2] for q in QUOTATIONS])
def test_quotation_stands_in_its_file(path, body, line):
    source = "\n" + (ROOT / path).read_text(encoding="utf-8")
    assert body.strip()
    assert any("\n" + textwrap.indent(body, " " * margin) in source for margin in range(0, 17, 4))


def test_every_line_of_the_one_screen_file_is_quoted():
    quoted = {
        row.strip()
        for path, body, _ in QUOTATIONS
        if path == "numpyvae/models/vae.py"
        for row in body.splitlines()
    }
    for method in (VAE.forward, VAE.backward):
        source = textwrap.dedent(inspect.getsource(method))
        docstring, *body = ast.parse(source).body[0].body
        rows = [row.strip() for row in source.splitlines()[docstring.end_lineno :]]
        assert len(rows) >= len(body)
        assert set(rows) - {""} <= quoted


def test_the_contents_order_every_chapter():
    listed = re.findall(
        r"^(\d+)\. \[(.*?)\]\(derivations/(.*?)\)", PAGES["docs/derivations.md"], re.M
    )
    numbers, titles, files = zip(*listed, strict=True)
    assert numbers == tuple(str(n + 1) for n in range(len(files)))
    assert sorted(files) == sorted(CHAPTERS)
    links = [f"[{title}]({file})." for title, file in zip(titles, files, strict=True)]
    for n, (title, file) in enumerate(zip(titles, files, strict=True)):
        around = [f"Previous: {links[n - 1]}"] if n else []
        around += [f"Next: {links[n + 1]}"] if n + 1 < len(links) else []
        foot = "\n".join(["", *around, "[All chapters](../derivations.md).", ""])
        assert CHAPTERS[file].startswith(f"# {title}\n\n")
        assert CHAPTERS[file].endswith("\n" + foot), file
        assert CHAPTERS[file].count("\n") <= 300, file


def test_inline_mathematics_survives_markdown():
    """Nothing that a forge's Markdown would change before the mathematics is typeset."""
    assert all(prose.count("$") % 2 == 0 for prose in PROSES.values())
    assert len(INLINE_MATH) > 100
    for before, formula, after in INLINE_MATH:
        where = f"{before}${formula}${after}"
        assert formula, "for displayed mathematics use a math block"
        assert formula == formula.strip(), where
        assert not CHANGED_BY_MARKDOWN.search(formula), where
        assert formula.count("{") == formula.count("}"), where
        assert not before or before in " \n(", where  # else the dollar sign opens nothing
        assert not after or after in " \n),.:;", where


@each_page
def test_no_paragraph_turns_into_a_list(page):
    for block in re.split(r"\n\s*\n", PROSES[page]):
        if not re.match(r"\s*(- |\d+\. )", block):
            assert not re.search(r"^\s*([-+*>#=]|\d+[.)])(\s|$)", block.partition("\n")[2], re.M), (
                block
            )


def test_displayed_mathematics_keeps_to_what_every_renderer_knows():
    for kind, _, body, line in BLOCKS:
        if kind == "math":
            assert not re.search(r"operatorname|newcommand|\\def|[<>$]", body), line
            assert body.count("{") == body.count("}"), line
            assert body.count(r"\left") == body.count(r"\right"), line
