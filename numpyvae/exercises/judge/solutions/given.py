"""The functions of earlier exercises. There is nothing to write here.

In this folder, `from given import dense` imports what you wrote in ex0_dense.py. When your work is
graded, it imports a correct version instead, so a mistake counts only once.
"""

from importlib import import_module

FILES = {
    "dense dense_backward": "ex0_dense",
    "relu relu_backward tanh tanh_backward": "ex1_activations",
    "sigmoid sigmoid_backward bernoulli_log_prob bernoulli_log_prob_backward": "ex2_bernoulli",
    "reparameterize reparameterize_backward": "ex3_reparameterize",
    "kl_to_standard_normal kl_to_standard_normal_backward": "ex4_gaussian_kl",
    "negative_elbo negative_elbo_backward": "ex5_elbo",
    "adam_step": "ex6_adam",
}


def __getattr__(name):
    for names, file in FILES.items():
        if name in names.split():
            return getattr(import_module(file), name)
    raise AttributeError(f"no exercise gives {name!r}")
