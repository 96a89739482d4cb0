// What is shown: the view that is chosen, the numbers of its experiments, their order, and which pass the filters.
let now = null;

/** Everything about the chosen view that the other parts ask for. */
function look() {
  const pair = data.pairs[state.pair] || data.pairs[0];
  const mode = pair ? (["a", "b", "difference"].includes(state.mode) ? state.mode : "a") : "";
  const view = data.views[pair ? pair[mode] : 0];
  const metrics = Object.keys(view.metrics);
  const metric = metrics.includes(state.metric) ? state.metric : metrics[0];
  if (now && now.view === view && now.metric === metric) return now;
  const sheet = data.sheets[view.sheet];
  const columns = metric === undefined ? null : view.metrics[metric];
  const many = sheet.items.id.length;
  const get = (name, i) => (columns ? at(columns[name], i) : null);
  const order = Array.from({ length: many }, (_, i) => i).filter((i) => get("effect", i) !== null);
  order.sort((i, j) => Math.abs(get("effect", j)) - Math.abs(get("effect", i)) || i - j);
  const rank = new Array(many).fill(null);
  order.forEach((i, place) => { rank[i] = place; });
  const largest = order.length ? Math.abs(get("effect", order[0])) : 0;
  const digits = largest ? Math.max(0, 2 - Math.floor(Math.log10(largest))) : 0;
  const widest = Math.max(largest, ...alikeIn(view, pair).map((each) => largestOf(each, metric)));
  now = { pair, mode, view, sheet, items: sheet.items, metric, metrics, get, many, order, rank, largest, widest, digits };
  now.item = (name, i) => at(now.items[name], i);
  now.ways = (name, i) => waysOf(view, now.items, name, i);
  return now;
}

/** The views in which an effect of one size has one width: all runs and this difference, if effects are compared. */
function alikeIn(view, pair) {
  if (!pair || pair.quantity !== "effect") return [view];
  return [...data.views.filter((each) => !each.sides), data.views[pair.difference]];
}

function largestOf(view, metric) {
  const effects = view.metrics[metric]?.effect;
  if (effects === undefined) return 0;
  return [effects.all ?? 0, ...(Array.isArray(effects) ? effects : [])].reduce((most, x) => Math.max(most, Math.abs(x ?? 0)), 0);
}

/** How the runs of a view measure an experiment: [run, value] of each run whose value no run before it has. */
function waysOf(view, items, name, i) {
  const found = new Map();
  for (const run of view.runs) {
    const own = items.own?.[run]?.[name], value = (own ? at(own, i) : null) ?? at(items[name], i);
    const key = JSON.stringify(value);
    if (!found.has(key)) found.set(key, [run, value]);
  }
  return [...found.values()];
}

/** A setting as a text: `clean`, or of a difference `clean / corrupted`; null where there is none. */
const settingOf = (name, i) => now.ways(name, i).map(([, value]) => value).filter((value) => value !== null).join(" / ") || null;

/** What the numbers are of: `effect`, or of a comparison's difference what is compared: `difference of effects`. */
const quantity = () => (now.mode === "difference" ? `difference of ${now.pair.quantity}s` : "effect");

/** Of a difference: what the sides of 0 mean, with at most so many characters of a run's name. */
function signsOf(view, most) {
  const [a, b] = view.sides.map(({ short }) => clip(short, most));
  return { positive: `${b} − ${a} is positive`, negative: `${b} − ${a} is negative`,
    note: `A negative effect that is weaker in ${b} has a positive difference.` };
}

/** The sign of an effect; undecided: its interval contains 0, or it is 0; untested: it has no interval. */
function findingOf(i) {
  const effect = now.get("effect", i), low = now.get("ci_low", i), high = now.get("ci_high", i);
  if (effect === null) return "unmeasured";
  const leavesOut = low !== null && high !== null && (low > 0 || high < 0);
  if (effect === 0 || (low !== null && !leavesOut)) return "undecided";
  if (low === null) return "untested";
  return effect > 0 ? "positive" : "negative";
}

/** How an experiment's arrows are drawn, in points: as `drawing.style` does. */
function strokeOf(i) {
  const { widest, narrowest, full, faintest, dots, pale, crowd } = data.style;
  const finding = findingOf(i);
  if (finding === "unmeasured") return { look: finding, width: narrowest[0], dash: null, opacity: 1 };
  const effect = now.get("effect", i), rank = now.rank[i];
  const many = now.order.length > crowd ? 1 : 0;
  const most = widest[now.order.length > full[0] ? 1 : 0];
  let width = Math.max(now.widest ? most * Math.sqrt(Math.abs(effect) / now.widest) : 0, narrowest[many]);
  const ink = rank < full[many] ? 1 : Math.max(faintest[many], (full[many] / (rank + 1)) ** 0.7);
  if (finding === "undecided") {
    width = Math.max(width, 1.1);
    return { look: finding, width, dash: [1.2 * width, 1.4 + 1.6 * width], opacity: Math.max(0.85 * ink, dots) };
  }
  const dash = effect < 0 ? [4.2 + 1.4 * width, 2.0 + 0.4 * width] : null;
  const opacity = (finding === "untested" ? pale : 0.92) * ink;
  return { look: effect > 0 ? "positive" : "negative", width, dash, opacity };
}

/** What an experiment is called, and how it is measured where most are not: `a0.h0@S2 → m3@S2 (through-mlps)`. */
function labelOf(i) {
  const label = now.item("label", i) || now.item("arrow", i), unusual = now.item("unusual", i);
  return unusual ? `${label} (${unusual})` : label;
}

/** A port filter has a part for receivers without ports. */
const portsOf = (i) => now.item("ports", i) || "–";

/** The experiments that pass the filters, the strongest first; those without a number last. */
function passing() {
  const offKinds = new Set(state.kinds), offPorts = new Set(state.ports);
  const near = state.node ? touching(state.node) : null;
  const passes = (i) => {
    const effect = now.get("effect", i);
    if (offKinds.has(now.item("sort", i))) return false;
    if ([...portsOf(i)].every((port) => offPorts.has(port))) return false;
    if (near && !near.has(i)) return false;
    if (effect === null) return !state.sure && !state.min && !state.top;
    if (Math.abs(effect) < state.min) return false;
    return !state.sure || ["positive", "negative"].includes(findingOf(i));
  };
  const left = now.order.filter(passes);
  const strongest = state.top ? left.slice(0, state.top) : left;
  const unmeasured = [];
  for (let i = 0; i < now.many; i++) if (now.rank[i] === null && passes(i)) unmeasured.push(i);
  return [...strongest, ...unmeasured];
}

/** The experiments that begin or end at a box, or patch it. */
function touching(key) {
  const found = new Set();
  const scene = now.sheet.scene;
  if (!scene) return found;
  const box = scene.boxes.findIndex((each) => each.key === key);
  if (box < 0) return null;
  for (const arrow of scene.arrows) if (arrow[1] === box || arrow[2] === box) found.add(arrow[0]);
  for (const i of scene.boxes[box].items || []) found.add(i);
  return found;
}

/** What a search looks at. */
function haystack(i) {
  const names = [now.item("arrow", i), now.item("label", i) || "", ...now.item("groups", i), now.items.id[i]];
  return names.join("\n").toLowerCase();
}

function found() {
  const wanted = state.find.trim().toLowerCase();
  if (!wanted) return [];
  const all = Array.from({ length: now.many }, (_, i) => i).filter((i) => haystack(i).includes(wanted));
  const place = (i) => (now.rank[i] === null ? now.many : now.rank[i]);
  return all.sort((i, j) => place(i) - place(j));
}
