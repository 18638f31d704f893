// The tab "Spectrum": which runs, which block, which step; and the panels that follow.

import { readAddress, writeAddress } from "./address.js";
import { Chart } from "./chart.js";
import { wholeRange } from "./density.js";
import { element, menu } from "./dom.js";
import { MomentPanels } from "./moments.js";
import { Panel, zoomTools } from "./panel.js";
import { Player } from "./player.js";
import { RunMenu } from "./runs.js";
import { History, fetchMoment, fetchRuns } from "./source.js";
import { colours, isDark, runColours } from "./theme.js";
import {
  SHORT_CLOCKS, clockLabel, clocks, nearest, suitsLog, trajectoryModel, trajectoryRows,
} from "./trajectories.js";

const POLL = 2000; // ms
const LISTING = 5; // polls from one look for new runs to the next

class Tab {
  constructor(root) {
    this.root = root;
    this.histories = new Map(); // of the chosen ones, in the order of their choice
    const wanted = readAddress();
    this.player = new Player(() => this.#showStep(), () => this.#transitions(), wanted.step);
    this.polls = 0;
    this.drawn = 0; // records that the last drawing after a poll held
    this.range = []; // extremes of the eigenvalue axis over all steps
    this.shown = []; // {name, colours, moment} that are on the screen
    this.isLogPath = null; // whether it was chosen; null for what suits the values
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
    this.menu = new RunMenu((name, isChosen) => this.#chooseRun(name, isChosen));
    this.moments = new MomentPanels(() => this.#drawMoments());
    let matrix, block, theme;
    [this.matrix, matrix] = menu("Matrix", "matrix", () => this.#chooseMatrix());
    [this.block, block] = menu("Block", "block", () => this.#update());
    [this.theme, theme] = menu("Colours", "theme", () => this.#paint());
    for (const name of ["auto", "light", "dark"]) this.theme.append(element("option", {}, name));
    this.problems = element("ul", { role: "status", class: "problems", "data-testid": "problems" });
    const bar = element("div", { class: "bar" }, this.menu.node, matrix, block,
      ...this.player.nodes, theme);
    this.#buildPaths();
    const { density, ...others } = this.moments.panels;
    const { jacobi, ...lower } = others;
    const row = (panels) =>
      element("div", { class: "row" }, ...panels.map((panel) => panel.section));
    const grid = element("main", {}, row([density, this.paths, jacobi]), row(Object.values(lower)));
    this.root.append(bar, this.problems, grid);
  }

  #buildPaths() {
    this.paths = new Panel("trajectories", "Along training", () => trajectoryRows(this.#runs()));
    this.pathChart = new Chart(this.paths.body,
      "Eigenvalues along training. Click to go to a step; drag, + or − to zoom, 0 to reset.",
      (place) => this.#pick(place));
    zoomTools(this.paths, this.pathChart);
    const redraw = () => {
      this.pathChart.view = null;
      this.#drawPaths();
    };
    this.logPaths = this.paths.toggle("log y", "Logarithmic eigenvalue axis", (isLog) => {
      this.isLogPath = isLog;
      redraw();
    });
    const reclock = () => {
      redraw();
      this.#drawMoments();
    };
    let quantity, clock;
    [this.quantity, quantity] = menu("", "quantity", redraw);
    this.quantity.setAttribute("aria-label", "Quantity along training");
    this.quantity.append(element("option", { value: "eigenvalue" }, "eigenvalues"),
      element("option", { value: "overlap" }, "overlaps"));
    [this.clock, clock] = menu("", "clock", reclock);
    this.clock.setAttribute("aria-label", "Clock");
    this.paths.tools.prepend(quantity, clock);
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
      if (changed && this.#isDue()) this.#showHistories();
    } catch (error) {
      this.#noteSilence(error);
      return false;
    }
    this.#showProblems();
    return [...this.histories.values()].some((history) => !history.isComplete);
  }

  /** While data files are being read, each drawing holds twice what the one before it held. */
  #isDue() {
    const histories = [...this.histories.values()];
    const count = histories.reduce((sum, { records }) => sum + records.length, 0);
    const isDue = histories.every(({ isComplete }) => isComplete)
      || count >= 2 * this.drawn || count < this.drawn;
    if (isDue) this.drawn = count;
    return isDue;
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

  /** Title and unit of a matrix. */
  #kind(name) {
    const known = [...this.histories.values()].map(({ kinds }) => kinds)
      .find((kinds) => Object.hasOwn(kinds, name));
    return known?.[name] ?? { title: name, unit: "loss per squared parameter" };
  }

  #listRuns(runs) {
    const listed = JSON.stringify(runs);
    if (listed === this.listed) return;
    this.listed = listed;
    if (!this.histories.size && !this.hasChosen) {
      const first = runs.find(({ problem }) => !problem);
      if (first) this.histories.set(first.name, new History(first.name));
    }
    this.menu.list(runs, [...this.histories.keys()]);
    this.#colourRuns();
  }

  #colourRuns() {
    this.menu.paint(this.#runs());
    this.moments.offer([...this.histories.keys()]);
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
    offer(this.matrix, [...blocks.keys()], (name) => this.#kind(name).title);
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
    this.moments.arrange(histories);
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
      else if (this.#block && history.records.length && !isKnown) {
        lines.push(`${history.run}: ${this.#kind(this.#matrix).title}, ${this.#block} was not probed`);
      }
      if (!history.problem && !history.isComplete) {
        lines.push(`${history.run}: reading its data file, ${Math.floor(100 * history.progress)} %`);
      }
    }
    if (this.serverProblem === "" && !this.histories.size && this.menu.names.length) {
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
            return moment.problem ? null : { name, moment, history };
          });
          const found = (await Promise.all(wanted)).filter(Boolean);
          const runs = new Map(this.#runs().map((run) => [run.name, run.colours]));
          this.shown = found.filter(({ name }) => runs.has(name))
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
      this.isLogPath = null;
      this.pathChart.view = null;
      this.moments.forget();
    }
    this.range = wholeRange(runs.map(({ history }) => history));
    const isLog = this.isLogPath ?? suitsLog(runs.map(({ history }) => history));
    this.logPaths.checked = isLog;
    const model = runs.length && this.clock.value && trajectoryModel({
      theme: this.colours, runs, clock: this.clock.value, isLogY: isLog,
      clockLabel: this.#clockLabel(), unit: this.#kind(this.#matrix).unit,
      quantity: this.quantity.value, goTo: (step) => this.player.goToStep(step),
    });
    this.paths.say(model ? "" : this.#reason("No eigenvalue of this block was measured."));
    if (!model) return;
    model.cursor = this.#heading()?.[this.clock.value];
    this.pathChart.draw(model);
  }

  #drawMoments() {
    const { value } = this.clock;
    this.moments.draw({
      theme: this.colours, runs: this.shown, range: this.range,
      clock: { name: value, label: this.#clockLabel(), place: this.#heading()?.[value] },
      unit: this.#kind(this.#matrix).unit, reason: (text) => this.#reason(text),
    });
    this.root.dataset.step = this.shown.map(({ moment }) => moment.step).join(" ");
  }

  #clockLabel() {
    return clockLabel(this.clock.value, [...this.histories.values()]);
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
