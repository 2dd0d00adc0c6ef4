"""Rainforth et al. 2018: more importance samples make the encoder's gradient worse.

The signal-to-noise ratio of a gradient estimate is |mean| / standard deviation. With K samples in
the bound the encoder's falls as K^(-1/2) and the decoder's rises as K^(1/2); the doubly
reparameterised gradient of the encoder rises as K^(1/2), too (Tucker et al. 2019). The model is the
paper's, and example 16's: z ~ N(mu, I), x = z + noise in 20 dimensions, q(z|x) = N(A x + b, 2/3 I)
with A and b off by 0.01 from the best; here for one x. Gradients are by b and by mu, whose true
value is 0 here.

Both estimates of the encoder's gradient have the same mean, so it is taken from the doubly
reparameterised one, which has much less noise; a row of the table checks that they agree. The ratio
of a gradient is the length of its mean / the square root of its summed variances; the square of the
length is unbiased, |mean of n|^2 - variances / n. Slopes are those of least squares, log ratio on
log K: the mean over independent batches, and twice its standard error.
"""

from __future__ import annotations

import time

import numpy as np
from common import Row, arguments, example, run, table

LESSON = example("16")
STANDARD, DOUBLY, DECODER = LESSON["STANDARD"], LESSON["DOUBLY"], "decoder"
COUNTS = (64, 128, 256, 512, 1024)
PUBLISHED = {STANDARD: -0.5, DOUBLY: 0.5, DECODER: 0.5}
CHUNK = 20_000  # samples at a time, so that they stay in the cache


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One x (D,) of the model, and the encoder's mean for it."""
    rng, D, off = np.random.default_rng(seed), LESSON["D"], LESSON["OFF"]
    x = np.sqrt(2.0) * rng.standard_normal(D)
    A = 0.5 * np.eye(D) + off * rng.standard_normal((D, D))
    return x, A @ x + off * rng.standard_normal(D)


def moments(x, mean, K: int, n: int, rng) -> dict[str, np.ndarray]:
    """Mean and variance, (2, D), of n draws of each gradient."""
    sums: dict[str, np.ndarray] = {}
    size = max(1, CHUNK // K)
    for start in range(0, n, size):
        noise = rng.standard_normal((min(size, n - start), K, len(x)))
        estimates, _ = LESSON["gradients"](*LESSON["samples"](x, mean, noise))
        # d log p(x, z) / d mu = z - mu, and by z it is x - 2 z + mu; mu = 0, and shares sum to 1.
        estimates[DECODER] = 0.5 * (x - estimates[STANDARD])
        for name in PUBLISHED:
            values = estimates[name]
            sums[name] = sums.get(name, 0.0) + np.stack([values.sum(0), (values**2).sum(0)]) / n
    return {name: np.stack([m, q - m**2]) for name, (m, q) in sums.items()}


def ratios(found: dict[str, np.ndarray], n: int) -> dict[str, float]:
    """Signal to noise of each gradient from the `moments` of n draws."""

    def length(name: str) -> float:
        mean, variance = found[name]
        return np.sqrt(max((mean**2 - variance / n).sum(), 0.0))

    signal = {DECODER: length(DECODER)} | dict.fromkeys((STANDARD, DOUBLY), length(DOUBLY))
    return {name: signal[name] / np.sqrt(found[name][1].sum()) for name in PUBLISHED}


def slopes(counts, n: int, batches: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Slopes (batches,) of each gradient, and the mean ratios (counts, gradients)."""
    (x, mean), rng = problem(), np.random.default_rng(1)
    logs = np.log(
        [
            [list(ratios(moments(x, mean, K, n, rng), n).values()) for K in counts]
            for _ in range(batches)
        ]
    )  # (batches, counts, gradients)
    centred = np.log(counts) - np.mean(np.log(counts))
    slope = np.einsum("k,bkg->gb", centred, logs) / (centred**2).sum()
    return dict(zip(PUBLISHED, slope, strict=True)), np.exp(logs.mean(axis=0))


def disagreement(K: int, n: int) -> float:
    """The largest difference of the means of the encoder's two gradients, in standard errors."""
    found = moments(*problem(), K, n, np.random.default_rng(2))
    (one, variance), (other, smaller) = found[STANDARD], found[DOUBLY]
    return float(np.max(np.abs(one - other) / np.sqrt((variance + smaller) / n)))


def rows(counts, n: int, batches: int) -> list[Row]:
    """The table, and printed above it the ratios that it rests on."""
    by_name, mean_ratios = slopes(counts, n, batches)
    print(f"signal to noise: {', '.join(PUBLISHED)}")
    for K, values in zip(counts, mean_ratios, strict=True):
        print(f"  K = {K:4}: {', '.join(f'{value:.4f}' for value in values)}")
    found = []
    for name, published in PUBLISHED.items():
        slope = by_name[name]
        error = 2 * slope.std(ddof=1) / np.sqrt(batches)
        print(f"  slope of {name}: {slope.mean():.4f} +- {error:.4f}")
        found.append(Row(f"slope, {name}", published, slope.mean(), 0.05))
    off = disagreement(16, 20 * n)
    return [*found, Row("K = 16: means of the encoder's two, s.e.", None, off, 4.0, "below")]


def main() -> None:
    least = {"draws": 2, "batches": 2}
    parser = arguments(__doc__, checkpoints=False, least=least, draws=1000, batches=10)
    options = parser.parse_args()
    started = time.perf_counter()
    print(table(rows(COUNTS, options.draws, options.batches)))
    print(f"seeds 0 to 2, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    run(main, checkpoints=False)
