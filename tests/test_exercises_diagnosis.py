"""Mistakes are called by their names, right solutions are called nothing."""

import itertools

import numpy as np
import pytest
from zoo_students import NAMES, ZOO, student

from numpyvae.exercises import reference
from numpyvae.exercises.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.compare import Fault
from numpyvae.exercises.diagnosis import name_mistakes
from numpyvae.exercises.judging import judge
from numpyvae.exercises.mistakes import MISTAKES, mistakes_of, plant
from numpyvae.exercises.perform import perform
from numpyvae.exercises.sandbox import Note, Outcome, calls_of

SEEDS = 20


def outcome_of(exercise, functions, seed):
    """What a student's functions give, in this process."""
    points = draw_points(exercise, seed)
    arrays, notes = {}, []
    with np.errstate(all="ignore"):
        perform(
            functions,
            calls_of(exercise, points),
            points,
            lambda name, array: arrays.update({name: np.array(array)}),
            lambda *note: notes.append(Note(*note)),
        )
    return Outcome(arrays, tuple(notes))


def judge_functions(number, functions, seed):
    exercise = EXERCISES[number]
    return judge(exercise, "", outcome_of(exercise, functions, seed), seed)


def judge_text(exercise, source, seed):
    points = draw_points(exercise, seed)
    return judge(exercise, source, reference.perform_trusted(exercise, source, points), seed)


@pytest.fixture(scope="module")
def first_names():
    """(bug, seed) -> the first name that is given to it."""
    found = {}
    for seed, bug in itertools.product(range(SEEDS), ZOO):
        verdict = judge_functions(*student(bug), seed)
        assert verdict.status == "fail", (bug.id, seed)
        found[bug.id, seed] = verdict.named[0].name if verdict.named else None
    return found


def test_the_zoo_is_all_there():
    """All 51 numbers, and three of the bugs that no gradient check can see."""
    assert {bug.number for bug in ZOO} == set(range(52))
    assert len(ZOO) == 69
    assert {m.name for m in MISTAKES}.issuperset(
        set(NAMES.values())
        - {"not deterministic", "accumulates", "changes its cache", "weight updated before use",
           "stale cache", "integer", "float32", None}
    )  # fmt: skip


def test_the_first_name_is_right_for_every_bug_of_the_zoo(first_names):
    """The bugs are functions of their own, not the changed solutions that they are held against."""
    for bug in ZOO:
        right = sum(first_names[bug.id, seed] == NAMES[bug.id] for seed in range(SEEDS))
        assert right >= 0.95 * SEEDS, (bug.id, bug.name)


# Right solutions written in other ways: other formulas, loops, other caches.


def dense_by_loops(x, W, b):
    y = np.zeros((len(x), W.shape[1]))
    for n, k in np.ndindex(*y.shape):
        y[n, k] = b[k] + sum(x[n, i] * W[i, k] for i in range(len(W)))
    return y, {"x": x.copy(), "W": W.copy()}


def dense_backward_by_einsum(dy, cache):
    x, W = cache["x"], cache["W"]
    return np.einsum("nk,ik->ni", dy, W), np.einsum("ni,nk->ik", x, dy), np.ones(len(dy)) @ dy


def relu_by_maximum(x):
    return np.maximum(x, 0), np.maximum(x, 0)


def relu_backward_by_writing(dy, y):
    dx = dy.copy()
    dx[y <= 0] = 0
    return dx


def sigmoid_by_branches(x):
    small = np.exp(-np.abs(x))
    p = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return p, p


def log_prob_by_logaddexp(x, logits):
    return np.sum(x * logits - np.logaddexp(0, logits), -1), (x, sigmoid_by_branches(logits)[0])


def reparameterize_by_square_root(mean, log_var, noise):
    sigma = np.sqrt(np.exp(log_var))
    return noise * sigma + mean, [noise, sigma / 2]


def kl_by_dimension(mean, log_var):
    kl = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var), axis=1)
    return kl, (mean, np.expm1(log_var))


def adam_in_one_line(theta, grad, m, v, t, learning_rate, beta1, beta2, epsilon):
    m, v = m + (1 - beta1) * (grad - m), v + (1 - beta2) * (grad * grad - v)
    rate = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return theta - rate * m / (np.sqrt(v) + epsilon * np.sqrt(1 - beta2**t)), m, v


def gaussian_by_precision(x, mean, log_var):
    precision = 1 / np.exp(log_var)
    squares = ((x - mean) * np.sqrt(precision)) ** 2
    return -0.5 * (squares + np.log(2 * np.pi / precision)).sum(-1), (x - mean, precision)


OTHER_WAYS = [
    (0, {"dense": dense_by_loops, "dense_backward": dense_backward_by_einsum}),
    (1, {
        "relu": relu_by_maximum, "relu_backward": relu_backward_by_writing,
        "tanh": lambda x: (np.tanh(x), x),
        "tanh_backward": lambda dy, x: dy * (1 - np.tanh(x)) * (1 + np.tanh(x)),
    }),
    (2, {
        "sigmoid": sigmoid_by_branches, "sigmoid_backward": lambda dp, p: dp * (p - p * p),
        "bernoulli_log_prob": log_prob_by_logaddexp,
        "bernoulli_log_prob_backward": lambda d, c: np.einsum("n,nd->nd", d, c[0] - c[1]),
    }),
    (3, {
        "reparameterize": reparameterize_by_square_root,
        "reparameterize_backward": lambda dz, c: (dz.copy(), c[0] * c[1] * dz),
    }),
    (4, {
        "kl_to_standard_normal": kl_by_dimension,
        "kl_to_standard_normal_backward": lambda d, c: tuple(
            d.reshape(-1, 1) * part for part in (c[0], 0.5 * c[1])
        ),
    }),
    (6, {"adam_step": adam_in_one_line}),
    (7, {
        "gaussian_log_prob": gaussian_by_precision,
        "gaussian_log_prob_backward": lambda d, c: (
            d[:, None] * c[0] * c[1], 0.5 * (d @ (c[0] ** 2 * c[1]) - d.sum())
        ),
    }),
]  # fmt: skip


def test_two_hundred_right_solutions_are_called_nothing():
    """Ours, and those written in other ways, at twelve seeds each.

    They pass; and even if their results are handed over as if they were wrong, none has a name.
    """
    judged = 0
    for seed in range(12):
        right = [(EXERCISES[number], outcome_of(EXERCISES[number], f, seed))
                 for number, f in OTHER_WAYS]  # fmt: skip
        right += [(e, reference.right(e.number, seed)) for e in EXERCISES]
        for exercise, outcome in right:
            verdict = judge(exercise, "", outcome, seed)
            assert verdict.status == "pass", (seed, exercise.file, verdict.faults)
            faults = [Fault(name, "value", "") for name in exercise.marks]
            if exercise.number in (0, 1, 3, 6) or seed < 1:  # the others have many pairs
                assert name_mistakes(exercise, outcome, seed, faults) == []
            judged += 1
    assert judged >= 200


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.slug)
def test_two_mistakes_at_once_are_both_named_or_neither_is(exercise):
    """Every fourth pair that can be made. One name alone would send a student the wrong way."""
    seed, pairs, both_named = 5, 0, 0
    for i, (first, wrong) in enumerate(mistakes_of(exercise)):
        for second, _ in mistakes_of(exercise)[i + 1 :: 4]:
            source = plant(wrong, second)
            if source is None:
                continue
            pairs += 1
            says = {said(n) for n in judge_text(exercise, source, seed).named}
            both = {said(first), said(second)}
            both_named += says == both
            if len(says) == 1 and len(both) == 2:  # two other names are an explanation, too
                assert hidden(exercise, source, seed), (first.name, second.name)
    assert pairs > 3
    assert both_named >= 0.6 * pairs


def said(mistake):
    """The sentence; or the name, where exercises say it in their own words."""
    return mistake.name if mistake.name == "changes an argument" else mistake.says


def hidden(exercise, source, seed):
    """Whether one mistake gives the same results: nobody can see then that there are two.

    (A gradient that is multiplied by zero is zero, whatever else is wrong with it.)
    """
    outcome = reference.perform_trusted(exercise, source, draw_points(exercise, seed))
    for _, single in reference.wrong(exercise.number, seed):
        same = single.arrays.keys() == outcome.arrays.keys() and all(
            a.shape == single.arrays[n].shape
            and np.allclose(a, single.arrays[n], rtol=1e-6, atol=0, equal_nan=True)
            for n, a in outcome.arrays.items()
        )
        if same:
            return True
    return False


def test_a_named_and_an_unnamed_mistake_at_once_are_not_named():
    """One gradient is wrong in a way that has a name, the other in a way that has none."""
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal((5, 3))
        functions = {
            "reparameterize": reparameterize_by_square_root,
            "reparameterize_backward": lambda dz, c, noise=noise: (
                dz * (1 + noise**2), 2 * c[0] * c[1] * dz
            ),
        }  # fmt: skip
        verdict = judge_functions(3, functions, seed)
        assert verdict.status == "fail"
        assert verdict.named == ()


@pytest.mark.parametrize("factor", [-1.0, 2.0, 0.2, 3.7])
def test_a_constant_is_read_off(factor):
    functions = {
        "dense": lambda x, W, b: (x @ W + b, (x, W)),
        "dense_backward": lambda dy, c: (factor * dy @ c[1].T, c[0].T @ dy, dy.sum(0)),
    }
    (named,) = judge_functions(0, functions, 1).named
    text = {-1.0: "-1", 2.0: "2", 0.2: "1/N", 3.7: "3.7"}[factor]
    assert named.says == f"dx is the right one times {text}"


def test_coefficients_are_read_off():
    """A mixture that has no name of its own: three times one term, and one that does not belong."""

    def backward(dz, cache):
        mean, log_var, noise = cache
        sigma = np.exp(0.5 * log_var)
        return dz, 1.5 * dz * noise * sigma + 0.25 * dz * mean

    functions = {
        "reparameterize": lambda m, v, e: (m + np.exp(0.5 * v) * e, (m, v, e)),
        "reparameterize_backward": backward,
    }
    says = [named.says for named in judge_functions(3, functions, 2).named]
    assert says == [
        "dlog_var contains 3 times dz noise sigma/2, where 1 is right",
        "dlog_var contains 0.5 times dz mean/2, where 0 is right",
    ]


def test_coefficients_are_read_off_inside_the_whole_model():
    """The student's own heads stand in the gradient of their weights."""
    source = solution("ex5_elbo.py").replace(
        "dlog_var = dlog_var_z + dlog_var_kl", "dlog_var = 3.0 * dlog_var_z - 2.0 * dlog_var_kl"
    )
    says = [named.says for named in judge_text(EXERCISES[5], source, 4).named]
    assert says == [
        "dlog_var contains 3 times dz noise sigma/2, where 1 is right",
        "dlog_var contains -2 times beta sigma^2/(2N), where 1 is right",
        "dlog_var contains 2 times beta/(2N), where -1 is right",
    ]


@pytest.mark.parametrize("mistake", MISTAKES[::2], ids=lambda m: f"{m.function}: {m.name}")
def test_nothing_is_named_that_is_off_by_a_thousandth(mistake):
    """Explained to 1e-6 or not at all: a mistake, and all its results off by 0.1 % of noise."""
    exercise = next(e for e in EXERCISES if mistake.function in e.marks)
    points = draw_points(exercise, 6)
    wrong = plant(solution(exercise.file), mistake)
    outcome = reference.perform_trusted(exercise, wrong, points)
    rng = np.random.default_rng(6)
    for name, array in outcome.arrays.items():
        repeats = ("/after/", "/after backward/", "/forward calls")
        if array.dtype.kind == "f" and not any(part in name for part in repeats):
            base = name.replace("/again/", "/").replace("/later/", "/")
            if base == name:
                factor = 1 + 1e-3 * rng.standard_normal(array.shape)
                for other in (name, *(name.replace("/", f"/{r}/", 2).replace(f"/{r}/", "/", 1)
                                      for r in ("again", "later"))):  # fmt: skip
                    if other in outcome.arrays:
                        outcome.arrays[other] = outcome.arrays[other] * factor
    verdict = judge(exercise, wrong, outcome, 6)
    habits = {"changes an argument"}
    assert {named.name for named in verdict.named} <= habits
