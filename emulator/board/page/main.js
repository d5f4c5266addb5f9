// The board: load once, then apply live updates.

import * as api from "./api.js";
import * as columns from "./columns.js";
import * as details from "./details.js";
import { byId, showMessage } from "./dom.js";
import * as drag from "./drag.js";
import * as faults from "./faults.js";
import * as plot from "./plot.js";
import { number, translatePage, t } from "./texts.js";

const LEAD = 1;
const CONTACT = 3; // contacts have no stages
let pendingUpdates = []; // of the next frame
let type = LEAD; // entityTypeId of the objects on the board
// The lead that the address names: the address of a lead's card in Bitrix24 leads here.
let linkedLead = /^#lead-([0-9]{1,15})$/.exec(location.hash)?.[1];

async function loadAll() {
  pendingUpdates = [];
  const board = await api.load(type);
  columns.build(board.stages);
  plot.clear();
  for (const card of board.cards.sort((left, right) => left.id - right.id)) columns.showCard(card);
  showStatistics(board);
  if (linkedLead) details.open(LEAD, Number(linkedLead), columns.names());
  linkedLead = null;
}

function showStatistics(statistics) {
  columns.showCounts(statistics.by_type[type]);
  plot.draw(statistics);
  faults.show(statistics);
  const total = Object.values(statistics.counts).reduce((sum, count) => sum + count, 0);
  byId("leads").textContent = number(total);
}

function showType(chosen) {
  type = chosen;
  for (const button of document.querySelectorAll("[data-type]")) button.ariaPressed = String(Number(button.dataset.type) === type);
  return loadAll().catch((error) => showMessage(error.message));
}

// The handler of an event about an object: applies the update to the page if the page shows this type.
const ofShownType = (update) => (card) => { if (card.type === type) inNextFrame(() => update(card)); };

// At a hundred leads a second, one update of the page per frame is enough.
function inNextFrame(update) {
  if (pendingUpdates.push(update) === 1) {
    requestAnimationFrame(() => {
      const updates = pendingUpdates;
      pendingUpdates = [];
      for (const apply of updates) apply();
    });
  }
}

function showConnection(isLive) {
  byId("live").textContent = t(isLive ? "live" : "connection lost, trying again");
  byId("live").classList.toggle("on", isLive);
}

byId("webhook").textContent = `${location.origin}/rest/1/local-webhook-code/`;
translatePage();
faults.build();
drag.enable({
  onMove: (id, stage) => type !== CONTACT && api.move(type, id, stage).catch((error) => showMessage(error.message)),
  onOpen: (id) => details.open(type, id, type === CONTACT ? [] : columns.names()),
  neighbourStage: columns.neighbourStage,
});
for (const button of document.querySelectorAll("[data-type]")) button.addEventListener("click", () => showType(Number(button.dataset.type)));
api.listen({
  open: () => { showConnection(true); showType(type); },
  error: () => showConnection(false),
  tick: showStatistics,
  reset: () => loadAll().catch((error) => showMessage(error.message)),
  write: ofShownType((card) => columns.showCard(card, { fresh: true })),
  delete: ofShownType((card) => columns.removeCard(card)),
});
