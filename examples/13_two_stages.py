"""A second VAE on the codes of the first: samples from where the codes are (Dai & Wipf 2019).

The codes of a trained VAE, x -> z ~ q(z|x), are not distributed like the prior N(0, I) from which
it samples. A second VAE learns their distribution: u ~ N(0, I) -> z ~ p(z|u), with its noise, -> x.
There is no new gradient in it: two `VAE` objects, the second trained on fresh codes of the first at
every step.

A classifier measures how different two sets of points are: an error of 50 % means that it cannot
tell them apart. log p(x) on test data measures what the second stage is worth.

    python examples/13_two_stages.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Gaussian
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, describe, new_figure, show_tiles
from numpyvae.gaussian import LOG_2PI, reparameterize
from numpyvae.layers import mlp
from numpyvae.numerics import logsumexp, sigmoid
from numpyvae.parameters import Gradients, ParameterLayout


def codes(vae, x, rng):
    """z ~ q(z|x), a draw for each row of x, because the means are less spread than the codes."""
    mean, log_var = vae.encode(x)
    return reparameterize(mean, log_var, vae.draw_noise(rng, len(x)))[0]


def second_stage(first, x, epochs):
    """A VAE of the first one's codes, with as many dimensions, and a noise that it learns.

    Codes have a variance of about 1. Noise that starts at log_var = 0 has the same, explains the
    codes without u, and training stays there. So the noise starts small.
    """
    L = first.latent_dim
    second = VAE(L, L, (128, 128), likelihood=Gaussian("shared"), seed=first.seed)
    second.params["likelihood.log_var"][...] = -3.0
    second.fit(
        x, epochs, 128, Adam(2e-3), verbose=False, transform=lambda x, rng: codes(first, x, rng)
    )
    return second


def log_likelihoods(first, second, x, n_samples, rng):
    """log p(x) of each row under N(0, I) and under the second stage, by importance sampling.

    For the second, p(z) = E[p(z, u) / q(u|z)] over u ~ q(u|z): even with one u for each z the
    estimate of p(x) is unbiased.
    """
    weights = np.empty((2, len(x), n_samples))
    for s in range(n_samples):
        noise = first.draw_noise(rng, len(x))
        z = reparameterize(*first.encode(x), noise)[0]
        log_prior = -0.5 * (LOG_2PI + z * z).sum(axis=1)
        weights[0, :, s] = first.log_weight(first.params, x, noise)
        of_second = second.log_weight(second.params, z, second.draw_noise(rng, len(x)))
        weights[1, :, s] = weights[0, :, s] - log_prior + of_second
    return logsumexp(weights, axis=2) - np.log(n_samples)


def classifier_error(a, b, epochs, seed=0):
    """The share of held-out points that a network misclassifies: 0.5 for equal distributions."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([a, b])
    y = np.repeat([0.0, 1.0], [len(a), len(b)])
    order = rng.permutation(len(x))
    train, test = np.array_split(order, 2)
    network = mlp("classifier", (x.shape[1], 64, 64, 1), "relu")
    layout, optimizer = ParameterLayout(network.shapes), Adam(2e-3)
    theta, gradient = np.zeros(layout.size), np.zeros(layout.size)
    network.initialize(layout.views(theta), rng)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(train), max(1, len(train) // 128)):
            logits, cache = network.forward(layout.views(theta), x[rows])
            dlogits = (sigmoid(logits[:, 0]) - y[rows]) / len(rows)  # of mean -log p(y|x)
            grads = Gradients(layout, gradient)
            network.backward_params(layout.views(theta), grads, dlogits[:, None], cache)
            grads.zero_untouched()
            optimizer.step(theta, gradient)
    logits, _ = network.forward(layout.views(theta), x[test])
    return np.mean((logits[:, 0] > 0) != (y[test] > 0.5))


def draw_planes(panels):
    """Sets of points of the plane, one panel for each."""
    figure, axes = new_figure(4.2 * len(panels), 5.2, 1, len(panels), share=True)
    for ax, (title, points, colour) in zip(axes[0], panels, strict=True):
        ax.scatter(*points[:1400].T, s=7, color=colour, alpha=0.5, lw=0)
        ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
        describe(ax, title, "first coordinate", "")
    axes[0, 0].set_ylabel("second coordinate", fontsize=LABEL_SIZE)
    return figure


def draw_samples(panels):
    """Sets of digits, one panel for each."""
    figure, axes = new_figure(4.2 * len(panels), 4.4, 1, len(panels))
    for ax, (title, x) in zip(axes[0], panels, strict=True):
        show_tiles(figure, ax, x, (8, 8), 6, (0.0, 1.0))
        describe(ax, title)
    return figure


def main():
    parser = argparse.ArgumentParser(description="A second VAE on the codes of the first.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer epochs and samples")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    epochs, n_samples, n = (20, 5, 700) if arguments.quick else (300, 200, 5000)

    x_train, _, x_test, _ = load_digits()
    x_train, x_test = x_train / 16, x_test / 16
    figures = {}
    for L in (2, 8):
        rng = np.random.default_rng(0)
        first = VAE(64, L, likelihood=Gaussian("shared"), seed=0)
        first.fit(x_train, epochs, 128, Adam(2e-3), verbose=False)
        second = second_stage(first, x_train, epochs)
        variances = [np.exp(vae.params["likelihood.log_var"]).item() for vae in (first, second)]
        print(f"L = {L}: variance of p(x|z) {variances[0]:.4f}, of p(z|u) {variances[1]:.4f}")

        x = x_train[rng.integers(len(x_train), size=n)]
        z, u = codes(first, x, rng), codes(second, codes(first, x, rng), rng)
        normal = rng.standard_normal((n, L))
        drawn = second.sample(n, rng, mean=False)  # z ~ p(z|u): with its noise
        tries = {
            "codes z against N(0, I)": (z, normal),
            "codes z against samples of stage two": (z, drawn),
            "codes u of stage two against N(0, I)": (u, normal),
        }
        for name, (a, b) in tries.items():
            error = classifier_error(a, b, 3 if arguments.quick else 30)
            print(f"  {name:37}: error of a classifier {100 * error:5.1f} %")
        found = log_likelihoods(first, second, x_test, n_samples, rng).mean(axis=1)
        print(f"  log p(x) on test data: N(0, I) {found[0]:7.2f}, stage two {found[1]:7.2f} nats")
        if L == 2:
            figures["planes"] = draw_planes(
                [
                    ("codes z ~ q(z|x)", z, BLUE),
                    ("prior N(0, I)", normal, ORANGE),
                    ("stage two, z ~ p(z|u)", drawn, ORANGE),
                    ("its codes u ~ q(u|z)", u, BLUE),
                ]
            )
        else:
            panels = [("digits", x_test[:30]), ("z ~ N(0, I)", first.decode(normal[:30]))]
            figures["samples"] = draw_samples(
                [*panels, ("z ~ p(z|u), u ~ N(0, I)", first.decode(drawn[:30]))]
            )

    for name, figure in figures.items():
        path = arguments.folder / f"example_13_{name}.png"
        figure.savefig(path, dpi=150)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
