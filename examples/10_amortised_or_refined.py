"""What the encoder loses: its q(z|x) beside the best Gaussian and the true posterior of one digit.

The decoder is fixed. log p(x) - ELBO is the sum of two gaps (Cremer, Li & Duvenaud 2018):
    approximation   no diagonal Gaussian is the true posterior: log p(x) - ELBO of the best one
    amortisation    the encoder does not give the best one: ELBO of the best - ELBO of the encoder's
The best Gaussian is found for each x separately: Adam starts at the encoder's and raises the ELBO
of that example. This is inference, not training: it uses no label and changes no parameter. Each
ELBO is then measured with new noise; on the noise of the refinement it would be too high. With two
latent dimensions log p(x) is exact, by quadrature.

    python examples/10_amortised_or_refined.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.patches import Ellipse

from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, TICK_SIZE, add_caption, describe, new_figure
from numpyvae.marginal import refined_posterior

GREY = "0.8"


def elbo_of(vae, x, q, rng, n_samples=200):
    """The ELBO of q = (mean, log_var), (N, L) each, in place of the encoder's: (N,) nats."""
    mean, log_var = q
    total = np.zeros(len(x))
    for _ in range(n_samples):
        noise = rng.standard_normal(mean.shape)
        log_joint, _ = vae.log_joint(vae.params, x, mean + np.exp(0.5 * log_var) * noise)
        log_q = -0.5 * (np.log(2 * np.pi) + log_var + noise**2).sum(axis=1)
        total += log_joint - log_q
    return total / n_samples


def true_posterior(vae, x, centre, half, n=201):
    """p(z|x) of one x (D,) on a square of the plane: the two axes, and its density (n, n)."""
    axes = [c + half * np.linspace(-1, 1, n) for c in centre]
    z = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    log_joint, _ = vae.log_joint(vae.params, np.broadcast_to(x, (len(z), len(x))), z)
    density = np.exp(log_joint - log_joint.max()).reshape(n, n)
    return axes, density / density.sum() / (axes[0][1] - axes[0][0]) ** 2


def highest_density(density, share):
    """The density above which that share of the mass lies."""
    ordered = np.sort(density, axis=None)[::-1]
    return ordered[np.searchsorted(np.cumsum(ordered) / ordered.sum(), share)]


def draw(vae, x, encoded, refined, values, index, names):
    """The plane of one digit, and the gaps of training and test digits as bars."""
    figure, axes = new_figure(13.0, 6.0, 1, 2)
    ax = axes[0, 0]
    both = [(mean[index], np.exp(0.5 * log_var[index])) for mean, log_var in (encoded, refined)]
    corners = np.array([m + sign * 3 * sd for m, sd in both for sign in (-1, 1)])
    centre, half = (corners.min(axis=0) + corners.max(axis=0)) / 2, np.ptp(corners, axis=0).max()
    (first, second), density = true_posterior(vae, x[index], centre, 0.6 * half)
    levels = [highest_density(density, share) for share in (0.95, 0.68, 0.39)]
    ax.contourf(first, second, density, [*levels, density.max() * 1.01], cmap="Greys", alpha=0.6)
    ax.plot([], [], "s", ms=12, color="0.5", label="true posterior: 39, 68, 95 %")
    styles = ("encoder", ORANGE, "--"), ("refined", BLUE, "-")
    for (mean, sd), (name, colour, line) in zip(both, styles, strict=True):
        for scale in (1, 2):
            how = {"fill": False, "ec": colour, "ls": line, "lw": 2.2}
            ax.add_patch(Ellipse(mean, *(2 * scale * sd), **how))
        ax.plot(*mean, "o", color=colour)
        ax.plot([], [], line, color=colour, lw=2.2, label=f"{name}: 1 and 2 standard deviations")
    ax.annotate("", both[1][0], both[0][0], arrowprops={"arrowstyle": "->", "lw": 1.5})
    ax.set(xlim=first[[0, -1]], ylim=second[[0, -1]], aspect="equal")
    ax.legend(fontsize=TICK_SIZE, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    gain = values[names[-1]][1][index] - values[names[-1]][0][index]
    describe(ax, f"One test digit: refining gains {gain:.1f} nats", "z[0]", "z[1]")

    ax = axes[0, 1]
    for i, name in enumerate(names):
        encoder, best, log_px = (v.mean() for v in values[name])
        parts = (
            ("approximation", log_px - best, GREY, ""),
            ("amortisation", best - encoder, ORANGE, "//"),
        )
        bottom = 0.0
        for label, gap, colour, hatch in parts:
            how = {"color": colour, "hatch": hatch, "edgecolor": "white"}
            ax.bar(i, gap, 0.6, bottom, label=label if i == 0 else None, **how)
            ax.text(i + 0.33, bottom + gap / 2, f"{gap:.1f}", va="center", size=LABEL_SIZE)
            bottom += gap
    ax.set_xticks(range(len(names)), names, fontsize=LABEL_SIZE)
    ax.set_xlim(-0.5, len(names) - 0.3)
    ax.legend(fontsize=LABEL_SIZE, frameon=False, loc="upper left")
    describe(ax, "What the ELBO lacks of log p(x)", "", "nats, mean over the digits")
    n = ", ".join(f"{len(values[name][0])} {name}" for name in names)
    add_caption(figure, f"{n}; log p(x) by quadrature, two latent dimensions")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Amortised against per-example inference.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and digits")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    quick, rng = arguments.quick, np.random.default_rng(0)
    x_train, _, x_test, _ = load_digits()
    vae = VAE(64, latent_dim=2, hidden_dims=(128,), likelihood=Binomial(16))
    vae.fit(x_train, 5 if quick else 300, optimizer=Adam(3e-3), verbose=False)

    n = 8 if quick else 200
    sets = {"training digits": x_train[:n], "test digits": x_test[:n]}
    values = {}
    for name, data in sets.items():
        x = data.astype(vae.dtype)
        encoded, refined = vae.encode(x), refined_posterior(vae, x, rng)
        elbos = [elbo_of(vae, x, q, rng) for q in (encoded, refined)]
        log_px = vae.log_likelihood(x, method="quadrature")
        values[name] = *elbos, log_px
        print(
            f"{name}: ELBO {elbos[0].mean():.2f}, refined {elbos[1].mean():.2f}, log p(x) "
            f"{log_px.mean():.2f} nats; the largest amortisation gap is "
            f"{(elbos[1] - elbos[0]).max():.1f}"
        )
    # The last set's: a digit whose gap is large, and not the very largest.
    gap = values[name][1] - values[name][0]
    index = int(np.argsort(gap)[int(0.9 * len(gap))])
    path = arguments.folder / "example_10_gaps.png"
    draw(vae, x, encoded, refined, values, index, list(sets)).savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
