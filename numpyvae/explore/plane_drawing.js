"use strict";
// A latent plane: its view, test examples at their means, the prior, the handle that is dragged.

const element = (id) => document.getElementById(id);
const MARGIN = { left: 54, right: 8, top: 8, bottom: 42 };

/** The view of a plane: all means and the prior within 2.5, as a square. */
function plane_view(app, points = app.mean) {
  const [a, b] = app.dims;
  const { L } = app.vae;
  const N = points.length / L;
  const bounds = [a, b].map((dim) => {
    let [low, high] = [-2.5, 2.5];
    for (let n = 0; dim !== undefined && n < N; n++) {
      const value = points[n * L + dim];
      if (Number.isFinite(value))
        [low, high] = [Math.min(low, value - 0.2), Math.max(high, value + 0.2)];
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
  const { L } = app.vae;
  const [a, b] = app.dims;
  return [mean[n * L + a], b === undefined ? ((n * 0.618034) % 1) * 1.6 - 0.95 : mean[n * L + b]];
}

/** Means as dots, one-sigma ellipses about them, classes by colour and, at their middle, by name. */
function draw_examples(
  board,
  app,
  { mean, log_var, N, shown = () => true, ellipses = true, names = true },
) {
  const { ctx } = board;
  const { L } = app.vae;
  const [a, b] = app.dims;
  const [sx, sy] = board.scale;
  const radius = Math.max(2, Math.min(4, board.width / 200));
  for (let n = 0; n < N; n++) {
    if (!shown(n)) continue;
    const at = board.to_pixels(...plane_point(app, n, mean));
    ctx.fillStyle = ctx.strokeStyle = app.class_colour(n);
    if (ellipses) {
      const sd = (dim) => Math.exp(0.5 * Math.min(log_var[n * L + dim], 6));
      ctx.lineWidth = 1;
      ctx.globalAlpha = 0.3;
      if (b === undefined) ctx.fillRect(at[0] - sd(a) * sx, at[1] - 0.5, 2 * sd(a) * sx, 2);
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
  const found = [];
  app.run.classes.forEach((name, k) => {
    const rows = [];
    for (let n = 0; n < N; n++)
      if (app.run.labels[n] === k && shown(n)) rows.push(plane_point(app, n, mean));
    if (rows.length)
      found.push([name, ...[0, 1].map((axis) => median(rows.map((row) => row[axis])))]);
  });
  found.sort((one, other) => one[1] - other[1]);
  found.forEach(([name, x, y], k) => {
    const above = 1.04 - 0.1 * (k % 4); // of one dimension, in four rows above the points
    const at = board.to_pixels(x, app.dims.length > 1 ? y : above);
    board.label(name, ...at, colour("ink"), 17, "center", 800);
  });
}

/** Circles of one and two standard deviations of the prior, or lines where L = 1. */
function draw_prior(board, app) {
  const { ctx } = board;
  const [sx, sy] = board.scale;
  const origin = board.to_pixels(0, 0);
  ctx.strokeStyle = colour("line");
  ctx.lineWidth = 1.2;
  ctx.setLineDash([6, 5]);
  for (const radius of [1, 2]) {
    if (app.dims.length > 1) {
      board.ellipse(origin, [radius * sx, radius * sy]);
      ctx.stroke();
    } else
      for (const side of [-radius, radius])
        ctx.strokeRect(origin[0] + side * sx, board.margin.top, 0, board.height);
  }
  ctx.setLineDash([]);
}

/** The handle that is dragged: a ring about a cross, seen on any ground. */
function draw_handle(board, at, style = colour("ink")) {
  const { ctx } = board;
  for (const [width, colour_of] of [
    [6, colour("tile")],
    [2.5, style],
  ]) {
    ctx.strokeStyle = colour_of;
    ctx.lineWidth = width;
    board.ellipse(at, [11, 11]);
    ctx.stroke();
    ctx.beginPath();
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      ctx.moveTo(at[0] + 3 * dx, at[1] + 3 * dy);
      ctx.lineTo(at[0] + 16 * dx, at[1] + 16 * dy);
    }
    ctx.stroke();
  }
}

/** The arrow keys as a step (dx, dy); null for any other key. */
function arrow_key(event, step) {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[
    event.key
  ];
  const far = event.shiftKey ? 5 * step : step;
  return by ? by.map((d) => d * far) : null;
}
