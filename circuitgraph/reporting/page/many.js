// Of more than two runs: how alike each is to each, and a small graph of every run; a click shows what it stands for.

/** The views of single runs, in the order of the runs: {pair, mode, view}; of a run without a graph there is none. */
function singles() {
  const found = new Map();
  data.pairs.forEach((pair, k) => {
    for (const mode of ["a", "b"]) {
      const view = data.views[pair[mode]], [run] = view.runs;
      if (!found.has(run) && data.sheets[view.sheet].scene) found.set(run, { run, pair: k, mode, view });
    }
  });
  return [...found.values()].sort((a, b) => a.run - b.run);
}

const letterOf = (run) => (data.runs.length > 26 ? `${run + 1}` : String.fromCharCode(65 + run));

function drawMany() {
  byId("many").hidden = data.runs.length < 3;
  if (data.runs.length < 3 || byId("many-table").tBodies.length) return;
  drawAlike();
  const before = state, each = singles();
  const drawn = each.map(({ run, pair, mode }) => {
    state = { ...FIRST, pair, mode: mode === "a" ? "" : mode };
    now = null;
    look();
    return make("figure", {}, make("button", { type: "button", class: "quiet",
      onclick: () => { change({ pair, mode: mode === "a" ? "" : mode, node: "", edge: "" }); byId("graph").scrollIntoView(); } },
    smallGraph(), make("figcaption", {}, make("b", {}, `${letterOf(run)} `), said(clip(data.runs[run].name, 60)))));
  });
  state = before;
  now = null;
  look();
  byId("many-graphs").replaceChildren(...drawn);
  const same = data.pairs.every((pair) => pair.quantity === "effect");
  byId("many-said").textContent = drawn.length ? `The graph of every run, ${same ? "the same width for the same effect" :
    "the widest arrow its largest effect"}; a click shows it above.` : "";
}

/** Spearman's correlation of every two runs, with its interval. */
function drawAlike() {
  const names = data.runs.map((run) => run.name);
  const of = new Map(data.pairs.map((pair, k) => [pair.runs.join(), k]));
  const head = make("tr", {}, make("td", {}), ...names.map((name, i) => make("th", { scope: "col" }, letterOf(i))));
  const rows = names.map((name, i) => make("tr", {},
    make("th", { scope: "row" }, `${letterOf(i)} `, said(clip(name, 60))),
    ...names.map((_, j) => make("td", {}, i === j ? "1" : alike(of.get([Math.min(i, j), Math.max(i, j)].join()))))));
  byId("many-table").append(make("thead", {}, head), make("tbody", {}, ...rows));
}

function alike(k) {
  const { value, low, high } = data.pairs[k].agreement.spearman;
  return make("button", { type: "button", class: "quiet", title: "Show these two",
    "aria-label": `${data.pairs[k].label}: ${number(value, 2)}; show these two`,
    onclick: () => { change({ pair: k, mode: "", node: "", edge: "" }); byId("graph").scrollIntoView(); } },
  number(value, 2), low === null || high === null ? null : make("small", {}, ` [${number(low, 2)}, ${number(high, 2)}]`));
}

/** The graph of the chosen view, without anything to do in it. */
function smallGraph() {
  const { scene } = now.sheet;
  const drawnFor = (arrow) => now.rank[arrow[0]] === null ? now.many : now.rank[arrow[0]];
  const arrows = [...scene.arrows].sort((a, b) => drawnFor(b) - drawnFor(a)).map(([item, , , , path, , , x1, y1]) => {
    const stroke = strokeOf(item), width = stroke.width * data.scale;
    return mark("g", { class: stroke.look, opacity: round(stroke.opacity, 2) }, mark("path", { class: "line",
      d: `${path}L${x1} ${y1}`, "stroke-width": round(width, 1),
      "stroke-dasharray": stroke.dash && stroke.dash.map((n) => round(n * data.scale, 1)).join(" ") }));
  });
  const boxes = scene.boxes.map(({ rect: [x, y, width, height], label, y: base }) => mark("g", { class: "box" },
    mark("rect", { class: "face", x, y, width, height, rx: 50 }),
    mark("text", { x: x + width / 2, y: base, "text-anchor": "middle", "font-size": 110, "font-weight": "bold" }, label)));
  const groups = scene.clusters.map(({ rect: [x, y, width, height] }) => mark("rect", { class: "cluster", x, y, width, height, rx: 80 }));
  return mark("svg", { viewBox: around(scene).join(" "), "aria-hidden": "true" }, ...groups, ...arrows, ...boxes);
}

/** The frame of boxes and groups, with room for arrows that go around them. */
function around(scene) {
  const rects = [...scene.boxes, ...scene.clusters].map((each) => each.rect), room = 160;
  const left = Math.min(...rects.map(([x]) => x)) - room, top = Math.min(...rects.map(([, y]) => y)) - room;
  const right = Math.max(...rects.map(([x, , width]) => x + width)) + room;
  return [left, top, right - left, Math.max(...rects.map(([, y, , height]) => y + height)) + room - top];
}
