"use strict";
// The gradient path: one example through vae.py, line by line, its arrows, and planted mistakes.

class PathPart {
  constructor(app) {
    this.app = app;
    this.step = STEPS.length - 1;
    this.mistake = null;
    this.timer = null;
    this.random = new Random(2);
    this.noise = Float64Array.from({ length: app.vae.L }, (_, l) => (l % 2 ? -0.8 : 1.1));
    app.path_batch = 1;
    this.mean_board = new Board("path-mean", (board) => this.draw_mean(board));
    this.log_var_board = new Board("path-log-var", (board) => this.draw_log_var(board));
    const { vae, pictures } = app, of_z = (board) => pictures.large(board, vae.likelihood.mean(this.right.output));
    this.pictures = {
      x: new Board("path-x", (board) => pictures.large(board, app.own_x(app.example))),
      output: new Board("path-output", (board) => this.when("output", () => of_z(board))),
      doutput: new Board("path-doutput", (board) => this.when("doutput", () => this.draw_pull(board))),
    };
    for (const board of [this.mean_board, this.log_var_board]) board.margin = { ...MARGIN };
    this.lines = STEPS.map((step) => app.run.lines.findIndex((line) => line.of === step.of && line.text.includes(step.code)));
    this.make_code();
    this.make_tables();
    this.make_mistakes();
    this.listen();
    for (const event of ["weights", "example", "beta", "theme"]) app.on(event, () => this.update());
    this.update();
  }

  /** All values and arrows, right and, with a mistake planted, wrong. */
  update() {
    if (!this.app.is_shown("path")) {
      this.stale = true;
      return;
    }
    this.stale = false;
    this.right = this.values(PIECES);
    this.wrong = this.mistake ? this.values({ ...PIECES, ...this.mistake.pieces }) : null;
    this.show();
  }

  values(pieces) {
    const { app, noise } = this;
    const options = { beta: app.beta, N: app.path_batch, pieces };
    return { ...app.vae.loss_and_grad(app.theta64(), app.x64(app.example), noise, options), noise };
  }

  /** The step at which a value is computed; it is shown from there on. */
  step_of(name) {
    return STEPS.findIndex((step) => step.gives.includes(name));
  }

  is_known(name) {
    return this.step_of(name) <= this.step;
  }

  when(name, draw) {
    if (this.is_known(name)) draw();
  }

  show() {
    const { app, right, step } = this, now = STEPS[step];
    this.items.forEach((item, k) => {
      const index = this.lines.indexOf(k);
      item.classList.toggle("done", index >= 0 && index < step);
      item.classList.toggle("planted", Boolean(this.mistake) && index >= 0 && STEPS[index].code.includes(`${this.mistake.line}(`));
      if (index === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    element("path-says").textContent = `${step + 1} of ${STEPS.length}: ${now.says(right, app.vae.L, app)}`;
    this.show_tables();
    this.show_settings();
    for (const board of [this.mean_board, this.log_var_board, ...Object.values(this.pictures)]) board.redraw();
    this.show_legend();
    this.describe();
  }

  show_legend() {
    const keys = [["path", "route 2, through z"], ["kl", "route 1, KL"], ["sum", "their sum, right"]];
    if (this.mistake) keys.push(["wrong", "the sum with the mistake (dashed)"]);
    element("path-legend").replaceChildren(...keys.flatMap(([name, text]) => {
      const key = make("span", { className: "key" });
      key.style.borderColor = colour(name);
      if (name === "wrong") key.style.borderTopStyle = "dashed";
      return [key, document.createTextNode(text)];
    }));
  }

  show_settings() {
    const { app } = this;
    element("path-beta").value = Math.min(app.beta, 8);
    element("path-beta-value").textContent = number_text(app.beta, 3) + (app.beta === app.vae.beta ? " (the run's)" : "");
    element("path-batch").value = app.path_batch;
    const says = element("path-mistake-says");
    says.hidden = !this.mistake;
    if (!this.mistake) return;
    const differs = this.difference() > 1e-9, { code, name, needs } = this.mistake;
    says.replaceChildren(make("code", { textContent: code }), document.createTextNode(
      ` (${name}). ` + (differs
        ? `The dashed arrow is wrong by ${number_text(100 * this.difference(), 3)} % of the right one's length.`
        : `Here it is invisible: ${needs && !needs(app) ? this.mistake.remedy ?? "it needs more than this model has" : "try other noise"}.`)));
  }

  /** |wrong - right| / |right| of what reaches the heads. */
  difference() {
    const length = (values) => Math.hypot(...values);
    const { right, wrong } = this;
    return length(right.dheads.map((d, i) => d - wrong.dheads[i])) / (length(right.dheads) || 1);
  }

  show_tables() {
    const { right, wrong, step: now } = this, { L } = this.app.vae;
    const mark = ({ row, step }) => {
      row.classList.toggle("pending", step > now);
      row.classList.toggle("current", step === now);
    };
    for (const row of this.rows) {
      mark(row);
      const values = row.values(right, L), others = wrong && row.values(wrong, L);
      row.cells.forEach((cell, l) => (cell.textContent = number_text(values[l], 4)));
      row.others.forEach((cell, l) => {
        const differs = others && Math.abs(others[l] - values[l]) > 1e-12 * Math.abs(values[l]);
        cell.textContent = differs ? number_text(others[l], 4) : "";
        cell.hidden = !others;
      });
    }
    for (const head of this.wrong_heads) head.hidden = !wrong;
    for (const scalar of this.scalars) {
      mark(scalar);
      const value = right[scalar.name];
      scalar.cell.textContent = `${number_text(typeof value === "number" ? value : value[0], 5)} ${scalar.unit}`;
    }
  }

  /** The arrows of one of "mean" and "log_var", as [name, (L,) minus the gradient, style]. */
  arrows(what) {
    const { right, wrong, app } = this, { L } = app.vae, minus = (values) => values.map((value) => -value);
    const part = (v) => (what === "mean" ? v.dheads.subarray(0, L) : v.dheads.subarray(L));
    const found = [];
    if (this.is_known(`d${what}_z`)) found.push(["through z", minus(right[`d${what}_z`]), { colour: "path" }]);
    if (this.is_known(`d${what}_kl`)) found.push(["KL", minus(right[`d${what}_kl`]), { colour: "kl" }]);
    if (this.is_known("dheads")) {
      found.push(["sum", minus(part(right)), { colour: "sum", width: 4 }]);
      if (wrong && this.difference() > 1e-9) found.push(["wrong sum", minus(part(wrong)), { colour: "wrong", dash: [7, 5] }]);
    }
    return found;
  }

  /** How long an arrow of 1 nat per unit is, on the plane's axes: one scale for all arrows of a plane. */
  arrow_scale(what, half) {
    const { app } = this, { L } = app.vae, start = what === "mean" ? 0 : L;
    const all = [this.right, ...(this.wrong ? [this.wrong] : [])].flatMap((v) =>
      [v[`d${what}_z`], v[`d${what}_kl`], v.dheads.subarray(start, start + L)]);
    const longest = Math.max(...all.flatMap((values) => app.dims.map((dim) => Math.abs(values[dim]))));
    return nice_below((0.8 * half) / (longest || 1));
  }

  draw_arrows(board, what, at) {
    const { app } = this, [a, b] = app.dims, [sx, sy] = board.scale;
    const unit = this.arrow_scale(what, (board.view.x[1] - board.view.x[0]) / 2);
    this.arrows(what).forEach(([name, d, style], k) => {
      const from = b === undefined ? [at[0], at[1] - 34 - 26 * k] : at;
      const by = [d[a] * unit * sx, b === undefined ? 0 : -d[b] * unit * sy], length = Math.hypot(...by);
      board.arrow(from, by, colour(style.colour), style);
      if (length < 34) return; // the legend names it
      const tip = [from[0] + by[0] * (1 + 12 / length), from[1] + by[1] * (1 + 12 / length) + (Math.abs(by[0]) > Math.abs(by[1]) ? 13 * (k % 2 ? 1 : -1) : 0)];
      const width = board.ctx.measureText(name).width, x = Math.min(board.width - width - 12, Math.max(board.margin.left + width + 4, tip[0]));
      board.label(name, x, tip[1], colour(style.colour), 13, by[0] < 0 ? "right" : "left");
    });
    element(`${board.canvas.id}-scale`).textContent = `Scale: 1 nat per unit of ${what} is an arrow as long as ${number_text(unit, 1)} on the axes.`;
  }

  draw_mean(board) {
    const { app, right } = this, [a, b] = app.dims, at = (v) => [v[a], b === undefined ? 0 : v[b]];
    const sd = app.dims.map((dim) => Math.exp(0.5 * right.log_var[dim]));
    const half = Math.max(4 * Math.max(...sd), ...app.dims.map((dim) => 1.3 * sd[app.dims.indexOf(dim)] * Math.abs(this.noise[dim])));
    const middle = at(right.mean);
    board.view = { x: [middle[0] - half, middle[0] + half], y: [middle[1] - half, middle[1] + half] };
    board.clipped(() => {
      const z = app.z;
      app.z = Float64Array.from(right.z); // the other dimensions are those of this z
      app.pictures.manifold(board, app, board.width / 9);
      app.z = z;
      draw_prior(board, app);
      const [sx, sy] = board.scale, mean = board.to_pixels(...middle), z_at = board.to_pixels(...at(right.z));
      const { ctx } = board;
      if (this.is_known("mean")) {
        ctx.strokeStyle = colour("ink");
        ctx.lineWidth = 2;
        board.ellipse(mean, [sd[0] * sx, (sd[1] ?? sd[0] / 3) * sy]);
        ctx.stroke();
        board.label("mean", mean[0] + 8, mean[1] + 16, colour("ink"), 13, "left");
      }
      if (this.is_known("z")) {
        ctx.setLineDash([3, 4]);
        ctx.beginPath();
        ctx.moveTo(...mean);
        ctx.lineTo(...z_at);
        ctx.stroke();
        ctx.setLineDash([]);
        draw_handle(board, z_at);
        board.label("z", z_at[0] + 20, z_at[1] - 14, colour("ink"), 16);
      }
      this.draw_arrows(board, "mean", mean);
      if (this.is_known("mean")) {
        ctx.fillStyle = colour("ink");
        ctx.beginPath();
        ctx.arc(...mean, 5, 0, 7);
        ctx.fill();
      }
    });
    board.axes(`z[${a}], mean[${a}]`, b === undefined ? null : `z[${b}], mean[${b}]`);
  }

  draw_log_var(board) {
    const { app, right } = this, [a, b] = app.dims, v = right.log_var, { ctx } = board;
    const middle = [v[a], b === undefined ? 0 : v[b]], reach = Math.max(...app.dims.map((dim) => Math.abs(v[dim])));
    const half = Math.max(3, 1.25 * reach);
    board.view = { x: [middle[0] - half, middle[0] + half], y: [middle[1] - half, middle[1] + half] };
    board.clipped(() => {
      const prior = board.to_pixels(0, 0), at = board.to_pixels(...middle);
      ctx.strokeStyle = colour("line");
      ctx.setLineDash([6, 5]);
      ctx.strokeRect(prior[0], -5, 0, board.height + 10);
      if (b !== undefined) ctx.strokeRect(-5, prior[1], board.width + 10, 0);
      ctx.setLineDash([]);
      board.label("prior: 0", prior[0], prior[1] + (b === undefined ? 40 : 0), colour("soft"), 12);
      if (!this.is_known("mean")) return;
      this.draw_arrows(board, "log_var", at);
      ctx.fillStyle = colour("ink");
      ctx.beginPath();
      ctx.arc(...at, 5, 0, 7);
      ctx.fill();
      board.label("log_var", at[0], at[1] + 16, colour("ink"), 13);
    });
    board.axes(`log_var[${a}]`, b === undefined ? null : `log_var[${b}]`);
  }

  draw_pull(board) {
    const { D } = this.app.vae, largest = this.app.pictures.pull(board, this.right.doutput.subarray(0, D).map((d) => -d));
    element("path-pull").textContent = `−doutput: orange is to go up, blue down; full colour ${number_text(largest, 3)} nats per unit of output`;
  }

  describe() {
    const { app, right } = this, list = (values) => app.dims.map((dim) => number_text(values[dim])).join(", ");
    const arrows = this.arrows("mean").map(([name, d]) => `${name} (${list(d)})`).join("; ");
    this.mean_board.canvas.setAttribute("aria-label", `Latent plane around the posterior of example ${app.example}. mean (${list(right.mean)}), noise (${list(this.noise)}), z (${list(right.z)}). Arrows into mean: ${arrows || "none yet"}. Arrow keys change the noise.`);
    this.log_var_board.canvas.setAttribute("aria-label", `Plane of log_var (${list(right.log_var)}). Arrows: ${this.arrows("log_var").map(([name, d]) => `${name} (${list(d)})`).join("; ") || "none yet"}`);
    this.pictures.x.canvas.setAttribute("aria-label", `Example ${app.example}${app.label_of(app.example) === null ? "" : `, label ${app.label_of(app.example)}`}`);
    this.pictures.output.canvas.setAttribute("aria-label", "The mean of p(x|z) at z");
    this.pictures.doutput.canvas.setAttribute("aria-label", "Minus the gradient of the output: which pixels are to go up and which down");
  }

  go(step) {
    this.step = Math.min(STEPS.length - 1, Math.max(0, step));
    this.show();
  }

  /** From the first line to the last, a line a second. */
  play() {
    if (this.timer) {
      this.stop();
      return;
    }
    if (this.step === STEPS.length - 1) this.go(0);
    element("path-play").textContent = "Pause";
    this.timer = setInterval(() => {
      this.go(this.step + 1);
      if (this.step === STEPS.length - 1) this.stop();
    }, 1100);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    element("path-play").textContent = "Play";
  }

  set_noise_from(px, py) {
    const { right, app } = this, [x, y] = this.mean_board.to_world(px, py);
    app.dims.forEach((dim, k) => {
      const noise = ([x, y][k] - right.mean[dim]) / Math.exp(0.5 * right.log_var[dim]);
      this.noise[dim] = Math.min(3.9, Math.max(-3.9, noise));
    });
    this.update();
  }

  listen() {
    const { app } = this, { canvas } = this.mean_board, click = (id, action) => element(id).addEventListener("click", action);
    let pressed = false;
    canvas.addEventListener("pointerdown", (event) => {
      pressed = true;
      canvas.setPointerCapture(event.pointerId);
      this.set_noise_from(...this.mean_board.pointer(event));
    });
    canvas.addEventListener("pointermove", (event) => pressed && this.set_noise_from(...this.mean_board.pointer(event)));
    canvas.addEventListener("pointerup", () => (pressed = false));
    canvas.addEventListener("keydown", (event) => {
      const by = arrow_key(event, 0.1);
      if (!by) return;
      event.preventDefault();
      app.dims.forEach((dim, k) => (this.noise[dim] = Math.min(3.9, Math.max(-3.9, this.noise[dim] + by[k]))));
      this.update();
    });
    click("path-first", () => this.go(0));
    click("path-back", () => this.go(this.step - 1));
    click("path-step", () => this.go(this.step === STEPS.length - 1 ? 0 : this.step + 1));
    click("path-play", () => this.play());
    click("path-last", () => this.go(STEPS.length - 1));
    click("path-noise", () => {
      this.noise = this.noise.map(() => this.random.normal());
      this.update();
    });
    click("path-zero", () => {
      this.noise = this.noise.map(() => 0);
      this.update();
    });
    click("path-previous", () => app.choose(app.example - 1));
    click("path-next", () => app.choose(app.example + 1));
    element("path-beta").addEventListener("input", (event) => {
      app.beta = Number(event.target.value);
      app.emit("beta");
    });
    element("path-batch").addEventListener("change", (event) => {
      app.path_batch = Number(event.target.value);
      this.update();
    });
    element("path-mistake").addEventListener("change", (event) => this.plant(event.target.value));
  }

  plant(id) {
    this.mistake = MISTAKES.find((mistake) => mistake.id === id) ?? null;
    if (this.mistake?.needs_batch && this.app.path_batch === 1) this.app.path_batch = 4;
    this.update();
  }

  make_mistakes() {
    const select = element("path-mistake");
    for (const { id, name } of MISTAKES) select.append(make("option", { value: id, textContent: name }));
  }

  make_code() {
    this.items = this.app.run.lines.map((line) => {
      const [code, comment] = line.text.split(/(?= {2}# )/);
      const item = make("li", {}, [make("span", { className: "ln", textContent: `${line.number} ` }),
        make("span", { textContent: code }), make("span", { className: "comment", textContent: comment ?? "" })]);
      item.dataset.number = line.number;
      item.dataset.text = line.text;
      element(`path-${line.of}`).append(item);
      return item;
    });
  }

  make_tables() {
    const { L } = this.app.vae, dims = Array.from({ length: L }, (_, l) => l);
    [this.rows, this.scalars, this.wrong_heads] = [[], [], []];
    const row_of = (body, name, cells) => {
      const row = make("tr", {}, [make("th", { scope: "row", textContent: name }), ...cells]);
      row.dataset.name = name;
      body.append(row);
      return row;
    };
    for (const of of ["forward", "backward"]) {
      const body = make("tbody", {}), heads = dims.map((l) => make("th", { scope: "col", textContent: `[${l}]` }));
      const wrongs = dims.map((l) => make("th", { scope: "col", className: "wrong", textContent: `wrong [${l}]`, hidden: true }));
      this.wrong_heads.push(...wrongs);
      element(`path-table-${of}`).append(make("thead", {}, [make("tr", {}, [make("th", { scope: "col", textContent: of }), ...heads, ...wrongs])]), body);
      for (const [name, values, given_by] of ROWS[of]) {
        const cells = dims.map(() => make("td", {})), others = dims.map(() => make("td", { className: "wrong", hidden: true }));
        this.rows.push({ row: row_of(body, name, [...cells, ...others]), values, cells, others, step: this.step_of(given_by ?? name) });
      }
      for (const [name, unit] of SCALARS[of]) {
        const cell = make("td", { colSpan: 2 * L });
        this.scalars.push({ row: row_of(body, name, [cell]), name, unit, cell, step: this.step_of(name) });
      }
    }
  }
}
