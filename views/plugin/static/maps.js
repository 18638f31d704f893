// Heat maps: matrices side by side, and eigenvectors by direction.

import { element, number, svg } from "./dom.js";
import { diverging } from "./theme.js";
import { paired } from "./pairing.js";

const TITLE = 16;
const FONT = 11;

/** Several maps side by side in one drawing. */
export class Maps {
  constructor(host, label) {
    this.host = host;
    this.svg = svg("svg", {
      class: "chart", role: "group", "aria-roledescription": "heat maps", tabindex: 0,
      "aria-label": `${label}. Arrow keys go from cell to cell.`,
    });
    this.tip = element("div", { class: "tip", role: "tooltip", hidden: true });
    this.heard = element("output", { class: "heard", "aria-live": "polite" });
    this.place = [0, 0, 0]; // map, row and column of the cell that the keys are at
    host.append(this.svg, this.tip, this.heard);
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.svg.addEventListener("blur", () => this.#leave());
    this.svg.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.svg.addEventListener("pointermove", (event) => this.#hover(event));
    new ResizeObserver(() => this.maps && this.#render()).observe(host);
  }

  /** @param maps [{title, rows: names, columns: names, values, limit, test, axis}] */
  draw(theme, maps) {
    this.theme = theme;
    this.maps = maps;
    this.#render();
  }

  #render() {
    const { theme, maps, host } = this;
    const [width, height] = [host.clientWidth, host.clientHeight];
    if (width < 60 || height < 60) return;
    const nodes = [svg("rect", { width, height, fill: theme.ground })];
    const share = width / maps.length;
    maps.forEach((map, place) => nodes.push(this.#map(map, place * share, share, height)));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("font-family", "system-ui, sans-serif");
    this.svg.setAttribute("font-size", FONT);
    this.svg.replaceChildren(...nodes);
    if (this.isMarked) this.#mark();
  }

  /** Arrow keys go through the maps as if they were one, in rows; others are the player's. */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.maps?.length) return;
    if (event.key === "Escape" && this.isMarked) this.#leave();
    const move = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
    }[event.key];
    if (!move) return;
    event.preventDefault();
    let [map, row, column] = this.#cell();
    if (this.isMarked) {
      row += move[0];
      column += move[1];
      if (column < 0 && map > 0) [map, column] = [map - 1, Infinity];
      else if (column >= this.maps[map].columns.length && map + 1 < this.maps.length) {
        [map, column] = [map + 1, 0];
      }
    }
    this.place = [map, row, column];
    this.#mark();
  }

  /** The place of the keys, inside the maps that are drawn. */
  #cell() {
    const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
    const map = within(this.place[0], this.maps.length);
    const { rows, columns } = this.maps[map];
    return [map, within(this.place[1], rows.length), within(this.place[2], columns.length)];
  }

  /** Show the cell of the keys, and say its value. */
  #mark() {
    this.place = this.#cell();
    const [map, row, column] = this.place;
    const { columns, test } = this.maps[map];
    const cells = this.svg.querySelectorAll(`[data-testid="${test}"] [data-tip]`);
    const cell = cells[row * columns.length + column];
    this.svg.querySelector(".marked")?.remove();
    if (!cell) return;
    this.isMarked = true;
    const [x, y, width, height] = ["x", "y", "width", "height"].map((name) =>
      Number(cell.getAttribute(name)));
    this.svg.append(svg("rect", {
      class: "marked", x, y, width, height, fill: "none", stroke: this.theme.ink,
      "stroke-width": 2, "pointer-events": "none",
    }));
    this.#show(cell.getAttribute("data-tip"), x + width, y + height);
    this.heard.textContent = this.tip.textContent;
  }

  #leave() {
    this.isMarked = false;
    this.tip.hidden = true;
    this.heard.textContent = "";
    this.svg.querySelector(".marked")?.remove();
  }

  #map({ title, rows, columns, values, limit, test, axis }, left, width, height) {
    const { theme } = this;
    const longest = Math.max(...rows.map((name) => name.length));
    const margin = 9 + 6.4 * longest;
    const isWide = rows !== columns; // cells need not be square
    const room = { width: width - margin - 8, height: height - TITLE - 2 * FONT - 14 };
    let cell = { width: room.width / columns.length, height: room.height / rows.length };
    if (!isWide) {
      const side = Math.min(cell.width, cell.height);
      cell = { width: side, height: side };
    }
    cell.height = Math.min(cell.height, 30);
    const x0 = left + margin;
    const y0 = TITLE + 6;
    const group = svg("g", { "data-testid": test });
    group.append(svg("text", { x: x0, y: 12, fill: theme.ink }, title));
    const gap = Math.min(1, cell.width / 8);
    const hasText = cell.width > 27 && cell.height > 12;
    values.forEach((row, i) => row.forEach((value, j) => {
      const x = x0 + j * cell.width;
      const y = y0 + i * cell.height;
      const colour = diverging(theme, (value ?? 0) / (limit || 1));
      group.append(svg("rect", {
        x, y, width: cell.width - gap, height: cell.height - 1,
        fill: value == null ? "none" : colour.fill,
        stroke: value == null ? theme.grid : "none",
        "data-tip": `${title}, ${rows[i]}, ${columns[j]}: ${number(value, 5)}`,
        "data-value": value,
      }));
      if (hasText && value != null) {
        group.append(svg("text", {
          x: x + cell.width / 2, y: y + cell.height / 2 + 4, "text-anchor": "middle",
          fill: colour.text, "pointer-events": "none",
          "font-size": Math.min(FONT, cell.width / 3.2),
        }, limit >= 0.05 && limit < 1000
          ? value.toFixed(2).replace("-0.00", "0.00") : number(value, 2)));
      }
    }));
    rows.forEach((name, i) => {
      if (i % Math.max(1, Math.ceil(9 / cell.height))) return;
      group.append(svg("text", {
        x: x0 - 4, y: y0 + (i + 0.5) * cell.height + 4, "text-anchor": "end", fill: theme.faint,
      }, name));
    });
    const bottom = y0 + rows.length * cell.height + 12;
    const letters = Math.max(...columns.map((name) => name.length));
    columns.forEach((name, j) => {
      if (j % Math.max(1, Math.ceil((6.5 * letters + 4) / cell.width))) return;
      group.append(svg("text", {
        x: x0 + (j + 0.5) * cell.width, y: bottom, "text-anchor": "middle", fill: theme.faint,
      }, name));
    });
    const isSigned = values.flat().some((value) => value < 0);
    group.append(svg("text", { x: x0, y: bottom + 15, fill: theme.faint },
      `${axis ? `${axis}; ` : ""}colours ${isSigned ? "±" : "0 to "}${number(limit, 2)}`));
    return group;
  }

  #hover(event) {
    const text = event.target.getAttribute?.("data-tip");
    this.tip.hidden = !text;
    if (!text) return;
    const box = this.svg.getBoundingClientRect();
    this.#show(text, event.clientX - box.left, event.clientY - box.top);
  }

  #show(text, x, y) {
    const { clientWidth: width, clientHeight: height } = this.host;
    this.tip.textContent = text;
    this.tip.hidden = false;
    const isRight = x > width / 2;
    this.tip.style.left = isRight ? "" : `${x + 14}px`;
    this.tip.style.right = isRight ? `${width - x + 14}px` : "";
    this.tip.style.top = `${Math.min(y + 8, Math.max(height - this.tip.offsetHeight, 0))}px`;
  }
}

/** Squared cosines of the eigenvectors, measured and as they should be, with each direction. */
export function alignmentMaps(moment) {
  const names = moment.directions;
  const chosen = paired(moment);
  const hasAlignment = chosen.some(({ seen, theory, forecast }) =>
    [seen, theory, forecast].some((pair) => pair?.alignment.length));
  if (!names.length || !hasAlignment) return null;
  const columns = ["span", ...names];
  const rows = [];
  const values = [];
  for (const { name, seen, theory, forecast } of chosen) {
    for (const [kind, pair] of Object.entries({ measured: seen, predicted: theory, forecast })) {
      if (kind === "predicted" && !moment.predicted?.bulk) continue;
      if (kind === "forecast" && !forecast) continue;
      rows.push(kind === "measured" ? `${name} ${kind}` : kind);
      values.push([pair?.overlap ?? null, ...names.map((_, j) => pair?.alignment[j] ?? null)]);
    }
  }
  return [{ title: "squared cosine (1)", rows, columns, values,
    limit: 1, test: "alignment-map" }];
}

export function mapRows(name, moment, maps) {
  return [
    ["run", "step", "kind", "row", "column", "value"],
    ...maps.flatMap(({ title, rows, columns, values }) => values.flatMap((row, i) =>
      row.map((value, j) => [name, moment.step, title, rows[i], columns[j], value]))),
  ];
}
