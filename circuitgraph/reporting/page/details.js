// The panel beside the graph: an experiment's numbers, its three stages in words, its line in the spec; or a node.
const details = byId("details");

function showPinned() {
  const [i] = state.edge ? itemsOf(state.edge) : [];
  details.classList.toggle("pinned", i !== undefined);
  if (i !== undefined) showDetails(i);
  else if (state.node) showNode(now.sheet.scene ? now.sheet.scene.boxes.findIndex((each) => each.key === state.node) : -1);
  else showStrongest();
}

function showStrongest() {
  const shown = passing().filter((i) => now.rank[i] !== null).slice(0, 8);
  details.replaceChildren(
    ...(shown.length ? [make("h4", { class: "first" }, shown.length > 1 ? `The ${shown.length} strongest` : "The strongest"),
      make("div", { class: "list" }, ...shown.map(entry))] : []),
    make("p", { class: "soft" }, "Point at an edge, or go to one by Tab, for its effect, its three stages and its line in " +
      "the spec; click to pin it. Click a node to see its neighbourhood alone, a group's name to fold it."));
}

function showDetails(i, edge) {
  const pinned = state.edge === now.items.id[i];
  const parts = [];
  if (pinned) parts.push(make("button", { type: "button", class: "close", "aria-label": "Let go", title: "Let go (Esc)",
    onclick: () => change({ edge: "" }) }, "×"));
  const unusual = now.item("unusual", i);
  parts.push(make("h3", {}, said(clip(now.item("arrow", i), 2000)), unusual ? ` (${unusual})` : null));
  const label = now.item("label", i);
  if (label) parts.push(make("p", {}, said(clip(label, 2000))));
  if (edge && edge.merged > 1) {
    parts.unshift(make("p", { class: "soft" }, `${count(edge.merged, "edge")} in one arrow; this is the strongest.`));
    parts.push(mergedList(edge));
  }
  parts.push(...numbersOf(i), ...stagesOf(i), ...linesOf(i));
  details.replaceChildren(...parts);
}

function mergedList(edge) {
  return make("div", { class: "list" }, ...edge.items.slice(0, 12).map(entry),
    edge.items.length > 12 ? make("p", { class: "soft" }, `and ${edge.items.length - 12} weaker`) : null);
}

/** An experiment as a button that pins it. */
function entry(i) {
  const effect = now.get("effect", i);
  return make("button", { type: "button", onclick: () => change({ edge: now.items.id[i] }) },
    said(clip(labelOf(i), 160)), make("b", { class: toneOf(i) }, effect === null ? "–" : signed(effect, now.digits)));
}

/** The color of a number: none where the interval contains 0. */
function toneOf(i) {
  const finding = findingOf(i);
  if (finding === "undecided" || finding === "unmeasured") return null;
  return now.get("effect", i) > 0 ? "is-positive" : "is-negative";
}

function numbersOf(i) {
  const get = (name) => now.get(name, i);
  const effect = get("effect");
  if (effect === null) return [make("p", { class: "soft" }, `not measured in ${now.view.label}`), ...sides(i)];
  const rows = [];
  const add = (name, value) => { if (value !== null && value !== undefined) rows.push(make("dt", {}, name),
    make("dd", {}, value)); };
  add("rank", `${whole(now.rank[i] + 1)} of ${whole(now.order.length)}`);
  const share = get("normalized_effect");
  if (share !== null) add("normalized", `${number(share)} ${get("normalized_ci_low") === null ? "" :
    `[${number(get("normalized_ci_low"))}, ${number(get("normalized_ci_high"))}]`} of the gap`);
  add("std. error", get("std_error") === null ? null : number(get("std_error")));
  add("prompt pairs", whole(get("n")));
  add("p-value", get("p_value") === null ? null : number(get("p_value")));
  add("q-value", get("q_value") === null ? null : number(get("q_value")));
  add("same sign", get("same_sign") === null ? null : `${number(100 * get("same_sign"))} % of pairs`);
  add("patched", now.mode === "difference" ? null : `${number(get("metric_base"))} → ${number(get("metric_patched"))}`);
  add("percentile", get("percentile") === null ? null :
    `${number(get("percentile"))} % of ${count(get("percentile_of"), "random edge")}`);
  if (get("expected") !== null) add("expected", said(get("expected")));
  if (get("verdict") !== null) add("verdict", make("b", {}, get("verdict")));
  if (get("pairs_needed") !== null) add("would decide", `about ${count(get("pairs_needed"), "pair")}`);
  add("how", ["path", "base", "source"].map((name) => settingOf(name, i)).filter(Boolean).join(", "));
  const executor = get("executor"), estimated = (executor || "").split(" / ").filter((name) => data.estimates.includes(name));
  add(!estimated.length ? "measured by" : estimated.join(" / ") === executor ? "ESTIMATED by" : "measured / ESTIMATED by", executor);
  add("groups", now.item("groups", i).length ? said(now.item("groups", i).map((text) => clip(text, 200)).join(" → ")) : null);
  const reading = { positive: "positive", negative: "negative", undecided: "the interval contains 0",
    untested: "no interval" }[findingOf(i)];
  return [
    make("p", { class: `big ${toneOf(i) || ""}` }, signed(effect)),
    make("p", {}, `95 % ${interval(get("ci_low"), get("ci_high"))}`),
    bar(get("ci_low"), effect, get("ci_high"), strokeOf(i).look),
    make("p", { class: "soft" }, `${quantity()} on `, said(now.metric), `: ${reading}`),
    ...sides(i), make("dl", {}, ...rows),
  ];
}

/** The interval as a line, on the scale of the largest effect. */
function bar(low, effect, high, look_of) {
  const most = Math.max(now.largest, Math.abs(low ?? 0), Math.abs(high ?? 0)) || 1;
  const x = (value) => 150 + 145 * value / most;
  const svg = mark("svg", { class: `bar ${look_of}`, viewBox: "0 0 300 26",
    preserveAspectRatio: "none", "aria-hidden": "true" },
    mark("line", { x1: 150, x2: 150, y1: 2, y2: 24, stroke: "var(--soft-ink)", "stroke-width": 1 }),
    mark("line", { x1: 5, x2: 295, y1: 13, y2: 13, stroke: "var(--line)", "stroke-width": 1 }));
  if (low !== null) svg.append(mark("rect", { class: "tip", x: x(low), y: 9, width: Math.max(x(high) - x(low), 1),
    height: 8, opacity: 0.35 }));
  svg.append(mark("rect", { class: "tip", x: x(effect) - 2, y: 4, width: 4, height: 18 }));
  return svg;
}

/** Of a comparison: the two runs and the difference, in the quantity that was compared. */
function sides(i) {
  const view = compared();
  if (!view) return [];
  const listed = [...view.sides, { short: "difference", ...view.metrics[now.metric] }];
  const rows = listed.flatMap((side) => {
    const effect = at(side.effect, i);
    const range = effect === null ? "–" : `${signed(effect)} ${interval(at(side.ci_low, i), at(side.ci_high, i))}`;
    const many = now.pair.matched_by === "group" && side.experiments ? at(side.experiments, i) : null;
    return [make("dt", {}, said(clip(side.short, 40))),
      make("dd", {}, range, many === null ? null : make("span", { class: "soft" }, `, mean of ${count(many, "experiment")}`))];
  });
  return [make("h4", {}, `${now.pair.quantity.replace(/^./, (first) => first.toUpperCase())}, ` +
    (now.pair.paired ? "paired" : now.pair.paired === false ? "not paired" : "partly paired")), make("dl", {}, ...rows)];
}

/** The difference of the chosen pair, where it is of the experiments that are shown. */
function compared() {
  const view = now.pair ? data.views[now.pair.difference] : null;
  return view && view.sheet === now.view.sheet ? view : null;
}

function stagesOf(i) {
  const names = now.items.names[i];
  const ways = now.ways("stages", i).filter(([, stages]) => stages.length);
  return ways.flatMap(([run, stages]) => {
    const texts = stages.map((k) => now.items.texts[k].replace(/⟦(\d+)⟧/g, (_, n) => names[Number(n)]));
    const title = texts.length > 1 ? `The ${texts.length} stages` : "How";
    return [make("h4", {}, title, ways.length > 1 ? said(` in ${clip(data.runs[run].name, 60)}`) : null),
      make("ol", {}, ...texts.map((text) => {
        const cut = text.indexOf(": ");
        return make("li", {}, make("b", {}, text.slice(0, cut)), said(clip(text.slice(cut + 2), 1500)));
      }))];
  });
}

function linesOf(i) {
  const shown = new Set();
  return now.view.runs.flatMap((run) => {
    const origins = now.items.origins[run];
    const place = origins ? at(origins.places, i) : null;
    const text = origins && typeof place === "number" ? origins.texts[place] : undefined;
    const where = typeof place === "number" ? `line ${place}` : place;
    if (place === null || shown.has(`${where} ${text}`)) return [];
    shown.add(`${where} ${text}`);
    const file = now.view.runs.length > 1 ? ` of ${clip(data.runs[run].name, 60)}` : "";
    const anchor = `${data.runs[run].prefix}spec-L${place}`;
    const known = typeof place === "number" && byId(anchor);
    return [make("h4", {}, "In the spec", said(file), ", ", known ? make("a", { href: `#${anchor}` }, where) : where),
      text ? make("pre", {}, said(text)) : null];
  }).filter(Boolean);
}

function showNode(i) {
  const scene = now.sheet.scene;
  if (!scene || i < 0) return;
  const node = scene.boxes[i];
  const shown = new Set(passing());
  const touched = [...(touching(node.key) || [])].filter((k) => shown.has(k)).sort((a, b) => now.rank[a] - now.rank[b]);
  const own = new Set(node.items || []);
  const into = touched.filter((k) => !own.has(k) && scene.arrows.some((arrow) => arrow[0] === k && arrow[2] === i));
  const out = touched.filter((k) => !own.has(k) && !into.includes(k));
  const part = (title, items) => items.length ? [make("h4", {}, title), make("div", { class: "list" },
    ...items.slice(0, 12).map(entry)), items.length > 12 ? make("p", { class: "soft" }, `and ${items.length - 12} weaker`) : null] : [];
  const cluster = node.cluster === undefined ? null : nodes.clusters[node.cluster];
  details.replaceChildren(...[
    make("h3", {}, said(node.key)),
    cluster ? make("p", { class: "soft" }, "in ", said(clip(cluster.name, 300))) : null,
    ...part("Patched itself", [...own].filter((k) => shown.has(k))), ...part(`In: ${into.length}`, into),
    ...part(`Out: ${out.length}`, out),
    state.node === node.key ? make("p", {}, make("button", { type: "button", onclick: () => isolate(node.key) },
      "Show everything again")) : null,
  ].filter(Boolean));
}
