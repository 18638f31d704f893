// A chart: layers over two axes, with zoom, hover and marks to click. Drawn as SVG with every look
// in attributes, so that what is exported is what is seen.

import { element, number, svg } from "./dom.js";
import { makeScale, ticks } from "./scale.js";

const LEFT = 58;
const RIGHT = 12;
const BOTTOM = 34;
const LEGEND_LINE = 15;
const FONT = 11;
const DRAG = 5; // px below which a drag is a click
let charts = 0;

const round = (value) => Math.round(Math.min(Math.max(value, -1e5), 1e5) * 10) / 10;

export class Chart {
  /**
   * @param host element that the chart fills
   * @param label what the chart is, for those who hear it
   * @param pick called with the place on the x axis that was clicked
   */
  constructor(host, label, pick = () => {}) {
    this.host = host;
    this.pick = pick;
    this.view = null;
    this.clip = `spectrain-clip-${(charts += 1)}`;
    this.svg = svg("svg", { class: "chart", role: "group", "aria-label": label, tabindex: 0 });
    this.tip = element("div", { class: "tip", role: "tooltip", hidden: true });
    host.append(this.svg, this.tip);
    this.svg.addEventListener("pointerdown", (event) => this.#press(event));
    this.svg.addEventListener("pointermove", (event) => this.#move(event));
    this.svg.addEventListener("pointerup", (event) => this.#release(event));
    this.svg.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.svg.addEventListener("dblclick", () => this.reset());
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.model && this.#render()).observe(host);
  }

  draw(model) {
    this.model = model;
    this.#render();
  }

  reset() {
    this.view = null;
    if (this.model) this.#render();
  }

  /** Zoom by a factor about the middle, or to ranges. */
  zoom(factor) {
    if (!this.x) return;
    const [left, right] = [LEFT, this.width - RIGHT];
    const middle = (left + right) / 2;
    const half = (right - left) / 2 / factor;
    this.view = {
      x: [this.x.invert(middle - half), this.x.invert(middle + half)],
      y: this.view?.y ?? null,
    };
    this.#render();
  }

  #render() {
    const { model, host } = this;
    this.width = host.clientWidth;
    this.height = host.clientHeight;
    if (this.width < 80 || this.height < 60) return;
    const { theme } = model;
    const legend = this.#legend();
    const top = legend.height + 6;
    const bottom = this.height - BOTTOM;
    this.top = top;
    this.x = makeScale(this.view?.x ?? model.x.domain, model.x.isLog, LEFT, this.width - RIGHT);
    this.y = makeScale(this.view?.y ?? model.y.domain, model.y.isLog, bottom, top);
    const box = { x: LEFT, y: top, width: this.width - LEFT - RIGHT, height: bottom - top };
    const inside = svg("g", { "clip-path": `url(#${this.clip})` });
    for (const layer of model.layers) inside.append(...this.#layer(layer));
    const children = [
      svg("rect", { width: this.width, height: this.height, fill: theme.ground }),
      svg("defs", {}, svg("clipPath", { id: this.clip }, svg("rect", box))),
      ...this.#axes(theme, top, bottom),
      inside,
      ...legend.nodes,
      ...(model.marks ?? []).flatMap((mark) => this.#mark(mark, theme)),
    ];
    const cursor = this.#cursorNode(theme);
    if (cursor) children.push(cursor);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("font-family", "system-ui, sans-serif");
    this.svg.setAttribute("font-size", FONT);
    this.svg.replaceChildren(...children);
  }

  /** Move the vertical line that marks the step without drawing the rest again. */
  moveCursor(place) {
    if (!this.model) return;
    this.model.cursor = place;
    this.svg.querySelector(".cursor")?.remove();
    const node = this.x && this.#cursorNode(this.model.theme);
    if (node) this.svg.append(node);
  }

  #cursorNode(theme) {
    const place = this.model.cursor;
    if (place == null) return null;
    const x = round(this.x(place));
    if (!(x >= LEFT - 1 && x <= this.width - RIGHT + 1)) return null;
    return svg("line", {
      class: "cursor", x1: x, x2: x, y1: this.top, y2: this.height - BOTTOM,
      stroke: theme.high, "stroke-opacity": 0.55, "stroke-width": 3, "pointer-events": "none",
    });
  }

  #axes(theme, top, bottom) {
    const nodes = [];
    const right = this.width - RIGHT;
    const line = (x1, x2, y1, y2, stroke) =>
      svg("line", { x1: round(x1), x2: round(x2), y1: round(y1), y2: round(y2), stroke });
    for (const value of this.#xTicks()) {
      const x = this.x(value);
      nodes.push(line(x, x, top, bottom, theme.grid));
      nodes.push(svg("text", {
        x: round(x), y: bottom + 14, "text-anchor": "middle", fill: theme.faint,
      }, this.model.x.names ? this.model.x.names[value] : number(value, 6)));
    }
    for (const value of ticks(this.y, Math.max(2, this.height / 45))) {
      const y = this.y(value);
      nodes.push(line(LEFT, right, y, y, theme.grid));
      nodes.push(svg("text", {
        x: LEFT - 5, y: round(y + 4), "text-anchor": "end", fill: theme.faint,
      }, number(value, 6)));
    }
    nodes.push(line(LEFT, right, bottom, bottom, theme.faint));
    nodes.push(line(LEFT, LEFT, top, bottom, theme.faint));
    const { x, y } = this.model;
    nodes.push(svg("text", {
      x: (LEFT + right) / 2, y: this.height - 5, "text-anchor": "middle", fill: theme.ink,
    }, x.label));
    nodes.push(svg("text", {
      transform: `translate(11 ${round((top + bottom) / 2)}) rotate(-90)`,
      "text-anchor": "middle", fill: theme.ink,
    }, y.label));
    return nodes;
  }

  /** Round values, or the places that have names, as many as there is room for. */
  #xTicks() {
    const { names } = this.model.x;
    if (!names) return ticks(this.x, Math.max(2, this.width / 90));
    const longest = Math.max(...names.map((name) => name.length), 1);
    const room = Math.abs(this.x(1) - this.x(0));
    const stride = Math.max(1, Math.ceil((6.5 * longest + 6) / room));
    const [low, high] = this.x.domain;
    return names.map((_, place) => place)
      .filter((place) => place % stride === 0 && place >= low && place <= high);
  }

  #layer(layer) {
    const { x, y } = this;
    const isShown = (a, b) =>
      a != null && b != null && (!x.isLog || a > 0) && (!y.isLog || b > 0);
    const low = this.height - BOTTOM;
    const high = this.top;
    const path = (d, attributes) => (d ? [svg("path", { d, fill: "none", ...attributes })] : []);
    const stroke = {
      stroke: layer.color, "stroke-width": layer.width ?? 1.5, "stroke-dasharray": layer.dash,
      "stroke-opacity": layer.opacity, "data-testid": layer.test,
    };
    if (layer.kind === "line") {
      let d = "";
      let isOpen = false;
      layer.points.forEach(([a, b], place) => {
        if (!isShown(a, b)) {
          isOpen = false;
          return;
        }
        const next = layer.points[place + 1];
        if (!isOpen && !(next && isShown(...next))) d += `M${round(x(a) - 4)} ${round(y(b))}h8`;
        else d += `${isOpen ? "L" : "M"}${round(x(a))} ${round(y(b))}`;
        isOpen = true;
      });
      return path(d, { ...stroke, "stroke-linejoin": "round" });
    }
    if (layer.kind === "band") {
      const pieces = [[]];
      for (const [a, below, above] of layer.points) {
        const floor = below != null && y.isLog && below <= 0 ? y.domain[0] : below;
        if (isShown(a, floor) && isShown(a, above)) pieces.at(-1).push([a, floor, above]);
        else if (pieces.at(-1).length) pieces.push([]);
      }
      const d = pieces.filter((piece) => piece.length).map((piece) => {
        const wide = piece.length > 1 ? piece : [
          [x.invert(x(piece[0][0]) - 4), piece[0][1], piece[0][2]],
          [x.invert(x(piece[0][0]) + 4), piece[0][1], piece[0][2]],
        ];
        const upper = wide.map(([a, , above]) => `${round(x(a))} ${round(y(above))}`);
        const lower = wide.map(([a, below]) => `${round(x(a))} ${round(y(below))}`).reverse();
        return `M${upper.join("L")}L${lower.join("L")}Z`;
      }).join("");
      return path(d, {
        fill: layer.color, "fill-opacity": layer.opacity ?? 1, "data-testid": layer.test,
      });
    }
    if (layer.kind === "dots") {
      const d = layer.points.filter(([a, b]) => isShown(a, b))
        .map(([a, b]) => `M${round(x(a))} ${round(y(b))}h0`).join("");
      const dot = { "stroke-linecap": "round", "data-testid": layer.test };
      const size = layer.size ?? 5;
      return [
        ...path(d, { ...dot, stroke: layer.color, "stroke-width": size }),
        ...(layer.hollow
          ? path(d, { "stroke-linecap": "round", stroke: layer.hollow, "stroke-width": size - 1.6 })
          : []),
      ];
    }
    if (layer.kind === "dashes") {
      const d = layer.points.filter(([a, b]) => isShown(a, b))
        .map(([a, b]) => `M${round(x(a) - 3)} ${round(y(b))}h6`).join("");
      return path(d, stroke);
    }
    if (layer.kind === "bars") {
      const d = layer.points.map(([a, below, above]) => {
        const floor = below != null && y.isLog && below <= 0 ? y.domain[0] : below;
        return isShown(a, floor) && isShown(a, above)
          ? `M${round(x(a))} ${round(y(floor))}V${round(y(above))}` : "";
      }).join("");
      return path(d, stroke);
    }
    const places = layer.places.filter((place) => place != null && (!x.isLog || place > 0));
    if (layer.kind === "stems") {
      const end = low - (low - high) * (layer.share ?? 1);
      return path(places.map((p) => `M${round(x(p))} ${low}V${round(end)}`).join(""), stroke);
    }
    if (layer.kind === "arrows") {
      const tip = low - (low - high) * layer.share;
      const d = places.map((p) => `M${round(x(p))} ${round(tip)}l-4.5 -8h9z`).join("");
      return path(d, { fill: layer.color, "data-testid": layer.test });
    }
    const d = places.map((p) => `M${round(x(p) - 4)} ${low - 10}l8 8m0 -8l-8 8`).join("");
    return path(d, stroke); // crosses at the axis
  }

  #mark(mark, theme) {
    const x = this.x(mark.place);
    if (!(x >= LEFT && x <= this.width - RIGHT)) return [];
    const press = (event) => {
      event.stopPropagation();
      mark.press();
    };
    return [svg("g", {
      class: "mark", role: "button", tabindex: 0, "aria-label": mark.text,
      "data-testid": "transition", "data-step": mark.step,
      onclick: press,
      onpointerdown: (event) => event.stopPropagation(),
      onpointerup: (event) => event.stopPropagation(),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          press(event);
        }
      },
    },
    svg("title", {}, mark.text),
    svg("line", {
      x1: round(x), x2: round(x), y1: this.top, y2: this.height - BOTTOM,
      stroke: theme.ink, "stroke-dasharray": "6 2 1 2", "stroke-opacity": 0.7,
    }),
    svg("path", {
      d: `M${round(x)} ${this.top + 9}l-5 -9h10z`, fill: theme.ink, stroke: theme.ground,
    }),
    svg("rect", {
      x: round(x - 6), y: this.top - 2, width: 12, height: 14, fill: theme.ink, "fill-opacity": 0,
    }))];
  }

  /** Swatches and words above the plot, as many a line as fit. */
  #legend() {
    const { theme, legend } = this.model;
    const nodes = [];
    let x = LEFT;
    let line = 0;
    for (const { kind, color, dash, label, fill, opacity, hollow } of legend ?? []) {
      const size = 28 + 6.2 * label.length;
      if (x > LEFT && x + size > this.width - RIGHT) {
        x = LEFT;
        line += 1;
      }
      const y = 10 + LEGEND_LINE * line;
      if (kind === "box") {
        nodes.push(svg("rect", {
          x, y: y - 5, width: 14, height: 9, fill: fill ?? color, "fill-opacity": opacity ?? 1,
        }));
      } else if (kind === "dot") {
        nodes.push(svg("circle", {
          cx: x + 7, cy: y, r: 3, fill: hollow ?? color, stroke: color, "stroke-width": 1.2,
        }));
      } else if (kind === "arrow") {
        nodes.push(svg("path", { d: `M${x + 7} ${y + 4}l-4.5 -8h9z`, fill: color }));
      } else {
        nodes.push(svg("line", {
          x1: x, x2: x + 14, y1: y, y2: y, stroke: color, "stroke-width": 2,
          "stroke-dasharray": dash,
        }));
      }
      nodes.push(svg("text", { x: x + 18, y: y + 4, fill: theme.ink }, label));
      x += size;
    }
    return { nodes, height: nodes.length ? 6 + LEGEND_LINE * (line + 1) : 0 };
  }

  #place(event) {
    const box = this.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #press(event) {
    if (event.button !== 0 || !this.x) return;
    this.start = this.#place(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.x) return;
    const [px, py] = this.#place(event);
    if (this.start) {
      this.#rubber(px, py);
      return;
    }
    const isInside = px >= LEFT && px <= this.width - RIGHT && py >= this.top
      && py <= this.height - BOTTOM;
    const lines = isInside ? this.model.hover?.(this.x.invert(px), this.x) : null;
    this.tip.hidden = !lines?.length;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
    const isRight = px > this.width / 2;
    this.tip.style.left = isRight ? "" : `${px + 14}px`;
    this.tip.style.right = isRight ? `${this.width - px + 14}px` : "";
    this.tip.style.top = `${Math.min(py, Math.max(this.height - this.tip.offsetHeight, 0))}px`;
  }

  #rubber(px, py) {
    this.tip.hidden = true;
    this.svg.querySelector(".rubber")?.remove();
    const [sx, sy] = this.start;
    if (Math.hypot(px - sx, py - sy) < DRAG) return;
    const isFlat = Math.abs(py - sy) < 4 * DRAG; // along x alone
    this.svg.append(svg("rect", {
      class: "rubber",
      x: Math.min(px, sx), width: Math.abs(px - sx),
      y: isFlat ? this.top : Math.min(py, sy),
      height: isFlat ? this.height - BOTTOM - this.top : Math.abs(py - sy),
      fill: this.model.theme.predicted, "fill-opacity": 0.2,
    }));
  }

  #release(event) {
    if (!this.start) return;
    const [sx, sy] = this.start;
    const [px, py] = this.#place(event);
    this.start = null;
    this.svg.querySelector(".rubber")?.remove();
    if (Math.hypot(px - sx, py - sy) < DRAG) {
      if (px >= LEFT && px <= this.width - RIGHT) this.pick(this.x.invert(px));
      return;
    }
    if (Math.abs(px - sx) < DRAG) return;
    const sorted = (a, b) => (a < b ? [a, b] : [b, a]);
    const isFlat = Math.abs(py - sy) < 4 * DRAG;
    this.view = {
      x: sorted(this.x.invert(px), this.x.invert(sx)),
      y: isFlat ? this.view?.y ?? null : sorted(this.y.invert(py), this.y.invert(sy)),
    };
    this.#render();
  }

  #key(event) {
    const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
    if (factor) this.zoom(factor);
    else if (event.key === "0") this.reset();
  }
}
