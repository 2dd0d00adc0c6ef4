"""The loss of every model in PyTorch, written plainly: what autograd differentiates for us.

Each is loss(p, x, noise, model): p holds the parameters by our names, in our shapes; for a
model with labels, x is (x, y). `model` is ours; only its sizes and weights are read. If a gradient
is not the derivative of the loss (straight-through, DReG), PyTorch's usual way is taken: `detach`,
and a hook on z. `tests/test_benchmarks.py` proves that losses and gradients are ours.
"""

# ruff: noqa: ARG001

import math

import torch
import torch.nn.functional as F

LOG_2PI = math.log(2 * math.pi)


def network(p, name, x, table=None):
    """Two Dense layers with a ReLU between them, or one; `table` is added to the first."""
    x = torch.addmm(p[f"{name}.0.b"], x, p[f"{name}.0.W"])
    if table is not None:
        x = x + table
    if f"{name}.1.W" in p:
        x = torch.addmm(p[f"{name}.1.b"], F.relu(x), p[f"{name}.1.W"])
    return x


def bernoulli(logits, x):
    """log p(x|z), (N,)."""
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


def sample(mean, log_var, noise):
    return mean + torch.exp(0.5 * log_var) * noise


def kl_to_standard_normal(mean, log_var):
    return -0.5 * (1 + log_var - mean.pow(2) - log_var.exp()).sum(-1)


def vae(p, x, noise, model):
    mean, log_var = network(p, "encoder", x).chunk(2, 1)
    logits = network(p, "decoder", sample(mean, log_var, noise))
    return (kl_to_standard_normal(mean, log_var) - bernoulli(logits, x)).mean()


def autoencoder(p, x, noise, model):
    return -bernoulli(network(p, "decoder", network(p, "encoder", x)), x).mean()


def denoising(p, x, noise, model):
    shown = x * (noise >= model.corruption.probability)
    return -bernoulli(network(p, "decoder", network(p, "encoder", shown)), x).mean()


def noisy(p, x, noise, model):
    code = network(p, "encoder", x) + model.code_noise * noise
    return -bernoulli(network(p, "decoder", code), x).mean()


def linear(p, x, noise, model):
    """Squared error, and penalties on each axis of the code."""
    error = ((x - network(p, "decoder", network(p, "encoder", x))) ** 2).sum(1).mean()
    penalties = torch.tensor(model.penalties, dtype=x.dtype)
    squares = p["encoder.0.W"].pow(2).sum(0) + p["decoder.0.W"].pow(2).sum(1)
    return error + 0.5 * x.shape[1] * math.log(math.pi) + (penalties * squares).sum()


def conditional(p, x, noise, model):
    x, y = x
    mean, log_var = network(p, "encoder", x, p["encoder.0.W_y"][y]).chunk(2, 1)
    z = sample(mean, log_var, noise)
    logits = network(p, "decoder", z, p["decoder.0.W_y"][y])
    return (kl_to_standard_normal(mean, log_var) - bernoulli(logits, x)).mean()


def full_covariance(p, x, noise, model):
    L = model.latent_dim
    mean, log_var, off = network(p, "encoder", x).split([L, L, L * (L - 1) // 2], 1)
    rows, columns = torch.tril_indices(L, L, -1)
    C = torch.diag_embed(torch.exp(0.5 * log_var))
    C[:, rows, columns] = off
    z = mean + (C @ noise[:, :, None])[:, :, 0]
    kl = kl_to_standard_normal(mean, log_var) + 0.5 * off.pow(2).sum(1)
    return (kl - bernoulli(network(p, "decoder", z), x)).mean()


def mixture_log_prob(z, logits, mean, log_var):
    """log sum_k pi_k N(z; mean_k, sigma_k^2), (N,), its squares by two products, as in ours."""
    precision = torch.exp(-log_var)
    squares = z.pow(2) @ precision.T - 2 * z @ (precision * mean).T + (precision * mean**2).sum(1)
    log_norm = torch.log_softmax(logits, 0) - 0.5 * (LOG_2PI + log_var).sum(1)
    return torch.logsumexp(log_norm - 0.5 * squares, 1)


def learned_prior(p, x, noise, model):
    mean, log_var = network(p, "encoder", x).chunk(2, 1)
    z = sample(mean, log_var, noise)
    if "prior.pseudo_inputs" in p:
        pseudo_inputs = torch.sigmoid(p["prior.pseudo_inputs"])
        heads = network(p, "encoder", pseudo_inputs).chunk(2, 1)
        log_pz = mixture_log_prob(z, torch.zeros(len(pseudo_inputs), dtype=x.dtype), *heads)
    else:
        log_pz = mixture_log_prob(z, p["prior.logits"], p["prior.mean"], p["prior.log_var"])
    log_qz = -0.5 * (LOG_2PI + log_var + noise.pow(2)).sum(1)
    return (log_qz - log_pz - bernoulli(network(p, "decoder", z), x)).mean()


def importance_weighted(p, x, noise, model):
    """DReG: log q(z|x) with its parameters detached, and w once more in z's gradient."""
    N, S, L = noise.shape
    mean, log_var = (a[:, None] for a in network(p, "encoder", x).chunk(2, 1))
    z = sample(mean, log_var, noise)  # (N, S, L)
    mean, log_var = mean.detach(), log_var.detach()
    log_qz = -0.5 * (LOG_2PI + log_var + (z - mean).pow(2) / log_var.exp()).sum(2)
    log_pz = -0.5 * (LOG_2PI + z.pow(2)).sum(2)
    logits = network(p, "decoder", z.reshape(-1, L))
    log_px = bernoulli(logits, x.repeat_interleave(S, 0)).reshape(N, S)
    log_weight = log_px + log_pz - log_qz
    weight = torch.softmax(log_weight.detach(), 1)
    if z.requires_grad:
        z.register_hook(lambda dz: weight[:, :, None] * dz)
    return -(torch.logsumexp(log_weight, 1) - math.log(S)).mean()


def semi_supervised(p, x, noise, model):
    """A term for every class of every example; y = -1 means unknown."""
    (x, y), K, N = x, model.n_classes, len(x[0])
    first = torch.addmm(p["encoder.0.b"], x, p["encoder.0.W"])
    first = (first[:, None] + p["encoder.0.W_y"]).reshape(N * K, -1)
    heads = torch.addmm(p["encoder.1.b"], F.relu(first), p["encoder.1.W"])
    mean, log_var = heads.chunk(2, 1)  # (N K, L)
    z = sample(mean, log_var, noise.reshape(N * K, -1))
    known = y >= 0
    of, k = torch.nonzero(~known[:, None] | (y[:, None] == torch.arange(K)), as_tuple=True)
    logits = network(p, "decoder", z[of * K + k], p["decoder.0.W_y"][k])  # only those that count
    log_px = torch.zeros(N, K, dtype=x.dtype).index_put((of, k), bernoulli(logits, x[of]))
    costs = kl_to_standard_normal(mean, log_var).reshape(N, K) - log_px + math.log(K)
    log_q = torch.log_softmax(network(p, "classifier", x), 1)
    unknown = (log_q.exp() * (costs + log_q)).sum(1)
    each = torch.where(known, costs[torch.arange(N), y.clamp(min=0)], unknown)
    return each.mean() + model.alpha * F.nll_loss(log_q[known], y[known])


def vector_quantized(p, x, noise, model):
    """Straight through: z = z_e + sg[z_q - z_e]."""
    N, M, d = len(x), model.n_positions, model.code_dim
    z_e = network(p, "encoder", x).reshape(N, M, d)
    code = torch.cdist(z_e.reshape(N * M, d), p["codebook"]).argmin(1).reshape(N, M)
    z_q = p["codebook"][code]
    move = (z_e.detach() - z_q).pow(2).sum((1, 2))
    commit = (z_e - z_q.detach()).pow(2).sum((1, 2))
    z = z_e + (z_q - z_e).detach()
    log_px = bernoulli(network(p, "decoder", z.reshape(N, -1)), x)
    after = p["prior.next"][torch.arange(M - 1), code[:, :-1]]  # (N, M - 1, K)
    first = p["prior.first"].expand(N, 1, -1)
    log_prior = torch.log_softmax(torch.cat((first, after), 1), 2)
    log_pc = log_prior.gather(2, code[:, :, None]).sum((1, 2))
    return (move + model.commitment * commit - log_px - log_pc).mean()
