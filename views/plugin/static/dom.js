// Elements, numbers and files. Text enters the page as text nodes only.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** A menu and the label around it. */
export function menu(label, test, change) {
  const node = element("select", { "data-testid": test, onchange: change });
  return [node, element("label", {}, label, node)];
}

/** A number with so many significant digits; a dash for what is unknown. */
export function number(value, digits = 4) {
  if (value == null) return "—";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = Number(value.toPrecision(digits));
  return size >= 1e5 || size < 1e-3 ? text.toExponential().replace("e+", "e") : String(text);
}

export function withError(value, error) {
  if (value == null) return "—";
  if (error == null || !(error > 0)) return number(value);
  const places = Math.min(Math.max(1 - Math.floor(Math.log10(error)), 0), 12);
  const small = Math.abs(value) < 1e-3 && error < 1e-3;
  return small
    ? `${number(value, 3)} ± ${number(error, 2)}`
    : `${value.toFixed(places)} ± ${error.toFixed(places)}`;
}

/** A run's name where there is little room: its end tells it from others. */
export function short(name, length = 30) {
  const letters = [...name];
  return letters.length > length ? `…${letters.slice(1 - length).join("")}` : name;
}

/** Rows as CSV; unknown numbers are empty cells. */
export function csv(rows) {
  const cell = (value) => {
    const text = value == null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: name.replace(/[^\p{L}\p{N}._-]+/gu, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
