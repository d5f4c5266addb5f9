// The traffic: a plot of the requests of each second against the limit, the bucket and the counts.

import { byId } from "./dom.js";
import { number, t } from "./texts.js";

const SECONDS = 120; // the width of the plot
const MARGIN_SECONDS = 5; // kept beyond the left edge
const WIDTH = 600; // in units of the SVG, as in index.html
const HEIGHT = 120;
const SVG = "http://www.w3.org/2000/svg";
const seen = new Map(); // second -> [requests, refused]

export function clear() {
  seen.clear();
}

export function draw({ now, seconds, limits, levels, calls }) {
  for (const [second, requests, refused] of seconds) seen.set(second, [requests, refused]);
  for (const second of seen.keys()) if (second < now - SECONDS - MARGIN_SECONDS) seen.delete(second);
  const { per_s: perSecond, burst } = limits.standard;
  drawBars(now, perSecond);
  showBucket(levels, burst, perSecond);
  showCounts(calls);
}

function drawBars(now, perSecond) {
  const counts = [...seen.values()].map(([requests]) => requests);
  const most = Math.max(...counts, (perSecond ?? 1) * 1.6, 3); // room above the limit, and at least for three requests
  const scale = HEIGHT / (most * 1.06); // the highest bar ends below the upper edge
  const width = WIDTH / SECONDS;
  const shapes = [];
  for (const [second, [requests, refused]] of seen) {
    const x = WIDTH - (now - second + 1) * width;
    shapes.push(rect("served", x, HEIGHT - requests * scale, width, (requests - refused) * scale));
    if (refused) shapes.push(rect("refused", x, HEIGHT - refused * scale, width, refused * scale));
  }
  if (perSecond) shapes.push(line(HEIGHT - perSecond * scale));
  byId("plot").replaceChildren(...shapes);
}

// A bar, with a gap before the next one.
function rect(kind, x, y, width, height) {
  return shape("rect", { class: kind, x, y, width: width * 0.78, height });
}

function line(y) {
  return shape("line", { class: "limit", x1: 0, x2: WIDTH, y1: y, y2: y });
}

function shape(tag, attributes) {
  const created = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  return created;
}

function showBucket(levels, burst, perSecond) {
  const standard = Object.entries(levels).filter(([key]) => key.endsWith(" standard"));
  const level = Math.max(0, ...standard.map(([, value]) => value));
  const meter = byId("bucket");
  meter.max = burst;
  meter.low = burst * 0.7; // the meter's color changes at these levels
  meter.high = burst * 0.92;
  meter.value = level;
  byId("level").textContent = `${level.toFixed(1)} / ${burst}`;
  byId("limit").textContent = perSecond ? `${perSecond}/${t("s")}` : t("none");
}

function showCounts(calls) {
  for (const [name, value] of Object.entries(calls)) {
    const shown = byId(name);
    shown.textContent = number(value);
    shown.classList.toggle("some", value > 0);
  }
}
