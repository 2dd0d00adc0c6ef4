"""Print the tables of docs/yardstick.md: every estimate of log p(x), on the digits.

    python docs/measure_yardstick.py [L ...]

Trains a model of each latent dimension (2, 8, 16 unless given) with the default settings of the
command, and measures it on the test digits and on digits that it drew. Takes some
minutes; with one L an argument, processes can share the work.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from numpyvae import VAE, Adam, Binomial
from numpyvae.annealing import (
    annealed_log_likelihood,
    bidirectional_log_likelihood,
    simulate,
)
from numpyvae.data import load_digits
from numpyvae.evaluation import standard_error_of_mean

SIMULATED = 60
CHAINS, STEPS = 8, 400


def row(name, values, error=None, few=None):
    """One line of a table: the mean, its standard error, how many effective sizes are below 5."""
    error = "" if error is None else f"{error:.3f}"
    few = "" if few is None else few
    print(f"| {name} | {np.mean(values):.2f} | {error} | {few} |", flush=True)


def estimates(vae, x):
    """What `log_likelihood` and annealing say of x."""
    row("ELBO", vae.elbo(x, 20))
    methods = ["importance", "refined"] + ["quadrature"] * (vae.latent_dim <= 2)
    measured = [(f"{method}, 500", vae.log_likelihood(x, 500, None, method, full=True))
                for method in methods]  # fmt: skip
    more = vae.log_likelihood(x, 5000, None, "importance", full=True)
    measured.insert(1, ("importance, 5000", more))
    for name, estimate in measured:
        few = int((estimate.effective_sample_size < 5).sum())
        label = "quadrature" if estimate.method == "quadrature" else name
        row(label, estimate.log_likelihood, standard_error_of_mean(estimate), few)
        if name.startswith("refined"):
            row("ELBO of the refined posterior", estimate.elbo)


def main():
    x_train, _, x_test, _ = load_digits()
    for latent_dim in map(int, sys.argv[1:] or (2, 8, 16)):
        vae = VAE(64, latent_dim, (128,), likelihood=Binomial(16), seed=0)
        vae.fit(x_train, epochs=300, optimizer=Adam(3e-3), verbose=False)
        print(f"\nL = {latent_dim}, {len(x_test)} test digits, nats per digit\n")
        print("| estimate | mean | standard error | effective size < 5 |\n|---|---|---|---|")
        estimates(vae, x_test)
        for start in ("prior", "refined"):
            began = time.process_time()
            estimate = annealed_log_likelihood(vae, x_test, CHAINS, STEPS, None, start)
            seconds = time.process_time() - began
            error = standard_error_of_mean(estimate)
            row(f"annealed from the {start} ({seconds:.0f} s)", estimate.log_likelihood, error)
        print(f"\nL = {latent_dim}, {SIMULATED} digits that the model drew, nats per digit\n")
        print("| estimate | mean | standard error | effective size < 5 |\n|---|---|---|---|")
        x, z = simulate(vae, SIMULATED, np.random.default_rng(1))
        estimates(vae, x)
        for start in ("prior", "refined"):
            bounds = bidirectional_log_likelihood(vae, x, z, CHAINS, STEPS, None, start)
            row(f"annealed from the {start}, lower", bounds.lower)
            row(f"annealed from the {start}, upper", bounds.upper)


if __name__ == "__main__":
    main()
