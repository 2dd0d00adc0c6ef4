"""What training on several ranks costs and gains: measured on two, on paper up to 1,000.

    OPENBLAS_NUM_THREADS=1 mpiexec -n 2 python docs/measure_scaling.py     # writes the record
    python docs/measure_scaling.py --page                                  # table and figure

784-400-20, float32, one BLAS thread a rank. By turns one rank trains while the other sleeps, both
train together, and each trains alone on half a minibatch beside the other: what two ranks would
reach if they exchanged nothing. Medians over the rounds.

An Allreduce of n bytes on p ranks takes, by Rabenseifner's algorithm (a reduce-scatter and an
allgather; Thakur, Rabenseifner & Gropp 2005),

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
from numpyvae.drawing import BLUE, LABEL_SIZE, ORANGE, TICK_SIZE, add_caption, describe, new_figure

HERE = Path(__file__).resolve().parent
RECORD, FIGURE = HERE / "scaling_measured.json", HERE / "figures" / "scaling.png"
BATCH, BATCHES, ROWS, ROUNDS = 512, (32, 64, 128, 256, 512), 20480, 7
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
    vae, shared, own = new_vae(), new_vae(), new_vae()
    parallel, mine = DataParallel(shared, comm), x[: ROWS // 2]
    alone, together, apart = {batch: [] for batch in BATCHES}, [], []
    for _ in range(ROUNDS):
        for batch in BATCHES if comm.rank == 0 else ():
            rows = x if batch == BATCH else x[: 10 * batch]
            alone[batch].append(seconds_a_step(vae.fit, rows, batch))
        sleep_until_all_are_here(comm)
        together.append(seconds_a_step(parallel.fit, x, BATCH))
        apart.append(max(comm.allgather(seconds_a_step(own.fit, mine, BATCH // 2))))
    reductions = {n: time_allreduce(comm, np.zeros(n, np.float32)) for n in SIZES}
    if comm.rank:
        return None
    return {
        "parameters": vae.layout.size,
        "one rank": {batch: float(np.median(seconds)) for batch, seconds in alone.items()},
        "two ranks": float(np.median(together)),
        "two apart": float(np.median(apart)),
        "ratios": [a / b for a, b in zip(alone[BATCH], together, strict=True)],
        "allreduce": reductions,
    }


def seconds_a_step(fit, x, batch):
    """Of an epoch, Adam and all."""
    history = fit(x, 1, batch, Adam(), verbose=False)
    return history[-1]["seconds"] * batch / len(x)


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


def times_faster(record):
    """Two ranks than one: the median over the pairs that were measured one after the other."""
    return float(np.median(record["ratios"]))


def page(record):
    """The tables of the page: what was fitted and measured; scaling by the formula."""
    (alpha, beta, fixed, slope), size = constants(record), 4 * record["parameters"]
    one_rank, apart = record["one rank"], record["two apart"]
    whole, half = one_rank[str(BATCH)], one_rank[str(BATCH // 2)]
    lines = [
        "| fitted | |",
        "|---|--:|",
        f"| alpha | {1e6 * alpha:.1f} µs |",
        f"| beta | {1e9 * beta:.2f} ns a byte, {1 / beta / 1e9:.1f} GB/s |",
        f"| one Allreduce of the gradient, {size / 1e6:.1f} MB, by the formula | "
        f"{1e3 * allreduce(2, size, alpha, beta):.2f} ms |",
        f"| a step of one rank on B rows, a + b B | "
        f"{1e3 * fixed:.2f} ms + {1e6 * slope:.1f} µs B |",
        "",
        "| measured | ms | times faster |",
        "|---|--:|--:|",
        f"| a step on {BATCH} rows, one rank | {1e3 * whole:.2f} | 1 |",
        f"| on {BATCH // 2} rows, one rank | {1e3 * half:.2f} | {whole / half:.2f} |",
        f"| on {BATCH // 2} rows, beside another rank that does the same, nothing exchanged | "
        f"{1e3 * apart:.2f} | {whole / apart:.2f} |",
        f"| on {BATCH} rows, two ranks: median of {len(record['ratios'])} pairs "
        f"({min(record['ratios']):.2f} to {max(record['ratios']):.2f}) | "
        f"{1e3 * record['two ranks']:.2f} | {times_faster(record):.2f} |",
        "",
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
    """Allreduce as measured and by the formula; by the formula times faster, efficiency."""
    alpha, beta, _, _ = constants(record)
    figure, axes = new_figure(15.0, 5.0, 1, 3)
    sizes = 4 * np.array([int(n) for n in record["allreduce"]], float)
    ax = axes[0, 0]
    seconds = list(record["allreduce"].values())
    ax.loglog(sizes, np.multiply(1e6, seconds), "o", color=BLUE, label="measured")
    ax.loglog(sizes, 1e6 * (2 * alpha + sizes * beta), "-", color=ORANGE, label="by the formula")
    ax.legend(fontsize=LABEL_SIZE, frameon=False)
    describe(ax, "Measured: an Allreduce of two ranks", "bytes", "microseconds")
    p = np.unique(np.geomspace(1, 1000, 60).round().astype(int))
    names = (
        ("by the formula, this machine", None, BLUE, "-"),
        ("by the formula, 10 Gbit/s (assumed)", NETWORK, ORANGE, "--"),
    )
    for name, network, colour, line in names:
        strong = [model(record, 1, None) / model(record, int(k), network) for k in p]
        axes[0, 1].loglog(p, strong, line, color=colour, lw=2.2, label=name)
        one = model(record, 1, None, weak=True)
        weak = [100 * one / model(record, int(k), network, weak=True) for k in p]
        axes[0, 2].semilogx(p, weak, line, color=colour, lw=2.2, label=name)
    axes[0, 1].loglog(p, p, ":", color="0.4", label="as many times as ranks")
    measured, ratios = times_faster(record), record["ratios"]
    reach = [[measured - min(ratios)], [max(ratios) - measured]]
    label = f"measured, 2 ranks: {measured:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    axes[0, 1].errorbar(2, measured, reach, fmt="o", color="black", ms=7, capsize=4, label=label)
    axes[0, 1].set_ylim(0.4, 8)
    axes[0, 1].set_yticks([1, 2, 4, 6], ["1", "2", "4", "6"])
    axes[0, 1].minorticks_off()
    axes[0, 2].set_ylim(0, 105)
    for ax in axes[0, 1:]:
        ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        ax.legend(fontsize=TICK_SIZE, frameon=False, loc="lower right")
    describe(axes[0, 1], "Calculated: 512 rows in all (strong)", "ranks", "times faster than one")
    describe(axes[0, 2], "Calculated: 512 rows a rank (weak)", "ranks", "efficiency (%)")
    add_caption(figure, f"784-400-20, float32, {record['parameters']:,} parameters")
    return figure


def main():
    if sys.argv[1:] == ["--page"]:
        record = json.loads(RECORD.read_text())
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
        seconds = record["one rank"][BATCH], record["two ranks"], record["two apart"]
        print(f"one rank, two, two apart (ms): {' '.join(f'{1e3 * t:.2f}' for t in seconds)}")
        print("one rank's time by that of two:", *(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
