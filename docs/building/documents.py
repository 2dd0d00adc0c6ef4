"""What the documents say to a reader of the repository, said to a reader of the site.

The sources are Markdown whose links lead to files of the repository. Here a link to a module leads
to its page, one to an example to that of the example, and the contents of each part get a toctree.
"""

import os
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from building.pages import DOCS, ROOT, example_pages, model_pages, rows
from numpyvae.models import MODELS

README = ROOT / "README.md"
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
LINK = re.compile(r"(?<!!)\[([^\][]+)\]\((?!https?:|#)([^)\s#]+)\)")
HEADING = re.compile(r"^(#+ )\[([^\]]+)\]\((\S+)\)$", re.M)
LIVE = find_spec("numpyvae.explore") is not None


def for_the_site(name: str, text: str) -> str:
    """The source of document `name`, whose file holds `text`, as the site builds it."""
    if name == "index":
        readme = README.read_text(encoding="utf-8")
        text = text if LIVE else text.replace("\nlive\n", "\n")
        text = (
            re.sub(r"\]\((?!https?:|#)", "](../", readme).replace("](../docs/", "](") + "\n" + text
        )
    elif name == "derivations":
        text += toctree(re.findall(r"\((derivations/\w+)\.md\)", text))
    elif name == "models":
        text = text.replace("\n## L = 2\n", f"\n{models_in_words()}\n\n## L = 2\n", 1)
        text += toctree(model_pages())
    elif name == "examples":
        text = text.replace("\n| lesson |", f"\n{gallery(text)}\n\n| lesson |", 1)
        text += toctree(example_pages())
    text = HEADING.sub(r"\1\2\n\n[The script](\3).", text)  # a table of contents takes no links
    pieces = FENCED.split(text)
    pieces[::2] = [LINK.sub(lambda link: _link(name, link), piece) for piece in pieces[::2]]
    return "".join(pieces)


def toctree(pages: Iterable[str]) -> str:
    """The pages below this one, in the navigation only."""
    listed = "\n".join(dict.fromkeys(pages))
    return f"\n```{{toctree}}\n:hidden:\n{listed}\n```\n"


def models_in_words() -> str:
    """A line of links to the models' pages."""
    links = (f"{{doc}}`{page.removeprefix('model/')} </{page}>`" for page in model_pages())
    return f"A page for each model, with its forward and backward: {', '.join(links)}."


def gallery(text: str) -> str:
    """The first picture of each example, small, leading to its section."""
    lessons = dict(re.findall(r"^\| (.*) \| \[(\d\d)\]\(#", text, re.M))
    titles = {number: lesson for lesson, number in lessons.items()}
    cards = []
    for part in text.split("\n## ")[1:]:
        heading = re.match(r"\[((\d\d)_\w+)\]", part)
        picture = re.search(r"!\[([^]]*)\]\((figures/[\w.]+png)\)", part)
        if heading and picture:
            name, number = heading.groups()
            cards.append(f"[![{picture[1]}]({picture[2]}) {number} {titles[number]}](#{name})")
    return "````{container} gallery\n" + "\n\n".join(cards) + "\n````"


def _link(name: str, link: re.Match[str]) -> str:
    """A link out of docs/ as one within the site; every other as it is."""
    words, target = " ".join(link[1].split()), link[2]
    path = Path(os.path.normpath((DOCS / name).parent / target))
    if path.is_relative_to(DOCS) and not path.is_dir():
        return link[0]
    plain = words.replace("`", "")
    if path.suffix == ".py" and path.is_relative_to(ROOT / "examples"):
        return f"{{doc}}`{plain} </example/{path.stem}>`"
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    model = next((n for n, kind in MODELS.items() if kind.__module__ == module), None)
    if model:
        return f"{{doc}}`{plain} </model/{model}>`"
    if path == ROOT / "numpyvae" / "models":
        return f"{{doc}}`{plain} </models>`"
    if path.suffix == ".py" and module.removeprefix("numpyvae.").split(".")[0] in rows():
        return f"{{py:mod}}`{plain} <{module}>`"
    return words if path.is_dir() else f"{{download}}`{plain} </{os.path.relpath(path, DOCS)}>`"
