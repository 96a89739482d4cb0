// From the state to everything that is shown.
const LOOKING = ["edge", "theme", "view", "find"]; // these change no set of edges

function draw(changes) {
  const before = now;
  drawMany();
  look();
  tidy();
  const names = Object.keys(changes || FIRST);
  const focused = document.activeElement;
  drawControls();
  if (!changes || before !== now || names.some((name) => !LOOKING.includes(name))) {
    const shown = passing();
    drawGraph(shown);
    sayShown(shown);
    drawTable(shown);
    drawScatter(shown);
    drawLegend();
    if (focused && focused !== document.activeElement && focused.isConnected && drawing.contains(focused))
      focused.focus({ preventScroll: true });
  }
  drawFound();
  if (!changes || before?.sheet !== now.sheet || (names.includes("view") && names.length > 1)) showView();
  lightUp(state.edge ? itemsOf(state.edge) : [], null);
  showPinned();
}

/** What an address names and this page does not have is as at first. */
function tidy() {
  if (state.node && touching(state.node) === null) state.node = "";
  if (state.edge && !now.items.id.includes(state.edge)) state.edge = "";
}

function sayShown(shown) {
  const { many, sheet } = now;
  const measured = shown.filter((i) => now.rank[i] !== null).length;
  const parts = [`${whole(shown.length)} of ${count(many, "experiment")} shown`];
  if (measured < shown.length) parts.push(`${whole(shown.length - measured)} ${now.mode === "difference" ? "in one run alone" : now.pair ? "in the other run alone" : "not measured"}`);
  if (state.min) parts.push(`|${now.mode === "difference" ? "difference" : "effect"}| at least ${number(state.min)}`);
  if (state.top) parts.push(`the ${whole(state.top)} strongest`);
  if (state.sure) parts.push("intervals without 0 alone");
  if (state.node) parts.push(`at ${state.node} alone`);
  if (sheet.all > many) parts.push(`this page holds the ${whole(many)} strongest of ${whole(sheet.all)}, all others are ` +
    `at most ${number(sheet.least)}`);
  const undrawn = sheet.scene ? shown.filter((i) => !nodes.drawn.has(i)).length : 0;
  if (undrawn) parts.push(`${whole(undrawn)} of the weakest are in the table alone`);
  byId("shown").textContent = `${parts.join("; ")}.`;
}

/** The letters in rings that are drawn, and what they stand for: `path: through-mlps`. */
function lettersShown() {
  const found = new Map();
  for (const { letter, value, setting, element } of nodes?.sheet === now.sheet ? nodes.letters : [])
    if (!element.hasAttribute("hidden")) found.set(letter, setting ? `${setting}: ${value}` : value);
  return [...found].sort(([, one], [, other]) => one.localeCompare(other, "en"));
}

function drawLegend() {
  const metric = now.metric === undefined ? "the metric" : clip(now.metric, 60);
  const seen = new Set(now.order.map(findingOf));
  const difference = now.mode === "difference";
  const signs = difference ? signsOf(now.view, 40) : { positive: `positive: patching raises ${metric}`,
    negative: `negative: patching lowers ${metric}` };
  const listed = [];
  const sample = (kind, text, dash, width = 2.6) => listed.push(make("span", {}, mark("svg", { class: kind, viewBox: "0 0 40 14",
    "aria-hidden": "true" }, mark("path", { class: "line", d: "M0 7H33", "stroke-width": width, "stroke-dasharray": dash }),
  mark("path", { class: "tip", d: "M40 7L31 2.5V11.5z" })), said(text)));
  if (seen.has("positive") || seen.has("untested")) sample("positive", signs.positive);
  if (seen.has("negative") || seen.has("untested")) sample("negative", signs.negative, "7 3");
  if (seen.has("undecided")) sample("undecided", "95 % interval contains 0", "2 4", 1.6);
  if (now.order.length < now.many) sample("unmeasured", now.pair ? (difference ? "in one run alone" : "in the other run alone") : "not measured", null, 1.2);
  for (const [letter, said_of] of lettersShown()) listed.push(make("span", {}, mark("svg", { class: "ring letter", viewBox: "0 0 14 14",
    "aria-hidden": "true" }, mark("circle", { cx: 7, cy: 7, r: 6 }), mark("text", { x: 7, y: 10.2, "text-anchor": "middle",
    "font-size": 9, "font-weight": "bold" }, letter)), said(said_of)));
  if (now.largest) listed.push(make("span", { class: "soft" }, `widest: ${number(now.widest, now.digits)}, width ∝ √|${difference ? "difference" : "effect"}|`));
  if (difference) listed.push(make("span", { class: "soft" }, said(signs.note)));
  byId("legend").replaceChildren(...listed);
}

watchers.push(draw);
for (const name of ["popstate", "hashchange"]) window.addEventListener(name, () => {
  const next = read(location.hash);
  if (location.hash && !location.hash.includes("=")) return; // an anchor of this page
  if (written(next) === written(state)) return;
  state = next;
  draw();
});

// Links within the page do not touch the state in the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  const target = link && byId(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView();
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
});

state = read(location.hash.includes("=") ? location.hash : "");
draw();
performance.mark("drawn");
requestAnimationFrame(() => setTimeout(() => performance.mark("painted")));
