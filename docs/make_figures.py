"""Make the pictures of the README, of docs/gradient_checking.md and docs/coursework.md anew.

python docs/make_figures.py
"""

import csv
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from numpyvae import VAE, Bernoulli
from numpyvae.cli import main as numpyvae
from numpyvae.exercises.teacher.class_figure import mistakes_figure
from numpyvae.gradient_check import (
    check_grad,
    plot_step_sizes,
    plot_taylor,
    taylor_test,
)
from numpyvae.models import vae as one_screen

FIGURES = Path(__file__).parent / "figures"
MEASURED = Path(__file__).parent / "gradient_checking_measured.md"
CLASS = Path(__file__).parent.parent / "tests" / "golden_class.csv"


def the_readmes_picture() -> None:
    """The manifold that `numpyvae train` draws without any options."""
    with tempfile.TemporaryDirectory() as folder:
        numpyvae(["train", "--out", folder])
        (FIGURES / "manifold.png").write_bytes(Path(folder, "manifold.png").read_bytes())


def pictures_of_gradient_checks() -> None:
    """A right gradient, and one whose sampling path into log_var misses its 1/2 (bug 1)."""
    rng = np.random.default_rng(0)
    vae = VAE(7, 3, (6,), "tanh", Bernoulli(), beta=0.7, dtype=np.float64)
    theta = 0.6 * rng.standard_normal(vae.layout.size)
    x, noise = rng.integers(0, 2, (5, 7)), rng.standard_normal((5, 3))

    def f(theta):
        return vae.loss(theta, x, noise)

    right = vae.loss_and_grad(theta, x, noise)[1]
    backward = one_screen.reparameterize_backward
    one_screen.reparameterize_backward = lambda dz, scaled_noise: (dz, dz * scaled_noise)
    wrong = vae.loss_and_grad(theta, x, noise)[1]
    one_screen.reparameterize_backward = backward

    figure = Figure(figsize=(7, 5), layout="constrained")
    plot_step_sizes(f, theta, ax=figure.subplots())
    save(figure, "step_sizes")

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    gradients = {"A right gradient": right, "A wrong gradient": wrong}
    for ax, (title, grad) in zip(figure.subplots(1, 2), gradients.items(), strict=True):
        plot_taylor(taylor_test(f, theta, grad), ax=ax)
        ax.set_title(f"{title}\n{ax.get_title()}")
    save(figure, "taylor")

    report = check_grad(f, theta, wrong, names=vae.layout)
    save(report.plot(), "wrong_gradient")


def bugs_unseen() -> None:
    """The recorded numbers of docs/gradient_checking_measured.md, as two charts."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in MEASURED.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    start = "default point, "
    unseen = {row[0].removeprefix(start): int(row[1]) for row in rows if row[0].startswith(start)}
    bugs = [row for row in rows if row[0][0].isdigit() and row[-1] == "gradient check"]
    errors = np.array([[float(row[3]), float(row[4])] for row in bugs])

    figure = Figure(figsize=(10, 4), layout="constrained")
    bars, points = figure.subplots(1, 2)
    names = [f"rtol {name}" if name[0].isdigit() else name for name in unseen]
    bars.bar_label(bars.barh(names, list(unseen.values()), color="#0072B2"), padding=3)
    bars.invert_yaxis()
    bars.set(
        xlim=(0, 36), xlabel="bugs that pass", title=f"Of {len(errors)} bugs, at the default point"
    )
    for tolerance in (1e-4, 1e-2):
        points.axhline(tolerance, color="0.6", linestyle="--", linewidth=1)
        points.text(1e6, tolerance, f" {tolerance:.0e}", va="center", color="0.4")
    generic, default = errors.T
    hidden = default == 0
    points.loglog(generic[~hidden], default[~hidden], "o", color="#0072B2", alpha=0.7)
    points.loglog(generic[hidden], np.full(hidden.sum(), 1e-10), "v", color="#D55E00")
    points.text(0.3, 1e-10, "0: beta = 1 hides 20a, 20b", va="center", color="#D55E00")
    points.set(
        xlim=(1e-2, 1e6),
        xlabel="relative error at the generic point",
        ylabel="relative error at the default point",
        title="Each bug at both points",
    )
    save(figure, "bugs_unseen")


def mistakes_of_a_class() -> None:
    """What `numpyvae exercises grade` draws for the synthetic class of the tests."""
    with CLASS.open(encoding="utf-8", newline="") as file:
        students = list(csv.DictReader(file))
    named = [s["named mistakes"].split("; ") for s in students if s["named mistakes"]]
    counts = Counter(mistake for mistakes in named for mistake in mistakes)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    save(mistakes_figure(ordered, len(students)), "coursework_class")


def save(figure: Figure, name: str) -> None:
    figure.savefig(FIGURES / f"{name}.png", dpi=150)


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    the_readmes_picture()
    pictures_of_gradient_checks()
    bugs_unseen()
    mistakes_of_a_class()
