"""Names for what students write and the catalogue does not know; and none where none is true."""

import numpy as np
import pytest
from test_exercises_diagnosis import ONE, SEEDS, judge_text
from test_exercises_said import said

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.habits import results_of
from numpyvae.exercises.judge.mistakes import MISTAKES, plant
from numpyvae.exercises.judge.own_noise import own_noise
from numpyvae.exercises.judge.reference import results_with


def verdict_on(number, *changes, head="", seed=ONE):
    """The verdict on a solution with the first place of each text changed."""
    source = solution(EXERCISES[number].file)
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new, 1)
    source = source.replace("import numpy as np\n", f"import numpy as np\n{head}", 1)
    return judge_text(EXERCISES[number], source, seed)


def names(number, *changes, head="", seed=ONE):
    return [n.name for n in verdict_on(number, *changes, head=head, seed=seed).named]


@pytest.mark.parametrize(
    ("number", "changes", "what"),
    [
        (4, [("dkl = dkl[:, None]", "")], "dkl"),
        (4, [("dkl = dkl[:, None]", "dkl = dkl[None, :]")], "dkl"),
        (4, [("dkl = dkl[:, None]", ""), ("dkl * mean", "mean * dkl")], "dkl"),
        (2, [("dlog_prob[:, None]", "dlog_prob")], "dlog_prob"),
        (2, [("dlog_prob[:, None] * (x - p)", "x - p; dlogits *= dlog_prob")], "dlog_prob"),
        (7, [("dlog_prob = dlog_prob[:, None]", "")], "dlog_prob"),
        (8, [("value = value[:, None]", "")], "value"),
    ],
)
def test_what_is_not_broadcast_is_named(number, changes, what):
    for seed in range(SEEDS):
        (named,) = verdict_on(number, *changes, seed=seed).named
        assert named.name == "not broadcast"
        assert named.says.startswith(f"{what} has the shape (")
        assert f"{what}[:, None]" in named.says


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (4, [("dkl * mean", "dkl * mean[:, :2]")]),  # two arrays of rows
        (4, [("dkl = dkl[:, None]", ""), ("0.5 * (mean**2", "(mean**2")]),  # and a wrong forward
        (8, [("(z - mean) ** 2 * np.exp(-log_var)\n    return",
              "(z - mean[:, None]) ** 2 * np.exp(-log_var)\n    return")]),
    ],
)  # fmt: skip
def test_other_shapes_that_do_not_fit_are_not_called_that(number, changes):
    assert names(number, *changes) == []


TRAINED = "params[name], *moments"
BY_LAYER = [
    ("dict(params)", "{name: p.copy() for name, p in params.items()}"),
    ("for name, (m, v) in moments.items():", "for name in ('decoder.1.W', 'decoder.1.b', "
     "'decoder.0.W', 'decoder.0.b', 'encoder.1.W', 'encoder.1.b', 'encoder.0.W', 'encoder.0.b'):\n"
     "            m, v = moments[name]\n"
     "            grads = negative_elbo_backward(1.0, cache)"),
    (TRAINED, "params[name][...], *moments"),
]  # fmt: skip


def test_weights_that_are_updated_inside_backward_are_named_in_training():
    assert names(9, *BY_LAYER) == ["weights updated inside backward"]
    assert names(9, *BY_LAYER[1:]) == ["changes an argument", "weights updated inside backward"]
    assert names(9, BY_LAYER[2]) == ["changes an argument"]


@pytest.mark.slow
def test_a_step_number_that_starts_at_zero_is_named_from_its_error():
    step = "i + 1, learning_rate"
    assert names(9, (step, "i, learning_rate")) == ["t counted from 0"]
    for other in ("i - 1, learning_rate", "i + 1, 1.0 / 0"):
        assert names(9, (step, other)) == []
    text = said(9, solution("ex9_vae.py").replace(step, "i, learning_rate"))
    assert "expected t = 1, 2, 3, ..., got 0 (line 3" in text


@pytest.mark.parametrize("bound", ["8", "17", "19.5", "20", "25", "28"])
def test_a_bound_of_the_sigmoid_is_named_as_long_as_it_shows(bound):
    """At 28, p is off by 7e-13, and only the gradient loses its marks."""
    for p in ("0.5 * (1.0 + np.tanh(0.5 * {}))", "1 / (1 + np.exp(-{}))"):
        clipped = p.format(f"np.clip(x, -{bound}, {bound})")
        (named,) = verdict_on(2, ("0.5 * (1.0 + np.tanh(0.5 * x))", clipped)).named
        assert named.name == "sigmoid's argument clipped"
        assert f"clipped at {bound}:" in named.says


@pytest.mark.parametrize("eps", ["1e-12", "1e-9", "1e-5"])
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ([("np.exp(-log_var)\n    log_prob", "1 / (np.exp(log_var) + EPS)\n    log_prob")],
         "epsilon added to the variance"),
        ([("    squares", "    var = np.exp(log_var) + EPS\n    squares"),
          ("residual**2 * np.exp(-log_var)", "residual**2 / var"),
          ("+ log_var +", "+ np.log(var) +")],
         "epsilon added to the variance"),
    ],
)  # fmt: skip
def test_an_epsilon_in_log_n_is_named_to_its_last_digits(eps, changes, name):
    (named,) = verdict_on(7, *((old, new.replace("EPS", eps)) for old, new in changes)).named
    assert named.name == name
    assert f"{float(eps):.3g} is added" in named.says


def test_small_differences_that_no_mistake_explains_have_no_name():
    """A gradient off by 1e-9, which looks numerical, and is no epsilon."""
    for number, old in (
        (2, "dx = dp * p * (1.0 - p)"),
        (7, "dmean = dlog_prob * residual * precision"),
    ):
        changed = (old, f"{old} * (1 + 1e-9 * np.cos(np.arange(7)))")
        assert names(number, changed) == []


def test_a_single_mistake_that_leaves_digits_over_is_not_named_alone():
    clipped = "np.tanh(0.5 * np.clip(logits, -18, 18)))"
    two = [("np.tanh(0.5 * logits))", clipped), ("x * logits - softplus", "softplus - x * logits")]
    assert names(2, *two) == ["logits clipped in the backward", "log p negated"]


OF_NOISE = {3: "    sigma = np.exp(0.5", 5: "    L = noise"}
MADE_OF_IT = [
    "np.abs(noise)", "noise[:, :1] + 0 * noise", "noise[:1] + 0 * noise", "noise / noise.std()",
    "noise**3", "noise[::-1]", "noise - noise.mean()", "noise - noise.mean(axis=0)",
    "np.roll(noise, 1, axis=1)", "noise.mean() - noise[::-1, ::-1]", "np.cumsum(noise, axis=0) / 2",
    "noise @ noise.T @ noise / 5", "np.sin(9 * noise)", "noise * noise[::-1]",
]  # fmt: skip


@pytest.mark.parametrize("noise", MADE_OF_IT)
@pytest.mark.parametrize("number", [3, 5])
def test_noise_that_is_made_of_the_noise_is_not_called_another(number, noise):
    """Whatever is calculated from it, at every seed: the results alone are looked at."""
    exercise = EXERCISES[number]
    (f,), old = exercise.functions, OF_NOISE[number]
    source = exercise.solution
    assert old in source
    wrong = source.replace(old, f"    noise = {noise}\n{old}", 1)
    for seed in range(40 if number == 3 else 5):
        points = draw_points(exercise, seed)
        outcome = reference.perform_trusted(exercise, wrong, points)
        given = (results_of(f, outcome), results_of(f, reference.right(exercise, seed)), outcome)
        assert not own_noise(exercise, f, points, *given), seed


@pytest.mark.parametrize(
    "noise", ["noise + DRAWN", "DRAWN - noise", "noise * DRAWN", "RNG.permutation(noise.T).T"]
)
def test_noise_that_is_drawn_and_made_of_the_noise_is_not_called_another(noise):
    noise = noise.replace("DRAWN", "RNG.standard_normal(noise.shape)")
    for seed in range(40):
        found = names(
            3, (OF_NOISE[3], f"    noise = {noise}\n{OF_NOISE[3]}"),
            head="RNG = np.random.default_rng(0)\n", seed=seed,
        )  # fmt: skip
        assert "noise not used" not in found, seed


KEPT = "KEPT = {}\n"
LATEST = [
    ("return y, (x, W)", "KEPT['cache'] = x, W\n    return y, None"),
    ("x, W = cache", "x, W = KEPT['cache']"),
]


@pytest.mark.parametrize(
    ("number", "head", "changes", "expected"),
    [
        (0, KEPT, LATEST, ["stale cache"]),  # of another shape, so that it ends in an error
        (0, "", [("x.T @ dy", "x.astype('f').T @ dy.astype('f')")], ["float32"]),
        (6, "", [("+ (1.0 - beta1) * grad", "+ (1.0 - beta1) * grad\n    m = m.astype('f')")],
         ["float32"]),
        (0, "", [("return dx, dW, db", "return db, dW, dx")], ["results exchanged"]),
        (0, "", [("dy.sum(axis=0)", "dy[1:].sum(axis=0)")], []),
        (0, "", [("y = x @ W + b", "y = np.round(x @ W + b, 2)")], []),
        (1, "", [("np.where(x > 0, x, 0.0)", "np.where(x > 0, x, 0.01 * x)")], []),
        (1, "", [("y = np.tanh(x)", "y = np.clip(x, -1, 1)")], []),
        (1, "", [("dx = dy * (x > 0)", "dx = dy * (np.maximum(x, 0) / x)")], []),
        (2, "", [("x * logits - softplus", "(x * logits - softplus) / np.log(2)")], []),
        (2, "", [("* (x - p)", "* (x - (logits > 0))")], []),
        (2, "", [("* (x - p)", "* (x - p) * 0")], []),
        (3, "", [("dlog_var = 0.5", "dz *= noise\n    dlog_var = 0.5")], []),
        (4, "", [("mean**2", "np.abs(mean)")], []),
        (5, "", [("    L = noise", "    noise = noise + 1\n    L = noise")], []),
        (5, "", [("    return grads", "    return {k: g.T for k, g in grads.items()}")], []),
        (6, "", [("return theta, m, v", "return theta, (m, v)")], []),
        (8, "", [("value = value[:, None]",
                  "value = (value - (value.sum() - value) / (len(value) - 1))[:, None]")], []),
        (9, "", [("in enumerate(batches)", "in enumerate(batches[:-1])")], []),
        (9, "", [("return sigmoid(logits)[0]", "return sigmoid(logits)[0] > 0.5")], []),
    ],
)  # fmt: skip
def test_names_of_what_students_write(number, head, changes, expected):
    for seed in range(SEEDS) if number < 9 else [ONE]:
        verdict = verdict_on(number, *changes, head=head, seed=seed)
        assert verdict.status == "fail"
        assert [n.name for n in verdict.named] == expected, seed


def test_log_sigma_in_the_model_is_not_called_noise_of_its_own():
    """At some seeds sigma noise looks as noise does, and explains the gradient of the heads."""
    for seed in (3, 8, 10, 12):
        found = names(
            5, ("reparameterize(mean, log_var,", "reparameterize(mean, 2 * log_var,"), seed=seed
        )
        assert found == ["log_var taken for log sigma in the sample"]


def test_a_function_without_a_cache_is_not_told_of_one():
    again = [("    return theta, m, v", "    KEPT.append(0)\n    return theta * len(KEPT), m, v")]
    texts = [fault.text for fault in verdict_on(6, *again, head="KEPT = []\n").faults]
    assert any("a second call" in text for text in texts)
    assert not any("cache" in text for text in texts)


def test_the_results_of_a_changed_solution_are_those_of_a_full_run():
    """`results_with` takes each function by itself; `perform` is what students meet."""
    exercise = EXERCISES[4]
    points, f = draw_points(exercise, 0), exercise.functions[0]
    mistake = next(m for m in MISTAKES if m.name == "mean doubled")
    made = results_with(exercise, f, plant(solution(exercise.file), mistake), points)
    mean, dkl = (points[f"{f.name}/0/{n}"] for n in ("mean", "dkl"))
    assert np.array_equal(made.arrays["0/dmean"], 2.0 * dkl[:, None] * mean)
    assert made.errors == frozenset()


BY_LOGS = "log_prob = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)"
LOG_PROB = "log_prob = (x * logits - softplus).sum(axis=1)"


@pytest.mark.parametrize("bound", ["12", "16", "18", "19"])
def test_a_bound_of_logits_is_not_called_one_of_p(bound):
    """A bound B does what clipping p at e^-B does: the rounder of the two is the likelier."""
    p = f"p = 1 / (1 + np.exp(-np.clip(logits, -{bound}, {bound})))"
    (named,) = verdict_on(2, (LOG_PROB, f"{p}\n    {BY_LOGS}")).named
    assert (named.name, f"clipped at {bound}:" in named.says) == ("logits clipped", True)


@pytest.mark.parametrize("eps", [np.finfo(np.float64).eps, np.finfo(np.float32).eps, 1e-10])
def test_the_epsilon_of_the_machine_is_not_called_a_bound(eps):
    clip = f"p = np.clip(1 / (1 + np.exp(-logits)), {eps}, 1 - {eps})"
    assert names(2, (LOG_PROB, f"{clip}\n    {BY_LOGS}")) == ["probabilities clipped"]
    added = ("np.exp(0.5 * log_var)\n", f"np.exp(0.5 * log_var) + {eps}\n")
    assert names(3, added) == ["epsilon added to sigma"]


def test_a_constant_is_not_read_off_results_of_another_shape():
    """Of (N, L) numbers where (N,) should be; an error would cost every other name."""
    points, right = draw_points(EXERCISES[4], ONE), {"1/kl": np.zeros(5)}
    fits = [m for m in MISTAKES if m.fit and m.function == "kl_to_standard_normal"]
    assert len(fits) > 3
    for mistake in fits:
        assert mistake.fitted(points, {"1/kl": np.zeros((5, 3))}, right) is None
