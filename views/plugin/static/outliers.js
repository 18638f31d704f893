// The outliers at one step as a table: measured beside predicted and forecast, joined by rank.

import { element, number, short, withError } from "./dom.js";
import { SIDES, identity, paired } from "./pairing.js";

const isInside = (seen, moment) => seen && !seen.outlier && moment.predicted?.bulk;

export function outlierTable(runs) {
  const isSingle = runs.length === 1;
  // What no run has, needs no column.
  const hasTheory = runs.some(({ moment }) => moment.predicted);
  const hasForecast = runs.some(({ moment }) => SIDES.some((side) => moment.forecast?.[side]?.length));
  const hasDirections = runs.some(({ moment }) => moment.directions.length);
  const pairOf = (seen, theory) => (hasTheory ? `${seen} / ${theory}` : seen);
  const together = (seen, theory, forecast) =>
    [pairOf(seen, theory), ...(hasForecast ? [forecast] : [])].join(" / ");
  const body = element("tbody");
  for (const { name, moment, colours } of runs) {
    for (const { name: place, seen, theory, forecast } of paired(moment)) {
      const measured = withError(seen?.value, seen?.error);
      const cell = (text, value, test) =>
        element("td", { "data-value": value, "data-testid": test }, text);
      body.append(element("tr", { "data-testid": "outlier" },
        isSingle ? null : element("th", { scope: "row", title: name },
          element("span", { class: "swatch", style: `background:${colours.measured}` }), short(name, 14)),
        element("th", { scope: "row" }, place),
        cell(isInside(seen, moment) ? `(${measured})` : measured, seen?.value, "measured"),
        cell(number(seen?.residual, 2), seen?.residual, "residual"),
        hasTheory ? cell(withError(theory?.value, theory?.error), theory?.value, "predicted") : null,
        hasForecast ? cell(number(forecast?.value), forecast?.value, "forecast") : null,
        hasDirections ? cell(together(number(seen?.overlap, 3), number(theory?.overlap, 3),
          number(forecast?.overlap, 3)), seen?.overlap, "overlap") : null,
        hasDirections ? cell(pairOf(identity(seen, moment.directions) || "—",
          identity(theory, moment.directions) || "—")) : null));
    }
  }
  if (!body.children.length) return null;
  const all = hasTheory || hasForecast ? ` ${together("measured", "predicted", "forecast")}` : "";
  const both = hasTheory ? " measured / predicted" : "";
  const names = [...(isSingle ? [] : ["run"]), "", "measured ± s.e.", "residual",
    ...(hasTheory ? ["predicted ± s.e."] : []), ...(hasForecast ? ["forecast"] : []),
    ...(hasDirections ? [`overlap${all}`, `most along${both}`] : [])];
  const head = element("tr", {}, ...names.map((text) =>
    element("th", { scope: "col" }, text)));
  return element("table", {}, element("thead", {}, head), body);
}

/** What the table does not say: its unit, which values are in the bulk, and where each bulk ends. */
export function notes(runs, unit) {
  const rows = runs.flatMap(({ moment }) => paired(moment).map(({ seen }) => [seen, moment]));
  const hasInside = rows.some(([seen, moment]) => isInside(seen, moment));
  const lines = runs.filter(({ moment }) => moment.predicted?.bulk).map(({ name, moment }) => {
    const { bulk } = moment.predicted;
    const words = SIDES.map((side) => {
      const { value, finiteSize, detection, kind } = bulk[side];
      const end = side === "top" ? "Upper" : "Lower";
      return `${end} edge ${value == null ? "none" : number(value)} (${kind}), `
        + `finite-size ${number(finiteSize)}, detection ${number(detection)}.`;
    });
    if (bulk.atom > 0) words.push(`Atom at 0: ${number(bulk.atom, 3)}.`);
    return `${runs.length > 1 ? `${short(name)}: ` : ""}${words.join(" ")}`;
  });
  const inside = hasInside ? " In parentheses: measured in the bulk." : "";
  return rows.length ? [`Unit: ${unit}.${inside}`, ...lines] : lines;
}

export function outlierRows(runs) {
  const rows = [["run", "step", "eigenvalue", "measured", "standard_error", "residual", "predicted",
    "predicted_standard_error", "overlap", "predicted_overlap", "direction",
    "predicted_direction", "forecast", "forecast_overlap"]];
  for (const { name, moment } of runs) {
    for (const { name: place, seen, theory, forecast } of paired(moment)) {
      rows.push([name, moment.step, place, seen?.value, seen?.error, seen?.residual, theory?.value,
        theory?.error, seen?.overlap, theory?.overlap, identity(seen, moment.directions),
        identity(theory, moment.directions), forecast?.value, forecast?.overlap]);
    }
  }
  return rows;
}
