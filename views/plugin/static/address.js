// What is shown, in the address of the page: a link opens it, and a reload shows it again.
//
// TensorBoard's own address has the name of the tab behind the #, and then `&KEY=VALUE`; keys of a
// plugin start with p.NAME. The tab is in a frame of the same origin, so the address around it can be
// read and written; a tab that stands alone has its own.

const PREFIX = "p.spectrain.";
const PAUSE = 300; // ms: browsers refuse an address that changes all the time

function page() {
  try {
    if (window.parent !== window && window.parent.location.href) return window.parent;
  } catch {
    // The page around is not ours to read.
  }
  return window;
}

function parts() {
  return page().location.hash.slice(1).split("&").filter(Boolean);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function names(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** {runs, matrix, block, step} as far as the address has them; runs may be empty. */
export function readAddress() {
  const found = new Map(parts().map((part) => part.split("=").map(decoded)));
  const get = (key) => found.get(PREFIX + key) ?? "";
  const step = get("step");
  return {
    runs: [...new Set(names(get("runs")))],
    matrix: get("matrix"),
    block: get("block"),
    step: /^\d{1,15}$/.test(step) ? Number(step) : null,
  };
}

let waiting = null;

/** Write what is shown, a little later; a step of null follows the training. */
export function writeAddress(shown) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const others = parts().filter((part) => !decoded(part.split("=")[0]).startsWith(PREFIX));
    const own = { ...shown, runs: JSON.stringify(shown.runs), step: shown.step ?? "" };
    const written = Object.entries(own).filter(([, value]) => value !== "")
      .map(([key, value]) => `${PREFIX}${key}=${encodeURIComponent(value)}`);
    const { history, location } = page();
    const address = new URL(location.href);
    address.hash = [...others, ...written].join("&");
    if (address.href !== location.href) history.replaceState(history.state, "", address);
  }, PAUSE);
}
