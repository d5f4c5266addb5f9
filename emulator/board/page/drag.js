// Moving cards: drag with mouse or pen, arrow keys, or a click for the lead's own page.

import { byId } from "./dom.js";

const THRESHOLD_PX = 6;
let drag = null;

export function enable({ onMove, onOpen, stageBeside }) {
  const board = byId("board");
  board.addEventListener("pointerdown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.button !== 0) return;
    drag = { card, x: event.clientX, y: event.clientY, touch: event.pointerType === "touch" };
  });
  addEventListener("pointermove", track);
  addEventListener("pointercancel", drop);
  addEventListener("pointerup", (event) => {
    const done = drag;
    const target = drop();
    if (!done) return;
    if (!done.ghost) {
      if (event.target.closest(".card") === done.card) onOpen(Number(done.card.dataset.id));
    } else if (target && target !== done.card.dataset.stage) {
      onMove(Number(done.card.dataset.id), target);
    }
  });
  board.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const stage = step && stageBeside(card.dataset.stage, step);
    if (stage) onMove(Number(card.dataset.id), stage);
    if (event.key === "Enter") onOpen(Number(card.dataset.id));
    if (stage || event.key === "Enter") event.preventDefault();
  });
}

function track(event) {
  if (!drag || drag.touch) return;
  const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > THRESHOLD_PX;
  if (!drag.ghost && far) lift();
  if (!drag.ghost) return;
  drag.ghost.style.left = `${event.clientX - drag.dx}px`;
  drag.ghost.style.top = `${event.clientY - drag.dy}px`;
  const over = document.elementFromPoint(event.clientX, event.clientY)?.closest(".column");
  if (over !== drag.over) {
    drag.over?.classList.remove("over");
    over?.classList.add("over");
    drag.over = over;
  }
}

function lift() {
  const box = drag.card.getBoundingClientRect();
  drag.dx = drag.x - box.left;
  drag.dy = drag.y - box.top;
  drag.ghost = drag.card.cloneNode(true);
  drag.ghost.classList.add("ghost");
  drag.ghost.classList.remove("fresh");
  drag.ghost.removeAttribute("data-id");
  drag.ghost.style.width = `${box.width}px`;
  drag.card.classList.add("lifted");
  document.body.append(drag.ghost);
}

function drop() {
  if (!drag) return null;
  const target = drag.over?.dataset.stage ?? null;
  drag.over?.classList.remove("over");
  drag.ghost?.remove();
  drag.card.classList.remove("lifted");
  drag = null;
  return target;
}
