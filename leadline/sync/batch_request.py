"""One request for many users: its commands, and the ones that each user needs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from leadline.bitrix24 import leads, quiet_import
from leadline.bitrix24.client import MAX_COMMANDS
from leadline.bitrix24.command import Command
from leadline.sync.decide import Find, Lookup, Plan, Read, Write, originator_of
from leadline.sync.duplicates import commands as searches
from leadline.sync.duplicates.commands import CommandsByUser
from leadline.workqueue.entries.entry import Entry


@dataclass(frozen=True, slots=True)
class Step:
    """The plan for one user, and the commands it needs."""

    entry: Entry
    plan: Plan
    #: Keys of its commands in the batch; lookups share commands.
    keys: tuple[str, ...]
    #: Position of the user's lead within an import command; None: it has its own command.
    position: int | None = None

    @property
    def is_import(self) -> bool:
        """Whether the lead is created by an import command, which other users share."""
        return self.position is not None


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
        remaining = Counter(allowed)
        commands = {}
        for key, command in self.commands.items():
            if remaining[command.method] > 0:
                remaining[command.method] -= 1
                commands[key] = command
        return BatchRequest(self.steps, commands)

    def covers(self, step: Step) -> bool:
        """Whether the request has all commands of this step."""
        return all(key in self.commands for key in step.keys)


def build(
    entries: list[Entry], decide: Callable[[Entry], Plan], *, imports: bool = False
) -> BatchRequest:
    """Build a batch: one command per user to write, and a few shared ones for all lookups.

    `decide` returns the plan for a user. `imports`: the portal supports imports, which create the
    leads of quiet users, many in a command. Lookups come first, as a user may need two commands for
    its lookup; writes beyond the batch wait for the next. If a user needs its own request, the
    others wait.
    """
    plans = [(entry, decide(entry)) for entry in entries]
    reads = _reads(plans)
    commands: dict[str, Command] = {}
    for shared_commands in reads.values():
        commands |= shared_commands
    writes = [
        Step(entry, planned, _write_keys(entry))
        for entry, planned in plans
        if isinstance(planned, Write)
    ]
    if imports:
        writes, imported = _imports(writes)
        commands |= imported
    commands |= {
        step.keys[0]: step.plan.command
        for step in writes
        if isinstance(step.plan, Write) and not step.is_import
    }
    writes_by_user = {step.entry.user_id: step for step in writes}
    steps = [
        writes_by_user.get(entry.user_id)
        or Step(entry, planned, tuple(reads.get(entry.user_id, ())))
        for entry, planned in plans
    ]
    alone = next((step for step in steps if step.entry.needs_own_request and step.keys), None)
    if alone:
        commands = {key: commands[key] for key in alone.keys}
    return BatchRequest(steps, dict(islice(commands.items(), MAX_COMMANDS)))


def _reads(plans: list[tuple[Entry, Plan]]) -> CommandsByUser:
    """The commands of all plans but writes, by user; several users share them."""
    builders: dict[type[Plan], Callable[[list[Entry]], CommandsByUser]] = {
        Lookup: _lookups,
        Find: searches.find_commands,
        Read: searches.read_commands,
    }
    reads: CommandsByUser = {}
    for kind, build_commands in builders.items():
        reads |= build_commands([entry for entry, planned in plans if isinstance(planned, kind)])
    return reads


def _lookups(entries: list[Entry]) -> CommandsByUser:
    """The commands that look up each user; several users share them."""
    by_user: CommandsByUser = {}
    for number, group in enumerate(_lookup_groups(entries)):
        users = [entry.user_id for entry in group]
        commands = {f"origins{number}": leads.list_by_origins(users, originator_of(group[0]))}
        known_ids = [lead_id for entry in group for lead_id in entry.known_lead_ids]
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


def _imports(writes: list[Step]) -> tuple[list[Step], dict[str, Command]]:
    """The steps, those of quiet users with shared import commands, and these commands."""
    quiet = [
        (step, step.plan.command)
        for step in writes
        if isinstance(step.plan, Write) and step.plan.is_create and step.entry.is_quiet
    ]
    steps = {step.entry.user_id: step for step in writes}
    commands: dict[str, Command] = {}
    for start in range(0, len(quiet), quiet_import.LEADS_MAX):
        group = quiet[start : start + quiet_import.LEADS_MAX]
        key = f"import{start}"
        commands[key] = quiet_import.import_all([create for _, create in group])
        for position, (step, _) in enumerate(group):
            steps[step.entry.user_id] = replace(step, keys=(key,), position=position)
    return list(steps.values()), commands


def _write_keys(entry: Entry) -> tuple[str]:
    """The key of a user's own command, as the keys of a step."""
    # Not a bare number: for a batch with such keys the portal returns a list.
    return (f"u{entry.user_id}",)
