"""Hinton & Salakhutdinov 2006, Figure 2B: MNIST in codes of 30 numbers.

Squared error summed over the 784 pixels (x / 255), averaged over the 10,000 test images; all models
are fitted on the 60,000 training images.

    PCA                       closed form, unclipped
    linear autoencoder        784-30-784, squared error, must reach PCA's error
    logistic PCA              784-30 (linear code)-784 (sigmoid), cross-entropy
    deep autoencoder          784-1000-500-250-30 (linear code), mirrored, cross-entropy

Adam. Linear: full batch on D + 1 rows with the mean and covariance of the training images (its loss
depends on nothing else), 1e-2 to 1e-5, cosine. Logistic: batches of 128 at 2e-3, 40 epochs.
Deep: ReLU, He initialisation, batches of 128, 1e-3 to 1e-5, cosine, 80 epochs; a dense network
without the paper's layerwise pretraining, once plain and once with the weight decay that
`--only decay` chooses, by the error on the last 5,000 training images after 30 epochs on the
other 55,000. Checkpointed every epoch and resumed from there; `--only deep` runs one model.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from common import (
    Row,
    arguments,
    cosine,
    mnist_or_none,
    moments,
    rows_with_moments,
    run,
    seconds,
    table,
    train,
)

from numpyvae.data import scale_pixels
from numpyvae.exact import PCA
from numpyvae.likelihoods import Bernoulli, Gaussian
from numpyvae.models.autoencoder import Autoencoder

DEEP = (1000, 500, 250)
DECAYS = (0.05, 0.1, 0.2)
"""Weight decays to choose from (each weight times 1 - rate * decay a step)."""
CHOSEN = 0.1
"""What --only decay chose, see docs/reproductions.md."""


def squared_error(model: Autoencoder, x: np.ndarray) -> float:
    """Sum over pixels, mean over images, of uint8 images.

    Through the model's own parts: `model.reconstruct` would refuse gray pixels under the Bernoulli.
    """
    params, total = model.layout.views(model.theta), 0.0
    for start in range(0, len(x), 1000):
        pixels = scale_pixels(x[start : start + 1000])
        code, _ = model.encoder.forward(params, pixels)
        residual = pixels - model.likelihood.mean(model.decoder.forward(params, code)[0])
        total += float((residual**2).sum())
    return total / len(x)


def pca_error(data) -> float:
    """The error of 30 principal components, fitted on the training images, unclipped."""
    pca = PCA(30).fit(scale_pixels(data.x_train))
    return float(pca.reconstruction_error(scale_pixels(data.x_test)).mean())


def linear_error(data, work: Path, steps: int) -> float:
    """784-30-784 under squared error, full batch on rows with the training images' moments."""
    rows = rows_with_moments(*moments(data.x_train)).astype(np.float32)
    model = Autoencoder(784, 30, (), likelihood=Gaussian(0.5))
    train(
        model,
        rows,
        steps,
        len(rows),
        cosine(1e-2, 1e-5),
        work / f"linear_30_{steps}.npz",
        every=max(1, steps // 4),
    )
    return squared_error(model, data.x_test)


def trained_error(
    x: np.ndarray,
    x_test: np.ndarray,
    work: Path,
    hidden_dims: tuple[int, ...],
    epochs: int,
    rates: tuple[float, float],
    weight_decay: float = 0.0,
    name: str = "",
) -> float:
    """ReLU (if anything is hidden), linear code, sigmoid output, cross-entropy, batches of 128."""
    model = Autoencoder(784, 30, hidden_dims, "relu", Bernoulli())
    name += f"{'deep_relu' if hidden_dims else 'logistic'}_bernoulli_{epochs}"
    name += f"_decay_{weight_decay:g}.npz" if weight_decay else ".npz"

    def measure() -> dict[str, float]:
        return {
            "train_error": squared_error(model, x[:10_000]),
            "test_error": squared_error(model, x_test),
        }

    records = train(
        model,
        x,
        epochs,
        128,
        cosine(*rates),
        work / name,
        scale_pixels,
        measure,
        weight_decay=weight_decay,
    )
    print(f"{name}: {seconds(records):.0f} s, including those before a restart")
    return records[-1]["test_error"]


def choose_decay(x: np.ndarray, work: Path, epochs: int) -> float:
    """The decay with the smallest error on 5,000 training images that were left out."""
    kept, left_out = x[:-5000], x[-5000:]
    errors = {
        decay: trained_error(kept, left_out, work, DEEP, epochs, (1e-3, 1e-5), decay, "choose_")
        for decay in DECAYS
    }
    for decay, error in errors.items():
        print(f"weight decay {decay:g}: {error:.4f} on the 5,000 images that were left out")
    return min(errors, key=errors.__getitem__)


def main() -> None:
    parser = arguments(
        __doc__, deep_epochs=80, decay_epochs=30, logistic_epochs=40, linear_steps=2000
    )
    parts = ("linear", "logistic", "deep", "decay", "deep-decay")
    parser.add_argument("--only", choices=parts, help="only this part")
    options = parser.parse_args()
    data = mnist_or_none()
    if data is None:
        return
    started, rows, work = time.perf_counter(), [], options.work
    wanted = [options.only] if options.only else list(parts)
    x, x_test = data.x_train, data.x_test
    if "linear" in wanted:
        pca = pca_error(data)
        rows.append(Row("PCA (printed 13.87)", 13.866, pca, 0.005))
        linear = linear_error(data, work, options.linear_steps)
        rows.append(Row("trained linear autoencoder (PCA's)", pca, linear, 0.005 * pca))
    if "logistic" in wanted:
        error = trained_error(x, x_test, work, (), options.logistic_epochs, (2e-3, 2e-3))
        rows.append(Row("logistic PCA", 8.01, error, 0.2))
    if "deep" in wanted:
        error = trained_error(x, x_test, work, DEEP, options.deep_epochs, (1e-3, 1e-5))
        rows.append(Row("deep autoencoder", 3.00, error, 3.00, "below"))
    if "decay" in wanted:
        print(f"chosen: weight decay {choose_decay(x, work, options.decay_epochs):g}")
    if "deep-decay" in wanted:
        error = trained_error(x, x_test, work, DEEP, options.deep_epochs, (1e-3, 1e-5), CHOSEN)
        rows.append(Row(f"deep autoencoder, weight decay {CHOSEN:g}", 3.00, error, 3.00, "below"))
    print(table(rows))
    print(f"{time.perf_counter() - started:.0f} s, not counting what was resumed")


if __name__ == "__main__":
    run(main)
