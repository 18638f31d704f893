// The menu of runs: all there are, with a box to choose each, and its colour.

import { element } from "./dom.js";

export class RunMenu {
  /** @param choose called with a run's name and whether it is chosen now */
  constructor(choose) {
    this.choose = choose;
    this.names = []; // of all runs
    this.box = element("fieldset", { class: "runs" });
    this.summary = element("summary", { "data-testid": "runs" }, "Runs");
    this.node = element("details", { class: "menu" }, this.summary, this.box);
    document.addEventListener("pointerdown", (event) => {
      if (!this.node.contains(event.target)) this.node.open = false;
    });
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.node.open = false;
      this.summary.focus();
    });
  }

  /**
   * @param runs {name, problem} of those there are
   * @param chosen names of those that are shown, which may be gone
   */
  list(runs, chosen) {
    this.names = runs.map(({ name }) => name);
    const gone = chosen.filter((name) => !this.names.includes(name));
    const all = [...runs, ...gone.map((name) => ({ name, problem: "" }))];
    this.box.replaceChildren(element("legend", {}, "Runs"), ...all.map(({ name, problem }) => {
      const box = element("input", {
        type: "checkbox", disabled: Boolean(problem), checked: chosen.includes(name),
        onchange: () => this.choose(name, box.checked),
      });
      const swatch = element("span", { class: "swatch", "data-run": name });
      return element("label", { "data-testid": "run" }, box, swatch, element("span", {}, name),
        problem ? element("small", {}, problem) : null);
    }));
  }

  /** @param runs {name, colours} of those that are shown */
  paint(runs) {
    const colours = new Map(runs.map((run) => [run.name, run.colours.measured]));
    for (const swatch of this.box.querySelectorAll(".swatch")) {
      swatch.style.background = colours.get(swatch.dataset.run) ?? "transparent";
    }
    const names = [...colours.keys()];
    this.summary.textContent = names.length === 1
      ? `Run: ${names[0]}` : `Runs: ${names.length} of ${this.names.length}`;
    this.summary.title = names.join("\n");
  }
}
