"""The nearest code of a codebook, and its straight-through gradient.

The nearest code is a step function: its derivative is 0 wherever it exists. So this backward is, on
purpose, not the derivative of its forward. It is the derivative of a surrogate in which the values
in `held` are constant, and that derivative is proven.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpyvae.classes import one_hot
from numpyvae.numerics import Array

__all__ = ["Held", "hold", "nearest", "quantize", "quantize_backward"]


class Held(NamedTuple):
    """What the gradient treats as constant: the choice of codes, z_e and z_q at this point."""

    code: Array
    z_e: Array
    z_q: Array


def nearest(z_e: Array, codebook: Array) -> Array:
    """argmin_k ||z_e - codebook_k||^2 for each of z_e (N, M, d); codebook (K, d) -> (N, M)."""
    z_e, codebook = z_e.real, codebook.real
    half_squared = 0.5 * (codebook * codebook).sum(axis=-1)  # ||z_e||^2 is the same for every k
    index: Array = (half_squared - z_e @ codebook.T).argmin(axis=-1)
    return index


def hold(z_e: Array, codebook: Array) -> Held:
    """What `quantize` holds constant at z_e (N, M, d) and codebook (K, d)."""
    index = nearest(z_e, codebook)
    return Held(index, z_e, codebook[index])


def quantize(z_e: Array, codebook: Array, held: Held | None = None) -> tuple[Any, Any]:
    """z_q = the nearest code, with the cost of the codebook and the cost of the encoder.

    z_e (N, M, d), codebook (K, d) -> (z_q (N, M, d), sum ||sg[z_e] - z_q||^2 (N,),
    sum ||z_e - sg[z_q]||^2 (N,)), with sg[a] a constant at its value a. The two sums are equal, but
    their gradients differ: the first moves the codes, the second z_e. With `held` these constants
    keep their values while z_e and codebook change, and z = z_e + sg[z_q - z_e] replaces z_q: this
    is the surrogate whose derivative is the backward. Source: van den Oord et al. 2017, eq. 3.
    """
    if held is None:
        index = nearest(z_e, codebook)
        z_q = codebook[index]
        squared = ((z_e - z_q) ** 2).sum(axis=(1, 2))
        return (z_q, squared, squared), (index, z_e - z_q, codebook.shape)
    chosen = codebook[held.code]
    z = z_e + (held.z_q - held.z_e)
    codebook_cost = ((held.z_e - chosen) ** 2).sum(axis=(1, 2))
    commitment_cost = ((z_e - held.z_q) ** 2).sum(axis=(1, 2))
    return (z, codebook_cost, commitment_cost), (held.code, z_e - chosen, codebook.shape)


def quantize_backward(dvalue: tuple[Array, Array, Array], cache: Any) -> tuple[Array, Array]:
    """dz_e = dz_q + 2 dcommitment_cost (z_e - z_q): dz_q is copied straight through.

    dcodebook_k = sum of 2 dcodebook_cost (z_q - z_e) over the positions that chose k; dz_q has no
    part in it. In the true derivative, dz_q would go to dcodebook and not to dz_e, and both costs
    would contribute to both gradients.
    """
    dz_q, dcodebook_cost, dcommitment_cost = dvalue
    index, difference, (n_codes, code_dim) = cache  # z_e - z_q
    dz_e = dz_q + 2.0 * dcommitment_cost[:, None, None] * difference
    dchosen = -2.0 * dcodebook_cost[:, None, None] * difference  # (N, M, d)
    chosen = one_hot(index.ravel(), n_codes, difference.dtype)  # (N M, K)
    return dz_e, chosen.T @ dchosen.reshape(-1, code_dim)
