"use strict";
// Examples as pictures: images where the data are images, bars or lines where not; many of them in a
// grid or behind the plane.

/** 256 colours: `mix` at t from 0 to 1. */
function table_of(mix) {
  return Array.from({ length: 256 }, (_, i) => mix(i / 255));
}

/** From paper to ink; made anew when the theme changes. */
function grey_table() {
  const key = colour("tile") + colour("ink");
  if (grey_table.key !== key) {
    grey_table.key = key;
    grey_table.kept = table_of(mixer(colour("tile"), colour("ink")));
  }
  return grey_table.kept;
}

class Pictures {
  constructor(run, vae) {
    Object.assign(this, {
      vae,
      D: vae.D,
      shape: run.shape,
      names: run.columns,
      white: run.white,
      black: run.black,
    });
    this.range = null; // of what is drawn as lines
  }

  /** x as it is drawn: lines in the model's own units, so that no column dominates. */
  drawn(x) {
    const { likelihood } = this.vae;
    return this.shape || !likelihood.is_standardized ? x : likelihood.standardize(x, x);
  }

  /** From the first examples: what is the lowest and the highest of a line. */
  measure(x) {
    const y = this.drawn(x);
    let [low, high] = [Infinity, -Infinity];
    for (const value of y) [low, high] = [Math.min(low, value), Math.max(high, value)];
    this.range = high > low ? [low, high] : [low - 1, low + 1];
  }

  /** An image (n, D) in `n_columns` columns as a small canvas of one pixel for each pixel. */
  image(x, n_columns = 1, table = grey_table()) {
    const [h, w] = this.shape;
    const n = x.length / this.D;
    const n_rows = Math.ceil(n / n_columns);
    const small = document.createElement("canvas");
    [small.width, small.height] = [n_columns * w, n_rows * h];
    const ctx = small.getContext("2d");
    const pixels = ctx.createImageData(small.width, small.height);
    for (let k = 0; k < n; k++) {
      const left = (k % n_columns) * w;
      const top = Math.floor(k / n_columns) * h;
      for (let i = 0; i < this.D; i++) {
        const at = 4 * ((top + Math.floor(i / w)) * small.width + left + (i % w));
        const grey = (x[k * this.D + i] - this.white) / (this.black - this.white);
        const [r, g, b] = table[Math.round(255 * Math.min(1, Math.max(0, grey || 0)))];
        pixels.data[at] = r;
        pixels.data[at + 1] = g;
        pixels.data[at + 2] = b;
        pixels.data[at + 3] = 255;
      }
    }
    ctx.putImageData(pixels, 0, 0);
    return small;
  }

  /** x (n, D), example after example, in a grid of `n_columns` that fills a box of the board. */
  grid(board, x, n_columns, [left, top, width, height], gap = 2) {
    const n = x.length / this.D;
    const n_rows = Math.ceil(n / n_columns);
    const { ctx } = board;
    const cell = [width / n_columns, height / n_rows];
    for (let k = 0; k < n; k++) {
      const box = [
        left + (k % n_columns) * cell[0] + gap,
        top + Math.floor(k / n_columns) * cell[1] + gap,
        cell[0] - 2 * gap,
        cell[1] - 2 * gap,
      ];
      this.one(board, x.subarray(k * this.D, (k + 1) * this.D), box);
    }
    ctx.globalAlpha = 1;
  }

  /** One example in a box, as an image (its shape kept) or as a curve. */
  one(board, x, [left, top, width, height]) {
    const { ctx } = board;
    if (!this.shape) {
      this.curve(board, x, [left, top, width, height]);
      return;
    }
    const [h, w] = this.shape;
    const unit = Math.min(width / w, height / h);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(
      this.image(x),
      left + (width - unit * w) / 2,
      top + (height - unit * h) / 2,
      unit * w,
      unit * h,
    );
  }

  /** The values over the dimensions: a bar each where there are few, else a line. */
  curve(board, x, [left, top, width, height], style = colour("path")) {
    const { ctx } = board;
    const y = this.drawn(x);
    const [low, high] = this.range;
    const D = y.length;
    const height_of = (v) =>
      top + height - ((Math.min(high, Math.max(low, v)) - low) / (high - low)) * height;
    ctx.fillStyle = ctx.strokeStyle = style;
    if (D <= 24) {
      const zero = height_of(Math.min(high, Math.max(low, 0)));
      const step = width / D;
      for (let d = 0; d < D; d++) {
        const to = height_of(y[d]);
        ctx.fillRect(
          left + step * (d + 0.15),
          Math.min(zero, to),
          0.7 * step,
          Math.max(1, Math.abs(to - zero)),
        );
      }
      return;
    }
    ctx.lineWidth = 1.3;
    ctx.beginPath();
    y.forEach((v, d) => ctx.lineTo(left + ((d + 0.5) * width) / D, height_of(v)));
    ctx.stroke();
  }

  /** One example large, in a box or on all of a board; columns by name, in their own units, where few. */
  large(board, x, box = [8, 8, board.width - 16, board.height - 16]) {
    const { D, names } = this;
    const [left, top, width, height] = box;
    if (this.shape || D > 12) {
      this.one(board, x, box);
      return;
    }
    const { ctx } = board;
    const step = height / D;
    const size = Math.min(13, 0.5 * step);
    const right = left + width;
    const y = this.drawn(x);
    const [low, high] = this.range;
    const at = (v) => left + ((Math.min(high, Math.max(low, v)) - low) / (high - low)) * width;
    for (let d = 0; d < D; d++) {
      const row = top + d * step;
      const [from, to] = [at(0), at(y[d])];
      ctx.fillStyle = colour("path");
      ctx.fillRect(
        Math.min(from, to),
        row + 0.55 * step,
        Math.max(1, Math.abs(to - from)),
        0.38 * step,
      );
      ctx.fillStyle = colour("line");
      ctx.fillRect(from, row + 0.5 * step, 1, 0.48 * step);
      board.label(names[d] ?? `x[${d}]`, left, row + 0.3 * step, colour("soft"), size, "left", 400);
      board.label(number_text(x[d], 4), right, row + 0.3 * step, colour("ink"), size, "right", 600);
    }
  }

  /** What pulls each pixel up (orange) and down (blue): values (D,), shown about 0. */
  pull(board, values) {
    let largest = 0;
    for (const value of values) largest = Math.max(largest, Math.abs(value));
    largest = largest || 1;
    if (this.shape) {
      const up = mixer(colour("tile"), colour("plus"));
      const down = mixer(colour("tile"), colour("minus"));
      const both = (t) => (t >= 0.5 ? up(2 * t - 1) : down(1 - 2 * t));
      const same = Object.assign(Object.create(this), { white: -largest, black: largest });
      const [h, w] = this.shape;
      const unit = Math.min((board.width - 16) / w, (board.height - 16) / h);
      board.ctx.imageSmoothingEnabled = false;
      board.ctx.drawImage(same.image(values, 1, table_of(both)), 8, 8, unit * w, unit * h);
      return largest;
    }
    const { ctx } = board;
    const step = (board.width - 16) / values.length;
    const middle = board.height / 2;
    values.forEach((value, d) => {
      const length = (value / largest) * (middle - 8);
      ctx.fillStyle = colour(value > 0 ? "plus" : "minus");
      ctx.fillRect(
        8 + step * (d + 0.1),
        Math.min(middle, middle - length),
        Math.max(0.5, 0.8 * step),
        Math.abs(length),
      );
    });
    return largest;
  }

  /** E[x|z] over the view of a board, faint, behind what is drawn on it: tiles of `side` pixels. */
  manifold(board, app, side) {
    const { margin, view } = board;
    const inner = [
      board.width - margin.left - margin.right,
      board.height - margin.top - margin.bottom,
    ];
    const n = inner.map((length) => Math.max(1, Math.round(length / side)));
    if (app.dims.length === 1) n[1] = 1;
    const key = [
      n,
      view.x,
      view.y,
      app.weights,
      app.dims,
      ...app.z.filter((_, l) => !app.dims.includes(l)),
      colour("tile"),
    ].join();
    if (board.manifold_key !== key) {
      board.manifold_key = key;
      const z = new Float64Array(n[0] * n[1] * app.vae.L);
      for (let row = 0; row < n[1]; row++) {
        for (let column = 0; column < n[0]; column++) {
          const code = app.z.slice();
          code[app.dims[0]] = view.x[0] + ((column + 0.5) / n[0]) * (view.x[1] - view.x[0]);
          if (app.dims.length > 1)
            code[app.dims[1]] = view.y[1] - ((row + 0.5) / n[1]) * (view.y[1] - view.y[0]);
          z.set(code, (row * n[0] + column) * app.vae.L);
        }
      }
      board.manifold_x = app.vae.decode(app.theta64(), z);
    }
    const { ctx } = board;
    const box = [margin.left, margin.top, ...inner];
    ctx.globalAlpha = Number(colour("manifold") || 0.3);
    if (this.shape && app.dims.length > 1) this.tiles(board, n, box);
    else
      this.grid(
        board,
        board.manifold_x,
        n[0],
        app.dims.length > 1 ? box : [box[0], margin.top, box[2], Math.min(side, box[3])],
        3,
      );
    ctx.globalAlpha = 1;
  }
  /** The manifold's images, each in the middle of its cell with some air about it. */
  tiles(board, n, [left, top, width, height]) {
    const [h, w] = this.shape;
    const small = this.image(board.manifold_x, n[0]);
    const cell = [width / n[0], height / n[1]];
    const unit = 0.86 * Math.min(cell[0] / w, cell[1] / h);
    board.ctx.imageSmoothingEnabled = false;
    for (let row = 0; row < n[1]; row++) {
      for (let column = 0; column < n[0]; column++) {
        board.ctx.drawImage(
          small,
          column * w,
          row * h,
          w,
          h,
          left + (column + 0.5) * cell[0] - 0.5 * unit * w,
          top + (row + 0.5) * cell[1] - 0.5 * unit * h,
          unit * w,
          unit * h,
        );
      }
    }
  }
}
