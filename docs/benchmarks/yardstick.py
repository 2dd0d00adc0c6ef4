"""Examples per second of the two slow estimates of log p(x): writes them into docs/yardstick.md.

    OPENBLAS_NUM_THREADS=1 python docs/benchmarks/yardstick.py [--rounds 3] [--quick] [--out FILE]

Digits as counts, 64-128-L, Binomial(16), trained for 20 epochs: how long an estimate takes does not
depend on how good the model is. All sizes take turns, as in `timing`; a time is the median of its
rounds. A growth exponent is the slope of log seconds on log size. It takes two minutes of one core;
processor time is counted, so that a busy machine matters little.
"""

import argparse
import inspect
import itertools
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from report import table
from timing import take_turns

from numpyvae import VAE, Adam, Binomial
from numpyvae.annealing import PILOT_CHAINS, PILOT_STEPS, annealed_log_likelihood
from numpyvae.data import load_digits
from numpyvae.marginal import refined_posterior
from numpyvae.threads import one_blas_thread

PAGE = Path(__file__).resolve().parent.parent / "yardstick.md"
HEADING = "## How fast it is"
LATENT_DIMS = (2, 8, 20, 50)
STEPS = 100

TEXT = """\
{heading}

Examples per second of one core's time, on {processor}: 64-128-L on digits, medians of {rounds}
rounds in which all sizes take turns. The last row and the last column are growth exponents of the
time of an example: 0 where it does not grow, 1 where it is proportional.
`python docs/benchmarks/yardstick.py` measures it and writes this section. One thread; the
machine's load average at the end was {load:.1f}.

**A refined posterior**, then S samples, {refined_examples} digits at once:

{refined}

**Annealed importance sampling** from the prior, {steps} steps, S chains, {annealed_examples} digits
at once:

{annealed}

Both have a part that does not depend on S, which is why the time of an example grows more slowly
than S: {refinement} steps of refinement on {refining} samples; a pilot run of {pilot_steps}
steps and {pilot_chains} chains.
"""


class Kind(NamedTuple):
    """An estimate: log p(x) of the model on x from S samples, how many x, and which S."""

    estimate: Callable[[Any, Any, int], Any]
    examples: int
    samples: tuple[int, ...]


def annealed(vae: Any, x: Any, n_chains: int) -> Any:
    return annealed_log_likelihood(vae, x, n_chains, STEPS, verbose=False)


def refined(vae: Any, x: Any, n_samples: int) -> Any:
    return vae.log_likelihood(x, n_samples, method="refined")


KINDS = {
    "refined": Kind(refined, 60, (50, 500, 5000)),
    "annealed": Kind(annealed, 8, (4, 16, 64)),
}
Times = dict[tuple[str, int, int], float]
"""Seconds of an example, by the kind, L and S."""


def seconds(kind: Kind, vae: Any, x: Any, n_samples: int) -> float:
    """Processor seconds an example, from one call; other programs' time does not count."""
    started = time.process_time()
    kind.estimate(vae, x[: kind.examples], n_samples)
    return (time.process_time() - started) / kind.examples


@one_blas_thread
def measure(kinds: dict[str, Kind], latent_dims: tuple[int, ...], rounds: int) -> Times:
    """The median of each size."""
    x_train, _, x_test, _ = load_digits()
    models = {L: VAE(64, L, (128,), likelihood=Binomial(16)) for L in latent_dims}
    for vae in models.values():
        vae.fit(x_train, epochs=20, optimizer=Adam(3e-3), verbose=False)
    measures = {
        (name, L, S): partial(seconds, kind, models[L], x_test, S)
        for name, kind in kinds.items()
        for L, S in itertools.product(latent_dims, kind.samples)
    }
    turns: Any = take_turns(measures, rounds, pause=0.0)  # type: ignore[arg-type]
    return {size: statistics.median(times) for size, times in turns.items()}


def exponent(sizes: Any, times: Any) -> float:
    """The slope of log time on log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def speeds(name: str, kind: Kind, latent_dims: tuple[int, ...], times: Times) -> str:
    """The table of one kind: a row for each L, a column for each S, exponents at the ends."""
    rows = []
    for L in latent_dims:
        of_L = [times[name, L, S] for S in kind.samples]
        cells = [f"{1 / t:#.3g}".rstrip(".") for t in of_L]
        rows.append([f"L = {L}", *cells, f"{exponent(kind.samples, of_L):.2f}"])
    columns = [[times[name, L, S] for L in latent_dims] for S in kind.samples]
    rows.append(["growth in L", *(f"{exponent(latent_dims, c):.2f}" for c in columns), ""])
    return table(["", *(f"S = {S:,}" for S in kind.samples), "growth in S"], rows)


def section(
    kinds: dict[str, Kind], latent_dims: tuple[int, ...], times: Times, rounds: int, load: float
) -> str:
    """What the page says of these times."""
    tables = {name: speeds(name, kind, latent_dims, times) for name, kind in kinds.items()}
    refinement = inspect.signature(refined_posterior).parameters
    return TEXT.format(
        heading=HEADING, processor=machine.processor(), rounds=rounds, load=load, steps=STEPS,
        refinement=refinement["n_steps"].default, refining=refinement["n_samples"].default,
        pilot_steps=PILOT_STEPS, pilot_chains=PILOT_CHAINS,
        refined_examples=kinds["refined"].examples,
        annealed_examples=kinds["annealed"].examples, **tables,
    )  # fmt: skip


def replaced(page: str, text: str) -> str:
    """The page with this section at its end, in the place of an older one."""
    return f"{page.partition(HEADING)[0].rstrip()}\n\n{text}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write into")
    arguments = parser.parse_args()
    kinds, latent_dims = KINDS, LATENT_DIMS
    if arguments.quick:
        kinds = {n: k._replace(examples=2, samples=(2, 4)) for n, k in KINDS.items()}
        latent_dims = (2, 3)
    times = measure(kinds, latent_dims, arguments.rounds)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    text = section(kinds, latent_dims, times, arguments.rounds, load)
    page = arguments.out.read_text(encoding="utf-8")
    arguments.out.write_text(replaced(page, text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
