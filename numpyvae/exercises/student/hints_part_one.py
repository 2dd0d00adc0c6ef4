"""The hints of part one: a question, what to look at, and the formula with its section."""

from __future__ import annotations

from numpyvae.exercises.judge.sections import (
    ACTIVATION,
    ADAM,
    CLOSED_KL,
    DENSE,
    DRAW,
    FINITE,
    GAUSSIAN,
    KL,
    LIKELIHOOD,
    LOG_PX,
    SAMPLE,
    SCORE,
    SCREEN,
)

__all__ = ["HINTS"]

HINTS: dict[str, tuple[str, str, str]] = {
    "dense": (
        "Which shape must y have, and which product of x (N, n_in) and W (n_in, n_out) has it?",
        "b (n_out,) is added to every row: NumPy broadcasts it.",
        f"y[n, k] = sum_i x[n, i] W[i, k] + b[k], so y = x @ W + b. ({DENSE})",
    ),
    "dense_backward": (
        "W[i, k] appears in y[n, k] for every n. What happens to gradients where paths meet?",
        "Write y[n, k] = sum_i x[n, i] W[i, k] + b[k], differentiate one entry, and read the sum "
        "over the repeated index as a matrix product. The shapes allow only one order.",
        f"dx = dy W^T, dW = x^T dy, db = sum_n dy_n. ({DENSE})",
    ),
    "relu": (
        "Which entries of x stay, and which become 0?",
        "np.where(condition, a, b) takes a where the condition holds, else b.",
        f"relu(x) = x where x > 0, else 0; keep in the cache where x > 0. ({ACTIVATION})",
    ),
    "relu_backward": (
        "What is the slope of relu at x = 2, and at x = -2?",
        "Each entry is independent: dx is dy times the slope at that entry of x.",
        f"dx = dy where x > 0, else 0. ({ACTIVATION})",
    ),
    "tanh": (
        "NumPy has this function. What does it give at 800?",
        "Think about what backward will need: the derivative can be written with y alone.",
        f"y = np.tanh(x), and y is a good cache. ({ACTIVATION})",
    ),
    "tanh_backward": (
        "What is the derivative of sinh(x) / cosh(x)?",
        "Each entry is independent: dx is dy times the slope, and cosh^2 - sinh^2 = 1.",
        f"dx = dy (1 - y^2), y = tanh(x). ({ACTIVATION})",
    ),
    "sigmoid": (
        "Which of e^x and e^-x overflows at x = 10,000, and which at -10,000?",
        "One of NumPy's functions has the same S shape as the sigmoid and never overflows.",
        f"1 / (1 + e^-x) = (1 + tanh(x/2)) / 2. ({FINITE})",
    ),
    "sigmoid_backward": (
        "What is the derivative of 1 / (1 + e^-x)?",
        "It can be written with p alone: e^-x / (1 + e^-x)^2.",
        f"dx = dp p (1 - p). ({LIKELIHOOD})",
    ),
    "bernoulli_log_prob": (
        "Which of the two formulas in the file never takes the logarithm of 0?",
        "log(1 + e^a) = max(a, 0) + log(1 + e^-|a|), and np.log1p(u) is log(1 + u). Over which "
        "axis does the sum go?",
        f"log p = sum_d (x_d a_d - log(1 + e^a_d)), a = logits. ({FINITE})",
    ),
    "bernoulli_log_prob_backward": (
        "What is the derivative of log(1 + e^a) with respect to a?",
        "Each logit is in one term of one example, so there is nothing to sum. Each row is "
        "then weighted by its dlog_prob: what shape must that have to multiply an (N, D) array?",
        f"dlogits = dlog_prob (x - sigmoid(logits)), row by row. ({LIKELIHOOD})",
    ),
    "reparameterize": (
        "log_var = log sigma^2. What is sigma?",
        "sigma = exp(log_var / 2), not exp(log_var). Which arrays will backward need?",
        f"z = mean + exp(log_var / 2) * noise. ({DRAW})",
    ),
    "reparameterize_backward": (
        "How far does z move if the mean moves by 1? And if sigma does?",
        "Two steps lead to log_var: d z / d sigma = noise, and then d sigma / d log_var.",
        f"d mean = dz, d log_var = dz noise sigma / 2, with forward's own noise. ({SAMPLE})",
    ),
    "kl_to_standard_normal": (
        "What must the KL be at mean = 0, log_var = 0?",
        "sigma^2 = exp(log_var), log sigma^2 = log_var; the sum goes over the latent dimensions.",
        f"KL = 1/2 sum_l (mean^2 + exp(log_var) - 1 - log_var). ({CLOSED_KL})",
    ),
    "kl_to_standard_normal_backward": (
        "Which of the four terms contain the mean, and which contain log_var?",
        "Differentiate each term; d exp(log_var) / d log_var = exp(log_var). Then multiply each "
        "row by its dkl, (N, 1).",
        f"d mean = dkl mean, d log_var = dkl (exp(log_var) - 1) / 2. ({KL})",
    ),
    "negative_elbo": (
        "The task lists the forward pass line by line. Which function of `given` is each line?",
        "heads (N, 2L): the first L columns are mean. Every function returns (value, cache).",
        f"loss = mean_n(beta KL_n - log p(x_n|z_n)). ({SCREEN})",
    ),
    "negative_elbo_backward": (
        "By how many routes does log_var affect the loss? And the mean?",
        "Go through forward from the last line to the first; each becomes its _backward, with its "
        "own cache. loss = mean_n(...): what is d loss / d log_px[n], and d loss / d kl[n]? Add "
        "the gradients of both routes.",
        f"dlog_px = -dloss/N, dkl = beta dloss/N, d heads = (dz-route + KL-route). ({SCREEN})",
    ),
    "adam_step": (
        "After the first step from m = 0, how far is m from the gradient? What corrects that?",
        "Four lines, in the order of the formula: m, v, the two corrected ones, theta. Return "
        "m and v, not the corrected ones.",
        f"theta - learning_rate m_hat / (sqrt(v_hat) + epsilon). ({ADAM})",
    ),
    "gaussian_log_prob": (
        "What is log N(0; 0, 1)? It is -log(2 pi)/2, about -0.9189.",
        "Three terms in the bracket; 1/sigma^2 = exp(-log_var). Over which axis does the sum go?",
        f"-1/2 sum_d (log(2 pi) + log_var_d + (x_d - mean_d)^2 exp(-log_var_d)). ({GAUSSIAN})",
    ),
    "gaussian_log_prob_backward": (
        "Which two terms contain log_var? Do all examples share log_var?",
        "d exp(-log_var) / d log_var = -exp(-log_var). The log-variances are shared by N examples.",
        "d mean = dlog_prob (x - mean)/sigma^2, d log_var = sum_n dlog_prob_n ((x - mean)^2/"
        f"sigma^2 - 1)/2. ({GAUSSIAN})",
    ),
    "log_q": (
        "It is the log-density of exercise 7. What is z here, and what is x there?",
        "mean and log_var (L,) are the same for all draws.",
        f"-1/2 sum_l (log(2 pi) + log_var_l + (z_l - mean_l)^2 exp(-log_var_l)). ({SCORE})",
    ),
    "score_function_gradient": (
        "Does this estimator need the derivative of f?",
        "z is held fixed: differentiate log q with respect to mean and log_var as in exercise 7, "
        "but do not sum over the draws.",
        f"value_s (z_s - mean)/sigma^2 and value_s ((z_s - mean)^2/sigma^2 - 1)/2. ({SCORE})",
    ),
    "pathwise_gradient": (
        "Which earlier exercise is this? df takes the place of dz.",
        "z = mean + sigma noise: d z / d mean = 1, d z / d log_var = noise sigma/2.",
        f"df and df noise sigma/2. ({SAMPLE})",
    ),
    "variance_of_mean": (
        "How does the variance of a mean of S independent draws compare with that of one?",
        "np.var divides by S unless ddof=1 is given.",
        f"sum_s (g_s - mean)^2 / (S - 1) / S. ({SCORE})",
    ),
    "train": (
        "What must be remembered from one step to the next?",
        "Keep three things from step to step: the parameters, and the m and v of each. t counts "
        "from 1. Work on a copy of the dict.",
        f"loss, then gradient, then adam_step for each parameter, with t = i + 1. ({ADAM})",
    ),
    "decode": (
        "It is the second half of exercise 5's forward pass. What makes a logit a probability?",
        "dense, tanh, dense, sigmoid; each function of `given` returns (value, cache).",
        f"sigmoid(dense(tanh(dense(z)))). ({LOG_PX})",
    ),
}
