"use strict";
/* Plots of every frame, the table of means, and how the page was made. All texts are inserted as text. */

const SVG = "http://www.w3.org/2000/svg";
const PLOT = { width: 1000, height: 150 };
const plots = [];

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function number(value, digits = 3) {
  return value === null ? "–" : value.toLocaleString("en", { maximumSignificantDigits: Math.max(digits, 3) });
}

/** Digits that tell values of a score apart: 34.56 dB, 0.9123. */
function figure(score, value) {
  if (value === null) return "–";
  return value.toFixed(score.unit ? 2 : 4); // SSIM and LPIPS have no unit
}

function across(moment) {
  return facts.times.length > 1 ? (moment / (facts.times.length - 1)) * PLOT.width : 0;
}

/** The points of a curve, with a new line after each gap. */
function path(values, low, high) {
  let pen = "M";
  let text = "";
  values.forEach((value, moment) => {
    if (value === null) { pen = "M"; return; }
    const y = PLOT.height - ((value - low) / (high - low)) * PLOT.height;
    text += `${pen}${across(moment).toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return text;
}

function plot(score) {
  const known = score.values.flat().filter((value) => value !== null);
  if (!known.length) return;
  let low = known.reduce((a, b) => Math.min(a, b));
  let high = known.reduce((a, b) => Math.max(a, b));
  if (high - low < 1e-6) { low -= 0.5; high += 0.5; }
  const drawing = svg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, preserveAspectRatio: "none",
    role: "img", "aria-label": `${score.name} of each frame` });
  for (const y of [0, PLOT.height / 2, PLOT.height]) {
    drawing.append(svg("line", { class: "grid", x1: 0, x2: PLOT.width, y1: y, y2: y }));
  }
  score.values.forEach((values, panel) => {
    const curve = svg("path", { class: "curve", d: path(values, low, high) });
    curve.style.stroke = panelColor(panel);
    drawing.append(curve);
  });
  const now = svg("line", { class: "now", y1: 0, y2: PLOT.height });
  drawing.append(now);
  const seek = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = drawing.getBoundingClientRect();
    goToMoment(Math.round(((event.clientX - box.left) / box.width) * (facts.times.length - 1)));
  };
  drawing.addEventListener("pointerdown", seek);
  drawing.addEventListener("pointermove", seek);
  const value = element("span");
  const unit = score.unit ? `, ${score.unit}` : "";
  document.getElementById("plots").append(element("div", { className: "plot", title: score.meaning },
    element("h3", { textContent: `${score.name}${unit}` }, value), drawing,
    element("div", { className: "scale" },
      element("span", { textContent: `${figure(score, low)} to ${figure(score, high)}` }),
      element("span", { textContent: `${facts.times[0].toFixed(2)} to ${facts.times.at(-1).toFixed(2)} s` }))));
  plots.push({ score, now, value });
}

/** Marks a moment in all plots. */
function markMoment(moment) {
  for (const { score, now, value } of plots) {
    now.setAttribute("x1", across(moment));
    now.setAttribute("x2", across(moment));
    value.textContent = score.values.map((values) => figure(score, values[moment])).join("   ");
  }
}

function legend() {
  facts.panels.forEach((panel, i) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = panelColor(i);
    document.getElementById("legend").append(element("li", {}, swatch, panel.name));
  });
}

function row(cells, tag = "td") {
  return element("tr", {}, ...cells.map((cell) =>
    cell instanceof Node ? element(tag, {}, cell) : element(tag, { textContent: cell })));
}

/** The index of the best value, or -1. */
function best(score) {
  if (!score.better) return -1;
  const known = score.totals.filter((value) => value !== null);
  const wanted = score.better === "higher" ? Math.max(...known) : Math.min(...known);
  return known.length > 1 ? score.totals.indexOf(wanted) : -1;
}

function totals() {
  const table = document.getElementById("totals");
  const arrows = { higher: " ↑", lower: " ↓", "": "" };
  table.append(row(["", ...facts.scores.map((score) =>
    `${score.name}${score.unit ? `, ${score.unit}` : ""}${arrows[score.better]}`)], "th"));
  facts.panels.forEach((panel, i) => {
    const line = row([panel.name, ...facts.scores.map((score) => figure(score, score.totals[i]))]);
    facts.scores.forEach((score, column) => {
      if (best(score) === i) line.children[column + 1].className = "best";
    });
    table.append(line);
  });
  if (facts.scores.some((score) => score.better)) {
    document.getElementById("meanings").append(
      element("dt", { textContent: "↑ ↓" }),
      element("dd", { textContent: "higher or lower is better; the best value is bold" }));
  }
  for (const score of facts.scores) {
    document.getElementById("meanings").append(
      element("dt", { textContent: score.name }), element("dd", { textContent: score.meaning }));
  }
}

function howItWasMade() {
  for (const note of facts.notes) document.getElementById("notes").append(element("li", { textContent: note }));
  const files = document.getElementById("files");
  files.append(row(["File", "Content", "Size", "SHA-256"], "th"));
  for (const file of facts.files) {
    files.append(row([
      file.name, file.what, `${number(file.bytes / 1e6)} MB`, element("code", { textContent: file.sha256 }),
    ]));
  }
  for (const [name, value] of Object.entries(facts.made)) {
    if (value) {
      document.getElementById("made").append(
        element("dt", { textContent: name }), element("dd", { textContent: value }));
    }
  }
}
