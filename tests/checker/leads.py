"""P2 and P3: one lead for each user, which equals its user in the end."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.checker.history import (
    FULL_NAME,
    PHONE,
    STAGE,
    History,
    Lead,
    LeadWrite,
    LedgerEvent,
    LedgerUser,
    Violation,
)
from tests.checker.reading import acknowledged_writes, events_of_users, is_lost

#: Maximum duration of a call: it may write a lead this long after Redis has forgotten it.
LONGEST_CALL_S = 70.0


def a_user_has_one_lead(history: History) -> Iterator[Violation]:
    """Of each origin at most one create is executed; each lead deleted by hand allows one more.

    Creates count if they ran, whether or not they were answered or their lead still exists. In the
    end no origin has two leads, and each belongs to an existing user or to one lost in a fork.
    """
    for user, creates in _creates(history).items():
        deletes = [
            write.at
            for lead in history.leads
            for write in lead.writes
            if lead.user == user and _is_deletion_by_hand(write)
        ]
        is_alive = False
        changes = [(at, True) for at in creates] + [(at, False) for at in deletes]
        for at, is_create in sorted(changes):
            if is_create and is_alive:
                yield Violation("one lead", "P2", f"created again at {at}: {sorted(creates)}", user)
                break
            is_alive = is_create
    yield from _leads_in_the_end(history)


def _creates(history: History) -> dict[int, list[float]]:
    """When leads were created for each user: by requests or by the leads, whichever show more."""
    found: dict[int, list[float]] = defaultdict(list)
    for request in history.requests:
        for command in request.commands:
            if command.method.endswith(".add") and command.result == "done":
                at = request.at if command.at is None else command.at
                for user in command.users:
                    found[user].append(at)
    by_leads: dict[int, list[float]] = defaultdict(list)
    for lead in history.leads:
        for write in lead.writes:
            if (write.kind, write.by) == ("create", "us"):
                by_leads[lead.user].append(write.at)
    more = {user: moments for user, moments in by_leads.items() if len(moments) > len(found[user])}
    return found | more


def _leads_in_the_end(history: History) -> Iterator[Violation]:
    leads = Counter(lead.user for lead in history.leads if not lead.is_deleted)
    lost = {user for fork in history.injected.forks for user, _ in fork.lost}
    for user, count in leads.items():
        if count > 1:
            yield Violation("one lead", "P2", f"{count} leads in the end", user)
        if user not in history.users and user not in lost:
            yield Violation("one lead", "P2", "a lead of no user", user)


def the_lead_is_its_user(history: History) -> Iterator[Violation]:
    """In the end the lead of a synced user has its name, its stage and, in our only row, its phone.

    A value set by hand in the CRM may stay where no later client write changed it: for a stage,
    none that set a stage; for name and phone, none that differed from what we had written before,
    or found in the lead, where a person had set it. A stage that we wrote for a version which
    Postgres lost, in a call that Redis has lost as well, looks the same and may stay too. A lead
    deleted by hand may be missing until a later write has to reach it.
    """
    leads = {lead.user: lead for lead in history.leads if not lead.is_deleted}
    for user_id, user in history.users.items():
        if user.sync_status != "synced":
            continue
        lead = leads.get(user_id)
        if lead is None:
            if not _may_be_missing(user, history):
                yield Violation("lead is user", "P3", "no lead", user_id)
            continue
        if user.lead_id != lead.id:
            yield Violation("lead is user", "P3", f"{user} has another lead: {lead.id}", user_id)
        for name in _differing(lead, user):
            if not _may_stay(name, lead, user, history):
                yield Violation("lead is user", "P3", f"{name} of {lead} is not {user}", user_id)


def _differing(lead: Lead, user: LedgerUser) -> Iterator[str]:
    name = user.state.full_name
    if lead.title != name or lead.name not in {None, name[:50]}:
        yield FULL_NAME
    if _own_rows(lead) != [user.state.phone]:
        yield PHONE
    if lead.stage != user.state.stage:
        yield STAGE


def _own_rows(lead: Lead) -> list[str]:
    """The lead's phones except those that a person has added."""
    added = Counter(
        write.fields["phone_added"] for write in lead.writes if "phone_added" in write.fields
    )
    rows = []
    for phone in reversed(lead.phones):  # a person's phones come last
        if added[phone]:
            added[phone] -= 1
        else:
            rows.append(phone)
    return rows[::-1]


def _lead_value(name: str, lead: Lead) -> str | None:
    """The lead's value of this field, "" for no phone; None if it has several phones of ours."""
    if name == PHONE:
        rows = _own_rows(lead)
        if len(rows) > 1:
            return None
        return rows[0] if rows else ""
    return lead.title if name == FULL_NAME else lead.stage


def _may_stay(name: str, lead: Lead, user: LedgerUser, history: History) -> bool:
    """Whether the lead differs from its user by hand, and no later write had to change that."""
    writes = [write for write in lead.writes if name in write.fields]
    if name == STAGE and writes and _is_forgotten(writes[-1], user, history):
        return True
    if not writes or writes[-1].by != "hand" or writes[-1].fields[name] != _lead_value(name, lead):
        return False
    our_values = [write.fields[name] for write in writes if write.by == "us"]
    user_value: str = getattr(user.state, name)
    if not our_values or (
        our_values[-1] != user_value and not _had_value(name, user_value, user, writes, history)
    ):
        return False
    return name != STAGE or not any(
        write.user == user.id and STAGE in write.changes and write.at > writes[-1].at
        for write in acknowledged_writes(history)
        if not is_lost(write, history)
    )


def _had_value(
    name: str, value: str, user: LedgerUser, writes: list[LeadWrite], history: History
) -> bool:
    """Whether the lead had this value when a client last wrote it, or after that, and lost it."""
    requested_at = [
        write.at
        for write in history.writes
        if write.user == user.id and write.changes.get(name) == value
    ]
    if not requested_at:
        return False
    before = [write for write in writes if write.at <= max(requested_at)][-1:]
    since = [write for write in writes if write.at > max(requested_at)]
    earlier_writes = (before + since)[:-1]  # the last one set the lead's present value
    return any(write.fields[name] == value for write in earlier_writes)


def _is_forgotten(write: LeadWrite, user: LedgerUser, history: History) -> bool:
    """Whether Postgres and Redis both lost the write of a stage: it looks set by hand."""
    if write.by != "us" or write.written is None:
        return False
    return _was_lost(write, user.id, history) and any(
        at > write.at - LONGEST_CALL_S for at in history.injected.redis_losses
    )


def _was_lost(write: LeadWrite, user_id: int, history: History) -> bool:
    """Whether Postgres has lost the version that was written."""
    if write.written is None:
        return False
    _, version = write.written
    return any((user_id, version) in fork.lost for fork in history.injected.forks)


def _may_be_missing(user: LedgerUser, history: History) -> bool:
    """Whether a person deleted the lead, and no later client write had to reach it."""
    deletions = [
        (lead.writes[-1].at, lead)
        for lead in history.leads
        if lead.user == user.id and lead.writes and _is_deletion_by_hand(lead.writes[-1])
    ]
    if not deletions:
        return False
    at, lead = max(deletions, key=lambda item: item[0])
    written: dict[str, str] = {}
    for write in lead.writes:
        if write.by == "us":
            written |= write.fields
    later = [
        write
        for write in acknowledged_writes(history)
        if write.user == user.id and write.at > at and not is_lost(write, history)
    ]
    is_touched = any(STAGE in write.changes for write in later)
    is_same = all(written.get(key, value) == value for key, value in vars(user.state).items())
    return not later or (is_same and not is_touched)


def _is_deletion_by_hand(write: LeadWrite) -> bool:
    return (write.kind, write.by) == ("delete", "hand")


def a_stage_set_by_hand_is_kept(history: History) -> Iterator[Violation]:
    """Only a write that set a stage lets us overwrite a stage that a person set.

    That write must have succeeded after the person's change: a retry, a repair or an update without
    a stage leaves the stage alone. Excused is our first write after Postgres lost writes of the
    user, which reverts the stage that the lost writes had set; and any of our writes once Redis has
    lost its data since a write that set a stage.
    """
    if not history.is_broker_complete:
        return
    settled: dict[str, float] = {}
    for reply in history.replies:
        if reply.status == "success":
            settled[reply.event_id] = min(reply.at, settled.get(reply.event_id, reply.at))
    touches: dict[int, list[LedgerEvent]] = defaultdict(list)
    for event in history.events:
        if STAGE in event.changed or event.action == "create_card":
            touches[event.user].append(event)
    losses = history.injected.redis_losses
    for lead in history.leads:
        for by_hand_at, write in _stages_overwritten(lead):
            restores = _restores_lost_stage(lead, by_hand_at, write.at, history)
            if restores or _client_had_set(write, lead, history):
                continue
            ends = [settled.get(event.id, write.at) for event in touches[lead.user]]
            has_cause = any(end > by_hand_at for end in ends)
            is_forgotten = any(min(ends, default=0) <= loss <= write.at for loss in losses)
            if not has_cause and not is_forgotten:
                what = (
                    f"the stage set by hand at {by_hand_at} was overwritten at {write.at}: {lead}"
                )
                yield Violation("stage by hand", "P3", what, lead.user)


def _restores_lost_stage(
    lead: Lead, by_hand_at: float, written_at: float, history: History
) -> bool:
    """Whether we wrote a stage then for the first time since Postgres lost writes of this user."""
    our_stage_writes = [
        write.at
        for write in lead.writes
        if write.by == "us" and STAGE in write.fields and not _was_lost(write, lead.user, history)
    ]
    last = max((at for at in our_stage_writes if at < written_at), default=float("-inf"))
    return any(
        last <= fork.at <= by_hand_at and lead.user in {user for user, _ in fork.lost}
        for fork in history.injected.forks
    )


def _client_had_set(write: LeadWrite, lead: Lead, history: History) -> bool:
    """Whether this first writes a stage that a client gave in a version that Postgres lost."""
    is_first = all(other.written != write.written for other in lead.writes if other.at < write.at)
    return is_first and any(
        (client_write.user, client_write.version) == (lead.user, write.written and write.written[1])
        and STAGE in client_write.changes
        and _was_lost(write, lead.user, history)
        for client_write in acknowledged_writes(history)
    )


def _stages_overwritten(lead: Lead) -> Iterator[tuple[float, LeadWrite]]:
    """When a person set a stage, and our write that replaced it with another."""
    by_hand: LeadWrite | None = None
    for write in lead.writes:
        if STAGE not in write.fields:
            continue
        if write.by == "us" and by_hand and by_hand.fields[STAGE] != write.fields[STAGE]:
            yield by_hand.at, write
        by_hand = write if write.by == "hand" else None


def leads_never_go_back(history: History) -> Iterator[Violation]:
    """The versions that we wrote to a lead never decrease, by (history, version).

    Where the harness does not know the version of a write, there must at least be an ascending
    sequence of versions that could have been written.
    """
    events = events_of_users(history)
    for lead in history.leads:
        ours = [write for write in lead.writes if write.by == "us" and write.kind != "delete"]
        written_states = [write.written for write in ours if write.written is not None]
        if written_states != sorted(written_states):
            yield Violation("never back", "P3", f"written in the order {written_states}", lead.user)
        elif len(written_states) < len(ours) and not history.injected.forks:
            yield from _impossible_order(lead, ours, events.get(lead.user, []))


def _impossible_order(
    lead: Lead, writes: list[LeadWrite], events: list[LedgerEvent]
) -> Iterator[Violation]:
    """The first write that no version from the previous write's on explains; greedy search."""
    position = 0
    for write in writes:
        while position < len(events) and not _may_have_written(events[position], write):
            position += 1
        if position == len(events):
            what = f"no ascending versions explain {[write.fields for write in writes]}"
            yield Violation("never back", "P3", what, lead.user)
            return


def _may_have_written(event: LedgerEvent, write: LeadWrite) -> bool:
    return all(getattr(event.state, name) == value for name, value in write.fields.items())


RULES = (
    a_user_has_one_lead,
    the_lead_is_its_user,
    a_stage_set_by_hand_is_kept,
    leads_never_go_back,
)
