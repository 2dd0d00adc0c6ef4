"""Exercise 3: the reparameterised sample.

    z = mean + sigma * noise,   sigma = exp(log_var / 2)

mean, log_var, noise, z (N, L). log_var is the logarithm of the *variance* sigma^2. The noise is an
argument, drawn from N(0, 1) beforehand. So z ~ N(mean, sigma^2) is still a differentiable function
of mean and log_var (Kingma & Welling 2014, section 2.4).
"""

import numpy as np


def reparameterize(mean, log_var, noise):
    """z = mean + exp(log_var / 2) * noise, (N, L), and the cache."""
    sigma = np.exp(0.5 * log_var)
    z = mean + sigma * noise
    return z, (sigma, noise)


def reparameterize_backward(dz, cache):
    """dz = d loss / d z (N, L) -> dmean, dlog_var (N, L). The noise needs no gradient."""
    sigma, noise = cache
    dmean = dz
    dlog_var = 0.5 * dz * noise * sigma
    return dmean, dlog_var


if __name__ == "__main__":
    noise = np.random.default_rng(0).standard_normal((100_000, 1))
    z, _ = reparameterize(np.full((100_000, 1), 3.0), np.full((100_000, 1), np.log(4.0)), noise)
    print(f"mean {z.mean():.2f} (3 is right), standard deviation {z.std():.2f} (2 is right)")
