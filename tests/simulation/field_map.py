"""A field map in histories with faults: further fields change and come back, and one is dropped.

`prepare` gives users a city (a user field of the portal) and an e-mail (a multi-field). A plan's
name says which city the user has, so that such a write changes nothing but a further field; its
phone says which e-mail, too. In some histories the portal drops the city's field for a while. In
the end each lead has its user's name, phone and e-mail, and the city unless the ledger says that
the lead could not take it. The checker's rules are about histories without a map.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from leadline.api import writes
from leadline.bitrix24.lead_fields import further_fields, further_parsing
from leadline.ledger import accept
from leadline.users.further_fields import with_fields
from leadline.users.model import Changes, NewUser, UserId
from tests.simulation import lead_linking, parallel, patches, play, rules
from tests.simulation import system as simulated
from tests.simulation.plan import NAMES, PHONES, STAGES, Write
from tests.simulation.portal_model import Lead, PortalModel, RecordedCommand, Request
from tests.simulation.system import System
from tests.simulation.world import EPOCH

MAP = """
[fields.city]
type = "text"
lead = "UF_CRM_CITY"

[fields.email]
type = "email"
lead = "EMAIL"
"""
CITY = "UF_CRM_CITY"
CITIES = ("Алматы", "Astana", None)
EMAILS = ("ann@example.com", "bob@example.com", "cid@example.com")


class MappedPortal(PortalModel):
    """A portal whose leads have a city and e-mails; it may drop the city's field for a while."""

    def plan_drop(self, seed: int, last_s: float) -> None:
        """Decide when the city's field is dropped, if it is."""
        random = Random(f"map/{seed}")  # noqa: S311 - reproducible from its seed
        self.cities: dict[int, str] = {}
        self.emails: dict[int, dict[int, str]] = {}
        begins = EPOCH + random.uniform(0, last_s + 1)
        # Not at all, for a while, or for good.
        lasts_s = random.choice((0.0, random.uniform(0.5, 10), 1e9))
        self.dropped = (begins, begins + lasts_s)

    @property
    def has_city(self) -> bool:
        """Whether the field exists now."""
        return not self.dropped[0] <= self._world.now < self.dropped[1]

    def _add(self, fields: dict[str, Any]) -> Lead:
        rows = [row for row in _rows(fields) if row["typeId"] == "PHONE"]
        lead = super()._add({**fields, "fm": rows})
        self.emails[lead.lead_id] = {
            self._new_row_id(): row["value"] for row in _rows(fields) if row["typeId"] == "EMAIL"
        }
        self._store_city(lead, fields)
        return lead

    def _update(self, params: dict[str, Any]) -> Lead:
        fields = params.get("fields") or {}
        rows = fields.get("fm") or {}
        phones = {key: row for key, row in rows.items() if row["typeId"] == "PHONE"}
        lead = super()._update({**params, "fields": {**fields, "fm": phones}})
        for key, row in rows.items():
            if row["typeId"] == "EMAIL":
                self._set_email(lead, key, row["value"])
        self._store_city(lead, fields)
        return lead

    def _set_email(self, lead: Lead, key: str, value: str) -> None:
        emails = self.emails[lead.lead_id]
        if not key.isdigit():
            emails[self._new_row_id()] = value
        elif int(key) in emails and value:
            emails[int(key)] = value
        else:
            emails.pop(int(key), None)

    def _store_city(self, lead: Lead, fields: dict[str, Any]) -> None:
        if CITY in fields and self.has_city:
            self.cities[lead.lead_id] = str(fields[CITY])

    def _record_write(
        self, lead: Lead, kind: str, command: RecordedCommand, request: Request
    ) -> dict[str, Any]:
        item = super()._record_write(lead, kind, command, request)["item"]
        item["fm"] += [
            {"id": row, "typeId": "EMAIL", "valueType": "WORK", "value": value}
            for row, value in self.emails.get(lead.lead_id, {}).items()
        ]
        if self.has_city:
            item[CITY] = self.cities.get(lead.lead_id, "")
        return {"item": item}

    def _list(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        rows = super()._list(where)
        for row in rows:
            lead_id = int(row["ID"])
            row["EMAIL"] = [
                {"ID": str(id_), "VALUE_TYPE": "WORK", "VALUE": value, "TYPE_ID": "EMAIL"}
                for id_, value in self.emails.get(lead_id, {}).items()
            ]
            if self.has_city:
                row[CITY] = self.cities.get(lead_id, "")
        return rows


class MappedSystem(System):
    """A system with a field map."""

    def __post_init__(self) -> None:
        """Add the portal's further fields."""
        super().__post_init__()
        assert isinstance(self.portal, MappedPortal)
        last_s = max((write.at_s for write in self.plan.writes), default=0.0)
        self.portal.plan_drop(self.plan.seed, last_s)

    def _accept_write(self, write: Write, user_id: int | None, expected: int | None) -> Any:
        if write.kind == "move":
            return super()._accept_write(write, user_id, expected)
        fields: dict[str, Any] = {}
        if write.name is not None:
            fields["city"] = CITIES[(write.name + write.user) % len(CITIES)]
        if write.phone is not None:
            fields |= {"phone": PHONES[write.phone], "email": EMAILS[write.phone]}
        if write.stage is not None:
            fields["stage"] = STAGES[write.stage]
        key = f"key-{write.user}-{write.at_s}" if write.with_key else None
        repeat = writes.bind_key("client", key, write, expected)
        if write.kind == "create":
            new = with_fields(NewUser).model_validate({"full_name": NAMES[0], **fields})
            return accept.create(new, repeat)
        change = with_fields(Changes).model_validate(fields)
        return accept.change(UserId(user_id or 0), change, expected, repeat)


def prepare() -> None:
    """Give the histories of this process a map: an argument `prepare` of `parallel.play`."""
    path = Path(tempfile.mkdtemp(prefix="leadline-map-")) / "leadline.toml"
    path.write_text(MAP, encoding="utf-8")
    play.ENVIRONMENT["LEADLINE_MAPPING"] = os.environ["LEADLINE_MAPPING"] = str(path)
    patches.replace(parallel, "draw", lead_linking.draw)
    patches.replace(play, "System", MappedSystem)
    patches.replace(simulated, "PortalModel", MappedPortal)
    patches.replace(rules, "violations", violations)


def last_applied_lacks_fields() -> None:
    """A mistake to be detected: an update contains no further field."""
    prepare()
    patches.replace(further_fields, "to_update", lambda applied, state: ({}, {}))  # noqa: ARG005 - same signature


def answers_are_not_read() -> None:
    """A mistake to be detected: all that was sent counts as applied, even a dropped field."""
    prepare()
    parse = further_parsing.parse_item

    def wrong(item: Any, state: Any) -> Any:
        return parse({CITY: (state.fields or {}).get("city") or "", **item}, state)

    patches.replace(further_parsing, "parse_item", wrong)


def rows_are_added() -> None:
    """A mistake to be detected: a changed e-mail is added, and the old one stays."""
    prepare()
    update = further_fields.to_update

    def wrong(applied: Any, state: Any) -> Any:
        fields, rows = update(applied, state)
        return fields, {f"n{at + 1}": row for at, row in enumerate(rows.values())}

    patches.replace(further_fields, "to_update", wrong)


def violations(system: System) -> list[str]:
    """Every rule that was broken."""
    return [
        *system.world.violations,
        *lead_linking._doubled_users(system),
        *_differing_leads(system),
    ]


def _differing_leads(system: System) -> Iterator[str]:
    portal = system.portal
    assert isinstance(portal, MappedPortal)
    leads = {lead.origin: lead for lead in portal.leads.values() if not lead.is_neighbours}
    sql = "SELECT id, phone, sync_status, fields->>'city', fields->>'email', open_fields FROM users"
    for user_id, phone, status, city, email, left_open in system.store.admin.run(sql):
        lead = leads.get(str(user_id))
        if status == "waiting":
            yield f"user {user_id} waits forever"
        if status != "synced":
            continue
        if lead is None:
            yield f"user {user_id} is synced without a lead"
            continue
        emails = list(portal.emails[lead.lead_id].values())
        if lead.title != NAMES[0] or phone not in lead.phones.values():
            yield f"lead {lead.lead_id} of user {user_id} is not its user"
        if emails != [email]:
            yield f"lead {lead.lead_id} has the e-mails {emails}, its user {email}"
        lead_city = portal.cities.get(lead.lead_id, "")
        # A portal forgets the values of a field that it drops: none was left to clear.
        is_gone = city is None and portal.dropped[0] < portal.dropped[1]
        if lead_city != (city or "") and not is_gone and "city" not in (left_open or ""):
            yield f"lead {lead.lead_id} has the city {lead_city!r}, its user {city!r}"


def _rows(fields: dict[str, Any]) -> list[dict[str, Any]]:
    found = fields.get("fm") or {}
    return list(found.values()) if isinstance(found, dict) else list(found)
