"use strict";
// p(x|z), as in numpyvae/likelihoods/: complete log-probabilities in nats, one for each example.
// log_prob(params, x, output) -> [log_px (N,), cache], log_prob_backward(params, grads, dlog_prob,
// cache) -> doutput; mean(output) -> E[x|z] in the data's own units.

const LOG_2PI = Math.log(2 * Math.PI);

/** log Gamma(x) for x >= 1: Stirling's series, after steps up to where it is exact to 1e-16. */
function lgamma(x) {
  let shift = 0;
  for (; x < 12; x++) shift += Math.log(x);
  const r = 1 / (x * x);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r / 1188)))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.5 * LOG_2PI + series - shift;
}

/** Counts 0, ..., n: log p = sum_d (log C(n, x_d) + x_d logits_d - n log(1 + exp(logits_d))). */
class Binomial {
  constructor(D, total_count) {
    Object.assign(this, { D, n: total_count, output_dim: D, log_choose: new Map() });
  }

  log_prob(params, x, output) {
    const { D, n } = this;
    const N = x.length / D;
    const log_px = zeros(N, output);
    for (let k = 0; k < N; k++) {
      let sum = 0;
      for (let i = k * D; i < (k + 1) * D; i++) {
        sum += this.log_coefficient(x[i]) + x[i] * output[i] - n * softplus(output[i]);
      }
      log_px[k] = sum;
    }
    return [log_px, { x, output }];
  }

  log_prob_backward(params, grads, dlog_prob, { x, output }) {
    const { D, n } = this;
    return output.map((logit, i) => dlog_prob[Math.floor(i / D)] * (x[i] - n * sigmoid(logit)));
  }

  log_coefficient(k) {
    if (this.n === 1) return 0;
    let known = this.log_choose.get(k);
    if (known === undefined) {
      known = lgamma(this.n + 1) - lgamma(k + 1) - lgamma(this.n - k + 1);
      this.log_choose.set(k, known);
    }
    return known;
  }

  mean(output) {
    return output.map((logit) => this.n * sigmoid(logit));
  }
}

/** What both Gaussians share: y = (x - shift) / scale is what they see, in nats of x itself. */
class Standardized {
  constructor(D, config) {
    const each = (value, otherwise) =>
      Float64Array.from({ length: D }, (_, d) =>
        Array.isArray(value) ? value[d] : (value ?? otherwise),
      );
    this.D = D;
    this.shift = each(config.shift, 0);
    this.scale = each(config.scale, 1);
    this.is_standardized = config.shift !== undefined;
    this.log_scale = this.scale.reduce((sum, scale) => sum + Math.log(scale), 0);
  }

  /** The input of the encoder. */
  standardize(x, array) {
    if (!this.is_standardized) return x;
    return zeros(x.length, array).map(
      (_, i) => (x[i] - this.shift[i % this.D]) / this.scale[i % this.D],
    );
  }

  in_own_units(y) {
    return Float64Array.from(
      y,
      (value, i) => value * this.scale[i % this.D] + this.shift[i % this.D],
    );
  }

  log_prob(params, x, output) {
    const [log_px, cache] = this.log_prob_of(params, this.standardize(x, output), output);
    return [log_px.map((value) => value - this.log_scale), cache];
  }
}

/** log p = -1/2 sum_d (log 2 pi + log_var_d + (x_d - mean_d)^2 / exp(log_var_d)). */
class Gaussian extends Standardized {
  constructor(D, config) {
    super(D, config);
    this.variance = config.variance; // a number, "shared" or "per_dimension"
    this.output_dim = config.variance === "per_dimension" ? 2 * D : D;
  }

  /** mean and log_var (N, D) of the decoder's output. */
  parts(params, output) {
    const { D, variance } = this;
    if (variance === "per_dimension") {
      return [columns(output, 2 * D, 0, D), columns(output, 2 * D, D, 2 * D)];
    }
    const log_var = variance === "shared" ? params["likelihood.log_var"][0] : Math.log(variance);
    return [output, zeros(output.length, output).fill(log_var)];
  }

  log_prob_of(params, x, output) {
    const { D } = this;
    const N = x.length / D;
    const log_px = zeros(N, output);
    const [mean, log_var] = this.parts(params, output);
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let i = n * D; i < (n + 1) * D; i++) {
        sum += LOG_2PI + log_var[i] + (x[i] - mean[i]) ** 2 * Math.exp(-log_var[i]);
      }
      log_px[n] = -0.5 * sum;
    }
    return [log_px, { x, mean, log_var }];
  }

  log_prob_backward(params, grads, dlog_prob, { x, mean, log_var }) {
    const { D } = this;
    const N = x.length / D;
    const dmean = zeros(x.length, mean);
    const dlog_var = zeros(x.length, mean);
    for (let i = 0; i < x.length; i++) {
      const residual = x[i] - mean[i];
      const standardized = residual * Math.exp(-log_var[i]);
      const dlog_p = dlog_prob[Math.floor(i / D)];
      dmean[i] = dlog_p * standardized;
      dlog_var[i] = 0.5 * dlog_p * (standardized * residual - 1);
    }
    if (this.variance === "per_dimension") return side_by_side(N, [dmean, dlog_var]);
    if (this.variance === "shared") {
      grads["likelihood.log_var"][0] += dlog_var.reduce((sum, value) => sum + value, 0);
    }
    return dmean;
  }

  mean(output) {
    return this.in_own_units(
      this.variance === "per_dimension" ? columns(output, 2 * this.D, 0, this.D) : output,
    );
  }
}

/** Correlated residuals r = x - mean: log p = -1/2 sum_d (log 2 pi + log_var_d + u_d^2), u = B^T r. */
class StructuredGaussian extends Standardized {
  constructor(D, config) {
    super(D, config);
    const { band, width } = config;
    const rows = width === null ? 0 : band;
    const reach = width === null ? band : Math.min(band, width - 1);
    this.edges = []; // of each neighbour its offset o, and for d < D - o whether d + o is a neighbour
    for (let down = 0; down <= rows; down++) {
      for (let step = -reach; step <= reach; step++) {
        if (down === 0 && step <= 0) continue;
        const o = Math.min(down * (width ?? 0) + step, D);
        const row = width ?? D + band;
        const inside = Array.from(
          { length: D - o },
          (_, d) => (d % row) + step >= 0 && (d % row) + step < row,
        );
        this.edges.push([o, inside]);
      }
    }
    this.output_dim = (2 + this.edges.length) * D;
  }

  log_prob_of(params, x, output) {
    const { D, output_dim } = this;
    const N = x.length / D;
    const log_px = zeros(N, output);
    const r = zeros(N * D, output);
    const u = zeros(N * D, output);
    const diagonal = zeros(N * D, output);
    for (let n = 0; n < N; n++) {
      const at = n * D;
      const out = output.subarray(n * output_dim, (n + 1) * output_dim);
      for (let d = 0; d < D; d++) {
        r[at + d] = x[at + d] - out[d];
        diagonal[at + d] = Math.exp(-0.5 * out[D + d]); // B_dd
        u[at + d] = diagonal[at + d] * r[at + d];
      }
      this.edges.forEach(([o, inside], k) => {
        inside.forEach((is, d) => (u[at + d] += is ? out[(2 + k) * D + d] * r[at + d + o] : 0));
      });
      let sum = 0;
      for (let d = 0; d < D; d++) sum += LOG_2PI + out[D + d] + u[at + d] ** 2;
      log_px[n] = -0.5 * sum;
    }
    return [log_px, { r, u, diagonal, output }];
  }

  /** dmean = dlog_prob B u,  dB_ij = -dlog_prob r_i u_j,  dlog_var_d = dlog_prob (r_d u_d B_dd - 1) / 2. */
  log_prob_backward(params, grads, dlog_prob, { r, u, diagonal, output }) {
    const { D, output_dim } = this;
    const doutput = zeros(output.length, output);
    dlog_prob.forEach((dlog_p, n) => {
      const at = n * D;
      const part = [n * output_dim, (n + 1) * output_dim];
      const out = output.subarray(...part);
      const dout = doutput.subarray(...part);
      for (let d = 0; d < D; d++) {
        dout[d] += dlog_p * diagonal[at + d] * u[at + d];
        dout[D + d] = 0.5 * dlog_p * (r[at + d] * u[at + d] * diagonal[at + d] - 1);
      }
      this.edges.forEach(([o, inside], k) => {
        inside.forEach((is, d) => {
          if (!is) return;
          dout[d + o] += dlog_p * out[(2 + k) * D + d] * u[at + d];
          dout[(2 + k) * D + d] = -dlog_p * r[at + d + o] * u[at + d];
        });
      });
    });
    return doutput;
  }

  mean(output) {
    return this.in_own_units(columns(output, this.output_dim, 0, this.D));
  }
}

/** The likelihood that a model's configuration describes. */
function likelihood_from_config(config, D) {
  if (config.name === "Bernoulli") return new Binomial(D, 1);
  if (config.name === "Binomial") return new Binomial(D, config.total_count);
  return config.name === "Gaussian" ? new Gaussian(D, config) : new StructuredGaussian(D, config);
}
