"""p(z): the prior over the latent code, a part of a model like its networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpyvae.priors.mixture import (
    GaussianMixture,
    gaussian_mixture_log_prob,
    gaussian_mixture_log_prob_backward,
)
from numpyvae.priors.prior import Prior
from numpyvae.priors.standard_normal import StandardNormal
from numpyvae.priors.vamp import VampPrior
from numpyvae.validation import from_config

__all__ = [
    "GaussianMixture",
    "Prior",
    "StandardNormal",
    "VampPrior",
    "gaussian_mixture_log_prob",
    "gaussian_mixture_log_prob_backward",
    "prior_from_config",
]

PRIORS = {kind.__name__: kind for kind in (StandardNormal, GaussianMixture, VampPrior)}


def prior_from_config(config: Mapping[str, Any]) -> Prior:
    """The prior that `config()` described; ValueError if it names none."""
    prior: Prior = from_config("prior", config, PRIORS)
    return prior
