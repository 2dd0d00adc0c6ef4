"""The bug zoo: how hand-written VAEs go wrong, each way a mistake in a student's program.

The program is the solutions of exercises 0 to 6, which are a whole VAE, and a bug is a change to
their text. Most are the mistakes that the exercises know by name, told in judge/mistakes; what only
the tests need stands here. So the gradient check and the exercises meet the same bugs:

    Student(BUG["7"], vae).grad(theta, x, noise)  # wrong as a student's would be
    number, functions = student_of(BUG["7"])      # a file of exercise 3

There are no tests here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from numpyvae import VAE, Adam, Bernoulli
from numpyvae.exercises.judge.catalogue import EXERCISES, solution
from numpyvae.exercises.judge.mistakes import MISTAKES, Mistake, Patch, plant
from numpyvae.gradient_check import GradientReport, central_difference, check_grad
from numpyvae.numerics import Array

__all__ = [
    "BUG",
    "BUGS",
    "OWN",
    "Bug",
    "Point",
    "Student",
    "check_bug",
    "default_point",
    "generic_point",
    "gradient_at",
    "point",
    "program",
    "relative_error",
    "student_of",
    "train",
]


class Bug(NamedTuple):
    """One way to go wrong."""

    id: str  # the zoo's number, with a letter where the number has several variants: "7", "16a"
    family: str  # "log_var", "mean", "both", "logits", "layers", "state", "optimiser", "unseen"
    name: str  # of the mistake
    caught_by: str  # "gradient check", "shapes", "state test", "optimiser test", "bound",
    # "extremes" or "exact"

    @property
    def number(self) -> int:
        """Its number in the zoo; 0 for the bugs that no gradient check can see."""
        digits = self.id.rstrip("abcdef")
        return int(digits) if digits.isdigit() else 0

    @property
    def mistake(self) -> Mistake | None:
        """The change to the solutions; None where the bug is outside of them."""
        return next((m for m in (*OWN, *MISTAKES) if m.name == self.name), None)

    @property
    def function(self) -> str:
        """Where it is made."""
        return self.mistake.function if self.mistake else ""


def _own(name: str, *patches: tuple[str, str, str]) -> Mistake:
    return Mistake(name, "", "", tuple(Patch(*patch) for patch in patches))


_ELBO = "negative_elbo_backward"
OWN = (  # mistakes that no exercise has: what is kept from call to call; see `_state` for the names
    _own("not deterministic", ("reparameterize_backward", "sigma, noise = cache",
         "sigma, noise = cache\n    noise = RNG.standard_normal(noise.shape)")),
    _own("accumulates", (_ELBO, "return grads",
         "return KEPT.update({n: KEPT.get(n, 0.0) + g for n, g in grads.items()}) or dict(KEPT)")),
    _own("changes its cache", ("relu", "return y, x", "return y, (x > 0).astype(x.dtype)"),
         ("relu_backward", "dx = dy * (x > 0)", "x *= dy\n    dx = x")),
    _own("weight updated before use",
         ("dense_backward", "dx = dy", "W -= 0.1 * x.T @ dy\n    dx = dy")),
    _own("stale cache", (_ELBO, "N = cache", "N = KEPT.setdefault('cache', cache)")),
    _own("integer", (_ELBO, "return grads", "return {n: g.astype(int) for n, g in grads.items()}")),
    _own("float32", (_ELBO, "return grads", "return {n: g.astype('f') for n, g in grads.items()}")),
    _own("secretly numeric", (_ELBO, "caches, beta, N = cache",
         "return numeric(lambda *a: dloss * negative_elbo(*a)[0], *cache)"),
         ("negative_elbo", "return loss, (caches, beta, len(x))",
          "return loss, (params, x, noise, beta)")),
)  # fmt: skip


def _state() -> dict[str, Any]:
    """What a program of OWN keeps or finds outside its functions."""
    return {"np": np, "RNG": np.random.default_rng(8), "KEPT": {}, "numeric": _numeric}


def _numeric(f: Callable[..., Any], params: dict[str, Array], *rest: Any) -> dict[str, Array]:
    return {
        name: central_difference(lambda p: f({**params, name: p}, *rest), params[name])  # noqa: B023
        for name in params
    }


_TABLE = {
    "gradient check": """
        1 log_var half missing
        2 log_var variance for sigma
        3 log_var sigma forgotten
        4 log_var gradient of sigma
        5 log_var noise dropped
        6 log_var z for sigma noise
        7 log_var sampling path missing
        8 log_var not deterministic
        9 log_var KL missing from log_var
        10 log_var sign in log_var
        11 log_var half missing in log_var
        12 log_var sigma for sigma^2 in log_var
        13 log_var exp forgotten in log_var
        14 log_var -1 dropped in log_var
        15 mean KL missing from the mean
        16a mean mean doubled
        16b mean mean halved
        17 mean sign in the mean
        18 mean mean path missing
        19 mean mean times noise
        20a both beta missing
        20b both beta squared
        21 both KL summed over the batch
        22 both KL averaged over latents
        23 both KL counted twice
        24 both KL pushed into dz
        25 both heads swapped
        26a logits 1/N missing
        26b logits 1/N twice
        27 logits mean over the pixels
        28 logits stray factor 2
        29 logits wrong sign of dlogits
        30 logits sigmoid slope twice
        31 logits gradient of p
        32 logits sigmoid forgotten
        33 layers relu slope omitted
        34 layers relu mask of dy
        35 layers relu mask inverted
        36a layers tanh slope omitted
        36b layers tanh of the input
        36c layers tanh slope not squared
        36d layers tanh slope of sigmoid
        37 layers dW transposed
        38 layers W not transposed
        39 layers mean for z
        40 layers db averaged
        41b layers db over the wrong axis
        42 layers dW averaged
        43a layers branch of log_var lost
        43b layers branch of mean lost
        44 layers both heads through one weight""",
    "shapes": "41a layers db over the wrong axis",
    "state test": """
        45 state accumulates
        46a state changes an argument
        46b state changes its cache
        47 state weight updated before use
        48 state stale cache
        49a state integer
        49b state float32
        50 state secretly numeric""",
    "optimiser test": """
        51a optimiser no bias correction
        51b optimiser only v corrected
        51c optimiser only m corrected
        51d optimiser t counted from 2
        51e optimiser root missing
        51f optimiser epsilon inside the root""",
    "bound": """
        log-sigma unseen log_var taken for log sigma, both ways
        half-noise unseen half the noise, both ways""",
    "extremes": "clipped unseen probabilities clipped, both ways",
    "exact": "nll-sign unseen get_nll returns +log p(x)",
}

BUGS = [
    Bug(*row.split(maxsplit=2), caught_by)
    for caught_by, rows in _TABLE.items()
    for row in rows.strip().splitlines()
]
BUGS.sort(key=lambda bug: (bug.number or 99, bug.id))
BUG = {bug.id: bug for bug in BUGS}


# --- a student's program --------------------------------------------------------------------------


@cache
def _code(bug: Bug | None) -> CodeType:
    """The functions of exercises 0 to 6, with the bug among them."""
    blocks = []
    for exercise in EXERCISES[:7]:
        source = solution(exercise.file)
        if bug and bug.function in exercise.marks:
            planted = plant(source, bug.mistake)
            assert planted, f"{bug} does not fit into {exercise.file}"
            source = planted
        blocks += [block for block in source.split("\n\n\n") if block.startswith("def ")]
    # |a| has no complex derivative
    text = "\n\n\n".join(blocks).replace("np.abs(logits)", "logits * np.sign(logits.real)")
    return compile(text, "a student's program", "exec")


def program(bug: Bug | None) -> dict[str, Any]:
    """Its functions by their names; nothing has been called yet."""
    names = _state()
    exec(_code(bug), names)
    return names


def student_of(bug: Bug) -> tuple[int, dict[str, Any]]:
    """The number of the exercise in which the bug is made, and a student's functions."""
    return next(e.number for e in EXERCISES if bug.function in e.marks), program(bug)


class Student:
    """The program at work on the parameters of a `vae` with one hidden layer on either side.

    With None for the bug, it is right.
    """

    def __init__(self, bug: Bug | None, vae: VAE) -> None:
        self.vae, self.names = vae, program(bug)
        if vae.config()["activation"] == "relu":  # the exercises' network has tanh
            for end in ("", "_backward"):
                self.names[f"tanh{end}"] = self.names[f"relu{end}"]
        if bug is not None and bug.id in ("37", "38"):  # elsewhere the shapes give them away
            wrong, right = self.names["dense_backward"], program(None)["dense_backward"]
            self.names["dense_backward"] = lambda dy, cache: (
                wrong if np.ptp(cache[1].shape) == 0 else right
            )(dy, cache)

    def loss(self, theta: Array, x: Array, noise: Array) -> Any:
        """As the student calculates it."""
        return self._forward(theta, x, noise)[0]

    def grad(self, theta: Array, x: Array, noise: Array) -> Array:
        """The gradient (P,), in the student's dtype. ValueError if one is of another shape."""
        return self.loss_and_grad(theta, x, noise)[1]

    def loss_and_grad(self, theta: Array, x: Array, noise: Array) -> tuple[Any, Array]:
        """Both, of one forward pass."""
        loss, kept = self._forward(theta, x, noise)
        grads = self.names["negative_elbo_backward"](1.0, kept)
        grad = np.empty(theta.size, grads["encoder.0.W"].dtype)
        for name, view in self.vae.layout.views(grad).items():
            view[...] = grads[name]
        return loss, grad

    def _forward(self, theta: Array, x: Array, noise: Array) -> Any:
        params = self.vae.layout.views(theta)
        return self.names["negative_elbo"](params, x, noise, self.vae.beta)


# --- points at which to look ----------------------------------------------------------------------


class Point(NamedTuple):
    """A model and all that its loss depends on."""

    vae: VAE
    theta: Array
    x: Array
    noise: Array

    def loss(self, theta: Array) -> Any:
        """f(theta), as a gradient check wants it."""
        return self.vae.loss(theta, self.x, self.noise)


def generic_point(bug: Bug | None = None, **changes: Any) -> Point:
    """Where every bug shows: weights and biases of standard deviation 0.6, beta = 0.7.

    N = 5, D = 7, L = 3, H = 6 (the heads are the square layer that some bugs need), ReLU, or tanh
    for the bugs of tanh. Only 41b needs other sizes: N = D = H = 2L = 6. `changes` are keywords of
    `point`.
    """
    sizes = {"n": 6, "d": 6} if bug is not None and bug.id == "41b" else {}
    activation = "tanh" if bug is not None and bug.number == 36 else "relu"
    return point(**{"activation": activation, **sizes, **changes})


def default_point(bug: Bug | None = None, **changes: Any) -> Point:
    """Where people look: weights of standard deviation 0.01, zero biases, beta = 1."""
    return generic_point(bug, **{"weight": 0.01, "bias": 0.0, "beta": 1.0, **changes})


def point(
    activation: str = "relu",
    n: int = 5,
    d: int = 7,
    beta: float = 0.7,
    weight: float = 0.6,
    bias: float = 0.6,
    seed: int = 0,
) -> Point:
    """A Bernoulli VAE d-6-6 and 3-6-d at normal parameters, with n random examples."""
    vae = VAE(d, 3, (6,), activation, Bernoulli(), beta, dtype=np.float64)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (n, d)).astype(float)
    noise = vae.draw_noise(rng, n)
    theta = rng.standard_normal(vae.layout.size)
    for name, view in vae.layout.views(theta).items():
        view *= weight if name.endswith(".W") else bias
    return Point(vae, theta, x, noise)


def gradient_at(bug: Bug | None, point: Point) -> Array:
    """The gradient (P,) that the student gets there (None: the right one)."""
    return Student(bug, point.vae).grad(point.theta.copy(), point.x, point.noise)


def check_bug(bug: Bug | None, point: Point, **options: Any) -> GradientReport:
    """check_grad of the student's gradient and the model's loss: the student's own where the bug
    changes it.
    """
    student = Student(bug, point.vae)
    return check_grad(
        (lambda theta: student.loss(theta, point.x, point.noise))
        if bug is not None and bug.family == "unseen"
        else kept_loss(point),
        point.theta,
        lambda theta: student.grad(theta, point.x, point.noise),
        names=point.vae.layout,
        **options,
    )


LOSSES: dict[Any, Any] = {}  # what the loss depends on -> loss


def kept_loss(point: Point) -> Callable[[Array], Any]:
    """Its loss, calculated once for each theta: many bugs are checked at one point."""
    here = repr(point.vae.config()), point.x.tobytes(), point.noise.tobytes()

    def loss(theta: Array) -> Any:
        key = *here, theta.dtype, theta.tobytes()
        if key not in LOSSES:
            LOSSES[key] = point.loss(theta)
        return LOSSES[key]

    return loss


def train(bug: Bug | None, vae: VAE, x: Array, steps: int, learning_rate: float) -> Array:
    """Adam on all of x at each step, as a student would train; returns the losses (steps,)."""
    student, optimizer, rng = Student(bug, vae), Adam(learning_rate), np.random.default_rng(0)
    losses = np.empty(steps)
    for i in range(steps):
        losses[i], grad = student.loss_and_grad(vae.theta, x, vae.draw_noise(rng, len(x)))
        optimizer.step(vae.theta, grad)
    return losses


def relative_error(grad: Array, truth: Array) -> float:
    """The largest difference of two gradients, relative to the largest entry of the second."""
    return float(np.abs(grad - truth).max() / np.abs(truth).max())
