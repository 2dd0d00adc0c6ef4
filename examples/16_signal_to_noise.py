"""More samples: a better bound, a noisier gradient for the encoder, and two other estimates of it.

bound_S = E[log 1/S sum_s w_s],  w_s = p(x, z_s) / q(z_s|x), rises to log p(x) with S. Here are
three estimates of its gradient with respect to the mean of q, all from the same samples, with
v_s = w_s / sum w and g_s = d log w_s / d z at fixed q:

    standard              sum_s v_s d log p(x, z_s) / d z     signal / noise falls as S^(-1/2)
    sticking the landing  sum_s v_s g_s                       rises most, and has the wrong mean
    doubly reparam.       sum_s v_s^2 g_s                     rises as S^(1/2), and is right

A high signal-to-noise ratio does not say that the signal is right. The model is linear and
Gaussian, z ~ N(0, I), x = z + noise in 20 dimensions, so log p(x) and the gradient for S = 1 are
known.
Sources: Burda et al. 2015; Rainforth et al. 2018; Roeder et al. 2017; Tucker et al. 2019.

    python examples/16_signal_to_noise.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae.drawing import BLUE, ORANGE, TICK_SIZE, add_caption, describe, new_figure
from numpyvae.objectives import iw_bound

D = 20
OFF = 0.01  # A and b of the encoder, mean = A x + b, from the exact I / 2 and 0
VARIANCE = 2 / 3  # of q; the exact posterior's is 1/2
LOG_2PI = np.log(2 * np.pi)
GREEN = "#009E73"
STANDARD, STICKING, DOUBLY = "standard", "sticking the landing", "doubly reparameterised"
STYLES = {STANDARD: ("-", "o", BLUE), STICKING: ("--", "s", ORANGE), DOUBLY: ("-.", "D", GREEN)}


def samples(x, mean, noise, variance=VARIANCE):
    """Log w (n, S), d log p(x, z) / d z and g (n, S, D), at noise (n, S, D)."""
    z = mean + np.sqrt(variance) * noise
    log_joint = -0.5 * (2 * LOG_2PI + (x - z) ** 2 + z**2).sum(axis=-1)
    log_q = -0.5 * (LOG_2PI + np.log(variance) + noise**2).sum(axis=-1)
    dlog_joint = (x - z) - z
    return log_joint - log_q, dlog_joint, dlog_joint + noise / np.sqrt(variance)


def gradients(log_weight, dlog_joint, g):
    """The three estimates of d bound_S / d mean, (n, D) each, and bound_S itself (n,)."""
    bound, v = iw_bound(log_weight)
    v = v[..., None]  # (n, S, 1)
    estimates = {
        STANDARD: (v * dlog_joint).sum(axis=1),
        STICKING: (v * g).sum(axis=1),
        DOUBLY: (v**2 * g).sum(axis=1),
    }
    return estimates, bound


def measure(x, mean, n_samples, n, rng):
    """From n draws of each estimate: mean and standard deviation, (D,) each; the mean bound_S."""
    sums, bound, done = {name: np.zeros((2, D)) for name in STYLES}, 0.0, 0
    while done < n:
        size = min(n - done, max(1, 20_000 // n_samples))  # so that memory stays small
        parts = samples(x, mean, rng.standard_normal((size, n_samples, D)))
        estimates, bounds = gradients(*parts)
        for name, values in estimates.items():
            sums[name] += values.sum(axis=0), (values**2).sum(axis=0)
        bound, done = bound + bounds.sum(), done + size
    moments = {name: (first / n, second / n) for name, (first, second) in sums.items()}
    return {name: (m, np.sqrt(q - m**2)) for name, (m, q) in moments.items()}, bound / n


def log_px(x):
    """The exact log N(x; 0, 2 I)."""
    return -0.5 * (LOG_2PI + np.log(2) + x**2 / 2).sum()


def draw(counts, rows, n, best):
    """Signal to noise, the mean of the estimates, and the bound, all against S."""
    figure, axes = new_figure(17.0, 5.6, 1, 3)
    for name, (line, marker, colour) in STYLES.items():
        how = {"color": colour, "marker": marker, "ls": line, "lw": 2, "ms": 7, "label": name}
        ratio = [np.mean(np.abs(m[name][0]) / m[name][1]) for m, _ in rows]
        axes[0, 0].plot(counts, ratio, **how)
        size = [np.linalg.norm(m[name][0]) for m, _ in rows]
        axes[0, 1].plot(counts, size, **how)
    floor = np.sqrt(2 / np.pi / n)  # E|N(0, 1)| / sqrt(n), of an estimate whose mean is 0
    axes[0, 0].plot(counts, floor, ":", color="0.4", lw=1.5, label="what noise alone would give")
    axes[0, 2].plot(counts, [bound for _, bound in rows], "-o", color=BLUE, lw=2, ms=7)
    axes[0, 2].axhline(best, color="black", ls="--", lw=1.5, label="log p(x)")
    for ax, title, label in zip(
        axes.flat,
        (
            "Signal to noise: the highest is not the best",
            "The signal: one of them stays wrong",
            "The bound",
        ),
        (
            "|mean| / standard deviation, mean over entries",
            "length of the mean gradient (nats)",
            "bound$_S$ (nats)",
        ),
        strict=True,
    ):
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.grid(color="0.92")
        ax.legend(fontsize=TICK_SIZE, frameon=False)
        describe(ax, title, "importance samples S", label)
    for ax in axes[0, :2]:
        ax.set_yscale("log")
    add_caption(
        figure,
        f"gradient of the encoder's mean, 20 dimensions; from {n[0]:,} draws at S = 1 "
        f"down to {n[-1]:,} at S = {counts[-1]}",
    )
    return figure


def main():
    parser = argparse.ArgumentParser(description="Signal to noise of importance weighting.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer draws")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = np.sqrt(2) * rng.standard_normal(D)
    A = 0.5 * np.eye(D) + OFF * rng.standard_normal((D, D))
    mean = A @ x + OFF * rng.standard_normal(D)

    counts = np.array([1, 4, 16, 64, 256])
    n = (20_000 if arguments.quick else 2_000_000) // (10 * np.sqrt(counts)).astype(int)
    rows = [measure(x, mean, s, m, rng) for s, m in zip(counts, n, strict=True)]
    print(
        f"log p(x) {log_px(x):.3f} nats; for S = 1 the gradient has length "
        f"{np.linalg.norm(x - 2 * mean):.4f}"
    )
    for s, (moments, bound) in zip(counts, rows, strict=True):
        text = "; ".join(
            f"{name} {np.mean(np.abs(m) / sd):.3f}, {np.linalg.norm(m):.4f}"
            for name, (m, sd) in moments.items()
        )
        print(f"S = {s:3}: bound {bound:.3f}; signal / noise, length of the mean: {text}")
    exact = samples(x, x / 2, rng.standard_normal((1, 8, D)), variance=0.5)
    largest = {name: np.abs(values).max() for name, values in gradients(*exact)[0].items()}
    print(
        "where q is the exact posterior, largest entry for one draw: "
        + ", ".join(f"{name} {value:.1e}" for name, value in largest.items())
    )

    path = arguments.folder / "example_16_signal_to_noise.png"
    draw(counts, rows, n, log_px(x)).savefig(path, dpi=150)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
