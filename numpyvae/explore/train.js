"use strict";
// Training in the page: steps of Adam on the examples that it carries, whole or a half at a time.

const RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
const FOLLOWED = 400; // test examples that the plane and the curve follow
const BUSY = 40; // milliseconds of steps between two pictures
const SAMPLES = 36;

class TrainPart {
  constructor(app) {
    this.app = app;
    this.seed = 0;
    this.is_playing = false;
    this.followed = Math.min(FOLLOWED, app.N);
    const random = new Random(3), normal = (n) => Float64Array.from({ length: n }, () => random.normal());
    this.test_noise = normal(this.followed * app.vae.L);
    this.sample_z = normal(SAMPLES * app.vae.L);
    this.curve = new Board("train-curve", (board) => this.draw_curve(board));
    this.curve.margin = { left: 62, right: 10, top: 10, bottom: 40 };
    this.plane = new Board("train-plane", (board) => this.draw_plane(board));
    this.plane.margin = { ...MARGIN };
    this.samples = new Board("train-samples", (board) => this.draw_samples(board));
    this.pairs = new Board("train-pairs", (board) => this.draw_pairs(board));
    for (const rate of RATES) element("train-rate").append(make("option", { textContent: rate, selected: rate === 3e-3 }));
    this.listen();
    app.on("theme", () => this.redraw());
    app.on("beta", () => this.show_beta());
    this.begin(app.run_theta, "The run's weights. Play, or take a step apart: forward, backward, update.");
  }

  /** Start from these weights, with an Adam of its own and an empty curve. */
  begin(theta, says) {
    const { app } = this;
    this.stop();
    app.theta.set(theta);
    this.adam = new Adam(Number(element("train-rate").value));
    this.random = new Random(1 + this.seed);
    this.order = [];
    this.steps = 0;
    this.batch = this.values = this.cotangents = null;
    this.history = { step: [], elbo: [], test: [] };
    this.view = null;
    app.touch();
    this.measure();
    this.say(says);
    this.show();
  }

  // One step, and its three parts.

  next_batch() {
    const { app, random } = this, size = Math.min(Number(element("train-batch").value), app.n_train);
    if (this.order.length < size) this.order = Array.from(random.permutation(app.n_train));
    const rows = this.order.splice(0, size), x = take(app.x_train, app.vae.D, rows, app.theta);
    if (app.run.train.binarize) x.forEach((pixel, i) => (x[i] = 255 * random.uniform() < pixel ? 1 : 0));
    return { x, noise: zeros(size * app.vae.L, app.theta).map(() => random.normal()), size };
  }

  forward() {
    const { app } = this;
    this.batch = this.next_batch();
    this.params = app.vae.views(app.theta);
    this.values = app.vae.forward(this.params, this.batch.x, this.batch.noise, { beta: app.beta });
    this.cotangents = null;
  }

  backward() {
    const { app } = this;
    this.grad = zeros(app.theta.length, app.theta);
    this.cotangents = app.vae.backward(this.params, app.vae.views(this.grad), this.values.cache);
  }

  update() {
    const { app, values } = this;
    this.adam.learning_rate = Number(element("train-rate").value);
    this.adam.step(app.theta, this.grad);
    this.steps += 1;
    this.pulled = { mean: values.mean, dheads: this.cotangents.dheads, size: this.batch.size };
    this.record(values);
    this.values = this.cotangents = null;
    app.touch();
    if (!Number.isFinite(values.loss)) {
      this.stop();
      this.say("The loss is no longer finite: restart, with a smaller learning rate.");
    }
  }

  one_step() {
    this.forward();
    this.backward();
    this.update();
  }

  record({ log_px, kl }) {
    const { history } = this;
    history.step.push(this.steps);
    history.elbo.push(mean_of(log_px) - mean_of(kl));
    if (history.step.length > 3000) { // every second point still shows the curve
      history.step = history.step.filter((_, i) => i % 2);
      history.elbo = history.elbo.filter((_, i) => i % 2);
    }
  }

  /** Means of the followed test examples, and their ELBO with one fixed draw of the noise. */
  measure() {
    const { app, followed } = this, { D, L } = app.vae;
    const x = zeros(followed * D, app.theta), noise = zeros(followed * L, app.theta);
    x.set(app.x_test.subarray(0, followed * D));
    noise.set(this.test_noise);
    const values = app.vae.forward(app.vae.views(app.theta), x, noise);
    this.test = { ...values, elbo: mean_of(values.log_px) - mean_of(values.kl) };
    this.history.test.push([this.steps, this.test.elbo]);
    if (this.history.test.length > 1500) this.history.test = this.history.test.filter((_, i) => i % 2);
  }

  play() {
    if (this.is_playing) {
      this.stop();
      return;
    }
    this.is_playing = true;
    element("train-play").textContent = "Pause";
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    let last = 0;
    const frame = () => {
      if (!this.is_playing) return;
      const start = performance.now();
      let steps = 0;
      while (this.is_playing && (steps === 0 || performance.now() - start < BUSY)) {
        this.one_step();
        steps += 1;
      }
      this.step_time = (performance.now() - start) / steps;
      if (performance.now() - last > (calm ? 1000 : 60)) {
        last = performance.now();
        this.measure();
        if (this.is_playing) this.show();
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.is_playing = false;
    element("train-play").textContent = "Play";
    if (this.history?.step.length) {
      this.measure();
      this.show();
    }
  }

  say(text) {
    element("train-says").textContent = text;
  }

  show() {
    const { app, values, cotangents } = this;
    const off = (id, is_off) => element(id).setAttribute("aria-disabled", String(is_off));
    off("train-backward", !values || Boolean(cotangents));
    off("train-update", !cotangents);
    const epochs = (this.steps * Math.min(Number(element("train-batch").value), app.n_train)) / app.n_train;
    const time = this.step_time ? `, ${number_text(this.step_time, 2)} ms a step` : "";
    element("train-numbers").textContent = `${this.steps} steps, ${number_text(epochs, 3)} epochs${time}\ntest ELBO ${number_text(this.test.elbo, 5)} nats = log p(x|z) ${number_text(mean_of(this.test.log_px), 5)} − KL ${number_text(mean_of(this.test.kl), 4)}`;
    this.show_beta();
    this.redraw();
  }

  show_beta() {
    const { beta } = this.app, input = element("train-beta");
    if (document.activeElement !== input) input.value = Number.isFinite(beta) ? beta : "";
    input.placeholder = "∞";
  }

  redraw() {
    for (const board of [this.curve, this.plane, this.samples, this.pairs]) board.redraw();
    this.plane.canvas.setAttribute("aria-label", `Latent plane of ${this.followed} test examples after ${this.steps} steps`);
    this.curve.canvas.setAttribute("aria-label", `Learning curve: test ELBO ${number_text(this.test.elbo, 5)} nats after ${this.steps} steps`);
    this.samples.canvas.setAttribute("aria-label", `${SAMPLES} decoded draws from the prior`);
    this.pairs.canvas.setAttribute("aria-label", "Test examples and their reconstructions");
  }

  draw_curve(board) {
    const { history } = this, { ctx } = board, tests = history.test.filter(([, elbo]) => Number.isFinite(elbo));
    const skip = history.elbo.length > 60 ? 20 : 0; // the first steep drop would squash all others
    const shown = history.elbo.slice(skip).filter(Number.isFinite).concat(tests.filter(([step]) => step >= skip).map(([, elbo]) => elbo));
    if (!shown.length) return;
    const [low, high] = [Math.min(...shown), Math.max(...shown)];
    const pad = 0.06 * (high - low) || 1;
    board.view = { x: [0, Math.max(10, this.steps)], y: [low - pad, high + pad] };
    const line = (points, style, width, dash = []) => {
      ctx.strokeStyle = style;
      ctx.lineWidth = width;
      ctx.setLineDash(dash);
      ctx.beginPath();
      points.forEach((point) => ctx.lineTo(...board.to_pixels(...point)));
      ctx.stroke();
      ctx.setLineDash([]);
    };
    board.clipped(() => {
      const points = history.step.map((step, i) => [step, history.elbo[i]]);
      ctx.globalAlpha = 0.35;
      line(points, colour("path"), 1);
      ctx.globalAlpha = 1;
      const width = Math.max(1, Math.floor(points.length / 60));
      const smooth = points.filter((_, i) => i % width === 0).map((_, k) => {
        const part = points.slice(k * width, (k + 1) * width);
        return [mean_of(part.map(([step]) => step)), mean_of(part.map(([, elbo]) => elbo))];
      });
      line(smooth, colour("path"), 2.5);
      line(tests, colour("kl"), 2.5, [7, 5]);
    });
    board.axes("steps", "ELBO, nats");
    const [x, y] = [board.width - 22, board.height - board.margin.bottom];
    board.label("— ELBO of the batch", x, y - 34, colour("path"), 13, "right");
    board.label("- - test ELBO", x, y - 16, colour("kl"), 13, "right");
  }

  draw_plane(board) {
    const { app, test } = this, view = plane_view(app, test.mean);
    // The view grows at once and shrinks not at all, so that what moves are the points.
    if (this.view) for (const axis of ["x", "y"]) view[axis] = [Math.min(view[axis][0], this.view[axis][0]), Math.max(view[axis][1], this.view[axis][1])];
    this.view = board.view = view;
    board.clipped(() => {
      draw_prior(board, app);
      draw_examples(board, app, { mean: test.mean, log_var: test.log_var, N: this.followed });
      this.draw_pull(board);
    });
    const [a, b] = app.dims;
    board.axes(`z[${a}]`, b === undefined ? null : `z[${b}]`);
  }

  /** Of each example of the last batch: where a step of descent on its own loss would move its mean. */
  draw_pull(board) {
    const { app } = this, { L } = app.vae, [a, b] = app.dims;
    const now = this.cotangents ? { mean: this.values.mean, dheads: this.cotangents.dheads, size: this.batch.size } : this.pulled;
    element("train-legend").textContent = "Dots: means; ellipses: one sigma; dashed: 1 and 2 sigma of the prior.";
    if (!now) return;
    let longest = 0;
    const pulls = Array.from({ length: now.size }, (_, n) => app.dims.map((dim) => -now.size * now.dheads[n * 2 * L + dim]));
    for (const pull of pulls) longest = Math.max(longest, Math.hypot(...pull));
    const unit = nice_below(1.2 / (longest || 1)), [sx, sy] = board.scale;
    pulls.forEach((pull, n) => {
      const at = b === undefined ? [now.mean[n * L + a], ((n * 0.618034) % 1) * 1.6 - 0.95] : [now.mean[n * L + a], now.mean[n * L + b]];
      board.arrow(board.to_pixels(...at), [pull[0] * unit * sx, -(pull[1] ?? 0) * unit * sy], colour("sum"), { width: 1 });
    });
    element("train-legend").textContent += ` Arrows: minus the gradient of each example of the last batch by its mean; an arrow of ${number_text(unit, 1)} = 1 nat per unit.`;
  }

  draw_samples(board) {
    const { app } = this, x = app.vae.decode(app.theta64(), this.sample_z);
    app.pictures.grid(board, x, Math.ceil(Math.sqrt(SAMPLES)), [3, 3, board.width - 6, board.height - 6], 2);
  }

  draw_pairs(board) {
    const { app } = this, n = Math.min(6, this.followed), { D, L } = app.vae;
    const both = new Float64Array(2 * n * D);
    both.set(app.x_test.subarray(0, n * D));
    both.set(app.vae.decode(app.theta64(), Float64Array.from(this.test.mean.subarray(0, n * L))), n * D);
    app.pictures.grid(board, both, n, [3, 3, board.width - 6, board.height - 6], 3);
  }

  listen() {
    const { app } = this;
    const click = (id, action) => element(id).addEventListener("click", (event) => {
      if (event.currentTarget.getAttribute("aria-disabled") !== "true") action();
    });
    click("train-play", () => this.play());
    click("train-step", () => {
      this.stop();
      this.one_step();
      this.measure();
      this.say(`Step ${this.steps}: a new batch, forward, backward, and Adam has moved the weights.`);
      this.show();
    });
    click("train-forward", () => {
      this.stop();
      this.forward();
      const { loss, log_px, kl } = this.values;
      this.say(`Forward: loss ${number_text(loss, 5)} nats on ${this.batch.size} examples, log p(x|z) ${number_text(mean_of(log_px), 5)}, KL ${number_text(mean_of(kl), 4)}. The caches are kept; nothing has moved.`);
      this.show();
    });
    click("train-backward", () => {
      this.backward();
      this.say(`Backward: the gradient of ${this.grad.length.toLocaleString("en")} weights, length ${number_text(Math.hypot(...norm_parts(this.grad)), 4)}. The arrows are its pull on the means; nothing has moved yet.`);
      this.show();
    });
    click("train-update", () => {
      this.update();
      this.measure();
      this.say(`Update ${this.steps}: Adam has moved the weights by the gradient.`);
      this.show();
    });
    click("train-restart", () => {
      this.seed += 1;
      const theta = app.theta.slice();
      app.vae.initialize(theta, new Random(this.seed));
      this.begin(theta, `New weights, drawn from seed ${this.seed}. Nothing is learned yet.`);
    });
    click("train-run", () => this.begin(app.run_theta, "Back to the run's weights, with a new Adam."));
    element("train-beta").addEventListener("input", (event) => {
      const beta = event.target.value === "" ? app.vae.beta : Number(event.target.value);
      if (!(beta >= 0)) return;
      app.beta = beta;
      app.emit("beta");
    });
  }
}
