"""The bug zoo as students' files: each wrong piece of `bug_zoo`, in the form of an exercise.

The pieces are the zoo's own functions, which nothing in `numpyvae.exercises` has seen; a student's
file around them keeps the arguments of its forward pass as the cache. `student(bug)` gives the
number of the exercise and the functions; `named_as` the names that say what the bug is.
"""

from __future__ import annotations

import itertools

import bug_zoo
import numpy as np
from bug_zoo import BUGS, RIGHT

from numpyvae.numerics import sigmoid, softplus

__all__ = ["NAMES", "ZOO", "student"]

# The zoo's number -> the names, any of which says what is wrong.
NAMES = {
    "1": "half missing", "2": "variance for sigma", "3": "sigma forgotten",
    "4": "gradient of sigma", "5": "noise dropped", "6": "z for sigma noise",
    "7": "sampling path missing", "8": "not deterministic", "9": "KL missing from log_var",
    "10": "sign in log_var", "11": "half missing in log_var", "12": "sigma for sigma^2 in log_var",
    "13": "exp forgotten in log_var", "14": "-1 dropped in log_var",
    "15": "KL missing from the mean", "16a": "mean doubled", "16b": "mean halved",
    "17": "sign in the mean", "18": "mean path missing", "19": "mean times noise",
    "20a": "beta missing", "20b": "beta squared", "21": "KL summed over the batch",
    "22": "KL averaged over latents", "23": "KL counted twice", "24": "KL pushed into dz",
    "25": "heads swapped", "26a": "1/N missing", "26b": "1/N twice", "27": "mean over the pixels",
    "28": "stray factor 2", "29": "wrong sign of dlogits", "30": "sigmoid slope twice",
    "31": "gradient of p", "32": "sigmoid forgotten", "33": "relu slope omitted",
    "34": "relu mask of dy", "35": "relu mask inverted", "36a": "tanh slope omitted",
    "36b": "tanh of the input", "36c": "tanh slope not squared", "36d": "tanh slope of sigmoid",
    "37": "dW transposed", "38": "W not transposed", "39": "mean for z", "40": "db averaged",
    "41a": "db over the wrong axis", "41b": "db over the wrong axis", "42": "dW averaged",
    "43a": "branch of log_var lost", "43b": "branch of mean lost",
    "44": "both heads through one weight", "45": "accumulates", "46a": "changes an argument",
    "46b": "changes its cache", "47": "weight updated before use", "48": "stale cache",
    "49a": "integer", "49b": "float32", "50": None, "51a": "no bias correction",
    "51b": "only v corrected", "51c": "only m corrected", "51d": "t counted from 2",
    "51e": "root missing", "51f": "epsilon inside the root",
    "log sigma": "log_var taken for log sigma, both ways",
    "half noise": "half the noise, both ways", "clipped": "probabilities clipped, both ways",
}  # fmt: skip

ZOO = [bug for bug in BUGS if bug.id in NAMES]


def student(bug):
    """The exercise's number and the functions of a student with this bug."""
    piece = bug.wrong
    if bug.node == "reparameterize":
        return 3, {**_sampler(), "reparameterize_backward": piece}
    if bug.node == "sampler":
        forward, backward = piece()
        return 3, {"reparameterize": forward, "reparameterize_backward": backward}
    if bug.node == "kl":
        return 4, {
            "kl_to_standard_normal": lambda m, v: (
                0.5 * (m**2 + np.exp(v) - v - 1).sum(1),
                (m, v),
            ),
            "kl_to_standard_normal_backward": piece,
        }
    if bug.node in ("likelihood", "cross_entropy"):
        return 2, _bernoulli(bug)
    if bug.node in ("relu", "tanh", "pair"):
        return 1, _activations(bug)
    if bug.node == "dense" and bug.where != "heads":
        return 0, {
            "dense": lambda x, W, b: (x @ W + b, (x, W)),
            "dense_backward": lambda dy, cache: piece(dy, *cache),
        }
    if bug.node == "adam":
        return 6, {"adam_step": _adam(piece)}
    return 5, _elbo(bug)


def _sampler():
    return {"reparameterize": lambda m, v, e: (m + np.exp(0.5 * v) * e, (m, v, e))}


def _bernoulli(bug):
    log_prob, backward = (bug.wrong if bug.node == "cross_entropy" else RIGHT["cross_entropy"])()
    return {
        "sigmoid": lambda x: (sigmoid(x), sigmoid(x)),
        "sigmoid_backward": lambda dp, p: dp * p * (1 - p),
        "bernoulli_log_prob": log_prob,
        "bernoulli_log_prob_backward": bug.wrong if bug.node == "likelihood" else backward,
    }


def _activations(bug):
    functions = {
        "relu": lambda x: (x * (x > 0), x),
        "relu_backward": RIGHT["relu"],
        "tanh": lambda x: (np.tanh(x), x),
        "tanh_backward": RIGHT["tanh"],
    }
    if bug.node == "pair":
        functions["relu"], functions["relu_backward"] = bug.wrong()
    else:
        functions[f"{bug.node}_backward"] = bug.wrong
    return functions


def _adam(formula):
    def adam_step(theta, grad, m, v, t, learning_rate, beta1, beta2, epsilon):
        adam = bug_zoo.Adam(learning_rate, beta1, beta2, epsilon)
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        return theta - formula(m, v, t, adam), m, v

    return adam_step


class _Vae:
    """The model of exercise 5, as far as the zoo's nodes want to see it."""

    def __init__(self, params, pieces):
        self.params, self.pieces = params, pieces
        self.encoder, self.decoder = _Network("encoder", self), _Network("decoder", self)
        self.likelihood = self

    def log_prob_backward(self, params, grads, dlog_prob, cache):
        return RIGHT["likelihood"](dlog_prob, cache)


class _Network:
    """Dense, tanh, Dense."""

    def __init__(self, name, vae):
        self.name, self.vae = name, vae

    def forward(self, x):
        p, name = self.vae.params, self.name
        a = x @ p[f"{name}.0.W"] + p[f"{name}.0.b"]
        return np.tanh(a) @ p[f"{name}.1.W"] + p[f"{name}.1.b"], [x, a, np.tanh(a)]

    def backward(self, params, grads, dy, cache):
        x, a, h = cache
        heads = self.vae.pieces["dense"] if self.name == "encoder" else RIGHT["dense"]
        for i, inputs, piece in ((1, h, heads), (0, x, RIGHT["dense"])):
            W = params[f"{self.name}.{i}.W"]
            dy, grads[f"{self.name}.{i}.W"], grads[f"{self.name}.{i}.b"] = piece(dy, inputs, W)
            dy = dy * (1 - np.tanh(a) ** 2) if i else dy
        return dy


def _elbo(bug):
    pieces = {**RIGHT, **({bug.node: bug.wrong} if bug.node in RIGHT else {})}
    total, kept, numeric = {}, [], {}

    def forward(params, x, noise, beta):
        vae = _Vae(params, pieces)
        heads, encoder = vae.encoder.forward(x)
        mean, log_var = np.hsplit(heads, 2)
        z = mean + np.exp(0.5 * log_var) * noise
        logits, decoder = vae.decoder.forward(z)
        log_px = (x * logits - softplus(logits)).sum(1)
        kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1).sum(1)
        cache = (
            encoder,
            (mean, log_var, noise),
            decoder,
            (x, logits),
            (mean, log_var),
            (log_px, beta),
        )
        return np.mean(beta * kl - log_px), (vae, cache, (x, noise, beta))

    def backward(dloss, cache):
        if bug.id == "48":
            kept.append(cache)
            cache = kept[0]
        vae, caches, _arguments = cache
        grads = {}
        if bug.node == "model":
            bug.wrong(vae, vae.params, grads, caches)
        else:
            _backward(vae, pieces, grads, caches)
        if bug.id == "50":
            if vae not in numeric:  # slow, and the same whenever this cache comes again
                numeric[vae] = _numeric(*cache)
            grads = numeric[vae]
        grads = {name: dloss * grad for name, grad in grads.items()}
        if bug.id == "45":
            for name, grad in grads.items():
                total[name] = total.get(name, 0) + grad
            return dict(total)
        if bug.id in ("49a", "49b"):
            return {n: g.astype(int if bug.id == "49a" else np.float32) for n, g in grads.items()}
        return grads

    def _numeric(vae, _caches, arguments):
        f = functions["negative_elbo"]  # as a student's file finds it
        grads = {name: np.zeros_like(p) for name, p in vae.params.items()}
        for name, p in vae.params.items():
            for i in itertools.product(*map(range, p.shape)):
                up, down = ({**vae.params, name: p.copy()} for _ in range(2))
                up[name][i] += 1e-5
                down[name][i] -= 1e-5
                difference = f(up, *arguments)[0] - f(down, *arguments)[0]
                grads[name][i] = difference / 2e-5
        return grads

    functions = {"negative_elbo": forward, "negative_elbo_backward": backward}
    return functions


def _backward(vae, pieces, grads, caches):
    """The right model backward, of the given pieces."""
    encoder, sample, decoder, likelihood, kl, loss = caches
    dlog_px, dkl = pieces["objective"](1.0, loss)
    dmean_kl, dlog_var_kl = pieces["kl"](dkl, kl)
    dlogits = pieces["likelihood"](dlog_px, likelihood)
    dz = vae.decoder.backward(vae.params, grads, dlogits, decoder)
    dmean, dlog_var = pieces["reparameterize"](dz, sample)
    dheads = pieces["heads"](dmean + dmean_kl, dlog_var + dlog_var_kl)
    vae.encoder.backward(vae.params, grads, dheads, encoder)
