// Moving cards with mouse, pen or arrow keys; a click or Enter opens the object's details.

import { byId } from "./dom.js";

const THRESHOLD_PX = 6; // less is a click
// The pressed card and where it was pressed (x, y); once it moves, also the copy under the pointer (ghost), the
// pointer's place in it (dx, dy), and the column below the pointer (over).
let drag = null;

export function enable({ onMove, onOpen, neighbourStage }) {
  const board = byId("board");
  board.addEventListener("pointerdown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.button !== 0) return;
    drag = { card, x: event.clientX, y: event.clientY, touch: event.pointerType === "touch" };
  });
  addEventListener("pointermove", track);
  addEventListener("pointercancel", endDrag);
  addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { card, ghost, over } = drag;
    endDrag();
    const target = over?.dataset.stage;
    if (!ghost) {
      if (event.target.closest(".card") === card) onOpen(Number(card.dataset.id));
    } else if (target && target !== card.dataset.stage) {
      onMove(Number(card.dataset.id), target);
    }
  });
  board.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const stage = step && neighbourStage(card.dataset.stage, step);
    if (stage) onMove(Number(card.dataset.id), stage);
    if (event.key === "Enter") onOpen(Number(card.dataset.id));
    if (stage || event.key === "Enter") event.preventDefault();
  });
}

function track(event) {
  if (!drag || drag.touch) return; // a finger scrolls the page instead
  const isFar = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > THRESHOLD_PX;
  if (!drag.ghost && isFar) liftCard();
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

// Puts a copy of the card under the pointer.
function liftCard() {
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

function endDrag() {
  drag?.over?.classList.remove("over");
  drag?.ghost?.remove();
  drag?.card.classList.remove("lifted");
  drag = null;
}
