"""Exercise 7: the Gaussian likelihood with learned variance.

    log N(x; mean, sigma^2) = -1/2 sum_d (log(2 pi) + log_var_d + (x_d - mean_d)^2 / sigma_d^2)

x, mean (N, D); log_var (D,) is a parameter, the logarithm of the variance sigma_d^2, one for each
data dimension and shared by all examples. One number in nats for each example, (N,). All constants
are kept: only then is the ELBO a bound on log p(x).
"""

import numpy as np


def gaussian_log_prob(x, mean, log_var):
    """log N(x; mean, exp(log_var)) of each example, (N,) nats, and the cache."""
    residual = x - mean
    squares = residual**2 * np.exp(-log_var)
    log_prob = -0.5 * (np.log(2.0 * np.pi) + log_var + squares).sum(axis=1)
    return log_prob, (residual, log_var)


def gaussian_log_prob_backward(dlog_prob, cache):
    """dlog_prob = d loss / d log_prob (N,) -> dmean (N, D), dlog_var (D,). x needs no gradient.

    Every example uses log_var, so its gradient is a sum over the examples.
    """
    residual, log_var = cache
    dlog_prob = dlog_prob[:, None]
    precision = np.exp(-log_var)
    dmean = dlog_prob * residual * precision
    dlog_var = (0.5 * dlog_prob * (residual**2 * precision - 1.0)).sum(axis=0)
    return dmean, dlog_var


if __name__ == "__main__":
    log_prob, _ = gaussian_log_prob(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1))
    print(f"log N(0; 0, 1) = {log_prob[0]:.4f} nats (-0.9189 is right)")
