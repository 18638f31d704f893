// Measured, predicted and forecast eigenpairs, joined by side and rank.

import { number } from "./dom.js";

export const SIDES = ["top", "bottom"];

/** "μ1 0.88": the reference direction that an eigenvector has most of. */
export function identity(pair, directions) {
  let best = -1;
  pair?.alignment?.forEach((share, place) => {
    if (share != null && (best < 0 || share > pair.alignment[best])) best = place;
  });
  if (best < 0 || !(best in directions)) return "";
  return `${directions[best]} ${number(pair.alignment[best], 2)}`;
}

/** Outliers, measured or said, of one moment; all that is measured where no bulk is predicted. */
export function paired(moment) {
  const hasBulk = Boolean(moment.predicted?.bulk);
  return SIDES.flatMap((side) => {
    const seen = moment.measured?.[side] ?? [];
    const theory = moment.predicted?.[side] ?? [];
    const forecast = moment.forecast?.[side] ?? [];
    const count = hasBulk
      ? Math.max(theory.length, forecast.length, seen.filter((pair) => pair.outlier).length)
      : seen.length;
    return Array.from({ length: count }, (_, place) => ({
      name: `${side} ${place + 1}`, seen: seen[place], theory: theory[place],
      forecast: forecast[place],
    }));
  });
}
