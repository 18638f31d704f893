// Lanczos coefficients of the measured law over the Jacobi coefficients of the predicted one.

import { number, withError } from "./dom.js";
import { runLegend } from "./density.js";
import { extent, padded } from "./scale.js";

const KINDS = ["measured", "predicted"];
const LETTERS = { alpha: "α", beta: "β" };
// The two are told apart by their marks and dashes, since colours tell runs.
const DASHES = { alpha: null, beta: "5 2" };

const rowsOf = (jacobi, letter) => (jacobi?.[letter] ?? []).map((value, k) =>
  [k, value, jacobi[`${letter}Errors`][k]]);

/** Both letters over k: measured marks with standard errors, predicted lines. */
export function jacobiModel({ theme, runs, unit }) {
  const isSingle = runs.length === 1;
  const layers = [];
  const ys = [];
  let count = 0;
  for (const { colours, moment } of runs) {
    for (const letter of Object.keys(LETTERS)) {
      const [seen, theory] = KINDS.map((kind) => rowsOf(moment[kind]?.jacobi, letter));
      ys.push(...seen.flatMap(([, y, e]) => [y, y - e, y + e]), ...theory.map(([, y]) => y));
      count = Math.max(count, seen.length, theory.length);
      layers.push(
        { kind: "line", points: theory.map(([k, y]) => [k, y]), color: colours.predicted, width: 1.6,
          dash: DASHES[letter], test: `predicted-${letter}` },
        { kind: "bars", points: seen.map(([k, y, e]) => [k, y - e, y + e]), color: colours.measured,
          width: 1 },
        { kind: "dots", points: seen.map(([k, y]) => [k, y]), color: colours.measured, size: 5,
          hollow: letter === "beta" ? theme.ground : null, test: `measured-${letter}` },
      );
    }
  }
  const tall = extent(ys);
  if (!tall) return null;
  const color = (own) => (isSingle ? own : theme.faint);
  const hasTheory = runs.some(({ moment }) => moment.predicted?.jacobi);
  return {
    theme,
    layers,
    legend: [
      { kind: "dot", color: color(theme.ink), label: "measured α ± s.e." },
      { kind: "dot", color: color(theme.ink), hollow: theme.ground, label: "measured β" },
      ...(hasTheory
        ? [
          { kind: "line", color: color(theme.predicted), label: "predicted α" },
          { kind: "line", color: color(theme.predicted), dash: "5 2", label: "predicted β" },
        ]
        : []),
      ...runLegend(runs),
    ],
    x: { label: "k", isLog: false, domain: [-0.6, Math.max(count - 1, 1) + 0.6] },
    y: { label: `coefficient (${unit})`, isLog: false,
      domain: padded([Math.min(tall[0], 0), tall[1]], false) },
    hover: (x) => runs.flatMap((run) => hover(run, Math.round(x), isSingle)),
  };
}

function hover({ name, moment }, k, isSingle) {
  const lines = Object.entries(LETTERS).flatMap(([letter, sign]) => {
    const [seen, theory] = KINDS.map((kind) => rowsOf(moment[kind]?.jacobi, letter)[k]);
    const parts = [
      seen && `measured ${withError(seen[1], seen[2])}`, theory && `predicted ${number(theory[1], 5)}`,
    ].filter(Boolean);
    return parts.length ? [`${sign}${k}: ${parts.join(", ")}`] : [];
  });
  return isSingle || !lines.length ? lines : [name, ...lines];
}

export function jacobiRows(runs) {
  const rows = [["run", "step", "kind", "coefficient", "k", "value", "error"]];
  for (const { name, moment } of runs) {
    for (const kind of KINDS) {
      for (const letter of Object.keys(LETTERS)) {
        rows.push(...rowsOf(moment[kind]?.jacobi, letter).map((row) =>
          [name, moment.step, kind, letter, ...row]));
      }
    }
  }
  return rows;
}
