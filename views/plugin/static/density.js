// The spectral density at one step: measured points over the predicted curve, edges, outliers.

import { number, short, withError } from "./dom.js";
import { SIDES, identity } from "./pairing.js";
import { extent, padded } from "./scale.js";

const DECADES = 4; // of density that a logarithmic axis shows
const ABOVE = 10; // times the largest measured density is shown of a prediction that has no bound
const NEAR = 9; // px around an outlier in which hovering names it

/** Measured eigenpairs to be marked: the outliers, or all where no bulk is predicted. */
function marked(moment, side) {
  const pairs = moment.measured?.[side] ?? [];
  const named = pairs.map((pair, place) => ({ ...pair, rank: place + 1, side }));
  return moment.predicted?.bulk ? named.filter((pair) => pair.outlier) : named;
}

/** Points of the measured density between the detection edges: beyond, each eigenvalue is marked. */
function measuredPoints({ measured, predicted }) {
  const density = measured?.density;
  if (!density) return [];
  const low = predicted?.bulk?.bottom.detection ?? -Infinity;
  const high = predicted?.bulk?.top.detection ?? Infinity;
  return density.points
    .map((point, place) => [point, density.values[place], density.errors[place]])
    .filter(([point]) => point >= low && point <= high);
}

/** Zeros far below a logarithmic axis let the curve fall through it. */
const aboveZero = (value) => (value == null ? null : Math.max(value, 1e-30));

/** The predicted density with its error; where that is too large there is none. */
function around({ values, errors }, x, place) {
  const value = values[place];
  return value == null ? [x, null, null]
    : [x, aboveZero(value - errors[place]), aboveZero(value + errors[place])];
}

function edges(moment) {
  const bulk = moment.predicted?.bulk;
  if (!bulk) return [];
  return SIDES.flatMap((side) => {
    const end = bulk[side];
    const name = side === "top" ? "upper" : "lower";
    return [
      [`${name} edge`, end.value, end.kind],
      [`${name} finite-size edge`, end.finiteSize, ""],
      [`${name} detection edge`, end.detection, ""],
    ];
  });
}

function describe(pair, moment, kind) {
  const lines = [
    `${kind} ${pair.side} ${pair.rank}: ${withError(pair.value, pair.error)}`,
    `residual ${number(pair.residual, 2)}, overlap ${number(pair.overlap, 3)}`,
  ];
  const draws = pair.draws.filter((draw) => draw != null);
  if (draws.length > 1) {
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    const squares = draws.reduce((sum, draw) => sum + (draw - mean) ** 2, 0);
    const error = Math.sqrt(squares / (draws.length - 1) / draws.length);
    lines.push(`mean of ${draws.length} probe samples: ${withError(mean, error)}`);
  }
  const own = identity(pair, moment.directions);
  return own ? [...lines, `most along ${own}`] : lines;
}

/** Eigenpairs that are "predicted" or "forecast". */
function said(moment, kind) {
  const all = [...SIDES, "inside"];
  return all.flatMap((side) =>
    (moment[kind]?.[side] ?? []).map((pair, place) => ({ ...pair, rank: place + 1, side })));
}

/** Extremes of the eigenvalue axis, and those of its positive part, over all steps of the runs. */
export function wholeRange(histories) {
  const places = histories.flatMap(({ records }) => records.flatMap(({ history }) => {
    if (!history) return [];
    const { measured, predicted, forecast } = history;
    const pairs = [measured, predicted, forecast].flatMap((kind) => SIDES.flatMap((side) => kind?.[side] ?? []));
    const ends = SIDES.map((side) => predicted?.bulk?.[side]).filter(Boolean);
    return [...pairs.map(([value]) => value),
      ...ends.flatMap(({ value, detection }) => [value, detection])];
  }));
  return [...(extent(places) ?? []), ...(extent(places, (place) => place > 0) ?? [])];
}

/**
 * @param unit of the eigenvalues
 * @param range further places that the eigenvalue axis is to hold
 * @param least the density axis is to reach at least this far
 */
export function densityModel({ theme, runs, isLogX, isLogY, range, least, unit }) {
  const isSingle = runs.length === 1;
  const layers = [];
  const xs = [];
  const ys = [];
  for (const { colours, moment } of runs) {
    const points = measuredPoints(moment);
    const theory = moment.predicted?.density;
    const ends = edges(moment);
    const predicted = said(moment, "predicted");
    const forecast = isSingle ? said(moment, "forecast") : [];
    const found = SIDES.flatMap((side) => marked(moment, side));
    xs.push(...points.map(([x]) => x), ...(theory?.points ?? []));
    xs.push(...ends.map(([, x]) => x), ...predicted.map((pair) => pair.value));
    xs.push(...[...found, ...forecast].map((pair) => pair.value));
    const most = points.length ? ABOVE * Math.max(...points.map(([, y]) => y ?? 0)) : Infinity;
    ys.push(...points.map(([, y]) => y), ...(theory?.values ?? []).map((y) => Math.min(y, most)));
    const named = (suffix) => ends.filter(([name]) => name.endsWith(suffix));
    const visible = ends.filter(([, , kind]) => kind === "square-root" || kind === "hard");
    layers.push(
      { kind: "stems", places: visible.map(([, x]) => x), color: colours.bulk, width: 3,
        opacity: isSingle ? 1 : 0.3 },
      { kind: "stems", places: named("finite-size edge").map(([, x]) => x),
        color: isSingle ? theme.edge : colours.predicted, width: 1 },
      { kind: "stems", places: named("detection edge").map(([, x]) => x),
        color: isSingle ? theme.detection : colours.predicted, width: 1, dash: "1 2.5" },
      { kind: "band", color: colours.measured, opacity: 0.22,
        points: points.map(([x, y, e]) => [x, y - e, y + e]) },
      { kind: "band", color: colours.predicted, opacity: 0.25,
        points: theory ? theory.points.map((x, place) => around(theory, x, place)) : [] },
      { kind: "line", color: colours.predicted, width: 2, test: "predicted-density",
        points: theory ? theory.points.map((x, place) => [x, aboveZero(theory.values[place])]) : [] },
      { kind: "dots", color: colours.measured, size: 3.4, test: "measured-density",
        points: points.filter(([, y, e]) => y > e) },
      { kind: "stems", places: predicted.map((pair) => pair.value), share: 0.3,
        color: colours.predicted, width: 2.5, dash: "5 2", test: "predicted-outliers" },
      { kind: "stems", places: forecast.map((pair) => pair.value), share: 0.24,
        color: theme.forecast, width: 2, dash: "5 3", test: "forecast-outliers" },
      { kind: "arrows", places: found.map((pair) => pair.value), share: 0.33,
        color: colours.measured, test: "measured-outliers" },
    );
  }
  const hasAnything = extent(xs) !== null;
  const wide = hasAnything && extent(xs.concat(range), (x) => !isLogX || x > 0);
  const tall = extent(ys, (y) => y > 0);
  if (!wide) return null;
  const highest = Math.max(tall?.[1] ?? 0, least) || 1;
  const hasTheory = runs.some(({ moment }) => moment.predicted?.bulk);
  const ink = isSingle ? null : theme.faint;
  const legend = [
    { kind: "dot", color: ink ?? theme.ink, label: "measured density ± s.e." },
    { kind: "arrow", color: ink ?? theme.ink,
      label: hasTheory ? "measured outlier" : "measured eigenvalue" },
    ...(hasTheory
      ? [
        { kind: "line", color: ink ?? theme.predicted, label: "predicted density" },
        { kind: "line", color: ink ?? theme.predicted, dash: "5 2", label: "predicted outlier" },
        ...(isSingle && runs[0].moment.forecast
          ? [{ kind: "line", color: theme.forecast, dash: "5 3", label: "forecast outlier" }] : []),
        { kind: "line", color: ink ?? theme.bulk, label: "edge" },
        { kind: "line", color: ink ?? theme.edge, label: "finite-size edge" },
        { kind: "line", color: ink ?? theme.detection, dash: "1 2.5", label: "detection edge" },
      ]
      : []),
    ...runLegend(runs),
  ];
  return {
    theme,
    layers,
    legend,
    highest,
    x: { label: `eigenvalue (${unit})`, isLog: isLogX,
      domain: padded(wide, isLogX) },
    y: { label: "density (1 / eigenvalue unit)", isLog: isLogY,
      domain: isLogY ? [highest / 10 ** DECADES, highest * 4] : [0, highest * 1.08] },
    hover: (x, scale) => runs.flatMap((run) => hover(run, x, scale, isSingle)),
  };
}

/** The colour of each run, where there are several, and its step where they are at different ones. */
export function runLegend(runs) {
  if (runs.length < 2) return [];
  const steps = runs.map(({ moment }) => moment?.step);
  const isApart = new Set(steps).size > 1;
  return runs.map(({ name, colours }, place) => ({
    kind: "box", color: colours.measured,
    label: short(name) + (isApart ? ` at step ${steps[place]}` : ""),
  }));
}

function hover({ name, moment }, x, scale, isSingle) {
  const isNear = (pair) => Math.abs(scale(pair.value) - scale(x)) < NEAR;
  const outliers = [
    ...SIDES.flatMap((side) => marked(moment, side)).filter(isNear)
      .flatMap((pair) => describe(pair, moment, "measured")),
    ...["predicted", "forecast"].flatMap((kind) => said(moment, kind).filter(isNear)
      .flatMap((pair) => describe(pair, moment, kind))),
  ];
  const lines = [];
  const at = (density) => {
    if (!density) return null;
    let best = 0;
    density.points.forEach((point, place) => {
      if (Math.abs(point - x) < Math.abs(density.points[best] - x)) best = place;
    });
    return [density.points[best], density.values[best], density.errors[best]];
  };
  const seen = at(moment.measured?.density);
  const theory = at(moment.predicted?.density);
  if (seen) lines.push(`measured density ${withError(seen[1], seen[2])} at ${number(seen[0])}`);
  if (theory) {
    lines.push(`predicted density ${withError(theory[1], theory[2])} at ${number(theory[0])}`);
  }
  const near = edges(moment).filter(([, value]) => value != null
    && Math.abs(scale(value) - scale(x)) < NEAR);
  lines.push(...near.map(([label, value]) => `${label} ${number(value, 5)}`));
  lines.push(...outliers);
  return isSingle || !lines.length ? lines : [name, ...lines];
}

export function densityRows(runs) {
  const rows = [["run", "step", "kind", "eigenvalue", "value", "error"]];
  for (const { name, moment } of runs) {
    const row = (...rest) => rows.push([name, moment.step, ...rest]);
    for (const kind of ["measured", "predicted"]) {
      const density = moment[kind]?.density;
      density?.points.forEach((point, place) =>
        row(`${kind} density`, point, density.values[place], density.errors[place]));
    }
    for (const [label, value] of edges(moment)) row(`predicted ${label}`, value, null, null);
    rows.push(...pairRows(name, moment));
  }
  return rows;
}

function pairRows(name, moment) {
  return ["measured", "predicted", "forecast"].flatMap((kind) =>
    [...SIDES, "inside"].flatMap((side) => (moment[kind]?.[side] ?? []).map((pair, place) =>
      [name, moment.step, `${kind} eigenvalue ${side} ${place + 1}`, pair.value, null,
        pair.error])));
}
