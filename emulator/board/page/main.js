// The board: load once, then apply live updates.

import * as api from "./api.js";
import * as columns from "./columns.js";
import * as details from "./details.js";
import { byId, say } from "./dom.js";
import * as drag from "./drag.js";
import * as faults from "./faults.js";
import * as plot from "./plot.js";
import { number, speak, t } from "./texts.js";

let pending = [];
let type = 1;
let linked = /^#lead-([0-9]{1,15})$/.exec(location.hash)?.[1];

async function loadAll() {
  pending = [];
  const board = await api.load(type);
  columns.build(board.stages);
  plot.clear();
  for (const card of board.cards.sort((left, right) => left.id - right.id)) columns.put(card);
  tick(board);
  // The address of a lead's card in Bitrix24 leads here.
  if (linked) details.open(1, Number(linked), columns.names());
  linked = null;
}

function tick(news) {
  columns.count(news.by_type[type]);
  plot.draw(news);
  faults.show(news);
  const total = Object.values(news.counts).reduce((sum, count) => sum + count, 0);
  byId("leads").textContent = number(total);
}

function choose(wanted) {
  type = wanted;
  for (const button of document.querySelectorAll("[data-type]")) button.ariaPressed = String(Number(button.dataset.type) === type);
  return loadAll().catch((error) => say(error.message));
}

const shown = (act) => (card) => { if (card.type === type) later(() => act(card)); };

// At a hundred leads a second, one update of the page per frame is enough.
function later(act) {
  if (pending.push(act) === 1) {
    requestAnimationFrame(() => {
      const due = pending;
      pending = [];
      for (const run of due) run();
    });
  }
}

function live(on) {
  byId("live").textContent = t(on ? "live" : "connection lost, trying again");
  byId("live").classList.toggle("on", on);
}

byId("webhook").textContent = `${location.origin}/rest/1/local-webhook-code/`;
speak();
faults.build();
drag.enable({
  onMove: (id, stage) => type !== 3 && api.move(type, id, stage).catch((error) => say(error.message)),
  onOpen: (id) => details.open(type, id, type === 3 ? [] : columns.names()),
  stageBeside: columns.stageBeside,
});
for (const button of document.querySelectorAll("[data-type]")) button.addEventListener("click", () => choose(Number(button.dataset.type)));
api.listen({
  open: () => { live(true); choose(type); },
  error: () => live(false),
  tick,
  reset: () => loadAll().catch((error) => say(error.message)),
  write: shown((card) => columns.put(card, { fresh: true })),
  delete: shown((card) => columns.remove(card)),
});
