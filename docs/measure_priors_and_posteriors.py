"""The models that differ in prior, posterior or bound on the digits, three seeds each, as rows.

    python docs/measure_priors_and_posteriors.py                       # all: about ten minutes
    python docs/measure_priors_and_posteriors.py VampPrior --latent 8

Each run prints what it measured and writes its row into docs/models_measured.csv, in place of an
earlier one of the same model, size and seed. Digits as counts 0..16, Binomial(16), 64-128-L, ReLU,
300 epochs, Adam at 3e-3, batches of 128. Of the 360 test digits: the ELBO with 20 draws, and the
importance-weighted estimate with 500, which is no log p(x) (the encoder has not seen these digits)
and is printed only. Seconds are of the processor. Targets, on the mean of three seeds: at L = 8 a
learned prior is at least 2 nats of test ELBO above the standard normal, at L = 2 it gains nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measured import record

from numpyvae import (
    VAE,
    Adam,
    Binomial,
    FullCovarianceVAE,
    ImportanceWeightedVAE,
    LearnedPriorVAE,
)
from numpyvae.data import load_digits
from numpyvae.priors import GaussianMixture, VampPrior

MODELS: dict[str, Callable[..., Any]] = {
    "VAE": VAE,
    "LearnedPriorVAE, GaussianMixture(10)": lambda *sizes, **arguments: LearnedPriorVAE(
        *sizes, GaussianMixture(10), **arguments
    ),
    "LearnedPriorVAE, GaussianMixture(50)": lambda *sizes, **arguments: LearnedPriorVAE(
        *sizes, GaussianMixture(50), **arguments
    ),
    "LearnedPriorVAE, VampPrior(50)": lambda *sizes, **arguments: LearnedPriorVAE(
        *sizes, VampPrior(50), **arguments
    ),
    "ImportanceWeightedVAE, dreg": ImportanceWeightedVAE,
    "ImportanceWeightedVAE, standard": lambda *sizes, **arguments: ImportanceWeightedVAE(
        *sizes, estimator="standard", **arguments
    ),
    "FullCovarianceVAE": FullCovarianceVAE,
}


def measure(name: str, latent_dim: int, seed: int) -> tuple[float, float]:
    """Train one model: its test ELBO and importance-weighted estimate, means in nats."""
    x_train, _, x_test, _ = load_digits()
    model = MODELS[name](64, latent_dim, likelihood=Binomial(16), seed=seed)
    started = time.process_time()
    model.fit(x_train, 300, optimizer=Adam(3e-3), verbose=False)
    seconds = time.process_time() - started
    elbo, weighted = model.elbo(x_test, 20).mean(), model.log_likelihood(x_test, 500).mean()
    last = model.history[-1]
    print(
        f"{name} L = {latent_dim} seed {seed}: test ELBO {elbo:.2f}, IW500 {weighted:.2f}, "
        f"training ELBO {last['elbo']:.2f}, KL {last['kl']:.2f}, {seconds:.1f} s",
        flush=True,
    )
    record(model, name, latent_dim, elbo, seconds)
    return elbo, weighted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="", help="part of a model's name; default all")
    parser.add_argument("--latent", type=int, nargs="+", default=[2, 8])
    options = parser.parse_args()
    for latent_dim in options.latent:
        for name in (name for name in MODELS if options.model in name):
            means = np.mean([measure(name, latent_dim, seed) for seed in (0, 1, 2)], axis=0)
            print(f"{name} L = {latent_dim}: mean test ELBO {means[0]:.2f}, IW500 {means[1]:.2f}")
