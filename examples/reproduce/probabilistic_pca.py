"""Lucas et al. 2019, Tipping & Bishop 1999: the linear VAE is probabilistic PCA.

Three things, each on MNIST (pixels in [0, 1]) and the second also on a small synthetic set:

1. The closed form for L = 10 and 50: sigma^2, the log likelihood of the training images, and a
   linear VAE (hidden_dims=(), Gaussian("shared"), float64) set to it, whose ELBO *equals* the log
   likelihood of each image.
2. The same VAE trained from random parameters.
3. The linear beta-VAE with fixed sigma^2 = .05, L = 50: reverse water-filling. A dimension is
   active iff s_i > beta sigma^2, with a KL of 1/2 log(s_i / (beta sigma^2)). It is also trained;
   then a dimension counts as active if Var_x(E_q[z_i]) > .01 (Burda et al. 2015).

The "published" values are exact: the closed form, from the eigenvalues of the covariance. No ELBO
here is sampled: -log p(x|z) is quadratic in z, so the mean over the 2L noises +-sqrt(L) e_l is
exactly the expectation. The expected ELBO depends on the data only through mean and covariance, so
training on MNIST is full batch on D + 1 rows that have exactly the mean and covariance of the
60,000 images, with fresh noise at each step of Adam (3e-3 to 3e-6, cosine), in float32; training on
the synthetic set is in float64, 2e-2 to 2e-5.
"""

from __future__ import annotations

import math
import time

import numpy as np
from common import (
    Row,
    arguments,
    cosine,
    mnist_or_none,
    moments,
    rows_with_moments,
    run,
    seconds,
    table,
    train,
)

from numpyvae import VAE
from numpyvae.data import linear_gaussian, scale_pixels
from numpyvae.exact import ProbabilisticPCA
from numpyvae.likelihoods import Gaussian

VARIANCE, BETAS = 0.05, (1.0, 4.0, 16.0)


def exact_terms(vae: VAE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E_q log p(x|z) and KL of each row, (N,), (N,), without sampling error, in float64."""
    theta, root = vae.theta.astype(np.float64), math.sqrt(vae.latent_dim)
    log_px = np.zeros(len(x))
    for dimension in range(vae.latent_dim):
        for sign in (root, -root):
            noise = np.zeros((len(x), vae.latent_dim))
            noise[:, dimension] = sign
            terms = vae.elbo_terms(theta, x, noise)
            log_px += terms[0] / (2 * vae.latent_dim)
    return log_px, terms[1]


def mean_elbo(vae: VAE, x: np.ndarray) -> float:
    log_px, kl = exact_terms(vae, x)
    return float((log_px - kl).mean())


def set_to_closed_form(vae: VAE, ppca: ProbabilisticPCA) -> None:
    """Encoder: the posterior of probabilistic PCA. Decoder: its weights, mean and sigma^2."""
    params, L = vae.layout.views(vae.theta), vae.latent_dim
    _, covariance = ppca.posterior(ppca.mean[None])
    to_code = ppca.weights @ covariance / ppca.noise_variance  # (D, L)
    params["encoder.0.W"][:, :L], params["encoder.0.W"][:, L:] = to_code, 0.0
    params["encoder.0.b"][:L] = -ppca.mean @ to_code
    params["encoder.0.b"][L:] = np.log(np.diag(covariance))
    params["decoder.0.W"][...], params["decoder.0.b"][...] = ppca.weights.T, ppca.mean
    params["likelihood.log_var"][...] = math.log(ppca.noise_variance)


def learned_variance(vae: VAE) -> float:
    return float(np.exp(vae.layout.views(vae.theta)["likelihood.log_var"][0]))


def trained(
    x, L, likelihood, beta, steps, work, name, dtype=np.float32, rate=3e-3
) -> tuple[VAE, float]:
    """A linear VAE trained full batch on x (N, D), and the seconds it took."""
    vae = VAE(x.shape[1], L, (), likelihood=likelihood, beta=beta, seed=0, dtype=dtype)
    path, every = work / f"ppca_{name}_{steps}.npz", max(1, steps // 4)
    records = train(
        vae, x.astype(dtype), steps, len(x), cosine(rate, rate / 1000), path, every=every
    )
    return vae, seconds(records)


def synthetic(steps: int, work) -> list[Row]:
    """1,000 points near a plane in five dimensions, trained in float64."""
    x = linear_gaussian(1000, np.random.default_rng(0)).x
    ppca = ProbabilisticPCA(2).fit(x)
    exact = float(ppca.log_likelihood(x).mean())
    vae = VAE(5, 2, (), likelihood=Gaussian("shared"), dtype=np.float64)
    set_to_closed_form(vae, ppca)
    log_px, kl = exact_terms(vae, x)
    worst = float(np.abs(log_px - kl - ppca.log_likelihood(x)).max())
    vae, _ = trained(x, 2, Gaussian("shared"), 1.0, steps, work, "synthetic", np.float64, rate=2e-2)
    variance = ppca.noise_variance
    return [
        Row("D=5, L=2: largest |ELBO - log p(x)|", 0.0, worst, 1e-6),
        Row("D=5, L=2: trained ELBO", exact, mean_elbo(vae, x), 0.1),
        Row("D=5, L=2: trained sigma^2", variance, learned_variance(vae), 0.01 * variance),
    ]


def closed_forms(pixels: np.ndarray, rows: np.ndarray, steps: dict[int, int], work) -> list[Row]:
    """The table for L = 10 and 50."""
    lines = []
    known = {10: (0.034867, 182.1547), 50: (0.012596, 507.9054)}
    for L, (variance, log_likelihood) in known.items():
        ppca = ProbabilisticPCA(L).fit(pixels)
        lines += [
            Row(f"L={L}: closed form, sigma^2", variance, ppca.noise_variance, 1e-6),
            Row(
                f"L={L}: closed form, log likelihood",
                log_likelihood,
                float(ppca.log_likelihood(pixels).mean()),
                1e-3,
            ),
        ]
        vae = VAE(784, L, (), likelihood=Gaussian("shared"), dtype=np.float64)
        set_to_closed_form(vae, ppca)
        some = pixels[:500].astype(np.float64)
        log_px, kl = exact_terms(vae, some)
        worst = float(np.abs(log_px - kl - ppca.log_likelihood(some)).max())
        lines.append(Row(f"L={L}: largest |ELBO - log p(x)|, 500 images", 0.0, worst, 1e-6))
        if steps[L] == 0:
            continue
        vae, took = trained(rows, L, Gaussian("shared"), 1.0, steps[L], work, f"L{L}")
        print(f"L={L}: {steps[L]} steps, {took:.0f} s")
        lines += [
            Row(f"L={L}: trained ELBO", log_likelihood, mean_elbo(vae, rows), 0.1),
            Row(f"L={L}: trained sigma^2", variance, learned_variance(vae), 0.01 * variance),
        ]
    return lines


def water_filling(s: np.ndarray, beta: float) -> tuple[int, float, float]:
    """Active dimensions, KL, and the distortion E|x - mean|^2, of the eigenvalues s of 50 axes."""
    level = beta * VARIANCE
    active = s[:50] > level
    kl = 0.5 * np.log(s[:50][active] / level).sum()
    distortion = level * active.sum() + s[:50][~active].sum() + s[50:].sum()
    return int(active.sum()), float(kl), float(distortion)


def beta_curve(rows: np.ndarray, s: np.ndarray, steps: int, work) -> list[Row]:
    """The three points of the curve, from the eigenvalues and by training."""
    lines = []
    for beta, n_active, kl in zip(BETAS, (50, 45, 15), (59.93, 25.48, 5.81), strict=True):
        exact = water_filling(s, beta)
        lines += [
            Row(f"beta={beta:g}: water-filling, active", n_active, exact[0], 0),
            Row(f"beta={beta:g}: water-filling, KL", kl, exact[1], 0.005),
        ]
        if steps == 0:
            continue
        vae, took = trained(rows, 50, Gaussian(VARIANCE), beta, steps, work, f"beta{beta:g}")
        print(f"beta={beta:g}: {steps} steps, {took:.0f} s")
        log_px, each = exact_terms(vae, rows)
        mean, _ = vae.encode(rows.astype(np.float32))
        n_found = int((mean.var(axis=0) > 0.01).sum())  # Burda et al. 2015, section 5.2
        constant = 784 * math.log(2 * math.pi * VARIANCE)
        distortion = float((-2 * log_px - constant).mean() * VARIANCE)
        trained_kl = float(each.mean())
        lines += [
            Row(f"beta={beta:g}: trained, KL", exact[1], trained_kl, 0.01 * exact[1]),
            Row(f"beta={beta:g}: trained, distortion", exact[2], distortion, 0.01 * exact[2]),
            Row(f"beta={beta:g}: trained, active (Var of mean > .01)", exact[0], n_found, 1),
        ]
    return lines


def main() -> None:
    steps = {"steps_10": 6000, "steps_50": 10_000, "beta_steps": 6000}
    parser = arguments(__doc__, least=dict.fromkeys(steps, 0), synthetic_steps=4000, **steps)
    options = parser.parse_args()
    started = time.perf_counter()
    lines = synthetic(options.synthetic_steps, options.work)
    data = mnist_or_none()
    if data is None:
        print(table(lines))
        return
    mean, covariance = moments(data.x_train)
    rows, s = rows_with_moments(mean, covariance), np.linalg.eigvalsh(covariance)[::-1]
    steps = {10: options.steps_10, 50: options.steps_50}
    lines += closed_forms(scale_pixels(data.x_train), rows, steps, options.work)
    lines += beta_curve(rows, s, options.beta_steps, options.work)
    print(table(lines))
    print(f"{time.perf_counter() - started:.0f} s, not counting what was resumed")


if __name__ == "__main__":
    run(main)
