"""A linear autoencoder is PCA up to a rotation; with penalties it is PCA; with noise, a VAE.

1. Trained on the digits, a linear autoencoder finds PCA's error and PCA's subspace, but arbitrary
   axes in it.
2. With different penalties on the codes (Bao et al. 2020) only the principal axes are a minimum.
3. A linear VAE is given the closed form of probabilistic PCA (Tipping & Bishop 1999); its ELBO then
   equals the log-likelihood.

    python examples/04_linear_autoencoder_is_pca.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Gaussian, LinearAutoencoder, Momentum
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, describe, new_figure
from numpyvae.exact import PCA, ProbabilisticPCA

K = 5  # numbers in a code
PENALTIES = np.linspace(0.02, 0.18, K)  # different, and below the variances of the components


def train(x, penalties, steps):
    """A linear autoencoder D-K-D, squared error, by gradient descent on all data at once."""
    model = LinearAutoencoder(x.shape[1], K, penalties=penalties, dtype=np.float64)
    optimizer = Momentum(0.15, 0.99)
    model.fit(x, steps, batch_size=len(x), optimizer=optimizer, verbose=False)
    return model


def compare(model, pca, x):
    """The distance of the decoder's axes and their span from the principal ones, and the error."""
    axes = model.layout.views(model.theta)["decoder.0.W"]  # (K, D), one learned axis per row
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    cosine = pca.components @ axes.T  # (K, K), principal by learned
    span = np.linalg.qr(axes.T)[0]  # (D, K)
    nearest = np.abs(cosine).argmax(axis=1)
    error = ((model.reconstruct(x) - x) ** 2).sum(axis=1).mean()
    return {
        "alignment": np.mean(1 - np.max(cosine**2, axis=1)),
        "subspace": 1 - np.sum((pca.components @ span) ** 2) / K,
        "ratio": error / pca.reconstruction_error(x).mean(),
        # For the picture: each learned axis in the row of its nearest component, with its sign.
        "axes": axes[nearest] * np.sign(cosine[np.arange(K), nearest])[:, None],
        "cosine": np.abs(cosine[np.arange(K), nearest]),
    }


def closed_form_vae(ppca, data_dim):
    """A linear VAE with the parameters of probabilistic PCA."""
    vae = VAE(data_dim, K, hidden_dims=(), likelihood=Gaussian("shared"), dtype=np.float64)
    W, mu, variance = ppca.weights, ppca.mean, ppca.noise_variance  # (D, K), (D,), one number
    M = W.T @ W + variance * np.eye(K)  # diagonal, for this W
    to_mean = W @ np.linalg.inv(M)  # (D, K): posterior mean = M^-1 W^T (x - mu)
    params = vae.layout.views(vae.theta)  # views: writing to them writes to theta
    params["encoder.0.W"][:, :K] = to_mean
    params["encoder.0.b"][:K] = -mu @ to_mean
    params["encoder.0.W"][:, K:] = 0.0  # the same width for every x:
    params["encoder.0.b"][K:] = np.log(variance * np.diag(np.linalg.inv(M)))
    params["decoder.0.W"][...] = W.T
    params["decoder.0.b"][...] = mu
    params["likelihood.log_var"][...] = np.log(variance)
    return vae


def exact_elbo(vae, x):
    """The ELBO of each x without sampling error: log p(x|z) is quadratic in the noise, and the 2 K
    points +-sqrt(K) e_l have the mean and covariance of N(0, I).
    """
    points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)])  # (2K, K)
    terms = [vae.elbo_terms(vae.theta, x, np.tile(point, (len(x), 1))) for point in points]
    return np.mean([log_px - kl for log_px, kl in terms], axis=0)


def draw_eigendigits(pca, plain, penalised):
    """The principal components, and below them the axes learned without and with penalties."""
    figure, axes = new_figure(2.0 * K + 2.0, 7.2, 3, K)
    rows = [("PCA", pca.components, None)]
    rows += [("linear\nautoencoder", plain["axes"], plain["cosine"])]
    rows += [("with\npenalties", penalised["axes"], penalised["cosine"])]
    limit = np.abs(pca.components).max()
    for row, (name, pictures, cosine) in zip(axes, rows, strict=True):
        for i, ax in enumerate(row):
            image = ax.imshow(pictures[i].reshape(8, 8), cmap="PuOr", vmin=-limit, vmax=limit)
            title = f"component {i + 1}" if cosine is None else f"|cos| = {cosine[i]:.3f}"
            describe(ax, title, y_label=name if i == 0 else "")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.yaxis.label.set(rotation=0, ha="right", va="center", size=LABEL_SIZE + 2)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("pixel of the axis (unit vector)", fontsize=LABEL_SIZE)
    figure.suptitle(
        f"Both autoencoders find PCA's {K}-dimensional subspace; only penalties find its axes",
        fontsize=LABEL_SIZE + 2,
        x=0.02,
        ha="left",
    )
    return figure


def draw_likelihoods(elbo, log_likelihood):
    """The ELBO of every test image against its exact log-likelihood."""
    figure, axes = new_figure(6.6, 6.2)
    ax = axes[0, 0]
    ends = [log_likelihood.min(), log_likelihood.max()]
    ax.plot(ends, ends, color="0.5", lw=1.2, label="ELBO = log p(x)")
    ax.scatter(log_likelihood, elbo, s=22, color=BLUE, alpha=0.6, lw=0, label="a test image")
    gap = np.abs(elbo - log_likelihood).max()
    exponent = int(np.floor(np.log10(gap))) + 1
    describe(
        ax,
        f"A linear VAE at the closed form: largest gap < $10^{{{exponent}}}$ nats",
        "exact log p(x) of probabilistic PCA (nats)",
        "ELBO of the VAE (nats)",
    )
    ax.set_aspect("equal")
    ax.legend(fontsize=LABEL_SIZE, frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description="A linear autoencoder is PCA up to a rotation.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer steps of training")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    x_train, _, x_test, _ = load_digits()
    mu = x_train.mean(axis=0, dtype=np.float64) / 16
    x, x_test = x_train / 16 - mu, x_test / 16 - mu  # centred, as PCA does it

    pca = PCA(K).fit(x)
    results = []
    for name, penalties in (("linear autoencoder", np.zeros(K)), ("with penalties", PENALTIES)):
        found = compare(train(x, penalties, 500 if arguments.quick else 2500), pca, x)
        print(
            f"{name:18}: subspace distance {found['subspace']:.1e}, "
            f"alignment {found['alignment']:.1e} (0: PCA's axes), "
            f"error {found['ratio']:.4f} times PCA's"
        )
        results.append(found)
    print("The penalties shrink the reconstructions a little: that is their price in error.")

    ppca = ProbabilisticPCA(K).fit(x)
    vae = closed_form_vae(ppca, x.shape[1])
    elbo, log_likelihood = exact_elbo(vae, x_test), ppca.log_likelihood(x_test)
    print(f"linear VAE at the closed form, mean over test images: ELBO {elbo.mean():.6f} nats,")
    print(f"    exact log-likelihood {log_likelihood.mean():.6f} nats;", end=" ")
    print(f"largest difference {np.abs(elbo - log_likelihood).max():.1e} nats")

    for name, figure in (
        ("example_04_eigendigits.png", draw_eigendigits(pca, *results)),
        ("example_04_elbo_is_exact.png", draw_likelihoods(elbo, log_likelihood)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
