"""The nearest code of a codebook, and a gradient that is copied over the step.

The nearest code is a step function: its derivative is 0 wherever it has one. So here alone the
backward is on purpose not the derivative of its forward. It is the derivative of a surrogate, in
which what `held` names is constant, and by that it is proven.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpyvae.classes import one_hot
from numpyvae.numerics import Array

__all__ = ["Held", "hold", "nearest", "quantize", "quantize_backward"]


class Held(NamedTuple):
    """What the gradient counts as constant: the choice of codes, z_e and z_q at this point."""

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
    """z_q = the nearest code; what it costs the codebook, and what it costs the encoder.

    z_e (N, M, d), codebook (K, d) -> (z_q (N, M, d), sum ||sg[z_e] - z_q||^2 (N,),
    sum ||z_e - sg[z_q]||^2 (N,)), with sg[a] a constant at its value a. The two sums are equal, and
    their gradients are not: the first moves the codes, the second z_e. With `held` these constants
    stay as they were held while z_e and codebook move, and z = z_e + sg[z_q - z_e] takes the place
    of z_q: the surrogate whose derivative is the backward. Source: van den Oord et al. 2017, eq. 3.
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
    """dz_e = dz_q + 2 dcommitment_cost (z_e - z_q): straight through, the first term is copied.

    dcodebook_k = sum over what chose k of 2 dcodebook_cost (z_q - z_e), and nothing of dz_q. The
    derivative of the value would have no dz_q in dz_e, all of it in dcodebook, and both sums in
    both.
    """
    dz_q, dcodebook_cost, dcommitment_cost = dvalue
    index, difference, (n_codes, code_dim) = cache  # z_e - z_q
    dz_e = dz_q + 2.0 * dcommitment_cost[:, None, None] * difference
    dchosen = -2.0 * dcodebook_cost[:, None, None] * difference  # (N, M, d)
    chosen = one_hot(index.ravel(), n_codes, difference.dtype)  # (N M, K)
    return dz_e, chosen.T @ dchosen.reshape(-1, code_dim)
