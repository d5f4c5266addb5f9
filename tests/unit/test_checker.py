"""Tests of the checker: a history that keeps every rule, and for each rule some that break it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.checker import attempts, dead_letters, leads, ledger, rate, replies, texts
from tests.checker.check import RULES, check
from tests.checker.dead_letters import LOST
from tests.checker.history import (
    ClientWrite,
    Command,
    DeadLetter,
    Fork,
    History,
    InjectedFaults,
    Lead,
    LeadWrite,
    LedgerEvent,
    LedgerUser,
    PortalRequest,
    Publication,
    Rate,
    Reply,
    State,
    Text,
    Violation,
)

Rule = Callable[[History], Iterator[Violation]]

A = State("Алиса Тайная", "+77001112233", "NEW")
B = State("Борис Тайный", "+77001112233", "NEW")
MOVED = replace(A, stage="JUNK")
WHOLE = {"full_name": A.full_name, "phone": A.phone, "stage": A.stage}
NAME_B, NAME_A, JUNK = {"full_name": B.full_name}, {"full_name": A.full_name}, {"stage": "JUNK"}


def create(at: float = 0, user: int = 1, **extra: Any) -> ClientWrite:
    ok: dict[str, Any] = {"status": 201, "version": 1, "answered": A, **extra}
    return ClientWrite(at, "create_card", WHOLE, user=user, **ok)


def update(at: float, version: int, changes: dict[str, str], answered: State, **extra: Any) -> Any:
    action: Any = "move_card" if set(changes) == {"stage"} else "update_card"
    ok: dict[str, Any] = {
        "status": 200,
        "version": version,
        "answered": answered,
        "user": 1,
        **extra,
    }
    return ClientWrite(at, action, changes, **ok)


def unanswered(write: ClientWrite) -> ClientWrite:
    """The write as its client saw it if the answer was lost."""
    return replace(write, status=0, version=None, answered=None)


def event(version: int, state: State, changed: str = "", **extra: Any) -> LedgerEvent:
    action: Any = "create_card" if version == 1 else "update_card"
    action = "move_card" if changed == "stage" else action
    values: dict[str, Any] = {"user": 1, "outcome": "synced", "attempts": 1, **extra}
    fields = frozenset(changed.split()) if version > 1 else frozenset(WHOLE)
    return LedgerEvent(
        f"e{version}", version=version, action=action, changed=fields, state=state, **values
    )


def user(version: int, state: State, **extra: Any) -> dict[int, LedgerUser]:
    return {1: LedgerUser(1, version, state, **{"sync_status": "synced", "lead_id": 7, **extra})}


def reply(version: int, at: float = 0, **extra: Any) -> Reply:
    fields: dict[str, Any] = {"status": "success", "outcome": "synced", "attempts": 1, **extra}
    return Reply(f"e{version}", 1, at=at, version=version, **fields)


def command(method: str = "crm.item.update", **extra: Any) -> Command:
    fields: dict[str, Any] = {"result": "done", "users": (1,), "is_answer_read": True, **extra}
    return Command(method, **fields)


def request(at: float, *commands: Command, fate: Any = "executed", **extra: Any) -> PortalRequest:
    return PortalRequest(at, "127.0.0.1 code", fate, commands, **extra)


def wrote(at: float, fields: dict[str, str], written: tuple[int, int] | None = None) -> LeadWrite:
    """An update of the lead by us; `written`: history and version of the written state."""
    return LeadWrite(at, "us", "update", fields, written)


def creation(at: float, written: tuple[int, int] | None = None) -> LeadWrite:
    """The creation of the lead by us."""
    return LeadWrite(at, "us", "create", WHOLE, written)


def by_hand(at: float, **fields: str) -> LeadWrite:
    return LeadWrite(at, "hand", "update", fields)


def deletion(at: float) -> LeadWrite:
    """The deletion of the lead by a person."""
    return LeadWrite(at, "hand", "delete")


def lead(state: State, *writes: LeadWrite, **extra: Any) -> Lead:
    fields = {"title": state.full_name, "phones": (state.phone,), "stage": state.stage, **extra}
    return Lead(**{"id": 7, "user": 1, "writes": writes, **fields})


#: A user was created, renamed and renamed back; then moved under a precondition. All succeeded.
VALID = History(
    writes=(
        create(0, key="k1"),
        create(1, key="k1"),
        update(2, 2, NAME_B, B),
        update(3, 3, NAME_A, A, if_match=2),
        update(9, 4, JUNK, MOVED, if_match=3),
        replace(unanswered(update(10, 0, JUNK, A, if_match=3)), status=412),
    ),
    users=user(4, MOVED),
    events=(
        event(1, A),
        event(2, B, "full_name", outcome="superseded"),
        event(3, A, "full_name"),
        event(4, MOVED, "stage"),
    ),
    publications=tuple(Publication(f"e{version}", version) for version in (1, 2, 3, 4)),
    replies=(
        reply(1, 1),
        reply(2, 4, outcome="superseded"),
        reply(3, 4),
        reply(4, 19, attempts=3),
    ),
    is_broker_complete=True,
    requests=(
        request(1, command("crm.item.add", events=("e1",))),
        request(10, command(events=("e4",)), fate="refused"),
        request(11, command(events=("e4",), result="error")),
        request(13, command("crm.lead.list", events=("e4",), is_answer_read=False)),
        request(17, command("crm.lead.list", events=("e4",))),
        request(17.1, command(events=("e4",))),
    ),
    leads=(lead(MOVED, creation(1), wrote(17.1, JUNK)),),
    texts=(Text("worker.log", '{"event": "completed", "user_id": 1}'),),
    secrets=frozenset({A.full_name, B.full_name, A.phone, "local-webhook-code"}),
)


def valid_with(**changes: Any) -> History:
    """The valid history with these parts replaced."""
    return replace(VALID, **changes)


def faults(**changes: Any) -> InjectedFaults:
    return replace(VALID.injected, **changes)


def test_a_history_that_keeps_every_rule_breaks_none() -> None:
    assert check(VALID) == []


def test_an_event_settled_by_a_lookup_has_had_one_attempt() -> None:
    history = on_portal(
        request(1, command("crm.lead.list", events=("e4",))),
        replies=(reply(4, 3, status="error", outcome="failed"),),
    )
    assert [*attempts.refusals_cost_no_attempt(history)] == []


def one_user(*writes: ClientWrite, events: tuple[LedgerEvent, ...], **extra: Any) -> History:
    """A history with the ledger only."""
    last = events[-1]
    fields = {"users": user(last.version, last.state), **extra}
    return History(writes=writes, events=events, **fields)


def on_portal(*requests: PortalRequest, **extra: Any) -> History:
    """A history with the portal's requests only."""
    return History(requests=requests, **extra)


def of_lead(last: State, *leads_: Lead, events: Any = None, **extra: Any) -> History:
    """A history of a lead whose user has the state `last`."""
    events = events or (event(1, A), event(2, last, "full_name phone stage"))
    extra = {"users": user(events[-1].version, last), **extra}
    return History(events=events, leads=leads_, **extra)


FAILED: dict[str, Any] = {"result": "error", "events": ("e4",)}
#: A fork at 5 s, which lost version 2 of user 1.
LOST_2 = Fork(5, frozenset({(1, 2)}), history_before=3)
FORKED = InjectedFaults(forks=(LOST_2,))

#: For each rule, histories that break it, by what is wrong in them.
BREAKING: dict[Rule, dict[str, History]] = {
    ledger.acknowledged_writes_are_kept: {
        "a version is missing": valid_with(events=VALID.events[:3]),
        "a version has another state": valid_with(
            events=(*VALID.events[:3], replace(VALID.events[3], state=A))
        ),
        "the version of another user is missing": valid_with(
            writes=(*VALID.writes, create(11, user=2)), users=VALID.users
        ),
        "the fork came before the answer": one_user(
            create(), update(9, 2, NAME_B, B, era=1), events=(event(1, A),), injected=FORKED
        ),
        "the fork lost another version": one_user(
            create(), update(1, 3, NAME_B, B), events=(event(1, A),), injected=FORKED
        ),
    },
    ledger.every_version_ends: {
        "open": valid_with(events=(replace(VALID.events[0], outcome="open"), *VALID.events[1:])),
        "the newest is superseded": one_user(events=(event(1, A, outcome="superseded"),)),
        "failed for a transient reason": one_user(
            events=(event(1, A, outcome="failed", reason="HTTP 502"),),
            users=user(1, A, sync_status="failed"),
            injected=InjectedFaults(rejections=frozenset({"not wanted"})),
        ),
        "failed for a reason that only begins alike": one_user(
            events=(event(1, A, outcome="failed", reason="not wanted at all"),),
            users=user(1, A, sync_status="failed"),
            injected=InjectedFaults(rejections=frozenset({"not wanted", "not wanted at al"})),
        ),
        "its user waits": valid_with(users=user(4, MOVED, sync_status="waiting")),
        "its user failed": valid_with(users=user(4, MOVED, sync_status="failed")),
    },
    ledger.nothing_is_stored_unasked: {
        "a refused write": one_user(
            create(), replace(update(1, 2, NAME_B, B), status=412, version=None),
            events=(event(1, A), event(2, B, "full_name")),
        ),
        "an unanswered write twice": one_user(
            create(), unanswered(update(1, 2, NAME_B, B)),
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
        "repeats of one key twice": one_user(
            create(), *[unanswered(update(at, 2, NAME_B, B, key="k")) for at in (1, 2)],
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
        "a key that was unanswered and then answered, twice": one_user(
            create(),
            unanswered(update(1, 2, NAME_B, B, key="k")),
            update(2, 3, NAME_B, B, key="k"),
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
        "an unanswered write of another user": one_user(
            create(), unanswered(update(1, 2, NAME_B, B, user=2)),
            events=(event(1, A), event(2, B, "full_name")),
        ),
        "an unanswered precondition of another version": one_user(
            create(), update(0, 2, JUNK, MOVED), unanswered(update(1, 2, NAME_B, B, if_match=1)),
            events=(
                event(1, A), event(2, MOVED, "stage"),
                event(3, replace(MOVED, full_name=B.full_name), "full_name"),
            ),
        ),
        "two creates, one of them unanswered": History(
            writes=(unanswered(create()),),
            events=(event(1, A), event(1, A, user=2)),
        ),
    },
    ledger.repeats_are_answered_alike: {
        "another version": one_user(
            create(key="k"), update(1, 2, NAME_B, B, key="j"), update(2, 3, NAME_B, B, key="j"),
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
        "another user": History(writes=(create(key="k"), create(1, user=2, key="k"))),
        "another state": History(writes=(create(key="k"), create(1, key="k", answered=B))),
    },
    ledger.conditional_writes_form_a_chain: {
        "a stale precondition": one_user(
            create(), update(1, 2, NAME_B, B, if_match=1), update(2, 3, NAME_A, A, if_match=1),
            events=(event(1, A), event(2, B, "full_name"), event(3, A, "full_name")),
        ),
        "a version answered to two": History(
            writes=(create(), update(1, 2, NAME_B, B), update(2, 2, JUNK, MOVED))
        ),
        "a version answered to two, both lost by a fork": History(
            writes=(create(), update(1, 2, NAME_B, B), update(2, 2, JUNK, MOVED)), injected=FORKED
        ),
        "a version answered again after a fork that had kept it": History(
            writes=(create(), update(1, 3, NAME_B, B), update(2, 3, JUNK, MOVED, era=1)),
            injected=FORKED,
        ),
        "a precondition on the last version failed": History(
            writes=(create(), replace(update(1, 2, JUNK, A, if_match=1), status=412)),
            users=user(1, A),
        ),
    },
    ledger.each_version_is_the_one_before_with_its_changes: {
        "a gap": one_user(events=(event(1, A), event(3, B, "full_name"))),
        "a change that undoes an earlier one": one_user(
            events=(event(1, A), event(2, B, "full_name"), event(3, MOVED, "stage"))
        ),
        "a resync that changes the user": one_user(events=(event(1, A), event(2, B, ""))),
        "a requested change is missing": one_user(
            create(), update(1, 2, NAME_B, A), events=(event(1, A), event(2, A, "full_name"))
        ),
        "the event names another changed field": one_user(
            create(), update(1, 2, NAME_A, A), events=(event(1, A), event(2, A, "phone"))
        ),
        "the user is not its last event": valid_with(users=user(4, A)),
        "the user has a version without event": valid_with(users=user(5, MOVED)),
        "no user": valid_with(users={}),
    },
    ledger.ids_are_not_reissued: {
        "two clients have one user": History(writes=(create(), create(1))),
        "after a fork": History(
            writes=(create(), create(9, era=1)),
            injected=InjectedFaults(forks=(replace(LOST_2, lost=frozenset({(1, 1)})),)),
        ),
    },
    ledger.no_fork_goes_unnoticed: {
        "the number is as before": History(injected=FORKED, history_number=3),
        "there is no number": History(injected=FORKED),
        "versions of an older history come later": one_user(
            events=(event(1, A, history=4), event(2, B, "full_name", history=3))
        ),
    },
    replies.an_event_has_one_final_reply: {
        "a success and an error": valid_with(
            replies=(*VALID.replies, reply(1, 2, status="error", outcome="failed"))
        ),
        "synced and superseded": valid_with(
            replies=(*VALID.replies, reply(3, 5, outcome="superseded"))
        ),
        "the same twice": valid_with(replies=(*VALID.replies, reply(3, 5))),
        "the loss came before the event": valid_with(
            replies=(*VALID.replies, reply(4, 20)), injected=faults(losses=((0, 3.5),))
        ),
        "sent twice and answered three times": valid_with(
            publications=(*VALID.publications, Publication("e4", 15)),
            replies=(*VALID.replies, reply(4, 20), reply(4, 21)),
        ),
    },
    replies.the_ledger_has_the_replied_outcome: {
        "no reply": valid_with(replies=VALID.replies[:3]),
        "a success that the ledger has as a failure": valid_with(
            events=(replace(VALID.events[0], outcome="failed"), *VALID.events[1:]),
            replies=(reply(1, 0.9, status="error", outcome="failed"), *VALID.replies),
        ),
        "an error that the ledger has as a success": valid_with(
            replies=(*VALID.replies[:3], reply(4, 19, status="error", outcome="failed"))
        ),
        "another version": valid_with(
            replies=(*VALID.replies[:3], replace(VALID.replies[3], version=3))
        ),
    },
    leads.a_user_has_one_lead: {
        "two leads": of_lead(A, lead(A, creation(0)), lead(A, creation(1), id=8)),
        "two creates, one lead is gone": of_lead(
            A,
            lead(A, creation(0)),
            requests=(request(0, command("crm.item.add")), request(1, command("crm.item.add"))),
        ),
        "one request creates twice": on_portal(
            request(0, command("crm.item.add"), command("crm.item.add"))
        ),
        "created again before the first was deleted": of_lead(
            A, lead(A, creation(0), deletion(5), is_deleted=True), lead(A, creation(4), id=8)
        ),
        "deleted once, created three times": of_lead(
            A,
            lead(A, creation(0), deletion(1), is_deleted=True),
            lead(A, creation(2), id=8, is_deleted=True),
            lead(A, creation(3), id=9),
        ),
        "deleted by ourselves": of_lead(
            A,
            lead(A, creation(0), LeadWrite(1, "us", "delete"), is_deleted=True),
            lead(A, creation(2), id=8),
        ),
        "another user's lead was deleted": of_lead(
            A,
            lead(A, creation(0)),
            lead(A, creation(2), id=8),
            lead(A, creation(0), deletion(1), user=2, is_deleted=True),
        ),
        "executed late, after another create": on_portal(
            request(0, command("crm.item.add", at=5)), request(1, command("crm.item.add")),
            leads=(lead(A, creation(1), deletion(0.5), is_deleted=True),),
        ),
        "of no user": History(leads=(lead(A, creation(0)),)),
    },
    leads.the_lead_is_its_user: {
        "no lead": of_lead(A),
        "another name": of_lead(B, lead(A, creation(0))),
        "another short name": of_lead(A, lead(A, creation(0), name="Алиса")),
        "another phone": of_lead(replace(A, phone="+77009998877"), lead(A, creation(0))),
        "another stage": of_lead(MOVED, lead(A, creation(0))),
        "the stage of a version that Postgres lost": of_lead(
            A, lead(MOVED, creation(0, (3, 1)), wrote(1, JUNK, (3, 2))), events=(event(1, A),),
            injected=FORKED,
        ),
        "a stage that Redis alone has lost": of_lead(
            A, lead(MOVED, creation(0, (3, 1)), wrote(1, JUNK, (3, 2))), events=(event(1, A),),
            injected=InjectedFaults(redis_losses=(0.5,)),
        ),
        "the stage of a lost version, long before Redis lost its memory": of_lead(
            A, lead(MOVED, creation(0, (3, 1)), wrote(100, JUNK, (3, 2))), events=(event(1, A),),
            injected=replace(FORKED, redis_losses=(1,)),
        ),
        "a second phone": of_lead(A, lead(A, creation(0), phones=(A.phone, "+77009998877"))),
        "the same phone twice": of_lead(A, lead(A, creation(0), phones=(A.phone, A.phone))),
        "no phone": of_lead(A, lead(A, creation(0), phones=())),
        "a person added another phone": of_lead(
            A,
            lead(
                A, creation(0), by_hand(1, phone_added="+77001110000"),
                phones=(A.phone, "+77009998877", "+77001110000"),
            ),
        ),
        "taken back, and still as in between": of_lead(
            A, lead(B, creation(0), wrote(1, NAME_B)),
            events=(event(1, A), event(2, B, "full_name"), event(3, A, "full_name")),
        ),
        "another lead's id": of_lead(A, lead(A, creation(0), id=8)),
        "set by hand, and changed by a client since": of_lead(
            B, lead(replace(A, full_name="Рука"), creation(0), by_hand(1, full_name="Рука"))
        ),
        "moved by hand, then by a client": of_lead(
            MOVED,
            lead(replace(A, stage="NEW"), creation(0), wrote(1, JUNK), by_hand(2, stage="NEW")),
            writes=(update(3, 2, JUNK, MOVED),),
        ),
        "moved by hand to elsewhere before and after a client's move": of_lead(
            MOVED,
            lead(
                replace(A, stage="Y"),
                creation(0),
                *(by_hand(1, stage="JUNK"), by_hand(2, stage="X"), by_hand(4, stage="Y")),
            ),
            writes=(update(3, 2, JUNK, MOVED),),
        ),
        "in another stage than it was moved to by hand": of_lead(
            A, lead(replace(A, stage="X"), creation(0), by_hand(1, stage="JUNK"))
        ),
        "moved by hand, then by us, and still as by hand": of_lead(
            A, lead(MOVED, creation(0), by_hand(1, stage="JUNK"), wrote(2, {"stage": "X"}))
        ),
        "deleted by hand, then renamed": of_lead(
            B, lead(A, creation(0), deletion(1), is_deleted=True), writes=(update(2, 2, NAME_B, B),)
        ),
        "deleted by hand, then moved to where it was": of_lead(
            MOVED,
            lead(A, creation(0), wrote(1, JUNK), deletion(2), is_deleted=True),
            writes=(update(3, 2, JUNK, MOVED),),
        ),
    },
    leads.a_stage_set_by_hand_is_kept: {
        "a retry or a repair": of_lead(
            A,
            lead(A, creation(0), by_hand(2, stage="JUNK"), wrote(3, {"stage": "NEW"})),
            events=(event(1, A), event(2, A)),
            replies=(reply(1, 1),), is_broker_complete=True,
        ),
        "an update that did not touch it": of_lead(
            B,
            lead(B, creation(0), by_hand(2, stage="JUNK"), wrote(3, {**NAME_B, "stage": "NEW"})),
            events=(event(1, A), event(2, B, "full_name")),
            replies=(reply(1, 1),), is_broker_complete=True,
        ),
        "after a fork that lost another's": of_lead(
            A,
            lead(A, creation(0), by_hand(2, stage="JUNK"), wrote(3, {"stage": "NEW"})),
            events=(event(1, A), event(2, A)), replies=(reply(1, 1),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(1, frozenset({(2, 2)})),)),
        ),
        "after what a fork lost was put back": of_lead(
            A,
            lead(A, creation(0), wrote(2, {"stage": "NEW"}), by_hand(3, stage="JUNK"),
                 wrote(4, {"stage": "NEW"})),
            events=(event(1, A), event(2, A)), replies=(reply(1, 1),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(1, frozenset({(1, 2)})),)),
        ),
        "a rename that a fork lost": of_lead(
            A,
            lead(
                A, creation(0, (1, 1)), by_hand(2, stage="JUNK"), wrote(4, {"stage": "X"}, (1, 2)),
            ),
            writes=(create(), update(3, 2, NAME_B, B)),
            events=(event(1, A),), replies=(reply(1, 1),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(5, frozenset({(1, 2)})),)),
        ),
        "a move that a fork lost, repeated": of_lead(
            A,
            lead(A, creation(0, (1, 1)), wrote(3, {"stage": "X"}, (1, 2)), by_hand(4, stage="JUNK"),
                 wrote(5, {"stage": "X"}, (1, 2))),
            writes=(create(), update(2, 2, JUNK, MOVED)),
            events=(event(1, A),), replies=(reply(1, 1),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(6, frozenset({(1, 2)})),)),
        ),
    },
    leads.leads_never_go_back: {
        "an older version": of_lead(A, lead(A, creation(0, (1, 1)), wrote(1, NAME_B, (1, 3)),
                                            wrote(2, NAME_A, (1, 2)))),
        "an older history": of_lead(A, lead(A, creation(0, (2, 1)), wrote(1, NAME_B, (1, 5)))),
        "what no later version has": of_lead(
            A, lead(A, creation(0), wrote(1, JUNK), wrote(2, NAME_B), wrote(3, NAME_A)),
            events=(event(1, A), event(2, B, "full_name"),
                    event(3, replace(B, stage="JUNK"), "stage")),
        ),
    },
    rate.requests_stay_within_the_limit: {
        "a burst": on_portal(*[request(0)] * 4, rate=Rate(2, 3)),
        "too fast for long": on_portal(
            *[request(at / 3) for at in range(20)], rate=Rate(2, 3)
        ),
        "after a loss of Redis": on_portal(
            *[request(0)] * 3, *[request(0.5)] * 3, rate=Rate(2, 3),
            injected=InjectedFaults(redis_losses=(0.2,), losses=((0.2, 0.2),)),
        ),
        "refused ones too": on_portal(*[request(0, fate="refused")] * 4, rate=Rate(2, 3)),
        "sent fast, arrived slowly": on_portal(
            *[request(at, sent_at=0.0) for at in range(4)], rate=Rate(2, 3)
        ),
        "fast after a disturbance": on_portal(
            *[request(9)] * 4, rate=Rate(2, 3), injected=InjectedFaults(blurs=((1, 2),))
        ),
        "faster than a disturbance explains": on_portal(
            *[request(2)] * 6, rate=Rate(2, 3), injected=InjectedFaults(blurs=((1, 2),))
        ),
    },
    attempts.attempts_keep_their_distance: {
        "the second too early": on_portal(*[request(at, command(**FAILED)) for at in (0, 1.9)]),
        "the third too early": on_portal(*[request(at, command(**FAILED)) for at in (0, 2, 5)]),
        "after an answer that was lost": on_portal(
            request(0, command(events=("e4",), is_answer_read=False)),
            request(1, command("crm.lead.list", events=("e4",))),
        ),
        "after a request that never arrived": on_portal(
            request(0, command(events=("e4",)), fate="unsent"), request(1, command(events=("e4",)))
        ),
        "after a failed lookup": on_portal(
            request(0, command("crm.lead.list", **FAILED)), request(1, command(**FAILED))
        ),
        "a lookup that succeeds in between": on_portal(
            request(0, command(**FAILED)),
            request(2, command("crm.lead.list", events=("e4",))),
            request(2, command(**FAILED)),
            request(4.1, command(events=("e4",))),
        ),
        "of a user": on_portal(request(0, command(result="error")), request(1, command())),
        "of a user, the second time": on_portal(
            request(0, command(result="error")), request(2, command(result="error")),
            request(5, command()),
        ),
        "a refusal in between shortens nothing": on_portal(
            request(0, command(**FAILED)), request(1, command(events=("e4",)), fate="refused"),
            request(1.5, command(events=("e4",))),
        ),
        "sent too early, arrived late": on_portal(
            request(0.5, command(**FAILED), sent_at=0.0),
            request(4, command(**FAILED), sent_at=1.0),
            injected=InjectedFaults(blurs=((0, 9),)),
        ),
    },
    attempts.refusals_cost_no_attempt: {
        "one attempt failed, two refused": on_portal(
            request(0, command(events=("e4",)), fate="refused"),
            request(1, command(events=("e4",)), fate="refused"),
            request(2, command(**FAILED)),
            replies=(reply(4, 3, attempts=3, status="error", outcome="failed"),),
        ),
        "a success after a refusal": on_portal(
            request(0, command(events=("e4",)), fate="refused"),
            request(1, command(events=("e4",))),
            replies=(reply(4, 3, attempts=2),),
        ),
        "a refused command of a batch": on_portal(
            request(0, command(events=("e4",), result="refused")),
            request(1, command(events=("e4",))),
            replies=(reply(4, 3, attempts=2),),
        ),
        "of a user": on_portal(
            request(0, command(), fate="refused"), request(1, command(result="error")),
            replies=(reply(4, 3, attempts=3, status="error", outcome="failed"),),
        ),
        "a refusal before a lookup that ended it": on_portal(
            request(0, command(events=("e4",)), fate="refused"),
            request(1, command("crm.lead.list", events=("e4",))),
            replies=(reply(4, 3, attempts=2, status="error", outcome="failed"),),
        ),
        "a lookup that ended nothing": on_portal(
            request(1, command("crm.lead.list", events=("e4",))),
            replies=(reply(4, 3, status="error", outcome="failed", is_transient=True),),
        ),
    },
    attempts.three_attempts_are_made: {
        "the ledger counts four": one_user(events=(event(1, A, attempts=4),)),
        "gave up early": History(
            replies=(reply(1, attempts=2, status="error", outcome="failed", is_transient=True),)
        ),
        "four at the portal": on_portal(
            *[request(at, command(**FAILED)) for at in (0, 2, 6, 12)],
            publications=(Publication("e4"),), is_broker_complete=True,
        ),
        "more than a loss explains": on_portal(
            *[request(at, command(**FAILED)) for at in (0, 2, 6, 12, 14)],
            publications=(Publication("e4"),), is_broker_complete=True,
            injected=InjectedFaults(losses=((1, 1),)),
        ),
    },
    attempts.a_permanent_error_is_tried_once: {
        "again": on_portal(
            request(0, command(**FAILED, is_final=True)), request(9, command(events=("e4",))),
            publications=(Publication("e4"),), is_broker_complete=True,
        ),
    },
    dead_letters.dead_letters_hold_only_unprocessable_messages: {
        "no reason": History(dead_letters=(DeadLetter("q.dead", "m"),)),
        "an event of the ledger": valid_with(
            dead_letters=(DeadLetter("q.dead", "m", "e1", "422"),)
        ),
        "an event of the ledger, though its user's versions were lost": valid_with(
            dead_letters=(DeadLetter("q.dead", "m", "e2", "422"),), injected=FORKED
        ),
        "a reply as if to a lost event": valid_with(
            dead_letters=(DeadLetter("r.dead", "m", "e1", f"422 {LOST}"),), injected=FORKED
        ),
    },
    dead_letters.poison_is_kept: {
        "gone": History(injected=InjectedFaults(poison={"m": "q.dead"})),
        "in another queue": History(
            dead_letters=(DeadLetter("r.dead", "m", None, "why"),),
            injected=InjectedFaults(poison={"m": "q.dead"}),
        ),
    },
    texts.nothing_personal_or_secret_is_shown: {
        text: valid_with(texts=(Text("x.log", text),))
        for text in (
            f"hello {A.full_name}",
            A.full_name.upper(),
            A.full_name.encode("unicode_escape").decode(),
            "%D0%90%D0%BB%D0%B8%D1%81%D0%B0%20%D0%A2%D0%B0%D0%B9%D0%BD%D0%B0%D1%8F",
            "%D0%90%D0%BB%D0%B8%D1%81%D0%B0+%D0%A2%D0%B0%D0%B9%D0%BD%D0%B0%D1%8F",
            "phone=77001112233",
            "phone=%2B77001112233",
            "POST https://portal/rest/1/local-webhook-code/batch",
        )
    },
}  # fmt: skip


def cases_of(histories: dict[Rule, dict[str, History]]) -> list[Any]:
    """Each rule with each of its cases, as parameters of a test."""
    return [
        pytest.param(rule, case, id=f"{rule.__name__}: {case}")
        for rule, cases in histories.items()
        for case in cases
    ]


def test_each_rule_has_a_case() -> None:
    assert set(BREAKING) == set(RULES)


@pytest.mark.parametrize(("rule", "case"), cases_of(BREAKING))
def test_a_rule_detects(rule: Rule, case: str) -> None:
    assert [*rule(BREAKING[rule][case])]


#: For each rule, histories that keep it although they look as if they broke it.
KEEPING: dict[Rule, dict[str, History]] = {
    ledger.acknowledged_writes_are_kept: {
        "lost by a fork after the answer": one_user(
            create(), update(1, 2, NAME_B, B), events=(event(1, A),), injected=FORKED
        ),
        "lost by a fork, and made again": one_user(
            create(), update(1, 2, NAME_B, B), update(9, 2, JUNK, MOVED, era=1),
            events=(event(1, A), event(2, MOVED, "stage")), injected=FORKED,
        ),
    },
    ledger.every_version_ends: {
        "rejected for good": one_user(
            events=(event(1, A, outcome="failed", reason="not wanted"),),
            users=user(1, A, sync_status="failed"),
            injected=InjectedFaults(rejections=frozenset({"not wanted"})),
        ),
        "rejected for good in a long text": one_user(
            events=(event(1, A, outcome="failed", reason="x" * 500),),
            users=user(1, A, sync_status="failed"),
            injected=InjectedFaults(rejections=frozenset({"x" * 9000})),
        ),
        "an older one failed for a transient reason": one_user(
            events=(event(1, A, outcome="failed", reason="HTTP 502"), event(2, B, "full_name"))
        ),
    },
    ledger.nothing_is_stored_unasked: {
        "an unanswered write, stored": one_user(
            create(), unanswered(update(1, 2, NAME_B, B)),
            events=(event(1, A), event(2, B, "full_name")),
        ),
        "two unanswered writes alike, stored": one_user(
            create(), *[unanswered(update(at, 2, NAME_B, B)) for at in (1, 2)],
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
        "an unanswered create, stored": History(
            writes=(unanswered(create()),), events=(event(1, A, user=5),)
        ),
        "a resync, which no client wrote": one_user(create(), events=(event(1, A), event(2, A))),
        "one write fits two events, another only one": one_user(
            create(),
            unanswered(update(1, 2, NAME_B, B)),
            unanswered(update(2, 2, NAME_B, B, if_match=1)),
            events=(event(1, A), event(2, B, "full_name"), event(3, B, "full_name")),
        ),
    },
    ledger.repeats_are_answered_alike: {
        "the first was lost by a fork": History(
            writes=(create(), update(1, 2, NAME_B, B, key="j"),
                    update(9, 3, NAME_B, B, key="j", era=1)),
            injected=FORKED,
        ),
    },
    ledger.conditional_writes_form_a_chain: {
        "a version made again after a fork that lost it": History(
            writes=(create(), update(1, 2, NAME_B, B), update(9, 2, JUNK, MOVED, era=1)),
            injected=FORKED,
        ),
        "a repeat in a later era of what was kept": History(
            writes=(create(key="k"), create(9, key="k", era=1)), injected=FORKED
        ),
    },
    leads.a_user_has_one_lead: {
        "deleted by hand, created again": of_lead(
            A, lead(A, creation(0), deletion(1), is_deleted=True), lead(A, creation(2), id=8)
        ),
        "of a user that a fork lost": History(
            leads=(lead(A, creation(0)),),
            injected=InjectedFaults(forks=(replace(LOST_2, lost=frozenset({(1, 1)})),)),
        ),
        "refused creates": on_portal(
            request(0, command("crm.item.add", result="error")),
            request(1, command("crm.item.add", result="cut")),
            request(2, command("crm.item.add")),
        ),
    },
    leads.the_lead_is_its_user: {
        "moved by hand": of_lead(
            A, lead(MOVED, creation(0), by_hand(1, stage="JUNK")), events=(event(1, A),)
        ),
        "moved by a client to where a person had moved it, then by hand": of_lead(
            MOVED, lead(A, creation(0), by_hand(1, stage="JUNK"), by_hand(3, stage="NEW")),
            writes=(update(2, 2, JUNK, MOVED),),
        ),
        "moved by hand, then renamed by a client": of_lead(
            B,
            lead(replace(B, stage="JUNK"), creation(0), by_hand(1, stage="JUNK"), wrote(2, NAME_B)),
            writes=(update(2, 2, NAME_B, B),),
        ),
        "the stage of a version that Postgres and Redis lost": of_lead(
            A, lead(MOVED, creation(0, (3, 1)), wrote(1, JUNK, (3, 2))), events=(event(1, A),),
            injected=replace(FORKED, redis_losses=(0.5,)),
        ),
        "renamed by hand": of_lead(
            A, lead(replace(A, full_name="Рука"), creation(0), by_hand(1, full_name="Рука"))
        ),
        "a person added a phone": of_lead(
            A, lead(A, creation(0), by_hand(1, phone_added="+77001110000"),
                    phones=(A.phone, "+77001110000")),
        ),
        "a person added our phone once more": of_lead(
            A, lead(A, creation(0), by_hand(1, phone_added=A.phone), phones=(A.phone, A.phone))
        ),
        "a person took the phone away": of_lead(
            A, lead(A, creation(0), by_hand(1, phone=""), phones=())
        ),
        "deleted by hand": of_lead(
            A, lead(A, creation(0), deletion(1), is_deleted=True), writes=(create(0),)
        ),
        "deleted by hand, then taken back to what it was": of_lead(
            A, lead(A, creation(0), deletion(1), is_deleted=True),
            writes=(update(2, 2, NAME_B, B), update(2.1, 3, NAME_A, A)),
            events=(event(1, A), event(2, B, "full_name"), event(3, A, "full_name")),
        ),
        "a user that failed": of_lead(
            B, lead(A, creation(0)), users=user(2, B, sync_status="failed")
        ),
    },
    leads.a_stage_set_by_hand_is_kept: {
        "a move that was not answered yet": of_lead(
            MOVED,
            lead(MOVED, creation(0), by_hand(2, stage="NEW2"), wrote(3, JUNK)),
            events=(event(1, A), event(2, MOVED, "stage")),
            replies=(reply(1, 1), reply(2, 4)), is_broker_complete=True,
        ),
        "what a fork lost is put back": of_lead(
            A,
            lead(A, creation(0), wrote(0.5, JUNK), by_hand(2, stage="NEW2"),
                 wrote(3, {"stage": "NEW"})),
            events=(event(1, A),), replies=(reply(1, 0.2),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(1, frozenset({(1, 2)})),)),
        ),
        "a move that a fork lost": of_lead(
            A,
            lead(A, creation(0, (1, 1)), by_hand(2, stage="NEW2"), wrote(4, JUNK, (1, 2))),
            writes=(create(), update(3, 2, JUNK, MOVED)),
            events=(event(1, A),), replies=(reply(1, 1),), is_broker_complete=True,
            injected=InjectedFaults(forks=(Fork(5, frozenset({(1, 2)})),)),
        ),
    },
    leads.leads_never_go_back: {
        "a value comes back": of_lead(
            A, lead(A, creation(0), wrote(1, NAME_B), wrote(2, NAME_A), wrote(3, NAME_A)),
            events=(event(1, A), event(2, B, "full_name"), event(3, A, "full_name")),
        ),
        "a newer history has lower versions": of_lead(
            A, lead(A, creation(0, (1, 1)), wrote(1, NAME_B, (1, 5)), wrote(2, NAME_A, (2, 2)))
        ),
        "set by hand to a value of no version": of_lead(
            A, lead(A, creation(0), by_hand(1, full_name="X"))
        ),
    },
    replies.an_event_has_one_final_reply: {
        "sent twice, answered twice": valid_with(
            publications=(*VALID.publications, Publication("e4", 15)),
            replies=(*VALID.replies, reply(4, 20, outcome="superseded")),
        ),
        "a loss after it was sent": valid_with(
            replies=(*VALID.replies, reply(4, 20)), injected=faults(losses=((18, 18),))
        ),
        "failed for now, sent again": valid_with(
            publications=(*VALID.publications, Publication("e3", 15)),
            replies=(*VALID.replies, reply(3, 3, attempts=3, status="error", outcome="failed",
                                          is_transient=True)),
        ),
    },
    rate.requests_stay_within_the_limit: {
        "a burst, then the rate": on_portal(
            *[request(0)] * 3, *[request(at / 2) for at in range(1, 20)], rate=Rate(2, 3)
        ),
        "from another source": on_portal(
            *[request(0)] * 3,
            *[replace(request(0), source="10.0.0.1 code")] * 3, rate=Rate(2, 3),
        ),
        "held up together": on_portal(
            *[request(2)] * 5, rate=Rate(2, 3), injected=InjectedFaults(blurs=((1, 2),))
        ),
        "never arrived": on_portal(*[request(0, fate="unsent")] * 9, rate=Rate(2, 3)),
    },
    attempts.attempts_keep_their_distance: {
        "in time": on_portal(*[request(at, command(**FAILED)) for at in (0, 2, 6)]),
        "another delivery after the third attempt": on_portal(
            *[request(at, command(**FAILED)) for at in (0, 2, 6, 6.5, 8.5)]
        ),
        "a success, then another event": on_portal(
            request(0, command()), request(0.1, command()), request(0.2, command())
        ),
        "a user's next event after a failure for good": on_portal(
            request(0, command(result="error", is_final=True)), request(0.1, command())
        ),
        "a user's next event after the third failure": on_portal(
            *[request(at, command(result="error")) for at in (0, 2, 6, 6.1)]
        ),
        "an answer that may be lost, two failures, and the next event": on_portal(
            request(0, command(is_answer_read=None)),
            *[request(at, command(result="error")) for at in (2, 6, 6.1)],
        ),
        "Redis lost it": on_portal(
            *[request(at, command(**FAILED)) for at in (0, 1)],
            injected=InjectedFaults(redis_losses=(0.5,)),
        ),
        "answered in between": on_portal(
            *[request(at, command(**FAILED)) for at in (0, 1)],
            replies=(reply(4, 0.5),),
        ),
    },
    attempts.a_permanent_error_is_tried_once: {
        "once": on_portal(
            request(0, command(**FAILED)), request(2, command(**FAILED, is_final=True)),
            publications=(Publication("e4"),), is_broker_complete=True,
        ),
    },
    dead_letters.dead_letters_hold_only_unprocessable_messages: {
        "poison": valid_with(dead_letters=(DeadLetter("q.dead", "m", None, "not JSON"),)),
        "a reply to a lost event that came back": valid_with(
            dead_letters=(DeadLetter("r.dead", "m", "e2", f"422 {LOST}"),), injected=FORKED
        ),
    },
    dead_letters.poison_is_kept: {
        "kept": History(
            dead_letters=(DeadLetter("q.dead", "m", None, "why"),),
            injected=InjectedFaults(poison={"m": "q.dead"}),
        ),
        "lost with its queue": History(
            injected=InjectedFaults(poison={"m": "q.dead"}, messages_were_lost=True)
        ),
    },
    texts.nothing_personal_or_secret_is_shown: {
        "ids": valid_with(texts=(Text("x.log", "user 7700, lead 1112233"),)),
    },
}  # fmt: skip


@pytest.mark.parametrize(("rule", "case"), cases_of(KEEPING))
def test_a_rule_has_no_false_alarm(rule: Rule, case: str) -> None:
    assert [*rule(KEEPING[rule][case])] == []
