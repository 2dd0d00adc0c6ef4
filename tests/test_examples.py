"""The examples with figures: each runs, writes the pictures it names, prints what it promises."""

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)]


def line_with(text, start):
    """The numbers after `start` on the line that begins with it."""
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith(start))
    return numbers(line[len(start) :])


def test_from_autoencoder_to_vae(run_example):
    out, pictures = run_example("03")
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


def test_a_linear_autoencoder_is_pca(run_example):
    out, pictures = run_example("04")
    assert pictures == ["example_04_eigendigits", "example_04_elbo_is_exact"]
    subspace, alignment, _, error = line_with(out, "linear autoencoder:")
    assert subspace < 0.01
    assert alignment > 0.1
    assert error == pytest.approx(1, abs=0.01)
    penalised = line_with(out, "with penalties    :")
    assert penalised[0] < 0.03  # on its way after few steps: a random subspace is at 0.9
    assert penalised[1] < alignment
    assert numbers(out.split("largest difference ")[1])[0] < 1e-6  # nats


def test_denoising_learns_the_score(run_example):
    out, pictures = run_example("05")
    assert pictures == ["example_05_score"]
    sigma, error, loss, floor = line_with(out, "three Gaussians")
    assert sigma == 0.5
    assert error < 0.3
    assert floor <= loss < 1.2 * floor
    assert line_with(out, "spiral")[1] < 1  # better than no field at all


def test_interpolation_and_arithmetic(run_example):
    out, pictures = run_example("06")
    assert pictures == ["example_06_arithmetic", "example_06_walks"]
    assert line_with(out, "half-way, latent")[0] < line_with(out, "half-way, pixels")[0]
    for change in ("3 -> 8", "5 -> 6", "7 -> 9", "9 -> 3"):
        shares = line_with(out, change + ":")
        assert len(shares) == 4
        assert max(shares[2:]) > shares[0] + 20  # percent
