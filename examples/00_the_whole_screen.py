"""The whole VAE in plain NumPy, forward and backward, then trained on the digits in seconds.

One hidden layer on each side, black and white images, no class and no library but NumPy: the lines
of docs/derivations/sample.md. `main` compares every gradient with the package's, then trains.
"""

import numpy as np

from numpyvae import VAE
from numpyvae.data import load_digits

EPOCHS = 100


def loss_and_grads(p, x, noise, beta=1.0):
    N, L = noise.shape

    # down
    h = np.tanh(x @ p["encoder.0.W"] + p["encoder.0.b"])  # (N, H)
    heads = h @ p["encoder.1.W"] + p["encoder.1.b"]  # (N, 2L)
    mean, log_var = heads[:, :L], heads[:, L:]
    sigma = np.exp(log_var / 2)
    z = mean + sigma * noise  # (N, L)
    g = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"])  # (N, H)
    logits = g @ p["decoder.1.W"] + p["decoder.1.b"]  # (N, D)
    log_px = (x * logits - np.log1p(np.exp(logits))).sum(axis=1)  # (N,), for logits below 700
    kl = 0.5 * (mean**2 + sigma**2 - 1 - log_var).sum(axis=1)  # (N,)
    loss = (beta * kl - log_px).mean()

    # up
    dmean_kl, dlog_var_kl = beta / N * mean, beta / N * (sigma**2 - 1) / 2  # route 1
    doutput = (1 / (1 + np.exp(-logits)) - x) / N
    dpre_g = (1 - g**2) * (doutput @ p["decoder.1.W"].T)
    dz = dpre_g @ p["decoder.0.W"].T
    dmean_z, dlog_var_z = dz, dz * noise * sigma / 2  # route 2
    dheads = np.hstack([dmean_z + dmean_kl, dlog_var_z + dlog_var_kl])
    dpre_h = (1 - h**2) * (dheads @ p["encoder.1.W"].T)
    return loss, {
        "encoder.0.W": x.T @ dpre_h,
        "encoder.0.b": dpre_h.sum(axis=0),
        "encoder.1.W": h.T @ dheads,
        "encoder.1.b": dheads.sum(axis=0),
        "decoder.0.W": z.T @ dpre_g,
        "decoder.0.b": dpre_g.sum(axis=0),
        "decoder.1.W": g.T @ doutput,
        "decoder.1.b": doutput.sum(axis=0),
    }


def largest_error(p, x, noise, beta, vae):
    """The largest difference from numpyvae's gradient, relative to that array's largest entry."""
    theta = np.concatenate([p[name].ravel() for name in vae.layout.shapes])
    expected = vae.layout.views(vae.loss_and_grad(theta, x, noise)[1])
    _, grads = loss_and_grads(p, x, noise, beta)
    return max(np.abs(grads[k] - d).max() / np.abs(d).max() for k, d in expected.items())


def picture(p, z):
    """The images decoded from the rows of z, side by side, as text."""
    logits = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"]) @ p["decoder.1.W"] + p["decoder.1.b"]
    ink = np.rint(4 / (1 + np.exp(-logits))).astype(int)
    rows = ink.reshape(-1, 8, 8).swapaxes(0, 1)  # (8, images, 8)
    return "\n".join("  ".join("".join(" .:o#"[i] * 2 for i in line) for line in r) for r in rows)


def main():
    x_train, *_ = load_digits()
    x_train = (x_train > 7).astype(float)  # (1437, 64): ink or no ink
    rng = np.random.default_rng(0)
    vae = VAE(64, 2, hidden_dims=(64,), activation="tanh", beta=0.7, dtype=np.float64)
    p = {k: 0.3 * rng.standard_normal(shape) for k, shape in vae.layout.shapes.items()}
    error = largest_error(p, x_train[:5], rng.standard_normal((5, 2)), 0.7, vae)
    print(f"largest difference from numpyvae's gradient: {error:.0e} of the largest entry")

    for epoch in range(1, EPOCHS + 1):
        losses = []
        for rows in np.array_split(rng.permutation(len(x_train)), 24):
            loss, grads = loss_and_grads(p, x_train[rows], rng.standard_normal((len(rows), 2)))
            losses.append(loss)
            for name, dp in grads.items():
                p[name] -= 0.05 * dp
        if epoch in (1, 2, 10, EPOCHS):
            print(f"epoch {epoch:3d}: loss {np.mean(losses):.2f} nats")
    print("\nDecoded along a circle in the latent space:\n")
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    print(picture(p, 1.2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)))


if __name__ == "__main__":
    main()
