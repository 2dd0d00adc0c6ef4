"""Exercise 11: a mixture of Gaussians as prior of the code.

    log p(z) = log sum_k pi_k N(z; mean_k, sigma_k^2)   in nats,   pi = softmax(logits)

z (N, L), logits (K,), mean and log_var (K, L), log_var = log sigma^2. The mixture is learned. The
share of component k in the density at z_n, p(k | z_n), is its responsibility, (N, K). These sum to
1 over k. They cluster the data, and they weight each component's gradient.

Far from all components every density is 0 in floating point, but log p(z) is finite: subtract the
largest log-density of a row before exp. Logits may be large, too.
"""

import numpy as np

LOG_2PI = np.log(2.0 * np.pi)


def gaussian_mixture_log_prob(z, logits, mean, log_var):
    """Log p(z) of each example under the mixture, (N,) nats, and the cache."""
    residual = z[:, None] - mean  # (N, K, L)
    precision = np.exp(-log_var)
    shifted = logits - logits.max()
    log_pi = shifted - np.log(np.exp(shifted).sum())
    squares = residual**2 * precision
    joint = log_pi - 0.5 * (LOG_2PI + log_var + squares).sum(axis=2)  # log p(k, z), (N, K)
    top = joint.max(axis=1)
    log_prob = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    R = np.exp(joint - log_prob[:, None])  # the responsibilities
    return log_prob, (R, np.exp(log_pi), residual, precision)


def gaussian_mixture_log_prob_backward(dlog_prob, cache):
    """dlog_prob = d loss / d log_prob (N,) -> dz (N, L), dlogits (K,), dmean, dlog_var (K, L)."""
    R, pi, residual, precision = cache
    share = dlog_prob[:, None] * R  # (N, K)
    scaled = residual * precision
    dz = -(share[:, :, None] * scaled).sum(axis=1)
    dlogits = share.sum(axis=0) - pi * dlog_prob.sum()
    dmean = (share[:, :, None] * scaled).sum(axis=0)
    dlog_var = 0.5 * (share[:, :, None] * (residual * scaled - 1.0)).sum(axis=0)
    return dz, dlogits, dmean, dlog_var


def responsibilities(z, logits, mean, log_var):
    """p(k | z_n) of each component for each example, (N, K). Each row sums to 1."""
    squares = (z[:, None] - mean) ** 2 * np.exp(-log_var)
    joint = logits - 0.5 * (log_var + squares).sum(axis=2)  # what is the same for all k cancels
    share = np.exp(joint - joint.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def sample_mixture(component, noise, mean, log_var):
    """Samples z (N, L) of the components that were drawn, component (N,) whole numbers below K.

    noise (N, L) is drawn from the standard normal.
    """
    sigma = np.exp(0.5 * log_var)
    return mean[component] + sigma[component] * noise


if __name__ == "__main__":
    z, logits, mean = np.array([[0.0], [2.0], [90.0]]), np.zeros(2), np.array([[-2.0], [2.0]])
    log_prob, _ = gaussian_mixture_log_prob(z, logits, mean, np.zeros((2, 1)))
    shares, text = responsibilities(z, logits, mean, np.zeros((2, 1))).round(3), ""
    for i in range(3):
        text += f"z = {z[i, 0]:4.0f}: log p(z) = {log_prob[i]:.2f} nats, shares {shares[i]}\n"
    print(text, end="")
