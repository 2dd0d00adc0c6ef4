"""Print docs/gradient_checking_measured.md: every bug of the zoo, measured.

    python docs/measure_bug_zoo.py > docs/gradient_checking_measured.md

The bugs are those of tests/bug_zoo.py, and the points are those of tests/test_bug_zoo.py, which
asserts what is only printed here. Takes about ten seconds; the same numbers each time.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import bug_zoo as zoo  # noqa: E402
import test_bug_zoo as tests  # noqa: E402

from numpyvae import VAE, Bernoulli  # noqa: E402
from numpyvae.gradient_check import complex_step  # noqa: E402

STEPS, LEARNING_RATE = 400, 0.005


def table(*columns, rows):
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def number(value):
    """0.27, 4.1e-06, or 0 for what is rounding alone."""
    if value < tests.EXACT:
        return "0"
    return f"{value:.2g}" if value >= 0.01 else f"{value:.0e}"


def error(bug, p):
    return zoo.relative_error(zoo.gradient_at(bug, p), complex_step(p.loss, p.theta))


def package_default(bug):
    """The generic point's model as the constructor leaves it: He or Glorot, zero biases, beta 1."""
    p = zoo.generic_point(bug, beta=1.0)
    return p._replace(theta=p.vae.theta)


def wrong_parameters(bug):
    """Which parameters' gradients are wrong at the generic point."""
    p = zoo.generic_point(bug)
    yours = p.vae.layout.views(zoo.gradient_at(bug, p))
    truth = p.vae.layout.views(complex_step(p.loss, p.theta))
    return tuple(name for name in truth if zoo.relative_error(yours[name], truth[name]) > 1e-9)


def loss_after_training(bug):
    """Mean loss of the first and of the last 20 steps on the 17 images of a thermometer."""
    activation = "relu" if bug is not None and bug.number in (33, 34, 35) else "tanh"
    width, latent = (17, 2) if bug is not None and bug.id == "41b" else (16, 2)
    if bug is not None and bug.id in ("37", "38", "41b"):
        return None  # its shapes fit only where sizes are equal
    vae = VAE(16, latent, (width,), activation, Bernoulli(), 0.7, dtype=np.float64)
    with np.errstate(all="ignore"):
        losses = zoo.train(bug, vae, tests.thermometer(16), STEPS, LEARNING_RATE)
    return losses[:20].mean(), losses[-20:].mean()


def training(bug):
    losses = loss_after_training(bug)
    if losses is None:
        return ""
    return f"{losses[1]:.1f}" if losses[1] < 10.0 * losses[0] else "diverges"


def backward_bugs():
    rows = []
    for bug in tests.BACKWARD:
        if bug.caught_by == "shapes":
            cells = ["an error: shapes do not fit", "", "", "", "", ""]
        else:
            passed = tests.judges_that_pass(bug, zoo.default_point)
            cells = [
                number(error(bug, zoo.generic_point(bug))),
                number(error(bug, zoo.default_point(bug))),
                number(error(bug, package_default(bug))),
                next((judge for judge in tests.UNSEEN_AT_DEFAULT if judge in passed), "none"),
                len(wrong_parameters(bug)),
                training(bug),
            ]
        rows.append((bug.id, bug.name, bug.family, *cells, bug.caught_by))
    first, last = loss_after_training(None)
    print(f"Loss before training {first:.1f}; after it, with the right gradient, {last:.1f}.\n")
    table(
        "bug",
        "what is wrong",
        "in",
        "relative error at the generic point",
        "at the default point",
        "at numpyvae's own initialisation",
        "strictest judge that passes it at the default point",
        "wrong parameters of 8",
        "loss after training",
        "caught by",
        rows=rows,
    )


def hidden_where():
    rows = [
        (f"default point, {judge}", len(unseen.split()), unseen)
        for judge, unseen in tests.UNSEEN_AT_DEFAULT.items()
    ]
    able = [bug for bug in tests.SILENT if bug.id != "41b"]
    for where, unseen in (
        ("generic point, any judge", tests.unseen_by_complex_step(tests.SILENT)),
        ("generic point but beta = 1", tests.unseen_by_complex_step(tests.SILENT, beta=1.0)),
        ("generic point but N = 1", tests.unseen_by_complex_step(able, n=1)),
    ):
        rows.append((where, len(unseen), " ".join(unseen)))
    table("where, and by what", "unseen", "which", rows=rows)
    patterns = {wrong_parameters(bug) for bug in tests.SILENT}
    print(f"Patterns of wrong parameters: {len(patterns)} for {len(tests.SILENT)} bugs.\n")
    fallen = [
        bug.id
        for bug in tests.SILENT
        for losses in [loss_after_training(bug)]
        if losses is not None and losses[1] < 0.75 * losses[0]
    ]
    trained = [bug for bug in tests.SILENT if loss_after_training(bug) is not None]
    print(
        f"Trained with the bug, the loss falls by a quarter or more for {len(fallen)} of these "
        f"{len(tests.SILENT)} bugs: {' '.join(fallen)}. The {len(tests.SILENT) - len(trained)} "
        "that need layers of equal size were not trained.\n"
    )


def state_and_optimiser():
    rows = []
    for bug in tests.STATE:
        if bug.number == 46:
            what = "input" if bug.id == "46a" else "cache"
            finds, says = f"its {what} changes; if read-only, it raises", "check_vjp: fail"
        else:
            finds = ", ".join(sorted(tests.state_complaints(bug)))
            report = zoo.check_bug(bug, zoo.generic_point())
            says = report.verdict + (", with a warning" if report.warnings else "")
        rows.append((bug.id, bug.name, finds, says))
    table("bug", "what is wrong", "state test", "gradient check", rows=rows)
    rows = [
        (bug.id, bug.name, *(f"{tests.first_step(bug, g):.4g}" for g in (2.0, 1e-4)))
        for bug in tests.OPTIMISER
    ]
    table("bug", "what is wrong", "first step / rate at g = 2", "at g = 1e-4", rows=rows)


def unseen_bugs():
    rows = []
    for bug in tests.UNSEEN:
        report = zoo.check_bug(bug, zoo.generic_point())
        if bug.caught_by == "bound":
            gap = tests.bound_violation(bug)
            z, _, log_var, _ = tests.sample_and_its_distribution(bug)
            ratio = z.std(axis=0) / np.exp(0.5 * log_var)
            caught = (
                f"ELBO - log p(x) = {gap.mean():+.3f} nats on average, {gap.max():+.3f} at most "
                f"(right: {tests.bound_violation(None).mean():+.3f}); standard deviation of z over "
                f"sigma {', '.join(f'{r:.2f}' for r in ratio)} at log_var "
                f"{', '.join(f'{v:g}' for v in log_var)}"
            )
        elif bug.caught_by == "extremes":
            value, slope = tests.extreme_values(bug)
            caught = (
                f"at logit 37 and x = 0: log p = {value[0]:.2f} (right: -37), "
                f"gradient {abs(slope[0]):g} (right: -1)"
            )
        else:
            caught = "the sign, beside log p(x) by quadrature"
        rows.append((bug.id, bug.name, report.verdict, number(float(report.worst)), caught))
    table("bug", "what is wrong", "gradient check", "its worst error", "what catches it", rows=rows)


INTRODUCTION = """\
# Gradient checks, measured

[gradient_checking.md](gradient_checking.md) says what these numbers mean. To print this page:

    python docs/measure_bug_zoo.py > docs/gradient_checking_measured.md

The tests plant {all} bugs (`tests/bug_zoo.py`), each a different mistake in a hand-written VAE.
They are numbered: a letter marks a variant (16a, 16b), and four that no gradient check can
see have names. {backward} are in backward passes, {state} in state between calls, {adam} in
the optimiser, and the {unseen} with names in the model itself. Of those in backward passes one
(41a) raises an error; the other {silent} silently give a wrong gradient.

Relative error is the largest error of any entry over the largest entry of the gradient. "Strictest
judge" is the tightest of complex step, `check_grad`, `np.allclose`, and central differences at a
relative tolerance of 1e-4, 1e-3 and 1e-2 that lets the bug pass at the default point.
"""

if __name__ == "__main__":
    counts = {"all": zoo.BUGS, "backward": tests.BACKWARD, "silent": tests.SILENT}
    counts |= {"state": tests.STATE, "adam": tests.OPTIMISER, "unseen": tests.UNSEEN}
    print(INTRODUCTION.format(**{name: len(bugs) for name, bugs in counts.items()}))
    print("## Where bugs hide\n")
    hidden_where()
    print("## The bugs in backward passes, 1 to 44\n")
    backward_bugs()
    print("## State and optimiser\n")
    state_and_optimiser()
    print("## What a gradient check cannot see\n")
    unseen_bugs()
