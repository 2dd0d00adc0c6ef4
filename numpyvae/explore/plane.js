"use strict";
// The latent plane: test examples at their posterior means, z under the pointer, and what is decoded.

const element = (id) => document.getElementById(id);
const MARGIN = { left: 54, right: 8, top: 8, bottom: 42 };
const STRIP = 11; // pictures along a line

/** The view of a plane: all means and the prior within 2.5, as a square. */
function plane_view(app, points = app.mean) {
  const [a, b] = app.dims, { L } = app.vae, N = points.length / L;
  const bounds = [a, b].map((dim) => {
    let [low, high] = [-2.5, 2.5];
    for (let n = 0; dim !== undefined && n < N; n++) {
      const value = points[n * L + dim];
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value - 0.2), Math.max(high, value + 0.2)];
    }
    return [low, high];
  });
  if (b === undefined) return { x: bounds[0], y: [-1.2, 1.2] };
  const half = Math.max(...bounds.map(([low, high]) => (high - low) / 2));
  const [x, y] = bounds.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
  return { x, y };
}

/** Where example n is drawn; of one latent dimension spread over the height, so that none hides another. */
function plane_point(app, n, mean = app.mean) {
  const { L } = app.vae, [a, b] = app.dims;
  return [mean[n * L + a], b === undefined ? ((n * 0.618034) % 1) * 1.6 - 0.95 : mean[n * L + b]];
}

/** Means as dots, one-sigma ellipses about them, classes by colour and, at their middle, by name. */
function draw_examples(board, app, { mean, log_var, N, shown = () => true, ellipses = true, names = true }) {
  const { ctx } = board, { L } = app.vae, [a, b] = app.dims, [sx, sy] = board.scale;
  const radius = Math.max(2, Math.min(4, board.width / 200));
  for (let n = 0; n < N; n++) {
    if (!shown(n)) continue;
    const at = board.to_pixels(...plane_point(app, n, mean));
    ctx.fillStyle = ctx.strokeStyle = app.class_colour(n);
    if (ellipses) {
      const sd = (dim) => Math.exp(0.5 * Math.min(log_var[n * L + dim], 6));
      ctx.lineWidth = 1;
      ctx.globalAlpha = 0.3;
      if (b === undefined) ctx.fillRect(at[0] - sd(a) * sx, at[1] - 0.5, 2 * sd(a) * sx, 1);
      else {
        board.ellipse(at, [sd(a) * sx, sd(b) * sy]);
        ctx.stroke();
        ctx.globalAlpha = 0.06;
        ctx.fill();
      }
    }
    ctx.globalAlpha = 0.9;
    ctx.beginPath();
    ctx.arc(...at, radius, 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
  if (names) draw_class_names(board, app, mean, N, shown);
}

function draw_class_names(board, app, mean, N, shown) {
  const median = (values) => values.sort((p, q) => p - q)[Math.floor(values.length / 2)];
  app.run.classes.forEach((name, k) => {
    const rows = [];
    for (let n = 0; n < N; n++) if (app.run.labels[n] === k && shown(n)) rows.push(plane_point(app, n, mean));
    if (!rows.length) return;
    const at = board.to_pixels(median(rows.map((row) => row[0])), app.dims.length > 1 ? median(rows.map((row) => row[1])) : 1.05);
    board.label(name, ...at, colour("ink"), 17, "center", 800);
  });
}

/** Circles of one and two standard deviations of the prior, or lines where L = 1. */
function draw_prior(board, app) {
  const { ctx } = board, [sx, sy] = board.scale, origin = board.to_pixels(0, 0);
  ctx.strokeStyle = colour("line");
  ctx.lineWidth = 1.2;
  ctx.setLineDash([6, 5]);
  for (const radius of [1, 2]) {
    if (app.dims.length > 1) {
      board.ellipse(origin, [radius * sx, radius * sy]);
      ctx.stroke();
    } else for (const side of [-radius, radius]) ctx.strokeRect(origin[0] + side * sx, board.margin.top, 0, board.height);
  }
  ctx.setLineDash([]);
}

/** The handle that is dragged: a ring about a cross, seen on any ground. */
function draw_handle(board, at, style = colour("ink")) {
  const { ctx } = board;
  for (const [width, colour_of] of [[6, colour("tile")], [2.5, style]]) {
    ctx.strokeStyle = colour_of;
    ctx.lineWidth = width;
    board.ellipse(at, [11, 11]);
    ctx.stroke();
    ctx.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ctx.moveTo(at[0] + 3 * dx, at[1] + 3 * dy);
      ctx.lineTo(at[0] + 16 * dx, at[1] + 16 * dy);
    }
    ctx.stroke();
  }
}

/** The arrow keys as a step (dx, dy); null for any other key. */
function arrow_key(event, step) {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const far = event.shiftKey ? 5 * step : step;
  return by ? by.map((d) => d * far) : null;
}

class PlanePart {
  constructor(app) {
    this.app = app;
    this.hidden = new Set(); // classes that are not shown
    this.hovered = null;
    this.line = null; // where it starts; it ends at z
    this.board = new Board("plane-canvas", () => this.draw_plane());
    this.board.margin = { ...MARGIN };
    this.decoded = new Board("plane-decoded", (board) => app.pictures.large(board, app.decode_one(app.z)));
    this.example = new Board("plane-example", (board) => this.draw_example(board));
    this.strip = new Board("plane-strip", (board) => this.draw_strip(board));
    this.listen();
    this.make_dims();
    this.make_classes();
    const { vae } = app; // a line to begin with: between the first two examples
    this.line = Float64Array.from(app.mean.subarray(0, vae.L));
    if (app.N > 1) app.z = Float64Array.from(app.mean.subarray(vae.L, 2 * vae.L));
    app.on("weights", () => this.refit());
    app.on("z", () => this.redraw());
    app.on("example", () => this.redraw());
    app.on("theme", () => this.redraw());
    this.refit();
  }

  refit() {
    this.board.view = plane_view(this.app);
    this.redraw();
  }

  redraw() {
    for (const board of [this.board, this.decoded, this.example, this.strip]) board.redraw();
    const { app } = this, z = Array.from(app.z, (v, l) => `z[${l}] = ${number_text(v)}`);
    const log_pz = app.z.reduce((sum, v) => sum - 0.5 * (LOG_2PI + v * v), 0);
    element("plane-z").textContent = `${(z.length > 4 ? app.dims.map((dim) => z[dim]) : z).join(", ")}\nlog p(z) = ${number_text(log_pz)} nats`;
    for (const input of element("dims").querySelectorAll("input")) {
      input.value = app.z[input.dataset.dim];
      input.nextElementSibling.textContent = number_text(app.z[input.dataset.dim], 2);
    }
    this.describe();
  }

  describe() {
    const { app } = this, n = this.hovered ?? app.example;
    const label = app.label_of(n);
    element("plane-example-title").textContent = `Example ${n}${label === null ? "" : `, label ${label}`}`;
    const { log_px, kl } = app.terms_at_mean(n);
    const mean = app.dims.map((dim) => `mean[${dim}] ${number_text(app.mean[n * app.vae.L + dim])} ± ${number_text(Math.exp(0.5 * app.log_var[n * app.vae.L + dim]), 2)}`);
    element("plane-example-text").textContent = `${mean.join(", ")}\nlog p(x|z = mean) ${number_text(log_px, 4)}, KL ${number_text(kl)} nats`;
    const where = app.dims.map((dim) => `z[${dim}] ${number_text(app.z[dim])}`).join(", ");
    this.board.canvas.setAttribute("aria-label", `Latent plane with ${app.N} test examples. ${where}. Arrow keys move z, Enter starts a line, Escape removes it.`);
    this.decoded.canvas.setAttribute("aria-label", `Decoded mean of p(x|z) at ${where}`);
    this.example.canvas.setAttribute("aria-label", `Test example ${n} beside its reconstruction`);
    this.strip.canvas.setAttribute("aria-label", this.line ? `${STRIP} decoded pictures along the line to z` : "No line is drawn");
  }

  draw_plane() {
    const { app, board } = this, is_on = (id) => element(id).checked;
    board.clipped(() => {
      if (is_on("show-manifold")) app.pictures.manifold(board, app, Math.max(24, board.width / 20));
      draw_prior(board, app);
      const shown = (n) => !this.hidden.has(app.run.labels[n]);
      if (is_on("show-points")) draw_examples(board, app, { ...app, shown, ellipses: is_on("show-ellipses") });
      this.draw_line();
      const n = this.hovered ?? app.example, at = board.to_pixels(...plane_point(app, n));
      board.ctx.strokeStyle = colour("ink");
      board.ctx.lineWidth = 2;
      board.ctx.strokeRect(at[0] - 7, at[1] - 7, 14, 14);
      draw_handle(board, this.z_at());
      board.label("z", this.z_at()[0] + 19, this.z_at()[1] - 15, colour("ink"), 16);
    });
    const [a, b] = app.dims;
    board.axes(`z[${a}]`, b === undefined ? null : `z[${b}]`);
  }

  z_at(z = this.app.z) {
    const [a, b] = this.app.dims;
    return this.board.to_pixels(z[a], b === undefined ? 0 : z[b]);
  }

  draw_line() {
    if (!this.line) return;
    const { ctx } = this.board, from = this.z_at(this.line), to = this.z_at();
    for (const [width, style] of [[5, colour("tile")], [2.5, colour("path")]]) {
      ctx.strokeStyle = ctx.fillStyle = style;
      ctx.lineWidth = width;
      ctx.beginPath();
      ctx.moveTo(...from);
      ctx.lineTo(...to);
      ctx.stroke();
    }
    for (let k = 0; k < STRIP; k++) {
      const t = k / (STRIP - 1);
      ctx.beginPath();
      ctx.arc(from[0] + t * (to[0] - from[0]), from[1] + t * (to[1] - from[1]), 3.5, 0, 7);
      ctx.fill();
    }
  }

  draw_example(board) {
    const { app } = this, n = this.hovered ?? app.example, half = board.width / 2;
    const x = app.own_x(n), again = app.decode_one(app.mean.subarray(n * app.vae.L, (n + 1) * app.vae.L));
    app.pictures.one(board, x, [6, 20, half - 12, board.height - 26]);
    app.pictures.one(board, again, [half + 6, 20, half - 12, board.height - 26]);
    board.label("x", half / 2, 10, colour("soft"), 12);
    board.label("E[x|z = mean]", 1.5 * half, 10, colour("soft"), 12);
  }

  draw_strip(board) {
    const { app } = this, { L } = app.vae;
    element("plane-strip-title").textContent = this.line
      ? `Along the line: E[x|z] at ${STRIP} points of equal distance, its start left, z right`
      : "No line: press Enter in the plane, or choose “draws a line”";
    if (!this.line) return;
    const z = new Float64Array(STRIP * L);
    for (let k = 0; k < STRIP; k++) {
      for (let l = 0; l < L; l++) z[k * L + l] = this.line[l] + (k / (STRIP - 1)) * (app.z[l] - this.line[l]);
    }
    app.pictures.grid(board, app.vae.decode(app.theta64(), z), STRIP, [2, 2, board.width - 4, board.height - 4], 3);
  }

  move_to(px, py) {
    const { app, board } = this, [x, y] = board.to_world(px, py), [a, b] = app.dims;
    const within = (value, [low, high]) => Math.min(high, Math.max(low, value));
    app.z[a] = within(x, board.view.x);
    if (b !== undefined) app.z[b] = within(y, board.view.y);
    app.emit("z");
  }

  nearest(px, py, reach) {
    const { app, board } = this;
    let [best, found] = [reach, null];
    for (let n = 0; n < app.N; n++) {
      if (this.hidden.has(app.run.labels[n])) continue;
      const [x, y] = board.to_pixels(...plane_point(app, n));
      const distance = Math.hypot(x - px, y - py);
      if (distance < best) [best, found] = [distance, n];
    }
    return found;
  }

  listen() {
    const { app, board } = this, { canvas } = board;
    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pressed = { at: board.pointer(event), moved: false };
      const draws = document.querySelector('input[name="drag"]:checked').value === "line";
      if (draws) {
        this.move_to(...pressed.at);
        this.line = app.z.slice();
      } else if (this.nearest(...pressed.at, 9) === null) this.move_to(...pressed.at);
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = board.pointer(event);
      if (pressed && (pressed.moved || Math.hypot(at[0] - pressed.at[0], at[1] - pressed.at[1]) > 3)) {
        pressed.moved = true;
        this.move_to(...at);
        return;
      }
      const found = this.nearest(...at, 14);
      if (found === this.hovered) return;
      this.hovered = found;
      this.redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      const found = pressed && !pressed.moved ? this.nearest(...board.pointer(event), 9) : null;
      if (found !== null) app.choose(found);
      pressed = null;
    });
    canvas.addEventListener("pointerleave", () => {
      this.hovered = null;
      this.redraw();
    });
    canvas.addEventListener("keydown", (event) => {
      const by = arrow_key(event, (board.view.x[1] - board.view.x[0]) / 100);
      if (by) {
        const [px, py] = this.z_at(), [sx, sy] = board.scale;
        this.move_to(px + by[0] * sx, py - by[1] * sy);
      } else if (event.key === "Enter") this.line = app.z.slice();
      else if (event.key === "Escape") this.line = null;
      else return;
      event.preventDefault();
      this.redraw();
    });
    for (const id of ["show-manifold", "show-ellipses", "show-points"]) element(id).addEventListener("change", () => this.redraw());
    element("plane-previous").addEventListener("click", () => app.choose(app.example - 1));
    element("plane-next").addEventListener("click", () => app.choose(app.example + 1));
  }

  /** Of more than two latent dimensions: which two are the plane's, and a slider for each other. */
  make_dims() {
    const { app } = this, { L } = app.vae, box = element("dims");
    if (L <= 2) return;
    box.replaceChildren();
    const row = make("div", { className: "row" });
    ["across", "up"].forEach((name, k) => {
      const select = make("select", { id: `dim-${name}` });
      for (let l = 0; l < L; l++) select.append(make("option", { value: l, textContent: `z[${l}]`, selected: l === app.dims[k] }));
      select.addEventListener("change", () => {
        const chosen = Number(select.value);
        if (app.dims[1 - k] === chosen) app.dims[1 - k] = app.dims[k];
        app.dims[k] = chosen;
        this.make_dims();
        app.emit("weights");
        element(`dim-${name}`).focus();
      });
      row.append(make("label", { textContent: `${name} ` }, [select]));
    });
    box.append(row);
    for (let l = 0; l < L; l++) {
      if (app.dims.includes(l)) continue;
      const input = make("input", { type: "range", min: -4, max: 4, step: 0.05, value: app.z[l] });
      input.dataset.dim = l;
      input.addEventListener("input", () => {
        app.z[l] = Number(input.value);
        app.emit("z");
      });
      box.append(make("label", { className: "grow", textContent: `z[${l}] ` }, [input, make("output", {})]));
    }
  }

  make_classes() {
    const { app } = this, box = element("plane-classes");
    box.hidden = !app.run.classes.length;
    app.run.classes.forEach((name, k) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = app.run.colours[k % app.run.colours.length];
      const chip = make("button", { type: "button", className: "chip" }, [swatch, document.createTextNode(name)]);
      chip.setAttribute("aria-pressed", "true");
      chip.addEventListener("click", () => {
        const hides = !this.hidden.delete(k);
        if (hides) this.hidden.add(k);
        chip.setAttribute("aria-pressed", String(!hides));
        this.redraw();
      });
      box.append(chip);
    });
  }
}
