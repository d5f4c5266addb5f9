"""crm.item.list: documentation crm/universal/crm-item-list.md."""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator


def ids(emulator: Emulator, conditions: Any, **extra: Any) -> list[int]:
    params = {"entityTypeId": 1, "select": ["id"], "filter": conditions, **extra}
    return [item["id"] for item in emulator.result("crm.item.list", params)["items"]]


@pytest.fixture
def emulator_with_leads(emulator: Emulator) -> Emulator:
    emulator.add(NAME="Анна", STATUS_ID="NEW", OPPORTUNITY=5000, SOURCE_ID="WEB")
    emulator.add(LAST_NAME="Weber", STATUS_ID="JUNK", PHONE=[{"VALUE": "+7700"}], OPENED="N")
    emulator.add(STATUS_ID="IN_PROCESS", ASSIGNED_BY_ID=2, CURRENCY_ID="EUR")
    return emulator


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"assignedById": 1}, [1, 2]),
        ({"@assignedById": [1, 2]}, [1, 2, 3]),
        ({"!assignedById": 1}, [3]),
        ({"opened": "Y"}, [1, 3]),
        ({"currencyId": "USD"}, [1, 2]),
        ({"hasPhone": "Y"}, [2]),
        ({"!=hasPhone": "Y"}, [1, 3]),
        ({"hasEmail": "N"}, [1, 2, 3]),
        ({"opportunity": 0}, [2, 3]),
        ({">=opportunity": 5000, "<=opportunity": 20000}, [1]),
        ({"%name": "АННА"}, [1]),
        ({"ID": 2}, [2]),
        ({"STAGE_ID": "JUNK"}, [2]),
    ],
    ids=str,
)
def test_a_filter_treats_a_field_that_was_never_set_as_its_default(
    emulator_with_leads: Emulator, conditions: Any, found: list[int]
) -> None:
    assert ids(emulator_with_leads, conditions) == found


def test_a_group_may_be_joined_by_or(emulator_with_leads: Emulator) -> None:
    """The documented example: a name or a last name, and one of two stages."""
    group = {"logic": "OR", "0": {"!=name": ""}, "1": {"!=lastName": ""}}
    assert ids(emulator_with_leads, {"0": group}) == [1, 2]
    assert ids(emulator_with_leads, {"0": group, "@stageId": ["NEW", "IN_PROCESS"]}) == [1]
    assert ids(emulator_with_leads, {"logic": "OR", "stageId": "JUNK", "assignedById": 2}) == [2, 3]
    nested = {"logic": "OR", "0": {"id": 3}, "1": {"logic": "AND", "id": 1, "stageId": "JUNK"}}
    assert ids(emulator_with_leads, [nested]) == [3]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"filter": {"FIELD": 1}}, "Invalid filter: field 'FIELD' is not allowed in filter"),
        ({"filter": {"0": {"x": 1}}}, "Invalid filter: field 'x' is not allowed in filter"),
        (
            {"filter": {">createdTime": "soon"}},
            "Invalid filter: field 'createdTime' has invalid value",
        ),
        ({"order": {"fm": "ASC"}}, "Invalid order: field 'fm' is not allowed in order"),
        (
            {"order": {"id": "UP"}},
            "Invalid order: allowed sort directions are `ASC, DESC`. But got 'UP' for field 'id'",
        ),
    ],
    ids=str,
)
def test_unknown_fields_and_directions_of_a_list_are_refused(
    emulator: Emulator, params: Any, text: str
) -> None:
    response = emulator.post("crm.item.list", {"entityTypeId": 1, **params})
    assert response.status_code == 400
    assert response.json() == {"error": "INVALID_ARG_VALUE", "error_description": text}


def test_phone_rows_are_listed_with_all_fields_but_not_when_selected_by_name(
    emulator_with_leads: Emulator,
) -> None:
    def row(*select: str) -> Any:
        params = {"entityTypeId": 1, "filter": {"id": 2}, "select": list(select)}
        return emulator_with_leads.result("crm.item.list", params)["items"][0]

    assert row("id", "fm", "nonsense") == {"id": 2}
    assert row("phone") == {"id": 2, "phone": "+7700"}
    assert row("*")["fm"][0]["value"] == "+7700"
    assert row()["fm"][0]["value"] == "+7700"


def test_the_setting_date_filter_decides_whether_iso_dates_filter(
    emulator_with_leads: Emulator,
) -> None:
    assert ids(emulator_with_leads, {"<createdTime": "2000-01-01T00:00:00"}) == []
    emulator_with_leads.set(date_filter="not_iso")
    assert ids(emulator_with_leads, {"<createdTime": "2000-01-01T00:00:00"}) == [1, 2, 3]
    assert ids(emulator_with_leads, {"<createdTime": "2000-01-01 00:00:00"}) == []
