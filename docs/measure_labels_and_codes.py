"""What docs/models.md leaves out of the models with labels and codebooks: errors, perplexities.

    python docs/measure_labels_and_codes.py conditional            # 6 runs of about half a minute
    python docs/measure_labels_and_codes.py semi_supervised        # 100 labels, alpha = 100
    python docs/measure_labels_and_codes.py semi_supervised --labels 30 300 --alpha 1 100
    python docs/measure_labels_and_codes.py vector_quantized

Each run prints what it measured, three seeds each. The runs of `semi_supervised` are kept in
semi_supervised_measured.csv, and figures/semi_supervised.png is drawn of all that are there.

Digits as counts 0..16, Binomial(16), 64-128-L, ReLU, Adam at 3e-3, batches of 128. Test numbers are
of the 360 test digits; ELBOs average 20 draws.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from numpyvae import (
    Adam,
    Binomial,
    ConditionalVAE,
    SemiSupervisedVAE,
    VectorQuantizedVAE,
)
from numpyvae.classes import cross_entropy, cross_entropy_backward
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, ORANGE, TICK_SIZE, add_caption, describe, new_figure

DOCS = Path(__file__).resolve().parent
MEASURED = DOCS / "semi_supervised_measured.csv"
SEEDS = (0, 1, 2)
x_train, y_train, x_test, y_test = load_digits()


def timed_fit(model: Any, *data: Any, epochs: int, **options: Any) -> float:
    started = time.process_time()
    model.fit(*data, epochs=epochs, optimizer=Adam(3e-3), verbose=False, **options)
    return time.process_time() - started


def error(guessed: np.ndarray) -> float:
    """Of the test labels, in percent."""
    return 100 * float((guessed != y_test).mean())


def conditional() -> None:
    """Label known. Target: test ELBO -122.2 +- 2.5 (L = 2), -95 +- 1.5 (L = 8)."""
    for prior_network in (False, True):
        for latent_dim in (2, 8):
            for seed in SEEDS:
                model = ConditionalVAE(
                    64,
                    latent_dim,
                    10,
                    likelihood=Binomial(16),
                    prior_network=prior_network,
                    seed=seed,
                )
                seconds = timed_fit(model, x_train, y_train, epochs=300)
                elbo = model.elbo(x_test, y_test, 20).mean()
                wrong = error(model.classify(x_test))
                name = "ConditionalVAE" + (", prior network" if prior_network else "")
                print(
                    f"{name} L = {latent_dim} seed {seed}: test ELBO {elbo:.2f}, "
                    f"classifier error {wrong:.2f} %, {seconds:.0f} s",
                    flush=True,
                )


def few_labels(n_labels: int, seed: int) -> np.ndarray:
    """The training labels, all but `n_labels` of them -1: as many of each class."""
    rng, y = np.random.default_rng([seed, n_labels]), np.full(len(y_train), -1)
    for k in range(10):
        rows = rng.choice(np.flatnonzero(y_train == k), n_labels // 10, replace=False)
        y[rows] = k
    return y


def classifier_alone(y: np.ndarray, seed: int) -> np.ndarray:
    """The classifier's network without the rest of the model: 1000 steps on the known labels."""
    model = SemiSupervisedVAE(64, 8, 10, likelihood=Binomial(16), seed=seed)
    known, grad, optimizer = y >= 0, np.zeros_like(model.theta), Adam(3e-3)
    for _ in range(1000):
        grad[:] = 0.0
        grads = model.layout.views(grad)
        x = x_train[known].astype(np.float32)
        logits, network_cache = model.classifier.forward(model.params, x)
        nats, cache = cross_entropy(logits, y[known])
        (dlogits,) = cross_entropy_backward(np.full_like(nats, 1 / len(nats)), cache)
        model.classifier.backward_params(model.params, grads, dlogits, network_cache)
        optimizer.step(model.theta, grad)
    return model.classify(x_test)


def semi_supervised(
    labels: tuple[int, ...] = (100,), alphas: tuple[float, ...] = (100.0,), epochs: int = 150
) -> None:
    """Target: 5 to 8 % on the mean of three seeds at 100 labels and alpha = 100."""
    for n_labels in labels:
        for alpha in alphas:
            for seed in SEEDS:
                y = few_labels(n_labels, seed)
                model = SemiSupervisedVAE(
                    64, 8, 10, alpha=alpha, likelihood=Binomial(16), seed=seed
                )
                seconds = timed_fit(model, x_train, y, epochs=epochs)
                measured = {
                    "labels": n_labels,
                    "alpha": f"{alpha:g}",
                    "epochs": epochs,
                    "seed": seed,
                    "error": round(error(model.classify(x_test)), 2),
                    "error_of_decoder": round(
                        error(model.log_class_joint(x_test, 20).argmax(axis=1)), 2
                    ),
                    "error_of_classifier_alone": round(error(classifier_alone(y, seed)), 2),
                    "elbo": round(float(model.elbo(x_test, n_samples=20).mean()), 2),
                    "seconds": round(seconds, 1),
                }
                print(", ".join(f"{name} {value}" for name, value in measured.items()), flush=True)
                keep(measured)
    labels_figure(recorded()).savefig(DOCS / "figures" / "semi_supervised.png", dpi=150)


def recorded() -> list[dict[str, str]]:
    """Every run of `semi_supervised` that was measured."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(measured: dict[str, Any]) -> None:
    """Write a run to the table, in the place of an earlier one of the same options."""
    same = ("labels", "alpha", "epochs", "seed")
    rows = {tuple(map(row.get, same)): row for row in recorded()} if MEASURED.exists() else {}
    row = {name: str(value) for name, value in measured.items()}
    rows[tuple(map(row.get, same))] = row
    with MEASURED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows.values(), key=lambda row: [float(row[n]) for n in same]))


def labels_figure(rows: list[dict[str, str]], n_labels: int = 100, alpha: float = 100) -> Figure:
    """Error and bound against alpha at `n_labels`, error against labels at `alpha`: each run."""
    figure, axes = new_figure(15.0, 5.2, 1, 3)
    of_alpha = [row for row in rows if float(row["labels"]) == n_labels]
    of_labels = [row for row in rows if float(row["alpha"]) == alpha]
    panels = (
        (of_alpha, "alpha", f"{n_labels} labels: alpha pins the classes", "alpha"),
        (
            of_labels,
            "labels",
            f"alpha = {alpha:g}: what the unlabelled digits add",
            "known labels of 1437",
        ),
    )
    for ax, (some, name, title, label) in zip(axes[0, [0, 2]], panels, strict=True):
        _runs(
            ax, some, name, "error_of_classifier_alone", ORANGE, "--", "s", "the classifier alone"
        )
        _runs(ax, some, name, "error", BLUE, "-", "o", "M2, q(y|x)")
        ax.set_ylim(0, None)
        ax.legend(fontsize=TICK_SIZE, frameon=False)
        describe(ax, title, label, "error on test digits (%)")
    _runs(axes[0, 1], of_alpha, "alpha", "elbo", BLUE, "-", "o", "M2")
    middle = float(np.mean([float(row["elbo"]) for row in of_alpha]))
    axes[0, 1].set_ylim(middle - 10, middle + 10)
    describe(axes[0, 1], "The bound hardly moves", "alpha", "test ELBO (nats)")
    add_caption(
        figure,
        f"marks: seeds {', '.join(map(str, SEEDS))}; lines: their means; test "
        "ELBO with the class not known",
    )
    return figure


def _runs(
    ax: Any,
    rows: list[dict[str, str]],
    x: str,
    y: str,
    colour: str,
    line: str,
    marker: str,
    label: str,
) -> None:
    """y of each run against x, and a line through the means."""
    places = np.array([float(row[x]) for row in rows])
    values = np.array([float(row[y]) for row in rows])
    ax.plot(places, values, marker, color=colour, alpha=0.5, ms=6)
    each = np.unique(places)
    means = [values[places == place].mean() for place in each]
    ax.plot(each, means, line, color=colour, lw=2, label=label)
    ax.set_xscale("log")
    ax.set_xticks(each, [f"{place:g}" for place in each])
    ax.minorticks_off()
    ax.grid(color="0.92")


def vector_quantized(ema: float | None = None) -> None:
    """Target: bound -112 +- 2.5 with 4 codes of 32, -104.7 +- 2.5 with 8 codes of 16."""
    for positions, code_dim, n_codes, commitment in ((4, 4, 32, 4.0), (8, 2, 16, 1.0)):
        for seed in SEEDS:
            model = VectorQuantizedVAE(
                64,
                positions,
                code_dim,
                n_codes,
                commitment=commitment,
                ema=ema,
                likelihood=Binomial(16),
                seed=seed,
            )
            seconds = timed_fit(model, x_train, epochs=200)
            elbo, log_px = model.elbo(x_test).mean(), model.log_px(x_test).mean()
            print(
                f"VectorQuantizedVAE {positions} codes of {n_codes}, EMA {ema}, seed {seed}: "
                f"test log p(x|z) {log_px:.2f}, bound {elbo:.2f}, with uniform codes "
                f"{log_px - positions * np.log(n_codes):.2f}, perplexity "
                f"{model.perplexity(x_test):.1f}, {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=("conditional", "semi_supervised", "vector_quantized"))
    parser.add_argument("--labels", type=int, nargs="+", default=[100])
    parser.add_argument("--alpha", type=float, nargs="+", default=[100.0])
    parser.add_argument("--epochs", type=int, default=150, help="of the semi-supervised model")
    parser.add_argument("--ema", type=float, help="decay of a codebook of moving averages")
    options = parser.parse_args()
    if options.model == "conditional":
        conditional()
    elif options.model == "semi_supervised":
        semi_supervised(tuple(options.labels), tuple(options.alpha), options.epochs)
    else:
        vector_quantized(options.ema)
