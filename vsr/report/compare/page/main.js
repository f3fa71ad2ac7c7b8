"use strict";
/* Buttons, keys, pointer and playback; all of them change `state` and call `update` or `goTo`. */

const KEYS = {
  "← →": "frame before, next frame",
  "Page up, down": "ten frames",
  "Home, End": "first, last frame",
  "Space": "play or pause",
  "S G B D": "slider, grid, blink, difference",
  "1 to 9": "right panel; with Shift the left one",
  "X": "exchange left and right",
  ", .": "move the slider",
  "+ − 0": "larger, smaller, whole image",
  "R": "zoom to where the panels differ most, and back",
  "M": "mark that place, or not",
  "Shift and arrows": "move the magnifier by a pixel",
  "L": "lock the magnifier in its place",
  "[ ]": "gain of the difference",
  "T": "light or dark",
  "?": "these keys",
};
const by = (id) => document.getElementById(id);

/** Applies the state to everything but the pixels of the frames. */
function update() {
  layOut();
  drawDifference();
  for (const button of by("modes").children) {
    button.setAttribute("aria-checked", String(button.dataset.mode === state.mode));
  }
  by("left").value = state.left;
  by("right").value = state.right;
  by("left-swatch").style.background = panelColor(state.left);
  by("right-swatch").style.background = panelColor(state.right);
  by("gain").value = state.gain;
  by("gain-value").textContent = `× ${state.gain}`;
  by("zoom-value").textContent = `${Math.round(scale() * window.devicePixelRatio * 100)} %`;
  const { moment } = positions[state.position];
  by("frame").value = state.position;
  by("time").textContent =
    `frame ${moment + 1} of ${facts.times.length}, ${facts.times[moment].toFixed(3)} s`;
  by("play").textContent = state.playing ? "❚❚" : "▶";
  markMoment(moment);
  drawLoupe();
}

let wanted = null;
let drawing = null;
let asked = 0; // the last position that was asked for, which may not be drawn yet

/** Shows a position. While one is drawn, only the last that is asked for waits. */
function goTo(position) {
  asked = Math.min(Math.max(0, position), positions.length - 1);
  wanted = asked;
  drawing = drawing || drawWanted().finally(() => { drawing = null; });
  return drawing;
}

async function drawWanted() {
  while (wanted !== null) {
    const position = wanted;
    wanted = null;
    try {
      await Promise.all(views.map((each, panel) => drawPanel(each.canvas, panel, position)));
    } catch (error) {
      by("trouble").hidden = false;
      by("trouble").textContent = error.message;
      state.playing = false;
    }
    state.position = position;
    update();
  }
  document.body.dataset.drawn = state.position;
}

/** Goes to the position that is nearest to a moment. */
function goToMoment(moment) {
  let nearest = 0;
  positions.forEach((each, i) => {
    if (Math.abs(each.moment - moment) < Math.abs(positions[nearest].moment - moment)) nearest = i;
  });
  goTo(nearest);
}

async function play() {
  state.playing = !state.playing && positions.length > 1;
  update();
  while (state.playing) {
    const next = (state.position + 1) % positions.length;
    const seconds = facts.times[positions[next].moment] - facts.times[positions[state.position].moment];
    const pause = new Promise((done) => { setTimeout(done, seconds > 0 ? seconds * 1000 : 500); });
    await Promise.all([goTo(next), pause]);
  }
}

function setMode(mode) {
  state.mode = mode;
  state.blinkedRight = false;
  update();
}

function setPanel(side, panel) {
  if (panel >= facts.panels.length) return;
  state[side] = panel;
  update();
}

function setTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

function showKeys() {
  by("keys").hidden = !by("keys").hidden;
  by("help").setAttribute("aria-expanded", String(!by("keys").hidden));
}

function moveSplit(by) {
  state.split = Math.min(Math.max(0, state.split + by), 1);
  update();
}

function setGain(gain) {
  state.gain = Math.min(Math.max(1, gain), 16);
  update();
}

function nudgeLoupe(x, y) {
  loupe.locked = true;
  moveLoupe(loupe.x + x, loupe.y + y);
}

const ON_KEY = {
  ArrowLeft: () => goTo(asked - 1),
  ArrowRight: () => goTo(asked + 1),
  PageUp: () => goTo(asked - 10),
  PageDown: () => goTo(asked + 10),
  Home: () => goTo(0),
  End: () => goTo(positions.length - 1),
  " ": play,
  x: () => { [state.left, state.right] = [state.right, state.left]; update(); },
  ",": () => moveSplit(-0.02),
  ".": () => moveSplit(0.02),
  "+": () => zoomBy(1),
  "=": () => zoomBy(1),
  "-": () => zoomBy(-1),
  0: () => zoomTo(0),
  r: zoomToRegion,
  m: () => { state.marked = !state.marked; layOut(); },
  l: () => { loupe.locked = !loupe.locked; drawLoupe(); },
  "[": () => setGain(state.gain - 1),
  "]": () => setGain(state.gain + 1),
  t: setTheme,
  "?": showKeys,
  ...Object.fromEntries(Object.entries(MODES).map(([mode, { key }]) => [key, () => setMode(mode)])),
};
const LOUPE_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("select, input, textarea");
  const digit = /^Digit([1-9])$/.exec(event.code);
  let action = ON_KEY[event.key] || ON_KEY[event.key.toLowerCase()];
  if (digit) action = () => setPanel(event.shiftKey ? "left" : "right", Number(digit[1]) - 1);
  if (event.shiftKey && LOUPE_KEYS[event.key]) action = () => nudgeLoupe(...LOUPE_KEYS[event.key]);
  else if (typing && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End")) return;
  if (event.key === " " && event.target.matches("button, select")) return;
  if (!action) return;
  event.preventDefault();
  action();
}

let drag = null;

function onPointerDown(event) {
  const pixel = pixelUnder(event);
  const onDivider = event.target === divider || (state.mode === "slider" && !state.zoom);
  if (!pixel && event.target !== divider) return;
  stage.setPointerCapture(event.pointerId);
  drag = { split: state.mode === "slider" && onDivider, x: event.clientX, y: event.clientY };
  onPointerMove(event);
}

function onPointerMove(event) {
  if (drag && drag.split) {
    const box = views[state.left].crop.getBoundingClientRect();
    state.split = Math.min(Math.max(0, (event.clientX - box.left) / box.width), 1);
    layOut();
  } else if (drag) {
    state.x -= (event.clientX - drag.x) / scaleAcross();
    state.y -= (event.clientY - drag.y) / scale();
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    layOut();
  }
  const pixel = pixelUnder(event);
  if (pixel && !loupe.locked) moveLoupe(pixel.x, pixel.y);
}

function onWheel(event) {
  if (!event.ctrlKey && !state.zoom && event.deltaY > 0) return; // the page scrolls
  const pixel = pixelUnder(event);
  if (!pixel) return;
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1 : -1, pixel);
}

function connect() {
  for (const [mode, { label, key }] of Object.entries(MODES)) {
    const button = element("button", { type: "button", textContent: label, title: `${label} (${key.toUpperCase()})` });
    button.setAttribute("role", "radio");
    button.dataset.mode = mode;
    button.addEventListener("click", () => setMode(mode));
    by("modes").append(button);
  }
  for (const side of ["left", "right"]) {
    by(side).append(...facts.panels.map((panel, i) => element("option", { value: i, textContent: panel.name })));
    by(side).addEventListener("change", (event) => setPanel(side, Number(event.target.value)));
  }
  for (const [keys, meaning] of Object.entries(KEYS)) {
    by("key-list").append(element("div", {},
      element("dt", { textContent: keys }), element("dd", { textContent: meaning })));
  }
  by("gain").addEventListener("input", (event) => setGain(Number(event.target.value)));
  by("zoom-in").addEventListener("click", () => zoomBy(1));
  by("zoom-out").addEventListener("click", () => zoomBy(-1));
  by("zoom-fit").addEventListener("click", () => zoomTo(0));
  by("zoom-region").addEventListener("click", zoomToRegion);
  by("play").addEventListener("click", play);
  by("previous").addEventListener("click", () => goTo(asked - 1));
  by("next").addEventListener("click", () => goTo(asked + 1));
  by("frame").max = positions.length - 1;
  by("frame").addEventListener("input", (event) => goTo(Number(event.target.value)));
  by("theme").addEventListener("click", setTheme);
  by("help").addEventListener("click", showKeys);
  document.addEventListener("keydown", onKey);
  stage.addEventListener("pointerdown", onPointerDown);
  stage.addEventListener("pointermove", onPointerMove);
  stage.addEventListener("pointerup", () => { drag = null; });
  stage.addEventListener("dblclick", () => { loupe.locked = !loupe.locked; drawLoupe(); });
  stage.addEventListener("wheel", onWheel, { passive: false });
  window.addEventListener("resize", layOut);
  setInterval(() => {
    if (state.mode !== "blink") return;
    state.blinkedRight = !state.blinkedRight;
    layOut();
  }, BLINK_MILLISECONDS);
}

function start() {
  by("title").textContent = document.title;
  const frames = facts.times.length === 1 ? "One image"
    : `${facts.times.length} frames, ${facts.times[0].toFixed(2)} to ${facts.times.at(-1).toFixed(2)} s`;
  by("summary").textContent = `${frames}, ${facts.width}x${facts.height}`;
  document.body.classList.toggle("single", facts.times.length === 1);
  document.body.classList.toggle("unmeasured", facts.scores.length === 0);
  legend();
  if (facts.times.length > 1) facts.scores.forEach(plot);
  totals();
  howItWasMade();
  connect();
  goTo(0);
}

start();
