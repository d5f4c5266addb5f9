"""crm.status.*: directories, such as stages and sources. Documentation: crm/status/."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.entities.entity import DEAL, LEAD, QUOTE, Entity
from emulator.entities.multifields import positive_int
from emulator.entities.setup.directory_item import DirectoryItem
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.filter_and_sort import matching, ordered

#: Maximum length of a stage's code, by directory; `_CODE_MAX`: of the codes of all others.
_STAGE_CODE_MAX = {LEAD.stage_directory: 21, DEAL.stage_directory: 22}
_STAGE_CODE = re.compile(r"[A-Za-z0-9_:-]+")
_CODE_MAX = 50
#: The directories besides those of pipelines, with their names.
_NAMES = {
    "STATUS": "Lead stages",
    "SOURCE": "Sources",
    "CONTACT_TYPE": "Contact types",
    "COMPANY_TYPE": "Company types",
    "EMPLOYEES": "Employees",
    "INDUSTRY": "Industry",
    "DEAL_TYPE": "Deal types",
    "DEAL_STAGE": "Deal stages",
    "QUOTE_STATUS": "Estimate stages",
    "HONORIFIC": "Salutations",
}


def list_(call: Call) -> MethodResult:
    """crm.status.list: items that a filter finds, by default in their order."""
    conditions, order = call.argument("filter"), call.argument("order")
    for sent in (conditions, order):
        if sent not in (None, "", []) and not isinstance(sent, dict):
            raise RestError("Invalid parameters.", "Invalid parameters.")
    rows = [status.list_row() for status in call.portal.directories.all()]
    rows = ordered(matching(rows, conditions or {}), order or {"SORT": "ASC"})
    return MethodResult(rows, total=len(rows))


def get(call: Call) -> MethodResult:
    """crm.status.get: an item by its id."""
    return MethodResult(_existing(call).row())


def add(call: Call) -> MethodResult:
    """crm.status.add: the new item's id."""
    call.require_admin(code="")
    sent = call.require_fields()
    missing = [
        f"The field {name} is required."
        for name in ("ENTITY_ID", "STATUS_ID")
        if not sent.get(name)
    ]
    if missing:
        raise RestError("", " ".join(missing))
    directories = call.portal.directories
    entity_id = str(sent["ENTITY_ID"])
    if entity_id not in directory_descriptions(call):
        raise RestError("", "Specified entity type is not supported.")
    if not sent.get("NAME"):
        raise RestError("", "The field Title is required.")
    code = _code(call, entity_id, str(sent["STATUS_ID"]))
    if directories.has(entity_id, code):
        raise RestError("ERROR_CORE", "The specified status ID already exists.")
    semantics = str(sent.get("SEMANTICS") or "").upper()[:1]
    item = DirectoryItem(
        id=0,  # `add` below assigns one
        entity_id=entity_id,
        status=code,
        name=str(sent["NAME"])[:100],
        sort=positive_int(sent.get("SORT")) or 10,
        color=str(sent.get("COLOR") or ""),
        semantics=semantics.replace("P", ""),  # in progress: stored empty
        system=False,
        category_id=_type_and_pipeline(call, entity_id)[1] or None,
    )
    _require_order(call, item)
    return MethodResult(directories.add(item))


def update(call: Call) -> MethodResult:
    """crm.status.update: true; only name, sorting and color can change."""
    call.require_admin(code="")
    status = _existing(call)
    sent = call.require_fields()
    changes: dict[str, Any] = {
        attribute: str(sent[name])
        for name, attribute in (("NAME", "name"), ("COLOR", "color"))
        if sent.get(name)
    }
    if "name" in changes:
        changes["name_init"] = status.name_init or status.name
    if sort := positive_int(sent.get("SORT")):
        changes["sort"] = sort
    call.portal.directories.put(replace(status, **changes))
    return MethodResult(result=True)


def delete(call: Call) -> MethodResult:
    """crm.status.delete: true; a system item only with FORCED."""
    call.require_admin(code="")
    status = _existing(call)
    params = call.argument("params")
    is_forced = isinstance(params, dict) and params.get("FORCED") == "Y"
    if status.system and not is_forced:
        raise RestError(
            "",
            "CRM System Status can be deleted only if parameter FORCED is specified"
            ' and equal to "Y".',
        )
    if status.is_stage and _is_used(call, status):
        raise RestError("", "There are active items in this status.")
    call.portal.directories.delete(status)
    return MethodResult(result=True)


def fields(_: Call) -> MethodResult:
    """crm.status.fields: the fields of an item."""
    return MethodResult(describe(_FIELDS))


def list_directory(call: Call) -> MethodResult:
    """crm.status.entity.items: a directory's items in their order."""
    entity_id = call.argument("entityId")
    if not isinstance(entity_id, str) or entity_id not in directory_descriptions(call):
        text = "The parameter entityId is not defined or invalid."
        raise RestError(text, text)
    found = call.portal.directories.items(entity_id)
    return MethodResult(
        [{"NAME": status.name, "SORT": status.sort, "STATUS_ID": status.status} for status in found]
    )


def list_directories(call: Call) -> MethodResult:
    """crm.status.entity.types: the directories; those of stages name the final stages."""
    return MethodResult(list(directory_descriptions(call).values()))


def directory_descriptions(call: Call) -> dict[str, dict[str, Any]]:
    """The descriptions of all directories by their id."""
    found: dict[str, dict[str, Any]] = {
        entity_id: {"ID": entity_id, "NAME": name} for entity_id, name in _NAMES.items()
    }
    found[LEAD.stage_directory] |= {
        "SEMANTIC_INFO": _semantic_info("NEW", "CONVERTED", "JUNK"),
        "ENTITY_TYPE_ID": 1,
    }
    found[DEAL.stage_directory] |= _pipeline_description(call, DEAL, 0)
    found[QUOTE.stage_directory] |= {
        "SEMANTIC_INFO": _semantic_info("DRAFT", "APPROVED", "DECLAINED"),  # as Bitrix24 spells it
        "ENTITY_TYPE_ID": QUOTE.type_id,
    }
    with_pipelines = [type_ for type_ in call.portal.types.all() if type_.has_stages_per_pipeline]
    for entity in with_pipelines:
        for category in call.portal.categories.all(entity):
            if category.id:  # the general pipeline of deals is in _NAMES
                entity_id = entity.directory(category.id)
                found[entity_id] = {
                    "ID": entity_id,
                    "NAME": f"{category.name}: stages of {entity.title.lower()}s",
                    **({"PARENT_ID": DEAL.stage_directory} if entity is DEAL else {}),
                    "PREFIX": entity.stage_prefix(category.id).rstrip(":"),
                    **_pipeline_description(call, entity, category.id),
                }
    return found


def _pipeline_description(call: Call, entity: Entity, category_id: int) -> dict[str, Any]:
    """What the description of a pipeline's directory says of its stages."""
    stages = call.portal.directories.items(entity.directory(category_id))
    # Reversed: of several stages with the same semantics, the first one stays.
    first_by_semantics = {stage.semantics: stage.status for stage in reversed(stages)}
    first = stages[0].status if stages else ""
    success, failure = first_by_semantics.get("S", ""), first_by_semantics.get("F", "")
    return {
        "SEMANTIC_INFO": _semantic_info(first, success, failure),
        "FIELD_ATTRIBUTE_SCOPE": f"category_{category_id}" if category_id else "",
        "ENTITY_TYPE_ID": entity.type_id,
        "CATEGORY_ID": category_id,
    }


def _semantic_info(first: str, success: str, failure: str) -> dict[str, Any]:
    return {
        "START_FIELD": first,
        "FINAL_SUCCESS_FIELD": success,
        "FINAL_UNSUCCESS_FIELD": failure,
        "FINAL_SORT": 0,
    }


def _existing(call: Call) -> DirectoryItem:
    status_id = positive_int(call.argument("id"))
    if status_id is None:
        raise RestError("Invalid identifier.", "Invalid identifier.")
    found = call.portal.directories.get(status_id)
    if found is None:
        raise RestError("Status is not found.", "Status is not found.")
    return found


def _code(call: Call, entity_id: str, sent: str) -> str:
    """The code as stored, with the pipeline's prefix if it has one; raises RestError."""
    entity, category = _type_and_pipeline(call, entity_id)
    prefix = entity.stage_prefix(category) if entity else ""
    code = sent
    if not code.startswith(prefix):
        code = prefix + code
    limit = _STAGE_CODE_MAX.get(entity_id, _CODE_MAX)
    is_stage = entity_id in _STAGE_CODE_MAX or bool(prefix)
    if len(code) > limit or (is_stage and not _STAGE_CODE.fullmatch(code)):
        raise RestError("", "Error on creating status.")
    return code


def _type_and_pipeline(call: Call, entity_id: str) -> tuple[Entity | None, int]:
    """The type of object whose stages a directory holds, and their pipeline."""
    for entity in call.portal.types.all():
        if entity.stage_directory and entity_id == entity.stage_directory:
            return entity, 0
        rest = entity_id.removeprefix(f"{entity.stage_directory}_")
        if entity.has_stages_per_pipeline and rest != entity_id and rest.isdecimal():
            return entity, int(rest)
    return None, 0


def _require_order(call: Call, item: DirectoryItem) -> None:
    """Raise RestError if a new stage in progress follows the one of success (crm-status-add)."""
    if not item.is_stage or item.semantics:
        return
    stages = call.portal.directories.items(item.entity_id)
    success = next((stage for stage in stages if stage.semantics == "S"), None)
    if success is not None and item.sort >= success.sort:
        raise RestError(
            "",
            "Cannot create more stages after the final stage because the final successful stage"
            " already exists. Try using sort order values less than that of the final stage.",
        )


def _is_used(call: Call, status: DirectoryItem) -> bool:
    entity, _ = _type_and_pipeline(call, status.entity_id)
    if entity is None:
        return False
    condition = f"WHERE json_extract(data, '$.{entity.stage_field}') = ?"
    return call.portal.store.count(entity, condition, (status.status,)) > 0


_FIELDS: dict[str, Column] = {
    "ID": ("integer", "o", "ID"),
    "ENTITY_ID": ("string", "ri", "Directory"),
    "STATUS_ID": ("string", "ri", "Code"),
    "SORT": ("integer", "", "Sorting"),
    "NAME": ("string", "r", "Name"),
    "NAME_INIT": ("string", "o", "First name"),
    "SYSTEM": ("char", "o", "System"),
    "CATEGORY_ID": ("integer", "i", "Pipeline"),
    "COLOR": ("string", "", "Color"),
    "SEMANTICS": ("char", "i", "Group"),
    "EXTRA": ("crm_status_extra", "", "Further fields"),
}
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.status.list": list_,
    "crm.status.get": get,
    "crm.status.add": add,
    "crm.status.update": update,
    "crm.status.delete": delete,
    "crm.status.fields": fields,
    "crm.status.entity.items": list_directory,
    "crm.status.entity.types": list_directories,
}
