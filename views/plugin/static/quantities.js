// The quantities of a record, one at a time: numbers along training, vectors over their entries,
// matrices as heat maps, parts of a number as areas over time; measured over what is predicted and forecast.

import { Chart } from "./chart.js";
import { runLegend } from "./density.js";
import { element, menu, number, withError } from "./dom.js";
import { Maps, mapRows } from "./maps.js";
import { Panel } from "./panel.js";
import { extent, padded } from "./scale.js";
import { stackModel, stackRows } from "./stacks.js";

const BAND = 2; // half width in standard deviations
const KINDS = ["measured", "predicted", "forecast"];
const DASHES = { predicted: null, forecast: "5 3", threshold: "7 2 1 2" };
const MOST_COLUMNS = 120; // of a heat map over time

export class QuantityPanel {
  /** @param redraw called when another quantity or run is chosen */
  constructor(redraw) {
    this.panel = new Panel("quantities", "Quantities", () => this.#rows());
    const host = () => element("div", { class: "host" });
    [this.chartHost, this.mapsHost] = [host(), host()];
    this.panel.body.append(this.chartHost, this.mapsHost);
    this.chart = new Chart(this.chartHost,
      "A quantity. Drag, + or − to zoom, 0 to reset.");
    this.maps = new Maps(this.mapsHost, "Heat maps of a matrix");
    let choice;
    [this.choice, choice] = menu("", "quantity-name", () => {
      this.chart.view = null;
      redraw();
    });
    this.choice.setAttribute("aria-label", "Quantity");
    [this.detail, this.detailLabel] = menu("of", "detail", redraw);
    this.panel.tools.prepend(choice, this.detailLabel);
    this.overTime = this.panel.toggle("over time", "A row for each entry, along training", redraw);
    this.overTimeLabel = this.overTime.closest("label");
    this.overTime.dataset.testid = "quantity-over-time";
    // How far a number is from what it is compared with, such as a sharpness at which steps grow.
    this.gauge = element("meter", { min: 0, max: 2, high: 1, optimum: 0, "data-testid": "gauge" });
    this.gaugeText = element("output", { "data-testid": "gauge-text" });
    this.gaugeLabel = element("label", { class: "gauge", hidden: true }, this.gauge, this.gaugeText);
    this.panel.tools.prepend(this.gaugeLabel);
    this.choiceLabel = choice;
    this.runs = [];
  }

  /** Offer the runs whose matrices can be shown, keeping the choice where possible. */
  offerRuns(names) {
    const chosen = this.detail.value;
    this.detail.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(chosen)) this.detail.value = chosen;
  }

  /** Offer what the runs have; a panel without a quantity is not there. */
  offer(histories) {
    this.known = new Map(histories.flatMap((history) => Object.entries(history.quantities)));
    const names = [...this.known.keys()];
    const listed = JSON.stringify(names);
    this.panel.section.hidden = !names.length;
    this.choiceLabel.hidden = names.length < 2;
    if (this.listed === listed) return;
    const chosen = this.choice.value;
    this.listed = listed;
    this.choice.replaceChildren(...names.map((name) =>
      element("option", { value: name }, this.known.get(name).title)));
    // What has most axes has most to show.
    const axes = (name) => this.known.get(name).axes;
    const first = names.reduce((best, name) => (axes(name) > axes(best) ? name : best), names[0]);
    if (names.length) this.choice.value = names.includes(chosen) ? chosen : first;
  }

  /**
   * @param runs {name, colours, moment, history} to be drawn
   * @param clock {name, label, place}: what is along the axis of time, and where it stands
   * @param why says why there is nothing, given what is missing
   */
  draw(theme, runs, clock, why) {
    Object.assign(this, { theme, runs, clock });
    const name = this.choice.value;
    const about = this.known?.get(name);
    if (!about) return;
    this.panel.rename(`${about.title} (${about.unit})`);
    const hasPath = about.axes === 1 && Boolean(about.entries);
    this.overTimeLabel.hidden = !hasPath;
    const isMatrix = about.axes === 2 || (hasPath && this.overTime.checked);
    this.#drawGauge(name);
    [this.chartHost.hidden, this.mapsHost.hidden] = [isMatrix, !isMatrix];
    this.detailLabel.hidden = !(isMatrix || about.total) || runs.length < 2;
    const content = isMatrix ? this.#maps()
      : about.axes === 0 ? numberModel(theme, runs, name, about, clock)
        : about.total ? stackModel(theme, this.#detailed(), name, about, clock)
        : about.axes === 1 ? vectorModel(theme, runs, name, about) : null;
    this.panel.say(content ? "" : why(`No ${about.title} at this step.`));
    if (!content) return;
    if (isMatrix) this.maps.draw(theme, content);
    else this.chart.draw(content);
  }

  #detailed() {
    return this.runs.find(({ name }) => name === this.detail.value) ?? this.runs[0];
  }

  #maps() {
    const run = this.#detailed();
    const about = this.known.get(this.choice.value);
    if (!run) return null;
    return about.axes === 1 ? pathMaps(run.history, this.choice.value, about, this.clock)
      : matrixMaps(run.moment, this.choice.value);
  }

  /** The largest share of a threshold, of the first run. */
  #drawGauge(name) {
    const found = quantityOf(this.runs[0]?.moment, name)?.measured;
    const values = [found?.values ?? []].flat(2);
    const thresholds = [found?.threshold ?? []].flat(2);
    const shares = values.map((value, place) => value / thresholds[place])
      .filter((share) => Number.isFinite(share));
    this.gaugeLabel.hidden = !shares.length;
    if (!shares.length) return;
    const share = Math.max(...shares);
    this.gauge.value = share;
    const percent = `${number(100 * share, 3)} %`;
    this.gaugeText.textContent = percent;
    this.gaugeLabel.title = `${percent} of the threshold${shares.length > 1 ? ", at most" : ""}`;
  }

  #rows() {
    const name = this.choice.value;
    const axes = this.known?.get(name)?.axes;
    if (!this.runs.length || axes === undefined) return null;
    if (!this.mapsHost.hidden) {
      const maps = this.#maps();
      return maps && mapRows(this.#detailed().name, this.#detailed().moment, maps);
    }
    const about = this.known.get(name);
    if (about.total) return stackRows(this.runs, name, about);
    return axes ? vectorRows(this.runs, name) : numberRows(this.runs, name);
  }
}

function quantityOf(moment, name) {
  return moment?.quantities.find((each) => each.name === name);
}

/** One number of a record: {value, spread} of a kind; of an ensemble's mean `runs`, their s.d. */
function numberOf({ heading }, name, kind) {
  const found = heading.numbers[name];
  const place = 2 * KINDS.indexOf(kind);
  if (!found) return { value: null, spread: null };
  const runs = kind === "measured" ? found[2 * KINDS.length] : null;
  return { value: found[place], spread: found[place + 1], runs };
}

const around = (x, value, half) => [x, ...(value == null || half == null
  ? [null, null] : [value - half, value + half])];

/** Layers of measured marks over expected lines; `points` gives [x, {value, spread}] of a kind. */
function layersOf(points, colours, isLine, ys) {
  const layers = [];
  for (const kind of ["forecast", "predicted"]) {
    const found = points(kind);
    const band = found.map(([x, { value, spread }]) =>
      around(x, value, spread == null ? null : BAND * spread));
    const places = found.map(([x, { value }]) => [x, value]);
    ys.push(...places.map(([, y]) => y), ...band.flatMap(([, low, high]) => [low, high]));
    layers.push(
      { kind: isLine ? "band" : "bars", points: band, color: colours[kind], width: 5, opacity: 0.16 },
      { kind: isLine ? "line" : "dashes", points: places, color: colours[kind], width: 1.8,
        dash: isLine ? DASHES[kind] : null, test: `quantity-${kind}` },
    );
  }
  const seen = points("measured");
  const ofRuns = seen.map(([x, { value, runs }]) =>
    around(x, value, runs == null ? null : BAND * runs));
  ys.push(...ofRuns.flatMap(([, low, high]) => [low, high]));
  layers.push({ kind: isLine ? "band" : "bars", points: ofRuns, color: colours.measured, width: 5,
    opacity: 0.16 });
  const bars = seen.map(([x, { value, spread }]) => around(x, value, spread));
  ys.push(...seen.map(([, { value }]) => value), ...bars.flatMap(([, low, high]) => [low, high]));
  return [
    ...layers,
    { kind: "bars", points: bars, color: colours.measured, width: 1 },
    { kind: "dots", points: seen.map(([x, { value }]) => [x, value]), color: colours.measured,
      size: 5, test: "quantity-measured" },
  ];
}

/** What numbers are compared with; `points` are [x, y]. */
function thresholdLayer(theme, points, isLine, ys) {
  ys.push(...points.map(([, y]) => y));
  return {
    kind: isLine ? "line" : "dashes", points, color: theme.high, width: 1.4,
    dash: isLine ? DASHES.threshold : null, test: "quantity-threshold",
  };
}

/** What there is, and what it looks like. */
function legendOf(theme, runs, has, hasThreshold) {
  const color = (own) => (runs.length === 1 ? own : theme.faint);
  return [
    ...(has("measured", "value")
      ? [{ kind: "dot", color: color(theme.ink),
        label: `measured${has("measured", "spread") ? " ± s.e." : ""}${
          has("measured", "runs") ? ", band: 2 s.d. of a run" : ""}` }] : []),
    ...(has("predicted", "value")
      ? [{ kind: "line", color: color(theme.predicted), label: "predicted" }] : []),
    ...(has("forecast", "value")
      ? [{ kind: "line", color: color(theme.forecast), dash: DASHES.forecast,
        label: has("forecast", "spread") ? "forecast ± 2 s.d. of a run" : "forecast" }] : []),
    ...(hasThreshold
      ? [{ kind: "line", color: theme.high, dash: DASHES.threshold, label: "threshold" }] : []),
    ...runLegend(runs),
  ];
}

function numberModel(theme, runs, name, about, clock) {
  const ys = [];
  const xs = [];
  const records = runs.flatMap(({ history }) => history.records);
  const layers = runs.flatMap(({ history, colours }) => {
    const x = ({ heading }) => heading[clock.name];
    xs.push(...history.records.map(x));
    const lost = history.records.filter((record) =>
      record.heading.failure && numberOf(record, name, "measured").value == null);
    return [
      thresholdLayer(theme, history.records.map((record) =>
        [x(record), record.heading.thresholds?.[name] ?? null]), true, ys),
      ...layersOf((kind) => history.records.map((record) =>
        [x(record), numberOf(record, name, kind)]), colours, true, ys),
      { kind: "crosses", color: colours.measured, places: lost.map(x) },
    ];
  });
  const [wide, tall] = [extent(xs), extent(ys)];
  if (!wide || !tall) return null;
  return {
    theme,
    layers,
    cursor: clock.place,
    legend: legendOf(theme, runs, (kind, part) =>
      records.some((record) => numberOf(record, name, kind)[part] != null),
    records.some(({ heading }) => heading.thresholds?.[name] != null)),
    x: { label: clock.label, isLog: false, domain: padded(wide, false, 0.03) },
    y: { label: about.unit, isLog: false, domain: padded(tall, false, 0.06) },
    hover: (place) => runs.flatMap((run) => {
      const near = run.history.records.reduce((best, record) => {
        const far = (each) => Math.abs(each.heading[clock.name] - place);
        return !best || far(record) < far(best) ? record : best;
      }, null);
      if (!near) return [];
      const at = `${runs.length > 1 ? `${run.name}, ` : ""}step ${near.heading.step}`;
      const threshold = near.heading.thresholds?.[name];
      return [at, ...words((kind) => numberOf(near, name, kind)),
        ...(threshold == null ? [] : [`threshold ${number(threshold)}`])];
    }),
  };
}

function words(of) {
  return KINDS.map((kind) => [kind, of(kind)]).filter(([, { value }]) => value != null)
    .map(([kind, { value, spread }]) => `${kind} ${withError(value, spread)}`);
}

/** One entry of a vector: {value, spread}. */
function entryOf(quantity, kind, place) {
  const found = quantity?.[kind];
  const spread = kind === "measured" ? found?.errors?.[place] ?? found?.band?.[place]
    : found?.band?.[place];
  // Without errors the band is the spread itself.
  const runs = kind === "measured" && found?.errors ? found.band?.[place] : null;
  return { value: found?.values[place] ?? null, spread: spread ?? null, runs };
}

function vectorModel(theme, runs, name, about) {
  const ys = [0];
  const held = runs.map((run) => ({ ...run, quantity: quantityOf(run.moment, name) }))
    .filter(({ quantity }) => quantity);
  if (!held.length) return null;
  const names = held.reduce((most, { quantity }) =>
    (quantity.axes[0].length > most.length ? quantity.axes[0] : most), []);
  const places = names.map((_, place) => place);
  const thresholdOf = (quantity, place) => quantity.measured?.threshold?.[place] ?? null;
  const layers = held.flatMap(({ quantity, colours }) => [
    thresholdLayer(theme, places.map((place) => [place, thresholdOf(quantity, place)]), false, ys),
    ...layersOf((kind) => places.map((place) => [place, entryOf(quantity, kind, place)]),
      colours, false, ys)]);
  const tall = extent(ys);
  return {
    theme,
    layers,
    legend: legendOf(theme, held, (kind, part) => held.some(({ quantity }) =>
      places.some((place) => entryOf(quantity, kind, place)[part] != null)),
    held.some(({ quantity }) => places.some((place) => thresholdOf(quantity, place) != null))),
    x: { label: "entry", names, isLog: false, domain: [-0.6, names.length - 0.4] },
    y: { label: about.unit, isLog: false, domain: padded(tall, false, 0.06) },
    hover: (x) => held.flatMap((run) => {
      const place = Math.round(x);
      if (!(place in names)) return [];
      const lines = words((kind) => entryOf(run.quantity, kind, place));
      return [`${held.length > 1 ? `${run.name}, ` : ""}${names[place]}`, ...lines];
    }),
  };
}

const largest = (values) =>
  Math.max(...values.flat().map((value) => Math.abs(value ?? 0)), 0) || 1;

/** A vector over time: a row for each entry, a column for each step, or for some of many. */
function pathMaps(history, name, about, clock) {
  const held = history.records.filter(({ heading }) => heading.vectors?.[name]);
  const stride = Math.ceil(held.length / MOST_COLUMNS);
  const shown = held.filter((_, place) => place % stride === 0);
  if (!shown.length) return null;
  const values = about.entries.map((_, row) =>
    shown.map(({ heading }) => heading.vectors[name][row] ?? null));
  const columns = shown.map(({ heading }) => number(heading[clock.name], 4));
  return [{
    title: "measured", rows: about.entries, columns, values, limit: largest(values),
    test: "quantity-path", axis: clock.label,
  }];
}

/** Measured, predicted or else forecast, and their difference, as far as they are there. */
export function matrixMaps(moment, name) {
  const quantity = quantityOf(moment, name);
  if (!quantity) return null;
  const [rows, given] = quantity.axes;
  const columns = JSON.stringify(rows) === JSON.stringify(given) ? rows : given;
  const shown = ["measured", quantity.predicted ? "predicted" : "forecast"]
    .filter((kind) => quantity[kind]).map((kind) => [kind, quantity[kind].values]);
  if (!shown.length || !rows.length || !columns.length) return null;
  const limit = Math.max(...shown.map(([, values]) => largest(values)));
  const map = (title, values, most) =>
    ({ title, rows, columns, values, limit: most, test: `quantity-${title}` });
  const maps = shown.map(([kind, values]) => map(kind, values, limit));
  if (shown.length === 2) {
    const [measured, expected] = shown.map(([, values]) => values);
    const difference = measured.map((row, i) => row.map((value, j) =>
      (value == null || expected[i][j] == null ? null : value - expected[i][j])));
    maps.push(map("difference", difference, largest(difference)));
  }
  return maps;
}

function numberRows(runs, name) {
  const rows = [["run", "step", "epoch", "time", "kind", "value", "standard_error_or_deviation"]];
  for (const { name: run, history } of runs) {
    for (const record of history.records) {
      const { step, epoch, time } = record.heading;
      for (const kind of KINDS) {
        const { value, spread } = numberOf(record, name, kind);
        if (value != null) rows.push([run, step, epoch, time, kind, value, spread]);
      }
    }
  }
  return rows;
}

function vectorRows(runs, name) {
  const rows = [["run", "step", "kind", "entry", "value", "standard_error_or_deviation"]];
  for (const { name: run, moment } of runs) {
    const quantity = quantityOf(moment, name);
    for (const kind of quantity ? KINDS : []) {
      quantity.axes[0].forEach((entry, place) => {
        const { value, spread } = entryOf(quantity, kind, place);
        if (value != null) rows.push([run, moment.step, kind, entry, value, spread]);
      });
    }
  }
  return rows;
}
