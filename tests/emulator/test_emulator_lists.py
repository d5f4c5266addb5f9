"""Lists: filters, pages, selection."""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator


def ids(emulator: Emulator, **params: Any) -> list[int]:
    return [int(row["ID"]) for row in emulator.result("crm.lead.list", params)]


@pytest.fixture
def emulator_with_leads(emulator: Emulator) -> Emulator:
    emulator.add(ORIGINATOR_ID="core", ORIGIN_ID="10", STATUS_ID="NEW", NAME="Anna", OPPORTUNITY=5)
    emulator.add(ORIGINATOR_ID="core", ORIGIN_ID="11", STATUS_ID="JUNK", NAME="Annika")
    emulator.add(STATUS_ID="IN_PROCESS", NAME="Boris", PHONE=[{"VALUE": "+7700"}], OPPORTUNITY=50)
    return emulator


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, [1, 2, 3]),
        ({"ORIGIN_ID": "10"}, [1]),
        ({"=ORIGIN_ID": 10}, [1]),
        ({"@ORIGIN_ID": ["10", "11", "12"]}, [1, 2]),
        ({"ORIGIN_ID": ["10", "11"]}, [1, 2]),
        ({"!@ORIGIN_ID": ["10"]}, [2, 3]),
        ({"!ORIGIN_ID": ""}, [1, 2]),
        ({"ORIGIN_ID": None}, [3]),
        ({"@ORIGIN_ID": []}, []),
        ({"!STATUS_ID": "NEW"}, [2, 3]),
        ({"!=STATUS_ID": "NEW"}, [2, 3]),
        ({"ORIGINATOR_ID": "core", "STATUS_ID": "JUNK"}, [2]),
        ({">ID": 1}, [2, 3]),
        ({">=ID": "2", "<ID": 3}, [2]),
        ({"<=ID": 2}, [1, 2]),
        ({"%NAME": "nn"}, [1, 2]),
        ({"%=NAME": "nn"}, []),
        ({"%=NAME": "%nn%"}, [1, 2]),
        ({"=%NAME": "an%"}, [1, 2]),
        ({"=%NAME": "%s"}, [3]),
        ({"!=%NAME": "An%"}, [3]),
        ({"!%=NAME": "%ka"}, [1, 3]),
        ({"!%NAME": "nn"}, [3]),
        ({"%NAME": "%"}, []),
        ({">OPPORTUNITY": 4}, [1, 3]),
        ({">=OPPORTUNITY": "5.00", "<OPPORTUNITY": 50}, [1]),
        ({">=DATE_MODIFY": "2000-01-01T00:00:00+00:00"}, [1, 2, 3]),
        ({"<DATE_MODIFY": "2000-01-01"}, []),
        ({"PHONE": "+7700"}, [3]),
        ({"NO_SUCH_FIELD": "x"}, [1, 2, 3]),
        ({"'; DROP TABLE lead; --": "x"}, [1, 2, 3]),
    ],
    ids=str,
)
def test_a_filter_finds_the_expected_leads(
    emulator_with_leads: Emulator, conditions: dict[str, Any], found: list[int]
) -> None:
    assert ids(emulator_with_leads, filter=conditions) == found


def test_the_item_api_filters_in_camel_case(emulator_with_leads: Emulator) -> None:
    params = {
        "entityTypeId": 1,
        "filter": {"@originId": ["11", "10"], "!stageId": "JUNK"},
        "order": {"id": "DESC"},
        "select": ["id", "title"],
    }
    answer = emulator_with_leads.call("crm.item.list", params)
    assert answer["result"] == {"items": [{"id": 1, "title": "Lead #1"}]}
    assert answer["total"] == 1


def test_a_list_is_ordered_and_limited_to_the_selected_fields(
    emulator_with_leads: Emulator,
) -> None:
    params = {"order": {"NAME": "DESC"}, "select": ["NAME"]}
    assert emulator_with_leads.result("crm.lead.list", params) == [
        {"ID": "3", "NAME": "Boris"},
        {"ID": "2", "NAME": "Annika"},
        {"ID": "1", "NAME": "Anna"},
    ]


def test_selecting_all_fields_of_a_list_does_not_include_phones(
    emulator_with_leads: Emulator,
) -> None:
    assert "PHONE" not in emulator_with_leads.result("crm.lead.list", {"select": ["*", "UF_*"]})[2]
    with_phone = emulator_with_leads.result("crm.lead.list", {"select": ["*", "PHONE"]})
    assert with_phone[2]["PHONE"][0]["VALUE"] == "+7700"
    assert "PHONE" not in with_phone[0]


def test_pages_hold_fifty(emulator: Emulator) -> None:
    for count in (50, 20):
        emulator.batch({f"c{number}": "crm.lead.add" for number in range(count)})
    first = emulator.call("crm.lead.list")
    assert (len(first["result"]), first["next"], first["total"]) == (50, 50, 70)
    second = emulator.call("crm.lead.list", {"start": 50})
    assert (len(second["result"]), second["total"], "next" in second) == (20, 70, False)
    uncounted = emulator.call("crm.lead.list", {"start": -1, "filter": {">ID": 10}})
    assert (len(uncounted["result"]), uncounted["total"], "next" in uncounted) == (50, 0, False)
    assert uncounted["result"][0]["ID"] == "11"
