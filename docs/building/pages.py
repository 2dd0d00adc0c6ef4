"""The pages that are made from the package: one for each model, each module and each example."""

import ast
import inspect
import re
import textwrap
from importlib import import_module
from pathlib import Path

from building.plain_text import as_rst, inline
from numpyvae.models import MODELS, Model

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
NO_API = ("exercises", "cli", "options", "__main__")
"""Rows of the architecture's table that are the command, not functions to call."""
GRADIENT_PATH = re.compile(
    r"(?:What is new|New) in (?:the|its) gradient path: .*?[.](?=\s|$)", re.S
)
DERIVED = {"VAE": "forward", "ConditionalVAE": "conditional"}
AUTOENCODERS = "likelihoods"


def write_all() -> None:
    """Write docs/api, docs/model and docs/example anew, touching only what has changed."""
    pages = {**api_pages(), **model_pages(), **example_pages()}
    for folder in ("api", "model", "example"):
        for old in (DOCS / folder).glob("*.rst"):
            if f"{folder}/{old.stem}" not in pages:
                old.unlink()
        (DOCS / folder).mkdir(exist_ok=True)
    for name, text in pages.items():
        path = DOCS / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def page(title: str, *blocks: str) -> str:
    """A page of reStructuredText, its title underlined."""
    return "\n\n".join([f"{title}\n{'=' * len(title)}", *filter(None, blocks)]) + "\n"


def plain(docstring: str | None) -> str:
    """A docstring, or a paragraph of one, as reStructuredText."""
    return "\n".join(as_rst(inspect.cleandoc(docstring or "").split("\n")))


def section(title: str) -> str:
    return f"{title}\n{'-' * len(title)}"


def code(body: str) -> str:
    return ".. code-block:: python\n\n" + textwrap.indent(textwrap.dedent(body), "   ")


# -- The API, by the rows of docs/architecture.md -----------------------------------------------


def rows() -> dict[str, str]:
    """Module -> what it is for, in the order of the architecture's table."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", text, re.M)
    return {name: role for name, role in found if name.split(".")[0] not in NO_API}


def modules_of(name: str) -> list[str]:
    """A module; of a package besides those that define its public names, or the bases of these."""
    if not (ROOT / "numpyvae" / name).is_dir():
        return [f"numpyvae.{name}"]
    package = import_module(f"numpyvae.{name}")
    public = [getattr(package, public) for public in package.__all__]
    kinds = [base for thing in public if inspect.isclass(thing) for base in thing.__mro__]
    homes = [getattr(thing, "__module__", "") for thing in [*public, *kinds]]
    inside = [home for home in homes if home.startswith(f"{package.__name__}.")]
    return [package.__name__, *dict.fromkeys(inside)]


def api_pages() -> dict[str, str]:
    """A page for each row, and one that lists them."""
    listed = rows()
    table = "\n".join(
        f"   * - :doc:`{name}`\n     - {inline(role)}" for name, role in listed.items()
    )
    toctree = ".. toctree::\n   :hidden:\n\n" + "\n".join(f"   {name}" for name in listed)
    opening = (
        "Each module imports only from those above it. These are the docstrings; where a chapter "
        "of the :doc:`derivations </derivations>` quotes a function, its formula stands below."
    )
    contents = ".. list-table::\n   :widths: 20 80\n\n" + table
    pages = {"api/index": page("The modules", opening, contents, toctree)}
    for name in listed:
        modules = modules_of(name)
        pages[f"api/{name}"] = page(f"numpyvae.{name}", *map(module_part, modules))
    return pages


def module_part(module: str) -> str:
    """One module: its docstring, and those of its public names; models have their own pages."""
    own = [n for n, kind in MODELS.items() if kind.__module__ == module]
    where = ", ".join(f":doc:`{name} </model/{name}>`" for name in own)
    lines = [f".. automodule:: {module}"]
    lines += [f"   :exclude-members: {', '.join(own)}"] if own else []
    inside = module.count(".") > 1
    return "\n\n".join(
        [section(module)] * inside
        + ["\n".join(lines)]
        + [f"On a page of its own: {where}."] * bool(own)
    )


# -- A page for each model ----------------------------------------------------------------------


def chapter_of(model: type[Model]) -> str:
    """The chapter that the contents of the derivations give the model, or the autoencoders'."""
    contents = (DOCS / "derivations.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"\(derivations/(\w+)\.md\): `(\w+)`$", contents, re.M))
    chapters = {name: chapter for chapter, name in named.items()}
    return chapters.get(model.__name__) or DERIVED.get(model.__name__, AUTOENCODERS)


def measured(model: type[Model]) -> str:
    """The rows of docs/models.md that are the model's, as a table."""
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    found, head, size = [], [], ""
    for line in text.splitlines():
        size = line.removeprefix("## ") if line.startswith("## ") else size
        cells = [
            cell.strip().replace("\0", "|") for cell in line.replace(r"\|", "\0").split("|")[1:-1]
        ]
        if cells[:2] == ["model", "test ELBO"]:
            head = cells
        elif cells and re.match(rf"`{model.__name__}\b", cells[0]):
            found.append([size, *cells])
    if not found:
        return (
            "An autoencoder has no prior, so no ELBO and no row in :doc:`the table of models "
            "</models>`; its errors are in :doc:`the reproductions </reproductions>`."
        )
    lines = [["", *head], *found]
    body = "\n".join(
        "\n".join(f"   {'*' if i == 0 else ' '} - {inline(cell)}" for i, cell in enumerate(cells))
        for cells in lines
    )
    return (
        ".. list-table::\n   :header-rows: 1\n   :class: measured\n\n"
        + body
        + (
            "\n\nMeans of three seeds, in nats for each test digit; "
            ":doc:`all models in one table </models>`."
        )
    )


def inherited(model: type[Model]) -> str:
    """What the model can do besides, with the first line of what each method says."""
    lines = []
    for name, member in inspect.getmembers(model, inspect.isfunction):
        owner = next(kind for kind in model.__mro__ if name in vars(kind))
        if owner is not model and not name.startswith("_") and member.__doc__:
            first = member.__doc__.partition("\n")[0]
            lines.append(
                f"   * - :py:meth:`{name} <{owner.__module__}.{owner.__name__}.{name}>`\n"
                f"     - {inline(first)}"
            )
    return ".. list-table::\n   :widths: 20 80\n\n" + "\n".join(lines)


def model_pages() -> dict[str, str]:
    return {
        f"model/{name}": model_page(name, model)
        for name, model in MODELS.items()
        if model.__module__.startswith("numpyvae.models.")
    }


def model_page(name: str, model: type[Model]) -> str:
    """Its gradient path in words, its code, its numbers, its class."""
    docstring = import_module(model.__module__).__doc__ or ""
    new = GRADIENT_PATH.search(docstring)
    said = new[0] if new else docstring.partition("\n\n")[0]
    owner = next(kind for kind in model.__mro__ if "forward" in vars(kind))
    from_where = (
        ""
        if owner is model
        else f"It inherits them from :doc:`{owner.__name__} <{owner.__name__}>`."
    )
    return page(
        name,
        f".. rst-class:: lead\n\n{plain(said)}",
        f"Derived in :doc:`/derivations/{chapter_of(model)}`. "
        f"The whole module: :py:mod:`{model.__module__}`.",
        section("Forward and backward"),
        from_where,
        code(inspect.getsource(model.forward)),
        code(inspect.getsource(model.backward)),
        section("Measured"),
        measured(model),
        section("The class"),
        f".. autoclass:: {model.__module__}.{name}\n   :members:\n"
        "   :exclude-members: forward, backward",
        section("What it can do besides"),
        inherited(model),
    )


# -- A page for each example --------------------------------------------------------------------


def figures() -> dict[str, str]:
    """File -> what it shows, of every picture in the documents."""
    found = {}
    for document in sorted(DOCS.glob("*.md")):
        pictures = re.findall(
            r"!\[([^]]*)\]\(figures/([\w.]+)\)", document.read_text(encoding="utf-8")
        )
        found |= {file: alt for alt, file in pictures}
    return found


def example_pages() -> dict[str, str]:
    """What each example says of itself, its figures, and its source."""
    pages = {}
    shown = figures()
    for path in sorted((ROOT / "examples").rglob("[!c]*.py")):  # but common.py
        title = path.relative_to(ROOT / "examples").with_suffix("").as_posix()
        number = title.partition("_")[0]
        pictures = [
            f".. figure:: ../figures/{file}\n   :alt: {alt}\n\n   {inline(alt)}"
            for file, alt in shown.items()
            if number.isdigit() and file.startswith(f"example_{number}_")
        ]
        source = (
            f".. literalinclude:: ../../examples/{path.relative_to(ROOT / 'examples').as_posix()}"
        )
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        pages[f"example/{path.stem}"] = page(
            path.stem, plain(docstring), *pictures, section("The script"), source + "\n   :linenos:"
        )
    return pages
