"""A variational autoencoder in pure NumPy, every gradient written by hand and proven.

The whole gradient path is in `numpyvae/models/vae.py`, on one screen.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpyvae.callbacks import EarlyStopping, KeepBest, Warmup
    from numpyvae.film import Film
    from numpyvae.likelihoods import Bernoulli, Binomial, Gaussian, StructuredGaussian
    from numpyvae.models import (
        VAE,
        Autoencoder,
        ConditionalVAE,
        DenoisingAutoencoder,
        FullCovarianceVAE,
        ImportanceWeightedVAE,
        LearnedPriorVAE,
        LinearAutoencoder,
        NoisyAutoencoder,
        SemiSupervisedVAE,
        VectorQuantizedVAE,
    )
    from numpyvae.optimizers import SGD, Adam, Momentum

__version__ = "0.2.0"

__all__ = [
    "SGD",
    "VAE",
    "Adam",
    "Autoencoder",
    "Bernoulli",
    "Binomial",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "EarlyStopping",
    "Film",
    "FullCovarianceVAE",
    "Gaussian",
    "ImportanceWeightedVAE",
    "KeepBest",
    "LearnedPriorVAE",
    "LinearAutoencoder",
    "Momentum",
    "NoisyAutoencoder",
    "SemiSupervisedVAE",
    "StructuredGaussian",
    "VectorQuantizedVAE",
    "Warmup",
]

_HOME = {
    **dict.fromkeys(
        ("Bernoulli", "Binomial", "Gaussian", "StructuredGaussian"), "numpyvae.likelihoods"
    ),
    **dict.fromkeys(("EarlyStopping", "KeepBest", "Warmup"), "numpyvae.callbacks"),
    "Film": "numpyvae.film",
    **dict.fromkeys(("SGD", "Adam", "Momentum"), "numpyvae.optimizers"),
}
"""The module that defines each public name, apart from the models."""


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that `import numpyvae` is fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "numpyvae.models")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
