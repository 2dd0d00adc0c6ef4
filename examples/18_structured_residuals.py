"""Draws that look like the data: structured residuals compared with white ones.

The decoder gives the mean of x given z, and the likelihood describes the residual. With a variance
for each dimension the residual is white: dimensions err independently, and draws of x are rough
although the data are smooth. `StructuredGaussian(1)` couples each dimension to its neighbour: the
precision of p(x|z) has a band beside its diagonal. The data are waves of any phase and height plus
an autoregression, whose precision has this band: r_t = 0.9 r_(t-1) + noise. Derived in
docs/derivations/structured.md.

    python examples/18_structured_residuals.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Gaussian, StructuredGaussian
from numpyvae.drawing import BLUE, ORANGE, TICK_SIZE, add_caption, describe, new_figure

D, PHI, SD = 32, 0.9, 0.3  # SD: the residual's standard deviation
STRUCTURED, WHITE = "structured", "white"


def waves(rng, n):
    """x (n, D): a wave of random phase and height, and an autoregression on it."""
    phase, height = 2 * np.pi * rng.random((n, 1)), 1 + rng.random((n, 1))
    x = height * np.sin(2 * np.pi * np.arange(D) / D + phase)
    residual = SD * rng.standard_normal((n, D))
    for t in range(1, D):
        residual[:, t] = PHI * residual[:, t - 1] + np.sqrt(1 - PHI**2) * residual[:, t]
    return x + residual


def mean_and_draw(vae, x, rng):
    """E[x|z] and a draw from p(x|z), (N, D) each, at the posterior mean of z."""
    mean, _ = vae.encode(x)
    output, _ = vae.decoder.forward(vae.params, mean)
    return vae.likelihood.mean(output), vae.likelihood.sample(vae.params, output, rng)


def autocorrelation(residual, n_lags=8):
    """Correlation of r_t and r_(t+k), k = 0, ..., n_lags, over all rows and t: (n_lags + 1,)."""
    r = residual - residual.mean(axis=0)
    pairs = (((r[:, : D - k] * r[:, k:]).mean()) for k in range(n_lags + 1))
    return np.array(list(pairs)) / (r * r).mean()


def draw(x, drawn, correlations):
    """Data, their means, the means with both kinds of residuals, and correlations of residuals."""
    figure, axes = new_figure(19.0, 5.6, 1, 5)
    mean, structured = drawn[STRUCTURED]
    panels = (
        ("Data", x, "black"),
        ("Mean $E[x|z]$", mean, "0.45"),
        ("Mean + structured residual", structured, BLUE),
        ("Mean + white residual", drawn[WHITE][1], ORANGE),
    )
    for ax, (title, values, colour) in zip(axes[0], panels, strict=False):
        for i, row in enumerate(values):
            ax.plot(row - 5 * i, color=colour, lw=1.8)
        ax.set(ylim=(-5 * len(x) + 2, 3), yticks=[-5 * i for i in range(len(x))])
        ax.set_yticklabels([f"example {i}" if ax is axes[0, 0] else "" for i in range(len(x))])
        ax.grid(axis="y", color="0.9")
        describe(ax, title, "dimension d")
    ax = axes[0, 4]
    lags = np.arange(len(correlations["truth"]))
    styles = {
        "truth": ("0.5", "-", "", f"truth, {PHI}$^k$"),
        STRUCTURED: (BLUE, "--", "o", "draws, structured"),
        WHITE: (ORANGE, "-.", "D", "draws, white"),
    }
    for name, (colour, line, marker, label) in styles.items():
        ax.plot(lags, correlations[name], line, marker=marker, color=colour, lw=2, label=label)
    ax.grid(color="0.92")
    ax.set_ylim(-0.15, 1.3)
    ax.legend(fontsize=TICK_SIZE, frameon=False, loc="upper right")
    describe(ax, "Residuals of draws", "lag k", "correlation of $r_d$ and $r_{d+k}$")
    add_caption(
        figure,
        "test data, z at its posterior mean; each kind of residual of its own model, the "
        "mean shown of the structured one; grey lines: 0 of each example",
    )
    return figure


def main():
    parser = argparse.ArgumentParser(description="Residuals with structure.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x, x_test = waves(rng, 2000), waves(rng, 500)

    drawn, correlations = {}, {"truth": PHI ** np.arange(9)}
    for name, likelihood in (
        (STRUCTURED, StructuredGaussian(1)),
        (WHITE, Gaussian("per_dimension")),
    ):
        vae = VAE(D, 2, (64,), "tanh", likelihood, seed=0)
        vae.fit(x, 3 if arguments.quick else 150, optimizer=Adam(3e-3), verbose=False)
        mean, sample = mean_and_draw(vae, x_test.astype(vae.dtype), rng)
        drawn[name] = mean[:4], sample[:4]
        correlations[name] = autocorrelation(sample - mean)
        print(
            f"{name} residuals: test ELBO {vae.elbo(x_test, 10).mean():.2f} nats, correlation of "
            f"neighbours in draws {correlations[name][1]:.3f}, in what the mean leaves of the "
            f"data {autocorrelation(x_test - mean)[1]:.3f}"
        )
    path = arguments.folder / "example_18_residuals.png"
    draw(x_test[:4], drawn, correlations).savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
