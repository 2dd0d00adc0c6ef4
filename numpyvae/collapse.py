"""How much information each latent dimension carries, and why some carry none.

Each dimension is measured twice, because either number alone misleads: its KL, which the encoder
pays, and its worth to the decoder, in log p(x|z).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from numpyvae.gaussian import kl_per_dimension, reparameterize
from numpyvae.numerics import Array
from numpyvae.threads import one_blas_thread
from numpyvae.validation import counted

__all__ = ["Dimension", "dimensions", "explain"]

NOTHING = 0.01
"""KLs (nats) and variances of means below this count as zero, as in `active_units`."""


class Dimension(NamedTuple):
    """The measures of one latent dimension: means over the data, in nats."""

    dim: int
    kl: float
    """KL(q(z_l|x) || p(z_l)), the price."""
    spread: float
    """Var_x(E_q[z_l]): how far the means differ between examples."""
    worth: float
    """How much log p(x|z) falls when z_l is drawn from the prior instead."""
    error: float
    """Standard error of `worth`."""

    @property
    def verdict(self) -> str:
        """What is wrong with it, in words; "used" if nothing is."""
        if self.kl < NOTHING:
            return "collapsed: q(z|x) is the prior for every x"
        if self.spread < NOTHING:
            return "constant: q(z|x) differs from the prior, and is the same for every x"
        if self.worth <= 2.0 * self.error:
            return "ignored: the encoder pays its KL, but the decoder does not use it"
        return "used"


@one_blas_thread
def dimensions(vae: Any, x: Array, rng: np.random.Generator | None = None) -> list[Dimension]:
    """Measure every latent dimension of a VAE on x (N, D), with one draw of z for each example."""
    x, rng = vae.check_data(x).astype(vae.dtype), vae.generator(rng)
    mean, log_var = vae.posterior(vae.params, x)  # (N, L) each
    kl = kl_per_dimension(mean, log_var)[0].mean(axis=0)
    z, _ = reparameterize(mean, log_var, vae.draw_noise(rng, len(x)))
    instead = vae.draw_noise(rng, len(x))

    def log_px(z: Array) -> Array:
        output, _ = vae.decoder.forward(vae.params, z)
        log_px: Array = vae.likelihood.log_prob(vae.params, x, output)[0]  # (N,)
        return log_px

    whole, found = log_px(z), []
    for i in range(vae.latent_dim):
        without = z.copy()
        without[:, i] = instead[:, i]
        worth = whole - log_px(without)
        error = worth.std() / np.sqrt(len(x))
        numbers = kl[i], mean[:, i].var(), worth.mean(), error
        found.append(Dimension(i, *map(float, numbers)))
    return found


def explain(vae: Any, found: list[Dimension]) -> str:
    """One line for each dimension, the largest KL first, and a sentence on collapsed ones."""
    lines = [
        f"z[{d.dim}]: KL {d.kl:.3f}, worth {d.worth:.2f} +- {d.error:.2f} nats: {d.verdict}"
        for d in sorted(found, key=lambda d: -d.kl)
    ]
    collapsed = [d for d in found if d.verdict.startswith("collapsed")]
    if not collapsed:
        return "\n".join([*lines, "No dimension has collapsed."])
    total = sum(d.kl for d in found)
    n = len(collapsed)
    who = "All dimensions" if n == len(found) else counted(n, "dimension")
    return "\n".join([*lines, f"{who} collapsed (KL {total:.3f} nats in all). {_reason(vae)}"])


def _reason(vae: Any) -> str:
    """Why a dimension may not pay: beta is high, or the decoder learned to do without it."""
    beta = getattr(vae, "beta", 1.0)
    if beta > 1:
        return (
            f"beta is {beta:g}: a dimension stays only if each nat of its KL gains more than "
            f"{beta:g} nats of log p(x|z). Try a smaller beta."
        )
    return (
        "At beta = 1 a dimension stays only if it gains more log p(x|z) than its KL. If there "
        "is more to learn, the decoder learned to do without it early: try Warmup, or free bits."
    )
