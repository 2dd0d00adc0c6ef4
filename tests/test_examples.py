"""The examples with figures: each runs, writes the pictures it names, prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name, folder):
    """The output of `name --quick`, and the pictures that it wrote, each of them not empty."""
    (example,) = EXAMPLES.glob(f"{name}_*.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), str(folder), "--quick"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stderr == ""
    pictures = sorted(folder.glob("*.png"))
    assert done.stdout.count("wrote ") == len(pictures)
    for picture in pictures:
        assert f"wrote {picture}" in done.stdout
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 20_000
    return done.stdout, [picture.stem for picture in pictures]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)]


def line_with(text, start):
    """The numbers after `start` on the line that begins with it."""
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith(start))
    return numbers(line[len(start) :])


def test_from_autoencoder_to_vae(tmp_path):
    out, pictures = run("03", tmp_path)
    assert pictures == ["example_03_betas", "example_03_road", "example_03_widths"]
    assert line_with(out, "autoencoder")[0] == 0
    assert line_with(out, "fixed noise")[0] == 1
    collapsed = line_with(out, "learned noise, no KL")[0]
    kept = line_with(out, "learned noise and KL: VAE")[0]
    assert 0 < collapsed < 0.1 * kept
    only_kl = line_with(out, "inf")
    assert only_kl[0] < 0.5  # the means go to 0,
    assert only_kl[1] == pytest.approx(1, abs=0.05)  # the widths to 1,
    assert only_kl[2] < 0.1  # and the KL to 0 nats


def test_a_linear_autoencoder_is_pca(tmp_path):
    out, pictures = run("04", tmp_path)
    assert pictures == ["example_04_eigendigits", "example_04_elbo_is_exact"]
    subspace, alignment, _, error = line_with(out, "linear autoencoder:")
    assert subspace < 0.01
    assert alignment > 0.1
    assert error == pytest.approx(1, abs=0.01)
    penalised = line_with(out, "with penalties    :")
    assert penalised[0] < 0.03  # on its way after few steps: a random subspace is at 0.9
    assert penalised[1] < alignment
    assert numbers(out.split("largest difference ")[1])[0] < 1e-6  # nats


def test_denoising_learns_the_score(tmp_path):
    out, pictures = run("05", tmp_path)
    assert pictures == ["example_05_score"]
    sigma, error, loss, floor = line_with(out, "three Gaussians")
    assert sigma == 0.5
    assert error < 0.3
    assert floor <= loss < 1.2 * floor
    assert line_with(out, "spiral")[1] < 1  # better than no field at all


def test_interpolation_and_arithmetic(tmp_path):
    out, pictures = run("06", tmp_path)
    assert pictures == ["example_06_arithmetic", "example_06_walks"]
    assert line_with(out, "half-way, latent")[0] < line_with(out, "half-way, pixels")[0]
    for change in ("3 -> 8", "5 -> 6", "7 -> 9", "9 -> 3"):
        shares = line_with(out, change + ":")
        assert len(shares) == 4
        assert max(shares[2:]) > shares[0] + 20  # percent
