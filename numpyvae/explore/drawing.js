"use strict";
// Canvases: sharp at any pixel ratio, in the colours of the page's theme, in world coordinates.

/** A colour of the page's theme by its name in page.css; read again when the theme changes. */
function colour(name) {
  const { theme } = document.documentElement.dataset;
  if (colour.theme !== theme) [colour.theme, colour.known] = [theme, {}];
  colour.known[name] ??= getComputedStyle(document.documentElement)
    .getPropertyValue(`--${name}`)
    .trim();
  return colour.known[name];
}

/** A number as text with the given number of digits and true minus signs. */
function number_text(value, digits = 3) {
  if (!Number.isFinite(value)) return value === Infinity ? "∞" : "not finite";
  const size = Math.abs(value);
  const before = size ? Math.floor(Math.log10(size)) : 0;
  const text =
    before < -4 || before > 6
      ? value.toExponential(digits - 1)
      : value.toFixed(Math.max(0, digits - 1 - before));
  return text.replaceAll("-", "−");
}

/** The ticks of an axis as text, all with as many decimals as they need. */
function tick_texts(ticks) {
  const decimals = Math.max(
    0,
    ...ticks.map((tick) => (String(Number(tick.toPrecision(6))).split(".")[1] ?? "").length),
  );
  return ticks.map((tick) => tick.toFixed(Math.min(decimals, 6)).replace("-", "−"));
}

/** 1, 2 or 5 times a power of ten, at most `value`. */
function nice_below(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [5, 2, 1].find((step) => step * power <= value * 1.0001);
}

/** A canvas that calls `draw(this)` when its size changes and when `redraw()` asks, once a frame. */
class Board {
  constructor(id, draw) {
    this.canvas = document.getElementById(id);
    this.ctx = this.canvas.getContext("2d");
    this.draw = draw;
    this.asked = false;
    this.margin = { left: 0, right: 0, top: 0, bottom: 0 };
    this.view = { x: [0, 1], y: [0, 1] };
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw_now();
    });
  }

  draw_now() {
    const { canvas, ctx } = this;
    const ratio = window.devicePixelRatio || 1;
    [this.width, this.height] = [canvas.clientWidth, canvas.clientHeight];
    if (!this.width || !this.height) return; // in a part that is not shown
    const size = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    ctx.font = this.font(13);
    this.draw(this);
  }

  /** What does not change while z is dragged: drawn once for each `key`, then copied. */
  layer(key, draw) {
    const { canvas, ctx } = this;
    const now = [
      ...key,
      canvas.width,
      canvas.height,
      this.view.x,
      this.view.y,
      colour("tile"),
    ].join();
    if (this.layer_key !== now) {
      this.layer_key = now;
      this.kept ??= document.createElement("canvas");
      [this.kept.width, this.kept.height] = [canvas.width, canvas.height];
      this.ctx = this.kept.getContext("2d");
      this.ctx.setTransform(ctx.getTransform());
      draw();
      this.ctx = ctx;
    }
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.drawImage(this.kept, 0, 0);
    ctx.restore();
  }

  font(size, weight = 400) {
    return `${weight} ${size}px system-ui, sans-serif`;
  }

  /** Pixels of a unit, to the right and upwards. */
  get scale() {
    const { left, right, top, bottom } = this.margin;
    const { x, y } = this.view;
    return [
      (this.width - left - right) / (x[1] - x[0]),
      (this.height - top - bottom) / (y[1] - y[0]),
    ];
  }

  to_pixels(x, y) {
    const [sx, sy] = this.scale;
    return [
      this.margin.left + (x - this.view.x[0]) * sx,
      this.height - this.margin.bottom - (y - this.view.y[0]) * sy,
    ];
  }

  to_world(px, py) {
    const [sx, sy] = this.scale;
    return [
      this.view.x[0] + (px - this.margin.left) / sx,
      this.view.y[0] + (this.height - this.margin.bottom - py) / sy,
    ];
  }

  /** Where a pointer is, in pixels of the canvas. */
  pointer(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Ticks and names along the bottom and, unless `y_name` is null, the left. */
  axes(x_name, y_name, size = 12) {
    const { ctx, margin, height, width } = this;
    const floor = height - margin.bottom;
    ctx.font = this.font(size);
    ctx.fillStyle = colour("soft");
    ctx.strokeStyle = colour("line");
    ctx.lineWidth = 1;
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    const across = this.ticks(this.view.x, 5);
    const up = this.ticks(this.view.y, 5);
    const texts = [across, up].map(tick_texts);
    across.forEach((tick, i) => {
      const [px] = this.to_pixels(tick, 0);
      ctx.fillRect(px, floor, 1, 5);
      ctx.fillText(texts[0][i], px, floor + 7);
    });
    ctx.fillText(
      x_name,
      margin.left + (width - margin.left - margin.right) / 2,
      floor + 7 + size + 3,
    );
    ctx.strokeRect(margin.left, margin.top, width - margin.left - margin.right, floor - margin.top);
    if (y_name === null) return;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    up.forEach((tick, i) => {
      const [, py] = this.to_pixels(0, tick);
      ctx.fillRect(margin.left - 5, py, 5, 1);
      ctx.fillText(texts[1][i], margin.left - 7, py);
    });
    ctx.save();
    ctx.translate(9, margin.top + (floor - margin.top) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "center";
    ctx.fillText(y_name, 0, 0);
    ctx.restore();
  }

  ticks([low, high], n) {
    const step =
      nice_below((high - low) / n) *
      ((high - low) / n / nice_below((high - low) / n) > 1.6 ? 2 : 1);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) {
      found.push(Math.abs(tick) < 1e-9 * step ? 0 : tick);
    }
    return found;
  }

  /** Draw inside of the axes only. */
  clipped(draw) {
    const { ctx, margin } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(
      margin.left,
      margin.top,
      this.width - margin.left - margin.right,
      this.height - margin.top - margin.bottom,
    );
    ctx.clip();
    draw();
    ctx.restore();
  }

  /** An arrow in pixels, from a point by (dx, dy); a dot where it is too short to see. */
  arrow([x, y], [dx, dy], style, { width = 3, dash = [] } = {}) {
    const { ctx } = this;
    const length = Math.hypot(dx, dy);
    ctx.strokeStyle = ctx.fillStyle = style;
    ctx.lineWidth = width;
    if (length < 1.5) {
      ctx.beginPath();
      ctx.arc(x, y, width, 0, 7);
      ctx.fill();
      return;
    }
    const head = Math.min(length, 5 + 2.2 * width);
    const [ux, uy] = [dx / length, dy / length];
    const [tx, ty] = [x + dx, y + dy];
    const [bx, by] = [tx - head * ux, ty - head * uy];
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(bx, by);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(tx, ty);
    ctx.lineTo(bx - 0.45 * head * uy, by + 0.45 * head * ux);
    ctx.lineTo(bx + 0.45 * head * uy, by - 0.45 * head * ux);
    ctx.fill();
  }

  /** Text that can be read on any background. */
  label(text, x, y, style = colour("ink"), size = 13, align = "center", weight = 600) {
    const { ctx } = this;
    ctx.font = this.font(size, weight);
    ctx.textAlign = align;
    ctx.textBaseline = "middle";
    ctx.lineJoin = "round";
    ctx.lineWidth = 4;
    ctx.strokeStyle = colour("tile");
    ctx.strokeText(text, x, y);
    ctx.fillStyle = style;
    ctx.fillText(text, x, y);
  }

  ellipse([x, y], [rx, ry]) {
    const { ctx } = this;
    ctx.beginPath();
    ctx.ellipse(x, y, Math.max(rx, 0.5), Math.max(ry, 0.5), 0, 0, 2 * Math.PI);
  }
}

/** Two colours mixed: [r, g, b] at t from 0 to 1. */
function mixer(from, to) {
  const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [a, b] = [parse(from), parse(to)];
  return (t) => a.map((value, i) => value + (b[i] - value) * Math.min(1, Math.max(0, t)));
}
