"""The lessons among the examples: their pieces against brute force, and each once from end to end.

In this process: a lesson is imported from its file, so nothing waits for another Python.
"""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from numpyvae import VAE, Binomial

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def lesson(number):
    """The module of the example with this number."""
    (path,) = EXAMPLES.glob(f"{number}_*.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module, folder, monkeypatch, capsys):
    """What `--quick` prints, and the names of the pictures that it says it wrote."""
    savefig = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: savefig(self, path, dpi=dpi / 3))
    monkeypatch.setattr(sys, "argv", [module.__name__, str(folder), "--quick"])
    module.main()
    out = capsys.readouterr().out
    wrote = [Path(line.removeprefix("wrote ")) for line in out.splitlines() if "wrote " in line]
    assert sorted(wrote) == sorted(folder.iterdir())
    for picture in wrote:
        assert picture.read_bytes().startswith((b"\x89PNG", b"GIF89a"))
        assert picture.stat().st_size > 5_000
    return out, [picture.name for picture in wrote]


# --- 07: gradient estimators ----------------------------------------------------------------------

ESTIMATORS = lesson("07")


@pytest.mark.parametrize(("d", "s", "L"), [(1.0, 0.5, 1), (-0.7, 1.3, 2), (0.4, 0.8, 3)])
def test_variances_of_a_gaussian_are_those_of_quadrature(d, s, L):
    """Polynomials of degree 10 at most, which six Gauss-Hermite nodes integrate exactly."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    noise = np.array(list(itertools.product(nodes, repeat=L)))
    w = np.prod(list(itertools.product(weights / weights.sum(), repeat=L)), axis=1)
    exact = ESTIMATORS.gaussian_variances(d, s, L)
    for name, estimates in ESTIMATORS.gaussian_estimates(d, s, noise).items():
        mean = w @ estimates
        assert mean == pytest.approx(2 * d, rel=1e-10)
        assert w @ (estimates - mean) ** 2 == pytest.approx(exact[name], rel=1e-10)


def test_moments_over_bits_are_those_of_all_batches_of_codes():
    """Every batch of S = 3 codes of two bits, with each baseline computed as a program would."""
    n_samples = 3
    _, q, score = ESTIMATORS.enumerate_codes(np.array([0.4, -1.1]))
    f = np.array([-3.0, 1.0, -0.5, -7.0])
    assert q.sum() == pytest.approx(1, abs=1e-12)
    batches = np.array(list(itertools.product(range(4), repeat=n_samples)))  # (64, S)
    p, f_s, score_s = q[batches].prod(axis=1), f[batches], score[batches]
    best = q @ (f[:, None] * score**2) / (q @ score**2)
    baselines = {
        "none": np.zeros((len(batches), n_samples, 1)),
        "optimal constant": np.broadcast_to(best, score_s.shape),
        "leave one out": ((f_s.sum(axis=1, keepdims=True) - f_s) / (n_samples - 1))[..., None],
        "own sample included": f_s.mean(axis=1)[:, None, None],
    }
    moments = ESTIMATORS.exact_moments(q, f, score, n_samples)
    for name, b in baselines.items():
        estimates = ((f_s[..., None] - b) * score_s).mean(axis=1)  # (64, 2)
        mean = p @ estimates
        np.testing.assert_allclose(moments[name][0], mean, rtol=1e-12)
        np.testing.assert_allclose(moments[name][1], p @ (estimates - mean) ** 2, rtol=1e-12)
    np.testing.assert_allclose(
        moments["own sample included"][0], moments["none"][0] * (1 - 1 / n_samples)
    )


def test_the_running_mean_has_the_variance_that_its_own_adds():
    q, f, score = ESTIMATORS.small_problem(L=3)
    rng = np.random.default_rng(0)
    codes = rng.choice(len(q), p=q, size=(200_000, 2))
    b, baseline = q @ f, np.empty(len(codes))
    for i, mean in enumerate(f[codes].mean(axis=1)):
        baseline[i] = b
        b = ESTIMATORS.DECAY * b + (1 - ESTIMATORS.DECAY) * mean
    estimates = ((f[codes] - baseline[:, None])[..., None] * score[codes]).mean(axis=1)
    exact = ESTIMATORS.exact_moments(q, f, score, 2)
    np.testing.assert_allclose(estimates.var(axis=0), exact["running mean"][1], rtol=0.03)


def test_the_pathwise_entry_is_the_models_own_gradient():
    vae = VAE(5, 2, (6,), "tanh", Binomial(4), dtype=np.float64)
    vae.theta += 0.3 * np.random.default_rng(0).standard_normal(vae.theta.shape)
    x, noise = np.array([0.0, 4.0, 1.0, 2.0, 3.0]), np.array([[0.3, -1.2]])
    _, path, _, kl = ESTIMATORS.digit_entries(vae, x, noise)
    _, grad = vae.loss_and_grad(vae.theta, x[None], noise)
    assert kl - path[0] == pytest.approx(vae.layout.views(grad)["encoder.1.b"][0], rel=1e-12)
    by_path, by_score = ESTIMATORS.digit_exact(vae, x, n=101)
    assert by_path == pytest.approx(by_score, rel=1e-9)


def test_gradient_estimators_run(tmp_path, monkeypatch, capsys):
    out, pictures = run(ESTIMATORS, tmp_path, monkeypatch, capsys)
    assert pictures == ["example_07_exact.png", "example_07_digits.png"]
    assert "own sample included  0.7500" in out
    assert "variance 0.00 without, 0.25 leave one out" in out


# --- 08: EM and its relatives ---------------------------------------------------------------------

EM = lesson("08")


def a_mixture():
    experts = [VAE(5, 2, (4,), "tanh", Binomial(3), seed=k, dtype=np.float64) for k in range(3)]
    mixture = EM.Mixture(experts)
    mixture.log_pi = np.log([0.5, 0.2, 0.3])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (6, 5)).astype(float)
    return mixture, x, mixture.draw(rng, 6)


def test_the_gradient_of_a_mixture_is_that_of_its_bound():
    """By complex step: the responsibilities may be held, for at the best ones the bound is flat."""
    mixture, x, noises = a_mixture()
    _, r, caches = mixture.forward(x, noises)
    assert np.allclose(r.sum(axis=1), 1)
    for k, expert in enumerate(mixture.experts):
        grad = EM.gradient(expert, r[:, k] / len(x), caches[k])
        direction = np.random.default_rng(k).standard_normal(grad.size)
        theta = expert.theta
        expert.theta = theta + 1e-30j * direction
        bound = mixture.forward(x, noises)[0].mean()
        expert.theta = theta
        assert grad @ direction == pytest.approx(-bound.imag / 1e-30, rel=1e-10)


def test_equal_experts_are_one_vae():
    mixture, x, noises = a_mixture()
    expert, noise = mixture.experts[0], noises[0]
    mixture.experts = [expert] * 3
    bound, r, caches = mixture.forward(x, [noise] * 3)
    loss, grad = expert.loss_and_grad(expert.theta, x, noise)
    assert -bound.mean() == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(r, np.exp(mixture.log_pi) * np.ones((6, 1)), rtol=1e-12)
    whole = EM.gradient(expert, np.full(6, 1 / 6), caches[0])
    np.testing.assert_array_equal(whole, grad)  # weights 1/N: VAE.backward to the bit


def test_a_step_of_the_mixture_raises_its_bound():
    mixture, x, noises = a_mixture()
    before = mixture.forward(x, noises)[0].mean()
    for _ in range(20):
        mixture.step(x, noises)
    assert mixture.forward(x, noises)[0].mean() > before + 0.1


def test_em_and_its_relatives_run(tmp_path, monkeypatch, capsys):
    out, pictures = run(EM, tmp_path, monkeypatch, capsys)
    assert pictures == [f"example_08_{name}.png" for name in ("em", "bars", "mixture")]
    em = next(line for line in out.splitlines() if "EM, 30" in line)
    below, smallest = (float(text.split()[0]) for text in (em.split(":")[1], em.split("step")[1]))
    assert -1e-10 < below < 1
    assert smallest > -1e-10
