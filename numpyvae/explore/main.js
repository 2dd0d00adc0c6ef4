"use strict";
// The page: its data, the weights and the example it shows, its parts and its theme.

/** An element with properties and children. */
function make(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A packed array of the page: base64 of zlib of numbers. */
async function unpacked({ type, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const kinds = { Uint8Array, Float32Array, Float64Array };
  return new kinds[type](await new Response(stream).arrayBuffer());
}

class App {
  constructor(run, theta, x_test, x_train) {
    Object.assign(this, { run, run_theta: theta, theta: theta.slice() });
    this.vae = new VAE({
      ...run.model,
      beta: run.model.beta === "inf" ? Infinity : Number(run.model.beta),
    });
    const { D, L } = this.vae;
    this.x_test = Float64Array.from(x_test);
    this.x_train = x_train;
    [this.N, this.n_train] = [x_test.length / D, x_train.length / D];
    this.beta = this.vae.beta;
    this.dims = run.dims;
    this.z = new Float64Array(L);
    this.example = 0;
    this.weights = 0; // how often theta has changed
    this.listeners = {};
    this.pictures = new Pictures(run, this.vae);
    this.pictures.measure(this.x_test.subarray(0, 200 * D));
    this.origin = "the run's weights";
    this.steps = 0; // of training in this page
    this.encode();
  }

  on(event, action) {
    (this.listeners[event] ??= []).push(action);
  }

  emit(event) {
    for (const action of this.listeners[event] ?? []) action();
  }

  /** theta has changed: what depends on it is computed again when it is shown. */
  touch() {
    this.weights += 1;
    this.stale = true;
  }

  encode() {
    [this.mean, this.log_var] = this.vae.encode(this.theta64(), this.x_test);
    this.stale = false;
  }

  /** The weights in double precision, in which everything but training is computed. */
  theta64() {
    if (this.kept_at !== this.weights)
      [this.kept, this.kept_at] = [Float64Array.from(this.theta), this.weights];
    return this.kept;
  }

  x64(n) {
    return this.x_test.subarray(n * this.vae.D, (n + 1) * this.vae.D);
  }

  own_x(n) {
    return this.x64(n);
  }

  decode_one(z) {
    return this.vae.decode(this.theta64(), Float64Array.from(z));
  }

  terms_at_mean(n) {
    const values = this.vae.forward(
      this.vae.views(this.theta64()),
      this.x64(n),
      new Float64Array(this.vae.L),
    );
    return { log_px: values.log_px[0], kl: values.kl[0] };
  }

  label_of(n) {
    return this.run.classes.length ? this.run.classes[this.run.labels[n]] : null;
  }

  class_colour(n) {
    const { classes, labels, colours } = this.run;
    return classes.length ? colours[labels[n] % colours.length] : colour("path");
  }

  /** Which weights these are, beside the name of the model. */
  describe() {
    const { run, steps } = this;
    const trained = steps ? `, then ${steps.toLocaleString("en")} steps here` : "";
    element("about").textContent =
      `${run.model.name}, ${run.model.epochs} epochs trained. Shown: ${this.origin}${trained}.`;
  }

  /** Choose an example; z goes to its posterior mean. */
  choose(n) {
    this.example = (n + this.N) % this.N;
    const { L } = this.vae;
    this.z = Float64Array.from(this.mean.subarray(this.example * L, (this.example + 1) * L));
    this.emit("example");
  }

  is_shown(part) {
    return !element(part).hidden;
  }

  show(part) {
    for (const tab of document.querySelectorAll('[role="tab"]')) {
      const is_it = tab.getAttribute("aria-controls") === part;
      tab.setAttribute("aria-selected", String(is_it));
      tab.tabIndex = is_it ? 0 : -1;
      element(tab.getAttribute("aria-controls")).hidden = !is_it;
    }
    this.describe();
    if (part !== "train") this.train?.stop();
    if (part !== "path") this.path?.stop();
    if (this.stale && part !== "train") {
      this.encode();
      this.emit("weights");
    } else if (part === "path") this.path?.update();
  }
}

function listen_to_tabs(app) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => app.show(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = tabs[(k + by + tabs.length) % tabs.length];
      app.show(next.getAttribute("aria-controls"));
      next.focus();
    });
  });
}

function listen_to_theme(app) {
  const prefers_dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const set = () => {
    const is_dark = chosen ?? prefers_dark.matches;
    document.documentElement.dataset.theme = is_dark ? "dark" : "light";
    element("theme").textContent = is_dark ? "Light" : "Dark";
    app.emit("theme");
  };
  prefers_dark.addEventListener("change", set);
  element("theme").addEventListener("click", () => {
    chosen = !(chosen ?? prefers_dark.matches);
    set();
  });
  set();
}

/** What the page contains, and what it leaves out. */
function describe_run(app) {
  const { run } = app;
  const of = (part, shown) =>
    part.of > shown
      ? `${shown.toLocaleString("en")} of ${part.of.toLocaleString("en")}`
      : `all ${shown.toLocaleString("en")}`;
  document.title = `${run.title}: numpyvae explore`;
  element("title").textContent = run.title;
  element("notes").textContent =
    `This page holds ${of(run.test, app.N)} test examples and ${of(run.train, app.n_train)} training examples, ` +
    "and sends nothing anywhere. Logarithms are natural: values are in nats. Latent plane and " +
    "gradient path compute in float64, training in " +
    `${app.theta instanceof Float32Array ? "float32" : "float64"}.`;
}

async function open_page() {
  const run = JSON.parse(element("run").textContent);
  const app = new App(
    run,
    await unpacked(run.theta),
    await unpacked(run.test),
    await unpacked(run.train),
  );
  describe_run(app);
  app.show("plane");
  app.plane = new PlanePart(app);
  app.path = new PathPart(app);
  app.train = new TrainPart(app);
  app.encode();
  listen_to_tabs(app);
  listen_to_theme(app);
  const wanted = location.hash.slice(1);
  if (["plane", "path", "train"].includes(wanted)) app.show(wanted);
  window.app = app; // for the curious, and for the tests
  document.body.dataset.ready = "";
}

open_page();
