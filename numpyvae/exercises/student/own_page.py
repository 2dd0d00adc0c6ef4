"""The page of `numpyvae explore` for a student's own parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from numpyvae.data.digits import load_digits
from numpyvae.data.files import atomic_write
from numpyvae.explore import explore_page
from numpyvae.likelihoods import Bernoulli
from numpyvae.models import VAE
from numpyvae.numerics import Array
from numpyvae.run_data import RunData

__all__ = ["write_page"]


def write_page(params: Mapping[str, Array], path: Path) -> str:
    """Write the page of exercise 9's parameters; a line that names it, or why there is none."""
    latent_dim, hidden = params["decoder.0.W"].shape
    model = VAE(params["decoder.1.W"].shape[1], latent_dim, (hidden,), "tanh")
    for name, view in model.params.items():
        view[...] = params[name]
    digits = load_digits()
    x_train, x_test = ((x >= 8).astype(np.float32) for x in (digits.x_train, digits.x_test))
    data = RunData(x_train, x_test, digits.y_test, Bernoulli(), None, digits.y_train)
    try:
        with atomic_write(path) as file:
            file.write(explore_page(model, data, "your VAE").encode())
    except OSError as error:
        return f"no page: {path} cannot be written ({error.strerror})"
    return f"{path}: explore your parameters, in a browser"
