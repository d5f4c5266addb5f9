"""A first match with an existing CRM: `plan` writes nothing, `apply` just its list, no one doubled.

python -m tests.faults.first_match              5,000 users, 5,000 leads, 5 % of answers lost
python -m tests.faults.first_match --users 60 --leads 60 --same 24 --ambiguous 3
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.runner.state import State
from tests.faults import portal, story
from tests.faults.portal import SHORT_WAITS
from tests.servers import eventually
from tests.system import CHECKOUT, System

#: Methods that write end in these.
_WRITING = ("add", "update", "delete", "Import", "import", "mergeBatch")
#: How people write +7701xxxxxxx.
_NOTATIONS = ("+7 701 {}", "8 (701) {}", "8701{}", "7 701 {}", "+7701{}")
#: For how long a command that can't reach Postgres is repeated.
_REPEATED_FOR_S = 60
SETTINGS = {**SHORT_WAITS, "LEADLINE_DUPLICATES": "hold"}


@dataclass(frozen=True)
class Size:
    """How many users and leads; how many are the same people, and how many of them twice."""

    users: int = 5000
    leads: int = 5000
    same: int = 2000
    ambiguous: int = 50


@dataclass(frozen=True)
class Result:
    """What was seen, to be printed."""

    plan_s: float
    apply_s: float
    drain_s: float
    requests: int
    kinds: dict[str, int]
    lost: int


def judge(system: System, size: Size, folder: Path, lost_share: float = 0.05) -> Result:
    """Run it on a system whose LEADLINE_DUPLICATES is `hold`; raises AssertionError."""
    _leads_made_by_hand(system, size)
    _command(system, folder, "portal", "pause", "--reason", "first match", "--yes")
    _import(system, size, folder)
    before, began = _calls(system), time.monotonic()
    code, lines = _command(system, folder, "plan", "--json")
    plan_s = time.monotonic() - began
    after = _calls(system)
    assert code == 2
    assert _writes(after) == _writes(before), "a plan reads only"
    kinds = Counter(line["kind"] for line in lines if "kind" in line)
    new = size.users - size.same - size.ambiguous
    assert kinds == {"create": new, "match": size.same, "ambiguous": size.ambiguous}
    matched = {line["user_id"]: line["lead_id"] for line in lines if line.get("kind") == "match"}

    portal.breaks(system, "drop_after", share=lost_share)
    began = time.monotonic()
    code, (applied,) = _command(system, folder, "apply", "--yes", "--json")
    apply_s = time.monotonic() - began
    assert (code, applied["entered"], applied["changed"]) == (0, new + size.same, [])
    assert _writes(_calls(system)) == _writes(before), "workers write, not the command"
    _command(system, folder, "portal", "resume")
    began = time.monotonic()
    eventually(lambda: _is_done(system, folder, size.ambiguous), 900, "all but the held are synced")
    drain_s, lost = time.monotonic() - began, portal.hits(system)
    portal.clear_faults(system)
    _check_leads(system, size, matched)
    code, again = _command(system, folder, "plan", "--json")
    assert code == 0, "the second plan is empty"
    assert {line["kind"] for line in again if "kind" in line} <= {"ambiguous"}
    requests = after["requests"] - before["requests"]
    return Result(plan_s, apply_s, drain_s, requests, dict(kinds), lost)


def _phone(number: int) -> str:
    return f"{1_000_000 + number}"


def _leads_made_by_hand(system: System, size: Size) -> None:
    """The same people first, then those twice, then others."""
    system.control("PUT", "settings", {"rate_per_s": 1e6, "burst": 1_000_000})
    twice = [number for number in range(size.same, size.same + size.ambiguous) for _ in range(2)]
    others = range(10**6, 10**6 + size.leads - size.same - len(twice))
    numbers = [*range(size.same), *twice, *others]
    for at in range(0, len(numbers), 50):
        cmd = {
            f"c{place}": _add(at + place, phone)
            for place, phone in enumerate(numbers[at : at + 50])
        }
        answer = portal.rest(system, "batch", halt=0, cmd=cmd)
        assert not answer["result_error"], answer["result_error"]
    system.control("PUT", "settings", {"rate_per_s": 2, "burst": 50})


def _add(position: int, number: int) -> str:
    text = _NOTATIONS[position % len(_NOTATIONS)].format(_phone(number))
    value = text.replace("+", "%2B").replace(" ", "%20")
    name = f"By%20Hand%20{position}"
    return f"crm.lead.add?fields[TITLE]={name}&fields[NAME]={name}&fields[PHONE][0][VALUE]={value}"


def _import(system: System, size: Size, folder: Path) -> None:
    file = folder / "users.csv"
    rows = [f"User {number},+7701{_phone(number)}" for number in range(size.users)]
    file.write_text("\n".join(["full_name,phone", *rows]), encoding="utf-8")
    code, _ = _command(system, folder, "import", str(file), "--json")
    assert code == 0


def _command(system: System, folder: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """A command of an operator: its exit code and its lines of JSON."""
    environment = {
        **os.environ,
        **system.env,
        "DATABASE_URL": system.url("database"),
        "AMQP_URL": system.url("amqp"),
        "REDIS_URL": system.url("redis"),
        "BITRIX_WEBHOOK_URL": f"{system.url('bitrix24')}/rest/1/local-webhook-code/",
        "LEADLINE_STATE": str(folder),
    }
    ends_at = time.monotonic() + _REPEATED_FOR_S
    while True:
        done = subprocess.run(
            (sys.executable, "-m", "leadline", *words),
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            check=False,
        )
        # On a busy machine Postgres may not answer in time. An operator repeats the command.
        is_down = b'"database_down"' in done.stderr + done.stdout
        if not is_down or time.monotonic() >= ends_at:
            break
    assert done.returncode in (0, 1, 2), done.stderr.decode()
    texts = done.stdout.splitlines() if "--json" in words else []
    assert texts or "--json" not in words, done.stderr.decode()
    return done.returncode, [json.loads(text) for text in texts]


def _is_done(system: System, folder: Path, held: int) -> bool:
    _, (status,) = _command(system, folder, "status", "--json")
    ledger = status["ledger"]
    assert ledger["failed"] == ledger["retrying"], "nothing fails for good"
    return bool(ledger["waiting"] == ledger["held"] == held and not ledger["failed"])


def _check_leads(system: System, size: Size, matched: dict[int, int]) -> None:
    assert system.control("GET", "duplicates") == []
    leads = {int(lead["ID"]): lead for lead in system.control("GET", "leads")}
    new = size.users - size.same - size.ambiguous
    assert len(leads) == size.leads + new, "no lead too many, none too few"
    origins = Counter(lead["ORIGIN_ID"] for lead in leads.values() if lead["ORIGIN_ID"])
    assert len(origins) == size.users - size.ambiguous
    assert max(origins.values()) == 1
    assert all(leads[lead]["ORIGIN_ID"] == str(user) for user, lead in matched.items())
    assert all(len(lead["PHONE"]) == 1 for lead in leads.values()), "a phone is replaced, not added"


def _calls(system: System) -> dict[str, Any]:
    return dict(system.control("GET", "calls"))


def _writes(calls: dict[str, Any]) -> int:
    return sum(n for name, n in calls["methods"].items() if name.endswith(_WRITING))


def main() -> None:
    """Run it on its own system, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    size = Size(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder)
        with story.running(System(State(root / "system"), dict(SETTINGS))) as system:
            (root / "state").mkdir()
            result = judge(system, size, root / "state")
    sys.stdout.write(f"{json.dumps(vars(result) | vars(size))}\n")


if __name__ == "__main__":
    main()
