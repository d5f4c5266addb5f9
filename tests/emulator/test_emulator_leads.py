"""Leads by their own methods, crm.lead.*."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.emulator.emulator_process import Emulator
from tests.servers import eventually

NOT_FOUND = {"error": "", "error_description": "Not found"}
INVALID_ID = {"error": "", "error_description": "ID is not defined or invalid."}


def test_add_returns_growing_ids(emulator: Emulator) -> None:
    first, second = emulator.call("crm.lead.add"), emulator.call("crm.lead.add")
    assert (first["result"], second["result"]) == (1, 2)


def test_a_deleted_id_is_not_used_again(emulator: Emulator) -> None:
    emulator.add()
    emulator.result("crm.lead.delete", {"id": 1})
    assert emulator.add() == 2


def test_a_new_lead_has_stage_new_and_a_title_with_its_id(emulator: Emulator) -> None:
    lead = emulator.get(emulator.add())
    assert (lead["STATUS_ID"], lead["TITLE"], lead["STATUS_SEMANTIC_ID"]) == ("NEW", "Lead #1", "P")


def test_unknown_and_read_only_fields_are_ignored(emulator: Emulator) -> None:
    lead = emulator.get(emulator.add(NMAE="x", ID=99, HAS_PHONE="Y", NAME="Gleb"))
    assert "NMAE" not in lead
    assert (lead["ID"], lead["HAS_PHONE"], lead["NAME"]) == ("1", "N", "Gleb")


def test_crm_lead_get_returns_texts_and_only_multifields_that_have_rows(emulator: Emulator) -> None:
    lead_id = emulator.add(NAME="Gleb", OPPORTUNITY=12500, PHONE=[{"VALUE": "555888"}])
    lead = emulator.get(lead_id)
    rows = lead.pop("PHONE")
    assert rows == [{"ID": "1", "VALUE_TYPE": "WORK", "VALUE": "555888", "TYPE_ID": "PHONE"}]
    assert all(value is None or isinstance(value, str) for value in lead.values())
    assert (lead["OPPORTUNITY"], lead["HAS_PHONE"], lead["HAS_EMAIL"]) == ("12500.00", "Y", "N")
    assert not {"EMAIL", "WEB", "IM"} & lead.keys()


@pytest.mark.parametrize(
    ("status", "meaning"), [("PROCESSED", "P"), ("CONVERTED", "S"), ("JUNK", "F")]
)
def test_a_stage_has_a_meaning_and_may_close_the_lead(
    emulator: Emulator, status: str, meaning: str
) -> None:
    lead = emulator.get(emulator.add(STATUS_ID=status))
    assert lead["STATUS_SEMANTIC_ID"] == meaning
    assert bool(lead["DATE_CLOSED"]) == (meaning != "P")


def test_dates_are_iso_with_an_offset(emulator: Emulator) -> None:
    lead = emulator.get(emulator.add())
    for name in ("DATE_CREATE", "DATE_MODIFY", "MOVED_TIME"):
        assert datetime.fromisoformat(lead[name]).tzinfo is not None


def test_update_and_delete_return_true(emulator: Emulator) -> None:
    emulator.add()
    assert emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "Gleb"}}) is True
    assert emulator.get(1)["NAME"] == "Gleb"
    assert emulator.result("crm.lead.delete", {"id": "1"}) is True
    assert emulator.leads() == []


@pytest.mark.parametrize("method", ["crm.lead.get", "crm.lead.update", "crm.lead.delete"])
@pytest.mark.parametrize(
    ("lead_id", "body"),
    [(99, NOT_FOUND), (0, INVALID_ID), (-1, INVALID_ID), ("x", INVALID_ID), (None, INVALID_ID)],
)
def test_a_missing_lead_and_a_bad_id_differ(
    emulator: Emulator, method: str, lead_id: object, body: dict[str, str]
) -> None:
    response = emulator.post(method, {"id": lead_id, "fields": {"NAME": "x"}})
    assert (response.status_code, response.json()) == (400, body)


def test_an_origin_is_not_unique(emulator: Emulator) -> None:
    for _ in range(2):
        emulator.add(ORIGINATOR_ID="core", ORIGIN_ID="7")
    assert emulator.control("GET", "duplicates") == [
        {"ORIGINATOR_ID": "core", "ORIGIN_ID": "7", "leads": ["1", "2"]}
    ]


def test_stages_are_listed_with_their_meaning(emulator: Emulator) -> None:
    answer = emulator.call("crm.status.list", {"filter": {"ENTITY_ID": "STATUS"}})
    meanings = {row["STATUS_ID"]: row["SEMANTICS"] for row in answer["result"]}
    assert meanings == {
        "NEW": None,
        "IN_PROCESS": None,
        "PROCESSED": None,
        "UC_ZA04R1": None,
        "CONVERTED": "S",
        "JUNK": "F",
    }
    assert answer["total"] == 6
    assert answer["result"][0] == {
        "ID": "1",
        "ENTITY_ID": "STATUS",
        "STATUS_ID": "NEW",
        "NAME": "Not processed",
        "NAME_INIT": "Not processed",
        "SORT": "10",
        "SYSTEM": "Y",
        "CATEGORY_ID": None,
        "COLOR": "#00FFFF",
        "SEMANTICS": None,
        "EXTRA": {"SEMANTICS": "process", "COLOR": "#00FFFF"},
    }


def test_an_unknown_stage_is_stored(emulator: Emulator) -> None:
    assert emulator.get(emulator.add(STATUS_ID="NO_SUCH"))["STATUS_ID"] == "NO_SUCH"


def test_the_setting_unknown_status_can_reject_unknown_stages(emulator: Emulator) -> None:
    emulator.set(unknown_status="reject")
    response = emulator.post("crm.lead.add", {"fields": {"STATUS_ID": "NO_SUCH"}})
    assert (response.status_code, response.json()["error"]) == (400, "")
    item = {"entityTypeId": 1, "fields": {"stageId": "NO_SUCH"}}
    response = emulator.post("crm.item.add", item)
    assert response.json()["error"] == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
    assert emulator.leads() == []


def test_simple_mode_converts_a_lead_with_a_name(emulator: Emulator) -> None:
    assert emulator.result("crm.settings.mode.get") == 1
    emulator.set(crm_mode="simple")
    assert emulator.result("crm.settings.mode.get") == 2
    assert emulator.get(emulator.add(NAME="Klaus"))["STATUS_ID"] == "CONVERTED"
    assert emulator.get(emulator.add(TITLE="no name"))["STATUS_ID"] == "NEW"


def test_simple_mode_may_hide_the_converted_lead(emulator: Emulator) -> None:
    emulator.set(crm_mode="simple", simple_mode_leads="gone")
    lead_id = emulator.add(NAME="Klaus")
    assert emulator.post("crm.lead.get", {"id": lead_id}).json() == NOT_FOUND


def test_simple_mode_may_convert_a_lead_later(emulator: Emulator) -> None:
    """Contact and deal get the lead's state at the time of the conversion."""
    emulator.set(crm_mode="simple", conversion_delay_ms=600_000)
    lead_id, gone = emulator.add(NAME="Klaus"), emulator.add(NAME="Gone")
    assert emulator.get(lead_id)["STATUS_ID"] == "NEW"
    emulator.result("crm.lead.update", {"id": lead_id, "fields": {"NAME": "Peter"}})
    emulator.result("crm.lead.delete", {"id": gone})
    emulator.set(speed=100_000)
    eventually(
        lambda: emulator.get(lead_id)["STATUS_ID"] == "CONVERTED", 60, "the lead is converted"
    )
    eventually(lambda: emulator.result("crm.deal.list"), 60, "its deal is made")
    assert [row["NAME"] for row in emulator.result("crm.contact.list")] == ["Peter"]
    assert emulator.leads()[0]["history"][-1]["method"] == "conversion"


def test_phones_of_a_new_lead_may_become_visible_later(emulator: Emulator) -> None:
    emulator.set(phones_after_ms=600_000, request_limit_s=10**6)
    fields = {"ORIGIN_ID": "7", "PHONE": [{"VALUE": "+7700"}]}
    query = {"filter": {"ORIGIN_ID": "7"}, "select": ["ID", "PHONE"]}
    same = {"type": "PHONE", "values": ["+7700"]}
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(emulator.result, "crm.lead.add", {"fields": fields})
        eventually(lambda: emulator.result("crm.lead.list", query), 60, "the lead is seen")
        assert emulator.result("crm.lead.list", query) == [{"ID": "1"}]
        assert emulator.result("crm.duplicate.findbycomm", same) == []
        assert not answer.done()
        emulator.set(speed=100_000)
        assert answer.result() == 1
    assert emulator.get(1)["PHONE"][0]["VALUE"] == "+7700"
    assert emulator.result("crm.duplicate.findbycomm", same) == {"LEAD": [1]}


def test_a_field_can_be_mandatory(emulator: Emulator) -> None:
    emulator.set(mandatory_fields=["LAST_NAME", "PHONE"])
    response = emulator.post("crm.lead.add", {"fields": {"LAST_NAME": "Titov"}})
    assert response.status_code == 400
    assert "is missing" in response.json()["error_description"]
    assert emulator.add(LAST_NAME="Titov", PHONE=[{"VALUE": "1"}]) == 1


def test_an_overlong_name_is_cut_or_refused(emulator: Emulator) -> None:
    assert emulator.get(emulator.add(NAME="я" * 51))["NAME"] == "я" * 50
    emulator.set(overlong="error")
    assert emulator.post("crm.lead.add", {"fields": {"NAME": "я" * 51}}).status_code == 400
    assert emulator.add(NAME="я" * 50) == 2


def test_fields_describes_the_fields_of_a_lead(emulator: Emulator) -> None:
    """The entries are those of the documentation, word for word."""
    fields = emulator.result("crm.lead.fields")
    assert fields["STATUS_ID"] == {
        "type": "crm_status",
        "isRequired": False,
        "isReadOnly": False,
        "isImmutable": False,
        "isMultiple": False,
        "isDynamic": False,
        "statusType": "STATUS",
        "title": "Stage",
    }
    assert fields["PHONE"]["type"] == "crm_multifield"
    assert fields["PHONE"]["isMultiple"] is True
