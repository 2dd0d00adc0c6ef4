"""What was measured, as tables of Markdown and plain sentences computed from the numbers."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import epochs
import late
from contenders import EAGER, FLOOR, OURS
from epochs import STEPS, EpochTimes
from gradcheck import EXAMPLES, Check
from late import LateTimes
from machine import Machine
from memory import Peak
from models import VAE, ModelTimes
from parts import Parts
from scaling import Scaling
from steps import AIMS, StepTimes, Summary, summarise
from tables import megabytes, ms, table, verdict


class Results(NamedTuple):
    """All that one run measured."""

    machine: Machine
    seconds: float
    missing: list[str]
    steps: list[StepTimes]
    epochs: list[EpochTimes]
    memory: list[Peak]
    startup: dict[str, float]
    gradcheck: list[Check]
    scaling: Scaling
    parts: list[Parts]
    late: LateTimes
    models: list[ModelTimes]


def parts_table(rows: Sequence[Parts]) -> str:
    """The parts of our step in milliseconds, and the rest."""
    names = list(rows[0].seconds)
    header = ["data, hidden, latent", "batch", "step", *names, "the rest"]
    return table(
        header,
        (
            [str(r.case), str(r.batch), ms(r.step), *map(ms, r.seconds.values()), ms(r.rest)]
            for r in rows
        ),
    )


def step_table(rows: Sequence[StepTimes]) -> str:
    """Nine rows: medians, and ours to each peer's."""
    names = list(rows[0].blocks)
    peers = [name for name in AIMS if name in names]
    header = ["data, hidden, latent", "batch", *names, *(f"to {peer}" for peer in peers)]
    cells = (
        [
            str(row.case),
            str(row.batch),
            *(ms(row.median(name)) for name in names),
            *(f"{row.ratio(peer):.2f}" for peer in peers),
        ]
        for row in rows
    )
    return table(header, cells)


def aim_table(summary: dict[str, Summary]) -> str:
    header = ["against", "geometric mean", "aim", "worst case", "aim", ""]
    cells = []
    for peer, (mean_aim, worst_aim) in AIMS.items():
        s = summary.get(peer)
        if s:
            mean, worst, met = f"{s.mean:.2f}", f"{s.worst:.2f}", verdict(s.is_met)
        else:
            mean, worst, met = "", "", "not measured"
        cells.append([peer, mean, f"<= {mean_aim}", worst, f"<= {worst_aim}", met])
    return table(header, cells)


def missed_step_aims(rows: Sequence[StepTimes]) -> list[str]:
    """A sentence for each aim that was missed, naming the worst case."""
    sentences = []
    for peer, s in summarise(rows).items():
        if s.mean > s.aims[0]:
            sentences.append(
                f"The step takes {s.mean:.2f} times as long as {peer} in the geometric mean; "
                f"the aim is {s.aims[0]}."
            )
        if s.worst > s.aims[1]:
            row = max(rows, key=lambda row: row.ratio(peer))
            sentences.append(
                f"At ({row.case}) with batch {row.batch} it takes {s.worst:.2f} times as long as "
                f"{peer}; the aim is {s.aims[1]} at most."
            )
    return sentences


def epoch_table(rows: Sequence[EpochTimes]) -> str:
    names = list(rows[0].seconds)
    aims = {STEPS: epochs.AIM_STEPS, EAGER: epochs.AIM_TORCH}
    header = ["data, hidden, latent", *(f"{n}, s" for n in names)]
    for name in names[1:]:
        header += [f"to {name}", "aim", ""]
    cells = []
    for row in rows:
        line = [str(row.case), *(f"{row.median(name):.3f}" for name in names)]
        for name in names[1:]:
            ratio = row.ratio(name)
            line += [f"{ratio:.2f}", f"<= {aims[name]}", verdict(ratio <= aims[name])]
        cells.append(line)
    return table(header, cells)


def missed_epoch_aims(rows: Sequence[EpochTimes]) -> list[str]:
    aims = {STEPS: epochs.AIM_STEPS, EAGER: epochs.AIM_TORCH}
    return [
        f"An epoch of ({row.case}) takes {row.ratio(name):.2f} times as long as {name}; "
        f"the aim is {aim} at most."
        for row in rows
        for name, aim in aims.items()
        if name in row.seconds and row.ratio(name) > aim
    ]


def late_table(times: LateTimes) -> str:
    """A row for each contender: its first epoch, its late ones, and the ratio of ours to those."""
    header = ["contender", "first epoch, s", "late epochs, s", "ours to it", "aim", ""]
    cells = []
    for name, seconds in times.seconds.items():
        aim, line = late.AIMS.get(name), [name, f"{seconds[0]:.2f}", f"{times.median(name):.2f}"]
        ratio = times.ratio(name)
        line += ["" if name == OURS else f"{ratio:.2f}"]
        line += [f"<= {aim}", verdict(ratio <= aim)] if aim else ["", ""]
        cells.append(line)
    return table(header, cells)


def missed_late_aims(times: LateTimes) -> list[str]:
    return [
        f"A late epoch on real data takes {times.ratio(name):.2f} times as long as {name}; "
        f"the aim is {aim} at most."
        for name, aim in late.AIMS.items()
        if aim and name in times.seconds and times.ratio(name) > aim
    ]


def model_table(rows: Sequence[ModelTimes]) -> str:
    """A row for each model: its step, in steps of the VAE, and beside PyTorch's."""
    has_torch = EAGER in rows[0].blocks
    header = ["model", "numpyvae, ms", "to the VAE's step", "aim", ""]
    header += [f"{EAGER}, ms", f"to {EAGER}"] if has_torch else []
    cells = []
    for row in rows:
        times = row.ratio(VAE)
        line = [row.name, ms(row.median(OURS)), "" if row.name == VAE else f"{times:.2f}"]
        line += [f"<= {row.aim}", verdict(times <= row.aim)] if row.aim else ["", ""]
        if has_torch:
            line += [ms(row.median(EAGER)), f"{row.ratio(EAGER):.2f}"]
        cells.append(line)
    return table(header, cells)


def missed_model_aims(rows: Sequence[ModelTimes]) -> list[str]:
    return [
        f"A step of the {row.name} takes {row.ratio(VAE):.2f} times as long as the VAE's; "
        f"the aim is {row.aim} at most."
        for row in rows
        if row.aim and row.ratio(VAE) > row.aim
    ]


def memory_table(rows: Sequence[Peak]) -> str:
    header = ["what", "contender", "resident, MB", "NumPy's arrays, MB"]
    cells = ([r.what, r.contender, megabytes(r.resident), megabytes(r.traced)] for r in rows)
    return table(header, cells)


def startup_table(seconds: dict[str, float]) -> str:
    return table(["statement", "ms"], ([f"`{s}`", f"{1e3 * t:.0f}"] for s, t in seconds.items()))


def gradcheck_table(rows: Sequence[Check]) -> str:
    header = ["contender", "method", "s", "largest error"]
    cells = []
    for r in rows:
        error = "passes" if r.error is None else f"{r.error:.0e}"
        cells.append([r.contender, r.method, f"{r.seconds:.2f}", error])
    return table(header, cells)


def gradcheck_title(rows: Sequence[Check]) -> str:
    case = rows[0].case
    return f"({case}) on {EXAMPLES} examples, {case.n_parameters:,} parameters, float64, one thread"


def scaling_tables(scaling: Scaling) -> str:
    """Three tables, one below the other."""
    names = list(scaling.widths[0].blocks)
    header = [*(f"{name}, ms" for name in names), "to the products"]

    def line(row: StepTimes) -> list[str]:
        return [*(ms(row.median(name)) for name in names), f"{row.ratio(FLOOR):.2f}"]

    widths = ([f"{r.case.hidden}", f"{r.case.n_parameters:,}", *line(r)] for r in scaling.widths)
    dims = ([f"{r.case.data}", f"{r.case.n_parameters:,}", *line(r)] for r in scaling.data_dims)
    examples = (
        [f"{n:,}", f"{seconds:.3f}", f"{floor:.3f}", f"{seconds / floor:.2f}"]
        for n, seconds, floor in scaling.epochs
    )
    return "\n\n".join(
        [
            table(["hidden", "parameters", *header], widths),
            table(["data dimensions", "parameters", *header], dims),
            table(
                ["examples", "an epoch of `fit`, s", "its matrix products, s", "ratio"], examples
            ),
        ]
    )


def answers(results: Results) -> str:
    """What a reader asks first: how long a step and an epoch take, beside PyTorch and JAX."""
    means = {peer: s.mean for peer, s in summarise(results.steps).items() if peer != FLOOR}
    row = results.steps[-1]
    lines = [
        f"**A step** of ({row.case}) with batch {row.batch} takes "
        f"{_beside({name: f'{ms(row.median(name))} ms' for name in (OURS, *means)})}.",
    ]
    if means:
        ratios = ", ".join(f"{mean:.2f} ({peer})" for peer, mean in means.items())
        lines += [
            f"Over {len(results.steps)} sizes of network and batch, numpyvae's time divided by the "
            f"other's is {ratios} in the geometric mean. Below 1, numpyvae is faster."
        ]
    lines += [
        f"**An epoch** of `fit`, {e.examples:,} examples of ({e.case}), takes "
        f"{_beside({n: f'{e.median(n):.2f} s' for n in (OURS, EAGER) if n in e.seconds})}."
        for e in results.epochs
    ]
    seconds = {name: f"{results.late.median(name):.2f} s" for name in results.late.seconds}
    lines += [
        f"**A late epoch** on {late.EXAMPLES:,} real images, batch {late.BATCH}, takes "
        f"{_beside(seconds)}."
    ]
    return "\n".join(f"- {line}" for line in lines)


def _beside(texts: dict[str, str]) -> str:
    """Each name with its number: 8.283 ms with numpyvae, 14.163 ms with PyTorch eager."""
    return ", ".join(f"{text} with {name}" for name, text in texts.items())


def verdicts(results: Results) -> str:
    """Which aims were missed, in sentences; what could not be measured."""
    sentences = missed_step_aims(results.steps) + missed_epoch_aims(results.epochs)
    sentences += missed_late_aims(results.late) + missed_model_aims(results.models)
    measured = "measured " if results.missing else ""
    listed = "\n".join(f"- {sentence}" for sentence in sentences)
    lines = [listed or f"All {measured}aims were met."]
    if busy := disturbed([*results.steps, *results.scaling.widths, *results.scaling.data_dims]):
        lines.append(f"\n\nNot to be trusted, because the machine was busy: {'; '.join(busy)}.")
    if results.missing:
        lines.append(f"\n\nNot measured: {'; '.join(results.missing)}.")
    return "".join(lines)


def disturbed(rows: Sequence[StepTimes]) -> list[str]:
    """Those whose median block took over three times their fastest: a thread waited for a core."""
    return [
        f"{name} at ({row.case}) with batch {row.batch}"
        for row in rows
        for name, blocks in row.blocks.items()
        if statistics.median(blocks) > 3 * min(blocks)
    ]


def largest_spread(rows: Sequence[StepTimes]) -> float:
    """The largest interquartile range of a contender's blocks, as a share of their median."""
    shares = []
    for row in rows:
        for blocks in row.blocks.values():
            if len(blocks) > 1:
                low, middle, high = statistics.quantiles(blocks, n=4)
                shares.append((high - low) / middle)
    return max(shares, default=0.0)
