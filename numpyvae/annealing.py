"""log p(x) by annealed importance sampling: slow, and a check on the faster estimates.

A chain starts at a Gaussian q(z) and passes through distributions that turn into p(x, z),

    log f_b(z) = (1 - b) log q(z) + b log p(x, z),   0 = b_0 < b_1 < ... < b_K = 1,

each of which is invariant under its Hamiltonian transition. The weight
w = prod_k f_(b_k)(z_(k-1)) / f_(b_(k-1))(z_(k-1)) has the expectation p(x), however well or badly
the chain mixes, so the logarithm of a mean of weights is in expectation a lower bound on
log p(x) (Neal 2001; Wu et al. 2017). If the model drew x itself, the z that x was drawn from is an
exact sample of p(z|x). The same chain runs backwards from it; the expectation of 1 / w is then
1 / p(x), which gives an upper bound, too (Grosse et al. 2015).

Everything is written in u = (z - mean) / sigma, in which q is N(0, I).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from numpyvae.evaluation import Estimate, chunks, weights_quality
from numpyvae.gaussian import LOG_2PI
from numpyvae.marginal import refined_posterior
from numpyvae.numerics import Array, logsumexp, sigmoid
from numpyvae.progress import Steps
from numpyvae.rows import Data, map_arrays, n_rows, take_rows
from numpyvae.threads import one_blas_thread
from numpyvae.validation import one_of, positive_int

__all__ = ["Bounds", "annealed_log_likelihood", "bidirectional_log_likelihood", "simulate"]

PILOT_STEPS = 80
PILOT_CHAINS = 4
LEAPFROGS = 8
ACCEPTANCE = 0.65
"""The target acceptance rate, optimal for Hamiltonian transitions (Beskos et al. 2013)."""


class Bounds(NamedTuple):
    """Two bounds in expectation on log p(x) of data that the model drew, (N,) nats each."""

    lower: Array
    upper: Array


@one_blas_thread
def annealed_log_likelihood(
    model: Any,
    data: Data,
    n_chains: int = 16,
    n_steps: int = 500,
    rng: np.random.Generator | None = None,
    start: str = "prior",
    verbose: bool = True,
) -> Estimate:
    """log p(x) of each example, in expectation a lower bound, (N,) nats.

    Args:
        model: a `LatentModel`.
        data: x (N, D), or (x, y).
        n_chains: for each example; the weights are averaged over them.
        n_steps: K, the number of intermediate distributions. A pilot run of a few chains chooses
            the b_k and the step sizes.
        rng: of chains and noise; None starts a generator from the model's seed.
        start: q, "prior" for N(0, I), which does not depend on the encoder, or "refined" for the
            posterior refined for each example, which needs fewer steps.
        verbose: show the progress.
    """
    return _run(model, data, None, n_chains, n_steps, rng, start, verbose)[0]


@one_blas_thread
def bidirectional_log_likelihood(
    model: Any,
    data: Data,
    z: Array,
    n_chains: int = 16,
    n_steps: int = 500,
    rng: np.random.Generator | None = None,
    start: str = "prior",
    verbose: bool = True,
) -> Bounds:
    """Lower and upper bound, in expectation, on log p(x) of data that the model drew from z (N, L).

    `simulate` draws both. The other arguments are those of `annealed_log_likelihood`.
    """
    estimate, upper = _run(model, data, np.asarray(z), n_chains, n_steps, rng, start, verbose)
    return Bounds(estimate.log_likelihood, upper)


def simulate(
    model: Any, n: int, rng: np.random.Generator | None = None, y: Array | None = None
) -> tuple[Data, Array]:
    """n examples x ~ p(x|z) with z ~ p(z), and these z (n, L); a model with labels takes y (n,)."""
    rng, params = model.generator(rng), model.params
    z = model.prior.sample(params, rng, n, model.latent_dim).astype(model.dtype)
    output, _ = model.decoder.forward(params, z if y is None else (z, y))
    x = model.likelihood.sample(params, output, rng)
    return (x if y is None else (x, y)), z


def _run(
    model: Any,
    data: Data,
    z: Array | None,
    n_chains: int,
    n_steps: int,
    rng: np.random.Generator | None,
    start: str,
    verbose: bool,
) -> tuple[Estimate, Array]:
    """The lower bound, and with z the upper one (else NaN)."""
    data, rng = model.check_data(data), model.generator(rng)
    n_chains, n_steps = positive_int("n_chains", n_chains), positive_int("n_steps", n_steps)
    one_of("start", start, ("prior", "refined"))
    n, dim = n_rows(data), model.latent_dim
    log_px, error, size, upper = np.full((4, n), np.nan)
    parts = chunks(model, n, n_chains)
    directions = 1 if z is None else 2
    progress = Steps("annealing", len(parts) * (PILOT_STEPS + directions * n_steps), verbose)
    for rows in parts:
        batch = take_rows(data, rows, model.dtype)
        zero = np.zeros((n_rows(batch), dim), model.dtype)
        q = (zero, zero) if start == "prior" else refined_posterior(model, batch, rng)
        betas, log_steps = _pilot(_Path(model, batch, q, PILOT_CHAINS), rng, progress)
        plan = _plan(betas, log_steps, n_steps)
        path = _Path(model, batch, q, n_chains)
        log_weight = path.anneal(path.draw(rng), *plan, rng, progress)
        log_px[rows] = logsumexp(log_weight, axis=1) - math.log(n_chains)
        error[rows], size[rows] = weights_quality(log_weight)
        if z is not None:
            betas, steps = plan[0][::-1], plan[1][::-1]
            log_weight = path.anneal(path.standardize(z[rows]), betas, steps, rng, progress)
            upper[rows] = math.log(n_chains) - logsumexp(log_weight, axis=1)  # of 1 / w
    progress.close()
    return Estimate(log_px, error, size, None, "annealed"), upper


class _Path:
    """The distributions between q and p(x, z) of N examples with C chains each, R = N C rows."""

    def __init__(self, model: Any, batch: Data, q: tuple[Array, Array], n_chains: int) -> None:
        self.model, self.n_chains = model, n_chains
        self.params = model.layout.views(model.theta)
        self.data = map_arrays(batch, lambda a: np.repeat(a, n_chains, axis=0))
        self.mean, log_var = (np.repeat(a, n_chains, axis=0) for a in q)  # (R, L)
        self.sigma, self.log_scale = np.exp(0.5 * log_var), 0.5 * log_var.sum(axis=1)

    def draw(self, rng: np.random.Generator) -> Array:
        """u ~ q = N(0, I), (R, L)."""
        return rng.standard_normal(self.mean.shape, self.mean.dtype)

    def standardize(self, z: Array) -> Array:
        """u (R, L) of z (N, L), where all chains of an example start."""
        return (np.repeat(z, self.n_chains, axis=0) - self.mean) / self.sigma

    def by_example(self, values: Array) -> Array:
        """(R,) -> (N, C)."""
        return values.reshape(-1, self.n_chains)

    def joint(self, u: Array) -> tuple[Array, Array]:
        """Log p(x, z) + log |dz / du|, (R,), and its derivative by u, (R, L)."""
        log_joint, cache = self.model.log_joint(self.params, self.data, self.mean + self.sigma * u)
        dz = self.model.log_joint_backward(np.ones_like(log_joint), cache)
        return log_joint + self.log_scale, self.sigma * dz

    def excess(self, u: Array, log_joint: Array) -> Array:
        """log p(x, z) - log q(z), (R,): the derivative of log f_b by b."""
        return log_joint.astype(np.float64) + 0.5 * (u * u + LOG_2PI).sum(axis=1)

    @np.errstate(over="ignore", invalid="ignore")  # overflow means rejection
    def transition(
        self, state: tuple[Array, Array, Array], beta: float, step: Array, rng: np.random.Generator
    ) -> tuple[tuple[Array, Array, Array], Array]:
        """A Hamiltonian transition of f_beta from (u, log joint, its derivative), step (R,).

        Returns the new state and the acceptance probability of each proposal. The step sizes vary
        by a fifth; with a fixed size, a periodic trajectory could return to its start every time.
        """
        start: tuple[Array, Array, Array] = state
        u, log_joint, grad = start
        epsilon: Array = (step * rng.uniform(0.8, 1.2, len(u))).astype(u.dtype)[:, None]
        momentum: Array = rng.standard_normal(u.shape, u.dtype)
        energy = self._energy(start, momentum, beta)
        momentum = momentum + 0.5 * epsilon * (beta * grad - (1.0 - beta) * u)
        for i in range(LEAPFROGS):
            u = u + epsilon * momentum
            log_joint, grad = self.joint(u)
            last = i == LEAPFROGS - 1
            momentum = momentum + (0.5 if last else 1.0) * epsilon * (
                beta * grad - (1.0 - beta) * u
            )
        fall = energy - self._energy((u, log_joint, grad), momentum, beta)
        probability = np.exp(np.minimum(np.where(np.isfinite(fall), fall, -np.inf), 0.0))
        accept = rng.random(len(u)) < probability
        end = u, log_joint, grad
        new = [
            np.where(accept.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(end, start, strict=True)
        ]
        return (new[0], new[1], new[2]), probability

    def _energy(self, state: tuple[Array, Array, Array], momentum: Array, beta: float) -> Array:
        """Minus log of the density of u and momentum, up to a constant, (R,) in float64."""
        u, log_joint, _ = state
        kinetic = (momentum * momentum).sum(axis=1) + (1.0 - beta) * (u * u).sum(axis=1)
        energy: Array = 0.5 * kinetic.astype(np.float64) - beta * log_joint.astype(np.float64)
        return energy

    def anneal(
        self, u: Array, betas: Array, steps: Array, rng: np.random.Generator, progress: Steps
    ) -> Array:
        """Log w of each chain, (N, C), from u along betas (K + 1,), with steps (K + 1, N)."""
        state, log_weight = (u, *self.joint(u)), np.zeros(len(u))
        for k in range(1, len(betas)):
            log_weight += (betas[k] - betas[k - 1]) * self.excess(state[0], state[1])
            if k < len(betas) - 1:
                step = np.repeat(steps[k], self.n_chains)
                state, _ = self.transition(state, float(betas[k]), step, rng)
            progress.advance()
        return self.by_example(log_weight)


def _pilot(path: _Path, rng: np.random.Generator, progress: Steps) -> tuple[Array, Array]:
    """The difficulty of each part of the path, and the step sizes (K + 1, N) along it.

    Chains follow a sigmoidal schedule. The step size of each example grows while more than 0.65 of
    its proposals are accepted, and shrinks otherwise. The first result is the schedule b with the
    difficulty up to each b, from 0 to 1: the integral of the standard deviation of d log f_b / db,
    which an optimal schedule divides evenly (Gelman & Meng 1998).
    """
    s = sigmoid(np.linspace(-5.0, 5.0, PILOT_STEPS + 1))
    betas = (s - s[0]) / (s[-1] - s[0])
    u = path.draw(rng)
    state = (u, *path.joint(u))
    log_step = np.full(len(path.by_example(u[:, 0])), math.log(0.5))
    log_steps, spreads = [], []
    for beta in betas:
        for _ in range(3):
            step = np.repeat(np.exp(log_step), path.n_chains)
            state, accepted = path.transition(state, float(beta), step, rng)
            log_step = log_step + 0.6 * (path.by_example(accepted).mean(axis=1) - ACCEPTANCE)
            log_step = np.minimum(log_step, 0.0)
        log_steps.append(log_step)
        excess = path.by_example(path.excess(state[0], state[1]))
        spreads.append(excess.std(axis=1).mean())
        progress.advance()
    spread = np.maximum(np.array(spreads), 1e-3 * max(spreads) + 1e-12)
    pieces = 0.5 * (spread[1:] + spread[:-1]) * np.diff(betas)
    difficulty = np.concatenate([[0.0], np.cumsum(pieces)])
    return np.stack([betas, difficulty / difficulty[-1]]), np.array(log_steps)


def _plan(schedule: Array, log_steps: Array, n_steps: int) -> tuple[Array, Array]:
    """b (K + 1,) at equal steps of difficulty, and the step sizes (K + 1, N), by interpolation."""
    grid, difficulty = schedule
    betas = np.interp(np.linspace(0.0, 1.0, n_steps + 1), difficulty, grid)
    at = np.interp(betas, grid, np.arange(len(grid)))
    low = np.minimum(at.astype(int), len(grid) - 2)
    part = (at - low)[:, None]
    return betas, np.exp((1.0 - part) * log_steps[low] + part * log_steps[low + 1])
