"""Alain & Bengio 2014: a denoising autoencoder learns the score of the noisy density.

With Gaussian corruption of standard deviation sigma the best r satisfies
r(x) - x = sigma^2 grad log p_sigma(x), where p_sigma is p convolved with N(0, sigma^2 I): not p
itself. For a mixture of three Gaussians in the plane the right-hand side is known exactly, and so
is the smallest possible loss, sigma^2 D - sigma^4 E|grad log p_sigma|^2.

The network is 2-64-64(code)-64-2. Its code is linear, so encoder.1 and decoder.0 are together one
linear map, and the functions that it can represent are exactly those of 2-64-64-2 with tanh. Each
of the 8,000 Adam steps (3e-3 to 1e-5, cosine) sees 512 fresh points. Loss and field are measured on
10^6 fresh noisy points. `--figure` draws the field learned from a spiral.
"""

from __future__ import annotations

import time

import numpy as np
from common import FIGURES, Row, arguments, cosine, run, table

from numpyvae import Adam, DenoisingAutoencoder
from numpyvae.corruptions import GaussianNoise
from numpyvae.data import THREE_GAUSSIANS, spiral


def trained(truth, sigma: float, steps: int, seed: int = 0) -> DenoisingAutoencoder:
    """Trained on fresh points of `truth` at every step, so that no data set can be overfitted."""
    model = DenoisingAutoencoder(
        2, 64, corruption=GaussianNoise(sigma), hidden_dims=(64,), activation="tanh", seed=seed
    )
    rng, optimizer, rate = np.random.default_rng(seed), Adam(), cosine(3e-3, 1e-5)
    grad = np.empty_like(model.theta)
    for step in range(steps):
        optimizer.learning_rate = rate(step / steps)
        x, _ = truth.sample(512, rng)
        model.loss_and_grad(model.theta, x, model.draw_noise(rng, len(x)), out=grad)
        optimizer.step(model.theta, grad)
    return model


def measured(model: DenoisingAutoencoder, truth, sigma: float) -> tuple[float, float, float]:
    """Loss, its floor, and E|field - exact|^2 / E|exact|^2, on one million noisy points."""
    rng = np.random.default_rng(123)
    loss = error = size = 0.0
    for _ in range(20):
        x, _ = truth.sample(50_000, rng)
        noisy = x + sigma * rng.standard_normal(x.shape)
        field = model.vector_field(noisy)
        exact = sigma**2 * truth.score(noisy, extra_variance=sigma**2)
        loss += ((noisy + field - x) ** 2).sum(axis=1).mean() / 20
        error += ((field - exact) ** 2).sum(axis=1).mean() / 20
        size += (exact**2).sum(axis=1).mean() / 20
    return loss, 2 * sigma**2 - size, error / size


def draw_spiral(steps: int) -> None:
    """The learned field beside the exact one, over the spiral's points."""
    from matplotlib.figure import Figure

    sigma = 0.15
    x, _, truth = spiral(1500, np.random.default_rng(0))
    model = trained(truth, sigma, steps)
    line = np.linspace(-2.5, 2.5, 34)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    log_density = truth.log_prob(grid, extra_variance=sigma**2)
    grid = grid[log_density > log_density.max() - 6.0]  # elsewhere there were no training points
    exact = sigma**2 * truth.score(grid, extra_variance=sigma**2)
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = (
        r"Learned: $r(x) - x$",
        r"Exact: $\sigma^2\,\nabla \log\, p_\sigma(x)$",
    )
    for ax, field, title in zip(axes, (model.vector_field(grid), exact), titles, strict=True):
        ax.scatter(*x.T, s=5, color="#D55E00", alpha=0.45, lw=0)
        arrows = ax.quiver(
            *grid.T,
            *field.T,
            angles="xy",
            scale_units="xy",
            scale=1.0,
            color="#0072B2",
            width=0.0032,
            headwidth=4,
        )
        key = {"labelpos": "N", "fontproperties": {"size": 11}}
        ax.quiverkey(arrows, 0.88, 0.06, 0.5, "length 0.5", **key)
        ax.set(aspect="equal", xlim=(-2.7, 2.7), ylim=(-2.7, 2.7))
        ax.set_xlabel("$x_1$", fontsize=13)
        ax.set_title(title, fontsize=15)
        ax.tick_params(labelsize=11)
    axes[0].set_ylabel("$x_2$", fontsize=13)
    figure.suptitle(
        rf"A denoising autoencoder points back to the data (spiral, $\sigma$ = {sigma:g})",
        fontsize=15,
    )
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / "reproduce_score_field.png", dpi=110)


def main() -> None:
    parser = arguments(__doc__, checkpoints=False, steps=8000)
    parser.add_argument("--figure", action="store_true", help="also draw the spiral's field")
    options = parser.parse_args()
    started, rows = time.perf_counter(), []
    for sigma, limit in ((0.5, 0.01), (0.2, 0.04)):
        model = trained(THREE_GAUSSIANS, sigma, options.steps)
        loss, floor, relative = measured(model, THREE_GAUSSIANS, sigma)
        rows += [
            Row(f"sigma {sigma}: loss (published: its floor)", floor, loss, 0.01 * floor),
            Row(
                f"sigma {sigma}: relative squared error of the field",
                None,
                relative,
                limit,
                "below",
            ),
        ]
    print(table(rows))
    print(f"seed 0, {options.steps} steps each, {time.perf_counter() - started:.0f} s")
    if options.figure:
        draw_spiral(4 * options.steps)


if __name__ == "__main__":
    run(main, checkpoints=False)
