"""The portal's journal as the checker reads it: our requests, and the history of each lead."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.checker.history import (
    FULL_NAME,
    PHONE,
    STAGE,
    Command,
    Fate,
    Lead,
    LeadWrite,
    PortalRequest,
    Result,
    Window,
)
from tests.faults.bench import OUR_CODE

#: Errors of requests that ran nothing: the rate, an operating limit, a closed or moved portal.
REFUSALS = {
    "QUERY_LIMIT_EXCEEDED",
    "OPERATION_TIME_LIMIT",
    "NO_AUTH_FOUND",
    "ACCESS_DENIED",
    "PORTAL_DELETED",
    "OVERLOAD_LIMIT",
}
#: Errors of a command after which a retry may help; all others are permanent.
_TRANSIENT = {"INTERNAL_SERVER_ERROR", "NOT_FOUND", ""}
#: Faults of the portal whose answer may or may not arrive in time.
_LATE = {"delay"}
_TITLES = {"title": FULL_NAME, "TITLE": FULL_NAME, "stageId": STAGE, "STATUS_ID": STAGE}
_KINDS: dict[str, Literal["create", "update", "delete"]] = {
    "add": "create",
    "update": "update",
    "delete": "delete",
}


@dataclass
class _Visit:
    """One request to the portal: its lines in the journal, each under the name of its kind."""

    arrived: dict[str, Any]
    asked: dict[str, Any] = field(default_factory=dict)
    ran: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered: dict[str, Any] = field(default_factory=dict)

    @property
    def commands(self) -> list[dict[str, Any]]:
        return list(self.asked.get("commands", ()))

    @property
    def fault(self) -> dict[str, Any]:
        return self.asked.get("fault") or {}


class PortalLog:
    """One round of the journal."""

    def __init__(self, lines: Iterable[dict[str, Any]], blurs: tuple[Window, ...]) -> None:
        self._visits: dict[str, _Visit] = {}
        for line in lines:
            if line["what"] == "arrived":
                self._visits[line["request"]] = _Visit(line)
            elif visit := self._visits.get(line["request"]):
                if line["what"] == "ran":
                    visit.ran[line["key"]] = line
                else:
                    setattr(visit, line["what"], line)
        self._blurs = blurs
        #: The user of each lead, by its id.
        self.users = dict(self._origins())

    def requests(self) -> tuple[PortalRequest, ...]:
        """Every request of Leadline, in the order of arrival."""
        return tuple(
            PortalRequest(
                at=visit.arrived["at"],
                source=f"{visit.arrived['address']} {visit.arrived['code']}",
                fate=_fate(visit),
                commands=tuple(self._command(visit, command) for command in visit.commands),
            )
            for visit in self._visits.values()
            if visit.arrived["code"] == OUR_CODE
        )

    def leads(self, existing: Mapping[int, dict[str, Any]]) -> tuple[Lead, ...]:
        """Every lead created in this round; `existing`: those that are still there, by id."""
        writes = self._writes_by_lead()
        return tuple(
            _lead(lead_id, user, writes[lead_id], existing.get(lead_id))
            for lead_id, user in self.users.items()
        )

    def _origins(self) -> Iterable[tuple[int, int]]:
        for visit in self._visits.values():
            for command in visit.commands:
                lead = visit.ran.get(command["key"], {}).get("lead")
                if lead is not None and command["method"].endswith(".add"):
                    yield lead, int(_fields(command)["originId"])

    def _writes_by_lead(self) -> dict[int, list[LeadWrite]]:
        """The writes of each lead, in order."""
        found: dict[int, list[LeadWrite]] = defaultdict(list)
        for visit in self._visits.values():
            is_ours = visit.arrived["code"] == OUR_CODE
            for command in visit.commands:
                ran = visit.ran.get(command["key"], {})
                kind = _KINDS.get(command["method"].rpartition(".")[2])
                if ran.get("lead") is None or kind is None:
                    continue
                by: Literal["us", "hand"] = "us" if is_ours else "hand"
                written = _written_values(command, is_ours=is_ours)
                found[ran["lead"]].append(LeadWrite(ran["at"], by, kind, written))
        for writes in found.values():
            writes.sort(key=lambda write: write.at)
        return found

    def _command(self, visit: _Visit, command: dict[str, Any]) -> Command:
        ran = visit.ran.get(command["key"])
        error = None if ran is None else ran.get("error")
        return Command(
            method=command["method"],
            result=_result(ran),
            lead=None if ran is None else ran.get("lead"),
            users=tuple(self._users_of(command, ran or {})),
            fields=_written_values(command, is_ours=True),
            at=None if ran is None else ran["at"],
            is_answer_read=self._is_read(visit),
            is_final=error is not None and error not in _TRANSIENT | REFUSALS,
        )

    def _users_of(self, command: dict[str, Any], ran: dict[str, Any]) -> Iterable[int]:
        """The users of a command: by their origin, else by the lead that it names or wrote."""
        params = command["params"]
        if "originId" in _fields(command):
            yield int(_fields(command)["originId"])
        elif command["method"].endswith(".list"):
            conditions = params.get("filter") or {}
            yield from map(int, _items(conditions.get("@ORIGIN_ID")))
            yield from filter(None, map(self._user, _items(conditions.get("@ID"))))
        elif user := self._user(ran.get("lead") or params.get("id")):
            yield user

    def _user(self, lead: object) -> int | None:
        text = str(lead)
        return self.users.get(int(text)) if text.isdigit() else None

    def _is_read(self, visit: _Visit) -> bool | None:
        """Whether the answer was read; None where it is unknown."""
        if visit.answered.get("status") != 200 or visit.fault.get("action") not in {None, *_LATE}:
            return False
        # The answer needs some time to arrive: a second at most.
        begin, end = visit.arrived["at"], visit.answered["at"] + 1
        is_blurred = any(begins <= end and ends >= begin for begins, ends in self._blurs)
        return None if is_blurred or visit.fault else True


def _fate(visit: _Visit) -> Fate:
    """Whether a request was refused, executed, or failed as a whole."""
    code = visit.answered.get("error") or visit.fault.get("code", "")
    is_error = visit.fault.get("action") in {None, "error", "error_200"} and not visit.ran
    status = visit.answered.get("status")
    is_refused = code in REFUSALS or status in {302, 429}
    if is_error and is_refused and status != 200:
        return "refused"
    if visit.fault.get("action") == "redirect":
        return "refused"  # a redirect: the portal has moved, and nothing ran
    return "executed" if visit.ran or status == 200 else "failed"


def _result(ran: dict[str, Any] | None) -> Result:
    if ran is None:
        return "cut"
    if "error" not in ran:
        return "done"
    return "refused" if ran["error"] in REFUSALS else "error"


def _lead(lead_id: int, user: int, writes: list[LeadWrite], stored: dict[str, Any] | None) -> Lead:
    if stored is None:
        return Lead(lead_id, user, is_deleted=True, writes=tuple(writes))
    return Lead(
        lead_id,
        user,
        title=stored["TITLE"],
        phones=tuple(row["VALUE"] for row in stored["PHONE"]),
        stage=stored["STATUS_ID"],
        name=stored["NAME"],
        writes=tuple(writes),
    )


def _fields(command: dict[str, Any]) -> dict[str, Any]:
    found = command["params"].get("fields")
    return found if isinstance(found, dict) else {}


def _written_values(command: dict[str, Any], *, is_ours: bool) -> dict[str, str]:
    """The written values, by the user's field names; of a person's phone: `phone_added`."""
    sent = _fields(command)
    written = {_TITLES[name]: str(value) for name, value in sent.items() if name in _TITLES}
    for row in _items(sent.get("fm") or sent.get("PHONE")):
        written[PHONE if is_ours else "phone_added"] = str(row.get("value", row.get("VALUE")))
    return written


def _items(value: object) -> list[Any]:
    """The items of a list as PHP returns it: a list, or a map by index."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
