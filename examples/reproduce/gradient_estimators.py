"""Mohamed et al. 2020: the variances of gradient estimators of E f(z), exact and measured.

f(z) = (z - k)^2 and z ~ N(mu, s^2), so that E f = d^2 + s^2 with d = mu - k: its derivatives are
2 d by mu and 2 s by s. The pathwise estimates go through the package's own pair, `reparameterize`
and `reparameterize_backward`; the score-function estimates are (f(z) - b) d log q(z) / d mu or d s,
with no baseline b, with E f, and with the best constant. Exact variances are polynomials in d and s
(example 07 has those by mu). "Measured" is the variance of 8 million draws; the tolerance is four
of its standard errors, sqrt((m_4 - variance^2) / n) with the fourth central moment m_4.
"""

from __future__ import annotations

import time

import numpy as np
from common import Row, arguments, example, run, table

from numpyvae.gaussian import reparameterize, reparameterize_backward

LESSON = example("07")
CASES = ((1.0, 0.5, 0.0), (0.0, 1.0, 0.0), (2.0, 0.5, -1.0), (-0.5, 2.0, 1.0))  # mu, s, k
CHUNK = 200_000


def exact(d: float, s: float) -> dict[str, float]:
    """The variance of one draw of each estimate."""
    by_mu = {f"d/dmu {n}": v for n, v in LESSON["gaussian_variances"](d, s, 1).items()}
    return {
        **by_mu,
        "d/ds pathwise": 4 * d**2 + 8 * s**2,
        "d/ds score, no baseline": 2 * d**4 / s**2 + 60 * d**2 + 74 * s**2,
    }


def estimates(mu: float, s: float, k: float, noise: np.ndarray) -> dict[str, np.ndarray]:
    """One draw of each estimate for each entry of noise (n,)."""
    log_var = np.full(noise.shape, 2.0 * np.log(s))
    z, cache = reparameterize(np.full(noise.shape, mu), log_var, noise)
    dmean, dlog_var = reparameterize_backward(2.0 * (z - k), cache)
    by_mu = LESSON["gaussian_estimates"](mu - k, s, noise[:, None])
    return {
        **{f"d/dmu {name}": values for name, values in by_mu.items()},
        "d/dmu pathwise": dmean,
        "d/ds pathwise": dlog_var * 2.0 / s,  # log_var = 2 log s
        "d/ds score, no baseline": (z - k) ** 2 * (noise**2 - 1.0) / s,
    }


def measured(mu: float, s: float, k: float, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Mean, variance, and its standard error, of n draws of each estimate."""
    rng = np.random.default_rng(seed)
    powers: dict[str, np.ndarray] = {}
    means = {name: 2.0 * (mu - k if "dmu" in name else s) for name in exact(mu - k, s)}
    for start in range(0, n, CHUNK):
        noise = rng.standard_normal(min(CHUNK, n - start))
        for name, values in estimates(mu, s, k, noise).items():
            about = values - means[name]
            sums = np.array([(about**p).sum() for p in (1, 2, 3, 4)])
            powers[name] = powers.get(name, 0.0) + sums / n
    found = {}
    for name, (m1, m2, m3, m4) in powers.items():
        variance = m2 - m1**2
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        error = np.sqrt((fourth - variance**2) / n)
        found[name] = np.array([means[name] + m1, variance, error])
    return found


def rows(cases, n: int) -> list[Row]:
    """A row for each variance, and one for how far the means are off."""
    found, off = [], 0.0
    for mu, s, k in cases:
        moments = measured(mu, s, k, n)
        for name, variance in exact(mu - k, s).items():
            mean, value, error = moments[name]
            found.append(Row(f"mu {mu:g}, s {s:g}, k {k:g}: {name}", variance, value, 4 * error))
            true = 2.0 * (mu - k if "dmu" in name else s)
            off = max(off, abs(mean - true) / np.sqrt(value / n))
    return [*found, Row("largest error of a mean, in standard errors", None, off, 4.0, "below")]


def main() -> None:
    parser = arguments(__doc__, checkpoints=False, least={"draws": 3}, draws=8_000_000)
    options = parser.parse_args()
    started = time.perf_counter()
    print(table(rows(CASES, options.draws)))
    print(f"{options.draws:,} draws, seed 0, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    run(main, checkpoints=False)
