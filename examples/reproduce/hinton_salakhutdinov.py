"""Hinton & Salakhutdinov 2006, Figure 2B: MNIST in codes of 30 numbers.

Squared error summed over the 784 pixels (x / 255), averaged over the 10,000 test images; all models
are fitted on the 60,000 training images.

    PCA                       closed form, unclipped
    linear autoencoder        784-30-784, squared error, must come to PCA
    logistic PCA              784-30 (linear code)-784 (sigmoid), cross-entropy
    deep autoencoder          784-1000-500-250-30 (linear code), mirrored, cross-entropy

Adam. Linear: full batch on D + 1 rows that have the mean and covariance of the training images, on
which alone its loss depends, 1e-2 to 1e-5, cosine. Logistic: batches of 128 at 2e-3, 40 epochs.
Deep: ReLU, He initialisation, batches of 128, 1e-3 to 1e-5, cosine, 80 epochs; a plain dense
network, without the paper's layerwise pretraining. Checkpointed every epoch and resumed from there;
`--only deep` runs one model.
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
    seconds,
    table,
    train,
)

from numpyvae.data import scale_pixels
from numpyvae.exact import PCA
from numpyvae.likelihoods import Bernoulli, Gaussian
from numpyvae.models.autoencoder import Autoencoder

DEEP = (1000, 500, 250)


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
    """Of 30 principal components, fitted on the training images, unclipped."""
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
    data, work: Path, hidden_dims: tuple[int, ...], epochs: int, rates: tuple[float, float]
) -> float:
    """ReLU (if anything is hidden), linear code, sigmoid output, cross-entropy, batches of 128."""
    model = Autoencoder(784, 30, hidden_dims, "relu", Bernoulli())
    name = f"{'deep_relu' if hidden_dims else 'logistic'}_bernoulli_{epochs}.npz"

    def measure() -> dict[str, float]:
        return {
            "train_error": squared_error(model, data.x_train[:10_000]),
            "test_error": squared_error(model, data.x_test),
        }

    records = train(
        model, data.x_train, epochs, 128, cosine(*rates), work / name, scale_pixels, measure
    )
    print(f"{name}: {seconds(records):.0f} s, those before a restart included")
    return records[-1]["test_error"]


def main() -> None:
    parser = arguments(__doc__, deep_epochs=80, logistic_epochs=40, linear_steps=2000)
    parser.add_argument("--only", choices=("linear", "logistic", "deep"), help="only this model")
    options = parser.parse_args()
    data = mnist_or_none()
    if data is None:
        return
    started, rows, work = time.perf_counter(), [], options.work
    wanted = [options.only] if options.only else ["linear", "logistic", "deep"]
    if "linear" in wanted:
        pca = pca_error(data)
        rows.append(Row("PCA (printed 13.87)", 13.866, pca, 0.005))
        linear = linear_error(data, work, options.linear_steps)
        rows.append(Row("trained linear autoencoder (PCA's)", pca, linear, 0.005 * pca))
    if "logistic" in wanted:
        error = trained_error(data, work, (), options.logistic_epochs, (2e-3, 2e-3))
        rows.append(Row("logistic PCA", 8.01, error, 0.2))
    if "deep" in wanted:
        error = trained_error(data, work, DEEP, options.deep_epochs, (1e-3, 1e-5))
        rows.append(Row("deep autoencoder", 3.00, error, 3.00, "below"))
    print(table(rows))
    print(f"{time.perf_counter() - started:.0f} s, not counting what was resumed")


if __name__ == "__main__":
    main()
