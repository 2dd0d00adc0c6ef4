"""Burda et al. 2015, Table 1: VAE and IWAE with one stochastic layer on MNIST, -log p(x) in nats.

784-200-200-50 with tanh, mirrored; batches of 20; Adam (0.9, 0.999, epsilon 1e-4); stage i makes
3^i passes at the learning rate 1e-3 10^(-i/7), i = 0 to 7, 3,280 passes in all; pixels are drawn
anew each time. -log p(x) of the test images, drawn once, from 5,000 samples of the encoder; a unit
is active if its mean varies by more than 0.01 over the test images.

    python burda_table_1.py --samples 1 --stages 7       the VAE, stages 0 to 6
    python burda_table_1.py --samples 5 --stages 6       IWAE with k = 5, stages 0 to 5

A checkpoint is written every few passes; the same command goes on from it, to the same bits. One
process uses one core: run the two commands side by side. `--images N` measures only the first N
test images, for a look at a run under way; `--refined N` is the number of test images on which
log p(x) is also estimated from a posterior that is refined for each image (docs/yardstick.md);
`--now` measures the last checkpoint and trains no further.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
from common import Row, arguments, mnist_or_none, run, table

from numpyvae import VAE, Adam, Bernoulli, ImportanceWeightedVAE, models
from numpyvae.data import binarize_pixels
from numpyvae.evaluation import active_units, importance_weighted_log_likelihood
from numpyvae.marginal import log_likelihood

PUBLISHED = {1: (86.76, 19), 5: (85.54, 22)}
"""Number of samples k -> -log p(x) in nats and active units (VAE at k = 1, IWAE at k = 5)."""


def new_model(samples: int) -> VAE | ImportanceWeightedVAE:
    """The VAE at k = 1: with the analytic KL, as in the paper's VAE row."""
    if samples == 1:
        return VAE(784, 50, (200, 200), "tanh", Bernoulli(), seed=0)
    return ImportanceWeightedVAE(784, 50, samples, "standard", (200, 200), "tanh", Bernoulli())


def train(samples: int, stages: int, x: np.ndarray, work: Path, every: int):
    """The model after stages 0 to `stages` - 1, each kept in a file; a stopped run is resumed.

    The number of passes made sets the learning rate, so a resumed run gets the same bits.
    """
    work.mkdir(parents=True, exist_ok=True)
    model = new_model(samples)
    started, first, last = time.perf_counter(), None, passes_before(stages)
    for stage in range(stages):
        kept = work / f"burda_k{samples}_stage_{stage}.npz"
        under_way = work / f"burda_k{samples}.npz"
        if kept.exists():
            model = models.load(kept)
            continue
        if under_way.exists() and first is None:
            model = models.load(under_way)
        first = model.epochs_trained if first is None else first
        optimizer = model.optimizer or Adam(epsilon=1e-4)
        optimizer.learning_rate = 1e-3 * 10.0 ** (-stage / 7)
        while (left := passes_before(stage + 1) - model.epochs_trained) > 0:
            model.fit(x, min(every, left), 20, optimizer, transform=binarize_pixels, verbose=False)
            model.save(under_way)
            now = model.epochs_trained
            ahead = (time.perf_counter() - started) / (now - first) * (last - now)
            print(
                f"  stage {stage}, pass {now} of {last}, loss {model.history[-1]['loss']:.3f}, "
                f"{ahead / 60:.0f} min left",
                flush=True,
            )
        model.save(kept)
    return model


def passes_before(stage: int) -> int:
    """1 + 3 + 9 + ... of the stages before it."""
    return (3**stage - 1) // 2


def main() -> None:
    least = {"refined": 0}
    parser = arguments(__doc__, least=least, stages=7, images=10_000, refined=1000, every=10)
    parser.add_argument("--samples", type=int, choices=PUBLISHED, default=1)
    parser.add_argument("--now", action="store_true", help="measure the last checkpoint as it is")
    options = parser.parse_args()
    under_way = options.work / f"burda_k{options.samples}.npz"
    if options.now and not under_way.exists():
        parser.error(f"--now: expected a checkpoint, {under_way}: train first, without --now")
    data = mnist_or_none()
    if data is None:
        return
    if options.now:
        model = models.load(under_way)
    else:
        model = train(options.samples, options.stages, data.x_train, options.work, options.every)
    rng = np.random.default_rng(0)
    x = binarize_pixels(data.x_test, rng)[: options.images]
    log_px = importance_weighted_log_likelihood(model, x, 5000, rng)
    published, units = PUBLISHED[options.samples]
    tolerance = 0.3 if model.epochs_trained == passes_before(8) else 0.7
    kind = "VAE" if options.samples == 1 else "IWAE"
    rows = [
        Row(f"{kind} k = {options.samples}", published, float(-log_px.mean()), tolerance),
        Row("active units", units, int(active_units(model, x).sum()), 2),
    ]
    print(table(rows))
    error = log_px.std() / math.sqrt(len(log_px))
    hours = sum(record["seconds"] for record in model.history) / 3600
    stage = sum(model.epochs_trained >= passes_before(i) for i in range(1, 9))
    done = f"{model.epochs_trained - passes_before(stage)} of {3**stage} passes of stage {stage}"
    print(
        f"{model.epochs_trained} passes: stages before {stage}, and {done}; {hours:.1f} h; "
        f"standard error over the {len(log_px)} test images {error:.2f}"
    )
    if options.refined:
        refined = log_likelihood(model, x[: options.refined], 5000, rng).log_likelihood
        n = len(refined)
        print(
            f"-log p(x) of the first {n} test images: {-log_px[:n].mean():.3f} by the encoder's "
            f"samples, {-refined.mean():.3f} by a posterior refined for each image"
        )


if __name__ == "__main__":
    run(main)
