"""Clustering by a mixture prior: the components of p(z) as classes, and how much is luck.

`LearnedPriorVAE` with K = 10 Gaussians as its prior never sees a label; a digit belongs to the
component with the largest responsibility p(k|z). Two starts are compared, on five seeds each:

- the prior's own: means drawn from N(0, I), without any knowledge of the data;
- from a trained plain VAE, whose codes k-means has divided into ten clusters (as in VaDE, Jiang et
  al. 2017: with q(c|x) = p(c|z) its bound is that of this model, so no second model is needed).

If a seed is chosen, then by the ELBO on the training data; choosing it by accuracy would use the
labels. Components are matched to classes one to one on the training data, and accuracy is counted
on the test data with this matching. The spread over seeds is part of the answer.

    python examples/15_clusters.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Binomial, LearnedPriorVAE
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, describe, new_figure, show_tiles
from numpyvae.priors import GaussianMixture

K, L = 10, 8
STARTS = ("prior's own", "k-means of a VAE")


def k_means(z, n_clusters, rng, n_steps=50):
    """Lloyd's algorithm from k-means++ (Arthur & Vassilvitskii 2007): means (K, L), labels."""
    means = z[rng.integers(len(z))][None]
    while len(means) < n_clusters:
        nearest = ((z[:, None] - means) ** 2).sum(axis=2).min(axis=1)
        means = np.concatenate([means, z[rng.choice(len(z), 1, p=nearest / nearest.sum())]])
    for _ in range(n_steps):
        labels = ((z[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        means = np.stack(
            [
                z[labels == k].mean(axis=0) if (labels == k).any() else means[k]
                for k in range(n_clusters)
            ]
        )
    return means, labels


def from_a_vae(model, x, epochs):
    """Give the model the networks of a trained VAE, and a prior made of clusters of its codes."""
    vae = VAE(x.shape[1], L, likelihood=model.likelihood, seed=model.seed)
    vae.fit(x, epochs, 128, Adam(3e-3), verbose=False)
    params = model.params
    for name, value in vae.params.items():
        params[name][...] = value
    z, rng = vae.encode(x)[0], np.random.default_rng(model.seed)
    tries = [k_means(z, K, rng) for _ in range(10)]
    means, labels = min(tries, key=lambda found: ((z - found[0][found[1]]) ** 2).sum())
    counts = np.bincount(labels, minlength=K)
    within = np.stack([z[labels == k].var(axis=0) for k in range(K)])
    params["prior.mean"][...] = means
    params["prior.log_var"][...] = np.log(within + np.exp(vae.encode(x)[1]).mean(axis=0))
    params["prior.logits"][...] = np.log(counts / counts.sum())


def one_to_one(table):
    """The class of each component, each class once, such that the most examples agree: (K,).

    table (K, K) counts examples by component and class. Exact, over all subsets of the classes.
    """
    n = len(table)
    best = {0: (0, ())}  # the classes taken, as bits -> examples that agree, and which they are
    for row in table:
        following = {}
        for taken, (agree, classes) in best.items():
            for c in range(n):
                if not taken >> c & 1:
                    new = agree + row[c], (*classes, c)
                    key = taken | 1 << c
                    if key not in following or new[0] > following[key][0]:
                        following[key] = new
        best = following
    return np.array(best[2**n - 1][1])


def counts(components, y):
    """How many examples of each component are of each class, (K, K)."""
    table = np.zeros((K, K), dtype=int)
    np.add.at(table, (components, y), 1)
    return table


def run(start, seed, data, epochs):
    """A model, its training ELBO, its accuracy on test data, and the classes of its components."""
    x, y, x_test, y_test = data
    model = LearnedPriorVAE(64, L, GaussianMixture(K), likelihood=Binomial(16), seed=seed)
    if start == STARTS[1]:
        from_a_vae(model, x, epochs)
    else:  # as much training, in the same two parts
        model.fit(x, epochs, 128, Adam(3e-3), verbose=False)
    model.fit(x, epochs, 128, Adam(1e-3), verbose=False)
    classes = one_to_one(counts(model.responsibilities(x).argmax(axis=1), y))
    components = model.responsibilities(x_test).argmax(axis=1)
    accuracy = np.mean(classes[components] == y_test)
    table = counts(components, y_test)[np.argsort(classes)]  # a row for each class's component
    return model, model.elbo(x, 5).mean(), accuracy, table, np.argsort(classes)


def draw_spread(results):
    """Accuracy against training ELBO, a point for each seed."""
    figure, axes = new_figure(8.0, 5.2)
    ax = axes[0, 0]
    for (start, runs), colour, marker in zip(results.items(), (ORANGE, BLUE), "so", strict=True):
        elbo, accuracy = [r[1] for r in runs], [100 * r[2] for r in runs]
        ax.scatter(elbo, accuracy, s=70, color=colour, marker=marker, label=start)
    describe(
        ax,
        "The same model, other starts and seeds",
        "training ELBO (nats)",
        "right on test data, one to one (%)",
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=LABEL_SIZE, frameon=False)
    return figure


def draw_clusters(model, table, order):
    """Samples of each component, and the classes of its test examples."""
    figure, axes = new_figure(11.5, 5.4, 1, 2)
    params, rng = model.params, np.random.default_rng(0)
    mean, spread = (params[f"prior.{name}"][order] for name in ("mean", "log_var"))
    z = mean[:, None] + np.exp(0.5 * spread)[:, None] * rng.standard_normal((K, 8, L))
    show_tiles(figure, axes[0, 0], model.decode(z.reshape(-1, L)), (8, 8), 8, (0.0, 16.0))
    describe(axes[0, 0], "samples, a component a row")
    ax = axes[0, 1]
    ax.imshow(table, cmap="Blues")
    for (i, j), n in np.ndenumerate(table):
        if n:
            colour = "white" if n > 0.6 * table.max() else "black"
            ax.text(j, i, n, ha="center", va="center", color=colour, fontsize=10)
    ax.set(xticks=range(K), yticks=range(K))
    describe(ax, "test digits", "class", "component, matched to class")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Clustering by a mixture prior.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    epochs, seeds = (5, (0,)) if arguments.quick else (150, range(5))

    data = load_digits()
    results = {}
    for start in STARTS:
        results[start] = [run(start, seed, data, epochs) for seed in seeds]
        print(f"start: {start}")
        for seed, (_, elbo, accuracy, *_) in zip(seeds, results[start], strict=True):
            print(f"  seed {seed}: training ELBO {elbo:8.2f} nats, right {100 * accuracy:5.1f} %")
        right = [100 * r[2] for r in results[start]]
        print(f"  right: mean {np.mean(right):.1f} %, from {min(right):.1f} to {max(right):.1f} %")
    every = [r for runs in results.values() for r in runs]
    chosen = max(every, key=lambda r: r[1])
    print(f"chosen by the training ELBO: right {100 * chosen[2]:.1f} %")

    for name, figure in (
        ("example_15_spread.png", draw_spread(results)),
        ("example_15_clusters.png", draw_clusters(chosen[0], *chosen[3:])),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
