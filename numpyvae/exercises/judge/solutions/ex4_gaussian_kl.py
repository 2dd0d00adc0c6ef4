"""Exercise 4: the Kullback-Leibler divergence from a diagonal Gaussian to the standard normal.

    KL(N(mean, sigma^2) || N(0, I)) = 1/2 sum_l (mean_l^2 + sigma_l^2 - 1 - log sigma_l^2)   in nats

mean, log_var (N, L), and log_var = log sigma^2. One number for each example, (N,). It is never
negative, and zero only at mean = 0, log_var = 0 (Kingma & Welling 2014, appendix B).
"""

import numpy as np


def kl_to_standard_normal(mean, log_var):
    """KL(N(mean, exp(log_var)) || N(0, I)) of each example, (N,) nats, and the cache."""
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1.0 - log_var).sum(axis=1)
    return kl, (mean, log_var)


def kl_to_standard_normal_backward(dkl, cache):
    """dkl = d loss / d kl (N,) -> dmean, dlog_var (N, L)."""
    mean, log_var = cache
    dkl = dkl[:, None]
    dmean = dkl * mean
    dlog_var = 0.5 * dkl * (np.exp(log_var) - 1.0)
    return dmean, dlog_var


if __name__ == "__main__":
    text = ""
    for mean, log_var in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        kl, _ = kl_to_standard_normal(np.full((1, 1), mean), np.full((1, 1), log_var))
        text += f"KL(N({mean}, e^{log_var}) || N(0, 1)) = {kl[0]:.4f} nats\n"
    print(text, end="")
