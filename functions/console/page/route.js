// The address of a view: `#/users?sync=failed`, `#/users/42`, `#/leads/456`. The part behind # is never sent.

const VIEWS = ["users", "leads", "failures", "dead-letters", "first-match", "audit"];

export function current() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, id] = path.split("/");
  const view = VIEWS.includes(first) ? first : "overview";
  return { view, id: /^[0-9]{1,19}$/.test(id ?? "") ? id : null, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `#/${path}?${new URLSearchParams(given)}` : `#/${path}`;
}

export function go(path, query) {
  location.hash = address(path, query);
}
