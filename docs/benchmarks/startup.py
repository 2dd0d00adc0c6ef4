"""Start-up: the time of an import in a new Python process, less that of Python itself."""

import statistics
import subprocess
import sys
import time
from functools import partial

from contenders import is_there
from timing import take_turns

NOTHING = "pass"
STATEMENTS = {
    "import numpy": "numpy",
    "import numpyvae": "numpyvae",
    "from numpyvae import VAE": "numpyvae",
    "import torch": "torch",
    "import jax": "jax",
}
"""Statement: the library that it needs."""


def seconds(statement: str) -> float:
    """How long a new process takes from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def measure_all(rounds: int) -> dict[str, float]:
    """Median seconds by statement, less what Python alone needs in the same round."""
    statements = [s for s, library in STATEMENTS.items() if is_there(library)]
    measures = {s: partial(seconds, s) for s in (NOTHING, *statements)}
    for measure in measures.values():
        measure()  # files are in the system's cache from here on
    times = take_turns(measures, rounds, pause=0.0)
    empty = times.pop(NOTHING)
    return {
        statement: statistics.median(t - e for t, e in zip(values, empty, strict=True))
        for statement, values in times.items()
    }
