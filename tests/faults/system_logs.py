"""The log lines of a system's processes, and the search for personal data and secrets in them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from tests.faults import portal, visible_texts
from tests.leaks import leaking
from tests.system import System

#: Other programs log in their own formats.
_FOREIGN = {"postgres", "rabbitmq", "redis", "epmd", "supervisord", "bitrix24"}


def raw_lines(system: System) -> Iterator[tuple[str, str]]:
    """Every line of our processes with the name of its file."""
    for path in sorted(system.state.logs.glob("*.log*")):
        if path.name.split(".")[0] not in _FOREIGN:
            for line in path.read_text(encoding="utf-8").splitlines():
                yield path.name, line


def of_call(system: System, correlation_id: str) -> list[dict[str, Any]]:
    """The lines of one HTTP call, in order of time."""
    found = [
        json.loads(line)
        for _, line in raw_lines(system)
        if f'"{correlation_id}"' in line and line.endswith("}")
    ]
    lines_of_call = [line for line in found if line.get("correlation_id") == correlation_id]
    return sorted(lines_of_call, key=lambda line: str(line["timestamp"]))


@contextmanager
def leak_checked(system: System) -> Iterator[System]:
    """Run the system for the block; its output must contain no personal data and no secret."""
    try:
        system.start()
        yield system
        found = leaks(system, {*_people(system)}, [*visible_texts.lines(system)])
    finally:
        system.end()
    found = found or leaks(system)
    assert not found, found


def leaks(
    system: System, more: Iterable[str] = (), lines: Sequence[tuple[str, str]] | None = None
) -> str:
    """The lines with a name, phone or credential that was sent to the system or is in `more`.

    "" if there is none. A secret is also searched as JSON and URLs encode it. `lines` is where to
    search, by default all logs: nothing else of an ended system can be read.
    """
    secret_by_form = {
        form: secret
        for secret in {*filter(_is_revealing, system.sent), *_credentials(system), *more}
        for form in {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")}
    }
    lines = [*visible_texts.logs(system)] if lines is None else lines
    text = "\n".join(line for _, line in lines)
    found = {form for form in secret_by_form if form in text}
    leaking_lines = [
        f"{name}: {line[:300]}"
        for name, line in lines
        if any(form in line for form in found) or leaking([line])
    ]
    return "\n".join([*sorted(secret_by_form[form] for form in found)[:5], *leaking_lines[:5]])


def _is_revealing(text: str) -> bool:
    """Whether a name or a phone is long enough not to occur in an id or a word by chance."""
    return len(text.strip()) > 8


def _people(system: System) -> Iterator[str]:
    """Names and phones of all users of the system, from all clients."""
    after = "0"
    while after:
        page = system.request("GET", f"/users?limit=200&after={after}").json()
        for user in page["items"]:
            yield from filter(_is_revealing, (user["full_name"], user["phone"][1:]))
        after = page["next"]


def _credentials(system: System) -> Iterator[str]:
    """Every password and key, given or generated, and the webhook's code."""
    for folder in ("passwords", "secrets"):
        for path in (system.state.root / folder).glob("*"):
            for word in path.read_text(encoding="ascii").split():
                parts = urlsplit(word)
                if parts.password:
                    yield parts.password
                elif parts.scheme in {"http", "https"}:
                    yield parts.path
                elif not parts.netloc:
                    yield word.rpartition(":")[2]  # a key, with its scopes before it
    yield portal.WEBHOOK_CODE
