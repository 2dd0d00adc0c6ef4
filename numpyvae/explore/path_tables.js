"use strict";
// The gradient path in words and numbers: the lines of vae.py, the tables of values, the mistakes.

class PathTables extends PathArrows {
  show_tables() {
    const { right, wrong, step: now } = this;
    const { L } = this.app.vae;
    for (const { row, values, cells, step, text } of this.rows) {
      row.classList.toggle("current", step === now);
      const [found, others] = [right, wrong ?? right].map((v) => values(v, L));
      cells.forEach((cell, l) => {
        const differs = Math.abs(others[l] - found[l]) > 1e-12 * Math.abs(found[l]);
        const wrong_text = differs ? `✗ ${text(others[l])}` : "";
        const parts = [text(found[l])];
        if (differs) parts.push(make("span", { className: "wrong", textContent: wrong_text }));
        cell.replaceChildren(...(step > now ? [] : parts)); // empty until it is computed
      });
    }
  }

  make_mistakes() {
    const select = element("path-mistake");
    for (const { id, name } of MISTAKES)
      select.append(make("option", { value: id, textContent: name }));
  }

  make_code() {
    this.items = this.app.run.lines.map((line) => {
      const [code, comment] = line.text.split(/(?= {2}# )/);
      const item = make("li", {}, [
        make("span", { className: "ln", textContent: `${line.number} ` }),
        make("span", { textContent: code }),
        make("span", { className: "comment", textContent: comment ?? "" }),
      ]);
      item.dataset.number = line.number;
      item.dataset.text = line.text;
      element(`path-${line.of}`).append(item);
      return item;
    });
  }

  make_tables() {
    const { L } = this.app.vae;
    const dims = Array.from({ length: L }, (_, l) => l);
    this.rows = [];
    for (const of of ["forward", "backward"]) {
      const heads = dims.map((l) => make("th", { scope: "col", textContent: `[${l}]` }));
      const head = make("tr", {}, [make("th", { scope: "col", textContent: of }), ...heads]);
      const body = make("tbody", {});
      element(`path-table-${of}`).append(make("thead", {}, [head]), body);
      const add = (name, values, cells, step, text) => {
        const row = make("tr", {}, [make("th", { scope: "row", textContent: name }), ...cells]);
        body.append(row);
        this.rows.push({ row, values, cells, step: this.step_of(step), text });
      };
      for (const [name, values, given_by] of ROWS[of]) {
        const cells = dims.map(() => make("td", {}));
        add(name, values, cells, given_by ?? name, (value) => number_text(value, 4));
      }
      for (const [name, unit] of SCALARS[of]) {
        const cell = make("td", { colSpan: Math.min(2, L) });
        const text = (value) => `${number_text(value, 5)} ${unit}`;
        const value = (v) => (name === "loss" ? [v.loss] : v[name]);
        add(name, value, [cell], name, text);
      }
    }
  }
}
