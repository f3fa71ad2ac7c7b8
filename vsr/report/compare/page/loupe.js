"use strict";
/* The magnifier: the same pixels of all panels, each as a square of whole screen pixels, with their values. */

const LOUPE_SIDE = 25; // pixels of the image, odd, so that one is in the middle
const LOUPE_ZOOM = 9; // screen pixels for each
const [regionLeft, regionTop, regionWidth, regionHeight] = facts.region || [0, 0, facts.width, facts.height];
const loupe = {
  x: regionLeft + Math.floor(regionWidth / 2), y: regionTop + Math.floor(regionHeight / 2), locked: false,
};

const loupeViews = facts.panels.map((panel, i) => {
  const canvas = element("canvas", { width: LOUPE_SIDE * LOUPE_ZOOM, height: LOUPE_SIDE * LOUPE_ZOOM });
  const swatch = element("span", { className: "swatch" });
  swatch.style.background = panelColor(i);
  const value = element("span", { className: "value" });
  const name = element("span", { className: "name", title: panel.name }, swatch, ` ${panel.name}`);
  document.getElementById("loupe-views").append(
    element("figure", {}, canvas, element("figcaption", {}, name, value)));
  return { canvas, value };
});

/** Moves the magnifier to a pixel of the image. */
function moveLoupe(x, y) {
  loupe.x = Math.min(Math.max(0, x), facts.width - 1);
  loupe.y = Math.min(Math.max(0, y), facts.height - 1);
  drawLoupe();
}

function drawLoupe() {
  const half = (LOUPE_SIDE - 1) / 2;
  document.getElementById("loupe-place").textContent =
    `x ${loupe.x}, y ${loupe.y}${loupe.locked ? ", locked" : ""}`;
  loupeViews.forEach(({ canvas, value }, panel) => {
    const context = canvas.getContext("2d");
    const source = views[panel].canvas;
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(source, loupe.x - half, loupe.y - half, LOUPE_SIDE, LOUPE_SIDE, 0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#fff";
    context.strokeRect(half * LOUPE_ZOOM - 0.5, half * LOUPE_ZOOM - 0.5, LOUPE_ZOOM + 1, LOUPE_ZOOM + 1);
    context.strokeStyle = "#000";
    context.strokeRect(half * LOUPE_ZOOM - 1.5, half * LOUPE_ZOOM - 1.5, LOUPE_ZOOM + 3, LOUPE_ZOOM + 3);
    const [red, green, blue] = source.getContext("2d").getImageData(loupe.x, loupe.y, 1, 1).data;
    value.textContent = `R ${red}  G ${green}  B ${blue}`;
  });
}
