"""The examples with figures: each runs, writes the pictures it names, prints what it promises."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)]


def line_with(text, start):
    """The numbers after `start` on the line that begins with it."""
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith(start))
    return numbers(line[len(start) :])


def test_the_whole_screen_in_plain_numpy(capsys):
    """The page's lines are the script's (tests/test_derivations.py), and the script's are right."""
    script = runpy.run_path(str(EXAMPLES / "00_the_whole_screen.py"))
    page = (EXAMPLES.parent / "docs" / "derivations" / "sample.md").read_text(encoding="utf-8")
    (quoted,) = re.findall(r"^def loss_and_grads\(.*?(?=^```)", page, re.M | re.S)
    assert quoted in (EXAMPLES / "00_the_whole_screen.py").read_text(encoding="utf-8")

    rng = np.random.default_rng(6)
    vae = VAE(7, 3, hidden_dims=(4,), activation="tanh", beta=0.7, dtype=np.float64)
    theta = rng.normal(0.0, 0.6, vae.layout.size)
    x, noise = rng.integers(0, 2, (5, 7)).astype(float), vae.draw_noise(rng, 5)
    loss, grads = script["loss_and_grads"](vae.layout.views(theta), x, noise, 0.7)
    value, grad = vae.loss_and_grad(theta, x, noise)
    assert loss == pytest.approx(value, rel=1e-13)
    assert grads.keys() == vae.layout.shapes.keys()
    for name, expected in vae.layout.views(grad).items():
        np.testing.assert_allclose(grads[name], expected, rtol=1e-12, atol=1e-15, err_msg=name)

    script["main"].__globals__["EPOCHS"] = 2
    script["main"]()
    out = capsys.readouterr().out
    assert line_with(out, "largest difference from numpyvae's gradient:")[0] < 1e-12
    assert line_with(out, "epoch   2: loss")[0] < line_with(out, "epoch   1: loss")[0]
    assert sum(line.strip(" .:o#") == "" and "o" in line for line in out.splitlines()) >= 6


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_denoising_learns_the_score(run_example):
    out, pictures = run_example("05")
    assert pictures == ["example_05_score"]
    sigma, error, loss, floor = line_with(out, "three Gaussians")
    assert sigma == 0.5
    assert error < 0.3
    assert floor <= loss < 1.2 * floor
    assert line_with(out, "spiral")[1] < 1  # better than no field at all


@pytest.mark.slow
def test_interpolation_and_arithmetic(run_example):
    out, pictures = run_example("06")
    assert pictures == ["example_06_arithmetic", "example_06_walks"]
    assert line_with(out, "half-way, latent")[0] < line_with(out, "half-way, pixels")[0]
    for change in ("3 -> 8", "5 -> 6", "7 -> 9", "9 -> 3"):
        shares = line_with(out, change + ":")
        assert len(shares) == 4
        assert max(shares[2:]) > shares[0] + 20  # percent
