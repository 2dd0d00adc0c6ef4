"""The models with labels and with codebooks on the digits, three seeds each, as rows of a table.

    python docs/measure_labels_and_codes.py conditional            # 6 runs of about half a minute
    python docs/measure_labels_and_codes.py semi_supervised        # 100 labels, alpha = 100
    python docs/measure_labels_and_codes.py vector_quantized

Each run prints what it measured; those with the defaults go into docs/models_measured.csv, in place
of an earlier row of the same model, size and seed. Digits as counts 0..16, Binomial(16), 64-128-L,
ReLU, Adam at 3e-3, batches of 128. Test numbers are of the 360 test digits; ELBOs average 20 draws.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from measured import record

from numpyvae import (
    Adam,
    Binomial,
    ConditionalVAE,
    SemiSupervisedVAE,
    VectorQuantizedVAE,
)
from numpyvae.classes import cross_entropy, cross_entropy_backward
from numpyvae.data import load_digits

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
                    64, latent_dim, 10, likelihood=Binomial(16), prior_network=prior_network,
                    seed=seed,
                )  # fmt: skip
                seconds = timed_fit(model, x_train, y_train, epochs=300)
                elbo = model.elbo(x_test, y_test, 20).mean()
                wrong = error(model.classify(x_test))
                name = "ConditionalVAE" + (", prior network" if prior_network else "")
                print(
                    f"{name} L = {latent_dim} seed {seed}: test ELBO {elbo:.2f}, "
                    f"classifier error {wrong:.2f} %, {seconds:.0f} s",
                    flush=True,
                )
                record(model, name, latent_dim, elbo, seconds)


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
                elbo = model.elbo(x_test, n_samples=20).mean()
                generative = model.log_class_joint(x_test, 20).argmax(axis=1)
                print(
                    f"SemiSupervisedVAE {n_labels} labels, alpha {alpha:g}, seed {seed}: error of "
                    f"q(y|x) {error(model.classify(x_test)):.1f} %, generative "
                    f"{error(generative):.1f} %, classifier alone "
                    f"{error(classifier_alone(y, seed)):.1f} %, test -U {elbo:.2f}, "
                    f"{seconds:.0f} s",
                    flush=True,
                )
                if (n_labels, alpha, epochs) == (100, 100.0, 150):
                    record(model, "SemiSupervisedVAE", 8, elbo, seconds)


def vector_quantized(ema: float | None = None) -> None:
    """Target: bound -112 +- 2.5 with 4 codes of 32, -104.7 +- 2.5 with 8 codes of 16."""
    for positions, code_dim, n_codes, commitment in ((4, 4, 32, 4.0), (8, 2, 16, 1.0)):
        for seed in SEEDS:
            model = VectorQuantizedVAE(
                64, positions, code_dim, n_codes, commitment=commitment, ema=ema,
                likelihood=Binomial(16), seed=seed,
            )  # fmt: skip
            seconds = timed_fit(model, x_train, epochs=200)
            elbo, log_px = model.elbo(x_test).mean(), model.log_px(x_test).mean()
            print(
                f"VectorQuantizedVAE {positions} codes of {n_codes}, EMA {ema}, seed {seed}: "
                f"test log p(x|z) {log_px:.2f}, bound {elbo:.2f}, with uniform codes "
                f"{log_px - positions * np.log(n_codes):.2f}, perplexity "
                f"{model.perplexity(x_test):.1f}, {seconds:.0f} s",
                flush=True,
            )
            if ema is None:
                record(model, f"VectorQuantizedVAE {positions} x {n_codes}",
                       positions * code_dim, elbo, seconds)  # fmt: skip


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
