"use strict";
// The latent plane: test examples at their posterior means, z under the pointer, and what is decoded.

const STRIP = 11; // pictures along a line

class PlanePart {
  constructor(app) {
    this.app = app;
    this.hidden = new Set(); // classes that are not shown
    this.hovered = null;
    this.line = null; // where it starts; it ends at z
    this.board = new Board("plane-canvas", () => this.draw_plane());
    this.board.margin = { ...MARGIN };
    this.decoded = new Board("plane-decoded", (board) =>
      app.pictures.large(board, app.decode_one(app.z)),
    );
    this.example = new Board("plane-example", (board) => this.draw_example(board));
    this.strip = new Board("plane-strip", (board) => this.draw_strip(board));
    this.listen();
    this.make_dims();
    this.make_classes();
    const { vae } = app; // a line to begin with: between the first two examples
    this.line = Float64Array.from(app.mean.subarray(0, vae.L));
    if (app.N > 1) app.z = Float64Array.from(app.mean.subarray(vae.L, 2 * vae.L));
    app.on("weights", () => this.refit());
    app.on("z", () => this.redraw_z());
    app.on("example", () => this.redraw());
    app.on("theme", () => this.redraw());
    this.refit();
  }

  refit() {
    this.board.view = plane_view(this.app);
    this.redraw();
  }

  redraw() {
    this.example.redraw();
    this.describe_example();
    this.redraw_z();
  }

  /** What follows z while it is dragged. */
  redraw_z() {
    for (const board of [this.board, this.decoded, this.strip]) board.redraw();
    const { app } = this;
    const z = Array.from(app.z, (v, l) => `z[${l}] = ${number_text(v)}`);
    const log_pz = app.z.reduce((sum, v) => sum - 0.5 * (LOG_2PI + v * v), 0);
    element("plane-z").textContent =
      `${(z.length > 4 ? app.dims.map((dim) => z[dim]) : z).join(", ")}\nlog p(z) = ${number_text(log_pz)} nats`;
    for (const input of element("dims").querySelectorAll("input")) {
      input.value = app.z[input.dataset.dim];
      input.nextElementSibling.textContent = number_text(app.z[input.dataset.dim], 2);
    }
    this.describe();
  }

  describe_example() {
    const { app } = this;
    const n = this.hovered ?? app.example;
    const label = app.label_of(n);
    element("plane-example-title").textContent =
      `Example ${n}${label === null ? "" : `, label ${label}`}`;
    const { log_px, kl } = app.terms_at_mean(n);
    const at = (dim) => n * app.vae.L + dim;
    const sigma = (dim) => number_text(Math.exp(0.5 * app.log_var[at(dim)]), 2);
    const mean = app.dims.map(
      (dim) => `mean[${dim}] ${number_text(app.mean[at(dim)])} ± ${sigma(dim)}`,
    );
    element("plane-example-text").textContent =
      `${mean.join(", ")}\nlog p(x|z = mean) ${number_text(log_px, 4)}, KL ${number_text(kl)} nats`;
    this.example.canvas.setAttribute("aria-label", `Test example ${n} beside its reconstruction`);
  }

  describe() {
    const { app } = this;
    const where = app.dims.map((dim) => `z[${dim}] ${number_text(app.z[dim])}`).join(", ");
    this.board.canvas.setAttribute(
      "aria-label",
      `Latent plane with ${app.N} test examples. ${where}. Arrow keys move z, Enter starts a line, Escape removes it.`,
    );
    this.decoded.canvas.setAttribute("aria-label", `Decoded mean of p(x|z) at ${where}`);
    this.strip.canvas.setAttribute(
      "aria-label",
      this.line ? `${STRIP} decoded pictures along the line to z` : "No line is drawn",
    );
  }

  draw_plane() {
    const { app, board } = this;
    const is_on = (id) => element(id).checked;
    const shows = ["manifold", "points", "ellipses"].map((name) => is_on(`show-${name}`));
    const others = app.z.filter((_, l) => !app.dims.includes(l));
    board.layer([app.weights, app.dims, shows, [...this.hidden], ...others], () =>
      board.clipped(() => {
        if (shows[0]) app.pictures.manifold(board, app, Math.max(24, board.width / 20));
        draw_prior(board, app);
        const shown = (n) => !this.hidden.has(app.run.labels[n]);
        if (shows[1]) draw_examples(board, app, { ...app, shown, ellipses: shows[2] });
      }),
    );
    board.clipped(() => {
      this.draw_line();
      const n = this.hovered ?? app.example;
      const at = board.to_pixels(...plane_point(app, n));
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
    const { ctx } = this.board;
    const from = this.z_at(this.line);
    const to = this.z_at();
    for (const [width, style] of [
      [5, colour("tile")],
      [2.5, colour("path")],
    ]) {
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
    const { app } = this;
    const n = this.hovered ?? app.example;
    const half = board.width / 2;
    const x = app.own_x(n);
    const again = app.decode_one(app.mean.subarray(n * app.vae.L, (n + 1) * app.vae.L));
    app.pictures.large(board, x, [8, 20, half - 16, board.height - 26]);
    app.pictures.large(board, again, [half + 8, 20, half - 16, board.height - 26]);
    board.label("x", half / 2, 10, colour("soft"), 12);
    board.label("E[x|z]", 1.5 * half, 10, colour("soft"), 12);
  }

  draw_strip(board) {
    const { app } = this;
    const { L } = app.vae;
    element("plane-strip-title").textContent = this.line
      ? `Along the line: E[x|z] at ${STRIP} points of equal distance, its start left, z right`
      : "No line: press Enter in the plane, or choose “draws a line”";
    if (!this.line) return;
    const z = new Float64Array(STRIP * L);
    for (let k = 0; k < STRIP; k++) {
      for (let l = 0; l < L; l++)
        z[k * L + l] = this.line[l] + (k / (STRIP - 1)) * (app.z[l] - this.line[l]);
    }
    app.pictures.grid(
      board,
      app.vae.decode(app.theta64(), z),
      STRIP,
      [2, 2, board.width - 4, board.height - 4],
      3,
    );
  }

  move_to(px, py) {
    const { app, board } = this;
    const [x, y] = board.to_world(px, py);
    const [a, b] = app.dims;
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
    const { app, board } = this;
    const { canvas } = board;
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
      if (
        pressed &&
        (pressed.moved || Math.hypot(at[0] - pressed.at[0], at[1] - pressed.at[1]) > 3)
      ) {
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
        const [px, py] = this.z_at();
        const [sx, sy] = board.scale;
        this.move_to(px + by[0] * sx, py - by[1] * sy);
      } else if (event.key === "Enter") this.line = app.z.slice();
      else if (event.key === "Escape") this.line = null;
      else return;
      event.preventDefault();
      this.redraw();
    });
    for (const id of ["show-manifold", "show-ellipses", "show-points"])
      element(id).addEventListener("change", () => this.redraw());
    element("plane-previous").addEventListener("click", () => app.choose(app.example - 1));
    element("plane-next").addEventListener("click", () => app.choose(app.example + 1));
  }

  /** Of more than two latent dimensions: which two are the plane's, and a slider for each other. */
  make_dims() {
    const { app } = this;
    const { L } = app.vae;
    const box = element("dims");
    if (L <= 2) return;
    box.replaceChildren();
    const row = make("div", { className: "row" });
    ["across", "up"].forEach((name, k) => {
      const select = make("select", { id: `dim-${name}` });
      for (let l = 0; l < L; l++)
        select.append(
          make("option", { value: l, textContent: `z[${l}]`, selected: l === app.dims[k] }),
        );
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
      box.append(
        make("label", { className: "grow", textContent: `z[${l}] ` }, [input, make("output", {})]),
      );
    }
  }

  make_classes() {
    const { app } = this;
    const box = element("plane-classes");
    box.hidden = !app.run.classes.length;
    app.run.classes.forEach((name, k) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = app.run.colours[k % app.run.colours.length];
      const chip = make("button", { type: "button", className: "chip" }, [
        swatch,
        document.createTextNode(name),
      ]);
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
