"""Where the time of our training step goes: its parts, each measured by itself.

Measured alone a part finds its numbers in the cache, so the parts of a large network add up to less
than the step, which has to fetch parameters, gradient and moments anew; the rest says how much.
"""

from typing import Any, NamedTuple

import numpy as np
from children import Child
from contenders import Case, binary_data, our_model, our_step
from steps import BATCH_SIZES, CASES
from timing import median_in_block

from numpyvae import Adam
from numpyvae.parameters import Gradients


class Parts(NamedTuple):
    """One case: seconds of each part, and of the whole step."""

    case: Case
    batch: int
    seconds: dict[str, float]
    step: float

    @property
    def rest(self) -> float:
        return self.step - sum(self.seconds.values())


def measure(case: Case, n: int, seconds: float) -> Parts:
    """In a child: the parts of a step, and the step."""
    vae, x = our_model(case), binary_data(n, case.data)
    rng, optimizer = np.random.default_rng(0), Adam()
    noise = vae.draw_noise(rng, n)
    params = vae.layout.views(vae.theta)
    _, grad = vae.loss_and_grad(vae.theta, x, noise)
    _, _, cache = vae.forward(params, x, noise)
    logits, _ = vae.decoder.forward(params, noise)
    log_px, likelihood_cache = vae.likelihood.log_prob(params, x, logits)

    def networks_down() -> Any:
        vae.encoder.forward(params, x)
        vae.decoder.forward(params, noise)

    def likelihood() -> Any:
        vae.likelihood.log_prob(params, x, logits)
        vae.likelihood.log_prob_backward(params, {}, log_px, likelihood_cache)

    def time(function: Any) -> float:
        return median_in_block(function, seconds, seconds / 5)

    both_up = time(lambda: vae.backward(params, Gradients(vae.layout, grad), cache))
    up = time(lambda: vae.likelihood.log_prob_backward(params, {}, log_px, likelihood_cache))
    parts = {
        "networks, down": time(networks_down),
        "everything up but the likelihood": both_up - up,
        "likelihood, down and up": time(likelihood),
        "Adam": time(lambda: optimizer.step(vae.theta, grad)),
        "noise": time(lambda: vae.draw_noise(rng, n)),
    }
    return Parts(case, n, parts, time(our_step(case, n)))


def measure_all(seconds: float) -> list[Parts]:
    """The nine cases, one after the other, in a process of their own."""
    with Child() as child:
        return [child.ask(measure, case, n, seconds) for case in CASES for n in BATCH_SIZES]
