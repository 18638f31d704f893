// The parts of a number over time, as areas on top of one another.

import { withError } from "./dom.js";
import { extent, padded } from "./scale.js";
import { shades } from "./theme.js";

const KINDS = ["measured", "predicted", "forecast"];
const WORDS = ["predicted", "forecast", "measured"]; // the first that there is is drawn

const spoken = (name) => name.replaceAll("_", " ");

/** Where each part lies: those above zero upwards from it, those below it downwards. */
function stacked(values) {
  let [up, down] = [0, 0];
  return values.map((value) => {
    if (value == null) return [null, null];
    const from = value < 0 ? down : up;
    const to = from + value;
    if (value < 0) down = to;
    else up = to;
    return [Math.min(from, to), Math.max(from, to)];
  });
}

function kindOf(history, name) {
  return WORDS.find((kind) => history.records.some(({ heading }) => heading.parts?.[name]?.[kind]));
}

function totalOf(heading, about, kind) {
  return heading.numbers[about.total]?.[2 * KINDS.indexOf(kind)] ?? null;
}

/**
 * @param run the one that is drawn
 * @param about of the quantity: {parts: names, total: name of their sum, unit}
 */
export function stackModel(theme, run, name, about, clock) {
  const kind = run && kindOf(run.history, name);
  if (!kind) return null;
  const { records } = run.history;
  const place = ({ heading }) => heading[clock.name];
  const areas = records.map(({ heading }) =>
    stacked(heading.parts?.[name]?.[kind] ?? about.parts.map(() => null)));
  const fills = shades(theme, about.parts.length);
  const sums = ["measured", kind].map((own) =>
    records.map((record) => [place(record), totalOf(record.heading, about, own)]));
  const [wide, tall] = [
    extent(records.map(place)), extent([0, ...areas.flat(2), ...sums.flat().map(([, y]) => y)]),
  ];
  const has = (points) => points.some(([, y]) => y != null);
  const [seen, told] = sums;
  const title = spoken(about.total);
  const color = theme[kind] ?? theme.ink;
  return {
    theme,
    cursor: clock.place,
    layers: [
      ...about.parts.map((_, part) => ({
        kind: "band", color: fills[part], test: "quantity-part",
        points: records.map((record, at) => [place(record), ...areas[at][part]]),
      })),
      { kind: "line", points: told, color, width: 1.8, test: "quantity-total" },
      ...(kind === "measured" ? [] : [
        { kind: "dots", points: seen, color: theme.ink, size: 5, test: "quantity-measured" }]),
    ],
    legend: [
      ...about.parts.map((part, at) => ({ kind: "box", fill: fills[at], label: spoken(part) })),
      ...(has(told) ? [{ kind: "line", color, label: `${title}, ${kind}` }] : []),
      ...(has(seen) && kind !== "measured"
        ? [{ kind: "dot", color: theme.ink, label: "measured" }] : []),
    ],
    x: { label: clock.label, isLog: false, domain: padded(wide, false, 0.03) },
    y: { label: about.unit, isLog: false, domain: padded(tall, false, 0.06) },
    hover: (x) => {
      const near = records.reduce((best, record) =>
        (!best || Math.abs(place(record) - x) < Math.abs(place(best) - x) ? record : best), null);
      const values = near?.heading.parts?.[name]?.[kind];
      if (!values) return [];
      const sum = (own) => totalOf(near.heading, about, own);
      return [
        `step ${near.heading.step}, ${kind}`,
        ...about.parts.map((part, at) => `${spoken(part)} ${withError(values[at], null)}`).reverse(),
        ...(sum(kind) == null ? [] : [`${title} ${withError(sum(kind), null)}`]),
        ...(kind === "measured" || sum("measured") == null
          ? [] : [`measured ${withError(sum("measured"), null)}`]),
      ];
    },
  };
}

export function stackRows(runs, name, about) {
  const rows = [["run", "step", "epoch", "time", "kind", ...about.parts]];
  for (const { name: run, history } of runs) {
    for (const { heading } of history.records) {
      for (const [kind, values] of Object.entries(heading.parts?.[name] ?? {})) {
        rows.push([run, heading.step, heading.epoch, heading.time, kind, ...values]);
      }
    }
  }
  return rows;
}
