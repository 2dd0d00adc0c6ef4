"use strict";
// What the training part draws: learning curve, latent plane, samples, reconstructions.

const SAMPLES = 36;

/** Draws what a `TrainPart` knows. */
class TrainDrawing {
  redraw() {
    for (const board of [this.curve, this.plane, this.samples, this.pairs]) board.redraw();
    this.plane.canvas.setAttribute(
      "aria-label",
      `Latent plane of ${this.followed} test examples after ${this.steps} steps`,
    );
    this.curve.canvas.setAttribute(
      "aria-label",
      `Learning curve: test ELBO ${number_text(this.test.elbo, 5)} nats after ${this.steps} steps`,
    );
    this.samples.canvas.setAttribute("aria-label", `${SAMPLES} decoded draws from the prior`);
    this.pairs.canvas.setAttribute("aria-label", "Test examples and their reconstructions");
  }

  draw_curve(board) {
    const { history } = this;
    const { ctx } = board;
    const tests = history.test.filter(([, elbo]) => Number.isFinite(elbo));
    const skip = history.elbo.length > 60 ? 20 : 0; // the first steep drop would squash all others
    const shown = history.elbo
      .slice(skip)
      .filter(Number.isFinite)
      .concat(tests.filter(([step]) => step >= skip).map(([, elbo]) => elbo));
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
      const smooth = points
        .filter((_, i) => i % width === 0)
        .map((_, k) => {
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
    const { app, test } = this;
    const view = plane_view(app, test.mean);
    // The view grows at once and never shrinks, so that movement comes from the points.
    if (this.view)
      for (const axis of ["x", "y"])
        view[axis] = [
          Math.min(view[axis][0], this.view[axis][0]),
          Math.max(view[axis][1], this.view[axis][1]),
        ];
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
    const { app } = this;
    const { L } = app.vae;
    const [a, b] = app.dims;
    const now = this.cotangents
      ? { mean: this.values.mean, dheads: this.cotangents.dheads, size: this.batch.size }
      : this.pulled;
    element("train-legend").textContent =
      "Dots: means; ellipses: one sigma; dashed: 1 and 2 sigma of the prior.";
    if (!now) return;
    let longest = 0;
    const pulls = Array.from({ length: now.size }, (_, n) =>
      app.dims.map((dim) => -now.size * now.dheads[n * 2 * L + dim]),
    );
    for (const pull of pulls) longest = Math.max(longest, Math.hypot(...pull));
    const unit = nice_below(1.2 / (longest || 1));
    const [sx, sy] = board.scale;
    pulls.forEach((pull, n) => {
      const at =
        b === undefined
          ? [now.mean[n * L + a], ((n * 0.618034) % 1) * 1.6 - 0.95]
          : [now.mean[n * L + a], now.mean[n * L + b]];
      board.arrow(
        board.to_pixels(...at),
        [pull[0] * unit * sx, -(pull[1] ?? 0) * unit * sy],
        colour("sum"),
        { width: 1 },
      );
    });
    element("train-legend").textContent +=
      " Arrows: minus the gradient of each example's loss, of the last batch, by its mean; " +
      `1 nat per unit is an arrow as long as ${number_text(unit, 1)} on the axes.`;
  }

  draw_samples(board) {
    const { app } = this;
    const x = app.vae.decode(app.theta64(), this.sample_z);
    app.pictures.grid(
      board,
      x,
      Math.ceil(Math.sqrt(SAMPLES)),
      [4, 4, board.width - 8, board.height - 8],
      4,
    );
  }

  draw_pairs(board) {
    const { app } = this;
    const n = Math.min(6, this.followed);
    const { D, L } = app.vae;
    const both = new Float64Array(2 * n * D);
    both.set(app.x_test.subarray(0, n * D));
    both.set(
      app.vae.decode(app.theta64(), Float64Array.from(this.test.mean.subarray(0, n * L))),
      n * D,
    );
    app.pictures.grid(board, both, n, [3, 3, board.width - 6, board.height - 6], 3);
  }
}
