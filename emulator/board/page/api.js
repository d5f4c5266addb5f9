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

export const load = () => send("GET", "board");
export const move = (id, stage) => send("PATCH", `leads/${id}`, { STATUS_ID: stage });
export const change = (settings) => send("PUT", "settings", settings);
export const addFault = (rule) => send("POST", "faults", [rule]);
export const clearFaults = () => send("DELETE", "faults");
export const reset = () => send("POST", "reset");

export async function lead(id) {
  const [found] = await send("GET", `leads?after=${id - 1}&limit=1`);
  return found && found.ID === String(id) ? found : null;
}

export function listen(handlers) {
  const source = new EventSource("/_emulator/stream");
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(event.data ? JSON.parse(event.data) : null));
  }
}
