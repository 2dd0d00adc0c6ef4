"""From the autoencoder to the VAE in three steps, and the two pulls that shape a latent space.

1. Fixed noise on the code: the codes spread until the noise no longer matters.
2. Noise of learned width, without a KL (beta = 0): the width shrinks to zero.
3. Noise of learned width with the KL (beta = 1): the VAE, in which the KL prevents both.

Then one loop over beta: reconstruction alone, the VAE, and the KL alone.

    python examples/03_from_autoencoder_to_vae.py [folder] [--quick]
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgba_array

from numpyvae import VAE, Adam, Autoencoder, Binomial, NoisyAutoencoder
from numpyvae.data import load_digits
from numpyvae.drawing import (
    BLUE,
    LABEL_SIZE,
    ORANGE,
    add_caption,
    describe,
    new_figure,
)
from numpyvae.posterior_drawing import CLASS_COLOURS

SETTINGS = {"data_dim": 64, "latent_dim": 2, "hidden_dims": (128,), "likelihood": Binomial(16)}
FIXED = 1.0  # standard deviation of the noise in step 1


def posterior(model, x):
    """Mean and standard deviation of the code of each x, (N, 2) and (N, 2)."""
    if isinstance(model, VAE):
        mean, log_var = model.encode(x)
        return mean, np.exp(0.5 * log_var)
    mean = model.encode(x)
    return mean, np.full_like(mean, getattr(model, "code_noise", 0.0))


def train(model, x, epochs):
    """Fit; return the mean width of the noise and the spread of the codes, epoch by epoch."""
    trace = []  # before the first epoch, then after each

    def record(model, _):
        mean, sd = posterior(model, x)
        trace.append((sd.mean(), mean.std(axis=0).mean()))

    record(model, None)
    model.fit(x, epochs, optimizer=Adam(3e-3), callbacks=[record], verbose=False)
    return np.array(trace)  # (E + 1, 2)


def draw_codes(ax, mean, sd, labels, limits):
    """Codes as dots, one standard deviation as ellipses, and the prior's circles at 1 and 2."""
    colours = np.take(CLASS_COLOURS, labels)
    crowding = np.pi * sd.prod(axis=1).sum() / np.prod(np.diff(limits, axis=0))
    ellipses = EllipseCollection(
        2 * sd[:, 0],
        2 * sd[:, 1],
        np.zeros(len(sd)),
        units="xy",
        offsets=mean,
        offset_transform=ax.transData,
        lw=0.5,
        facecolors=to_rgba_array(colours, 0.3 / max(1.0, crowding)),
        edgecolors=to_rgba_array(colours, 0.6 / max(1.0, crowding)),
    )
    ax.add_collection(ellipses)
    ax.scatter(*mean.T, s=7, c=colours, lw=0, zorder=2)
    angle = np.linspace(0, 2 * np.pi, 200)
    for radius in (1, 2):
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.25", lw=1.2)
    ax.set(xlim=limits[:, 0], ylim=limits[:, 1], aspect="equal")


def add_classes(figure, ax):
    """The legend of all panels."""
    for k, colour in enumerate(CLASS_COLOURS):
        ax.scatter([], [], s=60, color=colour, label=str(k))
    figure.legend(
        *ax.get_legend_handles_labels(),
        title="digit",
        loc="outside right center",
        fontsize=LABEL_SIZE,
        title_fontsize=LABEL_SIZE,
        frameon=False,
    )


def limits_of(codes):
    """The corners (2, 2) of a square with all codes and the prior's circles in it."""
    low = np.min([np.minimum((mean - sd).min(axis=0), -2.1) for mean, sd in codes], axis=0)
    high = np.max([np.maximum((mean + sd).max(axis=0), 2.1) for mean, sd in codes], axis=0)
    middle, half = (low + high) / 2, 0.53 * (high - low).max()
    return np.array([middle - half, middle + half])


def draw_road(models, x, labels):
    """The codes of each step."""
    figure, axes = new_figure(17.0, 5.2, 1, len(models))
    for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
        mean, sd = posterior(model, x)
        draw_codes(ax, mean, sd, labels, limits_of([(mean, sd)]))
        describe(ax, name[0].upper() + name[1:], "z[0]", "z[1]")
    add_classes(figure, axes[0, 0])
    add_caption(
        figure,
        "dots: codes; ellipses: 1 standard deviation of their noise; dashed circles, of radius 1 "
        "and 2 everywhere: the prior N(0, I). Mind the scales.",
    )
    return figure


def draw_widths(traces):
    """Width of the noise and spread of the codes over the epochs."""
    figure, axes = new_figure(12.6, 5.0, 1, 2)
    styles = dict(zip(traces, ((":", "0.35"), ("--", ORANGE), ("-", BLUE)), strict=True))
    titles = "Width of the noise on the code", "Spread of the codes"
    for i, (ax, title) in enumerate(zip(axes.flat, titles, strict=True)):
        for name, (line, colour) in styles.items():
            values = traces[name][:, i]
            ax.plot(values, line, color=colour, lw=2.5, label=name)
        ax.grid(color="0.9")
        ax.set_xscale("symlog", linthresh=1)  # logarithmic, with room for the start, 0
        ax.set_yscale("log")
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
        describe(
            ax,
            title,
            "epoch",
            "standard deviation, mean over data" if i == 0 else "standard deviation over the data",
        )
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=LABEL_SIZE, frameon=False)
    return figure


def draw_betas(models, x, labels):
    """The latent spaces for the three values of beta, on the same axes."""
    figure, axes = new_figure(17.0, 6.3, 1, 3)
    codes = {name: posterior(model, x) for name, model in models.items()}
    limits = limits_of(list(codes.values()))
    for ax, (name, (mean, sd)) in zip(axes.flat, codes.items(), strict=True):
        draw_codes(ax, mean, sd, labels, limits)
        describe(ax, name, "z[0]", "z[1]")
    add_classes(figure, axes[0, 0])
    add_caption(
        figure,
        "dots: posterior means; ellipses: 1 standard deviation of q(z|x); dashed: 1 and 2 of the "
        "prior N(0, I)",
    )
    return figure


def main():
    parser = argparse.ArgumentParser(description="From the autoencoder to the VAE in three steps.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs of training")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    epochs = 8 if arguments.quick else 200
    x, labels, x_test, _ = load_digits()

    fixed, free, kl = "fixed noise", "learned noise, no KL", "learned noise and KL: VAE"
    models = {
        "autoencoder": Autoencoder(**SETTINGS),
        fixed: NoisyAutoencoder(code_noise=FIXED, **SETTINGS),
        free: VAE(beta=0, **SETTINGS),
        kl: VAE(beta=1, **SETTINGS),
    }
    traces = {name: train(model, x, epochs) for name, model in models.items()}
    print("                           width of noise   spread of codes   test reconstruction")
    for name, model in models.items():
        width, spread = traces[name][-1]
        error = np.sqrt(np.mean((model.reconstruct(x_test) - x_test) ** 2))
        print(f"{name:26} {width:14.4f} {spread:17.2f} {error:15.2f} (rms, of 16)")
    shown = sorted({0, 1, 2, 5, 10, 20, 50, 100, 200, epochs})
    widths = [f"{traces[free][e, 0]:.4f} ({e})" for e in shown if e <= epochs]
    print("mean posterior standard deviation with beta = 0 (at epoch):", ", ".join(widths))

    betas = {}
    print("beta   mean of q(z|x), spread   width of q(z|x)   KL (nats)")
    for beta, name in (
        (0, r"$\beta=0$: reconstruction only"),
        (1, r"$\beta=1$: the VAE"),
        (math.inf, r"$\beta=\infty$: KL only, $q(z|x)$ is the prior"),
    ):
        betas[name] = VAE(beta=beta, **SETTINGS)
        width, spread = train(betas[name], x, min(epochs, 60))[-1]
        _, divergence = betas[name].elbo_terms(betas[name].theta, x, np.zeros((len(x), 2)))
        print(f"{beta:4} {spread:20.4f} {width:19.4f} {divergence.mean():15.4f}")

    for name, figure in (
        ("example_03_road.png", draw_road(models, x, labels)),
        ("example_03_widths.png", draw_widths({name: traces[name] for name in (fixed, free, kl)})),
        ("example_03_betas.png", draw_betas(betas, x, labels)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
