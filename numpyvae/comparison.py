"""Runs side by side: which can be compared, log p(x) example by example, curves in one figure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpyvae.drawing import BLUE, ORANGE, TICK_SIZE, add_caption, describe, new_figure
from numpyvae.evaluation import Estimate, active_units, mean_terms
from numpyvae.likelihoods import Binomial
from numpyvae.numerics import Array
from numpyvae.rows import Data, as_tuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Run", "difference", "differing", "groups", "measure", "training_curves", "unlike"]

COLOURS = BLUE, ORANGE, "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00"
"""For colour-blind readers: Okabe & Ito 2008, without the yellow."""
LINES = "-", "--", "-.", ":"
MOST_CURVES = len(COLOURS) * len(LINES)
"""Pairs of a colour and a line: 7 and 4 have no common factor, so cycling gives each pair once."""


class Run(NamedTuple):
    """A fitted model, its test examples, and its settings."""

    name: str
    model: Any
    data: Data
    """Test examples: x (N, D), or (x, y)."""
    settings: Mapping[str, str]
    elbo: float | None = None
    """The mean over the test examples, in nats; None for a model without a bound on log p(x)."""
    log_px: Estimate | None = None
    active_units: int | None = None


def measure(run: Run, n_samples: int, seed: int) -> Run:
    """The run with its ELBO, log p(x) by the yardstick, and active units, as `evaluate` finds them.

    Every run draws from the same seed, so that runs of one architecture share their noise.
    """
    model, data, rng = run.model, run.data, np.random.default_rng(seed)
    bound = model.bound(mean_terms(model, data, 10, rng))
    run = run._replace(elbo=None if bound is None else float(bound.mean()))
    if not hasattr(model, "log_joint") or model.unknown_labels:
        return run
    found = model.log_likelihood(*as_tuple(data), n_samples=n_samples, rng=rng, full=True)
    return run._replace(log_px=found, active_units=int(active_units(model, data).sum()))


def difference(run: Run, first: Run) -> tuple[float, float] | None:
    """Mean and standard error of log p(x_n) of `run` less that of `first`, in nats.

    The standard error std_n(d_n) / sqrt(N) is that of paired differences d_n: how hard an example
    is, which both runs share, cancels. None if the two cannot be compared, or one has no log p(x).
    """
    if run.log_px is None or first.log_px is None or unlike(run, first):
        return None
    d = run.log_px.log_likelihood - first.log_px.log_likelihood  # (N,)
    return float(d.mean()), float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.nan


def unlike(run: Run, first: Run) -> str:
    """Why log p(x) and ELBO of two runs cannot be compared; "" if they can."""
    (x, *y), (x_first, *y_first) = as_tuple(run.data), as_tuple(first.data)
    if not np.array_equal(x, x_first):
        return "they are tested on different examples"
    if _has_labels(run) != _has_labels(first):
        return "one is of p(x), the other of p(x|y)"
    if _has_labels(run) and not np.array_equal(y, y_first):
        return "they are given different labels"
    if _is_discrete(run) != _is_discrete(first):
        return "one is a probability, the other a density"
    return ""


def _has_labels(run: Run) -> bool:
    """Whether it models x given y; one that sums over an unknown y models x."""
    return isinstance(run.data, tuple) and not run.model.unknown_labels


def _is_discrete(run: Run) -> bool:
    return isinstance(run.model.likelihood, Binomial)


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups that can be compared, in the order of each group's first."""
    found: list[list[Run]] = []
    for run in runs:
        home = next((group for group in found if not unlike(run, group[0])), None)
        found.append([run]) if home is None else home.append(run)
    return found


def differing(runs: Sequence[Run]) -> list[str]:
    """The names of the settings that are not the same in all runs that have them.

    A setting that only some models have is compared among those.
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: {r.settings[name] for r in runs if name in r.settings} for name in names}
    return [name for name in names if len(values[name]) > 1]


def training_curves(runs: Sequence[Run]) -> Figure:
    """The test ELBO over the epochs, a line for each run, in nats per example.

    Runs that cannot be compared are in panels of their own, and a run whose model has no bound on
    log p(x) shows its loss. Titles that would be the same name the runs. Each axis leaves out the
    worst tenth of the values, or the first epochs would squash all others.
    """
    curves = [run for run in runs if len(run.model.history)]
    if not curves:
        raise ValueError("expected a run with a history to draw, got none")
    drawn = curves[:MOST_CURVES]
    panels = [
        (name, [run for run in group if _quantity(run) == name])
        for group in groups(drawn)
        for name in dict.fromkeys(map(_quantity, group))
    ]
    rows = len(panels)
    height = max(1.2 + 3.6 * rows, 1.2 + 0.26 * len(drawn))
    figure, axes = new_figure(10.0, height, rows)
    styles = zip(itertools.cycle(COLOURS), itertools.cycle(LINES), strict=False)
    titles = [_title(name, group[0], drawn) for name, group in panels]
    for ax, title, (name, group) in zip(axes[:, 0], titles, panels, strict=True):
        for run in group:
            _curve(ax, run, name, *next(styles))
        which = f"\n{_names(group)}" if titles.count(title) > 1 else ""
        describe(ax, title + which, "epoch", "nats per example")
        _frame(ax, name == "elbo")
    figure.legend(loc="outside right upper", fontsize=TICK_SIZE, frameon=False, handlelength=3.2)
    left_out = len(runs) - len(drawn)
    caption = "after each epoch, on the test examples"
    caption += "; panels cannot be compared with each other" if rows > 1 else ""
    caption += f"; not drawn: {left_out} of {len(runs)} runs" if left_out else ""
    add_caption(figure, caption)
    return figure


def _title(name: str, run: Run, others: Sequence[Run]) -> str:
    if name == "elbo":
        return f"Test ELBO{_of_what(run, others)} (higher is better)"
    return "Test loss (lower is better)"


def _names(runs: Sequence[Run]) -> str:
    """Which runs a panel has, in a line: the first two by name."""
    more = f" and {len(runs) - 2} more" if len(runs) > 2 else ""
    return ", ".join(_end_of(run.name) for run in runs[:2]) + more


def _of_what(run: Run, others: Sequence[Run]) -> str:
    """What a run's ELBO bounds, in words, if that of some of the others bounds something else."""
    words = {"probability" if _is_discrete(other) else "density" for other in others}
    kind = "probability" if _is_discrete(run) else "density"
    given = "p(x|y)" if _has_labels(run) else "p(x)"
    said = [kind] * (len(words) > 1) + [given] * (len(set(map(_has_labels, others))) > 1)
    return f" of {'the ' * (kind in said)}{' '.join(said)}" if said else ""


def _quantity(run: Run) -> str:
    return "elbo" if "elbo" in run.model.history.names() else "loss"


def _curve(ax: Axes, run: Run, name: str, colour: str, line: str) -> None:
    history = run.model.history
    values = history.column(f"validation_{name}")
    values = history.column(name) if np.isnan(values).all() else values
    marker = "o" if len(values) == 1 else None
    epochs = np.arange(1, len(values) + 1)
    ax.plot(epochs, values, line, color=colour, marker=marker, lw=1.8, label=_end_of(run.name))


def _end_of(name: str) -> str:
    """The last 30 letters of a name, where those of runs differ, as plain text for a legend."""
    text = name if len(name) <= 30 else "\N{HORIZONTAL ELLIPSIS}" + name[-29:]
    return text.replace("$", r"\$")


def _frame(ax: Axes, rises: bool) -> None:
    """A grid, whole epochs, and no first epochs that squash all others."""
    from matplotlib.ticker import MaxNLocator

    ax.grid(color="0.9")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(left=0.5)
    values: Array = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    values = values[np.isfinite(values)]
    if len(values) >= 20:
        low, high = np.quantile(values, [0.1, 1.0] if rises else [0.0, 0.9])
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
