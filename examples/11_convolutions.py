"""Convolutions in the VAE, against Dense layers with as many parameters, trained for as long.

1. A convolution is a Dense layer whose matrix is mostly zeros, with repeated weights (Toeplitz).
2. An encoder of convolutions and a decoder of their transposes: `VAE` with two other networks. Its
   forward and backward are those of `numpyvae/models/vae.py`, without a line changed.
3. On MNIST, or on the embedded digits if MNIST is not found: the convolutional network against the
   dense one with the same number of parameters, and against the usual larger one. Time is processor
   time, so that other programs on the machine do not matter.

    python examples/11_convolutions.py [folder] [--steps 1000] [--quick]
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Bernoulli, Binomial
from numpyvae.convolution import Conv2d, ConvTranspose2d
from numpyvae.data import binarize_pixels, load_digits, load_mnist
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, describe, new_figure, show_tiles
from numpyvae.layers import ACTIVATIONS, Dense, Sequential

BATCH, KERNEL, STRIDE, PADDING = 128, 4, 2, 1  # each convolution halves the sides of the image
GREEN = "#009E73"


def convolutional_encoder(data_dim, channels, n_outputs, activation, likelihood, *_):
    """Convolutions with these channels, then a Dense layer with `n_outputs` numbers."""
    shape, layers, scale = image_shape(data_dim), [], likelihood.data_scale
    for i, c in enumerate(channels):
        conv = Conv2d(f"encoder.{i}", shape, c, KERNEL, STRIDE, PADDING, 1.0 if i else scale)
        layers += [conv, ACTIVATIONS[activation]()]
        shape = conv.small
    return Sequential([*layers, Dense(f"encoder.{len(channels)}", math.prod(shape), n_outputs)])


def convolutional_decoder(data_dim, channels, latent_dim, activation, *_):
    """The mirror image: a Dense layer, then the transpose of each convolution, last first."""
    shape, layers = image_shape(data_dim), []
    for i, c in enumerate(channels):
        name = f"decoder.{len(channels) - i}"
        transpose = ConvTranspose2d(name, shape, c, KERNEL, STRIDE, PADDING)
        layers = [ACTIVATIONS[activation](), transpose, *layers]
        shape = transpose.small
    return Sequential([Dense("decoder.0", latent_dim, math.prod(shape)), *layers])


class ConvolutionalVAE(VAE):
    """The VAE of square images, where `hidden_dims` are the channels of each convolution."""

    encoder_of = staticmethod(convolutional_encoder)
    decoder_of = staticmethod(convolutional_decoder)


def image_shape(data_dim):
    """One channel of a square image."""
    side = math.isqrt(data_dim)
    return (1, side, side)


def toeplitz(layer, params):
    """The matrix of a convolution without its bias: its output for each single pixel."""
    params = {**params, layer.b: np.zeros_like(params[layer.b])}
    return layer.forward(params, np.eye(math.prod(layer.window.shape)))[0]


def dense_with(n_parameters, data_dim, latent_dim, **arguments):
    """The dense VAE with one hidden layer and the nearest number of parameters."""
    one, two = (VAE(data_dim, latent_dim, (h,), **arguments).layout.size for h in (1, 2))
    width = 1 + round((n_parameters - one) / (two - one))
    return VAE(data_dim, latent_dim, (width,), **arguments)


def train(model, x_train, x_test, draw, steps=None, seconds=math.inf, n_points=12):
    """Adam for `steps`, or for `seconds` of a processor: [(seconds, test ELBO), ...], and steps."""
    rng, optimizer, curve = np.random.default_rng(model.seed), Adam(1e-3), []
    spent, step, n_tests = 0.0, 0, 0
    while step < (steps or math.inf) and spent < seconds:
        started = time.process_time()
        x = draw(x_train[rng.integers(len(x_train), size=BATCH)], rng)
        noise = model.draw_noise(rng, BATCH)
        _, grad = model.loss_and_grad(model.theta, x, noise)
        optimizer.step(model.theta, grad)
        spent, step = spent + time.process_time() - started, step + 1
        if (step / steps if steps else spent / seconds) >= (n_tests + 1) / n_points:
            n_tests += 1
            curve.append((spent, model.elbo(x_test).mean()))
    return np.array(curve), step


def data_of(quick):
    """Training and test data, transform, likelihood, latent dimensions, usual hidden width."""
    try:
        if quick:
            raise FileNotFoundError
        mnist = load_mnist(download=False)
    except FileNotFoundError:
        x_train, _, x_test, _ = load_digits()
        return x_train, x_test, lambda x, _: x, Binomial(16), 8, 400
    x_test = binarize_pixels(mnist.x_test, np.random.default_rng(0))
    return mnist.x_train, x_test, binarize_pixels, Bernoulli(), 20, 400


def draw_toeplitz(rng):
    """Two convolutions as matrices: a window that moves by one pixel, and by two."""
    figure, axes = new_figure(9.0, 7.0, 2, 1)
    cases = [("3 x 3, stride 1", 3, 1, 0), ("4 x 4, stride 2, padding 1", 4, 2, 1)]
    for ax, (title, kernel, stride, padding) in zip(axes[:, 0], cases, strict=True):
        layer = Conv2d("conv", (1, 6, 6), 1, kernel, stride, padding)
        params = {"conv.W": rng.standard_normal((kernel**2, 1)), "conv.b": np.zeros(1)}
        matrix = toeplitz(layer, params)
        zero = np.ma.masked_equal(matrix, 0)
        image = ax.imshow(zero.T, cmap="PuOr", vmin=-2.5, vmax=2.5)
        ax.set_facecolor("0.93")
        share = f"{matrix.size} entries, {kernel**2} different weights"
        describe(ax, f"{title}: {share}", "pixel of x (6 x 6)", "pixel of y")
    figure.colorbar(image, ax=axes, shrink=0.8).set_label(
        "weight (grey: always 0)", fontsize=LABEL_SIZE
    )
    return figure


def draw_curves(results):
    """Test ELBO against the time that training took."""
    figure, axes = new_figure(9.0, 6.4)
    ax = axes[0, 0]
    for (name, model, curve, steps), colour, marker in zip(
        results, (BLUE, ORANGE, GREEN), "osD", strict=True
    ):
        label = f"{name}: {model.layout.size:,} parameters, {steps:,} steps"
        ax.plot(*curve.T, color=colour, marker=marker, ms=6, lw=1.8, label=label)
    describe(ax, "Given the same time", "seconds of a processor", "ELBO on the test set (nats)")
    last = min(curve[len(curve) // 4 :, 1].min() for _, _, curve, _ in results)
    best = max(curve[:, 1].max() for _, _, curve, _ in results)
    ax.set_ylim(last - 0.05 * abs(best), best + 0.01 * abs(best))
    figure.legend(loc="outside lower center", fontsize=LABEL_SIZE, frameon=False)
    return figure


def draw_samples(results, x_test):
    """Twenty digits of the test set, and twenty samples of each model."""
    figure, axes = new_figure(13.0, 4.0, 1, 4)
    panels = [("test set", x_test[:20])]
    panels += [(name, model.sample(20)) for name, model, _, _ in results]
    for ax, (name, x) in zip(axes[0], panels, strict=True):
        side = math.isqrt(x.shape[1])
        show_tiles(figure, ax, x, (side, side), 4, (0.0, results[0][1].likelihood.data_scale))
        describe(ax, name)
    return figure


def main():
    parser = argparse.ArgumentParser(description="Convolutions in the VAE.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--steps", type=int, default=1000, help="of the convolutional network")
    parser.add_argument("--quick", action="store_true", help="the digits, and few steps")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)

    layer = Conv2d("conv", (2, 8, 8), 3, KERNEL, STRIDE, PADDING)
    params = {name: rng.standard_normal(shape) for name, shape in layer.shapes.items()}
    matrix, x = toeplitz(layer, params), rng.standard_normal((5, 128))
    dense = x @ matrix + np.repeat(params["conv.b"], 16)
    difference = np.abs(layer.forward(params, x)[0] - dense).max()
    print(f"convolution against its Toeplitz matrix: largest difference {difference:.1e}")
    transpose = ConvTranspose2d("back", (2, 8, 8), 3, KERNEL, STRIDE, PADDING)
    back = {"back.W": params["conv.W"].T, "back.b": np.zeros(2)}
    y = rng.standard_normal((5, 48))
    difference = np.abs(transpose.forward(back, y)[0] - y @ matrix.T).max()
    print(f"its transpose against the transposed matrix: largest difference {difference:.1e}")

    x_train, x_test, draw, likelihood, L, usual = data_of(arguments.quick)
    D, x_test = x_train.shape[1], x_test[:2000]
    vae = ConvolutionalVAE(D, L, (16, 32), likelihood=likelihood)
    steps = 60 if arguments.quick else arguments.steps
    results = [("convolutional", vae, *train(vae, x_train, x_test, draw, steps))]
    seconds = results[0][2][-1, 0]
    same = dense_with(vae.layout.size, D, L, likelihood=likelihood)
    wide = VAE(D, L, (usual,), likelihood=likelihood)
    for name, model in (("dense, as many parameters", same), (f"dense, {usual} wide", wide)):
        results.append((name, model, *train(model, x_train, x_test, draw, seconds=seconds)))
    print(f"test ELBO after {seconds:.1f} seconds of a processor, batches of {BATCH}:")
    for name, model, curve, steps in results:
        print(f"{name:26}: {model.layout.size:7} parameters, {steps:6} steps", end=", ")
        print(f"{1e3 * curve[-1, 0] / steps:5.1f} ms a step, ELBO {curve[-1, 1]:8.2f} nats")

    for name, figure in (
        ("example_11_toeplitz.png", draw_toeplitz(rng)),
        ("example_11_same_time.png", draw_curves(results)),
        ("example_11_samples.png", draw_samples(results, x_test)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
