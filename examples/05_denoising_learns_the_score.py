"""A denoising autoencoder learns the score of its noisy data (Alain & Bengio 2014).

The best possible autoencoder r, which gets points with Gaussian noise of standard deviation sigma
and must return the clean ones, moves each point uphill in the density p_sigma of the noisy data:

    r(x) - x = sigma^2 grad log p_sigma(x)

For toy data the right-hand side is known exactly, so the learned arrows can be compared with it.

    python examples/05_denoising_learns_the_score.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import Adam, DenoisingAutoencoder, Gaussian
from numpyvae.corruptions import GaussianNoise
from numpyvae.data import gaussian_mixture, spiral
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, TICK_SIZE, add_caption, describe, new_figure


def train(x, sigma, epochs):
    """A denoising autoencoder 2-128-64-64-64-128-2, squared error, falling learning rate."""
    model = DenoisingAutoencoder(
        2,
        64,
        hidden_dims=(128, 64),
        activation="relu",
        likelihood=Gaussian(0.5),
        corruption=GaussianNoise(sigma),
    )
    optimizer = Adam()
    for learning_rate in (5e-3, 1e-3, 2e-4):
        optimizer.learning_rate = learning_rate
        model.fit(x, epochs, batch_size=500, optimizer=optimizer, verbose=False)
    return model


def compare(model, truth, sigma, rng):
    """Relative squared error of the field, the denoising loss, and the smallest possible loss."""
    clean, _ = truth.sample(20_000, rng)
    noisy = clean + sigma * rng.standard_normal(clean.shape)  # x ~ p_sigma
    learned = model.vector_field(noisy)
    exact = sigma**2 * truth.score(noisy, extra_variance=sigma**2)
    error = np.sum((learned - exact) ** 2) / np.sum(exact**2)
    loss = ((noisy + learned - clean) ** 2).sum(axis=1).mean()
    floor = ((noisy + exact - clean) ** 2).sum(axis=1).mean()
    return error, loss, floor


def draw(panels):
    """A row for each data set: the data, the learned arrows and the exact ones."""
    figure, axes = new_figure(14.0, 11.0, len(panels), 3)
    for row, (name, x, model, truth, sigma, error) in zip(axes, panels, strict=True):
        reach = 2.9
        line = np.linspace(-reach, reach, 25)
        grid = np.stack(np.meshgrid(line, line), axis=2).reshape(-1, 2)
        log_p = truth.log_prob(grid, extra_variance=sigma**2)
        grid = grid[
            log_p > log_p.max() - 4.5
        ]  # only near noisy data: elsewhere nothing was learned
        fields = {
            f"learned, $r(x)-x$ (error {100 * error:.1f} %)": (model.vector_field(grid), BLUE),
            r"exact, $\sigma^2\,\nabla\log\,p_\sigma(x)$": (
                sigma**2 * truth.score(grid, extra_variance=sigma**2),
                ORANGE,
            ),
        }
        row[0].scatter(*x[:1500].T, s=5, color="0.35", lw=0)
        noisy = x[:1500] + sigma * np.random.default_rng(2).standard_normal((1500, 2))
        row[0].scatter(*noisy.T, s=5, color="#56B4E9", lw=0, zorder=0)
        row[0].scatter([], [], s=40, color="0.35", label="data")
        row[0].scatter([], [], s=40, color="#56B4E9", label=rf"with noise, $\sigma={sigma}$")
        row[0].legend(fontsize=TICK_SIZE, loc="upper right", framealpha=0.9, handletextpad=0.1)
        describe(row[0], name[0].upper() + name[1:], "x[0]", "x[1]")
        for ax, (title, (field, colour)) in zip(row[1:], fields.items(), strict=True):
            ax.scatter(*x[:1500].T, s=4, color="0.8", lw=0, zorder=0)
            ax.quiver(
                *grid.T,
                *field.T,
                color=colour,
                angles="xy",
                scale_units="xy",
                scale=1.0 if name == "spiral" else 1.6,
                width=0.005,
            )
            describe(ax, title, "x[0]", "x[1]")
        for ax in row:
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach + 0.7), aspect="equal")
    figure.suptitle(
        "A denoising autoencoder points uphill in the density of the noisy data",
        fontsize=LABEL_SIZE + 3,
        x=0.02,
        ha="left",
    )
    add_caption(
        figure,
        "arrows: to scale for the spiral, 0.6 of their length for the Gaussians; drawn where noisy "
        "data are. Error: squared, relative to the exact field",
    )
    return figure


def main():
    parser = argparse.ArgumentParser(description="A denoising autoencoder learns the score.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs of training")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    panels = []
    for name, make, sigma in (("three Gaussians", gaussian_mixture, 0.5), ("spiral", spiral, 0.2)):
        rng = np.random.default_rng(0)
        x, _, truth = make(5_000 if arguments.quick else 20_000, rng)
        model = train(x, sigma, epochs=5 if arguments.quick else 30)
        error, loss, floor = compare(model, truth, sigma, rng)
        print(
            f"{name:15} sigma {sigma}: relative squared error of the field {error:.4f}, "
            f"loss {loss:.5f}, least possible {floor:.5f}"
        )
        panels.append((name, x, model, truth, sigma, error))
    path = arguments.folder / "example_05_score.png"
    draw(panels).savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
