// Eigenvalues along training: measured points over the predicted bulk and outliers.

import { number, withError } from "./dom.js";
import { runLegend } from "./density.js";
import { SIDES } from "./pairing.js";
import { extent, padded } from "./scale.js";

const BAND = 2; // half width in standard errors of one measurement
const LINEAR_RANGE = 12; // outliers many times the bulk would flatten it on a linear axis

/** In a menu, where there is little room. */
export const SHORT_CLOCKS = { time: "time t", epoch: "epochs", step: "steps" };

const CLOCKS = { time: "time t", epoch: "epochs", step: "optimiser steps" };

/** What an axis of a clock is called; time as the theory calls it. */
export function clockLabel(clock, histories) {
  const own = histories.map((history) => history.clock).find(Boolean);
  return clock === "time" && own ? own : CLOCKS[clock];
}

/** The clocks that every record of every run has, the theory's first. */
export function clocks(histories) {
  const headings = histories.flatMap((history) => history.records.map(({ heading }) => heading));
  return Object.keys(CLOCKS).filter((clock) => headings.every((each) => each[clock] != null));
}

/** Whether a probing failed to have this spectrum: alone, or with all the others. */
function isLost({ heading }, { matrix, block }) {
  return heading.isFailed
    || heading.failures.some(([itsMatrix, itsBlock]) => itsMatrix === matrix && itsBlock === block);
}

function pairsOf(record, kind, side) {
  return record.history?.[kind]?.[side] ?? [];
}

function largestCount(records, kind, side) {
  return Math.max(0, ...records.map((record) => pairsOf(record, kind, side).length));
}

/** Whether values span so much that a logarithmic axis shows them better. */
export function suitsLog(histories) {
  const values = (side) => histories.flatMap(({ records }) => records.flatMap((record) =>
    ["measured", "predicted"].flatMap((kind) =>
      pairsOf(record, kind, side).map(([value]) => value))));
  const top = extent(values("top"));
  const bottom = extent(values("bottom"));
  return Boolean(top) && top[0] > 0 && top[1] > LINEAR_RANGE * top[0]
    && (!bottom || bottom[0] > -0.02 * top[1]);
}

export function trajectoryModel({
  theme, runs, clock, clockLabel, unit, isLogY, quantity, goTo,
}) {
  const isSingle = runs.length === 1;
  const isOverlap = quantity === "overlap";
  const index = isOverlap ? 2 : 0;
  const layers = [];
  const marks = [];
  const xs = [];
  const ys = [];
  for (const run of runs) {
    const { colours } = run;
    const all = run.history.records;
    // A block may be probed at some of the records only: lines then join those.
    const records = all.filter(({ history }) => history);
    const x = ({ heading }) => heading[clock];
    xs.push(...all.map(x));
    if (!isOverlap) layers.push(...bulkLayers(theme, records, x, colours, isSingle, ys));
    for (const side of [...SIDES, "inside"]) {
      for (const kind of ["forecast", "predicted"]) {
        if (kind === "forecast" && !isSingle) continue;
        const count = largestCount(records, kind, side);
        for (let rank = 0; rank < count; rank += 1) {
          const points = records.map((r) => [x(r), pairsOf(r, kind, side)[rank]?.[index] ?? null]);
          ys.push(...points.map(([, y]) => y));
          if (kind === "predicted" && !isOverlap) {
            const band = records.map((r) => {
              const [value, error] = pairsOf(r, kind, side)[rank] ?? [];
              return [x(r), ...(value == null || error == null
                ? [null, null] : [value - BAND * error, value + BAND * error])];
            });
            ys.push(...band.flatMap(([, low, high]) => [low, high]));
            layers.push({ kind: "band", color: colours.predicted, opacity: 0.16, points: band });
          }
          layers.push({ kind: "line", color: colours[kind], points, width: 1.6,
            dash: kind === "forecast" ? "5 3" : null, test: `${kind}-path` });
        }
      }
    }
    layers.push(...measuredLayers(theme, records, x, colours, index, ys));
    layers.push({ kind: "crosses", color: colours.measured,
      places: all.filter((record) => isLost(record, run.history)).map(x) });
    for (const record of all) {
      const texts = record.heading.transitions
        .filter((each) => each.matrix === run.history.matrix && each.block === run.history.block)
        .map((each) => each.text);
      if (!texts.length) continue;
      const where = `step ${record.heading.step}: ${[...new Set(texts)].join("; ")}`;
      marks.push({ place: x(record), step: record.heading.step,
        text: isSingle ? where : `${run.name}, ${where}`,
        press: () => goTo(record.heading.step) });
    }
  }
  const wide = extent(xs);
  const tall = extent(ys, (y) => !isLogY || y > 0);
  if (!wide || !tall) return null;
  return {
    theme,
    layers,
    marks,
    legend: legendOf(theme, runs, isOverlap, isSingle, marks.length > 0),
    x: { label: clockLabel, isLog: false, domain: padded(wide, false, 0.03) },
    y: { label: isOverlap ? "overlap (1)" : `eigenvalue (${unit})`,
      isLog: isLogY && !isOverlap,
      domain: isOverlap ? [-0.03, 1.05] : padded(tall, isLogY, 0.06) },
    hover: (place) => runs.flatMap((run) => hover(run, place, clock, index, isSingle)),
  };
}

function bulkLayers(theme, records, x, colours, isSingle, ys) {
  const bulk = (record) => record.history?.predicted?.bulk;
  const end = (record, side) => {
    const edge = bulk(record)?.[side];
    if (!edge) return null;
    return edge.kind === "square-root" ? edge.value : edge.finiteSize;
  };
  const path = (pick) => records.map((record) => [x(record), bulk(record) ? pick(record) : null]);
  const layers = [{ kind: "band", color: colours.bulk, opacity: isSingle ? 1 : 0.15,
    points: records.map((record) => [x(record), end(record, "bottom"), end(record, "top")]) }];
  // Gaps of the bulk are cut out of its band.
  const gaps = Math.max(0, ...records.map((record) => bulk(record)?.gaps.length ?? 0));
  for (let place = 0; place < gaps; place += 1) {
    layers.push({ kind: "band", color: theme.ground, points: records.map((record) =>
      [x(record), ...(bulk(record)?.gaps[place] ?? [null, null])]) });
  }
  for (const side of SIDES) {
    const finite = path((record) => bulk(record)[side].finiteSize);
    const detection = path((record) => bulk(record)[side].detection);
    ys.push(...finite.map(([, y]) => y), ...detection.map(([, y]) => y));
    layers.push(
      { kind: "line", points: finite, width: 1, color: isSingle ? theme.edge : colours.predicted },
      { kind: "line", points: detection, width: 1, dash: "1 2.5",
        color: isSingle ? theme.detection : colours.predicted },
    );
  }
  return layers;
}

function measuredLayers(theme, records, x, colours, index, ys) {
  const outliers = [];
  const others = [];
  const bars = [];
  for (const record of records) {
    const hasBulk = Boolean(record.history?.predicted?.bulk);
    for (const side of SIDES) {
      for (const pair of pairsOf(record, "measured", side)) {
        const isMarked = pair[3] || !hasBulk;
        if (index !== 0 && !isMarked) continue;
        (isMarked ? outliers : others).push([x(record), pair[index]]);
        ys.push(pair[index]);
        if (index === 0 && isMarked && pair[1] != null) {
          bars.push([x(record), pair[0] - pair[1], pair[0] + pair[1]]);
          ys.push(pair[0] - pair[1], pair[0] + pair[1]);
        }
      }
    }
  }
  const small = records.length > 150;
  return [
    { kind: "dots", points: others, color: colours.measured, hollow: theme.ground,
      size: small ? 3 : 4.4, test: "measured-bulk" },
    { kind: "bars", points: bars, color: colours.measured, width: 1 },
    { kind: "dots", points: outliers, color: colours.measured, size: small ? 3 : 5,
      test: "measured-path" },
  ];
}

function legendOf(theme, runs, isOverlap, isSingle, hasMarks) {
  const color = (own) => (isSingle ? own : theme.faint);
  const hasTheory = runs.some(({ history }) => history.records.some((r) => r.history?.predicted));
  const hasForecast = runs.some(({ history }) => history.records.some((r) => r.history?.forecast));
  const entries = [{ kind: "dot", color: color(theme.ink),
    label: hasTheory ? "measured outlier ± s.e." : "measured ± s.e." }];
  if (!isOverlap && hasTheory) {
    entries.push({ kind: "dot", color: color(theme.ink), hollow: theme.ground,
      label: "measured, in the bulk" });
  }
  if (hasTheory) {
    entries.push({ kind: "line", color: color(theme.predicted),
      label: isOverlap ? "predicted outlier" : "predicted outlier ± 2 s.e." });
  }
  if (hasForecast && isSingle) {
    entries.push({ kind: "line", color: theme.forecast, dash: "5 3", label: "forecast outlier" });
  }
  if (!isOverlap && hasTheory) {
    entries.push(
      { kind: "box", color: color(theme.bulk), label: "predicted bulk" },
      { kind: "line", color: color(theme.edge), label: "finite-size edge" },
      { kind: "line", color: color(theme.detection), dash: "1 2.5", label: "detection edge" },
    );
  }
  if (hasMarks) {
    entries.push({ kind: "arrow", color: theme.ink, label: "predicted transition" });
  }
  return [...entries, ...runLegend(runs)];
}

/** The record nearest to a place on the clock. */
export function nearest(history, place, clock) {
  let best = null;
  for (const record of history.records) {
    const distance = Math.abs(record.heading[clock] - place);
    if (!best || distance < best.distance) best = { record, distance };
  }
  return best?.record ?? null;
}

function hover({ name, history }, place, clock, index, isSingle) {
  const record = nearest(history, place, clock);
  if (!record) return [];
  const { heading } = record;
  const lines = [`${isSingle ? "" : `${name}, `}step ${heading.step}`];
  if (clock !== "step") lines[0] += `, ${clock === "time" ? "t" : "epoch"} ${number(heading[clock])}`;
  for (const side of SIDES) {
    const seen = pairsOf(record, "measured", side);
    const theory = pairsOf(record, "predicted", side);
    for (let rank = 0; rank < Math.max(seen.length, theory.length); rank += 1) {
      const [a, b] = [seen[rank], theory[rank]];
      if (!b && a && !a[3] && record.history?.predicted?.bulk) continue;
      const value = (pair) => (index === 0
        ? withError(pair[0], pair[1]) : number(pair[index], 3));
      const parts = [a && `measured ${value(a)}`, b && `predicted ${value(b)}`].filter(Boolean);
      lines.push(`${side} ${rank + 1}: ${parts.join(", ")}`);
    }
  }
  if (heading.failure) lines.push(`failed: ${heading.failure}`);
  return lines;
}

export function trajectoryRows(runs) {
  const rows = [["run", "step", "epoch", "time", "kind", "side", "rank", "eigenvalue",
    "standard_error", "overlap"]];
  for (const { name, history } of runs) {
    for (const record of history.records) {
      const { step, epoch, time } = record.heading;
      const row = (...rest) => rows.push([name, step, epoch, time, ...rest]);
      for (const kind of ["measured", "predicted", "forecast"]) {
        for (const side of [...SIDES, "inside"]) {
          pairsOf(record, kind, side).forEach(([value, error, overlap], place) =>
            row(kind, side, place + 1, value, error, overlap));
        }
      }
      const bulk = record.history?.predicted?.bulk;
      for (const side of bulk ? SIDES : []) {
        const place = side === "top" ? "upper" : "lower";
        row(`predicted ${place} edge`, side, null, bulk[side].value, null, null);
        row(`predicted ${place} finite-size edge`, side, null, bulk[side].finiteSize, null, null);
        row(`predicted ${place} detection edge`, side, null, bulk[side].detection, null, null);
      }
    }
  }
  return rows;
}
