"""Print the tables of docs/yardstick.md: every estimate of log p(x), on the digits.

    numpyvae train --latent-dim 8 --out run8
    python docs/measure_yardstick.py run8

Measures a run of the command on its 360 test digits, the slow estimates on the first 60 of them,
and all of them on 40 digits that the model drew. A minute of one core.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from numpyvae import VAE
from numpyvae.annealing import annealed_log_likelihood, bidirectional_log_likelihood, simulate
from numpyvae.data import load_digits
from numpyvae.evaluation import standard_error_of_mean

ANNEALED, SIMULATED = 60, 40
CHAINS, STEPS = 8, 300


def title(text):
    """The head of a table."""
    print(
        f"\n{text}\n\n| estimate | nats | standard error | ESS < 5 |\n|---|---|---|---|", flush=True
    )


def row(name, values, estimate=None):
    """One line: the mean, its standard error, how many effective sample sizes are below 5."""
    error = few = ""
    if estimate is not None:
        error = f"{standard_error_of_mean(estimate):.3f}"
        few = f"{(estimate.effective_sample_size < 5).sum()}"
    print(f"| {name} | {np.mean(values):.2f} | {error} | {few} |", flush=True)


def sampled(vae, x):
    """The estimates that `log_likelihood` gives."""
    row("ELBO", vae.elbo(x, 20))
    for method, n_samples in (("importance", 500), ("importance", 5000), ("refined", 500)):
        estimate = vae.log_likelihood(x, n_samples, None, method, full=True)
        if method == "refined":
            row("ELBO of the refined posteriors", estimate.elbo)
        row(f"{method}, {n_samples} samples", estimate.log_likelihood, estimate)
    if vae.latent_dim <= 2:
        estimate = vae.log_likelihood(x, full=True)
        row("quadrature", estimate.log_likelihood, estimate)


def main():
    x_test = load_digits().x_test
    for run in sys.argv[1:]:
        vae = VAE.load(Path(run) / "model.npz")
        drawn, z = simulate(vae, SIMULATED, np.random.default_rng(1))
        title(f"{vae!r}: {SIMULATED} digits that it drew")
        sampled(vae, drawn)
        for start in ("prior", "refined"):
            bounds = bidirectional_log_likelihood(vae, drawn, z, CHAINS, STEPS, None, start)
            row(f"annealed from the {start}, lower bound", bounds.lower)
            row(f"annealed from the {start}, upper bound", bounds.upper)
        title(f"{vae!r}: the first {ANNEALED} test digits")
        sampled(vae, x_test[:ANNEALED])
        for start in ("prior", "refined"):
            began = time.process_time()
            estimate = annealed_log_likelihood(vae, x_test[:ANNEALED], CHAINS, STEPS, None, start)
            seconds = time.process_time() - began
            row(f"annealed from the {start}, {seconds:.0f} s", estimate.log_likelihood, estimate)
        title(f"{vae!r}: {len(x_test)} test digits")
        sampled(vae, x_test)


if __name__ == "__main__":
    main()
