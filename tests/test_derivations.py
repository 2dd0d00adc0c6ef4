"""docs/derivations.md cannot drift: its Python runs, its quotations stand in the code, it renders.

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
TEXT = (ROOT / "docs" / "derivations.md").read_text(encoding="utf-8")
FENCE = re.compile(
    r"^(?:<!-- quoted from (?P<path>\S+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
BLOCKS = [
    (m["kind"], m["path"], m["body"], TEXT.count("\n", 0, m.start()) + 1)
    for m in FENCE.finditer(TEXT)
]
SNIPPETS = [(body, line) for kind, path, body, line in BLOCKS if kind == "python" and not path]
QUOTATIONS = [(path, body, line) for kind, path, body, line in BLOCKS if path]
PROSE = re.sub(r"`[^`\n]+`", "`code`", FENCE.sub("", TEXT))
CHANGED_BY_MARKDOWN = re.compile(r"[\n<>*|`&~]|\]\(|\\[^A-Za-z]|[^A-Za-z0-9]_|operatorname")
INLINE_MATH = re.findall(r"(^|(?s:.))\$([^$]*)\$(?=((?s:.)|$))", PROSE)


def at_line(value):
    return f"line{value}" if isinstance(value, int) else ""


def test_every_fence_is_understood():
    assert {kind for kind, *_ in BLOCKS} == {"python", "math", "text"}
    assert "```" not in FENCE.sub("", TEXT)
    assert TEXT.count("<!--") == len(QUOTATIONS)
    assert len(SNIPPETS) >= 10
    assert len(QUOTATIONS) >= 15


@pytest.mark.parametrize(("body", "line"), SNIPPETS, ids=at_line)
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
        exec(compile(body, "a block of docs/derivations.md", "exec"), {"__name__": "snippet"})
    except Exception as error:
        row = traceback.extract_tb(error.__traceback__)[1].lineno
        failed = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        pytest.fail(
            f"docs/derivations.md:{line + row}: {body.splitlines()[row - 1].strip()}\n{failed}",
            pytrace=False,
        )


@pytest.mark.parametrize(("path", "body", "line"), QUOTATIONS, ids=at_line)
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


def test_contents_lists_every_heading():
    headings = re.findall(r"^##+ (.*)$", PROSE, re.M)
    headings.remove("Contents")
    anchors = [re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings]
    contents = re.search(r"## Contents\n(.*?)\n## ", TEXT, re.S).group(1)
    titles, links = zip(*re.findall(r"\[(.*?)\]\(#(.*?)\)", contents), strict=True)
    numbers = re.compile(r"^\d+\. ")
    assert list(titles) == [numbers.sub("", h) for h in headings]
    assert list(links) == anchors
    assert set(re.findall(r"\]\(#(.*?)\)", TEXT)) == set(anchors)
    for target in re.findall(r"\]\((?!#)(.*?)\)", PROSE):
        assert (ROOT / "docs" / target).exists(), target


def test_inline_mathematics_survives_markdown():
    """Nothing that a forge's Markdown would change before the mathematics is typeset."""
    assert PROSE.count("$") % 2 == 0
    assert len(INLINE_MATH) > 100
    for before, formula, after in INLINE_MATH:
        where = f"{before}${formula}${after}"
        assert formula, "for displayed mathematics use a math block"
        assert formula == formula.strip(), where
        assert not CHANGED_BY_MARKDOWN.search(formula), where
        assert formula.count("{") == formula.count("}"), where
        assert not before or before in " \n(", where  # else the dollar sign opens nothing
        assert not after or after in " \n),.:;", where


def test_no_paragraph_turns_into_a_list():
    for block in re.split(r"\n\s*\n", PROSE):
        if not re.match(r"\s*(- |\d+\. |## Contents)", block):
            assert not re.search(r"^\s*([-+*>#=]|\d+[.)])(\s|$)", block.partition("\n")[2], re.M), (
                block
            )


def test_displayed_mathematics_keeps_to_what_every_renderer_knows():
    for kind, _, body, line in BLOCKS:
        if kind == "math":
            assert not re.search(r"operatorname|newcommand|\\def|[<>$]", body), line
            assert body.count("{") == body.count("}"), line
            assert body.count(r"\left") == body.count(r"\right"), line
