"use strict";
// numpyvae/models/vae.py under the same names: forward, backward and their parts. dx means
// d loss / d x. Every f(...) -> [value, cache] has its f_backward(dvalue, cache).

class Dense {
  constructor(name, n_in, n_out) {
    Object.assign(this, { W: `${name}.W`, b: `${name}.b`, n_in, n_out });
  }

  forward(params, x) {
    const y = product(x, params[this.W], this.n_in);
    const b = params[this.b];
    for (let i = 0; i < y.length; i++) y[i] += b[i % this.n_out];
    return [y, x];
  }

  backward_params(params, grads, dy, x) {
    add_product(grads[this.W], x, dy, this.n_in);
    const db = grads[this.b];
    for (let i = 0; i < dy.length; i++) db[i % this.n_out] += dy[i];
  }

  backward(params, grads, dy, x) {
    this.backward_params(params, grads, dy, x);
    return product_transposed(dy, params[this.W], this.n_in);
  }
}

/** y = f(x), dx = f'(x) dy, entry by entry; `slope` is f' by x and y. */
class Activation {
  constructor(f, slope) {
    Object.assign(this, { f, slope });
  }

  forward(params, x) {
    const y = x.map(this.f);
    return [y, { x, y }];
  }

  backward(params, grads, dy, { x, y }) {
    return dy.map((value, i) => value * this.slope(x[i], y[i]));
  }
}

const ACTIVATIONS = {
  relu: () =>
    new Activation(
      (x) => (x > 0 ? x : 0),
      (x) => (x > 0 ? 1 : 0),
    ),
  leaky_relu: () =>
    new Activation(
      (x) => (x > 0 ? x : 0.01 * x),
      (x) => (x > 0 ? 1 : 0.01),
    ),
  tanh: () => new Activation(Math.tanh, (x, y) => 1 - y * y),
  sigmoid: () => new Activation(sigmoid, (x, y) => y * (1 - y)),
  softplus: () => new Activation(softplus, (x) => sigmoid(x)),
};

/** Dense layers of the given widths with an activation between them. */
class Sequential {
  constructor(name, widths, activation) {
    this.layers = [];
    for (let i = 0; i + 1 < widths.length; i++) {
      if (i) this.layers.push(ACTIVATIONS[activation]());
      this.layers.push(new Dense(`${name}.${i}`, widths[i], widths[i + 1]));
    }
  }

  forward(params, x) {
    const cache = [];
    for (const layer of this.layers) {
      let layer_cache;
      [x, layer_cache] = layer.forward(params, x);
      cache.push(layer_cache);
    }
    return [x, cache];
  }

  backward(params, grads, dy, cache) {
    for (let i = this.layers.length - 1; i >= 0; i--) {
      dy = this.layers[i].backward(params, grads, dy, cache[i]);
    }
    return dy;
  }

  /** The same without dx: the widest product is not needed if x is data. */
  backward_params(params, grads, dy, cache) {
    for (let i = this.layers.length - 1; i > 0; i--) {
      dy = this.layers[i].backward(params, grads, dy, cache[i]);
    }
    this.layers[0].backward_params(params, grads, dy, cache[0]);
  }
}

function mean_and_log_var(heads, L) {
  return [columns(heads, 2 * L, 0, L), columns(heads, 2 * L, L, 2 * L)];
}

function mean_and_log_var_backward(dmean, dlog_var, L) {
  return side_by_side(dmean.length / L, [dmean, dlog_var]);
}

/** z = mean + sigma noise, sigma = exp(log_var / 2). */
function reparameterize(mean, log_var, noise) {
  const z = mean.map((m, i) => m + Math.exp(0.5 * log_var[i]) * noise[i]);
  return [z, { mean, log_var, noise }];
}

/** dmean = dz,  dlog_var = dz noise sigma / 2. */
function reparameterize_backward(dz, { log_var, noise }) {
  return [dz, dz.map((d, i) => 0.5 * d * noise[i] * Math.exp(0.5 * log_var[i]))];
}

/** KL(q(z|x) || p(z)) = 1/2 sum_l (mean^2 + sigma^2 - 1 - log_var), (N,) nats. */
function kl_to_standard_normal(mean, log_var, L) {
  const kl = zeros(mean.length / L, mean);
  for (let n = 0; n < kl.length; n++) {
    let sum = 0;
    for (let i = n * L; i < (n + 1) * L; i++)
      sum += mean[i] * mean[i] + (Math.expm1(log_var[i]) - log_var[i]);
    kl[n] = 0.5 * sum;
  }
  return [kl, { mean, log_var, L }];
}

/** dmean = dkl mean,  dlog_var = dkl (sigma^2 - 1) / 2. */
function kl_to_standard_normal_backward(dkl, { mean, log_var, L }) {
  const dkl_of = (i) => dkl[Math.floor(i / L)];
  return [
    mean.map((m, i) => dkl_of(i) * m),
    log_var.map((v, i) => 0.5 * dkl_of(i) * Math.expm1(v)),
  ];
}

/** loss = mean_n (beta KL_n - log p(x_n|z_n)); at beta = Infinity the KL alone. */
function negative_elbo(log_px, kl, beta, N = log_px.length) {
  let sum = 0;
  for (let n = 0; n < log_px.length; n++)
    sum += beta === Infinity ? kl[n] : beta * kl[n] - log_px[n];
  return [sum / N, { log_px, beta, N }];
}

/** dlog_px = -dloss / N,  dkl = dloss beta / N; at beta = Infinity 0 and dloss / N. */
function negative_elbo_backward(dloss, { log_px, beta, N }) {
  const weight = dloss / N;
  const each = (value) => zeros(log_px.length, log_px).fill(value);
  return beta === Infinity ? [each(0), each(weight)] : [each(-weight), each(beta * weight)];
}

/** The pieces that a planted mistake replaces by a wrong one: see mistakes.js. */
const PIECES = {
  reparameterize,
  reparameterize_backward,
  kl_to_standard_normal_backward,
  negative_elbo_backward,
  mean_and_log_var_backward,
  log_prob_backward: (likelihood, params, grads, dlog_px, cache) =>
    likelihood.log_prob_backward(params, grads, dlog_px, cache),
  decoder_backward: (decoder, params, grads, doutput, cache) =>
    decoder.backward(params, grads, doutput, cache),
};

class VAE {
  /** `model` is the configuration that the page carries: D, L, widths, activation, likelihood, layout. */
  constructor({ data_dim, latent_dim, hidden_dims, activation, likelihood, beta, layout }) {
    Object.assign(this, { D: data_dim, L: latent_dim, activation, beta, layout });
    this.likelihood = likelihood_from_config(likelihood, data_dim);
    this.encoder = new Sequential(
      "encoder",
      [data_dim, ...hidden_dims, 2 * latent_dim],
      activation,
    );
    const widths = [latent_dim, ...[...hidden_dims].reverse(), this.likelihood.output_dim];
    this.decoder = new Sequential("decoder", widths, activation);
  }

  /** Named views of theta (P,): to write to one is to write to theta. */
  views(theta) {
    const view = ([start, shape]) =>
      theta.subarray(start, start + shape.reduce((a, b) => a * b, 1));
    return Object.fromEntries(
      Object.entries(this.layout).map(([name, where]) => [name, view(where)]),
    );
  }

  /** x (N, D), noise (N, L) -> the loss, each value on the way to it, and the caches. `N` is the batch. */
  forward(params, x, noise, { beta = this.beta, N = undefined, pieces = PIECES } = {}) {
    const { encoder, decoder, likelihood, L } = this;
    const [heads, encoder_cache] = encoder.forward(params, this.encoder_input(x, noise)); // (N, 2L)
    const [mean, log_var] = mean_and_log_var(heads, L); // (N, L) each
    const [z, sample_cache] = pieces.reparameterize(mean, log_var, noise); // (N, L)
    const [output, decoder_cache] = decoder.forward(params, z); // (N, D')
    const [log_px, likelihood_cache] = likelihood.log_prob(params, x, output); // (N,)
    const [kl, kl_cache] = kl_to_standard_normal(mean, log_var, L); // (N,)
    const [loss, loss_cache] = negative_elbo(log_px, kl, beta, N);
    const cache = {
      encoder_cache,
      sample_cache,
      decoder_cache,
      likelihood_cache,
      kl_cache,
      loss_cache,
    };
    return { heads, mean, log_var, z, output, log_px, kl, loss, cache };
  }

  /** The same lines from the bottom up; the parameters' gradients are added to `grads`. */
  backward(params, grads, cache, pieces = PIECES) {
    const { encoder, decoder, likelihood, L } = this;
    const { encoder_cache, sample_cache, decoder_cache, likelihood_cache, kl_cache, loss_cache } =
      cache;
    const [dlog_px, dkl] = pieces.negative_elbo_backward(1, loss_cache);
    const [dmean_kl, dlog_var_kl] = pieces.kl_to_standard_normal_backward(dkl, kl_cache); // route 1
    const doutput = pieces.log_prob_backward(likelihood, params, grads, dlog_px, likelihood_cache);
    const dz = pieces.decoder_backward(decoder, params, grads, doutput, decoder_cache);
    const [dmean_z, dlog_var_z] = pieces.reparameterize_backward(dz, sample_cache); // route 2
    const dmean = dmean_z.map((d, i) => d + dmean_kl[i]);
    const dlog_var = dlog_var_z.map((d, i) => d + dlog_var_kl[i]);
    const dheads = pieces.mean_and_log_var_backward(dmean, dlog_var, L);
    encoder.backward_params(params, grads, dheads, encoder_cache); // dx is not needed
    return { dlog_px, dkl, dmean_kl, dlog_var_kl, doutput, dz, dmean_z, dlog_var_z, dheads };
  }

  loss_and_grad(theta, x, noise, options = {}) {
    const params = this.views(theta);
    const grad = zeros(theta.length, theta);
    const values = this.forward(params, x, noise, options);
    const cotangents = this.backward(params, this.views(grad), values.cache, options.pieces);
    return { ...values, ...cotangents, grad };
  }

  encoder_input(x, array) {
    const { likelihood } = this;
    return likelihood.is_standardized ? likelihood.standardize(x, array) : x;
  }

  /** q(z|x) of x (N, D): [mean, log_var], (N, L) each. */
  encode(theta, x) {
    const [heads] = this.encoder.forward(this.views(theta), this.encoder_input(x, theta));
    return mean_and_log_var(heads, this.L);
  }

  /** E[x|z] of z (N, L), (N, D), in the data's own units. */
  decode(theta, z) {
    return this.likelihood.mean(this.decoder.forward(this.views(theta), z)[0]);
  }

  /** Initial weights drawn as numpyvae draws them, He before a ReLU and Glorot elsewhere. */
  initialize(theta, random) {
    theta.fill(0);
    const params = this.views(theta);
    const is_relu = this.activation.endsWith("relu");
    for (const network of [this.encoder, this.decoder]) {
      network.layers
        .filter((layer) => layer instanceof Dense)
        .forEach(({ W, n_in, n_out }, i, dense) => {
          const he = is_relu && i + 1 < dense.length;
          const bound = Math.sqrt(6 / (n_in + n_out));
          const draw = he
            ? () => random.normal() * Math.sqrt(2 / n_in)
            : () => bound * (2 * random.uniform() - 1);
          const scale = network === this.encoder && i === 0 ? (this.likelihood.n ?? 1) : 1;
          params[W].forEach((_, k) => (params[W][k] = draw() / scale));
        });
    }
  }
}

/** Adam, bias-corrected, as in numpyvae/optimizers.py. */
class Adam {
  constructor(learning_rate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8) {
    Object.assign(this, { learning_rate, beta1, beta2, epsilon, t: 0, M: null, V: null });
  }

  step(theta, grad) {
    const { beta1, beta2 } = this;
    const t = (this.t += 1);
    if (t === 1) [this.M, this.V] = [zeros(theta.length, theta), zeros(theta.length, theta)];
    const root = Math.sqrt((1 - beta2) / (1 - beta2 ** t));
    const { M, V } = this;
    const rate = (this.learning_rate * (1 - beta1)) / (1 - beta1 ** t) / root;
    const epsilon = this.epsilon / root;
    for (let i = 0; i < theta.length; i++) {
      M[i] = beta1 * M[i] + grad[i];
      V[i] = beta2 * V[i] + grad[i] * grad[i];
      theta[i] -= (rate * M[i]) / (Math.sqrt(V[i]) + epsilon);
    }
  }
}
