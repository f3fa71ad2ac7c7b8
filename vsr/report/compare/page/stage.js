"use strict";
/* The frames: one canvas for each panel in the image's own pixels, which styles enlarge, cover and hide. */

const MODES = {
  slider: { label: "Slider", key: "s" },
  grid: { label: "Grid", key: "g" },
  blink: { label: "Blink", key: "b" },
  difference: { label: "Difference", key: "d" },
};
const ZOOMS = [1, 2, 3, 4, 6, 8, 12, 16];
const BLINK_MILLISECONDS = 500;

const stage = document.getElementById("stage");
const state = {
  mode: "slider",
  position: 0,
  left: 0,
  right: facts.panels.findIndex((panel, i) => i > 0 && !panel.reference) > 0
    ? facts.panels.findIndex((panel, i) => i > 0 && !panel.reference) : facts.panels.length - 1,
  split: 0.5,
  zoom: 0, // screen pixels for each pixel; 0 fits the whole image
  x: 0, // the image's pixel in the upper left corner
  y: 0,
  gain: 4,
  marked: facts.marked,
  blinkedRight: false,
  playing: false,
};

function element(name, options = {}, ...children) {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
}

function panelColor(panel) {
  return `var(--p${panel % 9})`;
}

/** A figure with a canvas of the panels' size, and the mark of the region on it. */
function view(caption) {
  const canvas = element("canvas", { width: facts.width, height: facts.height });
  const mark = element("div", { className: "mark" });
  const figure = element("figure", {},
    element("div", { className: "crop" }, canvas, mark), element("figcaption", { textContent: caption }));
  stage.append(figure);
  return { figure, canvas, mark, crop: figure.firstChild, caption: figure.lastChild };
}

const views = facts.panels.map((panel) => view(panel.name));
const differenceView = view("");
const divider = element("div", { id: "divider" });
stage.append(divider);

/** Which views a mode shows, from left to right. */
function shownViews() {
  if (state.mode === "grid") return views;
  if (state.mode === "difference") return [differenceView];
  if (state.mode === "blink") return [views[state.blinkedRight ? state.right : state.left]];
  return [views[state.left], views[state.right]];
}

function columns() {
  const count = state.mode === "grid" ? facts.panels.length : 1;
  return count <= 3 ? count : Math.ceil(count / 2);
}

/** Width and height of a view in CSS pixels: the image's shape, as wide as the column, no taller than the window. */
function viewSize() {
  const gaps = 8 * (columns() - 1);
  const room = (stage.clientWidth - gaps) / columns();
  const rows = state.mode === "grid" ? Math.ceil(facts.panels.length / columns()) : 1;
  const tallest = Math.max(160, (window.innerHeight * (rows > 1 ? 0.9 : 0.72)) / rows);
  const largest = Math.max(facts.width, 480) * 4;
  const shape = (facts.width * facts.pixel) / facts.height;
  const width = Math.floor(Math.min(room, tallest * shape, largest));
  return { width, height: Math.round(width / shape) };
}

/** CSS pixels for the height of each pixel of the image. */
function scale() {
  return state.zoom ? state.zoom / window.devicePixelRatio : viewSize().width / facts.width / facts.pixel;
}

/** CSS pixels for its width, which differs where pixels are no squares. */
function scaleAcross() {
  return scale() * facts.pixel;
}

/** Keeps the visible part inside the image. */
function clampCorner() {
  const { width, height } = viewSize();
  state.x = Math.min(Math.max(0, state.x), Math.max(0, facts.width - width / scaleAcross()));
  state.y = Math.min(Math.max(0, state.y), Math.max(0, facts.height - height / scale()));
}

/** Applies the state to the views; the canvases keep their pixels. */
function layOut() {
  clampCorner();
  const { width, height } = viewSize();
  const factor = scale();
  const wide = scaleAcross();
  const shown = shownViews();
  document.body.dataset.mode = state.mode;
  stage.style.gridTemplateColumns = `repeat(${columns()}, ${width}px)`;
  for (const [panel, each] of [...views, differenceView].entries()) {
    each.figure.classList.toggle("on", shown.includes(each));
    each.figure.classList.toggle("right", panel === state.right && state.left !== state.right);
    each.crop.style.width = `${width}px`;
    each.crop.style.height = `${height}px`;
    each.canvas.style.width = `${facts.width * wide}px`;
    each.canvas.style.height = `${facts.height * factor}px`;
    each.canvas.style.transform = `translate(${-state.x * wide}px, ${-state.y * factor}px)`;
    placeMark(each.mark, wide, factor);
    each.canvas.style.imageRendering = factor * window.devicePixelRatio >= 1 ? "pixelated" : "auto";
    each.crop.style.clipPath = "";
    each.figure.style.zIndex = "";
  }
  if (state.mode === "slider") {
    views[state.right].crop.style.clipPath = `inset(0 0 0 ${state.split * 100}%)`;
    views[state.right].figure.style.zIndex = 1;
    const crop = views[state.left].crop;
    divider.style.left = `${crop.offsetLeft + views[state.left].figure.offsetLeft + state.split * width}px`;
  }
  differenceView.caption.textContent =
    `${facts.panels[state.left].name} − ${facts.panels[state.right].name}, times ${state.gain}, grey is equal`;
}

/** Lays the mark over the region, which is what to look at. */
function placeMark(mark, wide, factor) {
  mark.style.display = state.marked && facts.region ? "block" : "none";
  if (!facts.region) return;
  const [left, top, width, height] = facts.region;
  mark.style.left = `${(left - state.x) * wide}px`;
  mark.style.top = `${(top - state.y) * factor}px`;
  mark.style.width = `${width * wide}px`;
  mark.style.height = `${height * factor}px`;
}

/** Zooms so that the region fills the view, or back to the whole image. */
function zoomToRegion() {
  if (!facts.region) return;
  if (state.zoom) { zoomTo(0); return; }
  const [left, top, width, height] = facts.region;
  const view = viewSize();
  const fitting = Math.min(view.width / (width * facts.pixel), view.height / height) * window.devicePixelRatio;
  state.zoom = ZOOMS.findLast((zoom) => zoom <= fitting) || ZOOMS[0];
  state.x = left + width / 2 - view.width / scaleAcross() / 2;
  state.y = top + height / 2 - view.height / scale() / 2;
  update();
}

/** Draws 128 + gain * (left - right) of each channel. */
function drawDifference() {
  if (state.mode !== "difference") return;
  const [left, right] = [state.left, state.right].map((panel) =>
    views[panel].canvas.getContext("2d").getImageData(0, 0, facts.width, facts.height).data);
  const image = new ImageData(facts.width, facts.height);
  for (let i = 0; i < image.data.length; i += 4) {
    for (let channel = i; channel < i + 3; channel += 1) {
      image.data[channel] = 128 + state.gain * (left[channel] - right[channel]);
    }
    image.data[i + 3] = 255;
  }
  differenceView.canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The pixel of the image under the pointer, or null outside. */
function pixelUnder(event) {
  const shown = shownViews().find((each) => {
    const box = each.crop.getBoundingClientRect();
    return event.clientX >= box.left && event.clientX < box.right
      && event.clientY >= box.top && event.clientY < box.bottom;
  });
  if (!shown) return null;
  const box = shown.crop.getBoundingClientRect();
  const x = state.x + (event.clientX - box.left) / scaleAcross();
  const y = state.y + (event.clientY - box.top) / scale();
  return { x: Math.floor(x), y: Math.floor(y), share: (event.clientX - box.left) / box.width };
}

/** Changes the zoom and keeps a point of the image in its place. */
function zoomTo(zoom, around) {
  const { width, height } = viewSize();
  const at = around || { x: state.x + width / scaleAcross() / 2, y: state.y + height / scale() / 2 };
  const across = (at.x - state.x) * scaleAcross();
  const down = (at.y - state.y) * scale();
  state.zoom = zoom;
  state.x = at.x - across / scaleAcross();
  state.y = at.y - down / scale();
  update();
}

/** The next larger (1) or smaller (-1) zoom; below the smallest the whole image. */
function zoomBy(direction, around) {
  const now = scale() * window.devicePixelRatio;
  const other = direction > 0 ? ZOOMS.find((zoom) => zoom > now + 0.01)
    : ZOOMS.findLast((zoom) => zoom < now - 0.01);
  const fit = (viewSize().width / facts.width / facts.pixel) * window.devicePixelRatio;
  if (direction > 0) zoomTo(other || ZOOMS.at(-1), around);
  else zoomTo(other && other > fit ? other : 0, around);
}
