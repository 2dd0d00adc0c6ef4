"""Exercise 12: the importance-weighted bound, and two gradients of the encoder.

S samples z_s = mean + sigma noise_s of each example give a tighter bound on log p(x) than one does:

    log_weight_s = log p(x|z_s) + log p(z_s) - log q(z_s|x)       with p(z) = N(0, I)
    bound        = log (1/S sum_s exp(log_weight_s))  <=  log p(x)                 in nats

log_weight (N, S), bound (N,). Written with the noise, log q of a sample contains neither the mean
nor z: log q = -1/2 sum_l (log(2 pi) + log_var_l + noise_l^2). Log-weights may be -10,000: subtract
the largest of a row before exp.

The loss is minus the mean of the N bounds. Its derivative is noisy for the encoder, the more so
the larger S is. The doubly reparameterised estimator (Tucker et al. 2019) has the same
mean and less noise. It reaches the encoder only through z: the mean and log_var inside log q are
held constant. Each sample is weighted by the square of its normalised weight w:

    dz_s = -1/N w_s^2 (d log p(x, z_s)/dz - d log q(z_s|x)/dz)
"""

import numpy as np

LOG_2PI = np.log(2.0 * np.pi)


def importance_weights(log_weight):
    """The normalised weights w of the samples, (N, S). Each row sums to 1."""
    weights = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def importance_bound(log_weight):
    """The importance-weighted bound on log p(x) of each example, (N,) nats, and the cache."""
    top = log_weight.max(axis=1)
    total = np.exp(log_weight - top[:, None]).sum(axis=1)
    bound = top + np.log(total) - np.log(log_weight.shape[1])
    weights = np.exp(log_weight - top[:, None]) / total[:, None]
    return bound, weights


def importance_bound_backward(dbound, cache):
    """dbound = d loss / d bound (N,) -> dlog_weight (N, S)."""
    weights = cache
    return dbound[:, None] * weights


def log_importance_weight(log_px, z, log_var, noise):
    """log_weight (N, S) nats, and the cache. log_px = log p(x|z) (N, S), z and noise (N, S, L).

    log_var (N, L) is that of q. Here z counts as an argument of its own.
    """
    log_pz = -0.5 * (LOG_2PI + z**2).sum(axis=2)
    log_q = -0.5 * (LOG_2PI + log_var[:, None] + noise**2).sum(axis=2)
    return log_px + log_pz - log_q, z


def log_importance_weight_backward(dlog_weight, cache):
    """dlog_weight = d loss / d log_weight (N, S) -> dlog_px (N, S), dz, dlog_var (N, L).

    dz (N, S, L) is the gradient through log p(z).
    """
    z = cache
    dlog_px = dlog_weight.copy()
    dz = -dlog_weight[:, :, None] * z
    dlog_var = 0.5 * dlog_weight.sum(axis=1)[:, None] * np.ones(z.shape[2])
    return dlog_px, dz, dlog_var


def doubly_reparameterized(log_weight, dlog_joint, log_var, noise):
    """The estimator of d loss / d mean and d loss / d log_var, both (N, L).

    log_weight (N, S); dlog_joint = d log p(x, z_s)/dz (N, S, L); log_var (N, L); noise (N, S, L).
    """
    weights = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    sigma = np.exp(0.5 * log_var)
    through_z = dlog_joint + noise / sigma[:, None]  # d log q / dz = -noise / sigma
    dz = -(weights[:, :, None] ** 2) * through_z / len(log_weight)
    dmean = dz.sum(axis=1)
    dlog_var = 0.5 * (dz * noise).sum(axis=1) * sigma
    return dmean, dlog_var


if __name__ == "__main__":
    log_weight = np.array([[-100.0, -100.0], [-100.0, -5000.0]])
    text = f"bounds: {importance_bound(log_weight)[0].round(4)} expected -100 and -100.6931\n"
    print(text + f"weights: {importance_weights(log_weight).tolist()}\n", end="")
