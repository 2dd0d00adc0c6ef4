"""What a student has built once an exercise passes, and the sections that derive it."""

from __future__ import annotations

from typing import NamedTuple

from numpyvae.exercises.judge import sections

__all__ = ["BUILT", "Built"]


class Built(NamedTuple):
    """A sentence, and the sections that derive the exercise, of `sections.py`."""

    text: str
    derivation: tuple[str, ...]


def _built(text: str, *derivation: str) -> Built:
    return Built(text, derivation)


BUILT = {
    "dense": _built(
        "You have built the layer that every network here is made of, and the two matrix products "
        "that carry a gradient back through it.",
        sections.DENSE,
    ),
    "activations": _built(
        "You have built what makes a network more than one matrix product, with a slope at every "
        "entry and no overflow at 800.",
        sections.ACTIVATION,
    ),
    "bernoulli": _built(
        "You have built log p(x|z) for black and white pixels, finite for every logit, with the "
        "gradient x - p.",
        sections.LOG_PX,
        sections.LIKELIHOOD,
    ),
    "reparameterize": _built(
        "You have built the step that lets a gradient pass through a random sample: one half of "
        "what an encoder learns from.",
        sections.DRAW,
        sections.SAMPLE,
    ),
    "gaussian_kl": _built(
        "You have built the price in nats of a code that differs from the prior: the other half "
        "of what an encoder learns from.",
        sections.CLOSED_KL,
        sections.KL,
    ),
    "elbo": _built(
        "You have built the whole loss of a variational autoencoder and its gradient with respect "
        "to every parameter, both routes into mean and log_var included.",
        sections.ROUTES,
        sections.LOSS_UP,
        sections.HEADS,
    ),
    "adam": _built(
        "You have built the optimiser that trains most deep models, with the correction that "
        "makes its first steps as long as the later ones.",
        sections.ADAM,
    ),
    "gaussian": _built(
        "You have built log p(x|z) for real-valued data, as a density with all its constants, "
        "which learns the variance of each dimension.",
        sections.GAUSSIAN,
    ),
    "score_function": _built(
        "You have built two unbiased estimates of one gradient, and measured how much smaller "
        "the variance of the one through the sample is.",
        sections.SCORE,
    ),
    "vae": _built(
        "You have built a variational autoencoder that learned from data and draws digits that "
        "nobody wrote.",
        sections.BOUND,
        sections.LOSS,
    ),
    "condition": _built(
        "You have built a layer that is given the class, or tries every class, and a sampler that "
        "draws the class that you ask for.",
        sections.LABEL,
    ),
    "mixture": _built(
        "You have built a prior with several centres that learns where the codes are, and the "
        "responsibilities that cluster them.",
        sections.MIXTURE,
    ),
    "importance": _built(
        "You have built a tighter bound on log p(x) from several samples, and a gradient for its "
        "encoder whose noise does not hide the signal.",
        sections.WEIGHTS,
        sections.LOG_Q,
        sections.DREG,
    ),
    "quantize": _built(
        "You have built a code made of entries of a codebook, and the gradient that is copied "
        "over a step which has none.",
        sections.STEP,
        sections.MOVING,
    ),
}
