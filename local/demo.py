"""`python -m local.demo`: follow one user from HTTP to its lead, against real processes.

Uses the system that runs in this checkout, or starts one and stops it afterwards. Ends with exit
code 0 only if the lead that Bitrix24 has equals the user.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import requests

from leadline.runtime import secrets
from leadline.runtime.http import api_keys
from local.runner.running_system import NoSystem, running_system
from local.runner.state import State

_SETTLED_WITHIN_S = 60
_POLL_EVERY_S = 0.05


class Failed(Exception):
    """The demo can't go on; the text says why."""


class Demo:
    """Follows one user and prints each step; `run` is the content of run.json."""

    def __init__(self, run: dict[str, Any]) -> None:
        self._edge = str(run["urls"]["edge"])
        self._portal = str(run["urls"]["bitrix24"])
        self._http = requests.Session()
        if key := _key():
            self._http.headers["Authorization"] = f"Bearer {key}"

    def play(self) -> bool:
        """Create, update and move a user; returns whether its lead finally equals it."""
        user = self._write("POST", "/users", {"full_name": "Иван Иванов", "phone": "+77001112233"})
        path = f"/users/{user['id']}"
        self._follow(path)
        self._write("PATCH", path, {"full_name": "Иван Петров", "phone": "+77009998877"})
        self._follow(path)
        self._write("POST", f"{path}/move", {"stage": "IN_PROCESS"})
        settled = self._follow(path)
        lead = self._lead(user["id"])
        if lead is None:
            return False
        print_step("the lead as Bitrix24 has it:")
        sys.stdout.write(json.dumps(lead, ensure_ascii=False, indent=2) + "\n")
        is_equal = _matches(lead, settled)
        print_step("the lead equals the user" if is_equal else f"the lead differs from {settled}")
        return is_equal

    def print_next(self) -> None:
        """Print where to look next."""
        sys.stdout.write(
            "\nNext: `make run` keeps the system running. Then\n"
            f"  console     {self._edge}/console\n"
            f"  API         {self._edge}/docs\n"
            f"  the leads   {self._portal}\n"
            "  tutorial    docs/tutorial.md: take the portal away, lose an answer, fix a user\n"
        )

    def _write(self, method: str, path: str, body: dict[str, str]) -> dict[str, Any]:
        print_step(f"{method} {path} {json.dumps(body, ensure_ascii=False)}")
        answer = self._http.request(method, self._edge + path, json=body, timeout=30)
        if not answer.ok:
            raise Failed(f"{answer.status_code} {answer.text}")
        print_step(f"{answer.status_code} {answer.text}", depth=1)
        return dict(answer.json())

    def _follow(self, path: str) -> dict[str, Any]:
        """Print each change of the newest event until it is settled; returns the user then."""
        printed: set[str] = set()
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            user = dict(self._http.get(self._edge + path, timeout=30).json())
            sync = user["sync"]
            event = max(sync["events"], key=lambda event: int(event["version"]))
            for step in _steps(event, sync):
                if step not in printed:
                    printed.add(step)
                    print_step(step, depth=1)
            if sync["status"] == "synced":
                return user
            if sync["status"] == "failed":
                raise Failed(f"Bitrix24 rejects it: {sync['reason']}")
            time.sleep(_POLL_EVERY_S)
        raise Failed(f"not synced within {_SETTLED_WITHIN_S} s; see the logs")

    def _lead(self, user_id: int) -> dict[str, Any] | None:
        answer = self._http.get(f"{self._portal}/_emulator/leads", timeout=30)
        if answer.status_code != 200:
            raise Failed("this is a real portal: look at the lead there")
        leads = [lead for lead in answer.json() if lead["ORIGIN_ID"] == str(user_id)]
        if len(leads) != 1:
            print_step(f"{len(leads)} leads for user {user_id} instead of one")
            return None
        return dict(leads[0])


def _key() -> str | None:
    """A key of this system with the scopes read and write, if one is stored in plain text."""
    for entry in api_keys.entries(secrets.get("api-keys") or ""):
        key = api_keys.parse(entry)
        if key.is_plain and key.scopes >= {"read", "write"}:
            return entry.rpartition(":")[2]  # NAME:SCOPES:KEY
    return None


def _steps(event: dict[str, Any], sync: dict[str, Any]) -> Iterator[str]:
    yield f"the ledger has event {event['event_id']} ({event['action']}, open)"
    if event["published_at"]:
        yield f"RabbitMQ confirmed it at {_clock(event['published_at'])}"
    if event["settled_at"]:
        yield (
            f"Bitrix24's answer is in the ledger at {_clock(event['settled_at'])}: "
            f"{event['state']}, attempt {event['attempts']}, lead {sync['bitrix_lead_id']}"
        )


def _clock(timestamp: str) -> str:
    """The time of day in an ISO 8601 timestamp, with milliseconds."""
    return timestamp[11:23]


def _matches(lead: dict[str, Any], user: dict[str, Any]) -> bool:
    names = (lead.get("LAST_NAME"), lead.get("NAME"), lead.get("SECOND_NAME"))
    full_name = sorted(word for name in names if name for word in str(name).split())
    return (
        full_name == sorted(user["full_name"].split())
        and [row["VALUE"] for row in lead["PHONE"]] == [user["phone"]]
        and lead["STATUS_ID"] == user["stage"]
        and lead["ID"] == str(user["sync"]["bitrix_lead_id"])
    )


def print_step(text: str, depth: int = 0) -> None:
    """Print one line with the time."""
    now = time.strftime("%H:%M:%S")
    sys.stdout.write(f"{now} {'    ' * depth}{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Follow a user; returns the exit code."""
    state = State.default()
    try:
        with running_system(state, print_step) as run:
            connections = json.loads(state.environment_file.read_text(encoding="utf-8"))
            os.environ["LEADLINE_SECRETS_DIR"] = connections["LEADLINE_SECRETS_DIR"]
            demo = Demo(run)
            is_equal = demo.play()
            demo.print_next()
            return 0 if is_equal else 1
    except (Failed, NoSystem, requests.RequestException) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
