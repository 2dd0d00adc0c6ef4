"""Every model's training step: beside the VAE's own, and beside PyTorch eager's of the same model.

A step draws noise and computes loss, gradient and Adam, in float32. All models have a code of L,
one ReLU layer of H on each side, and the VAE's batch; only M2's batch is mixed, of 128 examples
without a label and 100 with one. Each has one thread and is timed in processor time, as were the
prototypes that the aims come from.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from children import Child, set_threads
from contenders import EAGER, OURS, Case, Step, binary_data, use_threads
from timing import BLOCK, FEWEST_ROUNDS, PAUSE, WARM_UP, median_in_block, paired_ratio, take_turns

import numpyvae as nv
from numpyvae.corruptions import Masking
from numpyvae.models import MODELS
from numpyvae.priors import GaussianMixture, VampPrior

CASE, BATCH, LABELLED, CLASSES = Case(784, 400, 20), 128, 100, 10
QUICK_CASE = Case(30, 20, 4)
VAE = "VAE"


class Entry(NamedTuple):
    """A model: its class and arguments, PyTorch's loss for it, and the aim for its step."""

    kind: str
    loss: str
    arguments: Mapping[str, Any] = MappingProxyType({})
    aim: float | None = None
    """The largest allowed ratio to the VAE's step."""


CODES = {"n_positions": 8, "code_dim": 8, "n_codes": 64}
ENTRIES = {
    VAE: Entry("VAE", "vae"),
    "autoencoder": Entry("Autoencoder", "autoencoder"),
    "denoising autoencoder": Entry("DenoisingAutoencoder", "denoising",
                                   {"corruption": Masking(0.25)}),
    "noisy autoencoder": Entry("NoisyAutoencoder", "noisy", {"code_noise": 0.5}),
    "linear autoencoder": Entry("LinearAutoencoder", "linear"),
    "conditional VAE": Entry("ConditionalVAE", "conditional", {"n_classes": CLASSES}),
    "full covariance": Entry("FullCovarianceVAE", "full_covariance"),
    "mixture prior, K = 50": Entry("LearnedPriorVAE", "learned_prior",
                                   {"prior": GaussianMixture(50)}, 1.6),
    "VampPrior, K = 50": Entry("LearnedPriorVAE", "learned_prior", {"prior": VampPrior(50)}, 1.6),
    "VampPrior, K = 500": Entry("LearnedPriorVAE", "learned_prior", {"prior": VampPrior(500)}, 2.8),
    "vector-quantised, 8 of 64 codes": Entry("VectorQuantizedVAE", "vector_quantized", CODES, 1.2),
    "importance-weighted, S = 5": Entry("ImportanceWeightedVAE", "importance_weighted",
                                        {"n_samples": 5}, 4.0),
    "M2, 10 classes": Entry("SemiSupervisedVAE", "semi_supervised",
                            {"n_classes": CLASSES, "alpha": 100.0}, 9.0),
}  # fmt: skip


class ModelTimes(NamedTuple):
    """One model: medians of the blocks of its step, of the VAE's, and of PyTorch's."""

    name: str
    blocks: dict[str, list[float]]

    @property
    def aim(self) -> float | None:
        return ENTRIES[self.name].aim

    def median(self, name: str) -> float:
        return statistics.median(self.blocks[name])

    def ratio(self, peer: str) -> float:
        return paired_ratio(self.blocks[OURS], self.blocks[peer])


def our_model(name: str, case: Case = CASE, dtype: type = np.float32) -> Any:
    """The model of a row, at the size of `case`."""
    entry, sizes = ENTRIES[name], {"data_dim": case.data, "dtype": dtype}
    if entry.kind != "VectorQuantizedVAE":
        sizes["latent_dim"] = case.latent
    if entry.kind == "LinearAutoencoder":  # no hidden layer, the squared error
        sizes["penalties"] = [0.01 * (i + 1) for i in range(case.latent)]
    else:
        sizes |= {"hidden_dims": (case.hidden,), "likelihood": nv.Bernoulli()}
    return MODELS[entry.kind](**sizes, **entry.arguments)


def data_of(model: Any, n: int, n_labelled: int) -> Any:
    """n examples x, or (x, y) with labels; M2 has no label for these, but for `n_labelled` more."""
    rng = np.random.default_rng(1)
    if not hasattr(model, "n_classes"):
        return binary_data(n, model.data_dim)
    y = rng.integers(0, model.n_classes, n)
    if model.unknown_labels:
        y = np.concatenate((np.full(n, -1), rng.integers(0, model.n_classes, n_labelled)))
    return binary_data(len(y), model.data_dim), y


def our_step(name: str, case: Case = CASE) -> Step:
    model, rng, optimizer = our_model(name, case), np.random.default_rng(0), nv.Adam()
    data = data_of(model, BATCH, LABELLED)
    n = len(data[0]) if isinstance(data, tuple) else len(data)
    _, grad = model.loss_and_grad(model.theta, data, model.draw_noise(rng, n))

    def step() -> None:
        model.loss_and_grad(model.theta, data, model.draw_noise(rng, n), out=grad)
        optimizer.step(model.theta, grad)

    return step


def torch_parameters(model: Any) -> dict[str, Any]:
    """The parameters of our model as leaves of PyTorch, copied."""
    import torch

    return {name: torch.tensor(a, requires_grad=True) for name, a in model.params.items()}


def torch_loss(name: str) -> Callable[..., Any]:
    import torch_losses

    return getattr(torch_losses, ENTRIES[name].loss)


def torch_data(data: Any) -> Any:
    import torch

    return tuple(map(torch.from_numpy, data)) if isinstance(data, tuple) else torch.from_numpy(data)


def torch_step(name: str, case: Case = CASE) -> Step:
    import torch

    use_threads()
    torch.manual_seed(0)
    model, loss = our_model(name, case), torch_loss(name)
    ours = data_of(model, BATCH, LABELLED)
    n = len(ours[0]) if isinstance(ours, tuple) else len(ours)
    p, data, shape = torch_parameters(model), torch_data(ours), (n, *model.noise_shape)
    draw = torch.rand if ENTRIES[name].kind == "DenoisingAutoencoder" else torch.randn
    optimizer = torch.optim.Adam(p.values(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(p, data, draw(shape), model).backward()
        optimizer.step()

    return step


MAKERS = {OURS: our_step, EAGER: torch_step}
_steps: dict[str, Step] = {}  # in a child: the steps that it is measuring


def prepare(contender: str, names: list[str], case: Case) -> None:
    """In a child: the steps of these models, warm."""
    _steps.clear()
    for name in names:
        _steps[name] = MAKERS[contender](name, case)
        for _ in range(3):
            _steps[name]()


def measure_block(name: str, seconds: float, warm_up: float) -> float:
    """In a child: the median processor time of a step in one block."""
    return median_in_block(_steps[name], seconds, warm_up, time.process_time)


def measure(
    name: str, ours: Child, theirs: Child | None, seconds: float, case: Case = CASE
) -> ModelTimes:
    """One model and the VAE in our process, and PyTorch's model in its own, in turns."""
    ours.ask(prepare, OURS, [VAE, name], case)
    block = (BLOCK, WARM_UP) if seconds else (0.0, 0.0)
    measures = {
        VAE: partial(ours.ask, measure_block, VAE, *block),
        OURS: partial(ours.ask, measure_block, name, *block),
    }
    if theirs is not None:
        theirs.ask(prepare, EAGER, [name], case)
        measures[EAGER] = partial(theirs.ask, measure_block, name, *block)
    rounds = max(FEWEST_ROUNDS, round(seconds / BLOCK)) if seconds else 1
    return ModelTimes(name, take_turns(measures, rounds, PAUSE if seconds else 0.0))


def measure_all(has_torch: bool, seconds: float, quick: bool) -> list[ModelTimes]:
    """Every row, one after the other."""
    case = QUICK_CASE if quick else CASE
    set_threads(1)
    try:
        with Child() as ours, Child() as theirs:
            peer = theirs if has_torch else None
            return [measure(name, ours, peer, seconds, case) for name in ENTRIES]
    finally:
        set_threads(None)
