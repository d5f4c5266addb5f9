"""The search for duplicates, crm.duplicate.findbycomm."""

from typing import Any

from tests.emulator.emulator_process import Emulator


def find(emulator: Emulator, *values: str, **extra: Any) -> Any:
    params = {"type": "PHONE", "values": list(values), **extra}
    return emulator.result("crm.duplicate.findbycomm", params)


def test_leads_are_found_by_their_number_in_any_form(emulator: Emulator) -> None:
    emulator.add(PHONE=[{"VALUE": "+49 30 1234567"}])
    emulator.add(PHONE=[{"VALUE": "+49301234567 ext. 5"}])
    assert find(emulator, "+49301234567") == {"LEAD": [1, 2]}
    assert find(emulator, "+49301234567", entity_type="LEAD") == {"LEAD": [1, 2]}


def test_nothing_found_is_an_empty_list(emulator: Emulator) -> None:
    emulator.add(PHONE=[{"VALUE": "1"}])
    assert find(emulator, "2") == []
    assert find(emulator, "1", entity_type="CONTACT") == []


def test_only_twenty_values_are_used(emulator: Emulator) -> None:
    emulator.add(PHONE=[{"VALUE": "777"}])
    others = [str(number) for number in range(20)]
    assert find(emulator, *others[:19], "777") == {"LEAD": [1]}
    assert find(emulator, *others, "777") == []


def test_the_type_is_required(emulator: Emulator) -> None:
    response = emulator.post("crm.duplicate.findbycomm", {"values": ["8976543"]})
    assert response.status_code == 400
    assert response.json() == {
        "error": "Communication type is not defined",
        "error_description": "Parameter 'type' is required.",
    }
