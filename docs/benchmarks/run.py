"""Measure numpyvae beside PyTorch, JAX and its own matrix products, and write docs/benchmarks.md.

    python -m pip install ".[benchmark]"
    python docs/benchmarks/run.py [--seconds 2] [--quick] [--models] [--out docs]

A peer that is not installed is named and left out. Best on a machine that does nothing else.
"""

import argparse
from pathlib import Path

import epochs
import gradcheck
import late
import machine
import memory
import models
import page
import parts
import report
import scaling
import startup
import steps
from children import choose_own_kernels, set_threads, use_cores
from contenders import LIBRARY, MAKERS, is_there
from report import Results

DOCS = Path(__file__).resolve().parent.parent


def missing_peers() -> list[str]:
    """Which contenders are left out, and why: `JAX (jax is not installed)`."""
    return [f"{n} ({lib} is not installed)" for n, lib in LIBRARY.items() if not is_there(lib)]


def show(title: str, text: str) -> None:
    print(f"\n{title}\n\n{text}", flush=True)


def measure_all(seconds: float, quick: bool, cores: int) -> Results:
    """Each part, printed as soon as it is measured."""
    has_torch = is_there("torch")
    examples = 3 * epochs.BATCH if quick else epochs.EXAMPLES
    rounds = 1 if quick else 5
    names = [name for name in MAKERS if is_there(LIBRARY[name])]
    if not quick:
        late.images()  # if there are none, say so now and not after ten minutes
    here, missing = machine.describe(cores), missing_peers()
    show("Not measured" if missing else "All peers are here", "\n".join(missing))
    with steps.Contest(names, seconds) as contest:
        rows = steps.measure_all(contest)
        show("One training step: medians in milliseconds, ours to theirs", report.step_table(rows))
        show("geometric mean and worst case", report.aim_table(steps.summarise(rows)))
        larger = scaling.measure_all(contest, quick)
        show("Larger networks and more data", report.scaling_tables(larger))
    others = models.measure_all(has_torch, seconds / 2, quick)
    show("Every model's step", report.model_table(others))
    ours = parts.measure_all(0.0 if not seconds else 0.2)
    show("Where the time of our step goes, ms", report.parts_table(ours))
    fits = epochs.measure_all(has_torch, examples, rounds)
    show("Whole epochs", report.epoch_table(fits))
    later = late.measure_all(names, quick)
    show("Real data, late in training", report.late_table(later))
    peaks = memory.measure_all(has_torch, examples)
    show("Memory", report.memory_table(peaks))
    imports = startup.measure_all(1 if quick else 9)
    show("Start-up", report.startup_table(imports))
    case = gradcheck.QUICK_CASE if quick else gradcheck.CASE
    checks = gradcheck.measure_all(has_torch, case, 1 if quick else 3)
    show(f"Gradient check: {report.gradcheck_title(checks)}", report.gradcheck_table(checks))
    return Results(
        here, seconds, missing, rows, fits, peaks, imports, checks, larger, ours, later, others
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each contender and case")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--models", action="store_true",
                        help="measure only every model's step, for the existing page")  # fmt: skip
    parser.add_argument("--cores", type=int, default=2, help="how many to use (default 2)")
    parser.add_argument(
        "--kernels-as-set",
        action="store_true",
        help="leave OPENBLAS_CORETYPE and the like as they are",
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the page and its figure")
    arguments = parser.parse_args()
    cores = use_cores(arguments.cores)
    set_threads(None)
    if not arguments.kernels_as_set:
        choose_own_kernels()
    path = arguments.out / "benchmarks.md"
    if arguments.models:
        rows = models.measure_all(is_there("torch"), arguments.seconds / 2, arguments.quick)
        path.write_text(page.with_models(path.read_text(encoding="utf-8"), rows), encoding="utf-8")
        return
    results = measure_all(arguments.seconds, arguments.quick, cores)
    show("In short", report.verdicts(results))
    from figure import draw  # matplotlib is not needed before

    figures = arguments.out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw(results).savefig(figures / "benchmarks.png")
    path.write_text(page.markdown(results), encoding="utf-8")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
