"""The functions whose values are gradients, and what check.py differentiates to compare them with.

Each gives a function of some parameters, and the parameters: its derivative there must be yours.
"""

import numpy as np
from yours import your


def weighted_log_q(given):
    """Sum of value * log q, by your own log_q: each draw z, held fixed, with a mean of its own."""
    log_q, value, z = your("log_q"), given["value"], given["z"]

    def function(theta):
        draws = zip(value, z, theta["mean"], theta["log_var"], strict=True)
        return sum(v * log_q(z[None], mean, log_var)[0] for v, z, mean, log_var in draws)

    return function, of_each_draw(given)


def weighted_path(given):
    """Sum of df * z, each draw z = mean + exp(log_var / 2) * noise with a mean of its own."""
    df, noise = given["df"], given["noise"]

    def function(theta):
        return (df * (theta["mean"] + np.exp(theta["log_var"] / 2) * noise)).sum()

    return function, of_each_draw(given)


def of_each_draw(given):
    """mean and log_var, both (S, L): a row for each draw."""
    draws = len(next(iter(given.values())))
    return {key: given.get(key, 0.0) + np.zeros((draws, 3)) for key in ("mean", "log_var")}


def frozen_weights(given):
    """-1/N sum of w^2 (log p(x, z) - log q): w, and the mean 0 and log_var in log q, are fixed."""
    dlog_joint, log_var, noise = given["dlog_joint"], given["log_var"], given["noise"]
    w = np.exp(given["log_weight"] - given["log_weight"].max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)

    def function(theta):
        z = theta["mean"][:, None] + np.exp(theta["log_var"] / 2)[:, None] * noise
        log_q = -(z**2 * np.exp(-log_var)[:, None]).sum(axis=2) / 2
        return -(w**2 * ((dlog_joint * z).sum(axis=2) - log_q)).sum() / len(w)

    return function, {"mean": np.zeros(log_var.shape), "log_var": log_var}


def straight_through(given):
    """The loss: what stands in sg[...] is fixed, z_e + sg[z_q - z_e] for z_q, a linear decoder."""
    z_e, index, beta = given["z_e"], given["index"], given["beta"]
    z_q = given["codebook"][index]

    def function(theta):
        codebook_term = ((z_e - theta["codebook"][index]) ** 2).sum()
        commitment = ((theta["z_e"] - z_q) ** 2).sum()
        return (given["dz_q"] * theta["z_e"]).sum() + (codebook_term + beta * commitment) / len(z_e)

    return function, {"z_e": z_e, "codebook": given["codebook"]}


ESTIMATORS = {
    "score_function_gradient": weighted_log_q,
    "pathwise_gradient": weighted_path,
    "doubly_reparameterized": frozen_weights,
    "quantize_gradient": straight_through,
}
NEEDS = {"score_function_gradient": "log_q"}
