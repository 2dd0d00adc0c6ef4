"""Exercise 5: the loss of a variational autoencoder, and its whole gradient.

    loss = mean_n( -log p(x_n | z_n) + beta * KL_n )          minus the ELBO, if beta = 1

    x (N, D) --dense, tanh, dense--> mean and log_var, side by side in one array (N, 2L)
    z = mean + sigma * noise, (N, L)
    z --dense, tanh, dense--> logits (N, D) -> log p(x | z) (N,);   KL (N,) from mean and log_var

The parameters are in a dict: encoder.0.W (D, H), encoder.0.b (H,), encoder.1.W (H, 2L), encoder.1.b
(2L,), decoder.0.W (L, H), decoder.0.b (H,), decoder.1.W (H, D), decoder.1.b (D,). The functions of
exercises 0 to 4 come from `given`; grading uses correct versions. Write forward line by line,
then the same lines in reverse. mean and log_var each affect the loss by two routes: add the
gradients of both.
"""

import numpy as np

from given import (
    bernoulli_log_prob,
    bernoulli_log_prob_backward,
    dense,
    dense_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
    tanh,
    tanh_backward,
)


def negative_elbo(params, x, noise, beta):
    """The loss, one number in nats, and the cache. params a dict, x (N, D), noise (N, L)."""
    L = noise.shape[1]
    a, encoder_0 = dense(x, params["encoder.0.W"], params["encoder.0.b"])  # (N, H)
    h, encoder_tanh = tanh(a)
    heads, encoder_1 = dense(h, params["encoder.1.W"], params["encoder.1.b"])  # (N, 2L)
    mean, log_var = heads[:, :L], heads[:, L:]
    z, sample = reparameterize(mean, log_var, noise)  # (N, L)
    a, decoder_0 = dense(z, params["decoder.0.W"], params["decoder.0.b"])  # (N, H)
    h, decoder_tanh = tanh(a)
    logits, decoder_1 = dense(h, params["decoder.1.W"], params["decoder.1.b"])  # (N, D)
    log_px, likelihood = bernoulli_log_prob(x, logits)  # (N,)
    kl, prior = kl_to_standard_normal(mean, log_var)  # (N,)
    loss = np.mean(beta * kl - log_px)
    caches = encoder_0, encoder_tanh, encoder_1, sample
    caches += decoder_0, decoder_tanh, decoder_1, likelihood, prior
    return loss, (caches, beta, len(x))


def negative_elbo_backward(dloss, cache):
    """dloss = d objective / d loss, a number -> a dict of gradients, with the keys of params."""
    caches, beta, N = cache
    encoder_0, encoder_tanh, encoder_1, sample = caches[:4]
    decoder_0, decoder_tanh, decoder_1, likelihood, prior = caches[4:]
    grads = {}
    dlog_px = np.full(N, -dloss / N)
    dkl = np.full(N, beta * dloss / N)
    dmean_kl, dlog_var_kl = kl_to_standard_normal_backward(dkl, prior)  # around the sample
    dlogits = bernoulli_log_prob_backward(dlog_px, likelihood)
    dh, grads["decoder.1.W"], grads["decoder.1.b"] = dense_backward(dlogits, decoder_1)
    da = tanh_backward(dh, decoder_tanh)
    dz, grads["decoder.0.W"], grads["decoder.0.b"] = dense_backward(da, decoder_0)
    dmean_z, dlog_var_z = reparameterize_backward(dz, sample)  # through it
    dmean = dmean_z + dmean_kl
    dlog_var = dlog_var_z + dlog_var_kl
    dheads = np.hstack([dmean, dlog_var])
    dh, grads["encoder.1.W"], grads["encoder.1.b"] = dense_backward(dheads, encoder_1)
    da = tanh_backward(dh, encoder_tanh)
    _, grads["encoder.0.W"], grads["encoder.0.b"] = dense_backward(da, encoder_0)
    return grads
