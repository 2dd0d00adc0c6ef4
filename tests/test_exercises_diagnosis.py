"""Mistakes are called by their names, right solutions are called nothing."""

import os

import numpy as np
import pytest
from bug_zoo import BUGS, OWN, student_of

from numpyvae.exercises.judge import reference
from numpyvae.exercises.judge.catalogue import EXERCISES, draw_points, solution
from numpyvae.exercises.judge.compare import Fault
from numpyvae.exercises.judge.diagnosis import name_mistakes
from numpyvae.exercises.judge.habits import results_of
from numpyvae.exercises.judge.judging import judge
from numpyvae.exercises.judge.mistakes import MISTAKES, mistakes_of, plant
from numpyvae.exercises.judge.tasks import calls_of
from numpyvae.exercises.sandbox.perform import perform
from numpyvae.exercises.sandbox.runner import Note, Outcome

SEEDS = int(os.environ.get("NUMPYVAE_SEEDS", "2"))  # at twenty, too, all of these tests passed
ONE = 1  # seed, where one will do: what is calculated for it is kept


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
    return judge(exercise, outcome_of(exercise, functions, seed), seed)


def judge_text(exercise, source, seed):
    points = draw_points(exercise, seed)
    return judge(exercise, reference.perform_trusted(exercise, source, points), seed)


KEPT_WRONGLY = [bug for bug in BUGS if bug.mistake in OWN]


@pytest.mark.parametrize("bug", KEPT_WRONGLY, ids=lambda bug: bug.name)
def test_what_is_kept_wrongly_has_its_name(bug):
    """The rest of the zoo are mistakes of the exercises, whose names `lint` proves."""
    assert len(KEPT_WRONGLY) == len(OWN)
    is_slow = bug.name == "secretly numeric"
    for seed in [ONE] if is_slow else range(SEEDS):
        verdict = judge_functions(*student_of(bug), seed)
        assert verdict.status == "fail"
        named = [n.name for n in verdict.named[:1]]
        assert named == ([] if is_slow else [bug.name]), seed


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


def test_right_solutions_are_called_nothing():
    """Ours, and those written in other ways: seventeen at each seed.

    They pass; and even if their results are handed over as if they were wrong, none has a name.
    """
    judged = 0
    for seed in range(SEEDS):
        right = [(EXERCISES[number], outcome_of(EXERCISES[number], f, seed))
                 for number, f in OTHER_WAYS]  # fmt: skip
        right += [(e, reference.right(e, seed)) for e in EXERCISES]
        for exercise, outcome in right:
            verdict = judge(exercise, outcome, seed)
            assert verdict.status == "pass", (seed, exercise.file, verdict.faults)
            faults = [Fault(name, "value", "") for name in exercise.marks]
            if exercise.number in (0, 1, 3, 6) or seed == ONE:  # the others have many pairs
                assert name_mistakes(exercise, outcome, seed, faults) == []
            judged += 1
    assert judged == 17 * SEEDS


def relu_of_the_output(dy, y):
    return dy * (dy > 0)


def kl_with_sigma(d, cache):
    mean, less = cache
    return d[:, None] * mean, d[:, None] * 0.5 * (np.sqrt(less + 1) - 1)


def adam_rootless(theta, grad, m, v, t, learning_rate, beta1, beta2, epsilon):
    m, v = m + (1 - beta1) * (grad - m), v + (1 - beta2) * (grad * grad - v)
    step = m * (1 - beta2**t) / (1 - beta1**t) / (v + epsilon * (1 - beta2**t))
    return theta - learning_rate * step, m, v


def dense_backward_by_rows(dy, cache):
    x, W = cache["x"], cache["W"]
    return np.stack([W @ row for row in dy]), sum(map(np.outer, x, dy)), sum(dy) / len(dy)


@pytest.mark.parametrize(
    ("way", "wrong", "name"),
    [
        (0, {"dense_backward": dense_backward_by_rows}, "db averaged"),
        (1, {"relu_backward": relu_of_the_output}, "relu mask of dy"),
        (1, {"tanh_backward": lambda dy, x: dy - dy * np.tanh(x)}, "tanh slope not squared"),
        (2, {"bernoulli_log_prob_backward": lambda d, c: -d.reshape(-1, 1) * (c[1] - c[0]) * 2},
         "stray factor 2"),
        (3, {"reparameterize_backward": lambda dz, c: (dz, 2 * dz * c[0] * c[1])}, "half missing"),
        (3, {"reparameterize_backward": lambda dz, c: (dz, 2 * dz * c[0] * c[1] ** 2)},
         "variance for sigma"),
        (4, {"kl_to_standard_normal_backward": kl_with_sigma}, "sigma for sigma^2 in log_var"),
        (5, {"adam_step": adam_rootless}, "root missing"),
        (6, {"gaussian_log_prob_backward": lambda d, c: (
            d[:, None] * c[0] * c[1], d @ (c[0] ** 2 * c[1]) - d.sum())},
         "half missing in the variance"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_name_however_it_is_written(way, wrong, name):
    """In other words and with another cache than those of the solution that it is held against."""
    number, right = OTHER_WAYS[way]
    for seed in range(SEEDS):
        assert [n.name for n in judge_functions(number, {**right, **wrong}, seed).named] == [name]


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.slug)
def test_two_mistakes_at_once_are_both_named_or_neither_is(exercise):
    """Two or three hundred pairs in all. One name alone would send a student the wrong way."""
    seed, pairs, both_named = ONE, 0, 0
    apart = max(1, 20 // SEEDS)
    for i, (first, wrong) in enumerate(mistakes_of(exercise)):
        for second, _ in mistakes_of(exercise)[i + 1 :: apart]:
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
    for f in exercise.functions:
        yours = results_of(f, outcome)
        singles = reference.single_mistakes(exercise, f, seed)
        # a constant of its own may account for two small ones
        fitted = reference.fitted_mistakes(exercise, f, seed, yours)
        for mistakes, single in (*singles, *fitted):
            if len(mistakes) == 1 and same(single.arrays, yours):
                return True
    return False


def same(a, b):
    return a.keys() == b.keys() and all(
        a[n].shape == b[n].shape and np.allclose(a[n], b[n], 1e-6, tiny(b[n]), equal_nan=True)
        for n in a
    )


def tiny(a):
    """What rounding leaves of a: a probability of e^-30 has few digits beside one of 1."""
    return 1e-13 * np.abs(a[np.isfinite(a)]).max(initial=0.0)


def test_a_named_and_an_unnamed_mistake_at_once_are_not_named():
    """One gradient is wrong in a way that has a name, the other in a way that has none."""
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal((5, 3))
        functions = {
            "reparameterize": reparameterize_by_square_root,
            "reparameterize_backward": lambda dz, c, noise=noise: (
                dz * (1 + noise**2),
                2 * c[0] * c[1] * dz,
            ),
        }
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
    says = [named.says for named in judge_functions(3, functions, ONE).named]
    assert says == [
        "dlog_var contains 3 times dz noise sigma/2, where 1 is right",
        "dlog_var contains 0.5 times dz mean/2, where 0 is right",
    ]


def test_coefficients_are_read_off_inside_the_whole_model():
    """The student's own heads stand in the gradient of their weights."""
    source = solution("ex5_elbo.py").replace(
        "dlog_var = dlog_var_z + dlog_var_kl", "dlog_var = 3.0 * dlog_var_z - 2.0 * dlog_var_kl"
    )
    says = [named.says for named in judge_text(EXERCISES[5], source, ONE).named]
    assert says == [
        "dlog_var contains 3 times dz noise sigma/2, where 1 is right",
        "dlog_var contains -2 times beta sigma^2/(2N), where 1 is right",
        "dlog_var contains 2 times beta/(2N), where -1 is right",
    ]


# One is named from the error that it ends in, whatever the numbers are.
BY_RESULTS = [m for m in MISTAKES if (m.function, m.name) != ("train", "t counted from 0")]


@pytest.mark.slow(keep=20)
@pytest.mark.parametrize(
    "mistake", BY_RESULTS[:: max(1, 8 // SEEDS)], ids=lambda m: f"{m.function}: {m.name}"
)
def test_nothing_is_named_that_is_off_by_a_thousandth(mistake):
    """Explained to 1e-6 or not at all: a mistake, and all its results off by 0.1 % of noise."""
    exercise = next(e for e in EXERCISES if mistake.function in e.marks)
    points = draw_points(exercise, ONE)
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
    verdict = judge(exercise, outcome, ONE)
    habits = {"changes an argument"}
    assert {named.name for named in verdict.named} <= habits


def changed(number, *changes, head="", seed=ONE):
    """The names that a solution has with some of its text changed, and each one's function."""
    source = solution(EXERCISES[number].file)
    start = source.index("import numpy as np\n")
    text = source[start:].replace("import numpy as np\n", f"import numpy as np\n{head}", 1)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return [(n.name, n.function) for n in judge_text(EXERCISES[number], text, seed).named]


LOG_PROB = "log_prob = (x * logits - softplus).sum(axis=1)"
BY_LOGS = "log_prob = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)"
BY_WHERE = "log_prob = np.where(x == 1, np.log(p), np.log(1 - p)).sum(axis=1)"


@pytest.mark.parametrize("log_prob", [BY_LOGS, BY_WHERE])
@pytest.mark.parametrize("p", ["1 / (1 + np.exp(-logits))", "0.5 + 0.5 * np.tanh(logits / 2)"])
def test_the_log_of_a_sigmoid_has_its_name_at_every_seed(p, log_prob):
    for seed in range(SEEDS if log_prob == BY_LOGS else 4):
        named = changed(2, (LOG_PROB, f"p = {p}\n    {log_prob}"), seed=seed)
        assert named == [("log of the sigmoid", "bernoulli_log_prob")], seed


@pytest.mark.parametrize("eps", ["1e-20", "2.22e-16", "1e-12", "1e-7", "3e-5", "0.01"])
def test_what_is_clipped_or_added_is_named_whatever_its_size(eps):
    """And one is not called the other, though a small constant does much the same in both."""
    p = "p = 1 / (1 + np.exp(-logits))"
    clipped = f"{p}\n    p = np.clip(p, {eps}, 1 - {eps})\n    {BY_LOGS}"
    by_sums = BY_LOGS.replace("(p)", f"(p + {eps})").replace("log(1 - p)", f"log(1 - p + {eps})")
    added = f"{p}\n    {by_sums}"
    for line, name in ((clipped, "probabilities clipped"), (added, "epsilon in the logarithm")):
        assert changed(2, (LOG_PROB, line)) == [(name, "bernoulli_log_prob")]


@pytest.mark.parametrize("bound", ["10", "15.5", "36.7", "500"])
def test_clipped_logits_are_named_whatever_the_bound(bound):
    line = f"logits = np.clip(logits, -{bound}, {bound})\n    softplus ="
    assert changed(2, ("softplus =", line)) == [("logits clipped", "bernoulli_log_prob")]


@pytest.mark.parametrize(
    ("number", "change", "name"),
    [
        (2, ("p = 0.5", "x = np.clip(x, -7.5, 7.5)\n    p = 0.5"), "sigmoid's argument clipped"),
        (2, ("(x - p)", "(x / (p + 1e-6) - (1 - x) / (1 - p + 1e-6)) * p * (1 - p)"),
         "epsilon in the backward"),
        (3, ("np.exp(0.5 * log_var)", "np.exp(0.5 * log_var) + 3e-5"), "epsilon added to sigma"),
        (3, ("np.exp(0.5 * log_var)", "np.sqrt(np.exp(log_var) + 1e-6)"),
         "epsilon added to sigma^2"),
        (4, ("- log_var)", "- np.log(np.exp(log_var) + 1e-10))"), "epsilon in the KL's logarithm"),
        (7, ("np.exp(-log_var)", "1 / (np.exp(log_var) + 1e-5)"), "epsilon added to the variance"),
    ],
)  # fmt: skip
def test_epsilons_elsewhere_are_named_whatever_their_size(number, change, name):
    assert [named for named, _ in changed(number, change)] == [name]


KEEPS = [
    ("m = beta1", "global M, V\n    m, v = M, V\n    m = beta1"),
    ("return theta, m, v", "M, V = m, v\n    return theta, m, v"),
]
DROPOUT = ("logits, _ = dense(h", "h = h * (RNG.random(h.shape) < 0.5)\n    logits, _ = dense(h")
DRAWN = "RNG.standard_normal(noise.shape)"
RANDOM = "RNG = np.random.default_rng(0)\n"


@pytest.mark.parametrize(
    ("number", "head", "changes", "name", "function"),
    [
        (6, "M = V = 0.0\n", KEEPS, "kept from call to call", "adam_step"),
        (0, "K = 0.0\n", [("    db =", "    global K\n    K = 0.9 * K + 1.0\n    db = K *")],
         "kept from call to call", "dense_backward"),
        (9, RANDOM, [("in enumerate(batches)", "in enumerate(RNG.permutation(batches))")],
         "differs from call to call", "train"),
        (9, RANDOM, [DROPOUT], "differs from call to call", "decode"),
        (1, RANDOM, [("y = np.tanh(x)", "y = np.tanh(x) * (RNG.random(x.shape) < 0.5)")],
         "differs from call to call", "tanh"),
        (3, RANDOM, [("sigma * noise", f"sigma * {DRAWN}")], "noise not used", "reparameterize"),
        (3, RANDOM, [("    z =", f"    noise = {DRAWN}\n    z =")],
         "noise not used", "reparameterize"),
        (3, "", [("    z =", f"    noise = np.random.default_rng(0){DRAWN[3:]}\n    z =")],
         "noise not used", "reparameterize"),
        (5, RANDOM, [("L = noise.shape[1]", f"L = noise.shape[1]; noise = {DRAWN}")],
         "noise not used", "negative_elbo"),
        (3, RANDOM, [("noise = cache", f"noise = cache\n    noise = {DRAWN}")],
         "not deterministic", "reparameterize_backward"),
    ],
)  # fmt: skip
def test_what_differs_from_call_to_call_is_called_what_it_is(number, head, changes, name, function):
    for seed in range(SEEDS) if number < 9 else [ONE]:
        assert changed(number, *changes, head=head, seed=seed) == [(name, function)]


def test_an_array_that_was_never_filled_is_no_cut_one():
    zeros = changed(0, ("db = dy.sum(axis=0)", "db = np.zeros(dy.shape[1], int)"))
    cut = changed(0, ("db = dy.sum(axis=0)", "db = dy.sum(axis=0).astype(int)"))
    assert (zeros, cut) == ([], [("integer", "dense_backward")])


def test_a_factor_that_comes_from_the_numbers_is_no_name():
    assert changed(3, ("dmean = dz\n", "dmean = dz * noise.mean()\n")) == []
    assert changed(3, ("dmean = dz\n", "dmean = dz * noise.mean() + 2.0 * dz * sigma\n")) == []


def test_a_weight_that_is_updated_too_early_is_named_in_the_whole_model():
    early = 'x1, W1 = decoder_1\n    W1 -= 0.01 * x1.T @ dlogits\n    dh, grads["decoder.1.W"]'
    assert changed(5, ('dh, grads["decoder.1.W"]', early)) == [
        ("weight updated before use", "negative_elbo_backward")
    ]
    late = "    W1 = decoder_1[1]\n    W1 *= 0.99\n    return grads"
    assert changed(5, ("    return grads", late)) == [
        ("changes an argument", "negative_elbo_backward")
    ]
