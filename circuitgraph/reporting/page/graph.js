// The graph as SVG: clusters that fold into one box, arrows by the chosen numbers, boxes; the keys that walk it.
const drawing = byId("drawing");
const layer = {};
let nodes = null; // the marks of the sheet that is drawn

function drawSheet() {
  const { sheet } = now;
  if (nodes && nodes.sheet === sheet) return;
  drawing.replaceChildren();
  nodes = { sheet, edges: [], boxes: [], clusters: [], merged: [], letters: [], notes: [], live: [], drawn: new Set() };
  for (const name of Object.keys(layer)) delete layer[name];
  const scene = sheet.scene;
  byId("picture").classList.toggle("empty", !scene);
  if (!scene) {
    drawing.append(mark("text", { x: 20, y: 40, "font-size": 16 }, "No common graph: the table has the numbers."));
    return;
  }
  const root = mark("g", { id: "root" });
  for (const name of ["columns", "glows", "clusters", "edges", "heads", "boxes", "letters", "notes"])
    root.append((layer[name] = mark("g", { class: name })));
  drawing.append(root);
  drawColumns(scene);
  scene.clusters.forEach((cluster, i) => nodes.clusters.push(drawCluster(scene, cluster, i)));
  scene.arrows.forEach((arrow) => nodes.edges.push(drawEdge(arrow)));
  scene.boxes.forEach((box, i) => nodes.boxes.push(drawBox(box, i)));
  for (const edge of nodes.edges) nodes.drawn.add(edge.item);
  for (const node of nodes.boxes) for (const i of node.items || []) nodes.drawn.add(i);
  for (const [x, y, letter, value, arrow, box] of scene.letters)
    nodes.letters.push({ arrow, box, letter, value, setting: settingWith(value, scene, arrow, box), element: layer.letters.appendChild(mark("g", { class: "letter" },
      mark("title", {}, value), mark("circle", { cx: x, cy: y, r: 48 }),
      mark("text", { x, y: y + 27, "text-anchor": "middle", "font-size": 75, "font-weight": "bold" }, letter))) });
  for (const [arrow, x, y] of scene.notes)
    nodes.notes.push({ arrow, element: layer.notes.appendChild(mark("text", { class: "note", x, y })) });
}

/** Which setting of an arrow's or a box's experiments has this value. */
function settingWith(value, scene, arrow, box) {
  const items = arrow >= 0 ? [scene.arrows[arrow][0]] : scene.boxes[box].items || [];
  return ["path", "base", "source"].find((name) => items.some((i) => now.item(name, i) === value));
}

function drawColumns(scene) {
  scene.columns.forEach(([x, y, width, height, name, base], i) => layer.columns.append(
    mark("rect", { class: i % 2 ? "column odd" : "column", x, y, width, height }),
    mark("text", { x: x + width / 2, y: base, "text-anchor": "middle", "font-size": 120, "font-weight": "bold" }, name)));
  for (const [x, y, name] of scene.layers)
    layer.columns.append(mark("text", { class: "layer", x, y, "font-size": 95, "fill-opacity": 0.75 }, name));
}

function drawCluster(scene, cluster, i) {
  const boxes = scene.boxes.map((box, at) => at).filter((at) => scene.boxes[at].cluster === i);
  const name = cluster.lines.map(([, text]) => text).join(" ");
  const key = clusterKey(scene, i);
  const [x, y, width, height] = cluster.rect;
  const tall = 190 + 130 * cluster.lines.length, wide = Math.min(width, Math.max(760, longest(cluster.lines) * 66 + 140));
  const small = [x + (width - wide) / 2, y + (height - tall) / 2, wide, tall];
  const outline = mark("rect", { class: "cluster", rx: 80 });
  const strip = mark("rect", { rx: 70 });
  const lines = cluster.lines.map(([, text]) => mark("text", {
    x: x + width / 2, "text-anchor": "middle", "font-size": 105, "font-weight": "bold" }, text));
  const inside = mark("text", { x: x + width / 2, "text-anchor": "middle", "font-size": 95 }, count(boxes.length, "node"));
  const head = mark("g", { class: "head", role: "button", tabindex: -1, "data-cluster": key, "aria-label": "" },
    mark("title", {}, cluster.tooltip || name), strip, ...lines, inside);
  head.addEventListener("click", () => fold(key));
  layer.clusters.append(outline);
  layer.heads.append(head);
  return { key, name, boxes, rect: cluster.rect, header: cluster.header, small, outline, strip, lines, inside, head,
    heights: cluster.lines.map(([at]) => at), element: head };
}

const longest = (lines) => Math.max(...lines.map(([, text]) => text.length));

/** `group@position`, numbered where a group has several clusters there. */
function clusterKey(scene, i) {
  const name = (at) => {
    const box = scene.boxes.find((each) => each.cluster === at);
    const place = box && box.key.includes("@") ? box.key.slice(box.key.indexOf("@")) : "";
    return `${scene.clusters[at].group || "group"}${place}`;
  };
  const before = scene.clusters.slice(0, i).filter((_, at) => name(at) === name(i)).length;
  return before ? `${name(i)}.${before + 1}` : name(i);
}

function drawEdge([item, tail, head, port, path, x0, y0, x1, y1]) {
  const element = mark("g", { class: "edge", role: "button", tabindex: -1 });
  const parts = { hit: mark("path", { class: "hit" }), line: mark("path", { class: "line" }),
    tip: mark("path", { class: "tip" }) };
  element.append(parts.hit, parts.line, parts.tip);
  layer.edges.append(element);
  const edge = { item, tail, head, port, path, base: [x0, y0], end: [x1, y1], element, ...parts, items: [item] };
  watchEdge(edge);
  return edge;
}

function watchEdge(edge) {
  edge.element.addEventListener("pointerenter", () => hover(edge));
  edge.element.addEventListener("pointerleave", () => hover(null));
  edge.element.addEventListener("focus", () => hover(edge));
  edge.element.addEventListener("click", () => { if (!dragged()) pin(edge.items[0], edge); });
}

function drawBox(box, i) {
  const [x, y, width, height] = box.rect;
  const face = mark("rect", { class: "face", x, y, width, height, rx: 50 });
  const label = mark("text", { x: x + width / 2, y: box.y, "text-anchor": "middle", "font-size": 110,
    "font-weight": "bold" }, box.label);
  const note = box.items ? mark("text", { x: x + width / 2, y: box.note, "text-anchor": "middle", "font-size": 95 }) : null;
  const ports = (box.ports || []).flatMap(([px, py, w, h, name]) => [
    mark("rect", { class: "port", x: px, y: py, width: w, height: h, rx: 30 }),
    mark("text", { x: px + w / 2, y: py + h - 30, "text-anchor": "middle", "font-size": 85 }, name)]);
  const element = mark("g", { class: "box", role: "button", tabindex: -1, "data-key": box.key }, face, label, ...ports);
  if (note) element.append(note);
  element.addEventListener("click", () => { if (!dragged()) isolate(box.key); });
  element.addEventListener("pointerenter", () => aim(i));
  element.addEventListener("pointerleave", () => aim(null));
  element.addEventListener("focus", () => aim(i));
  layer.boxes.append(element);
  return { ...box, i, face, note, element };
}

/** Draw what passes the filters, in the looks of the chosen numbers. */
function drawGraph(shown) {
  drawSheet();
  if (!now.sheet.scene) return;
  const visible = new Set(shown);
  const folded = new Set(state.folded);
  for (const cluster of nodes.clusters) drawFolded(cluster, folded.has(cluster.key));
  for (const element of nodes.merged) element.remove();
  nodes.merged = [];
  nodes.live = [];
  const bundles = new Map();
  for (const edge of nodes.edges) {
    const ends = [endOf(edge.tail), endOf(edge.head)];
    const inner = ends[0].cluster && ends[0].cluster === ends[1].cluster;
    const apart = !ends[0].cluster && !ends[1].cluster;
    const on = visible.has(edge.item) && !inner;
    edge.element.toggleAttribute("hidden", !(on && apart));
    edge.on = on && apart;
    if (edge.on) nodes.live.push(edge);
    else if (on) {
      const port = ends[1].cluster ? "" : edge.port;
      const key = `${ends[0].key} ${ends[1].key} ${port}`;
      if (!bundles.has(key)) bundles.set(key, { ends, port, edges: [] });
      bundles.get(key).edges.push(edge);
    }
  }
  for (const bundle of bundles.values()) drawMerged(bundle);
  const place = (edge) => (now.rank[edge.item] === null ? now.many : now.rank[edge.item]);
  nodes.live.sort((a, b) => place(a) - place(b));
  for (let k = nodes.live.length - 1; k >= 0; k--) {
    const edge = nodes.live[k];
    if (edge.merged === undefined) dressEdge(edge);
  }
  layer.edges.append(...nodes.live.map((edge) => edge.element).reverse());
  drawBoxes(visible);
  drawNotes();
  rove();
}

function endOf(box) {
  const home = nodes.boxes[box].cluster;
  const cluster = home === undefined ? null : nodes.clusters[home];
  return cluster && cluster.folded ? { key: `cluster ${home}`, rect: cluster.small, cluster } :
    { key: `box ${box}`, rect: nodes.boxes[box].rect, cluster: null };
}

function drawFolded(cluster, folded) {
  if (cluster.folded === folded) return;
  cluster.folded = folded;
  const [x, y, width, height] = folded ? cluster.small : cluster.rect;
  place(cluster.outline, x, y, width, height);
  if (folded) place(cluster.strip, x + 10, y + 10, width - 20, height - 20);
  else place(cluster.strip, ...cluster.header);
  cluster.lines.forEach((line, k) => line.setAttribute("y", folded ? y + 140 + k * 130 : cluster.heights[k]));
  cluster.inside.setAttribute("y", y + height - 60);
  cluster.inside.toggleAttribute("hidden", !folded);
  cluster.head.setAttribute("aria-expanded", String(!folded));
  cluster.head.setAttribute("aria-label", `Group ${cluster.name}, ${count(cluster.boxes.length, "node")}`);
  for (const at of cluster.boxes) nodes.boxes[at]?.element.toggleAttribute("hidden", folded);
}

function place(rect, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, value);
}

function dressEdge(edge) {
  const stroke = strokeOf(edge.item);
  const width = stroke.width * data.scale, long = (4.5 + stroke.width) * data.scale;
  const half = (3.8 + 1.3 * stroke.width) * data.scale / 2;
  let ux = edge.end[0] - edge.base[0], uy = edge.end[1] - edge.base[1];
  const length = Math.hypot(ux, uy) || 1;
  [ux, uy] = [ux / length, uy / length];
  const [x, y] = edge.end, back = long - 5;
  const d = `${edge.path}L${Math.round(x - back * ux)} ${Math.round(y - back * uy)}`;
  const bx = x - long * ux, by = y - long * uy;
  edge.line.setAttribute("d", d);
  edge.hit.setAttribute("d", `${edge.path}L${x} ${y}`);
  edge.tip.setAttribute("d", `M${x} ${y}L${Math.round(bx - half * uy)} ${Math.round(by + half * ux)}` +
    `L${Math.round(bx + half * uy)} ${Math.round(by - half * ux)}z`);
  edge.line.setAttribute("stroke-width", round(width, 2));
  if (stroke.dash) edge.line.setAttribute("stroke-dasharray", stroke.dash.map((n) => round(n * data.scale, 2)).join(" "));
  else edge.line.removeAttribute("stroke-dasharray");
  edge.line.setAttribute("opacity", round(stroke.opacity, 3));
  edge.tip.setAttribute("opacity", round(stroke.opacity, 3));
  edge.element.setAttribute("class", `edge ${stroke.look}`);
  edge.element.setAttribute("data-id", now.items.id[edge.item]);
  edge.element.setAttribute("aria-label", edge.merged === undefined ? spoken(edge.item) :
    `${count(edge.merged, "edge")} between ${edge.names[0]} and ${edge.names[1]}; the strongest: ${spoken(edge.item)}`);
}

const round = (value, digits) => Number(value.toFixed(digits));

function spoken(i) {
  const effect = now.get("effect", i);
  const what = clip(labelOf(i), 200);
  if (effect === null) return `${what}: not measured`;
  return `${what}: ${signed(effect)}, ${interval(now.get("ci_low", i), now.get("ci_high", i))}`;
}

/** One arrow for all between two ends of which one is folded; it looks like the strongest. */
function drawMerged({ ends, port, edges }) {
  const strength = (edge) => Math.abs(now.get("effect", edge.item) ?? 0);
  edges.sort((a, b) => strength(b) - strength(a));
  const [first] = edges, [tail, head] = ends;
  const [x0, y0] = [tail.rect[0] + tail.rect[2] / 2, tail.rect[1]];
  const end = head.cluster ? [head.rect[0] + head.rect[2] / 2, head.rect[1] + head.rect[3]] : first.end;
  const start = tail.cluster ? [x0, y0] : startOf(first);
  const bend = Math.max(240, Math.abs(start[1] - end[1]) / 2);
  const base = [end[0], end[1] + 51];
  const path = `M${start.map(Math.round).join(" ")}C${Math.round(start[0])} ${Math.round(start[1] - bend)} ` +
    `${Math.round(base[0])} ${Math.round(base[1] + bend)} ${base.map(Math.round).join(" ")}`;
  const edge = drawEdge([first.item, first.tail, first.head, port, path, ...base, ...end]);
  edge.items = [...new Set(edges.map((each) => each.item))];
  edge.merged = edge.items.length;
  edge.names = ends.map((each, k) => each.cluster ? each.cluster.name : nodes.boxes[k ? first.head : first.tail].key);
  edge.on = true;
  dressEdge(edge);
  edge.element.classList.add("merged");
  nodes.merged.push(edge.element);
  nodes.live.push(edge);
}

const startOf = (edge) => edge.path.match(/-?\d+/g).slice(0, 2).map(Number);

function drawBoxes(visible) {
  const busy = new Set();
  for (const edge of nodes.edges) if (visible.has(edge.item)) busy.add(edge.tail).add(edge.head);
  const filtered = visible.size < now.many;
  for (const box of nodes.boxes) {
    const patched = (box.items || []).filter((i) => visible.has(i)).sort((a, b) => now.rank[a] - now.rank[b]);
    const classes = ["box"];
    if (filtered && !busy.has(box.i) && !patched.length) classes.push("dim");
    if (state.node === box.key) classes.push("isolated");
    box.element.setAttribute("aria-pressed", String(state.node === box.key));
    if (box.note) {
      const [i] = patched, stroke = i === undefined ? null : strokeOf(i);
      box.note.textContent = i === undefined || now.rank[i] === null ? "patched" :
        signed(now.get("effect", i), now.digits);
      const part = i === undefined ? "" : now.item("parts", i)[box.key.replace(/@.*/, "")];
      if (part) box.note.textContent = `${part} ${box.note.textContent}`;
      if (stroke) classes.push(stroke.look);
      const strength = stroke && now.widest ? Math.sqrt(Math.abs(now.get("effect", i) ?? 0) / now.widest) : 0;
      box.face.style.setProperty("--amount", `${Math.round(100 * (stroke ? 0.08 + 0.3 * strength : 0))}%`);
    }
    box.element.setAttribute("class", classes.join(" "));
    box.element.setAttribute("aria-label", `Node ${box.key}: ` + [
      ...patched.map((i) => spoken(i)), state.node === box.key ? "isolated" : "isolate"].join("; "));
  }
}

function drawNotes() {
  for (const note of nodes.notes) {
    const edge = nodes.edges[note.arrow], effect = now.get("effect", edge.item), finding = findingOf(edge.item);
    const on = edge.on && effect !== null && finding !== "undecided" && now.rank[edge.item] < 24;
    note.element.toggleAttribute("hidden", !on);
    if (!on) continue;
    note.element.textContent = signed(effect, now.digits);
    note.element.setAttribute("class", `note ${effect > 0 ? "positive" : "negative"}`);
  }
  for (const letter of nodes.letters) {
    const on = letter.arrow >= 0 ? nodes.edges[letter.arrow].on : !nodes.boxes[letter.box].element.hasAttribute("hidden");
    letter.element.toggleAttribute("hidden", !on);
  }
}

function fold(key) {
  const folded = state.folded.includes(key) ? state.folded.filter((each) => each !== key) : [...state.folded, key];
  change({ folded });
}

function isolate(key) {
  change({ node: state.node === key ? "" : key });
}
