"""Exact references: PCA, probabilistic PCA, spike and slab, log p(x) of a small VAE by quadrature.

Nothing here imports the rest of the package: these references are written a second time from the
formulas, so that agreement with a trained model is evidence. Everything is computed in float64,
log-probabilities are in nats, and covariances divide by N (maximum likelihood).
"""

from numpyvae.exact.pca import PCA, ProbabilisticPCA
from numpyvae.exact.quadrature import marginal_log_likelihood
from numpyvae.exact.spike_and_slab import SpikeAndSlab

__all__ = ["PCA", "ProbabilisticPCA", "SpikeAndSlab", "marginal_log_likelihood"]
