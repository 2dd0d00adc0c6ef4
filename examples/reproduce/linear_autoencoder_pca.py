"""Bao et al. 2020: a regularised linear autoencoder learns the principal components themselves.

Loss |x - W2 W1 x|^2 + tr(W1^T Lambda W1) + tr(W2 Lambda W2^T), the penalties Lambda all different
and below the eigenvalues s_i of the covariance. Its minimum is
sum_{i>k} s_i + sum_{i<=k} (2 lambda_i - lambda_i^2 / s_i), at the principal axes.

    alignment          mean_i (1 - max_j cos^2(u_i, w_j)),  u_i principal axes, w_j columns of W2
    subspace distance  1 - tr(U U^T Q Q^T) / k,             Q an orthonormal basis of W2's columns
    loss gap           loss / minimum - 1

All go to 0. The loss depends on the data only through their covariance, so a `LinearAutoencoder`
is trained, full batch, on D + 1 rows that have exactly this covariance. Synthetic case: D = 50,
k = 5, eigenvalues 5, 4, 3, 2, 1 and 45 times .1, lambda from .1 to .8, float64, Adam 3e-2 to 3e-5
(cosine). MNIST: centred pixels in [0, 1], k = 20, lambda from .2 to .58, below s_20 = .608,
float32, Adam 1e-2 to 1e-5 (cosine); also without the penalties, for comparison. With two axes i < j
swapped the loss is larger by only (lambda_j^2 - lambda_i^2)(1/s_j - 1/s_i), so small lambda
converge slowly.
`--figure` draws the learned axes.
"""

from __future__ import annotations

import time

import numpy as np
from common import (
    FIGURES,
    Row,
    arguments,
    cosine,
    mnist_or_none,
    moments,
    rows_with_moments,
    run,
    seconds,
    table,
    train,
)

from numpyvae import LinearAutoencoder


def axes_of(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending, and eigenvectors as columns."""
    variances, axes = np.linalg.eigh(covariance)
    return variances[::-1], axes[:, ::-1]


def fitted(covariance, k, penalties, steps, rate, work, dtype) -> tuple[LinearAutoencoder, float]:
    """A linear autoencoder trained on the covariance (D, D), and the seconds it took."""
    data_dim = len(covariance)
    model = LinearAutoencoder(data_dim, k, penalties=penalties, seed=0, dtype=dtype)
    x = rows_with_moments(np.zeros(data_dim), covariance).astype(dtype)
    name = f"linear_{data_dim}_{k}_{'penalties' if penalties.any() else 'plain'}_{steps}.npz"
    records = train(
        model, x, steps, len(x), cosine(rate, rate / 1000), work / name, every=max(1, steps // 5)
    )
    return model, seconds(records)


def distances(model: LinearAutoencoder, covariance, penalties) -> tuple[float, float, float]:
    """Alignment, subspace distance, relative loss gap."""
    s, axes = axes_of(covariance)
    k = model.latent_dim
    params = model.layout.views(model.theta.astype(np.float64))
    encoder, decoder = params["encoder.0.W"], params["decoder.0.W"]  # (D, k), (k, D)
    cosines = axes[:, :k].T @ (decoder / np.linalg.norm(decoder, axis=1, keepdims=True)).T
    q = np.linalg.qr(decoder.T)[0]
    alignment = 1.0 - (cosines**2).max(axis=1).mean()
    subspace = 1.0 - ((axes[:, :k].T @ q) ** 2).sum() / k
    residual = np.eye(len(s)) - encoder @ decoder
    loss = np.trace(residual.T @ covariance @ residual)
    lam = np.sort(penalties)
    loss += (penalties * ((encoder**2).sum(axis=0) + (decoder**2).sum(axis=1))).sum()
    least = s[k:].sum() + (2 * lam - lam**2 / s[:k]).sum()
    return float(alignment), float(subspace), float(loss / least - 1.0)


def draw(covariance, models) -> None:
    """The first ten principal components, and below them the axes that each model learned."""
    from matplotlib.figure import Figure

    _, axes = axes_of(covariance)
    shown = 10
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    grid = figure.subplots(3, shown)
    rows = [("principal\ncomponents", axes[:, :shown].T)]
    for name, model in models:
        decoder = model.layout.views(model.theta)["decoder.0.W"]
        size = (decoder**2).sum(axis=1)
        if any(model.penalties):  # the longest column belongs to the largest eigenvalue
            decoder = decoder[np.argsort(-size)]
        decoder = decoder[:shown] / np.linalg.norm(decoder[:shown], axis=1, keepdims=True)
        signs = np.sign((decoder * axes[:, :shown].T).sum(axis=1, keepdims=True))
        rows.append((name, decoder * signs))
    for line, (name, images) in zip(grid, rows, strict=True):
        for ax, image in zip(line, images, strict=True):
            reach = np.abs(image).max()
            ax.imshow(image.reshape(28, 28), cmap="RdBu_r", vmin=-reach, vmax=reach)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set_color("0.8")
        line[0].set_ylabel(name, fontsize=13, rotation=0, ha="right", va="center", labelpad=8)
    figure.suptitle(
        "A linear autoencoder finds the principal subspace; unequal penalties find the axes",
        fontsize=15,
    )
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / "reproduce_linear_axes.png", dpi=110)


def report(name: str, found, limits) -> list[Row]:
    quantities = ("alignment", "subspace distance", "loss gap, relative")
    return [
        Row(f"{name}: {quantity}", 0.0, value, limit, "below")
        for quantity, value, limit in zip(quantities, found, limits, strict=True)
    ]


def main() -> None:
    parser = arguments(__doc__, synthetic_steps=8000, mnist_steps=20_000)
    parser.add_argument("--figure", action="store_true", help="also draw the learned axes")
    options = parser.parse_args()

    started = time.perf_counter()
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]
    s = np.concatenate([[5.0, 4.0, 3.0, 2.0, 1.0], np.full(45, 0.1)])
    covariance, penalties = (rotation * s) @ rotation.T, np.linspace(0.1, 0.8, 5)
    model, _ = fitted(
        covariance, 5, penalties, options.synthetic_steps, 3e-2, options.work, np.float64
    )
    rows = report("D=50, k=5", distances(model, covariance, penalties), (1e-4, 1e-4, 1e-3))
    print(f"synthetic: {time.perf_counter() - started:.0f} s")

    data = mnist_or_none()
    if data is not None:
        _, covariance = moments(data.x_train)
        penalties = np.linspace(0.2, 0.58, 20)
        steps = options.mnist_steps
        model, took = fitted(covariance, 20, penalties, steps, 1e-2, options.work, np.float32)
        plain, more = fitted(
            covariance, 20, 0 * penalties, steps // 4, 1e-2, options.work, np.float32
        )
        rows += report("MNIST, k=20", distances(model, covariance, penalties), (1e-2, 1e-4, 1e-3))
        alignment, subspace, gap = distances(plain, covariance, 0 * penalties)
        if options.figure:
            draw(covariance, [("with\npenalties", model), ("without", plain)])
    print(table(rows))
    if data is not None:
        print(
            f"without penalties (no verdict): alignment {alignment:.3f}, subspace distance "
            f"{subspace:.1e}, loss gap {gap:.1e}\nMNIST: {steps} steps, {took:.0f} s; without "
            f"penalties {steps // 4} steps, {more:.0f} s"
        )


if __name__ == "__main__":
    run(main)
