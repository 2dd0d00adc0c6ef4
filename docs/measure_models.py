"""Every model on the digits, three seeds each: writes docs/models.md from docs/models_measured.csv
and the text in docs/models_text.py.

    python docs/measure_models.py                         # measure what is missing, write the page
    python docs/measure_models.py --only VampPrior --again      # measure these runs once more
    python docs/measure_models.py --page                  # write the page from the rows there are

A run's row is written when it is measured, so a second call goes on where the first one stopped.
Digits as counts 0..16, Binomial(16), 64-128-L, ReLU, Adam at 3e-3, batches of 128. Seconds are of
the processor; run it with OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure_labels_and_codes import SEEDS, few_labels
from models_text import TEXT

from numpyvae import (
    VAE,
    Adam,
    Binomial,
    ConditionalVAE,
    FullCovarianceVAE,
    ImportanceWeightedVAE,
    LearnedPriorVAE,
    SemiSupervisedVAE,
    VectorQuantizedVAE,
)
from numpyvae.data import load_digits
from numpyvae.priors import GaussianMixture, VampPrior

HERE = Path(__file__).parent
CSV, PAGE = HERE / "models_measured.csv", HERE / "models.md"
KEY, NUMBERS = ["model", "latent_dim", "seed"], ["test_elbo", "log_px", "code_nats", "seconds"]
COLUMNS = KEY + NUMBERS


@dataclass(frozen=True)
class Entry:
    """A row of the page: how the model is made, what it learns from, what its gradient does."""

    make: Callable[..., Any]  # of data_dim, latent_dim, likelihood=, seed=
    gradient: str
    latent_dims: tuple[int, ...] = (2, 8)
    epochs: int = 300
    labels: int | None = 0  # how many it is told; None: all
    log_p: str = "log p(x)"


def learned(prior: Callable[[int], Any], K: int) -> Callable[..., Any]:
    """A VAE with a fresh prior of K components."""
    return lambda D, L, **common: LearnedPriorVAE(D, L, prior(K), **common)


def weighted(estimator: str) -> Callable[..., Any]:
    """An importance-weighted VAE with this gradient."""
    return lambda D, L, **common: ImportanceWeightedVAE(D, L, estimator=estimator, **common)


def conditional(prior_network: bool) -> Callable[..., Any]:
    """A conditional VAE of the ten digits."""
    return lambda D, L, **common: ConditionalVAE(D, L, 10, prior_network=prior_network, **common)


def quantized(M: int, d: int, K: int, commitment: float) -> Callable[..., Any]:
    """M codes of a codebook (K, d): L = M d numbers reach the decoder."""
    return lambda D, _, **common: VectorQuantizedVAE(D, M, d, K, commitment=commitment, **common)


def semi_supervised(D: int, L: int, **common: Any) -> Any:
    """M2 of the ten digits."""
    return SemiSupervisedVAE(D, L, 10, alpha=100.0, **common)


CODE = "dz is copied over the step; the codebook moves by its own term"
MODELS = {
    "VAE": Entry(VAE, "two routes into mean and log_var: through z, and around it by the KL"),
    "FullCovarianceVAE": Entry(FullCovarianceVAE, "dz_i reaches the whole row i of C"),
    "LearnedPriorVAE, GaussianMixture(10)": Entry(
        learned(GaussianMixture, 10), "the KL goes through z: log p(z) adds to dz"
    ),
    "LearnedPriorVAE, GaussianMixture(50)": Entry(
        learned(GaussianMixture, 50), "the KL goes through z: log p(z) adds to dz"
    ),
    "LearnedPriorVAE, VampPrior(50)": Entry(
        learned(VampPrior, 50), "the KL goes through z; the encoder is visited twice"
    ),
    "ImportanceWeightedVAE, standard": Entry(
        weighted("standard"), "each sample weighted by its share w"
    ),
    "ImportanceWeightedVAE, dreg": Entry(
        weighted("dreg"), "each sample weighted by its share w, by w^2 to the encoder"
    ),
    "ConditionalVAE": Entry(
        conditional(False), "W_y[y] gets the sum of its class", labels=None, log_p="log p(x\\|y)"
    ),
    "ConditionalVAE, prior network": Entry(
        conditional(True),
        "the KL's second Gaussian learns, too",
        labels=None,
        log_p="log p(x\\|y)",
    ),
    "SemiSupervisedVAE": Entry(
        semi_supervised, "each class's path is walked and weighted by q(y\\|x)", (8,), 150, 100
    ),
    "VectorQuantizedVAE 4 x 32": Entry(quantized(4, 4, 32, 4.0), CODE, (16,), 200),
    "VectorQuantizedVAE 8 x 16": Entry(quantized(8, 2, 16, 1.0), CODE, (16,), 200),
}
TARGETS = {  # test ELBO and its tolerance, set before anything was measured
    ("ConditionalVAE", 2): (-122.2, 2.5),
    ("ConditionalVAE", 8): (-95.0, 1.5),
    ("VectorQuantizedVAE 4 x 32", 16): (-112.0, 2.5),
    ("VectorQuantizedVAE 8 x 16", 16): (-104.7, 2.5),
}


def new_model(name: str, latent_dim: int, seed: int) -> Any:
    """The model of a run, untrained."""
    return MODELS[name].make(64, latent_dim, likelihood=Binomial(16), seed=seed)


def code_nats(model: Any, data: Any, draws: int = 20) -> float:
    """Mean nats of the code: the KL, or -log p(code) where the code is discrete."""
    data, rng = model.check_data(data), np.random.default_rng(model.seed)
    n = len(data[0] if isinstance(data, tuple) else data)
    terms = [
        model.loss_and_terms(model.theta, data, model.draw_noise(rng, n))[1] for _ in range(draws)
    ]
    return float(np.mean([t["kl"] if "kl" in t else -t["log_code"] for t in terms]))


def measure(name: str, latent_dim: int, seed: int) -> list[float | None]:
    """The numbers of a run, in the order of NUMBERS; None where the model has no such number."""
    entry, model = MODELS[name], new_model(name, latent_dim, seed)
    x_train, y_train, x_test, y_test = load_digits()
    train, test = (x_train,), (x_test,)
    if entry.labels is None:
        train, test = (x_train, y_train), (x_test, y_test)
    elif entry.labels:
        train = (x_train, few_labels(entry.labels, seed))
    started = time.process_time()
    model.fit(*train, epochs=entry.epochs, optimizer=Adam(3e-3), verbose=False)
    seconds = time.process_time() - started
    is_discrete, sums = isinstance(model, VectorQuantizedVAE), entry.labels == 100
    draws = {} if is_discrete else {"n_samples": 20}
    elbo = float(model.elbo(*test, **draws).mean())
    log_px = None if is_discrete else float(model.log_likelihood(*test).mean())
    code = None if sums else code_nats(model, test[0] if len(test) == 1 else test)
    return [elbo, log_px, code, seconds]


def read() -> dict[tuple[str, ...], dict[str, str]]:
    """The rows there are, by model, size and seed."""
    with CSV.open(newline="") as file:
        return {tuple(row[k] for k in KEY): row for row in csv.DictReader(file)}


def record(key: tuple[str, ...], numbers: list[float | None]) -> None:
    """Write the row of a run, in place of an earlier one."""
    rows = read()
    texts = ["none" if number is None else f"{number:.2f}" for number in numbers]
    rows[key] = dict(zip(COLUMNS, (*key, *texts), strict=True))
    with CSV.open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        out.writerows(rows.values())


def measure_missing(only: str, again: bool) -> None:
    """Every run of the models whose name holds `only`, but for those that have their numbers."""
    for name, entry in MODELS.items():
        for latent_dim in entry.latent_dims if only in name else ():
            for seed in SEEDS:
                key, rows = (name, str(latent_dim), str(seed)), read()
                if again or not all(rows.get(key, {}).get(number) for number in NUMBERS):
                    numbers = measure(name, latent_dim, seed)
                    print(*key, *numbers, flush=True)
                    record(key, numbers)


def mean_and_spread(rows: list[dict[str, str]], column: str) -> str:
    """Mean and standard deviation over the seeds of a column."""
    texts = [row.get(column) for row in rows]
    if "none" in texts:
        return "none"
    if len(rows) < len(SEEDS) or not all(texts):
        return "not measured"
    values = [float(text) for text in texts if text]
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def table(latent_dim: int) -> str:
    """The table of one size: a line for each model."""
    head = ["model", "test ELBO", "log p", "nats of the code", "seconds", "lines"]
    head.append("what its gradient does")
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * 5 + "|---|"]
    measured = read()
    for name, entry in MODELS.items():
        if latent_dim not in entry.latent_dims:
            continue
        keys = [(name, str(latent_dim), str(seed)) for seed in SEEDS]
        rows = [measured[key] for key in keys if key in measured]
        elbo, log_px, code, seconds = (mean_and_spread(rows, column) for column in NUMBERS)
        if entry.log_p != "log p(x)" and log_px[0] == "-":
            log_px += f" ({entry.log_p})"
        file = Path(inspect.getfile(type(new_model(name, latent_dim, 0))))
        n_lines = str(len(file.read_text(encoding="utf-8").splitlines()))
        cells = [f"`{name}`", elbo, log_px, code, seconds, n_lines, entry.gradient]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_elbo(name: str, latent_dim: int) -> float:
    """Mean test ELBO of the seeds."""
    rows, keys = read(), [(name, str(latent_dim), str(seed)) for seed in SEEDS]
    return float(np.mean([float(rows[key]["test_elbo"]) for key in keys]))


def verdicts() -> str:
    """A line for each target: what was expected of the test ELBO, and what came."""
    lines = []
    for (name, latent_dim), (target, tolerance) in TARGETS.items():
        mean = mean_elbo(name, latent_dim)
        excess = abs(mean - target) - tolerance
        side = "better" if mean > target else "worse"
        verdict = "met" if excess <= 0 else f"**missed**: {excess:.2f} {side} than the band"
        size = "" if latent_dim == 16 else f", L = {latent_dim}"
        what = f"test ELBO of `{name}`{size}"
        lines.append(f"| {what} | {target} ± {tolerance} | {mean:.1f} | {verdict} |")
    return "\n".join(lines)


def gains(latent_dim: int) -> str:
    """What the learned priors of 50 components gain over N(0, I)."""
    return ", ".join(
        f"{mean_elbo(f'LearnedPriorVAE, {prior}', latent_dim) - mean_elbo('VAE', latent_dim):+.1f} "
        f"with `{prior}`"
        for prior in ("GaussianMixture(50)", "VampPrior(50)")
    )


def page() -> str:
    """docs/models.md."""
    tables = {f"TABLE {latent_dim}": table(latent_dim) for latent_dim in (2, 8, 16)}
    tables |= {"TARGETS": verdicts(), "GAIN 8": gains(8), "GAIN 2": gains(2)}
    text = TEXT
    for mark, lines in tables.items():
        text = text.replace(mark, lines)
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="part of a model's name; default all")
    parser.add_argument("--again", action="store_true", help="measure runs that have their numbers")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.page:
        measure_missing(options.only, options.again)
    PAGE.write_text(page(), encoding="utf-8")
