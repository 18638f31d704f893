// The panels of one step: density, coefficients, outliers, quantities, eigenvectors.

import { Chart } from "./chart.js";
import { densityModel, densityRows } from "./density.js";
import { element } from "./dom.js";
import { jacobiModel, jacobiRows } from "./jacobi.js";
import { Maps, alignmentMaps, mapRows } from "./maps.js";
import { notes, outlierRows, outlierTable } from "./outliers.js";
import { Panel, zoomTools } from "./panel.js";
import { QuantityPanel } from "./quantities.js";

export class MomentPanels {
  /** @param redraw called when a choice made in a panel changes what is drawn */
  constructor(redraw) {
    this.redraw = redraw;
    this.runs = []; // {name, colours, moment} that are drawn
    this.isFitted = false;
    this.isLogX = false;
    this.isLogY = true;
    this.highest = 0; // of the density axis, which only grows: steps are to be compared
    const panel = (name, title, rows) => new Panel(name, title, () =>
      (this.runs.length ? rows(this.runs) : null));
    this.quantities = new QuantityPanel(redraw);
    this.panels = {
      density: panel("density", "Spectral density", densityRows),
      jacobi: panel("jacobi", "Lanczos coefficients", jacobiRows),
      table: panel("outliers", "Outliers at this step", outlierRows),
      quantities: this.quantities.panel,
      alignment: panel("alignment", "Eigenvectors by direction", () => {
        const { name, moment } = this.#detailed();
        const found = alignmentMaps(moment);
        return found && mapRows(name, moment, found);
      }),
    };
    this.#buildDensity();
    this.#buildOthers();
  }

  #buildDensity() {
    const { density } = this.panels;
    this.densityChart = new Chart(density.body,
      "Spectral density over eigenvalues. Drag, + or − to zoom, 0 to reset.");
    zoomTools(density, this.densityChart);
    const toggle = (text, label, name) => density.toggle(text, label, (isOn) => {
      this[name] = isOn;
      this.densityChart.view = null;
      this.redraw();
    });
    toggle("fit", "Fit the axes to this step instead of the whole run", "isFitted");
    toggle("log x", "Logarithmic eigenvalue axis", "isLogX");
    toggle("log y", "Logarithmic density axis", "isLogY").checked = true;
  }

  #buildOthers() {
    const { jacobi, table, alignment } = this.panels;
    this.jacobiChart = new Chart(jacobi.body,
      "Lanczos coefficients over k. Drag, + or − to zoom, 0 to reset.");
    jacobi.tool("↺", "Whole range (0)", () => this.jacobiChart.reset(), "reset");
    table.tools.querySelector("button").remove(); // a table is no drawing
    this.alignmentDrawing = new Maps(alignment.body,
      "Heat maps of squared cosines of eigenvectors with directions");
  }

  /** Offer the runs whose heat maps can be shown. */
  offer(names) {
    this.quantities.offerRuns(names);
  }

  /** Show panels for what the runs have, and none for what they do not. */
  arrange(histories) {
    this.quantities.offer(histories);
    this.panels.alignment.section.hidden = !histories.some(({ directions }) => directions.length);
  }

  /** Something else is going to be drawn: forget the axes. */
  forget() {
    this.highest = 0;
    this.densityChart.view = null;
    this.jacobiChart.view = null;
  }

  /**
   * @param runs {name, colours, moment, history} to be drawn
   * @param range places that the eigenvalue axis is to hold, unless it is fitted
   * @param clock {name, label, place} of the axis of time
   * @param unit of the eigenvalues
   * @param reason says why there is nothing, given what is missing
   */
  draw({ theme, runs, range, clock, unit, reason }) {
    this.runs = runs;
    this.unit = unit;
    const failures = runs.map(({ moment }) => moment.failure).filter(Boolean);
    const why = (text) => reason(
      failures.length ? `${text} The probing failed: ${failures.join("; ")}` : text);
    this.#drawDensity(theme, range, why);
    const { jacobi, alignment } = this.panels;
    const show = (panel, drawing, content, missing) => {
      panel.say(content ? "" : why(missing));
      if (content) drawing.draw(...content);
    };
    const coefficients = runs.length ? jacobiModel({ theme, runs, unit }) : null;
    show(jacobi, this.jacobiChart, coefficients && [coefficients],
      "No coefficients: the record has no density, or is older than they are.");
    this.#drawTable(why);
    const moment = this.#detailed()?.moment;
    this.quantities.draw(theme, runs, clock, why);
    const alignments = moment && alignmentMaps(moment);
    show(alignment, this.alignmentDrawing, alignments && [theme, alignments],
      "No eigenvector of an outlier at this step.");
  }

  #drawDensity(theme, range, why) {
    const model = this.runs.length && densityModel({
      theme, runs: this.runs, unit: this.unit, isLogX: this.isLogX, isLogY: this.isLogY,
      range: this.isFitted ? [] : range, least: this.isFitted ? 0 : this.highest,
    });
    this.panels.density.say(model ? "" : why("No spectrum of this block was measured at this step."));
    if (!model) return;
    this.highest = Math.max(this.highest, model.highest);
    this.densityChart.draw(model);
  }

  #drawTable(why) {
    const { table } = this.panels;
    const content = outlierTable(this.runs);
    const lines = notes(this.runs, this.unit);
    table.say(content || lines.length ? "" : why("No eigenvalue at this step."));
    table.body.replaceChildren(
      content ?? element("p", {}, "No outlier is measured, predicted or forecast at this step."),
      ...lines.map((line) => element("p", { "data-testid": "note" }, line)));
  }

  /** The run whose heat maps are shown. */
  #detailed() {
    const { value } = this.quantities.detail;
    return this.runs.find(({ name }) => name === value) ?? this.runs[0];
  }
}
