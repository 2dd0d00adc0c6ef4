"""EM and its relatives. A VAE is EM with an amortised E-step and a gradient step as M-step.

EM maximises log p(x) by two steps in turn, each of them exact:
    E: q(z|x) = p(z|x), for each x        M: the parameters that maximise E_q[log p(x, z)]
1. Probabilistic PCA has both steps in closed form. A linear VAE has the same maximum: its encoder
   replaces the E-step, and a step of Adam replaces the M-step.
2. Spike and slab: each component can be on or off. The E-step computes all 2^K settings.
3. A mixture of K VAEs: the choice among them is exact, r_nk = softmax_k(log pi_k + ELBO_k(x_n)),
   and the code in each is amortised. In the gradient, r_nk replaces 1/N.

    python examples/08_em_and_its_relatives.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Binomial, Gaussian
from numpyvae.data import load_digits
from numpyvae.drawing import (
    BLUE,
    ORANGE,
    TICK_SIZE,
    add_caption,
    describe,
    new_figure,
    number_text,
    show_tiles,
)
from numpyvae.exact import ProbabilisticPCA, SpikeAndSlab
from numpyvae.gaussian import (
    kl_to_standard_normal_backward,
    mean_and_log_var_backward,
    reparameterize_backward,
)
from numpyvae.numerics import logsumexp
from numpyvae.parameters import Gradients

L = 5  # latent dimensions of probabilistic PCA
SIDE = 4  # side of the pictures of bars
GREEN = "#009E73"

# 1. Probabilistic PCA, by EM and as a VAE.


def exact_elbo(vae, x):
    """The mean ELBO of a linear VAE without sampling error: log p(x|z) is quadratic in the noise,
    and the 2 L points +-sqrt(L) e_l have the mean and covariance of N(0, I).
    """
    points = np.sqrt(L) * np.concatenate([np.eye(L), -np.eye(L)])
    terms = [vae.elbo_terms(vae.theta, x, np.tile(point, (len(x), 1))) for point in points]
    return np.mean([log_px - kl for log_px, kl in terms])


def linear_vae(x, epochs):
    """A linear VAE, trained by Adam: its exact ELBO before the first epoch and after each one."""
    vae = VAE(x.shape[1], L, hidden_dims=(), likelihood=Gaussian("shared"), dtype=np.float64)
    trace = [exact_elbo(vae, x)]

    def record(vae, _):
        trace.append(exact_elbo(vae, x))

    for rate in (1e-2, 1e-3):
        vae.fit(x, epochs // 2, 64, Adam(rate), callbacks=[record], verbose=False)
    return np.array(trace)


# 2. Spike and slab.


def bars(n, rng, p=0.25, noise=0.3):
    """Pictures (n, SIDE^2) in which each row and each column is lit with probability p, with a
    normally distributed brightness; and the 2 SIDE bars (2 SIDE, SIDE^2).
    """
    eye, ones = np.eye(SIDE), np.ones(SIDE)
    shapes = np.concatenate([np.kron(eye, ones), np.kron(ones, eye)])  # rows, then columns
    code = (rng.random((n, 2 * SIDE)) < p) * rng.standard_normal((n, 2 * SIDE))
    return code @ shapes + noise * rng.standard_normal((n, SIDE**2)), shapes


def best_of(starts, x, iterations):
    """The best of several fits from different starts, and the traces of all, (starts, I + 1)."""
    models = [SpikeAndSlab(2 * SIDE) for _ in range(starts)]
    traces = [m.fit_em(x, iterations, np.random.default_rng(i)) for i, m in enumerate(models)]
    return models[int(np.argmax([trace[-1] for trace in traces]))], np.array(traces)


def match(weights, shapes):
    """Each bar's nearest column of the weights (D, K), with its sign, and their |cosine|."""
    axes = weights / np.linalg.norm(weights, axis=0)
    cosine = shapes @ axes / np.linalg.norm(shapes, axis=1, keepdims=True)  # (bars, K)
    nearest = np.abs(cosine).argmax(axis=1)
    found = cosine[np.arange(len(shapes)), nearest]
    return axes.T[nearest] * np.sign(found)[:, None], np.abs(found)


# 3. A mixture of VAEs.


class Mixture:
    """p(x) = sum_k pi_k p_k(x), each p_k a VAE. U_n = logsumexp_k(log pi_k + ELBO_k(x_n))."""

    def __init__(self, experts, learning_rate=3e-3):
        self.experts = experts
        self.log_pi = np.full(len(experts), -np.log(len(experts)))
        self.optimizers = [Adam(learning_rate) for _ in experts]

    def forward(self, x, noises, temperature=1.0):
        """U (N,), the responsibilities (N, K), and every expert's cache."""
        passes = [e.forward(e.params, x, z) for e, z in zip(self.experts, noises, strict=True)]
        elbos = np.stack([terms["log_px"] - terms["kl"] for _, terms, _ in passes], axis=1)
        log_joint = (self.log_pi + elbos) / temperature  # (N, K)
        bound = logsumexp(log_joint, axis=1)
        return bound, np.exp(log_joint - bound[:, None]), [cache for _, _, cache in passes]

    def step(self, x, noises, temperature=1.0):
        """E-step for x (N, D), then one gradient step of each expert. Returns r (N, K)."""
        _, r, caches = self.forward(x, noises, temperature)
        for k, (expert, optimizer) in enumerate(zip(self.experts, self.optimizers, strict=True)):
            optimizer.step(expert.theta, gradient(expert, r[:, k] / len(x), caches[k]))
        return r

    def fit(self, x, epochs, batch_size, rng):
        """Minibatches; after each epoch pi_k = mean_n r_nk.

        The temperature falls from 100 to 1 in the first third. With a temperature of 1 throughout,
        the few experts that begin best take all examples, and the others never learn: six of ten
        had none.
        """
        for epoch in range(epochs):
            temperature = 100 ** max(0.0, 1 - 3 * epoch / epochs)
            share = np.zeros(len(self.experts))
            for rows in np.array_split(rng.permutation(len(x)), -(-len(x) // batch_size)):
                share += self.step(x[rows], self.draw(rng, len(rows)), temperature).sum(axis=0)
            self.log_pi = np.log(np.maximum(share / len(x), 1e-12))

    def draw(self, rng, n):
        return [expert.draw_noise(rng, n) for expert in self.experts]

    def responsibilities(self, x):
        """r at the means of the codes, (N, K)."""
        return self.forward(x, [np.zeros((len(x), e.latent_dim)) for e in self.experts])[1]

    def bound(self, x, rng, n_samples):
        """The bound on log p(x), with each expert's ELBO averaged over `n_samples`: (N,) nats."""
        elbos = np.stack([e.elbo(x, n_samples, rng) for e in self.experts], axis=1)
        return logsumexp(self.log_pi + elbos, axis=1)


def gradient(vae, weights, cache):
    """The gradient of sum_n weights_n (KL_n - log p(x_n|z_n)): `VAE.backward` with weights."""
    encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, _ = cache
    params, grad = vae.params, np.empty_like(vae.theta)
    grads, weights = Gradients(vae.layout, grad), weights.astype(vae.dtype)
    dmean_kl, dlog_var_kl = kl_to_standard_normal_backward(weights, kl_cache)
    doutput = vae.likelihood.log_prob_backward(params, grads, -weights, likelihood_cache)
    dz = vae.decoder.backward(params, grads, doutput, decoder_cache)
    dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)
    dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
    vae.encoder.backward_params(params, grads, dheads, encoder_cache)
    grads.zero_untouched()
    return grad


# Figures.


def draw_em(em, vae, best):
    """The distance to the maximum of log p(x), for EM and for the VAE."""
    figure, axes = new_figure(8.4, 5.6)
    ax = axes[0, 0]
    ax.plot(best - em[:-1], color=BLUE, lw=2.5, label="EM: log p(x)")
    ax.plot(best - vae, "--", color=ORANGE, lw=2.5, label="linear VAE, Adam: ELBO")
    ax.set(yscale="log", xscale="symlog")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(left=0)
    ax.grid(color="0.92")
    ax.legend(fontsize=TICK_SIZE, frameon=False, loc="lower left")
    describe(
        ax,
        f"Probabilistic PCA of the digits, {L} components",
        "passes over the data",
        "below the maximum of log p(x) (nats)",
    )
    add_caption(
        figure, f"the maximum, in closed form: {number_text(best, '.3f')} nats for an image"
    )
    return figure


def draw_bars(shapes, rows, traces, truth):
    """The bars, the components found for them, and log p(x) from every start."""
    figure, axes = new_figure(15.0, 4.6, 1, 2)
    ax, cell = axes[0, 0], SIDE + 1.0
    pictures = {"truth": (shapes / np.sqrt(SIDE), None), **rows}
    for i, (_, (images, cosine)) in enumerate(pictures.items()):
        for k, image in enumerate(images):
            corner = (k * cell, k * cell + SIDE, 1.3 * i * cell + SIDE, 1.3 * i * cell)
            tile = image.reshape(SIDE, SIDE)
            ax.imshow(tile, cmap="PuOr", vmin=-0.6, vmax=0.6, extent=corner)
            if cosine is not None:
                where = corner[0] + SIDE / 2, corner[3] - 0.15 * cell
                ax.text(*where, f"{cosine[k]:.2f}", ha="center", va="center", size=TICK_SIZE)
    ax.set(
        xlim=(-0.2, len(shapes) * cell), ylim=(1.3 * (len(pictures) - 1) * cell + SIDE + 0.2, -0.2)
    )
    ax.set(xticks=[], aspect="equal")
    ax.set_yticks(1.3 * cell * np.arange(len(pictures)) + SIDE / 2, pictures)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    describe(ax, "Eight bars, and the components that come nearest")
    ax = axes[0, 1]
    ax.plot(traces.T, color=BLUE, lw=1.2, alpha=0.8)
    ax.plot([], color=BLUE, label=f"{len(traces)} starts")
    ax.axhline(truth, color="black", ls="--", label="the true parameters")
    ax.set_xscale("symlog")
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(fontsize=TICK_SIZE, frameon=False, loc="lower right")
    describe(ax, "Spike and slab by EM", "iterations", "log p(x) (nats)")
    add_caption(
        figure,
        "numbers: |cos| with the true bar; unit vectors: violet is positive, white 0, "
        "orange negative",
    )
    return figure


def draw_mixture(mixture):
    """Each expert's decoded plane: a line of nine codes along z[0], and its share pi_k."""
    line = np.linspace(-2, 2, 9)
    order = np.argsort(-mixture.log_pi)
    z = np.stack([line, np.zeros(9)], axis=1)
    images = np.concatenate([mixture.experts[k].decode(z) for k in order])
    figure, axes = new_figure(8.4, 0.8 * len(order) + 1.4)
    show_tiles(figure, axes[0, 0], images, (8, 8), len(line), (0, 16))
    names = [f"{100 * np.exp(mixture.log_pi[k]):.0f} %" for k in order]
    axes[0, 0].set_yticks(np.arange(len(order)) + 0.5, names, fontsize=TICK_SIZE)
    axes[0, 0].set_xticks(np.arange(9) + 0.5, [number_text(value) for value in line])
    title = "A mixture of VAEs: each explains a part of the digits"
    describe(axes[0, 0], title, "z[0], at z[1] = 0", "share of the data, $\\pi_k$")
    return figure


def main():
    parser = argparse.ArgumentParser(description="EM and its relatives.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer iterations")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    quick = arguments.quick
    digits, labels, digits_test, _ = load_digits()
    rng = np.random.default_rng(0)

    x = digits / digits.std()
    best = ProbabilisticPCA(L).fit(x).log_likelihood(x).mean()
    em = ProbabilisticPCA(L).fit_em(x, 30 if quick else 200)
    vae = linear_vae(x, 4 if quick else 100)
    print(f"probabilistic PCA, {L} components: maximum of log p(x) {best:.4f} nats")
    print(
        f"    EM, {len(em) - 1} iterations: {best - em[-1]:.1e} below, smallest step "
        f"{np.diff(em).min():.1e}"
    )
    print(f"    linear VAE, {len(vae) - 1} epochs: {best - vae[-1]:.1e} below")

    x, shapes = bars(200 if quick else 500, rng)
    model, traces = best_of(2 if quick else 5, x, 5 if quick else 60)
    truth = SpikeAndSlab(2 * SIDE)
    truth.weights, truth.mean, truth.noise_variance = shapes.T, np.zeros(SIDE**2), 0.3**2
    truth.inclusion = np.full(2 * SIDE, 0.25)
    truth_log_px = truth.log_likelihood(x).mean()
    rows = {
        "spike\nand slab": match(model.weights, shapes),
        "PCA": match(ProbabilisticPCA(2 * SIDE - 1).fit(x).weights, shapes),
    }
    print(
        f"bars: log p(x) {traces[:, -1].max():.3f} nats from the best start, "
        f"{traces[:, -1].min():.3f} from the worst, {truth_log_px:.3f} with the true "
        "parameters"
    )
    for name, (_, cosine) in rows.items():
        text = ", ".join(f"{c:.2f}" for c in cosine)
        print("    |cos| with the bars,", name.replace("\n", " ") + ":", text)

    epochs = 3 if quick else 100
    settings = {"latent_dim": 2, "likelihood": Binomial(16)}
    mixture = Mixture([VAE(64, hidden_dims=(32,), seed=k, **settings) for k in range(10)])
    mixture.fit(digits, epochs, 128, rng)
    one = VAE(64, hidden_dims=(320,), **settings)
    one.fit(digits, epochs, optimizer=Adam(3e-3), verbose=False)
    bounds = [
        m(digits_test, np.random.default_rng(1)).mean()
        for m in (lambda x, r: mixture.bound(x, r, 20), lambda x, r: one.elbo(x, 20, r))
    ]
    r = mixture.responsibilities(digits)
    purity = sum(np.bincount(labels[r.argmax(axis=1) == k], minlength=10).max() for k in range(10))
    print(
        f"digits, L = 2: test bound {bounds[0]:.2f} nats of ten VAEs with 32 hidden units, "
        f"{bounds[1]:.2f} of one with 320"
    )
    print(
        f"    an image's largest responsibility is {r.max(axis=1).mean():.3f} on average; "
        f"{100 * purity / len(labels):.0f} % of the images are in an expert of their own class"
    )

    for name, figure in (
        ("example_08_em.png", draw_em(em, vae, best)),
        ("example_08_bars.png", draw_bars(shapes, rows, traces, truth_log_px)),
        ("example_08_mixture.png", draw_mixture(mixture)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
