"""Phones: rows are addressed by their id, and only by it."""

from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator


def lead_with(emulator: Emulator, *numbers: str) -> int:
    return emulator.add(PHONE=[{"VALUE": number, "VALUE_TYPE": "WORK"} for number in numbers])


def phones_after(emulator: Emulator, lead_id: int, rows: Any) -> list[tuple[str, str, str]]:
    emulator.result("crm.lead.update", {"id": lead_id, "fields": {"PHONE": rows}})
    phones = emulator.get(lead_id).get("PHONE", [])
    return [(row["ID"], row["VALUE"], row["VALUE_TYPE"]) for row in phones]


@pytest.mark.parametrize("number", ["55555", "44444"])
def test_a_row_without_an_id_adds_even_the_same_number(emulator: Emulator, number: str) -> None:
    lead_id = lead_with(emulator, "44444")
    rows = phones_after(emulator, lead_id, [{"VALUE": number, "VALUE_TYPE": "WORK"}])
    assert rows == [("1", "44444", "WORK"), ("2", number, "WORK")]


def test_a_row_with_an_id_changes_that_row_only(emulator: Emulator) -> None:
    lead_id = lead_with(emulator, "111111", "222222", "333333")
    rows = phones_after(emulator, lead_id, [{"ID": 2, "VALUE": "444444", "VALUE_TYPE": "MOBILE"}])
    assert rows == [("1", "111111", "WORK"), ("2", "444444", "MOBILE"), ("3", "333333", "WORK")]


@pytest.mark.parametrize(
    "row", [{"ID": "1", "DELETE": "Y"}, {"ID": 1, "VALUE": ""}, {"ID": 1}], ids=str
)
def test_a_row_is_deleted_in_three_ways(emulator: Emulator, row: dict[str, Any]) -> None:
    lead_id = lead_with(emulator, "111111", "222222")
    assert phones_after(emulator, lead_id, [row]) == [("2", "222222", "WORK")]


def test_deleting_the_last_row_clears_has_phone(emulator: Emulator) -> None:
    lead_id = lead_with(emulator, "111111")
    assert phones_after(emulator, lead_id, [{"ID": 1}]) == []
    assert emulator.get(lead_id)["HAS_PHONE"] == "N"


@pytest.mark.parametrize("rows", [[], None, "", "+7700", 7], ids=str)
def test_no_rows_change_nothing(emulator: Emulator, rows: Any) -> None:
    lead_id = lead_with(emulator, "111111")
    assert phones_after(emulator, lead_id, rows) == [("1", "111111", "WORK")]


def test_a_row_of_another_lead_is_left_alone(emulator: Emulator) -> None:
    lead_with(emulator, "111111")
    other = lead_with(emulator, "222222")
    assert phones_after(emulator, other, [{"ID": 1, "VALUE": "9"}]) == [("2", "222222", "WORK")]
    assert emulator.get(1)["PHONE"][0]["VALUE"] == "111111"
