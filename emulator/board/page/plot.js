// Requests second by second against the limit.

import { byId } from "./dom.js";
import { number, t } from "./texts.js";

const SECONDS = 120;
const WIDTH = 600;
const HEIGHT = 120;
const SVG = "http://www.w3.org/2000/svg";
const seen = new Map(); // second -> [requests, refused]

export function clear() {
  seen.clear();
}

export function draw({ now, seconds, limits, levels, calls }) {
  for (const [second, requests, refused] of seconds) seen.set(second, [requests, refused]);
  for (const second of seen.keys()) if (second < now - SECONDS - 5) seen.delete(second);
  const { per_s: perSecond, burst } = limits.standard;
  bars(now, perSecond);
  gauge(levels, burst, perSecond);
  figures(calls);
}

function bars(now, perSecond) {
  const most = Math.max(...[...seen.values()].map(([requests]) => requests), (perSecond ?? 1) * 1.6, 3);
  const scale = HEIGHT / (most * 1.06);
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

function rect(kind, x, y, width, height) {
  return shape("rect", { class: kind, x, y, width: width * 0.78, height });
}

function line(y) {
  return shape("line", { class: "limit", x1: 0, x2: WIDTH, y1: y, y2: y });
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function gauge(levels, burst, perSecond) {
  const standard = Object.entries(levels).filter(([key]) => key.endsWith(" standard"));
  const level = Math.max(0, ...standard.map(([, value]) => value));
  const meter = byId("bucket");
  meter.max = burst;
  meter.low = burst * 0.7;
  meter.high = burst * 0.92;
  meter.value = level;
  byId("level").textContent = `${level.toFixed(1)} / ${burst}`;
  byId("limit").textContent = perSecond ? `${perSecond}/${t("s")}` : t("none");
}

function figures(calls) {
  for (const [name, value] of Object.entries(calls)) {
    const shown = byId(name);
    shown.textContent = number(value);
    shown.classList.toggle("some", value > 0);
  }
}
