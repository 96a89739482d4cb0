// What every part uses: the data, elements, numbers as the pictures write them, and the state in the address.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MINUS = "−";

/** An element; children are elements or texts. Text only ever becomes a text node. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function mark(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text of a user: whatever its direction, it turns nothing around it. */
const said = (text) => make("bdi", {}, text);

/** The i-th value of a column; columns of one value are written `{all: value}`. */
const at = (column, i) => (Array.isArray(column) ? column[i] : column.all);

const clip = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** With a real minus sign; `digits` after the point, or three significant ones. */
function number(value, digits) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (digits === undefined) digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const text = digits < 6 && Math.abs(value) < 1e5 ? value.toFixed(digits) : value.toExponential(1);
  return text.replaceAll("-", MINUS);
}

/** With its sign; what is rounded to nothing has none. */
function signed(value, digits) {
  const text = number(value, digits);
  if (/^−?0(\.0*)?$/.test(text)) return text.replace(MINUS, "");
  return value > 0 ? `+${text}` : text;
}
const whole = (value) => value.toLocaleString("en-US");
const count = (many, noun) => `${whole(many)} ${noun}${many === 1 ? "" : "s"}`;

function interval(low, high) {
  return low === null || high === null ? "no interval" : `[${signed(low)}, ${signed(high)}]`;
}

// The state: what is shown, in the part of the address behind #. What is as at first is left out.
const FIRST = {
  metric: "", mode: "", pair: 0, min: 0, top: 0, kinds: [], ports: [], sure: false, node: "", edge: "", find: "",
  folded: [], sort: "", theme: "", view: [],
};
const SEPARATOR = "~";
let state = { ...FIRST };
const watchers = [];

/** Change the state: `keep` replaces the entry in the history instead of adding one. */
function change(changes, keep = false) {
  state = { ...state, ...changes };
  const hash = written(state);
  if (hash !== location.hash.replace(/^#/, "")) {
    const address = hash ? `#${hash}` : `${location.pathname}${location.search}`;
    try {
      history[keep ? "replaceState" : "pushState"](null, "", address);
    } catch { /* inside a frame without an address of its own */ }
  }
  for (const watcher of watchers) watcher(changes);
}

function written(values) {
  const parts = new URLSearchParams();
  for (const [name, first] of Object.entries(FIRST)) {
    const value = values[name];
    if (Array.isArray(first) ? !value.length : value === first) continue;
    parts.set(name, Array.isArray(value) ? value.join(SEPARATOR) : value === true ? "yes" : String(value));
  }
  return parts.toString();
}

/** The state that an address tells; what makes no sense there is as at first. */
function read(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const found = { ...FIRST };
  for (const [name, first] of Object.entries(FIRST)) {
    const text = parts.get(name);
    if (text === null) continue;
    if (Array.isArray(first)) found[name] = text ? text.split(SEPARATOR) : [];
    else if (typeof first === "number") found[name] = Number.isFinite(Number(text)) ? Math.max(0, Number(text)) : first;
    else found[name] = typeof first === "boolean" ? text === "yes" : text;
  }
  found.view = found.view.map(Number);
  if (found.view.length !== 3 || !found.view.every(Number.isFinite) || found.view[2] <= 0) found.view = [];
  return found;
}
