"""The training loop of `VAE.fit`, written out: ten lines, from random weights to digits."""

import numpy as np

from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits

x_train, _, x_test, _ = load_digits()
vae = VAE(data_dim=64, latent_dim=2, hidden_dims=(128,), likelihood=Binomial(16), seed=0)

rng = np.random.default_rng(0)
optimizer = Adam(learning_rate=3e-3)
theta = vae.theta  # all parameters, one vector (P,)
grad = np.empty_like(theta)  # one buffer for every step's gradient

for epoch in range(1, 101):
    for rows in np.array_split(rng.permutation(len(x_train)), 12):
        x = x_train[rows]  # (N, 64) counts 0..16
        noise = vae.draw_noise(rng, len(x))  # (N, 2), drawn once, for forward and backward
        loss, grad = vae.loss_and_grad(theta, x, noise, out=grad)
        optimizer.step(theta, grad)  # in place
    if epoch % 20 == 0:
        elbo = vae.elbo(x_test, n_samples=10, rng=np.random.default_rng(0)).mean()
        print(f"epoch {epoch:3d}: loss of the last minibatch {loss:.2f}, test ELBO {elbo:.2f} nats")
