"""The same training step in NumPy (ours), PyTorch and JAX, and the matrix products it cannot avoid.

A step is what training does for each minibatch: draw noise, loss, gradient, Adam; in float32.
Every contender has a Bernoulli likelihood on logits, one ReLU layer of H each side, one Dense of 2L
for mean and log_var, the analytic KL, and loss = mean over the batch. Each is written as its users
write it well. `tests/test_benchmarks.py` proves that all compute the same loss and gradient.
"""

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numpyvae import VAE, Adam, Bernoulli
from numpyvae.gradient_check.blas import CORES

Step = Callable[[], object]


class Case(NamedTuple):
    """A network: D-H-2L and L-H-D."""

    data: int
    hidden: int
    latent: int

    def __str__(self) -> str:
        return ", ".join(str(size) for size in self)

    @property
    def n_parameters(self) -> int:
        d, h, latent = self
        return (d + 1) * h + (h + 1) * 2 * latent + (latent + 1) * h + (h + 1) * d


def binary_data(n: int, data_dim: int) -> np.ndarray:
    """Random zeros and ones (n, D), float32."""
    return np.random.default_rng(0).integers(0, 2, (n, data_dim), np.uint8).astype(np.float32)


# Ours.


def our_model(case: Case, dtype: type = np.float32) -> VAE:
    return VAE(case.data, case.latent, (case.hidden,), likelihood=Bernoulli(), dtype=dtype)


def our_step(case: Case, n: int) -> Step:
    vae, x = our_model(case), binary_data(n, case.data)
    rng, optimizer = np.random.default_rng(0), Adam()
    _, grad = vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, n))

    def step() -> None:
        vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, n), out=grad)
        optimizer.step(vae.theta, grad)

    return step


# PyTorch.


def torch_model(case: Case, theta: np.ndarray | None = None):
    """An nn.Module with `loss(x, noise)`; theta (P,) is a parameter vector of `our_model`."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class TorchVAE(nn.Module):
        def __init__(self):
            super().__init__()
            d, h, latent = case
            self.encoder = nn.Sequential(nn.Linear(d, h), nn.ReLU(), nn.Linear(h, 2 * latent))
            self.decoder = nn.Sequential(nn.Linear(latent, h), nn.ReLU(), nn.Linear(h, d))

        def loss(self, x, noise):
            mean, log_var = self.encoder(x).chunk(2, dim=1)
            z = mean + torch.exp(0.5 * log_var) * noise
            logits = self.decoder(z)
            minus_log_px = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            return (minus_log_px + kl) / len(x)

    model = TorchVAE()
    if theta is not None:
        ours = our_model(case).layout.views(theta)
        model.to(torch.from_numpy(theta).dtype)
        for parameter, value in zip(model.parameters(), ours.values(), strict=True):
            parameter.data.copy_(torch.from_numpy(value.T))  # nn.Linear holds W transposed
    return model


def use_threads() -> None:
    """PyTorch with as many threads as it was told to use, or as this process has cores."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", CORES)))


def torch_step(case: Case, n: int, **adam: bool) -> Step:
    import torch

    use_threads()
    torch.manual_seed(0)
    model, x = torch_model(case), torch.from_numpy(binary_data(n, case.data))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model.loss(x, torch.randn(n, case.latent)).backward()
        optimizer.step()

    return step


def fused_torch_step(case: Case, n: int) -> Step:
    return torch_step(case, n, fused=True)


# JAX.


def jax_parameters(case: Case, theta: np.ndarray) -> dict:
    """A vector of `our_model` as a dict of arrays."""
    import jax.numpy as jnp

    return {name: jnp.array(value) for name, value in our_model(case).layout.views(theta).items()}


def jax_loss(params: dict, x, noise):
    import jax
    import jax.numpy as jnp

    def dense(name, x):
        return x @ params[f"{name}.W"] + params[f"{name}.b"]

    mean, log_var = jnp.split(dense("encoder.1", jax.nn.relu(dense("encoder.0", x))), 2, axis=1)
    z = mean + jnp.exp(0.5 * log_var) * noise
    logits = dense("decoder.1", jax.nn.relu(dense("decoder.0", z)))
    minus_log_px = jnp.sum(jax.nn.softplus(logits) - x * logits)
    kl = -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var))
    return (minus_log_px + kl) / len(x)


def jax_adam(params: dict, grads: dict, m: dict, v: dict, t):
    """One step of Adam(1e-3); t counts from 1."""
    import jax
    import jax.numpy as jnp

    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    m_scale, v_scale = 1 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    params = jax.tree.map(
        lambda p, m, v: p - 1e-3 * (m * m_scale) / (jnp.sqrt(v * v_scale) + 1e-8), params, m, v
    )
    return params, m, v


def jax_trainer(case: Case, n: int) -> Callable[[object], object]:
    """step(x) -> loss: one jitted function with donated buffers, called and waited for."""
    import jax
    import jax.numpy as jnp

    def update(state, x):
        params, m, v, t, key = state
        key, subkey = jax.random.split(key)
        noise = jax.random.normal(subkey, (n, case.latent))
        loss, grads = jax.value_and_grad(jax_loss)(params, x, noise)
        params, m, v = jax_adam(params, grads, m, v, t + 1)
        return (params, m, v, t + 1, key), loss

    jitted = jax.jit(update, donate_argnums=0)
    params = jax_parameters(case, our_model(case).theta)
    m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    state = params, m, v, jnp.float32(0), jax.random.key(0)

    def step(x: object) -> object:
        nonlocal state
        state, loss = jitted(state, x)
        return jax.block_until_ready((state, loss))[1]

    return step


def jax_step(case: Case, n: int) -> Step:
    import jax.numpy as jnp

    step, x = jax_trainer(case, n), jnp.array(binary_data(n, case.data))
    return lambda: step(x)


# The floor.


def matrix_products(case: Case, n: int) -> Step:
    """The products of the same step: y = x W, dW = x^T dy, dx = dy W^T (not for the data)."""
    widths = [case.data, case.hidden, 2 * case.latent], [case.latent, case.hidden, case.data]
    rng = np.random.default_rng(0)
    products = []
    for network, is_encoder in zip(widths, (True, False), strict=True):
        for i, (n_in, n_out) in enumerate(pairwise(network)):
            shapes = (n, n_in), (n_in, n_out), (n, n_out)
            x, w, dy = (rng.standard_normal(shape, np.float32) for shape in shapes)
            products += [(x, w, np.empty_like(dy)), (x.T, dy, np.empty_like(w))]
            if not (is_encoder and i == 0):
                products.append((dy, w.T, np.empty_like(x)))

    def multiply() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    return multiply


OURS, EAGER, FUSED, JAX, FLOOR = (
    "numpyvae",
    "PyTorch eager",
    "PyTorch fused Adam",
    "JAX",
    "matrix products",
)
MAKERS: dict[str, Callable[[Case, int], Step]] = {
    OURS: our_step,
    EAGER: torch_step,
    FUSED: fused_torch_step,
    JAX: jax_step,
    FLOOR: matrix_products,
}
LIBRARY = {OURS: "numpyvae", EAGER: "torch", FUSED: "torch", JAX: "jax", FLOOR: "numpy"}


def is_there(library: str) -> bool:
    return find_spec(library) is not None


def version_of(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        import numpyvae

        return numpyvae.__version__ if library == "numpyvae" else "not installed"
