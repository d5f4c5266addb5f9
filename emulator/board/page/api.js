// The control API, as the board uses it.

async function send(verb, path, body) {
  const response = await fetch(`/_emulator/${path}`, {
    method: verb,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return answer;
}

const LEAD = 1; // entityTypeId; of the types on the board, only leads have a call of their own for a move

export const load = (type) => send("GET", `board?type=${type}`);
export const move = (type, id, stage) => (type === LEAD
  ? send("PATCH", `leads/${id}`, { STATUS_ID: stage })
  : send("PATCH", `items/${type}/${id}`, { fields: { STAGE_ID: stage } }));
export const item = (type, id) => send("GET", `items/${type}/${id}`);
export const edit = (type, id, fields) => send("PATCH", `items/${type}/${id}`, { fields });
export const remove = (type, id) => send("DELETE", `items/${type}/${id}`);
export const change = (settings) => send("PUT", "settings", settings);
export const addFault = (rule) => send("POST", "faults", [rule]);
export const clearFaults = () => send("DELETE", "faults");
export const reset = () => send("POST", "reset");

// Calls the handler of each server-sent event by its name, with the event's data.
export function listen(handlers) {
  const source = new EventSource("/_emulator/stream");
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(event.data ? JSON.parse(event.data) : null));
  }
}
