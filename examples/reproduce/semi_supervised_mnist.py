"""Kingma et al. 2014, Table 1: M2 on MNIST with 100 labels, error on the test images in percent.

784-500-50 with softplus, mirrored, and a classifier 784-500-10; 50,000 training images of which
100 have a label, ten of each class; pixels drawn anew each time; Adam at 3e-4. A step takes 100
images without a label and 10 of those with one. alpha = 100, chosen on the digits of the package
(docs/models.md) before MNIST was looked at, and not on MNIST. The paper trains for 3,000 epochs.

    python semi_supervised_mnist.py --epochs 50

The same network's classifier, trained on the 100 labelled images alone, stands beside it. A
checkpoint is written after every epoch; the same command goes on from it, to the same bits.
"""

from __future__ import annotations

import numpy as np
from common import Row, arguments, mnist_or_none, run, seconds, table, train

from numpyvae import Adam, Bernoulli, SemiSupervisedVAE
from numpyvae.classes import cross_entropy, cross_entropy_backward
from numpyvae.data import binarize_pixels, scale_pixels

N_LABELS, LABELLED_A_STEP = 100, 10


def new_model() -> SemiSupervisedVAE:
    return SemiSupervisedVAE(784, 50, 10, (500,), "softplus", Bernoulli(), alpha=100.0)


def labelled_rows(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """N_LABELS rows, as many of each class."""
    rows = [rng.choice(np.flatnonzero(y == k), N_LABELS // 10, replace=False) for k in range(10)]
    return np.concatenate(rows)


def error(model: SemiSupervisedVAE, x: np.ndarray, y: np.ndarray) -> float:
    """The error of q(y|x) in percent, on the gray pixels instead of a mean over drawn ones."""
    wrong = 0
    for start in range(0, len(x), 1000):
        pixels = scale_pixels(x[start : start + 1000])
        logits, _ = model.classifier.forward(model.params, pixels)
        wrong += int((logits.argmax(axis=1) != y[start : start + 1000]).sum())
    return 100 * wrong / len(x)


def train_classifier(model: SemiSupervisedVAE, x: np.ndarray, y: np.ndarray, steps: int) -> None:
    """The classifier alone, full batch, without the rest of the model."""
    grad, optimizer, rng = np.zeros_like(model.theta), Adam(3e-4), np.random.default_rng(0)
    for _ in range(steps):
        grad[:] = 0.0
        logits, network_cache = model.classifier.forward(model.params, binarize_pixels(x, rng))
        nats, cache = cross_entropy(logits, y)
        (dlogits,) = cross_entropy_backward(np.full_like(nats, 1 / len(nats)), cache)
        grads = model.layout.views(grad)
        model.classifier.backward_params(model.params, grads, dlogits, network_cache)
        optimizer.step(model.theta, grad)


def main() -> None:
    parser = arguments(__doc__, least={"images": 1000}, epochs=50, images=50_000, steps=2000)
    options = parser.parse_args()
    data = mnist_or_none()
    if data is None:
        return
    x, y = data.x_train[: options.images], data.y_train[: options.images]
    known = labelled_rows(y, np.random.default_rng(0))
    model, alone = new_model(), new_model()
    train_classifier(alone, x[known], y[known], options.steps)

    def with_labelled(batch: np.ndarray, rng: np.random.Generator) -> tuple:
        """The minibatch, whose labels count as unknown, and some of the labelled images."""
        some = rng.choice(known, LABELLED_A_STEP, replace=False)
        labels = np.concatenate([np.full(len(batch), -1), y[some]])
        return np.concatenate([batch, binarize_pixels(x[some], rng)]), labels

    records = train(
        model,
        x,
        options.epochs,
        100,
        lambda _: 3e-4,
        options.work / f"semi_supervised_{options.images}_{options.epochs}.npz",
        binarize_pixels,
        lambda: {"test_error": error(model, data.x_test, data.y_test)},
        with_more=with_labelled,
    )
    print(
        table(
            [
                Row("M2, 100 labels", 11.97, records[-1]["test_error"], 1.71),
                Row("its classifier alone", 25.81, error(alone, data.x_test, data.y_test), 3),
            ]
        )
    )
    print(f"{len(records)} epochs of the paper's 3,000, {seconds(records):.0f} s")


if __name__ == "__main__":
    run(main)
