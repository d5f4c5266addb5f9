"""Converts a played history to the checker's form."""

from typing import Any

import orjson

from leadline.messages import contract, topology
from leadline.sync.decide import VANISHED
from tests.checker.history import (
    ClientWrite,
    Command,
    DeadLetter,
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
)
from tests.simulation import portal_model
from tests.simulation.broker import StoredMessage, dead_letters
from tests.simulation.plan import FOREIGN, NAMES, PHONES, STAGES
from tests.simulation.system import FOREIGN_QUEUE, AnsweredWrite, System

_ACTIONS: Any = {"create": "create_card", "update": "update_card", "move": "move_card"}
#: The distance between versions in the work queue; messages without a version lie between.
VERSION_STEP = 1_000_000


def history(system: System) -> History:
    """The observations of clients, ledger, broker and portal."""
    events = tuple(
        _ledger_event(row)
        for row in system.postgres.run_now("SELECT * FROM events ORDER BY user_id, version")
    )
    return History(
        writes=tuple(_client_write(answered) for answered in system.answered),
        users={
            row["id"]: LedgerUser(
                id=row["id"],
                version=row["version"],
                state=State(row["full_name"], row["phone"], row["stage"]),
                sync_status=row["sync_status"],
                reason=row["sync_reason"],
                lead_id=row["bitrix_lead_id"],
            )
            for row in system.postgres.run_now("SELECT * FROM users ORDER BY id")
        },
        events=events,
        history_number=system.history_number(),
        publications=tuple(
            Publication(_event_of(stored), at)
            for at, queue, stored in system.broker.published
            if queue == topology.REQUESTS
        ),
        replies=tuple(
            _reply(at, stored)
            for at, queue, stored in system.broker.published
            if queue in {topology.REPLIES, FOREIGN_QUEUE}
        ),
        is_broker_complete=True,
        dead_letters=tuple(
            DeadLetter(
                topology.dead_letter_name(queue),
                message_id=stored.properties.message_id,
                event_id=stored.properties.message_id,
                reason=str((stored.properties.headers or {}).get("x-reason") or ""),
            )
            for queue, stored in dead_letters(system.broker)
        ),
        requests=tuple(_request(request) for request in system.portal.requests),
        rate=Rate(system.plan.shape.rate_per_s, system.plan.shape.burst),
        leads=tuple(
            _lead(lead)
            for lead in system.portal.leads.values()
            if not lead.is_neighbours and int(lead.origin) not in FOREIGN
        ),
        injected=_injected_faults(system, events),
        texts=[
            Text(who, f"{level} {text} {facts}") for _, who, level, text, _, facts in system.logs
        ],
        secrets=frozenset({*NAMES, *PHONES, "webhook-code"}),
    )


def _client_write(answered: AnsweredWrite) -> ClientWrite:
    write = answered.write
    pools = (
        ("full_name", NAMES, write.name),
        ("phone", PHONES, write.phone),
        ("stage", STAGES, write.stage),
    )
    return ClientWrite(
        at=answered.at,
        action=_ACTIONS[write.kind],
        changes={name: pool[number] for name, pool, number in pools if number is not None},
        status=answered.status,
        user=answered.user_id,
        if_match=answered.expected_version,
        key=f"{write.user}-{write.at_s}" if write.with_key else None,
        version=answered.version,
        answered=State(*answered.state) if answered.state else None,
        answered_at=answered.answered_at,
        era=answered.era,
    )


def _ledger_event(row: dict[str, Any]) -> LedgerEvent:
    return LedgerEvent(
        id=str(row["id"]),
        user=row["user_id"],
        version=row["version"],
        action=row["action"],
        changed=frozenset(set(row["changed"].split(",")) & {"full_name", "phone", "stage"}),
        state=State(row["full_name"], row["phone"], row["stage"]),
        outcome=row["state"],
        reason=row["reason"],
        attempts=row["attempts"],
        history=row.get("history"),
    )


def _event_of(stored: StoredMessage) -> str:
    """The event of a request message, as in the work queue."""
    request = contract.read_request(orjson.loads(stored.body))
    return request.identity(stored.properties.message_id)


def _reply(at: float, stored: StoredMessage) -> Reply:
    body = orjson.loads(stored.body)
    headers = stored.properties.headers or {}
    return Reply(
        event_id=body["event_id"],
        user=body["user_id"],
        status=body["status"],
        outcome=headers.get("ce-outcome", ""),
        attempts=body["attempts"],
        at=at,
        reason=body.get("reason"),
        is_transient="ce-passing" in headers,
        version=body.get("version"),
    )


def _request(request: portal_model.Request) -> PortalRequest:
    fate: Any = request.fate
    commands = tuple(_command(executed, request) for executed in request.commands.values())
    return PortalRequest(
        at=request.arrived_at or request.sent_at,
        source="ours",
        fate=fate,
        commands=commands,
        sent_at=request.sent_at,
    )


def _command(executed: portal_model.RecordedCommand, request: portal_model.Request) -> Command:
    users = _users(executed, request)
    leased = [request.leased[user] for user in users if user in request.leased]
    is_write = executed.method in {"crm.item.add", "crm.item.update"}
    result: Any = executed.result
    return Command(
        method=executed.method,
        result=result,
        lead=executed.lead,
        users=tuple(user for user in users if user not in FOREIGN),
        fields=portal_model.written_fields(executed.params),
        events=tuple(event for entry in leased for event in entry.events),
        written=leased[0].written if is_write and leased else None,
        at=executed.at,
        is_answer_read=executed.is_read,
        is_final=executed.is_final,
    )


def _users(
    executed: portal_model.RecordedCommand, request: portal_model.Request
) -> tuple[int, ...]:
    """The users of a command: a write's key names its user."""
    if executed.method in {"crm.item.add", "crm.item.update", portal_model.UNSENT}:
        key = next(key for key, command in request.commands.items() if command is executed)
        return (int(key.removeprefix("u")),)
    conditions = executed.params.get("filter") or {}
    return tuple(int(origin) for origin in (conditions.get("@ORIGIN_ID") or {}).values())


def _lead(lead: portal_model.Lead) -> Lead:
    return Lead(
        id=lead.lead_id,
        user=int(lead.origin),
        title=lead.title,
        name=lead.name,
        phones=tuple(lead.phones.values()),
        stage=lead.stage,
        is_deleted=lead.is_deleted,
        writes=tuple(_lead_write(write) for write in lead.writes),
    )


def _lead_write(written: portal_model.PortalWrite) -> LeadWrite:
    kind: Any = written.kind
    by: Any = "us" if written.is_ours else "hand"
    version = written.written and (written.written[0], written.written[1] / VERSION_STEP)
    return LeadWrite(written.at, by=by, kind=kind, fields=written.fields, written=version)


def _injected_faults(system: System, events: tuple[LedgerEvent, ...]) -> InjectedFaults:
    texts = [str(error) for error in portal_model.COMMAND_ERRORS if error.is_final]
    # A reply contains only the beginning of the portal's text.
    beginnings = tuple(text[:30] for text in (*texts, VANISHED))
    return InjectedFaults(
        forks=tuple(system.forks),
        rejections=frozenset(
            event.reason for event in events if event.reason and event.reason.startswith(beginnings)
        ),
        poison=system.poison,
        messages_were_lost=any(fault.kind == "broker forgets" for fault in system.plan.faults),
        losses=tuple(system.losses),
        redis_losses=tuple(system.redis_losses),
    )
