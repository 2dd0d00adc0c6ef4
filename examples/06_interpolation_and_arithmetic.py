"""Walks and arithmetic in latent space: what a straight line between codes does to a picture.

A blend of two images pixel by pixel shows both at once, one fading out. A straight line between
their codes passes through images that look like digits. The difference between the mean codes of
two classes is a direction that turns one class into the other.

    python examples/06_interpolation_and_arithmetic.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits
from numpyvae.drawing import LABEL_SIZE, add_caption, describe, new_figure, show_tiles

WALKS = ((0, 6), (1, 7), (3, 8), (4, 9))
CHANGES = ((3, 8), (5, 6), (7, 9), (9, 3))  # from, to
STRENGTHS = np.array([0.0, 0.5, 1.0, 1.5])


def nearest(images, x, labels):
    """Distance (rms over pixels) of each image to the nearest one of x, and that one's label."""
    squared = ((images[:, None] - x) ** 2).mean(axis=2)  # (n, N)
    return np.sqrt(squared.min(axis=1)), labels[squared.argmin(axis=1)]


def between(a, b, steps):
    """Points on the straight lines from a (n, D) to b (n, D): (n, steps, D)."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * a[:, None] + t * b[:, None]


def decode(vae, z):
    """E[x|z] for codes of any shape (..., L)."""
    return vae.decode(z.reshape(-1, vae.latent_dim)).reshape(*z.shape[:-1], -1)


def draw_walks(vae, a, b, steps=9):
    """For each pair, the blend of its pixels and, below it, the walk between its codes."""
    pixels = between(a, b, steps)  # (n, steps, 64)
    latent = decode(vae, between(vae.encode(a)[0], vae.encode(b)[0], steps))
    figure, axes = new_figure(10.6, 9.8, len(a), 1)
    for ax, blend, walk, x, y in zip(axes.flat, pixels, latent, a, b, strict=True):
        tiles = np.concatenate([x[None], blend, y[None], x[None], walk, y[None]])
        show_tiles(figure, ax, tiles, (8, 8), steps + 2, (0, 16))
        ax.set_yticks([0.5, 1.5], ["pixels", "latent"], fontsize=LABEL_SIZE)
        for edge in (1, steps + 1):
            ax.axvline(edge, color="white", lw=5)
    where = np.arange(steps + 2) + 0.5
    names = ["from", *(f"{t:.3g}" for t in np.linspace(0, 1, steps)), "to"]
    axes[-1, 0].set_xticks(where, names, fontsize=LABEL_SIZE)
    describe(axes[0, 0], "Half-way between two test images: a double exposure, or a digit?")
    add_caption(figure, "share of the second image (pixels) or code (latent); white: 0, black: 16")
    return figure


def draw_changes(vae, x, y, mean_code):
    """Codes of three images of a class, moved towards another class by the difference of means."""
    figure, axes = new_figure(12.0, 9.0, 2, 2)
    for ax, (source, target) in zip(axes.flat, CHANGES, strict=True):
        images = x[y == source][:4]
        move = STRENGTHS[:, None] * (mean_code[target] - mean_code[source])  # (4, L)
        moved = decode(vae, vae.encode(images)[0][:, None] + move)  # (n, 4, 64)
        tiles = np.concatenate([images[:, None], moved], axis=1).reshape(-1, 64)
        show_tiles(figure, ax, tiles, (8, 8), len(STRENGTHS) + 1, (0, 16))
        ax.axvline(1, color="white", lw=6)
        names = ["image", *(f"{s:g}" for s in STRENGTHS)]
        ax.set_xticks(np.arange(len(names)) + 0.5, names, fontsize=LABEL_SIZE)
        describe(ax, f"{source}: code + s (mean code of {target} \N{MINUS SIGN} of {source})", "s")
        ax.xaxis.set_label_coords(0.6, -0.06)
    add_caption(figure, "test images and their decoded codes; white: 0, black: 16")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Walks and arithmetic in latent space.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs of training")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    x_train, y_train, x_test, y_test = load_digits()
    vae = VAE(64, latent_dim=8, hidden_dims=(256,), likelihood=Binomial(16))
    epochs = 15 if arguments.quick else 200
    vae.fit(x_train, epochs, optimizer=Adam(2e-3), verbose=False)

    # Half-way between pairs of test images of different classes.
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(x_test), size=(2, 400))
    differ = y_test[first] != y_test[second]
    a, b = x_test[first[differ]], x_test[second[differ]]
    codes = between(vae.encode(a)[0], vae.encode(b)[0], 3)
    print("distance to the nearest training image, rms of 16 grey levels, mean:")
    for name, images in (
        ("test images", a),
        ("half-way, latent", decode(vae, codes)[:, 1]),
        ("half-way, pixels", 0.5 * (a + b)),
    ):
        print(f"    {name:17} {nearest(images, x_train, y_train)[0].mean():.3f}")

    # From one class to another, with class means of the training codes.
    code = vae.encode(x_train)[0]
    mean_code = np.array([code[y_train == k].mean(axis=0) for k in range(10)])
    print("share whose nearest training image is of the target class, for s =", *STRENGTHS)
    for source, target in CHANGES:
        z = vae.encode(x_test[y_test == source])[0]
        shares = []
        for s in STRENGTHS:
            moved = vae.decode(z + s * (mean_code[target] - mean_code[source]))
            shares.append(np.mean(nearest(moved, x_train, y_train)[1] == target))
        print(f"    {source} -> {target}:", ", ".join(f"{100 * share:3.0f} %" for share in shares))

    a = np.array([x_test[y_test == pair[0]][0] for pair in WALKS])
    b = np.array([x_test[y_test == pair[1]][0] for pair in WALKS])
    for name, figure in (
        ("example_06_walks.png", draw_walks(vae, a, b)),
        ("example_06_arithmetic.png", draw_changes(vae, x_test, y_test, mean_code)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
