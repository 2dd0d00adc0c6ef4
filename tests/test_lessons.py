"""The lessons among the examples: their pieces against brute force, and each once from end to end.

In this process: a lesson is imported from its file, so nothing waits for another Python.
"""

import importlib.util
import itertools
import sys
from pathlib import Path

import make_gallery
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

    def small(figure, file, dpi, **how):
        savefig(figure, file, dpi=dpi if how else dpi / 3, **how)  # a film's size is fixed

    monkeypatch.setattr(Figure, "savefig", small)
    monkeypatch.setattr(sys, "argv", [module.__name__, str(folder), "--quick"])
    module.main()
    out = capsys.readouterr().out
    make_gallery.hold(module.__name__, out)
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_em_and_its_relatives_run(tmp_path, monkeypatch, capsys):
    out, pictures = run(EM, tmp_path, monkeypatch, capsys)
    assert pictures == [f"example_08_{name}.png" for name in ("em", "bars", "mixture")]
    em = next(line for line in out.splitlines() if "EM, 30" in line)
    below, smallest = (float(text.split()[0]) for text in (em.split(":")[1], em.split("step")[1]))
    assert -1e-10 < below < 1
    assert smallest > -1e-10


# --- 09: a film of training -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_film_runs(tmp_path, monkeypatch, capsys):
    out, pictures = run(lesson("09"), tmp_path, monkeypatch, capsys)
    assert pictures == ["example_09_film.png", "example_09_film.gif"]
    assert [line.split(":")[0] for line in out.splitlines()[:2]] == ["epoch   1", "epoch   2"]


# --- 10: amortised or refined ---------------------------------------------------------------------

REFINED = lesson("10")


def a_vae():
    vae = VAE(5, 2, (6,), "tanh", Binomial(4), dtype=np.float64)
    vae.theta += 0.5 * np.random.default_rng(0).standard_normal(vae.theta.shape)
    return vae, np.array([[0.0, 4.0, 1.0, 2.0, 3.0], [1.0, 1.0, 0.0, 4.0, 2.0]])


def test_the_elbo_of_the_encoders_own_answer_is_the_models():
    vae, x = a_vae()
    ours = REFINED.elbo_of(vae, x, vae.encode(x), np.random.default_rng(0), 5)
    rng = np.random.default_rng(0)
    weights = [vae.log_weight(vae.params, x, rng.standard_normal((2, 2))) for _ in range(5)]
    np.testing.assert_allclose(ours, np.mean(weights, axis=0), rtol=1e-12)


def test_the_contours_are_of_the_posterior():
    """Its mean by the grid is that by importance sampling, and contours hold what they say."""
    vae, x = a_vae()
    (first, second), density = REFINED.true_posterior(vae, x[0], (0.0, 0.0), 6.0)
    cell = (first[1] - first[0]) ** 2
    assert density.sum() * cell == pytest.approx(1, rel=1e-12)
    mean = np.array([(density * first).sum(), (density * second[:, None]).sum()]) * cell
    z = np.random.default_rng(0).standard_normal((100_000, 2))
    log_joint, _ = vae.log_joint(vae.params, np.broadcast_to(x[0], (len(z), 5)), z)
    weight = np.exp(log_joint + 0.5 * (z**2).sum(axis=1))
    np.testing.assert_allclose(mean, weight @ z / weight.sum(), atol=0.02)
    inside = density[density >= REFINED.highest_density(density, 0.68)].sum() * cell
    assert inside == pytest.approx(0.68, abs=0.01)


@pytest.mark.slow
def test_amortised_or_refined_runs(tmp_path, monkeypatch, capsys):
    out, pictures = run(REFINED, tmp_path, monkeypatch, capsys)
    assert pictures == ["example_10_gaps.png"]
    for line in out.splitlines()[:2]:
        words = line.replace(",", "").split()
        elbo, refined, log_px = (
            float(words[words.index(w) + 1]) for w in ("ELBO", "refined", "p(x)")
        )
        assert elbo < refined < log_px + 0.1


# --- 16: signal to noise of importance-weighted gradients -----------------------------------------

SNR = lesson("16")


def test_two_estimates_are_the_derivative_of_the_bound_and_one_is_not():
    """S = 2 in one dimension, averaged over the noise by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    noise = np.array(list(itertools.product(nodes, repeat=2)))[..., None]  # (1600, 2, 1)
    w = np.outer(weights, weights).ravel() / weights.sum() ** 2
    x, mean, h = np.array([1.3]), np.array([0.2]), 1e-5

    def bound(mean):
        return w @ SNR.gradients(*SNR.samples(x, mean, noise))[1]

    slope = (bound(mean + h) - bound(mean - h)) / (2 * h)
    means = {
        name: w @ values[:, 0]
        for name, values in SNR.gradients(*SNR.samples(x, mean, noise))[0].items()
    }
    assert means[SNR.STANDARD] == pytest.approx(slope, rel=1e-6)
    assert means[SNR.DOUBLY] == pytest.approx(slope, rel=1e-6)
    assert means[SNR.STICKING] > 1.2 * slope


def test_with_one_sample_the_gradient_is_known():
    rng = np.random.default_rng(0)
    x, mean = rng.standard_normal((2, SNR.D))
    moments, bound = SNR.measure(x, mean, 1, 4000, rng)
    for m, sd in moments.values():
        np.testing.assert_allclose(m, x - 2 * mean, atol=5 * sd.max() / np.sqrt(4000))
    assert bound < SNR.log_px(x)


def test_at_the_exact_posterior_the_bound_is_log_px_and_nothing_is_left_of_two_gradients():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SNR.D)
    parts = SNR.samples(x, x / 2, rng.standard_normal((3, 4, SNR.D)), variance=0.5)
    estimates, bound = SNR.gradients(*parts)
    np.testing.assert_allclose(bound, SNR.log_px(x), rtol=1e-12)
    assert np.abs(estimates[SNR.DOUBLY]).max() < 1e-14
    assert np.abs(estimates[SNR.STICKING]).max() < 1e-14
    assert np.abs(estimates[SNR.STANDARD]).max() > 0.01


@pytest.mark.slow
def test_signal_to_noise_runs(tmp_path, monkeypatch, capsys):
    out, pictures = run(SNR, tmp_path, monkeypatch, capsys)
    assert pictures == ["example_16_signal_to_noise.png"]
    assert [line.split(":")[0] for line in out.splitlines()[1:6]] == [
        f"S = {s:3}" for s in (1, 4, 16, 64, 256)
    ]
