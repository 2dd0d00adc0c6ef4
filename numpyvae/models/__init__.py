"""One file for each model; `model.py` says what all of them share."""

from numpyvae.models.autoencoder import Autoencoder
from numpyvae.models.conditional import ConditionalVAE
from numpyvae.models.full_covariance import FullCovarianceVAE
from numpyvae.models.importance_weighted import ImportanceWeightedVAE
from numpyvae.models.learned_prior import LearnedPriorVAE
from numpyvae.models.linear_autoencoder import LinearAutoencoder
from numpyvae.models.model import MODELS, Model
from numpyvae.models.noisy_autoencoders import DenoisingAutoencoder, NoisyAutoencoder
from numpyvae.models.semi_supervised import SemiSupervisedVAE
from numpyvae.models.vae import VAE
from numpyvae.models.vector_quantized import VectorQuantizedVAE

__all__ = [
    "MODELS",
    "VAE",
    "Autoencoder",
    "ConditionalVAE",
    "DenoisingAutoencoder",
    "FullCovarianceVAE",
    "ImportanceWeightedVAE",
    "LearnedPriorVAE",
    "LinearAutoencoder",
    "Model",
    "NoisyAutoencoder",
    "SemiSupervisedVAE",
    "VectorQuantizedVAE",
    "load",
]

load = Model.load
"""The model in a file that `save` wrote, of whichever class."""
