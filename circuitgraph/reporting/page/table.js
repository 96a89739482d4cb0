// The table: the same experiments as the graph, in any order; large ones are built after the graph is on screen.
const lines = new Map(); // item → its row
let linesOfView = null;
const tableOrder = [];

const COLUMNS = () => {
  const get = (name) => (i) => now.get(name, i);
  const text = (value) => (i) => value(i) ?? "";
  const measured = [
    { key: "effect", title: now.mode === "difference" ? "Difference" : "Effect", value: get("effect"), say: signed, toned: true },
    { key: "low", title: "95 % low", value: get("ci_low"), say: signed },
    { key: "high", title: "95 % high", value: get("ci_high"), say: signed },
    { key: "normalized", title: "Normalized", value: get("normalized_effect"), say: number },
    { key: "n", title: "n", value: get("n"), say: whole },
    { key: "q", title: "q-value", value: get("q_value"), say: number },
    { key: "verdict", title: "Verdict", value: get("verdict"), say: text((value) => value), text: true },
  ];
  if (now.mode === "difference") {
    const side = (k) => {
      const { short, effect } = now.view.sides[k];
      return { key: "ab"[k], title: clip(short, 24), value: (i) => at(effect, i), say: signed };
    };
    measured.unshift(side(0), side(1));
    const counts = now.view.sides.map(({ short, experiments }, k) => ({ key: `n${"ab"[k]}`,
      title: `experiments in ${clip(short, 24)}`, value: (i) => at(experiments, i), say: whole }));
    if (now.pair.matched_by === "group") measured.push(...counts);
  }
  return [
    { key: "rank", title: "#", value: (i) => now.rank[i], say: (value) => whole(value + 1) },
    { key: "name", title: "Experiment", value: labelOf, text: true },
    { key: "kind", title: "Kind", value: (i) => now.item("sort", i), text: true },
    ...measured,
  ].filter((column) => ["rank", "name", "effect"].includes(column.key) ||
    now.order.some((i) => column.value(i) !== null && column.value(i) !== undefined));
};

/** [column, ascending] that the state asks for. */
function sorting() {
  const key = state.sort.replace(/^-/, "");
  const column = now.table.find((each) => each.key === key);
  return column ? [column, !state.sort.startsWith("-")] : [now.table[0], true];
}

function drawTable(shown) {
  if (linesOfView !== now) {
    linesOfView = now;
    now.table = COLUMNS();
    lines.clear();
    byId("rows").tBodies[0].replaceChildren();
  }
  drawHead();
  const [column, ascending] = sorting();
  const listed = shown.slice().sort((i, j) => inOrder(column.value(i), column.value(j), ascending) || rankOf(i) - rankOf(j));
  tableOrder.length = 0;
  tableOrder.push(...listed);
  byId("caption").textContent = `${count(listed.length, "experiment")}${now.metric === undefined ? "" :
    `; ${quantity().replace(/^(difference|effect)(?!s)/, "$1s")} on ${clip(now.metric, 80)}`}, sorted by ` +
    `${column.title === "#" ? "size" : column.title.toLowerCase()}`;
  clearTimeout(drawTable.later);
  fillTable(0, listed.length > 150 ? 60 : listed.length);
}

const rankOf = (i) => (now.rank[i] === null ? now.many : now.rank[i]);

/** Missing values are last in either order. */
function inOrder(a, b, ascending) {
  const [none, other] = [a === null || a === undefined, b === null || b === undefined];
  if (none || other) return none - other;
  const sign = ascending ? 1 : -1;
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

/** The rows from `from` on, some at once; the rest when the browser has time. */
function fillTable(from, many) {
  const body = byId("rows").tBodies[0];
  const part = tableOrder.slice(from, from + many).map(lineOf);
  if (from) body.append(...part);
  else body.replaceChildren(...part);
  mark_lines();
  if (from + many < tableOrder.length) drawTable.later = setTimeout(() => fillTable(from + many, 250), 30);
}

function drawHead() {
  const [sorted, ascending] = sorting();
  const focus = document.activeElement?.closest?.("#rows thead th")?.dataset.key;
  byId("rows").tHead.rows[0].replaceChildren(...now.table.map((column) => {
    const chosen = column === sorted;
    const next = chosen ? (ascending ? `-${column.key}` : column.key) : column.text || column.key === "rank" || column.key === "q"
      ? column.key : `-${column.key}`;
    return make("th", { scope: "col", "data-key": column.key, class: column.text ? "text" : null,
      "aria-sort": chosen ? (ascending ? "ascending" : "descending") : null },
    make("button", { type: "button", onclick: () => change({ sort: next === "rank" ? "" : next }) }, said(column.title)));
  }));
  if (focus) byId("rows").querySelector(`th[data-key="${CSS.escape(focus)}"] button`)?.focus();
}

function lineOf(i) {
  if (lines.has(i)) return lines.get(i);
  const cells = now.table.map((column) => {
    const value = column.value(i);
    if (column.key === "name") return make("th", { scope: "row", class: "text wide" },
      make("button", { type: "button", tabindex: -1 }, said(clip(value, 2000)),
        now.item("label", i) ? make("span", { class: "soft" }, " ", said(clip(now.item("arrow", i), 400))) : null));
    const none = value === null || value === undefined;
    const shown = none ? "–" : column.text ? said(clip(String(value), 200)) : column.say(value);
    return make("td", { class: column.text ? "text" : column.toned ? toneOf(i) : null }, shown);
  });
  const line = make("tr", { "data-id": now.items.id[i] }, ...cells);
  line.addEventListener("pointerenter", () => { lightUp([i]); showDetails(i); });
  line.addEventListener("pointerleave", () => hover(null));
  line.addEventListener("focusin", () => { lightUp([i]); showDetails(i); });
  line.addEventListener("click", () => pin(i));
  lines.set(i, line);
  return line;
}

function mark_lines() {
  const hits = new Set(state.find ? found() : []);
  for (const [i, line] of lines) {
    line.classList.toggle("found", hits.has(i));
    line.classList.toggle("pinned", state.edge === now.items.id[i]);
  }
  const buttons = [...byId("rows").tBodies[0].querySelectorAll("button")];
  if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
}

// One row can be reached by Tab; arrow keys go on from there.
byId("rows").tBodies[0].addEventListener("keydown", (event) => {
  const line = event.target.closest("tr");
  const next = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling,
    Home: line?.parentElement.firstElementChild, End: line?.parentElement.lastElementChild }[event.key];
  if (!next) return;
  event.preventDefault();
  line.querySelector("button").tabIndex = -1;
  next.querySelector("button").tabIndex = 0;
  next.querySelector("button").focus();
});
