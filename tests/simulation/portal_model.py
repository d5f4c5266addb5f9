"""Bitrix24 as a model: leads, its request limit, and failures on the way to it and back.

It replaces our client's connection: a request is sent, arrives after a while, runs (perhaps late)
and is answered, or not. The failure planned for a request is its `Trouble`.
"""

import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import requests

from leadline.bitrix24.session import HttpResponse
from leadline.bitrix24.timed_connection import Exchange
from leadline.errors import LeaseTooShort
from leadline.runtime import clock
from tests.simulation.world import EPOCH, Mailbox, Process, World

STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "JUNK")
#: The titles of another installation's leads.
NEIGHBOUR = "Сосед"
#: The method of a request that was not sent.
UNSENT = "unsent"
#: The portal's gateway answers a request that runs longer with an error.
LIMIT_S = 60.0
_PART = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Trouble:
    """The failure of one request."""

    #: One of `PORTAL_TROUBLES` of the plan; "" for none.
    kind: str
    #: Duration, delay or size, depending on the kind.
    amount: float = 0.0


@dataclass
class RecordedCommand:
    """A command of a request, and its outcome."""

    method: str
    params: dict[str, Any]
    #: `done`, `error`, `refused`, or `cut`: it never ran.
    result: str = "cut"
    at: float | None = None
    lead: int | None = None
    is_final: bool = False
    #: Whether its sender could read the outcome.
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class LeasedEntry:
    """What the sender of a request knew of a user when it had leased its entry."""

    #: History and sequence number of the desired state.
    written: tuple[int, int]
    #: Ids of the pending events.
    events: tuple[str, ...]


@dataclass
class Request:
    """One request, as in the portal's log."""

    number: int
    sent_at: float
    arrived_at: float
    sender: str
    method: str
    trouble: Trouble
    fate: str = "unsent"
    commands: dict[str, RecordedCommand] = field(default_factory=dict)
    #: The command that the answer leaves out.
    omitted: RecordedCommand | None = None
    #: The entries that its sender had leased, by user.
    leased: dict[int, LeasedEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortalWrite:
    """A write on a lead."""

    at: float
    is_ours: bool
    kind: str
    #: With the user's field names: full_name, phone, stage.
    fields: dict[str, str]
    #: History and sequence number of the written state, where its sender is known.
    written: tuple[int, int] | None = None


class Failure(Exception):
    """A command's error."""

    def __init__(self, code: str, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.error = {"error": code, "error_description": text}
        #: Whether a retry would not help.
        self.is_final = is_final
        #: Whether it was refused before it ran.
        self.is_refusal = code in {"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"}


COMMAND_ERRORS = (
    Failure("", "Required field is missing", is_final=True),
    Failure("ERROR_CORE", "Something is wrong " * 400, is_final=True),
    Failure("INTERNAL_SERVER_ERROR", "internal"),
    Failure("SOMETHING_LONG", "z" * 100_000),
    Failure("SOMETHING_NEW", "a code that came up yesterday"),
    Failure("INVALID_ARG_VALUE", "Invalid value", is_final=True),
    Failure("", "The field is not valid: " + "y" * 30_000, is_final=True),
    Failure("QUERY_LIMIT_EXCEEDED", "Too many requests"),
    Failure("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit."),
)


@dataclass
class Lead:
    """A lead with its phone rows."""

    lead_id: int
    title: str
    name: str
    stage: str
    originator: str
    origin: str
    phones: dict[int, str] = field(default_factory=dict)
    is_deleted: bool = False
    #: Belongs to another installation in the same portal, whose users have the same ids.
    is_neighbours: bool = False
    writes: list[PortalWrite] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The lead as crm.lead.list returns it."""
        row: dict[str, Any] = {
            "ID": str(self.lead_id),
            "TITLE": self.title,
            "NAME": self.name,
            "STATUS_ID": self.stage,
            "ORIGINATOR_ID": self.originator,
            "ORIGIN_ID": self.origin,
        }
        if self.phones:
            row["PHONE"] = [
                {"ID": str(number), "VALUE_TYPE": "WORK", "VALUE": value, "TYPE_ID": "PHONE"}
                for number, value in self.phones.items()
            ]
        return row

    def item(self) -> dict[str, Any]:
        """The lead as crm.item.* returns it."""
        return {
            "id": self.lead_id,
            "title": self.title,
            "name": self.name,
            "stageId": self.stage,
            "originatorId": self.originator,
            "originId": self.origin,
            "fm": [
                {"id": number, "typeId": "PHONE", "valueType": "WORK", "value": value}
                for number, value in self.phones.items()
            ],
        }


class PortalModel:
    """One portal."""

    def __init__(self, world: World, *, rate_per_s: float, burst: int) -> None:
        self._world = world
        self._rate = rate_per_s
        self._burst = burst
        self.leads: dict[int, Lead] = {}
        self.requests: list[Request] = []
        #: The failure of the n-th request.
        self.troubles: dict[int, Trouble] = {}
        #: Until when all requests are refused, and how.
        self.down_until = 0.0
        self.down_code = "OVERLOAD_LIMIT"
        #: The level of the request limit's leaky bucket, and when it was last computed.
        self._counter = 0.0
        self._counted_at = world.now
        self._next_row = 101

    # --- the network

    def send(self, method: str, body: bytes, exchange: Exchange) -> HttpResponse:
        """Replaces `Session._send`: connect, check the clock, send, read the answer."""
        connection = self.connect(clock.now_s() + exchange.connect_s)
        if exchange.send_until is not None and clock.now_s() > exchange.send_until:
            raise LeaseTooShort
        exchange.was_sent = True
        try:
            reply = connection.exchange(method, body, clock.now_s() + exchange.response_s)
            exchange.is_complete = True
        finally:
            if not exchange.is_complete:
                connection.abort()
        return reply

    def connect(self, until: float) -> "Connection":
        """This process's connection, opened if needed; raises OSError if that takes too long."""
        world, process = self._world, self._world.process
        connection: Connection | None = process.memory.get(Connection)
        if connection is not None:
            return connection
        trouble = self.troubles.get(self._next_number(), Trouble(""))
        world.moment("portal connects")
        if trouble.kind == "refused connection":
            world.wait(0.001)
            self._note_unsent(trouble)
            raise ConnectionRefusedError
        takes_s = process.random.uniform(0.01, 0.06)
        if trouble.kind == "slow connect":
            takes_s = trouble.amount
        left_s = until - clock.now_s()
        world.wait(min(takes_s, left_s))
        if takes_s > left_s:
            self._note_unsent(trouble)
            raise TimeoutError
        process.memory[Connection] = opened = Connection(self)
        return opened

    def _note_unsent(self, trouble: Trouble) -> None:
        """Record a request that was not sent, and its users."""
        process = self._world.process
        request = self._log(UNSENT, trouble)
        request.leased = process.memory.pop("leased", {})
        for user in request.leased:
            request.commands[f"u{user}"] = RecordedCommand(UNSENT, {})
        self._world.record(process.name, "can't connect to the portal", number=request.number)

    def _next_number(self) -> int:
        """The number of the next request; 0 before the history begins."""
        return len(self.requests) + 1 if self._world.now >= EPOCH else 0

    def _log(self, method: str, trouble: Trouble) -> Request:
        """A new request, which the log has unless the history has not begun yet."""
        number = self._next_number()
        request = Request(
            number,
            sent_at=self._world.now,
            arrived_at=0.0,
            sender=self._world.process.name,
            method=method,
            trouble=trouble,
        )
        if number > 0:
            self.requests.append(request)
        return request

    def exchange(self, method: str, body: dict[str, Any], timeout_s: float) -> HttpResponse:
        """Send a request and wait for its answer; raises a connection's errors."""
        world, process = self._world, self._world.process
        request = self._log(method, self.troubles.get(self._next_number(), Trouble("")))
        trouble = request.trouble
        request.leased = process.memory.pop("leased", {})
        for key, text in (body.get("cmd") or {}).items():
            request.commands[key] = RecordedCommand(*_parse_command(text))
        world.record(
            process.name,
            "sends the portal a request",
            number=request.number,
            commands={
                key: f"{command.method} {_brief(command.params)}"
                for key, command in request.commands.items()
            },
            **({"trouble": trouble.kind} if trouble.kind else {}),
        )
        world.moment("portal sent")
        answer = Mailbox(world)
        if trouble.kind != "not arrived":
            delay_s = process.random.uniform(0.02, 0.1)
            if trouble.kind == "slow way":
                delay_s = min(1.5, trouble.amount)
            world.after(delay_s, lambda: self._arrive(request, answer, process))
        found = answer.take(timeout_s)
        self._note_read(request, found)
        if found is None:
            raise TimeoutError
        if isinstance(found, Exception):
            raise found
        status, content = found
        return HttpResponse(status, location="", body=content)

    def _note_read(self, request: Request, found: Any) -> None:
        """Record whether the sender could read the outcomes of its commands."""
        kind = request.trouble.kind
        if found is None or isinstance(found, Exception) or kind in {"damaged", "malformed"}:
            return
        for command in request.commands.values():
            if command is not request.omitted:
                command.is_read = request.fate == "executed" and found[0] == 200

    def _arrive(self, request: Request, answer: Mailbox, process: Process) -> None:
        world, trouble = self._world, request.trouble
        request.arrived_at = world.now
        refusal = self._count_or_refuse(request)
        if refusal:
            world.record("portal", "answers without running", number=request.number, how=refusal[0])
            world.after(0.03, lambda: answer.put(refusal))
            return
        request.fate = "executed"
        late_s = min(trouble.amount, LIMIT_S) if trouble.kind in {"late", "late and cut"} else 0.0
        if trouble.kind == "late and cut":
            gateway = (504, b"<html>gateway</html>")
            world.after(late_s / 2, lambda: answer.put(gateway))
        after_s = late_s + process.random.uniform(0.01, 0.1)
        world.after(after_s, lambda: self._answer(self._run(request, process), trouble, answer))

    def _count_or_refuse(self, request: Request) -> tuple[int, bytes] | None:
        """Count the request for the limit; the answer if nothing of it runs, else None."""
        world, kind = self._world, request.trouble.kind
        elapsed = world.now - self._counted_at
        self._counter = max(0.0, self._counter - elapsed * self._rate)
        self._counted_at = world.now
        request.fate = "refused"
        if world.now < self.down_until:
            status = 503 if self.down_code == "OVERLOAD_LIMIT" else 401
            return status, _error(self.down_code, "down")
        if kind == "refused":
            return 503, _error("QUERY_LIMIT_EXCEEDED", "Too many requests")
        if self._counter + 1 > self._burst + 0.001:  # more than a rounding error
            world.record("portal", "is asked too often", number=request.number)
            return 503, _error("QUERY_LIMIT_EXCEEDED", "Too many requests")
        self._counter += 1
        request.fate = "failed"
        return _failure(request)

    def _answer(self, content: dict[str, Any], trouble: Trouble, answer: Mailbox) -> None:
        kind = trouble.kind
        text = json.dumps(content).encode()
        if kind == "late and cut":
            return
        if kind == "lost answer":
            self._world.after(0.02, lambda: answer.put(ConnectionResetError()))
        elif kind == "no answer":
            return
        elif kind == "5xx run":
            answer.put((502, b"<html>bad gateway</html>"))
        elif kind == "damaged":
            answer.put((200, text[: len(text) // 2]))
        elif kind == "cut off":
            answer.put(requests.exceptions.ChunkedEncodingError("IncompleteRead"))
        elif kind == "tls broke":
            answer.put(ssl.SSLError("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"))
        elif kind == "dripping":
            self._world.after(trouble.amount, lambda: answer.put((200, text)))
        else:
            answer.put((200, text))

    # --- commands

    def _run(self, request: Request, process: Process) -> dict[str, Any]:
        now, trouble = self._world.now, request.trouble
        took = {"start": now, "finish": now + 0.05, "duration": 0.05, "processing": 0.04}
        took |= {"operating": 0.04, "operating_reset_at": int(now) + 600}
        if request.method != "batch":
            return {"result": {"ID": "1"}, "time": took}
        done: dict[str, Any] = {}
        failed: dict[str, Any] = {}
        for key, command in request.commands.items():
            command.at = now
            try:
                if trouble.kind == "command error":
                    raise COMMAND_ERRORS[int(trouble.amount) % len(COMMAND_ERRORS)]
                done[key] = self._command(command, request)
                command.result = "done"
            except Failure as failure:
                failed[key] = failure.error
                command.result = "refused" if failure.is_refusal else "error"
                command.is_final = failure.is_final
            self._world.record(
                "portal",
                "runs" if key in done else "refuses command",
                number=request.number,
                method=command.method,
                of=_brief(command.params),
                **({} if key in done else {"why": str(failed[key])[:80]}),
            )
            self._signal_moment(command.method, process)
        if trouble.kind == "malformed":
            done = {key: _malform(value, int(trouble.amount)) for key, value in done.items()}
        if trouble.kind == "silent" and done:
            omitted = next(iter(done))
            del done[omitted]
            request.omitted = request.commands[omitted]
        result: dict[str, Any] = {
            "result": done or [],
            "result_error": failed or [],
            "result_time": dict.fromkeys(done, took),
        }
        return {"result": result, "time": took}

    def _signal_moment(self, name: str, process: Process) -> None:
        """Signal, in the process that sent the request, that this method has run."""
        world = self._world
        short = name.rsplit(".", 1)[-1]
        planned = []
        for label in (f"portal did {short}", "portal did"):
            world._counts[label] += 1
            planned += world.planned.get((label, world._counts[label]), [])
        for execute in planned:
            execute(process)

    def _command(self, command: RecordedCommand, request: Request) -> Any:
        name, params = command.method, command.params
        if name == "crm.item.add":
            lead = self._add(params.get("fields") or {})
            return self._record_write(lead, "create", command, request)
        if name == "crm.item.update":
            return self._record_write(self._update(params), "update", command, request)
        if name == "crm.lead.list":
            return self._list(params.get("filter") or {})
        if name == "crm.status.list":
            return [{"STATUS_ID": stage, "SORT": str(at)} for at, stage in enumerate(STAGES)]
        if name == "crm.settings.mode.get":
            return 1
        if name == "profile":
            return {"ID": "1"}
        raise Failure("ERROR_METHOD_NOT_FOUND", "Method not found!")

    def _record_write(
        self, lead: Lead, kind: str, command: RecordedCommand, request: Request
    ) -> dict[str, Any]:
        """Record a write by Leadline."""
        command.lead = lead.lead_id
        version = None
        if lead.origin.isdigit() and int(lead.origin) in request.leased:
            version = request.leased[int(lead.origin)].written
        fields = written_fields(command.params)
        lead.writes.append(
            PortalWrite(self._world.now, is_ours=True, kind=kind, fields=fields, written=version)
        )
        return {"item": lead.item()}

    def _add(self, fields: dict[str, Any]) -> Lead:
        lead = Lead(
            lead_id=len(self.leads) + 1,
            title=str(fields.get("title") or ""),
            name=str(fields.get("name") or ""),
            stage=str(fields.get("stageId") or "NEW"),
            originator=str(fields.get("originatorId") or ""),
            origin=str(fields.get("originId") or ""),
        )
        for row in _values(fields.get("fm")):
            lead.phones[self._new_row_id()] = str(row.get("value"))
        self.leads[lead.lead_id] = lead
        return lead

    def _update(self, params: dict[str, Any]) -> Lead:
        lead = self.leads.get(int(params.get("id") or 0))
        if lead is None or lead.is_deleted:
            raise Failure("NOT_FOUND", "Not found")
        fields = params.get("fields") or {}
        for key, name in (
            ("title", "title"),
            ("name", "name"),
            ("stageId", "stage"),
            ("originatorId", "originator"),
            ("originId", "origin"),
        ):
            if key in fields:
                setattr(lead, name, str(fields[key]))
        for key, row in (fields.get("fm") or {}).items():
            self._set_phone(lead, key, str(row.get("value") or ""))
        return lead

    def _set_phone(self, lead: Lead, row: str, value: str) -> None:
        """Change the phone row with this id, delete it if empty, or add one without an id."""
        if row.isdigit() and int(row) in lead.phones:
            lead.phones[int(row)] = value
            if not value:
                del lead.phones[int(row)]
        elif not row.isdigit() and value:
            lead.phones[self._new_row_id()] = value

    def _list(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        found = [lead for lead in self.leads.values() if not lead.is_deleted]
        for name, value in where.items():
            if name == "=ORIGINATOR_ID":
                found = [lead for lead in found if lead.originator == value]
            elif name == "@ORIGIN_ID":
                found = [lead for lead in found if lead.origin in _texts(value)]
            elif name == "@ID":
                found = [lead for lead in found if str(lead.lead_id) in _texts(value)]
            elif name == ">ID":
                found = [lead for lead in found if lead.lead_id > int(value or 0)]
            elif name == "!ORIGINATOR_ID":
                found = [lead for lead in found if lead.originator != value]
            else:
                raise Failure("", f"unknown filter {name}")
        return [lead.row() for lead in found[:50]]

    def _new_row_id(self) -> int:
        self._next_row += 1
        return self._next_row

    # --- other writers

    def add_neighbours(self) -> None:
        """Add leads of another installation, with the originator that was once the default."""
        for origin in range(1, 4):
            lead = Lead(
                lead_id=len(self.leads) + 1,
                title=NEIGHBOUR,
                name=NEIGHBOUR,
                stage="NEW",
                originator="leadline",
                origin=str(origin),
                is_neighbours=True,
            )
            self.leads[lead.lead_id] = lead

    def of_user(self, user_id: int) -> list[Lead]:
        """Existing leads with this user as their origin."""
        return [
            lead
            for lead in self.leads.values()
            if lead.origin == str(user_id) and not lead.is_deleted and not lead.is_neighbours
        ]


class Connection:
    """Replaces the HTTP connection that a process keeps open."""

    def __init__(self, portal: PortalModel) -> None:
        self._portal = portal

    def exchange(self, method: str, body: bytes, until: float) -> HttpResponse:
        """Send a request and read its answer; raises the errors of a connection's layers."""
        return self._portal.exchange(method, json.loads(body), until - clock.now_s())

    def abort(self) -> None:
        """Close: the next request needs another connection."""
        self._portal._world.process.memory.pop(Connection, None)


def _failure(request: Request) -> tuple[int, bytes] | None:
    """The error of a request that fails as a whole, after the limits have counted it."""
    kind, form = request.trouble.kind, int(request.trouble.amount)
    if kind == "5xx unrun":
        return 500, b"<html>trouble</html>"
    if kind == "long error":
        return 500, _error("ERROR_UNEXPECTED_ANSWER", "x" * form)
    if kind == "request rejected" and len(request.commands) > 1:
        code = ("NOT_FOUND", "100", "ERROR_ARGUMENT")[form % 3]
        return 400, _error(code, "One of the records is not accepted")
    return None


def _error(code: str, text: str) -> bytes:
    return json.dumps({"error": code, "error_description": text}).encode()


def _malform(value: Any, form: int) -> Any:
    """An answer that differs from the documented form."""
    if form % 4 == 0:
        return 5
    if form % 4 == 1 and isinstance(value, dict):
        return {"item": {**value["item"], "fm": 5}} if "item" in value else value
    if form % 4 == 2 and isinstance(value, dict):
        return {"item": {**value.get("item", {}), "id": "x"}}
    return None


def _parse_command(text: str) -> tuple[str, dict[str, Any]]:
    """Method and parameters of a batch's command `method?query`, nested as PHP does."""
    method, _, query = text.partition("?")
    params: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        first, *rest = name.partition("[")
        path = [first, *_PART.findall("".join(rest))]
        place = params
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return method, params


def _values(value: Any) -> list[dict[str, Any]]:
    return list(value.values()) if isinstance(value, dict) else list(value or [])


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value.values()] if isinstance(value, dict) else [str(value)]


def _brief(params: dict[str, Any]) -> str:
    """The subject of a command, for the transcript."""
    fields = params.get("fields") or params.get("filter") or {}
    return json.dumps(
        {**({"id": params["id"]} if "id" in params else {}), **fields}, ensure_ascii=False
    )


def written_fields(params: dict[str, Any]) -> dict[str, str]:
    """The written values, by the user's field names."""
    fields = params.get("fields") or {}
    found = {}
    if "title" in fields:
        found["full_name"] = str(fields["title"])
    if "stageId" in fields:
        found["stage"] = str(fields["stageId"])
    for row in _values(fields.get("fm")):
        if row.get("value"):
            found["phone"] = str(row["value"])
    return found
