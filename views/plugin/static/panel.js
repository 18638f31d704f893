// A panel: a title, tools, what is drawn or why nothing is, and its export.

import { csv, download, element } from "./dom.js";

/** The buttons of a chart. */
export function zoomTools(panel, chart) {
  panel.tool("+", "Zoom in (+)", () => chart.zoom(1.5), "zoom-in");
  panel.tool("−", "Zoom out (−)", () => chart.zoom(1 / 1.5), "zoom-out");
  panel.tool("↺", "Whole range (0)", () => chart.reset(), "reset");
}

export class Panel {
  /** @param rows what the panel shows as CSV rows, or null */
  constructor(name, title, rows) {
    this.body = element("div", { class: "body" });
    this.empty = element("p", { class: "empty", hidden: true, "data-testid": `${name}-empty` });
    this.tools = element("span", { class: "tools" });
    this.heading = element("h2", {}, title);
    this.section = element("section", { "data-testid": name, "aria-label": title },
      element("header", {}, this.heading, this.tools),
      this.body, this.empty);
    this.name = name;
    this.tool("SVG", `Save ${title} as SVG`, () => this.saveSvg(), "svg");
    this.tool("CSV", `Save the numbers of ${title} as CSV`, () => {
      const found = rows();
      if (found) download(`${name}.csv`, "text/csv", csv(found));
    }, "csv");
    this.enlarge = this.tool("⤢", `Enlarge ${title}`, () => {
      const isLarge = this.section.classList.toggle("large");
      this.section.closest("main").classList.toggle("one", isLarge);
      this.enlarge.setAttribute("aria-pressed", isLarge);
    }, "enlarge");
  }

  tool(text, label, press, test) {
    const button = element("button", {
      type: "button", "aria-label": label, title: label, onclick: press,
      "data-testid": `${this.name}-${test}`,
    }, text);
    this.tools.append(button);
    return button;
  }

  toggle(text, label, change) {
    const box = element("input", {
      type: "checkbox", onchange: () => change(box.checked),
    });
    this.tools.prepend(element("label", { title: label }, box, text));
    return box;
  }

  rename(title) {
    this.section.setAttribute("aria-label", title);
    this.heading.textContent = title;
  }

  /** Say why nothing is shown; with "" show it. */
  say(text) {
    this.empty.textContent = text;
    this.empty.hidden = !text;
    this.body.hidden = Boolean(text);
  }

  saveSvg() {
    const drawn = [...this.body.querySelectorAll("svg.chart")].find((each) => !each.closest("[hidden]"));
    if (!drawn || this.body.hidden) return;
    const copy = drawn.cloneNode(true);
    copy.querySelectorAll(".marked, .rubber").forEach((node) => node.remove());
    const [, , width, height] = drawn.getAttribute("viewBox").split(" ");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    download(`${this.name}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(copy));
  }
}
