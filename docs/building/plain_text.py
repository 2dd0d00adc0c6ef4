"""Our docstrings are plain text with `code` in backquotes: here they become reStructuredText.

What is indented is a formula or code, aligned by hand, and stays as it is. Stars and bars are
arithmetic, not markup.
"""

import ast
import re
import textwrap

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")
CODE = re.compile(r"(:[\w:]+:`[^`]+`|``[^`]+``|`[^`]+`)")
BULLET = re.compile(r"(- |\d+\. )")


def as_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring, for docutils; sections of arguments are left to napoleon."""
    out: list[str] = []
    section = False
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        section = bool(SECTION.fullmatch(first)) or (section and first.startswith(" "))
        if section:
            out += inline("\n".join(paragraph)).split("\n")
        elif first.startswith(" ") or _is_table(paragraph) or _is_python(paragraph):
            out += _literal(paragraph)
        else:
            out += _prose(paragraph)
        out.append("")
    return out


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """What empty lines part; what is indented stays together across them."""
    parts: list[list[str]] = []
    for above, line in zip(["", *lines], lines, strict=False):
        if line and (above or not parts):
            parts = parts or [[]]
            parts[-1].append(line)
        elif line:
            together = line.startswith("  ") and parts[-1][0].startswith("  ")
            parts = [*parts[:-1], [*parts[-1], "", line]] if together else [*parts, [line]]
    return parts


def _prose(paragraph: list[str]) -> list[str]:
    """A paragraph, the list below its colon, or the block that is indented in it."""
    for i, line in enumerate(paragraph[1:], 1):
        above = [*inline("\n".join(paragraph[:i])).split("\n"), ""]
        if paragraph[i - 1].endswith(":") and BULLET.match(line):
            return [*above, *inline("\n".join(paragraph[i:])).split("\n")]
        if line.startswith("  ") and not BULLET.match(paragraph[0]):
            after = [j for j in range(i, len(paragraph)) if not paragraph[j].startswith(" ")]
            end = min(after, default=len(paragraph))
            below = _prose(paragraph[end:]) if after else []
            return [*above, *_literal(paragraph[i:end]), "", *below]
    return inline("\n".join(paragraph)).split("\n")


def _is_table(paragraph: list[str]) -> bool:
    """Columns aligned by hand: two lines or more with a gap."""
    return sum(bool(re.search(r"\S {2,}\S", line)) for line in paragraph) > 1


def _is_python(paragraph: list[str]) -> bool:
    """A call or an assignment, as an example of use has them."""
    try:
        body = ast.parse(textwrap.dedent("\n".join(paragraph))).body
    except SyntaxError:
        return False
    if not body:  # a comment
        return False
    use = isinstance(body[0], ast.Assign | ast.With)
    return use or (isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Call))


def inline(text: str) -> str:
    """`name` as a reference, other `code` as it is, and no markup in the rest."""
    pieces = CODE.split(text)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            plain = re.sub(r"([\\*|`]|(?<=\w)_(?![\w:,]))", r"\\\1", piece)
            pieces[i] = re.sub(r"docs/([\w/]+)\.md", r":doc:`docs/\1.md </\1>`", plain)
        else:
            # "\\ " is nothing, and ends or begins markup where a letter touches it.
            before = "\\ " if re.search(r"[\w\])]$", pieces[i - 1]) else ""
            after = "\\ " if re.match(r"[\w\[(^=+]", pieces[i + 1]) else ""
            pieces[i] = before + _code(piece) + after
    return "".join(pieces)


def _code(piece: str) -> str:
    """A name between single backquotes becomes a reference; roles and double backquotes stay."""
    if not piece.startswith("`") or piece.startswith("``"):
        return piece
    text = " ".join(piece.strip("`").split())
    return f":py:obj:`{text}`" if re.fullmatch(r"[A-Za-z_][\w.]*", text) else f"``{text}``"


def _literal(block: list[str]) -> list[str]:
    """A block of Python if it is that, otherwise of formulas."""
    language = "python" if _is_python(block) else "text"
    body = re.sub(r"(?::\w+:|`)`(.+?)``?", r"\1", textwrap.dedent("\n".join(block)))  # no roles
    return [f".. code-block:: {language}", "", *textwrap.indent(body, "   ").split("\n")]
