"""The documentation site: `sphinx-build -W docs build/site`, for a browser without a network."""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from building import derived, documents, live, offline, pages, plain_text

import numpyvae

project = "numpyvae"
author = "The numpyvae developers"
release = version = numpyvae.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["building", "benchmarks", "notebooks", "figures"]
exclude_patterns += [] if documents.LIVE else ["live.md"]
suppress_warnings = ["ref.python"]  # two classes of one name in annotations, as `Estimate`
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_mock_imports = ["sklearn"]  # of numpyvae.sklearn; nobody needs it to read
autodoc_type_aliases = {
    name: name for name in ("Array", "ArrayLike", "DTypeLike", "Data", "Noise", "Params", "Grads")
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = f"numpyvae {version}"
html_static_path = ["building/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it would be read from other pages, which file:// does not allow
copybutton_exclude = ".linenos, .gp"

# One file of MathJax 3 (Apache License 2.0), which draws its own letters and needs no other file.
mathjax = distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax"
)
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

brought = Path(__file__).parent.parent / "build" / "site-extra"
brought.mkdir(parents=True, exist_ok=True)
html_extra_path = [str(brought)]


def make_pages(app) -> None:
    pages.write_all()
    live.write_live(brought)


def bring_mathjax(app, error) -> None:
    if not error:
        copied = Path(app.outdir) / "_static" / "tex-svg.js"
        copied.write_bytes(Path(mathjax / "tex-svg.js").read_bytes())


def ask_no_host(app, error) -> None:
    """Fail if a page would ask a host for something."""
    found = [] if error else offline.requests_of(Path(app.outdir))
    if found:
        raise RuntimeError("expected no request to any host, got\n" + "\n".join(found))


def for_the_site(app, name, source) -> None:
    if name == "index":
        app.env.note_dependency(str(documents.README))
    source[0] = documents.for_the_site(name, source[0])


def from_plain_text(app, what, name, thing, options, lines) -> None:
    lines[:] = [*plain_text.as_rst(lines), *derived.as_rst(name)]


def short_types(app, what, name, thing, options, signature, returned):
    """`Array` as the source has it, where autodoc has a marker of the alias."""
    marker = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return tuple(part and marker.sub(r"\1", part) for part in (signature, returned))


def setup(app) -> None:
    app.connect("builder-inited", make_pages)
    app.connect("source-read", for_the_site)
    app.connect("autodoc-process-docstring", from_plain_text, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", short_types)
    app.connect("build-finished", bring_mathjax)
    app.connect("build-finished", ask_no_host, priority=900)
