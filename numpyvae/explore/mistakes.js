"use strict";
// Mistakes of tests/bug_zoo.py that move an arrow, by their numbers there: each replaces a piece of
// model.js by a wrong one. `code` is what the student wrote; `line` names the step of path.js.

const scaled = (array, factor) => array.map((value) => value * factor);

/** A wrong reparameterize_backward: its dmean and dlog_var of one entry. */
const sampling = (dmean, dlog_var) => ({
  reparameterize_backward: (dz, { mean, log_var, noise }) => {
    const each = (f) => dz.map((d, i) => f(d, noise[i], Math.exp(0.5 * log_var[i]), mean[i]));
    return [each(dmean), each(dlog_var)];
  },
});

/** A wrong kl_to_standard_normal_backward: dmean and dlog_var of one entry. */
const divergence = (dmean, dlog_var) => ({
  kl_to_standard_normal_backward: (dkl, { mean, log_var, L }) => {
    const each = (f) => mean.map((m, i) => dkl[Math.floor(i / L)] * f(m, log_var[i], L));
    return [each(dmean), each(dlog_var)];
  },
});

/** A wrong negative_elbo_backward: the weights of -log p(x|z) and of the KL, by beta and N. */
const reduction = (of_log_px, of_kl) => ({
  negative_elbo_backward: (dloss, { log_px, beta, N }) => {
    const each = (value) => zeros(log_px.length, log_px).fill(dloss * value);
    const [b, reconstructs] = beta === Infinity ? [1, 0] : [beta, 1];
    return [each(-reconstructs * of_log_px(N)), each(of_kl(b, N))];
  },
});

/** A wrong log_prob_backward: the right one times a factor. */
const times = (factor) => ({
  log_prob_backward: (likelihood, params, grads, dlog_px, cache) =>
    scaled(
      PIECES.log_prob_backward(likelihood, params, grads, dlog_px, cache),
      factor(likelihood.D),
    ),
});

const dz_as_it_is = (dz) => dz;
const half_dz_sigma_noise = (dz, noise, sigma) => 0.5 * dz * noise * sigma;
const kl_mean = (mean) => mean;
const kl_log_var = (mean, log_var) => 0.5 * Math.expm1(log_var);
const new_noise = new Random(8);

const MISTAKES = [
  {
    id: "1",
    line: "reparameterize_backward",
    name: "1/2 missing in the sampling route",
    code: "dlog_var = dz * sigma * noise",
    pieces: sampling(dz_as_it_is, (dz, noise, sigma) => dz * noise * sigma),
  },
  {
    id: "2",
    line: "reparameterize_backward",
    name: "sigma squared for sigma",
    code: "dlog_var = dz * noise * np.exp(log_var) / 2",
    pieces: sampling(dz_as_it_is, (dz, noise, sigma) => 0.5 * dz * noise * sigma * sigma),
  },
  {
    id: "3",
    line: "reparameterize_backward",
    name: "sigma forgotten",
    code: "dlog_var = dz * noise / 2",
    pieces: sampling(dz_as_it_is, (dz, noise) => 0.5 * dz * noise),
  },
  {
    id: "4",
    line: "reparameterize_backward",
    name: "gradient of sigma taken for that of log_var",
    code: "dlog_var = dz * noise",
    pieces: sampling(dz_as_it_is, (dz, noise) => dz * noise),
  },
  {
    id: "5",
    line: "reparameterize_backward",
    name: "noise factor forgotten",
    code: "dlog_var = dz * sigma / 2",
    pieces: sampling(dz_as_it_is, (dz, noise, sigma) => 0.5 * dz * sigma),
  },
  {
    id: "6",
    line: "reparameterize_backward",
    name: "z in place of sigma * noise",
    code: "dlog_var = dz * z / 2",
    pieces: sampling(dz_as_it_is, (dz, noise, sigma, mean) => 0.5 * dz * (mean + sigma * noise)),
  },
  {
    id: "7",
    line: "reparameterize_backward",
    name: "no sampling route into log_var",
    code: "dlog_var = 0",
    pieces: sampling(dz_as_it_is, () => 0),
  },
  {
    id: "8",
    line: "reparameterize_backward",
    name: "new noise in backward",
    code: "dlog_var = dz * sigma * rng.standard_normal(dz.shape) / 2",
    pieces: sampling(dz_as_it_is, (dz, noise, sigma) => 0.5 * dz * new_noise.normal() * sigma),
  },
  {
    id: "18",
    line: "reparameterize_backward",
    name: "no route through z into mean",
    code: "dmean = 0",
    pieces: sampling(() => 0, half_dz_sigma_noise),
  },
  {
    id: "19",
    line: "reparameterize_backward",
    name: "dz * noise in place of dz",
    code: "dmean = dz * noise",
    pieces: sampling((dz, noise) => dz * noise, half_dz_sigma_noise),
  },
  {
    id: "9",
    line: "kl_to_standard_normal_backward",
    name: "KL forgotten in log_var",
    code: "dlog_var_kl = 0",
    pieces: divergence(kl_mean, () => 0),
  },
  {
    id: "10",
    line: "kl_to_standard_normal_backward",
    name: "KL with the wrong sign in log_var",
    code: "dlog_var_kl = dkl * (1 - np.exp(log_var)) / 2",
    pieces: divergence(kl_mean, (mean, log_var) => -kl_log_var(mean, log_var)),
  },
  {
    id: "11",
    line: "kl_to_standard_normal_backward",
    name: "1/2 of the KL missing",
    code: "dlog_var_kl = dkl * (np.exp(log_var) - 1)",
    pieces: divergence(kl_mean, (mean, log_var) => Math.expm1(log_var)),
  },
  {
    id: "12",
    line: "kl_to_standard_normal_backward",
    name: "sigma for sigma squared in the KL",
    code: "dlog_var_kl = dkl * (np.exp(log_var / 2) - 1) / 2",
    pieces: divergence(kl_mean, (mean, log_var) => 0.5 * Math.expm1(0.5 * log_var)),
  },
  {
    id: "13",
    line: "kl_to_standard_normal_backward",
    name: "log_var for exp(log_var) in the KL",
    code: "dlog_var_kl = dkl * (log_var - 1) / 2",
    pieces: divergence(kl_mean, (mean, log_var) => 0.5 * (log_var - 1)),
  },
  {
    id: "14",
    line: "kl_to_standard_normal_backward",
    name: "-1 of the KL dropped",
    code: "dlog_var_kl = dkl * np.exp(log_var) / 2",
    pieces: divergence(kl_mean, (mean, log_var) => 0.5 * Math.exp(log_var)),
  },
  {
    id: "15",
    line: "kl_to_standard_normal_backward",
    name: "KL forgotten in mean",
    code: "dmean_kl = 0",
    pieces: divergence(() => 0, kl_log_var),
  },
  {
    id: "16a",
    line: "kl_to_standard_normal_backward",
    name: "KL twice in mean",
    code: "dmean_kl = 2 * dkl * mean",
    pieces: divergence((mean) => 2 * mean, kl_log_var),
  },
  {
    id: "17",
    line: "kl_to_standard_normal_backward",
    name: "KL with the wrong sign in mean",
    code: "dmean_kl = -dkl * mean",
    pieces: divergence((mean) => -mean, kl_log_var),
  },
  {
    id: "22",
    line: "kl_to_standard_normal_backward",
    name: "KL averaged over the latents, not summed",
    code: "dkl = dkl / L",
    needs: (app) => app.vae.L > 1,
    pieces: divergence(
      (mean, log_var, L) => mean / L,
      (mean, log_var, L) => kl_log_var(mean, log_var) / L,
    ),
  },
  {
    id: "20a",
    line: "negative_elbo_backward",
    name: "beta forgotten in backward",
    code: "dkl = 1 / N",
    needs: (app) => app.beta !== 1 && app.beta !== Infinity,
    remedy: "move beta from 1",
    pieces: reduction(
      (N) => 1 / N,
      (beta, N) => 1 / N,
    ),
  },
  {
    id: "21",
    line: "negative_elbo_backward",
    name: "KL summed over the batch, log p(x|z) averaged",
    code: "dkl = beta",
    needs_batch: true,
    pieces: reduction(
      (N) => 1 / N,
      (beta) => beta,
    ),
  },
  {
    id: "26a",
    line: "negative_elbo_backward",
    name: "1/N missing in log p(x|z)",
    code: "dlog_px = -1",
    needs_batch: true,
    pieces: reduction(
      () => 1,
      (beta, N) => beta / N,
    ),
  },
  {
    id: "26b",
    line: "negative_elbo_backward",
    name: "1/N twice in log p(x|z)",
    code: "dlog_px = -1 / N**2",
    needs_batch: true,
    pieces: reduction(
      (N) => 1 / (N * N),
      (beta, N) => beta / N,
    ),
  },
  {
    id: "27",
    line: "log_prob_backward",
    name: "mean over the pixels, not their sum",
    code: "doutput = doutput / D",
    pieces: times((D) => 1 / D),
  },
  {
    id: "28",
    line: "log_prob_backward",
    name: "a stray factor 2",
    code: "doutput = 2 * doutput",
    pieces: times(() => 2),
  },
  {
    id: "29",
    line: "log_prob_backward",
    name: "wrong sign of the output's gradient",
    code: "doutput = -doutput",
    pieces: times(() => -1),
  },
  {
    id: "33",
    line: "decoder.backward",
    name: "slope of the activation omitted in the decoder",
    code: "da = dh",
    needs: (app) => app.vae.decoder.layers.length > 1,
    pieces: {
      decoder_backward: (decoder, params, grads, dy, cache) => {
        for (let i = decoder.layers.length - 1; i >= 0; i--) {
          const layer = decoder.layers[i];
          if (layer instanceof Dense) dy = layer.backward(params, grads, dy, cache[i]);
        }
        return dy;
      },
    },
  },
  {
    id: "25",
    line: "mean_and_log_var_backward",
    name: "heads swapped",
    code: "dheads = np.hstack((dlog_var, dmean))",
    pieces: {
      mean_and_log_var_backward: (dmean, dlog_var, L) =>
        PIECES.mean_and_log_var_backward(dlog_var, dmean, L),
    },
  },
  {
    id: "log-sigma",
    line: "reparameterize",
    name: "log_var taken for log sigma, forward and backward",
    code: "z = mean + np.exp(log_var) * noise",
    pieces: {
      reparameterize: (mean, log_var, noise) => [
        mean.map((m, i) => m + Math.exp(log_var[i]) * noise[i]),
        { mean, log_var, noise },
      ],
      ...sampling(dz_as_it_is, (dz, noise, sigma) => dz * noise * sigma * sigma),
    },
  },
];
