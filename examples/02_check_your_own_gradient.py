"""Check a gradient of your own: a small recurrent network, once right and once with a mistake.

The checker needs only a function ``f(theta) -> number`` and your gradient. Here theta is a dict of
arrays, f is the loss of a recurrent network that reads sequences, and the gradient was written by
hand, backward through time.

    python examples/02_check_your_own_gradient.py [figure.png]
"""

import sys

import numpy as np

from numpyvae.gradient_check import check_grad

T, N, D, H = 4, 5, 3, 6  # steps, sequences, inputs, hidden units: all different, on purpose
rng = np.random.default_rng(0)
x = rng.standard_normal((T, N, D))
target = rng.standard_normal(N)


def random_theta():
    """A generic point: nothing is zero, nothing saturates."""
    shapes = {"U": (D, H), "W": (H, H), "b": (H,), "v": (H,)}
    return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def loss(theta):
    """mean_n (h_T v - target)^2 / 2 with h_t = tanh(x_t U + h_{t-1} W + b)."""
    h = np.zeros((N, H))
    for t in range(T):
        h = np.tanh(x[t] @ theta["U"] + h @ theta["W"] + theta["b"])
    return 0.5 * np.sum((h @ theta["v"] - target) ** 2) / N


def gradient(theta, mistake=False):
    """Every d loss / d theta, backward through time."""
    h = [np.zeros((N, H))]
    for t in range(T):
        h.append(np.tanh(x[t] @ theta["U"] + h[-1] @ theta["W"] + theta["b"]))
    grads = {name: np.zeros_like(value) for name, value in theta.items()}
    dy = (h[-1] @ theta["v"] - target) / N  # (N,)
    grads["v"] += h[-1].T @ dy
    dh = np.outer(dy, theta["v"])  # (N, H)
    for t in reversed(range(T)):
        da = dh * (1.0 - h[t + 1] ** 2)  # (N, H)
        grads["U"] += x[t].T @ da
        grads["W"] += da.T @ h[t] if mistake else h[t].T @ da
        grads["b"] += da.mean(axis=0) if mistake else da.sum(axis=0)
        dh = da @ theta["W"].T
    return grads


def main():
    theta = random_theta()
    print("The right gradient:\n")
    print(check_grad(loss, theta, gradient))

    print("\n\nThe same with two mistakes:\n")
    report = check_grad(loss, theta, lambda p: gradient(p, mistake=True), sizes={"N": N, "T": T})
    print(report)

    path = sys.argv[1] if len(sys.argv) > 1 else "check_your_own_gradient.png"
    report.plot().savefig(path, dpi=120)
    print(f"\nThe pictures are in {path}.")


if __name__ == "__main__":
    main()
