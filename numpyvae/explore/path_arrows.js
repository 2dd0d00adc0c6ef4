"use strict";
// What the gradient path draws: the arrows into mean and log_var, and the pull on the output.

/** The direction away from all arrows, for the name of the point where they start. */
function from_arrows(arrows, to_pixels) {
  const units = arrows
    .map(([, d]) => to_pixels(d))
    .map(([x, y]) => [x, y].map((v) => v / (Math.hypot(x, y) || 1)));
  const [x, y] = [0, 1].map((i) => -units.reduce((sum, unit) => sum + unit[i], 0));
  const length = Math.hypot(x, y);
  return length > 0.1 ? [x / length, y / length] : [0, 1];
}

/** Draws what a `PathPart` knows: `right` and, with a mistake planted, `wrong`. */
class PathArrows {
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

  show_legend() {
    const keys = [
      ["path", "route 2, through z"],
      ["kl", "route 1, KL"],
      ["sum", "their sum, right"],
    ];
    if (this.mistake) keys.push(["wrong", "the sum with the mistake (dashed; its numbers ✗)"]);
    element("path-legend").replaceChildren(
      ...keys.flatMap(([name, text]) => {
        const key = make("span", { className: "key" });
        key.style.borderColor = colour(name);
        if (name === "wrong") key.style.borderTopStyle = "dashed";
        return [key, document.createTextNode(text)];
      }),
    );
  }

  /** The arrows of one of "mean" and "log_var", as [name, (L,) minus the gradient, style]. */
  arrows(what) {
    const { right, wrong, app } = this;
    const { L } = app.vae;
    const minus = (values) => values.map((value) => -value);
    const part = (v) => (what === "mean" ? v.dheads.subarray(0, L) : v.dheads.subarray(L));
    const found = [];
    if (this.is_known(`d${what}_z`))
      found.push(["through z", minus(right[`d${what}_z`]), { colour: "path" }]);
    if (this.is_known(`d${what}_kl`))
      found.push(["KL", minus(right[`d${what}_kl`]), { colour: "kl" }]);
    if (this.is_known("dheads")) {
      found.push(["sum", minus(part(right)), { colour: "sum", width: 4 }]);
      if (wrong && this.difference() > 1e-9)
        found.push(["wrong sum", minus(part(wrong)), { colour: "wrong", dash: [7, 5] }]);
    }
    return found;
  }

  /** How long an arrow of 1 nat per unit is, on the plane's axes: one scale for all arrows of a plane. */
  arrow_scale(what, half) {
    const { app } = this;
    const { L } = app.vae;
    const start = what === "mean" ? 0 : L;
    const all = [this.right, ...(this.wrong ? [this.wrong] : [])].flatMap((v) => [
      v[`d${what}_z`],
      v[`d${what}_kl`],
      v.dheads.subarray(start, start + L),
    ]);
    const longest = Math.max(
      ...all.flatMap((values) => app.dims.map((dim) => Math.abs(values[dim]))),
    );
    return nice_below((0.65 * half) / (longest || 1));
  }

  draw_arrows(board, what, at) {
    const { app } = this;
    const [a, b] = app.dims;
    const [sx, sy] = board.scale;
    const unit = this.arrow_scale(what, (board.view.x[1] - board.view.x[0]) / 2);
    const placed = [];
    this.arrows(what).forEach(([name, d, style], k) => {
      const from = b === undefined ? [at[0], at[1] - 34 - 26 * k] : at;
      const by = [d[a] * unit * sx, b === undefined ? 0 : -d[b] * unit * sy];
      const length = Math.hypot(...by);
      board.arrow(from, by, colour(style.colour), style);
      if (length < 34) return; // the legend names it
      const [ux, uy] = [by[0] / length, by[1] / length];
      const half = board.ctx.measureText(name).width / 2 + 6;
      const within = (value, low, high) => Math.min(high, Math.max(low, value));
      const x = within(
        from[0] + by[0] + (half + 8) * ux,
        board.margin.left + half,
        board.width - half - 10,
      );
      let y = from[1] + by[1] + 14 * uy;
      while (placed.some((other) => Math.abs(other[0] - x) < 90 && Math.abs(other[1] - y) < 15))
        y += 15 * (uy < 0 ? -1 : 1);
      placed.push([x, y]);
      board.label(name, x, y, colour(style.colour), 13);
    });
    board.away = from_arrows(this.arrows(what), (d) => [
      d[a] * sx,
      b === undefined ? -1 : -d[b] * sy,
    ]);
    element(`${board.canvas.id}-scale`).textContent =
      `Scale: 1 nat per unit of ${what} is an arrow as long as ${number_text(unit, 1)} on the axes.`;
  }

  draw_mean(board) {
    const { app, right } = this;
    const [a, b] = app.dims;
    const at = (v) => [v[a], b === undefined ? 0 : v[b]];
    const sd = app.dims.map((dim) => Math.exp(0.5 * right.log_var[dim]));
    const half = Math.max(
      4 * Math.max(...sd),
      ...app.dims.map((dim) => 1.3 * sd[app.dims.indexOf(dim)] * Math.abs(this.noise[dim])),
    );
    const middle = at(right.mean);
    board.view = {
      x: [middle[0] - half, middle[0] + half],
      y: [middle[1] - half, middle[1] + half],
    };
    board.clipped(() => {
      const z = app.z;
      app.z = Float64Array.from(right.z); // the other dimensions are those of this z
      app.pictures.manifold(board, app, board.width / 9);
      app.z = z;
      draw_prior(board, app);
      const [sx, sy] = board.scale;
      const mean = board.to_pixels(...middle);
      const z_at = board.to_pixels(...at(right.z));
      const { ctx } = board;
      if (this.is_known("mean")) {
        ctx.strokeStyle = colour("ink");
        ctx.lineWidth = 2;
        board.ellipse(mean, [sd[0] * sx, (sd[1] ?? sd[0] / 3) * sy]);
        ctx.stroke();
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
        const [dx, dy] = board.away;
        board.label("mean", mean[0] + 30 * dx, mean[1] + 18 * dy, colour("ink"), 13);
        ctx.fillStyle = colour("ink");
        ctx.beginPath();
        ctx.arc(...mean, 5, 0, 7);
        ctx.fill();
      }
    });
    board.axes(`z[${a}], mean[${a}]`, b === undefined ? null : `z[${b}], mean[${b}]`);
  }

  draw_log_var(board) {
    const { app, right } = this;
    const [a, b] = app.dims;
    const v = right.log_var;
    const { ctx } = board;
    const middle = [v[a], b === undefined ? 0 : v[b]];
    const reach = Math.max(...app.dims.map((dim) => Math.abs(v[dim])));
    const half = Math.max(3, 1.25 * reach);
    board.view = {
      x: [middle[0] - half, middle[0] + half],
      y: [middle[1] - half, middle[1] + half],
    };
    board.clipped(() => {
      const prior = board.to_pixels(0, 0);
      const at = board.to_pixels(...middle);
      ctx.strokeStyle = colour("line");
      ctx.setLineDash([6, 5]);
      ctx.strokeRect(prior[0], -5, 0, board.height + 10);
      if (b !== undefined) ctx.strokeRect(-5, prior[1], board.width + 10, 0);
      ctx.setLineDash([]);
      const x = Math.min(prior[0] + 5, board.width - 64);
      board.label("prior: 0", x, board.margin.top + 14, colour("soft"), 12, "left");
      if (!this.is_known("mean")) return;
      this.draw_arrows(board, "log_var", at);
      ctx.fillStyle = colour("ink");
      ctx.beginPath();
      ctx.arc(...at, 5, 0, 7);
      ctx.fill();
      board.label(
        "log_var",
        at[0] + 36 * board.away[0],
        at[1] + 18 * board.away[1],
        colour("ink"),
        13,
      );
    });
    board.axes(`log_var[${a}]`, b === undefined ? null : `log_var[${b}]`);
  }

  draw_pull(board) {
    const { D } = this.app.vae;
    const largest = this.app.pictures.pull(
      board,
      this.right.doutput.subarray(0, D).map((d) => -d),
    );
    element("path-pull").textContent =
      `−doutput: orange is to go up, blue down; full colour ${number_text(largest, 3)} nats per unit of output`;
  }

  describe() {
    const { app, right } = this;
    const list = (values) => app.dims.map((dim) => number_text(values[dim])).join(", ");
    const arrows = this.arrows("mean")
      .map(([name, d]) => `${name} (${list(d)})`)
      .join("; ");
    this.mean_board.canvas.setAttribute(
      "aria-label",
      `Latent plane around the posterior of example ${app.example}. mean (${list(right.mean)}), ` +
        `noise (${list(this.noise)}), z (${list(right.z)}). Arrows into mean: ` +
        `${arrows || "none yet"}. Arrow keys change the noise.`,
    );
    this.log_var_board.canvas.setAttribute(
      "aria-label",
      `Plane of log_var (${list(right.log_var)}). Arrows: ${
        this.arrows("log_var")
          .map(([name, d]) => `${name} (${list(d)})`)
          .join("; ") || "none yet"
      }`,
    );
    this.pictures.x.canvas.setAttribute(
      "aria-label",
      `Example ${app.example}${app.label_of(app.example) === null ? "" : `, label ${app.label_of(app.example)}`}`,
    );
    this.pictures.output.canvas.setAttribute("aria-label", "The mean of p(x|z) at z");
    this.pictures.doutput.canvas.setAttribute(
      "aria-label",
      "Minus the gradient of the output: which pixels are to go up and which down",
    );
  }
}
