// The colours of the figures, on a light and on a dark ground.

const LIGHT = {
  ground: "#ffffff", ink: "#111111", faint: "#5a5a5a", grid: "#e4e4e4",
  predicted: "#0072b2", forecast: "#c04a00", bulk: "#cfe0ee", edge: "#55789a", detection: "#444444",
  low: "#2166ac", middle: "#f7f7f7", high: "#b2182b",
  series: ["#111111", "#0072b2", "#c04a00", "#2e8b57", "#b0579a", "#7f6a00"],
};
const DARK = {
  ground: "#1f1f1f", ink: "#eeeeee", faint: "#b0b0b0", grid: "#3a3a3a",
  predicted: "#56b4e9", forecast: "#f0955a", bulk: "#24455f", edge: "#8fb3d1", detection: "#c0c0c0",
  low: "#67a9e0", middle: "#2c2c2c", high: "#ef6a5a",
  series: ["#eeeeee", "#56b4e9", "#f0955a", "#5bbf8a", "#d68fc4", "#c9b34a"],
};

/** Whether TensorBoard around the tab is dark; where it stands alone, whether the system is. */
function isSystemDark() {
  try {
    if (window.parent !== window) return window.parent.document.body.classList.contains("dark-mode");
  } catch {
    // The page around is not ours to read.
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

export function isDark(choice) {
  return choice === "dark" || (choice !== "light" && isSystemDark());
}

export function colours(dark) {
  return dark ? DARK : LIGHT;
}

/** The colour of a run for what is measured and what is predicted; a single run has the paper's. */
export function runColours(theme, place, count) {
  const own = theme.series[place % theme.series.length];
  return count === 1
    ? { measured: theme.ink, predicted: theme.predicted, bulk: theme.bulk, forecast: theme.forecast }
    : { measured: own, predicted: own, bulk: own, forecast: own };
}

function channels(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
}

/** So many fills, from that of the bulk to that of a prediction. */
export function shades(theme, count) {
  const [from, to] = [channels(theme.bulk), channels(theme.predicted)];
  return Array.from({ length: count }, (_, place) => {
    const weight = place / Math.max(count - 1, 1);
    return `rgb(${from.map((c, i) => Math.round(c + weight * (to[i] - c))).join(",")})`;
  });
}

/** The diverging scale's colour of a share between -1 and 1, and one for words on top of it. */
export function diverging(theme, share) {
  const end = channels(share < 0 ? theme.low : theme.high);
  const weight = Math.min(Math.abs(share), 1);
  const mixed = channels(theme.middle).map((c, i) => Math.round(c + weight * (end[i] - c)));
  const [red, green, blue] = mixed.map((c) => (c / 255) ** 2.2);
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return { fill: `rgb(${mixed.join(",")})`, text: light > 0.18 ? "#000000" : "#ffffff" };
}
