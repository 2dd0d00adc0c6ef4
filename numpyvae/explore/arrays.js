"use strict";
// Flat typed arrays, row by row: x (N, D) has x[n * D + d]. The type of theta decides the precision
// of all computations: Float64Array for the gradient path, Float32Array for training.

/** A new array of n zeros of the kind of `array`. */
function zeros(n, array) {
  return new array.constructor(n);
}

/** y = x W, x (N, n_in), W (n_in, n_out) -> y (N, n_out). */
function product(x, W, n_in) {
  const n_out = W.length / n_in;
  const N = x.length / n_in;
  const y = zeros(N * n_out, W);
  for (let n = 0; n < N; n++) {
    const row = y.subarray(n * n_out, (n + 1) * n_out);
    for (let i = 0; i < n_in; i++) {
      const x_i = x[n * n_in + i];
      if (x_i === 0) continue; // half of the pixels, and of the units behind a ReLU
      const start = i * n_out;
      for (let j = 0; j < n_out; j++) row[j] += x_i * W[start + j];
    }
  }
  return y;
}

/** dW += x^T dy, x (N, n_in), dy (N, n_out), dW (n_in, n_out). */
function add_product(dW, x, dy, n_in) {
  const n_out = dW.length / n_in;
  const N = x.length / n_in;
  for (let n = 0; n < N; n++) {
    const row = dy.subarray(n * n_out, (n + 1) * n_out);
    for (let i = 0; i < n_in; i++) {
      const x_i = x[n * n_in + i];
      if (x_i === 0) continue;
      const start = i * n_out;
      for (let j = 0; j < n_out; j++) dW[start + j] += x_i * row[j];
    }
  }
}

/** dx = dy W^T, dy (N, n_out), W (n_in, n_out) -> dx (N, n_in). */
function product_transposed(dy, W, n_in) {
  const n_out = W.length / n_in;
  const N = dy.length / n_out;
  const dx = zeros(N * n_in, W);
  for (let n = 0; n < N; n++) {
    const row = dy.subarray(n * n_out, (n + 1) * n_out);
    for (let i = 0; i < n_in; i++) {
      const start = i * n_out;
      let sum = 0;
      for (let j = 0; j < n_out; j++) sum += row[j] * W[start + j];
      dx[n * n_in + i] = sum;
    }
  }
  return dx;
}

/** Rows of x (N, D), copied in the order of `rows` into an array of the kind of `array`. */
function take(x, D, rows, array = x) {
  const y = zeros(rows.length * D, array);
  rows.forEach((row, n) => y.set(x.subarray(row * D, (row + 1) * D), n * D));
  return y;
}

/** Columns from `start` to `stop` of x (N, D). */
function columns(x, D, start, stop) {
  const N = x.length / D;
  const width = stop - start;
  const y = zeros(N * width, x);
  for (let n = 0; n < N; n++) {
    for (let j = 0; j < width; j++) y[n * width + j] = x[n * D + start + j];
  }
  return y;
}

/** a (N, A) and b (N, B), side by side: (N, A + B). The inverse of `columns`. */
function side_by_side(N, parts) {
  const widths = parts.map((part) => part.length / N);
  const D = widths.reduce((a, b) => a + b, 0);
  const y = zeros(N * D, parts[0]);
  let start = 0;
  parts.forEach((part, k) => {
    for (let n = 0; n < N; n++) {
      for (let j = 0; j < widths[k]; j++) y[n * D + start + j] = part[n * widths[k] + j];
    }
    start += widths[k];
  });
  return y;
}

function mean_of(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** The Euclidean length of a vector. */
function length_of(values) {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

const sigmoid = (x) => 0.5 * (1 + Math.tanh(0.5 * x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Random numbers that a seed repeats: uniform() in [0, 1), normal() ~ N(0, 1). (mulberry32, Box-Muller.) */
class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  normal() {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** 0, ..., n - 1 in random order. */
  permutation(n) {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
