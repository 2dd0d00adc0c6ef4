"""The reproductions of published numbers: what can be held in seconds, without MNIST."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from numpyvae import VAE
from numpyvae.likelihoods import Gaussian
from numpyvae.models.autoencoder import Autoencoder

FOLDER = Path(__file__).parent.parent / "examples" / "reproduce"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import common

    yield common
    sys.modules.pop("common")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_compiles_and_says_what_it_does(path):
    source = path.read_text()
    compile(source, str(path), "exec")
    assert len(ast.get_docstring(ast.parse(source))) > 50
    if path.stem != "common":
        assert 'if __name__ == "__main__":\n    run(main' in source


def test_every_script_stands_in_the_document():
    text = (FOLDER.parents[1] / "docs" / "reproductions.md").read_text()
    for path in SCRIPTS:
        if path.stem != "common":
            assert f"examples/reproduce/{path.name}" in text


@pytest.mark.parametrize(
    ("published", "measured", "tolerance", "kind", "expected"),
    [
        (8.0, 8.1, 0.2, "within", "reproduced"),
        (8.0, 7.75, 0.2, "within", "missed"),
        (8.0, float("nan"), 0.2, "within", "missed"),
        (3.0, 2.9, 3.0, "below", "reproduced"),
        (None, 0.5, 0.4, "below", "missed"),
        (None, float("nan"), 0.4, "below", "missed"),
        (3.0, None, 3.0, "below", "not run"),
    ],
)
def test_verdict(common, published, measured, tolerance, kind, expected):
    assert common.verdict(common.Row("q", published, measured, tolerance, kind)) == expected


def test_a_row_without_a_standard_is_an_error(common):
    with pytest.raises(ValueError, match="'within' of a published number or 'below' a limit"):
        common.verdict(common.Row("q", None, 1.0, 0.1))


def test_table(common):
    rows = [common.Row("error", 8.01, 8.0, 0.2), common.Row("gap", None, 2.0, 1.0, "below")]
    heading, rule, first, second = common.table(rows).splitlines()
    cells = [cell.strip() for cell in heading.split("|")]
    assert cells == ["quantity", "published", "measured", "tolerance", "verdict"]
    assert set(rule) == {"-", "|"}
    assert [cell.strip() for cell in first.split("|")][1:] == ["8.01", "8", "+- 0.2", "reproduced"]
    assert [cell.strip() for cell in second.split("|")][1:] == ["-", "2", "<= 1", "missed"]


def tiny():
    return Autoencoder(6, 2, (5,), "tanh", Gaussian(0.5), seed=3)


def run(common, model, path, **options):
    x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    options = {"epochs": 6, "batch_size": 16, "schedule": common.cosine(1e-2, 1e-4), **options}
    return common.train(model, x, checkpoint=path, **options)


@pytest.mark.parametrize("stop_after", [1, 4])
def test_resuming_gives_the_same_bits(common, tmp_path, capsys, stop_after):
    whole = tiny()
    straight = run(common, whole, None)
    path = tmp_path / "below" / "run.npz"
    assert len(run(common, tiny(), path, stop_after=stop_after)) == stop_after
    resumed = tiny()
    records = run(common, resumed, path)
    np.testing.assert_array_equal(resumed.theta, whole.theta)
    assert [r["loss"] for r in records] == [r["loss"] for r in straight]
    assert f"resumed run.npz after epoch {stop_after}" in capsys.readouterr().out
    finished = tiny()
    assert run(common, finished, path) == records  # nothing is left to do
    np.testing.assert_array_equal(finished.theta, whole.theta)


def test_a_stop_between_two_records_loses_nothing(common, tmp_path):
    whole, path = tiny(), tmp_path / "run.npz"
    run(common, whole, None, every=2)
    run(common, tiny(), path, every=2, stop_after=3)
    resumed = tiny()
    run(common, resumed, path, every=2)
    np.testing.assert_array_equal(resumed.theta, whole.theta)


def test_a_checkpoint_of_another_plan_is_refused(common, tmp_path):
    path = tmp_path / "run.npz"
    run(common, tiny(), path, stop_after=1)
    with pytest.raises(ValueError, match="is from another training"):
        run(common, tiny(), path, epochs=7)


def test_rows_with_moments(common, rng):
    data = rng.standard_normal((30, 5)) @ rng.standard_normal((5, 5)) + 2.0
    mean, covariance = data.mean(axis=0), np.cov(data.T, bias=True)
    rows = common.rows_with_moments(mean, covariance)
    assert rows.shape == (6, 5)
    np.testing.assert_allclose(rows.mean(axis=0), mean, atol=1e-12)
    np.testing.assert_allclose(np.cov(rows.T, bias=True), covariance, atol=1e-12)


def test_moments_of_pixels(common, rng):
    x = rng.integers(0, 256, (40, 7), dtype=np.uint8)
    mean, covariance = common.moments(x)
    np.testing.assert_allclose(mean, (x / 255).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x.T / 255, bias=True), atol=1e-12)


def test_cosine(common):
    rate = common.cosine(1e-2, 1e-4)
    assert rate(0.0) == pytest.approx(1e-2)
    assert rate(0.5) == pytest.approx(0.5 * (1e-2 + 1e-4))
    assert rate(1.0) == pytest.approx(1e-4)


def test_a_killed_run_of_stages_goes_on_to_the_same_bits(common, tmp_path, monkeypatch, capsys):
    import burda_table_1 as burda

    x = np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8)
    monkeypatch.setattr(burda, "new_model", lambda _: VAE(6, 2, (5,), "tanh", seed=3))
    whole = burda.train(1, 3, x, tmp_path / "whole", 10)
    save, saves = VAE.save, iter(range(5))

    def save_or_die(model, path):
        if next(saves, None) is None:
            raise KeyboardInterrupt
        save(model, path)

    monkeypatch.setattr(VAE, "save", save_or_die)
    with pytest.raises(KeyboardInterrupt):
        burda.train(1, 3, x, tmp_path / "killed", 2)
    assert (tmp_path / "killed" / "burda_k1_stage_1.npz").exists()  # it died in stage 2
    monkeypatch.setattr(VAE, "save", save)
    resumed = burda.train(1, 3, x, tmp_path / "killed", 2)
    np.testing.assert_array_equal(resumed.theta, whole.theta)
    assert resumed.epochs_trained == 1 + 3 + 9
    rate = 1e-3 * 10 ** (-2 / 7)
    assert resumed.optimizer.learning_rate == pytest.approx(rate, rel=1e-15)
    assert "stage 2, pass 13 of 13" in capsys.readouterr().out
    sys.modules.pop("burda_table_1")


# The command lines.


@pytest.fixture
def script(common):
    """A reproduction as a module, by its name."""
    import importlib

    imported = []

    def load(name):
        imported.append(name)
        return importlib.import_module(name)

    yield load
    for name in imported:
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("burda_table_1 --samples 3", "invalid choice: "),
        ("burda_table_1 --now --work nowhere", "burda_k1.npz: train first, without --now"),
        ("gradient_estimators --draws 2", "at least 3, got 2"),
        ("hinton_salakhutdinov --logistic-epochs 0", "at least 1, got 0"),
        ("signal_to_noise --batches 1", "at least 2, got 1"),
        ("semi_supervised_mnist --images 50", "at least 1000, got 50"),
        ("tutorial_network --epochs one", "expected a whole number, at least 1, got one"),
        ("tutorial_network --work nowhere", "unrecognized arguments: --work"),
        ("denoising_score --work nowhere", "unrecognized arguments: --work"),
    ],
)
def test_a_bad_option_gives_a_line(script, monkeypatch, capsys, command, said):
    name, *options = command.split()
    module = script(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
    with pytest.raises(SystemExit) as stop:
        module.main()
    usage, line = capsys.readouterr().err.splitlines()
    assert (stop.value.code, usage) == (2, f"usage: {name}.py [options]")
    assert line.startswith(f"{name}.py: error: ")
    assert said in line


def test_zero_skips_what_may_be_skipped(common):
    parser = common.arguments(None, least={"refined": 0}, refined=1000)
    assert parser.parse_args(["--refined", "0"]).refined == 0


@pytest.mark.parametrize("checkpoints", [True, False])
def test_ctrl_c_ends_a_script_with_a_line(common, capsys, checkpoints):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        common.run(main, checkpoints)
    assert stop.value.code == 130
    goes_on = "; the same command goes on from the last checkpoint, if there is one"
    assert capsys.readouterr().err == f"interrupted{goes_on * checkpoints}\n"


def test_without_mnist_the_folder_that_lacks_it_is_named(common, monkeypatch, capsys):
    def load_mnist():
        raise OSError("could not download")

    monkeypatch.setattr(common, "load_mnist", load_mnist)
    monkeypatch.setenv("NUMPYVAE_DATA", "/nonexistent")
    assert common.mnist_or_none() is None
    said = "Skipped, MNIST is not at hand, not in /nonexistent (NUMPYVAE_DATA) either: could not "
    assert capsys.readouterr().out == f"{said}download\n"


# The variances of gradient estimators, and signal to noise.


def test_the_exact_variances_are_those_of_quadrature(script):
    estimators = script("gradient_estimators")
    noise, weight = np.polynomial.hermite_e.hermegauss(20)  # exact to degree 39; these have 12
    weight = weight / weight.sum()
    for mu, s, k in estimators.CASES:
        exact = estimators.exact(mu - k, s)
        found = estimators.estimates(mu, s, k, noise)
        assert found.keys() == exact.keys()
        for name, values in found.items():
            mean = weight @ values
            assert mean == pytest.approx(2 * (mu - k if "dmu" in name else s), abs=1e-12)
            assert weight @ (values - mean) ** 2 == pytest.approx(exact[name], rel=1e-9)


def test_a_variance_is_measured_with_its_standard_error(script, common):
    estimators = script("gradient_estimators")
    rows = estimators.rows(estimators.CASES[:1], 40_000)
    assert [common.verdict(row) for row in rows] == ["reproduced"] * 7
    # Of 2 s noise, a Gaussian of variance v = 4 s^2, the standard error is v sqrt(2 / n).
    found = estimators.measured(1.0, 0.5, 0.0, 40_000)["d/dmu pathwise"]
    assert found[2] == pytest.approx(np.sqrt(2 / 40_000), rel=0.05)


def test_the_signal_to_noise_is_that_of_known_moments(script):
    noise = script("signal_to_noise")
    mean, variance = np.array([3.0, 4.0]), np.array([0.5, 1.5])
    moments = {name: np.stack([mean, variance]) for name in noise.PUBLISHED}
    moments[noise.STANDARD] = np.stack([9.0 * mean, 4.0 * variance])
    ratios = noise.ratios(moments, n=4)
    length = np.sqrt(25.0 - 2.0 / 4)
    expected = {noise.STANDARD: length / np.sqrt(8.0), noise.DOUBLY: length / np.sqrt(2.0)}
    assert ratios == pytest.approx({**expected, noise.DECODER: length / np.sqrt(2.0)})


def test_the_slopes_have_their_signs_in_a_small_run(script, common):
    noise = script("signal_to_noise")
    slopes, ratios = noise.slopes((16, 64, 256), 40, 2)
    for name, published in noise.PUBLISHED.items():
        assert slopes[name].mean() == pytest.approx(published, abs=0.15)
    assert ratios.shape == (3, 3)
    assert noise.disagreement(4, 400) < 5.0


def test_the_decoders_gradient_is_that_of_the_bound(script):
    """d bound_K / d mu by central differences, where z - mu stands for z in the prior."""
    noise, rng = script("signal_to_noise"), np.random.default_rng(0)
    x, mean = noise.problem()
    draws = rng.standard_normal((1, 5, len(x)))

    def bound(mu):
        log_weight, _, _ = noise.LESSON["samples"](x, mean, draws)
        z = mean + np.sqrt(noise.LESSON["VARIANCE"]) * draws
        change = -0.5 * ((z - mu) ** 2 - z**2).sum(axis=-1)
        return float(noise.LESSON["iw_bound"](log_weight + change)[0][0])

    step = 1e-5 * np.eye(len(x))[0]
    central = (bound(step) - bound(-step)) / 2e-5
    found = noise.moments(x, mean, 5, 1, _Once(draws))
    assert found[noise.DECODER][0][0] == pytest.approx(central, rel=1e-6)


class _Once:
    """A generator that draws what it was given."""

    def __init__(self, draws):
        self.draws = draws

    def standard_normal(self, shape):
        return self.draws.reshape(shape)
