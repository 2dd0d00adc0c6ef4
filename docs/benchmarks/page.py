"""docs/benchmarks.md, from what was measured."""

import re
from collections.abc import Sequence

import epochs
import late
import models
import report
from contenders import EAGER, FLOOR
from models import ModelTimes
from report import Results
from scaling import LARGEST, WIDTHS
from steps import summarise
from timing import BLOCK, PAUSE

MODELS = """\
## Every model's step

A training step of every model that `numpyvae train --model` knows, at ({case}) with batch
{batch}, beside the VAE's step and beside PyTorch eager's step of the same model, written
plainly. The tests prove that losses and gradients agree. Times are the processor time of one
thread, measured in turns, and not those of two threads by the clock, as above. M2's batch has
{batch} examples without a label and {labelled} with one, for which both contenders decode only
the known class. The linear autoencoder has no hidden layer.

{table}"""

BY_ITSELF = """\
This part was measured later than the rest: compare its ratios with those of other parts, but not
its milliseconds."""

PAGE = """\
# Benchmarks

How long a training step and an epoch of `fit` take, beside PyTorch and JAX on the same machine:
{cores} cores of {processor} with {memory_size}. {versions}.

## In short

{answers}

[Aims that were missed](#aims-that-were-missed) are at the end.

![Time of a step against batch size, parameters and data](figures/benchmarks.png)

To measure it on your machine, and to write this page and its figure:

    python -m pip install ".[benchmark]"
    python docs/benchmarks/run.py

No number in a table is typed by hand.

## One training step

A step draws noise and computes loss, gradient and Adam, in float32, on {cores} cores. All
contenders do the same work: Bernoulli likelihood on logits, one ReLU layer each side, analytic
KL. The tests prove that their losses and gradients agree. Every library chooses its own kernels for
this processor: no variable such as OPENBLAS_CORETYPE is set.

{aims}

A ratio is numpyvae's time divided by the other's: below 1, numpyvae is faster. Medians in ms.
In every table of this page a ratio is the median of the ratios within each round, not the ratio of
the two medians beside it, because the machine's speed changes from round to round:

{steps}

Each contender runs in its own process. They take turns: each runs a block of {block:g} s of steps,
and a pause of {pause:g} s follows, in which its threads fall asleep. Each block gives a median. In
the row that varies most, the middle half of a contender's blocks spans {spread:.0%} of their
median.

"Matrix products" is the time of the step's products alone, by `np.matmul(..., out=)`. No code that
uses NumPy's products can be faster; JAX and PyTorch have their own.

### Where our time goes

Milliseconds of each part, measured alone, with its numbers in the cache. "The rest" is the KL, the
loss, Python's own time, and the time to fetch from memory what a whole step pushes out of the
cache. It is a difference of noisy numbers, and below 0 where it is smaller than their errors.

{parts}

Adam takes {adam:.2f} ns a parameter in the largest case: ten passes over blocks, of which the
square root is about a third. From 262,144 parameters on, two threads update half of them each where
a core is free. JAX's compiler merges the ten passes into one, which NumPy cannot do: that is why
JAX is faster at batch 20, where Adam is the largest part of a step. In the smallest case the time
goes into about a hundred calls of NumPy.

{models}

## Whole epochs

{examples:,} binary examples of 784 dimensions, batch 128. `fit` is the whole call, with its
checks of the data. PyTorch is written as its users write it: a `DataLoader` that shuffles, and
the sum of the losses.

{epochs}

`fit` spends its time in its steps: minibatches, the sums of the losses and the checks of the data
take a few per cent. {epoch_floor} The rest of a
step is passes over activations and parameters, one call of NumPy after the other, which a compiler
would merge into a few.

## Real data, late in training

{late_examples:,} binarised images of MNIST, ({late_case}), batch {late_batch}: the first epoch, and
the median of epochs {late_first} to {late_last}. Where a gradient stays zero, the moments of Adam
shrink until they are subnormal, and many processors are a hundred times slower on such numbers;
[the chapter on Adam](derivations/adam.md) says what numpyvae's Adam does about it. PyTorch and
JAX run with their defaults, which do not flush such numbers to zero.

{late}

## Memory

The rise of a process's resident memory once library, data and model are loaded. It includes
gradients and Adam's moments. The last column counts only NumPy's arrays, exactly.

{memory}

## Start-up

Milliseconds of an import in a new process, beyond the start of Python.

{startup}

## Gradient check

The whole gradient of {gradcheck_title}.

{gradcheck}

The error is the largest difference between backward pass and check, divided by the largest entry of
the gradient. `gradcheck` reports no error: it passes if each entry is off by at most 1e-5 plus 1e-3
of itself.

## Larger networks and more data

Starting from ({largest}): wider hidden layers, with up to {wider:.0f} times as many parameters,
more data dimensions, and more examples. Batch 128.

{scaling}

## Aims that were missed

{verdicts}
"""


def epoch_floor(results: Results) -> str:
    """The share of PyTorch's epoch that our matrix products alone take: no aim can be lower."""
    floors = {row.case: row.median(FLOOR) for row in results.steps if row.batch == epochs.BATCH}
    shares = [
        f"{floors[row.case] * row.examples / epochs.BATCH / row.median(EAGER):.2f} at ({row.case})"
        for row in results.epochs
        if EAGER in row.seconds
    ]
    if not shares:
        return ""
    return f"NumPy's matrix products alone take this much of PyTorch's epoch: {', '.join(shares)}."


def models_section(rows: Sequence[ModelTimes]) -> str:
    """The part of the page on every model."""
    table = report.model_table(rows)
    return MODELS.format(
        table=table, case=models.CASE, batch=models.BATCH, labelled=models.LABELLED
    )


def with_models(text: str, rows: Sequence[ModelTimes]) -> str:
    """The page with this part measured anew, the others as they are."""
    part = re.compile(r"## Every model's step\n.*?(?=\n## )", re.DOTALL)
    section = f"{models_section(rows)}\n\n{BY_ITSELF}\n"
    return part.sub(lambda _: section, text)


def markdown(results: Results) -> str:
    """The whole page."""
    machine = results.machine
    wider = LARGEST._replace(hidden=WIDTHS[-1]).n_parameters / LARGEST.n_parameters
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return PAGE.format(
        cores=machine.cores,
        processor=machine.processor,
        memory_size=machine.memory,
        versions=versions,
        answers=report.answers(results),
        verdicts=report.verdicts(results),
        aims=report.aim_table(summarise(results.steps)),
        steps=report.step_table(results.steps),
        block=BLOCK,
        pause=PAUSE,
        spread=report.largest_spread(results.steps),
        parts=report.parts_table(results.parts),
        adam=1e9 * results.parts[-1].seconds["Adam"] / results.parts[-1].case.n_parameters,
        models=models_section(results.models),
        examples=results.epochs[0].examples,
        epochs=report.epoch_table(results.epochs),
        epoch_floor=epoch_floor(results),
        late_examples=late.EXAMPLES,
        late_case=late.CASE,
        late_batch=late.BATCH,
        late_first=late.LATE + 1,
        late_last=late.EPOCHS,
        late=report.late_table(results.late),
        memory=report.memory_table(results.memory),
        startup=report.startup_table(results.startup),
        gradcheck_title=report.gradcheck_title(results.gradcheck),
        gradcheck=report.gradcheck_table(results.gradcheck),
        largest=LARGEST,
        wider=wider,
        scaling=report.scaling_tables(results.scaling),
    )
