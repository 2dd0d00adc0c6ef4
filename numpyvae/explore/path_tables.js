"use strict";
// The gradient path in words and numbers: the lines of vae.py, the tables of values, the mistakes.

class PathTables extends PathArrows {
  show_tables() {
    const { right, wrong, step: now } = this;
    const { L } = this.app.vae;
    const mark = ({ row, step }) => {
      row.classList.toggle("pending", step > now);
      row.classList.toggle("current", step === now);
    };
    for (const row of this.rows) {
      mark(row);
      const values = row.values(right, L);
      const others = wrong && row.values(wrong, L);
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
    [this.rows, this.scalars, this.wrong_heads] = [[], [], []];
    const row_of = (body, name, cells) => {
      const row = make("tr", {}, [make("th", { scope: "row", textContent: name }), ...cells]);
      row.dataset.name = name;
      body.append(row);
      return row;
    };
    for (const of of ["forward", "backward"]) {
      const body = make("tbody", {});
      const heads = dims.map((l) => make("th", { scope: "col", textContent: `[${l}]` }));
      const wrongs = dims.map((l) =>
        make("th", { scope: "col", className: "wrong", textContent: `wrong [${l}]`, hidden: true }),
      );
      this.wrong_heads.push(...wrongs);
      element(`path-table-${of}`).append(
        make("thead", {}, [
          make("tr", {}, [make("th", { scope: "col", textContent: of }), ...heads, ...wrongs]),
        ]),
        body,
      );
      for (const [name, values, given_by] of ROWS[of]) {
        const cells = dims.map(() => make("td", {}));
        const others = dims.map(() => make("td", { className: "wrong", hidden: true }));
        this.rows.push({
          row: row_of(body, name, [...cells, ...others]),
          values,
          cells,
          others,
          step: this.step_of(given_by ?? name),
        });
      }
      for (const [name, unit] of SCALARS[of]) {
        const cell = make("td", { colSpan: Math.min(2, L) });
        this.scalars.push({
          row: row_of(body, name, [cell]),
          name,
          unit,
          cell,
          step: this.step_of(name),
        });
      }
    }
  }
}
