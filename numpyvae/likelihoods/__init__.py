"""p(x|z): how the decoder's output becomes a distribution over data.

A new likelihood is a class with the members of `Likelihood`, listed in `LIKELIHOODS`, where the
proofs, the command's options and the files of models find it. All log-probabilities are complete
(normalising constants included), in nats, one per example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpyvae.likelihoods.binomial import Bernoulli, Binomial
from numpyvae.likelihoods.gaussian import Gaussian
from numpyvae.likelihoods.likelihood import Likelihood, log_prob_table
from numpyvae.likelihoods.structured import StructuredGaussian
from numpyvae.validation import from_config

__all__ = [
    "EXAMPLES",
    "LIKELIHOODS",
    "Bernoulli",
    "Binomial",
    "Gaussian",
    "Likelihood",
    "StructuredGaussian",
    "likelihood_from_config",
    "likelihood_from_text",
    "log_prob_table",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.__name__: kind for kind in (Bernoulli, Binomial, Gaussian, StructuredGaussian)
}

EXAMPLES: tuple[Likelihood, ...] = tuple(
    example for kind in LIKELIHOODS.values() for example in kind.examples()
)
"""One of each kind, for the proofs."""


def likelihood_from_config(config: Mapping[str, Any]) -> Likelihood:
    """The likelihood that `config()` described; ValueError if it names none."""
    likelihood: Likelihood = from_config("likelihood", config, LIKELIHOODS)
    return likelihood


def likelihood_from_text(text: str) -> Likelihood:
    """`bernoulli`, `binomial:16`, `gaussian:0.5`, `gaussian:shared`, `structuredgaussian:1`, ..."""
    name, _, argument = text.partition(":")
    expected = ", ".join(kind.text for kind in LIKELIHOODS.values())
    for kind in LIKELIHOODS.values():
        if name == kind.text.partition(":")[0]:
            try:
                return kind.from_text(argument)
            except ValueError as error:
                expected = f"{kind.text}, {error}"
    raise ValueError(f"unknown likelihood {text!r}: expected {expected}")
