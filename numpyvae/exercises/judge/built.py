"""What a student has built once an exercise passes, and the sections that derive it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BUILT", "Built"]

CHAPTERS = "docs/derivations"


class Built(NamedTuple):
    """A sentence, and places: "docs/derivations/layers.md, The decoder, backward: Dense"."""

    text: str
    derivation: tuple[str, ...]


def _built(text: str, *sections: str) -> Built:
    return Built(text, tuple(f"{CHAPTERS}/{section}" for section in sections))


BUILT = {
    "dense": _built(
        "You have built the layer that every network here is made of, and the two matrix products "
        "that carry a gradient back through it.",
        "layers.md, The decoder, backward: Dense",
    ),
    "activations": _built(
        "You have built what makes a network more than one matrix product, with a slope at every "
        "entry and no overflow at 800.",
        "layers.md, The decoder, backward: activations",
    ),
    "bernoulli": _built(
        "You have built log p(x|z) for black and white pixels, finite for every logit, with the "
        "gradient x - p.",
        "forward.md, The decoder and log p(x given z)",
        "backward.md, The likelihood, backward",
    ),
    "reparameterize": _built(
        "You have built the step that lets a gradient pass through a random sample: one half of "
        "what an encoder learns from.",
        "forward.md, The sample",
        "sample.md, Route 2: the sample",
    ),
    "gaussian_kl": _built(
        "You have built the price in nats of a code that differs from the prior: the other half "
        "of what an encoder learns from.",
        "forward.md, The KL in closed form",
        "backward.md, Route 1: the KL",
    ),
    "elbo": _built(
        "You have built the whole loss of a variational autoencoder and its gradient with respect "
        "to every parameter, both routes into mean and log_var included.",
        "backward.md, Two routes into log_var",
        "backward.md, The loss, backward",
        "sample.md, The heads and the encoder, backward",
    ),
    "adam": _built(
        "You have built the optimiser that trains most deep models, with the correction that "
        "makes its first steps as long as the later ones.",
        "adam.md, Adam",
    ),
    "gaussian": _built(
        "You have built log p(x|z) for real-valued data, as a density with all its constants, "
        "which learns how far each dimension scatters.",
        "likelihoods.md, Gaussian",
    ),
    "score_function": _built(
        "You have built two unbiased estimates of one gradient, and measured how much less the "
        "one through the sample scatters.",
        "reparameterization.md, Why differentiate through the sample",
    ),
    "vae": _built(
        "You have built a variational autoencoder that learned from data and draws digits that "
        "nobody wrote.",
        "bound.md, Two forms of the bound",
        "objective.md, One number to minimise",
    ),
    "condition": _built(
        "You have built a layer that is told the class, or tries every class, and a sampler that "
        "draws the class that you ask for.",
        "conditional.md, A label beside the input",
    ),
    "mixture": _built(
        "You have built a prior with several centres that learns where the codes are, and the "
        "responsibilities that cluster them.",
        "learned_prior.md, A mixture of Gaussians",
    ),
    "importance": _built(
        "You have built a tighter bound on log p(x) from several samples, and a gradient for its "
        "encoder that does not drown in noise.",
        "importance_weighted.md, The bound and its weights",
        "importance_weighted.md, The encoder, by the derivative of the loss",
        "importance_weighted.md, The encoder, doubly reparameterised",
    ),
    "quantize": _built(
        "You have built a code made of entries of a codebook, and the gradient that is copied "
        "over a step which has none.",
        "vector_quantized.md, A gradient that is not the derivative",
        "vector_quantized.md, A codebook without a gradient",
    ),
}
