// Three SVG plots with axes, a clock and values under the pointer; the text above says the same.

import { get } from "../api.js";
import { byId, put, shape } from "../dom.js";
import { number, span, t, time } from "../texts/translate.js";

const [WIDTH, HEIGHT, LEFT, FOOT, TOP] = [600, 180, 66, 26, 22];
const [ROOM, PLOT] = [WIDTH - LEFT, HEIGHT - FOOT - TOP];
const RANGES = ["1h", "24h", "7d"];
//: Longer periods change slowly, and cost the ledger more.
const RELOAD_MS = 30000;
let range = "1h";
let longer = null;
let loadedAt = 0;

export function enter(wanted) {
  range = RANGES.includes(wanted) ? wanted : "1h";
  [longer, loadedAt] = [null, 0];
  for (const link of document.querySelectorAll("[data-range]")) {
    if (link.dataset.range === range) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

export async function show(status) {
  if (!status.rate.error && !status.portal.error) rate(status.rate, status.portal.requests_left, new Date(status.now));
  if (range !== "1h" && Date.now() - loadedAt > RELOAD_MS) {
    loadedAt = Date.now();
    longer = await get("settled", { period: range });
  }
  const found = range === "1h" ? status.hour : longer;
  if (found && !found.error) settled(found, new Date(status.now));
}

function rate({ limit_per_s: limit, burst, slot_s: slot, sent }, left, now) {
  const perSecond = sent.map((count) => count / slot);
  // The newest slot is still being filled.
  const lately = perSecond.slice(-4, -1).reduce((sum, count) => sum + count, 0) / 3;
  put("rate-words", limit
    ? t("rateWords", { now: number(lately, 1), limit: number(limit, 1), burst, left: number(left * 100) })
    : t("rateFree", { now: number(lately, 1) }));
  const axis = scale(Math.max(limit * 1.2, ...perSecond, 0.5));
  const end = Math.floor(now / 1000 / slot) * slot + slot;
  const at = (place) => new Date((end - (sent.length - place) * slot) * 1000);
  const bars = perSecond.map((count, place) => bar(place, sent.length, 0, count / axis.most));
  if (limit) bars.push(shape("line", { class: "limit", x1: LEFT, x2: WIDTH, y1: y(limit / axis.most), y2: y(limit / axis.most) }));
  draw("rate", bars, axis.ticks.map((value) => [value / axis.most, number(value, 1)]), t("rateUnit"), at, sent.length,
    (place) => t("rateAt", { at: time(at(place)), n: number(perSecond[place], 1) }));
}

function settled(found, now) {
  const { slot_s: slot, length_s: length } = found;
  const places = Math.round(length / slot);
  const first = Math.floor(now / 1000 / slot) - places + 1;
  const at = (place) => new Date((first + place) * slot * 1000);
  const slots = new Map(found.slots.map((bucket) => [bucket.at_s / slot - first, bucket]).filter(([place]) => place >= 0));
  put("settled-words", t("settledWords", { synced: number(found.synced), superseded: number(found.superseded), failed: number(found.failed), slot: span(slot) }));
  outcomes(slots, places, at, slot);
  put("lead-words", found.median_s === null ? t("none") : t("leadWords", { median: span(found.median_s), p95: span(found.p95_s) }));
  times(new Map([...slots].filter(([, bucket]) => bucket.median_s !== null)), places, at);
}

function outcomes(slots, places, at, slot) {
  const axis = scale(Math.max(1, ...[...slots.values()].map((bucket) => bucket.synced + bucket.superseded + bucket.failed)));
  const bars = [];
  for (const [place, bucket] of slots) {
    let below = 0;
    for (const kind of ["failed", "superseded", "synced"]) {
      if (bucket[kind]) bars.push(bar(place, places, below / axis.most, bucket[kind] / axis.most, kind));
      below += bucket[kind];
    }
  }
  const none = { synced: 0, superseded: 0, failed: 0 };
  draw("settled", bars, axis.ticks.map((value) => [value / axis.most, number(value)]), t("settledUnit", { slot: span(slot) }), at, places, (place) => {
    const { synced, superseded, failed } = slots.get(place) ?? none;
    return t("settledAt", { at: time(at(place)), synced: number(synced), superseded: number(superseded), failed: number(failed) });
  });
}

function times(slots, places, at) {
  const axis = scale(Math.max(1, ...[...slots.values()].map((bucket) => bucket.p95_s)));
  const line = (kind, value) => shape("polyline", { class: kind, points: [...slots].map(([place, bucket]) => `${x(place + 0.5, places)},${y(bucket[value] / axis.most)}`).join(" ") });
  // A line needs two points: one slot alone is a bar.
  const alone = [...(slots.size === 1 ? slots : [])].map(([place, bucket]) => bar(place, places, 0, bucket.median_s / axis.most));
  draw("lead", [line("slow", "p95_s"), line("usual", "median_s"), ...alone], axis.ticks.map((value) => [value / axis.most, span(value)]), t("leadUnit"), at, places, (place) => {
    const bucket = slots.get(place);
    return bucket ? t("leadAt", { at: time(at(place)), median: span(bucket.median_s), p95: span(bucket.p95_s) }) : `${time(at(place))}: –`;
  });
}

// Round values for an axis up to at least `most`: four steps of 1, 2 or 5 times a power of ten.
function scale(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const ticks = [0, 1, 2, 3, 4].map((number_) => number_ * step).filter((value) => value <= most * 1.3);
  return { most: ticks.at(-1), ticks };
}

const x = (place, places) => LEFT + (place / places) * ROOM;
const y = (part) => TOP + PLOT * (1 - part);

function bar(place, places, from, part, kind = "synced") {
  return shape("rect", { class: kind, x: x(place, places), y: y(from + part), width: (ROOM / places) * 0.8, height: PLOT * part });
}

function draw(id, shapes, ticks, unit, at, places, words) {
  const axis = ticks.flatMap(([part, label]) => [
    shape("line", { x1: LEFT, x2: WIDTH, y1: y(part), y2: y(part) }),
    shape("text", { x: LEFT - 6, y: y(part) + 4, "text-anchor": "end" }, label)]);
  const hours = [0, 1, 2, 3].map((quarter) => Math.round((quarter * places) / 4)).map((place) =>
    shape("text", { x: x(place, places), y: HEIGHT - 4 }, time(at(place))));
  const plot = byId(`${id}-plot`);
  plot.replaceChildren(...axis, ...shapes, ...hours, shape("text", { x: LEFT, y: 15 }, unit));
  plot.onpointermove = (event) => {
    const box = plot.getBoundingClientRect();
    const place = Math.floor((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (ROOM / places));
    put(`${id}-readout`, place >= 0 && place < places ? words(place) : "");
  };
  plot.onpointerleave = () => put(`${id}-readout`, "");
}
