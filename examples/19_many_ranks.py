"""What ranks that train one model must share, and what they must not:

    mpiexec -n 4 python examples/19_many_ranks.py         (without mpiexec: one rank)

Each rank has a piece of the rows. One sum over all ranks, an Allreduce, makes of their gradients
that of the whole: `DataParallel(vae).fit(x)` does this in each step of `fit`.
"""

import numpy as np

from numpyvae import VAE, Adam, Binomial
from numpyvae.data import load_digits
from numpyvae.mpi import DataParallel, piece, world


def mean_over_ranks(comm, value, share):
    total = np.empty_like(value)
    comm.Allreduce(share * value, total)
    return total


def main():
    comm, x = world(), load_digits().x_train[:1001]
    rank, size, N = comm.rank, comm.size, len(x)
    say = print if rank == 0 else lambda *_: None

    def new_vae(seed):
        return VAE(64, 2, (32,), likelihood=Binomial(16), seed=seed, dtype=np.float64)

    # The mean of means is the mean, if each counts by its share of the rows: 1001 are no multiple.
    vae, rows = new_vae(0), piece(N, rank, size)
    noise = vae.draw_noise(np.random.default_rng(0), N)
    whole = vae.loss_and_grad(vae.theta, x, noise)[1]
    grad = vae.loss_and_grad(vae.theta, x[rows], noise[rows])[1]
    say(f"ranks: {size}, rows: {N}; the mean of their gradients, minus the gradient of all rows")
    for name, share in ("n_r / N", len(x[rows]) / N), ("1 / ranks", 1 / size):
        error = np.abs(mean_over_ranks(comm, grad, share) - whole).max() / np.abs(whole).max()
        say(f"  each weighted by {name:<14}{error:.1e} of its largest entry")

    # The noise must differ: the variance of a mean falls as far as what it is of is independent.
    say("variance of the mean gradient, the sum over its entries")
    for name, seed in ("of its own", [1, rank]), ("of rank 0", [1, 0]):
        rng, few = np.random.default_rng(seed), x[:20]
        draws = [vae.loss_and_grad(vae.theta, few, vae.draw_noise(rng, 20))[1] for _ in range(400)]
        noisy = mean_over_ranks(comm, np.array(draws), 1 / size)
        say(f"  each has noise {name:<16}{noisy.var(axis=0).sum():.3g}")

    # The parameters must not: gradients at different points add up to the gradient of no loss.
    say("loss after 300 steps by that mean, in nats, by the theta that each starts from")
    for name, seed in ("rank 0's", 0), ("its own", rank):
        vae, optimizer, rng = new_vae(seed), Adam(3e-3), np.random.default_rng([2, rank])
        for _ in range(300):
            grad = vae.loss_and_grad(vae.theta, x[rows], vae.draw_noise(rng, len(x[rows])))[1]
            optimizer.step(vae.theta, mean_over_ranks(comm, grad, len(x[rows]) / N))
        say(f"  each starts from {name:<14}{vae.loss(vae.theta, x, noise):.1f}")

    vae = new_vae(0)
    vae.theta += rank  # `fit` begins with those of rank 0
    history = DataParallel(vae, comm).fit(x, 30, 100, Adam(3e-3), verbose=False)
    same = len(set(comm.allgather(vae.theta.tobytes()))) == 1
    say(f"DataParallel: ELBO {history[-1]['elbo']:.1f} nats; theta equal on all ranks: {same}")


if __name__ == "__main__":
    try:
        main()
    except ModuleNotFoundError as error:
        raise SystemExit(error) from None
