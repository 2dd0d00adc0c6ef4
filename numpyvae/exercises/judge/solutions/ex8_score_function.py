"""Exercise 8: the score-function estimator, and its variance beside the pathwise one.

Two unbiased estimates of the gradient of E[f(z)], z ~ q = N(mean, sigma^2), from one draw each:

    score function (REINFORCE):  f(z) times the gradient of log q(z), z held fixed
    pathwise (reparameterised):  the gradient of f(mean + sigma * noise), by the chain rule

The first needs only values of f, the second its slope df = f'(z). S draws, a row each: z, noise, df
(S, L), value = f(z) (S,). mean, log_var (L,), with log_var = log sigma^2, sigma = exp(log_var / 2):

    log q(z) = -1/2 sum_l (log(2 pi) + log_var_l + (z_l - mean_l)^2 / sigma_l^2)
"""

import numpy as np


def log_q(z, mean, log_var):
    """log q(z) of each draw, (S,) nats."""
    squares = (z - mean) ** 2 * np.exp(-log_var)
    return -0.5 * (np.log(2.0 * np.pi) + log_var + squares).sum(axis=1)


def score_function_gradient(value, z, mean, log_var):
    """value = f(z) (S,) -> the estimates of dmean and dlog_var from each draw, (S, L) each."""
    value = value[:, None]
    precision = np.exp(-log_var)
    dmean = value * (z - mean) * precision
    dlog_var = value * 0.5 * ((z - mean) ** 2 * precision - 1.0)
    return dmean, dlog_var


def pathwise_gradient(df, noise, log_var):
    """df = f'(z) (S, L) -> the estimates of dmean and dlog_var from each draw, (S, L) each."""
    dmean = df
    dlog_var = 0.5 * df * noise * np.exp(0.5 * log_var)
    return dmean, dlog_var


def variance_of_mean(estimates):
    """The variance of the mean of S estimates (S, L), itself estimated without bias: (L,).

    The unbiased sample variance of one estimate (divide by S - 1), divided by S.
    """
    S = len(estimates)
    return estimates.var(axis=0, ddof=1) / S


if __name__ == "__main__":
    mean, log_var = np.array([1.0]), np.array([0.0])
    noise = np.random.default_rng(0).standard_normal((10_000, 1))
    z = mean + np.exp(0.5 * log_var) * noise
    by_score, _ = score_function_gradient((z**2).sum(axis=1), z, mean, log_var)
    by_path, _ = pathwise_gradient(2.0 * z, noise, log_var)
    text = "d E[z^2] / d mean = 2, estimated from 10,000 draws:\n"
    for name, estimates in (("score function", by_score), ("pathwise", by_path)):
        error = np.sqrt(variance_of_mean(estimates)[0])
        text += f"  {name:<15} {estimates.mean():.3f} +- {error:.3f}\n"
    print(text, end="")
