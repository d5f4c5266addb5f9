// Three small SVG plots; the text above each says the same for those who can't see them.

import { byId, shape } from "./dom.js";
import { number, span, t } from "./texts.js";

const WIDTH = 600;
const HEIGHT = 130;
const FOOT = 18;
const MINUTES = 60;
const PLOT = HEIGHT - FOOT;
//: The filled part of a plot's height; above it is the label of its top.
const ROOM = 0.88;

export function rate({ limit_per_s: limit, burst, slot_s: slot, sent }, left) {
  const perSecond = sent.map((count) => count / slot);
  // The newest slot is still being filled.
  const lately = perSecond.slice(-4, -1).reduce((sum, each) => sum + each, 0) / 3;
  byId("rate-words").textContent = limit
    ? t("rateWords", { now: number(lately, 1), limit: number(limit, 1), burst, left: number(left * 100) })
    : t("rateFree", { now: number(lately, 1) });
  const most = Math.max(limit * 1.4, ...perSecond, 0.5);
  const bars = perSecond.map((each, at) => bar(at, perSecond.length, 0, each / most));
  if (limit) {
    const y = PLOT * (1 - limit / most);
    bars.push(shape("line", { class: "limit", x1: 0, x2: WIDTH, y1: y, y2: y }));
    bars.push(shape("text", { x: 2, y: y - 5 }, `${t("limit")} ${number(limit, 1)}/${t("unit")[0] ?? ""}`));
  }
  draw("rate-plot", bars, "−5:00");
}

export function hour({ synced, superseded, failed, median_s: median, p95_s: p95, minutes }, now) {
  byId("hour-words").textContent = t("hourWords", { synced: number(synced), superseded: number(superseded), failed: number(failed) });
  byId("lead-words").textContent = median === null ? t("none") : t("leadWords", { median: span(median), p95: span(p95) });
  const first = Math.floor(new Date(now).getTime() / 60000) - MINUTES + 1;
  const placed = minutes.map((each) => ({ ...each, place: each.at_s / 60 - first })).filter(({ place }) => place >= 0);
  settled(placed);
  timeToLead(placed.filter((each) => each.median_s !== null));
}

function settled(placed) {
  const most = Math.max(1, ...placed.map((each) => each.synced + each.superseded + each.failed));
  // The number above the highest bar stays readable.
  const top = most / ROOM;
  const shapes = [];
  for (const each of placed) {
    let below = 0;
    for (const kind of ["failed", "superseded", "synced"]) {
      if (each[kind]) shapes.push(bar(each.place, MINUTES, below / top, each[kind] / top, kind));
      below += each[kind];
    }
  }
  shapes.push(shape("text", { x: 2, y: 12 }, number(most)));
  draw("hour-plot", shapes, "−60");
}

function timeToLead(placed) {
  const most = Math.max(1, ...placed.map((each) => each.p95_s));
  const line = (kind, value) => shape("polyline", {
    class: kind,
    points: placed.map((each) => `${(each.place + 0.5) * (WIDTH / MINUTES)},${PLOT * (1 - (ROOM * each[value]) / most)}`).join(" "),
  });
  // A line needs two points: one minute alone is a bar.
  const alone = placed.length === 1 ? [bar(placed[0].place, MINUTES, 0, ROOM * placed[0].median_s / most)] : [];
  draw("lead-plot", [line("slow", "p95_s"), line("usual", "median_s"), ...alone, shape("text", { x: 2, y: 12 }, placed.length ? span(most) : "")], "−60");
}

function bar(place, places, from, part, kind = "synced") {
  const width = WIDTH / places;
  return shape("rect", { class: kind, x: place * width, y: PLOT * (1 - from - part), width: width * 0.8, height: PLOT * part });
}

function draw(id, shapes, earliest) {
  const ground = shape("line", { x1: 0, x2: WIDTH, y1: PLOT, y2: PLOT });
  byId(id).replaceChildren(ground, ...shapes, shape("text", { x: 0, y: HEIGHT - 3 }, earliest));
}
