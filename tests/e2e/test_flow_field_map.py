"""A field map from end to end: fields arrive, change, are cleared, and survive a rename."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import portal, system_logs
from tests.servers import eventually
from tests.system import System

MAP = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.city]
type = "text"
lead = "UF_CRM_CITY"

[fields.source]
type = "one-of"
values = { site = "WEB", call = "CALL" }
lead = "SOURCE_ID"
default = "site"
"""
ANN = {"full_name": "Ann Lee", "phone": "+77001112233", "email": "ann@example.com", "city": "Omsk"}


def lead_values(system: System, lead_id: int) -> tuple[Any, ...]:
    """City, source and e-mails, as another client of the portal sees them."""
    lead = portal.call(system, "crm.lead.get", id=lead_id)
    emails = [row["VALUE"] for row in lead.get("EMAIL") or []]
    return lead.get("UF_CRM_CITY") or None, lead["SOURCE_ID"], emails


def test_further_fields_arrive_change_and_survive_a_rename(
    new_system: Callable[..., System], tmp_path: Path
) -> None:
    file = tmp_path / "leadline.toml"
    file.write_text(MAP, encoding="utf-8")
    system = new_system(LEADLINE_MAPPING=str(file))
    system.start()
    field = {"FIELD_NAME": "CITY", "USER_TYPE_ID": "string", "EDIT_FORM_LABEL": "City"}
    field_id = portal.call(system, "crm.lead.userfield.add", fields=field)

    created = system.request("POST", "/users", json=ANN)
    assert created.status_code == 201, created.text
    assert created.json()["source"] == "site"
    path = f"/users/{created.json()['id']}"
    lead_id = system.await_synced(created.json()["id"])["sync"]["bitrix_lead_id"]
    assert lead_values(system, lead_id) == ("Omsk", "WEB", ["ann@example.com"])

    def change(**fields: str | None) -> None:
        answer = system.request("PATCH", path, json=fields)
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= fields.items()
        system.await_synced(created.json()["id"])

    change(city="Oslo", email="lee@example.com")
    assert lead_values(system, lead_id) == ("Oslo", "WEB", ["lee@example.com"])
    portal.call(
        system, "crm.lead.userfield.update", id=field_id, fields={"EDIT_FORM_LABEL": "Town"}
    )
    change(city="Rome", source="call")
    assert lead_values(system, lead_id) == ("Rome", "CALL", ["lee@example.com"])
    change(city=None)
    assert lead_values(system, lead_id) == (None, "CALL", ["lee@example.com"])

    refused = system.request("PATCH", path, json={"source": "fax", "email": "no"})
    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"source", "email"}

    # A field more is taken up without a restart; a mistake is not.
    file.write_text(f'{MAP}\n[fields.post]\ntype = "text"\nlead = "POST"\n', encoding="utf-8")
    eventually(lambda: "post" in system.user(created.json()["id"]), 120, "the map is read again")
    file.write_text(f'{MAP}\n[fields.post]\ntype = "texd"\nlead = "POST"\n', encoding="utf-8")
    eventually(lambda: "texd" in _log_text(system), 120, "the mistake is named")
    assert "post" in system.user(created.json()["id"]), "the last good map stays"


def _log_text(system: System) -> str:
    """The log of our processes, after reading a user, which checks the map for changes."""
    system.user(1)
    return "\n".join(line for _, line in system_logs.raw_lines(system))
