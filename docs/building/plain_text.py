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
    text: list[str] = []
    out: list[str] = []
    for kind, chunk in _chunks(lines):
        if kind == "block":
            out += [*inline("\n".join(text)).split("\n"), "", *_literal(chunk), ""]
            text = []
        else:
            text += chunk
    return [*out, *inline("\n".join(text)).split("\n")]


def inline(text: str) -> str:
    """`name` as a reference, other `code` as it is, and no markup in the rest."""
    pieces = CODE.split(text)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            pieces[i] = re.sub(r"([\\*|`]|(?<=\w)_(?!\w))", r"\\\1", piece)
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


def _chunks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The lines in their order, as ("text", lines) and ("block", lines)."""
    chunks: list[tuple[str, list[str]]] = []
    sections = listing = False  # below a section's name, or in an item, indented lines are prose
    for line in lines:
        indented = line.startswith(" ")
        listing = listing and bool(line)  # a list's item ends with its paragraph
        if line.strip() and not indented:
            sections, listing = bool(SECTION.fullmatch(line)), bool(BULLET.match(line))
            if BULLET.match(line) and chunks and chunks[-1][1][-1:] != [""]:
                chunks += [("text", [""])] if chunks[-1][1][-1].endswith(":") else []
        last = chunks[-1][0] if chunks else "text"
        prose = sections or listing
        kind = "block" if (indented and not prose) or (not line and last == "block") else "text"
        if not chunks or kind != last:
            chunks.append((kind, []))
        chunks[-1][1].append(line)
    return chunks


def _literal(block: list[str]) -> list[str]:
    """A block of Python if it is that, otherwise of formulas."""
    body = textwrap.dedent("\n".join(block)).strip("\n")
    try:
        ast.parse(body)
        language = "python"
    except SyntaxError:
        language = "text"
    return [f".. code-block:: {language}", "", *textwrap.indent(body, "   ").split("\n")]
