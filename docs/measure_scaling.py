"""What training on several ranks costs and gains: measured on two, on paper up to 1,000.

    OPENBLAS_NUM_THREADS=1 mpiexec -n 2 python docs/measure_scaling.py     # writes the record
    python docs/measure_scaling.py --page                                  # table and figure

784-400-20, float32, one BLAS thread a rank. Two ranks take turns with one, while the other sleeps;
medians over the rounds. An Allreduce of n bytes on p ranks takes, by Rabenseifner's algorithm
(a reduce-scatter and an allgather; Thakur, Rabenseifner & Gropp 2005),

    t = 2 log2(p) alpha + 2 (p - 1)/p n beta,

where beta, seconds a byte, includes half of what a byte's addition takes.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from numpyvae import VAE, Adam
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, add_caption, describe, new_figure

HERE = Path(__file__).resolve().parent
RECORD, FIGURE = HERE / "scaling_measured.json", HERE / "figures" / "scaling.png"
BATCH, BATCHES, ROWS, ROUNDS = 512, (32, 64, 128, 256, 512), 5120, 15
SIZES = [4**k for k in range(11)]  # of a vector of float32, in entries
RANKS = (1, 2, 4, 8, 16, 64, 256, 1000)
NETWORK = (20e-6, 0.8e-9)
"""alpha (s) and beta (s a byte) of 10 Gbit/s Ethernet, as is usual: assumed, not measured."""


def new_vae():
    return VAE(784, 20, (400,))


def measure(comm):
    """The record, on rank 0 of two."""
    from numpyvae.mpi import DataParallel

    x = (np.random.default_rng(0).random((ROWS, 784)) < 0.2).astype(np.float32)
    vae, shared = new_vae(), new_vae()
    parallel = DataParallel(shared, comm)
    alone, together = {batch: [] for batch in BATCHES}, []
    for _ in range(ROUNDS):
        for batch in BATCHES:
            if comm.rank == 0:
                n = min(ROWS, 10 * batch)
                history = vae.fit(x[:n], 1, batch, Adam(), verbose=False)
                alone[batch].append(history[-1]["seconds"] * batch / n)
            sleep_until_all_are_here(comm)
        history = parallel.fit(x, 1, BATCH, Adam(), verbose=False)
        together.append(history[-1]["seconds"] * BATCH / ROWS)
    reductions = {n: time_allreduce(comm, np.zeros(n, np.float32)) for n in SIZES}
    if comm.rank:
        return None
    return {
        "parameters": vae.layout.size,
        "one rank": {batch: float(np.median(seconds)) for batch, seconds in alone.items()},
        "two ranks": float(np.median(together)),
        "ratios": [a / b for a, b in zip(alone[BATCH], together, strict=True)],
        "allreduce": reductions,
    }


def sleep_until_all_are_here(comm):
    """A barrier at which nobody keeps a processor busy."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def time_allreduce(comm, mine):
    """The median over rounds of the slower rank's seconds."""
    seconds = []
    repetitions = max(3, 20000 // len(mine))
    for _ in range(ROUNDS):
        comm.Barrier()
        started = time.perf_counter()
        for _ in range(repetitions):
            comm.Allreduce(None, mine)
        seconds.append(max(comm.allgather(time.perf_counter() - started)) / repetitions)
    return float(np.median(seconds))


def constants(record):
    """alpha and beta of two ranks, 2 alpha + n beta; and a + b B, the step of one on B rows.

    alpha is that of the shortest vectors, beta a fit through the longest.
    """
    sizes = 4 * np.array([int(n) for n in record["allreduce"]], float)
    seconds = np.array(list(record["allreduce"].values()))
    alpha = float(np.median(seconds[:4])) / 2
    beta = float(np.median((seconds[-4:] - 2 * alpha) / sizes[-4:]))
    rows = np.array([int(n) for n in record["one rank"]], float)
    slope, fixed = np.polyfit(rows, list(record["one rank"].values()), 1)
    return alpha, beta, float(fixed), float(slope)


def allreduce(p, n_bytes, alpha, beta):
    """Seconds, by the formula above."""
    return 2 * math.log2(p) * alpha + 2 * (p - 1) / p * n_bytes * beta


def model(record, p, network, weak=False):
    """Seconds of a step on p ranks: of 512 rows, or (weak) of 512 for each rank."""
    alpha, beta, fixed, slope = constants(record)
    rows = BATCH if weak else BATCH / p
    return (
        fixed + slope * rows + allreduce(p, 4 * record["parameters"], *(network or (alpha, beta)))
    )


def page(record):
    """The table of the page: strong and weak scaling, on both networks."""
    lines = [
        "| ranks | step (ms) | times faster | 10 Gbit/s | times faster | weak (ms) | efficiency "
        "| 10 Gbit/s | efficiency |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    one, one_weak = model(record, 1, None), model(record, 1, None, weak=True)
    for p in RANKS:
        cells = [f"{p:,}"]
        for network in (None, NETWORK):
            t = model(record, p, network)
            cells += [f"{1e3 * t:.2f}", f"{one / t:.2f}"]
        for network in (None, NETWORK):
            t = model(record, p, network, weak=True)
            cells += [f"{1e3 * t:.2f}", f"{100 * one_weak / t:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(record):
    """Allreduce as measured and by the formula; how many times faster; efficiency."""
    alpha, beta, _, _ = constants(record)
    figure, axes = new_figure(15.0, 5.0, 1, 3)
    sizes = 4 * np.array([int(n) for n in record["allreduce"]], float)
    ax = axes[0, 0]
    seconds = list(record["allreduce"].values())
    ax.loglog(sizes, np.multiply(1e6, seconds), "o", color=BLUE, label="measured, 2 ranks")
    ax.loglog(sizes, 1e6 * (2 * alpha + sizes * beta), "-", color=ORANGE, label="2 alpha + n beta")
    ax.legend(fontsize=LABEL_SIZE, frameon=False)
    describe(ax, "An Allreduce", "bytes", "microseconds")
    p = np.unique(np.geomspace(1, 1000, 60).round().astype(int))
    names = (
        ("memory of this machine", None, BLUE, "-"),
        ("10 Gbit/s, assumed", NETWORK, ORANGE, "--"),
    )
    for name, network, colour, line in names:
        strong = [model(record, 1, None) / model(record, int(k), network) for k in p]
        axes[0, 1].loglog(p, strong, line, color=colour, lw=2.2, label=name)
        one = model(record, 1, None, weak=True)
        weak = [100 * one / model(record, int(k), network, weak=True) for k in p]
        axes[0, 2].semilogx(p, weak, line, color=colour, lw=2.2, label=name)
    axes[0, 1].loglog(p, p, ":", color="0.4", label="ranks")
    measured = record["one rank"][str(BATCH)] / record["two ranks"]
    axes[0, 1].plot(2, measured, "o", color="black", ms=8, label=f"measured: {measured:.2f}")
    axes[0, 1].set_ylim(0.8, 60)
    axes[0, 2].set_ylim(0, 105)
    for ax in axes[0, 1:]:
        ax.legend(fontsize=LABEL_SIZE, frameon=False)
    describe(axes[0, 1], "Strong: 512 rows in all", "ranks", "times faster than one rank")
    describe(axes[0, 2], "Weak: 512 rows a rank", "ranks", "efficiency (%)")
    add_caption(figure, f"784-400-20, float32, {record['parameters']:,} parameters")
    return figure


def main():
    if sys.argv[1:] == ["--page"]:
        record = json.loads(RECORD.read_text())
        alpha, beta, fixed, slope = constants(record)
        print(f"alpha {1e6 * alpha:.2f} us, beta {1e9 * beta:.3f} ns a byte")
        print(f"a step of one rank {1e3 * fixed:.2f} ms + {1e6 * slope:.1f} us a row")
        print(page(record))
        draw(record).savefig(FIGURE, dpi=100)
        return
    from numpyvae.mpi import world

    comm = world()
    if comm.size != 2:
        raise SystemExit(f"expected mpiexec -n 2, got {comm.size} ranks")
    record = measure(comm)
    if comm.rank == 0:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        ratios = np.sort(record["ratios"])
        seconds = record["one rank"][BATCH], record["two ranks"]
        print(f"a step of {BATCH} rows (ms):", *(f"{1e3 * t:.2f}" for t in seconds))
        print("one rank's time by that of two:", *(f"{r:.2f}" for r in ratios))


if __name__ == "__main__":
    main()
