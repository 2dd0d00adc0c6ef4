"""The file that `numpyvae explore` writes, and what it says where it cannot."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

import numpyvae.models.vae
from numpyvae import VAE, Gaussian
from numpyvae.cli import main
from numpyvae.explore import explore_page, page_script
from numpyvae.models import MODELS
from numpyvae.run_data import RunData, load_data

FILE = Path(numpyvae.models.vae.__file__)
FOLDER = Path(numpyvae.explore.__file__).parent


def carried(page):
    """What a page carries, as its script reads it."""
    (text,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page, re.S)
    return json.loads(text)


def unpacked(packed):
    dtype = {"Uint8Array": "u1", "Float32Array": "<f4", "Float64Array": "<f8"}[packed["type"]]
    return np.frombuffer(zlib.decompress(base64.b64decode(packed["base64"])), dtype)


def data_of(x, labels=None, likelihood=None):
    n = len(x) // 5
    return RunData(x[n:], x[:n], labels, likelihood or Gaussian("shared"))


@pytest.fixture(scope="module")
def digits():
    data = load_data("digits")
    vae = VAE(64, 2, (128,), likelihood=data.likelihood)
    return vae, data, explore_page(vae, data, "digits-1")


def test_the_page_is_whole_and_asks_for_nothing(digits):
    page = digits[2]
    assert len(page.encode()) < 500_000
    assert not re.findall(r"https?://|@import|url\(", page)
    assert all(a.startswith('"data:') for a in re.findall(r'(?:src|href)=("[^"]*)', page))
    for name in ("page.css", "scripts", "{/* run */}"):
        assert f"/* {name} */" not in page
        assert name != "{/* run */}" or name not in page
    assert "default-src 'none'" in page


def test_it_carries_parameters_and_examples_to_the_bit(digits):
    vae, data, page = digits
    run = carried(page)
    theta = unpacked(run["theta"])
    assert theta.dtype == vae.theta.dtype
    np.testing.assert_array_equal(theta, vae.theta)
    for name, x in (("test", data.x_test), ("train", data.x_train)):
        assert run[name]["rows"] == run[name]["of"] == len(x)
        np.testing.assert_array_equal(unpacked(run[name]).reshape(-1, 64), x)
    np.testing.assert_array_equal(
        [run["classes"][k] for k in run["labels"]], data.labels.astype(str)
    )


def test_the_lines_are_those_of_the_file(digits):
    source, lines = FILE.read_text().splitlines(), carried(digits[2])["lines"]
    for line in lines:
        assert source[line["number"] - 1].strip() == line["text"]
    assert [line["of"] for line in lines] == sorted((line["of"] for line in lines), reverse=True)
    for first, last in (
        ("heads, encoder_cache", "return loss"),
        ("encoder_cache, sample", "self.enc"),
    ):
        of = "forward" if "heads" in first else "backward"
        own = [line["text"] for line in lines if line["of"] == of]
        assert own[0].startswith(first)
        assert own[-1].startswith(last)


def test_what_a_user_calls_things_stays_text():
    wild = "</script><script>alert(1)</script><!--"
    x = np.random.default_rng(0).standard_normal((50, 3))
    labels = np.array([wild, "b"] * 5)
    page = explore_page(VAE(3, 2, (4,), likelihood=Gaussian()), data_of(x, labels), wild)
    assert "alert(1)</script>" not in page
    run = carried(page)
    assert run["title"] == wild
    assert sorted(run["classes"])[0].startswith("</script>")


def test_of_much_data_it_takes_what_fits_and_says_so():
    x = np.random.default_rng(0).random((12_000, 100), np.float32)
    page = explore_page(VAE(100, 2, (50,), likelihood=Gaussian()), data_of(x), "much")
    run = carried(page)
    assert 800_000 < len(page) < 1_000_000
    for name, n in (("test", 2400), ("train", 9600)):
        assert run[name]["of"] == n
        assert 100 < run[name]["rows"] < n
        assert len(unpacked(run[name])) == 100 * run[name]["rows"]


def test_pixels_are_drawn_anew_in_the_page():
    from numpyvae import Bernoulli
    from numpyvae.data import binarize_pixels

    x = np.random.default_rng(0).integers(0, 256, (100, 16)).astype(np.uint8)
    data = data_of(x, likelihood=Bernoulli())._replace(transform=binarize_pixels)
    run = carried(explore_page(VAE(16, 2, (4,)), data, "pixels"))
    assert run["train"]["binarize"]
    assert unpacked(run["train"]).max() > 1
    np.testing.assert_array_equal(unpacked(run["test"]).reshape(-1, 16), data.test_examples())
    with pytest.raises(ValueError, match="only the transform"):
        explore_page(VAE(16, 2, (4,)), data._replace(transform=lambda x, rng: x / 255), "other")


def test_many_values_are_no_classes():
    x = np.random.default_rng(0).standard_normal((500, 3))
    run = carried(
        explore_page(VAE(3, 2, (4,), likelihood=Gaussian()), data_of(x, np.arange(100)), "")
    )
    assert run["classes"] == run["labels"] == []


# The command.


@pytest.fixture
def here(tmp_path, monkeypatch, sketches):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_writes_it_and_explore_writes_it_again(here, capsys):
    assert main(["train", "--epochs", "1", "--out", "run"]) == 0
    assert "explore.html" in capsys.readouterr().out.splitlines()[-1]
    first = (here / "run" / "explore.html").read_bytes()
    assert main(["explore", "run"]) == 0
    assert "in a browser: run/explore.html" in capsys.readouterr().out
    assert (here / "run" / "explore.html").read_bytes() == first
    assert main(["explore", "run", "--out", "page.html"]) == 0
    assert (here / "page.html").exists()
    assert main(["explore", "run", "--out", "page.html"]) == 2
    assert "page.html exists: add --overwrite" in capsys.readouterr().err
    assert main(["explore", "run", "--out", "page.html", "--overwrite"]) == 0
    assert main(["explore", "run", "--out", "page.png"]) == 2
    assert "expected a name that ends in .html" in capsys.readouterr().err


def test_data_that_have_moved_or_changed(here, capsys, rng):
    x = rng.standard_normal((40, 3))
    np.save("x.npy", x)
    assert main(["train", "--data", "x.npy", "--epochs", "1", "--out", "run"]) == 0
    Path("x.npy").rename("moved.npy")
    assert main(["explore", "run"]) == 2
    assert "x.npy" in capsys.readouterr().err
    assert main(["explore", "run", "--data", "moved.npy"]) == 0
    np.save("moved.npy", x + 1)
    assert main(["explore", "run", "--data", "moved.npy"]) == 2
    assert "other data" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"VAE"}))
def test_other_models_are_refused_by_name(name):
    model = MODELS[name].__new__(MODELS[name])
    with pytest.raises(ValueError, match=f"a VAE, not of {name}"):
        explore_page(model, None, "")


def test_so_are_more_parameters_than_a_browser_likes():
    vae = VAE(1000, 2, (1000,))
    with pytest.raises(ValueError, match="at most 2,000,000 parameters, not 2,009,004"):
        explore_page(vae, None, "")


def test_a_run_of_another_model_has_no_page(here, capsys):
    options = ["--model", "Autoencoder", "--epochs", "1", "--out", "run"]
    assert main(["train", *options]) == 0
    reason = "it shows only the gradient path of a VAE, not of Autoencoder"
    assert capsys.readouterr().out.endswith(f"; no explore.html: {reason})\n")
    assert not (here / "run" / "explore.html").exists()
    assert main(["explore", "run"]) == 2
    assert f"run: explore.html is not written: {reason}" in capsys.readouterr().err


# Its files.


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_the_script_parses(tmp_path):
    (tmp_path / "all.js").write_text(page_script())
    subprocess.run(["node", "--check", tmp_path / "all.js"], check=True)


def test_every_file_is_in_the_page_and_in_the_package():
    script = page_script()
    for path in FOLDER.glob("*.js"):
        assert path.read_text() in script
        assert path.read_text().startswith('"use strict";\n// ')
    packed = (FOLDER.parent.parent / "setup.cfg").read_text()
    for kind in {path.suffix for path in FOLDER.iterdir() if path.is_file()} - {".py"}:
        assert f"explore/*{kind}\n" in packed


def contrast(one, other):
    """The contrast ratio of two colours, as WCAG defines it."""

    def luminance(colour):
        c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_arrows_stand_out(theme):
    rules = re.findall(r":root[^{]*\{([^}]*)\}", (FOLDER / "page.css").read_text())
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", rules[theme == "dark"]))
    for text in ("ink", "soft", "accent", "wrong"):
        for ground in ("paper", "panel", "tile"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["ink"], colours["mark"]) >= 4.5
    assert contrast(colours["soft"], colours["mark"]) >= 4.5
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for arrow in ("path", "kl", "sum", "wrong"):  # their names are drawn in their colours
        assert contrast(colours[arrow], colours["tile"]) >= 4.5, arrow
    assert contrast(colours["line"], colours["panel"]) >= 3.0
