// Of two runs: the effect in one against the effect in the other, a dot for each experiment that both have.
function drawScatter(shown) {
  const difference = compared();
  byId("scatter").hidden = !difference;
  if (!difference) return;
  const [from, to] = difference.sides;
  const numbers = difference.metrics[now.metric];
  const get = (side, name, i) => at(side[name], i);
  const items = shown.filter((i) => get(from, "effect", i) !== null && get(to, "effect", i) !== null);
  const values = items.flatMap((i) => [get(from, "effect", i), get(to, "effect", i)]);
  const spread = Math.max(...values, 0) - Math.min(...values, 0) || 1;
  const least = Math.min(...values, 0) - 0.05 * spread, most = Math.max(...values, 0) + 0.05 * spread;
  const size = 420, x = (value) => 60 + size * (value - least) / (most - least);
  const y = (value) => 20 + size * (most - value) / (most - least);
  const dots = items.map((i) => {
    const low = get(numbers, "ci_low", i), high = get(numbers, "ci_high", i), by = get(numbers, "effect", i);
    const sure = low !== null && (low > 0 || high < 0);
    const dot = mark("circle", { class: `dot ${sure ? (by > 0 ? "positive" : "negative") : ""}`, r: 4.5, cx: round(x(get(from, "effect", i)), 1),
      cy: round(y(get(to, "effect", i)), 1), "data-item": i }, mark("title", {}, clip(labelOf(i), 200)));
    dot.addEventListener("pointerenter", () => { lightUp([i]); showDetails(i); });
    dot.addEventListener("pointerleave", () => hover(null));
    dot.addEventListener("click", () => pin(i));
    return dot;
  });
  const text = (tx, ty, words, anchor = "middle") => mark("text", { x: tx, y: ty, "text-anchor": anchor }, words);
  byId("scatter-plot").replaceChildren(mark("svg", { viewBox: `0 0 ${size + 80} ${size + 70}`, role: "img",
    "aria-label": `${count(items.length, "experiment")}, ${clip(from.short, 60)} against ${clip(to.short, 60)}; the numbers are in the table` },
  mark("rect", { class: "axis", x: 60, y: 20, width: size, height: size, fill: "none" }),
  mark("line", { class: "axis", x1: x(least), y1: y(least), x2: x(most), y2: y(most), "stroke-dasharray": "5 5" }),
  mark("line", { class: "axis", x1: x(0), y1: y(least), x2: x(0), y2: y(most) }),
  mark("line", { class: "axis", x1: x(least), y1: y(0), x2: x(most), y2: y(0) }),
  text(60 + size / 2, size + 58, clip(from.short, 60)), text(60, size + 36, number(least), "start"), text(60 + size, size + 36, number(most), "end"),
  mark("text", { transform: `translate(16 ${20 + size / 2}) rotate(-90)`, "text-anchor": "middle" }, clip(to.short, 60)),
  text(54, 28, number(most), "end"), text(54, 20 + size, number(least), "end"), ...dots.reverse()),
  make("p", { class: "soft" }, `${now.pair.quantity === "effect" ? "Effects" : "Normalized effects"} on ${clip(now.metric, 60)}. Blue and orange: ` +
    "the difference's interval leaves out 0. Dashed: equal in both."));
}
