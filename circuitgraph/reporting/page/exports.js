// Save what is shown: the picture with its looks written out, the rows, and all of it as data.
const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor", "paint-order"];

function save(name, type, content) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const fileName = (ending) => `${(data.title.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "") ||
  "circuit").slice(0, 60)}${now.mode ? `-${now.mode}` : ""}.${ending}`;

/** The graph alone, readable without this page: hidden marks left out, looks as attributes, a line that says what it is. */
function standalone() {
  const [x, y, width, height] = drawing.classList.contains("zoomed") ? box : frame();
  lightUp([], null);
  const copy = drawing.cloneNode(true);
  const [ours, theirs] = [drawing.querySelectorAll("*"), copy.querySelectorAll("*")];
  ours.forEach((element, k) => {
    const looks = getComputedStyle(element), twin = theirs[k];
    for (const name of element.tagName === "g" ? ["opacity"] : LOOKS) {
      const value = plain(looks.getPropertyValue(name));
      if (value && value !== "normal" && !(name === "opacity" && value === "1")) twin.setAttribute(name, value);
    }
    for (const name of ["class", "style", "tabindex", "role", "aria-label", "aria-expanded", "aria-pressed"]) twin.removeAttribute(name);
    if (element.classList.contains("edge") || element.classList.contains("box"))
      twin.prepend(mark("title", {}, clip(printable(element.getAttribute("aria-label") || ""), 1000)));
  });
  for (const twin of copy.querySelectorAll("[hidden]")) twin.remove();
  ours.forEach((element, k) => { if (element.matches(".hit, .glow")) theirs[k].remove(); });
  for (const name of copy.getAttributeNames()) copy.removeAttribute(name);
  const colors = getComputedStyle(document.documentElement), color = (name) => colors.getPropertyValue(name).trim();
  const caption = [clip(printable(data.title), 120), ...sayings()].flatMap((text) => broken(text, (width - 480) / 58));
  const more = 260 + 150 * caption.length;
  for (const [name, value] of Object.entries({ xmlns: SVG, viewBox: [x, y, width, height + more].map((n) => round(n, 1)).join(" "),
    width: round(width / data.scale, 1), height: round((height + more) / data.scale, 1), role: "img" })) copy.setAttribute(name, value);
  copy.prepend(mark("title", {}, clip(printable(data.title), 300)), mark("desc", {}, caption.join(". ")),
    mark("rect", { x, y, width, height: height + more, fill: color("--paper") }));
  caption.forEach((text, k) => copy.append(mark("text", { x: x + 240, y: y + height + 190 + 150 * k, "font-size": k ? 105 : 130,
    "font-weight": k ? 400 : 700, "font-family": "Liberation Sans, Arial, Helvetica, sans-serif", fill: color("--ink") }, text)));
  lightUp(state.edge ? itemsOf(state.edge) : [], null);
  return printable(new XMLSerializer().serializeToString(copy));
}

/** A color as every reader of SVG knows it. */
function plain(value) {
  const parts = value.match(/^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)/);
  return parts ? `rgb(${parts.slice(1).map((part) => Math.round(255 * Number(part))).join(", ")})` : value;
}

/** Without the characters that XML cannot hold. */
const printable = (text) => text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, " ");

/** A text in lines of at most so many characters, between words. */
function broken(text, most) {
  const listed = [""];
  for (const word of text.split(" ")) {
    const last = listed[listed.length - 1];
    if (last && last.length + word.length >= most) listed.push(word);
    else listed[listed.length - 1] = last ? `${last} ${word}` : word;
  }
  return listed;
}

/** What is shown, in short sentences. */
function sayings() {
  const listed = [];
  if (now.metric !== undefined) {
    const difference = now.mode === "difference", signs = difference ? signsOf(now.view, 40) : null;
    listed.push(`${quantity()} on ${clip(printable(now.metric), 80)}` +
      (now.pair ? `: ${clip(printable(now.view.label), 160)}` : ""),
    printable(difference ? `blue: ${signs.positive}; orange dashes: ${signs.negative}` :
      "blue: patching raises it; orange dashes: patching lowers it") + "; grey dots: the interval contains 0",
    ...(difference ? [printable(signs.note)] : []),
    `width ∝ √|${difference ? "difference" : "effect"}|, widest ${number(now.widest, now.digits)}`);
  }
  const letters = lettersShown().map(([letter, text]) => `${letter} = ${text}`);
  if (letters.length) listed.push(printable(letters.join("; ")));
  listed.push(byId("shown").textContent);
  return listed;
}

byId("save-svg").addEventListener("click", () => save(fileName("svg"), "image/svg+xml", standalone()));

byId("save-png").addEventListener("click", async () => {
  const text = standalone();
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  const scale = Math.min(2, 16000 / image.naturalWidth, 16000 / image.naturalHeight);
  const canvas = make("canvas", { width: Math.round(image.naturalWidth * scale), height: Math.round(image.naturalHeight * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((blob) => save(fileName("png"), "image/png", blob), "image/png");
});

/** A cell of a CSV file. Text that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = /^[\s\u0000-\u001f]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const DESCRIBED = ["id", "kind", "label", "sender", "sender_position", "receiver", "receiver_position", "path", "base", "source"];

/** Columns of edges.parquet that are called otherwise where they are of a difference, as in the table of `compare`. */
const OF_DIFFERENCE = { effect: "difference", normalized_effect: "normalized_difference" };

/** The columns of edges.parquet, in its order; of a difference those of both sides beside it. */
function rowOf(i) {
  const row = {}, sides = now.view.sides || [];
  for (const name of DESCRIBED)
    row[name] = name === "id" ? now.items.id[i] : name === "label" ? now.item("label", i) || now.item("arrow", i) :
      ["path", "base", "source"].includes(name) ? settingOf(name, i) : now.item(name, i);
  row.metric = now.metric ?? null;
  row.quantity = quantity();
  for (const name of data.columns) row[(sides.length && OF_DIFFERENCE[name]) || name] = now.get(name, i);
  sides.forEach((side, k) => { row["ab"[k]] = at(side.effect, i); });
  sides.forEach((side, k) => { row[`experiments_${"ab"[k]}`] = at(side.experiments, i); });
  return row;
}

byId("save-csv").addEventListener("click", () => {
  const rows = tableOrder.map(rowOf);
  const names = rows.length ? Object.keys(rows[0]) : [...DESCRIBED, "metric", "quantity", ...data.columns];
  const text = [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(",")).join("\r\n");
  save(fileName("csv"), "text/csv;charset=utf-8", `${text}\r\n`);
});

byId("save-json").addEventListener("click", () => {
  const shown = Object.fromEntries(Object.entries(state).filter(([name]) => name !== "theme"));
  const content = { title: data.title, runs: data.runs, view: now.view.label, metric: now.metric ?? null, quantity: quantity(),
    shown: { ...shown, said: byId("shown").textContent }, rows: tableOrder.map(rowOf) };
  save(fileName("json"), "application/json", `${JSON.stringify(content, null, 1)}\n`);
});
