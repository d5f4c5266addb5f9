"""Checks a first match: `plan` writes nothing, `apply` only its plan; no user gets two leads.

python -m tests.faults.first_match              5,000 users, 5,000 leads, 5 % of answers lost
python -m tests.faults.first_match --lost-share 0
python -m tests.faults.first_match --kills      `plan`, `apply` and workers are killed on the way
python -m tests.faults.first_match --users 60 --leads 60 --matched 24 --ambiguous 3
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.runner.state import State
from local.sandbox.waiting import NotInTime
from tests.faults import portal, system_logs
from tests.faults.portal import SHORT_WAITS
from tests.forks import Forks
from tests.servers import eventually
from tests.system import System

#: Endings of the methods that write.
_WRITING = ("add", "update", "delete", "Import", "import", "mergeBatch")
#: Notations in which people write +7701xxxxxxx.
_NOTATIONS = ("+7 701 {}", "8 (701) {}", "8701{}", "7 701 {}", "+7701{}")
#: How long a command that can't reach Postgres is repeated.
_REPEATED_FOR_S = 300
#: Five minutes at two requests a second; a busy machine needs longer.
_DRAIN_S = 1800
#: How often a worker is killed while users are linked, and after how long each time.
_WORKERS_KILLED = 5
_KILLED_AFTER_S = 2
SETTINGS = {**SHORT_WAITS, "LEADLINE_DUPLICATES": "hold"}


@dataclass(frozen=True)
class Size:
    """How many users and leads there are."""

    users: int = 5000
    leads: int = 5000
    #: Users with one lead that has their phone.
    matched: int = 2000
    #: Users with two leads that have their phone.
    ambiguous: int = 50

    @property
    def new(self) -> int:
        """Users without a lead."""
        return self.users - self.matched - self.ambiguous


@dataclass(frozen=True)
class Result:
    """The results of a run, to be printed."""

    plan_s: float
    apply_s: float
    drain_s: float
    #: How many requests the first `plan` sent.
    requests: int
    #: How many lines of each kind that plan has.
    kinds: dict[str, int]
    #: How many answers of the portal were lost.
    lost: int


@dataclass(frozen=True)
class Operator:
    """Gives commands to a system."""

    system: System
    forks: Forks
    #: Where the commands keep their state.
    folder: Path

    def run(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Run a command; returns its exit code and its lines of JSON."""
        ends_at = time.monotonic() + _REPEATED_FOR_S
        while True:
            result = self.forks.run("leadline", *words, env=self._environment())
            # On a busy machine Postgres may not answer in time. An operator repeats the command.
            is_down = '"database_down"' in result.stderr + result.stdout
            if not is_down or time.monotonic() >= ends_at:
                break
        assert result.returncode in (0, 1, 2), result.stderr
        texts = result.stdout.splitlines() if "--json" in words else []
        assert texts or "--json" not in words, result.stderr
        return result.returncode, [json.loads(text) for text in texts]

    def start_and_kill(self, *words: str) -> None:
        """Start a command, and kill it in the middle of its work."""
        before = _calls(self.system)["requests"]
        process = self.forks.start("leadline", *words, env=self._environment())
        eventually(
            lambda: _calls(self.system)["requests"] > before + 1 or process.poll() is not None,
            _REPEATED_FOR_S,
            "it has begun",
        )
        process.kill()
        process.wait(60)

    def _environment(self) -> dict[str, str]:
        system = self.system
        return {
            **os.environ,
            **system.env,
            "DATABASE_URL": system.url("database"),
            "AMQP_URL": system.url("amqp"),
            "REDIS_URL": system.url("redis"),
            "BITRIX_WEBHOOK_URL": f"{system.url('bitrix24')}/rest/1/{portal.WEBHOOK_CODE}/",
            "LEADLINE_STATE": str(self.folder),
        }


def check_first_match(
    operator: Operator, size: Size, lost_share: float = 0.05, *, kills: bool = False
) -> Result:
    """Run a first match on a system whose LEADLINE_DUPLICATES is `hold`, and check each step.

    `lost_share`: the part of the portal's answers that are lost during `apply`. `kills`: the
    commands are killed and repeated, and workers are killed while they link.

    Raises:
        AssertionError: a step did not do what docs/first-match.md says.
    """
    system = operator.system
    _add_leads_by_hand(system, size)
    operator.run("portal", "pause", "--reason", "first match", "--yes")
    _import(operator, size)
    before = _calls(system)
    began = time.monotonic()
    if kills:
        operator.start_and_kill("plan", "--json")
    code, lines = operator.run("plan", "--json")
    plan_s = time.monotonic() - began
    after = _calls(system)
    assert code == 2, "the plan has lines"
    assert _writes(after) == _writes(before), "a plan reads only"
    kinds = Counter(line["kind"] for line in lines if "kind" in line)
    assert kinds == {"create": size.new, "match": size.matched, "ambiguous": size.ambiguous}
    lead_by_user = {
        line["user_id"]: line["lead_id"] for line in lines if line.get("kind") == "match"
    }

    if lost_share:
        portal.add_fault(system, "drop_after", share=lost_share)
    began = time.monotonic()
    if kills:
        operator.start_and_kill("apply", "--yes", "--json")
    code, (applied,) = operator.run("apply", "--yes", "--json")
    apply_s = time.monotonic() - began
    assert (code, applied["changed"]) == (0, [])
    if not kills:  # a killed command has entered some already
        assert applied["entered"] == size.new + size.matched
    _, lines = operator.run("plan", str(applied["plan"]), "--json")
    outcomes = Counter((line["kind"], line["outcome"]) for line in lines if "kind" in line)
    assert outcomes == {
        ("create", "entered"): size.new,
        ("match", "entered"): size.matched,
        ("ambiguous", None): size.ambiguous,
    }
    assert _writes(_calls(system)) == _writes(before), "workers write, not the command"
    operator.run("portal", "resume")
    began = time.monotonic()
    for _ in range(_WORKERS_KILLED if kills else 0):
        time.sleep(_KILLED_AFTER_S)
        system.await_restart("worker", system.kill("worker"))
    _await_done(operator, size)
    drain_s = time.monotonic() - began
    lost = portal.hits(system)
    portal.clear_faults(system)
    _check_leads(system, size, lead_by_user)
    code, next_plan = operator.run("plan", "--json")
    assert code == 0, "the second plan is empty"
    assert {line["kind"] for line in next_plan if "kind" in line} <= {"ambiguous"}
    return Result(
        plan_s=plan_s,
        apply_s=apply_s,
        drain_s=drain_s,
        requests=after["requests"] - before["requests"],
        kinds=dict(kinds),
        lost=lost,
    )


def _phone(number: int) -> str:
    """The last seven digits of a phone, different for each number."""
    return f"{1_000_000 + number}"


def _add_leads_by_hand(system: System, size: Size) -> None:
    """Add leads by hand: one for each of some users, two for others, then leads of other people.

    Meanwhile the portal has no request limit.
    """
    system.control("PUT", "settings", {"rate_per_s": 1e6, "burst": 1_000_000})
    ambiguous = range(size.matched, size.matched + size.ambiguous)
    twice = [number for number in ambiguous for _ in range(2)]
    others = range(10**6, 10**6 + size.leads - size.matched - len(twice))
    numbers = [*range(size.matched), *twice, *others]
    commands = [_add(position, number) for position, number in enumerate(numbers)]
    for begin in range(0, len(commands), 50):  # the most commands of a batch
        cmd = {f"c{index}": text for index, text in enumerate(commands[begin : begin + 50])}
        answer = portal.call(system, "batch", halt=0, cmd=cmd)
        assert not answer["result_error"], answer["result_error"]
    system.control("PUT", "settings", {"rate_per_s": 2, "burst": 50})


def _add(position: int, number: int) -> str:
    """The command that adds a lead with the phone of this number, in one of the notations."""
    text = _NOTATIONS[position % len(_NOTATIONS)].format(_phone(number))
    value = text.replace("+", "%2B").replace(" ", "%20")
    name = f"By%20Hand%20{position}"
    return f"crm.lead.add?fields[TITLE]={name}&fields[NAME]={name}&fields[PHONE][0][VALUE]={value}"


def _import(operator: Operator, size: Size) -> None:
    file = operator.folder / "users.csv"
    rows = [f"User {number},+7701{_phone(number)}" for number in range(size.users)]
    file.write_text("\n".join(["full_name,phone", *rows]), encoding="utf-8")
    code, _ = operator.run("import", str(file), "--json")
    assert code == 0


def _await_done(operator: Operator, size: Size) -> None:
    """Wait until all but the ambiguous are synced."""
    seen: dict[str, Any] = {}

    def is_done() -> bool:
        _, (status,) = operator.run("status", "--json")
        seen.update(ledger := status["ledger"])
        assert ledger["failed"] == ledger["retrying"], "nothing fails for good"
        waiting, held = ledger["waiting"], ledger["held"]
        return bool(waiting == held == size.ambiguous and not ledger["failed"])

    try:
        eventually(is_done, _DRAIN_S, "all but the held are synced")
    except NotInTime as error:
        raise AssertionError(f"{error}; at last: {seen}") from None


def _check_leads(system: System, size: Size, lead_by_user: dict[int, int]) -> None:
    assert system.control("GET", "duplicates") == []
    leads = {int(lead["ID"]): lead for lead in system.control("GET", "leads")}
    assert len(leads) == size.leads + size.new, "no lead too many, none too few"
    origins = Counter(lead["ORIGIN_ID"] for lead in leads.values() if lead["ORIGIN_ID"])
    assert len(origins) == size.users - size.ambiguous
    assert max(origins.values()) == 1
    assert all(leads[lead]["ORIGIN_ID"] == str(user) for user, lead in lead_by_user.items())
    assert all(len(lead["PHONE"]) == 1 for lead in leads.values()), "a phone is replaced, not added"


def _calls(system: System) -> dict[str, Any]:
    return dict(system.control("GET", "calls"))


def _writes(calls: dict[str, Any]) -> int:
    """How many of these calls write."""
    return sum(count for name, count in calls["methods"].items() if name.endswith(_WRITING))


def main() -> None:
    """Run it on a system of its own, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in vars(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lost-share", type=float, default=0.05)
    parser.add_argument("--kills", action="store_true")
    options = vars(parser.parse_args())
    lost_share, kills = options.pop("lost_share"), options.pop("kills")
    size = Size(**options)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder)
        made = System(State(root / "system"), dict(SETTINGS))
        with Forks() as forks, system_logs.leak_checked(made) as system:
            (root / "state").mkdir()
            operator = Operator(system, forks, root / "state")
            result = check_first_match(operator, size, lost_share, kills=kills)
            # Before the search for personal data in all logs, which takes minutes.
            sys.stdout.write(f"{json.dumps(vars(result) | vars(size))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
