"""The time of one training step, beside the time of its matrix products alone.

    python docs/benchmarks/step_time.py [--seconds 2]

A step is what `VAE.fit` does for each minibatch: draw noise, loss, gradient, Adam; in float32. The
floor is the same step's eleven matrix products by `np.matmul(..., out=)`, which no NumPy code can
avoid. Both take turns within one run; medians and their ratio are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from numpyvae import VAE, Adam, Bernoulli

CASES = [(64, 128, 8), (784, 200, 50), (784, 400, 20)]
BATCH_SIZES = [20, 128, 512]


def training_step(data_dim: int, hidden_dim: int, latent_dim: int, n: int) -> Callable[[], None]:
    """One step on one minibatch of n random binary examples."""
    vae = VAE(data_dim, latent_dim, (hidden_dim,), likelihood=Bernoulli())
    rng, optimizer = np.random.default_rng(0), Adam()
    x = rng.integers(0, 2, (n, data_dim)).astype(np.float32)
    grad = np.empty_like(vae.theta)

    def step() -> None:
        vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, n), out=grad)
        optimizer.step(vae.theta, grad)

    return step


def matrix_products(data_dim: int, hidden_dim: int, latent_dim: int, n: int) -> Callable[[], None]:
    """The products of the same step: y = x W, dW = x^T dy, dx = dy W^T (not for the data)."""
    widths = [data_dim, hidden_dim, 2 * latent_dim], [latent_dim, hidden_dim, data_dim]
    rng = np.random.default_rng(0)
    products = []
    for network, is_encoder in zip(widths, (True, False), strict=True):
        for i, (n_in, n_out) in enumerate(pairwise(network)):
            shapes = (n, n_in), (n_in, n_out), (n, n_out)
            x, w, dy = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
            products += [(x, w, np.empty_like(dy)), (x.T, dy, np.empty_like(w))]
            if not (is_encoder and i == 0):
                products.append((dy, w.T, np.empty_like(x)))

    def multiply() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    return multiply


def interleaved_medians(functions: list[Callable[[], None]], seconds: float) -> list[float]:
    """Median time of each function in seconds; they take turns, so that noise hits all alike."""
    for function in functions * 3:
        function()
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while not times[0] or time.perf_counter() < end:
        for function, measured in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each case")
    seconds = parser.parse_args().seconds
    print(f"NumPy {np.__version__}, float32, medians in milliseconds")
    print(f"{'data, hidden, latent':<22}{'batch':>6}{'step':>10}{'products':>10}{'ratio':>8}")
    ratios = []
    for case in CASES:
        for n in BATCH_SIZES:
            functions = [training_step(*case, n), matrix_products(*case, n)]
            step, floor = interleaved_medians(functions, seconds)
            ratios.append(step / floor)
            name = ", ".join(str(size) for size in case)
            print(f"{name:<22}{n:>6}{1e3 * step:>10.3f}{1e3 * floor:>10.3f}{ratios[-1]:>8.2f}")
    print(f"{'geometric mean of the ratios':<48}{statistics.geometric_mean(ratios):>8.2f}")


if __name__ == "__main__":
    main()
