"""Every test is deterministic: everything is seeded, Hypothesis draws the same examples."""

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products; see numpyvae/__main__.py

settings.register_profile(
    "numpyvae",
    derandomize=True,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("numpyvae")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(20131220)
