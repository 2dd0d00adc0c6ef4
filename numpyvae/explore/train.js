"use strict";
// Training in the page: steps of Adam on the examples that it carries, whole or a half at a time.

const RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
const FOLLOWED = 400; // test examples that the plane and the curve follow
const BUSY = 40; // milliseconds of steps between two pictures

class TrainPart extends TrainDrawing {
  constructor(app) {
    super();
    this.app = app;
    this.seed = 0;
    this.is_playing = false;
    this.followed = Math.min(FOLLOWED, app.N);
    const random = new Random(3);
    const normal = (n) => Float64Array.from({ length: n }, () => random.normal());
    this.test_noise = normal(this.followed * app.vae.L);
    this.sample_z = normal(SAMPLES * app.vae.L);
    this.curve = new Board("train-curve", (board) => this.draw_curve(board));
    this.curve.margin = { left: 62, right: 18, top: 10, bottom: 40 };
    this.plane = new Board("train-plane", (board) => this.draw_plane(board));
    this.plane.margin = { ...MARGIN };
    this.samples = new Board("train-samples", (board) => this.draw_samples(board));
    this.pairs = new Board("train-pairs", (board) => this.draw_pairs(board));
    for (const rate of RATES)
      element("train-rate").append(make("option", { textContent: rate, selected: rate === 3e-3 }));
    this.listen();
    this.listen_to_settings();
    app.on("theme", () => this.redraw());
    app.on("beta", () => this.show_beta());
    this.begin(
      app.run_theta,
      "the run's weights",
      "The run's weights. Play, or take a step apart: forward, backward, update.",
    );
  }

  /** Start from these weights, with an Adam of its own and an empty curve. */
  begin(theta, origin, says) {
    const { app } = this;
    this.stop();
    app.origin = origin;
    app.theta.set(theta);
    this.adam = new Adam(Number(element("train-rate").value));
    this.random = new Random(1 + this.seed);
    this.order = [];
    this.steps = this.seen = 0;
    this.batch = this.values = this.cotangents = this.pulled = null;
    this.history = { step: [], elbo: [], test: [] };
    this.view = null;
    app.touch();
    this.measure();
    this.say(says);
    this.show();
  }

  // One step, and its three parts.

  next_batch() {
    const { app, random } = this;
    const size = Math.min(Number(element("train-batch").value), app.n_train);
    if (this.order.length < size) this.order = Array.from(random.permutation(app.n_train));
    const rows = this.order.splice(0, size);
    const x = take(app.x_train, app.vae.D, rows, app.theta);
    if (app.run.train.binarize)
      x.forEach((pixel, i) => (x[i] = 255 * random.uniform() < pixel ? 1 : 0));
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
    this.seen += this.batch.size;
    this.pulled = { mean: values.mean, dheads: this.cotangents.dheads, size: this.batch.size };
    this.record(values);
    this.values = this.cotangents = null;
    app.steps = this.steps;
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
    if (history.step.length > 3000) {
      // every second point still shows the curve
      history.step = history.step.filter((_, i) => i % 2);
      history.elbo = history.elbo.filter((_, i) => i % 2);
    }
  }

  /** Means of the followed test examples, and their ELBO with one fixed draw of the noise. */
  measure() {
    const { app, followed } = this;
    const { D, L } = app.vae;
    const x = zeros(followed * D, app.theta);
    const noise = zeros(followed * L, app.theta);
    x.set(app.x_test.subarray(0, followed * D));
    noise.set(this.test_noise);
    const values = app.vae.forward(app.vae.views(app.theta), x, noise);
    this.test = { ...values, elbo: mean_of(values.log_px) - mean_of(values.kl) };
    this.history.test.push([this.steps, this.test.elbo]);
    if (this.history.test.length > 1500)
      this.history.test = this.history.test.filter((_, i) => i % 2);
  }

  play() {
    if (this.is_playing) {
      this.stop();
      return;
    }
    this.is_playing = true;
    element("train-play").textContent = "Pause";
    this.say("Training: each step takes a new batch forward and back, and updates the weights.");
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
    if (!this.is_playing) return;
    this.is_playing = false;
    element("train-play").textContent = "Play";
    this.say(`Paused after ${this.steps} steps.`);
    this.measure();
    this.show();
  }

  say(text) {
    element("train-says").textContent = text;
  }

  show() {
    const { app, values, cotangents } = this;
    const off = (id, is_off) => element(id).setAttribute("aria-disabled", String(is_off));
    off("train-backward", !values || Boolean(cotangents));
    off("train-update", !cotangents);
    const { elbo, log_px, kl } = this.test;
    const time = this.step_time ? `, ${number_text(this.step_time, 2)} ms a step` : "";
    element("train-numbers").textContent =
      `${this.steps} steps, ${number_text(this.seen / app.n_train, 3)} epochs${time}\n` +
      `test ELBO ${number_text(elbo, 5)} nats = log p(x|z) ${number_text(mean_of(log_px), 5)} − KL ` +
      number_text(mean_of(kl), 4);
    app.steps = this.steps;
    app.describe();
    this.show_beta();
    this.redraw();
  }

  show_beta() {
    const { beta } = this.app;
    const input = element("train-beta");
    if (document.activeElement !== input) input.value = Number.isFinite(beta) ? beta : "";
    input.placeholder = "∞";
  }

  listen() {
    const click = (id, action) =>
      element(id).addEventListener("click", (event) => {
        if (event.currentTarget.getAttribute("aria-disabled") !== "true") action();
      });
    click("train-play", () => this.play());
    click("train-step", () => {
      this.stop();
      this.one_step();
      this.measure();
      this.say(
        `Step ${this.steps}: a new batch, forward, backward, and Adam has moved the weights.`,
      );
      this.show();
    });
    click("train-forward", () => {
      this.stop();
      this.forward();
      const { loss, log_px, kl } = this.values;
      this.say(
        `Forward: loss ${number_text(loss, 5)} nats on ${this.batch.size} examples, log p(x|z) ` +
          `${number_text(mean_of(log_px), 5)}, KL ${number_text(mean_of(kl), 4)}. The caches are ` +
          "kept; nothing has moved.",
      );
      this.show();
    });
    click("train-backward", () => {
      this.backward();
      this.say(
        `Backward: the gradient of ${this.grad.length.toLocaleString("en")} weights, length ` +
          `${number_text(length_of(this.grad), 4)}. The arrows are its pull on the means; nothing ` +
          "has moved yet.",
      );
      this.show();
    });
    click("train-update", () => {
      this.update();
      this.measure();
      this.say(`Update ${this.steps}: Adam has moved the weights by the gradient.`);
      this.show();
    });
  }

  listen_to_settings() {
    const { app } = this;
    element("train-restart").addEventListener("click", () => {
      this.seed += 1;
      const theta = app.theta.slice();
      app.vae.initialize(theta, new Random(this.seed));
      this.begin(
        theta,
        `weights drawn from seed ${this.seed}`,
        `New weights, drawn from seed ${this.seed}. Nothing is learned yet.`,
      );
    });
    element("train-run").addEventListener("click", () =>
      this.begin(app.run_theta, "the run's weights", "Back to the run's weights, with a new Adam."),
    );
    element("train-beta").addEventListener("input", (event) => {
      const beta = event.target.value === "" ? app.vae.beta : Number(event.target.value);
      if (!(beta >= 0)) return;
      app.beta = beta;
      app.emit("beta");
    });
  }
}
