"""Mistakes in the likelihoods: exercises 2 and 7."""

from __future__ import annotations

from numpyvae.exercises.judge.mistakes.constants import (
    of_argument,
    of_bound,
    of_bound_in_backward,
    of_clip,
    of_clip_in_backward,
    of_log_var_in_log_n,
    of_noise_floor,
    of_precision,
    of_quotient,
    of_quotient_of_slope,
    of_sum,
)
from numpyvae.exercises.judge.mistakes.kinds import (
    LOG_SIGMA,
    Mistake,
    Patch,
    in_function,
    overflowing,
    unused,
    unweighted,
    with_any,
)

__all__ = ["LIKELIHOODS"]

_P = "p = 0.5 * (1.0 + np.tanh(0.5 * logits))"
_P_BY_EXP = "p = 1.0 / (1.0 + np.exp(-logits))"
_LOG_PROB = "log_prob = (x * logits - softplus).sum(axis=1)"
_BY_LOGS = "log_prob = (x * np.log(p) + (1.0 - x) * np.log(1.0 - p)).sum(axis=1)"
_BY_P = "(x / p - (1.0 - x) / (1.0 - p)) * p * (1.0 - p)"
_LOG_OF_SIGMOID = (
    "the logarithm of a sigmoid is taken: p rounds to 0 or 1, and log(0) is -inf",
    "What is sigmoid(40.0) in floating point, and what is log(1 - sigmoid(40.0))?",
)
_BACKWARD_BY_P = (
    "x/p - (1 - x)/(1 - p) times p (1 - p) is right on paper, but 0/0 once p rounds to 0 or 1: "
    "dlogits = dlog_prob (x - p)",
    "What is left of your formula if you cancel p and 1 - p by hand?",
)


def _capped(what: str, cost: str = "") -> tuple[str, str]:
    return (
        f"{what}: a logit of 10,000 on the wrong side costs 10,000 nats{cost}",
        "With x = 0 and a logit of 10,000, what is log p by the second formula?",
    )


_CLIPPED = _capped("probabilities are clipped at 1e-15", ", and not -log(1e-15)")
_ADDED = _capped("1e-08 is added inside the logarithm", ", and not -log(1e-08)")
_BOUND = _capped("the logits are clipped at 30.0")
_LOGITS_CLIPPED = ("softplus = ", "logits = np.clip(logits, -30.0, 30.0)\n    softplus = ")
_CLIP = "\n    p = np.clip(p, 1e-15, 1.0 - 1e-15)"
_BY_SUMS = "log_prob = (x * np.log(p + 1e-08) + (1.0 - x) * np.log(1.0 - p + 1e-08)).sum(axis=1)"
_DEAD = "(x - p) * ((p > 1e-15) & (p < 1.0 - 1e-15))"
_BY_SUM = "(x / (p + 1e-08) - (1.0 - x) / (1.0 - p + 1e-08)) * p * (1.0 - p)"


def _with_p(
    name: str, says: str, asks: str, clip: str, log_prob: str, backward: str
) -> list[Mistake]:
    """log p by the logarithms of p, however p is calculated; and with the gradient of that."""
    rows = []
    for p in (_P, _P_BY_EXP):
        forward = Patch("bernoulli_log_prob", _LOG_PROB, f"{p}{clip}\n    {log_prob}")
        back = Patch("bernoulli_log_prob_backward", "(x - p)", f"({backward})")
        rows += [
            Mistake(name, says, asks, (forward,), "clipped"),
            Mistake(f"{name}, both ways", says, asks, (forward, back), "clipped"),
        ]
    return rows


_BERNOULLI = [
    *overflowing([
        *in_function("sigmoid",
        ("sigmoid overflows", "0.5 * (1.0 + np.tanh(0.5 * x))", "np.exp(x) / (1.0 + np.exp(x))",
         "the sigmoid overflows: exp(10000) is too large for a number, and inf / inf is nan",
         "What is np.exp(10000.0)?")),
        *in_function("bernoulli_log_prob",
        ("log of the sigmoid", _LOG_PROB, f"{_P}\n    {_BY_LOGS}", *_LOG_OF_SIGMOID),
        ("log of the sigmoid", _LOG_PROB, f"{_P_BY_EXP}\n    {_BY_LOGS}", *_LOG_OF_SIGMOID),
        ("softplus overflows", "np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))",
         "np.log(1.0 + np.exp(logits))",
         "log(1 + e^a) is computed as written: e^a overflows for a = 10,000",
         "What is np.exp(10000.0)? Which of the two parts of log(1 + e^a) is small?")),
        *in_function("bernoulli_log_prob_backward",
        ("backward by p", "(x - p)", f"({_BY_P})", *_BACKWARD_BY_P),
        ("backward by p", f"{_P}\n    dlogits = dlog_prob[:, None] * (x - p)",
         f"{_P_BY_EXP}\n    dlogits = dlog_prob[:, None] * ({_BY_P})", *_BACKWARD_BY_P)),
    ]),
    *with_any("1e-15", of_clip, *_with_p("probabilities clipped", *_CLIPPED, _CLIP, _BY_LOGS, _DEAD)),
    *with_any("1e-08", of_sum, *_with_p("epsilon in the logarithm", *_ADDED, "", _BY_SUMS, _BY_SUM)),
    *with_any("30.0", of_bound, *in_function("bernoulli_log_prob",
        ("logits clipped", _LOG_PROB, "a = np.clip(logits, -30.0, 30.0)\n"
         "    log_prob = (x * a - np.log(1.0 + np.exp(a))).sum(axis=1)", *_BOUND),
        ("logits clipped", _LOG_PROB, "a = np.clip(logits, -30.0, 30.0)\n"
         f"    p = 1.0 / (1.0 + np.exp(-a))\n    {_BY_LOGS}", *_BOUND),
        ("logits clipped", *_LOGITS_CLIPPED, *_BOUND))),
    *with_any("10.0", of_argument, *in_function("sigmoid",
        ("sigmoid's argument clipped", "p = ", "x = np.clip(x, -10.0, 10.0)\n    p = ",
         "the argument is clipped at 10.0: the sigmoid must be right for every x, and its slope too",
         "Which x is too large for your formula? Which of e^x and e^-x is small there?"))),
    *with_any("30.0", of_bound,
        Mistake("logits clipped, both ways", *_BOUND,
            (Patch("bernoulli_log_prob", *_LOGITS_CLIPPED),
             Patch("bernoulli_log_prob_backward", "(x - p)", "(x - p) * (np.abs(logits) < 30.0)")))),
    *with_any("1e-15", of_clip,
        *(Mistake("probabilities clipped", *_CLIPPED,
            (Patch("bernoulli_log_prob", _LOG_PROB, f"{p}{_CLIP}\n    {_BY_LOGS}"),
             Patch("bernoulli_log_prob_backward", "(x - p)", "(x - np.clip(p, 1e-15, 1.0 - 1e-15))")))
          for p in (_P, _P_BY_EXP)),
        *(Mistake("probabilities clipped, both ways", *_CLIPPED,
            (Patch("bernoulli_log_prob", _LOG_PROB, f"{p}{_CLIP}\n    {_BY_LOGS}"),
             Patch("bernoulli_log_prob_backward", f"{_P}\n", f"{p}\n    c = np.clip(p, 1e-15, 1.0 - 1e-15)\n"),
             Patch("bernoulli_log_prob_backward", "(x - p)",
                   "(x / c - (1.0 - x) / (1.0 - c)) * p * (1.0 - p)")))
          for p in (_P, _P_BY_EXP))),
    *with_any("1e-06", of_clip_in_backward, *in_function("bernoulli_log_prob_backward",
        ("probabilities clipped in the backward", "(x - p)", "(x - np.clip(p, 1e-06, 1.0 - 1e-06))",
         "p is clipped at 1e-06 in the backward: dlogits = dlog_prob (x - p) needs no clipping",
         "What do you still divide by in the backward, once you cancel p and 1 - p by hand?"))),
    *with_any("20.0", of_bound_in_backward, *in_function("bernoulli_log_prob_backward",
        ("logits clipped in the backward", "tanh(0.5 * logits)",
         "tanh(0.5 * np.clip(logits, -20.0, 20.0))",
         "the logits are clipped at 20.0 in the backward: dlogits must be right for every logit",
         "Which logit is too large for your formula, and which of e^a and e^-a is small there?"))),
    *with_any("1e-08", of_quotient, *in_function("bernoulli_log_prob_backward",
        ("epsilon in the backward", "(x - p)", f"({_BY_SUM})",
         "1e-08 is added to p and to 1 - p in the backward: dlogits = dlog_prob (x - p) needs none",
         "What is left of your formula if you cancel p and 1 - p by hand?"))),
    *with_any("1e-08", of_quotient_of_slope, *in_function("bernoulli_log_prob_backward",
        ("epsilon in the backward's quotient", "(x - p)",
         "(x - p) / (p * (1.0 - p) + 1e-08) * p * (1.0 - p)",
         "1e-08 is added to p (1 - p) in the backward: dlogits = dlog_prob (x - p) needs no division",
         "What is left of your formula if you cancel p (1 - p) by hand?"))),
    *in_function("sigmoid",
        ("sigmoid slope of the input", "return p, p", "return p, x",
         "the slope is taken as x (1 - x) of the input: it is p (1 - p) with p = sigmoid(x)",
         "Which of x and p = sigmoid(x) appears in the derivative?")),
    *in_function("sigmoid_backward",
        ("sigmoid slope omitted", "dp * p * (1.0 - p)", "dp",
         "the derivative of the sigmoid is missing: dx = dp p (1 - p)",
         "How steep is the sigmoid far from 0?"),
        ("sigmoid slope halved", " * (1.0 - p)", "",
         "the sigmoid's slope is taken as p: it is p (1 - p)",
         "How steep is the sigmoid at large x, where p = 1?"),
        ("sigmoid slope of tanh", "p * (1.0 - p)", "(1.0 - p * p)",
         "the sigmoid's slope is taken as 1 - p^2, which is tanh's: it is p (1 - p)",
         "What is the slope of the sigmoid at 0? It is 1/4."),
        ("sigmoid chain rule forgotten", "dp * p", "p",
         *unused("dp", "dx = dp times the slope", "dx"))),
    *in_function("bernoulli_log_prob",
        ("log p averaged over pixels", ".sum(axis=1)", ".mean(axis=1)",
         "log p is averaged over the dimensions: independent pixels multiply, so their logs add up",
         "What is the probability of two independent events together?"),
        ("log p negated", "x * logits - softplus", "softplus - x * logits",
         "the sign is wrong: this is -log p, the cross-entropy",
         "Can the logarithm of a probability be positive?", "nll sign")),
    *in_function("bernoulli_log_prob_backward",
        ("mean over the pixels", "(x - p)", "(x - p) / x.shape[1]",
         "dlogits is divided by D: log p is a sum over the pixels, not a mean",
         "Is log p a sum or a mean over the D dimensions?", "27"),
        ("stray factor 2", "(x - p)", "2.0 * (x - p)",
         "dlogits has a stray factor 2: that belongs to a squared error",
         "Where would a 2 come from? There is no square in log p.", "28"),
        ("wrong sign of dlogits", "(x - p)", "(p - x)",
         "dlogits has the wrong sign: d log p / d logits = x - p",
         "If x = 1, should a larger logit make log p larger or smaller?", "29"),
        ("sigmoid slope twice", "(x - p)", "(x - p) * p * (1.0 - p)",
         "the sigmoid's slope is applied twice: x - p is already the gradient with respect to logits",
         "d log p / d p = (x - p) / (p (1 - p)). What remains after the sigmoid's slope?", "30"),
        ("gradient of p", "(x - p)", "(x - p) / (p * (1.0 - p))",
         "this is the gradient with respect to p: the sigmoid's slope p (1 - p) is missing",
         "With respect to which quantity did you differentiate?", "31"),
        ("sigmoid forgotten", "(x - p)", "(x - logits)",
         "the sigmoid is forgotten: dlogits = dlog_prob (x - p), not (x - logits)",
         "Between which values does d log p / d logit lie?", "32"),
        ("dlogits averaged", "(x - p)", "(x - p) / len(x)",
         "dlogits is divided by N: the 1/N of a mean over the batch is already in dlog_prob",
         "Where is the mean over the batch taken? Has dlog_prob passed there yet?", "26"),
        ("dlog_prob summed", "dlog_prob[:, None]", "dlog_prob.sum()",
         *unweighted("dlog_prob", "summed over the batch", "log p", "dlogits")),
        ("dlog_prob averaged", "dlog_prob[:, None]", "dlog_prob.mean()",
         *unweighted("dlog_prob", "averaged over the batch", "log p", "dlogits")),
        ("dlog_prob forgotten", "dlog_prob[:, None] * (x - p)", "x - p",
         *unweighted("dlog_prob", "not used", "log p", "dlogits"))),
]  # fmt: skip

_GAUSSIAN_OF_LOG_SIGMA = (
    Patch("gaussian_log_prob", "np.exp(-log_var)", "np.exp(-2.0 * log_var)"),
    Patch("gaussian_log_prob", " + log_var + squares", " + 2.0 * log_var + squares"),
)

_LOG_VAR_CLIPPED = (
    "log_var is clipped at -5.0: log p must be right for every log_var",
    "Does your gradient of log_var point anywhere, once it is below your bound?",
)
_ADDED_TO_VARIANCE = (
    "1e-08 is added to sigma^2 = exp(log_var), which is never 0: log p needs no epsilon",
    "Can exp(log_var) be 0? What does your sum do where it is small?",
)
_EPSILON = Patch("gaussian_log_prob", "np.exp(-log_var)", "1.0 / (np.exp(log_var) + 1e-08)")
_IN_LOG = Patch("gaussian_log_prob", "+ log_var +", "+ np.log(np.exp(log_var) + 1e-08) +")
_IN_BACKWARD = _EPSILON._replace(function="gaussian_log_prob_backward")


def _added_to_variance(*forward: Patch) -> tuple[Mistake, Mistake]:
    name, both = "epsilon added to the variance", (*forward, _IN_BACKWARD)
    return (
        Mistake(name, *_ADDED_TO_VARIANCE, forward),
        Mistake(f"{name}, both ways", *_ADDED_TO_VARIANCE, both),
    )


_GAUSSIAN = [
    *with_any("1e-08", of_precision, *_added_to_variance(_EPSILON)),
    *with_any("1e-08", of_noise_floor, *_added_to_variance(_EPSILON, _IN_LOG)),
    *with_any("5.0", of_log_var_in_log_n,
        *in_function("gaussian_log_prob",
            ("log_var clipped in log N", "squares = ",
             "log_var = np.maximum(log_var, -5.0)\n    squares = ", *_LOG_VAR_CLIPPED),
            ("log_var clipped in log N", "squares = ",
             "log_var = np.clip(log_var, -5.0, 5.0)\n    squares = ", *_LOG_VAR_CLIPPED)),
        Mistake("log_var clipped in log N, both ways", *_LOG_VAR_CLIPPED,
            (Patch("gaussian_log_prob", "squares = ",
                   "log_var = np.maximum(log_var, -5.0)\n    squares = "),
             Patch("gaussian_log_prob_backward", "(residual**2 * precision - 1.0)",
                   "((residual**2 * precision - 1.0) * (log_var > -5.0))")))),
    Mistake("log_var taken for log sigma in log N", *LOG_SIGMA, _GAUSSIAN_OF_LOG_SIGMA),
    Mistake("log_var taken for log sigma in log N, both ways", *LOG_SIGMA,
        (*_GAUSSIAN_OF_LOG_SIGMA,
         Patch("gaussian_log_prob_backward", "np.exp(-log_var)", "np.exp(-2.0 * log_var)"),
         Patch("gaussian_log_prob_backward", "0.5 * dlog_prob", "dlog_prob"))),
    Mistake("log_var taken for log sigma in the backward of log N", *LOG_SIGMA,
        (Patch("gaussian_log_prob_backward", "np.exp(-log_var)", "np.exp(-2.0 * log_var)"),
         Patch("gaussian_log_prob_backward", "0.5 * dlog_prob", "dlog_prob"))),
    *in_function("gaussian_log_prob",
        ("2 pi forgotten", "np.log(2.0 * np.pi) + ", "",
         "the constant -1/2 log(2 pi) of each dimension is missing: without it, the ELBO is no bound",
         "What is log N(0; 0, 1)? It is -0.9189."),
        ("half of log N missing", "-0.5 * (", "-1.0 * (",
         "the 1/2 of the log-density is missing",
         "What is log N(1; 0, 1) - log N(0; 0, 1)? It is -1/2."),
        ("normaliser without log_var", "np.log(2.0 * np.pi) + log_var", "np.log(2.0 * np.pi)",
         "log_var is missing from the normaliser: a wider Gaussian is lower",
         "Does a density with larger sigma have the same height?"),
        ("log N with sigma for sigma^2", "np.exp(-log_var)", "np.exp(-0.5 * log_var)",
         "the squares are divided by sigma: they are divided by sigma^2 = exp(log_var)",
         "Which power of sigma makes (x - mean)^2 free of units?"),
        ("log N averaged", ".sum(axis=1)", ".mean(axis=1)",
         "log p is averaged over the dimensions: independent dimensions add up",
         "What is the density of two independent numbers together?")),
    *in_function("gaussian_log_prob_backward",
        ("dlog_prob forgotten in log N", "dlog_prob = dlog_prob[:, None]", "dlog_prob = 1.0",
         "dlog_prob is not used: each example's share is weighted by its own dlog_prob",
         "If the loss does not depend on log p of example 2, what is row 2 of d mean?"),
        ("dlog_prob forgotten in d mean", "dlog_prob * residual", "residual",
         *unweighted("dlog_prob", "not used in d mean", "log p", "d mean")),
        ("dlog_prob forgotten in d log_var", "0.5 * dlog_prob", "0.5",
         "dlog_prob is not used in d log_var: each example's share is weighted by its own dlog_prob",
         "If the loss does not depend on log p of example 2, what is its share of d log_var?"),
        ("mean's sign", "dlog_prob * residual * precision", "-dlog_prob * residual * precision",
         "d mean has the wrong sign: log p grows when the mean moves towards x",
         "If x is above the mean, should a larger mean make log p larger or smaller?"),
        ("precision forgotten", "dlog_prob * residual * precision", "dlog_prob * residual",
         "d mean lacks 1/sigma^2",
         "Does a very uncertain dimension pull as strongly on its mean as a certain one?"),
        ("factor 2 in d mean", "dlog_prob * residual * precision",
         "2.0 * dlog_prob * residual * precision",
         "d mean is twice what it should be: the 1/2 cancels the 2 of the square",
         "What is the derivative of (x - mean)^2 / 2?"),
        ("-1 dropped in the variance", " - 1.0", "",
         "the -1 is missing in d log_var: it comes from the normaliser, and keeps sigma from growing",
         "Which two terms of log p contain log_var?"),
        ("half missing in the variance", "0.5 * dlog_prob", "dlog_prob",
         "the 1/2 is missing in d log_var",
         "Where is the 1/2 of log p in your d log_var?"),
        ("residuals missing in the variance", "residual**2 * precision - 1.0", "0.0 * residual - 1.0",
         "the squares are missing in d log_var: only the normaliser is differentiated",
         "Which two terms of log p contain log_var?"),
        ("gradient of the variance", "(residual**2 * precision - 1.0)",
         "(residual**2 * precision - 1.0) * precision",
         "this is the gradient with respect to sigma^2: with respect to log_var it is sigma^2 times it",
         "What is d sigma^2 / d log_var?"),
        ("d log_var averaged", ".sum(axis=0)", ".mean(axis=0)",
         "d log_var is averaged over the batch: the examples' shares add up",
         "log_var is used by every example. What happens to gradients where paths meet?"),
        ("d log_var not summed", ".sum(axis=0)", "",
         "d log_var has one row for each example: it has the shape of log_var, (D,)",
         "What shape has log_var?")),
]  # fmt: skip

LIKELIHOODS: tuple[Mistake, ...] = (*_BERNOULLI, *_GAUSSIAN)
