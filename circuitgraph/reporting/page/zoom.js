// Pan and zoom: the part of the frame that the picture shows, by wheel, drag, pinch, buttons and keys.
let box = null; // [x, y, width, height] of what is shown, in the scene's units
let moved = false;
const pointers = new Map();

const frame = () => (now && now.sheet.scene ? now.sheet.scene.frame : [0, 0, 1000, 1000]);
const dragged = () => moved;

/** The whole frame, with the picture's shape. */
function whole_frame() {
  const [x, y, width, height] = frame();
  const { clientWidth, clientHeight } = drawing;
  const shape = (clientWidth || 1000) / (clientHeight || 800);
  const least = (clientWidth || 1000) * data.scale / 1.7; // small graphs are not blown up
  const w = Math.max(width, height * shape, least), h = w / shape;
  return [x - (w - width) / 2, y - (h - height) / 2, w, h];
}

/** As high as the whole frame needs at this width, within the screen. */
function fitHeight() {
  const [, , width, height] = frame();
  const pixels = Math.min((drawing.clientWidth || 1000) / width, 1.7 / data.scale);
  const most = innerWidth > 900 ? Math.max(0.8 * innerHeight, 560) : 0.72 * innerHeight;
  drawing.style.height = `${Math.round(Math.min(Math.max(height * pixels, 220), most))}px`;
}

function showBox(next, keep = true) {
  const all = whole_frame();
  const scale = Math.min(Math.max(next[2], all[2] / 40), all[2]) / next[2];
  const [w, h] = [next[2] * scale, next[2] * scale * all[3] / all[2]];
  const fitted = w >= all[2] * 0.999;
  const [fx, fy, fw, fh] = frame();
  const cx = Math.min(Math.max(next[0] + next[2] / 2, fx), fx + fw);
  const cy = Math.min(Math.max(next[1] + next[3] / 2, fy), fy + fh);
  box = fitted ? all : [cx - w / 2, cy - h / 2, w, h];
  drawing.setAttribute("viewBox", box.map((value) => round(value, 1)).join(" "));
  drawing.classList.toggle("zoomed", !fitted);
  if (!keep) return;
  clearTimeout(showBox.later);
  showBox.later = setTimeout(() => change({ view: fitted ? [] :
    [round(cx, 0), round(cy, 0), round(all[2] / w, 2)] }, true), 200);
}

/** What the state says: [middle x, middle y, how many times larger than the whole]. */
function showView() {
  fitHeight();
  const all = whole_frame();
  const [cx, cy, times] = state.view.length ? state.view : [all[0] + all[2] / 2, all[1] + all[3] / 2, 1];
  showBox([cx - all[2] / times / 2, cy - all[3] / times / 2, all[2] / times, all[3] / times], false);
}

function showAll() {
  showBox(whole_frame());
}

/** Larger by a factor; the point (x, y) of the screen stays where it is. */
function zoomBy(factor, x, y) {
  const area = drawing.getBoundingClientRect();
  const px = x === undefined ? 0.5 : (x - area.left) / area.width;
  const py = y === undefined ? 0.5 : (y - area.top) / area.height;
  const [w, h] = [box[2] / factor, box[3] / factor];
  showBox([box[0] + (box[2] - w) * px, box[1] + (box[3] - h) * py, w, h]);
}

byId("zoom-in").addEventListener("click", () => zoomBy(1.4));
byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.4));
byId("zoom-fit").addEventListener("click", showAll);

// The wheel scrolls the page until the graph has been clicked, or while Ctrl is held.
let awake = false;
document.addEventListener("pointerdown", (event) => { awake = byId("picture").contains(event.target); }, true);
drawing.addEventListener("wheel", (event) => {
  const wanted = event.ctrlKey || event.metaKey || awake || drawing.contains(document.activeElement);
  if (!wanted) return hint();
  if (event.deltaY > 0 && !drawing.classList.contains("zoomed")) return;
  event.preventDefault();
  zoomBy(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) / 400), event.clientX, event.clientY);
}, { passive: false });

function hint() {
  byId("hint").hidden = false;
  clearTimeout(hint.later);
  hint.later = setTimeout(() => { byId("hint").hidden = true; }, 1500);
}

drawing.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  if (pointers.size === 1) moved = false;
});

window.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const here = [event.clientX, event.clientY];
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
  if (!moved && !others.length && Math.hypot(here[0] - before[0], here[1] - before[1]) < 4) return;
  if (others.length) {
    const distance = (point) => Math.hypot(point[0] - others[0][0], point[1] - others[0][1]) || 1;
    zoomBy(distance(here) / distance(before), (here[0] + others[0][0]) / 2, (here[1] + others[0][1]) / 2);
  } else {
    const unit = box[2] / (drawing.clientWidth || 1);
    showBox([box[0] - (here[0] - before[0]) * unit, box[1] - (here[1] - before[1]) * unit, box[2], box[3]]);
  }
  moved = true;
  drawing.classList.add("dragged");
  pointers.set(event.pointerId, here);
});

for (const name of ["pointerup", "pointercancel"])
  window.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    if (!pointers.size) drawing.classList.remove("dragged");
  });

window.addEventListener("resize", () => { if (now) showView(); });
