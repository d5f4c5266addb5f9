"""Further fields in a lead: what is written, what is read, and what counts as different."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from leadline.bitrix24 import leads, stored_lead
from leadline.bitrix24.lead_fields.applied_fields import AppliedFields
from leadline.bitrix24.lead_fields.further_fields import is_blank, needs_lookup, open_fields
from leadline.bitrix24.lead_parsing import FoundLead, parse_leads, parse_written
from leadline.bitrix24.leads import DesiredState, LastApplied
from leadline.errors import OutcomeUnknown
from tests.unit import maps
from tests.unit.conftest import Configure

VALUES: dict[str, Any] = {
    "email": "ann@example.com",
    "city": "Almaty",
    "source": "call",
    "budget": 1250.5,
    "vip": False,
    "born": "1990-01-31",
    "note": "Line 1\nLine 2",
}
#: The fields of a lead as crm.item.* returns them.
ITEM: dict[str, Any] = {
    "UF_CRM_CITY": "Almaty",
    "sourceId": "CALL",
    "opportunity": 1250.5,
    "UF_CRM_VIP": "N",
    "birthdate": "1990-01-31T03:00:00+03:00",
    "comments": "Line 1\r\nLine 2",
}
#: The same as crm.lead.list returns them.
ROW: dict[str, Any] = {
    "ID": "55",
    "TITLE": "Ann",
    "NAME": "Ann",
    "STATUS_ID": "NEW",
    "ORIGIN_ID": "7",
    "ORIGINATOR_ID": "leadline",
    "PHONE": [{"ID": "9", "VALUE": "+77001112233", "VALUE_TYPE": "WORK", "TYPE_ID": "PHONE"}],
    "EMAIL": [{"ID": "12", "VALUE": "ann@example.com", "VALUE_TYPE": "WORK", "TYPE_ID": "EMAIL"}],
    "UF_CRM_CITY": "Almaty",
    "SOURCE_ID": "CALL",
    "OPPORTUNITY": "1250.50",
    "UF_CRM_VIP": "0",
    "BIRTHDATE": "1990-01-31T03:00:00+03:00",
    "COMMENTS": "Line 1\r\nLine 2",
}
APPLIED = {
    "EMAIL:WORK": "ann@example.com",
    "UF_CRM_CITY": "Almaty",
    "SOURCE_ID": "CALL",
    "OPPORTUNITY": "1250.5",
    "UF_CRM_VIP": "N",
    "BIRTHDATE": "1990-01-31",
    "COMMENTS": "Line 1\nLine 2",
}


@pytest.fixture(autouse=True)
def field_map(configure: Configure, tmp_path: Path) -> None:
    maps.use(configure, tmp_path)


def having(**values: Any) -> DesiredState:
    return DesiredState("Ann", "+77001112233", "NEW", values)


def last_applied_with(**changed: str | None) -> LastApplied:
    further = AppliedFields({**APPLIED, **changed}, rows={"EMAIL:WORK": 12})
    return LastApplied(55, "Ann", "+77001112233", phone_row=9, further=further)


def update_fields(last_applied: LastApplied, state: DesiredState) -> dict[str, Any]:
    command = leads.update(last_applied, state, with_stage=False)
    return dict(command.params["fields"]) if command else {}


def found_lead(**row: Any) -> FoundLead:
    (lead,) = parse_leads([{**ROW, **row}])
    return lead


def test_a_new_lead_gets_all_fields_and_the_constants() -> None:
    command = leads.create(7, having(**VALUES), "leadline")
    fields = command.params["fields"]
    assert command.params["useOriginalUfNames"] == "Y"
    assert fields["fm"] == [
        {"typeId": "PHONE", "valueType": "WORK", "value": "+77001112233"},
        {"typeId": "EMAIL", "valueType": "WORK", "value": "ann@example.com"},
    ]
    assert {name: fields[name] for name in (*ITEM, "assignedById", "opened")} == {
        "UF_CRM_CITY": "Almaty",
        "sourceId": "CALL",
        "opportunity": "1250.5",
        "UF_CRM_VIP": "0",
        "birthdate": "1990-01-31",
        "comments": "Line 1\nLine 2",
        "assignedById": "7",
        "opened": "Y",
    }


def test_a_new_lead_gets_no_field_that_its_user_lacks() -> None:
    fields = leads.create(7, having(city=None), "leadline").params["fields"]
    assert "UF_CRM_CITY" not in fields
    assert "sourceId" not in fields
    assert len(fields["fm"]) == 1


def test_only_what_differs_is_written() -> None:
    assert update_fields(last_applied_with(), having(**VALUES)) == {}
    changed = {**VALUES, "city": "Astana", "vip": True, "email": "ann@other.com"}
    assert update_fields(last_applied_with(), having(**changed)) == {
        "UF_CRM_CITY": "Astana",
        "UF_CRM_VIP": "1",
        "fm": {"12": {"typeId": "EMAIL", "valueType": "WORK", "value": "ann@other.com"}},
    }


def test_a_phone_and_an_email_are_written_together() -> None:
    state = DesiredState("Ann", "+77009998877", "NEW", {"email": "b@example.com"})
    last = LastApplied(55, "Ann", further=AppliedFields({"EMAIL:WORK": None}))
    assert update_fields(last, state) == {
        "fm": {
            "n0": {"typeId": "PHONE", "valueType": "WORK", "value": "+77009998877"},
            "n1": {"typeId": "EMAIL", "valueType": "WORK", "value": "b@example.com"},
        }
    }


def test_a_cleared_field_is_cleared_in_the_lead() -> None:
    sent = update_fields(last_applied_with(), having(email=None, city=None, budget=None))
    assert sent == {
        "UF_CRM_CITY": "",
        "opportunity": "",
        "fm": {"12": {"typeId": "EMAIL", "valueType": "WORK", "value": ""}},
    }


def test_a_field_that_was_never_set_leaves_the_leads_value() -> None:
    assert update_fields(last_applied_with(), having()) == {}
    assert found_lead().differences(having()) == {}


def test_fields_not_known_to_be_applied_are_written() -> None:
    last = LastApplied(55, "Ann", "+77001112233", phone_row=9)
    assert update_fields(last, having(city="Almaty", source="site")) == {
        "UF_CRM_CITY": "Almaty",
        "sourceId": "WEB",
    }


def test_a_lead_is_looked_up_before_an_email_in_an_unknown_row_changes() -> None:
    last = LastApplied(55, "Ann", "+77001112233", phone_row=9)
    assert needs_lookup(last.further, having(email="ann@example.com"))
    assert needs_lookup(last.further, having(email=None))
    assert not needs_lookup(last.further, having(city="Almaty"))
    assert not needs_lookup(last_applied_with().further, having(email="b@example.com"))
    # A row of unknown id stays.
    assert "fm" not in update_fields(last, having(email="b@example.com"))
    without_row = LastApplied(
        55, "Ann", "+77001112233", phone_row=9, further=AppliedFields({"EMAIL:WORK": "a@b.cc"})
    )
    assert needs_lookup(without_row.further, having(email="b@example.com"))
    assert not needs_lookup(without_row.further, having(email="a@b.cc"))
    empty = LastApplied(
        55, "Ann", "+77001112233", phone_row=9, further=AppliedFields({"EMAIL:WORK": None})
    )
    assert not needs_lookup(empty.further, having(email="b@example.com"))


def test_a_value_of_the_crm_is_never_overwritten() -> None:
    note = having(note="Ours")
    assert update_fields(last_applied_with(), note) == {}
    assert update_fields(last_applied_with(), having(note=None)) == {}
    assert found_lead(COMMENTS="Theirs").differences(note) == {}
    assert update_fields(last_applied_with(COMMENTS=None), note) == {"comments": "Ours"}
    assert found_lead(COMMENTS="").differences(note) == {"note": (None, "Ours")}


def test_an_empty_field_of_the_crm_is_read_again_before_it_is_filled() -> None:
    state = having(note="Ours")
    answer = {"item": {"id": 55, **ITEM, "comments": ""}}
    command = leads.create(7, having(), "leadline")
    last = parse_written(answer, command, having())
    assert "COMMENTS" not in last.further.values
    assert needs_lookup(last.further, state)
    assert update_fields(last, state) == {}
    looked_up = found_lead(COMMENTS=None).last_applied(state)
    assert not needs_lookup(looked_up.further, state)
    assert update_fields(looked_up, state) == {"comments": "Ours"}


def test_a_written_lead_is_read_in_both_notations() -> None:
    fm = [
        {"id": 9, "typeId": "PHONE", "valueType": "WORK", "value": "+77001112233"},
        {"id": 12, "typeId": "EMAIL", "valueType": "WORK", "value": "ann@example.com"},
    ]
    command = leads.create(7, having(**VALUES), "leadline")
    for names in (ITEM, {**ITEM, "ufCrmCity": ITEM["UF_CRM_CITY"], "ufCrmVip": "N"}):
        item = {"id": 55, "title": "Ann", "name": "Ann", "fm": fm, **names}
        if "ufCrmCity" in item:
            del item["UF_CRM_CITY"], item["UF_CRM_VIP"]
        assert parse_written({"item": item}, command, having(**VALUES)) == last_applied_with()


def test_the_value_in_the_portals_answer_becomes_last_applied() -> None:
    answer = {"item": {"id": 55, **ITEM, "UF_CRM_CITY": "Alm"}}
    last = parse_written(answer, leads.create(7, having(**VALUES), "leadline"), having(**VALUES))
    assert last.further.values["UF_CRM_CITY"] == "Alm"


def test_a_user_field_that_the_portal_has_dropped_is_unknown() -> None:
    answer = {"item": {"id": 55, "title": "Ann"}}
    last = parse_written(answer, leads.create(7, having(**VALUES), "leadline"), having(**VALUES))
    assert "UF_CRM_CITY" not in last.further.values
    assert last.further.values["SOURCE_ID"] == "CALL"  # every portal has it


@pytest.mark.parametrize(
    "fm", [5, "x", {"a": 1}, [5], [{"typeId": "EMAIL", "value": "ann@example.com"}]]
)
def test_unreadable_rows_are_no_proof_that_a_lead_has_none(fm: object) -> None:
    """Else the e-mail would be added a second time."""
    answer = {"item": {"id": 55, **ITEM, "fm": fm}}
    last = parse_written(answer, leads.create(7, having(**VALUES), "leadline"), having(**VALUES))
    assert "EMAIL:WORK" not in last.further.values
    assert needs_lookup(last.further, having(**VALUES))
    assert "fm" not in update_fields(last, having(**VALUES))


@pytest.mark.parametrize("rows", [5, [5], [{"VALUE": "ann@example.com"}]])
def test_a_found_lead_with_unreadable_rows_is_unreadable(rows: object) -> None:
    with pytest.raises(OutcomeUnknown):
        found_lead(EMAIL=rows)


@pytest.mark.parametrize("rows", ["", None, []])
def test_a_lead_without_emails_has_none(rows: object) -> None:
    assert found_lead(EMAIL=rows).last_applied(having()).further.values["EMAIL:WORK"] is None


def test_a_value_that_could_not_be_written_or_cleared_stays_open() -> None:
    dropped = AppliedFields({"SOURCE_ID": "CALL"})
    assert open_fields(dropped, having(city="Almaty", source="call")) == ["city"]
    assert open_fields(dropped, having(city=None, source=None)) == []  # the user has no values
    refused = replace(having(city=None), refused=frozenset({"UF_CRM_CITY"}))
    assert open_fields(dropped, refused) == ["city"]
    assert open_fields(dropped, having(source="call")) == []
    assert open_fields(dropped, having(note=None)) == []  # the CRM's own


def test_a_found_lead_is_read() -> None:
    lead = found_lead()
    assert lead.last_applied(having(**VALUES)) == last_applied_with()
    assert lead.differences(having(**VALUES)) == {}


def test_the_differences_name_fields_and_both_values() -> None:
    lead = found_lead(NAME="Bob", PHONE=None, EMAIL=None, UF_CRM_CITY=None, OPPORTUNITY="7.00")
    assert lead.differences(having(**VALUES)) == {
        "full_name": (None, "Ann"),
        "phone": (None, "+77001112233"),
        "email": (None, "ann@example.com"),
        "city": (None, "Almaty"),
        "budget": ("7", "1250.5"),
    }


def test_the_case_of_an_email_and_an_empty_number_make_no_difference() -> None:
    lead = found_lead(
        OPPORTUNITY="0.00", UF_CRM_VIP="", EMAIL=[{**ROW["EMAIL"][0], "VALUE": "ANN@Example.com"}]
    )
    assert lead.differences(having(email="ann@example.com", budget=None, vip=False)) == {}
    assert lead.differences(having(budget=0)) == {}


@pytest.mark.parametrize(
    ("stored", "wanted", "is_same"),
    [
        ("123456789.12", 123456789.123456, True),
        ("0.00", 1e-9, True),
        ("5.01", 5.005, True),  # either way of rounding a half
        ("5.00", 5.005, True),
        ("5.00", 5.01, False),
        ("5", 5.01, False),
        ("5.001", 5.002, False),
        ("5.001", 5.0014, True),
        ("about five", 5, False),
        ("NaN", 5, False),
        ("-Infinity", 5, False),
        ("1e-9999999999", 5, False),
    ],
)
def test_a_number_that_the_portal_has_rounded_is_no_drift(
    *, stored: str, wanted: float, is_same: bool
) -> None:
    """Otherwise each repair and each plan would write it again."""
    assert (found_lead(OPPORTUNITY=stored).differences(having(budget=wanted)) == {}) is is_same


def test_an_update_replaces_the_email_that_equals_the_users_or_the_last_applied_one() -> None:
    rows = [
        {"ID": "12", "VALUE": "home@b.cc", "VALUE_TYPE": "HOME"},
        {"ID": "13", "VALUE": "x@b.cc", "VALUE_TYPE": "WORK"},
        {"ID": "14", "VALUE": "y@b.cc", "VALUE_TYPE": "WORK"},
    ]
    lead = found_lead(EMAIL=rows)
    before = LastApplied(55, further=AppliedFields(rows={"EMAIL:WORK": 14}))

    def row_of(email: str, previous: LastApplied | None = None) -> int:
        return lead.last_applied(having(email=email), previous).further.rows["EMAIL:WORK"]

    assert row_of("y@b.cc") == 14
    assert row_of("new@b.cc") == 13
    assert row_of("home@b.cc") == 12
    assert row_of("new@b.cc", before) == 14
    only_home = found_lead(EMAIL=rows[:1]).last_applied(having(email="new@b.cc"))
    assert only_home.further.values["EMAIL:WORK"] is None  # someone else's row stays


def test_a_second_phone_is_not_taken_for_the_users_own(
    configure: Configure, tmp_path: Path
) -> None:
    text = '[fields.mobile]\ntype = "phone"\nlead = "PHONE"\nvalue_type = "MOBILE"\n'
    maps.use(configure, tmp_path, text)
    rows = [
        {"ID": "8", "VALUE": "+1", "VALUE_TYPE": "MOBILE"},
        {"ID": "9", "VALUE": "+2", "VALUE_TYPE": "WORK"},
    ]
    lead = found_lead(PHONE=rows)
    assert lead.phones == (("+2", 9),)
    state = DesiredState("Ann", "+3", "NEW", {"mobile": "+4"})
    last = lead.last_applied(state)
    assert update_fields(last, state)["fm"] == {
        "8": {"typeId": "PHONE", "valueType": "MOBILE", "value": "+4"},
        "9": {"typeId": "PHONE", "valueType": "WORK", "value": "+3"},
    }


def test_a_map_that_takes_the_first_name_leaves_the_title_for_the_full_name(
    configure: Configure, tmp_path: Path
) -> None:
    text = '[fields.first]\ntype = "text"\nlead = "NAME"\n'
    maps.use(configure, tmp_path, text)
    state = DesiredState("Ann Lee", "+77001112233", "NEW", {"first": "Ann"})
    fields = leads.create(7, state, "leadline").params["fields"]
    assert (fields["title"], fields["name"]) == ("Ann Lee", "Ann")
    lead = found_lead(TITLE="Ann Lee", NAME="Ann")
    assert lead.full_name == "Ann Lee"
    assert lead.differences(state) == {}


def test_a_value_that_the_map_no_longer_allows_is_left_out() -> None:
    assert (
        update_fields(
            last_applied_with(), having(source="fax", budget="5", vip="yes", born="31.1.90")
        )
        == {}
    )


def test_a_field_with_several_values_is_unknown() -> None:
    lead = found_lead(UF_CRM_CITY=["Almaty", "Astana"])
    assert lead.differences(having(city="Almaty")) == {"city": (None, "Almaty")}


def test_refused_fields_are_left_out_of_the_write() -> None:
    state = DesiredState("Ann", "+7", "NEW", VALUES, frozenset({"UF_CRM_CITY", "OPENED"}))
    fields = leads.create(7, state, "leadline").params["fields"]
    assert "UF_CRM_CITY" not in fields
    assert "opened" not in fields
    assert fields["sourceId"] == "CALL"


def test_an_erased_lead_keeps_none_of_the_further_fields() -> None:
    fields = leads.blank(55, "Erased", phone_rows=[9], other_rows=[("EMAIL", 12)]).params["fields"]
    assert fields["UF_CRM_CITY"] == fields["comments"] == fields["birthdate"] == ""
    assert fields["fm"]["12"]["value"] == fields["fm"]["9"]["value"] == ""


def test_a_lead_of_neutral_values_holds_no_personal_data() -> None:
    rows = [("EMAIL", 12), ("EMAIL", 13), ("PHONE", 9)]
    fields = leads.blank(55, "Erased", phone_rows=[9, 10], other_rows=rows, is_neutral=True).params[
        "fields"
    ]
    assert {row: written["value"] for row, written in fields["fm"].items()} == {
        "9": "+00055",
        "10": "",
        "12": "erased-55@erased.invalid",
        "13": "",
    }
    assert fields["UF_CRM_CITY"] == fields["comments"] == "Erased"
    email = {"ID": "12", "VALUE": "erased-55@erased.invalid", "VALUE_TYPE": "WORK"}
    neutral = found_lead(
        UF_CRM_CITY="Erased", COMMENTS="Erased", BIRTHDATE="1900-01-01", EMAIL=[email]
    )
    assert is_blank(neutral.further, 55)
    assert not is_blank(neutral.further, 56), "another lead's neutral values are not expected"


@pytest.mark.parametrize("line", ["required = true", 'default = "unknown"'])
def test_an_erased_lead_keeps_no_value_where_the_portal_may_require_one(
    configure: Configure, tmp_path: Path, line: str
) -> None:
    required = maps.EXAMPLE.replace('"UF_CRM_CITY"', f'"UF_CRM_CITY"\n{line}')
    maps.use(configure, tmp_path, required.replace('"BIRTHDATE"', '"BIRTHDATE"\nrequired = true'))
    fields = leads.blank(55, "Erased", phone_rows=[]).params["fields"]
    assert (fields["UF_CRM_CITY"], fields["birthdate"]) == ("Erased", "1900-01-01")
    assert fields["comments"] == ""
    rest = {"EMAIL": [], "COMMENTS": ""}
    blank = found_lead(UF_CRM_CITY="Erased", BIRTHDATE="1900-01-01T03:00:00+03:00", **rest)
    assert is_blank(blank.further, 55)
    assert not is_blank(found_lead(UF_CRM_CITY="Almaty", BIRTHDATE="", **rest).further, 55)


def test_what_was_applied_is_stored_and_read() -> None:
    stored = stored_lead.dump_last_applied(last_applied_with(), None)
    content = {name.encode(): bytes(value) for name, value in stored.items() if value}  # type: ignore[arg-type]
    assert stored_lead.load_last_applied(content) == last_applied_with()
    # A worker of an earlier release knows only these names.
    assert set(orjson.loads(content[b"agreed"])) == {"lead_id", "full_name", "phone", "phone_row"}
    other_lead = {**content, b"agreed": b'{"lead_id": 56}'}
    assert stored_lead.load_last_applied(other_lead) == LastApplied(56)


def test_without_a_map_nothing_more_is_stored(configure: Configure, tmp_path: Path) -> None:
    maps.use(configure, tmp_path, "")
    bare = LastApplied(55, "Ann", "+77001112233", phone_row=9)
    assert stored_lead.dump_last_applied(bare, bare).keys() == {"agreed"}
    assert stored_lead.dump_last_applied(bare, last_applied_with())["agreed_fields"] == ""


def test_the_desired_state_is_read_with_its_fields() -> None:
    content = {
        b"state": b'{"full_name": "Ann", "phone": "+7", "stage": "NEW"}',
        b"fields": b'{"city": "Almaty", "email": null}',
        b"refused": b"UF_CRM_CITY,EMAIL:WORK",
    }
    assert stored_lead.load_state(content) == DesiredState(
        "Ann",
        "+7",
        "NEW",
        {"city": "Almaty", "email": None},
        frozenset({"UF_CRM_CITY", "EMAIL:WORK"}),
    )
