// Hover, focus and pin: which edge is looked at, in the graph and in the table; the keys that walk the graph.
let pointed = null;

function hover(edge) {
  pointed = edge;
  lightUp(edge ? edge.items : state.edge ? itemsOf(state.edge) : [], edge);
  if (edge) showDetails(edge.items[0], edge);
  else showPinned();
}

/** The items that the id of an experiment names. */
function itemsOf(id) {
  const i = now.items.id.indexOf(id);
  return i < 0 ? [] : [i];
}

function lightUp(items, edge) {
  const hot = new Set(items);
  glow("hot", nodes.live ? nodes.live.filter((each) => edge ? each === edge || (each.merged === undefined &&
    hot.has(each.item)) : each.items.some((i) => hot.has(i))) : []);
  for (const box of nodes.boxes)
    box.element.classList.toggle("hot", (box.items || []).some((i) => hot.has(i)));
  for (const [i, line] of lines.entries()) {
    line.classList.toggle("hot", hot.has(i));
    line.classList.toggle("pinned", state.edge === now.items.id[i]);
  }
  for (const dot of document.querySelectorAll("#scatter circle.dot"))
    dot.classList.toggle("hot", hot.has(Number(dot.dataset.item)));
}

/** A soft line below the arrows that are meant. */
function glow(kind, edges) {
  if (!layer.glows) return;
  for (const old of layer.glows.querySelectorAll(`.${kind}`)) old.remove();
  for (const edge of edges)
    layer.glows.append(mark("path", { class: `glow ${kind}`, d: edge.hit.getAttribute("d"),
      "stroke-width": Number(edge.line.getAttribute("stroke-width")) + 75 }));
  if (kind !== "hot") return;
  drawing.classList.toggle("aimed", edges.length > 0 && (nodes.live || []).length > 60);
  for (const edge of nodes.live || []) edge.element.classList.toggle("hot", edges.includes(edge));
}

/** A box under the pointer: its edges. */
function aim(box) {
  if (box === null) return hover(null);
  glow("hot", (nodes.live || []).filter((edge) => edge.tail === box || edge.head === box));
  showNode(box);
}

function pin(i, edge) {
  const id = now.items.id[i];
  change({ edge: state.edge === id ? "" : id });
  if (edge && state.edge === id) showDetails(i, edge);
}

// Three stops of the Tab key: groups, nodes, edges. Arrow keys go on from there.
const place_of = { head: 0, box: 0, edge: 0 };

function walk(kind) {
  if (!nodes || !nodes.live) return [];
  if (kind === "head") return nodes.clusters.map((cluster) => cluster.element);
  if (kind === "edge") return nodes.live.map((edge) => edge.element);
  return nodes.boxes.map((box) => box.element).filter((element) => !element.hasAttribute("hidden"));
}

/** One mark of each kind can be reached by Tab. */
function rove() {
  for (const kind of Object.keys(place_of)) {
    const elements = walk(kind);
    const held = elements.indexOf(document.activeElement);
    place_of[kind] = held >= 0 ? held : Math.min(place_of[kind], Math.max(elements.length - 1, 0));
    elements.forEach((element, k) => element.setAttribute("tabindex", k === place_of[kind] ? 0 : -1));
  }
}

function step(element, key) {
  const kind = Object.keys(place_of).find((name) => element.classList.contains(name));
  if (!kind) return false;
  const elements = walk(kind), here = elements.indexOf(element);
  const to = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1,
    Home: 0, End: elements.length - 1, PageDown: here + 10, PageUp: here - 10 }[key];
  if (to === undefined || here < 0) return false;
  place_of[kind] = Math.min(Math.max(to, 0), elements.length - 1);
  elements[here].setAttribute("tabindex", -1);
  elements[place_of[kind]].setAttribute("tabindex", 0);
  elements[place_of[kind]].focus({ preventScroll: true });
  return true;
}

drawing.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const element = event.target.closest(".head, .box, .edge");
  if (element && step(element, event.key)) event.preventDefault();
  else if (element && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  } else if (["+", "=", "-", "0"].includes(event.key)) {
    event.preventDefault();
    if (event.key === "0") showAll();
    else zoomBy(event.key === "-" ? 1 / 1.4 : 1.4);
  }
});

drawing.addEventListener("focusout", () => setTimeout(() => {
  if (!drawing.contains(document.activeElement)) hover(null);
}));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!byId("hits").hidden && byId("hits").contains(document.activeElement)) byId("find").focus();
  else if (state.edge) change({ edge: "" });
  else if (state.node) change({ node: "" });
  else hover(null);
});
