"""Exercise 13: vector quantisation, where the gradient is copied over a step.

The encoder gives M vectors for each example, z_e (N, M, d). Each is replaced by the nearest of the
K rows of a codebook (K, d), z_q = codebook[index], and the decoder sees z_q alone:

    loss = mean_n( -log p(x|z_q) + sum ||sg[z_e] - z_q||^2 + beta sum ||z_e - sg[z_q]||^2 )

The sums run over M and d. sg[a] has the value of a and counts as constant: the second term moves
the codebook alone, the third ("commitment") the encoder alone. The nearest code is a step function,
whose derivative is 0. So the gradient of the first term with respect to z_q is copied unchanged to
z_e, "straight through", and the codebook gets none of it (van den Oord et al. 2017). This is not
the derivative of the loss. It is the derivative with z_q in the first term replaced by z_e + sg[z_q
- z_e].

The codebook needs no gradient if each code is a moving average of the vectors that chose it.
"""

import numpy as np


def nearest_code(z_e, codebook):
    """The index (N, M) of the row of codebook (K, d) nearest to each of z_e (N, M, d)."""
    squares = ((z_e[:, :, None] - codebook) ** 2).sum(axis=3)  # (N, M, K)
    return squares.argmin(axis=2)


def quantize(z_e, index, codebook, beta):
    """z_q (N, M, d), and the cost of quantisation, which is added to each example's loss, (N,)."""
    z_q = codebook[index]
    squares = ((z_e - z_q) ** 2).sum(axis=(1, 2))
    cost = squares + beta * squares
    return z_q, cost


def quantize_gradient(dz_q, z_e, index, codebook, beta):
    """d loss / d z_e (N, M, d) and d loss / d codebook (K, d).

    dz_q (N, M, d) is the gradient of the first term, from the decoder, with its 1/N in it.
    """
    N = len(z_e)
    off = z_e - codebook[index]
    dz_e = dz_q + 2.0 * beta * off / N
    dcodebook = np.zeros(codebook.shape)
    np.add.at(dcodebook, index, -2.0 * off / N)
    return dz_e, dcodebook


def moving_codebook(counts, sums, z_e, index, decay):
    """new_counts (K,), new_sums (K, d) and new_codebook (K, d), after a batch z_e (N, M, d).

    counts_k and sums_k are moving averages of how many vectors chose code k, and of their sum:
    new = decay old + (1 - decay) batch's, for every code. A code is its sum divided by its count.
    """
    one_hot = np.eye(len(counts))[index.ravel()]  # (N M, K)
    chosen = one_hot.sum(axis=0)
    total = one_hot.T @ z_e.reshape(len(one_hot), -1)
    new_counts = decay * counts + (1.0 - decay) * chosen
    new_sums = decay * sums + (1.0 - decay) * total
    return new_counts, new_sums, new_sums / new_counts[:, None]


if __name__ == "__main__":
    codebook = np.array([[0.0, 0.0], [1.0, 1.0]])
    z_e = np.array([[[0.1, 0.0], [0.8, 0.9]]])
    index = nearest_code(z_e, codebook)
    cost = quantize(z_e, index, codebook, 0.25)[1]
    text = f"nearest: {index.tolist()} expected [[0, 1]]\n"
    print(f"{text}cost: {cost.round(4)} expected [0.075] with beta = 0.25\n", end="")
