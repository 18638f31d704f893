// The tab "Spectrum": which runs, which block, which step; and the panels that follow.

import { readAddress, writeAddress } from "./address.js";
import { Chart } from "./chart.js";
import { densityModel, densityRows, wholeRange } from "./density.js";
import { element, matrixName } from "./dom.js";
import { jacobiModel, jacobiRows } from "./jacobi.js";
import { Maps, alignmentMaps, gramMaps, mapRows } from "./maps.js";
import { notes, outlierRows, outlierTable } from "./outliers.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { History, fetchMoment, fetchRuns } from "./source.js";
import { colours, isDark, runColours } from "./theme.js";
import {
  SHORT_CLOCKS, clocks, nearest, suitsLog, trajectoryModel, trajectoryRows,
} from "./trajectories.js";

const POLL = 2000; // ms
const LISTING = 5; // polls from one look for new runs to the next

class Tab {
  constructor(root) {
    this.root = root;
    this.names = []; // of all runs
    this.histories = new Map(); // of the chosen ones, in the order of their choice
    const wanted = readAddress();
    this.player = new Player(() => this.#showStep(), () => this.#transitions(), wanted.step);
    this.polls = 0;
    this.isFitted = false;
    this.range = []; // extremes of the eigenvalue axis over all steps
    this.highest = 0;
    this.moments = []; // {name, colours, moment} that are shown
    this.logs = { densityX: false, densityY: true, paths: null };
    this.#build();
    for (const name of wanted.runs) this.histories.set(name, new History(name));
    this.hasChosen = wanted.runs.length > 0;
    for (const [node, value] of [[this.matrix, wanted.matrix], [this.block, wanted.block]]) {
      if (wanted.matrix && wanted.block) node.append(element("option", { value }, value));
    }
  }

  async start() {
    this.#paint();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    for (;;) {
      const isBehind = document.hidden ? false : await this.#poll();
      await new Promise((resolve) => setTimeout(resolve, isBehind ? 0 : POLL));
    }
  }

  #build() {
    const select = (label, test, change) => {
      const node = element("select", { "data-testid": test, onchange: change });
      return [node, element("label", {}, label, node)];
    };
    this.runList = element("fieldset", { class: "runs" }, element("legend", {}, "Runs"));
    this.runSummary = element("summary", { "data-testid": "runs" }, "Runs");
    const runs = element("details", { class: "menu" }, this.runSummary, this.runList);
    document.addEventListener("pointerdown", (event) => {
      if (!runs.contains(event.target)) runs.open = false;
    });
    runs.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      runs.open = false;
      this.runSummary.focus();
    });
    let matrix, block, clock, quantity, detail, theme;
    [this.matrix, matrix] = select("Matrix", "matrix", () => this.#chooseMatrix());
    [this.block, block] = select("Block", "block", () => this.#update());
    [this.detail, detail] = select("of", "detail", () => this.#drawMoments());
    this.detailLabel = detail;
    [this.theme, theme] = select("Colours", "theme", () => this.#paint());
    for (const name of ["auto", "light", "dark"]) this.theme.append(element("option", {}, name));
    this.problems = element("ul", { role: "status", class: "problems", "data-testid": "problems" });
    const bar = element("div", { class: "bar" }, runs, matrix, block,
      ...this.player.nodes, theme);

    const shown = () => (this.moments.length ? this.moments : null);
    const detailed = () => this.moments.find(({ name }) => name === this.detail.value)
      ?? this.moments[0];
    this.density = new Panel("density", "Spectral density", () =>
      shown() && densityRows(this.moments));
    this.paths = new Panel("trajectories", "Along training", () => trajectoryRows(this.#runs()));
    this.jacobi = new Panel("jacobi", "Lanczos coefficients", () =>
      shown() && jacobiRows(this.moments));
    this.table = new Panel("outliers", "Outliers at this step", () =>
      shown() && outlierRows(this.moments));
    this.table.tools.querySelector("button").remove(); // a table is no drawing
    const mapPanel = (name, title, maps) => new Panel(name, title, () => {
      const one = detailed();
      const found = one && maps(one.moment);
      return found && mapRows(one.name, one.moment, found);
    });
    this.gram = mapPanel("gram", "Gram matrix", gramMaps);
    this.alignment = mapPanel("alignment", "Eigenvectors by direction", alignmentMaps);
    this.detailed = detailed;

    this.densityChart = new Chart(this.density.body,
      "Spectral density over eigenvalues. Drag, + or − to zoom, 0 to reset.");
    this.pathChart = new Chart(this.paths.body,
      "Eigenvalues along training. Click to go to a step; drag, + or − to zoom, 0 to reset.",
      (place) => this.#pick(place));
    this.jacobiChart = new Chart(this.jacobi.body,
      "Lanczos coefficients over k. Drag, + or − to zoom, 0 to reset.");
    this.gramDrawing = new Maps(this.gram.body, "Heat maps of the Gram matrix");
    this.alignmentDrawing = new Maps(this.alignment.body,
      "Heat maps of squared cosines of eigenvectors with directions");
    this.#chartTools(this.density, this.densityChart);
    this.#chartTools(this.paths, this.pathChart);
    this.jacobi.tool("↺", "Whole range (0)", () => this.jacobiChart.reset(), "reset");
    this.density.toggle("fit", "Fit the axes to this step instead of the whole run", (isFitted) => {
      this.isFitted = isFitted;
      this.densityChart.view = null;
      this.#drawMoments();
    });
    this.density.toggle("log x", "Logarithmic eigenvalue axis", (isLog) => {
      this.logs.densityX = isLog;
      this.densityChart.view = null;
      this.#drawMoments();
    });
    this.density.toggle("log y", "Logarithmic density axis", (isLog) => {
      this.logs.densityY = isLog;
      this.densityChart.view = null;
      this.#drawMoments();
    }).checked = true;
    this.logPaths = this.paths.toggle("log y", "Logarithmic eigenvalue axis", (isLog) => {
      this.logs.paths = isLog;
      this.pathChart.view = null;
      this.#drawPaths();
    });
    const redraw = () => {
      this.pathChart.view = null;
      this.#drawPaths();
    };
    [this.quantity, quantity] = select("", "quantity", redraw);
    this.quantity.setAttribute("aria-label", "Quantity along training");
    this.quantity.append(element("option", { value: "eigenvalue" }, "eigenvalues"),
      element("option", { value: "overlap" }, "overlaps"));
    [this.clock, clock] = select("", "clock", redraw);
    this.clock.setAttribute("aria-label", "Clock");
    this.paths.tools.prepend(quantity, clock);
    this.gram.tools.prepend(detail);

    const panels = [this.density, this.paths, this.jacobi, this.table, this.gram, this.alignment];
    const grid = element("main", {}, ...panels.map((panel) => panel.section));
    this.root.append(bar, this.problems, grid);
  }

  #chartTools(panel, chart) {
    panel.tool("+", "Zoom in (+)", () => chart.zoom(1.5), "zoom-in");
    panel.tool("−", "Zoom out (−)", () => chart.zoom(1 / 1.5), "zoom-out");
    panel.tool("↺", "Whole range (0)", () => chart.reset(), "reset");
  }

  #paint() {
    const dark = isDark(this.theme.value);
    if (dark === this.dark && this.chosenTheme === this.theme.value) return;
    this.dark = dark;
    this.chosenTheme = this.theme.value;
    this.colours = colours(dark);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.#drawPaths();
    this.#showMoments();
  }

  /** The chosen runs with their colours. */
  #runs() {
    const count = this.histories.size;
    return [...this.histories.values()].map((history, place) => ({
      name: history.run, history, colours: runColours(this.colours, place, count),
    }));
  }

  /** Ask for what is new; whether there is more to be read at once. */
  async #poll() {
    this.#paint();
    try {
      if (this.polls % LISTING === 0 || !this.histories.size || this.serverProblem) {
        const { runs, problem } = await fetchRuns();
        this.serverProblem = problem;
        this.#listRuns(runs);
      }
      this.polls += 1;
      const changed = await this.#updateHistories();
      if (changed) this.#showHistories();
    } catch (error) {
      this.#noteSilence(error);
      return false;
    }
    this.#showProblems();
    return [...this.histories.values()].some((history) => !history.isComplete);
  }

  async #update() {
    try {
      await this.#updateHistories();
    } catch (error) {
      this.#noteSilence(error);
      return;
    }
    this.#showHistories();
    this.#showProblems();
  }

  async #updateHistories() {
    const found = [...this.histories.values()];
    const changes = await Promise.all(found.map((history) =>
      history.update(this.#matrix, this.#block)));
    return changes.some(Boolean);
  }

  get #matrix() {
    return this.matrix.value;
  }

  get #block() {
    return this.block.value;
  }

  #listRuns(runs) {
    const listed = JSON.stringify(runs);
    if (listed === this.listed) return;
    this.listed = listed;
    this.names = runs.map(({ name }) => name);
    if (!this.histories.size && !this.hasChosen) {
      const first = runs.find(({ problem }) => !problem);
      if (first) this.histories.set(first.name, new History(first.name));
    }
    const gone = [...this.histories.keys()].filter((name) => !this.names.includes(name));
    const all = [...runs, ...gone.map((name) => ({ name, problem: "" }))];
    this.runList.replaceChildren(element("legend", {}, "Runs"), ...all.map(({ name, problem }) => {
      const box = element("input", {
        type: "checkbox", disabled: Boolean(problem), checked: this.histories.has(name),
        onchange: () => this.#chooseRun(name, box.checked),
      });
      const swatch = element("span", { class: "swatch", "data-run": name });
      return element("label", { "data-testid": "run" }, box, swatch, element("span", {}, name),
        problem ? element("small", {}, problem) : null);
    }));
    this.#colourRuns();
  }

  #colourRuns() {
    const runs = new Map(this.#runs().map((run) => [run.name, run]));
    for (const swatch of this.runList.querySelectorAll(".swatch")) {
      const own = runs.get(swatch.dataset.run);
      swatch.style.background = own ? own.colours.measured : "transparent";
    }
    const names = [...this.histories.keys()];
    this.runSummary.textContent = names.length === 1
      ? `Run: ${names[0]}` : `Runs: ${names.length} of ${this.names.length}`;
    this.runSummary.title = names.join("\n");
    const chosen = this.detail.value;
    this.detail.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(chosen)) this.detail.value = chosen;
    this.detailLabel.hidden = names.length < 2;
  }

  #chooseRun(name, isChosen) {
    this.hasChosen = true;
    if (isChosen) this.histories.set(name, new History(name));
    else this.histories.delete(name);
    this.#colourRuns();
    this.#update();
  }

  /** Keep in the address what is shown, once there is something. */
  #remember() {
    if (!this.player.steps.length) return;
    writeAddress({
      runs: [...this.histories.keys()], matrix: this.#matrix, block: this.#block,
      step: this.player.isFollowing ? null : this.player.step ?? null,
    });
  }

  /** Offer the blocks that the runs have, keeping the choice where possible. */
  #listBlocks() {
    const blocks = new Map();
    for (const history of this.histories.values()) {
      for (const [matrix, block] of history.blocks) {
        if (!blocks.has(matrix)) blocks.set(matrix, new Set());
        blocks.get(matrix).add(block);
      }
    }
    const offer = (node, values, text) => {
      const listed = JSON.stringify(values);
      if (node.dataset.listed === listed) return;
      const chosen = node.value;
      node.dataset.listed = listed;
      node.replaceChildren(...values.map((value) => element("option", { value }, text(value))));
      if (values.includes(chosen)) node.value = chosen;
    };
    offer(this.matrix, [...blocks.keys()], matrixName);
    offer(this.block, [...(blocks.get(this.matrix.value) ?? [])], (name) => name);
  }

  #chooseMatrix() {
    this.#listBlocks();
    this.#update();
  }

  #showHistories() {
    const before = [this.#matrix, this.#block].join("\n");
    this.#listBlocks();
    if ([this.#matrix, this.#block].join("\n") !== before && before.trim()) {
      this.#update(); // the block that was shown is gone
      return;
    }
    this.#remember();
    const histories = [...this.histories.values()];
    const all = histories.flatMap((history) => history.records.map((r) => r.heading.step));
    this.#listClocks(histories);
    this.#drawPaths();
    this.player.setSteps([...new Set(all)].sort((a, b) => a - b));
  }

  #listClocks(histories) {
    const known = clocks(histories);
    const listed = known.join();
    if (this.clock.dataset.listed === listed) return;
    this.clock.dataset.listed = listed;
    this.clock.replaceChildren(...known.map((name) =>
      element("option", { value: name }, SHORT_CLOCKS[name])));
  }

  #noteSilence(error) {
    this.serverProblem = `TensorBoard does not answer (${error.message}); asking again.`;
    this.#showProblems();
  }

  #showProblems() {
    const lines = this.serverProblem ? [this.serverProblem] : [];
    for (const history of this.histories.values()) {
      const isKnown = history.blocks.some(([matrix, block]) =>
        matrix === this.#matrix && block === this.#block);
      if (history.problem) lines.push(`${history.run}: ${history.problem}`);
      else if (history.records.length && !isKnown) {
        lines.push(`${history.run}: ${matrixName(this.#matrix)}, ${this.#block} was not probed`);
      }
      if (!history.problem && !history.isComplete) {
        lines.push(`${history.run}: reading its data file, ${Math.floor(100 * history.progress)} %`);
      }
    }
    if (this.serverProblem === "" && !this.histories.size && this.names.length) {
      lines.push("No run is chosen, or none has a data file.");
    }
    const text = lines.join("\n");
    if (this.problemText === text) return;
    this.problemText = text;
    this.problems.replaceChildren(...lines.map((line) => element("li", {}, line)));
  }

  #pick(place) {
    const candidates = [...this.histories.values()]
      .map((history) => nearest(history, place, this.clock.value)).filter(Boolean);
    const distance = (record) => Math.abs(record.heading[this.clock.value] - place);
    candidates.sort((a, b) => distance(a) - distance(b));
    if (candidates.length) this.player.goToStep(candidates[0].heading.step);
  }

  /** Steps with a transition of the block that is shown. */
  #transitions() {
    return [...this.histories.values()].flatMap((history) => history.records
      .filter(({ heading }) => heading.transitions.some((each) =>
        each.matrix === history.matrix && each.block === history.block))
      .map(({ heading }) => heading.step));
  }

  /** The heading of the first run that has got as far as the step. */
  #heading() {
    const { step } = this.player;
    const history = [...this.histories.values()].find((each) => each.indexAt(step) >= 0);
    return history?.records[history.indexAt(step)].heading;
  }

  #showStep() {
    const heading = this.#heading();
    this.player.tell(heading);
    this.pathChart.moveCursor(heading?.[this.clock.value]);
    this.#remember();
    return this.#showMoments();
  }

  /** Fetch and draw the step; while one is being fetched, only the newest wish is kept. */
  async #showMoments() {
    this.isStale = true;
    if (this.isFetching) return this.fetching;
    this.isFetching = true;
    this.fetching = (async () => {
      try {
        while (this.isStale) {
          this.isStale = false;
          const { step } = this.player;
          const wanted = this.#runs().map(async ({ name, history }) => {
            const record = history.records[history.indexAt(step)];
            if (!record) return null;
            const own = record.heading.step;
            const moment = await fetchMoment(history, own, this.#matrix, this.#block);
            return moment.problem ? null : { name, moment };
          });
          const found = (await Promise.all(wanted)).filter(Boolean);
          const runs = new Map(this.#runs().map((run) => [run.name, run.colours]));
          this.moments = found.filter(({ name }) => runs.has(name))
            .map((each) => ({ ...each, colours: runs.get(each.name) }));
          this.#drawMoments();
        }
      } catch (error) {
        this.#noteSilence(error);
      } finally {
        this.isFetching = false;
      }
    })();
    return this.fetching;
  }

  #drawPaths() {
    if (!this.colours) return;
    const runs = this.#runs().filter(({ history }) => history.records.length);
    const place = JSON.stringify([this.#matrix, this.#block, runs.map(({ name }) => name)]);
    if (place !== this.pathPlace) {
      this.pathPlace = place;
      this.highest = 0; // of the density axis, which only grows: steps are to be compared
      this.logs.paths = null;
      this.pathChart.view = null;
      this.densityChart.view = null;
    }
    this.range = wholeRange(runs.map(({ history }) => history));
    const isLog = this.logs.paths ?? suitsLog(runs.map(({ history }) => history));
    this.logPaths.checked = isLog;
    const model = runs.length && this.clock.value && trajectoryModel({
      theme: this.colours, runs, clock: this.clock.value, isLogY: isLog,
      quantity: this.quantity.value, goTo: (step) => this.player.goToStep(step),
    });
    this.paths.say(model ? "" : this.#reason("No eigenvalue of this block was measured."));
    if (!model) return;
    model.cursor = this.#heading()?.[this.clock.value];
    this.pathChart.draw(model);
  }

  #drawMoments() {
    const runs = this.moments;
    const theme = this.colours;
    const failures = runs.map(({ moment }) => moment.failure).filter(Boolean);
    const why = (text) => this.#reason(
      failures.length ? `${text} The probing failed: ${failures.join("; ")}` : text);
    const model = runs.length && densityModel({
      theme, runs, isLogX: this.logs.densityX, isLogY: this.logs.densityY,
      range: this.isFitted ? [] : this.range, least: this.isFitted ? 0 : this.highest,
    });
    if (model) this.highest = Math.max(this.highest, model.highest);
    this.density.say(model ? "" : why("No spectrum of this block was measured at this step."));
    if (model) this.densityChart.draw(model);

    const jacobi = runs.length ? jacobiModel({ theme, runs }) : null;
    this.jacobi.say(jacobi ? "" : why("No coefficients: the record has no density, or is older than they are."));
    if (jacobi) this.jacobiChart.draw(jacobi);

    const table = outlierTable(runs);
    this.table.say(table || notes(runs).length ? "" : why("No eigenvalue at this step."));
    this.table.body.replaceChildren(
      table ?? element("p", {}, "No outlier is measured or predicted at this step."),
      ...notes(runs).map((line) => element("p", { "data-testid": "note" }, line)));

    const one = this.detailed();
    const gram = one && gramMaps(one.moment);
    this.gram.say(gram ? "" : why("No Gram matrix: the run has no reference directions."));
    if (gram) this.gramDrawing.draw(theme, gram);
    const alignment = one && alignmentMaps(one.moment);
    this.alignment.say(alignment ? "" : why("No eigenvector of an outlier at this step."));
    if (alignment) this.alignmentDrawing.draw(theme, alignment);
    this.root.dataset.step = runs.map(({ moment }) => moment.step).join(" ");
  }

  #reason(text) {
    return this.player.steps.length ? text : "Nothing to show yet.";
  }
}

/** TensorBoard calls this once, in a page of our own. */
export async function render() {
  const style = element("link", {
    rel: "stylesheet", href: new URL("style.css", import.meta.url),
  });
  const isStyled = new Promise((resolve) => { style.onload = style.onerror = resolve; });
  document.head.append(style);
  document.documentElement.lang = "en";
  const root = element("div", { id: "spectrain", "data-testid": "spectrain" });
  document.body.append(root);
  await isStyled;
  await new Tab(root).start();
}
