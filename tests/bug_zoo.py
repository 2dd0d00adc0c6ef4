"""The bug zoo: how hand-written VAEs go wrong, one short wrong piece for each way.

Every `Bug` replaces one piece (its `node`) of a real `numpyvae.VAE`:

    with planted(BUG["7"], vae):
        loss, grad = vae.loss_and_grad(theta, x, noise)  # wrong as a student's would be

Nodes 1 to 44 are backward passes, written as a student writes them: from the cotangent of the
value and a cache that holds the arguments of the forward pass.

    reparameterize  (dz, (mean, log_var, noise)) -> dmean, dlog_var        all (N, L)
    kl              (dkl, (mean, log_var)) -> dmean, dlog_var              dkl (N,)
    heads           (dmean, dlog_var) -> doutput (N, 2L)
    objective       (dloss, (log_px, beta)) -> dlog_px, dkl                (N,) each
    likelihood      (dlog_prob, (x, logits)) -> dlogits (N, D)             Bernoulli
    relu, tanh      (dy, x) -> dx                                          x the pre-activation
    dense           (dy, x, W) -> dx, dW, db
    model           (vae, params, grads, cache): the whole of VAE.backward

The others are larger pieces of a student's program:

    gradient        (vae) -> grad(theta, x, noise): the right code, its state kept wrongly
    pair            (forward, backward) of one node, right but for what it writes into
    adam            (m, v, t, adam) -> step: theta <- theta - step
    sampler         (reparameterize, reparameterize_backward): wrong in the same way, both
    cross_entropy   (log_prob, log_prob_backward): the same of the Bernoulli likelihood
    nll             (vae, x) -> the negative log-likelihood (N,)

`RIGHT` has the right piece for each node, planted by the same means. There are no tests here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import numpyvae.models.vae as vae_module
from numpyvae import VAE, Adam, Bernoulli
from numpyvae.gaussian import kl_to_standard_normal
from numpyvae.gradient_check import GradientReport, central_difference, check_grad
from numpyvae.layers import Dense, ReLU, Tanh
from numpyvae.numerics import Array, sigmoid, softplus

__all__ = [
    "BUG",
    "BUGS",
    "RIGHT",
    "Bug",
    "Point",
    "StudentAdam",
    "check_planted",
    "default_point",
    "generic_point",
    "gradient_at",
    "gradient_function",
    "planted",
    "point",
    "relative_error",
    "train",
]


class Bug(NamedTuple):
    """One way to go wrong."""

    id: str  # the zoo's number, with a letter where the number has several variants: "7", "16a"
    name: str
    family: str  # "log_var", "mean", "both", "logits", "layers", "state", "optimiser", "unseen"
    node: str  # which piece is replaced; see the top of this file
    wrong: Any  # the wrong piece
    where: str = "every"  # for "dense": in every layer, or only in the "square" ones or the "heads"
    caught_by: str = "gradient check"
    # or "shapes", "state test", "optimiser test", "bound" (and moments), "extremes", "exact"

    @property
    def number(self) -> int:
        """Its number in the zoo; 0 for the bugs that no gradient check can see."""
        digits = self.id.rstrip("abcdef")
        return int(digits) if digits.isdigit() else 0


BUGS: list[Bug] = []
RIGHT: dict[str, Any] = {}

STUDENTS_RNG = np.random.default_rng(8)  # a global generator, seeded anew by each planting


def bug(number: str, name: str, family: str, node: str, **more: str) -> Callable[[Any], Any]:
    """Put the decorated piece into the zoo."""

    def put(wrong: Any) -> Any:
        BUGS.append(Bug(number, name, family, node, wrong, **more))
        return wrong

    return put


def right(node: str) -> Callable[[Any], Any]:
    """Name the decorated piece as the right one of its node."""
    return lambda piece: RIGHT.setdefault(node, piece)


# --- d log_var, the path through the sample: z = mean + sigma noise, sigma = exp(log_var / 2) -----


@right("reparameterize")
def reparameterize_backward(dz, cache):
    _mean, log_var, noise = cache
    return dz, 0.5 * dz * noise * np.exp(0.5 * log_var)


@bug("1", "1/2 missing", "log_var", "reparameterize")
def half_missing(dz, cache):
    _mean, log_var, noise = cache
    return dz, dz * noise * np.exp(0.5 * log_var)


@bug("2", "sigma^2 for sigma", "log_var", "reparameterize")
def variance_for_sigma(dz, cache):
    _mean, log_var, noise = cache
    return dz, 0.5 * dz * noise * np.exp(log_var)


@bug("3", "sigma forgotten", "log_var", "reparameterize")
def sigma_forgotten(dz, cache):
    _mean, _log_var, noise = cache
    return dz, 0.5 * dz * noise


@bug("4", "returned d loss / d sigma", "log_var", "reparameterize")
def gradient_of_sigma(dz, cache):
    _mean, _log_var, noise = cache
    return dz, dz * noise


@bug("5", "noise dropped", "log_var", "reparameterize")
def noise_dropped(dz, cache):
    _mean, log_var, _noise = cache
    return dz, 0.5 * dz * np.exp(0.5 * log_var)


@bug("6", "z in place of sigma noise", "log_var", "reparameterize")
def z_for_scaled_noise(dz, cache):
    mean, log_var, noise = cache
    z = mean + np.exp(0.5 * log_var) * noise
    return dz, 0.5 * dz * z


@bug("7", "sampling path missing", "log_var", "reparameterize")
def sampling_path_missing(dz, cache):
    _mean, log_var, _noise = cache
    return dz, np.zeros_like(log_var)


@bug("8", "new noise in backward", "log_var", "reparameterize")
def new_noise(dz, cache):
    _mean, log_var, noise = cache
    noise = STUDENTS_RNG.standard_normal(noise.shape)
    return dz, 0.5 * dz * noise * np.exp(0.5 * log_var)


# --- d log_var, the path through the KL: 1/2 sum_l (mean^2 + exp(log_var) - 1 - log_var) ----------


@right("kl")
def kl_backward(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@bug("9", "KL missing", "log_var", "kl")
def kl_missing(dkl, cache):
    mean, log_var = cache
    return dkl[:, None] * mean, np.zeros_like(log_var)


@bug("10", "KL with the wrong sign", "log_var", "kl")
def kl_sign(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * (1.0 - np.exp(log_var))


@bug("11", "1/2 of the KL missing", "log_var", "kl")
def kl_half_missing(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, dkl * (np.exp(log_var) - 1.0)


@bug("12", "sigma for sigma^2 in the KL", "log_var", "kl")
def kl_sigma_for_variance(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * (np.exp(0.5 * log_var) - 1.0)


@bug("13", "log_var for exp(log_var) in the KL", "log_var", "kl")
def kl_exp_forgotten(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * (log_var - 1.0)


@bug("14", "-1 of the KL dropped", "log_var", "kl")
def kl_minus_one_dropped(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return dkl * mean, 0.5 * dkl * np.exp(log_var)


# --- d mean ---------------------------------------------------------------------------------------


@bug("15", "KL missing", "mean", "kl")
def mean_kl_missing(dkl, cache):
    mean, log_var = cache
    return np.zeros_like(mean), 0.5 * dkl[:, None] * (np.exp(log_var) - 1.0)


@bug("16a", "KL times 2", "mean", "kl")
def mean_kl_doubled(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return 2.0 * dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@bug("16b", "KL times 1/2", "mean", "kl")
def mean_kl_halved(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return 0.5 * dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@bug("17", "KL with the wrong sign", "mean", "kl")
def mean_kl_sign(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None]
    return -dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@bug("18", "path through z missing", "mean", "reparameterize")
def mean_path_missing(dz, cache):
    _mean, log_var, noise = cache
    return np.zeros_like(dz), 0.5 * dz * noise * np.exp(0.5 * log_var)


@bug("19", "dz noise in place of dz", "mean", "reparameterize")
def mean_times_noise(dz, cache):
    _mean, log_var, noise = cache
    return dz * noise, 0.5 * dz * noise * np.exp(0.5 * log_var)


# --- both, and the weights of the two terms: loss = mean_n(beta kl_n - log_px_n) ------------------


@right("objective")
def objective_backward(dloss, cache):
    log_px, beta = cache
    weight = np.full_like(log_px, dloss / len(log_px))
    return -weight, beta * weight


@bug("20a", "beta missing", "both", "objective")
def beta_missing(dloss, cache):
    log_px, _beta = cache
    weight = np.full_like(log_px, dloss / len(log_px))
    return -weight, weight


@bug("20b", "beta squared", "both", "objective")
def beta_squared(dloss, cache):
    log_px, beta = cache
    weight = np.full_like(log_px, dloss / len(log_px))
    return -weight, beta**2 * weight


@bug("21", "KL summed over the batch", "both", "objective")
def kl_summed(dloss, cache):
    log_px, beta = cache
    n = len(log_px)
    return np.full_like(log_px, -dloss / n), np.full_like(log_px, beta * dloss)


@bug("22", "KL averaged over the latents", "both", "kl")
def kl_averaged(dkl, cache):
    mean, log_var = cache
    dkl = dkl[:, None] / mean.shape[1]
    return dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@bug("23", "KL counted twice", "both", "kl")
def kl_twice(dkl, cache):
    mean, log_var = cache
    dkl = 2.0 * dkl[:, None]
    return dkl * mean, 0.5 * dkl * (np.exp(log_var) - 1.0)


@right("model")
def model_backward(vae, params, grads, cache):
    encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = cache
    dlog_px, dkl = objective_backward(1.0, loss_cache)
    dmean_kl, dlog_var_kl = kl_backward(dkl, kl_cache)
    doutput = vae.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
    dz = vae.decoder.backward(params, grads, doutput, decoder_cache)
    dmean, dlog_var = reparameterize_backward(dz, sample_cache)
    dheads = heads_backward(dmean + dmean_kl, dlog_var + dlog_var_kl)
    vae.encoder.backward(params, grads, dheads, encoder_cache)


@bug("24", "KL pushed into dz", "both", "model")
def kl_into_dz(vae, params, grads, cache):
    encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache = cache
    dlog_px, dkl = objective_backward(1.0, loss_cache)
    dmean_kl, dlog_var_kl = kl_backward(dkl, kl_cache)
    doutput = vae.likelihood.log_prob_backward(params, grads, dlog_px, likelihood_cache)
    dz = vae.decoder.backward(params, grads, doutput, decoder_cache) + dmean_kl
    dmean, dlog_var = reparameterize_backward(dz, sample_cache)
    dheads = heads_backward(dmean, dlog_var + dlog_var_kl)
    vae.encoder.backward(params, grads, dheads, encoder_cache)


@right("heads")
def heads_backward(dmean, dlog_var):
    return np.hstack((dmean, dlog_var))


@bug("25", "heads swapped", "both", "heads")
def heads_swapped(dmean, dlog_var):
    return np.hstack((dlog_var, dmean))


# --- logits: log p = sum_d (x logits - log(1 + exp(logits))), weighted by -1/N in the loss --------


@right("likelihood")
def likelihood_backward(dlog_prob, cache):
    x, logits = cache
    return dlog_prob[:, None] * (x - sigmoid(logits))


@bug("26a", "1/N missing", "logits", "objective")
def batch_mean_missing(dloss, cache):
    log_px, beta = cache
    n = len(log_px)
    return np.full_like(log_px, -dloss), np.full_like(log_px, beta * dloss / n)


@bug("26b", "1/N twice", "logits", "objective")
def batch_mean_twice(dloss, cache):
    log_px, beta = cache
    n = len(log_px)
    return np.full_like(log_px, -dloss / n**2), np.full_like(log_px, beta * dloss / n)


@bug("27", "mean over the pixels", "logits", "likelihood")
def mean_over_pixels(dlog_prob, cache):
    x, logits = cache
    return dlog_prob[:, None] * (x - sigmoid(logits)) / x.shape[1]


@bug("28", "stray factor 2", "logits", "likelihood")
def stray_two(dlog_prob, cache):
    x, logits = cache
    return dlog_prob[:, None] * 2.0 * (x - sigmoid(logits))


@bug("29", "wrong sign", "logits", "likelihood")
def logits_sign(dlog_prob, cache):
    x, logits = cache
    return dlog_prob[:, None] * (sigmoid(logits) - x)


@bug("30", "sigmoid' applied twice", "logits", "likelihood")
def sigmoid_slope_twice(dlog_prob, cache):
    x, logits = cache
    p = sigmoid(logits)
    return dlog_prob[:, None] * (x - p) * p * (1.0 - p)


@bug("31", "gradient with respect to p", "logits", "likelihood")
def gradient_of_p(dlog_prob, cache):
    x, logits = cache
    p = sigmoid(logits)
    return dlog_prob[:, None] * (x - p) / (p * (1.0 - p))


@bug("32", "sigmoid forgotten", "logits", "likelihood")
def sigmoid_forgotten(dlog_prob, cache):
    x, logits = cache
    return dlog_prob[:, None] * (x - logits)


# --- layers ---------------------------------------------------------------------------------------


@right("relu")
def relu_backward(dy, x):
    return dy * (x > 0)


@bug("33", "ReLU' omitted", "layers", "relu")
def relu_slope_omitted(dy, x):
    return dy


@bug("34", "ReLU mask from the gradient's sign", "layers", "relu")
def relu_mask_of_gradient(dy, x):
    return dy * (dy > 0)


@bug("35", "ReLU mask inverted", "layers", "relu")
def relu_mask_inverted(dy, x):
    return dy * (x < 0)


@right("tanh")
def tanh_backward(dy, x):
    return dy * (1.0 - np.tanh(x) ** 2)


@bug("36a", "tanh' omitted", "layers", "tanh")
def tanh_slope_omitted(dy, x):
    return dy


@bug("36b", "tanh' = 1 - a^2 of the pre-activation", "layers", "tanh")
def tanh_slope_of_input(dy, x):
    return dy * (1.0 - x**2)


@bug("36c", "tanh' = 1 - h", "layers", "tanh")
def tanh_slope_not_squared(dy, x):
    return dy * (1.0 - np.tanh(x))


@bug("36d", "tanh' = h (1 - h)", "layers", "tanh")
def tanh_slope_of_sigmoid(dy, x):
    h = np.tanh(x)
    return dy * h * (1.0 - h)


@right("dense")
def dense_backward(dy, x, W):
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


@bug("37", "dW transposed", "layers", "dense", where="square")
def weight_gradient_transposed(dy, x, W):
    return dy @ W.T, dy.T @ x, dy.sum(axis=0)


@bug("38", "dy @ W for dy @ W.T", "layers", "dense", where="square")
def weight_not_transposed(dy, x, W):
    return dy @ W, x.T @ dy, dy.sum(axis=0)


@bug("39", "mean for z in the decoder's dW", "layers", "model")
def mean_for_z(vae, params, grads, cache):
    encoder_cache, sample_cache, (_z, *rest), likelihood_cache, kl_cache, loss_cache = cache
    mean, _log_var, _noise = sample_cache
    model_backward(
        vae,
        params,
        grads,
        (encoder_cache, sample_cache, [mean, *rest], likelihood_cache, kl_cache, loss_cache),
    )


@bug("40", "bias averaged over the batch", "layers", "dense")
def bias_averaged(dy, x, W):
    return dy @ W.T, x.T @ dy, dy.mean(axis=0)


@bug("41a", "bias over the wrong axis, shape (N,)", "layers", "dense", caught_by="shapes")
def bias_wrong_axis(dy, x, W):
    return dy @ W.T, x.T @ dy, dy.sum(axis=1)


@bug("41b", "bias over the wrong axis, where N = H hides the shape", "layers", "dense")
def bias_wrong_axis_hidden(dy, x, W):
    return dy @ W.T, x.T @ dy, dy.sum(axis=1)


@bug("42", "dW divided by N once more", "layers", "dense")
def weight_averaged(dy, x, W):
    return dy @ W.T, x.T @ dy / len(dy), dy.sum(axis=0)


@bug("43a", "log_var's branch overwritten by mean's", "layers", "dense", where="heads")
def branch_of_mean_only(dy, x, W):
    half = dy.shape[1] // 2
    return dy[:, :half] @ W[:, :half].T, x.T @ dy, dy.sum(axis=0)


@bug("43b", "mean's branch overwritten by log_var's", "layers", "dense", where="heads")
def branch_of_log_var_only(dy, x, W):
    half = dy.shape[1] // 2
    return dy[:, half:] @ W[:, half:].T, x.T @ dy, dy.sum(axis=0)


@bug("44", "both heads through mean's weight", "layers", "dense", where="heads")
def both_heads_through_one_weight(dy, x, W):
    half = dy.shape[1] // 2
    return (dy[:, :half] + dy[:, half:]) @ W[:, :half].T, x.T @ dy, dy.sum(axis=0)


# --- state: the formulas are right, what is kept from call to call is not -------------------------


@right("gradient")
def fresh_gradient(vae):
    def grad(theta, x, noise):
        return vae.loss_and_grad(theta, x, noise)[1]

    return grad


@bug("45", "gradients never zeroed", "state", "gradient", caught_by="state test")
def never_zeroed(vae):
    total = np.zeros_like(vae.theta)

    def grad(theta, x, noise):
        np.add(total, vae.loss_and_grad(theta, x, noise)[1], out=total)
        return total

    return grad


@right("pair")
def clean_pair():
    def forward(x):
        return np.where(x > 0, x, 0.0), x

    return forward, relu_backward


@bug("46a", "input changed in place", "state", "pair", caught_by="state test")
def input_mutated():
    def forward(x):
        x[x < 0] = 0.0
        return x, x > 0

    def backward(dy, positive):
        return dy * positive

    return forward, backward


@bug("46b", "cache changed in place", "state", "pair", caught_by="state test")
def cache_mutated():
    def forward(x):
        return np.where(x > 0, x, 0.0), (x > 0).astype(x.dtype)

    def backward(dy, positive):
        positive *= dy
        return positive

    return forward, backward


@bug("47", "weight updated before use", "state", "dense", caught_by="state test")
def updated_before_use(dy, x, W, learning_rate=0.1):
    dW = x.T @ dy
    W -= learning_rate * dW
    return dy @ W.T, dW, dy.sum(axis=0)


@bug("48", "stale cache", "state", "gradient", caught_by="state test")
def stale_cache(vae):
    kept = []

    def grad(theta, x, noise):
        params = vae.layout.views(theta)
        if not kept:
            kept.append(vae.forward(params, x, noise)[2])
        grads = {name: np.zeros_like(view) for name, view in params.items()}
        vae.backward(params, grads, kept[0])
        return np.concatenate([g.ravel() for g in grads.values()])

    return grad


@bug("49a", "integer buffer", "state", "gradient", caught_by="state test")
def integer_buffer(vae):
    out = np.zeros(vae.layout.size, int)

    def grad(theta, x, noise):
        out[:] = vae.loss_and_grad(theta, x, noise)[1]
        return out

    return grad


@bug("49b", "float32 buffer", "state", "gradient", caught_by="state test")
def float32_buffer(vae):
    out = np.zeros(vae.layout.size, np.float32)

    def grad(theta, x, noise):
        out[:] = vae.loss_and_grad(theta, x, noise)[1]
        return out

    return grad


@bug("50", "gradient is secretly numeric", "state", "gradient", caught_by="state test")
def secretly_numeric(vae):
    def grad(theta, x, noise):
        return central_difference(lambda theta: vae.loss(theta, x, noise), theta)

    return grad


# --- the optimiser: m and v are the running means of g and g^2, t counts from 1 -------------------


@right("adam")
def adam_step(m, v, t, adam):
    m_hat, v_hat = m / (1.0 - adam.beta1**t), v / (1.0 - adam.beta2**t)
    return adam.learning_rate * m_hat / (np.sqrt(v_hat) + adam.epsilon)


@bug("51a", "Adam: no bias correction", "optimiser", "adam", caught_by="optimiser test")
def adam_uncorrected(m, v, t, adam):
    return adam.learning_rate * m / (np.sqrt(v) + adam.epsilon)


@bug("51b", "Adam: only v corrected", "optimiser", "adam", caught_by="optimiser test")
def adam_only_v(m, v, t, adam):
    v_hat = v / (1.0 - adam.beta2**t)
    return adam.learning_rate * m / (np.sqrt(v_hat) + adam.epsilon)


@bug("51c", "Adam: only m corrected", "optimiser", "adam", caught_by="optimiser test")
def adam_only_m(m, v, t, adam):
    m_hat = m / (1.0 - adam.beta1**t)
    return adam.learning_rate * m_hat / (np.sqrt(v) + adam.epsilon)


@bug("51d", "Adam: t + 1 for t", "optimiser", "adam", caught_by="optimiser test")
def adam_counts_from_two(m, v, t, adam):
    m_hat, v_hat = m / (1.0 - adam.beta1 ** (t + 1)), v / (1.0 - adam.beta2 ** (t + 1))
    return adam.learning_rate * m_hat / (np.sqrt(v_hat) + adam.epsilon)


@bug("51e", "Adam: square root missing", "optimiser", "adam", caught_by="optimiser test")
def adam_rootless(m, v, t, adam):
    m_hat, v_hat = m / (1.0 - adam.beta1**t), v / (1.0 - adam.beta2**t)
    return adam.learning_rate * m_hat / (v_hat + adam.epsilon)


@bug("51f", "Adam: epsilon inside the root", "optimiser", "adam", caught_by="optimiser test")
def adam_epsilon_inside(m, v, t, adam):
    m_hat, v_hat = m / (1.0 - adam.beta1**t), v / (1.0 - adam.beta2**t)
    return adam.learning_rate * m_hat / np.sqrt(v_hat + adam.epsilon)


class StudentAdam(Adam):
    """Adam as a course writes it, with one formula for the step left open."""

    def __init__(self, formula: Callable[..., Array], **options: float) -> None:
        super().__init__(**options)
        self.formula = formula
        self.m = self.v = 0.0

    def step(self, theta, grad):
        self.n_steps += 1
        self.m = self.beta1 * self.m + (1.0 - self.beta1) * grad
        self.v = self.beta2 * self.v + (1.0 - self.beta2) * grad**2
        theta -= self.formula(self.m, self.v, self.n_steps, self)


# --- what a gradient check cannot see: forward and backward agree, and are wrong together ---------


@right("sampler")
def sampler():
    def forward(mean, log_var, noise):
        return mean + np.exp(0.5 * log_var) * noise, (mean, log_var, noise)

    return forward, reparameterize_backward


@bug("log sigma", "log_var taken for log sigma", "unseen", "sampler", caught_by="bound")
def log_var_as_log_sigma():
    def forward(mean, log_var, noise):
        return mean + np.exp(log_var) * noise, (log_var, noise)

    def backward(dz, cache):
        log_var, noise = cache
        return dz, dz * noise * np.exp(log_var)

    return forward, backward


@bug("half noise", "z = mean + 0.5 noise sigma", "unseen", "sampler", caught_by="bound")
def half_noise():
    def forward(mean, log_var, noise):
        return mean + 0.5 * noise * np.exp(0.5 * log_var), (log_var, noise)

    def backward(dz, cache):
        log_var, noise = cache
        return dz, 0.25 * dz * noise * np.exp(0.5 * log_var)

    return forward, backward


@right("cross_entropy")
def cross_entropy_of_logits():
    def log_prob(x, logits):
        return (x * logits - softplus(logits)).sum(axis=1), (x, logits)

    return log_prob, likelihood_backward


@bug("clipped", "probabilities clipped", "unseen", "cross_entropy", caught_by="extremes")
def clipped_cross_entropy(tiny=1e-15):
    def log_prob(x, logits):
        p = np.clip(sigmoid(logits), tiny, 1.0 - tiny)
        return (x * np.log(p) + (1.0 - x) * np.log(1.0 - p)).sum(axis=1), (x, sigmoid(logits))

    def backward(dlog_prob, cache):
        x, p = cache
        inside = (p > tiny) & (p < 1.0 - tiny)  # clipping lets no gradient through
        return dlog_prob[:, None] * (x - p) * inside

    return log_prob, backward


@right("nll")
def negative_log_likelihood(vae, x):
    return -vae.log_likelihood(x, 1000, np.random.default_rng(0))


@bug("nll sign", "get_nll returns +log p(x)", "unseen", "nll", caught_by="exact")
def nll_without_minus(vae, x):
    return vae.log_likelihood(x, 1000, np.random.default_rng(0))


BUG = {bug.id: bug for bug in BUGS}


# --- planting -------------------------------------------------------------------------------------


@contextmanager
def planted(bug: Bug | None, vae: VAE) -> Iterator[VAE]:
    """`vae` with one wrong piece (None: with the right ones of this file) until the context ends.

    What is replaced is the pieces of the modules, so that other models have them meanwhile too.
    Bugs of the nodes "gradient", "pair", "adam" and "nll" stand outside the model: they are called.
    """
    pieces = dict(RIGHT)
    if bug is not None:
        pieces[bug.node] = bug.wrong
    sample, sample_backward = _sampler(bug, pieces)
    log_prob, log_prob_backward = _cross_entropy(bug, pieces)
    dense_backward_of_layer = _dense(pieces["dense"], _layers(vae, bug))
    replacements = [
        (vae_module, "reparameterize", sample),
        (vae_module, "reparameterize_backward", sample_backward),
        (vae_module, "kl_to_standard_normal", _kl),
        (vae_module, "kl_to_standard_normal_backward", pieces["kl"]),
        (vae_module, "mean_and_log_var_backward", pieces["heads"]),
        (vae_module, "negative_elbo_backward", pieces["objective"]),
        (Bernoulli, "log_prob", lambda self, params, x, output: log_prob(x, output)),
        (
            Bernoulli,
            "log_prob_backward",
            lambda self, params, grads, dlog_prob, cache: log_prob_backward(dlog_prob, cache),
        ),
        (ReLU, "forward", lambda self, params, x: (x * (x.real > 0), x)),
        (ReLU, "backward", lambda self, params, grads, dy, x: pieces["relu"](dy, x)),
        (Tanh, "forward", lambda self, params, x: (np.tanh(x), x)),
        (Tanh, "backward", lambda self, params, grads, dy, x: pieces["tanh"](dy, x)),
        (Dense, "backward", dense_backward_of_layer),
        (Dense, "backward_params", dense_backward_of_layer),
    ]
    if bug is not None and bug.node == "model":
        replacements.append((VAE, "backward", bug.wrong))
    replacements.append((sys.modules[__name__], "STUDENTS_RNG", np.random.default_rng(8)))
    with ExitStack() as stack:
        for owner, name, piece in replacements:
            stack.enter_context(mock.patch.object(owner, name, piece))
        yield vae


def gradient_function(bug: Bug | None, vae: VAE) -> Callable[[Array, Array, Array], Array]:
    """The student's grad(theta, x, noise), to be called while `bug` is planted."""
    make = bug.wrong if bug is not None and bug.node == "gradient" else fresh_gradient
    return make(vae)


# Forward passes of unchanged value, whose caches hold what a student would keep: the arguments.


def _kl(mean, log_var):
    return kl_to_standard_normal(mean, log_var)[0], (mean, log_var)


def _sampler(bug, pieces):
    sample, backward = pieces["sampler"]()
    if bug is not None and bug.node == "sampler":
        return sample, backward
    return sample, pieces["reparameterize"]


def _cross_entropy(bug, pieces):
    log_prob, backward = pieces["cross_entropy"]()
    if bug is not None and bug.node == "cross_entropy":
        return log_prob, backward
    return log_prob, pieces["likelihood"]


def _layers(vae: VAE, bug: Bug | None) -> set[str]:
    """The weights of the Dense layers that the bug is in."""
    shapes = {name: shape for name, shape in vae.layout.shapes.items() if name.endswith(".W")}
    if bug is None or bug.where == "every":
        return set(shapes)
    if bug.where == "heads":
        return {f"encoder.{len(vae.hidden_dims)}.W"}
    return {name for name, (n_in, n_out) in shapes.items() if n_in == n_out}


def _dense(wrong, names):
    def backward(self, params, grads, dy, x):
        piece = wrong if self.W in names else dense_backward
        dx, dW, db = piece(dy, x, params[self.W])
        grads[self.W] += dW
        grads[self.b] += db
        return dx

    return backward


# --- points at which to look ----------------------------------------------------------------------


class Point(NamedTuple):
    """A model and all that its loss depends on."""

    vae: VAE
    theta: Array
    x: Array
    noise: Array

    def loss(self, theta: Array) -> Any:
        """f(theta), as a gradient check wants it."""
        return self.vae.loss(theta, self.x, self.noise)


def generic_point(bug: Bug | None = None, **changes: Any) -> Point:
    """Where every bug shows: weights and biases of standard deviation 0.6, beta = 0.7.

    N = 5, D = 7, L = 3, H = 6 (the heads are the square layer that some bugs need), ReLU, or tanh
    for the bugs of tanh. Only 41b needs other sizes: N = D = H = 2L = 6. `changes` are keywords of
    `point`.
    """
    sizes = {"n": 6, "d": 6} if bug is not None and bug.id == "41b" else {}
    activation = "tanh" if bug is not None and bug.node == "tanh" else "relu"
    return point(**{"activation": activation, **sizes, **changes})


def default_point(bug: Bug | None = None, **changes: Any) -> Point:
    """Where people look: weights of standard deviation 0.01, zero biases, beta = 1."""
    return generic_point(bug, **{"weight": 0.01, "bias": 0.0, "beta": 1.0, **changes})


def point(
    activation: str = "relu",
    n: int = 5,
    d: int = 7,
    beta: float = 0.7,
    weight: float = 0.6,
    bias: float = 0.6,
    seed: int = 0,
) -> Point:
    """A Bernoulli VAE d-6-6 and 3-6-d at normal parameters, with n random examples."""
    vae = VAE(d, 3, (6,), activation, Bernoulli(), beta, dtype=np.float64)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (n, d)).astype(float)
    noise = vae.draw_noise(rng, n)
    theta = rng.standard_normal(vae.layout.size)
    for name, view in vae.layout.views(theta).items():
        view *= weight if name.endswith(".W") else bias
    return Point(vae, theta, x, noise)


def gradient_at(bug: Bug | None, point: Point) -> Array:
    """The gradient (P,) that the student gets there (None: the right one)."""
    with planted(bug, point.vae):
        return gradient_function(bug, point.vae)(point.theta.copy(), point.x, point.noise)


def check_planted(bug: Bug | None, point: Point, **options: Any) -> GradientReport:
    """check_grad of the model's loss and the student's gradient, with the bug planted in both.

    Evaluating the loss takes nearly all of the time, and many bugs are checked at one point: what
    is wrong in backward alone does not change the loss, so its values are kept.
    """
    with planted(bug, point.vae):
        grad = gradient_function(bug, point.vae)
        return check_grad(
            point.loss if changes_the_loss(bug) else kept_loss(point),
            point.theta,
            lambda theta: grad(theta, point.x, point.noise),
            names=point.vae.layout,
            **options,
        )


def changes_the_loss(bug: Bug | None) -> bool:
    """Whether a bug is (also) in the forward pass, or looks at how often that is called."""
    return bug is not None and (bug.number == 0 or bug.node == "gradient")


LOSSES: dict[Any, dict[Any, Any]] = {}  # what the loss depends on -> theta -> loss


def kept_loss(point: Point) -> Callable[[Array], Any]:
    """Its loss, calculated once for each theta.

    The first call is made in full: check_grad counts what it does. It must give the same bits.
    """
    key = repr(point.vae.config()), point.x.tobytes(), point.noise.tobytes()
    known = LOSSES.setdefault(key, {})
    is_first = True

    def loss(theta: Array) -> Any:
        nonlocal is_first
        key = theta.dtype, theta.tobytes()
        if is_first or key not in known:
            value, is_first = point.loss(theta), False
            assert value == known.setdefault(key, value), "the loss depends on what is planted"
        return known[key]

    return loss


def train(bug: Bug | None, vae: VAE, x: Array, steps: int, learning_rate: float) -> Array:
    """Adam on all of x at each step, as a student would train; returns the losses (steps,)."""
    optimizer, rng = Adam(learning_rate), np.random.default_rng(0)
    losses = np.empty(steps)
    with planted(bug, vae):
        for i in range(steps):
            losses[i], grad = vae.loss_and_grad(vae.theta, x, vae.draw_noise(rng, len(x)))
            optimizer.step(vae.theta, grad)
    return losses


def relative_error(grad: Array, truth: Array) -> float:
    """The largest difference of two gradients, relative to the largest entry of the second."""
    return float(np.abs(grad - truth).max() / np.abs(truth).max())
