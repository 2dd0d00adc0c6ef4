"""The network of every VAE tutorial, 784-400-20, on MNIST: test -ELBO after 10 epochs.

ReLU, Adam at 1e-3, minibatches of 128, pixels binarised anew each time they are seen (training and
test). The reference is not a published number but an independent run of the same protocol: 102.6
nats.
"""

from __future__ import annotations

import time

import numpy as np
from common import Row, arguments, mnist_or_none, run, table

from numpyvae import VAE, Adam, Bernoulli
from numpyvae.data import binarize_pixels


def main() -> None:
    options = arguments(__doc__, checkpoints=False, epochs=10).parse_args()
    data = mnist_or_none()
    if data is None:
        return
    started = time.perf_counter()
    vae = VAE(784, 20, (400,), "relu", Bernoulli(), seed=0)
    vae.fit(data.x_train, options.epochs, 128, Adam(1e-3), transform=binarize_pixels)
    rng = np.random.default_rng(0)
    elbo = vae.elbo(binarize_pixels(data.x_test, rng), n_samples=10, rng=rng)
    print(table([Row("test -ELBO, nats", 102.6, float(-elbo.mean()), 1.0)]))
    error = elbo.std() / len(elbo) ** 0.5
    print(f"standard error over the test images {error:.2f}")
    print(f"seed 0, {options.epochs} epochs, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    run(main, checkpoints=False)
