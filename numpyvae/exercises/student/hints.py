"""Hints in steps: a question, what to look at, and finally the line of the derivation.

The diagnosis chooses: a mistake with a name begins with its own question, and goes on with the
steps of the function it is in. Which step a student has reached is kept in the folder
(.hints.json).
"""

from __future__ import annotations

import json
from pathlib import Path

from numpyvae.data.files import atomic_write
from numpyvae.exercises.judge.catalogue import Exercise
from numpyvae.exercises.judge.judging import Verdict
from numpyvae.exercises.student import hints_part_two

__all__ = ["HINTS", "ladder", "next_hint", "steps_of"]

_DENSE = "docs/derivations/layers.md, The decoder, backward: Dense"
_ACTIVATION = "docs/derivations/layers.md, The decoder, backward: activations"
_LIKELIHOOD = "docs/derivations/backward.md, The likelihood, backward"
_SAMPLE = "docs/derivations/sample.md, Route 2: the sample"
_KL = "docs/derivations/backward.md, Route 1: the KL"
_SCREEN = "docs/derivations/sample.md, The whole screen in plain NumPy"
_ADAM = "docs/derivations/adam.md, Adam"
_GAUSSIAN = "docs/derivations/likelihoods.md, Gaussian"
_SCORE = "docs/derivations/reparameterization.md, Why differentiate through the sample"
_FINITE = "docs/derivations/finite.md, Numbers that stay finite"

HINTS: dict[str, tuple[str, str, str]] = {
    "dense": (
        "Which shape must y have, and which product of x (N, n_in) and W (n_in, n_out) has it?",
        "b (n_out,) is added to every row: NumPy broadcasts it.",
        f"y[n, k] = sum_i x[n, i] W[i, k] + b[k], so y = x @ W + b. ({_DENSE})",
    ),
    "dense_backward": (
        "W[i, k] appears in y[n, k] for every n. What happens to gradients where paths meet?",
        "Write y[n, k] = sum_i x[n, i] W[i, k] + b[k], differentiate one entry, and read the sum "
        "over the repeated index as a matrix product. The shapes allow only one order.",
        f"dx = dy W^T, dW = x^T dy, db = sum_n dy_n. ({_DENSE})",
    ),
    "relu": (
        "Which entries of x stay, and which become 0?",
        "np.where(condition, a, b) takes a where the condition holds, else b.",
        f"relu(x) = x where x > 0, else 0; keep in the cache where x > 0. ({_ACTIVATION})",
    ),
    "relu_backward": (
        "What is the slope of relu at x = 2, and at x = -2?",
        "Each entry is independent: dx is dy times the slope at that entry of x.",
        f"dx = dy where x > 0, else 0. ({_ACTIVATION})",
    ),
    "tanh": (
        "NumPy has this function. What does it give at 800?",
        "Think about what backward will need: the derivative can be written with y alone.",
        f"y = np.tanh(x), and y is a good cache. ({_ACTIVATION})",
    ),
    "tanh_backward": (
        "What is the derivative of sinh(x) / cosh(x)?",
        "Each entry is independent: dx is dy times the slope, and cosh^2 - sinh^2 = 1.",
        f"dx = dy (1 - y^2), y = tanh(x). ({_ACTIVATION})",
    ),
    "sigmoid": (
        "Which of e^x and e^-x overflows at x = 10,000, and which at -10,000?",
        "One of NumPy's functions has the same S shape as the sigmoid and never overflows.",
        f"1 / (1 + e^-x) = (1 + tanh(x/2)) / 2. ({_FINITE})",
    ),
    "sigmoid_backward": (
        "What is the derivative of 1 / (1 + e^-x)?",
        "It can be written with p alone: e^-x / (1 + e^-x)^2.",
        f"dx = dp p (1 - p). ({_LIKELIHOOD})",
    ),
    "bernoulli_log_prob": (
        "Which of the two formulas in the file never takes the logarithm of 0?",
        "log(1 + e^a) = max(a, 0) + log(1 + e^-|a|), and np.log1p(u) is log(1 + u). Over which "
        "axis does the sum go?",
        f"log p = sum_d (x_d a_d - log(1 + e^a_d)), a = logits. ({_FINITE})",
    ),
    "bernoulli_log_prob_backward": (
        "What is the derivative of log(1 + e^a) with respect to a?",
        "Each logit is in one term of one example, so there is nothing to sum. Each row is "
        "then weighted by its dlog_prob: what shape must that have to multiply an (N, D) array?",
        f"dlogits = dlog_prob (x - sigmoid(logits)), row by row. ({_LIKELIHOOD})",
    ),
    "reparameterize": (
        "log_var = log sigma^2. What is sigma?",
        "sigma = exp(log_var / 2), not exp(log_var). Which arrays will backward need?",
        "z = mean + exp(log_var / 2) * noise. (docs/derivations/forward.md, The sample)",
    ),
    "reparameterize_backward": (
        "How far does z move if the mean moves by 1? And if sigma does?",
        "Two steps lead to log_var: d z / d sigma = noise, and then d sigma / d log_var.",
        f"d mean = dz, d log_var = dz noise sigma / 2, with forward's own noise. ({_SAMPLE})",
    ),
    "kl_to_standard_normal": (
        "What must the KL be at mean = 0, log_var = 0?",
        "sigma^2 = exp(log_var), log sigma^2 = log_var; the sum goes over the latent dimensions.",
        "KL = 1/2 sum_l (mean^2 + exp(log_var) - 1 - log_var). "
        "(docs/derivations/forward.md, The KL in closed form)",
    ),
    "kl_to_standard_normal_backward": (
        "Which of the four terms contain the mean, and which contain log_var?",
        "Differentiate each term; d exp(log_var) / d log_var = exp(log_var). Then multiply each "
        "row by its dkl, (N, 1).",
        f"d mean = dkl mean, d log_var = dkl (exp(log_var) - 1) / 2. ({_KL})",
    ),
    "negative_elbo": (
        "The task lists the forward pass line by line. Which function of `given` is each line?",
        "heads (N, 2L): the first L columns are mean. Every function returns (value, cache).",
        f"loss = mean_n(beta KL_n - log p(x_n|z_n)). ({_SCREEN})",
    ),
    "negative_elbo_backward": (
        "By how many routes does log_var affect the loss? And the mean?",
        "Go through forward from the last line to the first; each becomes its _backward, with its "
        "own cache. loss = mean_n(...): what is d loss / d log_px[n], and d loss / d kl[n]? Add "
        "the gradients of both routes.",
        f"dlog_px = -dloss/N, dkl = beta dloss/N, d heads = (dz-route + KL-route). ({_SCREEN})",
    ),
    "adam_step": (
        "After the first step from m = 0, how far is m from the gradient? What corrects that?",
        "Four lines, in the order of the formula: m, v, the two corrected ones, theta. Return "
        "m and v, not the corrected ones.",
        f"theta - learning_rate m_hat / (sqrt(v_hat) + epsilon). ({_ADAM})",
    ),
    "gaussian_log_prob": (
        "What is log N(0; 0, 1)? It is -log(2 pi)/2, about -0.9189.",
        "Three terms in the bracket; 1/sigma^2 = exp(-log_var). Over which axis does the sum go?",
        f"-1/2 sum_d (log(2 pi) + log_var_d + (x_d - mean_d)^2 exp(-log_var_d)). ({_GAUSSIAN})",
    ),
    "gaussian_log_prob_backward": (
        "Which two terms contain log_var? Do all examples share log_var?",
        "d exp(-log_var) / d log_var = -exp(-log_var). The log-variances are shared by N examples.",
        "d mean = dlog_prob (x - mean)/sigma^2, d log_var = sum_n dlog_prob_n ((x - mean)^2/"
        f"sigma^2 - 1)/2. ({_GAUSSIAN})",
    ),
    "log_q": (
        "It is the log-density of exercise 7. What is z here, and what is x there?",
        "mean and log_var (L,) are the same for all draws.",
        f"-1/2 sum_l (log(2 pi) + log_var_l + (z_l - mean_l)^2 exp(-log_var_l)). ({_SCORE})",
    ),
    "score_function_gradient": (
        "Does this estimator need the derivative of f?",
        "z is held fixed: differentiate log q with respect to mean and log_var as in exercise 7, "
        "but do not sum over the draws.",
        f"value_s (z_s - mean)/sigma^2 and value_s ((z_s - mean)^2/sigma^2 - 1)/2. ({_SCORE})",
    ),
    "pathwise_gradient": (
        "Which earlier exercise is this? df takes the place of dz.",
        "z = mean + sigma noise: d z / d mean = 1, d z / d log_var = noise sigma/2.",
        f"df and df noise sigma/2. ({_SAMPLE})",
    ),
    "variance_of_mean": (
        "How does the variance of a mean of S independent draws compare with that of one?",
        "np.var divides by S unless ddof=1 is given.",
        f"sum_s (g_s - mean)^2 / (S - 1) / S. ({_SCORE})",
    ),
    "train": (
        "What must be remembered from one step to the next?",
        "Keep three things from step to step: the parameters, and the m and v of each. t counts "
        "from 1. Work on a copy of the dict.",
        f"loss, then gradient, then adam_step for each parameter, with t = i + 1. ({_ADAM})",
    ),
    "decode": (
        "It is the second half of exercise 5's forward pass. What makes a logit a probability?",
        "dense, tanh, dense, sigmoid; each function of `given` returns (value, cache).",
        "sigmoid(dense(tanh(dense(z)))). "
        "(docs/derivations/forward.md, The decoder and log p(x given z))",
    ),
}


def steps_of(exercise: Exercise, function: str) -> tuple[str, ...]:
    """The hints for a function; empty if it has none."""
    if exercise.folder:
        return tuple(exercise.hints.get(function, ()))
    return HINTS.get(function, ()) or hints_part_two.HINTS.get(function, ())


def ladder(verdict: Verdict) -> list[str]:
    """The hints for what is wrong or undone, the gentlest first. Empty if all passes."""
    if not verdict.faults:
        return []
    first = verdict.faults[0]
    if first.kind in ("error", "form", "stopped", "absent") and not verdict.named:
        return [
            f"Before the formula, fix this: {first.text}",
            *steps_of(verdict.exercise, first.function)[1:],
        ]
    asked = [named.asks for named in verdict.named]
    functions = [named.function for named in verdict.named]
    function = (functions or [verdict.faults[0].function])[0]
    steps = list(steps_of(verdict.exercise, function))
    return [*asked, *steps[1:]] if asked else steps


def next_hint(folder: Path, verdict: Verdict) -> str:
    """The next hint for this exercise, and its number: "hint 2 of 3: ...".

    Another mistake, or another function, begins again. The last hint stays.
    """
    steps = ladder(verdict)
    if not steps:
        passes = "passes: it needs no hint" if not verdict.faults else "has no hints"
        return f"{verdict.exercise.file} {passes}."
    path, number = folder / ".hints.json", str(verdict.exercise.number)
    reached = _reached(path)
    key, step = steps[0], 0
    if number in reached and reached[number][0] == key:
        step = min(reached[number][1] + 1, len(steps) - 1)
    reached[number] = (key, step)
    with atomic_write(path) as file:
        file.write(json.dumps(reached).encode())
    last = " (the last)" if step + 1 == len(steps) else ""
    return f"hint {step + 1} of {len(steps)}{last}: {steps[step]}"


def _reached(path: Path) -> dict[str, tuple[str, int]]:
    """Exercise -> the hint's key and its step; empty if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(n): (str(key), max(0, int(step))) for n, (key, step) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
