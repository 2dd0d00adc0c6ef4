"""Which check catches which bug of the zoo, and which bugs each check cannot see.

Everything here is measured, none of it is taken over from elsewhere: where a number differs from
what one reads about such bugs, the number here is the one that holds for this package.
"""

import math
import os
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from bug_zoo import (
    BUG,
    BUGS,
    OWN,
    Point,
    Student,
    check_bug,
    default_point,
    generic_point,
    gradient_at,
    program,
    relative_error,
    train,
)

from numpyvae import VAE, Adam, Bernoulli, Binomial, Gaussian
from numpyvae.gaussian import kl_to_standard_normal
from numpyvae.gradient_check import central_difference, check_grad, check_vjp, complex_step
from numpyvae.numerics import logsumexp

BACKWARD = [bug for bug in BUGS if 1 <= bug.number <= 44]
SILENT = [bug for bug in BACKWARD if bug.caught_by == "gradient check"]  # all but the shape error
STATE = [bug for bug in BUGS if 45 <= bug.number <= 50]
OPTIMISER = [bug for bug in BUGS if bug.number == 51]
UNSEEN = [bug for bug in BUGS if bug.number == 0]

SEEDS = int(os.environ.get("NUMPYVAE_SEEDS", "2"))
EXACT = 1e-12  # relative: closer to complex step than this is the same gradient


def bugs(chosen):
    return pytest.mark.parametrize("bug", chosen, ids=lambda bug: bug.id.replace(" ", "-"))


# --- the zoo itself -------------------------------------------------------------------------------


def test_the_zoo_is_complete():
    assert {bug.number for bug in BUGS} == set(range(52))
    assert len(BUG) == len(BUGS)
    assert len(BACKWARD) == 52
    assert len(OPTIMISER) == 6
    assert len(UNSEEN) == 4
    assert [bug.id for bug in BUGS if bug.mistake is None] == ["nll-sign"]
    assert {m.name for m in OWN} <= {bug.name for bug in BUGS}
    assert {bug.caught_by for bug in BUGS} == {
        "gradient check",
        "shapes",
        "state test",
        "optimiser test",
        "bound",
        "extremes",
        "exact",
    }


def test_the_bugs_are_counted_in_one_way():
    """70 planted, 51 of them silent in a backward pass: the pages say the numbers of the zoo."""
    docs = Path(__file__).parent.parent / "docs"
    first = (docs / "gradient_checking.md").read_text(encoding="utf-8")
    assert f"[{len(BUGS)} planted bugs]" in first
    assert f"{len(SILENT)} of the {len(BUGS)} silently give" in first
    measured = (docs / "gradient_checking_measured.md").read_text(encoding="utf-8")
    assert f"plant {len(BUGS)} bugs" in measured
    assert {line.split(" | ")[0][2:] for line in measured.splitlines()} >= {b.id for b in BUGS}
    assert f"measured on {len(BUGS)} planted bugs" in (docs.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_right_program_is_the_package(activation):
    """So that the mistakes are the only difference between a student's gradient and a right one."""
    p = generic_point(activation=activation)
    loss, grad = p.vae.loss_and_grad(p.theta, p.x, p.noise)
    yours, gradient = Student(None, p.vae).loss_and_grad(p.theta, p.x, p.noise)
    assert yours == pytest.approx(loss, rel=1e-15)
    assert relative_error(gradient, grad) < 1e-15
    assert relative_error(grad, complex_step(p.loss, p.theta)) < EXACT


def test_programs_share_nothing():
    p = generic_point()
    before = gradient_at(None, p)
    for bug in BUGS:
        if bug.caught_by in ("gradient check", "state test"):
            q = generic_point(bug)
            np.testing.assert_array_equal(gradient_at(bug, q), gradient_at(bug, q))
    np.testing.assert_array_equal(gradient_at(None, p), before)


# --- caught by the gradient check -----------------------------------------------------------------


@cache
def verdict_at(where, bug, method="auto"):
    """check_grad's at generic_point or default_point."""
    return check_bug(bug, where(bug), method=method).verdict


@pytest.mark.parametrize("method", ["auto", "central"])
@bugs(SILENT)
def test_the_gradient_check_fails_on(bug, method):
    assert verdict_at(generic_point, bug, method) == "fail"


@bugs([BUG["1"], BUG["36a"], BUG["41b"]])
def test_the_gradient_check_passes_the_right_program_at_each_point(bug):
    assert check_bug(None, generic_point(bug)).verdict == "pass"


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradient_check_passes_the_package(activation):
    p = generic_point(activation=activation)
    right = p.vae.loss_and_grad(p.theta, p.x, p.noise)[1]
    for method in ("complex", "central"):
        assert check_grad(p.loss, p.theta, right, method=method).verdict == "pass"


@bugs([BUG["41a"]])
def test_a_wrong_shape_is_an_error_before_any_gradient_check(bug):
    p = generic_point(bug)
    with pytest.raises(ValueError, match="broadcast"):
        gradient_at(bug, p)


def dense_check(bug):
    """check_vjp of one layer that is not square, N = 5."""
    rng, names = np.random.default_rng(0), program(bug)
    x, W, b = (rng.standard_normal(shape) for shape in ((5, 3), (3, 4), 4))
    return check_vjp(names["dense"], names["dense_backward"], (x, W, b))


def test_what_hides_in_a_square_layer_shows_in_another():
    assert dense_check(None).verdict == "pass"
    for bug, shapes in (("37", ("(4, 3)", "(3, 4)")), ("41a", ("(5,)", "(4,)"))):
        report = dense_check(BUG[bug])
        assert report.verdict == "fail"
        assert all(shape in " ".join(report.reasons) for shape in shapes)
    with pytest.raises(ValueError, match="matmul"):
        dense_check(BUG["38"])


# --- no false alarms ------------------------------------------------------------------------------

LIKELIHOODS = (
    Bernoulli(),
    Binomial(5),
    Gaussian(0.5),
    Gaussian("shared"),
    Gaussian("per_dimension"),
)


def random_configuration(seed):
    """A tiny VAE of any kind at random parameters, with random data."""
    rng = np.random.default_rng(seed)
    likelihood = LIKELIHOODS[seed % len(LIKELIHOODS)]
    n, d, latent = (int(k) for k in rng.integers(1, 5, 3))
    hidden = [int(width) for width in rng.integers(1, 5, rng.integers(0, 4))]
    activation = str(rng.choice(["relu", "leaky_relu", "tanh", "sigmoid", "softplus"]))
    beta = float(rng.choice([0.0, 0.3, 1.0, 4.0]))
    vae = VAE(d, latent, hidden, activation, likelihood, beta, seed, np.float64)
    theta = rng.uniform(0.1, 1.0) * rng.standard_normal(vae.layout.size)
    if isinstance(likelihood, Gaussian):
        x = rng.standard_normal((n, d))
    else:
        x = rng.integers(0, likelihood.total_count + 1, (n, d)).astype(float)
    return vae, theta, x, vae.draw_noise(rng, n)


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("block", range(2 * SEEDS))
def test_right_configurations_raise_no_alarm(block):
    """Forty; there was none in a hundred (NUMPYVAE_SEEDS=5)."""
    for seed in range(10 * block, 10 * block + 10):
        vae, theta, x, noise = random_configuration(seed)
        report = check_grad(
            lambda theta: vae.loss(theta, x, noise),  # noqa: B023  (used at once)
            theta,
            lambda theta: vae.loss_and_grad(theta, x, noise),  # noqa: B023
            names=vae.layout,
        )
        assert report.verdict == "pass", f"seed {seed}, {vae.config()}\n{report}"


# --- the point of the check matters more than its tolerance ---------------------------------------

# At the generic point every bug is seen by every judge. At a default initialisation (weights of
# standard deviation 0.01, zero biases, beta = 1) these are not:

UNSEEN_AT_DEFAULT = {
    # complex step, 1e-12: beta = 1 hides its own absence, and nothing else is hidden
    "complex step": "20a 20b",
    # check_grad as it comes (rtol=1e-6): what is small beside the largest slope is compared, too
    "check_grad": "20a 20b",
    # np.allclose(grad, central difference): rtol=1e-5, atol=1e-8. sigma = 1, mean = 0 and h = 0
    # up to 1e-4, so that sigma^2 is sigma, and 1 - a^2 is 1 - tanh(a)^2
    "np.allclose": "2 3 20a 20b 36b",
    # rtol=1e-4, atol=1e-5
    "1e-4": "2 3 6 20a 20b 36a 36b 43a 44",
    # rtol=1e-3, atol=1e-4
    "1e-3": "1 2 3 4 6 7 8 20a 20b 24 36a 36b 36c 37 38 43a 43b 44",
    # rtol=1e-2, atol=1e-3: the gradients of the encoder are smaller than the tolerance
    "1e-2": "1 2 3 4 5 6 7 8 9 10 11 12 15 16a 16b 18 19 20a 20b 22 23 24 25 36a 36b 36c 37 38 "
    "43a 43b 44",
}

TOLERANCES = {
    "np.allclose": (1e-5, 1e-8),
    "1e-4": (1e-4, 1e-5),
    "1e-3": (1e-3, 1e-4),
    "1e-2": (1e-2, 1e-3),
}


TRUTHS = {}


def truth(p, slope=complex_step):
    """The package's own gradient at a point, kept: many bugs share a point."""
    key = slope, repr(p.vae.config()), *(a.tobytes() for a in (p.theta, p.x, p.noise))
    if key not in TRUTHS:
        TRUTHS[key] = slope(p.loss, p.theta)
    return TRUTHS[key]


def judges_that_pass(bug, where):
    """The names of those in UNSEEN_AT_DEFAULT that do not see the bug at generic_point or
    default_point.
    """
    p = where(bug)
    grad = gradient_at(bug, p)
    passed = set()
    if relative_error(grad, truth(p)) < EXACT:
        passed.add("complex step")
    if verdict_at(where, bug) == "pass":
        passed.add("check_grad")
    for name, (rtol, atol) in TOLERANCES.items():
        if np.allclose(grad, truth(p, central_difference), rtol=rtol, atol=atol):
            passed.add(name)
    return passed


@pytest.fixture(scope="module")
def passed_at_default():
    return {bug.id: judges_that_pass(bug, default_point) for bug in SILENT}


@pytest.mark.slow
@pytest.mark.parametrize("judge", UNSEEN_AT_DEFAULT)
def test_what_goes_unseen_at_a_default_initialisation(judge, passed_at_default):
    unseen = [name for name, passed in passed_at_default.items() if judge in passed]
    assert unseen == UNSEEN_AT_DEFAULT[judge].split()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("where", [default_point, generic_point])
def test_every_judge_passes_right_gradients(where, activation):
    point = partial(where, activation=activation)
    assert judges_that_pass(None, point) == set(UNSEEN_AT_DEFAULT)


@bugs(SILENT)
def test_at_a_generic_point_a_tolerance_of_one_percent_would_do(bug):
    """1e-2 at a generic point sees what 1e-5 at the default one does not: all of them."""
    assert judges_that_pass(bug, generic_point) == set()


def unseen_by_complex_step(bugs_, **changes):
    points = [(bug, generic_point(bug, **changes)) for bug in bugs_]
    errors = {bug.id: relative_error(gradient_at(bug, p), truth(p)) for bug, p in points}
    unseen = [name for name, error in errors.items() if error < EXACT]
    # What is seen is seen clearly: nothing lies between rounding and 1 %.
    assert min(error for error in errors.values() if error >= EXACT) > 0.01
    return unseen


def test_nothing_hides_at_the_generic_point():
    assert unseen_by_complex_step(SILENT) == []


def test_beta_one_hides_a_missing_beta():
    assert unseen_by_complex_step(SILENT, beta=1.0) == ["20a", "20b"]


def test_a_batch_of_one_hides_every_factor_n():
    """Five of the single bugs. (41b needs N = H, and has no such point.)"""
    able = [bug for bug in SILENT if bug.id != "41b"]
    assert unseen_by_complex_step(able, n=1) == ["21", "26a", "26b", "40", "42"]


def test_a_default_initialisation_can_raise_a_false_alarm():
    """Zero biases and small weights put ReLU's kinks within the step of a central difference.

    np.allclose calls the right gradient wrong; check_grad, by complex step, does not.
    """
    p = default_point(seed=3)
    right = p.vae.loss_and_grad(p.theta, p.x, p.noise)[1]
    assert not np.allclose(right, central_difference(p.loss, p.theta))
    assert check_grad(p.loss, p.theta, right).verdict == "pass"


# --- the bugs differ ------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_all_bugs_are_pairwise_distinct_at_the_generic_point(activation):
    """From one another and from the truth, so that a wrong gradient names its bug."""
    other = {"relu": "tanh", "tanh": "relu"}[activation]
    p = generic_point(activation=activation)
    gradients = {
        bug.id: gradient_at(bug, p)
        for bug in SILENT
        if not bug.function.startswith(other) and bug.id != "41b"
    }
    gradients["the truth"] = truth(p)
    assert len(gradients) == 1 + 50 - (4 if activation == "relu" else 3)
    for (a, first), (b, second) in combinations(gradients.items(), 2):
        assert relative_error(first, second) > 1e-6, f"{a} and {b} give the same gradient"


def test_the_bias_over_the_wrong_axis_is_like_no_other_either():
    p = generic_point(BUG["41b"])
    gradients = [gradient_at(bug, p) for bug in SILENT if bug.number not in (36, 41)]
    wrong = gradient_at(BUG["41b"], p)
    assert min(relative_error(wrong, gradient) for gradient in gradients) > 1e-6


# --- state ----------------------------------------------------------------------------------------


def state_complaints(bug):
    """What a test of the gradient function's manners finds, whatever the gradient is worth."""
    p, complaints = generic_point(), set()
    student, theta = Student(bug, p.vae), p.theta.copy()
    first = np.array(student.grad(theta, p.x, p.noise))
    if not np.array_equal(theta, p.theta):
        complaints.add("theta changed")
    if not np.allclose(student.grad(p.theta.copy(), p.x, p.noise), first, rtol=1e-12):
        complaints.add("second call differs")
    if student.grad(p.theta.copy(), p.x, p.noise).dtype != p.theta.dtype:
        complaints.add("dtype")
    other = np.array(student.grad(p.theta.copy(), 1.0 - p.x, p.noise))
    alone = Student(bug, p.vae).grad(p.theta.copy(), 1.0 - p.x, p.noise)
    if not np.allclose(other, alone, rtol=1e-12):
        complaints.add("other data")
    if forward_passes(student, p) != 1:
        complaints.add("forward passes")
    return complaints


def forward_passes(student, p):
    forward = mock.Mock(wraps=student.names["negative_elbo"])
    student.names["negative_elbo"] = forward
    student.grad(p.theta.copy(), p.x, p.noise)
    return forward.call_count


STATE_COMPLAINTS = {
    "45": {"second call differs", "other data"},
    "47": {"theta changed"},
    "48": {"other data"},
    "49a": {"dtype"},
    "49b": {"dtype"},
    "50": {"forward passes"},
}


@bugs([bug for bug in STATE if bug.number != 46])
def test_the_state_test_catches(bug):
    assert state_complaints(bug) == STATE_COMPLAINTS[bug.id]


def test_the_state_test_finds_new_noise_too_and_nothing_in_the_package():
    assert state_complaints(None) == set()
    assert state_complaints(BUG["8"]) == {"second call differs", "other data"}


@pytest.mark.parametrize(
    ("bug", "complaint"), [("46a", "changes its input in place"), ("46b", "changes its cache")]
)
def test_check_vjp_catches_what_is_changed_in_place(bug, complaint):
    x = np.random.default_rng(0).standard_normal((5, 4))

    def complaints(bug):
        names = program(bug)
        report = check_vjp(names["relu"], names["relu_backward"], (x,))
        return report.verdict, " ".join(report.reasons)

    verdict, reasons = complaints(BUG[bug])
    assert verdict == "fail"
    assert complaint in reasons
    assert complaints(None) == ("pass", "")


def test_a_read_only_array_catches_it_as_well():
    x = np.random.default_rng(0).standard_normal((5, 4))
    x.flags.writeable = False
    program(None)["relu"](x)
    with pytest.raises(ValueError, match="read-only"):
        program(BUG["46a"])["relu"](x)


GRADIENT_CHECK_OF_STATE = {
    "45": ("fail", "second call of grad doubles the first"),
    "47": ("fail", "changes theta in place"),
    "48": ("pass", ""),  # one theta, one batch: the cache is not yet stale
    "49a": ("fail", "int64"),
    "49b": ("fail", "float32"),
    "50": ("pass", "looks like a numerical one"),
}


@bugs([bug for bug in STATE if bug.number != 46])
def test_what_a_gradient_check_says_of_state(bug):
    report = check_bug(bug, generic_point())
    verdict, words = GRADIENT_CHECK_OF_STATE[bug.id]
    assert report.verdict == verdict
    assert words in " ".join(report.reasons + report.warnings)


def test_a_stale_cache_fails_a_gradient_check_at_a_second_point():
    p = generic_point()
    grad = Student(BUG["48"], p.vae).grad
    first = grad(p.theta, p.x, p.noise)
    second = grad(p.theta, 1.0 - p.x, p.noise)
    np.testing.assert_array_equal(first, second)  # x1's gradient, for x2
    report = check_grad(
        lambda theta: p.vae.loss(theta, 1.0 - p.x, p.noise),
        p.theta,
        lambda theta: grad(theta, 1.0 - p.x, p.noise),
    )
    assert report.verdict == "fail"


def test_what_the_buffers_cost():
    """Never zeroed: twice the gradient. float32: 1e-8. Numeric: 1e-10. Honest: 1e-16."""
    p = generic_point()
    truth = complex_step(p.loss, p.theta)
    grad = Student(BUG["45"], p.vae).grad
    first = grad(p.theta, p.x, p.noise).copy()
    np.testing.assert_array_equal(grad(p.theta, p.x, p.noise), 2.0 * first)
    assert 1e-9 < relative_error(gradient_at(BUG["49b"], p), truth) < 1e-7
    assert 1e-12 < relative_error(gradient_at(BUG["50"], p), truth) < 1e-8
    assert relative_error(gradient_at(None, p), truth) < 1e-15


# --- optimiser ------------------------------------------------------------------------------------


def first_step(bug, gradient):
    """Adam's first step in units of the learning rate; right: 1, whatever the gradient."""
    zero = np.zeros(1)
    step = program(bug)["adam_step"]
    theta, _, _ = step(zero, np.array([gradient]), zero, zero, 1, 1e-3, 0.9, 0.999, 1e-8)
    return -theta[0] / 1e-3


FIRST_STEPS = {  # at gradients 2 and 1e-4
    "51a": (math.sqrt(10.0), math.sqrt(10.0)),
    "51b": (0.1, 0.1),
    "51c": (1.0 / math.sqrt(0.001), 1.0 / math.sqrt(0.001)),
    "51d": (0.1 / 0.19 / math.sqrt(0.001 / 0.001999), 0.1 / 0.19 / math.sqrt(0.001 / 0.001999)),
    "51e": (0.5, 1e4 / 2.0),  # 1 / |g|, of which epsilon = 1e-8 takes a half at g^2 = 1e-8
    "51f": (1.0, math.sqrt(0.5)),  # unseen where the gradient is large
}


@bugs(OPTIMISER)
def test_adams_first_step_catches(bug):
    steps = [first_step(bug, gradient) for gradient in (2.0, 1e-4)]
    assert steps == pytest.approx(FIRST_STEPS[bug.id], rel=4e-3)
    assert max(abs(step - 1.0) for step in steps) > 0.25
    right = [first_step(None, gradient) for gradient in (2.0, 1e-4)]
    assert right == pytest.approx([1.0, 1.0], rel=2e-4)


@bugs(OPTIMISER)
def test_the_packages_adam_catches(bug):
    """Gradients of many sizes, for a few steps, beside the published update."""

    def paths_agree(bug):
        rng, step = np.random.default_rng(0), program(bug)["adam_step"]
        scales = 10.0 ** np.arange(-5, 2)
        adam, ours, theta, m, v = Adam(), *np.zeros((4, 7))
        for t in range(1, 21):
            gradient = scales * rng.standard_normal(7)
            adam.step(ours, gradient)
            theta, m, v = step(
                theta, gradient, m, v, t, adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon
            )
        return np.allclose(ours, theta, rtol=1e-9, atol=1e-15)

    assert not paths_agree(bug)
    assert paths_agree(None)


# --- what a gradient check cannot see -------------------------------------------------------------


@bugs(UNSEEN)
def test_the_gradient_check_passes_what_is_wrong_in_forward_and_backward(bug):
    """That is the lesson: the gradient is right. It is the gradient of the wrong thing."""
    p = generic_point()
    assert check_bug(bug, p).verdict == "pass"
    student = Student(bug, p.vae)
    grad = student.grad(p.theta, p.x, p.noise)
    for slope, error in ((complex_step, 1e-9), (central_difference, 1e-6)):
        yours = slope(lambda theta: student.loss(theta, p.x, p.noise), p.theta)
        assert np.allclose(grad, yours, rtol=100.0 * error, atol=error)
        assert relative_error(grad, yours) < error


def thermometer(d):
    """All d + 1 binary vectors of k ones before d - k zeros: one number tells everything."""
    return np.tril(np.ones((d + 1, d)), -1)


def exact_log_likelihood(vae, x):
    """log p(x) = log integral p(x|z) N(z; 0, 1) dz, L = 1, by the trapezoidal rule: (N,)."""
    z = np.linspace(-10.0, 10.0, 8001)
    logits, _ = vae.decoder.forward(vae.layout.views(vae.theta), z[:, None])  # (grid, D)
    log_px = x @ logits.T - np.logaddexp(0.0, logits).sum(axis=1)  # (N, grid)
    log_pz = -0.5 * (z * z + math.log(2.0 * math.pi))
    return logsumexp(log_px + log_pz, axis=1) + math.log(z[1] - z[0])


def expected_elbo(student, x):
    """The ELBO (N,) with the expectation over the noise done by Gauss-Hermite quadrature, L = 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    losses = [
        [student.loss(student.vae.theta, row[None], np.full((1, 1), node)) for node in nodes]
        for row in x
    ]
    return -np.array(losses) @ (weights / weights.sum())


@cache
def bound_violation(bug, steps=1000):
    """Train, then mean over the data of ELBO - log p(x): above zero is impossible for a bound."""
    x = thermometer(8)
    vae = VAE(8, 1, (8,), "tanh", Bernoulli(), dtype=np.float64)
    train(bug, vae, x, steps, learning_rate=0.02)
    return expected_elbo(Student(bug, vae), x) - exact_log_likelihood(vae, x)


@bugs([bug for bug in UNSEEN if bug.caught_by == "bound"])
def test_the_bound_catches(bug):
    """Training finds the hole: an "ELBO" half a nat and more above what it should bound."""
    assert bound_violation(bug).mean() > 0.4
    assert bound_violation(None).max() < 0.0


def test_the_right_code_keeps_the_bound_at_any_parameters(rng):
    x = thermometer(5)
    vae = VAE(5, 1, (6,), "tanh", Bernoulli(), dtype=np.float64)
    for scale in (0.1, 0.5, 1.0, 2.0):
        vae.theta[...] = scale * rng.standard_normal(vae.layout.size)
        assert (expected_elbo(Student(None, vae), x) - exact_log_likelihood(vae, x)).max() < 0.0


def sample_and_its_distribution(bug):
    """50,000 draws of z, the mean and log_var they should have, and their analytic KL."""
    rng = np.random.default_rng(0)
    mean, log_var = np.array([0.5, -1.0, 0.0]), np.array([-2.0, 0.5, 1.0])
    z, _ = program(bug)["reparameterize"](mean, log_var, rng.standard_normal((50_000, 3)))
    kl, _ = kl_to_standard_normal(mean[None], log_var[None])
    return z, mean, log_var, float(kl[0])


def moments_are_right(bug):
    z, mean, log_var, _ = sample_and_its_distribution(bug)
    sigma = np.exp(0.5 * log_var)
    error = 5.0 / math.sqrt(len(z))
    return bool(
        (np.abs(z.mean(axis=0) - mean) < error * sigma).all()
        and (np.abs(z.std(axis=0) / sigma - 1.0) < error).all()
    )


def monte_carlo_kl_agrees(bug):
    z, mean, log_var, kl = sample_and_its_distribution(bug)
    log_q = -0.5 * (log_var + (z - mean) ** 2 * np.exp(-log_var)).sum(axis=1)
    terms = log_q + 0.5 * (z * z).sum(axis=1)
    return bool(abs(terms.mean() - kl) < 5.0 * terms.std() / math.sqrt(len(terms)))


@bugs([bug for bug in UNSEEN if bug.caught_by == "bound"])
def test_the_moments_and_a_monte_carlo_kl_catch(bug):
    for is_right in (moments_are_right, monte_carlo_kl_agrees):
        assert not is_right(bug)
        assert is_right(None)


def extreme_values(bug):
    """log p(x = 0) and its gradient at logits 37 and 1e4. Exact: minus the logit, and -1."""
    names, logits = program(bug), np.array([[37.0], [1e4]])
    value, kept = names["bernoulli_log_prob"](np.zeros((2, 1)), logits)
    return value, names["bernoulli_log_prob_backward"](np.ones(2), kept)[:, 0]


def test_extreme_values_catch_clipped_probabilities():
    bug = BUG["clipped"]
    value, slope = extreme_values(bug)
    np.testing.assert_allclose(value, math.log(1e-15), rtol=1e-2)  # -34.5, whatever the logit
    np.testing.assert_array_equal(slope, [0.0, 0.0])  # dead: it will never learn otherwise
    value, slope = extreme_values(None)
    np.testing.assert_allclose(value, [-37.0, -1e4], rtol=1e-15)
    np.testing.assert_allclose(slope, [-1.0, -1.0], rtol=1e-15)


def test_a_dead_cross_entropy_agrees_with_its_own_differences():
    """At logits of 37 and more, too: 0 is the gradient of a constant."""
    bug, p = BUG["clipped"], generic_point()
    p.vae.layout.views(p.theta)["decoder.1.b"][:2] = 60.0
    p.x[:, :2] = 0.0
    assert check_bug(bug, p).verdict == "pass"
    dead = p.vae.layout.views(gradient_at(bug, p))["decoder.1.b"][:2]
    alive = p.vae.layout.views(gradient_at(None, p))["decoder.1.b"][:2]
    np.testing.assert_allclose(dead, 0.0)
    np.testing.assert_allclose(alive, 1.0)


def test_an_exact_reference_catches_the_sign_of_get_nll():
    """The bug "nll-sign": in what is reported of a model whose program and gradient are right."""
    x = thermometer(8)
    vae = VAE(8, 1, (8,), "tanh", Bernoulli(), dtype=np.float64)
    exact = -exact_log_likelihood(vae, x)
    wrong = vae.log_likelihood(x, 1000, np.random.default_rng(0))
    np.testing.assert_allclose(-wrong, exact, rtol=0.02)
    assert (wrong < 0).all()  # and so a test that asserts "nll < 0" is content
    assert not np.allclose(wrong, exact, rtol=0.02)


# --- a falling loss proves nothing ----------------------------------------------------------------


def test_a_falling_loss_proves_nothing():
    """Bug 7: log_var never hears of the reconstruction. The loss falls as a loss should."""
    x = thermometer(16)
    vae, right = (VAE(16, 2, (16,), "tanh", Bernoulli(), dtype=np.float64) for _ in range(2))
    losses = train(BUG["7"], vae, x, 400, learning_rate=0.005)
    smooth = losses.reshape(4, 100).mean(axis=1)
    assert (np.diff(smooth) < 0).all()
    assert smooth[-1] < 0.75 * smooth[0]
    p = Point(vae, vae.theta, x, vae.draw_noise(np.random.default_rng(1), len(x)))
    assert check_bug(BUG["7"], p).verdict == "fail"
    assert relative_error(gradient_at(BUG["7"], p), complex_step(p.loss, p.theta)) > 0.1
    # What it costs shows only beside the right gradient.
    assert train(None, right, x, 400, learning_rate=0.005)[-100:].mean() < smooth[-1] - 0.1
