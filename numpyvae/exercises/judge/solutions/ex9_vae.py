"""Exercise 9: the variational autoencoder, trained on handwritten digits.

The loss and its gradient (exercise 5) and Adam (exercise 6) come from `given`. Train on
minibatches. All randomness is drawn beforehand, so that correct programs agree: in step t = 1, 2,
..., the minibatch is x[batches[t - 1]] and its noise is noise[t - 1].

    for each step: loss and gradient of the minibatch; one Adam step for every parameter

Use Adam with beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, and m = v = 0 before the first step. The
parameters are in a dict with the names of exercise 5. beta = 1: the loss is minus the ELBO.
"""

import numpy as np

from given import adam_step, dense, negative_elbo, negative_elbo_backward, sigmoid, tanh


def train(params, x, batches, noise, learning_rate):
    """The loss before each step, (T,), and the trained parameters, a new dict.

    x (M, D), batches (T, N) row numbers of x, noise (T, N, L). Do not change `params`.
    """
    losses = np.empty(len(batches))
    params = dict(params)
    moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in params.items()}
    for i, rows in enumerate(batches):
        losses[i], cache = negative_elbo(params, x[rows], noise[i], 1.0)
        grads = negative_elbo_backward(1.0, cache)
        for name, (m, v) in moments.items():
            params[name], *moments[name] = adam_step(
                params[name], grads[name], m, v, i + 1, learning_rate, 0.9, 0.999, 1e-8
            )
    return losses, params


def decode(params, z):
    """The means of p(x | z): probabilities, (N, D), for z (N, L).

    With z ~ N(0, I), the prior, these are new digits.
    """
    h, _ = tanh(dense(z, params["decoder.0.W"], params["decoder.0.b"])[0])
    logits, _ = dense(h, params["decoder.1.W"], params["decoder.1.b"])
    return sigmoid(logits)[0]


def initial_parameters(rng, D=64, H=64, L=2):
    """Weights of variance 1 / n_in, and zero biases."""
    shapes = {
        "encoder.0": (D, H),
        "encoder.1": (H, 2 * L),
        "decoder.0": (L, H),
        "decoder.1": (H, D),
    }
    params = {}
    for name, (n_in, n_out) in shapes.items():
        params[f"{name}.W"] = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
        params[f"{name}.b"] = np.zeros(n_out)
    return params


if __name__ == "__main__":
    from pictures import digits, show

    rng = np.random.default_rng(0)
    x = digits()
    batches = rng.integers(0, len(x), (4000, 64))
    losses, params = train(
        initial_parameters(rng), x, batches, rng.standard_normal((4000, 64, 2)), 3e-3
    )
    print(
        f"loss: {losses[0]:.1f} nats before, {losses[-200:].mean():.1f} after {len(losses)} steps"
    )
    show(losses, params, decode, rng)
