"""One request for many users: its commands, and which user needs which."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from leadline.bitrix24 import leads
from leadline.bitrix24.client import MAX_COMMANDS
from leadline.bitrix24.command import Command
from leadline.sync.decide import Lookup, Plan, Write, originator_of
from leadline.workqueue.entry import Entry


@dataclass(frozen=True, slots=True)
class Step:
    """The plan for one user, and the commands it needs."""

    entry: Entry
    plan: Plan
    #: Keys of its commands in the batch; lookups share commands.
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The steps of one call and their commands."""

    steps: list[Step]
    commands: dict[str, Command]

    @property
    def methods(self) -> Counter[str]:
        """The number of commands by method."""
        return Counter(command.method for command in self.commands.values())

    def limited_to(self, allowed: Mapping[str, int]) -> "BatchRequest":
        """The request with only the first commands of each method, as many as are allowed."""
        left = Counter(allowed)
        chosen = {}
        for key, command in self.commands.items():
            if left[command.method] > 0:
                left[command.method] -= 1
                chosen[key] = command
        return BatchRequest(self.steps, chosen)

    def covers(self, step: Step) -> bool:
        """Whether the request has all commands of this step."""
        return all(key in self.commands for key in step.keys)


def build(entries: list[Entry], decide: Callable[[Entry], Plan]) -> BatchRequest:
    """Build a batch: one command per user to write, and a few shared ones for all lookups.

    `decide` says what each user needs.
    Lookups come first, as a user may need two commands; writes beyond the batch wait for the next
    one. If a user needs a request of its own, all others wait.
    """
    plans = [(entry, decide(entry)) for entry in entries]
    lookups = _lookups([entry for entry, planned in plans if isinstance(planned, Lookup)])
    commands: dict[str, Command] = {}
    for shared in lookups.values():
        commands |= shared
    commands |= {
        _write_key(entry): planned.command for entry, planned in plans if isinstance(planned, Write)
    }
    steps = []
    for entry, planned in plans:
        keys: tuple[str, ...] = ()
        if isinstance(planned, Write):
            keys = (_write_key(entry),)
        elif isinstance(planned, Lookup):
            keys = tuple(lookups[entry.user_id])
        steps.append(Step(entry, planned, keys))
    alone = next((step for step in steps if step.entry.needs_own_request and step.keys), None)
    if alone:
        commands = {key: commands[key] for key in alone.keys}
    return BatchRequest(steps, dict(islice(commands.items(), MAX_COMMANDS)))


def _lookups(entries: list[Entry]) -> dict[int, dict[str, Command]]:
    """The commands that look up each user, by user id; several users share them."""
    by_user: dict[int, dict[str, Command]] = {}
    for number, group in enumerate(_lookup_groups(entries)):
        users = [entry.user_id for entry in group]
        commands = {f"origins{number}": leads.list_by_origins(users, originator_of(group[0]))}
        known_ids = [entry.known_lead_id for entry in group if entry.known_lead_id is not None]
        if known_ids:
            commands[f"ids{number}"] = leads.list_by_ids(known_ids)
        by_user |= dict.fromkeys(users, commands)
    return by_user


def _lookup_groups(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Groups of entries that share a lookup: one originator, few enough to leave room on a page."""
    yield from ([entry] for entry in entries if entry.needs_own_request)
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.needs_own_request:
            groups.setdefault(originator_of(entry), []).append(entry)
    for group in groups.values():
        for start in range(0, len(group), leads.LOOKUP_MAX):
            yield group[start : start + leads.LOOKUP_MAX]


def _write_key(entry: Entry) -> str:
    # Not a bare number: for a batch with such keys the portal returns a list.
    return f"u{entry.user_id}"
