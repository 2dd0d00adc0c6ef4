"""Data: embedded digits, MNIST, toy sets with a known density, a user's own files, minibatches."""

from numpyvae.data.digits import Dataset, load_digits
from numpyvae.data.files import atomic_write, read_array
from numpyvae.data.idx import read_idx
from numpyvae.data.minibatches import binarize_pixels, minibatches, scale_pixels
from numpyvae.data.mnist import load_mnist
from numpyvae.data.toy import (
    PLANE_IN_FIVE_DIMENSIONS,
    THREE_GAUSSIANS,
    GaussianMixture,
    LinearGaussian,
    LinearGaussianSample,
    MixtureSample,
    gaussian_mixture,
    linear_gaussian,
    pinwheel,
    spiral,
)

__all__ = [
    "PLANE_IN_FIVE_DIMENSIONS",
    "THREE_GAUSSIANS",
    "Dataset",
    "GaussianMixture",
    "LinearGaussian",
    "LinearGaussianSample",
    "MixtureSample",
    "atomic_write",
    "binarize_pixels",
    "gaussian_mixture",
    "linear_gaussian",
    "load_digits",
    "load_mnist",
    "minibatches",
    "pinwheel",
    "read_array",
    "read_idx",
    "scale_pixels",
    "spiral",
]
