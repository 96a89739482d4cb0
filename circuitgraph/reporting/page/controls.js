// The controls: each shows the state and changes it.
const STEPS = 1000;

/** The slider's place of a threshold, and back: finer near 0. */
const placeOf = (value) => (now.largest ? Math.min(STEPS, Math.round(STEPS * Math.sqrt(value / now.largest))) : 0);
const valueAt = (place) => (place === 0 ? 0 : Number((now.largest * (place / STEPS) ** 2).toPrecision(3)));

const topAt = (place, most) => (place >= STEPS ? 0 : Math.max(1, Math.round(most ** (place / STEPS))));
const placeOfTop = (top, most) => (top === 0 || top >= most ? STEPS : Math.round(STEPS * Math.log(top) / Math.log(most || 1)));

function drawControls() {
  const { pair, many, order } = now;
  byId("min").value = placeOf(state.min);
  byId("min-said").textContent = state.min ? `${number(state.min)}` : "any size";
  byId("min").setAttribute("aria-valuetext", state.min ? `at least ${number(state.min)}` : "any size");
  byId("top").value = placeOfTop(state.top, order.length);
  byId("top-said").textContent = state.top ? `${whole(state.top)} of ${whole(order.length)}` : "all";
  byId("top").setAttribute("aria-valuetext", byId("top-said").textContent);
  byId("sure").checked = state.sure;
  if (byId("find") !== document.activeElement) byId("find").value = state.find;
  const kinds = counted(many, (i) => [now.item("sort", i)]);
  pills("sorts", kinds, state.kinds, (kinds_off) => change({ kinds: kinds_off }));
  const ports = counted(many, (i) => [...portsOf(i)]);
  const names = new Map([...ports].sort(([a], [b]) => "qkv–".indexOf(a) - "qkv–".indexOf(b)));
  pills("ports", names, state.ports, (ports_off) => change({ ports: ports_off }), (port) => (port === "–" ? "no port" : port));
  if (pair) drawSwitch(pair);
  byId("metric-field").hidden = now.metrics.length < 2;
  options("metric", now.metrics.map((metric) => [metric, metric]), now.metric);
  byId("reset").disabled = !written({ ...state, theme: "" });
  const theme = state.theme || "system";
  byId("theme").setAttribute("aria-label", `Theme: ${theme === "system" ? "as the system" : theme}`);
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
}

function counted(many, keysOf) {
  const found = new Map();
  for (let i = 0; i < many; i++) for (const key of keysOf(i)) found.set(key, (found.get(key) || 0) + 1);
  return found;
}

/** Checkboxes that look like pills; those in `off` are not checked. */
function pills(id, keys, off, turn, name = (key) => key) {
  const field = byId(id), wanted = [...keys].map(([key, many]) => `${key} ${many}`).join("\n");
  field.hidden = keys.size < 2;
  if (field.dataset.keys !== wanted) {
    field.dataset.keys = wanted;
    field.replaceChildren(field.firstElementChild, ...[...keys].map(([key, many]) => make("label", {},
      make("input", { type: "checkbox", value: key }), make("span", {}, `${name(key)} `, make("small", {}, whole(many))))));
    field.onchange = () => turn([...field.querySelectorAll("input:not(:checked)")].map((input) => input.value));
  }
  for (const input of field.querySelectorAll("input")) input.checked = !off.includes(input.value);
}

function options(id, listed, chosen) {
  const field = byId(id);
  if (field.options.length !== listed.length)
    field.replaceChildren(...listed.map(([value, text]) => make("option", { value }, clip(text, 80))));
  field.value = chosen;
}

function drawSwitch(pair) {
  const field = byId("switch");
  field.hidden = false;
  const names = ["a", "b", "difference"].map((mode) => [mode, data.views[pair[mode]].short]);
  if (field.dataset.pair !== String(state.pair)) {
    field.dataset.pair = state.pair;
    field.replaceChildren(field.firstElementChild, ...names.map(([mode, name]) => make("label", {},
      make("input", { type: "radio", name: "mode", value: mode }), make("span", {}, said(clip(name, 40))))));
    field.onchange = (event) => change({ mode: event.target.value === "a" ? "" : event.target.value });
  }
  for (const input of field.querySelectorAll("input")) input.checked = input.value === now.mode;
  byId("pair-field").hidden = data.pairs.length < 2;
  options("pair", data.pairs.map((each, k) => [String(k), each.label]), String(state.pair));
}

/** Slides change the picture at once, and the history once. */
function slide(id, read_place) {
  let before = null;
  byId(id).addEventListener("input", (event) => {
    if (before === null) { before = true; change(read_place(Number(event.target.value))); }
    else change(read_place(Number(event.target.value)), true);
  });
  byId(id).addEventListener("change", () => { before = null; });
}

slide("min", (place) => ({ min: valueAt(place) }));
slide("top", (place) => ({ top: topAt(place, now.order.length) }));
byId("sure").addEventListener("change", (event) => change({ sure: event.target.checked }));
byId("metric").addEventListener("change", (event) => change({ metric: event.target.value === now.metrics[0] ? "" : event.target.value, min: 0 }));
byId("pair").addEventListener("change", (event) => change({ pair: Number(event.target.value), node: "", edge: "", folded: [], view: [] }));
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("reset").addEventListener("click", () => {
  byId("find").value = "";
  change({ ...FIRST, theme: state.theme });
});
byId("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = dark ? ["", "light", "dark"] : ["", "dark", "light"];
  change({ theme: order[(order.indexOf(state.theme) + 1) % 3] }, true);
});

// Search: marks in graph and table, and a list below the field.
byId("find").addEventListener("input", (event) => {
  change({ find: event.target.value }, true);
  listHits();
});
byId("find").addEventListener("focus", listHits);
byId("find").addEventListener("keydown", (event) => {
  const [first] = byId("hits").querySelectorAll("button");
  if (event.key === "Escape") { event.target.value = ""; change({ find: "" }, true); listHits(); }
  else if ((event.key === "ArrowDown" || event.key === "Enter") && first) {
    event.preventDefault();
    if (event.key === "Enter") first.click();
    else first.focus();
  }
});
byId("hits").addEventListener("keydown", (event) => {
  const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (!next) return;
  event.preventDefault();
  (document.activeElement[next] || byId("find")).focus();
});
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".finder")) byId("hits").hidden = true;
});
document.querySelector(".finder").addEventListener("focusout", (event) => {
  if (!document.querySelector(".finder").contains(event.relatedTarget) && event.relatedTarget) byId("hits").hidden = true;
});

function listHits() {
  const list = byId("hits"), wanted = state.find.trim();
  list.hidden = !wanted;
  if (!wanted) return list.replaceChildren();
  const hits = found();
  const boxes = foundBoxes();
  list.replaceChildren(make("p", {}, hits.length || boxes.length ?
    `${count(hits.length, "experiment")}, ${count(boxes.length, "node")}` : "nothing found"),
  ...boxes.slice(0, 6).map((node) => make("button", { type: "button", onclick: () => { list.hidden = true; isolate(node.key); } },
    said(node.key), " (node)")),
  ...hits.slice(0, 30).map((i) => make("button", { type: "button", onclick: () => { list.hidden = true;
    change({ edge: now.items.id[i] }); } }, said(clip(labelOf(i), 120)))),
  ...(hits.length > 30 ? [make("p", {}, `and ${hits.length - 30} more`)] : []));
}

function foundBoxes() {
  const wanted = state.find.trim().toLowerCase();
  if (!wanted || !now.sheet.scene) return [];
  return now.sheet.scene.boxes.filter((node) => node.key.toLowerCase().includes(wanted));
}

/** Marks in the graph of what was searched for. */
function drawFound() {
  const hits = new Set(state.find ? found() : []);
  glow("found", (nodes.live || []).filter((edge) => edge.items.some((i) => hits.has(i))));
  const keys = new Set(foundBoxes().map((node) => node.key));
  for (const node of nodes.boxes || []) node.element.classList.toggle("found", keys.has(node.key));
  mark_lines();
}
