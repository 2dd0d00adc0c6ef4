"""beta is the price of a nat: rate against distortion, warm-up, free bits, collapse, MIG.

1. Rate (the KL) against distortion (-log p(x|z)) on the digits, for a range of beta. For a linear
   decoder the optimum is known exactly: reverse water-filling.
2. The KL of each latent dimension: with beta = 1, with a warm-up, with free bits, and with a beta
   at which every dimension costs more than it is worth.
3. Shapes drawn by NumPy, with known factors: the information of each latent dimension about each
   factor, and the mutual information gap (MIG, Chen et al. 2018). A larger beta drops some factors,
   and separates the rest. Two seeds each, since the seed matters as much as the method.

    python examples/12_price_of_information.py [folder] [--quick]
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Bernoulli, Gaussian, Warmup
from numpyvae.collapse import dimensions, explain
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, TICK_SIZE, describe, new_figure
from numpyvae.gaussian import (
    kl_per_dimension,
    kl_per_dimension_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.objectives import (
    free_bits,
    free_bits_backward,
    reconstruction_loss,
    reconstruction_loss_backward,
)

L, VARIANCE = 8, 0.02  # latent dimensions, and the variance of p(x|z) on the digits
FACTORS = {"shape": 2, "scale": 3, "angle": 4, "x": 8, "y": 8}  # values of each


class FreeBitsVAE(VAE):
    """The VAE, with the first `least` nats of each dimension's KL free: a loss, not a bound."""

    def forward(self, params, x, noise):
        heads, encoder_cache = self.encoder.forward(params, x)
        mean, log_var = mean_and_log_var(heads)
        z, sample_cache = reparameterize(mean, log_var, noise)
        output, decoder_cache = self.decoder.forward(params, z)
        log_px, likelihood_cache = self.likelihood.log_prob(params, x, output)
        kl, kl_cache = kl_per_dimension(mean, log_var)  # (N, L)
        distortion, distortion_cache = reconstruction_loss(log_px)
        paid, paid_cache = free_bits(kl, self.least)
        loss = distortion + self.beta * paid
        cache = encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache
        terms = {"log_px": log_px, "kl": kl.sum(axis=1)}  # the KL itself: a bound again
        return loss, terms, (*cache, distortion_cache, paid_cache)

    def backward(self, params, grads, cache):
        encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, *caches = cache
        distortion_cache, paid_cache = caches
        (dkl,) = free_bits_backward(self.beta, paid_cache)  # (N, L): 0 where it is free
        (dlog_px,) = reconstruction_loss_backward(1.0, distortion_cache)
        dmean_kl, dlog_var_kl = kl_per_dimension_backward(dkl, kl_cache)
        doutput = self.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
        dz = self.decoder.backward(params, grads, doutput, decoder_cache)
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)
        dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)

    def __init__(self, data_dim, latent_dim, least=0.5, **others):
        super().__init__(data_dim, latent_dim, **others)
        self.least = least


def water_filling(s, data_dim, beta, variance, latent_dim):
    """Rate and distortion of the optimal linear VAE, in nats; s: eigenvalues of the covariance.

    A dimension is used if s > beta variance, at 1/2 log(s / (beta variance)) nats, and leaves an
    error of beta variance; one that is not used leaves s.
    """
    level = beta * variance
    used = (s > level) & (np.arange(len(s)) < latent_dim)  # s is sorted, largest first
    rate = 0.5 * np.log(s[used] / level).sum()
    error = np.where(used, level, s).sum()
    return rate, 0.5 * (data_dim * np.log(2 * np.pi * variance) + error / variance)


def rate_and_distortion(vae, x):
    """The two terms of the bound, without beta: means over x, ten draws of z each."""
    rng = np.random.default_rng(0)
    draws = [vae.elbo_terms(vae.theta, x, vae.draw_noise(rng, len(x))) for _ in range(10)]
    log_px, kl = np.mean(draws, axis=(0, 2))
    return kl, -log_px


def draw_shapes():
    """Images (1536, 256) of 16 x 16 pixels, 0 or 1, and the factors of each (1536, 5)."""
    at = (np.arange(64) + 0.5) / 4  # four by four points in each pixel
    factors = np.array(list(itertools.product(*map(range, FACTORS.values()))))
    images = []
    for shape, scale, angle, i, j in factors:
        size, turn = 2.0 + 0.75 * scale, np.pi / 8 * angle
        x, y = at - (4.5 + i), at[:, None] - (4.5 + j)
        u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        square = np.maximum(abs(u), abs(v)) < 0.85 * size
        inside = square if shape == 0 else (u / size) ** 2 + (v / (0.5 * size)) ** 2 < 1
        images.append(inside.reshape(16, 4, 16, 4).mean(axis=(1, 3)).ravel() >= 0.5)
    return np.array(images, dtype=float), factors


def information(codes, factors, n_bins=20):
    """I(z_l; v_j) / H(v_j) of codes (N, L) and factors (N, J), by a histogram of each z_l: (L, J).

    The images are the full grid of factors, so all values are equally likely.
    """
    shares = np.empty((codes.shape[1], factors.shape[1]))
    for i, z in enumerate(codes.T):
        edges = np.linspace(z.min(), z.max() + 1e-12, n_bins + 1)[1:-1]
        bins = np.digitize(z, edges)
        for j, v in enumerate(factors.T):
            joint = np.zeros((n_bins, v.max() + 1))
            np.add.at(joint, (bins, v), 1 / len(v))
            outer = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
            some = joint > 0
            known = (joint[some] * np.log(joint[some] / outer[some])).sum()
            shares[i, j] = known / np.log(v.max() + 1)
    return shares


def gap(shares):
    """MIG of each factor: the lead of the best latent dimension over the second, (J,)."""
    first, second = np.sort(shares, axis=0)[::-1][:2]
    return first - second


def draw_rate_distortion(points, curve):
    """Trained VAEs, and the exact curve of the linear one."""
    figure, axes = new_figure(8.5, 5.8)
    ax = axes[0, 0]
    ax.plot(*np.array(curve).T, color="0.45", lw=2, label=f"linear decoder, L = {L}: exact")
    rates, distortions = np.array(list(points.values())).T
    ax.plot(rates, distortions, "o-", color=BLUE, ms=7, lw=1.2, label="VAE 64-128-8, trained")
    for (beta, _), rate, distortion in zip(points.items(), rates, distortions, strict=True):
        ax.annotate(
            rf"$\beta$ = {beta:g}",
            (rate, distortion),
            (-8, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=TICK_SIZE,
        )
    describe(
        ax,
        "The price of a nat decides how many are used",
        "rate: KL (nats)",
        "distortion: $-$log p(x|z) (nats)",
    )
    ax.margins(x=0.12, y=0.1)
    ax.legend(fontsize=LABEL_SIZE, frameon=False)
    return figure


def draw_dimensions(found):
    """Bars of KL for each latent dimension, sorted, a panel for each way of training."""
    figure, axes = new_figure(3.1 * len(found), 3.8, 1, len(found), share=True)
    for ax, (name, dims) in zip(axes[0], found.items(), strict=True):
        kl = np.sort([d.kl for d in dims])[::-1]
        ax.bar(np.arange(1, len(kl) + 1), kl, color=[BLUE if k >= 0.01 else ORANGE for k in kl])
        n = sum(k < 0.01 for k in kl)
        describe(ax, name, "dimension, sorted", "")
        ax.text(
            0.97,
            0.95,
            f"sum {kl.sum():.1f} nats" + (f"\n{n} collapsed" if n else ""),
            transform=ax.transAxes,
            ha="right",
            va="top",
            fontsize=TICK_SIZE,
        )
    axes[0, 0].set_ylabel("KL (nats)", fontsize=LABEL_SIZE)
    return figure


def draw_information(results):
    """The information of each latent dimension about each factor, at a small and a large beta."""
    figure, axes = new_figure(5.4 * len(results), 4.8, 1, len(results))
    for ax, (name, shares, x_and_y) in zip(axes[0], results, strict=True):
        image = ax.imshow(shares, cmap="viridis", vmin=0, vmax=1, aspect="auto")
        for (i, j), share in np.ndenumerate(shares):
            colour = "white" if share < 0.6 else "black"
            ax.text(j, i, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=10)
        ax.set_xticks(range(len(FACTORS)), list(FACTORS), fontsize=TICK_SIZE)
        ax.set_yticks(range(len(shares)), range(1, len(shares) + 1), fontsize=TICK_SIZE)
        describe(ax, f"{name}: MIG of x and y {x_and_y:.2f}", "factor", "dimension, by KL")
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("share of the factor", fontsize=LABEL_SIZE)
    return figure


def main():
    parser = argparse.ArgumentParser(description="beta is the price of a nat.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs, one seed, fewer betas")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    quick = arguments.quick
    epochs = 20 if quick else 150

    x = load_digits()[0] / 16
    likelihood, network = Gaussian(VARIANCE), {"hidden_dims": (128,)}
    s = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    print("rate and distortion on the digits, in nats, and those of the optimal linear decoder:")
    points = {}
    for beta in (1, 64) if quick else (0.25, 1, 2, 4, 8, 16, 64):
        vae = VAE(64, L, likelihood=likelihood, beta=beta, **network)
        vae.fit(x, epochs, 64, Adam(2e-3), verbose=False)
        points[beta] = rate_and_distortion(vae, x)
        exact = water_filling(s, 64, beta, VARIANCE, L)
        print(
            "beta {:5g}: {:6.2f} {:8.2f}   linear {:6.2f} {:8.2f}".format(
                beta, *points[beta], *exact
            )
        )
    curve = [water_filling(s, 64, b, VARIANCE, L) for b in np.geomspace(0.2, s[0] / VARIANCE, 200)]

    print("\nthe latent dimensions of the VAE with beta = 64:")
    print(explain(vae, dimensions(vae, x)))
    found = {}
    for name, kind, more, callbacks in (
        (r"$\beta$ = 4", VAE, {}, ()),
        (r"$\beta$ = 4, warm-up", VAE, {}, (Warmup(epochs / 2),)),
        (r"$\beta$ = 4, 0.5 nats free", FreeBitsVAE, {"least": 0.5}, ()),
        (r"$\beta$ = 64", VAE, {"beta": 64}, ()),
    ):
        vae = kind(64, 20, likelihood=likelihood, **{"beta": 4, **network, **more})
        vae.fit(x, epochs, 64, Adam(2e-3), callbacks=callbacks, verbose=False)
        found[name] = dimensions(vae, x)

    images, factors = draw_shapes()
    print(f"\nshapes: {len(images)} images, {len(np.unique(images, axis=0))} of them different")
    print(f"MIG of the factors themselves: {gap(information(factors, factors)).mean():.3f}")
    x_y = factors[:, 3:]
    turned = x_y @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    print(f"MIG of x and y, turned by 45 degrees: {gap(information(turned, x_y)).mean():.3f}")
    results = []
    for beta, seed in itertools.product((1, 4), (0,) if quick else (0, 1)):
        vae = VAE(256, 6, (200, 200), likelihood=Bernoulli(), beta=beta, seed=seed)
        vae.fit(images, 1 if quick else 100, 64, Adam(2e-3), verbose=False)
        rate, distortion = rate_and_distortion(vae, images)
        shares = information(vae.encode(images)[0], factors)
        gaps, kls = gap(shares), [d.kl for d in dimensions(vae, images)]
        x_and_y = gaps[3:].mean()
        used = sum(kl >= 0.01 for kl in kls)
        print(f"beta {beta}, seed {seed}: rate {rate:.2f}, distortion {distortion:.2f}", end=", ")
        print(f"{used} dimensions used, MIG of x and y {x_and_y:.2f}, of all {gaps.mean():.2f}")
        if seed == 0:
            results.append((rf"$\beta$ = {beta}", shares[np.argsort(kls)[::-1]], x_and_y))

    for name, figure in (
        ("example_12_rate_distortion.png", draw_rate_distortion(points, curve)),
        ("example_12_dimensions.png", draw_dimensions(found)),
        ("example_12_factors.png", draw_information(results)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
