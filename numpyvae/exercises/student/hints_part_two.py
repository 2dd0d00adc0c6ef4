"""The hints of part two: a question, what to look at, and the formula with its section."""

from __future__ import annotations

from numpyvae.exercises.judge.sections import (
    DREG,
    LABEL,
    LOG_Q,
    MIXTURE,
    MOVING,
    STEP,
    WEIGHTS,
)

__all__ = ["HINTS"]

HINTS: dict[str, tuple[str, str, str]] = {
    "condition": (
        "Which row of W_y is added for an example of class 2?",
        "W_y[y] takes a row for each example: it has the shape (N, H).",
        f"pre = x @ W + b + W_y[y]. ({LABEL})",
    ),
    "condition_backward": (
        "Which examples does the row W_y[k] affect, and what is its gradient if there are none?",
        "dx, dW and db are those of exercise 0. A one-hot matrix np.eye(K)[y] (N, K) makes W_y[y] "
        "a matrix product, too.",
        f"dW_y[k] = sum of dpre_n over the examples of class k = one_hot^T dpre. ({LABEL})",
    ),
    "every_class": (
        "Which part of pre is the same for every class?",
        "An array (N, 1, H) and one (K, H) are added to one of shape (N, K, H).",
        f"pre = (x @ W + b)[:, None] + W_y. ({LABEL})",
    ),
    "every_class_backward": (
        "a = x W + b is used once for each class. What happens to gradients where paths meet?",
        "da (N, H) and dW_y (K, H) are sums of dpre (N, K, H) over one axis each. Which?",
        f"da_n = sum_k dpre_nk, dW_y[k] = sum_n dpre_nk; then x W + b as in exercise 0. ({LABEL})",
    ),
    "sample_given_class": (
        "Where does the label enter the decoder?",
        "The same z with another label is the same style with another class. A pixel is drawn, not "
        "rounded: np.where(uniform < probabilities, 1.0, 0.0).",
        "pre = z W + b + W_y[y], tanh, a dense layer, 1/(1 + exp(-logits)); x = 1 where uniform is "
        f"smaller. ({LABEL})",
    ),
    "gaussian_mixture_log_prob": (
        "What is the density of a mixture at z, before any logarithm?",
        "Write log pi_k + log N(z_n; mean_k, sigma_k^2) as an array (N, K), from z[:, None] - mean "
        "(N, K, L). Then log sum exp over k, with the largest of each row subtracted first.",
        "joint_nk = log pi_k - 1/2 sum_l (log(2 pi) + log_var_kl + (z_nl - mean_kl)^2 "
        "exp(-log_var_kl)), "
        f"log p = logsumexp_k joint_nk, log pi = logits - logsumexp(logits). ({MIXTURE})",
    ),
    "gaussian_mixture_log_prob_backward": (
        "What is the derivative of log(e^a + e^b) with respect to a?",
        "It is the softmax: each component counts by its responsibility R_nk = exp(joint_nk - log "
        "p_n). "
        "With the shares W_nk = dlog_prob_n R_nk each component is the Gaussian of exercise 7.",
        "With s = (z - mean)/sigma^2: dz = -sum_k W s, dlogits = sum_n W - pi sum_n dlog_prob, "
        f"dmean = sum_n W s, dlog_var = 1/2 sum_n W (s (z - mean) - 1). ({MIXTURE})",
    ),
    "responsibilities": (
        "Bayes: what is p(k|z), if p(k) = pi_k and p(z|k) is a Gaussian?",
        "It is a softmax over k of log pi_k + log N(z_n; mean_k, sigma_k^2). What is the same for "
        "all k cancels.",
        f"softmax over k of logits_k - 1/2 sum_l (log_var_kl + (z_nl - mean_kl)^2/sigma_kl^2). "
        f"({MIXTURE})",
    ),
    "sample_mixture": (
        "Which component does sample n belong to?",
        "mean[component] takes a row for each sample, (N, L).",
        f"z = mean[component] + exp(log_var / 2)[component] * noise. ({MIXTURE})",
    ),
    "importance_weights": (
        "What must the weights of one example sum to?",
        "It is a softmax over the samples. Subtract the largest log-weight of each row before exp.",
        f"w_ns = exp(log_weight_ns) / sum_s exp(log_weight_ns). ({WEIGHTS})",
    ),
    "importance_bound": (
        "What is the bound, if all S log-weights of an example are -100?",
        "The log of the mean of S weights: log sum exp, minus log S. With the largest log-weight "
        "of a row subtracted before exp and added after log.",
        f"bound = top + log(sum_s exp(log_weight_s - top)) - log S. ({WEIGHTS})",
    ),
    "importance_bound_backward": (
        "If all log-weights of an example grow by 1, by how much does its bound grow?",
        "What is the derivative of log(e^a + e^b) with respect to a?",
        f"dlog_weight_ns = dbound_n w_ns, the normalised weight. ({WEIGHTS})",
    ),
    "log_importance_weight": (
        "Which three densities are in the weight, and which is in the denominator?",
        "Each is a sum over the L dimensions for each sample; log_var[:, None] is the same for all "
        "samples of an example.",
        "log_px - 1/2 sum_l (log(2 pi) + z^2) + 1/2 sum_l (log(2 pi) + log_var + noise^2). "
        f"({LOG_Q})",
    ),
    "log_importance_weight_backward": (
        "Which of the terms contain z, and which log_var?",
        "log_px has the factor 1, z appears only in log p(z), and log_var only in -log q. log_var "
        "(N, L) affects all S samples.",
        f"dlog_px = dlog_weight, dz = -dlog_weight z, dlog_var = 1/2 sum_s dlog_weight. ({LOG_Q})",
    ),
    "doubly_reparameterized": (
        "At the exact posterior, log p(x, z) - log q(z|x) is the same for every z. What must this "
        "gradient be there?",
        "d log q / d z = -(z - mean)/sigma^2 = -noise/sigma. Weight each sample by w^2, then go "
        "on to the mean and log_var as in exercise 3, summed over the samples.",
        "dz_s = -w_s^2 (dlog_joint_s + noise_s/sigma)/N, dmean = sum_s dz_s, "
        f"dlog_var = 1/2 sum_s dz_s noise_s sigma. ({DREG})",
    ),
    "nearest_code": (
        "What is the squared distance of two vectors of d numbers?",
        "z_e[:, :, None] - codebook has the shape (N, M, K, d): square, sum over d, and argmin "
        "over K.",
        f"index = argmin_k ||z_e - codebook_k||^2. ({STEP})",
    ),
    "quantize": (
        "Do the codebook term and the commitment differ in their values, or in their gradients?",
        "sg[a] has the value of a: both terms are the same sum of squares, one of them times beta.",
        f"z_q = codebook[index], cost = (1 + beta) sum ||z_e - z_q||^2 over M and d. ({STEP})",
    ),
    "quantize_gradient": (
        "Which of the three terms move z_e, and which the codebook?",
        "z_e gets dz_q unchanged, plus the derivative of the commitment. A code gets that of the "
        "codebook term, from every vector that chose it: np.add.at adds where an index repeats.",
        "dz_e = dz_q + 2 beta (z_e - z_q)/N; dcodebook_k = sum of 2 (z_q - z_e)/N over the "
        f"vectors of code k. ({STEP})",
    ),
    "moving_codebook": (
        "If decay is 0, of which vectors is a code the mean?",
        "Count the vectors of each code and sum them: np.eye(K)[index.ravel()] (N M, K) makes both "
        "matrix products.",
        "new = decay * old + (1 - decay) * the batch's, for counts and sums; codebook = sums / "
        "counts. "
        f"({MOVING})",
    ),
}
