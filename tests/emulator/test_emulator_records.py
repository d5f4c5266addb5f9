"""Requisites, addresses, currencies and other records that are not CRM objects.

As type of an object, 1 is a lead, 4 a company, 8 a requisite, and 31 an invoice.
"""

from typing import Any

from tests.emulator.emulator_process import Emulator


def error_of(emulator: Emulator, method: str, params: object) -> tuple[Any, str]:
    response = emulator.post(method, params)
    assert response.status_code == 400, response.text
    return response.json()["error"], response.json()["error_description"]


def add_requisite(emulator: Emulator) -> int:
    """Add a requisite, and the company to which it belongs; returns its id."""
    emulator.result("crm.company.add", {"fields": {"TITLE": "x"}})
    fields = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": 1, "PRESET_ID": 1, "NAME": "Main", "RQ_INN": "17"}
    return int(emulator.result("crm.requisite.add", {"fields": fields}))


def test_requisites_belong_to_a_company(emulator: Emulator) -> None:
    """Documentation: crm/requisites/universal/."""
    requisite_id = add_requisite(emulator)
    stored = emulator.result("crm.requisite.get", {"id": requisite_id})
    names = ("ENTITY_ID", "RQ_INN", "ACTIVE", "SORT", "DATE_MODIFY", "MODIFY_BY_ID", "RQ_KPP")
    assert [stored[name] for name in names] == ["1", "17", "Y", "500", "", None, None]
    change = {"id": requisite_id, "fields": {"RQ_KPP": "5", "ENTITY_ID": 9}}
    assert emulator.result("crm.requisite.update", change) is True
    query = {"filter": {"RQ_KPP": "5"}, "select": ["ID", "ENTITY_ID"]}
    found = emulator.call("crm.requisite.list", query)
    assert (found["result"], found["total"]) == ([{"ID": "1", "ENTITY_ID": "1"}], 1)
    missing = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": 9, "PRESET_ID": 1}
    text = error_of(emulator, "crm.requisite.add", {"fields": missing})[1]
    assert text == "Entity not found."
    text = error_of(emulator, "crm.requisite.add", {"fields": {"ENTITY_TYPE_ID": 4}})[1]
    assert text == "ENTITY_ID is not defined or invalid."
    assert emulator.result("crm.requisite.delete", {"id": requisite_id}) is True
    text = error_of(emulator, "crm.requisite.get", {"id": requisite_id})[1]
    assert text == "The Requisite with ID '1' is not found"


def test_bank_details_and_links_refer_to_requisites(emulator: Emulator) -> None:
    """Documentation: crm/requisites/bank-detail/, crm/requisites/links/."""
    requisite_id = add_requisite(emulator)
    bank = {"ENTITY_ID": requisite_id, "NAME": "Superbank", "RQ_BIK": "044525225"}
    assert emulator.result("crm.requisite.bankdetail.add", {"fields": bank}) == 1
    assert emulator.result("crm.requisite.bankdetail.get", {"id": 1})["RQ_BIK"] == "044525225"
    emulator.result("crm.item.add", {"entityTypeId": 31, "fields": {}})
    link = {"ENTITY_TYPE_ID": 31, "ENTITY_ID": 1, "REQUISITE_ID": 1, "BANK_DETAIL_ID": 1}
    assert emulator.result("crm.requisite.link.register", {"fields": link}) is True
    owner = {"entityTypeId": 31, "entityId": 1}
    stored = emulator.result("crm.requisite.link.get", owner)
    assert (stored["REQUISITE_ID"], stored["ENTITY_ID"]) == ("1", 1)
    missing = {"fields": {**link, "REQUISITE_ID": 9}}
    text = error_of(emulator, "crm.requisite.link.register", missing)[1]
    assert text == "The Requisite with ID '9' is not found"
    assert emulator.result("crm.requisite.link.unregister", owner) is True
    assert error_of(emulator, "crm.requisite.link.get", owner) == ("", "Not found")


def test_a_template_has_fields_of_its_own(emulator: Emulator) -> None:
    """Documentation: crm/requisites/presets/."""
    fields = {"ENTITY_TYPE_ID": 8, "COUNTRY_ID": 1, "NAME": "LLC"}
    preset = {"ID": emulator.result("crm.requisite.preset.add", {"fields": fields})}
    field = {"preset": preset, "fields": {"FIELD_NAME": "RQ_NAME", "SORT": 580}}
    assert emulator.result("crm.requisite.preset.field.add", field) == 1
    text = error_of(emulator, "crm.requisite.preset.field.add", field)[1]
    assert text == "The field 'RQ_NAME' can not be added."
    stored = emulator.result("crm.requisite.preset.field.get", {"ID": 1, "preset": preset})
    assert (stored["ID"], stored["SORT"], stored["IN_SHORT_LIST"]) == (1, 580, "N")
    available = emulator.result("crm.requisite.preset.field.availabletoadd", {"preset": preset})
    assert "RQ_NAME" not in available
    text = error_of(emulator, "crm.requisite.preset.field.list", {"preset": {"ID": 9}})[1]
    assert text == "The Preset with ID '9' is not found"


def test_an_object_has_one_address_of_a_type(emulator: Emulator) -> None:
    """Documentation: crm/requisites/addresses/."""
    key = {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": add_requisite(emulator)}
    address = {"fields": {**key, "CITY": "Riga"}}
    assert emulator.result("crm.address.add", address) is True
    assert error_of(emulator, "crm.address.add", address)[1] == "TypeAddress exists."
    emulator.result("crm.address.update", {"fields": {**key, "CITY": "Tartu"}})
    (row,) = emulator.result("crm.address.list", {"filter": {"ENTITY_TYPE_ID": 8}})
    assert [row[name] for name in ("CITY", "ANCHOR_TYPE_ID", "ANCHOR_ID")] == ["Tartu", "4", "1"]
    assert emulator.result("crm.address.delete", {"fields": key}) is True
    assert error_of(emulator, "crm.address.delete", {"fields": key})[1] == "TypeAddress not found."


def test_currencies_have_a_base_and_languages(emulator: Emulator) -> None:
    """Documentation: crm/currency/."""
    assert emulator.result("crm.currency.base.get") == "USD"
    fields = {"CURRENCY": "CNY", "AMOUNT": 12.2251, "LANG": {"en": {"FULL_NAME": "Yuan"}}}
    assert emulator.result("crm.currency.add", {"fields": fields}) == "CNY"
    currency = emulator.result("crm.currency.get", {"id": "CNY"})
    assert [currency[name] for name in ("AMOUNT", "FULL_NAME", "BASE")] == ["12.2251", "Yuan", "N"]
    languages = {"id": "CNY", "localizations": {"de": {"DECIMALS": 4}}}
    assert emulator.result("crm.currency.localizations.set", languages) is True
    found = emulator.result("crm.currency.localizations.get", {"id": "CNY"})
    assert (found["de"]["DECIMALS"], found["en"]["FULL_NAME"]) == ("4", "Yuan")
    assert (
        error_of(emulator, "crm.currency.delete", {"id": "USD"})[1]
        == "Cannot delete base currency."
    )
    assert emulator.result("crm.currency.base.set", {"id": "CNY"}) is True
    assert emulator.result("crm.currency.delete", {"id": "USD"}) is True
    assert error_of(emulator, "crm.currency.get", {"id": "USD"}) == ("", "Not found")
    order = {"order": {"currency": "desc"}}
    assert [row["CURRENCY"] for row in emulator.result("crm.currency.list", order)] == [
        "EUR",
        "CNY",
    ]


def test_fields_are_registered_for_the_search_of_duplicates(emulator: Emulator) -> None:
    """Documentation: crm/duplicates/volatile-type/."""
    query = {"entityTypeId": 1, "fieldCode": "TITLE"}
    assert query | {"fieldTitle": "Lead title"} in emulator.result(
        "crm.duplicate.volatileType.fields", {"entityTypeId": 1}
    )
    assert emulator.result("crm.duplicate.volatileType.register", query) == {"id": 1}
    assert emulator.result("crm.duplicate.volatileType.register", query) == {"id": 1}
    unknown = {"entityTypeId": 1, "fieldCode": "NOTHING"}
    code = error_of(emulator, "crm.duplicate.volatileType.register", unknown)[0]
    assert code == "FIELD_NOT_FOUND"
    assert emulator.result("crm.duplicate.volatileType.unregister", {"id": 1}) is True
    assert emulator.result("crm.duplicate.volatileType.list") == []


def test_a_workspace_with_smart_processes_cannot_be_deleted(emulator: Emulator) -> None:
    """Documentation: crm/automated-solution/."""
    emulator.result("crm.type.add", {"fields": {"title": "Repairs"}})
    fields = {"title": "HR", "typeIds": [1, 9]}
    workspace = emulator.result("crm.automatedsolution.add", {"fields": fields})
    assert workspace == {"automatedSolution": {"id": 1, "title": "HR", "typeIds": [1]}}
    assert error_of(emulator, "crm.automatedsolution.delete", {"id": 1})[0] == "HAS_BOUND_TYPES"
    emulator.result("crm.automatedsolution.update", {"id": 1, "fields": {"typeIds": []}})
    assert emulator.result("crm.automatedsolution.delete", {"id": 1}) is None
    assert error_of(emulator, "crm.automatedsolution.get", {"id": 1})[0] == "NOT_FOUND"


def test_options_are_kept_for_applications(emulator: Emulator) -> None:
    """Documentation: common/settings/."""
    assert emulator.result("user.option.set", {"options": {"data": "value"}}) is True
    assert emulator.result("user.option.get", {"option": "data"}) == "value"
    assert emulator.result("app.option.get") == {}
    emulator.set(application_methods="refused")
    response = emulator.post("app.option.get")
    assert (response.status_code, response.json()["error"]) == (403, "AccessException")
