"use strict";
// The lines of vae.py as steps: `code` finds the line in the file's own text, `gives` names what it
// computes, `says` tells it in a sentence.

const STEPS = [
  {
    of: "forward",
    code: "self.encoder.forward(",
    gives: ["heads"],
    says: (v, L) => `The encoder turns x into ${2 * L} numbers, the heads.`,
  },
  {
    of: "forward",
    code: "= mean_and_log_var(",
    gives: ["mean", "log_var", "sigma"],
    says: () =>
      "Their first half is the mean of q(z|x), the second the log of its variance; sigma = exp(log_var / 2).",
  },
  {
    of: "forward",
    code: "= reparameterize(",
    gives: ["noise", "z"],
    says: () =>
      "z = mean + sigma * noise: a sample of q(z|x), and a differentiable function of mean and log_var.",
  },
  {
    of: "forward",
    code: "self.decoder.forward(",
    gives: ["output"],
    says: () =>
      "The decoder turns z into what the likelihood needs; its mean E[x|z] is the picture.",
  },
  {
    of: "forward",
    code: "self.likelihood.log_prob(",
    gives: ["log_px"],
    says: (v) =>
      `How probable is x under p(x|z)? log p(x|z) = ${number_text(v.log_px[0], 5)} nats.`,
  },
  {
    of: "forward",
    code: "= kl_to_standard_normal(",
    gives: ["kl"],
    says: (v) => `How far is q(z|x) from the prior? KL = ${number_text(v.kl[0], 4)} nats.`,
  },
  {
    of: "forward",
    code: "= negative_elbo(",
    gives: ["loss"],
    says: (v, L, app) =>
      app.beta === Infinity
        ? `At beta = ∞ the loss is the KL alone: ${number_text(v.loss, 5)} nats.`
        : `loss = beta KL − log p(x|z) = ${number_text(v.loss, 5)} nats` +
          (app.path_batch > 1 ? `, this example's share of 1/${app.path_batch}.` : "."),
  },
  {
    of: "backward",
    code: "= negative_elbo_backward(",
    gives: ["dlog_px", "dkl"],
    says: (v) =>
      `Back up: a nat of log p(x|z) costs dlog_px = ${number_text(v.dlog_px[0], 4)}, ` +
      `a nat of KL costs dkl = ${number_text(v.dkl[0], 4)}.`,
  },
  {
    of: "backward",
    code: "= kl_to_standard_normal_backward(",
    gives: ["dmean_kl", "dlog_var_kl"],
    says: () => "Route 1, around z: the KL pulls mean to 0 and log_var to 0, towards the prior.",
  },
  {
    of: "backward",
    code: "self.likelihood.log_prob_backward(",
    gives: ["doutput"],
    says: () =>
      "The gradient of each number of the output: for counts and coins, the expected value minus x.",
  },
  {
    of: "backward",
    code: "self.decoder.backward(",
    gives: ["dz"],
    says: () =>
      "The decoder carries it back to z. Only through dz does the reconstruction reach the encoder.",
  },
  {
    of: "backward",
    code: "= reparameterize_backward(",
    gives: ["dmean_z", "dlog_var_z"],
    says: () => "Route 2, through z: mean moves z one to one, log_var by noise * sigma / 2.",
  },
  {
    of: "backward",
    code: "= mean_and_log_var_backward(",
    gives: ["dheads"],
    says: () => "Both routes add up, and the sums go side by side to the heads.",
  },
  {
    of: "backward",
    code: "self.encoder.backward_params(",
    gives: ["grads"],
    says: (v) =>
      "The encoder's weights get theirs; all gradients together have length " +
      `${number_text(length_of(v.grad), 4)}.`,
  },
];

/** The rows of the two tables: name, its values, and the step that gives it if it is not of that name. */
const ROWS = {
  forward: [
    ["mean", (v) => v.mean],
    ["log_var", (v) => v.log_var],
    ["sigma", (v) => v.log_var.map((value) => Math.exp(0.5 * value))],
    ["noise", (v) => v.noise],
    ["z", (v) => v.z],
  ],
  backward: [
    ["dz", (v) => v.dz],
    ["dmean_z", (v) => v.dmean_z],
    ["dmean_kl", (v) => v.dmean_kl],
    ["dmean", (v, L) => v.dheads.subarray(0, L), "dheads"],
    ["dlog_var_z", (v) => v.dlog_var_z],
    ["dlog_var_kl", (v) => v.dlog_var_kl],
    ["dlog_var", (v, L) => v.dheads.subarray(L), "dheads"],
  ],
};
const SCALARS = {
  forward: [
    ["log_px", "nats"],
    ["kl", "nats"],
    ["loss", "nats"],
  ],
  backward: [
    ["dlog_px", ""],
    ["dkl", ""],
  ],
};
