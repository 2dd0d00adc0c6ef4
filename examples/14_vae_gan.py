"""VAE-GAN (Larsen et al. 2016): a critic's features in place of pixels; three losses, three owners.

    encoder   KL + R,   R = mean_n 1/2 ||f(x_n) - f(x~_n)||^2,  f the features of the critic
    decoder   gamma R + mean_n softplus(-d(x~_n)) + softplus(-d(x^_n)),  d the critic's logit
    critic    mean_n softplus(-d(x_n)) + softplus(d(x~_n)) + softplus(d(x^_n))

x~ is the reconstruction of x, x^ a sample. Each loss changes only its own parameters. Automatic
differentiation needs three passes or carefully placed stops for this; by hand it is easy to see:
`backward_input` carries a cotangent through a network whose parameters another loss trains, and
only that network's own loss calls `backward_params`. `players` says which loss trains which
parameters, and the proofs check each loss by them.

None of these losses is a bound on log p(x). R is measured by features that change during training,
so its values cannot be compared, not even with those of an earlier epoch. Samples get sharper;
nothing here says that they are more likely.

A CVAE-GAN (Bao et al. 2017) gives encoder and decoder the class by a `Condition` layer, and has a
classifier as a fourth player. The decoder has two more terms: -log p(y|x^) of the classifier, and
the squared distance of the mean features of each class between data and samples. For both,
`backward_input` goes through a network that another loss trains, and stops at the decoder.

    python examples/14_vae_gan.py [folder] [--quick]
"""

import argparse
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam, Binomial, Gaussian
from numpyvae.data import load_digits
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, describe, new_figure, show_tiles
from numpyvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    mean_and_log_var,
    mean_and_log_var_backward,
    reparameterize,
    reparameterize_backward,
)
from numpyvae.layers import Dense, Sequential, Sigmoid, Tanh, mlp
from numpyvae.models import Model
from numpyvae.numerics import sigmoid, softplus


class VAEGAN(Model):
    """D-H-2L, L-H-D with pixels in [0, 1], and a critic D-H-F, whose F features give one logit."""

    players = {"encoder": ("encoder",), "decoder": ("decoder",), "critic": ("critic",)}  # noqa: RUF012

    def forward(self, params, x, noise):
        heads, encoder_cache = self.encoder.forward(params, x)
        mean, log_var = mean_and_log_var(heads)  # (N, L) each
        z, sample_cache = reparameterize(mean, log_var, noise[:, 0])
        kl, kl_cache = kl_to_standard_normal(mean, log_var)  # (N,)
        x_z, z_cache = self.decoder.forward(params, z)  # x~, (N, D)
        x_p, p_cache = self.decoder.forward(params, noise[:, 1])  # x^, (N, D)
        views = []
        for image in (x, x_z, x_p):
            f, f_cache = self.features.forward(params, image)  # (N, F)
            d, d_cache = self.head.forward(params, f)  # (N, 1)
            views.append((f, d, f_cache, d_cache))
        (f_x, d_x, *_), (f_z, d_z, *_), (_, d_p, *_) = views
        distance = 0.5 * ((f_z - f_x) * (f_z - f_x)).sum(axis=1)  # (N,)
        losses = {
            "encoder": kl.mean() + distance.mean(),
            "decoder": self.gamma * distance.mean() + (softplus(-d_z) + softplus(-d_p)).mean(),
            "critic": (softplus(-d_x) + softplus(d_z) + softplus(d_p)).mean(),
        }
        right = ((d_x.real > 0) + 0.5 * ((d_z.real < 0) + 1.0 * (d_p.real < 0)))[:, 0] / 2
        terms = {"kl": kl, "distance": distance, "right": right}
        return losses, terms, (encoder_cache, sample_cache, kl_cache, z_cache, p_cache, views)

    def backward(self, params, grads, cache):
        encoder_cache, sample_cache, kl_cache, z_cache, p_cache, views = cache
        (f_x, d_x, fc_x, dc_x), (f_z, d_z, fc_z, dc_z), (_, d_p, fc_p, dc_p) = views
        n = len(f_x)

        # The critic's own loss stops at the images.
        for dd, fc, dc in (
            (-sigmoid(-d_x), fc_x, dc_x),
            (sigmoid(d_z), fc_z, dc_z),
            (sigmoid(d_p), fc_p, dc_p),
        ):
            df = self.head.backward(params, grads, dd / n, dc)
            self.features.backward_params(params, grads, df, fc)

        # The other losses pass through the critic, without a gradient for it.
        dx_distance = self.features.backward_input(params, (f_z - f_x) / n, fc_z)
        df_z = self.head.backward_input(params, -sigmoid(-d_z) / n, dc_z)
        df_p = self.head.backward_input(params, -sigmoid(-d_p) / n, dc_p)
        dx_z = self.gamma * dx_distance + self.features.backward_input(params, df_z, fc_z)
        dx_p = self.features.backward_input(params, df_p, fc_p)

        # The decoder's loss stops at the codes.
        self.decoder.backward_params(params, grads, dx_z, z_cache)
        self.decoder.backward_params(params, grads, dx_p, p_cache)

        # The encoder's passes through the decoder, without gamma and without the critic's terms.
        dz = self.decoder.backward_input(params, dx_distance, z_cache)
        dmean_z, dlog_var_z = reparameterize_backward(dz, sample_cache)
        dkl = np.full(n, 1 / n, dz.dtype)
        dmean_kl, dlog_var_kl = kl_to_standard_normal_backward(dkl, kl_cache)
        dheads = mean_and_log_var_backward(dmean_z + dmean_kl, dlog_var_z + dlog_var_kl)
        self.encoder.backward_params(params, grads, dheads, encoder_cache)

    def __init__(self, data_dim, latent_dim, hidden_dim=128, feature_dim=64, gamma=1.0, seed=0,
                 dtype=np.float32):  # fmt: skip
        D, H = data_dim, hidden_dim
        self.latent_dim, self.hidden_dim, self.feature_dim = latent_dim, H, feature_dim
        self.gamma = gamma
        self.encoder = mlp("encoder", (D, H, 2 * latent_dim), "relu")
        self.decoder = Sequential([*mlp("decoder", (latent_dim, H, D), "relu").layers, Sigmoid()])
        features = mlp("critic", (D, H, feature_dim), "leaky_relu")
        self.features = Sequential([*features.layers, Tanh()])
        self.head = Sequential([Dense("critic.logit", feature_dim, 1)])
        parts = (self.encoder, self.decoder, self.features, self.head)
        super().__init__(D, Gaussian(1.0), parts, (2, latent_dim), seed, dtype)

    def decode(self, z):
        return self.by_chunks(lambda z: self.decoder.forward(self.params, z)[0], z)


def sharpness(x):
    """Mean absolute difference of neighbouring pixels, of images (N, 64) of 8 x 8."""
    images = x.reshape(-1, 8, 8)
    return 0.5 * sum(np.abs(np.diff(images, axis=axis)).mean() for axis in (1, 2))


def draw_samples(panels):
    """Sets of digits, one panel for each, with their sharpness."""
    figure, axes = new_figure(4.2 * len(panels), 4.4, 1, len(panels))
    for ax, (name, x) in zip(axes[0], panels.items(), strict=True):
        show_tiles(figure, ax, x[:36], (8, 8), 6, (0.0, 1.0))
        describe(ax, f"{name}: sharpness {sharpness(x):.3f}")
    return figure


def draw_players(history):
    """The critic's accuracy, and the distance R in its features; neither has to fall."""
    figure, axes = new_figure(11.0, 4.2, 1, 2)
    epochs = history.column("epoch")
    axes[0, 0].plot(epochs, 100 * history.column("right"), color=BLUE, lw=1.6)
    axes[0, 0].axhline(50, color="0.5", ls="--", lw=1.2, label="cannot tell data from samples")
    axes[0, 0].legend(fontsize=LABEL_SIZE - 1, frameon=False)
    describe(axes[0, 0], "The critic is right", "epoch", "of its decisions (%)")
    axes[0, 1].plot(epochs, history.column("distance"), color=ORANGE, lw=1.6)
    axes[0, 1].set_ylim(bottom=0)
    describe(axes[0, 1], "Distance by features that move", "epoch", "R (no nats, no bound)")
    return figure


def main():
    parser = argparse.ArgumentParser(description="VAE-GAN: three losses, three owners.")
    parser.add_argument("folder", nargs="?", default="runs/examples", type=Path)
    parser.add_argument("--quick", action="store_true", help="few epochs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    epochs, L = 5 if arguments.quick else 300, 8

    x_train, _, x_test, _ = load_digits()
    x, x_test = x_train / 16, x_test / 16
    vae = VAE(64, L, likelihood=Binomial(16))
    vae.fit(x_train, epochs, 64, Adam(1e-3), verbose=False)
    gan = VAEGAN(64, L)
    history = gan.fit(x, epochs, 64, Adam(5e-4, beta1=0.5), verbose=False)

    z = np.random.default_rng(0).standard_normal((360, L))
    panels = {"digits": x_test, "VAE": vae.decode(z) / 16, "VAE-GAN": gan.decode(z)}
    for name, images in panels.items():
        print(f"sharpness of {name:8}: {sharpness(images):.3f}")
    right = 100 * np.mean(history.column("right")[-20:])
    print(f"the critic is right in {right:.0f} % of its decisions, in the last epochs")

    for name, figure in (
        ("example_14_samples.png", draw_samples(panels)),
        ("example_14_players.png", draw_players(history)),
    ):
        figure.savefig(arguments.folder / name, dpi=150)
        print(f"wrote {arguments.folder / name}")


if __name__ == "__main__":
    main()
