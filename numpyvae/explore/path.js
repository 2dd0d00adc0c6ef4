"use strict";
// The gradient path: one example through vae.py, line by line, its arrows, and planted mistakes.

class PathPart extends PathTables {
  constructor(app) {
    super();
    this.app = app;
    this.step = STEPS.length - 1;
    this.mistake = null;
    this.timer = null;
    this.random = new Random(2);
    this.noise = Float64Array.from({ length: app.vae.L }, (_, l) => (l % 2 ? -0.8 : 1.1));
    app.path_batch = 1;
    this.mean_board = new Board("path-mean", (board) => this.draw_mean(board));
    this.log_var_board = new Board("path-log-var", (board) => this.draw_log_var(board));
    const { vae, pictures } = app;
    const of_z = (board) => pictures.large(board, vae.likelihood.mean(this.right.output));
    this.pictures = {
      x: new Board("path-x", (board) => pictures.large(board, app.own_x(app.example))),
      output: new Board("path-output", (board) => this.when("output", () => of_z(board))),
      doutput: new Board("path-doutput", (board) =>
        this.when("doutput", () => this.draw_pull(board)),
      ),
    };
    for (const board of [this.mean_board, this.log_var_board]) board.margin = { ...MARGIN };
    this.lines = STEPS.map((step) =>
      app.run.lines.findIndex((line) => line.of === step.of && line.text.includes(step.code)),
    );
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

  show() {
    const { app, right, step } = this;
    const now = STEPS[step];
    this.items.forEach((item, k) => {
      const index = this.lines.indexOf(k);
      item.classList.toggle("done", index >= 0 && index < step);
      item.classList.toggle(
        "planted",
        Boolean(this.mistake) && index >= 0 && STEPS[index].code.includes(`${this.mistake.line}(`),
      );
      if (index === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    element("path-says").textContent =
      `${step + 1} of ${STEPS.length}: ${now.says(right, app.vae.L, app)}`;
    this.show_tables();
    this.show_settings();
    for (const board of [this.mean_board, this.log_var_board, ...Object.values(this.pictures)])
      board.redraw();
    this.show_legend();
    this.describe();
  }

  show_settings() {
    const { app } = this;
    element("path-beta").value = Math.min(app.beta, 8);
    element("path-beta-value").textContent =
      number_text(app.beta, 3) + (app.beta === app.vae.beta ? " (the run's)" : "");
    element("path-batch").value = app.path_batch;
    const says = element("path-mistake-says");
    says.hidden = !this.mistake;
    if (!this.mistake) return;
    const differs = this.difference() > 1e-9;
    const { code, name, needs, remedy = "it needs more than this model has" } = this.mistake;
    says.replaceChildren(
      make("code", { textContent: code }),
      document.createTextNode(
        ` (${name}). ` +
          (differs
            ? `The dashed arrow is wrong by ${number_text(100 * this.difference(), 3)} % of the right one's length.`
            : `Here it is invisible: ${needs && !needs(app) ? remedy : "try other noise"}.`),
      ),
    );
  }

  /** |wrong - right| / |right| of what reaches the heads. */
  difference() {
    const { right, wrong } = this;
    const error = right.dheads.map((d, i) => d - wrong.dheads[i]);
    return length_of(error) / (length_of(right.dheads) || 1);
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
    const { right, app } = this;
    const [x, y] = this.mean_board.to_world(px, py);
    app.dims.forEach((dim, k) => {
      const noise = ([x, y][k] - right.mean[dim]) / Math.exp(0.5 * right.log_var[dim]);
      this.noise[dim] = Math.min(3.9, Math.max(-3.9, noise));
    });
    this.update();
  }

  listen() {
    const { app } = this;
    const { canvas } = this.mean_board;
    const click = (id, action) => element(id).addEventListener("click", action);
    let pressed = false;
    canvas.addEventListener("pointerdown", (event) => {
      pressed = true;
      canvas.setPointerCapture(event.pointerId);
      this.set_noise_from(...this.mean_board.pointer(event));
    });
    canvas.addEventListener(
      "pointermove",
      (event) => pressed && this.set_noise_from(...this.mean_board.pointer(event)),
    );
    canvas.addEventListener("pointerup", () => (pressed = false));
    canvas.addEventListener("keydown", (event) => {
      const by = arrow_key(event, 0.1);
      if (!by) return;
      event.preventDefault();
      app.dims.forEach(
        (dim, k) => (this.noise[dim] = Math.min(3.9, Math.max(-3.9, this.noise[dim] + by[k]))),
      );
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
}
