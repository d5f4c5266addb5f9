"""A user imported from another system with an id and a lead keeps both."""

import os
from pathlib import Path

import pytest

from leadline.ledger.bulk_import import Line
from tests.faults import portal
from tests.forks import Forks
from tests.system import System


@pytest.fixture
def imported_user(system: System, forks: Forks, tmp_path: Path) -> Line:
    """Imported as docs/migrate-from-nestjs.md says; the lead has no origin, as in other systems."""
    fields = {"TITLE": "Заявка с сайта", "NAME": "Анна", "PHONE": [{"VALUE": "+77001112233"}]}
    lead_id = int(portal.call(system, "crm.lead.add", fields=fields))
    user = Line(
        id=system.create()["id"] + 100,  # one that the system has not given to anyone
        full_name="Анна",
        phone="+77001112233",
        bitrix_lead_id=lead_id,
    )
    file = tmp_path / "users.jsonl"
    file.write_text(user.model_dump_json(), encoding="utf-8")
    words = ("import", str(file), "--map", "id=id", "--map", "bitrix_lead_id=bitrix_lead_id")
    environment = {
        **os.environ,
        "DATABASE_URL": system.url("database"),
        "LEADLINE_STATE": str(tmp_path),
    }
    result = forks.run("leadline", *words, env=environment)
    assert result.returncode == 0, result.stderr
    return user


def test_an_imported_user_keeps_id_and_lead(system: System, imported_user: Line) -> None:
    user_id, lead_id = imported_user.id, imported_user.bitrix_lead_id
    assert user_id
    with portal.in_order(system):
        imported = system.user(user_id)
        assert imported["sync"]["status"] == "synced"
        assert imported["sync"]["bitrix_lead_id"] == lead_id
        before = len(system.leads())
        system.request("PATCH", f"/users/{user_id}", json={"full_name": "Анна Новая"})
        # Longer where the Redis epoch is still young.
        updated = system.await_synced(user_id, within_s=120)
        assert updated["sync"]["bitrix_lead_id"] == lead_id
        leads = system.leads()
        lead = next(lead for lead in leads if int(lead["ID"]) == lead_id)
        assert portal.looks_like(lead, updated)
        assert len(leads) == before
        assert system.create()["id"] > user_id
