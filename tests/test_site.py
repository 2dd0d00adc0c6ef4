"""The documentation site, without building it: its pages, its mathematics, its figures.

`sphinx-build -W` in `.ci/run` builds it, where warnings and requests to a host are errors.
"""

import re
from pathlib import Path

import make_gallery as gallery
import pytest
from building import derived, documents, offline, pages, plain_text

from numpyvae.models import MODELS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OURS = [name for name, kind in MODELS.items() if kind.__module__.startswith("numpyvae.models.")]


# --- Docstrings -----------------------------------------------------------------------------------


def rst(text):
    return "\n".join(plain_text.as_rst(text.split("\n"))).strip()


@pytest.mark.parametrize(("docstring", "expected"), [
    ("a * b, |x| and trace_ of x_n", r"a \* b, \|x\| and trace\_ of x_n"),
    ("`theta` and `a * b`, `x`s", r":py:obj:`theta` and ``a * b``, :py:obj:`x`\ s"),
    ("Derived in docs/yardstick.md.", "Derived in :doc:`docs/yardstick.md </yardstick>`."),
    ("``done`` by :func:`check_grad`", "``done`` by :func:`check_grad`"),
    ("So\n\n    f(x) * 2  -> y\n    g(x) * 30 -> y\n\nit is.",
     "So\n\n.. code-block:: text\n\n   f(x) * 2  -> y\n   g(x) * 30 -> y\n\nit is."),
    ("So:\n    vae.fit(x)\nthen", "So:\n\n.. code-block:: python\n\n   vae.fit(x)\n\nthen"),
    ("It is\n    f = 1/2 g  nats,\nzero if",
     "It is\n\n.. code-block:: text\n\n   f = 1/2 g  nats,\n\nzero if"),
    ("Args:\n    model_: a\n    x: a * b\n        and more",
     "Args:\n    model_: a\n    x: a \\* b\n        and more"),
    ("- one\n\n    f * g", "- one\n\n.. code-block:: text\n\n   f * g"),
    ("name   what ``it`` is\n       and more\nother  the :func:`rest`",
     ".. code-block:: text\n\n   name   what it is\n          and more\n   other  the rest"),
    ("Says.\n\nvae.fit(x)\nvae.save(f)",
     "Says.\n\n.. code-block:: python\n\n   vae.fit(x)\n   vae.save(f)"),
    ("# a comment", "# a comment"),
    ("Two:\n- one\n  and a half\n- two", "Two:\n\n- one\n  and a half\n- two"),
])  # fmt: skip
def test_plain_text_becomes_restructured_text(docstring, expected):
    assert re.sub(r"\n{3,}", "\n\n", rst(docstring)) == expected


def test_a_function_gets_the_formula_of_the_chapter_that_quotes_it():
    shown = "\n".join(derived.as_rst("numpyvae.gaussian.kl_to_standard_normal"))
    assert ".. math::" in shown
    assert r"\sigma_{nl}^2 - 1 - \mathrm{log\_var}_{nl}" in shown
    assert "</derivations/forward>" in shown
    assert derived.as_rst("numpyvae.gaussian") == []
    assert len(derived.derivations()) > 15


# --- Pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_the_page_of_a_model(name):
    page = pages.model_pages()[f"model/{name}"]
    assert "def forward(" in page
    assert "def backward(" in page
    assert (DOCS / f"derivations/{pages.chapter_of(MODELS[name])}.md").exists()
    rows = len(re.findall(rf"- ``?.*{name}.*`|- :py:obj:`{name}`", page))
    assert (rows >= 1) == ("Autoencoder" not in name), "a row of the measured table"


def test_the_gradient_path_in_words():
    shown = pages.model_pages()
    assert (
        "each sample's gradient is weighted by its share w" in shown["model/ImportanceWeightedVAE"]
    )
    assert "its whole gradient path, down and back up" in shown["model/VAE"]


def test_the_modules_are_those_of_the_architecture():
    shown = pages.api_pages()
    assert ".. automodule:: numpyvae.likelihoods.binomial" in shown["api/likelihoods"]
    assert ":exclude-members: VAE" in shown["api/models"]
    assert "api/cli" not in shown


def test_links_out_of_the_documents_stay_within_the_site():
    text = "[`a`](../numpyvae/models/vae.py) [b](../numpyvae/gaussian.py) [c](kl.md) "
    text += "[d](../examples/05_x.py)"
    assert documents.for_the_site("faq", text) == (
        "{doc}`a </model/VAE>` {py:mod}`b <numpyvae.gaussian>` [c](kl.md) {doc}`d </example/05_x>`"
    )
    assert (
        documents.for_the_site("faq", "```text\n[b](../numpyvae/gaussian.py)\n```").count("](") == 1
    )
    start = documents.for_the_site("index", "")
    assert start.startswith("# numpyvae")
    assert "](docs/" not in start
    assert "](figures/manifold.png)" in start


def test_every_document_is_in_the_contents():
    listed = (DOCS / "index.md").read_text(encoding="utf-8").split("\n")
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= set(listed)


def test_every_example_with_a_figure_is_in_the_gallery():
    text = documents.for_the_site("examples", (DOCS / "examples.md").read_text(encoding="utf-8"))
    cards = re.findall(r"^\[!\[.*\]\((.*?)\) (\d\d) .*\]\(#(\d\d)", text, re.M)
    drawn = {path.name[8:10] for path in (DOCS / "figures").glob("example_*.png")}
    assert {number for _, number, _ in cards} == drawn
    assert all(number == anchor for _, number, anchor in cards)


@pytest.mark.parametrize(
    "asks",
    [
        '<script async src="https://cdn.example.org/x.js">',
        "<img alt='' src='//example.org/a.png'>",
        '<link rel="stylesheet" type="text/css" href="https://example.org/a.css">',
        '<link href="https://example.org/a.woff2" rel="preload">',
        "@import 'https://example.org/a.css'",
        "body { background: url(https://example.org/a.png) }",
        '<iframe src="http://example.org"></iframe>',
    ],
)
def test_a_request_to_a_host_is_seen(asks, tmp_path):
    assert offline.requests_in(asks)
    (tmp_path / "page.html").write_text(f"<p>text</p>{asks}", encoding="utf-8")
    assert len(offline.requests_of(tmp_path)) == 1


def test_a_link_is_no_request():
    harmless = '<a href="https://docs.python.org">a</a><script src="_static/x.js"></script>'
    assert (
        offline.requests_in(harmless + '<link rel="next" href="faq.html"><img src="a.png">') == []
    )
    with pytest.raises(ValueError, match="got no page"):
        offline.requests_of(DOCS / "figures")


def test_the_answers_are_short():
    questions = (DOCS / "faq.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(questions) == 9
    for question in questions:
        prose, snippet = re.match(r".*?\n\n(.*?)```python\n(.*?)```", question, re.S).groups()
        assert prose.strip().count("\n") < 10
        assert snippet.count("\n") < 15


# --- Figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", gallery.scripts(), ids=lambda path: path.stem)
def test_the_figures_are_those_of_the_script(path):
    drawn = gallery.record()[path.stem]["script"]
    assert drawn == gallery.digest(path.read_text(encoding="utf-8")), (
        f"the script has changed since its figures were drawn: "
        f"python docs/make_gallery.py {path.name[:2]}"
    )


def test_what_changes_a_figure_and_what_does_not():
    source = '"""Says."""\n\n# why\nx = 1  # one\ny = "#fff"\n'
    assert gallery.digest(source) == gallery.digest('"""Says more."""\nx = 1\ny = "#fff"\n')
    assert gallery.digest(source) == gallery.digest(source.replace("x = 1", "x = (\n    1\n)"))
    function = 'def f():\n    """Says."""\n    return 1\n'
    assert gallery.digest(function) == gallery.digest(function.replace("Says", "Says more"))
    assert gallery.digest(function) != gallery.digest(function.replace("1", "2"))
    assert gallery.digest(source) != gallery.digest(source.replace("1", "2"))
    assert gallery.digest(source) != gallery.digest(source.replace("#fff", "#ffe"))
    assert gallery.numbers("ELBO -1.5e+02\nwrote a_03.png") == [-150.0]
    assert gallery.agree([1.0] * 9 + [5.0], [1.001] * 9 + [6.0])
    assert not gallery.agree([1.0] * 8 + [5.0] * 2, [1.0] * 8 + [6.0] * 2)
    assert not gallery.agree([1.0], [1.0, 1.0])
