"""A step of the convolutional VAE in NumPy beside the same in PyTorch: `pip install torch` first.

    OPENBLAS_NUM_THREADS=1 python docs/measure_convolution.py [rounds]

784-(16, 32)-20 of examples/11_convolutions.py, float32, one thread each. Both get the same
parameters, data and noise, and the gradients are compared before anything is timed. They take
turns, five steps each, timed in milliseconds of a processor; a ratio is the median over rounds of
that of two medians.
"""

from __future__ import annotations

import runpy
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from numpyvae import Adam

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "11_convolutions.py"
L, BATCHES, STEPS = 20, (20, 128, 512), 5


def torch_networks(params):
    """Encoder and decoder with our parameters, and each of their layers by our name.

    What is flattened is the same in both; `True` marks weights that are not transposed.
    """
    encoder = [nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1), nn.Linear(1568, 2 * L)]
    decoder = [nn.Linear(L, 1568)]
    decoder += [nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(16, 1, 4, 2, 1)]
    named = {}
    for network, layers in (("encoder", encoder), ("decoder", decoder)):
        for i, layer in enumerate(layers):
            ours = torch.tensor(params[f"{network}.{i}.W"])
            turned = isinstance(layer, nn.ConvTranspose2d)
            layer.weight.data = (ours if turned else ours.T).reshape(layer.weight.shape).clone()
            layer.bias.data = torch.tensor(params[f"{network}.{i}.b"])
            named[f"{network}.{i}"] = layer, turned
    e, d = encoder, decoder
    unflatten, relu = nn.Unflatten(1, (32, 7, 7)), nn.ReLU()
    return (
        nn.Sequential(e[0], relu, e[1], relu, nn.Flatten(), e[2]),
        nn.Sequential(d[0], relu, unflatten, d[1], relu, d[2], nn.Flatten()),
        named,
    )


def torch_loss(encoder, decoder, x, noise):
    mean, log_var = encoder(x.view(-1, 1, 28, 28)).chunk(2, dim=1)
    logits = decoder(mean + torch.exp(0.5 * log_var) * noise)
    kl = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum()
    return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)


def agreement(model, x):
    """The largest difference of loss or gradient, relative: in float64, where no ReLU is in doubt.

    In float32 one pre-activation on the other side of 0 is a thousandth of a gradient.
    """
    vae = model(784, L, (16, 32), dtype=np.float64)
    noise = vae.draw_noise(np.random.default_rng(1), len(x))
    encoder, decoder, named = torch_networks(vae.params)
    loss, grad = vae.loss_and_grad(vae.theta, x, noise)
    theirs = torch_loss(encoder, decoder, torch.tensor(x).double(), torch.tensor(noise))
    theirs.backward()
    error, views = abs(loss / theirs.item() - 1), vae.layout.views(grad)
    for name, (layer, turned) in named.items():
        ours = views[f"{name}.W"] if turned else views[f"{name}.W"].T
        other = layer.weight.grad.numpy().reshape(ours.shape)
        error = max(error, np.abs(ours - other).max() / np.abs(other).max())
    return error


def contenders(batch):
    """One step of each: noise, loss, gradient, Adam."""
    model = runpy.run_path(str(EXAMPLE))["ConvolutionalVAE"]
    rng = np.random.default_rng(0)
    x = (rng.random((batch, 784)) < 0.2).astype(np.float32)
    print(f"batch {batch}: loss and gradients agree to {agreement(model, x):.0e} in float64")
    vae = model(784, L, (16, 32))
    grad = np.empty_like(vae.theta)
    encoder, decoder, _ = torch_networks(vae.params)
    modules, tensor = nn.ModuleList([encoder, decoder]), torch.tensor(x)
    optimizer = Adam()

    def numpy_step():
        vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, batch), out=grad)
        optimizer.step(vae.theta, grad)

    def torch_step(adam):
        adam.zero_grad()
        torch_loss(encoder, decoder, tensor, torch.randn(batch, L)).backward()
        adam.step()

    eager, fused = (torch.optim.Adam(modules.parameters(), fused=f) for f in (False, True))
    return {
        "numpyvae": numpy_step,
        "PyTorch eager": lambda: torch_step(eager),
        "PyTorch fused Adam": lambda: torch_step(fused),
    }


def seconds_each(step):
    times = []
    for _ in range(STEPS):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return statistics.median(times)


def main():
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for batch in BATCHES:
        steps = contenders(batch)
        times = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                times[name].append(seconds_each(step))
        for name in steps:
            ratio = statistics.median(np.divide(times["numpyvae"], times[name]))
            print(f"  {name:18} {1e3 * statistics.median(times[name]):7.2f} ms", end="")
            print("" if name == "numpyvae" else f", of which ours is {ratio:.2f}")


if __name__ == "__main__":
    main()
