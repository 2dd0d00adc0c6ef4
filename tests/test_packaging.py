"""What an index and an archive say of the package."""

import re
import runpy
from configparser import ConfigParser
from pathlib import Path

import numpyvae

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")


def config():
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def links(text):
    return re.findall(r"\]\(([^)]*)\)", text)


def test_one_version_everywhere():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert newest[1] == cited[1] == numpyvae.__version__


def test_the_long_description_has_no_link_to_a_file():
    """With the repository's address all lead there; without it, what they said is left."""
    assert [t for t in links(README) if not t.startswith("https:")]
    with_address = SETUP["long_description"](README, "https://example.org/numpyvae")
    assert all(target.startswith(("https:", "#")) for target in links(with_address))
    assert len(links(with_address)) == len(links(README))
    assert "https://example.org/numpyvae/raw/main/docs/figures/manifold.png" in with_address
    assert "https://example.org/numpyvae/blob/main/docs/derivations.md" in with_address
    without = SETUP["long_description"](README, None)
    assert all(target.startswith(("https:", "#")) for target in links(without))
    assert "docs/derivations.md derives" in without
    assert "![" not in without


def test_code_in_the_long_description_is_left_as_it_is():
    fences = re.compile(r"^```.*?^```", re.M | re.S)
    for address in (None, "https://example.org/numpyvae"):
        assert fences.findall(SETUP["long_description"](README, address)) == fences.findall(README)


def test_the_address_is_read_from_the_project_urls(tmp_path):
    path = tmp_path / "setup.cfg"
    path.write_text(
        "[metadata]\nproject_urls =\n    Docs = https://d.org\n    Source=https://s.org\n"
    )
    assert SETUP["source_address"](path) == "https://s.org"
    path.write_text("[metadata]\nname = numpyvae\n")
    assert SETUP["source_address"](path) is None


def test_the_pythons_that_are_tested_are_stated():
    classifiers = config()["metadata"]["classifiers"]
    stated = re.findall(r":: (3\.\d+)$", classifiers, re.M)
    assert stated == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert config()["options"]["python_requires"] == f">={stated[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'python(?:-version)?: "(3\.\d+)"', workflow)) == set(stated)


def test_the_source_archive_has_what_the_tests_read():
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    for folder in (".ci", ".github", "docs", "examples", "tests"):
        assert (ROOT / folder).is_dir()
        assert f"graft {folder}" in manifest
