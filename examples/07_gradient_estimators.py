"""Two estimators of the gradient of E_q[f(z)]: same mean, very different variance.

Pathwise:        z = mean + sigma noise,  d f(z) / d mean = f'(z).      Needs f' and continuous z.
Score function:  (f(z) - b) d log q(z) / d mean, for any baseline b.    Needs only the value of f.

1. One Gaussian: both variances in closed form. That of the score function grows with L, the
   pathwise one does not.
2. Codes of bits, where there is no pathwise gradient: means and variances of five baselines, by
   enumeration. A baseline that includes its own sample gives a gradient wrong by the factor
   1 - 1/S.
3. One entry of the gradient of a VAE trained on the digits, 10,000 times.

Sources: Mohamed et al. 2020, "Monte Carlo gradient estimation in machine learning"; Kool et al.
2019 (leave-one-out).

    python examples/07_gradient_estimators.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits
from numpyvae.drawing import (
    BLUE,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    add_caption,
    describe,
    new_figure,
    number_text,
)
from numpyvae.gaussian import kl_to_standard_normal, kl_to_standard_normal_backward

GREEN, PURPLE, YELLOW = "#009E73", "#CC79A7", "#E69F00"
DECAY = 0.9  # of the running mean
S = 8  # samples for one gradient of the digits

# 1. f(z) = sum_l (z_l - k)^2 and z ~ N(mean, s^2 I): d = mean - k, derivatives by mean[0].


def gaussian_variances(d, s, L):
    """The exact variances of one sample of d E[f] / d mean[0], whose value is 2 d.

    For the score function, all of f except f(z[0]) is noise, with mean m and variance v.
    """
    m, v = (L - 1) * (d**2 + s**2), (L - 1) * (4 * d**2 * s**2 + 2 * s**4)
    alone = d**4 / s**2 + 14 * d**2 + 15 * s**2  # L = 1, no baseline
    return {
        "pathwise": 4 * s**2,
        "score, no baseline": alone + (2 * (d**2 + 3 * s**2) * m + m**2 + v) / s**2,
        "score, baseline E f": 8 * d**2 + 10 * s**2 + v / s**2,
        "score, optimal baseline": 8 * d**2 + 6 * s**2 + v / s**2,
    }


def gaussian_estimates(d, s, noise):
    """The same estimates at noise (n, L), each (n,)."""
    z_minus_k = d + s * noise
    f, score = (z_minus_k**2).sum(axis=1), noise[:, 0] / s
    m = (noise.shape[1] - 1) * (d**2 + s**2)
    return {
        "pathwise": 2 * z_minus_k[:, 0],
        "score, no baseline": f * score,
        "score, baseline E f": (f - m - d**2 - s**2) * score,
        "score, optimal baseline": (f - m - d**2 - 3 * s**2) * score,  # E[f score^2] / E[score^2]
    }


# 2. z in {0, 1}^L, z_l ~ Bernoulli(sigmoid(a_l)): all codes can be enumerated.


def enumerate_codes(a):
    """All codes (2^L, L), their probabilities (2^L,), and the scores d log q / d a = z - p."""
    z = (np.arange(2 ** len(a))[:, None] >> np.arange(len(a))) & 1
    p = 1 / (1 + np.exp(-a))
    return z, np.prod(np.where(z == 1, p, 1 - p), axis=1), z - p


def exact_moments(q, f, score, n_samples):
    """Mean (L,) and variance (L,) of the gradient estimate from `n_samples` codes, by baseline.

    q (C,) probabilities, f (C,) values, score (C, L), for any finite set of codes.
    """
    gradient = q @ (f[:, None] * score)  # E[f score], the mean that all estimates should have

    def constant(b):  # any b that does not depend on these samples, (L,) or a number
        return (q @ (((f[:, None] - b) * score) ** 2) - gradient**2) / n_samples

    mean_f, size = q @ f, q @ score**2
    running = (q @ (f - mean_f) ** 2) / n_samples * (1 - DECAY) / (1 + DECAY)  # its own variance
    moments = {
        "none": (gradient, constant(0.0)),
        "running mean": (gradient, constant(mean_f) + running * size / n_samples),
        "optimal constant": (gradient, constant(q @ (f[:, None] * score**2) / size)),
    }
    if n_samples > 1:
        # Leave-one-out is the sample covariance of f and score, and so a mean over pairs of samples
        # of h(a, b) = (f_a - f_b) (score_a - score_b) / 2, whose variance Hoeffding 1948 gives.
        h = 0.5 * (f[:, None] - f)[..., None] * (score[:, None] - score)  # (C, C, L)
        one = q @ (np.einsum("b,abl->al", q, h) ** 2) - gradient**2
        two = np.einsum("a,b,abl->l", q, q, h**2) - gradient**2
        variance = (4 * (n_samples - 2) * one + 2 * two) / (n_samples * (n_samples - 1))
        moments["leave one out"] = gradient, variance
        # With the own sample in the mean, this covariance is divided by S instead of S - 1.
        short = 1 - 1 / n_samples
        moments["own sample included"] = short * gradient, short**2 * variance
    return moments


def small_problem(L=6, D=8):
    """A linear decoder of bits: q, f = log N(x; W z, I) and the scores of all codes."""
    rng = np.random.default_rng(0)
    z, q, score = enumerate_codes(rng.standard_normal(L))
    x, W = rng.standard_normal(D), rng.standard_normal((L, D))
    f = -0.5 * (D * np.log(2 * np.pi) + ((x - z @ W) ** 2).sum(axis=1))
    return q, f, score


# 3. d loss / d encoder.1.b[0] of a trained VAE at one image: the entry of mean[0].


def digit_entries(vae, x, noise):
    """At one image x (D,) and noise (n, L), in float64: f = log p(x|z), and the parts of the entry.

    Returns f (n,), its pathwise derivative (n,) and the score (n,) with respect to mean[0], and the
    exact derivative of the KL. loss = KL - E f.
    """
    params = vae.layout.views(vae.theta.astype(np.float64))
    mean, log_var = vae.posterior(params, x[None].astype(np.float64))
    z = mean + np.exp(0.5 * log_var) * noise
    output, decoder_cache = vae.decoder.forward(params, z)
    f, cache = vae.likelihood.log_prob(params, np.broadcast_to(x, (len(z), len(x))), output)
    doutput = vae.likelihood.log_prob_backward(params, {}, np.ones(len(z)), cache)
    dz = vae.decoder.backward_input(params, doutput, decoder_cache)  # d log p(x|z) / d z
    _, kl_cache = kl_to_standard_normal(mean, log_var)
    dmean_kl, _ = kl_to_standard_normal_backward(np.ones(1), kl_cache)
    return f, dz[:, 0], noise[:, 0] * np.exp(-0.5 * log_var[0, 0]), dmean_kl[0, 0]


def digit_exact(vae, x, n=501, reach=7.0):
    """The entry's exact value, integrated over the plane of the noise, by path and by score."""
    line = np.linspace(-reach, reach, n)
    noise = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    weight = np.exp(-0.5 * (noise**2).sum(axis=1))
    f, path, score, kl = digit_entries(vae, x, noise)
    mean_f = weight @ f / weight.sum()
    return [kl - weight @ part / weight.sum() for part in (path, (f - mean_f) * score)]


def digit_estimates(vae, x, n, rng):
    """n estimates of the entry, each from S samples, by each estimator."""
    f, path, score, kl = digit_entries(vae, x, rng.standard_normal((n * S, 2)))
    f, path, score = (a.reshape(n, S) for a in (f, path, score))
    before = np.cumsum(f.mean(axis=1)) / np.arange(1, n + 1)
    others = (f.sum(axis=1, keepdims=True) - f) / (S - 1)
    return {
        "pathwise": kl - path.mean(axis=1),
        "score, leave one out": kl - ((f - others) * score).mean(axis=1),
        "score, running mean": kl - ((f[1:] - before[:-1, None]) * score[1:]).mean(axis=1),
        "score, no baseline": kl - (f * score).mean(axis=1),
    }


# Figures.


def draw_digits(estimates, exact):
    """A histogram of each estimator, all on the same axis."""
    figure, axes = new_figure(10.0, 8.0, len(estimates), 1)
    reach = 4 * estimates["score, leave one out"].std()
    bins = np.linspace(exact - reach, exact + reach, 121)
    colours = BLUE, GREEN, YELLOW, ORANGE
    for ax, (name, values), colour in zip(axes.flat, estimates.items(), colours, strict=True):
        inside = values[np.abs(values - exact) < reach]
        ax.hist(inside, bins, color=colour)
        ax.axvline(exact, color="black", lw=1.5, ls="--")
        ax.set(xlim=bins[[0, -1]], yticks=[])
        ax.tick_params(labelbottom=ax is axes[-1, 0])
        ax.spines["left"].set_visible(False)
        text = f"{name}: standard deviation {values.std():.3g}"
        if len(inside) < 0.9 * len(values):
            text += f" (only {100 * len(inside) / len(values):.0f} % of the estimates are here)"
        describe(ax, text)
    axes[-1, 0].set_xlabel("estimate of d loss / d mean[0] (nats)", fontsize=LABEL_SIZE)
    add_caption(
        figure,
        f"{len(estimates['pathwise']):,} estimates, each from {S} samples, for one test "
        f"digit; heights are not to one scale; dashed: the exact value, "
        f"{number_text(exact, '.2f')}",
    )
    return figure


def draw_exact(d, s, problem):
    """Variance against L, variance against S, and the mean of each estimate against S."""
    figure, axes = new_figure(17.0, 5.4, 1, 3)
    L = np.unique(np.geomspace(1, 100, 25).astype(int))
    curves = {
        name: [gaussian_variances(d, s, n)[name] for n in L] for name in gaussian_variances(d, s, 1)
    }
    styles = ("-", BLUE), ("-.", ORANGE), ("--", GREEN), (":", PURPLE)
    for (name, values), (line, colour) in zip(curves.items(), styles, strict=True):
        axes[0, 0].plot(L, np.broadcast_to(values, L.shape), line, color=colour, lw=2.5, label=name)
    describe(axes[0, 0], "Gaussian z, one sample", "latent dimensions L", "variance of one entry")

    q, f, score = problem
    counts = 2 ** np.arange(1, 8)
    moments = [exact_moments(q, f, score, n) for n in counts]
    gradient = moments[0]["none"][0]
    styles = {
        "none": ("-.", "o", ORANGE),
        "running mean": ("--", "s", YELLOW),
        "leave one out": ("-", "D", GREEN),
        "optimal constant": (":", "^", PURPLE),
        "own sample included": ("-", "v", "black"),
    }
    for name, (line, marker, colour) in styles.items():
        how = {"color": colour, "marker": marker, "ls": line, "lw": 2, "ms": 7, "label": name}
        variance = [m[name][1].sum() for m in moments]
        share = [m[name][0] @ gradient / (gradient @ gradient) for m in moments]
        axes[0, 1].plot(counts, variance, **how)
        if name in ("leave one out", "own sample included"):
            axes[0, 2].plot(counts, share, **how)
    describe(axes[0, 1], "Codes of six bits", "samples S", "variance, sum over entries (nats²)")
    describe(
        axes[0, 2],
        "A baseline with its own sample gives $1-1/S$",
        "samples S",
        "mean of the estimate / gradient",
    )
    axes[0, 2].set_ylim(0.4, 1.05)
    for ax in axes.flat:
        ax.set_xscale("log", base=10 if ax is axes[0, 0] else 2)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.grid(color="0.92")
        ax.legend(fontsize=TICK_SIZE, frameon=False)
    for ax in axes[0, :2]:
        ax.set_yscale("log")
    add_caption(figure, "all values exact: closed forms on the left, enumeration of all 64 codes")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Pathwise against score-function gradients.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and fewer draws")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    d, s = 1.0, 0.5
    print(f"variance of one sample of d E[f] / d mean[0], d = {d:g}, s = {s:g}:")
    for L in (1, 10, 100):
        values = gaussian_variances(d, s, L)
        print(f"    L = {L:3}:", ", ".join(f"{name} {v:.4g}" for name, v in values.items()))

    print("codes of six bits, S = 4: share of the gradient, and variance (sum over its entries)")
    problem = small_problem()
    moments = exact_moments(*problem, 4)
    gradient = moments["none"][0]
    for name, (mean, variance) in moments.items():
        share = mean @ gradient / (gradient @ gradient)
        print(f"    {name:20} {share:.4f}  {variance.sum():8.3f}")
    # One fair bit, f = -1 or 1: f times the score is 1/2 for both, and nothing is left to reduce.
    fair = np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([[-0.5], [0.5]])
    fair_moments = exact_moments(*fair, 2)
    print(
        "a baseline does not always help: a fair bit, f = -1 or 1, S = 2: variance "
        f"{fair_moments['none'][1][0]:.2f} without, {fair_moments['leave one out'][1][0]:.2f} "
        "leave one out"
    )

    x_train, _, x_test, _ = load_digits()
    vae = VAE(64, latent_dim=2, hidden_dims=(128,), likelihood=Binomial(16))
    vae.fit(x_train, 8 if arguments.quick else 200, optimizer=Adam(3e-3), verbose=False)
    by_path, by_score = digit_exact(vae, x_test[0], 201 if arguments.quick else 501)
    print(
        f"d loss / d mean[0] of a test digit: by path {by_path:.3f}, by score {by_score:.3f} nats"
    )
    rng = np.random.default_rng(0)
    estimates = digit_estimates(vae, x_test[0], 1000 if arguments.quick else 10_000, rng)
    for name, values in estimates.items():
        error = values.std() / np.sqrt(len(values))
        print(
            f"    {name:22} mean {values.mean():9.3f} +- {error:.3f}, "
            f"standard deviation {values.std():9.3f}"
        )

    for name, figure in (
        ("example_07_exact.png", draw_exact(d, s, problem)),
        ("example_07_digits.png", draw_digits(estimates, by_score)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
