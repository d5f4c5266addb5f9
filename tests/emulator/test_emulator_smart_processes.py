"""Smart processes, invoices and estimates, and their product rows.

Documentation: crm/universal/user-defined-object-types/, crm/universal/object-fields.md#spa,
crm/universal/product-rows/, crm/quote/.
"""

from typing import Any

from tests.emulator.emulator_process import Emulator

#: The entityTypeId of deals, estimates, invoices, and of the first smart process of a portal.
DEAL, ESTIMATE, INVOICE, PROCESS = 2, 7, 31, 1030


def add_process(emulator: Emulator, **settings: Any) -> Any:
    fields = {"title": "Repairs", "isStagesEnabled": "Y", **settings}
    return emulator.result("crm.type.add", {"fields": fields})["type"]


def add_item(emulator: Emulator, type_id: int, **fields: Any) -> Any:
    params = {"entityTypeId": type_id, "fields": fields}
    return emulator.result("crm.item.add", params)["item"]


def error_code(emulator: Emulator, method: str, params: object) -> Any:
    response = emulator.post(method, params)
    assert response.status_code == 400, response.text
    return response.json()["error"]


def test_a_smart_process_has_the_fields_that_its_settings_choose(emulator: Emulator) -> None:
    process = add_process(emulator, isClientEnabled="Y", isSourceEnabled="true")
    assert (process["id"], process["entityTypeId"], process["isSourceEnabled"]) == (1, PROCESS, "Y")
    assert [row["entityTypeId"] for row in process["relations"]["parent"]] == [3, 4]
    fields = emulator.result("crm.item.fields", {"entityTypeId": PROCESS})["fields"]
    assert {"stageId", "contactIds", "sourceId", "categoryId"} <= fields.keys()
    assert fields["stageId"]["statusType"] == f"DYNAMIC_{PROCESS}_STAGE_2"
    assert not {"opportunity", "observers", "begindate"} & fields.keys()
    changed = {"id": 1, "fields": {"isObserversEnabled": "Y", "isClientEnabled": "N"}}
    emulator.result("crm.type.update", changed)
    fields = emulator.result("crm.item.fields", {"entityTypeId": PROCESS})["fields"]
    assert "observers" in fields
    assert "contactIds" not in fields


def test_items_of_a_smart_process_move_between_its_stages(emulator: Emulator) -> None:
    add_process(emulator)
    first = add_item(emulator, PROCESS, title="Screen")
    assert (first["stageId"], first["previousStageId"]) == (f"DT{PROCESS}_2:NEW", None)
    move = {"entityTypeId": PROCESS, "id": 1, "fields": {"stageId": f"DT{PROCESS}_2:SUCCESS"}}
    moved = emulator.result("crm.item.update", move)["item"]
    assert moved["previousStageId"] == f"DT{PROCESS}_2:NEW"
    history = emulator.result("crm.stagehistory.list", {"entityTypeId": PROCESS})["items"]
    assert [row["STAGE_SEMANTIC_ID"] for row in history] == ["P", "S"]
    query = {"entityTypeId": PROCESS, "filter": {"@stageId": [moved["stageId"]]}}
    assert emulator.call("crm.item.list", query)["total"] == 1
    assert error_code(emulator, "crm.type.delete", {"id": 1}) == "BX_ERROR"
    emulator.result("crm.item.delete", {"entityTypeId": PROCESS, "id": 1})
    assert emulator.result("crm.type.delete", {"id": 1}) == []
    assert error_code(emulator, "crm.item.list", query) == "NOT_FOUND"


def test_a_smart_process_gets_further_pipelines_only_if_enabled(emulator: Emulator) -> None:
    process = add_process(emulator)
    pipeline = {"entityTypeId": PROCESS, "fields": {"name": "Second"}}
    assert error_code(emulator, "crm.category.add", pipeline) == "ADDING_DISABLED"
    emulator.result(
        "crm.type.update", {"id": process["id"], "fields": {"isCategoriesEnabled": "Y"}}
    )
    category = emulator.result("crm.category.add", pipeline)["category"]
    assert (category["entityTypeId"], category["isDefault"]) == (PROCESS, "N")
    other = add_item(emulator, PROCESS, categoryId=category["id"])
    assert other["stageId"] == f"DT{PROCESS}_{category['id']}:NEW"
    key = {"entityTypeId": PROCESS, "id": category["id"]}
    assert error_code(emulator, "crm.category.delete", key) == "BX_ERROR"
    deals = emulator.result("crm.category.list", {"entityTypeId": DEAL})["categories"]
    assert [row["id"] for row in deals] == [0]


def test_a_type_outside_the_range_or_unknown_is_refused(emulator: Emulator) -> None:
    for type_id in (1, 127, 193, 1031, "x"):
        fields = {"title": "No", "entityTypeId": type_id}
        assert error_code(emulator, "crm.type.add", {"fields": fields}) == "INVALID_ARG_VALUE"
    add_process(emulator)
    fields = {"title": "Twice", "entityTypeId": PROCESS}
    assert error_code(emulator, "crm.type.add", {"fields": fields}) == "INVALID_ARG_VALUE"
    assert error_code(emulator, "crm.type.get", {"id": 9}) == 0
    unknown = {"filter": {"nothing": 1}}
    assert error_code(emulator, "crm.type.list", unknown) == "INVALID_ARG_VALUE"


def test_types_are_found_by_a_filter_with_groups(emulator: Emulator) -> None:
    for title in ("Repairs", "Returns", "Visits"):
        add_process(emulator, title=title)
    conditions = {"logic": "OR", "0": {"%title": "pair"}, "1": {"=title": "Visits"}}
    found = emulator.call("crm.type.list", {"filter": {"0": conditions}, "order": {"id": "DESC"}})
    assert [row["title"] for row in found["result"]["types"]] == ["Visits", "Repairs"]
    assert found["total"] == 2


def test_relations_give_objects_a_parent(emulator: Emulator) -> None:
    """Documentation: crm/universal/object-fields.md#common."""
    relations = {"parent": [{"entityTypeId": DEAL}], "child": [{"entityTypeId": 1}]}
    add_process(emulator, relations=relations)
    deal = add_item(emulator, DEAL, title="Parent")["id"]
    child = add_item(emulator, PROCESS, parentId2=deal)
    assert child["parentId2"] == deal
    query = {"entityTypeId": PROCESS, "filter": {"parentId2": deal}}
    assert emulator.call("crm.item.list", query)["total"] == 1
    lead = emulator.add(**{f"PARENT_ID_{PROCESS}": child["id"]})
    assert emulator.get(lead)[f"PARENT_ID_{PROCESS}"] == str(child["id"])


def test_a_reset_deletes_smart_processes(emulator: Emulator) -> None:
    add_process(emulator)
    add_item(emulator, PROCESS)
    emulator.control("POST", "reset")
    assert emulator.result("crm.type.list")["types"] == []
    assert add_process(emulator)["id"] == 1
    assert add_item(emulator, PROCESS)["id"] == 1


def test_an_invoice_is_an_item_with_a_number(emulator: Emulator) -> None:
    """Documentation: crm/universal/object-fields.md#invoice."""
    invoice = add_item(emulator, INVOICE, title="For the screen")
    assert (invoice["accountNumber"], invoice["stageId"]) == ("1", "DT31_1:N")
    paid = {"entityTypeId": INVOICE, "id": 1, "fields": {"stageId": "DT31_1:P"}}
    assert emulator.result("crm.item.update", paid)["item"]["previousStageId"] == "DT31_1:N"
    assert error_code(
        emulator, "crm.category.add", {"entityTypeId": INVOICE, "fields": {"name": "x"}}
    )


def test_an_estimate_has_methods_of_its_own(emulator: Emulator) -> None:
    quote_id = emulator.result("crm.quote.add", {"fields": {"TITLE": "Furniture"}})
    estimate = emulator.result("crm.quote.get", {"id": quote_id})
    assert (estimate["QUOTE_NUMBER"], estimate["STATUS_ID"], estimate["CLOSED"]) == (
        "1",
        "DRAFT",
        "N",
    )
    sent = {"id": quote_id, "fields": {"STATUS_ID": "APPROVED"}}
    assert emulator.result("crm.quote.update", sent) is True
    item = emulator.result("crm.item.get", {"entityTypeId": ESTIMATE, "id": quote_id})["item"]
    assert (item["stageId"], item["closed"]) == ("APPROVED", "Y")
    answer = emulator.post("crm.quote.update", {"id": 9, "fields": {}}).json()
    assert answer["error_description"] == "Quote is not found"
    assert error_code(emulator, "crm.quote.delete", {"id": 9}) == "ERROR_CORE"


def test_product_rows_of_an_item_have_rounded_prices(emulator: Emulator) -> None:
    """The documented examples: crm-item-productrow-add.md, crm-item-productrow-update.md."""
    deal = add_item(emulator, DEAL)["id"]
    sent = {"ownerId": deal, "ownerType": "D", "productId": 9621, "price": 80000, "quantity": 2}
    sent |= {"discountTypeId": 2, "discountRate": 20, "taxRate": 20, "taxIncluded": "Y"}
    row = emulator.result("crm.item.productrow.add", {"fields": sent})["productRow"]
    prices = {name: row[name] for name in ("priceExclusive", "priceNetto", "priceBrutto")}
    assert prices == {"priceExclusive": 66666.67, "priceNetto": 83333.34, "priceBrutto": 100000.01}
    assert (row["discountSum"], row["measureCode"], row["customized"]) == (16666.67, 796, "Y")
    item = emulator.result("crm.item.get", {"entityTypeId": DEAL, "id": deal})["item"]
    assert item["opportunity"] == 160000
    change = {"id": row["id"], "fields": {"price": 90000, "discountRate": 10, "taxRate": 10}}
    row = emulator.result("crm.item.productrow.update", change)["productRow"]
    assert (row["priceNetto"], row["priceBrutto"], row["quantity"]) == (90909.09, 100000, 2)
    owner = {"id": row["id"], "fields": {"ownerId": 2}}
    assert error_code(emulator, "crm.item.productrow.update", owner) == "INVALID_ARG_VALUE"


def test_product_rows_are_listed_replaced_and_deleted(emulator: Emulator) -> None:
    owner = {"ownerType": "SI", "ownerId": add_item(emulator, INVOICE)["id"]}
    rows = [{"productId": 1, "price": 99.5}, {"productId": 2, "price": 10, "quantity": 3}]
    params = {**owner, "productRows": rows}
    stored = emulator.result("crm.item.productrow.set", params)["productRows"]
    assert [row["price"] for row in stored] == [99.5, 10]
    conditions = {"=ownerType": "SI", "=ownerId": owner["ownerId"], ">price": 50}
    found = emulator.call("crm.item.productrow.list", {"filter": conditions})
    assert ([row["id"] for row in found["result"]["productRows"]], found["total"]) == ([1], 1)
    assert emulator.result("crm.item.productrow.delete", {"id": 1}) is None
    assert error_code(emulator, "crm.item.productrow.get", {"id": 1}) == "NOT_FOUND"
    item = emulator.result("crm.item.get", {"entityTypeId": INVOICE, "id": owner["ownerId"]})[
        "item"
    ]
    assert item["opportunity"] == 30
    missing = {"fields": {"ownerType": "D", "ownerId": 99}}
    assert error_code(emulator, "crm.item.productrow.add", missing) == "OWNER_NOT_FOUND"
    assert error_code(emulator, "crm.item.productrow.list", {"filter": {}}) == "INVALID_ARG_VALUE"
    contact = {"fields": {"ownerType": "C", "ownerId": 1}}
    assert error_code(emulator, "crm.item.productrow.add", contact) == "ENTITY_TYPE_NOT_SUPPORTED"


def test_an_event_of_a_smart_process_contains_its_type(emulator: Emulator) -> None:
    """Documentation: crm/universal/events/on-crm-dynamic-item-add.md."""
    emulator.result("event.bind", {"event": "onCrmDynamicItemAdd", "event_type": "offline"})
    add_process(emulator)
    add_item(emulator, PROCESS)
    add_item(emulator, INVOICE)
    events = emulator.result("event.offline.list")
    types = [row["EVENT_DATA"]["FIELDS"]["ENTITY_TYPE_ID"] for row in events]
    assert types == [str(PROCESS), "31"]
