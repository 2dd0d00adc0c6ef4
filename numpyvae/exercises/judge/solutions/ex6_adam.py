"""Exercise 6: Adam.

One step of Adam (Kingma & Ba 2015, algorithm 1), for step number t = 1, 2, 3, ...:

    m <- beta1 m + (1 - beta1) grad            a running mean of the gradient
    v <- beta2 v + (1 - beta2) grad^2          a running mean of its square
    m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)     m and v start at 0; this corrects it
    theta <- theta - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

theta, grad, m and v have shape (P,); everything else is a number. At t = 1 every entry moves by
about learning_rate, whatever the size of its gradient.
"""

import numpy as np


def adam_step(theta, grad, m, v, t, learning_rate, beta1, beta2, epsilon):
    """The new theta, m and v, (P,) each. Do not change the arrays passed in."""
    if t < 1:
        raise ValueError(f"expected t = 1, 2, 3, ..., got {t}")
    m = beta1 * m + (1.0 - beta1) * grad
    v = beta2 * v + (1.0 - beta2) * grad**2
    m_hat = m / (1.0 - beta1**t)
    v_hat = v / (1.0 - beta2**t)
    theta = theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta, m, v


if __name__ == "__main__":
    theta = m = v = np.zeros(3)
    theta, m, v = adam_step(theta, np.array([100.0, 1.0, -0.5]), m, v, 1, 0.1, 0.9, 0.999, 1e-8)
    print("one step with learning rate 0.1:", theta.round(6), "([-0.1 -0.1  0.1] is right)")
