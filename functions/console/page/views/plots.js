// Three SVG plots: outcomes and times of settled events, and requests to Bitrix24. Each shows the values of the
// slot under the pointer; the text above it says the same as the plot.

import { get } from "../api.js";
import { byId, setText, svgElement } from "../dom.js";
import { number, span, t, time } from "../texts/translate.js";

// In units of the SVG: its size, the margins for labels, and the plot between them.
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [600, 180, 66, 26, 22];
const [PLOT_WIDTH, PLOT_HEIGHT] = [WIDTH - LEFT, HEIGHT - BOTTOM - TOP];
const RANGES = ["1h", "24h", "7d"];
// Longer periods change slowly, and cost the ledger more.
const RELOAD_MS = 30000;
let range = "1h";
let longer = null; // the figures of a period longer than an hour
let loadedAt = 0;

export function enter(wanted) {
  range = RANGES.includes(wanted) ? wanted : "1h";
  longer = null;
  loadedAt = 0;
  for (const link of document.querySelectorAll("[data-range]")) {
    if (link.dataset.range === range) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

export async function show(status) {
  if (!status.rate.error && !status.portal.error) showRate(status.rate, status.portal.requests_left, new Date(status.now));
  if (range !== "1h" && Date.now() - loadedAt > RELOAD_MS) {
    loadedAt = Date.now();
    longer = await get("settled", { period: range });
  }
  const found = range === "1h" ? status.hour : longer;
  if (found && !found.error) showSettled(found, new Date(status.now));
}

// `sent`: requests by slot; `freePart`: how much of the burst is free, from 0 to 1.
function showRate({ limit_per_s: limit, burst, slot_s: slot, sent }, freePart, now) {
  const perSecond = sent.map((count) => count / slot);
  // The mean of three slots, without the newest one, which is still being filled.
  const recent = perSecond.slice(-4, -1).reduce((sum, count) => sum + count, 0) / 3;
  setText("rate-words", limit
    ? t("rateWords", { now: number(recent, 1), limit: number(limit, 1), burst, left: number(freePart * 100) })
    : t("rateFree", { now: number(recent, 1) }));
  const axis = scale(Math.max(limit * 1.2, ...perSecond, 0.5));
  const end = Math.floor(now / 1000 / slot) * slot + slot;
  const at = (index) => new Date((end - (sent.length - index) * slot) * 1000);
  const bars = perSecond.map((count, index) => bar(index, sent.length, 0, count / axis.most));
  if (limit) bars.push(svgElement("line", { class: "limit", x1: LEFT, x2: WIDTH, y1: y(limit / axis.most), y2: y(limit / axis.most) }));
  draw("rate", bars, axis.ticks.map((value) => [value / axis.most, number(value, 1)]), t("rateUnit"), at, sent.length,
    (index) => t("rateAt", { at: time(at(index)), n: number(perSecond[index], 1) }));
}

function showSettled(found, now) {
  const { slot_s: slot, length_s: length } = found;
  const slotCount = Math.round(length / slot);
  const first = Math.floor(now / 1000 / slot) - slotCount + 1;
  const at = (index) => new Date((first + index) * slot * 1000);
  const slots = new Map(found.slots.map((bucket) => [bucket.at_s / slot - first, bucket]).filter(([index]) => index >= 0));
  setText("settled-words", t("settledWords", { synced: number(found.synced), superseded: number(found.superseded), failed: number(found.failed), slot: span(slot) }));
  drawOutcomes(slots, slotCount, at, slot);
  setText("lead-words", found.median_s === null ? t("none") : t("leadWords", { median: span(found.median_s), p95: span(found.p95_s) }));
  drawTimes(new Map([...slots].filter(([, bucket]) => bucket.median_s !== null)), slotCount, at);
}

function drawOutcomes(slots, slotCount, at, slot) {
  const axis = scale(Math.max(1, ...[...slots.values()].map((bucket) => bucket.synced + bucket.superseded + bucket.failed)));
  const bars = [];
  for (const [index, bucket] of slots) {
    let below = 0;
    for (const kind of ["failed", "superseded", "synced"]) {
      if (bucket[kind]) bars.push(bar(index, slotCount, below / axis.most, bucket[kind] / axis.most, kind));
      below += bucket[kind];
    }
  }
  const none = { synced: 0, superseded: 0, failed: 0 };
  draw("settled", bars, axis.ticks.map((value) => [value / axis.most, number(value)]), t("settledUnit", { slot: span(slot) }), at, slotCount, (index) => {
    const { synced, superseded, failed } = slots.get(index) ?? none;
    return t("settledAt", { at: time(at(index)), synced: number(synced), superseded: number(superseded), failed: number(failed) });
  });
}

function drawTimes(slots, slotCount, at) {
  const axis = scale(Math.max(1, ...[...slots.values()].map((bucket) => bucket.p95_s)));
  const line = (kind, name) => {
    const points = [...slots].map(([index, bucket]) => `${x(index + 0.5, slotCount)},${y(bucket[name] / axis.most)}`);
    return svgElement("polyline", { class: kind, points: points.join(" ") });
  };
  // A line needs two points: one slot alone is a bar.
  const singleBar = [...(slots.size === 1 ? slots : [])].map(([index, bucket]) => bar(index, slotCount, 0, bucket.median_s / axis.most));
  const ticks = axis.ticks.map((value) => [value / axis.most, span(value)]);
  draw("lead", [line("slow", "p95_s"), line("usual", "median_s"), ...singleBar], ticks, t("leadUnit"), at, slotCount, (index) => {
    const bucket = slots.get(index);
    return bucket ? t("leadAt", { at: time(at(index)), median: span(bucket.median_s), p95: span(bucket.p95_s) }) : `${time(at(index))}: –`;
  });
}

// The ticks of an axis that reaches at least `most`: up to four steps of 1, 2 or 5 times a power of ten.
function scale(most) {
  const roughStep = most / 4;
  const power = 10 ** Math.floor(Math.log10(roughStep));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= roughStep);
  const stepCount = Math.ceil(most / step);
  return { most: stepCount * step, ticks: Array.from({ length: stepCount + 1 }, (_, factor) => factor * step) };
}

// Coordinates: of a slot by its index, of a value by its part of the axis.
const x = (index, slotCount) => LEFT + (index / slotCount) * PLOT_WIDTH;
const y = (part) => TOP + PLOT_HEIGHT * (1 - part);

// The bar of a slot, from a part of the axis on, `part` of it high.
function bar(index, slotCount, from, part, kind = "synced") {
  return svgElement("rect", { class: kind, x: x(index, slotCount), y: y(from + part), width: (PLOT_WIDTH / slotCount) * 0.8, height: PLOT_HEIGHT * part });
}

// `ticks`: [part of the axis, label]; `at`: the time of a slot; `readout`: what is shown of the slot under the pointer.
function draw(id, shapes, ticks, unit, at, slotCount, readout) {
  const axis = ticks.flatMap(([part, label]) => [
    svgElement("line", { x1: LEFT, x2: WIDTH, y1: y(part), y2: y(part) }),
    svgElement("text", { x: LEFT - 6, y: y(part) + 4, "text-anchor": "end" }, label)]);
  const quarters = [0, 1, 2, 3].map((quarter) => Math.round((quarter * slotCount) / 4));
  const times = quarters.map((index) =>
    svgElement("text", { x: x(index, slotCount), y: HEIGHT - 4 }, time(at(index))));
  const plot = byId(`${id}-plot`);
  plot.replaceChildren(...axis, ...shapes, ...times, svgElement("text", { x: LEFT, y: 15 }, unit));
  plot.onpointermove = (event) => {
    const box = plot.getBoundingClientRect();
    const index = Math.floor((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (PLOT_WIDTH / slotCount));
    setText(`${id}-readout`, index >= 0 && index < slotCount ? readout(index) : "");
  };
  plot.onpointerleave = () => setText(`${id}-readout`, "");
}
