"""What a diagonal posterior costs, in nats, and how a trained decoder avoids this cost.

x = z W + noise of variance s, z ~ N(0, I): the true posterior is Gaussian with the precision
M = I + W W^T / s, the same for every x. The best diagonal Gaussian has the variances 1 / M_ll and
    log p(x) - ELBO = 1/2 (sum_l log M_ll - log det M)  nats,
zero only if M is diagonal; a full covariance loses nothing. Here W = R diag(2, 0.5), and R rotates
the latent plane. p(x) does not depend on R, so a VAE that learns W rotates it until the cost is
zero: with a trained decoder, a full covariance gains little. Derived in
docs/derivations/full_covariance.md; for a trained linear decoder see Lucas et al. 2019.

    python examples/17_full_covariance.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, FullCovarianceVAE, Gaussian
from numpyvae.drawing import BLUE, ORANGE, TICK_SIZE, add_caption, describe, new_figure

S = 0.25  # the variance of x given z
SIGNS = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])  # noise: mean 0 and covariance I exactly


def turned(degrees):
    """W (2, 2) with a rotated latent plane: R diag(2, 0.5)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]]) @ np.diag([2.0, 0.5])


def precision(W):
    """M = I + W W^T / s of the true posterior, (L, L)."""
    return np.eye(len(W)) + W @ W.T / S


def price(W):
    """log p(x) - ELBO of the best diagonal posterior, in nats."""
    M = precision(W)
    return 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])


def best(kind, W):
    """A linear model of that kind with decoder W and its best encoder."""
    L, M = len(W), precision(W)
    C = np.linalg.cholesky(np.linalg.inv(M))
    full = np.concatenate((2 * np.log(np.diag(C)), C[np.tril_indices(L, -1)]))
    model = kind(W.shape[1], L, (), likelihood=Gaussian(S), dtype=np.float64)
    model.theta[:] = 0.0
    model.params["decoder.0.W"][:] = W
    model.params["encoder.0.W"][:, :L] = np.linalg.solve(M, W).T / S
    model.params["encoder.0.b"][L:] = full if kind is FullCovarianceVAE else -np.log(np.diag(M))
    return model


def log_px(x, W):
    """The exact log N(x; 0, W^T W + s I), (N,) nats."""
    covariance = W.T @ W + S * np.eye(W.shape[1])
    squared = (x * np.linalg.solve(covariance, x.T).T).sum(axis=1)
    return -0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1])


def gap(model, x, W):
    """log p(x) - ELBO, (N,) nats; exact, since all is linear and L = 2."""
    terms = (model.elbo_terms(model.theta, x, np.tile(row, (len(x), 1))) for row in SIGNS)
    return log_px(x, W) - np.mean([log_px_z - kl for log_px_z, kl in terms], axis=0)


def true_posterior(model, x, centre, half, n=201):
    """p(z|x) of one x (D,) on a grid, from log p(x, z) alone: the axes (2, n), density (n, n)."""
    axes = centre[:, None] + half * np.linspace(-1, 1, n)
    z = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    log_joint, _ = model.log_joint(model.params, np.broadcast_to(x, (len(z), len(x))), z)
    density = np.exp(log_joint - log_joint.max()).reshape(n, n)
    return axes, density / density.sum() / (axes[0, 1] - axes[0, 0]) ** 2


def prices_while_learning(x, W, epochs):
    """The price of W after each epoch of a VAE that starts at the best encoder and this W."""
    vae, prices = best(VAE, W), [price(W)]

    def note(vae, _):
        prices.append(price(vae.params["decoder.0.W"]))

    vae.fit(x, epochs, 100, Adam(1e-2), callbacks=[note], verbose=False)
    return prices, log_px(x, W).mean(), log_px(x, vae.params["decoder.0.W"]).mean()


def draw_plane(ax, x, W):
    """The true posterior of one x, the diagonal Gaussian, and the one with a full covariance."""
    mean = best(VAE, W).encode(x[None])[0][0]
    (first, second), density = true_posterior(best(VAE, W), x, mean, 1.6)
    levels = density.max() * np.exp([-2.0, -0.5])  # 2 and 1 standard deviations
    ax.contourf(first, second, density, [*levels, density.max() * 1.01], cmap="Greys", alpha=0.6)
    ax.plot([], [], "s", ms=12, color="0.6", label="true posterior")
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    M = precision(W)
    C = best(FullCovarianceVAE, W).encode(x[None])[1][0]
    lost = price(W)
    for factor, colour, line, label in (
        (np.diag(np.diag(M) ** -0.5), ORANGE, "--", f"diagonal, {lost:.2f} nats lost"),
        (C, BLUE, "-", "full covariance, 0 nats lost"),
    ):
        for scale in (1, 2):
            ax.plot(*(mean[:, None] + scale * factor @ circle), line, color=colour, lw=2.2)
        ax.plot([], [], line, color=colour, lw=2.2, label=label)
    ax.set(xlim=first[[0, -1]], ylim=second[[0, -1]], aspect="equal")
    ax.legend(fontsize=TICK_SIZE, frameon=False, loc="upper right")
    describe(ax, "1 and 2 standard deviations, one x", "z[0]", "z[1]")


def draw(x, angles, gaps, learned):
    """The plane; the price against the angle; the price while W is learned, too."""
    figure, axes = new_figure(17.0, 5.8, 1, 3)
    draw_plane(axes[0, 0], x, turned(45))
    ax, fine = axes[0, 1], np.linspace(0, 90, 181)
    ax.plot(fine, [price(turned(a)) for a in fine], color="0.5", lw=2, label="closed form")
    ax.plot(angles, gaps[VAE], "D", color=ORANGE, ms=8, label="diagonal: log p(x) $-$ ELBO")
    ax.plot(
        angles,
        gaps[FullCovarianceVAE],
        "o",
        color=BLUE,
        ms=8,
        label="full covariance: log p(x) $-$ ELBO",
    )
    ax.set_xticks([0, 15, 30, 45, 60, 75, 90])
    ax.set_ylim(-0.05, 1.35 * max(gaps[VAE]))
    describe(ax, "The price of a diagonal posterior", "angle of W (degrees)", "nats")
    ax.legend(fontsize=TICK_SIZE, frameon=False, loc="upper left")
    ax = axes[0, 2]
    ax.plot(learned, color=ORANGE, lw=2.2)
    ax.set_ylim(-0.05, 1.35 * max(gaps[VAE]))
    describe(
        ax,
        "A decoder that may learn turns itself",
        "epoch of a VAE, W free",
        "price of its W (nats)",
    )
    for ax in axes[0, 1:]:
        ax.grid(color="0.92")
    add_caption(
        figure,
        f"x = z W + noise of variance {S}, W = R diag(2, 0.5); left: R turns by 45 "
        "degrees, right: it starts there",
    )
    return figure


def main():
    parser = argparse.ArgumentParser(description="The price of a diagonal posterior.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 2)) @ turned(45) + np.sqrt(S) * rng.standard_normal((1000, 2))

    angles, gaps = (0, 15, 30, 45, 60, 75, 90), {VAE: [], FullCovarianceVAE: []}
    print("angle of W: closed form, log p(x) - ELBO of the diagonal, of the full covariance (nats)")
    for angle in angles:
        W = turned(angle)
        for kind, found in gaps.items():
            found.append(gap(best(kind, W), x, W).mean())
        print(
            f"{angle:2} degrees: {price(W):.4f}, {abs(gaps[VAE][-1]):.4f}, "
            f"{abs(gaps[FullCovarianceVAE][-1]):.4f}"
        )
    learned, before, after = prices_while_learning(x, turned(45), 5 if arguments.quick else 60)
    print(
        f"W learned from 45 degrees: price {learned[0]:.4f} before, {learned[-1]:.4f} after; "
        f"log p(x) {before:.3f} before, {after:.3f} after"
    )

    path = arguments.folder / "example_17_price.png"
    draw(x[0], angles, gaps, learned).savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
