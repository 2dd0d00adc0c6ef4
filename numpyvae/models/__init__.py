"""One file for each model, of which `model.py` says what they all are."""

from numpyvae.models.autoencoder import Autoencoder
from numpyvae.models.full_covariance import FullCovarianceVAE
from numpyvae.models.importance_weighted import ImportanceWeightedVAE
from numpyvae.models.learned_prior import LearnedPriorVAE
from numpyvae.models.linear_autoencoder import LinearAutoencoder
from numpyvae.models.model import MODELS, Model
from numpyvae.models.noisy_autoencoders import DenoisingAutoencoder, NoisyAutoencoder
from numpyvae.models.vae import VAE

__all__ = [
    "MODELS",
    "VAE",
    "Autoencoder",
    "DenoisingAutoencoder",
    "FullCovarianceVAE",
    "ImportanceWeightedVAE",
    "LearnedPriorVAE",
    "LinearAutoencoder",
    "Model",
    "NoisyAutoencoder",
    "load",
]

load = Model.load
"""The model in a file that `save` wrote, whichever it is."""
