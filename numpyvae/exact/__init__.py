"""Exact references: PCA, probabilistic PCA, and log p(x) of a small VAE by quadrature.

Nothing here imports the rest of the package: what a trained model is held against is written a
second time, from the formulas, so that agreement is evidence. Everything is computed in float64,
log-probabilities are in nats, and covariances divide by N (maximum likelihood).
"""

from numpyvae.exact.pca import PCA, ProbabilisticPCA
from numpyvae.exact.quadrature import marginal_log_likelihood

__all__ = ["PCA", "ProbabilisticPCA", "marginal_log_likelihood"]
